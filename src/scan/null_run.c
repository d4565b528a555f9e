/*-------------------------------------------------------------------------
 *
 * null_run.c
 *		Where the values of an ordered list begin that begins with NULLs.
 *
 * Many APIs put NULLs first where the largest values are asked for, so that
 * "not null, the ten largest" would read all NULLs before the first value.
 * Where addresses of pages can be computed, the page on which they end is
 * searched for instead.  Owns which page is looked at next: with statistics the
 * one that they tell, then those around it, at growing distances; without, the
 * middle.  Reading pages is source.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_statistic.h"
#include "utils/syscache.h"

#include "scan/null_run.h"

/* the part of the rows in which the column is NULL, as ANALYZE found it; -1: it has not */
static double
null_fraction(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid), Int16GetDatum(attnum),
										BoolGetDatum(false));
	double		fraction;

	if (!HeapTupleIsValid(tuple))
		return -1;
	fraction = ((Form_pg_statistic) GETSTRUCT(tuple))->stanullfrac;
	ReleaseSysCache(tuple);
	return fraction;
}

bool
tpm_null_run_begin(TpmNullRun *run, Oid relid, AttrNumber attnum, int64 total, int a_page)
{
	double		fraction = null_fraction(relid, attnum);

	run->low = 0;
	run->high = (int) Min((total + a_page - 1) / a_page, PG_INT32_MAX / 2);
	if (run->high <= 1)
		return false;
	run->step = fraction >= 0 ? 1 : run->high;
	run->at = fraction >= 0 ? (int) Min(fraction * total / a_page, PG_INT32_MAX / 2) : run->high / 2;
	run->at = Min(Max(run->at, 1), run->high - 1);
	return true;
}

bool
tpm_null_run_goes_on(TpmNullRun *run, bool only_nulls)
{
	int			middle;

	if (only_nulls)
		run->low = run->at;
	else
		run->high = run->at;
	if (run->low + 1 >= run->high)
		return false;
	middle = (run->low + run->high) / 2;
	run->at = only_nulls ? Min(run->low + run->step, middle) : Max(run->high - run->step, middle);
	run->step = Min(run->step * 2, run->high);
	return true;
}
