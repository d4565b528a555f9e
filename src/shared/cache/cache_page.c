/*-------------------------------------------------------------------------
 *
 * cache_page.c
 *		Pages of shared lists: reading them, and the claim on the next one.
 *
 * Owns how a page is claimed, appended and read; which list is read is the
 * caller's.
 *
 * A reader that needs a page that is not there claims that page; the others
 * wait for the claim, never for a session.  A claim whose holder has shown no
 * sign of life may be taken over.
 *
 * Locking: takes the cache's lock itself.  The rows of a page are read without
 * it: a page never changes once it is appended.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "shared/cache/cache_internal.h"

/* a claim whose holder has shown no sign of life may be taken over */
#define CLAIM_PATIENCE_US	INT64CONST(5000000)

/*
 * One on a page that was asked for ahead, sooner: its holder returns rows, or
 * reads another list, and may not come back to this one for long.
 */
#define RESTING_PATIENCE_US	INT64CONST(500000)

typedef struct CachedRow
{
	uint64		idhash;
	uint32		len;
	uint32		pad;
} CachedRow;

/* ----- claims ----- */

void
tpm_cache_end_claim(SharedList *list)
{
	list->claimer = 0;
	ConditionVariableBroadcast(&list->changed);
}

static bool
claim_is_free(const SharedList *list)
{
	int64		patience = list->resting ? RESTING_PATIENCE_US : CLAIM_PATIENCE_US;

	return list->claimer == 0 || tpm_monotonic_us() - list->seen_us > patience;
}

static bool
holds_claim(const TpmCached *cached)
{
	return cached->claim != 0 && cached->claim == cached->list->claim && cached->list->claimer != 0;
}

static void
take_claim(TpmCached *cached)
{
	SharedList *list = cached->list;

	if (!holds_claim(cached))
		cached->claim = ++list->claim;
	list->claimer = MyProcPid;
	list->resting = false;
	list->seen_us = tpm_monotonic_us();
}

/* ----- reading ----- */

/* takes the lock, once there is room for the text of the list's cursor: nothing is allocated under it */
static void
lock_with_room(TpmCached *cached)
{
	const SharedList *list = cached->list;
	Size		needed;

	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	while (DsaPointerIsValid(list->url) &&
		   (needed = strlen(dsa_get_address(tpm_cache_dsa, list->url)) + 1) > cached->url_room)
	{
		LWLockRelease(&tpm_cache->lock);
		cached->url = MemoryContextAlloc(GetMemoryChunkContext(cached), needed);
		cached->url_room = needed;
		LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	}
}

static void
copy_cursor(TpmCached *cached, TpmListCursor *cursor)
{
	const SharedList *list = cached->list;

	*cursor = list->cursor;
	cursor->url = NULL;
	if (DsaPointerIsValid(list->url))
	{
		strlcpy(cached->url, dsa_get_address(tpm_cache_dsa, list->url), cached->url_room);
		cursor->url = cached->url;
	}
}

TpmCacheVerdict
tpm_cache_next(TpmCached *cached, TpmCachedPage *page, TpmListCursor *cursor)
{
	SharedList *list = cached->list;
	dsa_pointer next;
	TpmCacheVerdict verdict;

	/* before the look, so that a broadcast in between is not lost */
	if (!list->complete)
		ConditionVariablePrepareToSleep(&list->changed);
	lock_with_room(cached);
	if (list->left)
		next = InvalidDsaPointer;	/* it may have to begin anew */
	else if (DsaPointerIsValid(cached->page))
		next = ((CachedPage *) dsa_get_address(tpm_cache_dsa, cached->page))->next;
	else
		next = list->first;
	if (DsaPointerIsValid(next))
	{
		CachedPage *header = dsa_get_address(tpm_cache_dsa, next);

		cached->page = next;
		page->rows = (char *) header + MAXALIGN(sizeof(CachedPage));
		page->nrows = header->nrows;
		page->members = header->members;
		page->at = 0;
		verdict = TPM_CACHE_PAGE;
	}
	else if (list->complete)
	{
		copy_cursor(cached, cursor);
		verdict = TPM_CACHE_END;
	}
	else if (list->closed)
	{
		copy_cursor(cached, cursor);
		verdict = TPM_CACHE_ALONE;
	}
	else if (holds_claim(cached) || claim_is_free(list))
	{
		copy_cursor(cached, cursor);
		take_claim(cached);
		verdict = list->left ? TPM_CACHE_LEFT : TPM_CACHE_CLAIMED;
	}
	else
		verdict = TPM_CACHE_WAIT;
	LWLockRelease(&tpm_cache->lock);
	if (verdict != TPM_CACHE_WAIT)
		ConditionVariableCancelSleep();
	return verdict;
}

