/*-------------------------------------------------------------------------
 *
 * plan.c
 *		What is known of a relation, and the plan of a path.
 *
 * Owns what the planner learns of a relation, and what a plan carries to its
 * run.
 *
 * What a plan holds is described in scan/plan_private.h.  Every condition stays in the
 * plan's quals, sent or not, so that nothing depends on where a row came
 * from.  Which paths are offered is path.c's.
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
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "compat.h"
#include "plan/plan.h"
#include "scan/order.h"
#include "scan/scan.h"

/* ----- the relation ----- */

List *
tpm_read_conditions(const TpmTable *table, RelOptInfo *rel, List *rinfos, bool *all_exact)
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

bool
tpm_placeholders_given(const TpmTable *table, const List *conditions)
{
	return column_without_value(table, conditions) == NULL;
}

/* what the query reads: output, and what is checked here */
static Bitmapset *
columns_used(RelOptInfo *baserel, const TpmTable *table)
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
	return tpm_columns_with_sources(table, result);
}

/* can the statement be answered from a whole list, as things are now? */
static bool
is_list_kept(PlannerInfo *root, RelOptInfo *baserel, const TpmTable *table)
{
	TpmCacheAge age = tpm_cache_age_of(table);

	return !tpm_plan_feeds_write(root) &&
		tpm_cache_has_whole(table->relid, tpm_rel_user(root, baserel), table->options_hash, &age);
}

void
tpm_get_rel_size(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	TpmRelation *relation = palloc0(sizeof(TpmRelation));

	relation->table = tpm_get_table(foreigntableid);
	if (!(relation->table->ops & TPM_OP_READ))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("foreign table %s does not allow reads", relation->table->name),
				 errdetail("Its option \"ops\" does not hold \"read\".")));
	relation->all_exact = true;
	relation->conditions = tpm_read_conditions(relation->table, baserel, baserel->baserestrictinfo,
											   &relation->all_exact);
	for (int i = 0; i < relation->table->natts; i++)
		if (relation->table->columns[i].placeholder)
			relation->has_placeholder = true;
	relation->placeholders_given = tpm_placeholders_given(relation->table, relation->conditions);
	relation->columns = columns_used(baserel, relation->table);
	relation->is_kept = is_list_kept(root, baserel, relation->table);
	baserel->fdw_private = relation;
	tpm_estimate_size(root, baserel, relation);
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

/* what windows are made by, and what FILTER tests */
static List *
exprs_of_windows_and_filters(PlannerInfo *root)
{
	List	   *exprs = NIL;
	ListCell   *lc;

	foreach(lc, root->parse->windowClause)
	{
		WindowClause *window = lfirst(lc);

		exprs = list_concat(exprs, get_sortgrouplist_exprs(window->partitionClause, root->processed_tlist));
		exprs = list_concat(exprs, get_sortgrouplist_exprs(window->orderClause, root->processed_tlist));
	}
	foreach(lc, pull_var_clause((Node *) root->processed_tlist,
								PVC_INCLUDE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS))
	{
		if (IsA(lfirst(lc), Aggref))
			exprs = lappend(exprs, lfirst_node(Aggref, lc)->aggfilter);
	}
	return exprs;
}

/*
 * The relation's columns in these expressions, as pull_varattnos() gives them.
 * Of a partition or another child they mostly name the parent's.
 */
static Bitmapset *
columns_in(PlannerInfo *root, Index relid, List *exprs)
{
	AppendRelInfo *child = root->append_rel_array ? root->append_rel_array[relid] : NULL;
	Bitmapset  *result = NULL;
	Bitmapset  *above;
	int			bit = -1;

	pull_varattnos((Node *) exprs, relid, &result);
	if (child == NULL)
		return result;
	above = columns_in(root, child->parent_relid, exprs);
	while ((bit = bms_next_member(above, bit)) >= 0)
	{
		int			attno = bit + FirstLowInvalidHeapAttributeNumber;

		if (attno > 0)
			pull_varattnos(list_nth(child->translated_vars, attno - 1), relid, &result);
	}
	return result;
}

/* does the statement write what it reads, here or to an API? */
static bool
is_of_a_write(PlannerInfo *root)
{
	while (root->parent_root)
		root = root->parent_root;
	return root->parse->commandType != CMD_SELECT || root->parse->hasModifyingCTE;
}

/*
 * Columns that conditions, joins, grouping and order of this query level use,
 * or that feed a write.  (The row that an UPDATE compares with, whole, does
 * not: what is not set is left as it is.)
 */
static List *
checked_columns(PlannerInfo *root, RelOptInfo *rel)
{
	bool		feeds = is_of_a_write(root);
	Bitmapset  *vars;
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
	exprs = list_concat(exprs, exprs_of_windows_and_filters(root));
	foreach(lc, root->eq_classes)
	{
		EquivalenceClass *ec = lfirst(lc);
		ListCell   *lc2;

		foreach(lc2, ec->ec_members)
			exprs = lappend(exprs, ((EquivalenceMember *) lfirst(lc2))->em_expr);
	}
	if (feeds)
		exprs = list_concat(exprs, rel->reltarget->exprs);
	vars = columns_in(root, rel->relid, exprs);
	while ((bit = bms_next_member(vars, bit)) >= 0)
	{
		int			attnum = bit + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0)
			result = bms_add_member(result, attnum);
		else if (attnum == 0 && feeds && !bms_is_member(rel->relid, root->all_result_relids))
			result = bms_add_range(result, 1, rel->max_attr);
	}
	return int_list_of(tpm_columns_with_sources(((TpmRelation *) rel->fdw_private)->table, result));
}

