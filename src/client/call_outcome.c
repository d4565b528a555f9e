/*-------------------------------------------------------------------------
 *
 * call_outcome.c
 *		What became of one try of a call, and whether there is another.
 *
 * Owns the one retry policy, but for that of token requests: a read is tried
 * again, a write only where the answer, or its absence, says that nothing was
 * done.  Every try is counted here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "client/client_internal.h"
#include "client/redact.h"
#include "client/retry.h"
#include "shared/shared.h"

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
	if (t->outcome == TPM_OUTCOME_NO_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("The answer to %s had no room.", call->name),
				 errhint("Lower page_size or fetch_concurrency of server \"%s\".", call->session->server->name)));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
			 errmsg("no answer to %s after %d tries", call->name, call->attempt),
			 errdetail("%s: %s", call->session->server->origin, t->error[0] ? t->error : "connection lost"),
			 t->timed_out ? errhint("The options connect_timeout and request_timeout say how long to wait.") :
			 t->tls_failure ? errhint("The option ca_file names the certificates to trust.") :
			 t->no_host ? errhint("Check the option base_url, and ip_family (IPv4 only by default).") : 0));
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
	if (t->status > 299)
		tpm_redact(answer->body, answer->len, call->secrets);
	answer->etag = t->etag;
	answer->location = t->location;
	answer->date = t->date;
	answer->retry_after = t->retry_after;
	answer->received = GetCurrentTimestamp();
	answer->took_us = t->ended_us - t->started_us;
	/* a time-out says how long nobody answered */
	if (t->outcome == TPM_OUTCOME_ANSWERED)
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
	if (call->departed)
		*call->departed = false;
	tpm_call_forget_attempt(call);
	tpm_call_enter(call, CALL_PAUSE);
	call->wake_us += pause_us;
}

/* 429: everybody of the budget stops, not only this backend */
static void
hold_everybody(TpmCall *call)
{
	const char *retry_after = call->transfer->retry_after;
	int			nth = retry_after ? call->attempt : tpm_budget_saw_429(&call->session->budget);

	tpm_budget_pause(&call->session->budget,
					 tpm_monotonic_us() + tpm_retry_pause(nth, retry_after));
}

static void
answered(TpmCall *call)
{
	TpmSession *session = call->session;
	TpmTransfer *t = call->transfer;
	int			status = t->status;
	bool		write = (call->flags & TPM_CALL_WRITE) != 0;
	int64		pause = status == 429 ? 0 : tpm_retry_pause(call->attempt, t->retry_after);
	bool		again;

	record(call, status < 300 ? NULL : psprintf("status %d", status));
	if (status == 401 && session->server->opt.auth == TPM_AUTH_OAUTH2 && !call->renewed)
	{
		call->renewed = true;
		if (call->departed)
			*call->departed = false;
		tpm_token_rejected(&session->token, call->generation);
		call->attempt++;
		tpm_call_forget_attempt(call);
		tpm_call_enter(call, CALL_TOKEN);
		return;
	}
	if (status == 429)
		hold_everybody(call);
	else
		tpm_budget_answered(call->ticket);

	/* a write is repeated only where the answer says that nothing was done */
	if (status == 429)
		again = tpm_max_wait < 0 || call->attempt <= session->opt->max_retries ||
			tpm_monotonic_us() - call->began_us < tpm_max_wait * INT64CONST(1000);
	else
		again = ((status == 503 && t->retry_after) || (!write && status >= 500)) &&
			call->attempt <= session->opt->max_retries &&
			tpm_retry_fits(call->began_us, pause, session->opt);
	if (again)
	{
		pause_before_retry(call, pause);
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
	raise_not_reached(call);
}

void
tpm_call_step_sent(TpmCall *call)
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
