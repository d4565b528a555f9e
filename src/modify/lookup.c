/*-------------------------------------------------------------------------
 *
 * lookup.c
 *		A row of which nobody knows whether it was created, looked for.
 *
 * Owns the request that looks, and the judgement of what it found.
 *
 * Columns marked natural_key promise that the API refuses a second resource
 * with the same values, so one that is found is the one that was sent.  Reads
 * past the cache.  When a look is due, and what follows from it, is decided
 * in insert.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/memutils.h"

#include "document/id_spelling.h"
#include "document/inverse.h"
#include "document/value.h"
#include "modify/write.h"
#include "plan/shippable.h"
#include "request/request.h"
#include "scan/list.h"

/* filters for the columns of the key that can be asked for */
static List *
key_terms(const TpmWrite *write)
{
	const TpmTable *table = write->writer->table;
	List	   *terms = NIL;

	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];
		TpmTerm    *term;
		List	   *values;
		bool		none;

		if (column->kind == TPM_COL_NONE || !column->natural_key || column->filter == NULL ||
			!(column->filter_operators & TPM_FILTER_EQ) ||
			tpm_condition_is_range(table, column, TPM_COND_EQ))
			continue;
		values = tpm_condition_values(table, column, TPM_COND_EQ, write->slot->tts_values[i], false,
									  column->type, &none);
		if (values == NIL)
			continue;
		term = palloc(sizeof(TpmTerm));
		term->parameter = tpm_request_filter_name(table, column);
		term->values = tpm_spellings(column, values);
		terms = lappend(terms, term);
	}
	return terms;
}

static bool
has_key(const TpmWrite *write, HeapTuple tuple)
{
	const TpmWriter *writer = write->writer;

	for (int i = 0; i < writer->table->natts; i++)
	{
		const TpmColumn *column = &writer->table->columns[i];
		bool		isnull;
		Datum		value;

		if (column->kind == TPM_COL_NONE || !column->natural_key)
			continue;
		value = heap_getattr(tuple, column->attnum, writer->tupdesc, &isnull);
		if (isnull || strcmp(tpm_value_text(column, value),
							 tpm_value_text(column, write->slot->tts_values[i])) != 0)
			return false;
	}
	return true;
}

static HeapTuple
find_in_page(const TpmWrite *write, const TpmPage *page)
{
	for (int i = 0; i < page->nrows; i++)
		if (has_key(write, page->rows[i].tuple))
			return heap_copytuple(page->rows[i].tuple);
	return NULL;
}

static HeapTuple
find_existing(TpmWrite *write)
{
	TpmWriter  *writer = write->writer;
	TpmRequest	request = {
		.path = write->list_path,
		.shown_path = write->list_path,
		.terms = key_terms(write),
		.page_size = writer->table->opt.page_size,
	};
	TpmList    *list = tpm_list_open(writer->session, writer->table, writer->all, &request, false);
	TpmPage    *page;

	tpm_write_set_placeholders(write);
	while ((page = tpm_list_next(list)) != NULL)
	{
		HeapTuple	found = find_in_page(write, page);

		if (found)
			return found;
	}
	return NULL;
}

static void
keep(TpmWrite *write, HeapTuple tuple)
{
	const TpmTable *table = write->writer->table;
	bool		isnull;
	Datum		id;

	write->tuple = tuple;
	if (table->id_attnum == 0)
		return;
	id = heap_getattr(tuple, table->id_attnum, write->writer->tupdesc, &isnull);
	if (!isnull)
		write->id = tpm_id_text(table, id);
}

TpmLookup
tpm_write_lookup(TpmWrite *write, char **problem)
{
	MemoryContext old = MemoryContextSwitchTo(write->context);
	HeapTuple volatile found = NULL;
	volatile bool failed = false;

	PG_TRY();
	{
		found = find_existing(write);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(write->context);
		error = CopyErrorData();
		if (tpm_error_is_interrupt(error))
			PG_RE_THROW();
		FlushErrorState();
		*problem = psprintf("looking for it: %s", error->message);
		failed = true;
	}
	PG_END_TRY();
	if (found)
		keep(write, found);
	MemoryContextSwitchTo(old);
	return failed ? TPM_LOOKUP_FAILED : found ? TPM_LOOKUP_FOUND : TPM_LOOKUP_NOTHING;
}
