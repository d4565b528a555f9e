/*-------------------------------------------------------------------------
 *
 * condition.h
 *		A condition on one column, and the texts under which its values are sent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CONDITION_H
#define TPM_CONDITION_H

#include "nodes/primnodes.h"

#include "option/option.h"

typedef enum TpmVerdict
{
	TPM_VERDICT_LOCAL,			/* not sent */
	TPM_VERDICT_RECHECK,		/* sent, and checked again */
	TPM_VERDICT_EXACT			/* sent; a count or a small page may rely on
								 * it */
} TpmVerdict;

/* what a condition asks of its column; stored in plans */
typedef enum TpmConditionOp
{
	TPM_COND_EQ,
	TPM_COND_IN,				/* value is an array */
	TPM_COND_LT,
	TPM_COND_LE,
	TPM_COND_GT,
	TPM_COND_GE,
	TPM_COND_LIKE,
	TPM_COND_NULL				/* no value */
} TpmConditionOp;

/* "column op value", the value free of the relation's columns */
typedef struct TpmCondition
{
	AttrNumber	attnum;
	TpmConditionOp op;
	Expr	   *value;			/* NULL with TPM_COND_NULL */
	Expr	   *clause;			/* the clause it was read from */
	TpmVerdict	verdict;		/* as far as is known before its value is */
} TpmCondition;

/*
 * The texts under which values are sent, or NIL if one of them could mean
 * something else to the API and the condition must stay local.  *none is set
 * when the condition can hold for no row (NULL, an empty array).  Values of
 * the id and of a column in the path need not be unambiguous in a list.
 */
extern List *tpm_condition_values(const TpmTable *table, const TpmColumn *column,
								  TpmConditionOp op, Datum value, bool isnull, Oid value_type,
								  bool *none);

/* is an equality on the column asked for in a path, where every text means itself? */
extern bool tpm_condition_goes_into_path(const TpmTable *table, const TpmColumn *column);

/* does the API list nothing without a value for the column's filter? */
extern bool tpm_condition_is_required(const TpmTable *table, const TpmColumn *column);

/*
 * Does what equals a value lie between bounds, and has no text of its own?
 * Then the condition is sent as TPM_COND_GE and TPM_COND_LE, each on its own.
 */
extern bool tpm_condition_is_range(const TpmTable *table, const TpmColumn *column, TpmConditionOp op);

/* was an exact filter on this column seen to give a row that does not match? */
extern bool tpm_filter_is_lying(const TpmTable *table, AttrNumber attnum);

/* does the API take several values of the column's filter at a time? */
static inline bool
tpm_column_takes_lists(const TpmColumn *column)
{
	return column->filter && (column->filter_operators & TPM_FILTER_IN);
}

/* a comparison that an order by its column can end: <, <=, >, >= */
static inline bool
tpm_condition_is_bound(const TpmCondition *condition)
{
	return condition->op == TPM_COND_LT || condition->op == TPM_COND_LE ||
		condition->op == TPM_COND_GT || condition->op == TPM_COND_GE;
}

#endif							/* TPM_CONDITION_H */
