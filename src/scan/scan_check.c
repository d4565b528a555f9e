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

static TpmTableStats
learnt_of(const TpmScan *scan)
{
	TpmTableStats learnt = {0};

	(void) tpm_table_stats_get(scan->table->relid, scan->table->options_hash, &learnt);
	return learnt;
}

/* does what the column holds decide which rows there are, or is it kept somewhere? */
static bool
matters(const TpmScan *scan, const TpmColumn *column)
{
	return list_member_int(scan->checked, column->attnum) || scan->session->statement->makes_table;
}

/* ERROR, WARNING, or 0: nothing is to be said, or it was said */
static int
level_for(TpmScan *scan, const TpmColumn *column, bool *warned)
{
	int			mode = scan->table->opt.missing_attribute;

	if (mode == TPM_MISSING_NULL)
		return 0;
	if (mode == TPM_MISSING_ERROR || matters(scan, column))
		return ERROR;
	if (*warned)
		return 0;
	*warned = true;
	return WARNING;
}

static void
missing_member(TpmScan *scan, int nrows, const TpmColumn *column, bool once_there)
{
	int			level = level_for(scan, column, &scan->warned_missing);

	if (level == 0)
		return;
	ereport(level,
			(errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
			 errmsg("no resource of %s has the member that column \"%s\" is mapped to",
					scan->table->name, column->name),
			 errdetail("Member \"%s\" is on none of %d resources%s.", tpm_request_member(scan->table, column)
					   ? tpm_request_sort_name(column) : column->name, nrows,
					   once_there ? ", and was on every one that was read before" : ""),
			 errhint("Correct the column's option attribute, relationship or pointer, or set missing_attribute to \"null\".")));
}

static void
unknown_value(TpmScan *scan, const TpmColumn *column)
{
	int			level = level_for(scan, column, &scan->warned_unknown);
	const char *name = tpm_request_member(scan->table, column);

	if (level == 0)
		return;
	ereport(level,
			(errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
			 errmsg("the API does not tell the value of column \"%s\" for every resource of %s",
					column->name, scan->table->name),
			 column->kind == TPM_COL_INCLUDED
			 ? errdetail("Relationship \"%s\" of a resource has no \"data\", or leads to a resource that is not in \"included\".", name)
			 : errdetail("Relationship \"%s\" of a resource has no \"data\", which would name what it leads to.", name),
			 errhint("Name the relationship in the option include of the table, if the API can include it; or set missing_attribute to \"null\", which reads such values as NULL.")));
}

/*
 * A wrong name, a member that has gone and a value that is not told must not
 * look like an empty column, wherever the page comes from.  A member that some
 * resources have and others have not is NULL on those.
 */
void
tpm_scan_check_members(TpmScan *scan, int nrows, const TpmPageMembers *members)
{
	TpmTableStats learnt;
	bool		is_known = false;
	ListCell   *lc;

	foreach(lc, scan->columns)
	{
		const TpmColumn *column = &scan->table->columns[lfirst_int(lc) - 1];
		bool		once_there;

		if (tpm_column_bit(members->unknown, column->attnum))
			unknown_value(scan, column);
		if (nrows < TPM_TELLING_PAGE || !tpm_column_has_member(column) ||
			column->attnum >= TPM_SEEN_WORDS * 64 || tpm_column_bit(members->seen, column->attnum))
			continue;
		if (!is_known)
			learnt = learnt_of(scan);
		is_known = true;
		once_there = tpm_column_bit(learnt.seen_columns, column->attnum);
		if (!once_there || !tpm_column_bit(learnt.lacked_columns, column->attnum))
			missing_member(scan, nrows, column, once_there);
	}
}

static void
learn_members(TpmScan *scan, const TpmPageMembers *members)
{
	TpmTableStats learnt = learnt_of(scan);
	bool		anything_new = false;

	for (int i = 0; i < TPM_SEEN_WORDS; i++)
	{
		uint64		gone = learnt.seen_columns[i] & ~learnt.lacked_columns[i] & ~members->seen[i];

		anything_new = anything_new || (members->seen[i] & ~learnt.seen_columns[i]) != 0 ||
			(members->lacked[i] & ~learnt.lacked_columns[i] & ~gone) != 0;
	}
	if (anything_new)
		tpm_table_stats_members(scan->table->relid, scan->table->options_hash, members->seen,
								members->lacked);
}

void
tpm_scan_received(TpmScan *scan, const TpmPage *page)
{
	learn_members(scan, &page->members);
	tpm_scan_check_members(scan, page->nrows, &page->members);
	scan->pages++;
	scan->received_rows += page->nrows;
	scan->received_bytes += page->bytes;
	/* its rows are about to be returned, one after the other */
	tpm_session_show(scan->session, scan->rows + page->nrows);
}

/* ----- names of members in "fields" ----- */

bool
tpm_scan_may_name(const TpmScan *scan)
{
	TpmTableStats learnt = learnt_of(scan);
	ListCell   *lc;

	foreach(lc, scan->columns)
	{
		int			attnum = lfirst_int(lc);

		/* of a column without a bit nothing is learnt */
		if (attnum >= TPM_SEEN_WORDS * 64 ||
			(tpm_column_bit(learnt.unnamed_columns, attnum) && !tpm_column_bit(learnt.named_columns, attnum)))
			return false;
	}
	return true;
}

bool
tpm_scan_names_are_known(const TpmScan *scan, const TpmPageMembers *members)
{
	TpmTableStats learnt = learnt_of(scan);
	uint64		named[TPM_SEEN_WORDS] = {0};
	uint64		unnamed[TPM_SEEN_WORDS] = {0};
	bool		is_new = false;
	bool		all_known = true;
	ListCell   *lc;

	foreach(lc, scan->columns)
	{
		int			attnum = lfirst_int(lc);
		bool		seen = tpm_column_bit(members->seen, attnum);
		uint64	   *words = seen ? named : unnamed;

		if (tpm_request_member(scan->table, &scan->table->columns[attnum - 1]) == NULL ||
			tpm_column_bit(learnt.named_columns, attnum))
			continue;
		words[attnum / 64] |= UINT64CONST(1) << (attnum % 64);
		is_new = true;
		all_known = all_known && seen;
	}
	if (is_new)
		tpm_table_stats_fields(scan->table->relid, scan->table->options_hash, named, unnamed);
	return all_known;
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
