"""The token endpoint: OAuth 2.0 client credentials (RFC 6749 4.4), and bearer tokens (RFC 6750).

Follows the texts, not what our client happens to send: id and secret inside Basic are
form-encoded (2.3.1), one way to authenticate per request, parameters given once.
"""

import base64
import binascii
import secrets
import time
from urllib.parse import parse_qsl, unquote_plus


class Refusal(Exception):
    """An error answer of RFC 6749 5.2."""

    def __init__(self, error, description, status=400):
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status


class Tokens:
    """Clients and the tokens they have been given."""

    def __init__(self, clients, lifetime):
        self.clients = clients
        self.lifetime = lifetime
        self.given = {}
        self.issued = 0
        self.every = []

    def grant(self, authorization, content_type, body):
        """The body of the answer to a token request; raises Refusal."""
        if content_type.split(";")[0].strip().lower() != "application/x-www-form-urlencoded":
            raise Refusal("invalid_request", "the body must be form-encoded")
        pairs = parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body))
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise Refusal("invalid_request", "a parameter is given twice")
        client = self._client(authorization, fields)
        if "grant_type" not in fields:
            raise Refusal("invalid_request", "grant_type is missing")
        if fields["grant_type"] != "client_credentials":
            raise Refusal("unsupported_grant_type", "only client_credentials is offered")
        if "unknown" in fields.get("scope", "").split():
            raise Refusal("invalid_scope", "the scope is unknown")
        return self._issue(client, fields)

    def _issue(self, client, fields):
        token = secrets.token_urlsafe(32)
        lifetime = self.lifetime
        self.given[token] = (client, time.monotonic() + lifetime if lifetime else None)
        self.issued += 1
        self.every.append(token)
        answer = {"access_token": token, "token_type": "Bearer"}
        if lifetime:
            answer["expires_in"] = lifetime
        if fields.get("scope"):
            answer["scope"] = fields["scope"]
        return answer

    def _client(self, authorization, fields):
        if authorization is not None:
            if "client_secret" in fields:
                raise Refusal("invalid_request", "the client authenticates in two ways")
            client, secret = basic(authorization)
        else:
            client, secret = fields.get("client_id", ""), fields.get("client_secret", "")
        known = self.clients.get(client)
        if known is None or not secrets.compare_digest(known.encode(), secret.encode()):
            raise Refusal("invalid_client", "client authentication failed", 401)
        return client

    def client_of(self, authorization):
        """The client whose valid token this header carries, or None."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.given:
            return None
        client, expires = self.given[token]
        return None if expires is not None and time.monotonic() >= expires else client

    def revoke(self, authorization=None):
        """Forget one token, or all."""
        if authorization is None:
            self.given = {}
        else:
            self.given.pop(authorization.partition(" ")[2], None)


def basic(authorization):
    """Client id and secret from a Basic header, form-decoded as 2.3.1 asks."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    if scheme.lower() != "basic" or ":" not in text:
        raise Refusal("invalid_client", "the Authorization header is malformed", 401)
    client, _, secret = text.partition(":")
    return unquote_plus(client), unquote_plus(secret)
