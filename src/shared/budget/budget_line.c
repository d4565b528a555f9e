/*-------------------------------------------------------------------------
 *
 * budget_line.c
 *		The lines in front of the budgets: who is next.
 *
 * Owns the pool of places and the lines they form, two for each record:
 * statements of few requests and all others, which take turns.  Everything
 * here is called with tpm_budget->lock held in exclusive mode, and waits for
 * nothing.
 *
 * First come, first served, with two exceptions, so that nobody is held up by
 * somebody who cannot or does not go:
 * - a backend that was told to look again and did not (its client rests in the
 *   middle of a cursor, it is stopped, it is decoding a page) is passed over
 *   until it does;
 * - a place whose own slot is far away, because of its server's limits or its
 *   leave_free, is passed over by those who could go now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/proc.h"

#include "compat.h"
#include "shared/budget/budget_internal.h"

/* how late a backend may be before it is passed over */
#define GRACE_US	INT64CONST(500000)

/* a slot that is further away holds up nobody */
#define FAR_US		(2 * TPM_SECOND_US)

/* those far behind look again at least this often, in graces */
#define RARELY		8

static inline TpmPlace *
place_of(int place)
{
	return &tpm_budget->places[place];
}

int
tpm_place_take(void)
{
	int			place = tpm_budget->free_place;

	if (place >= 0)
	{
		tpm_budget->free_place = place_of(place)->next;
		place_of(place)->number = ++tpm_budget->tickets;
		place_of(place)->procno = tpm_my_procno();
	}
	return place;
}

void
tpm_place_free(int place)
{
	place_of(place)->number = 0;
	place_of(place)->next = tpm_budget->free_place;
	tpm_budget->free_place = place;
}

void
tpm_line_enter(int place, int at, bool in_front)
{
	TpmPlace   *self = place_of(place);
	TpmBudgetRecord *record = &tpm_budget->records[self->record[at]];
	int		   *head = &record->head[self->line];
	int		   *tail = &record->tail[self->line];

	self->at = at;
	self->prev = in_front ? -1 : *tail;
	self->next = in_front ? *head : -1;
	if (self->prev >= 0)
		place_of(self->prev)->next = place;
	else
		*head = place;
	if (self->next >= 0)
		place_of(self->next)->prev = place;
	else
		*tail = place;
}

void
tpm_line_leave(int place)
{
	TpmPlace   *self = place_of(place);
	TpmBudgetRecord *record = &tpm_budget->records[self->record[self->at]];

	if (self->prev >= 0)
		place_of(self->prev)->next = self->next;
	else
		record->head[self->line] = self->next;
	if (self->next >= 0)
		place_of(self->next)->prev = self->prev;
	else
		record->tail[self->line] = self->prev;
}

static inline bool
is_absent(const TpmPlace *place, int64 now)
{
	return place->told_us != TPM_NEVER && now > place->told_us + GRACE_US;
}

/* when a place could go if it were the next; an endpoint's slot counts as
 * taken by those who wait for the common one with it */
static int64
place_earliest(const TpmPlace *place, int64 now)
{
	const TpmBudgetRecord *record = &tpm_budget->records[place->record[place->at]];
	TpmForce	force;

	tpm_limits_in_force(&place->limits[place->at],
						place->line == TPM_LINE_LARGE ? place->leave_free : 0, force);
	return tpm_log_earliest(record, force, 1 + record->passed, now);
}

static bool
same_terms(const TpmPlace *a, const TpmPlace *b)
{
	return a->leave_free == b->leave_free &&
		memcmp(&a->limits[a->at], &b->limits[b->at], sizeof(TpmLimits)) == 0;
}

/*
 * The one whose turn it is in a line, or -1: the first that could go soon,
 * else the one that can go first.
 */
