/*-------------------------------------------------------------------------
 *
 * catalogue.c
 *		The resources of Third-Party Manager that IMPORT knows by heart.
 *
 * Owns nothing but data.  Names of members, types and filters are the
 * project's best guess at an API that is not documented in public.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "import/catalogue.h"

#define F		TPM_CAT_FILTER
#define X		(TPM_CAT_FILTER | TPM_CAT_EXACT)
#define RO		TPM_CAT_READ_ONLY
#define RANGE	TPM_CAT_DATE_RANGE

#define ATTR(name, type, flags, comment)	{name, type, NULL, NULL, flags, comment}
#define TEXT(name, flags, comment)			ATTR(name, "text", flags, comment)
#define TIME(name, flags, comment)			ATTR(name, "timestamptz", flags, comment)
#define TO_ONE(name, flags, comment)		{name "_id", "text", name, NULL, flags, comment}
#define TO_MANY(name, flags, comment)		{name, "text[]", name, NULL, flags, comment}
#define CREATED		ATTR("created_at", "timestamptz", RO | TPM_CAT_NOT_NULL | TPM_CAT_CREATED, "time of creation")
#define UPDATED		ATTR("updated_at", "timestamptz", RO | TPM_CAT_NOT_NULL, "time of the latest change")
#define CUSTOM		ATTR("custom_fields", "jsonb", 0, "the tenant's own fields: id, term, value")
#define ACTIVE		ATTR("active", "boolean", 0, "whether it can still be chosen")
#define END			{NULL, NULL, NULL, NULL, 0, NULL}

static const TpmCatalogueColumn third_parties[] = {
	TEXT("profile_number", F | RO, "number shown as 3P Number"),
	TEXT("internal_id", F | TPM_CAT_NATURAL_KEY, "identifier in the customer's own systems"),
	TEXT("name", F, "name of the company"),
	TEXT("status", X, "Active or Inactive"),
	TEXT("approval_status", X, "outcome of the approval"),
	TEXT("approval_reason", 0, "why it was decided so"),
	TIME("approval_status_changed_at", RO, "time of the latest approval decision"),
	TEXT("street_address", 0, "street and number"),
	TEXT("city", 0, "city"),
	TEXT("state", 0, "state or province"),
	TEXT("postal_code", 0, "postal code"),
	TEXT("country", X, "country code, ISO 3166-1 alpha-2"),
	TEXT("contact_name", 0, "point of contact"),
	TEXT("contact_email", 0, "e-mail of the point of contact"),
	TEXT("contact_phone", 0, "telephone of the point of contact"),
	TEXT("risk_rating", X | RO, "tier that the risk model gives"),
	ATTR("risk_score", "numeric", RO, "score that the risk model gives"),
	TEXT("recommended_scope", RO, "due diligence that the risk model suggests"),
	ATTR("unreviewed_hits", "integer", RO, "screening hits nobody has looked at"),
	ATTR("hits_to_remediate", "integer", RO, "true matches that need an answer"),
	ATTR("next_renewal_on", "date", 0, "day of the next renewal"),
	CUSTOM, CREATED, UPDATED,
	TO_ONE("third_party_type", X, "its type"),
	TO_ONE("third_party_category", X, "its category"),
	TO_ONE("region", X, "region in charge"),
	TO_ONE("department", X, "department in charge"),
	TO_ONE("owner", X, "user in charge"),
	TO_MANY("engagements", RO, "its engagements"),
	TO_MANY("cases", RO, "its cases"),
	END
};

static const TpmCatalogueColumn engagements[] = {
	TEXT("engagement_number", RO, "number of the engagement"),
	TEXT("name", 0, "official name of the company"),
	TEXT("status", X, "Active or Inactive"),
	TEXT("approval_status", X, "outcome of the approval"),
	TEXT("approval_reason", 0, "why it was decided so"),
	TIME("approval_status_changed_at", RO, "time of the latest approval decision"),
	TEXT("street_address", 0, "street and number"),
	TEXT("city", 0, "city"),
	TEXT("state", 0, "state or province"),
	TEXT("postal_code", 0, "postal code"),
	TEXT("country", 0, "country code, ISO 3166-1 alpha-2"),
	TEXT("risk_rating", X | RO, "tier that the risk model gives"),
	ATTR("risk_score", "numeric", RO, "score that the risk model gives"),
	CUSTOM, CREATED, UPDATED,
	TO_ONE("third_party", X, "the third party; cannot be changed later"),
	TO_ONE("third_party_type", 0, "type of the third party"),
	TO_ONE("third_party_category", 0, "category of the third party"),
	TO_ONE("region", 0, "region in charge"),
	TO_ONE("department", 0, "department in charge"),
	TO_ONE("owner", 0, "user in charge"),
	END
};

static const TpmCatalogueColumn cases[] = {
	TEXT("case_number", F | RO, "number of the case"),
	TEXT("name", 0, "name of the company"),
	TEXT("stage", F, "where the case stands"),
	{"open", "boolean", NULL, "true=Only Open Cases,false=Only Closed Cases", F | RO,
	"whether its stage is an open one"},
	TEXT("scope", F, "kind of due diligence"),
	TEXT("case_type", 0, "Prospective or Current"),
	TEXT("relationship_type", 0, "kind of business relationship"),
	TEXT("legal_form", 0, "legal form of the company"),
	TEXT("origin", 0, "questionnaire, or entered by hand"),
	TEXT("decision", 0, "Approved or Denied"),
	TEXT("close_code", 0, "why it was closed"),
	TEXT("brief_note", 0, "short remark"),
	ATTR("contact_aware", "boolean", 0, "whether the contact knows of the investigation"),
	ATTR("budget_amount", "numeric", 0, "what it may cost"),
	TEXT("budget_currency", 0, "currency of the budget"),
	ATTR("due_on", "date", 0, "day it is due"),
	TIME("requested_at", 0, "time of the request"),
	TIME("completed_at", 0, "time of completion"),
	TIME("closed_at", 0, "time of closing"),
	CUSTOM, CREATED, UPDATED,
	TO_ONE("third_party", X, "the third party, if it is known"),
	TO_ONE("engagement", X, "the engagement, if there is one"),
	TO_ONE("questionnaire", 0, "the questionnaire it came from"),
	TO_ONE("requester", X, "user who asked for it"),
	TO_ONE("investigator", 0, "user who works on it"),
	TO_ONE("region", X, "region in charge"),
	TO_ONE("department", X, "department in charge"),
	TO_ONE("third_party_type", 0, "type of the third party"),
	TO_ONE("third_party_category", 0, "category of the third party"),
	END
};

static const TpmCatalogueColumn questionnaires[] = {
	TEXT("form_name", 0, "name of the form"),
	TEXT("form_version", 0, "version of the form"),
	TEXT("language", 0, "language it was sent in"),
	TEXT("source", 0, "how it came about"),
	TEXT("status", X, "invited, submitted or rejected"),
	ATTR("unexpected_answers", "integer", 0, "answers other than expected"),
	ATTR("needs_review", "integer", 0, "answers still to be reviewed"),
	TIME("invited_at", 0, "time of the invitation"),
	TIME("submitted_at", 0, "time it came back"),
	CREATED, UPDATED,
	TO_ONE("form", X, "the form"),
	TO_ONE("case", X, "the case it led to"),
	TO_ONE("third_party", X, "the third party asked"),
	TO_ONE("engagement", 0, "the engagement it is about"),
	END
};

static const TpmCatalogueColumn users[] = {
	TEXT("email", F, "e-mail"),
	TEXT("first_name", 0, "first name"),
	TEXT("last_name", 0, "last name"),
	TEXT("role", F, "role in Third-Party Manager"),
	ATTR("active", "boolean", 0, "whether the account is active"),
	CREATED,
	TO_MANY("regions", 0, "regions the user may see"),
	TO_MANY("departments", 0, "departments the user may see"),
	END
};

static const TpmCatalogueColumn notes[] = {
	TEXT("subject", 0, "subject"),
	TEXT("body", 0, "text; may hold HTML"),
	TEXT("category", 0, "kind of note"),
	CREATED,
	TO_ONE("author", 0, "user who wrote it"),
	TO_ONE("third_party", X, "the third party it is on"),
	TO_ONE("engagement", X, "the engagement it is on"),
	TO_ONE("case", X, "the case it is on"),
	END
};

static const TpmCatalogueColumn attachments[] = {
	TEXT("file_name", 0, "name of the file"),
	TEXT("content_type", 0, "media type"),
	ATTR("size_bytes", "bigint", 0, "size of the file"),
	TEXT("description", 0, "description"),
	TEXT("download_url", 0, "where the file is; never read by a query"),
	CREATED,
	TO_ONE("uploaded_by", 0, "user who uploaded it"),
	TO_ONE("third_party", X, "the third party it is on"),
	TO_ONE("case", X, "the case it is on"),
	TO_ONE("training_record", 0, "the training it proves"),
	END
};

/* regions, departments and types have the same members */
static const TpmCatalogueColumn named[] = {
	TEXT("name", 0, "name"), ACTIVE, END
};

