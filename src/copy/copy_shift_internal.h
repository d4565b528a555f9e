/*-------------------------------------------------------------------------
 *
 * copy_shift_internal.h
 *		Where a list in the order of its ids differs from the ids of a copy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_COPY_SHIFT_INTERNAL_H
#define TPM_COPY_SHIFT_INTERNAL_H

/*
 * Orders that the ids of a list may be in, as bits (TPM_ORDERS_ANY is both):
 * those that every page so far has been in.  0: in none that we know.
 */
#define TPM_ORDER_BYTES		0x01
#define TPM_ORDER_NUMBERS	0x02	/* of digits only */

/* less than, equal to or greater than 0; of several orders, one of them */
extern int	tpm_id_compare(int orders, const char *a, const char *b);

/* which of the orders n ids of a list keep, that come after another one (NULL: are the first) */
extern int	tpm_id_orders(int orders, const char *before, const char *const *ids, int n);

/* what a page of the list has told */
typedef struct TpmShiftPage
{
	const char *const *ids;		/* as listed; until the next page is read */
	int			n;
	bool		ends;			/* the list ends with it, or before it */
	int64		total;			/* -1: none told */
} TpmShiftPage;

typedef enum TpmShiftOutcome
{
	TPM_SHIFT_DONE,				/* all that the shift can show */
	TPM_SHIFT_LIMITED,			/* most_requests were sent */
	TPM_SHIFT_STOPPED,			/* a page could not be read */
	TPM_SHIFT_UNPAGED,			/* pages are of other lengths, so that
								 * positions say nothing */
	TPM_SHIFT_UNORDERED			/* a page was not in the order of the copy's
								 * ids; the orders left may have another */
} TpmShiftOutcome;

/* what is known of an id of the copy */
#define TPM_SHIFT_UNKNOWN	0
#define TPM_SHIFT_LISTED	1	/* some page had it */
#define TPM_SHIFT_MISSED	2	/* no page had it where it belongs */

typedef struct TpmShift
{
	/* given */
	int			orders;
	const char *const *ids;		/* of the copy, in that order */
	int64		nids;
	int			page_rows;		/* of each page but the last */
	int64		most_requests;
	/* positions from 1; false: the search ends */
	bool		(*read) (void *arg, int64 position, TpmShiftPage *page);
	void	   *arg;

	/* found */
	char	   *known;			/* one of the above for each id */
	int64		missed;			/* how many are TPM_SHIFT_MISSED */
	int64		lacked;			/* ids that pages had, and the copy had not */
	int64		requests;
	int64		listed;			/* rows of the list; -1: not known */
	int64		total;			/* as told last; -1: none */
} TpmShift;

/* in the current memory context */
extern TpmShiftOutcome tpm_shift_search(TpmShift *shift);

#endif							/* TPM_COPY_SHIFT_INTERNAL_H */
