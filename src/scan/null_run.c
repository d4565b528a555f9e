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
 * middle.  Pages are read by source.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_statistic.h"
#include "utils/syscache.h"

#include "scan/source_internal.h"

/* a search over pages, which are counted from 0 */
typedef struct NullRun
{
	int			low;			/* the last that is known to hold NULLs only */
	int			high;			/* the first that is known to begin with a
								 * value, or behind the last one */
	int			at;				/* the one to look at */
	int			step;			/* from there, if that was not far enough */
} NullRun;

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

/* the first page holds NULLs only.  False: nothing is left to be found. */
static bool
begin_null_run(NullRun *run, Oid relid, AttrNumber attnum, int64 total, int a_page)
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

/* what was looked at holds NULLs only, or begins with a value.  False: the values begin there, or right behind it. */
static bool
null_run_goes_on(NullRun *run, bool only_nulls)
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

/* ----- the list that is read ----- */

static bool
is_row_unwanted(const TpmSource *source, int at)
{
	return tpm_order_is_unwanted(source->scan->order, source->page->rows[at].tuple);
}

bool
tpm_source_begins_with_nulls(const TpmSource *source)
{
	return source->ordered && !source->request->may_tie && tpm_list_may_skip(source->list) &&
		is_row_unwanted(source, 0) && is_row_unwanted(source, source->page->nrows - 1);
}

/* reads that page of the list; false: there is none */
static bool
jump_to(TpmSource *source, const TpmListCursor *first, int page)
{
	tpm_source_open_list_again(source);
	tpm_list_skip_to(source->list, first, page);
	source->page = tpm_source_receive(source);
	source->row = 0;
	if (source->page)
		tpm_source_take_page(source);
	return source->page != NULL;
}

bool
tpm_source_pass_nulls(TpmSource *source)
{
	NullRun		run;
	TpmListCursor first,
				now;

	tpm_list_get_cursor(source->list, &first);
	first.url = pstrdup(first.url);
	if (!begin_null_run(&run, source->scan->table->relid, tpm_order_attnum(source->scan->order), first.total,
						first.first_page_rows))
		return true;
	source->skips = true;
	do
	{
		if (!jump_to(source, &first, run.at))
		{
			/* there are fewer than the first page has told */
			if (source->problem || run.at == run.low + 1)
				return false;
			return jump_to(source, &first, run.low + 1);
		}

		/*
		 * the second page is where the first one's link leads, whatever
		 * numbers mean
		 */
		if (run.at > 1 && !tpm_list_has_skipped(source->list, &first, source->page))
			return jump_to(source, &first, 1);
		tpm_list_get_cursor(source->list, &now);
	} while (!now.restarted && is_row_unwanted(source, 0) == is_row_unwanted(source, source->page->nrows - 1) &&
			 null_run_goes_on(&run, is_row_unwanted(source, 0)));
	return true;
}
