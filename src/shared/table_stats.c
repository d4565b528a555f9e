/*-------------------------------------------------------------------------
 *
 * table_stats.c
 *		What was learnt about tables: it outlives the session and the server.
 *
 * Owns a fixed hash table of entries keyed by database and relation.  An entry
 * whose options have changed since is begun anew; when the table is full, the
 * entry used longest ago makes room.  What is done with it is the planner's
 * and the scan's.  One lock over all, which a look takes exclusively, too: it
 * is a use.  Nothing in here throws or waits while holding it.  Without shared
 * state nothing is learnt.
 *
 * Each entry has its place in a file (table_stats_file.c).  Whoever changes it
 * copies it under the lock and writes the copy after; while he writes, others
 * only leave a mark, and he writes again.  So what is on disk is never older
 * than what was written before it, and no lock is held over a write.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "shared/table_stats_file.h"

#define TPM_LEARNT_ENTRIES 1024

typedef struct LearntEntry
{
	TpmLearntKept kept;			/* what is on disk as well */
	uint64		used;			/* when, by the clock below */
	int			next;			/* of its chain: a place, from 1; 0: none */
	bool		writing;		/* somebody does, and looks at changed after */
	bool		changed;		/* since it was copied for that */
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

		if (entry->kept.dbid == MyDatabaseId && entry->kept.relid == relid)
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
	at = head_of(shared->entries[best].kept.dbid, shared->entries[best].kept.relid);
	while (*at != best + 1)
		at = &shared->entries[*at - 1].next;
	*at = shared->entries[best].next;
	return best + 1;
}

static LearntEntry *
make(Oid dbid, Oid relid)
{
	int			place = free_place();
	LearntEntry *entry = &shared->entries[place - 1];
	int		   *head = head_of(dbid, relid);

	memset(&entry->kept, 0, sizeof(entry->kept));
	entry->kept.dbid = dbid;
	entry->kept.relid = relid;
	entry->used = ++shared->clock;
	entry->next = *head;
	*head = place;
	return entry;
}

static LearntEntry *
find_or_make(Oid relid, uint64 options_hash)
{
	LearntEntry *entry = find_stats(relid);

	if (entry && entry->kept.options_hash == options_hash)
		return entry;
	if (entry == NULL)
		entry = make(MyDatabaseId, relid);
	entry->kept.options_hash = options_hash;
	memset(&entry->kept.learnt, 0, sizeof(TpmTableStats));
	entry->kept.learnt.total = -1;
	return entry;
}

/* ----- the segment ----- */

/* the postmaster, before anybody else is there */
static void
load(void)
{
	TpmLearntKept *read = palloc(TPM_LEARNT_ENTRIES * sizeof(TpmLearntKept));
	int			nread = tpm_learnt_file_load(read, TPM_LEARNT_ENTRIES);

	for (int i = 0; i < nread; i++)
		make(read[i].dbid, read[i].relid)->kept = read[i];
	pfree(read);
}

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
	load();
}

const TpmSharedArea tpm_table_stats_area = {"tpm_fdw_learnt", learnt_size, learnt_init};

/* ----- what others ask and tell ----- */

/* what the entry held when the lock was taken that this backend holds, byte by byte: mistaken, it is written once more */
static char known_before[sizeof(TpmLearntKept)];

/* begins a change; the lock is held until the end of it */
static LearntEntry *
begin_learning(Oid relid, uint64 options_hash)
{
	LearntEntry *entry;

	if (shared == NULL)
		return NULL;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = find_or_make(relid, options_hash);
	memcpy(known_before, &entry->kept, sizeof(TpmLearntKept));
	return entry;
}

/* a size is told by every page, and its time alone is not written for each */
#define TOTAL_AGE_MS	60000

/* what is told once more is not written */
static void
end_learning(LearntEntry *entry)
{
	int			place = entry - shared->entries;

	if (memcmp(known_before, (const char *) &entry->kept, sizeof(TpmLearntKept)) == 0)
	{
		LWLockRelease(&shared->lock);
		return;
	}
	entry->changed = true;
	if (!entry->writing)
	{
		entry->writing = true;
		while (entry->changed)
		{
			TpmLearntKept copy = entry->kept;

			entry->changed = false;
			LWLockRelease(&shared->lock);
			tpm_learnt_file_write(&copy, place);
			LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		}
		entry->writing = false;
	}
	LWLockRelease(&shared->lock);
}

bool
tpm_table_stats_get(Oid relid, uint64 options_hash, TpmTableStats *learnt)
{
	LearntEntry *entry;
	bool		known;

	if (shared == NULL)
		return false;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = find_stats(relid);
	known = entry && entry->kept.options_hash == options_hash;
	if (known)
		*learnt = entry->kept.learnt;
	LWLockRelease(&shared->lock);
	return known;
}

