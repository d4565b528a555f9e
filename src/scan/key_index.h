/*-------------------------------------------------------------------------
 *
 * key_index.h
 *		The rows of a complete list, by key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_KEY_INDEX_H
#define TPM_KEY_INDEX_H

#include "scan/key_type.h"

typedef struct TpmKeyIndex TpmKeyIndex;

/*
 * Hashes the rows of a source that the cache has in full, and reads it to its
 * end.  Index and source live in the current memory context, and pin the list.
 * NULL: it would take more memory than a hash may.
 */
extern TpmKeyIndex *tpm_key_index_create(TpmScan *scan, TpmKeyType *type, TpmSource *source);

/* the same with rows that the scan keeps, which are copied */
extern TpmKeyIndex *tpm_key_index_copy(TpmScan *scan, TpmKeyType *type, Tuplestorestate *rows);

/* what follows are the rows of this key, which must stay, in the order of the list */
extern void tpm_key_index_seek(TpmKeyIndex *index, Datum key);
extern bool tpm_key_index_next(TpmKeyIndex *index, HeapTuple tuple);

#endif							/* TPM_KEY_INDEX_H */
