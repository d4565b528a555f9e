/* sql/extension/tpm_fdw--1.0.sql */

\echo Use "CREATE EXTENSION tpm_fdw" to load this file. \quit

CREATE FUNCTION tpm_fdw_handler() RETURNS fdw_handler
AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
COMMENT ON FUNCTION tpm_fdw_handler() IS 'tpm_fdw: what the planner and the executor call';

CREATE FUNCTION tpm_fdw_validator(text[], oid) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
COMMENT ON FUNCTION tpm_fdw_validator(text[], oid) IS 'tpm_fdw: checks options when they are set';

CREATE FOREIGN DATA WRAPPER tpm_fdw HANDLER tpm_fdw_handler VALIDATOR tpm_fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER tpm_fdw IS 'JSON:API services, Diligent Third-Party Manager first';

/* ----- what is going on ----- */

CREATE FUNCTION tpm_fdw_rate_limits(OUT server name, OUT scope text, OUT limit_per_second int,
	OUT limit_per_hour int, OUT used_last_second int, OUT used_last_hour int, OUT waiting int,
	OUT next_slot timestamptz, OUT paused_until timestamptz, OUT last_429 timestamptz)
RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tpm_fdw_rate_limits() IS 'rows of the view tpm_fdw_rate_limits';
CREATE VIEW tpm_fdw_rate_limits AS SELECT * FROM tpm_fdw_rate_limits();
COMMENT ON VIEW tpm_fdw_rate_limits IS 'budgets of requests: limits, use, who waits, until when';

CREATE FUNCTION tpm_fdw_tokens(OUT server name, OUT role name, OUT client_id text,
	OUT obtained timestamptz, OUT expires timestamptz, OUT refreshes bigint, OUT last_error text)
RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tpm_fdw_tokens() IS 'rows of the view tpm_fdw_tokens';
CREATE VIEW tpm_fdw_tokens AS SELECT * FROM tpm_fdw_tokens();
COMMENT ON VIEW tpm_fdw_tokens IS 'access tokens held in shared memory, without the tokens';

CREATE FUNCTION tpm_fdw_cache(OUT server name, OUT database name, OUT relation text,
	OUT conditions text, OUT complete boolean, OUT rows bigint, OUT bytes bigint, OUT requests int,
	OUT fetched timestamptz, OUT expires timestamptz, OUT hits bigint, OUT rent bigint)
RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tpm_fdw_cache() IS 'rows of the view tpm_fdw_cache';
CREATE VIEW tpm_fdw_cache AS SELECT * FROM tpm_fdw_cache();
COMMENT ON VIEW tpm_fdw_cache IS 'lists of rows that are kept for all sessions';

CREATE FUNCTION tpm_fdw_requests(OUT at timestamptz, OUT pid int, OUT role name,
	OUT application_name text, OUT server name, OUT database name, OUT relation text,
	OUT method text, OUT path text, OUT status int, OUT error text, OUT ms float8,
	OUT waited_ms float8, OUT bytes_in bigint, OUT bytes_out bigint, OUT attempt int)
RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tpm_fdw_requests() IS 'rows of the view tpm_fdw_requests';
CREATE VIEW tpm_fdw_requests AS SELECT * FROM tpm_fdw_requests();
COMMENT ON VIEW tpm_fdw_requests IS 'the latest requests';

CREATE FUNCTION tpm_fdw_progress(OUT pid int, OUT role name, OUT database name, OUT relation text,
	OUT operation text, OUT requests_done bigint, OUT requests_expected bigint,
	OUT rows_done bigint, OUT started timestamptz, OUT expected_end timestamptz,
	OUT waiting_for text)
RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tpm_fdw_progress() IS 'rows of the view tpm_fdw_progress';
CREATE VIEW tpm_fdw_progress AS SELECT * FROM tpm_fdw_progress();
COMMENT ON VIEW tpm_fdw_progress IS 'statements at work';

CREATE FUNCTION tpm_fdw_stats(OUT server name, OUT role name, OUT method text,
	OUT requests bigint, OUT cache_hits bigint, OUT rows bigint, OUT bytes_in bigint,
	OUT retries bigint, OUT status_429 bigint, OUT errors bigint, OUT ms float8,
	OUT waited_ms float8, OUT since timestamptz)
RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tpm_fdw_stats() IS 'rows of the view tpm_fdw_stats';
CREATE VIEW tpm_fdw_stats AS SELECT * FROM tpm_fdw_stats();
COMMENT ON VIEW tpm_fdw_stats IS 'totals by server, role and method';

