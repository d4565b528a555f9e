/*-------------------------------------------------------------------------
 *
 * copy_own.c
 *		Own writes: what the API answered to INSERT and UPDATE goes into the copies.
 *
 * Owns the rows that this transaction was answered, and puts them into the
 * copies of their foreign tables just before it commits, in the order of
 * copies and ids.  How a row is written is copy_apply.c's.
 *
 * The API does not roll back, so what a savepoint was answered goes in all the
 * same.  After a ROLLBACK of everything nothing can be written: the next run
 * reads it.  So it does whatever fails here, which is a WARNING and never an
 * error: who repeats the transaction would repeat its POST.
 *
 * Rows wait in a sort of this transaction, which work_mem bounds; it is made
 * by the first row of a table that has a copy.
 *
 * Locks: the copy's row of the state table and RowExclusiveLock on the copy,
 * from here to the end of the commit, each waited for at most a second.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

#include "copy/copy_run_internal.h"
#include "document/id_spelling.h"

/* rows that are written with one statement */
#define ROWS_AT_ONCE	100

#define LONGEST_WAIT	"1000"	/* ms for a lock */

/* what one foreign table was answered */
typedef struct OwnRows
{
	Oid			sourceid;
	TupleDesc	tupdesc;		/* of the foreign table, as it was then */
	TupleDesc	sorted;			/* the same, and when the request left */
	Tuplesortstate *sort;		/* by id; NULL: none came */
	TupleTableSlot *slot;
	bool		missed;			/* a row of which the answer did not tell all,
								 * or that could not be kept */
} OwnRows;

/* of this transaction, in its memory */
static List *own_rows = NIL;
static bool registered = false;

/* ----- which copies ----- */

static bool
may_be_written(const TpmCopy *copy)
{
	return OidIsValid(copy->relid) && copy->guarded && !copy->paused;
}

List *
tpm_copy_relids(Oid sourceid)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, tpm_copies_of(sourceid))
		if (OidIsValid(((TpmCopy *) lfirst(lc))->relid))
		relids = lappend_oid(relids, ((TpmCopy *) lfirst(lc))->relid);
	return relids;
}

/* ----- into a copy ----- */

/* rows of one table on their way into one copy */
typedef struct OwnTarget
{
	OwnRows    *own;
	TpmCopy    *copy;			/* as it was found, before it was locked */
	TpmCopyRun *run;
	HeapTuple	rows[ROWS_AT_ONCE];
	TimestampTz left[ROWS_AT_ONCE];
	int			n;
	MemoryContext context;		/* of those rows */
} OwnTarget;

static TimestampTz
left_at(const OwnRows *own)
{
	bool		isnull;

	return DatumGetTimestampTz(slot_getattr(own->slot, own->sorted->natts, &isnull));
}

static void
flush_rows(OwnTarget *target)
{
	TpmCopyCounts counts = {0};

	if (target->n > 0)
		tpm_copy_apply(target->run, target->rows, target->left, target->n, &counts);
	target->n = 0;
	MemoryContextReset(target->context);
}

/*
 * A run that began after the request left has seen what became of it, or the
 * next one will: what is newer, or deleted, must not come back.
 */
static bool
was_seen_by_run(const TpmCopy *copy, TimestampTz left)
{
	return copy->run_started != TPM_NEVER && copy->run_started > left;
}

static void
take_row(OwnTarget *target)
{
	const OwnRows *own = target->own;
	TimestampTz left = left_at(own);
	MemoryContext old;

	if (was_seen_by_run(target->run->copy, left))
		return;
	if (target->n == ROWS_AT_ONCE)
		flush_rows(target);
	slot_getallattrs(own->slot);
	old = MemoryContextSwitchTo(target->context);
	target->left[target->n] = left;
	target->rows[target->n++] = heap_form_tuple(own->tupdesc, own->slot->tts_values, own->slot->tts_isnull);
	MemoryContextSwitchTo(old);
}

/* what tpm_copy_apply() needs of a run: nothing is sent here */
static TpmCopyRun *
make_run(const OwnRows *own, TpmCopy *copy)
{
	TpmCopyRun *run = palloc0(sizeof(TpmCopyRun));

	run->guard = copy->guard;
	run->name = copy->name;
	run->relid = copy->relid;
	run->owner = tpm_copy_owner(copy->relid);
	run->sourceid = own->sourceid;
	run->table = tpm_get_table(own->sourceid);
	run->tupdesc = own->tupdesc;
	run->context = run->step_context = CurrentMemoryContext;
	run->copy = copy;
	return run;
}

