/*-------------------------------------------------------------------------
 *
 * link_header.h
 *		The header field Link (RFC 8288).
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_LINK_HEADER_H
#define TPM_LINK_HEADER_H

#include "base/page.h"

/*
 * Adds what the value of the field says of other pages; what the document has
 * said is left as it is.  Texts are palloc'd.
 */
extern void tpm_link_header_read(const char *value, TpmPageLinks *links);

#endif							/* TPM_LINK_HEADER_H */
