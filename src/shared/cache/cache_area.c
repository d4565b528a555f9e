/*-------------------------------------------------------------------------
 *
 * cache_area.c
 *		The cache's memory: one DSA area in the main segment.
 *
 * Owns the segment, this backend's attachment to it, and the giving out of
 * memory: when there is none, the list used longest ago goes.  The area has a
 * fixed size and never creates a DSM segment.
 *
 * Locking: memory is taken and given back under the cache's exclusive lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/ipc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "shared/cache/cache_internal.h"

int			tpm_cache_size_kb = 256 * 1024;

/*
 * DSA keeps 64 kB for each of its 35 sizes of small chunks once one of that
 * size was taken, until a restart.  An area that these would fill up is given
 * out in three of them.
 */
#define SMALL_AREA		((Size) 16 * 1024 * 1024)

CacheHeader *tpm_cache = NULL;
dsa_area   *tpm_cache_dsa = NULL;
static void *area_place = NULL;

/* ----- the segment ----- */

static Size
area_size(void)
{
	return (Size) tpm_cache_size_kb * 1024;
}

bool
tpm_cache_would_keep(int64 bytes)
{
	/* the area itself takes some, and so do lists that are being read */
	return bytes < (int64) (area_size() / 4 * 3);
}

static Size
cache_shared_size(void)
{
	return add_size(MAXALIGN(sizeof(CacheHeader)), area_size());
}

static void
cache_init(void *place, int tranche, bool found)
{
	tpm_cache = place;
	area_place = area_size() > 0 ? (char *) place + MAXALIGN(sizeof(CacheHeader)) : NULL;
	if (found)
		return;
	LWLockInitialize(&tpm_cache->lock, tranche);
	tpm_cache->bytes = 0;
	tpm_cache_init_directory(tpm_cache);
	for (int i = 0; i < WRITE_COUNTERS; i++)
		pg_atomic_init_u64(&tpm_cache->writes[i], 0);
	if (area_place)
	{
		dsa_area   *created = dsa_create_in_place(area_place, area_size(), tranche, NULL);

		dsa_pin(created);
		dsa_set_size_limit(created, area_size());
		dsa_detach(created);
	}
}

const TpmSharedArea tpm_cache_area = {"tpm_fdw_cache", cache_shared_size, cache_init};

static void
detach(int code, Datum arg)
{
	tpm_cache_release_all();
	if (tpm_cache_dsa)
	{
		dsa_detach(tpm_cache_dsa);
		dsa_release_in_place(area_place);
		tpm_cache_dsa = NULL;
	}
}

bool
tpm_cache_attach(void)
{
	MemoryContext old;

	if (tpm_cache_dsa)
		return true;
	if (tpm_cache == NULL || area_place == NULL)
		return false;
	old = MemoryContextSwitchTo(TopMemoryContext);
	tpm_cache_dsa = dsa_attach_in_place(area_place, NULL);
	dsa_pin_mapping(tpm_cache_dsa);
	MemoryContextSwitchTo(old);
	before_shmem_exit(detach, 0);
	return true;
}

/* ----- memory; all under the exclusive lock ----- */

SharedList *
tpm_cache_list_at(dsa_pointer pointer)
{
	return dsa_get_address(tpm_cache_dsa, pointer);
}

static void
free_chunk(dsa_pointer pointer, Size bytes)
{
	if (!DsaPointerIsValid(pointer))
		return;
	dsa_free(tpm_cache_dsa, pointer);
	tpm_cache->bytes -= bytes;
}

/* and where they go on */
void
tpm_cache_free_pages(SharedList *list)
{
	dsa_pointer page = list->first;

	while (DsaPointerIsValid(page))
	{
		CachedPage *header = dsa_get_address(tpm_cache_dsa, page);
		dsa_pointer next = header->next;

		free_chunk(page, header->bytes);
		page = next;
	}
	if (DsaPointerIsValid(list->url))
		dsa_free(tpm_cache_dsa, list->url);
}

void
tpm_cache_free_list(dsa_pointer pointer)
{
	SharedList *list = tpm_cache_list_at(pointer);

	tpm_cache_free_pages(list);
	if (DsaPointerIsValid(list->conditions))
		dsa_free(tpm_cache_dsa, list->conditions);
	free_chunk(pointer, sizeof(SharedList));
}

static Size
chunk_of(Size bytes)
{
	static const Size chunks[] = {512, 2048, 8192};

	for (int i = 0; i < (int) lengthof(chunks) && area_size() < SMALL_AREA; i++)
	{
		if (bytes <= chunks[i])
			return chunks[i];
	}
	return bytes;
}

dsa_pointer
tpm_cache_allocate(Size bytes)
{
	dsa_pointer pointer;

	/* a list must not push out everything only to find that it is too large */
	if (bytes > area_size() / 2)
		return InvalidDsaPointer;
	do
	{
		pointer = dsa_allocate_extended(tpm_cache_dsa, chunk_of(bytes), DSA_ALLOC_NO_OOM);
	} while (!DsaPointerIsValid(pointer) && tpm_cache_evict_one());
	return pointer;
}

dsa_pointer
tpm_cache_copy_text(const char *text)
{
	dsa_pointer pointer;
	Size		size;

	if (text == NULL)
		return InvalidDsaPointer;
	size = strlen(text) + 1;
	pointer = tpm_cache_allocate(size);
	if (DsaPointerIsValid(pointer))
		memcpy(dsa_get_address(tpm_cache_dsa, pointer), text, size);
	return pointer;
}
