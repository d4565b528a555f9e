/*-------------------------------------------------------------------------
 *
 * budget_record.c
 *		The records of the budgets: which one is whose.
 *
 * Owns the table of records as a table: names, first use, reuse.  What the
 * functions need of tpm_budget->lock is said at each.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "miscadmin.h"

#include "shared/budget/budget_internal.h"

static bool
has_endpoint(const TpmBudgetKey *key)
{
	return key->endpoint != NULL &&
		(key->endpoint_limits.per_second > 0 || key->endpoint_limits.per_minute > 0 ||
		 key->endpoint_limits.per_hour > 0);
}

/*
 * Budgets are known by a hash of their names, the same after a restart, so
 * that the file can go by it.  0: there is no such budget in the key.
 */
uint64
tpm_budget_id(const TpmBudgetKey *key, int which)
{
	pg_cryptohash_ctx *ctx;
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	uint64		id;

	if (which == TPM_ENDPOINT && !has_endpoint(key))
		return 0;
	ctx = pg_cryptohash_create(PG_SHA256);
	if (pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, (const uint8 *) key->group, strlen(key->group) + 1) < 0 ||
		(which == TPM_ENDPOINT &&
		 pg_cryptohash_update(ctx, (const uint8 *) key->endpoint, strlen(key->endpoint)) < 0) ||
		pg_cryptohash_final(ctx, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute the hash of a budget's name");
	pg_cryptohash_free(ctx);
	memcpy(&id, digest, sizeof(id));
	return id != 0 ? id : 1;
}

/* the record of a budget, or -1; lock held */
int
tpm_budget_find(uint64 id)
{
	for (int i = 0; id != 0 && i < tpm_budget->nrecords; i++)
	{
		if (tpm_budget->records[i].id == id)
			return i;
	}
	return -1;
}

/* a place in the line of an endpoint is counted against its group later */
static bool
is_waited_for(int recno)
{
	for (int i = 0; i < tpm_budget->nplaces; i++)
	{
		const TpmPlace *place = &tpm_budget->places[i];

		if (place->number != 0 &&
			(place->record[TPM_GROUP] == recno || place->record[TPM_ENDPOINT] == recno))
			return true;
	}
	return false;
}

static bool
is_reusable(int recno, int64 now)
{
	const TpmBudgetRecord *record = &tpm_budget->records[recno];
	int64		kept = Max(TPM_HOUR_US, tpm_window_us(record, TPM_WINDOW_HOUR, now));

	return record->paused_until_us <= now &&
		(record->entries == 0 || tpm_log_newest(record) < now - kept) && !is_waited_for(recno);
}

/*
 * A record for a new budget: a free one, else the one that rested longest; or
 * -1.  taken: the one that the same key's other budget has just got.
 */
static int
record_take(uint64 id, int taken, int64 now)
{
	TpmBudgetRecord *record;
	int			best = -1;

	for (int i = 0; i < tpm_budget->nrecords; i++)
	{
		if (tpm_budget->records[i].id == 0)
		{
			best = i;
			break;
		}
		if (i != taken && is_reusable(i, now) &&
			(best < 0 || tpm_log_newest(&tpm_budget->records[i]) <
			 tpm_log_newest(&tpm_budget->records[best])))
			best = i;
	}
	if (best < 0)
		return -1;

	record = &tpm_budget->records[best];
	tpm_log_clear(record);
	memset(record->servers, 0, sizeof(record->servers));
	record->id = id;
	record->paused_until_us = 0;
	record->last_429 = 0;
	record->refusals = 0;
	record->probing = false;
	record->guard_us = 0;
	record->file_next = record->file_credit = 0;
	return best;
}

/* remembers that a server draws on the budget, and writes that down */
static void
note_server(int recno, const char *scope, Oid serverid, const TpmLimits *limits)
{
	TpmBudgetRecord *record = &tpm_budget->records[recno];
	TpmBudgetServer now = {MyDatabaseId, serverid, *limits};
	int			at = 0;

	while (at < TPM_BUDGET_SERVERS && OidIsValid(record->servers[at].serverid) &&
		   (record->servers[at].serverid != serverid || record->servers[at].dbid != MyDatabaseId))
		at++;
	if (at == TPM_BUDGET_SERVERS)
	{
		/* forget the one that came first */
		at--;
		memmove(record->servers, record->servers + 1, at * sizeof(TpmBudgetServer));
	}
	if (memcmp(&record->servers[at], &now, sizeof(now)) == 0 &&
		strncmp(record->scope, scope, sizeof(record->scope)) == 0)
		return;
	record->servers[at] = now;
	strlcpy(record->scope, scope, sizeof(record->scope));
	tpm_budget_file_state(record, recno);
}

/* the record of one of the key's budgets, made if need be; lock held */
static int
record_of(const TpmBudgetKey *key, int which, uint64 id, int taken)
{
	int			recno = tpm_budget_find(id);

	if (recno < 0)
		recno = record_take(id, taken, tpm_monotonic_us());
	if (recno >= 0)
		note_server(recno, which == TPM_ENDPOINT ? "endpoint" : key->scope, key->serverid,
					which == TPM_ENDPOINT ? &key->endpoint_limits : &key->limits);
	return recno;
}

/*
 * Takes the lock, and finds or makes both records of a key (-1: it has no
 * endpoint).  If there is no record left, the problem, and no lock is held.
 */
TpmProblem *
tpm_budget_lock_records(const TpmBudgetKey *key, int *recnos)
{
	uint64		ids[TPM_RECORDS] = {tpm_budget_id(key, TPM_GROUP), tpm_budget_id(key, TPM_ENDPOINT)};

	tpm_budget_file_open();
	LWLockAcquire(&tpm_budget->lock, LW_EXCLUSIVE);
	for (int i = 0; i < TPM_RECORDS; i++)
	{
		recnos[i] = ids[i] == 0 ? -1 : record_of(key, i, ids[i], i == TPM_ENDPOINT ? recnos[TPM_GROUP] : -1);
		if (ids[i] != 0 && recnos[i] < 0)
		{
			LWLockRelease(&tpm_budget->lock);
			return tpm_problem(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "too many different request budgets",
							   psprintf("All %d budgets had a request within the last hour.", tpm_budget->nrecords),
							   "Increase tpm_fdw.max_budgets, or let servers share a budget with the option rate_limit_group.");
		}
	}
	return NULL;
}
