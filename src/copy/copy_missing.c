/*-------------------------------------------------------------------------
 *
 * copy_missing.c
 *		Rows of a copy that no page of the list had: are they gone?
 *
 * Owns the answer, and every deletion of a run.  That a row is missing proves
 * nothing: the list may have moved while it was read, hide some, or be cut.
 * What is missing is asked for by a filter on its id, a page of ids at a time;
 * what that brings is alive.  What it does not bring is asked for by its own
 * path: 404 or 410 is the API's word that it is gone; 200 is a row that lists
 * do not tell of (*unlisted*); anything else ends the run.
 *
 * Of many, the filter's word suffices for the rest where some of all parts of
 * the list were asked by their path and all were gone, and no row of this copy
 * was ever unlisted.  It counts only from a filter that, in the same answer,
 * brought a row that is known to be listed: one that is ignored, or always
 * empty, says nothing.  Nor does a 404 of an API that answers it to every path:
 * before a row is deleted, a row that is listed has to be there by its own path.
 *
 * Nothing is deleted before all was asked: then all of it in one step, if it
 * is not more than the deletion limit lets pass.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "copy/copy_ids_internal.h"
#include "copy/copy_missing_internal.h"
#include "document/id_spelling.h"

/* so many are all asked by their own path; of more, so many before the filter is believed (10 is promised) */
#define ALL_BY_PATH		50
#define SOME_BY_PATH	20

/* what a filter on ids brings in more pages is asked for by path */
#define MOST_FILTERED_PAGES	20

/* a deletion of so few is never too many */
#define NEVER_TOO_MANY	10

typedef enum MissingVerdict
{
	MISSING_OPEN,
	MISSING_ALIVE,
	MISSING_ABSENT,				/* the filter, whose word counts, did not
								 * bring it */
	MISSING_GONE
} MissingVerdict;

typedef struct MissingState
{
	TpmMissingRows *missing;
	MissingVerdict *verdicts;	/* one for each id */
	int			from;			/* the batch, or the one id, that is asked for */
	int			to;
	bool		control_seen;	/* in the batch's answer */
	bool		ignored;		/* the filter brought what nobody asked for */
	bool		path_works;		/* a resource was there by its own path */
	int			control;		/* the one that is asked for by its own path */
	int			asked_by_path;
	int			gone_by_path;
	TimestampTz left;			/* when the first one that said "gone" was
								 * asked */
} MissingState;

static void
note_asked(MissingState *state, TimestampTz left)
{
	if (state->left == TPM_NEVER || left < state->left)
		state->left = left;
}

static bool
is_removing(const TpmCopyRun *run)
{
	return strcmp(run->copy->unlisted_option, "remove") == 0;
}

bool
tpm_copy_keeps_gone(const TpmCopyRun *run)
{
	return strcmp(run->copy->deletions, "keep") == 0;
}

void
tpm_copy_note_listed(TpmCopyRun *run, char *const *ids, int n)
{
	if (run->copy->unlisted > 0)
		run->copy->unlisted -= tpm_copy_ids_remove(run->guard, TPM_ID_UNLISTED, ids, n);
}

/* ----- by a filter ----- */

static const TpmColumn *
id_column(const TpmCopyRun *run)
{
	return &run->table->columns[run->table->id_attnum - 1];
}

/* the place in the batch of an id; -1: it was not asked for */
static int
place_in_batch(const MissingState *state, const char *id)
{
	for (int i = state->from; i < state->to; i++)
	{
		if (strcmp(state->missing->ids[i], id) == 0)
			return i;
	}
	return -1;
}

/* the filter is asked for the first one as well */
static bool
is_control(const MissingState *state, const char *id)
{
	return state->missing->controls->n > 0 && strcmp(state->missing->controls->ids[0], id) == 0;
}

static void
take_filtered_page(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	MissingState *state = arg;
	TpmCopyCounts counts;

	for (int i = 0; i < page->n; i++)
		state->ignored |= place_in_batch(state, page->ids[i]) < 0 && !is_control(state, page->ids[i]);
	if (state->ignored)
		return;
	for (int i = 0; i < page->n; i++)
	{
		int			place = place_in_batch(state, page->ids[i]);

		if (place >= 0)
			state->verdicts[place] = MISSING_ALIVE;
		else
			state->control_seen = true;
	}
	tpm_copy_apply_page(run, page, &counts);
	tpm_copy_note_listed(run, page->ids, page->n);
	note_asked(state, page->left);
}

