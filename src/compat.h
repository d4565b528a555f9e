/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Every difference between PostgreSQL versions, in one place.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_COMPAT_H
#define TPM_COMPAT_H

#include "access/stratnum.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "commands/explain.h"
#include "commands/vacuum.h"
#include "common/base64.h"
#include "common/jsonapi.h"
#include "executor/executor.h"
#include "foreign/fdwapi.h"
#include "nodes/execnodes.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "storage/latch.h"
#include "parser/parsetree.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* add_size() and mul_size(): palloc.h has them only in newer minor releases */
#include "storage/shmem.h"

#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#include "storage/waiteventset.h"
#endif

#if PG_VERSION_NUM >= 190000
#include "statistics/statistics.h"
#endif

#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* pg_get_loaded_modules() tells what a library calls itself since 18 */
#ifdef PG_MODULE_MAGIC_EXT
#define TPM_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = TPM_NAME, .version = TPM_VERSION)
#else
#define TPM_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* whether a run may be repeated was told to it before 18 */
#if PG_VERSION_NUM >= 180000
#define TPM_EXECUTOR_RUN_PARAMETERS QueryDesc *queryDesc, ScanDirection direction, uint64 count
#define TPM_EXECUTOR_RUN_ARGUMENTS queryDesc, direction, count
#else
#define TPM_EXECUTOR_RUN_PARAMETERS QueryDesc *queryDesc, ScanDirection direction, uint64 count, bool execute_once
#define TPM_EXECUTOR_RUN_ARGUMENTS queryDesc, direction, count, execute_once
#endif

/* JSON callbacks returned nothing before 16 and could only throw */
#if PG_VERSION_NUM >= 160000
typedef JsonParseErrorType TpmJsonResult;
#define TPM_JSON_OK		return JSON_SUCCESS
#else
typedef void TpmJsonResult;
#define TPM_JSON_OK		return
#endif

static inline JsonLexContext *
tpm_make_lexer(const char *json, int len, int encoding, bool unescape)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, json, len, encoding, unescape);
#else
	return makeJsonLexContextCstringLen(unconstify(char *, json), len, encoding, unescape);
#endif
}

/* the length of what was written, -1: no room */
static inline int
tpm_b64_encode(const char *text, int len, char *result, int size)
{
#if PG_VERSION_NUM >= 180000
	return pg_b64_encode((const uint8 *) text, len, result, size);
#else
	return pg_b64_encode(text, len, result, size);
#endif
}

/* ANALYZE gives way, as vacuum_cost_delay says */
static inline void
tpm_analyze_delay_point(void)
{
#if PG_VERSION_NUM >= 180000
	vacuum_delay_point(true);
#else
	vacuum_delay_point();
#endif
}

/* functions that ANALYZE runs find what they name only there since 17 */
static inline void
tpm_restrict_search_path(void)
{
#if PG_VERSION_NUM >= 170000
	RestrictSearchPath();
#endif
}

/* ANALYZE asks since 19 whether it need not take a sample */
static inline void
tpm_set_import_statistics(FdwRoutine *routine, bool (*import) (Relation rel, List *va_cols, int elevel))
{
#if PG_VERSION_NUM >= 190000
	routine->ImportForeignStatistics = import;
#endif
}

/* false: the size of a table is what ANALYZE has counted, and nothing else */
static inline bool
tpm_import_relation_size(Relation rel, BlockNumber npages, double rows)
{
#if PG_VERSION_NUM >= 190000
	NullableDatum version = {.value = Int32GetDatum(PG_VERSION_NUM),.isnull = false};
	NullableDatum relpages = {.value = Int32GetDatum((int32) npages),.isnull = false};
	NullableDatum reltuples = {.value = Float4GetDatum((float4) rows),.isnull = false};
	NullableDatum unknown = {.isnull = true};

	return import_relation_statistics(rel, &version, &relpages, &reltuples, &unknown, &unknown);
#else
	return false;
#endif
}

