/*-------------------------------------------------------------------------
 *
 * copy_guard.c
 *		The trigger that keeps everybody but a run from writing to a copy.
 *
 * Owns the relation that this backend may write to just now, and which columns are the owner's
 * own: those that neither the foreign table has nor a copy.  The trigger is made in copy_target.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "copy/copy_internal.h"

PG_FUNCTION_INFO_V1(tpm_fdw_copy_guard);

static Oid	writable_relid = InvalidOid;

static void
close_guard_callback(void *arg)
{
	writable_relid = InvalidOid;
}

void
tpm_copy_guard_open(Oid relid)
{
	MemoryContextCallback *callback = MemoryContextAllocZero(CurTransactionContext, sizeof(MemoryContextCallback));

	/*
	 * an abort of the transaction, or of the subtransaction, resets its
	 * memory
	 */
	callback->func = close_guard_callback;
	MemoryContextRegisterResetCallback(CurTransactionContext, callback);
	writable_relid = relid;
}

void
tpm_copy_guard_close(void)
{
	writable_relid = InvalidOid;
}

static const char *
name_of_copy(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel));
}

/* what a statement on a paused copy has changed, only reading all of it can tell */
static void
plan_sweep(const char *guard)
{
	TpmCopy    *copy = tpm_copy_lock(guard);

	if (copy && !copy->sweep_planned)
	{
		copy->sweep_planned = true;
		tpm_copy_save(copy);
	}
}

pg_noreturn static void
refuse_write(Relation rel, const TpmCopy *copy)
{
	const char *name = name_of_copy(rel);
	char	   *literal = quote_literal_cstr(name);

	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s was a local copy and cannot be written", name),
				 errdetail("What was known of the copy is not in this database."),
				 errhint("SELECT tpm_fdw_create_copy(..., %s) makes it a copy again, DROP TRIGGER %s ON %s an ordinary table.",
						 literal, TPM_COPY_GUARD_NAME, name)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s is a local copy of %s and is written by CALL tpm_fdw_sync() alone", name, copy->source),
			 errdetail("Only columns that the copy has besides those of %s may be updated.", copy->source),
			 errhint("Write to %s, or pause the copy before: SELECT tpm_fdw_alter_copy(%s, paused => true).",
					 copy->source, literal)));
}

/* an UPDATE of the owner's own columns */
static bool
is_owners_business(const TriggerData *trigger, const TpmCopy *copy)
{
	TupleDesc	tupdesc = RelationGetDescr(trigger->tg_relation);
	int			bit = -1;

	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || copy == NULL || !OidIsValid(copy->sourceid))
		return false;
	while ((bit = bms_next_member(trigger->tg_updatedcols, bit)) >= 0)
	{
		AttrNumber	attnum = bit + FirstLowInvalidHeapAttributeNumber;
		const char *name;

		/* none of its columns, or all of a row */
		if (attnum <= 0)
			return false;
		name = NameStr(TupleDescAttr(tupdesc, attnum - 1)->attname);
		if (get_attnum(copy->sourceid, name) != InvalidAttrNumber || strcmp(name, TPM_COPY_CHANGED_AT) == 0 ||
			strcmp(name, TPM_COPY_DELETED_AT) == 0)
			return false;
	}
	return true;
}

Datum
tpm_fdw_copy_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TpmCopy    *copy = NULL;
	Oid			relid;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("tpm_fdw_copy_guard() is a trigger's function"),
				 errhint("tpm_fdw_create_copy() makes the trigger.")));
	relid = RelationGetRelid(trigger->tg_relation);
	if (relid == writable_relid)
		PG_RETURN_POINTER(NULL);
	if (trigger->tg_trigger->tgnargs > 0)
		copy = tpm_copy_find_key(trigger->tg_trigger->tgargs[0]);
	if (copy && copy->relid != relid)
		copy = NULL;
	if (is_owners_business(trigger, copy))
		PG_RETURN_POINTER(NULL);
	if (copy == NULL || !copy->paused)
		refuse_write(trigger->tg_relation, copy);
	if (!copy->sweep_planned)
		plan_sweep(copy->guard);
	PG_RETURN_POINTER(NULL);
}
