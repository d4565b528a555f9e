/*-------------------------------------------------------------------------
 *
 * copy_page.c
 *		Pages of the API for a run: how they are asked for, and what they say.
 *
 * Owns where a page is, by position or by link, and the wait for it.  Where a
 * list ends is client/list_end.c's to judge; which page is wanted, and what is
 * done with it, is the run's.
 *
 * While it waits it holds no snapshot, and no lock but the session's on the
 * copy: a run may wait for hours, and vacuum goes on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "common/hashfn.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/idset.h"
#include "base/url.h"
#include "base/url_query.h"
#include "copy/copy_run_internal.h"
#include "document/value.h"

/* empty pages in a row that are believed to lead on; where the option query filters, the API may cut pages first */
#define MOST_EMPTY_PAGES	3
#define MOST_EMPTY_FILTERED_PAGES	30

/* pages in a row that have what the one before them had */
#define MOST_SAME_PAGES	3

/* ----- where pages are ----- */

TpmCopyWalk *
tpm_copy_walk(TpmCopyRun *run, char *sort)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	TpmCopyWalk *walk = palloc0(sizeof(TpmCopyWalk));

	walk->request.path = tpm_request_path(run->table, NULL, false);
	walk->request.shown_path = tpm_request_path(run->table, NULL, true);
	walk->request.sort = sort ? pstrdup(sort) : NULL;
	walk->request.page_size = run->copy->page_size > 0 ? run->copy->page_size : run->table->opt.page_size;
	walk->asked_number = -1;
	walk->total = -1;
	walk->least_total = -1;
	walk->followed = tpm_idset_create(16);
	MemoryContextSwitchTo(old);
	return walk;
}

int
tpm_copy_page_rows(const TpmCopyRun *run, const TpmCopyWalk *walk)
{
	return run->copy->page_rows > 0 ? run->copy->page_rows : walk->request.page_size;
}

static void
set_link(TpmCopyRun *run, TpmCopyWalk *walk, const char *link)
{
	char	   *before = walk->link;

	walk->link = link ? MemoryContextStrdup(run->context, link) : NULL;
	if (before)
		pfree(before);
}

/* a link that numbers its page as we would serves for all pages */
static void
learn_pattern(TpmCopyRun *run, TpmCopyWalk *walk, const char *url, int64 number)
{
	TpmUrlPair *pair = tpm_url_pair(tpm_url_query(url), run->table->opt.page_number_parameter);
	int64		told = pair ? tpm_whole_number(pair->value) : -1;

	if (walk->pattern == NULL && told >= 0 && (told == number || told == number + 1))
	{
		walk->pattern = MemoryContextStrdup(run->context, tpm_url_quote(url));
		walk->pattern_base = (int) (told - number);
	}
}

bool
tpm_copy_walk_go(TpmCopyRun *run, TpmCopyWalk *walk, int64 number)
{
	int			page_rows = tpm_copy_page_rows(run, walk);

	if (number > 0 && run->table->opt.pagination == TPM_PAGE_LINKS)
	{
		if (walk->pattern == NULL)
			return false;
		set_link(run, walk, tpm_url_with_number(walk->pattern, run->table->opt.page_number_parameter,
												number + walk->pattern_base));
	}
	else
		set_link(run, walk, NULL);
	walk->position.page = (int) number;
	walk->position.rows = walk->position.offset = number * page_rows;
	walk->ended = false;
	walk->empty_pages = 0;
	walk->followed = NULL;
	return true;
}

/* as of the second page */
void
tpm_copy_keep_link(TpmCopyRun *run, const TpmCopyWalk *walk)
{
	if (walk->pattern)
		run->copy->page_link = tpm_url_with_number(walk->pattern, run->table->opt.page_number_parameter,
												   1 + walk->pattern_base);
}

void
tpm_copy_walk_know_link(TpmCopyRun *run, TpmCopyWalk *walk)
{
	const char *link = run->copy->page_link;
	const char *problem;

	/* the server may have moved since: nothing is sent to where it was */
	if (link && tpm_link_resolve(run->table->server, TPM_LINKS_STRICT, link, link, &problem))
		learn_pattern(run, walk, link, 1);
}

/* the list from its beginning, in smaller pages or since a link leads nowhere any more */
static void
start_walk_again(TpmCopyRun *run, TpmCopyWalk *walk)
{
	set_link(run, walk, NULL);
	memset(&walk->position, 0, sizeof(walk->position));
	walk->pattern = NULL;
	walk->total = -1;
	walk->asked_number = -1;
	walk->followed = NULL;
	walk->restarted = true;
}

