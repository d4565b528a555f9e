/*-------------------------------------------------------------------------
 *
 * journal.h
 *		The record of every write: intended before it leaves, then its outcome.
 *
 * An intent is on disk before the first byte leaves; an outcome is appended
 * without waiting for the disk.  So after a crash the intents without an
 * outcome contain every write whose outcome is unknown, and perhaps some that
 * never left.  Neither ROLLBACK nor a crash takes a record back.
 *
 * All of it needs shared state: tpm_shared_require() comes before.
 *
 * Promises: an intent is on disk before the first byte of its write leaves,
 * and its number is never given twice; after a crash the intents without an
 * outcome contain every write whose outcome is unknown.
 * Never: takes a record back (for no ROLLBACK and no crash), throws from
 * tpm_journal_outcome(), or decides what is sent.
 * Locks: its LWLock while records are numbered and appended, which writes to
 * the file; never over an fsync, which one backend does for all while the
 * others wait on a condition variable.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_JOURNAL_H
#define TPM_JOURNAL_H

#include "base/problem.h"
#include "shared/shared.h"

/* settings; their meaning and range are in tpm_fdw.c */
extern int	tpm_journal_keep;	/* seconds */
extern bool tpm_journal_values;

extern const TpmSharedArea tpm_journal_area;

/*
 * A write that is about to be sent.  Texts are in the database's encoding;
 * nothing is kept of them after the call.  Who, where from, in which
 * transaction and when is found out by the journal itself.
 */
typedef struct TpmJournalIntent
{
	Oid			serverid;
	const char *server;			/* its name */
	Oid			relid;			/* InvalidOid: none */
	const char *relation;		/* schema-qualified, quoted; NULL: none */
	const char *method;
	const char *path;			/* without secrets */
	const char *id;				/* NULL: not known yet */
	int			ncolumns;		/* columns that are set */
	const char *const *columns; /* their names */
	const char *old_json;		/* JSON text, NULL: none */
	const char *new_json;		/* these two are dropped if not
								 * tpm_fdw.journal_values */
	const char *request_id;		/* NULL: none */
	Oid			roleid;			/* who writes; InvalidOid: GetUserId() */
} TpmJournalIntent;

typedef enum TpmJournalOutcome
{
	TPM_JOURNAL_SENT,			/* the API has done it */
	TPM_JOURNAL_REFUSED,		/* the API has not, or it never left */
	TPM_JOURNAL_UNKNOWN
} TpmJournalOutcome;

/*
 * Returns the write's number (from 1, never given twice) when the intent is on
 * disk.  Assigns a transaction id.  Waits for the disk and can be cancelled
 * until the intent counts.  If it returns 0 (*problem says why: 53100 and the
 * like) or throws (a cancel), nothing may be sent; the outcome of such an
 * intent is no concern of the caller.  Never call it with a lock held or from
 * inside libcurl.
 */
extern uint64 tpm_journal_intend(const TpmJournalIntent *intent, TpmProblem **problem);

/*
 * What has become of it; texts are in the database's encoding.  0 and NULL
 * leave what the intent or an earlier outcome had.
 */
typedef struct TpmJournalResult
{
	TpmJournalOutcome outcome;
	int			status;			/* of the last answer */
	const char *id;
	const char *new_json;		/* as the API answered */
	int			sendings;		/* how often its bytes have left */
	const char *evidence;		/* what the outcome rests on: "answer",
								 * "conflict", "not sent", ... */
} TpmJournalResult;

/*
 * After TPM_JOURNAL_UNKNOWN it may be told again when more is known; after
 * another outcome nothing counts any more.  Never throws and never waits for
 * the disk, so it may be called while a transaction aborts; what goes wrong is
 * in the server's log, and the write shows as unknown.
 */
extern void tpm_journal_outcome(uint64 number, const TpmJournalResult *result);

#endif							/* TPM_JOURNAL_H */
