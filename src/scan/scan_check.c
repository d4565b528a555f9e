/*-------------------------------------------------------------------------
 *
 * scan_check.c
 *		What a page from the API tells of the mapping: members that do not
 *		exist, filters that do not filter.
 *
 * Owns what follows from each: an error, a WARNING, a filter that is no longer
 * trusted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"

#include "scan/scan.h"

/* a page this long shows every member that there is */
#define TPM_TELLING_PAGE 20

/* ----- members ----- */

/* nothing is told of a column that has no bit */
static bool
is_seen(const uint64 *seen, int attnum)
{
	return attnum >= TPM_SEEN_WORDS * 64 ||
		(seen[attnum / 64] & (UINT64CONST(1) << (attnum % 64))) != 0;
}

static void
missing_member(TpmScan *scan, int nrows, const TpmColumn *column)
{
	int			mode = scan->table->opt.missing_attribute;
	int			level = ERROR;

	if (mode == TPM_MISSING_NULL)
		return;
	if (mode == TPM_MISSING_WARN && !list_member_int(scan->checked, column->attnum))
	{
		if (scan->warned_missing)
			return;
		scan->warned_missing = true;
		level = WARNING;
	}
	ereport(level,
			(errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
			 errmsg("no resource of %s has the member that column \"%s\" is mapped to",
					scan->table->name, column->name),
			 errdetail("Member \"%s\" is on none of %d resources.", tpm_request_member(scan->table, column)
					   ? tpm_request_sort_name(column) : column->name, nrows),
			 errhint("Correct the column's option attribute, relationship or pointer, or set missing_attribute to \"null\".")));
}

static bool
has_member(const TpmColumn *column)
{
	return column->kind == TPM_COL_ATTRIBUTE || column->kind == TPM_COL_RELATIONSHIP ||
		column->kind == TPM_COL_POINTER;
}

/* a wrong name must not look like an empty column, wherever the page comes from */
void
tpm_scan_check_members(TpmScan *scan, int nrows, const uint64 *seen)
{
	TpmTableStats learnt;
	bool		is_known = false;
	ListCell   *lc;

	if (nrows < TPM_TELLING_PAGE)
		return;
	foreach(lc, scan->columns)
	{
		const TpmColumn *column = &scan->table->columns[lfirst_int(lc) - 1];

		if (!has_member(column) || is_seen(seen, column->attnum))
			continue;
		if (!is_known)
		{
			memset(&learnt, 0, sizeof(learnt));
			(void) tpm_table_stats_get(scan->table->relid, scan->table->options_hash, &learnt);
			is_known = true;
		}
		if (!is_seen(learnt.seen_columns, column->attnum))
			missing_member(scan, nrows, column);
	}
}

static void
learn_members(TpmScan *scan, const uint64 *seen)
{
	TpmTableStats learnt = {0};
	bool		anything_new = false;

	(void) tpm_table_stats_get(scan->table->relid, scan->table->options_hash, &learnt);
	for (int i = 0; i < TPM_SEEN_WORDS; i++)
		anything_new = anything_new || (seen[i] & ~learnt.seen_columns[i]) != 0;
	if (anything_new)
		tpm_table_stats_seen(scan->table->relid, scan->table->options_hash, seen);
}

void
tpm_scan_received(TpmScan *scan, const TpmPage *page)
{
	learn_members(scan, page->seen);
	tpm_scan_check_members(scan, page->nrows, page->seen);
	scan->pages++;
	/* its rows are about to be returned, one after the other */
	tpm_session_show(scan->session, scan->rows + page->nrows);
}

/* ----- filters ----- */

static void
demote(TpmScan *scan, AttrNumber attnum)
{
	const TpmColumn *column = &scan->table->columns[attnum - 1];

	tpm_table_stats_lying(scan->table->relid, scan->table->options_hash, attnum);
	scan->demoted = true;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("foreign table %s: the API's filter \"%s\" gave a row that does not match",
					scan->table->name, column->filter ? column->filter : column->name),
			 errdetail("The row is left out. From now on no count or limit relies on this filter."),
			 errhint("Set the option filter_match of column \"%s\" to \"recheck\".",
					 column->name)));
}

/* ----- the row in hand ----- */

void
tpm_scan_hold(TpmScan *scan, HeapTuple tuple)
{
	TupleTableSlot *slot = scan->in_hand;
	ListCell   *lc;

	scan->tests->ecxt_scantuple = slot;
	if (scan->map == NIL)
	{
		ExecStoreHeapTuple(tuple, slot, false);
		return;
	}
	ExecClearTuple(slot);
	foreach(lc, scan->map)
	{
		int			at = foreach_current_index(lc);

		slot->tts_isnull[at] = true;
		if (lfirst_int(lc) > 0)
			slot->tts_values[at] = heap_getattr(tuple, lfirst_int(lc), scan->tupdesc,
												&slot->tts_isnull[at]);
	}
	ExecStoreVirtualTuple(slot);
}

bool
tpm_scan_test(TpmScan *scan, ExprState *test, bool *isnull)
{
	bool		result = DatumGetBool(ExecEvalExprSwitchContext(test, scan->tests, isnull));

	ResetExprContext(scan->tests);
	return !*isnull && result;
}

/*
 * Counts and small pages rest on exact filters, so each row that came by one
 * is tested; the executor tests it again, whatever the outcome here.
 */
void
tpm_scan_check_filters(TpmScan *scan)
{
	bool		isnull;

	if (scan->demoted || !scan->query->all_sent)
		return;
	for (int i = 0; i < scan->nconditions && !scan->demoted; i++)
	{
		TpmPlanCondition *condition = &scan->conditions[i];

		if (condition->test && !tpm_scan_test(scan, condition->test, &isnull))
			demote(scan, condition->attnum);
	}
}

/* a NULL is beyond nothing */
bool
tpm_scan_is_beyond(TpmScan *scan)
{
	ListCell   *lc;

	foreach(lc, scan->stops)
	{
		bool		isnull;

		if (!tpm_scan_test(scan, lfirst(lc), &isnull) && !isnull)
			return true;
	}
	return false;
}
