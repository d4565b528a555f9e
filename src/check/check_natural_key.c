/*-------------------------------------------------------------------------
 *
 * check_natural_key.c
 *		tpm_fdw_check of one foreign table: does a natural key come twice?
 *
 * Owns the keys that the pages of the other steps have shown, and one request
 * for more, where there are pages that nobody has read: for the keys of the
 * first page, by the key's filter.
 *
 * A natural_key is a promise that the API refuses a second one: a POST whose
 * answer was lost is looked up by it.  Where two resources have the same, it is
 * broken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"

#include "check/check.h"
#include "document/value.h"
#include "request/body.h"

/* more of them in one message serve nobody */
#define MOST_SHOWN	5

/* one resource's */
typedef struct SeenKey
{
	const char *key;			/* "internal_id = V-17" */
	const char *id;
} SeenKey;

typedef struct KeyPage
{
	TpmTableCheck *check;
	const TpmAnswer *answer;
} KeyPage;

static Bitmapset *
key_columns(const TpmTable *table)
{
	Bitmapset  *columns = NULL;

	for (int i = 0; i < table->natts; i++)
		if (table->columns[i].kind != TPM_COL_NONE && table->columns[i].natural_key)
			columns = bms_add_member(columns, table->columns[i].attnum);
	return columns;
}

/* nobody looks anything up by the key of a resource that cannot be created */
static bool
key_matters(const TpmTable *table)
{
	return (table->ops & TPM_OP_CREATE) && table->id_attnum > 0 && key_columns(table) != NULL;
}

/* ----- what has been seen ----- */

/* what nobody has filled in: no filter can ask for an empty text, so nothing is looked up by it */
static bool
is_blank(const TpmTable *table, TupleTableSlot *slot)
{
	Bitmapset  *columns = key_columns(table);
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, attnum, &isnull);

		if (isnull || tpm_value_text(&table->columns[attnum - 1], value)[0] == '\0')
			return true;
	}
	return false;
}

static void
note_key(TpmTableCheck *check, HeapTuple row, TupleTableSlot *slot)
{
	const TpmTable *table = check->table;
	bool		isnull;
	Datum		id = heap_getattr(row, table->id_attnum, check->tupdesc, &isnull);
	SeenKey    *seen;

	ExecStoreHeapTuple(row, slot, false);
	if (isnull || is_blank(table, slot))
		return;
	seen = palloc(sizeof(SeenKey));
	seen->key = tpm_body_natural_key(table, slot);
	seen->id = tpm_value_text(&table->columns[table->id_attnum - 1], id);
	check->keys = lappend(check->keys, seen);
}

