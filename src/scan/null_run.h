/*-------------------------------------------------------------------------
 *
 * null_run.h
 *		Where the values of an ordered list begin that begins with NULLs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_NULL_RUN_H
#define TPM_NULL_RUN_H

#include "access/attnum.h"

/* a search over pages, which are counted from 0 */
typedef struct TpmNullRun
{
	int			low;			/* the last that is known to hold NULLs only */
	int			high;			/* the first that is known to begin with a
								 * value, or behind the last one */
	int			at;				/* the one to look at */
	int			step;			/* from there, if that was not far enough */
} TpmNullRun;

/* the first page holds NULLs only.  False: nothing is left to be found. */
extern bool tpm_null_run_begin(TpmNullRun *run, Oid relid, AttrNumber attnum, int64 total, int a_page);

/* what was looked at holds NULLs only, or begins with a value.  False: the values begin there, or right behind it. */
extern bool tpm_null_run_goes_on(TpmNullRun *run, bool only_nulls);

#endif							/* TPM_NULL_RUN_H */
