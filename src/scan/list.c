/*-------------------------------------------------------------------------
 *
 * list.c
 *		Paging: one list of the API from its first page to its last.
 *
 * Owns where the next page is, which ids have been seen, and when a list is
 * complete.  A list moves while it is paged: a row that moved back is seen
 * twice and left out the second time; one that moved forward past the cursor
 * is noticed by the total, where the API gives one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/idset.h"
#include "base/url.h"
#include "base/url_query.h"
#include "client/list_end.h"
#include "scan/list_internal.h"
#include "scan/rent_or_buy.h"
#include "shared/counters.h"

/*
 * Empty pages in a row that are believed to lead on.  Where conditions are
 * sent, the API may cut pages first and filter then; without any, nothing but
 * the end makes pages empty.
 */
#define TPM_EMPTY_PAGES			3
#define TPM_EMPTY_FILTERED_PAGES	30

bool
tpm_list_get_learnt(const TpmList *list, TpmTableStats *learnt)
{
	return tpm_table_stats_get(list->table->relid, list->table->options_hash, learnt);
}

TpmList *
tpm_list_open(TpmSession *session, const TpmTable *table, TpmDecoder *decoder, TpmRequest *request,
			  bool reads_all)
{
	TpmList    *list = palloc0(sizeof(TpmList));
	TpmTableStats learnt;

	list->session = session;
	list->table = table;
	list->decoder = decoder;
	list->request = request;
	list->reads_all = reads_all;
	list->total = -1;
	list->told_rows = -1;
	list->least_total = PG_INT64_MAX;
	list->context = CurrentMemoryContext;
	list->page_context = AllocSetContextCreate(list->context, "tpm_fdw page", ALLOCSET_DEFAULT_SIZES);
	list->body_context = AllocSetContextCreate(list->context, "tpm_fdw call", ALLOCSET_SMALL_SIZES);
	list->ahead = tpm_prefetch_create(session);
	list->ids = tpm_idset_create(128);
	list->urls = tpm_idset_create(16);
	list->total_lies = request->terms != NIL &&
		(request->total_in_doubt || (tpm_list_get_learnt(list, &learnt) && learnt.total_ignores_filter));
	list->url = tpm_request_url(table, request, &list->position);
	return list;
}

void
tpm_list_set_payer(TpmList *list, struct TpmScan *payer)
{
	list->payer = payer;
}

/* before anything is sent */
static void
count_request(const TpmList *list)
{
	if (list->payer)
		tpm_rent_count(list->payer);
}

void
tpm_list_close(TpmList *list)
{
	tpm_prefetch_drop(list->ahead);
	list->url = NULL;
}

int
tpm_list_pages(const TpmList *list)
{
	return list->pages;
}

void
tpm_list_ask_ahead(TpmList *list, bool may)
{
	list->may_ask_ahead = may;
}

void
tpm_list_set_begun(TpmList *list, TpmPrefetch *begun)
{
	list->begun = begun;
}

bool
tpm_list_has_asked(const TpmList *list)
{
	return tpm_prefetch_count(list->ahead) > 0;
}

void
tpm_list_keep_page(TpmList *list)
{
	list->page_context = AllocSetContextCreate(list->context, "tpm_fdw page", ALLOCSET_DEFAULT_SIZES);
}

bool
tpm_list_is_complete(const TpmList *list)
{
	return list->url == NULL;
}

bool
tpm_list_is_torn(const TpmList *list)
{
	return list->torn;
}

bool
tpm_list_is_restarted(const TpmList *list)
{
	return list->again || list->restarted;
}

bool
tpm_list_has(const TpmList *list, uint64 idhash)
{
	return tpm_idset_has(list->ids, idhash);
}

void
tpm_list_remember(TpmList *list, uint64 idhash)
{
	if (idhash == 0)
		list->anonymous++;
	else if (tpm_idset_add(list->ids, idhash))
		list->distinct++;
}

