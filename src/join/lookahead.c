/*-------------------------------------------------------------------------
 *
 * lookahead.c
 *		The look-ahead node: path, plan and run.
 *
 * Owns how many rows are read ahead, and the windows that show their keys, one
 * for each join or subquery that asks by them.
 * Where a node is put is join_path.c's and subquery_path.c's.
 *
 * The node reads rows of the plan below into a buffer, and hands them on.  Where
 * the plan may stop early, what is read ahead may be in vain: the buffer begins
 * small, grows as it is emptied, and is full with the row that took a request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"

#include "base/idset.h"
#include "client/client.h"
#include "join/join_internal.h"
#include "scan/plan_end.h"
#include "scan/scan.h"

/* CustomPath.custom_private and, without the last, CustomScan.custom_private */
typedef enum TpmLookaheadPrivate
{
	LOOKAHEAD_LINKS,			/* IntList */
	LOOKAHEAD_SIZE,				/* Integer: keys of a request */
	LOOKAHEAD_WANTED,			/* Integer: of a LIMIT, 0 not known */
	LOOKAHEAD_SAFETY,			/* Integer: TpmSafety */
	LOOKAHEAD_BOUND,			/* Integer: rows wanted of the plan below, 0
								 * all */
	LOOKAHEAD_LISTS,			/* Integer: lists of keys that may go side by
								 * side */
	LOOKAHEAD_KEYS				/* of Expr *, of the rows below, one for each
								 * link */
} TpmLookaheadPrivate;

/* where the plan may stop early and nothing is known: a part of the whole */
#define FIRST_FILL 10

/*
 * Rows that are read ahead for one key of a request, where most have keys that
 * were seen before, or none.
 */
#define ROWS_A_KEY 10

typedef struct LookaheadKey
{
	ExprState  *value;
	int16		typlen;
	bool		typbyval;
} LookaheadKey;

typedef struct Lookahead
{
	CustomScanState node;
	TpmKeyWindow *windows;
	LookaheadKey *keys;			/* what gives those of each window */
	int			nwindows;
	int			n;				/* rows read ahead */
	int			next;			/* the first that was not handed on */
	ExprContext *key_context;	/* keys live in it until the next fill */
	TupleTableSlot **rows;
	int			size;			/* keys of a request */
	int			most;			/* rows to read ahead */
	int			fill;			/* rows of the next fill; 0: not begun */
	int			new_keys;		/* and keys of it, where the plan reads to its
								 * end */
	bool		whole;			/* the plan reads to its end */
	TpmIdSet   *seen;			/* where it does: hashes of the keys shown */
	int64		nseen;
	bool		ended;			/* there are no further rows below */
	TpmStatement *statement;
} Lookahead;

static Plan *make_lookahead_plan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
								 List *clauses, List *children);
static Node *make_lookahead_state(CustomScan *plan);
static void begin_lookahead(CustomScanState *node, EState *estate, int eflags);
static TupleTableSlot *next_outer_row(CustomScanState *node);
static void rescan_lookahead(CustomScanState *node);
static void end_lookahead(CustomScanState *node);
static void explain_lookahead(CustomScanState *node, List *ancestors, ExplainState *es);

static const CustomPathMethods path_methods = {
	.CustomName = "Key Lookahead",
	.PlanCustomPath = make_lookahead_plan
};

static const CustomScanMethods scan_methods = {
	.CustomName = "Key Lookahead",
	.CreateCustomScanState = make_lookahead_state
};

static const CustomExecMethods exec_methods = {
	.CustomName = "Key Lookahead",
	.BeginCustomScan = begin_lookahead,
	.ExecCustomScan = next_outer_row,
	.EndCustomScan = end_lookahead,
	.ReScanCustomScan = rescan_lookahead,
	.ExplainCustomScan = explain_lookahead
};

void
tpm_lookahead_register(void)
{
	RegisterCustomScanMethods(&scan_methods);
}

/* ----- path and plan ----- */

typedef struct Replacement
{
	const Node *source;
	const Var  *by;
} Replacement;

