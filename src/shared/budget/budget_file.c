/*-------------------------------------------------------------------------
 *
 * budget_file.c
 *		The budgets' log on disk, so that a restart forgets nothing.
 *
 * Owns pg_stat/tpm_fdw.budget.  PostgreSQL leaves it alone, also in crash
 * recovery, which removes only its own file of that directory.  Nothing in it
 * comes from a secret and no name stands in it: base backups contain it.
 *
 * The file has a header block and, for each record, a block with its state and
 * TPM_LOG_SIZE slots at fixed places.  A slot is written by one backend, the
 * one that was given it under the budget's lock, and after it has let go of
 * that lock; state blocks are written rarely, and under it.  Every slot names
 * its group and carries a checksum, so what an earlier group left, or what a
 * crash tore, is passed over.  Nothing is fsynced but the new file at start.
 *
 * Times are kept on both clocks.  The monotonic one is believed while the
 * machine has not booted again; else the age by the wall clock, clamped to
 * 0..1 h, so that a clock that was set lengthens or forgets no more than that.
 *
 * Nothing here throws once the server has started: tpm_budget_file_stamp() is
 * called from inside libcurl.  A failure is kept for tpm_budget_file_report().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "shared/budget/budget_internal.h"

#define FILE_NAME	"pg_stat/tpm_fdw.budget"
#define FILE_MAGIC	"tpmbdg1"
#define BLOCK_SIZE	512
#define REGION_SIZE (BLOCK_SIZE + TPM_LOG_SIZE * sizeof(FileStamp))

typedef struct FileHeader
{
	char		magic[8];
	char		boot[40];		/* which boot of the machine; "" unknown */
	pg_crc32c	crc;
} FileHeader;

typedef struct FileState
{
	uint64		id;
	int64		paused_mono;	/* 0: not */
	int64		paused_wall;
	char		scope[16];
	TpmBudgetServer servers[TPM_BUDGET_SERVERS];
	pg_crc32c	crc;
} FileState;

typedef struct FileStamp
{
	uint64		id;
	int64		mono;
	int64		wall;
	uint32		count;			/* requests; 0: taken back */
	pg_crc32c	crc;
} FileStamp;

StaticAssertDecl(sizeof(FileHeader) <= BLOCK_SIZE, "header fits its block");
StaticAssertDecl(sizeof(FileState) <= BLOCK_SIZE, "state fits its block");

static int	budget_fd = -1;
static int	write_errno = 0;	/* of the first write that failed */
static bool write_reported = false;

#define SET_CRC(thing) ((thing)->crc = block_crc(thing, offsetof(typeof(*(thing)), crc)))
#define CRC_OK(thing) ((thing)->crc == block_crc(thing, offsetof(typeof(*(thing)), crc)))

static pg_crc32c
block_crc(const void *data, size_t len)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, len);
	FIN_CRC32C(crc);
	return crc;
}

static off_t
region_at(int recno)
{
	return BLOCK_SIZE + (off_t) recno * REGION_SIZE;
}

static void
write_at(int fd, const void *data, size_t len, off_t offset)
{
	ssize_t		written;

	if (fd < 0)
		return;
	do
	{
		errno = 0;
		written = pg_pwrite(fd, data, len, offset);
	} while (written < 0 && errno == EINTR);

	if (written != (ssize_t) len && write_errno == 0)
		write_errno = errno != 0 ? errno : ENOSPC;
}

static int64
wall_of(int64 monotonic)
{
	return GetCurrentTimestamp() + (monotonic - tpm_monotonic_us());
}

static void
write_stamp(int fd, const TpmFileSlot *slot, int64 stamp, uint32 count)
{
	FileStamp	out = {0};

	out.id = slot->id;
	out.mono = stamp;
	out.wall = wall_of(stamp);
	out.count = count;
	SET_CRC(&out);
	write_at(fd, &out, sizeof(out),
			 region_at(slot->recno) + BLOCK_SIZE + (off_t) slot->slot * sizeof(out));
}

static void
write_state(int fd, const TpmBudgetRecord *record, int recno)
{
	FileState	out;

	memset(&out, 0, sizeof(out));
	out.id = record->id;
	out.paused_mono = record->paused_until_us;
	out.paused_wall = record->paused_until_us == 0 ? 0 : wall_of(record->paused_until_us);
	memcpy(out.scope, record->scope, sizeof(out.scope));
	memcpy(out.servers, record->servers, sizeof(out.servers));
	SET_CRC(&out);
	write_at(fd, &out, sizeof(out), region_at(recno));
}

