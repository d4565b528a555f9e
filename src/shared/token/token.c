/*-------------------------------------------------------------------------
 *
 * token.c
 *		Access tokens that the sessions of a cluster share.
 *
 * Owns two arrays in shared memory.  A token's entry is found by the hash of
 * its credential alone, so that all servers, roles and databases with that
 * credential use one token.  A holder is a role at a server of a database and
 * names the hash it used last: holders are the rows of the view, and what a
 * reset goes by.  Asking for tokens, and waiting, is the caller's (client/).
 *
 * Nobody asks for a token without the claim of its entry.  A claim ends when
 * its token is stored or refused, with the transaction or subtransaction that
 * made it, or with its backend; a claim whose process is gone, or does not go
 * on with it, is taken over.  When every entry is claimed, a further
 * credential's token stays in the memory of the backend that asked.
 *
 * Locking: one LWLock, tpm_tokens->lock, for everything.  Under it bytes are
 * copied and arrays walked; nothing waits, allocates or throws.  Latches are
 * set after it was given back, from a list that is made under it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "shared/token/token_internal.h"

int			tpm_max_tokens = 256;

/* a role that shares a credential takes a row of the view, but no token */
#define HOLDERS_PER_TOKEN	4

TokenTable *tpm_tokens = NULL;

/* ----- the segment ----- */

static int
waiter_words(void)
{
	return (MaxBackends + NUM_AUXILIARY_PROCS + 63) / 64;
}

static Size
token_size(void)
{
	Size		size = CACHELINEALIGN(sizeof(TokenTable));

	size = add_size(size, mul_size(tpm_max_tokens, sizeof(TokenEntry) + sizeof(uint64)));
	size = add_size(size, mul_size(tpm_max_tokens, HOLDERS_PER_TOKEN * sizeof(TokenHolder)));
	return add_size(size, mul_size(tpm_max_tokens, waiter_words() * sizeof(uint64)));
}

static void
token_init(void *area, int tranche, bool found)
{
	tpm_tokens = area;
	if (found)
		return;

	memset(area, 0, token_size());
	LWLockInitialize(&tpm_tokens->lock, tranche);
	tpm_tokens->nentries = tpm_max_tokens;
	tpm_tokens->nholders = tpm_max_tokens * HOLDERS_PER_TOKEN;
	tpm_tokens->nwords = waiter_words();
	tpm_tokens->entries = (TokenEntry *) ((char *) area + CACHELINEALIGN(sizeof(TokenTable)));
	tpm_tokens->hashes = (uint64 *) (tpm_tokens->entries + tpm_tokens->nentries);
	tpm_tokens->holders = (TokenHolder *) (tpm_tokens->hashes + tpm_tokens->nentries);
	tpm_tokens->waiters = (uint64 *) (tpm_tokens->holders + tpm_tokens->nholders);
	for (int i = 0; i < tpm_tokens->nentries; i++)
		tpm_tokens->entries[i].claim_procno = tpm_tokens->entries[i].token.stored_by = -1;
}

const TpmSharedArea tpm_token_area = {"tpm_fdw_token", token_size, token_init};

/*
 * A claim may be that of a call that nobody goes on with: its backend returns
 * rows to a client that rests, or is just asking for another call.  One that
 * has shown no sign of life for so long is taken over.
 */
#define CLAIM_PATIENCE_US	(5 * TOKEN_SECOND_US)

static uint64 *woken = NULL;	/* whose latch to set once the lock is given
								 * back */
static bool any_woken = false;
static bool claims_made = false;	/* in this transaction */

/* ----- waiters ----- */

static uint64 *
waiters_of(const TokenEntry *entry)
{
	return tpm_tokens->waiters + (entry - tpm_tokens->entries) * tpm_tokens->nwords;
}

/* lock held */
static void
add_token_waiter(TokenEntry *entry)
{
	int			procno = tpm_my_procno();

	Assert(procno / 64 < tpm_tokens->nwords);
	waiters_of(entry)[procno / 64] |= UINT64CONST(1) << (procno % 64);
}

