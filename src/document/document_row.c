/*-------------------------------------------------------------------------
 *
 * document_row.c
 *		Members become values, resources become rows.
 *
 * Owns what a resource is while it is read, and the rows of a page.  Which
 * member leads where is decoder.c's, the order of things document.c's.
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

void
tpm_mark_columns(uint64 *words, List *attnums)
{
	ListCell   *lc;

	foreach(lc, attnums)
	{
		int			attnum = lfirst_int(lc);

		if (attnum < TPM_SEEN_WORDS * 64)
			words[attnum / 64] |= UINT64CONST(1) << (attnum % 64);
	}
}

typedef struct ValueContext
{
	Reader	   *reader;
	const TpmColumn *column;
	const char *value;
	int			len;
} ValueContext;

static void
value_error(void *arg)
{
	ValueContext *at = arg;

	errcontext("value \"%.*s\" of column \"%s\" of resource \"%s\" in %s",
			   pg_mbcliplen(at->value, at->len, 60), at->value, at->column->name,
			   at->reader->id ? at->reader->id : "?", at->reader->where);
}

char *
tpm_token_copy(const Token *token)
{
	char	   *copy = palloc(token->len + 1);

	memcpy(copy, token->text, token->len + 1);
	return copy;
}

void
tpm_store_value(Reader *reader, int attnum, const Token *token, const char *json, int len)
{
	TpmConverter *converter = &reader->decoder->converters[attnum - 1];
	Datum	   *value = &reader->values[attnum - 1];
	ValueContext at = {reader, converter->column, token ? token->text : json, token ? token->len : len};
	ErrorContextCallback context = {error_context_stack, value_error, &at};
	bool		present;

	error_context_stack = &context;
	present = token ? tpm_convert_scalar(converter, token->text, token->len, token->type, value)
		: tpm_convert_container(converter, json, len, value);
	reader->nulls[attnum - 1] = !present;
	error_context_stack = context.previous;
}

void
tpm_store_jsonb(Reader *reader, int attnum, JsonbValue *value)
{
	Token		token;

	switch (value->type)
	{
		case jbvString:
			token.text = pnstrdup(value->val.string.val, value->val.string.len);
			token.type = JSON_TOKEN_STRING;
			break;
		case jbvNumeric:
			token.text = DatumGetCString(DirectFunctionCall1(numeric_out,
															 NumericGetDatum(value->val.numeric)));
			token.type = JSON_TOKEN_NUMBER;
			break;
		case jbvBool:
			token.text = pstrdup(value->val.boolean ? "true" : "false");
			token.type = value->val.boolean ? JSON_TOKEN_TRUE : JSON_TOKEN_FALSE;
			break;
		default:
			return;
	}
	token.len = strlen(token.text);
	tpm_store_value(reader, attnum, &token, NULL, 0);
}

void
tpm_begin_resource(Reader *reader)
{
	int			natts = reader->decoder->tupdesc->natts;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(reader->scratch);
	MemoryContextSwitchTo(reader->scratch);
	reader->in_resource = true;
	reader->id = reader->type = NULL;
	memset(reader->present, 0, sizeof(reader->present));
	memset(reader->told, 0, sizeof(reader->told));
	reader->values = palloc0(natts * sizeof(Datum));
	reader->nulls = palloc(natts * sizeof(bool));
	memset(reader->nulls, true, natts * sizeof(bool));
	if (reader->decoder->included != NIL)
		reader->links = palloc0(natts * sizeof(List *));
	if (reader->decoder->arrays != NIL)
		reader->arrays = palloc0(natts * sizeof(ArrayBuildState *));
}

static void
finish_arrays(Reader *reader)
{
	ListCell   *lc;

	foreach(lc, reader->decoder->arrays)
	{
		int			i = lfirst_int(lc) - 1;

		if (reader->arrays[i])
		{
			reader->values[i] = makeArrayResult(reader->arrays[i], reader->scratch);
			reader->nulls[i] = false;
		}
	}
}

static void
fill_fixed_columns(Reader *reader)
{
	TpmDecoder *decoder = reader->decoder;
	ListCell   *lc;

	foreach(lc, decoder->fetched_at)
	{
		reader->values[lfirst_int(lc) - 1] = TimestampTzGetDatum(reader->received);
		reader->nulls[lfirst_int(lc) - 1] = false;
	}
	foreach(lc, decoder->placeholders)
	{
		reader->values[lfirst_int(lc) - 1] = decoder->placeholder_values[lfirst_int(lc) - 1];
		reader->nulls[lfirst_int(lc) - 1] = !decoder->placeholder_given[lfirst_int(lc) - 1];
	}
}

/* is there a word about the column in this resource, be it null? */
static bool
is_told(const Reader *reader, int attnum)
{
	const uint64 bit = UINT64CONST(1) << (attnum % 64);
	int			word = attnum / 64;

	if (attnum >= TPM_SEEN_WORDS * 64)
		return !reader->nulls[attnum - 1];
	return (reader->present[word] & bit) != 0 &&
		((reader->decoder->linkages[word] & bit) == 0 || (reader->told[word] & bit) != 0);
}

