/*-------------------------------------------------------------------------
 *
 * copy_reconcile_internal.h
 *		Runs that look for what is gone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_COPY_RECONCILE_INTERNAL_H
#define TPM_COPY_RECONCILE_INTERNAL_H

#include "copy/copy_missing_internal.h"

/* ids of the rows of a copy, but of those that lists do not tell of, and of marked ones */
typedef struct TpmCopyIds
{
	MemoryContext context;
	char	  **ids;
	int64		n;
	int64		room;
} TpmCopyIds;

/* in the order that run->copy->id_orders says, else by bytes; false: as tpm_copy_step() */
extern bool tpm_copy_ids_load(TpmCopyRun *run, TpmCopyIds *ids, MemoryContext context);

/* asks again whether rows that lists do not tell of live, but those asked since; the same */
extern bool tpm_copy_ask_unlisted(TpmCopyRun *run, const TpmControls *controls, TimestampTz since);

/* requests that a run may spend on what is missing; the rest is the next run's */
extern int64 tpm_copy_most_questions(const TpmCopyRun *run);

/* how the list is asked for in the order of its ids; NULL: it cannot be */
extern char *tpm_copy_id_sort(const TpmCopyRun *run);

/* within a step: all was compared just now; when it is to be again */
extern void tpm_copy_plan_checks(TpmCopyRun *run);

#endif							/* TPM_COPY_RECONCILE_INTERNAL_H */
