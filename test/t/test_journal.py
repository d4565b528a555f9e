"""The journal of writes: what it holds, who may read it, and what is left of it when files are damaged or full."""

import datetime as dt
import os
import shutil
import struct

import psycopg2
import pytest
import tpmtest
from tpmtest import rows

INSERT = "INSERT INTO tpm.notes (body, third_party_id) VALUES ('{}', '1')"
BODIES = "SELECT new->>'body', outcome FROM tpm_fdw_writes ORDER BY number"
EVIDENCE = "SELECT outcome, status, sendings, evidence FROM tpm_fdw_writes ORDER BY number"


def posts(sandbox):
    return [entry for entry in sandbox.api_requests() if entry["method"] == "POST"]


def day_file(cluster, days_ago=0):
    day = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=days_ago)
    return cluster.datadir / "tpm_fdw" / f"journal-{day:%Y%m%d}"


@pytest.fixture
def own(sandbox):
    """A cluster whose journal is its own, with the sandbox's tables, and a connection to it."""
    cluster = tpmtest.Cluster().start()
    connection = cluster.connect()
    tpmtest.setup_server(connection, sandbox, schema="tpm", trust="exact")
    rows(connection, "SET tpm_fdw.cache_ttl = 0")
    yield cluster, connection
    cluster.destroy()


# ----- what it holds -----


def test_who_wrote_what(tpm, cluster, sandbox):
    rows(tpm, "CREATE ROLE writer LOGIN")
    try:
        rows(tpm, "CREATE VIEW public.tp AS SELECT * FROM tpm.third_parties; GRANT SELECT, UPDATE ON public.tp TO writer")
        rows(tpm, "SET application_name = 'the approvals'; SET ROLE writer")
        city = next(i for i in sandbox.dump("third_parties") if i["id"] == "5")["attributes"]["city"]
        rows(tpm, "BEGIN")
        rows(tpm, "UPDATE public.tp SET city = 'Journal' WHERE id = '5'")
        (xid,), = rows(tpm, "SELECT pg_current_xact_id_if_assigned()::text::bigint")
        rows(tpm, "ROLLBACK")
        rows(tpm, "RESET ROLE")
        seen = rows(tpm, "SELECT server, relation, method, path, id, columns, old, new, status, outcome, role, session_role,"
                         " application_name, client_addr, database, transaction_id, request_id, done >= intended"
                         " FROM tpm_fdw_writes WHERE database = current_database()")
        (put,) = [entry for entry in sandbox.api_requests() if entry["method"] == "PUT"]
        assert seen == [("tpm", "tpm.third_parties", "PUT", "/third_parties/5", "5", ["city"], {"city": city},
                         {"city": "Journal"}, 200, "sent", "writer", "postgres", "the approvals", None,
                         tpm.info.dbname, xid, put["request_id"], True)]
    finally:
        rows(tpm, "RESET ROLE; DROP OWNED BY writer; DROP ROLE writer")


def test_values_for_whom(tpm, cluster, sandbox):
    """For the writer, the table's owner and superusers; other readers of the journal see that, not what."""
    name = tpm.info.dbname
    rows(tpm, "CREATE ROLE clerk LOGIN; CREATE ROLE boss LOGIN IN ROLE pg_read_all_stats;"
              " CREATE ROLE auditor LOGIN IN ROLE pg_monitor")
    try:
        rows(tpm, "GRANT USAGE ON FOREIGN SERVER tpm TO boss; GRANT ALL ON SCHEMA tpm TO boss, clerk;"
                  " CREATE USER MAPPING FOR boss SERVER tpm OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret');"
                  " ALTER FOREIGN TABLE tpm.notes OWNER TO boss; SET ROLE boss;"
                  " CREATE VIEW tpm.my_notes AS SELECT * FROM tpm.notes; GRANT INSERT ON tpm.my_notes TO clerk; RESET ROLE")
        cluster.sql("INSERT INTO tpm.my_notes (body, third_party_id) VALUES ('mine', '1')", dbname=name, user="clerk")
        ours = f"SELECT path, columns, new FROM tpm_fdw_writes WHERE database = '{name}'"
        columns = ["body", "third_party_id"]
        whole = [("/notes", columns, {"body": "mine", "third_party_id": "1"})]
        for role in ("clerk", "boss", "postgres"):
            (path, named, new), = cluster.sql(ours, dbname=name, user=role)
            assert [(path, sorted(named), new)] == whole, role
        (path, named, new), = cluster.sql(ours, dbname=name, user="auditor")
        assert (path, sorted(named), new) == ("/notes", columns, None)
    finally:
        rows(tpm, "DROP OWNED BY clerk, boss, auditor CASCADE; DROP ROLE clerk, boss, auditor")