/* a resource need not repeat what the path has said of it */
static void
fill_from_path(Reader *reader)
{
	TpmDecoder *decoder = reader->decoder;
	ListCell   *lc;

	foreach(lc, decoder->fallbacks)
	{
		int			attnum = lfirst_int(lc);

		if (!decoder->placeholder_given[attnum - 1] || is_told(reader, attnum))
			continue;
		reader->values[attnum - 1] = decoder->placeholder_values[attnum - 1];
		reader->nulls[attnum - 1] = false;
		tpm_mark_columns(reader->present, list_make1_int(attnum));
		tpm_mark_columns(reader->told, list_make1_int(attnum));
	}
}

/* what this resource has, and has not, becomes the page's */
static void
note_members(Reader *reader)
{
	const TpmDecoder *decoder = reader->decoder;
	TpmPageMembers *members = &reader->page->members;

	for (int i = 0; i < TPM_SEEN_WORDS; i++)
	{
		members->seen[i] |= reader->present[i];
		members->lacked[i] |= decoder->members[i] & ~reader->present[i];
		members->unknown[i] |= decoder->linkages[i] & reader->present[i] & ~reader->told[i];
	}
}

uint64
tpm_id_hash(const char *type, const char *id)
{
	uint64		hash;

	if (id == NULL)
		return 0;
	hash = hash_bytes_extended((const unsigned char *) id, strlen(id), 0);
	if (type)
		hash = hash_bytes_extended((const unsigned char *) type, strlen(type), hash);
	return hash ? hash : 1;
}

/* a foreign row has no transaction: its system columns read as nothing */
static HeapTuple
form_row(Reader *reader)
{
	HeapTuple	tuple;

	MemoryContextSwitchTo(reader->page->context);
	tuple = heap_form_tuple(reader->decoder->tupdesc, reader->values, reader->nulls);
	HeapTupleHeaderSetXmax(tuple->t_data, InvalidTransactionId);
	HeapTupleHeaderSetXmin(tuple->t_data, InvalidTransactionId);
	HeapTupleHeaderSetCmin(tuple->t_data, InvalidTransactionId);
	return tuple;
}

HeapTuple
tpm_form_row(Reader *reader)
{
	if (reader->decoder->computing)
		tpm_compute(reader->decoder->computing, reader->values, reader->nulls);
	return form_row(reader);
}

static void
add_row(Reader *reader, HeapTuple tuple, uint64 idhash)
{
	TpmPage    *page = reader->page;

	if (page->nrows == reader->space)
	{
		reader->space *= 2;
		page->rows = repalloc_huge(page->rows, reader->space * sizeof(TpmRow));
		if (reader->waiting)
			reader->waiting = repalloc_huge(reader->waiting, reader->space * sizeof(WaitingRow *));
	}
	page->rows[page->nrows].tuple = tuple;
	page->rows[page->nrows++].idhash = idhash;
	page->bytes += MAXALIGN(tuple->t_len);
}

static void
keep_waiting_row(Reader *reader, MemoryContext page_context)
{
	MemoryContext old = MemoryContextSwitchTo(page_context);
	int			nincluded = list_length(reader->decoder->included);
	WaitingRow *row = palloc0(sizeof(WaitingRow));
	HeapTuple	tuple = form_row(reader);
	int			n = 0;
	ListCell   *lc;

	/* the values live in scratch memory: keep them as a tuple until then */
	add_row(reader, tuple, tpm_id_hash(reader->type, reader->id));
	row->linked_id = palloc0(2 * nincluded * sizeof(char *));
	row->linked_type = row->linked_id + nincluded;
	foreach(lc, reader->decoder->included)
	{
		List	   *link = reader->links[lfirst_int(lc) - 1];

		if (link != NIL)
		{
			row->linked_id[n] = pstrdup(linitial(link));
			if (list_length(link) > 1)
				row->linked_type[n] = pstrdup(lsecond(link));
		}
		n++;
	}
	reader->waiting[reader->page->nrows - 1] = row;
	MemoryContextSwitchTo(old);
}

