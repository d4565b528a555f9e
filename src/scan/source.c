/*-------------------------------------------------------------------------
 *
 * source.c
 *		The rows of one request, from the cache or from the API.
 *
 * Owns the choice among them, and what is kept of what was fetched.
 *
 * The only reader and writer of cached lists.  A request is answered by a
 * complete list of the same conditions, by one without conditions, by a list
 * that is just being fetched, or by a list of its own, which is kept where
 * that is allowed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "client/transport.h"
#include "scan/outlook.h"
#include "scan/reach.h"
#include "scan/rent_or_buy.h"
#include "scan/source_internal.h"
#include "shared/shared.h"

/* that whoever stops early often wants no more than */
#define FEW_PAGES	2

int			tpm_cache_stale = 0;

static TpmSource *
new_source(TpmScan *scan, TpmRequest *request)
{
	TpmSource  *source = palloc0(sizeof(TpmSource));

	source->scan = scan;
	source->request = request;
	source->context = CurrentMemoryContext;
	return source;
}

/* an answer that the cache has in full */
static TpmSource *
from_cache(TpmScan *scan, TpmRequest *request, TpmCached *cached)
{
	TpmSource  *source = new_source(scan, request);

	source->cached = cached;
	source->complete = true;
	scan->cache_hits++;
	scan->hit_fetched = Max(scan->hit_fetched, tpm_cache_fetched(cached));
	return source;
}

TpmCacheKey
tpm_source_key(const TpmScan *scan, const TpmRequest *request)
{
	TpmCacheKey key = {
		.relid = scan->table->relid,
		.serverid = scan->table->server->serverid,
		.userid = scan->userid,
		.options_hash = scan->table->options_hash,
		.credential = scan->session->token.hash,
		.conditions = tpm_request_conditions(scan->table, request),
		.resource = scan->resource,
	};

	/* whoever takes up a list goes on in its order */
	if (request->key_sort)
		key.conditions = psprintf("%s sort=%s", key.conditions, request->key_sort);
	return key;
}

TpmCacheKey
tpm_source_count_key(const TpmScan *scan, const TpmRequest *request)
{
	TpmCacheKey key = tpm_source_key(scan, request);

	key.conditions = psprintf("count(*) %s", key.conditions);
	return key;
}

static TpmCached *
find_cached(TpmScan *scan, const TpmRequest *request, bool complete)
{
	TpmCacheKey key = tpm_source_key(scan, request);

	return tpm_cache_open(&key, &scan->age, complete);
}

/* order, members and page of a list that is read for this scan alone, or for all */
static void
spell(TpmScan *scan, TpmRequest *request, bool ordered, bool shared)
{
	if (!shared && tpm_scan_may_name(scan))
		request->fields = tpm_request_fields(scan->table, scan->columns);
	tpm_include_spell(scan, request);
	if (request->by_id)
		return;
	request->may_tie = ordered && !scan->order_is_total;
	request->sort = ordered ? scan->sort_parameter
		: request->key_sort ? request->key_sort : tpm_remote_query_stable_sort(scan->table);
	request->bounds = ordered && scan->stops != NIL ? scan->query->key : NULL;
	if (!shared && (scan->flags & TPM_PLAN_SMALL_PAGE) && scan->query->all_sent)
		request->page_size = Min(request->page_size,
								 Max(TPM_MIN_ORDERED_PAGE, (int) Min(scan->wanted, INT_MAX)));
}

/* the whole list, unless it is known to lack rows that a condition finds */
static TpmCached *
everything_for_conditions(const TpmScan *scan, TpmCached *cached)
{
	if (cached == NULL || tpm_hidden_may_answer(scan, cached))
		return cached;
	tpm_cache_close(cached);
	return NULL;
}

/* of a list that nobody has to go on with the order is nothing */
static TpmCached *
find_in_any_order(TpmScan *scan, const TpmRequest *request)
{
	TpmRequest	plain = *request;

	plain.key_sort = NULL;
	return find_cached(scan, &plain, true);
}

