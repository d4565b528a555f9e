/*-------------------------------------------------------------------------
 *
 * progress.c
 *		Statements at work, for tpm_fdw_progress.
 *
 * Owns a fixed table of slots.  A slot belongs to the backend that took it,
 * which gives it back at the end of its scan, with the memory of its statement
 * (so also when that fails inside a subtransaction), or when it exits.  Who
 * may see what, and the names behind OIDs, are stat.c's.  One lock over all;
 * nothing in here throws or waits while holding it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "shared/counters.h"

typedef struct ProgressShared
{
	LWLock		lock;
	int			nslots;
	TpmProgressRow slots[FLEXIBLE_ARRAY_MEMBER];	/* pid 0: free */
} ProgressShared;

/* this backend's hold on a slot */
struct TpmProgress
{
	TpmProgressRow *slot;		/* NULL: given back */
	MemoryContextCallback callback;
};

static ProgressShared *shared = NULL;
static bool exit_registered = false;

/* two statements a backend: a cursor and what is done with its rows */
static int
slots_wanted(void)
{
	return 2 * MaxBackends;
}

static Size
progress_size(void)
{
	return add_size(offsetof(ProgressShared, slots),
					mul_size(slots_wanted(), sizeof(TpmProgressRow)));
}

static void
progress_init(void *area, int tranche, bool found)
{
	shared = area;
	if (found)
		return;
	memset(shared, 0, progress_size());
	shared->nslots = slots_wanted();
	LWLockInitialize(&shared->lock, tranche);
}

const TpmSharedArea tpm_progress_area = {"tpm_fdw_progress", progress_size, progress_init};

static void
free_all(int code, Datum arg)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots; i++)
	{
		if (shared->slots[i].pid == MyProcPid)
			shared->slots[i].pid = 0;
	}
	LWLockRelease(&shared->lock);
}

static void
register_exit(void)
{
	if (exit_registered)
		return;
	before_shmem_exit(free_all, 0);
	exit_registered = true;
}

/*
 * With the lock held.  At exit slots go before the statements that held them,
 * and may be another backend's by the time these end.
 */
static bool
is_held(const TpmProgress *progress)
{
	return progress->slot->pid == MyProcPid;
}

static void
give_back(void *arg)
{
	TpmProgress *progress = arg;

	if (progress->slot == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (is_held(progress))
		progress->slot->pid = 0;
	LWLockRelease(&shared->lock);
	progress->slot = NULL;
}

/* a slot filled with this; NULL if none is free */
static TpmProgressRow *
take_slot(const TpmProgressRow *row)
{
	TpmProgressRow *slot = NULL;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots && slot == NULL; i++)
	{
		if (shared->slots[i].pid == 0)
			slot = &shared->slots[i];
	}
	if (slot)
		*slot = *row;
	LWLockRelease(&shared->lock);
	return slot;
}

TpmProgress *
tpm_progress_start(Oid relid, const char *operation)
{
	TpmProgress *progress;
	TpmProgressRow row = {0};

	if (shared == NULL)
		return NULL;
	register_exit();
	row.pid = MyProcPid;
	row.roleid = GetUserId();
	row.dbid = MyDatabaseId;
	row.relid = relid;
	row.started = GetCurrentTimestamp();
	strlcpy(row.operation, operation, sizeof(row.operation));

	/* first what can throw: a slot without its callback would stay taken */
	progress = palloc0(sizeof(TpmProgress));
	progress->callback.func = give_back;
	progress->callback.arg = progress;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &progress->callback);
	progress->slot = take_slot(&row);
	return progress->slot ? progress : NULL;
}

void
tpm_progress_update(TpmProgress *progress, int64 requests_done, int64 requests_expected,
					int64 rows_done, TimestampTz expected_end)
{
	if (progress == NULL || progress->slot == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (is_held(progress))
	{
		progress->slot->requests_done = requests_done;
		progress->slot->requests_expected = requests_expected;
		progress->slot->rows_done = rows_done;
		progress->slot->expected_end = expected_end;
	}
	LWLockRelease(&shared->lock);
}

void
tpm_progress_waiting(TpmProgress *progress, const char *waiting_for)
{
	if (progress == NULL || progress->slot == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (is_held(progress))
		strlcpy(progress->slot->waiting_for, waiting_for ? waiting_for : "",
				sizeof(progress->slot->waiting_for));
	LWLockRelease(&shared->lock);
}

void
tpm_progress_end(TpmProgress *progress)
{
	if (progress)
		give_back(progress);
}

int
tpm_progress_rows(TpmProgressRow **rows)
{
	int			n = 0;

	tpm_shared_require();
	*rows = palloc(mul_size(shared->nslots, sizeof(TpmProgressRow)));
	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < shared->nslots; i++)
	{
		if (shared->slots[i].pid != 0)
			(*rows)[n++] = shared->slots[i];
	}
	LWLockRelease(&shared->lock);
	return n;
}
