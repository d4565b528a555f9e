"""The API as others have built it: random combinations of the sandbox's oddities.

A combination stays for some queries, then another comes, with foreign tables of its own, so
that nothing learnt of one is believed of the next. Owns what a combination is made of, which
options tell the product about it, and what it may do besides being right: where an oddity
can be told or seen, nothing; where it cannot, it may refuse, or say so by a WARNING.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import compare
import conditions
import generator
import literals
import model as models
import psycopg2
from environment import Target
from query import MULTISET, ORDERED, RANKED, Query, Step, projection, where
from runner import Actions

# Queries that one combination lasts.
STAY = 15

# The part of all answers that must have been compared and not refused.
RIGHT_SHARE = 0.6

# Combinations in which an oddity must have struck at least once: in fewer, warm caches or the questions that chance
# has drawn may leave no request that it could strike. `make soak` has some 250 of them in each dimension.
ENOUGH = 12

REFUSALS = frozenset(compare.REFUSALS | {"HV00M", "HV005", "22023"})


@dataclass
class Combination:
    """One API: how the sandbox is set, what the server is told, what may come of it."""

    settings: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)
    options: dict = field(default_factory=lambda: {"page_size": "20"})
    flavour: str = "trusted"
    types: str = "plain"
    names: list = field(default_factory=list)
    drifted: str = None
    may_refuse: bool = False
    may_warn: bool = False

    def without(self, *names):
        """These oddities go; what they allow may stay."""
        for name in names:
            self.settings.pop(name, None)
        self.names = [name for name in self.names if name not in names]

    def policy(self):
        return compare.Policy(errors=REFUSALS if self.may_refuse else frozenset(compare.REFUSALS),
                              warning="WARNING" if self.may_warn else None, silent=False)

    def strict(self):
        """What counts as right: the same rows, whatever is said beside them."""
        return compare.Policy(errors=frozenset(), silent=False)

    def about(self):
        return (f"oddities {','.join(self.names) or 'none'}; flavour {self.flavour}, columns {self.types}, sandbox {self.settings}, faults {self.faults}, "
                f"server {self.options}, may refuse {self.may_refuse}, may warn {self.may_warn}")


# The tables that have an attribute which may go.
DRIFTING = {"approval_status": ("third_parties", "engagements"), "stage": ("cases",),
            "country": ("third_parties", "engagements")}

# ----- the oddities; each changes a combination -----


def _ties(rng, made):
    made.settings["ties"] = "moving"


def _sort_keys(rng, made):
    made.settings["sort_keys"] = "one"
    if rng.random() < 0.8:
        made.options["sort_keys"] = "one"
    else:
        made.may_refuse = True


def _print(rng, made):
    ways = ["seconds", "digits7", "offsets", "dates-as-times", "seconds,offsets", "digits7,dates-as-times"]
    made.settings["print"] = rng.choice(ways)


def _types(rng, made):
    """Columns that are coarser than the texts."""
    made.types = rng.choice(["seconds", "days"])
    # what day a text with an offset is of is the reader's to say
    if made.types == "days" and "offsets" in made.settings.get("print", ""):
        made.types = "seconds"
    if made.types == "seconds":
        made.settings.setdefault("print", "digits7")


def _links(rng, made):
    made.settings["links"] = rng.choice(["header", "short", "none"])


def _first_page(rng, made):
    made.settings["first_page"] = "0"


def _cut(rng, made):
    made.settings["cut"] = "first"


def _page_cap(rng, made):
    made.settings["page_max"] = rng.choice([7, 15])


def _no_total(rng, made):
    made.settings["no_total"] = True


def _total(rng, made):
    made.settings["total"] = "whole"
    made.may_refuse = True


def _child_linkage(rng, made):
    made.settings["child_linkage"] = "none"


def _linkage(rng, made):
    made.settings["linkage"] = "included"
    made.may_refuse = made.may_warn = True


def _field_names(rng, made):
    made.settings["field_names"] = "dashed"
    made.may_refuse = True


def _sparse(rng, made):
    made.settings["sparse"] = rng.randint(2, 5)


def _included_gap(rng, made):
    made.faults.append({"fault": "included_gap", "every": rng.randint(2, 4)})
    made.may_refuse = made.may_warn = True


def _drift(rng, made):
    """Seen on a page of 20 and more only, so there are such pages, and questions that read them."""
    made.drifted = rng.choice(list(DRIFTING))
    made.faults.append({"fault": "drift", "attribute": made.drifted})
    made.may_refuse = made.may_warn = True


def _errors(rng, made):
    made.faults.append({"fault": "errors_beside_data", "skip": rng.randint(2, 20), "match": "GET /v1/", "count": rng.randint(1, 3)})
    made.may_refuse = True


# Which oddities are met at all: (name in the counts of the sandbox, chance, what it does).
# Those that others depend on come first.
ODDITIES = [
    ("print", 0.35, _print),
    ("types", 0.25, _types),
    ("ties", 0.5, _ties),
    ("sort_keys", 0.2, _sort_keys),
    ("links", 0.35, _links),
    ("first_page", 0.2, _first_page),
    ("cut", 0.25, _cut),
    ("page_max", 0.2, _page_cap),
    ("no_total", 0.25, _no_total),
    ("total", 0.2, _total),
    ("child_linkage", 0.25, _child_linkage),
    ("linkage", 0.1, _linkage),
    ("field_names", 0.15, _field_names),
    ("sparse", 0.25, _sparse),
    ("included_gap", 0.15, _included_gap),
    ("drift", 0.1, _drift),
    ("errors_beside_data", 0.1, _errors),
]

# What the sandbox does not count: columns, the size of pages, the absence of a member.
UNCOUNTED = ("types", "page_max", "no_total")

STYLES = {
    "links": {}, "links_absolute": {},
    "number": {"pagination": "number"}, "number_base64": {"pagination": "number_base64"},
    "offset": {"pagination": "offset", "page_parameters": "page[limit],page[offset]"},
}


def combination(rng):
    """One API. What nobody could know of the end of a list is not asked of the product."""
    made = Combination(flavour=rng.choice(["plain", "trusted", "trusted", "recheck"]))
    for name, chance, draw in ODDITIES:
        if rng.random() < chance:
            draw(rng, made)
            made.names.append(name)
    style = rng.choice(list(STYLES))
    if made.settings.get("links") == "none" or made.drifted:
        # a short page is the end where nothing else tells of one, and tells nothing of its members
        made.without("cut", "page_max")
    if made.settings.get("no_total"):
        made.without("total")
    if made.settings.get("links") == "none":
        if style in ("links", "links_absolute"):
            made.may_warn = True
    if "first_page" in made.settings:
        if style == "offset":
            style = "number"
        if style.startswith("number"):
            made.options["first_page"] = "0"
    if made.settings.get("ties") == "moving" and made.settings.get("sort_keys") == "one":
        made.may_refuse = made.may_warn = True
    made.settings["pagination"] = style
    made.options.update(STYLES[style])
    return made


# ----- the tables that oddities are about -----

BELOW = ("id", "case_number", "name", "stage", "created_at", "third_party_id", "region_id")


def create_tables(env, schema, server, local):
    """Tables that the catalogue has not: one below a resource, one with included columns."""
    def types(table):
        """As the catalogue's table has them: the local copy is compared in the same collations."""
        return dict(env.execute(
            f"""SELECT attname, format_type(atttypid, atttypmod)
                       || CASE attcollation WHEN '"C"'::regcollation THEN ' %s COLLATE "C"' ELSE ' %s' END
                FROM pg_attribute WHERE attrelid = '{schema}.{table}'::regclass AND attnum > 0"""))

    case, party = types("cases"), types("third_parties")
    env.execute(f"""CREATE FOREIGN TABLE {schema}.cases_below (id {case["id"] % ""}, case_number {case["case_number"] % ""},
        name {case["name"] % ""}, stage {case["stage"] % ""}, created_at {case["created_at"] % ""},
        third_party_id {case["third_party_id"] % "OPTIONS (relationship 'third_party')"},
        region_id {case["region_id"] % "OPTIONS (relationship 'region')"})
        SERVER {server} OPTIONS (resource '/third_parties/{{third_party_id}}/cases')""")
    env.execute(f"""CREATE FOREIGN TABLE {schema}.owned (id {party["id"] % ""}, name {party["name"] % ""},
        owner_id {party["owner_id"] % "OPTIONS (relationship 'owner')"},
        owner_email text OPTIONS (included 'owner/email'), region_name text OPTIONS (included 'region/name'))
        SERVER {server} OPTIONS (resource '/third_parties', include 'owner,region')""")
    env.execute(f"CREATE OR REPLACE VIEW {local}.cases_below AS SELECT {', '.join(BELOW)} FROM {local}.cases")
    env.execute(f"""CREATE OR REPLACE VIEW {local}.owned AS
        SELECT t.id, t.name, t.owner_id, u.email AS owner_email, r.name AS region_name FROM {local}.third_parties t
        LEFT JOIN {local}.users u ON u.id = t.owner_id LEFT JOIN {local}.regions r ON r.id = t.region_id""")


