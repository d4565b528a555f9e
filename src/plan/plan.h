/*-------------------------------------------------------------------------
 *
 * plan.h
 *		The planner's callbacks, and what planning knows of a relation.
 *
 * Promises: every condition stays in the plan, sent or not (in its quals, of a
 * count in fdw_exprs), so a plan is right wherever its rows come from; what it
 * holds are node trees that can be copied and cached, at the positions that
 * scan/plan_private.h names.
 * Never: sends a request while a statement is planned (ANALYZE does, at most
 * analyze_pages), or calls a condition exact whose filter is not trusted.
 * Locks: none; tables are locked by the planner, statistics behind the lock of
 * shared/table_stats.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_PLAN_H
#define TPM_PLAN_H

#include "foreign/fdwapi.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "compat.h"
#include "plan/shippable.h"
#include "scan/order.h"
#include "scan/plan_private.h"

/* planner units that one request costs */
#define TPM_REQUEST_COST 100.0

/* ForeignPath.fdw_private */
typedef enum TpmPathPrivate
{
	TPM_PATH_REQUESTS,			/* Float: requests estimated */
	TPM_PATH_ORDER				/* as TPM_PRIV_ORDER */
} TpmPathPrivate;

/* RelOptInfo.fdw_private */
typedef struct TpmRelation
{
	TpmTable   *table;
	List	   *conditions;		/* of TpmCondition *, of the base restrictions */
	double		tuples;			/* rows of the whole table */
	double		sent_rows;		/* rows the API is expected to give for what
								 * is sent */
	bool		has_placeholder;
	bool		placeholders_given; /* by the base restrictions */
	bool		all_exact;		/* every restriction is an exact condition */
	Bitmapset  *columns;		/* attnums to fetch */
} TpmRelation;

/* one order of a relation that is worth a path */
typedef struct TpmOffer
{
	List	   *keys;			/* IntList, see scan/order.h */
	List	   *pathkeys;		/* what it promises the planner, perhaps NIL */
	List	   *stops;			/* of RestrictInfo *: bounds that end the list */
} TpmOffer;

/* order_plan.c */

/* every order that a query, a merge join or a bound could use; of TpmOffer * */
extern List *tpm_order_offers(PlannerInfo *root, RelOptInfo *rel, TpmRelation *relation);

/* does a list in this order end where the condition first fails? */
extern bool tpm_order_ends_at(const List *keys, const TpmCondition *condition);

/* path.c */
extern void tpm_get_paths(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid);

/* plan.c */

/* the clauses that are conditions on one column; *all_exact: and nothing else */
extern List *tpm_read_conditions(const TpmTable *table, RelOptInfo *rel, List *rinfos,
								 bool *all_exact);

/* is there a value for every column that the resource's path or the API insists on? */
extern bool tpm_placeholders_given(const TpmTable *table, const List *conditions);

extern void tpm_get_rel_size(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid);
extern ForeignScan *tpm_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid foreigntableid,
								 ForeignPath *best_path, List *tlist, List *scan_clauses,
								 Plan *outer_plan);

/* the parts of a plan that come from its clauses */
typedef struct TpmPlanClauses
{
	List	   *quals;
	List	   *conditions;		/* of TpmCondition * */
	List	   *triples;		/* IntList for TPM_PRIV_CONDITIONS */
	List	   *values;			/* of Expr *, for fdw_exprs */
	List	   *verdicts;		/* IntList for TPM_PRIV_VERDICTS */
	List	   *stops;			/* IntList for TPM_PRIV_STOP */
} TpmPlanClauses;

extern void tpm_plan_add_clause(const TpmTable *table, RelOptInfo *rel, const List *order,
								Expr *clause, TpmPlanClauses *parts);

/* IntList: what the query reads, and what its order is verified by */
extern List *tpm_plan_columns(const TpmRelation *relation, const List *order);

/* does the statement change a table of an API, perhaps this one? */
extern bool tpm_plan_feeds_write(PlannerInfo *root);

/* count_plan.c */
extern void tpm_get_upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input,
								RelOptInfo *output, void *extra);
extern ForeignScan *tpm_get_count_plan(PlannerInfo *root, RelOptInfo *rel, ForeignPath *best_path,
									   List *tlist);

/* analyze.c */
extern bool tpm_analyze_table(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *totalpages);

/* cost.c */
extern void tpm_estimate_size(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation);
extern double tpm_estimate_requests(const TpmTable *table, const List *conditions, double sent_rows);
extern void tpm_estimate_cost(double requests, double rows, Cost *startup,
							  Cost *total);

#endif							/* TPM_PLAN_H */
