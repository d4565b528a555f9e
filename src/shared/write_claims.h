/*-------------------------------------------------------------------------
 *
 * write_claims.h
 *		Resources that sessions of this cluster are changing.
 *
 * For an API without ETags: two sessions that have read the same resource must
 * not both send it, and nothing is sent over a change that may still arrive.
 * Of clients elsewhere nothing is known here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_WRITE_CLAIMS_H
#define TPM_WRITE_CLAIMS_H

#include "shared/shared.h"

extern const TpmSharedArea tpm_write_claim_area;

/* to be taken before a resource is read that will be changed */
extern uint64 tpm_write_claim_mark(void);

/*
 * This session is about to change the resource (a hash of its address) that it
 * read after the mark.  False: another session is changing it, or has since.
 * Ends with tpm_write_claim_end(), or with the (sub)transaction if that fails.
 */
extern bool tpm_write_claim_begin(uint64 resource, uint64 mark);
extern void tpm_write_claim_end(void);

/*
 * A change of the resource in doubt, which may yet arrive until then
 * (monotonic, microseconds) and would erase what was changed meanwhile.
 * Neither throws nor waits.
 */
extern void tpm_write_claim_unsettle(uint64 resource, int64 until_us);

/* what was noted with that time has arrived, or will not: nobody waits for it any more */
extern void tpm_write_claim_settle(uint64 resource, int64 until_us);

/* when the last of them is over; 0: there is none */
extern int64 tpm_write_claim_unsettled_until(uint64 resource);

#endif							/* TPM_WRITE_CLAIMS_H */
