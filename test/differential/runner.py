"""Runs dimensions: asks their queries, counts, and writes down every difference."""

import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import generator
import psycopg2
from compare import Difference, Session, compare_sides
from query import render

# A dimension that differs this often is broken; more reports would say the same.
DIFFERENCES_KEPT = 5
ROWS_SHOWN = 5

SETTINGS = {"timezone": "UTC", "statement_timeout": "120s", "max_parallel_workers_per_gather": "0"}


@dataclass
class Result:
    """What one dimension came to."""

    passed: int = 0
    failed: int = 0
    requests: int = 0
    seconds: float = 0.0


def plan_counts(dimensions, total):
    """How many random queries each dimension gets of `total`, by its share."""
    shares = sum(d.share for d in dimensions if not d.fixed)
    return {d.name: max(1, round(total * d.share / shares)) for d in dimensions if not d.fixed}


class Actions:
    """What can be done to the foreign side's cache."""

    def __init__(self, target):
        self.target = target

    def fill(self, cursor, query):
        """Read whole each table that `query` names, or every table of the model."""
        names = sorted(set(re.findall(r"@S@\.(\w+)", query.text("@S@", "")))) if query else None
        for name in names or [t.name for t in self.target.model.tables]:
            cursor.execute(f"SELECT * FROM {self.target.foreign}.{name}")
            cursor.fetchall()

    def reset(self, cursor, query):
        """Forget every cached answer."""
        cursor.execute("SELECT tpm_fdw_reset_cache()")

    def try_fill(self, cursor, query):
        """Fill, where the API may be one that cannot be read."""
        for name in sorted(set(re.findall(r"@S@\.(\w+)", query.text("@S@", "")))):
            try:
                cursor.execute(f"SELECT * FROM {self.target.foreign}.{name}")
            except psycopg2.Error:
                continue

    def fill_at_times(self, cursor, query):
        """Fill for about half of all queries, else leave what earlier ones have left."""
        if random.Random(query.text("@S@", "")).random() < 0.5:
            self.try_fill(cursor, query)

    def table(self):
        return {"fill": self.fill, "reset": self.reset, "try_fill": self.try_fill, "fill_at_times": self.fill_at_times}