/* as many as a page can bring, and an address can hold, with the control */
static TpmTerm *
next_batch(TpmCopyRun *run, MissingState *state, int page_rows)
{
	TpmMissingRows *missing = state->missing;
	TpmTerm    *term = palloc0(sizeof(TpmTerm));
	size_t		bytes = 0;
	int			most = Max(page_rows - 1, 1);

	term->parameter = tpm_request_filter_name(run->table, id_column(run));
	if (missing->controls->n > 0)
		term->values = list_make1(unconstify(char *, tpm_id_spelling(run->table, missing->controls->ids[0])));
	for (state->to = state->from; state->to < missing->n && state->to - state->from < most; state->to++)
	{
		char	   *value = unconstify(char *, tpm_id_spelling(run->table, missing->ids[state->to]));

		bytes += tpm_request_list_length(list_make1(value));
		if (bytes > TPM_MAX_LIST_BYTES && state->to > state->from)
			break;
		term->values = lappend(term->values, value);
	}
	return term;
}

/* no value with a comma or of blanks is one value of a list */
static bool
may_be_filtered(const TpmMissingRows *missing)
{
	for (int i = 0; i < missing->n; i++)
	{
		const char *id = missing->ids[i];

		if (id[0] == '\0' || strchr(id, ',') || id[strcspn(id, " \t\n")] != '\0' || strcmp(id, "null") == 0)
			return false;
	}
	return true;
}

static bool
ask_by_filter(TpmCopyRun *run, MissingState *state)
{
	TpmMissingRows *missing = state->missing;

	if (id_column(run)->filter == NULL || !may_be_filtered(missing))
		return true;
	for (state->from = 0; state->from < missing->n && !state->ignored; state->from = state->to)
	{
		TpmCopyWalk *walk = tpm_copy_walk(run, NULL);
		int64		before;

		if (missing->requests >= missing->most_requests)
			return true;
		walk->request.terms = list_make1(next_batch(run, state, walk->request.page_size));
		state->control_seen = false;
		before = missing->requests;
		while (!walk->ended && !state->ignored)
		{
			/*
			 * pages that are cut before they are filtered are those of the
			 * whole list: paths are fewer
			 */
			if (missing->requests - before > Min(state->to - state->from, MOST_FILTERED_PAGES))
				return true;
			missing->requests++;
			if (!tpm_copy_step(run, walk, take_filtered_page, state))
				return false;
		}
		for (int i = state->from; i < state->to && state->control_seen && !state->ignored; i++)
		{
			if (state->verdicts[i] == MISSING_OPEN)
				state->verdicts[i] = MISSING_ABSENT;
		}
	}
	/* who brings more than was asked for may leave out what was, too */
	for (int i = 0; i < missing->n && state->ignored; i++)
	{
		if (state->verdicts[i] == MISSING_ABSENT)
			state->verdicts[i] = MISSING_OPEN;
	}
	return true;
}

/* ----- by its own path ----- */

/* what it is doing is not for others to guess */
pg_noreturn static void
raise_no_word(const TpmCopyPage *page, const char *id)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("the API does not say whether resource \"%s\" is gone", id),
			 errdetail("It was asked for it by its own path, and answered with status %d%s.", page->status,
					   page->rows ? " and another resource, or none" : ""),
			 errhint("Nothing was deleted. The next run asks again.")));
}

/* lists do not tell of it, and it lives */
static void
keep_unlisted(TpmCopyRun *run, const TpmCopyPage *page, char *id)
{
	TpmCopyCounts counts;

	tpm_copy_apply_page(run, page, &counts);
	run->copy->unlisted += 1 - tpm_copy_ids_remove(run->guard, TPM_ID_UNLISTED, &id, 1);
	tpm_copy_ids_add(run->guard, TPM_ID_UNLISTED, &id, 1, page->left);
	run->copy->ever_unlisted = true;
}

