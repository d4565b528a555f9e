/*-------------------------------------------------------------------------
 *
 * copy_sync.c
 *		CALL tpm_fdw_sync(): which copies run, one after the other, and what is said of it.
 *
 * Owns which copies are due, who may run them, that one run at a time works on
 * each, and which kinds of runs a copy needs.  What a kind does is its own.
 *
 * The lock on a copy is the session's: it outlives the transactions of the run,
 * and PostgreSQL gives it back with any error that ends the statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "copy/copy_run_internal.h"

PG_FUNCTION_INFO_V1(tpm_fdw_sync);

/* runs in a row without a difference, after which a copy is asked for less often */
#define QUIET_RUNS 8
#define MOST_QUIET_TIMES 4

typedef struct Sync
{
	Oid			relid;			/* InvalidOid: all of them */
	Interval   *older_than;		/* NULL: what is due */
	bool		whole;
	bool		accept_deletions;
	TimestampTz began;
} Sync;

/* ----- what is due ----- */

static TimestampTz
ago(TimestampTz moment, const Interval *interval)
{
	int64		us = tpm_interval_us(interval);

	return us == PG_INT64_MAX ? TPM_NEVER : moment - us;
}

static TimestampTz
later(TimestampTz moment, int64 us)
{
	return us > DT_NOEND - moment - 1 ? DT_NOEND : moment + us;
}

static bool
is_unfinished(const TpmCopy *copy)
{
	return strcmp(copy->phase, TPM_RUN_NONE) != 0;
}

static bool
is_reconcile_due(const TpmCopy *copy, TimestampTz now)
{
	return strcmp(copy->phase, TPM_RUN_RECONCILE) == 0 || copy->next_reconcile <= now;
}

static bool
is_sweep_due(const TpmCopy *copy, TimestampTz now)
{
	return strcmp(copy->phase, TPM_RUN_SWEEP) == 0 || copy->sweep_planned || copy->next_sweep <= now;
}

/* looked at under the lock: another run may just have done it */
static bool
is_copy_due(const Sync *sync, const TpmCopy *copy)
{
	if (sync->whole)
		return true;
	if (sync->older_than)
		return copy->last_success <= ago(sync->began, sync->older_than);
	return OidIsValid(sync->relid) || is_unfinished(copy) || copy->next_run <= sync->began ||
		is_reconcile_due(copy, sync->began) || is_sweep_due(copy, sync->began);
}

/* ----- the kinds that a run consists of ----- */

typedef struct Success
{
	TimestampTz began;
	int64		changes_before;
} Success;

static int64
changes_of(const TpmCopy *copy)
{
	return copy->inserted + copy->updated + copy->deleted;
}

/* a list whose total is more than it gives, and more than a search for the rest has found */
static bool
falls_short(const TpmCopyRun *run)
{
	return run->announced > run->copy->rows - run->copy->unlisted;
}

static void
note_disagreement(TpmCopyRun *run)
{
	TpmCopy    *copy = run->copy;

	copy->problem = psprintf("the API announces " INT64_FORMAT " rows, and its list has " INT64_FORMAT,
							 run->announced, copy->rows - copy->unlisted);
	copy->problem_code = pstrdup(unpack_sql_state(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY));
	ereport(WARNING,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("local copy %s: %s", run->name, copy->problem),
			 errdetail("The list was read to its end; either it has changed meanwhile, or the total counts other rows."),
			 errhint("Where that is so each time, the option total_pointer of the foreign table should name no member.")));
}

static void
note_success(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	TpmCopy    *copy = run->copy;
	Success    *success = arg;
	int			times = 1;

	copy->unchanged_runs = changes_of(copy) == success->changes_before ? copy->unchanged_runs + 1 : 0;
	if (!copy->every_given)
		times = Min(1 + copy->unchanged_runs / QUIET_RUNS, MOST_QUIET_TIMES);
	copy->next_run = later(success->began, tpm_interval_us(copy->every) * times);
	if (falls_short(run))
		note_disagreement(run);
	else
	{
		copy->last_success = success->began;
		copy->problem = copy->problem_code = NULL;
	}
	tpm_copy_set_phase(run, TPM_RUN_NONE);
	copy->position = 0;
	copy->link = NULL;
}

/* a list that has changed while it was read, or tells what it does not have */
static bool
run_filling(TpmCopyRun *run)
{
	bool		differs = false;

	return tpm_copy_fill(run, &differs) && (!differs || tpm_copy_reconcile(run));
}

static bool
needs_filling(const TpmCopy *copy)
{
	return copy->filled == TPM_NEVER || strcmp(copy->phase, TPM_RUN_NEW) == 0 ||
		strcmp(copy->phase, TPM_RUN_FILLING) == 0;
}

/* what was read for long is followed by what has changed since */
static bool
run_kinds(const Sync *sync, TpmCopyRun *run)
{
	bool		filled = needs_filling(run->copy);
	bool		has_cursor = run->copy->cursor_column != NULL;
	TimestampTz since = filled ? ago(GetCurrentTimestamp(), run->copy->every) : DT_NOEND;

	if (filled && !run_filling(run))
		return false;
	if (has_cursor && strcmp(run->copy->phase, TPM_RUN_SWEEP) != 0 &&
		(!filled || run->copy->run_started <= since) && !tpm_copy_incremental(run))
		return false;
	/* a list that is compared row by row tells what is gone as well */
	if (((!has_cursor || sync->whole) && !filled) || is_sweep_due(run->copy, GetCurrentTimestamp()))
		return tpm_copy_sweep(run);
	return !is_reconcile_due(run->copy, GetCurrentTimestamp()) || tpm_copy_reconcile(run);
}

