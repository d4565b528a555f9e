/*-------------------------------------------------------------------------
 *
 * kept.c
 *		Whether the cache has the answer to a plan, for EXPLAIN.
 *
 * Owns that look, by the rules by which a scan would take the answer, and
 * without taking it: nothing is held, counted as a hit, or evaluated.  Where a
 * condition has a value at run time only, nothing but the whole list can be
 * known to answer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/problem.h"
#include "scan/scan.h"

typedef struct KeptLook
{
	TpmScan		scan;			/* a copy: the plan's own never begins */
	bool		kept;
	TimestampTz fetched;		/* of the oldest part, 0: none is needed */
} KeptLook;

static bool
is_there(KeptLook *look, const TpmCacheKey *key, bool for_conditions)
{
	TimestampTz fetched;

	if (!tpm_cache_peek(key, &look->scan.age, for_conditions, &fetched))
		return false;
	look->fetched = look->fetched == 0 ? fetched : Min(look->fetched, fetched);
	return true;
}

static bool
is_list_there(KeptLook *look, const TpmRequest *request, bool for_conditions)
{
	TpmCacheKey key = tpm_source_key(&look->scan, request);

	return is_there(look, &key, for_conditions);
}

static bool
is_count_there(KeptLook *look)
{
	TpmCacheKey key;

	if (!(look->scan.flags & TPM_PLAN_COUNTS) || !tpm_count_may_ask(&look->scan))
		return false;
	key = tpm_source_count_key(&look->scan, linitial(look->scan.query->requests));
	return is_there(look, &key, false);
}

/* what the plan's conditions ask for; false: some of their values are not known yet */
static bool
build_query(TpmScan *scan)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(scan->nconditions, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(scan->nconditions, 1));
	bool		known = true;

	for (int i = 0; i < scan->nconditions && known; i++)
	{
		const Const *value = (const Const *) scan->conditions[i].expr;

		known = IsA(value, Const);
		if (known)
		{
			values[i] = value->constvalue;
			nulls[i] = value->constisnull;
		}
	}
	scan->query = tpm_remote_query_build(scan->table, scan->conditions, known ? scan->nconditions : 0,
										 values, nulls, false);
	return known;
}

/* each request by a list of its own */
static bool
are_all_there(KeptLook *look)
{
	const List *requests = look->scan.query->requests;
	ListCell   *lc;

	if (look->scan.nconditions > 0 && look->scan.table->opt.cache_scope == TPM_SCOPE_TABLE)
		return false;
	if (is_count_there(look))
		return true;
	foreach(lc, requests)
	{
		if (!is_list_there(look, lfirst(lc), false))
			return false;
	}
	return true;
}

static void
look_into_cache(void *arg)
{
	KeptLook   *look = arg;
	TpmScan    *scan = &look->scan;

	scan->session = tpm_session_create(scan->table->server, scan->table, scan->userid, NULL);
	if (build_query(scan) && are_all_there(look))
		look->kept = true;
	else
	{
		look->fetched = 0;
		look->kept = scan->query->everything && !tpm_hidden_is_learnt(scan->table) &&
			is_list_there(look, scan->query->everything, scan->nconditions > 0);
	}
}

bool
tpm_scan_is_kept(const TpmScan *scan, TimestampTz *fetched)
{
	KeptLook	look = {.scan = *scan};
	ErrorData  *error;

	tpm_scan_decide_cache(&look.scan);
	if (!tpm_scan_uses_cache(&look.scan) || IsInParallelMode())
		return false;
	/* who has no credential is told when he asks for rows */
	if (!tpm_attempt(look_into_cache, &look, &error))
		return false;
	*fetched = look.fetched;
	return look.kept;
}
