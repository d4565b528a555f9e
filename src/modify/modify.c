/*-------------------------------------------------------------------------
 *
 * modify.c
 *		INSERT, UPDATE and COPY as the executor asks for them.
 *
 * Owns the way from the executor's slots to rows that are written, and how
 * many of them are written together.  Which rows are under way at a time is
 * insert.c's, what must be true before one is changed update.c's, and what
 * becomes of each the write room's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/plannodes.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "copy/copy.h"
#include "document/id_spelling.h"
#include "modify/modify_internal.h"
#include "request/request.h"

/* rows written together where no cap says how many the statement may have */
#define TPM_GROUP_SIZE	1000

/* PostgreSQL makes room for as many slots as a group may have */
#define TPM_LARGEST_GROUP	1000000

/* ----- begin and end ----- */

static bool
is_captured(const ModifyTableState *mtstate)
{
	const TransitionCaptureState *capture = mtstate->mt_transition_capture;

	if (capture == NULL)
		return false;
	return mtstate->operation == CMD_UPDATE ? capture->tcs_update_old_table || capture->tcs_update_new_table
		: capture->tcs_insert_new_table;
}

/* PostgreSQL refuses it after the first row, which is too late here */
static void
check_capture(const TpmModify *modify)
{
	if (!modify->captured)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot collect transition tuples from child foreign tables"),
			 errdetail("A trigger of a parent of foreign table %s has a transition table.",
					   modify->writer->table->name)));
}

static TpmModify *
create_modify(ModifyTableState *mtstate, ResultRelInfo *rinfo, const char *operation,
			  bool do_nothing)
{
	EState	   *estate = mtstate->ps.state;
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	TpmModify  *modify = palloc0(sizeof(TpmModify));

	modify->estate = estate;
	modify->rinfo = rinfo;
	modify->captured = is_captured(mtstate);
	modify->writer = tpm_writer_create(tpm_get_table(RelationGetRelid(rinfo->ri_RelationDesc)),
									   RelationGetDescr(rinfo->ri_RelationDesc),
									   tpm_modify_user(estate, rinfo), tpm_statement_of(estate));
	modify->writer->keeps_row = !tpm_dry_run && tpm_copy_relids(modify->writer->table->relid) != NIL;
	modify->do_nothing = do_nothing;
	modify->batch_context = AllocSetContextCreate(estate->es_query_cxt, "tpm_fdw writes",
												  ALLOCSET_DEFAULT_SIZES);
	modify->mark = tpm_sent_mark();
	modify->updated = tpm_idset_create(64);
	MemoryContextSwitchTo(old);
	modify->writer->session->progress = tpm_progress_start(modify->writer->table->relid, operation);
	return modify;
}

void
tpm_begin_modify(ModifyTableState *mtstate, ResultRelInfo *rinfo, List *fdw_private,
				 int subplan_index, int eflags)
{
	TpmModify  *modify;
	MemoryContext old;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	modify = create_modify(mtstate, rinfo, mtstate->operation == CMD_UPDATE ? "update" : "insert",
						   intVal(list_nth(fdw_private, TPM_MODIFY_DO_NOTHING)) != 0);
	rinfo->ri_FdwState = modify;
	if (mtstate->operation != CMD_UPDATE)
		return;
	old = MemoryContextSwitchTo(mtstate->ps.state->es_query_cxt);
	modify->id_attno = ExecFindJunkAttributeInTlist(outerPlan(mtstate->ps.plan)->targetlist,
													tpm_id_target_name(modify->writer->table));
	if (!AttributeNumberIsValid(modify->id_attno))
		elog(ERROR, "the plan of an UPDATE lacks the id column");
	MemoryContextSwitchTo(old);
}

static bool
has_row_triggers(const ResultRelInfo *rinfo)
{
	const TriggerDesc *triggers = rinfo->ri_TrigDesc;

	return triggers && (triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
						triggers->trig_insert_new_table);
}

