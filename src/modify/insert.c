/*-------------------------------------------------------------------------
 *
 * insert.c
 *		Rows created, several side by side, each exactly once.
 *
 * Owns which rows are under way together, the look for those that are there
 * already before any is sent, and which failure the statement raises.  What
 * becomes of one row is the write room's.  A row that fails does not stop those
 * beside it: they are seen to their end before the error is raised, so that it
 * can say what was written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "modify/modify_internal.h"

/* a look for what is there already costs at most a tenth of these */
#define ROWS_WORTH_A_LOOK	10

/* rows that are written together */
typedef struct InsertGroup
{
	TpmModify  *modify;
	TpmWrite  **writes;
	int			n;
	int			oldest;			/* the first that may be under way */
	int			next;			/* the first that has not begun */
	int			looked;			/* the first that no look has asked for */
	TpmLookBefore *look;		/* under way, for those from there on */
	const TpmProblem *problem;	/* of a look */
	bool		failed;
} InsertGroup;

static bool
is_under_way(const TpmWrite *write)
{
	return write->state != TPM_WRITE_READY && write->state != TPM_WRITE_ENDED;
}

/* does its end fail the statement? */
static bool
has_failed(const InsertGroup *group, const TpmWrite *write)
{
	if (write->state != TPM_WRITE_ENDED || write->end == TPM_STEP_DONE)
		return false;

	/*
	 * what only the API says exists was not seen to: that is no row to leave
	 * out
	 */
	return write->end != TPM_STEP_EXISTS || !group->modify->do_nothing || !write->is_found;
}

/* another row of the same key under way: which of them will be there cannot be told yet */
static bool
has_rival(const InsertGroup *group, const TpmWrite *write)
{
	for (int i = group->oldest; i < group->next; i++)
	{
		const TpmWrite *other = group->writes[i];

		if (other != write && other->state == TPM_WRITE_SENT && other->key && write->key &&
			strcmp(other->key, write->key) == 0)
			return true;
	}
	return false;
}

/*
 * A group may be as large as the cap, and the answers of all its rows larger
 * than memory.  Nobody asks for more than its end where no row is given back.
 */
static void
forget_answers(const InsertGroup *group, TpmWrite *write)
{
	if (write->state != TPM_WRITE_ENDED || has_failed(group, write) ||
		(write->end == TPM_STEP_DONE && write->writer->wants_row))
		return;
	tpm_write_forget(write);
}

/* true if one of those under way has got on */
static bool
step_all(InsertGroup *group, int64 *wake_us)
{
	bool		moved = false;

	for (int i = group->oldest; i < group->next; i++)
	{
		TpmWrite   *write = group->writes[i];

		if (is_under_way(write) && !(write->state == TPM_WRITE_WAITING && has_rival(group, write)))
		{
			moved = tpm_write_step(write, wake_us) || moved;
			if (write->state == TPM_WRITE_ENDED)
				tpm_modify_keep(write);
			forget_answers(group, write);
		}
		group->failed = group->failed || has_failed(group, write);
	}
	while (group->oldest < group->next && !is_under_way(group->writes[group->oldest]))
		group->oldest++;
	return moved;
}

static int
count_under_way(const InsertGroup *group)
{
	int			n = 0;

	for (int i = group->oldest; i < group->next; i++)
		n += is_under_way(group->writes[i]);
	return n;
}

/* one request for many rows pays; for one row only where the table's owner asks for it */
static bool
looks_before(const InsertGroup *group)
{
	return group->n >= ROWS_WORTH_A_LOOK || group->modify->writer->table->looks_before_insert;
}

/* the next look is under way before the rows of the last have all begun; true if it has got on */
static bool
step_look(InsertGroup *group, int64 *wake_us)
{
	int			lanes = group->modify->writer->table->opt.fetch_concurrency;

	if (!looks_before(group))
		group->looked = group->n;
	if (group->look == NULL && !group->failed && group->looked < group->n &&
		group->looked - group->next <= lanes)
		group->look = tpm_look_before(&group->writes[group->looked], group->n - group->looked);
	if (group->look == NULL || !tpm_look_before_step(group->look, wake_us))
		return false;
	group->problem = group->look->problem;
	group->failed = group->failed || group->problem;
	group->looked += group->look->n;
	group->look = NULL;
	return true;
}

/* the next row begins, unless a look has shown that it is there */
static void
begin_next(InsertGroup *group)
{
	TpmWrite   *write = group->writes[group->next++];

	if (write->state == TPM_WRITE_READY)
		tpm_write_begin(write);
	group->failed = group->failed || has_failed(group, write);
}

static int
wait_reason(const InsertGroup *group)
{
	const TpmWrite *waiting = NULL;

	for (int i = group->oldest; i < group->next; i++)
		if (is_under_way(group->writes[i]) && (waiting == NULL || waiting->state == TPM_WRITE_WAITING))
			waiting = group->writes[i];
	return waiting ? tpm_write_waiting_for(waiting) : tpm_call_waiting_for(group->look->call);
}