/* how many requests one stamp of the file stands for: 1 up to TPM_LOG_SIZE an hour */
static uint32
requests_per_stamp(const TpmBudgetRecord *record)
{
	int			most = 1;

	for (int i = 0; i < TPM_BUDGET_SERVERS; i++)
	{
		const TpmLimits *limits = &record->servers[i].limits;

		most = Max(most, Max(limits->per_second, Max(limits->per_minute, limits->per_hour)));
	}
	return (most + TPM_LOG_SIZE - 1) / TPM_LOG_SIZE;
}

TpmFileSlot
tpm_budget_file_slot(TpmBudgetRecord *record, int recno)
{
	TpmFileSlot slot = {recno, record->id, -1, requests_per_stamp(record)};

	if (record->file_credit > 0)
	{
		record->file_credit--;
		return slot;
	}
	record->file_credit = slot.count - 1;
	slot.slot = record->file_next;
	record->file_next = (record->file_next + 1) % TPM_LOG_SIZE;
	return slot;
}

void
tpm_budget_file_stamp(const TpmFileSlot *slot, int64 stamp)
{
	if (slot->slot >= 0)
		write_stamp(budget_fd, slot, stamp, slot->count);
}

/* a stamp that stands for others too stays */
void
tpm_budget_file_erase(const TpmFileSlot *slot)
{
	if (slot->slot >= 0 && slot->count == 1)
		write_stamp(budget_fd, slot, tpm_monotonic_us(), 0);
}

void
tpm_budget_file_state(const TpmBudgetRecord *record, int recno)
{
	write_state(budget_fd, record, recno);
}

/* forgets a record's stamps; its state is for the caller to write */
void
tpm_budget_file_clear(int recno)
{
	static const char zeros[REGION_SIZE];

	write_at(budget_fd, zeros, REGION_SIZE, region_at(recno));
}

/* once per backend; kept open, for there is no opening it inside libcurl */
void
tpm_budget_file_open(void)
{
	if (budget_fd >= 0)
		return;
	budget_fd = BasicOpenFile(FILE_NAME, O_RDWR | O_CREAT | PG_BINARY);
	if (budget_fd < 0)
		write_errno = errno;
	else
		ReserveExternalFD();
}

/* says once in this backend that the file cannot be written */
void
tpm_budget_file_report(void)
{
	if (write_errno == 0 || write_reported)
		return;
	write_reported = true;
	errno = write_errno;
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not write file \"%s\": %m", FILE_NAME),
			 errdetail("Limits are kept all the same; a restart of the server may forget requests of the last hour.")));
}

/*
 * Start of the server
 */

static void
current_boot(char *boot, size_t size)
{
	int			fd = BasicOpenFile("/proc/sys/kernel/random/boot_id", O_RDONLY | PG_BINARY);
	ssize_t		len;

	memset(boot, 0, size);
	if (fd < 0)
		return;
	len = read(fd, boot, size - 1);
	if (len < 36)
		memset(boot, 0, size);
	close(fd);
}

/* how long ago, by the clock that can be believed; negative: in the future */
static int64
age_of_mark(int64 mono, int64 wall, bool same_boot)
{
	int64		age = tpm_monotonic_us() - mono;

	if (same_boot && age > -TPM_HOUR_US)
		return age;
	age = GetCurrentTimestamp() - wall;
	return Min(Max(age, -TPM_HOUR_US), TPM_HOUR_US + 2 * TPM_SECOND_US);
}

static int
compare_mono(const void *a, const void *b)
{
	int64		left = ((const FileStamp *) a)->mono;
	int64		right = ((const FileStamp *) b)->mono;

	return (left > right) - (left < right);
}

/*
 * Reads the stamps of a region into a record; their times become this boot's.
 * True if there is anything to remember.
 */
