/*-------------------------------------------------------------------------
 *
 * redact.c
 *		Secrets that an answer repeats.
 *
 * Errors carry the API's own words, and some APIs and gateways repeat in them
 * what they were sent.  Owns what of a request is secret, and its removal from
 * an answer before anybody reads it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/redact.h"

/* a shorter one could stand in any text, and would guess itself */
#define TPM_MIN_SECRET 6

List *
tpm_secret_add(List *secrets, const char *secret)
{
	if (secret == NULL || strlen(secret) < TPM_MIN_SECRET)
		return secrets;
	return lappend(secrets, pstrdup(secret));
}

List *
tpm_secret_add_headers(List *secrets, List *headers)
{
	ListCell   *lc;

	foreach(lc, headers)
	{
		const char *value = strchr(lfirst(lc), ':');

		if (value)
			secrets = tpm_secret_add(secrets, value + 1 + strspn(value + 1, " \t"));
	}
	return secrets;
}

void
tpm_redact(char *text, size_t len, List *secrets)
{
	ListCell   *lc;

	/* an answer without a body has none */
	if (len == 0)
		return;
	foreach(lc, secrets)
	{
		const char *secret = lfirst(lc);
		size_t		size = strlen(secret);
		char	   *found = text;

		while ((found = memmem(found, text + len - found, secret, size)) != NULL)
		{
			memset(found, '*', size);
			found += size;
		}
	}
}