/* COPY, and rows that are routed to a partition */
void
tpm_begin_insert(ModifyTableState *mtstate, ResultRelInfo *rinfo)
{
	ModifyTable *plan = (ModifyTable *) mtstate->ps.plan;
	TpmModify  *modify;

	/* a row that is moved here would be updated again by the same statement */
	if (plan && plan->operation == CMD_UPDATE && rinfo->ri_FdwState)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot route tuples into foreign table to be updated \"%s\"",
						RelationGetRelationName(rinfo->ri_RelationDesc))));
	modify = create_modify(mtstate, rinfo, plan ? "insert" : "copy",
						   plan && plan->onConflictAction == ONCONFLICT_NOTHING);

	/*
	 * the batches of COPY, from 16 on, are of one partition: a cap would be
	 * seen too late
	 */
	modify->collects = plan == NULL && !tpm_row_is_wanted(rinfo) && !has_row_triggers(rinfo);
	rinfo->ri_FdwState = modify;
}

void
tpm_end_modify(EState *estate, ResultRelInfo *rinfo)
{
	TpmModify  *modify = rinfo->ri_FdwState;

	if (modify == NULL)
		return;
	tpm_progress_end(modify->writer->session->progress);
	modify->writer->session->progress = NULL;
}

/* ----- rows ----- */

/* rows that are sent together; 1: PostgreSQL takes no batch where somebody looks at each row */
static int
group_size(ResultRelInfo *rinfo)
{
	if (rinfo->ri_projectReturning != NULL || rinfo->ri_WithCheckOptions != NIL ||
		has_row_triggers(rinfo))
		return 1;
	/* one more than the cap: then the first batch tells whether it is kept */
	return tpm_max_writes > 0 && !tpm_dry_run ? Min(tpm_max_writes, TPM_LARGEST_GROUP - 1) + 1 : TPM_GROUP_SIZE;
}

int
tpm_batch_size(ResultRelInfo *rinfo)
{
	TpmModify  *modify = rinfo->ri_FdwState;

	return modify && modify->collects ? 1 : group_size(rinfo);
}

/* rows of the statement that wait in batches of other partitions */
static int64
rows_pending(EState *estate, const ResultRelInfo *rinfo)
{
	int64		n = 0;
	ListCell   *lc;

	foreach(lc, estate->es_insert_pending_result_relations)
	{
		ResultRelInfo *other = lfirst(lc);

		if (other != rinfo && other->ri_FdwRoutine &&
			other->ri_FdwRoutine->ExecForeignBatchInsert == tpm_exec_batch_insert)
			n += other->ri_NumSlots;
	}
	return n;
}

TupleTableSlot **
tpm_exec_batch_insert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot **slots,
					  TupleTableSlot **plan_slots, int *num_slots)
{
	TpmModify  *modify = rinfo->ri_FdwState;
	TpmStatement *statement = modify->writer->session->statement;
	int			n = *num_slots;
	bool	   *inserted = palloc(sizeof(bool) * Max(n, 1));
	TupleTableSlot **result = palloc(sizeof(TupleTableSlot *) * Max(n, 1));
	int			kept = 0;

	check_capture(modify);
	statement->queued = rows_pending(estate, rinfo);
	tpm_modify_insert(modify, slots, n, inserted);
	statement->queued = 0;
	for (int i = 0; i < n; i++)
		if (inserted[i])
			result[kept++] = slots[i];
	*num_slots = kept;
	pfree(inserted);
	return result;
}

/* what COPY has given, as one group */
static void
flush(TpmModify *modify)
{
	TpmStatement *statement = modify->writer->session->statement;
	bool	   *inserted;
	int			n = modify->collected;

	if (n == 0)
		return;
	inserted = palloc(sizeof(bool) * n);
	modify->collected = 0;
	statement->queued -= n;
	tpm_modify_insert(modify, modify->slots, n, inserted);
	for (int i = 0; i < n; i++)
		ExecClearTuple(modify->slots[i]);
	pfree(inserted);
}

