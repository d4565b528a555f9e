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

#include "client/transport.h"
#include "modify/modify.h"
#include "modify/write.h"

/* from the first look to the second, at least */
#define TPM_BETWEEN_LOOKS_US	INT64CONST(5000000)

/* for a row that a conflict has shown to be there */
#define TPM_LOOKS_FOR_ID	3

typedef enum InsertState
{
	INSERT_READY,				/* not sent yet */
	INSERT_SENT,
	INSERT_LOOKING,				/* no answer: waits for a look */
	INSERT_ARRIVED,				/* it is there, though lists do not show it
								 * yet */
	INSERT_DONE,
	INSERT_EXISTS,				/* the API has it already */
	INSERT_FAILED
} InsertState;

typedef struct Insert
{
	TpmWrite   *write;
	InsertState state;
	int64		look_at_us;
	bool		looked;			/* once, in vain */
	int			looks;			/* since it is known to have arrived */
	bool		resent;			/* a first sending may have arrived */
	char	   *doubt;			/* why there was no answer */
	ErrorData  *error;			/* INSERT_FAILED: raised while it was under
								 * way */
	TpmAnswer  *answer;			/* INSERT_FAILED, INSERT_EXISTS: what refused
								 * it */
	char	   *rival_id;		/* INSERT_EXISTS: another row of the
								 * transaction is there under this id; NULL:
								 * the API says so */
	struct InsertGroup *group;
} Insert;

/* rows that are written together */
typedef struct InsertGroup
{
	TpmWriter  *writer;
	Insert	   *inserts;
	int			n;
	int			oldest;			/* the first that may be under way */
	int			next;			/* the first that has not begun */
	bool		failed;
} InsertGroup;

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
start_insert(Insert *insert)
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
	const TpmWriter *writer = insert->write->writer;
	int64		slowest = writer->session->slowest_us;
	TpmTableStats learnt;

	if (tpm_table_stats_get(writer->table->relid, writer->table->options_hash, &learnt))
		slowest = Max(slowest, learnt.slowest_us);
	return tpm_monotonic_us() + Max(TPM_BETWEEN_LOOKS_US, 2 * slowest);
}

static List *
calls_beside(const Insert *insert)
{
	const InsertGroup *group = insert->group;
	List	   *calls = NIL;

	for (int i = group->oldest; i < group->next; i++)
		if (&group->inserts[i] != insert && group->inserts[i].state == INSERT_SENT)
			calls = lappend(calls, group->inserts[i].write->call);
	return calls;
}

/* those under way go on while this one is looked for */
static TpmLookup
look_beside_others(Insert *insert)
{
	volatile TpmLookup result = TPM_LOOKUP_FAILED;

	tpm_calls_set_beside(calls_beside(insert));
	PG_TRY();
	{
		result = tpm_write_lookup(insert->write, &insert->doubt);
	}
	PG_FINALLY();
	{
		tpm_calls_set_beside(NIL);
	}
	PG_END_TRY();
	return result;
}

/*
 * Is it there?  True: yes, or nobody can tell; the row is settled.  What is
 * there may be another row's, of the same key: then the API refuses this one,
 * should it ever arrive.
 */
