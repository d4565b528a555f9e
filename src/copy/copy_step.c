/*-------------------------------------------------------------------------
 *
 * copy_step.c
 *		One step of a run: a request, then one transaction as the copy's owner.
 *
 * Owns who the run is and when, what it holds and when, and what becomes of an
 * error.  What a step does to the copy is its caller's.
 *
 * A step is a subtransaction: an error in it, whatever has raised it, undoes
 * it, and its end makes the session its caller's again.  So nothing is waited
 * for, committed or rolled back while it is the owner's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "copy/copy_run_internal.h"
#include "shared/counters.h"

/* ----- identity ----- */

void
tpm_copy_become_owner(Oid relid, Oid owner, TpmCopyIdentity *caller)
{
	ConstraintsSetStmt *immediate = makeNode(ConstraintsSetStmt);

	GetUserIdAndSecContext(&caller->userid, &caller->sec_context);
	SetUserIdAndSecContext(owner, caller->sec_context | SECURITY_RESTRICTED_OPERATION);
	caller->nestlevel = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);

	/* what is deferred would be checked, and run, by whoever has called */
	AfterTriggerSetState(immediate);
	tpm_copy_guard_open(relid);
}

void
tpm_copy_become_caller(const TpmCopyIdentity *caller)
{
	tpm_copy_guard_close();
	AtEOXact_GUC(false, caller->nestlevel);
	SetUserIdAndSecContext(caller->userid, caller->sec_context);
}

/* ----- a step ----- */

typedef struct StepWork
{
	TpmCopyRun *run;
	TpmCopyWalk *walk;
	TpmCopyWork work;
	void	   *arg;
	bool		over;			/* the copy is not what it was */
} StepWork;

/* raised before anything is sent, and in each step: whatever is written has a guard that works */
static void
check_copy(const TpmCopy *copy)
{
	if (!copy->guarded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("local copy %s has no guard that works, and is not written", copy->name),
				 errdetail("Its trigger %s is dropped or disabled, so that others may have written to it.",
						   TPM_COPY_GUARD_NAME),
				 errhint("ALTER TABLE %s ENABLE TRIGGER %s, or make it a copy again with tpm_fdw_create_copy().",
						 copy->name, TPM_COPY_GUARD_NAME)));
	if (!OidIsValid(copy->sourceid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the foreign table %s of local copy %s does not exist", copy->source, copy->name),
				 errhint("SELECT tpm_fdw_alter_copy(..., source => ...) names another one.")));
}

/* the right may be taken away while a run of hours is under way */
static void
check_reader(const TpmCopyRun *run)
{
	if (pg_class_aclcheck(run->sourceid, run->owner, ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of local copy %s may not read its foreign table", run->name),
				 errhint("GRANT SELECT ON %s TO %s", run->copy->source, GetUserNameFromId(run->owner, false))));
}

/* did somebody take it away from this run while that had no lock? */
static bool
is_still_its_copy(const TpmCopyRun *run, const TpmCopy *copy)
{
	return copy != NULL && !copy->paused && copy->relid == run->relid && copy->sourceid == run->sourceid &&
		strcmp(copy->phase, run->phase) == 0;
}

static void
count_requests(TpmCopyRun *run)
{
	if (run->session == NULL)
		return;
	run->copy->requests += run->session->requests - run->requests_counted;
	run->copy->requests_last_run = run->session->requests;
}

/*
 * The table first: who has locked it may change the copy's state in the same transaction, and
 * until he has ended this waits without a snapshot and with nothing that others wait for.
 */
static void
lock_copy(TpmCopyRun *run, LOCKMODE mode)
{
	LockRelationOid(run->relid, mode);
	PushActiveSnapshot(GetTransactionSnapshot());
	run->copy = tpm_copy_lock(run->guard);
}

static void
do_step(void *arg)
{
	StepWork   *step = arg;
	TpmCopyRun *run = step->run;
	TpmAnswer  *answer = step->walk ? tpm_copy_ask(run, step->walk) : NULL;
	TpmCopyIdentity caller;

	lock_copy(run, RowExclusiveLock);
	step->over = !is_still_its_copy(run, run->copy);
	if (!step->over)
	{
		check_copy(run->copy);
		check_reader(run);
		step->over = tpm_copy_owner(run->relid) != run->owner;
	}
	if (!step->over)
	{
		tpm_copy_become_owner(run->relid, run->owner, &caller);
		step->work(run, step->walk ? tpm_copy_read_page(run, step->walk, answer) : NULL, step->arg);
		tpm_copy_become_caller(&caller);
		count_requests(run);
		tpm_copy_save(run->copy);
	}
	PopActiveSnapshot();
}

