/*-------------------------------------------------------------------------
 *
 * requests.c
 *		The latest requests, and totals by server, role and method.
 *
 * Owns a ring of request_log_size entries and a fixed table of totals.  Totals
 * that find no room are added to an entry without a role.  Who may see what,
 * and the names behind OIDs, are stat.c's.  One lock over all; nothing in here
 * throws or waits while holding it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "shared/counters.h"

int			tpm_request_log_size = 1000;

#define TPM_STAT_ENTRIES 256

/* rows of the ring that are copied under one hold of the lock */
#define TPM_COPIED_AT_ONCE 64

typedef struct RequestsShared
{
	LWLock		lock;
	TimestampTz since;
	int			nstats;
	TpmStatRow	stats[TPM_STAT_ENTRIES];
	uint64		written;		/* requests ever put into the ring */
	TpmRequestRow ring[FLEXIBLE_ARRAY_MEMBER];
} RequestsShared;

static RequestsShared *shared = NULL;

static Size
requests_size(void)
{
	return add_size(offsetof(RequestsShared, ring),
					mul_size(tpm_request_log_size, sizeof(TpmRequestRow)));
}

static void
requests_init(void *area, int tranche, bool found)
{
	shared = area;
	if (found)
		return;
	memset(shared, 0, requests_size());
	shared->since = GetCurrentTimestamp();
	LWLockInitialize(&shared->lock, tranche);
}

const TpmSharedArea tpm_requests_area = {"tpm_fdw_requests", requests_size, requests_init};

/* cut at a character's end */
static void
copy_record_text(char *to, const char *from, size_t size)
{
	int			len = strlen(from);

	if (len >= (int) size)
		len = pg_mbcliplen(from, len, size - 1);
	memcpy(to, from, len);
	to[len] = '\0';
}

static TpmRequestRow
row_of(const TpmRequestRecord *record)
{
	TpmRequestRow row;

	memset(&row, 0, sizeof(row));
	row.at = record->at;
	row.pid = MyProcPid;
	row.roleid = record->roleid;
	row.dbid = MyDatabaseId;
	row.serverid = record->serverid;
	row.relid = record->relid;
	row.status = record->status;
	row.ms = record->ms;
	row.waited_ms = record->waited_ms;
	row.bytes_in = record->bytes_in;
	row.bytes_out = record->bytes_out;
	row.attempt = record->attempt;
	copy_record_text(row.application_name, application_name ? application_name : "",
					 sizeof(row.application_name));
	copy_record_text(row.method, record->method, sizeof(row.method));
	copy_record_text(row.path, record->path, sizeof(row.path));
	copy_record_text(row.error, record->error ? record->error : "", sizeof(row.error));
	return row;
}

/* with the lock held: the totals of these, in the last entry if there is no room */
static TpmStatRow *
stat_entry(Oid serverid, Oid roleid, const char *method)
{
	TpmStatRow *entry;

	for (int i = 0; i < shared->nstats; i++)
	{
		entry = &shared->stats[i];
		if (entry->dbid == MyDatabaseId && entry->serverid == serverid &&
			entry->roleid == roleid && strcmp(entry->method, method) == 0)
			return entry;
	}
	if (shared->nstats == TPM_STAT_ENTRIES)
		return &shared->stats[TPM_STAT_ENTRIES - 1];
	entry = &shared->stats[shared->nstats++];
	memset(entry, 0, sizeof(TpmStatRow));
	entry->since = shared->since;
	/* the last one is everybody's */
	if (shared->nstats == TPM_STAT_ENTRIES)
		return entry;
	entry->dbid = MyDatabaseId;
	entry->serverid = serverid;
	entry->roleid = roleid;
	strlcpy(entry->method, method, sizeof(entry->method));
	return entry;
}

static void
add_totals(TpmStatRow *entry, const TpmRequestRecord *record)
{
	entry->requests++;
	entry->bytes_in += record->bytes_in;
	entry->retries += record->is_retry ? 1 : 0;
	entry->status_429 += record->status == 429 ? 1 : 0;
	entry->errors += record->status == 0 || record->status >= 400 ? 1 : 0;
	entry->ms += record->ms;
	entry->waited_ms += record->waited_ms;
}

void
tpm_count_request(const TpmRequestRecord *record)
{
	TpmRequestRow row;

	if (shared == NULL)
		return;
	row = row_of(record);
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	add_totals(stat_entry(record->serverid, record->roleid, row.method), record);
	if (tpm_request_log_size > 0)
		shared->ring[shared->written++ % tpm_request_log_size] = row;
	LWLockRelease(&shared->lock);
}

void
tpm_count_rows(Oid serverid, Oid roleid, int64 rows, int64 cache_hits)
{
	TpmStatRow *entry;

	if (shared == NULL || (rows == 0 && cache_hits == 0))
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = stat_entry(serverid, roleid, "GET");
	entry->rows += rows;
	entry->cache_hits += cache_hits;
	LWLockRelease(&shared->lock);
}

/*
 * Copies rows from the next-th request ever on, up to the end-th; returns how
 * many.  Those that were overwritten meanwhile are left out.
 */
static int
copy_some(TpmRequestRow *rows, uint64 *next, uint64 end)
{
	uint64		size = tpm_request_log_size;
	int			n = 0;

	LWLockAcquire(&shared->lock, LW_SHARED);
	if (shared->written > size)
		*next = Max(*next, shared->written - size);
	while (n < TPM_COPIED_AT_ONCE && *next < end)
		rows[n++] = shared->ring[(*next)++ % size];
	LWLockRelease(&shared->lock);
	return n;
}

int
tpm_requests_rows(TpmRequestRow **rows)
{
	uint64		next;
	uint64		end;
	int			n = 0;

	tpm_shared_require();
	LWLockAcquire(&shared->lock, LW_SHARED);
	end = shared->written;
	LWLockRelease(&shared->lock);
	next = end - Min(end, (uint64) tpm_request_log_size);

	*rows = palloc_extended(mul_size(Max(end - next, 1), sizeof(TpmRequestRow)), MCXT_ALLOC_HUGE);
	while (next < end)
	{
		CHECK_FOR_INTERRUPTS();
		n += copy_some(*rows + n, &next, end);
	}
	return n;
}

int
tpm_stat_rows(TpmStatRow **rows)
{
	int			n;

	tpm_shared_require();
	*rows = palloc(sizeof(TpmStatRow) * TPM_STAT_ENTRIES);
	LWLockAcquire(&shared->lock, LW_SHARED);
	n = shared->nstats;
	memcpy(*rows, shared->stats, sizeof(TpmStatRow) * n);
	LWLockRelease(&shared->lock);
	return n;
}

void
tpm_stat_reset(void)
{
	TimestampTz now = GetCurrentTimestamp();

	tpm_shared_require();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->nstats = 0;
	shared->since = now;
	LWLockRelease(&shared->lock);
}
