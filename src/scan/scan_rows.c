/*-------------------------------------------------------------------------
 *
 * scan_rows.c
 *		The rows of one set of values, in the order that the plan promised.
 *
 * Owns the way from values to requests to rows.  Rows come in the API's order
 * if there is one list and it was asked for in that order; whatever else they
 * come from is sorted here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "document/convert.h"
#include "document/value.h"
#include "scan/scan.h"

/* ----- from values to requests ----- */

/* no two values of a type have the same, whatever the session's settings */
static char *
exact_text(Datum value, Oid type)
{
	Oid			function;
	bool		varlena;
	bytea	   *bytes;
	char	   *text;

	getTypeBinaryOutputInfo(type, &function, &varlena);
	bytes = OidSendFunctionCall(function, value);
	text = palloc0(2 * VARSIZE_ANY_EXHDR(bytes) + 1);
	hex_encode(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), text);
	return text;
}

/* a list that ends at a bound answers that bound only: its value belongs to the key */
static void
add_bounds_to_key(TpmScan *scan)
{
	ExprContext *econtext = scan->node->ss.ps.ps_ExprContext;
	StringInfoData key;
	ListCell   *lc;

	initStringInfo(&key);
	appendStringInfoString(&key, scan->query->key);
	foreach(lc, scan->bounds)
	{
		ExprState  *state = lfirst(lc);
		bool		isnull;
		Datum		value = ExecEvalExpr(state, econtext, &isnull);

		appendStringInfo(&key, "%s\n", isnull ? "" : exact_text(value, exprType((Node *) state->expr)));
	}
	scan->query->key = key.data;
}

