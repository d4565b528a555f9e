/*-------------------------------------------------------------------------
 *
 * list_end.h
 *		Where a list ends, as a judgement of what is known after a page, and
 *		where a link to the next one leads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_LIST_END_H
#define TPM_LIST_END_H

#include "base/page.h"
#include "client/client.h"

/* what a page has told, and what is known of the list up to its end */
typedef struct TpmListFacts
{
	const TpmOptions *opt;		/* how pages are counted */
	int			asked;			/* rows of a page */
	int			received;		/* of this one */
	int			first_page_rows;
	int			page;			/* its place, from 1 */
	int64		rows;			/* received up to its end, twice told or not */
	int64		offset;			/* of its first row in the API's list */
	bool		linked;			/* an earlier page has named a next one */
	bool		by_link;		/* offset is not known */
	bool		partial;		/* the status was 206 */
	int64		total;			/* as told; -1: none */
	TpmPageLinks links;
	bool		loops;			/* the next link leads to a page that was read */
	bool		may_loop;		/* or seems to */
	int64		next_offset;	/* that the next link names; -1: none, or not
								 * understood */
} TpmListFacts;

typedef enum TpmListEnd
{
	TPM_LIST_ENDS,
	TPM_LIST_ENDS_UNTOLD,		/* nothing leads on, and nothing says that
								 * this is the end */
	TPM_LIST_FOLLOWS_LINK,
	TPM_LIST_GOES_ON			/* with the page after this one, computed */
} TpmListEnd;

/*
 * Adds what the answer's header fields say (RFC 8288, RFC 9110 section 14.4)
 * to what the document has said.
 */
extern void tpm_list_hear(TpmListFacts *facts, const TpmAnswer *answer);

/* the total, -1 if what was told can be none, since it is the number of rows of a page */
extern int64 tpm_list_total(const TpmListFacts *facts);

extern TpmListEnd tpm_list_end(const TpmListFacts *facts);

/* what offsets advance by: rows of the API's list that this page was cut from */
extern int64 tpm_list_step(const TpmListFacts *facts);

/* the page's number, or its first row, in a URL; -1: it is not understood */
extern int64 tpm_list_position(const TpmOptions *opt, const char *url);

/* how the page that links call the first is counted, -1: not told, or not by numbers; url is of the first page */
extern int64 tpm_list_first_page(const TpmOptions *opt, const TpmPageLinks *links, const char *url);

/* raises if links say that the first page of all was not asked for */
extern void tpm_list_check_first_page(const TpmTable *table, const TpmListFacts *facts, const char *url);

/*
 * links.next is a URI reference (RFC 3986, section 4.1): its URL, on our
 * origin.  NULL: it may not be followed, and *problem says why.
 */
extern char *tpm_link_resolve(const TpmServer *server, int links_origin, const char *current,
							  const char *next, const char **problem);

#endif							/* TPM_LIST_END_H */
