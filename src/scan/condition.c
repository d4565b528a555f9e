/*-------------------------------------------------------------------------
 *
 * condition.c
 *		The texts under which the values of a condition are sent to the API.
 *
 * Owns the rules by which a value is ambiguous, and what is known of a filter
 * that was caught lying.
 *
 * A value is sent only if it can mean nothing else to the API; that is known
 * at planning for constants and at execution for the rest.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/value.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/text.h"
#include "base/url.h"
#include "document/inverse.h"
#include "document/value.h"
#include "request/request.h"
#include "scan/condition.h"
#include "shared/counters.h"

/*
 * The value as text; NULL if it has none that the API understands.  Where it
 * is to be equal it is spelled as it is written; a bound includes all that
 * reads as it.
 */
static char *
plain_text(const TpmColumn *column, TpmConditionOp op, Datum value, Oid type)
{
	Oid			function;
	bool		varlena;

	if (tpm_is_time_type(type) && op != TPM_COND_EQ && op != TPM_COND_IN)
		return tpm_bound_text(column, value, type, op == TPM_COND_LT || op == TPM_COND_LE);
	if (tpm_is_time_type(type))
		return tpm_time_text(column, type, value);
	if (type == BOOLOID)
		return pstrdup(DatumGetBool(value) ? "true" : "false");
	getTypeOutputInfo(type, &function, &varlena);
	return OidOutputFunctionCall(function, value);
}

static bool
same_filter_value(const TpmColumn *column, const char *a, const char *b)
{
	bool		x,
				y;

	if (column->type == BOOLOID && parse_bool(a, &x) && parse_bool(b, &y))
		return x == y;
	return strcmp(a, b) == 0;
}

/* the API's word for a value; NULL if filter_values lists it not */
static const char *
mapped(const TpmColumn *column, const char *text)
{
	ListCell   *lc;

	if (column->filter_values == NIL)
		return text;

	foreach(lc, column->filter_values)
	{
		TpmFilterValue *pair = lfirst(lc);

		if (same_filter_value(column, pair->sql, text))
			return pair->api;
	}
	return NULL;
}

/* blanks outside ASCII, which may be trimmed as well */
static bool
has_wide_blank_ends(const char *text)
{
	static const char *const blanks[] = {"\xC2\xA0", "\xC2\x85", "\xE1\x9A\x80", "\xE2\x80", "\xE3\x80\x80", "\xEF\xBB\xBF"};
	const char *utf8 = tpm_url_utf8(text);
	size_t		len = strlen(utf8);

	for (int i = 0; i < (int) lengthof(blanks); i++)
	{
		size_t		n = strlen(blanks[i]);

		if (strncmp(utf8, blanks[i], n) == 0 ||
			(len >= 3 && strncmp(utf8 + len - 3, blanks[i], n) == 0) ||
			(len >= 2 && strncmp(utf8 + len - 2, blanks[i], n) == 0))
			return true;
	}
	return false;
}

/* can mean nothing else where a list of values, blanks and a word for NULL are read */
static bool
is_unambiguous(const TpmTable *table, const char *text)
{
	size_t		len = strlen(text);

	if (len == 0 || isspace((unsigned char) text[0]) || isspace((unsigned char) text[len - 1]))
		return false;
	if ((IS_HIGHBIT_SET(text[0]) || IS_HIGHBIT_SET(text[len - 1])) && has_wide_blank_ends(text))
		return false;
	if (table->opt.list_format == TPM_LIST_COMMA && strchr(text, ','))
		return false;
	if (pg_strcasecmp(text, "null") == 0)
		return false;
	for (const char *s = text; *s; s++)
		if ((unsigned char) *s < ' ' || *s == 0x7F)
			return false;
	return true;
}

/* the longest stretch of a pattern that stands for itself */
static char *
literal_of_pattern(const char *pattern)
{
	StringInfoData run,
				best;

	initStringInfo(&run);
	initStringInfo(&best);
	for (const char *s = pattern;; s++)
	{
		if (*s == '\0' || *s == '%' || *s == '_')
		{
			if (run.len > best.len)
			{
				resetStringInfo(&best);
				appendStringInfoString(&best, run.data);
			}
			resetStringInfo(&run);
			if (*s == '\0')
				return best.data;
			continue;
		}
		if (*s == '\\' && s[1])
			s++;
		appendStringInfoChar(&run, *s);
	}
}

