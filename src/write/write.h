/*-------------------------------------------------------------------------
 *
 * write.h
 *		One write with one true outcome: sent once, or found out, or unknown.
 *
 * Promises: a write ends as sent, refused or unknown, and journal, abort
 * report and caller are told the same, with the evidence.  It is sent again
 * only where the API surely has not acted (write_state.h); after a sending in
 * doubt nothing but an answer or a look makes it certain.
 * Never: decides which rows are written or what is in a body, waits while it is
 * stepped, or follows a plan.
 * Locks: none while anything is sent.  A resource with a change in doubt is
 * noted in shared/write_claims.c until a late sending has had its time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_WRITE_H
#define TPM_WRITE_H

#include "executor/tuptable.h"

#include "client/client.h"
#include "compat.h"
#include "document/document.h"
#include "option/option.h"
#include "request/body.h"
#include "write/abort_report.h"
#include "write/write_state.h"

/* ms for what is sent and not answered to arrive; its meaning and range are in tpm_fdw.c */
extern int	tpm_settle;

/* one statement's writes to one table */
typedef struct TpmWriter
{
	TpmTable   *table;
	TpmSession *session;
	TupleDesc	tupdesc;
	uint64		resource;		/* for the cache */
	TpmDecoder *all;			/* decodes every column */
	TpmDecoder *brief;			/* id and natural key */
	bool		wants_row;		/* somebody looks at what the API answers, */
	Bitmapset  *wanted;			/* at these columns; NULL: at any */
	bool		keeps_row;		/* the table has copies, which want it whole */
	int64		slowest_us;		/* of the session, as other sessions know it */
} TpmWriter;

typedef enum TpmWriteState
{
	TPM_WRITE_READY,			/* not begun */
	TPM_WRITE_SENT,
	TPM_WRITE_WAITING,			/* for the time of a look */
	TPM_WRITE_LOOKING,
	TPM_WRITE_ENDED				/* as end says */
} TpmWriteState;

/* one row on its way */
typedef struct TpmWrite
{
	TpmWriter  *writer;
	MemoryContext context;		/* of all that hangs on it */
	TupleTableSlot *slot;		/* what is sent */
	TupleTableSlot *old_slot;	/* of an UPDATE: what the statement saw */
	int64		row;			/* its number in the statement, from 1 */
	const char *method;
	char	   *list_path;		/* encoded, relative to base_url */
	char	   *shown_list;		/* the same for people */
	char	   *shown;			/* its own path, for people */
	char	   *url;
	char	   *name;			/* "POST /v1/third_parties" */
	char	   *body;
	char	   *id;				/* NULL: not known yet */
	char	   *key;			/* natural key for messages, NULL: none */
	char	   *request_id;
	Bitmapset  *columns;		/* that are set */

	/* of an UPDATE, as it was read last */
	HeapTuple	before;			/* NULL: not read */
	TpmResource *base;
	char	   *etag;			/* a strong one, or NULL */

	TpmWriteState state;
	TpmWriteStep end;
	TpmWriteHistory history;
	TpmWriteEvidence evidence;
	TpmSent    *sent;
	TpmCall    *call;			/* of the sending or the look under way */
	TpmDeparture *departure;	/* NULL: not begun */
	TpmApiClock clock;			/* before it was sent first */
	uint64		journal;		/* its number there; 0: it has not left */
	int			status;			/* of the last answer, 0 none */
	int64		look_at_us;
	int64		unsettled_until_us; /* others wait for it until then; 0: not */
	bool		has_client_id;	/* a POST with an id of its own, for the
								 * caller to say */
	bool		was_looked_for; /* before it was sent, in vain, */
	int64		looked_at_us;	/* then */
	HeapTuple	tuple;			/* what the API has made of it, NULL: nothing
								 * yet */
	bool		is_whole;		/* an answer tells it, and every column of it */
	List	   *untold;			/* names of columns whose value is not told
								 * with the tuple */
	const char *problem;		/* why its outcome is, or was, in doubt */
	const TpmProblem *failure;	/* why it could not be sent */
	const TpmAnswer *answer;	/* what refused it */
	ErrorData  *misfit;			/* a value of the answer that a column refuses */
	char	   *promised_id;	/* of what is done later, perhaps */
	bool		is_found;		/* a look has shown a row of its key, */
	char	   *found_id;		/* with that id; NULL: the table has no id */
	List	   *differing;		/* names of columns, of such a row or of the
								 * resource read back */
	bool		is_rival;		/* another write of the transaction made that
								 * row */
} TpmWrite;

