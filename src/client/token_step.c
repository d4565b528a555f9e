/*-------------------------------------------------------------------------
 *
 * token_step.c
 *		A call on its way to an access token: the client credentials grant.
 *
 * Owns when a token is asked for, and asked for again, and what is said if there
 * is none; and the form of its request and answer (RFC 6749, section 4.4).  Where
 * a token is kept is shared/token/token.c's.  A secret is in memory only while a
 * request is built and sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"
#include "utils/memutils.h"

#include "base/text.h"
#include "base/url.h"
#include "client/client.h"
#include "client/client_internal.h"
#include "base/redact.h"
#include "compat.h"
#include "document/document.h"

/* a token answer is small; more than this is not one */
#define TPM_MAX_TOKEN_ANSWER	(64 * 1024)

/* ----- the request and its answer, as data ----- */

static void
add_parameter(StringInfo body, const char *name, const char *value)
{
	if (value == NULL)
		return;
	if (body->len > 0)
		appendStringInfoChar(body, '&');
	appendStringInfo(body, "%s=%s", name, tpm_url_encode_form(value));
}

/* section 2.3.1: both are form-encoded before they are joined and encoded */
static char *
basic_credentials(const char *id, const char *secret)
{
	char	   *pair = psprintf("%s:%s", tpm_url_encode_form(id), tpm_url_encode_form(secret));
	int			size = pg_b64_enc_len(strlen(pair)) + 1;
	char	   *encoded = palloc(size);
	int			len = tpm_b64_encode(pair, strlen(pair), encoded, size - 1);

	encoded[Max(len, 0)] = '\0';
	return encoded;
}

/* the token request (RFC 6749, section 4.4) as data */
typedef struct TpmTokenRequest
{
	char	   *body;
	List	   *headers;
	List	   *secrets;		/* what of it no message may repeat */
} TpmTokenRequest;

static TpmTokenRequest *
token_request(const TpmSession *session, const char *secret)
{
	TpmTokenRequest *request = palloc0(sizeof(TpmTokenRequest));
	const TpmOptions *opt = &session->server->opt;
	const char *id = session->credential->client_id;
	char	   *basic = NULL;
	StringInfoData body;

	initStringInfo(&body);
	add_parameter(&body, "grant_type", "client_credentials");
	add_parameter(&body, "scope", opt->scope);
	add_parameter(&body, "audience", opt->audience);
	if (opt->token_auth == TPM_TOKEN_AUTH_POST)
	{
		add_parameter(&body, "client_id", id);
		add_parameter(&body, "client_secret", secret);
	}
	else
	{
		basic = basic_credentials(id, secret);
		request->headers = lappend(request->headers, psprintf("Authorization: Basic %s", basic));
	}
	request->secrets = tpm_secret_add(NIL, secret);
	request->secrets = tpm_secret_add(request->secrets, tpm_url_encode_form(secret));
	request->secrets = tpm_secret_add(request->secrets, basic);
	if (opt->token_parameters)
		appendStringInfo(&body, "&%s", opt->token_parameters);
	request->headers = lappend(request->headers, "Content-Type: application/x-www-form-urlencoded");
	request->headers = lappend(request->headers, "Accept: application/json");
	request->headers = lappend(request->headers, "Expect:");
	request->body = body.data;
	return request;
}

/* section 5.2: error and error_description, in words */
static char *
words_of_token_error(const TpmAnswer *whole, Jsonb *answer)
{
	int			status = whole->status;
	char	   *words;
	char	   *code = answer ? tpm_clip_words(tpm_json_member(answer, "error")) : NULL;
	char	   *description = answer ? tpm_clip_words(tpm_json_member(answer, "error_description")) : NULL;

	if (code && description)
		return psprintf("%s: %s (status %d)", code, description, status);
	if (code)
		return psprintf("%s (status %d)", code, status);

	/*
	 * Whoever stands in front of the endpoint speaks otherwise, but a page
	 * that repeats the request would repeat the secret: only what is known.
	 */
	words = tpm_answer_words(whole);
	if (tpm_hint_of_words(words))
		return psprintf("%s (status %d)", words, status);
	return psprintf("status %d without an OAuth error", status);
}

