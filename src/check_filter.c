/*-------------------------------------------------------------------------
 *
 * check_filter.c
 *		tpm_fdw_check of one foreign table: is each filter obeyed?
 *
 * All filters of a table are tried in one request.  Each is given the values
 * of a few rows of the first page but for one value, that of its witness: a
 * row which every other filter lets through.  A bound leaves out the lower
 * (or upper) quarter of the page.  The answer must hold the row
 * that all let through, and neither a witness nor any other row with a value
 * that was not asked for.  A request that is refused, or loses rows, is
 * tried once more without the filter that it names, or with one value each.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "check.h"
#include "counters.h"
#include "shippable.h"

/* rows of the page that witnesses are looked for among, and values of one filter */
#define MOST_ROWS	100
#define MOST_BASES	20

typedef struct Filter
{
	const TpmTable *table;
	const TpmColumn *column;
	const char *bound;			/* parameter of a bound; NULL: the plain
								 * filter */
	bool		upper;			/* and rows are below it */
	char	  **texts;			/* of each row of the page, NULL: none to send */
	bool	   *within;			/* of each row: a bound lets it through */
	Datum		limit;			/* what a bound asks for */
	char	   *limit_text;		/* NULL: no value of the page would do */
	int			distinct;		/* texts on the page */
	int			witness;		/* a row, -1: none */
	List	   *values;			/* that are asked for, of char * */
	bool		wrong;			/* a row came that was not asked for */
	bool		partial;		/* whose value holds one that was */
	char	   *example;
} Filter;

typedef struct Filters
{
	TpmTableCheck *check;
	Filter	   *items;
	int			n;
	int			nrows;
	int			base;			/* the row that all filters let through */
	TpmPage    *page;			/* the answer's */
	const TpmAnswer *answer;
	char	   *refusal;		/* or why there is none */
} Filters;

static bool
is_tried(const TpmColumn *column)
{
	return column->kind != TPM_COL_NONE && column->filter != NULL && !column->placeholder &&
		(column->filter_operators & (TPM_FILTER_EQ | TPM_FILTER_IN)) != 0;
}

/* the bound that is tried: the lower one, if the column has both */
static const char *
bound_of(const TpmColumn *column, bool *upper)
{
	*upper = column->filter_ge == NULL;
	return column->kind == TPM_COL_NONE ? NULL : *upper ? column->filter_le : column->filter_ge;
}

bool
tpm_check_has_filter(const TpmTable *table)
{
	bool		upper;

	for (int i = 0; i < table->natts; i++)
	{
		if (is_tried(&table->columns[i]) || bound_of(&table->columns[i], &upper))
			return true;
	}
	return false;
}

char *
tpm_check_spell(const TpmTableCheck *check, const TpmColumn *column, HeapTuple row)
{
	bool		isnull;
	bool		none;
	Datum		value = heap_getattr(row, column->attnum, check->tupdesc, &isnull);
	List	   *values;

	if (isnull || OidIsValid(get_element_type(column->type)))
		return NULL;
	values = tpm_condition_values(check->table, column, TPM_COND_EQ, value, isnull, column->type, &none);
	return values != NIL && strchr(linitial(values), ',') == NULL ? linitial(values) : NULL;
}

static int
compare_values(const TpmColumn *column, Datum a, Datum b)
{
	TypeCacheEntry *entry = lookup_type_cache(column->type, TYPECACHE_CMP_PROC_FINFO);

	return DatumGetInt32(FunctionCall2Coll(&entry->cmp_proc_finfo, column->collation, a, b));
}

static char *
bound_text(const Filter *filter, Datum value)
{
	bool		none;
	List	   *values = tpm_condition_values(filter->table, filter->column,
											  filter->upper ? TPM_COND_LE : TPM_COND_GE, value, false,
											  filter->column->type, &none);

	return values ? linitial(values) : NULL;
}