static void
evaluate(TpmScan *scan)
{
	ExprContext *econtext = scan->node->ss.ps.ps_ExprContext;
	Datum	   *values = palloc(sizeof(Datum) * Max(scan->nconditions, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(scan->nconditions, 1));
	bool		one_copy = tpm_scan_uses_cache(scan) && scan->table->opt.cache_scope == TPM_SCOPE_TABLE;

	for (int i = 0; i < scan->nconditions; i++)
		values[i] = ExecEvalExpr(scan->conditions[i].state, econtext, &nulls[i]);
	scan->query = tpm_remote_query_build(scan->table, scan->conditions, scan->nconditions, values, nulls,
										 scan->reads_all || one_copy);
	if (one_copy && !scan->reads_all && scan->query->everything && !tpm_hidden_may_read_all(scan))
		scan->query = tpm_remote_query_build(scan->table, scan->conditions, scan->nconditions, values,
											 nulls, false);
	if (scan->bounds != NIL)
		add_bounds_to_key(scan);
}

/* ----- from requests to rows ----- */

void
tpm_rows_set_path(TpmScan *scan, int at)
{
	char	  **texts = list_nth(scan->query->placeholders, at);

	for (int i = 0; i < scan->table->natts; i++)
	{
		const TpmColumn *column = &scan->table->columns[i];

		if (column->placeholder && texts[i] != NULL)
			tpm_decoder_set_placeholder(scan->decoder, column->attnum, tpm_convert_text(column, texts[i]),
										false);
	}
}

/*
 * Several requests of one path ask for parts of one list, and a filter that
 * matches more than it should brings a row in more than one of them.  So may
 * the whole list that answers in place of the last of several ids.
 */
static void
separate_requests(TpmScan *scan, const TpmRequest *request)
{
	/* nor may the list bring once more what was found by its id */
	if (scan->query->ids != NIL || list_length(scan->query->requests) == 1)
		return;
	if (scan->seen && (request->by_id || strcmp(scan->path, request->path) == 0))
		return;
	if (scan->seen)
		tpm_idset_destroy(scan->seen);
	scan->seen = tpm_idset_create(128);
	scan->path = request->path;
}

/* of many requests each leaves nothing behind, but what is still looked at */
static TpmSource *
open_source(TpmScan *scan, TpmRequest *request)
{
	TpmSource  *source;
	MemoryContext old;

	scan->source_context = AllocSetContextCreate(scan->query_context, "tpm_fdw request",
												 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(scan->source_context);
	source = tpm_source_open(scan, request);
	MemoryContextSwitchTo(old);
	return source;
}

static void
end_source(TpmScan *scan)
{
	if (scan->source_context && !tpm_source_keeps_page(scan->source))
		MemoryContextDelete(scan->source_context);
	scan->source_context = NULL;
	scan->source = NULL;
}

/* how many of the lists of the query the cache does not have */
static int
lists_to_fetch(const TpmScan *scan)
{
	int			n = list_length(scan->query->requests);
	ListCell   *lc;

	if (!tpm_scan_uses_cache(scan))
		return n;
	foreach(lc, scan->query->requests)
	{
		TpmCacheKey key = tpm_source_key(scan, lfirst(lc));
		TpmCached  *cached = tpm_cache_open(&key, &scan->age, true);

		if (cached == NULL)
			continue;
		tpm_cache_close(cached);
		n--;
	}
	return n;
}

/* several lists, each of a request at the least: may they all be read? */
static const TpmProblem *
refuses_lists(const TpmScan *scan)
{
	TpmSession *session = scan->session;
	int64		expected = session->expected;
	int64		expected_in_all = session->statement->expected;

	if (tpm_client_refuses(session, list_length(scan->query->requests)) == NULL)
		return NULL;
	session->expected = expected;
	session->statement->expected = expected_in_all;
	return tpm_client_refuses(session, lists_to_fetch(scan));
}

static bool
next_source(TpmScan *scan)
{
	int			n = list_length(scan->query->requests);
	TpmRequest *request;
	MemoryContext old;

	if (scan->next_request >= n)
		return false;
	old = MemoryContextSwitchTo(scan->query_context);
	if (scan->next_request == 0 && n > 1)
	{
		scan->source = tpm_source_open_complete(scan, NULL);
		if (scan->source)
			scan->next_request = n;
	}
	if (scan->source == NULL && scan->next_request == 0 && n > 1 && !tpm_scan_may_stop(scan))
	{
		const TpmProblem *problem = refuses_lists(scan);

		if (problem)
		{
			scan->source = tpm_source_instead(scan, NULL, problem);
			scan->next_request = n;
		}
	}
	if (scan->source == NULL)
	{
		request = list_nth(scan->query->requests, scan->next_request);
		separate_requests(scan, request);
		tpm_rows_set_path(scan, scan->next_request);
		scan->source = open_source(scan, request);
		scan->next_request++;
	}
	MemoryContextSwitchTo(old);
	return true;
}

/* ----- ids of other spellings ----- */

/* one of the ids that were asked for is there */
static void
meet_id(TpmScan *scan)
{
	TpmRemoteQuery *query = scan->query;
	AttrNumber	attnum = scan->table->id_attnum;
	bool		isnull;
	Datum		id;
	char	   *text;

	id = heap_getattr(&scan->tuple, attnum, scan->tupdesc, &isnull);
	if (isnull)
		return;
	text = tpm_value_text(&scan->table->columns[attnum - 1], id);
	for (int low = 0, high = list_length(query->ids); low < high;)
	{
		int			middle = (low + high) / 2;
		int			compared = strcmp(text, list_nth(query->ids, middle));

		if (compared == 0)
		{
			query->nmet += !query->met[middle];
			query->met[middle] = true;
			break;
		}
		if (compared < 0)
			high = middle;
		else
			low = middle + 1;
	}
	pfree(text);
}

/* is an id known to be missing among the rows of the requests so far? */
bool
tpm_rows_miss_id(const TpmScan *scan)
{
	const TpmRemoteQuery *query = scan->query;
	int			nids = list_length(query->ids);

	if (query->nmet >= nids || query->requests == NIL)
		return false;
	/* each by itself, or all together */
	return ((TpmRequest *) linitial(query->requests))->by_id ? query->nmet < scan->next_request
		: scan->next_request >= list_length(query->requests);
}

/*
 * No answer to the text that PostgreSQL makes of an id is not yet no answer:
 * the list tells.  What is kept for a rescan are then the rows of the list.
 */
static void
look_further(TpmScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->query_context);

	tpm_remote_query_look_further(scan->table, scan->query, scan->next_request);
	if (scan->bounds != NIL)
		add_bounds_to_key(scan);
	MemoryContextSwitchTo(old);
	scan->reads_all = true;
	if (scan->filling)
		scan->filling->key = MemoryContextStrdup(scan->result_context, scan->query->key);
}

/* the next row of any request, in the order in which they come */
static bool
next_unsorted(TpmScan *scan)
{
	for (;;)
	{
		if (scan->source == NULL && !next_source(scan))
			return false;
		if (tpm_source_next(scan->source, &scan->tuple, &scan->idhash))
		{
			if (scan->seen && scan->idhash != 0 && !tpm_idset_add(scan->seen, scan->idhash))
				continue;
			if (tpm_statement_has_created(scan->session->statement, scan->resource, scan->idhash))
				continue;
			if (scan->seen && scan->query->nmet < list_length(scan->query->ids))
				meet_id(scan);
			scan->nameless |= scan->idhash == 0;
			scan->rows++;
			return true;
		}
		end_source(scan);
		if (!tpm_rows_miss_id(scan))
			continue;
		if (scan->leaves_missing)
			return false;
		look_further(scan);
	}
}

/* ----- order ----- */

/*
 * In the whole list that has taken the place of a part, a row may stand in
 * front of those that have been returned: the API's list has changed.  It is
 * too late for it, and without it there would be a row less.
 */
static void
check_is_ahead(TpmScan *scan)
{
	ExprContext *econtext = scan->node->ss.ps.ps_ExprContext;

	if (!tpm_order_is_behind(scan->order, &scan->tuple))
		return;
	tpm_scan_hold(scan, &scan->tuple);
	ResetExprContext(econtext);
	econtext->ecxt_scantuple = scan->in_hand;
	if (ExecQual(scan->node->ss.ps.qual, econtext))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("foreign table %s: its list has changed while it was read in an order", scan->table->name),
				 errdetail("A row that has come since belongs before those that were returned."),
				 errhint("Repeat the statement: the list is in the cache now.")));
}

