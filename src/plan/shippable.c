/*-------------------------------------------------------------------------
 *
 * shippable.c
 *		Which expressions the API can answer: exactly, roughly, or not at all.
 *
 * Owns the reading of a clause as a condition on one column, and the verdict on
 * it.  Whatever is not recognised is local.
 *
 * Sending a condition must never lose a row: the executor checks every
 * condition again, which can remove rows but bring none back.  Under which text
 * a value is sent is scan/condition.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"
#include "utils/typcache.h"

#include "document/inverse.h"
#include "document/moment.h"
#include "plan/shippable.h"
#include "request/request.h"

/* ----- operators ----- */

/* SQL's equality of texts is equality of bytes, as the API's is */
static bool
collation_is_bytewise(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/* the btree strategy of an operator in the default family of its column's type */
static int
strategy_of(Oid opno, Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type == VARCHAROID ? TEXTOID : type,
											  TYPECACHE_BTREE_OPFAMILY);

	if (!OidIsValid(entry->btree_opf))
		return InvalidStrategy;
	return get_op_opfamily_strategy(opno, entry->btree_opf);
}

static TpmConditionOp
op_of_strategy(int strategy)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return TPM_COND_LT;
		case BTLessEqualStrategyNumber:
			return TPM_COND_LE;
		case BTGreaterEqualStrategyNumber:
			return TPM_COND_GE;
		case BTGreaterStrategyNumber:
			return TPM_COND_GT;
		default:
			return TPM_COND_EQ;
	}
}

/* ----- operands ----- */

