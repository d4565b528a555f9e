/*-------------------------------------------------------------------------
 *
 * subquery_path.c
 *		Look-ahead nodes for subqueries that are run once for each outer row.
 *
 * Owns which subqueries get one: those in FROM (LATERAL), whose join is
 * join_path.c's, and those in what a query gives, sorts, groups or sets by,
 * where the node computes it.  Those in conditions have none.
 *
 * A subquery gets the key through a parameter, whose number is known before
 * there is a plan, and which the scan's plan names as its link.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/planner.h"

#include "join/join_internal.h"

static create_upper_paths_hook_type next_upper_hook = NULL;

/* the scan by key in a query, or in one inside it, whose key is one of these parameters */
static bool
find_scan_by_param(PlannerInfo *root, const Bitmapset *params, TpmLookahead *ahead)
{
	for (int i = 1; i < root->simple_rel_array_size; i++)
	{
		RelOptInfo *rel = root->simple_rel_array[i];
		TpmRelation *relation;
		Param	   *param;

		if (rel == NULL)
			continue;
		if (rel->subroot && find_scan_by_param(rel->subroot, params, ahead))
			return true;
		relation = tpm_relation_of_ours(rel);
		if (relation == NULL || !tpm_plan_key(root, relation->table, relation->conditions, &ahead->key) ||
			!tpm_key_takes_lists(relation->table, &ahead->key))
			continue;
		param = (Param *) ahead->key.source;
		if (!IsA(param, Param) || !bms_is_member(param->paramid, params))
			continue;
		ahead->rel = NULL;
		ahead->takes_lists = true;
		ahead->table = relation->table;
		ahead->link = TPM_LINK_OF_PARAM(param->paramid);
		ahead->rows_per_key = relation->sent_rows;
		if (root->limit_tuples > 0)
			ahead->rows_per_key = Min(ahead->rows_per_key, root->limit_tuples);
		ahead->saved = tpm_estimate_requests(relation->table, relation->conditions, relation->sent_rows);
		return true;
	}
	return false;
}

/* ----- in FROM ----- */

bool
tpm_looks_ahead_for_subquery(const RelOptInfo *rel, TpmLookahead *ahead)
{
	Bitmapset  *params = NULL;
	ListCell   *lc;

	foreach(lc, rel->subplan_params)
		params = bms_add_member(params, ((PlannerParamItem *) lfirst(lc))->paramId);
	if (params == NULL || rel->subroot == NULL || !find_scan_by_param(rel->subroot, params, ahead))
		return false;
	foreach(lc, rel->subplan_params)
	{
		PlannerParamItem *item = lfirst(lc);

		if (TPM_LINK_OF_PARAM(item->paramId) == ahead->link)
			ahead->source = item->item;
	}
	return true;
}

/* ----- in what a query computes ----- */

typedef struct SubqueryWalk
{
	PlannerInfo *root;
	CustomPath *node;
	TpmSafety	safety;
	bool		is_named;		/* the expression is one to sort or group by */
	bool		in_choice;		/* of the planner's, between two ways to run
								 * it */
	bool		found;
} SubqueryWalk;

static void
look_ahead_for_subplan(SubqueryWalk *walk, SubPlan *subplan)
{
	Bitmapset  *params = NULL;
	TpmLookahead ahead;
	ListCell   *lc,
			   *lc2;

	foreach(lc, subplan->parParam)
		params = bms_add_member(params, lfirst_int(lc));
	if (params == NULL || subplan->useHashTable ||
		!find_scan_by_param(list_nth(walk->root->glob->subroots, subplan->plan_id - 1), params, &ahead))
		return;
	forboth(lc, subplan->parParam, lc2, subplan->args)
	{
		if (TPM_LINK_OF_PARAM(lfirst_int(lc)) == ahead.link)
			ahead.source = lfirst(lc2);
	}
	ahead.safety = walk->safety;
	if (!tpm_lookahead_add_key(walk->root, walk->node, &ahead))
		return;
	walk->found = true;
	if (walk->in_choice)
	{
		subplan->startup_cost = 0;
		subplan->per_call_cost = ahead.each + TPM_REQUEST_COST * ahead.requests / Max(1, walk->node->path.rows);
	}
}

