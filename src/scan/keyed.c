/*-------------------------------------------------------------------------
 *
 * keyed.c
 *		A scan by key that asks for all the keys it can see coming.
 *
 * Owns what is known of each key, and which keys are asked for together (a
 * batch).  Lists that answer whatever the key is are keyed_list.c's.  Which keys are coming is told by a window (key_window.h); the
 * requests of a batch are made, sent and read like those of any other scan, by
 * scan_rows.c.
 *
 * A scan answers its own key and no other: what it asks for beyond that is
 * kept.  A row belongs to the key that its column's value equals, by the
 * operator of the plan's own clause, whatever text was asked for; every clause
 * is tested on it again.  What a batch leaves out, conditions whose values
 * differ from key to key, is left to those tests.
 *
 * A batch is one list being read, page by page, as far as the key at hand
 * needs it.  A key is complete when its list has ended, or is beyond it
 * (keyed_order.c), and keeps that answer to the end of the statement, or until
 * memory is wanted for others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "document/inverse.h"
#include "scan/keyed_internal.h"
#include "scan/remote_query_internal.h"

typedef struct KeyEntry
{
	Datum		key;
	uint32		hash;
	char		status;
	KeyRows    *rows;
} KeyEntry;

static bool
key_matches(KeyTable *table, Datum key, Datum sought)
{
	return table->by_column ? tpm_key_is_of_column(table->type, key, sought)
		: tpm_keys_are_equal(table->type, key, sought);
}

static uint32
hash_of_sought(KeyTable *table, Datum sought)
{
	return table->by_column ? tpm_key_column_hash(table->type, sought) : tpm_key_hash(table->type, sought);
}

#define SH_PREFIX key_table
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE Datum
#define SH_KEY key
#define SH_HASH_KEY(tb, a) hash_of_sought((tb)->private_data, a)
#define SH_EQUAL(tb, a, b) key_matches((tb)->private_data, a, b)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* ----- what the plan says ----- */

/* what holds for all keys alike is sent with any of them */
static void
make_conditions(TpmKeyed *keyed, const TpmScan *scan, int key, const List *varying)
{
	keyed->conditions = palloc(sizeof(TpmPlanCondition) * scan->nconditions);
	keyed->values = palloc(sizeof(Datum) * scan->nconditions);
	keyed->nulls = palloc0(sizeof(bool) * scan->nconditions);
	keyed->source = &scan->conditions[key];
	keyed->conditions[keyed->nconditions++] = *keyed->source;
	for (int i = 0; i < scan->nconditions; i++)
	{
		if (i != key && !list_member_int(varying, i))
			keyed->conditions[keyed->nconditions++] = scan->conditions[i];
	}
}

/*
 * May several keys be asked for as one list?  Not where the API lists nothing
 * without a value that differs from key to key, or takes but one at a time.
 */
static bool
takes_lists_of_keys(const TpmKeyed *keyed, const TpmScan *scan, const List *varying)
{
	const TpmColumn *column = &scan->table->columns[keyed->type.attnum - 1];
	ListCell   *lc;

	if (!OidIsValid(keyed->type.array_type) || !tpm_column_takes_lists(column) || column->placeholder ||
		tpm_condition_is_range(scan->table, column, TPM_COND_EQ))
		return false;
	foreach(lc, varying)
	{
		column = &scan->table->columns[scan->conditions[lfirst_int(lc)].attnum - 1];
		if (column->placeholder || tpm_condition_is_required(scan->table, column))
			return false;
	}
	return true;
}

/* what is coming can be asked for with the key at hand; NULL: nothing is */
static TpmKeyWindow *
find_window(const TpmKeyed *keyed, const TpmScan *scan, const List *private)
{
	TpmKeyWindow *window;
	int			link = intVal(list_nth(private, TPM_PRIV_LINK));

	if (!keyed->takes_lists && (link <= 0 || list_nth(private, TPM_PRIV_VARYING) != NIL))
		return NULL;
	window = tpm_key_window_find(scan->node->ss.ps.state, link);
	return window && window->type == keyed->type.type ? window : NULL;
}

