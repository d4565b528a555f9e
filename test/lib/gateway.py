"""https in front of a sandbox, which writes down what each request came in on."""

import subprocess
from dataclasses import dataclass

import nginx
import tpmtest

PROXY = """
	log_format counted '$connection $connection_requests $server_protocol $ssl_session_reused '
		'$request_method $sent_http_content_encoding $body_bytes_sent $ssl_protocol';
	proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
	upstream sandbox {{{{ server 127.0.0.1:{upstream}; keepalive 8; }}}}
	server {{{{
		listen 127.0.0.1:{{port}} ssl{http2};
		access_log {{home}}/access.log counted;
		ssl_certificate {{home}}/cert.pem; ssl_certificate_key {{home}}/key.pem;
		ssl_session_cache shared:tls:1m; ssl_protocols {tls};
		{more}
		location / {{{{ proxy_pass http://sandbox; }}}}
	}}}}
"""


@dataclass
class Entry:
    """A request as the gateway has seen it."""

    connection: str
    number: int                 # of the request on its connection, from 1
    protocol: str
    resumed: bool               # the TLS session
    method: str
    encoding: str
    bytes: int
    tls: str


class Gateway:
    """`more` is what else stands in its server block."""

    def __init__(self, sandbox, http2, tls="TLSv1.2", more=""):
        home = nginx.make_home()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", home / "key.pem", "-out", home / "cert.pem"], check=True, capture_output=True)
        for file in ("key.pem", "cert.pem"):
            (home / file).chmod(0o644)
        self.log = home / "access.log"
        self.server = nginx.Nginx(PROXY.format(upstream=sandbox.port, http2=" http2" if http2 else "", tls=tls, more=more),
                                  home)
        self.base_url = f"https://127.0.0.1:{self.server.port}/v1"
        self.certificate = home / "cert.pem"
        self.seen = 0

    def requests(self, expected):
        """The requests since the last call, in the order of their ends."""
        def logged():
            lines = self.log.read_text().splitlines()[self.seen:]
            return lines if len(lines) >= expected else None

        lines = tpmtest.wait_until(logged, message=f"{expected} requests")
        self.seen += len(lines)
        assert len(lines) == expected, lines
        entries = []
        for line in lines:
            connection, number, protocol, reused, method, encoding, size, tls = line.split()
            entries.append(Entry(connection, int(number), protocol, reused == "r", method, encoding, int(size), tls))
        return entries

    def stop(self):
        """No more requests come through."""
        self.server.stop()