void
tpm_table_stats_total(Oid relid, uint64 options_hash, Oid umid, int64 total, int a_page)
{
	TimestampTz now = GetCurrentTimestamp();
	LearntEntry *entry = begin_learning(relid, options_hash);
	TpmTableStats *learnt;

	if (entry == NULL)
		return;
	learnt = &entry->kept.learnt;
	if (a_page == 0)
		a_page = learnt->a_page;
	if (learnt->total != total || learnt->a_page != a_page || learnt->total_by != umid ||
		TimestampDifferenceExceeds(learnt->total_at, now, TOTAL_AGE_MS))
		learnt->total_at = now;
	learnt->total = total;
	learnt->total_by = umid;
	learnt->a_page = a_page;
	learnt->at_least = 0;
	end_learning(entry);
}

void
tpm_table_stats_at_least(Oid relid, uint64 options_hash, int64 rows, int a_page)
{
	LearntEntry *entry = begin_learning(relid, options_hash);

	if (entry == NULL)
		return;
	if (rows > entry->kept.learnt.total)
		entry->kept.learnt.at_least = Max(entry->kept.learnt.at_least, rows);
	if (a_page > 0)
		entry->kept.learnt.a_page = a_page;
	end_learning(entry);
}

int
tpm_table_stats_page(const TpmTableStats *learnt, int asked)
{
	return learnt->a_page > 0 && learnt->a_page < Max(learnt->total, learnt->at_least) ? learnt->a_page : asked;
}

/* the place of the list, or one that may be taken for it; NULL: longer ones are known */
static TpmLongList *
place_of_list(TpmTableStats *learnt, uint64 conditions, int64 pages, TimestampTz now)
{
	TpmLongList *shortest = NULL;

	for (int i = 0; i < TPM_LONG_LISTS; i++)
	{
		TpmLongList *list = &learnt->long_lists[i];

		if (list->conditions == conditions)
			return list;
		if (TimestampDifferenceExceeds(list->at, now, TPM_SIZE_IS_KNOWN_MS))
			list->pages = 0;
		if (shortest == NULL || list->pages < shortest->pages)
			shortest = list;
	}
	return shortest->pages <= pages ? shortest : NULL;
}

void
tpm_table_stats_long_list(Oid relid, uint64 options_hash, uint64 conditions, int64 pages, bool ended)
{
	TimestampTz now = GetCurrentTimestamp();
	LearntEntry *entry = begin_learning(relid, options_hash);
	TpmLongList *list;

	if (entry == NULL)
		return;
	list = place_of_list(&entry->kept.learnt, conditions, pages, now);
	if (list && (ended || list->conditions != conditions || list->pages < pages))
	{
		list->conditions = conditions;
		list->pages = pages;
		list->at = now;
	}
	end_learning(entry);
}

int64
tpm_table_stats_pages_of_list(const TpmTableStats *learnt, uint64 conditions)
{
	for (int i = 0; i < TPM_LONG_LISTS; i++)
	{
		const TpmLongList *list = &learnt->long_lists[i];

		if (list->conditions == conditions && list->pages > 0 &&
			!TimestampDifferenceExceeds(list->at, GetCurrentTimestamp(), TPM_SIZE_IS_KNOWN_MS))
			return list->pages;
	}
	return -1;
}

/* that many values tell as much as more would, and the next ones count */
#define TPM_MOST_VALUES	10000

const TpmFilterStats *
tpm_table_stats_of_filter(const TpmTableStats *learnt, AttrNumber attnum)
{
	for (int i = 0; i < TPM_FILTERS; i++)
	{
		if (learnt->filters[i].attnum == attnum)
			return &learnt->filters[i];
	}
	return NULL;
}

/* in place of the one of which the least is known */
static TpmFilterStats *
make_filter(TpmTableStats *learnt, AttrNumber attnum)
{
	TpmFilterStats *least = &learnt->filters[0];

	for (int i = 1; i < TPM_FILTERS; i++)
	{
		if (learnt->filters[i].values < least->values)
			least = &learnt->filters[i];
	}
	memset(least, 0, sizeof(TpmFilterStats));
	least->attnum = attnum;
	return least;
}

void
tpm_table_stats_filter(Oid relid, uint64 options_hash, AttrNumber attnum, int values, int64 rows)
{
	LearntEntry *entry = begin_learning(relid, options_hash);
	TpmFilterStats *filter;
	double		before;

	if (entry == NULL)
		return;
	filter = unconstify(TpmFilterStats *, tpm_table_stats_of_filter(&entry->kept.learnt, attnum));
	/* of rows of values that have been forgotten meanwhile, nothing is known */
	if (filter == NULL && values > 0)
		filter = make_filter(&entry->kept.learnt, attnum);
	if (filter == NULL)
	{
		end_learning(entry);
		return;
	}
	if (filter->values > TPM_MOST_VALUES)
	{
		filter->values /= 2;
		filter->rows /= 2;
	}
	before = filter->values > 0 ? (double) filter->rows / filter->values : -1;
	filter->values += values;
	filter->rows += rows;
	/* what has hardly changed is written with what has */
	if (before >= 0 && fabs((double) filter->rows / filter->values - before) <= before / 10)
		memcpy(known_before, &entry->kept, sizeof(TpmLearntKept));
	end_learning(entry);
}

