/*-------------------------------------------------------------------------
 *
 * forecast.c
 *		How long the requests that are still to be sent will take.
 *
 * Owns the arithmetic of slots and measured answers, for tpm_fdw_progress and
 * for people.  What is known to be needed is the caller's.  Sends nothing,
 * waits for nothing, holds no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "client/client.h"

/* nobody needs to be told of less */
#define TPM_LONG_US		(60 * INT64CONST(1000000))

/* nor of more than a century, whatever number of rows an API announces */
#define TPM_LONGEST_US	(100 * 365.25 * USECS_PER_DAY)

typedef struct Forecast
{
	int64		n;				/* requests still to be sent */
	int64		each_us;		/* a measured answer; 0: none yet */
	int			lanes;			/* under way at a time */
	int64		last_slot_us;	/* from now, until the budget lets the last
								 * one leave */
	int64		total_us;
} Forecast;

TpmLine
tpm_statement_line(const TpmStatement *statement)
{
	return statement->expected > tpm_small_statement ? TPM_LINE_LARGE : TPM_LINE_SMALL;
}

/* false: they will never all be sent, as things are */
static bool
forecast(const TpmSession *session, int64 n, Forecast *f)
{
	TpmBudgetState state;
	int64		slot;

	tpm_budget_state(&session->budget, &state);
	f->n = n;
	f->lanes = Max(session->lanes, 1);
	f->each_us = session->answers > 0 ? session->answers_us / session->answers : 0;
	slot = tpm_budget_forecast(&session->budget, tpm_statement_line(session->statement), tpm_leave_free,
							   (int) Min(n + state.waiting, INT_MAX));
	if (slot == PG_INT64_MAX)
		return false;
	f->last_slot_us = n > 0 ? Max(slot - tpm_monotonic_us(), 0) : 0;
	f->total_us = Max(n > 0 ? f->last_slot_us + f->each_us : 0,
					  (int64) Min((double) n / f->lanes * f->each_us, TPM_LONGEST_US));
	return true;
}

static TimestampTz
expected_end(const TpmSession *session)
{
	Forecast	f;

	if (session->expected == 0 || session->progress == NULL ||
		!forecast(session, Max(session->expected - session->requests, 0), &f))
		return 0;
	return GetCurrentTimestamp() + f.total_us;
}

void
tpm_session_show(const TpmSession *session, int64 rows)
{
	tpm_progress_update(session->progress, session->requests,
						session->expected == 0 ? 0 : Max(session->expected, session->requests), rows,
						expected_end(session));
}

/* ----- for people ----- */

static char *
duration(int64 us)
{
	int64		s = (us + 500000) / 1000000;

	if (s < 60)
		return psprintf("%d s", (int) s);
	if (s < 3600)
		return psprintf("%d min %02d s", (int) (s / 60), (int) (s % 60));
	return psprintf(INT64_FORMAT " h %02d min", s / 3600, (int) (s % 3600 / 60));
}

static void
add_limit(StringInfo words, int limit, const char *window)
{
	if (limit > 0)
		appendStringInfo(words, "%s%d %s", words->len > 0 ? ", " : "", limit, window);
}

static char *
limits_in_words(const TpmSession *session)
{
	TpmBudgetState state;
	StringInfoData words;

	tpm_budget_state(&session->budget, &state);
	initStringInfo(&words);
	add_limit(&words, state.limit_second, "a second");
	add_limit(&words, state.limit_minute, "a minute");
	add_limit(&words, state.limit_hour, "an hour");
	if (state.limit_hour > 0)
		appendStringInfo(&words, " (%d used; tpm_fdw.leave_free keeps %d)", state.used_hour,
						 (int) rint(state.limit_hour * tpm_leave_free));
	return words.len > 0 ? words.data : "none";
}

void
tpm_session_announce(TpmSession *session, int64 n)
{
	Forecast	f;

	if (session->announced || !forecast(session, n, &f) || f.total_us <= TPM_LONG_US)
		return;
	session->announced = true;
	ereport(NOTICE,
			(errmsg("foreign table %s: " INT64_FORMAT " more requests will take about %s",
					session->table ? session->table->name : session->server->name, n, duration(f.total_us)),
			 f.each_us > 0
			 ? errdetail("An answer takes " INT64_FORMAT " ms, up to %d requests are under way at a time; the last can leave in %s under the limits: %s.",
						 (f.each_us + 500) / 1000, f.lanes, duration(f.last_slot_us), limits_in_words(session))
			 : errdetail("The last can leave in %s under the limits: %s.",
						 duration(f.last_slot_us), limits_in_words(session)),
			 errhint("The view tpm_fdw_progress shows how far it has come.")));
}
