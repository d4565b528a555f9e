/*-------------------------------------------------------------------------
 *
 * check_witness.c
 *		Filters that are tried together, and the rows that tell about them.
 *
 * Owns the choice of values; the request and the judgement are
 * check_filter.c's.
 *
 * Each filter asks for the values of a few rows of the first page but for
 * one value, that of its witness: a row which every other filter lets
 * through.  A bound leaves out the lower (or upper) quarter of the page.  The
 * base is a row that all let through.  Sends nothing.
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

#include "check/check_filter.h"
#include "document/convert.h"
#include "plan/shippable.h"

/* rows of the page that are looked at, and bases that are tried */
#define MOST_ROWS	100
#define MOST_BASES	20

static bool
is_filter_tried(const TpmColumn *column)
{
	return column->kind != TPM_COL_NONE && column->filter != NULL && !column->placeholder &&
		(column->filter_operators & (TPM_FILTER_EQ | TPM_FILTER_IN)) != 0;
}

/* the bound that is tried: the lower one, if the column has both */
static const char *
witness_bound(const TpmColumn *column, bool *upper)
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
		if (is_filter_tried(&table->columns[i]) || witness_bound(&table->columns[i], &upper))
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

char *
tpm_filter_bound_text(const TpmTriedFilter *filter, Datum value)
{
	bool		none;
	List	   *values = tpm_condition_values(filter->table, filter->column,
											  filter->upper ? TPM_COND_LE : TPM_COND_GE, value, false,
											  filter->column->type, &none);

	return values ? linitial(values) : NULL;
}

bool
tpm_filter_is_within(const TpmTriedFilters *filters, const TpmTriedFilter *filter, HeapTuple row)
{
	bool		isnull;
	Datum		value = heap_getattr(row, filter->column->attnum, filters->check->tupdesc, &isnull);

	return !isnull && compare_values(filter->column, value, filter->limit) * (filter->upper ? -1 : 1) >= 0;
}

static TpmTriedFilter *
add_witness_filter(TpmTriedFilters *filters, const TpmColumn *column)
{
	TpmTriedFilter *filter = &filters->items[filters->n++];

	filter->table = filters->check->table;
	filter->column = column;
	filter->witness = -1;
	filter->texts = palloc0(sizeof(char *) * Max(filters->nrows, 1));
	return filter;
}

static void
collect_plain(TpmTriedFilters *filters, const TpmColumn *column)
{
	TpmTriedFilter *filter = add_witness_filter(filters, column);

	for (int row = 0; row < filters->nrows; row++)
		filter->texts[row] = tpm_check_spell(filters->check, column,
											 filters->check->page->rows[row].tuple);
}

/* the bound that about a quarter of the values are in front of */
static void
choose_limit(TpmTriedFilter *filter, Datum *values, int n)
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

	/*
	 * what is sent includes more than the value, and the first must not be in
	 * it
	 */
	for (int i = n / 4; i < n; i++)
	{
		char	   *text = tpm_filter_bound_text(filter, values[i]);

		if (text == NULL)
			continue;
		filter->limit = tpm_convert_text(filter->column, text);
		if (sign * compare_values(filter->column, values[0], filter->limit) >= 0)
			continue;
		filter->limit_text = text;
		return;
	}
}

static void
collect_bound(TpmTriedFilters *filters, const TpmColumn *column, const char *bound, bool upper)
{
	TpmTriedFilter *filter = add_witness_filter(filters, column);
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
		filter->texts[row] = tpm_filter_bound_text(filter, value);
		values[n++] = value;
	}
	choose_limit(filter, values, n);
	filter->within = palloc0(sizeof(bool) * Max(filters->nrows, 1));
	for (int row = 0; row < filters->nrows && filter->limit_text; row++)
		filter->within[row] = tpm_filter_is_within(filters, filter, filters->check->page->rows[row].tuple);
}

char *
tpm_filter_step(const TpmTriedFilter *filter)
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
may_pass(const TpmTriedFilter *filter, int row)
{
	return filter->texts[row] != NULL && (filter->bound == NULL || filter->within[row]);
}

