/*-------------------------------------------------------------------------
 *
 * column_stats.c
 *		How many rows have the same value of a column, for PostgreSQL's own
 *		estimates.
 *
 * Owns what is known of that: by what the column is, and by what filters on it
 * have left.  PostgreSQL asks for it through its hook for statistics, so that
 * it holds for conditions, joins and groups alike.
 *
 * Without ANALYZE PostgreSQL reckons with 200 different values of any column:
 * an id of a list of 5,000 would be 25 rows', and each further join would
 * expect 25 times too many lookups.  ANALYZE reads the first pages of a list,
 * which need not be like the rest: where many values have been asked for since,
 * what they have brought is believed instead.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

#include "plan/plan.h"

/* a reference: the tables at both its ends are about as large */
#define TPM_ROWS_A_REFERENCE	10.0

/* values that filters must have been asked for before ANALYZE is contradicted, and by how much */
#define TPM_TELLING_VALUES		10
#define TPM_TELLING_FACTOR		2.0

static get_relation_stats_hook_type next_stats_hook = NULL;

double
tpm_rows_per_value(const TpmRelation *relation, AttrNumber attnum)
{
	const TpmColumn *column = &relation->table->columns[attnum - 1];
	const TpmFilterStats *filter = tpm_table_stats_of_filter(&relation->learnt, attnum);

	if (column->kind == TPM_COL_ID && !relation->has_placeholder)
		return 1;
	/* some of the values that were asked for may be nobody's */
	if (filter)
		return Max(1, filter->rows / filter->values);
	if (column->kind == TPM_COL_NONE)
		return 0;
	if (column->natural_key)
		return 1;
	if (column->kind == TPM_COL_RELATIONSHIP)
		return Max(1, Min(TPM_ROWS_A_REFERENCE, relation->tuples / DEFAULT_NUM_DISTINCT));
	return 0;
}

/* ----- the hook ----- */

/* the relation of ours that a range table entry stands for, once it is known; NULL: none */
static RelOptInfo *
find_relation(PlannerInfo *root, const RangeTblEntry *rte)
{
	for (int i = 1; i < root->simple_rel_array_size; i++)
	{
		RelOptInfo *rel = root->simple_rel_array[i];

		if (root->simple_rte_array[i] == rte)
			return rel && rel->fdw_private && rel->fdwroutine &&
				rel->fdwroutine->GetForeignRelSize == tpm_get_rel_size ? rel : NULL;
	}
	return NULL;
}

/* with the number of values and nothing else */
static HeapTuple
make_statistic(Oid relid, AttrNumber attnum, double distinct, double nulls)
{
	Relation	rel = table_open(StatisticRelationId, AccessShareLock);
	Datum		values[Natts_pg_statistic] = {0};
	bool		isnull[Natts_pg_statistic] = {0};
	HeapTuple	tuple;

	values[Anum_pg_statistic_starelid - 1] = ObjectIdGetDatum(relid);
	values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(attnum);
	values[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum(nulls);
	values[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum(distinct);
	for (int i = Anum_pg_statistic_stanumbers1 - 1; i < Natts_pg_statistic; i++)
		isnull[i] = true;
	tuple = heap_form_tuple(RelationGetDescr(rel), values, isnull);
	table_close(rel, AccessShareLock);
	return tuple;
}

/* what ANALYZE has found, where filters have shown that there are fewer, or more, values; NULL: it is right */
static HeapTuple
correct_statistic(const TpmRelation *relation, AttrNumber attnum, HeapTuple analyzed, double distinct)
{
	const TpmFilterStats *filter = tpm_table_stats_of_filter(&relation->learnt, attnum);
	double		found = ((Form_pg_statistic) GETSTRUCT(analyzed))->stadistinct;
	HeapTuple	tuple;

	if (found > 0)
		found = -found / relation->tuples;
	if (filter == NULL || filter->values < TPM_TELLING_VALUES || found == 0 ||
		(distinct / found < TPM_TELLING_FACTOR && found / distinct < TPM_TELLING_FACTOR))
		return NULL;
	tuple = heap_copytuple(analyzed);
	((Form_pg_statistic) GETSTRUCT(tuple))->stadistinct = distinct;
	return tuple;
}

/* its most common values are for those who may read the column */
static bool
may_read(PlannerInfo *root, RelOptInfo *rel, const RangeTblEntry *rte)
{
	return rte->securityQuals == NIL &&
		pg_class_aclcheck(rte->relid, tpm_rel_user(root, rel), ACL_SELECT) == ACLCHECK_OK;
}

static bool
supply_statistic(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	RelOptInfo *rel = rte->relkind == RELKIND_FOREIGN_TABLE && !rte->inh && attnum > 0
	? find_relation(root, rte) : NULL;
	HeapTuple	analyzed;
	double		rows,
				distinct;

	if (rel == NULL)
		return false;
	rows = tpm_rows_per_value(rel->fdw_private, attnum);
	if (rows == 0)
		return false;
	/* a share of all rows, as pg_statistic has it */
	distinct = -1 / rows;
	analyzed = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(rte->relid), Int16GetDatum(attnum), BoolGetDatum(false));
	if (HeapTupleIsValid(analyzed))
	{
		vardata->statsTuple = correct_statistic(rel->fdw_private, attnum, analyzed, distinct);
		ReleaseSysCache(analyzed);
		vardata->acl_ok = may_read(root, rel, rte);
	}
	else
	{
		vardata->statsTuple = make_statistic(rte->relid, attnum, distinct,
											 ((TpmRelation *) rel->fdw_private)->table->id_attnum == attnum ? 0 : DEFAULT_UNK_SEL);
		vardata->acl_ok = true;
	}
	vardata->freefunc = heap_freetuple;
	return HeapTupleIsValid(vardata->statsTuple);
}

static bool
get_statistic(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum, VariableStatData *vardata)
{
	return (next_stats_hook && next_stats_hook(root, rte, attnum, vardata)) ||
		supply_statistic(root, rte, attnum, vardata);
}

void
tpm_plan_install_hooks(void)
{
	next_stats_hook = get_relation_stats_hook;
	get_relation_stats_hook = get_statistic;
}
