"""Fixtures: one cluster and one sandbox for all tests, a fresh database for each."""

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import documents  # noqa: E402
import tpmtest  # noqa: E402

NUMBERS = itertools.count(1)


def pytest_configure(config):
    """Marks: what takes minutes, what mostly waits in them, what needs the machine for itself, what no watcher may watch."""
    config.addinivalue_line("markers", "long: takes minutes; left out where other versions are tried")
    config.addinivalue_line("markers", "bare: cannot run where something watches the server's memory: it limits that")
    config.addinivalue_line("markers", "patient: needs little of the machine; run beside other tests")
    config.addinivalue_line("markers", "timed: what it measures takes milliseconds; run beside nothing else")


@pytest.fixture(scope="session", autouse=True)
def readable(tmp_path_factory):
    """What tests write there is read by the cluster's user; with several workers each has a directory in pytest's."""
    where = tmp_path_factory.getbasetemp()
    for path in where, *where.parents[:2]:
        if path.name.startswith(("pytest-", "popen-")):
            path.chmod(0o755)


@pytest.fixture(scope="session")
def cluster():
    cluster = tpmtest.Cluster().start()
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="session")
def shared_sandbox():
    sandbox = tpmtest.Sandbox("--records", "300", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(shared_sandbox):
    shared_sandbox.reset(data=True)
    yield shared_sandbox
    shared_sandbox.reset(data=True)


@pytest.fixture(scope="session")
def icu(cluster):
    """For a test that needs its collations: not every build of PostgreSQL has them."""
    # one of those that initdb finds: "unicode" is listed by builds that cannot use it
    if not cluster.sql("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'"):
        pytest.skip("without ICU: its collations are not in this build of PostgreSQL")


@pytest.fixture(scope="session")
def contrib(cluster):
    """To be told of an extension that a test needs: it comes with PostgreSQL, but not with every build of it."""
    def need(name):
        if not cluster.sql("SELECT 1 FROM pg_available_extensions WHERE name = %s", (name,)):
            pytest.skip(f"without {name}: it is not in this build of PostgreSQL")
    return need


@pytest.fixture
def db(cluster):
    """A connection to a database of its own, with the extension."""
    name = f"t{next(NUMBERS)}"
    cluster.sql(f"CREATE DATABASE {name}")
    connection = cluster.connect(name)
    tpmtest.rows(connection, "CREATE EXTENSION tpm_fdw")
    # what other tests left of pauses is theirs
    tpmtest.rows(connection, "SELECT tpm_fdw_reset_rate_limits(), tpm_fdw_reset_cache()")
    yield connection
    connection.close()


@pytest.fixture
def tpm(db, sandbox):
    """The same with the sandbox's tables in schema tpm, filters trusted, cache off."""
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")
    tpmtest.rows(db, "SET search_path = tpm, public")
    # what a doubt waits for takes a second instead of five
    tpmtest.rows(db, f"SET tpm_fdw.settle = {int(1000 * tpmtest.SLACK)}")
    return db


@pytest.fixture
def api(db, sandbox):
    """A server without tables, and an empty schema s for them; the cache off, nothing said yet."""
    tpmtest.setup_server(db, sandbox)
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")
    tpmtest.rows(db, "CREATE SCHEMA s")
    tpmtest.notices(db)
    return db


@pytest.fixture
def load(cluster, db):
    """Imports documents from files, as an API at https://api.example.com/v1."""
    return documents.Importer(cluster, db)
