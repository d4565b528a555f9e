--
-- IMPORT FOREIGN SCHEMA of the catalogue
--
CREATE EXTENSION tpm_fdw;
CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url 'https://api.example.com/v1', token_url '/oauth/token');
CREATE SCHEMA tpm_plain;
CREATE SCHEMA tpm_exact;

IMPORT FOREIGN SCHEMA tpn FROM SERVER tpm INTO tpm_plain;
IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO tpm_plain OPTIONS (trusst 'exact');
IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO tpm_plain OPTIONS (trust 'me');
IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO tpm_plain OPTIONS (fetched_at 'perhaps');

IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO tpm_plain;
IMPORT FOREIGN SCHEMA tpm EXCEPT (users, notes) FROM SERVER tpm INTO tpm_exact
  OPTIONS (trust 'exact', fetched_at 'true');

-- tables, and how many columns of which kind
SELECT c.relname, count(*) AS columns, count(*) FILTER (WHERE attnotnull) AS not_null,
       array_to_string(ftoptions, ' | ') AS options, obj_description(c.oid, 'pg_class') AS comment
  FROM pg_foreign_table t JOIN pg_class c ON c.oid = ftrelid JOIN pg_attribute a ON attrelid = c.oid
 WHERE relnamespace = 'tpm_plain'::regnamespace AND attnum > 0
 GROUP BY c.oid, c.relname, ftoptions ORDER BY c.relname COLLATE "C";
SELECT c.relname, count(*) AS columns, count(*) FILTER (WHERE attnotnull) AS not_null,
       array_to_string(ftoptions, ' | ') AS options
  FROM pg_foreign_table t JOIN pg_class c ON c.oid = ftrelid JOIN pg_attribute a ON attrelid = c.oid
 WHERE relnamespace = 'tpm_exact'::regnamespace AND attnum > 0
 GROUP BY c.oid, c.relname, ftoptions ORDER BY c.relname COLLATE "C";

-- columns that differ from the defaults
CREATE VIEW columns AS
SELECT relnamespace::regnamespace AS schema, relname, attnum, attname,
       format_type(atttypid, atttypmod) || CASE WHEN attcollation <> 0 AND attcollation <> 100
         THEN ' COLLATE ' || attcollation::regcollation ELSE '' END
         || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END AS type,
       array_to_string(attfdwoptions, ' | ') AS options
  FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
 WHERE relkind = 'f' AND attnum > 0;
SELECT attname, type, options FROM columns
 WHERE schema = 'tpm_plain'::regnamespace AND relname = 'third_parties' ORDER BY attnum;
SELECT attname, type, options FROM columns
 WHERE schema = 'tpm_exact'::regnamespace AND relname = 'third_parties' ORDER BY attnum;
SELECT relname, attname, type, options FROM columns
 WHERE schema = 'tpm_exact'::regnamespace AND relname IN ('cases', 'audit_events', 'email_logs', 'regions')
 ORDER BY relname COLLATE "C", attnum;

-- every table and every column has a comment
SELECT count(*) FROM columns WHERE col_description((schema || '.' || relname)::regclass, attnum) IS NULL;
SELECT col_description('tpm_exact.cases'::regclass, 1), col_description('tpm_plain.cases'::regclass, 2);

-- what failed leaves nothing behind that would comment on a later table
CREATE SCHEMA tpm_again;
CREATE TABLE tpm_again.cases (id int);
DO $$
BEGIN
  IMPORT FOREIGN SCHEMA tpm LIMIT TO (cases, regions) FROM SERVER tpm INTO tpm_again;
EXCEPTION WHEN duplicate_table THEN
  CREATE FOREIGN TABLE tpm_again.regions (x text) SERVER tpm;
END
$$;
SELECT obj_description('tpm_again.regions'::regclass);

DROP VIEW columns;
SET client_min_messages = warning;
DROP SCHEMA tpm_plain, tpm_exact, tpm_again CASCADE;
DROP EXTENSION tpm_fdw CASCADE;