/* what is of another type has members of other meanings */
static void
require_resource_type(Reader *reader)
{
	const TpmTable *table = reader->decoder->table;

	if (reader->type == NULL || strcmp(reader->type, table->type) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("the answer to %s holds a resource of type \"%s\"", reader->where, reader->type),
			 errdetail("The type of foreign table %s is \"%s\".", table->name, table->type),
			 errhint("Correct the option type, or resource, of the foreign table.")));
}

void
tpm_end_resource(Reader *reader, MemoryContext page_context)
{
	reader->in_resource = false;
	if (reader->type == NULL && reader->id == NULL)
		tpm_not_a_document(reader, "A resource object has neither \"type\" nor \"id\".");
	require_resource_type(reader);
	fill_fixed_columns(reader);
	finish_arrays(reader);
	if (reader->decoder->fallbacks != NIL)
		fill_from_path(reader);
	note_members(reader);
	if (reader->decoder->included != NIL)
		keep_waiting_row(reader, page_context);
	else
		add_row(reader, tpm_form_row(reader), tpm_id_hash(reader->type, reader->id));
	MemoryContextSwitchTo(page_context);
}

/* the ids of a relationship's linkage have all been read */
void
tpm_end_linkage(Reader *reader, DocNode *node, bool is_array)
{
	ListCell   *lc;

	foreach(lc, node->linkage)
	{
		int			attnum = lfirst_int(lc);
		const TpmColumn *column = &reader->decoder->table->columns[attnum - 1];

		if (column->kind == TPM_COL_RELATIONSHIP && column->type == TEXTARRAYOID && is_array &&
			reader->nulls[attnum - 1])
		{
			reader->values[attnum - 1] = PointerGetDatum(construct_empty_array(TEXTOID));
			reader->nulls[attnum - 1] = false;
		}
	}
}

/* "id" or "type" inside the linkage that node describes */
void
tpm_linkage_member(Reader *reader, DocNode *node, const char *name, const Token *token)
{
	ListCell   *lc;

	foreach(lc, node->linkage)
	{
		int			attnum = lfirst_int(lc);
		const TpmColumn *column = &reader->decoder->table->columns[attnum - 1];

		if (column->kind == TPM_COL_INCLUDED)
		{
			List	  **link = &reader->links[attnum - 1];

			/* (id, type), in this order; only the first of a to-many counts */
			if (list_length(*link) < 2)
				*link = name[0] == 'i' ? lcons(tpm_token_copy(token), *link) : lappend(*link, tpm_token_copy(token));
		}
		else if (name[0] != 'i')
			continue;
		else if (column->type == TEXTARRAYOID)
			reader->arrays[attnum - 1] =
				accumArrayResult(reader->arrays[attnum - 1],
								 PointerGetDatum(cstring_to_text_with_len(token->text, token->len)),
								 false, TEXTOID, reader->scratch);
		else if (reader->nulls[attnum - 1])
			tpm_store_value(reader, attnum, token, NULL, 0);
	}
}

void
tpm_end_custom_field(Reader *reader)
{
	ListCell   *lc;

	if (reader->custom_term == NULL || reader->custom_value == NULL)
		return;
	foreach(lc, reader->decoder->custom)
	{
		const TpmColumn *column = &reader->decoder->table->columns[lfirst_int(lc) - 1];
		Jsonb	   *jb;
		JsonbValue *first;
		char	   *text;

		if (strcmp(strVal(linitial(column->path)), reader->custom_term) != 0)
			continue;
		if (column->type == TEXTARRAYOID || column->type == JSONBOID)
		{
			tpm_store_value(reader, column->attnum, NULL, reader->custom_value, reader->custom_value_len);
			continue;
		}
		text = pnstrdup(reader->custom_value, reader->custom_value_len);

		jb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
		first = JB_ROOT_IS_ARRAY(jb) ? getIthJsonbValueFromContainer(&jb->root, 0) : NULL;
		if (first == NULL || first->type == jbvNull)
			continue;
		tpm_store_jsonb(reader, column->attnum, first);
	}
}
