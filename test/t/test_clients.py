"""Clients as they are: the real drivers against the sandbox's tables, and what each step costs in requests.

Looking around (catalogues, LIMIT 0, WHERE 1 = 0, a description) sends nothing. A query that is read
page by page costs the pages that were taken.
"""

import glob
import json

import clients
import pytest
import tpmtest

pytestmark = pytest.mark.long

RECORDS = 1000
PAGE = 100
DATABASE = "clients"

PROBES = [
    "SELECT * FROM tpm.third_parties LIMIT 0",
    "SELECT * FROM tpm.third_parties WHERE 1=0",
    "SELECT * FROM (SELECT * FROM tpm.third_parties) probe WHERE 0 = 1",
    "SELECT * FROM (SELECT id, name FROM tpm.third_parties) custom LIMIT 0",
    "SELECT t.name, c.id FROM tpm.third_parties t JOIN tpm.cases c ON c.third_party_id = t.id WHERE FALSE",
    "SELECT status, count(*) FROM tpm.third_parties GROUP BY status LIMIT 0",
]


@pytest.fixture(scope="module")
def served():
    """A cluster that listens on loopback, and the API behind it; a reader who sees views only."""
    sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0").start()
    cluster = tpmtest.Cluster(listen_addresses="127.0.0.1").start()
    cluster.sql(f"CREATE DATABASE {DATABASE}")
    owner = cluster.connect(DATABASE)
    tpmtest.setup_server(owner, sandbox, schema="api", trust="exact")
    tpmtest.rows(owner, "CREATE SCHEMA tpm; CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA tpm TO reader")
    for (table,) in tpmtest.rows(owner, "SELECT relname FROM pg_class WHERE relnamespace = 'api'::regnamespace"
                                 " AND relkind = 'f'"):
        tpmtest.rows(owner, f'CREATE VIEW tpm."{table}" AS SELECT * FROM api."{table}"')
    tpmtest.rows(owner, "GRANT SELECT ON ALL TABLES IN SCHEMA tpm TO reader;"
                 "GRANT INSERT, UPDATE ON tpm.third_parties TO reader")
    owner.close()
    yield cluster, sandbox
    cluster.destroy()
    sandbox.stop()


@pytest.fixture
def spent(served):
    """Runs something; (its result, the requests that it sent)."""
    cluster, sandbox = served

    def counted(function, *arguments):
        cluster.sql("SELECT tpm_fdw_reset_cache()", dbname=DATABASE)
        sandbox.reset()
        result = function(*arguments)
        return result, sandbox.request_count()
    return counted


# ----- PgJDBC -----

class Jdbc(clients.Steps):
    """PgJDBC in a Java of its own."""

    def __init__(self, cluster, user):
        jar = "/usr/share/java/postgresql.jar"
        super().__init__(["java", "-cp", jar, clients.CLIENTS / "Client.java",
                          f"jdbc:postgresql://127.0.0.1:{cluster.port}/{DATABASE}?user={user}"])

    def step(self, *words):
        answer = self.ask("\t".join(str(word) for word in words))
        return answer.split("\t") if answer else []


@pytest.fixture(scope="module")
def jdbc(served):
    client = Jdbc(served[0], "reader")
    yield client
    client.close()


def test_jdbc_looks_around(jdbc, spent):
    names, requests = spent(jdbc.step, "browse", "tpm", "third_parties")
    assert {"third_parties", "cases", "questionnaires", "internal_id", "updated_at"} <= set(names)
    assert requests == 0


def test_jdbc_of_the_owner_sees_foreign_tables(served, spent):
    owner = Jdbc(served[0], "postgres")
    names, requests = spent(owner.step, "browse", "api", "third_parties")
    owner.close()
    assert {"third_parties", "cases", "internal_id"} <= set(names)
    assert requests == 0


