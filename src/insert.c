/*-------------------------------------------------------------------------
 *
 * insert.c
 *		Rows created, several side by side, each exactly once.
 *
 * Owns what follows from the answer to a POST, or from none: a POST is sent
 * again only if the API cannot have acted on it, or after two looks by the
 * natural key found nothing.  A row that fails does not stop those beside it:
 * they are seen to their end before the error is raised, so that it can say
 * what was written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "linkage.h"
#include "scan.h"
#include "tpm_fdw.h"
#include "transport.h"
#include "write.h"

/* from the first look to the second, at least */
#define TPM_BETWEEN_LOOKS_US	INT64CONST(5000000)

typedef enum InsertState
{
	INSERT_READY,				/* not sent yet */
	INSERT_SENT,
	INSERT_LOOKING,				/* the first look found nothing; waits for the
								 * second */
	INSERT_DONE,
	INSERT_EXISTS,				/* the API has it already */
	INSERT_FAILED
} InsertState;

typedef struct Insert
{
	TpmWrite   *write;
	InsertState state;
	int64		look_at_us;
	bool		resent;			/* a first sending may have arrived */
	char	   *doubt;			/* why there was no answer */
	ErrorData  *error;			/* INSERT_FAILED: raised while it was under way */
	TpmAnswer  *answer;			/* INSERT_FAILED, INSERT_EXISTS: what refused it */
} Insert;

/* ----- one row ----- */

static void
settle(Insert *insert, InsertState state, TpmWriteEnd end)
{
	insert->state = state;
	tpm_write_settle(insert->write, end);
	/* the answer of a row that failed is still to be told */
	if (state == INSERT_DONE)
		tpm_call_end(insert->write->call);
}

static void
start(Insert *insert)
{
	insert->state = INSERT_SENT;
	tpm_write_send(insert->write, NULL);
}

static void
failed_unknown(Insert *insert)
{
	settle(insert, INSERT_FAILED, TPM_WRITE_UNKNOWN);
}

/* a second look is worth waiting for what the slowest answer took, twice */
static int64
second_look(const Insert *insert)
{
	int64		slowest = insert->write->writer->session->slowest_us;

	return tpm_monotonic_us() + Max(TPM_BETWEEN_LOOKS_US, 2 * slowest);
}

/* is it there?  True: yes, or nobody can tell; the row is settled */
static bool
look(Insert *insert)
{
	switch (tpm_write_look(insert->write, &insert->doubt))
	{
		case TPM_LOOK_FOUND:
			settle(insert, INSERT_DONE, TPM_WRITE_DONE);
			return true;
		case TPM_LOOK_FAILED:
			failed_unknown(insert);
			return true;
		default:
			return false;
	}
}

/* no answer: it may have been created */
static void
doubt(Insert *insert, const char *problem)
{
	TpmWrite   *write = insert->write;

	insert->doubt = MemoryContextStrdup(write->context, problem);
	tpm_sent_doubted(write->sent);
	tpm_call_end(write->call);
	if (write->key == NULL || !(write->writer->table->ops & TPM_OP_READ))
	{
		failed_unknown(insert);
		return;
	}
	if (look(insert))
		return;
	insert->state = INSERT_LOOKING;
	insert->look_at_us = second_look(insert);
}

/* a conflict of the second sending means that the first had arrived */
static void
conflict(Insert *insert, TpmAnswer *answer)
{
	insert->answer = answer;
	if (!insert->resent)
	{
		settle(insert, INSERT_EXISTS, TPM_WRITE_REFUSED);
		return;
	}
	if (!look(insert))
		failed_unknown(insert);
}

static void
answered(Insert *insert)
{
	TpmWrite   *write = insert->write;
	TpmAnswer  *answer = tpm_call_answer(write->call);

	write->status = answer->status;
	if (answer->doubtful)
		doubt(insert, answer->problem);
	else if (answer->status >= 200 && answer->status <= 299)
	{
		if (tpm_write_read_answer(write, answer))
			settle(insert, INSERT_DONE, TPM_WRITE_DONE);
		else
			doubt(insert, "the answer is not a JSON:API document");
	}
	else if (tpm_answer_is_conflict(answer, write->writer->table->opt.conflict_codes))
		conflict(insert, answer);
	else
	{
		insert->answer = answer;
		/* what refuses a repeat says nothing about the first sending */
		settle(insert, INSERT_FAILED, insert->resent ? TPM_WRITE_UNKNOWN : TPM_WRITE_REFUSED);
	}
}

