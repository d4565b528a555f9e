/*-------------------------------------------------------------------------
 *
 * journal_record.h
 *		The journal's records and files, for those who read them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_JOURNAL_RECORD_H
#define TPM_JOURNAL_RECORD_H

#include "datatype/timestamp.h"
#include "port/pg_crc32c.h"

#include "journal/journal.h"

/* relative to the data directory */
#define TPM_JOURNAL_DIRECTORY "tpm_fdw"

/* room for the path of a day's file */
#define TPM_JOURNAL_PATH 64

typedef enum TpmJournalKind
{
	TPM_JOURNAL_BEGIN = 1,		/* of a file; number: the highest given so far */
	TPM_JOURNAL_INTENT,
	TPM_JOURNAL_OUTCOME
} TpmJournalKind;

/* the head of a record, as it stands in the file; 0 where it does not apply */
typedef struct TpmJournalHead
{
	uint32		magic;
	pg_crc32c	crc;			/* of all that follows it */
	uint32		length;			/* of the whole record */
	uint32		kind;			/* TpmJournalKind */
	uint64		number;
	int64		at;				/* TimestampTz */
	uint64		transaction_id;
	uint64		query_id;
	Oid			dbid;
	Oid			serverid;
	Oid			relid;
	Oid			roleid;
	int32		pid;
	int32		encoding;		/* of the texts */
	int32		outcome;		/* TpmJournalOutcome */
	int32		status;
	uint32		ncolumns;
	uint32		sendings;		/* files of older libraries have 0 here */
} TpmJournalHead;

StaticAssertDecl(sizeof(TpmJournalHead) == 88, "the head has no padding");

/* what follows the head, before the names of the columns */
typedef enum TpmJournalText
{
	TPM_JOURNAL_SERVER,
	TPM_JOURNAL_RELATION,
	TPM_JOURNAL_METHOD,
	TPM_JOURNAL_PATH_TEXT,
	TPM_JOURNAL_ID,
	TPM_JOURNAL_OLD,
	TPM_JOURNAL_NEW,
	TPM_JOURNAL_REQUEST_ID,
	TPM_JOURNAL_ROLE,
	TPM_JOURNAL_SESSION_ROLE,
	TPM_JOURNAL_APPLICATION_NAME,
	TPM_JOURNAL_CLIENT_ADDR,
	TPM_JOURNAL_DATABASE,
	TPM_JOURNAL_TEXTS			/* how many there are */
} TpmJournalText;

/* a record taken apart */
typedef struct TpmJournalEntry
{
	TpmJournalHead head;
	const char *texts[TPM_JOURNAL_TEXTS];	/* NULL: none */
	const char *const *columns;
	const char *evidence;		/* NULL: none */
} TpmJournalEntry;

/* an empty record of this kind, of now */
extern void tpm_journal_entry(TpmJournalEntry *entry, TpmJournalKind kind);

/* returns the record's length and, unless to is NULL, writes it; no checksum yet */
extern Size tpm_journal_encode(const TpmJournalEntry *entry, char *to);

/* the texts point into the record; columns are palloc'd */
extern void tpm_journal_decode(const char *record, TpmJournalEntry *entry);

/* completes a record; number 0 leaves the one it has.  Returns its length. */
extern Size tpm_journal_seal(char *record, uint64 number);

/* reads a file's records one by one; zero it, then set the first three */
typedef struct TpmJournalReader
{
	int			fd;
	off_t		at;				/* of the next record */
	off_t		end;			/* what comes after is not looked at */
	const char *record;			/* the current one, valid until the next */
	TpmJournalHead head;		/* of it */
	off_t		good_end;		/* of the last record that is one */
	int64		skipped;		/* bytes that were no record */
	int			error;			/* errno of what stopped the reading, 0:
								 * nothing */
	char	   *buffer;			/* of the file from base */
	Size		size;
	off_t		base;
	Size		filled;
} TpmJournalReader;

/* false at the end; never throws */
extern bool tpm_journal_read(TpmJournalReader *reader);
extern void tpm_journal_read_end(TpmJournalReader *reader);

/* ----- files, in days ----- */

extern void tpm_journal_file_path(char *path, int day);

/* 0: not the name of a day's file */
extern int	tpm_journal_file_day(const char *name);

/* the file being written and what of it is whole; false: none since the start */
extern bool tpm_journal_tail(int *day, off_t *end);

/* is the backend that began this write still in its transaction? */
extern bool tpm_journal_is_alive(const TpmJournalHead *intent);

#endif							/* TPM_JOURNAL_RECORD_H */
