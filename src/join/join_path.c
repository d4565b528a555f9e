/*-------------------------------------------------------------------------
 *
 * join_path.c
 *		Nested loops over a look-ahead node.
 *
 * Owns which joins get one: those whose inner side is a scan by key of ours, or
 * a subquery with one (subquery_path.c), asked once for each outer row.
 *
 * The inner path is copied and priced without its requests, which are the
 * node's; PostgreSQL's own nested loop over the same paths may have been
 * dominated long before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"

#include "join/join_internal.h"

bool		tpm_enable_lookahead = true;

static set_join_pathlist_hook_type next_join_hook = NULL;

TpmRelation *
tpm_relation_of_ours(const RelOptInfo *rel)
{
	return rel->fdwroutine && rel->fdwroutine->GetForeignPaths == tpm_get_paths ? rel->fdw_private : NULL;
}

/* a number for the plans of a node and the scan that it looks ahead for */
static int
new_link(void)
{
	static int	last = 0;

	last = last == INT_MAX ? 1 : last + 1;
	return last;
}

/*
 * Keys that are a request each may be under way together.  What else differs
 * from row to row would be left out of these, and may be what the path needs.
 */
static bool
go_side_by_side(const TpmTable *table, const ParamPathInfo *info)
{
	return table->opt.fetch_concurrency > 1 && list_length(info->ppi_clauses) == 1;
}

/* a scan of ours whose key can be had of outer rows */
static bool
looks_ahead_for_scan(PlannerInfo *root, const ForeignPath *path, TpmLookahead *ahead)
{
	RelOptInfo *rel = path->path.parent;
	TpmRelation *relation = tpm_relation_of_ours(rel);
	ParamPathInfo *info = path->path.param_info;
	List	   *conditions;
	bool		exact;

	/* rows that need no request: other joins, by hash above all, cost less */
	if (relation == NULL || info == NULL || relation->is_kept)
		return false;
	conditions = list_concat_copy(relation->conditions,
								  tpm_read_conditions(relation->table, rel, info->ppi_clauses, &exact));
	if (!tpm_plan_key(root, relation->table, conditions, &ahead->key))
		return false;
	ahead->takes_lists = tpm_key_takes_lists(relation->table, &ahead->key);
	if (!ahead->takes_lists && !go_side_by_side(relation->table, info))
		return false;
	ahead->rel = rel;
	ahead->table = relation->table;
	ahead->source = ahead->key.source;
	ahead->rows_per_key = tpm_rows_per_key(relation, info, conditions);
	ahead->link = new_link();
	return true;
}

/* the scans below an inner path, one or those of partitions; of TpmLookahead * */
static List *
scans_to_look_ahead_for(PlannerInfo *root, Path *inner)
{
	TpmLookahead *ahead = palloc0(sizeof(TpmLookahead));
	List	   *result = NIL;
	ListCell   *lc;

	if (IsA(inner, AppendPath))
	{
		foreach(lc, ((AppendPath *) inner)->subpaths)
			result = list_concat(result, scans_to_look_ahead_for(root, lfirst(lc)));
		return result;
	}
	if (IsA(inner, ForeignPath) ? looks_ahead_for_scan(root, (ForeignPath *) inner, ahead)
		: IsA(inner, SubqueryScanPath) && tpm_looks_ahead_for_subquery(inner->parent, ahead))
	{
		ahead->path = inner;
		result = list_make1(ahead);
	}
	return result;
}

static Path *
copy_scan_without_requests(const ForeignPath *path, const TpmLookahead *ahead)
{
	ForeignPath *copy = makeNode(ForeignPath);

	*copy = *path;
	copy->fdw_private = list_make4(makeFloat(psprintf("%.0f", ahead->requests)),
								   list_nth(path->fdw_private, TPM_PATH_ORDER),
								   makeInteger(ahead->link), ahead->key.clause);
	copy->path.startup_cost = 0;
	copy->path.total_cost = ahead->each;
	return &copy->path;
}

static Path *
copy_subquery_without_requests(const SubqueryScanPath *path, const TpmLookahead *ahead)
{
	SubqueryScanPath *copy = makeNode(SubqueryScanPath);
	Path	   *priced = &copy->path;

	*copy = *path;
	priced->total_cost = Max(ahead->each, priced->total_cost - TPM_REQUEST_COST * ahead->saved);
	priced->startup_cost = Min(priced->total_cost, Max(0, priced->startup_cost - TPM_REQUEST_COST));
	return priced;
}

