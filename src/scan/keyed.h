/*-------------------------------------------------------------------------
 *
 * keyed.h
 *		A scan by key that asks for all the keys it can see coming.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_KEYED_H
#define TPM_KEYED_H

#include "scan/scan.h"

/* what a scan by key knows, for as long as the executor run */
typedef struct TpmKeyed TpmKeyed;

/*
 * The values of the scan have been set anew: are its rows those of a key that
 * is known, or can be asked for together with others?  False: it is to be read
 * by itself.
 */
extern bool tpm_keyed_begin(TpmScan *scan);

/* the next row of the key; stays valid until tpm_keyed_begin(), or the end */
extern bool tpm_keyed_next(TpmScan *scan, TupleTableSlot *slot);

/* a row has come of the scan by itself (NULL: of the key at hand); for EXPLAIN ANALYZE */
extern void tpm_keyed_count_row(TpmScan *scan, TupleTableSlot *row);

/*
 * Where the number of rows is all that is wanted: do the rows of the keys cost
 * no more requests than a total for each of them?  False: from now on keys are
 * not asked for together.
 */
extern bool tpm_keyed_may_count(TpmScan *scan);

/* are the rows being read those of several keys? */
extern bool tpm_keyed_reads_batch(const TpmScan *scan);

/*
 * Before somebody writes: all that has been asked for is read to its end.  The
 * key at hand stays at hand.
 */
extern void tpm_keyed_complete(TpmScan *scan);

#endif							/* TPM_KEYED_H */