/* ----- asking ----- */

static char *
address_of_next(const TpmCopyRun *run, const TpmCopyWalk *walk)
{
	return walk->link ? walk->link : tpm_request_url(run->table, &walk->request, &walk->position);
}

/* one that leads in a circle is never followed to its end */
static void
check_circle(TpmCopyRun *run, TpmCopyWalk *walk)
{
	MemoryContext old;

	if (walk->link == NULL)
		return;
	old = MemoryContextSwitchTo(run->context);
	if (walk->followed == NULL)
		walk->followed = tpm_idset_create(16);
	if (!tpm_idset_add(walk->followed, hash_bytes_extended((unsigned char *) walk->link, strlen(walk->link), 0)))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("foreign table %s: the link to the next page cannot be followed", run->table->name),
				 errdetail("It was followed before: the list has no end.")));
	MemoryContextSwitchTo(old);
}

static TpmAnswer *
await_answer(TpmCopyRun *run, const char *url)
{
	TpmCall    *call = tpm_call_start(run->session, "GET", url, NULL, NIL, TPM_CALL_ANY);
	int64		wake_us;

	while (!tpm_call_try(call, &wake_us))
	{
		/* that of catalogs would keep vacuum from its work as well */
		InvalidateCatalogSnapshot();
		tpm_calls_pause(run->session, tpm_call_waiting_for(call), wake_us);
	}
	tpm_problem_check(tpm_call_problem(call));
	return tpm_call_answer(call);
}

/* the page that was to be gone on with is not there: not what is wrong with all of them */
static bool
is_refused_link(const TpmCopyWalk *walk, const TpmAnswer *answer)
{
	return walk->resumed && !walk->restarted && walk->position.page > 0 && answer->status >= 400 &&
		answer->status <= 499 && answer->status != 401 && answer->status != 403 && answer->status != 429;
}

static bool
halve_pages(TpmCopyRun *run, TpmCopyWalk *walk, const TpmAnswer *answer)
{
	if (answer->status != 413 || walk->request.by_id || walk->request.page_size <= 1 ||
		run->table->opt.page_size_parameter[0] == '\0')
		return false;
	walk->request.page_size /= 2;
	return true;
}

TpmAnswer *
tpm_copy_ask(TpmCopyRun *run, TpmCopyWalk *walk)
{
	for (;;)
	{
		TpmAnswer  *answer;
		char	   *url = address_of_next(run, walk);

		check_circle(run, walk);
		answer = await_answer(run, url);
		if (halve_pages(run, walk, answer) || is_refused_link(walk, answer))
		{
			start_walk_again(run, walk);
			continue;
		}
		if (!walk->any_status && (answer->status < 200 || answer->status > 299))
			tpm_raise_status(run->session, tpm_call_name("GET", url), answer);
		return answer;
	}
}

/* ----- reading ----- */

static char *
follow_page_link(TpmCopyRun *run, const char *current, const char *next)
{
	const char *problem = "";
	char	   *url = tpm_link_resolve(run->table->server, run->table->opt.links_origin, current, next, &problem);

	if (url == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("foreign table %s: the link to the next page cannot be followed", run->table->name),
				 errdetail("%s", problem)));
	return url;
}

static TpmListFacts
facts_of_page(const TpmCopyRun *run, const TpmCopyWalk *walk, const TpmPage *rows, const TpmAnswer *answer,
			  const char *url)
{
	const TpmOptions *opt = &run->table->opt;
	TpmListFacts facts = {
		.opt = opt,
		.asked = walk->request.page_size,
		.received = rows->nrows,
		.first_page_rows = walk->position.page == 0 ? rows->nrows : run->copy->page_rows,
		.page = walk->position.page + 1,
		.rows = walk->position.rows + rows->nrows,
		.offset = walk->position.offset,
		.linked = walk->linked,
		.by_link = opt->pagination != TPM_PAGE_LINKS && walk->link != NULL,
		.total = rows->total,
		.links = rows->links,
		.next_offset = -1,
	};

	tpm_list_hear(&facts, answer);
	if (facts.links.next)
	{
		const char *problem;
		char	   *next = tpm_link_resolve(run->table->server, opt->links_origin, url, facts.links.next, &problem);

		facts.loops = facts.may_loop = next && tpm_url_is_same(next, url);
		if (opt->pagination == TPM_PAGE_OFFSET)
			facts.next_offset = next ? tpm_list_position(opt, next) : -1;
	}
	return facts;
}

