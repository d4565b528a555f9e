/*-------------------------------------------------------------------------
 *
 * budget.c
 *		The cluster's budget: tickets, from joining a line to departure.
 *
 * Owns the shared part as a whole and the tickets.  The records are found in
 * budget_record.c; the lines are in budget_line.c, the arithmetic of the log in
 * budget_log.c, the log on disk in budget_file.c; what others ask and change
 * (views, messages, pauses, resets) in budget_state.c.
 *
 * Locking: one LWLock, tpm_budget->lock, for all records, lines and places: a
 * request takes it some four times, for microseconds.  It is never held over
 * the network, an fsync or a wait; latches are set under it.  A stamp is
 * written to the file after the lock was given back; a record's state block,
 * which seldom changes, and the erasure of a stamp, under it.
 *
 * Nothing is reserved: a slot is the moment at which the head of a line found
 * room in every window, and its stamp is in the log from then on.  A stamp is
 * taken back if its request is known not to have left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "shared/budget/budget_internal.h"

int			tpm_max_budgets = 64;
double		tpm_rate_limit_share = 1.0;
int			tpm_hour = 3600;

/* a stamp that moves by less is not worth another write to the file */
#define FILE_MOVE_US	INT64CONST(100000)

/* for so long the one that probes is waited for */
#define PROBE_US		(5 * TPM_SECOND_US)

typedef enum TicketState
{
	TICKET_WAITING,
	TICKET_GRANTED,
	TICKET_DEPARTED,
	TICKET_GONE
} TicketState;

/* the backend's half of a ticket */
struct TpmTicket
{
	TicketState state;
	uint64		number;
	int			place;			/* while waiting */
	TpmLimits	limits[TPM_RECORDS];
	double		leave_free;
	TpmFileSlot slot[TPM_RECORDS];	/* since granted; recno -1: none */
	int64		stamp;
	MemoryContextCallback callback;
};

/* what this backend has sent of late, for messages: a ring */
typedef struct OwnRequest
{
	uint64		id;
	int64		stamp;
} OwnRequest;

#define OWN_REQUESTS	1024

TpmBudgetShared *tpm_budget = NULL;

static OwnRequest *own_requests = NULL;
static int	own_next = 0;
static bool exit_registered = false;

static int
places_wanted(void)
{
	return Max(1024, MaxBackends * 4);
}

static Size
budget_size(void)
{
	Size		size = CACHELINEALIGN(sizeof(TpmBudgetShared));

	size = add_size(size, mul_size(places_wanted(), sizeof(TpmPlace)));
	return add_size(size, mul_size(tpm_max_budgets, sizeof(TpmBudgetRecord)));
}

static void
budget_init(void *area, int tranche, bool found)
{
	tpm_budget = area;
	if (found)
		return;

	memset(area, 0, budget_size());
	LWLockInitialize(&tpm_budget->lock, tranche);
	tpm_budget->nrecords = tpm_max_budgets;
	tpm_budget->nplaces = places_wanted();
	tpm_budget->records = (TpmBudgetRecord *)
		((char *) area + CACHELINEALIGN(sizeof(TpmBudgetShared)));
	tpm_budget->places = (TpmPlace *) (tpm_budget->records + tpm_budget->nrecords);

	for (int i = 0; i < tpm_budget->nrecords; i++)
	{
		for (int line = 0; line < 2; line++)
			tpm_budget->records[i].head[line] = tpm_budget->records[i].tail[line] = -1;
	}
	tpm_budget->free_place = -1;
	for (int i = tpm_budget->nplaces - 1; i >= 0; i--)
		tpm_place_free(i);
	tpm_budget_file_load(tpm_budget->records, tpm_budget->nrecords);
}

const TpmSharedArea tpm_budget_area = {"tpm_fdw_budget", budget_size, budget_init};

/* takes a place out of its line, wherever that is; lock held */
static void
place_leave(int place)
{
	TpmPlace   *self = &tpm_budget->places[place];

	tpm_line_leave(place);
	if (self->at == TPM_GROUP && self->record[TPM_ENDPOINT] >= 0)
		tpm_budget->records[self->record[TPM_ENDPOINT]].passed--;
	tpm_place_free(place);
}

