/*-------------------------------------------------------------------------
 *
 * client.c
 *		One call of the API: token, budget, transport, retry.
 *
 * Owns the order of these steps.  A call is a state machine that never waits
 * itself, so that several can be under way; whoever needs an answer waits in
 * tpm_call_wait().  The token's steps are call_token.c's; what an answer
 * means, and whether to try again, is call_outcome.c's.  Holds no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "client/client_internal.h"
#include "client/redact.h"
#include "shared/shared.h"

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

/* ----- the steps of a call ----- */

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
	if (call->departed)
		*call->departed = true;
	return true;
}

void
tpm_client_spec(const TpmServer *server, const TpmOptions *opt, TpmHttpSpec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->connect_timeout = opt->connect_timeout;
	spec->request_timeout = opt->request_timeout;
	spec->ip_family = opt->ip_family;
	spec->proxy = opt->proxy;
	spec->private_ok = server->owner_is_superuser;
	if (opt->ca_file)
		tpm_check_file_option(server, "ca_file", opt->ca_file);
	if (opt->client_cert)
		tpm_check_file_option(server, "client_cert", opt->client_cert);
	if (opt->client_key)
		tpm_check_file_option(server, "client_key", opt->client_key);
	spec->ca_file = opt->ca_file;
	spec->client_cert = opt->client_cert;
	spec->client_key = opt->client_key;
}

static TpmLine
line_of(TpmCall *call)
{
	TpmStatement *statement = call->session->statement;

	if (call->flags & TPM_CALL_CHECK)
		return TPM_LINE_SMALL;
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
send_request(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmHttpSpec *spec = &call->spec;
	List	   *secret_headers = NIL;
	MemoryContext old = MemoryContextSwitchTo(call->attempt_context);

	tpm_client_spec(session->server, session->opt, spec);
	spec->method = call->method;
	spec->url = call->url;
	spec->origin = session->server->origin;
	spec->body = call->body;
	spec->body_len = call->body ? strlen(call->body) : 0;
	spec->max_body = session->opt->max_response_size;
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
	MemoryContextSwitchTo(old);
	tpm_call_enter(call, CALL_SENT);
}

static void
step_slot(TpmCall *call)
{
	int64		slot_us;
	MemoryContext old;
	bool		changed;

	if (call->flags & TPM_CALL_TOKEN)
	{
		tpm_call_enter(call, CALL_DONE);
		call->wake_us = PG_INT64_MAX;
		return;
	}
	tpm_call_check_enabled(call);
	old = MemoryContextSwitchTo(call->attempt_context);
	changed = tpm_session_refresh_limits(call->session);
	if (call->ticket == NULL)
	{
		tpm_call_check_max_requests(call);
		call->ticket = tpm_budget_join(&call->session->budget, line_of(call),
									   (call->flags & TPM_CALL_CHECK) ? 0 : tpm_leave_free);
	}
	else if (changed)
		tpm_budget_relimit(call->ticket, &call->session->budget);
	MemoryContextSwitchTo(old);
	if (tpm_budget_poll(call->ticket, &call->wake_us, &slot_us) == TPM_SLOT_WAIT)
	{
		tpm_call_check_max_wait(call, slot_us);
		return;
	}
	call->waited_us += tpm_monotonic_us() - call->state_since_us;
	call->session->waited_us += tpm_monotonic_us() - call->state_since_us;
	if (call->sending)
		call->sending(call->sending_arg);
	send_request(call);
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
tpm_call_set_sending(TpmCall *call, TpmSending sending, void *arg, bool *departed)
{
	call->sending = sending;
	call->sending_arg = arg;
	call->departed = departed;
}

bool
tpm_call_advance(TpmCall *call, int64 *wake_us)
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
				tpm_call_step_sent(call);
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

void
tpm_call_end(TpmCall *call)
{
	tpm_call_forget_attempt(call);
}
