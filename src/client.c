/*-------------------------------------------------------------------------
 *
 * client.c
 *		One call of the API: token, budget, transport, retry.
 *
 * Owns the order of these steps and the one retry policy: the only place that
 * decides to try again.  A call is a state machine that never waits itself,
 * so that several can be under way; whoever needs an answer waits in
 * tpm_calls_wait().  Holds no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "client.h"
#include "retry.h"
#include "shared.h"
#include "tpm_fdw.h"
#include "transport.h"
#include "url.h"

typedef enum CallState
{
	CALL_TOKEN,					/* needs a token */
	CALL_TOKEN_SENT,			/* has the claim on it, request under way */
	CALL_SLOT,					/* needs a slot */
	CALL_SENT,
	CALL_PAUSE,					/* before the next try */
	CALL_DONE
} CallState;

struct TpmCall
{
	TpmSession *session;
	const char *method;
	const char *url;
	const char *body;
	char	   *name;			/* "GET /v1/cases" for messages */
	List	   *extra_headers;
	int			flags;
	MemoryContext context;		/* of the call: the answer */
	MemoryContext attempt_context;	/* of one try: ticket, transfer, headers */
	CallState	state;
	int			attempt;		/* tries begun, from 1 */
	int			token_tries;	/* token requests that were tried again */
	bool		renewed;		/* a 401 has been answered with a new token */
	bool		renew_only;		/* the old token serves if this renewal fails */
	bool		token_claimed;
	uint64		generation;
	char	   *token;
	TpmTicket  *ticket;
	TpmTransfer *transfer;
	TpmHttpSpec spec;
	TimestampTz sent_at;
	int64		began_us;
	int64		state_since_us;
	int64		wake_us;
	int64		waited_us;		/* of this try, for budget and token */
	TpmSending	sending;		/* of a write; NULL: none */
	void	   *sending_arg;
	bool	   *departed;		/* set when its bytes leave; NULL: none */
	ErrorData  *failure;		/* met while another call was waited for */
	MemoryContextCallback callback;
	TpmAnswer	answer;
};

bool		(*tpm_waiting_hook) (void) = NULL;

static TpmStatement *statements = NULL;

/* changes of any server that this backend has heard of */
static uint64 server_version = 0;

/* calls that go on while another one is waited for */
static List *beside = NIL;

/* ----- statements and sessions ----- */

static void
forget_statement(void *arg)
{
	for (TpmStatement **at = &statements; *at; at = &(*at)->next)
	{
		if (*at == arg)
		{
			*at = (*at)->next;
			return;
		}
	}
}

TpmStatement *
tpm_statement_of(EState *estate)
{
	TpmStatement *statement;
	MemoryContextCallback *callback;

	for (statement = statements; statement; statement = statement->next)
		if (statement->estate == estate)
			return statement;
	statement = MemoryContextAllocZero(estate->es_query_cxt, sizeof(TpmStatement));
	callback = MemoryContextAllocZero(estate->es_query_cxt, sizeof(MemoryContextCallback));
	callback->func = forget_statement;
	callback->arg = statement;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, callback);
	statement->estate = estate;
	statement->next = statements;
	statements = statement;
	return statement;
}

static void
server_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	server_version++;
}

/*
 * A statement may wait or read for long, so ALTER SERVER reaches its limits
 * without its end.  True: they may be others now.
 */
static bool
refresh_limits(TpmSession *session)
{
	const TpmServer *server;

	AcceptInvalidationMessages();
	if (session->budget_version == server_version)
		return false;
	session->budget_version = server_version;
	server = tpm_get_server(session->server->serverid);
	session->budget.limits.per_second = server->opt.rate_limit_per_second;
	session->budget.limits.per_minute = server->opt.rate_limit_per_minute;
	session->budget.limits.per_hour = server->opt.rate_limit_per_hour;
	return true;
}

