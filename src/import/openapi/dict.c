/*-------------------------------------------------------------------------
 *
 * dict.c
 *		Texts to pointers, in the order in which they came.
 *
 * Owns neither keys nor values: both live as long as the caller's.
 *
 * For documents that strangers have written: the hash has a key of its own in
 * each backend, so that nobody can choose names that collide.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "import/openapi/dict.h"

/* up to here a search from front to end is as fast */
#define SMALL 8

static uint64
hash_key(void)
{
	static uint64 key = 0;

	if (key == 0 && !pg_strong_random(&key, sizeof(key)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number")));
	return key;
}

/* the slot that holds the name, or the free one where it belongs */
static int
find_slot(const TpmDict *dict, const char *name)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) name, strlen(name), hash_key());
	int			at = (int) (hash & (uint64) (dict->nslots - 1));

	while (dict->slots[at] != 0 && strcmp(dict->names[dict->slots[at] - 1], name) != 0)
		at = (at + 1) & (dict->nslots - 1);
	return at;
}

/* -1 if it is not there */
static int
find_dict_place(const TpmDict *dict, const char *name)
{
	if (dict->nslots > 0)
		return dict->slots[find_slot(dict, name)] - 1;
	for (int i = 0; i < dict->count; i++)
	{
		if (strcmp(dict->names[i], name) == 0)
			return i;
	}
	return -1;
}

void *
tpm_dict_get(const TpmDict *dict, const char *name)
{
	int			place = find_dict_place(dict, name);

	return place < 0 ? NULL : dict->values[place];
}

static void
grow(TpmDict *dict)
{
	int			space = Max(dict->space * 2, 4);

	dict->names = dict->names ? repalloc_huge(dict->names, sizeof(char *) * space)
		: palloc(sizeof(char *) * space);
	dict->values = dict->values ? repalloc_huge(dict->values, sizeof(void *) * space)
		: palloc(sizeof(void *) * space);
	dict->space = space;
}

static void
make_slots(TpmDict *dict)
{
	if (dict->slots)
		pfree(dict->slots);
	dict->nslots = dict->nslots ? dict->nslots * 2 : SMALL * 4;
	dict->slots = palloc_extended(sizeof(int) * dict->nslots, MCXT_ALLOC_ZERO | MCXT_ALLOC_HUGE);
	for (int i = 0; i < dict->count; i++)
		dict->slots[find_slot(dict, dict->names[i])] = i + 1;
}

void
tpm_dict_put(TpmDict *dict, const char *name, void *value)
{
	int			place = find_dict_place(dict, name);

	if (place >= 0)
	{
		dict->values[place] = value;
		return;
	}
	if (dict->count == dict->space)
		grow(dict);
	dict->names[dict->count] = name;
	dict->values[dict->count] = value;
	dict->count++;
	if (dict->nslots > 0)
		dict->slots[find_slot(dict, name)] = dict->count;
	if (dict->count > SMALL && dict->count * 2 > dict->nslots)
		make_slots(dict);
}