static void
place_wake(const TpmPlace *place)
{
	for (int i = 0; i < TPM_RECORDS; i++)
	{
		if (place->record[i] >= 0)
			tpm_line_wake(place->record[i]);
	}
}

static void
leave_at_exit(int code, Datum arg)
{
	LWLockAcquire(&tpm_budget->lock, LW_EXCLUSIVE);
	for (int i = 0; i < tpm_budget->nplaces; i++)
	{
		if (tpm_budget->places[i].number != 0 && tpm_budget->places[i].procno == tpm_my_procno())
		{
			place_leave(i);
			place_wake(&tpm_budget->places[i]);
		}
	}
	LWLockRelease(&tpm_budget->lock);
}

static void leave_with_context(void *arg);

static void
prepare_backend(void)
{
	tpm_shared_require();
	if (own_requests == NULL)
		own_requests = MemoryContextAllocZero(TopMemoryContext, OWN_REQUESTS * sizeof(OwnRequest));
	if (!exit_registered)
	{
		before_shmem_exit(leave_at_exit, 0);
		exit_registered = true;
	}
}

TpmTicket *
tpm_budget_join(const TpmBudgetKey *key, TpmLine line, double leave_free, TpmProblem **problem)
{
	TpmTicket  *ticket = palloc0(sizeof(TpmTicket));
	int			recnos[TPM_RECORDS];
	int			place;

	prepare_backend();
	ticket->state = TICKET_GONE;
	ticket->limits[TPM_GROUP] = key->limits;
	ticket->limits[TPM_ENDPOINT] = key->endpoint_limits;
	ticket->leave_free = line == TPM_LINE_LARGE ? leave_free : 0;
	ticket->callback.func = leave_with_context;
	ticket->callback.arg = ticket;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &ticket->callback);

	*problem = tpm_budget_lock_records(key, recnos);
	if (*problem)
		return NULL;
	place = tpm_place_take();
	if (place >= 0)
	{
		TpmPlace   *self = &tpm_budget->places[place];

		self->line = line;
		self->leave_free = ticket->leave_free;
		self->told_us = tpm_monotonic_us();
		memcpy(self->limits, ticket->limits, sizeof(self->limits));
		memcpy(self->record, recnos, sizeof(self->record));
		tpm_line_enter(place, recnos[TPM_ENDPOINT] >= 0 ? TPM_ENDPOINT : TPM_GROUP, false);
		ticket->number = self->number;
		ticket->place = place;
		ticket->state = TICKET_WAITING;
	}
	LWLockRelease(&tpm_budget->lock);

	if (place >= 0)
		return ticket;
	*problem = tpm_problem(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
						   "too many requests are waiting for the request budget",
						   psprintf("At most %d may wait at once.", tpm_budget->nplaces), NULL);
	return NULL;
}

TpmProblem *
tpm_budget_relimit(TpmTicket *ticket, const TpmBudgetKey *key)
{
	TpmProblem *problem;
	int			recnos[TPM_RECORDS];

	ticket->limits[TPM_GROUP] = key->limits;
	if (ticket->state != TICKET_WAITING)
		return NULL;
	problem = tpm_budget_lock_records(key, recnos);
	if (problem)
		return problem;
	tpm_budget->places[ticket->place].limits[TPM_GROUP] = key->limits;
	LWLockRelease(&tpm_budget->lock);
	return NULL;
}

/* the first line is behind it, if there was one; lock held */
static void
pass_endpoint(int place)
{
	TpmPlace   *self = &tpm_budget->places[place];
	TpmBudgetRecord *endpoint = &tpm_budget->records[self->record[TPM_ENDPOINT]];

	tpm_line_leave(place);
	endpoint->passed++;
	endpoint->last_line = self->line;
	tpm_line_enter(place, TPM_GROUP, false);
	tpm_line_wake(self->record[TPM_ENDPOINT]);
}

/*
 * The endpoint's slot must still be there when the common one comes: another
 * request to it may have moved its stamp.  If not, back to the front of the
 * endpoint's line.
 */
