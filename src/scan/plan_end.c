/*-------------------------------------------------------------------------
 *
 * plan_end.c
 *		Whether a plan reads a node of its own to its end, and how often.
 *
 * Owns that judgement, for every node type of PostgreSQL.  What follows from
 * it is up to whoever asks: what is fetched before its turn is lost where the
 * plan stops.
 *
 * It is read from the finished plan, from the top down, since the planner does
 * not tell a relation what will stand above it.  A node that hands on rows as
 * it gets them is read as far as what is above it; one that takes all rows
 * before it gives the first is read to its end in any case.  A node that is
 * not found, in an expression of which nothing is known here, may stop early.
 * "Yes" is a forecast: an error, or a hash join whose other side turns out to
 * be empty, ends a scan all the same.
 *
 * How often is the planner's estimate of the rows that give the node other
 * values each time.  What is begun again with the same values is not counted:
 * a scan keeps its rows for that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/syscache.h"

#include "client/client.h"
#include "scan/plan_end.h"

typedef struct EndSearch
{
	const PlannedStmt *stmt;
	const Plan *node;			/* that is looked for */
	Bitmapset  *walked[2];		/* subplans that were gone through without
								 * finding it read to its end: as ones that
								 * may stop, as ones that do not */
	TpmPlanRuns runs;			/* of the place at hand */
	double		evaluations;	/* of the expressions at hand */
	bool		sees_ahead;		/* their parameters, too */
	TpmPlanRuns found;			/* of the node */
	bool		only_certain;	/* not where a condition may switch it off, or
								 * no row may ask for it */
} EndSearch;

typedef struct ExpressionField
{
	NodeTag		tag;
	size_t		at;				/* of a Node * in the plan node */
} ExpressionField;

/* where nodes have expressions besides their target list and quals, and with them subqueries */
static const ExpressionField expression_fields[] = {
#define EXPRESSIONS(type, field) {T_##type, offsetof(type, field)}
	EXPRESSIONS(Result, resconstantqual),
	EXPRESSIONS(ModifyTable, withCheckOptionLists),
	EXPRESSIONS(ModifyTable, returningLists),
	EXPRESSIONS(ModifyTable, onConflictSet),
	EXPRESSIONS(ModifyTable, onConflictWhere),
	EXPRESSIONS(ModifyTable, mergeActionLists),
	EXPRESSIONS(SampleScan, tablesample),
	EXPRESSIONS(IndexScan, indexqual),
	EXPRESSIONS(IndexScan, indexorderby),
	EXPRESSIONS(IndexOnlyScan, indexqual),
	EXPRESSIONS(IndexOnlyScan, indexorderby),
	EXPRESSIONS(BitmapIndexScan, indexqual),
	EXPRESSIONS(TidScan, tidquals),
	EXPRESSIONS(TidRangeScan, tidrangequals),
	EXPRESSIONS(FunctionScan, functions),
	EXPRESSIONS(ValuesScan, values_lists),
	EXPRESSIONS(TableFuncScan, tablefunc),
	EXPRESSIONS(ForeignScan, fdw_exprs),
	EXPRESSIONS(CustomScan, custom_exprs),
	EXPRESSIONS(NestLoop, join.joinqual),
	EXPRESSIONS(MergeJoin, join.joinqual),
	EXPRESSIONS(MergeJoin, mergeclauses),
	EXPRESSIONS(HashJoin, join.joinqual),
	EXPRESSIONS(HashJoin, hashclauses),
	EXPRESSIONS(Memoize, param_exprs),
	EXPRESSIONS(WindowAgg, startOffset),
	EXPRESSIONS(WindowAgg, endOffset),
	EXPRESSIONS(Limit, limitOffset),
	EXPRESSIONS(Limit, limitCount),
#undef EXPRESSIONS
};

/* ----- what a node does with its inputs ----- */

static bool
is_aggregate_over_window(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, WindowFunc) && ((WindowFunc *) node)->winagg)
		return true;
	return expression_tree_walker(node, is_aggregate_over_window, context);
}

/*
 * An aggregate whose frame ends where the partition does takes all of it for
 * the first row.  row_number() and its like do not, and which of the others do
 * only they know.
 */
static bool
window_reads_all(const WindowAgg *window, bool all)
{
	int			open_frame = FRAMEOPTION_END_UNBOUNDED_FOLLOWING;

	if (window->partNumCols > 0)
		return all;
	/* without an order all rows are peers */
	if (window->ordNumCols == 0)
		open_frame |= FRAMEOPTION_RANGE;
	if ((window->frameOptions & open_frame) && is_aggregate_over_window((Node *) window->plan.targetlist, NULL))
		return true;
	/* such as row_number() <= 3, once it is false */
	if (window->topWindow && window->runCondition != NIL)
		return false;
	return all;
}