def coarser(env, schema, types):
    """Gives times columns of a type that cannot hold all that the texts say."""
    if types == "plain":
        return
    chosen = {"seconds": "timestamptz(0)", "days": "date"}[types]
    for table, column in env.execute(
            f"""SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'f'
                  AND a.atttypid = 'timestamptz'::regtype AND a.attname IN ('created_at', 'occurred_at', 'sent_at')"""):
        env.execute(f'ALTER FOREIGN TABLE {schema}.{table} ALTER COLUMN "{column}" TYPE {chosen}')


def _columns(model, table, names):
    there = model.table(table)
    return [there.column(name) for name in names]


def below(rng, model):
    """Questions to a list below a resource, whose path tells what its resources may not."""
    table = models.Table("cases_below", _columns(model, "cases", BELOW))
    known = model.table("cases").column("third_party_id").values
    chosen = rng.sample(known, min(len(known), rng.choice([1, 1, 2, 4])))
    keys = ", ".join(map(literals.quote, chosen))
    out = ", ".join(projection(rng, "b", table))
    also = f" AND ({conditions.condition(rng, 'b', table, 1)})" if rng.random() < 0.7 else ""
    sql = rng.choice([
        f"SELECT {out} FROM @S@.cases_below b WHERE b.third_party_id = {literals.quote(chosen[0])}{also}",
        f"SELECT b.third_party_id, {out} FROM @S@.cases_below b WHERE b.third_party_id IN ({keys}){also}",
        f"SELECT count(*), count(b.third_party_id) FROM @S@.cases_below b WHERE b.third_party_id IN ({keys}){also}",
        f"SELECT t.name, b.id FROM @S@.third_parties t JOIN @S@.cases_below b ON b.third_party_id = t.id"
        f" WHERE t.id IN ({keys}){also}",
    ])
    return Query("below", [Step(sql, MULTISET)], generator.random_settings(rng))


