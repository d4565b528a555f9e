/*-------------------------------------------------------------------------
 *
 * copy_target.c
 *		The table that a copy is: made, taken over, guarded.
 *
 * Owns what may be copied, which table may be a copy, and the statements that make it one.  All
 * of it is done with the caller's own rights; every name is qualified and quoted, so no
 * search_path has a say.  Columns of the copy and of its source belong together by name.
 *
 * A copy has no NOT NULL but that of its key: nobody holds the API to those of the foreign table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "copy/copy_internal.h"
#include "tpm_fdw.h"

void
tpm_copy_statement(const char *sql)
{
	int			result = SPI_execute(sql, false, 0);

	if (result < 0)
		elog(ERROR, "%s failed: %s", sql, SPI_result_code_string(result));
}

char *
tpm_copy_relation_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* ----- what may be copied ----- */

static const char *
why_not_copied(const TpmTable *table)
{
	Relation	source = table_open(table->relid, AccessShareLock);
	TupleDesc	tupdesc = RelationGetDescr(source);
	const char *why = NULL;
	int			live = 0;

	for (int i = 0; i < table->natts && why == NULL; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (TupleDescAttr(tupdesc, i)->attisdropped)
			continue;
		live++;
		if (column->placeholder)
			why = psprintf("Its resource needs a value of column \"%s\": it has many lists, and none of all rows.",
						   column->name);
		else if (strcmp(column->name, TPM_COPY_CHANGED_AT) == 0 || strcmp(column->name, TPM_COPY_DELETED_AT) == 0)
			why = psprintf("A copy has a column \"%s\" of its own.", column->name);
	}
	table_close(source, AccessShareLock);
	if (why)
		return why;
	if ((table->ops & TPM_OP_READ) == 0)
		return "Its option ops does not say that it can be read.";
	if (table->required_filters != NIL)
		return psprintf("It is not read without a condition on column \"%s\".",
						strVal(linitial(table->required_filters)));
	if (table->id_attnum == 0)
		return "It has no column that holds the id of a resource.";
	if (OidIsValid(table->columns[table->id_attnum - 1].collation) &&
		!get_collation_isdeterministic(table->columns[table->id_attnum - 1].collation))
		return "The collation of its id takes different ids for the same.";
	if (live + 2 > MaxHeapAttributeNumber)
		return psprintf("It has %d columns; with two of its own a copy would have more than %d.",
						live, MaxHeapAttributeNumber);
	return NULL;
}

TpmProblem *
tpm_copy_source_problem(const TpmTable *table)
{
	const char *why = why_not_copied(table);

	return why ? tpm_problem(ERRCODE_WRONG_OBJECT_TYPE, psprintf("foreign table %s cannot be copied", table->name),
							 why, NULL) : NULL;
}

const char *
tpm_copy_why_no_cursor(const TpmTable *table, const char *name)
{
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (column->kind == TPM_COL_NONE || strcmp(column->name, name) != 0)
			continue;
		if (column->type != TIMESTAMPTZOID && column->type != DATEOID)
			return psprintf("Column \"%s\" is of type %s: a cursor is of type timestamptz or date.", name,
							format_type_be(column->type));
		if (!column->sortable)
			return psprintf("Column \"%s\" is not sortable.", name);
		if (!column->notnull)
			return psprintf("Column \"%s\" is not NOT NULL.", name);
		return NULL;
	}
	return psprintf("%s has no column \"%s\".", table->name, name);
}

Oid
tpm_copy_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* ----- types ----- */

char *
tpm_copy_column_type(Form_pg_attribute att, bool qualified)
{
	StringInfoData type;

	initStringInfo(&type);
	appendStringInfoString(&type, format_type_extended(att->atttypid, att->atttypmod,
													   FORMAT_TYPE_TYPEMOD_GIVEN | (qualified ? FORMAT_TYPE_FORCE_QUALIFY : 0)));
	if (OidIsValid(att->attcollation) && att->attcollation != get_typcollation(att->atttypid))
	{
		HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(att->attcollation));
		Form_pg_collation form;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for collation %u", att->attcollation);
		form = (Form_pg_collation) GETSTRUCT(tuple);
		appendStringInfo(&type, " COLLATE %s",
						 quote_qualified_identifier(get_namespace_name(form->collnamespace), NameStr(form->collname)));
		ReleaseSysCache(tuple);
	}
	return type.data;
}