/* up to fetch_concurrency under way; no new one after a failure */
static void
run_group(InsertGroup *group)
{
	const TpmWriter *writer = group->modify->writer;

	for (;;)
	{
		int64		wake_us = PG_INT64_MAX;
		bool		moved;

		CHECK_FOR_INTERRUPTS();
		moved = step_all(group, &wake_us);
		moved = step_look(group, &wake_us) || moved;
		while (!group->failed && group->next < group->looked &&
			   count_under_way(group) < writer->table->opt.fetch_concurrency)
		{
			begin_next(group);
			moved = true;
		}
		if (count_under_way(group) == 0 && (group->failed || group->next == group->n))
			return;
		if (!moved)
			tpm_calls_pause(writer->session, wait_reason(group), wake_us);
	}
}

/* the first row that failed is the one that is named */
static void
raise_first(const InsertGroup *group)
{
	for (int i = 0; i < group->next; i++)
	{
		TpmWrite   *write = group->writes[i];
		ErrorContextCallback context = {error_context_stack, tpm_modify_add_context, write};

		if (!has_failed(group, write))
			continue;
		error_context_stack = &context;
		tpm_write_raise(write, tpm_sent_list(group->modify->mark));
	}
}

/* has the row an id of its own, which the API is to take over? */
static bool
has_client_id(const TpmTable *table, const TpmWrite *write)
{
	return table->id_attnum != 0 && bms_is_member(table->id_attnum, write->columns) &&
		!write->slot->tts_isnull[table->id_attnum - 1];
}

/* bodies of all rows, before anything is sent */
static InsertGroup *
prepare_group(TpmModify *modify, TupleTableSlot **slots, int n)
{
	InsertGroup *group = palloc0(sizeof(InsertGroup));
	const TpmTable *table = modify->writer->table;
	Bitmapset  *named = ExecGetInsertedCols(modify->rinfo, modify->estate);
	Bitmapset  *given = NULL;

	group->modify = modify;
	group->n = n;
	group->writes = palloc_extended(sizeof(TpmWrite *) * Max(n, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < n; i++)
	{
		TpmWrite   *write = tpm_modify_write(modify, TPM_METHOD_POST, slots[i], NULL);

		write->context = AllocSetContextCreate(modify->batch_context, "tpm_fdw write",
											   ALLOCSET_SMALL_SIZES);
		write->columns = tpm_body_inserted(table, slots[i], named);
		write->has_client_id = has_client_id(table, write);
		for (int attnum = -1; (attnum = bms_next_member(write->columns, attnum)) >= 0;)
			if (!slots[i]->tts_isnull[attnum - 1])
				given = bms_add_member(given, attnum);
		group->writes[i] = write;
	}
	if (n > 0 && !tpm_dry_run)
		tpm_linkage_prepare(modify->writer->session, group->writes[0]->list_path, given);
	for (int i = 0; i < n; i++)
		group->writes[i]->body = tpm_body_insert(table, slots[i], group->writes[i]->columns);
	return group;
}

/* PostgreSQL tests a view's CHECK OPTION afterwards, which is too late here */
static void
check_insert_options(TpmModify *modify, TupleTableSlot **slots, int n)
{
	if (modify->rinfo->ri_WithCheckOptions == NIL)
		return;
	for (int i = 0; i < n; i++)
	{
		slots[i]->tts_tableOid = modify->writer->table->relid;
		ExecWithCheckOptions(WCO_VIEW_CHECK, modify->rinfo, slots[i], modify->estate);
	}
}

/* what the executor is given back */
static void
finish_group(InsertGroup *group, bool *inserted)
{
	for (int i = 0; i < group->n; i++)
	{
		inserted[i] = tpm_dry_run || group->writes[i]->end == TPM_STEP_DONE;
		if (tpm_dry_run)
			tpm_modify_show(group->writes[i]);
		else if (inserted[i])
			tpm_write_return(group->writes[i]);
	}
}

void
tpm_modify_insert(TpmModify *modify, TupleTableSlot **slots, int n, bool *inserted)
{
	MemoryContext old;
	InsertGroup *group;

	check_insert_options(modify, slots, n);
	tpm_modify_admit(modify, n, 0, 1);
	MemoryContextReset(modify->batch_context);
	old = MemoryContextSwitchTo(modify->batch_context);
	group = prepare_group(modify, slots, n);
	if (!tpm_dry_run)
	{
		tpm_modify_drain(modify, 0);
		run_group(group);
		raise_first(group);

		/*
		 * whoever was under way beside the look has ended; an unknown outcome
		 * goes first
		 */
		tpm_problem_check(group->problem);
	}
	finish_group(group, inserted);
	MemoryContextSwitchTo(old);
}
