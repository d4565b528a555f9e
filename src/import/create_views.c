/*-------------------------------------------------------------------------
 *
 * create_views.c
 *		tpm_fdw_create_views(): one view for each of our tables in a schema, or for the copy of each.
 *
 * Owns the statements that make the views.  What is in the way is left as it
 * is, with a WARNING.  Views over copies take the place of views that were made
 * here, which a condition that is always true tells from others: it is in
 * dumps, and the planner drops it.
 *
 * Views over copies have neither rules nor triggers: who writes to one meets
 * the guard of the copy.  Rows that a copy keeps as marks are not in its view.
 *
 * PostgreSQL uses the user mapping of a view's owner, so the views let others
 * read with the caller's.  All of it is done with the caller's own rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/problem.h"
#include "copy/copy.h"
#include "option/option.h"

/* what makes a view ours, as pg_get_viewdef() shows it */
#define MADE_HERE	"'tpm_fdw_create_views'::text IS NOT NULL"

PG_FUNCTION_INFO_V1(tpm_fdw_create_views);

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
is_made_here(Oid view)
{
	char	   *definition;

	if (get_rel_relkind(view) != RELKIND_VIEW)
		return false;
	definition = TextDatumGetCString(OidFunctionCall1(F_PG_GET_VIEWDEF_OID, ObjectIdGetDatum(view)));
	return strstr(definition, MADE_HERE) != NULL;
}

static void
warn_of_view(Oid into, const char *name, int code, const char *why, const char *hint)
{
	ereport(WARNING,
			(errcode(code),
			 errmsg("view %s is not created", quote_qualified_identifier(get_namespace_name(into), name)),
			 errdetail("%s", why),
			 hint ? errhint("%s", hint) : 0));
}

/* the copy of the same name, or the first */
static Oid
choose_copy(Relation table)
{
	List	   *copies = tpm_copy_relids(RelationGetRelid(table));
	ListCell   *lc;

	foreach(lc, copies)
	{
		char	   *name = get_rel_name(lfirst_oid(lc));

		if (name && strcmp(name, RelationGetRelationName(table)) == 0)
			return lfirst_oid(lc);
	}
	return copies ? linitial_oid(copies) : InvalidOid;
}

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* over: the table itself, or a copy; InvalidOid: it has none.  replaced: a view that gives way */
static bool
may_create(Relation table, Oid into, Oid over, Oid replaced)
{
	char	   *name = RelationGetRelationName(table);

	if (!OidIsValid(over))
		warn_of_view(into, name, ERRCODE_UNDEFINED_TABLE, "The table has no local copy.",
					 psprintf("Make one: SELECT tpm_fdw_create_copy(%s).",
							  quote_literal_cstr(qualified_name(RelationGetRelid(table)))));
	else if (!OidIsValid(replaced) && relation_is_taken(name, into))
		warn_of_view(into, name, ERRCODE_DUPLICATE_TABLE, "The name is taken.", NULL);
	else if (pg_class_aclcheck(over, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		warn_of_view(into, name, ERRCODE_INSUFFICIENT_PRIVILEGE,
					 psprintf("Its owner would be \"%s\", who may not read the table.",
							  GetUserNameFromId(GetUserId(), false)), NULL);
	else
		return true;
	return false;
}

/* what a view that is replaced has comes first, and in its order */
static List *
columns_of_view(Relation table, Oid over, Oid replaced)
{
	TupleDesc	tupdesc = RelationGetDescr(table);
	List	   *names = NIL;
	char	   *name;

	for (AttrNumber i = 1; OidIsValid(replaced) && (name = get_attname(replaced, i, true)) != NULL; i++)
		names = lappend(names, makeString(name));
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		/* one that is new is in the copy after its next run */
		if (!att->attisdropped && get_attnum(over, NameStr(att->attname)) != InvalidAttrNumber)
			names = list_append_unique(names, makeString(pstrdup(NameStr(att->attname))));
	}
	return names;
}

/* every name is qualified and quoted: no search_path has a say */
static char *
create_view_statement(Relation table, Oid into, Oid over, Oid replaced)
{
	bool		marks = over != RelationGetRelid(table) &&
	get_attnum(over, TPM_COPY_DELETED_AT) != InvalidAttrNumber;
	bool		any = false;
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE %sVIEW %s AS SELECT", OidIsValid(replaced) ? "OR REPLACE " : "",
					 quote_qualified_identifier(get_namespace_name(into), RelationGetRelationName(table)));
	foreach(lc, columns_of_view(table, over, replaced))
	{
		appendStringInfo(&sql, "%s t.%s", any ? "," : "", quote_identifier(strVal(lfirst(lc))));
		any = true;
	}
	appendStringInfo(&sql, " FROM %s AS t WHERE %s%s", qualified_name(over), MADE_HERE,
					 marks ? " AND t." TPM_COPY_DELETED_AT " IS NULL" : "");
	return sql.data;
}

