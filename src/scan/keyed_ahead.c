/*-------------------------------------------------------------------------
 *
 * keyed_ahead.c
 *		Lists of keys side by side: their first requests leave before their turn.
 *
 * Owns how many are under way.  Which keys they ask for, and what becomes of
 * their rows, is keyed.c's; each is read when a key of it is at hand.
 *
 * Only where the plan asks for each key that it shows, and reads to its end:
 * then no request is in vain.  The first list goes alone, since it tells what
 * one costs: perhaps the whole list is read instead.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "scan/keyed_internal.h"
#include "scan/rent_or_buy.h"

void
tpm_keyed_ahead_create(TpmScan *scan, TpmKeyed *keyed, int link)
{
	/*
	 * what asks through a parameter, a subquery, may leave out some of the
	 * rows
	 */
	if (link <= 0 || !scan->read_to_end || scan->table->opt.fetch_concurrency == 1)
		return;
	keyed->begun = scan->begun = tpm_prefetch_create(scan->session);
	scan->session->lanes = scan->table->opt.fetch_concurrency;
}

static void
send_first_request(TpmScan *scan, KeyBatch *batch, TpmRequest *request)
{
	char	   *url = tpm_source_first_url(scan, request);

	if (url == NULL)
		return;
	batch->url = MemoryContextStrdup(batch->context, url);
	tpm_rent_count(scan);
	tpm_prefetch_start(scan->keyed->begun, batch->url, TPM_CALL_READ);
}

/* of a batch that waits */
static void
begin_batch(TpmScan *scan, KeyBatch *batch)
{
	TpmKeyed   *keyed = scan->keyed;
	TpmRemoteQuery *query;

	tpm_keyed_set_values(keyed, batch);
	query = tpm_remote_query_build(scan->table, keyed->conditions, keyed->nconditions, keyed->values, keyed->nulls, false);
	if (list_length(query->requests) == 1)
		send_first_request(scan, batch, linitial(query->requests));
}

/* would so many lists under way be refused, or would the whole one be read instead?  The first request of all but one has been counted. */
static bool
are_too_many(const TpmScan *scan, int n)
{
	return (tpm_max_requests > 0 && scan->session->statement->requests + n > tpm_max_requests) ||
		(!scan->keyed->no_purchase && tpm_rent_size_is_known(scan) &&
		 tpm_rent_is_due(scan, n * scan->keyed->pages_a_batch - (n - 1)));
}

void
tpm_keyed_ask_ahead(TpmScan *scan)
{
	TpmKeyed   *keyed = scan->keyed;
	MemoryContext old;
	int			under_way = 1;

	if (keyed->pages_a_batch == 0 || list_length(scan->query->requests) != 1)
		return;
	old = MemoryContextSwitchTo(scan->query_context);
	send_first_request(scan, keyed->open, linitial(scan->query->requests));
	while (under_way < scan->table->opt.fetch_concurrency && !are_too_many(scan, under_way + 1))
	{
		KeyBatch   *batch = tpm_keyed_next_batch(scan);

		if (batch == NULL)
			break;
		begin_batch(scan, batch);
		under_way++;
	}
	MemoryContextSwitchTo(old);
}