pg_noreturn static void
raise_no_end(const TpmCopyRun *run, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("foreign table %s: it is not known where the list ends", run->table->name),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/* whatever cannot be read to its end for certain was not read to its end */
static void
check_end(TpmCopyRun *run, TpmCopyWalk *walk, const TpmListFacts *facts, TpmListEnd end)
{
	bool		filtered = run->table->opt.query || walk->request.terms;
	int			most = filtered ? MOST_EMPTY_FILTERED_PAGES : MOST_EMPTY_PAGES;

	if (end == TPM_LIST_ENDS_UNTOLD)
		raise_no_end(run, "A page has as many rows as were asked for, or is said to be a part, and neither links nor a total say what comes after it.",
					 "If the API counts pages, set the option pagination to \"number\" or \"offset\"; if it gives all rows at once, page_size to more than there are.");
	walk->empty_pages = facts->received > 0 || end == TPM_LIST_ENDS ? 0 : walk->empty_pages + 1;
	if (facts->loops || walk->empty_pages >= most)
		raise_no_end(run, facts->loops ? "The link to the next page leads to the page that has it."
					 : "Its last pages were empty, and each names a next one.",
					 "The options pagination, page_parameters and first_page say how pages are asked for; tpm_fdw_check tries them.");
}

static char **
ids_of_page(const TpmCopyRun *run, const TpmPage *rows)
{
	char	  **ids = palloc(sizeof(char *) * Max(rows->nrows, 1));
	const TpmColumn *column = &run->table->columns[run->table->id_attnum - 1];

	for (int i = 0; i < rows->nrows; i++)
	{
		bool		isnull;
		Datum		id = heap_getattr(rows->rows[i].tuple, column->attnum, run->tupdesc, &isnull);

		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
					 errmsg("foreign table %s: a resource has no id", run->table->name)));
		ids[i] = tpm_value_text(column, id);
	}
	return ids;
}

static bool
is_same_as_last(const TpmCopyWalk *walk, const TpmCopyPage *page)
{
	if (page->n == 0 || page->n != walk->last_n || page->number != walk->asked_number + 1)
		return false;
	for (int i = 0; i < page->n; i++)
	{
		if (strcmp(page->ids[i], walk->last_ids[i]) != 0)
			return false;
	}
	return true;
}

/*
 * An API that does not understand the number of a page gives the first one for
 * ever.  Once or twice it may be that as many rows as a page has came in front.
 */
static void
check_progress(const TpmCopyRun *run, TpmCopyWalk *walk, const TpmCopyPage *page)
{
	walk->same_pages = is_same_as_last(walk, page) ? walk->same_pages + 1 : 0;
	if (walk->same_pages < MOST_SAME_PAGES)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("foreign table %s: one page after the other brought the same resources", run->table->name),
			 errhint("The options pagination, page_parameters and first_page say how pages are asked for; tpm_fdw_check tries them.")));
}

static void
remember_ids(TpmCopyRun *run, TpmCopyWalk *walk, const TpmCopyPage *page)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	char	  **ids = palloc(sizeof(char *) * Max(page->n, 1));

	for (int i = 0; i < page->n; i++)
		ids[i] = pstrdup(page->ids[i]);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < walk->last_n; i++)
		pfree(walk->last_ids[i]);
	if (walk->last_ids)
		pfree(walk->last_ids);
	walk->last_ids = ids;
	walk->last_n = page->n;
	walk->asked_number = page->number;
}

/* the walk goes on behind the page */
static void
step_walk(TpmCopyRun *run, TpmCopyWalk *walk, const TpmListFacts *facts, TpmListEnd end, const char *url)
{
	const char *next = facts->links.next;
	char	   *link = end == TPM_LIST_FOLLOWS_LINK ? follow_page_link(run, url, next) : NULL;

	walk->linked |= next != NULL;
	walk->ended = end == TPM_LIST_ENDS;
	walk->position.page++;
	walk->position.rows += facts->received;
	walk->position.offset += tpm_list_step(facts);
	set_link(run, walk, link);
	if (link)
		learn_pattern(run, walk, link, walk->position.page);
}

static TimestampTz
date_of_answer(const TpmAnswer *answer)
{
	pg_time_t	when;

	return answer->date && tpm_read_http_date(answer->date, &when) ? time_t_to_timestamptz(when) : TPM_NEVER;
}

