/*-------------------------------------------------------------------------
 *
 * table_stats_file.c
 *		What was learnt about tables, on disk, so that a restart forgets nothing.
 *
 * Owns pg_stat/tpm_fdw.learnt.  PostgreSQL leaves it alone, also in crash
 * recovery, which removes only its own file of that directory.  Base backups
 * contain it: what it says is about an API, and just as true of the copy's
 * tables, which have the same options.  A standby learns for itself.
 *
 * The file has a header and an entry a table at fixed places, each with a
 * checksum.  What a crash tore, what another version wrote and what is no
 * entry at all is passed over, and learnt again.  Nothing is fsynced but the
 * new file at start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "port/pg_crc32c.h"
#include "storage/fd.h"

#include "shared/table_stats_file.h"

#define FILE_NAME	"pg_stat/tpm_fdw.learnt"
#define FILE_MAGIC	"tpmlrn4"

typedef struct FileHeader
{
	char		magic[8];		/* its last character is the version */
	uint32		entry_size;
	pg_crc32c	crc;
} FileHeader;

typedef struct FileEntry
{
	TpmLearntKept kept;
	pg_crc32c	crc;
} FileEntry;

static bool failure_reported = false;

static pg_crc32c
crc_of(const void *data, size_t len)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, len);
	FIN_CRC32C(crc);
	return crc;
}

static FileHeader
make_header(void)
{
	FileHeader	header = {.magic = FILE_MAGIC,.entry_size = sizeof(FileEntry)};

	header.crc = crc_of(&header, offsetof(FileHeader, crc));
	return header;
}

static off_t
entry_at(int place)
{
	return sizeof(FileHeader) + (off_t) place * sizeof(FileEntry);
}

/* once in a process: the rest would say the same */
static void
report_failure(void)
{
	if (failure_reported)
		return;
	failure_reported = true;
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not write file \"%s\": %m", FILE_NAME),
			 errdetail("What is learnt about foreign tables is used all the same; a restart of the server may forget it.")));
}

static bool
write_entry(int fd, const TpmLearntKept *kept, int place)
{
	FileEntry	entry;
	ssize_t		written;

	memset(&entry, 0, sizeof(entry));
	entry.kept = *kept;
	entry.crc = crc_of(&entry, offsetof(FileEntry, crc));
	do
	{
		errno = 0;
		written = pg_pwrite(fd, &entry, sizeof(entry), entry_at(place));
	} while (written < 0 && errno == EINTR);
	if (written != sizeof(entry) && errno == 0)
		errno = ENOSPC;
	return written == sizeof(entry);
}

void
tpm_learnt_file_write(const TpmLearntKept *kept, int place)
{
	/* no descriptor is kept: something is learnt a few times a table's life */
	int			fd = BasicOpenFile(FILE_NAME, O_WRONLY | PG_BINARY);

	if (fd < 0 || !write_entry(fd, kept, place))
		report_failure();
	if (fd >= 0)
		close(fd);
}

static int
read_entries(int fd, TpmLearntKept *kept, int most)
{
	FileHeader	expected = make_header();
	FileHeader	header;
	FileEntry	entry;
	int			n = 0;

	if (read(fd, &header, sizeof(header)) != sizeof(header) ||
		memcmp(&header, &expected, sizeof(header)) != 0)
		return 0;
	while (n < most && read(fd, &entry, sizeof(entry)) == sizeof(entry))
	{
		/* a hole is zeros, and so is its checksum's place */
		if (entry.kept.relid != InvalidOid && entry.crc == crc_of(&entry, offsetof(FileEntry, crc)))
			kept[n++] = entry.kept;
	}
	return n;
}

int
tpm_learnt_file_load(TpmLearntKept *kept, int most)
{
	FileHeader	header = make_header();
	int			fd = BasicOpenFile(FILE_NAME, O_RDONLY | PG_BINARY);
	int			n = 0;
	bool		good;

	if (fd >= 0)
	{
		n = read_entries(fd, kept, most);
		close(fd);
	}
	fd = BasicOpenFile(FILE_NAME ".tmp", O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY);
	good = fd >= 0 && pg_pwrite(fd, &header, sizeof(header), 0) == sizeof(header);
	for (int i = 0; i < n && good; i++)
		good = write_entry(fd, &kept[i], i);
	if (!good)
		report_failure();
	if (fd >= 0)
		close(fd);
	if (good)
		durable_rename(FILE_NAME ".tmp", FILE_NAME, LOG);
	/* backends are forked from here and report for themselves */
	failure_reported = false;
	return n;
}