/* names the budget; nothing in it is derived from a secret that could be guessed */
static void
name_budget(TpmSession *session)
{
	const TpmServer *server = session->server;
	TpmBudgetKey *key = &session->budget;

	key->serverid = server->serverid;
	key->limits.per_second = server->opt.rate_limit_per_second;
	key->limits.per_minute = server->opt.rate_limit_per_minute;
	key->limits.per_hour = server->opt.rate_limit_per_hour;
	key->scope = "credential";
	if (server->opt.rate_limit_group)
	{
		key->scope = "group";
		key->group = server->opt.rate_limit_group;
	}
	else if (server->opt.auth == TPM_AUTH_OAUTH2)
		key->group = psprintf("%s %s", server->origin, session->credential->client_id);
	else if (server->opt.auth == TPM_AUTH_BEARER)
		key->group = psprintf("%s token " UINT64_FORMAT, server->origin, session->token.hash);
	else
		key->group = psprintf("%s server %u/%u", server->origin, MyDatabaseId, server->serverid);
	if (session->table &&
		(session->table->endpoint_per_second || session->table->endpoint_per_minute ||
		 session->table->endpoint_per_hour))
	{
		key->endpoint = session->table->resource;
		key->endpoint_limits.per_second = session->table->endpoint_per_second;
		key->endpoint_limits.per_minute = session->table->endpoint_per_minute;
		key->endpoint_limits.per_hour = session->table->endpoint_per_hour;
	}
}

static void
name_token(TpmSession *session)
{
	const TpmServer *server = session->server;
	const TpmCredential *credential = session->credential;
	const char *parts[] = {
		server->opt.base_url, server->opt.token_url, credential->client_id,
		credential->client_secret, credential->client_secret_file, credential->token,
		credential->token_file, credential->headers, server->opt.scope, server->opt.audience,
		server->opt.token_parameters
	};
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		/* lengths in front: no two lists of parts read the same */
		appendStringInfo(&all, "%d:", parts[i] ? (int) strlen(parts[i]) : -1);
		appendStringInfoString(&all, parts[i] ? parts[i] : "");
	}
	session->token.hash = tpm_keyed_hash(all.data, all.len);
	explicit_bzero(all.data, all.len);
	session->token.serverid = server->serverid;
	session->token.userid = credential->userid;
	strlcpy(session->token.client_id, credential->client_id ? credential->client_id : "",
			sizeof(session->token.client_id));
}

TpmSession *
tpm_session_create(const TpmServer *server, const TpmTable *table, Oid userid,
				   TpmStatement *statement)
{
	static bool callback_registered = false;
	TpmSession *session = palloc0(sizeof(TpmSession));

	tpm_shared_require();
	if (!callback_registered)
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_changed, (Datum) 0);
	callback_registered = true;
	session->budget_version = server_version;
	session->server = server;
	session->table = table;
	session->opt = table ? &table->opt : &server->opt;
	session->credential = tpm_get_credential(server, userid);
	session->statement = statement ? statement : palloc0(sizeof(TpmStatement));
	name_token(session);
	name_budget(session);
	return session;
}

/* ----- messages ----- */

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

static void
raise_not_reached(TpmCall *call)
{
	TpmTransfer *t = call->transfer;

	if (t->outcome == TPM_OUTCOME_FORBIDDEN)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
				 errmsg("%s may not be sent", call->name),
				 errdetail("The server \"%s\" resolves to an address on this machine or link, which only a server owned by a superuser may reach.",
						   call->session->server->name)));
	if (t->outcome == TPM_OUTCOME_TOO_LARGE)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the answer to %s is larger than max_response_size", call->name),
				 errhint("Lower page_size, or raise max_response_size, of server \"%s\".",
						 call->session->server->name)));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
			 errmsg("no answer to %s after %d tries", call->name, call->attempt),
			 errdetail("%s: %s", call->session->server->origin, t->error[0] ? t->error : "connection lost"),
			 t->timed_out ? errhint("The options connect_timeout and request_timeout say how long to wait.") :
			 t->tls_failure ? errhint("The option ca_file names the certificates to trust.") :
			 t->no_host ? errhint("Check the option base_url, and ip_family (IPv4 only by default).") : 0));
}

static void
raise_no_slot(TpmCall *call, const TpmBudgetState *state)
{
	TpmSession *session = call->session;

	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("the request budget of server \"%s\" is exhausted", session->server->name),
			 errdetail("%s would have to wait until %s, longer than tpm_fdw.max_wait (%d ms); used this hour: %d of %d, %d by this session; waiting: %d.",
					   call->name, timestamptz_to_str(state->next_slot), tpm_max_wait,
					   state->used_hour, state->limit_hour, state->own_hour, state->waiting),
			 errhint("Raise tpm_fdw.max_wait to wait for it; SET tpm_fdw.cache_stale to accept an older answer.")));
}

/* ----- the steps of a call ----- */