TpmSource *
tpm_source_open_complete(TpmScan *scan, TpmRequest *request)
{
	TpmCached  *cached = NULL;

	if (!tpm_scan_uses_cache(scan))
		return NULL;
	if (request)
		cached = find_cached(scan, request, true);
	if (cached == NULL && request && request->key_sort)
		cached = find_in_any_order(scan, request);
	if (cached == NULL && scan->query->everything)
		cached = everything_for_conditions(scan, find_cached(scan, scan->query->everything, true));
	return cached ? from_cache(scan, request, cached) : NULL;
}

static bool
shares_lists(const TpmScan *scan)
{
	return tpm_scan_uses_cache(scan) && (scan->order == NULL || !tpm_scan_may_stop(scan));
}

char *
tpm_source_first_url(TpmScan *scan, TpmRequest *request)
{
	TpmPosition position = {0};
	TpmCached  *cached = NULL;

	if (tpm_scan_uses_cache(scan))
		cached = find_cached(scan, request, true);
	if (cached == NULL && tpm_scan_uses_cache(scan) && scan->query->everything)
		cached = everything_for_conditions(scan, find_cached(scan, scan->query->everything, true));
	if (cached)
	{
		tpm_cache_close(cached);
		return NULL;
	}
	spell(scan, request, false, shares_lists(scan));
	return tpm_request_url(scan->table, request, &position);
}

/*
 * Will all of it be taken, once begun?  Whoever asks for some rows of a plan
 * that hands them on as they come may not want the rest.
 */
static bool
takes_all(const TpmSource *source)
{
	const TpmScan *scan = source->scan;

	if (tpm_scan_may_stop(scan))
		return false;
	return !scan->session->statement->wants_some || scan->read_to_end || scan->buys || source->on_trial ||
		(scan->flags & TPM_PLAN_COUNTS) || (scan->order != NULL && !source->ordered);
}

/*
 * Whoever goes on with a list that was left asks first whether it still
 * stands.  That costs as much as the first pages, which are all that many want
 * who may stop: a short one is begun anew, beside a long one they read alone.
 */
static bool
is_short(const TpmSource *source)
{
	return tpm_cache_pages_left_behind(source->cached) <= FEW_PAGES && !takes_all(source);
}

static bool
wants_few_of_many(const TpmSource *source)
{
	return tpm_cache_pages_left_behind(source->cached) > FEW_PAGES && tpm_scan_may_stop(source->scan) &&
		source->scan->wanted > 0 && source->scan->wanted <= FEW_PAGES * source->request->page_size;
}

/*
 * A list in an order of which not all may be wanted is read alone: those who
 * share a list read it to its end.
 */
TpmSource *
tpm_source_open_new(TpmScan *scan, TpmRequest *request)
{
	TpmSource  *source = new_source(scan, request);
	bool		shares = shares_lists(scan);

	if (shares)
		source->cached = find_cached(scan, request, false);
	if (shares && source->cached == NULL)
		scan->not_kept = true;
	if (source->cached && wants_few_of_many(source))
	{
		tpm_cache_close(source->cached);
		source->cached = NULL;
		source->begins_beside = true;
	}
	/* to its end a list is read in an order in which no rows are equal */
	source->ordered = scan->order != NULL && source->cached == NULL && !request->by_id &&
		(scan->order_is_total || tpm_scan_may_stop(scan));
	if (source->ordered && !scan->order_is_total)
		source->returned = tpm_idset_create(128);
	spell(scan, request, source->ordered, source->cached != NULL);
	return source;
}

void
tpm_source_leave_cache(TpmSource *source)
{
	if (!source->keeps_page)
		tpm_cache_close(source->cached);
	source->cached = NULL;
}

/* a list that answers the request, or any of the query where there are several (NULL), however old within so many seconds */
static TpmCached *
find_older(TpmScan *scan, TpmRequest *request, int seconds)
{
	TpmCached  *older = NULL;
	TpmCacheKey key;

	if (request)
	{
		key = tpm_source_key(scan, request);
		older = tpm_cache_open_stale(&key, seconds);
	}
	if (older == NULL && scan->query->everything)
	{
		key = tpm_source_key(scan, scan->query->everything);
		older = everything_for_conditions(scan, tpm_cache_open_stale(&key, seconds));
	}
	return older;
}

