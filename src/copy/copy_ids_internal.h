/*-------------------------------------------------------------------------
 *
 * copy_ids_internal.h
 *		Ids of a copy that are remembered beside its state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_COPY_IDS_INTERNAL_H
#define TPM_COPY_IDS_INTERNAL_H

#include "copy/copy_internal.h"

/* those of a kind (TPM_ID_...) that were not asked since, the longest asked first; *n: how many */
extern char **tpm_copy_ids_read(const char *guard, char kind, TimestampTz since, int *n);

/* each once; those that are there get the new moment */
extern void tpm_copy_ids_add(const char *guard, char kind, char *const *ids, int n, TimestampTz asked);

/* how many there were among these; ids NULL: all of the kind */
extern int	tpm_copy_ids_remove(const char *guard, char kind, char *const *ids, int n);

/* of two char *, by bytes, for qsort() and bsearch() */
extern int	tpm_copy_ids_compare(const void *a, const void *b);

#endif							/* TPM_COPY_IDS_INTERNAL_H */
