/*-------------------------------------------------------------------------
 *
 * copy_reconcile.c
 *		Deletions for a few requests: the last page, else the search by shift.
 *
 * Owns the ids of the copy in memory, in the order of the list, and the run
 * that compares them: which pages tell where the two differ is arithmetic
 * (copy_shift.c), whether what is missing is gone is asked (copy_missing.c).
 *
 * Where the list cannot be asked for in the order of its ids, where that is
 * none that we know, or where its pages have no numbers, a sweep does it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "copy/copy_ids_internal.h"
#include "copy/copy_missing_internal.h"
#include "copy/copy_reconcile_internal.h"
#include "copy/copy_shift_internal.h"

/* rows of the copy that are fetched at a time */
#define FETCH_IDS	10000

/* a run may ask so much about what is missing, however few pages its list has */
#define LEAST_QUESTIONS	20

/* ----- the ids of a copy ----- */

static int
compare_by_number(const void *a, const void *b)
{
	return tpm_id_compare(TPM_ORDER_NUMBERS, *(char *const *) a, *(char *const *) b);
}

static void
add_held_id(TpmCopyIds *ids, MemoryContext context, char *id)
{
	if (ids->n == ids->room)
	{
		ids->room *= 2;
		ids->ids = repalloc_huge(ids->ids, ids->room * sizeof(char *));
	}
	ids->ids[ids->n++] = MemoryContextStrdup(context, id);
}

/* as the owner of the copy; those that lists are known not to tell of are left out */
static void
load_ids(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	TpmCopyIds *ids = arg;
	int			nunlisted;
	char	  **unlisted = tpm_copy_ids_read(run->guard, TPM_ID_UNLISTED, DT_NOEND, &nunlisted);
	const char *name = quote_identifier(run->table->columns[run->table->id_attnum - 1].name);
	bool		marks = get_attnum(run->relid, TPM_COPY_DELETED_AT) != InvalidAttrNumber;
	char	   *query = psprintf("SELECT %s::text FROM ONLY %s%s", name, run->name,
								 marks ? " WHERE " TPM_COPY_DELETED_AT " IS NULL" : "");
	Portal		portal;

	qsort(unlisted, nunlisted, sizeof(char *), tpm_copy_ids_compare);
	SPI_connect();
	portal = SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, true, CURSOR_OPT_NO_SCROLL);
	for (SPI_cursor_fetch(portal, true, FETCH_IDS); SPI_processed > 0; SPI_cursor_fetch(portal, true, FETCH_IDS))
	{
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			char	   *id = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

			if (nunlisted == 0 || bsearch(&id, unlisted, nunlisted, sizeof(char *), tpm_copy_ids_compare) == NULL)
				add_held_id(ids, ids->context, id);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
}

bool
tpm_copy_ids_load(TpmCopyRun *run, TpmCopyIds *ids, MemoryContext context)
{
	ids->context = context;
	ids->n = 0;
	ids->room = 1024;
	ids->ids = MemoryContextAlloc(context, ids->room * sizeof(char *));
	if (!tpm_copy_step(run, NULL, load_ids, ids))
		return false;
	qsort(ids->ids, ids->n, sizeof(char *),
		  (run->copy->id_orders & TPM_ORDER_NUMBERS) ? compare_by_number : tpm_copy_ids_compare);
	return true;
}

/* ----- pages ----- */

typedef struct Reconciliation
{
	TpmCopyRun *run;
	MemoryContext context;		/* of one search */
	TpmCopyIds	held;
	TpmCopyWalk *walk;
	TpmShiftPage *page;			/* that is read just now */
	MemoryContext page_context;
	int			page_rows;
	int64		requests;
	bool		unknown_position;
	bool		unfinished;		/* more was missing than one run may ask for */
	bool		disagrees;		/* a total is not what the copy has */
	TpmControls controls;
} Reconciliation;

static void
take_probe(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	Reconciliation *reconciliation = arg;
	MemoryContext old = MemoryContextSwitchTo(reconciliation->page_context);
	char	  **ids = palloc(Max(page->n, 1) * sizeof(char *));
	TpmCopyCounts counts;

	for (int i = 0; i < page->n; i++)
		ids[i] = pstrdup(page->ids[i]);
	MemoryContextSwitchTo(old);

	/*
	 * a total that is less than the page's place would have it is what tells
	 * of a list that has become shorter
	 */
	*reconciliation->page = (TpmShiftPage)
	{
		.ids = (const char *const *) ids,.n = page->n,.total = page->rows->total,
			.ends = page->n == 0 || page->end == TPM_LIST_ENDS ||
			(page->end == TPM_LIST_ENDS_UNTOLD && page->n < reconciliation->page_rows)
	};
	tpm_copy_take_controls(run, &reconciliation->controls, page);

	/*
	 * in what order of ids lists are, only those that are asked for in it can
	 * tell
	 */
	if (reconciliation->walk->request.sort)
		run->copy->id_orders = tpm_id_orders(run->copy->id_orders, NULL, (const char *const *) page->ids, page->n);
	tpm_copy_apply_page(run, page, &counts);
	tpm_copy_note_listed(run, page->ids, page->n);
}

