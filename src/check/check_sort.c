/*-------------------------------------------------------------------------
 *
 * check_sort.c
 *		tpm_fdw_check of one foreign table: does sort sort, where do NULLs go,
 *		and how large may a page be?
 *
 * Owns the requests that try an order, and what is said of orders and page
 * sizes.
 *
 * One column is tried, in both directions where requests are left: one with
 * NULLs if there is any, since their place is a habit of the API and not of
 * the column.  Where the first page came full, more rows are asked for in the
 * same request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "check/check.h"
#include "scan/order.h"

/* rows of a page that are asked for to see how many are given */
#define LARGE_PAGE	1000

typedef enum Place
{
	NOWHERE,					/* no NULL is known */
	IN_FRONT,
	AT_THE_END,
	BETWEEN
} Place;

/* a page in one direction */
typedef struct Direction
{
	bool		asked;
	bool		descending;
	char	   *refusal;		/* or NULL */
	TpmPage    *page;
	const TpmAnswer *answer;
	int			page_size;
	bool		more;			/* rows follow */
	bool		sorted;
	bool		changed;		/* not the order of the first page */
	Place		nulls;
} Direction;

typedef struct Sorting
{
	TpmTableCheck *check;
	const TpmColumn *column;
	TypeCacheEntry *entry;
	bool		any_null;		/* on the first page */
	const TpmColumn *unique;	/* sent behind it, NULL: none */
	Direction	up;
	Direction	down;
	Direction  *reading;
} Sorting;

/* what an API sorts as PostgreSQL does, or is said to */
static bool
is_sort_tried(const TpmColumn *column)
{
	switch (column->type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			break;
		default:
			if (!column->sortable)
				return false;
	}
	return column->kind == TPM_COL_ATTRIBUTE || column->kind == TPM_COL_ID;
}

bool
tpm_check_has_sort(const TpmTable *table)
{
	for (int i = 0; i < table->natts; i++)
	{
		if (is_sort_tried(&table->columns[i]))
			return true;
	}
	return false;
}

/* ----- comparing ----- */

static int
compare(const Sorting *sort, Datum a, Datum b)
{
	bool		text = sort->column->type == TEXTOID || sort->column->type == VARCHAROID;

	return DatumGetInt32(FunctionCall2Coll(&sort->entry->cmp_proc_finfo,
										   text ? C_COLLATION_OID : InvalidOid, a, b));
}

static Datum
value_of(const Sorting *sort, const TpmPage *page, int row, bool *isnull)
{
	return heap_getattr(page->rows[row].tuple, sort->column->attnum, sort->check->tupdesc, isnull);
}

/* are the values of the page in this direction, and where are its NULLs? */
static bool
is_sorted(const Sorting *sort, const TpmPage *page, bool descending, Place *nulls)
{
	Datum		last = (Datum) 0;
	bool		any = false;
	bool		sorted = true;

	*nulls = NOWHERE;
	for (int row = 0; row < page->nrows; row++)
	{
		bool		isnull;
		Datum		value = value_of(sort, page, row, &isnull);

		if (isnull)
		{
			if (!any)
				*nulls = IN_FRONT;
			else
				*nulls = *nulls == NOWHERE || *nulls == AT_THE_END ? AT_THE_END : BETWEEN;
			continue;
		}
		if (*nulls == AT_THE_END)
			*nulls = BETWEEN;
		if (any)
		{
			int			order = compare(sort, last, value);

			sorted = sorted && (descending ? order >= 0 : order <= 0);
		}
		any = true;
		last = value;
	}
	return sorted;
}

/* ----- the column ----- */

/* 0: it cannot be tried */
static int
worth(Sorting *sort, const TpmColumn *column)
{
	const TpmPage *page = sort->check->page;
	bool		differ = false;
	bool		nulls = false;
	bool		any = false;
	Datum		first = (Datum) 0;

	sort->column = column;
	sort->entry = lookup_type_cache(column->type, TYPECACHE_CMP_PROC_FINFO);
	if (!OidIsValid(sort->entry->cmp_proc_finfo.fn_oid))
		return 0;
	for (int row = 0; row < page->nrows; row++)
	{
		bool		isnull;
		Datum		value = value_of(sort, page, row, &isnull);

		nulls = nulls || isnull;
		if (isnull)
			continue;
		differ = differ || (any && compare(sort, first, value) != 0);
		first = any ? first : value;
		any = true;
	}
	sort->any_null = nulls;
	if (!differ)
		return 0;
	return 1 + (nulls ? 4 : 0) + (column->sortable ? 2 : 0) + (column->kind == TPM_COL_ATTRIBUTE ? 1 : 0);
}

