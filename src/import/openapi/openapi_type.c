/*-------------------------------------------------------------------------
 *
 * openapi_type.c
 *		What a schema says of a column: its type and its comment; and where
 *		the schemas of parameters, bodies and answers stand.
 *
 * Owns the choice of a PostgreSQL type.  What a schema says is
 * openapi_schema.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "import/openapi/openapi_internal.h"

/* longest description kept in a comment, and how many values of an enumeration */
#define MAX_COMMENT 1000
#define MAX_COMMENT_WORDS 30

/* ----- types ----- */

static const char *
type_of_format(int types, const char *format)
{
	static const struct
	{
		int			types;
		const char *format;
		const char *type;
	}			known[] = {
		{TPM_JSON_STRING, "date", "date"},
		{TPM_JSON_STRING, "date-time", "timestamptz"},
		{TPM_JSON_STRING, "uuid", "uuid"},
		{TPM_JSON_STRING, "decimal", "numeric"},
		{TPM_JSON_INTEGER, "int8", "integer"},
		{TPM_JSON_INTEGER, "int16", "integer"},
		{TPM_JSON_INTEGER, "int32", "integer"},
		{TPM_JSON_INTEGER, "uint64", "numeric"},
		{TPM_JSON_NUMBER, "int32", "integer"},
		{TPM_JSON_NUMBER, "int64", "bigint"},
		{TPM_JSON_NUMBER, "float", "double precision"},
		{TPM_JSON_NUMBER, "double", "double precision"}
	};

	for (int i = 0; format && i < (int) lengthof(known); i++)
	{
		if (known[i].types == types && strcmp(known[i].format, format) == 0)
			return known[i].type;
	}
	return NULL;
}

static const char *
type_of_array(TpmOpenapi *api, const TpmShape *shape)
{
	const char *type = shape->items ? tpm_openapi_type(api, tpm_openapi_shape(api, shape->items)) : "jsonb";

	/* of the arrays, text[] alone is a direct type */
	return strcmp(type, "text") == 0 ? "text[]" : "jsonb";
}

const char *
tpm_openapi_type(TpmOpenapi *api, const TpmShape *shape)
{
	const char *type = type_of_format(shape->types, shape->format);

	if (type)
		return type;
	switch (shape->types)
	{
		case TPM_JSON_STRING:
			return "text";
		case TPM_JSON_INTEGER:
			return shape->maximum && atof(shape->maximum) > (double) PG_INT64_MAX ? "numeric" : "bigint";
		case TPM_JSON_NUMBER:
		case TPM_JSON_NUMBER | TPM_JSON_INTEGER:
			return "numeric";
		case TPM_JSON_BOOLEAN:
			return "boolean";
		case TPM_JSON_ARRAY:
			return type_of_array(api, shape);
		default:
			break;
	}
	/* any mixture of texts, numbers and booleans can be read as text */
	if (shape->types != 0 && !(shape->types & (TPM_JSON_OBJECT | TPM_JSON_ARRAY)))
		return "text";
	return "jsonb";
}

/* ----- comments ----- */

/* Descriptions are Markdown over many lines; a comment is one */
static void
append_line(StringInfo out, const char *text)
{
	int			len = pg_mbcliplen(text, strlen(text), MAX_COMMENT);
	bool		blank = false;

	for (int i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c <= ' ' || c == 0x7f)
			blank = out->len > 0;
		else
		{
			if (blank)
				appendStringInfoChar(out, ' ');
			blank = false;
			appendStringInfoChar(out, c);
		}
	}
	if (text[len] != '\0')
		appendStringInfoString(out, "...");
}

char *
tpm_openapi_comment(const char *description, const List *words)
{
	StringInfoData out;
	int			n = 0;
	ListCell   *lc;

	initStringInfo(&out);
	if (description)
		append_line(&out, description);
	foreach(lc, words)
	{
		const char *word = lfirst(lc);

		/* a blank one cannot be seen */
		if (word[0] == '\0')
			continue;
		if (++n > MAX_COMMENT_WORDS)
		{
			appendStringInfo(&out, " and %d more", list_length(words) - MAX_COMMENT_WORDS);
			break;
		}
		appendStringInfoString(&out, n > 1 ? ", " : out.len > 0 ? "; one of: " : "one of: ");
		append_line(&out, word);
	}
	return out.len > 0 ? out.data : NULL;
}

/* ----- places of schemas ----- */

/* The schema of the media type that this product asks for, or of its nearest relative */
static const TpmNode *
content_schema(const TpmNode *content)
{
	const TpmDict *types = tpm_node_members(content);
	const TpmNode *best = NULL;
	int			best_rank = 0;

	for (int i = 0; i < types->count; i++)
	{
		const TpmNode *schema = tpm_node_member(types->values[i], "schema");
		const char *name = types->names[i];
		int			rank = strncmp(name, "application/vnd.api+json", 24) == 0 ? 4
		: strncmp(name, "application/json", 16) == 0 ? 3
		: strstr(name, "json") != NULL ? 2 : 1;

		if (schema && rank > best_rank)
		{
			best = schema;
			best_rank = rank;
		}
	}
	return best;
}

/* In version 2 a parameter is its own schema */
const TpmNode *
tpm_openapi_parameter_schema(const TpmNode *parameter)
{
	const TpmNode *schema = tpm_node_member(parameter, "schema");

	if (schema == NULL)
		schema = content_schema(tpm_node_member(parameter, "content"));
	return schema ? schema : parameter;
}

const TpmNode *
tpm_openapi_body_schema(TpmOpenapi *api, const TpmNode *operation)
{
	const TpmNode *parameters = tpm_node_member(operation, "parameters");

	if (!api->swagger)
		return content_schema(tpm_node_member(tpm_openapi_resolve(api, tpm_node_member(operation, "requestBody")),
											  "content"));
	for (int i = 0; i < tpm_node_count(parameters); i++)
	{
		const TpmNode *parameter = tpm_openapi_resolve(api, parameters->items[i]);
		const char *in = tpm_node_text(tpm_node_member(parameter, "in"));

		if (in && strcmp(in, "body") == 0)
			return tpm_node_member(parameter, "schema");
	}
	return NULL;
}

/* Of the first answer that is a success and has a body */
const TpmNode *
tpm_openapi_answer_schema(TpmOpenapi *api, const TpmNode *operation)
{
	static const char *const statuses[] = {"200", "201", "202", "2XX", "2xx", "default"};
	const TpmNode *answers = tpm_node_member(operation, "responses");

	for (int i = 0; i < (int) lengthof(statuses); i++)
	{
		const TpmNode *answer = tpm_openapi_resolve(api, tpm_node_member(answers, statuses[i]));
		const TpmNode *schema = api->swagger ? tpm_node_member(answer, "schema")
		: content_schema(tpm_node_member(answer, "content"));

		if (schema)
			return schema;
	}
	return NULL;
}
