/*-------------------------------------------------------------------------
 *
 * errors.c
 *		Answers that are no success, as the errors of the reference.
 *
 * Owns the SQLSTATE and the words for each status.  Whether to try again is
 * decided in call.c.
 *
 * One place maps statuses to SQLSTATEs.  The API's own words are carried on;
 * what was sent in headers or bodies never is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/formatting.h"

#include "base/url.h"
#include "client/client.h"
#include "document/document.h"
#include "request/body.h"

/* all the reasons of a refusal together */
#define TPM_MAX_REASONS 8000

/* other answers are words too, in JSON of their own or as plain text, unless they are a page */
static char *
plain_words(const TpmAnswer *answer)
{
	size_t		len = Min(answer->len, TPM_MAX_WORDS);
	char	   *text;

	while (len > 0 && isspace((unsigned char) answer->body[len - 1]))
		len--;
	if (len == 0 || answer->body[0] == '<')
		return NULL;
	len = pg_encoding_mbcliplen(PG_UTF8, answer->body, answer->len, len);
	if ((size_t) pg_encoding_verifymbstr(PG_UTF8, answer->body, len) != len ||
		memchr(answer->body, '\0', len))
		return NULL;
	text = pnstrdup(answer->body, len);

	return tpm_text_to_server(text, &len);
}

char *
tpm_answer_words(const TpmAnswer *answer)
{
	List	   *errors = tpm_document_errors(answer->body, answer->len);

	return errors == NIL ? plain_words(answer) : tpm_errors_words(errors);
}

/* ----- scopes ----- */

/* the value of a parameter in a WWW-Authenticate (RFC 9110, 11.6.1), or NULL */
static char *
challenge_parameter(const char *challenge, const char *name)
{
	const char *s = challenge;

	while (*(s += strspn(s, " \t,\"")))
	{
		const char *word = s;
		size_t		len = strcspn(s, " \t,=\"");
		StringInfoData value;

		s += len;
		s += strspn(s, " \t");
		if (*s != '=')
			continue;
		s++;
		s += strspn(s, " \t");
		initStringInfo(&value);
		if (*s == '"')
		{
			for (s++; *s && *s != '"'; s++)
			{
				if (*s == '\\' && s[1])
					s++;
				appendStringInfoChar(&value, *s);
			}
		}
		else
			for (; *s && strchr(" \t,", *s) == NULL; s++)
				appendStringInfoChar(&value, *s);
		if (len == strlen(name) && pg_strncasecmp(word, name, len) == 0)
			return value.data;
	}
	return NULL;
}

bool
tpm_challenge_is_of_scope(const char *challenge)
{
	char	   *error = challenge ? challenge_parameter(challenge, "error") : NULL;

	return error && strcmp(error, "insufficient_scope") == 0;
}