static void
note_page(void *arg)
{
	KeyPage    *page = arg;
	TpmTableCheck *check = page->check;
	MemoryContext old = MemoryContextSwitchTo(check->context);
	Bitmapset  *columns = bms_add_member(key_columns(check->table), check->table->id_attnum);
	TpmPage    *rows = tpm_check_decode(check, page->answer, columns);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(check->tupdesc, &TTSOpsHeapTuple);

	for (int i = 0; i < rows->nrows; i++)
		note_key(check, rows->rows[i].tuple, slot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextSwitchTo(old);
}

void
tpm_check_note_keys(TpmTableCheck *check, const TpmAnswer *answer)
{
	KeyPage		page = {check, answer};
	ErrorData  *error;

	/* what is wrong with a page is for the step that has asked for it to tell */
	if (key_matters(check->table) && answer->status >= 200 && answer->status <= 299)
		(void) tpm_attempt(note_page, &page, &error);
}

static int
compare_keys(const ListCell *a, const ListCell *b)
{
	const SeenKey *one = lfirst(a);
	const SeenKey *other = lfirst(b);
	int			order = strcmp(one->key, other->key);

	return order != 0 ? order : strcmp(one->id, other->id);
}

/* how many keys two resources have, told in words; *resources: that were seen */
static int
keys_that_come_twice(TpmTableCheck *check, StringInfo words, int *resources)
{
	const SeenKey *before = NULL;
	bool		told = false;
	int			n = 0;
	ListCell   *lc;

	*resources = 0;
	list_sort(check->keys, compare_keys);
	foreach(lc, check->keys)
	{
		const SeenKey *seen = lfirst(lc);
		bool		same = before && strcmp(before->key, seen->key) == 0;

		if (same && strcmp(before->id, seen->id) == 0)
			continue;
		++*resources;
		if (!same)
			told = false;
		else if (!told)
		{
			told = true;
			if (++n <= MOST_SHOWN)
				appendStringInfo(words, "%s%s (ids %s, %s)", n > 1 ? "; " : "", seen->key, before->id, seen->id);
		}
		before = seen;
	}
	if (n > MOST_SHOWN)
		appendStringInfo(words, " and %d more", n - MOST_SHOWN);
	return n;
}

/* ----- a request for those of the first page ----- */

/* the one column of the key, if the API takes a list of its values; else NULL */
static const TpmColumn *
asked_by(const TpmTable *table)
{
	Bitmapset  *columns = key_columns(table);
	int			attnum;
	const TpmColumn *column;

	if (!bms_get_singleton_member(columns, &attnum))
		return NULL;
	column = &table->columns[attnum - 1];
	return column->filter && !column->placeholder && (column->filter_operators & TPM_FILTER_IN) ? column : NULL;
}

bool
tpm_check_asks_for_keys(const TpmTable *table)
{
	return key_matters(table) && asked_by(table) != NULL;
}

/* of so many that each may come twice on one page */
static List *
keys_of_first_page(const TpmTableCheck *check, const TpmColumn *column)
{
	List	   *values = NIL;
	size_t		bytes = 0;

	for (int row = 0; row < check->page->nrows; row++)
	{
		char	   *text = tpm_check_spell(check, column, check->page->rows[row].tuple);

		if (text == NULL)
			continue;
		bytes += tpm_request_list_length(list_make1(text));
		if (bytes > TPM_MAX_LIST_BYTES || list_length(values) >= Max(1, check->table->opt.page_size / 2))
			break;
		values = lappend(values, text);
	}
	return values;
}

static void
ask_for_keys(TpmTableCheck *check)
{
	const TpmColumn *column = asked_by(check->table);
	TpmRequest *request;
	TpmTerm    *term;

	if (column == NULL)
		return;
	term = palloc0(sizeof(TpmTerm));
	term->parameter = tpm_request_filter_name(check->table, column);
	term->values = keys_of_first_page(check, column);
	if (term->values == NIL || !tpm_request_query_allows(check->table, term->parameter, term->values))
		return;
	request = tpm_check_request(check);
	request->terms = list_make1(term);
	(void) tpm_check_fetch_one(check, request);
}

/* ----- the verdict ----- */

static char *
statements_against(const TpmTable *table)
{
	Bitmapset  *columns = key_columns(table);
	StringInfoData sql;
	int			attnum = -1;

	initStringInfo(&sql);
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
		appendStringInfo(&sql, " %s", tpm_alter_column(table, &table->columns[attnum - 1],
													   tpm_alter_option(NIL, "natural_key", NULL)));
	return sql.data;
}

void
tpm_check_natural_key(TpmTableCheck *check)
{
	StringInfoData words;
	int			resources;
	int			n;

	if (!key_matters(check->table))
		return;
	initStringInfo(&words);
	n = keys_that_come_twice(check, &words, &resources);
	if (n == 0 && check->more)
	{
		ask_for_keys(check);
		n = keys_that_come_twice(check, &words, &resources);
	}
	if (resources == 0)
		tpm_report(check->report, "natural key", TPM_STEP_NOT_TRIED, "no resource that was read has one", NULL);
	else if (n == 0)
		tpm_report(check->report, "natural key", TPM_STEP_OK,
				   psprintf("none comes twice among %d resources", resources), NULL);
	else
		tpm_report(check->report, "natural key", TPM_STEP_FAILED,
				   psprintf("%d of %d resources' come twice: %s", n, resources, words.data),
				   psprintf("What is found by it after a POST without an answer may be another's. Remove the older ones in the API, and ask whether it refuses new ones; if it does not, run:%s",
							statements_against(check->table)));
}
