/*-------------------------------------------------------------------------
 *
 * remote_query_internal.h
 *		What remote_query.c and remote_query_terms.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_REMOTE_QUERY_INTERNAL_H
#define TPM_REMOTE_QUERY_INTERNAL_H

#include "scan/scan.h"

/* a condition with the texts of its values */
typedef struct Sendable
{
	const TpmColumn *column;
	TpmPlanCondition *condition;
	TpmConditionOp op;			/* the condition's, or one bound of its range */
	List	   *values;			/* of char * */
} Sendable;

static inline bool
is_equality_item(const Sendable *item)
{
	return item->op == TPM_COND_EQ || item->op == TPM_COND_IN;
}

/* remote_query.c: pages of the list without conditions, as far as is known */
extern int	tpm_remote_query_pages(const TpmTable *table, int unknown);

/* remote_query_terms.c: the filters that are sent; marks the conditions that none stands for */
extern List *tpm_remote_query_terms(const TpmTable *table, List *sendable);

/*
 * A list of values that is too long for one URL becomes several requests; a
 * row is in one of them only.  Of several such lists one is cut, and the
 * others are not sent; nor is one that needs more requests than reading all.
 */
extern List *tpm_remote_query_cut_terms(const TpmTable *table, List *terms, bool *all_sent);

#endif							/* TPM_REMOTE_QUERY_INTERNAL_H */
