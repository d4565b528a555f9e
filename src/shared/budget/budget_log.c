/*-------------------------------------------------------------------------
 *
 * budget_log.c
 *		The log of departures of one budget, and what follows from it.
 *
 * Owns the arithmetic of one log, and neither its lock nor its place on disk.
 *
 * Arithmetic only: when did requests leave, how many within a window, when
 * may the next one.  Knows neither lines nor files.  Every function works on
 * a record that its caller has locked (budget.c), or on a copy of one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "shared/budget/budget_internal.h"

/*
 * A server counts arrivals, we know departures: a window is kept longer by
 * what the way may differ between two requests.
 */
#define GUARD_SECOND_US		INT64CONST(40000)
#define GUARD_SECOND_MAX_US	INT64CONST(250000)
#define GUARD_LONG_US		TPM_SECOND_US

/* a widened guard loses half of its width in this time */
#define GUARD_HALVES_US		(600 * TPM_SECOND_US)

/* a full log is thinned to entries of about 1/2500 of its requests */
#define THIN_PARTS			2500

static int
limit_in_force(int limit, double part)
{
	if (limit <= 0)
		return 0;
	if (part <= 0)
		return TPM_BLOCKED;

	/* the epsilon keeps 600 * (1 - 0.1) from becoming 539 */
	return Max(1, (int) floor(limit * part + 1e-9));
}

/* leave_free is of the hour only */
void
tpm_limits_in_force(const TpmLimits *limits, double leave_free, TpmForce force)
{
	double		share = tpm_rate_limit_share;

	force[TPM_WINDOW_SECOND] = limit_in_force(limits->per_second, share);
	force[TPM_WINDOW_MINUTE] = limit_in_force(limits->per_minute, share);
	force[TPM_WINDOW_HOUR] = limit_in_force(limits->per_hour, share);
	if (force[TPM_WINDOW_HOUR] > 0)
		force[TPM_WINDOW_HOUR] = limit_in_force(force[TPM_WINDOW_HOUR], 1 - leave_free);
}

static int64
guard_now(const TpmBudgetRecord *record, int64 now)
{
	int64		halvings = (now - record->guard_at_us) / GUARD_HALVES_US;

	if (record->guard_us <= GUARD_SECOND_US || halvings >= 8)
		return GUARD_SECOND_US;
	return Max(GUARD_SECOND_US, record->guard_us >> halvings);
}

void
tpm_guard_widen(TpmBudgetRecord *record, int64 now)
{
	record->guard_us = Min(GUARD_SECOND_MAX_US, 2 * guard_now(record, now));
	record->guard_at_us = now;
}

int64
tpm_window_us(const TpmBudgetRecord *record, TpmWindow window, int64 now)
{
	switch (window)
	{
		case TPM_WINDOW_SECOND:
			return TPM_SECOND_US + guard_now(record, now);
		case TPM_WINDOW_MINUTE:
			return 60 * TPM_SECOND_US + GUARD_LONG_US;
		case TPM_WINDOW_HOUR:
			break;
	}
	return tpm_hour * TPM_SECOND_US + GUARD_LONG_US;
}

static inline int
ring(const TpmBudgetRecord *record, int entry)
{
	return (record->first + entry) % TPM_LOG_SIZE;
}

/* requests up to and including an entry, counted from the start of the log */
static inline uint32
sum_of(const TpmBudgetRecord *record, int entry)
{
	return record->sum[ring(record, entry)] - record->base;
}

