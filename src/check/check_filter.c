/*-------------------------------------------------------------------------
 *
 * check_filter.c
 *		tpm_fdw_check of one foreign table: is each filter obeyed?
 *
 * Owns the request that tries filters, and the judgement of its answer.
 *
 * All filters of a table are tried in one request.  Each is given the values
 * of a few rows of the first page but for one value, that of its witness: a
 * row which every other filter lets through (check_witness.c).  The answer
 * must hold the row that all let through, and neither a witness nor any other
 * row with a value that was not asked for.  One of the filters is given as
 * many values as a join asks for at a time, that of the row behind all others:
 * an API that cuts lists short loses it.  A request that is refused, or loses
 * rows, is tried once more with short lists, without the filter that it names,
 * or with one value each.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"

#include "check/check_filter.h"
#include "document/inverse.h"
#include "document/value.h"
#include "shared/counters.h"

/* a list of fewer values says nothing of a hundred */
#define LONG_LIST	20

/* ----- asking ----- */

static List *
add_value(List *values, char *text)
{
	ListCell   *lc;

	foreach(lc, values)
	{
		if (strcmp(lfirst(lc), text) == 0)
			return values;
	}
	return lappend(values, text);
}

static bool
is_asked_for(const TpmTriedFilter *filter, const char *text)
{
	ListCell   *lc;

	foreach(lc, filter->values)
	{
		if (text && strcmp(lfirst(lc), text) == 0)
			return true;
	}
	return false;
}

static size_t
bytes_of_all(const TpmTriedFilters *filters)
{
	size_t		bytes = 0;

	for (int i = 0; i < filters->n; i++)
		bytes += tpm_request_list_length(filters->items[i].values);
	return bytes;
}

/* the filter of most values on the page, if the API takes several of them at a time; NULL: none */
static TpmTriedFilter *
filter_of_most_values(TpmTriedFilters *filters)
{
	TpmTriedFilter *most = NULL;

	for (int i = 0; i < filters->n; i++)
	{
		TpmTriedFilter *filter = &filters->items[i];

		if (filter->bound == NULL && (filter->column->filter_operators & TPM_FILTER_IN) &&
			(most == NULL || filter->distinct > most->distinct))
			most = filter;
	}
	return most;
}

/*
 * In front of what one filter asks for anyhow, the values of other rows of the
 * page, but for the one that it must leave out; as many as a URL holds.
 */
static void
lengthen_list(TpmTriedFilters *filters)
{
	TpmTriedFilter *filter = filter_of_most_values(filters);
	size_t		bytes,
				others;
	const char *unwanted;
	List	   *more = NIL;

	if (filter == NULL)
		return;
	bytes = tpm_request_list_length(filter->values);
	others = bytes_of_all(filters) - bytes;
	unwanted = filter->witness >= 0 ? filter->texts[filter->witness] : NULL;
	for (int row = 0; row < filters->nrows; row++)
	{
		char	   *text = filter->texts[row];

		if (text == NULL || is_asked_for(filter, text) || (unwanted && strcmp(text, unwanted) == 0))
			continue;
		bytes += tpm_request_list_length(list_make1(text));
		if (bytes > TPM_MAX_LIST_BYTES || others + bytes > TPM_MAX_FILTER_BYTES)
			break;
		more = add_value(more, text);
	}
	if (more == NIL)
		return;
	filter->values = list_concat(more, filter->values);
	filters->longest = filter;
}

static void
fill_values(TpmTriedFilters *filters, bool one_each)
{
	for (int i = 0; i < filters->n; i++)
	{
		TpmTriedFilter *filter = &filters->items[i];

		filter->values = list_make1(filter->bound ? filter->limit_text : filter->texts[filters->base]);
		if (filter->bound)
			continue;
		for (int j = 0; j < filters->n && !one_each; j++)
		{
			int			row = filters->items[j].witness;

			if (j != i && row >= 0 && (filter->column->filter_operators & TPM_FILTER_IN))
				filter->values = add_value(filter->values, filter->texts[row]);
		}
	}
}

/* a URL has room for so much */
static void
leave_out_long(TpmTriedFilters *filters)
{
	for (;;)
	{
		int			longest = 0;

		fill_values(filters, false);
		for (int i = 0; i < filters->n; i++)
		{
			if (tpm_request_list_length(filters->items[i].values) > tpm_request_list_length(filters->items[longest].values))
				longest = i;
		}
		if (bytes_of_all(filters) <= TPM_MAX_FILTER_BYTES)
			return;
		tpm_filters_leave_out(filters, longest, "not tried: its values are too long for a URL beside the others");
	}
}

static char *
parameter_of(const TpmTriedFilter *filter)
{
	return filter->bound ? pstrdup(filter->bound) : tpm_request_filter_name(filter->table, filter->column);
}

