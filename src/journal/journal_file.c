/*-------------------------------------------------------------------------
 *
 * journal_file.c
 *		The journal's files: one a day (UTC), appended by one write, old ones removed.
 *
 * Owns the shared state of the tail and its lock.  Flushing is journal.c's, what
 * records say journal_record.c's matter.
 *
 * Under the lock records are numbered and appended, the day's file is made,
 * and, once after a start, the newest file is searched for its end: what a
 * crash tore is cut off, so that the records after it are readable.  No fsync
 * is under it.
 *
 * What the clock says never leads back to an older file, so the highest number
 * is always in the newest one.
 *
 * Nothing here throws, for outcomes are appended while a transaction aborts.
 *
 * The names of the files in tpm_fdw/ and how long they are kept are its own, too;
 * that part takes no lock and never throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/transam.h"
#include "pgtime.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

#include "journal/journal_internal.h"

int			tpm_journal_keep = 90 * 86400;

#define FILE_PREFIX "journal-"

/* ----- names, and how long a file is kept ----- */

/* days are YYYYMMDD, in UTC */
static int
journal_day(TimestampTz at)
{
	pg_time_t	seconds = timestamptz_to_time_t(at);
	struct pg_tm *tm = pg_gmtime(&seconds);

	return ((tm->tm_year + 1900) * 100 + tm->tm_mon + 1) * 100 + tm->tm_mday;
}

void
tpm_journal_file_path(char *path, int day)
{
	snprintf(path, TPM_JOURNAL_PATH, TPM_JOURNAL_DIRECTORY "/" FILE_PREFIX "%08d", day);
}

int
tpm_journal_file_day(const char *name)
{
	const char *digits = name + strlen(FILE_PREFIX);

	if (strncmp(name, FILE_PREFIX, strlen(FILE_PREFIX)) != 0 || strlen(digits) != 8 ||
		strspn(digits, "0123456789") != 8)
		return 0;
	return atoi(digits);
}

static bool
newest_day_before(int before, int *day, TpmJournalProblem *problem)
{
	DIR		   *directory = opendir(TPM_JOURNAL_DIRECTORY);
	struct dirent *entry;

	*day = 0;
	if (directory == NULL)
		return errno == ENOENT || tpm_journal_failed(problem, errno, "open", TPM_JOURNAL_DIRECTORY);
	while ((errno = 0, entry = readdir(directory)) != NULL)
	{
		int			found = tpm_journal_file_day(entry->d_name);

		if (found > *day && found < before)
			*day = found;
	}
	if (errno != 0)
		tpm_journal_failed(problem, errno, "read", TPM_JOURNAL_DIRECTORY);
	closedir(directory);
	return problem->error == 0;
}

static void
remove_file(int day)
{
	char		path[TPM_JOURNAL_PATH];

	tpm_journal_file_path(path, day);
	if (unlink(path) < 0 && errno != ENOENT)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", path)));
}

/* removes files older than journal_keep; not with the lock held */
static void
remove_old_days(void)
{
	int			limit = journal_day(GetCurrentTimestamp() - tpm_journal_keep * USECS_PER_SEC);
	TpmJournalProblem problem = {0};
	int			day;

	while (newest_day_before(limit, &day, &problem) && day != 0)
	{
		remove_file(day);
		limit = day;
	}
}

/* ----- the tail ----- */

TpmJournalShared *tpm_journal = NULL;

/* the file as this backend has it open */
int			tpm_journal_fd = -1;
static uint64 journal_generation = 0;	/* 0: not the one being written */

static Size
journal_size(void)
{
	return sizeof(TpmJournalShared);
}

static void
journal_init(void *area, int tranche, bool found)
{
	tpm_journal = area;
	if (found)
		return;
	memset(tpm_journal, 0, sizeof(TpmJournalShared));
	LWLockInitialize(&tpm_journal->lock, tranche);
	ConditionVariableInit(&tpm_journal->flushed_cv);
}

const TpmSharedArea tpm_journal_area = {"tpm_fdw_journal", journal_size, journal_init};

bool
tpm_journal_failed(TpmJournalProblem *problem, int error, const char *doing, const char *path)
{
	problem->error = error;
	problem->doing = doing;
	strlcpy(problem->path, path, sizeof(problem->path));
	return false;
}

