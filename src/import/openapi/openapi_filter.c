/*-------------------------------------------------------------------------
 *
 * openapi_filter.c
 *		Parameters that filter a list, as options of columns.
 *
 * Owns the caution that this takes.  A filter is used only in the ways that
 * the document names, because an API that does not understand one may return
 * fewer rows than SQL would, and nothing could bring them back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "import/openapi/openapi_internal.h"

/* of all filter_values of a column: pg_attribute has no room for more */
#define MAX_VALUES_BYTES 2000

/* ----- columns that parameters mean ----- */

static TpmDraftColumn *
column_of_member(TpmDraft *draft, const char *name)
{
	ListCell   *lc;

	foreach(lc, draft->columns)
	{
		TpmDraftColumn *column = lfirst(lc);

		if (column->is_id ? strcmp(name, "id") == 0
			: column->member && strcmp(column->member, name) == 0)
			return column;
	}
	return NULL;
}

/* "owner", "owner.id" and "owner_id" are the id of the relationship "owner" */
static TpmDraftColumn *
column_of_filter(TpmDraft *draft, const char *name)
{
	TpmDraftColumn *column = column_of_member(draft, name);
	int			len = strlen(name);

	if (column == NULL && len > 3 &&
		(strcmp(name + len - 3, ".id") == 0 || strcmp(name + len - 3, "_id") == 0))
	{
		column = column_of_member(draft, pnstrdup(name, len - 3));
		if (column && !column->is_relationship)
			column = NULL;
	}
	return column;
}

static bool
is_type(const TpmDraftColumn *column, const char *const *types)
{
	for (; *types; types++)
	{
		if (strcmp(column->column->type, *types) == 0)
			return true;
	}
	return false;
}

bool
tpm_openapi_has_range(const TpmDraftColumn *column)
{
	static const char *const types[] = {"date", "timestamptz", "integer", "bigint", "numeric", NULL};

	return is_type(column, types);
}

/* The only column that holds a time, which "filter[date]" then means */
static TpmDraftColumn *
only_time(TpmDraft *draft)
{
	static const char *const types[] = {"date", "timestamptz", NULL};
	TpmDraftColumn *found = NULL;
	ListCell   *lc;

	foreach(lc, draft->columns)
	{
		TpmDraftColumn *column = lfirst(lc);

		if (!is_type(column, types))
			continue;
		if (found)
			return NULL;
		found = column;
	}
	return found;
}

/* ----- filters ----- */

bool
tpm_openapi_holds_word(const List *words, const char *word)
{
	ListCell   *lc;

	foreach(lc, words)
	{
		if (strcmp(lfirst(lc), word) == 0)
			return true;
	}
	return false;
}

static bool
holds_all(const List *words, const List *wanted)
{
	ListCell   *lc;

	foreach(lc, wanted)
	{
		if (!tpm_openapi_holds_word(words, lfirst(lc)))
			return false;
	}
	return true;
}

static void
append_value(StringInfo out, const char *value)
{
	for (; *value; value++)
	{
		if (strchr(",=\\", *value))
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *value);
	}
}

bool
tpm_openapi_has_control(const char *text)
{
	for (; *text; text++)
	{
		if ((unsigned char) *text < ' ' || *text == 0x7f)
			return true;
	}
	return false;
}

/* The values that may be sent, as the option filter_values; NULL: none, or too many */
static char *
spell_values(const TpmShape *values, const List *ours)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < list_length(values->words); i++)
	{
		const char *word = list_nth(values->words, i);
		const char *title = list_nth(values->titles, i);
		const char *sql = title && tpm_openapi_holds_word(ours, title) ? title : word;

		if (tpm_openapi_has_control(word) || tpm_openapi_has_control(sql) || sql[0] == '\0' || word[0] == '\0' ||
			(ours != NIL && !tpm_openapi_holds_word(ours, sql)))
			continue;
		if (out.len > 0)
			appendStringInfoChar(&out, ',');
		append_value(&out, sql);
		appendStringInfoChar(&out, '=');
		append_value(&out, word);
		if (out.len > MAX_VALUES_BYTES)
			return NULL;
	}
	return out.len > 0 ? out.data : NULL;
}

/*
 * Where the API takes certain values only, others must stay local: it would
 * answer them with an error.  False: no value of the column can be sent.
 */
