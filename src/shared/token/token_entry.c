/*-------------------------------------------------------------------------
 *
 * token_entry.c
 *		Tokens, the entries that hold them, and who uses which.
 *
 * Owns what a token's age means, which entry is given up for a new one, and
 * the holders; and the tokens in this backend's memory, for which no entry was
 * free.  An entry that is claimed is not evicted.
 *
 * Locking: the arrays are walked under the table's lock, which is the caller's;
 * nothing here waits, allocates or throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "shared/token/token_internal.h"

/* ----- one token ----- */

/* how long before its end it is renewed */
int64
tpm_token_margin(const Token *token)
{
	int64		lifetime = token->expires_us - token->obtained_us;
	int64		margin = Min(Max(lifetime / 10, 10 * TOKEN_SECOND_US), 60 * TOKEN_SECOND_US);

	return Min(margin, lifetime / 2);
}

TokenState
tpm_token_state(const Token *token, int64 now)
{
	int64		left;

	if (token->generation == 0)
		return TOKEN_EXPIRED;
	if (token->expires_us == PG_INT64_MAX)
		return TOKEN_GOOD;
	left = token->expires_us - now;
	if (left <= 0 || left < Min((token->expires_us - token->obtained_us) / 10, TOKEN_SECOND_US))
		return TOKEN_EXPIRED;
	return left < tpm_token_margin(token) ? TOKEN_DUE : TOKEN_GOOD;
}

/*
 * A token so short-lived that it is past its end when it arrives serves the
 * request it was fetched for; else that would ask for ever.
 */
bool
tpm_token_use_once(Token *token, int64 now)
{
	bool		mine = token->generation != 0 && token->stored_by == tpm_my_procno();

	if (mine)
		token->stored_by = -1;
	return mine && now - token->stored_us < TOKEN_SECOND_US;
}

void
tpm_token_wipe(Token *token)
{
	explicit_bzero(token, sizeof(Token));
	token->stored_by = -1;
}

void
tpm_token_set(Token *token, const char *text, uint64 generation, int64 obtained_us, int64 expires_us)
{
	int64		now = tpm_monotonic_us();

	tpm_token_wipe(token);
	strlcpy(token->text, text, sizeof(token->text));
	token->generation = generation;
	token->obtained_us = obtained_us;
	token->expires_us = expires_us;
	token->obtained = GetCurrentTimestamp() - (now - obtained_us);
	if (expires_us != PG_INT64_MAX)
		token->expires = token->obtained + (expires_us - obtained_us);
	token->stored_us = now;
	token->stored_by = tpm_my_procno();
}

/* ----- entries; all under the lock ----- */

/* an entry is looked for, and put, from its hash's own place on */
static int
place_from(uint64 hash, int step)
{
	return (hash % tpm_tokens->nentries + step) % tpm_tokens->nentries;
}

TokenEntry *
tpm_token_entry(uint64 hash)
{
	for (int i = 0; i < tpm_tokens->nentries; i++)
	{
		int			place = place_from(hash, i);

		if (tpm_tokens->hashes[place] == hash && tpm_tokens->entries[place].used)
			return &tpm_tokens->entries[place];
	}
	return NULL;
}

static void
free_entry(TokenEntry *entry)
{
	tpm_token_end_claim(entry);
	tpm_token_wipe(&entry->token);
	memset(entry, 0, offsetof(TokenEntry, token));
	entry->claim_procno = -1;
}

/* a free one, or that of the token used longest ago; NULL: all are claimed */
TokenEntry *
tpm_token_new_entry(uint64 hash, int64 now)
{
	TokenEntry *victim = NULL;

	for (int i = 0; i < tpm_tokens->nentries; i++)
	{
		TokenEntry *entry = &tpm_tokens->entries[place_from(hash, i)];

		if (!entry->used)
		{
			victim = entry;
			break;
		}
		if (!tpm_token_claim_is_held(entry, now) && (victim == NULL || entry->used_us < victim->used_us))
			victim = entry;
	}
	if (victim == NULL)
		return NULL;
	free_entry(victim);
	victim->used = true;
	tpm_tokens->hashes[victim - tpm_tokens->entries] = hash;
	victim->used_us = now;
	return victim;
}

/* whoever is asking for one now will still store it */
void
tpm_token_forget(TokenEntry *entry)
{
	if (!tpm_token_claim_is_held(entry, tpm_monotonic_us()))
	{
		free_entry(entry);
		return;
	}
	tpm_token_wipe(&entry->token);
	entry->stored = 0;
	entry->last_error[0] = '\0';
	tpm_token_collect_waiters(entry);
}

/* ----- holders; all under the lock ----- */

/* if nobody else holds it: a secret that was replaced, a role gone from the view */
static void
forget_unheld(uint64 hash)
{
	TokenEntry *entry;

	for (int i = 0; i < tpm_tokens->nholders; i++)
	{
		if (tpm_tokens->holders[i].used && tpm_tokens->holders[i].hash == hash)
			return;
	}
	entry = tpm_token_entry(hash);
	if (entry)
		tpm_token_forget(entry);
}

static bool
is_holder(const TokenHolder *holder, const TpmTokenKey *key)
{
	return holder->used && holder->dbid == MyDatabaseId && holder->serverid == key->serverid &&
		holder->userid == key->userid;
}

/* the holder that key names, or the one to be put in its place */
static TokenHolder *
find_holder(const TpmTokenKey *key)
{
	uint32		home = hash_combine(key->serverid, key->userid) % tpm_tokens->nholders;
	TokenHolder *other = NULL;

	for (int i = 0; i < tpm_tokens->nholders; i++)
	{
		TokenHolder *holder = &tpm_tokens->holders[(home + i) % tpm_tokens->nholders];

		if (is_holder(holder, key))
			return holder;
		if (other == NULL || (other->used && (!holder->used || holder->used_us < other->used_us)))
			other = holder;
	}
	return other;
}

void
tpm_token_note_use(const TpmTokenKey *key, int client_id_len, int64 now)
{
	TokenHolder *holder = find_holder(key);
	bool		had = holder->used;
	uint64		before = holder->hash;

	holder->used = true;
	holder->dbid = MyDatabaseId;
	holder->serverid = key->serverid;
	holder->userid = key->userid;
	holder->hash = key->hash;
	holder->used_us = now;
	memcpy(holder->client_id, key->client_id, client_id_len);
	holder->client_id[client_id_len] = '\0';
	if (had && before != key->hash)
		forget_unheld(before);
}

/* ----- tokens in this backend's memory ----- */

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