/* the column of rel that an operand is, looking through binary-compatible casts */
static const TpmColumn *
operand_column(const TpmTable *table, RelOptInfo *rel, Node *node)
{
	Var		   *var;

	while (node && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (node == NULL || !IsA(node, Var))
		return NULL;
	var = (Var *) node;
	if (!bms_is_member(var->varno, rel->relids) || var->varlevelsup != 0 || var->varattno <= 0 ||
		var->varattno > table->natts)
		return NULL;
	return &table->columns[var->varattno - 1];
}

/* can be computed once, before the first row */
static bool
operand_is_value(RelOptInfo *rel, Node *node)
{
	return !bms_overlap(pull_varnos(NULL, node), rel->relids) && !contain_volatile_functions(node) &&
		!contain_subplans(node);
}

/* only binary-compatible casts among text types may stand around the column */
static bool
cast_keeps_value(Node *node, const TpmColumn *column)
{
	Oid			type = exprType(node);

	return type == column->type ||
		((column->type == VARCHAROID || column->type == TEXTOID) &&
		 (type == TEXTOID || type == VARCHAROID));
}

/* ----- clauses ----- */

static bool
read_comparison(const TpmTable *table, RelOptInfo *rel, OpExpr *op, TpmCondition *condition)
{
	Node	   *left,
			   *right;
	Oid			opno = op->opno;
	const TpmColumn *column;
	int			strategy;

	if (list_length(op->args) != 2)
		return false;
	left = linitial(op->args);
	right = lsecond(op->args);
	column = operand_column(table, rel, left);
	if (column == NULL || !operand_is_value(rel, right))
	{
		Node	   *swap = left;

		left = right;
		right = swap;
		opno = get_commutator(opno);
		column = operand_column(table, rel, left);
	}
	if (column == NULL || !OidIsValid(opno) || !operand_is_value(rel, right) ||
		!cast_keeps_value(left, column))
		return false;

	condition->attnum = column->attnum;
	condition->value = (Expr *) right;
	if (!collation_is_bytewise(op->inputcollid))
		return false;
	if (opno == OID_TEXT_LIKE_OP && (column->type == TEXTOID || column->type == VARCHAROID))
	{
		condition->op = TPM_COND_LIKE;
		return true;
	}
	strategy = strategy_of(opno, column->type);
	if (strategy == InvalidStrategy)
		return false;

	/*
	 * where a zone's clocks go forward, a later local time may be an earlier
	 * moment
	 */
	if (column->type == TIMESTAMPOID && exprType(right) == TIMESTAMPTZOID)
		return false;
	/* other collations order, though not equate, differently */
	if (strategy != BTEqualStrategyNumber && op->inputcollid != column->collation)
		return false;
	condition->op = op_of_strategy(strategy);
	return true;
}

static bool
read_any(const TpmTable *table, RelOptInfo *rel, ScalarArrayOpExpr *op, TpmCondition *condition)
{
	Node	   *left = linitial(op->args);
	Node	   *right = lsecond(op->args);
	const TpmColumn *column = operand_column(table, rel, left);

	if (!op->useOr || column == NULL || !cast_keeps_value(left, column) ||
		!operand_is_value(rel, right) ||
		strategy_of(op->opno, column->type) != BTEqualStrategyNumber ||
		!collation_is_bytewise(op->inputcollid))
		return false;
	condition->attnum = column->attnum;
	condition->op = TPM_COND_IN;
	condition->value = (Expr *) right;
	return true;
}

/* "a = 1 OR a = 2" is "a IN (1, 2)" */
static bool
read_or(const TpmTable *table, RelOptInfo *rel, BoolExpr *clause, TpmCondition *condition)
{
	ArrayExpr  *array;
	List	   *elements = NIL;
	Oid			element_type = InvalidOid;
	ListCell   *lc;

	foreach(lc, clause->args)
	{
		TpmCondition one;

		if (!tpm_read_condition(table, rel, lfirst(lc), &one) || one.op != TPM_COND_EQ ||
			(elements != NIL && one.attnum != condition->attnum))
			return false;
		if (elements != NIL && exprType((Node *) one.value) != element_type)
			return false;
		condition->attnum = one.attnum;
		element_type = exprType((Node *) one.value);
		elements = lappend(elements, one.value);
	}
	array = makeNode(ArrayExpr);
	array->element_typeid = element_type;
	array->array_typeid = get_array_type(element_type);
	array->elements = elements;
	array->location = -1;
	if (!OidIsValid(array->array_typeid))
		return false;
	condition->op = TPM_COND_IN;
	/* of constants: one constant, whose texts can be looked at */
	condition->value = (Expr *) eval_const_expressions(NULL, (Node *) array);
	return true;
}

static bool
read_boolean(const TpmColumn *column, bool value, TpmCondition *condition)
{
	if (column == NULL || column->type != BOOLOID)
		return false;
	condition->attnum = column->attnum;
	condition->op = TPM_COND_EQ;
	condition->value = (Expr *) makeBoolConst(value, false);
	return true;
}

static bool
read_clause(const TpmTable *table, RelOptInfo *rel, Expr *clause, TpmCondition *condition)
{
	switch (nodeTag(clause))
	{
		case T_OpExpr:
			return read_comparison(table, rel, (OpExpr *) clause, condition);
		case T_ScalarArrayOpExpr:
			return read_any(table, rel, (ScalarArrayOpExpr *) clause, condition);
		case T_Var:
			return read_boolean(operand_column(table, rel, (Node *) clause), true, condition);
		case T_BoolExpr:
			{
				BoolExpr   *b = (BoolExpr *) clause;

				if (b->boolop == NOT_EXPR && IsA(linitial(b->args), Var))
					return read_boolean(operand_column(table, rel, linitial(b->args)), false, condition);
				return b->boolop == OR_EXPR && read_or(table, rel, b, condition);
			}
		case T_BooleanTest:
			{
				BooleanTest *t = (BooleanTest *) clause;

				if (t->booltesttype != IS_TRUE && t->booltesttype != IS_FALSE)
					return false;
				return read_boolean(operand_column(table, rel, (Node *) t->arg),
									t->booltesttype == IS_TRUE, condition);
			}
		case T_NullTest:
			{
				NullTest   *t = (NullTest *) clause;
				const TpmColumn *column = operand_column(table, rel, (Node *) t->arg);

				if (t->nulltesttype != IS_NULL || t->argisrow || column == NULL)
					return false;
				condition->attnum = column->attnum;
				condition->op = TPM_COND_NULL;
				condition->value = NULL;
				return true;
			}
		default:
			return false;
	}
}

/* ----- verdicts ----- */

static bool
filter_offers(const TpmTable *table, const TpmColumn *column, TpmConditionOp op)
{
	int			ops = column->filter ? column->filter_operators : 0;

	if (tpm_condition_is_range(table, column, op))
		return op == TPM_COND_EQ && column->filter_ge && column->filter_le;
	switch (op)
	{
		case TPM_COND_EQ:
			return ops & (TPM_FILTER_EQ | TPM_FILTER_IN);
		case TPM_COND_IN:
			return ops & TPM_FILTER_IN;
		case TPM_COND_LT:
			return column->filter_lt || column->filter_le;
		case TPM_COND_LE:
			return column->filter_le != NULL;
		case TPM_COND_GT:
			return column->filter_gt || column->filter_ge;
		case TPM_COND_GE:
			return column->filter_ge != NULL;
		case TPM_COND_LIKE:
			return column->filter_like || (ops & TPM_FILTER_LIKE);
		case TPM_COND_NULL:
			/* "" reads as NULL in such a column, and the API knows that not */
			return (ops & TPM_FILTER_NULL) && (column->type == TEXTOID || column->type == VARCHAROID);
	}
	return false;
}

static TpmVerdict
verdict_of(const TpmTable *table, const TpmColumn *column, const TpmCondition *condition)
{
	bool		offered = filter_offers(table, column, condition->op);

	switch (condition->op)
	{
		case TPM_COND_EQ:
		case TPM_COND_IN:
			if (tpm_condition_goes_into_path(table, column))
				return column->filter && !column->filter_exact ? TPM_VERDICT_RECHECK : TPM_VERDICT_EXACT;
			if (!offered || tpm_equality_of(column->type) == TPM_EQUAL_NEVER)
				return TPM_VERDICT_LOCAL;
			/* bounds include more than what is equal */
			if (tpm_equality_of(column->type) == TPM_EQUAL_RANGE)
				return TPM_VERDICT_RECHECK;
			break;
		case TPM_COND_NULL:
			if (!offered)
				return TPM_VERDICT_LOCAL;
			break;
		case TPM_COND_LIKE:
			return offered ? TPM_VERDICT_RECHECK : TPM_VERDICT_LOCAL;
		case TPM_COND_LT:
		case TPM_COND_LE:
		case TPM_COND_GT:
		case TPM_COND_GE:
			if (!offered || !tpm_type_has_bounds(column->type))
				return TPM_VERDICT_LOCAL;
			/* bounds may be widened to what the API offers */
			return TPM_VERDICT_RECHECK;
	}
	return column->filter_exact ? TPM_VERDICT_EXACT : TPM_VERDICT_RECHECK;
}

static bool
is_integer_type(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/*
 * Is the value's text one that the API reads as the column's?  Comparisons
 * across other types stay local.
 */
static bool
value_is_comparable(const TpmTable *table, const TpmColumn *column, const TpmCondition *condition)
{
	Oid			have = exprType((Node *) condition->value);
	Oid			want = column->type == VARCHAROID ? TEXTOID : column->type;

	if (condition->op == TPM_COND_IN)
		have = get_element_type(have);
	if (have == want || (have == VARCHAROID && want == TEXTOID))
		return true;
	if (is_integer_type(want))
		return is_integer_type(have);
	/* a date would cut the bound; wider types are converted as they are sent */
	return (tpm_condition_is_bound(condition) || tpm_condition_is_range(table, column, condition->op)) &&
		tpm_is_time_type(have) && (want == TIMESTAMPTZOID || want == TIMESTAMPOID);
}

/* a constant that could mean something else to the API is known to stay here */
static bool
constant_is_sendable(const TpmTable *table, const TpmColumn *column, const TpmCondition *condition)
{
	const Const *value = (const Const *) condition->value;

	/* of a range either bound is as good */
	TpmConditionOp op = tpm_condition_is_range(table, column, condition->op) ? TPM_COND_GE : condition->op;
	bool		none;

	if (value == NULL || !IsA(value, Const))
		return true;
	return tpm_condition_values(table, column, op, value->constvalue, value->constisnull,
								value->consttype, &none) != NIL || none;
}

bool
tpm_read_condition(const TpmTable *table, RelOptInfo *rel, Expr *clause, TpmCondition *condition)
{
	const TpmColumn *column;

	memset(condition, 0, sizeof(*condition));
	if (!read_clause(table, rel, clause, condition))
		return false;
	column = &table->columns[condition->attnum - 1];
	condition->clause = clause;
	condition->verdict = verdict_of(table, column, condition);
	if (condition->value && condition->verdict != TPM_VERDICT_LOCAL &&
		!value_is_comparable(table, column, condition))
		condition->verdict = TPM_VERDICT_LOCAL;
	if (condition->verdict != TPM_VERDICT_LOCAL && !constant_is_sendable(table, column, condition))
		condition->verdict = TPM_VERDICT_LOCAL;
	if (condition->verdict == TPM_VERDICT_EXACT && tpm_filter_is_lying(table, column->attnum))
		condition->verdict = TPM_VERDICT_RECHECK;
	return true;
}

bool
tpm_order_is_shippable(const TpmColumn *column, Oid opfamily, Oid collation)
{
	TypeCacheEntry *entry;

	if (!column->sortable)
		return false;
	switch (column->type)
	{
		case TEXTOID:
		case VARCHAROID:
			if (collation != C_COLLATION_OID)
				return false;
			break;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case DATEOID:
		case TIMESTAMPTZOID:
			break;
		case TIMESTAMPOID:
			/* where clocks go back, later moments show earlier times */
			if (!tpm_zone_is_fixed(column->table->opt.timezone))
				return false;
			break;
		default:
			return false;
	}
	entry = lookup_type_cache(column->type == VARCHAROID ? TEXTOID : column->type,
							  TYPECACHE_BTREE_OPFAMILY);
	return entry->btree_opf == opfamily;
}
