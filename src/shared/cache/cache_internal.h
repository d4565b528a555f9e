/*-------------------------------------------------------------------------
 *
 * cache_internal.h
 *		Shared lists, as the files of the cache see them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CACHE_INTERNAL_H
#define TPM_CACHE_INTERNAL_H

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "utils/dsa.h"

#include "shared/cache/cache.h"

#define MAX_LISTS		4096
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
	bool		answers_all;	/* conditions, too */
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
	bool		resting;		/* its page is asked for, its holder elsewhere */
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
extern void tpm_cache_unlink(dsa_pointer pointer);
extern bool tpm_cache_evict_one(void);

/* cache_list.c: all of it under the lock */
extern pg_atomic_uint64 *tpm_cache_write_counter(uint64 resource);

/* may it be read by who accepts this age? */
extern bool tpm_cache_is_usable(const SharedList *list, int64 seconds);
extern int64 tpm_cache_lifetime(const SharedList *list, const TpmCacheAge *age);
extern dsa_pointer tpm_cache_find(const TpmCacheKey *key, const TpmCacheAge *age, int seconds);
extern dsa_pointer tpm_cache_new_list(const TpmCacheKey *key, const TpmCacheAge *age);
extern void tpm_cache_replace_older(SharedList *list, dsa_pointer pointer);
extern void tpm_cache_close_list(SharedList *list);

/* cache_page.c */
extern void tpm_cache_end_claim(SharedList *list);
extern void tpm_cache_yield_claim(TpmCached *cached);

#endif							/* TPM_CACHE_INTERNAL_H */