/* the API's words, and what its header says of a scope */
static char *
words_with_scope(const TpmAnswer *answer, char *words)
{
	char	   *scope;

	if (!tpm_challenge_is_of_scope(answer->challenge))
		return words;
	scope = tpm_clip_words(challenge_parameter(answer->challenge, "scope"));
	/* of no encoding that is known */
	for (char *c = scope; c && *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return psprintf("%s%sThe access token %s.", words ? words : "", words ? "\n" : "",
					scope && scope[0] ? psprintf("lacks the scope \"%s\"", scope) : "is of too small a scope");
}

/* ----- statuses ----- */

static int
state_of_answer(const TpmAnswer *answer)
{
	int			status = answer->status;

	if (status == 401 && tpm_challenge_is_of_scope(answer->challenge))
		return ERRCODE_INSUFFICIENT_PRIVILEGE;
	switch (status)
	{
		case 400:
		case 409:
		case 422:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case 401:
			return ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
		case 403:
		case 511:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case 404:
			return ERRCODE_FDW_TABLE_NOT_FOUND;
		case 429:
			return ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
		default:
			break;
	}
	if (status >= 500)
		return ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION;
	if (status >= 300 && status <= 399)
		return ERRCODE_FDW_UNABLE_TO_CREATE_REPLY;
	return ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION;
}

const char *
tpm_hint_of_words(const char *words)
{
	if (words && strstr(asc_tolower(words, strlen(words)), "invalid ip address"))
		return "The API lets in only the addresses on its allow-list; ask Diligent to add this machine's public IPv4 address: a static one that is neither private nor a VPN's.";
	return NULL;
}

static const char *
hint_of_answer(const TpmSession *session, const TpmAnswer *answer, const char *words)
{
	const char *hint = tpm_hint_of_words(words);

	if (hint)
		return hint;
	if (tpm_challenge_is_of_scope(answer->challenge))
		return session->server->opt.auth == TPM_AUTH_OAUTH2
			? "The option scope of the server asks for scopes; the API must have granted them to this client."
			: "The user mapping needs a token of that scope.";
	switch (answer->status)
	{
		case 401:
			return "Check the credentials in the user mapping.";
		case 403:
			return "The caller must be a System Administrator, and its address on the API's allow-list.";
		case 404:
			return "Check the options base_url and resource.";
		case 405:
			return "The option ops of the foreign table says what its endpoint offers.";
		case 406:
		case 415:
			return "Check the option media_type.";
		case 428:
			return "The API wants to be told what is replaced: set the option update_check to 'reread'.";
		case 429:
			return "Another client uses up the limit; lower rate_limit_per_second or rate_limit_per_hour, or raise tpm_fdw.max_wait.";
		case 400:
			return "Check the options that name filters, order and paging: sort_keys \"one\" is for an API that takes one sort key only.";
		default:
			return NULL;
	}
}

static bool
is_https_twin(const char *url, const char *target)
{
	size_t		len;

	if (strncmp(url, "http://", 7) != 0 || strncmp(target, "https://", 8) != 0)
		return false;
	len = strcspn(url + 7, ":/");
	return len == strcspn(target + 8, ":/?") && pg_strncasecmp(url + 7, target + 8, len) == 0;
}

/* a 304 that nobody asked for leads nowhere, nor does any other without an address */
static bool
is_redirect(const TpmAnswer *answer)
{
	return answer->status >= 300 && answer->status <= 399 && answer->location != NULL;
}

/* never followed: the token would go where the answer says */
static TpmProblem *
problem_of_redirect(const TpmSession *session, const char *request, const TpmAnswer *answer)
{
	char	   *target = tpm_url_resolve(session->server->opt.base_url, answer->location);
	char	   *origin = target ? tpm_url_origin(target) : NULL;
	bool		https_twin = target && is_https_twin(session->server->opt.base_url, target);

	return tpm_problem(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
					   psprintf("%s was redirected", request),
					   psprintf("Status %d to %s; redirects are never followed.", answer->status,
								origin ? origin : "an address that cannot be read"),
					   https_twin ? "Use https:// in base_url."
					   : "Set base_url to where the API really is.");
}

TpmProblem *
tpm_problem_of_status(const TpmSession *session, const char *request, const TpmAnswer *answer)
{
	char	   *words = words_with_scope(answer, tpm_answer_words(answer));
	const char *hint = hint_of_answer(session, answer, words);
	int64		asked = answer->retry_after ? tpm_retry_after_seconds(answer->retry_after, (pg_time_t) time(NULL)) : -1;

	if (hint == NULL && asked > 0)
		hint = psprintf("The API asks to come back in " INT64_FORMAT " seconds.", asked);
	if (is_redirect(answer))
		return problem_of_redirect(session, request, answer);
	return tpm_problem(state_of_answer(answer),
					   psprintf("%s was answered with status %d", request, answer->status),
					   words, hint);
}

void
tpm_raise_status(const TpmSession *session, const char *request, const TpmAnswer *answer)
{
	tpm_problem_raise(tpm_problem_of_status(session, request, answer));
}

/* ----- refused writes ----- */

bool
tpm_answer_is_conflict(const TpmAnswer *answer, const char *conflict_codes)
{
	char	   *copy = pstrdup(conflict_codes ? conflict_codes : "");
	char	   *save;

	for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save))
	{
		char	   *code = strchr(item, ':');
		bool		matches = true;
		List	   *errors;
		ListCell   *lc;

		if (atoi(item) != answer->status)
			continue;
		if (code == NULL)
			return true;
		errors = tpm_document_errors(answer->body, answer->len);
		/* with another reason beside it, the row is wrong as well */
		foreach(lc, errors)
		{
			TpmApiError *error = lfirst(lc);

			matches = matches && error->code && strcmp(error->code, code + 1) == 0;
		}
		if (errors != NIL && matches)
			return true;
	}
	return false;
}

/* adds a name to a list of names, once */
static List *
add_column_name(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return names;
	}
	return lappend(names, unconstify(char *, name));
}

static char *
quote_names(List *names)
{
	StringInfoData all;
	ListCell   *lc;

	initStringInfo(&all);
	foreach(lc, names)
		appendStringInfo(&all, "%s\"%s\"", all.len > 0 ? ", " : "", (char *) lfirst(lc));
	return all.data;
}

/* one line for each reason; columns and members without a column by their names */
static char *
reasons(const TpmTable *table, List *errors, List **columns, List **members)
{
	StringInfoData all;
	ListCell   *lc;

	initStringInfo(&all);
	foreach(lc, errors)
	{
		TpmApiError *error = lfirst(lc);
		char	   *member;
		const TpmColumn *column = tpm_body_column_at(table, error->pointer, &member);

		if (all.len > TPM_MAX_REASONS)
			break;
		if (all.len > 0)
			appendStringInfoChar(&all, '\n');
		if (column)
		{
			*columns = add_column_name(*columns, column->name);
			appendStringInfo(&all, "Column \"%s\": ", column->name);
		}
		else if (member)
			*members = add_column_name(*members, member);
		appendStringInfoString(&all, tpm_error_words(error));
	}
	return all.data;
}

void
tpm_raise_refused(const TpmSession *session, const char *request, const TpmAnswer *answer,
				  const char *beside)
{
	List	   *errors = tpm_document_errors(answer->body, answer->len);
	List	   *columns = NIL;
	List	   *members = NIL;
	char	   *words = errors ? reasons(session->table, errors, &columns, &members)
	: tpm_answer_words(answer);
	const char *hint = answer->status == 400 || columns != NIL ? NULL
	: hint_of_answer(session, answer, words);

	words = words_with_scope(answer, words);
	if (is_redirect(answer))
		tpm_problem_raise(problem_of_redirect(session, request, answer));
	if (members != NIL)
		hint = psprintf("No column holds %s; a member that may not be sent back is named in the option read_only_members of the foreign table.",
						quote_names(members));
	ereport(ERROR,
			(errcode(answer->status == 409 ? ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION : state_of_answer(answer)),
			 columns != NIL ? errmsg("%s was refused with status %d because of %s", request,
									 answer->status, quote_names(columns))
			 : errmsg("%s was refused with status %d", request, answer->status),
			 words && beside ? errdetail("%s\nSent before or beside it: %s.", words, beside)
			 : words ? errdetail("%s", words)
			 : beside ? errdetail("Sent before or beside it: %s.", beside) : 0,
			 hint ? errhint("%s", hint) : 0));
	pg_unreachable();
}
