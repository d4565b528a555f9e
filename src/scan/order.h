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

/*
 * "-updated_at,id": the value of the sort parameter, NULL without keys.  Where
 * the API takes several keys and sorts by one that is unique, it ends in that
 * one: rows that are equal in the order asked for may come in another order on
 * each page, so that some come twice and others never.
 */
extern char *tpm_order_parameter(const TpmTable *table, const List *keys);

/* are no two rows equal in the order that is sent for these keys? */
extern bool tpm_order_is_total(const TpmTable *table, const List *keys);

/* a column that the API sorts by and that no two rows of a list share a value of, or NULL */
extern const TpmColumn *tpm_order_unique_column(const TpmTable *table);

/*
 * Is what the API prints all that it sorts by?  Times and fractions may be
 * printed shorter than they are held: rows that are equal here are not there,
 * and no further key orders them.
 */
extern bool tpm_order_is_by_print(const TpmColumn *column);

/* an order at run time */
typedef struct TpmOrder TpmOrder;

/* lives in the current memory context and points to tupdesc */
extern TpmOrder *tpm_order_create(const TpmTable *table, const List *keys, TupleDesc tupdesc);

/* a list begins */
extern void tpm_order_begin(TpmOrder *order);

/*
 * Raises HV00M unless the rows of the page follow each other, and the rows
 * of the pages before, in the order.  False: the first row is equal to the
 * last one of the page before, so that the pages met inside a run of equal
 * rows.
 */
extern bool tpm_order_verify(TpmOrder *order, const TpmPage *page);

/* has the row no value by the first key, where none without one is wanted? */
extern bool tpm_order_is_unwanted(const TpmOrder *order, HeapTuple tuple);

/* does the row belong before the last one that was verified? */
extern bool tpm_order_is_behind(const TpmOrder *order, HeapTuple tuple);

/* the column of the first key */
extern AttrNumber tpm_order_attnum(const TpmOrder *order);

/* a sort by the order, for rows that come from elsewhere */
extern Tuplesortstate *tpm_order_sort(const TpmOrder *order);

#endif							/* TPM_ORDER_H */
