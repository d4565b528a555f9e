/*-------------------------------------------------------------------------
 *
 * rent.c
 *		What has been spent on parts of a table's list.
 *
 * Owns one counter of requests for each credential and table, in shared memory
 * only: after a restart there is no list either.  It looks back over the time
 * for which the list would be kept; what follows from it is the scan's.
 *
 * Time goes in steps, so that what is spent on both sides of one is still seen
 * together.  They cover a little more than that time, never less; of sessions
 * that keep lists for different times, the shortest.
 *
 * Locking: one LWLock over all, taken exclusively.  Nothing in here throws or
 * waits while holding it; a look walks the few tables that share a part of the
 * hash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "shared/rent.h"

#define RENT_PARTS		64
#define RENTS_A_PART	8
#define RENT_STEPS		16

typedef struct Rent
{
	Oid			dbid;			/* InvalidOid: free */
	TpmRentKey	key;
	int64		used_us;		/* when */
	int64		step_us;		/* 0: nothing is counted */
	int64		step;			/* the last one that is counted, since the
								 * clock began */
	int64		spent[RENT_STEPS];	/* in step n at n % RENT_STEPS */
	bool		in_vain;
} Rent;

typedef struct RentShared
{
	LWLock		lock;
	Rent		rents[RENT_PARTS][RENTS_A_PART];
} RentShared;

static RentShared *shared = NULL;

static Size
rent_size(void)
{
	return sizeof(RentShared);
}

static void
rent_init(void *area, int tranche, bool found)
{
	shared = area;
	if (found)
		return;
	memset(shared, 0, sizeof(RentShared));
	LWLockInitialize(&shared->lock, tranche);
}

const TpmSharedArea tpm_rent_area = {"tpm_fdw_rent", rent_size, rent_init};

/* ----- the counters; with the lock held ----- */

/* the table's, or the one that makes room for it: it was used longest ago */
static Rent *
find_rent(const TpmRentKey *key)
{
	uint64		all[] = {MyDatabaseId, key->relid, key->options_hash, key->credential};
	Rent	   *part = shared->rents[hash_bytes_extended((unsigned char *) all, sizeof(all), 0) % RENT_PARTS];
	Rent	   *oldest = part;

	for (int i = 0; i < RENTS_A_PART; i++)
	{
		Rent	   *rent = &part[i];

		if (rent->dbid == MyDatabaseId && rent->key.relid == key->relid &&
			rent->key.options_hash == key->options_hash && rent->key.credential == key->credential)
			return rent;
		if (rent->used_us < oldest->used_us)
			oldest = rent;
	}
	memset(oldest, 0, sizeof(Rent));
	oldest->dbid = MyDatabaseId;
	oldest->key = *key;
	return oldest;
}

static int64
spent_in_all(const Rent *rent)
{
	int64		sum = 0;

	for (int i = 0; i < RENT_STEPS; i++)
		sum += rent->spent[i];
	return sum;
}

static void
go_on_to(Rent *rent, int64 step)
{
	for (int64 at = Max(rent->step, step - RENT_STEPS) + 1; at <= step; at++)
		rent->spent[at % RENT_STEPS] = 0;
	rent->step = step;
}

/*
 * Brings the counter up to date.  It goes by the shortest time that anybody
 * has asked for: what was counted in longer steps is as if spent now, which
 * may not be said again and again.
 */
static void
look_at_clock(Rent *rent, int64 ttl_us)
{
	int64		now = tpm_monotonic_us();
	int64		step_us = ttl_us / (RENT_STEPS - 1) + 1;
	int64		sum;

	rent->used_us = now;
	if (rent->step_us > 0)
		go_on_to(rent, now / rent->step_us);
	sum = spent_in_all(rent);
	rent->in_vain &= sum > 0;
	if (rent->step_us > 0 && rent->step_us <= step_us)
		return;
	memset(rent->spent, 0, sizeof(rent->spent));
	rent->step_us = step_us;
	rent->step = now / step_us;
	rent->spent[rent->step % RENT_STEPS] = sum;
}

/* ----- what others ask and tell ----- */

void
tpm_rent_add(const TpmRentKey *key, int64 ttl_us, int requests)
{
	Rent	   *rent;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	rent = find_rent(key);
	look_at_clock(rent, ttl_us);
	rent->spent[rent->step % RENT_STEPS] += requests;
	LWLockRelease(&shared->lock);
}

int64
tpm_rent_get(const TpmRentKey *key, int64 ttl_us)
{
	Rent	   *rent;
	int64		spent;

	if (shared == NULL)
		return 0;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	rent = find_rent(key);
	look_at_clock(rent, ttl_us);
	spent = rent->in_vain ? -1 : spent_in_all(rent);
	LWLockRelease(&shared->lock);
	return spent;
}

void
tpm_rent_settle(const TpmRentKey *key, bool kept)
{
	Rent	   *rent;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	rent = find_rent(key);
	if (kept)
		memset(rent->spent, 0, sizeof(rent->spent));
	rent->in_vain = !kept;
	LWLockRelease(&shared->lock);
}
