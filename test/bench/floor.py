"""The floor: an nginx of our own that serves pages from disk, and curl that fetches them."""

import atexit
import subprocess
import time
import urllib.error
import urllib.request

import pages
import tpmtest

CONFIG = """
daemon off; master_process off; error_log {home}/error.log; pid {home}/pid;
events {{ worker_connections 512; }}
http {{
	access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type {media_type};
	client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
	uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
	map $args $page {{ default 1; "~page%5Bnumber%5D=(?<number>[0-9]+)" $number; }}
	server {{
		listen 127.0.0.1:{port};
		root {home}/pages;
		location / {{ try_files $uri/$page.json =404; }}
	}}
}}
"""


class Floor:
    """A static server of pages; `home` is a directory that the server's user may write."""

    def __init__(self, home):
        self.home = home
        self.root = home / "pages"
        self.port = tpmtest.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lists = {}
        (home / "nginx.conf").write_text(CONFIG.format(home=home, port=self.port, media_type=pages.MEDIA_TYPE))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-e", home / "error.log", "-c", home / "nginx.conf"],
                                        cwd="/", **tpmtest.as_cluster_user())
        atexit.register(self.stop)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def add(self, path, shape, rows, size):
        """Serve a list; the number of its pages."""
        last = self.lists[path] = pages.write(self.root, path, shape, rows, size)
        tpmtest.wait_until(lambda: self._answers(f"{self.url}{path}"), message="nginx")
        return last

    @staticmethod
    def _answers(url):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status == 200
        except urllib.error.HTTPError:
            raise
        except OSError:
            return False

    def fetch(self, path):
        """Seconds that curl takes for all pages, one after the other on one connection."""
        urls = []
        for number in range(1, self.lists[path] + 1):
            urls += ["-o", "/dev/null", f"{self.url}{path}?page%5Bnumber%5D={number}"]
        started = time.perf_counter()
        subprocess.run(["curl", "-q", "-s", "-f", "--noproxy", "*", *urls], check=True)
        return time.perf_counter() - started