static bool
load_region(char *region, bool same_boot, TpmBudgetRecord *record)
{
	const FileState *state = (const FileState *) region;
	FileStamp  *stamps = (FileStamp *) (region + BLOCK_SIZE);
	int64		now = tpm_monotonic_us();
	int			live = 0;

	if (state->id == 0 || !CRC_OK(state))
		return false;

	for (int i = 0; i < TPM_LOG_SIZE; i++)
	{
		FileStamp	stamp = stamps[i];
		int64		age;

		if (stamp.id != state->id || stamp.count == 0 || !CRC_OK(&stamp))
			continue;
		age = Max(0, age_of_mark(stamp.mono, stamp.wall, same_boot));
		if (age > TPM_HOUR_US + TPM_SECOND_US)
			continue;
		stamps[live] = stamp;
		stamps[live++].mono = now - age;
	}
	qsort(stamps, live, sizeof(FileStamp), compare_mono);

	record->id = state->id;
	memcpy(record->scope, state->scope, sizeof(record->scope));
	memcpy(record->servers, state->servers, sizeof(record->servers));
	record->paused_until_us = 0;
	if (state->paused_mono != 0)
	{
		int64		left = -age_of_mark(state->paused_mono, state->paused_wall, same_boot);

		if (left > 0)
			record->paused_until_us = now + Min(left, TPM_HOUR_US);
	}
	for (int i = 0; i < live; i++)
		tpm_log_add(record, stamps[i].mono, stamps[i].count);
	return live > 0 || record->paused_until_us != 0;
}

/* returns the number of records loaded */
static int
load_records(int fd, const char *boot, TpmBudgetRecord *records, int nrecords)
{
	FileHeader	header;
	char	   *region;
	bool		same_boot;
	int			loaded = 0;

	if (read(fd, &header, sizeof(header)) != sizeof(header) || !CRC_OK(&header) ||
		memcmp(header.magic, FILE_MAGIC, sizeof(header.magic)) != 0)
		return 0;
	same_boot = boot[0] != '\0' && strncmp(header.boot, boot, sizeof(header.boot)) == 0;

	region = palloc(REGION_SIZE);
	for (int i = 0;; i++)
	{
		ssize_t		len = pg_pread(fd, region, REGION_SIZE, region_at(i));

		if (len < BLOCK_SIZE)
			break;
		memset(region + len, 0, REGION_SIZE - len);
		if (loaded == nrecords)
		{
			ereport(LOG,
					(errmsg("some budgets of tpm_fdw were forgotten: \"%s\" holds more than %d", FILE_NAME, nrecords),
					 errhint("Increase tpm_fdw.max_budgets.")));
			break;
		}
		if (load_region(region, same_boot, &records[loaded]))
			loaded++;
		else
		{
			records[loaded].id = 0;
			tpm_log_clear(&records[loaded]);
		}
	}
	pfree(region);
	return loaded;
}

static void
write_budget_record(int fd, TpmBudgetRecord *record, int recno)
{
	uint32		before = record->base;

	write_state(fd, record, recno);
	for (int i = 0; i < record->entries; i++)
	{
		int			at = (record->first + i) % TPM_LOG_SIZE;
		TpmFileSlot slot = {recno, record->id, i, 1};

		write_stamp(fd, &slot, record->stamp[at], record->sum[at] - before);
		before = record->sum[at];
	}
	record->file_next = record->entries % TPM_LOG_SIZE;
}

/*
 * In the postmaster, on fresh shared memory.  The file is written anew, so
 * that places in it are those in memory and its times are of this boot.
 */
void
tpm_budget_file_load(TpmBudgetRecord *records, int nrecords)
{
	FileHeader	header = {.magic = FILE_MAGIC};
	int			fd = BasicOpenFile(FILE_NAME, O_RDONLY | PG_BINARY);
	int			loaded = 0;

	current_boot(header.boot, sizeof(header.boot));
	SET_CRC(&header);
	if (fd >= 0)
	{
		loaded = load_records(fd, header.boot, records, nrecords);
		close(fd);
	}

	write_errno = 0;
	fd = BasicOpenFile(FILE_NAME ".tmp", O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
		write_errno = errno;
	write_at(fd, &header, sizeof(header), 0);
	for (int i = 0; i < loaded; i++)
		write_budget_record(fd, &records[i], i);
	if (fd >= 0)
		close(fd);
	if (write_errno == 0)
		durable_rename(FILE_NAME ".tmp", FILE_NAME, LOG);
	tpm_budget_file_report();

	/* backends are forked from here and report for themselves */
	write_errno = 0;
	write_reported = false;
}
