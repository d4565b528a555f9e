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


class Answering(Resolver):
    """A resolver whose answer to a question of RFC 1035 is what `answer` makes of it."""

    def __init__(self):
        super().__init__()
        threading.Thread(target=self._serve, daemon=True).start()

    def answer(self, question):
        raise NotImplementedError

    def _serve(self):
        while True:
            try:
                question, sender = self.socket.recvfrom(4096)
            except OSError:
                return
            self.socket.sendto(self.answer(question), sender)


class Denying(Answering):
    """Knows no name (4.1.1: RCODE 3)."""

    def answer(self, question):
        return question[:2] + b"\x81\x83" + question[4:6] + bytes(6) + question[12:]


class Loopback(Answering):
    """Every name is 127.0.0.1; `asked` are the names it was asked for."""

    def __init__(self):
        self.asked = []
        super().__init__()

    def answer(self, question):
        end = question.index(b"\0", 12) + 5
        is_address = question[end - 4:end - 2] == b"\0\1"
        self.asked.append(question[13:end - 5].decode("latin-1"))
        # the name of the answer is that at offset 12; a minute to live
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([127, 0, 0, 1]) if is_address else b""
        return (question[:2] + b"\x81\x80\0\1" + bytes([0, bool(answer)]) + bytes(4)
                + question[12:end] + answer)


class Cluster(tpmtest.Cluster):
    """A cluster that asks `resolver`."""

    def __init__(self, resolver, **config):
        super().__init__(**config)
        self.resolv_conf = self.base / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {resolver.address}\n", encoding="ascii")

    def start(self):
        return self.start_in(f"mount --bind {self.resolv_conf} /etc/resolv.conf")