/* ----- the end of the journal; all with the lock held ----- */

static bool
open_day_file(int day, int flags, TpmJournalProblem *problem)
{
	char		path[TPM_JOURNAL_PATH];

	if (tpm_journal_fd >= 0)
		close(tpm_journal_fd);
	else
		ReserveExternalFD();
	journal_generation = 0;
	tpm_journal_file_path(path, day);
	tpm_journal_fd = BasicOpenFile(path, O_RDWR | O_CLOEXEC | PG_BINARY | flags);
	if (tpm_journal_fd >= 0)
		return true;
	tpm_journal_failed(problem, errno, "open", path);
	ReleaseExternalFD();
	return false;
}

/* finds the end of the file that is open, and the highest number in it */
static bool
read_to_end(int day, off_t *end, uint64 *highest, TpmJournalProblem *problem)
{
	TpmJournalReader reader = {0};
	char		path[TPM_JOURNAL_PATH];
	struct stat status;

	tpm_journal_file_path(path, day);
	if (fstat(tpm_journal_fd, &status) < 0)
		return tpm_journal_failed(problem, errno, "stat", path);
	reader.fd = tpm_journal_fd;
	reader.end = status.st_size;
	while (tpm_journal_read(&reader))
		*highest = Max(*highest, reader.head.number);
	tpm_journal_read_end(&reader);
	if (reader.error != 0)
		return tpm_journal_failed(problem, reader.error, "read", path);
	*end = reader.good_end;
	if (status.st_size > *end && ftruncate(tpm_journal_fd, *end) < 0)
		return tpm_journal_failed(problem, errno, "truncate", path);
	return true;
}

/* makes the file that is open the one that is written */
static bool
adopt_file(int day, TpmJournalProblem *problem)
{
	uint64		highest = 0;
	off_t		end = 0;

	if (!read_to_end(day, &end, &highest, problem))
		return false;
	journal_generation = ++tpm_journal->generation;
	tpm_journal->day = day;
	tpm_journal->end = end;
	tpm_journal->next = Max(tpm_journal->next, highest + 1);
	tpm_journal->flushed = 0;
	tpm_journal->entered = false;
	tpm_journal->failed_from = tpm_journal->failed_to = 0;
	return true;
}

/* once after the server's start: where the journal ended */
static bool
locate_end(TpmJournalProblem *problem)
{
	int			before = INT_MAX;

	if (tpm_journal->located)
		return true;
	tpm_journal->next = 1;
	for (;;)
	{
		uint64		highest = 0;
		off_t		end;
		int			day;

		if (!newest_day_before(before, &day, problem))
			return false;
		if (day == 0)
			break;
		if (!open_day_file(day, 0, problem))
			return false;
		if (before == INT_MAX ? !adopt_file(day, problem) :
			!read_to_end(day, &end, &highest, problem))
			return false;
		tpm_journal->next = Max(tpm_journal->next, highest + 1);

		/* a file that was made and not filled before a crash tells nothing */
		if (tpm_journal->next > 1)
			break;
		before = day;
	}
	tpm_journal->first = tpm_journal->next;
	tpm_journal->located = true;
	return true;
}

static bool
write_journal_record(const char *bytes, Size length, TpmJournalProblem *problem)
{
	char		path[TPM_JOURNAL_PATH];
	Size		done = 0;

	while (done < length)
	{
		ssize_t		written;

		errno = 0;
		written = pg_pwrite(tpm_journal_fd, bytes + done, length - done, tpm_journal->end + done);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			tpm_journal_file_path(path, tpm_journal->day);
			tpm_journal_failed(problem, errno != 0 ? errno : ENOSPC, "write to", path);
			/* the next record begins here, whether or not this succeeds */
			if (ftruncate(tpm_journal_fd, tpm_journal->end) < 0)
				ereport(LOG,
						(errcode_for_file_access(),
						 errmsg("could not truncate file \"%s\": %m", path)));
			return false;
		}
		done += written;
	}
	tpm_journal->end += length;
	return true;
}

