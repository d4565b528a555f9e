/*-------------------------------------------------------------------------
 *
 * scan.c
 *		A plan at run time: rows into slots, rescan.
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
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "compat.h"
#include "convert.h"
#include "scan.h"
#include "tpm_fdw.h"

/* results of different values that a scan keeps for a rescan */
#define TPM_MAX_RESULTS 256

/* a page this long shows every member that there is */
#define TPM_TELLING_PAGE 20

void
tpm_begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EState	   *estate = node->ss.ps.state;
	TpmScan    *scan = palloc0(sizeof(TpmScan));

	node->fdw_state = scan;
	scan->table = tpm_get_table(intVal(list_nth(plan->fdw_private, TPM_PRIV_RELATION)));
	scan->flags = intVal(list_nth(plan->fdw_private, TPM_PRIV_FLAGS));
	scan->columns = list_nth(plan->fdw_private, TPM_PRIV_COLUMNS);
	scan->checked = list_nth(plan->fdw_private, TPM_PRIV_CHECKED);
	scan->conditions = tpm_plan_conditions(plan, &scan->nconditions);
	scan->userid = tpm_scan_user(&node->ss);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;

	for (int i = 0; i < scan->nconditions; i++)
		scan->conditions[i].state = ExecInitExpr(scan->conditions[i].expr, &node->ss.ps);
	scan->tupdesc = RelationGetDescr(node->ss.ss_currentRelation);
	scan->ask_context = AllocSetContextCreate(estate->es_query_cxt, "tpm_fdw scan",
											  ALLOCSET_DEFAULT_SIZES);
	scan->keeps_results = (eflags & EXEC_FLAG_REWIND) || !bms_is_empty(plan->scan.plan.extParam);
	scan->owner = CurrentResourceOwner;
	scan->kept = ExecInitExtraTupleSlot(estate, scan->tupdesc, &TTSOpsMinimalTuple);
	scan->result_context = AllocSetContextCreate(estate->es_query_cxt, "tpm_fdw results",
												 ALLOCSET_SMALL_SIZES);
}

/* ----- starting ----- */

/* may its rows be read by another session, under other settings? */
static bool
is_cacheable(const TpmTable *table)
{
	for (int i = 0; i < table->natts; i++)
		if (table->columns[i].kind != TPM_COL_NONE && !tpm_type_is_direct(table->columns[i].type))
			return false;
	return true;
}

static void
decide_cache(TpmScan *scan)
{
	scan->age.ttl = tpm_cache_ttl >= 0 ? tpm_cache_ttl : scan->table->opt.cache_ttl;
	scan->age.per_hour = scan->table->opt.rate_limit_per_hour;
	scan->age.stale = tpm_cache_stale;
	scan->resource = tpm_cache_resource(scan->table->server->origin, scan->table->resource);
	scan->cacheable = is_cacheable(scan->table);
}

static Bitmapset *
needed_columns(TpmScan *scan)
{
	Bitmapset  *needed = bms_make_singleton(0);
	ListCell   *lc;

	/* what is kept for others must hold what they may ask for */
	if (scan->cacheable && scan->age.ttl != 0)
		return NULL;

	/* member 0 keeps "none" apart from "all", which is NULL */
	foreach(lc, scan->columns)
		needed = bms_add_member(needed, lfirst_int(lc));
	return needed;
}

static void
connect_scan(ForeignScanState *node, TpmScan *scan)
{
	EState	   *estate = node->ss.ps.state;
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);

	scan->session = tpm_session_create(scan->table->server, scan->table, scan->userid,
									   tpm_statement_of(estate));
	scan->session->progress = tpm_progress_start(scan->table->relid, "scan");
	decide_cache(scan);
	scan->decoder = tpm_decoder_create(scan->table, scan->tupdesc, needed_columns(scan));
	MemoryContextSwitchTo(old);
}