@pytest.mark.parametrize("probe", PROBES)
def test_jdbc_probes(jdbc, spent, probe):
    columns, requests = spent(jdbc.step, "describe", probe)
    assert columns[0].split()[1] == "text" and requests == 0
    assert spent(jdbc.step, "query", probe) == ([], 0)


def test_jdbc_describes_without_running(jdbc, spent):
    columns, requests = spent(jdbc.step, "describe", "SELECT id, updated_at FROM tpm.third_parties WHERE status = ?")
    assert [column.split()[:2] for column in columns] == [["id", "text"], ["updated_at", "timestamptz"]]
    assert requests == 0


def test_jdbc_parameters(jdbc, spent):
    """Beyond five executions PgJDBC prepares on the server, and PostgreSQL plans once for all values."""
    for number in range(1, 13):
        rows, requests = spent(jdbc.step, "query", "SELECT id FROM tpm.third_parties WHERE id = ?", number)
        assert (rows, requests) == ([str(number)], 1)


TAKEN = [(PAGE, 1, 1), (PAGE, PAGE, 1), (PAGE, 2 * PAGE, 2), (50, 60, 1), (PAGE, RECORDS + 1, RECORDS // PAGE)]


@pytest.mark.parametrize("page, rows, pages", TAKEN)
def test_jdbc_fetch_size(jdbc, spent, page, rows, pages):
    taken, requests = spent(jdbc.step, "take", page, rows, "SELECT id FROM tpm.third_parties")
    assert len(set(taken)) == min(rows, RECORDS)
    assert requests == pages


def test_jdbc_batch_with_generated_keys(jdbc, served, spent):
    insert = "INSERT INTO tpm.third_parties (internal_id, name, country) VALUES (?, 'By JDBC', 'US')"
    ids, _ = spent(jdbc.step, "insert", insert, "J-1", "J-2", "J-3")
    assert ids[0] != "error", ids
    stored = {item["id"]: item["attributes"]["internal_id"] for item in served[1].dump("third_parties")}
    served[1].reset(data=True)
    assert [stored[number] for number in ids] == ["J-1", "J-2", "J-3"]


def test_jdbc_error(jdbc):
    assert jdbc.step("query", "DELETE FROM tpm.third_parties") == ["error", "42501"]
    assert jdbc.step("query", "UPDATE tpm.third_parties SET id = '0' WHERE id = '1'")[0] == "error"
    assert jdbc.step("query", "SELECT 'still here'") == ["still here"]


# ----- psqlODBC -----

@pytest.fixture
def odbc(served):
    pyodbc = pytest.importorskip("pyodbc")
    driver = glob.glob("/usr/lib/*/odbc/psqlodbcw.so")[0]
    opened = []

    def connect(**options):
        words = {"Driver": driver, "Server": "127.0.0.1", "Port": served[0].port, "Database": DATABASE,
                 "UID": "reader", **options}
        opened.append(pyodbc.connect(";".join(f"{name}={value}" for name, value in words.items()), autocommit=True))
        return opened[-1]
    yield connect
    for connection in opened:
        connection.close()


def browse_odbc(connection):
    cursor = connection.cursor()
    tables = {row.table_name for row in cursor.tables(schema="tpm")}
    columns = {row.column_name for row in cursor.columns(schema="tpm", table="third_parties")}
    for look in (lambda: cursor.primaryKeys("third_parties", schema="tpm"),
                 lambda: cursor.foreignKeys("third_parties", schema="tpm"),
                 lambda: cursor.statistics("third_parties", schema="tpm"),
                 lambda: cursor.rowIdColumns("third_parties", schema="tpm"),
                 lambda: cursor.rowVerColumns("third_parties", schema="tpm"),
                 cursor.getTypeInfo, cursor.procedures):
        look().fetchall()
    return tables, columns


def test_odbc_looks_around(odbc, spent):
    (tables, columns), requests = spent(lambda: browse_odbc(odbc()))
    assert {"third_parties", "cases"} <= tables and {"id", "name", "updated_at"} <= columns
    assert requests == 0


@pytest.mark.parametrize("declare", (0, 1))
@pytest.mark.parametrize("probe", PROBES)
def test_odbc_probes(odbc, spent, probe, declare):
    cursor = odbc(UseDeclareFetch=declare).cursor()
    rows, requests = spent(lambda: cursor.execute(probe).fetchall())
    assert (rows, requests) == ([], 0)
    assert cursor.description


@pytest.mark.parametrize("rows, pages", [(1, 1), (PAGE, 1), (PAGE + 1, 2)])
def test_odbc_declare_fetch(odbc, spent, rows, pages):
    cursor = odbc(UseDeclareFetch=1, Fetch=PAGE).cursor()

    def take():
        taken = cursor.execute("SELECT id FROM tpm.third_parties").fetchmany(rows)
        cursor.close()
        return taken
    taken, requests = spent(take)
    assert (len(taken), requests) == (rows, pages)


def test_odbc_without_cursor_reads_all(odbc, spent):
    cursor = odbc(UseDeclareFetch=0).cursor()
    taken, requests = spent(lambda: cursor.execute("SELECT id FROM tpm.third_parties").fetchmany(1))
    assert (len(taken), requests) == (1, RECORDS // PAGE)


def test_odbc_parameters(odbc, spent):
    cursor = odbc().cursor()
    for number in range(1, 9):
        row, requests = spent(lambda: cursor.execute("SELECT name FROM tpm.third_parties WHERE id = ?",
                                                     str(number)).fetchall())  # pylint: disable=cell-var-from-loop
        assert (len(row), requests) == (1, 1)


# ----- psycopg -----

COLUMNS = ("SELECT column_name FROM information_schema.columns WHERE table_schema = 'tpm'"
           " AND table_name = 'third_parties'")


def test_psycopg2(served, spent):
    connection = served[0].connect(DATABASE, "reader", autocommit=False)
    names, requests = spent(tpmtest.rows, connection, COLUMNS)
    assert ("internal_id",) in names and requests == 0
    for probe in PROBES:
        assert spent(tpmtest.rows, connection, probe) == ([], 0)

    def take(name, rows, scrollable):
        with connection.cursor(name, scrollable=scrollable) as cursor:
            cursor.itersize = PAGE
            cursor.execute("SELECT id FROM tpm.third_parties")
            return cursor.fetchmany(rows)
    for scrollable in (False, True):
        for rows, pages in ((1, 1), (PAGE, 1), (2 * PAGE, 2)):
            taken, requests = spent(take, "part", rows, scrollable)
            assert (len(taken), requests) == (rows, pages)
    connection.close()


def test_psycopg3(served, spent):
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(served[0].dsn(DATABASE, "reader")) as connection:
        names, requests = spent(lambda: connection.execute(COLUMNS).fetchall())
        assert ("internal_id",) in names and requests == 0
        for probe in PROBES:
            cursor, requests = spent(connection.execute, probe)
            assert cursor.description and cursor.fetchall() == [] and requests == 0
        for number in range(1, 13):
            row, requests = spent(lambda: connection.execute(
                "SELECT id FROM tpm.third_parties WHERE id = %s",
                (str(number),), prepare=True).fetchall())  # pylint: disable=cell-var-from-loop
            assert (row, requests) == ([(str(number),)], 1)
        with connection.cursor("part") as cursor:
            cursor.execute("SELECT id FROM tpm.third_parties")
            taken, requests = spent(cursor.fetchmany, PAGE)
        assert (len(taken), requests) == (PAGE, 1)
        # rows as they come, without a cursor: the server is stopped when the client leaves
        with connection.cursor() as cursor:
            first = next(iter(cursor.stream("SELECT id FROM tpm.third_parties")))
        assert len(first) == 1


# ----- node-postgres -----

class Node(clients.Steps):
    """node-postgres in a node of its own."""

    def __init__(self, cluster):
        super().__init__(["node", clients.CLIENTS / "node" / "client.js", "127.0.0.1", str(cluster.port), DATABASE,
                          "reader"], cwd=clients.npm_packages("node"))

    def step(self, what, **words):
        return json.loads(self.ask(json.dumps({"do": what, **words})))


@pytest.fixture(scope="module")
def node(served):
    client = Node(served[0])
    yield client
    client.close()


def test_node_looks_around(node, spent):
    answer, requests = spent(lambda: node.step("browse", schema="tpm"))
    assert {"table_name": "third_parties", "column_name": "internal_id", "data_type": "text",
            "is_nullable": "YES"} in answer["rows"]
    assert requests == 0


@pytest.mark.parametrize("probe", PROBES)
def test_node_probes(node, spent, probe):
    answer, requests = spent(lambda: node.step("ask", query=probe))
    assert answer["fields"] and answer["rows"] == [] and requests == 0


def test_node_parameters(node, spent):
    for number in range(1, 13):
        answer, requests = spent(lambda: node.step(
            "ask", name="one", query="SELECT id FROM tpm.third_parties WHERE id = $1",
            parameters=[str(number)]))  # pylint: disable=cell-var-from-loop
        assert (answer["rows"], requests) == ([{"id": str(number)}], 1)


@pytest.mark.parametrize("page, rows, pages", TAKEN)
def test_node_cursor(node, spent, page, rows, pages):
    answer, requests = spent(lambda: node.step("take", query="SELECT id FROM tpm.third_parties", page=page, rows=rows))
    assert len(answer["rows"]) == min(rows, RECORDS)
    assert requests == pages


def test_node_error(node):
    assert node.step("ask", query="DELETE FROM tpm.third_parties") == {"error": "42501"}


# ----- psql -----

PSQL = ["\\d", "\\d+", "\\det+ *.*", "\\d api.*", "\\d+ api.third_parties", "\\d+ tpm.third_parties",
        "\\dE+ api.*", "\\dv+ tpm.*",
        "\\dp tpm.*", "\\des+", "\\dew+", "\\dx+ tpm_fdw", "\\dd", "\\dn+", "\\ddp"]


@pytest.mark.parametrize("command", PSQL)
@pytest.mark.parametrize("user", ("postgres", "reader"))
def test_psql_looks_around(served, spent, command, user):
    done, requests = spent(served[0].psql, command + "\n", DATABASE, user)
    assert (done.returncode, done.stderr, requests) == (0, "", 0)
    if user == "postgres" and command not in ("\\ddp", "\\dd"):
        assert "tpm" in done.stdout or "third_parties" in done.stdout


def test_psql_describes_options(served, spent):
    done, requests = spent(served[0].psql, "\\d+ api.third_parties\n\\det+ api.*\n\\des+\n\\deu+\n", DATABASE)
    assert "(filter 'status'" in done.stdout and "natural_key 'true'" in done.stdout
    assert "sandbox-secret" in done.stdout, "the mapped role sees its own secret; see docs/real-api.md on client_secret_file"
    assert requests == 0


def test_psql_of_a_reader_shows_no_secret(served):
    done = served[0].psql("\\des+\n\\deu+\n\\dew+\n\\d+ tpm.third_parties\n", DATABASE, "reader")
    assert done.returncode == 0 and "sandbox-secret" not in done.stdout


def test_psql_gdesc_and_fetch_count(served, spent):
    done, requests = spent(served[0].psql, "SELECT id, updated_at FROM tpm.third_parties \\gdesc\n", DATABASE, "reader")
    assert "timestamp with time zone" in done.stdout and requests == 0
    done, requests = spent(served[0].psql, f"\\set FETCH_COUNT {PAGE}\nSELECT id FROM tpm.third_parties;\n", DATABASE,
                           "reader")
    assert f"({RECORDS} rows)" in done.stdout and requests == RECORDS // PAGE
