/*-------------------------------------------------------------------------
 *
 * journal.c
 *		What is told to the journal: intents, outcomes, and when they are on disk.
 *
 * Owns what is recorded, and when it counts.  The bytes of a record are
 * journal_record.c's, files and their lock journal_file.c's, and who may
 * read what journal_view.c's.
 *
 * An intent that was appended and did not reach the disk (an error, a cancel)
 * was never sent, and gets that outcome.
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

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "journal/journal_internal.h"

bool		tpm_journal_values = true;

/* ----- on disk, one fsync for many ----- */

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
journal_wait_event(void)
{
	static uint32 event = 0;

	return tpm_wait_event("TpmJournal", &event);
}

/* this backend's file, and its name in the directories */
static bool
sync_file(bool name, TpmJournalProblem *problem)
{
	bool		done;

	pgstat_report_wait_start(journal_wait_event());
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

/* waits until it is on disk; throws nothing but what interrupts bring */
static bool
flush_journal(const TpmJournalPlace *place, TpmJournalProblem *problem)
{
	memset(problem, 0, sizeof(*problem));
	ConditionVariablePrepareToSleep(&tpm_journal->flushed_cv);
	while (!flush_or_ask(place, problem))
		ConditionVariableSleep(&tpm_journal->flushed_cv, journal_wait_event());
	ConditionVariableCancelSleep();
	return problem->error == 0;
}

/* ----- intents and outcomes ----- */

/* what is the same for all intents of a group */
typedef struct Circumstances
{
	uint64		transaction_id;
	const char *session_role;
	const char *client_addr;
	const char *database;
} Circumstances;

/* text of inet, NULL: a Unix socket, or no client */
static char *
client_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		address;

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(fcinfo);
	return fcinfo->isnull ? NULL : DatumGetCString(DirectFunctionCall1(inet_out, address));
}

static Circumstances
circumstances(void)
{
	Circumstances now;

	now.transaction_id = U64FromFullTransactionId(GetTopFullTransactionId());
	now.session_role = GetUserNameFromId(GetSessionUserId(), true);
	now.client_addr = client_address();
	now.database = get_database_name(MyDatabaseId);
	return now;
}

static void
fill_head(TpmJournalHead *head, const TpmJournalIntent *intent, const Circumstances *now)
{
	head->transaction_id = now->transaction_id;
	head->query_id = pgstat_get_my_query_id();
	head->dbid = MyDatabaseId;
	head->serverid = intent->serverid;
	head->relid = intent->relid;
	head->roleid = OidIsValid(intent->roleid) ? intent->roleid : GetUserId();
	head->pid = MyProcPid;
	head->ncolumns = intent->ncolumns;
}

static void
fill_entry(TpmJournalEntry *entry, const TpmJournalIntent *intent, const Circumstances *now)
{
	const char **texts = entry->texts;

	tpm_journal_entry(entry, TPM_JOURNAL_INTENT);
	fill_head(&entry->head, intent, now);
	entry->columns = intent->columns;
	texts[TPM_JOURNAL_SERVER] = intent->server;
	texts[TPM_JOURNAL_RELATION] = intent->relation;
	texts[TPM_JOURNAL_METHOD] = intent->method;
	texts[TPM_JOURNAL_PATH_TEXT] = intent->path;
	texts[TPM_JOURNAL_ID] = intent->id;
	if (tpm_journal_values)
	{
		texts[TPM_JOURNAL_OLD] = intent->old_json;
		texts[TPM_JOURNAL_NEW] = intent->new_json;
	}
	texts[TPM_JOURNAL_REQUEST_ID] = intent->request_id;
	texts[TPM_JOURNAL_ROLE] = GetUserNameFromId(entry->head.roleid, true);
	texts[TPM_JOURNAL_SESSION_ROLE] = now->session_role;
	texts[TPM_JOURNAL_APPLICATION_NAME] = application_name;
	texts[TPM_JOURNAL_CLIENT_ADDR] = now->client_addr;
	texts[TPM_JOURNAL_DATABASE] = now->database;
}

