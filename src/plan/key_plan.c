/*-------------------------------------------------------------------------
 *
 * key_plan.c
 *		The key of a scan that is asked once for each row of something else.
 *
 * Owns which condition is the key, and what of the others holds for several
 * keys at a time.  How keys are seen coming is join/'s, how they are asked for
 * is scan/keyed.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "plan/plan.h"
#include "scan/order.h"

bool
tpm_is_key_column(const TpmColumn *column)
{
	if (column->kind == TPM_COL_NONE)
		return false;
	return column->kind == TPM_COL_ID || column->placeholder ||
		(column->filter && (column->filter_operators & (TPM_FILTER_EQ | TPM_FILTER_IN)));
}

bool
tpm_key_takes_lists(const TpmTable *table, const TpmKey *key)
{
	const TpmColumn *column = &table->columns[key->attnum - 1];

	return tpm_column_takes_lists(column) && !column->placeholder &&
		!tpm_condition_is_range(table, column, TPM_COND_EQ);
}

/* ----- what is evaluated ahead ----- */

/* as text, by a function that raises nothing */
static Node *
argument_of_cast_to_text(Node *node)
{
	if (IsA(node, FuncExpr))
	{
		FuncExpr   *call = (FuncExpr *) node;

		if (call->funcid == F_TEXT_BPCHAR || call->funcid == F_TEXT_NAME || call->funcid == F_TEXT_CHAR)
			return linitial(call->args);
	}
	if (IsA(node, CoerceViaIO) && ((CoerceViaIO *) node)->resulttype == TEXTOID)
	{
		Node	   *arg = (Node *) ((CoerceViaIO *) node)->arg;
		Oid			output;
		bool		is_varlena;

		getTypeOutputInfo(exprType(arg), &output, &is_varlena);

		/*
		 * these call the functions of what they consist of, which may be
		 * anybody's
		 */
		if (output == F_ARRAY_OUT || output == F_RECORD_OUT || output == F_RANGE_OUT || output == F_MULTIRANGE_OUT)
			return NULL;
		return output < FirstNormalObjectId ? arg : NULL;
	}
	return NULL;
}

/*
 * The Var or Param that a value is made of.  NULL: making it may raise an
 * error, perhaps for a row that is never reached.
 */
static Node *
source_of_value(Expr *value)
{
	Node	   *node = (Node *) value;

	while (node && !IsA(node, Var) && !IsA(node, Param))
		node = IsA(node, RelabelType) ? (Node *) ((RelabelType *) node)->arg : argument_of_cast_to_text(node);
	if (node && IsA(node, Var) && (((Var *) node)->varlevelsup > 0 || ((Var *) node)->varattno <= 0))
		return NULL;
	return node;
}

/* ----- parameters ----- */

/* does an InitPlan of this query, or of one around it, give the parameter its value? */
static bool
is_of_init_plan(PlannerInfo *root, int paramid)
{
	for (; root; root = root->parent_root)
	{
		ListCell   *lc;

		foreach(lc, root->init_plans)
		{
			if (list_member_int(lfirst_node(SubPlan, lc)->setParam, paramid))
				return true;
		}
	}
	return false;
}

static bool
is_outer_param(PlannerInfo *root, Node *node)
{
	return IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC &&
		!is_of_init_plan(root, ((Param *) node)->paramid);
}

static bool
has_outer_param(Node *node, PlannerInfo *root)
{
	if (node == NULL)
		return false;
	if (is_outer_param(root, node))
		return true;
	return expression_tree_walker(node, has_outer_param, root);
}

/* ----- the key ----- */

/* the lower, the fewer requests for many of them */
static int
rank_of_key(const TpmTable *table, const TpmKey *key)
{
	const TpmColumn *column = &table->columns[key->attnum - 1];

	if (!tpm_key_takes_lists(table, key))
		return 3;
	if (column->kind == TPM_COL_ID)
		return 0;
	return column->natural_key ? 1 : 2;
}

/* whatever it is compared with */
static bool
read_key_clause(const TpmTable *table, const TpmCondition *condition, TpmKey *key)
{
	OpExpr	   *op = (OpExpr *) condition->clause;
	RegProcedure hash,
				hash_other;

	if (condition->op != TPM_COND_EQ || condition->verdict == TPM_VERDICT_LOCAL || !IsA(op, OpExpr) ||
		!tpm_is_key_column(&table->columns[condition->attnum - 1]) ||
		!get_op_hash_functions(op->opno, &hash, &hash_other))
		return false;
	key->clause = condition->clause;
	key->attnum = condition->attnum;
	key->value = condition->value;
	key->source = NULL;
	return true;
}

static bool
read_key(PlannerInfo *root, const TpmTable *table, const TpmCondition *condition, TpmKey *key)
{
	if (!read_key_clause(table, condition, key))
		return false;
	key->source = source_of_value(condition->value);
	return key->source && (IsA(key->source, Var) || is_outer_param(root, key->source));
}