static bool
endpoint_still_free(int place, int64 now)
{
	TpmPlace   *self = &tpm_budget->places[place];
	TpmBudgetRecord *endpoint;
	TpmForce	force;

	if (self->record[TPM_ENDPOINT] < 0)
		return true;
	endpoint = &tpm_budget->records[self->record[TPM_ENDPOINT]];
	tpm_limits_in_force(&self->limits[TPM_ENDPOINT], self->leave_free, force);
	if (tpm_log_earliest(endpoint, force, 1, now) <= now)
		return true;

	tpm_line_leave(place);
	endpoint->passed--;
	tpm_line_enter(place, TPM_ENDPOINT, true);
	tpm_line_wake(self->record[TPM_GROUP]);
	return false;
}

/* stamps the logs, frees the place, calls the next; lock held */
static void
grant(TpmTicket *ticket, int64 now)
{
	TpmPlace   *self = &tpm_budget->places[ticket->place];

	for (int i = 0; i < TPM_RECORDS; i++)
	{
		int			recno = self->record[i];

		ticket->slot[i].recno = recno;
		if (recno < 0)
			continue;
		tpm_log_add(&tpm_budget->records[recno], now, 1);
		ticket->slot[i] = tpm_budget_file_slot(&tpm_budget->records[recno], recno);
	}
	tpm_budget->records[self->record[TPM_GROUP]].last_line = self->line;
	ticket->stamp = now;
	ticket->state = TICKET_GRANTED;
	place_leave(ticket->place);
	place_wake(self);
}

TpmSlotVerdict
tpm_budget_poll(TpmTicket *ticket, int64 *wake_us, int64 *slot_us)
{
	TpmPlace   *self = &tpm_budget->places[ticket->place];
	int64		now;

	if (ticket->state != TICKET_WAITING)
		elog(ERROR, "ticket is in no line");

	LWLockAcquire(&tpm_budget->lock, LW_EXCLUSIVE);
	now = tpm_monotonic_us();
	self->told_us = now;
	if (self->at == TPM_ENDPOINT && tpm_line_may_go(ticket->place, now))
		pass_endpoint(ticket->place);
	if (self->at == TPM_GROUP && tpm_line_may_go(ticket->place, now) &&
		endpoint_still_free(ticket->place, now))
		grant(ticket, now);
	else
		tpm_line_wait(ticket->place, now, wake_us, slot_us);
	LWLockRelease(&tpm_budget->lock);

	if (ticket->state == TICKET_GRANTED)
	{
		*wake_us = *slot_us = now;
		for (int i = 0; i < TPM_RECORDS; i++)
		{
			if (ticket->slot[i].recno >= 0)
				tpm_budget_file_stamp(&ticket->slot[i], now);
		}
	}
	tpm_budget_file_report();
	return ticket->state == TICKET_GRANTED ? TPM_SLOT_GRANTED : TPM_SLOT_WAIT;
}

/* takes the stamps of a granted ticket out of the logs; lock held */
static void
stamps_remove(TpmTicket *ticket)
{
	for (int i = 0; i < TPM_RECORDS; i++)
	{
		TpmFileSlot *slot = &ticket->slot[i];

		/* the record may have been given to another budget */
		if (slot->recno >= 0 && tpm_budget->records[slot->recno].id != slot->id)
			slot->recno = -1;
		if (slot->recno >= 0)
			tpm_log_remove(&tpm_budget->records[slot->recno], ticket->stamp);
	}
}

/* a granted ticket whose request will not leave: its stamps are gone already; lock held */
static void
slots_free(TpmTicket *ticket)
{
	for (int i = 0; i < TPM_RECORDS; i++)
	{
		if (ticket->slot[i].recno >= 0)
		{
			tpm_budget_file_erase(&ticket->slot[i]);
			tpm_line_wake(ticket->slot[i].recno);
		}
	}
	ticket->state = TICKET_GONE;
}

static void
note_own(TpmTicket *ticket, int64 now)
{
	own_requests[own_next].id = ticket->slot[TPM_GROUP].id;
	own_requests[own_next].stamp = now;
	own_next = (own_next + 1) % OWN_REQUESTS;
}

/* may a granted ticket leave now, its own stamp not counted?  lock held */
static bool
still_free(const TpmTicket *ticket, int64 now)
{
	TpmForce	force;

	for (int i = 0; i < TPM_RECORDS; i++)
	{
		if (ticket->slot[i].recno < 0)
			continue;
		tpm_limits_in_force(&ticket->limits[i], ticket->leave_free, force);
		if (tpm_log_earliest(&tpm_budget->records[ticket->slot[i].recno], force, 1, now) > now)
			return false;
	}
	return true;
}

