/*-------------------------------------------------------------------------
 *
 * check_server.c
 *		tpm_fdw_check of a server: the way to the API, step by step.
 *
 * Owns the order of the steps and what is said of each.  The first two are a
 * connection that is closed before a request leaves, so they cost nothing of
 * the budget.  Everything runs with the caller's user mapping.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/url.h"
#include "check/check.h"
#include "client/client.h"
#include "client/transport.h"
#include "document/document.h"
#include "import/catalogue.h"
#include "shared/shared.h"

/* a clock further off than this is wrong; Date counts whole seconds */
#define MOST_SECONDS_OFF	60

typedef struct ServerCheck
{
	TpmReport  *report;
	Oid			serverid;
	TpmServer  *server;
	TpmSession *session;
	TpmTransfer *probe;
	TpmTable   *table;			/* whose list is asked for, NULL: of the
								 * catalogue */
	Oid			relid;			/* to be looked at as one */
	char	   *url;
	TpmAnswer  *answer;
	char	   *request_id;		/* that the request for it carried, NULL: none */
	int64		token_us;
	const char *stopped;		/* why a later step cannot be tried, or NULL */
} ServerCheck;

static void
not_tried(ServerCheck *check, const char *step)
{
	tpm_report(check->report, step, TPM_STEP_NOT_TRIED, psprintf("not tried: %s", check->stopped),
			   NULL);
}

/* ----- connection ----- */

static void
open_server(void *arg)
{
	ServerCheck *check = arg;

	check->server = tpm_get_server(check->serverid);
}

static bool
send_nothing(void *arg)
{
	return false;
}

static void
probe_server(void *arg)
{
	ServerCheck *check = arg;
	const TpmOptions *opt = &check->server->opt;
	TpmHttpSpec *spec = palloc(sizeof(TpmHttpSpec));

	tpm_problem_check(tpm_client_spec(check->server, opt, spec));
	spec->method = "GET";
	spec->url = opt->base_url;
	spec->origin = check->server->origin;
	spec->max_body = opt->max_response_size;
	spec->examined = true;
	spec->departing = send_nothing;
	check->probe = tpm_transfer_start(spec);
	while (!check->probe->done)
		tpm_wait(TPM_WAIT_ANSWER, PG_INT64_MAX);
}

/* what is looked up: the API's host, or the proxy's */
static char *
host_looked_up(const TpmServer *server)
{
	char	   *origin = server->opt.proxy ? tpm_url_origin(server->opt.proxy) : server->origin;
	char	   *host = strstr(origin, "://");
	char	   *port;

	host = pstrdup(host ? host + 3 : origin);
	port = strrchr(host, ':');
	if (port)
		*port = '\0';
	return server->opt.proxy ? psprintf("proxy %s", host) : host;
}

static void
report_name(ServerCheck *check)
{
	const TpmTransfer *t = check->probe;
	char	   *host = host_looked_up(check->server);

	if (t->address[0] != '\0')
	{
		tpm_report(check->report, "name resolution", TPM_STEP_OK,
				   psprintf("%s is %s", host, t->address), NULL);
		return;
	}
	check->stopped = psprintf("the name of %s was not resolved", host);
	tpm_report(check->report, "name resolution", TPM_STEP_FAILED, psprintf("%s: %s", host, t->error),
			   check->server->opt.ip_family == TPM_IPV4
			   ? "Check the host in base_url and this machine's DNS. Only IPv4 addresses are asked for, unless the option ip_family says otherwise."
			   : "Check the host in base_url, this machine's DNS and the option ip_family.");
}

/* no connection, or one that cannot be trusted */
static void
report_no_connection(ServerCheck *check)
{
	const TpmTransfer *t = check->probe;
	const char *hint = "Check host and port in base_url, the option proxy, and the firewalls between; an API with an allow-list may refuse connections from other addresses: ask Diligent to add this machine's public IPv4 address.";
	const char *error = t->error;

	if (t->outcome == TPM_OUTCOME_FORBIDDEN)
	{
		error = psprintf("%s is an address on this machine or link", t->address);
		hint = "Only a server owned by a superuser may reach such an address: ALTER SERVER ... OWNER TO a superuser, or correct base_url.";
	}
	else if (t->tls_failure)
		hint = "The option ca_file names the certificates to trust, client_cert and client_key who we are. A certificate is also refused when this machine's clock is wrong, or when a proxy puts its own in between.";
	check->stopped = "there is no connection";
	tpm_report(check->report, "TLS", TPM_STEP_FAILED, error, hint);
}

