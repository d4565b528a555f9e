/*-------------------------------------------------------------------------
 *
 * rent_or_buy.h
 *		When a table's list is read as a whole instead of in parts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_RENT_OR_BUY_H
#define TPM_RENT_OR_BUY_H

#include "scan/scan.h"

/* a request for a part of the list is about to be sent */
extern void tpm_rent_count(TpmScan *scan);

/* does anybody know how many requests the whole list takes? */
extern bool tpm_rent_size_is_known(const TpmScan *scan);

/* would so many more cost, with those before, more than the whole list, or than what is known of it? */
extern bool tpm_rent_is_due(const TpmScan *scan, int64 more);

/*
 * May the whole list be read for what the scan's conditions ask for, and
 * answer?  The query at hand is that list.
 */
extern bool tpm_rent_may_buy(TpmScan *scan);

/* the whole list has been read; kept: the cache has it */
extern void tpm_rent_bought(const TpmScan *scan, bool kept);

/* reading it has raised the error that is about to be thrown again: whoever comes next is not to meet it */
extern void tpm_rent_failed(const TpmScan *scan);

#endif							/* TPM_RENT_OR_BUY_H */
