"""What was learnt about a table: kept over restarts and crashes, forgotten with its options, never believed when the
file is not what was written."""

import hostile
import psycopg2
import pytest
import tpmtest
from hostile import document, resource
from tpmtest import notices, rows

FULL = [resource(n, name=f"n{n}", colour="red") for n in range(1, 31)]
WITHOUT = [resource(n, name=f"n{n}") for n in range(1, 31)]
COLOURS = "SELECT count(*) FROM things WHERE colour IS NULL"


@pytest.fixture(scope="module")
def shared_server():
    server = hostile.Hostile()
    yield server
    server.close()


@pytest.fixture
def own(shared_server):
    """A cluster that may be restarted, and a server; both empty."""
    shared_server.reset()
    cluster = tpmtest.Cluster().start()
    yield cluster, shared_server
    cluster.destroy()


def prepare(cluster, server, database):
    """The table on the server in that database, whose every resource has had a colour when this ends."""
    cluster.sql(f"CREATE DATABASE {database}")
    db = cluster.connect(database)
    options = {"base_url": server.base_url, "auth": "none", "cache_ttl": 0, **tpmtest.GENEROUS}
    for statement in ("CREATE EXTENSION tpm_fdw",
                      f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})",
                      "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm",
                      "CREATE FOREIGN TABLE things (id text, name text, colour text, size text) SERVER tpm"):
        rows(db, statement)
    server.answers["/v1/things"] = document(FULL)
    assert rows(db, COLOURS) == [(0,)]
    db.close()


def is_missed(cluster, database):
    """Is the colour that no resource has any more told from one that some have?"""
    db = cluster.connect(database)
    try:
        return rows(db, COLOURS) != [(30,)]
    except psycopg2.Error as error:
        assert error.pgcode == "HV005" and "was on every one that was read before" in error.diag.message_detail
        return True
    finally:
        db.close()


def make_sparse(cluster, server, database):
    server.answers["/v1/things"] = document(FULL[:1] + WITHOUT[1:])
    assert cluster.sql(COLOURS, dbname=database) == [(29,)]
    server.answers["/v1/things"] = document(WITHOUT)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_keeps(own, mode):
    """A member that some have is one after a restart and after a crash; so is one that all have."""
    cluster, server = own
    prepare(cluster, server, "always")
    prepare(cluster, server, "sometimes")
    make_sparse(cluster, server, "sometimes")
    cluster.restart(mode)
    assert is_missed(cluster, "always")
    assert not is_missed(cluster, "sometimes")
    assert "tpm_fdw.learnt" not in cluster.log()


def test_restart_keeps_what_filters_did(own):
    """A filter that lied is not believed after it, either."""
    cluster, _ = own
    sandbox = tpmtest.Sandbox(records=50).start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    rows(db, "SET tpm_fdw.cache_ttl = 0")
    sandbox.fault("ignore_filter")
    rows(db, "SELECT count(name) FROM tpm.third_parties WHERE country = 'DE'")
    assert "does not match" in notices(db)
    db.close()
    cluster.restart()
    right = sum(item["attributes"]["country"] == "DE" for item in sandbox.dump("third_parties"))
    db = cluster.connect()
    rows(db, "SET tpm_fdw.cache_ttl = 0")
    assert rows(db, "SELECT count(*) FROM tpm.third_parties WHERE country = 'DE'") == [(right,)]
    assert notices(db) == ""
    db.close()
    sandbox.stop()


@pytest.mark.parametrize("change", ["ALTER FOREIGN TABLE things ALTER name OPTIONS (ADD filter 'name')",
                                    "ALTER SERVER tpm OPTIONS (ADD page_size '50')",
                                    "ALTER FOREIGN TABLE things ADD COLUMN more text"])
def test_options_that_change_forget(own, change):
    """Nobody knows what a table with other options has had, before and after a restart."""
    cluster, server = own
    prepare(cluster, server, "changed")
    make_sparse(cluster, server, "changed")
    assert cluster.sql(COLOURS, dbname="changed") == [(30,)]
    cluster.sql(change, dbname="changed")
    for _ in range(2):
        with pytest.raises(psycopg2.Error) as caught:
            cluster.sql(COLOURS, dbname="changed")
        assert caught.value.pgcode == "HV005" and "before" not in caught.value.diag.message_detail
        cluster.restart()


def test_databases_are_apart(own):
    """The same table in two databases: each has its own record."""
    cluster, server = own
    prepare(cluster, server, "one")
    cluster.sql("CREATE DATABASE two TEMPLATE one")
    make_sparse(cluster, server, "one")
    server.answers["/v1/things"] = document(FULL)
    assert cluster.sql(COLOURS, dbname="two") == [(0,)]
    server.answers["/v1/things"] = document(WITHOUT)
    cluster.restart()
    assert not is_missed(cluster, "one")
    assert is_missed(cluster, "two")


def zeros(content):
    return bytes(len(content))


def half_an_entry(content):
    return content[:-20]


def one_bit(content):
    """Of the entry, behind the header."""
    return content[:60] + bytes([content[60] ^ 1]) + content[61:]


def other_version(content):
    return content[:6] + b"9" + content[7:]


@pytest.mark.parametrize("damage", [zeros, half_an_entry, one_bit, other_version, lambda content: b"",
                                    lambda content: b"\xff" * 100000], ids=range(6))
def test_damaged_file_is_ignored(own, damage):
    """As if nothing had been learnt: no error, and it is kept again from then on."""
    cluster, server = own
    prepare(cluster, server, "d")
    make_sparse(cluster, server, "d")
    assert not is_missed(cluster, "d")
    cluster.stop()
    path = cluster.datadir / "pg_stat" / "tpm_fdw.learnt"
    path.write_bytes(damage(path.read_bytes()))
    cluster.start()
    with pytest.raises(psycopg2.Error) as caught:
        cluster.sql(COLOURS, dbname="d")
    assert "before" not in caught.value.diag.message_detail
    make_sparse(cluster, server, "d")
    cluster.restart()
    assert not is_missed(cluster, "d")


def test_file_that_cannot_be_written(own):
    """One LOG line; what is learnt is used until the server stops."""
    cluster, server = own
    (cluster.datadir / "pg_stat" / "tpm_fdw.learnt").unlink()
    prepare(cluster, server, "w")
    make_sparse(cluster, server, "w")
    assert not is_missed(cluster, "w")
    assert "could not write file \"pg_stat/tpm_fdw.learnt\"" in cluster.log()


def test_copy_of_the_cluster(own):
    """A base backup has what was learnt; its standby reads and learns for itself."""
    cluster, server = own
    prepare(cluster, server, "copied")
    make_sparse(cluster, server, "copied")
    standby = cluster.standby()
    try:
        standby.start()
        assert not is_missed(standby, "copied")
    finally:
        standby.destroy()
