/*-------------------------------------------------------------------------
 *
 * token.c
 *		Access tokens, one per credential, shared by the cluster.
 *
 * Owns two arrays in shared memory.  A token's entry is found by the hash of
 * its credential alone, so that all servers, roles and databases with that
 * credential use one token.  A holder is a role at a server of a database and
 * names the hash it used last: holders are the rows of the view, and what a
 * reset goes by.  Asking for tokens, and waiting, is the caller's (client.c).
 *
 * Nobody asks for a token without the claim of its entry, and an entry that is
 * claimed is not evicted.  A claim ends when its token is stored or refused,
 * with the transaction or subtransaction that made it, or with its backend; a
 * claim whose process is gone is taken over.  When every entry is claimed, a
 * further credential's token stays in the memory of the backend that asked.
 *
 * Locking: one LWLock, table->lock, for everything.  Under it bytes are copied
 * and arrays walked; nothing waits, allocates or throws.  Latches are set after
 * it was given back, from a list that is made under it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "token.h"
#include "tpm_fdw.h"

#define SECOND_US	INT64CONST(1000000)

/* a role that shares a credential takes a row of the view, but no token */
#define HOLDERS_PER_TOKEN	4

/*
 * A claim of this very backend may be that of a call that is not gone on with
 * while the one that asks now waits: it must not wait for itself for ever.
 */
#define OWN_CLAIM_PATIENCE_US	(5 * SECOND_US)

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

typedef struct Entry
{
	bool		used;
	int64		used_us;
	int64		stored;			/* tokens so far */
	int64		renew_after_us; /* a renewal failed: pause */
	int			claim_procno;	/* -1: not claimed */
	int			claim_pid;
	SubTransactionId claim_subid;
	int64		claimed_us;
	int			error_encoding;
	char		last_error[256];
	Token		token;
} Entry;

typedef struct Holder
{
	bool		used;
	Oid			dbid;
	Oid			serverid;
	Oid			userid;
	uint64		hash;
	int64		used_us;
	char		client_id[128];
} Holder;

typedef struct TokenTable
{
	LWLock		lock;
	uint64		generation;		/* the last one given */
	uint64		resets;
	int			nentries;
	int			nholders;
	int			nwords;			/* words of waiters of an entry */
	Entry	   *entries;
	uint64	   *hashes;			/* of the entries, close together: looked
								 * through often */
	Holder	   *holders;
	uint64	   *waiters;		/* a bit per procno, nwords per entry */
} TokenTable;

/* a token that no entry was free for */
typedef struct LocalToken
{
	uint64		hash;
	uint64		resets;			/* table->resets when it was stored */
	Token		token;
	struct LocalToken *next;
} LocalToken;

typedef enum TokenState
{
	TOKEN_GOOD,
	TOKEN_DUE,					/* usable, to be renewed */
	TOKEN_EXPIRED				/* or there is none */
} TokenState;

static TokenTable *table = NULL;
static LocalToken *local_tokens = NULL;
static uint64 *woken = NULL;	/* whose latch to set once the lock is given
								 * back */
static bool any_woken = false;
static bool claims_made = false;	/* in this transaction */

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

	size = add_size(size, mul_size(tpm_max_tokens, sizeof(Entry) + sizeof(uint64)));
	size = add_size(size, mul_size(tpm_max_tokens, HOLDERS_PER_TOKEN * sizeof(Holder)));
	return add_size(size, mul_size(tpm_max_tokens, waiter_words() * sizeof(uint64)));
}

static void
token_init(void *area, int tranche, bool found)
{
	table = area;
	if (found)
		return;

	memset(area, 0, token_size());
	LWLockInitialize(&table->lock, tranche);
	table->nentries = tpm_max_tokens;
	table->nholders = tpm_max_tokens * HOLDERS_PER_TOKEN;
	table->nwords = waiter_words();
	table->entries = (Entry *) ((char *) area + CACHELINEALIGN(sizeof(TokenTable)));
	table->hashes = (uint64 *) (table->entries + table->nentries);
	table->holders = (Holder *) (table->hashes + table->nentries);
	table->waiters = (uint64 *) (table->holders + table->nholders);
	for (int i = 0; i < table->nentries; i++)
		table->entries[i].claim_procno = table->entries[i].token.stored_by = -1;
}

const TpmSharedArea tpm_token_area = {"tpm_fdw_token", token_size, token_init};

/* ----- waiters ----- */

static uint64 *
waiters_of(const Entry *entry)
{
	return table->waiters + (entry - table->entries) * table->nwords;
}

