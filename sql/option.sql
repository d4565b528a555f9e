--
-- What may be set, where, by whom, and what is said otherwise
--
CREATE EXTENSION tpm_fdw;
CREATE ROLE regress_tpm_user;
GRANT USAGE ON FOREIGN DATA WRAPPER tpm_fdw TO regress_tpm_user;

-- what a server needs
CREATE SERVER bad FOREIGN DATA WRAPPER tpm_fdw;
CREATE SERVER bad FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url 'https://api.example.com/v1');
CREATE SERVER open FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url 'https://api.example.com/v1', auth 'none');
CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url 'https://api.example.com/v1/', token_url 'oauth/token');
ALTER SERVER tpm OPTIONS (DROP base_url);
ALTER SERVER tpm OPTIONS (DROP token_url);

-- names
ALTER SERVER tpm OPTIONS (ADD page_sise '10');
ALTER SERVER tpm OPTIONS (ADD client_secret 'x');
ALTER SERVER tpm OPTIONS (ADD resource '/x');
ALTER SERVER tpm OPTIONS (ADD completely_different 'x');
ALTER FOREIGN DATA WRAPPER tpm_fdw OPTIONS (ADD debug 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (client_sekret 'hidden');
CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (page_size '10');

-- URLs
ALTER SERVER tpm OPTIONS (SET base_url 'ftp://api.example.com');
ALTER SERVER tpm OPTIONS (SET base_url 'https://user:pw@api.example.com');
ALTER SERVER tpm OPTIONS (SET base_url 'https://api.example.com/v1?x=1');
ALTER SERVER tpm OPTIONS (SET base_url 'https://api.example.com/v1#x');
ALTER SERVER tpm OPTIONS (SET base_url 'https://api.example.com:99999');
ALTER SERVER tpm OPTIONS (SET base_url 'https://api.example.com\v1');
ALTER SERVER tpm OPTIONS (SET base_url E'https://api.example.com/\r\nX: y');
ALTER SERVER tpm OPTIONS (SET base_url 'https://[::1]:8443/v1');
ALTER SERVER tpm OPTIONS (SET base_url 'https://[::zz]/v1');
ALTER SERVER tpm OPTIONS (SET token_url 'mailto:somebody@example.com');
ALTER SERVER tpm OPTIONS (ADD proxy 'http://u:p@proxy.example.com:3128');
ALTER SERVER tpm OPTIONS (ADD proxy 'http://proxy.example.com:3128');

-- words, numbers, times, sizes
ALTER SERVER tpm OPTIONS (ADD auth 'basic');
ALTER SERVER tpm OPTIONS (ADD page_size '0');
ALTER SERVER tpm OPTIONS (ADD page_size '10001');
ALTER SERVER tpm OPTIONS (ADD page_size 'many');
ALTER SERVER tpm OPTIONS (ADD connect_timeout '10 parsecs');
ALTER SERVER tpm OPTIONS (ADD connect_timeout '500ms', ADD request_timeout '1min');
ALTER SERVER tpm OPTIONS (ADD max_response_size '1GB');
ALTER SERVER tpm OPTIONS (ADD max_response_size '100MB');
ALTER SERVER tpm OPTIONS (ADD cache_ttl 'forever');
ALTER SERVER tpm OPTIONS (ADD cache_ttl '-1');
ALTER SERVER tpm OPTIONS (ADD cache_ttl 'auto');
ALTER SERVER tpm OPTIONS (SET cache_ttl '1h');
ALTER SERVER tpm OPTIONS (SET cache_ttl '0');
ALTER SERVER tpm OPTIONS (ADD rate_limit_per_hour '1000001');
ALTER SERVER tpm OPTIONS (ADD rate_limit_per_hour 'none', ADD rate_limit_per_minute '60');
ALTER SERVER tpm OPTIONS (ADD updatable 'maybe');
ALTER SERVER tpm OPTIONS (ADD timezone 'Mars/Olympus');
ALTER SERVER tpm OPTIONS (ADD timezone 'Europe/Berlin');
ALTER SERVER tpm OPTIONS (ADD update_check 'none');
ALTER SERVER tpm OPTIONS (ADD update_check 'none', ADD update_body 'changed');

-- formats and lists
ALTER SERVER tpm OPTIONS (ADD filter_format 'filter');
ALTER SERVER tpm OPTIONS (ADD filter_format '%s[%d]');
ALTER SERVER tpm OPTIONS (ADD sort_keys 'two');
ALTER SERVER tpm OPTIONS (ADD sort_keys 'one');
ALTER SERVER tpm OPTIONS (ADD page_parameters 'limit');
ALTER SERVER tpm OPTIONS (ADD page_parameters 'limit,offset');
ALTER SERVER tpm OPTIONS (ADD first_page '2');
ALTER SERVER tpm OPTIONS (ADD first_page '0');
ALTER SERVER tpm OPTIONS (DROP first_page);
ALTER SERVER tpm OPTIONS (ADD total_pointer 'meta/total');
ALTER SERVER tpm OPTIONS (ADD total_pointer '/meta/~2');
ALTER SERVER tpm OPTIONS (ADD conflict_codes '200');
ALTER SERVER tpm OPTIONS (ADD conflict_codes '409,422:taken');
ALTER SERVER tpm OPTIONS (ADD unacted_statuses '');
ALTER SERVER tpm OPTIONS (ADD unacted_statuses '429,200');
ALTER SERVER tpm OPTIONS (ADD unacted_statuses '429,4290');
ALTER SERVER tpm OPTIONS (ADD unacted_statuses '429, 503');
ALTER SERVER tpm OPTIONS (ADD query 'filter');
ALTER SERVER tpm OPTIONS (ADD query 'filter[state]=all&x=two words');
ALTER SERVER tpm OPTIONS (ADD token_parameters 'resource=two words');
ALTER SERVER tpm OPTIONS (ADD token_parameters 'resource=x&Grant_Type=password');
ALTER SERVER tpm OPTIONS (ADD token_parameters 'client_secret=x');
ALTER SERVER tpm OPTIONS (ADD token_parameters 'resource=two%20words');
ALTER SERVER tpm OPTIONS (ADD media_type 'json');
ALTER SERVER tpm OPTIONS (ADD request_id_header 'two words');
ALTER SERVER tpm OPTIONS (ADD request_id_header '');

-- headers
ALTER SERVER tpm OPTIONS (ADD headers 'no colon');
ALTER SERVER tpm OPTIONS (ADD headers 'Authorization: Basic xyz');
ALTER SERVER tpm OPTIONS (ADD headers 'X-Api-Key: xyz');
ALTER SERVER tpm OPTIONS (ADD headers 'Content-Length: 3');
ALTER SERVER tpm OPTIONS (ADD headers E'X-Org: 1\rX-Other: 2');
ALTER SERVER tpm OPTIONS (ADD headers E'X-Org: 1\nX-Other: 2');

-- user mappings: their values are never repeated
CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (client_id 'me', client_secret E'hid\nden');
CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (headers 'Authorization: hidden');
CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (client_secret_file 'hidden');
CREATE USER MAPPING FOR CURRENT_USER SERVER tpm
  OPTIONS (client_secret 'hidden', client_secret_file '/hidden');
CREATE USER MAPPING FOR CURRENT_USER SERVER tpm
  OPTIONS (client_id 'me', client_secret 'hidden', headers 'X-Api-Key: hidden');

-- tables
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource 'third_parties');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource '//evil.example/x');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource '/a/../b');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource '/a/%2e%2E/b');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource '/a?x=1');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource '/a/{}/b');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource '/a/{b');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource '/a/{b{c}}');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource '/a//');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (ops 'read,delete');
CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (base_url 'https://x.example');
CREATE FOREIGN TABLE good (id text, third_party_id text) SERVER tpm
  OPTIONS (resource '/third_parties/{third_party_id}/notes', ops 'read, create', query '',
           page_size '20', rate_limit_per_minute '3', required_filters 'third_party_id');