static void
enter(TpmCall *call, CallState state)
{
	call->state = state;
	call->state_since_us = tpm_monotonic_us();
	call->wake_us = call->state_since_us;
}

static void
forget_attempt(TpmCall *call)
{
	call->ticket = NULL;
	call->transfer = NULL;
	MemoryContextReset(call->attempt_context);
}

static void
give_token_back(TpmCall *call, const char *error)
{
	if (call->token_claimed)
	{
		call->token_claimed = false;
		tpm_token_failed(&call->session->token, error);
	}
}

/* runs however the call ends: nobody may wait for a claim that is gone */
static void
call_gone(void *arg)
{
	give_token_back(arg, "interrupted");
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

/* a token answer is small; more than this is not one */
#define TPM_MAX_TOKEN_ANSWER	(64 * 1024)

static void
send_token_request(TpmCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->attempt_context);
	TpmTokenRequest *request = tpm_oauth_request(call->session);

	tpm_client_spec(call->session->server, call->session->opt, &call->spec);
	call->spec.method = "POST";
	call->spec.url = call->session->server->opt.token_url;
	call->spec.origin = tpm_url_origin(call->spec.url);
	call->spec.headers = request->headers;
	call->spec.body = request->body;
	call->spec.body_len = strlen(request->body);
	call->spec.max_body = TPM_MAX_TOKEN_ANSWER;
	call->transfer = tpm_transfer_start(&call->spec);
	MemoryContextSwitchTo(old);
	enter(call, CALL_TOKEN_SENT);
}

static void
step_token(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmTokenVerdict verdict;
	char		buffer[TPM_TOKEN_MAX + 1];

	if (session->server->opt.auth == TPM_AUTH_BEARER)
		call->token = tpm_credential_token(session->server, session->credential);
	if (session->server->opt.auth != TPM_AUTH_OAUTH2)
	{
		enter(call, CALL_SLOT);
		return;
	}

	verdict = tpm_token_get(&session->token, buffer, &call->generation);
	if (verdict == TPM_TOKEN_WAIT)
	{
		call->wake_us = tpm_monotonic_us() + INT64CONST(1000000);
		return;
	}
	if (verdict != TPM_TOKEN_FETCH)
		call->token = MemoryContextStrdup(call->context, buffer);
	explicit_bzero(buffer, sizeof(buffer));
	call->waited_us += tpm_monotonic_us() - call->state_since_us;
	if (verdict == TPM_TOKEN_READY)
	{
		enter(call, CALL_SLOT);
		return;
	}
	call->token_claimed = true;
	call->renew_only = (verdict == TPM_TOKEN_READY_AND_FETCH);
	send_token_request(call);
}

static void
raise_token_refused(TpmCall *call, int status, const char *error)
{
	const char *hint = tpm_hint_of_words(error);

	ereport(ERROR,
			(errcode(status >= 500 ? ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION
					 : status == 429 ? ERRCODE_CONFIGURATION_LIMIT_EXCEEDED
					 : ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("no access token for server \"%s\"", call->session->server->name),
			 errdetail("The token endpoint answered: %s.", error),
			 hint ? errhint("%s", hint)
			 : status >= 500 || status == 429 ? 0
			 : errhint("Check client_id and the secret in the user mapping, and token_url, token_auth and scope of the server.")));
}

static void
raise_token_not_reached(TpmCall *call, const TpmTransfer *transfer, const char *error)
{
	if (transfer->outcome == TPM_OUTCOME_TOO_LARGE)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("no access token for server \"%s\"", call->session->server->name),
				 errdetail("The answer of %s is larger than %d kB.",
						   tpm_url_origin(call->session->server->opt.token_url),
						   TPM_MAX_TOKEN_ANSWER / 1024),
				 errhint("Check the option token_url.")));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
			 errmsg("no access token for server \"%s\"", call->session->server->name),
			 errdetail("%s: %s", tpm_url_origin(call->session->server->opt.token_url), error),
			 errhint("Check the option token_url.")));
}

/* the token endpoint is asked again as an idempotent request would be */
static bool
try_token_again(TpmCall *call)
{
	TpmTransfer *t = call->transfer;
	bool		passing = t->outcome == TPM_OUTCOME_ANSWERED ? t->status >= 500 || t->status == 429
	: !t->tls_failure && !t->no_host && t->outcome != TPM_OUTCOME_FORBIDDEN &&
	t->outcome != TPM_OUTCOME_TOO_LARGE;

	return passing && !call->renew_only && call->token_tries < call->session->opt->max_retries &&
		tpm_retry_time_left(call->began_us, call->session->opt);
}

