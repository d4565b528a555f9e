/*-------------------------------------------------------------------------
 *
 * remote_query_terms.c
 *		The filters of a request, within what a URL can hold.
 *
 * Owns how long lists of values are cut into several requests.  Which
 * conditions are sent is decided in remote_query.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "scan/remote_query_internal.h"

static char *
bound_parameter(const TpmTable *table, const Sendable *item)
{
	const TpmColumn *column = item->column;

	switch (item->op)
	{
		case TPM_COND_GE:
			return column->filter_ge;
		case TPM_COND_GT:

			/*
			 * an inclusive bound brings the row itself too; it is checked
			 * again
			 */
			return column->filter_gt ? column->filter_gt : column->filter_ge;
		case TPM_COND_LE:
			return column->filter_le;
		case TPM_COND_LT:
			return column->filter_lt ? column->filter_lt : column->filter_le;
		case TPM_COND_LIKE:
			if (column->filter_like)
				return column->filter_like;
			break;
		case TPM_COND_IN:
			if (!tpm_column_takes_lists(column) && list_length(item->values) > 1)
				return NULL;
			break;
		case TPM_COND_EQ:
		case TPM_COND_NULL:
			break;
	}
	return column->filter ? tpm_request_filter_name(table, column) : NULL;
}

static TpmTerm *
find_query_term(List *terms, const char *parameter)
{
	ListCell   *lc;

	foreach(lc, terms)
	{
		if (strcmp(((TpmTerm *) lfirst(lc))->parameter, parameter) == 0)
			return lfirst(lc);
	}
	return NULL;
}

/* of two conditions under one name only the first is sent */
List *
tpm_remote_query_terms(const TpmTable *table, List *sendable)
{
	List	   *terms = NIL;
	size_t		bytes = 0;
	ListCell   *lc;

	foreach(lc, sendable)
	{
		Sendable   *item = lfirst(lc);
		size_t		len = Min(tpm_request_list_length(item->values), TPM_MAX_LIST_BYTES);
		TpmTerm    *term;
		char	   *parameter;

		if (item->column->placeholder && is_equality_item(item))
			continue;
		parameter = bound_parameter(table, item);
		if (parameter == NULL || find_query_term(terms, parameter) != NULL ||
			bytes + len > TPM_MAX_FILTER_BYTES)
		{
			item->condition->dropped = true;
			continue;
		}
		term = palloc(sizeof(TpmTerm));
		term->parameter = parameter;
		term->values = item->values;
		term->attnum = is_equality_item(item) ? item->column->attnum : 0;
		terms = lappend(terms, term);
		bytes += len;
	}
	return terms;
}

static List *
cut_values(List *values, int most)
{
	List	   *parts = NIL;
	List	   *part = NIL;
	size_t		bytes = 0;
	ListCell   *lc;

	foreach(lc, values)
	{
		size_t		len = tpm_request_list_length(list_make1(lfirst(lc)));

		if (part != NIL && (list_length(part) >= most || bytes + len > TPM_MAX_LIST_BYTES))
		{
			parts = lappend(parts, part);
			part = NIL;
			bytes = 0;
		}
		part = lappend(part, lfirst(lc));
		bytes += len;
	}
	return lappend(parts, part);
}

List *
tpm_remote_query_cut_terms(const TpmTable *table, List *terms, bool *all_sent)
{
	TpmTerm    *longest = NULL;
	List	   *parts = NIL;
	List	   *kept = NIL;
	ListCell   *lc;

	foreach(lc, terms)
	{
		TpmTerm    *term = lfirst(lc);
		const TpmColumn *id = table->id_attnum ? &table->columns[table->id_attnum - 1] : NULL;
		bool		is_id = id && id->filter &&
		strcmp(term->parameter, tpm_request_filter_name(table, id)) == 0;
		List	   *cut = cut_values(term->values, is_id ? table->opt.page_size : INT_MAX);

		if (list_length(cut) == 1)
			kept = lappend(kept, term);
		else if (longest == NULL)
		{
			longest = term;
			parts = cut;
		}
		else
			*all_sent = false;
	}
	if (longest == NULL)
		return list_make1(kept);
	if (list_length(parts) > tpm_remote_query_pages(table, INT_MAX))
	{
		*all_sent = false;
		return list_make1(kept);
	}

	terms = NIL;
	foreach(lc, parts)
	{
		TpmTerm    *term = palloc(sizeof(TpmTerm));

		*term = *longest;
		term->values = lfirst(lc);
		terms = lappend(terms, lappend(list_copy(kept), term));
	}
	return terms;
}
