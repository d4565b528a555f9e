/*-------------------------------------------------------------------------
 *
 * shared.c
 *		The segment in shared memory: its size, its parts, its key, the switch.
 *
 * Owns the segment as a whole.  Its parts are named in tpm_fdw.c.  What one holds,
 * and the locks in it, belong to the module that declares it (budget.c,
 * token.c, counters.c ...).  This file takes no lock but AddinShmemInitLock,
 * at start; the key never changes afterwards and is read without one, and so
 * is the switch tpm_fdw.enabled, which only the postmaster sets.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shared/shared.h"

int			tpm_enabled = TPM_ENABLED_ON;

typedef struct TpmSharedHeader
{
	uint64		key[2];			/* of tpm_keyed_hash */
	pg_atomic_uint32 enabled;	/* TpmEnabled, as the postmaster has read it
								 * last */
} TpmSharedHeader;

/* ends with NULL */
static const TpmSharedArea *const *areas = NULL;

static TpmSharedHeader *header = NULL;
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static Size
shared_size(void)
{
	Size		size = CACHELINEALIGN(sizeof(TpmSharedHeader));

	for (int i = 0; areas[i] != NULL; i++)
		size = add_size(size, CACHELINEALIGN(areas[i]->size()));
	return size;
}

static void
shared_request(void)
{
	if (previous_request_hook)
		previous_request_hook();

	RequestAddinShmemSpace(shared_size());

	/*
	 * the one lock of each request is not used: it is how a tranche gets a
	 * name and an id that every process knows, in all versions
	 */
	for (int i = 0; areas[i] != NULL; i++)
		RequestNamedLWLockTranche(areas[i]->tranche, 1);
}

static void
shared_startup(void)
{
	bool		found;
	char	   *part;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	header = ShmemInitStruct("tpm_fdw", shared_size(), &found);
	if (!found && !pg_strong_random(header->key, sizeof(header->key)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random key")));
	if (!found)
		pg_atomic_init_u32(&header->enabled, tpm_enabled);

	part = (char *) header + CACHELINEALIGN(sizeof(TpmSharedHeader));
	for (int i = 0; areas[i] != NULL; i++)
	{
		int			tranche = GetNamedLWLockTranche(areas[i]->tranche)->lock.tranche;

		areas[i]->init(part, tranche, found);
		part += CACHELINEALIGN(areas[i]->size());
	}
	LWLockRelease(AddinShmemInitLock);
}

void
tpm_shared_install_hooks(const TpmSharedArea *const *all)
{
	areas = all;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = shared_request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shared_startup;
}

bool
tpm_shared_available(void)
{
	return header != NULL;
}

void
tpm_shared_require(void)
{
	if (header == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tpm_fdw must be loaded when the server starts"),
				 errdetail("Requests share one budget and their tokens across all sessions; that needs shared memory, which is allotted at start."),
				 errhint("Add the line shared_preload_libraries = 'tpm_fdw' to postgresql.conf and restart the server.")));
}

/*
 * A backend reads the configuration between statements only.  A switch for an
 * incident must reach those that are at work or wait in the line, so it is the
 * postmaster's reading that counts.
 */
void
tpm_shared_set_enabled(int enabled)
{
	if (header != NULL && !IsUnderPostmaster)
		pg_atomic_write_u32(&header->enabled, enabled);
}

int
tpm_enabled_now(void)
{
	return header != NULL ? (int) pg_atomic_read_u32(&header->enabled) : tpm_enabled;
}

static inline uint64
rotate_left(uint64 word, int n)
{
	return (word << n) | (word >> (64 - n));
}

#define SIP_ROUND(v) \
	do { \
		v[0] += v[1]; v[1] = rotate_left(v[1], 13); v[1] ^= v[0]; \
		v[0] = rotate_left(v[0], 32); \
		v[2] += v[3]; v[3] = rotate_left(v[3], 16); v[3] ^= v[2]; \
		v[0] += v[3]; v[3] = rotate_left(v[3], 21); v[3] ^= v[0]; \
		v[2] += v[1]; v[1] = rotate_left(v[1], 17); v[1] ^= v[2]; \
		v[2] = rotate_left(v[2], 32); \
	} while (0)

static inline void
sip_absorb(uint64 *v, uint64 word)
{
	v[3] ^= word;
	SIP_ROUND(v);
	SIP_ROUND(v);
	v[0] ^= word;
}

/* SipHash-2-4 (Aumasson, Bernstein 2012) */
uint64
tpm_keyed_hash(const void *data, size_t len)
{
	const unsigned char *bytes = data;
	uint64		v[4];
	uint64		word;
	size_t		at = 0;

	Assert(header != NULL);
	v[0] = header->key[0] ^ UINT64CONST(0x736f6d6570736575);
	v[1] = header->key[1] ^ UINT64CONST(0x646f72616e646f6d);
	v[2] = header->key[0] ^ UINT64CONST(0x6c7967656e657261);
	v[3] = header->key[1] ^ UINT64CONST(0x7465646279746573);

	for (; at + 8 <= len; at += 8)
	{
		memcpy(&word, bytes + at, 8);
		sip_absorb(v, word);
	}
	word = (uint64) len << 56;
	for (int shift = 0; at < len; at++, shift += 8)
		word |= (uint64) bytes[at] << shift;
	sip_absorb(v, word);

	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		SIP_ROUND(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

int64
tpm_monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