/* one that nobody may evaluate ahead, but that a list at hand may be searched by */
static bool
find_computed_key(PlannerInfo *root, const TpmTable *table, const List *conditions, TpmKey *key)
{
	ListCell   *lc;

	foreach(lc, conditions)
	{
		if (read_key_clause(table, lfirst(lc), key) && !contain_volatile_functions((Node *) key->value) &&
			(contain_var_clause((Node *) key->value) || has_outer_param((Node *) key->value, root)))
			return true;
	}
	return false;
}

bool
tpm_plan_key(PlannerInfo *root, const TpmTable *table, const List *conditions, TpmKey *key)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, conditions)
	{
		TpmKey		other;

		if (!read_key(root, table, lfirst(lc), &other))
			continue;
		if (!found || rank_of_key(table, &other) < rank_of_key(table, key))
			*key = other;
		found = true;
	}
	return found;
}

/* ----- what the plan holds of it ----- */

/*
 * What a column of the same outer row is compared with differs from key to
 * key.  A parameter beside a key that is a column comes from further out.
 */
static bool
varies(PlannerInfo *root, const TpmKey *key, Expr *value)
{
	if (contain_var_clause((Node *) value))
		return true;
	return (key->source == NULL || IsA(key->source, Param)) && has_outer_param((Node *) value, root);
}

/* the one that a look-ahead node above the path sees, else the best, perhaps one that no node can see */
static bool
key_of_path(PlannerInfo *root, const TpmTable *table, List *conditions, const ForeignPath *path, TpmKey *key,
			int *link)
{
	*link = 0;
	if (list_length(path->fdw_private) > TPM_PATH_KEY)
	{
		ListCell   *lc;

		foreach(lc, conditions)
		{
			const TpmCondition *condition = lfirst(lc);

			if (!equal(condition->clause, list_nth(path->fdw_private, TPM_PATH_KEY)))
				continue;
			*link = intVal(list_nth(path->fdw_private, TPM_PATH_LINK));
			return read_key(root, table, condition, key);
		}
	}
	if (!tpm_plan_key(root, table, conditions, key))
		return find_computed_key(root, table, conditions, key);
	if (IsA(key->source, Param))
		*link = TPM_LINK_OF_PARAM(((Param *) key->source)->paramid);
	return true;
}

/*
 * Is a list in the order of the key, which the API makes surely, worth more
 * than one in the table's own?  It is where all rows of a key are wanted, and
 * perhaps not of all keys; the first row of each is found sooner in the other.
 */
static bool
is_read_by_key(PlannerInfo *root, const TpmTable *table, const TpmKey *key, int link, bool one_match)
{
	const TpmColumn *column = &table->columns[key->attnum - 1];
	List	   *order = list_make4_int(key->attnum, false, false, true);
	Oid			collation = ((OpExpr *) key->clause)->inputcollid;
	TypeCacheEntry *entry = lookup_type_cache(column->type == VARCHAROID ? TEXTOID : column->type,
											  TYPECACHE_BTREE_OPFAMILY);

	/* a LIMIT beside a key of the same query is one of the join's rows */
	if (link == 0 || one_match || (link < 0 && (root->limit_tuples >= 0 || root->tuple_fraction > 0)))
		return false;
	if (!tpm_key_takes_lists(table, key) || column == tpm_order_unique_column(table) ||
		!tpm_order_is_total(table, order))
		return false;
	/* rows that are equal to a key stand together */
	return tpm_order_is_shippable(column, entry->btree_opf, OidIsValid(column->collation) ? C_COLLATION_OID : InvalidOid) &&
		get_op_opfamily_strategy(((OpExpr *) key->clause)->opno, entry->btree_opf) == BTEqualStrategyNumber &&
		(!OidIsValid(collation) || get_collation_isdeterministic(collation));
}

List *
tpm_plan_add_key(PlannerInfo *root, const TpmTable *table, const TpmPlanClauses *parts,
				 const ForeignPath *path, bool one_match, List *private)
{
	TpmKey		key;
	int			link;
	List	   *at = NIL;
	List	   *varying = NIL;
	int			condition = 0;
	ListCell   *lc,
			   *lc2;

	if (!key_of_path(root, table, parts->conditions, path, &key, &link))
		return lappend(lappend(lappend(private, NIL), NIL), makeInteger(0));
	forboth(lc, parts->quals, lc2, parts->verdicts)
	{
		if (lfirst_int(lc2) == TPM_VERDICT_LOCAL)
			continue;
		if (lfirst(lc) == (void *) key.clause)
			at = list_make2_int(condition, foreach_current_index(lc));
		else if (varies(root, &key, list_nth(parts->values, condition)))
			varying = lappend_int(varying, condition);
		condition++;
	}
	Assert(at != NIL);
	at = lappend_int(at, list_nth(path->fdw_private, TPM_PATH_ORDER) == NIL &&
					 is_read_by_key(root, table, &key, link, one_match));
	return lappend(lappend(lappend(private, at), varying), makeInteger(link));
}
