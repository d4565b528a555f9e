/*-------------------------------------------------------------------------
 *
 * copy_create.c
 *		tpm_fdw_create_copy() and its like: a copy is made, changed, dropped.
 *
 * Owns the options of a copy: which values are good, and what a change of one means for what was
 * read so far.  Nothing is sent here.  The table is copy_target.c's, the state copy_state.c's.
 *
 * Whoever creates a copy may read its source and owns its table, a new one or one that he has.
 *
 * Locks: an option that a run relies on (source, cursor, deletions) changes only while no run
 * is under way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "copy/copy_internal.h"

PG_FUNCTION_INFO_V1(tpm_fdw_create_copy);
PG_FUNCTION_INFO_V1(tpm_fdw_create_copies);
PG_FUNCTION_INFO_V1(tpm_fdw_alter_copy);
PG_FUNCTION_INFO_V1(tpm_fdw_drop_copy);

#define DEFAULT_CURSOR "updated_at"
#define DEFAULT_EVERY_US (15 * USECS_PER_MINUTE)
#define DEFAULT_LOOKBACK_US (10 * USECS_PER_MINUTE)

double		tpm_copy_deletion_limit = 0.1;

static const char *const deletions_values[] = {"remove", "mark", "keep", NULL};
static const char *const unlisted_values[] = {"keep", "remove", NULL};

/* ----- options ----- */

static Interval *
interval_of_us(int64 us)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = us;
	return interval;
}

/* in the current memory context; raises unless it is longer than nothing (lookback: as long) */
static Interval *
check_interval(const char *name, const Interval *value, bool zero, bool infinite)
{
	int64		us = tpm_interval_us(value);
	Interval   *copy;

	if (us < 0 || (us == 0 && !zero))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 zero ? errmsg("%s cannot be less than nothing", name)
				 : errmsg("%s must be longer than nothing", name)));
	if (us == PG_INT64_MAX && !infinite)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has no end", name),
				 errhint("A copy that is paused is not brought up to date.")));
	copy = palloc(sizeof(Interval));
	*copy = *value;
	return copy;
}

static char *
check_word(const char *name, const text * value, const char *const *words, const char *list)
{
	char	   *word = text_to_cstring(value);

	if (!tpm_is_one_of(word, words))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s cannot be \"%s\"", name, word),
				 errhint("It is one of %s.", list)));
	return word;
}

/* NULL: the copy has none, and *why says why.  One that was asked for by name must serve. */
static char *
choose_cursor(const TpmTable *table, const char *name, const char **why)
{
	*why = name ? tpm_copy_why_no_cursor(table, name) : "None was named.";
	if (*why == NULL)
		return pstrdup(name);
	if (name && strcmp(name, DEFAULT_CURSOR) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" of %s cannot be the cursor of a copy", name, table->name),
				 errdetail("%s", *why),
				 errhint("A cursor is a column that says when a row last changed, or was made in a list that only grows; the API sorts by it, as its option sortable says.")));
	return NULL;
}

static void
say_cursor(const TpmTable *table, const TpmCopy *copy, const char *why)
{
	if (copy->cursor_column == NULL)
		ereport(NOTICE,
				(errmsg("%s has no cursor: each run of its copy reads it whole", table->name),
				 errdetail("%s", why)));
}

/* ----- privileges ----- */

static TpmTable *
source_of_caller(Oid relid)
{
	TpmTable   *table;

	if (!tpm_is_our_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a foreign table of tpm_fdw",
						get_rel_name(relid) ? tpm_copy_relation_name(relid) : psprintf("relation %u", relid)),
				 errhint("A copy is made of a foreign table.")));
	table = tpm_get_table(relid);
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_TABLE, get_rel_name(relid));
	tpm_problem_check(tpm_copy_source_problem(table));
	return table;
}

static void
check_copy_owner(Oid relid)
{
	if (!tpm_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
}

static TpmCopy *
copy_of_caller(Oid relid)
{
	TpmCopy    *copy = tpm_copy_find(relid);

	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a local copy",
						get_rel_name(relid) ? tpm_copy_relation_name(relid) : psprintf("relation %u", relid)),
				 errhint("The view tpm_fdw_copies lists them, tpm_fdw_create_copy() makes one.")));
	check_copy_owner(relid);
	return copy;
}

/* ----- a copy is made ----- */

