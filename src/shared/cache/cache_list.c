/*-------------------------------------------------------------------------
 *
 * cache_list.c
 *		The directory of shared lists: which list answers which key.
 *
 * Owns the slots of the directory and what makes a list fit to answer: its
 * key, its age, and that its resource was not written since its first request.
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

bool
tpm_cache_is_usable(const SharedList *list, int64 seconds)
{
	int64		now = tpm_monotonic_us();

	if (list->closed || list->writes != pg_atomic_read_u64(tpm_cache_write_counter(list->resource)))
		return false;
	if (list->complete)
		return now - list->completed_us < seconds * INT64CONST(1000000);
	/* pages that an idle reader fetched long ago are not joined */
	return now - list->begun_us < Max(seconds, 1) * INT64CONST(1000000);
}

/* age NULL: a complete list up to so many seconds old */
dsa_pointer
tpm_cache_find(const TpmCacheKey *key, const TpmCacheAge *age, int seconds)
{
	uint64		hash = hash_of_key(key);

	for (int i = 0; i < MAX_LISTS; i++)
	{
		SharedList *list;

		if (tpm_cache->slots[i].hash != hash || !DsaPointerIsValid(tpm_cache->slots[i].list))
			continue;
		list = tpm_cache_list_at(tpm_cache->slots[i].list);
		if (is_key_of(list, key) && (age || list->complete) &&
			tpm_cache_is_usable(list, age ? tpm_cache_lifetime(list, age) : seconds))
			return tpm_cache->slots[i].list;
	}
	return InvalidDsaPointer;
}

static int
free_slot(void)
{
	for (int tries = 0; tries < 2; tries++)
	{
		for (int i = 0; i < MAX_LISTS; i++)
			if (!DsaPointerIsValid(tpm_cache->slots[i].list))
				return i;
		if (!tpm_cache_evict_one())
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
		dsa_pointer pointer = tpm_cache->slots[i].list;

		if (tpm_cache->slots[i].hash == hash && DsaPointerIsValid(pointer) && pointer != except &&
			is_key_of(tpm_cache_list_at(pointer), key))
			tpm_cache_unlink(pointer);
	}
}

void
tpm_cache_replace_older(SharedList *list, dsa_pointer pointer)
{
	TpmCacheKey key = {
		.relid = list->relid,
		.options_hash = list->options_hash,
		.credential = list->credential,
		.conditions = dsa_get_address(tpm_cache_dsa, list->conditions),
		.resource = list->resource,
	};

	if (list->complete && list->slot >= 0)
		drop_replaced(&key, tpm_cache->slots[list->slot].hash, pointer);
}

dsa_pointer
tpm_cache_new_list(const TpmCacheKey *key, const TpmCacheAge *age)
{
	int			slot = free_slot();
	dsa_pointer pointer;
	SharedList *list;

	if (slot < 0)
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
	list->writes = pg_atomic_read_u64(tpm_cache_write_counter(key->resource));
	list->begun_us = list->used_us = tpm_monotonic_us();
	list->age = *age;
	list->cursor.total = -1;
	ConditionVariableInit(&list->changed);

	/* copying may have evicted, so that the slot is still free is not certain */
	slot = free_slot();
	list->slot = slot;
	tpm_cache->slots[slot].hash = hash_of_key(key);
	tpm_cache->slots[slot].list = pointer;
	return pointer;
}

/* what does not fit is not kept: its readers go on alone, from here */
void
tpm_cache_close_list(SharedList *list)
{
	list->closed = true;
	if (list->slot >= 0)
		tpm_cache->slots[list->slot].list = InvalidDsaPointer;
	list->slot = -1;
}