static void
evaluate(ForeignScanState *node, TpmScan *scan)
{
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	Datum	   *values = palloc(sizeof(Datum) * Max(scan->nconditions, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(scan->nconditions, 1));

	for (int i = 0; i < scan->nconditions; i++)
		values[i] = ExecEvalExpr(scan->conditions[i].state, econtext, &nulls[i]);
	scan->ask = tpm_ask_build(scan->table, scan->conditions, scan->nconditions, values, nulls,
							  scan->cacheable && scan->age.ttl != 0 &&
							  scan->table->opt.cache_scope == TPM_SCOPE_TABLE);
}

static TpmResult *
find_result(TpmScan *scan, const char *key)
{
	for (TpmResult *result = scan->results; result; result = result->next)
		if (result->complete && strcmp(result->key, key) == 0)
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

/* where the rows that are read now are kept */
static void
begin_result(TpmScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->result_context);
	ResourceOwner owner = CurrentResourceOwner;
	TpmResult  *result = palloc0(sizeof(TpmResult));

	drop_oldest(scan);
	/* a spilled file must outlive a savepoint in which the portal is fetched */
	CurrentResourceOwner = scan->owner;
	result->rows = tuplestore_begin_heap(false, false, work_mem);
	CurrentResourceOwner = owner;
	result->key = pstrdup(scan->ask->key);
	result->next = scan->results;
	scan->results = result;
	scan->filling = result;
	MemoryContextSwitchTo(old);
}

static void
start(ForeignScanState *node, TpmScan *scan)
{
	MemoryContext old;
	TpmResult  *known;

	if (scan->session == NULL)
		connect_scan(node, scan);
	MemoryContextReset(scan->ask_context);
	old = MemoryContextSwitchTo(scan->ask_context);
	evaluate(node, scan);
	MemoryContextSwitchTo(old);
	scan->next_request = 0;
	scan->source = NULL;
	scan->seen = NULL;
	scan->at_end = false;
	scan->filling = NULL;
	scan->replaying = false;
	known = find_result(scan, scan->ask->key);
	if (known)
	{
		scan->replaying = true;
		scan->filling = known;
		tuplestore_rescan(known->rows);
	}
	else if (scan->keeps_results)
		begin_result(scan);
}

/* ----- rows ----- */

static void
set_placeholders(TpmScan *scan, char **texts)
{
	for (int i = 0; i < scan->table->natts; i++)
	{
		const TpmColumn *column = &scan->table->columns[i];
		Oid			function,
					ioparam;

		if (column->kind != TPM_COL_PLACEHOLDER || texts[i] == NULL)
			continue;
		getTypeInputInfo(column->type, &function, &ioparam);
		tpm_decoder_set_placeholder(scan->decoder, column->attnum,
									OidInputFunctionCall(function, texts[i], ioparam, column->typmod));
	}
}

/*
 * Several requests of one path ask for parts of one list, and a filter that
 * matches more than it should brings a row in more than one of them.
 */
static void
separate_requests(TpmScan *scan, const TpmRequest *request)
{
	if (list_length(scan->ask->requests) == 1)
		return;
	if (scan->seen == NULL || strcmp(scan->path, request->path) != 0)
		scan->seen = tpm_idset_create(128);
	scan->path = request->path;
}

static bool
next_source(TpmScan *scan)
{
	int			n = list_length(scan->ask->requests);
	TpmRequest *request;
	MemoryContext old;

	if (scan->next_request >= n)
		return false;
	old = MemoryContextSwitchTo(scan->ask_context);
	if (scan->next_request == 0 && n > 1)
	{
		scan->source = tpm_source_open_everything(scan);
		if (scan->source)
			scan->next_request = n;
	}
	if (scan->source == NULL)
	{
		request = list_nth(scan->ask->requests, scan->next_request);
		separate_requests(scan, request);
		set_placeholders(scan, list_nth(scan->ask->placeholders, scan->next_request));
		scan->source = tpm_source_open(scan, request);
		scan->next_request++;
	}
	MemoryContextSwitchTo(old);
	return true;
}

static bool
was_seen(TpmScan *scan, AttrNumber attnum)
{
	TpmLearnt	learnt;

	return tpm_learnt_get(scan->table->relid, scan->table->options_hash, &learnt) &&
		attnum < 256 && (learnt.seen_columns[attnum / 64] & (UINT64CONST(1) << (attnum % 64)));
}

static void
missing_member(TpmScan *scan, const TpmPage *page, const TpmColumn *column)
{
	int			mode = scan->table->opt.missing_attribute;
	int			level = ERROR;

	if (mode == TPM_MISSING_NULL)
		return;
	if (mode == TPM_MISSING_WARN && !list_member_int(scan->checked, column->attnum))
	{
		if (scan->warned_missing)
			return;
		scan->warned_missing = true;
		level = WARNING;
	}
	ereport(level,
			(errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
			 errmsg("no resource of %s has the member that column \"%s\" is mapped to",
					scan->table->name, column->name),
			 errdetail("Member \"%s\" is on none of %d resources.", tpm_request_member(column)
					   ? tpm_request_sort_name(column) : column->name, page->nrows),
			 errhint("Correct the column's option attribute, relationship or pointer, or set missing_attribute to \"null\".")));
}

static bool
has_member(const TpmColumn *column)
{
	return column->kind == TPM_COL_ATTRIBUTE || column->kind == TPM_COL_RELATIONSHIP ||
		column->kind == TPM_COL_POINTER;
}

/* a wrong name must not look like an empty column */
static void
check_members(TpmScan *scan, const TpmPage *page)
{
	uint64		seen[4] = {0};
	bool		anything_new = false;
	int			bit = -1;
	ListCell   *lc;

	while ((bit = bms_next_member(page->seen, bit)) >= 0)
	{
		if (bit < 256)
			seen[bit / 64] |= UINT64CONST(1) << (bit % 64);
		if (!was_seen(scan, bit))
			anything_new = true;
	}
	if (anything_new)
		tpm_learnt_seen(scan->table->relid, scan->table->options_hash, seen);
	if (page->nrows < TPM_TELLING_PAGE)
		return;
	foreach(lc, scan->columns)
	{
		const TpmColumn *column = &scan->table->columns[lfirst_int(lc) - 1];

		if (has_member(column) && !bms_is_member(column->attnum, page->seen) &&
			!was_seen(scan, column->attnum))
			missing_member(scan, page, column);
	}
}

void
tpm_scan_received(TpmScan *scan, const TpmPage *page)
{
	check_members(scan, page);
	if (scan->nconditions == 0 && page->total >= 0)
		tpm_learnt_total(scan->table->relid, scan->table->options_hash, page->total);
	scan->pages++;
	tpm_progress_update(scan->session->progress, scan->session->requests,
						scan->session->statement->expected, scan->rows, 0);
}

static bool
next_row(TpmScan *scan)
{
	uint64		idhash;

	for (;;)
	{
		if (scan->source == NULL && !next_source(scan))
			return false;
		if (tpm_source_next(scan->source, &scan->tuple, &idhash))
		{
			if (scan->seen && idhash != 0 && !tpm_idset_add(scan->seen, idhash))
				continue;
			scan->rows++;
			return true;
		}
		scan->source = NULL;
	}
}

static TupleTableSlot *
replay(TpmScan *scan, TupleTableSlot *slot)
{
	/*
	 * the slot frees its tuple at the next row, when the context of this one
	 * is gone
	 */
	MemoryContext old = MemoryContextSwitchTo(scan->kept->tts_mcxt);
	bool		found = tuplestore_gettupleslot(scan->filling->rows, true, false, scan->kept);

	MemoryContextSwitchTo(old);
	if (found)
		ExecCopySlot(slot, scan->kept);
	return slot;
}

static void
end_of_rows(TpmScan *scan)
{
	scan->at_end = true;
	if (scan->filling)
		scan->filling->complete = true;
	tpm_progress_end(scan->session->progress);
	scan->session->progress = NULL;
	tpm_count_rows(scan->table->server->serverid, scan->userid, scan->rows - scan->counted_rows,
				   scan->cache_hits - scan->counted_hits);
	scan->counted_rows = scan->rows;
	scan->counted_hits = scan->cache_hits;
}

TupleTableSlot *
tpm_iterate_scan(ForeignScanState *node)
{
	TpmScan    *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	if (scan->ask == NULL)
		start(node, scan);
	if (scan->replaying)
		return replay(scan, slot);
	if (scan->at_end)
		return slot;
	if (!next_row(scan))
	{
		end_of_rows(scan);
		return slot;
	}
	ExecStoreHeapTuple(&scan->tuple, slot, false);
	if (scan->filling)
		tuplestore_puttupleslot(scan->filling->rows, slot);
	return slot;
}

void
tpm_rescan_scan(ForeignScanState *node)
{
	TpmScan    *scan = node->fdw_state;

	if (scan->ask == NULL)
		return;
	/* whoever asks twice may ask a third time */
	scan->keeps_results = true;
	if (scan->filling && !scan->filling->complete)
		drop_result(scan, scan->filling);
	scan->filling = NULL;
	scan->ask = NULL;
	scan->source = NULL;
}

void
tpm_end_scan(ForeignScanState *node)
{
	TpmScan    *scan = node->fdw_state;

	if (scan == NULL)
		return;
	if (scan->session)
		tpm_progress_end(scan->session->progress);
	while (scan->results)
		drop_result(scan, scan->results);
	if (scan->ask_context)
		MemoryContextDelete(scan->ask_context);
}