-- columns
ALTER FOREIGN TABLE good ADD a text OPTIONS (attribute 'a//b');
ALTER FOREIGN TABLE good ADD a text OPTIONS (attribute 'a', pointer '/a');
ALTER FOREIGN TABLE good ADD a text OPTIONS (included 'author');
ALTER FOREIGN TABLE good ADD a text OPTIONS (pointer 'links/self');
ALTER FOREIGN TABLE good ADD a text OPTIONS (filter_operators '=,between');
ALTER FOREIGN TABLE good ADD a text OPTIONS (filter_values 'Open');
ALTER FOREIGN TABLE good ADD a text OPTIONS (filter_values 'a=b=c');
ALTER FOREIGN TABLE good ADD a text OPTIONS (filter_values 'a=b,c=d,a=e');
ALTER FOREIGN TABLE good ADD a text OPTIONS (filter_match 'sometimes');
ALTER FOREIGN TABLE good ADD a text OPTIONS (sort_nulls 'middle');
ALTER FOREIGN TABLE good ADD a text OPTIONS (atribute 'x');
ALTER FOREIGN TABLE good ADD a text OPTIONS (page_size '1');
ALTER FOREIGN TABLE good ADD a text
  OPTIONS (attribute 'a/b', filter 'a', filter_operators '=, in, >=', filter_values 'a\,b=c\=d,e=f',
           filter_match 'exact', sortable 'on', sort_nulls 'always_last', read_only 'yes');