def owned(rng, model):
    """Questions about what other resources say."""
    table = models.Table("owned", _columns(model, "third_parties", ("id", "name", "owner_id")) + [
        models.Column("owner_email", "text", model.table("users").column("email").values),
        models.Column("region_name", "text", model.table("regions").column("name").values)])
    out = ", ".join(projection(rng, "o", table))
    sql = rng.choice([
        f"SELECT {out} FROM @S@.owned o{where(rng, 'o', table, 1)}",
        f"SELECT o.region_name, count(*) FROM @S@.owned o{where(rng, 'o', table, 1)} GROUP BY 1",
        f"SELECT o.id FROM @S@.owned o WHERE o.owner_email IS {rng.choice(['', 'NOT '])}NULL",
    ])
    return Query("owned", [Step(sql, MULTISET)], generator.random_settings(rng))


def drifting(rng, model, attribute):
    """Questions to whole lists of what has lost an attribute, with it and without."""
    table = model.table(rng.choice(DRIFTING[attribute]))
    out = ", ".join(projection(rng, "a", table))
    sql = rng.choice([
        f"SELECT {out} FROM @S@.{table.name} a",
        f"SELECT a.id, a.{attribute} FROM @S@.{table.name} a",
        f"SELECT a.id FROM @S@.{table.name} a WHERE a.{attribute} IS NULL",
        f"SELECT a.{attribute}, count(*) FROM @S@.{table.name} a GROUP BY 1",
        f"SELECT count(*), count(a.{attribute}), min(a.created_at) FROM @S@.{table.name} a",
    ])
    return Query("drifting", [Step(sql, MULTISET)], generator.random_settings(rng))