void
tpm_list_get_cursor(const TpmList *list, TpmListCursor *cursor)
{
	cursor->url = list->url;
	cursor->position = list->position;
	cursor->last = list->last;
	cursor->first_page_rows = list->first_page_rows;
	cursor->page_size = list->request->page_size;
	cursor->total = list->total;
	cursor->distinct = list->distinct;
	cursor->linked = list->linked;
	cursor->by_link = list->by_link;
	cursor->again = list->again;
	cursor->restarted = list->restarted;
	cursor->continued = list->continued;
	cursor->doubt = list->doubt;
}

void
tpm_list_set_cursor(TpmList *list, const TpmListCursor *cursor)
{
	MemoryContext old;

	if (cursor->position.page == 0 && cursor->url == NULL)
		return;
	old = MemoryContextSwitchTo(list->context);
	if (list->url)
		pfree(list->url);
	list->url = cursor->url ? pstrdup(cursor->url) : NULL;
	MemoryContextSwitchTo(old);
	list->position = cursor->position;
	list->last = cursor->last;
	list->pages = Max(list->pages, cursor->position.page);
	list->first_page_rows = cursor->first_page_rows;
	list->request->page_size = cursor->page_size;
	list->total = cursor->total;
	list->linked = cursor->linked;
	list->by_link = cursor->by_link;
	list->again = cursor->again;
	list->restarted = cursor->restarted;
	list->continued = cursor->continued;
}

bool
tpm_list_is_whole_table(const TpmList *list)
{
	return list->request->terms == NIL && !list->request->by_id && !tpm_request_path_has_columns(list->table);
}

uint64
tpm_list_hash_text(const char *text)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), 0);
}

static void
raise_bad_link(TpmList *list, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("foreign table %s: the link to the next page cannot be followed", list->table->name),
			 errdetail("%s", detail),
			 hint ? errhint("%s", hint) : 0));
}

static char *
follow_link(TpmList *list, const char *current, const char *next)
{
	const char *problem = "";
	char	   *url = tpm_link_resolve(list->session->server, list->table->opt.links_origin, current,
									   next, &problem);

	if (url == NULL)
		raise_bad_link(list, problem, strstr(problem, "leads to")
					   ? "The option links_origin \"rebase\" is for an API that names an inner host." : NULL);
	return url;
}

/* an address that cannot be followed is none that was */
static bool
was_followed(const TpmList *list, const char *next)
{
	const char *problem;
	char	   *url = tpm_link_resolve(list->session->server, list->table->opt.links_origin, list->url, next,
									   &problem);

	return url != NULL && (tpm_url_is_same(url, list->url) || tpm_idset_has(list->urls, tpm_list_hash_text(url)));
}

/* the first page may be asked for without its number, and be named with it: a loop, or the second page of an API that counts from 0 */
static bool
may_name_itself(const TpmList *list, const char *next)
{
	const TpmOptions *opt = &list->table->opt;
	char	   *url = list->position.page == 0 ? tpm_url_resolve(list->url, tpm_url_of_link(next)) : NULL;
	TpmUrlPair *pair = url ? tpm_url_pair(tpm_url_query(url), opt->page_number_parameter) : NULL;

	return pair && strcmp(pair->value, opt->pagination == TPM_PAGE_OFFSET ? "0" : psprintf("%d", opt->first_page)) == 0;
}

/* an empty page has named a next one: does that lead to rows? */
static bool
leads_on(TpmList *list, const TpmListFacts *facts)
{
	if (facts->loops)
		return false;
	if (++list->empty_pages < (tpm_list_is_whole_table(list) && !list->table->opt.query ? TPM_EMPTY_PAGES : TPM_EMPTY_FILTERED_PAGES))
		return true;
	list->doubt = TPM_DOUBT_EMPTY;
	return false;
}

