/*-------------------------------------------------------------------------
 *
 * order_plan.c
 *		Which orders of a list are worth a path.
 *
 * Owns the choice of orders; the paths are path.c's.
 *
 * An order is worth one if the query or a merge join wants it, or if a bound
 * on its first column lets the list end early: most such APIs cannot filter
 * by updated_at > x but can sort, so that the rows wanted come first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "plan/plan.h"
#include "scan/order.h"

/* ----- NULLs ----- */

/* does a condition of the query keep NULLs of the column out? */
static bool
excludes_null(RelOptInfo *rel, const TpmRelation *relation, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, relation->conditions)
	{
		const TpmCondition *condition = lfirst(lc);

		if (condition->attnum == attnum && condition->op != TPM_COND_NULL)
			return true;
	}
	foreach(lc, rel->baserestrictinfo)
	{
		NullTest   *test = (NullTest *) lfirst_node(RestrictInfo, lc)->clause;

		if (IsA(test, NullTest) && test->nulltesttype == IS_NOT_NULL && !test->argisrow &&
			IsA(test->arg, Var) && ((Var *) test->arg)->varno == (int) rel->relid &&
			((Var *) test->arg)->varattno == attnum)
			return true;
	}
	return false;
}

/* where the API puts NULLs in this direction; false: it is not known */
static bool
api_nulls_first(const TpmColumn *column, bool descending, bool *first)
{
	switch (column->sort_nulls)
	{
		case TPM_NULLS_FIRST:
			*first = !descending;
			return true;
		case TPM_NULLS_LAST:
			*first = descending;
			return true;
		case TPM_NULLS_ALWAYS_FIRST:
			*first = true;
			return true;
		case TPM_NULLS_ALWAYS_LAST:
			*first = false;
			return true;
		default:
			return false;
	}
}

/* appends a key; false if the API would put NULLs elsewhere */
static bool
add_key(RelOptInfo *rel, const TpmRelation *relation, const TpmColumn *column, bool descending,
		bool nulls_first, List **keys)
{
	bool		excluded = excludes_null(rel, relation, column->attnum);
	bool		first;

	if (!excluded && !column->notnull &&
		!(api_nulls_first(column, descending, &first) && first == nulls_first))
		return false;
	*keys = lappend_int(*keys, column->attnum);
	*keys = lappend_int(*keys, descending);
	*keys = lappend_int(*keys, nulls_first);
	*keys = lappend_int(*keys, excluded);
	return true;
}

/* ----- path keys ----- */

/* the column of rel that an equivalence class holds, if the API sorts by it */
static const TpmColumn *
column_of_class(RelOptInfo *rel, const TpmRelation *relation, EquivalenceClass *ec, Oid opfamily)
{
	ListCell   *lc;

	if (ec->ec_has_volatile)
		return NULL;
	foreach(lc, tpm_class_members(ec, rel->relids))
	{
		EquivalenceMember *em = lfirst(lc);
		Node	   *expr = (Node *) em->em_expr;
		const TpmColumn *column;

		if (!bms_equal(em->em_relids, rel->relids))
			continue;
		while (expr && IsA(expr, RelabelType))
			expr = (Node *) ((RelabelType *) expr)->arg;
		if (expr == NULL || !IsA(expr, Var) || ((Var *) expr)->varattno <= 0)
			continue;
		column = &relation->table->columns[((Var *) expr)->varattno - 1];
		if (tpm_order_is_shippable(column, opfamily, ec->ec_collation))
			return column;
	}
	return NULL;
}

static bool
add_pathkey(RelOptInfo *rel, const TpmRelation *relation, PathKey *pathkey, List **keys)
{
	const TpmColumn *column = column_of_class(rel, relation, pathkey->pk_eclass,
											  pathkey->pk_opfamily);

	return column != NULL && add_key(rel, relation, column, tpm_pathkey_is_descending(pathkey),
									 pathkey->pk_nulls_first, keys);
}

/* can a further key behind these be left to the API?  Otherwise PostgreSQL sorts what is equal so far. */
static bool
may_follow(const TpmTable *table, const List *keys)
{
	AttrNumber	last = list_nth_int(keys, list_length(keys) - TPM_ORDER_WIDTH);

	return table->opt.sort_keys == TPM_SORT_MANY && tpm_order_is_by_print(&table->columns[last - 1]);
}