/* NULL: the scan has no key, or none that can be told from others */
static TpmKeyed *
create_keyed(TpmScan *scan)
{
	ForeignScan *plan = (ForeignScan *) scan->node->ss.ps.plan;
	EState	   *estate = scan->node->ss.ps.state;
	List	   *key = list_nth(plan->fdw_private, TPM_PRIV_KEY);
	MemoryContext context,
				old;
	TpmKeyed   *keyed;
	OpExpr	   *clause;

	if (key == NIL)
		return NULL;
	clause = castNode(OpExpr, list_nth(tpm_plan_quals(plan), lsecond_int(key)));
	context = AllocSetContextCreate(estate->es_query_cxt, "tpm_fdw keys", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	keyed = palloc0(sizeof(TpmKeyed));
	keyed->context = context;
	keyed->tests_rows = scan->tests_rows;
	if (!tpm_key_type_describe(&keyed->type, &scan->conditions[linitial_int(key)], clause))
	{
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		return NULL;
	}
	make_conditions(keyed, scan, linitial_int(key), list_nth(plan->fdw_private, TPM_PRIV_VARYING));
	keyed->takes_lists = takes_lists_of_keys(keyed, scan, list_nth(plan->fdw_private, TPM_PRIV_VARYING));
	keyed->window = find_window(keyed, scan, plan->fdw_private);
	if (keyed->window)
	{
		/*
		 * for those who watch: how many batches there will be, the planner
		 * has an idea of alone
		 */
		if (scan->read_to_end)
			scan->session->expected = Max(scan->session->expected,
										  (int64) floatVal(list_nth(plan->fdw_private, TPM_PRIV_REQUESTS)));
		if (keyed->takes_lists)
			keyed->list_of_keys = makeNullConst(keyed->type.array_type, -1, InvalidOid);
		if (lthird_int(key))
			tpm_keyed_order_create(keyed, scan, clause);
		tpm_keyed_ahead_create(scan, keyed, intVal(list_nth(plan->fdw_private, TPM_PRIV_LINK)));
	}
	keyed->slot = ExecInitExtraTupleSlot(estate, scan->tupdesc, &TTSOpsHeapTuple);
	keyed->table.type = &keyed->type;
	keyed->entries = key_table_create(context, 256, &keyed->table);
	if (scan->node->ss.ps.instrument)
		keyed->counted = tpm_idset_create(256);
	MemoryContextSwitchTo(old);
	return keyed;
}

/* ----- what is known ----- */

static KeyRows *
find_rows(TpmKeyed *keyed, Datum key)
{
	KeyEntry   *entry = key_table_lookup(keyed->entries, key);

	return entry ? entry->rows : NULL;
}

/* of a column's value; NULL: nobody has asked for it */
static KeyRows *
find_rows_of_column(TpmKeyed *keyed, Datum value)
{
	KeyRows    *rows;

	keyed->table.by_column = true;
	rows = find_rows(keyed, value);
	keyed->table.by_column = false;
	return rows;
}

KeyRows *
tpm_keyed_rows_of_batch(TpmKeyed *keyed, const KeyBatch *batch, int i)
{
	KeyRows    *rows = find_rows(keyed, batch->keys[i]);

	return rows && rows->batch == batch ? rows : NULL;
}

/* the key is at hand, and what is known of it */
static void
take_entry(TpmKeyed *keyed, const KeyEntry *entry)
{
	keyed->key = entry->key;
	keyed->rows = entry->rows;
	keyed->row = NULL;
	keyed->given = NULL;
}

static void
forget_batch(TpmKeyed *keyed, KeyBatch *batch)
{
	for (int i = 0; i < batch->nkeys; i++)
		if (tpm_keyed_rows_of_batch(keyed, batch, i))
			key_table_delete(keyed->entries, batch->keys[i]);
	if (batch->url)
		tpm_prefetch_forget(keyed->begun, batch->url);
	if (batch->older)
		batch->older->newer = batch->newer;
	else
		keyed->oldest = batch->newer;
	if (batch->newer)
		batch->newer->older = batch->older;
	else
		keyed->newest = batch->older;
	MemoryContextDelete(batch->context);
}

/* batches with a key that is still to come are kept whatever they take */
static void
make_room(TpmKeyed *keyed, const TpmScan *scan)
{
	TpmKeyWindow *window = keyed->window;
	Size		limit = get_hash_memory_limit();
	KeyBatch   *next;

	/* what is written and read by one statement is read once */
	if ((scan->flags & TPM_PLAN_NO_CACHE) || MemoryContextMemAllocated(keyed->context, true) <= limit)
		return;
	for (KeyBatch *batch = keyed->oldest; batch; batch = batch->newer)
		batch->in_sight = false;
	for (int i = window->next; i < window->n; i++)
	{
		KeyRows    *rows = window->nulls[i] ? NULL : find_rows(keyed, window->keys[i]);

		if (rows)
			rows->batch->in_sight = true;
	}
	for (KeyBatch *batch = keyed->oldest; batch; batch = next)
	{
		next = batch->newer;
		if (batch->in_sight)
			continue;
		forget_batch(keyed, batch);
		if (MemoryContextMemAllocated(keyed->context, true) <= limit)
			break;
	}
}

/* ----- reading a batch ----- */

static void
keep_row_of_key(TpmKeyed *keyed, KeyRows *rows, uint64 idhash)
{
	MemoryContext old = MemoryContextSwitchTo(rows->batch->context);
	KeyRow	   *row = palloc(sizeof(KeyRow));

	row->next = NULL;
	row->tuple = ExecCopySlotHeapTuple(keyed->slot);
	row->idhash = idhash;
	if (rows->last)
		rows->last->next = row;
	else
	{
		rows->first = row;
		rows->batch->nwithout--;
	}
	rows->last = row;
	MemoryContextSwitchTo(old);
}

static void
end_batch(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;

	ExecClearTuple(keyed->slot);
	keyed->open = NULL;
	tpm_scan_count_rows(scan);
	tpm_rows_end(scan);
}

void
tpm_keyed_drop_open(TpmScan *scan)
{
	KeyBatch   *batch = scan->keyed->open;

	end_batch(scan);
	forget_batch(scan->keyed, batch);
}

/* the next row of the open list, to whichever key it belongs; false: that was all */
static bool
read_batch_row(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	KeyBatch   *batch = keyed->open;
	KeyRows    *rows;
	bool		isnull;
	Datum		value;

	if (!tpm_rows_next(scan, keyed->slot))
	{
		bool		missing = scan->leaves_missing && tpm_rows_miss_id(scan);

		keyed->needs_list |= missing;
		keyed->pages_a_batch = Max(1, scan->pages - keyed->pages_before);
		for (int i = 0; i < batch->nkeys; i++)
		{
			rows = tpm_keyed_rows_of_batch(keyed, batch, i);
			if (rows)
				rows->state = missing && rows->first == NULL ? KEY_ALONE : KEY_COMPLETE;
		}
		end_batch(scan);
		return false;
	}
	value = slot_getattr(keyed->slot, keyed->type.attnum, &isnull);
	rows = isnull ? NULL : find_rows_of_column(keyed, value);
	if (rows && rows->batch != batch)
		rows = NULL;
	if (!isnull)
		tpm_keyed_order_saw(scan, value, rows);
	if (rows)
		keep_row_of_key(keyed, rows, scan->sort ? 0 : scan->idhash);
	return true;
}

/*
 * What has come of a key whose list is left may be all that is wanted of it.
 * Rows that cannot be told from those of another list are of no use.
 */
static bool
is_of_use(const KeyRows *rows)
{
	for (const KeyRow *row = rows->first; row; row = row->next)
		if (row->idhash == 0)
			return false;
	return rows->first != NULL;
}

/*
 * Takes what has come of the batch, and leaves the rest of its list; keys
 * without a row are asked for by themselves from now on, or with others.
 */
static void
close_batch(TpmScan *scan, bool alone)
{
	TpmKeyed   *keyed = scan->keyed;
	KeyBatch   *batch = keyed->open;

	while (keyed->open && tpm_rows_are_at_hand(scan))
		(void) read_batch_row(scan);
	if (keyed->open == NULL)
		return;
	end_batch(scan);
	for (int i = 0; i < batch->nkeys; i++)
	{
		KeyRows    *rows = tpm_keyed_rows_of_batch(keyed, batch, i);

		if (rows == NULL || rows->state == KEY_COMPLETE)
			continue;
		if (rows->state == KEY_PASSED)
			rows->state = KEY_COMPLETE;
		else if (is_of_use(rows))
			rows->state = KEY_PARTIAL;
		else if (alone)
			rows->state = KEY_ALONE;
		else
			key_table_delete(keyed->entries, batch->keys[i]);
	}
}

/* of the open list; where the API tells no total, as many as have come already */
static int64
pages_left(const TpmScan *scan)
{
	int64		left = scan->source ? tpm_source_pages_left(scan->source) : 0;

	if (left < 0)
		left = scan->pages - scan->keyed->pages_before;
	return left + list_length(scan->query->requests) - scan->next_request;
}

/*
 * Where not all rows are wanted, is the rest of the list likely to cost more
 * requests than the keys without a row, each by itself?
 */
static bool
is_better_left(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;

	if (scan->read_to_end || keyed->open->nkeys == 1 || scan->pages == keyed->pages_before ||
		tpm_rows_are_at_hand(scan) || (scan->source && !tpm_source_is_between_pages(scan->source)))
		return false;
	return tpm_keyed_order_pages(keyed, pages_left(scan)) > keyed->open->nwithout;
}

/* ----- beginning a batch ----- */

/* may the key stand in a list of keys?  Adds what it takes of a URL. */
static bool
is_listable(TpmScan *scan, Datum key, size_t *bytes)
{
	TpmKeyType *type = &scan->keyed->type;
	const TpmColumn *column = &scan->table->columns[type->attnum - 1];
	ArrayType  *array = construct_array(&key, 1, type->type, type->len, type->byval, type->align);
	bool		none;
	List	   *texts = tpm_condition_values(scan->table, column, TPM_COND_IN, PointerGetDatum(array), false,
											 type->array_type, &none);

	*bytes += tpm_request_list_length(tpm_spellings(column, texts));
	return texts != NIL;
}

static void
add_key_to_batch(TpmKeyed *keyed, KeyBatch *batch, Datum key)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	KeyRows    *rows = palloc0(sizeof(KeyRows));
	bool		found;

	rows->batch = batch;

	/*
	 * arrays are made of what is not packed, and would put their own copy in
	 * its place
	 */
	key = keyed->type.len == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(key))
		: datumCopy(key, keyed->type.byval, keyed->type.len);
	key_table_insert(keyed->entries, key, &found)->rows = rows;
	Assert(!found);
	batch->keys[batch->nkeys++] = key;
	batch->nwithout++;
	MemoryContextSwitchTo(old);
}