static void
step_token_sent(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmTransfer *t = call->transfer;
	int			lifetime = -1;
	char	   *error = NULL;
	char	   *token = NULL;
	MemoryContext old;
	TpmTransfer seen;

	if (!t->done)
	{
		call->wake_us = PG_INT64_MAX;
		return;
	}
	old = MemoryContextSwitchTo(call->context);
	if (t->outcome == TPM_OUTCOME_ANSWERED)
		token = tpm_oauth_answer(t->status, t->body, t->body_len, &lifetime, &error);
	else
		error = pstrdup(t->error[0] ? t->error : "no whole answer");
	MemoryContextSwitchTo(old);

	if (token)
	{
		call->token_claimed = false;
		call->token_tries = 0;
		tpm_token_store(&session->token, token, t->started_us,
						lifetime < 0 ? PG_INT64_MAX : t->started_us + lifetime * INT64CONST(1000000));
		explicit_bzero(token, strlen(token));
		forget_attempt(call);
		enter(call, call->renew_only ? CALL_SLOT : CALL_TOKEN);
		return;
	}
	if (try_token_again(call))
	{
		int64		pause = tpm_retry_pause(++call->token_tries, t->retry_after);

		give_token_back(call, error);
		forget_attempt(call);
		enter(call, CALL_PAUSE);
		call->wake_us += pause;
		return;
	}
	give_token_back(call, error);
	seen = *t;
	forget_attempt(call);
	if (call->renew_only)
	{
		enter(call, CALL_SLOT);
		return;
	}
	if (seen.outcome == TPM_OUTCOME_ANSWERED)
		raise_token_refused(call, seen.status, error);
	raise_token_not_reached(call, &seen, error);
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
	add_header_lines(&spec->headers, session->credential->headers);
	spec->headers = list_concat(spec->headers, call->extra_headers);
	call->sent_at = GetCurrentTimestamp();
	call->transfer = tpm_transfer_start(spec);
	MemoryContextSwitchTo(old);
	enter(call, CALL_SENT);
}

static void
check_enabled(TpmCall *call)
{
	if (tpm_enabled == TPM_ENABLED_OFF ||
		(tpm_enabled == TPM_ENABLED_READ && (call->flags & TPM_CALL_WRITE)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is not sent", call->name),
				 errdetail("tpm_fdw.enabled is \"%s\".",
						   tpm_enabled == TPM_ENABLED_OFF ? "off" : "read"),
				 errhint("An administrator has switched this off in postgresql.conf.")));
}

static void
check_max_requests(TpmCall *call)
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

/*
 * Only waits that the hour, the minute or a pause impose are refused: below
 * them slots come every fraction of a second.
 */
static void
check_max_wait(TpmCall *call, int64 slot_us)
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

static void
step_slot(TpmCall *call)
{
	int64		slot_us;
	MemoryContext old;
	bool		changed;

	if (call->flags & TPM_CALL_TOKEN)
	{
		enter(call, CALL_DONE);
		call->wake_us = PG_INT64_MAX;
		return;
	}
	check_enabled(call);
	old = MemoryContextSwitchTo(call->attempt_context);
	changed = refresh_limits(call->session);
	if (call->ticket == NULL)
	{
		check_max_requests(call);
		call->ticket = tpm_budget_join(&call->session->budget, line_of(call),
									   (call->flags & TPM_CALL_CHECK) ? 0 : tpm_leave_free);
	}
	else if (changed)
		tpm_budget_relimit(call->ticket, &call->session->budget);
	MemoryContextSwitchTo(old);
	if (tpm_budget_poll(call->ticket, &call->wake_us, &slot_us) == TPM_SLOT_WAIT)
	{
		check_max_wait(call, slot_us);
		return;
	}
	call->waited_us += tpm_monotonic_us() - call->state_since_us;
	call->session->waited_us += tpm_monotonic_us() - call->state_since_us;
	if (call->sending)
		call->sending(call->sending_arg);
	send_request(call);
}

