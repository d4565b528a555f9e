/*-------------------------------------------------------------------------
 *
 * token_internal.h
 *		The table of tokens, as its files see it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_TOKEN_INTERNAL_H
#define TPM_TOKEN_INTERNAL_H

#include "storage/lwlock.h"

#include "shared/token/token.h"

#define TOKEN_SECOND_US	INT64CONST(1000000)

typedef struct Token
{
	uint64		generation;		/* 0: there is none */
	int64		obtained_us;
	int64		expires_us;		/* PG_INT64_MAX: unknown */
	TimestampTz obtained;
	TimestampTz expires;		/* 0: unknown */
	int64		stored_us;
	int			stored_by;		/* procno that has not used it yet; -1 none */
	char		text[TPM_TOKEN_MAX + 1];
} Token;

typedef struct TokenEntry
{
	bool		used;
	int64		used_us;
	int64		stored;			/* tokens so far */
	int64		renew_after_us; /* a renewal failed: pause */
	int			claim_procno;	/* -1: not claimed */
	int			claim_pid;
	SubTransactionId claim_subid;
	int64		seen_us;		/* heartbeat of the claim */
	int			error_encoding;
	char		last_error[256];
	Token		token;
} TokenEntry;

typedef struct TokenHolder
{
	bool		used;
	Oid			dbid;
	Oid			serverid;
	Oid			userid;
	uint64		hash;
	int64		used_us;
	char		client_id[128];
} TokenHolder;

typedef struct TokenTable
{
	LWLock		lock;
	uint64		generation;		/* the last one given */
	uint64		resets;
	int			nentries;
	int			nholders;
	int			nwords;			/* words of waiters of an entry */
	TokenEntry *entries;
	uint64	   *hashes;			/* of the entries, close together: looked
								 * through often */
	TokenHolder *holders;
	uint64	   *waiters;		/* a bit per procno, nwords per entry */
} TokenTable;

/* a token that no entry was free for */
typedef struct LocalToken
{
	uint64		hash;
	uint64		resets;			/* tpm_tokens->resets when it was stored */
	Token		token;
	struct LocalToken *next;
} LocalToken;

typedef enum TokenState
{
	TOKEN_GOOD,
	TOKEN_DUE,					/* usable, to be renewed */
	TOKEN_EXPIRED				/* or there is none */
} TokenState;

extern TokenTable *tpm_tokens;

/* token.c: claims; under the lock */
extern bool tpm_token_claim_is_held(const TokenEntry *entry, int64 now);
extern void tpm_token_end_claim(TokenEntry *entry);
extern void tpm_token_collect_waiters(TokenEntry *entry);

/* token_entry.c: one token, wherever it lies */
extern int64 tpm_token_margin(const Token *token);
extern TokenState tpm_token_state(const Token *token, int64 now);
extern bool tpm_token_use_once(Token *token, int64 now);
extern void tpm_token_wipe(Token *token);
extern void tpm_token_set(Token *token, const char *text, uint64 generation, int64 obtained_us,
						  int64 expires_us);

/* and the arrays; under the lock */
extern TokenEntry *tpm_token_entry(uint64 hash);
extern TokenEntry *tpm_token_new_entry(uint64 hash, int64 now);
extern void tpm_token_forget(TokenEntry *entry);
extern void tpm_token_note_use(const TpmTokenKey *key, int client_id_len, int64 now);

/* those in this backend's memory */
extern LocalToken **tpm_token_find_local(uint64 hash);
extern Token *tpm_token_usable_local(uint64 hash, uint64 resets, int64 now);
extern LocalToken *tpm_token_make_local(uint64 hash);
extern void tpm_token_drop_local(LocalToken **at);
extern void tpm_token_drop_locals(void);

#endif							/* TPM_TOKEN_INTERNAL_H */
