/*-------------------------------------------------------------------------
 *
 * copy_fill.c
 *		The whole list into the copy, however often that is interrupted.
 *
 * Owns how a list is read from end to end: in an order that edits do not
 * change, each page in a step of its own, gone on with where a run has ended.
 * Sweeps read so as well.  What is in the copy and not in the list is not
 * looked for here.
 *
 * The list moves while it is read.  Rows that are gone let those behind them
 * move towards the front, past a page that was read: totals tell, in the order
 * of ids also where the next page begins, and then the walk goes back.  Where
 * neither tells, a sweep is planned.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "copy/copy_missing_internal.h"
#include "copy/copy_reconcile_internal.h"
#include "copy/copy_run_internal.h"
#include "copy/copy_shift_internal.h"

typedef struct ReadingList
{
	const char *phase;
	TpmCopyWalk *walk;
	TpmCopyWork also;
	void	   *arg;
	bool		begun;			/* a page of it has been read, by this run or
								 * another one */
	bool		by_id;			/* in the order of ids */
	bool		catching_up;	/* gone on with, and not known to be behind
								 * the last id */
} ReadingList;

void
tpm_copy_begin_list(TpmCopyRun *run, const char *phase, const TpmCopyPage *page)
{
	TpmCopy    *copy = run->copy;

	tpm_copy_set_phase(run, phase);
	copy->position = 0;
	copy->link = NULL;
	copy->last_id = NULL;
	copy->run_started = page->left;
	copy->run_date = page->date;
	copy->run_total = -1;
	copy->run_total_fell = false;
	copy->pages_done = 0;
}

/* ----- a page ----- */

/* the lists of 413s and of page caps have pages of other lengths than were asked for */
static void
note_size(TpmCopyRun *run, const TpmCopyWalk *walk, const TpmCopyPage *page)
{
	TpmCopy    *copy = run->copy;

	if (page->number == 0 && !walk->ended)
		copy->page_rows = page->n;
	if (page->total >= 0 && tpm_copy_page_rows(run, walk) > 0)
		copy->pages_expected = Max(1, (page->total + tpm_copy_page_rows(run, walk) - 1) / tpm_copy_page_rows(run, walk));
	run->session->expected = Max(0, copy->pages_expected - page->number - 1) + run->session->requests;
	tpm_session_show(run->session, copy->rows);
}

/* from page to page rows move: only within one an order can be seen broken */
static void
note_order(TpmCopyRun *run, const ReadingList *reading, const TpmCopyPage *page)
{
	if (reading->by_id)
		run->copy->id_orders = tpm_id_orders(run->copy->id_orders, NULL, (const char *const *) page->ids, page->n);
}

/* does the page begin behind the last id that the copy has seen, so that some may have moved between? */
static bool
begins_behind(const TpmCopyRun *run, const ReadingList *reading, const TpmCopyPage *page)
{
	const TpmCopy *copy = run->copy;

	if (!reading->catching_up || copy->last_id == NULL || !reading->by_id || copy->id_orders == 0)
		return false;
	return page->n == 0 || tpm_id_compare(copy->id_orders, page->ids[0], copy->last_id) > 0;
}

/* true: the walk has gone back */
static bool
go_back_for_moved(TpmCopyRun *run, ReadingList *reading, const TpmCopyPage *page)
{
	if (tpm_copy_step_back(run, reading->walk, page))
		return true;
	if (page->number > 0 && begins_behind(run, reading, page))
	{
		tpm_copy_walk_back(run, reading->walk, page->number - 1);
		return true;
	}
	reading->catching_up = false;
	return false;
}

static void
take_page(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	ReadingList *reading = arg;
	TpmCopy    *copy = run->copy;
	TpmCopyCounts counts;

	if (!reading->begun || (page->number == 0 && reading->walk->restarted))
		tpm_copy_begin_list(run, reading->phase, page);
	reading->begun = true;
	note_size(run, reading->walk, page);
	note_order(run, reading, page);
	tpm_copy_apply_page(run, page, &counts);
	tpm_copy_note_listed(run, page->ids, page->n);
	tpm_copy_note_cursors(run, page);
	if (reading->also)
		reading->also(run, page, reading->arg);
	copy->pages_done = Max(copy->pages_done, page->number + 1);
	if (!go_back_for_moved(run, reading, page) && page->n > 0)
		copy->last_id = page->ids[page->n - 1];
	copy->run_total_fell |= reading->walk->total_fell;
	tpm_copy_save_walk(run, reading->walk);
	if (reading->by_id)
		tpm_copy_keep_link(run, reading->walk);
}

/* ----- a list ----- */

bool
tpm_copy_read_list(TpmCopyRun *run, const char *phase, TpmCopyWork also, void *arg)
{
	char	   *sort = tpm_copy_id_sort(run);
	ReadingList reading = {
		.phase = phase,
		.walk = tpm_copy_walk(run, sort),
		.also = also,
		.arg = arg,
		.by_id = sort != NULL,
	};

	if (strcmp(run->copy->phase, phase) == 0 && run->copy->position > 0)
	{
		tpm_copy_walk_resume(run, reading.walk);
		reading.begun = reading.catching_up = true;
	}
	do
	{
		if (!tpm_copy_step(run, reading.walk, take_page, &reading))
			return false;
	} while (!reading.walk->ended);
	run->announced = reading.walk->least_total;
	return true;
}

/* ----- filling ----- */

static void
end_filling(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	TpmCopy    *copy = run->copy;
	bool	   *differs = arg;

	copy->rows = tpm_copy_count_rows(run->relid);
	copy->filled = GetCurrentTimestamp();
	copy->verified_until = copy->run_started;
	tpm_copy_move_watermark(run);
	tpm_copy_plan_checks(run);
	if (copy->pages_done > 1 && copy->run_total_fell)
		copy->sweep_planned = true;
	*differs = copy->run_total >= 0 && copy->rows - copy->unlisted != copy->run_total;
	tpm_copy_set_phase(run, TPM_RUN_NONE);
	copy->position = 0;
	copy->link = NULL;
	copy->last_id = NULL;
}

bool
tpm_copy_fill(TpmCopyRun *run, bool *differs)
{
	return tpm_copy_read_list(run, TPM_RUN_FILLING, NULL, NULL) &&
		tpm_copy_step(run, NULL, end_filling, differs);
}
