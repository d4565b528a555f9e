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

#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "journal/journal.h"
#include "modify/modify.h"
#include "modify/write.h"
#include "request/request.h"
#include "scan/scan.h"
#include "shared/cache/cache.h"
#include "shared/shared.h"

int			tpm_max_writes = 100;
bool		tpm_dry_run = false;

/* bytes of a body that a message repeats */
#define TPM_MAX_SHOWN_BODY 1000

/* ----- one statement's writes to one table ----- */

bool
tpm_row_is_wanted(const ResultRelInfo *rinfo)
{
	const TriggerDesc *triggers = rinfo->ri_TrigDesc;

	return rinfo->ri_projectReturning != NULL || rinfo->ri_WithCheckOptions != NIL ||
		(triggers && (triggers->trig_insert_after_row || triggers->trig_update_after_row ||
					  triggers->trig_insert_new_table || triggers->trig_update_new_table));
}

static Bitmapset *
writer_id_column(const TpmTable *table)
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
	writer->resource = writer->table->address;
	writer->all = tpm_decoder_create(writer->table, writer->tupdesc, NULL);
	writer->brief = tpm_decoder_create(writer->table, writer->tupdesc, writer_id_column(writer->table));
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
	int			enabled = tpm_enabled_now();

	if (tpm_dry_run || enabled == TPM_ENABLED_ON)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("nothing is written to foreign table %s", writer->table->name),
			 errdetail("tpm_fdw.enabled is \"%s\".", enabled == TPM_ENABLED_OFF ? "off" : "read"),
			 errhint("An administrator has switched this off in postgresql.conf.")));
}

/* how many writes max_writes still allows the statement */
static int64
writes_left(const TpmWriter *writer)
{
	const TpmStatement *statement = writer->session->statement;

	return tpm_max_writes == 0 || tpm_dry_run ? PG_INT64_MAX
		: (int64) tpm_max_writes - statement->writes - statement->queued;
}

static void
check_cap(TpmWriter *writer, int64 n)
{
	TpmStatement *statement = writer->session->statement;

	if (n <= writes_left(writer))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the statement would write more than %d rows to foreign table %s", tpm_max_writes,
					writer->table->name),
			 statement->writes == 0 ? errdetail("Nothing has been sent.")
			 : errdetail("Sent before: %s.", tpm_sent_list(writer->mark)),
			 errhint("Add a condition, or SET tpm_fdw.max_writes to a larger number (0: no limit); SET tpm_fdw.dry_run shows what would be sent.")));
}

int64
tpm_writer_drain(TpmWriter *writer, Index feeding_rti)
{
	/* what the scans keep lives longer than the rows that are written now */
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	int64		left = tpm_scans_drain(writer->estate, writer->resource, feeding_rti, writes_left(writer));

	MemoryContextSwitchTo(old);
	return left;
}

