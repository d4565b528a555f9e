/*-------------------------------------------------------------------------
 *
 * update.c
 *		One row changed: read by id, compared, sent, and found out.
 *
 * Owns what an UPDATE makes sure of: that nobody has changed in between what
 * the statement saw, that a replacing PUT loses nothing, that a row is updated
 * once a statement, and that a lost answer is decided by what a GET shows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "modify/modify.h"
#include "modify/write.h"
#include "request/linkage.h"
#include "scan/scan.h"
#include "shared/write_claims.h"

/* a row being updated */
typedef struct Update
{
	TpmWrite   *write;
	HeapTuple	before;			/* as it was just before it was sent; NULL:
								 * not read */
	char	   *etag;
	uint64		mark;			/* what this cluster had changed before */
	TpmResource *base;
	List	   *changed;		/* names of columns that somebody else changed */
} Update;

/* ----- comparing ----- */

/* what is the resource's own: times of reading and other resources are not */
static bool
is_resource_member(const TpmColumn *column)
{
	const char *first;

	switch (column->kind)
	{
		case TPM_COL_ID:
		case TPM_COL_ATTRIBUTE:
		case TPM_COL_RELATIONSHIP:
		case TPM_COL_CUSTOM_FIELD:
			return true;
		case TPM_COL_POINTER:
			first = column->path == NIL ? "" : strVal(linitial(column->path));
			return strcmp(first, "attributes") == 0 || strcmp(first, "relationships") == 0;
		default:
			return false;
	}
}

/* the same value, however the API spells it: 40.0 is 40 */
static bool
is_same(const TpmWriter *writer, int i, Datum one, Datum other)
{
	Form_pg_attribute att = TupleDescAttr(writer->tupdesc, i);
	TypeCacheEntry *type;

	if (datum_image_eq(one, other, att->attbyval, att->attlen))
		return true;
	type = lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR_FINFO);
	if (!OidIsValid(type->eq_opr_finfo.fn_oid))
		return false;
	return DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, DEFAULT_COLLATION_OID, one, other));
}

static bool
column_is_same(const TpmWriter *writer, int i, HeapTuple tuple, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, i + 1, writer->tupdesc, &isnull);

	if (isnull || slot->tts_isnull[i])
		return isnull && slot->tts_isnull[i];
	return is_same(writer, i, value, slot->tts_values[i]);
}

/* columns, among those of the set (NULL: all), in which the tuple is not as the slot */
static List *
differences(const TpmWriter *writer, HeapTuple tuple, TupleTableSlot *slot, Bitmapset *among)
{
	List	   *names = NIL;

	slot_getallattrs(slot);
	for (int i = 0; i < writer->table->natts; i++)
	{
		const TpmColumn *column = &writer->table->columns[i];

		if (is_resource_member(column) && (among == NULL || bms_is_member(column->attnum, among)) &&
			!column_is_same(writer, i, tuple, slot))
			names = lappend(names, column->name);
	}
	return names;
}

static char *
quoted_names(List *names)
{
	StringInfoData all;
	ListCell   *lc;

	initStringInfo(&all);
	foreach(lc, names)
		appendStringInfo(&all, "%s\"%s\"", all.len ? ", " : "", (char *) lfirst(lc));
	return all.data;
}

/*
 * Whoever repeats transactions that fail with 40001 must not repeat a POST,
 * so it is that only if the transaction has sent nothing.
 */
static void
raise_changed(const Update *update, List *names)
{
	const TpmWrite *write = update->write;
	char	   *changed = names ? psprintf("Changed: %s.", quoted_names(names))
	: pstrdup("It is not the one that was read, or another session is changing it.");

	if (!tpm_transaction_has_written())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("%s was changed by somebody else in the meantime", write->shown),
				 errdetail("%s", changed),
				 errhint("Nothing was written; the transaction can be repeated.")));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
			 errmsg("%s was changed by somebody else in the meantime", write->shown),
			 errdetail("%s\nThis transaction has sent before: %s.", changed, tpm_sent_list(0)),
			 errhint("Repeating the transaction would write these again.")));
}

/* ----- reading ----- */

/* the resource as it is now; false: there is none */
static bool
read_now(Update *update)
{
	TpmWrite   *write = update->write;
	TpmAnswer  *answer;

	update->before = tpm_write_fetch(write, &answer);
	if (update->before == NULL)
		return false;

	/*
	 * a weak tag never matches (RFC 9110, section 13.1.1), so it protects
	 * nothing
	 */
	update->etag = answer->etag && strncmp(answer->etag, "W/", 2) != 0 ? pstrdup(answer->etag) : NULL;
	update->base = tpm_resource_read(answer->body, answer->len, write->name);
	if (update->base)
		tpm_linkage_learn(write->writer->table, update->base->object);
	return true;
}

