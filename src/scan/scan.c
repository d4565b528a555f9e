/*-------------------------------------------------------------------------
 *
 * scan.c
 *		A plan at run time: rows into slots, rescan.
 *
 * Owns the executor's callbacks and the rows that a rescan may need.  Where
 * rows come from is source.c's.
 *
 * Values are evaluated at the first row, never at start-up: InitPlans are not
 * linked yet when BeginForeignScan runs.  The rows of one set of values are
 * kept in a tuplestore when they may be asked for again, so that a rescan
 * with the same values sends nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/executor.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "compat.h"
#include "document/convert.h"
#include "scan/keyed.h"
#include "scan/plan_end.h"
#include "scan/scan.h"

int			tpm_cache_ttl = -1;
dlist_head	tpm_scans = DLIST_STATIC_INIT(tpm_scans);

/* results of different values that a scan keeps for a rescan */
#define TPM_MAX_RESULTS 256

/* ----- starting ----- */

/* what EXPLAIN shows as well */
static TpmScan *
create_scan(ForeignScanState *node)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	TpmScan    *scan = palloc0(sizeof(TpmScan));

	scan->node = node;
	scan->table = tpm_get_table(intVal(list_nth(plan->fdw_private, TPM_PRIV_RELATION)));
	scan->flags = intVal(list_nth(plan->fdw_private, TPM_PRIV_FLAGS));
	scan->columns = list_nth(plan->fdw_private, TPM_PRIV_COLUMNS);
	scan->checked = list_nth(plan->fdw_private, TPM_PRIV_CHECKED);
	scan->wanted = floatVal(list_nth(plan->fdw_private, TPM_PRIV_WANTED));
	scan->sort_parameter = tpm_order_parameter(scan->table, list_nth(plan->fdw_private, TPM_PRIV_ORDER));
	scan->conditions = tpm_plan_conditions(plan, &scan->nconditions);
	scan->userid = tpm_scan_user(&node->ss);
	return scan;
}

/* of "column < value" the value */
static Expr *
value_of_bound(Expr *qual)
{
	List	   *args = castNode(OpExpr, qual)->args;

	return contain_var_clause(linitial(args)) ? lsecond(args) : linitial(args);
}

/* bounds that end the list, and conditions on whose filter something rests */
static void
prepare_tests(TpmScan *scan, ForeignScan *plan)
{
	List	   *quals = tpm_plan_quals(plan);
	List	   *verdicts = list_nth(plan->fdw_private, TPM_PRIV_VERDICTS);
	int			condition = 0;
	ListCell   *lc,
			   *lc2;

	foreach(lc, list_nth(plan->fdw_private, TPM_PRIV_STOP))
	{
		Expr	   *qual = list_nth(quals, lfirst_int(lc));

		scan->stops = lappend(scan->stops, ExecInitExpr(qual, &scan->node->ss.ps));
		scan->bounds = lappend(scan->bounds, ExecInitExpr(value_of_bound(qual), &scan->node->ss.ps));
	}
	forboth(lc, quals, lc2, verdicts)
	{
		if (lfirst_int(lc2) == TPM_VERDICT_LOCAL)
			continue;
		if (lfirst_int(lc2) == TPM_VERDICT_EXACT)
		{
			scan->conditions[condition].test = ExecInitExpr(lfirst(lc), &scan->node->ss.ps);
			scan->tests_rows = true;
		}
		condition++;
	}
	scan->tests_rows = scan->tests_rows || scan->stops != NIL;
}

/* the row type of the table, of which a count has no slot */
static void
prepare_slots(TpmScan *scan, ForeignScan *plan)
{
	EState	   *estate = scan->node->ss.ps.state;

	if (scan->flags & TPM_PLAN_COUNTS)
	{
		Relation	rel = table_open(scan->table->relid, AccessShareLock);

		scan->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
		table_close(rel, NoLock);
		scan->map = tpm_plan_map(plan);
		scan->in_hand = ExecInitExtraTupleSlot(estate, scan->node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
											   &TTSOpsVirtual);
	}
	else
	{
		scan->tupdesc = RelationGetDescr(scan->node->ss.ss_currentRelation);
		scan->in_hand = ExecInitExtraTupleSlot(estate, scan->tupdesc, &TTSOpsHeapTuple);
	}
	scan->kept = ExecInitExtraTupleSlot(estate, scan->tupdesc, &TTSOpsMinimalTuple);
	scan->tests = CreateExprContext(estate);
}

/* what requests cost is no work of the CPU, of which JIT could spare any */
static void
judge_jit(const ForeignScanState *node)
{
	EState	   *estate = node->ss.ps.state;
	TpmStatement *statement;

	if (!(estate->es_jit_flags & PGJIT_PERFORM))
		return;
	statement = tpm_statement_of(estate);
	statement->scan_cost += node->ss.ps.plan->total_cost;
	if (estate->es_plannedstmt->planTree->total_cost - statement->scan_cost < jit_above_cost)
		estate->es_jit_flags = PGJIT_NONE;
}

