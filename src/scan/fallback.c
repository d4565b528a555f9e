/*-------------------------------------------------------------------------
 *
 * fallback.c
 *		An older answer in place of an error.
 *
 * Owns which problems an older answer may stand in for, and what the user is
 * told.  Where such an answer comes from is source.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "scan/scan.h"

bool
tpm_fallback_is_for(const TpmProblem *problem)
{
	switch (problem->sqlerrcode)
	{
		case ERRCODE_CONFIGURATION_LIMIT_EXCEEDED:
		case ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION:
		case ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			return true;
		default:
			return false;
	}
}

static int64
seconds_since(TimestampTz fetched)
{
	return Max(GetCurrentTimestamp() - fetched, 0) / USECS_PER_SEC;
}

void
tpm_fallback_warn(const TpmScan *scan, TimestampTz fetched, const TpmProblem *problem)
{
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("an answer of %s, " INT64_FORMAT " s old, is given for foreign table %s",
					timestamptz_to_str(fetched), seconds_since(fetched), scan->table->name),
			 errdetail("There is no newer one: %s%s%s", problem->message,
					   problem->detail ? ": " : "", problem->detail ? problem->detail : ""),
			 errhint("tpm_fdw.cache_stale allows it.")));
}

void
tpm_fallback_name(TpmProblem *problem, TimestampTz fetched)
{
	int64		age = seconds_since(fetched);

	/* some room, so that the advice is still good when it is taken */
	problem->hint = psprintf("The cache holds an answer that is " INT64_FORMAT " s old: SET tpm_fdw.cache_stale = '" INT64_FORMAT "s' accepts it.%s%s",
							 age, age + 600, problem->hint ? " " : "", problem->hint ? problem->hint : "");
}
