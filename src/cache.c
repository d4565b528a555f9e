/*-------------------------------------------------------------------------
 *
 * cache.c
 *		Lists of decoded rows in shared memory.
 *
 * A list is a chain of pages and the place where it goes on.  It belongs to
 * nobody: a reader that needs a page that is not there claims that page, asks
 * for it, and appends it; the others wait for the claim, never for a session.
 *
 * Everything lives in one DSA area of fixed size in the main segment, which
 * never creates a DSM segment; what does not fit is not kept.
 *
 * Locking: one LWLock guards the directory and everything in a list but the
 * rows of its pages.  A page never changes once it is appended, and lives as
 * long as its list, which lives while somebody holds it; so rows are read
 * without a lock.  No lock is held while anything waits or is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/dsa.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cache.h"
#include "tpm_fdw.h"

#define MAX_LISTS		4096
#define WRITE_COUNTERS	4096

/* a claim whose holder has shown no sign of life may be taken over */
#define CLAIM_PATIENCE_US	INT64CONST(5000000)

/* smaller areas hold nothing worth keeping, and DSA needs some of it itself */
#define SMALLEST_AREA	((Size) 512 * 1024)

typedef struct CachedPage
{
	dsa_pointer next;
	int			nrows;
	Size		bytes;
} CachedPage;

typedef struct CachedRow
{
	uint64		idhash;
	uint32		len;
	uint32		pad;
} CachedRow;

typedef struct SharedList
{
	Oid			dbid;
	Oid			relid;
	Oid			serverid;
	Oid			userid;
	uint64		options_hash;
	uint64		credential;
	uint64		resource;
	dsa_pointer conditions;
	int			slot;			/* in the directory; -1 taken out of it */
	int			holders;
	bool		complete;
	bool		closed;			/* not kept: its readers go on alone */
	uint64		writes;			/* the resource's counter at the first request */
	TpmCacheAge age;			/* of who began it; for the view */
	int64		begun_us;
	int64		completed_us;
	TimestampTz completed;
	int64		used_us;
	int64		hits;
	int64		rows;
	int64		bytes;
	int			requests;
	dsa_pointer first;
	dsa_pointer last;
	int			pages;
	dsa_pointer url;			/* of the next page */
	TpmListCursor cursor;		/* its url is the one above */
	int			claimer;		/* pid, 0 none */
	uint64		claim;			/* number of the claim */
	int64		seen_us;		/* heartbeat of its holder */
	ConditionVariable changed;
} SharedList;

typedef struct Slot
{
	uint64		hash;
	dsa_pointer list;			/* InvalidDsaPointer: free */
} Slot;

typedef struct CacheHeader
{
	LWLock		lock;
	int64		bytes;
	Slot		slots[MAX_LISTS];
	pg_atomic_uint64 writes[WRITE_COUNTERS];
} CacheHeader;

struct TpmCached
{
	SharedList *list;
	dsa_pointer pointer;
	dsa_pointer page;			/* the one read last */
	uint64		claim;			/* 0: none held */
	MemoryContextCallback callback;
	struct TpmCached *next;
};

static CacheHeader *cache = NULL;
static void *area_place = NULL;
static dsa_area *area = NULL;
static TpmCached *holds = NULL; /* of this backend */

/* ----- the segment ----- */

static Size
area_size(void)
{
	Size		size = (Size) tpm_cache_size_kb * 1024;

	return size < SMALLEST_AREA ? 0 : size;
}

static Size
cache_shared_size(void)
{
	return add_size(MAXALIGN(sizeof(CacheHeader)), area_size());
}