/* whoever may VACUUM a table may bring a copy up to date, where that is a right of its own */
static inline bool
tpm_may_maintain(Oid relid, Oid roleid)
{
#if PG_VERSION_NUM >= 170000
	return pg_class_aclcheck(relid, roleid, ACL_MAINTAIN) == ACLCHECK_OK;
#else
	return false;
#endif
}

static inline bool
tpm_owns_relation(Oid relid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, roleid);
#else
	return pg_class_ownercheck(relid, roleid);
#endif
}

/* a deferrable primary key is none of ours; it is asked about since 18 */
static inline Oid
tpm_primary_key(Relation rel)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(rel, false);
#else
	return RelationGetPrimaryKeyIndex(rel);
#endif
}

/* the newest version of the row with these keys, locked until the transaction ends; false: none */
static inline bool
tpm_lock_by_index(Relation rel, Oid index, TupleTableSlot *sought, TupleTableSlot *found)
{
#if PG_VERSION_NUM >= 190000
	return RelationFindReplTupleByIndex(rel, index, true, LockTupleExclusive, sought, found);
#else
	return RelationFindReplTupleByIndex(rel, index, LockTupleExclusive, sought, found);
#endif
}

/* a descriptor whose columns have all been set is ready for slots */
static inline void
tpm_tuple_desc_finalize(TupleDesc tupdesc)
{
#if PG_VERSION_NUM >= 190000
	TupleDescFinalize(tupdesc);
#endif
}

static inline WaitEventSet *
tpm_create_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

/* a wait event of this name; *event remembers it in this backend */
static inline uint32
tpm_wait_event(const char *name, uint32 *event)
{
#if PG_VERSION_NUM >= 170000
	if (*event == 0)
		*event = WaitEventExtensionNew(name);
#else
	*event = PG_WAIT_EXTENSION;
#endif
	return *event;
}

