"""A server that answers what it is told to, byte by byte, and remembers who came.

Owns the sockets; what is sent is the test's. An answer is bytes, or an iterable of bytes that
may never end: it is taken from as long as somebody reads.
"""

import itertools
import json
import socket
import threading

TOKEN = "the-one-token-of-all"


class Request:
    """What has arrived."""

    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target = lines[0].split(" ")[:2]
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        self.body = body


class Hostile:
    """Answers on loopback; `answers` maps the beginning of a path to what comes, the last one first."""

    def __init__(self, host="127.0.0.1"):
        self.listener = socket.create_server((host, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.origin = f"http://{host}:{self.port}"
        self.base_url = self.origin + "/v1"
        self.requests = []
        self.connections = 0
        self.answers = {}
        self.reset()
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self):
        """As an honest server with nothing to say."""
        self.requests.clear()
        self.connections = 0
        self.answers = {"/": document([]), "/oauth/token": token()}

    def close(self):
        # closed alone, it goes on accepting for whoever waits in accept(), beside the next server
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def paths(self):
        """What was asked for, but for tokens."""
        return [request.target for request in self.requests if not request.target.startswith("/oauth/token")]

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        received = b""
        with peer:
            try:
                while True:
                    request, received = self._read(peer, received)
                    if request is None:
                        return
                    self.requests.append(request)
                    for part in self._answer(request):
                        peer.sendall(part)
            except OSError:
                return

    def _read(self, peer, received):
        while b"\r\n\r\n" not in received:
            more = peer.recv(65536)
            if not more:
                return None, b""
            received += more
        head, _, rest = received.partition(b"\r\n\r\n")
        request = Request(head, b"")
        length = int(request.headers.get("content-length", 0))
        while len(rest) < length:
            rest += peer.recv(65536)
        request.body = rest[:length]
        return request, rest[length:]

    def _answer(self, request):
        found = max((path for path in self.answers if request.target.startswith(path)), key=len)
        answer = self.answers[found]
        if callable(answer):
            answer = answer(request)
        return [answer] if isinstance(answer, bytes) else answer


def head(status=200, length=None, kind="application/vnd.api+json", **headers):
    """Status line and headers; without a length the connection's end is the body's."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(body, status=200, **headers):
    """A whole answer."""
    body = body if isinstance(body, bytes) else body.encode()
    return head(status, len(body), **headers) + body


def token(value=TOKEN, **members):
    return answer(json.dumps({"access_token": value, "token_type": "Bearer", "expires_in": 3600, **members}),
                  kind="application/json")


def document(resources, **members):
    return answer(json.dumps({"data": resources, **members}))


def resource(number, **attributes):
    return {"type": "things", "id": str(number), "attributes": attributes}


def chunked(chunks, **headers):
    """The chunks, as long as there are any."""
    yield head(Transfer_Encoding="chunked", **headers)
    for chunk in chunks:
        yield b"%x\r\n%s\r\n" % (len(chunk), chunk)
    yield b"0\r\n\r\n"


def endless(chunk):
    return itertools.repeat(chunk)