/* has another scan's list brought it?  What may never be reached is not read: it may be an error. */
static bool
is_included(TpmScan *scan, Datum key)
{
	return scan->read_to_end ? tpm_include_find(scan, key) != NULL : tpm_include_has(scan, key);
}

/* those that are coming, as many as one page and one URL hold */
static void
add_keys_in_sight(TpmScan *scan, KeyBatch *batch)
{
	TpmKeyed   *keyed = scan->keyed;
	TpmKeyWindow *window = keyed->window;
	size_t		bytes = 0;

	if (!keyed->takes_lists || !is_listable(scan, batch->keys[0], &bytes))
		return;
	for (int i = window->next; i < window->n && batch->nkeys < scan->table->opt.page_size; i++)
	{
		if (window->nulls[i] || find_rows(keyed, window->keys[i]) || is_included(scan, window->keys[i]) ||
			!is_listable(scan, window->keys[i], &bytes))
			continue;
		if (bytes > TPM_MAX_LIST_BYTES)
			break;
		add_key_to_batch(keyed, batch, window->keys[i]);
	}
}

static KeyBatch *
new_batch(TpmScan *scan, Datum key)
{
	TpmKeyed   *keyed = scan->keyed;
	MemoryContext context = AllocSetContextCreate(keyed->context, "tpm_fdw batch of keys", ALLOCSET_SMALL_SIZES);
	KeyBatch   *batch = MemoryContextAllocZero(context, sizeof(KeyBatch));

	batch->context = context;
	batch->keys = MemoryContextAlloc(context, sizeof(Datum) * Max(scan->table->opt.page_size, 1));
	batch->older = keyed->newest;
	if (keyed->newest)
		keyed->newest->newer = batch;
	else
		keyed->oldest = batch;
	keyed->newest = batch;
	add_key_to_batch(keyed, batch, key);
	return batch;
}