ALTER FOREIGN TABLE good ADD b timestamptz OPTIONS (fetched_at 'true');
ALTER FOREIGN TABLE good OPTIONS (ADD insert_check 'sometimes');
ALTER FOREIGN TABLE good OPTIONS (ADD insert_check 'look');
ALTER FOREIGN TABLE good ADD c text OPTIONS (created_at 'perhaps');
ALTER FOREIGN TABLE good ADD c text OPTIONS (created_at 'true');
EXPLAIN (COSTS OFF) SELECT id FROM good WHERE third_party_id = '1';
ALTER FOREIGN TABLE good ALTER c TYPE timestamp;
ALTER FOREIGN TABLE good ALTER b OPTIONS (ADD created_at 'true');
EXPLAIN (COSTS OFF) SELECT id FROM good WHERE third_party_id = '1';
ALTER FOREIGN TABLE good ALTER b OPTIONS (DROP created_at);
EXPLAIN (COSTS OFF) SELECT id FROM good WHERE third_party_id = '1';

-- who may set what
GRANT USAGE ON FOREIGN SERVER tpm TO regress_tpm_user;
SET ROLE regress_tpm_user;
CREATE SERVER bad FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url 'http://api.example.com', auth 'none');
CREATE SERVER bad FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url 'http://api.example.com', auth 'none', allow_http 'true');
CREATE SERVER bad FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url 'https://localhost:8443', auth 'none');
CREATE SERVER bad FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url 'https://api.example.com', token_url 'https://127.8.8.8/token');
CREATE SERVER bad FOREIGN DATA WRAPPER tpm_fdw
  OPTIONS (base_url 'https://api.example.com', auth 'none', ca_file '/etc/ssl/certs/ca.pem');
CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (client_id 'me', client_secret_file '/etc/shadow');
CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (client_id 'me', client_secret 'hidden');
RESET ROLE;
GRANT pg_read_server_files TO regress_tpm_user;
SET ROLE regress_tpm_user;
ALTER USER MAPPING FOR CURRENT_USER SERVER tpm
  OPTIONS (DROP client_secret, ADD client_secret_file '/etc/tpm.secret');
RESET ROLE;

DROP OWNED BY regress_tpm_user;
DROP ROLE regress_tpm_user;
SET client_min_messages = warning;
DROP EXTENSION tpm_fdw CASCADE;
