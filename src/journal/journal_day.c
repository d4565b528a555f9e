/*-------------------------------------------------------------------------
 *
 * journal_day.c
 *		The journal's files by their names: one a day (UTC), old ones removed.
 *
 * Owns the names in tpm_fdw/ and how long a file is kept.  Takes no lock and
 * never throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <unistd.h>

#include "pgtime.h"
#include "utils/timestamp.h"

#include "journal/journal_internal.h"
#include "tpm_fdw.h"

#define FILE_PREFIX "journal-"

int
tpm_journal_day(TimestampTz at)
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

bool
tpm_journal_newest_before(int before, int *day, TpmJournalProblem *problem)
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

void
tpm_journal_remove_old(void)
{
	int			limit = tpm_journal_day(GetCurrentTimestamp() - tpm_journal_keep * USECS_PER_SEC);
	TpmJournalProblem problem = {0};
	int			day;

	while (tpm_journal_newest_before(limit, &day, &problem) && day != 0)
	{
		remove_file(day);
		limit = day;
	}
}