static void
copy_comments(Relation table, Oid view)
{
	char	   *comment = GetComment(RelationGetRelid(table), RelationRelationId, 0);
	char	   *name;

	if (comment)
		CreateComments(view, RelationRelationId, 0, comment);
	for (AttrNumber i = 1; (name = get_attname(view, i, true)) != NULL; i++)
	{
		AttrNumber	attnum = get_attnum(RelationGetRelid(table), name);

		comment = attnum > 0 ? GetComment(RelationGetRelid(table), RelationRelationId, attnum) : NULL;
		if (comment)
			CreateComments(view, RelationRelationId, i, comment);
	}
}

static void
create_by_statement(void *arg)
{
	int			result = SPI_execute(arg, false, 0);

	if (result != SPI_OK_UTILITY)
		elog(ERROR, "CREATE VIEW failed: %s", SPI_result_code_string(result));
}

/* false, with a WARNING unless the table is gone: there is none */
static bool
create_view(Oid relid, Oid into, bool from_copies)
{
	Relation	table = try_relation_open(relid, AccessShareLock);
	char	   *name;
	Oid			over;
	Oid			replaced;
	ErrorData  *error;
	bool		made;

	if (table == NULL)
		return false;
	name = RelationGetRelationName(table);
	over = from_copies ? choose_copy(table) : relid;
	replaced = from_copies ? get_relname_relid(name, into) : InvalidOid;
	if (!is_made_here(replaced))
		replaced = InvalidOid;
	made = may_create(table, into, over, replaced);
	if (made && OidIsValid(replaced))
	{
		/* somebody else's, or one that has a column of another type */
		made = tpm_attempt(create_by_statement, create_view_statement(table, into, over, replaced), &error);
		if (!made)
			warn_of_view(into, name, error->sqlerrcode, psprintf("It cannot take the place of the one that is there: %s.",
																 error->message), "DROP VIEW makes room for it.");
	}
	else if (made)
		create_by_statement(create_view_statement(table, into, over, replaced));
	if (made)
		copy_comments(table, get_relname_relid(name, into));
	relation_close(table, AccessShareLock);
	return made;
}

Datum
tpm_fdw_create_views(PG_FUNCTION_ARGS)
{
	Oid			schema = LookupExplicitNamespace(NameStr(*PG_GETARG_NAME(0)), false);
	Oid			into = LookupExplicitNamespace(NameStr(*PG_GETARG_NAME(1)), false);
	bool		from_copies = PG_NARGS() > 2 && PG_GETARG_BOOL(2);
	int			created = 0;
	ListCell   *lc;

	if (schema == into)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("views cannot be in the schema of the tables that they are named after")));
	SPI_connect();
	foreach(lc, tpm_tables_of_schema(schema))
	{
		CHECK_FOR_INTERRUPTS();
		created += create_view(lfirst_oid(lc), into, from_copies) ? 1 : 0;
	}
	SPI_finish();
	PG_RETURN_INT32(created);
}
