/*-------------------------------------------------------------------------
 *
 * plan_private.h
 *		What a plan holds for the scan: its private part, in order.
 *
 * Written by plan/, read here, by EXPLAIN and by writes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_PLAN_PRIVATE_H
#define TPM_PLAN_PRIVATE_H

#include "foreign/fdwapi.h"
#include "nodes/plannodes.h"

/* where an answer rests on the API's order, a page is never smaller */
#define TPM_MIN_ORDERED_PAGE 20

/*
 * ForeignScan.fdw_private: node trees only, since plans are copied and kept.
 * fdw_exprs holds the values of the conditions, one for each, a NULL Const
 * where a condition has none.
 */
typedef enum TpmPrivate
{
	TPM_PRIV_RELATION,			/* Integer: OID of the foreign table */
	TPM_PRIV_CONDITIONS,		/* IntList: attnum, op, verdict of each */
	TPM_PRIV_VERDICTS,			/* IntList: TpmVerdict of each plan qual */
	TPM_PRIV_ORDER,				/* IntList: the order asked for, see order.h */
	TPM_PRIV_STOP,				/* IntList: plan quals that end the list in
								 * this order */
	TPM_PRIV_COLUMNS,			/* IntList: attnums to fetch */
	TPM_PRIV_CHECKED,			/* IntList: attnums whose member must exist */
	TPM_PRIV_FLAGS,				/* Integer: TPM_PLAN_* */
	TPM_PRIV_WANTED,			/* Float: rows that will be wanted, 0 all */
	TPM_PRIV_REQUESTS,			/* Float: requests estimated */
	TPM_PRIV_KEY,				/* IntList: which of CONDITIONS, and which of
								 * the plan quals, is the key of a scan by
								 * key, and whether rows of several keys are
								 * to be asked for in its order; NIL: it is
								 * none */
	TPM_PRIV_VARYING,			/* IntList: which of CONDITIONS compare with
								 * what may differ for each key */
	TPM_PRIV_LINK,				/* Integer: of the window that shows further
								 * keys, see key_window.h */
	TPM_PRIV_COUNT				/* how many there are */
} TpmPrivate;

/* the plan reads the list to its end, whatever its rows are */
#define TPM_PLAN_READS_ALL		0x01
/* a first page smaller than page_size is enough */
#define TPM_PLAN_SMALL_PAGE		0x02
/* the answer is the number of rows */
#define TPM_PLAN_COUNTS			0x04
/* it feeds a write of the same statement: what it reads must be new */
#define TPM_PLAN_NO_CACHE		0x08

/* count.c */

/* the clauses that rows must pass, whether the executor tests them or a count does */
extern List *tpm_plan_quals(ForeignScan *plan);

/* of a count: attnum of the table that each column of the scan's row is, 0 for counts */
extern List *tpm_plan_map(ForeignScan *plan);

#endif							/* TPM_PLAN_PRIVATE_H */
