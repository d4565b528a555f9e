/*-------------------------------------------------------------------------
 *
 * order.c
 *		Lists in an order that the API makes: verified, and sorted elsewhere.
 *
 * Owns the comparison of rows, and the sort of those that came otherwise.
 *
 * What a plan promised holds whatever its source: rows in the API's order are
 * compared with each other as they come, rows of another source are sorted.
 * Which orders are offered is order_plan.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/sortsupport.h"
#include "utils/typcache.h"

#include "request/request.h"
#include "scan/order.h"

typedef struct OrderKey
{
	AttrNumber	attnum;
	bool		nulls_anywhere;
	Oid			operator;
	SortSupportData support;
} OrderKey;

struct TpmOrder
{
	const TpmTable *table;
	TupleDesc	tupdesc;
	int			nkeys;
	OrderKey   *keys;
	MemoryContext context;		/* of the values of the last row */
	Datum	   *last;
	bool	   *last_null;
	bool		any_row;
	bool		value_seen;		/* the first key had a value */
	bool		null_after;		/* and then a NULL */
};

static bool
is_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID;
}

static void
prepare_key(TpmOrder *order, OrderKey *key, const List *keys, int at)
{
	const TpmColumn *column = &order->table->columns[list_nth_int(keys, at) - 1];
	bool		descending = list_nth_int(keys, at + 1);
	TypeCacheEntry *entry = lookup_type_cache(is_text(column->type) ? TEXTOID : column->type,
											  TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);

	key->attnum = column->attnum;
	key->nulls_anywhere = list_nth_int(keys, at + 3);
	key->operator = descending ? entry->gt_opr : entry->lt_opr;
	key->support.ssup_cxt = CurrentMemoryContext;
	key->support.ssup_collation = is_text(column->type) ? C_COLLATION_OID : InvalidOid;
	key->support.ssup_nulls_first = list_nth_int(keys, at + 2);
	key->support.ssup_attno = column->attnum;
	PrepareSortSupportFromOrderingOp(key->operator, &key->support);
}

TpmOrder *
tpm_order_create(const TpmTable *table, const List *keys, TupleDesc tupdesc)
{
	TpmOrder   *order = palloc0(sizeof(TpmOrder));

	order->table = table;
	order->tupdesc = tupdesc;
	order->nkeys = list_length(keys) / TPM_ORDER_WIDTH;
	order->keys = palloc0(sizeof(OrderKey) * order->nkeys);
	order->last = palloc0(sizeof(Datum) * order->nkeys);
	order->last_null = palloc0(sizeof(bool) * order->nkeys);
	order->context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw order",
										   ALLOCSET_SMALL_SIZES);
	for (int i = 0; i < order->nkeys; i++)
		prepare_key(order, &order->keys[i], keys, i * TPM_ORDER_WIDTH);
	return order;
}

void
tpm_order_begin(TpmOrder *order)
{
	order->any_row = false;
	order->value_seen = false;
	order->null_after = false;
}

/* ----- orders as they are sent ----- */

const TpmColumn *
tpm_order_unique_column(const TpmTable *table)
{
	const TpmColumn *key = NULL;

	if (table->id_attnum > 0 && table->columns[table->id_attnum - 1].sortable)
		return &table->columns[table->id_attnum - 1];
	for (int i = 0; i < table->natts; i++)
	{
		if (!table->columns[i].natural_key)
			continue;
		/* of several columns it is a key only together */
		if (key != NULL)
			return NULL;
		key = &table->columns[i];
	}
	/* NULLs are equal to each other in an order */
	return key && key->sortable && key->notnull ? key : NULL;
}

bool
tpm_order_is_total(const TpmTable *table, const List *keys)
{
	const TpmColumn *unique = tpm_order_unique_column(table);

	if (unique == NULL)
		return false;
	return table->opt.sort_keys == TPM_SORT_MANY || linitial_int(keys) == unique->attnum;
}

bool
tpm_order_is_by_print(const TpmColumn *column)
{
	switch (column->type)
	{
		case TEXTOID:
		case VARCHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return true;
		default:
			return false;
	}
}

char *
tpm_order_parameter(const TpmTable *table, const List *keys)
{
	const TpmColumn *unique = tpm_order_unique_column(table);
	StringInfoData text;

	if (keys == NIL)
		return NULL;
	initStringInfo(&text);
	for (int i = 0; i < list_length(keys); i += TPM_ORDER_WIDTH)
	{
		const TpmColumn *column = &table->columns[list_nth_int(keys, i) - 1];

		appendStringInfo(&text, "%s%s%s", i > 0 ? "," : "", list_nth_int(keys, i + 1) ? "-" : "",
						 tpm_request_sort_name(column));

		/*
		 * behind it, and behind the only one that is understood, no key tells
		 * anything
		 */
		if (table->opt.sort_keys == TPM_SORT_ONE || column == unique)
			return text.data;
	}
	if (unique)
		appendStringInfo(&text, ",%s", tpm_request_sort_name(unique));
	return text.data;
}