static bool
read_values(TpmDraftColumn *column, const TpmShape *values)
{
	List	   *ours = column->shape ? column->shape->words : NIL;

	if (strcmp(column->column->type, "boolean") == 0)
		ours = lappend(list_make1("true"), "false");
	if (values->words == NIL || (ours != NIL && holds_all(values->words, ours)))
		return true;
	column->filter_values = spell_values(values, ours);
	return column->filter_values != NULL;
}

static void
add_required(TpmDraft *draft, const TpmDraftColumn *column)
{
	char	   *name = unconstify(char *, column->column->name);

	if (!tpm_openapi_holds_word(draft->required, name))
		draft->required = lappend(draft->required, name);
}

static bool
add_draft_filter(TpmDraft *draft, const TpmParameter *parameter, const char *name, bool repeat)
{
	static const char *const types[] = {"text", "boolean", "integer", "bigint", "uuid", "date", NULL};
	TpmDraftColumn *column = column_of_filter(draft, name);

	draft->has_filters = true;
	if (column == NULL || column->filter || !is_type(column, types) ||
		!read_values(column, parameter->values))
		return false;
	column->filter = name;
	if (!parameter->is_list && !repeat)
		column->filter_operators = "=";
	draft->repeat |= repeat;
	column->exact = column->is_id || column->is_relationship || (column->shape && column->shape->words != NIL);
	if (parameter->required)
		add_required(draft, column);
	return true;
}

static bool
is_equality_word(const char *word)
{
	static const char *const words[] = {"eq", "equals", "equal", "exact", "is"};

	for (int i = 0; i < (int) lengthof(words); i++)
	{
		if (strcmp(words[i], word) == 0)
			return true;
	}
	return false;
}

/* Places of TpmDraftColumn.bounds */
static int
bound_of_word(const char *word)
{
	static const struct
	{
		const char *word;
		int			bound;
	}			words[] = {
		{"ge", 0}, {"gte", 0}, {"start", 0}, {"from", 0}, {"min", 0}, {"since", 0},
		{"gt", 1}, {"after", 1},
		{"le", 2}, {"lte", 2}, {"end", 2}, {"to", 2}, {"max", 2}, {"until", 2},
		{"lt", 3}, {"before", 3}
	};

	for (int i = 0; i < (int) lengthof(words); i++)
	{
		if (strcmp(words[i].word, word) == 0)
			return words[i].bound;
	}
	return -1;
}

static bool
add_bound(TpmDraft *draft, const TpmParameter *parameter, const char *name, int bound)
{
	TpmDraftColumn *column = column_of_member(draft, name);

	draft->has_filters = true;
	if (column == NULL && strcmp(name, "date") == 0)
		column = only_time(draft);
	if (column == NULL || !tpm_openapi_has_range(column) || column->bounds[bound])
		return false;
	column->bounds[bound] = parameter->name;
	if (parameter->required)
		add_required(draft, column);
	return true;
}

/* filter[name], filter[name][] and filter[name][start] */
bool
tpm_openapi_read_filter(TpmDraft *draft, const TpmParameter *parameter)
{
	const char *begin = parameter->name + strlen("filter[");
	const char *end = strchr(begin, ']');
	char	   *name;
	char	   *word;
	int			bound;

	if (end == NULL || end == begin)
		return false;
	name = pnstrdup(begin, end - begin);
	if (end[1] == '\0' || (draft->operator == NULL && strcmp(end + 1, "[]") == 0))
		return add_draft_filter(draft, parameter, name, end[1] != '\0');
	if (end[1] != '[' || end[strlen(end) - 1] != ']')
		return false;
	word = pnstrdup(end + 2, strlen(end) - 3);

	/*
	 * a table's filters are all spelt in one way: with an operator, or
	 * without
	 */
	if (is_equality_word(word) && !draft->plain && !draft->repeat && (draft->operator == NULL || strcmp(draft->operator, word) == 0))
	{
		if (!add_draft_filter(draft, parameter, name, false))
			return false;
		draft->operator = word;
		return true;
	}
	bound = bound_of_word(word);
	return bound >= 0 && add_bound(draft, parameter, name, bound);
}

bool
tpm_openapi_read_bare_filter(TpmDraft *draft, const TpmParameter *parameter)
{
	return column_of_filter(draft, parameter->name) != NULL &&
		add_draft_filter(draft, parameter, parameter->name, false);
}