static const TpmCatalogueColumn third_party_categories[] = {
	TEXT("name", 0, "name"), ACTIVE,
	ATTR("score", "integer", 0, "its share of the risk score"),
	TO_ONE("third_party_type", 0, "type it belongs to"),
	END
};

static const TpmCatalogueColumn case_close_codes[] = {
	TEXT("name", 0, "name"),
	TEXT("return_status", 0, "status that the case goes back to"),
	TEXT("origin", 0, "origin of the cases it is for"),
	ACTIVE, END
};

static const TpmCatalogueColumn forms[] = {
	TEXT("name", 0, "name"),
	TEXT("description", 0, "description"),
	TEXT("category", 0, "external or internal"),
	TEXT("version", 0, "version"),
	ACTIVE, END
};

static const TpmCatalogueColumn risk_models[] = {
	TEXT("name", 0, "name"),
	TEXT("risk_area", 0, "area of risk it measures"),
	ATTR("area_order", "integer", 0, "place of the area in lists"),
	ACTIVE,
	TO_ONE("third_party_type", 0, "type of third parties it is for"),
	TO_MANY("third_party_categories", 0, "categories it is for"),
	END
};

static const TpmCatalogueColumn risk_tiers[] = {
	TEXT("name", 0, "name"),
	ATTR("start_score", "numeric", 0, "lowest score of the tier"),
	TEXT("scope", 0, "due diligence it asks for"),
	TO_ONE("risk_model", 0, "model it belongs to"),
	END
};

