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
#include "scan/list.h"
#include "scan/prefetch.h"
#include "shared/counters.h"

/* how long a table's size counts as known */
#define TPM_SIZE_IS_KNOWN_MS	(24 * 3600 * 1000)

struct TpmList
{
	TpmSession *session;
	const TpmTable *table;
	TpmDecoder *decoder;
	TpmRequest *request;
	bool		reads_all;
	MemoryContext context;
	MemoryContext page_context;
	MemoryContext body_context;
	TpmPosition position;
	char	   *url;			/* of the next page, NULL when complete */
	TpmIdSet   *ids;			/* resources seen */
	TpmIdSet   *urls;			/* links followed */
	int64		distinct;
	int64		anonymous;		/* resources without an id */
	int			first_page_rows;
	int64		total;			/* the last one told, -1 none */
	int			pages;
	TpmPrefetch *ahead;			/* pages requested before their turn */
	bool		may_ask_ahead;
	bool		again;			/* a second reading, for what the first missed */
	bool		restarted;		/* begun again: known resources come first */
};

TpmList *
tpm_list_open(TpmSession *session, const TpmTable *table, TpmDecoder *decoder, TpmRequest *request,
			  bool reads_all)
{
	TpmList    *list = palloc0(sizeof(TpmList));

	list->session = session;
	list->table = table;
	list->decoder = decoder;
	list->request = request;
	list->reads_all = reads_all;
	list->total = -1;
	list->context = CurrentMemoryContext;
	list->page_context = AllocSetContextCreate(list->context, "tpm_fdw page", ALLOCSET_DEFAULT_SIZES);
	list->body_context = AllocSetContextCreate(list->context, "tpm_fdw call", ALLOCSET_SMALL_SIZES);
	list->ahead = tpm_prefetch_create(session);
	list->ids = tpm_idset_create(128);
	list->urls = tpm_idset_create(16);
	list->url = tpm_request_url(table, request, &list->position);
	return list;
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
	cursor->first_page_rows = list->first_page_rows;
	cursor->page_size = list->request->page_size;
	cursor->total = list->total;
	cursor->again = list->again;
	cursor->restarted = list->restarted;
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
	list->pages = Max(list->pages, cursor->position.page);
	list->first_page_rows = cursor->first_page_rows;
	list->request->page_size = cursor->page_size;
	list->total = cursor->total;
	list->again = cursor->again;
	list->restarted = cursor->restarted;
}

static uint64
hash_text(const char *text)
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

/* path and query of a link, on our own origin */
static char *
rebase(const char *origin, const char *url)
{
	const char *path = strstr(url, "://");

	path = path ? strchr(path + 3, '/') : NULL;
	return psprintf("%s%s", origin, path ? path : "/");
}

char *
tpm_link_resolve(const TpmServer *server, int links_origin, const char *current, const char *next,
				 const char **problem)
{
	char	   *url = tpm_url_resolve(current, tpm_url_of_link(next));

	if (url == NULL)
	{
		*problem = "It is no http or https address.";
		return NULL;
	}
	if (strcmp(tpm_url_origin(url), server->origin) == 0)
		return url;
	if (links_origin == TPM_LINKS_REBASE)
		return rebase(server->origin, url);
	*problem = psprintf("It leads to %s, and the token goes to %s only.", tpm_url_origin(url),
						server->origin);
	return NULL;
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

/* where pages are computed: is there another one? */
static bool
more_by_count(TpmList *list, TpmPage *page, int received)
{
	if (received == 0)
		return false;
	if (page->next != NULL)
		return true;
	if (page->next_known)
		return false;
	if (page->total >= 0)
		return list->position.rows < page->total;
	/* a server may give less than asked, but then on every page */
	return list->pages == 1 ? true : received >= list->first_page_rows;
}

static void
find_next(TpmList *list, TpmPage *page, int received)
{
	MemoryContext old = MemoryContextSwitchTo(list->context);
	char	   *current = list->url;

	list->url = NULL;
	list->position.page++;
	list->position.rows += received;
	if (page->is_list)
	{
		if (list->table->opt.pagination == TPM_PAGE_LINKS)
		{
			if (page->next)
				list->url = follow_link(list, current, page->next);
		}
		else if (more_by_count(list, page, received))
			list->url = tpm_request_url(list->table, list->request, &list->position);
	}
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
			continue;
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
	tpm_prefetch_drop(list->ahead);
	memset(&list->position, 0, sizeof(list->position));
	list->total = -1;
	list->urls = tpm_idset_create(16);
	list->url = tpm_request_url(list->table, list->request, &list->position);
	MemoryContextSwitchTo(old);
}

/* 413: the page was too large; numbers of smaller pages mean other rows */
static void
halve_page(TpmList *list, const TpmAnswer *answer, const char *name)
{
	if (list->request->page_size <= 1 || !list->table->opt.page_size_parameter[0] || list->anonymous > 0 || list->request->by_id)
		tpm_raise_status(list->session, name, answer);
	list->request->page_size /= 2;
	start_again(list);
}

/*
 * The list has ended.  Rows that moved forward past the cursor while it was
 * read have never been seen: the total tells, and a second reading finds them.
 */
static void
compare_with_total(TpmList *list)
{
	bool		one_page = list->pages == 1;

	if (list->url != NULL || list->total < 0 || list->anonymous > 0 || list->request->by_id ||
		list->distinct >= list->total)
		return;
	/* nothing moves within one answer: a second one would be as short */
	if (!list->again && !one_page)
	{
		list->again = true;
		start_again(list);
		return;
	}
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("foreign table %s: the API announced " INT64_FORMAT " rows, " INT64_FORMAT " were received",
					list->table->name, list->total, list->distinct),
			 one_page ? errdetail("Its answer names no further page.")
			 : errdetail("The list has changed while it was read."),
			 one_page && list->table->opt.pagination == TPM_PAGE_LINKS
			 ? errhint("If the API gives no links to further pages, set the option pagination to \"number\" or \"offset\".") : 0));
}

