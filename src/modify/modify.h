/*-------------------------------------------------------------------------
 *
 * modify.h
 *		INSERT, UPDATE and COPY: callbacks, and what their plans hold.
 *
 * Promises: a row is sent once, or its outcome is found out, or the error says
 * that it is unknown; whoever rolls back is told what was sent.
 * Never: writes under an open scan of the same resource (the scan is read to
 * its end before), sends without an intent in the journal, or builds a PUT
 * from a page of a list or from the cache.
 * Locks: none while anything is sent.  An UPDATE that is checked
 * without an ETag claims its resource in shared/write_claims.c until its
 * outcome is known; who comes second is refused and never waits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_MODIFY_H
#define TPM_MODIFY_H

#include "foreign/fdwapi.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "compat.h"
#include "option/option.h"

/* settings; their meaning and range are in tpm_fdw.c */
extern int	tpm_max_writes;
extern bool tpm_dry_run;

/* fdw_private of a ModifyTable's result relation */
typedef enum TpmModifyPrivate
{
	TPM_MODIFY_OPERATION,		/* Integer: CmdType */
	TPM_MODIFY_DO_NOTHING,		/* Integer: 1 under ON CONFLICT DO NOTHING */
	TPM_MODIFY_COUNT
} TpmModifyPrivate;

/* modify_plan.c */
extern void tpm_add_update_targets(PlannerInfo *root, Index rtindex, RangeTblEntry *target_rte,
								   Relation target_relation);
extern List *tpm_plan_modify(PlannerInfo *root, ModifyTable *plan, Index result_relation,
							 int subplan_index);
extern int	tpm_is_updatable(Relation rel);
extern RowMarkType tpm_row_mark_type(RangeTblEntry *rte, LockClauseStrength strength);

/* the name of the junk column that carries the id */
extern char *tpm_id_target_name(const TpmTable *table);

/* modify.c */
extern void tpm_begin_modify(ModifyTableState *mtstate, ResultRelInfo *rinfo, List *fdw_private,
							 int subplan_index, int eflags);
extern void tpm_begin_insert(ModifyTableState *mtstate, ResultRelInfo *rinfo);
extern TupleTableSlot *tpm_exec_insert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
									   TupleTableSlot *plan_slot);
extern TupleTableSlot **tpm_exec_batch_insert(EState *estate, ResultRelInfo *rinfo,
											  TupleTableSlot **slots, TupleTableSlot **plan_slots,
											  int *num_slots);
extern TupleTableSlot *tpm_exec_update(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
									   TupleTableSlot *plan_slot);
extern int	tpm_batch_size(ResultRelInfo *rinfo);
extern void tpm_end_modify(EState *estate, ResultRelInfo *rinfo);
extern void tpm_end_insert(EState *estate, ResultRelInfo *rinfo);
extern void tpm_explain_modify(ModifyTableState *mtstate, ResultRelInfo *rinfo, List *fdw_private,
							   int subplan_index, ExplainState *es);

#endif							/* TPM_MODIFY_H */