/* lock held */
static void
add_waiter(Entry *entry)
{
	int			procno = tpm_my_procno();

	Assert(procno / 64 < table->nwords);
	waiters_of(entry)[procno / 64] |= UINT64CONST(1) << (procno % 64);
}

/* lock held; wake_waiters() is to follow */
static void
collect_waiters(Entry *entry)
{
	uint64	   *waiters = waiters_of(entry);

	for (int i = 0; i < table->nwords; i++)
	{
		any_woken = any_woken || waiters[i] != 0;
		woken[i] |= waiters[i];
		waiters[i] = 0;
	}
}

static void
wake_waiters(void)
{
	if (!any_woken)
		return;
	any_woken = false;
	for (int procno = 0; procno < table->nwords * 64; procno++)
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
claim_is_mine(const Entry *entry)
{
	return entry->claim_procno == tpm_my_procno() && entry->claim_pid == MyProcPid;
}

static bool
claim_is_held(const Entry *entry, int64 now)
{
	if (entry->claim_procno < 0 ||
		GetPGProcByNumber(entry->claim_procno)->pid != entry->claim_pid)
		return false;
	return !claim_is_mine(entry) || now - entry->claimed_us < OWN_CLAIM_PATIENCE_US;
}

/* who waits for the claim of a dead process goes on waiting, for ours */
static void
take_claim(Entry *entry, int64 now)
{
	entry->claim_procno = tpm_my_procno();
	entry->claim_pid = MyProcPid;
	entry->claim_subid = GetCurrentSubTransactionId();
	entry->claimed_us = now;
	claims_made = true;
}

static void
end_claim(Entry *entry)
{
	entry->claim_procno = -1;
	collect_waiters(entry);
}

/*
 * Subtransactions that began inside another one have higher numbers, also
 * when they were committed into it since.
 */
static void
give_claims_back(SubTransactionId since)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < table->nentries; i++)
	{
		Entry	   *entry = &table->entries[i];

		if (claim_is_mine(entry) && entry->claim_subid >= since)
			end_claim(entry);
	}
	LWLockRelease(&table->lock);
	wake_waiters();
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
prepare_backend(void)
{
	Assert(table != NULL);
	if (woken)
		return;
	RegisterXactCallback(at_transaction, NULL);
	RegisterSubXactCallback(at_subtransaction, NULL);
	before_shmem_exit(at_exit, 0);
	woken = MemoryContextAllocZero(TopMemoryContext, table->nwords * sizeof(uint64));
}

/* ----- one token ----- */

/* how long before its end it is renewed */
static int64
renewal_margin(const Token *token)
{
	int64		lifetime = token->expires_us - token->obtained_us;
	int64		margin = Min(Max(lifetime / 10, 10 * SECOND_US), 60 * SECOND_US);

	return Min(margin, lifetime / 2);
}

static TokenState
state_of(const Token *token, int64 now)
{
	int64		left;

	if (token->generation == 0)
		return TOKEN_EXPIRED;
	if (token->expires_us == PG_INT64_MAX)
		return TOKEN_GOOD;
	left = token->expires_us - now;
	if (left <= 0 || left < Min((token->expires_us - token->obtained_us) / 10, SECOND_US))
		return TOKEN_EXPIRED;
	return left < renewal_margin(token) ? TOKEN_DUE : TOKEN_GOOD;
}

/*
 * A token so short-lived that it is past its end when it arrives serves the
 * request it was fetched for; else that would ask for ever.
 */
static bool
may_use_once(Token *token, int64 now)
{
	bool		mine = token->generation != 0 && token->stored_by == tpm_my_procno();

	if (mine)
		token->stored_by = -1;
	return mine && now - token->stored_us < SECOND_US;
}

static void
wipe_token(Token *token)
{
	explicit_bzero(token, sizeof(Token));
	token->stored_by = -1;
}

static void
set_token(Token *token, const char *text, uint64 generation, int64 obtained_us, int64 expires_us)
{
	int64		now = tpm_monotonic_us();

	wipe_token(token);
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
	return (hash % table->nentries + step) % table->nentries;
}

static Entry *
find_entry(uint64 hash)
{
	for (int i = 0; i < table->nentries; i++)
	{
		int			place = place_from(hash, i);

		if (table->hashes[place] == hash && table->entries[place].used)
			return &table->entries[place];
	}
	return NULL;
}

static void
free_entry(Entry *entry)
{
	end_claim(entry);
	wipe_token(&entry->token);
	memset(entry, 0, offsetof(Entry, token));
	entry->claim_procno = -1;
}

