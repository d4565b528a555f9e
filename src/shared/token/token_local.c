/*-------------------------------------------------------------------------
 *
 * token_local.c
 *		Tokens in this backend's memory, for which no entry was free.
 *
 * Owns them for the life of the backend.  The shared table is token.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "shared/token/token_internal.h"

static LocalToken *local_tokens = NULL;

void
tpm_token_drop_local(LocalToken **at)
{
	LocalToken *local = *at;

	*at = local->next;
	tpm_token_wipe(&local->token);
	pfree(local);
}

LocalToken **
tpm_token_find_local(uint64 hash)
{
	for (LocalToken **at = &local_tokens; *at; at = &(*at)->next)
	{
		if ((*at)->hash == hash)
			return at;
	}
	return NULL;
}

Token *
tpm_token_usable_local(uint64 hash, uint64 resets, int64 now)
{
	LocalToken **at = tpm_token_find_local(hash);

	if (at == NULL)
		return NULL;
	if ((*at)->resets == resets &&
		(tpm_token_state(&(*at)->token, now) != TOKEN_EXPIRED || tpm_token_use_once(&(*at)->token, now)))
		return &(*at)->token;
	return NULL;
}

LocalToken *
tpm_token_make_local(uint64 hash)
{
	LocalToken **at = tpm_token_find_local(hash);
	LocalToken *local;

	if (at)
		return *at;
	local = MemoryContextAllocZero(TopMemoryContext, sizeof(LocalToken));
	local->hash = hash;
	local->next = local_tokens;
	local_tokens = local;
	return local;
}

void
tpm_token_drop_locals(void)
{
	while (local_tokens)
		tpm_token_drop_local(&local_tokens);
}