static void
find_next(TpmList *list, const TpmPage *page, TpmListFacts *facts)
{
	MemoryContext old = MemoryContextSwitchTo(list->context);
	const char *next = facts->links.next;
	char	   *current = list->url;
	TpmListEnd	end = page->is_list ? tpm_list_end(facts) : TPM_LIST_ENDS;

	list->linked |= next != NULL;
	list->by_link = end == TPM_LIST_FOLLOWS_LINK;
	list->step = tpm_list_step(facts);
	list->position.offset += list->step;
	if (facts->received > 0)
		list->empty_pages = 0;
	else if (end > TPM_LIST_ENDS_UNTOLD && !leads_on(list, facts))
		end = TPM_LIST_ENDS;
	list->url = NULL;
	if (end == TPM_LIST_ENDS_UNTOLD)
		list->doubt = TPM_DOUBT_UNTOLD;
	else if (end == TPM_LIST_FOLLOWS_LINK)
		list->url = follow_link(list, current, next);
	else if (end == TPM_LIST_GOES_ON)
		list->url = tpm_request_url(list->table, list->request, &list->position);
	pfree(current);
	MemoryContextSwitchTo(old);
}

/* keeps the rows that are new in this list */
static void
drop_repeated(TpmList *list, TpmPage *page)
{
	int			kept = 0;

	for (int i = 0; i < page->nrows; i++)
	{
		uint64		hash = page->rows[i].idhash;

		if (hash == 0)
			list->anonymous++;
		else if (!tpm_idset_add(list->ids, hash))
		{
			/* begun again, it brings what is known first */
			list->torn |= !list->restarted;
			continue;
		}
		else
			list->distinct++;
		page->rows[kept++] = page->rows[i];
	}
	page->nrows = kept;
}

/* begins the list again; what was returned is known by its ids */
static void
start_again(TpmList *list)
{
	MemoryContext old = MemoryContextSwitchTo(list->context);

	list->restarted = true;
	list->by_link = false;
	tpm_prefetch_drop(list->ahead);
	memset(&list->position, 0, sizeof(list->position));
	list->total = -1;
	list->urls = tpm_idset_create(16);
	list->url = tpm_request_url(list->table, list->request, &list->position);
	MemoryContextSwitchTo(old);
}

/* 413: the page was too large; numbers of smaller pages mean other rows */
static TpmProblem *
halve_page(TpmList *list, const TpmAnswer *answer, const char *name)
{
	if (list->request->page_size <= 1 || !list->table->opt.page_size_parameter[0] || list->anonymous > 0 || list->request->by_id)
		return tpm_problem_of_status(list->session, name, answer);
	list->request->page_size /= 2;
	start_again(list);
	return NULL;
}

/*
 * The list has ended.  Rows that moved forward past the cursor while it was
 * read have never been seen: the total tells, and a second reading finds them.
 */
static void
compare_with_total(TpmList *list, TpmListFacts *facts)
{
	bool		one_page = list->pages == 1;
	TpmTableStats learnt;

	if (list->url != NULL || list->doubt != TPM_DOUBT_NONE || list->anonymous > 0 || list->request->by_id ||
		list->distinct >= Max(list->total, list->not_believed))
		return;
	/* what every page announces is the list without filters */
	if (list->least_total == Max(list->total, list->not_believed) &&
		(list->not_believed > 0 ||
		 (list->request->terms != NIL && tpm_list_get_learnt(list, &learnt) && !learnt.total_obeys_filter &&
		  learnt.total == list->total)))
	{
		tpm_table_stats_filtered_total(list->table->relid, list->table->options_hash, false);
		/* without it, is this the end? */
		facts->total = -1;
		if (tpm_list_end(facts) == TPM_LIST_ENDS_UNTOLD)
			list->doubt = TPM_DOUBT_UNTOLD;
		return;
	}
	/* nothing moves within one answer: a second one would be as short */
	if (!list->again && !one_page)
	{
		list->again = true;
		start_again(list);
		return;
	}
	list->doubt = one_page ? TPM_DOUBT_SHORT : TPM_DOUBT_MOVED;
}

