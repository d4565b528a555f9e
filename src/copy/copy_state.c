/*-------------------------------------------------------------------------
 *
 * copy_state.c
 *		What is known of each copy: a row of tpm_fdw_copy_state.
 *
 * Owns that table: no other file reads or writes it; ids beside it are written by sweeps and
 * reconciling runs, and go from here with their copy.  It is written as the catalogs are, without
 * privileges, since nobody has any on it.  What a run or an option means is not known here.
 *
 * A row is of the table whose guard has the row's key as its argument: dumps hold the two
 * together, whatever OIDs and names become.  Names and OIDs in it are hints where to look first.
 * An OID counts only in the database that it was written in: in another one it is somebody else's.
 *
 * Locks: whoever writes a row locks it before (tpm_copy_lock) and reads it again, so that a run,
 * tpm_fdw_alter_copy() and others do not undo each other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "copy/copy_internal.h"
#include "tpm_fdw.h"

#define STATE_TABLE "tpm_fdw_copy_state"
#define IDS_TABLE "tpm_fdw_copy_ids"

typedef enum MemberKind
{
	MEMBER_TEXT,				/* char *; NULL is NULL */
	MEMBER_INTERVAL,			/* Interval *; NULL is NULL */
	MEMBER_TIME,				/* TPM_NEVER is NULL */
	MEMBER_BIGINT,
	MEMBER_INT,
	MEMBER_BOOL,
	MEMBER_OID
} MemberKind;

/* a column of the state table and where it lives */
typedef struct StateMember
{
	const char *column;
	MemberKind	kind;
	size_t		offset;
} StateMember;

#define MEMBER(column, kind, member) {column, kind, offsetof(TpmCopy, member)}

/* in the order of the table's columns; the first is its key */
static const StateMember state_members[] = {
	MEMBER("guard", MEMBER_TEXT, guard),
	MEMBER("copy", MEMBER_TEXT, name),
	MEMBER("source", MEMBER_TEXT, source),
	MEMBER("copy_oid", MEMBER_OID, relid_hint),
	MEMBER("source_oid", MEMBER_OID, sourceid_hint),
	MEMBER("home", MEMBER_TEXT, home),
	MEMBER("cursor_column", MEMBER_TEXT, cursor_column),
	MEMBER("lookback", MEMBER_INTERVAL, lookback),
	MEMBER("every", MEMBER_INTERVAL, every),
	MEMBER("every_given", MEMBER_BOOL, every_given),
	MEMBER("reconcile", MEMBER_INTERVAL, reconcile),
	MEMBER("sweep", MEMBER_INTERVAL, sweep),
	MEMBER("deletions", MEMBER_TEXT, deletions),
	MEMBER("unlisted_option", MEMBER_TEXT, unlisted_option),
	MEMBER("paused", MEMBER_BOOL, paused),
	MEMBER("phase", MEMBER_TEXT, phase),
	MEMBER("position", MEMBER_BIGINT, position),
	MEMBER("link", MEMBER_TEXT, link),
	MEMBER("last_id", MEMBER_TEXT, last_id),
	MEMBER("run_started", MEMBER_TIME, run_started),
	MEMBER("run_date", MEMBER_TIME, run_date),
	MEMBER("page_size", MEMBER_INT, page_size),
	MEMBER("run_total", MEMBER_BIGINT, run_total),
	MEMBER("run_total_fell", MEMBER_BOOL, run_total_fell),
	MEMBER("pages_done", MEMBER_BIGINT, pages_done),
	MEMBER("pages_expected", MEMBER_BIGINT, pages_expected),
	MEMBER("filled", MEMBER_TIME, filled),
	MEMBER("watermark", MEMBER_TIME, watermark),
	MEMBER("greatest", MEMBER_TIME, greatest),
	MEMBER("greatest_seen", MEMBER_TIME, greatest_seen),
	MEMBER("greatest_date", MEMBER_TIME, greatest_date),
	MEMBER("verified_until", MEMBER_TIME, verified_until),
	MEMBER("last_success", MEMBER_TIME, last_success),
	MEMBER("id_orders", MEMBER_INT, id_orders),
	MEMBER("page_link", MEMBER_TEXT, page_link),
	MEMBER("page_rows", MEMBER_INT, page_rows),
	MEMBER("members", MEMBER_TEXT, members),
	MEMBER("unchanged_runs", MEMBER_INT, unchanged_runs),
	MEMBER("next_run", MEMBER_TIME, next_run),
	MEMBER("next_reconcile", MEMBER_TIME, next_reconcile),
	MEMBER("next_sweep", MEMBER_TIME, next_sweep),
	MEMBER("sweep_planned", MEMBER_BOOL, sweep_planned),
	MEMBER("problem", MEMBER_TEXT, problem),
	MEMBER("problem_code", MEMBER_TEXT, problem_code),
	MEMBER("rows", MEMBER_BIGINT, rows),
	MEMBER("unlisted", MEMBER_BIGINT, unlisted),
	MEMBER("ever_unlisted", MEMBER_BOOL, ever_unlisted),
	MEMBER("requests", MEMBER_BIGINT, requests),
	MEMBER("requests_last_run", MEMBER_BIGINT, requests_last_run),
	MEMBER("inserted", MEMBER_BIGINT, inserted),
	MEMBER("updated", MEMBER_BIGINT, updated),
	MEMBER("deleted", MEMBER_BIGINT, deleted)
};

