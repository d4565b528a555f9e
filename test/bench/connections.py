"""The price of a connection for each write: handshakes, CPU time, round trips.

The references are the same rows over plain http, and a read on a connection that is kept.
"""

import asyncio
import statistics
import threading
import time
from pathlib import Path

import gateway as gateways
import measure
import tpmtest
from report import Result

SYSTEMS = Path("/etc/ssl/certs/ca-certificates.crt")
INSERTED = 200
ROUND_TRIP_S = 0.04
SINGLE = 5
READ = "SELECT name FROM third_parties WHERE id = '1'"


def connect(setting, name, api, **options):
    setting.cluster.sql(f"CREATE DATABASE {name}")
    session = setting.cluster.connect(name)
    tpmtest.setup_server(session, api, schema="tpm", trust="exact", options={"fetch_concurrency": 1, **options})
    tpmtest.rows(session, "SET search_path = tpm; SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_writes = 0")
    tpmtest.rows(session, READ)
    return session


def with_the_systems(certificate):
    """A file as a distribution has it, and one certificate more."""
    bundle = certificate.with_name("bundle.pem")
    bundle.write_text(certificate.read_text() + SYSTEMS.read_text())
    bundle.chmod(0o644)
    return bundle


def insert(n):
    return f"INSERT INTO third_parties (name, country) SELECT 'Alone ' || i, 'DE' FROM generate_series(1, {n}) i"


class Far:
    """A server that is a round trip away: what comes is passed on half of one later, in each direction."""

    def __init__(self, port):
        self.upstream = port
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        port = asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(10)
        self.base_url = f"https://127.0.0.1:{port}/v1"

    async def _listen(self):
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    async def _accept(self, reader, writer):
        # what TCP itself takes: nothing can be sent before
        await asyncio.sleep(ROUND_TRIP_S)
        there, upstream = await asyncio.open_connection("127.0.0.1", self.upstream)
        await asyncio.gather(self._pass(reader, upstream), self._pass(there, writer))

    async def _pass(self, reader, writer):
        while data := await reader.read(65536):
            self.loop.call_later(ROUND_TRIP_S / 2, writer.write, data)
        self.loop.call_later(ROUND_TRIP_S / 2, writer.close)


def handshakes(setting, sandbox):
    """What a load costs on connections of its own."""
    tls = gateways.Gateway(sandbox, False, tls="TLSv1.3")
    over = {"https": connect(setting, "own_https", tls, ca_file=with_the_systems(tls.certificate)),
            "http": connect(setting, "own_http", sandbox)}
    tls.requests(2)
    best = measure.interleaved({name: lambda session=session: measure.statement(session, insert(INSERTED))
                                for name, session in over.items()})
    seen = tls.requests(measure.RUNS * INSERTED)
    opened = len({entry.connection for entry in seen}) / len(seen)
    whole = sum(not entry.resumed for entry in seen)
    milliseconds = {name: cpu * 1000 / INSERTED for name, (_, cpu) in best.items()}
    for session in over.values():
        session.close()
    tls.stop()
    yield Result(f"INSERT of {INSERTED} rows over https: connections a row", "", opened, "rows", 1, most=1.0, recorded=True)
    yield Result(f"INSERT of {INSERTED} rows over https: handshakes that resume none", "", whole, "after a read", 0,
                 most=1.0, recorded=True)
    yield Result("INSERT over https, CPU a row", "ms", milliseconds["https"], "over http: CPU a row", milliseconds["http"])


def round_trips(setting, sandbox):
    """In how many round trips a single write is done; a read needs one."""
    for tls in ("TLSv1.2", "TLSv1.3"):
        near = gateways.Gateway(sandbox, False, tls=tls)
        far = Far(near.server.port)
        session = connect(setting, "far" + tls[-1], far, ca_file=near.certificate)
        taken = {}
        for name, statement in (("read", READ), ("write", insert(1))):
            tpmtest.rows(session, statement)
            started = [(time.perf_counter(), tpmtest.rows(session, statement), time.perf_counter())
                       for _ in range(SINGLE)]
            taken[name] = statistics.median(end - begin for begin, _, end in started) / ROUND_TRIP_S
        session.close()
        near.stop()
        yield Result(f"INSERT of a row over {tls}: round trips", "", taken["write"], "read on a kept connection",
                     taken["read"])


def run(setting):
    sandbox = tpmtest.Sandbox("--records", "100", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    yield from handshakes(setting, sandbox)
    yield from round_trips(setting, sandbox)
    sandbox.stop()