static char *
encode_intent(const TpmJournalIntent *intent, Size *length)
{
	Circumstances now = circumstances();
	TpmJournalEntry entry;
	char	   *record;

	fill_entry(&entry, intent, &now);
	*length = tpm_journal_encode(&entry, NULL);
	record = MemoryContextAllocHuge(CurrentMemoryContext, *length);
	tpm_journal_encode(&entry, record);
	return record;
}

static const char *
hint_of_failure(const TpmJournalProblem *failure)
{
	return failure->error == ENOSPC || failure->error == EDQUOT ? "Check free disk space." : NULL;
}

static TpmProblem *
intent_failed(const TpmJournalProblem *failure)
{
	errno = failure->error;
	return tpm_problem(tpm_problem_of_errno(failure->error),
					   psprintf("could not %s \"%s\": %m", failure->doing, failure->path),
					   "Nothing was sent: a write must be in the journal before.",
					   hint_of_failure(failure));
}

static void
log_outcome_failed(const TpmJournalProblem *failure, uint64 number)
{
	const char *hint = hint_of_failure(failure);

	ereport(LOG,
			(errcode(tpm_problem_of_errno(failure->error)),
			 errmsg("could not %s \"%s\": %s", failure->doing, failure->path, strerror(failure->error)),
			 errdetail("The outcome of write %llu is not in the journal; it will show as unknown.",
					   (unsigned long long) number),
			 hint ? errhint("%s", hint) : 0));
}

/* it has not left, nor will it */
static void
intent_not_sent(uint64 number)
{
	const TpmJournalResult not_sent = {.outcome = TPM_JOURNAL_REFUSED,.evidence = "not sent"};

	tpm_journal_outcome(number, &not_sent);
}

/* false: it does not count, and has that outcome */
static bool
flush_intent(const TpmJournalPlace *place, uint64 number, TpmJournalProblem *failure)
{
	volatile bool flushed = false;

	PG_TRY();
	{
		flushed = flush_journal(place, failure);
	}
	PG_CATCH();
	{
		ConditionVariableCancelSleep();
		intent_not_sent(number);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!flushed)
		intent_not_sent(number);
	return flushed;
}

uint64
tpm_journal_intend(const TpmJournalIntent *intent, TpmProblem **problem)
{
	MemoryContext context;
	MemoryContext caller;
	TpmJournalProblem failure;
	TpmJournalPlace place;
	char	   *record;
	Size		length;
	uint64		number;
	bool		appended;

	tpm_shared_require();
	*problem = NULL;
	context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw journal", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	record = encode_intent(intent, &length);
	appended = tpm_journal_append(record, length, &number, &place, &failure);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	if (appended && flush_intent(&place, number, &failure))
		return number;
	*problem = intent_failed(&failure);
	return 0;
}

void
tpm_journal_outcome(uint64 number, const TpmJournalResult *result)
{
	TpmJournalEntry entry;
	TpmJournalProblem problem;
	TpmJournalPlace place;
	char	   *record;

	if (number == 0 || !tpm_shared_available())
		return;
	tpm_journal_entry(&entry, TPM_JOURNAL_OUTCOME);
	entry.head.number = number;
	entry.head.outcome = result->outcome;
	entry.head.status = result->status;
	entry.head.sendings = result->sendings;
	entry.texts[TPM_JOURNAL_ID] = result->id;
	if (tpm_journal_values)
		entry.texts[TPM_JOURNAL_NEW] = result->new_json;
	entry.evidence = result->evidence;

	tpm_journal_failed(&problem, ENOMEM, "write to", TPM_JOURNAL_DIRECTORY);
	record = palloc_extended(tpm_journal_encode(&entry, NULL),
							 MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (record == NULL ||
		!tpm_journal_append(record, tpm_journal_encode(&entry, record), NULL, &place, &problem))
		log_outcome_failed(&problem, number);
	if (record)
		pfree(record);
}
