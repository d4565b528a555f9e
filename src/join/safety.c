/*-------------------------------------------------------------------------
 *
 * safety.c
 *		What may be read before it is needed.
 *
 * Owns the search for what would be noticed if rows were read ahead and then
 * not wanted: functions called and rows locked, and errors that nobody would
 * have met.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "join/join_internal.h"

static bool
is_volatile_function(Oid function, void *context)
{
	return func_volatile(function) == PROVOLATILE_VOLATILE;
}

/* does running it have an effect? */
static bool
has_effect(Node *node, PlannerInfo *root)
{
	if (node == NULL)
		return false;
	if (IsA(node, RestrictInfo))
		node = (Node *) ((RestrictInfo *) node)->clause;
	if (IsA(node, NextValueExpr) || check_functions_in_node(node, is_volatile_function, NULL))
		return true;
	if (IsA(node, SubPlan))
	{
		PlannerInfo *subroot = list_nth(root->glob->subroots, ((SubPlan *) node)->plan_id - 1);

		if (has_effect((Node *) subroot->parse, root))
			return true;
	}
	if (IsA(node, Query))
		return ((Query *) node)->rowMarks != NIL ||
			query_tree_walker((Query *) node, has_effect, root, 0);
	return expression_tree_walker(node, has_effect, root);
}

/* the query that a reference to a WITH query stands for */
static Node *
query_of_cte(PlannerInfo *root, const RangeTblEntry *rte)
{
	ListCell   *lc;

	for (Index level = 0; level < rte->ctelevelsup; level++)
		root = root->parent_root;
	foreach(lc, root->parse->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		if (strcmp(cte->ctename, rte->ctename) == 0)
			return cte->ctequery;
	}
	return NULL;
}

/* may it raise an error?  What PostgreSQL calls leakproof does not. */
static bool
may_fail(Node *node, PlannerInfo *root)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Query:
			return query_tree_walker((Query *) node, may_fail, root, 0);
		case T_List:
		case T_TargetEntry:
		case T_FromExpr:
		case T_JoinExpr:
		case T_RangeTblRef:
		case T_SetOperationStmt:
		case T_CommonTableExpr:
			return expression_tree_walker(node, may_fail, root);
		case T_RestrictInfo:
			return contain_leaked_vars((Node *) ((RestrictInfo *) node)->clause);
		default:
			return contain_leaked_vars(node);
	}
}

/* the conditions of joins that are tested among these relations */
static List *
join_conditions(const RelOptInfo *rel, Relids relids)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, rel->joininfo)
	{
		if (bms_is_subset(lfirst_node(RestrictInfo, lc)->required_relids, relids))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

TpmSafety
tpm_safety_of_reading_ahead(PlannerInfo *root, Relids relids, const List *exprs)
{
	List	   *computed = list_copy(exprs);
	TpmSafety	result = TPM_SAFE;
	int			relid = -1;

	while ((relid = bms_next_member(relids, relid)) >= 0)
	{
		RelOptInfo *rel = root->simple_rel_array[relid];
		RangeTblEntry *rte = root->simple_rte_array[relid];

		/* an outer join has a number as well */
		if (rel == NULL)
			continue;
		computed = list_concat(computed, rel->baserestrictinfo);
		computed = list_concat(computed, join_conditions(rel, relids));

		/*
		 * what is computed of a single one is known; its target may be that
		 * of rows above it by now
		 */
		if (!bms_equal(rel->relids, relids))
			computed = list_concat(computed, rel->reltarget->exprs);
		if (rte->rtekind == RTE_CTE && !rte->self_reference)
			computed = lappend(computed, query_of_cte(root, rte));
		if (range_table_entry_walker(rte, has_effect, root, 0))
			return TPM_UNSAFE;

		/*
		 * a function that is called once gives all its rows before the first
		 * one is read
		 */
		if ((rte->rtekind != RTE_FUNCTION || rte->lateral) && range_table_entry_walker(rte, may_fail, root, 0))
			result = TPM_SAFE_TO_THE_END;
	}
	if (has_effect((Node *) computed, root))
		return TPM_UNSAFE;
	return may_fail((Node *) computed, root) ? TPM_SAFE_TO_THE_END : result;
}
