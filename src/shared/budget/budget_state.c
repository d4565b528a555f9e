/*-------------------------------------------------------------------------
 *
 * budget_state.c
 *		What others ask of the budgets, and do to them: state, forecasts, the
 *		view's rows, pauses, resets.
 *
 * Owns no records: they are budget_record.c's, and the tickets budget.c's.
 *
 * Takes tpm_budget->lock in shared mode to look and in exclusive mode to
 * change.  Forecasts over many requests are made on a copy, without it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "shared/budget/budget_internal.h"

/* no forecast looks further */
#define MOST_FORECAST	1000000

static TimestampTz
wall_clock(int64 monotonic, int64 now)
{
	return GetCurrentTimestamp() + (monotonic - now);
}

/* fills all but own_hour from one record; lock held */
static void
state_of(const TpmBudgetRecord *record, int recno, const TpmLimits *limits, int64 now,
		 TpmBudgetState *state)
{
	TpmForce	force;

	tpm_limits_in_force(limits, 0, force);
	state->used_second = tpm_log_used(record, now - TPM_SECOND_US);
	state->used_minute = tpm_log_used(record, now - 60 * TPM_SECOND_US);
	state->used_hour = tpm_log_used(record, now - tpm_hour * TPM_SECOND_US);
	state->limit_second = force[TPM_WINDOW_SECOND];
	state->limit_minute = force[TPM_WINDOW_MINUTE];
	state->limit_hour = force[TPM_WINDOW_HOUR];
	state->waiting = tpm_line_waiting(recno);
	state->next_slot_us = tpm_log_earliest(record, force, 1, now);
	state->paused_until_us = record->paused_until_us > now ? record->paused_until_us : 0;
	state->next_slot = state->next_slot_us == TPM_NEVER ? DT_NOEND : wall_clock(state->next_slot_us, now);
	state->last_429 = record->last_429;
}

/*
 * The state of the budget that stands in the way: the group's, or the
 * endpoint's if that one is later.
 */
void
tpm_budget_state(const TpmBudgetKey *key, TpmBudgetState *state)
{
	uint64		ids[TPM_RECORDS] = {tpm_budget_id(key, TPM_GROUP), tpm_budget_id(key, TPM_ENDPOINT)};
	int64		now;

	tpm_shared_require();
	memset(state, 0, sizeof(*state));
	LWLockAcquire(&tpm_budget->lock, LW_SHARED);
	now = tpm_monotonic_us();
	state->next_slot_us = now;
	for (int i = 0; i < TPM_RECORDS; i++)
	{
		int			recno = tpm_budget_find(ids[i]);
		TpmBudgetState other = {0};

		if (recno < 0)
			continue;
		state_of(&tpm_budget->records[recno], recno,
				 i == TPM_ENDPOINT ? &key->endpoint_limits : &key->limits, now, &other);
		if (i == TPM_GROUP || other.next_slot_us > Max(now, state->next_slot_us))
			*state = other;
	}
	LWLockRelease(&tpm_budget->lock);
	state->own_hour = tpm_budget_own_hour(ids[TPM_GROUP], now);
}

/*
 * Copies of the key's records as they are now, NULL for a budget that the key
 * does not have; one that nobody has used yet is empty.  They last until the
 * next call: a forecast is made before every page, and of a log's 120 kB only
 * what is in use is ever touched.
 */
static void
copy_records(const TpmBudgetKey *key, const TpmBudgetRecord **copies)
{
	static TpmBudgetRecord *own = NULL;
	uint64		ids[TPM_RECORDS] = {tpm_budget_id(key, TPM_GROUP), tpm_budget_id(key, TPM_ENDPOINT)};

	if (own == NULL)
		own = MemoryContextAlloc(TopMemoryContext, TPM_RECORDS * sizeof(TpmBudgetRecord));

	LWLockAcquire(&tpm_budget->lock, LW_SHARED);
	for (int i = 0; i < TPM_RECORDS; i++)
	{
		int			recno = tpm_budget_find(ids[i]);

		copies[i] = ids[i] == 0 ? NULL : &own[i];
		tpm_log_copy(&own[i], recno >= 0 ? &tpm_budget->records[recno] : NULL);
	}
	LWLockRelease(&tpm_budget->lock);
}

/*
 * When the next request can leave, being the n-th from now (from 1); times
 * holds those of the ones before it.
 */
static int64
next_time(const TpmBudgetRecord *record, const TpmForce force, const int64 *times, int n, int64 now)
{
	int64		time = Max(now, record->paused_until_us);

	for (int i = 0; i < TPM_WINDOWS; i++)
	{
		int64		window_us = tpm_window_us(record, i, now);

		if (force[i] == TPM_BLOCKED)
			return TPM_NEVER;
		if (force[i] == 0)
			continue;
		if (n > force[i])
			time = Max(time, times[n - force[i] - 1] + window_us);
		else
			time = Max(time, tpm_log_free_at(record, window_us, force[i], n));
	}
	return time;
}

/*
 * Lets n requests leave, each as early as it can.  Returns the time of the
 * last; *longest and *longest_leaves tell which waited longest for its slot
 * after the one before it had left.
 */