static bool
is_within(const Filters *filters, const Filter *filter, HeapTuple row)
{
	bool		isnull;
	Datum		value = heap_getattr(row, filter->column->attnum, filters->check->tupdesc, &isnull);

	return !isnull && compare_values(filter->column, value, filter->limit) * (filter->upper ? -1 : 1) >= 0;
}

static Filter *
add_filter(Filters *filters, const TpmColumn *column)
{
	Filter	   *filter = &filters->items[filters->n++];

	filter->table = filters->check->table;
	filter->column = column;
	filter->witness = -1;
	filter->texts = palloc0(sizeof(char *) * Max(filters->nrows, 1));
	return filter;
}

static void
collect_plain(Filters *filters, const TpmColumn *column)
{
	Filter	   *filter = add_filter(filters, column);

	for (int row = 0; row < filters->nrows; row++)
		filter->texts[row] = tpm_check_spell(filters->check, column,
											 filters->check->page->rows[row].tuple);
}

/* the value that a quarter of the values are in front of */
static void
choose_limit(Filter *filter, Datum *values, int n)
{
	int			sign = filter->upper ? -1 : 1;

	for (int i = 1; i < n; i++)
	{
		Datum		value = values[i];
		int			at = i;

		for (; at > 0 && sign * compare_values(filter->column, values[at - 1], value) > 0; at--)
			values[at] = values[at - 1];
		values[at] = value;
	}
	for (int i = n / 4; i < n; i++)
	{
		if (compare_values(filter->column, values[0], values[i]) == 0)
			continue;
		filter->limit = values[i];
		filter->limit_text = bound_text(filter, filter->limit);
		return;
	}
}

static void
collect_bound(Filters *filters, const TpmColumn *column, const char *bound, bool upper)
{
	Filter	   *filter = add_filter(filters, column);
	Datum	   *values = palloc(sizeof(Datum) * Max(filters->nrows, 1));
	int			n = 0;

	filter->bound = bound;
	filter->upper = upper;
	for (int row = 0; row < filters->nrows; row++)
	{
		bool		isnull;
		Datum		value = heap_getattr(filters->check->page->rows[row].tuple, column->attnum,
										 filters->check->tupdesc, &isnull);

		if (isnull)
			continue;
		filter->texts[row] = bound_text(filter, value);
		values[n++] = value;
	}
	choose_limit(filter, values, n);
	filter->within = palloc0(sizeof(bool) * Max(filters->nrows, 1));
	for (int row = 0; row < filters->nrows && filter->limit_text; row++)
		filter->within[row] = is_within(filters, filter, filters->check->page->rows[row].tuple);
}

static void
collect(Filters *filters)
{
	const TpmTable *table = filters->check->table;

	filters->nrows = Min(filters->check->page->nrows, MOST_ROWS);
	filters->items = palloc0(sizeof(Filter) * Max(2 * table->natts, 1));
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];
		bool		upper;
		const char *bound = bound_of(column, &upper);

		if (is_tried(column))
			collect_plain(filters, column);
		if (bound)
			collect_bound(filters, column, bound, upper);
	}
}

static char *
step_of(const Filter *filter)
{
	return psprintf("filter %s%s", filter->column->name, filter->bound == NULL ? ""
					: filter->upper ? " <=" : " >=");
}

/* ----- choosing witnesses ----- */

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* can the row be one that all filters let through, as far as this one knows? */
static bool
may_pass(const Filter *filter, int row)
{
	return filter->texts[row] != NULL && (filter->bound == NULL || filter->within[row]);
}

/* does the filter let the row through, if it leaves out what its witness has? */
static bool
lets_through(const Filters *filters, const Filter *filter, int row)
{
	const char *text = filter->texts[row];

	if (!may_pass(filter, row) || filter->bound)
		return may_pass(filter, row);
	if (!(filter->column->filter_operators & TPM_FILTER_IN))
		return same_text(text, filter->texts[filters->base]);
	return filter->witness < 0 || !same_text(text, filter->texts[filter->witness]);
}