CREATE FUNCTION tpm_fdw_writes(OUT number bigint, OUT intended timestamptz, OUT done timestamptz,
	OUT server name, OUT relation text, OUT method text, OUT path text, OUT id text,
	OUT columns text[], OUT old jsonb, OUT new jsonb, OUT status int, OUT outcome text,
	OUT request_id text, OUT role name, OUT session_role name, OUT application_name text,
	OUT client_addr inet, OUT database name, OUT transaction_id bigint, OUT query_id bigint,
	OUT sendings int, OUT evidence text)
RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tpm_fdw_writes() IS 'rows of the view tpm_fdw_writes';
CREATE VIEW tpm_fdw_writes AS SELECT * FROM tpm_fdw_writes();
COMMENT ON VIEW tpm_fdw_writes IS 'the journal: every write, its intent and its outcome';

GRANT SELECT ON tpm_fdw_rate_limits, tpm_fdw_tokens, tpm_fdw_cache, tpm_fdw_requests,
	tpm_fdw_progress, tpm_fdw_stats, tpm_fdw_writes TO PUBLIC;

/* ----- resets ----- */

CREATE FUNCTION tpm_fdw_reset_cache(server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_reset_cache(name) IS 'forgets the kept lists of a server, or all, and what was spent on parts of them';
REVOKE ALL ON FUNCTION tpm_fdw_reset_cache(name) FROM PUBLIC;

CREATE FUNCTION tpm_fdw_reset_tokens(server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_reset_tokens(name) IS 'forgets the access tokens of a server, or all';
REVOKE ALL ON FUNCTION tpm_fdw_reset_tokens(name) FROM PUBLIC;

CREATE FUNCTION tpm_fdw_reset_rate_limits(server name DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_reset_rate_limits(name)
	IS 'forgets what the budgets of a server have used, and their pauses, or of all';
REVOKE ALL ON FUNCTION tpm_fdw_reset_rate_limits(name) FROM PUBLIC;

CREATE FUNCTION tpm_fdw_reset_stats() RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_reset_stats() IS 'begins the totals anew';
REVOKE ALL ON FUNCTION tpm_fdw_reset_stats() FROM PUBLIC;

/* ----- one request ----- */

CREATE FUNCTION tpm_fdw_get(server name, path text) RETURNS jsonb
AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_get(name, text) IS 'one raw GET relative to base_url, with the caller''s user mapping';
REVOKE ALL ON FUNCTION tpm_fdw_get(name, text) FROM PUBLIC;

/* ----- views for others ----- */

CREATE FUNCTION tpm_fdw_create_views(schema name, into_schema name, from_copies boolean DEFAULT false) RETURNS int
AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_create_views(name, name, boolean)
	IS 'one view, owned by the caller, for each table of tpm_fdw in a schema, or for its local copy; returns how many';

/* ----- checks ----- */

CREATE FUNCTION tpm_fdw_check(server name, OUT step text, OUT ok boolean, OUT detail text,
	OUT hint text)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'tpm_fdw_check_server'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_check(name)
	IS 'tries the connection to a server step by step, with the caller''s user mapping; says what to do about each failure';
REVOKE ALL ON FUNCTION tpm_fdw_check(name) FROM PUBLIC;

CREATE FUNCTION tpm_fdw_check(server name, schema name, OUT step text, OUT ok boolean,
	OUT detail text, OUT hint text)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'tpm_fdw_check_schema'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_check(name, name)
	IS 'compares the foreign tables of a schema with the API, with the caller''s user mapping and one to four requests each; the hints are statements that mend them';
REVOKE ALL ON FUNCTION tpm_fdw_check(name, name) FROM PUBLIC;

/* ----- local copies ----- */

-- in the order of state_members in src/copy/copy_state.c, which alone reads and writes it
CREATE TABLE tpm_fdw_copy_state (
	guard text COLLATE "C" PRIMARY KEY, copy text NOT NULL, source text NOT NULL, copy_oid oid NOT NULL,
	source_oid oid NOT NULL, home text NOT NULL, cursor_column text, lookback interval NOT NULL,
	every interval NOT NULL, every_given boolean NOT NULL, reconcile interval, sweep interval,
	deletions text NOT NULL, unlisted_option text NOT NULL, paused boolean NOT NULL,
	phase text NOT NULL, position bigint NOT NULL, link text, last_id text, run_started timestamptz,
	run_date timestamptz, page_size int NOT NULL, run_total bigint NOT NULL,
	run_total_fell boolean NOT NULL, pages_done bigint NOT NULL, pages_expected bigint NOT NULL,
	filled timestamptz, watermark timestamptz, greatest timestamptz, greatest_seen timestamptz,
	greatest_date timestamptz, verified_until timestamptz, last_success timestamptz,
	id_orders int NOT NULL, page_link text, page_rows int NOT NULL,
	members text, unchanged_runs int NOT NULL, next_run timestamptz,
	next_reconcile timestamptz, next_sweep timestamptz, sweep_planned boolean NOT NULL,
	problem text, problem_code text, rows bigint NOT NULL, unlisted bigint NOT NULL,
	ever_unlisted boolean NOT NULL, requests bigint NOT NULL, requests_last_run bigint NOT NULL,
	inserted bigint NOT NULL, updated bigint NOT NULL, deleted bigint NOT NULL
);
COMMENT ON TABLE tpm_fdw_copy_state IS 'what is known of each local copy; tpm_fdw_copies shows it';
SELECT pg_extension_config_dump('tpm_fdw_copy_state', '');

CREATE TABLE tpm_fdw_copy_ids (
	guard text COLLATE "C", kind "char", id text COLLATE "C", asked timestamptz, PRIMARY KEY (guard, kind, id)
);
COMMENT ON TABLE tpm_fdw_copy_ids
	IS 'ids of local copies: u unlisted, s listed in the sweep under way, c candidates of a deletion';
SELECT pg_extension_config_dump('tpm_fdw_copy_ids', '');

CREATE FUNCTION tpm_fdw_copy_guard() RETURNS trigger
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_copy_guard() IS 'keeps all but the runs of a local copy from writing to it';

CREATE FUNCTION tpm_fdw_create_copy(source regclass, target text DEFAULT NULL,
	cursor_column name DEFAULT 'updated_at', lookback interval DEFAULT '10 min',
	every interval DEFAULT '15 min', reconcile interval DEFAULT NULL, sweep interval DEFAULT NULL,
	deletions text DEFAULT 'remove', unlisted text DEFAULT 'keep', paused boolean DEFAULT false)
RETURNS regclass AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_create_copy(regclass, text, name, interval, interval, interval, interval, text, text, boolean)
	IS 'makes an ordinary table that CALL tpm_fdw_sync() keeps equal to a foreign one; sends nothing';

CREATE FUNCTION tpm_fdw_create_copies(schema name, into_schema name) RETURNS int
AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_create_copies(name, name) IS 'a local copy of each table of tpm_fdw in a schema; returns how many';

CREATE FUNCTION tpm_fdw_alter_copy(copy regclass, cursor_column name DEFAULT NULL,
	lookback interval DEFAULT NULL, every interval DEFAULT NULL, reconcile interval DEFAULT NULL,
	sweep interval DEFAULT NULL, deletions text DEFAULT NULL, unlisted text DEFAULT NULL,
	paused boolean DEFAULT NULL, source regclass DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_alter_copy(regclass, name, interval, interval, interval, interval, text, text, boolean, regclass)
	IS 'changes what is given of a local copy, and nothing else';

CREATE FUNCTION tpm_fdw_drop_copy(copy regclass, drop_table boolean DEFAULT false) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_drop_copy(regclass, boolean)
	IS 'makes an ordinary table of a local copy, or drops it';

CREATE PROCEDURE tpm_fdw_sync(copy regclass DEFAULT NULL, older_than interval DEFAULT NULL,
	whole boolean DEFAULT false, accept_deletions boolean DEFAULT false)
AS 'MODULE_PATHNAME' LANGUAGE C;
COMMENT ON PROCEDURE tpm_fdw_sync(regclass, interval, boolean, boolean)
	IS 'brings local copies up to date: those that are due, or the one that is named; not in a transaction block';

CREATE FUNCTION tpm_fdw_copies(OUT copy regclass, OUT state text, OUT behind interval,
	OUT rows bigint, OUT next_run timestamptz, OUT problem text, OUT source regclass,
	OUT phase text, OUT pages_done bigint, OUT pages_expected bigint,
	OUT expected_end timestamptz, OUT watermark timestamptz, OUT verified_until timestamptz,
	OUT last_success timestamptz, OUT unlisted bigint, OUT requests bigint,
	OUT requests_last_run bigint, OUT inserted bigint, OUT updated bigint, OUT deleted bigint,
	OUT every interval, OUT reconcile interval, OUT sweep interval, OUT worker_pid int)
RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION tpm_fdw_copies() IS 'rows of the view tpm_fdw_copies';
CREATE VIEW tpm_fdw_copies AS SELECT * FROM tpm_fdw_copies();
COMMENT ON VIEW tpm_fdw_copies IS 'local copies: how they are, what they cost, what they wait for';
GRANT SELECT ON tpm_fdw_copies TO PUBLIC;
