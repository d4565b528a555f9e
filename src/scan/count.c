/*-------------------------------------------------------------------------
 *
 * count.c
 *		count(*) at run time: the total that the API gives with one small page.
 *
 * Owns the run of such a count, how its total is kept, and when rows must be
 * counted all the same: the cache has them, an answer has no total, a filter
 * was caught lying.  Its plan is plan/count_plan.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "miscadmin.h"

#include "compat.h"
#include "scan/keyed.h"
#include "scan/list.h"
#include "scan/rent_or_buy.h"
#include "scan/scan.h"
#include "shared/counters.h"
#include "utils/timestamp.h"

/* a total of the whole list that is so young is compared with others */
#define TOTAL_IS_NEW_MS		60000

/* ----- its plan ----- */

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

/* ----- the run ----- */

static bool
filters_are_believed(const TpmScan *scan)
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

/* a page that tells a total, and where its list goes on; or *problem */
static TpmPage *
read_small_page(TpmScan *scan, const TpmRequest *request, TpmListCursor *cursor,
				const TpmProblem **problem)
{
	TpmRequest *small = memcpy(palloc(sizeof(TpmRequest)), request, sizeof(TpmRequest));
	TpmList    *list;
	TpmPage    *page;

	small->page_size = Min(small->page_size, TPM_MIN_ORDERED_PAGE);
	list = tpm_list_open(scan->session, scan->table, scan->decoder, small, false);
	tpm_list_set_payer(list, scan);
	page = tpm_list_try_next(list, problem);
	tpm_list_get_cursor(list, cursor);
	scan->pages++;
	return page;
}

/* the same list without filters */
static TpmRequest
without_filters(const TpmRequest *request)
{
	TpmRequest	whole = *request;

	whole.terms = NIL;
	whole.total_in_doubt = false;
	return whole;
}

/* is more asked of the API than the table's own option query does? */
static bool
has_filters(const TpmScan *scan, const TpmRequest *request)
{
	TpmRequest	whole = without_filters(request);

	return request->terms != NIL && strcmp(tpm_request_conditions(scan->table, request),
										   tpm_request_conditions(scan->table, &whole)) != 0;
}

/* its total, as it is now; or *problem */
static int64
total_without_filters(TpmScan *scan, const TpmRequest *request, const TpmTableStats *learnt,
					  const TpmProblem **problem)
{
	TpmRequest	whole = without_filters(request);
	TpmListCursor cursor;

	if (!tpm_request_path_has_columns(scan->table) && learnt->total >= 0 &&
		!TimestampDifferenceExceeds(learnt->total_at, GetCurrentTimestamp(), TOTAL_IS_NEW_MS))
		return learnt->total;
	(void) read_small_page(scan, &whole, &cursor, problem);
	return cursor.total;
}

/*
 * Is this total that of the rows that match?  Some APIs count the whole list
 * whatever is asked of it.  One total that differs from that of the whole list
 * shows that it is not so; one that is the same shows nothing.  It may take a
 * request, and so meet a *problem.
 */
static bool
counts_what_matches(TpmScan *scan, TpmRequest *request, const TpmListCursor *cursor,
					const TpmProblem **problem)
{
	const TpmTable *table = scan->table;
	TpmTableStats learnt;
	int64		unfiltered;

	if (cursor->total < 0 || !has_filters(scan, request))
		return true;
	if (cursor->url == NULL && !cursor->linked)
	{
		/* the list has ended, and announces more than it has */
		if (cursor->total > cursor->position.rows)
			tpm_table_stats_filtered_total(table->relid, table->options_hash, false);
		return cursor->total <= cursor->position.rows;
	}
	memset(&learnt, 0, sizeof(learnt));
	learnt.total = -1;
	if (tpm_table_stats_get(table->relid, table->options_hash, &learnt) && learnt.total_obeys_filter)
		return true;
	if (learnt.total_ignores_filter)
	{
		request->total_in_doubt = true;
		return false;
	}
	unfiltered = total_without_filters(scan, request, &learnt, problem);
	if (*problem)
		return false;
	request->total_in_doubt = cursor->total == unfiltered;
	if (request->total_in_doubt)
		return false;
	tpm_table_stats_filtered_total(table->relid, table->options_hash, true);
	return true;
}

static bool
is_total_known_to_lie(const TpmScan *scan, const TpmRequest *request)
{
	TpmTableStats learnt;

	return has_filters(scan, request) &&
		tpm_table_stats_get(scan->table->relid, scan->table->options_hash, &learnt) && learnt.total_ignores_filter;
}

/* the total that the API gives, -1 if rows must be counted, or *problem */
static int64
ask_total(TpmScan *scan, TpmRequest *request, const TpmProblem **problem)
{
	TpmListCursor cursor;
	TpmPage    *page;

	/*
	 * the whole list may have come while another's count was waited for, or
	 * be worth its price now
	 */
	if (tpm_source_open_complete(scan, request) != NULL ||
		tpm_source_buy(scan, request, 1) != NULL)
		return -1;
	tpm_rows_set_path(scan, 0);
	page = read_small_page(scan, request, &cursor, problem);
	if (*problem || !page_matches(scan, page) ||
		!counts_what_matches(scan, request, &cursor, problem))
		return -1;
	return cursor.total;
}