/* ----- a new table ----- */

static void
copy_source_comments(Relation source, Oid relid)
{
	TupleDesc	tupdesc = RelationGetDescr(source);
	char	   *comment = GetComment(RelationGetRelid(source), RelationRelationId, 0);

	if (comment)
		CreateComments(relid, RelationRelationId, 0, comment);
	for (int i = 0; i < tupdesc->natts; i++)
	{
		if (TupleDescAttr(tupdesc, i)->attisdropped)
			continue;
		comment = GetComment(RelationGetRelid(source), RelationRelationId, i + 1);
		if (comment)
			CreateComments(relid, RelationRelationId, get_attnum(relid, NameStr(TupleDescAttr(tupdesc, i)->attname)),
						   comment);
	}
}

Oid
tpm_copy_create_table(const TpmTable *table, const char *schema, const char *name)
{
	Relation	source = table_open(table->relid, AccessShareLock);
	TupleDesc	tupdesc = RelationGetDescr(source);
	StringInfoData sql;
	Oid			relid;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", quote_qualified_identifier(schema, name));
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (!att->attisdropped)
			appendStringInfo(&sql, "%s %s, ", quote_identifier(NameStr(att->attname)), tpm_copy_column_type(att, true));
	}
	appendStringInfo(&sql, "PRIMARY KEY (%s))", quote_identifier(table->columns[table->id_attnum - 1].name));
	tpm_copy_statement(sql.data);
	relid = get_relname_relid(name, get_namespace_oid(schema, false));
	copy_source_comments(source, relid);
	table_close(source, NoLock);
	return relid;
}

/* ----- an existing table ----- */

static const char *
why_not_a_copy(Relation target)
{
	Form_pg_class form = target->rd_rel;

	if (form->relkind != RELKIND_RELATION)
		return "It is not an ordinary table.";
	if (form->relpersistence != RELPERSISTENCE_PERMANENT)
		return "It is temporary or unlogged: its rows may vanish while the state stays.";
	if (has_superclass(RelationGetRelid(target)) || form->relhassubclass)
		return "It is part of an inheritance tree.";
	if (form->relhasrules)
		return "It has rules.";
	if (form->relforcerowsecurity)
		return "Its row level security holds for its owner, too.";
	if (IsCatalogRelation(target))
		return "It is a table of PostgreSQL's.";
	return NULL;
}

/* NULL: the column fits */
static const char *
why_column_differs(Relation target, Form_pg_attribute wanted)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(target), NameStr(wanted->attname));
	Form_pg_attribute att;
	char	   *type = tpm_copy_column_type(wanted, false);

	if (attnum == InvalidAttrNumber)
		return psprintf("It has no column \"%s\" of type %s.", NameStr(wanted->attname), type);
	if (attnum < 0)
		return psprintf("Column \"%s\" is one of PostgreSQL's.", NameStr(wanted->attname));
	att = TupleDescAttr(RelationGetDescr(target), attnum - 1);
	if (att->atttypid != wanted->atttypid || att->atttypmod != wanted->atttypmod)
		return psprintf("Column \"%s\" is of type %s, and not %s.", NameStr(att->attname),
						tpm_copy_column_type(att, false), type);
	if (att->attgenerated != '\0' || att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
		return psprintf("Column \"%s\" is generated.", NameStr(att->attname));
	return NULL;
}

/* of the owner's own columns: a run does not know what to write into it */
static const char *
why_column_in_the_way(Relation target, const TpmTable *table)
{
	for (int i = 0; i < RelationGetNumberOfAttributes(target); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(target), i);

		if (att->attisdropped || !att->attnotnull || att->atthasdef || att->attidentity != '\0')
			continue;
		if (get_attnum(table->relid, NameStr(att->attname)) == InvalidAttrNumber)
			return psprintf("Column \"%s\" is NOT NULL, has no default, and is not one of %s.",
							NameStr(att->attname), table->name);
	}
	return NULL;
}

