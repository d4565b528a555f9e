/*-------------------------------------------------------------------------
 *
 * option_table.c
 *		The table of all options.
 *
 * Owns their names, contexts, kinds and defaults; docs/options.md has
 * the same order.  The validator and the readers both walk this table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "nodes/value.h"
#include "utils/guc.h"

#include "option/option_internal.h"
#include "shared/cache/cache.h"

#define SERVER		TPM_ON_SERVER
#define SHARED		(TPM_ON_SERVER | TPM_ON_TABLE)
#define TABLE		TPM_ON_TABLE
#define COLUMN		TPM_ON_COLUMN
#define MAPPING		TPM_ON_MAPPING

#define IN_OPT(field)	offsetof(TpmOptions, field)
#define IN_TAB(field)	offsetof(TpmTable, field)
#define IN_COL(field)	offsetof(TpmColumn, field)
#define IN_CRED(field)	offsetof(TpmCredential, field)

#define MAX_LIMIT	1000000
#define MAX_WAIT_MS	(60 * 60 * 1000)
#define MAX_TTL_S	(10 * 365 * 24 * 60 * 60)
#define MAX_BODY_KB	(1024 * 1024 - 1)

static const TpmWord auth_words[] = {
	{"oauth2", TPM_AUTH_OAUTH2}, {"bearer", TPM_AUTH_BEARER}, {"none", TPM_AUTH_NONE}, {NULL, 0}
};
static const TpmWord token_auth_words[] = {
	{"basic", TPM_TOKEN_AUTH_BASIC}, {"post", TPM_TOKEN_AUTH_POST}, {NULL, 0}
};
static const TpmWord invalid_words[] = {
	{"error", TPM_INVALID_ERROR}, {"replace", TPM_INVALID_REPLACE}, {NULL, 0}
};
static const TpmWord missing_words[] = {
	{"null", TPM_MISSING_NULL}, {"warn", TPM_MISSING_WARN}, {"error", TPM_MISSING_ERROR}, {NULL, 0}
};
static const TpmWord pagination_words[] = {
	{"links", TPM_PAGE_LINKS}, {"number", TPM_PAGE_NUMBER},
	{"number_base64", TPM_PAGE_NUMBER_BASE64}, {"offset", TPM_PAGE_OFFSET}, {NULL, 0}
};
static const TpmWord sort_words[] = {
	{"many", TPM_SORT_MANY}, {"one", TPM_SORT_ONE}, {NULL, 0}
};
static const TpmWord list_words[] = {
	{"comma", TPM_LIST_COMMA}, {"repeat", TPM_LIST_REPEAT}, {NULL, 0}
};
static const TpmWord links_words[] = {
	{"strict", TPM_LINKS_STRICT}, {"rebase", TPM_LINKS_REBASE}, {NULL, 0}
};
static const TpmWord limit_words[] = {{"none", 0}, {NULL, 0}};
static const TpmWord ttl_words[] = {{"auto", TPM_TTL_AUTO}, {NULL, 0}};
static const TpmWord scope_words[] = {
	{"query", TPM_SCOPE_QUERY}, {"table", TPM_SCOPE_TABLE}, {NULL, 0}
};
static const TpmWord family_words[] = {
	{"ipv4", TPM_IPV4}, {"ipv6", TPM_IPV6}, {"any", TPM_IP_ANY}, {NULL, 0}
};
static const TpmWord method_words[] = {
	{"PUT", TPM_UPDATE_PUT}, {"PATCH", TPM_UPDATE_PATCH}, {NULL, 0}
};
static const TpmWord body_words[] = {
	{"full", TPM_BODY_FULL}, {"changed", TPM_BODY_CHANGED}, {NULL, 0}
};
static const TpmWord update_check_words[] = {
	{"reread", TPM_CHECK_REREAD}, {"none", TPM_CHECK_NONE}, {NULL, 0}
};
static const TpmWord insert_check_words[] = {{"none", 0}, {"look", 1}, {NULL, 0}};
static const TpmWord op_words[] = {
	{"read", TPM_OP_READ}, {"create", TPM_OP_CREATE}, {"update", TPM_OP_UPDATE}, {NULL, 0}
};
static const TpmWord operator_words[] = {
	{"=", TPM_FILTER_EQ}, {"in", TPM_FILTER_IN}, {"<", TPM_FILTER_LT}, {"<=", TPM_FILTER_LE},
	{">", TPM_FILTER_GT}, {">=", TPM_FILTER_GE}, {"like", TPM_FILTER_LIKE},
	{"null", TPM_FILTER_NULL}, {NULL, 0}
};
static const TpmWord match_words[] = {{"recheck", 0}, {"exact", 1}, {NULL, 0}};
static const TpmWord nulls_words[] = {
	{"first", TPM_NULLS_FIRST}, {"last", TPM_NULLS_LAST},
	{"always_first", TPM_NULLS_ALWAYS_FIRST}, {"always_last", TPM_NULLS_ALWAYS_LAST},
	{"unknown", TPM_NULLS_UNKNOWN}, {NULL, 0}
};

#define TEXT(name, ctx, field, preset, flags, check) \
	{name, ctx, tpm_parse_text, field, preset, flags, check, NULL, 0, 0, 0}
#define WORD(name, ctx, field, preset, words) \
	{name, ctx, tpm_parse_word, field, preset, 0, NULL, words, 0, 0, 0}
#define FLAG(name, ctx, field, preset) \
	{name, ctx, tpm_parse_boolean, field, preset, 0, NULL, NULL, 0, 0, 0}
#define NUMBER(name, ctx, field, preset, min, max, unit, words) \
	{name, ctx, tpm_parse_number, field, preset, 0, NULL, words, min, max, unit}
#define LIMIT(name, ctx, field, preset) \
	NUMBER(name, ctx, field, preset, 0, MAX_LIMIT, 0, limit_words)
#define CUSTOM(name, ctx, field, preset, parse, words) \
	{name, ctx, parse, field, preset, 0, NULL, words, 0, 0, 0}

static const TpmOptionDef all_options[] = {
	/* the API */
	{"base_url", SERVER, tpm_parse_url, IN_OPT(base_url), NULL, TPM_OPT_QUIET, tpm_check_url, NULL, 0, 0, 0},
	WORD("auth", SERVER, IN_OPT(auth), "oauth2", auth_words),
	TEXT("token_url", SERVER, IN_OPT(token_url), NULL, TPM_OPT_QUIET, tpm_check_reference),
	WORD("token_auth", SERVER, IN_OPT(token_auth), "basic", token_auth_words),
	TEXT("scope", SERVER, IN_OPT(scope), NULL, 0, NULL),
	TEXT("audience", SERVER, IN_OPT(audience), NULL, 0, NULL),
	TEXT("token_parameters", SERVER, IN_OPT(token_parameters), NULL, TPM_OPT_QUIET, tpm_check_form),
	TEXT("media_type", SERVER, IN_OPT(media_type), "application/vnd.api+json", 0, tpm_check_media_type),
	TEXT("headers", SERVER, IN_OPT(headers), NULL, TPM_OPT_LINES | TPM_OPT_QUIET, tpm_check_headers),
	TEXT("query", SHARED, IN_OPT(query), NULL, TPM_OPT_NONE, tpm_check_query),
	TEXT("timezone", SERVER, IN_OPT(timezone), "UTC", 0, tpm_check_timezone),
	WORD("invalid_characters", SHARED, IN_OPT(invalid_characters), "error", invalid_words),
	WORD("missing_attribute", SHARED, IN_OPT(missing_attribute), "warn", missing_words),

	/* paging and filters */
	NUMBER("page_size", SHARED, IN_OPT(page_size), "100", 1, 10000, 0, NULL),
	WORD("pagination", SHARED, IN_OPT(pagination), "links", pagination_words),
	NUMBER("first_page", SHARED, IN_OPT(first_page), "1", 0, 1, 0, NULL),
	TEXT("page_parameters", SHARED, IN_OPT(page_parameters), NULL, 0, tpm_check_two_names),
	WORD("sort_keys", SHARED, IN_OPT(sort_keys), "many", sort_words),
	TEXT("sort_parameter", SHARED, IN_OPT(sort_parameter), "sort", 0, NULL),
	TEXT("fields_format", SHARED, IN_OPT(fields_format), "fields[%s]", TPM_OPT_EMPTY, tpm_check_fields_format),
	TEXT("include_parameter", SHARED, IN_OPT(include_parameter), "include", 0, NULL),
	TEXT("filter_format", SHARED, IN_OPT(filter_format), "filter[%s]", 0, tpm_check_format),
	WORD("list_format", SHARED, IN_OPT(list_format), "comma", list_words),
	WORD("links_origin", SHARED, IN_OPT(links_origin), "strict", links_words),
	TEXT("total_pointer", SHARED, IN_OPT(total_pointer), NULL, TPM_OPT_NONE, tpm_check_pointer),
	NUMBER("fetch_concurrency", SHARED, IN_OPT(fetch_concurrency), "4", 1, 64, 0, NULL),
	NUMBER("analyze_pages", SHARED, IN_OPT(analyze_pages), "10", 1, 10000, 0, NULL),
	TEXT("custom_fields_attribute", SHARED, IN_OPT(custom_fields_attribute), "custom_fields", 0, NULL),

	/* budget */
	LIMIT("rate_limit_per_second", SERVER, IN_OPT(rate_limit_per_second), "6"),
	LIMIT("rate_limit_per_minute", SERVER, IN_OPT(rate_limit_per_minute), "none"),
	LIMIT("rate_limit_per_hour", SERVER, IN_OPT(rate_limit_per_hour), "600"),
	TEXT("rate_limit_group", SERVER, IN_OPT(rate_limit_group), NULL, 0, NULL),

	/* cache */
	NUMBER("cache_ttl", SHARED, IN_OPT(cache_ttl), "auto", 0, MAX_TTL_S, GUC_UNIT_S, ttl_words),
	WORD("cache_scope", SHARED, IN_OPT(cache_scope), "query", scope_words),

	/* transport */
	NUMBER("connect_timeout", SERVER, IN_OPT(connect_timeout), "10s", 1, MAX_WAIT_MS, GUC_UNIT_MS, NULL),
	NUMBER("request_timeout", SERVER, IN_OPT(request_timeout), "60s", 1, MAX_WAIT_MS, GUC_UNIT_MS, NULL),
	NUMBER("max_retries", SERVER, IN_OPT(max_retries), "5", 0, 100, 0, NULL),
	{"max_response_size", SERVER, tpm_parse_kilobytes, IN_OPT(max_response_size), "64MB", 0, NULL, NULL, 1, MAX_BODY_KB, GUC_UNIT_KB},
	WORD("ip_family", SERVER, IN_OPT(ip_family), "ipv4", family_words),
	TEXT("proxy", SERVER, IN_OPT(proxy), NULL, TPM_OPT_QUIET, tpm_check_url),
	TEXT("ca_file", SERVER, IN_OPT(ca_file), NULL, TPM_OPT_FILE, tpm_check_path),
	TEXT("client_cert", SERVER, IN_OPT(client_cert), NULL, TPM_OPT_FILE, tpm_check_path),
	TEXT("client_key", SERVER, IN_OPT(client_key), NULL, TPM_OPT_FILE | TPM_OPT_SECRET, tpm_check_path),
	FLAG("allow_http", SERVER, IN_OPT(allow_http), "false"),

	/* writes */
	FLAG("updatable", SHARED, IN_OPT(updatable), "true"),
	WORD("update_method", SHARED, IN_OPT(update_method), "PUT", method_words),
	WORD("update_body", SHARED, IN_OPT(update_body), "full", body_words),
	WORD("update_check", SHARED, IN_OPT(update_check), "reread", update_check_words),
	TEXT("request_id_header", SERVER, IN_OPT(request_id_header), "X-Request-Id", TPM_OPT_EMPTY, tpm_check_header_name),
	TEXT("conflict_codes", SHARED, IN_OPT(conflict_codes), "409", 0, tpm_check_conflict_codes),
	CUSTOM("unacted_statuses", SERVER, IN_OPT(unacted_statuses), "429", tpm_parse_statuses, NULL),

	/* user mapping */
	TEXT("client_id", MAPPING, IN_CRED(client_id), NULL, 0, NULL),
	TEXT("client_secret", MAPPING, IN_CRED(client_secret), NULL, 0, NULL),
	TEXT("client_secret_file", MAPPING, IN_CRED(client_secret_file), NULL, TPM_OPT_FILE | TPM_OPT_SECRET, tpm_check_path),
	TEXT("token", MAPPING, IN_CRED(token), NULL, 0, NULL),
	TEXT("token_file", MAPPING, IN_CRED(token_file), NULL, TPM_OPT_FILE | TPM_OPT_SECRET, tpm_check_path),
	TEXT("headers", MAPPING, IN_CRED(headers), NULL, TPM_OPT_LINES, tpm_check_headers),

	/* foreign table */
	TEXT("resource", TABLE, IN_TAB(resource), NULL, 0, tpm_check_resource),
	TEXT("type", TABLE, IN_TAB(type), NULL, 0, NULL),
	TEXT("include", TABLE, IN_TAB(include), NULL, 0, NULL),
	CUSTOM("insert_check", TABLE, IN_TAB(looks_before_insert), "none", tpm_parse_word_flag, insert_check_words),
	CUSTOM("required_filters", TABLE, IN_TAB(required_filters), NULL, tpm_parse_names, NULL),
	LIMIT("rate_limit_per_second", TABLE, IN_TAB(endpoint_per_second), "none"),
	LIMIT("rate_limit_per_minute", TABLE, IN_TAB(endpoint_per_minute), "none"),
	LIMIT("rate_limit_per_hour", TABLE, IN_TAB(endpoint_per_hour), "none"),
	CUSTOM("read_only_members", TABLE, IN_TAB(read_only_members), "created_at,updated_at", tpm_parse_names, NULL),
	CUSTOM("ops", TABLE, IN_TAB(ops), "read,create,update", tpm_parse_words, op_words),

	/* column */
	CUSTOM("attribute", COLUMN, 0, NULL, tpm_parse_attribute, NULL),
	CUSTOM("relationship", COLUMN, 0, NULL, tpm_parse_relationship, NULL),
	CUSTOM("included", COLUMN, 0, NULL, tpm_parse_included, NULL),
	CUSTOM("pointer", COLUMN, 0, NULL, tpm_parse_pointer, NULL),
	CUSTOM("custom_field", COLUMN, 0, NULL, tpm_parse_custom_field, NULL),
	CUSTOM("fetched_at", COLUMN, 0, NULL, tpm_parse_fetched_at, NULL),
	TEXT("filter", COLUMN, IN_COL(filter), NULL, 0, NULL),
	CUSTOM("filter_operators", COLUMN, IN_COL(filter_operators), "=,in", tpm_parse_words, operator_words),
	TEXT("filter_ge", COLUMN, IN_COL(filter_ge), NULL, 0, NULL),
	TEXT("filter_gt", COLUMN, IN_COL(filter_gt), NULL, 0, NULL),
	TEXT("filter_le", COLUMN, IN_COL(filter_le), NULL, 0, NULL),
	TEXT("filter_lt", COLUMN, IN_COL(filter_lt), NULL, 0, NULL),
	TEXT("filter_like", COLUMN, IN_COL(filter_like), NULL, 0, NULL),
	CUSTOM("filter_values", COLUMN, IN_COL(filter_values), NULL, tpm_parse_filter_values, NULL),
	CUSTOM("filter_match", COLUMN, IN_COL(filter_exact), "recheck", tpm_parse_word_flag, match_words),
	FLAG("sortable", COLUMN, IN_COL(sortable), "false"),
	WORD("sort_nulls", COLUMN, IN_COL(sort_nulls), "unknown", nulls_words),
	FLAG("natural_key", COLUMN, IN_COL(natural_key), "false"),
	FLAG("read_only", COLUMN, IN_COL(read_only), "false"),
	FLAG("created_at", COLUMN, IN_COL(created_at), "false")
};