/* ----- the extension's schema ----- */

static Oid
extension_schema(void)
{
	Relation	catalog = table_open(ExtensionRelationId, AccessShareLock);
	Oid			schema = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(TPM_NAME));
	scan = systable_beginscan(catalog, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return schema;
}

Oid
tpm_copy_state_relid(void)
{
	Oid			schema = extension_schema();

	return OidIsValid(schema) ? get_relname_relid(STATE_TABLE, schema) : InvalidOid;
}

Oid
tpm_copy_ids_relid(void)
{
	Oid			schema = extension_schema();

	return OidIsValid(schema) ? get_relname_relid(IDS_TABLE, schema) : InvalidOid;
}

void
tpm_copy_lock_tag(LOCKTAG *tag, Oid relid)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, tpm_copy_state_relid(), relid, 0);
}

static Relation
open_state(LOCKMODE lockmode)
{
	Oid			relid = tpm_copy_state_relid();

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("this database has no table %s", STATE_TABLE),
				 errhint("CREATE EXTENSION %s makes it.", TPM_NAME)));
	return table_open(relid, lockmode);
}

/* ----- guards ----- */

static bool
is_guard(Form_pg_trigger trigger)
{
	char	   *name = get_func_name(trigger->tgfoid);

	return name && strcmp(name, TPM_COPY_GUARD_NAME) == 0 &&
		get_func_namespace(trigger->tgfoid) == extension_schema();
}

/* NULL: it has none */
static char *
guard_argument(Relation catalog, HeapTuple tuple)
{
	bool		isnull;
	Datum		arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, RelationGetDescr(catalog), &isnull);

	if (((Form_pg_trigger) GETSTRUCT(tuple))->tgnargs < 1 || isnull)
		return NULL;
	return pstrdup(VARDATA_ANY(DatumGetByteaPP(arguments)));
}

/* the argument of a relation's guard, and its name; NULL: it has none; works: it is not disabled */
static char *
guard_of(Oid relid, bool *works, char **name)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	char	   *guard = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	*works = false;
	*name = NULL;
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (guard == NULL && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

		if (trigger->tgisinternal || !is_guard(trigger))
			continue;
		guard = guard_argument(catalog, tuple);
		*name = pstrdup(NameStr(trigger->tgname));
		*works = trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return guard;
}

char *
tpm_copy_guard_name(Oid relid)
{
	bool		works;
	char	   *name;

	(void) guard_of(relid, &works, &name);
	return name;
}

static bool
has_guard(Oid relid, const char *guard, bool *works)
{
	char	   *name;
	char	   *own = guard_of(relid, works, &name);

	return own && strcmp(own, guard) == 0;
}

/* one that neither its name nor its OID leads to: renamed, and restored elsewhere */
static Oid
relation_of_guard(const char *guard, bool *works)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	Oid			relid = InvalidOid;
	HeapTuple	tuple;

	while (!OidIsValid(relid) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!trigger->tgisinternal && is_guard(trigger) && has_guard(trigger->tgrelid, guard, works))
			relid = trigger->tgrelid;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return relid;
}

/* ----- which relations a row means ----- */

static char *
this_database(void)
{
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), MyDatabaseId);
}