/* is this count to ask, and to leave the total there?  Waits while another does; or *problem. */
static bool
claims_total(TpmScan *scan, TpmCached *cached, const TpmProblem **problem)
{
	int64		since_us = tpm_monotonic_us();
	TpmCachedPage page;
	TpmListCursor cursor;
	TpmCacheVerdict verdict;

	while ((verdict = tpm_cache_next(cached, &page, &cursor)) == TPM_CACHE_WAIT)
	{
		*problem = tpm_source_wait(scan, since_us);
		if (*problem)
			return false;
	}
	return verdict == TPM_CACHE_CLAIMED;
}

/* the same for all who count the same, for as long as a list of that price is fresh */
static int64
shared_total(TpmScan *scan, TpmRequest *request, const TpmProblem **problem)
{
	TpmCacheKey key = tpm_source_count_key(scan, request);
	TpmCached  *cached = tpm_scan_uses_cache(scan) ? tpm_cache_open(&key, &scan->age, false) : NULL;
	TpmListCursor end = {0};
	int64		pages = scan->pages;

	if (cached == NULL)
		return ask_total(scan, request, problem);
	if (!claims_total(scan, cached, problem) && tpm_cache_is_complete(cached))
		return tpm_source_kept_total(scan, cached);
	if (*problem)
	{
		tpm_cache_close(cached);
		return -1;
	}
	end.total = ask_total(scan, request, problem);
	end.position.page = scan->pages - pages;
	if (end.total >= 0 && !tpm_cache_append(cached, NULL, &end, false))
		scan->not_kept = true;
	tpm_cache_close(cached);
	return end.total;
}

bool
tpm_count_may_ask(const TpmScan *scan)
{
	const TpmRequest *request;

	if (list_length(scan->query->requests) != 1 || !scan->query->all_sent || !filters_are_believed(scan))
		return false;
	/* a table that is kept as a whole is read as a whole */
	if (tpm_scan_uses_cache(scan) && scan->table->opt.cache_scope == TPM_SCOPE_TABLE)
		return false;
	request = linitial(scan->query->requests);
	return !request->by_id && !is_total_known_to_lie(scan, request);
}

/* the total of the one list that answers, -1 if rows must be counted, or *problem */
static int64
total_of_list(TpmScan *scan, const TpmProblem **problem)
{
	if (!tpm_count_may_ask(scan) ||
		tpm_source_open_complete(scan, linitial(scan->query->requests)) != NULL)
		return -1;
	return shared_total(scan, linitial(scan->query->requests), problem);
}

/* the same; where the API gives no answer the rows of an older one are counted */
static int64
total(TpmScan *scan)
{
	const TpmProblem *problem = NULL;
	int64		n = total_of_list(scan, &problem);

	if (problem)
		n = tpm_source_older_total(scan, linitial(scan->query->requests), problem);
	if (problem && n < 0)
	{
		scan->source = tpm_source_instead(scan, linitial(scan->query->requests), problem);
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

	while (scan->by_key ? tpm_keyed_next(scan, row) : tpm_rows_next(scan, row))
	{
		tpm_scan_hold(scan, ExecFetchSlotHeapTuple(row, false, NULL));
		if (row_matches(scan))
			n++;
		CHECK_FOR_INTERRUPTS();
	}
	ExecDropSingleTupleTableSlot(row);
	return n;
}

static int64
count_kept_rows(TpmScan *scan, Tuplestorestate *rows)
{
	int64		n = 0;

	tuplestore_rescan(rows);
	while (tpm_scan_next_kept(scan, rows))
	{
		bool		made;
		HeapTuple	tuple = ExecFetchSlotHeapTuple(scan->kept, false, &made);

		tpm_scan_hold(scan, tuple);
		if (row_matches(scan))
			n++;
		if (made)
			heap_freetuple(tuple);
		CHECK_FOR_INTERRUPTS();
	}
	return n;
}

static int64
count(TpmScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->query_context);
	int64		n = scan->query->requests == NIL ? 0 : -1;

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

	/* a list that was kept whole, for whichever values */
	if (known && known->rows)
		return count_kept_rows(scan, known->rows);
	if (known == NULL)
	{
		int64		n = count(scan);

		/*
		 * a condition that was not sent has a value that the key does not
		 * tell
		 */
		if (!scan->query->all_sent)
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
	if (scan->started)
		return slot;
	tpm_scan_connect(scan);
	scan->started = true;
	scan->by_key = tpm_keyed_begin(scan);
	if (scan->by_key)
		scan->by_key = tpm_keyed_may_count(scan);
	if (!scan->by_key)
		tpm_rows_begin(scan);
	n = scan->by_key ? count_rows(scan) : count_once(scan);
	if (n > 0)
		tpm_keyed_count_row(scan, NULL);
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