static bool
read_probe(void *arg, int64 position, TpmShiftPage *page)
{
	Reconciliation *reconciliation = arg;

	MemoryContextReset(reconciliation->page_context);
	reconciliation->page = page;
	reconciliation->unknown_position = !tpm_copy_walk_go(reconciliation->run, reconciliation->walk, position - 1);
	if (reconciliation->unknown_position)
		return false;
	reconciliation->requests++;
	return tpm_copy_step(reconciliation->run, reconciliation->walk, take_probe, reconciliation);
}

/* ----- what is missing ----- */

static int64
pages_of_copy(const TpmCopyRun *run)
{
	int64		page_rows = run->copy->page_rows > 0 ? run->copy->page_rows : run->table->opt.page_size;

	return Max((run->copy->rows + page_rows - 1) / page_rows, 1);
}

/* as many as a sweep has pages for asking by filter, and by path */
int64
tpm_copy_most_questions(const TpmCopyRun *run)
{
	return LEAST_QUESTIONS + 2 * pages_of_copy(run);
}

typedef struct UnlistedRows
{
	TpmMissingRows missing;
	TimestampTz since;
} UnlistedRows;

static void
read_unlisted(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	UnlistedRows *unlisted = arg;
	MemoryContext old = MemoryContextSwitchTo(run->context);

	unlisted->missing.ids = tpm_copy_ids_read(run->guard, TPM_ID_UNLISTED, unlisted->since, &unlisted->missing.n);
	MemoryContextSwitchTo(old);
}

bool
tpm_copy_ask_unlisted(TpmCopyRun *run, const TpmControls *controls, TimestampTz since)
{
	UnlistedRows unlisted = {
		.missing = {.controls = controls,.most_requests = tpm_copy_most_questions(run)},
		.since = since
	};

	return run->copy->unlisted == 0 || tpm_copy_keeps_gone(run) ||
		(tpm_copy_step(run, NULL, read_unlisted, &unlisted) && tpm_copy_ask_missing(run, &unlisted.missing));
}

static bool
ask_what_is_missing(Reconciliation *reconciliation, const TpmShift *shift)
{
	TpmMissingRows missing = {
		.controls = &reconciliation->controls,.most_requests = tpm_copy_most_questions(reconciliation->run)
	};
	bool		goes_on;

	missing.ids = palloc_extended(Max(shift->missed, 1) * sizeof(char *), MCXT_ALLOC_HUGE);
	for (int64 rank = 0; rank < shift->nids; rank++)
	{
		if (shift->known[rank] == TPM_SHIFT_MISSED)
			missing.ids[missing.n++] = reconciliation->held.ids[rank];
	}
	goes_on = tpm_copy_ask_missing(reconciliation->run, &missing);
	reconciliation->requests += missing.requests;
	reconciliation->unfinished |= missing.open > 0;
	return goes_on;
}

/* ----- searching ----- */

static int64
pages_expected(const Reconciliation *reconciliation)
{
	return Max((reconciliation->held.n + reconciliation->page_rows - 1) / reconciliation->page_rows, 1);
}

/* false: as tpm_copy_step(); *impossible: positions or ids of this list say nothing */
static bool
search_once(Reconciliation *reconciliation, TpmShift *shift, bool *impossible)
{
	TpmCopyRun *run = reconciliation->run;
	TpmShiftOutcome outcome;

	MemoryContextReset(reconciliation->context);
	reconciliation->controls.n = 0;
	if (!tpm_copy_ids_load(run, &reconciliation->held, reconciliation->context))
		return false;
	*shift = (TpmShift)
	{
		.orders = run->copy->id_orders,.ids = (const char *const *) reconciliation->held.ids,
			.nids = reconciliation->held.n,.page_rows = reconciliation->page_rows,
			.most_requests = pages_expected(reconciliation) + 3,.read = read_probe,.arg = reconciliation
	};
	outcome = tpm_shift_search(shift);
	reconciliation->unfinished = outcome == TPM_SHIFT_LIMITED;
	*impossible = outcome == TPM_SHIFT_UNPAGED || outcome == TPM_SHIFT_UNORDERED ||
		(outcome == TPM_SHIFT_STOPPED && reconciliation->unknown_position);
	return outcome != TPM_SHIFT_STOPPED || reconciliation->unknown_position;
}

/* rows that the list should have */
static bool
is_settled(const TpmCopyRun *run, const TpmShift *shift)
{
	return shift->listed < 0 || shift->listed == run->copy->rows - run->copy->unlisted;
}