def ordered(rng, model):
    """What an order of the API is used for: first rows, news since a moment, all rows in order, groups; ties included."""
    table = model.table(rng.choice(["third_parties", "engagements", "cases", "audit_events", "email_logs"]))
    column = rng.choice(table.of_family("timestamptz", "date", "number"))
    key = f'a."{column.name}"'
    out = ", ".join([key, "a.id", *projection(rng, "a", table)])
    bound = rng.choice(column.values or [None])
    condition = f"{key} IS NOT NULL"
    if bound is not None and rng.random() < 0.7:
        value = literals.value(rng, column) if rng.random() < 0.3 else literals.quote(bound)
        condition = f"{key} {rng.choice(['>', '>=', '<', '<=', '='])} {value}"
    if rng.random() < 0.2:
        condition += f" AND ({conditions.condition(rng, 'a', table, 1)})"
    plain = f"SELECT {out} FROM @S@.{table.name} a WHERE {condition}"
    most = rng.choice([1, 5, 19, 20, 21, 45])
    way = rng.choice(["", " DESC"])
    step = rng.choice([
        Step(f"{plain} ORDER BY {key}{way}, a.id{way}", ORDERED),
        Step(f"{plain} ORDER BY {key}{way}, a.id LIMIT {most}", ORDERED),
        Step(f"{plain} ORDER BY {key}{way} LIMIT {most}", RANKED, superset=plain),
        Step(f"{plain} ORDER BY {key}{way}", RANKED, superset=plain),
        Step(plain, MULTISET),
        Step(f"SELECT {key}, count(*), count(DISTINCT a.id) FROM @S@.{table.name} a WHERE {condition} GROUP BY 1"
             f" ORDER BY 1{way}", ORDERED),
        Step(f"SELECT min({key}), max({key}), count(*) FROM @S@.{table.name} a WHERE {condition}", MULTISET),
    ])
    return Query("ordered", [step], generator.random_settings(rng))


def any_query(rng, model):
    if model.drifted:
        return drifting(rng, model, model.drifted)
    make = rng.choices([below, owned, ordered, generator.any_query], [8, 8, 34, 50])[0]
    return make(rng, model)


# ----- targets that change -----


