/*-------------------------------------------------------------------------
 *
 * scan.h
 *		A plan at run time, as scan.c, ask.c and explain.c see it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_SCAN_H
#define TPM_SCAN_H

#include "nodes/execnodes.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "cache.h"
#include "client.h"
#include "document.h"
#include "fdw.h"
#include "list.h"
#include "idset.h"
#include "request.h"

/* a pushed condition, as the plan holds it */
typedef struct TpmPlanCondition
{
	AttrNumber	attnum;
	TpmConditionOp op;
	TpmVerdict	verdict;
	Expr	   *expr;
	ExprState  *state;
	bool		dropped;		/* its value could not be sent this time */
} TpmPlanCondition;

/* what is asked for one set of values */
typedef struct TpmAsk
{
	List	   *requests;		/* of TpmRequest *; NIL: no row can match */
	TpmRequest *everything;		/* the same list without conditions; NULL if
								 * none */
	List	   *placeholders;	/* of char **, one for each request, or NIL */
	bool		all_sent;		/* every condition of the plan is in every
								 * request */
	char	   *key;			/* the same for the same requests */
} TpmAsk;

/* the rows of one set of values, kept for a rescan */
typedef struct TpmResult
{
	char	   *key;
	Tuplestorestate *rows;
	bool		complete;
	struct TpmResult *next;
} TpmResult;

/* the rows of one request, wherever they come from; see source.c */
typedef struct TpmSource TpmSource;

typedef struct TpmScan
{
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

	MemoryContext ask_context;	/* of one set of values */
	TpmAsk	   *ask;			/* NULL: values not evaluated yet */
	int			next_request;
	TpmSource  *source;			/* of the request being read, or NULL */
	const char *path;			/* that it asks */
	TpmIdSet   *seen;			/* ids that requests of this path have
								 * brought, NULL: one request only */
	bool		at_end;

	HeapTupleData tuple;		/* the row that the slot holds */

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

	/* for EXPLAIN ANALYZE */
	int64		cache_hits;		/* requests answered from the cache */
	int64		pages;
	int64		rows;
	int64		counted_rows;	/* of these in the totals already */
	int64		counted_hits;
	bool		warned_missing;
} TpmScan;

/* source.c */

/*
 * The rows of a request: from the cache if it has them, else from the API,
 * leaving them in the cache where that is allowed.  Lives in the current
 * memory context.
 */
extern TpmSource *tpm_source_open(TpmScan *scan, TpmRequest *request);

/* the list without conditions, if the cache has it in full, else NULL */
extern TpmSource *tpm_source_open_everything(TpmScan *scan);

/* the next row; the tuple is valid until the next call.  idhash 0: no id */
extern bool tpm_source_next(TpmSource *source, HeapTuple tuple, uint64 *idhash);

/* a page that came from the API is shown to the scan: members, size, progress */
extern void tpm_scan_received(TpmScan *scan, const TpmPage *page);

/* ask.c: conditions with their values to requests */
extern TpmPlanCondition *tpm_plan_conditions(ForeignScan *plan, int *n);
extern TpmAsk *tpm_ask_build(const TpmTable *table, TpmPlanCondition *conditions, int n,
							 Datum *values, bool *nulls, bool everything);

/* the request of a plan for people; run-time values as their expressions */
extern char *tpm_ask_show(const TpmTable *table, TpmPlanCondition *conditions, int n, List *context);

#endif							/* TPM_SCAN_H */
