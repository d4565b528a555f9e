/*-------------------------------------------------------------------------
 *
 * keyed_list.c
 *		Lists that answer a scan by key, whatever the key is.
 *
 * Owns when a complete list is at hand, and when one is read for that.  How it
 * is searched is key_index.c's, what a list costs against single keys
 * rent_or_buy.c's, and keys that are asked for are keyed.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "scan/keyed_internal.h"
#include "scan/remote_query_internal.h"
#include "scan/rent_or_buy.h"

/*
 * The whole list, or the one of what holds for all keys alike, if the cache
 * has it in full, and it lacks nothing that conditions find.
 */
static TpmSource *
open_list_at_hand(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	TpmRequest *request = NULL;
	TpmSource  *source;

	tpm_rows_begin_with(scan, keyed->conditions + 1, keyed->nconditions - 1, keyed->values + 1, keyed->nulls + 1);
	source = tpm_source_open_complete(scan, NULL);
	keyed->index_is_whole = (source != NULL);
	if (source == NULL && keyed->nconditions > 1 && list_length(scan->query->requests) == 1 && scan->query->ids == NIL &&
		(scan->query->everything == NULL || tpm_hidden_may_read_all(scan)))
		request = linitial(scan->query->requests);
	if (request && !request->by_id)
		source = tpm_source_open_complete(scan, request);
	tpm_rows_end(scan);
	return source;
}

void
tpm_keyed_forget_list(TpmKeyed *keyed)
{
	if (keyed->index_context)
		MemoryContextDelete(keyed->index_context);
	keyed->index_context = NULL;
	keyed->index = NULL;
}

/* the whole list, where the cache may not be used and the scan has read it; or NULL */
static Tuplestorestate *
find_kept_list(TpmScan *scan)
{
	TpmResult  *known;

	tpm_rows_begin_with(scan, NULL, 0, NULL, NULL);
	known = tpm_scan_known(scan);
	tpm_rows_end(scan);
	return known ? known->rows : NULL;
}

