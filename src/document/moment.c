/*-------------------------------------------------------------------------
 *
 * moment.c
 *		Days and moments as texts, and the wall clock of the option timezone.
 *
 * Owns how a day and a moment are spelled to the API, and the one mapping
 * between moments and what a column without a zone holds: what is read by it,
 * is sent and written by its inverse.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "document/moment.h"

/* no offset from UTC is as long */
#define TPM_MOST_OFFSET		(INT64CONST(16) * USECS_PER_HOUR)

/* of the zone's clocks at a moment, east of Greenwich */
static int64
offset_at(TimestampTz moment, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			west;

	if (timestamp2tm(moment, &west, &tm, &fsec, NULL, zone) != 0)
		return 0;
	return -(int64) west * USECS_PER_SEC;
}

Timestamp
tpm_wall_clock(TimestampTz moment, const char *timezone)
{
	Timestamp	wall;

	if (TIMESTAMP_NOT_FINITE(moment))
		return moment;
	wall = moment + offset_at(moment, pg_tzset(timezone));
	if (!IS_VALID_TIMESTAMP(wall))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return wall;
}

TimestampTz
tpm_moment(Timestamp wall, const char *timezone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	TimestampTz moment;

	if (TIMESTAMP_NOT_FINITE(wall))
		return wall;
	if (timestamp2tm(wall, NULL, &tm, &fsec, NULL, NULL) != 0)
		return wall;
	moment = wall + (int64) DetermineTimeZoneOffset(&tm, pg_tzset(timezone)) * USECS_PER_SEC;
	if (!IS_VALID_TIMESTAMP(moment))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return moment;
}

/*
 * A clock that shows this is ahead of UTC by one of the offsets around it.
 * There is one, but where the clocks are changed within hours.
 */
TimestampTz
tpm_edge_moment(Timestamp wall, const char *timezone, bool last)
{
	pg_tz	   *zone = pg_tzset(timezone);
	TimestampTz edge = 0;

	for (int i = -1; i <= 1; i++)
	{
		TimestampTz moment = wall - offset_at(wall + i * TPM_MOST_OFFSET, zone);

		if (i == -1 || (last ? moment > edge : moment < edge))
			edge = moment;
	}
	return edge;
}

bool
tpm_zone_is_fixed(const char *timezone)
{
	long		offset;

	return pg_get_timezone_offset(pg_tzset(timezone), &offset);
}

char *
tpm_date_text(DateADT date)
{
	struct pg_tm tm = {0};

	if (DATE_NOT_FINITE(date))
		return NULL;
	j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	if (tm.tm_year < 1 || tm.tm_year > 9999)
		return NULL;
	return psprintf("%04d-%02d-%02d", tm.tm_year, tm.tm_mon, tm.tm_mday);
}

/* a time that a client sends must carry its zone: always UTC, always "Z" */
char *
tpm_moment_text(TimestampTz moment)
{
	struct pg_tm tm;
	fsec_t		fsec;
	StringInfoData text;

	if (TIMESTAMP_NOT_FINITE(moment) || timestamp2tm(moment, NULL, &tm, &fsec, NULL, NULL) != 0 ||
		tm.tm_year < 1 || tm.tm_year > 9999)
		return NULL;
	initStringInfo(&text);
	appendStringInfo(&text, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year, tm.tm_mon, tm.tm_mday,
					 tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (fsec != 0)
	{
		appendStringInfo(&text, ".%06d", (int) fsec);
		while (text.data[text.len - 1] == '0')
			text.data[--text.len] = '\0';
	}
	appendStringInfoChar(&text, 'Z');
	return text.data;
}