void
tpm_writer_admit(TpmWriter *writer, int64 n, int64 n_after, int each)
{
	/* RETURNING is not there yet when the executor begins */
	writer->wants_row = tpm_row_is_wanted(writer->rinfo);
	check_switches(writer);
	check_cap(writer, n + n_after);
	if (tpm_dry_run)
		return;
	writer->session->lanes = (int) Min(n, writer->table->opt.fetch_concurrency);
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

void
tpm_raise_no_path(const TpmWriter *writer, char **values, const char *id)
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

void
tpm_write_set_placeholders(TpmWrite *write)
{
	const TpmWriter *writer = write->writer;

	for (int i = 0; i < writer->table->natts; i++)
	{
		const TpmColumn *column = &writer->table->columns[i];
		Datum		value = write->slot->tts_values[i];
		bool		isnull = write->slot->tts_isnull[i];

		if (!column->placeholder)
			continue;
		tpm_decoder_set_placeholder(writer->all, column->attnum, value, isnull);
		tpm_decoder_set_placeholder(writer->brief, column->attnum, value, isnull);
	}
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
	write->shown = write->shown_list = tpm_request_path(table, values, true);
	if (id && path)
	{
		path = tpm_request_id_path(path, id, false);
		write->shown = tpm_request_id_path(write->shown, id, true);
	}
	if (path == NULL)
		tpm_raise_no_path(writer, values, id);
	write->url = psprintf("%s%s", table->opt.base_url, path);
	write->name = tpm_call_name(method, write->url);
	write->key = tpm_body_natural_key(table, slot);
	write->request_id = new_uuid();
	return write;
}

/* what tells a row apart that has no id yet */
static char *
row_for_people(const TpmWrite *write)
{
	if (write->key)
		return write->key;
	return pnstrdup(write->body, pg_mbcliplen(write->body, strlen(write->body), TPM_MAX_SHOWN_BODY));
}

static const char **
names_of_columns(const TpmWrite *write)
{
	const char **names = palloc(sizeof(char *) * Max(bms_num_members(write->columns), 1));
	int			n = 0;
	int			attnum = -1;

	while ((attnum = bms_next_member(write->columns, attnum)) >= 0)
		names[n++] = write->writer->table->columns[attnum - 1].name;
	return names;
}

static void
intend(TpmWrite *write)
{
	const TpmTable *table = write->writer->table;
	TpmJournalIntent intent = {
		.serverid = table->server->serverid,
		.server = table->server->name,
		.relid = table->relid,
		.relation = table->name,
		.method = write->method,
		.path = write->shown,
		.id = write->id,
		.ncolumns = bms_num_members(write->columns),
		.columns = names_of_columns(write),
		.request_id = write->request_id,
	};

	if (tpm_journal_values)
	{
		if (write->old_slot)
			intent.old_json = tpm_body_values(table, write->old_slot, write->columns);
		intent.new_json = tpm_body_values(table, write->slot, write->columns);
	}
	write->journal = tpm_journal_intend(&intent);
	tpm_sent_journal(write->sent, write->journal);
}

/* called each time just before its bytes may leave */
static void
about_to_leave(void *arg)
{
	TpmWrite   *write = arg;

	if (write->journal == 0)
		intend(write);
	tpm_cache_written(write->writer->resource);
}

static List *
headers_of(const TpmWrite *write, const char *etag)
{
	const char *name = write->writer->table->opt.request_id_header;
	List	   *headers = NIL;

	if (name && name[0])
		headers = lappend(headers, psprintf("%s: %s", name, write->request_id));
	if (etag)
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
		write->sent = tpm_sent_begin(writer->resource, write->method, write->shown_list, write->id,
									 row_for_people(write));
		writer->session->statement->writes++;
	}
	write->sendings++;
	write->call = tpm_call_start(writer->session, write->method, write->url, body,
								 headers_of(write, etag), TPM_CALL_WRITE);
	tpm_call_set_sending(write->call, about_to_leave, write, tpm_sent_departed(write->sent));
	MemoryContextSwitchTo(old);
}

static TpmJournalOutcome
write_outcome(TpmWriteEnd end)
{
	switch (end)
	{
		case TPM_WRITE_DONE:
			return TPM_JOURNAL_SENT;
		case TPM_WRITE_REFUSED:
			return TPM_JOURNAL_REFUSED;
		default:
			return TPM_JOURNAL_UNKNOWN;
	}
}

/* other sessions' looks wait for twice the slowest answer as well */
static void
tell_slowest(TpmWriter *writer)
{
	const TpmTable *table = writer->table;

	if (writer->session->slowest_us <= writer->slowest_us)
		return;
	writer->slowest_us = writer->session->slowest_us;
	tpm_table_stats_slowest(table->relid, table->options_hash, writer->slowest_us);
}

void
tpm_write_settle(TpmWrite *write, TpmWriteEnd end)
{
	tpm_session_show(write->writer->session, write->writer->session->statement->writes);
	tell_slowest(write->writer);
	tpm_cache_written(write->writer->resource);
	if (write->journal != 0)
		tpm_journal_outcome(write->journal, write_outcome(end), write->status, write->id, NULL);
	if (end == TPM_WRITE_DONE && write->old_slot == NULL && write->id)
		tpm_statement_creates(write->writer->session->statement, write->writer->resource,
							  tpm_id_hash(write->writer->table->type, write->id));
	if (end == TPM_WRITE_DONE)
		tpm_sent_written(write->sent, write->id);
	else if (end == TPM_WRITE_REFUSED)
		tpm_sent_refused(write->sent);
	else
		tpm_sent_doubted(write->sent);
}

void
tpm_write_doubt(TpmWrite *write)
{
	tpm_cache_written(write->writer->resource);
	tpm_sent_doubted(write->sent);
	if (write->journal != 0)
		tpm_journal_outcome(write->journal, TPM_JOURNAL_UNKNOWN, write->status, write->id, NULL);
}

void
tpm_write_show(TpmWrite *write)
{
	bool		adds = write->old_slot && write->writer->table->opt.update_body == TPM_BODY_FULL;

	ereport(NOTICE,
			(errmsg("dry run: %s would be sent", write->name),
			 errdetail("%s", write->body),
			 adds ? errhint("All other members are added as they are read just before.") : 0));
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
	const char *row = write->id ? write->shown : row_for_people(write);

	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("the outcome of %s is unknown", write->name),
			 errdetail("No answer came that tells it (%s), and the API may have acted. Row: %s.", problem, row),
			 write->key || write->id ? errhint("Look at the API whether it is there before sending it again.")
			 : errhint("Look at the API whether it is there before sending it again. A column with the option natural_key lets this be found out by itself.")));
	pg_unreachable();
}
