/*-------------------------------------------------------------------------
 *
 * explain.c
 *		What EXPLAIN shows of a foreign scan.
 *
 * Owns its words and their order.  What they tell is the plan's and the scan's.
 *
 * Sends nothing and evaluates nothing: a run-time value is shown as its
 * expression.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/explain.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "compat.h"
#include "monitor/monitor.h"
#include "plan/plan.h"
#include "scan/plan_end.h"
#include "scan/scan.h"

/* the clauses of one verdict, as they are written */
static void
show_verdict(ForeignScanState *node, ExplainState *es, List *context, TpmVerdict verdict,
			 const char *label)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List	   *verdicts = list_nth(plan->fdw_private, TPM_PRIV_VERDICTS);
	List	   *shown = NIL;
	ListCell   *lc,
			   *lc2;

	forboth(lc, tpm_plan_quals(plan), lc2, verdicts)
	{
		if (lfirst_int(lc2) == (int) verdict)
			shown = lappend(shown, lfirst(lc));
	}
	if (shown == NIL)
		return;
	ExplainPropertyText(label, deparse_expression((Node *) make_ands_explicit(shown), context,
												  list_length(es->rtable) > 1 || es->verbose, false), es);
}

/* where a list in this order ends */
static void
show_stop(ForeignScan *plan, ExplainState *es, List *context)
{
	List	   *shown = NIL;
	ListCell   *lc;

	foreach(lc, list_nth(plan->fdw_private, TPM_PRIV_STOP))
		shown = lappend(shown, list_nth(tpm_plan_quals(plan), lfirst_int(lc)));
	if (shown != NIL)
		ExplainPropertyText("Stops Beyond",
							deparse_expression((Node *) make_ands_explicit(shown), context,
											   list_length(es->rtable) > 1 || es->verbose, false), es);
}

static void
show_members(TpmScan *scan, ExplainState *es)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, scan->columns)
	{
		char	   *member = tpm_request_member(scan->table, &scan->table->columns[lfirst_int(lc) - 1]);

		if (member)
			names = lappend(names, member);
	}
	if (names != NIL)
		ExplainPropertyList("Members", names, es);
}

static char *
cache_words(TpmScan *scan, ExplainState *es)
{
	if (!tpm_scan_uses_cache(scan))
		return "off";
	if (scan->hit_fetched != 0)
		return es->timing ? psprintf("hit, age %lds", (long) ((GetCurrentTimestamp() - scan->hit_fetched) / USECS_PER_SEC))
			: "hit";
	return scan->not_kept ? "not kept" : "miss";
}

static void
show_cost(TpmScan *scan, ExplainState *es)
{
	TpmSession *session = scan->session;

	if (scan->keyed)
	{
		ExplainPropertyInteger("Keys", NULL, scan->keys, es);
		ExplainPropertyInteger("Found", NULL, scan->keys_found, es);
	}
	ExplainPropertyInteger("Requests Sent", NULL, session ? session->requests : 0, es);
	ExplainPropertyInteger("Pages", NULL, scan->pages, es);
	if (scan->took_whole_list)
		ExplainPropertyText("Whole List", "yes", es);
	if (session)
		ExplainPropertyText("Cache", cache_words(scan, es), es);
	if (session && session->retries > 0)
		ExplainPropertyInteger("Retries", NULL, session->retries, es);
	if (session && es->timing)
		ExplainPropertyFloat("Waited for Budget", "ms", session->waited_us / 1000.0, 1, es);
	if (session && es->summary)
		ExplainPropertyInteger("Bytes Received", NULL, session->bytes_in, es);
}

/* all requests of the statement for this scan; *loops: how often it asks */
static double
expected_requests(ForeignScanState *node, double *loops)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	TpmScan    *scan = node->fdw_state;
	double		requests = floatVal(list_nth(plan->fdw_private, TPM_PRIV_REQUESTS));
	int			link = intVal(list_nth(plan->fdw_private, TPM_PRIV_LINK));
	TpmPlanRuns runs;
	Cost		each;

	tpm_plan_runs(node->ss.ps.state, &plan->scan.plan, &runs);
	*loops = runs.loops;
	/* those of a join's look-ahead are for all keys already */
	if (link < 0 && runs.keys > 1)
		requests = Min(requests * runs.keys,
					   tpm_estimate_lookahead(scan->table, runs.keys, scan->table->opt.page_size, plan->scan.plan.plan_rows, &each));
	else if (link <= 0)
		*loops *= runs.keys;
	return requests * *loops;
}

