/*-------------------------------------------------------------------------
 *
 * cache.c
 *		Lists of decoded rows in shared memory.
 *
 * A list is a chain of pages and the place where it goes on.  It belongs to
 * nobody; this file owns a reader's hold on it, what a write does to lists, and
 * the view.  The pages are cache_page.c's, which list answers a key is
 * cache_list.c's, and where it all lies is cache_area.c's.
 *
 * Locking: one LWLock guards the directory and everything in a list but the
 * rows of its pages.  A page never changes once it is appended, and lives as
 * long as its list, which lives while somebody holds it; so rows are read
 * without a lock.  No lock is held while anything waits or is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "shared/cache/cache_internal.h"
#include "shared/shared.h"

static TpmCached *holds = NULL; /* of this backend */

/* ----- holds ----- */

static void
release_hold(TpmCached *cached)
{
	for (TpmCached **at = &holds; *at; at = &(*at)->next)
	{
		SharedList *list = cached->list;

		if (*at != cached)
			continue;
		*at = cached->next;
		ConditionVariableCancelSleep();
		LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
		if (cached->claim != 0 && list->claim == cached->claim && list->claimer != 0)
			tpm_cache_end_claim(list);
		list->holders--;
		if (list->holders == 0 && !list->complete)
			list->left = true;
		if (list->holders == 0 && (list->slot < 0 || (list->left && !tpm_cache_can_go_on(list))))
			tpm_cache_unlink(cached->pointer);
		LWLockRelease(&tpm_cache->lock);
		cached->list = NULL;
		return;
	}
}

/* this backend ends */
void
tpm_cache_release_all(void)
{
	while (holds)
		release_hold(holds);
}

static void
release_holds_callback(void *arg)
{
	release_hold(arg);
}

/* a hold for the list that the caller is going to find, since nothing is allocated under the lock */
static TpmCached *
prepare_hold(void)
{
	TpmCached  *cached = palloc0(sizeof(TpmCached));

	cached->callback.func = release_holds_callback;
	cached->callback.arg = cached;
	return cached;
}

/* under the lock */
static void
hold(TpmCached *cached, dsa_pointer pointer)
{
	cached->list = tpm_cache_list_at(pointer);
	cached->pointer = pointer;
	cached->list->holders++;
	tpm_cache_used(cached->list);
	if (cached->list->complete)
		cached->list->hits++;
	cached->next = holds;
	holds = cached;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &cached->callback);
}

/* NULL if none was found */
static TpmCached *
held(TpmCached *cached)
{
	if (cached->list)
		return cached;
	pfree(cached);
	return NULL;
}

/* one that may lack rows answers who asks for it, and no other question */
static bool
is_whole_answer(const SharedList *list)
{
	return list->complete && list->cursor.doubt == TPM_DOUBT_NONE;
}

TpmCached *
tpm_cache_open(const TpmCacheKey *key, const TpmCacheAge *age, bool only_complete)
{
	dsa_pointer pointer;
	TpmCached  *cached;

	if (age->ttl == 0 || !tpm_cache_attach())
		return NULL;
	cached = prepare_hold();
	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	pointer = tpm_cache_find(key, age, 0);
	if (only_complete && DsaPointerIsValid(pointer) && !is_whole_answer(tpm_cache_list_at(pointer)))
		pointer = InvalidDsaPointer;
	if (!DsaPointerIsValid(pointer) && !only_complete)
		pointer = tpm_cache_new_list(key, age);
	if (DsaPointerIsValid(pointer))
		hold(cached, pointer);
	LWLockRelease(&tpm_cache->lock);
	return held(cached);
}

bool
tpm_cache_has_whole(Oid relid, Oid userid, uint64 options_hash, const TpmCacheAge *age)
{
	bool		found;

	if (age->ttl == 0 || !tpm_cache_attach())
		return false;
	LWLockAcquire(&tpm_cache->lock, LW_SHARED);
	found = tpm_cache_find_whole(relid, userid, options_hash, age) != NULL;
	LWLockRelease(&tpm_cache->lock);
	return found;
}

bool
tpm_cache_peek(const TpmCacheKey *key, const TpmCacheAge *age, bool for_conditions, TimestampTz *fetched)
{
	dsa_pointer pointer;
	bool		found = false;

	if (!tpm_cache_attach())
		return false;
	LWLockAcquire(&tpm_cache->lock, LW_SHARED);
	pointer = tpm_cache_find(key, age, 0);
	if (DsaPointerIsValid(pointer))
	{
		const SharedList *list = tpm_cache_list_at(pointer);

		found = is_whole_answer(list) && (!for_conditions || list->answers_all);
		*fetched = list->completed;
	}
	LWLockRelease(&tpm_cache->lock);
	return found;
}

TpmCached *
tpm_cache_open_stale(const TpmCacheKey *key, int seconds)
{
	dsa_pointer pointer;
	TpmCached  *cached;

	if (!tpm_cache_attach())
		return NULL;
	cached = prepare_hold();
	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	pointer = tpm_cache_find(key, NULL, seconds);
	if (DsaPointerIsValid(pointer))
		hold(cached, pointer);
	LWLockRelease(&tpm_cache->lock);
	return held(cached);
}

