/*-------------------------------------------------------------------------
 *
 * list_internal.h
 *		What list.c shares with list_size.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_LIST_INTERNAL_H
#define TPM_LIST_INTERNAL_H

#include "base/idset.h"
#include "scan/list.h"
#include "shared/counters.h"

struct TpmList
{
	TpmSession *session;
	const TpmTable *table;
	TpmDecoder *decoder;
	TpmRequest *request;
	bool		reads_all;
	bool		admitted;		/* it has been judged by a total */
	MemoryContext context;
	MemoryContext page_context;
	MemoryContext body_context;
	TpmPosition position;
	TpmPosition last;			/* where the page received last begins */
	char	   *url;			/* of the next page, NULL when complete */
	TpmIdSet   *ids;			/* resources seen */
	TpmIdSet   *urls;			/* links followed */
	int64		distinct;
	int64		anonymous;		/* resources without an id */
	int			first_page_rows;
	int64		step;			/* of offsets, 0: that */
	int64		total;			/* the last one told, -1 none */
	bool		total_lies;		/* it is, or may be, that of the list without
								 * filters */
	int64		not_believed;	/* such a total, 0 none */
	int64		least_total;	/* that a page has told */
	int			pages;
	int64		told_rows;		/* of a filter, that have been learnt; -1:
								 * none */
	int			empty_pages;	/* in a row */
	bool		torn;			/* see tpm_list_is_torn() */
	bool		linked;			/* a page has named a next one */
	bool		by_link;		/* the next page cannot be computed */
	TpmListDoubt doubt;
	struct TpmScan *payer;		/* for whom requests count, or NULL */
	TpmPrefetch *ahead;			/* pages requested before their turn */
	TpmPrefetch *begun;			/* first pages of lists, perhaps of this one,
								 * that have been requested, or NULL */
	bool		may_ask_ahead;
	bool		again;			/* a second reading, for what the first missed */
	bool		restarted;		/* begun again: known resources come first */
	bool		continued;		/* its first pages may have come long ago */
	int64		skipped_to;		/* the number of the page that it went to, as
								 * links have it; -1: they do not tell */
};

/* ----- list.c ----- */

/* what is known of the table; false: nothing */
extern bool tpm_list_get_learnt(const TpmList *list, TpmTableStats *learnt);

/* all of the table is asked for, without conditions */
extern bool tpm_list_is_whole_table(const TpmList *list);

extern uint64 tpm_list_hash_text(const char *text);

/* ----- list_size.c ----- */

/* the list is known to have so many pages at the least, or, where it has ended, so many */
extern void tpm_list_learn_pages(const TpmList *list, int64 pages, bool ended);

/* after a page: the size of the table, or of a part of it, for plans and for those who come after */
extern void tpm_list_learn_size(TpmList *list);

/*
 * A read that the limits have ended would need no less next time, also of what
 * was asked for once beside its pages.
 */
extern void tpm_list_learn_given_up(const TpmList *list, const TpmProblem *problem);

#endif							/* TPM_LIST_INTERNAL_H */