static void
make_index(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	TpmSource  *source = NULL;
	Tuplestorestate *kept = NULL;
	MemoryContext old;

	keyed->index_context = AllocSetContextCreate(keyed->context, "tpm_fdw list by key", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(keyed->index_context);
	if (tpm_scan_uses_cache(scan))
		source = open_list_at_hand(scan);
	else if (scan->reads_all || scan->took_whole_list)
		kept = find_kept_list(scan);
	if (source)
		keyed->index = tpm_key_index_create(scan, &keyed->type, source);
	else if (kept)
		keyed->index = tpm_key_index_copy(scan, &keyed->type, kept);
	keyed->index_is_whole |= (kept != NULL);
	MemoryContextSwitchTo(old);
	keyed->no_index = (source || kept) && keyed->index == NULL;
	if (keyed->index == NULL)
		tpm_keyed_forget_list(keyed);
}

/*
 * Into scan->tuple.  None is of the statement's own making: one that creates
 * any does not use the cache, and leaves them out of what it keeps.
 */
static bool
next_of_index(TpmScan *scan)
{
	if (!tpm_key_index_next(scan->keyed->index, &scan->tuple))
		return false;
	scan->rows++;
	return true;
}

/* was the key looked for by itself before? */
static bool
was_alone(TpmKeyed *keyed)
{
	return keyed->alone && tpm_idset_has(keyed->alone, tpm_key_wide_hash(&keyed->type, keyed->key));
}

/*
 * Where a list is at hand that has the rows of all keys, it answers from the
 * second lookup on: to find out costs as much as to read it once.  A key that
 * was looked for before keeps its answer.
 */
bool
tpm_keyed_take_from_list(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;

	if (!keyed->has_asked || was_alone(keyed))
		return false;
	if (keyed->index == NULL && !keyed->no_index)
		make_index(scan);
	if (keyed->index == NULL)
		return false;
	tpm_key_index_seek(keyed->index, keyed->key);
	keyed->by_index = true;
	scan->cache_hits++;
	if (scan->order)
	{
		/* where sorts of earlier keys have left something */
		MemoryContextReset(scan->query_context);
		tpm_rows_sort(scan, next_of_index, false);
	}
	return true;
}

/* is the whole list asked for, whatever the key is? */
bool
tpm_keyed_reads_whole_list(const TpmScan *scan)
{
	return scan->reads_all ||
		(tpm_scan_uses_cache(scan) && scan->table->opt.cache_scope == TPM_SCOPE_TABLE);
}

/* to its end, into the cache, or where the scan keeps rows */
static void
read_whole_list(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	bool		alone = !tpm_scan_uses_cache(scan);

	tpm_rows_begin_with(scan, NULL, 0, NULL, NULL);
	scan->tests_rows = false;
	scan->buys = true;
	/* nobody looks at their order */
	scan->order_settled = true;
	if (alone)
		tpm_scan_begin_result(scan);
	while (tpm_rows_next(scan, keyed->slot))
	{
		if (alone)
			tuplestore_puttupleslot(scan->filling->rows, keyed->slot);
		CHECK_FOR_INTERRUPTS();
	}
	ExecClearTuple(keyed->slot);
	scan->buys = false;
	/* a list that lacks what conditions have found, or its end, is of no use */
	if (alone)
		scan->filling->complete = !scan->no_purchase && tpm_hidden_may_read_all(scan);
	scan->filling = NULL;
	scan->took_whole_list = !scan->no_purchase;
	tpm_rows_end(scan);
}

/* the whole list is read, once, and answers the key at hand, and others from here on */
bool
tpm_keyed_buy_list(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	bool		reads = keyed->open != NULL;

	if (keyed->no_purchase || scan->took_whole_list || was_alone(keyed) || tpm_keyed_reads_whole_list(scan))
		return false;
	if (!reads)
		tpm_rows_begin_with(scan, NULL, 0, NULL, NULL);
	keyed->no_purchase = scan->stops != NIL || !tpm_rent_may_buy(scan);
	if (!reads)
		tpm_rows_end(scan);
	if (keyed->no_purchase)
		return false;
	if (keyed->open)
		tpm_keyed_drop_open(scan);
	PG_TRY();
	{
		read_whole_list(scan);
	}
	PG_CATCH();
	{
		tpm_rent_failed(scan);
		PG_RE_THROW();
	}
	PG_END_TRY();
	keyed->has_asked = true;
	keyed->no_purchase = !tpm_keyed_take_from_list(scan);
	if (keyed->no_purchase)
		tpm_rent_bought(scan, false);

	/*
	 * too large for a hash: what the scan has kept is looked through for each
	 * key
	 */
	if (keyed->no_index && !tpm_scan_uses_cache(scan))
		scan->reads_all = true;
	return !keyed->no_purchase;
}

/* lookups have cost, or are about to, as much as the whole list */
bool
tpm_keyed_rent_or_buy(TpmScan *scan, int64 requests)
{
	return tpm_rent_size_is_known(scan) && tpm_rent_is_due(scan, requests) && tpm_keyed_buy_list(scan);
}

/* no request says which rows are wanted: the whole list has to be read for them */
bool
tpm_keyed_needs_list(const TpmScan *scan)
{
	const TpmKeyed *keyed = scan->keyed;
	const TpmColumn *column = &scan->table->columns[keyed->type.attnum - 1];
	bool		none;

	return scan->nconditions == 1 && !tpm_condition_is_range(scan->table, column, TPM_COND_EQ) &&
		tpm_condition_values(scan->table, column, TPM_COND_EQ, keyed->key, false, keyed->type.type, &none) == NIL && !none;
}

bool
tpm_keyed_next_of_list(TpmScan *scan, TupleTableSlot *slot)
{
	if (scan->sort)
	{
		if (!tpm_rows_next(scan, slot))
			return false;
	}
	else if (next_of_index(scan))
		ExecStoreHeapTuple(&scan->tuple, slot, false);
	else
		return false;
	tpm_keyed_count_row(scan, NULL);
	return true;
}
