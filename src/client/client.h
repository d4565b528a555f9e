/*-------------------------------------------------------------------------
 *
 * client.h
 *		One call of the API: token, budget, transport, retry.
 *
 * Promises: a call ends with an answer or an error; token, budget, waiting and
 * retries are behind it, and several may be under way.  A write is sent again
 * only where it is certain that nothing was done.
 * Never: reads a plan or a row, follows a redirect, shows a secret in an error
 * or a log line, or sends it to another origin.  Callbacks of libcurl neither
 * throw nor wait: tpm_wait() is the one place that does.
 * Locks: none held here; those of budget and tokens are taken in shared/, for
 * microseconds, never over the network, a wait or an fsync.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CLIENT_H
#define TPM_CLIENT_H

#include "nodes/execnodes.h"
#include "pgtime.h"

#include "base/backend_list.h"
#include "base/problem.h"
#include "client/transport.h"
#include "compat.h"
#include "option/option.h"
#include "shared/budget/budget.h"
#include "shared/counters.h"
#include "shared/token/token.h"

/* settings; their meaning and range are in tpm_fdw.c */
extern int	tpm_max_wait;		/* ms; -1 no limit */
extern int	tpm_max_requests;
extern double tpm_leave_free;	/* 0..1 */
extern int	tpm_small_statement;	/* requests */
extern bool tpm_log_requests;

/*
 * One run of the executor, over all the foreign tables in it: what it has
 * sent counts against max_requests and max_writes.
 */
typedef struct TpmStatement
{
	EState	   *estate;			/* NULL: ANALYZE, IMPORT, a function */
	int64		requests;		/* reads sent, and over */
	int64		departed;		/* those under way, or given up, as well */
	int64		expected;		/* known to be needed in all, 0 unknown */
	int64		writes;			/* rows sent, or about to be */
	int64		queued;			/* rows of COPY that wait to be sent */
	struct TpmIdSet *created;	/* resources; NULL: none */
	double		scan_cost;		/* of our scans in its plan, begun so far */
	bool		makes_table;	/* its rows become a table, or a file */
	bool		wants_some;		/* whoever runs it has asked for so many rows */
	bool		patient;		/* a run of a copy, for which nobody waits:
								 * neither max_requests nor max_wait, and of
								 * the hour only what people leave */
	double		leaves_free;	/* its own leave_free */
	dlist_node	node;			/* among those of this backend */
} TpmStatement;

/* the statement of this executor run; lives as long as the run */
extern TpmStatement *tpm_statement_of(EState *estate);

/*
 * A statement does not see what it creates itself, however late its scans are.
 * address: of the table; id: tpm_id_hash().
 */
extern void tpm_statement_creates(TpmStatement *statement, uint64 address, uint64 id);
extern bool tpm_statement_has_created(const TpmStatement *statement, uint64 address, uint64 id);

/* when the bytes of a write left (monotonic, microseconds); noted inside libcurl */
typedef struct TpmDeparture
{
	bool		departed;		/* and nothing says that the API has not acted */
	int			times;
	int64		first_us;
	int64		at_us;			/* the last time */
} TpmDeparture;

/* what time it was at the API, by the Date of an answer */
typedef struct TpmApiClock
{
	TimestampTz date;
	int64		at_us;			/* monotonic; 0: nothing is known */
} TpmApiClock;

/* one scan's, or one modification's, dealings with the API */
typedef struct TpmSession
{
	const TpmServer *server;
	const TpmOptions *opt;		/* the table's, or the server's */
	const TpmTable *table;		/* NULL: none */
	TpmCredential *credential;
	TpmStatement *statement;
	TpmBudgetKey budget;
	uint64		budget_version; /* of the options that its limits come from */
	TpmTokenKey token;
	TpmProgress *progress;

	int64		expected;		/* requests known to be needed in all, 0: not
								 * known */
	int64		besides;		/* that other scans of the statement are known
								 * to need */
	int			lanes;			/* requests that may be under way at a time, 0
								 * as 1 */
	bool		announced;		/* people know how long it will take */

	/* what it has cost so far */
	int64		requests;
	int64		retries;
	int64		bytes_in;
	int64		bytes_out;
	int64		waited_us;		/* for budget and token */
	int64		slowest_us;
	int64		answers;		/* measured */
	int64		answers_us;		/* all of them together */
	TpmApiClock clock;			/* of the last answer that belongs to a write */
} TpmSession;