static bool
find_sort_column(Sorting *sort)
{
	const TpmTable *table = sort->check->table;
	const TpmColumn *best = NULL;
	int			most = 0;

	for (int i = 0; i < table->natts; i++)
	{
		int			n = is_sort_tried(&table->columns[i]) ? worth(sort, &table->columns[i]) : 0;

		if (n > most)
		{
			most = n;
			best = &table->columns[i];
		}
	}
	return best != NULL && worth(sort, best) > 0;
}

/* ----- asking ----- */

static void
read_sorted_rows(void *arg)
{
	Sorting    *sort = arg;
	Bitmapset  *columns = bms_make_singleton(sort->column->attnum);

	if (sort->check->table->id_attnum > 0)
		columns = bms_add_member(columns, sort->check->table->id_attnum);
	sort->reading->page = tpm_check_decode(sort->check, sort->reading->answer, columns);
}

static bool
in_another_order(const TpmPage *a, const TpmPage *b)
{
	for (int row = 0; row < Min(a->nrows, b->nrows); row++)
	{
		if (a->rows[row].idhash != b->rows[row].idhash)
			return true;
	}
	return false;
}

static void
ask_sorted(Sorting *sort, Direction *direction, bool descending, int page_size)
{
	TpmTableCheck *check = sort->check;
	TpmRequest *request = tpm_check_request(check);
	TpmTerm    *term = tpm_check_hidden_term(check);
	ErrorData  *error;

	memset(direction, 0, sizeof(*direction));
	request->page_size = page_size;
	request->sort = psprintf("%s%s%s%s", descending ? "-" : "", tpm_request_sort_name(sort->column),
							 sort->unique ? "," : "", sort->unique ? tpm_request_sort_name(sort->unique) : "");
	if (term)
		request->terms = list_make1(term);
	direction->answer = tpm_check_fetch(check, request);
	if (direction->answer == NULL)
		return;
	direction->asked = true;
	direction->descending = descending;
	direction->page_size = page_size;
	sort->reading = direction;
	if (direction->answer->status < 200 || direction->answer->status > 299)
		direction->refusal = tpm_check_refusal(direction->answer);
	else if (!tpm_attempt(read_sorted_rows, sort, &error))
		direction->refusal = error->message;
	if (direction->refusal)
		return;
	if (term)
		tpm_check_hidden_compare(check, direction->page);
	direction->sorted = is_sorted(sort, direction->page, descending, &direction->nulls);
	direction->changed = in_another_order(check->page, direction->page);
	direction->more = direction->page->links.next != NULL ||
		(check->table->opt.pagination != TPM_PAGE_LINKS && direction->page->nrows >= check->table->opt.page_size);
	/* NULLs that are not in front of such a page are on a later one */
	if (direction->nulls == NOWHERE && sort->any_null && direction->more)
		direction->nulls = AT_THE_END;
}

static void
report_large_page(Sorting *sort, const Direction *direction)
{
	TpmTableCheck *check = sort->check;
	int			given = direction->page ? direction->page->nrows : 0;
	int			had = list_length(check->resources);

	if (direction->page_size <= check->table->opt.page_size)
		return;
	if (direction->refusal)
		tpm_report(check->report, "largest page", TPM_STEP_NOT_TRIED,
				   psprintf("a page of %d was refused: %s", direction->page_size, direction->refusal), NULL);
	else if (given <= had)
		tpm_report(check->report, "largest page", TPM_STEP_OK,
				   psprintf("asked for %d, given %d", direction->page_size, given), NULL);
	else
		tpm_report(check->report, "largest page", TPM_STEP_OK,
				   psprintf("asked for %d, given %d: fewer requests would do", direction->page_size, given),
				   tpm_alter_table(check->table, tpm_alter_option(NIL, "page_size",
																  psprintf("%d", direction->more ? given : direction->page_size))));
}

