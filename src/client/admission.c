/*-------------------------------------------------------------------------
 *
 * admission.c
 *		Which requests may be sent at all, and how long those to come will take.
 *
 * Owns max_requests, max_wait and enabled: what is refused, when, and in which
 * words; and the arithmetic of slots and measured answers behind it and behind
 * tpm_fdw_progress.  When a slot comes is the budget's.  Sends nothing, waits for
 * nothing, holds no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "client/client.h"
#include "client/client_internal.h"
#include "shared/shared.h"

int			tpm_max_wait = 30000;
int			tpm_max_requests = 200;
double		tpm_leave_free = 0.1;
int			tpm_small_statement = 10;

/* nobody needs to be told of less */
#define TPM_LONG_US		(60 * INT64CONST(1000000))

/* nor of more than a century, whatever number of rows an API announces */
#define TPM_LONGEST_US	(100 * 365.25 * USECS_PER_DAY)

/* what has been sent is answered in less, as a rule, so that it is not a slot that is waited for */
#define TPM_UNDER_WAY_US	(2 * INT64CONST(1000000))

#define WAIT_HINT	"Raise tpm_fdw.max_wait to wait, or ask for less; SET tpm_fdw.cache_stale to accept an older answer."

typedef struct Forecast
{
	int64		n;				/* requests still to be sent */
	int64		each_us;		/* a measured answer; 0: none yet */
	int			lanes;			/* under way at a time */
	int64		last_slot_us;	/* from now, until the budget lets the last
								 * one leave */
	int64		total_us;
} Forecast;

/* ----- how long what is still to be sent will take ----- */

/* where a statement stands in line, as far as it is known */
static TpmLine
statement_line(const TpmStatement *statement)
{
	return statement->patient || statement->expected > tpm_small_statement ? TPM_LINE_LARGE : TPM_LINE_SMALL;
}

double
tpm_statement_leave_free(const TpmStatement *statement)
{
	return statement->patient ? statement->leaves_free : tpm_leave_free;
}

int64
tpm_statement_patience(const TpmStatement *statement)
{
	/* whoever is refused for an hour would be for longer */
	if (statement->patient)
		return tpm_hour * INT64CONST(1000000);
	return tpm_max_wait < 0 ? -1 : tpm_max_wait * INT64CONST(1000);
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
	slot = tpm_budget_forecast(&session->budget, statement_line(session->statement),
							   tpm_statement_leave_free(session->statement), (int) Min(n + state.waiting, INT_MAX));
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
add_limit_words(StringInfo words, int limit, const char *window)
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
	add_limit_words(&words, state.limit_second, "a second");
	add_limit_words(&words, state.limit_minute, "a minute");
	add_limit_words(&words, state.limit_hour, "an hour");
	if (state.limit_hour > 0)
		appendStringInfo(&words, " (%d used; tpm_fdw.leave_free keeps %d)", state.used_hour,
						 (int) rint(state.limit_hour * tpm_leave_free));
	return words.len > 0 ? words.data : "none";
}

/* a NOTICE, once, if n more requests will take more than a minute */
static void
announce_long_wait(TpmSession *session, int64 n)
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

/* ----- may it be sent: one call ----- */

bool
tpm_call_check_enabled(TpmCall *call)
{
	int			enabled = tpm_enabled_now();

	if (enabled != TPM_ENABLED_OFF &&
		(enabled != TPM_ENABLED_READ || !(call->flags & TPM_CALL_WRITE)))
		return true;
	tpm_call_fail(call, tpm_problem(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
									psprintf("%s is not sent", call->name),
									psprintf("tpm_fdw.enabled is \"%s\".",
											 enabled == TPM_ENABLED_OFF ? "off" : "read"),
									"An administrator has switched this off in postgresql.conf."));
	return false;
}

bool
tpm_call_is_limited(const TpmCall *call)
{
	return (call->flags & (TPM_CALL_WRITE | TPM_CALL_CHECK | TPM_CALL_PART)) == 0;
}

