/*-------------------------------------------------------------------------
 *
 * shippable.h
 *		Which conditions the API can answer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_SHIPPABLE_H
#define TPM_SHIPPABLE_H

#include "nodes/pathnodes.h"

#include "scan/condition.h"

/*
 * Reads a clause as a condition on one column of the relation, whether or not
 * the API can filter by it.  False: it is none.  The condition's verdict says
 * whether it is sent as a filter.
 */
extern bool tpm_read_condition(const TpmTable *table, RelOptInfo *rel, Expr *clause,
							   TpmCondition *condition);

/* may a list be ordered by this column on the API's side, as PostgreSQL would */
extern bool tpm_order_is_shippable(const TpmColumn *column, Oid opfamily, Oid collation);

#endif							/* TPM_SHIPPABLE_H */
