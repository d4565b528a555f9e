/*-------------------------------------------------------------------------
 *
 * budget.h
 *		The cluster's budget: who may send a request, and when.
 *
 * Nothing here sleeps.  A caller joins a line, polls, and waits elsewhere
 * (tpm_wait) for its latch or for the time it was told.  Whoever leaves a
 * line, or is granted a slot, sets the latch of the new head.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_BUDGET_H
#define TPM_BUDGET_H

#include "datatype/timestamp.h"

#include "base/problem.h"
#include "shared/shared.h"

/* settings; their meaning and range are in tpm_fdw.c */
extern int	tpm_max_budgets;
extern double tpm_rate_limit_share; /* 0..1 */
extern int	tpm_hour;			/* seconds; the limiter's hour */

extern const TpmSharedArea tpm_budget_area;

/* limits as the options have them (rate_limit_share is applied inside); 0 is none */
typedef struct TpmLimits
{
	int			per_second;
	int			per_minute;
	int			per_hour;
} TpmLimits;

/*
 * Which records a request is counted against.  group names the budget (text,
 * never derived from a secret); endpoint is NULL or the resource path of a
 * table that has limits of its own.
 */
typedef struct TpmBudgetKey
{
	const char *group;
	const char *scope;			/* "credential" or "group": for the view */
	Oid			serverid;
	const char *endpoint;
	TpmLimits	limits;
	TpmLimits	endpoint_limits;
} TpmBudgetKey;

typedef enum TpmLine
{
	TPM_LINE_SMALL,				/* few requests, single writes, checks: the
								 * whole hour */
	TPM_LINE_LARGE				/* moves while the hour's used part is below
								 * the limit less leave_free */
} TpmLine;

typedef struct TpmTicket TpmTicket;

typedef enum TpmSlotVerdict
{
	TPM_SLOT_GRANTED,			/* stamped: send now */
	TPM_SLOT_WAIT				/* wait for the latch or until *wake_us */
} TpmSlotVerdict;

/* what stands in the way; for messages and views */
typedef struct TpmBudgetState
{
	int			used_second;
	int			used_minute;
	int			used_hour;
	int			limit_second;
	int			limit_minute;
	int			limit_hour;
	int			waiting;
	int			own_hour;		/* requests of this backend in the hour */
	int64		next_slot_us;	/* monotonic; when the next could leave */
	int64		paused_until_us;	/* 0 none */
	TimestampTz next_slot;		/* the same as wall-clock time */
	TimestampTz last_429;		/* 0 none */
} TpmBudgetState;

/*
 * Joins the line.  The ticket lives in the current memory context and leaves
 * the line by a reset callback if nobody else takes it out first; a backend
 * that dies leaves by before_shmem_exit.  A backend may hold several tickets
 * at once (requests side by side).  leave_free is 0..1.  NULL: there is no
 * room for another, and *problem says so.
 */
extern TpmTicket *tpm_budget_join(const TpmBudgetKey *key, TpmLine line, double leave_free,
								  TpmProblem **problem);

/* the limits of the key have changed: they count from now on, also in the line; NULL, or the same problem */
extern TpmProblem *tpm_budget_relimit(TpmTicket *ticket, const TpmBudgetKey *key);

/*
 * GRANTED: the stamp is written (also to the file that survives a restart)
 * and the ticket is out of the line.  WAIT: *wake_us is the monotonic time of
 * the next poll (a ticket that is not polled by then, or soon after its latch
 * was set, is passed over by those behind it until it is polled), and *slot_us the earliest time at which a slot can come for
 * this ticket as things stand (for max_wait), counting those in front.
 */
extern TpmSlotVerdict tpm_budget_poll(TpmTicket *ticket, int64 *wake_us, int64 *slot_us);

/*
 * From libcurl's PREREQFUNCTION: the bytes are about to leave.  Moves the
 * stamp of a granted ticket to now.  False: the windows have filled up in
 * the meantime (or a pause began, or this ticket has departed already),
 * nothing may be sent, join again.  Never throws, never waits.
 */
extern bool tpm_budget_departing(TpmTicket *ticket);

/* everybody of the endpoint (if it has limits of its own) or group stops until then */
extern void tpm_budget_pause(const TpmBudgetKey *key, int64 until_us);

/*
 * A 429 without a time: the guard is widened.  Returns how many there were in
 * a row, whoever got them; the pause is the caller's.  After it one request
 * leaves at a time, until one is answered otherwise.
 */
extern int	tpm_budget_saw_429(const TpmBudgetKey *key);

/* a request that has departed was answered otherwise than with 429 */
extern void tpm_budget_answered(const TpmTicket *ticket);

/*
 * The monotonic time at which the n-th request from now could leave, given
 * the log as it is.  PG_INT64_MAX: never (a limit of zero left).
 */
extern int64 tpm_budget_forecast(const TpmBudgetKey *key, TpmLine line, double leave_free, int n);

/*
 * How long the longest single wait of the next n requests would be, in
 * microseconds, and when that request could leave.  What max_wait is compared
 * with: the pace of the second never adds up here.  PG_INT64_MAX: never.
 */
extern int64 tpm_budget_longest_wait(const TpmBudgetKey *key, TpmLine line, double leave_free,
									 int n, int64 *leaves_us);

/* clears log, pause and guard of the budgets that a server of this database
 * uses; InvalidOid: of all */
extern void tpm_budget_reset(Oid serverid);

/* one row of tpm_fdw_rate_limits: a budget as seen by one server */
typedef struct TpmBudgetRow
{
	Oid			serverid;
	char		scope[16];
	TpmBudgetState state;
} TpmBudgetRow;

/* palloc'd array of the rows whose server is in this database */
extern int	tpm_budget_rows(TpmBudgetRow **rows);

extern void tpm_budget_state(const TpmBudgetKey *key, TpmBudgetState *state);

#endif							/* TPM_BUDGET_H */
