/*-------------------------------------------------------------------------
 *
 * journal_flush.c
 *		Waiting until appended records are on disk, one fsync for many.
 *
 * Owns who calls fsync, and how the others learn of it.  What is written is
 * journal_file.c's.
 *
 * fsync is never under the journal's lock.  One backend at a time flushes, for
 * all the records that were appended before it began; the others wait on a
 * condition variable.  Places are offsets in one file; when the day changes,
 * those still waiting for the old file flush it themselves.
 *
 * A record whose fsync failed never counts, whatever later ones return: the
 * kernel may have forgotten its pages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "journal/journal_internal.h"

static bool
sync_directory(const char *path, TpmJournalProblem *problem)
{
	int			fd = BasicOpenFile(path, O_RDONLY | O_CLOEXEC | PG_BINARY);
	int			error = 0;

	if (fd < 0)
		return tpm_journal_failed(problem, errno, "open", path);
	/* as in fd.c: there are systems that cannot do it */
	if (pg_fsync(fd) < 0 && errno != EBADF && errno != EINVAL)
		error = errno;
	close(fd);
	return error == 0 || tpm_journal_failed(problem, error, "fsync", path);
}

static uint32
wait_event(void)
{
	static uint32 event = 0;

	return tpm_wait_event("TpmJournal", &event);
}

/* this backend's file, and its name in the directories */
static bool
sync_file(bool name, TpmJournalProblem *problem)
{
	bool		done;

	pgstat_report_wait_start(wait_event());
	done = pg_fsync(tpm_journal_fd) == 0 ||
		tpm_journal_failed(problem, errno, "fsync", TPM_JOURNAL_DIRECTORY);
	if (done && name)
		done = sync_directory(TPM_JOURNAL_DIRECTORY, problem) && sync_directory(".", problem);
	pgstat_report_wait_end();
	return done;
}

/* what a flush up to there has come to */
static void
note_flush(const TpmJournalPlace *place, bool done, int error)
{
	if (place->generation != tpm_journal->generation)
		return;
	if (done)
	{
		tpm_journal->flushed = place->end;
		tpm_journal->entered = true;
		return;
	}
	if (tpm_journal->failed_to == 0)
		tpm_journal->failed_from = tpm_journal->flushed;
	tpm_journal->failed_to = place->end;
	tpm_journal->failed_error = error;
}

/* for everybody who has appended by now */
static void
flush_for_all(void)
{
	TpmJournalProblem problem = {0};
	TpmJournalPlace target = {tpm_journal->generation, tpm_journal->end};
	bool		name = !tpm_journal->entered;
	bool		done;

	tpm_journal->flushing = true;
	LWLockRelease(&tpm_journal->lock);
	done = sync_file(name, &problem);
	LWLockAcquire(&tpm_journal->lock, LW_EXCLUSIVE);
	tpm_journal->flushing = false;
	note_flush(&target, done, problem.error);
	ConditionVariableBroadcast(&tpm_journal->flushed_cv);
}

/* true: it is known whether this place is on disk; else it pays to wait */
static bool
flush_or_ask(const TpmJournalPlace *place, TpmJournalProblem *problem)
{
	bool		known = true;

	LWLockAcquire(&tpm_journal->lock, LW_EXCLUSIVE);
	if (place->generation == tpm_journal->generation && place->end > tpm_journal->flushed &&
		place->end > tpm_journal->failed_to && !tpm_journal->flushing)
		flush_for_all();

	if (place->generation != tpm_journal->generation)
	{
		LWLockRelease(&tpm_journal->lock);
		sync_file(true, problem);
		return true;
	}
	if (place->end > tpm_journal->failed_from && place->end <= tpm_journal->failed_to)
	{
		tpm_journal_failed(problem, tpm_journal->failed_error, "fsync", "");
		tpm_journal_file_path(problem->path, tpm_journal->day);
	}
	else
		known = place->end <= tpm_journal->flushed;
	LWLockRelease(&tpm_journal->lock);
	return known;
}

bool
tpm_journal_flush(const TpmJournalPlace *place, TpmJournalProblem *problem)
{
	memset(problem, 0, sizeof(*problem));
	ConditionVariablePrepareToSleep(&tpm_journal->flushed_cv);
	while (!flush_or_ask(place, problem))
		ConditionVariableSleep(&tpm_journal->flushed_cv, wait_event());
	ConditionVariableCancelSleep();
	return problem->error == 0;
}
