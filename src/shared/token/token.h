/*-------------------------------------------------------------------------
 *
 * token.h
 *		Access tokens, one per credential, shared by the cluster.
 *
 * Shared memory only: never on disk, never in a view.  Nothing here waits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_TOKEN_H
#define TPM_TOKEN_H

#include "datatype/timestamp.h"

#include "shared/shared.h"

/* a setting; its meaning and range are in tpm_fdw.c */
extern int	tpm_max_tokens;

extern const TpmSharedArea tpm_token_area;

/* longest access token that is kept */
#define TPM_TOKEN_MAX	8192

typedef struct TpmTokenKey
{
	uint64		hash;			/* keyed hash of base URL, token URL, client
								 * id and secret (or secret file's name) */
	Oid			serverid;
	Oid			userid;			/* role whose mapping it is */
	char		client_id[128]; /* for the view, truncated */
} TpmTokenKey;

typedef enum TpmTokenVerdict
{
	TPM_TOKEN_READY,			/* *token is filled: use it */
	TPM_TOKEN_FETCH,			/* this backend has the claim: ask for one,
								 * then tpm_token_store() or
								 * tpm_token_failed() */
	TPM_TOKEN_READY_AND_FETCH,	/* use it, and renew it: this backend has the
								 * claim, the others go on with the old one */
	TPM_TOKEN_WAIT				/* another backend is asking: wait for the
								 * latch */
} TpmTokenVerdict;

/*
 * token must have room for TPM_TOKEN_MAX + 1 bytes.  *generation numbers the
 * token, for tpm_token_rejected().  With WAIT this backend's latch is set
 * when the fetch ends, however it ends (also by the death of its backend).
 */
extern TpmTokenVerdict tpm_token_get(const TpmTokenKey *key, char *token, uint64 *generation);

/* expires_us: monotonic time, or PG_INT64_MAX if the answer named none */
extern void tpm_token_store(const TpmTokenKey *key, const char *token, int64 obtained_us, int64 expires_us);

/*
 * The holder of a claim is still waiting for the answer.  It says so every
 * second, or the claim is taken over.
 */
extern void tpm_token_fetching(const TpmTokenKey *key);

/* gives the claim back (so does an abort of the transaction or subtransaction); error (without secrets) goes to the view */
extern void tpm_token_failed(const TpmTokenKey *key, const char *error);

/*
 * The API answered 401 to the token of this generation.  The first caller
 * makes it unusable; later ones with the same generation change nothing.
 */
extern void tpm_token_rejected(const TpmTokenKey *key, uint64 generation);

/* forgets the tokens of a server of this database; InvalidOid: all */
extern void tpm_token_reset(Oid serverid);

/* one row of tpm_fdw_tokens: a token as held by one role at one server */
typedef struct TpmTokenRow
{
	Oid			serverid;
	Oid			userid;
	char		client_id[128];
	TimestampTz obtained;		/* 0: there is no token now */
	TimestampTz expires;		/* 0: unknown */
	int64		refreshes;		/* times it was renewed */
	char		last_error[256];	/* "": none */
} TpmTokenRow;

/* palloc'd array of the rows whose server is in this database */
extern int	tpm_token_rows(TpmTokenRow **rows);

#endif							/* TPM_TOKEN_H */
