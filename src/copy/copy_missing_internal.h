/*-------------------------------------------------------------------------
 *
 * copy_missing_internal.h
 *		Rows of a copy that no page of the list had: are they gone?
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_COPY_MISSING_INTERNAL_H
#define TPM_COPY_MISSING_INTERNAL_H

#include "copy/copy_run_internal.h"

/* ids that pages had in this run: what says of them that they are not there says nothing */
#define TPM_MOST_CONTROLS	3
typedef struct TpmControls
{
	char	   *ids[TPM_MOST_CONTROLS];
	int			n;
} TpmControls;

typedef struct TpmMissingRows
{
	/* given, in the memory of the run */
	char	  **ids;			/* each once */
	int			n;
	const TpmControls *controls;
	int64		most_requests;

	/* found */
	int64		requests;
	int64		open;			/* that were not asked for: they are the next
								 * run's */
} TpmMissingRows;

/*
 * Asks for each, and deletes what is gone, as the copy's options say.  False:
 * as tpm_copy_step(), and nothing was deleted.
 */
extern bool tpm_copy_ask_missing(TpmCopyRun *run, TpmMissingRows *missing);

/* does the copy keep what is gone? */
extern bool tpm_copy_keeps_gone(const TpmCopyRun *run);

/* those of a page, in the place of others; an empty one changes nothing */
extern void tpm_copy_take_controls(TpmCopyRun *run, TpmControls *controls, const TpmCopyPage *page);

/* within a step: a page of the list has these, so they are not unlisted */
extern void tpm_copy_note_listed(TpmCopyRun *run, char *const *ids, int n);

#endif							/* TPM_COPY_MISSING_INTERNAL_H */
