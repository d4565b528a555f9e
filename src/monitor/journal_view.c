/*-------------------------------------------------------------------------
 *
 * journal_view.c
 *		The view tpm_fdw_writes: intents and their outcomes brought together.
 *
 * Owns how the files are read, and which records belong together.
 *
 * Rows of other roles are for pg_read_all_stats; who sees values in a row is
 * journal_row.c's matter.
 *
 * The files are read in the order of their days, up to where they were whole
 * when the reading began, without a lock.  An intent is held until its outcome
 * is found, so memory follows the number of writes without one.  To tell a
 * write in flight from one whose writer is gone, what was appended meanwhile
 * is read once more after the writers were looked at: one that was gone then
 * had told its outcome before, if ever.
 *
 * Works without shared state, too: then nothing is in flight.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "journal/journal_internal.h"

PG_FUNCTION_INFO_V1(tpm_fdw_writes);

/* a write whose outcome is not known, or not for certain */
typedef struct OpenWrite
{
	uint64		number;
	char	   *intent;			/* records */
	char	   *outcome;		/* NULL: none */
	bool		alive;			/* so is its writer */
} OpenWrite;

typedef struct WritesView
{
	ReturnSetInfo *result;
	MemoryContext context;		/* of the open writes */
	MemoryContext row_context;
	HTAB	   *open;
	int			day;			/* of the last file that was read, */
	off_t		at;				/* and how far */
	bool		again;			/* damage has been told of */
} WritesView;

/* ----- rights ----- */

static bool
may_see_write(const TpmJournalHead *intent)
{
	return intent->roleid == GetUserId() ||
		has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

/* ----- writes ----- */

static const char *
outcome_of(const OpenWrite *write, const TpmJournalHead *outcome)
{
	if (write->outcome == NULL)
		return write->alive ? "in flight" : "unknown";
	switch ((TpmJournalOutcome) outcome->outcome)
	{
		case TPM_JOURNAL_SENT:
			return "sent";
		case TPM_JOURNAL_REFUSED:
			return "refused";
		case TPM_JOURNAL_UNKNOWN:
			break;
	}
	return "unknown";
}

static void
put_write(WritesView *view, const OpenWrite *write)
{
	MemoryContext old = MemoryContextSwitchTo(view->row_context);
	TpmJournalEntry intent;
	TpmJournalEntry outcome = {0};

	tpm_journal_decode(write->intent, &intent);
	if (write->outcome)
		tpm_journal_decode(write->outcome, &outcome);
	tpm_journal_put_row(view->result, &intent, &outcome, outcome_of(write, &outcome.head));
	MemoryContextSwitchTo(old);
	MemoryContextReset(view->row_context);
}

static char *
copy_record(WritesView *view, const TpmJournalReader *reader)
{
	char	   *copy = MemoryContextAllocHuge(view->context, reader->head.length);

	memcpy(copy, reader->record, reader->head.length);
	return copy;
}

static void
take_intent(WritesView *view, const TpmJournalReader *reader)
{
	OpenWrite  *write;
	bool		found;

	if (!may_see_write(&reader->head))
		return;
	write = hash_search(view->open, &reader->head.number, HASH_ENTER, &found);
	/* files of two clusters side by side: each number has its rows */
	if (found)
		put_write(view, write);
	write->intent = copy_record(view, reader);
	write->outcome = NULL;
	write->alive = true;
}

/* what is unknown may still become known */
static void
take_outcome(WritesView *view, const TpmJournalReader *reader)
{
	OpenWrite  *write = hash_search(view->open, &reader->head.number, HASH_FIND, NULL);

	if (write == NULL)
		return;
	if (write->outcome)
		pfree(write->outcome);
	write->outcome = copy_record(view, reader);
	if (reader->head.outcome == TPM_JOURNAL_UNKNOWN)
		return;
	put_write(view, write);
	pfree(write->intent);
	pfree(write->outcome);
	hash_search(view->open, &reader->head.number, HASH_REMOVE, NULL);
}

/* ----- files ----- */

static void
warn_of_damage(const TpmJournalReader *reader, const char *path)
{
	if (reader->error != 0)
	{
		errno = reader->error;
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", path)));
	}
	if (reader->skipped > 0)
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("skipped %lld bytes of file \"%s\" that are no record of the journal",
						(long long) reader->skipped, path)));
}