static bool
run_copy(const Sync *sync, TpmCopyRun *run)
{
	Success		success = {GetCurrentTimestamp(), changes_of(run->copy)};

	run->accept_deletions = sync->accept_deletions;
	return tpm_copy_run_open(run) && run_kinds(sync, run) && tpm_copy_step(run, NULL, note_success, &success);
}

/* ----- one copy ----- */

/* under its lock: the state as it is now, of a restored one what holds of it; NULL: it is gone */
static TpmCopy *
read_copy(const char *guard)
{
	TpmCopy    *copy;

	PushActiveSnapshot(GetTransactionSnapshot());
	copy = tpm_copy_lock(guard);
	if (copy && OidIsValid(copy->relid))
		tpm_copy_save(copy);
	PopActiveSnapshot();
	SPI_commit();
	return copy && OidIsValid(copy->relid) ? copy : NULL;
}

static void
report_copy_failure(const Sync *sync, const TpmCopyRun *run)
{
	ErrorData  *error = run->error;

	ereport(OidIsValid(sync->relid) ? ERROR : WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("local copy %s: %s", run->name, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0));
}

/* what was asked for was not done; no run has failed */
static void
report_interference(const Sync *sync, const char *name)
{
	ereport(OidIsValid(sync->relid) ? ERROR : WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("local copy %s was not brought up to date", name),
			 errdetail("It was paused, dropped, given to another owner or begun anew meanwhile."),
			 errhint("The view tpm_fdw_copies tells how it is.")));
}

static void
sync_locked(const Sync *sync, const char *guard, const char *name)
{
	TpmCopy    *copy = read_copy(guard);
	TpmCopyRun *run;

	if (copy == NULL || copy->paused)
	{
		report_interference(sync, name);
		return;
	}
	if (!is_copy_due(sync, copy))
		return;
	run = tpm_copy_run_begin(copy);
	if (run_copy(sync, run))
		return;
	if (run->error == NULL)
		report_interference(sync, name);
	else
		report_copy_failure(sync, run);
}

/* whoever is at it is waited for, without a snapshot and without any other lock */
static void
sync_copy(const Sync *sync, const TpmCopy *copy)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw sync", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	LOCKTAG		tag;

	tpm_copy_lock_tag(&tag, copy->relid);
	InvalidateCatalogSnapshot();
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
	sync_locked(sync, copy->guard, copy->name);
	LockRelease(&tag, ExclusiveLock, true);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ----- which ones ----- */

static bool
may_sync(const TpmCopy *copy)
{
	return tpm_owns_relation(copy->relid, GetUserId()) || tpm_may_maintain(copy->relid, GetUserId());
}

static const char *
hint_for_no_copy(Oid relid)
{
	List	   *copies = tpm_copies_of(relid);

	if (copies == NIL)
		return "SELECT tpm_fdw_create_copy(...) makes one of a foreign table; the view tpm_fdw_copies lists those that there are.";
	return psprintf("Its copy is %s.", ((TpmCopy *) linitial(copies))->name);
}

/* said of a copy that was named */
static void
check_named(const TpmCopy *copy, Oid relid)
{
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is no local copy", tpm_copy_relation_name(relid)),
				 errhint("%s", hint_for_no_copy(relid))));
	if (!may_sync(copy))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for local copy %s", copy->name),
				 errdetail("Its owner may bring it up to date.")));
	if (copy->paused)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("local copy %s is paused", copy->name),
				 errhint("SELECT tpm_fdw_alter_copy(%s, paused => false) lets it go on.", quote_literal_cstr(copy->name))));
}

/* the named one, or all that the caller may run */
static List *
copies_to_sync(const Sync *sync)
{
	List	   *result = NIL;
	ListCell   *lc;

	PushActiveSnapshot(GetTransactionSnapshot());
	tpm_copy_forget_gone();
	if (OidIsValid(sync->relid))
	{
		TpmCopy    *copy = tpm_copy_find(sync->relid);

		check_named(copy, sync->relid);
		result = list_make1(copy);
	}
	else
		foreach(lc, tpm_copy_list())
	{
		TpmCopy    *copy = lfirst(lc);

		if (!OidIsValid(copy->relid) || copy->paused)
			continue;
		if (may_sync(copy))
			result = lappend(result, copy);
		else
			ereport(WARNING,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("local copy %s is left out", copy->name),
					 errdetail("Its owner may bring it up to date.")));
	}
	PopActiveSnapshot();
	SPI_commit();
	return result;
}

static void
refuse_transaction_block(FunctionCallInfo fcinfo)
{
	CallContext *context = (CallContext *) fcinfo->context;

	if (context && IsA(context, CallContext) && !context->atomic)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("tpm_fdw_sync() cannot run inside a transaction block"),
			 errdetail("It ends a transaction with each page that it reads."),
			 errhint("Use autocommit, and one CALL a string that is sent.")));
}

Datum
tpm_fdw_sync(PG_FUNCTION_ARGS)
{
	Sync		sync = {
		.relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0),
		.whole = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2),
		.accept_deletions = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3),
		.began = GetCurrentTimestamp(),
	};
	ListCell   *lc;

	refuse_transaction_block(fcinfo);
	PreventCommandIfReadOnly("tpm_fdw_sync()");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	if (!PG_ARGISNULL(1))
	{
		sync.older_than = palloc(sizeof(Interval));
		*sync.older_than = *PG_GETARG_INTERVAL_P(1);
	}
	/* from here on the snapshot of the statement is none of this session's */
	SPI_commit();
	foreach(lc, copies_to_sync(&sync))
		sync_copy(&sync, lfirst(lc));
	SPI_finish();
	PG_RETURN_VOID();
}
