/*-------------------------------------------------------------------------
 *
 * abort_report.c
 *		What a transaction has sent, for when it is rolled back.
 *
 * A rollback cannot unsend.  Owns the list of this transaction's writes and
 * the one message about them: at the abort of the transaction, of a savepoint
 * or of an exception block, once for each write.  The journal keeps the same
 * beyond the end of the backend.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "journal/journal.h"
#include "shared/cache/cache.h"
#include "shared/write_claims.h"
#include "write/abort_report.h"

/* more than this in one message serves nobody; the journal has them all */
#define TPM_MAX_LISTED	1000

typedef enum SentState
{
	SENT_OPEN,					/* doubtful if it has departed */
	SENT_WRITTEN,
	SENT_REFUSED
} SentState;

struct TpmSent
{
	SentState	state;
	TpmDeparture departure;		/* of its bytes */
	bool		doubted;		/* they left, and no answer came */
	bool		told;			/* in the message of an abort */
	SubTransactionId subid;
	uint64		journal;		/* number there, 0 none */
	uint64		resource;
	uint64		address;		/* that it may erase others' changes of, or 0 */
	int64		settle_us;
	const char *method;			/* a constant */
	char	   *what;
	char	   *key;			/* or NULL */
	char	   *id;				/* or NULL */
	struct TpmSent *next;
};

static MemoryContext sent_context = NULL;	/* of the transaction */
static TpmSent *first = NULL;
static TpmSent *last = NULL;
static int64 count = 0;
static SubTransactionId newest = InvalidSubTransactionId;	/* that sent any */
static bool registered = false;

static bool
is_doubtful(const TpmSent *sent)
{
	return sent->state == SENT_OPEN && (sent->departure.departed || sent->doubted);
}

/* ----- lists for messages ----- */

static bool
belong_together(const TpmSent *one, const TpmSent *other)
{
	return strcmp(one->method, other->method) == 0 && strcmp(one->what, other->what) == 0 &&
		one->id != NULL && other->id != NULL;
}

/* "POST /third_parties: 301, 302; PUT /third_parties: 7" */
static void
add_to_list(StringInfo list, const TpmSent *sent, const TpmSent *before)
{
	if (before && belong_together(before, sent))
	{
		appendStringInfo(list, ", %s", sent->id);
		return;
	}
	appendStringInfo(list, "%s%s %s", before ? "; " : "", sent->method, sent->what);
	if (sent->id)
		appendStringInfo(list, ": %s", sent->id);
	else if (sent->key)
		appendStringInfo(list, " (%s)", sent->key);
}

/*
 * The written or the doubtful ones, of one subtransaction (0: all), from the
 * mark on; NULL if there are none.
 */
static char *
list_of(bool written, SubTransactionId subid, int64 mark, bool untold, int *n)
{
	StringInfoData list;
	const TpmSent *before = NULL;
	int64		i = 0;

	initStringInfo(&list);
	*n = 0;
	for (const TpmSent *sent = first; sent; sent = sent->next)
	{
		if (i++ < mark || (untold && sent->told) ||
			!(written ? sent->state == SENT_WRITTEN : is_doubtful(sent)) ||
			(subid != InvalidSubTransactionId && sent->subid != subid))
			continue;
		if (++*n <= TPM_MAX_LISTED)
			add_to_list(&list, sent, before);
		before = sent;
	}
	if (*n > TPM_MAX_LISTED)
		appendStringInfo(&list, " and %d more, all of them in the view tpm_fdw_writes", *n - TPM_MAX_LISTED);
	return *n > 0 ? list.data : NULL;
}

char *
tpm_sent_list(int64 mark)
{
	int			n,
				doubts;
	char	   *written = list_of(true, InvalidSubTransactionId, mark, false, &n);
	char	   *doubtful = list_of(false, InvalidSubTransactionId, mark, false, &doubts);

	if (written && doubtful)
		return psprintf("%s; outcome unknown: %s", written, doubtful);
	return doubtful ? psprintf("outcome unknown: %s", doubtful) : written;
}

/* ----- the message ----- */

/* under way when it was interrupted: nobody else will say what is known */
static void
give_up(TpmSent *sent)
{
	TpmJournalResult result = {.outcome = TPM_JOURNAL_REFUSED,.sendings = sent->departure.times};

	/*
	 * what comes late must not be missed by lists read meanwhile, nor be
	 * overtaken
	 */
	if (is_doubtful(sent))
	{
		tpm_cache_written(sent->resource);
		if (sent->address != 0)
			tpm_write_claim_unsettle(sent->address, sent->departure.at_us + sent->settle_us);
	}
	if (sent->journal == 0 || sent->doubted)
		return;
	if (sent->departure.departed)
		result.outcome = TPM_JOURNAL_UNKNOWN;
	else
		result.evidence = sent->departure.times == 0 ? "not sent" : "answer";
	tpm_journal_outcome(sent->journal, &result);
}

static void
mark_told(SubTransactionId subid)
{
	for (TpmSent *sent = first; sent; sent = sent->next)
	{
		if (sent->told || (subid != InvalidSubTransactionId && sent->subid != subid))
			continue;
		if (sent->state == SENT_OPEN)
			give_up(sent);
		sent->told = true;
	}
}

