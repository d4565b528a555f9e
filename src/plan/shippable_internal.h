/*-------------------------------------------------------------------------
 *
 * shippable_internal.h
 *		What shippable.c, shippable_clause.c and shippable_value.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_SHIPPABLE_INTERNAL_H
#define TPM_SHIPPABLE_INTERNAL_H

#include "plan/shippable.h"

/* shippable.c */
extern bool tpm_is_time_type(Oid type);

/* shippable_clause.c: column, operation and value; false: it is no condition */
extern bool tpm_read_clause(const TpmTable *table, RelOptInfo *rel, Expr *clause,
							TpmCondition *condition);

#endif							/* TPM_SHIPPABLE_INTERNAL_H */
