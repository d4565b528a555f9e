"""A JSON:API server of another house: small, on loopback, and as odd as a test wants it."""

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Dialect:
    """Answers with what `answer(method, path, parameters, body)` returns: status, document or its bytes, perhaps header fields."""

    def __init__(self, answer, media_type="application/vnd.api+json"):
        self.answer, self.media_type = answer, media_type
        self.seen = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args):
                """Nothing: the test reads `seen`."""

            def handle_any(self):
                parts = urllib.parse.urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                parameters = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
                outer.seen.append((self.command, parts.path, parameters, body, dict(self.headers)))
                status, document, *fields = outer.answer(self.command, parts.path, parameters, body)
                data = document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", outer.media_type)
                self.send_header("Content-Length", str(len(data)))
                for name, value in fields[0] if fields else ():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = handle_any

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.base_url = f"http://127.0.0.1:{self.server.server_address[1]}/api"

    def parameters(self, method="GET"):
        """Of each request of that method."""
        return [parameters for command, _, parameters, _, _ in self.seen if command == method]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
