/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Paths and plans over one foreign table.
 *
 * Owns which paths are offered: the plain scan, one per useful order, one per
 * key that a join can supply.  What a plan holds is described in fdw.h.  Every
 * condition stays in the plan's quals, sent or not, so that nothing depends
 * on where a row came from.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "compat.h"
#include "fdw.h"
#include "tpm_fdw.h"

/* the cost of a plan that cannot be run: chosen only when there is no other */
#define TPM_IMPOSSIBLE_COST 1e30

/* ----- the relation ----- */

static List *
read_conditions(const TpmTable *table, RelOptInfo *rel, List *rinfos, bool *all_exact)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, rinfos)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		TpmCondition *condition = palloc(sizeof(TpmCondition));

		/* gated by a Result node, which a count would lose */
		if (rinfo->pseudoconstant || !tpm_read_condition(table, rel, rinfo->clause, condition))
		{
			*all_exact = false;
			continue;
		}
		if (condition->verdict != TPM_VERDICT_EXACT)
			*all_exact = false;
		result = lappend(result, condition);
	}
	return result;
}

static bool
is_required(const TpmTable *table, const TpmColumn *column)
{
	ListCell   *lc;

	foreach(lc, table->required_filters)
	{
		if (strcmp(strVal(lfirst(lc)), column->name) == 0)
			return true;
	}
	return column->placeholder;
}

/* a column in the path, or a filter the API insists on, that no condition gives a value */
static const TpmColumn *
column_without_value(const TpmTable *table, const List *conditions)
{
	for (int i = 0; i < table->natts; i++)
	{
		bool		given = false;
		ListCell   *lc;

		if (table->columns[i].kind == TPM_COL_NONE || !is_required(table, &table->columns[i]))
			continue;
		foreach(lc, conditions)
		{
			const TpmCondition *condition = lfirst(lc);

			if (condition->attnum == i + 1 && condition->verdict != TPM_VERDICT_LOCAL &&
				(condition->op == TPM_COND_EQ || condition->op == TPM_COND_IN ||
				 !table->columns[i].placeholder))
				given = true;
		}
		if (!given)
			return &table->columns[i];
	}
	return NULL;
}

static bool
placeholders_given(const TpmTable *table, const List *conditions)
{
	return column_without_value(table, conditions) == NULL;
}

/* what the query reads: output, and what is checked here */
static Bitmapset *
columns_used(PlannerInfo *root, RelOptInfo *baserel, const TpmTable *table)
{
	Bitmapset  *vars = NULL;
	Bitmapset  *result = NULL;
	ListCell   *lc;
	int			bit = -1;

	pull_varattnos((Node *) baserel->reltarget->exprs, baserel->relid, &vars);
	foreach(lc, baserel->baserestrictinfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause, baserel->relid, &vars);
	foreach(lc, baserel->joininfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause, baserel->relid, &vars);
	while ((bit = bms_next_member(vars, bit)) >= 0)
	{
		int			attnum = bit + FirstLowInvalidHeapAttributeNumber;

		if (attnum == InvalidAttrNumber)
			return bms_add_range(NULL, 1, table->natts);
		if (attnum > 0)
			result = bms_add_member(result, attnum);
	}
	return result;
}

void
tpm_get_rel_size(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	TpmRelation *relation = palloc0(sizeof(TpmRelation));

	relation->table = tpm_get_table(foreigntableid);
	relation->all_exact = true;
	relation->conditions = read_conditions(relation->table, baserel, baserel->baserestrictinfo,
										   &relation->all_exact);
	for (int i = 0; i < relation->table->natts; i++)
		if (relation->table->columns[i].placeholder)
			relation->has_placeholder = true;
	relation->placeholders_given = placeholders_given(relation->table, relation->conditions);
	relation->columns = columns_used(root, baserel, relation->table);
	baserel->fdw_private = relation;
	tpm_estimate_size(root, baserel, relation);
}

/* ----- paths ----- */

/* one value of a unique key: at most one row */
static bool
is_by_id(const TpmTable *table, const List *conditions)
{
	ListCell   *lc;

	foreach(lc, conditions)
	{
		const TpmCondition *condition = lfirst(lc);

		if (table->columns[condition->attnum - 1].kind == TPM_COL_ID &&
			condition->op == TPM_COND_EQ && condition->verdict != TPM_VERDICT_LOCAL)
			return true;
	}
	return false;
}

static void
add_plain_path(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation)
{
	double		requests = is_by_id(relation->table, relation->conditions) ? 1
	: tpm_estimate_requests(relation->table, relation->conditions, relation->sent_rows);
	Cost		startup,
				total;

	tpm_estimate_cost(relation->table, requests, relation->sent_rows, &startup, &total);
	if (!relation->placeholders_given)
		startup = total = TPM_IMPOSSIBLE_COST;
	add_path(baserel, (Path *)
			 tpm_create_foreignscan_path(root, baserel, baserel->rows, startup, total, NIL,
										 baserel->lateral_relids,
										 list_make1(makeFloat(psprintf("%.0f", requests)))));
}