/* can a request be made of the key before its turn? */
static bool
is_askable(TpmScan *scan, Datum key)
{
	const TpmKeyType *type = &scan->keyed->type;
	size_t		bytes = 0;
	bool		none;

	if (scan->keyed->takes_lists)
		return is_listable(scan, key, &bytes);
	return tpm_condition_values(scan->table, &scan->table->columns[type->attnum - 1], TPM_COND_EQ, key, false,
								type->type, &none) != NIL;
}

KeyBatch *
tpm_keyed_next_batch(TpmScan *scan)
{
	TpmKeyWindow *window = scan->keyed->window;
	KeyBatch   *batch;

	for (int i = window->next; i < window->n; i++)
	{
		if (window->nulls[i] || find_rows(scan->keyed, window->keys[i]) || is_included(scan, window->keys[i]) ||
			!is_askable(scan, window->keys[i]))
			continue;
		batch = new_batch(scan, window->keys[i]);
		add_keys_in_sight(scan, batch);
		batch->waits = true;
		return batch;
	}
	return NULL;
}

void
tpm_keyed_set_values(TpmKeyed *keyed, const KeyBatch *batch)
{
	const TpmKeyType *type = &keyed->type;
	TpmPlanCondition *key = &keyed->conditions[0];

	*key = *keyed->source;
	keyed->values[0] = batch->keys[0];
	if (batch->nkeys > 1)
	{
		key->op = TPM_COND_IN;
		key->expr = (Expr *) keyed->list_of_keys;
		keyed->values[0] = PointerGetDatum(construct_array(batch->keys, batch->nkeys, type->type, type->len,
														   type->byval, type->align));
	}
}