static bool
find_subplans(Node *expr, SubqueryWalk *walk)
{
	if (expr == NULL)
		return false;
	if (IsA(expr, AlternativeSubPlan))
	{
		if (walk->is_named)
			return false;
		walk->in_choice = true;
		expression_tree_walker(expr, find_subplans, walk);
		walk->in_choice = false;
		return false;
	}
	if (IsA(expr, SubPlan))
		look_ahead_for_subplan(walk, (SubPlan *) expr);
	return expression_tree_walker(expr, find_subplans, walk);
}

/*
 * Puts a node below what computes subqueries, and lets it compute them.  What
 * rows are sorted or grouped by is found again by being equal, its costs
 * included, so a choice in it is left alone.  bound: of the rows, 0 none, -1
 * one that is not known yet.
 */
static bool
look_ahead_below(PlannerInfo *root, ProjectionPath *path, int bound)
{
	PathTarget *target = path->path.pathtarget;
	Path	   *outer = path->subpath;
	SubqueryWalk walk = {.root = root};
	List	   *exprs;
	ListCell   *lc;

	/* paths share others, which have been seen then */
	if (tpm_is_lookahead_path(outer))
		return true;
	if (!contain_subplans((Node *) target->exprs))
		return false;
	/* a Sort that is not told its bound sorts all rows */
	if (bound < 0 && (IsA(outer, SortPath) || IsA(outer, IncrementalSortPath)))
		return false;
	exprs = list_concat_copy(outer->pathtarget->exprs, (List *) root->parse->havingQual);
	walk.safety = tpm_safety_of_reading_ahead(root,
											  IS_UPPER_REL(outer->parent) ? tpm_all_query_rels(root)
											  : outer->parent->relids, exprs);
	if (walk.safety == TPM_UNSAFE)
		return false;
	walk.node = tpm_lookahead_path(root, outer, Max(bound, 0));
	foreach(lc, target->exprs)
	{
		walk.is_named = get_pathtarget_sortgroupref(target, foreach_current_index(lc)) != 0;
		find_subplans(lfirst(lc), &walk);
	}
	if (walk.found)
		path->subpath = &walk.node->path;
	return walk.found;
}

/* what gives a path its rows, where it takes all or the first of them, one after the other */
static Path *
path_of_its_rows(Path *path)
{
	switch (nodeTag(path))
	{
		case T_LimitPath:
			return ((LimitPath *) path)->subpath;
		case T_ProjectionPath:
			return ((ProjectionPath *) path)->subpath;
		case T_LockRowsPath:
			return ((LockRowsPath *) path)->subpath;
		case T_ModifyTablePath:
			return ((ModifyTablePath *) path)->subpath;
		case T_SortPath:
		case T_IncrementalSortPath:
			return ((SortPath *) path)->subpath;
		case T_WindowAggPath:
			return ((WindowAggPath *) path)->subpath;
		case T_TpmUniquePath:
			return ((TpmUniquePath *) path)->subpath;
		case T_AggPath:
			return ((AggPath *) path)->subpath;
		case T_GroupPath:
			return ((GroupPath *) path)->subpath;
		default:
			return NULL;
	}
}

/* the highest place on the way down where rows are computed with subqueries that can look ahead */
static void
look_ahead_in(PlannerInfo *root, Path *path)
{
	int			bound = 0;

	for (; path; path = path_of_its_rows(path))
	{
		if (IsA(path, LimitPath))
			bound = ((LimitPath *) path)->limitOption == LIMIT_OPTION_COUNT && root->limit_tuples > 0
				? (int) Min(root->limit_tuples, INT_MAX) : -1;
		else if (!IsA(path, ProjectionPath))
			bound = 0;
		else if (look_ahead_below(root, (ProjectionPath *) path, bound))
			return;
	}
}

static void
look_ahead_for_subqueries(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input, RelOptInfo *output,
						  void *extra)
{
	ListCell   *lc;

	if (next_upper_hook)
		next_upper_hook(root, stage, input, output, extra);
	if (!tpm_enable_lookahead || stage != UPPERREL_FINAL || root->glob->subplans == NIL)
		return;
	foreach(lc, output->pathlist)
		look_ahead_in(root, lfirst(lc));
}

void
tpm_subquery_install_hook(void)
{
	next_upper_hook = create_upper_paths_hook;
	create_upper_paths_hook = look_ahead_for_subqueries;
}