/* the longest part of the query's own order that the API makes */
static TpmOffer *
offer_query_order(PlannerInfo *root, RelOptInfo *rel, TpmRelation *relation)
{
	TpmOffer   *offer = palloc0(sizeof(TpmOffer));
	ListCell   *lc;

	foreach(lc, root->query_pathkeys)
	{
		if (!add_pathkey(rel, relation, lfirst(lc), &offer->keys))
			break;
		offer->pathkeys = lappend(offer->pathkeys, lfirst(lc));
		if (!may_follow(relation->table, offer->keys))
			break;
	}
	return offer->keys != NIL ? offer : NULL;
}

/* ascending by a column that joins with another relation */
static TpmOffer *
offer_merge_order(PlannerInfo *root, RelOptInfo *rel, TpmRelation *relation, EquivalenceClass *ec)
{
	TpmOffer   *offer = palloc0(sizeof(TpmOffer));
	PathKey    *pathkey;

	if (ec->ec_opfamilies == NIL || !bms_nonempty_difference(ec->ec_relids, rel->relids))
		return NULL;
	pathkey = tpm_ascending_pathkey(root, ec, linitial_oid(ec->ec_opfamilies));
	if (!add_pathkey(rel, relation, pathkey, &offer->keys))
		return NULL;
	offer->pathkeys = list_make1(pathkey);
	return offer;
}

/* ----- bounds ----- */

bool
tpm_order_ends_at(const List *keys, const TpmCondition *condition)
{
	bool		descending;

	if (keys == NIL || linitial_int(keys) != condition->attnum ||
		!tpm_condition_is_bound(condition))
		return false;
	descending = lsecond_int(keys);
	if (descending)
		return condition->op == TPM_COND_GT || condition->op == TPM_COND_GE;
	return condition->op == TPM_COND_LT || condition->op == TPM_COND_LE;
}

static void
find_stops(RelOptInfo *rel, const TpmRelation *relation, TpmOffer *offer)
{
	ListCell   *lc,
			   *lc2;

	foreach(lc, rel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst(lc);

		foreach(lc2, relation->conditions)
		{
			const TpmCondition *condition = lfirst(lc2);

			if (condition->clause == rinfo->clause && tpm_order_ends_at(offer->keys, condition))
				offer->stops = lappend(offer->stops, rinfo);
		}
	}
}

/* the order in which a bound ends the list */
static TpmOffer *
offer_bound_order(RelOptInfo *rel, TpmRelation *relation,
				  const TpmCondition *condition)
{
	const TpmColumn *column = &relation->table->columns[condition->attnum - 1];
	bool		descending = condition->op == TPM_COND_GT || condition->op == TPM_COND_GE;
	TypeCacheEntry *entry = lookup_type_cache(column->type, TYPECACHE_BTREE_OPFAMILY);
	TpmOffer   *offer = palloc0(sizeof(TpmOffer));

	if (!tpm_condition_is_bound(condition) ||
		!tpm_order_is_shippable(column, entry->btree_opf,
								OidIsValid(column->collation) ? C_COLLATION_OID : InvalidOid) ||
		(OidIsValid(column->collation) && column->collation != C_COLLATION_OID) ||
		!add_key(rel, relation, column, descending, descending, &offer->keys))
		return NULL;
	return offer;
}

static List *
add_offer(RelOptInfo *rel, TpmRelation *relation, List *offers, TpmOffer *offer)
{
	ListCell   *lc;

	if (offer == NULL)
		return offers;
	foreach(lc, offers)
	{
		TpmOffer   *known = lfirst(lc);

		if (equal(known->keys, offer->keys) &&
			(offer->pathkeys == NIL || equal(known->pathkeys, offer->pathkeys)))
			return offers;
	}
	find_stops(rel, relation, offer);
	return lappend(offers, offer);
}

List *
tpm_order_offers(PlannerInfo *root, RelOptInfo *rel, TpmRelation *relation)
{
	List	   *offers = NIL;
	ListCell   *lc;

	offers = add_offer(rel, relation, offers, offer_query_order(root, rel, relation));
	if (rel->has_eclass_joins)
	{
		foreach(lc, root->eq_classes)
			offers = add_offer(rel, relation, offers,
							   offer_merge_order(root, rel, relation, lfirst(lc)));
	}
	foreach(lc, relation->conditions)
		offers = add_offer(rel, relation, offers,
						   offer_bound_order(rel, relation, lfirst(lc)));
	return offers;
}
