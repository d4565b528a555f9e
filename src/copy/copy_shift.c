/*-------------------------------------------------------------------------
 *
 * copy_shift.c
 *		Where a list in the order of its ids differs from the ids of a copy.
 *
 * Owns the search by shift, as pure arithmetic: no table, no network; whoever
 * calls it reads the pages.  A page tells more than its rows.  Its place says
 * how many rows of the list are before it, and its first id how many of the
 * copy: where the two numbers differ, rows of the copy are gone (or lacking)
 * before it.  Between two pages that were read, the same difference counts
 * what is gone there, so that only intervals are read into where something
 * is.  One place among P pages is found with log2(P) pages.
 *
 * As many gone as lacking in one interval hide each other: a sweep finds them.
 * A list that moves while it is searched makes an id seem missing that is
 * there: what is missing here is a question, and the caller's to ask.
 *
 * The first page read is the last one that the copy expects.  If it ends the
 * list with the copy's ids, every interval before it is as long as it should
 * be, and it is the only one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "copy/copy_shift_internal.h"

/* ----- orders ----- */

static bool
is_id_of_digits(const char *id)
{
	return id[0] != '\0' && id[strspn(id, "0123456789")] == '\0';
}

static int
compare_numbers(const char *a, const char *b)
{
	size_t		a_length = strlen(a += strspn(a, "0"));
	size_t		b_length = strlen(b += strspn(b, "0"));

	return a_length != b_length ? (a_length < b_length ? -1 : 1) : strcmp(a, b);
}

int
tpm_id_compare(int orders, const char *a, const char *b)
{
	int			result = (orders & TPM_ORDER_NUMBERS) ? compare_numbers(a, b) : 0;

	return result != 0 ? result : strcmp(a, b);
}

int
tpm_id_orders(int orders, const char *before, const char *const *ids, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!is_id_of_digits(ids[i]))
			orders &= ~TPM_ORDER_NUMBERS;
		if (before && strcmp(before, ids[i]) > 0)
			orders &= ~TPM_ORDER_BYTES;
		if (before && (orders & TPM_ORDER_NUMBERS) && tpm_id_compare(TPM_ORDER_NUMBERS, before, ids[i]) > 0)
			orders &= ~TPM_ORDER_NUMBERS;
		before = ids[i];
	}
	return orders;
}

/* ----- pages that were read ----- */

typedef struct ShiftAnchor
{
	int64		position;
	int64		before;			/* ids of the copy before its first */
	int64		through;		/* and up to its last */
	int			n;
	bool		ends;
} ShiftAnchor;

