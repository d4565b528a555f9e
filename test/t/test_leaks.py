"""10,000 statements in one session: nothing grows with their number."""

import processes
import psycopg2
import tpmtest
from tpmtest import rows

STATEMENTS = 10000

# right and wrong ones, with and without the cache
KINDS = (
    "SELECT id, name FROM third_parties WHERE country = 'US'",
    "SELECT name FROM third_parties WHERE id = '{n}'",
    "SELECT count(*) FROM third_parties WHERE status = 'Active'",
    "SELECT * FROM users",
    "SELECT t.name, c.name FROM cases c JOIN third_parties t ON t.id = c.third_party_id WHERE c.id = '{n}'",
    "SELECT id FROM cases ORDER BY updated_at DESC LIMIT 3",
    "UPDATE third_parties SET city = 'x{n}' WHERE id = '{n}'",
    "INSERT INTO third_parties (name, country) VALUES ('x', 'nowhere')",
    "SELECT * FROM nowhere",
    "EXPLAIN SELECT * FROM cases",
    "SELECT count(*) FROM tpm_fdw_requests",
    "SELECT custom_fields, region_id FROM third_parties LIMIT 5",
)


def statement(connection, number):
    try:
        rows(connection, KINDS[number % len(KINDS)].format(n=number % 50 + 1))
    except psycopg2.Error as error:
        assert error.pgcode in ("22023", "HV00R"), error


def state(connection):
    """Bytes in memory contexts, bytes of the process, open files."""
    pid = connection.info.backend_pid
    (contexts,), = rows(connection, "SELECT sum(total_bytes) FROM pg_backend_memory_contexts")
    return int(contexts), processes.anonymous_bytes(pid), len(processes.open_files(pid))


def test_level(tpm, sandbox):
    """Between the 2,000th and the 10,000th statement, sizes level off."""
    rows(tpm, "CREATE FOREIGN TABLE nowhere (id text) SERVER tpm OPTIONS (resource '/nowhere')")
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD max_response_size '8MB')")
    seen = []
    for number in range(STATEMENTS):
        if number % 100 == 0:
            # half of them find and fill the cache
            rows(tpm, f"SET tpm_fdw.cache_ttl = {0 if number % 200 else 1}")
        statement(tpm, number)
        if number % 500 == 499:
            sandbox.reset()
        if number % 2000 == 1999:
            seen.append(state(tpm))
    print(seen)
    (contexts, anonymous, files), *_, (last_contexts, last_anonymous, last_files) = seen
    assert last_contexts - contexts < 64 * 1024
    assert last_anonymous - anonymous < 2 * 1024 * 1024 * tpmtest.SLACK
    assert last_files - files <= 4
