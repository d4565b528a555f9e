/*-------------------------------------------------------------------------
 *
 * table_stats.c
 *		What was learnt about tables and outlives the session.
 *
 * Owns a fixed hash table of entries keyed by database and relation.  An entry
 * whose options have changed since is begun anew; when the table is full, the
 * entry used longest ago makes room.  What is done with it is the planner's
 * and the scan's.  One lock over all, which a look takes exclusively, too: it
 * is a use.  Nothing in here throws or waits while holding it.  Without shared
 * state nothing is learnt.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "shared/counters.h"

#define TPM_LEARNT_ENTRIES 1024

typedef struct LearntEntry
{
	Oid			dbid;
	Oid			relid;
	uint64		options_hash;
	uint64		used;			/* when, by the clock below */
	int			next;			/* of its chain: a place, from 1; 0: none */
	TpmTableStats learnt;
} LearntEntry;

typedef struct LearntShared
{
	LWLock		lock;
	uint64		clock;			/* one tick a look */
	int			nentries;		/* in use; none is ever given back */
	int			heads[TPM_LEARNT_ENTRIES];	/* of the chains, by hash */
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

const TpmSharedArea tpm_table_stats_area = {"tpm_fdw_learnt", learnt_size, learnt_init};

/* ----- the table; with the lock held exclusively ----- */

static int *
head_of(Oid dbid, Oid relid)
{
	uint32		hash = hash_combine(murmurhash32(dbid), murmurhash32(relid));

	return &shared->heads[hash % TPM_LEARNT_ENTRIES];
}

/* the relation's entry, whatever its options were */
static LearntEntry *
find_stats(Oid relid)
{
	int			place = *head_of(MyDatabaseId, relid);

	while (place != 0)
	{
		LearntEntry *entry = &shared->entries[place - 1];

		if (entry->dbid == MyDatabaseId && entry->relid == relid)
		{
			entry->used = ++shared->clock;
			return entry;
		}
		place = entry->next;
	}
	return NULL;
}

/* the place of an entry that is in no chain: the next unused, or the oldest */
static int
free_place(void)
{
	int			best = 0;
	int		   *at;

	if (shared->nentries < TPM_LEARNT_ENTRIES)
		return ++shared->nentries;
	for (int i = 1; i < TPM_LEARNT_ENTRIES; i++)
	{
		if (shared->entries[i].used < shared->entries[best].used)
			best = i;
	}
	at = head_of(shared->entries[best].dbid, shared->entries[best].relid);
	while (*at != best + 1)
		at = &shared->entries[*at - 1].next;
	*at = shared->entries[best].next;
	return best + 1;
}

static LearntEntry *
make(Oid relid)
{
	int			place = free_place();
	LearntEntry *entry = &shared->entries[place - 1];
	int		   *head = head_of(MyDatabaseId, relid);

	entry->dbid = MyDatabaseId;
	entry->relid = relid;
	entry->used = ++shared->clock;
	entry->next = *head;
	*head = place;
	return entry;
}

static LearntEntry *
find_or_make(Oid relid, uint64 options_hash)
{
	LearntEntry *entry = find_stats(relid);

	if (entry && entry->options_hash == options_hash)
		return entry;
	if (entry == NULL)
		entry = make(relid);
	entry->options_hash = options_hash;
	memset(&entry->learnt, 0, sizeof(TpmTableStats));
	entry->learnt.total = -1;
	return entry;
}

/* ----- what others ask and tell ----- */

bool
tpm_table_stats_get(Oid relid, uint64 options_hash, TpmTableStats *learnt)
{
	LearntEntry *entry;
	bool		known;

	if (shared == NULL)
		return false;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = find_stats(relid);
	known = entry && entry->options_hash == options_hash;
	if (known)
		*learnt = entry->learnt;
	LWLockRelease(&shared->lock);
	return known;
}

void
tpm_table_stats_total(Oid relid, uint64 options_hash, int64 total, int a_page)
{
	TimestampTz now = GetCurrentTimestamp();
	LearntEntry *entry;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = find_or_make(relid, options_hash);
	entry->learnt.total = total;
	entry->learnt.total_at = now;
	entry->learnt.a_page = a_page;
	LWLockRelease(&shared->lock);
}

void
tpm_table_stats_seen(Oid relid, uint64 options_hash, const uint64 *seen_columns)
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
tpm_table_stats_lying(Oid relid, uint64 options_hash, AttrNumber attnum)
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
tpm_table_stats_slowest(Oid relid, uint64 options_hash, int64 us)
{
	LearntEntry *entry;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = find_or_make(relid, options_hash);
	entry->learnt.slowest_us = Max(entry->learnt.slowest_us, us);
	LWLockRelease(&shared->lock);
}
