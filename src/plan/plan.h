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
 * Locks: AccessShareLock on pg_statistic, for its row type; tables are locked by the planner, statistics behind the lock of
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
#include "scan/key_window.h"
#include "scan/plan_private.h"
#include "shared/counters.h"

/* planner units that one request costs */
#define TPM_REQUEST_COST 1000.0

/* ForeignPath.fdw_private */
typedef enum TpmPathPrivate
{
	TPM_PATH_REQUESTS,			/* Float: requests estimated */
	TPM_PATH_ORDER,				/* as TPM_PRIV_ORDER */
	TPM_PATH_LINK,				/* Integer: of a join's look-ahead; absent:
								 * none */
	TPM_PATH_KEY				/* Expr: the clause of which it shows the keys */
} TpmPathPrivate;

/* RelOptInfo.fdw_private */
typedef struct TpmRelation
{
	TpmTable   *table;
	List	   *conditions;		/* of TpmCondition *, of the base restrictions */
	TpmTableStats learnt;		/* of the table; its total is -1 where nothing
								 * is */
	double		tuples;			/* rows of the whole table */
	double		sent_rows;		/* rows the API is expected to give for what
								 * is sent */
	bool		has_placeholder;
	bool		placeholders_given; /* by the base restrictions */
	bool		all_exact;		/* every restriction is an exact condition */
	bool		is_kept;		/* the cache has its whole list now */
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

/*
 * Rows for one value of the key, of the conditions (of TpmCondition *) that are
 * sent: the relation's own first, then those of info.
 */
extern double tpm_rows_per_key(const TpmRelation *relation, const ParamPathInfo *info,
							   const List *conditions);
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

/* key_plan.c */

/* "column = value", by whose values rows of several outer rows can be asked for at a time */
typedef struct TpmKey
{
	Expr	   *clause;
	AttrNumber	attnum;
	Expr	   *value;			/* source, bare or as what it is compared as */
	Node	   *source;			/* the Var of an outer row, or the Param that
								 * gives a subquery one; NULL: it is computed */
} TpmKey;

/*
 * The best key among conditions of the relation (of TpmCondition *), as they
 * stand before the planner puts parameters for an outer relation's columns.
 * False: none of them is one.
 */
extern bool tpm_plan_key(PlannerInfo *root, const TpmTable *table, const List *conditions, TpmKey *key);

/* does the API take several values of the key at a time? */
extern bool tpm_key_takes_lists(const TpmTable *table, const TpmKey *key);

/* a column for which one request gives the rows of one value */
extern bool tpm_is_key_column(const TpmColumn *column);

/*
 * Appends TPM_PRIV_KEY, TPM_PRIV_VARYING and TPM_PRIV_LINK; path: of the scan.
 * one_match: no more than the first row of a key is wanted.
 */
extern List *tpm_plan_add_key(PlannerInfo *root, const TpmTable *table, const TpmPlanClauses *parts,
							  const ForeignPath *path, bool one_match, List *private);

/* count_plan.c */
extern void tpm_get_upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input,
								RelOptInfo *output, void *extra);
extern ForeignScan *tpm_get_count_plan(PlannerInfo *root, RelOptInfo *rel, ForeignPath *best_path,
									   List *tlist);

/* analyze.c */
extern void tpm_plan_set_analyze(FdwRoutine *routine);

/* column_stats.c: called by _PG_init */
extern void tpm_plan_install_hooks(void);

/* rows that have the same value of the column, on average; 0: nothing is known */
extern double tpm_rows_per_value(const TpmRelation *relation, AttrNumber attnum);

/* cost.c */

/* rows of the whole table, as far as its lists have shown */
extern double tpm_table_rows(const TpmTableStats *learnt);
extern void tpm_estimate_size(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation);
extern double tpm_estimate_requests(const TpmTable *table, const List *conditions, double sent_rows);
extern void tpm_estimate_cost(double requests, double rows, Cost *startup,
							  Cost *total);

/*
 * The requests for so many different keys; *each: what the rows of one key cost
 * beside them.
 */
extern double tpm_estimate_lookahead(const TpmTable *table, double keys, int keys_a_request, double rows_per_key,
									 Cost *each);

#endif							/* TPM_PLAN_H */
