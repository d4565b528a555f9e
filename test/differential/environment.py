"""The cluster, the sandboxes, the foreign schemas and the local copies of one run.

Everything is made when a dimension first asks for it, so that --only costs only what it
needs. All sandboxes hold the same seeded data, so one local copy serves all of a size.
"""

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import localcopy
import model as models
import questions
import tpmtest

RECORDS = 300
PAGE_SIZE = "20"

# Columns of the partitioned table whose partitions are two resources (pitfalls E, 20).
PARTED = ["id", "name", "status", "approval_status", "risk_rating", "risk_score", "created_at",
          "updated_at"]
PARTITIONS = ["third_parties", "engagements"]

# How the sandbox is started for each style of paging.
STYLES = {
    "relative": ["--pagination", "relative"],
    "absolute": ["--pagination", "absolute"],
    "number": ["--pagination", "number"],
    "number_base64": ["--pagination", "number_base64"],
    "offset": ["--pagination", "offset"],
    "capped": ["--page-max", "50"],
}


@dataclass
class Target:
    """One pair of schemas to compare, and the sandbox behind the foreign one."""

    foreign: str
    local: str
    model: models.Model
    sandbox: object = None
    about: str = ""

    def begins(self, index):
        """The query from which on a query's past matters."""
        return index

    def prepare(self, seed, index):
        """Make ready for a query; most targets always are."""

    def complaints(self):
        """What makes the whole run worth nothing, however it compared."""
        return []

    def summary(self):
        """What the line of the dimension says besides."""
        return ""

    def requests(self):
        """Requests that the sandbox has answered so far."""
        return self.sandbox.request_count() if self.sandbox else 0

    def close(self):
        """Lift the sandbox's faults."""
        if self.sandbox:
            self.sandbox.reset_faults()


