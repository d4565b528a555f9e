/*-------------------------------------------------------------------------
 *
 * remote_query.c
 *		From conditions and their values to the requests that answer them.
 *
 * Owns how conditions become requests once their values are known; how a
 * request is spelled is request.c's.
 *
 * Decides, once the values are known, which conditions are sent, and whether
 * one resource is asked for by its id.  A condition that is not sent stays what
 * it always is: checked by the executor.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "utils/ruleutils.h"

#include "document/id_spelling.h"
#include "document/inverse.h"
#include "scan/order.h"
#include "scan/remote_query_internal.h"
#include "shared/counters.h"

/* ids without a filter: more of them than this are found by reading the list */
#define TPM_MAX_ID_REQUESTS 20

TpmPlanCondition *
tpm_plan_conditions(ForeignScan *plan, int *n)
{
	List	   *triples = list_nth(plan->fdw_private, TPM_PRIV_CONDITIONS);
	TpmPlanCondition *conditions;

	*n = list_length(triples) / 3;
	conditions = palloc0(sizeof(TpmPlanCondition) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		conditions[i].attnum = list_nth_int(triples, 3 * i);
		conditions[i].op = list_nth_int(triples, 3 * i + 1);
		conditions[i].verdict = list_nth_int(triples, 3 * i + 2);
		conditions[i].expr = list_nth(plan->fdw_exprs, i);
	}
	return conditions;
}

/* ----- which conditions are sent ----- */

/* a value that no URL holds stays local */
static bool
has_long_value(List *values)
{
	ListCell   *lc;

	foreach(lc, values)
	{
		if (tpm_request_list_length(list_make1(lfirst(lc))) > TPM_MAX_LIST_BYTES)
			return true;
	}
	return false;
}

/* of two lists of values, each in order, those that are in both */
static List *
common_values(const List *a, const List *b)
{
	List	   *result = NIL;
	int			i = 0;
	int			j = 0;

	while (i < list_length(a) && j < list_length(b))
	{
		int			compared = strcmp(list_nth(a, i), list_nth(b, j));

		if (compared == 0)
			result = lappend(result, list_nth(a, i));
		i += compared <= 0;
		j += compared >= 0;
	}
	return result;
}

/* an equality that a second one on the same column can narrow, or NULL */
static Sendable *
find_equality(const List *sendable, const Sendable *second)
{
	ListCell   *lc;

	/* the words of filter_values stand for values, but not in a path */
	if (!is_equality_item(second) || second->column->filter_values != NIL)
		return NULL;
	foreach(lc, sendable)
	{
		Sendable   *item = lfirst(lc);

		if (item->column == second->column && is_equality_item(item))
			return item;
	}
	return NULL;
}

/* adds a condition, or one bound of it; false when no row at all can match */
static bool
add_sendable(const TpmTable *table, TpmPlanCondition *condition, TpmConditionOp op, Datum value,
			 bool isnull, List **sendable)
{
	const TpmColumn *column = &table->columns[condition->attnum - 1];
	Sendable   *item,
			   *first;
	bool		none;
	List	   *texts = tpm_condition_values(table, column, op, value, isnull,
											 exprType((Node *) condition->expr), &none);

	if (none)
		return false;
	if (!column->placeholder && has_long_value(texts))
		texts = NIL;
	if (texts == NIL)
	{
		condition->dropped = true;
		return true;
	}
	item = palloc(sizeof(Sendable));
	item->column = column;
	item->condition = condition;
	item->op = op;
	item->values = texts;
	first = find_equality(*sendable, item);
	if (first == NULL)
		*sendable = lappend(*sendable, item);
	else
	{
		first->values = common_values(first->values, texts);
		if (first->values == NIL)
			return false;
	}
	return true;
}

/*
 * The conditions that can be sent, with their values; two equalities on one
 * column are one.  False when no row at all can match.
 */
static bool
find_sendable(const TpmTable *table, TpmPlanCondition *conditions, int n, Datum *values,
			  bool *nulls, List **sendable)
{
	*sendable = NIL;
	for (int i = 0; i < n; i++)
	{
		TpmPlanCondition *condition = &conditions[i];
		bool		is_range = tpm_condition_is_range(table, &table->columns[condition->attnum - 1],
													  condition->op);

		condition->dropped = false;
		if (!add_sendable(table, condition, is_range ? TPM_COND_GE : condition->op, values[i], nulls[i],
						  sendable))
			return false;
		if (is_range)
			(void) add_sendable(table, condition, TPM_COND_LE, values[i], nulls[i], sendable);
	}
	return true;
}