/* ids of the copy before an id, with after: or equal to it */
static int64
rank_of_id(const TpmShift *shift, const char *id, bool after)
{
	int64		low = 0;
	int64		high = shift->nids;

	while (low < high)
	{
		int64		middle = low + (high - low) / 2;
		int			order = tpm_id_compare(shift->orders, shift->ids[middle], id);

		if (order < 0 || (after && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
note_listed(TpmShift *shift, const char *id)
{
	int64		rank = rank_of_id(shift, id, false);

	if (rank == shift->nids || strcmp(shift->ids[rank], id) != 0)
		shift->lacked++;
	else
	{
		if (shift->known[rank] == TPM_SHIFT_MISSED)
			shift->missed--;
		shift->known[rank] = TPM_SHIFT_LISTED;
	}
}

/* these belong where a page, or the gap between two neighbours, was read */
static void
note_missed(TpmShift *shift, int64 from, int64 to)
{
	for (int64 rank = from; rank < to; rank++)
	{
		if (shift->known[rank] == TPM_SHIFT_UNKNOWN)
		{
			shift->known[rank] = TPM_SHIFT_MISSED;
			shift->missed++;
		}
	}
}

static TpmShiftOutcome
read_anchor(TpmShift *shift, int64 position, ShiftAnchor *anchor)
{
	int			used = (shift->orders & TPM_ORDER_NUMBERS) ? TPM_ORDER_NUMBERS : TPM_ORDER_BYTES;
	TpmShiftPage page = {0};

	if (shift->requests >= shift->most_requests)
		return TPM_SHIFT_LIMITED;
	shift->requests++;
	if (!shift->read(shift->arg, position, &page))
		return TPM_SHIFT_STOPPED;
	if (page.total >= 0)
		shift->total = page.total;
	*anchor = (ShiftAnchor)
	{
		.position = position,.n = page.n,.ends = page.ends
	};
	if (page.n > shift->page_rows || (page.n < shift->page_rows && !page.ends))
		return TPM_SHIFT_UNPAGED;
	shift->orders = tpm_id_orders(shift->orders, NULL, page.ids, page.n);
	if (!(shift->orders & used))
		return TPM_SHIFT_UNORDERED;
	if (page.n == 0)
		return TPM_SHIFT_DONE;
	for (int i = 0; i < page.n; i++)
		note_listed(shift, page.ids[i]);
	anchor->before = rank_of_id(shift, page.ids[0], false);
	anchor->through = rank_of_id(shift, page.ids[page.n - 1], true);
	note_missed(shift, anchor->before, anchor->through);
	return TPM_SHIFT_DONE;
}

/* ----- the end of the list ----- */

typedef struct ShiftEnd
{
	ShiftAnchor *read;			/* pages with rows, by position */
	int			nread;
	int64		full;			/* the list has this page, 0: none known */
	int64		beyond;			/* and ends before this one, 0: none known */
	int64		step;
} ShiftEnd;

static void
keep_anchor(ShiftEnd *end, const ShiftAnchor *anchor)
{
	int			i = end->nread++;

	/* amortised: twice as large at each power of two */
	if ((i & (i - 1)) == 0)
		end->read = i == 0 ? palloc(sizeof(ShiftAnchor)) : repalloc(end->read, 2 * i * sizeof(ShiftAnchor));
	for (; i > 0 && end->read[i - 1].position > anchor->position; i--)
		end->read[i] = end->read[i - 1];
	end->read[i] = *anchor;
}

/* what to read next in search of the end; a total is a hint, and only believed where it can be true */
static int64
guess_end(const TpmShift *shift, ShiftEnd *end)
{
	int64		told = shift->total < 0 ? -1 : Max((shift->total + shift->page_rows - 1) / shift->page_rows, 1);
	int64		step = end->step;

	if (told > end->full && (end->beyond == 0 || told < end->beyond))
		return told;
	end->step *= 2;
	if (end->beyond == 0)
		return end->full + step;
	if (end->full == 0)
		return Max(end->beyond - step, 1);
	return end->full + (end->beyond - end->full) / 2;
}

/* reads pages until the last one of the list is among them */
static TpmShiftOutcome
find_shift_end(TpmShift *shift, ShiftEnd *end)
{
	int64		position = Max((shift->nids + shift->page_rows - 1) / shift->page_rows, 1);

	for (;;)
	{
		ShiftAnchor anchor;
		TpmShiftOutcome outcome = read_anchor(shift, position, &anchor);

		if (outcome != TPM_SHIFT_DONE)
			return outcome;
		if (anchor.n == 0)
			end->beyond = position;
		else
		{
			keep_anchor(end, &anchor);
			end->full = position;
			if (anchor.ends)
				end->beyond = position + 1;
		}
		if (end->beyond == end->full + 1)
			return TPM_SHIFT_DONE;
		position = guess_end(shift, end);
	}
}

/* ----- what is between ----- */

static TpmShiftOutcome
search_gap(TpmShift *shift, const ShiftAnchor *left, const ShiftAnchor *right)
{
	int64		unread = right->position - left->position - 1;
	ShiftAnchor middle;
	TpmShiftOutcome outcome;

	if (unread == 0)
		note_missed(shift, left->through, right->before);
	if (right->before - left->through == unread * shift->page_rows || unread == 0)
		return TPM_SHIFT_DONE;
	outcome = read_anchor(shift, left->position + (unread + 1) / 2, &middle);
	if (outcome != TPM_SHIFT_DONE)
		return outcome;

	/*
	 * it has become shorter since its end was read, which the next search
	 * will see
	 */
	if (middle.n == 0)
		return TPM_SHIFT_DONE;
	outcome = search_gap(shift, left, &middle);
	return outcome == TPM_SHIFT_DONE ? search_gap(shift, &middle, right) : outcome;
}

TpmShiftOutcome
tpm_shift_search(TpmShift *shift)
{
	ShiftEnd	end = {.step = 1};
	ShiftAnchor left = {0};
	TpmShiftOutcome outcome;

	shift->known = palloc0(Max(shift->nids, 1));
	shift->missed = shift->lacked = shift->requests = 0;
	shift->listed = shift->total = -1;
	outcome = find_shift_end(shift, &end);
	if (outcome != TPM_SHIFT_DONE)
		return outcome;
	for (int i = 0; i < end.nread && outcome == TPM_SHIFT_DONE; i++)
	{
		outcome = search_gap(shift, &left, &end.read[i]);
		left = end.read[i];
	}
	/* left is the last page now, or nothing where the list is empty */
	if (outcome == TPM_SHIFT_DONE)
		note_missed(shift, left.through, shift->nids);
	shift->listed = left.position == 0 ? 0 : (left.position - 1) * shift->page_rows + left.n;
	return outcome;
}
