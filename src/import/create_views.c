/*-------------------------------------------------------------------------
 *
 * create_views.c
 *		tpm_fdw_create_views(): one view for each of our tables in a schema.
 *
 * Owns the statements that make the views.  What is in the way is left as it
 * is, with a WARNING.
 *
 * PostgreSQL uses the user mapping of a view's owner, so the views let others
 * read with the caller's.  All of it is done with the caller's own rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "option/option.h"

PG_FUNCTION_INFO_V1(tpm_fdw_create_views);

/* a table of ours; others may drop it meanwhile */
typedef struct OurTable
{
	Oid			relid;
	char	   *name;
} OurTable;

static int
by_name(const ListCell *a, const ListCell *b)
{
	return strcmp(((OurTable *) lfirst(a))->name, ((OurTable *) lfirst(b))->name);
}

static List *
our_tables(Oid schema)
{
	Relation	catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	List	   *tables = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_table form = (Form_pg_foreign_table) GETSTRUCT(tuple);
		char	   *name = get_rel_namespace(form->ftrelid) == schema ? get_rel_name(form->ftrelid) : NULL;

		if (name && tpm_is_our_server(form->ftserver))
		{
			OurTable   *table = palloc(sizeof(OurTable));

			table->relid = form->ftrelid;
			table->name = name;
			tables = lappend(tables, table);
		}
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	list_sort(tables, by_name);
	return tables;
}

/* a view needs a relation's name and a type's */
static bool
relation_is_taken(const char *name, Oid schema)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
									   ObjectIdGetDatum(schema));

	/* PostgreSQL renames the type of an array that is in the way */
	return OidIsValid(get_relname_relid(name, schema)) ||
		(OidIsValid(type) && !OidIsValid(get_element_type(type)));
}

static bool
may_create(Relation table, Oid into)
{
	char	   *name = RelationGetRelationName(table);

	if (relation_is_taken(name, into))
	{
		ereport(WARNING,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("view %s is not created",
						quote_qualified_identifier(get_namespace_name(into), name)),
				 errdetail("The name is taken.")));
		return false;
	}
	if (pg_class_aclcheck(RelationGetRelid(table), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
	{
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("view %s is not created",
						quote_qualified_identifier(get_namespace_name(into), name)),
				 errdetail("Its owner would be \"%s\", who may not read the table.",
						   GetUserNameFromId(GetUserId(), false))));
		return false;
	}
	return true;
}

/* every name is qualified and quoted: no search_path has a say */
static char *
create_view_statement(Relation table, Oid into)
{
	TupleDesc	tupdesc = RelationGetDescr(table);
	char	   *name = RelationGetRelationName(table);
	bool		any = false;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE VIEW %s AS SELECT",
					 quote_qualified_identifier(get_namespace_name(into), name));
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (att->attisdropped)
			continue;
		appendStringInfo(&sql, "%s t.%s", any ? "," : "", quote_identifier(NameStr(att->attname)));
		any = true;
	}
	appendStringInfo(&sql, " FROM %s AS t",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)), name));
	return sql.data;
}

/* the columns of a view are numbered as they were written */
static void
copy_comments(Relation table, Oid view)
{
	TupleDesc	tupdesc = RelationGetDescr(table);
	char	   *comment = GetComment(RelationGetRelid(table), RelationRelationId, 0);
	int			attnum = 0;

	if (comment)
		CreateComments(view, RelationRelationId, 0, comment);
	for (int i = 0; i < tupdesc->natts; i++)
	{
		if (TupleDescAttr(tupdesc, i)->attisdropped)
			continue;
		attnum++;
		comment = GetComment(RelationGetRelid(table), RelationRelationId, i + 1);
		if (comment)
			CreateComments(view, RelationRelationId, attnum, comment);
	}
}

/* false, with a WARNING unless the table is gone: there is none */
static bool
create_view(Oid relid, Oid into)
{
	Relation	table = try_relation_open(relid, AccessShareLock);
	bool		may = table != NULL && may_create(table, into);

	if (may)
	{
		int			result = SPI_execute(create_view_statement(table, into), false, 0);

		if (result != SPI_OK_UTILITY)
			elog(ERROR, "CREATE VIEW failed: %s", SPI_result_code_string(result));
		copy_comments(table, get_relname_relid(RelationGetRelationName(table), into));
	}
	if (table != NULL)
		relation_close(table, AccessShareLock);
	return may;
}

Datum
tpm_fdw_create_views(PG_FUNCTION_ARGS)
{
	Oid			schema = LookupExplicitNamespace(NameStr(*PG_GETARG_NAME(0)), false);
	Oid			into = LookupExplicitNamespace(NameStr(*PG_GETARG_NAME(1)), false);
	int			created = 0;
	ListCell   *lc;

	if (schema == into)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("views cannot be in the schema of the tables that they are named after")));
	SPI_connect();
	foreach(lc, our_tables(schema))
	{
		CHECK_FOR_INTERRUPTS();
		created += create_view(((OurTable *) lfirst(lc))->relid, into) ? 1 : 0;
	}
	SPI_finish();
	PG_RETURN_INT32(created);
}