/* raises the problem, which names an older answer if there is one that might have stood in */
static void
raise_named(TpmScan *scan, TpmRequest *request, const TpmProblem *problem)
{
	TpmCached  *older = NULL;
	TpmProblem	named = *problem;

	if (tpm_fallback_is_for(problem) && tpm_scan_uses_cache(scan))
	{
		older = find_older(scan, request, INT_MAX);
		if (older == NULL && request && (scan->flags & TPM_PLAN_COUNTS))
		{
			TpmCacheKey key = tpm_source_count_key(scan, request);

			older = tpm_cache_open_stale(&key, INT_MAX);
		}
	}
	if (older)
		tpm_fallback_name(&named, tpm_cache_fetched(older));
	tpm_problem_raise(&named);
}

/* what keeps a list from being bought is no problem of whoever asked for a part */
static void
meet_problem(TpmSource *source, const TpmProblem *problem)
{
	TpmScan    *scan = source->scan;

	if (problem && !source->on_trial && !scan->buys)
		raise_named(scan, source->request, problem);
	source->problem = problem;
	scan->no_purchase |= problem && scan->buys;
}

static bool
may_be_older(const TpmScan *scan, const TpmProblem *problem)
{
	return tpm_cache_stale > 0 && tpm_fallback_is_for(problem) && tpm_scan_uses_cache(scan);
}

int64
tpm_source_older_total(TpmScan *scan, TpmRequest *request, const TpmProblem *problem)
{
	TpmCacheKey key = tpm_source_count_key(scan, request);
	TpmCached  *count,
			   *list;

	if (!may_be_older(scan, problem))
		return -1;
	count = tpm_cache_open_stale(&key, tpm_cache_stale);
	list = count ? find_older(scan, request, tpm_cache_stale) : NULL;
	if (count == NULL || (list && tpm_cache_fetched(list) > tpm_cache_fetched(count)))
		return -1;
	tpm_fallback_warn(scan, tpm_cache_fetched(count), problem);
	return tpm_source_kept_total(scan, count);
}

int64
tpm_source_kept_total(TpmScan *scan, TpmCached *cached)
{
	scan->cache_hits++;
	scan->hit_fetched = Max(scan->hit_fetched, tpm_cache_fetched(cached));
	return tpm_cache_total(cached);
}

TpmSource *
tpm_source_instead(TpmScan *scan, TpmRequest *request, const TpmProblem *problem)
{
	TpmCached  *older = NULL;

	if (may_be_older(scan, problem))
		older = find_older(scan, request, tpm_cache_stale);
	if (older == NULL)
		raise_named(scan, request, problem);
	tpm_fallback_warn(scan, tpm_cache_fetched(older), problem);
	return from_cache(scan, request, older);
}

/*
 * Gets what a problem could still be exchanged for: the whole list where all of
 * it is wanted and it is kept, else its first page.
 */
static void
read_ahead(TpmSource *source)
{
	if (!tpm_source_next_page(source))
	{
		source->at_end = true;
		return;
	}
	if (source->cached == NULL || tpm_scan_may_stop(source->scan))
		return;
	while (source->cached && !tpm_cache_is_complete(source->cached))
	{
		if (!tpm_source_next_page(source))
			break;
	}
	if (source->problem)
		return;
	source->page = NULL;
	if (source->cached)
	{
		tpm_cache_rewind(source->cached);
		source->shared.nrows = 0;
		source->complete = true;
	}
}

/*
 * With an older answer at hand nothing is returned before it is certain that
 * it is not needed: rows of two readings must not be mixed.
 */
static TpmSource *
open_or_older(TpmScan *scan, TpmRequest *request)
{
	MemoryContext trial = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw reading",
												ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(trial);
	TpmSource  *source = tpm_source_open_new(scan, request);

	source->on_trial = true;
	read_ahead(source);
	source->on_trial = false;
	MemoryContextSwitchTo(old);
	if (source->problem)
	{
		TpmProblem *problem = tpm_problem_copy(source->problem);

		MemoryContextDelete(trial);
		return tpm_source_instead(scan, request, problem);
	}
	/* a list that outgrew the cache while it was read ahead: from its start */
	if (source->page == NULL && source->cached == NULL && !source->at_end)
		return tpm_source_open_new(scan, request);
	return source;
}

