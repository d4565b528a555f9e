/*-------------------------------------------------------------------------
 *
 * source.c
 *		The rows of one request, from the cache or from the API.
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

#include "scan.h"
#include "shared.h"
#include "transport.h"

struct TpmSource
{
	TpmScan    *scan;
	TpmRequest *request;
	TpmCached  *cached;			/* NULL: read alone */
	bool		complete;		/* the cached list needed no request */
	TpmList    *list;			/* NULL until a page must be fetched */
	TpmPage    *page;			/* of the list, being returned */
	int			row;
	TpmCachedPage shared;		/* page of the cache, being returned */
	bool		at_end;
};

static bool
uses_cache(const TpmScan *scan)
{
	return scan->cacheable && scan->age.ttl != 0;
}

static TpmCacheKey
key_of(const TpmScan *scan, const TpmRequest *request)
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

	return key;
}

/* a list that is there in full: of these conditions, or of none */
static TpmCached *
find_complete(TpmScan *scan, const TpmRequest *request)
{
	TpmCacheKey key = key_of(scan, request);
	TpmCached  *cached = tpm_cache_open(&key, &scan->age, true);

	if (cached || scan->ask->everything == NULL)
		return cached;
	key = key_of(scan, scan->ask->everything);
	return tpm_cache_open(&key, &scan->age, true);
}

static void
take_complete(TpmSource *source, TpmCached *cached)
{
	TpmScan    *scan = source->scan;

	source->cached = cached;
	source->complete = true;
	scan->cache_hits++;
	scan->hit_fetched = Max(scan->hit_fetched, tpm_cache_fetched(cached));
}

TpmSource *
tpm_source_open(TpmScan *scan, TpmRequest *request)
{
	TpmSource  *source = palloc0(sizeof(TpmSource));
	TpmCached  *cached;

	source->scan = scan;
	source->request = request;
	if (!uses_cache(scan))
		return source;
	cached = find_complete(scan, request);
	if (cached)
		take_complete(source, cached);
	else
	{
		TpmCacheKey key = key_of(scan, request);

		source->cached = tpm_cache_open(&key, &scan->age, false);
		if (source->cached == NULL)
			scan->not_kept = true;
	}
	return source;
}

TpmSource *
tpm_source_open_everything(TpmScan *scan)
{
	TpmSource  *source;
	TpmCacheKey key;
	TpmCached  *cached;

	if (!uses_cache(scan) || scan->ask->everything == NULL)
		return NULL;
	key = key_of(scan, scan->ask->everything);
	cached = tpm_cache_open(&key, &scan->age, true);
	if (cached == NULL)
		return NULL;
	source = palloc0(sizeof(TpmSource));
	source->scan = scan;
	source->request = scan->ask->everything;
	take_complete(source, cached);
	return source;
}

/* ----- from the API ----- */

static void
open_list(TpmSource *source)
{
	TpmScan    *scan = source->scan;
	MemoryContext old = MemoryContextSwitchTo(scan->ask_context);

	if (source->list == NULL)
		source->list = tpm_list_open(scan->session, scan->table, scan->decoder, source->request,
									 (scan->flags & TPM_PLAN_READS_ALL) != 0);
	MemoryContextSwitchTo(old);
}

static bool
fetch(TpmSource *source)
{
	source->page = tpm_list_next(source->list);
	source->row = 0;
	if (source->page)
		tpm_scan_received(source->scan, source->page);
	return source->page != NULL;
}

/* this reader has claimed the next page of a shared list */
static bool
fetch_claimed(TpmSource *source, const TpmListCursor *cursor)
{
	TpmListCursor after;
	bool		any;

	PG_TRY();
	{
		open_list(source);
		tpm_list_set_cursor(source->list, cursor);
		any = fetch(source);
	}
	PG_CATCH();
	{
		tpm_cache_give_back(source->cached);
		PG_RE_THROW();
	}
	PG_END_TRY();
	tpm_list_get_cursor(source->list, &after);
	if (!tpm_cache_append(source->cached, source->page, &after))
	{
		/* not kept, or taken over: the rows are good, and so is the way on */
		source->scan->not_kept = true;
		tpm_cache_close(source->cached);
		source->cached = NULL;
	}
	return any;
}

static void
wait_for_page(TpmSource *source)
{
	tpm_progress_waiting(source->scan->session->progress, "page");
	tpm_wait(TPM_WAIT_PAGE, tpm_monotonic_us() + INT64CONST(1000000));
	tpm_progress_waiting(source->scan->session->progress, NULL);
}

/* true if there is a page to return rows from */
static bool
next_page(TpmSource *source)
{
	TpmListCursor cursor;

	while (source->cached)
	{
		switch (tpm_cache_next(source->cached, &source->shared, &cursor))
		{
			case TPM_CACHE_PAGE:
				return true;
			case TPM_CACHE_END:
				return false;
			case TPM_CACHE_CLAIMED:
				return fetch_claimed(source, &cursor);
			case TPM_CACHE_WAIT:
				wait_for_page(source);
				break;
			case TPM_CACHE_ALONE:
				open_list(source);
				tpm_list_set_cursor(source->list, &cursor);
				source->scan->not_kept = true;
				tpm_cache_close(source->cached);
				source->cached = NULL;
				break;
		}
	}
	open_list(source);
	return fetch(source);
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
			return true;
		}
		if (source->cached && tpm_cache_row(&source->shared, tuple, idhash))
		{
			/* this reader may have to fetch the page after those of others */
			if (!source->complete)
			{
				open_list(source);
				tpm_list_remember(source->list, *idhash);
			}
			return true;
		}
		source->page = NULL;
		if (source->at_end || !next_page(source))
		{
			source->at_end = true;
			if (source->cached)
				tpm_cache_close(source->cached);
			source->cached = NULL;
			return false;
		}
	}
}