/* the second look found nothing either: it is sent again */
static void
look_again(Insert *insert)
{
	TpmWrite   *write = insert->write;

	if (look(insert))
		return;
	if (write->sendings > write->writer->table->opt.max_retries)
		failed_unknown(insert);
	else
	{
		insert->resent = true;
		start(insert);
	}
}

static bool
is_under_way(const Insert *insert)
{
	return insert->state == INSERT_SENT || insert->state == INSERT_LOOKING;
}

/* goes as far as possible; true if it has got on */
static bool
step(Insert *insert, int64 *wake_us)
{
	MemoryContext old = MemoryContextSwitchTo(insert->write->context);
	bool		moved = false;
	int64		wake = PG_INT64_MAX;

	if (insert->state == INSERT_LOOKING)
	{
		wake = insert->look_at_us;
		moved = wake <= tpm_monotonic_us();
		if (moved)
			look_again(insert);
	}
	else if (tpm_call_try(insert->write->call, &wake, &insert->error))
	{
		moved = true;
		if (insert->error == NULL)
			answered(insert);
		else
			settle(insert, INSERT_FAILED, insert->resent ? TPM_WRITE_UNKNOWN : TPM_WRITE_REFUSED);
	}
	*wake_us = Min(*wake_us, wake);
	MemoryContextSwitchTo(old);
	return moved;
}

/* ----- all rows ----- */

static void
show_progress(TpmWriter *writer, int n)
{
	TpmStatement *statement = writer->session->statement;

	tpm_progress_update(writer->session->progress, writer->session->requests,
						Max(statement->expected, statement->writes), statement->writes, 0);
}

static int
wait_reason(const Insert *inserts, int n)
{
	for (int i = 0; i < n; i++)
		if (inserts[i].state == INSERT_SENT)
			return tpm_call_waiting_for(inserts[i].write->call);
	return TPM_WAIT_RETRY;
}

/* up to fetch_concurrency under way; no new one after a failure */
static void
run(TpmWriter *writer, Insert *inserts, int n)
{
	int			next = 0;
	int			oldest = 0;
	bool		failed = false;

	for (;;)
	{
		int64		wake_us = PG_INT64_MAX;
		int			under_way = 0;
		bool		moved = false;

		CHECK_FOR_INTERRUPTS();
		for (int i = oldest; i < next; i++)
		{
			if (is_under_way(&inserts[i]))
				moved = step(&inserts[i], &wake_us) || moved;
			under_way += is_under_way(&inserts[i]);
			failed = failed || inserts[i].state == INSERT_FAILED ||
				(inserts[i].state == INSERT_EXISTS && !writer->do_nothing);
		}
		while (oldest < next && !is_under_way(&inserts[oldest]))
			oldest++;
		while (!failed && next < n && under_way < writer->table->opt.fetch_concurrency)
		{
			start(&inserts[next++]);
			under_way++;
			moved = true;
		}
		if (under_way == 0)
			return;
		if (moved)
			show_progress(writer, n);
		else
			tpm_calls_pause(writer->session, wait_reason(inserts, next), wake_us);
	}
}

static void
add_context(void *arg)
{
	TpmWrite   *write = arg;

	errcontext("%s of foreign table %s", tpm_write_row_name(write), write->writer->table->name);
}

static void
raise_conflict(const Insert *insert)
{
	char	   *words = tpm_answer_words(insert->answer);
	char	   *beside = tpm_writer_beside(insert->write->writer);

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("%s was refused: the API has the row already", insert->write->name),
			 words && beside ? errdetail("%s\nSent before or beside it: %s.", words, beside)
			 : words ? errdetail("%s", words)
			 : beside ? errdetail("Sent before or beside it: %s.", beside) : 0,
			 errhint("INSERT ... ON CONFLICT DO NOTHING leaves out rows that exist.")));
}

