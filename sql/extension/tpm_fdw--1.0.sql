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

CREATE FUNCTION tpm_fdw_create_views(schema name, into_schema name) RETURNS int
AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION tpm_fdw_create_views(name, name) IS 'one view, owned by the caller, for each table of tpm_fdw in a schema; returns how many';

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