/* ----- how many pages there are ----- */

/* of this many rows, all with the same number on a page but the last */
static int64
pages_of(int64 rows, int a_page)
{
	return rows / a_page + (rows % a_page != 0);
}

static bool
is_whole_table(const TpmList *list)
{
	return list->request->terms == NIL && !list->request->by_id && !tpm_request_path_has_columns(list->table);
}

/* the size of the whole table, for plans and for those who come after */
static void
learn_size(const TpmList *list)
{
	if (!is_whole_table(list))
		return;
	if (list->total >= 0)
		tpm_table_stats_total(list->table->relid, list->table->options_hash, list->total,
							  list->first_page_rows);
	else if (list->url == NULL)
		tpm_table_stats_total(list->table->relid, list->table->options_hash, list->distinct + list->anonymous,
							  list->first_page_rows);
}

/* before the first request: somebody has read this list, or its total, not long ago */
static void
admit_all(TpmList *list)
{
	TpmTableStats learnt;

	if (!list->reads_all || list->position.page != 0 || list->restarted || !is_whole_table(list) ||
		!tpm_table_stats_get(list->table->relid, list->table->options_hash, &learnt) || learnt.total < 0 ||
		TimestampDifferenceExceeds(learnt.total_at, GetCurrentTimestamp(), TPM_SIZE_IS_KNOWN_MS))
		return;
	/* a server may give more than it was asked for */
	tpm_client_admit(list->session, pages_of(learnt.total, Max(learnt.a_page, list->request->page_size)));
}

static void
admit_the_rest(TpmList *list, TpmPage *page, int received)
{
	if (!list->reads_all || list->pages != 1 || page->total < 0 || received == 0 || list->url == NULL)
		return;
	if (list->may_ask_ahead && list->table->opt.pagination != TPM_PAGE_LINKS)
		list->session->lanes = list->table->opt.fetch_concurrency;
	tpm_client_admit(list->session, pages_of(page->total, received) - 1);
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
	int			wanted = 1 + pages_ahead(list);

	if (wanted == 1 || opt->pagination == TPM_PAGE_LINKS || list->total < 0 ||
		list->first_page_rows == 0)
		return;
	position.page += tpm_prefetch_count(list->ahead);
	position.rows += (int64) tpm_prefetch_count(list->ahead) * list->first_page_rows;
	while (tpm_prefetch_count(list->ahead) < wanted &&
		   (int64) position.page * list->first_page_rows < list->total)
	{
		tpm_prefetch_start(list->ahead, tpm_request_url(list->table, list->request, &position));
		position.page++;
		position.rows += list->first_page_rows;
	}
}

/* a link is known one page before it is needed */
static void
follow_ahead(TpmList *list)
{
	if (list->url != NULL && list->table->opt.pagination == TPM_PAGE_LINKS && pages_ahead(list) > 0 &&
		tpm_prefetch_count(list->ahead) == 0)
		tpm_prefetch_start(list->ahead, list->url);
}

/* ----- pages ----- */

static TpmPage *
fetch_page(TpmList *list)
{
	TpmAnswer  *answer;
	TpmPage    *page;
	char	   *name;
	MemoryContext old;

	MemoryContextReset(list->page_context);
	MemoryContextReset(list->body_context);
	old = MemoryContextSwitchTo(list->body_context);
	if (!tpm_idset_add(list->urls, hash_text(list->url)))
		raise_bad_link(list, "It was followed before: the list has no end.", NULL);
	name = tpm_call_name("GET", list->url);
	ask_ahead(list);
	answer = tpm_prefetch_take(list->ahead, list->url);
	if (answer == NULL)
		answer = tpm_client_get(list->session, list->url, TPM_CALL_READ);
	if (answer->status == 413)
	{
		halve_page(list, answer, name);
		MemoryContextSwitchTo(old);
		return NULL;
	}
	if (answer->status == 404 && list->request->by_id)
	{
		list->url = NULL;
		MemoryContextSwitchTo(old);
		return NULL;
	}
	if (answer->status < 200 || answer->status > 299)
		tpm_raise_status(list->session, name, answer);
	MemoryContextSwitchTo(list->page_context);
	page = tpm_document_read(list->decoder, answer->body, answer->len, answer->received, name);
	MemoryContextSwitchTo(old);
	MemoryContextReset(list->body_context);
	return page;
}

TpmPage *
tpm_list_next(TpmList *list)
{
	if (list->url != NULL)
		admit_all(list);
	while (list->url != NULL)
	{
		TpmPage    *page = fetch_page(list);
		int			received;

		if (page == NULL)
			continue;
		received = page->nrows;
		list->pages++;
		if (list->pages == 1)
			list->first_page_rows = received;
		/* one that has shrunk tells of rows that moved towards the beginning */
		list->total = Max(list->total, page->total);
		drop_repeated(list, page);
		find_next(list, page, received);
		learn_size(list);
		if (page->nrows == 0 && received > 0 && list->url != NULL && !list->restarted)
			raise_bad_link(list, "A page brought only resources that earlier pages had.", NULL);
		admit_the_rest(list, page, received);
		compare_with_total(list);
		follow_ahead(list);
		if (page->nrows > 0)
			return page;
	}
	return NULL;
}