static Node *
replace_source(Node *node, void *context)
{
	const Replacement *replacement = context;

	if (node == NULL)
		return NULL;
	if (node == replacement->source)
		return copyObject(unconstify(Node *, (const Node *) replacement->by));
	return expression_tree_mutator(node, replace_source, context);
}

/*
 * The key as an expression of the outer rows.  Their own Var is used, which an
 * outer join may make NULL where that of the clause is not.
 */
static Expr *
key_of_rows(const Path *outer, const TpmLookahead *ahead)
{
	const Var  *source = (const Var *) ahead->source;
	ListCell   *lc;

	if (!IsA(source, Var))
		return NULL;
	foreach(lc, outer->pathtarget->exprs)
	{
		const Var  *var = lfirst(lc);

		if (IsA(var, Var) && var->varno == source->varno && var->varattno == source->varattno &&
			var->varlevelsup == 0)
		{
			Replacement replacement = {ahead->key.source, var};

			return (Expr *) replace_source((Node *) ahead->key.value, &replacement);
		}
	}
	return NULL;
}

bool
tpm_is_lookahead_path(const Path *path)
{
	return IsA(path, CustomPath) && ((const CustomPath *) path)->methods == &path_methods;
}

/* the relation, if it is one of ours that is read as a list below the path, else NULL */
static const RelOptInfo *
find_list(const Path *path, Index relid)
{
	const RelOptInfo *found = NULL;

	if (!bms_is_member(relid, path->parent->relids))
		return NULL;
	switch (nodeTag(path))
	{
		case T_ForeignPath:
			return path->param_info == NULL && tpm_relation_of_ours(path->parent) ? path->parent : NULL;
		case T_CustomPath:
			return tpm_is_lookahead_path(path)
				? find_list(linitial(((const CustomPath *) path)->custom_paths), relid) : NULL;
		case T_NestPath:
		case T_MergePath:
		case T_HashPath:
			found = find_list(((const JoinPath *) path)->outerjoinpath, relid);
			return found ? found : find_list(((const JoinPath *) path)->innerjoinpath, relid);
		default:
			return NULL;
	}
}

/* can a list that the outer rows come from bring what their keys lead to? */
static bool
comes_included(PlannerInfo *root, const Path *outer, const TpmLookahead *ahead)
{
	const Var  *source = (const Var *) ahead->source;
	const RelOptInfo *from = ahead->rel ? find_list(outer, source->varno) : NULL;

	return from && from->userid == ahead->rel->userid &&
		tpm_include_may_ask(((const TpmRelation *) from->fdw_private)->table, source->varattno, ahead->table) &&
		tpm_include_may_answer(ahead->table, ahead->key.attnum, (OpExpr *) ahead->key.clause,
							   tpm_plan_columns(ahead->rel->fdw_private, NIL)) &&
		!tpm_plan_feeds_write(root);
}

CustomPath *
tpm_lookahead_path(PlannerInfo *root, Path *outer, int bound)
{
	CustomPath *path = makeNode(CustomPath);

	path->path = *outer;
	path->path.type = T_CustomPath;
	path->path.pathtype = T_CustomScan;
	path->path.parallel_aware = false;
	path->path.parallel_safe = false;
	path->path.parallel_workers = 0;
	path->path.total_cost += cpu_tuple_cost * outer->rows;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->custom_paths = list_make1(outer);
	path->custom_private = list_make5(NIL, makeInteger(0),
									  makeInteger((int) Min(Max(root->limit_tuples, 0), INT_MAX)),
									  makeInteger(TPM_SAFE), makeInteger(bound));
	path->custom_private = lappend(lappend(path->custom_private, makeInteger(1)), NIL);
	path->methods = &path_methods;
	return path;
}