bool
tpm_call_check_max_requests(TpmCall *call)
{
	TpmStatement *statement = call->session->statement;

	if (!tpm_call_is_limited(call) || statement->patient || tpm_max_requests == 0 ||
		statement->departed < tpm_max_requests)
		return true;
	tpm_call_fail(call, tpm_problem(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
									psprintf("the statement needs more than %d requests, and will later, too", tpm_max_requests),
									psprintf(INT64_FORMAT " requests have been sent; the setting tpm_fdw.max_requests allows no more, whenever it is asked.",
											 statement->departed),
									"Add a condition that the API can filter by, or raise tpm_fdw.max_requests."));
	return false;
}

/* where there is no limit an hour, something else stands in the way */
static char *
hour_words(const TpmBudgetState *state)
{
	StringInfoData words;

	initStringInfo(&words);
	appendStringInfo(&words, "used this hour: %d", state->used_hour);
	if (state->limit_hour > 0)
		appendStringInfo(&words, " of %d", state->limit_hour);
	appendStringInfo(&words, ", %d by this session", state->own_hour);
	if (state->paused_until_us > tpm_monotonic_us())
		appendStringInfoString(&words, "; after status 429 all requests pause");
	return words.data;
}

/* of a slot, on the wall clock; nobody waits for fractions */
static char *
time_in_words(int64 slot_us)
{
	int64		wait_us = Max(slot_us - tpm_monotonic_us(), 0);
	TimestampTz at;

	if (wait_us > TPM_LONGEST_US)
		return pstrdup("further notice");
	at = GetCurrentTimestamp() + wait_us;
	return pstrdup(timestamptz_to_str((at / USECS_PER_SEC + 1) * USECS_PER_SEC));
}

/* once the last one could leave at once, none of them waits any more */
static char *
when_it_suffices(const TpmSession *session, const TpmBudgetState *state, int64 n)
{
	int			most = (int) (state->limit_hour * (1 - tpm_leave_free));
	Forecast	f;

	if (state->limit_hour > 0 && n > most)
		return psprintf(": an hour has %d for it", most);
	return psprintf(" before %s", time_in_words(forecast(session, n, &f) ? tpm_monotonic_us() + f.last_slot_us : PG_INT64_MAX));
}

static TpmProblem *
no_slot(const TpmCall *call, const TpmBudgetState *state, int64 slot_us)
{
	TpmSession *session = call->session;

	return tpm_problem(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
					   psprintf("the request budget of server \"%s\" is exhausted until %s", session->server->name,
								time_in_words(slot_us)),
					   psprintf("%s would have to wait until %s, longer than tpm_fdw.max_wait (%d ms); %s; waiting: %d.",
								call->name, time_in_words(slot_us), tpm_max_wait,
								hour_words(state), state->waiting),
					   "Raise tpm_fdw.max_wait to wait for it; SET tpm_fdw.cache_stale to accept an older answer.");
}

/*
 * Only waits that the hour, the minute or a pause impose are refused: below
 * them slots come every fraction of a second.
 */
bool
tpm_call_check_max_wait(TpmCall *call, int64 slot_us)
{
	TpmBudgetState state;

	if (tpm_max_wait < 0 || call->session->statement->patient ||
		slot_us - tpm_monotonic_us() <= tpm_max_wait * INT64CONST(1000))
		return true;
	tpm_budget_state(&call->session->budget, &state);
	if (state.paused_until_us <= tpm_monotonic_us() &&
		(state.limit_hour == 0 || state.used_hour + state.waiting < state.limit_hour * (1 - tpm_leave_free)) &&
		(state.limit_minute == 0 || state.used_minute + state.waiting < state.limit_minute) &&
		call->session->budget.endpoint == NULL)
		return true;
	tpm_call_fail(call, no_slot(call, &state, slot_us));
	return false;
}

/* ----- may it be sent: what is known of a statement ----- */

/* would one of the next n requests have to wait longer for its slot? */
static bool
would_wait_longer(TpmSession *session, int64 n, int64 than_us)
{
	TpmLine		line = statement_line(session->statement);
	int64		leaves_us;

	return tpm_budget_longest_wait(&session->budget, line, tpm_leave_free,
								   (int) Min(n, INT_MAX), &leaves_us) > than_us;
}

