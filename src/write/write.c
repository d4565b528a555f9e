/*-------------------------------------------------------------------------
 *
 * write.c
 *		One write from its first sending to its outcome.
 *
 * Owns the way of a write through its states: sending, waiting, looking, end;
 * and who is told of it: journal, abort report, cache.  What an answer means
 * and what follows is write_state.c's, what a look shows look.c's; when a
 * sending that surely did nothing is tried again, client/call.c's.
 *
 * A write never waits itself, so that several can be under way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "base/text.h"
#include "client/transport.h"
#include "journal/journal.h"
#include "request/request.h"
#include "shared/cache/cache.h"
#include "shared/counters.h"
#include "shared/write_claims.h"
#include "write/write_internal.h"

int			tpm_settle = 5000;

/* bytes of a body that a message repeats */
#define MAX_SHOWN_BODY 1000

/* ----- one statement's writes to one table ----- */

/* what tells one row from others: a set of columns that is never "all", which is NULL */
static Bitmapset *
columns_of_identity(const TpmTable *table)
{
	Bitmapset  *columns = bms_make_singleton(0);

	if (table->id_attnum != 0)
		columns = bms_add_member(columns, table->id_attnum);
	for (int i = 0; i < table->natts; i++)
		if (table->columns[i].kind != TPM_COL_NONE && table->columns[i].natural_key)
			columns = bms_add_member(columns, table->columns[i].attnum);
	return columns;
}

/*
 * Whose resource an answer shows can be read even if something else in it has
 * no place in this database's encoding.
 */
static TpmDecoder *
decoder_of_identity(TpmTable *table, TupleDesc tupdesc)
{
	TpmTable   *tolerant = palloc(sizeof(TpmTable));

	*tolerant = *table;
	tolerant->opt.invalid_characters = TPM_INVALID_REPLACE;
	return tpm_decoder_create(tolerant, tupdesc, columns_of_identity(table));
}