void
tpm_cache_close(TpmCached *cached)
{
	release_hold(cached);
}

void
tpm_cache_rewind(TpmCached *cached)
{
	cached->page = InvalidDsaPointer;
}

void
tpm_cache_set_answers_all(TpmCached *cached, bool answers)
{
	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	tpm_cache_set_whole(cached->list, answers);
	LWLockRelease(&tpm_cache->lock);
}

bool
tpm_cache_answers_all(const TpmCached *cached)
{
	return cached->list->answers_all;
}

bool
tpm_cache_is_complete(const TpmCached *cached)
{
	return cached->list->complete;
}

int64
tpm_cache_rows(const TpmCached *cached)
{
	return cached->list->rows;
}

int64
tpm_cache_total(const TpmCached *cached)
{
	return cached->list->cursor.total;
}

TimestampTz
tpm_cache_fetched(const TpmCached *cached)
{
	return cached->list->completed;
}

bool
tpm_cache_heartbeat(void)
{
	bool		any = false;

	for (TpmCached *cached = holds; cached; cached = cached->next)
	{
		if (cached->claim == 0)
			continue;
		LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
		if (cached->list->claim == cached->claim && !cached->list->resting)
		{
			cached->list->seen_us = tpm_monotonic_us();
			any = true;
		}
		LWLockRelease(&tpm_cache->lock);
	}
	return any;
}

void
tpm_cache_yield(void)
{
	for (TpmCached *cached = holds; cached; cached = cached->next)
		tpm_cache_yield_claim(cached);
}

/* ----- writes and resets ----- */

void
tpm_cache_written(uint64 resource)
{
	if (tpm_cache)
		pg_atomic_fetch_add_u64(tpm_cache_write_counter(resource), 1);
}

/* how many of those in this order */
static int
reset_in(dlist_head *order, Oid serverid)
{
	int			n = 0;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, order)
	{
		dsa_pointer pointer = dlist_container(Slot, by_use, iter.cur)->list;
		const SharedList *list = tpm_cache_list_at(pointer);

		if (OidIsValid(serverid) && (list->serverid != serverid || list->dbid != MyDatabaseId))
			continue;
		tpm_cache_unlink(pointer);
		n++;
	}
	return n;
}

int
tpm_cache_reset(Oid serverid)
{
	int			n;

	if (!tpm_cache_attach())
		return 0;
	LWLockAcquire(&tpm_cache->lock, LW_EXCLUSIVE);
	n = reset_in(&tpm_cache->incomplete, serverid) + reset_in(&tpm_cache->complete, serverid);
	LWLockRelease(&tpm_cache->lock);
	return n;
}

/* ----- the view ----- */

/* what is shown, in memory that was taken before the lock */
typedef struct Shown
{
	TpmCacheInfo *infos;
	int			n;
	char	   *texts;
	Size		room;
	Size		needed;			/* by all texts */
} Shown;

static char *
show_text(Shown *shown, const char *text)
{
	Size		size = strlen(text) + 1;
	char	   *to = shown->texts + shown->needed;

	shown->needed += size;
	return shown->needed <= shown->room ? memcpy(to, text, size) : NULL;
}

static void
show_lists(Shown *shown, dlist_head *order)
{
	dlist_iter	iter;

	dlist_foreach(iter, order)
	{
		const SharedList *list = tpm_cache_list_at(dlist_container(Slot, by_use, iter.cur)->list);

		shown->infos[shown->n++] = (TpmCacheInfo)
		{
			.dbid = list->dbid,
				.relid = list->relid,
				.serverid = list->serverid,
				.userid = list->userid,
				.conditions = show_text(shown, dsa_get_address(tpm_cache_dsa, list->conditions)),
				.complete = list->complete,
				.rows = list->rows,
				.bytes = list->bytes,
				.requests = list->requests,
				.fetched = list->completed,
				.expires = list->complete
				? list->completed + tpm_cache_lifetime(list, &list->age) * USECS_PER_SEC : 0,
				.hits = list->hits,
		};
	}
}

List *
tpm_cache_list(void)
{
	List	   *result = NIL;
	Shown		shown = {.texts = NULL};

	if (!tpm_cache_attach())
		return NIL;
	shown.infos = palloc(sizeof(TpmCacheInfo) * MAX_LISTS);
	do
	{
		shown.room = shown.needed;
		shown.texts = palloc(shown.room);
		shown.needed = shown.n = 0;
		LWLockAcquire(&tpm_cache->lock, LW_SHARED);
		show_lists(&shown, &tpm_cache->incomplete);
		show_lists(&shown, &tpm_cache->complete);
		LWLockRelease(&tpm_cache->lock);
	} while (shown.needed > shown.room);
	for (int i = 0; i < shown.n; i++)
		result = lappend(result, &shown.infos[i]);
	return result;
}
