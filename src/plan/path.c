/*-------------------------------------------------------------------------
 *
 * path.c
 *		Paths over one foreign table.
 *
 * Owns which paths are offered: the plain scan, one per useful order, one per
 * key that a join can supply.  There is none for LIMIT: PostgreSQL's Limit
 * node stops the scan.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"

#include "compat.h"
#include "plan/plan.h"
#include "scan/order.h"

/* the cost of a plan that cannot be run: chosen only when there is no other */
#define TPM_IMPOSSIBLE_COST 1e30

/*
 * What a lookup costs beyond its requests, as a part of one.  How often it is
 * asked is a guess.  Where that says once, a look-ahead would cost the same;
 * where it is wrong, the lookup costs a request a row and the look-ahead next
 * to nothing.
 */
#define TPM_LOOKUP_RISK 0.1

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

/* what a path carries to the plan, in the order of TpmPathPrivate */
static List *
path_private(double requests, List *order)
{
	return list_make2(makeFloat(psprintf("%.0f", requests)), order);
}

static void
add_plain_path(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation)
{
	double		requests = is_by_id(relation->table, relation->conditions) ? 1
	: tpm_estimate_requests(relation->table, relation->conditions, relation->sent_rows);
	Cost		startup,
				total;

	tpm_estimate_cost(requests, relation->sent_rows, &startup, &total);
	if (!relation->placeholders_given)
		startup = total = TPM_IMPOSSIBLE_COST;
	add_path(baserel, (Path *)
			 tpm_create_foreignscan_path(root, baserel, baserel->rows, startup, total, NIL,
										 baserel->lateral_relids,
										 path_private(requests, NIL)));
}

/* ----- ordered paths ----- */

/* rows of a list that is left at its bounds */
static double
rows_before_stop(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation, List *stops)
{
	if (stops == NIL)
		return relation->sent_rows;
	return clamp_row_est(relation->sent_rows *
						 clauselist_selectivity(root, stops, baserel->relid, JOIN_INNER, NULL));
}

/*
 * Are the first rows of the list in this order likely to be all that is asked
 * for?  Grouping, windows and their like take all rows before the first one of
 * theirs.
 */
static bool
wants_first_rows(const PlannerInfo *root)
{
	const Query *parse = root->parse;

	if (root->limit_tuples > 0)
		return true;
	return root->tuple_fraction > 0 && !parse->hasAggs && !parse->hasWindowFuncs &&
		parse->groupClause == NIL && parse->distinctClause == NIL;
}

static void
add_ordered_paths(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation)
{
	ListCell   *lc;

	if (!relation->placeholders_given || is_by_id(relation->table, relation->conditions))
		return;
	foreach(lc, tpm_order_offers(root, baserel, relation))
	{
		TpmOffer   *offer = lfirst(lc);
		double		rows = rows_before_stop(root, baserel, relation, offer->stops);
		double		requests = tpm_estimate_requests(relation->table, relation->conditions, rows);
		Cost		startup,
					total;

		/* without a promise, an order is worth what it saves */
		if (offer->pathkeys == NIL && offer->stops == NIL)
			continue;
		/* where rows may be equal, all of them are read in another order */
		if (offer->stops == NIL && !wants_first_rows(root) &&
			!tpm_order_is_total(relation->table, offer->keys))
			continue;
		tpm_estimate_cost(requests, rows, &startup, &total);
		add_path(baserel, (Path *)
				 tpm_create_foreignscan_path(root, baserel, baserel->rows, startup, total,
											 offer->pathkeys, baserel->lateral_relids,
											 path_private(requests, offer->keys)));
	}
}

/* ----- parameterised paths ----- */

typedef struct KeySearch
{
	const TpmTable *table;
	AttrNumber	attnum;
} KeySearch;

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
		tpm_is_key_column(&relation->table->columns[condition.attnum - 1]);
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

		if (!tpm_is_key_column(&relation->table->columns[i]))
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

double
tpm_rows_per_key(const TpmRelation *relation, const ParamPathInfo *info, const List *conditions)
{
	double		rows = Max(info->ppi_rows, 1);
	ListCell   *lc;

	if (is_by_id(relation->table, conditions))
		return 1;
	if (relation->has_placeholder)
		return rows;
	/* what is tested here only leaves none out of a list */
	for_each_from(lc, conditions, list_length(relation->conditions))
	{
		const TpmCondition *condition = lfirst(lc);

		if (condition->op == TPM_COND_EQ && condition->verdict != TPM_VERDICT_LOCAL)
			rows = Max(rows, relation->sent_rows / relation->tuples *
					   tpm_rows_per_value(relation, condition->attnum));
	}
	return Min(rows, relation->sent_rows);
}

/* does at most one row give the values? */
static bool
is_of_one_row(PlannerInfo *root, const ParamPathInfo *info)
{
	int			relid;
	RelOptInfo *outer;

	if (!bms_get_singleton_member(info->ppi_req_outer, &relid))
		return false;
	outer = find_base_rel(root, relid);
	/* nothing is known of one that is proved to be empty */
	return outer->fdw_private && outer->fdwroutine && outer->fdwroutine->GetForeignPaths == tpm_get_paths &&
		is_by_id(((TpmRelation *) outer->fdw_private)->table, ((TpmRelation *) outer->fdw_private)->conditions);
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
											 tpm_read_conditions(relation->table, baserel,
																 info->ppi_clauses, &exact));
		double		sent_rows = tpm_rows_per_key(relation, info, conditions);
		double		requests = tpm_estimate_requests(relation->table, conditions, sent_rows);
		Cost		startup,
					total;

		if (!tpm_placeholders_given(relation->table, conditions))
			continue;
		tpm_estimate_cost(requests, sent_rows, &startup, &total);
		if (!is_of_one_row(root, info))
			total += TPM_LOOKUP_RISK * TPM_REQUEST_COST;
		add_path(baserel, (Path *)
				 tpm_create_foreignscan_path(root, baserel, info->ppi_rows, startup, total, NIL,
											 info->ppi_req_outer,
											 path_private(requests, NIL)));
	}
}

void
tpm_get_paths(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	TpmRelation *relation = baserel->fdw_private;

	add_plain_path(root, baserel, relation);
	add_ordered_paths(root, baserel, relation);
	add_param_paths(root, baserel, relation);
}