static bool
is_bad(const Direction *direction)
{
	return direction->asked && direction->refusal == NULL &&
		(!direction->sorted || direction->nulls == BETWEEN);
}

/* two keys were refused, or not sorted by: is one understood? */
static void
try_one_key(Sorting *sort, Direction *direction, bool descending)
{
	TpmTableCheck *check = sort->check;
	char	   *refusal = direction->refusal && tpm_check_is_refusal(direction->answer) ? direction->refusal : NULL;

	if (sort->unique == NULL || !direction->asked || check->left == 0 || !(refusal || is_bad(direction)))
		return;
	sort->unique = NULL;
	ask_sorted(sort, direction, descending, check->table->opt.page_size);
	if (direction->refusal || is_bad(direction))
		return;
	tpm_report(check->report, "sort keys", TPM_STEP_FAILED,
			   refusal ? psprintf("two keys are refused, one is not: %s", refusal)
			   : "two keys are not sorted by in their order, one is",
			   tpm_alter_table(check->table, tpm_alter_option(NIL, "sort_keys", "one")));
}

/* does the refusal name the parameter of the order, and not that of the page? */
static bool
is_about_sort(const TpmTableCheck *check, const TpmAnswer *answer)
{
	ListCell   *lc;

	foreach(lc, tpm_document_errors(answer->body, answer->len))
	{
		const TpmApiError *error = lfirst(lc);

		if (error->parameter && strcmp(error->parameter, check->table->opt.sort_parameter) == 0)
			return true;
	}
	return false;
}

/* the first page may be larger; a refusal may be about that, so it is asked again */
static void
ask_up(Sorting *sort)
{
	TpmTableCheck *check = sort->check;
	int			asked = check->table->opt.page_size;
	bool		full = check->more && check->table->opt.page_size_parameter[0] && list_length(check->resources) >= asked && asked < LARGE_PAGE;

	ask_sorted(sort, &sort->up, false, full ? LARGE_PAGE : asked);
	if (!sort->up.asked)
		return;
	report_large_page(sort, &sort->up);
	if (full && sort->up.refusal && check->left > 0 && !is_about_sort(check, sort->up.answer))
		ask_sorted(sort, &sort->up, false, asked);
}

/* ----- judging ----- */

static const char *
nulls_word(const Sorting *sort)
{
	Place		up = sort->up.nulls;
	Place		down = sort->down.nulls;

	if (!sort->down.asked)
		return NULL;
	if (up == IN_FRONT && down == AT_THE_END)
		return "first";
	if (up == AT_THE_END && down == IN_FRONT)
		return "last";
	if (up == IN_FRONT && down == IN_FRONT)
		return "always_first";
	if (up == AT_THE_END && down == AT_THE_END)
		return "always_last";
	return NULL;
}

static const char *
nulls_option(const TpmColumn *column)
{
	static const char *const words[] = {
		[TPM_NULLS_UNKNOWN] = "unknown",
		[TPM_NULLS_FIRST] = "first",
		[TPM_NULLS_LAST] = "last",
		[TPM_NULLS_ALWAYS_FIRST] = "always_first",
		[TPM_NULLS_ALWAYS_LAST] = "always_last",
	};

	return words[column->sort_nulls];
}

static void
report_sorted(Sorting *sort)
{
	TpmTableCheck *check = sort->check;
	const TpmColumn *column = sort->column;
	const char *nulls = nulls_word(sort);
	const char *said = nulls_option(column);
	List	   *options = NIL;
	bool		wrong = nulls && column->sort_nulls != TPM_NULLS_UNKNOWN && strcmp(nulls, said) != 0;

	if (!column->sortable)
		options = tpm_alter_option(options, "sortable", "true");
	if (nulls && strcmp(nulls, said) != 0)
		options = tpm_alter_option(options, "sort_nulls", nulls);
	tpm_report(check->report, psprintf("sort %s", column->name), wrong ? TPM_STEP_FAILED : TPM_STEP_OK,
			   wrong ? psprintf("sorted, but NULLs come %s, not %s", nulls, said)
			   : nulls ? psprintf("sorted in both directions; NULLs come %s", nulls)
			   : sort->down.asked ? "sorted in both directions" : "sorted",
			   options ? tpm_alter_column(check->table, column, options) : NULL);
}

