--
-- PostgreSQL database dump
--



SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: readers; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA readers;


ALTER SCHEMA readers OWNER TO postgres;

--
-- Name: tpm; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA tpm;


ALTER SCHEMA tpm OWNER TO postgres;

--
-- Name: tpm_fdw; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS tpm_fdw WITH SCHEMA public;


--
-- Name: EXTENSION tpm_fdw; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION tpm_fdw IS 'JSON:API services, Diligent Third-Party Manager first, as foreign tables';


--
-- Name: filed; Type: SERVER; Schema: -; Owner: postgres
--

CREATE SERVER filed FOREIGN DATA WRAPPER tpm_fdw OPTIONS (
    base_url 'http://127.0.0.1:@PORT@/v1',
    rate_limit_per_hour '100000',
    rate_limit_per_second '1000',
    token_url '/oauth/token'
);


ALTER SERVER filed OWNER TO postgres;

--
-- Name: USER MAPPING postgres SERVER filed; Type: USER MAPPING; Schema: -; Owner: postgres
--

CREATE USER MAPPING FOR postgres SERVER filed OPTIONS (
    client_id 'sandbox',
    client_secret_file '@SECRET@'
);


--
-- Name: inline; Type: SERVER; Schema: -; Owner: postgres
--

CREATE SERVER inline FOREIGN DATA WRAPPER tpm_fdw OPTIONS (
    base_url 'http://127.0.0.1:@PORT@/v1',
    cache_ttl '10min',
    headers E'X-One: a ''quoted'' one
X-Two: C:\\two',
    page_size '90',
    rate_limit_per_hour '100000',
    rate_limit_per_second '1000',
    request_timeout '20s',
    token_url '/oauth/token'
);


ALTER SERVER inline OWNER TO postgres;

--
-- Name: USER MAPPING postgres SERVER inline; Type: USER MAPPING; Schema: -; Owner: postgres
--

CREATE USER MAPPING FOR postgres SERVER inline OPTIONS (
    client_id 'sandbox',
    client_secret 'sandbox-secret'
);


--
-- Name: by_hand; Type: FOREIGN TABLE; Schema: tpm; Owner: postgres
--

CREATE FOREIGN TABLE tpm.by_hand (
    id text NOT NULL,
    title text,
    state text DEFAULT 'x'::text,
    region text,
    whole jsonb,
    CONSTRAINT by_hand_title_check CHECK ((title <> ''::text))
)
SERVER filed
OPTIONS (
    cache_ttl '0',
    resource '/third_parties',
    type 'third_parties'
);
ALTER FOREIGN TABLE tpm.by_hand ALTER COLUMN title OPTIONS (
    attribute 'name',
    filter 'name'
);
ALTER FOREIGN TABLE tpm.by_hand ALTER COLUMN state OPTIONS (
    attribute 'status',
    filter 'status',
    filter_values E'Active=Active,a\\,b=c'
);
ALTER FOREIGN TABLE tpm.by_hand ALTER COLUMN region OPTIONS (
    relationship 'region'
);
ALTER FOREIGN TABLE tpm.by_hand ALTER COLUMN whole OPTIONS (
    pointer '/attributes'
);


ALTER FOREIGN TABLE tpm.by_hand OWNER TO postgres;

--
-- Name: FOREIGN TABLE by_hand; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON FOREIGN TABLE tpm.by_hand IS 'made by hand';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: active; Type: MATERIALIZED VIEW; Schema: readers; Owner: postgres
--

CREATE MATERIALIZED VIEW readers.active AS
 SELECT by_hand.state,
    count(*) AS count
   FROM tpm.by_hand
  GROUP BY by_hand.state
  WITH NO DATA;


ALTER TABLE readers.active OWNER TO postgres;

--
-- Name: cases; Type: FOREIGN TABLE; Schema: tpm; Owner: postgres
--