/* lock held; wake_token_waiters() is to follow */
void
tpm_token_collect_waiters(TokenEntry *entry)
{
	uint64	   *waiters = waiters_of(entry);

	for (int i = 0; i < tpm_tokens->nwords; i++)
	{
		any_woken = any_woken || waiters[i] != 0;
		woken[i] |= waiters[i];
		waiters[i] = 0;
	}
}

static void
wake_token_waiters(void)
{
	if (!any_woken)
		return;
	any_woken = false;
	for (int procno = 0; procno < tpm_tokens->nwords * 64; procno++)
	{
		uint64		bit = UINT64CONST(1) << (procno % 64);

		if ((woken[procno / 64] & bit) == 0)
			continue;
		woken[procno / 64] &= ~bit;
		SetLatch(&GetPGProcByNumber(procno)->procLatch);
	}
}

/* ----- claims ----- */

static bool
token_claim_is_mine(const TokenEntry *entry)
{
	return entry->claim_procno == tpm_my_procno() && entry->claim_pid == MyProcPid;
}

bool
tpm_token_claim_is_held(const TokenEntry *entry, int64 now)
{
	if (entry->claim_procno < 0 ||
		GetPGProcByNumber(entry->claim_procno)->pid != entry->claim_pid)
		return false;
	return now - entry->seen_us < CLAIM_PATIENCE_US;
}

/* who waits for the claim of a dead process goes on waiting, for ours */
static void
take_token_claim(TokenEntry *entry, int64 now)
{
	entry->claim_procno = tpm_my_procno();
	entry->claim_pid = MyProcPid;
	entry->claim_subid = GetCurrentSubTransactionId();
	entry->seen_us = now;
	claims_made = true;
}

void
tpm_token_end_claim(TokenEntry *entry)
{
	entry->claim_procno = -1;
	tpm_token_collect_waiters(entry);
}

/*
 * Subtransactions that began inside another one have higher numbers, also
 * when they were committed into it since.
 */
static void
give_claims_back(SubTransactionId since)
{
	LWLockAcquire(&tpm_tokens->lock, LW_EXCLUSIVE);
	for (int i = 0; i < tpm_tokens->nentries; i++)
	{
		TokenEntry *entry = &tpm_tokens->entries[i];

		if (token_claim_is_mine(entry) && entry->claim_subid >= since)
			tpm_token_end_claim(entry);
	}
	LWLockRelease(&tpm_tokens->lock);
	wake_token_waiters();
}

static void
give_all_back(void)
{
	if (!claims_made)
		return;
	claims_made = false;
	give_claims_back(InvalidSubTransactionId);
}

static void
at_exit(int code, Datum arg)
{
	give_all_back();
}

static void
at_transaction(XactEvent event, void *arg)
{
	/* what a commit still sends, it sends before */
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PARALLEL_PRE_COMMIT &&
		event != XACT_EVENT_PRE_PREPARE)
		give_all_back();
}

static void
at_subtransaction(SubXactEvent event, SubTransactionId own, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && claims_made)
		give_claims_back(own);
}

/* all that may allocate or throw */
static void
prepare_token_claim(void)
{
	Assert(tpm_tokens != NULL);
	if (woken)
		return;
	RegisterXactCallback(at_transaction, NULL);
	RegisterSubXactCallback(at_subtransaction, NULL);
	before_shmem_exit(at_exit, 0);
	woken = MemoryContextAllocZero(TopMemoryContext, tpm_tokens->nwords * sizeof(uint64));
}

/* ----- what the header promises ----- */

/* lock held */
static TpmTokenVerdict
decide(TokenEntry *entry, int64 now)
{
	TokenState	state = tpm_token_state(&entry->token, now);
	bool		held = tpm_token_claim_is_held(entry, now);

	entry->used_us = now;
	if (state == TOKEN_GOOD || tpm_token_use_once(&entry->token, now))
		return TPM_TOKEN_READY;
	if (state == TOKEN_DUE && (held || now < entry->renew_after_us))
		return TPM_TOKEN_READY;
	if (held)
	{
		add_token_waiter(entry);
		return TPM_TOKEN_WAIT;
	}
	take_token_claim(entry, now);
	return state == TOKEN_DUE ? TPM_TOKEN_READY_AND_FETCH : TPM_TOKEN_FETCH;
}

