/*-------------------------------------------------------------------------
 *
 * copy_price.c
 *		What reading a foreign table whole will cost, before anything is sent.
 *
 * Owns the part of the hour that copies may use, as a number for people.  Whether a request may
 * leave, and when, the budget decides.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "utils/syscache.h"

#include "copy/copy_internal.h"
#include "shared/budget/budget.h"
#include "shared/counters.h"

double		tpm_copy_leave_free = 0.5;

/* of the hour, for reading again what has most likely not changed */
#define PART_FOR_WHOLE_READS 0.05

static double
rows_analyzed(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows = -1;

	if (HeapTupleIsValid(tuple))
	{
		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	return rows;
}

double
tpm_copy_pages_known(const TpmTable *table)
{
	TpmTableStats learnt;
	double		rows;
	int			a_page = table->opt.page_size;

	learnt.total = -1;
	if (tpm_table_stats_get(table->relid, table->options_hash, &learnt))
		a_page = tpm_table_stats_page(&learnt, a_page);
	rows = learnt.total >= 0 ? (double) learnt.total : rows_analyzed(table->relid);
	return rows < 0 ? -1 : Max(1, ceil(rows / a_page));
}

/* a limit that is none is 0 */
static double
lesser_limit(double hourly, int limit, double times)
{
	double		other = (double) limit * times;

	if (other <= 0 || (hourly > 0 && hourly < other))
		return hourly;
	return other;
}

/* requests an hour by every limit that the table has; 0: none */
static double
hourly_limit(const TpmTable *table, double part_of_hour)
{
	double		share = tpm_rate_limit_share;
	double		hourly = 0;

	hourly = lesser_limit(hourly, table->opt.rate_limit_per_hour, share * part_of_hour);
	hourly = lesser_limit(hourly, table->endpoint_per_hour, share * part_of_hour);
	hourly = lesser_limit(hourly, table->opt.rate_limit_per_minute, share * 60);
	hourly = lesser_limit(hourly, table->endpoint_per_minute, share * 60);
	hourly = lesser_limit(hourly, table->opt.rate_limit_per_second, share * 3600);
	return lesser_limit(hourly, table->endpoint_per_second, share * 3600);
}

double
tpm_copy_requests_an_hour(const TpmTable *table)
{
	return hourly_limit(table, 1 - tpm_copy_leave_free);
}

int64
tpm_copy_pays_us(const TpmCopy *copy, const TpmTable *table, int64 pages)
{
	double		hourly = hourly_limit(table, PART_FOR_WHOLE_READS);
	int64		every = tpm_interval_us(copy->every);
	double		us = hourly > 0 ? pages / hourly * USECS_PER_HOUR : 0;

	return Max(every, us >= (double) PG_INT64_MAX ? PG_INT64_MAX : (int64) us);
}
