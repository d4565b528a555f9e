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

#include "client.h"
#include "document.h"
#include "fdw.h"
#include "list.h"
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
	List	   *placeholders;	/* of char **, one for each request, or NIL */
	bool		all_sent;		/* every condition of the plan is in every request */
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
	TpmList    *list;
	TpmPage    *page;
	int			row;
	bool		at_end;

	bool		keeps_results;	/* the rows may be asked for again */
	bool		replaying;
	TpmResult  *results;
	TpmResult  *filling;		/* the result that the rows being read go to */
	MemoryContext result_context;
	ResourceOwner owner;		/* of the portal */
	TupleTableSlot *kept;		/* for rows of a tuplestore */

	/* for EXPLAIN ANALYZE */
	int64		pages;
	int64		rows;
	bool		warned_missing;
} TpmScan;

/* ask.c: conditions with their values to requests */
extern TpmPlanCondition *tpm_plan_conditions(ForeignScan *plan, int *n);
extern TpmAsk *tpm_ask_build(const TpmTable *table, TpmPlanCondition *conditions, int n,
							 Datum *values, bool *nulls);

/* the request of a plan for people; run-time values as their expressions */
extern char *tpm_ask_show(const TpmTable *table, TpmPlanCondition *conditions, int n, List *context);

#endif							/* TPM_SCAN_H */
