/*-------------------------------------------------------------------------
 *
 * journal_internal.h
 *		What the files of the journal share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_JOURNAL_INTERNAL_H
#define TPM_JOURNAL_INTERNAL_H

#include "datatype/timestamp.h"
#include "nodes/execnodes.h"
#include "port/pg_crc32c.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#include "journal/journal.h"
#include "journal/journal_record.h"

/* ----- journal_file.c ----- */

/* the tail; the lock is for all of it */
typedef struct TpmJournalShared
{
	LWLock		lock;
	ConditionVariable flushed_cv;
	bool		located;		/* the next six are known */
	int			day;			/* of the file being written, 0: none yet */
	uint64		generation;		/* of that file: changes when it does */
	off_t		end;			/* of its last record */
	uint64		next;			/* number */
	uint64		first;			/* number given since the server's start */

	bool		flushing;		/* somebody is */
	off_t		flushed;		/* up to here it is on disk */
	bool		entered;		/* and the file's name, too */
	off_t		failed_from;	/* what ends after this, and up to the next, */
	off_t		failed_to;		/* may be lost: nothing that waits counts */
	int			failed_error;
} TpmJournalShared;

extern TpmJournalShared *tpm_journal;	/* NULL: not preloaded */

/* the file as this backend has it open */
extern int	tpm_journal_fd;

/* where a record ends: what has to be on disk for it to count */
typedef struct TpmJournalPlace
{
	uint64		generation;		/* of the file */
	off_t		end;
} TpmJournalPlace;

/* what went wrong */
typedef struct TpmJournalProblem
{
	int			error;			/* errno */
	const char *doing;			/* "write to" */
	char		path[TPM_JOURNAL_PATH];
} TpmJournalProblem;

/*
 * Appends encoded records with one write, all of them or none; intents are
 * given their numbers (numbers may be NULL if there is none).  Never throws.
 */
extern bool tpm_journal_append(char *records, Size length, uint64 *numbers,
							   TpmJournalPlace *place, TpmJournalProblem *problem);

/* notes what went wrong; returns false */
extern bool tpm_journal_failed(TpmJournalProblem *problem, int error, const char *doing,
							   const char *path);

#endif							/* TPM_JOURNAL_INTERNAL_H */
