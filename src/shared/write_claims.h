/*-------------------------------------------------------------------------
 *
 * write_claims.h
 *		Resources that sessions of this cluster are changing.
 *
 * For an API without ETags: two sessions that have read the same resource must
 * not both send it.  Of clients elsewhere nothing is known here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CHANGING_H
#define TPM_CHANGING_H

#include "shared/shared.h"

extern const TpmSharedArea tpm_changing_area;

/* to be taken before a resource is read that will be changed */
extern uint64 tpm_changing_mark(void);

/*
 * This session is about to change the resource (a hash of its address) that it
 * read after the mark.  False: another session is changing it, or has since.
 * Ends with tpm_changing_end(), or with the (sub)transaction if that fails.
 */
extern bool tpm_changing_begin(uint64 resource, uint64 mark);
extern void tpm_changing_end(void);

#endif							/* TPM_CHANGING_H */