class Environment:
    """Context manager around everything a run needs."""

    def __enter__(self):
        self.cluster = tpmtest.Cluster().start()
        # A language's order of text is not that of its bytes: an order taken from the API
        # or a comparison made in the wrong collation would go unseen under "C", which is all
        # that a build without ICU has.
        icu = self.cluster.sql("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'")
        self.cluster.sql("CREATE DATABASE differential TEMPLATE template0"
                         + (" LOCALE_PROVIDER icu ICU_LOCALE 'en-US'" if icu else ""))
        self.dsn = self.cluster.dsn("differential")
        self.sandboxes = {}
        self.targets = {}
        self.copies = {}
        self.numbers = itertools.count()
        self.connection = self.cluster.connect("differential")
        self.execute("CREATE EXTENSION tpm_fdw")
        self.has_cache = bool(self.execute(
            "SELECT 1 FROM pg_settings, to_regclass('tpm_fdw_cache') AS view"
            " WHERE name = 'tpm_fdw.cache_ttl' AND view IS NOT NULL"))
        return self

    def __exit__(self, *exception):
        self.connection.close()
        for sandbox in self.sandboxes.values():
            sandbox.stop()
        self.cluster.destroy()

    def execute(self, sql):
        """Run one statement outside any comparison."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def session_settings(self, wanted):
        """Settings for a session that never waits and never stops for the budget."""
        settings = {"tpm_fdw.max_requests": "0", "tpm_fdw.max_wait": "-1",
                    "tpm_fdw.leave_free": "0", **wanted}
        known = {row[0] for row in self.execute("SELECT name FROM pg_settings")}
        return {name: value for name, value in settings.items() if name in known}

    def target(self, flavour, style="relative", records=RECORDS, server=None, fault=None):
        """Foreign tables imported as `flavour`, over a sandbox that pages in `style`.

        `flavour`: 'plain', 'trusted', or 'recheck' (trusted, but no filter is believed).
        `server` are further options of the server, `fault` one that stands until close().
        """
        sandbox = self._sandbox(style, records, fault is not None)
        options = {"page_size": PAGE_SIZE, **(server or {})}
        key = (flavour, id(sandbox), tuple(sorted(options.items())))
        if key not in self.targets:
            self.targets[key] = self._import(flavour, sandbox, records, options)
        target = self.targets[key]
        if fault:
            sandbox.fault(fault)
        return target

    def private(self, flavour, *arguments, records=90, server=None):
        """As target(), with a sandbox and a local copy that nobody else uses."""
        sandbox = self.sandbox_alone(*arguments, records=records)
        options = {"page_size": PAGE_SIZE, **(server or {})}
        return self._import(flavour, sandbox, f"{records}_{len(self.sandboxes)}", options)

    def sandbox_alone(self, *arguments, records):
        """A sandbox that nobody else uses."""
        sandbox = tpmtest.Sandbox("--records", str(records), "--rate-per-second", "0", "--rate-per-hour", "0",
                                  *arguments).start()
        self.sandboxes[id(sandbox)] = sandbox
        return sandbox

    def imported(self, flavour, sandbox, data, options, alter):
        """Foreign tables over a sandbox whose data, as it is printed now, is called `data`.

        `alter` changes the tables of the schema that it is given, before they are copied.
        """
        return self._import(flavour, sandbox, data, options, alter)

    def _sandbox(self, style, records, for_faults):
        key = (style, records, for_faults)
        if key not in self.sandboxes:
            sandbox = tpmtest.Sandbox("--records", str(records), "--rate-per-second", "0",
                                      "--rate-per-hour", "0", *STYLES[style])
            self.sandboxes[key] = sandbox.start()
        return self.sandboxes[key]

    def _import(self, flavour, sandbox, records, options, alter=None):
        """A server, a schema with its tables, the partitioned table, the model."""
        number = next(self.numbers)
        schema, server = f"{flavour}_{number}", f"server_{number}"
        trust = None if flavour == "plain" else "exact"
        tpmtest.setup_server(self.connection, sandbox, server, options, schema, trust)
        if flavour == "recheck":
            self._believe_no_filter(schema)
        if alter:
            alter(schema)
        copy = (records, flavour == "plain")
        local = self._copy(sandbox, copy, schema)
        self._create_partitioned(schema, server)
        about = f"flavour {flavour}, sandbox {' '.join(sandbox.arguments)}, server {options}"
        return Target(schema, local, self.copies[copy][1], sandbox, about)

    def _believe_no_filter(self, schema):
        """Drop every filter_match, so that all filters are rechecked."""
        for table, column in self.execute(
                f"""SELECT c.relname, a.attname FROM pg_class c
                    JOIN pg_attribute a ON a.attrelid = c.oid,
                    pg_options_to_table(a.attfdwoptions) o
                    WHERE c.relnamespace = '{schema}'::regnamespace
                      AND o.option_name = 'filter_match'"""):
            self.execute(f'ALTER FOREIGN TABLE {schema}.{table} ALTER COLUMN "{column}"'
                         " OPTIONS (DROP filter_match)")

    def _copy(self, sandbox, copy, foreign_schema):
        """The local copy for data of this size, its model, and the tables beside it.

        A trusting import gives ids the collation "C", so its copy is another one.
        """
        if copy not in self.copies:
            schema = f"local_{copy[0]}" + ("_plain" if copy[1] else "")
            with self.connection.cursor() as cursor:
                cursor.execute("BEGIN")
                names = localcopy.create_local(cursor, sandbox.url, foreign_schema, schema)
                cursor.execute("COMMIT")
                parts = " UNION ALL ".join(
                    f"SELECT '{name}'::text AS kind, {', '.join(PARTED)} FROM {schema}.{name}"
                    for name in PARTITIONS)
                cursor.execute(f"CREATE TABLE {schema}.parties AS {parts}")
                cursor.execute(f"ANALYZE {schema}.parties")
                self._create_common(cursor, schema)
                cursor.execute("SET timezone = 'UTC'")
                cursor.execute("SET datestyle = 'ISO'")
                self.copies[copy] = (schema, models.read_model(cursor, schema, names + ["parties"]))
        return self.copies[copy][0]

    def _create_common(self, cursor, local):
        """Ordinary tables that both sides share: keys to join with, times to ask from."""
        cursor.execute("CREATE SCHEMA IF NOT EXISTS common")
        questions.create_erp_vendors(cursor, f"common.erp_vendors_{local}", local)
        cursor.execute("SELECT to_regclass('common.probe') IS NOT NULL")
        if cursor.fetchone()[0]:
            return
        cursor.execute(
            f"""CREATE TABLE common.probe AS
                SELECT row_number() OVER (ORDER BY md5(key))::int AS n, key FROM (
                    (SELECT id AS key FROM {local}.third_parties ORDER BY md5(id) LIMIT 20)
                    UNION ALL (SELECT id FROM {local}.regions ORDER BY id LIMIT 5)
                    UNION ALL (SELECT owner_id FROM {local}.third_parties ORDER BY id LIMIT 5)
                    UNION ALL VALUES (''), ('nobody'), ('1'), ('1,2'), ('null'), (NULL), (' 1'),
                                     ('1 '), ('../users/1'), ('%31')
                ) keys"""
        )
        cursor.execute(
            f"""CREATE TABLE common.watermark AS
                SELECT unnest(percentile_disc(ARRAY[0.5, 0.9, 0.97]::float8[])
                       WITHIN GROUP (ORDER BY updated_at)) AS seen FROM {local}.third_parties"""
        )
        cursor.execute("ANALYZE common.probe, common.watermark")

    def _create_partitioned(self, schema, server):
        """A partitioned table over two resources, told apart by the documents' own type."""
        collation = """CASE attcollation WHEN '"C"'::regcollation THEN 'COLLATE "C"' ELSE '' END"""
        columns = ", ".join(
            f"{name} {type_name} {collate}" for name, type_name, collate in self.execute(
                f"""SELECT attname, format_type(atttypid, atttypmod), {collation} FROM pg_attribute
                    WHERE attrelid = '{schema}.third_parties'::regclass
                      AND attname = ANY(ARRAY{PARTED!r}) ORDER BY attnum"""))
        self.execute(f"CREATE TABLE {schema}.parties (kind text, {columns}) PARTITION BY LIST (kind)")
        for name in PARTITIONS:
            definition = ", ".join(
                f"{column} {type_name} {options or ''} {collate}" for column, type_name, options, collate in
                self.execute(
                    f"""SELECT attname, format_type(atttypid, atttypmod),
                               (SELECT 'OPTIONS (' || string_agg(format('%I %L', option_name,
                                option_value), ', ') || ')' FROM pg_options_to_table(attfdwoptions)),
                               {collation}
                        FROM pg_attribute WHERE attrelid = '{schema}.{name}'::regclass
                          AND attname = ANY(ARRAY{PARTED!r}) ORDER BY attnum"""))
            table_options = "".join(
                f", {option} $o${value}$o$" for option, value in self.execute(
                    f"""SELECT option_name, option_value FROM pg_foreign_table,
                               pg_options_to_table(ftoptions)
                        WHERE ftrelid = '{schema}.{name}'::regclass
                          AND option_name <> 'resource'"""))
            self.execute(
                f"""CREATE FOREIGN TABLE {schema}.parties_{name}
                    (kind text OPTIONS (pointer '/type'), {definition})
                    SERVER {server} OPTIONS (resource '/{name}'{table_options})""")
            self.execute(f"ALTER TABLE {schema}.parties ATTACH PARTITION {schema}.parties_{name}"
                         f" FOR VALUES IN ('{name}')")
