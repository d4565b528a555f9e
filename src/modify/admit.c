/*-------------------------------------------------------------------------
 *
 * admit.c
 *		What must be true before a statement's rows may leave.
 *
 * Owns the switches, the cap, the budget of a whole statement, and that no
 * scan of the resource is open.  How a row is sent is the write room's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "optimizer/optimizer.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "copy/copy.h"
#include "modify/modify_internal.h"
#include "scan/scan.h"
#include "shared/shared.h"

int			tpm_max_writes = 100;
bool		tpm_dry_run = false;

bool
tpm_row_is_wanted(const ResultRelInfo *rinfo)
{
	const TriggerDesc *triggers = rinfo->ri_TrigDesc;

	return rinfo->ri_projectReturning != NULL || rinfo->ri_WithCheckOptions != NIL ||
		(triggers && (triggers->trig_insert_after_row || triggers->trig_update_after_row ||
					  triggers->trig_insert_new_table || triggers->trig_update_new_table));
}

/* what RETURNING names, if nobody else looks at the row; NULL: any column */
static Bitmapset *
columns_wanted(const TpmModify *modify)
{
	const ResultRelInfo *rinfo = modify->rinfo;
	MemoryContext old = MemoryContextSwitchTo(modify->estate->es_query_cxt);
	Bitmapset  *named = NULL;
	Bitmapset  *columns = bms_make_singleton(0);
	int			bit = -1;

	if (rinfo->ri_WithCheckOptions == NIL && rinfo->ri_TrigDesc == NULL && rinfo->ri_RangeTableIndex != 0)
		pull_varattnos((Node *) rinfo->ri_returningList, rinfo->ri_RangeTableIndex, &named);
	while ((bit = bms_next_member(named, bit)) >= 0)
		columns = bms_add_member(columns, Max(bit + FirstLowInvalidHeapAttributeNumber, 0));
	MemoryContextSwitchTo(old);
	/* the whole row */
	return named == NULL || bms_is_member(-FirstLowInvalidHeapAttributeNumber, named) ? NULL : columns;
}

static void
check_switches(const TpmModify *modify)
{
	int			enabled = tpm_enabled_now();

	if (tpm_dry_run || enabled == TPM_ENABLED_ON)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("nothing is written to foreign table %s", modify->writer->table->name),
			 errdetail("tpm_fdw.enabled is \"%s\".", enabled == TPM_ENABLED_OFF ? "off" : "read"),
			 errhint("An administrator has switched this off in postgresql.conf.")));
}

/* how many writes max_writes still allows the statement */
static int64
writes_left(const TpmModify *modify)
{
	const TpmStatement *statement = modify->writer->session->statement;

	return tpm_max_writes == 0 || tpm_dry_run ? PG_INT64_MAX
		: (int64) tpm_max_writes - statement->writes - statement->queued;
}

static void
check_cap(const TpmModify *modify, int64 n)
{
	TpmStatement *statement = modify->writer->session->statement;

	if (n <= writes_left(modify))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the statement would write more than %d rows to foreign table %s", tpm_max_writes,
					modify->writer->table->name),
			 statement->writes == 0 ? errdetail("Nothing has been sent.")
			 : errdetail("Sent before: %s.", tpm_sent_list(modify->mark)),
			 errhint("Add a condition, or SET tpm_fdw.max_writes to a larger number (0: no limit); SET tpm_fdw.dry_run shows what would be sent.")));
}

int64
tpm_modify_drain(TpmModify *modify, Index feeding_rti)
{
	/* what the scans keep lives longer than the rows that are written now */
	MemoryContext old = MemoryContextSwitchTo(modify->estate->es_query_cxt);
	int64		left = tpm_scans_drain(modify->estate, modify->writer->resource, feeding_rti, writes_left(modify));

	MemoryContextSwitchTo(old);
	return left;
}

void
tpm_modify_admit(TpmModify *modify, int64 n, int64 n_after, int each)
{
	TpmWriter  *writer = modify->writer;

	/* RETURNING is not there yet when the executor begins */
	writer->wants_row = tpm_row_is_wanted(modify->rinfo);
	if (writer->wants_row && writer->wanted == NULL)
		writer->wanted = columns_wanted(modify);
	check_switches(modify);
	check_cap(modify, n + n_after);
	if (tpm_dry_run)
		return;
	writer->session->lanes = (int) Min(n, writer->table->opt.fetch_concurrency);
	tpm_client_admit_writes(writer->session, (n + n_after) * each);
}

TpmWrite *
tpm_modify_write(TpmModify *modify, TpmWriteMethod method, TupleTableSlot *slot, char *id)
{
	TpmWrite   *write = tpm_write_create(modify->writer, method, slot, id);

	write->row = ++modify->rows;
	return write;
}

void
tpm_modify_keep(const TpmWrite *write)
{
	const TpmWriter *writer = write->writer;

	if (writer->keeps_row && write->end == TPM_STEP_DONE)
		tpm_copy_own_row(writer->table, writer->tupdesc, write->is_whole ? write->tuple : NULL,
						 GetCurrentTimestamp() - (tpm_monotonic_us() - write->departure->at_us));
}

void
tpm_modify_show(const TpmWrite *write)
{
	bool		adds = write->old_slot && write->writer->table->opt.update_body == TPM_BODY_FULL;

	ereport(NOTICE,
			(errmsg("dry run: %s would be sent", write->name),
			 errdetail("%s", write->body),
			 adds ? errhint("All other members are added as they are read just before.") : 0));
}

void
tpm_modify_add_context(void *arg)
{
	TpmWrite   *write = arg;

	errcontext("%s of foreign table %s", tpm_write_row_name(write), write->writer->table->name);
}