/* lives in the current memory context; sends nothing */
extern TpmSession *tpm_session_create(const TpmServer *server, const TpmTable *table, Oid userid,
									  TpmStatement *statement);

/* bits of a call */
#define TPM_CALL_READ		0x00	/* a GET: repeated where needed */
#define TPM_CALL_WRITE		0x01	/* never repeated when it may have acted */
#define TPM_CALL_CHECK		0x02	/* may use the whole hour, not counted */
#define TPM_CALL_PART		0x04	/* a read that belongs to a write: not
									 * counted against max_requests */
#define TPM_CALL_ANY		0x08	/* any status is an answer, not an error */
#define TPM_CALL_TOKEN		0x10	/* done when there is a token; nothing
									 * else is sent */

/* what came back, in the call's memory context */
typedef struct TpmAnswer
{
	int			status;
	char	   *body;
	size_t		len;
	const char *etag;
	const char *location;
	const char *date;
	const char *retry_after;
	const char *link;			/* NULL: none, as above */
	const char *content_range;
	List	   *secrets;		/* that no message may repeat */
	const char *challenge;		/* WWW-Authenticate */
	const char *request_id;		/* what the header of the option
								 * request_id_header has, NULL: no such header */
	TimestampTz left;			/* when the try that was answered began */
	TimestampTz received;
	int64		took_us;
	bool		doubtful;		/* a write that left, and no answer came */
	TpmOutcome	outcome;		/* of the transfer */
	const char *problem;		/* doubtful: why */
} TpmAnswer;

typedef struct TpmCall TpmCall;

/*
 * Begins a call; it goes on in tpm_call_wait() or tpm_call_try().  url must be
 * absolute, on the server's origin.  The call is freed with the current memory
 * context, or by tpm_call_end().  Texts must live as long as it does.
 */
extern TpmCall *tpm_call_start(TpmSession *session, const char *method, const char *url,
							   const char *body, List *headers, int flags);

/*
 * Goes as far as possible without waiting; true: the call is done, and either
 * tpm_call_problem() says why there is no answer, or there is one.  Nothing is
 * thrown but what nobody expects, and interrupts: others may be under way that
 * must be seen to their end.  False: *wake_us is when to come back at the latest.
 */
extern bool tpm_call_try(TpmCall *call, int64 *wake_us);

/* of a call that is done; NULL: it has an answer.  In its memory context. */
extern const TpmProblem *tpm_call_problem(const TpmCall *call);

/* what a write has to say while it is under way */
typedef struct TpmWriteHooks
{
	/* each time just before its bytes may leave; not NULL: they must not */
	TpmProblem *(*leaving) (void *arg);

	/*
	 * has this answer surely changed nothing, so that it may be sent again?
	 * repeated: the try before was answered with the same status.
	 */
	bool		(*is_unacted) (void *arg, const TpmAnswer *answer, bool repeated);
} TpmWriteHooks;

/* of a call that is a TPM_CALL_WRITE; what is given must live as long as it does */
extern void tpm_call_set_write(TpmCall *call, const TpmWriteHooks *hooks, void *arg,
							   TpmDeparture *departure);

extern TpmAnswer *tpm_call_answer(TpmCall *call);
extern void tpm_call_end(TpmCall *call);

/* why the call waits now, for the wait event */
extern int	tpm_call_waiting_for(const TpmCall *call);

/* waits until a transfer of this backend ends, its latch is set or the time has come */
extern void tpm_calls_pause(TpmSession *session, int reason, int64 wake_us);

/* advances the call until it is done, and raises its problem */
extern void tpm_call_wait(TpmCall *call);

