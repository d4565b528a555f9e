/*-------------------------------------------------------------------------
 *
 * call.c
 *		One call of the API from start to end: its states, its steps, its outcome.
 *
 * Owns the order of token, budget, transport and retry; what became of each try
 * and whether there is another; and the loop in which a backend waits for calls.
 * A call is a state machine that never waits itself, so that several can be
 * under way; whoever needs an answer waits in tpm_call_wait().  How a call comes
 * to its token is token_step.c's, whether it may be sent at all admission.c's.
 *
 * The one retry policy, but for that of token requests: a read is tried again, a
 * write only where the answer, or its absence, says that nothing was done.  Every
 * try is counted here.  Holds no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/memutils.h"

#include "client/client_internal.h"
#include "base/redact.h"
#include "shared/cache/cache.h"
#include "shared/shared.h"

#define FIRST_PAUSE_US		INT64CONST(200000)
#define LONGEST_PAUSE_US	INT64CONST(30000000)
#define LONGEST_RETRY_AFTER_S	3600

bool		tpm_log_requests = false;

char *
tpm_call_name(const char *method, const char *url)
{
	const char *path = strstr(url, "://");
	const char *end;

	path = path ? strchr(path + 3, '/') : NULL;
	if (path == NULL)
		path = "/";
	end = strchr(path, '?');
	return psprintf("%s %.*s", method, (int) (end ? (size_t) (end - path) : strlen(path)), path);
}

/* ----- states ----- */

void
tpm_call_enter(TpmCall *call, TpmCallState state)
{
	call->state = state;
	call->state_since_us = tpm_monotonic_us();
	call->wake_us = call->state_since_us;
}

void
tpm_call_forget_attempt(TpmCall *call)
{
	call->ticket = NULL;
	call->transfer = NULL;
	call->secrets = NIL;
	MemoryContextReset(call->attempt_context);
}

void
tpm_call_fail(TpmCall *call, const TpmProblem *problem)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);

	call->problem = tpm_problem_copy(problem);
	MemoryContextSwitchTo(old);
	/* nobody may wait for what this call will not do */
	tpm_call_give_token_back(call, call->problem->message);
	tpm_call_forget_attempt(call);
	memset(&call->answer, 0, sizeof(call->answer));
	tpm_call_enter(call, CALL_DONE);
	call->wake_us = PG_INT64_MAX;
}

/* ----- when a call is tried again: the arithmetic ----- */

/* "Sun, 06 Nov 1994 08:49:37 GMT", the one date form that is still sent */
bool
tpm_read_http_date(const char *value, pg_time_t *when)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char		month[4];
	int			d,
				y,
				h,
				m,
				s;
	const char *found;
	const char *comma = strchr(value, ',');
	int			julian;

	if (comma == NULL ||
		sscanf(comma + 1, " %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT", &d, month, &y, &h, &m, &s) != 6)
		return false;
	found = strstr(months, month);
	if (found == NULL || strlen(month) != 3 || (found - months) % 3 != 0 || y < 1970)
		return false;
	julian = date2j(y, (int) (found - months) / 3 + 1, d);
	*when = (pg_time_t) (julian - UNIX_EPOCH_JDATE) * SECS_PER_DAY + h * 3600 + m * 60 + s;
	return true;
}

int64
tpm_retry_after_seconds(const char *value, pg_time_t now)
{
	pg_time_t	when;
	size_t		digits;

	if (tpm_read_http_date(value, &when))
		return Max(0, Min(when - now, LONGEST_RETRY_AFTER_S));
	/* RFC 9110, section 10.2.3: digits only, however many */
	digits = strspn(value, "0123456789");
	if (digits == 0 || value[digits + strspn(value + digits, " \t")] != '\0')
		return -1;
	return (int64) Min(strtod(value, NULL), LONGEST_RETRY_AFTER_S);
}

int64
tpm_retry_pause(int attempt, const char *retry_after)
{
	int64		asked = retry_after ? tpm_retry_after_seconds(retry_after, (pg_time_t) time(NULL)) : -1;
	double		pause;

	/* a second more than asked: the server's clock ticks in whole seconds */
	if (asked > 0)
		return (asked + 1) * INT64CONST(1000000);
	pause = Min((double) FIRST_PAUSE_US * (1 << Min(attempt - 1, 16)), (double) LONGEST_PAUSE_US);
	return (int64) (pause * (0.5 + pg_prng_double(&pg_global_prng_state) / 2));
}