static void
say_price(const TpmTable *table, const TpmCopy *copy)
{
	double		pages = tpm_copy_pages_known(table);
	double		hourly = tpm_copy_requests_an_hour(table);
	char	   *detail = hourly > 0 ? psprintf("Copies may send %.0f requests an hour to it.", hourly)
	: pstrdup("It has no limit of requests.");

	if (pages < 0)
		ereport(NOTICE,
				(errmsg("how many pages, requests and hours it takes to fill %s is not known yet", copy->name),
				 errdetail("%s", detail),
				 errhint("It is a request for each %d rows of %s; count(*) of that asks how many there are.",
						 table->opt.page_size, table->name)));
	else
		ereport(NOTICE,
				(errmsg("filling %s takes about %.0f pages, so %.0f requests, and %.1f hours", copy->name, pages, pages,
						hourly > 0 ? pages / hourly : 0),
				 errdetail("%s", detail)));
}

static char *
default_target(const TpmTable *table)
{
	char	   *schema = psprintf("%s_copy", get_namespace_name(get_rel_namespace(table->relid)));

	if (strlen(schema) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("schema \"%s\" would have too long a name", schema),
				 errhint("Name the copy, as 'schema.table'.")));
	return quote_qualified_identifier(schema, get_rel_name(table->relid));
}

static void
create_missing_schema(const char *schema)
{
	if (OidIsValid(get_namespace_oid(schema, true)))
		return;
	tpm_copy_statement(psprintf("CREATE SCHEMA %s", quote_identifier(schema)));
	ereport(NOTICE,
			(errmsg("schema \"%s\" is created", schema)));
}

/* an existing table of this name, made a copy's; InvalidOid: there is none */
static Oid
take_table(RangeVar *target, const TpmTable *table)
{
	Oid			relid = RangeVarGetRelid(target, AccessShareLock, true);
	Relation	existing;
	TpmCopy    *copy;

	if (!OidIsValid(relid))
		return InvalidOid;
	existing = relation_open(relid, NoLock);
	if (existing->rd_rel->relkind == RELKIND_RELATION)
		check_copy_owner(relid);
	copy = tpm_copy_find(relid);
	if (copy && copy->guarded)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("%s is a local copy of %s", copy->name, copy->source),
				 errhint("tpm_fdw_alter_copy() changes it, tpm_fdw_drop_copy() makes an ordinary table of it.")));
	tpm_problem_check(tpm_copy_target_problem(existing, table));
	relation_close(existing, NoLock);

	/*
	 * what was known of it does not hold any longer: others may have written
	 * to it
	 */
	if (copy)
		tpm_copy_remove(copy->guard);
	return relid;
}

static Oid
make_table(const char *target, const TpmTable *table)
{
	RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(target)));
	Oid			relid;

	if (name->schemaname == NULL)
		name->schemaname = get_namespace_name(RangeVarGetCreationNamespace(name));
	create_missing_schema(name->schemaname);
	relid = take_table(name, table);
	return OidIsValid(relid) ? relid : tpm_copy_create_table(table, name->schemaname, name->relname);
}

/* options are set; raises, or the table and its state are there */
static void
create_copy(TpmCopy *copy, const TpmTable *table, const char *cursor, const char *target)
{
	const char *why;

	copy->cursor_column = choose_cursor(table, cursor, &why);
	SPI_connect();
	tpm_copy_forget_gone();
	copy->sourceid = table->relid;
	copy->relid = make_table(target, table);
	tpm_copy_add_own_columns(copy->relid, copy->deletions);
	tpm_copy_set_guard(copy->relid, copy->guard);
	copy->rows = tpm_copy_count_rows(copy->relid);
	tpm_copy_insert(copy);
	say_cursor(table, copy, why);
	say_price(table, copy);
	SPI_finish();
}

static TpmCopy *
copy_with_defaults(void)
{
	TpmCopy    *copy = tpm_copy_make();

	copy->lookback = interval_of_us(DEFAULT_LOOKBACK_US);
	copy->every = interval_of_us(DEFAULT_EVERY_US);
	copy->deletions = pstrdup("remove");
	copy->unlisted_option = pstrdup("keep");
	return copy;
}