static void
done(TpmCall *call)
{
	TpmTransfer *t = call->transfer;
	TpmAnswer  *answer = &call->answer;

	/* the body stays where libcurl's callback put it, until the call ends */
	answer->status = t->status;
	answer->body = t->body ? t->body : "";
	answer->len = t->body_len;
	answer->etag = t->etag;
	answer->location = t->location;
	answer->date = t->date;
	answer->received = GetCurrentTimestamp();
	answer->took_us = t->ended_us - t->started_us;
	/* a time-out says how long nobody answered */
	if (t->outcome == TPM_OUTCOME_ANSWERED)
	{
		call->session->slowest_us = Max(call->session->slowest_us, answer->took_us);
		call->session->answers_us += answer->took_us;
		call->session->answers++;
	}
	enter(call, CALL_DONE);
	call->wake_us = PG_INT64_MAX;
}

static void
pause_before_retry(TpmCall *call, int64 pause_us)
{
	call->session->retries++;
	call->attempt++;
	call->waited_us = 0;
	/* a write comes here only if the API cannot have acted on it */
	if (call->departed)
		*call->departed = false;
	forget_attempt(call);
	enter(call, CALL_PAUSE);
	call->wake_us += pause_us;
}

/* 429: everybody of the budget stops, not only this backend */
static void
hold_everybody(TpmCall *call)
{
	const char *retry_after = call->transfer->retry_after;
	int64		pause;

	if (retry_after == NULL)
		tpm_budget_saw_429(&call->session->budget);
	pause = tpm_retry_pause(call->attempt, retry_after);
	tpm_budget_pause(&call->session->budget, tpm_monotonic_us() + pause);
}

static void
answered(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmTransfer *t = call->transfer;
	int			status = t->status;
	bool		write = (call->flags & TPM_CALL_WRITE) != 0;
	bool		again;

	record(call, status < 300 ? NULL : psprintf("status %d", status));
	if (status == 401 && session->server->opt.auth == TPM_AUTH_OAUTH2 && !call->renewed)
	{
		call->renewed = true;
		if (call->departed)
			*call->departed = false;
		tpm_token_rejected(&session->token, call->generation);
		call->attempt++;
		forget_attempt(call);
		enter(call, CALL_TOKEN);
		return;
	}
	if (status == 429)
		hold_everybody(call);

	/* a write is repeated only where the answer says that nothing was done */
	if (status == 429)
		again = tpm_max_wait < 0 || call->attempt <= session->opt->max_retries ||
			tpm_monotonic_us() - call->began_us < tpm_max_wait * INT64CONST(1000);
	else
		again = ((status == 503 && t->retry_after) || (!write && status >= 500)) &&
			call->attempt <= session->opt->max_retries &&
			tpm_retry_time_left(call->began_us, session->opt);
	if (again)
	{
		pause_before_retry(call, status == 429 ? 0 : tpm_retry_pause(call->attempt, t->retry_after));
		return;
	}
	done(call);
	if (write && (status >= 500 || status == 303))
	{
		/* whoever answered may not be the one that acted */
		call->answer.doubtful = true;
		call->answer.problem = psprintf("status %d", status);
		return;
	}
	if (write || (call->flags & TPM_CALL_ANY) || (status >= 200 && status <= 299) || status == 404 ||
		status == 409 || status == 412 || status == 413 || status == 422)
		return;
	tpm_raise_status(session, call->name, &call->answer);
}

static void
unanswered(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmTransfer *t = call->transfer;
	bool		write = (call->flags & TPM_CALL_WRITE) != 0;
	bool		again;

	if (t->outcome == TPM_OUTCOME_NO_SLOT)
	{
		/* the windows filled up while the connection was made: queue again */
		forget_attempt(call);
		enter(call, CALL_SLOT);
		return;
	}
	record(call, t->error[0] ? t->error : "no answer");

	again = t->outcome == TPM_OUTCOME_NOT_SENT ? !t->tls_failure && !t->no_host
		: t->outcome == TPM_OUTCOME_CONNECTION_DIED || t->outcome == TPM_OUTCOME_LOST ? !write : false;
	if (again && call->attempt <= session->opt->max_retries &&
		tpm_retry_time_left(call->began_us, session->opt))
	{
		/* a dead connection in the pool says nothing about the server */
		pause_before_retry(call, t->outcome == TPM_OUTCOME_CONNECTION_DIED && call->attempt == 1
						   ? 0 : tpm_retry_pause(call->attempt, NULL));
		return;
	}
	if (write && t->sendings > 0)
	{
		done(call);
		call->answer.doubtful = true;
		call->answer.problem = pstrdup(t->error[0] ? t->error : "connection lost");
		return;
	}
	raise_not_reached(call);
}

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
		if (!(call->flags & (TPM_CALL_WRITE | TPM_CALL_CHECK | TPM_CALL_PART)))
			call->session->statement->requests++;
	}
	if (t->outcome == TPM_OUTCOME_ANSWERED)
		answered(call);
	else
		unanswered(call);
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
	enter(call, CALL_TOKEN);
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
	CallState	before;

	do
	{
		before = call->state;
		switch (call->state)
		{
			case CALL_TOKEN:
				step_token(call);
				break;
			case CALL_TOKEN_SENT:
				step_token_sent(call);
				break;
			case CALL_SLOT:
				step_slot(call);
				break;
			case CALL_SENT:
				step_sent(call);
				break;
			case CALL_PAUSE:
				if (tpm_monotonic_us() >= call->wake_us)
					enter(call, CALL_TOKEN);
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
	forget_attempt(call);
}

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
	};

	return words[reason];
}