/* ----- parameterised paths ----- */

typedef struct KeySearch
{
	const TpmTable *table;
	AttrNumber	attnum;
} KeySearch;

/* a column for which one request gives the rows of one value */
static bool
is_key_column(const TpmTable *table, const TpmColumn *column)
{
	if (column->kind == TPM_COL_NONE)
		return false;
	return column->kind == TPM_COL_ID || column->placeholder ||
		(column->filter && (column->filter_operators & (TPM_FILTER_EQ | TPM_FILTER_IN)));
}

static bool
is_key_member(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em,
			  void *arg)
{
	KeySearch  *search = arg;
	Node	   *expr = (Node *) em->em_expr;

	while (expr && IsA(expr, RelabelType))
		expr = (Node *) ((RelabelType *) expr)->arg;
	return expr && IsA(expr, Var) && ((Var *) expr)->varno == (int) rel->relid &&
		((Var *) expr)->varattno == search->attnum;
}

/* does this join clause give the relation a key? */
static bool
gives_key(TpmRelation *relation, RelOptInfo *baserel, RestrictInfo *rinfo)
{
	TpmCondition condition;

	return join_clause_is_movable_to(rinfo, baserel) &&
		tpm_read_condition(relation->table, baserel, rinfo->clause, &condition) &&
		(condition.op == TPM_COND_EQ || condition.op == TPM_COND_IN) &&
		condition.verdict != TPM_VERDICT_LOCAL &&
		is_key_column(relation->table, &relation->table->columns[condition.attnum - 1]);
}

static List *
add_param_info(PlannerInfo *root, RelOptInfo *baserel, List *infos, RestrictInfo *rinfo)
{
	Relids		outer = bms_union(rinfo->clause_relids, baserel->lateral_relids);

	outer = bms_del_member(outer, baserel->relid);
	if (bms_is_empty(outer))
		return infos;
	return list_append_unique_ptr(infos, get_baserel_parampathinfo(root, baserel, outer));
}

static List *
find_param_infos(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation)
{
	List	   *infos = NIL;
	ListCell   *lc;

	foreach(lc, baserel->joininfo)
	{
		if (gives_key(relation, baserel, lfirst(lc)))
			infos = add_param_info(root, baserel, infos, lfirst(lc));
	}

	if (!baserel->has_eclass_joins)
		return infos;
	for (int i = 0; i < relation->table->natts; i++)
	{
		KeySearch	search = {relation->table, i + 1};
		List	   *clauses;

		if (!is_key_column(relation->table, &relation->table->columns[i]))
			continue;
		clauses = generate_implied_equalities_for_column(root, baserel, is_key_member, &search,
														 baserel->lateral_referencers);
		foreach(lc, clauses)
		{
			if (gives_key(relation, baserel, lfirst(lc)))
				infos = add_param_info(root, baserel, infos, lfirst(lc));
		}
	}
	/* several columns in a path may come from several relations */
	if (relation->has_placeholder && list_length(infos) > 1)
	{
		Relids		all = bms_copy(baserel->lateral_relids);

		foreach(lc, infos)
			all = bms_union(all, ((ParamPathInfo *) lfirst(lc))->ppi_req_outer);
		infos = list_append_unique_ptr(infos, get_baserel_parampathinfo(root, baserel, all));
	}
	return infos;
}

/* rows for one value of the key, of the conditions that are sent */
static double
rows_per_key(TpmRelation *relation, RelOptInfo *baserel, ParamPathInfo *info, List *conditions)
{
	if (is_by_id(relation->table, conditions))
		return 1;
	if (relation->has_placeholder)
		return Max(info->ppi_rows, 1);
	return Min(Max(info->ppi_rows, 1), relation->sent_rows);
}

static void
add_param_paths(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation)
{
	ListCell   *lc;

	foreach(lc, find_param_infos(root, baserel, relation))
	{
		ParamPathInfo *info = lfirst(lc);
		bool		exact = true;
		List	   *conditions = list_concat(list_copy(relation->conditions),
											 read_conditions(relation->table, baserel,
															 info->ppi_clauses, &exact));
		double		sent_rows = rows_per_key(relation, baserel, info, conditions);
		double		requests = tpm_estimate_requests(relation->table, conditions, sent_rows);
		Cost		startup,
					total;

		if (!placeholders_given(relation->table, conditions))
			continue;
		tpm_estimate_cost(relation->table, requests, sent_rows, &startup, &total);
		add_path(baserel, (Path *)
				 tpm_create_foreignscan_path(root, baserel, info->ppi_rows, startup, total, NIL,
											 info->ppi_req_outer,
											 list_make1(makeFloat(psprintf("%.0f", requests)))));
	}
}

void
tpm_get_paths(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	TpmRelation *relation = baserel->fdw_private;

	add_plain_path(root, baserel, relation);
	add_param_paths(root, baserel, relation);
}

/* ----- the plan ----- */

