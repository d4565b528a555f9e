/*-------------------------------------------------------------------------
 *
 * cost.c
 *		What a read costs, in requests.
 *
 * Owns the estimates of rows, requests and cost.  What is known of a table is
 * table_stats.c's, which paths are offered path.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "utils/array.h"
#include "utils/selfuncs.h"

#include "plan/plan.h"

/* a table about which nothing is known */
#define TPM_UNKNOWN_ROWS 5000.0

/* decoding a row, as part of what a request costs */
#define TPM_ROW_COST 0.02

/* what a condition leaves of a table without statistics, at the least */
#define TPM_UNKNOWN_SELECTIVITY 0.1

/* and what a list of it is reckoned with: what keys cost is known better */
#define TPM_UNKNOWN_SHARE 0.3

/* is it known how many rows a filter leaves that is sent? */
static bool
is_filter_known(const TpmRelation *relation)
{
	ListCell   *lc;

	foreach(lc, relation->conditions)
	{
		const TpmCondition *condition = lfirst(lc);

		if ((condition->op == TPM_COND_EQ || condition->op == TPM_COND_IN) &&
			(relation->table->columns[condition->attnum - 1].kind == TPM_COL_PLACEHOLDER ||
			 tpm_rows_per_value(relation, condition->attnum) > 0))
			return true;
	}
	return false;
}

/* how many values an array has; PostgreSQL's own guess where that is not known yet */
static double
array_length(const Expr *array)
{
	if (IsA(array, Const) && !((const Const *) array)->constisnull)
	{
		ArrayType  *values = DatumGetArrayTypeP(((const Const *) array)->constvalue);

		return ArrayGetNItems(ARR_NDIM(values), ARR_DIMS(values));
	}
	if (IsA(array, ArrayExpr))
		return list_length(((const ArrayExpr *) array)->elements);
	return 10;
}

/* how many rows a condition on the id can leave at the most: an id is one row's alone */
static double
most_rows(const TpmRelation *relation)
{
	double		most = relation->tuples;
	ListCell   *lc;

	if (relation->has_placeholder)
		return most;
	foreach(lc, relation->conditions)
	{
		TpmCondition *condition = lfirst(lc);

		if (relation->table->columns[condition->attnum - 1].kind != TPM_COL_ID)
			continue;
		if (condition->op == TPM_COND_EQ)
			most = 1;
		else if (condition->op == TPM_COND_IN)
			most = Min(most, array_length(condition->value));
	}
	return clamp_row_est(most);
}

/* rows that one value of a filter selects, where nothing else is known */
static double
matching_rows(PlannerInfo *root, RelOptInfo *baserel, const TpmRelation *relation)
{
	List	   *sent = NIL;
	double		rows = relation->tuples;
	ListCell   *lc;

	foreach(lc, baserel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst(lc);
		ListCell   *lc2;

		foreach(lc2, relation->conditions)
		{
			TpmCondition *condition = lfirst(lc2);

			if (condition->clause == rinfo->clause && condition->verdict != TPM_VERDICT_LOCAL)
				sent = lappend(sent, rinfo);
		}
	}
	rows *= clauselist_selectivity(root, sent, baserel->relid, JOIN_INNER, NULL);
	return clamp_row_est(rows);
}

double
tpm_table_rows(const TpmTableStats *learnt)
{
	return Max(learnt->total >= 0 ? Max(learnt->total, 1) : TPM_UNKNOWN_ROWS, learnt->at_least);
}

void
tpm_estimate_size(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation)
{
	bool		analyzed = baserel->tuples > 0;

	relation->learnt.total = -1;
	(void) tpm_table_stats_get(relation->table->relid, relation->table->options_hash, &relation->learnt);

	/* ANALYZE learns the total as well, and others may have done so since */
	if (analyzed && relation->learnt.total < 0)
		relation->tuples = Max(baserel->tuples, relation->learnt.at_least);
	else
		relation->tuples = tpm_table_rows(&relation->learnt);
	baserel->tuples = relation->tuples;
	set_baserel_size_estimates(root, baserel);
	baserel->rows = Min(baserel->rows, most_rows(relation));
	relation->sent_rows = Min(matching_rows(root, baserel, relation), most_rows(relation));
	if (analyzed || is_filter_known(relation))
		return;

	/*
	 * PostgreSQL's guess for an unknown column is one row in 200.  If that is
	 * wrong, a join by lookups costs a request for each row, while one that
	 * reads both tables costs their pages at the most.
	 */
	baserel->rows = Max(baserel->rows, clamp_row_est(relation->tuples * TPM_UNKNOWN_SELECTIVITY));
	relation->sent_rows = Max(relation->sent_rows, clamp_row_est(relation->tuples * TPM_UNKNOWN_SHARE));
}

/*
 * The values of columns in the path make lists of their own, and an id without
 * a filter that takes several is a request of its own.
 */
double
tpm_estimate_requests(const TpmTable *table, const List *conditions, double sent_rows)
{
	double		lists = 1;
	double		ids = 0;
	int			a_page = table->opt.page_size;
	TpmTableStats learnt;
	ListCell   *lc;

	foreach(lc, conditions)
	{
		const TpmCondition *condition = lfirst(lc);
		const TpmColumn *column = &table->columns[condition->attnum - 1];

		if (condition->op != TPM_COND_IN || condition->verdict == TPM_VERDICT_LOCAL)
			continue;
		if (column->placeholder)
			lists *= Max(1, array_length(condition->value));
		else if (column->kind == TPM_COL_ID && !tpm_column_takes_lists(column))
			ids = array_length(condition->value);
	}
	if (tpm_table_stats_get(table->relid, table->options_hash, &learnt))
		a_page = tpm_table_stats_page(&learnt, a_page);
	return Max(ids, lists * Max(1.0, ceil(sent_rows / lists / a_page)));
}

void
tpm_estimate_cost(double requests, double rows, Cost *startup, Cost *total)
{
	/* the first row comes with the first page */
	*startup = TPM_REQUEST_COST;
	*total = TPM_REQUEST_COST * requests + TPM_ROW_COST * rows;
}

double
tpm_estimate_lookahead(const TpmTable *table, double keys, int keys_a_request, double rows_per_key, Cost *each)
{
	double		page_size = table->opt.page_size;

	*each = TPM_ROW_COST * rows_per_key;
	return Max(1.0, ceil(keys / keys_a_request)) *
		Max(1.0, ceil(Min(keys, keys_a_request) * rows_per_key / page_size));
}
