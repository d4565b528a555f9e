"""Whose user mapping is used: the one that postgres_fdw would use."""

import io

import psycopg2
import pytest
import tpmtest


@pytest.fixture
def house(db, cluster):
    """Roles owner and analyst with mappings of their own, a third without one; the client behind each request."""
    sandbox = tpmtest.Sandbox("--records", "60", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--client", "of-owner:s1", "--client", "of-analyst:s2").start()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    for role in ("owner_role", "analyst", "stranger"):
        tpmtest.rows(db, f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN;"
                         f" GRANT USAGE ON FOREIGN SERVER tpm TO {role}; GRANT ALL ON SCHEMA tpm, public TO {role};"
                         f" GRANT ALL ON ALL TABLES IN SCHEMA tpm TO {role}; ALTER ROLE {role} SET tpm_fdw.cache_ttl = 0")
    for role, client, secret in (("owner_role", "of-owner", "s1"), ("analyst", "of-analyst", "s2")):
        tpmtest.rows(db, f"CREATE USER MAPPING FOR {role} SERVER tpm OPTIONS (client_id '{client}',"
                         f" client_secret '{secret}')")
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")
    yield House(db, cluster, sandbox)
    tpmtest.rows(db, "RESET ROLE")
    for role in ("owner_role", "analyst", "stranger"):
        tpmtest.rows(db, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
    sandbox.stop()


class House:
    def __init__(self, db, cluster, sandbox):
        self.db, self.cluster, self.sandbox = db, cluster, sandbox

    def connect(self, role):
        return self.cluster.connect(self.db.info.dbname, role)

    def clients(self, connection, *statements):
        """The clients whose requests these statements sent."""
        before = len(self.sandbox.api_requests())
        for statement in statements:
            tpmtest.rows(connection, statement)
        return {entry["client"] for entry in self.sandbox.api_requests()[before:]}


QUERY = "SELECT count(name) FROM {}"


def test_plain(house):
    """The table itself: whoever asks."""
    for role, client in (("analyst", "of-analyst"), ("owner_role", "of-owner")):
        assert house.clients(house.connect(role), QUERY.format("tpm.third_parties")) == {client}
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(house.connect("stranger"), QUERY.format("tpm.third_parties"))
    assert "user mapping" in str(caught.value)


def test_views(house):
    """A view: its owner's, unless it is a security_invoker view; a view in a view too."""
    owner = house.connect("owner_role")
    tpmtest.rows(owner, "CREATE VIEW plain AS SELECT * FROM tpm.third_parties;"
                        "CREATE VIEW invoker WITH (security_invoker) AS SELECT * FROM tpm.third_parties;"
                        "CREATE VIEW outer_view AS SELECT * FROM invoker;"
                        "GRANT SELECT ON plain, invoker, outer_view TO analyst, stranger")
    analyst = house.connect("analyst")
    assert house.clients(analyst, QUERY.format("plain")) == {"of-owner"}
    assert house.clients(analyst, QUERY.format("invoker")) == {"of-analyst"}
    assert house.clients(analyst, "SELECT count(*) FROM plain JOIN invoker USING (id)") == {"of-owner", "of-analyst"}
    assert house.clients(house.connect("stranger"), QUERY.format("plain")) == {"of-owner"}
    tpmtest.rows(owner, "GRANT INSERT, UPDATE ON plain TO analyst")
    assert house.clients(analyst, "UPDATE plain SET name = 'Renamed' WHERE id = '1'") == {"of-owner"}
    assert house.clients(analyst, "INSERT INTO plain (name, country) VALUES ('New', 'DE')") == {"of-owner"}


def test_functions(house):
    """SECURITY DEFINER: its owner's; SECURITY INVOKER: the caller's."""
    tpmtest.rows(house.connect("owner_role"),
                 "CREATE FUNCTION definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
                 " AS 'SELECT count(name) FROM tpm.third_parties';"
                 "CREATE FUNCTION invoker() RETURNS bigint LANGUAGE plpgsql"
                 " AS 'BEGIN RETURN (SELECT count(name) FROM tpm.third_parties); END'")
    analyst = house.connect("analyst")
    assert house.clients(analyst, "SELECT definer()") == {"of-owner"}
    assert house.clients(analyst, "SELECT invoker()") == {"of-analyst"}
    assert house.clients(analyst, "SELECT definer(), invoker()") == {"of-owner", "of-analyst"}


def test_materialized_view(house):
    """REFRESH by somebody else: the owner's."""
    tpmtest.rows(house.connect("owner_role"), "CREATE MATERIALIZED VIEW kept AS SELECT id, name FROM tpm.third_parties")
    assert house.clients(house.db, "REFRESH MATERIALIZED VIEW kept") == {"of-owner"}


def test_partition(house):
    """A partition of a parent: whoever asks the parent."""
    tpmtest.rows(house.db, "CREATE TABLE parent (id text, name text, country text) PARTITION BY LIST (country);"
                           "CREATE FOREIGN TABLE part PARTITION OF parent DEFAULT SERVER tpm"
                           " OPTIONS (resource '/third_parties');"
                           "GRANT ALL ON parent TO analyst, owner_role")
    assert house.clients(house.connect("analyst"), QUERY.format("parent")) == {"of-analyst"}
    assert house.clients(house.connect("owner_role"), QUERY.format("parent")) == {"of-owner"}
    assert house.clients(house.connect("analyst"),
                         "INSERT INTO parent (name, country) VALUES ('Routed', 'DE')") == {"of-analyst"}


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_cached_plan(house, mode):
    """A prepared statement after SET ROLE: the role of now."""
    db = house.db
    tpmtest.rows(db, f"SET plan_cache_mode = {mode}")
    tpmtest.rows(db, "PREPARE q AS " + QUERY.format("tpm.third_parties"))
    for role, client in (("owner_role", "of-owner"), ("analyst", "of-analyst"), ("owner_role", "of-owner")):
        tpmtest.rows(db, f"SET ROLE {role}")
        assert house.clients(db, "EXECUTE q") == {client}
        tpmtest.rows(db, "RESET ROLE")


def test_copy_and_analyze(house):
    """COPY FROM and ANALYZE: whoever runs them."""
    analyst = house.connect("analyst")
    before = len(house.sandbox.api_requests())
    with analyst.cursor() as cursor:
        cursor.copy_expert("COPY tpm.third_parties (name, country) FROM STDIN", io.StringIO("Copied\tDE\n"))
    assert {entry["client"] for entry in house.sandbox.api_requests()[before:]} == {"of-analyst"}
    assert house.clients(house.db, "ALTER TABLE tpm.users OWNER TO owner_role") == set()
    assert house.clients(house.connect("owner_role"), "ANALYZE tpm.users") == {"of-owner"}


def test_public_mapping(house):
    """A mapping for PUBLIC serves who has none."""
    tpmtest.rows(house.db, "CREATE USER MAPPING FOR PUBLIC SERVER tpm OPTIONS (client_id 'sandbox',"
                           " client_secret 'sandbox-secret')")
    assert house.clients(house.connect("stranger"), QUERY.format("tpm.third_parties")) == {"sandbox"}
    assert house.clients(house.connect("analyst"), QUERY.format("tpm.third_parties")) == {"of-analyst"}