/* is the left input of a plan node, or its only one, read to its end?  all: the node is */
static bool
left_reads_all(const Plan *plan, bool all)
{
	switch (nodeTag(plan))
	{
		case T_Sort:
		case T_Hash:
		case T_ModifyTable:
			return true;
		case T_Agg:
			/* with grouping sets that are sorted, a mixed one hands on groups */
			return all || ((const Agg *) plan)->aggstrategy == AGG_PLAIN ||
				((const Agg *) plan)->aggstrategy == AGG_HASHED;
		case T_SetOp:
			return all || ((const SetOp *) plan)->strategy == SETOP_HASHED;
		case T_WindowAgg:
			return window_reads_all((const WindowAgg *) plan, all);
		case T_Limit:
			return all && ((const Limit *) plan)->limitCount == NULL;
		case T_MergeJoin:
			/* ends where either side does */
			return false;
		default:
			return all;
	}
}

static bool
right_reads_all(const Plan *plan, bool all)
{
	switch (nodeTag(plan))
	{
		case T_NestLoop:
			return all && !((const Join *) plan)->inner_unique &&
				((const Join *) plan)->jointype != JOIN_SEMI &&
				((const Join *) plan)->jointype != JOIN_ANTI;
		case T_SetOp:
			/* ends with the left one, where both are sorted */
			return ((const SetOp *) plan)->strategy == SETOP_HASHED;
		case T_MergeJoin:
			return false;
		default:
			return all;
	}
}

/* EXISTS leaves at the first row, ANY and ALL at the one that decides; a CTE is judged by its readers */
static bool
subquery_reads_all(const SubPlan *subplan)
{
	switch (subplan->subLinkType)
	{
		case EXISTS_SUBLINK:
		case ANY_SUBLINK:
		case ALL_SUBLINK:
			return subplan->useHashTable;
		case CTE_SUBLINK:
			return false;
		default:
			return true;
	}
}

/* ----- how often a place is begun with other values ----- */

/* other values come from so many rows, below the nodes that they give parameters to */
static void
multiply_runs(EndSearch *search, double rows, bool sees_ahead)
{
	if (sees_ahead)
		search->runs.keys *= Max(rows, 1);
	else
		search->runs.loops *= Max(rows, 1);
}

/* back to where the search was, but for what it has found */
static void
return_to(EndSearch *search, const EndSearch *before)
{
	search->runs = before->runs;
	search->evaluations = before->evaluations;
	search->sees_ahead = before->sees_ahead;
}

static void
enter_right(EndSearch *search, const Plan *plan)
{
	ListCell   *lc;

	if (!IsA(plan, NestLoop))
		return;
	foreach(lc, ((const NestLoop *) plan)->nestParams)
	{
		if (bms_is_member(((NestLoopParam *) lfirst(lc))->paramno, search->node->extParam))
		{
			multiply_runs(search, plan->lefttree->plan_rows, IsA(plan->lefttree, CustomScan));
			return;
		}
	}
}

static void
enter_subplan(EndSearch *search, const SubPlan *subplan)
{
	ListCell   *lc;

	foreach(lc, subplan->parParam)
	{
		if (bms_is_member(lfirst_int(lc), search->node->extParam))
		{
			multiply_runs(search, search->evaluations, search->sees_ahead);
			return;
		}
	}
}

/* rows that a node's quals are tested with */
static double
rows_tested(const EndSearch *search, const Plan *plan)
{
	double		rows = plan->lefttree ? plan->lefttree->plan_rows : plan->plan_rows;

	if (IsA(plan, SeqScan))
	{
		RangeTblEntry *rte = rt_fetch(((const Scan *) plan)->scanrelid, search->stmt->rtable);
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(rte->relid));

		if (HeapTupleIsValid(tuple))
		{
			rows = Max(rows, ((Form_pg_class) GETSTRUCT(tuple))->reltuples);
			ReleaseSysCache(tuple);
		}
	}
	return rows;
}

/* what a node computes, it does for each row that it gives */
static void
enter_expressions(EndSearch *search, const Plan *plan, bool quals)
{
	search->evaluations = quals ? rows_tested(search, plan) : plan->plan_rows;
	search->sees_ahead = IsA(plan, CustomScan) || (plan->lefttree && IsA(plan->lefttree, CustomScan));
}