class Runner:
    """Runs one dimension after the other against one environment."""

    def __init__(self, env, seed, results, out=sys.stdout):
        self.env = env
        self.seed = seed
        self.results = Path(results)
        self.out = out

    def run(self, dimension, count, only_index=None):
        """Run `dimension` and print its line. `only_index` repeats one of its queries."""
        result = Result()
        started = time.monotonic()
        target = dimension.open(self.env)
        settings = {**SETTINGS, **self.env.session_settings(dimension.settings)}
        session = Session(self.env.dsn, settings)
        requests_before = target.requests()
        beside = dimension.beside(target, self.seed) if dimension.beside else None
        if beside:
            beside.start()
        try:
            self._run_queries(dimension, target, session, count, only_index, result)
        finally:
            if beside:
                beside.stop()
            session.close()
            result.requests = target.requests() - requests_before
            target.close()
        for complaint in target.complaints() if only_index is None and not result.failed else []:
            result.failed += 1
            print(f"{dimension.name}: {complaint}", file=self.out)
        result.seconds = time.monotonic() - started
        if result.passed + result.failed == 0:
            result.failed = 1
            print(f"{dimension.name}: no query was executed", file=self.out)
        word = "not ok" if result.failed else "ok"
        print(f"{word} {dimension.name}: {result.passed + result.failed} queries, "
              f"{result.requests} requests, {result.seconds:.1f} s"
              + (f"; {target.summary()}" if target.summary() else ""), file=self.out, flush=True)
        return result

    def _queries(self, dimension, target, session, count, only_index):
        """(index, query) of all that the dimension asks."""
        if dimension.fixed:
            made = list(enumerate(dimension.fixed(session, target)))
        else:
            made = ((index, self._random(dimension, target, index)) for index in range(count))
            if only_index is not None:
                return ((index, self._random(dimension, target, index))
                        for index in range(target.begins(only_index), only_index + 1))
        return [q for q in made if only_index in (None, q[0])] if dimension.fixed else made

    def _random(self, dimension, target, index):
        target.prepare(self.seed, index)
        rng = generator.random_for(self.seed, dimension.name, index)
        return dimension.make(rng, target.model)

    def _run_queries(self, dimension, target, session, count, only_index, result):
        actions = Actions(target).table()
        judge = dimension.judge(target, session) if dimension.judge else None
        if dimension.first:
            actions[dimension.first](session.connection.cursor(), None)
        for index, query in self._queries(dimension, target, session, count, only_index):
            if dimension.each:
                actions[dimension.each](session.connection.cursor(), query)
            before = target.requests() if dimension.silent_api else 0
            if judge:
                difference = judge(query)
            else:
                foreign, local = session.run(query, target.foreign, target.local, actions)
                difference = compare_sides(query, foreign, local, dimension.policy)
            if difference is None and dimension.silent_api and target.requests() > before:
                difference = Difference(f"{target.requests() - before} requests on a warm cache")
            if difference is None:
                result.passed += 1
                continue
            result.failed += 1
            self._report(dimension, target, session, index, query, difference)
            if result.failed >= DIFFERENCES_KEPT:
                print(f"{dimension.name}: stopped after {DIFFERENCES_KEPT} differences",
                      file=self.out)
                return

    def _report(self, dimension, target, session, index, query, difference):
        """Print a difference and write the file that replays it."""
        settings = {**session.settings, **query.settings}
        lines = [
            f"-- difference: {difference.reason}",
            f"-- seed {self.seed}, dimension {dimension.name}, query {index}, {query.shape}",
            f"-- repeat: test/differential/run --seed {self.seed} --only {dimension.name} "
            f"--query {index}",
        ]
        if target.about:
            lines.append(f"-- foreign tables: {target.about}")
        lines += [f"SET {name} = '{value}';" for name, value in settings.items()]
        lines += ["BEGIN;", "-- foreign", query.text(target.foreign, "foreign")]
        lines += ["-- local", query.text(target.local, "local"), "ROLLBACK;"]
        lines += self._explain(target, session, query)
        if difference.foreign is not None:
            lines += _differing_rows(difference)
        text = "\n".join(lines) + "\n"
        self.results.mkdir(parents=True, exist_ok=True)
        path = self.results / f"{dimension.name}-{self.seed}-{index}.sql"
        path.write_text(text, encoding="utf-8")
        print(text + f"-- written to {path}", file=self.out, flush=True)

    def _explain(self, target, session, query):
        """The foreign plan of each statement that has one, as comments."""
        lines = []
        for sql in [query.main] if hasattr(query, "main") else [step.sql for step in query.steps]:
            if not sql.lstrip().startswith(("SELECT", "WITH", "DECLARE", "UPDATE", "DELETE", "MERGE", "INSERT")):
                continue
            explain = Session(session.dsn, {**session.settings, **query.settings})
            try:
                rows = explain.fetch("EXPLAIN (VERBOSE) " + render(sql, target.foreign, "foreign"))
                lines += ["-- " + row[0] for row in rows]
            except Exception as error:  # EXPLAIN only illustrates; the difference stands anyhow
                lines.append(f"-- EXPLAIN failed: {error}".replace("\n", " "))
            finally:
                explain.close()
        return lines


def _differing_rows(difference):
    """The first rows that only one side has; the first places that differ if none."""
    foreign, local = difference.foreign, difference.local
    only_foreign = list((Counter(foreign) - Counter(local)).elements())
    only_local = list((Counter(local) - Counter(foreign)).elements())
    lines = [f"-- foreign {len(foreign)} rows, local {len(local)} rows; "
             f"only foreign {len(only_foreign)}, only local {len(only_local)}"]
    if not only_foreign and not only_local:
        places = [n for n, pair in enumerate(zip(foreign, local)) if pair[0] != pair[1]]
        return lines + [f"-- row {n}: foreign {foreign[n]!r}, local {local[n]!r}"
                        for n in places[:ROWS_SHOWN]]
    lines += [f"-- only foreign: {row!r}" for row in only_foreign[:ROWS_SHOWN]]
    lines += [f"-- only local: {row!r}" for row in only_local[:ROWS_SHOWN]]
    return lines