static void
cache_init(void *place, int tranche, bool found)
{
	cache = place;
	area_place = area_size() > 0 ? (char *) place + MAXALIGN(sizeof(CacheHeader)) : NULL;
	if (found)
		return;
	LWLockInitialize(&cache->lock, tranche);
	cache->bytes = 0;
	for (int i = 0; i < MAX_LISTS; i++)
		cache->slots[i].list = InvalidDsaPointer;
	for (int i = 0; i < WRITE_COUNTERS; i++)
		pg_atomic_init_u64(&cache->writes[i], 0);
	if (area_place)
	{
		dsa_area   *created = dsa_create_in_place(area_place, area_size(), tranche, NULL);

		dsa_pin(created);
		dsa_set_size_limit(created, area_size());
		dsa_detach(created);
	}
}

const TpmSharedArea tpm_cache_area = {"tpm_fdw_cache", cache_shared_size, cache_init};

static void release_hold(TpmCached *cached);

static void
detach(int code, Datum arg)
{
	while (holds)
		release_hold(holds);
	if (area)
	{
		dsa_detach(area);
		dsa_release_in_place(area_place);
		area = NULL;
	}
}

static bool
attach(void)
{
	MemoryContext old;

	if (area)
		return true;
	if (cache == NULL || area_place == NULL)
		return false;
	old = MemoryContextSwitchTo(TopMemoryContext);
	area = dsa_attach_in_place(area_place, NULL);
	dsa_pin_mapping(area);
	MemoryContextSwitchTo(old);
	before_shmem_exit(detach, 0);
	return true;
}

/* ----- memory; all under the exclusive lock ----- */

static SharedList *
list_at(dsa_pointer pointer)
{
	return dsa_get_address(area, pointer);
}

static void
free_chunk(dsa_pointer pointer, Size bytes)
{
	if (!DsaPointerIsValid(pointer))
		return;
	dsa_free(area, pointer);
	cache->bytes -= bytes;
}

static void
free_list(dsa_pointer pointer)
{
	SharedList *list = list_at(pointer);
	dsa_pointer page = list->first;

	while (DsaPointerIsValid(page))
	{
		CachedPage *header = dsa_get_address(area, page);
		dsa_pointer next = header->next;

		free_chunk(page, header->bytes);
		page = next;
	}
	if (DsaPointerIsValid(list->conditions))
		dsa_free(area, list->conditions);
	if (DsaPointerIsValid(list->url))
		dsa_free(area, list->url);
	free_chunk(pointer, sizeof(SharedList));
}

/* out of the directory; freed at once if nobody holds it */
static void
unlink_list(dsa_pointer pointer)
{
	SharedList *list = list_at(pointer);

	if (list->slot >= 0)
		cache->slots[list->slot].list = InvalidDsaPointer;
	list->slot = -1;
	if (list->holders == 0)
		free_list(pointer);
}

/* the list used longest ago that nobody holds */
static bool
evict_one(void)
{
	int			victim = -1;
	int64		oldest = PG_INT64_MAX;

	for (int i = 0; i < MAX_LISTS; i++)
	{
		SharedList *list;

		if (!DsaPointerIsValid(cache->slots[i].list))
			continue;
		list = list_at(cache->slots[i].list);
		if (list->holders == 0 && list->used_us < oldest)
		{
			oldest = list->used_us;
			victim = i;
		}
	}
	if (victim < 0)
		return false;
	unlink_list(cache->slots[victim].list);
	return true;
}

static dsa_pointer
allocate(Size bytes)
{
	dsa_pointer pointer;

	/* a list must not push out everything only to find that it is too large */
	if (bytes > area_size() / 2)
		return InvalidDsaPointer;
	do
	{
		pointer = dsa_allocate_extended(area, bytes, DSA_ALLOC_NO_OOM);
	} while (!DsaPointerIsValid(pointer) && evict_one());
	return pointer;
}

static dsa_pointer
copy_text(const char *text)
{
	dsa_pointer pointer;

	if (text == NULL)
		return InvalidDsaPointer;
	pointer = allocate(strlen(text) + 1);
	if (DsaPointerIsValid(pointer))
		strcpy(dsa_get_address(area, pointer), text);
	return pointer;
}

/* ----- the directory ----- */