static void
open_batch(TpmScan *scan, KeyBatch *batch)
{
	TpmKeyed   *keyed = scan->keyed;

	tpm_keyed_set_values(keyed, batch);
	batch->waits = false;
	/* rows of other keys fail the tests that count for the key at hand */
	scan->tests_rows = false;
	/* read for one key, the list would have to be read for others once more */
	scan->leaves_missing = !keyed->no_purchase;
	tpm_rows_begin_with(scan, keyed->conditions, keyed->nconditions, keyed->values, keyed->nulls);
	keyed->pages_before = scan->pages;
	keyed->is_priced = false;
	keyed->open = batch;
	tpm_keyed_order_begin(scan);
}

/* begins a list with the key, and others if there may be any; false: the API cannot be asked for it */
static bool
ask(TpmScan *scan, Datum key, bool with_others)
{
	TpmKeyed   *keyed = scan->keyed;
	KeyBatch   *batch = new_batch(scan, key);

	if (with_others)
		add_keys_in_sight(scan, batch);
	open_batch(scan, batch);
	if (keyed->conditions[0].dropped)
	{
		end_batch(scan);
		forget_batch(keyed, batch);
		return false;
	}
	take_entry(keyed, key_table_lookup(keyed->entries, batch->keys[0]));
	if (with_others && keyed->begun)
		tpm_keyed_ask_ahead(scan);
	return true;
}

/* the key at hand, which has stood in a list, by itself */
static void
ask_again(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;

	if (key_table_lookup(keyed->entries, keyed->key))
		key_table_delete(keyed->entries, keyed->key);
	if (!ask(scan, keyed->key, false))
		elog(ERROR, "a key that stood in a list is not asked for by itself");
}

/* ----- the key at hand ----- */

/* what holds for all keys alike has other values than before: what is known is of no use */
static bool
values_have_changed(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	ExprContext *econtext = scan->node->ss.ps.ps_ExprContext;
	bool		changed = false;

	for (int i = 1; i < keyed->nconditions; i++)
	{
		TpmPlanCondition *condition = &keyed->conditions[i];
		int16		len;
		bool		byval;
		bool		isnull;
		Datum		value;

		if (keyed->has_values && IsA(condition->expr, Const))
			continue;
		get_typlenbyval(exprType((Node *) condition->expr), &len, &byval);
		value = ExecEvalExpr(condition->state, econtext, &isnull);
		if (keyed->has_values && isnull == keyed->nulls[i] &&
			(isnull || datumIsEqual(value, keyed->values[i], byval, len)))
			continue;
		if (keyed->has_values && !keyed->nulls[i] && !byval)
			pfree(DatumGetPointer(keyed->values[i]));
		changed |= keyed->has_values;
		keyed->nulls[i] = isnull;
		if (!isnull)
		{
			MemoryContext old = MemoryContextSwitchTo(keyed->context);

			keyed->values[i] = datumCopy(value, byval, len);
			MemoryContextSwitchTo(old);
		}
	}
	keyed->has_values = true;
	return changed;
}

static void
forget_all_keys(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;

	if (keyed->open)
		end_batch(scan);
	while (keyed->oldest)
		forget_batch(keyed, keyed->oldest);
	if (!keyed->index_is_whole)
		tpm_keyed_forget_list(keyed);
	keyed->no_index = false;
}

