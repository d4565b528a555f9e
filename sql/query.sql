--
-- What is asked of the API for a query: EXPLAIN before each answer
--
\getenv port TPM_SANDBOX_PORT
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tpm_fdw;
RESET client_min_messages;
\set base 'http://127.0.0.1:' :port '/v1'
CREATE SERVER query FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url :'base', token_url '/oauth/token', rate_limit_per_second '1000', rate_limit_per_hour '100000');
CREATE USER MAPPING FOR CURRENT_USER SERVER query
  OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret');
CREATE SCHEMA query;
IMPORT FOREIGN SCHEMA tpm LIMIT TO (third_parties, cases, regions) FROM SERVER query INTO query
  OPTIONS (trust 'exact');
SET search_path = query, public;
SET tpm_fdw.cache_ttl = 0;
ANALYZE third_parties;
ANALYZE cases;
ANALYZE regions;
-- as every version says it: rows with decimals from 18 on, buffers without being asked
CREATE FUNCTION pg_temp.analyzed(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
    RETURN NEXT regexp_replace(line, '(rows=\d+)\.00', '\1');
  END LOOP;
END $$;
-- filters
EXPLAIN (COSTS OFF) SELECT count(name) FROM third_parties WHERE status = 'Active';
SELECT count(name) FROM third_parties WHERE status = 'Active';
EXPLAIN (COSTS OFF) SELECT id FROM third_parties WHERE 'DE' = country AND risk_rating IN ('High', 'Low', NULL);
SELECT count(*) FROM third_parties WHERE 'DE' = country AND risk_rating IN ('High', 'Low', NULL);
-- a value that the API reads as a list stays local
EXPLAIN (COSTS OFF) SELECT id FROM third_parties WHERE name = 'comma,comma' AND status = 'Active';
-- booleans with words of their own
EXPLAIN (COSTS OFF) SELECT id FROM cases WHERE open;
EXPLAIN (COSTS OFF) SELECT id FROM cases WHERE NOT open;
SELECT open, count(*) FROM cases GROUP BY open ORDER BY open;
-- one resource, and several
EXPLAIN (COSTS OFF) SELECT profile_number FROM third_parties WHERE id = '17';
SELECT profile_number FROM third_parties WHERE id = '17';
SELECT profile_number FROM third_parties WHERE id IN ('17', '18', '999999', '..', 'a/b', '') ORDER BY 1;
SELECT count(*) FROM third_parties WHERE id = '..';
-- order, ranges through order
EXPLAIN (COSTS OFF) SELECT id, updated_at FROM third_parties ORDER BY updated_at DESC LIMIT 3;
SELECT id, updated_at AT TIME ZONE 'UTC' FROM third_parties ORDER BY updated_at DESC LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM third_parties WHERE updated_at > '2026-06-10' ORDER BY updated_at;
-- totals
EXPLAIN (COSTS OFF) SELECT count(*) FROM third_parties WHERE status = 'Active';
SELECT count(*), count(1) FROM third_parties;
EXPLAIN (COSTS OFF) SELECT count(*) FROM third_parties WHERE city = 'Berlin';
-- joins by key and by hash
EXPLAIN (COSTS OFF) SELECT r.name, t.name FROM (VALUES ('3'), ('5')) v(id)
  JOIN third_parties t ON t.id = v.id LEFT JOIN regions r ON r.id = t.region_id;
EXPLAIN (COSTS OFF) SELECT c.case_number FROM cases c JOIN third_parties t ON t.id = c.third_party_id
  WHERE t.status = 'Inactive';
-- nothing can match
SELECT pg_temp.analyzed($$SELECT id FROM third_parties WHERE id = ANY ('{}')$$);
SELECT pg_temp.analyzed($$SELECT id FROM third_parties WHERE status = 'Active' LIMIT 1$$);
-- the cache
SET tpm_fdw.cache_ttl = '1h';
SELECT count(id) FROM regions;
SELECT pg_temp.analyzed($$SELECT id FROM regions WHERE name = 'Asia'$$);
SELECT server, relation, complete, rows FROM tpm_fdw_cache WHERE server = 'query' ORDER BY relation;
SELECT tpm_fdw_reset_cache('query');
SELECT count(*) FROM tpm_fdw_cache WHERE server = 'query';
-- what cannot be done
DELETE FROM third_parties;
SELECT * FROM third_parties WHERE missing = 1;
DROP SCHEMA query CASCADE;
DROP SERVER query CASCADE;
