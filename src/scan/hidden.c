/*-------------------------------------------------------------------------
 *
 * hidden.c
 *		Does a table's list show everything that conditions find?
 *
 * Owns what is concluded from a resource that came in answer to a condition,
 * or by its id, and that the list without conditions lacks.
 *
 * APIs of this kind leave out what is archived or inactive unless a filter asks
 * for it.  So a complete list answers a condition only while nothing has
 * contradicted it.  One resource that it lacks ends that, for every session;
 * the resource may also have been made after the list was fetched, so it is
 * remembered as a suspect.  A later list that lacks it, too, is a list that
 * hides: that is learnt of the table, and from then on no list answers but
 * what was asked of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "scan/scan.h"
#include "shared/counters.h"
#include "shared/witnesses.h"

static bool
has_learnt(const TpmScan *scan, TpmTableStats *learnt)
{
	return tpm_table_stats_get(scan->table->relid, scan->table->options_hash, learnt);
}

bool
tpm_hidden_is_learnt(const TpmTable *table)
{
	TpmTableStats learnt;

	return tpm_table_stats_get(table->relid, table->options_hash, &learnt) && learnt.hides;
}

bool
tpm_hidden_may_answer(const TpmScan *scan, const TpmCached *cached)
{
	TpmTableStats learnt;

	return tpm_cache_answers_all(cached) && !(has_learnt(scan, &learnt) && learnt.hides);
}

static TpmWitnessKey
witness_key(const TpmScan *scan)
{
	TpmWitnessKey key = {
		.relid = scan->table->relid,
		.options_hash = scan->table->options_hash,
		.credential = scan->session->token.hash,
	};

	return key;
}

/* ----- an answer to conditions ----- */

static int
compare_ids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* leaves in ids, which are sorted, what the complete list lacks; how many */
static int
lacking(TpmCached *cached, uint64 *ids, int n)
{
	bool	   *found = palloc0(sizeof(bool) * n);
	int			left = n;
	TpmCachedPage page;
	TpmListCursor cursor;

	while (left > 0 && tpm_cache_next(cached, &page, &cursor) == TPM_CACHE_PAGE)
	{
		HeapTupleData tuple;
		uint64		id;

		CHECK_FOR_INTERRUPTS();
		while (left > 0 && tpm_cache_row(&page, &tuple, &id))
		{
			uint64	   *at = bsearch(&id, ids, n, sizeof(uint64), compare_ids);

			if (at && !found[at - ids])
			{
				found[at - ids] = true;
				left--;
			}
		}
	}
	left = 0;
	for (int i = 0; i < n; i++)
	{
		if (!found[i])
			ids[left++] = ids[i];
	}
	pfree(found);
	return left;
}

/* the complete list that the cache has, however old; its table must have one */
static TpmCached *
complete_list(const TpmScan *scan)
{
	TpmCacheKey key;

	if (!scan->cacheable)
		return NULL;
	key = tpm_source_key(scan, scan->query->everything);
	return tpm_cache_open_stale(&key, INT_MAX);
}

void
tpm_hidden_saw(TpmScan *scan, const TpmPage *page)
{
	TpmWitnessKey key = witness_key(scan);
	TpmCached  *list;
	uint64	   *ids;
	int			n = 0;

	if (scan->query->everything == NULL || page->nrows == 0)
		return;
	ids = palloc(sizeof(uint64) * page->nrows);
	for (int i = 0; i < page->nrows; i++)
	{
		if (page->rows[i].idhash != 0)
			ids[n++] = page->rows[i].idhash;
	}
	tpm_witnesses_add(&key, ids, n);
	list = complete_list(scan);
	if (list)
	{
		qsort(ids, n, sizeof(uint64), compare_ids);
		n = tpm_cache_answers_all(list) ? lacking(list, ids, n) : 0;
		if (n > 0)
		{
			tpm_table_stats_suspect(scan->table->relid, scan->table->options_hash, ids[0]);
			tpm_cache_set_answers_all(list, false);
		}
		tpm_cache_close(list);
	}
	pfree(ids);
}

/* ----- a list to its end ----- */

static void
learn_to_hide(const TpmScan *scan)
{
	tpm_table_stats_hides(scan->table->relid, scan->table->options_hash);
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("foreign table %s: the API's list leaves out resources that conditions find", scan->table->name),
			 errdetail("From now on each condition is asked for by itself; rows without a condition are those of the list."),
			 errhint("If the API has a filter that shows them all, put it into the option query; tpm_fdw_check looks for one.")));
}

/* resources that an earlier list lacked: does this one have them? */
static void
judge_suspects(const TpmScan *scan, const TpmList *list)
{
	TpmTableStats learnt;

	if (!has_learnt(scan, &learnt) || learnt.hides)
		return;
	for (int i = 0; i < (int) lengthof(learnt.suspects); i++)
	{
		if (learnt.suspects[i] == 0)
			continue;
		if (!tpm_list_has(list, learnt.suspects[i]))
		{
			learn_to_hide(scan);
			return;
		}
		tpm_table_stats_clear_suspect(scan->table->relid, scan->table->options_hash, learnt.suspects[i]);
	}
}

/* the first resource of an answer to conditions that the list lacks, 0 if there is none */
static uint64
find_lacking(const TpmScan *scan, const TpmList *list)
{
	TpmWitnessKey key = witness_key(scan);
	uint64	   *ids = palloc(sizeof(uint64) * TPM_MOST_WITNESSES);
	int			n = tpm_witnesses_get(&key, ids);
	uint64		result = 0;

	for (int i = 0; i < n && result == 0; i++)
	{
		if (!tpm_list_has(list, ids[i]))
			result = ids[i];
	}
	pfree(ids);
	return result;
}

void
tpm_hidden_completed(TpmScan *scan, const TpmList *list, TpmCached *cached)
{
	uint64		lacks;

	if (scan->query->everything == NULL)
		return;
	judge_suspects(scan, list);
	lacks = find_lacking(scan, list);
	if (lacks != 0)
		tpm_table_stats_suspect(scan->table->relid, scan->table->options_hash, lacks);
	if (cached)
		tpm_cache_set_answers_all(cached, lacks == 0);

	/*
	 * the one copy was read for conditions, and this statement cannot tell
	 * any more
	 */
	if (lacks != 0 && scan->nconditions > 0 && !scan->buys)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("foreign table %s: the copy of its list lacks a resource that a condition has found", scan->table->name),
				 errdetail("This statement has been answered from the copy; from the next one on, conditions are asked for by themselves.")));
}

bool
tpm_hidden_may_read_all(const TpmScan *scan)
{
	TpmTableStats learnt;
	TpmCached  *list;
	bool		answers;

	if (scan->nconditions == 0)
		return true;
	if (has_learnt(scan, &learnt))
	{
		if (learnt.hides)
			return false;
		for (int i = 0; i < (int) lengthof(learnt.suspects); i++)
		{
			if (learnt.suspects[i] != 0)
				return false;
		}
	}
	list = complete_list(scan);
	answers = list == NULL || tpm_cache_answers_all(list);
	if (list)
		tpm_cache_close(list);
	return answers;
}
