"""A scan's memory does not grow with the table, but for the ids that it remembers."""

import threading

import pytest
import tpmtest

pytestmark = pytest.mark.long

MB = 1024


class Peak(threading.Thread):
    """The most anonymous memory of a process, in kB."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.kb, self.over = f"/proc/{pid}/status", 0, threading.Event()

    def run(self):
        while not self.over.wait(0.005):
            with open(self.path, encoding="ascii") as status:
                self.kb = max(self.kb, next(int(line.split()[1]) for line in status if line.startswith("RssAnon")))


def peak(cluster, settings, query):
    """Of a fresh backend that runs a query; and its answer."""
    db = cluster.connect()
    tpmtest.rows(db, settings)
    watch = Peak(db.get_backend_pid())
    watch.start()
    rows = tpmtest.rows(db, query)
    watch.over.set()
    watch.join()
    db.close()
    return watch.kb, rows


@pytest.mark.parametrize("settings", ["SET tpm_fdw.cache_ttl = 0", "SET tpm_fdw.cache_ttl = '1h'"])
def test_rows(settings):
    """100,000 third parties: within 20 MB of 1,000."""
    cluster = tpmtest.Cluster().start()
    peaks = {}
    for records in (1000, 100000):
        sandbox = tpmtest.Sandbox("--records", str(records), "--rate-per-second", "0", "--rate-per-hour", "0",
                                  "--page-max", "1000", "--no-gzip").start()
        db = cluster.connect()
        tpmtest.setup_server(db, sandbox, server=f"s{records}", schema=f"s{records}", options={"page_size": 100})
        db.close()
        peaks[records], rows = peak(cluster, settings + "; SET tpm_fdw.max_requests = 0",
                                    f"SELECT count(name), count(DISTINCT status) FROM s{records}.third_parties")
        assert rows[0][0] == records
        sandbox.stop()
    print(f"{settings}: {peaks[1000]} kB with 1,000 rows, {peaks[100000]} kB with 100,000")
    assert peaks[100000] - peaks[1000] < 20 * MB
    cluster.destroy()


def test_writes(cluster):
    """2,000 rows in one group: what became of a row goes with it, and only its body and its name remain."""
    sandbox = tpmtest.Sandbox("--records", "10", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, server="written", schema="written")
    db.close()
    peaks = {}
    for n in (50, 2000):
        peaks[n], _ = peak(cluster, "SET tpm_fdw.max_writes = 5000; SET tpm_fdw.max_wait = -1",
                           "INSERT INTO written.third_parties (country, name, internal_id)"
                           f" SELECT 'US', n::text, 'M-{n}-' || n FROM generate_series(1, {n}) n")
    sandbox.stop()
    print(f"{peaks[50]} kB with 50 rows, {peaks[2000]} kB with 2,000")
    assert peaks[2000] - peaks[50] < 80 * MB


def test_statements(tpm):
    """10,000 statements in one session: what they leave behind levels off."""
    def contexts():
        return tpmtest.rows(tpm, "SELECT sum(total_bytes) FROM pg_backend_memory_contexts")[0][0]

    tpmtest.rows(tpm, "SET tpm_fdw.cache_ttl = '1h'")
    kinds = ["SELECT name FROM third_parties WHERE id = '5'", "SELECT count(*) FROM third_parties",
             "SELECT id FROM third_parties ORDER BY updated_at DESC LIMIT 3",
             "SELECT t.name, u.email FROM third_parties t, users u WHERE u.id = '1' AND t.id = '2'",
             "EXPLAIN SELECT * FROM cases WHERE open"]
    levels = []
    for turn in range(10):
        for _ in range(200):
            for statement in kinds:
                tpmtest.rows(tpm, statement)
        levels.append(contexts())
    print(f"bytes after each 1,000 statements: {levels}")
    assert levels[-1] - levels[1] < 64 * 1024


def held(connection):
    """Bytes of the contexts that a scan's requests leave behind."""
    return tpmtest.rows(connection, "SELECT coalesce(sum(total_bytes), 0)::bigint FROM pg_backend_memory_contexts"
                                    " WHERE name LIKE 'tpm_fdw%'")[0][0]


def test_requests(tpm):
    """Of a scan that sends many requests none leaves its pages behind."""
    tpmtest.rows(tpm, "CREATE FOREIGN TABLE party_notes (id text, third_party_id text, body text) SERVER tpm"
                      " OPTIONS (resource '/third_parties/{third_party_id}/notes', type 'notes')")
    tpmtest.rows(tpm, "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_requests = 0")
    tpm.autocommit = False
    with tpm.cursor() as cursor:
        cursor.execute("DECLARE all_of_them CURSOR FOR SELECT * FROM party_notes WHERE third_party_id ="
                       " ANY (ARRAY(SELECT g::text FROM generate_series(1, 250) g))")
        cursor.execute("FETCH 3 FROM all_of_them")
        before = held(tpm)
        cursor.execute("FETCH ALL FROM all_of_them")
        assert len(cursor.fetchall()) > 50
        grown = held(tpm) - before
        print(f"{grown} bytes more after some 250 requests")
        assert grown < 64 * 1024
    tpm.rollback()
    tpm.autocommit = True
