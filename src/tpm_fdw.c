/*-------------------------------------------------------------------------
 *
 * tpm_fdw.c
 *		The handler, the settings and what happens when the library is loaded.
 *
 * Owns the names, ranges and defaults of the settings, whose variables are in
 * the rooms that obey them, and the table of the parts of shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "client/client.h"
#include "compat.h"
#include "copy/copy.h"
#include "import/import.h"
#include "join/join.h"
#include "journal/journal.h"
#include "modify/modify.h"
#include "monitor/monitor.h"
#include "plan/plan.h"
#include "scan/scan.h"
#include "shared/budget/budget.h"
#include "shared/cache/cache.h"
#include "shared/counters.h"
#include "shared/shared.h"
#include "shared/token/token.h"
#include "shared/rent.h"
#include "shared/witnesses.h"
#include "shared/write_claims.h"
#include "tpm_fdw.h"
#include "write/write.h"

TPM_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(tpm_fdw_handler);

/* every part of the segment */
static const TpmSharedArea *const shared_areas[] = {
	&tpm_budget_area,
	&tpm_token_area,
	&tpm_requests_area,
	&tpm_progress_area,
	&tpm_table_stats_area,
	&tpm_cache_area,
	&tpm_journal_area,
	&tpm_write_claim_area,
	&tpm_witnesses_area,
	&tpm_rent_area,
	NULL
};

static char *rate_limit_share_text;
static char *leave_free_text;
static char *copy_leave_free_text;
static char *copy_deletion_limit_text;

static const struct config_enum_entry enabled_values[] = {
	{"on", TPM_ENABLED_ON, false},
	{"true", TPM_ENABLED_ON, true},
	{"yes", TPM_ENABLED_ON, true},
	{"1", TPM_ENABLED_ON, true},
	{"read", TPM_ENABLED_READ, false},
	{"off", TPM_ENABLED_OFF, false},
	{"false", TPM_ENABLED_OFF, true},
	{"no", TPM_ENABLED_OFF, true},
	{"0", TPM_ENABLED_OFF, true},
	{NULL, 0, false}
};

/* PostgreSQL's settings know no percentages: a number from 0 to 100, with or without % */
static bool
check_percentage(char **newval, void **extra, GucSource source)
{
	char	   *end;
	double		value;
	double	   *fraction;

	errno = 0;
	value = strtod(*newval, &end);
	if (end == *newval || errno != 0 || !(value >= 0 && value <= 100))
	{
		GUC_check_errdetail("It is a number from 0 to 100, with or without \"%%\".");
		return false;
	}
	while (*end == ' ')
		end++;
	if (*end == '%')
		end++;
	while (*end == ' ')
		end++;
	if (*end != '\0')
	{
		GUC_check_errdetail("It is a number from 0 to 100, with or without \"%%\".");
		return false;
	}
	fraction = tpm_guc_malloc(sizeof(double));
	if (fraction == NULL)
		return false;
	*fraction = value / 100;
	*extra = fraction;
	return true;
}

static void
assign_enabled(int newval, void *extra)
{
	tpm_shared_set_enabled(newval);
}

static void
assign_rate_limit_share(const char *newval, void *extra)
{
	tpm_rate_limit_share = *(double *) extra;
}

static void
assign_leave_free(const char *newval, void *extra)
{
	tpm_leave_free = *(double *) extra;
}

static void
assign_copy_leave_free(const char *newval, void *extra)
{
	tpm_copy_leave_free = *(double *) extra;
}

static void
assign_copy_deletion_limit(const char *newval, void *extra)
{
	tpm_copy_deletion_limit = *(double *) extra;
}

static bool
check_cache_size(int *newval, void **extra, GucSource source)
{
	if (*newval == 0 || *newval >= TPM_LEAST_CACHE_KB)
		return true;
	GUC_check_errdetail("The least cache is %d kB; 0 is none.", TPM_LEAST_CACHE_KB);
	return false;
}

/* context postmaster: may be defined only while the postmaster starts */
static void
define_postmaster_settings(void)
{
	DefineCustomIntVariable("tpm_fdw.cache_size", "Size of the shared cache of rows.", NULL,
							&tpm_cache_size_kb, 256 * 1024, 0, MAX_KILOBYTES, PGC_POSTMASTER,
							GUC_UNIT_KB, check_cache_size, NULL, NULL);
	DefineCustomIntVariable("tpm_fdw.max_budgets", "Request budgets that are kept at the same time.",
							NULL, &tpm_max_budgets, 64, 1, 10000, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tpm_fdw.max_tokens", "Access tokens that are kept at the same time.",
							NULL, &tpm_max_tokens, 256, 1, 10000, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tpm_fdw.request_log_size", "Requests shown in tpm_fdw_requests.", NULL,
							&tpm_request_log_size, 1000, 0, 1000000, PGC_POSTMASTER, 0, NULL, NULL,
							NULL);
}

