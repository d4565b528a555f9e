/*-------------------------------------------------------------------------
 *
 * copy_sweep.c
 *		The whole list against the whole copy: all that is gone, at once.
 *
 * Owns what is compared with what while the list is read (copy_fill.c), and
 * what of it outlives an interruption.  Where the ids of the list are in an
 * order that we know, each page is compared with the part of the copy where it
 * belongs: what is missing there is written down.  Else what pages have is
 * written down, and compared with the copy at the end.  Whether what is
 * missing is gone is asked (copy_missing.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "copy/copy_ids_internal.h"
#include "copy/copy_missing_internal.h"
#include "copy/copy_reconcile_internal.h"
#include "copy/copy_shift_internal.h"

typedef struct Sweep
{
	bool		by_order;		/* else by the ids that are written down */
	int			orders;			/* by which the copy's ids are sorted */
	bool		disorder;		/* a page was not in that order */
	TpmCopyIds	held;
	TpmControls controls;
	TpmMissingRows missing;
	bool		asked;			/* for all of it */
	TimestampTz began;			/* or gone on with */
} Sweep;

/* ----- page by page ----- */

/* how many of the copy's ids are not behind this one */
static int64
rank_behind(const Sweep *sweep, const char *id)
{
	int64		low = 0;
	int64		high = sweep->held.n;

	while (low < high)
	{
		int64		middle = low + (high - low) / 2;

		if (tpm_id_compare(sweep->orders, sweep->held.ids[middle], id) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ids of the copy up to the page's last one, and not up to that of the page before, that it does not have */
static void
note_missing_of_page(TpmCopyRun *run, Sweep *sweep, const TpmCopyPage *page)
{
	const char *before = page->number == 0 ? NULL : run->copy->last_id;
	bool		ends = page->n == 0 || page->end == TPM_LIST_ENDS;
	int64		from = before ? rank_behind(sweep, before) : 0;
	int64		to = ends ? sweep->held.n : rank_behind(sweep, page->ids[page->n - 1]);
	char	  **sorted = palloc(Max(page->n, 1) * sizeof(char *));
	char	  **missing = palloc_extended(Max(to - from, 1) * sizeof(char *), MCXT_ALLOC_HUGE);
	int			nmissing = 0;

	memcpy(sorted, page->ids, page->n * sizeof(char *));
	qsort(sorted, page->n, sizeof(char *), tpm_copy_ids_compare);
	for (int64 rank = from; rank < to; rank++)
	{
		if (bsearch(&sweep->held.ids[rank], sorted, page->n, sizeof(char *), tpm_copy_ids_compare) == NULL)
			missing[nmissing++] = sweep->held.ids[rank];
	}
	tpm_copy_ids_add(run->guard, TPM_ID_CANDIDATE, missing, nmissing, page->left);
}

static void
take_swept_page(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	Sweep	   *sweep = arg;

	if (page->number == 0)
	{
		tpm_copy_ids_remove(run->guard, TPM_ID_CANDIDATE, NULL, 0);
		tpm_copy_ids_remove(run->guard, TPM_ID_LISTED, NULL, 0);
	}
	tpm_copy_note_listed(run, page->ids, page->n);
	tpm_copy_take_controls(run, &sweep->controls, page);
	if (!sweep->by_order)
		tpm_copy_ids_add(run->guard, TPM_ID_LISTED, page->ids, page->n, page->left);
	else if ((run->copy->id_orders & sweep->orders) != sweep->orders)
		sweep->disorder = true;
	else
	{
		tpm_copy_ids_remove(run->guard, TPM_ID_CANDIDATE, page->ids, page->n);
		note_missing_of_page(run, sweep, page);
	}
}

/* ----- at its end ----- */

static void
read_candidates(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	Sweep	   *sweep = arg;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	sweep->missing.ids = tpm_copy_ids_read(run->guard, TPM_ID_CANDIDATE, DT_NOEND, &sweep->missing.n);
	MemoryContextSwitchTo(old);
}

/* what the copy has, and no page had */
static void
compare_with_listed(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	Sweep	   *sweep = arg;
	int			nlisted;
	char	  **listed = tpm_copy_ids_read(run->guard, TPM_ID_LISTED, DT_NOEND, &nlisted);

	qsort(listed, nlisted, sizeof(char *), tpm_copy_ids_compare);
	sweep->missing.ids = MemoryContextAllocHuge(run->context, Max(sweep->held.n, 1) * sizeof(char *));
	for (int64 i = 0; i < sweep->held.n; i++)
	{
		if (bsearch(&sweep->held.ids[i], listed, nlisted, sizeof(char *), tpm_copy_ids_compare) == NULL)
			sweep->missing.ids[sweep->missing.n++] = sweep->held.ids[i];
	}
}

static bool
find_missing(TpmCopyRun *run, Sweep *sweep)
{
	if (sweep->by_order)
		return tpm_copy_step(run, NULL, read_candidates, sweep);
	return tpm_copy_ids_load(run, &sweep->held, run->context) &&
		tpm_copy_step(run, NULL, compare_with_listed, sweep);
}

static bool
ask_what_is_gone(TpmCopyRun *run, Sweep *sweep)
{
	bool		agrees;

	sweep->missing.controls = &sweep->controls;
	sweep->missing.most_requests = tpm_copy_most_questions(run);
	if (!tpm_copy_ask_missing(run, &sweep->missing))
		return false;
	sweep->asked = sweep->missing.open == 0;

	/*
	 * what was found unlisted just now is so for certain where all the rest
	 * is all that there is
	 */
	agrees = run->copy->run_total >= 0 && run->copy->run_total == run->copy->rows - run->copy->unlisted;
	return tpm_copy_ask_unlisted(run, &sweep->controls,
								 agrees && strcmp(run->copy->unlisted_option, "remove") == 0 ? DT_NOEND : sweep->began);
}

static void
end_sweep(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	Sweep	   *sweep = arg;
	TpmCopy    *copy = run->copy;

	tpm_copy_ids_remove(run->guard, TPM_ID_CANDIDATE, NULL, 0);
	tpm_copy_ids_remove(run->guard, TPM_ID_LISTED, NULL, 0);
	copy->rows = tpm_copy_count_rows(run->relid);
	copy->verified_until = copy->run_started;
	tpm_copy_move_watermark(run);
	tpm_copy_plan_checks(run);
	/* a search finds it again, whatever keeps this run from asking for it */
	if (sweep->missing.n > 0 && !sweep->asked && sweep->by_order)
		copy->next_reconcile = GetCurrentTimestamp();

	/*
	 * what could not be compared in this one is compared by the ids that the
	 * next one writes down
	 */
	copy->sweep_planned = sweep->disorder;
	tpm_copy_set_phase(run, TPM_RUN_NONE);
	copy->position = 0;
	copy->link = NULL;
	copy->last_id = NULL;
}

bool
tpm_copy_sweep(TpmCopyRun *run)
{
	Sweep		sweep = {.began = GetCurrentTimestamp()};

	sweep.by_order = tpm_copy_id_sort(run) != NULL && run->copy->id_orders != 0;
	sweep.orders = (run->copy->id_orders & TPM_ORDER_NUMBERS) ? TPM_ORDER_NUMBERS : TPM_ORDER_BYTES;
	if ((sweep.by_order && !tpm_copy_ids_load(run, &sweep.held, run->context)) ||
		!tpm_copy_read_list(run, TPM_RUN_SWEEP, take_swept_page, &sweep) ||
		(!sweep.disorder && !find_missing(run, &sweep)))
		return false;
	/* deletions that are refused keep nobody from what has changed since */
	if (sweep.by_order && !tpm_copy_step(run, NULL, end_sweep, &sweep))
		return false;
	return ask_what_is_gone(run, &sweep) && tpm_copy_step(run, NULL, end_sweep, &sweep);
}
