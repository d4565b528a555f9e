/*-------------------------------------------------------------------------
 *
 * scan.h
 *		A plan at run time, as scan.c, remote_query.c and explain.c see it.
 *
 * Promises: the rows of a plan in the order that it promised, whatever their
 * source (the cache, a list that somebody else fetches, the API); a resource
 * that moved between pages is not returned twice.
 * Never: evaluates a run-time value before the first row, changes the size of
 * a list's pages without beginning it again, or takes a row's value from the
 * query (but for a column in the path, which no answer can repeat otherwise).
 * Locks: a count takes AccessShareLock on its table and keeps it to the end of
 * the transaction; no LWLock over a request or a wait for another's page.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_SCAN_H
#define TPM_SCAN_H

#include "nodes/execnodes.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "base/backend_list.h"
#include "base/idset.h"
#include "client/client.h"
#include "document/document.h"
#include "request/request.h"
#include "scan/condition.h"
#include "scan/list.h"
#include "scan/order.h"
#include "scan/plan_private.h"
#include "shared/cache/cache.h"

/* settings; their meaning and range are in tpm_fdw.c */
extern int	tpm_cache_ttl;		/* seconds; -1 follows the option */
extern int	tpm_cache_stale;	/* seconds */

/* a pushed condition, as the plan holds it */
typedef struct TpmPlanCondition
{
	AttrNumber	attnum;
	TpmConditionOp op;
	TpmVerdict	verdict;
	Expr	   *expr;
	ExprState  *state;
	ExprState  *test;			/* of the whole clause, where the API is
								 * believed, else NULL */
	bool		dropped;		/* its value could not be sent this time */
} TpmPlanCondition;

/* what is asked for one set of values */
typedef struct TpmRemoteQuery
{
	List	   *requests;		/* of TpmRequest *; NIL: no row can match */
	TpmRequest *everything;		/* the same list without conditions; NULL if
								 * none */
	List	   *placeholders;	/* of char **, one for each request, or NIL */
	bool		all_sent;		/* every condition of the plan is in every
								 * request */
	List	   *ids;			/* of char *, in order: asked for, and perhaps
								 * there under another spelling; NIL: none */
	bool	   *met;			/* for each of them: a row has it */
	int			nmet;
	char	   *key;			/* the same for the same requests */
} TpmRemoteQuery;

/* the answer for one set of values, kept for a rescan */
typedef struct TpmResult
{
	char	   *key;
	Tuplestorestate *rows;		/* NULL: only their number is known */
	int64		count;
	bool		complete;
	struct TpmResult *next;
} TpmResult;

/* the rows of one request, wherever they come from; see source.c */
typedef struct TpmSource TpmSource;

/* what a scan by key wants others to include; see include.c */
typedef struct TpmWish TpmWish;

