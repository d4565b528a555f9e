"""A private nginx: it runs as the cluster's user, in a directory of its own, until the end of the program."""

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import tpmtest

CONFIG = """
daemon off; master_process off; error_log {home}/error.log; pid {home}/pid;
events {{ worker_connections 512; }}
http {{
	client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
	uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
	access_log off; keepalive_requests 100000000;
	{http}
}}
"""


class Nginx:
    """`http` is what stands inside the configuration's http block; {home} and {port} are filled in."""

    def __init__(self, http, home=None):
        self.home = home or make_home()
        self.port = tpmtest.free_port()
        config = self.home / "nginx.conf"
        config.write_text(CONFIG.format(home=self.home, http=http.format(home=self.home, port=self.port)))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-e", self.home / "error.log", "-c", config], cwd="/",
                                        **tpmtest.as_cluster_user())
        atexit.register(self.stop)
        tpmtest.wait_until(self._listens, message="nginx")

    def _listens(self):
        if self.process.poll() is not None:
            raise RuntimeError("nginx did not start: " + (self.home / "error.log").read_text())
        # its pid stands there once its sockets are open
        return (self.home / "pid").exists()

    def stop(self):
        """Stop, and remove the directory."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        shutil.rmtree(self.home, ignore_errors=True)


def make_home():
    """A directory that the cluster's user may write."""
    home = Path(tempfile.mkdtemp(prefix="tpm_fdw-nginx-"))
    home.chmod(0o755)
    if os.geteuid() == 0:
        user = tpmtest.cluster_user()
        os.chown(home, user.pw_uid, user.pw_gid)
    return home
