/*-------------------------------------------------------------------------
 *
 * check_hidden.c
 *		tpm_fdw_check of one foreign table: does its list leave rows out?
 *
 * Owns the two requests that find out, and what is said about them.
 *
 * APIs of this kind hide what is inactive, closed or archived unless a filter
 * asks for it.  Where a column that can be filtered by has but one value on
 * the page, and that value has a known opposite, both are asked for: more
 * rows than without a condition were hidden.  The request that shows them is
 * what the option query then adds to every read.  Of a list that is complete
 * in its first page, a filter that is obeyed, asked for what that shows, tells,
 * too: what it brings besides was hidden.  It goes with the request that tries
 * an order, if there is one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "check/check.h"
#include "shared/counters.h"

/* fewer rows than this say nothing about the values that a column has */
#define TELLING_ROWS	3

/* values of a column that one filter asks for */
#define MOST_VALUES		20

/* rows of a page that are compared with those of another: all that was asked for */
#define MOST_ROWS	1000

typedef struct Opposite
{
	const char *shown;
	const char *hidden;
} Opposite;

/* in whatever case */
static const Opposite opposites[] = {
	{"Active", "Inactive"}, {"Open", "Closed"}, {"Enabled", "Disabled"}, {"Current", "Archived"},
	{"Live", "Archived"}, {"Published", "Unpublished"}, {"Visible", "Hidden"}, {NULL, NULL}
};

typedef struct Hidden
{
	TpmTableCheck *check;
	const TpmColumn *column;
	char	   *shown;			/* as the API spells it */
	List	   *others;			/* of char *, never NIL */
	const TpmAnswer *answer;
	TpmPage    *page;
} Hidden;

/* the opposite, in the case that the value is written in */
static char *
opposite_of(const char *value)
{
	for (int i = 0; opposites[i].shown; i++)
	{
		char	   *other;

		if (pg_strcasecmp(opposites[i].shown, value) != 0)
			continue;
		other = pstrdup(opposites[i].hidden);
		if (strcmp(value, opposites[i].shown) != 0)
			for (char *c = other; *c; c++)
				*c = value[strlen(value) - 1] >= 'a' ? pg_ascii_tolower((unsigned char) *c)
					: pg_ascii_toupper((unsigned char) *c);
		return other;
	}
	return NULL;
}

/* the column's values that the page does not show */
static List *
other_values(const TpmColumn *column, const char *shown)
{
	List	   *others = NIL;
	char	   *other;
	ListCell   *lc;

	foreach(lc, column->filter_values)
	{
		TpmFilterValue *pair = lfirst(lc);

		if (strcmp(pair->api, shown) != 0)
			others = lappend(others, pair->api);
	}
	if (others != NIL || column->filter_values != NIL)
		return others;
	if (column->type == BOOLOID)
		return list_make1(strcmp(shown, "true") == 0 ? "false" : "true");
	other = opposite_of(shown);
	return other ? list_make1(other) : NIL;
}

/* the one value that all rows have, NULL if there are several or none */
static char *
only_value(const TpmTableCheck *check, const TpmColumn *column)
{
	char	   *only = NULL;

	for (int row = 0; row < check->page->nrows; row++)
	{
		char	   *text = tpm_check_spell(check, column, check->page->rows[row].tuple);

		if (text == NULL || (only && strcmp(only, text) != 0))
			return NULL;
		only = text;
	}
	return only;
}

static bool
find_hidden_column(Hidden *hidden)
{
	const TpmTable *table = hidden->check->table;

	if (hidden->check->page->nrows < TELLING_ROWS)
		return false;
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (column->kind != TPM_COL_ATTRIBUTE || column->filter == NULL || column->placeholder ||
			(column->type != TEXTOID && column->type != VARCHAROID && column->type != BOOLOID) ||
			(column->filter_operators & TPM_FILTER_IN) == 0)
			continue;
		hidden->column = column;
		hidden->shown = only_value(hidden->check, column);
		hidden->others = hidden->shown ? other_values(column, hidden->shown) : NIL;
		if (hidden->others != NIL)
			return true;
	}
	return false;
}