/*
 * A page has brought nothing new: the API leads in a circle.  Or as much has
 * moved since a statement has left the list, and then would for all who come.
 */
static void
begin_again_if_continued(TpmList *list)
{
	if (!list->continued)
		raise_bad_link(list, "A page brought only resources that earlier pages had.", NULL);
	list->again = true;
	start_again(list);
}

static void
warn_of_total(const TpmTable *table, const TpmListCursor *cursor)
{
	bool		by_link = table->opt.pagination == TPM_PAGE_LINKS;

	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("foreign table %s: the API announced " INT64_FORMAT " rows, " INT64_FORMAT " were received",
					table->name, cursor->total, cursor->distinct),
			 cursor->doubt == TPM_DOUBT_MOVED
			 ? errdetail("It was read twice: either the list changes while it is read, or the total counts other rows.")
			 : by_link ? errdetail("Its answer names no further page.")
			 : errdetail("Its answer is said, or seen, to be the last."),
			 cursor->doubt == TPM_DOUBT_MOVED ? 0 : by_link
			 ? errhint("If the API gives no links to further pages, set the option pagination to \"number\" or \"offset\".")
			 : errhint("The options pagination, page_parameters and first_page say how pages are asked for; tpm_fdw_check tries them.")));
}

void
tpm_list_tell(const TpmTable *table, const TpmListCursor *cursor)
{
	switch (cursor->doubt)
	{
		case TPM_DOUBT_NONE:
			break;
		case TPM_DOUBT_SHORT:
		case TPM_DOUBT_MOVED:
			warn_of_total(table, cursor);
			break;
		case TPM_DOUBT_UNTOLD:
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("foreign table %s: there may be more than the " INT64_FORMAT " rows received",
							table->name, cursor->position.rows),
					 errdetail("The answer has as many rows as were asked for, or is said to be a part, and neither links nor a total say what comes after it."),
					 errhint("If the API counts pages, set the option pagination to \"number\" or \"offset\"; if it gives all rows at once, page_size to more than there are.")));
			break;
		case TPM_DOUBT_EMPTY:
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("foreign table %s: there may be more than the " INT64_FORMAT " rows received",
							table->name, cursor->position.rows),
					 errdetail("The last pages were empty, and each names a next one: none is asked for after %d such pages in a row, or %d where conditions are sent.",
							   TPM_EMPTY_PAGES, TPM_EMPTY_FILTERED_PAGES),
					 errhint("A total (option total_pointer) tells when nothing more can come.")));
			break;
	}
}

/* whoever wants rows behind the last one is told, once, if there may be some */
static void
tell_doubt(TpmList *list)
{
	TpmListCursor cursor;

	tpm_list_get_cursor(list, &cursor);
	list->doubt = TPM_DOUBT_NONE;
	tpm_list_tell(list->table, &cursor);
}

/* ----- pages ahead ----- */

/*
 * How many pages beyond the next one may be asked for.  Clients limit by
 * cursor, which no plan can see: the first two pages come one by one, and
 * only who has taken all their rows is likely to take more.
 */
static int
pages_ahead(const TpmList *list)
{
	if (!list->may_ask_ahead || list->pages < 2 || list->request->by_id)
		return 0;
	return Min(list->pages - 1, list->table->opt.fetch_concurrency - 1);
}