/* ----- rows as they come ----- */

static void
raise_disorder(const TpmOrder *order, const OrderKey *key)
{
	const TpmColumn *column = &order->table->columns[key->attnum - 1];

	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("foreign table %s: the API's list is not in the order asked for",
					order->table->name),
			 errdetail("A row is out of place by column \"%s\".", column->name),
			 errhint("If the API does not sort by it as PostgreSQL does, drop the column's option sortable, or correct sort_nulls.")));
}

/* NULLs may stand at either end of the first key's values, not in their middle */
static void
check_middle(TpmOrder *order, bool isnull)
{
	if (isnull)
		order->null_after = order->value_seen;
	else if (order->null_after)
		raise_disorder(order, &order->keys[0]);
	else
		order->value_seen = true;
}

/* <0, 0, >0 as the row before stands to this one by a key */
static int
compare_key(const OrderKey *key, Datum before, bool before_null, Datum now, bool now_null)
{
	if (key->nulls_anywhere && before_null != now_null)
		return -1;
	return ApplySortComparator(before, before_null, now, now_null, (SortSupport) &key->support);
}

/* false: it is equal to the row before */
static bool
verify_row(TpmOrder *order, HeapTuple tuple)
{
	bool		decided = !order->any_row;

	for (int i = 0; i < order->nkeys; i++)
	{
		OrderKey   *key = &order->keys[i];
		bool		isnull;
		Datum		value = heap_getattr(tuple, key->attnum, order->tupdesc, &isnull);

		if (i == 0 && key->nulls_anywhere)
			check_middle(order, isnull);
		if (!decided)
		{
			int			compared = compare_key(key, order->last[i], order->last_null[i], value, isnull);

			if (compared > 0)
				raise_disorder(order, key);
			decided = (compared < 0);
		}
		order->last[i] = value;
		order->last_null[i] = isnull;
	}
	order->any_row = true;
	return decided;
}

/* the last row's values outlive its page */
static void
keep_last(TpmOrder *order)
{
	MemoryContext old;

	for (int i = 0; i < order->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(order->tupdesc, order->keys[i].attnum - 1);
		Datum		value = order->last[i];

		if (i == 0)
			MemoryContextReset(order->context);
		old = MemoryContextSwitchTo(order->context);
		if (!order->last_null[i])
			order->last[i] = datumCopy(value, att->attbyval, att->attlen);
		MemoryContextSwitchTo(old);
	}
}

bool
tpm_order_verify(TpmOrder *order, const TpmPage *page)
{
	bool		parted = true;

	for (int i = 0; i < page->nrows; i++)
	{
		if (!verify_row(order, page->rows[i].tuple) && i == 0)
			parted = false;
	}
	if (page->nrows > 0)
		keep_last(order);
	return parted;
}

bool
tpm_order_is_unwanted(const TpmOrder *order, HeapTuple tuple)
{
	return order->keys[0].nulls_anywhere && heap_attisnull(tuple, order->keys[0].attnum, order->tupdesc);
}

bool
tpm_order_is_behind(const TpmOrder *order, HeapTuple tuple)
{
	int			compared = 0;

	for (int i = 0; order->any_row && compared == 0 && i < order->nkeys; i++)
	{
		const OrderKey *key = &order->keys[i];
		bool		isnull;
		Datum		value = heap_getattr(tuple, key->attnum, order->tupdesc, &isnull);

		compared = compare_key(key, order->last[i], order->last_null[i], value, isnull);
	}
	return compared > 0;
}

AttrNumber
tpm_order_attnum(const TpmOrder *order)
{
	return order->keys[0].attnum;
}

Tuplesortstate *
tpm_order_sort(const TpmOrder *order)
{
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * order->nkeys);
	Oid		   *operators = palloc(sizeof(Oid) * order->nkeys);
	Oid		   *collations = palloc(sizeof(Oid) * order->nkeys);
	bool	   *nulls_first = palloc(sizeof(bool) * order->nkeys);

	for (int i = 0; i < order->nkeys; i++)
	{
		attnums[i] = order->keys[i].attnum;
		operators[i] = order->keys[i].operator;
		collations[i] = order->keys[i].support.ssup_collation;
		nulls_first[i] = order->keys[i].support.ssup_nulls_first;
	}
	return tuplesort_begin_heap(order->tupdesc, order->nkeys, attnums, operators, collations,
								nulls_first, work_mem, NULL, TUPLESORT_NONE);
}