/* one value as it is sent, NULL if it must not be */
static char *
send_text(const TpmTable *table, const TpmColumn *column, TpmConditionOp op, Datum value, Oid type)
{
	char	   *text = plain_text(column, op, value, type);
	const char *word;

	if (text == NULL)
		return NULL;
	if (op == TPM_COND_LIKE)
	{
		text = literal_of_pattern(text);
		if (tpm_text_may_be_another(text, table->opt.invalid_characters))
			return NULL;
	}

	if (op != TPM_COND_EQ && op != TPM_COND_IN)
		return is_unambiguous(table, text) ? text : NULL;

	if (!column->placeholder && !tpm_text_is_sure(column, text))
		return NULL;
	/* in a path every text is one segment and means itself */
	if (column->placeholder ||
		(column->kind == TPM_COL_ID && (column->filter == NULL || op == TPM_COND_EQ) &&
		 tpm_request_has_id_path(table)))
		return text;
	/* a single value has a single spelling */
	if (!tpm_column_takes_lists(column) && list_length(tpm_spellings(column, list_make1(text))) > 1)
		return NULL;

	word = mapped(column, text);
	if (word == NULL || !is_unambiguous(table, word))
		return NULL;
	return pstrdup(word);
}

static int
compare_texts(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

static List *
without_repeats(List *texts)
{
	List	   *result = NIL;
	ListCell   *lc;

	list_sort(texts, compare_texts);
	foreach(lc, texts)
	{
		if (result == NIL || strcmp(llast(result), lfirst(lc)) != 0)
			result = lappend(result, lfirst(lc));
	}
	return result;
}

static List *
array_values(const TpmTable *table, const TpmColumn *column, Datum value, bool *none)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Oid			type = ARR_ELEMTYPE(array);
	int16		len;
	bool		byval;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	List	   *texts = NIL;

	get_typlenbyvalalign(type, &len, &byval, &align);
	deconstruct_array(array, type, len, byval, align, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *text;

		/* equal to NULL is no row; it is the executor's to call it unknown */
		if (nulls[i])
			continue;
		text = send_text(table, column, TPM_COND_IN, elements[i], type);

		if (text == NULL)
			return NIL;
		texts = lappend(texts, text);
	}
	if (texts == NIL)
		*none = true;
	return without_repeats(texts);
}

static List *
sendable_values(const TpmTable *table, const TpmColumn *column, TpmConditionOp op, Datum value,
				Oid value_type, bool *none)
{
	char	   *text;

	if (op == TPM_COND_NULL)
		return list_make1("null");
	if (op == TPM_COND_IN)
		return array_values(table, column, value, none);
	text = send_text(table, column, op, value, value_type);
	return text ? list_make1(text) : NIL;
}

/* without such a column's value the API lists nothing, so what it lists has it */
bool
tpm_condition_is_required(const TpmTable *table, const TpmColumn *column)
{
	ListCell   *lc;

	foreach(lc, table->required_filters)
	{
		if (strcmp(strVal(lfirst(lc)), column->name) == 0)
			return true;
	}
	return false;
}

bool
tpm_condition_goes_into_path(const TpmTable *table, const TpmColumn *column)
{
	return column->placeholder ||
		(column->kind == TPM_COL_ID && tpm_equality_of(column->type) != TPM_EQUAL_NEVER &&
		 tpm_request_has_id_path(table));
}

bool
tpm_condition_is_range(const TpmTable *table, const TpmColumn *column, TpmConditionOp op)
{
	if ((op != TPM_COND_EQ && op != TPM_COND_IN) || tpm_equality_of(column->type) != TPM_EQUAL_RANGE ||
		tpm_condition_goes_into_path(table, column))
		return false;
	return (column->filter_ge && column->filter_le) || !tpm_condition_is_required(table, column);
}

List *
tpm_condition_values(const TpmTable *table, const TpmColumn *column, TpmConditionOp op,
					 Datum value, bool isnull, Oid value_type, bool *none)
{
	List	   *values;

	*none = isnull && op != TPM_COND_NULL;
	if (*none)
		return NIL;
	values = sendable_values(table, column, op, value, value_type, none);
	if (column->filter && (op == TPM_COND_EQ || op == TPM_COND_IN || op == TPM_COND_NULL) &&
		!tpm_request_query_allows(table, tpm_request_filter_name(table, column), values))
		return NIL;
	return values;
}

bool
tpm_filter_is_lying(const TpmTable *table, AttrNumber attnum)
{
	TpmTableStats learnt;

	return attnum < 256 && tpm_table_stats_get(table->relid, table->options_hash, &learnt) &&
		(learnt.lying_columns[attnum / 64] & (UINT64CONST(1) << (attnum % 64))) != 0;
}
