/*-------------------------------------------------------------------------
 *
 * copy_incremental.c
 *		What has changed since the watermark, and how far the watermark may move.
 *
 * Owns the window: all rows whose cursor is not below watermark - lookback.  It
 * is read from its newest row down, or where the API has a range filter from
 * its oldest row up, each page from the last cursor on.  A window that cannot
 * be known to be whole is read again.
 *
 * Rows that others edit meanwhile move to the front, and belong to the next
 * run: the watermark never passes the start of the run that moves it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/idset.h"
#include "copy/copy_missing_internal.h"
#include "copy/copy_run_internal.h"
#include "document/inverse.h"

/* readings of one window; who moves rows faster than this has them read by the next run */
#define MOST_PASSES 12

/* one reading of the window after the other */
typedef struct ReadingWindow
{
	TpmCopyWalk *walk;
	TimestampTz bound;			/* where it begins; TPM_NEVER: with the list */
	bool		begun;			/* a page of it has been read, by this run or
								 * another one */
	bool		descending;
	bool		total_order;	/* no two rows are equal in it */
	int			pass;			/* from 1 */
	bool		reached;		/* this pass has come to its end */
	bool		gone_back;		/* the page read last was behind rows that
								 * have moved */
	bool		restless;		/* each pass has brought others */
	bool		nothing;		/* a list without any row, of a copy that has
								 * some */
	bool		tied;			/* a page ended inside a run of equal cursors */
	bool		untold;			/* a page told no total */
	int			pages;			/* of this pass */
	TpmIdSet   *seen;			/* rows of all passes */
	int64		distinct;		/* of them in the window */
	int64		new_rows;		/* of this pass */
	int64		positions;		/* in the window that this pass has read */
	bool		moved;			/* rows have gone meanwhile: neither can be
								 * compared */
	int			full;			/* rows of the first page */
	TimestampTz newest;			/* when the first pass began: what is newer is
								 * the next run's */
	TimestampTz least;			/* of the page read last, */
	TimestampTz greatest;
	TimestampTz last;			/* and of its last row */
} ReadingWindow;

/* ----- cursors ----- */

static const TpmColumn *
cursor_column(const TpmCopyRun *run)
{
	const TpmTable *table = run->table;
	const char *name = run->copy->cursor_column;

	for (int i = 0; name && i < table->natts; i++)
	{
		if (table->columns[i].name && strcmp(table->columns[i].name, name) == 0)
			return &table->columns[i];
	}
	if (name)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of %s, the cursor of its local copy, does not exist", name, table->name),
				 errhint("SELECT tpm_fdw_alter_copy(..., cursor_column => ...) names another one.")));
	return NULL;
}

static TimestampTz
moment_of(const TpmColumn *column, Datum value)
{
	TimestampTz moment;

	if (column->type == DATEOID)
		moment = DATE_NOT_FINITE(DatumGetDateADT(value)) ? TPM_NEVER : DatumGetDateADT(value) * USECS_PER_DAY;
	else
		moment = DatumGetTimestampTz(value);
	return TIMESTAMP_NOT_FINITE(moment) ? TPM_NEVER : moment;
}

/* TPM_NEVER: NULL */
static TimestampTz
cursor_of_row(const TpmCopyRun *run, const TpmColumn *column, HeapTuple row)
{
	bool		isnull;
	Datum		value = heap_getattr(row, column->attnum, run->tupdesc, &isnull);

	return isnull ? TPM_NEVER : moment_of(column, value);
}

void
tpm_copy_note_cursors(TpmCopyRun *run, const TpmCopyPage *page)
{
	TpmCopy    *copy = run->copy;
	const TpmColumn *column = cursor_column(run);

	for (int i = 0; column && i < page->n; i++)
	{
		TimestampTz cursor = cursor_of_row(run, column, page->rows->rows[i].tuple);

		if (cursor <= copy->greatest)
			continue;
		copy->greatest = cursor;
		copy->greatest_seen = page->rows->received;
		copy->greatest_date = page->date;
	}
}

/*
 * The API's clock had reached the greatest cursor when that was first seen, so
 * at the start of the run it had gone on by as much as ours.  Where the cursor
 * was first seen after the start, that is less than the cursor: what was edited
 * meanwhile may be on a page read before.
 */
