/*-------------------------------------------------------------------------
 *
 * cache.h
 *		Complete lists of decoded rows, shared by the cluster.
 *
 * Nothing here waits: a reader that is told to wait does so elsewhere, for
 * its latch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CACHE_H
#define TPM_CACHE_H

#include "access/htup.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#include "base/idset.h"
#include "base/page.h"
#include "shared/shared.h"

/* a setting; its meaning and range are in tpm_fdw.c */
extern int	tpm_cache_size_kb;	/* kB */

/* less than this, which any load leaves able to keep a list, is no cache; 0 is none */
#define TPM_LEAST_CACHE_KB	1024

extern const TpmSharedArea tpm_cache_area;

/* which list: two keys are the same list only if all of it is equal */
typedef struct TpmCacheKey
{
	Oid			relid;
	Oid			serverid;
	Oid			userid;			/* role whose mapping was used; for the view */
	uint64		options_hash;	/* of table, columns and row type */
	uint64		credential;		/* keyed hash */
	const char *conditions;		/* as tpm_request_conditions() spells them */
	uint64		resource;		/* hash of origin and resource path */
} TpmCacheKey;

/* cache_ttl 'auto': the age follows what the answer cost */
#define TPM_TTL_AUTO	(-1)

/* how old an answer may be */
typedef struct TpmCacheAge
{
	int			ttl;			/* seconds, or TPM_TTL_AUTO */
	int			per_hour;		/* the hourly limit, for 'auto' */
} TpmCacheAge;

/* seconds for which a list that took so many requests is fresh */
extern int64 tpm_cache_ttl_of(const TpmCacheAge *age, int64 requests);

/* is there room for a list of this size, if others go? */
extern bool tpm_cache_would_keep(int64 bytes);

/* a reader's hold on a shared list */
typedef struct TpmCached TpmCached;

/*
 * A list for the key: complete and young enough, or under construction, or a
 * new one.  NULL when nothing can be kept.  With only_complete, NULL instead
 * of one that would have to be fetched, or may lack rows.  The hold lives in the current memory
 * context, whose reset gives it up.
 */
extern TpmCached *tpm_cache_open(const TpmCacheKey *key, const TpmCacheAge *age, bool only_complete);

/* for prices: is the whole list of a table kept now, and young enough, for this role under some credential? */
extern bool tpm_cache_has_whole(Oid relid, Oid userid, uint64 options_hash, const TpmCacheAge *age);

/*
 * Would tpm_cache_open() find a complete list for the key now?  Nothing is held
 * or counted.  for_conditions: and one that answers these, too.
 */
extern bool tpm_cache_peek(const TpmCacheKey *key, const TpmCacheAge *age, bool for_conditions,
						   TimestampTz *fetched);

/* a complete answer, fresh or not, that is up to so many seconds old; NULL if none */
extern TpmCached *tpm_cache_open_stale(const TpmCacheKey *key, int seconds);

extern void tpm_cache_close(TpmCached *cached);

/* the reader begins again with the first page */
extern void tpm_cache_rewind(TpmCached *cached);

typedef enum TpmCacheVerdict
{
	TPM_CACHE_PAGE,				/* the page is there */
	TPM_CACHE_END,				/* the list is complete, there are no more */
	TPM_CACHE_CLAIMED,			/* this reader fetches it: append or give back */
	TPM_CACHE_LEFT,				/* the same, once it is known how a list goes
								 * on that nobody reads any more */
	TPM_CACHE_WAIT,				/* another backend fetches it */
	TPM_CACHE_ALONE				/* the list is not kept: go on from the cursor */
} TpmCacheVerdict;

/* a page in shared memory; read with tpm_cache_row() */
typedef struct TpmCachedPage
{
	char	   *rows;
	int			nrows;
	Size		at;				/* offset of the next row */
	TpmPageMembers members;		/* as of a page of the API */
} TpmCachedPage;

/*
 * The reader's next page.  With WAIT this backend's latch is set when the
 * claim ends.  With CLAIMED, LEFT and ALONE *cursor says where the list goes on,
 * with END how it ended; its text is valid until the next call.
 */
extern TpmCacheVerdict tpm_cache_next(TpmCached *cached, TpmCachedPage *page, TpmListCursor *cursor);

/* the next row of a page; the tuple points into shared memory */
extern bool tpm_cache_row(TpmCachedPage *page, HeapTuple tuple, uint64 *idhash);

/* the row whose tuple, as it was given, points there; it does as long as the list is held */
extern void tpm_cache_row_at(HeapTupleHeader data, HeapTuple tuple, uint64 *idhash);

/* a copy of the caller's, as if the cache had it, in the current memory context */
extern HeapTupleHeader tpm_cache_copy_row(HeapTuple tuple);

/*
 * Ends a claim: the page (NULL: none was left) and the cursor behind it.
 * False: the list is no longer kept; the rows are the caller's all the same.
 * keep: this reader has asked for the page behind it already, so it has the
 * claim on that one.
 */
extern bool tpm_cache_append(TpmCached *cached, TpmPage *page, const TpmListCursor *cursor,
							 bool keep);
extern void tpm_cache_give_back(TpmCached *cached);

/*
 * A claim on a list that was left ends: it goes on as it stands (keep: as
 * above), or it begins anew.  Nobody has seen a page of it since.
 */
extern void tpm_cache_go_on(TpmCached *cached, bool keep);
extern void tpm_cache_begin_anew(TpmCached *cached);

/* pages of a list that was left; 0: it was not */
extern int	tpm_cache_pages_left_behind(const TpmCached *cached);

/* is its last page of just these n resources? */
extern bool tpm_cache_ends_with(const TpmCached *cached, TpmIdSet *ids, int n);

/* the holder of a claim is alive; true if this backend is fetching a page that it has claimed */
extern bool tpm_cache_heartbeat(void);

/*
 * Before a wait for another's page: whoever needs a page that this backend
 * has only asked for ahead may take it over, so that no two wait for each
 * other.
 */
extern void tpm_cache_yield(void);

/*
 * Does a complete list without conditions answer conditions, too?  Not before
 * whoever completed it has said so, and not after a resource has turned up
 * that it lacks.
 */
extern void tpm_cache_set_answers_all(TpmCached *cached, bool answers);
extern bool tpm_cache_answers_all(const TpmCached *cached);

extern bool tpm_cache_is_complete(const TpmCached *cached);

/* of a complete list */
extern int64 tpm_cache_rows(const TpmCached *cached);
extern int64 tpm_cache_total(const TpmCached *cached);	/* as the API told, -1:
														 * it did not */
extern TimestampTz tpm_cache_fetched(const TpmCached *cached);

/*
 * A resource (the address of its tables) is about to be written, or has been:
 * lists read before or in between are never served again.
 */
extern void tpm_cache_written(uint64 resource);

/* InvalidOid: all */
extern int	tpm_cache_reset(Oid serverid);

/* one row of the view */
typedef struct TpmCacheInfo
{
	Oid			dbid;
	Oid			relid;
	Oid			serverid;
	Oid			userid;
	char	   *conditions;
	bool		complete;
	int64		rows;
	int64		bytes;
	int			requests;
	TimestampTz fetched;
	TimestampTz expires;
	int64		hits;
} TpmCacheInfo;

/* of TpmCacheInfo * */
extern List *tpm_cache_list(void);

#endif							/* TPM_CACHE_H */