static void
take_resource(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	MissingState *state = arg;
	char	   *id = state->missing->ids[state->from];

	state->asked_by_path++;
	if (page->status == 404 || page->status == 410)
	{
		state->gone_by_path++;
		state->verdicts[state->from] = MISSING_GONE;
		note_asked(state, page->left);
	}
	else if (page->rows && page->n == 1 && strcmp(page->ids[0], id) == 0)
	{
		state->path_works = true;
		state->verdicts[state->from] = MISSING_ALIVE;

		/*
		 * a second run in which no list tells of it is word enough that the
		 * list no longer has it
		 */
		if (is_removing(run) && tpm_copy_ids_remove(run->guard, TPM_ID_UNLISTED, &id, 1) > 0)
		{
			run->copy->unlisted--;
			state->verdicts[state->from] = MISSING_GONE;
			note_asked(state, page->left);
		}
		else
			keep_unlisted(run, page, id);
	}
	else
		raise_no_word(page, id);
}

/* one that others have deleted meanwhile is followed by another one */
static void
take_control(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	MissingState *state = arg;
	const TpmControls *controls = state->missing->controls;

	state->path_works = page->rows && page->n == 1 && strcmp(page->ids[0], controls->ids[state->control]) == 0;
	if (!state->path_works && state->control == controls->n - 1)
		raise_no_word(page, controls->ids[state->control]);
}

/* *asked: it has a path of its own */
static bool
ask_by_path(TpmCopyRun *run, MissingState *state, const char *id, TpmCopyWork work, bool *asked)
{
	TpmCopyWalk *walk = tpm_copy_walk(run, NULL);
	const char *spelling = tpm_id_spelling(run->table, id);
	char	   *path = tpm_request_id_path(walk->request.path, spelling, false);

	*asked = path != NULL;
	if (path == NULL)
		return true;
	walk->request.shown_path = tpm_request_id_path(walk->request.shown_path, spelling, true);
	walk->request.path = path;
	walk->request.by_id = true;
	walk->request.page_size = 0;
	walk->any_status = true;
	state->missing->requests++;
	return tpm_copy_step(run, walk, work, state);
}

/* of one alone: gone, or for the filter to say more of */
static void
take_only_one(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	MissingState *state = arg;

	if (page->status == 404 || page->status == 410)
		take_resource(run, page, arg);
	else
		state->path_works = page->rows != NULL;
}

/* is the filter's word enough for what was not asked for yet? */
static bool
filter_suffices(const TpmCopyRun *run, const MissingState *state)
{
	if (is_removing(run))
		return true;
	return state->missing->n > ALL_BY_PATH && state->asked_by_path >= SOME_BY_PATH &&
		state->gone_by_path == state->asked_by_path && !run->copy->ever_unlisted;
}

static bool
ask_one_by_path(TpmCopyRun *run, MissingState *state, int place)
{
	TpmMissingRows *missing = state->missing;
	MissingVerdict *verdict = &state->verdicts[place];
	bool		asked = true;

	state->from = place;
	if (*verdict == MISSING_ABSENT && filter_suffices(run, state))
		*verdict = MISSING_GONE;
	if (*verdict != MISSING_OPEN && *verdict != MISSING_ABSENT)
		return true;
	if (missing->requests < missing->most_requests &&
		!ask_by_path(run, state, missing->ids[place], take_resource, &asked))
		return false;
	return true;
}

/* those that are asked before the filter is believed come from all parts of the list */
static bool
ask_by_paths(TpmCopyRun *run, MissingState *state)
{
	TpmMissingRows *missing = state->missing;

	for (int i = 0; i < SOME_BY_PATH && missing->n > ALL_BY_PATH; i++)
	{
		if (!ask_one_by_path(run, state, (int) ((int64) i * missing->n / SOME_BY_PATH)))
			return false;
	}
	for (int place = 0; place < missing->n; place++)
	{
		if (!ask_one_by_path(run, state, place))
			return false;
		if (state->verdicts[place] == MISSING_OPEN || state->verdicts[place] == MISSING_ABSENT)
			missing->open++;
	}
	return true;
}

/* ----- deleting ----- */

typedef struct GoneRows
{
	char	  **ids;
	int			n;
	TimestampTz left;
} GoneRows;