static char *
words_of_error(const ErrorData *error)
{
	return psprintf("%s%s%s%s%s", error->message, error->detail ? "; " : "", error->detail ? error->detail : "",
					error->hint ? " Hint: " : "", error->hint ? error->hint : "");
}

static void
write_problem(void *arg)
{
	TpmCopyRun *run = arg;

	PushActiveSnapshot(GetTransactionSnapshot());
	run->copy = tpm_copy_lock(run->guard);
	if (run->copy)
	{
		run->copy->problem = words_of_error(run->error);
		run->copy->problem_code = pstrdup(unpack_sql_state(run->error->sqlerrcode));
		count_requests(run);
		tpm_copy_save(run->copy);
	}
	PopActiveSnapshot();
}

/* a transaction that waits holds nothing, and its commit waits for no disk: state and rows are one */
static void
begin_transaction(void)
{
	XactIsoLevel = XACT_READ_COMMITTED;
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* the state has it, and the session is whose it was */
static void
end_with_error(TpmCopyRun *run, ErrorData *error)
{
	ErrorData  *second;

	/* in the memory of a step that no other one follows */
	run->error = error;
	(void) tpm_attempt(write_problem, run, &second);
}

/* with its transaction; false: it has failed */
static bool
run_step(TpmCopyRun *run, TpmWork work, void *arg)
{
	MemoryContext old;
	ErrorData  *error;
	bool		done;

	MemoryContextReset(run->step_context);
	old = MemoryContextSwitchTo(run->step_context);
	begin_transaction();
	done = tpm_attempt(work, arg, &error);
	if (!done)
		end_with_error(run, error);
	SPI_commit();
	if (run->session)
		run->requests_counted = run->session->requests;
	MemoryContextSwitchTo(old);
	return done;
}

bool
tpm_copy_step(TpmCopyRun *run, TpmCopyWalk *walk, TpmCopyWork work, void *arg)
{
	StepWork	step = {run, walk, work, arg, false};

	return run_step(run, do_step, &step) && !step.over;
}

void
tpm_copy_set_phase(TpmCopyRun *run, const char *phase)
{
	run->copy->phase = pstrdup(phase);
	run->phase = MemoryContextStrdup(run->context, phase);
}

/* ----- a run ----- */

static TupleDesc
row_type_of(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TupleDesc	tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(rel));

	table_close(rel, AccessShareLock);
	return tupdesc;
}

/* before anything is asked for; the table is not open here, since a column may be added to it */
static void
follow_source(TpmCopyRun *run)
{
	TpmCopyIdentity caller;

	lock_copy(run, AccessShareLock);
	if (is_still_its_copy(run, run->copy) && tpm_copy_owner(run->relid) == run->owner)
	{
		check_copy(run->copy);
		tpm_copy_become_owner(run->relid, run->owner, &caller);
		tpm_copy_follow_source(run->copy, run->table);
		tpm_copy_become_caller(&caller);
		tpm_copy_save(run->copy);
	}
	PopActiveSnapshot();
}

static void
open_run(void *arg)
{
	TpmCopyRun *run = arg;
	MemoryContext old = MemoryContextSwitchTo(run->context);
	TpmStatement *statement = palloc0(sizeof(TpmStatement));

	statement->patient = true;
	statement->leaves_free = tpm_copy_leave_free;
	check_copy(run->copy);
	check_reader(run);
	run->table = tpm_get_table(run->sourceid);
	run->tupdesc = row_type_of(run->sourceid);
	run->decoder = tpm_decoder_create(run->table, run->tupdesc, NULL);
	run->session = tpm_session_create(run->table->server, run->table, run->owner, statement);
	run->session->progress = tpm_progress_start(run->sourceid, "sync");
	MemoryContextSwitchTo(old);
	follow_source(run);
}

TpmCopyRun *
tpm_copy_run_begin(TpmCopy *copy)
{
	TpmCopyRun *run = palloc0(sizeof(TpmCopyRun));

	run->context = CurrentMemoryContext;
	run->step_context = AllocSetContextCreate(run->context, "tpm_fdw step", ALLOCSET_DEFAULT_SIZES);
	run->guard = copy->guard;
	run->name = copy->name;
	run->relid = copy->relid;
	run->owner = tpm_copy_owner(copy->relid);
	run->sourceid = copy->sourceid;
	run->copy = copy;
	run->phase = copy->phase;
	run->announced = -1;
	return run;
}

bool
tpm_copy_run_open(TpmCopyRun *run)
{
	return run_step(run, open_run, run);
}