int
tpm_remote_query_pages(const TpmTable *table, int unknown)
{
	TpmTableStats learnt;
	int64		a_page;

	if (!tpm_table_stats_get(table->relid, table->options_hash, &learnt) || learnt.total < 0)
		return unknown;
	a_page = tpm_table_stats_page(&learnt, table->opt.page_size);
	return Max(1, (int) Min((learnt.total + a_page - 1) / a_page, INT_MAX));
}

/* the condition by which single resources are fetched, or NULL */
static Sendable *
find_id_condition(const TpmTable *table, List *sendable)
{
	ListCell   *lc;

	foreach(lc, sendable)
	{
		Sendable   *item = lfirst(lc);

		if (item->column->kind != TPM_COL_ID || !is_equality_item(item) || !tpm_request_has_id_path(table))
			continue;
		if (list_length(item->values) == 1 ||
			(!tpm_column_takes_lists(item->column) &&
			 list_length(item->values) <= tpm_remote_query_pages(table, TPM_MAX_ID_REQUESTS)))
			return item;
	}
	return NULL;
}

/* ----- paths ----- */

/* every combination of values of the columns in the path: a list of char ** */
static List *
placeholder_values(const TpmTable *table, List *sendable)
{
	List	   *result = list_make1(palloc0(sizeof(char *) * table->natts));
	ListCell   *lc,
			   *lc2,
			   *lc3;

	if (!tpm_request_path_has_columns(table))
		return result;
	foreach(lc, sendable)
	{
		Sendable   *item = lfirst(lc);
		List	   *more = NIL;
		int			at = item->column->attnum - 1;

		if (!item->column->placeholder || !is_equality_item(item))
			continue;
		foreach(lc2, result)
		{
			char	  **have = lfirst(lc2);

			foreach(lc3, item->values)
			{
				char	  **next = palloc(sizeof(char *) * table->natts);

				memcpy(next, have, sizeof(char *) * table->natts);
				next[at] = lfirst(lc3);
				more = lappend(more, next);
			}
		}
		result = more;
	}
	return result;
}

static TpmRequest *
new_request(char *path, char *shown_path, List *terms, int page_size)
{
	TpmRequest *request = palloc0(sizeof(TpmRequest));

	request->path = path;
	request->shown_path = shown_path;
	request->terms = terms;
	request->page_size = page_size;
	request->by_id = (page_size == 0);
	return request;
}

static void
add_request(TpmRemoteQuery *ask, TpmRequest *request, char **placeholders)
{
	ask->requests = lappend(ask->requests, request);
	ask->placeholders = lappend(ask->placeholders, placeholders);
}

static void
ask_by_id(TpmRemoteQuery *ask, const TpmTable *table, Sendable *id, List *sendable)
{
	char	   *path = tpm_request_path(table, NULL, false);
	ListCell   *lc;

	foreach(lc, sendable)
	{
		if (lfirst(lc) != id)
			((Sendable *) lfirst(lc))->condition->dropped = true;
	}
	foreach(lc, id->values)
	{
		const char *text = tpm_id_spelling(table, lfirst(lc));
		char	   *id_path = tpm_request_id_path(path, text, false);

		/* a text that is no segment of a path is nothing's id */
		if (id_path)
			add_request(ask, new_request(id_path, tpm_request_id_path(table->resource, text, true),
										 NIL, 0), palloc0(sizeof(char *) * table->natts));
	}
	if (tpm_id_has_spellings(table))
		ask->ids = id->values;
}

/*
 * A filter by ids of a type with several spellings may miss some of them,
 * which shows only where nothing else leaves rows out: it is sent alone.
 * Where that is not possible it stays here, unless the API lists nothing
 * without it.  Returns the ids, NIL if none are asked for so.
 */