static void
define_administrator_settings(void)
{
	DefineCustomEnumVariable("tpm_fdw.enabled", "Whether requests are sent: on, read (no writes), off.",
							 NULL, &tpm_enabled, TPM_ENABLED_ON, enabled_values, PGC_SIGHUP, 0, NULL,
							 assign_enabled, NULL);
	DefineCustomStringVariable("tpm_fdw.rate_limit_share",
							   "Part of every rate limit that this instance may use.", NULL,
							   &rate_limit_share_text, "100%", PGC_SIGHUP, 0, check_percentage,
							   assign_rate_limit_share, NULL);
	DefineCustomIntVariable("tpm_fdw.journal_keep", "How long the journal of writes is kept.", NULL,
							&tpm_journal_keep, 90 * 86400, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S, NULL,
							NULL, NULL);
	DefineCustomBoolVariable("tpm_fdw.journal_values", "Whether the journal holds values.", NULL,
							 &tpm_journal_values, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("tpm_fdw.copy_leave_free",
							   "Part of the hour's limit that runs of local copies do not touch.", NULL,
							   &copy_leave_free_text, "50%", PGC_SIGHUP, 0, check_percentage,
							   assign_copy_leave_free, NULL);
	DefineCustomStringVariable("tpm_fdw.copy_deletion_limit",
							   "The largest part of a local copy that a run may delete by itself.", NULL,
							   &copy_deletion_limit_text, "10%", PGC_SIGHUP, 0, check_percentage,
							   assign_copy_deletion_limit, NULL);
	DefineCustomBoolVariable("tpm_fdw.log_requests", "Logs each request.", NULL, &tpm_log_requests,
							 false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tpm_fdw.hour", "Length of the hour that limits are counted in, for tests.",
							NULL, &tpm_hour, 3600, 1, 3600, PGC_SUSET,
							GUC_UNIT_S | GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL, NULL, NULL, NULL);
	DefineCustomIntVariable("tpm_fdw.settle",
							"How long a write that nobody has answered may be under way before a look can tell that it was lost.",
							NULL, &tpm_settle, 5000, 0, 3600 * 1000, PGC_SUSET,
							GUC_UNIT_MS | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
}

static void
define_user_settings(void)
{
	DefineCustomIntVariable("tpm_fdw.cache_ttl",
							"How old an answer may be; -1 follows the option, 0 bypasses the cache.",
							NULL, &tpm_cache_ttl, -1, -1, INT_MAX / 1000, PGC_USERSET, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("tpm_fdw.cache_stale",
							"How old an answer may be when no new one can be had.", NULL,
							&tpm_cache_stale, 0, 0, INT_MAX / 1000, PGC_USERSET, GUC_UNIT_S, NULL, NULL,
							NULL);
	DefineCustomIntVariable("tpm_fdw.max_wait",
							"The longest single wait for a free slot; -1 is no limit.", NULL,
							&tpm_max_wait, 30000, -1, INT_MAX, PGC_USERSET, GUC_UNIT_MS, NULL, NULL,
							NULL);
	DefineCustomIntVariable("tpm_fdw.max_requests",
							"The most requests one statement may send to read; 0 is no limit.", NULL,
							&tpm_max_requests, 200, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("tpm_fdw.leave_free",
							   "Part of the hour's limit that larger statements do not touch.", NULL,
							   &leave_free_text, "10%", PGC_USERSET, 0, check_percentage,
							   assign_leave_free, NULL);
	DefineCustomIntVariable("tpm_fdw.small_statement",
							"Statements of no more requests than this may use the part that tpm_fdw.leave_free keeps; 0: none may.",
							NULL, &tpm_small_statement, 10, 0, 1000, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tpm_fdw.max_writes",
							"The most resources one statement may create or change; 0 is no limit.",
							NULL, &tpm_max_writes, 100, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("tpm_fdw.dry_run", "Shows writes instead of sending them.", NULL,
							 &tpm_dry_run, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("tpm_fdw.enable_lookahead",
							 "Whether joins and subqueries may ask for many rows of a table by key at a time.",
							 NULL, &tpm_enable_lookahead, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL,
							 NULL);
}

void
_PG_init(void)
{
	bool		preloaded = process_shared_preload_libraries_in_progress;

	if (preloaded)
		define_postmaster_settings();
	define_administrator_settings();
	define_user_settings();
	MarkGUCPrefixReserved(TPM_NAME);
	tpm_scan_install_hooks();
	tpm_plan_install_hooks();
	tpm_join_install_hooks();
	if (preloaded)
		tpm_shared_install_hooks(shared_areas);
}

Datum
tpm_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = tpm_get_rel_size;
	routine->GetForeignPaths = tpm_get_paths;
	routine->GetForeignPlan = tpm_get_plan;
	routine->GetForeignUpperPaths = tpm_get_upper_paths;
	routine->BeginForeignScan = tpm_begin_scan;
	routine->IterateForeignScan = tpm_iterate_scan;
	routine->ReScanForeignScan = tpm_rescan_scan;
	routine->EndForeignScan = tpm_end_scan;
	routine->ExplainForeignScan = tpm_explain_scan;
	routine->AddForeignUpdateTargets = tpm_add_update_targets;
	routine->PlanForeignModify = tpm_plan_modify;
	routine->IsForeignRelUpdatable = tpm_is_updatable;
	routine->GetForeignRowMarkType = tpm_row_mark_type;
	routine->BeginForeignModify = tpm_begin_modify;
	routine->ExecForeignInsert = tpm_exec_insert;
	routine->ExecForeignBatchInsert = tpm_exec_batch_insert;
	routine->GetForeignModifyBatchSize = tpm_batch_size;
	routine->ExecForeignUpdate = tpm_exec_update;
	routine->EndForeignModify = tpm_end_modify;
	routine->BeginForeignInsert = tpm_begin_insert;
	routine->EndForeignInsert = tpm_end_insert;
	routine->ExplainForeignModify = tpm_explain_modify;
	tpm_plan_set_analyze(routine);
	routine->ImportForeignSchema = tpm_import_foreign_schema;
	PG_RETURN_POINTER(routine);
}
