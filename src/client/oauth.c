/*-------------------------------------------------------------------------
 *
 * oauth.c
 *		The client credentials grant (RFC 6749, section 4.4) as data.
 *
 * Owns the form of request and answer.  When a token is asked for is
 * call_token.c's, where it is kept token.c's.
 *
 * Builds the token request and reads its answer.  Sends nothing, keeps
 * nothing; a secret is in memory only while a request is built and sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"

#include "base/url.h"
#include "client/client.h"
#include "client/redact.h"
#include "compat.h"
#include "document/document.h"

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

TpmTokenRequest *
tpm_oauth_request(const TpmSession *session)
{
	TpmTokenRequest *request = palloc0(sizeof(TpmTokenRequest));
	const TpmOptions *opt = &session->server->opt;
	const char *id = session->credential->client_id;
	char	   *secret = tpm_credential_secret(session->server, session->credential);
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
words_of_error(const TpmAnswer *whole, Jsonb *answer)
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
	if (status < 200 || status > 299)
	{
		TpmAnswer	whole = {.status = status,.body = unconstify(char *, body),.len = len};

		*error = words_of_error(&whole, answer);
		return NULL;
	}
	token = answer ? tpm_json_member(answer, "access_token") : NULL;
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