/* a free one, or that of the token used longest ago; NULL: all are claimed */
static Entry *
new_entry(uint64 hash, int64 now)
{
	Entry	   *victim = NULL;

	for (int i = 0; i < table->nentries; i++)
	{
		Entry	   *entry = &table->entries[place_from(hash, i)];

		if (!entry->used)
		{
			victim = entry;
			break;
		}
		if (!claim_is_held(entry, now) && (victim == NULL || entry->used_us < victim->used_us))
			victim = entry;
	}
	if (victim == NULL)
		return NULL;
	free_entry(victim);
	victim->used = true;
	table->hashes[victim - table->entries] = hash;
	victim->used_us = now;
	return victim;
}

/* whoever is asking for one now will still store it */
static void
forget_token(Entry *entry)
{
	if (!claim_is_held(entry, tpm_monotonic_us()))
	{
		free_entry(entry);
		return;
	}
	wipe_token(&entry->token);
	entry->stored = 0;
	entry->last_error[0] = '\0';
	collect_waiters(entry);
}

/* ----- holders; all under the lock ----- */

/* if nobody else holds it: a secret that was replaced, a role gone from the view */
static void
forget_unheld(uint64 hash)
{
	Entry	   *entry;

	for (int i = 0; i < table->nholders; i++)
	{
		if (table->holders[i].used && table->holders[i].hash == hash)
			return;
	}
	entry = find_entry(hash);
	if (entry)
		forget_token(entry);
}

static bool
is_holder(const Holder *holder, const TpmTokenKey *key)
{
	return holder->used && holder->dbid == MyDatabaseId && holder->serverid == key->serverid &&
		holder->userid == key->userid;
}

/* the holder that key names, or the one to be put in its place */
static Holder *
find_holder(const TpmTokenKey *key)
{
	uint32		home = hash_combine(key->serverid, key->userid) % table->nholders;
	Holder	   *other = NULL;

	for (int i = 0; i < table->nholders; i++)
	{
		Holder	   *holder = &table->holders[(home + i) % table->nholders];

		if (is_holder(holder, key))
			return holder;
		if (other == NULL || (other->used && (!holder->used || holder->used_us < other->used_us)))
			other = holder;
	}
	return other;
}