static void
read_hidden_rows(void *arg)
{
	Hidden	   *hidden = arg;
	Bitmapset  *columns = bms_make_singleton(hidden->column->attnum);

	if (hidden->check->table->id_attnum > 0)
		columns = bms_add_member(columns, hidden->check->table->id_attnum);
	hidden->page = tpm_check_decode(hidden->check, hidden->answer, columns);
}

static char *
join(List *values)
{
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, values)
		appendStringInfo(&text, "%s%s", text.len > 0 ? "," : "", (char *) lfirst(lc));
	return text.data;
}

static char *
query_for(const Hidden *hidden)
{
	const TpmTable *table = hidden->check->table;
	char	   *parameter = tpm_request_filter_name(table, hidden->column);
	StringInfoData query;
	ListCell   *lc;

	initStringInfo(&query);
	if (table->opt.query)
		appendStringInfo(&query, "%s&", table->opt.query);
	if (table->opt.list_format == TPM_LIST_COMMA)
	{
		appendStringInfo(&query, "%s=%s,%s", parameter, hidden->shown, join(hidden->others));
		return query.data;
	}
	appendStringInfo(&query, "%s[]=%s", parameter, hidden->shown);
	foreach(lc, hidden->others)
		appendStringInfo(&query, "&%s[]=%s", parameter, (char *) lfirst(lc));
	return query.data;
}

/* does the page hold a row of another value, in front of one that was on the first page, too? */
static bool
stands_between(const Hidden *hidden, int row)
{
	const TpmPage *first = hidden->check->page;

	for (int later = row + 1; later < Min(hidden->page->nrows, MOST_ROWS); later++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < Min(first->nrows, MOST_ROWS); i++)
			if (first->rows[i].idhash == hidden->page->rows[later].idhash)
				return true;
	}
	return false;
}

static bool
shows_more(const Hidden *hidden)
{
	const TpmTableCheck *check = hidden->check;
	int64		total = tpm_check_total(check, hidden->answer);

	if (check->total >= 0 && total >= 0)
		return total > check->total;
	/* the first of them tells as much as all */
	for (int row = 0; row < hidden->page->nrows; row++)
	{
		char	   *text = tpm_check_spell(check, hidden->column, hidden->page->rows[row].tuple);

		if (text && strcmp(text, hidden->shown) != 0)
			return !check->more || stands_between(hidden, row);
	}
	return false;
}

static void
judge_hidden(Hidden *hidden)
{
	TpmTableCheck *check = hidden->check;
	char	   *others = join(hidden->others);

	if (!shows_more(hidden))
	{
		tpm_report(check->report, "hidden rows", TPM_STEP_OK,
				   psprintf("none: %s is %s in the list, and asking for %s as well brings no more",
							hidden->column->name, hidden->shown, others), NULL);
		return;
	}
	tpm_table_stats_hides(check->table->relid, check->table->options_hash);
	tpm_report(check->report, "hidden rows", TPM_STEP_FAILED,
			   psprintf("the list shows only rows whose %s is %s; asking for %s as well brings more%s",
						hidden->column->name, hidden->shown, others,
						check->total < 0 ? "" : psprintf(" (" INT64_FORMAT " instead of " INT64_FORMAT ")",
														 tpm_check_total(check, hidden->answer),
														 check->total)),
			   tpm_alter_table(check->table, tpm_alter_option(NIL, "query", query_for(hidden))));
}

/* the rows that a term brings; false: the step has been reported */
static bool
ask_for(Hidden *hidden, List *values)
{
	TpmTableCheck *check = hidden->check;
	TpmRequest *request = tpm_check_request(check);
	TpmTerm    *term = palloc0(sizeof(TpmTerm));
	ErrorData  *error;

	term->parameter = tpm_request_filter_name(check->table, hidden->column);
	term->values = values;
	request->terms = list_make1(term);
	hidden->answer = tpm_check_fetch(check, request);
	if (hidden->answer == NULL)
		return false;
	if (hidden->answer->status < 200 || hidden->answer->status > 299)
		tpm_report(check->report, "hidden rows", TPM_STEP_NOT_TRIED,
				   psprintf("asking for rows whose %s is %s was refused: %s", hidden->column->name,
							join(values), tpm_check_refusal(hidden->answer)), NULL);
	else if (tpm_attempt(read_hidden_rows, hidden, &error))
		return true;
	else
		tpm_report_error(check->report, "hidden rows", error, NULL);
	return false;
}

