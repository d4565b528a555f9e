/*-------------------------------------------------------------------------
 *
 * tpm_fdw.h
 *		What the library calls itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_FDW_H
#define TPM_FDW_H

/* prefix of every DEBUG line and of the reserved settings */
#define TPM_NAME "tpm_fdw"
/* as in tpm_fdw.control */
#define TPM_VERSION "1.0"

#endif							/* TPM_FDW_H */
