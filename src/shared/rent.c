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
 * together.  They cover a little more than that time, never less.  Sessions
 * that keep lists for different times look back differently far: each time has
 * its own count, and what anybody spends is in all of them.
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
#define RENTS_A_PART	16
#define RENT_STEPS		16

typedef struct Rent
{
	Oid			dbid;			/* InvalidOid: free */
	TpmRentKey	key;
	int64		ttl_us;			/* it looks back so far */
	int64		used_us;		/* when */
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

static Rent *
rents_near(const TpmRentKey *key)
{
	uint64		all[] = {MyDatabaseId, key->relid, key->options_hash, key->credential};

	return shared->rents[hash_bytes_extended((unsigned char *) all, sizeof(all), 0) % RENT_PARTS];
}

static bool
is_rent_of(const Rent *rent, Oid dbid, const TpmRentKey *key)
{
	return rent->dbid == dbid && rent->key.relid == key->relid &&
		rent->key.options_hash == key->options_hash && rent->key.credential == key->credential;
}

static int64
step_at(const Rent *rent, int64 now)
{
	return now / (rent->ttl_us / (RENT_STEPS - 1) + 1);
}

static int64
spent_in_all(const Rent *rent)
{
	int64		sum = 0;

	for (int i = 0; i < RENT_STEPS; i++)
		sum += rent->spent[i];
	return sum;
}

/* brings the count up to date; what it comes to */
static int64
go_on(Rent *rent, int64 now)
{
	int64		step = step_at(rent, now);
	int64		sum;

	for (int64 at = Max(rent->step, step - RENT_STEPS) + 1; at <= step; at++)
		rent->spent[at % RENT_STEPS] = 0;
	rent->step = step;
	sum = spent_in_all(rent);
	rent->in_vain &= sum > 0;
	return sum;
}

/*
 * The table's count over this time, or a new one in place of the one that was
 * used longest ago.  What others have counted is as if spent now: that is
 * later than it was, so that nothing is forgotten too early.
 */
static Rent *
find_rent(const TpmRentKey *key, int64 ttl_us)
{
	int64		now = tpm_monotonic_us();
	Rent	   *part = rents_near(key);
	Rent	   *oldest = part;
	Rent		made = {.dbid = MyDatabaseId,.key = *key,.ttl_us = ttl_us,.used_us = now};
	int64		spent = 0;

	for (int i = 0; i < RENTS_A_PART; i++)
	{
		Rent	   *rent = &part[i];

		if (rent->used_us < oldest->used_us)
			oldest = rent;
		if (!is_rent_of(rent, MyDatabaseId, key))
			continue;
		spent = Max(spent, go_on(rent, now));
		made.in_vain |= rent->in_vain;
		if (rent->ttl_us != ttl_us)
			continue;
		rent->used_us = now;
		return rent;
	}
	made.step = step_at(&made, now);
	made.spent[made.step % RENT_STEPS] = spent;
	*oldest = made;
	return oldest;
}

/* ----- what others ask and tell ----- */

void
tpm_rent_add(const TpmRentKey *key, int64 ttl_us, int requests)
{
	Rent	   *part;
	int64		now;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	part = rents_near(key);
	(void) find_rent(key, ttl_us);
	now = tpm_monotonic_us();
	for (int i = 0; i < RENTS_A_PART; i++)
	{
		if (!is_rent_of(&part[i], MyDatabaseId, key))
			continue;
		(void) go_on(&part[i], now);
		part[i].spent[part[i].step % RENT_STEPS] += requests;
	}
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
	rent = find_rent(key, ttl_us);
	spent = rent->in_vain ? -1 : spent_in_all(rent);
	LWLockRelease(&shared->lock);
	return spent;
}

void
tpm_rent_settle(const TpmRentKey *key, int64 ttl_us, bool kept)
{
	Rent	   *part;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	part = rents_near(key);
	(void) find_rent(key, ttl_us);
	for (int i = 0; i < RENTS_A_PART; i++)
	{
		if (!is_rent_of(&part[i], MyDatabaseId, key))
			continue;
		if (kept)
			memset(part[i].spent, 0, sizeof(part[i].spent));
		part[i].in_vain = !kept;
	}
	LWLockRelease(&shared->lock);
}

void
tpm_rent_reset(Oid serverid)
{
	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < RENT_PARTS * RENTS_A_PART; i++)
	{
		Rent	   *rent = &shared->rents[i / RENTS_A_PART][i % RENTS_A_PART];

		if (!OidIsValid(serverid) || (rent->dbid == MyDatabaseId && rent->key.serverid == serverid))
			memset(rent, 0, sizeof(Rent));
	}
	LWLockRelease(&shared->lock);
}

/* of several times the table's one that was looked at last */
static bool
is_shown(const Rent *part, const Rent *rent)
{
	for (int i = 0; i < RENTS_A_PART; i++)
	{
		if (is_rent_of(&part[i], rent->dbid, &rent->key) && part[i].used_us > rent->used_us)
			return false;
	}
	return true;
}

int
tpm_rent_rows(TpmRentRow **rows)
{
	int			n = 0;
	int64		now = tpm_monotonic_us();

	*rows = NULL;
	if (shared == NULL)
		return 0;
	*rows = palloc(sizeof(TpmRentRow) * RENT_PARTS * RENTS_A_PART);
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < RENT_PARTS * RENTS_A_PART; i++)
	{
		Rent	   *part = shared->rents[i / RENTS_A_PART];
		Rent	   *rent = &part[i % RENTS_A_PART];
		int64		spent = OidIsValid(rent->dbid) && is_shown(part, rent) ? go_on(rent, now) : 0;

		if (spent > 0)
			(*rows)[n++] = (TpmRentRow)
		{
			.dbid = rent->dbid,.key = rent->key,.spent = spent
		};
	}
	LWLockRelease(&shared->lock);
	return n;
}