static void
note_use(const TpmTokenKey *key, int client_id_len, int64 now)
{
	Holder	   *holder = find_holder(key);
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

/* ----- tokens that no entry was free for ----- */

static void
drop_local(LocalToken **at)
{
	LocalToken *local = *at;

	*at = local->next;
	wipe_token(&local->token);
	pfree(local);
}

static LocalToken **
find_local(uint64 hash)
{
	for (LocalToken **at = &local_tokens; *at; at = &(*at)->next)
	{
		if ((*at)->hash == hash)
			return at;
	}
	return NULL;
}

static Token *
usable_local(uint64 hash, uint64 resets, int64 now)
{
	LocalToken **at = find_local(hash);

	if (at == NULL)
		return NULL;
	if ((*at)->resets == resets &&
		(state_of(&(*at)->token, now) != TOKEN_EXPIRED || may_use_once(&(*at)->token, now)))
		return &(*at)->token;
	return NULL;
}

static LocalToken *
make_local(uint64 hash)
{
	LocalToken **at = find_local(hash);
	LocalToken *local;

	if (at)
		return *at;
	local = MemoryContextAllocZero(TopMemoryContext, sizeof(LocalToken));
	local->hash = hash;
	local->next = local_tokens;
	local_tokens = local;
	return local;
}

/* ----- what the header promises ----- */

/* lock held */
static TpmTokenVerdict
decide(Entry *entry, int64 now)
{
	TokenState	state = state_of(&entry->token, now);
	bool		held = claim_is_held(entry, now);

	entry->used_us = now;
	if (state == TOKEN_GOOD || may_use_once(&entry->token, now))
		return TPM_TOKEN_READY;
	if (state == TOKEN_DUE && (held || now < entry->renew_after_us))
		return TPM_TOKEN_READY;
	if (held)
	{
		add_waiter(entry);
		return TPM_TOKEN_WAIT;
	}
	take_claim(entry, now);
	return state == TOKEN_DUE ? TPM_TOKEN_READY_AND_FETCH : TPM_TOKEN_FETCH;
}

TpmTokenVerdict
tpm_token_get(const TpmTokenKey *key, char *token, uint64 *generation)
{
	int			client_id_len = pg_mbcliplen(key->client_id, strlen(key->client_id),
											 sizeof(key->client_id) - 1);
	TpmTokenVerdict verdict = TPM_TOKEN_FETCH;
	Token	   *found = NULL;
	Entry	   *entry;
	int64		now;

	prepare_backend();
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	now = tpm_monotonic_us();
	note_use(key, client_id_len, now);
	entry = find_entry(key->hash);
	if (entry == NULL && (found = usable_local(key->hash, table->resets, now)) != NULL)
		verdict = TPM_TOKEN_READY;
	else if (entry || (entry = new_entry(key->hash, now)) != NULL)
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
	LWLockRelease(&table->lock);
	wake_waiters();
	return verdict;
}

void
tpm_token_store(const TpmTokenKey *key, const char *token, int64 obtained_us, int64 expires_us)
{
	Entry	   *entry;
	uint64		generation;
	uint64		resets;

	prepare_backend();
	if (strlen(token) > TPM_TOKEN_MAX)
	{
		tpm_token_failed(key, "the access token is too long");
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the access token is longer than %d bytes", TPM_TOKEN_MAX)));
	}

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	generation = ++table->generation;
	resets = table->resets;
	entry = find_entry(key->hash);
	if (entry == NULL)
		entry = new_entry(key->hash, tpm_monotonic_us());
	if (entry)
	{
		set_token(&entry->token, token, generation, obtained_us, expires_us);
		entry->stored++;
		entry->renew_after_us = 0;
		entry->last_error[0] = '\0';
		/* the claim went with an abort, and somebody else has it: it is his */
		if (claim_is_mine(entry))
			end_claim(entry);
		collect_waiters(entry);
	}
	LWLockRelease(&table->lock);
	wake_waiters();

	if (entry == NULL)
	{
		LocalToken *local = make_local(key->hash);

		local->resets = resets;
		set_token(&local->token, token, generation, obtained_us, expires_us);
	}
	else if (find_local(key->hash))
		drop_local(find_local(key->hash));
}

/* without a claim, or after it was given back, there is nothing to say */
void
tpm_token_failed(const TpmTokenKey *key, const char *error)
{
	int			len = pg_mbcliplen(error, strlen(error), sizeof(((Entry *) NULL)->last_error) - 1);
	Entry	   *entry;

	prepare_backend();
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	entry = find_entry(key->hash);
	if (entry && claim_is_mine(entry))
	{
		memcpy(entry->last_error, error, len);
		entry->last_error[len] = '\0';
		entry->error_encoding = GetDatabaseEncoding();
		/* the token serves on: not every request need try to renew it */
		entry->renew_after_us = tpm_monotonic_us() + renewal_margin(&entry->token) / 4;
		end_claim(entry);
	}
	LWLockRelease(&table->lock);
	wake_waiters();
}

void
tpm_token_rejected(const TpmTokenKey *key, uint64 generation)
{
	LocalToken **local = find_local(key->hash);
	Entry	   *entry;

	if (generation == 0)
		return;
	prepare_backend();
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	entry = find_entry(key->hash);
	if (entry && entry->token.generation == generation)
		wipe_token(&entry->token);
	LWLockRelease(&table->lock);
	if (local && (*local)->token.generation == generation)
		drop_local(local);
}

/* lock held */
static void
reset_holder(Holder *holder)
{
	Entry	   *entry = find_entry(holder->hash);

	if (entry)
		forget_token(entry);
	memset(holder, 0, sizeof(Holder));
}

void
tpm_token_reset(Oid serverid)
{
	prepare_backend();
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	/* those in the memory of other backends end with this */
	table->resets++;
	for (int i = 0; i < table->nholders; i++)
	{
		Holder	   *holder = &table->holders[i];

		if (holder->used && (!OidIsValid(serverid) || (holder->serverid == serverid &&
													   holder->dbid == MyDatabaseId)))
			reset_holder(holder);
	}
	for (int i = 0; i < table->nentries && !OidIsValid(serverid); i++)
	{
		if (table->entries[i].used)
			forget_token(&table->entries[i]);
	}
	LWLockRelease(&table->lock);
	wake_waiters();
	while (local_tokens)
		drop_local(&local_tokens);
}

/* lock held */
static void
fill_row(TpmTokenRow *row, const Holder *holder)
{
	const Entry *entry = find_entry(holder->hash);

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

	Assert(table != NULL);
	*rows = palloc(table->nholders * sizeof(TpmTokenRow));
	LWLockAcquire(&table->lock, LW_SHARED);
	for (int i = 0; i < table->nholders; i++)
	{
		if (table->holders[i].used && table->holders[i].dbid == MyDatabaseId)
			fill_row(&(*rows)[n++], &table->holders[i]);
	}
	LWLockRelease(&table->lock);
	return n;
}