static void
report_tls(ServerCheck *check)
{
	const TpmTransfer *t = check->probe;
	const char *base_url = check->server->opt.base_url;

	if (check->stopped)
		not_tried(check, "TLS");
	else if (t->outcome != TPM_OUTCOME_NO_SLOT)
		report_no_connection(check);
	else if (tpm_url_is_https(base_url))
		tpm_report(check->report, "TLS", TPM_STEP_OK, t->cert_expires[0]
				   ? psprintf("the certificate is trusted and valid until %s", t->cert_expires)
				   : "the certificate is trusted", NULL);
	else
		tpm_report(check->report, "TLS", TPM_STEP_OK, "plain http: nothing is encrypted",
				   tpm_url_is_loopback(base_url) ? NULL
				   : "Tokens and data can be read on their way; use https in base_url.");
}

static void
check_connection(ServerCheck *check)
{
	ErrorData  *error;

	if (!tpm_attempt(open_server, check, &error))
	{
		check->stopped = "the server's options do not allow it";
		not_tried(check, "name resolution");
		tpm_report_error(check->report, "TLS", error, NULL);
		return;
	}
	if (tpm_enabled_now() == TPM_ENABLED_OFF)
		check->stopped = "tpm_fdw.enabled is \"off\"";
	if (check->stopped)
	{
		not_tried(check, "name resolution");
		not_tried(check, "TLS");
		return;
	}
	if (!tpm_attempt(probe_server, check, &error))
	{
		check->stopped = "there is no connection";
		not_tried(check, "name resolution");
		tpm_report_error(check->report, "TLS", error, NULL);
		return;
	}
	report_name(check);
	report_tls(check);
}

/* ----- token ----- */

static void
create_session(void *arg)
{
	ServerCheck *check = arg;

	check->session = tpm_session_create(check->server, check->table, GetUserId(), NULL);
}

static void
get_token(void *arg)
{
	ServerCheck *check = arg;
	int64		began_us = tpm_monotonic_us();
	TpmCall    *call = tpm_call_start(check->session, "GET", check->server->opt.base_url, NULL, NIL,
									  TPM_CALL_CHECK | TPM_CALL_TOKEN);

	tpm_call_wait(call);
	check->token_us = tpm_monotonic_us() - began_us;
}

static char *
token_words(const ServerCheck *check)
{
	TpmTokenRow *rows;
	int			n;

	if (check->server->opt.auth == TPM_AUTH_NONE)
		return "none is needed: auth is \"none\"";
	if (check->server->opt.auth == TPM_AUTH_BEARER)
		return "the fixed token of the user mapping";
	n = tpm_token_rows(&rows);
	for (int i = 0; i < n; i++)
	{
		if (rows[i].serverid != check->serverid ||
			rows[i].userid != check->session->credential->userid || rows[i].obtained == 0 ||
			strcmp(rows[i].client_id, check->session->token.client_id) != 0)
			continue;
		return psprintf("obtained at %s, valid until %s, at hand after %.0f ms",
						pstrdup(timestamptz_to_str(rows[i].obtained)),
						rows[i].expires ? pstrdup(timestamptz_to_str(rows[i].expires)) : "it is refused",
						check->token_us / 1000.0);
	}
	return "obtained";
}

static void
check_token(ServerCheck *check)
{
	ErrorData  *error = NULL;

	if (check->stopped)
	{
		not_tried(check, "token");
		return;
	}
	if (tpm_attempt(create_session, check, &error) && tpm_attempt(get_token, check, &error))
	{
		tpm_report(check->report, "token", TPM_STEP_OK, token_words(check), NULL);
		return;
	}
	check->stopped = "there is no token";
	tpm_report_error(check->report, "token", error, check->session ? NULL
					 : psprintf("CREATE USER MAPPING FOR CURRENT_USER SERVER %s OPTIONS (...) says who asks: client_id and client_secret_file, or token_file with auth \"bearer\".",
								quote_identifier(check->server->name)));
}

/* ----- the first request ----- */

static void
look_at_table(void *arg)
{
	ServerCheck *check = arg;
	TpmTable   *table = tpm_get_table(check->relid);

	if (tpm_check_can_list(table))
		check->table = table;
}

