/*-------------------------------------------------------------------------
 *
 * list.h
 *		One list of the API, page by page.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_LIST_H
#define TPM_LIST_H

#include "client/client.h"
#include "document/document.h"
#include "request/request.h"
#include "scan/prefetch.h"

typedef struct TpmList TpmList;
struct TpmScan;

/*
 * Begins to read; nothing is sent before tpm_list_next().  The list lives in
 * the current memory context.  reads_all: the caller will take every page, so
 * a list that is known not to be finished is refused before its first request.
 */
extern TpmList *tpm_list_open(TpmSession *session, const TpmTable *table, TpmDecoder *decoder,
							  TpmRequest *request, bool reads_all);

/* what it asks for is a part of the scan's list, and each request counts before it is sent, as rent_or_buy.c has it */
extern void tpm_list_set_payer(TpmList *list, struct TpmScan *payer);

/*
 * The next page with at least one row, or NULL at the end.  It is valid until
 * the next call.  Resources seen before in this list are left out of it; a
 * page that brings nothing new, a repeated link and a link to another origin
 * are errors (HV00M).
 */
extern TpmPage *tpm_list_next(TpmList *list);

/*
 * The same, but what keeps the client from giving an answer is not raised:
 * NULL and *problem, in the list's memory until the next call.  The list is of
 * no further use then.
 */
extern TpmPage *tpm_list_try_next(TpmList *list, const TpmProblem **problem);

/*
 * A list that is read to its end, and that what has come shows cannot be: why,
 * else NULL.  To be asked once its page has been put where it stays; once the
 * total has told, it is not judged again.
 */
extern TpmProblem *tpm_list_refuses(TpmList *list);

/*
 * A page further on, numbered from 0, out of its turn; NULL: it is not known
 * how to ask for it, or whether it is that one.  It lives in the current memory
 * context, and is nothing that the list has read.
 */
extern TpmPage *tpm_list_look(TpmList *list, int page);

/* for those who come after: that page lies before the bounds at which the list is left */
extern void tpm_list_goes_as_far(const TpmList *list, int page);

/* the page returned last has rows beyond the bounds */
extern void tpm_list_left_at_bound(const TpmList *list);

/* no further page is wanted: what was asked for ahead is cut off */
extern void tpm_list_close(TpmList *list);

/* pages received */
extern int	tpm_list_pages(const TpmList *list);

/* pages that are still to be received, as far as a total tells; -1: it tells nothing */
extern int64 tpm_list_pages_left(const TpmList *list);

/* have all its pages been received? */
extern bool tpm_list_is_complete(const TpmList *list);

/*
 * May rows that are equal in the order asked for have been torn apart by pages
 * in a way that rows do not show?  A page has brought a resource that an
 * earlier one had, in place of another; or is short though the list goes on,
 * so that the API has cut pages first and filtered then.
 */
extern bool tpm_list_is_torn(const TpmList *list);

/* has it been begun again, so that rows come that earlier pages lacked? */
extern bool tpm_list_is_restarted(const TpmList *list);

/* was the resource among those received or remembered? */
extern bool tpm_list_has(const TpmList *list, uint64 idhash);

/* may pages be requested before their turn?  Not at first. */
extern void tpm_list_ask_ahead(TpmList *list, bool may);

/* its first page may be among those that have been requested already */
extern void tpm_list_set_begun(TpmList *list, TpmPrefetch *begun);

/* are pages under way that have not been returned? */
extern bool tpm_list_has_asked(const TpmList *list);

/* the page returned last stays valid as long as the list */
extern void tpm_list_keep_page(TpmList *list);

/* where the list stands; the text points into the list */
extern void tpm_list_get_cursor(const TpmList *list, TpmListCursor *cursor);

/* a WARNING where the complete list may lack rows: what tpm_list_next() says at its end */
extern void tpm_list_tell(const TpmTable *table, const TpmListCursor *cursor);

/* goes on where another reader has stopped; a cursor not begun changes nothing */
extern void tpm_list_set_cursor(TpmList *list, const TpmListCursor *cursor);

/* after its first page: can others be asked for out of turn, and how many are there? */
extern bool tpm_list_may_skip(const TpmList *list);

/*
 * Begins with this page, from 0: those in front of it are as good as received.
 * first: of the same list, after its first page.
 */
extern void tpm_list_skip_to(TpmList *list, const TpmListCursor *first, int page);

/* do the links of the page that has come agree that it is that one? */
extern bool tpm_list_has_skipped(const TpmList *list, const TpmListCursor *first, const TpmPage *page);

/*
 * After tpm_list_set_cursor() with what a statement has left, however long
 * ago: can it be gone on with?  Where pages are computed *last is the page
 * received last, asked for again: whether it is the same is the caller's to
 * say.  A link is followed; what it leads to is returned when its turn comes.
 * False: the API says no (4xx), or *problem.
 */
extern bool tpm_list_try_go_on(TpmList *list, const TpmListCursor *cursor, TpmPage **last,
							   const TpmProblem **problem);

/* a resource that another reader received */
extern void tpm_list_remember(TpmList *list, uint64 idhash);

#endif							/* TPM_LIST_H */
