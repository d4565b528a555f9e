"""Name resolution for tests, without a network.

A server process that runs in a mount namespace of its own asks the resolver given here. Needs
root, as binding port 53 and mounting do.
"""

import random
import socket
import threading

import tpmtest


class Resolver:
    """A resolver on loopback that never answers."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.53"
        self.socket.bind((self.address, 53))

    def close(self):
        self.socket.close()


class Denying(Resolver):
    """A resolver that knows no name (RFC 1035, 4.1.1: RCODE 3)."""

    def __init__(self):
        super().__init__()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                question, sender = self.socket.recvfrom(4096)
            except OSError:
                return
            self.socket.sendto(question[:2] + b"\x81\x83" + question[4:6] + bytes(6) + question[12:], sender)


class Cluster(tpmtest.Cluster):
    """A cluster that asks `resolver`."""

    def __init__(self, resolver, **config):
        super().__init__(**config)
        self.resolv_conf = self.base / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {resolver.address}\n", encoding="ascii")

    def start(self):
        return self.start_in(f"mount --bind {self.resolv_conf} /etc/resolv.conf")