static void
build_body(Update *update)
{
	TpmWrite   *write = update->write;
	const TpmTable *table = write->writer->table;

	write->body = tpm_body_update(table, write->slot, write->columns, write->id, update->base,
								  table->opt.update_body == TPM_BODY_FULL);
}

/* ----- sending ----- */

typedef enum Verdict
{
	VERDICT_DONE,
	VERDICT_GONE,
	VERDICT_CHANGED,			/* by somebody else */
	VERDICT_SEND				/* again, against what is there now */
} Verdict;

/* has what was sent come to be? */
static bool
has_arrived(const Update *update)
{
	const TpmWrite *write = update->write;

	return differences(write->writer, update->before, write->slot, write->columns) == NIL;
}

/* A PUT whose answer was lost, or that met its own success: a GET decides */
static Verdict
find_out(Update *update)
{
	TpmWrite   *write = update->write;

	if (!read_now(update))
		return VERDICT_GONE;
	if (has_arrived(update))
	{
		write->tuple = update->before;
		return VERDICT_DONE;
	}
	update->changed = differences(write->writer, update->before, write->old_slot, NULL);
	if (update->changed != NIL)
		return VERDICT_CHANGED;
	build_body(update);
	return VERDICT_SEND;
}

static Verdict
try_to_find_out(Update *update, const char *problem)
{
	TpmWrite   *write = update->write;
	MemoryContext old = CurrentMemoryContext;
	Verdict volatile verdict = VERDICT_SEND;

	tpm_write_doubt(write);
	PG_TRY();
	{
		verdict = find_out(update);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (tpm_error_is_interrupt(error))
			PG_RE_THROW();
		FlushErrorState();
		tpm_write_settle(write, TPM_WRITE_UNKNOWN);
		tpm_raise_unknown(write, psprintf("%s; looking for it: %s", problem, error->message));
	}
	PG_END_TRY();
	if (verdict == VERDICT_CHANGED)
	{
		/* it is not there, and will not be sent again */
		tpm_write_settle(write, TPM_WRITE_UNKNOWN);
		raise_changed(update, update->changed);
	}
	return verdict;
}

static TpmAnswer *
send(Update *update)
{
	TpmWrite   *write = update->write;
	int64		wake_us;
	ErrorData  *error;

	tpm_write_send(write, update->etag);
	while (!tpm_call_try(write->call, &wake_us, &error))
		tpm_calls_pause(write->writer->session, tpm_call_waiting_for(write->call), wake_us);
	if (error)
	{
		tpm_write_settle(write, TPM_WRITE_REFUSED);
		ThrowErrorData(error);
	}
	return tpm_call_answer(write->call);
}

static void
refused(Update *update, TpmAnswer *answer)
{
	TpmWrite   *write = update->write;

	tpm_write_settle(write, TPM_WRITE_REFUSED);
	if (answer->status == 412)
		raise_changed(update, NIL);
	tpm_raise_refused(write->writer->session, write->name, answer, tpm_writer_beside(write->writer));
}

/* one sending and what follows from its answer */
static Verdict
send_once(Update *update)
{
	TpmWrite   *write = update->write;
	TpmAnswer  *answer = send(update);

	write->status = answer->status;
	if (answer->doubtful)
		return try_to_find_out(update, answer->problem);
	if (answer->status >= 200 && answer->status <= 299)
		return tpm_write_read_answer(write, answer) ? VERDICT_DONE
			: try_to_find_out(update, "the answer is not a JSON:API document");
	if (answer->status == 404)
		return VERDICT_GONE;
	/* of a second sending: perhaps the first has arrived since */
	if (answer->status == 412 && write->sendings > 1)
		return try_to_find_out(update, "status 412");
	refused(update, answer);
	return VERDICT_GONE;
}

/* without an ETag the API cannot tell that two have read the same */
static void
begin_change(const Update *update)
{
	const TpmWrite *write = update->write;
	uint64		resource = hash_bytes_extended((const unsigned char *) write->url,
											   strlen(write->url), 0);

	if (update->etag || write->writer->table->opt.update_check == TPM_CHECK_NONE)
		return;
	if (!tpm_write_claim_begin(resource, update->mark))
		raise_changed(update, NIL);
}