/* could this row tell that the filter is obeyed, beside the witnesses there are? */
static bool
may_be_witness(Filters *filters, Filter *filter, int row)
{
	bool		good;

	if (filter->bound ? lets_through(filters, filter, row)
		: same_text(filter->texts[row], filter->texts[filters->base]))
		return false;
	for (int i = 0; i < filters->n; i++)
	{
		Filter	   *other = &filters->items[i];

		if (other != filter && !lets_through(filters, other, row))
			return false;
	}
	/* those chosen before must still be let through by this one */
	filter->witness = row;
	good = true;
	for (int i = 0; i < filters->n && good; i++)
	{
		Filter	   *other = &filters->items[i];

		if (other != filter && other->witness >= 0)
			good = lets_through(filters, filter, other->witness);
	}
	filter->witness = -1;
	return good;
}

/* how many filters have a witness with this row as the base */
static int
choose_with(Filters *filters, int base)
{
	int			chosen = 0;

	filters->base = base;
	for (int i = 0; i < filters->n; i++)
		filters->items[i].witness = -1;
	for (int i = 0; i < filters->n; i++)
	{
		if (!may_pass(&filters->items[i], base))
			return -1;
	}
	for (int i = 0; i < filters->n; i++)
	{
		Filter	   *filter = &filters->items[i];

		for (int row = 0; row < filters->nrows; row++)
		{
			if (row == base || !may_be_witness(filters, filter, row))
				continue;
			filter->witness = row;
			chosen++;
			break;
		}
	}
	return chosen;
}

/* filters that no row has a value for, or all the same, cannot be tried */
static void
leave_out(Filters *filters, int i, const char *why)
{
	Filter	   *filter = &filters->items[i];

	tpm_report(filters->check->report, step_of(filter), TPM_STEP_NOT_TRIED,
			   why, NULL);
	memmove(filter, filter + 1, sizeof(Filter) * (filters->n - i - 1));
	filters->n--;
}

static int
distinct_texts(const Filters *filters, const Filter *filter)
{
	int			distinct = 0;

	for (int row = 0; row < filters->nrows; row++)
	{
		bool		before = filter->texts[row] == NULL;

		for (int i = 0; i < row && !before; i++)
			before = same_text(filter->texts[i], filter->texts[row]);
		distinct += !before;
	}
	return distinct;
}

static void
leave_out_uniform(Filters *filters)
{
	for (int i = filters->n - 1; i >= 0; i--)
	{
		Filter	   *filter = &filters->items[i];
		bool		differ = false;

		for (int row = 0; row < filters->nrows && !differ; row++)
			differ = !same_text(filter->texts[row], filter->texts[0]);
		filter->distinct = distinct_texts(filters, filter);
		if (filter->distinct == 0)
			leave_out(filters, i, "not tried: no row of the page has a value that can be sent");
		else if (!differ || (filter->bound && filter->limit_text == NULL))
			leave_out(filters, i, "not tried: all rows of the page have the same value");
	}
}

/* the base in which the fewest filters have no value */
static void
leave_out_sparse(Filters *filters)
{
	int			best = 0;
	int			most = -1;

	for (int row = 0; row < Min(filters->nrows, MOST_ROWS); row++)
	{
		int			n = 0;

		for (int i = 0; i < filters->n; i++)
			n += may_pass(&filters->items[i], row);
		if (n > most)
		{
			most = n;
			best = row;
		}
	}
	for (int i = filters->n - 1; i >= 0; i--)
		if (!may_pass(&filters->items[i], best))
			leave_out(filters, i, "not tried: no row of the page has a value for this filter and the others");
}

static int
compare_distinct(const void *a, const void *b)
{
	return ((const Filter *) a)->distinct - ((const Filter *) b)->distinct;
}