void
tpm_begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EState	   *estate = node->ss.ps.state;
	List	   *order = list_nth(plan->fdw_private, TPM_PRIV_ORDER);
	TpmScan    *scan = create_scan(node);

	node->fdw_state = scan;
	judge_jit(node);
	tpm_include_wish(scan);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;

	for (int i = 0; i < scan->nconditions; i++)
		scan->conditions[i].state = ExecInitExpr(scan->conditions[i].expr, &node->ss.ps);
	prepare_tests(scan, plan);
	prepare_slots(scan, plan);
	if (order != NIL)
	{
		scan->order = tpm_order_create(scan->table, order, scan->tupdesc);
		scan->order_is_total = tpm_order_is_total(scan->table, order);
	}
	scan->query_context = AllocSetContextCreate(estate->es_query_cxt, "tpm_fdw scan",
												ALLOCSET_DEFAULT_SIZES);
	scan->keeps_results = (eflags & EXEC_FLAG_REWIND) || !bms_is_empty(plan->scan.plan.extParam);
	scan->owner = CurrentResourceOwner;
	tpm_backend_list_add(&tpm_scans, &scan->list_node, estate->es_query_cxt);
	scan->result_context = AllocSetContextCreate(estate->es_query_cxt, "tpm_fdw results",
												 ALLOCSET_SMALL_SIZES);
}

/* may its rows be read by another session, under other settings? */
static bool
is_cacheable(const TpmTable *table)
{
	for (int i = 0; i < table->natts; i++)
		if ((table->columns[i].kind != TPM_COL_NONE || table->columns[i].computed) &&
			!tpm_type_is_direct(table->columns[i].type))
			return false;
	return true;
}

TpmCacheAge
tpm_cache_age_of(const TpmTable *table)
{
	TpmCacheAge age = {
		.ttl = tpm_cache_ttl >= 0 ? tpm_cache_ttl : table->opt.cache_ttl,
		.per_hour = table->opt.rate_limit_per_hour,
	};

	return age;
}

void
tpm_scan_decide_cache(TpmScan *scan)
{
	scan->age = tpm_cache_age_of(scan->table);
	scan->resource = scan->table->address;
	scan->cacheable = is_cacheable(scan->table);
}

static Bitmapset *
needed_columns(TpmScan *scan)
{
	Bitmapset  *needed = bms_make_singleton(0);
	ListCell   *lc;

	/* what is kept for others must hold what they may ask for */
	if (tpm_scan_uses_cache(scan))
		return NULL;

	/* member 0 keeps "none" apart from "all", which is NULL */
	foreach(lc, scan->columns)
		needed = bms_add_member(needed, lfirst_int(lc));
	return needed;
}

void
tpm_scan_connect(TpmScan *scan)
{
	EState	   *estate = scan->node->ss.ps.state;
	MemoryContext old;

	if (scan->session)
		return;
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	scan->session = tpm_session_create(scan->table->server, scan->table, scan->userid,
									   tpm_statement_of(estate));
	scan->session->progress = tpm_progress_start(scan->table->relid, "scan");
	scan->read_to_end = tpm_plan_is_read_to_end(estate, scan->node->ss.ps.plan);
	ereport(DEBUG2,
			(errmsg_internal("foreign table %s: the plan %s", scan->table->name,
							 scan->read_to_end ? "reads it to its end" : "may stop early")));
	tpm_scan_decide_cache(scan);
	scan->decoder = tpm_decoder_create(scan->table, scan->tupdesc, needed_columns(scan));
	MemoryContextSwitchTo(old);
}

/* ----- results that are kept ----- */

TpmResult *
tpm_scan_known(TpmScan *scan)
{
	for (TpmResult *result = scan->results; result; result = result->next)
		if (result->complete && strcmp(result->key, scan->query->key) == 0)
			return result;
	return NULL;
}

static void
drop_result(TpmScan *scan, TpmResult *result)
{
	for (TpmResult **at = &scan->results; *at; at = &(*at)->next)
	{
		if (*at == result)
		{
			*at = result->next;
			break;
		}
	}
	if (result->rows)
		tuplestore_end(result->rows);
	pfree(result->key);
	pfree(result);
}

static void
drop_oldest(TpmScan *scan)
{
	int			n = 0;
	TpmResult  *last = NULL;

	for (TpmResult *result = scan->results; result; result = result->next, n++)
		last = result;
	if (n >= TPM_MAX_RESULTS)
		drop_result(scan, last);
}

TpmResult *
tpm_scan_new_result(TpmScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->result_context);
	TpmResult  *result = palloc0(sizeof(TpmResult));

	drop_oldest(scan);
	result->key = pstrdup(scan->query->key);
	result->next = scan->results;
	scan->results = result;
	MemoryContextSwitchTo(old);
	return result;
}

void
tpm_scan_begin_result(TpmScan *scan)
{
	TpmResult  *result = tpm_scan_new_result(scan);
	MemoryContext old = MemoryContextSwitchTo(scan->result_context);
	ResourceOwner owner = CurrentResourceOwner;

	/* a spilled file must outlive a savepoint in which the portal is fetched */
	CurrentResourceOwner = scan->owner;
	result->rows = tuplestore_begin_heap(false, false, work_mem);
	CurrentResourceOwner = owner;
	scan->filling = result;
	MemoryContextSwitchTo(old);
}

