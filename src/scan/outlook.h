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

/* the scan has been set up; it is forgotten with its executor run */
extern void tpm_outlook_register(TpmScan *scan);

/* requests that the others of its statement are known to need, of the same budget */
extern int64 tpm_outlook(const TpmScan *scan);

#endif							/* TPM_OUTLOOK_H */
