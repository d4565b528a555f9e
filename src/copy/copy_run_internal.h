/*-------------------------------------------------------------------------
 *
 * copy_run_internal.h
 *		A run of one copy: its steps, the list that it walks, the rows that it writes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_COPY_RUN_INTERNAL_H
#define TPM_COPY_RUN_INTERNAL_H

#include "client/client.h"
#include "client/list_end.h"
#include "copy/copy_internal.h"
#include "document/document.h"
#include "request/request.h"

/* what a table is written with; made by the first rows, in the memory of the run */
typedef struct TpmCopyTarget TpmCopyTarget;

/*
 * One run of one copy.  Its memory lasts as long as it does, over the ends of
 * its transactions.
 */
typedef struct TpmCopyRun
{
	char	   *guard;
	char	   *name;			/* of the copy, quoted where needed */
	Oid			relid;
	Oid			owner;
	Oid			sourceid;
	bool		accept_deletions;
	int64		rows_deleted;	/* since it was found that they are gone */
	TpmTable   *table;			/* the foreign table */
	TupleDesc	tupdesc;		/* its rows, as pages bring them */
	TpmDecoder *decoder;
	TpmSession *session;
	TpmCopyTarget *target;
	MemoryContext context;
	MemoryContext step_context; /* of the last step; gone when the next begins */

	/*
	 * The state: within a step as locked, and saved at its end; between steps
	 * as saved last.
	 */
	TpmCopy    *copy;
	char	   *phase;			/* in which the state must be, or somebody has
								 * begun it anew */
	int64		announced;		/* rows, by the least total of a list that was
								 * read whole; -1: none was, or it told none */
	ErrorData  *error;			/* why it has ended, NULL: nothing went wrong */
	int64		requests_counted;	/* of its session's, in the state already */
} TpmCopyRun;

/* one answer */
typedef struct TpmCopyPage
{
	int			status;
	TpmPage    *rows;			/* NULL: the status is no success */
	char	  **ids;			/* one a row, as text */
	int			n;
	int64		number;			/* its place in the list, from 0 */
	int64		total;			/* -1: none that can be one */
	TpmListEnd	end;
	TimestampTz left;			/* when its request left, on our clock */
	TimestampTz date;			/* on the API's; TPM_NEVER: it does not tell */
} TpmCopyPage;

/* a list, and where in it the next page is */
typedef struct TpmCopyWalk
{
	TpmRequest	request;
	bool		any_status;		/* no success is an answer as well */
	bool		ended;			/* the page read last was the last one */
	TpmPosition position;		/* of the next page */
	char	   *link;			/* of the next page, NULL: it is computed */
	char	   *pattern;		/* a link whose number can be exchanged */
	int			pattern_base;	/* what it counts the first page by */
	int64		asked_number;	/* of the page read last; -1: none was */
	bool		linked;			/* a page has named a next one */
	int			empty_pages;	/* in a row */
	int64		total;			/* told by the page read last; -1 */
	int64		least_total;	/* told by any page; -1 */
	bool		total_fell;		/* between two pages, or one told none */
	int			steps_back;		/* so many pages were read again for that */
	bool		resumed;		/* begins where another run has ended */
	bool		restarted;		/* a link was refused, and it began anew */
	int			same_pages;		/* in a row, that had what the one before had */
	char	  **last_ids;		/* of the page read last, in the run's memory */
	int			last_n;
	struct TpmIdSet *followed;	/* links, so that a circle ends */
} TpmCopyWalk;

/* ----- copy_step.c ----- */

/*
 * What is done with a page in its transaction, as the owner of the copy: it
 * may read and write the copy and change run->copy.  It neither sends, waits
 * nor ends a transaction.  What it raises undoes the step and ends the run;
 * the state says so.
 */
typedef void (*TpmCopyWork) (TpmCopyRun *run, TpmCopyPage *page, void *arg);

/*
 * One request, waited for without snapshot and lock, then one transaction.
 * walk NULL: no request, and page is NULL.  False: the run is over (run->error,
 * or the copy is gone, paused or begun anew): nothing more may be done in it.
 */
extern bool tpm_copy_step(TpmCopyRun *run, TpmCopyWalk *walk, TpmCopyWork work, void *arg);

/* in another phase from the next step on; run->copy follows */
extern void tpm_copy_set_phase(TpmCopyRun *run, const char *phase);

/* a run of this copy, both in the current memory context */
extern TpmCopyRun *tpm_copy_run_begin(TpmCopy *copy);

/* reads the foreign table's options; false: something is in the way, and the state says what */
extern bool tpm_copy_run_open(TpmCopyRun *run);

