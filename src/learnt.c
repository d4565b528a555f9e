/*-------------------------------------------------------------------------
 *
 * learnt.c
 *		What was learnt about tables and outlives the session.
 *
 * Owns a fixed table of entries keyed by database and relation.  An entry
 * whose options have changed since is begun anew; when the table is full, the
 * entry used longest ago makes room.  One lock over all; nothing in here
 * throws or waits while holding it.  Without shared state nothing is learnt.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "counters.h"

#define TPM_LEARNT_ENTRIES 1024

typedef struct LearntEntry
{
	Oid			dbid;			/* InvalidOid: free */
	Oid			relid;
	uint64		options_hash;
	uint64		used;			/* when, by the clock below */
	TpmLearnt	learnt;
} LearntEntry;

typedef struct LearntShared
{
	LWLock		lock;
	uint64		clock;			/* one tick a look */
	LearntEntry entries[TPM_LEARNT_ENTRIES];
} LearntShared;

static LearntShared *shared = NULL;

static Size
learnt_size(void)
{
	return sizeof(LearntShared);
}

static void
learnt_init(void *area, int tranche, bool found)
{
	shared = area;
	if (found)
		return;
	memset(shared, 0, sizeof(LearntShared));
	LWLockInitialize(&shared->lock, tranche);
}

const TpmSharedArea tpm_learnt_area = {"tpm_fdw_learnt", learnt_size, learnt_init};

static LearntEntry *
find(Oid relid, uint64 options_hash)
{
	for (int i = 0; i < TPM_LEARNT_ENTRIES; i++)
	{
		LearntEntry *entry = &shared->entries[i];

		if (entry->dbid == MyDatabaseId && entry->relid == relid)
			return entry->options_hash == options_hash ? entry : NULL;
	}
	return NULL;
}

/* the relation's entry under other options, a free one, or the oldest */
static LearntEntry *
victim(Oid relid)
{
	LearntEntry *best = &shared->entries[0];

	for (int i = 0; i < TPM_LEARNT_ENTRIES; i++)
	{
		LearntEntry *entry = &shared->entries[i];

		if (entry->dbid == MyDatabaseId && entry->relid == relid)
			return entry;
		if (best->dbid != InvalidOid && (entry->dbid == InvalidOid || entry->used < best->used))
			best = entry;
	}
	return best;
}

/* with the lock held exclusively */
static LearntEntry *
find_or_make(Oid relid, uint64 options_hash)
{
	LearntEntry *entry = find(relid, options_hash);

	if (entry == NULL)
	{
		entry = victim(relid);
		memset(entry, 0, sizeof(LearntEntry));
		entry->dbid = MyDatabaseId;
		entry->relid = relid;
		entry->options_hash = options_hash;
		entry->learnt.total = -1;
	}
	entry->used = ++shared->clock;
	return entry;
}

bool
tpm_learnt_get(Oid relid, uint64 options_hash, TpmLearnt *learnt)
{
	LearntEntry *entry;

	if (shared == NULL)
		return false;
	LWLockAcquire(&shared->lock, LW_SHARED);
	entry = find(relid, options_hash);
	if (entry)
		*learnt = entry->learnt;
	LWLockRelease(&shared->lock);
	return entry != NULL;
}

void
tpm_learnt_total(Oid relid, uint64 options_hash, int64 total)
{
	TimestampTz now = GetCurrentTimestamp();
	LearntEntry *entry;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = find_or_make(relid, options_hash);
	entry->learnt.total = total;
	entry->learnt.total_at = now;
	LWLockRelease(&shared->lock);
}

void
tpm_learnt_seen(Oid relid, uint64 options_hash, const uint64 *seen_columns)
{
	LearntEntry *entry;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = find_or_make(relid, options_hash);
	for (int i = 0; i < (int) lengthof(entry->learnt.seen_columns); i++)
		entry->learnt.seen_columns[i] |= seen_columns[i];
	LWLockRelease(&shared->lock);
}

void
tpm_learnt_lying(Oid relid, uint64 options_hash, AttrNumber attnum)
{
	LearntEntry *entry;

	if (shared == NULL || attnum < 0 || attnum >= 256)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = find_or_make(relid, options_hash);
	entry->learnt.lying_columns[attnum / 64] |= UINT64CONST(1) << (attnum % 64);
	LWLockRelease(&shared->lock);
}

void
tpm_learnt_slowest(Oid relid, uint64 options_hash, int64 us)
{
	LearntEntry *entry;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = find_or_make(relid, options_hash);
	entry->learnt.slowest_us = Max(entry->learnt.slowest_us, us);
	LWLockRelease(&shared->lock);
}