typedef struct TpmScan
{
	ForeignScanState *node;
	TpmTable   *table;
	Oid			userid;
	int			flags;			/* TPM_PLAN_* */
	List	   *columns;		/* of int: attnums to fetch */
	List	   *checked;		/* of int: attnums whose member must exist */
	int			nconditions;
	TpmPlanCondition *conditions;

	TpmSession *session;		/* NULL until the first row is asked for */
	TpmDecoder *decoder;
	TupleDesc	tupdesc;

	bool		started;		/* a row has been asked for, with the values
								 * at hand */
	bool		by_key;			/* keyed.c answers them */
	struct TpmKeyed *keyed;		/* NULL: no scan by key */
	bool		sought_key;

	MemoryContext query_context;	/* of one set of values */
	TpmRemoteQuery *query;		/* NULL: values not evaluated yet */
	int			next_request;
	TpmSource  *source;			/* of the request being read, or NULL */
	MemoryContext source_context;	/* of it alone; NULL: the one above */
	TpmPrefetch *begun;			/* first requests of lists that have left
								 * before their turn, or NULL */
	const char *path;			/* that it asks */
	TpmIdSet   *seen;			/* ids that requests of this path have
								 * brought, NULL: one request only */
	struct TpmIncludes *includes;	/* what others of its run want included;
									 * NULL until it asks */
	TpmWish    *wish;			/* to be included by another, or NULL */

	bool		leaves_missing; /* keyed.c looks further for ids that are not
								 * found */
	bool		reads_all;		/* an id was not found under its own text: the
								 * list answers, from then on */
	bool		at_end;
	bool		nameless;		/* a row without id has been given */

	HeapTupleData tuple;		/* the row that the slot holds */
	uint64		idhash;			/* its id's, as it came, 0: it has none */
	TupleTableSlot *in_hand;	/* a row that is tested or sorted */
	List	   *map;			/* IntList: attnum of each of its columns,
								 * NIL: a row of the table as it is */

	/* order */
	TpmOrder   *order;			/* NULL: none */
	bool		order_is_total; /* no two rows are equal in what is sent */
	bool		in_order;		/* the source gives rows in this order */
	char	   *sort_parameter;
	List	   *stops;			/* of ExprState *: bounds that end an ordered
								 * list */
	List	   *bounds;			/* of ExprState *: their values, in this order */
	bool		order_settled;	/* known whether rows must be sorted here */
	Tuplesortstate *sort;		/* NULL: they come in order */

	Tuplestorestate *rest;		/* rows read ahead of a write, or NULL */
	dlist_node	list_node;		/* in tpm_scans */

	/* the cache */
	bool		cacheable;		/* every column's type is the same in all
								 * sessions */
	TpmCacheAge age;
	uint64		resource;
	TimestampTz hit_fetched;	/* newest cached answer used, 0 none */
	bool		not_kept;		/* an answer was too large for the cache */

	bool		keeps_results;	/* the rows may be asked for again */
	bool		replaying;
	TpmResult  *results;
	TpmResult  *filling;		/* the result that the rows being read go to */
	MemoryContext result_context;
	ResourceOwner owner;		/* of the portal */
	TupleTableSlot *kept;		/* for rows of a tuplestore */

	double		wanted;			/* rows that a limit lets through, 0: no limit */
	bool		read_to_end;	/* the plan asks for all rows; known from the
								 * first one on */
	bool		tests_rows;		/* rows from the API are tested as they come */
	ExprContext *tests;			/* of these tests: all of a list may be tested
								 * for one row of the plan */
	bool		demoted;		/* a filter was caught lying */

	/* for EXPLAIN ANALYZE */
	int64		cache_hits;		/* requests answered from the cache */
	int64		pages;
	int64		rows;
	int64		keys;			/* that were looked for, each once */
	int64		keys_found;		/* those with a row */
	bool		took_whole_list;	/* instead of asking for further keys */
	bool		buys;			/* the list is read for later lookups */
	bool		no_purchase;	/* it cannot be read so, or was in vain */
	int64		rent;			/* requests for parts of a list */
	int64		received_rows;
	int64		received_bytes; /* of them */
	int64		counted_rows;	/* of these in the totals already */
	int64		counted_hits;
	bool		told_doubt;		/* of a list that may lack rows */
	bool		warned_missing;
	bool		warned_unknown;
} TpmScan;

/* scan.c: how old a kept answer may be for this session */
extern TpmCacheAge tpm_cache_age_of(const TpmTable *table);

/* scan.c */
extern void tpm_begin_scan(ForeignScanState *node, int eflags);
extern TupleTableSlot *tpm_iterate_scan(ForeignScanState *node);
extern void tpm_rescan_scan(ForeignScanState *node);
extern void tpm_end_scan(ForeignScanState *node);

/* is a list looked up in the cache, and left there? */
static inline bool
tpm_scan_uses_cache(const TpmScan *scan)
{
	return scan->cacheable && scan->age.ttl != 0 && !(scan->flags & TPM_PLAN_NO_CACHE);
}

