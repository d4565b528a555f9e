/*-------------------------------------------------------------------------
 *
 * rent.h
 *		What has been spent on parts of a table's list, so that it is bought
 *		as a whole before that costs more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_RENT_H
#define TPM_RENT_H

#include "shared/shared.h"

extern const TpmSharedArea tpm_rent_area;

/* whose list: what one credential is shown, another one may not be */
typedef struct TpmRentKey
{
	Oid			relid;			/* of this database */
	uint64		options_hash;
	uint64		credential;		/* keyed hash */
	Oid			serverid;		/* these two for the view */
	Oid			userid;			/* role whose mapping was used */
} TpmRentKey;

/* requests for a part of the list are about to be sent; ttl_us: for how long the whole would be kept */
extern void tpm_rent_add(const TpmRentKey *key, int64 ttl_us, int requests);

/* those of the last ttl; -1: the list was bought in vain, and is not to be bought for now */
extern int64 tpm_rent_get(const TpmRentKey *key, int64 ttl_us);

/* the list is there as a whole, or could not be kept: begins anew */
extern void tpm_rent_settle(const TpmRentKey *key, int64 ttl_us, bool kept);

/* forgets what has been spent on tables of the server, InvalidOid: of all */
extern void tpm_rent_reset(Oid serverid);

/* a table on parts of which something has been spent */
typedef struct TpmRentRow
{
	Oid			dbid;
	TpmRentKey	key;
	int64		spent;
} TpmRentRow;

/* palloc'd; how many */
extern int	tpm_rent_rows(TpmRentRow **rows);

#endif							/* TPM_RENT_H */
