/*-------------------------------------------------------------------------
 *
 * redact.h
 *		Secrets that an answer repeats.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_REDACT_H
#define TPM_REDACT_H

#include "nodes/pg_list.h"

/* a copy of the secret joins the list, unless it is NULL or too short to be one */
extern List *tpm_secret_add(List *secrets, const char *secret);

/* the same with the value of each "Name: value" */
extern List *tpm_secret_add_headers(List *secrets, List *headers);

/* asterisks for every one of them in the text */
extern void tpm_redact(char *text, size_t len, List *secrets);

#endif							/* TPM_REDACT_H */