char *
tpm_oauth_answer(int status, const char *body, size_t len, int *lifetime, char **error)
{
	Jsonb	   *answer = tpm_json_object(body, len);
	char	   *token;
	char	   *type;
	char	   *expires;

	*lifetime = -1;
	*error = NULL;
	token = answer && status >= 200 && status <= 299 ? tpm_json_member(answer, "access_token") : NULL;
	/* some say what is wrong with a status of success */
	if (status < 200 || status > 299 || (answer && token == NULL && tpm_json_member(answer, "error")))
	{
		TpmAnswer	whole = {.status = status,.body = unconstify(char *, body),.len = len};

		*error = words_of_token_error(&whole, answer);
		return NULL;
	}
	type = answer ? tpm_json_member(answer, "token_type") : NULL;
	if (token == NULL || token[0] == '\0')
		*error = "the answer holds no access_token";
	else if (strlen(token) > TPM_TOKEN_MAX)
		*error = psprintf("the access token is longer than %d bytes", TPM_TOKEN_MAX);
	else if (type && pg_strcasecmp(type, "bearer") != 0)
		*error = "the token is no bearer token";
	else
	{
		/* what goes into a header must not be able to end it */
		for (const char *s = token; *s; s++)
			if (*s <= ' ' || *s > '~')
				*error = "the access token holds characters that no header may hold";
	}
	if (*error)
		return NULL;
	expires = tpm_json_member(answer, "expires_in");
	if (expires)
		*lifetime = (int) Max(0, Min(strtod(expires, NULL), 365.0 * 86400));
	return token;
}

/* ----- the steps of a call towards its token ----- */

void
tpm_call_give_token_back(TpmCall *call, const char *error)
{
	if (call->token_claimed)
	{
		call->token_claimed = false;
		tpm_token_failed(&call->session->token, error);
	}
}

static void
send_token_request(TpmCall *call)
{
	TpmSession *session = call->session;
	MemoryContext old = MemoryContextSwitchTo(call->attempt_context);
	TpmProblem *problem = NULL;
	char	   *secret = tpm_credential_secret(session->server, session->credential, &problem);
	TpmTokenRequest *request;

	if (problem == NULL)
		problem = tpm_client_spec(session->server, session->opt, &call->spec);
	if (problem)
	{
		MemoryContextSwitchTo(old);
		tpm_call_fail(call, problem);
		return;
	}
	request = token_request(session, secret);
	call->spec.method = "POST";
	call->spec.url = call->session->server->opt.token_url;
	call->spec.origin = tpm_url_origin(call->spec.url);
	call->spec.headers = request->headers;
	call->spec.body = request->body;
	call->spec.body_len = strlen(request->body);
	call->spec.max_body = TPM_MAX_TOKEN_ANSWER;
	call->secrets = request->secrets;
	call->transfer = tpm_transfer_start(&call->spec);
	MemoryContextSwitchTo(old);
	tpm_call_enter(call, CALL_TOKEN_SENT);
}

void
tpm_call_step_token(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmTokenVerdict verdict;
	char		buffer[TPM_TOKEN_MAX + 1];

	if (!tpm_call_check_enabled(call))
		return;
	if (session->server->opt.auth == TPM_AUTH_BEARER)
	{
		TpmProblem *problem = NULL;

		call->token = tpm_credential_token(session->server, session->credential, &problem);
		if (problem)
		{
			tpm_call_fail(call, problem);
			return;
		}
	}
	if (session->server->opt.auth != TPM_AUTH_OAUTH2)
	{
		tpm_call_enter(call, CALL_SLOT);
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
		tpm_call_enter(call, CALL_SLOT);
		return;
	}
	call->token_claimed = true;
	call->renew_only = (verdict == TPM_TOKEN_READY_AND_FETCH);
	send_token_request(call);
}

