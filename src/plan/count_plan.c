/*-------------------------------------------------------------------------
 *
 * count_plan.c
 *		count(*) from the total that the API gives with one small page.
 *
 * Owns the path and the plan of such a count; its run is scan/count.c.
 *
 * Offered where every restriction is an exact filter.  The plan carries the
 * conditions as expressions, so that it can always count rows itself: from
 * the cache, when an answer has no total, after a filter was caught lying.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "utils/fmgroids.h"

#include "compat.h"
#include "plan/plan.h"

/* RelOptInfo.fdw_private of the grouped relation */
typedef struct TpmCount
{
	RelOptInfo *input;
	TpmRelation *relation;
} TpmCount;

/* count(*), or count of something that is never NULL */
static bool
counts_rows(const TpmRelation *relation, const Aggref *agg)
{
	Node	   *arg;

	if (agg->aggfnoid != F_COUNT_ && agg->aggfnoid != F_COUNT_ANY)
		return false;
	if (agg->aggdistinct != NIL || agg->aggorder != NIL || agg->aggfilter != NULL ||
		agg->agglevelsup != 0 || agg->aggsplit != AGGSPLIT_SIMPLE)
		return false;
	if (agg->aggfnoid == F_COUNT_)
		return true;
	arg = (Node *) linitial_node(TargetEntry, agg->args)->expr;
	if (IsA(arg, Const))
		return !((Const *) arg)->constisnull;
	return IsA(arg, Var) && ((Var *) arg)->varattno > 0 && ((Var *) arg)->varlevelsup == 0 &&
		relation->table->columns[((Var *) arg)->varattno - 1].notnull;
}

static List *
aggregates_of(const List *exprs)
{
	return pull_var_clause((Node *) exprs,
						   PVC_INCLUDE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_INCLUDE_PLACEHOLDERS);
}

static bool
only_counts(const TpmRelation *relation, const List *exprs)
{
	ListCell   *lc;
	List	   *found = aggregates_of(exprs);

	foreach(lc, found)
	{
		if (!IsA(lfirst(lc), Aggref) || !counts_rows(relation, lfirst(lc)))
			return false;
	}
	return found != NIL;
}

void
tpm_get_upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input,
					RelOptInfo *output, void *extra)
{
	TpmRelation *relation = input->fdw_private;
	Query	   *parse = root->parse;
	TpmCount   *count;

	if (stage != UPPERREL_GROUP_AGG || input->reloptkind != RELOPT_BASEREL || relation == NULL ||
		output->fdw_private != NULL)
		return;
	if (parse->groupClause != NIL || parse->groupingSets != NIL || parse->havingQual != NULL ||
		parse->hasTargetSRFs)
		return;
	if (!relation->all_exact || relation->table->opt.total_pointer == NULL ||
		!relation->placeholders_given || !bms_is_empty(input->lateral_relids) ||
		!only_counts(relation, output->reltarget->exprs))
		return;

	count = palloc(sizeof(TpmCount));
	count->input = input;
	count->relation = relation;
	output->fdw_private = count;
	add_path(output, (Path *)
			 tpm_create_foreign_upper_path(root, output, output->reltarget, 1, TPM_REQUEST_COST,
										   TPM_REQUEST_COST, list_make2(makeFloat("1"), NIL)));
}

/* what the scan's row holds: the counts, and the columns that conditions look at */
static List *
scan_target_list(const List *exprs, const List *quals)
{
	List	   *tlist = add_to_flat_tlist(NIL, aggregates_of(exprs));

	return add_to_flat_tlist(tlist, pull_var_clause((Node *) quals, 0));
}

ForeignScan *
tpm_get_count_plan(PlannerInfo *root, RelOptInfo *rel, ForeignPath *best_path, List *tlist)
{
	TpmCount   *count = rel->fdw_private;
	const TpmRelation *relation = count->relation;
	List	   *quals = extract_actual_clauses(count->input->baserestrictinfo, false);
	TpmPlanClauses parts = {0};
	List	   *private;
	ListCell   *lc;

	foreach(lc, quals)
		tpm_plan_add_clause(relation->table, count->input, NIL, lfirst(lc), &parts);
	private = list_make5(makeInteger(relation->table->relid), parts.triples, parts.verdicts, NIL, NIL);
	private = lappend(private, tpm_plan_columns(relation, NIL));
	private = lappend(private, tpm_plan_columns(relation, NIL));
	private = lappend(private, makeInteger(TPM_PLAN_COUNTS | TPM_PLAN_READS_ALL |
										   (tpm_plan_feeds_write(root) ? TPM_PLAN_NO_CACHE : 0)));
	private = lappend(private, makeFloat("0"));
	private = lappend(private, list_nth(best_path->fdw_private, TPM_PATH_REQUESTS));
	private = tpm_plan_add_key(root, relation->table, &parts, best_path, false, private);
	Assert(list_length(private) == TPM_PRIV_COUNT);

	return make_foreignscan(tlist, NIL, 0, list_concat(parts.values, quals), private,
							scan_target_list(rel->reltarget->exprs, quals), NIL, NULL);
}
