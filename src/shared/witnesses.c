/*-------------------------------------------------------------------------
 *
 * witnesses.c
 *		Resources that answers to conditions have shown.
 *
 * Owns a fixed number of tables' sets of ids, in shared memory only: after a
 * restart there is no list either that they could contradict.  What follows
 * from an id that a list lacks is the scan's.
 *
 * Locking: one LWLock over all, taken exclusively.  Nothing in here throws or
 * waits while holding it; a look walks the few tables, or the few ids, that
 * share a part of the hash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "shared/witnesses.h"

#define TABLE_PARTS		64
#define TABLES_A_PART	4
#define ID_WAYS			4
#define ID_PARTS		(TPM_MOST_WITNESSES / ID_WAYS)

typedef struct WitnessSet
{
	Oid			dbid;			/* InvalidOid: free */
	TpmWitnessKey key;
	uint64		used;			/* when, by the clock below */
	uint64		added;			/* ids so far: whose turn it is to go */
	uint64		ids[ID_PARTS][ID_WAYS]; /* 0: free */
} WitnessSet;

typedef struct WitnessShared
{
	LWLock		lock;
	uint64		clock;
	WitnessSet	sets[TABLE_PARTS][TABLES_A_PART];
} WitnessShared;

static WitnessShared *shared = NULL;

static Size
witnesses_size(void)
{
	return sizeof(WitnessShared);
}

static void
witnesses_init(void *area, int tranche, bool found)
{
	shared = area;
	if (found)
		return;
	memset(shared, 0, sizeof(WitnessShared));
	LWLockInitialize(&shared->lock, tranche);
}

const TpmSharedArea tpm_witnesses_area = {"tpm_fdw_witnesses", witnesses_size, witnesses_init};

/* ----- the sets; with the lock held ----- */

static WitnessSet *
part_of(const TpmWitnessKey *key)
{
	uint64		all[] = {MyDatabaseId, key->relid, key->options_hash, key->credential};

	return shared->sets[hash_bytes_extended((unsigned char *) all, sizeof(all), 0) % TABLE_PARTS];
}

static bool
is_set_of(const WitnessSet *set, const TpmWitnessKey *key)
{
	return set->dbid == MyDatabaseId && set->key.relid == key->relid &&
		set->key.options_hash == key->options_hash && set->key.credential == key->credential;
}

static WitnessSet *
find_set(const TpmWitnessKey *key)
{
	WitnessSet *part = part_of(key);

	for (int i = 0; i < TABLES_A_PART; i++)
	{
		if (is_set_of(&part[i], key))
			return &part[i];
	}
	return NULL;
}

static WitnessSet *
make_set(const TpmWitnessKey *key)
{
	WitnessSet *part = part_of(key);
	WitnessSet *oldest = &part[0];

	for (int i = 1; i < TABLES_A_PART; i++)
	{
		if (part[i].used < oldest->used)
			oldest = &part[i];
	}
	memset(oldest, 0, sizeof(WitnessSet));
	oldest->dbid = MyDatabaseId;
	oldest->key = *key;
	return oldest;
}

static void
remember_id(WitnessSet *set, uint64 id)
{
	uint64	   *part = set->ids[id % ID_PARTS];

	for (int i = 0; i < ID_WAYS; i++)
	{
		if (part[i] == id)
			return;
		if (part[i] == 0)
		{
			part[i] = id;
			return;
		}
	}
	part[set->added++ % ID_WAYS] = id;
}

/* ----- what others ask and tell ----- */

void
tpm_witnesses_add(const TpmWitnessKey *key, const uint64 *ids, int n)
{
	WitnessSet *set;

	if (shared == NULL || n == 0)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	set = find_set(key);
	if (set == NULL)
		set = make_set(key);
	set->used = ++shared->clock;
	for (int i = 0; i < n; i++)
	{
		if (ids[i] != 0)
			remember_id(set, ids[i]);
	}
	LWLockRelease(&shared->lock);
}

int
tpm_witnesses_get(const TpmWitnessKey *key, uint64 *ids)
{
	WitnessSet *set;
	int			n = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	set = find_set(key);
	if (set)
	{
		set->used = ++shared->clock;
		for (int i = 0; i < TPM_MOST_WITNESSES; i++)
		{
			if (set->ids[i / ID_WAYS][i % ID_WAYS] != 0)
				ids[n++] = set->ids[i / ID_WAYS][i % ID_WAYS];
		}
	}
	LWLockRelease(&shared->lock);
	return n;
}