/* an error that was raised in the client, with what was sent beside it */
static void
raise_again(const Insert *insert)
{
	char	   *beside = tpm_writer_beside(insert->write->writer);

	if (beside)
		insert->error->detail = insert->error->detail
			? psprintf("%s\nSent before or beside it: %s.", insert->error->detail, beside)
			: psprintf("Sent before or beside it: %s.", beside);
	ThrowErrorData(insert->error);
}

static void
raise_failure(Insert *insert)
{
	TpmWrite   *write = insert->write;
	ErrorContextCallback context = {error_context_stack, add_context, write};

	error_context_stack = &context;
	if (insert->state == INSERT_EXISTS)
		raise_conflict(insert);
	if (insert->doubt)
		tpm_raise_unknown(write, insert->doubt);
	if (insert->error)
		raise_again(insert);
	tpm_raise_refused(write->writer->session, write->name, insert->answer,
					  tpm_writer_beside(write->writer));
}

/* the first row that failed is the one that is named */
static void
raise_first(TpmWriter *writer, Insert *inserts, int n)
{
	for (int i = 0; i < n; i++)
		if (inserts[i].state == INSERT_FAILED ||
			(inserts[i].state == INSERT_EXISTS && !writer->do_nothing))
			raise_failure(&inserts[i]);
}

/* bodies of all rows, before anything is sent */
static void
prepare(TpmWriter *writer, Insert *inserts, TupleTableSlot **slots, int n)
{
	Bitmapset  *named = ExecGetInsertedCols(writer->rinfo, writer->estate);
	Bitmapset  *all = NULL;

	for (int i = 0; i < n; i++)
	{
		TpmWrite   *write = tpm_write_create(writer, "POST", slots[i], NULL);

		write->context = AllocSetContextCreate(writer->batch_context, "tpm_fdw write",
											   ALLOCSET_SMALL_SIZES);
		write->columns = tpm_body_inserted(writer->table, slots[i], named);
		for (int attnum = -1; (attnum = bms_next_member(write->columns, attnum)) >= 0;)
			if (!slots[i]->tts_isnull[attnum - 1])
				all = bms_add_member(all, attnum);
		inserts[i].write = write;
	}
	if (n > 0)
		tpm_linkage_prepare(writer->session, inserts[0].write->list_path, all);
	for (int i = 0; i < n; i++)
		inserts[i].write->body = tpm_body_insert(writer->table, slots[i], inserts[i].write->columns);
}

/* PostgreSQL tests a view's CHECK OPTION afterwards, which is too late here */
static void
check_options(TpmWriter *writer, TupleTableSlot **slots, int n)
{
	if (writer->rinfo->ri_WithCheckOptions == NIL)
		return;
	for (int i = 0; i < n; i++)
	{
		slots[i]->tts_tableOid = writer->table->relid;
		ExecWithCheckOptions(WCO_VIEW_CHECK, writer->rinfo, slots[i], writer->estate);
	}
}

void
tpm_writer_insert(TpmWriter *writer, TupleTableSlot **slots, int n, bool *inserted)
{
	MemoryContext old;
	Insert	   *inserts;

	check_options(writer, slots, n);
	tpm_writer_admit(writer, n, 0, 1);
	MemoryContextReset(writer->batch_context);
	old = MemoryContextSwitchTo(writer->batch_context);
	inserts = palloc0(sizeof(Insert) * Max(n, 1));
	prepare(writer, inserts, slots, n);
	if (tpm_dry_run)
	{
		for (int i = 0; i < n; i++)
		{
			tpm_write_show(inserts[i].write);
			inserted[i] = true;
		}
		MemoryContextSwitchTo(old);
		return;
	}
	(void) tpm_scans_drain(writer->estate, writer->resource, 0);
	run(writer, inserts, n);
	raise_first(writer, inserts, n);
	for (int i = 0; i < n; i++)
	{
		inserted[i] = inserts[i].state == INSERT_DONE;
		if (inserted[i])
			tpm_write_return(inserts[i].write);
	}
	MemoryContextSwitchTo(old);
}