CREATE FOREIGN TABLE tpm.cases (
    id text NOT NULL,
    case_number text,
    name text,
    stage text,
    open boolean,
    scope text,
    case_type text,
    relationship_type text,
    legal_form text,
    origin text,
    decision text,
    close_code text,
    brief_note text,
    contact_aware boolean,
    budget_amount numeric,
    budget_currency text,
    due_on date,
    requested_at timestamp with time zone,
    completed_at timestamp with time zone,
    closed_at timestamp with time zone,
    custom_fields jsonb,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    third_party_id text,
    engagement_id text,
    questionnaire_id text,
    requester_id text,
    investigator_id text,
    region_id text,
    department_id text,
    third_party_type_id text,
    third_party_category_id text
)
SERVER filed;
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN id OPTIONS (
    filter 'id'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN case_number OPTIONS (
    filter 'case_number',
    read_only 'true'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN stage OPTIONS (
    filter 'stage'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN open OPTIONS (
    filter 'open',
    filter_values 'true=Only Open Cases,false=Only Closed Cases',
    read_only 'true'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN scope OPTIONS (
    filter 'scope'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN created_at OPTIONS (
    created_at 'true',
    read_only 'true'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN updated_at OPTIONS (
    read_only 'true'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN third_party_id OPTIONS (
    filter 'third_party.id',
    relationship 'third_party'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN engagement_id OPTIONS (
    filter 'engagement.id',
    relationship 'engagement'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN questionnaire_id OPTIONS (
    relationship 'questionnaire'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN requester_id OPTIONS (
    filter 'requester.id',
    relationship 'requester'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN investigator_id OPTIONS (
    relationship 'investigator'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN region_id OPTIONS (
    filter 'region.id',
    relationship 'region'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN department_id OPTIONS (
    filter 'department.id',
    relationship 'department'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN third_party_type_id OPTIONS (
    relationship 'third_party_type'
);
ALTER FOREIGN TABLE tpm.cases ALTER COLUMN third_party_category_id OPTIONS (
    relationship 'third_party_category'
);


ALTER FOREIGN TABLE tpm.cases OWNER TO postgres;

--
-- Name: FOREIGN TABLE cases; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON FOREIGN TABLE tpm.cases IS 'due diligence on a third party';


--
-- Name: COLUMN cases.id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.id IS 'identifier of the resource';


--
-- Name: COLUMN cases.case_number; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.case_number IS 'number of the case';


--
-- Name: COLUMN cases.name; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.name IS 'name of the company';


--
-- Name: COLUMN cases.stage; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.stage IS 'where the case stands';


--
-- Name: COLUMN cases.open; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.open IS 'whether its stage is an open one';


--
-- Name: COLUMN cases.scope; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.scope IS 'kind of due diligence';


--
-- Name: COLUMN cases.case_type; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.case_type IS 'Prospective or Current';


--
-- Name: COLUMN cases.relationship_type; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.relationship_type IS 'kind of business relationship';


--
-- Name: COLUMN cases.legal_form; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.legal_form IS 'legal form of the company';


--
-- Name: COLUMN cases.origin; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.origin IS 'questionnaire, or entered by hand';


--
-- Name: COLUMN cases.decision; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.decision IS 'Approved or Denied';


--
-- Name: COLUMN cases.close_code; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.close_code IS 'why it was closed';


--
-- Name: COLUMN cases.brief_note; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.brief_note IS 'short remark';


--
-- Name: COLUMN cases.contact_aware; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.contact_aware IS 'whether the contact knows of the investigation';


--
-- Name: COLUMN cases.budget_amount; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.budget_amount IS 'what it may cost';


--
-- Name: COLUMN cases.budget_currency; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.budget_currency IS 'currency of the budget';


--
-- Name: COLUMN cases.due_on; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.due_on IS 'day it is due';


--
-- Name: COLUMN cases.requested_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.requested_at IS 'time of the request';


--
-- Name: COLUMN cases.completed_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.completed_at IS 'time of completion';


--
-- Name: COLUMN cases.closed_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.closed_at IS 'time of closing';


--
-- Name: COLUMN cases.custom_fields; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.custom_fields IS 'the tenant''s own fields: id, term, value';


--
-- Name: COLUMN cases.created_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.created_at IS 'time of creation';


--
-- Name: COLUMN cases.updated_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.updated_at IS 'time of the latest change';


--
-- Name: COLUMN cases.third_party_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.third_party_id IS 'the third party, if it is known';


--
-- Name: COLUMN cases.engagement_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.engagement_id IS 'the engagement, if there is one';


--
-- Name: COLUMN cases.questionnaire_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.questionnaire_id IS 'the questionnaire it came from';


--
-- Name: COLUMN cases.requester_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.requester_id IS 'user who asked for it';


--
-- Name: COLUMN cases.investigator_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.investigator_id IS 'user who works on it';


--
-- Name: COLUMN cases.region_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.region_id IS 'region in charge';


--
-- Name: COLUMN cases.department_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.department_id IS 'department in charge';


--
-- Name: COLUMN cases.third_party_type_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.third_party_type_id IS 'type of the third party';


--
-- Name: COLUMN cases.third_party_category_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.cases.third_party_category_id IS 'category of the third party';


--
-- Name: cases; Type: VIEW; Schema: readers; Owner: postgres
--

CREATE VIEW readers.cases AS
 SELECT t.id,
    t.case_number,
    t.name,
    t.stage,
    t.open,
    t.scope,
    t.case_type,
    t.relationship_type,
    t.legal_form,
    t.origin,
    t.decision,
    t.close_code,
    t.brief_note,
    t.contact_aware,
    t.budget_amount,
    t.budget_currency,
    t.due_on,
    t.requested_at,
    t.completed_at,
    t.closed_at,
    t.custom_fields,
    t.created_at,
    t.updated_at,
    t.third_party_id,
    t.engagement_id,
    t.questionnaire_id,
    t.requester_id,
    t.investigator_id,
    t.region_id,
    t.department_id,
    t.third_party_type_id,
    t.third_party_category_id
   FROM tpm.cases t
  WHERE ('tpm_fdw_create_views'::text IS NOT NULL);


ALTER TABLE readers.cases OWNER TO postgres;

--
-- Name: VIEW cases; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON VIEW readers.cases IS 'due diligence on a third party';


--
-- Name: COLUMN cases.id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.id IS 'identifier of the resource';


--
-- Name: COLUMN cases.case_number; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.case_number IS 'number of the case';


--
-- Name: COLUMN cases.name; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.name IS 'name of the company';


--
-- Name: COLUMN cases.stage; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.stage IS 'where the case stands';


--
-- Name: COLUMN cases.open; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.open IS 'whether its stage is an open one';


--
-- Name: COLUMN cases.scope; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.scope IS 'kind of due diligence';


--
-- Name: COLUMN cases.case_type; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.case_type IS 'Prospective or Current';


--
-- Name: COLUMN cases.relationship_type; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.relationship_type IS 'kind of business relationship';


--
-- Name: COLUMN cases.legal_form; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.legal_form IS 'legal form of the company';


--
-- Name: COLUMN cases.origin; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.origin IS 'questionnaire, or entered by hand';


--
-- Name: COLUMN cases.decision; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.decision IS 'Approved or Denied';


--
-- Name: COLUMN cases.close_code; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.close_code IS 'why it was closed';


--
-- Name: COLUMN cases.brief_note; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.brief_note IS 'short remark';


--
-- Name: COLUMN cases.contact_aware; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.contact_aware IS 'whether the contact knows of the investigation';


--
-- Name: COLUMN cases.budget_amount; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.budget_amount IS 'what it may cost';


--
-- Name: COLUMN cases.budget_currency; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.budget_currency IS 'currency of the budget';


--
-- Name: COLUMN cases.due_on; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.due_on IS 'day it is due';


--
-- Name: COLUMN cases.requested_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.requested_at IS 'time of the request';


--
-- Name: COLUMN cases.completed_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.completed_at IS 'time of completion';


--
-- Name: COLUMN cases.closed_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.closed_at IS 'time of closing';


--
-- Name: COLUMN cases.custom_fields; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.custom_fields IS 'the tenant''s own fields: id, term, value';


--
-- Name: COLUMN cases.created_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.created_at IS 'time of creation';


--
-- Name: COLUMN cases.updated_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.updated_at IS 'time of the latest change';


--
-- Name: COLUMN cases.third_party_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.third_party_id IS 'the third party, if it is known';


--
-- Name: COLUMN cases.engagement_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.engagement_id IS 'the engagement, if there is one';


--
-- Name: COLUMN cases.questionnaire_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.questionnaire_id IS 'the questionnaire it came from';


--
-- Name: COLUMN cases.requester_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.requester_id IS 'user who asked for it';


--
-- Name: COLUMN cases.investigator_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.investigator_id IS 'user who works on it';


--
-- Name: COLUMN cases.region_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.region_id IS 'region in charge';


--
-- Name: COLUMN cases.department_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.department_id IS 'department in charge';


--
-- Name: COLUMN cases.third_party_type_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.third_party_type_id IS 'type of the third party';


--
-- Name: COLUMN cases.third_party_category_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.cases.third_party_category_id IS 'category of the third party';


--
-- Name: third_parties; Type: FOREIGN TABLE; Schema: tpm; Owner: postgres
--

CREATE FOREIGN TABLE tpm.third_parties (
    id text NOT NULL COLLATE pg_catalog."C",
    profile_number text,
    internal_id text,
    name text,
    status text,
    approval_status text,
    approval_reason text,
    approval_status_changed_at timestamp with time zone,
    street_address text,
    city text,
    state text,
    postal_code text,
    country text,
    contact_name text,
    contact_email text,
    contact_phone text,
    risk_rating text,
    risk_score numeric,
    recommended_scope text,
    unreviewed_hits integer,
    hits_to_remediate integer,
    next_renewal_on date,
    custom_fields jsonb,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    third_party_type_id text,
    third_party_category_id text,
    region_id text,
    department_id text,
    owner_id text,
    engagements text[],
    cases text[],
    fetched_at timestamp with time zone
)
SERVER inline
OPTIONS (
    total_pointer '/meta/total_count'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN id OPTIONS (
    filter 'id',
    filter_match 'exact',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN profile_number OPTIONS (
    filter 'profile_number',
    read_only 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN internal_id OPTIONS (
    filter 'internal_id',
    natural_key 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN name OPTIONS (
    filter 'name'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN status OPTIONS (
    filter 'status',
    filter_match 'exact'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN approval_status OPTIONS (
    filter 'approval_status',
    filter_match 'exact'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN approval_status_changed_at OPTIONS (
    read_only 'true',
    sort_nulls 'last',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN country OPTIONS (
    filter 'country',
    filter_match 'exact'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN risk_rating OPTIONS (
    filter 'risk_rating',
    filter_match 'exact',
    read_only 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN risk_score OPTIONS (
    read_only 'true',
    sort_nulls 'last',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN recommended_scope OPTIONS (
    read_only 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN unreviewed_hits OPTIONS (
    read_only 'true',
    sort_nulls 'last',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN hits_to_remediate OPTIONS (
    read_only 'true',
    sort_nulls 'last',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN next_renewal_on OPTIONS (
    sort_nulls 'last',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN created_at OPTIONS (
    created_at 'true',
    read_only 'true',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN updated_at OPTIONS (
    read_only 'true',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN third_party_type_id OPTIONS (
    filter 'third_party_type.id',
    filter_match 'exact',
    relationship 'third_party_type'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN third_party_category_id OPTIONS (
    filter 'third_party_category.id',
    filter_match 'exact',
    relationship 'third_party_category'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN region_id OPTIONS (
    filter 'region.id',
    filter_match 'exact',
    relationship 'region'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN department_id OPTIONS (
    filter 'department.id',
    filter_match 'exact',
    relationship 'department'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN owner_id OPTIONS (
    filter 'owner.id',
    filter_match 'exact',
    relationship 'owner'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN engagements OPTIONS (
    read_only 'true',
    relationship 'engagements'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN cases OPTIONS (
    read_only 'true',
    relationship 'cases'
);
ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN fetched_at OPTIONS (
    fetched_at 'true'
);


ALTER FOREIGN TABLE tpm.third_parties OWNER TO postgres;

--
-- Name: FOREIGN TABLE third_parties; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON FOREIGN TABLE tpm.third_parties IS 'companies that are checked (3P Profiles)';


--
-- Name: COLUMN third_parties.id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.id IS 'identifier of the resource';


--
-- Name: COLUMN third_parties.profile_number; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.profile_number IS 'number shown as 3P Number';


--
-- Name: COLUMN third_parties.internal_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.internal_id IS 'identifier in the customer''s own systems';


--
-- Name: COLUMN third_parties.name; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.name IS 'name of the company';


--
-- Name: COLUMN third_parties.status; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.status IS 'Active or Inactive';


--
-- Name: COLUMN third_parties.approval_status; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.approval_status IS 'outcome of the approval';


--
-- Name: COLUMN third_parties.approval_reason; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.approval_reason IS 'why it was decided so';


--
-- Name: COLUMN third_parties.approval_status_changed_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.approval_status_changed_at IS 'time of the latest approval decision';


--
-- Name: COLUMN third_parties.street_address; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.street_address IS 'street and number';


--
-- Name: COLUMN third_parties.city; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.city IS 'city';


--
-- Name: COLUMN third_parties.state; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.state IS 'state or province';


--
-- Name: COLUMN third_parties.postal_code; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.postal_code IS 'postal code';


--
-- Name: COLUMN third_parties.country; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.country IS 'country code, ISO 3166-1 alpha-2';


--
-- Name: COLUMN third_parties.contact_name; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.contact_name IS 'point of contact';


--
-- Name: COLUMN third_parties.contact_email; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.contact_email IS 'e-mail of the point of contact';


--
-- Name: COLUMN third_parties.contact_phone; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.contact_phone IS 'telephone of the point of contact';


--
-- Name: COLUMN third_parties.risk_rating; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.risk_rating IS 'tier that the risk model gives';


--
-- Name: COLUMN third_parties.risk_score; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.risk_score IS 'score that the risk model gives';


--
-- Name: COLUMN third_parties.recommended_scope; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.recommended_scope IS 'due diligence that the risk model suggests';


--
-- Name: COLUMN third_parties.unreviewed_hits; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.unreviewed_hits IS 'screening hits nobody has looked at';


--
-- Name: COLUMN third_parties.hits_to_remediate; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.hits_to_remediate IS 'true matches that need an answer';


--
-- Name: COLUMN third_parties.next_renewal_on; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.next_renewal_on IS 'day of the next renewal';


--
-- Name: COLUMN third_parties.custom_fields; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.custom_fields IS 'the tenant''s own fields: id, term, value';


--
-- Name: COLUMN third_parties.created_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.created_at IS 'time of creation';


--
-- Name: COLUMN third_parties.updated_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.updated_at IS 'time of the latest change';


--
-- Name: COLUMN third_parties.third_party_type_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.third_party_type_id IS 'its type';


--
-- Name: COLUMN third_parties.third_party_category_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.third_party_category_id IS 'its category';


--
-- Name: COLUMN third_parties.region_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.region_id IS 'region in charge';


--
-- Name: COLUMN third_parties.department_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.department_id IS 'department in charge';


--
-- Name: COLUMN third_parties.owner_id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.owner_id IS 'user in charge';


--
-- Name: COLUMN third_parties.engagements; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.engagements IS 'its engagements';


--
-- Name: COLUMN third_parties.cases; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.cases IS 'its cases';


--
-- Name: COLUMN third_parties.fetched_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.third_parties.fetched_at IS 'time at which the row was received';


--
-- Name: third_parties; Type: VIEW; Schema: readers; Owner: postgres
--

CREATE VIEW readers.third_parties AS
 SELECT t.id,
    t.profile_number,
    t.internal_id,
    t.name,
    t.status,
    t.approval_status,
    t.approval_reason,
    t.approval_status_changed_at,
    t.street_address,
    t.city,
    t.state,
    t.postal_code,
    t.country,
    t.contact_name,
    t.contact_email,
    t.contact_phone,
    t.risk_rating,
    t.risk_score,
    t.recommended_scope,
    t.unreviewed_hits,
    t.hits_to_remediate,
    t.next_renewal_on,
    t.custom_fields,
    t.created_at,
    t.updated_at,
    t.third_party_type_id,
    t.third_party_category_id,
    t.region_id,
    t.department_id,
    t.owner_id,
    t.engagements,
    t.cases,
    t.fetched_at
   FROM tpm.third_parties t
  WHERE ('tpm_fdw_create_views'::text IS NOT NULL);


ALTER TABLE readers.third_parties OWNER TO postgres;

--
-- Name: VIEW third_parties; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON VIEW readers.third_parties IS 'companies that are checked (3P Profiles)';


--
-- Name: COLUMN third_parties.id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.id IS 'identifier of the resource';


--
-- Name: COLUMN third_parties.profile_number; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.profile_number IS 'number shown as 3P Number';


--
-- Name: COLUMN third_parties.internal_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.internal_id IS 'identifier in the customer''s own systems';


--
-- Name: COLUMN third_parties.name; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.name IS 'name of the company';


--
-- Name: COLUMN third_parties.status; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.status IS 'Active or Inactive';


--
-- Name: COLUMN third_parties.approval_status; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.approval_status IS 'outcome of the approval';


--
-- Name: COLUMN third_parties.approval_reason; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.approval_reason IS 'why it was decided so';


--
-- Name: COLUMN third_parties.approval_status_changed_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.approval_status_changed_at IS 'time of the latest approval decision';


--
-- Name: COLUMN third_parties.street_address; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.street_address IS 'street and number';


--
-- Name: COLUMN third_parties.city; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.city IS 'city';


--
-- Name: COLUMN third_parties.state; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.state IS 'state or province';


--
-- Name: COLUMN third_parties.postal_code; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.postal_code IS 'postal code';


--
-- Name: COLUMN third_parties.country; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.country IS 'country code, ISO 3166-1 alpha-2';


--
-- Name: COLUMN third_parties.contact_name; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.contact_name IS 'point of contact';


--
-- Name: COLUMN third_parties.contact_email; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.contact_email IS 'e-mail of the point of contact';


--
-- Name: COLUMN third_parties.contact_phone; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.contact_phone IS 'telephone of the point of contact';


--
-- Name: COLUMN third_parties.risk_rating; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.risk_rating IS 'tier that the risk model gives';


--
-- Name: COLUMN third_parties.risk_score; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.risk_score IS 'score that the risk model gives';


--
-- Name: COLUMN third_parties.recommended_scope; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.recommended_scope IS 'due diligence that the risk model suggests';


--
-- Name: COLUMN third_parties.unreviewed_hits; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.unreviewed_hits IS 'screening hits nobody has looked at';


--
-- Name: COLUMN third_parties.hits_to_remediate; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.hits_to_remediate IS 'true matches that need an answer';


--
-- Name: COLUMN third_parties.next_renewal_on; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.next_renewal_on IS 'day of the next renewal';


--
-- Name: COLUMN third_parties.custom_fields; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.custom_fields IS 'the tenant''s own fields: id, term, value';


--
-- Name: COLUMN third_parties.created_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.created_at IS 'time of creation';


--
-- Name: COLUMN third_parties.updated_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.updated_at IS 'time of the latest change';


--
-- Name: COLUMN third_parties.third_party_type_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.third_party_type_id IS 'its type';


--
-- Name: COLUMN third_parties.third_party_category_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.third_party_category_id IS 'its category';


--
-- Name: COLUMN third_parties.region_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.region_id IS 'region in charge';


--
-- Name: COLUMN third_parties.department_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.department_id IS 'department in charge';


--
-- Name: COLUMN third_parties.owner_id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.owner_id IS 'user in charge';


--
-- Name: COLUMN third_parties.engagements; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.engagements IS 'its engagements';


--
-- Name: COLUMN third_parties.cases; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.cases IS 'its cases';


--
-- Name: COLUMN third_parties.fetched_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.third_parties.fetched_at IS 'time at which the row was received';


--
-- Name: users; Type: FOREIGN TABLE; Schema: tpm; Owner: postgres
--

CREATE FOREIGN TABLE tpm.users (
    id text NOT NULL COLLATE pg_catalog."C",
    email text,
    first_name text,
    last_name text,
    role text,
    active boolean,
    created_at timestamp with time zone NOT NULL,
    regions text[],
    departments text[],
    fetched_at timestamp with time zone
)
SERVER inline
OPTIONS (
    ops 'read',
    total_pointer '/meta/total_count'
);
ALTER FOREIGN TABLE tpm.users ALTER COLUMN id OPTIONS (
    filter 'id',
    filter_match 'exact',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.users ALTER COLUMN email OPTIONS (
    filter 'email'
);
ALTER FOREIGN TABLE tpm.users ALTER COLUMN role OPTIONS (
    filter 'role'
);
ALTER FOREIGN TABLE tpm.users ALTER COLUMN created_at OPTIONS (
    read_only 'true',
    sortable 'true'
);
ALTER FOREIGN TABLE tpm.users ALTER COLUMN regions OPTIONS (
    relationship 'regions'
);
ALTER FOREIGN TABLE tpm.users ALTER COLUMN departments OPTIONS (
    relationship 'departments'
);
ALTER FOREIGN TABLE tpm.users ALTER COLUMN fetched_at OPTIONS (
    fetched_at 'true'
);


ALTER FOREIGN TABLE tpm.users OWNER TO postgres;

--
-- Name: FOREIGN TABLE users; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON FOREIGN TABLE tpm.users IS 'users of Third-Party Manager';


--
-- Name: COLUMN users.id; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.id IS 'identifier of the resource';


--
-- Name: COLUMN users.email; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.email IS 'e-mail';


--
-- Name: COLUMN users.first_name; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.first_name IS 'first name';


--
-- Name: COLUMN users.last_name; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.last_name IS 'last name';


--
-- Name: COLUMN users.role; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.role IS 'role in Third-Party Manager';


--
-- Name: COLUMN users.active; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.active IS 'whether the account is active';


--
-- Name: COLUMN users.created_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.created_at IS 'time of creation';


--
-- Name: COLUMN users.regions; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.regions IS 'regions the user may see';


--
-- Name: COLUMN users.departments; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.departments IS 'departments the user may see';


--
-- Name: COLUMN users.fetched_at; Type: COMMENT; Schema: tpm; Owner: postgres
--

COMMENT ON COLUMN tpm.users.fetched_at IS 'time at which the row was received';


--
-- Name: users; Type: VIEW; Schema: readers; Owner: postgres
--

CREATE VIEW readers.users AS
 SELECT t.id,
    t.email,
    t.first_name,
    t.last_name,
    t.role,
    t.active,
    t.created_at,
    t.regions,
    t.departments,
    t.fetched_at
   FROM tpm.users t
  WHERE ('tpm_fdw_create_views'::text IS NOT NULL);


ALTER TABLE readers.users OWNER TO postgres;

--
-- Name: VIEW users; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON VIEW readers.users IS 'users of Third-Party Manager';


--
-- Name: COLUMN users.id; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.id IS 'identifier of the resource';


--
-- Name: COLUMN users.email; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.email IS 'e-mail';


--
-- Name: COLUMN users.first_name; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.first_name IS 'first name';


--
-- Name: COLUMN users.last_name; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.last_name IS 'last name';


--
-- Name: COLUMN users.role; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.role IS 'role in Third-Party Manager';


--
-- Name: COLUMN users.active; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.active IS 'whether the account is active';


--
-- Name: COLUMN users.created_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.created_at IS 'time of creation';


--
-- Name: COLUMN users.regions; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.regions IS 'regions the user may see';


--
-- Name: COLUMN users.departments; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.departments IS 'departments the user may see';


--
-- Name: COLUMN users.fetched_at; Type: COMMENT; Schema: readers; Owner: postgres
--

COMMENT ON COLUMN readers.users.fetched_at IS 'time at which the row was received';


--
-- Name: places; Type: TABLE; Schema: tpm; Owner: postgres
--

CREATE TABLE tpm.places (
    id text,
    name text,
    country text
)
PARTITION BY LIST (country);


ALTER TABLE tpm.places OWNER TO postgres;

--
-- Name: places_us; Type: FOREIGN TABLE; Schema: tpm; Owner: postgres
--

CREATE FOREIGN TABLE tpm.places_us (
    id text,
    name text,
    country text
)
SERVER inline
OPTIONS (
    query 'filter[country]=US',
    resource '/third_parties'
);


ALTER FOREIGN TABLE tpm.places_us OWNER TO postgres;

--
-- Name: places_us; Type: TABLE ATTACH; Schema: tpm; Owner: postgres
--

ALTER TABLE ONLY tpm.places ATTACH PARTITION tpm.places_us FOR VALUES IN ('US');


--
-- Data for Name: tpm_fdw_copy_ids; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.tpm_fdw_copy_ids (guard, kind, id, asked) FROM stdin;
\.


--
-- Data for Name: tpm_fdw_copy_state; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.tpm_fdw_copy_state (guard, copy, source, copy_oid, source_oid, home, cursor_column, lookback, every, every_given, reconcile, sweep, deletions, unlisted_option, paused, phase, "position", link, last_id, run_started, run_date, page_size, run_total, run_total_fell, pages_done, pages_expected, filled, watermark, "greatest", greatest_seen, greatest_date, verified_until, last_success, id_orders, page_link, page_rows, members, unchanged_runs, next_run, next_reconcile, next_sweep, sweep_planned, problem, problem_code, rows, unlisted, ever_unlisted, requests, requests_last_run, inserted, updated, deleted) FROM stdin;
\.


--
-- Name: FOREIGN SERVER filed; Type: ACL; Schema: -; Owner: postgres
--

GRANT ALL ON FOREIGN SERVER filed TO pg_monitor;


--
-- Name: TABLE by_hand; Type: ACL; Schema: tpm; Owner: postgres
--

GRANT SELECT ON TABLE tpm.by_hand TO pg_monitor;


--
-- Name: active; Type: MATERIALIZED VIEW DATA; Schema: readers; Owner: postgres
--

REFRESH MATERIALIZED VIEW readers.active;


--
-- PostgreSQL database dump complete
--