/* asks for the next page and, where their addresses can be computed, for those behind it */
static void
ask_ahead(TpmList *list)
{
	const TpmOptions *opt = &list->table->opt;
	TpmPosition position = list->position;
	int64		step = list->step > 0 ? list->step : list->first_page_rows;
	int			wanted = 1 + pages_ahead(list);

	if (wanted == 1 || opt->pagination == TPM_PAGE_LINKS || list->by_link || list->total < 0 ||
		list->first_page_rows == 0)
		return;
	position.page += tpm_prefetch_count(list->ahead);
	position.offset += tpm_prefetch_count(list->ahead) * step;
	while (tpm_prefetch_count(list->ahead) < wanted &&
		   (int64) position.page * list->first_page_rows < list->total)
	{
		count_request(list);
		tpm_prefetch_start(list->ahead, tpm_request_url(list->table, list->request, &position), TPM_CALL_READ);
		position.page++;
		position.offset += step;
	}
}

/* a link is known one page before it is needed */
static void
follow_ahead(TpmList *list)
{
	if (list->url != NULL && list->table->opt.pagination == TPM_PAGE_LINKS && pages_ahead(list) > 0 &&
		tpm_prefetch_count(list->ahead) == 0)
	{
		count_request(list);
		tpm_prefetch_start(list->ahead, list->url, TPM_CALL_READ);
	}
}

/* ----- a look further on ----- */

/* the number by which a link names its page, where it does; -1 */
static int64
number_in_link(const TpmList *list, const char *url)
{
	TpmUrlPair *pair = tpm_url_pair(tpm_url_query(url), list->table->opt.page_number_parameter);

	return pair ? tpm_whole_number(pair->value) : -1;
}

static bool
is_linked_as(const TpmList *list, const char *url, const char *link, int64 number)
{
	char	   *resolved = link ? tpm_url_resolve(url, tpm_url_of_link(link)) : NULL;

	return resolved != NULL && number_in_link(list, resolved) == number;
}

/*
 * The address of a page that is not next; next: that of the second one, where
 * the first has named it.  *number: by what its own links have to show that it
 * is the one, where nothing but a link tells how pages are counted.  NULL: it
 * is not known.
 */
static char *
address_of_page(const TpmList *list, const char *next, int page, int64 *number)
{
	TpmPosition position = {.page = page,.offset = (int64) page * list->first_page_rows};
	int64		second;

	*number = -1;
	if (list->table->opt.pagination != TPM_PAGE_LINKS && !list->by_link)
		return tpm_request_url(list->table, list->request, &position);
	second = next ? number_in_link(list, next) : -1;
	if (second != 1 && second != 2)
		return NULL;
	*number = second - 1 + page;
	return tpm_url_with_number(tpm_url_quote(next), list->table->opt.page_number_parameter, *number);
}

/* do its own links show that a page is the one of this number?  -1: they need not */
static bool
is_numbered(const TpmList *list, const char *url, const TpmPageLinks *links, int64 number)
{
	return number < 0 || is_linked_as(list, url, links->next, number + 1) ||
		is_linked_as(list, url, links->prev, number - 1);
}

TpmPage *
tpm_list_look(TpmList *list, int page)
{
	const TpmProblem *problem = NULL;
	TpmAnswer  *answer;
	TpmPage    *result;
	int64		number;
	char	   *url = address_of_page(list, list->position.page == 1 ? list->url : NULL, page, &number);

	answer = url ? tpm_client_try_get(list->session, url, TPM_CALL_READ, &problem) : NULL;
	if (answer == NULL || answer->status < 200 || answer->status > 299)
		return NULL;
	tpm_decoder_set_secrets(list->decoder, answer->secrets);
	result = tpm_document_read(list->decoder, answer->body, answer->len, answer->received, tpm_call_name("GET", url));
	return is_numbered(list, url, &result->links, number) ? result : NULL;
}

bool
tpm_list_may_skip(const TpmList *list)
{
	int64		number;

	return list->position.page == 1 && list->url != NULL && !list->restarted && list->total >= 0 &&
		list->position.offset == list->first_page_rows &&
		address_of_page(list, list->url, 1, &number) != NULL;
}