static void
choose_table(ServerCheck *check)
{
	ListCell   *lc;

	foreach(lc, tpm_check_tables(check->serverid, InvalidOid))
	{
		ErrorData  *error;

		check->relid = lfirst_oid(lc);
		if (tpm_attempt(look_at_table, check, &error) && check->table)
			return;
	}
}

static void
send_check_request(void *arg)
{
	ServerCheck *check = arg;
	const char *header = check->server->opt.request_id_header;
	TpmRequest	request = {.page_size = 1};
	TpmPosition start = {0};
	List	   *headers = NIL;
	TpmCall    *call;

	if (check->table)
	{
		request.path = tpm_request_path(check->table, NULL, false);
		check->url = tpm_request_url(check->table, &request, &start);
	}
	else
		check->url = psprintf("%s/%s", check->server->opt.base_url, tpm_catalogue[0].name);
	if (header[0])
	{
		check->request_id = DatumGetCString(DirectFunctionCall1(uuid_out, DirectFunctionCall1(gen_random_uuid, (Datum) 0)));
		headers = list_make1(psprintf("%s: %s", header, check->request_id));
	}
	call = tpm_call_start(check->session, "GET", check->url, NULL, headers, TPM_CALL_CHECK | TPM_CALL_ANY);
	tpm_call_wait(call);
	check->answer = tpm_call_answer(call);
}

/* the errors of a read; HV00M for what is no document */
static void
judge_answer(void *arg)
{
	ServerCheck *check = arg;
	const TpmAnswer *answer = check->answer;
	char	   *name = tpm_call_name("GET", check->url);
	Jsonb	   *document;
	JsonbValue	buffer;

	if (answer->status < 200 || answer->status > 299)
		tpm_raise_status(check->session, name, answer);
	document = tpm_json_object(answer->body, answer->len);
	if (document)
		tpm_document_refuse_errors(document, name);
	if (document == NULL || getKeyJsonValueFromContainer(&document->root, "data", 4, &buffer) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the answer to %s is not a JSON:API document", name),
				 errhint("Check base_url: something else than the API may answer there, such as a log-in page.")));
}

static double
seconds_off(const TpmAnswer *answer, pg_time_t theirs)
{
	TimestampTz ours = answer->received - answer->took_us / 2;

	/* a Date is cut to its second: on average half of one has passed */
	return (double) theirs + 0.5 - (double) (ours / 1000000.0 + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (double) SECS_PER_DAY);
}

static void
report_clock(ServerCheck *check)
{
	pg_time_t	theirs;
	double		off;

	if (check->answer == NULL)
		tpm_report(check->report, "clock", TPM_STEP_NOT_TRIED, check->stopped
				   ? psprintf("not tried: %s", check->stopped) : "not tried: there is no answer", NULL);
	else if (check->answer->date == NULL || !tpm_read_http_date(check->answer->date, &theirs))
		tpm_report(check->report, "clock", TPM_STEP_NOT_TRIED, "the answer has no Date to compare with",
				   NULL);
	else
	{
		off = seconds_off(check->answer, theirs);
		if (fabs(off) <= MOST_SECONDS_OFF)
			tpm_report(check->report, "clock", TPM_STEP_OK,
					   psprintf("the same as the API's to %d seconds", (int) ceil(fabs(off))), NULL);
		else
			tpm_report(check->report, "clock", TPM_STEP_FAILED,
					   psprintf("the API's clock is %.0f seconds %s of ours", fabs(off),
								off > 0 ? "ahead" : "behind"),
					   "Let this machine take its time from NTP; conditions with now() are about the API's times, and certificates and tokens are about ours.");
	}
}

static void
check_first_request(ServerCheck *check)
{
	ErrorData  *error = NULL;

	if (!check->stopped)
	{
		choose_table(check);
		if (check->table == NULL || tpm_attempt(create_session, check, &error))
			(void) tpm_attempt(send_check_request, check, &error);
	}
	report_clock(check);
	if (check->stopped)
		not_tried(check, "first request");
	else if (error)
		tpm_report_error(check->report, "first request", error, NULL);
	else if (check->answer->status == 404 && check->table == NULL)
		tpm_report(check->report, "first request", TPM_STEP_NOT_TRIED,
				   psprintf("%s was answered with status 404, and no foreign table says what else to ask for",
							tpm_call_name("GET", check->url)),
				   "Check base_url; IMPORT FOREIGN SCHEMA, then check again.");
	else if (!tpm_attempt(judge_answer, check, &error))
		tpm_report_error(check->report, "first request", error, NULL);
	else
		tpm_report(check->report, "first request", TPM_STEP_OK,
				   psprintf("%s was answered with status %d after %.0f ms",
							tpm_call_name("GET", check->url), check->answer->status,
							check->answer->took_us / 1000.0), NULL);
}

