/*-------------------------------------------------------------------------
 *
 * outlook.c
 *		What the other scans of a statement are still going to ask for.
 *
 * A list that fits what may be sent is of no use where another one of the same
 * statement does not: so each is judged together with those that come.  Owns
 * what is known of a statement's scans before they begin.
 * What is not known counts nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "scan/outlook.h"
#include "scan/plan_end.h"
#include "scan/remote_query_internal.h"
#include "shared/counters.h"

/* of a scan that has begun; what it expects for keys is a guess */
static int64
still_to_send(const TpmScan *scan)
{
	if (scan->at_end || scan->keyed || !scan->read_to_end)
		return 0;
	return Max(scan->session->expected - scan->session->requests, 0);
}

/* does it read the whole list, once, and what it is known to have? */
static bool
will_read_whole_list(const TpmScan *scan)
{
	const Plan *plan = scan->node->ss.ps.plan;

	return scan->nconditions == 0 && scan->stops == NIL && bms_is_empty(plan->extParam) &&
		!(scan->flags & TPM_PLAN_COUNTS) && !tpm_request_path_has_columns(scan->table) &&
		tpm_plan_will_read_to_end(scan->node->ss.ps.state, plan);
}

static bool
shares_list(const TpmScan *scan, const TpmCacheAge *age)
{
	return age->ttl != 0 && !(scan->flags & TPM_PLAN_NO_CACHE);
}

/* what one credential is shown, another one may not be */
static bool
is_size_told_to(const TpmScan *scan, Oid umid)
{
	TpmTableStats learnt;

	return tpm_table_stats_get(scan->table->relid, scan->table->options_hash, &learnt) && learnt.total_by == umid;
}

/* of a scan that has not begun; shared: tables whose list others read for it */
static int64
will_send(const TpmScan *scan, Oid umid, List **shared)
{
	TpmCacheAge age = tpm_cache_age_of(scan->table);
	Oid			relid = scan->table->relid;

	if (!will_read_whole_list(scan) || !is_size_told_to(scan, umid))
		return 0;
	if (shares_list(scan, &age))
	{
		if (list_member_oid(*shared, relid) ||
			tpm_cache_has_whole(relid, scan->userid, scan->table->options_hash, &age))
			return 0;
		*shared = lappend_oid(*shared, relid);
	}
	return tpm_remote_query_pages(scan->table, 0);
}

int64
tpm_outlook(const TpmScan *scan)
{
	List	   *shared = NIL;
	int64		n = 0;
	dlist_iter	iter;

	if (shares_list(scan, &scan->age))
		shared = list_make1_oid(scan->table->relid);
	dlist_foreach(iter, &tpm_scans)
	{
		const TpmScan *other = dlist_container(TpmScan, list_node, iter.cur);

		if (other == scan || other->node->ss.ps.state != scan->node->ss.ps.state ||
			other->table->server->serverid != scan->table->server->serverid || other->userid != scan->userid)
			continue;
		n += other->session ? still_to_send(other) : will_send(other, scan->session->credential->umid, &shared);
	}
	list_free(shared);
	return n;
}