/*
 * A member that every resource had until now, and none of this page has, does
 * not become one that some have: that is for whoever reads to be told.
 */
void
tpm_table_stats_members(Oid relid, uint64 options_hash, const uint64 *seen, const uint64 *lacked)
{
	LearntEntry *entry = begin_learning(relid, options_hash);

	if (entry == NULL)
		return;
	for (int i = 0; i < TPM_SEEN_WORDS; i++)
	{
		TpmTableStats *learnt = &entry->kept.learnt;
		uint64		always = learnt->seen_columns[i] & ~learnt->lacked_columns[i];

		learnt->seen_columns[i] |= seen[i];
		learnt->lacked_columns[i] |= lacked[i] & ~(always & ~seen[i]);
	}
	end_learning(entry);
}

void
tpm_table_stats_fields(Oid relid, uint64 options_hash, const uint64 *named, const uint64 *unnamed)
{
	LearntEntry *entry = begin_learning(relid, options_hash);

	if (entry == NULL)
		return;
	for (int i = 0; i < TPM_SEEN_WORDS; i++)
	{
		entry->kept.learnt.named_columns[i] |= named[i];
		entry->kept.learnt.unnamed_columns[i] |= unnamed[i];
	}
	end_learning(entry);
}

void
tpm_table_stats_refused(Oid relid, uint64 options_hash, const uint64 *refused)
{
	LearntEntry *entry = begin_learning(relid, options_hash);

	if (entry == NULL)
		return;
	for (int i = 0; i < TPM_SEEN_WORDS; i++)
		entry->kept.learnt.refused_columns[i] |= refused[i];
	end_learning(entry);
}

void
tpm_table_stats_lying(Oid relid, uint64 options_hash, AttrNumber attnum)
{
	LearntEntry *entry;

	if (attnum < 0 || attnum >= TPM_SEEN_WORDS * 64)
		return;
	entry = begin_learning(relid, options_hash);
	if (entry == NULL)
		return;
	entry->kept.learnt.lying_columns[attnum / 64] |= UINT64CONST(1) << (attnum % 64);
	end_learning(entry);
}

void
tpm_table_stats_slowest(Oid relid, uint64 options_hash, int64 us)
{
	LearntEntry *entry = begin_learning(relid, options_hash);

	if (entry == NULL)
		return;
	entry->kept.learnt.slowest_us = Max(entry->kept.learnt.slowest_us, us);
	end_learning(entry);
}

void
tpm_table_stats_hides(Oid relid, uint64 options_hash)
{
	LearntEntry *entry = begin_learning(relid, options_hash);

	if (entry == NULL)
		return;
	entry->kept.learnt.hides = true;
	end_learning(entry);
}

/* when there is no room, the one that is known longest is forgotten */
void
tpm_table_stats_suspect(Oid relid, uint64 options_hash, uint64 idhash)
{
	LearntEntry *entry = begin_learning(relid, options_hash);
	uint64	   *suspects;
	int			at = 0;

	if (entry == NULL)
		return;
	suspects = entry->kept.learnt.suspects;
	while (at < TPM_SUSPECTS - 1 && suspects[at] != 0 && suspects[at] != idhash)
		at++;
	if (suspects[at] != 0 && suspects[at] != idhash)
		memmove(suspects, suspects + 1, (TPM_SUSPECTS - 1) * sizeof(uint64));
	suspects[at] = idhash;
	end_learning(entry);
}

void
tpm_table_stats_clear_suspect(Oid relid, uint64 options_hash, uint64 idhash)
{
	LearntEntry *entry = begin_learning(relid, options_hash);
	uint64	   *suspects;

	if (entry == NULL)
		return;
	suspects = entry->kept.learnt.suspects;
	for (int i = 0; i < TPM_SUSPECTS; i++)
	{
		if (suspects[i] != idhash)
			continue;
		memmove(suspects + i, suspects + i + 1, (TPM_SUSPECTS - 1 - i) * sizeof(uint64));
		suspects[TPM_SUSPECTS - 1] = 0;
		break;
	}
	end_learning(entry);
}

void
tpm_table_stats_filtered_total(Oid relid, uint64 options_hash, bool obeys)
{
	LearntEntry *entry = begin_learning(relid, options_hash);

	if (entry == NULL)
		return;
	entry->kept.learnt.total_ignores_filter = !obeys;
	entry->kept.learnt.total_obeys_filter = obeys;
	end_learning(entry);
}