static void
read_filtered_rows(void *arg)
{
	TpmTriedFilters *filters = arg;
	Bitmapset  *columns = NULL;

	for (int i = 0; i < filters->n; i++)
		columns = bms_add_member(columns, filters->items[i].column->attnum);
	if (filters->check->table->id_attnum > 0)
		columns = bms_add_member(columns, filters->check->table->id_attnum);
	filters->page = tpm_check_decode(filters->check, filters->answer, columns);
}

/* how many values a filter is given */
typedef enum ListLength
{
	ONE_EACH,
	AS_NEEDED,
	ONE_LONG					/* and one as many as there are */
} ListLength;

static void
ask_filtered(TpmTriedFilters *filters, ListLength length)
{
	TpmTableCheck *check = filters->check;
	TpmRequest *request = tpm_check_request(check);
	ErrorData  *error;

	filters->page = NULL;
	fill_values(filters, length == ONE_EACH);
	filters->longest = NULL;
	if (length == ONE_LONG)
		lengthen_list(filters);
	for (int i = 0; i < filters->n; i++)
	{
		TpmTerm    *term = palloc0(sizeof(TpmTerm));

		term->parameter = parameter_of(&filters->items[i]);
		term->values = filters->items[i].values;
		request->terms = lappend(request->terms, term);
	}
	filters->answer = tpm_check_fetch(check, request);
	if (filters->answer == NULL)
		filters->refusal = "no request is left for it";
	else if (filters->answer->status < 200 || filters->answer->status > 299)
		filters->refusal = tpm_check_refusal(filters->answer);
	else if (!tpm_attempt(read_filtered_rows, filters, &error))
		filters->refusal = error->message;
	else
		filters->refusal = NULL;
}

/* ----- judging ----- */

static bool
holds_one(const TpmTriedFilter *filter, const char *text)
{
	ListCell   *lc;

	foreach(lc, filter->values)
	{
		int			len = strlen(lfirst(lc));

		for (const char *s = text; s && *s; s++)
			if (pg_strncasecmp(s, lfirst(lc), len) == 0)
				return true;
	}
	return false;
}

/* the text of the row's value, for people; *right: it was asked for */
static char *
judge_row(const TpmTriedFilters *filters, const TpmTriedFilter *filter, HeapTuple row, bool *right)
{
	char	   *text;
	bool		isnull;
	Datum		value = heap_getattr(row, filter->column->attnum, filters->check->tupdesc, &isnull);

	if (filter->bound == NULL)
	{
		text = tpm_check_spell(filters->check, filter->column, row);
		*right = is_asked_for(filter, text);
		return text;
	}
	*right = tpm_filter_is_within(filters, filter, row);
	if (isnull)
		return NULL;
	return tpm_is_time_type(filter->column->type) ? tpm_time_text(filter->column, filter->column->type, value)
		: tpm_filter_bound_text(filter, value);
}

static void
judge_rows(TpmTriedFilters *filters)
{
	for (int row = 0; row < filters->page->nrows; row++)
	{
		for (int i = 0; i < filters->n; i++)
		{
			TpmTriedFilter *filter = &filters->items[i];
			bool		right;
			char	   *text = judge_row(filters, filter, filters->page->rows[row].tuple, &right);

			if (right)
				continue;
			filter->partial = filter->bound == NULL && (!filter->wrong || filter->partial) && holds_one(filter, text);
			filter->wrong = true;
			if (filter->example == NULL)
				filter->example = text ? text : "NULL";
		}
	}
}

/* a server that obeys no filter at all, and not one that matches parts */
static void
judge_all(TpmTriedFilters *filters)
{
	for (int i = 0; i < filters->n; i++)
		if (!filters->items[i].wrong && filters->items[i].witness >= 0)
			return;
	for (int i = 0; i < filters->n; i++)
		if (!filters->items[i].partial && filters->items[i].wrong)
		{
			for (int j = 0; j < filters->n; j++)
				filters->items[j].partial = false;
			return;
		}
}

static bool
has_more(const TpmTriedFilters *filters)
{
	return filters->page->links.next != NULL || filters->page->nrows >= filters->check->table->opt.page_size;
}

static bool
has_base(const TpmTriedFilters *filters)
{
	uint64		wanted = filters->check->page->rows[filters->base].idhash;

	for (int row = 0; row < filters->page->nrows; row++)
	{
		if (filters->page->rows[row].idhash == wanted)
			return true;
	}
	/* it may stand on a later page */
	return has_more(filters);
}

/* the filter that a refusal speaks of: by its parameter, or else by its name alone; -1 */
static int
named_filter(const TpmTriedFilters *filters)
{
	char	   *words = tpm_answer_words(filters->answer);
	int			found = -1;
	int			longest = 0;

	for (int i = 0; i < filters->n; i++)
	{
		if (strstr(filters->answer->body, parameter_of(&filters->items[i])))
			return i;
	}
	for (int i = 0; i < filters->n; i++)
	{
		const char *name = filters->items[i].column->filter;

		if (name && words && strstr(words, name) && (int) strlen(name) > longest)
		{
			found = i;
			longest = strlen(name);
		}
	}
	return found;
}