/* subid 0: the whole transaction */
static void
tell(SubTransactionId subid)
{
	int			n,
				doubts;
	char	   *written = list_of(true, subid, 0, true, &n);
	char	   *doubtful = list_of(false, subid, 0, true, &doubts);

	mark_told(subid);
	if (n + doubts == 0)
		return;
	/* nobody may be listening any more when the backend ends */
	ereport(proc_exit_inprogress ? LOG : WARNING,
			(errcode(ERRCODE_WARNING),
			 doubts == 0 ? errmsg_plural("%d write that was sent is not undone by the rollback",
										 "%d writes that were sent are not undone by the rollback", n, n)
			 : n == 0 ? errmsg_plural("the outcome of %d write that was sent is unknown, and not undone by the rollback",
									  "the outcome of %d writes that were sent is unknown, and not undone by the rollback",
									  doubts, doubts)
			 : errmsg("%d writes that were sent are not undone by the rollback, and the outcome of %d is unknown",
					  n, doubts),
			 written && doubtful ? errdetail("Written: %s.\nDoubtful: %s.", written, doubtful)
			 : written ? errdetail("Written: %s.", written) : errdetail("Doubtful: %s.", doubtful),
			 doubts > 0 ? errhint("Look at the API whether the doubtful ones are there before sending them again.") : 0));
}

static void
forget_all(void)
{
	if (sent_context)
		MemoryContextDelete(sent_context);
	sent_context = NULL;
	first = last = NULL;
	count = 0;
	newest = InvalidSubTransactionId;
}

static void
transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_ABORT:
			if (first)
				tell(InvalidSubTransactionId);
			forget_all();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			forget_all();
			break;
		case XACT_EVENT_PRE_PREPARE:
			/* a ROLLBACK PREPARED could tell nobody */
			if (tpm_transaction_has_written())
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot prepare a transaction that has written to foreign tables of tpm_fdw")));
			break;
		default:
			break;
	}
}

static void
subtransaction_event(SubXactEvent event, SubTransactionId my_subid, SubTransactionId parent_subid,
					 void *arg)
{
	/* each answer is read in one of its own, which has sent nothing */
	if (my_subid > newest)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB && first)
		tell(my_subid);
	if (event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	for (TpmSent *sent = first; sent; sent = sent->next)
		if (sent->subid == my_subid)
			sent->subid = parent_subid;
}

/* ----- what is sent ----- */

TpmSent *
tpm_sent_begin(uint64 resource, const char *method, const char *what, const char *id,
			   const char *key)
{
	MemoryContext old;
	TpmSent    *sent;

	if (!registered)
	{
		RegisterXactCallback(transaction_event, NULL);
		RegisterSubXactCallback(subtransaction_event, NULL);
		registered = true;
	}
	if (sent_context == NULL)
		sent_context = AllocSetContextCreate(TopMemoryContext, "tpm_fdw sent", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(sent_context);
	sent = palloc0(sizeof(TpmSent));
	sent->state = SENT_OPEN;
	sent->subid = GetCurrentSubTransactionId();
	sent->resource = resource;
	sent->method = method;
	sent->what = pstrdup(what);
	sent->id = id ? pstrdup(id) : NULL;
	sent->key = key ? pstrdup(key) : NULL;
	MemoryContextSwitchTo(old);
	if (last)
		last->next = sent;
	else
		first = sent;
	last = sent;
	count++;
	newest = Max(newest, sent->subid);
	return sent;
}

TpmDeparture *
tpm_sent_departure(TpmSent *sent)
{
	return &sent->departure;
}

void
tpm_sent_may_erase(TpmSent *sent, uint64 address, int64 settle_us)
{
	sent->address = address;
	sent->settle_us = settle_us;
}

void
tpm_sent_journal(TpmSent *sent, uint64 number)
{
	sent->journal = number;
}

void
tpm_sent_doubted(TpmSent *sent)
{
	sent->doubted = true;
}

void
tpm_sent_written(TpmSent *sent, const char *id)
{
	sent->state = SENT_WRITTEN;
	if (id)
		sent->id = MemoryContextStrdup(sent_context, id);
}

void
tpm_sent_refused(TpmSent *sent)
{
	sent->state = SENT_REFUSED;
}

/* in the same list: another parent has ids and keys of its own */
static bool
is_created_beside(const TpmSent *other, const TpmSent *sent)
{
	return other != sent && other->state == SENT_WRITTEN && other->id &&
		strcmp(other->method, "POST") == 0 && other->resource == sent->resource &&
		strcmp(other->what, sent->what) == 0;
}

bool
tpm_sent_created_by_another(const TpmSent *sent, const char *id)
{
	for (const TpmSent *other = first; other; other = other->next)
		if (is_created_beside(other, sent) && strcmp(other->id, id) == 0)
			return true;
	return false;
}

const char *
tpm_sent_id_of_same_key(const TpmSent *sent)
{
	for (const TpmSent *other = first; other; other = other->next)
		if (is_created_beside(other, sent) && other->key && strcmp(other->key, sent->key) == 0)
			return other->id;
	return NULL;
}

bool
tpm_transaction_has_written(void)
{
	for (const TpmSent *sent = first; sent; sent = sent->next)
		if (sent->state == SENT_WRITTEN || is_doubtful(sent))
			return true;
	return false;
}

int64
tpm_sent_mark(void)
{
	return count;
}