const TpmOptionDef *
tpm_option_at(int i)
{
	return i < (int) lengthof(all_options) ? &all_options[i] : NULL;
}

const TpmOptionDef *
tpm_option_find(const char *name, int context)
{
	for (int i = 0; i < (int) lengthof(all_options); i++)
	{
		if ((all_options[i].contexts & context) && strcmp(all_options[i].name, name) == 0)
			return &all_options[i];
	}
	return NULL;
}

const char *
tpm_option_problem(const char *name, const char *value)
{
	const TpmOptionDef *def = tpm_option_find(name, TPM_ON_TABLE);

	for (const char *c = value; *c; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			return "It holds a control character.";
	}
	return def->check ? def->check(def, value) : NULL;
}

/* Control characters could end a header or a log line */
void
tpm_option_store(const TpmOptionDef *def, const char *value, void *target)
{
	for (const char *c = value; *c; c++)
	{
		if (((unsigned char) *c < ' ' && !(*c == '\n' && (def->flags & TPM_OPT_LINES))) || *c == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("value of option \"%s\" holds a control character", def->name)));
	}
	def->parse(def, value, target);
}

/* The defaults of the options whose own context this is */
void
tpm_option_presets(int context, void *target)
{
	for (int i = 0; i < (int) lengthof(all_options); i++)
	{
		const TpmOptionDef *def = &all_options[i];

		if (def->preset && (def->contexts == context ||
							(context == TPM_ON_SERVER && def->contexts == SHARED)))
			tpm_option_store(def, def->preset, target);
	}
}