/* ----- write.c ----- */

/* in the current memory context; sends nothing */
extern TpmWriter *tpm_writer_create(TpmTable *table, TupleDesc tupdesc, Oid userid,
									TpmStatement *statement);

/*
 * A row to be written, in the current memory context.  id: of the resource
 * that is changed, NULL for a POST.  Body and columns are the caller's to set.
 */
extern TpmWrite *tpm_write_create(TpmWriter *writer, TpmWriteMethod method, TupleTableSlot *slot,
								  char *id);

/* begins to send it; what becomes of it is told by tpm_write_step() */
extern void tpm_write_begin(TpmWrite *write);

/*
 * Goes on as far as it can without waiting; true if it has got on.  *wake_us:
 * when to come back at the latest.  The write is ended when its state says so,
 * and journal and abort report know how.
 */
extern bool tpm_write_step(TpmWrite *write, int64 *wake_us);

/* ends it before it was sent: a look has found its key */
extern void tpm_write_exists(TpmWrite *write, char *id);

/* of the address that it is sent to: what shared/write_claims.h knows a resource by */
extern uint64 tpm_write_address(const TpmWrite *write);

/* one that has ended, and of which nobody asks for more than its end: its answer goes */
extern void tpm_write_forget(TpmWrite *write);

/* why it waits, for the wait event */
extern int	tpm_write_waiting_for(const TpmWrite *write);

/* waits while another change of the resource may still arrive */
extern void tpm_write_wait_for_others(const TpmWrite *write);

/* "row 3 (internal_id = V-3)" */
extern char *tpm_write_row_name(const TpmWrite *write);

/* ----- answer.c ----- */

/* the resource by its id, into before, base and etag; false: there is none */
extern bool tpm_write_read_base(TpmWrite *write);

/* puts what the API answered into the slot; fetches it if there was no body */
extern void tpm_write_return(TpmWrite *write);

/* ----- look.c ----- */

/* one request for the keys of writes that have not been sent */
typedef struct TpmLookBefore
{
	TpmWrite  **writes;
	int			n;				/* for so many of them it is done with */
	const TpmColumn *column;	/* of their keys; NULL: one write's, all its
								 * columns */
	TpmCall    *call;			/* NULL: there is nothing to ask */
	const TpmProblem *problem;	/* it failed, and its rows must not be sent
								 * without it */
} TpmLookBefore;

/* for the first of n writes; the array must live as long as it does */
extern TpmLookBefore *tpm_look_before(TpmWrite **writes, int n);

/* as tpm_call_try(); true: it is done, and what it has found is ended as existing */
extern bool tpm_look_before_step(TpmLookBefore *look, int64 *wake_us);

/* columns, among those of the set (NULL: all), in which the tuple is not as the slot: names */
extern List *tpm_write_differences(const TpmWriter *writer, HeapTuple tuple, TupleTableSlot *slot,
								   Bitmapset *among);

/* ----- outcome.c ----- */

/* raises the error of a write that ended otherwise than done; beside: other writes, or NULL */
pg_noreturn extern void tpm_write_raise(const TpmWrite *write, const char *beside);

/* changed by somebody else; names: of columns, or NIL */
pg_noreturn extern void tpm_write_raise_changed(const TpmWrite *write, List *names);

/* the row cannot be addressed; values as tpm_body_placeholders() gives them */
pg_noreturn extern void tpm_raise_no_path(const TpmTable *table, char **values, const char *id);

#endif							/* TPM_WRITE_H */