bool
tpm_retry_fits(int64 began_us, int64 pause_us, const TpmOptions *opt)
{
	return tpm_monotonic_us() - began_us + pause_us < (int64) opt->request_timeout * 2000;
}

/* ----- the outcome of a try ----- */

static const char *
path_and_query(const char *url)
{
	const char *path = strstr(url, "://");

	path = path ? strchr(path + 3, '/') : NULL;
	return path ? path : "/";
}

static void
record(TpmCall *call, const char *error)
{
	TpmTransfer *transfer = call->transfer;
	TpmSession *session = call->session;
	TpmRequestRecord r = {
		.at = call->sent_at,
		.roleid = GetUserId(),
		.credential_role = session->credential->userid,
		.serverid = session->server->serverid,
		.relid = session->table ? session->table->relid : InvalidOid,
		.method = call->method,
		.path = path_and_query(call->url),
		.status = transfer->status,
		.error = error,
		.ms = (transfer->ended_us - transfer->started_us) / 1000.0,
		.waited_ms = call->waited_us / 1000.0,
		.bytes_in = transfer->bytes_in,
		.bytes_out = transfer->bytes_out,
		.attempt = call->attempt,
		.is_retry = call->attempt > 1,
	};

	tpm_count_request(&r);
	session->bytes_in += transfer->bytes_in;
	session->bytes_out += transfer->bytes_out;
	if (tpm_log_requests)
		ereport(LOG,
				(errmsg("%s: status %d, %.1f ms, waited %.1f ms, " INT64_FORMAT " bytes, try %d",
						call->name, r.status, r.ms, r.waited_ms, r.bytes_in, r.attempt),
				 errhidestmt(true)));
}

static TpmProblem *
not_reached(const TpmCall *call)
{
	const TpmTransfer *t = call->transfer;
	const TpmServer *server = call->session->server;

	switch (t->outcome)
	{
		case TPM_OUTCOME_FORBIDDEN:
			return tpm_problem(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION,
							   psprintf("%s may not be sent", call->name),
							   psprintf("The server \"%s\" resolves to an address on this machine or link, which only a server owned by a superuser may reach.",
										server->name),
							   NULL);
		case TPM_OUTCOME_TOO_LARGE:
			return tpm_problem(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
							   psprintf("the answer to %s is larger than max_response_size", call->name), NULL,
							   psprintf("Lower page_size, or raise max_response_size, of server \"%s\".",
										server->name));
		case TPM_OUTCOME_NO_MEMORY:
			return tpm_problem(ERRCODE_OUT_OF_MEMORY, "out of memory",
							   psprintf("The answer to %s had no room.", call->name),
							   psprintf("Lower page_size or fetch_concurrency of server \"%s\".", server->name));
		default:
			return tpm_problem(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION,
							   psprintf("no answer to %s after %d tries", call->name, call->attempt),
							   psprintf("%s: %s", server->origin, t->error[0] ? t->error : "connection lost"),
							   t->timed_out ? "The options connect_timeout and request_timeout say how long to wait."
							   : t->tls_failure ? "The option ca_file names the certificates to trust."
							   : t->no_host ? "Check the option base_url, and ip_family (IPv4 only by default)." : NULL);
	}
}

/*
 * By which a write knows what time it was when it was sent: the API's.  A 5xx
 * may be a gateway's, whose clock is its own.
 */
static void
note_clock(TpmCall *call)
{
	const TpmTransfer *t = call->transfer;
	pg_time_t	when;

	if ((call->flags & (TPM_CALL_WRITE | TPM_CALL_PART)) == 0 || t->date == NULL || t->status >= 500 ||
		!tpm_read_http_date(t->date, &when))
		return;
	call->session->clock.date = time_t_to_timestamptz(when);
	call->session->clock.at_us = t->ended_us;
}