/* the key at hand outlives the row that it was evaluated for */
static void
copy_key(TpmKeyed *keyed, Datum key)
{
	MemoryContext old = MemoryContextSwitchTo(keyed->context);
	Datum		copy = datumCopy(key, keyed->type.byval, keyed->type.len);

	if (!keyed->type.byval && keyed->copied_key != (Datum) 0)
		pfree(DatumGetPointer(keyed->copied_key));
	keyed->copied_key = keyed->key = copy;
	MemoryContextSwitchTo(old);
}

/* the key is an id whose resource another scan's list has brought */
static bool
take_included(TpmScan *scan, Datum key)
{
	TpmKeyed   *keyed = scan->keyed;

	keyed->included_row.tuple = tpm_include_find(scan, key);
	if (keyed->included_row.tuple == NULL)
		return false;
	keyed->included.state = KEY_COMPLETE;
	keyed->included.first = keyed->included.last = &keyed->included_row;
	keyed->rows = &keyed->included;
	keyed->row = NULL;
	keyed->given = NULL;
	return true;
}

static void
count_key(TpmScan *scan, Datum key)
{
	TpmKeyed   *keyed = scan->keyed;

	keyed->is_new = tpm_idset_add(keyed->counted, tpm_key_wide_hash(&keyed->type, key));
	scan->keys += keyed->is_new;
}

/* like rows, this is forgotten where it takes too much memory: the key is then as one that comes first */
static void
note_alone(TpmKeyed *keyed)
{
	MemoryContext old = MemoryContextSwitchTo(keyed->context);

	if (keyed->alone && keyed->nalone * TPM_IDSET_BYTES >= work_mem * INT64CONST(1024))
	{
		tpm_idset_destroy(keyed->alone);
		keyed->alone = NULL;
		keyed->nalone = 0;
	}
	if (keyed->alone == NULL)
		keyed->alone = tpm_idset_create(64);
	keyed->nalone += tpm_idset_add(keyed->alone, tpm_key_wide_hash(&keyed->type, keyed->key));
	MemoryContextSwitchTo(old);
}

/* the scan reads the key at hand by itself */
static void
step_aside(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;

	if (keyed->open)
		close_batch(scan, false);
	note_alone(keyed);
	scan->tests_rows = keyed->tests_rows;
	scan->leaves_missing = false;
}

/* the batch of this key, whose turn it is */
static KeyEntry *
open_waiting(TpmScan *scan, KeyBatch *batch, Datum key)
{
	TpmKeyed   *keyed = scan->keyed;

	if (keyed->open)
		close_batch(scan, false);
	open_batch(scan, batch);
	return key_table_lookup(keyed->entries, key);
}

static bool
take_key(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	KeyEntry   *entry;
	bool		isnull;
	Datum		key;

	if (keyed->by_index)
		tpm_rows_end(scan);
	keyed->by_index = false;
	if (values_have_changed(scan))
		forget_all_keys(scan);
	keyed->rows = NULL;
	keyed->is_new = false;
	key = ExecEvalExpr(keyed->conditions[0].state, scan->node->ss.ps.ps_ExprContext, &isnull);
	if (isnull)
		return true;
	if (keyed->counted)
		count_key(scan, key);
	entry = key_table_lookup(keyed->entries, key);
	if (entry && entry->rows->state != KEY_ALONE)
	{
		if (entry->rows->batch->waits)
			entry = open_waiting(scan, entry->rows->batch, key);
		take_entry(keyed, entry);
		return true;
	}
	if (take_included(scan, key))
		return true;
	if (keyed->open)
		close_batch(scan, false);
	copy_key(keyed, key);
	if (tpm_keyed_take_from_list(scan))
		return true;
	if (tpm_keyed_rent_or_buy(scan, 1))
		return true;
	if (entry)
	{
		if (keyed->needs_list && tpm_keyed_buy_list(scan))
			return true;
		/* from now on each looks further for itself */
		keyed->no_purchase |= keyed->needs_list;
		ask_again(scan);
		return true;
	}
	keyed->has_asked = true;
	if (tpm_keyed_needs_list(scan) && tpm_keyed_buy_list(scan))
		return true;
	if (keyed->window == NULL || tpm_keyed_reads_whole_list(scan) || keyed->counts_singly)
		return false;
	make_room(keyed, scan);
	return ask(scan, key, true);
}

bool
tpm_keyed_begin(TpmScan *scan)
{
	if (!scan->sought_key)
	{
		scan->sought_key = true;
		scan->keyed = create_keyed(scan);
	}
	if (scan->keyed == NULL)
		return false;
	if (take_key(scan))
		return true;
	step_aside(scan);
	return false;
}