/* ----- what finds a write in the API's own log ----- */

/* both logs are joined by it, if it goes as far as the API's */
static void
report_request_id(ServerCheck *check)
{
	const char *header = check->server ? check->server->opt.request_id_header : "";
	const TpmAnswer *answer = check->answer;
	const char *back = answer ? answer->request_id : NULL;

	if (check->stopped)
		not_tried(check, "request id");
	else if (header[0] == '\0')
		tpm_report(check->report, "request id", TPM_STEP_NOT_TRIED,
				   "not tried: the option request_id_header is empty, and no write carries one", NULL);
	else if (answer == NULL || answer->status < 200 || answer->status > 299)
		tpm_report(check->report, "request id", TPM_STEP_NOT_TRIED,
				   "not tried: a refusal need not come from where requests are numbered", NULL);
	else if (back && strcmp(back, check->request_id) == 0)
		tpm_report(check->report, "request id", TPM_STEP_OK,
				   psprintf("%s comes back as it was sent: request_id of tpm_fdw_writes finds a write in the API's log",
							header), NULL);
	else if (back)
		tpm_report(check->report, "request id", TPM_STEP_FAILED,
				   psprintf("%s comes back, but not as it was sent", header),
				   "The API numbers its requests by itself, so request_id of tpm_fdw_writes does not find a write in its log; time, method, path and id do. Perhaps it takes another header: see the option request_id_header.");
	else
		tpm_report(check->report, "request id", TPM_STEP_FAILED, psprintf("%s does not come back", header),
				   "It cannot be seen from here whether the API's log has it: ask for the header that it logs, and put that into the option request_id_header. Without one, time, method, path and id find a write of tpm_fdw_writes there.");
}

/* ----- budget ----- */

static char *
budget_words(const TpmBudgetState *state)
{
	StringInfoData words;

	initStringInfo(&words);
	appendStringInfo(&words, "used this hour: %d", state->used_hour);
	if (state->limit_hour > 0)
		appendStringInfo(&words, " of %d", state->limit_hour);
	if (state->limit_minute > 0)
		appendStringInfo(&words, "; this minute: %d of %d", state->used_minute, state->limit_minute);
	if (state->limit_second > 0)
		appendStringInfo(&words, "; a second: %d", state->limit_second);
	if (state->waiting > 0)
		appendStringInfo(&words, "; waiting: %d", state->waiting);
	if (state->last_429 != 0)
		appendStringInfo(&words, "; last 429 at %s", timestamptz_to_str(state->last_429));
	return words.data;
}

static void
check_budget(ServerCheck *check)
{
	TpmBudgetState state;
	const char *hint = NULL;
	bool		empty;
	bool		paused;

	if (check->session == NULL)
	{
		not_tried(check, "budget");
		return;
	}
	tpm_budget_state(&check->session->budget, &state);
	empty = state.limit_hour > 0 && state.used_hour >= state.limit_hour;
	paused = state.paused_until_us > tpm_monotonic_us();
	if (paused)
		hint = psprintf("The API has asked for a pause (429) until %s. Another client may use up its limit: lower rate_limit_per_hour by what that needs.",
						timestamptz_to_str(state.next_slot));
	else if (empty)
		hint = psprintf("The next request can leave at %s. tpm_fdw_requests shows who has used the hour; a longer cache_ttl, and rate_limit_per_hour if Diligent allows more, help.",
						timestamptz_to_str(state.next_slot));
	tpm_report(check->report, "budget", empty || paused ? TPM_STEP_FAILED : TPM_STEP_OK,
			   budget_words(&state), hint);
}

void
tpm_check_server(TpmReport *report, const char *server)
{
	ServerCheck check = {.report = report,.serverid = get_foreign_server_oid(server, false)};

	check_connection(&check);
	check_token(&check);
	check_first_request(&check);
	report_request_id(&check);
	check_budget(&check);
}
