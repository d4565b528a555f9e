/*-------------------------------------------------------------------------
 *
 * update.c
 *		One row changed: read by id, compared, sent.
 *
 * Owns what an UPDATE makes sure of before it sends: that nobody has changed
 * in between what the statement saw, that a replacing PUT loses nothing, that
 * it does not overtake another change that may still arrive, and that a row is
 * updated once a statement.  What becomes of it then is the write room's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/executor.h"
#include "utils/memutils.h"

#include "modify/modify_internal.h"
#include "shared/write_claims.h"

/* without an ETag the API cannot tell that two have read the same */
static void
begin_change(const TpmWrite *write, uint64 mark)
{
	if (write->etag || write->writer->table->opt.update_check == TPM_CHECK_NONE)
		return;
	if (!tpm_write_claim_begin(tpm_write_address(write), mark))
		tpm_write_raise_changed(write, NIL);
}

/* is what the statement saw still there?  False: the row is gone */
static bool
check_base(TpmWrite *write, uint64 *mark)
{
	const TpmTable *table = write->writer->table;
	List	   *names;

	tpm_write_wait_for_others(write);
	if (table->opt.update_check == TPM_CHECK_NONE && table->opt.update_body == TPM_BODY_CHANGED &&
		!tpm_body_needs_base(table, write->columns))
		return true;
	*mark = tpm_write_claim_mark();
	if (!tpm_write_read_base(write))
		return false;
	if (table->opt.update_check == TPM_CHECK_NONE)
		return true;
	names = tpm_write_differences(write->writer, write->before, write->old_slot, NULL);
	if (names != NIL)
		tpm_write_raise_changed(write, names);
	return true;
}

/* open scans are read to their end first: so the number of rows is known */
static void
admit_update(TpmModify *modify)
{
	int64		after = tpm_modify_drain(modify, modify->rinfo->ri_RangeTableIndex);
	int			each = modify->writer->table->opt.update_check == TPM_CHECK_NONE ? 1 : 2;

	if (modify->admitted || after < 0)
		after = 0;
	tpm_modify_admit(modify, 1, after, each);
	modify->admitted = true;
}

static void
prepare_linkage(const TpmWrite *write)
{
	Bitmapset  *given = NULL;
	int			attnum = -1;

	while ((attnum = bms_next_member(write->columns, attnum)) >= 0)
		if (!write->slot->tts_isnull[attnum - 1])
			given = bms_add_member(given, attnum);
	tpm_linkage_prepare(write->writer->session, write->list_path, given);
}

/* false: the resource is gone */
static bool
send_until_known(TpmModify *modify, TpmWrite *write, uint64 mark)
{
	begin_change(write, mark);
	tpm_write_begin(write);
	while (write->state != TPM_WRITE_ENDED)
	{
		int64		wake_us = PG_INT64_MAX;

		if (!tpm_write_step(write, &wake_us))
			tpm_calls_pause(write->writer->session, tpm_write_waiting_for(write), wake_us);
	}
	tpm_write_claim_end();
	tpm_modify_keep(write);
	if (write->end != TPM_STEP_DONE && write->end != TPM_STEP_GONE)
		tpm_write_raise(write, tpm_sent_list(modify->mark));
	return write->end == TPM_STEP_DONE;
}

/* false: the row is gone */
static bool
update_row(TpmModify *modify, TpmWrite *write)
{
	const TpmTable *table = write->writer->table;
	uint64		mark = 0;
	bool		found;
	ErrorContextCallback context = {error_context_stack, tpm_modify_add_context, write};

	error_context_stack = &context;
	found = tpm_dry_run || check_base(write, &mark);
	if (found)
	{
		if (!tpm_dry_run)
			prepare_linkage(write);
		write->body = tpm_body_update(table, write->slot, write->columns, write->id, write->base,
									  table->opt.update_body == TPM_BODY_FULL);
		if (tpm_dry_run)
			tpm_modify_show(write);
		else
			found = send_until_known(modify, write, mark);
	}
	error_context_stack = context.previous;
	return found;
}

/* the same id under another parent is another row */
static uint64
hash_of_row(const TpmTable *table, TupleTableSlot *slot, const char *id)
{
	char	  **values = tpm_body_placeholders(table, slot);
	uint64		hash = hash_bytes_extended((const unsigned char *) id, strlen(id), 0);

	for (int i = 0; i < table->natts; i++)
		if (values[i])
			hash = hash_bytes_extended((const unsigned char *) values[i], strlen(values[i]) + 1, hash);
	return hash;
}

static bool
is_first_update(TpmModify *modify, TupleTableSlot *slot, const char *id)
{
	uint64		row = hash_of_row(modify->writer->table, slot, id);
	MemoryContext old = MemoryContextSwitchTo(modify->estate->es_query_cxt);
	bool		is_first = tpm_idset_add(modify->updated, row);

	MemoryContextSwitchTo(old);
	return is_first;
}

bool
tpm_modify_update(TpmModify *modify, TupleTableSlot *slot, TupleTableSlot *old_slot, char *id)
{
	const TpmTable *table = modify->writer->table;
	TpmWrite   *write;
	Bitmapset  *changed;
	bool		found;

	if (!is_first_update(modify, old_slot, id))
		return false;
	changed = tpm_body_changed(table, old_slot, slot);
	slot->tts_tableOid = table->relid;
	if (modify->rinfo->ri_WithCheckOptions != NIL)
		ExecWithCheckOptions(WCO_VIEW_CHECK, modify->rinfo, slot, modify->estate);
	if (changed == NULL)
		return true;
	admit_update(modify);
	write = tpm_modify_write(modify, table->opt.update_method == TPM_UPDATE_PATCH ? TPM_METHOD_PATCH : TPM_METHOD_PUT,
							 slot, id);
	write->old_slot = old_slot;
	write->columns = changed;
	found = update_row(modify, write);
	if (found && !tpm_dry_run)
		tpm_write_return(write);
	return found;
}