static bool
is_at_home(const TpmCopy *copy)
{
	return strcmp(copy->home, this_database()) == 0;
}

/* no privilege is asked for: whoever looks at one copy meets those of others */
static Oid
relation_of_name(const char *name)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(name));
	Oid			schema = list_length(names) == 2 ? get_namespace_oid(strVal(linitial(names)), true) : InvalidOid;

	return OidIsValid(schema) ? get_relname_relid(strVal(lsecond(names)), schema) : InvalidOid;
}

static bool
is_without_guard(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_RELATION && tpm_copy_guard_name(relid) == NULL;
}

static void
find_copy_relation(TpmCopy *copy)
{
	bool		at_home = is_at_home(copy);
	Oid			hint = at_home ? copy->relid_hint : InvalidOid;
	Oid			named = relation_of_name(copy->name);

	copy->relid = InvalidOid;
	if (has_guard(hint, copy->guard, &copy->guarded))
		copy->relid = hint;
	else if (has_guard(named, copy->guard, &copy->guarded))
		copy->relid = named;
	else
		copy->relid = relation_of_guard(copy->guard, &copy->guarded);
	if (OidIsValid(copy->relid))
		return;

	/*
	 * its guard was dropped, or a restore has not come to it; one that has
	 * another guard is another copy
	 */
	copy->guarded = false;
	if (is_without_guard(hint))
		copy->relid = hint;
	else if (!at_home && is_without_guard(named))
		copy->relid = named;
}

static void
find_copy_source(TpmCopy *copy)
{
	copy->sourceid = is_at_home(copy) ? copy->sourceid_hint : InvalidOid;
	if (!tpm_is_our_table(copy->sourceid))
		copy->sourceid = relation_of_name(copy->source);
	if (!tpm_is_our_table(copy->sourceid))
		copy->sourceid = InvalidOid;
}

/* where they were found, for the next time; no change where they were not */
static void
note_relations(TpmCopy *copy)
{
	if (OidIsValid(copy->relid))
	{
		copy->name = tpm_copy_relation_name(copy->relid);
		copy->relid_hint = copy->relid;
	}
	if (OidIsValid(copy->sourceid))
	{
		copy->source = tpm_copy_relation_name(copy->sourceid);
		copy->sourceid_hint = copy->sourceid;
	}
	copy->home = this_database();
}

/* ----- rows and members ----- */

static void
read_member(const StateMember *member, void *place, Datum value, bool isnull)
{
	switch (member->kind)
	{
		case MEMBER_TEXT:
			*(char **) place = isnull ? NULL : TextDatumGetCString(value);
			break;
		case MEMBER_INTERVAL:
			*(Interval **) place = NULL;
			if (!isnull)
			{
				*(Interval **) place = palloc(sizeof(Interval));
				**(Interval **) place = *DatumGetIntervalP(value);
			}
			break;
		case MEMBER_TIME:
			*(TimestampTz *) place = isnull ? TPM_NEVER : DatumGetTimestampTz(value);
			break;
		case MEMBER_BIGINT:
			*(int64 *) place = DatumGetInt64(value);
			break;
		case MEMBER_INT:
			*(int *) place = DatumGetInt32(value);
			break;
		case MEMBER_BOOL:
			*(bool *) place = DatumGetBool(value);
			break;
		case MEMBER_OID:
			*(Oid *) place = DatumGetObjectId(value);
			break;
	}
}

static Datum
write_member(const StateMember *member, const void *place, bool *isnull)
{
	*isnull = false;
	switch (member->kind)
	{
		case MEMBER_TEXT:
			*isnull = *(char *const *) place == NULL;
			return *isnull ? (Datum) 0 : CStringGetTextDatum(*(char *const *) place);
		case MEMBER_INTERVAL:
			*isnull = *(Interval *const *) place == NULL;
			return *isnull ? (Datum) 0 : IntervalPGetDatum(*(Interval *const *) place);
		case MEMBER_TIME:
			*isnull = *(const TimestampTz *) place == TPM_NEVER;
			return TimestampTzGetDatum(*(const TimestampTz *) place);
		case MEMBER_BIGINT:
			return Int64GetDatum(*(const int64 *) place);
		case MEMBER_INT:
			return Int32GetDatum(*(const int *) place);
		case MEMBER_BOOL:
			return BoolGetDatum(*(const bool *) place);
		case MEMBER_OID:
			return ObjectIdGetDatum(*(const Oid *) place);
	}
	return (Datum) 0;
}