/* the base with which the most filters have a witness */
static void
choose(Filters *filters)
{
	int			best = -1;
	int			most = -1;
	int			bases = 0;

	/*
	 * the fewer values, the fewer rows that can be its witness: first come,
	 * first served
	 */
	qsort(filters->items, filters->n, sizeof(Filter), compare_distinct);
	for (int row = 0; row < filters->nrows && bases < MOST_BASES; row++)
	{
		int			n = choose_with(filters, row);

		CHECK_FOR_INTERRUPTS();
		bases += n >= 0;
		if (n > most)
		{
			most = n;
			best = row;
		}
	}
	if (best >= 0)
		choose_with(filters, best);
}

/* ----- asking ----- */

static int
bytes_of(const Filter *filter)
{
	int			bytes = 0;
	ListCell   *lc;

	/* each may be percent-encoded */
	foreach(lc, filter->values)
		bytes += 3 * strlen(lfirst(lc)) + 1;
	return bytes;
}

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

static void
fill_values(Filters *filters, bool one_each)
{
	for (int i = 0; i < filters->n; i++)
	{
		Filter	   *filter = &filters->items[i];

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
leave_out_long(Filters *filters)
{
	for (;;)
	{
		int			all = 0;
		int			longest = 0;

		fill_values(filters, false);
		for (int i = 0; i < filters->n; i++)
		{
			all += bytes_of(&filters->items[i]);
			if (bytes_of(&filters->items[i]) > bytes_of(&filters->items[longest]))
				longest = i;
		}
		if (all <= TPM_MAX_FILTER_BYTES)
			return;
		leave_out(filters, longest, "not tried: its values are too long for a URL beside the others");
	}
}

static char *
parameter_of(const Filter *filter)
{
	return filter->bound ? pstrdup(filter->bound) : tpm_request_filter_name(filter->table, filter->column);
}

static void
read_rows(void *arg)
{
	Filters    *filters = arg;
	Bitmapset  *columns = NULL;

	for (int i = 0; i < filters->n; i++)
		columns = bms_add_member(columns, filters->items[i].column->attnum);
	if (filters->check->table->id_attnum > 0)
		columns = bms_add_member(columns, filters->check->table->id_attnum);
	filters->page = tpm_check_decode(filters->check, filters->answer, columns);
}

static void
ask(Filters *filters, bool one_each)
{
	TpmTableCheck *check = filters->check;
	TpmRequest *request = tpm_check_request(check);
	ErrorData  *error;

	filters->page = NULL;
	fill_values(filters, one_each);
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
	else if (!tpm_check_try(read_rows, filters, &error))
		filters->refusal = error->message;
	else
		filters->refusal = NULL;
}

/* ----- judging ----- */

static bool
is_asked_for(const Filter *filter, const char *text)
{
	ListCell   *lc;

	foreach(lc, filter->values)
	{
		if (text && strcmp(lfirst(lc), text) == 0)
			return true;
	}
	return false;
}

static bool
holds_one(const Filter *filter, const char *text)
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
judge_row(const Filters *filters, const Filter *filter, HeapTuple row, bool *right)
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
	*right = is_within(filters, filter, row);
	return isnull ? NULL : bound_text(filter, value);
}

static void
judge_rows(Filters *filters)
{
	for (int row = 0; row < filters->page->nrows; row++)
	{
		for (int i = 0; i < filters->n; i++)
		{
			Filter	   *filter = &filters->items[i];
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
judge_all(Filters *filters)
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
has_base(const Filters *filters)
{
	uint64		wanted = filters->check->page->rows[filters->base].idhash;

	for (int row = 0; row < filters->page->nrows; row++)
	{
		if (filters->page->rows[row].idhash == wanted)
			return true;
	}
	/* it may stand on a later page */
	return filters->page->next != NULL || filters->page->nrows >= filters->check->table->opt.page_size;
}

/* the filter that a refusal speaks of: by its parameter, or else by its name alone; -1 */
static int
named_filter(const Filters *filters)
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
drop_filter(const TpmTable *table, const Filter *filter)
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
report_filter(Filters *filters, const Filter *filter)
{
	TpmTableCheck *check = filters->check;
	const TpmColumn *column = filter->column;
	char	   *step = step_of(filter);

	if (filter->wrong)
	{
		if (column->filter_exact)
			tpm_learnt_lying(check->table->relid, check->table->options_hash, column->attnum);
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
		tpm_report(check->report, step, TPM_STEP_OK, "obeyed: it left out what was not asked for", NULL);
	else
		tpm_report(check->report, step, TPM_STEP_NOT_TRIED,
				   "no row of the page could tell: the other filters leave out the same rows", NULL);
}

static void
report_refused(Filters *filters)
{
	TpmTableCheck *check = filters->check;
	int			named = named_filter(filters);

	if (named < 0)
	{
		for (int i = 0; i < filters->n; i++)
			tpm_report(check->report, step_of(&filters->items[i]),
					   TPM_STEP_FAILED, psprintf("refused together with others: %s", filters->refusal),
					   "Take the filters from the columns one by one and check again.");
		filters->n = 0;
		return;
	}
	tpm_report(check->report, step_of(&filters->items[named]),
			   TPM_STEP_FAILED, psprintf("refused: %s", filters->refusal),
			   drop_filter(check->table, &filters->items[named]));
	memmove(&filters->items[named], &filters->items[named + 1],
			sizeof(Filter) * (filters->n - named - 1));
	filters->n--;
}

/* rows that all filters let through are missing: a list is spelt otherwise, or a filter loses rows */
static void
report_lost(Filters *filters)
{
	TpmTableCheck *check = filters->check;
	int			was = check->table->opt.list_format;
	bool		lists_at_fault;

	ask(filters, true);
	lists_at_fault = filters->refusal == NULL && has_base(filters);
	if (lists_at_fault)
		tpm_report(check->report, "list format", TPM_STEP_FAILED,
				   "several values in one filter lose rows, one value does not",
				   tpm_alter_table(check->table,
								   tpm_alter_option(NIL, "list_format", was == TPM_LIST_COMMA ? "repeat" : "comma")));
	for (int i = 0; i < filters->n; i++)
		tpm_report(check->report, step_of(&filters->items[i]),
				   lists_at_fault ? TPM_STEP_NOT_TRIED : TPM_STEP_FAILED,
				   lists_at_fault ? "one value is obeyed or ignored; check again when lists are spelt right"
				   : "together with the others it loses a row that matches",
				   lists_at_fault ? NULL
				   : "A filter that loses rows makes queries miss them: drop the option filter of the columns, and add it again one by one with a check after each.");
}

/* reports those that have shown what they do, and forgets them */
static void
report_known(Filters *filters)
{
	int			n = 0;

	for (int i = 0; i < filters->n; i++)
	{
		Filter	   *filter = &filters->items[i];

		if (filter->wrong || filter->witness >= 0)
			report_filter(filters, filter);
		else
			filters->items[n++] = *filter;
	}
	filters->n = n;
}

/* false: there is nothing more to ask for */
static bool
try_filters(Filters *filters)
{
	TpmTableCheck *check = filters->check;

	choose(filters);
	leave_out_long(filters);
	if (filters->n == 0)
		return false;
	ask(filters, false);
	if (filters->refusal && filters->answer && tpm_check_is_refusal(filters->answer))
	{
		report_refused(filters);
		if (filters->n == 0)
			return false;
		ask(filters, false);
	}
	if (filters->refusal)
	{
		for (int i = 0; i < filters->n; i++)
			tpm_report(check->report, step_of(&filters->items[i]), TPM_STEP_NOT_TRIED,
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
	report_known(filters);
	return filters->n > 0;
}

void
tpm_check_filters(TpmTableCheck *check)
{
	Filters		filters = {.check = check};

	collect(&filters);
	leave_out_uniform(&filters);
	leave_out_sparse(&filters);

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
