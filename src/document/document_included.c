/*-------------------------------------------------------------------------
 *
 * document_included.c
 *		Compound documents (JSON:API 1.0, section 7.3).
 *
 * Owns what rows get from resources that stand in "included", which may come
 * behind them: it is filled in when all of the document has been read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "compat.h"
#include "document/convert.h"
#include "document/document_internal.h"

/* by id, by type, and as they came */
static int
compare_included(const ListCell *a, const ListCell *b)
{
	const IncludedResource *x = lfirst(a);
	const IncludedResource *y = lfirst(b);
	int			order = strcmp(x->id, y->id);

	if (order == 0)
		order = strcmp(x->type, y->type);
	if (order == 0)
		order = x->json < y->json ? -1 : 1;
	return order;
}

/* in the sorted list; any type will do if none is given */
static IncludedResource *
find_included(Reader *reader, const char *type, const char *id)
{
	int			from = 0;
	int			to = list_length(reader->included);
	IncludedResource *found;

	while (from < to)
	{
		int			middle = from + (to - from) / 2;
		IncludedResource *resource = list_nth(reader->included, middle);
		int			order = strcmp(resource->id, id);

		if (order == 0 && type)
			order = strcmp(resource->type, type);
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	if (from == list_length(reader->included))
		return NULL;
	found = list_nth(reader->included, from);
	return strcmp(found->id, id) == 0 && (type == NULL || strcmp(found->type, type) == 0) ? found : NULL;
}

static void
fill_from_included(Reader *reader, const TpmColumn *column, IncludedResource *resource)
{
	char	   *text = pnstrdup(resource->json, resource->len);
	Jsonb	   *jb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	JsonbContainer *at = &jb->root;
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(at, "attributes", 10, &buffer);
	ListCell   *lc;
	StringInfoData json;

	reader->nulls[column->attnum - 1] = true;
	for_each_from(lc, column->path, 1)
	{
		char	   *name = strVal(lfirst(lc));

		if (value == NULL || value->type != jbvBinary)
			return;
		at = value->val.binary.data;
		value = getKeyJsonValueFromContainer(at, name, strlen(name), &buffer);
	}
	if (value == NULL || value->type == jbvNull)
		return;
	if (value->type != jbvBinary)
		tpm_store_jsonb(reader, column->attnum, value);
	else
	{
		initStringInfo(&json);
		JsonbToCString(&json, value->val.binary.data, value->val.binary.len);
		tpm_store_value(reader, column->attnum, NULL, json.data, json.len);
	}
}

/* linkage leads to what the document does not hold; the path may know better */
static void
resource_is_missing(Reader *reader, const TpmColumn *column)
{
	const TpmDecoder *decoder = reader->decoder;
	int			i = column->attnum - 1;

	if (column->placeholder && decoder->placeholder_given[i])
	{
		reader->values[i] = decoder->placeholder_values[i];
		reader->nulls[i] = false;
	}
	else
		tpm_mark_columns(reader->page->members.unknown, list_make1_int(column->attnum));
}

void
tpm_fill_waiting_rows(Reader *reader)
{
	TpmDecoder *decoder = reader->decoder;
	int			natts = decoder->tupdesc->natts;
	ListCell   *lc;

	list_sort(reader->included, compare_included);
	for (int row = 0; row < reader->page->nrows; row++)
	{
		WaitingRow *waiting = reader->waiting[row];
		TpmRow	   *slot = &reader->page->rows[row];
		HeapTuple	filled;
		int			n = 0;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(reader->scratch);
		MemoryContextSwitchTo(reader->scratch);
		reader->values = palloc(natts * sizeof(Datum));
		reader->nulls = palloc(natts * sizeof(bool));
		heap_deform_tuple(slot->tuple, decoder->tupdesc, reader->values, reader->nulls);
		foreach(lc, decoder->included)
		{
			const TpmColumn *column = &decoder->table->columns[lfirst_int(lc) - 1];
			IncludedResource *resource = NULL;

			if (waiting->linked_id[n])
				resource = find_included(reader, waiting->linked_type[n], waiting->linked_id[n]);
			if (resource)
				fill_from_included(reader, column, resource);
			else if (waiting->linked_id[n])
				resource_is_missing(reader, column);
			n++;
		}
		filled = tpm_form_row(reader);
		heap_freetuple(slot->tuple);
		slot->tuple = filled;
	}
}