static TpmCopy *
copy_of_tuple(Relation state, HeapTuple tuple)
{
	TpmCopy    *copy = palloc0(sizeof(TpmCopy));

	Assert(RelationGetNumberOfAttributes(state) == lengthof(state_members));
	for (int i = 0; i < (int) lengthof(state_members); i++)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, i + 1, RelationGetDescr(state), &isnull);

		read_member(&state_members[i], (char *) copy + state_members[i].offset, value, isnull);
	}
	find_copy_relation(copy);
	find_copy_source(copy);
	return copy;
}

static HeapTuple
tuple_of_copy(Relation state, TpmCopy *copy)
{
	Datum		values[lengthof(state_members)];
	bool		nulls[lengthof(state_members)];

	note_relations(copy);
	for (int i = 0; i < (int) lengthof(state_members); i++)
		values[i] = write_member(&state_members[i], (char *) copy + state_members[i].offset, &nulls[i]);
	return heap_form_tuple(RelationGetDescr(state), values, nulls);
}

/* the rows of a key, or all */
static List *
read_state(const char *guard)
{
	Relation	state = open_state(AccessShareLock);
	List	   *copies = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (guard)
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(guard));
	scan = systable_beginscan(state, guard ? tpm_primary_key(state) : InvalidOid, guard != NULL,
							  NULL, guard ? 1 : 0, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		copies = lappend(copies, copy_of_tuple(state, tuple));
	systable_endscan(scan);
	table_close(state, AccessShareLock);
	return copies;
}

List *
tpm_copy_list(void)
{
	return read_state(NULL);
}

TpmCopy *
tpm_copy_find_key(const char *guard)
{
	List	   *copies = read_state(guard);

	return copies ? linitial(copies) : NULL;
}

TpmCopy *
tpm_copy_find(Oid relid)
{
	ListCell   *lc;

	foreach(lc, tpm_copy_list())
	{
		TpmCopy    *copy = lfirst(lc);

		if (copy->relid == relid)
			return copy;
	}
	return NULL;
}

List *
tpm_copies_of(Oid sourceid)
{
	List	   *copies = NIL;
	ListCell   *lc;

	if (!OidIsValid(tpm_copy_state_relid()))
		return NIL;
	foreach(lc, tpm_copy_list())
	{
		if (((TpmCopy *) lfirst(lc))->sourceid == sourceid)
			copies = lappend(copies, lfirst(lc));
	}
	return copies;
}

/* ----- ids beside it ----- */