bool
tpm_lookahead_add_key(PlannerInfo *root, CustomPath *path, TpmLookahead *ahead)
{
	const Path *outer = linitial(path->custom_paths);
	ListCell   *links = list_nth_cell(path->custom_private, LOOKAHEAD_LINKS);
	ListCell   *size = list_nth_cell(path->custom_private, LOOKAHEAD_SIZE);
	ListCell   *safety = list_nth_cell(path->custom_private, LOOKAHEAD_SAFETY);
	ListCell   *lists = list_nth_cell(path->custom_private, LOOKAHEAD_LISTS);
	ListCell   *keys = list_nth_cell(path->custom_private, LOOKAHEAD_KEYS);
	Expr	   *key = key_of_rows(outer, ahead);
	int			keys_a_request;

	if (key == NULL)
		return false;
	keys_a_request = ahead->takes_lists ? ahead->table->opt.page_size : 1;
	ahead->requests = tpm_estimate_lookahead(ahead->table, estimate_num_groups(root, list_make1(key), outer->rows, NULL, NULL),
											 keys_a_request, ahead->rows_per_key, &ahead->each);

	/*
	 * what the list does not bring after all is asked for by an address of
	 * its own, which costs as much as it says
	 */
	if (ahead->takes_lists && comes_included(root, outer, ahead))
		ahead->requests = 0;
	path->path.startup_cost += TPM_REQUEST_COST * Min(ahead->requests, 1);
	path->path.total_cost += TPM_REQUEST_COST * ahead->requests;
	lfirst(links) = lappend_int(lfirst(links), ahead->link);
	lfirst(keys) = lappend(lfirst(keys), key);
	intVal(lfirst(size)) = Max(intVal(lfirst(size)), keys_a_request);
	/* a subquery asks for one after the other */
	if (ahead->rel)
		intVal(lfirst(lists)) = Max(intVal(lfirst(lists)), ahead->table->opt.fetch_concurrency);
	intVal(lfirst(safety)) = Max(intVal(lfirst(safety)), (int) ahead->safety);
	return true;
}

static Plan *
make_lookahead_plan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist, List *clauses,
					List *children)
{
	CustomScan *plan = makeNode(CustomScan);
	Plan	   *child = linitial(children);

	/* the clauses are those of the rows below, which have been tested there */
	plan->scan.plan.targetlist = tlist;
	plan->flags = path->flags;
	plan->custom_plans = children;
	plan->custom_scan_tlist = copyObject(child->targetlist);
	plan->custom_exprs = copyObject(list_nth(path->custom_private, LOOKAHEAD_KEYS));
	plan->custom_private = list_truncate(copyObject(path->custom_private), LOOKAHEAD_KEYS);
	plan->methods = &scan_methods;
	return &plan->scan.plan;
}

/* ----- the run ----- */

static Node *
make_lookahead_state(CustomScan *plan)
{
	Lookahead  *ahead = palloc0(sizeof(Lookahead));

	ahead->node.ss.ps.type = T_CustomScanState;
	ahead->node.methods = &exec_methods;
	return (Node *) ahead;
}

/* which column of which relation the key is, if it is one */
static void
describe_source(TpmKeyWindow *window, const CustomScan *plan, Node *key)
{
	Var		   *var;

	while (IsA(key, RelabelType))
		key = (Node *) ((RelabelType *) key)->arg;
	if (!IsA(key, Var) || ((Var *) key)->varno != INDEX_VAR)
		return;
	var = (Var *) list_nth_node(TargetEntry, plan->custom_scan_tlist, ((Var *) key)->varattno - 1)->expr;
	if (!IsA(var, Var) || IS_SPECIAL_VARNO(var->varno))
		return;
	window->source = var->varno;
	window->source_column = var->varattno;
}

/* of so many lists, unless the room for that many rows is large already */
static int
rows_to_read_ahead(int of_a_list, int lists)
{
	int64		most = work_mem * INT64CONST(1024) / (sizeof(TupleTableSlot *) + 2 * sizeof(Datum)) / of_a_list;

	return of_a_list * (int) Max(1, Min(lists, most));
}