TpmWriter *
tpm_writer_create(TpmTable *table, TupleDesc tupdesc, Oid userid, TpmStatement *statement)
{
	TpmWriter  *writer = palloc0(sizeof(TpmWriter));

	writer->table = table;
	writer->session = tpm_session_create(table->server, table, userid, statement);
	writer->tupdesc = tupdesc;
	writer->resource = table->address;
	writer->all = tpm_decoder_create(table, tupdesc, NULL);
	writer->brief = decoder_of_identity(table, tupdesc);
	return writer;
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

static const char *
method_text(TpmWriteMethod method)
{
	return method == TPM_METHOD_POST ? "POST" : method == TPM_METHOD_PUT ? "PUT" : "PATCH";
}

TpmWrite *
tpm_write_create(TpmWriter *writer, TpmWriteMethod method, TupleTableSlot *slot, char *id)
{
	TpmWrite   *write = palloc0(sizeof(TpmWrite));
	const TpmTable *table = writer->table;
	char	  **values = tpm_body_placeholders(table, slot);
	char	   *path;

	write->writer = writer;
	write->context = CurrentMemoryContext;
	write->slot = slot;
	write->method = method_text(method);
	write->id = id;
	write->list_path = path = tpm_request_path(table, values, false);
	write->shown = write->shown_list = tpm_request_path(table, values, true);
	if (id && path)
	{
		path = tpm_request_id_path(path, id, false);
		write->shown = tpm_request_id_path(write->shown, id, true);
	}
	if (path == NULL)
		tpm_raise_no_path(table, values, id);
	write->url = psprintf("%s%s", table->opt.base_url, path);
	write->name = tpm_call_name(write->method, write->url);
	write->key = tpm_body_natural_key(table, slot);
	write->request_id = new_uuid();
	write->history.method = method;
	write->history.most_sendings = table->opt.max_retries + 1;
	return write;
}

char *
tpm_write_row_name(const TpmWrite *write)
{
	if (write->id)
		return psprintf("row with id \"%s\"", write->id);
	if (write->key)
		return psprintf("row " INT64_FORMAT " (%s)", write->row, write->key);
	return psprintf("row " INT64_FORMAT, write->row);
}

/* what tells a row apart that has no id yet */
static char *
row_for_people(const TpmWrite *write)
{
	if (write->key)
		return write->key;
	return pnstrdup(write->body, pg_mbcliplen(write->body, strlen(write->body), MAX_SHOWN_BODY));
}

/* ----- journal ----- */

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

/* NULL: the intent is on disk; else nothing may be sent */
static TpmProblem *
intend(TpmWrite *write)
{
	const TpmTable *table = write->writer->table;
	TpmProblem *problem = NULL;
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
	write->journal = tpm_journal_intend(&intent, &problem);
	if (problem == NULL)
		tpm_sent_journal(write->sent, write->journal);
	return problem;
}

static void
record_outcome(const TpmWrite *write, TpmJournalOutcome outcome)
{
	TpmJournalResult result = {
		.outcome = outcome,
		.status = write->status,
		.id = write->id,
		.sendings = write->departure->times,
		.evidence = tpm_evidence_text(write->evidence),
	};

	if (write->journal != 0)
		tpm_journal_outcome(write->journal, &result);
}

/* ----- sending ----- */

uint64
tpm_write_address(const TpmWrite *write)
{
	return hash_bytes_extended((const unsigned char *) write->url, strlen(write->url), 0);
}

/*
 * What arrives late may erase a change made meanwhile, or, with an ETag, be
 * refused for it, which nobody is told.
 */
static bool
may_erase_others(const TpmWrite *write)
{
	return write->history.method != TPM_METHOD_POST;
}

/* until then, from its sending on, a write that nobody has answered may arrive */
static int64
time_to_settle(const TpmWrite *write)
{
	const TpmWriter *writer = write->writer;
	int64		slowest = writer->session->slowest_us;
	TpmTableStats learnt;

	if (tpm_table_stats_get(writer->table->relid, writer->table->options_hash, &learnt))
		slowest = Max(slowest, learnt.slowest_us);
	return Max(tpm_settle * INT64CONST(1000), 2 * slowest);
}

/* what the answer so far is, without its body */
static TpmWriteFacts
facts_of_status(const TpmWrite *write, const TpmAnswer *answer)
{
	const TpmOptions *opt = &write->writer->table->opt;
	TpmWriteFacts facts = {
		.event = TPM_EVENT_ANSWERED,
		.method = write->history.method,
		.status = answer->status,
		.has_location = answer->location != NULL,
		.has_client_id = write->has_client_id,
		.is_conditional = write->etag != NULL,
		.is_conflict = tpm_answer_is_conflict(answer, opt->conflict_codes),
		.is_unacted = list_member_int(opt->unacted_statuses, answer->status),
	};

	return facts;
}

/*
 * The client's question before it tries again: has this answer surely changed
 * nothing?  How often it may is the client's to count: max_wait, not
 * max_retries, bounds what waits for everybody's pause to end.
 */
static bool
may_be_repeated(void *arg, const TpmAnswer *answer, bool repeated)
{
	const TpmWrite *write = arg;
	TpmWriteFacts facts = facts_of_status(write, answer);

	facts.was_repeated = repeated;
	return tpm_write_classify(&facts).class == TPM_CLASS_NOT_ACTED;
}

/* each time just before its bytes may leave; not NULL: they must not */
static TpmProblem *
about_to_leave(void *arg)
{
	TpmWrite   *write = arg;
	TpmProblem *problem = write->journal == 0 ? intend(write) : NULL;

	if (problem == NULL)
		tpm_cache_written(write->writer->resource);
	return problem;
}

static List *
headers_of(const TpmWrite *write)
{
	const char *name = write->writer->table->opt.request_id_header;
	List	   *headers = NIL;

	if (name && name[0])
		headers = lappend(headers, psprintf("%s: %s", name, write->request_id));
	if (write->etag)
		headers = lappend(headers, psprintf("If-Match: %s", write->etag));
	return headers;
}

static void
send_write(TpmWrite *write)
{
	static const TpmWriteHooks hooks = {about_to_leave, may_be_repeated};
	char	   *body = pg_server_to_any(write->body, strlen(write->body), PG_UTF8);

	if (write->call)
		tpm_call_end(write->call);
	write->history.sendings++;
	write->history.looks = 0;
	write->history.is_conflict = false;
	write->state = TPM_WRITE_SENT;
	write->call = tpm_call_start(write->writer->session, write->method, write->url, body,
								 headers_of(write), TPM_CALL_WRITE);
	tpm_call_set_write(write->call, &hooks, write, write->departure);
	tpm_sent_may_erase(write->sent, may_erase_others(write) ? tpm_write_address(write) : 0, time_to_settle(write));
}

/* from now on an abort knows of it */
static void
announce_write(TpmWrite *write)
{
	write->sent = tpm_sent_begin(write->writer->resource, write->method, write->shown_list, write->id,
								 row_for_people(write));
	write->departure = tpm_sent_departure(write->sent);
}

void
tpm_write_begin(TpmWrite *write)
{
	MemoryContext old = MemoryContextSwitchTo(write->context);

	announce_write(write);
	write->writer->session->statement->writes++;
	write->history.has_key = tpm_write_has_key(write);
	write->clock = write->writer->session->clock;
	send_write(write);
	MemoryContextSwitchTo(old);
}

/* ----- its end ----- */

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

static void
end_done(TpmWrite *write)
{
	if (write->history.method == TPM_METHOD_POST && write->id)
		tpm_statement_creates(write->writer->session->statement, write->writer->resource,
							  tpm_id_hash(write->writer->table->type, write->id));
	record_outcome(write, TPM_JOURNAL_SENT);
	tpm_sent_written(write->sent, write->id);
	/* the only sending that may have acted has */
	if (write->unsettled_until_us != 0 && write->history.sendings == 1)
		tpm_write_claim_settle(tpm_write_address(write), write->unsettled_until_us);
	/* the answer of one that failed is still to be told */
	tpm_call_end(write->call);
}

static void
end_refused(TpmWrite *write)
{
	if (write->evidence == TPM_EVIDENCE_NONE)
		write->evidence = write->departure->times > 0 ? TPM_EVIDENCE_ANSWER : TPM_EVIDENCE_NOT_SENT;
	record_outcome(write, TPM_JOURNAL_REFUSED);
	tpm_sent_refused(write->sent);
}

static void
end_write(TpmWrite *write, TpmWriteStep end)
{
	write->state = TPM_WRITE_ENDED;
	write->end = end;
	tpm_session_show(write->writer->session, write->writer->session->statement->writes);
	tell_slowest(write->writer);
	tpm_cache_written(write->writer->resource);
	if (end == TPM_STEP_DONE)
		end_done(write);
	else if (end == TPM_STEP_UNKNOWN)
	{
		record_outcome(write, TPM_JOURNAL_UNKNOWN);
		tpm_sent_doubted(write->sent);
	}
	else
		end_refused(write);
}

void
tpm_write_exists(TpmWrite *write, char *id)
{
	MemoryContext old = MemoryContextSwitchTo(write->context);

	announce_write(write);
	write->failure = intend(write);
	write->is_found = true;
	write->found_id = id;
	write->evidence = TPM_EVIDENCE_CREATED_BEFORE;
	end_write(write, write->failure ? TPM_STEP_REFUSED : TPM_STEP_EXISTS);
	MemoryContextSwitchTo(old);
}

/* ----- what follows ----- */

static void
wait_for_look(TpmWrite *write, int64 at_us)
{
	write->state = TPM_WRITE_WAITING;
	write->look_at_us = at_us;
}

/*
 * A gateway that asks for time gets it, where that is not longer than a
 * statement waits for an answer; then a look would tell as little as later.
 */
static int64
pause_asked_for(const TpmWrite *write)
{
	const TpmAnswer *answer = tpm_call_answer(write->call);
	int64		seconds = answer->retry_after
	? tpm_retry_after_seconds(answer->retry_after, (pg_time_t) time(NULL)) : 0;
	int64		pause = Max(seconds, 0) * INT64CONST(1000000);

	return tpm_retry_fits(tpm_monotonic_us(), pause, &write->writer->table->opt) ? pause : 0;
}

/* from what was read back last: nobody has changed what the statement saw */
static void
build_body_again(TpmWrite *write)
{
	const TpmTable *table = write->writer->table;

	if (write->history.method != TPM_METHOD_POST)
		write->body = tpm_body_update(table, write->slot, write->columns, write->id, write->base,
									  table->opt.update_body == TPM_BODY_FULL);
}

static void
follow_step(TpmWrite *write, TpmWriteStep step)
{
	switch (step)
	{
		case TPM_STEP_AGAIN:
			build_body_again(write);
			send_write(write);
			break;
		case TPM_STEP_LOOK:
			wait_for_look(write, tpm_monotonic_us() + pause_asked_for(write));
			break;
		case TPM_STEP_LOOK_LATER:
			write->history.looks++;
			wait_for_look(write, Max(write->departure->at_us + time_to_settle(write),
									 tpm_monotonic_us() + tpm_settle * INT64CONST(1000)));
			break;
		default:
			end_write(write, step);
	}
}

/* no answer that tells it: from now on it is unknown until something makes it certain */
static void
doubt(TpmWrite *write, const char *problem)
{
	write->problem = pstrdup(problem);
	write->history.is_doubted = true;
	tpm_cache_written(write->writer->resource);
	tpm_sent_doubted(write->sent);
	record_outcome(write, TPM_JOURNAL_UNKNOWN);
	if (!may_erase_others(write))
		return;
	write->unsettled_until_us = write->departure->at_us + time_to_settle(write);
	tpm_write_claim_unsettle(tpm_write_address(write), write->unsettled_until_us);
}

static TpmWriteEvidence
evidence_of_answer(TpmWriteVerdict verdict)
{
	if (verdict.class == TPM_CLASS_ACTED)
		return verdict.row == 14 ? TPM_EVIDENCE_ACCEPTED : TPM_EVIDENCE_ANSWER;
	return verdict.row == 26 ? TPM_EVIDENCE_CONFLICT : TPM_EVIDENCE_NONE;
}

static TpmWriteEvent
event_of(const TpmAnswer *answer)
{
	switch (answer->outcome)
	{
		case TPM_OUTCOME_ANSWERED:
			return TPM_EVENT_ANSWERED;
		case TPM_OUTCOME_CONNECTION_DIED:
			return TPM_EVENT_REPEATED;
		case TPM_OUTCOME_TOO_LARGE:
		case TPM_OUTCOME_NO_MEMORY:
			return TPM_EVENT_UNREADABLE;
		default:
			return TPM_EVENT_LOST;
	}
}

static TpmWriteVerdict
judge_answer_to_write(TpmWrite *write, const TpmAnswer *answer)
{
	TpmWriteFacts facts = facts_of_status(write, answer);

	facts.event = event_of(answer);
	/* the client has repeated it as often as it may */
	facts.was_repeated = true;
	if (facts.event == TPM_EVENT_ANSWERED && answer->status >= 200 && answer->status <= 299)
		facts.shape = tpm_write_read_answer(write, answer);
	return tpm_write_classify(&facts);
}

/* the client gave up, and nothing has left the last time */
static void
take_failure(TpmWrite *write, const TpmProblem *failure)
{
	TpmWriteVerdict verdict = {1, TPM_CLASS_NOT_ACTED};

	write->failure = failure;
	follow_step(write, tpm_write_next(&write->history, verdict));
}

static const char *
why_in_doubt(const TpmWrite *write, const TpmAnswer *answer)
{
	if (answer->problem)
		return answer->problem;
	if (answer->status < 200 || answer->status > 299)
		return psprintf("status %d", answer->status);
	return write->problem ? write->problem
		: psprintf("the answer of status %d does not show the resource", answer->status);
}

static void
take_answer(TpmWrite *write, const TpmAnswer *answer)
{
	TpmWriteHistory history = write->history;
	const char *problem = write->problem;
	TpmWriteVerdict verdict;
	TpmWriteStep step;

	write->answer = answer;
	write->status = answer->status;
	write->problem = NULL;
	verdict = judge_answer_to_write(write, answer);
	if (verdict.class == TPM_CLASS_NOT_ACTED)
		history.sendings = history.most_sendings;
	if (verdict.class == TPM_CLASS_DOUBT)
		doubt(write, why_in_doubt(write, answer));
	else
		write->problem = problem;
	step = tpm_write_next(&history, verdict);
	write->history.is_conflict = verdict.row == 26;
	if (!write->history.is_doubted || verdict.class == TPM_CLASS_ACTED)
		write->evidence = evidence_of_answer(verdict);
	follow_step(write, step);
}

static void
begin_look(TpmWrite *write)
{
	/* the words of a conflict are still to be told */
	if (!write->history.is_conflict)
		tpm_call_end(write->call);
	write->state = TPM_WRITE_LOOKING;
	write->is_whole = false;
	write->call = tpm_call_start(write->writer->session, "GET", tpm_look_url(write), NULL, NIL,
								 TPM_CALL_PART | TPM_CALL_ANY);
}

static void
take_look(TpmWrite *write, const TpmProblem *failure)
{
	TpmLookResult look = TPM_LOOK_FAILED;

	if (failure)
		write->problem = psprintf("%s; looking for it: %s", write->problem ? write->problem : "conflict",
								  failure->message);
	else
		look = tpm_look_read(write, tpm_call_answer(write->call));
	follow_step(write, tpm_write_next_look(&write->history, look));
}

bool
tpm_write_step(TpmWrite *write, int64 *wake_us)
{
	MemoryContext old = MemoryContextSwitchTo(write->context);
	bool		moved = true;

	if (write->state == TPM_WRITE_WAITING)
	{
		moved = write->look_at_us <= tpm_monotonic_us();
		if (moved)
			begin_look(write);
		else
			*wake_us = Min(*wake_us, write->look_at_us);
	}
	else
	{
		int64		wake = PG_INT64_MAX;

		moved = tpm_call_try(write->call, &wake);
		*wake_us = Min(*wake_us, wake);
		if (moved)
		{
			const TpmProblem *failure = tpm_call_problem(write->call);

			if (write->state == TPM_WRITE_LOOKING)
				take_look(write, failure);
			else if (failure)
				take_failure(write, failure);
			else
				take_answer(write, tpm_call_answer(write->call));
		}
	}
	MemoryContextSwitchTo(old);
	return moved;
}

void
tpm_write_forget(TpmWrite *write)
{
	Assert(write->state == TPM_WRITE_ENDED);
	write->call = NULL;
	write->answer = NULL;
	write->misfit = NULL;
	write->tuple = NULL;
	write->is_whole = false;
	write->untold = NIL;
	write->differing = NIL;
	write->problem = NULL;
	write->id = write->found_id = write->promised_id = NULL;
	MemoryContextReset(write->context);
}

int
tpm_write_waiting_for(const TpmWrite *write)
{
	return write->state == TPM_WRITE_WAITING ? TPM_WAIT_SETTLE : tpm_call_waiting_for(write->call);
}

void
tpm_write_wait_for_others(const TpmWrite *write)
{
	uint64		resource = tpm_write_address(write);
	int64		until_us;

	while ((until_us = tpm_write_claim_unsettled_until(resource)) > tpm_monotonic_us())
		tpm_calls_pause(write->writer->session, TPM_WAIT_SETTLE, until_us);
}
