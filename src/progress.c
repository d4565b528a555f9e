/*-------------------------------------------------------------------------
 *
 * progress.c
 *		Statements at work, for tpm_fdw_progress.
 *
 * Owns a fixed table of slots.  A slot belongs to the backend that took it,
 * which gives it back at the end of its scan, of its transaction or of its
 * life.  One lock over all; nothing in here throws or waits while holding it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "counters.h"

struct TpmProgress
{
	int			pid;			/* 0: free */
	TpmProgressRow row;
};

typedef struct ProgressShared
{
	LWLock		lock;
	int			nslots;
	TpmProgress slots[FLEXIBLE_ARRAY_MEMBER];
} ProgressShared;

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
	return add_size(offsetof(ProgressShared, slots), mul_size(slots_wanted(), sizeof(TpmProgress)));
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
		if (shared->slots[i].pid == MyProcPid)
			shared->slots[i].pid = 0;
	LWLockRelease(&shared->lock);
}

/* a scan that ended in an error has not ended by itself */
static void
free_at_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT)
		free_all(0, 0);
}

static void
register_exit(void)
{
	if (exit_registered)
		return;
	before_shmem_exit(free_all, 0);
	RegisterXactCallback(free_at_end, NULL);
	exit_registered = true;
}

TpmProgress *
tpm_progress_start(Oid relid, const char *operation)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			roleid = GetUserId();
	TpmProgress *slot = NULL;

	if (shared == NULL)
		return NULL;
	register_exit();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots && slot == NULL; i++)
		if (shared->slots[i].pid == 0)
			slot = &shared->slots[i];
	if (slot)
	{
		memset(slot, 0, sizeof(TpmProgress));
		slot->pid = MyProcPid;
		slot->row.pid = MyProcPid;
		slot->row.roleid = roleid;
		slot->row.dbid = MyDatabaseId;
		slot->row.relid = relid;
		slot->row.started = now;
		strlcpy(slot->row.operation, operation, sizeof(slot->row.operation));
	}
	LWLockRelease(&shared->lock);
	return slot;
}

/* with the lock held; a transaction's end may have taken the slot away */
static bool
is_mine(const TpmProgress *slot)
{
	return slot->pid == MyProcPid;
}

void
tpm_progress_update(TpmProgress *progress, int64 requests_done, int64 requests_expected,
					int64 rows_done, TimestampTz expected_end)
{
	if (progress == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (is_mine(progress))
	{
		progress->row.requests_done = requests_done;
		progress->row.requests_expected = requests_expected;
		progress->row.rows_done = rows_done;
		progress->row.expected_end = expected_end;
	}
	LWLockRelease(&shared->lock);
}

void
tpm_progress_waiting(TpmProgress *progress, const char *waiting_for)
{
	if (progress == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (is_mine(progress))
		strlcpy(progress->row.waiting_for, waiting_for ? waiting_for : "",
				sizeof(progress->row.waiting_for));
	LWLockRelease(&shared->lock);
}

void
tpm_progress_end(TpmProgress *progress)
{
	if (progress == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (is_mine(progress))
		progress->pid = 0;
	LWLockRelease(&shared->lock);
}

int
tpm_progress_rows(TpmProgressRow **rows)
{
	int			n = 0;

	tpm_shared_require();
	*rows = palloc(sizeof(TpmProgressRow) * shared->nslots);
	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < shared->nslots; i++)
		if (shared->slots[i].pid != 0)
			(*rows)[n++] = shared->slots[i].row;
	LWLockRelease(&shared->lock);
	return n;
}