static uint64
hash_of_key(const TpmCacheKey *key)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) key->conditions,
										   strlen(key->conditions), key->credential);

	hash = hash_combine64(hash, key->options_hash);
	return hash_combine64(hash, ((uint64) MyDatabaseId << 32) | key->relid);
}

static bool
is_key_of(const SharedList *list, const TpmCacheKey *key)
{
	return list->dbid == MyDatabaseId && list->relid == key->relid &&
		list->options_hash == key->options_hash && list->credential == key->credential &&
		list->resource == key->resource &&
		strcmp(dsa_get_address(area, list->conditions), key->conditions) == 0;
}

static pg_atomic_uint64 *
write_counter(uint64 resource)
{
	return &cache->writes[resource % WRITE_COUNTERS];
}

/* seconds for which a complete list is fresh */
static int64
lifetime(const SharedList *list, const TpmCacheAge *age)
{
	if (age->ttl != TPM_TTL_AUTO)
		return age->ttl;
	/* fetching it again must take at most a quarter of the hour */
	return tpm_hour / 12 +
		(age->per_hour > 0 ? (int64) list->requests * 4 * tpm_hour / age->per_hour : 0);
}

static bool
is_usable(const SharedList *list, int64 seconds)
{
	int64		now = tpm_monotonic_us();

	if (list->closed || list->writes != pg_atomic_read_u64(write_counter(list->resource)))
		return false;
	if (list->complete)
		return now - list->completed_us < seconds * INT64CONST(1000000);
	/* pages that an idle reader fetched long ago are not joined */
	return now - list->begun_us < Max(seconds, 1) * INT64CONST(1000000);
}

/* age NULL: a complete list up to so many seconds old */
static dsa_pointer
find_list(const TpmCacheKey *key, const TpmCacheAge *age, int seconds)
{
	uint64		hash = hash_of_key(key);

	for (int i = 0; i < MAX_LISTS; i++)
	{
		SharedList *list;

		if (cache->slots[i].hash != hash || !DsaPointerIsValid(cache->slots[i].list))
			continue;
		list = list_at(cache->slots[i].list);
		if (is_key_of(list, key) && (age || list->complete) &&
			is_usable(list, age ? lifetime(list, age) : seconds))
			return cache->slots[i].list;
	}
	return InvalidDsaPointer;
}

static int
free_slot(void)
{
	for (int tries = 0; tries < 2; tries++)
	{
		for (int i = 0; i < MAX_LISTS; i++)
			if (!DsaPointerIsValid(cache->slots[i].list))
				return i;
		if (!evict_one())
			break;
	}
	return -1;
}

/* stale lists of the same key stay for cache_stale until they are replaced */
static void
drop_replaced(const TpmCacheKey *key, uint64 hash, dsa_pointer except)
{
	for (int i = 0; i < MAX_LISTS; i++)
	{
		dsa_pointer pointer = cache->slots[i].list;

		if (cache->slots[i].hash == hash && DsaPointerIsValid(pointer) && pointer != except &&
			is_key_of(list_at(pointer), key))
			unlink_list(pointer);
	}
}

static dsa_pointer
new_list(const TpmCacheKey *key, const TpmCacheAge *age)
{
	int			slot = free_slot();
	dsa_pointer pointer;
	SharedList *list;

	if (slot < 0)
		return InvalidDsaPointer;
	pointer = allocate(sizeof(SharedList));
	if (!DsaPointerIsValid(pointer))
		return InvalidDsaPointer;
	list = list_at(pointer);
	memset(list, 0, sizeof(SharedList));
	list->conditions = copy_text(key->conditions);
	if (!DsaPointerIsValid(list->conditions))
	{
		dsa_free(area, pointer);
		return InvalidDsaPointer;
	}
	cache->bytes += sizeof(SharedList);
	list->dbid = MyDatabaseId;
	list->relid = key->relid;
	list->serverid = key->serverid;
	list->userid = key->userid;
	list->options_hash = key->options_hash;
	list->credential = key->credential;
	list->resource = key->resource;
	list->writes = pg_atomic_read_u64(write_counter(key->resource));
	list->begun_us = list->used_us = tpm_monotonic_us();
	list->age = *age;
	list->cursor.total = -1;
	ConditionVariableInit(&list->changed);

	/* copying may have evicted, so that the slot is still free is not certain */
	slot = free_slot();
	list->slot = slot;
	cache->slots[slot].hash = hash_of_key(key);
	cache->slots[slot].list = pointer;
	return pointer;
}