/* the limit is of all that a run deletes */
static void
refuse_too_many(const TpmCopyRun *run, int n)
{
	int64		rows = run->copy->rows + run->rows_deleted;
	int64		all = run->rows_deleted + n;
	double		limit = Max(floor(tpm_copy_deletion_limit * rows), NEVER_TOO_MANY);

	if (run->accept_deletions || all <= limit)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg(INT64_FORMAT " of " INT64_FORMAT " rows would be deleted", all, rows),
			 errdetail("The API says that they are gone. tpm_fdw.copy_deletion_limit lets a run delete %.0f.", limit),
			 errhint("If it is right: CALL tpm_fdw_sync(%s, accept_deletions => true).",
					 quote_literal_cstr(run->name))));
}

/* what the copy keeps though it is gone counts as what lists do not tell of */
static void
keep_gone(TpmCopyRun *run, const GoneRows *gone)
{
	run->copy->unlisted += gone->n - tpm_copy_ids_remove(run->guard, TPM_ID_UNLISTED, gone->ids, gone->n);
	tpm_copy_ids_add(run->guard, TPM_ID_UNLISTED, gone->ids, gone->n, gone->left);
}

static void
delete_gone(TpmCopyRun *run, TpmCopyPage *page, void *arg)
{
	GoneRows   *gone = arg;

	if (tpm_copy_keeps_gone(run))
	{
		keep_gone(run, gone);
		return;
	}
	refuse_too_many(run, gone->n);
	run->rows_deleted += tpm_copy_delete(run, gone->ids, gone->n, gone->left);
	if (run->copy->unlisted > 0)
		run->copy->unlisted -= tpm_copy_ids_remove(run->guard, TPM_ID_UNLISTED, gone->ids, gone->n);
}

static GoneRows *
collect_gone(const MissingState *state)
{
	GoneRows   *gone = palloc0(sizeof(GoneRows));

	gone->ids = palloc_extended(Max(state->missing->n, 1) * sizeof(char *), MCXT_ALLOC_HUGE);
	gone->left = state->left;
	for (int i = 0; i < state->missing->n; i++)
	{
		if (state->verdicts[i] == MISSING_GONE)
			gone->ids[gone->n++] = state->missing->ids[i];
	}
	return gone;
}

/* an API that has nothing by its own path says nothing by a 404 */
static bool
check_path(TpmCopyRun *run, MissingState *state)
{
	const TpmControls *controls = state->missing->controls;
	bool		asked;

	for (state->control = 0; state->control < controls->n && state->gone_by_path > 0 && !state->path_works; state->control++)
	{
		if (!ask_by_path(run, state, controls->ids[state->control], take_control, &asked))
			return false;
	}
	return true;
}

void
tpm_copy_take_controls(TpmCopyRun *run, TpmControls *controls, const TpmCopyPage *page)
{
	if (page->n == 0)
		return;
	controls->n = Min(page->n, TPM_MOST_CONTROLS);
	for (int i = 0; i < controls->n; i++)
		controls->ids[i] = MemoryContextStrdup(run->context, page->ids[page->n - 1 - i * (page->n - 1) / TPM_MOST_CONTROLS]);
}

bool
tpm_copy_ask_missing(TpmCopyRun *run, TpmMissingRows *missing)
{
	MissingState state = {.missing = missing,.left = TPM_NEVER};
	MemoryContext old;
	GoneRows   *gone;
	bool		goes_on = true;
	bool		asked;

	missing->requests = missing->open = 0;
	if (missing->n == 0)
		return true;
	old = MemoryContextSwitchTo(run->context);
	state.verdicts = palloc_extended(missing->n * sizeof(MissingVerdict), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	/* one row that is gone costs one request */
	if (missing->n == 1)
		goes_on = ask_by_path(run, &state, missing->ids[0], take_only_one, &asked);
	if (state.verdicts[0] != MISSING_GONE || missing->n > 1)
		goes_on = goes_on && ask_by_filter(run, &state) && ask_by_paths(run, &state);
	if (goes_on)
	{
		gone = collect_gone(&state);
		if (gone->n > 0)
			goes_on = check_path(run, &state) && tpm_copy_step(run, NULL, delete_gone, gone);
	}
	MemoryContextSwitchTo(old);
	return goes_on;
}
