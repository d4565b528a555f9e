"""What most cases stand on: a cluster, the floor, lists that both know under the same name."""

import functools
import io

import floor
import pages
import tpmtest

CONFIG = {"tpm_fdw.cache_size": "2GB", "shared_buffers": "512MB", "max_parallel_workers_per_gather": "0",
          "tpm_fdw.max_requests": "0", "autovacuum": "off"}
UNLIMITED = {"rate_limit_per_second": "none", "rate_limit_per_hour": "none"}
COLD = "RESET tpm_fdw.cache_ttl; SELECT tpm_fdw_reset_cache()"
UNKEPT = "SET tpm_fdw.cache_ttl = 0"


class Setting:
    """Made as it is needed: a case that is run alone pays for itself only."""

    @functools.cached_property
    def cluster(self):
        return tpmtest.Cluster(**CONFIG).start()

    @functools.cached_property
    def floor(self):
        return floor.Floor()

    @functools.cached_property
    def session(self):
        session = self.cluster.connect()
        create_server(session, self.floor)
        tpmtest.rows(session, "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw")
        return session

    def sql(self, statement, parameters=None):
        return tpmtest.rows(self.session, statement, parameters)

    def list(self, name, shape, rows, size):
        """A list at the floor, and a foreign table of that name."""
        self.floor.add(f"/{name}", shape, rows, size)
        create_table(self.session, name, size)

    def copies(self, name):
        """The same as documents (NAME_body), as a heap table (NAME_heap) and as a file (NAME_file)."""
        self.sql(f"CREATE TABLE {name}_body (body text); ALTER TABLE {name}_body ALTER body SET STORAGE EXTERNAL")
        with self.session.cursor() as cursor:
            for body in self.floor.bodies(f"/{name}"):
                escaped = body.replace("\\", "\\\\")
                cursor.copy_expert(f"COPY {name}_body FROM STDIN", io.StringIO(escaped + "\n"))
        self.sql(UNKEPT)
        self.sql(f"CREATE TABLE {name}_heap AS SELECT * FROM {name}")
        file = self.cluster.base / "data" / f"{name}.csv"
        self.sql(f"COPY {name}_heap TO '{file}' (FORMAT csv)")
        self.sql(f"CREATE FOREIGN TABLE {name}_file ({pages.table_columns()}) SERVER files"
                 f" OPTIONS (filename '{file}', format 'csv')")
        for table in (f"{name}_body", f"{name}_heap"):
            self.sql(f"VACUUM ANALYZE {table}")


def create_server(session, static):
    """A server whose API is the floor."""
    options = {"base_url": static.url, "auth": "none", "pagination": "number", "total_pointer": "/meta/total_count",
               **UNLIMITED}
    tpmtest.rows(session, "CREATE EXTENSION tpm_fdw")
    tpmtest.rows(session, f"CREATE SERVER floor FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    tpmtest.rows(session, "CREATE USER MAPPING FOR CURRENT_USER SERVER floor")


def create_table(session, name, size):
    tpmtest.rows(session, f"CREATE FOREIGN TABLE {name} ({pages.table_columns()}) SERVER floor"
                          f" OPTIONS (resource '/{name}', type 'vendors', page_size '{size}')")