TpmCopyPage *
tpm_copy_read_page(TpmCopyRun *run, TpmCopyWalk *walk, const TpmAnswer *answer)
{
	TpmCopyPage *page = palloc0(sizeof(TpmCopyPage));
	char	   *url = address_of_next(run, walk);
	TpmListFacts facts;

	page->status = answer->status;
	page->number = walk->position.page;
	page->left = answer->left;
	page->date = date_of_answer(answer);
	page->total = -1;
	if (answer->status < 200 || answer->status > 299)
		return page;
	tpm_decoder_set_secrets(run->decoder, answer->secrets);
	page->rows = tpm_document_read(run->decoder, answer->body, answer->len, answer->received,
								   tpm_call_name("GET", url));
	page->n = page->rows->nrows;
	page->ids = ids_of_page(run, page->rows);
	if (!page->rows->is_list || walk->request.by_id)
	{
		walk->ended = true;
		return page;
	}
	facts = facts_of_page(run, walk, page->rows, answer, url);
	tpm_list_check_first_page(run->table, &facts, url);
	page->total = tpm_list_total(&facts);
	if (page->total >= 0 && (walk->least_total < 0 || page->total < walk->least_total))
		walk->least_total = page->total;
	page->end = tpm_list_end(&facts);
	check_end(run, walk, &facts, page->end);
	check_progress(run, walk, page);
	remember_ids(run, walk, page);
	step_walk(run, walk, &facts, page->end, url);
	return page;
}

/* ----- where a list is gone on with ----- */

void
tpm_copy_save_walk(TpmCopyRun *run, const TpmCopyWalk *walk)
{
	TpmCopy    *copy = run->copy;

	copy->position = walk->position.page;
	copy->link = walk->link ? pstrdup(walk->link) : NULL;
	copy->page_size = walk->request.page_size;
	copy->run_total = walk->total;
}

/* the server may be another one than when the link was saved */
static bool
leads_to_server(const TpmCopyRun *run, const char *link)
{
	const char *problem;

	return tpm_link_resolve(run->table->server, TPM_LINKS_STRICT, run->table->server->opt.base_url, link, &problem) != NULL;
}

void
tpm_copy_walk_resume(TpmCopyRun *run, TpmCopyWalk *walk)
{
	TpmCopy    *copy = run->copy;

	if (copy->position == 0)
		return;
	walk->resumed = true;
	walk->total = copy->run_total;
	if (copy->link && !leads_to_server(run, copy->link))
		start_walk_again(run, walk);
	else if (copy->link)
	{
		learn_pattern(run, walk, copy->link, copy->position);
		if (tpm_copy_walk_go(run, walk, copy->position - 1))
			return;
		/* nothing tells how to ask for the page before */
		(void) tpm_copy_walk_go(run, walk, 0);
		walk->position.page = (int) copy->position;
		walk->position.rows = walk->position.offset = copy->position * tpm_copy_page_rows(run, walk);
		set_link(run, walk, copy->link);
	}
	else if (!tpm_copy_walk_go(run, walk, copy->position - 1))
		start_walk_again(run, walk);
}

/* pages that a list is read again for what has moved in it; beyond it a sweep finds what was missed */
static bool
may_step_back(const TpmCopyRun *run, const TpmCopyWalk *walk, int64 pages)
{
	return walk->steps_back + pages <= 10 + 2 * run->copy->pages_done;
}

void
tpm_copy_walk_back(TpmCopyRun *run, TpmCopyWalk *walk, int64 number)
{
	if (!tpm_copy_walk_go(run, walk, Max(number, 0)))
		(void) tpm_copy_walk_go(run, walk, 0);
}

bool
tpm_copy_step_back(TpmCopyRun *run, TpmCopyWalk *walk, const TpmCopyPage *page)
{
	int			page_rows = tpm_copy_page_rows(run, walk);
	int64		fell = walk->total >= 0 && page->total >= 0 ? walk->total - page->total : 0;
	int64		pages = fell > 0 ? (fell + page_rows - 1) / page_rows : 0;

	if (fell > 0 || (page->total < 0 && !(page->number == 0 && walk->ended)))
		walk->total_fell = true;
	walk->total = page->total;
	if (pages == 0 || page->number == 0 || !may_step_back(run, walk, pages))
		return false;
	walk->steps_back += (int) Min(pages, page->number);
	tpm_copy_walk_back(run, walk, page->number - pages);
	return true;
}