static void
apply_rows(OwnTarget *target, TpmCopy *copy)
{
	TpmCopyIdentity caller;

	target->run = make_run(target->own, copy);
	target->context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw own writes", ALLOCSET_DEFAULT_SIZES);
	tuplesort_rescan(target->own->sort);
	tpm_copy_become_owner(copy->relid, target->run->owner, &caller);
	while (tuplesort_gettupleslot(target->own->sort, true, true, target->own->slot, NULL))
	{
		CHECK_FOR_INTERRUPTS();
		take_row(target);
	}
	flush_rows(target);
	tpm_copy_become_caller(&caller);
}

/* between the two a lock is waited for no longer than a write may */
static int
begin_short_waits(void)
{
	int			nestlevel = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", LONGEST_WAIT, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
	return nestlevel;
}

static void
end_short_waits(int nestlevel)
{
	PopActiveSnapshot();
	AtEOXact_GUC(true, nestlevel);
}

/* as tpm_attempt() has it */
static void
write_copy(void *arg)
{
	OwnTarget  *target = arg;
	int			nestlevel = begin_short_waits();
	TpmCopy    *copy = tpm_copy_lock(target->copy->guard);

	if (copy && may_be_written(copy) && copy->sourceid == target->own->sourceid)
	{
		if (target->own->sort)
			apply_rows(target, copy);
		if (target->own->missed && copy->cursor_column == NULL)
			copy->sweep_planned = true;
		tpm_copy_save(copy);
	}
	end_short_waits(nestlevel);
}

/* no cursor will show what was written */
static void
plan_sweep_instead(void *arg)
{
	char	   *guard = arg;
	int			nestlevel = begin_short_waits();
	TpmCopy    *copy = tpm_copy_lock(guard);

	if (copy && copy->cursor_column == NULL)
	{
		copy->sweep_planned = true;
		tpm_copy_save(copy);
	}
	end_short_waits(nestlevel);
}

static void
warn_of_copy(const TpmCopy *copy, int code, const char *why)
{
	ereport(WARNING,
			(errcode(code),
			 errmsg("what was written to %s is not in its copy %s yet", copy->source, copy->name),
			 errdetail("%s.", why),
			 errhint("The next run brings it: CALL tpm_fdw_sync(%s).", quote_literal_cstr(copy->name))));
}

/*
 * A serializable transaction would be drawn into conflicts over the copy, and
 * may fail for them after this has ended.
 */
static void
put_rows(OwnTarget *target)
{
	const TpmCopy *copy = target->copy;
	ErrorData  *error;

	if (IsolationIsSerializable())
		warn_of_copy(copy, ERRCODE_T_R_SERIALIZATION_FAILURE, "A serializable transaction does not write to copies");
	else if (tpm_attempt(write_copy, target, &error))
		return;
	else
		warn_of_copy(copy, error->sqlerrcode, psprintf("It could not be put there: %s", error->message));
	if (copy->cursor_column == NULL)
		(void) tpm_attempt(plan_sweep_instead, copy->guard, &error);
}

/* OwnTarget *, for each copy of what was written */
static void
find_targets(void *arg)
{
	List	  **targets = arg;
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	ListCell   *lc;

	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, own_rows)
	{
		OwnRows    *own = lfirst(lc);
		ListCell   *each;

		foreach(each, tpm_copies_of(own->sourceid))
		{
			OwnTarget  *target = palloc0(sizeof(OwnTarget));

			target->own = own;
			target->copy = lfirst(each);
			if (may_be_written(target->copy))
				*targets = lappend(*targets, target);
		}
	}
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
}

/* in which all lock them, so that nobody waits in a circle */
static int
by_copy(const ListCell *a, const ListCell *b)
{
	Oid			one = ((const OwnTarget *) lfirst(a))->copy->relid;
	Oid			other = ((const OwnTarget *) lfirst(b))->copy->relid;

	return (one > other) - (one < other);
}

/* no place for it on disk: what it holds after that is not to be relied on */
static void
forget_sort(OwnRows *own)
{
	own->sort = NULL;
	own->missed = true;
}

/* its files are the transaction's, not the subtransaction's */
static void
finish_sort(void *arg)
{
	CurrentResourceOwner = TopTransactionResourceOwner;
	tuplesort_performsort(arg);
}

/* a file that a commit finds open is one that was forgotten */
static void
end_sorts(void)
{
	ListCell   *lc;

	foreach(lc, own_rows)
	{
		OwnRows    *own = lfirst(lc);

		if (own->sort == NULL)
			continue;
		ExecDropSingleTupleTableSlot(own->slot);
		tuplesort_end(own->sort);
	}
}