/* what has come, for whoever reads it */
static void
note_answer(TpmCall *call)
{
	TpmTransfer *t = call->transfer;
	TpmAnswer  *answer = &call->answer;

	/* the body stays where libcurl's callback put it, until the call ends */
	answer->status = t->status;
	answer->body = t->body ? t->body : "";
	answer->len = t->body_len;

	/*
	 * A success may hold errors all the same, whose words are quoted.  A list
	 * is long, and whoever reads it knows of them.
	 */
	if (t->status > 299 || (call->flags != TPM_CALL_READ &&
							memmem(answer->body, answer->len, "\"errors\"", 8) != NULL))
		tpm_redact(answer->body, answer->len, call->secrets);
	answer->secrets = call->secrets;
	answer->etag = t->etag;
	answer->location = t->location;
	answer->date = t->date;
	answer->retry_after = t->retry_after;
	answer->link = t->link;
	answer->content_range = t->content_range;
	answer->challenge = t->challenge;
	answer->request_id = t->request_id;
	answer->outcome = t->outcome;
	answer->left = call->sent_at;
	answer->received = GetCurrentTimestamp();
	answer->took_us = t->ended_us - t->started_us;
	note_clock(call);
}

static void
done(TpmCall *call)
{
	const TpmAnswer *answer = &call->answer;

	note_answer(call);
	/* a time-out says how long nobody answered */
	if (answer->outcome == TPM_OUTCOME_ANSWERED)
	{
		call->session->slowest_us = Max(call->session->slowest_us, answer->took_us);
		call->session->answers_us += answer->took_us;
		call->session->answers++;
	}
	tpm_call_enter(call, CALL_DONE);
	call->wake_us = PG_INT64_MAX;
}

static void
pause_before_retry(TpmCall *call, int64 pause_us)
{
	call->session->retries++;
	call->attempt++;
	call->waited_us = 0;
	/* a write comes here only if the API cannot have acted on it */
	if (call->departure)
		call->departure->departed = false;
	call->last_status = call->transfer->status;
	tpm_call_forget_attempt(call);
	tpm_call_enter(call, CALL_PAUSE);
	call->wake_us += pause_us;
}

/* does the answer say that nothing was done, and nothing will be for a while? */
static bool
asks_to_wait(const TpmCall *call)
{
	int			status = call->transfer->status;

	return status == 429 ||
		((call->flags & TPM_CALL_WRITE) && list_member_int(call->session->opt->unacted_statuses, status));
}

/* a write is repeated only where the answer says that nothing was done */
static bool
is_unacted(TpmCall *call)
{
	int			status = call->transfer->status;

	note_answer(call);
	/* a 401 is repeated with a new token, if at all */
	return call->hooks->is_unacted(call->hooks_arg, &call->answer,
								   status == 401 || call->last_status == status);
}

/* then everybody of the budget stops, not only this backend */
static void
hold_everybody(TpmCall *call)
{
	const char *retry_after = call->transfer->retry_after;
	int			nth = retry_after ? call->attempt : tpm_budget_saw_429(&call->session->budget);

	tpm_budget_pause(&call->session->budget,
					 tpm_monotonic_us() + tpm_retry_pause(nth, retry_after));
}

static void
call_answered(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmTransfer *t = call->transfer;
	int			status = t->status;
	bool		write = (call->flags & TPM_CALL_WRITE) != 0;
	bool		waits = asks_to_wait(call);
	int64		pause = waits ? 0 : tpm_retry_pause(call->attempt, t->retry_after);
	int64		patience_us = tpm_statement_patience(session->statement);
	bool		again;

	record(call, status < 300 ? NULL : psprintf("status %d", status));
	if (status == 401 && session->server->opt.auth == TPM_AUTH_OAUTH2 && !call->renewed &&
		!tpm_challenge_is_of_scope(t->challenge))
	{
		call->renewed = true;
		if (call->departure)
			call->departure->departed = false;
		tpm_token_rejected(&session->token, call->generation);
		call->attempt++;
		tpm_call_forget_attempt(call);
		tpm_call_enter(call, CALL_TOKEN);
		return;
	}
	if (waits)
		hold_everybody(call);
	else
		tpm_budget_answered(call->ticket);

	if (waits)
		again = patience_us < 0 || call->attempt <= session->opt->max_retries ||
			tpm_monotonic_us() - call->began_us < patience_us;
	else
		again = call->attempt <= session->opt->max_retries &&
			tpm_retry_fits(call->began_us, pause, session->opt);
	if (again && (write ? status > 299 && is_unacted(call) : waits || status >= 500))
	{
		pause_before_retry(call, pause);
		return;
	}
	done(call);
	if (write || (call->flags & TPM_CALL_ANY) || (status >= 200 && status <= 299) || status == 404 ||
		status == 409 || status == 412 || status == 413 || status == 422)
		return;
	tpm_call_fail(call, tpm_problem_of_status(session, call->name, &call->answer));
}

