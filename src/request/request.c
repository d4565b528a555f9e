/*-------------------------------------------------------------------------
 *
 * request.c
 *		How a read is spelled: path, filters, order, members, page.
 *
 * Owns the spelling of a read; bodies are body.c's, percent-encoding is
 * url.c's.
 *
 * The only place that knows the query grammar.  Does not decide what to ask
 * for, and sends nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"
#include "nodes/value.h"
#include "utils/builtins.h"

#include "base/url.h"
#include "compat.h"
#include "request/request.h"

/* a value that can be one segment of a path (RFC 3986, section 3.3) */
static bool
is_segment(const char *value)
{
	return value[0] != '\0' && strcmp(value, ".") != 0 && strcmp(value, "..") != 0;
}

static const TpmColumn *
placeholder_column(const TpmTable *table, const char *name, int len)
{
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (column->kind != TPM_COL_NONE && (int) strlen(column->name) == len &&
			strncmp(column->name, name, len) == 0)
			return column;
	}
	return NULL;
}

char *
tpm_request_path(const TpmTable *table, char **values, bool shown)
{
	StringInfoData path;
	const char *s = table->resource;

	initStringInfo(&path);
	while (*s)
	{
		const char *close;
		const TpmColumn *column;
		char	   *value;

		if (*s != '{')
		{
			appendStringInfoChar(&path, *s++);
			continue;
		}
		close = strchr(s, '}');
		column = placeholder_column(table, s + 1, close - s - 1);
		value = column && values ? values[column->attnum - 1] : NULL;
		if (value == NULL || (!shown && !is_segment(value)))
			return NULL;
		appendStringInfoString(&path, shown ? value : tpm_url_encode_segment(value));
		s = close + 1;
	}
	return path.data;
}

bool
tpm_request_path_has_columns(const TpmTable *table)
{
	return strchr(table->resource, '{') != NULL;
}

bool
tpm_request_has_id_path(const TpmTable *table)
{
	const TpmColumn *id = table->id_attnum ? &table->columns[table->id_attnum - 1] : NULL;

	/*
	 * the table's own parameters may be unknown where it is no list that is
	 * asked for
	 */
	return id && !tpm_request_path_has_columns(table) && !(id->filter && table->opt.query);
}

char *
tpm_request_id_path(const char *path, const char *id, bool shown)
{
	bool		slash;

	if (!shown && !is_segment(id))
		return NULL;
	/* where lists end in a slash, so do their resources */
	slash = path[0] != '\0' && path[strlen(path) - 1] == '/';
	return psprintf("%s%s%s%s", path, slash ? "" : "/", shown ? id : tpm_url_encode_segment(id), slash ? "/" : "");
}

char *
tpm_request_filter_name(const TpmTable *table, const TpmColumn *column)
{
	StringInfoData name;
	const char *format = table->opt.filter_format;
	const char *hole = strstr(format, "%s");

	initStringInfo(&name);
	appendBinaryStringInfo(&name, format, hole - format);
	appendStringInfoString(&name, column->filter);
	appendStringInfoString(&name, hole + 2);
	return name.data;
}

char *
tpm_request_sort_name(const TpmColumn *column)
{
	StringInfoData name;
	ListCell   *lc;

	if (column->kind == TPM_COL_ID)
		return "id";
	initStringInfo(&name);
	foreach(lc, column->path)
		appendStringInfo(&name, "%s%s", name.len ? "." : "", strVal(lfirst(lc)));
	return name.data;
}

char *
tpm_request_member(const TpmTable *table, const TpmColumn *column)
{
	switch (column->kind)
	{
		case TPM_COL_ATTRIBUTE:
		case TPM_COL_RELATIONSHIP:
		case TPM_COL_INCLUDED:
			return strVal(linitial(column->path));
		case TPM_COL_CUSTOM_FIELD:
			return table->opt.custom_fields_attribute;
		case TPM_COL_POINTER:
			/* /attributes/name, but not /attributes as a whole */
			if (list_length(column->path) >= 2 &&
				(strcmp(strVal(linitial(column->path)), "attributes") == 0 ||
				 strcmp(strVal(linitial(column->path)), "relationships") == 0))
				return strVal(lsecond(column->path));
			return NULL;
		default:
			return NULL;
	}
}

/* is the column read from outside attributes and relationships? */
static bool
is_memberless(const TpmColumn *column)
{
	const char *first;

	if (column->kind != TPM_COL_POINTER)
		return column->kind == TPM_COL_NONE || column->kind == TPM_COL_ID || column->kind == TPM_COL_FETCHED_AT ||
			column->kind == TPM_COL_PLACEHOLDER;
	first = column->path == NIL ? "" : strVal(linitial(column->path));
	return strcmp(first, "id") == 0 || strcmp(first, "type") == 0 || strcmp(first, "links") == 0 ||
		strcmp(first, "meta") == 0;
}

