/*-------------------------------------------------------------------------
 *
 * outlook.h
 *		What the other scans of a statement are still going to ask for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_OUTLOOK_H
#define TPM_OUTLOOK_H

#include "scan/scan.h"

/* requests that the others of its statement are known to need, of the same budget */
extern int64 tpm_outlook(const TpmScan *scan);

#endif							/* TPM_OUTLOOK_H */