TpmSource *
tpm_source_open(TpmScan *scan, TpmRequest *request)
{
	TpmSource  *source = tpm_source_open_complete(scan, request);
	TpmCached  *older = NULL;
	const TpmProblem *problem;

	if (source)
		return source;
	if (tpm_cache_stale > 0 && tpm_scan_uses_cache(scan) && !scan->buys)
		older = find_older(scan, request, tpm_cache_stale);
	if (older == NULL)
		return tpm_source_open_new(scan, request);
	problem = tpm_reach_refuses_by(scan, older);
	tpm_cache_close(older);
	return problem ? tpm_source_instead(scan, request, problem) : open_or_older(scan, request);
}

int64
tpm_source_rows(const TpmSource *source)
{
	return tpm_cache_rows(source->cached);
}

bool
tpm_source_is_ordered(const TpmSource *source)
{
	return source->ordered;
}

bool
tpm_source_is_exchanged(const TpmSource *source)
{
	return source->exchanged;
}

bool
tpm_source_is_by_key(const TpmSource *source)
{
	return !source->complete && source->request->key_sort &&
		(source->list == NULL || !tpm_list_is_restarted(source->list));
}

bool
tpm_source_is_between_pages(const TpmSource *source)
{
	return source->shared.nrows == 0 && (source->page == NULL || source->row >= source->page->nrows);
}

void
tpm_source_keep_page(TpmSource *source)
{
	source->keeps_page = true;
	if (source->list)
		tpm_list_keep_page(source->list);
}

bool
tpm_source_keeps_page(const TpmSource *source)
{
	return source->keeps_page;
}

int64
tpm_source_pages_left(const TpmSource *source)
{
	if (tpm_source_is_at_hand(source))
		return 0;
	return source->list ? tpm_list_pages_left(source->list) : -1;
}

bool
tpm_source_is_at_hand(const TpmSource *source)
{
	if (source->complete || source->at_end)
		return true;
	return source->cached == NULL && source->list != NULL && tpm_list_is_complete(source->list);
}

/* ----- from the API ----- */

bool
tpm_source_has_conditions(const TpmRequest *request)
{
	return request->by_id || request->terms != NIL;
}

bool
tpm_source_is_part(const TpmSource *source)
{
	return tpm_source_has_conditions(source->request) || source->begins_beside ||
		(source->scan->order != NULL && tpm_scan_may_stop(source->scan));
}