static void
begin_lookahead(CustomScanState *node, EState *estate, int eflags)
{
	Lookahead  *ahead = (Lookahead *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	PlanState  *child = ExecInitNode(linitial(plan->custom_plans), estate,
									 eflags & ~(EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK));
	List	   *links = list_nth(plan->custom_private, LOOKAHEAD_LINKS);
	int			bound = intVal(list_nth(plan->custom_private, LOOKAHEAD_BOUND));

	node->custom_ps = list_make1(child);
	if (bound > 0)
		ExecSetTupleBound(bound, child);
	ahead->size = intVal(list_nth(plan->custom_private, LOOKAHEAD_SIZE));
	ahead->most = rows_to_read_ahead(ahead->size * ROWS_A_KEY, intVal(list_nth(plan->custom_private, LOOKAHEAD_LISTS)));
	ahead->rows = palloc0_array(TupleTableSlot *, ahead->most);
	ahead->key_context = CreateExprContext(estate);
	ahead->nwindows = list_length(links);
	ahead->windows = palloc0_array(TpmKeyWindow, ahead->nwindows);
	ahead->keys = palloc_array(LookaheadKey, ahead->nwindows);
	for (int i = 0; i < ahead->nwindows; i++)
	{
		TpmKeyWindow *window = &ahead->windows[i];
		Expr	   *key = list_nth(plan->custom_exprs, i);

		ahead->keys[i].value = ExecInitExpr(key, &node->ss.ps);
		window->estate = estate;
		window->link = list_nth_int(links, i);
		window->type = exprType((Node *) key);
		get_typlenbyval(window->type, &ahead->keys[i].typlen, &ahead->keys[i].typbyval);
		describe_source(window, plan, (Node *) key);
		window->keys = palloc_array(Datum, ahead->most);
		window->nulls = palloc_array(bool, ahead->most);
		tpm_key_window_register(window);
	}
}

/* how far to look, which only the finished plan tells, and how many rows are fetched of it */
static void
begin_filling(Lookahead *ahead)
{
	CustomScan *plan = (CustomScan *) ahead->node.ss.ps.plan;
	EState	   *estate = ahead->node.ss.ps.state;
	int			wanted = intVal(list_nth(plan->custom_private, LOOKAHEAD_WANTED));

	ahead->statement = tpm_statement_of(estate);
	ahead->whole = tpm_plan_is_read_to_end(estate, &plan->scan.plan);
	if (ahead->whole)
	{
		/* the first list goes alone */
		ahead->fill = ahead->size * ROWS_A_KEY;
		ahead->new_keys = ahead->size;
	}
	else
	{
		bool		safe = intVal(list_nth(plan->custom_private, LOOKAHEAD_SAFETY)) == TPM_SAFE;

		ahead->most = safe ? ahead->size : 1;
		ahead->fill = Min(ahead->most, wanted > 0 ? wanted : Max(1, ahead->size / FIRST_FILL));
	}
}

/*
 * Was the last row's key of this window not shown before?  Mistaken, it costs
 * a request at the most.
 */
static bool
is_new_key(Lookahead *ahead, int i)
{
	const TpmKeyWindow *window = &ahead->windows[i];
	uint32		hash;

	if (window->nulls[ahead->n])
		return false;
	if (ahead->seen == NULL)
		ahead->seen = tpm_idset_create(ahead->most);
	hash = datum_image_hash(window->keys[ahead->n], ahead->keys[i].typbyval, ahead->keys[i].typlen);
	/* the set leaves out the last bit */
	if (!tpm_idset_add(ahead->seen, ((uint64) i << 33) | ((uint64) hash << 1)))
		return false;
	if (++ahead->nseen * TPM_IDSET_BYTES > work_mem * INT64CONST(1024))
	{
		tpm_idset_destroy(ahead->seen);
		ahead->seen = NULL;
		ahead->nseen = 0;
	}
	return true;
}

/* keeps a row, and its keys; returns the bytes that it takes; *is_new: a key was not shown before */
static Size
keep_outer_row(Lookahead *ahead, TupleTableSlot *slot, bool *is_new)
{
	TupleTableSlot **row = &ahead->rows[ahead->n];
	char	   *data;

	if (*row == NULL)
		*row = ExecInitExtraTupleSlot(ahead->node.ss.ps.state,
									  ahead->node.ss.ss_ScanTupleSlot->tts_tupleDescriptor, &TTSOpsVirtual);
	ExecCopySlot(*row, slot);
	ahead->key_context->ecxt_scantuple = *row;
	*is_new = false;
	for (int i = 0; i < ahead->nwindows; i++)
	{
		ahead->windows[i].keys[ahead->n] = ExecEvalExprSwitchContext(ahead->keys[i].value, ahead->key_context,
																	 &ahead->windows[i].nulls[ahead->n]);
		if (ahead->whole && is_new_key(ahead, i))
			*is_new = true;
	}
	ahead->n++;
	data = ((VirtualTupleTableSlot *) *row)->data;
	return data ? GetMemoryChunkSpace(data) : 0;
}

/* tells the windows which rows are still to come */
static void
show_windows(Lookahead *ahead)
{
	for (int i = 0; i < ahead->nwindows; i++)
	{
		ahead->windows[i].n = ahead->n;
		ahead->windows[i].next = ahead->next;
	}
}

static void
fill_window(Lookahead *ahead)
{
	MemoryContext before = MemoryContextSwitchTo(ahead->node.ss.ps.state->es_query_cxt);
	int64		sent = ahead->statement->requests;
	Size		left = work_mem * (Size) 1024;
	int			new_keys = 0;

	for (int i = 0; i < ahead->n; i++)
		ExecClearTuple(ahead->rows[i]);
	ahead->n = ahead->next = 0;
	show_windows(ahead);
	ResetExprContext(ahead->key_context);
	while (!ahead->ended && ahead->n < ahead->fill &&
		   (ahead->whole ? new_keys < ahead->new_keys : ahead->statement->requests == sent))
	{
		TupleTableSlot *slot = ExecProcNode(linitial(ahead->node.custom_ps));
		Size		size;
		bool		is_new;

		if (TupIsNull(slot))
		{
			ahead->ended = true;
			break;
		}
		size = keep_outer_row(ahead, slot, &is_new);
		new_keys += is_new;
		if (size >= left)
			break;
		left -= size;
	}
	/* a fill that has ended before shows nothing of how many rows are wanted */
	if (ahead->whole)
	{
		ahead->fill = ahead->most;
		ahead->new_keys = ahead->most / ROWS_A_KEY;
	}
	else if (ahead->n == ahead->fill)
		ahead->fill = Min(ahead->most, ahead->fill * 2);
	MemoryContextSwitchTo(before);
}

static TupleTableSlot *
next_outer_row(CustomScanState *node)
{
	Lookahead  *ahead = (Lookahead *) node;
	PlanState  *ps = &node->ss.ps;
	TupleTableSlot *row;

	if (ahead->fill == 0)
		begin_filling(ahead);
	if (ahead->next == ahead->n)
		fill_window(ahead);
	ResetExprContext(ps->ps_ExprContext);
	if (ahead->next == ahead->n)
		return ExecClearTuple(ps->ps_ProjInfo ? ps->ps_ResultTupleSlot : node->ss.ss_ScanTupleSlot);
	row = ahead->rows[ahead->next++];
	show_windows(ahead);
	if (ps->ps_ProjInfo == NULL)
		return row;
	ps->ps_ExprContext->ecxt_scantuple = row;
	return ExecProject(ps->ps_ProjInfo);
}

static void
rescan_lookahead(CustomScanState *node)
{
	Lookahead  *ahead = (Lookahead *) node;
	PlanState  *child = linitial(node->custom_ps);

	ahead->n = ahead->next = 0;
	show_windows(ahead);
	ahead->ended = false;
	if (node->ss.ps.chgParam)
		UpdateChangedParamSet(child, node->ss.ps.chgParam);
	if (child->chgParam == NULL)
		ExecReScan(child);
}

static void
end_lookahead(CustomScanState *node)
{
	ExecEndNode(linitial(node->custom_ps));
}

static void
explain_lookahead(CustomScanState *node, List *ancestors, ExplainState *es)
{
	ExplainPropertyInteger("Keys a Request", NULL, ((Lookahead *) node)->size, es);
}
