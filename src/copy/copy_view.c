/*-------------------------------------------------------------------------
 *
 * copy_view.c
 *		Local copies at a glance: the function behind tpm_fdw_copies.
 *
 * Owns what a state means to people: how a copy is, how old, what is wrong with it.  What went
 * wrong last is for the owner and pg_read_all_stats, since an answer's words may stand in it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "copy/copy_internal.h"

PG_FUNCTION_INFO_V1(tpm_fdw_copies);

#define COPIES_COLUMNS 24

typedef struct CopyRow
{
	int			n;
	Datum		values[COPIES_COLUMNS];
	bool		nulls[COPIES_COLUMNS];
} CopyRow;

static void
put_value(CopyRow *row, Datum value, bool isnull)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = isnull;
}

static void
put_words(CopyRow *row, const char *value)
{
	put_value(row, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

/* -1 is NULL */
static void
put_count(CopyRow *row, int64 value)
{
	put_value(row, Int64GetDatum(value), value < 0);
}

static void
put_time(CopyRow *row, TimestampTz value)
{
	put_value(row, TimestampTzGetDatum(value), value == TPM_NEVER);
}

static void
put_interval(CopyRow *row, Interval *value)
{
	put_value(row, IntervalPGetDatum(value), value == NULL);
}

/* what is wrong with it now, whatever a run has said; NULL: nothing */
static const char *
what_is_missing(const TpmCopy *copy)
{
	if (!copy->guarded)
		return psprintf("The trigger %s is gone or disabled: the table is not written any more. "
						"ALTER TABLE .. ENABLE TRIGGER, or tpm_fdw_create_copy() again, makes it a copy.",
						TPM_COPY_GUARD_NAME);
	if (!OidIsValid(copy->sourceid))
		return psprintf("There is no foreign table %s. tpm_fdw_alter_copy(.., source => ..) names another one.",
						copy->source);
	return copy->problem;
}

static const char *
state_word(const TpmCopy *copy, TimestampTz now)
{
	if (copy->paused)
		return "paused";
	if (what_is_missing(copy))
		return "failed";
	if (strcmp(copy->phase, TPM_RUN_NEW) == 0)
		return "new";
	if (copy->filled == TPM_NEVER)
		return "filling";
	/* it is late by more than a whole run */
	if (copy->next_run != TPM_NEVER && now - copy->next_run > tpm_interval_us(copy->every))
		return "behind";
	return "current";
}

/* how old what it holds may be; NULL: it was never whole */
static Interval *
age_of_copy(const TpmCopy *copy, TimestampTz now)
{
	if (copy->last_success == TPM_NEVER)
		return NULL;
	return DatumGetIntervalP(DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(now),
												 TimestampTzGetDatum(Min(copy->last_success, now))));
}

/* of reading it whole */
static TimestampTz
expected_end_of_copy(const TpmCopy *copy, TimestampTz now)
{
	TpmTable   *table;
	double		hourly;

	if (copy->pages_expected < 0 || !OidIsValid(copy->sourceid) || strcmp(copy->phase, TPM_RUN_NONE) == 0)
		return TPM_NEVER;

	/*
	 * options that do not fit together are told by the next run, and are no
	 * reason to show nothing
	 */
	if (tpm_read_table(copy->sourceid, &table) != NULL)
		return TPM_NEVER;
	hourly = tpm_copy_requests_an_hour(table);
	if (hourly <= 0)
		return TPM_NEVER;
	return now + (TimestampTz) (Max(0, copy->pages_expected - copy->pages_done) / hourly * USECS_PER_HOUR);
}

/* who holds the lock of a run; 0: nobody */
static int
pid_of_run(const LockData *locks, Oid relid)
{
	LOCKTAG		tag;

	tpm_copy_lock_tag(&tag, relid);
	for (int i = 0; i < locks->nelements; i++)
	{
		if (locks->locks[i].holdMask != 0 && memcmp(&locks->locks[i].locktag, &tag, sizeof(tag)) == 0)
			return locks->locks[i].pid;
	}
	return 0;
}

static bool
may_see_problem(Oid relid)
{
	return tpm_owns_relation(relid, GetUserId()) || has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

static void
put_copy(CopyRow *row, const TpmCopy *copy, const LockData *locks)
{
	TimestampTz now = GetCurrentTimestamp();
	int			pid = pid_of_run(locks, copy->relid);

	row->n = 0;
	put_value(row, ObjectIdGetDatum(copy->relid), false);
	put_words(row, state_word(copy, now));
	put_interval(row, age_of_copy(copy, now));
	put_count(row, copy->rows);
	put_time(row, copy->paused ? TPM_NEVER : copy->next_run == TPM_NEVER ? now : copy->next_run);
	put_words(row, may_see_problem(copy->relid) ? what_is_missing(copy) : NULL);
	put_value(row, ObjectIdGetDatum(copy->sourceid), !OidIsValid(copy->sourceid));
	put_words(row, copy->phase);
	put_count(row, copy->pages_done);
	put_count(row, copy->pages_expected);
	put_time(row, expected_end_of_copy(copy, now));
	put_time(row, copy->watermark);
	put_time(row, copy->verified_until);
	put_time(row, copy->last_success);
	put_count(row, copy->unlisted);
	put_count(row, copy->requests);
	put_count(row, copy->requests_last_run);
	put_count(row, copy->inserted);
	put_count(row, copy->updated);
	put_count(row, copy->deleted);
	put_interval(row, copy->every);
	put_interval(row, copy->reconcile);
	put_interval(row, copy->sweep);
	put_value(row, Int32GetDatum(pid), pid == 0);
	Assert(row->n == COPIES_COLUMNS);
}

Datum
tpm_fdw_copies(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LockData   *locks;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	locks = GetLockStatusData();
	foreach(lc, tpm_copy_list())
	{
		TpmCopy    *copy = lfirst(lc);
		CopyRow		row;

		/* its table is gone: the next run removes what is known of it */
		if (!OidIsValid(copy->relid))
			continue;
		put_copy(&row, copy, locks);
		tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
	}
	return (Datum) 0;
}