static List *
isolate_ids(const TpmTable *table, List **sendable)
{
	Sendable   *ids = NULL;
	ListCell   *lc;

	if (!tpm_id_has_spellings(table))
		return NIL;
	foreach(lc, *sendable)
	{
		Sendable   *item = lfirst(lc);

		if (item->column->kind == TPM_COL_ID && item->column->filter && is_equality_item(item) &&
			!item->column->placeholder && !item->column->filter_exact && item->column->filter_values == NIL &&
			(item->op == TPM_COND_EQ || tpm_column_takes_lists(item->column)))
			ids = item;
	}
	if (ids == NULL || tpm_condition_is_required(table, ids->column))
		return NIL;
	if (table->required_filters == NIL && !tpm_request_path_has_columns(table))
	{
		foreach(lc, *sendable)
		{
			if (lfirst(lc) != ids)
				((Sendable *) lfirst(lc))->condition->dropped = true;
		}
		*sendable = list_make1(ids);
		return ids->values;
	}
	ids->condition->dropped = true;
	*sendable = list_delete_ptr(*sendable, ids);
	return NIL;
}

/* a value that has several spellings is asked for under each */
static void
spell_out(Sendable *item)
{
	if (is_equality_item(item) && !item->column->placeholder)
		item->values = tpm_spellings(item->column, item->values);
}

static void
ask_lists(TpmRemoteQuery *ask, const TpmTable *table, List *sendable)
{
	List	   *terms;
	ListCell   *lc,
			   *lc2;

	foreach(lc, sendable)
		spell_out(lfirst(lc));
	terms = tpm_remote_query_terms(table, sendable);
	terms = tpm_remote_query_cut_terms(table, terms, &ask->all_sent);
	foreach(lc, placeholder_values(table, sendable))
	{
		char	  **values = lfirst(lc);
		char	   *path = tpm_request_path(table, values, false);

		if (path == NULL)
			continue;
		foreach(lc2, terms)
			add_request(ask, new_request(path, tpm_request_path(table, values, true), lfirst(lc2),
										 table->opt.page_size), values);
	}
}

static char *
query_key(const TpmTable *table, TpmRemoteQuery *ask)
{
	StringInfoData key;
	ListCell   *lc;

	initStringInfo(&key);
	foreach(lc, ask->requests)
		appendStringInfo(&key, "%s\n", tpm_request_conditions(table, lfirst(lc)));
	return key.data;
}

/* the whole table, whose rows answer every request; paths with columns have none */
static TpmRequest *
ask_everything(const TpmTable *table)
{
	char	   *path = tpm_request_path(table, NULL, false);

	return path ? new_request(path, path, NIL, table->opt.page_size) : NULL;
}

/*
 * With everything, one complete copy of the table is asked for instead
 * (cache_scope 'table'), unless no row can match.
 */
TpmRemoteQuery *
tpm_remote_query_build(const TpmTable *table, TpmPlanCondition *conditions, int n, Datum *values,
					   bool *nulls, bool everything)
{
	TpmRemoteQuery *ask = palloc0(sizeof(TpmRemoteQuery));
	List	   *sendable;
	Sendable   *id;

	ask->all_sent = true;
	if (find_sendable(table, conditions, n, values, nulls, &sendable))
	{
		id = find_id_condition(table, sendable);
		if (id)
			ask_by_id(ask, table, id, sendable);
		else
		{
			List	   *ids = isolate_ids(table, &sendable);

			ask_lists(ask, table, sendable);
			/* the whole list has them, if anything has */
			if (ids != NIL && ((TpmRequest *) linitial(ask->requests))->terms != NIL)
				ask->ids = ids;
		}
	}
	for (int i = 0; i < n; i++)
		if (conditions[i].dropped)
			ask->all_sent = false;
	ask->everything = ask_everything(table);
	if (everything && ask->everything && ask->requests != NIL)
	{
		ask->all_sent = (n == 0);

		/*
		 * a request is spelled for whoever sends it; what may be bought later
		 * stays as it is
		 */
		ask->requests = list_make1(ask_everything(table));
		ask->placeholders = list_make1(palloc0(sizeof(char *) * table->natts));
		ask->ids = NIL;
	}
	ask->met = palloc0(sizeof(bool) * Max(list_length(ask->ids), 1));
	ask->key = query_key(table, ask);
	return ask;
}

