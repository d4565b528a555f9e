/*-------------------------------------------------------------------------
 *
 * cost.c
 *		What a read costs, in requests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "utils/selfuncs.h"

#include "counters.h"
#include "fdw.h"

/* a table about which nothing is known */
#define TPM_UNKNOWN_ROWS 5000.0

/* decoding a row, as part of what a request costs */
#define TPM_ROW_COST 0.02

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

void
tpm_estimate_size(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation)
{
	TpmLearnt	learnt;

	if (baserel->tuples > 0)
		relation->tuples = baserel->tuples;
	else if (tpm_learnt_get(relation->table->relid, relation->table->options_hash, &learnt) &&
			 learnt.total >= 0)
		relation->tuples = Max(learnt.total, 1);
	else
		relation->tuples = TPM_UNKNOWN_ROWS;
	baserel->tuples = relation->tuples;
	set_baserel_size_estimates(root, baserel);
	relation->sent_rows = matching_rows(root, baserel, relation);
}

double
tpm_estimate_requests(const TpmTable *table, const List *conditions, double sent_rows)
{
	return Max(1.0, ceil(sent_rows / table->opt.page_size));
}

void
tpm_estimate_cost(const TpmTable *table, double requests, double rows, Cost *startup, Cost *total)
{
	/* the first row comes with the first page */
	*startup = TPM_REQUEST_COST;
	*total = TPM_REQUEST_COST * requests + TPM_ROW_COST * rows;
}
