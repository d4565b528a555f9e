/*-------------------------------------------------------------------------
 *
 * table_stats_file.h
 *		What was learnt about tables, as it is kept on disk.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_TABLE_STATS_FILE_H
#define TPM_TABLE_STATS_FILE_H

#include "shared/counters.h"

typedef struct TpmLearntKept
{
	Oid			dbid;
	Oid			relid;
	uint64		options_hash;
	TpmTableStats learnt;
} TpmLearntKept;

/* at the server's start: reads what is good of the file, and begins it anew with that */
extern int	tpm_learnt_file_load(TpmLearntKept *kept, int most);

/* at its place in the file; a failure is no more than a LOG line */
extern void tpm_learnt_file_write(const TpmLearntKept *kept, int place);

#endif							/* TPM_TABLE_STATS_FILE_H */