static TupleTableSlot *
next_slot(TpmModify *modify, TupleTableSlot *like)
{
	int			n = modify->nslots;

	if (modify->collected < n)
		return modify->slots[modify->collected];
	if (n == 0)
		modify->slots = palloc(sizeof(TupleTableSlot *));
	else if ((n & (n - 1)) == 0)
		modify->slots = repalloc_huge(modify->slots, sizeof(TupleTableSlot *) * n * 2);
	modify->slots[n] = MakeSingleTupleTableSlot(CreateTupleDescCopy(like->tts_tupleDescriptor),
												like->tts_ops);
	modify->nslots++;
	return modify->slots[n];
}

/*
 * With a cap nothing is sent before the last row has come, or the one too
 * many: so it is refused as a whole.
 */
static void
collect_slots(TpmModify *modify, EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);

	if (modify->collected == group_size(rinfo))
		flush(modify);
	ExecCopySlot(next_slot(modify, slot), slot);
	modify->collected++;
	modify->writer->session->statement->queued++;
	tpm_modify_admit(modify, 0, 0, 1);
	MemoryContextSwitchTo(old);
}

TupleTableSlot *
tpm_exec_insert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
				TupleTableSlot *plan_slot)
{
	TpmModify  *modify = rinfo->ri_FdwState;
	bool		inserted;

	check_capture(modify);
	if (modify->collects)
	{
		collect_slots(modify, estate, rinfo, slot);
		return slot;
	}
	tpm_modify_insert(modify, &slot, 1, &inserted);
	return inserted ? slot : NULL;
}

void
tpm_end_insert(EState *estate, ResultRelInfo *rinfo)
{
	TpmModify  *modify = rinfo->ri_FdwState;

	if (modify == NULL)
		return;
	flush(modify);
	for (int i = 0; i < modify->nslots; i++)
		ExecDropSingleTupleTableSlot(modify->slots[i]);
	tpm_end_modify(estate, rinfo);
}

TupleTableSlot *
tpm_exec_update(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
				TupleTableSlot *plan_slot)
{
	TpmModify  *modify = rinfo->ri_FdwState;
	const TpmTable *table = modify->writer->table;
	bool		isnull;
	Datum		id = ExecGetJunkAttribute(plan_slot, modify->id_attno, &isnull);
	MemoryContext old;
	bool		updated;

	check_capture(modify);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
				 errmsg("a row of foreign table %s cannot be updated: it has no id", table->name)));
	MemoryContextReset(modify->batch_context);
	old = MemoryContextSwitchTo(modify->batch_context);
	updated = tpm_modify_update(modify, slot, rinfo->ri_oldTupleSlot,
								tpm_id_text(table, id));
	MemoryContextSwitchTo(old);
	return updated ? slot : NULL;
}

/* ----- EXPLAIN ----- */

void
tpm_explain_modify(ModifyTableState *mtstate, ResultRelInfo *rinfo, List *fdw_private,
				   int subplan_index, ExplainState *es)
{
	TpmTable   *table = tpm_get_table(RelationGetRelid(rinfo->ri_RelationDesc));
	TpmModify  *modify = rinfo->ri_FdwState;
	bool		update = intVal(list_nth(fdw_private, TPM_MODIFY_OPERATION)) == CMD_UPDATE;
	const char *method = !update ? "POST" : table->opt.update_method == TPM_UPDATE_PATCH ? "PATCH" : "PUT";
	bool		rereads = table->opt.update_check == TPM_CHECK_REREAD ||
	table->opt.update_body == TPM_BODY_FULL;

	ExplainPropertyText("Remote", psprintf("%s %s", method, update ? tpm_request_id_path(table->resource, "{id}", true)
										   : table->resource), es);
	ExplainPropertyInteger("Requests a Row", NULL, update && rereads ? 2 : 1, es);
	if (!update && table->looks_before_insert)
		ExplainPropertyText("Look Before", "1 request for up to 100 rows", es);
	if (!update && rinfo->ri_BatchSize > 0)
		ExplainPropertyInteger("Batch Size", NULL, rinfo->ri_BatchSize, es);
	if (es->analyze && modify)
		ExplainPropertyInteger("Requests Sent", NULL, modify->writer->session->requests, es);
}
