/*-------------------------------------------------------------------------
 *
 * list_size.c
 *		How many pages a list has, and what its pages tell of that.
 *
 * Owns what is learnt from a list of how long it, its table and its filters
 * are, and whether a list that is known to be long may be begun, or gone on
 * with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "scan/list_internal.h"
#include "shared/counters.h"

/* of this many rows, all with the same number on a page but the last */
static int64
pages_of(int64 rows, int a_page)
{
	return rows / a_page + (rows % a_page != 0);
}

/* how many, where each may be there in capitals as well */
static int
count_values(const TpmTerm *term)
{
	int			n = 0;
	const char *last = "";
	ListCell   *lc;

	foreach(lc, term->values)
	{
		n += n == 0 || pg_strcasecmp(lfirst(lc), last) != 0;
		last = lfirst(lc);
	}
	return n;
}

/* does the total tell what the filter leaves?  That of the list without filters may stand in its place. */
static bool
is_total_of_filter(const TpmList *list, const TpmTableStats *learnt)
{
	return list->total >= 0 &&
		(learnt->total_obeys_filter || (learnt->total >= 0 && learnt->total != list->total));
}

/*
 * What a filter on one column leaves.  A list that tells no total is told page
 * by page, once it is longer than those before it; or at its end.
 */
static void
learn_filter(TpmList *list)
{
	const TpmTerm *term = list_length(list->request->terms) == 1 ? linitial(list->request->terms) : NULL;
	TpmTableStats learnt = {.total = -1};
	const TpmFilterStats *known;
	int64		rows = list->distinct + list->anonymous;

	if (term == NULL || term->attnum == 0 || list->request->by_id || list->restarted ||
		tpm_request_path_has_columns(list->table))
		return;
	(void) tpm_list_get_learnt(list, &learnt);
	/* of whichever list it is, the whole one is no shorter */
	if (list->total > 0 && learnt.total < 0)
		tpm_table_stats_at_least(list->table->relid, list->table->options_hash, list->total, 0);
	if (is_total_of_filter(list, &learnt))
		rows = list->total;
	else if (list->url != NULL && list->told_rows < 0)
	{
		known = tpm_table_stats_of_filter(&learnt, term->attnum);
		if (known && rows * (double) known->values <= known->rows * (double) count_values(term))
			return;
	}
	if (rows > list->told_rows)
		tpm_table_stats_filter(list->table->relid, list->table->options_hash, term->attnum,
							   list->told_rows < 0 ? count_values(term) : 0, rows - Max(list->told_rows, 0));
	list->told_rows = Max(rows, list->told_rows);
}

/* which list it is, among those of its table: what one credential is shown, another one may not be */
static uint64
hash_of_list(const TpmList *list)
{
	const TpmRequest *request = list->request;
	uint64		hash = tpm_list_hash_text(request->bounds ? psprintf("%s %s", request->sort, request->bounds)
										  : tpm_request_conditions(list->table, request));

	return hash_combine64(hash, list->session->credential->umid);
}

/* pages were asked for in the size in which whoever reads all of a list asks for them */
static bool
has_full_pages(const TpmList *list)
{
	return list->request->page_size == list->table->opt.page_size || list->restarted;
}

void
tpm_list_learn_pages(const TpmList *list, int64 pages, bool ended)
{
	uint64		which;
	TpmTableStats learnt;
	int64		known = -1;

	if (list->request->by_id || !has_full_pages(list))
		return;
	which = hash_of_list(list);
	if (tpm_list_get_learnt(list, &learnt))
		known = tpm_table_stats_pages_of_list(&learnt, which);
	/* a list of one page is no burden */
	if (ended ? known != pages && Max(known, pages) > 1 : known < pages)
		tpm_table_stats_long_list(list->table->relid, list->table->options_hash, which, pages, ended);
}

/*
 * How long a list is that tells no total: page by page, since nobody knows
 * whether it will be read to its end.
 */
static void
learn_length(const TpmList *list)
{
	if (list->total < 0 || (list->request->bounds && list->url == NULL))
		tpm_list_learn_pages(list, list->position.page + (list->url != NULL && !list->request->bounds), list->url == NULL);
}

void
tpm_list_learn_given_up(const TpmList *list, const TpmProblem *problem)
{
	int64		sent = list->session->requests;

	if (problem->sqlerrcode == ERRCODE_CONFIGURATION_LIMIT_EXCEEDED && list->total < 0 && list->position.page > 0 &&
		sent == list->position.page + 1)
		tpm_list_learn_pages(list, sent + 1, false);
}

void
tpm_list_left_at_bound(const TpmList *list)
{
	if (list->request->bounds)
		tpm_list_learn_pages(list, list->position.page, true);
}

void
tpm_list_learn_size(TpmList *list)
{
	int64		rows = list->distinct + list->anonymous;
	int			a_page = has_full_pages(list) ? list->first_page_rows : 0;

	learn_length(list);
	if (list->doubt != TPM_DOUBT_NONE)
		return;
	if (!tpm_list_is_whole_table(list))
		learn_filter(list);
	else if (list->total >= 0 || list->url == NULL)
		tpm_table_stats_total(list->table->relid, list->table->options_hash, list->session->credential->umid,
							  list->total >= 0 ? list->total : rows, a_page);
	else
		tpm_table_stats_at_least(list->table->relid, list->table->options_hash, rows, a_page);
}

int64
tpm_list_pages_left(const TpmList *list)
{
	if (list->url == NULL)
		return 0;
	if (list->total < 0 || list->first_page_rows == 0)
		return -1;
	return Max(1, pages_of(list->total, list->first_page_rows) - list->position.page);
}

/*
 * How many pages the list has: by its total, or as somebody has found not long
 * ago who read it, or its total.  -1: nobody knows.
 */
static int64
pages_in_all(const TpmList *list)
{
	TpmTableStats learnt;
	bool		bounded = list->request->bounds != NULL;

	if (list->total >= 0 && list->first_page_rows > 0 && !bounded)
		return pages_of(list->total, list->first_page_rows);
	if (!tpm_list_get_learnt(list, &learnt))
		return -1;
	if (tpm_list_is_whole_table(list) && !bounded && learnt.total >= 0 && learnt.total_by == list->session->credential->umid &&
		!TimestampDifferenceExceeds(learnt.total_at, GetCurrentTimestamp(), TPM_SIZE_IS_KNOWN_MS))
		return pages_of(learnt.total, tpm_table_stats_page(&learnt, list->request->page_size));
	return tpm_table_stats_pages_of_list(&learnt, hash_of_list(list));
}

TpmProblem *
tpm_list_refuses(TpmList *list)
{
	int64		pages;

	if (list->admitted || list->url == NULL || !list->reads_all || list->restarted ||
		(list->pages > 0 && (list->total < 0 || list->request->bounds)))
		return NULL;
	pages = pages_in_all(list);
	if (pages < 0)
		return NULL;
	list->admitted = list->total >= 0;
	if (list->may_ask_ahead && list->table->opt.pagination != TPM_PAGE_LINKS)
		list->session->lanes = list->table->opt.fetch_concurrency;
	return tpm_client_refuses(list->session, Max(1, pages - list->position.page));
}

void
tpm_list_goes_as_far(const TpmList *list, int page)
{
	tpm_list_learn_pages(list, page + 1, false);
}
