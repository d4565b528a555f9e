/*-------------------------------------------------------------------------
 *
 * token_claim.c
 *		The claim on asking for a token, and who waits for its end.
 *
 * Owns claims and waiters; tokens and their table are token.c's.
 *
 * A claim ends when its token is stored or refused, with the transaction or
 * subtransaction that made it, or with its backend; a claim whose process is
 * gone, or does not go on with it, is taken over.
 *
 * Locking: the table's lock is the caller's, but for what runs at the end of
 * a transaction or of the backend.  Latches are set after it was given back,
 * from a list that is made under it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "shared/token/token_internal.h"

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
void
tpm_token_add_waiter(TokenEntry *entry)
{
	int			procno = tpm_my_procno();

	Assert(procno / 64 < tpm_tokens->nwords);
	waiters_of(entry)[procno / 64] |= UINT64CONST(1) << (procno % 64);
}

/* lock held; tpm_token_wake_waiters() is to follow */
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

void
tpm_token_wake_waiters(void)
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

bool
tpm_token_claim_is_mine(const TokenEntry *entry)
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
void
tpm_token_take_claim(TokenEntry *entry, int64 now)
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

		if (tpm_token_claim_is_mine(entry) && entry->claim_subid >= since)
			tpm_token_end_claim(entry);
	}
	LWLockRelease(&tpm_tokens->lock);
	tpm_token_wake_waiters();
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
void
tpm_token_prepare(void)
{
	Assert(tpm_tokens != NULL);
	if (woken)
		return;
	RegisterXactCallback(at_transaction, NULL);
	RegisterSubXactCallback(at_subtransaction, NULL);
	before_shmem_exit(at_exit, 0);
	woken = MemoryContextAllocZero(TopMemoryContext, tpm_tokens->nwords * sizeof(uint64));
}