def test_without_values(own, sandbox):
    cluster, db = own
    cluster.configure(tpm_fdw__journal_values="off")
    cluster.reload()
    tpmtest.wait_until(lambda: rows(db, "SHOW tpm_fdw.journal_values") == [("off",)])
    rows(db, INSERT.format("a secret body"))
    rows(db, "UPDATE tpm.third_parties SET city = 'a secret city' WHERE id = '1'")
    assert rows(db, "SELECT method, columns, old, new, outcome FROM tpm_fdw_writes ORDER BY number") == [
        ("POST", ["body", "third_party_id"], None, None, "sent"), ("PUT", ["city"], None, None, "sent")]
    assert b"a secret" not in day_file(cluster).read_bytes()


def test_what_an_outcome_rests_on(own, sandbox):
    """How often a write was sent, and what its outcome rests on; an intent says neither."""
    cluster, db = own
    rows(db, INSERT.format("there"))
    with pytest.raises(psycopg2.Error):
        rows(db, "INSERT INTO tpm.third_parties (name, country) VALUES ('wrong', 'nowhere')")
    sandbox.fault("stall", match="POST /v1", count=1)
    writer = cluster.connect()
    thread, result = tpmtest.in_thread(lambda: rows(writer, INSERT.format("stalled")))
    known = [("sent", 201, 1, "answer"), ("refused", 422, 1, "answer")]
    # the intent is there before the bytes leave
    tpmtest.wait_until(lambda: len(posts(sandbox)) == 3)
    assert rows(db, EVIDENCE) == known + [("in flight", None, None, None)]
    writer.cancel()
    thread.join()
    assert isinstance(result[0], psycopg2.errors.QueryCanceled)
    assert [row[0] for row in rows(db, EVIDENCE)] == ["sent", "refused", "unknown"]


def test_not_sent(own, sandbox):
    """What was intended and never left is refused, for that reason."""
    _, db = own
    rows(db, f"ALTER SERVER tpm OPTIONS (SET base_url 'http://127.0.0.1:{tpmtest.free_port()}', ADD max_retries '0',"
             f" SET token_url '{sandbox.url}/oauth/token')")
    with pytest.raises(psycopg2.Error) as caught:
        rows(db, INSERT.format("nowhere"))
    assert caught.value.pgcode == "HV00N"
    assert rows(db, EVIDENCE) == [("refused", None, 0, "not sent")]


def of_before(data):
    """The file as a library wrote it that knew neither sendings nor evidence."""
    old, at = b"", 0
    while at < len(data):
        length, = struct.unpack_from("=I", data, at + 8)
        record, at = bytearray(data[at:at + length]), at + length
        end, (columns,) = 88, struct.unpack_from("=I", record, 80)
        for _ in range(13 + columns):
            end += 4 + struct.unpack_from("=I", record, end)[0]
        del record[end:]
        struct.pack_into("=I", record, 8, end)
        struct.pack_into("=I", record, 84, 0)
        struct.pack_into("=I", record, 4, tpmtest.crc32c(record[8:]))
        old += record
    return old


def test_files_of_a_library_before(own, sandbox):
    """Files without sendings and evidence are read, and written on."""
    cluster, db = own
    rows(db, INSERT.format("before"))
    rows(db, "UPDATE tpm.third_parties SET city = 'Before', name = 'Before' WHERE id = '1'")
    cluster.stop()
    data = day_file(cluster).read_bytes()
    old = of_before(data)
    assert len(data) - len(old) == 2 * len(b"0000answer\0")
    day_file(cluster).write_bytes(old)
    cluster.start()
    db = cluster.connect()
    before = [("sent", 201, None, None), ("sent", 200, None, None)]
    assert rows(db, EVIDENCE) == before
    rows(db, INSERT.format("after"))
    assert rows(db, EVIDENCE) == before + [("sent", 201, 1, "answer")]
    assert rows(db, "SELECT number, id IS NOT NULL, new->>'body', columns FROM tpm_fdw_writes ORDER BY number")[1] == (
        2, True, None, ["name", "city"])
    assert db.notices == []


# ----- days -----


def test_old_days_go(own, sandbox):
    """When a new day's file is made, those older than journal_keep are removed; numbers go on."""
    cluster, db = own
    rows(db, INSERT.format("yesterday"))
    cluster.stop()
    os.rename(day_file(cluster), day_file(cluster, 1))
    shutil.copy(day_file(cluster, 1), day_file(cluster, 40))
    cluster.configure(tpm_fdw__journal_keep="30d")
    cluster.start()
    db = cluster.connect()
    rows(db, INSERT.format("today"))
    assert day_file(cluster).exists() and day_file(cluster, 1).exists() and not day_file(cluster, 40).exists()
    assert rows(db, "SELECT number, new->>'body' FROM tpm_fdw_writes ORDER BY number") == [(1, "yesterday"), (2, "today")]