static char *
drop_filter(const TpmTable *table, const TpmTriedFilter *filter)
{
	const TpmColumn *column = filter->column;
	List	   *options;

	if (filter->bound)
		return tpm_alter_column(table, column,
								tpm_alter_option(NIL, filter->upper ? "filter_le" : "filter_ge", NULL));
	options = tpm_alter_option(NIL, "filter", NULL);
	options = tpm_alter_option(options, "filter_match", NULL);
	options = tpm_alter_option(options, "filter_operators", NULL);
	options = tpm_alter_option(options, "filter_values", NULL);
	return tpm_alter_column(table, column, options);
}

static void
report_filter(TpmTriedFilters *filters, const TpmTriedFilter *filter)
{
	TpmTableCheck *check = filters->check;
	const TpmColumn *column = filter->column;
	char	   *step = tpm_filter_step(filter);

	if (filter->wrong)
	{
		if (column->filter_exact)
			tpm_table_stats_lying(check->table->relid, check->table->options_hash, column->attnum);
		if (filter->partial)
			tpm_report(check->report, step, column->filter_exact ? TPM_STEP_FAILED : TPM_STEP_OK,
					   psprintf("it also brings values that hold what was asked for: %s", filter->example),
					   column->filter_exact
					   ? tpm_alter_column(check->table, column, tpm_alter_option(NIL, "filter_match", "recheck"))
					   : NULL);
		else
			tpm_report(check->report, step, TPM_STEP_FAILED,
					   psprintf("not obeyed: it brought %s, which was not asked for", filter->example),
					   drop_filter(check->table, filter));
	}
	else if (filter->witness >= 0)
	{
		tpm_report(check->report, step, TPM_STEP_OK, "obeyed: it left out what was not asked for", NULL);
		if (filter->bound == NULL)
			tpm_check_hidden_filter(check, column);
	}
	else
		tpm_report(check->report, step, TPM_STEP_NOT_TRIED,
				   "no row of the page could tell: the other filters leave out the same rows", NULL);
}

static void
report_refused(TpmTriedFilters *filters)
{
	TpmTableCheck *check = filters->check;
	int			named = named_filter(filters);

	if (named < 0)
	{
		for (int i = 0; i < filters->n; i++)
			tpm_report(check->report, tpm_filter_step(&filters->items[i]),
					   TPM_STEP_FAILED, psprintf("refused together with others: %s", filters->refusal),
					   "Take the filters from the columns one by one and check again.");
		filters->n = 0;
		return;
	}
	tpm_report(check->report, tpm_filter_step(&filters->items[named]),
			   TPM_STEP_FAILED, psprintf("refused: %s", filters->refusal),
			   drop_filter(check->table, &filters->items[named]));
	memmove(&filters->items[named], &filters->items[named + 1],
			sizeof(TpmTriedFilter) * (filters->n - named - 1));
	filters->n--;
}

/* rows that all filters let through are missing: a list is spelt otherwise, or a filter loses rows */
static void
report_lost(TpmTriedFilters *filters)
{
	TpmTableCheck *check = filters->check;
	int			was = check->table->opt.list_format;
	bool		lists_at_fault;

	ask_filtered(filters, ONE_EACH);
	lists_at_fault = filters->page && has_base(filters);
	if (lists_at_fault)
		tpm_report(check->report, "list format", TPM_STEP_FAILED,
				   "several values in one filter lose rows, one value does not",
				   tpm_alter_table(check->table,
								   tpm_alter_option(NIL, "list_format", was == TPM_LIST_COMMA ? "repeat" : "comma")));
	for (int i = 0; i < filters->n; i++)
		tpm_report(check->report, tpm_filter_step(&filters->items[i]),
				   lists_at_fault ? TPM_STEP_NOT_TRIED : TPM_STEP_FAILED,
				   lists_at_fault ? "one value is obeyed or ignored; check again when lists are spelt right"
				   : "together with the others it loses a row that matches",
				   lists_at_fault ? NULL
				   : "A filter that loses rows makes queries miss them: drop the option filter of the columns, and add it again one by one with a check after each.");
}

/* reports those that have shown what they do, and forgets them */
static void
report_known(TpmTriedFilters *filters)
{
	int			n = 0;

	for (int i = 0; i < filters->n; i++)
	{
		TpmTriedFilter *filter = &filters->items[i];

		if (filter->wrong || filter->witness >= 0)
			report_filter(filters, filter);
		else
			filters->items[n++] = *filter;
	}
	filters->n = n;
}

