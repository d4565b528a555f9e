/*-------------------------------------------------------------------------
 *
 * plan.h
 *		The SQL side: planner and executor callbacks, and what a plan holds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_FDW_CALLBACKS_H
#define TPM_FDW_CALLBACKS_H

#include "foreign/fdwapi.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "compat.h"
#include "import/import.h"
#include "option/option.h"
#include "plan/shippable.h"

/* planner units that one request costs */
#define TPM_REQUEST_COST 100.0

/* where an answer rests on the API's order, a page is never smaller */
#define TPM_MIN_ORDERED_PAGE 20

/*
 * ForeignScan.fdw_private: node trees only, since plans are copied and kept.
 * fdw_exprs holds the values of the conditions, one for each, a NULL Const
 * where a condition has none.
 */
typedef enum TpmPrivate
{
	TPM_PRIV_RELATION,			/* Integer: OID of the foreign table */
	TPM_PRIV_CONDITIONS,		/* IntList: attnum, op, verdict of each */
	TPM_PRIV_VERDICTS,			/* IntList: TpmVerdict of each plan qual */
	TPM_PRIV_ORDER,				/* IntList: the order asked for, see order.h */
	TPM_PRIV_STOP,				/* IntList: plan quals that end the list in
								 * this order */
	TPM_PRIV_COLUMNS,			/* IntList: attnums to fetch */
	TPM_PRIV_CHECKED,			/* IntList: attnums whose member must exist */
	TPM_PRIV_FLAGS,				/* Integer: TPM_PLAN_* */
	TPM_PRIV_WANTED,			/* Float: rows that will be wanted, 0 all */
	TPM_PRIV_REQUESTS,			/* Float: requests estimated */
	TPM_PRIV_COUNT				/* how many there are */
} TpmPrivate;

/* the plan reads the list to its end, whatever its rows are */
#define TPM_PLAN_READS_ALL		0x01
/* a first page smaller than page_size is enough */
#define TPM_PLAN_SMALL_PAGE		0x02
/* the answer is the number of rows */
#define TPM_PLAN_COUNTS			0x04
/* it feeds a write of the same statement: what it reads must be new */
#define TPM_PLAN_NO_CACHE		0x08

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

/* count.c */
extern void tpm_get_upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input,
								RelOptInfo *output, void *extra);
extern ForeignScan *tpm_get_count_plan(PlannerInfo *root, RelOptInfo *rel, ForeignPath *best_path,
									   List *tlist);

/* the clauses that rows must pass, whether the executor tests them or a count does */
extern List *tpm_plan_quals(ForeignScan *plan);

/* of a count: attnum of the table that each column of the scan's row is, 0 for counts */
extern List *tpm_plan_map(ForeignScan *plan);

/* analyze.c */
extern bool tpm_analyze_table(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *totalpages);

/* cost.c */
extern void tpm_estimate_size(PlannerInfo *root, RelOptInfo *baserel, TpmRelation *relation);
extern double tpm_estimate_requests(const TpmTable *table, const List *conditions, double sent_rows);
extern void tpm_estimate_cost(double requests, double rows, Cost *startup,
							  Cost *total);

/* scan.c */
extern void tpm_begin_scan(ForeignScanState *node, int eflags);
extern TupleTableSlot *tpm_iterate_scan(ForeignScanState *node);
extern void tpm_rescan_scan(ForeignScanState *node);
extern void tpm_end_scan(ForeignScanState *node);

/* explain.c */
extern void tpm_explain_scan(ForeignScanState *node, ExplainState *es);

#endif							/* TPM_FDW_CALLBACKS_H */