static const TpmCatalogueColumn custom_field_definitions[] = {
	TEXT("applies_to", 0, "kind of record that has the field"),
	TEXT("term", 0, "label of the field"),
	TEXT("field_type", 0, "kind of value"),
	ATTR("options", "text[]", 0, "values to choose from"),
	ATTR("required", "boolean", 0, "whether it must be filled"),
	END
};

static const TpmCatalogueColumn risk_assessments[] = {
	TEXT("risk_area", 0, "area of risk"),
	ATTR("score", "numeric", 0, "score"),
	TEXT("rating", 0, "tier"),
	TIME("assessed_at", 0, "time of the assessment"),
	ATTR("current", "boolean", F, "whether it is the one in force"),
	TO_ONE("third_party", X, "the third party"),
	TO_ONE("engagement", 0, "the engagement"),
	TO_ONE("risk_model", 0, "the model used"),
	END
};

static const TpmCatalogueColumn screening_subjects[] = {
	TEXT("name", 0, "name that is screened"),
	TEXT("kind", 0, "entity or person"),
	ATTR("pending", "integer", 0, "hits nobody has looked at"),
	ATTR("to_remediate", "integer", 0, "true matches that need an answer"),
	TIME("last_screened_at", 0, "time of the latest screening"),
	TO_ONE("third_party", X, "the third party it belongs to"),
	END
};

static const TpmCatalogueColumn screening_hits[] = {
	TEXT("engine", F | RO, "gdc or media"),
	TEXT("list_category", RO, "kind of list it was found on"),
	TEXT("title", RO, "title"),
	TEXT("url", RO, "source"),
	ATTR("relevancy", "numeric", RO, "how well it fits"),
	TEXT("adjudication", F, "True Match, False Positive or none"),
	TEXT("reason", 0, "why it was judged so"),
	ATTR("remediated", "boolean", 0, "whether it has been dealt with"),
	TEXT("remediation_reason", 0, "how it was dealt with"),
	TIME("found_at", RO, "time of the finding"),
	TIME("adjudicated_at", RO, "time of the judgement"),
	TO_ONE("screening_subject", RO, "who was screened"),
	TO_ONE("third_party", X | RO, "the third party"),
	TO_ONE("adjudicated_by", RO, "user who judged"),
	END
};

static const TpmCatalogueColumn training_records[] = {
	TEXT("name", 0, "name of the training"),
	TEXT("training_type", F, "kind of training"),
	ATTR("provided_on", "date", 0, "day it was given"),
	TEXT("location", 0, "where it was given"),
	CREATED,
	TO_ONE("third_party", X, "the third party trained"),
	TO_ONE("engagement", 0, "the engagement it is for"),
	TO_MANY("attachments", 0, "proofs"),
	END
};

static const TpmCatalogueColumn gifts[] = {
	TEXT("description", 0, "what was given"),
	TEXT("kind", 0, "gift, travel or entertainment"),
	TEXT("direction", 0, "given or received"),
	ATTR("amount", "numeric", 0, "value"),
	TEXT("currency", 0, "currency of the value"),
	ATTR("given_on", "date", 0, "day"),
	TEXT("approval_status", X, "outcome of the approval"),
	TO_ONE("third_party", X, "the third party"),
	TO_ONE("engagement", 0, "the engagement"),
	TO_ONE("requester", 0, "user who asked for approval"),
	TO_ONE("approver", 0, "user who decides"),
	END
};

static const TpmCatalogueColumn connections[] = {
	TEXT("role", 0, "what the other one is to it"),
	CREATED,
	TO_ONE("third_party", X, "the third party"),
	TO_ONE("engagement", 0, "the engagement"),
	TO_ONE("associated_third_party", 0, "the other third party"),
	END
};