/* whether equal rows keep their places from page to page shows on no single page */
static void
report_equal_rows(Sorting *sort)
{
	TpmTableCheck *check = sort->check;

	if (tpm_order_unique_column(check->table) == NULL)
		tpm_report(check->report, "order of equal rows", TPM_STEP_NOT_TRIED,
				   "not to be told: no sortable column is unique, so an order is used only as far as no page ends between equal rows",
				   "If the API sorts by id, set the option sortable of that column.");
	else if (check->table->opt.sort_keys == TPM_SORT_ONE)
		tpm_report(check->report, "order of equal rows", TPM_STEP_NOT_TRIED,
				   "not to be told: one key is sent, so an order is used only as far as no page ends between equal rows",
				   NULL);
}

/* the parameter does nothing at all: no column can be sorted by */
static void
report_ignored(Sorting *sort)
{
	TpmTableCheck *check = sort->check;

	for (int i = 0; i < check->table->natts; i++)
	{
		const TpmColumn *column = &check->table->columns[i];

		if (column != sort->column && !column->sortable)
			continue;
		tpm_report(check->report, psprintf("sort %s", column->name),
				   column->sortable ? TPM_STEP_FAILED : TPM_STEP_NOT_TRIED,
				   psprintf("the parameter \"%s\" is ignored", check->table->opt.sort_parameter),
				   column->sortable
				   ? tpm_alter_column(check->table, column, tpm_alter_option(NIL, "sortable", "false"))
				   : NULL);
	}
}

static void
report_not_asked(Sorting *sort, const Direction *direction)
{
	tpm_report(sort->check->report, psprintf("sort %s", sort->column->name), TPM_STEP_NOT_TRIED,
			   psprintf("not tried: %s", direction->refusal), NULL);
}

static void
report_not_sorted(Sorting *sort, const char *why)
{
	const TpmColumn *column = sort->column;

	tpm_report(sort->check->report, psprintf("sort %s", column->name),
			   column->sortable ? TPM_STEP_FAILED : TPM_STEP_NOT_TRIED,
			   sort->unique ? psprintf("with \"%s\" as second key, and no request left to try one: %s",
									   sort->unique->name, why) : why,
			   column->sortable
			   ? tpm_alter_column(sort->check->table, column, tpm_alter_option(NIL, "sortable", "false"))
			   : NULL);
}

void
tpm_check_sort(TpmTableCheck *check)
{
	Sorting		sort = {.check = check};

	if (!find_sort_column(&sort))
		return;
	if (check->table->opt.sort_keys == TPM_SORT_MANY)
		sort.unique = tpm_order_unique_column(check->table);
	if (sort.unique == sort.column)
		sort.unique = NULL;
	ask_up(&sort);
	try_one_key(&sort, &sort.up, false);
	if (!sort.up.asked)
	{
		tpm_report(check->report, "sort", TPM_STEP_NOT_TRIED,
				   psprintf("not tried: %d requests have been sent", TPM_CHECK_REQUESTS), NULL);
		return;
	}
	if (sort.up.refusal == NULL)
		ask_sorted(&sort, &sort.down, true, check->table->opt.page_size);
	try_one_key(&sort, &sort.down, true);
	if (sort.up.refusal && !tpm_check_is_refusal(sort.up.answer))
		report_not_asked(&sort, &sort.up);
	else if (sort.up.refusal)
		report_not_sorted(&sort, psprintf("refused: %s", sort.up.refusal));
	else if (sort.down.asked && sort.down.refusal && !tpm_check_is_refusal(sort.down.answer))
		report_not_asked(&sort, &sort.down);
	else if (sort.down.asked && sort.down.refusal)
		report_not_sorted(&sort, psprintf("refused in descending order: %s", sort.down.refusal));
	else if (!is_bad(&sort.up) && !is_bad(&sort.down))
	{
		/* one direction alone may be how the list comes anyway */
		if (sort.down.asked || sort.up.changed)
		{
			report_sorted(&sort);
			report_equal_rows(&sort);
		}
		else
			tpm_report(check->report, psprintf("sort %s", sort.column->name), TPM_STEP_NOT_TRIED,
					   "in order, but so it is without asking", NULL);
	}
	else if (!sort.up.changed && !sort.down.changed)
		report_ignored(&sort);
	else
		report_not_sorted(&sort, "the rows do not come in this order");
}
