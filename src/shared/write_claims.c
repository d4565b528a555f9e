/*-------------------------------------------------------------------------
 *
 * write_claims.c
 *		Resources that sessions of this cluster are changing.
 *
 * Owns a ring of changes, each under way or done, in the order in which they
 * began or ended.  A session changes one resource at a time.  One lock over
 * all; nothing in here throws or waits while holding it.
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

typedef struct ChangingShared
{
	LWLock		lock;
	uint64		number;			/* of the last event */
	uint64		forgotten;		/* the newest number that was overwritten */
	int			nchanges;
	Change		changes[FLEXIBLE_ARRAY_MEMBER];
} ChangingShared;

static ChangingShared *shared = NULL;
static Change *mine = NULL;
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
	if (event == SUBXACT_EVENT_ABORT_SUB)
		tpm_write_claim_end();
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
		mine->resource = resource;
		mine->pid = MyProcPid;
		mine->number = ++shared->number;
	}
	LWLockRelease(&shared->lock);
	return may;
}