/* one GET from start to end */
extern TpmAnswer *tpm_client_get(TpmSession *session, const char *url, int flags);

/* the same; NULL: *problem says why there is no answer */
extern TpmAnswer *tpm_client_try_get(TpmSession *session, const char *url, int flags,
									 const TpmProblem **problem);

/*
 * 53400 unless n more reads of this statement, all of them certain to be sent,
 * stay within max_requests and each gets its slot within max_wait; NULL if so.
 */
extern TpmProblem *tpm_client_refuses(TpmSession *session, int64 n);

/* the same, raised */
extern void tpm_client_admit(TpmSession *session, int64 n);

/* the same of whoever has waited so long for what another was to send: not before that is longer than max_wait */
extern TpmProblem *tpm_client_refuses_to_wait(TpmSession *session, int64 waited_us);

/* how many of n more requests it would not refuse */
extern int64 tpm_client_allows(TpmSession *session, int64 n);

/* the same for n requests of writes, which max_requests does not count */
extern void tpm_client_admit_writes(TpmSession *session, int64 n);

/* how the options say that servers are reached; NULL: all files that they name may be used */
struct TpmHttpSpec;
extern TpmProblem *tpm_client_spec(const TpmServer *server, const TpmOptions *opt,
								   struct TpmHttpSpec *spec);

/* brings tpm_fdw_progress up to date, with an estimated end where the number of requests is known */
extern void tpm_session_show(const TpmSession *session, int64 rows);

/* the message's name of a request: "GET /v1/third_parties" */
extern char *tpm_call_name(const char *method, const char *url);

/* ----- when it is tried again ----- */

/*
 * Microseconds to wait before try number attempt + 1: what Retry-After says
 * (RFC 9110, section 10.2.3: seconds or a date; never more than an hour), else
 * exponential with jitter.
 */
extern int64 tpm_retry_pause(int attempt, const char *retry_after);

/* seconds that a Retry-After asks for, from 0 to an hour; -1 if it is neither form */
extern int64 tpm_retry_after_seconds(const char *value, pg_time_t now);

/* a date as HTTP spells it (RFC 9110, section 5.6.7); false if it is none */
extern bool tpm_read_http_date(const char *value, pg_time_t *when);

/* false if another pause would make all the tries together take too long */
extern bool tpm_retry_fits(int64 began_us, int64 pause_us, const TpmOptions *opt);

/* errors.c: an answer that is no success as the error of interface.md */
extern TpmProblem *tpm_problem_of_status(const TpmSession *session, const char *request,
										 const TpmAnswer *answer);
pg_noreturn extern void tpm_raise_status(const TpmSession *session, const char *request,
										 const TpmAnswer *answer);

/*
 * An answer that refuses a write, as one error that names every column in
 * question.  beside: other writes that were sent, for the DETAIL, or NULL.
 */
pg_noreturn extern void tpm_raise_refused(const TpmSession *session, const char *request,
										  const TpmAnswer *answer, const char *beside);

/*
 * Does a WWW-Authenticate say that the token is good, and not for this (RFC
 * 6750, 3.1)?  Another token of the same client would be no better.
 */
extern bool tpm_challenge_is_of_scope(const char *challenge);

/* does it say "exists already", as the option conflict_codes spells that? */
extern bool tpm_answer_is_conflict(const TpmAnswer *answer, const char *conflict_codes);

/* the API's own words, or NULL: titles and details joined */
extern char *tpm_answer_words(const TpmAnswer *answer);

/* what to do about a refusal in these words, whatever its status; NULL: unknown */
extern const char *tpm_hint_of_words(const char *words);

/*
 * token_step.c
 *
 * Reads the token endpoint's answer.  NULL: it is an error, and *error says
 * which, in words that hold no secret.  *lifetime in seconds, -1 if not told.
 */
extern char *tpm_oauth_answer(int status, const char *body, size_t len, int *lifetime, char **error);

#endif							/* TPM_CLIENT_H */
