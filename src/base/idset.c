/*-------------------------------------------------------------------------
 *
 * idset.c
 *		A set of 64-bit hashes: the resources that have been seen.
 *
 * Owns the set only: what a hash stands for is the caller's.
 *
 * The hashes come in with all their bits mixed, so they are not hashed again.
 * One bit of them is given up for the table's own mark: an entry of 8 bytes is
 * half of what a scan of a million rows would have to remember otherwise.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/idset.h"

typedef struct IdEntry
{
	uint64		hash:63;
	uint64		status:1;
} IdEntry;

#define SH_PREFIX idset
#define SH_ELEMENT_TYPE IdEntry
#define SH_KEY_TYPE uint64
#define SH_KEY hash
#define SH_HASH_KEY(tb, key) ((uint32) ((key) ^ ((key) >> 32)))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

struct TpmIdSet
{
	idset_hash *table;
};

TpmIdSet *
tpm_idset_create(uint32 expected)
{
	TpmIdSet   *set = palloc(sizeof(TpmIdSet));

	set->table = idset_create(CurrentMemoryContext, expected, NULL);
	return set;
}

bool
tpm_idset_add(TpmIdSet *set, uint64 hash)
{
	bool		found;

	idset_insert(set->table, hash >> 1, &found);
	return !found;
}

bool
tpm_idset_has(TpmIdSet *set, uint64 hash)
{
	return idset_lookup(set->table, hash >> 1) != NULL;
}

void
tpm_idset_destroy(TpmIdSet *set)
{
	idset_destroy(set->table);
	pfree(set);
}