static bool
next_ahead(TpmScan *scan)
{
	if (!next_unsorted(scan))
		return false;
	check_is_ahead(scan);
	return true;
}

void
tpm_rows_sort(TpmScan *scan, bool (*next) (TpmScan *scan), bool at_hand)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old = MemoryContextSwitchTo(scan->query_context);

	scan->order_settled = true;
	scan->sort = tpm_order_sort(scan->order);
	MemoryContextSwitchTo(old);
	while (at_hand || next(scan))
	{
		at_hand = false;
		tpm_scan_hold(scan, &scan->tuple);

		/*
		 * a spilled file must outlive a savepoint in which the scan is
		 * drained
		 */
		CurrentResourceOwner = scan->owner;
		tuplesort_puttupleslot(scan->sort, scan->in_hand);
		CurrentResourceOwner = owner;
		CHECK_FOR_INTERRUPTS();
	}
	CurrentResourceOwner = scan->owner;
	tuplesort_performsort(scan->sort);
	CurrentResourceOwner = owner;
}

/* are the rows to come in the order of the plan already? */
static bool
comes_in_order(TpmScan *scan)
{
	return list_length(scan->query->requests) == 1 && scan->query->ids == NIL &&
		(((TpmRequest *) linitial(scan->query->requests))->by_id ||
		 tpm_source_is_ordered(scan->source));
}

/* in the memory of the query, which is set */
static void
begin_query(TpmScan *scan)
{
	scan->seen = scan->query->ids != NIL ? tpm_idset_create(128) : NULL;
	scan->next_request = 0;
	scan->source = NULL;
	scan->source_context = NULL;
	scan->at_end = false;
	scan->nameless = false;
	scan->order_settled = (scan->order == NULL);
	scan->in_order = false;
}

void
tpm_rows_begin(TpmScan *scan)
{
	MemoryContext old;

	MemoryContextReset(scan->query_context);
	old = MemoryContextSwitchTo(scan->query_context);
	evaluate(scan);
	begin_query(scan);
	MemoryContextSwitchTo(old);
}

void
tpm_rows_begin_with(TpmScan *scan, TpmPlanCondition *conditions, int n, Datum *values, bool *nulls)
{
	MemoryContext old;

	MemoryContextReset(scan->query_context);
	old = MemoryContextSwitchTo(scan->query_context);
	scan->query = tpm_remote_query_build(scan->table, conditions, n, values, nulls, false);
	scan->query->all_sent = false;
	begin_query(scan);
	MemoryContextSwitchTo(old);
}

void
tpm_rows_end(TpmScan *scan)
{
	if (scan->sort)
		tuplesort_end(scan->sort);
	scan->sort = NULL;
	scan->query = NULL;
	scan->source = NULL;
}

bool
tpm_rows_are_at_hand(const TpmScan *scan)
{
	if (scan->sort || scan->at_end)
		return true;
	return scan->order_settled && scan->query->nmet >= list_length(scan->query->ids) &&
		scan->next_request >= list_length(scan->query->requests) &&
		(scan->source == NULL || tpm_source_is_at_hand(scan->source));
}

/* the next of the rows that are sorted here */
static bool
next_sorted(TpmScan *scan, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(scan->kept->tts_mcxt);
	bool		found = tuplesort_gettupleslot(scan->sort, true, false, scan->kept, NULL);

	MemoryContextSwitchTo(old);
	if (found)
		ExecCopySlot(slot, scan->kept);
	return found;
}

bool
tpm_rows_next(TpmScan *scan, TupleTableSlot *slot)
{
	if (!scan->order_settled)
	{
		scan->order_settled = true;
		if (next_source(scan))
		{
			scan->in_order = tpm_source_is_ordered(scan->source);
			if (!comes_in_order(scan))
				tpm_rows_sort(scan, next_unsorted, false);
		}
	}
	if (scan->sort)
		return next_sorted(scan, slot);
	if (!next_unsorted(scan))
		return false;
	if (scan->in_order && !tpm_source_is_ordered(scan->source))
	{
		bool		exchanged = tpm_source_is_exchanged(scan->source);

		/* the order was left on the way */
		if (exchanged)
			check_is_ahead(scan);
		tpm_rows_sort(scan, exchanged ? next_ahead : next_unsorted, true);
		return next_sorted(scan, slot);
	}
	ExecStoreHeapTuple(&scan->tuple, slot, false);
	return true;
}
