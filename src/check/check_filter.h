/*-------------------------------------------------------------------------
 *
 * check_filter.h
 *		Filters that are tried together, and the rows that tell about them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CHECK_FILTER_H
#define TPM_CHECK_FILTER_H

#include "check/check.h"

typedef struct TpmTriedFilter
{
	const TpmTable *table;
	const TpmColumn *column;
	const char *bound;			/* parameter of a bound; NULL: the plain
								 * filter */
	bool		upper;			/* and rows are below it */
	char	  **texts;			/* of each row of the page, NULL: none to send */
	bool	   *within;			/* of each row: a bound lets it through */
	Datum		limit;			/* what a bound asks for */
	char	   *limit_text;		/* NULL: no value of the page would do */
	int			distinct;		/* texts on the page */
	int			witness;		/* a row, -1: none */
	List	   *values;			/* that are asked for, of char * */
	bool		wrong;			/* a row came that was not asked for */
	bool		partial;		/* whose value holds one that was */
	char	   *example;
} TpmTriedFilter;

typedef struct TpmTriedFilters
{
	TpmTableCheck *check;
	TpmTriedFilter *items;
	int			n;
	int			nrows;
	int			base;			/* the row that all filters let through */
	TpmTriedFilter *longest;	/* asked for with a long list, NULL: none */
	TpmPage    *page;			/* the answer's */
	const TpmAnswer *answer;
	char	   *refusal;		/* or why there is none */
} TpmTriedFilters;

/* ----- check_witness.c ----- */

/*
 * The filters of the table that the first page can tell about; of the others
 * it is reported why they are not tried.
 */
extern void tpm_filters_collect(TpmTriedFilters *filters);

/* the base and the witnesses */
extern void tpm_filters_choose(TpmTriedFilters *filters);

/* one of them is not tried after all, because */
extern void tpm_filters_leave_out(TpmTriedFilters *filters, int i, const char *why);

/* its name in the report */
extern char *tpm_filter_step(const TpmTriedFilter *filter);

/* is the row's value on the right side of the bound? */
extern bool tpm_filter_is_within(const TpmTriedFilters *filters, const TpmTriedFilter *filter, HeapTuple row);

/* how a bound spells the value, NULL: not at all */
extern char *tpm_filter_bound_text(const TpmTriedFilter *filter, Datum value);

#endif							/* TPM_CHECK_FILTER_H */