static char *
no_token(const TpmCall *call)
{
	return psprintf("no access token for server \"%s\"", call->session->server->name);
}

static TpmProblem *
token_refused(const TpmCall *call, int status, const char *error)
{
	const char *hint = tpm_hint_of_words(error);

	if (hint == NULL && status < 500 && status != 429)
		hint = "Check client_id and the secret in the user mapping, and token_url, token_auth and scope of the server.";
	return tpm_problem(status >= 500 ? ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION
					   : status == 429 ? ERRCODE_CONFIGURATION_LIMIT_EXCEEDED
					   : ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
					   no_token(call), psprintf("The token endpoint answered: %s.", error), hint);
}

static TpmProblem *
token_not_reached(const TpmCall *call, TpmOutcome outcome, const char *error)
{
	char	   *origin = tpm_url_origin(call->session->server->opt.token_url);

	if (outcome == TPM_OUTCOME_TOO_LARGE)
		return tpm_problem(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY, no_token(call),
						   psprintf("The answer of %s is larger than %d kB.", origin,
									TPM_MAX_TOKEN_ANSWER / 1024),
						   "Check the option token_url.");
	return tpm_problem(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION, no_token(call),
					   psprintf("%s: %s", origin, error), "Check the option token_url.");
}

/* the token endpoint is asked again as an idempotent request would be */
static bool
try_token_again(TpmCall *call, int64 pause_us)
{
	TpmTransfer *t = call->transfer;
	bool		passing = t->outcome == TPM_OUTCOME_ANSWERED ? t->status >= 500 || t->status == 429
	: !t->tls_failure && !t->no_host && t->outcome != TPM_OUTCOME_FORBIDDEN &&
	t->outcome != TPM_OUTCOME_TOO_LARGE;

	return passing && !call->renew_only && call->token_tries < call->session->opt->max_retries &&
		tpm_retry_fits(call->began_us, pause_us, call->session->opt);
}

void
tpm_call_step_token_sent(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmTransfer *t = call->transfer;
	int			lifetime = -1;
	char	   *error = NULL;
	char	   *token = NULL;
	MemoryContext old;
	int64		pause;

	if (!t->done)
	{
		tpm_token_fetching(&session->token);
		call->wake_us = tpm_monotonic_us() + INT64CONST(1000000);
		return;
	}
	old = MemoryContextSwitchTo(call->context);
	if (t->status > 299)
		tpm_redact(t->body, t->body_len, call->secrets);
	if (t->outcome == TPM_OUTCOME_ANSWERED)
	{
		token = tpm_oauth_answer(t->status, t->body, t->body_len, &lifetime, &error);
		if (token == NULL && t->status <= 299)
		{
			/* a token may happen to hold a secret, an error must not */
			tpm_redact(t->body, t->body_len, call->secrets);
			tpm_oauth_answer(t->status, t->body, t->body_len, &lifetime, &error);
		}
	}
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
		tpm_call_forget_attempt(call);
		tpm_call_enter(call, call->renew_only ? CALL_SLOT : CALL_TOKEN);
		return;
	}
	pause = tpm_retry_pause(call->token_tries + 1, t->retry_after);
	if (try_token_again(call, pause))
	{
		call->token_tries++;
		tpm_call_give_token_back(call, error);
		tpm_call_forget_attempt(call);
		tpm_call_enter(call, CALL_PAUSE);
		call->wake_us += pause;
		return;
	}
	tpm_call_give_token_back(call, error);
	if (call->renew_only)
	{
		tpm_call_forget_attempt(call);
		tpm_call_enter(call, CALL_SLOT);
		return;
	}
	tpm_call_fail(call, t->outcome == TPM_OUTCOME_ANSWERED ? token_refused(call, t->status, error)
				  : token_not_reached(call, t->outcome, error));
}
