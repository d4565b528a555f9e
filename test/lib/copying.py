"""Copies of lists that others change meanwhile: the tables, the runs, and what has to hold of every copy.

Owns how a copy is made, run step by step and compared with what the sandbox says it should be;
what happens in between is the test's. The mapping of members to columns is written here a
second time, from the sandbox's own dump: nothing asks the product what would be right.
"""

import datetime as dt
import http.client
import json
import time
from dataclasses import dataclass, field

import psycopg2
import tpmtest
from tpmtest import rows

# the kinds of runs that follow a filling, as the intervals of reconcile and sweep that make one due;
# before 17 there is no infinite interval
RUNS = {"incremental": ("1000 years", "1000 years"), "reconcile": ("1 microsecond", "1000 years"),
        "sweep": ("1000 years", "1 microsecond")}


@dataclass
class Api:
    """One way in which an API may serve its lists, and the foreign table that says so."""

    name: str
    resource: str = "third_parties"
    # settings of the sandbox, as test/sandbox/control.py knows them
    sandbox: dict = field(default_factory=dict)
    # options of the table
    table: dict = field(default_factory=lambda: {"pagination": "number", "total_pointer": "/meta/total_count"})
    id_options: str = "OPTIONS (filter 'id', filter_match 'exact', sortable 'true')"
    cursor: str = "updated_at"
    cursor_options: str = "OPTIONS (sortable 'true')"
    columns: tuple = ("name", "status", "city", "created_at")

    @property
    def all_columns(self):
        """Those of the copy that the API gives, in their order."""
        return ("id", *self.columns, *([self.cursor] if self.cursor else []))

    def create(self, db, schema, name, page_size, server="tpm"):
        """The foreign table."""
        def column(name):
            return f"{name} {'timestamptz' if name.endswith('_at') else 'text'}"
        columns = [f'id text {self.id_options} COLLATE "C" NOT NULL', *map(column, self.columns)]
        if self.cursor:
            columns.append(f"{column(self.cursor)} {self.cursor_options} NOT NULL")
        options = tpmtest.option_list({"resource": f"/{self.resource}", "page_size": page_size, **self.table})
        rows(db, f"CREATE FOREIGN TABLE {schema}.{name} ({', '.join(columns)}) SERVER {server} OPTIONS ({options})")

    def row(self, item):
        """A resource object as a row of the copy."""
        def value(name):
            if name == "id":
                return item["id"]
            said = item["attributes"][name]
            if name.endswith("_at"):
                return dt.datetime.fromisoformat(said) if said else None
            return said
        return tuple(value(name) for name in self.all_columns)


class Holder:
    """Asks over one connection, again and again, whether a request is held, and lets it go."""

    def __init__(self, sandbox):
        self.connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=30)

    def _ask(self, method, path):
        self.connection.request(method, path)
        return json.loads(self.connection.getresponse().read() or b"null")

    def holds(self):
        return self._ask("GET", "/_sandbox/state")["held"] > 0

    def release(self):
        self._ask("POST", "/_sandbox/release")

    def close(self):
        self.connection.close()


class Copy:
    """One copy, the API behind it, and the session that calls for its runs."""

    def __init__(self, session, monitor, sandbox, api, schema="s", name="things", **options):
        self.session, self.monitor, self.sandbox, self.api = session, monitor, sandbox, api
        self.source, self.name = f"{schema}.{name}", f"{schema}_copy.{name}"
        self.options = {"deletions": "remove", "unlisted": "keep", **options}
        if api.cursor is None:
            self.options["cursor_column"] = None
        elif api.cursor != "updated_at":
            self.options["cursor_column"] = api.cursor

    def create(self):
        """The copy; nothing is in it yet."""
        named = "".join(f", {name} => %s" for name in self.options)
        rows(self.monitor, f"SELECT tpm_fdw_create_copy(%s, %s{named})",
             (self.source, self.name, *self.options.values()))

    def due(self, kind):
        """The next run is of this kind, whatever the last one was."""
        rows(self.monitor, "SELECT tpm_fdw_alter_copy(%s, reconcile => %s, sweep => %s)", (self.name, *RUNS[kind]))

    def call(self, **arguments):
        """CALL tpm_fdw_sync() of this copy in its session; the error, if there is one."""
        named = "".join(f", {name} => %s" for name in arguments)
        try:
            rows(self.session, f"CALL tpm_fdw_sync(%s{named})", (self.name, *arguments.values()))
        except psycopg2.Error as error:
            return error
        return None

    def run(self, kind=None, **arguments):
        """A run of that kind, to its end; an error is raised."""
        if kind:
            self.due(kind)
        error = self.call(**arguments)
        if error:
            raise error

    def stepwise(self, kind, between, **arguments):
        """A run of which each request is held until between() has been called; its error, if there is one.

        The fault `hold` must be in force.
        """
        if kind:
            self.due(kind)
        thread, result = tpmtest.in_thread(lambda: self.call(**arguments))
        holder = Holder(self.sandbox)
        while thread.is_alive():
            if holder.holds():
                between()
                holder.release()
            else:
                time.sleep(0.002)
        thread.join()
        holder.close()
        return result[0]

    # ----- what it holds -----

    def held(self):
        """{id: row} of what is said to be there."""
        living = " WHERE _deleted_at IS NULL" if self.options["deletions"] == "mark" else ""
        return {row[0]: row for row in
                rows(self.monitor, f"SELECT {', '.join(self.api.all_columns)} FROM {self.name}{living}")}

    def ids(self):
        """The ids of what is said to be there."""
        living = " WHERE _deleted_at IS NULL" if self.options["deletions"] == "mark" else ""
        return {number for number, in rows(self.monitor, f"SELECT id FROM {self.name}{living}")}

    def wanted(self):
        """{id: row} of all that the API has."""
        return {item["id"]: self.api.row(item) for item in self.sandbox.dump(self.api.resource)}

    def says(self, *columns):
        """Those columns of the view."""
        (row,) = rows(self.monitor, f"SELECT {', '.join(columns)} FROM tpm_fdw_copies WHERE copy = %s::regclass",
                      (self.name,))
        return row[0] if len(columns) == 1 else row


def differences(held, wanted):
    """Rows that are not what they should be, as sentences; few of them."""
    said = [f"{number} is missing" for number in sorted(set(wanted) - set(held))]
    said += [f"{number} is too many" for number in sorted(set(held) - set(wanted))]
    said += [f"{number} is {held[number]} for {wanted[number]}" for number in sorted(set(held) & set(wanted))
             if held[number] != wanted[number]]
    return said[:5] + ([f"and {len(said) - 5} more"] if len(said) > 5 else [])


def differs(copy):
    """Where the copy is not the API, row by row."""
    return differences(copy.held(), copy.wanted())


def stamp(moment):
    """A moment as the API prints it."""
    return moment.astimezone(dt.timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