/* does the statement change a table of an API, perhaps this one? */
bool
tpm_plan_feeds_write(PlannerInfo *root)
{
	Query	   *parse;
	char		relkind;

	while (root->parent_root)
		root = root->parent_root;
	parse = root->parse;
	if (parse->hasModifyingCTE)
		return true;
	if (parse->commandType == CMD_SELECT || parse->resultRelation == 0)
		return false;
	relkind = rt_fetch(parse->resultRelation, parse->rtable)->relkind;
	return relkind == RELKIND_FOREIGN_TABLE || relkind == RELKIND_PARTITIONED_TABLE;
}

/*
 * Are the first rows of this list all that the query can want?  Only where
 * nothing between it and the LIMIT drops or reorders rows.
 */
static bool
small_page_is_enough(PlannerInfo *root, RelOptInfo *rel, const TpmRelation *relation,
					 const List *pathkeys)
{
	return root->limit_tuples > 0 && relation->all_exact &&
		bms_equal(root->all_baserels, rel->relids) &&
		pathkeys_contained_in(root->query_pathkeys, (List *) pathkeys);
}

/*
 * Is the relation searched anew for each row of others, only to know whether
 * there is a match?  The first one ends that.
 */
static bool
is_searched_for_one_match(PlannerInfo *root, const RelOptInfo *rel)
{
	ListCell   *lc;

	if (bms_is_empty(root->curOuterRels))
		return false;
	foreach(lc, root->join_info_list)
	{
		const SpecialJoinInfo *join = lfirst(lc);

		if ((join->jointype == JOIN_SEMI || join->jointype == JOIN_ANTI) &&
			bms_is_subset(rel->relids, join->syn_righthand))
			return true;
	}
	return false;
}

static int
plan_flags(PlannerInfo *root, RelOptInfo *rel, const TpmRelation *relation, const Path *path,
		   const List *stops)
{
	int			flags = 0;

	if (root->limit_tuples < 0 && root->tuple_fraction <= 0 && stops == NIL &&
		!is_searched_for_one_match(root, rel))
		flags |= TPM_PLAN_READS_ALL;
	if (small_page_is_enough(root, rel, relation, path->pathkeys))
		flags |= TPM_PLAN_SMALL_PAGE;
	if (tpm_plan_feeds_write(root))
		flags |= TPM_PLAN_NO_CACHE;
	return flags;
}

/* a value expression as the node that fdw_exprs holds for it */
static Expr *
value_or_null(const TpmCondition *condition)
{
	return condition->value ? condition->value : (Expr *) makeNullConst(TEXTOID, -1, InvalidOid);
}

void
tpm_plan_add_clause(const TpmTable *table, RelOptInfo *rel, const List *order, Expr *clause,
					TpmPlanClauses *parts)
{
	TpmCondition *condition = palloc(sizeof(TpmCondition));

	parts->quals = lappend(parts->quals, clause);
	if (!tpm_read_condition(table, rel, clause, condition))
	{
		parts->verdicts = lappend_int(parts->verdicts, TPM_VERDICT_LOCAL);
		return;
	}
	parts->verdicts = lappend_int(parts->verdicts, condition->verdict);
	parts->conditions = lappend(parts->conditions, condition);
	if (tpm_order_ends_at(order, condition))
		parts->stops = lappend_int(parts->stops, list_length(parts->quals) - 1);
	if (condition->verdict == TPM_VERDICT_LOCAL)
		return;
	parts->triples = lappend_int(parts->triples, condition->attnum);
	parts->triples = lappend_int(parts->triples, condition->op);
	parts->triples = lappend_int(parts->triples, condition->verdict);
	parts->values = lappend(parts->values, value_or_null(condition));
}

/* what the query reads, and what its order is verified by */
List *
tpm_plan_columns(const TpmRelation *relation, const List *order)
{
	Bitmapset  *columns = bms_copy(relation->columns);

	for (int i = 0; i < list_length(order); i += TPM_ORDER_WIDTH)
		columns = bms_add_member(columns, list_nth_int(order, i));
	return int_list_of(columns);
}

ForeignScan *
tpm_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid foreigntableid, ForeignPath *best_path,
			 List *tlist, List *scan_clauses, Plan *outer_plan)
{
	TpmRelation *relation = rel->fdw_private;
	List	   *order = list_nth(best_path->fdw_private, TPM_PATH_ORDER);
	TpmPlanClauses parts = {0};
	List	   *private;
	ListCell   *lc;

	if (IS_UPPER_REL(rel))
		return tpm_get_count_plan(root, rel, best_path, tlist);
	foreach(lc, bare_clauses(scan_clauses))
		tpm_plan_add_clause(relation->table, rel, order, lfirst(lc), &parts);
	if (!tpm_placeholders_given(relation->table, parts.conditions))
		raise_impossible(relation->table, parts.conditions);

	private = list_make5(makeInteger(foreigntableid), parts.triples, parts.verdicts, order,
						 parts.stops);
	private = lappend(private, tpm_plan_columns(relation, order));
	private = lappend(private, checked_columns(root, rel));
	private = lappend(private, makeInteger(plan_flags(root, rel, relation, &best_path->path,
													  parts.stops)));
	private = lappend(private, makeFloat(psprintf("%.0f", Max(root->limit_tuples, 0))));
	private = lappend(private, list_nth(best_path->fdw_private, TPM_PATH_REQUESTS));
	private = tpm_plan_add_key(root, relation->table, &parts, best_path,
							   is_searched_for_one_match(root, rel), private);
	Assert(list_length(private) == TPM_PRIV_COUNT);

	return make_foreignscan(tlist, parts.quals, rel->relid, parts.values, private, NIL, NIL,
							outer_plan);
}