void
tpm_copy_move_watermark(TpmCopyRun *run)
{
	TpmCopy    *copy = run->copy;
	TimestampTz reached;

	if (copy->cursor_column == NULL || copy->greatest == TPM_NEVER || copy->run_started == TPM_NEVER)
		return;
	reached = copy->greatest + (copy->run_started - copy->greatest_seen);
	reached = Min(reached, copy->run_date == TPM_NEVER ? copy->greatest : copy->run_date);
	copy->watermark = Max(copy->watermark, reached);
}

/* ----- a page ----- */

/* a list in another order has its changes anywhere */
static void
check_order(const TpmCopyRun *run, const ReadingWindow *window, TimestampTz before, TimestampTz cursor)
{
	if (before != TPM_NEVER && (window->descending ? cursor > before : cursor < before))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("foreign table %s: the API's list is not in the order asked for", run->table->name),
				 errdetail("It was asked for in the order of \"%s\".", run->copy->cursor_column),
				 errhint("If the API cannot sort by it, ALTER FOREIGN TABLE ... ALTER COLUMN %s OPTIONS (SET sortable 'false') and make the copy without a cursor.",
						 run->copy->cursor_column)));
}

static void
look_at_cursors(const TpmCopyRun *run, ReadingWindow *window, const TpmCopyPage *page)
{
	TimestampTz before = TPM_NEVER;
	const TpmColumn *column = cursor_column(run);

	window->least = window->greatest = TPM_NEVER;
	for (int i = 0; i < page->n; i++)
	{
		TimestampTz cursor = cursor_of_row(run, column, page->rows->rows[i].tuple);

		if (cursor == TPM_NEVER)
			continue;
		check_order(run, window, before, cursor);
		if (before == TPM_NEVER && cursor == window->last && window->pages > 0)
			window->tied = true;
		if (window->least == TPM_NEVER || cursor < window->least)
			window->least = cursor;
		window->greatest = Max(window->greatest, cursor);
		before = cursor;
	}
	window->last = before;
}

static void
count_new_rows(const TpmCopyRun *run, ReadingWindow *window, const TpmCopyPage *page)
{
	const TpmColumn *column = cursor_column(run);

	for (int i = 0; i < page->n; i++)
	{
		TimestampTz cursor = cursor_of_row(run, column, page->rows->rows[i].tuple);
		bool		is_new = tpm_idset_add(window->seen, page->rows->rows[i].idhash);

		window->positions += cursor >= window->bound;
		window->distinct += is_new && cursor >= window->bound;
		window->new_rows += is_new && cursor <= window->newest;
	}
}

/* in the step of each page */
static void
take_changes(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	ReadingWindow *window = arg;
	TpmCopyWalk *walk = window->walk;
	TpmCopyCounts counts;

	if (!window->begun || (page->number == 0 && walk->restarted))
		tpm_copy_begin_list(run, TPM_RUN_INCREMENTAL, page);
	window->begun = true;
	window->nothing = page->n == 0 && page->number == 0 && window->bound != TPM_NEVER && window->descending &&
		run->copy->rows > run->copy->unlisted;
	look_at_cursors(run, window, page);
	tpm_copy_apply_page(run, page, &counts);
	tpm_copy_note_listed(run, page->ids, page->n);
	tpm_copy_note_cursors(run, page);
	if (window->pass == 1 && window->pages == 0)
		window->newest = run->copy->greatest;
	count_new_rows(run, window, page);
	window->pages++;
	run->copy->pages_done++;
	run->session->expected = run->session->requests + (window->pages > 1);
	tpm_session_show(run->session, run->copy->rows);
	window->untold |= page->total < 0;
	window->gone_back = window->descending && tpm_copy_step_back(run, walk, page);
	window->moved |= window->gone_back;
	if (window->pass == 1 && page->number == 0)
		window->full = page->n;
	window->reached = !window->gone_back &&
		(walk->ended || (window->descending && window->least != TPM_NEVER && window->least < window->bound));
	if (window->total_order && window->descending && !window->untold)
		tpm_copy_save_walk(run, walk);
}