/* Lays stored options over the defaults; shared takes a table's "S" options */
TpmProblem *
tpm_option_apply(List *options, int context, void *own, TpmOptions *shared)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *elem = (DefElem *) lfirst(lc);
		const TpmOptionDef *def = tpm_option_find(elem->defname, context);

		/* a library older than the catalog's content may meet such a one */
		if (def == NULL)
			return tpm_problem(ERRCODE_FDW_INVALID_OPTION_NAME,
							   psprintf("invalid option \"%s\"", elem->defname), NULL, NULL);
		tpm_option_store(def, defGetString(elem), def->contexts == SHARED ? (void *) shared : own);
	}
	return NULL;
}

/* What follows from several options together */
TpmProblem *
tpm_options_finish(TpmOptions *opt)
{
	List	   *names;

	names = tpm_split(opt->page_parameters ? opt->page_parameters :
					  opt->pagination == TPM_PAGE_OFFSET ? "page[limit],page[offset]" :
					  "page[size],page[number]", ',');
	opt->page_size_parameter = strVal(linitial(names));
	opt->page_number_parameter = strVal(lsecond(names));

	if (opt->update_check == TPM_CHECK_NONE && opt->update_body != TPM_BODY_CHANGED)
		return tpm_problem(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE,
						   "option \"update_check\" can be \"none\" only with \"update_body\" \"changed\"",
						   "A full body that was not read just before could undo somebody else's change.", NULL);
	return NULL;
}