/* false: the resource is gone */
static bool
send_until_known(Update *update)
{
	TpmWrite   *write = update->write;

	begin_change(update);
	for (;;)
	{
		Verdict		verdict = send_once(update);

		if (verdict == VERDICT_SEND && write->sendings <= write->writer->table->opt.max_retries)
			continue;
		if (verdict == VERDICT_SEND)
		{
			tpm_write_settle(write, TPM_WRITE_UNKNOWN);
			tpm_raise_unknown(write, psprintf("sent %d times", write->sendings));
		}
		tpm_write_settle(write, verdict == VERDICT_DONE ? TPM_WRITE_DONE : TPM_WRITE_REFUSED);
		tpm_write_claim_end();
		return verdict == VERDICT_DONE;
	}
}

/* ----- one row ----- */

/* is what the statement saw still there?  False: the row is gone */
static bool
check(Update *update)
{
	TpmWrite   *write = update->write;
	const TpmTable *table = write->writer->table;
	List	   *names;

	if (table->opt.update_check == TPM_CHECK_NONE && table->opt.update_body == TPM_BODY_CHANGED &&
		!tpm_body_needs_base(table, write->columns))
		return true;
	update->mark = tpm_write_claim_mark();
	if (!read_now(update))
		return false;
	if (table->opt.update_check == TPM_CHECK_NONE)
		return true;
	names = differences(write->writer, update->before, write->old_slot, NULL);
	if (names != NIL)
		raise_changed(update, names);
	return true;
}

/* open scans are read to their end first: so the number of rows is known */
static void
admit(TpmWriter *writer)
{
	int64		after = tpm_writer_drain(writer, writer->rinfo->ri_RangeTableIndex);
	int			each = writer->table->opt.update_check == TPM_CHECK_NONE ? 1 : 2;

	if (writer->admitted || after < 0)
		after = 0;
	tpm_writer_admit(writer, 1, after, each);
	writer->admitted = true;
}

static void
prepare_linkage(Update *update)
{
	TpmWrite   *write = update->write;
	Bitmapset  *given = NULL;
	int			attnum = -1;

	while ((attnum = bms_next_member(write->columns, attnum)) >= 0)
		if (!write->slot->tts_isnull[attnum - 1])
			given = bms_add_member(given, attnum);
	tpm_linkage_prepare(write->writer->session, write->list_path, given);
}

static void
add_update_context(void *arg)
{
	TpmWrite   *write = arg;

	errcontext("%s of foreign table %s", tpm_write_row_name(write), write->writer->table->name);
}

/* false: the row is gone */
static bool
update_row(TpmWrite *write)
{
	Update		update = {.write = write};
	bool		found;
	ErrorContextCallback context = {error_context_stack, add_update_context, write};

	error_context_stack = &context;
	found = tpm_dry_run || check(&update);
	if (found)
	{
		if (!tpm_dry_run)
			prepare_linkage(&update);
		build_body(&update);
		if (tpm_dry_run)
			tpm_write_show(write);
		else
			found = send_until_known(&update);
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
is_first_update(TpmWriter *writer, TupleTableSlot *slot, const char *id)
{
	uint64		row = hash_of_row(writer->table, slot, id);
	MemoryContext old = MemoryContextSwitchTo(writer->context);
	bool		is_first = tpm_idset_add(writer->updated, row);

	MemoryContextSwitchTo(old);
	return is_first;
}

bool
tpm_writer_update(TpmWriter *writer, TupleTableSlot *slot, TupleTableSlot *old_slot, char *id)
{
	TpmWrite   *write;
	Bitmapset  *changed;
	bool		found;

	if (!is_first_update(writer, old_slot, id))
		return false;
	changed = tpm_body_changed(writer->table, old_slot, slot);
	slot->tts_tableOid = writer->table->relid;
	if (writer->rinfo->ri_WithCheckOptions != NIL)
		ExecWithCheckOptions(WCO_VIEW_CHECK, writer->rinfo, slot, writer->estate);
	if (changed == NULL)
		return true;
	admit(writer);
	write = tpm_write_create(writer, writer->table->opt.update_method == TPM_UPDATE_PATCH ? "PATCH" : "PUT",
							 slot, id);
	write->old_slot = old_slot;
	write->columns = changed;
	found = update_row(write);
	if (found && !tpm_dry_run)
		tpm_write_return(write);
	return found;
}