/* a file says first which numbers came before, should it remain without others */
static bool
write_beginning(TpmJournalProblem *problem)
{
	TpmJournalEntry entry;
	char		record[sizeof(TpmJournalHead) + (TPM_JOURNAL_TEXTS + 1) * sizeof(uint32)];

	tpm_journal_entry(&entry, TPM_JOURNAL_BEGIN);
	entry.head.number = tpm_journal->next - 1;
	Assert(tpm_journal_encode(&entry, NULL) <= sizeof(record));
	tpm_journal_encode(&entry, record);
	return write_journal_record(record, tpm_journal_seal(record, 0), problem);
}

static bool
make_file(int day, TpmJournalProblem *problem)
{
	if (MakePGDirectory(TPM_JOURNAL_DIRECTORY) < 0 && errno != EEXIST)
		return tpm_journal_failed(problem, errno, "create", TPM_JOURNAL_DIRECTORY);
	return open_day_file(day, O_CREAT, problem) && adopt_file(day, problem);
}

/* is the file that this backend has open the one to be written, and still there? */
static bool
file_is_open(void)
{
	struct stat status;

	return tpm_journal_fd >= 0 && journal_generation == tpm_journal->generation &&
		fstat(tpm_journal_fd, &status) == 0 && status.st_nlink > 0;
}

static bool
reopen_file(TpmJournalProblem *problem)
{
	TpmJournalProblem ignored;
	struct stat status;

	if (!open_day_file(tpm_journal->day, 0, &ignored))
		return make_file(tpm_journal->day, problem);
	/* somebody may have put another in its place */
	if (fstat(tpm_journal_fd, &status) < 0 || status.st_size < tpm_journal->end)
		return adopt_file(tpm_journal->day, problem);
	journal_generation = tpm_journal->generation;
	return true;
}

/* opens, or makes, the file of today; *made: it is a new one */
static bool
use_file(bool *made, TpmJournalProblem *problem)
{
	int			today = journal_day(GetCurrentTimestamp());

	*made = false;
	if (!locate_end(problem))
		return false;
	if (today > tpm_journal->day)
	{
		*made = true;
		if (!make_file(today, problem))
			return false;
	}
	else if (!file_is_open() && !reopen_file(problem))
		return false;
	return tpm_journal->end > 0 || write_beginning(problem);
}

static void
number_records(char *records, Size length, uint64 *numbers)
{
	TpmJournalHead head;

	for (Size at = 0; at < length;)
	{
		uint64		number = 0;

		memcpy(&head, records + at, sizeof(head));
		if (head.kind == TPM_JOURNAL_INTENT)
			number = *numbers++ = tpm_journal->next++;
		at += tpm_journal_seal(records + at, number);
	}
}

bool
tpm_journal_append(char *records, Size length, uint64 *numbers,
				   TpmJournalPlace *place, TpmJournalProblem *problem)
{
	bool		made = false;
	bool		written;

	memset(problem, 0, sizeof(*problem));
	LWLockAcquire(&tpm_journal->lock, LW_EXCLUSIVE);
	written = use_file(&made, problem);
	if (written)
	{
		/* a number that was not written is not given again */
		number_records(records, length, numbers);
		written = write_journal_record(records, length, problem);
	}
	place->generation = tpm_journal->generation;
	place->end = tpm_journal->end;
	LWLockRelease(&tpm_journal->lock);

	if (made)
		remove_old_days();
	return written;
}

/* ----- for readers ----- */

bool
tpm_journal_tail(int *day, off_t *end)
{
	bool		known = false;

	if (tpm_journal == NULL)
		return false;
	LWLockAcquire(&tpm_journal->lock, LW_SHARED);
	if (tpm_journal->located && tpm_journal->day != 0)
	{
		known = true;
		*day = tpm_journal->day;
		*end = tpm_journal->end;
	}
	LWLockRelease(&tpm_journal->lock);
	return known;
}

/*
 * A process id is given again, and so is, after a crash, a transaction id; but
 * none of the numbers since the start of the server is older than it.
 */
bool
tpm_journal_is_alive(const TpmJournalHead *intent)
{
	uint64		first;
	bool		located;

	if (tpm_journal == NULL)
		return false;
	LWLockAcquire(&tpm_journal->lock, LW_SHARED);
	located = tpm_journal->located;
	first = tpm_journal->first;
	LWLockRelease(&tpm_journal->lock);
	return located && intent->number >= first &&
		BackendXidGetPid((TransactionId) intent->transaction_id) == intent->pid;
}