bool
tpm_error_is_interrupt(const ErrorData *error)
{
	return error->elevel > ERROR || error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

bool
tpm_call_try(TpmCall *call, int64 *wake_us, ErrorData **error)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool is_done = true;

	*error = call->failure;
	if (call->failure)
		return true;
	PG_TRY();
	{
		is_done = tpm_call_advance(call, wake_us);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(call->context);
		*error = CopyErrorData();
		if (tpm_error_is_interrupt(*error))
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return is_done;
}

void
tpm_calls_set_beside(List *calls)
{
	beside = calls;
}

static int64
advance_those_beside(void)
{
	int64		wake_us = PG_INT64_MAX;
	ListCell   *lc;

	foreach(lc, beside)
	{
		TpmCall    *call = lfirst(lc);
		int64		wake = PG_INT64_MAX;

		(void) tpm_call_try(call, &wake, &call->failure);
		wake_us = Min(wake_us, wake);
	}
	return wake_us;
}

void
tpm_calls_pause(TpmSession *session, int reason, int64 wake_us)
{
	tpm_progress_waiting(session->progress, waiting_words(reason));
	if (tpm_waiting_hook && tpm_waiting_hook())
		wake_us = Min(wake_us, tpm_monotonic_us() + INT64CONST(500000));
	tpm_wait(reason, wake_us);
	tpm_progress_waiting(session->progress, NULL);
}

void
tpm_calls_wait(List *calls)
{
	for (;;)
	{
		int64		wake_us = PG_INT64_MAX;
		bool		any = false;
		int			reason = TPM_WAIT_ANSWER;
		ListCell   *lc;
		TpmProgress *progress = NULL;

		foreach(lc, calls)
		{
			TpmCall    *call = lfirst(lc);
			int64		wake;

			if (tpm_call_advance(call, &wake))
				any = true;
			wake_us = Min(wake_us, wake);
			reason = tpm_call_waiting_for(call);
			progress = call->session->progress;
		}
		if (any || calls == NIL)
		{
			tpm_progress_waiting(progress, NULL);
			return;
		}
		wake_us = Min(wake_us, advance_those_beside());
		tpm_progress_waiting(progress, waiting_words(reason));
		if (tpm_waiting_hook && tpm_waiting_hook())
			wake_us = Min(wake_us, tpm_monotonic_us() + INT64CONST(500000));
		tpm_wait(reason, wake_us);
	}
}

TpmAnswer *
tpm_client_get(TpmSession *session, const char *url, int flags)
{
	TpmCall    *call = tpm_call_start(session, "GET", url, NULL, NIL, flags);

	tpm_calls_wait(list_make1(call));
	return tpm_call_answer(call);
}

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
			 errdetail("Needed: " INT64_FORMAT " requests; used this hour: %d of %d, %d by this session; tpm_fdw.leave_free keeps %.0f%% free; the next slot: %s.",
					   n, state.used_hour, state.limit_hour, state.own_hour, tpm_leave_free * 100,
					   timestamptz_to_str(state.next_slot)),
			 errhint("%s", hint)));
}

void
tpm_client_admit_writes(TpmSession *session, int64 n)
{
	TpmStatement *statement = session->statement;

	statement->expected = Max(statement->expected, statement->requests + statement->writes + n);
	session->expected = Max(session->expected, session->requests + n);
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