static void
open_source_list(TpmSource *source)
{
	TpmScan    *scan = source->scan;
	MemoryContext old;

	if (source->list)
		return;
	source->list_context = AllocSetContextCreate(source->context, "tpm_fdw list", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(source->list_context);
	/* what is looked up again and again is judged by itself */
	scan->session->besides = takes_all(source) && bms_is_empty(scan->node->ss.ps.plan->extParam) ? tpm_outlook(scan) : 0;
	source->list = tpm_list_open(scan->session, scan->table, scan->decoder, source->request,
								 takes_all(source) || (scan->read_to_end && source->request->bounds));
	tpm_list_set_begun(source->list, scan->begun);
	if (tpm_source_is_part(source))
		tpm_list_set_payer(source->list, scan);
	if (source->ordered)
		tpm_order_begin(scan->order);
	MemoryContextSwitchTo(old);
}

void
tpm_source_open_list_again(TpmSource *source)
{
	tpm_list_close(source->list);
	source->page = NULL;
	source->list = NULL;
	MemoryContextDelete(source->list_context);
	open_source_list(source);
}

/* an API must refuse a name that it cannot include (JSON:API 1.0, section 6.3), with 400 */
static bool
is_refusal(const TpmProblem *problem)
{
	return problem->sqlerrcode == ERRCODE_INVALID_PARAMETER_VALUE ||
		problem->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		problem->sqlerrcode == ERRCODE_FDW_TABLE_NOT_FOUND;
}

TpmPage *
tpm_source_receive(TpmSource *source)
{
	const TpmProblem *problem;
	bool		first = tpm_list_pages(source->list) == 0;
	TpmPage    *page;

	page = tpm_list_try_next(source->list, &problem);
	if (problem && first && source->request->include && is_refusal(problem))
	{
		tpm_include_drop(source->request);
		tpm_source_open_list_again(source);
		page = tpm_source_receive(source);
		if (source->problem == NULL)
			tpm_include_refused(source->scan);
		return page;
	}
	meet_problem(source, problem);
	return page;
}

/*
 * The pages of this list met inside a run of rows that are equal in the order
 * asked for.  The API may put these in another order for each page, so that
 * some are on two pages and others on none.  All rows in front of the run have
 * been returned, and some of the run; what has not is found by reading the
 * list in an order that has no such runs, and sorted by whoever reads it.
 */
static void
leave_order(TpmSource *source)
{
	TpmScan    *scan = source->scan;
	MemoryContext old = MemoryContextSwitchTo(source->context);
	TpmRequest *request = memcpy(palloc(sizeof(TpmRequest)), source->request, sizeof(TpmRequest));

	if (source->anonymous)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("foreign table %s: its list cannot be read in the order asked for", scan->table->name),
				 errdetail("A page ends between rows that are equal in this order, and resources without id cannot be told apart."),
				 errhint("Drop the option sortable of the columns that the query sorts by.")));
	ereport(DEBUG1,
			(errmsg_internal("foreign table %s: a page ends between rows that are equal by \"%s\"; the list is read anew",
							 scan->table->name, request->sort)));
	tpm_list_close(source->list);
	request->sort = tpm_remote_query_stable_sort(scan->table);
	request->may_tie = false;
	request->bounds = NULL;
	request->page_size = scan->table->opt.page_size;
	source->request = request;
	source->ordered = false;
	source->list = tpm_list_open(scan->session, scan->table, scan->decoder, request, true);
	tpm_list_set_payer(source->list, scan);
	tpm_list_ask_ahead(source->list, true);
	MemoryContextSwitchTo(old);
}

/*
 * Did this page, or the end, show that pages have met inside a run of equal
 * rows?  The page is verified to its end, before its first row is returned.
 */
static bool
has_met_equal_rows(const TpmSource *source)
{
	bool		parted = source->page == NULL || tpm_order_verify(source->scan->order, source->page);

	return !parted || tpm_list_is_torn(source->list);
}

/*
 * An API may know a member and not its name in "fields": what is on none of
 * the first rows is looked for among all members, once a table.
 */
static void
ask_for_all_members(TpmSource *source)
{
	source->request->fields = NULL;
	tpm_source_open_list_again(source);
	source->page = tpm_source_receive(source);
}

void
tpm_source_take_page(TpmSource *source)
{
	TpmScan    *scan = source->scan;

	tpm_include_offer(scan, source->page, source->request->include != NULL);
	tpm_scan_received(scan, source->page);
	if (tpm_source_has_conditions(source->request))
		tpm_hidden_saw(scan, source->page);
	if (source->ordered && !source->request->may_tie)
		(void) tpm_order_verify(scan->order, source->page);
}

static bool
fetch(TpmSource *source)
{
	TpmScan    *scan = source->scan;
	bool		names_members = source->request->fields && scan->table->opt.fields_format[0] &&
	tpm_list_pages(source->list) == 0;

	source->page = tpm_source_receive(source);
	if (source->page && names_members && !tpm_scan_names_are_known(scan, &source->page->members))
		ask_for_all_members(source);
	source->row = 0;
	if (source->problem)
		return false;
	if (source->cached == NULL && !tpm_source_has_conditions(source->request) && tpm_list_is_complete(source->list) &&
		!source->skips)
		tpm_hidden_completed(scan, source->list, NULL);
	if (source->request->may_tie && has_met_equal_rows(source))
	{
		leave_order(source);
		return tpm_source_next_page(source);
	}
	if (source->page == NULL)
		return false;
	tpm_source_take_page(source);
	return tpm_source_begins_with_nulls(source) ? tpm_source_pass_nulls(source) : true;
}

/* false: it was returned before the order was left */
static bool
is_new(TpmSource *source, uint64 idhash)
{
	if (source->returned == NULL)
		return true;
	if (idhash != 0)
		return tpm_idset_add(source->returned, idhash);
	source->anonymous = true;
	return true;
}