void
tpm_list_skip_to(TpmList *list, const TpmListCursor *first, int page)
{
	TpmListCursor there = *first;

	tpm_list_set_cursor(list, first);
	there.position.page = page;
	there.position.rows = there.position.offset = (int64) page * first->first_page_rows;
	there.url = address_of_page(list, first->url, page, &list->skipped_to);
	tpm_list_set_cursor(list, &there);
	list->distinct = there.position.rows;
	/* whoever wants two more pages is likely to want others */
	list->pages = 1;
}

bool
tpm_list_has_skipped(const TpmList *list, const TpmListCursor *first, const TpmPage *page)
{
	return is_numbered(list, first->url, &page->links, list->skipped_to);
}

/* ----- pages ----- */

/* what is known once a page has come; what its own answer says lives as long as the page */
static TpmListFacts
facts_of(TpmList *list, const TpmPage *page, const TpmAnswer *answer)
{
	const TpmOptions *opt = &list->table->opt;
	TpmListFacts facts = {
		.opt = opt,
		.asked = list->request->page_size,
		.received = page->nrows,
		.first_page_rows = list->position.page == 0 ? page->nrows : list->first_page_rows,
		.page = list->position.page + 1,
		.rows = list->position.rows + page->nrows,
		.offset = list->position.offset,
		.linked = list->linked,
		.by_link = list->by_link,
		.total = page->total,
		.links = page->links,
		.next_offset = -1,
	};

	tpm_list_hear(&facts, answer);
	if (facts.total >= 0)
		list->least_total = Min(list->least_total, facts.total);
	if (list->total_lies)
	{
		list->not_believed = Max(list->not_believed, facts.total);
		facts.total = -1;
	}
	/* of other pages nobody asks it */
	if (facts.links.next && (facts.received == 0 || facts.total == facts.received))
	{
		facts.loops = was_followed(list, facts.links.next);
		facts.may_loop = facts.loops || may_name_itself(list, facts.links.next);
	}
	if (facts.links.next && opt->pagination == TPM_PAGE_OFFSET)
	{
		char	   *next = tpm_url_resolve(list->url, tpm_url_of_link(facts.links.next));

		facts.next_offset = next ? tpm_list_position(opt, next) : -1;
	}
	return facts;
}

/* the answer that holds the next page; NULL: there is none, or *problem */
static TpmAnswer *
answer_with_page(TpmList *list, const char *name, const TpmProblem **problem)
{
	TpmAnswer  *answer = NULL;

	if (!tpm_idset_add(list->urls, tpm_list_hash_text(list->url)))
		raise_bad_link(list, "It was followed before: the list has no end.", NULL);
	ask_ahead(list);
	if (list->begun)
		answer = tpm_prefetch_take_any(list->begun, list->url, problem);
	if (answer == NULL && *problem == NULL)
		answer = tpm_prefetch_take(list->ahead, list->url, problem);
	if (answer == NULL && *problem == NULL)
	{
		count_request(list);
		answer = tpm_client_try_get(list->session, list->url, TPM_CALL_READ, problem);
	}
	if (answer && answer->status >= 200 && answer->status <= 299)
		return answer;
	if (answer && answer->status == 413)
		*problem = halve_page(list, answer, name);
	else if (answer && answer->status == 404 && list->request->by_id)
		list->url = NULL;
	else if (answer)
		*problem = tpm_problem_of_status(list->session, name, answer);
	return NULL;
}

/* NULL: it was no page, or *problem */
static TpmPage *
fetch_page(TpmList *list, TpmListFacts *facts, const TpmProblem **problem)
{
	TpmAnswer  *answer;
	TpmPage    *page;
	char	   *name;
	MemoryContext old;

	MemoryContextReset(list->page_context);
	MemoryContextReset(list->body_context);
	old = MemoryContextSwitchTo(list->body_context);
	name = tpm_call_name("GET", list->url);
	answer = answer_with_page(list, name, problem);
	if (answer == NULL)
	{
		MemoryContextSwitchTo(old);
		return NULL;
	}
	MemoryContextSwitchTo(list->page_context);
	tpm_decoder_set_secrets(list->decoder, answer->secrets);
	page = tpm_document_read(list->decoder, answer->body, answer->len, answer->received, name);
	*facts = facts_of(list, page, answer);
	MemoryContextSwitchTo(old);
	MemoryContextReset(list->body_context);
	return page;
}

