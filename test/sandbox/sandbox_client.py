"""A plain HTTP client for the sandbox's own tests: it hides nothing and repeats nothing."""

import http.client
import json
from urllib.parse import quote, urlencode

MEDIA_TYPE = "application/vnd.api+json"
FORM = "application/x-www-form-urlencoded"


class Reply:
    """An answer."""

    def __init__(self, answer):
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def ids(self):
        """The ids of a list document, in its order."""
        return [item["id"] for item in self.json["data"]]

    @property
    def pointers(self):
        """Where the errors of an error document point to."""
        return [error.get("source", {}).get("pointer") for error in self.json["errors"]]


class Client:
    """One connection, kept alive, and one token."""

    def __init__(self, port, client="sandbox", secret="sandbox-secret"):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.who = {"client_id": client, "client_secret": secret}
        self.token = None

    def send(self, method, target, body=None, headers=None):
        """One request as it stands."""
        try:
            self.connection.request(method, target, body, headers or {})
            return Reply(self.connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def grant(self, fields=None, headers=None, content_type=FORM):
        """A token request; `fields` as pairs or as the body itself."""
        fields = {"grant_type": "client_credentials", **self.who} if fields is None else fields
        body = fields if isinstance(fields, str) else urlencode(fields)
        return self.send("POST", "/oauth/token", body, {"Content-Type": content_type, **(headers or {})})

    def headers(self, **more):
        """Those of a good request; underscores are dashes, None leaves one out."""
        if self.token is None:
            self.token = self.grant().json["access_token"]
        made = {"Authorization": f"Bearer {self.token}", "Accept": MEDIA_TYPE}
        made.update({name.replace("_", "-"): value for name, value in more.items()})
        return {name: value for name, value in made.items() if value is not None}

    def get(self, path, parameters=(), **headers):
        """GET of a path under /v1; parameters are encoded as a strict server wants them."""
        asked = "&".join(f"{quote(name, safe='')}={quote(str(value), safe='')}" for name, value in dict(parameters).items())
        return self.send("GET", f"/v1/{path}" + (f"?{asked}" if asked else ""), None, self.headers(**headers))

    def follow(self, link):
        """GET of a link as it was given, absolute or not."""
        return self.send("GET", "/" + link.split("/", 3)[3] if "://" in link else link, None, self.headers())

    def walk(self, path, parameters=()):
        """All replies of a list."""
        replies = [self.get(path, parameters)]
        while replies[-1].json["links"]["next"]:
            replies.append(self.follow(replies[-1].json["links"]["next"]))
        return replies

    def write(self, method, path, document, **headers):
        """A write of a document, or of raw text."""
        body = document if isinstance(document, (str, bytes)) else json.dumps(document)
        return self.send(method, f"/v1/{path}", body, self.headers(**{"Content_Type": MEDIA_TYPE, **headers}))

    def post(self, kind, attributes, linkage=None, **headers):
        """Create a resource."""
        return self.write("POST", kind, resource(kind, None, attributes, linkage), **headers)

    def put(self, kind, number, attributes, linkage=None, method="PUT", **headers):
        """Change a resource."""
        return self.write(method, f"{kind}/{number}", resource(kind, number, attributes, linkage), **headers)

    def patch(self, kind, number, attributes, linkage=None, **headers):
        return self.put(kind, number, attributes, linkage, "PATCH", **headers)

    def one(self, kind, number):
        """A resource object."""
        return self.get(f"{kind}/{number}").json["data"]


def resource(kind, number, attributes, linkage=None):
    """A request document; `linkage` {name: (type, id) or None or a list of such}."""
    data = {"type": kind, "attributes": attributes}
    if number is not None:
        data["id"] = str(number)
    if linkage:
        data["relationships"] = {name: {"data": identifiers(value)} for name, value in linkage.items()}
    return {"data": data}


def identifiers(value):
    if isinstance(value, list):
        return [identifiers(one) for one in value]
    return value and {"type": value[0], "id": str(value[1])}