/* ----- holds ----- */

static void
end_claim(SharedList *list)
{
	list->claimer = 0;
	ConditionVariableBroadcast(&list->changed);
}

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
		LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
		if (cached->claim != 0 && list->claim == cached->claim && list->claimer != 0)
			end_claim(list);
		list->holders--;
		/* a list that nobody goes on with is no answer */
		if (list->holders == 0 && (list->slot < 0 || !list->complete))
			unlink_list(cached->pointer);
		LWLockRelease(&cache->lock);
		cached->list = NULL;
		return;
	}
}

static void
release_callback(void *arg)
{
	release_hold(arg);
}

static TpmCached *
hold(dsa_pointer pointer)
{
	TpmCached  *cached = palloc0(sizeof(TpmCached));

	cached->list = list_at(pointer);
	cached->pointer = pointer;
	cached->list->holders++;
	cached->list->used_us = tpm_monotonic_us();
	if (cached->list->complete)
		cached->list->hits++;
	cached->next = holds;
	holds = cached;
	cached->callback.func = release_callback;
	cached->callback.arg = cached;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &cached->callback);
	return cached;
}

TpmCached *
tpm_cache_open(const TpmCacheKey *key, const TpmCacheAge *age, bool only_complete)
{
	dsa_pointer pointer;
	TpmCached  *cached = NULL;

	if (age->ttl == 0 || !attach())
		return NULL;
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	pointer = find_list(key, age, 0);
	if (only_complete && DsaPointerIsValid(pointer) && !list_at(pointer)->complete)
		pointer = InvalidDsaPointer;
	if (!DsaPointerIsValid(pointer) && !only_complete)
		pointer = new_list(key, age);
	if (DsaPointerIsValid(pointer))
		cached = hold(pointer);
	LWLockRelease(&cache->lock);
	return cached;
}

