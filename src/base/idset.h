/*-------------------------------------------------------------------------
 *
 * idset.h
 *		A set of 64-bit hashes: the resources that have been seen.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_IDSET_H
#define TPM_IDSET_H

typedef struct TpmIdSet TpmIdSet;

/* lives in the current memory context; grows by so many bytes an entry, doubling */
#define TPM_IDSET_BYTES 16
extern TpmIdSet *tpm_idset_create(uint32 expected);

/* false if it was there already */
extern bool tpm_idset_add(TpmIdSet *set, uint64 hash);
extern bool tpm_idset_has(TpmIdSet *set, uint64 hash);

extern void tpm_idset_destroy(TpmIdSet *set);

#endif							/* TPM_IDSET_H */