static bool
removes_unlisted(const TpmCopyRun *run)
{
	return strcmp(run->copy->unlisted_option, "remove") == 0;
}

/* until the two are equal, or a whole search brings nothing, or as much was asked as a sweep has pages */
static bool
search_all(Reconciliation *reconciliation, bool *impossible)
{
	TpmCopyRun *run = reconciliation->run;
	TimestampTz began = GetCurrentTimestamp();
	TpmShift	shift;
	int64		most;

	do
	{
		MemoryContext old = MemoryContextSwitchTo(reconciliation->context);
		bool		goes_on = search_once(reconciliation, &shift, impossible);

		MemoryContextSwitchTo(reconciliation->context);
		most = pages_expected(reconciliation) + 3;
		goes_on = goes_on && (*impossible || ask_what_is_missing(reconciliation, &shift));
		MemoryContextSwitchTo(old);
		if (!goes_on)
			return false;
	} while (!*impossible && !is_settled(run, &shift) && shift.missed + shift.lacked > 0 &&
			 reconciliation->requests < most);
	if (*impossible)
		return true;
	reconciliation->disagrees = shift.total >= 0 && shift.total != run->copy->rows - run->copy->unlisted;
	/* where the two agree, no list has what was found unlisted just now */
	return tpm_copy_ask_unlisted(run, &reconciliation->controls,
								 removes_unlisted(run) && is_settled(run, &shift) ? DT_NOEND : began);
}

char *
tpm_copy_id_sort(const TpmCopyRun *run)
{
	const TpmColumn *id = &run->table->columns[run->table->id_attnum - 1];

	return id->sortable ? tpm_request_sort_name(id) : NULL;
}

/* NULL: as often as pays */
static TimestampTz
next_check(const TpmCopyRun *run, const Interval *interval)
{
	/* each row that lists do not tell of is asked for by its own path */
	int64		requests = pages_of_copy(run) + run->copy->unlisted;
	int64		us = interval ? tpm_interval_us(interval) : tpm_copy_pays_us(run->copy, run->table, requests);
	TimestampTz now = GetCurrentTimestamp();

	return us > DT_NOEND - now - 1 ? DT_NOEND : now + us;
}

void
tpm_copy_plan_checks(TpmCopyRun *run)
{
	run->copy->next_reconcile = next_check(run, run->copy->reconcile);
	run->copy->next_sweep = next_check(run, run->copy->sweep);
}

static void
begin_reconciliation(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	tpm_copy_set_phase(run, TPM_RUN_RECONCILE);
}

typedef struct ReconcileResult
{
	bool		unfinished;
	bool		disagrees;
} ReconcileResult;

static void
end_reconciliation(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	const ReconcileResult *result = arg;
	TpmCopy    *copy = run->copy;

	copy->next_reconcile = result->unfinished ? GetCurrentTimestamp() : next_check(run, copy->reconcile);
	/* what a filling has left out and what has gone since may hide each other */
	copy->sweep_planned |= result->disagrees && copy->last_success < copy->filled;
	tpm_copy_set_phase(run, TPM_RUN_NONE);
}

/* false: as tpm_copy_step(); *impossible: it was not to be found out so; *result: of it, if not */
static bool
reconcile_by_shift(TpmCopyRun *run, bool *impossible, ReconcileResult *result)
{
	Reconciliation reconciliation = {
		.run = run,
		.context = AllocSetContextCreate(run->context, "tpm_fdw reconcile", ALLOCSET_DEFAULT_SIZES),
		.page_context = AllocSetContextCreate(run->context, "tpm_fdw probe", ALLOCSET_DEFAULT_SIZES),
		.walk = tpm_copy_walk(run, tpm_copy_id_sort(run)),
	};
	bool		goes_on;

	reconciliation.page_rows = tpm_copy_page_rows(run, reconciliation.walk);
	tpm_copy_walk_know_link(run, reconciliation.walk);
	goes_on = search_all(&reconciliation, impossible);
	*result = (ReconcileResult)
	{
		.unfinished = reconciliation.unfinished,.disagrees = reconciliation.disagrees
	};
	MemoryContextDelete(reconciliation.page_context);
	MemoryContextDelete(reconciliation.context);
	return goes_on;
}

bool
tpm_copy_reconcile(TpmCopyRun *run)
{
	bool		impossible = tpm_copy_id_sort(run) == NULL || run->copy->id_orders == 0;
	ReconcileResult result = {0};

	if (!impossible &&
		!(tpm_copy_step(run, NULL, begin_reconciliation, NULL) && reconcile_by_shift(run, &impossible, &result)))
		return false;
	return impossible ? tpm_copy_sweep(run) : tpm_copy_step(run, NULL, end_reconciliation, &result);
}
