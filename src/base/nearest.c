/*-------------------------------------------------------------------------
 *
 * nearest.c
 *		The valid name that a misspelt one was probably meant to be.
 *
 * Owns the choice only: which names are valid is the caller's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/varlena.h"

#include "base/nearest.h"

/* a name further away than this is no misspelling */
#define MAX_DISTANCE	4

void
tpm_nearest_begin(TpmNearest *nearest, const char *name)
{
	nearest->name = name;
	nearest->best = NULL;
	nearest->distance = MAX_DISTANCE + 1;
}

/* Half of the letters must be right, as in PostgreSQL's hint for columns */
void
tpm_nearest_offer(TpmNearest *nearest, const char *candidate)
{
	int			len = strlen(nearest->name);
	int			distance;

	if (len >= NAMEDATALEN)
		return;
	distance = varstr_levenshtein_less_equal(nearest->name, len, candidate, strlen(candidate),
											 1, 1, 1, nearest->distance, true);
	if (distance < nearest->distance && distance <= len / 2)
	{
		nearest->best = candidate;
		nearest->distance = distance;
	}
}