TpmCached *
tpm_cache_open_stale(const TpmCacheKey *key, int seconds)
{
	dsa_pointer pointer;
	TpmCached  *cached = NULL;

	if (!attach())
		return NULL;
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	pointer = find_list(key, NULL, seconds);
	if (DsaPointerIsValid(pointer))
		cached = hold(pointer);
	LWLockRelease(&cache->lock);
	return cached;
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

bool
tpm_cache_is_complete(const TpmCached *cached)
{
	return cached->list->complete;
}

TimestampTz
tpm_cache_fetched(const TpmCached *cached)
{
	return cached->list->completed;
}

int64
tpm_cache_rows(const TpmCached *cached)
{
	return cached->list->rows;
}

/* ----- pages ----- */

static void
copy_cursor(const SharedList *list, TpmListCursor *cursor)
{
	*cursor = list->cursor;
	cursor->url = DsaPointerIsValid(list->url) ? pstrdup(dsa_get_address(area, list->url)) : NULL;
}

static bool
claim_is_free(const SharedList *list)
{
	return list->claimer == 0 || tpm_monotonic_us() - list->seen_us > CLAIM_PATIENCE_US;
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

	list->claimer = MyProcPid;
	list->seen_us = tpm_monotonic_us();
	cached->claim = ++list->claim;
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
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	next = DsaPointerIsValid(cached->page)
		? ((CachedPage *) dsa_get_address(area, cached->page))->next : list->first;
	if (DsaPointerIsValid(next))
	{
		CachedPage *header = dsa_get_address(area, next);

		cached->page = next;
		page->rows = (char *) header + MAXALIGN(sizeof(CachedPage));
		page->nrows = header->nrows;
		page->at = 0;
		verdict = TPM_CACHE_PAGE;
	}
	else if (list->complete)
		verdict = TPM_CACHE_END;
	else if (list->closed)
	{
		copy_cursor(list, cursor);
		verdict = TPM_CACHE_ALONE;
	}
	else if (holds_claim(cached) || claim_is_free(list))
	{
		copy_cursor(list, cursor);
		if (!holds_claim(cached))
			take_claim(cached);
		verdict = TPM_CACHE_CLAIMED;
	}
	else
		verdict = TPM_CACHE_WAIT;
	LWLockRelease(&cache->lock);
	if (verdict != TPM_CACHE_WAIT)
		ConditionVariableCancelSleep();
	return verdict;
}

bool
tpm_cache_row(TpmCachedPage *page, HeapTuple tuple, uint64 *idhash)
{
	CachedRow  *row;

	if (page->nrows == 0)
		return false;
	row = (CachedRow *) (page->rows + page->at);
	tuple->t_len = row->len;
	tuple->t_data = (HeapTupleHeader) (page->rows + page->at + MAXALIGN(sizeof(CachedRow)));
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = InvalidOid;
	*idhash = row->idhash;
	page->at += MAXALIGN(sizeof(CachedRow)) + MAXALIGN(row->len);
	page->nrows--;
	return true;
}

static dsa_pointer
copy_page(const TpmPage *page)
{
	Size		bytes = MAXALIGN(sizeof(CachedPage));
	dsa_pointer pointer;
	CachedPage *header;
	char	   *to;

	for (int i = 0; i < page->nrows; i++)
		bytes += MAXALIGN(sizeof(CachedRow)) + MAXALIGN(page->rows[i].tuple->t_len);
	pointer = allocate(bytes);
	if (!DsaPointerIsValid(pointer))
		return pointer;
	header = dsa_get_address(area, pointer);
	header->next = InvalidDsaPointer;
	header->nrows = page->nrows;
	header->bytes = bytes;
	to = (char *) header + MAXALIGN(sizeof(CachedPage));
	for (int i = 0; i < page->nrows; i++)
	{
		HeapTuple	tuple = page->rows[i].tuple;
		CachedRow  *row = (CachedRow *) to;

		row->idhash = page->rows[i].idhash;
		row->len = tuple->t_len;
		memcpy(to + MAXALIGN(sizeof(CachedRow)), tuple->t_data, tuple->t_len);
		to += MAXALIGN(sizeof(CachedRow)) + MAXALIGN(tuple->t_len);
	}
	cache->bytes += bytes;
	return pointer;
}

/* what does not fit is not kept: its readers go on alone, from here */
static void
close_list(SharedList *list)
{
	list->closed = true;
	if (list->slot >= 0)
		cache->slots[list->slot].list = InvalidDsaPointer;
	list->slot = -1;
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
		((CachedPage *) dsa_get_address(area, list->last))->next = pointer;
	else
		list->first = pointer;
	list->last = pointer;
	list->pages++;
	list->rows += page->nrows;
	list->bytes += ((CachedPage *) dsa_get_address(area, pointer))->bytes;
	return true;
}

static void
move_cursor(SharedList *list, const TpmListCursor *cursor)
{
	if (DsaPointerIsValid(list->url))
		dsa_free(area, list->url);
	list->url = copy_text(cursor->url);
	list->cursor = *cursor;
	list->cursor.url = NULL;
	list->requests = cursor->position.page;
	if (cursor->url == NULL)
	{
		list->complete = true;
		list->completed_us = tpm_monotonic_us();
		list->completed = GetCurrentTimestamp();
	}
	else if (!DsaPointerIsValid(list->url))
		close_list(list);
}

static void
replace_older(SharedList *list, dsa_pointer pointer)
{
	TpmCacheKey key = {
		.relid = list->relid,
		.options_hash = list->options_hash,
		.credential = list->credential,
		.conditions = dsa_get_address(area, list->conditions),
		.resource = list->resource,
	};

	if (list->complete && list->slot >= 0)
		drop_replaced(&key, cache->slots[list->slot].hash, pointer);
}

bool
tpm_cache_append(TpmCached *cached, TpmPage *page, const TpmListCursor *cursor, bool keep)
{
	SharedList *list = cached->list;
	bool		kept;

	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	if (list->claim != cached->claim || list->closed)
		kept = false;			/* taken over: the page is somebody else's to
								 * append */
	else
	{
		kept = append_page(list, page);
		if (kept)
		{
			move_cursor(list, cursor);
			if (DsaPointerIsValid(list->last) && page && page->nrows > 0)
				cached->page = list->last;
			replace_older(list, cached->pointer);
		}
		else
			close_list(list);
		keep = keep && kept && !list->complete;
		if (keep)
		{
			list->seen_us = tpm_monotonic_us();
			ConditionVariableBroadcast(&list->changed);
		}
		else
			end_claim(list);
	}
	if (!kept || !keep)
		cached->claim = 0;
	LWLockRelease(&cache->lock);
	return kept;
}

void
tpm_cache_give_back(TpmCached *cached)
{
	SharedList *list = cached->list;

	if (list == NULL || cached->claim == 0)
		return;
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	if (list->claim == cached->claim)
		end_claim(list);
	cached->claim = 0;
	LWLockRelease(&cache->lock);
}

bool
tpm_cache_heartbeat(void)
{
	bool		any = false;

	for (TpmCached *cached = holds; cached; cached = cached->next)
	{
		if (cached->claim == 0)
			continue;
		any = true;
		LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
		if (cached->list->claim == cached->claim)
			cached->list->seen_us = tpm_monotonic_us();
		LWLockRelease(&cache->lock);
	}
	return any;
}

/* ----- writes and resets ----- */

uint64
tpm_cache_resource(const char *origin, const char *path)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) origin, strlen(origin), 0);

	return hash_bytes_extended((const unsigned char *) path, strlen(path), hash);
}