/*
 * Within a subtransaction: from now on as the owner, and with its settings; may
 * write to the copy.  The same, over.
 */
typedef struct TpmCopyIdentity
{
	Oid			userid;
	int			sec_context;
	int			nestlevel;
} TpmCopyIdentity;

extern void tpm_copy_become_owner(Oid relid, Oid owner, TpmCopyIdentity *caller);
extern void tpm_copy_become_caller(const TpmCopyIdentity *caller);

/* ----- copy_page.c ----- */

/* the whole list with all its members; sort NULL: as listed */
extern TpmCopyWalk *tpm_copy_walk(TpmCopyRun *run, char *sort);

/* the next page is the one of this number, from 0; false: it is not known how to ask for it */
extern bool tpm_copy_walk_go(TpmCopyRun *run, TpmCopyWalk *walk, int64 number);

/*
 * A link of the list in the order of its ids serves for any of its pages: kept
 * in the state, and known to a walk that has not followed one.
 */
extern void tpm_copy_keep_link(TpmCopyRun *run, const TpmCopyWalk *walk);
extern void tpm_copy_walk_know_link(TpmCopyRun *run, TpmCopyWalk *walk);

/* rows of a full page, as far as it is known */
extern int	tpm_copy_page_rows(const TpmCopyRun *run, const TpmCopyWalk *walk);

/* the answer with the next page; what it waits for holds no snapshot and no lock */
extern TpmAnswer *tpm_copy_ask(TpmCopyRun *run, TpmCopyWalk *walk);

/* the same decoded; the walk goes on behind it */
extern TpmCopyPage *tpm_copy_read_page(TpmCopyRun *run, TpmCopyWalk *walk, const TpmAnswer *answer);

/* the state knows where the walk stands */
extern void tpm_copy_save_walk(TpmCopyRun *run, const TpmCopyWalk *walk);

/* it stands where the state says, one page before it where pages can be asked for by number */
extern void tpm_copy_walk_resume(TpmCopyRun *run, TpmCopyWalk *walk);

/* the next page is that one, or if it is not known how to ask for it, the first */
extern void tpm_copy_walk_back(TpmCopyRun *run, TpmCopyWalk *walk, int64 number);

/*
 * What a page tells of those before it: where its total is smaller by m than
 * that of the page before, rows have moved past the walk, and it goes back by as
 * many pages as they fill.  True: it does, so that this page is not the end.
 */
extern bool tpm_copy_step_back(TpmCopyRun *run, TpmCopyWalk *walk, const TpmCopyPage *page);

/* ----- copy_apply.c: within a step's work, or as the owner ----- */

typedef struct TpmCopyCounts
{
	int64		inserted;
	int64		updated;
} TpmCopyCounts;

/*
 * Rows of the foreign table into the copy; left: when the request of each left.
 * What came later stays.  Counts into run->copy as well.
 */
extern void tpm_copy_apply(TpmCopyRun *run, const HeapTuple *rows, const TimestampTz *left, int n,
						   TpmCopyCounts *counts);

/* the same of a page */
extern void tpm_copy_apply_page(TpmCopyRun *run, const TpmCopyPage *page, TpmCopyCounts *counts);

/* removed or marked, as the copy's option says; how many.  left: when whoever said that they are gone was asked */
extern int64 tpm_copy_delete(TpmCopyRun *run, char **ids, int n, TimestampTz left);

/* ----- the kinds of runs; false: as tpm_copy_step() ----- */

extern bool tpm_copy_fill(TpmCopyRun *run, bool *differs);
extern bool tpm_copy_incremental(TpmCopyRun *run);
extern bool tpm_copy_reconcile(TpmCopyRun *run);
extern bool tpm_copy_sweep(TpmCopyRun *run);

/* ----- copy_fill.c ----- */

/* in the step of its first page: a list of this phase begins, unless it is gone on with */
extern void tpm_copy_begin_list(TpmCopyRun *run, const char *phase, const TpmCopyPage *page);

/*
 * The whole list from its first page to its last, or from where a run of this
 * phase has ended, into the copy; also: what is done with each page besides, in
 * its step, or NULL.  It ends in the phase that it had; run->copy->run_started,
 * run_date and run_total_fell then tell of all of it.
 */
extern bool tpm_copy_read_list(TpmCopyRun *run, const char *phase, TpmCopyWork also, void *arg);

/* ----- copy_incremental.c ----- */

/* the greatest cursor of a page is part of what is known */
extern void tpm_copy_note_cursors(TpmCopyRun *run, const TpmCopyPage *page);

/* the run has seen all up to there */
extern void tpm_copy_move_watermark(TpmCopyRun *run);

#endif							/* TPM_COPY_RUN_INTERNAL_H */
