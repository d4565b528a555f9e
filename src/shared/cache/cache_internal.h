/*-------------------------------------------------------------------------
 *
 * cache_internal.h
 *		Shared lists, as the files of the cache see them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CACHE_INTERNAL_H
#define TPM_CACHE_INTERNAL_H

#include "lib/ilist.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "utils/dsa.h"

#include "shared/cache/cache.h"

#define MAX_LISTS		4096
#define BUCKETS			4096
#define WRITE_COUNTERS	4096

typedef struct CachedPage
{
	dsa_pointer next;
	int			nrows;
	Size		bytes;
	TpmPageMembers members;
} CachedPage;

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
	bool		left;			/* nobody reads it: whoever goes on makes sure
								 * that it still stands */
	bool		answers_all;	/* conditions, too */
	uint64		writes;			/* the resource's counter at the first request */
	TpmCacheAge age;			/* of who began it; for the view */
	int64		begun_us;
	int64		completed_us;
	TimestampTz completed;
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
	bool		resting;		/* its page is asked for, its holder elsewhere */
	ConditionVariable changed;
} SharedList;

/* an entry of the directory */
typedef struct Slot
{
	uint64		hash;			/* of the key */
	dsa_pointer list;
	dlist_node	by_key;			/* in its bucket; or among the free slots */
	dlist_node	by_table;		/* in its bucket, while it answers conditions,
								 * too */
	dlist_node	by_use;			/* the one used longest ago first */
} Slot;

typedef struct CacheHeader
{
	LWLock		lock;
	int64		bytes;
	Slot		slots[MAX_LISTS];
	dlist_head	free;
	dlist_head	keys[BUCKETS];
	dlist_head	tables[BUCKETS];
	dlist_head	incomplete;		/* by use */
	dlist_head	complete;
	pg_atomic_uint64 writes[WRITE_COUNTERS];
} CacheHeader;

struct TpmCached
{
	SharedList *list;
	dsa_pointer pointer;
	dsa_pointer page;			/* the one read last */
	uint64		claim;			/* 0: none held */
	char	   *url;			/* room for a cursor's */
	Size		url_room;
	MemoryContextCallback callback;
	struct TpmCached *next;
};

/* in the segment; NULL without one */
extern CacheHeader *tpm_cache;
extern dsa_area *tpm_cache_dsa;

/* cache.c */
extern void tpm_cache_release_all(void);

/* cache_area.c: the memory is used under the exclusive lock */
extern bool tpm_cache_attach(void);
extern SharedList *tpm_cache_list_at(dsa_pointer pointer);
extern dsa_pointer tpm_cache_allocate(Size bytes);
extern dsa_pointer tpm_cache_copy_text(const char *text);
extern void tpm_cache_free_pages(SharedList *list);
extern void tpm_cache_free_list(dsa_pointer pointer);

/* cache_list.c: all of it under the lock */
extern bool tpm_cache_can_go_on(const SharedList *list);
extern void tpm_cache_begin(SharedList *list);
extern void tpm_cache_init_directory(CacheHeader *header);
extern pg_atomic_uint64 *tpm_cache_write_counter(uint64 resource);
extern int64 tpm_cache_lifetime(const SharedList *list, const TpmCacheAge *age);
extern dsa_pointer tpm_cache_find(const TpmCacheKey *key, const TpmCacheAge *age, int seconds);
extern dsa_pointer tpm_cache_new_list(const TpmCacheKey *key, const TpmCacheAge *age);
extern const SharedList *tpm_cache_find_whole(Oid relid, Oid userid, uint64 options_hash, const TpmCacheAge *age);
extern void tpm_cache_used(SharedList *list);
extern void tpm_cache_set_whole(SharedList *list, bool answers);
extern void tpm_cache_replace_older(const SharedList *list);
extern void tpm_cache_close_list(SharedList *list);
extern void tpm_cache_unlink(dsa_pointer pointer);
extern bool tpm_cache_evict_one(void);

/* cache_page.c */
extern void tpm_cache_end_claim(SharedList *list);
extern void tpm_cache_yield_claim(TpmCached *cached);

#endif							/* TPM_CACHE_INTERNAL_H */