/* the role whose user mapping a scan uses: a view's owner, or the current user */
static inline Oid
tpm_scan_user(ScanState *node)
{
	ForeignScan *plan = (ForeignScan *) node->ps.plan;
#if PG_VERSION_NUM >= 160000
	return OidIsValid(plan->checkAsUser) ? plan->checkAsUser : GetUserId();
#else
	RangeTblEntry *rte;
	int			rti = plan->scan.scanrelid;

	if (rti == 0)
		rti = bms_next_member(plan->fs_relids, -1);
	rte = exec_rt_fetch(rti, node->ps.state);
	return OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

/* the role whose user mapping a write uses */
static inline Oid
tpm_modify_user(EState *estate, ResultRelInfo *rinfo)
{
#if PG_VERSION_NUM >= 160000
	Oid			user = ExecGetResultRelCheckAsUser(rinfo, estate);

	return OidIsValid(user) ? user : GetUserId();
#else
	/* a partition that rows are routed to has no entry of its own */
	Index		rti = rinfo->ri_RangeTableIndex != 0 ? rinfo->ri_RangeTableIndex
	: rinfo->ri_RootResultRelInfo->ri_RangeTableIndex;
	RangeTblEntry *rte = exec_rt_fetch(rti, estate);

	return OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

/* the same at planning, where only the relation is known */
static inline Oid
tpm_rel_user(PlannerInfo *root, RelOptInfo *rel)
{
#if PG_VERSION_NUM >= 160000
	return OidIsValid(rel->userid) ? rel->userid : GetUserId();
#else
	RangeTblEntry *rte = planner_rt_fetch(rel->relid, root);

	return OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

static inline ForeignPath *
tpm_create_foreignscan_path(PlannerInfo *root, RelOptInfo *rel, double rows,
							Cost startup_cost, Cost total_cost, List *pathkeys,
							Relids required_outer, List *fdw_private)
{
#if PG_VERSION_NUM >= 180000
	return create_foreignscan_path(root, rel, NULL, rows, 0, startup_cost, total_cost, pathkeys,
								   required_outer, NULL, NIL, fdw_private);
#elif PG_VERSION_NUM >= 170000
	return create_foreignscan_path(root, rel, NULL, rows, startup_cost, total_cost, pathkeys,
								   required_outer, NULL, NIL, fdw_private);
#else
	return create_foreignscan_path(root, rel, NULL, rows, startup_cost, total_cost, pathkeys,
								   required_outer, NULL, fdw_private);
#endif
}

static inline ForeignPath *
tpm_create_foreign_upper_path(PlannerInfo *root, RelOptInfo *rel, PathTarget *target, double rows,
							  Cost startup_cost, Cost total_cost, List *fdw_private)
{
#if PG_VERSION_NUM >= 180000
	return create_foreign_upper_path(root, rel, target, rows, 0, startup_cost, total_cost, NIL,
									 NULL, NIL, fdw_private);
#elif PG_VERSION_NUM >= 170000
	return create_foreign_upper_path(root, rel, target, rows, startup_cost, total_cost, NIL, NULL,
									 NIL, fdw_private);
#else
	return create_foreign_upper_path(root, rel, target, rows, startup_cost, total_cost, NIL, NULL,
									 fdw_private);
#endif
}

static inline void
tpm_initial_cost_nestloop(PlannerInfo *root, JoinCostWorkspace *workspace, JoinType jointype,
						  Path *outer, Path *inner, JoinPathExtraData *extra)
{
#if PG_VERSION_NUM >= 190000
	initial_cost_nestloop(root, workspace, jointype, PGS_NESTLOOP_PLAIN, outer, inner, extra);
#else
	initial_cost_nestloop(root, workspace, jointype, outer, inner, extra);
#endif
}

/* of the outer side of JOIN_UNIQUE_OUTER: its rows are made unique since 19 before it is joined */
static inline List *
tpm_unique_paths(PlannerInfo *root, RelOptInfo *rel, SpecialJoinInfo *sjinfo)
{
#if PG_VERSION_NUM >= 190000
	return rel->pathlist;
#else
	return list_make1(create_unique_path(root, rel, rel->cheapest_total_path, sjinfo));
#endif
}

/* DISTINCT over sorted rows */
#if PG_VERSION_NUM >= 190000
#define T_TpmUniquePath T_UniquePath
typedef UniquePath TpmUniquePath;
#else
#define T_TpmUniquePath T_UpperUniquePath
typedef UpperUniquePath TpmUniquePath;
#endif

/* the numbers of all relations of a query, and of its outer joins where they have any */
static inline Relids
tpm_all_query_rels(const PlannerInfo *root)
{
#if PG_VERSION_NUM >= 160000
	return root->all_query_rels;
#else
	return root->all_baserels;
#endif
}

/* orders are strategies of a btree up to 17, then comparisons of any index */
static inline bool
tpm_pathkey_is_descending(const PathKey *pathkey)
{
#if PG_VERSION_NUM >= 180000
	return pathkey->pk_cmptype == COMPARE_GT;
#else
	return pathkey->pk_strategy == BTGreaterStrategyNumber;
#endif
}

/*
 * The members of an equivalence class among which a relation's are: those of
 * partitions and of other children stand apart since 18.
 */
static inline List *
tpm_class_members(EquivalenceClass *ec, Relids relids)
{
#if PG_VERSION_NUM >= 180000
	EquivalenceMemberIterator it;
	EquivalenceMember *member;
	List	   *members = NIL;

	setup_eclass_member_iterator(&it, ec, relids);
	while ((member = eclass_member_iterator_next(&it)) != NULL)
		members = lappend(members, member);
	return members;
#else
	return ec->ec_members;
#endif
}

static inline PathKey *
tpm_ascending_pathkey(PlannerInfo *root, EquivalenceClass *ec, Oid opfamily)
{
#if PG_VERSION_NUM >= 180000
	return make_canonical_pathkey(root, ec, opfamily, COMPARE_LT, false);
#else
	return make_canonical_pathkey(root, ec, opfamily, BTLessStrategyNumber, false);
#endif
}

/* this backend's number among the PGPROC entries */
static inline int
tpm_my_procno(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

static inline bool
tpm_has_server_usage(Oid serverid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, serverid, roleid, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_foreign_server_aclcheck(serverid, roleid, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* memory of a setting's extra data */
static inline void *
tpm_guc_malloc(size_t size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

#endif							/* TPM_COMPAT_H */