/* ----- the window, from its newest row down ----- */

static char *
order_by_cursor(const TpmCopyRun *run, const TpmColumn *cursor, bool descending, bool *total)
{
	const TpmColumn *id = &run->table->columns[run->table->id_attnum - 1];

	*total = run->table->opt.sort_keys == TPM_SORT_MANY && id->sortable;
	return psprintf("%s%s%s%s", descending ? "-" : "", tpm_request_sort_name(cursor), *total ? "," : "",
					*total ? tpm_request_sort_name(id) : "");
}

/* what was seen may be gone */
static void
forget_seen(TpmCopyRun *run, ReadingWindow *window)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	tpm_idset_destroy(window->seen);
	window->seen = tpm_idset_create(256);
	window->distinct = 0;
	window->moved = false;
	MemoryContextSwitchTo(old);
}

static void
begin_pass(TpmCopyRun *run, ReadingWindow *window)
{
	window->pass++;
	window->pages = 0;
	window->new_rows = window->positions = 0;
	window->last = TPM_NEVER;
	if (window->pass == 1)
		return;
	if (window->moved)
		forget_seen(run, window);

	/*
	 * pages that end elsewhere: an API that orders equal rows by chance does
	 * so page by page
	 */
	if (!window->total_order && Min(window->walk->request.page_size, window->full) > 2)
		window->walk->request.page_size = Min(window->walk->request.page_size, window->full) - 1;
	tpm_copy_walk_back(run, window->walk, 0);
}

/*
 * Does the window have to be read once more to be known whole?  Where equal
 * rows change places from page to page, a row that was read twice stands where
 * another one was not read.
 */
static bool
is_in_doubt(ReadingWindow *window)
{
	bool		again;

	if (window->nothing)
		return false;
	if (window->tied && !window->total_order)
		again = window->pass == 1 || window->new_rows > 0 || window->moved || window->positions > window->distinct;
	else
		again = window->untold && window->pass == 1 && window->pages > 1;
	window->restless = again && window->pass >= MOST_PASSES;
	return again && !window->restless;
}

/* from the first page, or from where a run has ended if nothing else can have moved past it */
static void
resume_window(TpmCopyRun *run, ReadingWindow *window)
{
	TpmCopy    *copy = run->copy;

	if (strcmp(copy->phase, TPM_RUN_INCREMENTAL) != 0 || copy->position == 0 || copy->run_total < 0 ||
		!window->total_order)
		return;
	tpm_copy_walk_resume(run, window->walk);
	window->begun = true;
}

static bool
read_pass(TpmCopyRun *run, ReadingWindow *window)
{
	for (;;)
	{
		if (!tpm_copy_step(run, window->walk, take_changes, window))
			return false;
		if (window->reached)
			return true;

		/*
		 * where pages have another size than the first pass had, only its
		 * beginning is a place that is known
		 */
		if (window->gone_back && window->pass > 1)
			tpm_copy_walk_back(run, window->walk, 0);
	}
}

static bool
read_downwards(TpmCopyRun *run, ReadingWindow *window, const TpmColumn *cursor)
{
	window->descending = true;
	window->walk = tpm_copy_walk(run, order_by_cursor(run, cursor, true, &window->total_order));
	resume_window(run, window);
	do
	{
		begin_pass(run, window);
		if (!read_pass(run, window))
			return false;
	} while (is_in_doubt(window));
	return true;
}

/* ----- the window, from its oldest row up ----- */

/* NULL: there is no filter that would be obeyed */
static TpmTerm *
lower_bound(const TpmCopyRun *run, const TpmColumn *cursor, TimestampTz from)
{
	TpmTerm    *term = palloc0(sizeof(TpmTerm));
	Datum		value = cursor->type == DATEOID ? DateADTGetDatum((DateADT) (from / USECS_PER_DAY - (from % USECS_PER_DAY < 0))) :
	TimestampTzGetDatum(from);
	char	   *text = cursor->filter_ge && from != TPM_NEVER ? tpm_bound_text(cursor, value, cursor->type, false) : NULL;

	if (text == NULL)
		return NULL;
	term->parameter = cursor->filter_ge;
	term->values = list_make1(text);
	return tpm_request_query_allows(run->table, term->parameter, term->values) ? term : NULL;
}

