/*-------------------------------------------------------------------------
 *
 * answer.c
 *		What the API answers to a write, and the resource as it is then.
 *
 * Owns the way from an answer, or from a GET by id, to the row that the
 * executor is given back.  What follows from an answer that cannot be read is
 * decided in insert.c and update.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "document/id_spelling.h"
#include "document/value.h"
#include "modify/write.h"
#include "request/request.h"

/* ----- answers ----- */

/* the last segment of an address, decoded; a slash at the end begins none */
static char *
id_of_location(const char *location)
{
	char	   *copy = pstrdup(location);
	char	   *id;
	char	   *to;

	copy[strcspn(copy, "?#")] = '\0';
	if (copy[0] != '\0' && copy[strlen(copy) - 1] == '/')
		copy[strlen(copy) - 1] = '\0';
	id = strrchr(copy, '/');
	if (id == NULL || id[1] == '\0')
		return NULL;
	id = to = id + 1;
	for (const char *from = id; *from; from++)
	{
		char		byte;

		if (from[0] == '%' && isxdigit((unsigned char) from[1]) && isxdigit((unsigned char) from[2]) &&
			hex_decode(from + 1, 2, &byte) == 1 && byte != '\0')
		{
			*to++ = byte;
			from += 2;
		}
		else
			*to++ = *from;
	}
	*to = '\0';
	return pg_verify_mbstr(PG_UTF8, id, strlen(id), true) ? pg_any_to_server(id, strlen(id), PG_UTF8) : NULL;
}

/* NULL if it cannot be read: a sign-in page, half a document, another API's answer */
static TpmPage *
try_to_read(TpmWrite *write, TpmDecoder *decoder, TpmAnswer *answer)
{
	MemoryContext old = CurrentMemoryContext;
	int			nestlevel = NewGUCNestLevel();
	TpmPage    *volatile page = NULL;

	PG_TRY();
	{
		page = tpm_document_read(decoder, answer->body, answer->len, answer->received, write->name);
		AtEOXact_GUC(true, nestlevel);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_FDW_UNABLE_TO_CREATE_REPLY &&
			error->sqlerrcode != ERRCODE_CHARACTER_NOT_IN_REPERTOIRE)
		{
			/* a value that no column can hold does not undo the write */
			if (!tpm_error_is_interrupt(error))
				tpm_write_settle(write, TPM_WRITE_DONE);
			PG_RE_THROW();
		}
		FlushErrorState();
		/* what was set while it was read */
		AtEOXact_GUC(false, nestlevel);
	}
	PG_END_TRY();
	return page;
}

static char *
id_of_row(const TpmWriter *writer, HeapTuple tuple)
{
	const TpmTable *table = writer->table;
	bool		isnull;
	Datum		value;

	if (table->id_attnum == 0)
		return NULL;
	value = heap_getattr(tuple, table->id_attnum, writer->tupdesc, &isnull);
	return isnull ? NULL : tpm_id_text(table, value);
}

/* the id that the client gave, which an answer without a body leaves as it is */
static char *
id_of_slot(const TpmWrite *write)
{
	const TpmTable *table = write->writer->table;
	bool		isnull = true;
	Datum		value = 0;

	if (table->id_attnum > 0)
		value = slot_getattr(write->slot, table->id_attnum, &isnull);
	return isnull ? NULL : tpm_value_text(&table->columns[table->id_attnum - 1], value);
}

/*
 * "Only top-level meta data" answers a change that went as it was asked for
 * (JSON:API 1.0, 9.2.2).  A resource that was created would be in its answer.
 */
static bool
is_meta_only(const TpmWrite *write, const TpmAnswer *answer)
{
	Jsonb	   *document;

	if (strcmp(write->method, "POST") == 0 && answer->status != 202)
		return false;
	document = tpm_json_object(answer->body, answer->len);

	return document != NULL && tpm_json_has(document, "meta") && !tpm_json_has(document, "data") &&
		!tpm_json_has(document, "errors");
}

