"""Somebody else who writes while questions are asked.

The writer changes one attribute of random resources over and over, and with it their
updated_at. Questions that name neither have one right answer all the same: rows must not
be lost or doubled because the list that they come from moves.
"""

import random
import re
import threading

import generator
import model as models

DISTURBED = {"city", "updated_at"}
WRITTEN = ("third_parties", "engagements")


def undisturbed(make=generator.any_query):
    """A maker of queries that do not look at what the writer changes."""
    def maker(rng, model):
        calm = models.Model([models.Table(table.name, [c for c in table.columns if c.name not in DISTURBED], table.rows)
                             for table in model.tables], model.keys)
        while True:
            query = make(rng, calm)
            text = query.text("@S@", "")
            if not re.search(r"\b(city|updated_at|watermark)\b|\*(?!\))|\b(a|b|t|s|c|p)::text|SELECT (a|b|t) FROM"
                             r"|\b(a|b|t|c|p) IS (NOT )?NULL|row\(", text):
                return query
    return maker


class Writer(threading.Thread):
    """Edits until told to stop; how often it did."""

    def __init__(self, target, seed):
        super().__init__(daemon=True)
        self.sandbox = target.sandbox
        self.random = random.Random(seed)
        self.counts = {kind: len(self.sandbox.dump(kind)) for kind in WRITTEN}
        self.over = threading.Event()
        self.edits = 0

    def run(self):
        while not self.over.wait(0.002):
            kind = self.random.choice(WRITTEN)
            self.sandbox.edit(kind, self.random.randint(1, self.counts[kind]), city=f"moved {self.edits}")
            self.edits += 1

    def stop(self):
        self.over.set()
        self.join()
        if self.edits == 0:
            raise RuntimeError("the writer has written nothing")
