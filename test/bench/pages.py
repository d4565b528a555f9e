"""The documents that the cases read: rows of a known shape, as pages on disk and in local tables.

Owns what a row looks like. Narrow rows take 250 bytes and hold what the six columns read and
little else; wide rows take 1,600, of which the same six columns read the same.
"""

import json

# column, its SQL type, how it is taken out of a resource `r` in SQL
COLUMNS = [("id", "text", "r->>'id'"),
           ("name", "text", "r->'attributes'->>'name'"),
           ("score", "numeric", "(r->'attributes'->>'score')::numeric"),
           ("hits", "integer", "(r->'attributes'->>'hits')::integer"),
           ("active", "boolean", "(r->'attributes'->>'active')::boolean"),
           ("created_at", "timestamptz", "(r->'attributes'->>'created_at')::timestamptz")]
NAMES = [name for name, _, _ in COLUMNS]
MEDIA_TYPE = "application/vnd.api+json"


def row(number):
    """The six values of a row, as JSON holds them."""
    return {"id": str(number), "name": f"Vendor {number:07d} of the bench, Amalgamated Long Name Trading & Logistics AG & Co. KG",
            "score": number * 7 % 1000 / 10, "hits": number % 13, "active": number % 3 > 0,
            "created_at": f"20{10 + number % 15}-{1 + number % 12:02d}-{1 + number % 28:02d}"
                          f"T{number % 24:02d}:{number % 60:02d}:{number * 7 % 60:02d}Z"}


def narrow(number):
    """The bytes of a resource of about 250 bytes."""
    value = row(number)
    return (f'{{"type":"vendors","id":"{number}","attributes":{{"name":"{value["name"]}","score":{value["score"]},'
            f'"hits":{value["hits"]},"active":{str(value["active"]).lower()},"created_at":"{value["created_at"]}"}},'
            f'"links":{{"self":"/v1/vendors/{number}"}}}}').encode()


def wide(number):
    """The same amid 34 other members."""
    value = row(number)
    members = {key: value[key] for key in ("name", "score")}
    for n in range(28):
        members[f"member_{n:02d}"] = [f"some text {number + n} of no interest to us", n, None, True][n % 4]
    members.update({key: value[key] for key in ("hits", "active", "created_at")})
    members["notes"] = "<p>" + "Lorem ipsum dolor sit amet, \"quoted\". " * 8 + "</p>"
    members["tags"] = [{"id": str(n), "term": f"term {n}", "value": ["one", "two"]} for n in range(4)]
    return json.dumps({"type": "vendors", "id": str(number), "attributes": members,
                       "links": {"self": f"/v1/vendors/{number}"}}, separators=(",", ":")).encode()


SHAPES = {"narrow": narrow, "wide": wide}


def document(resources, number, last, total, path):
    """One page; links.next as an API gives it."""
    links = {"self": f"{path}?page%5Bnumber%5D={number}"}
    links["next"] = f"{path}?page%5Bnumber%5D={number + 1}" if number < last else None
    tail = json.dumps({"links": links, "meta": {"total_count": total}}, separators=(",", ":"))
    return b'{"data":[' + b",".join(resources) + b"]," + tail[1:].encode()


def write(root, path, shape, rows, size):
    """All pages of a list under root/path, as 1.json, 2.json, ...; their number."""
    where = root / path.lstrip("/")
    where.mkdir(parents=True)
    last = -(-rows // size)
    for number in range(1, last + 1):
        first = (number - 1) * size + 1
        resources = [SHAPES[shape](n) for n in range(first, min(first + size, rows + 1))]
        (where / f"{number}.json").write_bytes(document(resources, number, last, rows, path))
    return last


def table_columns():
    return ", ".join(f"{name} {kind}" for name, kind, _ in COLUMNS)


def counts(relation):
    """Reads every value of the six columns, and does nothing more with them."""
    return f"SELECT {', '.join(f'count({name})' for name in NAMES)} FROM {relation}"


def sums(relation):
    """An answer that tells whether every value is right."""
    return ("SELECT count(*), sum(length(id)), md5(string_agg(id || name, ',' ORDER BY id COLLATE \"C\")), sum(score),"
            f" sum(hits), count(*) FILTER (WHERE active), max(created_at), min(created_at) FROM {relation}")


def from_jsonb(relation):
    """The six columns out of a table of documents, as a subquery."""
    taken = ", ".join(f"{expression} AS {name}" for name, _, expression in COLUMNS)
    return f"(SELECT {taken} FROM {relation}, jsonb_array_elements(body::jsonb -> 'data') AS r) AS rows"
