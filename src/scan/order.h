/*-------------------------------------------------------------------------
 *
 * order.h
 *		Lists in an order that the API makes: which are offered, which hold.
 *
 * A plan holds an order as an integer list, TPM_ORDER_WIDTH numbers a key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_ORDER_H
#define TPM_ORDER_H

#include "access/tupdesc.h"
#include "nodes/pathnodes.h"
#include "utils/tuplesort.h"

#include "document/document.h"
#include "scan/condition.h"

/* attnum, descending, nulls first, NULLs may stand at either end */
#define TPM_ORDER_WIDTH 4

/* "-updated_at,id": the value of the sort parameter, NULL without keys */
extern char *tpm_order_parameter(const TpmTable *table, const List *keys);

/* an order at run time */
typedef struct TpmOrder TpmOrder;

/* lives in the current memory context and points to tupdesc */
extern TpmOrder *tpm_order_create(const TpmTable *table, const List *keys, TupleDesc tupdesc);

/* a list begins */
extern void tpm_order_begin(TpmOrder *order);

/*
 * Raises HV00M unless the rows of the page follow each other, and the rows
 * of the pages before, in the order.
 */
extern void tpm_order_verify(TpmOrder *order, const TpmPage *page);

/* a sort by the order, for rows that come from elsewhere */
extern Tuplesortstate *tpm_order_sort(const TpmOrder *order);

#endif							/* TPM_ORDER_H */