/* what others have begun is asked for as they do */
static void
take_up(TpmSource *source, const TpmListCursor *cursor)
{
	open_source_list(source);
	if (tpm_list_pages(source->list) == 0 && cursor->position.page > 0)
		tpm_include_drop(source->request);
	tpm_list_set_cursor(source->list, cursor);
}

/* who has not got through gives the claim back at once */
static bool
with_claim(TpmSource *source, const TpmListCursor *cursor,
		   bool (*step) (TpmSource *source, const TpmListCursor *cursor))
{
	bool		result;

	PG_TRY();
	{
		take_up(source, cursor);
		result = step(source, cursor);
	}
	PG_CATCH();
	{
		tpm_cache_give_back(source->cached);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (source->problem)
		tpm_cache_give_back(source->cached);
	return result;
}

static bool
fetch_shared(TpmSource *source, const TpmListCursor *cursor)
{
	/* who may not come back for them must not hold pages that others need */
	tpm_list_ask_ahead(source->list, !tpm_scan_may_stop(source->scan));
	return fetch(source);
}

/* this reader has claimed the next page of a shared list */
static bool
fetch_claimed(TpmSource *source, const TpmListCursor *cursor)
{
	TpmListCursor after;
	bool		any = with_claim(source, cursor, fetch_shared);

	if (source->problem)
		return false;
	tpm_list_get_cursor(source->list, &after);
	if (!tpm_cache_append(source->cached, source->page, &after, tpm_list_has_asked(source->list)))
	{
		/* not kept, or taken over: the rows are good, and so is the way on */
		source->scan->not_kept = true;
		tpm_source_leave_cache(source);
	}
	if (!tpm_source_has_conditions(source->request) && tpm_list_is_complete(source->list))
	{
		tpm_hidden_completed(source->scan, source->list, source->cached);
		tpm_rent_bought(source->scan, source->cached != NULL);
	}
	return any;
}

/* the list is longer than what may be sent; what has come of it stays where it is */
static bool
is_too_long(TpmSource *source)
{
	const TpmProblem *problem = source->list ? tpm_list_refuses(source->list) : NULL;

	if (problem == NULL && source->ordered && source->page)
		problem = tpm_reach_refuses(source->scan, source->list, source->page);
	if (problem == NULL && source->page && tpm_list_pages(source->list) == 1)
		tpm_session_show(source->scan->session, source->scan->rows + source->page->nrows);
	meet_problem(source, problem);
	return problem != NULL;
}

const TpmProblem *
tpm_source_wait(TpmScan *scan, int64 since_us)
{
	const TpmProblem *problem = tpm_client_refuses_to_wait(scan->session, tpm_monotonic_us() - since_us);

	if (problem)
		return problem;
	tpm_cache_yield();
	/* a claim may also become free by the time that passes */
	tpm_calls_pause(scan->session, TPM_WAIT_PAGE, tpm_monotonic_us() + INT64CONST(500000));
	return NULL;
}

/* rows that have moved since have moved those of the last page, or changed how many there are */
static bool
is_last_page(const TpmSource *source, const TpmListCursor *cursor, const TpmPage *page)
{
	TpmIdSet   *ids = tpm_idset_create(page->nrows);
	bool		same;

	for (int i = 0; i < page->nrows; i++)
	{
		if (page->rows[i].idhash != 0)
			tpm_idset_add(ids, page->rows[i].idhash);
	}
	same = page->total == cursor->total && tpm_cache_ends_with(source->cached, ids, page->nrows);
	tpm_idset_destroy(ids);
	return same;
}

static bool
stands_as_left(TpmSource *source, const TpmListCursor *cursor)
{
	const TpmProblem *problem;
	TpmPage    *last;
	bool		stands;

	tpm_list_set_payer(source->list, source->scan);
	tpm_list_ask_ahead(source->list, !tpm_scan_may_stop(source->scan));
	stands = tpm_list_try_go_on(source->list, cursor, &last, &problem);
	if (!tpm_source_is_part(source))
		tpm_list_set_payer(source->list, NULL);
	meet_problem(source, problem);
	return stands && (last == NULL || is_last_page(source, cursor, last));
}

/* this reader goes on with a list that statements have left, before it returns a row of it */
static bool
go_on_with_left(TpmSource *source, const TpmListCursor *cursor)
{
	bool		asks_anew = is_short(source);
	bool		stands = !asks_anew && with_claim(source, cursor, stands_as_left);

	if (source->problem)
		return false;
	if (stands)
		tpm_cache_go_on(source->cached, tpm_list_has_asked(source->list));
	else
		tpm_cache_begin_anew(source->cached);
	if (!stands && source->list)
		tpm_source_open_list_again(source);
	/* what has been asked for before brings no list nearer to its end */
	if (asks_anew)
	{
		open_source_list(source);
		tpm_list_set_payer(source->list, source->scan);
	}
	return true;
}

/* all that the page has: this reader may have to fetch the one behind it */
static void
remember_page(TpmSource *source)
{
	TpmCachedPage page = source->shared;
	HeapTupleData tuple;
	uint64		idhash;

	open_source_list(source);
	while (tpm_cache_row(&page, &tuple, &idhash))
		tpm_list_remember(source->list, idhash);
}

bool
tpm_source_next_page(TpmSource *source)
{
	TpmListCursor cursor;
	int64		since_us = tpm_monotonic_us();

	while (source->cached)
	{
		switch (tpm_cache_next(source->cached, &source->shared, &cursor))
		{
			case TPM_CACHE_PAGE:
				tpm_scan_check_members(source->scan, source->shared.nrows, &source->shared.members);
				if (!source->complete)
					remember_page(source);
				return true;
			case TPM_CACHE_END:
				if (!source->scan->told_doubt)
					tpm_list_tell(source->scan->table, &cursor);
				source->scan->told_doubt |= cursor.doubt != TPM_DOUBT_NONE;
				return false;
			case TPM_CACHE_CLAIMED:
				if (!tpm_source_is_part(source) || !tpm_source_exchange(source))
					return fetch_claimed(source, &cursor) && !is_too_long(source);
				break;
			case TPM_CACHE_LEFT:

				/*
				 * to find out whether it still stands brings nothing,
				 * whatever list it is
				 */
				if (!((tpm_source_is_part(source) || (!source->scan->buys && !source->scan->read_to_end)) && tpm_source_exchange(source)) &&
					!go_on_with_left(source, &cursor))
					return false;
				break;
			case TPM_CACHE_WAIT:
				meet_problem(source, tpm_source_wait(source->scan, since_us));
				if (source->problem)
					return false;
				break;
			case TPM_CACHE_ALONE:
				take_up(source, &cursor);
				source->scan->not_kept = true;
				tpm_source_leave_cache(source);
				break;
		}
	}
	open_source_list(source);
	if (tpm_source_is_part(source) && tpm_source_exchange(source))
		return tpm_source_next_page(source);
	tpm_list_ask_ahead(source->list, true);
	return fetch(source) && !is_too_long(source);
}

/* false: no row of the list from this one on can be wanted */
static bool
is_wanted(TpmSource *source, HeapTuple tuple)
{
	TpmScan    *scan = source->scan;

	if (!scan->tests_rows)
		return true;
	tpm_scan_hold(scan, tuple);
	tpm_scan_check_filters(scan);
	if (!source->ordered || !tpm_scan_is_beyond(scan))
		return true;
	source->at_end = true;
	source->page = NULL;
	tpm_list_left_at_bound(source->list);
	return false;
}

bool
tpm_source_next(TpmSource *source, HeapTuple tuple, uint64 *idhash)
{
	for (;;)
	{
		if (source->page && source->row < source->page->nrows)
		{
			*tuple = *source->page->rows[source->row].tuple;
			*idhash = source->page->rows[source->row++].idhash;
			if (is_new(source, *idhash))
				return is_wanted(source, tuple);
			continue;
		}
		if (source->cached && tpm_cache_row(&source->shared, tuple, idhash))
		{
			if (tpm_source_was_given(source, *idhash))
				continue;
			return true;
		}
		source->page = NULL;
		if (source->at_end || !tpm_source_next_page(source))
		{
			source->at_end = true;
			if (source->cached)
				tpm_source_leave_cache(source);
			return false;
		}
	}
}
