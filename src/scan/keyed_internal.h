/*-------------------------------------------------------------------------
 *
 * keyed_internal.h
 *		What keyed.c and its parts share: keyed_ahead.c, keyed_list.c and
 *		keyed_order.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_KEYED_INTERNAL_H
#define TPM_KEYED_INTERNAL_H

#include "scan/key_index.h"
#include "scan/key_type.h"
#include "scan/key_window.h"
#include "scan/keyed.h"

/* a row that has come, and the next one of the same key */
typedef struct KeyRow
{
	struct KeyRow *next;
	HeapTuple	tuple;
	uint64		idhash;			/* 0: not known */
} KeyRow;

/* keys that are, or were, asked for together; all that is known of them */
typedef struct KeyBatch
{
	MemoryContext context;
	struct KeyBatch *older;
	struct KeyBatch *newer;
	Datum	   *keys;
	int			nkeys;
	int			nwithout;		/* keys of which no row has come */
	bool		in_sight;		/* a row with one of them is still to come */
	bool		waits;			/* its list has not been opened */
	char	   *url;			/* of a first request that has left before its
								 * turn, or NULL */
} KeyBatch;

typedef enum KeyState
{
	KEY_OPEN,					/* its list is being read */
	KEY_PASSED,					/* its list is being read, and is beyond it */
	KEY_COMPLETE,				/* and whoever asked knows it */
	KEY_PARTIAL,				/* its list was left: there may be more rows */
	KEY_ALONE					/* the same, without a row: it is to be asked
								 * for by itself */
} KeyState;

/* in its batch's memory */
typedef struct KeyRows
{
	KeyBatch   *batch;
	KeyState	state;
	KeyRow	   *first;			/* NULL: none has come */
	KeyRow	   *last;
} KeyRows;

/* by_column: what is looked for is a column's value, not a key */
typedef struct KeyTable
{
	TpmKeyType *type;
	bool		by_column;
} KeyTable;

struct TpmKeyed
{
	TpmKeyType	type;
	KeyTable	table;
	TpmKeyWindow *window;		/* NULL: each key is asked for by itself, in
								 * its turn */
	bool		takes_lists;	/* several keys are one request */
	MemoryContext context;		/* of all this */
	struct key_table_hash *entries;
	KeyBatch   *newest;
	KeyBatch   *oldest;
	KeyBatch   *open;			/* whose list is being read, or NULL */
	int64		pages_before;	/* of the scan, when it was begun */
	int64		pages_a_batch;	/* of the last one that was read to its end,
								 * 0: none was */
	TpmPrefetch *begun;			/* first requests of lists side by side; NULL:
								 * one after the other */
	bool		is_priced;		/* what the rest of it costs has been looked
								 * at */
	char	   *sort_parameter; /* by the key; NULL: the API does not, or
								 * nobody wants it */
	bool		in_order;		/* the open list comes key by key, so far */
	bool		any_value;		/* of its rows; the last one: */
	Datum		last_value;

	/*
	 * what a batch sends: the key first, then what holds for all keys alike;
	 * the latter's values are as they were when the entries were filled
	 */
	TpmPlanCondition *conditions;
	int			nconditions;
	const TpmPlanCondition *source; /* the key, as the scan has it */
	Const	   *list_of_keys;	/* only its type */
	Datum	   *values;
	bool	   *nulls;
	bool		has_values;

	TupleTableSlot *slot;		/* a row of the list */
	Datum		key;			/* at hand */
	Datum		copied_key;		/* the same, where no batch holds it */
	KeyRows    *rows;			/* of it; NULL: the key is NULL */
	KeyRow	   *row;			/* returned last, NULL: none */
	KeyRow	   *given;			/* returned before the key was asked for once
								 * more, NULL: none */
	KeyRows		included;		/* at hand, where another scan's list has
								 * brought the row */
	KeyRow		included_row;
	bool		tests_rows;		/* the scan's own */
	bool		counts_singly;	/* a total costs less than the rows */
	bool		needs_list;		/* keys that were not found may be in the
								 * whole list, under another spelling */

	/* a complete list, by key */
	MemoryContext index_context;	/* and of the hold on the list */
	TpmKeyIndex *index;			/* NULL: none */
	bool		index_is_whole; /* it is the list without conditions */
	bool		no_index;		/* it would be too large */
	bool		no_purchase;	/* it is not to be read for that */
	bool		by_index;		/* it answers the key at hand */
	bool		has_asked;		/* there was a lookup before */
	TpmIdSet   *alone;			/* hashes of keys that were looked for by
								 * themselves, or NULL */
	int64		nalone;

	/* for EXPLAIN ANALYZE */
	TpmIdSet   *counted;		/* hashes of keys so far; NULL: nobody asks */
	bool		is_new;			/* no row has been counted of the key at hand */
};

/* keyed.c: ends the list of keys that is being read, and forgets these */
extern void tpm_keyed_drop_open(TpmScan *scan);

/* keyed.c: of a key of the batch; NULL: it has been asked for once more since */
extern KeyRows *tpm_keyed_rows_of_batch(TpmKeyed *keyed, const KeyBatch *batch, int i);

/* keyed.c: the keys that are coming, as a batch that waits; NULL: there are none to be asked for */
extern KeyBatch *tpm_keyed_next_batch(TpmScan *scan);

/* keyed.c: its conditions and values, in the current memory context until others are made */
extern void tpm_keyed_set_values(TpmKeyed *keyed, const KeyBatch *batch);

/* keyed_ahead.c: may lists of keys go side by side? */
extern void tpm_keyed_ahead_create(TpmScan *scan, TpmKeyed *keyed, int link);

/* the first requests of further batches leave, and that of the one which has been opened */
extern void tpm_keyed_ask_ahead(TpmScan *scan);

/* keyed_order.c: the plan says that the API sorts by the key */
extern void tpm_keyed_order_create(TpmKeyed *keyed, const TpmScan *scan, const OpExpr *clause);

/* a batch has been opened */
extern void tpm_keyed_order_begin(TpmScan *scan);

/* a row of it has this value; rows: of its key, before this one is kept, NULL: it was not asked for */
extern void tpm_keyed_order_saw(TpmScan *scan, Datum value, const KeyRows *rows);

/* of so many pages that are left of it, those up to the key at hand, as far as is known */
extern int64 tpm_keyed_order_pages(TpmKeyed *keyed, int64 left);

/* keyed_list.c; of the key at hand */

/* is the whole list asked for, whatever the key is? */
extern bool tpm_keyed_reads_whole_list(const TpmScan *scan);

/* a list at hand answers the key, if there is one */
extern bool tpm_keyed_take_from_list(TpmScan *scan);

/* the whole list is read, once, and answers the key, and others from here on */
extern bool tpm_keyed_buy_list(TpmScan *scan);

/* the same, if lookups with so many more requests have cost as much */
extern bool tpm_keyed_rent_or_buy(TpmScan *scan, int64 requests);

/* no request says which rows of the key are wanted: the whole list has to be read for them */
extern bool tpm_keyed_needs_list(const TpmScan *scan);

extern bool tpm_keyed_next_of_list(TpmScan *scan, TupleTableSlot *slot);
extern void tpm_keyed_forget_list(TpmKeyed *keyed);

#endif							/* TPM_KEYED_INTERNAL_H */