/* what the statement would cost now */
static void
show_requests(ForeignScanState *node, ExplainState *es)
{
	TpmScan    *scan = node->fdw_state;
	double		loops;
	double		requests = expected_requests(node, &loops);
	TimestampTz fetched = 0;
	bool		kept = (node->ss.ps.state->es_top_eflags & EXEC_FLAG_EXPLAIN_ONLY) &&
	tpm_scan_is_kept(scan, &fetched);
	long		age = (long) ((GetCurrentTimestamp() - fetched) / USECS_PER_SEC);

	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyFloat("Requests", NULL, kept ? 0 : requests, 0, es);
		ExplainPropertyFloat("Expected Loops", NULL, loops, 0, es);
		if (kept && fetched != 0)
			ExplainPropertyInteger("Cached Age", "s", age, es);
	}
	else if (kept)
		ExplainPropertyText("Requests", fetched != 0 ? psprintf("0 (cached, age %ld s)", age) : "0", es);
	else if (loops > 1)
		ExplainPropertyText("Requests", psprintf("~%.0f (%.0f loops)", requests, loops), es);
	else
		ExplainPropertyText("Requests", psprintf("~%.0f", requests), es);
}

/*
 * Where a look-ahead node shows further keys, they are asked for as a list, and
 * without what differs from key to key.
 */
static TpmPlanCondition *
shown_conditions(const TpmScan *scan, const ForeignScan *plan, int *n)
{
	const List *key = list_nth(plan->fdw_private, TPM_PRIV_KEY);
	bool		ahead = key != NIL && intVal(list_nth(plan->fdw_private, TPM_PRIV_LINK)) > 0;
	TpmPlanCondition *conditions = palloc(sizeof(TpmPlanCondition) * Max(scan->nconditions, 1));

	*n = 0;
	for (int i = 0; i < scan->nconditions; i++)
	{
		if (ahead && list_member_int(list_nth(plan->fdw_private, TPM_PRIV_VARYING), i))
			continue;
		conditions[*n] = scan->conditions[i];
		if (ahead && i == linitial_int(key) && tpm_column_takes_lists(&scan->table->columns[conditions[*n].attnum - 1]))
			conditions[*n].op = TPM_COND_IN;
		(*n)++;
	}
	return conditions;
}

void
tpm_explain_scan(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	TpmScan    *scan = node->fdw_state;
	List	   *context = set_deparse_context_plan(es->deparse_cxt, node->ss.ps.plan, NIL);
	const char *sort = scan->sort_parameter ? scan->sort_parameter : tpm_remote_query_stable_sort(scan->table);
	int			nconditions;
	TpmPlanCondition *conditions = shown_conditions(scan, plan, &nconditions);
	char	   *request = tpm_remote_query_show(scan->table, conditions, nconditions,
												scan->flags & TPM_PLAN_COUNTS ? NULL : sort,
												tpm_include_names(scan), context);

	if (scan->flags & TPM_PLAN_COUNTS)
		ExplainPropertyText("Relations", psprintf("Aggregate on (%s)", scan->table->name), es);
	ExplainPropertyText("Remote", psprintf("GET %s", request), es);
	if (es->costs)
		show_requests(node, es);
	show_verdict(node, es, context, TPM_VERDICT_EXACT, "Exact");
	show_verdict(node, es, context, TPM_VERDICT_RECHECK, "Recheck");
	show_verdict(node, es, context, TPM_VERDICT_LOCAL, "Local");
	show_stop(plan, es, context);
	if (es->verbose)
		show_members(scan, es);
	if (es->analyze)
		show_cost(scan, es);
}
