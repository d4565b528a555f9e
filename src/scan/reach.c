/*-------------------------------------------------------------------------
 *
 * reach.c
 *		How far a list is read that is left at a bound.
 *
 * "updated_at > x" is read as a list in that order, up to its first row beyond
 * x.  No total tells where that is.  So where all of the list would be too
 * much, the first page that could not be asked for any more is looked at: if
 * that one still lies before the bound, nothing is gained by reading up to it.
 * Owns that look, and the same by an older list that is at hand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "scan/reach.h"
#include "scan/rent_or_buy.h"
#include "shared/counters.h"

/* it begins, and the plan takes whatever lies before its bounds */
static bool
has_reach(const TpmScan *scan)
{
	return scan->read_to_end && scan->stops != NIL;
}

static bool
is_before_bounds(TpmScan *scan, HeapTuple tuple)
{
	ListCell   *lc;

	tpm_scan_hold(scan, tuple);
	foreach(lc, scan->stops)
	{
		bool		isnull;

		if (!tpm_scan_test(scan, lfirst(lc), &isnull))
			return false;
	}
	return true;
}

const TpmProblem *
tpm_reach_refuses(TpmScan *scan, TpmList *list, const TpmPage *page)
{
	int64		left = tpm_list_pages_left(list);
	int64		may;
	TpmPage    *further;

	if (!has_reach(scan) || tpm_list_pages(list) != 1 || left <= 1 || page->nrows == 0 ||
		!is_before_bounds(scan, page->rows[page->nrows - 1].tuple))
		return NULL;
	may = tpm_client_allows(scan->session, left);

	/*
	 * where the look itself is all that there is, the next request tells as
	 * well
	 */
	if (may < 1 || may >= left)
		return NULL;
	tpm_rent_count(scan);
	further = tpm_list_look(list, (int) may + 1);
	if (further == NULL || further->nrows == 0 || !is_before_bounds(scan, further->rows[0].tuple))
		return NULL;
	tpm_list_goes_as_far(list, (int) may + 1);
	return tpm_client_refuses(scan->session, may + 1);
}

/* does an older list's row match what is asked for?  *known: that can be told. */
static bool
row_would_match(TpmScan *scan, HeapTuple tuple, bool *known)
{
	bool		isnull;

	if (!is_before_bounds(scan, tuple))
		return false;
	for (int i = 0; i < scan->nconditions; i++)
	{
		*known &= scan->conditions[i].test != NULL;
		if (*known && !tpm_scan_test(scan, scan->conditions[i].test, &isnull))
			return false;
	}
	return true;
}

const TpmProblem *
tpm_reach_refuses_by(TpmScan *scan, TpmCached *older)
{
	TpmTableStats learnt;
	TpmCachedPage page;
	TpmListCursor cursor;
	int			a_page = scan->table->opt.page_size;
	int64		n = 0;
	bool		known = true;

	if (!has_reach(scan))
		return NULL;
	while (known && tpm_cache_next(older, &page, &cursor) == TPM_CACHE_PAGE)
	{
		HeapTupleData tuple;
		uint64		id;

		CHECK_FOR_INTERRUPTS();
		while (known && tpm_cache_row(&page, &tuple, &id))
			n += row_would_match(scan, &tuple, &known);
	}
	if (!known || n == 0)
		return NULL;
	if (tpm_table_stats_get(scan->table->relid, scan->table->options_hash, &learnt))
		a_page = tpm_table_stats_page(&learnt, a_page);
	return tpm_client_refuses(scan->session, (n + a_page - 1) / a_page);
}