static void
unanswered(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmTransfer *t = call->transfer;
	bool		write = (call->flags & TPM_CALL_WRITE) != 0;
	int64		pause;
	bool		again;

	if (t->outcome == TPM_OUTCOME_NO_SLOT)
	{
		/* the windows filled up while the connection was made: queue again */
		tpm_call_forget_attempt(call);
		tpm_call_enter(call, CALL_SLOT);
		return;
	}
	record(call, t->error[0] ? t->error : "no answer");

	again = t->outcome == TPM_OUTCOME_NOT_SENT ? !t->tls_failure && !t->no_host
		: t->outcome == TPM_OUTCOME_CONNECTION_DIED || t->outcome == TPM_OUTCOME_LOST ? !write : false;
	/* a dead connection in the pool says nothing about the server */
	pause = t->outcome == TPM_OUTCOME_CONNECTION_DIED && call->attempt == 1
		? 0 : tpm_retry_pause(call->attempt, NULL);
	if (again && call->attempt <= session->opt->max_retries &&
		tpm_retry_fits(call->began_us, pause, session->opt))
	{
		pause_before_retry(call, pause);
		return;
	}
	if (write && t->sendings > 0)
	{
		done(call);
		call->answer.doubtful = true;
		call->answer.problem = pstrdup(t->error[0] ? t->error : "connection lost");
		return;
	}
	tpm_call_fail(call, not_reached(call));
}

/* the end of a try, or nothing while it goes on */
static void
step_sent(TpmCall *call)
{
	TpmTransfer *t = call->transfer;

	if (!t->done)
	{
		call->wake_us = PG_INT64_MAX;
		return;
	}
	if (t->sendings > 0)
	{
		call->session->requests++;
		if (tpm_call_is_limited(call))
			call->session->statement->requests++;
	}
	else if (tpm_call_is_limited(call))
		call->session->statement->departed--;
	if (t->outcome == TPM_OUTCOME_ANSWERED)
		call_answered(call);
	else
		unanswered(call);
}

/* ----- the steps of a call ----- */

/* runs however the call ends: nobody may wait for a claim that is gone */
static void
call_gone(void *arg)
{
	tpm_call_give_token_back(arg, "interrupted");
}

/* from inside libcurl: must neither throw nor wait */
static bool
departing(void *arg)
{
	TpmCall    *call = arg;

	if (!tpm_budget_departing(call->ticket))
		return false;
	if (call->departure)
	{
		call->departure->departed = true;
		call->departure->times++;
		call->departure->at_us = tpm_monotonic_us();
		if (call->departure->first_us == 0)
			call->departure->first_us = call->departure->at_us;
	}
	return true;
}

TpmProblem *
tpm_client_spec(const TpmServer *server, const TpmOptions *opt, TpmHttpSpec *spec)
{
	TpmProblem *problem = NULL;

	memset(spec, 0, sizeof(*spec));
	spec->connect_timeout = opt->connect_timeout;
	spec->request_timeout = opt->request_timeout;
	spec->ip_family = opt->ip_family;
	spec->proxy = opt->proxy;
	spec->private_ok = server->owner_is_superuser;
	if (opt->ca_file)
		problem = tpm_check_file_option(server, "ca_file", opt->ca_file);
	if (opt->client_cert && problem == NULL)
		problem = tpm_check_file_option(server, "client_cert", opt->client_cert);
	if (opt->client_key && problem == NULL)
		problem = tpm_check_file_option(server, "client_key", opt->client_key);
	spec->ca_file = opt->ca_file;
	spec->client_cert = opt->client_cert;
	spec->client_key = opt->client_key;
	return problem;
}

static TpmLine
line_of(TpmCall *call)
{
	TpmStatement *statement = call->session->statement;

	if (call->flags & TPM_CALL_CHECK)
		return TPM_LINE_SMALL;
	if (statement->patient)
		return TPM_LINE_LARGE;
	if (call->flags & (TPM_CALL_WRITE | TPM_CALL_PART))
		return Max(statement->writes + 1, statement->expected) > tpm_small_statement
			? TPM_LINE_LARGE : TPM_LINE_SMALL;
	return Max(statement->requests + 1, statement->expected) > tpm_small_statement
		? TPM_LINE_LARGE : TPM_LINE_SMALL;
}