TpmPage *
tpm_list_try_next(TpmList *list, const TpmProblem **problem)
{
	*problem = tpm_list_refuses(list);
	/* up to here all of it lies before the bounds */
	if (list->request->bounds && list->pages > 0 && list->url != NULL)
		tpm_list_learn_pages(list, list->position.page + 1, false);
	while (list->url != NULL && *problem == NULL)
	{
		TpmListFacts facts;
		TpmPage    *page = fetch_page(list, &facts, problem);
		int			received;

		if (page == NULL)
			continue;
		received = page->nrows;
		list->pages++;
		list->first_page_rows = facts.first_page_rows;
		list->last = list->position;
		list->position.page++;
		list->position.rows += received;
		page->total = tpm_list_total(&facts);
		if (page->is_list)
			tpm_list_check_first_page(list->table, &facts, list->url);
		/* one that has shrunk tells of rows that moved towards the beginning */
		list->total = Max(list->total, page->total);
		drop_repeated(list, page);
		find_next(list, page, &facts);
		tpm_list_learn_size(list);
		if (received < list->request->page_size && list->url != NULL &&
			(list->request->terms != NIL || list->table->opt.query))
			list->torn = true;
		if (page->nrows == 0 && received > 0 && list->url != NULL && !list->restarted &&
			!list->request->may_tie)
			begin_again_if_continued(list);
		compare_with_total(list, &facts);
		follow_ahead(list);
		if (page->nrows > 0)
			return page;
	}
	if (*problem)
		tpm_list_learn_given_up(list, *problem);
	else
		tell_doubt(list);
	return NULL;
}

/* ----- going on with what was left ----- */

/* asks for the page, whose turn is yet to come; false: the API says no, or *problem */
static bool
ask_if_there(TpmList *list, const TpmProblem **problem)
{
	TpmAnswer  *answer;

	count_request(list);
	tpm_prefetch_start(list->ahead, list->url, TPM_CALL_ANY);
	answer = tpm_prefetch_look(list->ahead, list->url, problem);
	if (answer == NULL)
		return false;
	if (answer->status >= 200 && answer->status <= 299)
		return true;
	/* those two are not about the page */
	if (answer->status < 400 || answer->status > 499 || answer->status == 401 || answer->status == 429)
		*problem = tpm_problem_of_status(list->session, tpm_call_name("GET", list->url), answer);
	return false;
}

bool
tpm_list_try_go_on(TpmList *list, const TpmListCursor *cursor, TpmPage **last, const TpmProblem **problem)
{
	bool		follows = list->by_link || list->table->opt.pagination == TPM_PAGE_LINKS;
	MemoryContext old = MemoryContextSwitchTo(list->context);
	TpmListFacts facts;
	bool		there;

	*last = NULL;
	if (!follows)
	{
		list->position = list->last;
		list->url = tpm_request_url(list->table, list->request, &list->position);
	}
	*problem = tpm_list_refuses(list);
	list->may_ask_ahead = false;
	there = *problem == NULL && ask_if_there(list, problem);
	MemoryContextSwitchTo(old);
	if (!there || follows)
		return there;
	*last = fetch_page(list, &facts, problem);
	if (*last == NULL)
		return false;
	(*last)->total = tpm_list_total(&facts);
	tpm_list_set_cursor(list, cursor);
	return true;
}

TpmPage *
tpm_list_next(TpmList *list)
{
	const TpmProblem *problem;
	TpmPage    *page = tpm_list_try_next(list, &problem);

	tpm_problem_check(problem);
	return page;
}