/* ----- the way down; each is true where the node is found, read to its end ----- */

static bool is_found_in(EndSearch *search, const Plan *plan, bool all);

/* each subplan once as either, however many read it */
static bool
is_found_in_subplan(EndSearch *search, int plan_id, bool all)
{
	if (bms_is_member(plan_id, search->walked[all]) || bms_is_member(plan_id, search->walked[true]))
		return false;
	search->walked[all] = bms_add_member(search->walked[all], plan_id);
	return is_found_in(search, list_nth(search->stmt->subplans, plan_id - 1), all);
}

static bool
is_found_in_expression(Node *node, void *context)
{
	EndSearch  *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, SubPlan))
	{
		EndSearch	before = *search;
		bool		found;

		enter_subplan(search, (SubPlan *) node);
		found = is_found_in_subplan(search, ((SubPlan *) node)->plan_id, subquery_reads_all((SubPlan *) node));
		return_to(search, &before);
		if (found)
			return true;
	}
	return expression_tree_walker(node, is_found_in_expression, context);
}

static bool
is_found_in_expressions_of(EndSearch *search, const Plan *plan)
{
	enter_expressions(search, plan, false);
	if (is_found_in_expression((Node *) plan->initPlan, search))
		return true;
	if (search->only_certain)
		return false;
	if (is_found_in_expression((Node *) plan->targetlist, search))
		return true;
	enter_expressions(search, plan, true);
	if (is_found_in_expression((Node *) plan->qual, search))
		return true;
	for (int i = 0; i < (int) lengthof(expression_fields); i++)
	{
		if (expression_fields[i].tag == nodeTag(plan) &&
			is_found_in_expression(*(Node *const *) ((const char *) plan + expression_fields[i].at), search))
			return true;
	}
	return false;
}

static bool
is_found_in_any(EndSearch *search, List *plans, bool all)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		if (is_found_in(search, lfirst(lc), all))
			return true;
	}
	return false;
}

/* in the inputs that are neither left nor right */
static bool
is_found_in_others(EndSearch *search, const Plan *plan, bool all)
{
	switch (nodeTag(plan))
	{
		case T_Append:
			return is_found_in_any(search, ((const Append *) plan)->appendplans, all);
		case T_MergeAppend:
			return is_found_in_any(search, ((const MergeAppend *) plan)->mergeplans, all);
		case T_SubqueryScan:
			return is_found_in(search, ((const SubqueryScan *) plan)->subplan, all);
		case T_CustomScan:
			return is_found_in_any(search, ((const CustomScan *) plan)->custom_plans, all);
		case T_CteScan:
			return is_found_in_subplan(search, ((const CteScan *) plan)->ctePlanId, all);
		default:
			return false;
	}
}

static bool
is_found_in_right(EndSearch *search, const Plan *plan, bool all)
{
	EndSearch	before = *search;
	bool		found;

	enter_right(search, plan);
	found = is_found_in(search, plan->righttree, right_reads_all(plan, all));
	return_to(search, &before);
	return found;
}

static bool
is_found_in(EndSearch *search, const Plan *plan, bool all)
{
	if (plan == NULL)
		return false;
	if (plan == search->node)
	{
		search->found = search->runs;
		return all;
	}
	if (search->only_certain && IsA(plan, Result) && ((const Result *) plan)->resconstantqual != NULL)
		return false;
	check_stack_depth();
	return is_found_in(search, plan->lefttree, left_reads_all(plan, all)) ||
		is_found_in_right(search, plan, all) ||
		is_found_in_others(search, plan, all) ||
		is_found_in_expressions_of(search, plan);
}

void
tpm_plan_runs(EState *estate, const Plan *node, TpmPlanRuns *runs)
{
	EndSearch	search = {.stmt = estate->es_plannedstmt,.node = node,.runs = {1, 1},.found = {1, 1}};

	(void) is_found_in(&search, search.stmt->planTree, true);
	*runs = search.found;
}

bool
tpm_plan_is_read_to_end(EState *estate, const Plan *node)
{
	EndSearch	search = {.stmt = estate->es_plannedstmt,.node = node};

	return is_found_in(&search, search.stmt->planTree, !tpm_statement_of(estate)->wants_some);
}

bool
tpm_plan_will_read_to_end(EState *estate, const Plan *node)
{
	EndSearch	search = {.stmt = estate->es_plannedstmt,.node = node,.only_certain = true};

	return is_found_in(&search, search.stmt->planTree, !tpm_statement_of(estate)->wants_some);
}