static bool
list_has_member(const char *members, const char *member)
{
	size_t		len = strlen(member);

	for (const char *at = strstr(members, member); at; at = strstr(at + 1, member))
		if ((at == members || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

size_t
tpm_request_list_length(const List *values)
{
	size_t		len = 0;
	ListCell   *lc;

	foreach(lc, values)
		len += strlen(tpm_url_encode_query(lfirst(lc))) + strlen("%2C");
	return len;
}

char *
tpm_request_join(const char *names, const char *more)
{
	char	   *copy = pstrdup(more);
	StringInfoData joined;
	char	   *save;

	initStringInfo(&joined);
	appendStringInfoString(&joined, names);
	for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save))
		if (!list_has_member(joined.data, name))
			appendStringInfo(&joined, "%s%s", joined.len ? "," : "", name);
	return joined.data;
}

char *
tpm_request_fields(const TpmTable *table, List *columns)
{
	StringInfoData members;
	ListCell   *lc;

	initStringInfo(&members);
	foreach(lc, columns)
	{
		const TpmColumn *column = &table->columns[lfirst_int(lc) - 1];
		char	   *member = tpm_request_member(table, column);

		if (member == NULL && is_memberless(column))
			continue;
		/* a name that the list's grammar cannot hold is among all of them */
		if (member == NULL || member[0] == '\0' || strchr(member, ',') != NULL)
			return NULL;
		if (!list_has_member(members.data, member))
			appendStringInfo(&members, "%s%s", members.len ? "," : "", member);
	}
	/* rather more bytes back than an address that servers refuse */
	if (members.len == 0 || strlen(tpm_url_encode_query(members.data)) > TPM_MAX_LIST_BYTES)
		return NULL;
	return members.data;
}

static char *
fields_name(const TpmTable *table, const char *type)
{
	StringInfoData name;
	const char *format = table->opt.fields_format;
	const char *hole = strstr(format, "%s");

	if (hole == NULL)
		return table->opt.fields_format;
	initStringInfo(&name);
	appendBinaryStringInfo(&name, format, hole - format);
	appendStringInfoString(&name, type);
	appendStringInfoString(&name, hole + 2);
	return name.data;
}

/* one name=value; in a URL both sides encoded, for people as they are */
static void
add_pair(StringInfo query, const char *name, const char *value, bool shown)
{
	if (query->len > 0)
		appendStringInfoChar(query, '&');
	appendStringInfo(query, "%s=%s", shown ? name : tpm_url_encode_query(name),
					 shown ? value : tpm_url_encode_query(value));
}

static void
add_term(StringInfo query, const TpmTable *table, const TpmTerm *term, bool shown)
{
	ListCell   *lc;

	if (list_length(term->values) > 1 && table->opt.list_format == TPM_LIST_REPEAT)
	{
		char	   *name = psprintf("%s[]", term->parameter);

		foreach(lc, term->values)
			add_pair(query, name, lfirst(lc), shown);
		return;
	}
	/* a comma between values is grammar; none is in a value that is sent */
	foreach(lc, term->values)
	{
		if (foreach_current_index(lc) == 0)
			add_pair(query, term->parameter, lfirst(lc), shown);
		else
			appendStringInfo(query, ",%s", shown ? (char *) lfirst(lc)
							 : tpm_url_encode_query(lfirst(lc)));
	}
}

/* is this the parameter, or one of its repeated "[]" keys? */
static bool
is_parameter(const char *name, const char *parameter)
{
	size_t		len = strlen(parameter);

	return strncmp(name, parameter, len) == 0 &&
		(name[len] == '\0' || strcmp(name + len, "[]") == 0);
}

static List *
fixed_values(const char *pairs, const char *parameter)
{
	char	   *copy = pstrdup(pairs);
	char	   *save;
	List	   *values = NIL;

	for (char *pair = strtok_r(copy, "&", &save); pair; pair = strtok_r(NULL, "&", &save))
	{
		char	   *equals = strchr(pair, '=');
		char	   *save_value;

		if (equals == NULL)
			continue;
		*equals = '\0';
		if (!is_parameter(pair, parameter))
			continue;
		for (char *value = strtok_r(equals + 1, ",", &save_value); value;
			 value = strtok_r(NULL, ",", &save_value))
			values = lappend(values, value);
	}
	return values;
}

static bool
is_among(const char *value, List *values)
{
	ListCell   *lc;

	foreach(lc, values)
	{
		if (strcmp(lfirst(lc), value) == 0)
			return true;
	}
	return false;
}

bool
tpm_request_query_allows(const TpmTable *table, const char *parameter, List *values)
{
	List	   *fixed = table->opt.query ? fixed_values(table->opt.query, parameter) : NIL;
	ListCell   *lc;

	foreach(lc, values)
	{
		if (fixed != NIL && !is_among(lfirst(lc), fixed))
			return false;
	}
	return true;
}

/* a term asks for a part of what the pair of this name asks for */
static bool
is_narrowed(const TpmTable *table, List *terms, const char *name)
{
	ListCell   *lc;

	foreach(lc, terms)
	{
		TpmTerm    *term = lfirst(lc);

		if (is_parameter(name, term->parameter) &&
			tpm_request_query_allows(table, term->parameter, term->values))
			return true;
	}
	return false;
}

/* the table's own parameters, "a=b&c=d": split, so that each side is encoded once */
static void
add_fixed(StringInfo query, const TpmTable *table, List *terms, bool shown)
{
	char	   *copy;
	char	   *save;

	if (table->opt.query == NULL)
		return;
	copy = pstrdup(table->opt.query);
	for (char *pair = strtok_r(copy, "&", &save); pair; pair = strtok_r(NULL, "&", &save))
	{
		char	   *equals = strchr(pair, '=');

		if (equals)
			*equals = '\0';
		if (!is_narrowed(table, terms, pair))
			add_pair(query, pair, equals ? equals + 1 : "", shown);
	}
}

static void
add_conditions(StringInfo query, const TpmTable *table, const TpmRequest *request, const char *include,
			   bool shown)
{
	ListCell   *lc;

	foreach(lc, request->terms)
		add_term(query, table, lfirst(lc), shown);
	if (include)
		add_pair(query, table->opt.include_parameter, include, shown);
	add_fixed(query, table, request->terms, shown);
}

static char *
base64_of(const char *text)
{
	int			size = pg_b64_enc_len(strlen(text)) + 1;
	char	   *result = palloc(size);
	int			len = tpm_b64_encode(text, strlen(text), result, size - 1);

	result[Max(len, 0)] = '\0';
	return result;
}

static void
add_page(StringInfo query, const TpmTable *table, const TpmRequest *request,
		 const TpmPosition *position)
{
	const TpmOptions *opt = &table->opt;
	char	   *number;

	if (request->page_size > 0 && opt->page_size_parameter[0])
		add_pair(query, opt->page_size_parameter, psprintf("%d", request->page_size), false);
	switch (opt->pagination)
	{
		case TPM_PAGE_LINKS:
			break;
		case TPM_PAGE_NUMBER:
		case TPM_PAGE_NUMBER_BASE64:
			number = psprintf("%d", position->page + opt->first_page);
			if (opt->pagination == TPM_PAGE_NUMBER_BASE64)
				number = base64_of(number);
			add_pair(query, opt->page_number_parameter, number, false);
			break;
		case TPM_PAGE_OFFSET:
			add_pair(query, opt->page_number_parameter, psprintf(INT64_FORMAT, position->offset), false);
			break;
	}
}

char *
tpm_request_url(const TpmTable *table, const TpmRequest *request, const TpmPosition *position)
{
	StringInfoData query;
	ListCell   *lc;

	initStringInfo(&query);
	add_conditions(&query, table, request, request->include ? request->include : table->include, false);
	if (request->sort)
		add_pair(&query, table->opt.sort_parameter, request->sort, false);
	if (request->fields && table->opt.fields_format[0])
		add_pair(&query, fields_name(table, table->type), request->fields, false);
	foreach(lc, request->fields_of_included)
	{
		TpmFields  *of = lfirst(lc);

		add_pair(&query, fields_name(table, of->type), of->members, false);
	}
	if (!request->by_id)
		add_page(&query, table, request, position);
	return psprintf("%s%s%s%s", table->opt.base_url, request->path, query.len ? "?" : "", query.data);
}

char *
tpm_request_conditions(const TpmTable *table, const TpmRequest *request)
{
	StringInfoData query;

	initStringInfo(&query);
	add_conditions(&query, table, request, table->include, false);
	return psprintf("%s%s%s", request->path, query.len ? "?" : "", query.data);
}

char *
tpm_request_show(const TpmTable *table, const TpmRequest *request)
{
	StringInfoData query;

	initStringInfo(&query);
	add_conditions(&query, table, request, request->include ? request->include : table->include, true);
	if (request->sort)
		add_pair(&query, table->opt.sort_parameter, request->sort, true);
	return psprintf("%s%s%s", request->shown_path, query.len ? "?" : "", query.data);
}