/* the inner path without the requests of these scans */
static Path *
copy_without_requests(Path *path, const List *aheads)
{
	ListCell   *lc;

	if (IsA(path, AppendPath))
	{
		AppendPath *copy = makeNode(AppendPath);

		*copy = *(AppendPath *) path;
		copy->subpaths = NIL;
		copy->path.startup_cost = copy->path.total_cost = 0;
		foreach(lc, ((AppendPath *) path)->subpaths)
		{
			Path	   *child = copy_without_requests(lfirst(lc), aheads);

			copy->subpaths = lappend(copy->subpaths, child);
			copy->path.total_cost += child->total_cost;
		}
		return &copy->path;
	}
	foreach(lc, aheads)
	{
		const TpmLookahead *ahead = lfirst(lc);

		if (ahead->path != path)
			continue;
		return IsA(path, ForeignPath) ? copy_scan_without_requests((ForeignPath *) path, ahead)
			: copy_subquery_without_requests((SubqueryScanPath *) path, ahead);
	}
	return path;
}

/*
 * Is the plan likely to stop before the rows of this path have ended?  A LIMIT
 * does, unless a Sort is needed.
 */
static bool
may_stop_early(const PlannerInfo *root, const Path *outer)
{
	return (root->limit_tuples > 0 || root->tuple_fraction >= 1) &&
		pathkeys_contained_in(root->query_pathkeys, outer->pathkeys);
}

static void
add_lookahead_join(PlannerInfo *root, RelOptInfo *joinrel, JoinType jointype, JoinPathExtraData *extra,
				   Path *outer, Path *inner, const List *aheads)
{
	JoinCostWorkspace workspace;
	CustomPath *node = tpm_lookahead_path(root, outer, 0);
	Path	   *copy;
	ListCell   *lc;

	foreach(lc, aheads)
	{
		if (!tpm_lookahead_add_key(root, node, lfirst(lc)))
			return;
	}
	copy = copy_without_requests(inner, aheads);
	tpm_initial_cost_nestloop(root, &workspace, jointype, &node->path, copy, extra);
	add_path(joinrel, (Path *)
			 create_nestloop_path(root, joinrel, jointype, &workspace, extra, &node->path, copy,
								  extra->restrictlist,
								  build_join_pathkeys(root, joinrel, jointype, outer->pathkeys), NULL));
}

/*
 * The paths of outer rows that a node may be put over: the cheapest, and those
 * with an order.  Where it would not read ahead, it is no cheaper than
 * PostgreSQL's own nested loop.
 */
static List *
outer_paths(PlannerInfo *root, RelOptInfo *outerrel, JoinType jointype, JoinPathExtraData *extra,
			TpmSafety safety)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, jointype == JOIN_UNIQUE_OUTER ? tpm_unique_paths(root, outerrel, extra->sjinfo) : outerrel->pathlist)
	{
		Path	   *path = lfirst(lc);

		if (path->param_info || (safety == TPM_SAFE_TO_THE_END && may_stop_early(root, path)))
			continue;
		if (jointype == JOIN_UNIQUE_OUTER || path == outerrel->cheapest_total_path ||
			path == outerrel->cheapest_startup_path || path->pathkeys != NIL)
			result = lappend(result, path);
	}
	return result;
}

static bool
is_nested_loop(JoinType jointype)
{
	return jointype == JOIN_INNER || jointype == JOIN_LEFT || jointype == JOIN_SEMI ||
		jointype == JOIN_ANTI || jointype == JOIN_UNIQUE_OUTER;
}

static void
add_lookahead_joins(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel, RelOptInfo *innerrel,
					JoinType jointype, JoinPathExtraData *extra)
{
	ListCell   *lc,
			   *lc2;

	if (next_join_hook)
		next_join_hook(root, joinrel, outerrel, innerrel, jointype, extra);
	if (!tpm_enable_lookahead || !is_nested_loop(jointype) || IS_OTHER_REL(joinrel))
		return;
	foreach(lc, innerrel->pathlist)
	{
		Path	   *inner = lfirst(lc);
		List	   *aheads;
		TpmSafety	safety;

		if (inner->param_info == NULL || !bms_is_subset(PATH_REQ_OUTER(inner), outerrel->relids))
			continue;
		aheads = scans_to_look_ahead_for(root, inner);
		if (aheads == NIL)
			continue;
		safety = tpm_safety_of_reading_ahead(root, outerrel->relids, outerrel->reltarget->exprs);
		if (safety == TPM_UNSAFE)
			return;
		foreach(lc2, aheads)
			((TpmLookahead *) lfirst(lc2))->safety = safety;
		foreach(lc2, outer_paths(root, outerrel, jointype, extra, safety))
			add_lookahead_join(root, joinrel, jointype == JOIN_UNIQUE_OUTER ? JOIN_INNER : jointype, extra,
							   lfirst(lc2), inner, aheads);
	}
}

void
tpm_join_install_hooks(void)
{
	tpm_lookahead_register();
	next_join_hook = set_join_pathlist_hook;
	set_join_pathlist_hook = add_lookahead_joins;
	tpm_subquery_install_hook();
}