/* does the filter let the row through, if it leaves out what its witness has? */
static bool
lets_through(const TpmTriedFilters *filters, const TpmTriedFilter *filter, int row)
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
may_be_witness(TpmTriedFilters *filters, TpmTriedFilter *filter, int row)
{
	bool		good;

	if (filter->bound ? lets_through(filters, filter, row)
		: same_text(filter->texts[row], filter->texts[filters->base]))
		return false;
	for (int i = 0; i < filters->n; i++)
	{
		TpmTriedFilter *other = &filters->items[i];

		if (other != filter && !lets_through(filters, other, row))
			return false;
	}
	/* those chosen before must still be let through by this one */
	filter->witness = row;
	good = true;
	for (int i = 0; i < filters->n && good; i++)
	{
		TpmTriedFilter *other = &filters->items[i];

		if (other != filter && other->witness >= 0)
			good = lets_through(filters, filter, other->witness);
	}
	filter->witness = -1;
	return good;
}

/* how many filters have a witness with this row as the base */
static int
choose_with(TpmTriedFilters *filters, int base)
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
		TpmTriedFilter *filter = &filters->items[i];

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
void
tpm_filters_leave_out(TpmTriedFilters *filters, int i, const char *why)
{
	TpmTriedFilter *filter = &filters->items[i];

	tpm_report(filters->check->report, tpm_filter_step(filter), TPM_STEP_NOT_TRIED,
			   why, NULL);
	memmove(filter, filter + 1, sizeof(TpmTriedFilter) * (filters->n - i - 1));
	filters->n--;
}

static int
distinct_texts(const TpmTriedFilters *filters, const TpmTriedFilter *filter)
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
leave_out_uniform(TpmTriedFilters *filters)
{
	for (int i = filters->n - 1; i >= 0; i--)
	{
		TpmTriedFilter *filter = &filters->items[i];
		bool		differ = false;

		for (int row = 0; row < filters->nrows && !differ; row++)
			differ = !same_text(filter->texts[row], filter->texts[0]);
		filter->distinct = distinct_texts(filters, filter);
		if (filter->distinct == 0)
			tpm_filters_leave_out(filters, i, "not tried: no row of the page has a value that can be sent");
		else if (!differ || (filter->bound && filter->limit_text == NULL))
			tpm_filters_leave_out(filters, i, "not tried: all rows of the page have the same value");
	}
}

/* the base in which the fewest filters have no value */
static void
leave_out_sparse(TpmTriedFilters *filters)
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
			tpm_filters_leave_out(filters, i, "not tried: no row of the page has a value for this filter and the others");
}

void
tpm_filters_collect(TpmTriedFilters *filters)
{
	const TpmTable *table = filters->check->table;

	filters->nrows = Min(filters->check->page->nrows, MOST_ROWS);
	filters->items = palloc0(sizeof(TpmTriedFilter) * Max(2 * table->natts, 1));
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];
		bool		upper;
		const char *bound = witness_bound(column, &upper);

		/* what equals a time is asked for by bounds alone */
		if (is_filter_tried(column) && !tpm_condition_is_range(table, column, TPM_COND_EQ))
			collect_plain(filters, column);
		if (bound)
			collect_bound(filters, column, bound, upper);
	}
	leave_out_uniform(filters);
	leave_out_sparse(filters);
}

static int
compare_distinct(const void *a, const void *b)
{
	return ((const TpmTriedFilter *) a)->distinct - ((const TpmTriedFilter *) b)->distinct;
}

/* the base with which the most filters have a witness */
void
tpm_filters_choose(TpmTriedFilters *filters)
{
	int			best = -1;
	int			most = -1;
	int			bases = 0;

	/*
	 * the fewer values, the fewer rows that can be its witness: first come,
	 * first served
	 */
	qsort(filters->items, filters->n, sizeof(TpmTriedFilter), compare_distinct);
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