static HeapTupleHeader
write_cached_row(char *to, HeapTuple tuple, uint64 idhash)
{
	CachedRow  *row = (CachedRow *) to;

	row->idhash = idhash;
	row->len = tuple->t_len;
	return memcpy(to + MAXALIGN(sizeof(CachedRow)), tuple->t_data, tuple->t_len);
}

HeapTupleHeader
tpm_cache_copy_row(HeapTuple tuple)
{
	return write_cached_row(palloc(MAXALIGN(sizeof(CachedRow)) + tuple->t_len), tuple, 0);
}

void
tpm_cache_row_at(HeapTupleHeader data, HeapTuple tuple, uint64 *idhash)
{
	CachedRow  *row = (CachedRow *) ((char *) data - MAXALIGN(sizeof(CachedRow)));

	tuple->t_len = row->len;
	tuple->t_data = data;
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = InvalidOid;
	*idhash = row->idhash;
}

bool
tpm_cache_row(TpmCachedPage *page, HeapTuple tuple, uint64 *idhash)
{
	if (page->nrows == 0)
		return false;
	tpm_cache_row_at((HeapTupleHeader) (page->rows + page->at + MAXALIGN(sizeof(CachedRow))), tuple, idhash);
	page->at += MAXALIGN(sizeof(CachedRow)) + MAXALIGN(tuple->t_len);
	page->nrows--;
	return true;
}

/* ----- appending ----- */

static dsa_pointer
copy_page(const TpmPage *page)
{
	Size		bytes = MAXALIGN(sizeof(CachedPage));
	dsa_pointer pointer;
	CachedPage *header;
	char	   *to;

	for (int i = 0; i < page->nrows; i++)
		bytes += MAXALIGN(sizeof(CachedRow)) + MAXALIGN(page->rows[i].tuple->t_len);
	pointer = tpm_cache_allocate(bytes);
	if (!DsaPointerIsValid(pointer))
		return pointer;
	header = dsa_get_address(tpm_cache_dsa, pointer);
	header->next = InvalidDsaPointer;
	header->nrows = page->nrows;
	header->bytes = bytes;
	header->members = page->members;
	to = (char *) header + MAXALIGN(sizeof(CachedPage));
	for (int i = 0; i < page->nrows; i++)
	{
		write_cached_row(to, page->rows[i].tuple, page->rows[i].idhash);
		to += MAXALIGN(sizeof(CachedRow)) + MAXALIGN(page->rows[i].tuple->t_len);
	}
	tpm_cache->bytes += bytes;
	return pointer;
}

static bool
append_page(SharedList *list, const TpmPage *page)
{
	dsa_pointer pointer;

	if (page == NULL || page->nrows == 0)
		return true;
	pointer = copy_page(page);
	if (!DsaPointerIsValid(pointer))
		return false;
	if (DsaPointerIsValid(list->last))
		((CachedPage *) dsa_get_address(tpm_cache_dsa, list->last))->next = pointer;
	else
		list->first = pointer;
	list->last = pointer;
	list->pages++;
	list->rows += page->nrows;
	list->bytes += ((CachedPage *) dsa_get_address(tpm_cache_dsa, pointer))->bytes;
	return true;
}

/* url: a copy of the cursor's */
static void
move_cursor(SharedList *list, const TpmListCursor *cursor, dsa_pointer url)
{
	if (DsaPointerIsValid(list->url))
		dsa_free(tpm_cache_dsa, list->url);
	list->url = url;
	list->cursor = *cursor;
	list->cursor.url = NULL;
	list->requests = cursor->position.page;
	if (cursor->url == NULL)
	{
		list->complete = true;
		list->completed_us = list->cursor.continued ? list->begun_us : tpm_monotonic_us();
		list->completed = GetCurrentTimestamp() - (tpm_monotonic_us() - list->completed_us);
		tpm_cache_used(list);
	}
}