/*
 * Alone: with another column, or for some rows only, it does not tell which row is meant.  Of a
 * predicate no more is asked than whether there is one: to read it is to run its functions.
 */
static bool
has_key(Relation target, const char *id)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(target), id);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(target))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		found |= form->indisunique && form->indisvalid && form->indimmediate && form->indnkeyatts == 1 &&
			form->indkey.values[0] == attnum && heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
		index_close(index, AccessShareLock);
	}
	return found;
}

static bool
tells_ids_apart(Relation target, const char *id)
{
	Oid			collation = TupleDescAttr(RelationGetDescr(target),
										  get_attnum(RelationGetRelid(target), id) - 1)->attcollation;

	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

static const char *
why_not_copy_of(Relation target, const TpmTable *table)
{
	Relation	source = table_open(table->relid, AccessShareLock);
	TupleDesc	tupdesc = RelationGetDescr(source);
	const char *id = table->columns[table->id_attnum - 1].name;
	const char *why = why_not_a_copy(target);

	for (int i = 0; i < tupdesc->natts && why == NULL; i++)
	{
		if (!TupleDescAttr(tupdesc, i)->attisdropped)
			why = why_column_differs(target, TupleDescAttr(tupdesc, i));
	}
	table_close(source, AccessShareLock);
	if (why == NULL)
		why = why_column_in_the_way(target, table);
	if (why == NULL && !tells_ids_apart(target, id))
		why = psprintf("The collation of column \"%s\" takes different ids for the same.", id);
	if (why == NULL && !has_key(target, id))
		why = psprintf("It has no unique index on \"%s\" alone that is not deferrable.", id);
	return why;
}

TpmProblem *
tpm_copy_target_problem(Relation target, const TpmTable *table)
{
	const char *why = why_not_copy_of(target, table);

	return why ? tpm_problem(ERRCODE_INVALID_TABLE_DEFINITION,
							 psprintf("table %s cannot be the copy of %s",
									  tpm_copy_relation_name(RelationGetRelid(target)), table->name),
							 why, NULL) : NULL;
}

/* ----- what makes it a copy ----- */

static void
add_own_column(Oid relid, const char *name)
{
	AttrNumber	attnum = get_attnum(relid, name);

	if (attnum == InvalidAttrNumber)
		tpm_copy_statement(psprintf("ALTER TABLE %s ADD COLUMN %s timestamptz", tpm_copy_relation_name(relid),
									quote_identifier(name)));
	else if (get_atttype(relid, attnum) != TIMESTAMPTZOID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("column \"%s\" of table %s cannot be the copy's own", name, tpm_copy_relation_name(relid)),
				 errdetail("It is not of type timestamp with time zone.")));
}

void
tpm_copy_add_own_columns(Oid relid, const char *deletions)
{
	add_own_column(relid, TPM_COPY_CHANGED_AT);
	if (strcmp(deletions, "mark") == 0)
		add_own_column(relid, TPM_COPY_DELETED_AT);
}

void
tpm_copy_drop_guard(Oid relid)
{
	char	   *name = tpm_copy_guard_name(relid);

	if (name)
		tpm_copy_statement(psprintf("DROP TRIGGER %s ON %s", quote_identifier(name), tpm_copy_relation_name(relid)));
}

/* of any column: which ones are the API's, the guard looks up when it fires, so that types may change */
void
tpm_copy_set_guard(Oid relid, const char *guard)
{
	char	   *schema = get_namespace_name(get_rel_namespace(tpm_copy_state_relid()));

	tpm_copy_drop_guard(relid);
	tpm_copy_statement(psprintf("CREATE TRIGGER %s BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s "
								"FOR EACH STATEMENT EXECUTE FUNCTION %s(%s)",
								TPM_COPY_GUARD_NAME, tpm_copy_relation_name(relid),
								quote_qualified_identifier(schema, TPM_COPY_GUARD_NAME), quote_literal_cstr(guard)));
}
