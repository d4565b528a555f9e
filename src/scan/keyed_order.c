/*-------------------------------------------------------------------------
 *
 * keyed_order.c
 *		Lists of keys that come key by key: which keys they have gone beyond.
 *
 * Owns when such a list is asked for, and when a key has no further rows in it.
 * Keys and their rows are keyed.c's.
 *
 * A key is passed once a row beyond it has come, and all rows up to the end of
 * that page stand in order: an API that does not sort shows it within a page.
 * From a row out of order on, no key counts as passed but at the list's end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datum.h"
#include "utils/memutils.h"

#include "scan/keyed_internal.h"

void
tpm_keyed_order_create(TpmKeyed *keyed, const TpmScan *scan, const OpExpr *clause)
{
	const TpmColumn *column = &scan->table->columns[keyed->type.attnum - 1];

	tpm_key_type_describe_order(&keyed->type, column, clause);
	keyed->sort_parameter = tpm_order_parameter(scan->table, list_make4_int(column->attnum, false, false, true));
}

/* a plan that reads all rows gets them as cheap in the table's own order, which others ask for as well */
void
tpm_keyed_order_begin(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;

	keyed->in_order = keyed->sort_parameter && !scan->read_to_end && keyed->open->nkeys > 1 &&
		list_length(scan->query->requests) == 1 && scan->query->ids == NIL;
	keyed->any_value = false;
	if (keyed->in_order)
		((TpmRequest *) linitial(scan->query->requests))->key_sort = keyed->sort_parameter;
}

/* of all keys that nobody has been told of */
static void
set_passed(TpmKeyed *keyed, KeyState from, KeyState to)
{
	for (int i = 0; i < keyed->open->nkeys; i++)
	{
		KeyRows    *rows = tpm_keyed_rows_of_batch(keyed, keyed->open, i);

		if (rows == NULL || rows->state != from ||
			(to == KEY_PASSED && tpm_key_column_compare(&keyed->type, keyed->last_value, keyed->open->keys[i]) <= 0))
			continue;
		rows->state = to;
		if (rows->first == NULL)
			keyed->open->nwithout += to == KEY_PASSED ? -1 : 1;
	}
}

static void
keep_value(TpmScan *scan, Datum value)
{
	TpmKeyed   *keyed = scan->keyed;
	Form_pg_attribute att = TupleDescAttr(scan->tupdesc, keyed->type.attnum - 1);
	MemoryContext old = MemoryContextSwitchTo(keyed->open->context);

	if (keyed->any_value && !att->attbyval)
		pfree(DatumGetPointer(keyed->last_value));
	keyed->last_value = datumCopy(value, att->attbyval, att->attlen);
	keyed->any_value = true;
	MemoryContextSwitchTo(old);
}

void
tpm_keyed_order_saw(TpmScan *scan, Datum value, const KeyRows *rows)
{
	TpmKeyed   *keyed = scan->keyed;

	/*
	 * whoever asked has been told that there are no further ones; a second
	 * reading may find what the first has missed
	 */
	if (rows && rows->state == KEY_COMPLETE && tpm_source_is_by_key(scan->source))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("foreign table %s: the API's list is not in the order asked for", scan->table->name),
				 errdetail("A row is out of place by column \"%s\".",
						   scan->table->columns[keyed->type.attnum - 1].name),
				 errhint("If the API does not sort by it as PostgreSQL does, drop the column's option sortable.")));
	if (!keyed->in_order)
		return;
	if (tpm_source_is_by_key(scan->source) &&
		(!keyed->any_value || tpm_key_column_compare_values(&keyed->type, keyed->last_value, value) <= 0))
	{
		keep_value(scan, value);
		if (tpm_source_is_between_pages(scan->source))
			set_passed(keyed, KEY_OPEN, KEY_PASSED);
		return;
	}
	keyed->in_order = false;
	set_passed(keyed, KEY_PASSED, KEY_OPEN);
}

/* as if all keys had as many rows */
int64
tpm_keyed_order_pages(TpmKeyed *keyed, int64 left)
{
	int			nopen = 0;
	int			nbefore = 0;

	if (!keyed->in_order)
		return left;
	for (int i = 0; i < keyed->open->nkeys; i++)
	{
		const KeyRows *rows = tpm_keyed_rows_of_batch(keyed, keyed->open, i);

		if (rows == NULL || rows->state != KEY_OPEN)
			continue;
		nopen++;
		nbefore += tpm_keys_compare(&keyed->type, keyed->open->keys[i], keyed->key) <= 0;
	}
	return left * nbefore / Max(nopen, 1);
}
