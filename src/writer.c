/*-------------------------------------------------------------------------
 *
 * writer.c
 *		What INSERT and UPDATE have in common: admission, sending, answers.
 *
 * Owns what must be true before a write leaves (switches, cap, budget, no
 * open scan, intent in the journal) and what is recorded of it afterwards.
 * What an answer means, and what is done when there is none, is insert.c's
 * and update.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "cache.h"
#include "convert.h"
#include "request.h"
#include "scan.h"
#include "tpm_fdw.h"
#include "value.h"
#include "write.h"

/* bytes of a body that a message repeats */
#define TPM_MAX_SHOWN_BODY 1000

/* ----- one statement's writes to one table ----- */

/* does anybody look at the row that comes back? */
static bool
row_is_wanted(const ResultRelInfo *rinfo)
{
	const TriggerDesc *triggers = rinfo->ri_TrigDesc;

	return rinfo->ri_projectReturning != NULL || rinfo->ri_WithCheckOptions != NIL ||
		(triggers && (triggers->trig_insert_after_row || triggers->trig_update_after_row ||
					  triggers->trig_insert_new_table || triggers->trig_update_new_table));
}

static Bitmapset *
id_column(const TpmTable *table)
{
	/* member 0 keeps "none" apart from "all", which is NULL */
	Bitmapset  *columns = bms_make_singleton(0);

	return table->id_attnum != 0 ? bms_add_member(columns, table->id_attnum) : columns;
}

TpmWriter *
tpm_writer_create(EState *estate, ResultRelInfo *rinfo, Oid userid)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	TpmWriter  *writer = palloc0(sizeof(TpmWriter));

	writer->estate = estate;
	writer->rinfo = rinfo;
	writer->table = tpm_get_table(RelationGetRelid(rinfo->ri_RelationDesc));
	writer->session = tpm_session_create(writer->table->server, writer->table, userid,
										 tpm_statement_of(estate));
	writer->tupdesc = RelationGetDescr(rinfo->ri_RelationDesc);
	writer->resource = tpm_cache_resource(writer->table->server->origin, writer->table->resource);
	writer->all = tpm_decoder_create(writer->table, writer->tupdesc, NULL);
	writer->brief = tpm_decoder_create(writer->table, writer->tupdesc, id_column(writer->table));
	writer->wants_row = row_is_wanted(rinfo);
	writer->context = estate->es_query_cxt;
	writer->batch_context = AllocSetContextCreate(estate->es_query_cxt, "tpm_fdw writes",
												  ALLOCSET_DEFAULT_SIZES);
	writer->mark = tpm_sent_mark();
	writer->updated = tpm_idset_create(64);
	MemoryContextSwitchTo(old);
	return writer;
}

static void
check_switches(const TpmWriter *writer)
{
	if (tpm_dry_run || tpm_enabled == TPM_ENABLED_ON)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("nothing is written to foreign table %s", writer->table->name),
			 errdetail("tpm_fdw.enabled is \"%s\".", tpm_enabled == TPM_ENABLED_OFF ? "off" : "read"),
			 errhint("An administrator has switched this off in postgresql.conf.")));
}

static void
check_cap(TpmWriter *writer, int64 n)
{
	TpmStatement *statement = writer->session->statement;
	int64		all = statement->writes + statement->queued + n;

	if (tpm_max_writes == 0 || all <= tpm_max_writes)
		return;
	if (tpm_dry_run)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the statement would write more than %d rows to foreign table %s", tpm_max_writes,
					writer->table->name),
			 statement->writes == 0 ? errdetail("Nothing has been sent.")
			 : errdetail("Sent before: %s.", tpm_sent_list(writer->mark)),
			 errhint("Add a condition, or SET tpm_fdw.max_writes to a larger number (0: no limit); SET tpm_fdw.dry_run shows what would be sent.")));
}

void
tpm_writer_admit(TpmWriter *writer, int64 n, int64 n_after, int each)
{
	check_switches(writer);
	check_cap(writer, n + n_after);
	if (!tpm_dry_run)
		tpm_client_admit_writes(writer->session, (n + n_after) * each);
}

/* ----- one row ----- */

