/*-------------------------------------------------------------------------
 *
 * cache_list.c
 *		The directory of shared lists: which list answers which key.
 *
 * Owns the slots of the directory, the ways to find one (by its key, by its
 * table, by its last use), and what makes a list fit to answer: its key, its
 * age, and that its resource was not written since its first request.
 *
 * Locking: all of it is called under the cache's lock, exclusive where
 * something changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "shared/budget/budget.h"
#include "shared/cache/cache_internal.h"

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
		strcmp(dsa_get_address(tpm_cache_dsa, list->conditions), key->conditions) == 0;
}

pg_atomic_uint64 *
tpm_cache_write_counter(uint64 resource)
{
	return &tpm_cache->writes[resource % WRITE_COUNTERS];
}

int64
tpm_cache_ttl_of(const TpmCacheAge *age, int64 requests)
{
	if (age->ttl != TPM_TTL_AUTO)
		return age->ttl;
	/* fetching it again must take at most a quarter of the hour */
	return tpm_hour / 12 + (age->per_hour > 0 ? requests * 4 * tpm_hour / age->per_hour : 0);
}

int64
tpm_cache_lifetime(const SharedList *list, const TpmCacheAge *age)
{
	return tpm_cache_ttl_of(age, list->requests);
}

/* may it be read by who accepts this age? */
static bool
is_usable(const SharedList *list, int64 seconds)
{
	int64		now = tpm_monotonic_us();

	if (list->closed || list->writes != pg_atomic_read_u64(tpm_cache_write_counter(list->resource)))
		return false;
	if (list->complete)
		return now - list->completed_us < seconds * INT64CONST(1000000);
	/* pages that an idle reader fetched long ago are not joined */
	return now - list->begun_us < Max(seconds, 1) * INT64CONST(1000000);
}

/* ----- the directory ----- */

void
tpm_cache_init_directory(CacheHeader *header)
{
	dlist_init(&header->free);
	dlist_init(&header->incomplete);
	dlist_init(&header->complete);
	for (int i = 0; i < BUCKETS; i++)
	{
		dlist_init(&header->keys[i]);
		dlist_init(&header->tables[i]);
	}
	for (int i = 0; i < MAX_LISTS; i++)
		dlist_push_tail(&header->free, &header->slots[i].by_key);
}

static dlist_head *
bucket_of_key(uint64 hash)
{
	return &tpm_cache->keys[hash % BUCKETS];
}

static dlist_head *
bucket_of_table(Oid relid)
{
	return &tpm_cache->tables[hash_combine(murmurhash32(relid), MyDatabaseId) % BUCKETS];
}

static dlist_head *
order_of_use(const SharedList *list)
{
	return list->complete ? &tpm_cache->complete : &tpm_cache->incomplete;
}

static void
enter_directory(SharedList *list, dsa_pointer pointer, uint64 hash)
{
	Slot	   *slot = dlist_container(Slot, by_key, dlist_pop_head_node(&tpm_cache->free));

	slot->hash = hash;
	slot->list = pointer;
	list->slot = slot - tpm_cache->slots;
	dlist_push_head(bucket_of_key(hash), &slot->by_key);
	dlist_push_tail(order_of_use(list), &slot->by_use);
}

static void
leave_directory(SharedList *list)
{
	Slot	   *slot = &tpm_cache->slots[list->slot];

	tpm_cache_set_whole(list, false);
	dlist_delete(&slot->by_key);
	dlist_delete(&slot->by_use);
	dlist_push_head(&tpm_cache->free, &slot->by_key);
	list->slot = -1;
}

/* it is read, or has become complete */
void
tpm_cache_used(SharedList *list)
{
	if (list->slot < 0)
		return;
	dlist_delete(&tpm_cache->slots[list->slot].by_use);
	dlist_push_tail(order_of_use(list), &tpm_cache->slots[list->slot].by_use);
}

void
tpm_cache_set_whole(SharedList *list, bool answers)
{
	Slot	   *slot = list->slot < 0 ? NULL : &tpm_cache->slots[list->slot];

	if (slot && answers && !list->answers_all)
		dlist_push_head(bucket_of_table(list->relid), &slot->by_table);
	else if (slot && !answers && list->answers_all)
		dlist_delete(&slot->by_table);
	list->answers_all = answers;
}

/* out of the directory; freed at once if nobody holds it */
void
tpm_cache_unlink(dsa_pointer pointer)
{
	SharedList *list = tpm_cache_list_at(pointer);

	if (list->slot >= 0)
		leave_directory(list);
	if (list->holders == 0)
		tpm_cache_free_list(pointer);
}

/* the first that nobody holds, of those that were used longest ago */
static bool
evict_from(dlist_head *order)
{
	dlist_iter	iter;

	dlist_foreach(iter, order)
	{
		dsa_pointer pointer = dlist_container(Slot, by_use, iter.cur)->list;

		if (tpm_cache_list_at(pointer)->holders > 0)
			continue;
		tpm_cache_unlink(pointer);
		return true;
	}
	return false;
}

/* what is no answer yet goes before what is one */
bool
tpm_cache_evict_one(void)
{
	return evict_from(&tpm_cache->incomplete) || evict_from(&tpm_cache->complete);
}

