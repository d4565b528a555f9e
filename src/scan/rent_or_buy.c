/*-------------------------------------------------------------------------
 *
 * rent_or_buy.c
 *		When a table's list is read as a whole instead of in parts.
 *
 * Parts of a list may cost no more requests than the whole: then the whole is
 * read, and answers.  Nobody pays more than twice the list so, whatever is
 * asked for.  Owns what counts, what the whole costs, and where it may be
 * read.  What was spent is remembered for all sessions by shared/rent.c, where
 * the whole would be; a scan that may not use the cache counts its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "scan/remote_query_internal.h"
#include "scan/rent_or_buy.h"
#include "shared/counters.h"
#include "shared/rent.h"

static TpmRentKey
rent_key(const TpmScan *scan)
{
	TpmRentKey	key = {
		.relid = scan->table->relid,
		.options_hash = scan->table->options_hash,
		.credential = scan->session->token.hash,
		.serverid = scan->table->server->serverid,
		.userid = scan->userid,
	};

	return key;
}

/* for how long the whole would be kept */
static int64
ttl_us(const TpmScan *scan)
{
	return tpm_cache_ttl_of(&scan->age, tpm_remote_query_pages(scan->table, 0)) * INT64CONST(1000000);
}

void
tpm_rent_count(TpmScan *scan)
{
	TpmRentKey	key = rent_key(scan);

	if (tpm_scan_uses_cache(scan))
		tpm_rent_add(&key, ttl_us(scan), 1);
	scan->rent++;
}

bool
tpm_rent_size_is_known(const TpmScan *scan)
{
	return tpm_remote_query_pages(scan->table, 0) > 0;
}

/*
 * Of the whole list; nobody has seen its end or its total: so many that there
 * are at the least, or two, since to find out costs one.
 */
static int64
least_pages(const TpmScan *scan)
{
	int64		pages = tpm_remote_query_pages(scan->table, 0);
	TpmTableStats learnt;

	if (pages == 0 && tpm_table_stats_get(scan->table->relid, scan->table->options_hash, &learnt))
	{
		int64		a_page = tpm_table_stats_page(&learnt, scan->table->opt.page_size);

		pages = (learnt.at_least + a_page - 1) / a_page;
	}
	return tpm_rent_size_is_known(scan) ? pages : Max(pages, 2);
}

bool
tpm_rent_is_due(const TpmScan *scan, int64 more)
{
	TpmRentKey	key = rent_key(scan);
	int64		spent = tpm_scan_uses_cache(scan) ? tpm_rent_get(&key, ttl_us(scan)) : scan->rent;

	return spent >= 0 && spent + more > least_pages(scan);
}

/* as far as the rows that have come tell; of one whose size is not known the first page will */
static bool
would_be_kept(const TpmScan *scan)
{
	TpmTableStats learnt;
	double		bytes = scan->received_rows > 0 ? (double) scan->received_bytes / scan->received_rows : 0;

	return !tpm_table_stats_get(scan->table->relid, scan->table->options_hash, &learnt) || learnt.total < 0 ||
		tpm_cache_would_keep((int64) (bytes * learnt.total));
}

/* is the hour's budget large enough?  Who is patient waits for what he asked for, not for more than that. */
static bool
fits_the_hour(TpmSession *session, int64 requests)
{
	TpmBudgetState state;

	tpm_budget_state(&session->budget, &state);
	return state.limit_hour == 0 ||
		state.used_hour + state.waiting + requests <= state.limit_hour * (1 - tpm_leave_free);
}

/*
 * A list of which nobody knows the size is priced by its first page, and may
 * turn out to cost too much: then the part follows.  So two requests are the
 * least.
 *
 * What is read alone is kept by the scan itself, in a file if need be.
 */
bool
tpm_rent_may_buy(TpmScan *scan)
{
	TpmSession *session = scan->session;
	int64		pages = tpm_remote_query_pages(scan->table, 2);
	int64		expected = session->expected;
	int64		expected_in_all = session->statement->expected;

	if (scan->query->everything == NULL || scan->table->required_filters != NIL ||
		!tpm_hidden_may_read_all(scan) || (tpm_scan_uses_cache(scan) && !would_be_kept(scan)) ||
		!fits_the_hour(session, pages))
		return false;
	if (tpm_client_refuses(session, pages) == NULL)
		return true;
	/* they are not going to be sent */
	session->expected = expected;
	session->statement->expected = expected_in_all;
	return false;
}

void
tpm_rent_bought(const TpmScan *scan, bool kept)
{
	TpmRentKey	key = rent_key(scan);

	if (tpm_scan_uses_cache(scan))
		tpm_rent_settle(&key, ttl_us(scan), kept);
}

void
tpm_rent_failed(const TpmScan *scan)
{
	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_OPERATOR_INTERVENTION)
		tpm_rent_bought(scan, false);
}
