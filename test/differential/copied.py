"""Queries on local copies, where others have changed the API between one run of the copies and the next.

The side that is tried is a schema of views over the copies, with the columns of the foreign
tables and no more; the truth is filled anew from the sandbox's own dump. A query of it sends nothing.
"""

import random

import localcopy
from environment import PARTED, PARTITIONS, Target

# Queries that one state of the API lasts.
STAY = 10

# What others change, create and delete; the rest of the catalogue is read once. Whose list has no
# cursor is read whole.
CHANGED = ("third_parties", "engagements", "cases", "notes", "users")


class CopiedTarget(Target):
    """Copies of all tables of a target, and views over them."""

    def __init__(self, env, target):
        super().__init__(f"{target.foreign}_seen", target.local, target.model, target.sandbox, target.about)
        self.env = env
        self.source, self.copies = target.foreign, f"{target.foreign}_copy"
        self.changes = 0
        (made,), = env.execute(f"SELECT tpm_fdw_create_copies('{self.source}', '{self.copies}')")
        with env.connection.cursor() as cursor:
            self.columns = localcopy.foreign_columns(cursor, self.source)
            # partitions are no resources of their own
            self.columns = {name: of for name, of in self.columns.items() if not name.startswith("parties_")}
        if made < len(self.columns):
            raise RuntimeError(f"{made} copies of {len(self.columns)} tables")
        env.execute("CALL tpm_fdw_sync()")
        self._create_views()

    def _create_views(self):
        self.env.execute(f"CREATE SCHEMA {self.foreign}")
        for name, columns in self.columns.items():
            listed = ", ".join(f'"{column}"' for column, _ in columns)
            self.env.execute(f"CREATE VIEW {self.foreign}.{name} AS SELECT {listed} FROM {self.copies}.{name}")
        parts = " UNION ALL ".join(f"SELECT '{name}'::text AS kind, {', '.join(PARTED)} FROM {self.copies}.{name}"
                                   for name in PARTITIONS)
        self.env.execute(f"CREATE VIEW {self.foreign}.parties AS {parts}")

    def begins(self, index):
        """What the copies hold comes of every change so far."""
        return 0

    def prepare(self, seed, index):
        """Before some queries others are at work, and then the copies are brought up to date."""
        if index % STAY:
            return
        rng = random.Random(f"{seed}/copied/{index}")
        for kind in CHANGED:
            self._change(rng, kind)
            self._sync(kind)
            self._tell_truth(kind)
        with self.env.connection.cursor() as cursor:
            parts = " UNION ALL ".join(f"SELECT '{name}'::text, {', '.join(PARTED)} FROM {self.local}.{name}"
                                       for name in PARTITIONS)
            cursor.execute(f"TRUNCATE {self.local}.parties; INSERT INTO {self.local}.parties {parts}")

    def _change(self, rng, kind):
        """Values move from one resource to another, some resources are new, some go."""
        items = self.sandbox.dump(kind)
        for item in rng.sample(items, min(len(items), rng.choice((1, 5, 30)))):
            other = rng.choice(items)["attributes"]
            names = [name for name in other if name not in ("created_at", "updated_at")]
            self.sandbox.edit(kind, item["id"], **{name: other[name] for name in rng.sample(names, min(3, len(names)))})
            self.changes += 1
        for _ in range(rng.randint(0, 4)):
            other = rng.choice(items)["attributes"]
            times = [name for name in other if name in ("created_at", "updated_at")]
            self.sandbox.create(kind, **{name: value for name, value in other.items() if name not in times})
            self.changes += 1
        gone = rng.sample([item["id"] for item in items], rng.randint(0, 3))
        self.sandbox.delete(kind, *gone)
        self.changes += len(gone)

    def _sync(self, kind):
        copy = f"{self.copies}.{kind}"
        self.env.execute(f"SELECT tpm_fdw_alter_copy('{copy}', reconcile => '1 microsecond')")
        self.env.execute(f"CALL tpm_fdw_sync('{copy}')")

    def _tell_truth(self, kind):
        with self.env.connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {self.local}.{kind}")
            localcopy.fill_local(cursor, self.sandbox.url, self.local, kind, self.columns[kind])

    def summary(self):
        return f"{self.changes} changes by others"

    def complaints(self):
        return [] if self.changes else ["nobody has changed anything"]



def copied(flavour, **server):
    """Copies of an API of that flavour, which only this dimension changes."""
    return lambda env: CopiedTarget(env, env.private(flavour, server=server))