/* may the rows that the plan wants be the first of a list in its order? */
static inline bool
tpm_scan_may_stop(const TpmScan *scan)
{
	return !scan->buys &&
		(scan->stops != NIL || !(scan->read_to_end || (scan->flags & TPM_PLAN_READS_ALL)));
}

/* destination.c: called by _PG_init */
extern void tpm_scan_install_hooks(void);

/* scan_rows.c */

/* evaluates the values of the conditions; sends nothing yet */
extern void tpm_rows_begin(TpmScan *scan);

/*
 * The same with conditions and values of the caller's, which must live until
 * tpm_rows_end(): more rows than the plan's conditions ask for.
 */
extern void tpm_rows_begin_with(TpmScan *scan, TpmPlanCondition *conditions, int n, Datum *values,
								bool *nulls);

/* the next row, in the plan's order; valid in the slot until the next call */
extern bool tpm_rows_next(TpmScan *scan, TupleTableSlot *slot);

/* what follows is an answer to this request of the query: what its path holds is what its rows are silent about */
extern void tpm_rows_set_path(TpmScan *scan, int at);

/*
 * Sorts by the plan's order the rows that next puts into scan->tuple, until it
 * is false; with at_hand, one is there already.  tpm_rows_next() gives them.
 */
extern void tpm_rows_sort(TpmScan *scan, bool (*next) (TpmScan *scan), bool at_hand);

/* is an id that was asked for not there, at least not under its own text? */
extern bool tpm_rows_miss_id(const TpmScan *scan);

/* can all rows that are left be had without a request? */
extern bool tpm_rows_are_at_hand(const TpmScan *scan);

/* forgets values and rows */
extern void tpm_rows_end(TpmScan *scan);

/* scan.c: whether and for how long answers are kept, as the settings are now */
extern void tpm_scan_decide_cache(TpmScan *scan);

/* scan.c: session and decoder, once they are needed */
extern void tpm_scan_connect(TpmScan *scan);

/* scan.c: tells the views of the rows and hits since it was called last */
extern void tpm_scan_count_rows(TpmScan *scan);

/* scan.c: the answer for the values at hand that a rescan may use, NULL if there is none */
extern TpmResult *tpm_scan_known(TpmScan *scan);

/* scan.c: the rows that are read now, with the values at hand, are kept in scan->filling */
extern void tpm_scan_begin_result(TpmScan *scan);

/* scan.c: the next of rows that are kept, into scan->kept */
extern bool tpm_scan_next_kept(TpmScan *scan, Tuplestorestate *rows);

/* scan.c: those of this backend that are set up, in whatever statement, cursor or loop; each until its executor run ends */
extern dlist_head tpm_scans;

/* scan.c: room for that answer */
extern TpmResult *tpm_scan_new_result(TpmScan *scan);

/* drain.c */

/*
 * Before this backend writes to a resource (the address of its tables): reads every
 * scan of it that is open in this backend to its end.  Returns how many rows
 * the scan of range table entry feeding_rti in estate will still give, if each
 * of them is a row that the statement writes; -1 if that is not known.  Once
 * there are more than most of these, the statement is going to be refused, and
 * no further page is asked for.
 */
extern int64 tpm_scans_drain(EState *estate, uint64 resource, Index feeding_rti, int64 most);

/* source.c */

/* the rows of the page at hand stay valid as long as the source's memory */
extern void tpm_source_keep_page(TpmSource *source);
extern bool tpm_source_keeps_page(const TpmSource *source);

/*
 * The rows of a request: from the cache if it has them, else from the API,
 * leaving them in the cache where that is allowed.  Lives in the current
 * memory context.
 */
extern TpmSource *tpm_source_open(TpmScan *scan, TpmRequest *request);

/*
 * Raises the problem met while the source was opened or read, unless an older
 * answer may be given instead: then that is returned, and the user warned.
 * None of the rows of the request may have been returned.  NULL: of all
 * requests of the query.
 */
extern TpmSource *tpm_source_instead(TpmScan *scan, TpmRequest *request, const TpmProblem *problem);

