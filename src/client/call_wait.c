/*-------------------------------------------------------------------------
 *
 * call_wait.c
 *		Waiting for calls.
 *
 * Owns the loop that drives several calls until one is done, those beside it
 * included.  The one place that waits is tpm_wait().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "client/client_internal.h"
#include "shared/cache/cache.h"


/* calls that go on while another one is waited for */
static List *beside = NIL;

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
	if (tpm_cache_heartbeat())
		wake_us = Min(wake_us, tpm_monotonic_us() + INT64CONST(500000));
	tpm_wait(reason, wake_us);
	tpm_progress_waiting(session->progress, NULL);
}

void
tpm_call_wait(TpmCall *call)
{
	int64		wake_us = PG_INT64_MAX;

	while (!tpm_call_advance(call, &wake_us))
	{
		wake_us = Min(wake_us, advance_those_beside());
		tpm_calls_pause(call->session, tpm_call_waiting_for(call), wake_us);
	}
}

TpmAnswer *
tpm_client_get(TpmSession *session, const char *url, int flags)
{
	TpmCall    *call = tpm_call_start(session, "GET", url, NULL, NIL, flags);

	tpm_call_wait(call);
	return tpm_call_answer(call);
}