static char *
new_uuid(void)
{
	unsigned char b[UUID_LEN];

	if (!pg_strong_random(b, sizeof(b)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	/* version 4, variant 1 (RFC 9562, section 5.4) */
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	return psprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
					b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
					b[12], b[13], b[14], b[15]);
}

static void
raise_no_path(const TpmWriter *writer, char **values, const char *id)
{
	const TpmTable *table = writer->table;

	for (int i = 0; i < table->natts; i++)
		if (table->columns[i].placeholder && values[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
					 errmsg("a row of foreign table %s needs a value for column \"%s\"", table->name,
							table->columns[i].name),
					 errdetail("The API's address of it is \"%s\".", table->resource)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a row of foreign table %s has no address", table->name),
			 errdetail("%s cannot be part of a path.", id ? psprintf("The id \"%s\"", id) : "A value")));
}

/* the decoders fill columns that only the path holds */
static void
set_placeholders(TpmWriter *writer, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(writer->batch_context);

	for (int i = 0; i < writer->table->natts; i++)
	{
		const TpmColumn *column = &writer->table->columns[i];
		Form_pg_attribute att = TupleDescAttr(writer->tupdesc, i);
		Datum		value;

		if (column->kind != TPM_COL_PLACEHOLDER || slot->tts_isnull[i])
			continue;
		value = datumCopy(slot->tts_values[i], att->attbyval, att->attlen);
		tpm_decoder_set_placeholder(writer->all, column->attnum, value);
		tpm_decoder_set_placeholder(writer->brief, column->attnum, value);
	}
	MemoryContextSwitchTo(old);
}

TpmWrite *
tpm_write_create(TpmWriter *writer, const char *method, TupleTableSlot *slot, char *id)
{
	TpmWrite   *write = palloc0(sizeof(TpmWrite));
	const TpmTable *table = writer->table;
	char	  **values = tpm_body_placeholders(table, slot);
	char	   *path;

	write->writer = writer;
	write->context = CurrentMemoryContext;
	write->slot = slot;
	write->row = ++writer->rows;
	write->method = method;
	write->id = id;
	write->list_path = path = tpm_request_path(table, values, false);
	write->shown = tpm_request_path(table, values, true);
	if (id && path)
	{
		path = tpm_request_id_path(path, id, false);
		write->shown = tpm_request_id_path(write->shown, id, true);
	}
	if (path == NULL)
		raise_no_path(writer, values, id);
	set_placeholders(writer, slot);
	write->url = psprintf("%s%s", table->opt.base_url, path);
	write->name = tpm_call_name(method, write->url);
	write->key = tpm_body_natural_key(table, slot);
	write->request_id = new_uuid();
	return write;
}

/* called each time just before its bytes may leave */
static void
about_to_leave(void *arg)
{
	TpmWrite   *write = arg;

	tpm_cache_written(write->writer->resource);
}

static List *
headers_of(const TpmWrite *write, const char *etag)
{
	const char *name = write->writer->table->opt.request_id_header;
	List	   *headers = NIL;

	if (name && name[0])
		headers = lappend(headers, psprintf("%s: %s", name, write->request_id));
	/* a weak tag never matches (RFC 9110, section 13.1.1) */
	if (etag && strncmp(etag, "W/", 2) != 0)
		headers = lappend(headers, psprintf("If-Match: %s", etag));
	return headers;
}

void
tpm_write_send(TpmWrite *write, const char *etag)
{
	TpmWriter  *writer = write->writer;
	MemoryContext old = MemoryContextSwitchTo(write->context);
	char	   *body = pg_server_to_any(write->body, strlen(write->body), PG_UTF8);

	if (write->sent == NULL)
	{
		write->sent = tpm_sent_begin(writer->resource, write->method, write->shown,
									 write->id ? NULL : write->key ? write->key
									 : pnstrdup(write->body, pg_mbcliplen(write->body, strlen(write->body),
																		  TPM_MAX_SHOWN_BODY)));
		writer->session->statement->writes++;
	}
	write->sendings++;
	write->call = tpm_call_start(writer->session, write->method, write->url, body,
								 headers_of(write, etag), TPM_CALL_WRITE);
	tpm_call_set_sending(write->call, about_to_leave, write, tpm_sent_departed(write->sent));
	MemoryContextSwitchTo(old);
}

void
tpm_write_settle(TpmWrite *write, TpmWriteEnd end)
{
	tpm_cache_written(write->writer->resource);
	if (end == TPM_WRITE_DONE)
		tpm_sent_written(write->sent, strcmp(write->method, "POST") == 0 ? write->id : NULL);
	else if (end == TPM_WRITE_REFUSED)
		tpm_sent_refused(write->sent);
	else
		tpm_sent_doubted(write->sent);
}

void
tpm_write_show(TpmWrite *write)
{
	ereport(NOTICE,
			(errmsg("dry run: %s would be sent", write->name),
			 errdetail("%s", write->body)));
}

/* ----- answers ----- */

/* the last segment of an address, decoded */
static char *
id_of_location(const char *location)
{
	char	   *copy = pstrdup(location);
	char	   *id;
	char	   *to;

	copy[strcspn(copy, "?#")] = '\0';
	id = strrchr(copy, '/');
	if (id == NULL || id[1] == '\0')
		return NULL;
	id = to = id + 1;
	for (const char *from = id; *from; from++)
	{
		unsigned int byte;

		if (from[0] == '%' && sscanf(from + 1, "%2x", &byte) == 1 && byte != 0)
		{
			*to++ = (char) byte;
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
try_to_read(TpmWriter *writer, TpmDecoder *decoder, TpmAnswer *answer, const char *name)
{
	MemoryContext old = CurrentMemoryContext;
	int			nestlevel = NewGUCNestLevel();
	TpmPage    *volatile page = NULL;

	PG_TRY();
	{
		page = tpm_document_read(decoder, answer->body, answer->len, answer->received, name);
		AtEOXact_GUC(true, nestlevel);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_FDW_UNABLE_TO_CREATE_REPLY)
			PG_RE_THROW();
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
	return isnull ? NULL : tpm_value_text(&table->columns[table->id_attnum - 1], value);
}

bool
tpm_write_read_answer(TpmWrite *write, TpmAnswer *answer)
{
	TpmWriter  *writer = write->writer;
	MemoryContext old = MemoryContextSwitchTo(write->context);
	bool		may_be_empty = answer->status == 202 || answer->status == 204 || answer->len == 0;
	TpmPage    *page = NULL;

	if (answer->len > 0)
		page = try_to_read(writer, writer->wants_row ? writer->all : writer->brief, answer, write->name);
	if (page && page->nrows == 1)
	{
		if (writer->wants_row)
			write->tuple = page->rows[0].tuple;
		if (write->id == NULL)
			write->id = id_of_row(writer, page->rows[0].tuple);
	}
	if (write->id == NULL && answer->location)
		write->id = id_of_location(answer->location);
	MemoryContextSwitchTo(old);
	return page != NULL || may_be_empty;
}

HeapTuple
tpm_write_fetch(TpmWrite *write, TpmAnswer **answer)
{
	TpmWriter  *writer = write->writer;
	MemoryContext old = MemoryContextSwitchTo(write->context);
	TpmRequest	request = {.by_id = true};
	TpmPosition start = {0};
	char	   *name;
	TpmPage    *page;

	request.path = tpm_request_id_path(write->list_path, write->id, false);
	if (request.path == NULL)
		raise_no_path(writer, tpm_body_placeholders(writer->table, write->slot), write->id);
	request.shown_path = request.path;
	name = tpm_call_name("GET", psprintf("%s%s", writer->table->opt.base_url, request.path));
	*answer = tpm_client_get(writer->session, tpm_request_url(writer->table, &request, &start),
							 TPM_CALL_PART);
	if ((*answer)->status == 404)
	{
		MemoryContextSwitchTo(old);
		return NULL;
	}
	if ((*answer)->status > 299)
		tpm_raise_status(writer->session, name, *answer);
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
	ExecForceStoreHeapTuple(heap_copytuple(write->tuple), write->slot, true);
}

/* ----- messages ----- */

char *
tpm_write_row_name(const TpmWrite *write)
{
	if (write->id)
		return psprintf("row with id \"%s\"", write->id);
	if (write->key)
		return psprintf("row " INT64_FORMAT " (%s)", write->row, write->key);
	return psprintf("row " INT64_FORMAT, write->row);
}

char *
tpm_writer_beside(const TpmWriter *writer)
{
	return tpm_sent_list(writer->mark);
}

void
tpm_raise_unknown(const TpmWrite *write, const char *problem)
{
	const char *row = write->id ? write->shown : write->key ? write->key
	: pnstrdup(write->body, pg_mbcliplen(write->body, strlen(write->body), TPM_MAX_SHOWN_BODY));

	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("the outcome of %s is unknown", write->name),
			 errdetail("No answer came (%s), and the API may have acted. Row: %s.", problem, row),
			 write->key ? errhint("Look at the API whether it is there before sending it again.")
			 : errhint("Look at the API whether it is there before sending it again. A column with the option natural_key lets this be found out by itself.")));
	pg_unreachable();
}
