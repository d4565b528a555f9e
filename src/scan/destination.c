/*-------------------------------------------------------------------------
 *
 * destination.c
 *		Statements whose rows are kept: CREATE TABLE AS, SELECT INTO, REFRESH
 *		MATERIALIZED VIEW, COPY (query) TO; and those of which only so many
 *		rows are asked for: cursors, fetch sizes of drivers, PL/pgSQL.
 *
 * Owns a hook into executor runs.  Such a statement is planned as any SELECT;
 * only where its rows go, and how many are asked for, tells.  Writes are seen
 * in the plan, see plan.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "tcop/dest.h"

#include "compat.h"
#include "scan/scan.h"

static ExecutorRun_hook_type next_run_hook = NULL;

static void
note_destination(TPM_EXECUTOR_RUN_PARAMETERS)
{
	CommandDest dest = queryDesc->dest->mydest;

	if (dest == DestIntoRel || dest == DestTransientRel || dest == DestCopyOut)
		tpm_statement_of(queryDesc->estate)->makes_table = true;
	if (count > 0)
		tpm_statement_of(queryDesc->estate)->wants_some = true;
	if (next_run_hook)
		next_run_hook(TPM_EXECUTOR_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(TPM_EXECUTOR_RUN_ARGUMENTS);
}

void
tpm_scan_install_hooks(void)
{
	next_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = note_destination;
}