/* the list begins at this cursor */
static bool
go_to_cursor(TpmCopyRun *run, ReadingWindow *window, const TpmColumn *cursor, TimestampTz from)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	TpmTerm    *term = lower_bound(run, cursor, from);

	window->walk->request.terms = term ? list_make1(term) : NIL;
	MemoryContextSwitchTo(old);
	return term && tpm_copy_walk_go(run, window->walk, 0);
}

/* a page of rows that are all older; bounds are sent in whole seconds, or days */
static bool
is_filter_ignored(const ReadingWindow *window, const TpmColumn *cursor, TimestampTz from)
{
	int64		coarse = 2 * (cursor->type == DATEOID ? USECS_PER_DAY : USECS_PER_SEC);

	return !window->reached && window->greatest != TPM_NEVER && window->greatest < from - coarse;
}

/*
 * Pages from a cursor on, until one has a greater one.  Where that takes more
 * than one page, rows of equal cursors fill them, and rows that leave them let
 * others move past: they are read until nothing new comes.
 */
static bool
read_from_cursor(TpmCopyRun *run, ReadingWindow *window, const TpmColumn *cursor, TimestampTz from)
{
	TimestampTz first = TPM_NEVER;

	window->pass = 0;
	for (;;)
	{
		window->pass++;
		window->pages = 0;
		window->new_rows = 0;
		window->last = TPM_NEVER;
		if (!go_to_cursor(run, window, cursor, from))
			return true;
		do
		{
			if (!tpm_copy_step(run, window->walk, take_changes, window))
				return false;
			if (window->pages == 1)
				first = window->least;
			if (window->pages == 1 && is_filter_ignored(window, cursor, from))
				return true;
		} while (!window->reached && window->greatest <= Max(from, first));
		if (window->pages == 1 || (window->pass > 1 && window->new_rows == 0))
			return true;
		if (window->pass >= MOST_PASSES)
		{
			window->restless = true;
			return true;
		}
	}
}

/* false: as tpm_copy_step(); *obeyed: the filter was one */
static bool
read_upwards(TpmCopyRun *run, ReadingWindow *window, const TpmColumn *cursor, bool *obeyed)
{
	TimestampTz from = window->bound;

	window->walk = tpm_copy_walk(run, order_by_cursor(run, cursor, false, &window->total_order));
	*obeyed = go_to_cursor(run, window, cursor, from);
	while (*obeyed)
	{
		if (!read_from_cursor(run, window, cursor, from))
			return false;
		if (window->reached)
			return true;

		*obeyed = !is_filter_ignored(window, cursor, from);
		from = Max(from, window->greatest);
	}
	return true;
}

/* ----- a run ----- */

static TimestampTz
begin_of_window(const TpmCopyRun *run, const TpmColumn *cursor)
{
	const TpmCopy *copy = run->copy;
	int64		lookback = tpm_interval_us(copy->lookback);

	if (copy->watermark == TPM_NEVER || copy->watermark < TPM_NEVER + lookback + USECS_PER_DAY)
		return TPM_NEVER;

	/* a day may have begun elsewhere */
	return copy->watermark - lookback - (cursor->type == DATEOID ? USECS_PER_DAY : 0);
}

/* an empty list is looked into: nothing is believed of it here */
static void
end_window(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	ReadingWindow *window = arg;
	TpmCopy    *copy = run->copy;

	if (window->nothing)
		copy->next_reconcile = GetCurrentTimestamp();
	else if (!window->restless)
		tpm_copy_move_watermark(run);
	copy->position = 0;
	copy->link = NULL;
}

bool
tpm_copy_incremental(TpmCopyRun *run)
{
	const TpmColumn *cursor = cursor_column(run);
	ReadingWindow window = {
		.bound = begin_of_window(run, cursor),
		.seen = tpm_idset_create(256),
	};
	bool		obeyed;

	if (!read_upwards(run, &window, cursor, &obeyed))
		return false;
	if (!obeyed)
	{
		window.pass = 0;
		if (!read_downwards(run, &window, cursor))
			return false;
	}
	return tpm_copy_step(run, NULL, end_window, &window);
}