/* of one copy, all but those of a kind; 0: all */
static void
forget_ids(const char *guard, char but)
{
	Relation	ids = table_open(tpm_copy_ids_relid(), RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(guard));
	scan = systable_beginscan(ids, tpm_primary_key(ids), true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		if (DatumGetChar(heap_getattr(tuple, 2, RelationGetDescr(ids), &isnull)) != but)
			CatalogTupleDelete(ids, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(ids, NoLock);
}

/* ----- a state without its rows ----- */

int64
tpm_copy_count_rows(Oid relid)
{
	Relation	table = table_open(relid, AccessShareLock);
	AttrNumber	deleted_at = get_attnum(relid, TPM_COPY_DELETED_AT);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	int64		rows = 0;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		if (deleted_at == InvalidAttrNumber || heap_attisnull(tuple, deleted_at, RelationGetDescr(table)))
			rows++;
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return rows;
}

void
tpm_copy_begin_anew(TpmCopy *copy)
{
	forget_ids(copy->guard, TPM_ID_UNLISTED);
	copy->phase = pstrdup(TPM_RUN_NEW);
	copy->position = 0;
	copy->link = NULL;
	copy->last_id = NULL;
	copy->run_started = copy->run_date = TPM_NEVER;
	copy->page_size = 0;
	copy->run_total = -1;
	copy->run_total_fell = false;
	copy->pages_done = 0;
	copy->pages_expected = -1;
	copy->filled = copy->watermark = TPM_NEVER;
	copy->greatest = copy->greatest_seen = copy->greatest_date = TPM_NEVER;
	copy->verified_until = copy->last_success = TPM_NEVER;
	copy->id_orders = TPM_ORDERS_ANY;
	copy->page_link = NULL;
	copy->page_rows = 0;
	copy->unchanged_runs = 0;
	copy->next_run = copy->next_reconcile = copy->next_sweep = TPM_NEVER;
	copy->sweep_planned = false;
}

/*
 * A dump may hold the state and not the rows, or other rows: what it says of them holds only if
 * there are as many.  What a sweep has written down beside it is not relied on.
 */
static void
settle_restored(TpmCopy *copy)
{
	int64		rows;

	if (!OidIsValid(copy->relid) || (is_at_home(copy) && copy->relid == copy->relid_hint))
		return;
	rows = tpm_copy_count_rows(copy->relid);
	if (rows != copy->rows)
	{
		tpm_copy_begin_anew(copy);
		copy->rows = rows;
	}
	else if (strcmp(copy->phase, TPM_RUN_SWEEP) == 0)
	{
		copy->phase = pstrdup(TPM_RUN_NONE);
		copy->sweep_planned = true;
	}
}

/* ----- writing ----- */

/* the newest version of a key's row, locked until the transaction ends; false: gone */
static bool
lock_state_row(Relation state, const char *guard, TupleTableSlot *slot)
{
	TupleTableSlot *sought = MakeSingleTupleTableSlot(RelationGetDescr(state), &TTSOpsVirtual);
	bool		found;

	ExecStoreAllNullTuple(sought);
	sought->tts_values[0] = CStringGetTextDatum(guard);
	sought->tts_isnull[0] = false;
	found = tpm_lock_by_index(state, tpm_primary_key(state), sought, slot);
	ExecDropSingleTupleTableSlot(sought);
	return found;
}

TpmCopy *
tpm_copy_lock(const char *guard)
{
	Relation	state = open_state(RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(state, NULL);
	TpmCopy    *copy = NULL;

	PreventCommandIfReadOnly("tpm_fdw_copy_state");
	if (lock_state_row(state, guard, slot))
	{
		copy = copy_of_tuple(state, ExecFetchSlotHeapTuple(slot, false, NULL));
		settle_restored(copy);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(state, NoLock);
	return copy;
}

/* NULL: it goes */
static void
replace_state(const char *guard, TpmCopy *copy)
{
	Relation	state = open_state(RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(state, NULL);

	if (!lock_state_row(state, guard, slot))
		elog(ERROR, "the state of copy %s is gone", guard);
	if (copy)
		CatalogTupleUpdate(state, &slot->tts_tid, tuple_of_copy(state, copy));
	else
		CatalogTupleDelete(state, &slot->tts_tid);
	ExecDropSingleTupleTableSlot(slot);
	table_close(state, NoLock);
	CommandCounterIncrement();
}

void
tpm_copy_save(TpmCopy *copy)
{
	replace_state(copy->guard, copy);
}

void
tpm_copy_remove(const char *guard)
{
	forget_ids(guard, 0);
	replace_state(guard, NULL);
}

TpmCopy *
tpm_copy_make(void)
{
	TpmCopy    *copy = palloc0(sizeof(TpmCopy));
	Datum		uuid = OidFunctionCall0(F_GEN_RANDOM_UUID);

	copy->guard = DatumGetCString(OidFunctionCall1(F_UUID_OUT, uuid));
	tpm_copy_begin_anew(copy);
	return copy;
}

void
tpm_copy_insert(TpmCopy *copy)
{
	Relation	state = open_state(RowExclusiveLock);

	PreventCommandIfReadOnly("tpm_fdw_create_copy()");
	CatalogTupleInsert(state, tuple_of_copy(state, copy));
	table_close(state, NoLock);
	CommandCounterIncrement();
}

void
tpm_copy_forget_gone(void)
{
	ListCell   *lc;

	foreach(lc, tpm_copy_list())
	{
		TpmCopy    *copy = lfirst(lc);

		/* looked at again under the lock: somebody may have done so, too */
		if (!OidIsValid(copy->relid) && (copy = tpm_copy_lock(copy->guard)) != NULL &&
			!OidIsValid(copy->relid))
			tpm_copy_remove(copy->guard);
	}
}

int64
tpm_interval_us(const Interval *interval)
{
	double		us = interval->time + ((double) interval->month * 30 + interval->day) * USECS_PER_DAY;

	return us >= (double) PG_INT64_MAX ? PG_INT64_MAX : (int64) us;
}