/* arguments from lookback to paused, which two functions have; NULL changes nothing */
static void
set_copy_options(TpmCopy *copy, FunctionCallInfo fcinfo, int first)
{
	if (!PG_ARGISNULL(first))
		copy->lookback = check_interval("lookback", PG_GETARG_INTERVAL_P(first), true, false);
	if (!PG_ARGISNULL(first + 1))
		copy->every = check_interval("every", PG_GETARG_INTERVAL_P(first + 1), false, false);
	if (!PG_ARGISNULL(first + 2))
		copy->reconcile = check_interval("reconcile", PG_GETARG_INTERVAL_P(first + 2), true, true);
	if (!PG_ARGISNULL(first + 3))
		copy->sweep = check_interval("sweep", PG_GETARG_INTERVAL_P(first + 3), true, true);
	if (!PG_ARGISNULL(first + 4))
		copy->deletions = check_word("deletions", PG_GETARG_TEXT_PP(first + 4), deletions_values,
									 "remove, mark and keep");
	if (!PG_ARGISNULL(first + 5))
		copy->unlisted_option = check_word("unlisted", PG_GETARG_TEXT_PP(first + 5), unlisted_values,
										   "keep and remove");
	if (!PG_ARGISNULL(first + 6))
		copy->paused = PG_GETARG_BOOL(first + 6);
	/* nothing: as often as pays */
	if (copy->reconcile && tpm_interval_us(copy->reconcile) == 0)
		copy->reconcile = NULL;
	if (copy->sweep && tpm_interval_us(copy->sweep) == 0)
		copy->sweep = NULL;
}

Datum
tpm_fdw_create_copy(PG_FUNCTION_ARGS)
{
	TpmTable   *table;
	TpmCopy    *copy;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a copy needs a source")));
	table = source_of_caller(PG_GETARG_OID(0));
	copy = copy_with_defaults();
	set_copy_options(copy, fcinfo, 3);
	copy->every_given = tpm_interval_us(copy->every) != DEFAULT_EVERY_US;
	create_copy(copy, table, PG_ARGISNULL(2) ? NULL : NameStr(*PG_GETARG_NAME(2)),
				PG_ARGISNULL(1) ? default_target(table) : text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_OID(copy->relid);
}

/* ----- one of each table ----- */

typedef struct CopyOfOne
{
	Oid			relid;
	const char *schema;
} CopyOfOne;

static void
create_one(void *arg)
{
	CopyOfOne  *one = arg;
	TpmTable   *table = source_of_caller(one->relid);

	create_copy(copy_with_defaults(), table, DEFAULT_CURSOR, quote_qualified_identifier(one->schema, get_rel_name(one->relid)));
}

Datum
tpm_fdw_create_copies(PG_FUNCTION_ARGS)
{
	Oid			schema = LookupExplicitNamespace(NameStr(*PG_GETARG_NAME(0)), false);
	const char *into = NameStr(*PG_GETARG_NAME(1));
	int			created = 0;
	ListCell   *lc;

	if (strcmp(into, NameStr(*PG_GETARG_NAME(0))) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("copies cannot be in the schema of the tables that they are named after")));
	SPI_connect();
	create_missing_schema(into);
	SPI_finish();
	foreach(lc, tpm_tables_of_schema(schema))
	{
		CopyOfOne	one = {lfirst_oid(lc), into};
		char	   *name = get_rel_name(one.relid);
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		if (name == NULL)
			continue;
		if (tpm_attempt(create_one, &one, &error))
			created++;
		else
			ereport(WARNING,
					(errcode(error->sqlerrcode),
					 errmsg("table %s is not copied: %s",
							quote_qualified_identifier(NameStr(*PG_GETARG_NAME(0)), name), error->message),
					 error->detail ? errdetail_internal("%s", error->detail) : 0,
					 error->hint ? errhint("%s", error->hint) : 0));
	}
	PG_RETURN_INT32(created);
}

/* ----- a copy is changed ----- */

/* not while somebody reads by what is about to change */
static void
lock_out_runs(Oid relid)
{
	LOCKTAG		tag;

	tpm_copy_lock_tag(&tag, relid);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("local copy %s is being brought up to date", tpm_copy_relation_name(relid)),
				 errhint("Pause it before, with paused => true: the run then ends after its page.")));
}

/*
 * As the owner, whose triggers these are.  What is deferred in this transaction stays so; the
 * owner's, called for by somebody else, is refused by PostgreSQL.
 */
