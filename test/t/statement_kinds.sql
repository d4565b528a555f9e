-- What a user sees of each kind of writing statement: tag or SQLSTATE :: statement. test_statement_kinds.py runs each.
INSERT 0 3 :: INSERT INTO third_parties (internal_id, name, country) SELECT 'k1-'||i, 'n'||i, 'DE' FROM generate_series(1,3) i
INSERT 0 3 :: INSERT INTO third_parties (internal_id, name, country) VALUES ('k2-1','a','DE'),('k2-2','b','FR'),('k2-3','c','US') RETURNING *, tableoid::regclass
22023 :: INSERT INTO third_parties (name, country) VALUES ('plain', DEFAULT)
22023 :: INSERT INTO third_parties DEFAULT VALUES
INSERT 0 1 :: INSERT INTO third_parties (name, country) VALUES ('x','DE') RETURNING ctid, xmin, tableoid::regclass
UPDATE 3 :: UPDATE third_parties SET city = 'c' || id WHERE id IN ('1','2','3')
UPDATE 1 :: UPDATE third_parties SET city = 'd' WHERE id = '1' RETURNING *
UPDATE 3 :: UPDATE third_parties SET name = third_parties.name || '_up9', city = 'x' FROM loc WHERE loc.id = third_parties.id RETURNING third_parties.id, loc.name
EXPLAIN :: EXPLAIN (VERBOSE, COSTS OFF) UPDATE third_parties SET name = 'x' WHERE id = '1'
EXPLAIN :: EXPLAIN (VERBOSE, COSTS OFF) UPDATE third_parties SET name = 'x' FROM loc WHERE loc.id = third_parties.id
EXPLAIN :: EXPLAIN (VERBOSE, COSTS OFF) INSERT INTO third_parties (name, country) SELECT name, country FROM loc
0A000 :: DELETE FROM third_parties WHERE id = '1'
0A000 :: DELETE FROM third_parties USING loc WHERE loc.id = third_parties.id
0A000 :: TRUNCATE third_parties
23505 :: INSERT INTO third_parties (internal_id, name, country) VALUES ('k1-1','dup','DE')
INSERT 0 0 :: INSERT INTO third_parties (internal_id, name, country) VALUES ('k1-1','dup','DE') ON CONFLICT DO NOTHING
42P10 :: INSERT INTO third_parties (internal_id, name, country) VALUES ('k1-1','dup','DE') ON CONFLICT (internal_id) DO NOTHING
42P10 :: INSERT INTO third_parties (internal_id, name, country) VALUES ('k1-1','dup','DE') ON CONFLICT (id) DO UPDATE SET name = 'z'
42704 :: INSERT INTO third_parties (internal_id, name, country) VALUES ('k1-1','dup','DE') ON CONFLICT ON CONSTRAINT foo DO NOTHING
0A000 :: MERGE INTO third_parties t USING loc l ON t.id = l.id WHEN MATCHED THEN UPDATE SET name = l.name
0A000 :: SELECT * FROM third_parties WHERE id = '1' FOR UPDATE
0A000 :: SELECT * FROM third_parties WHERE id = '1' FOR SHARE
SELECT 3 :: SELECT t.id FROM third_parties t, loc WHERE loc.id = t.id FOR UPDATE OF loc
0A000 :: SELECT t.id FROM third_parties t, loc WHERE loc.id = t.id FOR UPDATE
25P01 :: LOCK TABLE third_parties IN ACCESS EXCLUSIVE MODE
42809 :: BEGIN; LOCK TABLE third_parties; COMMIT
SELECT 1 :: WITH u AS (UPDATE third_parties SET city = 'w' WHERE id = '4' RETURNING id, city) SELECT * FROM u
INSERT 0 1 :: WITH i AS (INSERT INTO third_parties (name,country) VALUES ('cte','DE') RETURNING name) INSERT INTO loc SELECT '9', name FROM i RETURNING *
UPDATE 1 :: UPDATE third_parties SET (city, state) = ('a','b') WHERE id = '5'
UPDATE 1 :: UPDATE third_parties SET (city, state) = (SELECT name, country FROM loc WHERE loc.id = '1') WHERE id = '5' RETURNING city, state
UPDATE 1 :: UPDATE third_parties SET city = DEFAULT WHERE id = '5' RETURNING city
428C9 :: UPDATE third_parties SET id = '99' WHERE id = '5'
428C9 :: UPDATE third_parties SET created_at = now() WHERE id = '5'
UPDATE 1 :: UPDATE third_parties SET custom_fields = '[]' WHERE id = '5'
22023 :: UPDATE third_parties SET country = NULL WHERE id = '5'
UPDATE 0 :: UPDATE third_parties SET city = 'x' WHERE false
UPDATE 0 :: UPDATE third_parties SET city = 'x' WHERE id = NULL
UPDATE 1 :: UPDATE ONLY third_parties SET city = 'only' WHERE id = '6'
UPDATE 4 :: UPDATE third_parties t SET city = 'sub' WHERE EXISTS (SELECT 1 FROM loc WHERE loc.id = t.id) RETURNING (SELECT max(name) FROM loc), t
UPDATE 1 :: UPDATE third_parties SET city = 'v' WHERE (id, name) IN (SELECT id, name FROM third_parties WHERE id = '7')
UPDATE 1 :: UPDATE third_parties SET name = (SELECT string_agg(name, ',') FROM loc) WHERE id = '8' RETURNING name
UPDATE 4 :: UPDATE loc SET name = t.name FROM third_parties t WHERE t.id = loc.id RETURNING loc.id
DELETE 1 :: DELETE FROM loc USING third_parties t WHERE t.id = loc.id AND loc.id = '9'
INSERT 0 11 :: INSERT INTO loc SELECT id, name, country FROM third_parties WHERE id < '2'
CREATE TRIGGER :: CREATE TRIGGER b BEFORE INSERT OR UPDATE ON third_parties FOR EACH ROW EXECUTE FUNCTION say()
CREATE TRIGGER :: CREATE TRIGGER a AFTER INSERT OR UPDATE ON third_parties FOR EACH ROW EXECUTE FUNCTION say()
CREATE TRIGGER :: CREATE TRIGGER s BEFORE INSERT OR UPDATE ON third_parties FOR EACH STATEMENT EXECUTE FUNCTION say()
INSERT 0 1 :: INSERT INTO third_parties (name,country) VALUES ('trig','DE')
UPDATE 1 :: UPDATE third_parties SET city = 'trig' WHERE id = '9'
42809 :: CREATE TRIGGER tt AFTER INSERT ON third_parties REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION say()
42809 :: CREATE CONSTRAINT TRIGGER ct AFTER UPDATE ON third_parties DEFERRABLE FOR EACH ROW EXECUTE FUNCTION say()
DROP TRIGGER :: DROP TRIGGER a ON third_parties; DROP TRIGGER b ON third_parties; DROP TRIGGER s ON third_parties
INSERT 0 3 :: INSERT INTO pt (name, country, internal_id) VALUES ('p1','DE','p-1'),('p2','US','p-2'),('p3','FR','p-3')
INSERT 0 1 :: INSERT INTO pt (name, country, internal_id) VALUES ('p4','DE','p-4') RETURNING *, tableoid::regclass
INSERT 0 1 :: INSERT INTO pt (name, country) VALUES ('p5','DE') ON CONFLICT DO NOTHING
UPDATE 5 :: UPDATE pt SET name = name || '!' WHERE name LIKE 'p%'
UPDATE 1 :: UPDATE pt SET country = 'US' WHERE name LIKE 'p1%'
0A000 :: UPDATE pt SET country = 'DE' WHERE name = 'p2!'
0A000 :: DELETE FROM pt WHERE name = 'p2!'
0A000 :: MERGE INTO pt USING loc l ON pt.id = l.id WHEN NOT MATCHED THEN INSERT (name, country) VALUES (l.name, l.country)
22023 :: UPDATE par SET name = 'x' WHERE id = '1'
SELECT 1 :: SELECT count(*) FROM par
0A000 :: DO $$ DECLARE c CURSOR FOR SELECT * FROM third_parties WHERE id = '1'; r record; BEGIN OPEN c; FETCH c INTO r; UPDATE third_parties SET city = 'cur' WHERE CURRENT OF c; END $$
0A000 :: BEGIN; DECLARE c CURSOR FOR SELECT * FROM third_parties FOR UPDATE; COMMIT
CREATE VIEW :: CREATE VIEW v AS SELECT * FROM third_parties WHERE country = 'DE' WITH CHECK OPTION
44000 :: INSERT INTO v (name, country) VALUES ('bad','FR')
INSERT 0 1 :: INSERT INTO v (name, country) VALUES ('good','DE')
UPDATE 0 :: UPDATE v SET country = 'FR' WHERE id = '1'
42809 :: COPY third_parties (name, country) TO STDOUT
42809 :: CREATE INDEX ON third_parties (name)
0A000 :: ALTER TABLE third_parties ADD PRIMARY KEY (id)
ALTER TABLE :: ALTER TABLE third_parties ADD CHECK (country <> 'XX')
INSERT 0 1 :: INSERT INTO third_parties (name, country) VALUES ('chk','XX')
VACUUM :: VACUUM third_parties
ANALYZE :: ANALYZE third_parties
42809 :: CLUSTER third_parties
42809 :: REINDEX TABLE third_parties
42809 :: CREATE TABLE fk (id text REFERENCES third_parties(id))
42809 :: CREATE RULE r AS ON DELETE TO third_parties DO INSTEAD NOTHING
0A000 :: DELETE FROM third_parties
42704 :: DROP RULE r ON third_parties
PREPARE :: PREPARE i(text,text) AS INSERT INTO third_parties (name, country) VALUES ($1,$2) RETURNING name
INSERT 0 1 :: EXECUTE i('prep1','DE')
INSERT 0 1 :: EXECUTE i('prep2','DE')
INSERT 0 1 :: EXECUTE i('prep3','DE')
INSERT 0 1 :: EXECUTE i('prep4','DE')
INSERT 0 1 :: EXECUTE i('prep5','DE')
INSERT 0 1 :: EXECUTE i('prep6','DE')
INSERT 0 1 :: EXECUTE i('prep7','DE')
PREPARE :: PREPARE u(text,text) AS UPDATE third_parties SET city = $1 WHERE id = $2
UPDATE 1 :: EXECUTE u('cc','10')
COMMIT :: BEGIN; INSERT INTO third_parties (name,country) VALUES ('sp','DE'); SAVEPOINT s; UPDATE third_parties SET city = 'sp' WHERE id = '11'; ROLLBACK TO s; COMMIT
ROLLBACK :: BEGIN; UPDATE third_parties SET city = 'rb' WHERE id = '12'; ROLLBACK
0A000 :: BEGIN; UPDATE third_parties SET city = 'pt' WHERE id = '13'; PREPARE TRANSACTION 'x'
25006 :: BEGIN READ ONLY; UPDATE third_parties SET city = 'pt' WHERE id = '13'; COMMIT
COMMIT :: BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE third_parties SET city = 'ser' WHERE id = '13'; SELECT city FROM third_parties WHERE id = '13'; COMMIT
428C9 :: INSERT INTO third_parties (name, country, created_at) VALUES ('x','DE', now())
42501 :: INSERT INTO third_parties (id, name, country) VALUES ('given','x','DE')
42703 :: INSERT INTO third_parties (nosuch) VALUES (1)
428C9 :: INSERT INTO third_parties SELECT * FROM third_parties WHERE id = '14'
428C9 :: INSERT INTO third_parties TABLE third_parties
SELECT 1 :: SELECT count(*) FROM third_parties
54000 :: INSERT INTO third_parties (name, country) SELECT 'many', 'DE' FROM generate_series(1,101)
UPDATE 63 :: UPDATE third_parties SET city = 'all'
42703 :: UPDATE users SET name = 'x' WHERE id = '1'
55000 :: INSERT INTO audit_events (id) VALUES ('x')
UPDATE 1 :: UPDATE third_parties SET name = repeat('x', 1000000) WHERE id = '15'
22023 :: UPDATE third_parties SET owner_id = 'nobody' WHERE id = '15'
22023 :: UPDATE third_parties SET next_renewal_on = 'infinity' WHERE id = '15'
UPDATE 1 :: UPDATE third_parties SET city = E'tab\there "quoted" \\ back' WHERE id = '15' RETURNING city
22023 :: UPDATE third_parties SET (name) = ROW(DEFAULT) WHERE id = '15'
CREATE FUNCTION :: CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$
CREATE FUNCTION :: CREATE FUNCTION exclaim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.name || ' triggered !'; RETURN NEW; END $$
INSERT 0 3 :: INSERT INTO loc VALUES ('21', 'one', 'DE'), ('22', 'two', 'FR'), ('23', 'three', 'US')
COPY 3 :: COPY pt (name, country, internal_id) FROM PROGRAM $$printf 'a\tDE\tcp-1\nb\tUS\tcp-2\nc\tFR\tcp-3\n'$$
COPY 1 :: COPY pt_f (name, country, internal_id) FROM PROGRAM $$printf 'a\tDE\tcp-4\n'$$
23514 :: COPY pt_f (name, country, internal_id) FROM PROGRAM $$printf 'a\tUS\tcp-5\n'$$
INSERT 0 1 :: INSERT INTO pt_f (name, country, internal_id) VALUES ('a', 'US', 'cp-5')
CREATE TRIGGER :: CREATE TRIGGER tt AFTER INSERT ON pt REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION skip()
0A000 :: INSERT INTO pt (name, country, internal_id) VALUES ('tr', 'DE', 'cp-6')
INSERT 0 1 :: INSERT INTO pt (name, country) VALUES ('tr', 'US')
0A000 :: COPY pt (name, country, internal_id) FROM PROGRAM $$printf 'a\tDE\tcp-6\n'$$
DROP TRIGGER :: DROP TRIGGER tt ON pt
SELECT 0 :: SELECT 1 FROM third_parties WHERE internal_id = 'cp-6'
CREATE TRIGGER :: CREATE TRIGGER tu AFTER UPDATE ON par REFERENCING OLD TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION skip()
DROP FOREIGN TABLE :: DROP FOREIGN TABLE chi
CREATE FOREIGN TABLE :: CREATE FOREIGN TABLE par_f (country text) INHERITS (par) SERVER tpm OPTIONS (resource '/third_parties')
0A000 :: UPDATE par SET name = 'never' WHERE id IN ('16', '17')
INSERT 0 1 :: INSERT INTO par VALUES ('l1', 'local')
UPDATE 1 :: UPDATE par SET name = 'local only' WHERE id = 'l1'
DROP TRIGGER :: DROP TRIGGER tu ON par
SELECT 0 :: SELECT 1 FROM third_parties WHERE name = 'never'
UPDATE 2 :: UPDATE par SET name = 'inh' WHERE id IN ('l1', '16') RETURNING tableoid::regclass, id, name
INSERT 0 1 :: INSERT INTO par SELECT '16', 'both'
UPDATE 2 :: UPDATE par SET name = par.name || loc.country FROM loc, generate_series(1, 2) WHERE par.id = '16' AND loc.id = '21'
0A000 :: BEGIN; DECLARE c CURSOR FOR SELECT * FROM par WHERE id = 'l1' FOR UPDATE; COMMIT
0A000 :: BEGIN; DECLARE c CURSOR FOR SELECT * FROM ONLY par WHERE id = 'l1' FOR UPDATE; FETCH c; UPDATE par SET name = 'cc' WHERE CURRENT OF c; COMMIT
0A000 :: TRUNCATE par
0A000 :: TRUNCATE pt
0A000 :: TRUNCATE loc, third_parties
TRUNCATE TABLE :: TRUNCATE ONLY par
0A000 :: DELETE FROM par
DELETE 0 :: DELETE FROM ONLY par
CREATE TRIGGER :: CREATE TRIGGER bx BEFORE INSERT OR UPDATE ON pt_f FOR EACH ROW EXECUTE FUNCTION exclaim()
INSERT 0 2 :: INSERT INTO pt (name, country, internal_id) VALUES ('x1', 'DE', 'x-1'), ('x2', 'US', 'x-2') RETURNING name, country
SELECT 2 :: WITH r AS (INSERT INTO pt (name, country, internal_id) VALUES ('x3', 'DE', 'x-3'), ('x4', 'US', 'x-4') RETURNING name) SELECT * FROM r
UPDATE 1 :: UPDATE pt SET name = 'again' WHERE internal_id = 'x-1' RETURNING name
SELECT 1 :: SELECT 1 FROM third_parties WHERE name = 'again triggered !'
INSERT 0 0 :: INSERT INTO pt (name, country, internal_id) VALUES ('x3', 'DE', 'x-3') ON CONFLICT DO NOTHING RETURNING *
INSERT 0 1 :: INSERT INTO pt (name, country, internal_id) VALUES ('x3', 'DE', 'x-3'), ('x5', 'DE', 'x-5') ON CONFLICT DO NOTHING
DROP TRIGGER :: DROP TRIGGER bx ON pt_f
CREATE VIEW :: CREATE VIEW rw AS SELECT * FROM pt WHERE name < 'm' WITH CHECK OPTION
44000 :: INSERT INTO rw (name, country, internal_id) VALUES ('zz', 'DE', 'rw-1')
44000 :: UPDATE rw SET name = 'zz' WHERE internal_id = 'cp-4'
SELECT 0 :: SELECT 1 FROM third_parties WHERE name = 'zz'
INSERT 0 1 :: INSERT INTO rw (name, country) VALUES ('aa', 'DE') RETURNING name
UPDATE 1 :: UPDATE rw SET name = 'ab' WHERE internal_id = 'cp-4'
CREATE TRIGGER :: CREATE TRIGGER bn BEFORE INSERT OR UPDATE ON third_parties FOR EACH ROW EXECUTE FUNCTION skip()
INSERT 0 0 :: INSERT INTO third_parties (name, country) VALUES ('suppressed', 'DE')
UPDATE 0 :: UPDATE third_parties SET name = 'suppressed' WHERE id = '16'
COPY 0 :: COPY third_parties (name, country) FROM PROGRAM $$printf 'suppressed\tDE\n'$$
DROP TRIGGER :: DROP TRIGGER bn ON third_parties
SELECT 0 :: SELECT 1 FROM third_parties WHERE name = 'suppressed'
CREATE TRIGGER :: CREATE TRIGGER b1 BEFORE INSERT ON third_parties FOR EACH ROW EXECUTE FUNCTION exclaim()
CREATE TRIGGER :: CREATE TRIGGER a1 AFTER INSERT ON third_parties FOR EACH ROW EXECUTE FUNCTION say()
COPY 2 :: COPY third_parties (name, country) FROM PROGRAM $$printf 'ca\tDE\ncb\tUS\n'$$
SELECT 2 :: SELECT 1 FROM third_parties WHERE name IN ('ca triggered !', 'cb triggered !')
DROP TRIGGER :: DROP TRIGGER b1 ON third_parties; DROP TRIGGER a1 ON third_parties
CREATE TRIGGER :: CREATE TRIGGER s1 BEFORE INSERT ON third_parties EXECUTE FUNCTION say(); CREATE TRIGGER s2 AFTER INSERT ON third_parties EXECUTE FUNCTION say()
COPY 2 :: COPY third_parties (name, country) FROM PROGRAM $$printf 'cc\tDE\ncd\tUS\n'$$
DROP TRIGGER :: DROP TRIGGER s1 ON third_parties; DROP TRIGGER s2 ON third_parties
COPY 1 :: COPY third_parties (name, country) FROM PROGRAM $$printf 'ce\tDE\ncf\tUS\n'$$ WHERE country = 'US'
COMMIT :: BEGIN; CREATE FOREIGN TABLE rem3 (name text, country text) SERVER tpm OPTIONS (resource '/third_parties'); COPY rem3 FROM PROGRAM $$printf 'cg\tDE\nch\tUS\n'$$; COMMIT
55000, from 18 0A000 :: COPY third_parties (name, country) FROM PROGRAM $$printf 'ci\tDE\n'$$ (FREEZE)
UPDATE 1 :: UPDATE pt SET country = 'US' FROM (VALUES ('DE'), ('US')) s(x) WHERE country = s.x AND internal_id = 'x-1' RETURNING *
0A000 :: UPDATE pt SET country = 'DE' WHERE name = 'x4' RETURNING *
0A000 :: UPDATE pt SET country = 'DE' FROM (VALUES ('DE'), ('US')) s(x) WHERE country = s.x AND name IN ('x4', 'ab')
UPDATE 1 :: UPDATE third_parties d SET city = CASE WHEN random() >= 0 THEN d.name ELSE 'no' END WHERE id = '16' RETURNING city
UPDATE 1 :: UPDATE third_parties t SET (city, state) = (SELECT s.name, t.country FROM third_parties s WHERE s.id = '17') WHERE t.id = '16' RETURNING city
CREATE FOREIGN TABLE :: CREATE FOREIGN TABLE g (name text, country text, internal_id text, id text, city text OPTIONS (attribute 'city') GENERATED ALWAYS AS (upper(name)) STORED) SERVER tpm OPTIONS (resource '/third_parties')
INSERT 0 2 :: INSERT INTO g (name, country) VALUES ('g1', 'DE'), ('g2', 'US')
COPY 2 :: COPY g (name, country) FROM PROGRAM $$printf 'g3\tDE\ng4\tUS\n'$$
SELECT 4 :: SELECT 1 FROM third_parties WHERE city IN ('G1', 'G2', 'G3', 'G4')
428C9 :: INSERT INTO g (name, country, city) VALUES ('g5', 'DE', 'no')
UPDATE 1 :: UPDATE g SET name = 'g9' WHERE name = 'g1' RETURNING city
428C9 :: UPDATE g SET city = 'x' WHERE name = 'g9'
UPDATE 1 :: UPDATE g SET city = DEFAULT WHERE name = 'g9' RETURNING city
INSERT 0 1 :: INSERT INTO third_parties (name, country) OVERRIDING SYSTEM VALUE VALUES ('ov', 'DE')
INSERT 0 0 :: INSERT INTO third_parties (name, country) SELECT name, country FROM loc WHERE false
SELECT 1 :: WITH u AS (UPDATE third_parties SET city = 'q' WHERE id = '21' RETURNING *), v AS (UPDATE loc SET name = 'q' WHERE id = '21' RETURNING *) SELECT u.id, v.name FROM u JOIN v USING (id)
0A000 :: SELECT 1 FROM loc l LEFT JOIN third_parties t ON t.id = l.id FOR UPDATE
0A000 :: SELECT 1 FROM (SELECT id FROM third_parties) t FOR UPDATE
CREATE RULE :: CREATE RULE also AS ON INSERT TO loc DO ALSO INSERT INTO third_parties (name, country) VALUES (NEW.name, NEW.country)
INSERT 0 1 :: INSERT INTO loc VALUES ('r', 'by rule', 'DE')
SELECT 1 :: SELECT 1 FROM third_parties WHERE name = 'by rule'
DROP RULE :: DROP RULE also ON loc
EXPLAIN :: EXPLAIN (ANALYZE, COSTS OFF) INSERT INTO third_parties (name, country) VALUES ('explained', 'DE') RETURNING id
EXPLAIN :: EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) UPDATE pt SET name = 'explained' WHERE internal_id IN ('cp-1', 'cp-2')
EXPLAIN :: EXPLAIN (FORMAT JSON) INSERT INTO pt (name, country) VALUES ('ea', 'DE')