/* ----- a filter for what the list shows anyway ----- */

/* the values of the page, if they are few; NIL: too many, or one cannot be sent */
static List *
few_values(const TpmTableCheck *check, const TpmColumn *column)
{
	bool		lists = (column->filter_operators & TPM_FILTER_IN) != 0;
	List	   *values = NIL;
	ListCell   *lc;

	for (int row = 0; row < check->page->nrows; row++)
	{
		char	   *text = tpm_check_spell(check, column, check->page->rows[row].tuple);
		bool		known = text == NULL;

		foreach(lc, values)
			known = known || strcmp(lfirst(lc), text) == 0;
		if (known)
			continue;
		if (list_length(values) >= (lists ? MOST_VALUES : 1))
			return lists ? NIL : values;
		values = lappend(values, text);
	}
	return values;
}

static bool
is_on_first_page(const TpmTableCheck *check, uint64 idhash)
{
	for (int row = 0; row < check->page->nrows; row++)
	{
		if (check->page->rows[row].idhash == idhash)
			return true;
	}
	return false;
}

/* the list is complete: whatever a filter brings that it lacks was hidden */
static void
compare_with_list(Hidden *hidden)
{
	TpmTableCheck *check = hidden->check;

	for (int row = 0; row < hidden->page->nrows; row++)
	{
		if (is_on_first_page(check, hidden->page->rows[row].idhash))
			continue;
		tpm_table_stats_hides(check->table->relid, check->table->options_hash);
		tpm_report(check->report, "hidden rows", TPM_STEP_FAILED,
				   psprintf("the filter on %s brings a row that the list of %d lacks", hidden->column->name,
							check->page->nrows),
				   "If the API has a filter that shows all rows, put it into the option query of the foreign table. Until then no list answers other conditions than its own.");
		return;
	}
	tpm_report(check->report, "hidden rows", TPM_STEP_OK,
			   psprintf("none: what the filter on %s brings is in the list", hidden->column->name), NULL);
}

static bool
has_null(const TpmTableCheck *check, const TpmColumn *column)
{
	for (int row = 0; row < check->page->nrows; row++)
	{
		if (tpm_check_spell(check, column, check->page->rows[row].tuple) == NULL)
			return true;
	}
	return false;
}

void
tpm_check_hidden_filter(TpmTableCheck *check, const TpmColumn *column)
{
	List	   *values;

	if (column->kind == TPM_COL_ID || has_null(check, column))
		return;
	values = few_values(check, column);
	/* a column of one value may be what hides them */
	if (list_length(values) <= (check->shown_values == NIL ? 0 : 1) ||
		(list_length(check->shown_values) > 1 && list_length(values) >= list_length(check->shown_values)))
		return;
	check->shown_column = column;
	check->shown_values = values;
}

TpmTerm *
tpm_check_hidden_term(const TpmTableCheck *check)
{
	TpmTerm    *term;

	if (check->shown_values == NIL || check->more || check->hidden_told)
		return NULL;
	term = palloc0(sizeof(TpmTerm));
	term->parameter = tpm_request_filter_name(check->table, check->shown_column);
	term->values = check->shown_values;
	return term;
}

void
tpm_check_hidden_compare(TpmTableCheck *check, const TpmPage *page)
{
	Hidden		hidden = {.check = check,.column = check->shown_column,.page = (TpmPage *) page};

	check->hidden_told = true;
	compare_with_list(&hidden);
}

void
tpm_check_hidden_rest(TpmTableCheck *check)
{
	Hidden		hidden = {.check = check,.column = check->shown_column};

	if (check->hidden_told)
		return;
	if (check->more && check->shown_values != NIL)
		tpm_report(check->report, "hidden rows", TPM_STEP_NOT_TRIED,
				   "not to be told: what a filter brings and the first page lacks may be on a later one", NULL);
	else if (tpm_check_hidden_term(check) && check->left > 0 && ask_for(&hidden, check->shown_values))
		compare_with_list(&hidden);
}

void
tpm_check_hidden(TpmTableCheck *check)
{
	Hidden		hidden = {.check = check};

	check->hidden_told = find_hidden_column(&hidden);
	if (check->hidden_told && ask_for(&hidden, lcons(hidden.shown, list_copy(hidden.others))))
		judge_hidden(&hidden);
}