class OddTarget(Target):
    """Foreign tables over one combination after the other."""

    def __init__(self, env, name, sandbox):
        super().__init__(None, None, None, sandbox)
        self.env = env
        self.name = name
        self.at = None
        self.server = None
        self.combination = None
        self.met, self.struck = Counter(), Counter()
        self.requests_before = 0
        self.outcomes = Counter()

    def draw(self, rng):
        return combination(rng)

    def begins(self, index):
        """The first query of the combination that a query belongs to."""
        return index - index % STAY

    def prepare(self, seed, index):
        if self.begins(index) == self.at:
            return
        self.at = self.begins(index)
        self._leave()
        rng = random.Random(f"{seed}/{self.name}/{self.at}")
        self.combination = made = self.draw(rng)
        self.met.update(made.names)
        self.about = made.about()
        self.sandbox.settings(**{"page_max": 100, **made.settings})
        self._import(made)
        self._learn(made)
        for fault in made.faults:
            self.sandbox.post("/_sandbox/faults", fault)

    def _import(self, made):
        ways = made.settings.get("print", "plain")
        data = "odd_" + "_".join([*ways.replace("-", "_").split(","), made.types])
        target = self.env.imported(made.flavour, self.sandbox, data, made.options,
                                   lambda schema: coarser(self.env, schema, made.types))
        self.foreign, self.local = target.foreign, target.local
        self.model = models.Model(target.model.tables, target.model.keys, made.drifted)
        self.server = self.env.execute("SELECT srvname FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver"
                                       f" WHERE ftrelid = '{self.foreign}.cases'::regclass")[0][0]
        create_tables(self.env, self.foreign, self.server, self.local)

    def _learn(self, made):
        """What drifts has been there before."""
        if any(fault["fault"] == "drift" for fault in made.faults):
            for table in ("third_parties", "engagements", "cases"):
                self._try(f"SELECT * FROM {self.foreign}.{table}")
            self._try("SELECT tpm_fdw_reset_cache()")

    def _try(self, statement):
        """Run what the combination may refuse."""
        try:
            self.env.execute(statement)
        except psycopg2.Error:
            pass

    def _leave(self):
        """Count what has struck, and forget the tables."""
        if self.server is None:
            return
        state = self.sandbox.state()
        self.requests_before += state["requests"]
        for name, count in {**state["odd"], **state["struck"]}.items():
            self.struck[name.partition(" ")[0]] += count
        self.sandbox.reset()
        self.env.execute(f"DROP SCHEMA {self.foreign} CASCADE")
        self.env.execute(f"DROP SERVER {self.server} CASCADE")
        self.server = None

    def requests(self):
        return self.requests_before + super().requests()

    def close(self):
        self._leave()

    def judge(self, session, query, actions):
        """None or a Difference; counts what was right and what was let off."""
        foreign, local = session.run(query, self.foreign, self.local, actions)
        difference = compare.compare_sides(query, foreign, local, self.combination.strict())
        if difference is None:
            self.outcomes["right"] += 1
            return None
        policy = self.combination.policy()
        if query.shape == "below":
            # there is no list below what is not there
            policy.errors |= {"HV00R"}
        difference = compare.compare_sides(query, foreign, local, policy)
        if difference is None:
            self.outcomes["refused" if foreign.error else "warned"] += 1
        return difference

    def complaints(self):
        """What makes a whole run worthless: oddities that never struck, answers that were never compared."""
        made = [f"the oddity {name} never struck" for name, times in self.met.items()
                if name not in UNCOUNTED and times >= ENOUGH and not self.struck[name]]
        asked = sum(self.outcomes.values())
        if asked and self.outcomes["right"] < RIGHT_SHARE * asked:
            made.append(f"only {self.outcomes['right']} of {asked} answers could be compared")
        return made

    def summary(self):
        """For the line of the dimension."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))


class HiddenTarget(OddTarget):
    """Lists that hide: the API is no truth, but the product must give one answer, cached or not."""

    MODES = ("off", "cold", "warm")

    def draw(self, rng):
        made = Combination(flavour=rng.choice(["plain", "trusted"]))
        if rng.random() < 0.6:
            made.settings["archived"] = rng.randint(3, 9)
            made.names.append("archived")
        else:
            made.faults.append({"fault": "hide_inactive"})
            made.names.append("hide_inactive")
        made.settings["pagination"] = rng.choice(["links", "number"])
        made.options.update(STYLES[made.settings["pagination"]])
        return made

    def prepare(self, seed, index):
        fresh = self.begins(index) != self.at
        super().prepare(seed, index)
        self.random = random.Random(f"{seed}/{self.name}/order/{index}")
        if fresh:
            self._contradict()

    def _contradict(self):
        """The first contradiction: a complete list, a resource that it lacks, and the list again."""
        for table in HIDING:
            for item in self._hidden(table):
                by_id = f"SELECT * FROM {self.foreign}.{table} WHERE id = '{item}'"
                whole = f"SELECT * FROM {self.foreign}.{table}"
                # a list in the cache would answer the second question, and nobody would know better
                for statement in self.random.choice(([whole, by_id, whole], [by_id, whole, by_id, whole])):
                    self._try(f"SET tpm_fdw.cache_ttl = {0 if statement == by_id else -1}")
                    self._try(statement)
        self._try("RESET tpm_fdw.cache_ttl")

    def _hidden(self, table):
        """The id of a resource that no plain list of the table shows."""
        step = self.combination.settings.get("archived")
        if step:
            return [str(step)]
        return [item["id"] for item in self.sandbox.dump(table)
                if item["attributes"].get("status") == "Inactive" or item["attributes"].get("open") is False][:1]

    def judge(self, session, query, actions):
        answers = {}
        for mode in self.random.sample(self.MODES, 3) + ["off"]:
            with session.connection.cursor() as cursor:
                cursor.execute("RESET tpm_fdw.cache_ttl" if mode != "off" else "SET tpm_fdw.cache_ttl = 0")
                if mode == "cold":
                    actions["reset"](cursor, query)
                elif mode == "warm":
                    actions["try_fill"](cursor, query)
            answers[mode], _ = session.run(query, self.foreign, self.local, actions)
            difference = compare.compare_sides(query, answers[mode], next(iter(answers.values())), self.combination.policy())
            if difference is not None:
                difference.reason = f"{mode} against {next(iter(answers))}: {difference.reason}"
                return difference
        self.outcomes["refused" if answers["off"].error else "right"] += 1
        return None


HIDING = ("third_parties", "engagements", "cases")


def hiding_query(rng, model):
    """Conditions on one list, some of which the API answers and some not."""
    table = model.table(rng.choice(HIDING))
    out = ", ".join(projection(rng, "a", table))
    condition = conditions.condition(rng, "a", table, rng.choice([0, 0, 1]))
    if rng.random() < 0.3:
        condition = f"{conditions.on_column(rng, 'a', table.column('id'))} AND {condition}"
    sql = rng.choice([
        f"SELECT {out} FROM @S@.{table.name} a WHERE {condition}",
        f"SELECT count(*) FROM @S@.{table.name} a WHERE {condition}",
        f"SELECT a.id FROM @S@.{table.name} a WHERE {condition} ORDER BY a.id",
    ])
    return Query("hiding", [Step(sql, MULTISET)])


def odd(env, name, kind=OddTarget):
    """A target of that kind over a sandbox of its own."""
    return kind(env, name, env.sandbox_alone(records=150))


def judge(target, session):
    """For Dimension.judge."""
    actions = Actions(target).table()
    return lambda query: target.judge(session, query, actions)
