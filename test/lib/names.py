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


class Loopback(Resolver):
    """A resolver to which every name is 127.0.0.1; `asked` are the names it was asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                question, sender = self.socket.recvfrom(4096)
            except OSError:
                return
            end = question.index(b"\0", 12) + 5
            is_address = question[end - 4:end - 2] == b"\0\1"
            self.asked.append(question[13:end - 5].decode("latin-1"))
            # the name of the answer is that at offset 12; a minute to live
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([127, 0, 0, 1]) if is_address else b""
            self.socket.sendto(question[:2] + b"\x81\x80\0\1" + bytes([0, bool(answer)]) + bytes(4)
                               + question[12:end] + answer, sender)


class Cluster(tpmtest.Cluster):
    """A cluster that asks `resolver`."""

    def __init__(self, resolver, **config):
        super().__init__(**config)
        self.resolv_conf = self.base / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {resolver.address}\n", encoding="ascii")

    def start(self):
        return self.start_in(f"mount --bind {self.resolv_conf} /etc/resolv.conf")
