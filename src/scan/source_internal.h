/*-------------------------------------------------------------------------
 *
 * source_internal.h
 *		What source.c and its parts share: exchange.c and null_run.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_SOURCE_INTERNAL_H
#define TPM_SOURCE_INTERNAL_H

#include "scan/scan.h"

struct TpmSource
{
	TpmScan    *scan;
	TpmRequest *request;
	TpmCached  *cached;			/* NULL: read alone */
	bool		ordered;		/* asked for in the order of the plan */
	bool		complete;		/* the cached list needs no request */
	bool		exchanged;		/* it has taken the place of a part */
	TpmList    *list;			/* NULL until a page must be fetched */
	TpmPage    *page;			/* of the list, being returned */
	int			row;
	TpmCachedPage shared;		/* page of the cache, being returned */
	bool		at_end;
	MemoryContext context;		/* of the source */
	MemoryContext list_context; /* of the list and its pages */
	bool		on_trial;		/* an older answer may stand in for it */
	const TpmProblem *problem;	/* why it cannot be read, on trial; or NULL */
	bool		keeps_page;		/* a row of it is still being looked at */
	TpmIdSet   *returned;		/* rows returned in an order that may be left,
								 * or NULL */
	bool		anonymous;		/* one of them had no id */
	bool		skips;			/* pages of the list were passed over */
	bool		begins_beside;	/* read alone, for the first pages of a list
								 * that the cache has in part */
};

/* ----- source.c ----- */

/* is less than the table's list asked for? */
extern bool tpm_source_has_conditions(const TpmRequest *request);

/* would the table's list, kept as a whole, have all that is asked for? */
extern bool tpm_source_is_part(const TpmSource *source);

/* a list to be read, shared where it may be, in the current memory context */
extern TpmSource *tpm_source_open_new(TpmScan *scan, TpmRequest *request);

/* goes on without the cache, where a page of it may still be looked at */
extern void tpm_source_leave_cache(TpmSource *source);

/* begins the list anew, as the request says now */
extern void tpm_source_open_list_again(TpmSource *source);

/* the next page of the list; NULL: there is none, or source->problem */
extern TpmPage *tpm_source_receive(TpmSource *source);

/* a page has come, and is verified to its end */
extern void tpm_source_take_page(TpmSource *source);

/* true if there is a page to return rows from */
extern bool tpm_source_next_page(TpmSource *source);

/* ----- exchange.c ----- */

/*
 * Before a page is asked for: does the whole list answer from here on?  Rows
 * that have been returned are left out of it, and the others sorted by whoever
 * reads them.  False: nothing was tried, the page is to be asked for.
 */
extern bool tpm_source_exchange(TpmSource *source);

/* of the whole list: has the part in whose place it is given this row? */
extern bool tpm_source_was_given(const TpmSource *source, uint64 idhash);

/* ----- null_run.c ----- */

/* is the first page of the list full of NULLs that nobody wants? */
extern bool tpm_source_begins_with_nulls(const TpmSource *source);

/*
 * Goes to the page on which the NULLs end.  They are never in the middle of
 * the values, so what lies between two of them is one, too.  False: there is
 * no page, or source->problem.
 */
extern bool tpm_source_pass_nulls(TpmSource *source);

#endif							/* TPM_SOURCE_INTERNAL_H */
