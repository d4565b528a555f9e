/*-------------------------------------------------------------------------
 *
 * count.c
 *		count(*) from the total that the API gives with one small page.
 *
 * Owns the path, the plan and the run of such a count.
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
#include "scan/list.h"
#include "scan/scan.h"

/* RelOptInfo.fdw_private of the grouped relation */
typedef struct TpmCount
{
	RelOptInfo *input;
	TpmRelation *relation;
} TpmCount;

/* ----- planning ----- */

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
	Assert(list_length(private) == TPM_PRIV_COUNT);

	return make_foreignscan(tlist, NIL, 0, list_concat(parts.values, quals), private,
							scan_target_list(rel->reltarget->exprs, quals), NIL, NULL);
}

List *
tpm_plan_quals(ForeignScan *plan)
{
	if (plan->scan.scanrelid > 0)
		return plan->scan.plan.qual;
	return list_copy_tail(plan->fdw_exprs,
						  list_length(list_nth(plan->fdw_private, TPM_PRIV_CONDITIONS)) / 3);
}

List *
tpm_plan_map(ForeignScan *plan)
{
	List	   *map = NIL;
	ListCell   *lc;

	foreach(lc, plan->fdw_scan_tlist)
	{
		Expr	   *expr = lfirst_node(TargetEntry, lc)->expr;

		map = lappend_int(map, IsA(expr, Var) ? ((Var *) expr)->varattno : 0);
	}
	return map;
}

/* ----- at run time ----- */

static bool
filters_are_believed(TpmScan *scan)
{
	for (int i = 0; i < scan->nconditions; i++)
		if (tpm_filter_is_lying(scan->table, scan->conditions[i].attnum))
			return false;
	return true;
}

/* the rows that come with the total must match, or it counts something else */
static bool
page_matches(TpmScan *scan, const TpmPage *page)
{
	for (int i = 0; page && i < page->nrows; i++)
	{
		tpm_scan_hold(scan, page->rows[i].tuple);
		tpm_scan_check_filters(scan);
	}
	return !scan->demoted;
}

/* the total of the one list that answers, -1 if rows must be counted */
static int64
total_of_list(TpmScan *scan)
{
	TpmRequest *request;
	TpmListCursor cursor;
	TpmPage    *page;
	TpmList    *list;

	if (list_length(scan->ask->requests) != 1 || !scan->ask->all_sent || !filters_are_believed(scan))
		return -1;
	/* a table that is kept as a whole is read as a whole */
	if (tpm_scan_uses_cache(scan) && scan->table->opt.cache_scope == TPM_SCOPE_TABLE)
		return -1;
	request = linitial(scan->ask->requests);
	if (request->by_id || tpm_source_open_complete(scan, request) != NULL)
		return -1;
	request = memcpy(palloc(sizeof(TpmRequest)), request, sizeof(TpmRequest));
	request->page_size = Min(request->page_size, TPM_MIN_ORDERED_PAGE);
	list = tpm_list_open(scan->session, scan->table, scan->decoder, request, false);
	page = tpm_list_next(list);
	tpm_list_get_cursor(list, &cursor);
	scan->pages++;
	if (!page_matches(scan, page))
		return -1;
	return cursor.total;
}

/* the same; where the API gives no answer the rows of an older one are counted */
static int64
total(TpmScan *scan)
{
	MemoryContext old = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;
	volatile int64 n = -1;

	PG_TRY();
	{
		n = total_of_list(scan);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (!tpm_fallback_is_for(error))
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error)
	{
		scan->source = tpm_source_instead(scan, linitial(scan->ask->requests), error);
		scan->next_request = 1;
	}
	return n;
}

static bool
row_matches(TpmScan *scan)
{
	bool		isnull;

	for (int i = 0; i < scan->nconditions; i++)
		if (!tpm_scan_test(scan, scan->conditions[i].test, &isnull))
			return false;
	return true;
}

static int64
count_rows(TpmScan *scan)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(scan->tupdesc, &TTSOpsHeapTuple);
	int64		n = 0;

	while (tpm_rows_next(scan, row))
	{
		tpm_scan_hold(scan, &scan->tuple);
		if (row_matches(scan))
			n++;
		CHECK_FOR_INTERRUPTS();
	}
	ExecDropSingleTupleTableSlot(row);
	return n;
}

static int64
count(TpmScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->ask_context);
	int64		n = scan->ask->requests == NIL ? 0 : -1;

	/* a total counts what the statement itself has created */
	if (n < 0 && scan->session->statement->created == NULL)
		n = total(scan);
	if (n < 0)
		n = count_rows(scan);
	MemoryContextSwitchTo(old);
	return n;
}

/* the same; values that were counted before cost nothing */
static int64
count_once(TpmScan *scan)
{
	TpmResult  *known = tpm_scan_known(scan);

	if (known == NULL)
	{
		int64		n = count(scan);

		/*
		 * a condition that was not sent has a value that the key does not
		 * tell
		 */
		if (!scan->ask->all_sent)
			return n;
		known = tpm_scan_new_result(scan);
		known->count = n;
		known->complete = true;
	}
	return known->count;
}

TupleTableSlot *
tpm_iterate_count(ForeignScanState *node)
{
	TpmScan    *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	int64		n;
	ListCell   *lc;

	ExecClearTuple(slot);
	if (scan->ask != NULL)
		return slot;
	tpm_scan_connect(scan);
	tpm_rows_begin(scan);
	n = count_once(scan);
	foreach(lc, scan->map)
	{
		int			at = foreach_current_index(lc);

		slot->tts_isnull[at] = lfirst_int(lc) > 0;
		slot->tts_values[at] = Int64GetDatum(n);
	}
	tpm_progress_end(scan->session->progress);
	scan->session->progress = NULL;
	return ExecStoreVirtualTuple(slot);
}