/* the record that a 429 to the ticket's request pauses; NULL if that is another's by now; lock held */
static TpmBudgetRecord *
refusing_record(const TpmTicket *ticket)
{
	const TpmFileSlot *slot = &ticket->slot[ticket->slot[TPM_ENDPOINT].recno >= 0
											? TPM_ENDPOINT : TPM_GROUP];

	if (slot->recno < 0 || tpm_budget->records[slot->recno].id != slot->id)
		return NULL;
	return &tpm_budget->records[slot->recno];
}

/* after a refusal nobody follows until it is known how the first fares */
static void
probe_endpoint(TpmBudgetRecord *record, int64 now)
{
	if (record == NULL || record->refusals == 0)
		return;
	record->probing = true;
	record->paused_until_us = now + PROBE_US;
}

void
tpm_budget_answered(const TpmTicket *ticket)
{
	TpmBudgetRecord *record;

	/*
	 * without the lock: a refusal that is just being noted is later than this
	 * answer
	 */
	if (ticket->state != TICKET_DEPARTED || (record = refusing_record(ticket)) == NULL ||
		record->refusals == 0)
		return;
	LWLockAcquire(&tpm_budget->lock, LW_EXCLUSIVE);
	record = refusing_record(ticket);
	if (record != NULL && ticket->stamp > record->refused_us)
	{
		record->refusals = 0;
		if (record->probing)
			record->paused_until_us = 0;
		record->probing = false;
		tpm_line_wake(record - tpm_budget->records);
	}
	LWLockRelease(&tpm_budget->lock);
}

bool
tpm_budget_departing(TpmTicket *ticket)
{
	int64		now;
	int64		slot_time = ticket->stamp;

	if (ticket->state != TICKET_GRANTED)
		return false;

	LWLockAcquire(&tpm_budget->lock, LW_EXCLUSIVE);
	now = tpm_monotonic_us();
	stamps_remove(ticket);
	if (still_free(ticket, now))
	{
		for (int i = 0; i < TPM_RECORDS; i++)
		{
			if (ticket->slot[i].recno >= 0)
				tpm_log_add(&tpm_budget->records[ticket->slot[i].recno], now, 1);
		}
		ticket->stamp = now;
		ticket->state = TICKET_DEPARTED;
		probe_endpoint(refusing_record(ticket), now);
	}
	else
		slots_free(ticket);
	LWLockRelease(&tpm_budget->lock);

	if (ticket->state != TICKET_DEPARTED)
		return false;
	note_own(ticket, now);
	for (int i = 0; i < TPM_RECORDS && now - slot_time > FILE_MOVE_US; i++)
	{
		if (ticket->slot[i].recno >= 0)
			tpm_budget_file_stamp(&ticket->slot[i], now);
	}
	return true;
}

/*
 * Out of the line; a slot that was granted and not departed with is given
 * back.  After departure nothing happens.
 */
static void
leave_with_context(void *arg)
{
	TpmTicket  *ticket = arg;

	if (ticket->state == TICKET_DEPARTED || ticket->state == TICKET_GONE)
		return;

	LWLockAcquire(&tpm_budget->lock, LW_EXCLUSIVE);
	if (ticket->state == TICKET_GRANTED)
	{
		stamps_remove(ticket);
		slots_free(ticket);
	}
	else if (tpm_budget->places[ticket->place].number == ticket->number)
	{
		/* else the exit callback has freed it before this context went */
		place_leave(ticket->place);
		place_wake(&tpm_budget->places[ticket->place]);
	}
	ticket->state = TICKET_GONE;
	LWLockRelease(&tpm_budget->lock);
}

int
tpm_budget_own_hour(uint64 id, int64 now)
{
	int			own = 0;

	for (int i = 0; own_requests != NULL && i < OWN_REQUESTS; i++)
	{
		if (own_requests[i].id == id && own_requests[i].stamp > now - tpm_hour * TPM_SECOND_US)
			own++;
	}
	return own;
}