/* the first request of one whose rows are wanted in no order; NULL: the cache has its answer */
extern char *tpm_source_first_url(TpmScan *scan, TpmRequest *request);

/* under which the cache keeps the list of a request */
extern TpmCacheKey tpm_source_key(const TpmScan *scan, const TpmRequest *request);

/* and the number of its rows, by itself: a list without pages, whose total it is */
extern TpmCacheKey tpm_source_count_key(const TpmScan *scan, const TpmRequest *request);

/* a number that is kept so, as this scan's answer */
extern int64 tpm_source_kept_total(TpmScan *scan, TpmCached *cached);

/* such a number in place of the problem, like tpm_source_instead(); -1: there is none, or a newer list */
extern int64 tpm_source_older_total(TpmScan *scan, TpmRequest *request, const TpmProblem *problem);

/*
 * Somebody else fetches what the scan has needed since then.  Waits for a
 * while; or says why not, where he waits for the budget, and may do so for
 * longer than this session.
 */
extern const TpmProblem *tpm_source_wait(TpmScan *scan, int64 since_us);

/* the list of the request, or the one without conditions, if the cache has it in full, else NULL */
extern TpmSource *tpm_source_open_complete(TpmScan *scan, TpmRequest *request);

/*
 * So many more requests for parts of the list are about to be sent.  Would they
 * and those before cost more than all of it, and may it be read for what the
 * scan asks for: then it is, into the cache, and answers the request from there.
 * NULL: it does not, also where the API gives no answer.
 */
extern TpmSource *tpm_source_buy(TpmScan *scan, TpmRequest *request, int64 more);

/* has the whole list taken its place? */
extern bool tpm_source_is_exchanged(const TpmSource *source);

/* how many rows one has that needs no request */
extern int64 tpm_source_rows(const TpmSource *source);

/* do its rows come in the order of the plan? */
extern bool tpm_source_is_ordered(const TpmSource *source);

/* do they come from the API, as asked for by TpmRequest.key_sort? */
extern bool tpm_source_is_by_key(const TpmSource *source);

/* have all rows of the pages so far been given? */
extern bool tpm_source_is_between_pages(const TpmSource *source);

/* can the rows that are left be had without a request? */
extern bool tpm_source_is_at_hand(const TpmSource *source);

/* pages of the request that are still to be received, -1: not known */
extern int64 tpm_source_pages_left(const TpmSource *source);

/* the next row; the tuple is valid until the next call.  idhash 0: no id */
extern bool tpm_source_next(TpmSource *source, HeapTuple tuple, uint64 *idhash);

/* include.c */

/* could resources that others include be the rows of a scan by this key, which reads these columns? */
extern bool tpm_include_may_answer(const TpmTable *table, AttrNumber key, const OpExpr *clause,
								   const List *columns);

/* and could the API be asked to include what the column of the other table leads to? */
extern bool tpm_include_may_ask(const TpmTable *table, AttrNumber attnum, const TpmTable *wanted);

/* the scan has been set up: others may include what it is going to ask for */
extern void tpm_include_wish(TpmScan *scan);

/* the value of the include parameter with which the scan asks, NULL where it is the table's own */
extern char *tpm_include_names(const TpmScan *scan);

/* what others of the run wish is asked for as well */
extern void tpm_include_spell(TpmScan *scan, TpmRequest *request);

/* it is not, after all */
extern void tpm_include_drop(TpmRequest *request);

/* the API knows the request without what was included, not with it */
extern void tpm_include_refused(TpmScan *scan);

/* a page has come for the scan, and perhaps what others wish; asked: the API was asked for that */
extern void tpm_include_offer(TpmScan *scan, const TpmPage *page, bool asked);

/* the row of the resource, if it has come, with all that the scan reads; valid until the next call, or NULL */
extern HeapTuple tpm_include_find(TpmScan *scan, Datum id);

