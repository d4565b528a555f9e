/*-------------------------------------------------------------------------
 *
 * shippable.c
 *		Which expressions the API can answer: exactly, roughly, or not at all.
 *
 * Whatever is not recognised here is local.  Sending a condition must never
 * lose a row: the executor checks every condition again, which can remove
 * rows but bring none back.  So a value is sent only if it can mean nothing
 * else to the API, which for run-time values is known at execution only.
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
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "counters.h"
#include "request.h"
#include "shippable.h"

/* ----- types and operators ----- */

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

static bool
is_time_type(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

static bool
bound_is_sendable(Oid type)
{
	return is_time_type(type) || type == INT2OID || type == INT4OID || type == INT8OID;
}

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
	if (opno == OID_TEXT_LIKE_OP && (column->type == TEXTOID || column->type == VARCHAROID))
	{
		condition->op = TPM_COND_LIKE;
		return true;
	}
	strategy = strategy_of(opno, column->type);
	if (strategy == InvalidStrategy)
		return false;
	if (!collation_is_bytewise(op->inputcollid))
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
	condition->value = (Expr *) array;
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

static TpmVerdict
verdict_of(const TpmColumn *column, const TpmCondition *condition)
{
	bool		offered = filter_offers(column, condition->op);

	switch (condition->op)
	{
		case TPM_COND_EQ:
		case TPM_COND_IN:
			if (column->kind == TPM_COL_ID || column->placeholder)
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

/*
 * Brings the value to the column's type, so that its text is the API's.
 * Comparisons across types that no cast can express stay local.
 */
static bool
coerce_value(const TpmColumn *column, TpmCondition *condition)
{
	Oid			have = exprType((Node *) condition->value);
	Oid			want = column->type == VARCHAROID ? TEXTOID : column->type;
	Oid			element;
	Node	   *value;

	if (condition->op == TPM_COND_IN)
	{
		element = get_element_type(have);
		return element == want || (element == VARCHAROID && want == TEXTOID) ||
			(want == INT8OID && (element == INT4OID || element == INT2OID)) ||
			(want == INT4OID && (element == INT8OID || element == INT2OID));
	}
	if (have == want || (have == VARCHAROID && want == TEXTOID))
		return true;
	if (want == INT2OID || want == INT4OID || want == INT8OID)
		return have == INT2OID || have == INT4OID || have == INT8OID;
	if (!is_time_type(want) || !is_time_type(have) || condition->op == TPM_COND_EQ)
		return false;
	/* a narrower type would cut the bound: those are compared locally */
	if (want == DATEOID)
		return false;
	value = coerce_to_target_type(NULL, (Node *) copyObject(condition->value), have, want, -1,
								  COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
	if (value == NULL)
		return false;
	condition->value = (Expr *) value;
	return true;
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
	if (!read_clause(table, rel, clause, condition))
		return false;
	column = &table->columns[condition->attnum - 1];
	condition->clause = clause;
	condition->verdict = verdict_of(column, condition);
	if (condition->value && condition->verdict != TPM_VERDICT_LOCAL &&
		!coerce_value(column, condition))
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

/* ----- values ----- */

static char *
time_text(Datum value, Oid type)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			julian;

	if (type == DATEOID)
	{
		DateADT		date = DatumGetDateADT(value);

		if (DATE_NOT_FINITE(date))
			return NULL;
		julian = date + POSTGRES_EPOCH_JDATE;
		j2date(julian, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
		return tm.tm_year > 0 && tm.tm_year < 10000
			? psprintf("%04d-%02d-%02d", tm.tm_year, tm.tm_mon, tm.tm_mday) : NULL;
	}
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestamp(value)) ||
		timestamp2tm(DatumGetTimestamp(value), NULL, &tm, &fsec, NULL, NULL) != 0 ||
		tm.tm_year < 1 || tm.tm_year > 9999)
		return NULL;
	if (fsec == 0)
		return psprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
						tm.tm_hour, tm.tm_min, tm.tm_sec);
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, fsec);
}

static char *
plain_text(Datum value, Oid type)
{
	Oid			function;
	bool		varlena;

	if (is_time_type(type))
		return time_text(value, type);
	if (type == BOOLOID)
		return pstrdup(DatumGetBool(value) ? "true" : "false");
	getTypeOutputInfo(type, &function, &varlena);
	return OidOutputFunctionCall(function, value);
}

static bool
same_value(const TpmColumn *column, const char *a, const char *b)
{
	bool		x,
				y;

	if (column->type == BOOLOID && parse_bool(a, &x) && parse_bool(b, &y))
		return x == y;
	return strcmp(a, b) == 0;
}

/* the API's word for a value; NULL if filter_values lists it not */
static const char *
mapped(const TpmColumn *column, const char *text)
{
	ListCell   *lc;

	if (column->filter_values == NIL)
		return text;

	foreach(lc, column->filter_values)
	{
		TpmFilterValue *pair = lfirst(lc);

		if (same_value(column, pair->sql, text))
			return pair->api;
	}
	return NULL;
}

/* can mean nothing else where a list of values, blanks and a word for NULL are read */
static bool
is_unambiguous(const TpmTable *table, const TpmColumn *column, const char *text)
{
	size_t		len = strlen(text);

	if (len == 0 || isspace((unsigned char) text[0]) || isspace((unsigned char) text[len - 1]))
		return false;
	/* blanks outside ASCII may be trimmed as well */
	if ((unsigned char) text[0] >= 0x80 || (unsigned char) text[len - 1] >= 0x80)
	{
		static const char *const blanks[] = {"\xC2\xA0", "\xC2\x85", "\xE1\x9A\x80", "\xE2\x80", "\xE3\x80\x80", "\xEF\xBB\xBF"};

		for (int i = 0; i < (int) lengthof(blanks); i++)
		{
			size_t		n = strlen(blanks[i]);

			if (strncmp(text, blanks[i], n) == 0 ||
				(len >= 3 && strncmp(text + len - 3, blanks[i], n) == 0) ||
				(len >= 2 && strncmp(text + len - 2, blanks[i], n) == 0))
				return false;
		}
	}
	if (table->opt.list_format == TPM_LIST_COMMA && strchr(text, ','))
		return false;
	if (pg_strcasecmp(text, "null") == 0)
		return false;
	for (const char *s = text; *s; s++)
		if ((unsigned char) *s < ' ' || *s == 0x7F)
			return false;
	return true;
}

/* the longest stretch of a pattern that stands for itself */
static char *
literal_of_pattern(const char *pattern)
{
	StringInfoData run,
				best;

	initStringInfo(&run);
	initStringInfo(&best);
	for (const char *s = pattern;; s++)
	{
		if (*s == '\0' || *s == '%' || *s == '_')
		{
			if (run.len > best.len)
			{
				resetStringInfo(&best);
				appendStringInfoString(&best, run.data);
			}
			resetStringInfo(&run);
			if (*s == '\0')
				return best.data;
			continue;
		}
		if (*s == '\\' && s[1])
			s++;
		appendStringInfoChar(&run, *s);
	}
}

/* one value as it is sent, NULL if it must not be */
static char *
send_text(const TpmTable *table, const TpmColumn *column, TpmConditionOp op, Datum value, Oid type)
{
	char	   *text = plain_text(value, type);
	const char *word;

	if (text == NULL)
		return NULL;
	if (op == TPM_COND_LIKE)
		text = literal_of_pattern(text);

	if (op != TPM_COND_EQ && op != TPM_COND_IN)
		return is_unambiguous(table, column, text) ? text : NULL;

	/* in a path every text is one segment and means itself */
	if (column->placeholder ||
		(column->kind == TPM_COL_ID && (column->filter == NULL || op == TPM_COND_EQ)))
		return text;

	word = mapped(column, text);
	if (word == NULL || !is_unambiguous(table, column, word))
		return NULL;
	return pstrdup(word);
}

static int
compare_texts(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

static List *
without_repeats(List *texts)
{
	List	   *result = NIL;
	ListCell   *lc;

	list_sort(texts, compare_texts);
	foreach(lc, texts)
	{
		if (result == NIL || strcmp(llast(result), lfirst(lc)) != 0)
			result = lappend(result, lfirst(lc));
	}
	return result;
}

static List *
array_values(const TpmTable *table, const TpmColumn *column, Datum value, bool *none)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Oid			type = ARR_ELEMTYPE(array);
	int16		len;
	bool		byval;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	List	   *texts = NIL;

	get_typlenbyvalalign(type, &len, &byval, &align);
	deconstruct_array(array, type, len, byval, align, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *text;

		/* equal to NULL is no row; it is the executor's to call it unknown */
		if (nulls[i])
			continue;
		text = send_text(table, column, TPM_COND_IN, elements[i], type);

		if (text == NULL)
			return NIL;
		texts = lappend(texts, text);
	}
	if (texts == NIL)
		*none = true;
	return without_repeats(texts);
}

static List *
sendable_values(const TpmTable *table, const TpmColumn *column, TpmConditionOp op, Datum value,
				Oid value_type, bool *none)
{
	char	   *text;

	if (op == TPM_COND_NULL)
		return list_make1("null");
	if (op == TPM_COND_IN)
		return array_values(table, column, value, none);
	text = send_text(table, column, op, value, value_type);
	return text ? list_make1(text) : NIL;
}

List *
tpm_condition_values(const TpmTable *table, const TpmColumn *column, TpmConditionOp op,
					 Datum value, bool isnull, Oid value_type, bool *none)
{
	List	   *values;

	*none = isnull && op != TPM_COND_NULL;
	if (*none)
		return NIL;
	values = sendable_values(table, column, op, value, value_type, none);
	if (column->filter && (op == TPM_COND_EQ || op == TPM_COND_IN || op == TPM_COND_NULL) &&
		!tpm_request_query_allows(table, tpm_request_filter_name(table, column), values))
		return NIL;
	return values;
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