void
tpm_keyed_count_row(TpmScan *scan, TupleTableSlot *row)
{
	TpmKeyed   *keyed = scan->keyed;
	bool		isnull = false;
	Datum		value;

	if (keyed == NULL || !keyed->is_new)
		return;
	if (row)
	{
		value = slot_getattr(row, keyed->type.attnum, &isnull);
		if (isnull || !tpm_key_is_of_column(&keyed->type, keyed->key, value))
			return;
	}
	keyed->is_new = false;
	scan->keys_found++;
}

/* all rows of the key at hand have been returned, but its list was left */
static void
ask_for_more(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	KeyRow	   *given = keyed->rows->first;

	if (keyed->open)
		close_batch(scan, false);
	ask_again(scan);
	keyed->given = given;
}

static bool
was_given(const TpmKeyed *keyed, const KeyRow *row)
{
	for (const KeyRow *given = keyed->given; given; given = given->next)
		if (given->idhash == row->idhash)
			return true;
	return false;
}

/*
 * The first page of a batch that the API has sent tells how many there are.  Rows of the key at
 * hand may have been returned before, from pages that the cache had: the list would bring them again.
 */
static bool
exchanges_batch(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	int64		left;

	if (keyed->open == NULL || keyed->rows->batch != keyed->open || keyed->is_priced ||
		keyed->row != NULL || scan->pages == keyed->pages_before)
		return false;
	keyed->is_priced = true;
	left = scan->source ? tpm_source_pages_left(scan->source) : 0;
	if (keyed->given || left <= 0)
		return false;
	copy_key(keyed, keyed->key);
	if (tpm_keyed_rent_or_buy(scan, left))
		return true;
	/* in vain */
	if (keyed->open == NULL)
		ask_again(scan);
	return false;
}

bool
tpm_keyed_next(TpmScan *scan, TupleTableSlot *slot)
{
	TpmKeyed   *keyed = scan->keyed;

	if (keyed->by_index)
		return tpm_keyed_next_of_list(scan, slot);
	while (keyed->rows)
	{
		KeyRow	   *row;

		if (exchanges_batch(scan))
			return tpm_keyed_next_of_list(scan, slot);
		row = keyed->row ? keyed->row->next : keyed->rows->first;
		if (row)
		{
			keyed->row = row;
			if (was_given(keyed, row))
				continue;
			tpm_keyed_count_row(scan, NULL);
			ExecStoreHeapTuple(row->tuple, slot, false);
			return true;
		}
		if (keyed->rows->state == KEY_PASSED)
			keyed->rows->state = KEY_COMPLETE;
		if (keyed->rows->state == KEY_COMPLETE)
			break;
		CHECK_FOR_INTERRUPTS();
		if (keyed->rows->state == KEY_PARTIAL)
			ask_for_more(scan);
		else if (keyed->rows->state == KEY_ALONE)
		{
			copy_key(keyed, keyed->key);
			if (tpm_keyed_take_from_list(scan) || tpm_keyed_buy_list(scan))
				return tpm_keyed_next_of_list(scan, slot);
			keyed->no_purchase = true;
			ask_again(scan);
		}
		else if (keyed->rows->first == NULL && is_better_left(scan))
		{
			close_batch(scan, true);
			ask_again(scan);
		}
		else
			(void) read_batch_row(scan);
	}
	return false;
}

bool
tpm_keyed_may_count(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;

	if (keyed->open && scan->pages == keyed->pages_before)
		(void) read_batch_row(scan);
	keyed->counts_singly |= keyed->open && pages_left(scan) > keyed->open->nkeys;
	if (!keyed->counts_singly || keyed->by_index || keyed->rows == NULL || keyed->rows->state == KEY_COMPLETE)
		return true;
	step_aside(scan);
	return false;
}

bool
tpm_keyed_reads_batch(const TpmScan *scan)
{
	return scan->keyed != NULL && scan->keyed->open != NULL;
}

void
tpm_keyed_complete(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;

	while (keyed->open)
		(void) read_batch_row(scan);
	for (KeyBatch *batch = keyed->oldest; batch; batch = batch->newer)
	{
		if (!batch->waits)
			continue;
		open_batch(scan, batch);
		while (keyed->open)
			(void) read_batch_row(scan);
	}
}
