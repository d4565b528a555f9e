/*-------------------------------------------------------------------------
 *
 * write_claims.c
 *		Resources that sessions of this cluster are changing.
 *
 * Owns a ring of changes, each under way or done, in the order in which they
 * began or ended, and a second one of those in doubt.  A session changes one
 * resource at a time.  One lock over all; nothing in here throws or waits while
 * holding it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "compat.h"
#include "shared/write_claims.h"

typedef struct Change
{
	uint64		resource;
	uint64		number;			/* when it began, or ended; 0: free */
	int			pid;			/* of who is at it, 0: done */
} Change;

/* changes in doubt that are remembered; of more, those that end last */
#define MOST_UNSETTLED	256

typedef struct Unsettled
{
	uint64		resource;
	int64		until_us;		/* monotonic; 0: free */
} Unsettled;

typedef struct ChangingShared
{
	LWLock		lock;
	Unsettled	unsettled[MOST_UNSETTLED];
	uint64		number;			/* of the last event */
	uint64		forgotten;		/* the newest number that was overwritten */
	int			nchanges;
	Change		changes[FLEXIBLE_ARRAY_MEMBER];
} ChangingShared;

static ChangingShared *shared = NULL;
static Change *mine = NULL;
static SubTransactionId mine_since;
static bool registered = false;

/* all sessions may be at one, and as many done ones are remembered */
static int
changes_wanted(void)
{
	return Max(1024, 4 * MaxBackends);
}

static Size
changing_size(void)
{
	return add_size(offsetof(ChangingShared, changes), mul_size(changes_wanted(), sizeof(Change)));
}

static void
changing_init(void *area, int tranche, bool found)
{
	shared = area;
	if (found)
		return;
	memset(area, 0, changing_size());
	LWLockInitialize(&shared->lock, tranche);
	shared->nchanges = changes_wanted();
}

const TpmSharedArea tpm_write_claim_area = {"tpm_fdw_changing", changing_size, changing_init};

void
tpm_write_claim_end(void)
{
	if (mine == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	mine->pid = 0;
	mine->number = ++shared->number;
	LWLockRelease(&shared->lock);
	mine = NULL;
}

static void
end_with_transaction(XactEvent event, void *arg)
{
	tpm_write_claim_end();
}

static void
end_with_subtransaction(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
						void *arg)
{
	if (mine == NULL || mine_since != mySubid)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		tpm_write_claim_end();
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		mine_since = parentSubid;
}

static void
end_at_exit(int code, Datum arg)
{
	tpm_write_claim_end();
}

uint64
tpm_write_claim_mark(void)
{
	uint64		mark;

	LWLockAcquire(&shared->lock, LW_SHARED);
	mark = shared->number;
	LWLockRelease(&shared->lock);
	return mark;
}

/* a place that nobody is at: a free one, or the one done longest ago */
static Change *
take_place(void)
{
	Change	   *best = NULL;

	for (int i = 0; i < shared->nchanges; i++)
	{
		Change	   *change = &shared->changes[i];

		if (change->pid == 0 && (best == NULL || change->number < best->number))
			best = change;
	}
	if (best)
		shared->forgotten = Max(shared->forgotten, best->number);
	return best;
}

/* with the lock held */
static bool
is_changed_since(uint64 resource, uint64 mark)
{
	if (shared->forgotten > mark)
		return true;
	for (int i = 0; i < shared->nchanges; i++)
	{
		const Change *change = &shared->changes[i];

		if (change->number != 0 && change->resource == resource &&
			(change->pid != 0 || change->number > mark))
			return true;
	}
	return false;
}

bool
tpm_write_claim_begin(uint64 resource, uint64 mark)
{
	bool		may;

	Assert(mine == NULL);
	if (!registered)
	{
		RegisterXactCallback(end_with_transaction, NULL);
		RegisterSubXactCallback(end_with_subtransaction, NULL);
		before_shmem_exit(end_at_exit, 0);
		registered = true;
	}
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	may = !is_changed_since(resource, mark);
	if (may)
		mine = take_place();
	if (mine)
	{
		mine_since = GetCurrentSubTransactionId();
		mine->resource = resource;
		mine->pid = MyProcPid;
		mine->number = ++shared->number;
	}
	LWLockRelease(&shared->lock);
	return may;
}

/* ----- changes in doubt ----- */

void
tpm_write_claim_unsettle(uint64 resource, int64 until_us)
{
	Unsettled  *place = &shared->unsettled[0];

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MOST_UNSETTLED; i++)
	{
		Unsettled  *one = &shared->unsettled[i];

		if (one->until_us != 0 && one->resource == resource)
		{
			place = one;
			break;
		}
		if (one->until_us < place->until_us)
			place = one;
	}
	if (place->resource != resource || place->until_us < until_us)
	{
		place->resource = resource;
		place->until_us = until_us;
	}
	LWLockRelease(&shared->lock);
}

void
tpm_write_claim_settle(uint64 resource, int64 until_us)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MOST_UNSETTLED; i++)
		if (shared->unsettled[i].resource == resource && shared->unsettled[i].until_us == until_us)
			shared->unsettled[i].until_us = 0;
	LWLockRelease(&shared->lock);
}

int64
tpm_write_claim_unsettled_until(uint64 resource)
{
	int64		until_us = 0;

	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < MOST_UNSETTLED; i++)
		if (shared->unsettled[i].until_us != 0 && shared->unsettled[i].resource == resource)
			until_us = Max(until_us, shared->unsettled[i].until_us);
	LWLockRelease(&shared->lock);
	return until_us;
}
