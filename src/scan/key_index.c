/*-------------------------------------------------------------------------
 *
 * key_index.c
 *		The rows of a complete list, by key.
 *
 * Owns where the rows of each key stand in a list that has been read.  Rows in
 * the cache stay where they are, pinned by the index's hold on the list; what
 * is kept of each is its place, in 16 bytes at the most.  When there is an
 * index, and which lookups it answers, is keyed.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "compat.h"
#include "scan/key_index.h"

/* places count from 1; 0 is none */
struct TpmKeyIndex
{
	TpmKeyType *type;
	TupleDesc	tupdesc;
	MemoryContext scratch;
	HeapTupleHeader *rows;		/* as the cache has them */
	uint32	   *next;			/* of the same chain, for each row */
	uint32	   *heads;			/* of the chains */
	uint32		mask;			/* of hashes: a chain's number */
	uint32		nrows;
	Datum		key;			/* whose rows are read */
	uint32		at;				/* the next one that may be of it */
};

/* NULL: too many rows */
static TpmKeyIndex *
make_empty_index(const TpmScan *scan, TpmKeyType *type, int64 nrows)
{
	TpmKeyIndex *index;
	Size		row_bytes = sizeof(HeapTupleHeader) + sizeof(uint32);
	Size		heads;

	if (nrows >= PG_INT32_MAX)
		return NULL;
	heads = (Size) 1 << pg_leftmost_one_pos32((uint32) Max(nrows, 1));
	if (nrows * row_bytes + heads * sizeof(uint32) > get_hash_memory_limit())
		return NULL;
	index = palloc0(sizeof(TpmKeyIndex));
	index->type = type;
	index->tupdesc = scan->tupdesc;
	index->scratch = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw hash of a key", ALLOCSET_SMALL_SIZES);
	index->rows = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(HeapTupleHeader) * nrows);
	index->next = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint32) * nrows);
	index->heads = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint32) * heads);
	memset(index->heads, 0, sizeof(uint32) * heads);
	index->mask = heads - 1;
	return index;
}

/* next is the number of the chain for now; a row without a value has no key */
static void
add_to_index(TpmKeyIndex *index, HeapTuple tuple, bool copy)
{
	MemoryContext old = MemoryContextSwitchTo(index->scratch);
	bool		isnull;
	Datum		value = heap_getattr(tuple, index->type->attnum, index->tupdesc, &isnull);

	if (!isnull)
		index->next[index->nrows] = tpm_key_column_hash(index->type, value) & index->mask;
	MemoryContextReset(index->scratch);
	MemoryContextSwitchTo(old);
	if (!isnull)
		index->rows[index->nrows++] = copy ? tpm_cache_copy_row(tuple) : tuple->t_data;
	CHECK_FOR_INTERRUPTS();
}

/* from the last row on, so that each chain is in the list's order */
static void
link_rows(TpmKeyIndex *index)
{
	for (uint32 place = index->nrows; place > 0; place--)
	{
		uint32	   *head = &index->heads[index->next[place - 1]];

		index->next[place - 1] = *head;
		*head = place;
	}
}

TpmKeyIndex *
tpm_key_index_create(TpmScan *scan, TpmKeyType *type, TpmSource *source)
{
	TpmKeyIndex *index = make_empty_index(scan, type, tpm_source_rows(source));
	HeapTupleData tuple;
	uint64		idhash;

	if (index == NULL)
		return NULL;
	tpm_source_keep_page(source);
	while (tpm_source_next(source, &tuple, &idhash))
		add_to_index(index, &tuple, false);
	link_rows(index);
	return index;
}

TpmKeyIndex *
tpm_key_index_copy(TpmScan *scan, TpmKeyType *type, Tuplestorestate *rows)
{
	TpmKeyIndex *index = make_empty_index(scan, type, tuplestore_tuple_count(rows));

	if (index == NULL)
		return NULL;
	tuplestore_rescan(rows);
	while (tpm_scan_next_kept(scan, rows))
	{
		bool		made;
		HeapTuple	tuple = ExecFetchSlotHeapTuple(scan->kept, false, &made);

		add_to_index(index, tuple, true);
		if (made)
			heap_freetuple(tuple);
		if (MemoryContextMemAllocated(CurrentMemoryContext, false) > get_hash_memory_limit())
		{
			ExecClearTuple(scan->kept);
			return NULL;
		}
	}
	link_rows(index);
	return index;
}

void
tpm_key_index_seek(TpmKeyIndex *index, Datum key)
{
	index->key = key;
	index->at = index->heads[tpm_key_hash(index->type, key) & index->mask];
}

bool
tpm_key_index_next(TpmKeyIndex *index, HeapTuple tuple)
{
	uint64		idhash;

	while (index->at != 0)
	{
		uint32		place = index->at;
		bool		isnull;
		Datum		value;

		index->at = index->next[place - 1];
		tpm_cache_row_at(index->rows[place - 1], tuple, &idhash);
		value = heap_getattr(tuple, index->type->attnum, index->tupdesc, &isnull);
		if (tpm_key_is_of_column(index->type, index->key, value))
			return true;
	}
	return false;
}
