/*-------------------------------------------------------------------------
 *
 * exchange.c
 *		The whole list in place of its parts.
 *
 * Owns when a part that is being read, or about to be, is left for the table's
 * whole list: somebody else has completed it meanwhile, or it is bought, which
 * rent_or_buy.c says when to.  Pages are read by source.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "scan/keyed.h"
#include "scan/rent_or_buy.h"
#include "scan/source_internal.h"

/*
 * A list of which nobody knows the size is priced by its first page.  False: it
 * is not to be read, for now.
 */
static bool
is_worth_reading(TpmSource *whole, int64 more)
{
	/* nothing is read of what finds no room */
	if (whole->cached == NULL || tpm_rent_size_is_known(whole->scan))
		return true;
	(void) tpm_source_next_page(whole);
	if (whole->problem)
		return false;
	return !tpm_rent_size_is_known(whole->scan) || (tpm_rent_is_due(whole->scan, more) && tpm_rent_may_buy(whole->scan));
}

/* to its end, as far as the cache keeps it; not if nobody can tell where that is */
static void
read_whole(TpmSource *whole)
{
	while (whole->cached && !tpm_cache_is_complete(whole->cached) && tpm_rent_size_is_known(whole->scan) &&
		   tpm_source_next_page(whole))
		;
}

/* a row that PostgreSQL cannot have ends the statement, and no other one */
static bool
reads_if_worth(TpmSource *whole, int64 more)
{
	bool		was_read;

	PG_TRY();
	{
		was_read = is_worth_reading(whole, more);
		if (was_read)
			read_whole(whole);
	}
	PG_CATCH();
	{
		tpm_rent_failed(whole->scan);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return was_read;
}

/* is it one that whoever comes next need not meet?  Then the API has not answered. */
static bool
is_unanswered(const TpmProblem *problem)
{
	return problem->sqlerrcode == ERRCODE_CONFIGURATION_LIMIT_EXCEEDED ||
		problem->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
		problem->sqlerrcode == ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION;
}

static bool
is_due(const TpmScan *scan, int64 more)
{
	return tpm_scan_uses_cache(scan) && scan->query->everything && !scan->no_purchase && tpm_rent_is_due(scan, more);
}

TpmSource *
tpm_source_buy(TpmScan *scan, TpmRequest *request, int64 more)
{
	MemoryContext context,
				old;
	TpmSource  *whole,
			   *result = NULL;
	bool		was_read,
				in_vain;

	if (!is_due(scan, more))
		return NULL;
	scan->no_purchase = !tpm_rent_may_buy(scan);
	if (scan->no_purchase)
		return NULL;
	context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw whole list", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	scan->buys = true;
	whole = tpm_source_open_new(scan, memcpy(palloc(sizeof(TpmRequest)), scan->query->everything, sizeof(TpmRequest)));
	was_read = reads_if_worth(whole, more);
	scan->buys = false;
	MemoryContextSwitchTo(old);
	if (was_read)
		result = tpm_source_open_complete(scan, request);
	in_vain = whole->problem ? !is_unanswered(whole->problem) : was_read && result == NULL;
	MemoryContextDelete(context);
	scan->took_whole_list |= result != NULL;
	scan->no_purchase |= was_read && result == NULL;
	if (in_vain)
		tpm_rent_bought(scan, false);
	return result;
}

/* that the part at hand, and what follows it, are going to take; where the plan may stop, who knows */
static int64
requests_left(const TpmSource *source)
{
	const TpmScan *scan = source->scan;
	int64		left = 1;

	/* all of it, to be sorted here */
	if (tpm_source_is_part(source) && scan->order != NULL && !source->ordered && !tpm_source_has_conditions(source->request))
		return PG_INT32_MAX;
	/* one that ends at a bound has a total of more */
	if (!scan->read_to_end || (source->ordered && scan->stops != NIL))
		return 1;
	if (source->list && tpm_list_pages(source->list) > 0)
		left = Max(left, tpm_list_pages_left(source->list));
	return left + list_length(scan->query->requests) - scan->next_request;
}

/*
 * The list that answers in place of the part whose next page is about to be
 * asked for: somebody else has completed it meanwhile, or it is bought.  NULL:
 * neither; *tried tells whether there was an attempt.
 */
static TpmSource *
find_whole(TpmSource *source, bool *tried)
{
	TpmScan    *scan = source->scan;
	TpmSource  *whole = NULL;

	if (source->list && tpm_list_pages(source->list) > 0)
		whole = tpm_source_open_complete(scan, NULL);
	*tried = whole != NULL || is_due(scan, requests_left(source));
	if (!*tried)
		return NULL;
	if (source->cached)
		tpm_cache_give_back(source->cached);
	if (whole)
		return whole;
	return tpm_source_buy(scan, source->request, requests_left(source));
}

bool
tpm_source_exchange(TpmSource *source)
{
	TpmScan    *scan = source->scan;
	MemoryContext old;
	TpmSource  *whole;
	bool		tried;

	if (scan->nameless || tpm_keyed_reads_batch(scan) ||
		(source->list && tpm_list_is_complete(source->list)))
		return false;
	old = MemoryContextSwitchTo(source->context);
	whole = find_whole(source, &tried);
	MemoryContextSwitchTo(old);
	if (whole == NULL)
		return tried;
	if (source->cached)
		tpm_source_leave_cache(source);
	if (source->list)
		tpm_list_close(source->list);
	/* on trial, nothing has been returned */
	if (source->on_trial)
		source->list = NULL;
	source->cached = whole->cached;
	source->complete = source->exchanged = true;
	source->ordered = false;
	source->page = NULL;
	source->shared.nrows = 0;
	scan->next_request = list_length(scan->query->requests);
	return true;
}

bool
tpm_source_was_given(const TpmSource *source, uint64 idhash)
{
	return source->exchanged && ((source->list && tpm_list_has(source->list, idhash)) ||
								 (source->returned && tpm_idset_has(source->returned, idhash)));
}
