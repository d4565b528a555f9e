/*-------------------------------------------------------------------------
 *
 * copy_drift.c
 *		The foreign table of a copy, or the API behind it, is no longer what it was.
 *
 * Owns what a change of columns or members means for a copy: one that came is added, one that
 * went stays as it was, and one that cannot be written as before stops the run before anything
 * is.  All of it in a step of a run, as the copy's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "copy/copy_internal.h"

/* so many rows without a member tell that it is gone, and not rare */
#define TELLING_ROWS 20

/* ----- columns ----- */

static void
add_columns(void *arg)
{
	(void) set_config_option("lock_timeout", "1s", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	tpm_copy_statement(arg);
	SPI_finish();
}

/* false: somebody uses the table, and the next run tries again */
static bool
try_to_add_columns(const char *name, const char *columns)
{
	ErrorData  *error;

	if (tpm_attempt(add_columns, psprintf("ALTER TABLE %s %s", name, columns), &error))
		return true;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("columns that are new in its foreign table are not added to local copy %s yet", name),
			 errdetail("The table is in use. The next run tries again.")));
	return false;
}

static bool
types_differ(Form_pg_attribute a, Form_pg_attribute b)
{
	return a->atttypid != b->atttypid || a->atttypmod != b->atttypmod;
}

static void
refuse_type(const TpmCopy *copy, Form_pg_attribute here, Form_pg_attribute there)
{
	const char *column = quote_identifier(NameStr(here->attname));

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of local copy %s is of another type than in %s", NameStr(here->attname), copy->name,
					copy->source),
			 errdetail("It is %s here, and %s there.", tpm_copy_column_type(here, false), tpm_copy_column_type(there, false)),
			 errhint("ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s::%s", copy->name, column, tpm_copy_column_type(there, true), column,
					 format_type_extended(there->atttypid, there->atttypmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY))));
}

/* ADD COLUMN for each that the copy lacks, "" if there is none; raises where a type differs */
static char *
columns_to_add(const TpmCopy *copy, const TpmTable *table)
{
	Relation	source = table_open(table->relid, AccessShareLock);
	Relation	target = table_open(copy->relid, AccessShareLock);
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < RelationGetNumberOfAttributes(source); i++)
	{
		Form_pg_attribute there = TupleDescAttr(RelationGetDescr(source), i);
		AttrNumber	attnum;

		if (there->attisdropped)
			continue;
		attnum = get_attnum(copy->relid, NameStr(there->attname));
		if (attnum == InvalidAttrNumber)
			appendStringInfo(&columns, "%sADD COLUMN %s %s", columns.len > 0 ? ", " : "",
							 quote_identifier(NameStr(there->attname)), tpm_copy_column_type(there, true));
		else if (attnum > 0 && types_differ(TupleDescAttr(RelationGetDescr(target), attnum - 1), there))
			refuse_type(copy, TupleDescAttr(RelationGetDescr(target), attnum - 1), there);
	}
	table_close(target, NoLock);
	table_close(source, NoLock);
	return columns.data;
}

static void
check_target(const TpmCopy *copy, const TpmTable *table)
{
	Relation	target = table_open(copy->relid, AccessShareLock);

	tpm_problem_check(tpm_copy_target_problem(target, table));
	table_close(target, NoLock);
}

static void
check_cursor(const TpmCopy *copy, const TpmTable *table)
{
	const char *why = copy->cursor_column ? tpm_copy_why_no_cursor(table, copy->cursor_column) : NULL;

	if (why)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" is the cursor of local copy %s no longer", copy->cursor_column, copy->name),
				 errdetail("%s", why),
				 errhint("tpm_fdw_alter_copy(..., cursor_column => ...) names another one; '' is none.")));
}

void
tpm_copy_follow_source(TpmCopy *copy, const TpmTable *table)
{
	char	   *columns;

	tpm_problem_check(tpm_copy_source_problem(table));
	columns = columns_to_add(copy, table);
	check_cursor(copy, table);

	/*
	 * until now their rows have nothing in it, or what a cast made of another
	 * type
	 */
	if (columns[0] != '\0')
	{
		if (!try_to_add_columns(copy->name, columns))
			return;
		copy->sweep_planned = true;
	}
	else if (copy->problem_code && strcmp(copy->problem_code, unpack_sql_state(ERRCODE_DATATYPE_MISMATCH)) == 0)
		copy->sweep_planned = true;
	check_target(copy, table);
}

/* ----- members ----- */

/* are the rows before known to have had it, each? */
static bool
is_named_in(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

void
tpm_copy_check_members(TpmCopy *copy, const TpmTable *table, const TpmPageMembers *members, int nrows)
{
	bool		first = copy->members == NULL;
	List	   *before = NIL;
	StringInfoData always;

	if (nrows == 0)
		return;
	if (!first && !SplitIdentifierString(pstrdup(copy->members), ',', &before))
		elog(ERROR, "members of local copy %s are no list of names: %s", copy->name, copy->members);
	initStringInfo(&always);
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (column->kind == TPM_COL_NONE || !tpm_column_has_member(column) ||
			column->attnum >= TPM_SEEN_WORDS * 64 || !(first || is_named_in(before, column->name)))
			continue;
		if (!first && nrows >= TELLING_ROWS && !tpm_column_bit(members->seen, column->attnum))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
					 errmsg("no resource has the member of column \"%s\" of %s any more", column->name, copy->source),
					 errdetail("Every row of local copy %s had it so far, and none of %d resources has it now.",
							   copy->name, nrows),
					 errhint("If the API has given it another name, tell the column's options; if it is gone for good, ALTER FOREIGN TABLE %s DROP COLUMN %s keeps what the copy has.",
							 copy->source, quote_identifier(column->name))));

		/*
		 * a page on which nobody has it tells either that it is rare or that
		 * it is gone
		 */
		if (first ? tpm_column_bit(members->seen, column->attnum) && !tpm_column_bit(members->lacked, column->attnum)
			: !(tpm_column_bit(members->seen, column->attnum) && tpm_column_bit(members->lacked, column->attnum)))
			appendStringInfo(&always, "%s%s", always.len > 0 ? "," : "", quote_identifier(column->name));
	}
	copy->members = always.data;
}
