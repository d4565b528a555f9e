/*-------------------------------------------------------------------------
 *
 * admission.c
 *		Which requests may be sent at all: switches, caps, waits.
 *
 * Owns max_requests, max_wait and enabled: what is refused, when, and in which
 * words.  When a slot comes is the budget's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "client/client_internal.h"
#include "shared/shared.h"

int			tpm_max_wait = 30000;
int			tpm_max_requests = 200;
double		tpm_leave_free = 0.1;
int			tpm_small_statement = 10;

/* ----- one call ----- */

void
tpm_call_check_enabled(TpmCall *call)
{
	int			enabled = tpm_enabled_now();

	if (enabled == TPM_ENABLED_OFF ||
		(enabled == TPM_ENABLED_READ && (call->flags & TPM_CALL_WRITE)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is not sent", call->name),
				 errdetail("tpm_fdw.enabled is \"%s\".",
						   enabled == TPM_ENABLED_OFF ? "off" : "read"),
				 errhint("An administrator has switched this off in postgresql.conf.")));
}

void
tpm_call_check_max_requests(TpmCall *call)
{
	TpmStatement *statement = call->session->statement;

	if ((call->flags & (TPM_CALL_WRITE | TPM_CALL_CHECK | TPM_CALL_PART)) || tpm_max_requests == 0 ||
		statement->requests < tpm_max_requests)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("the statement needs more than %d requests", tpm_max_requests),
			 errdetail(INT64_FORMAT " requests have been sent; the setting tpm_fdw.max_requests allows no more.",
					   statement->requests),
			 errhint("Add a condition that the API can filter by, or raise tpm_fdw.max_requests.")));
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

static void
raise_no_slot(TpmCall *call, const TpmBudgetState *state)
{
	TpmSession *session = call->session;

	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("the request budget of server \"%s\" is exhausted", session->server->name),
			 errdetail("%s would have to wait until %s, longer than tpm_fdw.max_wait (%d ms); %s; waiting: %d.",
					   call->name, timestamptz_to_str(state->next_slot), tpm_max_wait,
					   hour_words(state), state->waiting),
			 errhint("Raise tpm_fdw.max_wait to wait for it; SET tpm_fdw.cache_stale to accept an older answer.")));
}

/*
 * Only waits that the hour, the minute or a pause impose are refused: below
 * them slots come every fraction of a second.
 */
void
tpm_call_check_max_wait(TpmCall *call, int64 slot_us)
{
	TpmBudgetState state;

	if (tpm_max_wait < 0 ||
		slot_us - tpm_monotonic_us() <= tpm_max_wait * INT64CONST(1000))
		return;
	tpm_budget_state(&call->session->budget, &state);
	if (state.paused_until_us <= tpm_monotonic_us() &&
		(state.limit_hour == 0 || state.used_hour + state.waiting < state.limit_hour * (1 - tpm_leave_free)) &&
		(state.limit_minute == 0 || state.used_minute + state.waiting < state.limit_minute) &&
		call->session->budget.endpoint == NULL)
		return;
	raise_no_slot(call, &state);
}

/* ----- what is known of a statement ----- */

/* would one of the next n requests have to wait longer than max_wait? */
static bool
would_wait_too_long(TpmSession *session, int64 n)
{
	TpmLine		line = tpm_statement_line(session->statement);
	int64		leaves_us;

	return tpm_budget_longest_wait(&session->budget, line, tpm_leave_free,
								   (int) Min(n, INT_MAX), &leaves_us) > tpm_max_wait * INT64CONST(1000);
}

static void
admit_waits(TpmSession *session, int64 n, const char *hint)
{
	TpmBudgetState state;

	if (tpm_max_wait < 0 || !would_wait_too_long(session, n))
		return;
	tpm_budget_state(&session->budget, &state);
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("the request budget of server \"%s\" does not suffice", session->server->name),
			 errdetail("Needed: " INT64_FORMAT " requests; %s; tpm_fdw.leave_free keeps %.0f%% free; the next slot: %s.",
					   n, hour_words(&state), tpm_leave_free * 100,
					   timestamptz_to_str(state.next_slot)),
			 errhint("%s", hint)));
}

void
tpm_client_admit_writes(TpmSession *session, int64 n)
{
	TpmStatement *statement = session->statement;

	statement->expected = Max(statement->expected, statement->requests + statement->writes + n);
	session->expected = Max(session->expected, session->requests + n);
	if (n <= 0)
		return;
	if (n > 1)
		admit_waits(session, n, "Raise tpm_fdw.max_wait to wait for them, or write fewer rows at once. Nothing of this has been sent.");
	tpm_session_announce(session, n);
}

void
tpm_client_admit(TpmSession *session, int64 n)
{
	TpmStatement *statement = session->statement;

	statement->expected = Max(statement->expected, statement->requests + n);
	session->expected = Max(session->expected, session->requests + n);
	if (n <= 0)
		return;
	if (tpm_max_requests > 0 && statement->requests + n > tpm_max_requests)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("the statement needs " INT64_FORMAT " requests, more than tpm_fdw.max_requests (%d)",
						statement->requests + n, tpm_max_requests),
				 errdetail(INT64_FORMAT " sent so far, " INT64_FORMAT " still to send.",
						   statement->requests, n),
				 errhint("Add a condition that the API can filter by, or raise tpm_fdw.max_requests.")));
	admit_waits(session, n, "Raise tpm_fdw.max_wait to wait, or ask for less; SET tpm_fdw.cache_stale to accept an older answer.");
	tpm_session_announce(session, n);
}
