/*-------------------------------------------------------------------------
 *
 * client_internal.h
 *		A call, as the files of the client see it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CLIENT_INTERNAL_H
#define TPM_CLIENT_INTERNAL_H

#include "client/client.h"
#include "client/transport.h"

typedef enum TpmCallState
{
	CALL_TOKEN,					/* needs a token */
	CALL_TOKEN_SENT,			/* has the claim on it, request under way */
	CALL_SLOT,					/* needs a slot */
	CALL_SENT,
	CALL_PAUSE,					/* before the next try */
	CALL_DONE
} TpmCallState;

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
	TpmCallState state;
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
	List	   *secrets;		/* of this try's request, for an answer that
								 * repeats them */
	TimestampTz sent_at;
	int64		began_us;
	int64		state_since_us;
	int64		wake_us;
	int64		waited_us;		/* of this try, for budget and token */
	const TpmWriteHooks *hooks; /* of a write; NULL: none */
	void	   *hooks_arg;
	int			last_status;	/* of the try before; 0: none */
	TpmDeparture *departure;	/* of a write's bytes; NULL: none */
	TpmProblem *problem;		/* CALL_DONE: why there is no answer; NULL:
								 * there is one */
	MemoryContextCallback callback;
	TpmAnswer	answer;
};

/* call.c: from now on in that state, due at once */
extern void tpm_call_enter(TpmCall *call, TpmCallState state);

/* call.c: done, without an answer; what the problem points to may end with the try */
extern void tpm_call_fail(TpmCall *call, const TpmProblem *problem);

/* call.c: the try's ticket, transfer and texts are no more */
extern void tpm_call_forget_attempt(TpmCall *call);

/*
 * session.c: ALTER SERVER reaches the limits of who reads or waits for long.
 * True: they may be others now.  *problem: its options fit together no more.
 */
extern bool tpm_session_refresh_limits(TpmSession *session, TpmProblem **problem);

/* token_step.c: gives up the claim on the token, if the call holds one */
extern void tpm_call_give_token_back(TpmCall *call, const char *error);

/* token_step.c: as far as possible towards a token; CALL_SLOT is what comes next */
extern void tpm_call_step_token(TpmCall *call);
extern void tpm_call_step_token_sent(TpmCall *call);

/* admission.c: is it one of those that tpm_fdw.max_requests counts? */
extern bool tpm_call_is_limited(const TpmCall *call);

/* admission.c: each fails the call and returns false if it may not be sent */
extern bool tpm_call_check_enabled(TpmCall *call);
extern bool tpm_call_check_max_requests(TpmCall *call);

/* admission.c: the part of the hour that a statement leaves to others */
extern double tpm_statement_leave_free(const TpmStatement *statement);

/* admission.c: the patience of whoever waits, in microseconds; -1 no limit */
extern int64 tpm_statement_patience(const TpmStatement *statement);

/* slot_us: the earliest time at which its slot can come */
extern bool tpm_call_check_max_wait(TpmCall *call, int64 slot_us);

#endif							/* TPM_CLIENT_INTERNAL_H */
