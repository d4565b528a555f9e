/*-------------------------------------------------------------------------
 *
 * budget_internal.h
 *		What the files of the budget share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_BUDGET_INTERNAL_H
#define TPM_BUDGET_INTERNAL_H

#include "storage/lwlock.h"

#include "shared/budget/budget.h"

#define TPM_NEVER			PG_INT64_MAX
#define TPM_SECOND_US		INT64CONST(1000000)

/* the most a Retry-After is believed, and what a restart may lengthen a wait by */
#define TPM_HOUR_US			(3600 * TPM_SECOND_US)

/* stamps kept per budget */
#define TPM_LOG_SIZE		10000

/* servers that a budget remembers, for the view */
#define TPM_BUDGET_SERVERS	8

typedef enum TpmWindow
{
	TPM_WINDOW_SECOND,
	TPM_WINDOW_MINUTE,
	TPM_WINDOW_HOUR
} TpmWindow;

#define TPM_WINDOWS			3

/* limits in force per window: 0 none, TPM_BLOCKED nothing may be sent */
#define TPM_BLOCKED			(-1)
typedef int TpmForce[TPM_WINDOWS];

/* a server that draws on a budget, with the limits it last came with */
typedef struct TpmBudgetServer
{
	Oid			dbid;
	Oid			serverid;		/* InvalidOid: free */
	TpmLimits	limits;
} TpmBudgetServer;

/*
 * A budget: of a group, or of one endpoint in a group.
 *
 * The log is a ring of (stamp, running count of requests), ordered by both.
 * As long as it holds an entry for every request it is exact.  When it is full
 * of stamps that still count, entries are taken out among the older ones:
 * their requests then count until the next stamp leaves, against us.
 */
typedef struct TpmBudgetRecord
{
	uint64		id;				/* hash of the names, 0: free */
	char		scope[16];
	TpmBudgetServer servers[TPM_BUDGET_SERVERS];
	int64		paused_until_us;	/* 0: not */
	TimestampTz last_429;		/* 0: none */
	int			refusals;		/* 429 in a row without a time */
	int64		refused_us;		/* the last of them */
	bool		probing;		/* the pause is for one request, to see
								 * whether it is refused, too */
	int64		guard_us;		/* of the second, as of guard_at_us */
	int64		guard_at_us;

	/* the lines, by TpmLine: heads and tails in the pool of tickets, or -1 */
	int			head[2];
	int			tail[2];
	int			last_line;		/* the line served last */
	int			passed;			/* an endpoint's: tickets that stand in the
								 * common line now */

	/* what is written to the file: see budget_file.c */
	int			file_next;
	int			file_credit;

	uint32		base;			/* count before the first entry */
	uint32		total;			/* count with the last */
	int			first;			/* the ring */
	int			entries;
	int64		stamp[TPM_LOG_SIZE];
	uint32		sum[TPM_LOG_SIZE];
} TpmBudgetRecord;

/* a request's records: its group's, and its endpoint's or -1 */
#define TPM_GROUP			0
#define TPM_ENDPOINT		1
#define TPM_RECORDS			2

/*
 * A place in a line: the shared half of a ticket that waits.  With an endpoint
 * it stands in the endpoint's line first, then in the group's (common).
 */
typedef struct TpmPlace
{
	uint64		number;			/* the ticket's, 0: free */
	int			procno;
	TpmLine		line;
	int			at;				/* whose line it stands in: TPM_GROUP .. */
	int			record[TPM_RECORDS];
	TpmLimits	limits[TPM_RECORDS];
	double		leave_free;
	int64		told_us;		/* when it will poll again if its backend is
								 * at work */
	int			prev;
	int			next;			/* also the chain of free places */
} TpmPlace;

typedef struct TpmBudgetShared
{
	LWLock		lock;			/* protects everything below and in the arrays */
	uint64		tickets;		/* given out so far */
	int			free_place;
	int			nrecords;
	int			nplaces;
	TpmBudgetRecord *records;
	TpmPlace   *places;
} TpmBudgetShared;

extern TpmBudgetShared *tpm_budget;

/* budget_record.c */
extern uint64 tpm_budget_id(const TpmBudgetKey *key, int which);
extern int	tpm_budget_find(uint64 id);
extern TpmProblem *tpm_budget_lock_records(const TpmBudgetKey *key, int *recnos);

/* budget.c */
extern int	tpm_budget_own_hour(uint64 id, int64 now);

/* budget_line.c */
extern int	tpm_place_take(void);
extern void tpm_place_free(int place);
extern void tpm_line_enter(int place, int at, bool in_front);
extern void tpm_line_leave(int place);
extern int	tpm_line_waiting(int recno);
extern bool tpm_line_may_go(int place, int64 now);
extern void tpm_line_wait(int place, int64 now, int64 *wake_us, int64 *slot_us);
extern void tpm_line_wake(int recno);

/* budget_log.c */
extern void tpm_limits_in_force(const TpmLimits *limits, double leave_free, TpmForce force);
extern int64 tpm_window_us(const TpmBudgetRecord *record, TpmWindow window, int64 now);
extern void tpm_log_clear(TpmBudgetRecord *record);
extern void tpm_log_copy(TpmBudgetRecord *copy, const TpmBudgetRecord *record);
extern void tpm_log_add(TpmBudgetRecord *record, int64 now, uint32 count);
extern bool tpm_log_remove(TpmBudgetRecord *record, int64 stamp);
extern int	tpm_log_used(const TpmBudgetRecord *record, int64 since);
extern int64 tpm_log_newest(const TpmBudgetRecord *record);
extern int64 tpm_log_free_at(const TpmBudgetRecord *record, int64 window_us, int limit, int n);
extern int64 tpm_log_earliest(const TpmBudgetRecord *record, const TpmForce force, int n, int64 now);
extern void tpm_guard_widen(TpmBudgetRecord *record, int64 now);

/* budget_file.c: where a stamp stands in the file; slot -1: it needs none */
typedef struct TpmFileSlot
{
	int			recno;
	uint64		id;
	int			slot;
	uint32		count;			/* requests that it stands for */
} TpmFileSlot;

extern void tpm_budget_file_load(TpmBudgetRecord *records, int nrecords);
extern void tpm_budget_file_open(void);
extern TpmFileSlot tpm_budget_file_slot(TpmBudgetRecord *record, int recno);
extern void tpm_budget_file_stamp(const TpmFileSlot *slot, int64 stamp);
extern void tpm_budget_file_erase(const TpmFileSlot *slot);
extern void tpm_budget_file_state(const TpmBudgetRecord *record, int recno);
extern void tpm_budget_file_clear(int recno);
extern void tpm_budget_file_report(void);

#endif							/* TPM_BUDGET_INTERNAL_H */