static int64
simulate(const TpmBudgetKey *key, double leave_free, int n, int64 *longest, int64 *longest_leaves)
{
	const TpmBudgetRecord *copies[TPM_RECORDS];
	TpmForce	force[TPM_RECORDS];
	int64	   *times;
	int64		now = tpm_monotonic_us();
	int64		last = now;

	tpm_shared_require();
	n = Min(n, MOST_FORECAST);
	times = palloc(Max(n, 1) * sizeof(int64));
	copy_records(key, copies);
	tpm_limits_in_force(&key->limits, leave_free, force[TPM_GROUP]);
	tpm_limits_in_force(&key->endpoint_limits, leave_free, force[TPM_ENDPOINT]);

	*longest = 0;
	*longest_leaves = now;
	for (int i = 0; i < n && last != TPM_NEVER; i++)
	{
		CHECK_FOR_INTERRUPTS();
		times[i] = last;
		for (int which = 0; which < TPM_RECORDS; which++)
		{
			if (copies[which] != NULL)
				times[i] = Max(times[i], next_time(copies[which], force[which], times, i + 1, now));
		}
		if (times[i] == TPM_NEVER || times[i] - last > *longest)
		{
			*longest = times[i] == TPM_NEVER ? TPM_NEVER : times[i] - last;
			*longest_leaves = times[i];
		}
		last = times[i];
	}
	pfree(times);
	return last;
}

int64
tpm_budget_forecast(const TpmBudgetKey *key, TpmLine line, double leave_free, int n)
{
	int64		longest;
	int64		leaves;

	return simulate(key, line == TPM_LINE_LARGE ? leave_free : 0, n, &longest, &leaves);
}

int64
tpm_budget_longest_wait(const TpmBudgetKey *key, TpmLine line, double leave_free, int n,
						int64 *leaves_us)
{
	int64		longest;

	simulate(key, line == TPM_LINE_LARGE ? leave_free : 0, n, &longest, leaves_us);
	return longest;
}

/* a server said 429; who heads a line learns of it at once, the others at their next look */
void
tpm_budget_pause(const TpmBudgetKey *key, int64 until_us)
{
	int			recnos[TPM_RECORDS];
	int			recno;
	int64		now = tpm_monotonic_us();

	tpm_shared_require();
	/* without room for its record the next request will say so */
	if (tpm_budget_lock_records(key, recnos) != NULL)
		return;
	recno = recnos[TPM_ENDPOINT] >= 0 ? recnos[TPM_ENDPOINT] : recnos[TPM_GROUP];
	tpm_budget->records[recno].last_429 = GetCurrentTimestamp();
	until_us = Min(until_us, now + TPM_HOUR_US);
	if (tpm_budget->records[recno].probing ||
		until_us > Max(now, tpm_budget->records[recno].paused_until_us))
	{
		tpm_budget->records[recno].probing = false;
		tpm_budget->records[recno].paused_until_us = until_us;
		tpm_budget_file_state(&tpm_budget->records[recno], recno);
		tpm_line_wake(recno);
	}
	LWLockRelease(&tpm_budget->lock);
	tpm_budget_file_report();
}

/* those that were under way together are refused once */
int
tpm_budget_saw_429(const TpmBudgetKey *key)
{
	int			recnos[TPM_RECORDS];
	TpmBudgetRecord *record;
	int64		now = tpm_monotonic_us();
	int			refusals;

	tpm_shared_require();
	if (tpm_budget_lock_records(key, recnos) != NULL)
		return 1;
	record = &tpm_budget->records[recnos[TPM_ENDPOINT] >= 0 ? recnos[TPM_ENDPOINT] : recnos[TPM_GROUP]];
	record->last_429 = GetCurrentTimestamp();
	tpm_guard_widen(record, now);
	if (record->probing || record->paused_until_us <= now)
		record->refusals++;
	record->refused_us = now;
	refusals = record->refusals;
	LWLockRelease(&tpm_budget->lock);
	return Max(1, refusals);
}

static bool
draws_on(const TpmBudgetRecord *record, Oid serverid)
{
	for (int i = 0; i < TPM_BUDGET_SERVERS; i++)
	{
		if (record->servers[i].serverid == serverid && record->servers[i].dbid == MyDatabaseId)
			return true;
	}
	return false;
}

void
tpm_budget_reset(Oid serverid)
{
	tpm_shared_require();
	tpm_budget_file_open();
	LWLockAcquire(&tpm_budget->lock, LW_EXCLUSIVE);
	for (int i = 0; i < tpm_budget->nrecords; i++)
	{
		TpmBudgetRecord *record = &tpm_budget->records[i];

		if (record->id == 0 || (OidIsValid(serverid) && !draws_on(record, serverid)))
			continue;
		tpm_log_clear(record);
		record->paused_until_us = 0;
		record->last_429 = 0;
		record->refusals = 0;
		record->probing = false;
		record->guard_us = 0;
		record->file_next = record->file_credit = 0;
		tpm_budget_file_clear(i);
		tpm_budget_file_state(record, i);
		tpm_line_wake(i);
	}
	LWLockRelease(&tpm_budget->lock);
	tpm_budget_file_report();
}

int
tpm_budget_rows(TpmBudgetRow **rows)
{
	int			count = 0;
	int64		now;

	tpm_shared_require();
	*rows = palloc0(tpm_budget->nrecords * TPM_BUDGET_SERVERS * sizeof(TpmBudgetRow));
	LWLockAcquire(&tpm_budget->lock, LW_SHARED);
	now = tpm_monotonic_us();
	for (int i = 0; i < tpm_budget->nrecords * TPM_BUDGET_SERVERS; i++)
	{
		int			recno = i / TPM_BUDGET_SERVERS;
		const TpmBudgetRecord *record = &tpm_budget->records[recno];
		const TpmBudgetServer *server = &record->servers[i % TPM_BUDGET_SERVERS];
		TpmBudgetRow *row = &(*rows)[count];

		if (record->id == 0 || !OidIsValid(server->serverid) || server->dbid != MyDatabaseId)
			continue;
		row->serverid = server->serverid;
		memcpy(row->scope, record->scope, sizeof(row->scope));
		state_of(record, recno, &server->limits, now, &row->state);
		count++;
	}
	LWLockRelease(&tpm_budget->lock);
	return count;
}