static void
add_header(List **headers, const char *name, const char *value)
{
	*headers = lappend(*headers, psprintf("%s: %s", name, value));
}

static void
add_header_lines(List **headers, const char *lines)
{
	char	   *copy;
	char	   *save;

	if (lines == NULL)
		return;
	copy = pstrdup(lines);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (line[0])
			*headers = lappend(*headers, line);
}

static void
send_call(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmHttpSpec *spec = &call->spec;
	List	   *secret_headers = NIL;
	MemoryContext old = MemoryContextSwitchTo(call->attempt_context);
	TpmProblem *problem = tpm_client_spec(session->server, session->opt, spec);

	if (problem)
	{
		MemoryContextSwitchTo(old);
		tpm_call_fail(call, problem);
		return;
	}
	spec->method = call->method;
	spec->url = call->url;
	spec->origin = session->server->origin;
	spec->body = call->body;
	spec->body_len = call->body ? strlen(call->body) : 0;
	spec->max_body = session->opt->max_response_size;
	spec->request_id_header = session->opt->request_id_header;
	spec->alone = (call->flags & TPM_CALL_WRITE) != 0;
	spec->departing = departing;
	spec->departing_arg = call;
	add_header(&spec->headers, "Accept", session->opt->media_type);
	if (call->body)
	{
		add_header(&spec->headers, "Content-Type", session->opt->media_type);
		spec->headers = lappend(spec->headers, "Expect:");
	}
	if (call->token)
		add_header(&spec->headers, "Authorization", psprintf("Bearer %s", call->token));
	add_header_lines(&spec->headers, session->server->opt.headers);
	add_header_lines(&secret_headers, session->credential->headers);
	call->secrets = tpm_secret_add_headers(tpm_secret_add(NIL, call->token), secret_headers);
	spec->headers = list_concat(spec->headers, secret_headers);
	spec->headers = list_concat(spec->headers, call->extra_headers);
	call->sent_at = GetCurrentTimestamp();
	call->transfer = tpm_transfer_start(spec);
	if (tpm_call_is_limited(call))
		session->statement->departed++;
	MemoryContextSwitchTo(old);
	tpm_call_enter(call, CALL_SENT);
}

static void
step_slot(TpmCall *call)
{
	TpmProblem *problem = NULL;
	int64		slot_us;
	MemoryContext old;
	bool		changed;

	if (call->flags & TPM_CALL_TOKEN)
	{
		tpm_call_enter(call, CALL_DONE);
		call->wake_us = PG_INT64_MAX;
		return;
	}
	/* others of the statement may have left while this one stood in line */
	if (!tpm_call_check_enabled(call) || !tpm_call_check_max_requests(call))
		return;
	old = MemoryContextSwitchTo(call->attempt_context);
	changed = tpm_session_refresh_limits(call->session, &problem);
	if (problem == NULL && call->ticket == NULL)
		call->ticket = tpm_budget_join(&call->session->budget, line_of(call),
									   (call->flags & TPM_CALL_CHECK) ? 0 : tpm_statement_leave_free(call->session->statement),
									   &problem);
	else if (problem == NULL && changed)
		problem = tpm_budget_relimit(call->ticket, &call->session->budget);
	MemoryContextSwitchTo(old);
	if (problem)
	{
		tpm_call_fail(call, problem);
		return;
	}
	if (tpm_budget_poll(call->ticket, &call->wake_us, &slot_us) == TPM_SLOT_WAIT)
	{
		(void) tpm_call_check_max_wait(call, slot_us);
		return;
	}
	call->waited_us += tpm_monotonic_us() - call->state_since_us;
	call->session->waited_us += tpm_monotonic_us() - call->state_since_us;
	if (call->hooks)
		problem = call->hooks->leaving(call->hooks_arg);
	if (problem)
		tpm_call_fail(call, problem);
	else
		send_call(call);
}