static bool
would_wait_too_long(TpmSession *session, int64 n)
{
	return would_wait_longer(session, n, tpm_max_wait * INT64CONST(1000));
}

static TpmProblem *
refuse_waits(TpmSession *session, int64 n, const char *hint)
{
	TpmBudgetState state;

	if (tpm_max_wait < 0 || !would_wait_too_long(session, n))
		return NULL;
	tpm_budget_state(&session->budget, &state);
	return tpm_problem(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
					   psprintf("the request budget of server \"%s\" does not suffice for " INT64_FORMAT " requests%s",
								session->server->name, n, when_it_suffices(session, &state, n)),
					   psprintf("Needed: " INT64_FORMAT " requests; %s; tpm_fdw.leave_free keeps %.0f%% free; the next slot: %s.",
								n, hour_words(&state), tpm_leave_free * 100,
								timestamptz_to_str(state.next_slot)),
					   hint);
}

void
tpm_client_admit_writes(TpmSession *session, int64 n)
{
	TpmStatement *statement = session->statement;
	TpmProblem *problem = NULL;

	statement->expected = Max(statement->expected, statement->requests + statement->writes + n);
	session->expected = Max(session->expected, session->requests + n);
	if (n <= 0)
		return;
	if (n > 1)
		problem = refuse_waits(session, n, "Raise tpm_fdw.max_wait to wait for them, or write fewer rows at once. Nothing of this has been sent.");
	tpm_problem_check(problem);
	announce_long_wait(session, n);
}

static bool
exceeds_max_requests(const TpmStatement *statement, int64 n)
{
	return tpm_max_requests > 0 && statement->requests + n > tpm_max_requests;
}

int64
tpm_client_allows(TpmSession *session, int64 n)
{
	TpmStatement *statement = session->statement;
	int64		expected = statement->expected;
	int64		may = 0;

	/* it would be a statement of so many */
	statement->expected = Max(expected, statement->requests + n);
	while (may < n)
	{
		int64		middle = may + (n - may + 1) / 2;

		if (exceeds_max_requests(statement, middle + session->besides) ||
			(tpm_max_wait >= 0 && would_wait_too_long(session, middle + session->besides)))
			n = middle - 1;
		else
			may = middle;
	}
	statement->expected = expected;
	return may;
}

TpmProblem *
tpm_client_refuses(TpmSession *session, int64 n)
{
	TpmStatement *statement = session->statement;
	TpmProblem *problem;

	session->expected = Max(session->expected, session->requests + n);

	/*
	 * one request tells whether there are rows, without which others may not
	 * begin
	 */
	if (n > 1)
		n += session->besides;
	statement->expected = Max(statement->expected, statement->requests + n);
	if (n <= 0)
		return NULL;
	if (exceeds_max_requests(statement, n))
		return tpm_problem(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
						   psprintf("the statement needs " INT64_FORMAT " requests, more than tpm_fdw.max_requests (%d), and will later, too",
									statement->requests + n, tpm_max_requests),
						   psprintf(INT64_FORMAT " sent so far, " INT64_FORMAT " still to send.",
									statement->requests, n),
						   "Add a condition that the API can filter by, or raise tpm_fdw.max_requests.");
	problem = refuse_waits(session, n, WAIT_HINT);
	if (problem == NULL)
		announce_long_wait(session, n);
	return problem;
}

TpmProblem *
tpm_client_refuses_to_wait(TpmSession *session, int64 waited_us)
{
	int64		patience_us = Max(tpm_max_wait * INT64CONST(1000), TPM_UNDER_WAY_US);

	return waited_us > patience_us && would_wait_longer(session, 1, patience_us)
		? refuse_waits(session, 1, WAIT_HINT) : NULL;
}

void
tpm_client_admit(TpmSession *session, int64 n)
{
	tpm_problem_check(tpm_client_refuses(session, n));
}