/* the first entry that is later than a time, or the number of entries */
static int
first_after(const TpmBudgetRecord *record, int64 time)
{
	int			low = 0;
	int			high = record->entries;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (record->stamp[ring(record, middle)] > time)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* the entry that holds the n-th request of the log, n from 1 to their number */
static int
entry_of(const TpmBudgetRecord *record, uint32 n)
{
	int			low = 0;
	int			high = record->entries - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (sum_of(record, middle) >= n)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void
tpm_log_clear(TpmBudgetRecord *record)
{
	record->base = record->total = 0;
	record->first = record->entries = 0;
}

/*
 * The record as it is now, entries that are not in use left out; NULL: one
 * that has seen no request.
 */
void
tpm_log_copy(TpmBudgetRecord *copy, const TpmBudgetRecord *record)
{
	int			until_end;

	if (record == NULL)
	{
		memset(copy, 0, offsetof(TpmBudgetRecord, stamp));
		return;
	}
	memcpy(copy, record, offsetof(TpmBudgetRecord, stamp));
	copy->first = 0;
	until_end = Min(record->entries, TPM_LOG_SIZE - record->first);
	memcpy(copy->stamp, record->stamp + record->first, until_end * sizeof(int64));
	memcpy(copy->sum, record->sum + record->first, until_end * sizeof(uint32));
	memcpy(copy->stamp + until_end, record->stamp, (record->entries - until_end) * sizeof(int64));
	memcpy(copy->sum + until_end, record->sum, (record->entries - until_end) * sizeof(uint32));
}

static void
drop_first(TpmBudgetRecord *record, int count)
{
	if (count == 0)
		return;
	record->base = record->sum[ring(record, count - 1)];
	record->first = ring(record, count);
	record->entries -= count;
}

/*
 * Takes entries out of the older three quarters so that one of those left
 * stands for 1/THIN_PARTS of all requests: at most about 5,000 stay there.
 */
static void
thin_out(TpmBudgetRecord *record)
{
	uint32		most = (record->total - record->base) / THIN_PARTS + 1;
	int			exact_from = record->entries - TPM_LOG_SIZE / 4;
	int			kept = 0;
	uint32		kept_sum = 0;

	for (int i = 0; i < record->entries; i++)
	{
		if (i < exact_from && sum_of(record, i + 1) - kept_sum <= most)
			continue;
		kept_sum = sum_of(record, i);
		record->stamp[ring(record, kept)] = record->stamp[ring(record, i)];
		record->sum[ring(record, kept)] = record->sum[ring(record, i)];
		kept++;
	}
	record->entries = kept;
}

void
tpm_log_add(TpmBudgetRecord *record, int64 now, uint32 count)
{
	int			at;

	if (record->entries == TPM_LOG_SIZE)
	{
		int64		horizon = Max(tpm_window_us(record, TPM_WINDOW_HOUR, now),
								  tpm_window_us(record, TPM_WINDOW_MINUTE, now));

		drop_first(record, first_after(record, now - horizon));
		if (record->entries == TPM_LOG_SIZE)
			thin_out(record);
	}

	at = ring(record, record->entries++);
	record->total += count;
	record->stamp[at] = now;
	record->sum[at] = record->total;
}

/*
 * Takes one request out again.  False if it is not there (any more): the log
 * was cleared or thinned out.
 */
bool
tpm_log_remove(TpmBudgetRecord *record, int64 stamp)
{
	int			entry = first_after(record, stamp) - 1;
	uint32		before;

	if (entry < 0 || record->stamp[ring(record, entry)] != stamp)
		return false;

	record->total--;
	for (int i = entry; i < record->entries; i++)
		record->sum[ring(record, i)]--;

	before = entry > 0 ? sum_of(record, entry - 1) : 0;
	if (sum_of(record, entry) == before)
	{
		record->entries--;
		for (int i = entry; i < record->entries; i++)
		{
			record->stamp[ring(record, i)] = record->stamp[ring(record, i + 1)];
			record->sum[ring(record, i)] = record->sum[ring(record, i + 1)];
		}
	}
	return true;
}

/* requests that left after a time */
int
tpm_log_used(const TpmBudgetRecord *record, int64 since)
{
	int			entry = first_after(record, since);
	uint32		all = record->total - record->base;

	return all - (entry > 0 ? sum_of(record, entry - 1) : 0);
}

int64
tpm_log_newest(const TpmBudgetRecord *record)
{
	return record->entries == 0 ? PG_INT64_MIN : record->stamp[ring(record, record->entries - 1)];
}

/*
 * When the n-th request from now, n at most limit, has room in a window: as
 * soon as the request limit places before it is out of the window.  0: at once.
 */
int64
tpm_log_free_at(const TpmBudgetRecord *record, int64 window_us, int limit, int n)
{
	int64		place = (int64) (record->total - record->base) - limit + n;

	if (place <= 0)
		return 0;
	return record->stamp[ring(record, entry_of(record, (uint32) place))] + window_us;
}

/*
 * The time at which the n-th request from now could leave if every one before
 * it left as early as it can.  Exact for n = 1; for more a lower bound, since
 * each window is looked at by itself.
 */
int64
tpm_log_earliest(const TpmBudgetRecord *record, const TpmForce force, int n, int64 now)
{
	int64		start = Max(now, record->paused_until_us);
	int64		earliest = start;

	for (int i = 0; i < TPM_WINDOWS; i++)
	{
		int64		window_us = tpm_window_us(record, i, now);
		int			rounds;
		int64		first;

		if (force[i] == TPM_BLOCKED)
			return TPM_NEVER;
		if (force[i] == 0)
			continue;
		rounds = (n - 1) / force[i];
		first = tpm_log_free_at(record, window_us, force[i], n - rounds * force[i]);
		earliest = Max(earliest, Max(start, first) + rounds * window_us);
	}
	return earliest;
}
