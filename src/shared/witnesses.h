/*-------------------------------------------------------------------------
 *
 * witnesses.h
 *		Resources that answers to conditions have shown, so that a list that
 *		claims to be complete can be asked for them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_WITNESSES_H
#define TPM_WITNESSES_H

#include "shared/shared.h"

extern const TpmSharedArea tpm_witnesses_area;

/* of a table at most */
#define TPM_MOST_WITNESSES	1024

/* whose they are: what one credential is shown, another one may not be */
typedef struct TpmWitnessKey
{
	Oid			relid;			/* of this database */
	uint64		options_hash;
	uint64		credential;		/* keyed hash */
} TpmWitnessKey;

/*
 * Remembers resources by tpm_id_hash().  Where there is no room, others are
 * forgotten: of a table those of the same part of the hashes, of all tables
 * the one used longest ago.
 */
extern void tpm_witnesses_add(const TpmWitnessKey *key, const uint64 *ids, int n);

/* copies those of the table into ids, which has room for TPM_MOST_WITNESSES; how many */
extern int	tpm_witnesses_get(const TpmWitnessKey *key, uint64 *ids);

#endif							/* TPM_WITNESSES_H */