/* false: the page, or where the list goes on behind it, does not fit; it still goes on before that page */
static bool
append_and_move(SharedList *list, const TpmPage *page, const TpmListCursor *cursor)
{
	dsa_pointer url = tpm_cache_copy_text(cursor->url);

	if (cursor->url && !DsaPointerIsValid(url))
		return false;
	if (append_page(list, page))
	{
		move_cursor(list, cursor, url);
		return true;
	}
	if (cursor->url)
		dsa_free(tpm_cache_dsa, url);
	return false;
}

/* keep: this reader has asked for the page behind it */
static void
rest_or_end_claim(TpmCached *cached, bool keep)
{
	SharedList *list = cached->list;

	if (keep)
	{
		list->seen_us = tpm_monotonic_us();
		list->resting = true;
		ConditionVariableBroadcast(&list->changed);
		return;
	}
	tpm_cache_end_claim(list);
	cached->claim = 0;
}

bool
tpm_cache_append(TpmCached *cached, TpmPage *page, const TpmListCursor *cursor, bool keep)
{
	SharedList *list = cached->list;
	bool		kept;

	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	if (list->claim != cached->claim || list->closed)
		kept = false;			/* taken over: the page is somebody else's to
								 * append */
	else
	{
		kept = append_and_move(list, page, cursor);
		if (kept)
		{
			if (DsaPointerIsValid(list->last) && page && page->nrows > 0)
				cached->page = list->last;
			tpm_cache_replace_older(list);
		}
		else
			tpm_cache_close_list(list);
		rest_or_end_claim(cached, keep && kept && !list->complete);
	}
	if (!kept)
		cached->claim = 0;
	LWLockRelease(&tpm_cache->lock);
	return kept;
}

void
tpm_cache_yield_claim(TpmCached *cached)
{
	SharedList *list = cached->list;

	if (cached->claim == 0)
		return;
	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	if (holds_claim(cached) && list->resting)
	{
		list->seen_us = tpm_monotonic_us() - RESTING_PATIENCE_US - 1;
		ConditionVariableBroadcast(&list->changed);
	}
	LWLockRelease(&tpm_cache->lock);
}

void
tpm_cache_give_back(TpmCached *cached)
{
	SharedList *list = cached->list;

	if (list == NULL || cached->claim == 0)
		return;
	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	if (list->claim == cached->claim)
		tpm_cache_end_claim(list);
	cached->claim = 0;
	LWLockRelease(&tpm_cache->lock);
}

/* ----- a list that was left ----- */

int
tpm_cache_pages_left_behind(const TpmCached *cached)
{
	return cached->list->left ? cached->list->pages : 0;
}

bool
tpm_cache_ends_with(const TpmCached *cached, TpmIdSet *ids, int n)
{
	const SharedList *list = cached->list;
	bool		same = false;

	LWLockAcquire(&tpm_cache->lock, LW_SHARED);
	if (holds_claim(cached))
	{
		const CachedPage *last = dsa_get_address(tpm_cache_dsa, list->last);
		TpmCachedPage page = {.rows = (char *) last + MAXALIGN(sizeof(CachedPage)),.nrows = last->nrows};
		HeapTupleData tuple;
		uint64		idhash;

		same = last->nrows == n;
		while (same && tpm_cache_row(&page, &tuple, &idhash))
			same = tpm_idset_has(ids, idhash);
	}
	LWLockRelease(&tpm_cache->lock);
	return same;
}

void
tpm_cache_go_on(TpmCached *cached, bool keep)
{
	SharedList *list = cached->list;

	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	if (holds_claim(cached))
	{
		list->left = false;
		list->cursor.continued = true;
		rest_or_end_claim(cached, keep);
	}
	LWLockRelease(&tpm_cache->lock);
}

void
tpm_cache_begin_anew(TpmCached *cached)
{
	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	if (holds_claim(cached))
	{
		tpm_cache_free_pages(cached->list);
		tpm_cache_begin(cached->list);
		rest_or_end_claim(cached, false);
	}
	LWLockRelease(&tpm_cache->lock);
}