void
tpm_cache_written(uint64 resource)
{
	if (cache)
		pg_atomic_fetch_add_u64(write_counter(resource), 1);
}

int
tpm_cache_reset(Oid serverid)
{
	int			n = 0;

	if (!attach())
		return 0;
	LWLockAcquire(&cache->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_LISTS; i++)
	{
		dsa_pointer pointer = cache->slots[i].list;
		SharedList *list;

		if (!DsaPointerIsValid(pointer))
			continue;
		list = list_at(pointer);
		if (OidIsValid(serverid) && (list->serverid != serverid || list->dbid != MyDatabaseId))
			continue;
		unlink_list(pointer);
		n++;
	}
	LWLockRelease(&cache->lock);
	return n;
}

static TpmCacheInfo *
info_of(const SharedList *list)
{
	TpmCacheInfo *info = palloc0(sizeof(TpmCacheInfo));

	info->dbid = list->dbid;
	info->relid = list->relid;
	info->serverid = list->serverid;
	info->userid = list->userid;
	info->conditions = pstrdup(dsa_get_address(area, list->conditions));
	info->complete = list->complete;
	info->rows = list->rows;
	info->bytes = list->bytes;
	info->requests = list->requests;
	info->fetched = list->completed;
	if (list->complete)
		info->expires = list->completed + lifetime(list, &list->age) * USECS_PER_SEC;
	info->hits = list->hits;
	return info;
}

List *
tpm_cache_list(void)
{
	List	   *result = NIL;

	if (!attach())
		return NIL;
	LWLockAcquire(&cache->lock, LW_SHARED);
	for (int i = 0; i < MAX_LISTS; i++)
		if (DsaPointerIsValid(cache->slots[i].list))
			result = lappend(result, info_of(list_at(cache->slots[i].list)));
	LWLockRelease(&cache->lock);
	return result;
}