static void
read_records(WritesView *view, TpmJournalReader *reader)
{
	while (tpm_journal_read(reader))
	{
		CHECK_FOR_INTERRUPTS();
		if (reader->head.kind == TPM_JOURNAL_INTENT)
			take_intent(view, reader);
		else if (reader->head.kind == TPM_JOURNAL_OUTCOME)
			take_outcome(view, reader);
	}
}

/* end: what is whole of it, -1: all */
static void
read_file(WritesView *view, int day, off_t end)
{
	char		path[TPM_JOURNAL_PATH];
	TpmJournalReader reader = {0};
	struct stat status;

	tpm_journal_file_path(path, day);
	reader.fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (reader.fd < 0 || fstat(reader.fd, &status) < 0)
		reader.error = errno;
	else
	{
		reader.at = day == view->day ? view->at : 0;
		reader.end = end >= 0 ? Min(end, status.st_size) : status.st_size;
		read_records(view, &reader);
	}
	/* one that was removed in the meantime has served its time */
	if (reader.error != ENOENT && !view->again)
		warn_of_damage(&reader, path);
	tpm_journal_read_end(&reader);
	if (reader.fd >= 0)
		CloseTransientFile(reader.fd);
	view->day = day;
	view->at = reader.at;
}

static List *
list_days(void)
{
	DIR		   *directory = AllocateDir(TPM_JOURNAL_DIRECTORY);
	struct dirent *entry;
	List	   *days = NIL;

	if (directory == NULL && errno == ENOENT)
		return NIL;
	while ((entry = ReadDir(directory, TPM_JOURNAL_DIRECTORY)) != NULL)
	{
		int			day = tpm_journal_file_day(entry->d_name);

		if (day != 0)
			days = lappend_int(days, day);
	}
	FreeDir(directory);
	list_sort(days, list_int_cmp);
	return days;
}

/* what has not been read yet */
static void
read_files(WritesView *view)
{
	/* in this order: no file of the list is newer than the tail */
	List	   *days = list_days();
	int			tail_day = 0;
	off_t		tail_end = -1;
	bool		known = tpm_journal_tail(&tail_day, &tail_end);
	ListCell   *lc;

	foreach(lc, days)
	{
		int			day = lfirst_int(lc);

		if (day >= view->day)
			read_file(view, day, known && day == tail_day ? tail_end : -1);
	}
}

static void
look_at_writers(WritesView *view)
{
	HASH_SEQ_STATUS sequence;
	OpenWrite  *write;

	hash_seq_init(&sequence, view->open);
	while ((write = hash_seq_search(&sequence)) != NULL)
	{
		TpmJournalHead head;

		memcpy(&head, write->intent, sizeof(head));
		write->alive = tpm_journal_is_alive(&head);
	}
}

static void
put_open_writes(WritesView *view)
{
	HASH_SEQ_STATUS sequence;
	OpenWrite  *write;

	hash_seq_init(&sequence, view->open);
	while ((write = hash_seq_search(&sequence)) != NULL)
		put_write(view, write);
}

Datum
tpm_fdw_writes(PG_FUNCTION_ARGS)
{
	WritesView	view = {0};
	HASHCTL		control = {0};

	tpm_shared_require();
	InitMaterializedSRF(fcinfo, 0);
	view.result = (ReturnSetInfo *) fcinfo->resultinfo;
	view.context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw open writes",
										 ALLOCSET_DEFAULT_SIZES);
	view.row_context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw write",
											 ALLOCSET_DEFAULT_SIZES);
	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(OpenWrite);
	control.hcxt = view.context;
	view.open = hash_create("tpm_fdw open writes", 1024, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	read_files(&view);
	look_at_writers(&view);
	view.again = true;
	read_files(&view);
	put_open_writes(&view);
	MemoryContextDelete(view.context);
	MemoryContextDelete(view.row_context);
	return (Datum) 0;
}
