"""Where the API is slow: a list under the limiter, a load of new rows.

The references are a client that asks one by one, and as many as a statement may have in flight.
"""

import base64
import http.client
import json
import threading
import time
import urllib.request

import pages
import tpmtest
from report import Result

PER_SECOND = 6
PAGES = 50
MOST_OF_LIMITER = 1.15
IN_FLIGHT = 4
INSERTED = 1000


def token_of(sandbox):
    basic = base64.b64encode(b"sandbox:sandbox-secret").decode()
    request = urllib.request.Request(sandbox.url + "/oauth/token", b"grant_type=client_credentials",
                                     {"Authorization": "Basic " + basic})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["access_token"]


class Client:
    """One keep-alive connection to a sandbox, and what a plain program would send on it."""

    def __init__(self, sandbox):
        self.connection = http.client.HTTPConnection("127.0.0.1", sandbox.port)
        self.headers = {"Authorization": "Bearer " + token_of(sandbox), "Accept": pages.MEDIA_TYPE,
                        "Content-Type": pages.MEDIA_TYPE}

    def ask(self, method, path, body=None):
        self.connection.request(method, path, body, self.headers)
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status in (200, 201), answer.status


def connect(setting, name, sandbox, **options):
    setting.cluster.sql(f"CREATE DATABASE {name}")
    session = setting.cluster.connect(name)
    tpmtest.setup_server(session, sandbox, schema="tpm", trust="exact", options={"pagination": "number", **options})
    tpmtest.rows(session, "SET search_path = tpm; SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_writes = 0")
    return session


def seconds(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def scan(setting):
    sandbox = tpmtest.Sandbox("--records", str(PAGES * 100), "--latency-ms", "300", "--rate-per-second",
                              str(PER_SECOND), "--rate-per-hour", "0", "--pagination", "number").start()
    session = connect(setting, "slow", sandbox, rate_limit_per_second=PER_SECOND)
    client = Client(sandbox)
    one_by_one = seconds(lambda: [client.ask("GET", f"/v1/third_parties?page%5Bnumber%5D={page + 1}")
                                  for page in range(PAGES)])
    # the token, and the limiter's window empty again
    tpmtest.rows(session, "SELECT name FROM third_parties LIMIT 1")
    sandbox.reset()
    time.sleep(1.5)
    taken = seconds(lambda: tpmtest.rows(session, "SELECT count(name), max(updated_at) FROM third_parties"))
    requests = sandbox.request_count()
    session.close()
    sandbox.stop()
    case = f"{PAGES} pages at 300 ms and {PER_SECOND} a second"
    yield Result(f"{case}: time", "s", taken, "pages / limit", PAGES / PER_SECOND, most=MOST_OF_LIMITER)
    yield Result(f"{case}: time, to one by one", "s", taken, "one page after the other", one_by_one)
    yield Result(f"{case}: requests", "", requests, "pages", PAGES, most=1.0, recorded=True)


def post_side_by_side(sandbox):
    """The same rows by hand, as many in flight."""
    def post(client, numbers):
        for number in numbers:
            client.ask("POST", "/v1/third_parties", json.dumps({"data": {
                "type": "third_parties", "attributes": {"name": f"By hand {number}", "country": "DE"}}}))

    workers = [threading.Thread(target=post, args=(Client(sandbox), range(start, INSERTED, IN_FLIGHT)))
               for start in range(IN_FLIGHT)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def load(setting):
    """Without a key nothing is looked for; with one, a hundred rows cost one look before they are sent."""
    sandbox = tpmtest.Sandbox("--records", "100", "--latency-ms", "100", "--rate-per-second", "0",
                              "--rate-per-hour", "0").start()
    session = connect(setting, "load", sandbox, fetch_concurrency=IN_FLIGHT)
    by_hand = seconds(lambda: post_side_by_side(sandbox))
    for columns, values, what, looks in (("name, country", "'Loaded ' || i, 'DE'", "rows", 0),
                                         ("internal_id, name, country", "'L-' || i, 'Loaded ' || i, 'DE'", "rows with a key",
                                          INSERTED // 100)):
        sandbox.reset()
        taken = seconds(lambda: tpmtest.rows(
            session, f"INSERT INTO third_parties ({columns}) SELECT {values} FROM generate_series(1, {INSERTED}) i"))
        posts = sum(entry["method"] == "POST" for entry in sandbox.api_requests())
        requests = len(sandbox.api_requests())
        assert posts == INSERTED
        yield Result(f"INSERT of {INSERTED:,} {what} at 100 ms: time", "s", taken, f"POST by hand, {IN_FLIGHT} in flight",
                     by_hand, most=1.1)
        yield Result(f"INSERT of {INSERTED:,} {what}: requests", "", requests, "rows, looks", INSERTED + looks, most=1.0,
                     recorded=True)
    session.close()
    sandbox.stop()


def run(setting):
    yield from scan(setting)
    yield from load(setting)