static int
line_head(int recno, TpmLine line, int64 now, int64 *earliest)
{
	int			best = -1;
	const TpmPlace *last = NULL;

	*earliest = TPM_NEVER;
	for (int i = tpm_budget->records[recno].head[line]; i >= 0; i = place_of(i)->next)
	{
		int64		time;

		if (is_absent(place_of(i), now))
			continue;
		/* a place like the one before cannot go earlier */
		if (last != NULL && same_terms(last, place_of(i)))
			continue;
		last = place_of(i);
		time = place_earliest(last, now);
		if (best < 0 || time < *earliest)
		{
			best = i;
			*earliest = time;
		}
		if (time <= now + FAR_US)
			break;
	}
	return best;
}

/* how many stand in front in the same line */
static int
line_ahead(int place, int64 now)
{
	int			ahead = 0;

	for (int i = place_of(place)->prev; i >= 0; i = place_of(i)->prev)
	{
		if (!is_absent(place_of(i), now))
			ahead++;
	}
	return ahead;
}

/* everybody in both lines, and who has passed an endpoint's line */
int
tpm_line_waiting(int recno)
{
	const TpmBudgetRecord *record = &tpm_budget->records[recno];
	int			waiting = record->passed;

	for (int line = 0; line < 2; line++)
	{
		for (int i = record->head[line]; i >= 0; i = place_of(i)->next)
			waiting++;
	}
	return waiting;
}

static void
nudge(int place, int64 now)
{
	TpmPlace   *self = place_of(place);

	self->told_us = Min(self->told_us, now);
	SetLatch(&GetPGProcByNumber(self->procno)->procLatch);
}

static TpmLine
other_line(TpmLine line)
{
	return line == TPM_LINE_SMALL ? TPM_LINE_LARGE : TPM_LINE_SMALL;
}

/*
 * Is it this place's turn, now?  If the other line could go as well, it is
 * the turn of the one that was not served last.
 */
bool
tpm_line_may_go(int place, int64 now)
{
	TpmPlace   *self = place_of(place);
	int			recno = self->record[self->at];
	int64		earliest;
	int			other;

	if (line_head(recno, self->line, now, &earliest) != place || earliest > now)
		return false;
	if (tpm_budget->records[recno].last_line != (int) self->line)
		return true;

	other = line_head(recno, other_line(self->line), now, &earliest);
	if (other < 0 || earliest > now)
		return true;
	nudge(other, now);
	return false;
}

/* an estimate of when a place will get its slot in the line where it stands */
static int64
expected_slot(int place, int64 now)
{
	TpmPlace   *self = place_of(place);
	const TpmBudgetRecord *record = &tpm_budget->records[self->record[self->at]];
	int			ahead = line_ahead(place, now);
	int			others = 0;
	int64		earliest;
	TpmForce	force;
	int			i = line_head(self->record[self->at], other_line(self->line), now, &earliest);

	/* the lines take turns, so the other can hold up no more than that many */
	if (earliest > now + FAR_US)
		i = -1;
	for (; i >= 0 && others <= ahead; i = place_of(i)->next)
		others++;

	tpm_limits_in_force(&self->limits[self->at],
						self->line == TPM_LINE_LARGE ? self->leave_free : 0, force);
	return tpm_log_earliest(record, force, 1 + ahead + others + record->passed, now);
}

/*
 * When to look again, and when a slot can be expected.  The head of the line
 * knows its time; the others are woken when it is their turn, and look by
 * themselves now and then in case those in front do not move.
 */
void
tpm_line_wait(int place, int64 now, int64 *wake_us, int64 *slot_us)
{
	TpmPlace   *self = place_of(place);
	int64		earliest;

	if (line_head(self->record[self->at], self->line, now, &earliest) == place)
		*wake_us = earliest > now ? earliest : now + GRACE_US;
	else
		*wake_us = now + GRACE_US * Max(1, Min(line_ahead(place, now), RARELY));
	self->told_us = *wake_us;
	*slot_us = expected_slot(place, now);
}

/* calls those whose turn has come */
void
tpm_line_wake(int recno)
{
	int64		now = tpm_monotonic_us();
	int64		earliest;

	for (int line = 0; line < 2; line++)
	{
		int			head = line_head(recno, line, now, &earliest);

		if (head >= 0)
			nudge(head, now);
	}
}