TpmTokenVerdict
tpm_token_get(const TpmTokenKey *key, char *token, uint64 *generation)
{
	int			client_id_len = pg_mbcliplen(key->client_id, strlen(key->client_id),
											 sizeof(key->client_id) - 1);
	TpmTokenVerdict verdict = TPM_TOKEN_FETCH;
	Token	   *found = NULL;
	TokenEntry *entry;
	int64		now;

	prepare_token_claim();
	LWLockAcquire(&tpm_tokens->lock, LW_EXCLUSIVE);
	now = tpm_monotonic_us();
	tpm_token_note_use(key, client_id_len, now);
	entry = tpm_token_entry(key->hash);
	if (entry == NULL && (found = tpm_token_usable_local(key->hash, tpm_tokens->resets, now)) != NULL)
		verdict = TPM_TOKEN_READY;
	else if (entry || (entry = tpm_token_new_entry(key->hash, now)) != NULL)
	{
		verdict = decide(entry, now);
		found = &entry->token;
	}
	token[0] = '\0';
	*generation = 0;
	if (verdict == TPM_TOKEN_READY || verdict == TPM_TOKEN_READY_AND_FETCH)
	{
		strlcpy(token, found->text, TPM_TOKEN_MAX + 1);
		*generation = found->generation;
	}
	LWLockRelease(&tpm_tokens->lock);
	wake_token_waiters();
	return verdict;
}

void
tpm_token_store(const TpmTokenKey *key, const char *token, int64 obtained_us, int64 expires_us)
{
	TokenEntry *entry;
	uint64		generation;
	uint64		resets;

	prepare_token_claim();
	if (strlen(token) > TPM_TOKEN_MAX)
	{
		tpm_token_failed(key, "the access token is too long");
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the access token is longer than %d bytes", TPM_TOKEN_MAX)));
	}

	LWLockAcquire(&tpm_tokens->lock, LW_EXCLUSIVE);
	generation = ++tpm_tokens->generation;
	resets = tpm_tokens->resets;
	entry = tpm_token_entry(key->hash);
	if (entry == NULL)
		entry = tpm_token_new_entry(key->hash, tpm_monotonic_us());
	if (entry)
	{
		tpm_token_set(&entry->token, token, generation, obtained_us, expires_us);
		entry->stored++;
		entry->renew_after_us = 0;
		entry->last_error[0] = '\0';
		/* the claim went with an abort, and somebody else has it: it is his */
		if (token_claim_is_mine(entry))
			tpm_token_end_claim(entry);
		tpm_token_collect_waiters(entry);
	}
	LWLockRelease(&tpm_tokens->lock);
	wake_token_waiters();

	if (entry == NULL)
	{
		LocalToken *local = tpm_token_make_local(key->hash);

		local->resets = resets;
		tpm_token_set(&local->token, token, generation, obtained_us, expires_us);
	}
	else if (tpm_token_find_local(key->hash))
		tpm_token_drop_local(tpm_token_find_local(key->hash));
}

void
tpm_token_fetching(const TpmTokenKey *key)
{
	TokenEntry *entry;

	prepare_token_claim();
	LWLockAcquire(&tpm_tokens->lock, LW_EXCLUSIVE);
	entry = tpm_token_entry(key->hash);
	if (entry && token_claim_is_mine(entry))
		entry->seen_us = tpm_monotonic_us();
	LWLockRelease(&tpm_tokens->lock);
}

