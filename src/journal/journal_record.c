/*-------------------------------------------------------------------------
 *
 * journal_record.c
 *		A record of the journal: its bytes, and reading them back.
 *
 * Owns the format.  A record is a head, its texts, the names of columns and, if
 * there is one, the evidence; a text is its length with the closing NUL (0:
 * none) and its bytes.  Numbers are in the machine's order, as everything else
 * in the data directory.
 *
 * Evidence came later than the rest, so it stands at the end, and a record that
 * has none is one of before: either library reads the other's files.
 *
 * What is no record is passed over up to the next magic with a checksum that
 * fits.  A head contains NULs, which texts cannot, so nobody can hide a record
 * in a value.
 *
 * Takes no lock.  Nothing here throws but tpm_journal_decode(): outcomes are
 * written while a transaction aborts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "mb/pg_wchar.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "journal/journal_internal.h"

/* the last byte is the format's version */
#define JOURNAL_MAGIC 0x4a9dfe01

#define READ_AHEAD (64 * 1024)

#define CRC_START offsetof(TpmJournalHead, length)

static pg_crc32c
record_crc(const char *record, Size length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, record + CRC_START, length - CRC_START);
	FIN_CRC32C(crc);
	return crc;
}

/* ----- writing ----- */

void
tpm_journal_entry(TpmJournalEntry *entry, TpmJournalKind kind)
{
	memset(entry, 0, sizeof(*entry));
	entry->head.magic = JOURNAL_MAGIC;
	entry->head.kind = kind;
	entry->head.at = GetCurrentTimestamp();
	entry->head.encoding = GetDatabaseEncoding();
}

static Size
put_text(char *to, Size at, const char *text)
{
	uint32		length = text ? strlen(text) + 1 : 0;

	if (to)
	{
		memcpy(to + at, &length, sizeof(length));
		if (text)
			memcpy(to + at + sizeof(length), text, length);
	}
	return at + sizeof(length) + length;
}

Size
tpm_journal_encode(const TpmJournalEntry *entry, char *to)
{
	Size		at = sizeof(TpmJournalHead);

	for (int i = 0; i < TPM_JOURNAL_TEXTS; i++)
		at = put_text(to, at, entry->texts[i]);
	for (uint32 i = 0; i < entry->head.ncolumns; i++)
		at = put_text(to, at, entry->columns[i]);
	if (entry->evidence)
		at = put_text(to, at, entry->evidence);
	if (to)
	{
		TpmJournalHead head = entry->head;

		head.length = at;
		memcpy(to, &head, sizeof(head));
	}
	return at;
}

Size
tpm_journal_seal(char *record, uint64 number)
{
	TpmJournalHead head;

	memcpy(&head, record, sizeof(head));
	if (number != 0)
		head.number = number;
	memcpy(record, &head, sizeof(head));
	head.crc = record_crc(record, head.length);
	memcpy(record, &head, sizeof(head));
	return head.length;
}

/* ----- reading ----- */

static const char *
get_text(const char *record, Size length, Size *at)
{
	uint32		size;
	const char *text;

	if (*at + sizeof(size) > length)
		elog(ERROR, "record of the journal is too short");
	memcpy(&size, record + *at, sizeof(size));
	*at += sizeof(size);
	if (size == 0)
		return NULL;
	text = record + *at;
	if (size > length - *at || text[size - 1] != '\0')
		elog(ERROR, "text in a record of the journal has no end");
	*at += size;
	return text;
}

void
tpm_journal_decode(const char *record, TpmJournalEntry *entry)
{
	Size		at = sizeof(TpmJournalHead);
	const char **columns;

	memcpy(&entry->head, record, sizeof(TpmJournalHead));
	for (int i = 0; i < TPM_JOURNAL_TEXTS; i++)
		entry->texts[i] = get_text(record, entry->head.length, &at);
	columns = palloc(sizeof(char *) * entry->head.ncolumns);
	for (uint32 i = 0; i < entry->head.ncolumns; i++)
		columns[i] = get_text(record, entry->head.length, &at);
	entry->columns = columns;
	entry->evidence = at < entry->head.length ? get_text(record, entry->head.length, &at) : NULL;
}

/* reads the file from there into the buffer, length bytes at the least */
static bool
fill(TpmJournalReader *reader, off_t at, Size length)
{
	Size		wanted = Min(Max(length, READ_AHEAD), (Size) (reader->end - at));
	ssize_t		got;

	if (wanted > reader->size)
	{
		if (reader->buffer)
			pfree(reader->buffer);
		reader->size = 0;
		reader->filled = 0;
		reader->buffer = palloc_extended(wanted, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
		if (reader->buffer == NULL)
		{
			reader->error = ENOMEM;
			return false;
		}
		reader->size = wanted;
	}
	reader->base = at;
	reader->filled = 0;
	while (reader->filled < wanted)
	{
		got = pg_pread(reader->fd, reader->buffer + reader->filled, wanted - reader->filled,
					   at + reader->filled);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			reader->error = errno;
		if (got <= 0)
			break;
		reader->filled += got;
	}
	return reader->error == 0 && reader->filled >= length;
}

/* NULL: the file has no such bytes, or they cannot be read */
static const char *
peek(TpmJournalReader *reader, off_t at, Size length)
{
	if ((off_t) length > reader->end - at)
		return NULL;
	if ((at < reader->base || at + length > reader->base + reader->filled) &&
		!fill(reader, at, length))
		return NULL;
	return reader->buffer + (at - reader->base);
}

static bool
read_here(TpmJournalReader *reader)
{
	TpmJournalHead *head = &reader->head;
	const char *record = peek(reader, reader->at, sizeof(TpmJournalHead));

	if (record == NULL)
		return false;
	memcpy(head, record, sizeof(TpmJournalHead));
	if (head->magic != JOURNAL_MAGIC || head->length < sizeof(TpmJournalHead))
		return false;
	record = peek(reader, reader->at, head->length);
	if (record == NULL || head->crc != record_crc(record, head->length))
		return false;
	reader->record = record;
	return true;
}

/* moves on to the next magic; false: there is none */
static bool
find_magic(TpmJournalReader *reader)
{
	const uint32 magic = JOURNAL_MAGIC;
	off_t		from = reader->at;

	for (reader->at++; reader->end - reader->at >= (off_t) sizeof(magic);)
	{
		Size		length = Min(READ_AHEAD, reader->end - reader->at);
		const char *bytes = peek(reader, reader->at, length);
		Size		i = 0;

		if (bytes == NULL)
			break;
		while (i + sizeof(magic) <= length && memcmp(bytes + i, &magic, sizeof(magic)) != 0)
			i++;
		reader->at += i;
		if (i + sizeof(magic) <= length)
		{
			reader->skipped += reader->at - from;
			return true;
		}
	}
	reader->skipped += reader->end - from;
	reader->at = reader->end;
	return false;
}

bool
tpm_journal_read(TpmJournalReader *reader)
{
	while (reader->at < reader->end && reader->error == 0)
	{
		if (read_here(reader))
		{
			reader->at += reader->head.length;
			reader->good_end = reader->at;
			return true;
		}
		if (reader->error != 0 || !find_magic(reader))
			break;
	}
	return false;
}

void
tpm_journal_read_end(TpmJournalReader *reader)
{
	if (reader->buffer)
		pfree(reader->buffer);
	reader->buffer = NULL;
}
