/*-------------------------------------------------------------------------
 *
 * modify_plan.c
 *		What of a write is decided at planning: identity, and what is refused.
 *
 * Owns which columns an UPDATE may set and which statements a table takes.
 * Sends nothing.  What PostgreSQL refuses by itself (DELETE, TRUNCATE, MERGE,
 * ON CONFLICT with an arbiter) is left to it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "nodes/makefuncs.h"
#include "optimizer/appendinfo.h"
#include "optimizer/inherit.h"
#include "optimizer/pathnode.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "client/client.h"
#include "modify/modify.h"
#include "request/body.h"

char *
tpm_id_target_name(const TpmTable *table)
{
	const TpmColumn *id = &table->columns[table->id_attnum - 1];

	/* partitions with another id column must not share a row identity */
	return psprintf("tpm_id_%d_%u", id->attnum, id->type);
}

void
tpm_add_update_targets(PlannerInfo *root, Index rtindex, RangeTblEntry *target_rte,
					   Relation target_relation)
{
	TpmTable   *table = tpm_get_table(RelationGetRelid(target_relation));
	const TpmColumn *id;

	/* the executor refuses it: see tpm_is_updatable() */
	if (table->id_attnum == 0)
		return;
	id = &table->columns[table->id_attnum - 1];
	add_row_identity_var(root,
						 makeVar(rtindex, id->attnum, id->type, id->typmod, id->collation, 0),
						 rtindex, tpm_id_target_name(table));
}

static void
refuse_column(const TpmTable *table, const TpmColumn *column)
{
	const char *why = tpm_body_refuses(column, true);

	if (why == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 errmsg("column \"%s\" of foreign table %s cannot be changed", column->name, table->name),
			 errdetail("%s", why)));
}

/* what the statement sets, columns that PostgreSQL computes left out */
static void
check_updated_columns(PlannerInfo *root, const TpmTable *table, Index result_relation)
{
	RelOptInfo *rel = find_base_rel(root, result_relation);
	Bitmapset  *updated = get_rel_all_updated_cols(root, rel);
	int			bit = -1;

	while ((bit = bms_next_member(updated, bit)) >= 0)
	{
		int			attnum = bit + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0 && table->columns[attnum - 1].generated == '\0')
			refuse_column(table, &table->columns[attnum - 1]);
	}
}

List *
tpm_plan_modify(PlannerInfo *root, ModifyTable *plan, Index result_relation, int subplan_index)
{
	RangeTblEntry *rte = planner_rt_fetch(result_relation, root);
	TpmTable   *table = tpm_get_table(rte->relid);

	if (plan->operation == CMD_UPDATE)
		check_updated_columns(root, table, result_relation);
	return list_make2(makeInteger(plan->operation),
					  makeInteger(plan->onConflictAction == ONCONFLICT_NOTHING));
}

/*
 * The catalogue is browsed with queries that ask this of all tables, and must
 * not end at one whose options do not fit together: who writes to that is told
 * what is wrong when it is planned.
 */
int
tpm_is_updatable(Relation rel)
{
	TpmTable   *table;
	int			events = 0;

	if (tpm_read_table(RelationGetRelid(rel), &table) != NULL || !table->opt.updatable)
		return 0;
	if (table->ops & TPM_OP_CREATE)
		events |= 1 << CMD_INSERT;
	if ((table->ops & TPM_OP_UPDATE) && (table->ops & TPM_OP_READ) && table->id_attnum != 0)
		events |= 1 << CMD_UPDATE;
	return events;
}

/* rows of a table that is only joined are copied, as PostgreSQL does by itself */
RowMarkType
tpm_row_mark_type(RangeTblEntry *rte, LockClauseStrength strength)
{
	if (strength != LCS_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("rows of foreign table \"%s\" cannot be locked", get_rel_name(rte->relid)),
				 errdetail("The API has no locks; an UPDATE notices what others have changed in between."),
				 errhint("Name the tables whose rows are to be locked: FOR UPDATE OF local_table.")));
	return ROW_MARK_COPY;
}
