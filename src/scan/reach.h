/*-------------------------------------------------------------------------
 *
 * reach.h
 *		How far a list is read that is left at a bound.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_REACH_H
#define TPM_REACH_H

#include "scan/scan.h"

/*
 * The first page of an ordered list has come.  Why its bounds cannot be
 * reached, NULL: they may.  It may take a request.
 */
extern const TpmProblem *tpm_reach_refuses(TpmScan *scan, TpmList *list, const TpmPage *page);

/* the same before it, as an older list tells that would answer instead; the reader is at its start */
extern const TpmProblem *tpm_reach_refuses_by(TpmScan *scan, TpmCached *older);

#endif							/* TPM_REACH_H */