static void
put_all(void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	List	   *targets = NIL;
	ErrorData  *error;
	ListCell   *lc;

	foreach(lc, own_rows)
	{
		OwnRows    *own = lfirst(lc);

		if (own->sort && !tpm_attempt(finish_sort, own->sort, &error))
			forget_sort(own);
	}
	if (!tpm_attempt(find_targets, &targets, &error))
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("what was written is not in local copies yet"),
				 errdetail("They cannot be listed: %s.", error->message),
				 errhint("The next run brings it: CALL tpm_fdw_sync().")));
	list_sort(targets, by_copy);
	foreach(lc, targets)
		put_rows(lfirst(lc));
	end_sorts();
	MemoryContextSwitchTo(old);
}

static void
end_transaction(XactEvent event, void *arg)
{
	ErrorData  *error;

	if (own_rows == NIL)
		return;

	/*
	 * PostgreSQL asserts that what a subtransaction is rolled back into is in
	 * progress, and a transaction that COMMIT ends is not: so there is one
	 * between
	 */
	if (event == XACT_EVENT_PRE_COMMIT && !tpm_attempt(put_all, NULL, &error))
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("what was written is not in local copies yet"),
				 errdetail("%s.", error->message),
				 errhint("The next run brings it: CALL tpm_fdw_sync().")));
	/* their memory is the transaction's, and so are their files */
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_ABORT)
		own_rows = NIL;
}

/* ----- what is answered ----- */

static void
begin_sort(OwnRows *own, AttrNumber id_attnum)
{
	Form_pg_attribute id = TupleDescAttr(own->tupdesc, id_attnum - 1);
	Oid			operator = lookup_type_cache(id->atttypid, TYPECACHE_LT_OPR)->lt_opr;
	bool		nulls_first = false;

	own->slot = MakeSingleTupleTableSlot(own->sorted, &TTSOpsMinimalTuple);
	own->sort = tuplesort_begin_heap(own->sorted, 1, &id_attnum, &operator, &id->attcollation,
									 &nulls_first, work_mem, NULL, TUPLESORT_RANDOMACCESS);
}

static OwnRows *
find_own_rows(Oid sourceid, TupleDesc tupdesc)
{
	ListCell   *lc;
	OwnRows    *own;

	foreach(lc, own_rows)
	{
		own = lfirst(lc);
		if (own->sourceid == sourceid && equalTupleDescs(own->tupdesc, tupdesc))
			return own;
	}
	own = palloc0(sizeof(OwnRows));
	own->sourceid = sourceid;
	own->tupdesc = CreateTupleDescCopyConstr(tupdesc);
	own->sorted = CreateTemplateTupleDesc(tupdesc->natts + 1);
	for (int i = 1; i <= tupdesc->natts; i++)
		TupleDescCopyEntry(own->sorted, i, tupdesc, i);
	TupleDescInitEntry(own->sorted, tupdesc->natts + 1, "left", TIMESTAMPTZOID, -1, 0);
	tpm_tuple_desc_finalize(own->sorted);
	own_rows = lappend(own_rows, own);
	return own;
}

typedef struct Answered
{
	OwnRows    *own;
	HeapTuple	tuple;
	AttrNumber	id_attnum;
	TimestampTz left;
} Answered;

/* the files of a sort that does not fit into memory outlive the statement */
static void
keep_row(void *arg)
{
	Answered   *answered = arg;
	OwnRows    *own = answered->own;
	int			natts = own->tupdesc->natts;
	TupleTableSlot *slot;

	CurrentResourceOwner = TopTransactionResourceOwner;
	if (own->sort == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

		begin_sort(own, answered->id_attnum);
		MemoryContextSwitchTo(old);
	}
	slot = MakeSingleTupleTableSlot(own->sorted, &TTSOpsVirtual);
	heap_deform_tuple(answered->tuple, own->tupdesc, slot->tts_values, slot->tts_isnull);
	slot->tts_values[natts] = TimestampTzGetDatum(answered->left);
	slot->tts_isnull[natts] = false;
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(own->sort, slot);
	ExecDropSingleTupleTableSlot(slot);
}

void
tpm_copy_own_row(const TpmTable *table, TupleDesc tupdesc, HeapTuple tuple, TimestampTz left)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Answered	answered = {find_own_rows(table->relid, tupdesc), tuple, table->id_attnum, left};
	ErrorData  *error;

	MemoryContextSwitchTo(old);
	if (!registered)
	{
		RegisterXactCallback(end_transaction, NULL);
		registered = true;
	}
	if (tuple == NULL || table->id_attnum == 0)
		answered.own->missed = true;
	else if (!tpm_attempt(keep_row, &answered, &error))
		forget_sort(answered.own);
}