static bool
look(Insert *insert)
{
	TpmWrite   *write = insert->write;

	switch (look_beside_others(insert))
	{
		case TPM_LOOKUP_FOUND:
			if (write->id && tpm_sent_created_by_another(write->sent, write->id))
			{
				insert->rival_id = write->id;
				write->id = NULL;
				settle(insert, INSERT_EXISTS, TPM_WRITE_REFUSED);
			}
			else
				settle(insert, INSERT_DONE, TPM_WRITE_DONE);
			return true;
		case TPM_LOOKUP_FAILED:
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
	tpm_write_doubt(write);
	tpm_call_end(write->call);
	if (write->key == NULL || !(write->writer->table->ops & TPM_OP_READ))
	{
		failed_unknown(insert);
		return;
	}
	insert->state = INSERT_LOOKING;
	insert->looked = false;
	insert->look_at_us = 0;
}

/* it is there; a few looks more may tell under which id */
static void
look_for_id(Insert *insert)
{
	if (look(insert))
		return;
	if (++insert->looks < TPM_LOOKS_FOR_ID)
	{
		insert->state = INSERT_ARRIVED;
		insert->look_at_us = second_look(insert);
	}
	else
		settle(insert, INSERT_DONE, TPM_WRITE_DONE);
}

/* a conflict of the second sending means that the first had arrived */
static void
conflict(Insert *insert, TpmAnswer *answer)
{
	insert->answer = answer;
	if (insert->resent)
		look_for_id(insert);
	else
		settle(insert, INSERT_EXISTS, TPM_WRITE_REFUSED);
}

static void
insert_answered(Insert *insert)
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

/* another row of the same key under way: which of them will be there cannot be told yet */
static bool
has_rival(const Insert *insert)
{
	const InsertGroup *group = insert->group;

	for (int i = group->oldest; i < group->next; i++)
	{
		const Insert *other = &group->inserts[i];

		if (other != insert && other->state == INSERT_SENT && other->write->key &&
			strcmp(other->write->key, insert->write->key) == 0)
			return true;
	}
	return false;
}

/* if the second look finds nothing either it is sent again */
static void
look_or_send_again(Insert *insert)
{
	TpmWrite   *write = insert->write;

	if (look(insert))
		return;
	if (!insert->looked)
	{
		insert->looked = true;
		insert->look_at_us = second_look(insert);
	}
	else if (write->sendings > write->writer->table->opt.max_retries)
		failed_unknown(insert);
	else
	{
		insert->resent = true;
		start_insert(insert);
	}
}

static bool
is_under_way(const Insert *insert)
{
	return insert->state == INSERT_SENT || insert->state == INSERT_LOOKING ||
		insert->state == INSERT_ARRIVED;
}

/* goes as far as possible; true if it has got on */
static bool
step(Insert *insert, int64 *wake_us)
{
	MemoryContext old = MemoryContextSwitchTo(insert->write->context);
	bool		moved = false;
	int64		wake = PG_INT64_MAX;

	if (insert->state != INSERT_SENT)
	{
		wake = has_rival(insert) ? PG_INT64_MAX : insert->look_at_us;
		moved = wake <= tpm_monotonic_us();
		if (moved && insert->state == INSERT_LOOKING)
			look_or_send_again(insert);
		else if (moved)
			look_for_id(insert);
	}
	else if (tpm_call_try(insert->write->call, &wake, &insert->error))
	{
		moved = true;
		if (insert->error == NULL)
			insert_answered(insert);
		else
			settle(insert, INSERT_FAILED, insert->resent ? TPM_WRITE_UNKNOWN : TPM_WRITE_REFUSED);
	}
	*wake_us = Min(*wake_us, wake);
	MemoryContextSwitchTo(old);
	return moved;
}

/* ----- all rows ----- */

static int
wait_reason(const InsertGroup *group)
{
	for (int i = group->oldest; i < group->next; i++)
		if (group->inserts[i].state == INSERT_SENT)
			return tpm_call_waiting_for(group->inserts[i].write->call);
	return TPM_WAIT_RETRY;
}

/* true if one of those under way has got on */
static bool
step_all(InsertGroup *group, int64 *wake_us)
{
	bool		moved = false;

	for (int i = group->oldest; i < group->next; i++)
	{
		Insert	   *insert = &group->inserts[i];

		if (is_under_way(insert))
			moved = step(insert, wake_us) || moved;
		if (insert->state == INSERT_FAILED ||
			(insert->state == INSERT_EXISTS && !group->writer->do_nothing))
			group->failed = true;
	}
	while (group->oldest < group->next && !is_under_way(&group->inserts[group->oldest]))
		group->oldest++;
	return moved;
}

static int
count_under_way(const InsertGroup *group)
{
	int			n = 0;

	for (int i = group->oldest; i < group->next; i++)
		n += is_under_way(&group->inserts[i]);
	return n;
}

/* up to fetch_concurrency under way; no new one after a failure */
static void
run(InsertGroup *group)
{
	TpmWriter  *writer = group->writer;

	for (;;)
	{
		int64		wake_us = PG_INT64_MAX;
		bool		moved;
		int			under_way;

		CHECK_FOR_INTERRUPTS();
		moved = step_all(group, &wake_us);
		under_way = count_under_way(group);
		for (; !group->failed && group->next < group->n && under_way < writer->table->opt.fetch_concurrency;
			 under_way++)
		{
			start_insert(&group->inserts[group->next++]);
			moved = true;
		}
		if (under_way == 0)
			return;
		if (!moved)
			tpm_calls_pause(writer->session, wait_reason(group), wake_us);
	}
}

static void
add_insert_context(void *arg)
{
	TpmWrite   *write = arg;

	errcontext("%s of foreign table %s", tpm_write_row_name(write), write->writer->table->name);
}

static void
raise_conflict(const Insert *insert)
{
	char	   *words = insert->rival_id
	? psprintf("This transaction created it before, with id \"%s\".", insert->rival_id)
	: tpm_answer_words(insert->answer);
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
	ErrorContextCallback context = {error_context_stack, add_insert_context, write};

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
raise_first(InsertGroup *group)
{
	for (int i = 0; i < group->next; i++)
		if (group->inserts[i].state == INSERT_FAILED ||
			(group->inserts[i].state == INSERT_EXISTS && !group->writer->do_nothing))
			raise_failure(&group->inserts[i]);
}

/* bodies of all rows, before anything is sent */
static InsertGroup *
prepare(TpmWriter *writer, TupleTableSlot **slots, int n)
{
	InsertGroup *group = palloc0(sizeof(InsertGroup));
	Bitmapset  *named = ExecGetInsertedCols(writer->rinfo, writer->estate);
	Bitmapset  *given = NULL;

	group->writer = writer;
	group->n = n;
	group->inserts = palloc_extended(sizeof(Insert) * Max(n, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < n; i++)
	{
		TpmWrite   *write = tpm_write_create(writer, "POST", slots[i], NULL);

		write->context = AllocSetContextCreate(writer->batch_context, "tpm_fdw write",
											   ALLOCSET_SMALL_SIZES);
		write->columns = tpm_body_inserted(writer->table, slots[i], named);
		for (int attnum = -1; (attnum = bms_next_member(write->columns, attnum)) >= 0;)
			if (!slots[i]->tts_isnull[attnum - 1])
				given = bms_add_member(given, attnum);
		group->inserts[i].write = write;
		group->inserts[i].group = group;
	}
	if (n > 0 && !tpm_dry_run)
		tpm_linkage_prepare(writer->session, group->inserts[0].write->list_path, given);
	for (int i = 0; i < n; i++)
		group->inserts[i].write->body = tpm_body_insert(writer->table, slots[i],
														group->inserts[i].write->columns);
	return group;
}

/* PostgreSQL tests a view's CHECK OPTION afterwards, which is too late here */
static void
check_insert_options(TpmWriter *writer, TupleTableSlot **slots, int n)
{
	if (writer->rinfo->ri_WithCheckOptions == NIL)
		return;
	for (int i = 0; i < n; i++)
	{
		slots[i]->tts_tableOid = writer->table->relid;
		ExecWithCheckOptions(WCO_VIEW_CHECK, writer->rinfo, slots[i], writer->estate);
	}
}

/* what the executor is given back */
static void
finish_inserts(InsertGroup *group, bool *inserted)
{
	for (int i = 0; i < group->n; i++)
	{
		inserted[i] = tpm_dry_run || group->inserts[i].state == INSERT_DONE;
		if (tpm_dry_run)
			tpm_write_show(group->inserts[i].write);
		else if (inserted[i])
			tpm_write_return(group->inserts[i].write);
	}
}

void
tpm_writer_insert(TpmWriter *writer, TupleTableSlot **slots, int n, bool *inserted)
{
	MemoryContext old;
	InsertGroup *group;

	check_insert_options(writer, slots, n);
	tpm_writer_admit(writer, n, 0, 1);
	MemoryContextReset(writer->batch_context);
	old = MemoryContextSwitchTo(writer->batch_context);
	group = prepare(writer, slots, n);
	if (!tpm_dry_run)
	{
		tpm_writer_drain(writer, 0);
		run(group);
		raise_first(group);
	}
	finish_inserts(group, inserted);
	MemoryContextSwitchTo(old);
}
