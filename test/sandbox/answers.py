"""Answers as values: what every part of the sandbox returns or raises, and app.py sends."""

import render

MEDIA_TYPE = "application/vnd.api+json"


class Answer(Exception):
    """An answer; raised, it ends the handling of a request at once."""

    def __init__(self, status, body=b"", headers=None, media_type=MEDIA_TYPE):
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.media_type = media_type


def refusals(status, errors, headers=None):
    """An Answer with error objects."""
    return Answer(status, render.encode({"errors": errors}), headers)


def refusal(status, title, detail=None, headers=None, **where):
    """An Answer with one error object."""
    return refusals(status, [render.error(status, title, detail, **where)], headers)
