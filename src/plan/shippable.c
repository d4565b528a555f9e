/*-------------------------------------------------------------------------
 *
 * shippable.c
 *		Which expressions the API can answer: exactly, roughly, or not at all.
 *
 * Owns the verdict on a condition.
 *
 * Sending a condition must never lose a row: the executor checks every
 * condition again, which can remove rows but bring none back.  What a clause
 * says is shippable_clause.c's, under which text a value is sent is
 * shippable_value.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "shared/counters.h"
#include "request/request.h"
#include "plan/shippable_internal.h"

/* ----- types ----- */

/* types whose text has one spelling, the API's; the others compare locally */
static bool
equality_is_textual(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case UUIDOID:
		case DATEOID:
			return true;
		default:
			return false;
	}
}

bool
tpm_is_time_type(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

static bool
bound_is_sendable(Oid type)
{
	return tpm_is_time_type(type) || type == INT2OID || type == INT4OID || type == INT8OID;
}

/* ----- verdicts ----- */

static bool
filter_offers(const TpmColumn *column, TpmConditionOp op)
{
	int			ops = column->filter ? column->filter_operators : 0;

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

/* is it asked for in a path, where every text means itself? */
static bool
goes_into_path(const TpmTable *table, const TpmColumn *column)
{
	return column->placeholder ||
		(column->kind == TPM_COL_ID && equality_is_textual(column->type) &&
		 tpm_request_has_id_path(table));
}

static TpmVerdict
verdict_of(const TpmTable *table, const TpmColumn *column, const TpmCondition *condition)
{
	bool		offered = filter_offers(column, condition->op);

	switch (condition->op)
	{
		case TPM_COND_EQ:
		case TPM_COND_IN:
			if (goes_into_path(table, column))
				return column->filter && !column->filter_exact ? TPM_VERDICT_RECHECK : TPM_VERDICT_EXACT;
			if (!offered || !equality_is_textual(column->type))
				return TPM_VERDICT_LOCAL;
			break;
		case TPM_COND_NULL:
			if (!offered)
				return TPM_VERDICT_LOCAL;
			break;
		case TPM_COND_LIKE:
			return offered ? TPM_VERDICT_RECHECK : TPM_VERDICT_LOCAL;
		default:
			if (!offered || !bound_is_sendable(column->type))
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
value_is_comparable(const TpmColumn *column, const TpmCondition *condition)
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
	return tpm_condition_is_bound(condition) && tpm_is_time_type(have) &&
		(want == TIMESTAMPTZOID || want == TIMESTAMPOID);
}

/* a constant that could mean something else to the API is known to stay here */
static bool
constant_is_sendable(const TpmTable *table, const TpmColumn *column, const TpmCondition *condition)
{
	const Const *value = (const Const *) condition->value;
	bool		none;

	if (value == NULL || !IsA(value, Const))
		return true;
	return tpm_condition_values(table, column, condition->op, value->constvalue, value->constisnull,
								value->consttype, &none) != NIL || none;
}

bool
tpm_filter_is_lying(const TpmTable *table, AttrNumber attnum)
{
	TpmLearnt	learnt;

	return attnum < 256 && tpm_learnt_get(table->relid, table->options_hash, &learnt) &&
		(learnt.lying_columns[attnum / 64] & (UINT64CONST(1) << (attnum % 64))) != 0;
}

bool
tpm_read_condition(const TpmTable *table, RelOptInfo *rel, Expr *clause, TpmCondition *condition)
{
	const TpmColumn *column;

	memset(condition, 0, sizeof(*condition));
	if (!tpm_read_clause(table, rel, clause, condition))
		return false;
	column = &table->columns[condition->attnum - 1];
	condition->clause = clause;
	condition->verdict = verdict_of(table, column, condition);
	if (condition->value && condition->verdict != TPM_VERDICT_LOCAL &&
		!value_is_comparable(column, condition))
		condition->verdict = TPM_VERDICT_LOCAL;
	if (condition->verdict != TPM_VERDICT_LOCAL && !constant_is_sendable(table, column, condition))
		condition->verdict = TPM_VERDICT_LOCAL;
	if (condition->verdict == TPM_VERDICT_EXACT && tpm_filter_is_lying(table, column->attnum))
		condition->verdict = TPM_VERDICT_RECHECK;
	return true;
}

bool
tpm_condition_is_bound(const TpmCondition *condition)
{
	return condition->op == TPM_COND_LT || condition->op == TPM_COND_LE ||
		condition->op == TPM_COND_GT || condition->op == TPM_COND_GE;
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
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			break;
		default:
			return false;
	}
	entry = lookup_type_cache(column->type == VARCHAROID ? TEXTOID : column->type,
							  TYPECACHE_BTREE_OPFAMILY);
	return entry->btree_opf == opfamily;
}