/* without a claim, or after it was given back, there is nothing to say */
void
tpm_token_failed(const TpmTokenKey *key, const char *error)
{
	int			len = pg_mbcliplen(error, strlen(error), sizeof(((TokenEntry *) NULL)->last_error) - 1);
	TokenEntry *entry;

	prepare_token_claim();
	LWLockAcquire(&tpm_tokens->lock, LW_EXCLUSIVE);
	entry = tpm_token_entry(key->hash);
	if (entry && token_claim_is_mine(entry))
	{
		memcpy(entry->last_error, error, len);
		entry->last_error[len] = '\0';
		entry->error_encoding = GetDatabaseEncoding();
		/* the token serves on: not every request need try to renew it */
		entry->renew_after_us = tpm_monotonic_us() + tpm_token_margin(&entry->token) / 4;
		tpm_token_end_claim(entry);
	}
	LWLockRelease(&tpm_tokens->lock);
	wake_token_waiters();
}

void
tpm_token_rejected(const TpmTokenKey *key, uint64 generation)
{
	LocalToken **local = tpm_token_find_local(key->hash);
	TokenEntry *entry;

	if (generation == 0)
		return;
	prepare_token_claim();
	LWLockAcquire(&tpm_tokens->lock, LW_EXCLUSIVE);
	entry = tpm_token_entry(key->hash);
	if (entry && entry->token.generation == generation)
		tpm_token_wipe(&entry->token);
	LWLockRelease(&tpm_tokens->lock);
	if (local && (*local)->token.generation == generation)
		tpm_token_drop_local(local);
}

/* lock held */
static void
reset_holder(TokenHolder *holder)
{
	TokenEntry *entry = tpm_token_entry(holder->hash);

	if (entry)
		tpm_token_forget(entry);
	memset(holder, 0, sizeof(TokenHolder));
}

void
tpm_token_reset(Oid serverid)
{
	prepare_token_claim();
	LWLockAcquire(&tpm_tokens->lock, LW_EXCLUSIVE);
	/* those in the memory of other backends end with this */
	tpm_tokens->resets++;
	for (int i = 0; i < tpm_tokens->nholders; i++)
	{
		TokenHolder *holder = &tpm_tokens->holders[i];

		if (holder->used && (!OidIsValid(serverid) || (holder->serverid == serverid &&
													   holder->dbid == MyDatabaseId)))
			reset_holder(holder);
	}
	for (int i = 0; i < tpm_tokens->nentries && !OidIsValid(serverid); i++)
	{
		if (tpm_tokens->entries[i].used)
			tpm_token_forget(&tpm_tokens->entries[i]);
	}
	LWLockRelease(&tpm_tokens->lock);
	wake_token_waiters();
	tpm_token_drop_locals();
}

/* lock held */
static void
fill_token_row(TpmTokenRow *row, const TokenHolder *holder)
{
	const TokenEntry *entry = tpm_token_entry(holder->hash);

	memset(row, 0, sizeof(TpmTokenRow));
	row->serverid = holder->serverid;
	row->userid = holder->userid;
	strlcpy(row->client_id, holder->client_id, sizeof(row->client_id));
	if (entry == NULL)
		return;
	row->obtained = entry->token.obtained;
	row->expires = entry->token.expires;
	row->refreshes = Max(entry->stored - 1, 0);
	strlcpy(row->last_error, entry->last_error, sizeof(row->last_error));

	/*
	 * written by a database of another encoding: here its bytes may be no
	 * text
	 */
	for (char *c = row->last_error; *c && entry->error_encoding != GetDatabaseEncoding(); c++)
	{
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	}
}

int
tpm_token_rows(TpmTokenRow **rows)
{
	int			n = 0;

	Assert(tpm_tokens != NULL);
	*rows = palloc(tpm_tokens->nholders * sizeof(TpmTokenRow));
	LWLockAcquire(&tpm_tokens->lock, LW_SHARED);
	for (int i = 0; i < tpm_tokens->nholders; i++)
	{
		if (tpm_tokens->holders[i].used && tpm_tokens->holders[i].dbid == MyDatabaseId)
			fill_token_row(&(*rows)[n++], &tpm_tokens->holders[i]);
	}
	LWLockRelease(&tpm_tokens->lock);
	return n;
}
