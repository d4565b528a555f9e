/*-------------------------------------------------------------------------
 *
 * nearest.h
 *		The valid name that a misspelt one was probably meant to be.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_NEAREST_H
#define TPM_NEAREST_H

typedef struct TpmNearest
{
	const char *name;			/* what was written */
	const char *best;			/* the nearest so far, or NULL if none is near */
	int			distance;
} TpmNearest;

extern void tpm_nearest_begin(TpmNearest *nearest, const char *name);
extern void tpm_nearest_offer(TpmNearest *nearest, const char *candidate);

#endif							/* TPM_NEAREST_H */