static void
raise_impossible(const TpmTable *table, const List *conditions)
{
	const char *name = column_without_value(table, conditions)->name;

	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("foreign table %s cannot be read without a value for column \"%s\"", table->name, name),
			 errdetail("The API's address of it is \"%s\".", table->resource),
			 errhint("Add a condition such as WHERE %s = '...', or join it with a table that supplies the value.",
					 quote_identifier(name))));
}

/* the clauses of a plan, bare, and what the API makes of each */
static List *
bare_clauses(List *scan_clauses)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, scan_clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (!rinfo->pseudoconstant)
			result = lappend(result, rinfo->clause);
	}
	return result;
}

static List *
int_list_of(Bitmapset *set)
{
	List	   *result = NIL;
	int			bit = -1;

	while ((bit = bms_next_member(set, bit)) >= 0)
		result = lappend_int(result, bit);
	return result;
}

/* columns that conditions, joins, grouping and order of this query level use */
static List *
checked_columns(PlannerInfo *root, RelOptInfo *rel, TpmRelation *relation)
{
	Bitmapset  *vars = NULL;
	Bitmapset  *result = NULL;
	List	   *exprs = NIL;
	ListCell   *lc;
	int			bit = -1;

	foreach(lc, rel->baserestrictinfo)
		exprs = lappend(exprs, lfirst_node(RestrictInfo, lc)->clause);
	foreach(lc, rel->joininfo)
		exprs = lappend(exprs, lfirst_node(RestrictInfo, lc)->clause);
	exprs = list_concat(exprs, get_sortgrouplist_exprs(root->parse->groupClause, root->processed_tlist));
	exprs = list_concat(exprs, get_sortgrouplist_exprs(root->parse->sortClause, root->processed_tlist));
	exprs = list_concat(exprs, get_sortgrouplist_exprs(root->parse->distinctClause, root->processed_tlist));
	foreach(lc, root->eq_classes)
	{
		EquivalenceClass *ec = lfirst(lc);
		ListCell   *lc2;

		if (bms_is_member(rel->relid, ec->ec_relids))
			foreach(lc2, ec->ec_members)
				exprs = lappend(exprs, ((EquivalenceMember *) lfirst(lc2))->em_expr);
	}
	pull_varattnos((Node *) exprs, rel->relid, &vars);
	while ((bit = bms_next_member(vars, bit)) >= 0)
		if (bit + FirstLowInvalidHeapAttributeNumber > 0)
			result = bms_add_member(result, bit + FirstLowInvalidHeapAttributeNumber);
	return int_list_of(result);
}

static int
plan_flags(PlannerInfo *root, RelOptInfo *rel)
{
	int			flags = 0;

	/* a single relation under no limit, or one that is read whole for sure */
	if (root->limit_tuples < 0 && root->tuple_fraction <= 0)
		flags |= TPM_PLAN_READS_ALL;
	return flags;
}

/* a value expression as the node that fdw_exprs holds for it */
static Expr *
value_or_null(const TpmCondition *condition)
{
	return condition->value ? condition->value : (Expr *) makeNullConst(TEXTOID, -1, InvalidOid);
}

ForeignScan *
tpm_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid foreigntableid, ForeignPath *best_path,
			 List *tlist, List *scan_clauses, Plan *outer_plan)
{
	TpmRelation *relation = rel->fdw_private;
	TpmTable   *table = relation->table;
	List	   *quals = bare_clauses(scan_clauses);
	List	   *conditions = NIL;	/* of TpmCondition * */
	List	   *triples = NIL;
	List	   *values = NIL;
	List	   *verdicts = NIL;
	List	   *private;
	ListCell   *lc;

	foreach(lc, quals)
	{
		TpmCondition *condition = palloc(sizeof(TpmCondition));

		if (!tpm_read_condition(table, rel, lfirst(lc), condition))
		{
			verdicts = lappend_int(verdicts, TPM_VERDICT_LOCAL);
			continue;
		}
		verdicts = lappend_int(verdicts, condition->verdict);
		conditions = lappend(conditions, condition);
		if (condition->verdict == TPM_VERDICT_LOCAL)
			continue;
		triples = lappend_int(triples, condition->attnum);
		triples = lappend_int(triples, condition->op);
		triples = lappend_int(triples, condition->verdict);
		values = lappend(values, value_or_null(condition));
	}
	if (!placeholders_given(table, conditions))
		raise_impossible(table, conditions);

	private = list_make5(makeInteger(foreigntableid), triples, verdicts, NIL, NIL);
	private = lappend(private, int_list_of(relation->columns));
	private = lappend(private, checked_columns(root, rel, relation));
	private = lappend(private, makeInteger(plan_flags(root, rel)));
	private = lappend(private, makeFloat(psprintf("%.0f", Max(root->limit_tuples, 0))));
	private = lappend(private, linitial(best_path->fdw_private));
	Assert(list_length(private) == TPM_PRIV_COUNT);

	return make_foreignscan(tlist, quals, rel->relid, values, private, NIL, NIL, outer_plan);
}