def test_files_of_two_clusters(own, sandbox):
    """A number that two files give is two writes, each with its own outcome."""
    cluster, db = own
    rows(db, INSERT.format("ours"))
    other = tpmtest.Cluster().start()
    theirs = other.connect()
    tpmtest.setup_server(theirs, sandbox, schema="tpm", trust="exact")
    rows(theirs, INSERT.format("theirs"))
    with pytest.raises(psycopg2.Error):
        rows(theirs, "INSERT INTO tpm.third_parties (name, country) VALUES ('theirs too', 'nowhere')")
    other.stop()
    shutil.copy2(day_file(other), day_file(cluster, 3))
    shutil.chown(day_file(cluster, 3), tpmtest.cluster_user().pw_name)
    assert sorted(rows(db, "SELECT number, coalesce(new->>'body', new->>'name'), outcome FROM tpm_fdw_writes")) == [
        (1, "ours", "sent"), (1, "theirs", "sent"), (2, "theirs too", "refused")]
    other.destroy()


# ----- damage -----


@pytest.mark.parametrize("tear", ["outcome", "intent", "garbage", "zeros"])
def test_torn_last_record(own, sandbox, tear):
    """What a crash tore is no record, and what is written after it is readable."""
    cluster, db = own
    rows(db, INSERT.format("whole"))
    size = day_file(cluster).stat().st_size
    sandbox.fault("stall", match="POST /v1", count=1)
    rows(db, "SET statement_timeout = '300ms'")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        rows(db, INSERT.format("torn"))
    cluster.stop()
    length = day_file(cluster).stat().st_size
    with open(day_file(cluster), "r+b") as file:
        if tear == "outcome":
            file.truncate(length - 7)
        elif tear == "intent":
            file.truncate(size + 50)
        else:
            file.seek(length)
            file.write(b"\0" * 300 if tear == "zeros" else os.urandom(300))
    cluster.start()
    db = cluster.connect()
    expected = [("whole", "sent")] + ([] if tear == "intent" else [("torn", "unknown")])
    assert rows(db, BODIES) == expected
    rows(db, INSERT.format("after"))
    assert rows(db, BODIES) == expected + [("after", "sent")]
    assert len({number for number, in rows(db, "SELECT number FROM tpm_fdw_writes")}) == len(expected) + 1
    cluster.restart()
    assert cluster.sql(BODIES) == expected + [("after", "sent")]


@pytest.mark.parametrize("how", ["rows", "batch", "copy"])
def test_full_disk(sandbox, how):
    """Where no intent can be written, nothing is sent: 53100; what was sent before is told."""
    cluster = tpmtest.Cluster()
    where = cluster.datadir / "tpm_fdw"
    where.mkdir()
    user = tpmtest.cluster_user()
    cluster.start_in(f"mount -t tmpfs -o size=16k,mode=700,uid={user.pw_uid},gid={user.pw_gid} tmpfs {where}")
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    with pytest.raises(psycopg2.Error) as caught:
        if how == "rows":
            for number in range(100):
                rows(db, INSERT.format(number))
        elif how == "batch":
            rows(db, "INSERT INTO tpm.notes (body, third_party_id) SELECT g::text, '1' FROM generate_series(0, 99) g")
        else:
            rows(db, "COPY tpm.notes (body, third_party_id) FROM PROGRAM $$seq 0 99 | sed 's/$/\\t1/'$$")
    assert caught.value.pgcode == "53100"
    assert "Nothing was sent" in caught.value.diag.message_detail
    sent = len(posts(sandbox))
    assert 5 < sent < 100 and sandbox.state()["created"] == {"notes": sent}
    # every one that left has its intent
    intents = rows(db, "SELECT new->>'body', outcome FROM tpm_fdw_writes")
    assert {body for body, _ in intents} >= {i["attributes"]["body"] for i in sandbox.dump("notes")[-sent:]}
    assert {outcome for _, outcome in intents} <= {"sent", "refused", "unknown"}
    if how != "rows":
        assert f"{sent} writes that were sent" in "".join(db.notices)
    cluster.destroy()


def test_no_place_to_write(own, sandbox):
    cluster, db = own
    (cluster.datadir / "tpm_fdw").write_text("in the way")
    with pytest.raises(psycopg2.Error) as caught:
        rows(db, INSERT.format("x"))
    assert "Nothing was sent" in caught.value.diag.message_detail
    assert posts(sandbox) == []
    os.unlink(cluster.datadir / "tpm_fdw")
    rows(db, INSERT.format("y"))
    assert rows(db, BODIES) == [("y", "sent")]
