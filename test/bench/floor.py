"""The floor: an nginx of our own that serves pages from disk, and curl that fetches them."""

import subprocess
import time

import nginx
import pages

# page n of a list /x is the file /x/n.json
CONFIG = """
	sendfile on; tcp_nopush on; default_type %s;
	map $args $page {{ default 1; "~page%%5Bnumber%%5D=(?<number>[0-9]+)" $number; }}
	server {{
		listen 127.0.0.1:{port};
		root {home}/pages;
		location / {{ try_files $uri/$page.json =404; }}
	}}
""" % pages.MEDIA_TYPE


class Floor:
    """A static server of pages."""

    def __init__(self):
        self.server = nginx.Nginx(CONFIG)
        self.root = self.server.home / "pages"
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.lists = {}

    def add(self, path, shape, rows, size):
        """Serve a list; the number of its pages."""
        self.lists[path] = pages.write(self.root, path, shape, rows, size)
        return self.lists[path]

    def bodies(self, path):
        """The documents of a list, as text."""
        for number in range(1, self.lists[path] + 1):
            yield (self.root / path.lstrip("/") / f"{number}.json").read_text(encoding="utf-8")

    def fetch(self, path):
        """Seconds that curl takes for all pages, one after the other on one connection."""
        command = ["curl", "-q", "-s", "-f", "-g", "--noproxy", "*"]
        for number in range(1, self.lists[path] + 1):
            command += ["-o", "/dev/null", f"{self.url}{path}?page%5Bnumber%5D={number}"]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        return time.perf_counter() - started