static void
delete_marked_rows(Oid relid)
{
	Oid			userid;
	Oid			owner;
	int			sec_context;
	int			nestlevel;

	if (get_attnum(relid, TPM_COPY_DELETED_AT) == InvalidAttrNumber)
		return;
	LockRelationOid(relid, RowExclusiveLock);
	GetUserIdAndSecContext(&userid, &sec_context);
	owner = tpm_copy_owner(relid);
	if (owner != userid)
		SetUserIdAndSecContext(owner, sec_context | SECURITY_RESTRICTED_OPERATION);
	nestlevel = NewGUCNestLevel();
	tpm_copy_guard_open(relid);
	tpm_copy_statement(psprintf("DELETE FROM %s WHERE %s IS NOT NULL", tpm_copy_relation_name(relid),
								TPM_COPY_DELETED_AT));
	tpm_copy_guard_close();
	AtEOXact_GUC(false, nestlevel);
	SetUserIdAndSecContext(userid, sec_context);
}

/* the other table's rows are compared with what is there, and what it lacks is looked for */
static void
change_source(TpmCopy *copy, Oid sourceid)
{
	TpmTable   *table = source_of_caller(sourceid);
	const char *why;
	Relation	target = table_open(copy->relid, AccessShareLock);

	tpm_problem_check(tpm_copy_target_problem(target, table));
	table_close(target, NoLock);
	copy->sourceid = sourceid;
	copy->members = NULL;
	if (copy->cursor_column)
	{
		copy->cursor_column = choose_cursor(table, copy->cursor_column, &why);
		say_cursor(table, copy, why);
	}
	tpm_copy_begin_anew(copy);
}

static void
change_cursor(TpmCopy *copy, const char *name)
{
	TpmTable   *table = source_of_caller(copy->sourceid);
	const char *why;
	char	   *cursor = choose_cursor(table, name[0] == '\0' ? NULL : name, &why);

	if ((cursor == NULL) != (copy->cursor_column == NULL) || (cursor && strcmp(cursor, copy->cursor_column) != 0))
		tpm_copy_begin_anew(copy);
	copy->cursor_column = cursor;
	say_cursor(table, copy, why);
}

static void
change_deletions(TpmCopy *copy, const char *before)
{
	if (strcmp(copy->deletions, before) == 0)
		return;
	tpm_copy_add_own_columns(copy->relid, copy->deletions);
	if (strcmp(copy->deletions, "remove") == 0)
		delete_marked_rows(copy->relid);
}

/* no later than the options say now */
static TimestampTz
no_later(TimestampTz due, const Interval *interval)
{
	int64		us = interval ? tpm_interval_us(interval) : PG_INT64_MAX;
	TimestampTz now = GetCurrentTimestamp();

	return us < PG_INT64_MAX - now ? Min(due, now + us) : due;
}

Datum
tpm_fdw_alter_copy(PG_FUNCTION_ARGS)
{
	TpmCopy    *copy;
	char	   *deletions;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("which copy is not said")));
	copy = copy_of_caller(PG_GETARG_OID(0));
	if (!PG_ARGISNULL(1) || !PG_ARGISNULL(6) || !PG_ARGISNULL(9))
		lock_out_runs(copy->relid);
	copy = tpm_copy_lock(copy->guard);
	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the local copy was dropped meanwhile")));
	deletions = copy->deletions;
	set_copy_options(copy, fcinfo, 2);
	copy->every_given |= !PG_ARGISNULL(3);
	copy->next_run = no_later(copy->next_run, copy->every);
	copy->next_reconcile = no_later(copy->next_reconcile, copy->reconcile);
	copy->next_sweep = no_later(copy->next_sweep, copy->sweep);
	SPI_connect();
	if (!PG_ARGISNULL(9))
		change_source(copy, PG_GETARG_OID(9));
	if (!PG_ARGISNULL(1))
		change_cursor(copy, NameStr(*PG_GETARG_NAME(1)));
	change_deletions(copy, deletions);
	tpm_copy_save(copy);
	SPI_finish();
	PG_RETURN_VOID();
}

/* ----- a copy is dropped ----- */

Datum
tpm_fdw_drop_copy(PG_FUNCTION_ARGS)
{
	TpmCopy    *copy = copy_of_caller(PG_GETARG_OID(0));
	char	   *name = tpm_copy_relation_name(copy->relid);

	/* in the order of a run: its state, then the table */
	if (tpm_copy_lock(copy->guard))
		tpm_copy_remove(copy->guard);
	SPI_connect();
	if (PG_GETARG_BOOL(1))
		tpm_copy_statement(psprintf("DROP TABLE %s", name));
	else
		tpm_copy_drop_guard(copy->relid);
	SPI_finish();
	PG_RETURN_VOID();
}