static void
start_scan(TpmScan *scan)
{
	TpmResult  *known;

	tpm_scan_connect(scan);
	scan->started = true;
	scan->filling = NULL;
	scan->replaying = false;
	scan->by_key = tpm_keyed_begin(scan);
	if (scan->by_key)
		return;
	tpm_rows_begin(scan);
	known = tpm_scan_known(scan);
	if (known)
	{
		scan->replaying = true;
		scan->filling = known;
		tuplestore_rescan(known->rows);
	}
	else if (scan->keeps_results)
		tpm_scan_begin_result(scan);
}

/* ----- rows ----- */

bool
tpm_scan_next_kept(TpmScan *scan, Tuplestorestate *rows)
{
	/*
	 * the slot frees its tuple at the next row, when the context of this one
	 * is gone
	 */
	MemoryContext old = MemoryContextSwitchTo(scan->kept->tts_mcxt);
	bool		found = tuplestore_gettupleslot(rows, true, false, scan->kept);

	MemoryContextSwitchTo(old);
	return found;
}

static TupleTableSlot *
replay(TpmScan *scan, TupleTableSlot *slot)
{
	if (tpm_scan_next_kept(scan, scan->filling->rows))
	{
		ExecCopySlot(slot, scan->kept);
		tpm_keyed_count_row(scan, slot);
	}
	return slot;
}

/* rows that were read ahead of a write */
static bool
next_of_rest(TpmScan *scan, TupleTableSlot *slot)
{
	bool		found = tpm_scan_next_kept(scan, scan->rest);

	if (found)
		ExecCopySlot(slot, scan->kept);
	return found;
}

void
tpm_scan_count_rows(TpmScan *scan)
{
	tpm_count_rows(scan->table->server->serverid, GetUserId(), scan->rows - scan->counted_rows,
				   scan->cache_hits - scan->counted_hits);
	scan->counted_rows = scan->rows;
	scan->counted_hits = scan->cache_hits;
}

static void
end_of_rows(TpmScan *scan)
{
	scan->at_end = true;
	if (scan->filling)
		scan->filling->complete = true;
	tpm_progress_end(scan->session->progress);
	scan->session->progress = NULL;
	tpm_scan_count_rows(scan);
}

TupleTableSlot *
tpm_iterate_scan(ForeignScanState *node)
{
	TpmScan    *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	if (scan->flags & TPM_PLAN_COUNTS)
		return tpm_iterate_count(node);
	if (!scan->started)
		start_scan(scan);
	if (scan->by_key)
	{
		(void) tpm_keyed_next(scan, slot);
		return slot;
	}
	if (scan->replaying)
		return replay(scan, slot);
	if (scan->at_end)
		return slot;
	if (!(scan->rest ? next_of_rest(scan, slot) : tpm_rows_next(scan, slot)))
	{
		end_of_rows(scan);
		return slot;
	}
	tpm_keyed_count_row(scan, slot);
	if (scan->filling)
		tuplestore_puttupleslot(scan->filling->rows, slot);
	return slot;
}

static void
drop_rest(TpmScan *scan)
{
	if (scan->rest)
		tuplestore_end(scan->rest);
	scan->rest = NULL;
}

/*
 * A semi join leaves a list at its first match; the rest of what has been
 * received is kept all the same, so that the same values cost nothing again.
 */
static void
finish_filling(TpmScan *scan)
{
	bool		tests_rows = scan->tests_rows;

	if (scan->rest == NULL && tpm_rows_are_at_hand(scan))
	{
		/* the parameters in the tests have their next values already */
		scan->tests_rows = false;
		while (tpm_rows_next(scan, scan->in_hand))
			tuplestore_puttupleslot(scan->filling->rows, scan->in_hand);
		ExecClearTuple(scan->in_hand);
		scan->tests_rows = tests_rows;
		end_of_rows(scan);
	}
	else
		drop_result(scan, scan->filling);
}

void
tpm_rescan_scan(ForeignScanState *node)
{
	TpmScan    *scan = node->fdw_state;

	if (!scan->started)
		return;
	scan->started = false;
	if (scan->by_key)
		return;
	/* whoever asks twice may ask a third time */
	scan->keeps_results = true;
	if (scan->filling && !scan->filling->complete)
		finish_filling(scan);
	scan->filling = NULL;
	drop_rest(scan);
	tpm_rows_end(scan);
}

void
tpm_end_scan(ForeignScanState *node)
{
	TpmScan    *scan = node->fdw_state;

	if (scan == NULL)
		return;
	if (scan->session)
	{
		tpm_progress_end(scan->session->progress);
		tpm_scan_count_rows(scan);
	}
	while (scan->results)
		drop_result(scan, scan->results);
	drop_rest(scan);
	tpm_rows_end(scan);
	if (scan->query_context)
		MemoryContextDelete(scan->query_context);
}
