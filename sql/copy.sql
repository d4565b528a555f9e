--
-- Local copies: what is said when they are made, changed, written to
--
CREATE EXTENSION tpm_fdw;
CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url 'https://api.example.com/v1', token_url '/oauth/token', rate_limit_per_hour '600');
CREATE SCHEMA tpm_api;
IMPORT FOREIGN SCHEMA tpm LIMIT TO (third_parties, users, audit_events) FROM SERVER tpm INTO tpm_api
  OPTIONS (trust 'exact');

-- made
SELECT tpm_fdw_create_copy('tpm_api.third_parties', 'tpm_copy.third_parties');
SELECT tpm_fdw_create_copy('tpm_api.third_parties', 'tpm_copy.third_parties');
SELECT tpm_fdw_create_copy('tpm_api.users');
SELECT tpm_fdw_create_copy('tpm_api.audit_events', 'tpm_copy.audit_events', cursor_column => 'occurred_at',
                           every => '1 hour', deletions => 'keep');
SELECT copy, state, behind, rows, problem, source, phase, pages_done, pages_expected, every, reconcile, sweep
  FROM tpm_fdw_copies ORDER BY copy::text COLLATE "C";

-- what cannot be one
SELECT tpm_fdw_create_copy('pg_class');
SELECT tpm_fdw_create_copy(NULL);
SELECT tpm_fdw_create_copy('tpm_api.users', 'tpm_copy.third_parties');
SELECT tpm_fdw_create_copy('tpm_api.users', 'tpm_api.third_parties');
SELECT tpm_fdw_create_copy('tpm_api.users', cursor_column => 'name');
ALTER FOREIGN TABLE tpm_api.third_parties ALTER COLUMN updated_at OPTIONS (SET sortable 'false');
SELECT tpm_fdw_create_copy('tpm_api.third_parties', 'tpm_copy.no_cursor');
ALTER FOREIGN TABLE tpm_api.third_parties ALTER COLUMN updated_at OPTIONS (SET sortable 'true');
SELECT tpm_fdw_create_copy('tpm_api.users', every => '0');
SELECT tpm_fdw_create_copy('tpm_api.users', lookback => '-1 s');
SELECT tpm_fdw_create_copy('tpm_api.users', deletions => 'forget');
SELECT tpm_fdw_create_copies('tpm_api', 'tpm_api');
CREATE TABLE tpm_copy.u (id text PRIMARY KEY);
SELECT tpm_fdw_create_copy('tpm_api.users', 'tpm_copy.u');

-- all of a schema
SELECT tpm_fdw_create_copies('tpm_api', 'tpm_api_copy');

-- written to by a run alone
INSERT INTO tpm_copy.third_parties (id) VALUES ('1');
UPDATE tpm_copy.third_parties SET name = 'x';
DELETE FROM tpm_copy.third_parties;
TRUNCATE tpm_copy.third_parties;
ALTER TABLE tpm_copy.third_parties ADD COLUMN note text;
UPDATE tpm_copy.third_parties SET note = 'x';
SELECT tpm_fdw_alter_copy('tpm_copy.third_parties', paused => true);
INSERT INTO tpm_copy.third_parties (id) VALUES ('1');
SELECT copy, state, next_run FROM tpm_fdw_copies WHERE copy = 'tpm_copy.third_parties'::regclass;

-- CALL needs a transaction of its own for each page
BEGIN;
CALL tpm_fdw_sync();
ROLLBACK;
CALL tpm_fdw_sync('tpm_copy.third_parties');
CALL tpm_fdw_sync('pg_class');

-- changed, dropped
SELECT tpm_fdw_alter_copy('tpm_copy.third_parties', source => 'tpm_api.users');
SELECT tpm_fdw_alter_copy('tpm_copy.third_parties', unlisted => 'mark');
SELECT tpm_fdw_alter_copy('pg_class', paused => true);
SELECT tpm_fdw_drop_copy('tpm_copy.third_parties');
DELETE FROM tpm_copy.third_parties;
SELECT tpm_fdw_drop_copy('tpm_copy.third_parties', drop_table => true);
SELECT tpm_fdw_drop_copy('tpm_copy.audit_events', drop_table => true);
SELECT to_regclass('tpm_copy.audit_events');

\set VERBOSITY terse
DROP EXTENSION tpm_fdw CASCADE;
DROP SCHEMA tpm_api, tpm_copy, tpm_api_copy CASCADE;