bool
tpm_write_read_answer(TpmWrite *write, TpmAnswer *answer)
{
	TpmWriter  *writer = write->writer;
	MemoryContext old = MemoryContextSwitchTo(write->context);
	bool		may_be_empty = answer->status == 202 || answer->status == 204 || answer->len == 0;
	bool		meta_only = is_meta_only(write, answer);
	TpmPage    *page = NULL;

	tpm_write_set_placeholders(write);
	if (answer->len > 0 && !meta_only)
		page = try_to_read(write, writer->wants_row ? writer->all : writer->brief, answer);
	if (page && page->nrows == 1)
	{
		if (writer->wants_row)
			write->tuple = page->rows[0].tuple;
		if (write->id == NULL)
			write->id = id_of_row(writer, page->rows[0].tuple);
	}
	if (write->id == NULL && answer->location)
		write->id = id_of_location(answer->location);
	if (write->id == NULL)
		write->id = id_of_slot(write);
	MemoryContextSwitchTo(old);
	return page != NULL || may_be_empty || meta_only;
}

/* parameters that select from a list have no place where one resource is asked for */
static char *
query_by_id(const TpmTable *table)
{
	StringInfoData kept;
	char	   *copy = table->opt.query ? pstrdup(table->opt.query) : NULL;
	char	   *save;

	if (copy == NULL)
		return NULL;
	initStringInfo(&kept);
	for (char *pair = strtok_r(copy, "&", &save); pair; pair = strtok_r(NULL, "&", &save))
	{
		if (strncmp(pair, "filter", 6) == 0 || strncmp(pair, "page", 4) == 0 ||
			strncmp(pair, "sort", 4) == 0)
			continue;
		appendStringInfo(&kept, "%s%s", kept.len > 0 ? "&" : "", pair);
	}
	return kept.len > 0 ? kept.data : NULL;
}

static char *
url_by_id(const TpmTable *table, TpmRequest *request)
{
	TpmTable	single = *table;
	TpmPosition start = {0};

	single.opt.query = query_by_id(table);
	return tpm_request_url(&single, request, &start);
}

HeapTuple
tpm_write_fetch(TpmWrite *write, TpmAnswer **answer)
{
	TpmWriter  *writer = write->writer;
	MemoryContext old = MemoryContextSwitchTo(write->context);
	TpmRequest	request = {.by_id = true};
	char	   *name;
	TpmPage    *page;

	request.path = tpm_request_id_path(write->list_path, write->id, false);
	if (request.path == NULL)
		tpm_raise_no_path(writer, tpm_body_placeholders(writer->table, write->slot), write->id);
	request.shown_path = request.path;
	name = tpm_call_name("GET", psprintf("%s%s", writer->table->opt.base_url, request.path));
	*answer = tpm_client_get(writer->session, url_by_id(writer->table, &request), TPM_CALL_PART);
	if ((*answer)->status == 404)
	{
		MemoryContextSwitchTo(old);
		return NULL;
	}
	if ((*answer)->status > 299)
		tpm_raise_status(writer->session, name, *answer);
	tpm_write_set_placeholders(write);
	page = tpm_document_read(writer->all, (*answer)->body, (*answer)->len, (*answer)->received, name);
	if (page->nrows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the answer to %s holds %d resources instead of one", name, page->nrows)));
	MemoryContextSwitchTo(old);
	return page->rows[0].tuple;
}

/* columns that come from other resources are in no answer to a write */
static bool
needs_included(const TpmWriter *writer)
{
	for (int i = 0; i < writer->table->natts; i++)
		if (writer->table->columns[i].kind == TPM_COL_INCLUDED)
			return true;
	return false;
}

void
tpm_write_return(TpmWrite *write)
{
	TpmWriter  *writer = write->writer;
	MemoryContext old;
	TpmAnswer  *answer;

	if (!writer->wants_row)
		return;
	if ((write->tuple == NULL || needs_included(writer)) && write->id != NULL)
	{
		HeapTuple	fetched = tpm_write_fetch(write, &answer);

		write->tuple = fetched ? fetched : write->tuple;
	}
	if (write->tuple == NULL)
	{
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("%s was accepted, and what it has become cannot be read yet", write->name),
				 errdetail("The row is shown as it was sent.")));
		return;
	}
	/* the slot frees it, later than this row's memory goes */
	old = MemoryContextSwitchTo(write->slot->tts_mcxt);
	ExecForceStoreHeapTuple(heap_copytuple(write->tuple), write->slot, true);
	MemoryContextSwitchTo(old);
}
