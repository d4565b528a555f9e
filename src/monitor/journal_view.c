/*-------------------------------------------------------------------------
 *
 * journal_view.c
 *		The view tpm_fdw_writes: intents and their outcomes brought together.
 *
 * Owns how the files are read, which records belong together, and what is shown
 * of a write.  Rows of other roles are for pg_read_all_stats; old and new are for
 * the role that wrote, the table's owner and superusers.  The journal is the
 * cluster's, so texts may come in another database's encoding.
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

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/string.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/text.h"
#include "journal/journal_record.h"

#define WRITES_COLUMNS 23

/* a row in the making */
typedef struct WritesRow
{
	int			n;
	Datum		values[WRITES_COLUMNS];
	bool		nulls[WRITES_COLUMNS];
} WritesRow;

/* ----- rights ----- */

static bool
owns_relation(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		owns;

	if (!HeapTupleIsValid(tuple))
		return false;
	owns = has_privs_of_role(GetUserId(), ((Form_pg_class) GETSTRUCT(tuple))->relowner);
	ReleaseSysCache(tuple);
	return owns;
}

/* an OID means something in its own database only */
static bool
may_see_values(const TpmJournalHead *intent)
{
	return intent->roleid == GetUserId() || superuser() ||
		(intent->dbid == MyDatabaseId && owns_relation(intent->relid));
}

/* ----- texts of another database ----- */

/* NULL: it cannot be */
static char *
convert_text(const char *text, int len, int encoding)
{
	Oid			proc = FindDefaultConversionProc(encoding, GetDatabaseEncoding());
	char	   *converted;
	int			size;

	if (!OidIsValid(proc) || len >= (int) (MaxAllocSize / MAX_CONVERSION_GROWTH))
		return NULL;
	size = len * MAX_CONVERSION_GROWTH + 1;
	converted = palloc(size);
	if (pg_do_encoding_conversion_buf(proc, encoding, GetDatabaseEncoding(),
									  (unsigned char *) unconstify(char *, text), len,
									  (unsigned char *) converted, size, true) != len)
		return NULL;
	return converted;
}

/* what has no place in this database's encoding becomes question marks */
static const char *
readable(const char *text, int encoding)
{
	int			len = strlen(text);
	char	   *copy;

	if (encoding == GetDatabaseEncoding() || GetDatabaseEncoding() == PG_SQL_ASCII ||
		pg_is_ascii(text))
		return text;
	if (encoding != PG_SQL_ASCII)
		copy = convert_text(text, len, encoding);
	else if (pg_encoding_verifymbstr(GetDatabaseEncoding(), text, len) == len)
		return text;
	else
		copy = NULL;
	if (copy == NULL)
	{
		copy = pstrdup(text);
		for (char *c = copy; *c; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	}
	return copy;
}

/* ----- columns ----- */

static void
add_to_write_row(WritesRow *row, Datum value, bool isnull)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = isnull;
}

/* 0 is NULL */
static void
add_write_bigint(WritesRow *row, int64 value)
{
	add_to_write_row(row, Int64GetDatum(value), value == 0);
}

/* 0 is NULL */
static void
add_write_int(WritesRow *row, int32 value)
{
	add_to_write_row(row, Int32GetDatum(value), value == 0);
}

static void
add_readable(WritesRow *row, const char *text, int encoding)
{
	if (text)
		add_to_write_row(row, CStringGetTextDatum(readable(text, encoding)), false);
	else
		add_to_write_row(row, (Datum) 0, true);
}

static void
add_journal_text(WritesRow *row, const TpmJournalEntry *entry, TpmJournalText which)
{
	add_readable(row, entry->texts[which], entry->head.encoding);
}

/* by a type's input function, which takes whatever was written here */
static void
add_typed(WritesRow *row, const TpmJournalEntry *entry, TpmJournalText which, PGFunction input)
{
	const char *text = entry->texts[which];

	if (text)
		add_to_write_row(row, DirectFunctionCall1(input, CStringGetDatum(readable(text, entry->head.encoding))),
						 false);
	else
		add_to_write_row(row, (Datum) 0, true);
}

static void
add_written_columns(WritesRow *row, const TpmJournalEntry *entry)
{
	int			n = entry->head.ncolumns;
	Datum	   *names = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		names[i] = CStringGetTextDatum(readable(entry->columns[i], entry->head.encoding));
	add_to_write_row(row, PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT)), false);
}

static Datum
text_as_jsonb(const char *text)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	return JsonbPGetDatum(JsonbValueToJsonb(&value));
}

/*
 * What an API says may be JSON and yet no jsonb (\u0000); one such value must
 * not hide all others.
 */
static Datum
read_jsonb(const char *text)
{
	if (tpm_json_fits_jsonb(text, strlen(text), GetDatabaseEncoding()))
		return DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	return text_as_jsonb(text);
}