static const TpmCatalogueColumn compliance_items[] = {
	TEXT("name", 0, "what is to be done"),
	TEXT("state", F, "how far it is"),
	TIME("completed_at", 0, "time of completion"),
	TO_ONE("third_party", X, "the third party"),
	END
};

static const TpmCatalogueColumn questionnaire_answers[] = {
	TEXT("question_key", 0, "key of the question"),
	TEXT("question", 0, "the question"),
	TEXT("answer", 0, "the answer"),
	ATTR("unexpected", "boolean", 0, "whether it is other than expected"),
	TEXT("review_state", 0, "Needs Review or Reviewed"),
	TO_ONE("questionnaire", X, "the questionnaire"),
	TO_ONE("case", X, "the case"),
	END
};

static const TpmCatalogueColumn workflows[] = {
	TEXT("name", 0, "name"),
	TEXT("trigger", 0, "what started it"),
	TEXT("status", X, "how far it is"),
	TIME("started_at", 0, "time of the start"),
	TIME("due_at", 0, "time it is due"),
	TIME("completed_at", 0, "time of completion"),
	TO_ONE("third_party", X, "the third party"),
	TO_ONE("case", 0, "the case"),
	END
};

static const TpmCatalogueColumn workflow_tasks[] = {
	TEXT("name", RO, "what is to be done"),
	TEXT("task_type", RO, "kind of task"),
	TEXT("status", X, "how far it is"),
	TEXT("queue", 0, "group that works on it"),
	TIME("due_at", 0, "time it is due"),
	TIME("completed_at", 0, "time of completion"),
	TO_ONE("workflow", X | RO, "the workflow"),
	TO_ONE("owner", X, "user in charge"),
	END
};

static const TpmCatalogueColumn audit_events[] = {
	TIME("occurred_at", RANGE, "time of the event"),
	TEXT("event", F, "kind of event"),
	TEXT("reference", F, "number of the record"),
	TEXT("details", 0, "what changed"),
	TO_ONE("user", X, "user who did it"),
	TO_ONE("third_party", 0, "the third party"),
	TO_ONE("case", 0, "the case"),
	END
};

static const TpmCatalogueColumn email_logs[] = {
	TIME("sent_at", RANGE, "time it was sent"),
	TEXT("sender", 0, "sender"),
	TEXT("recipient", 0, "recipient"),
	TEXT("subject", 0, "subject"),
	TEXT("reference", 0, "number of the record"),
	TO_ONE("third_party", X, "the third party"),
	TO_ONE("engagement", 0, "the engagement"),
	END
};

#define CORE(name, ops, comment)		{#name, ops, false, true, comment, name}
#define LOOKUP(name, columns, comment)	{#name, "read", true, false, comment, columns}
#define MORE(name, ops, comment)		{#name, ops, false, false, comment, name}

const TpmCatalogueTable tpm_catalogue[] = {
	CORE(third_parties, NULL, "companies that are checked (3P Profiles)"),
	CORE(engagements, NULL, "business that is done with a third party"),
	CORE(cases, NULL, "due diligence on a third party"),
	CORE(questionnaires, "read,create", "questionnaires and intake forms that were sent"),
	CORE(users, "read", "users of Third-Party Manager"),
	CORE(notes, "read,create", "notes on third parties, engagements and cases"),
	CORE(attachments, "read", "files that were uploaded, without their content"),

	LOOKUP(regions, named, "regions"),
	LOOKUP(departments, named, "departments"),
	LOOKUP(third_party_types, named, "types of third parties"),
	LOOKUP(third_party_categories, third_party_categories, "categories of third parties"),
	LOOKUP(case_close_codes, case_close_codes, "reasons for closing a case"),
	LOOKUP(forms, forms, "questionnaires that can be sent"),
	LOOKUP(risk_models, risk_models, "models that risk is scored by"),
	LOOKUP(risk_tiers, risk_tiers, "tiers of a risk model"),
	LOOKUP(custom_field_definitions, custom_field_definitions, "the tenant's own fields"),

	MORE(risk_assessments, "read", "history of risk scores"),
	MORE(screening_subjects, "read", "companies and people that are screened"),
	MORE(screening_hits, "read,update", "findings of the screening"),
	MORE(training_records, NULL, "trainings that were given"),
	MORE(gifts, NULL, "gifts, travel and entertainment"),
	MORE(connections, "read,create", "relations between third parties"),
	MORE(compliance_items, "read", "what a third party still has to do"),
	MORE(questionnaire_answers, "read", "answers of a questionnaire"),
	MORE(workflows, "read", "runs of a workflow"),
	MORE(workflow_tasks, "read,update", "tasks of a workflow"),
	MORE(audit_events, "read", "who did what, and when"),
	MORE(email_logs, "read", "messages that were sent"),
	{NULL, NULL, false, false, NULL, NULL}
};