/* ----- what else the answer tells ----- */

/* did a filter leave out a row that the list has? */
static bool
leaves_out(const TpmTriedFilters *filters)
{
	for (int i = 0; i < filters->n; i++)
	{
		if (filters->items[i].witness >= 0 && !filters->items[i].wrong)
			return true;
	}
	return false;
}

/* is the total of the answer that of the rows which match? */
static void
judge_filtered_total(const TpmTriedFilters *filters)
{
	TpmTableCheck *check = filters->check;
	int64		total = tpm_check_total(check, filters->answer);
	bool		more = has_more(filters);

	if (total < 0 || check->total < 0 || check->total_told)
		return;
	check->total_told = true;
	if (more ? total == check->total && leaves_out(filters) : total > filters->page->nrows)
	{
		tpm_table_stats_filtered_total(check->table->relid, check->table->options_hash, false);
		tpm_report(check->report, "filtered total", TPM_STEP_FAILED,
				   psprintf("it is " INT64_FORMAT ", whatever filters leave out", total),
				   tpm_alter_table(check->table, tpm_alter_option(NIL, "total_pointer", "")));
	}
	else if (total < check->total)
	{
		tpm_table_stats_filtered_total(check->table->relid, check->table->options_hash, true);
		tpm_report(check->report, "filtered total", TPM_STEP_OK,
				   psprintf("it counts what matches: " INT64_FORMAT " of " INT64_FORMAT, total, check->total), NULL);
	}
	else
		tpm_report(check->report, "filtered total", TPM_STEP_NOT_TRIED,
				   "not to be told: every row may match", NULL);
}

static bool
is_refused(const TpmTriedFilters *filters)
{
	return filters->refusal && filters->answer && tpm_check_is_refusal(filters->answer);
}

static bool
is_about_another(const TpmTriedFilters *filters, const TpmTriedFilter *filter)
{
	int			named = named_filter(filters);

	return named >= 0 && &filters->items[named] != filter;
}

/*
 * A join asks for a hundred values at a time.  Where that is refused or loses
 * a row, and a few values are not, it is the number of them.
 */
static void
ask_with_long_list(TpmTriedFilters *filters)
{
	TpmTableCheck *check = filters->check;
	const TpmTriedFilter *filter;
	int			n;

	ask_filtered(filters, check->long_list_told ? AS_NEEDED : ONE_LONG);
	filter = filters->longest;
	if (filter && is_refused(filters) && is_about_another(filters, filter))
		return;
	if (filter == NULL || !(is_refused(filters) || (filters->page && !has_base(filters))))
	{
		/* what an answer of a full page lacks may be on the next one */
		if (filter && filters->page && !has_more(filters) && list_length(filter->values) >= LONG_LIST)
		{
			check->long_list_told = true;
			tpm_report(check->report, "long list", TPM_STEP_OK,
					   psprintf("%d values in one filter lose no row", list_length(filter->values)), NULL);
		}
		return;
	}
	n = list_length(filter->values);
	check->long_list_told = true;
	ask_filtered(filters, AS_NEEDED);
	if (filters->page && has_base(filters))
		tpm_report(check->report, "long list", TPM_STEP_FAILED,
				   psprintf("%d values in one filter are too many: a row is lost that fewer values find", n),
				   tpm_alter_column(check->table, filter->column,
									tpm_alter_option(NIL, "filter_operators", "=")));
}

/* false: there is nothing more to ask for */
static bool
try_filters(TpmTriedFilters *filters)
{
	TpmTableCheck *check = filters->check;

	tpm_filters_choose(filters);
	leave_out_long(filters);
	if (filters->n == 0)
		return false;
	ask_with_long_list(filters);
	if (is_refused(filters))
	{
		report_refused(filters);
		if (filters->n == 0)
			return false;
		ask_filtered(filters, AS_NEEDED);
	}
	if (filters->page == NULL)
	{
		for (int i = 0; i < filters->n; i++)
			tpm_report(check->report, tpm_filter_step(&filters->items[i]), TPM_STEP_NOT_TRIED,
					   psprintf("not tried: %s", filters->refusal), NULL);
		return false;
	}
	judge_rows(filters);
	judge_all(filters);
	if (!has_base(filters))
	{
		report_lost(filters);
		return false;
	}
	judge_filtered_total(filters);
	report_known(filters);
	return filters->n > 0;
}

void
tpm_check_filters(TpmTableCheck *check)
{
	TpmTriedFilters filters = {.check = check};

	tpm_filters_collect(&filters);

	/*
	 * those in the shadow of others are tried without them, if a request is
	 * left for the order
	 */
	if (try_filters(&filters) && (check->left < 2 || try_filters(&filters)))
	{
		for (int i = 0; i < filters.n; i++)
			report_filter(&filters, &filters.items[i]);
	}
}