static void
add_jsonb(WritesRow *row, const TpmJournalEntry *entry, TpmJournalText which, bool visible)
{
	const char *text = entry->texts[which];

	if (text && visible)
		add_to_write_row(row, read_jsonb(readable(text, entry->head.encoding)), false);
	else
		add_to_write_row(row, (Datum) 0, true);
}

/* ----- the row ----- */

static void
fill_write_row(WritesRow *row, const TpmJournalEntry *intent, const TpmJournalEntry *outcome,
			   const char *become)
{
	bool		values = may_see_values(&intent->head);
	const TpmJournalEntry *id = outcome->texts[TPM_JOURNAL_ID] ? outcome : intent;
	const TpmJournalEntry *new = outcome->texts[TPM_JOURNAL_NEW] ? outcome : intent;

	add_write_bigint(row, intent->head.number);
	add_to_write_row(row, TimestampTzGetDatum(intent->head.at), false);
	add_to_write_row(row, TimestampTzGetDatum(outcome->head.at), outcome->head.kind == 0);
	add_typed(row, intent, TPM_JOURNAL_SERVER, namein);
	add_journal_text(row, intent, TPM_JOURNAL_RELATION);
	add_journal_text(row, intent, TPM_JOURNAL_METHOD);
	add_journal_text(row, intent, TPM_JOURNAL_PATH_TEXT);
	add_journal_text(row, id, TPM_JOURNAL_ID);
	add_written_columns(row, intent);
	add_jsonb(row, intent, TPM_JOURNAL_OLD, values);
	add_jsonb(row, new, TPM_JOURNAL_NEW, values);
	add_write_int(row, outcome->head.status);
	add_to_write_row(row, CStringGetTextDatum(become), false);
	add_journal_text(row, intent, TPM_JOURNAL_REQUEST_ID);
	add_typed(row, intent, TPM_JOURNAL_ROLE, namein);
	add_typed(row, intent, TPM_JOURNAL_SESSION_ROLE, namein);
	add_journal_text(row, intent, TPM_JOURNAL_APPLICATION_NAME);
	add_typed(row, intent, TPM_JOURNAL_CLIENT_ADDR, inet_in);
	add_typed(row, intent, TPM_JOURNAL_DATABASE, namein);
	add_write_bigint(row, intent->head.transaction_id);
	add_write_bigint(row, intent->head.query_id);
	/* of a library that did not count there is neither */
	add_to_write_row(row, Int32GetDatum(outcome->head.sendings),
					 outcome->head.sendings == 0 && outcome->evidence == NULL);
	add_readable(row, outcome->evidence, outcome->head.encoding);
}

static void
put_journal_row(ReturnSetInfo *result, const TpmJournalEntry *intent,
				const TpmJournalEntry *outcome, const char *become)
{
	WritesRow	row = {0};

	fill_write_row(&row, intent, outcome, become);
	Assert(row.n == WRITES_COLUMNS);
	tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
}

/* ----- intents and outcomes ----- */

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
outcome_word(const OpenWrite *write, const TpmJournalHead *outcome)
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
	put_journal_row(view->result, &intent, &outcome, outcome_word(write, &outcome.head));
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

/* what a later outcome leaves out is as an earlier one had it */
static char *
merge_outcomes(WritesView *view, const char *earlier, const char *later)
{
	MemoryContext old = MemoryContextSwitchTo(view->row_context);
	TpmJournalEntry before;
	TpmJournalEntry after;
	char	   *merged;

	tpm_journal_decode(earlier, &before);
	tpm_journal_decode(later, &after);
	if (after.head.status == 0)
		after.head.status = before.head.status;
	if (after.head.sendings == 0)
		after.head.sendings = before.head.sendings;
	if (after.evidence == NULL)
		after.evidence = before.evidence;
	for (int i = 0; i < TPM_JOURNAL_TEXTS; i++)
		if (after.texts[i] == NULL)
			after.texts[i] = before.texts[i];
	merged = MemoryContextAllocHuge(view->context, tpm_journal_encode(&after, NULL));
	tpm_journal_encode(&after, merged);
	MemoryContextSwitchTo(old);
	MemoryContextReset(view->row_context);
	return merged;
}

/* what is unknown may still become known */
static void
take_outcome(WritesView *view, const TpmJournalReader *reader)
{
	OpenWrite  *write = hash_search(view->open, &reader->head.number, HASH_FIND, NULL);

	if (write == NULL)
		return;
	if (write->outcome)
	{
		char	   *earlier = write->outcome;

		write->outcome = merge_outcomes(view, earlier, reader->record);
		pfree(earlier);
	}
	else
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

PG_FUNCTION_INFO_V1(tpm_fdw_writes);

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
