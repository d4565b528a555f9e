/*-------------------------------------------------------------------------
 *
 * drain.c
 *		No write under an open scan: what is still to be read is read first.
 *
 * The API has no snapshot: a list that is changed while it is paged skips rows
 * or brings them twice.  Owns which of this backend's scans have rows to come,
 * and where they wait for whoever asks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "scan/keyed.h"
#include "scan/scan.h"

static bool
has_rows_to_come(const TpmScan *scan)
{
	return scan->query != NULL && !scan->by_key && !scan->at_end && !scan->replaying && scan->rest == NULL &&
		!(scan->flags & TPM_PLAN_COUNTS);
}

/* reads the scan to its end, or until more than most of its rows have passed its quals; how many did */
static int64
drain(TpmScan *scan, int64 most)
{
	ForeignScanState *node = scan->node;
	ExprContext *econtext = CreateExprContext(node->ss.ps.state);
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);
	Tuplestorestate *rest;
	int64		n = 0;

	/* a spilled file must outlive a savepoint in which the portal is fetched */
	CurrentResourceOwner = scan->owner;
	rest = tuplestore_begin_heap(false, false, work_mem);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
	/* the row that the statement is at work on stays where it is */
	if (scan->source)
		tpm_source_keep_page(scan->source);
	while (n <= most && tpm_rows_next(scan, scan->in_hand))
	{
		tuplestore_puttupleslot(rest, scan->in_hand);
		econtext->ecxt_scantuple = scan->in_hand;
		if (ExecQual(node->ss.ps.qual, econtext))
			n++;
		ResetExprContext(econtext);
		CHECK_FOR_INTERRUPTS();
	}
	ExecClearTuple(scan->in_hand);
	FreeExprContext(econtext, true);
	scan->rest = rest;
	return n;
}

/* is every row that the scan gives a row that the statement writes? */
static bool
feeds_directly(const TpmScan *scan, const EState *estate, Index rti)
{
	const Plan *top = estate->es_plannedstmt ? estate->es_plannedstmt->planTree : NULL;

	return scan->node->ss.ps.state == estate &&
		((Scan *) scan->node->ss.ps.plan)->scanrelid == rti && top && IsA(top, ModifyTable) &&
		outerPlan(top) == scan->node->ss.ps.plan;
}

int64
tpm_scans_drain(EState *estate, uint64 resource, Index feeding_rti, int64 most)
{
	int64		n = -1;
	dlist_iter	iter;

	dlist_foreach(iter, &tpm_scans)
	{
		TpmScan    *scan = dlist_container(TpmScan, list_node, iter.cur);
		bool		feeds = feeds_directly(scan, estate, feeding_rti);
		int64		rows;

		if (scan->resource == resource && scan->keyed)
			tpm_keyed_complete(scan);
		if (scan->resource != resource || !has_rows_to_come(scan))
		{
			if (feeds && scan->at_end)
				n = 0;
			continue;
		}
		rows = drain(scan, feeds ? most : PG_INT64_MAX);
		if (feeds)
			n = rows;
	}
	return n;
}