/* has a resource of this id come?  It is not read. */
extern bool tpm_include_has(const TpmScan *scan, Datum id);

/* hidden.c */

/* is its list known to leave out resources? */
extern bool tpm_hidden_is_learnt(const TpmTable *table);

/* may this complete list without conditions answer the scan's conditions? */
extern bool tpm_hidden_may_answer(const TpmScan *scan, const TpmCached *cached);

/* is the one copy of the table to be read for the scan's conditions (cache_scope 'table')? */
extern bool tpm_hidden_may_read_all(const TpmScan *scan);

/* a page has come from the API in answer to conditions */
extern void tpm_hidden_saw(TpmScan *scan, const TpmPage *page);

/* a list without conditions has been read to its end; cached: where it is kept, or NULL */
extern void tpm_hidden_completed(TpmScan *scan, const TpmList *list, TpmCached *cached);

/* fallback.c */

/* may an older answer be given instead of an error that says this? */
extern bool tpm_fallback_is_for(const TpmProblem *problem);

/* says that it is, and how old */
extern void tpm_fallback_warn(const TpmScan *scan, TimestampTz fetched, const TpmProblem *problem);

/* the HINT that there is one */
extern void tpm_fallback_name(TpmProblem *problem, TimestampTz fetched);

/* scan_check.c */

/* a page that came from the API is shown to the scan: members, size, progress */
extern void tpm_scan_received(TpmScan *scan, const TpmPage *page);

/* also of a page that is kept: what it does not have was no error to whoever asked for it, perhaps */
extern void tpm_scan_check_members(TpmScan *scan, int nrows, const TpmPageMembers *members);

/* the columns to read whose members may be named in "fields"; false: the API is asked for all members */
extern bool tpm_scan_may_name(const TpmScan *scan);

/*
 * What the first rows of a list tell, whose members were named.  False: some
 * member is on none of them, and perhaps only under that name, so that the
 * list must be asked for without names, now and from now on.
 */
extern bool tpm_scan_names_are_known(const TpmScan *scan, const TpmPageMembers *members);

/* makes the row the one that tests look at */
extern void tpm_scan_hold(TpmScan *scan, HeapTuple tuple);

/* does it pass the test? */
extern bool tpm_scan_test(TpmScan *scan, ExprState *test, bool *isnull);

/* the row in hand came by filters that are believed: does it match them? */
extern void tpm_scan_check_filters(TpmScan *scan);

/* does the row in hand lie beyond the bounds that end an ordered list? */
extern bool tpm_scan_is_beyond(TpmScan *scan);

/* remote_query.c: conditions with their values to requests */
extern TpmPlanCondition *tpm_plan_conditions(ForeignScan *plan, int *n);
extern TpmRemoteQuery *tpm_remote_query_build(const TpmTable *table, TpmPlanCondition *conditions, int n,
											  Datum *values, bool *nulls, bool everything);

/*
 * An id that was asked for is not there under its own text: after the first
 * so many requests the whole list is asked for, once.
 */
extern void tpm_remote_query_look_further(const TpmTable *table, TpmRemoteQuery *ask, int asked);

/* the request of a plan for people; run-time values as their expressions */
extern char *tpm_remote_query_show(const TpmTable *table, TpmPlanCondition *conditions, int n,
								   const char *sort, char *include, List *context);

/* the sort parameter of a list that needs no order: one that few edits change and in which no rows are equal, or NULL */
extern char *tpm_remote_query_stable_sort(const TpmTable *table);

/* count.c: a plan that wants the number of rows only */
extern TupleTableSlot *tpm_iterate_count(ForeignScanState *node);

/* is the total of the query's one list what a count asks for? */
extern bool tpm_count_may_ask(const TpmScan *scan);

/* kept.c: has the cache the whole answer now?  *fetched: the oldest part of it, 0: no row can match.  For a scan that never begins. */
extern bool tpm_scan_is_kept(const TpmScan *scan, TimestampTz *fetched);

#endif							/* TPM_SCAN_H */