void
tpm_remote_query_look_further(const TpmTable *table, TpmRemoteQuery *ask, int asked)
{
	TpmRequest *whole = ask_everything(table);
	TpmRemoteQuery all = {.requests = list_make1(whole)};

	if (table->required_filters != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("foreign table %s has no resource under the id that was asked for", table->name),
				 errdetail("The API may spell the id otherwise, and without its required filters there is no list to look for it."),
				 errhint("Make column \"%s\" of type text.", table->columns[table->id_attnum - 1].name)));
	ask->requests = lappend(list_truncate(ask->requests, asked), whole);
	ask->placeholders = lappend(list_truncate(ask->placeholders, asked), palloc0(sizeof(char *) * table->natts));
	ask->nmet = list_length(ask->ids);
	ask->all_sent = false;
	ask->key = query_key(table, &all);
}

/* ----- for people ----- */

/* the texts of a constant, or what the expression looks like */
static List *
shown_values(const TpmTable *table, TpmPlanCondition *condition, TpmConditionOp op, List *context, bool *omit)
{
	const TpmColumn *column = &table->columns[condition->attnum - 1];

	*omit = false;
	if (IsA(condition->expr, Const) || op == TPM_COND_NULL)
	{
		Const	   *c = (Const *) condition->expr;
		bool		none;
		List	   *values = tpm_condition_values(table, column, op, c->constvalue,
												  c->constisnull, c->consttype, &none);

		*omit = (values == NIL);
		return values;
	}
	return list_make1(deparse_expression((Node *) condition->expr, context, true, false));
}

char *
tpm_remote_query_stable_sort(const TpmTable *table)
{
	const TpmColumn *unique = tpm_order_unique_column(table);

	return unique ? tpm_request_sort_name(unique) : NULL;
}

/* what would be sent of a condition, or of one bound of it */
static void
show_sendable(const TpmTable *table, TpmPlanCondition *condition, TpmConditionOp op, List *context,
			  List **sendable, char **placeholders)
{
	Sendable   *item = palloc0(sizeof(Sendable)),
			   *first;
	bool		omit;

	item->column = &table->columns[condition->attnum - 1];
	item->condition = condition;
	item->op = op;
	item->values = shown_values(table, condition, op, context, &omit);
	if (omit)
		return;
	first = find_equality(*sendable, item);
	if (first && IsA(first->condition->expr, Const) && IsA(condition->expr, Const))
	{
		List	   *common = common_values(first->values, item->values);

		first->values = common != NIL ? common : first->values;
		return;
	}
	*sendable = lappend(*sendable, item);
	if (item->column->placeholder && is_equality_item(item))
		placeholders[item->column->attnum - 1] = linitial(item->values);
}

char *
tpm_remote_query_show(const TpmTable *table, TpmPlanCondition *conditions, int n, const char *sort,
					  char *include, List *context)
{
	List	   *sendable = NIL;
	char	  **placeholders = palloc0(sizeof(char *) * table->natts);
	TpmRequest *request;
	Sendable   *id = NULL;
	ListCell   *lc;

	for (int i = 0; i < n; i++)
	{
		bool		is_range = tpm_condition_is_range(table, &table->columns[conditions[i].attnum - 1],
													  conditions[i].op);

		show_sendable(table, &conditions[i], is_range ? TPM_COND_GE : conditions[i].op, context, &sendable,
					  placeholders);
		if (is_range)
			show_sendable(table, &conditions[i], TPM_COND_LE, context, &sendable, placeholders);
	}
	id = find_id_condition(table, sendable);
	if (id && (id->op == TPM_COND_EQ || IsA(id->condition->expr, Const)))
		request = new_request("", tpm_request_id_path(table->resource, linitial(id->values), true), NIL, 0);
	else
	{
		(void) isolate_ids(table, &sendable);
		foreach(lc, sendable)
		{
			if (IsA(((Sendable *) lfirst(lc))->condition->expr, Const))
				spell_out(lfirst(lc));
		}
		request = new_request("", NULL, tpm_remote_query_terms(table, sendable), table->opt.page_size);
		request->shown_path = tpm_request_path(table, placeholders, true);
		if (request->shown_path == NULL)
			request->shown_path = pstrdup(table->resource);
		request->sort = sort ? pstrdup(sort) : NULL;
	}
	request->include = include;
	return tpm_request_show(table, request);
}