/*
 * One that is complete, or has come far, before one that somebody has begun
 * who accepts less.  age NULL: a complete list up to so many seconds old.
 */
dsa_pointer
tpm_cache_find(const TpmCacheKey *key, const TpmCacheAge *age, int seconds)
{
	uint64		hash = hash_of_key(key);
	dsa_pointer found = InvalidDsaPointer;
	dlist_iter	iter;

	dlist_foreach(iter, bucket_of_key(hash))
	{
		const Slot *slot = dlist_container(Slot, by_key, iter.cur);
		const SharedList *list = tpm_cache_list_at(slot->list);

		if (slot->hash != hash || !is_key_of(list, key) ||
			!is_usable(list, age ? tpm_cache_lifetime(list, age) : seconds))
			continue;
		if (list->complete)
			return slot->list;
		if (age && (!DsaPointerIsValid(found) || list->pages > tpm_cache_list_at(found)->pages))
			found = slot->list;
	}
	return found;
}

const SharedList *
tpm_cache_find_whole(Oid relid, Oid userid, uint64 options_hash, const TpmCacheAge *age)
{
	dlist_iter	iter;

	dlist_foreach(iter, bucket_of_table(relid))
	{
		const SharedList *list = tpm_cache_list_at(dlist_container(Slot, by_table, iter.cur)->list);

		if (list->relid == relid && list->dbid == MyDatabaseId && list->userid == userid &&
			list->options_hash == options_hash && list->complete &&
			is_usable(list, tpm_cache_lifetime(list, age)))
			return list;
	}
	return NULL;
}

/*
 * May whoever comes next go on with it?  A second reading, which passes over
 * what the first has brought, is gone with whoever read it.
 */
bool
tpm_cache_can_go_on(const SharedList *list)
{
	return list->pages > 0 && !list->cursor.restarted;
}

/* may nobody go on with it any more who accepts what the one that began it did? */
static bool
is_left_for_good(const SharedList *list)
{
	return list->left && !is_usable(list, tpm_cache_lifetime(list, &list->age));
}

/* those of the same key that were begun no later than this one, or NULL: that were left for good */
static void
drop_others(const TpmCacheKey *key, uint64 hash, const SharedList *newer)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, bucket_of_key(hash))
	{
		const Slot *slot = dlist_container(Slot, by_key, iter.cur);
		const SharedList *list = tpm_cache_list_at(slot->list);

		if (slot->hash == hash && list != newer && (newer ? list->begun_us <= newer->begun_us : is_left_for_good(list)) &&
			is_key_of(list, key))
			tpm_cache_unlink(slot->list);
	}
}

/* stale lists of the same key stay for cache_stale until they are replaced */
void
tpm_cache_replace_older(const SharedList *list)
{
	TpmCacheKey key = {
		.relid = list->relid,
		.options_hash = list->options_hash,
		.credential = list->credential,
		.conditions = dsa_get_address(tpm_cache_dsa, list->conditions),
		.resource = list->resource,
	};

	if (list->complete && list->slot >= 0)
		drop_others(&key, tpm_cache->slots[list->slot].hash, list);
}

/* nothing of it has been asked for */
void
tpm_cache_begin(SharedList *list)
{
	list->left = false;
	list->writes = pg_atomic_read_u64(tpm_cache_write_counter(list->resource));
	list->begun_us = tpm_monotonic_us();
	list->rows = list->bytes = 0;
	list->requests = list->pages = 0;
	list->first = list->last = list->url = InvalidDsaPointer;
	memset(&list->cursor, 0, sizeof(list->cursor));
	list->cursor.total = -1;
}

/* copying may evict, and nothing that is copied takes a slot */
static bool
has_free_slot(void)
{
	return !dlist_is_empty(&tpm_cache->free) || tpm_cache_evict_one();
}

dsa_pointer
tpm_cache_new_list(const TpmCacheKey *key, const TpmCacheAge *age)
{
	uint64		hash = hash_of_key(key);
	dsa_pointer pointer;
	SharedList *list;

	drop_others(key, hash, NULL);
	if (!has_free_slot())
		return InvalidDsaPointer;
	pointer = tpm_cache_allocate(sizeof(SharedList));
	if (!DsaPointerIsValid(pointer))
		return InvalidDsaPointer;
	list = tpm_cache_list_at(pointer);
	memset(list, 0, sizeof(SharedList));
	list->conditions = tpm_cache_copy_text(key->conditions);
	if (!DsaPointerIsValid(list->conditions))
	{
		dsa_free(tpm_cache_dsa, pointer);
		return InvalidDsaPointer;
	}
	tpm_cache->bytes += sizeof(SharedList);
	list->dbid = MyDatabaseId;
	list->relid = key->relid;
	list->serverid = key->serverid;
	list->userid = key->userid;
	list->options_hash = key->options_hash;
	list->credential = key->credential;
	list->resource = key->resource;
	list->age = *age;
	tpm_cache_begin(list);
	ConditionVariableInit(&list->changed);
	enter_directory(list, pointer, hash);
	return pointer;
}

/* what does not fit is not kept: its readers go on alone, from here */
void
tpm_cache_close_list(SharedList *list)
{
	list->closed = true;
	if (list->slot >= 0)
		leave_directory(list);
}