TpmCall *
tpm_call_start(TpmSession *session, const char *method, const char *url, const char *body,
			   List *headers, int flags)
{
	TpmCall    *call = palloc0(sizeof(TpmCall));

	call->session = session;
	call->method = method;
	call->url = url;
	call->body = body;
	call->name = tpm_call_name(method, url);
	call->extra_headers = headers;
	call->flags = flags;
	call->attempt = 1;
	call->began_us = tpm_monotonic_us();
	call->context = CurrentMemoryContext;
	call->attempt_context = AllocSetContextCreate(call->context, "tpm_fdw try", ALLOCSET_SMALL_SIZES);
	call->callback.func = call_gone;
	call->callback.arg = call;
	MemoryContextRegisterResetCallback(call->context, &call->callback);
	tpm_call_enter(call, CALL_TOKEN);
	return call;
}

void
tpm_call_set_write(TpmCall *call, const TpmWriteHooks *hooks, void *arg, TpmDeparture *departure)
{
	call->hooks = hooks;
	call->hooks_arg = arg;
	call->departure = departure;
}

/*
 * True: it is done, with an answer of 2xx, 404, 409, 412, 413 or 422 (all others
 * are problems, which read as the errors of interface.md), or of a write with
 * any status.
 */
bool
tpm_call_try(TpmCall *call, int64 *wake_us)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	TpmCallState before;

	do
	{
		before = call->state;
		switch (call->state)
		{
			case CALL_TOKEN:
				tpm_call_step_token(call);
				break;
			case CALL_TOKEN_SENT:
				tpm_call_step_token_sent(call);
				break;
			case CALL_SLOT:
				step_slot(call);
				break;
			case CALL_SENT:
				step_sent(call);
				break;
			case CALL_PAUSE:
				if (tpm_monotonic_us() >= call->wake_us)
					tpm_call_enter(call, CALL_TOKEN);
				break;
			case CALL_DONE:
				break;
		}
	} while (call->state != before);
	MemoryContextSwitchTo(old);
	*wake_us = call->wake_us;
	return call->state == CALL_DONE;
}

TpmAnswer *
tpm_call_answer(TpmCall *call)
{
	return &call->answer;
}

const TpmProblem *
tpm_call_problem(const TpmCall *call)
{
	return call->problem;
}

void
tpm_call_end(TpmCall *call)
{
	tpm_call_forget_attempt(call);
}

/* ----- waiting for calls ----- */

int
tpm_call_waiting_for(const TpmCall *call)
{
	switch (call->state)
	{
		case CALL_TOKEN:
		case CALL_TOKEN_SENT:
			return TPM_WAIT_TOKEN;
		case CALL_SLOT:
			return TPM_WAIT_BUDGET;
		case CALL_PAUSE:
			return TPM_WAIT_RETRY;
		default:
			return TPM_WAIT_ANSWER;
	}
}

static const char *
waiting_words(int reason)
{
	static const char *const words[] = {
		[TPM_WAIT_ANSWER] = "answer",
		[TPM_WAIT_BUDGET] = "budget",
		[TPM_WAIT_TOKEN] = "token",
		[TPM_WAIT_RETRY] = "retry",
		[TPM_WAIT_PAGE] = "page",
		[TPM_WAIT_SETTLE] = "settle",
	};

	return words[reason];
}

void
tpm_calls_pause(TpmSession *session, int reason, int64 wake_us)
{
	tpm_progress_waiting(session->progress, waiting_words(reason));
	if (tpm_cache_heartbeat())
		wake_us = Min(wake_us, tpm_monotonic_us() + INT64CONST(500000));
	tpm_wait(reason, wake_us);
	tpm_progress_waiting(session->progress, NULL);
}

static void
await_call(TpmCall *call)
{
	int64		wake_us = PG_INT64_MAX;

	while (!tpm_call_try(call, &wake_us))
		tpm_calls_pause(call->session, tpm_call_waiting_for(call), wake_us);
}

void
tpm_call_wait(TpmCall *call)
{
	await_call(call);
	tpm_problem_check(call->problem);
}

TpmAnswer *
tpm_client_try_get(TpmSession *session, const char *url, int flags, const TpmProblem **problem)
{
	TpmCall    *call = tpm_call_start(session, "GET", url, NULL, NIL, flags);

	await_call(call);
	*problem = call->problem;
	return call->problem ? NULL : &call->answer;
}

TpmAnswer *
tpm_client_get(TpmSession *session, const char *url, int flags)
{
	const TpmProblem *problem;
	TpmAnswer  *answer = tpm_client_try_get(session, url, flags, &problem);

	tpm_problem_check(problem);
	return answer;
}
