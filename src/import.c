/*-------------------------------------------------------------------------
 *
 * import.c
 *		IMPORT FOREIGN SCHEMA: from a description of tables to statements.
 *
 * Owns the list of sources, the statement's options, and the spelling of
 * CREATE FOREIGN TABLE.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"

#include "import.h"
#include "nearest.h"

/* Where descriptions of tables come from: the remote schema's name */
typedef struct ImportSource
{
	const char *name;
	List	   *(*tables) (Oid serverid, const TpmImportOptions *options);
} ImportSource;

static const ImportSource sources[] = {
	{"tpm", tpm_import_catalogue}
};

static const char *const option_names[] = {"trust", "fetched_at"};

List *
tpm_import_option(List *options, const char *name, const char *value)
{
	return lappend(options, makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1));
}

static const ImportSource *
find_source(const char *name)
{
	for (int i = 0; i < (int) lengthof(sources); i++)
	{
		if (strcmp(sources[i].name, name) == 0)
			return &sources[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
			 errmsg("remote schema \"%s\" does not exist", name),
			 errhint("The remote schema is \"tpm\", the catalogue of Third-Party Manager resources.")));
	return NULL;				/* keep compiler quiet */
}

static void
unknown_option(const char *name)
{
	TpmNearest	nearest;

	tpm_nearest_begin(&nearest, name);
	for (int i = 0; i < (int) lengthof(option_names); i++)
		tpm_nearest_offer(&nearest, option_names[i]);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 nearest.best ? errhint("Perhaps you meant the option \"%s\".", nearest.best)
			 : errhint("Valid options are \"trust\" and \"fetched_at\".")));
}

static bool
is_exact(const char *value)
{
	if (strcmp(value, "exact") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"trust\": \"%s\"", value),
				 errdetail("The only valid value is \"exact\".")));
	return true;
}

static TpmImportOptions
read_options(List *options)
{
	TpmImportOptions result = {false, false};
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *elem = (DefElem *) lfirst(lc);

		if (strcmp(elem->defname, "trust") == 0)
			result.trust_exact = is_exact(defGetString(elem));
		else if (strcmp(elem->defname, "fetched_at") == 0)
			result.fetched_at = defGetBoolean(elem);
		else
			unknown_option(elem->defname);
	}
	return result;
}

static void
append_options(StringInfo sql, List *options)
{
	ListCell   *lc;

	if (options == NIL)
		return;
	appendStringInfoString(sql, " OPTIONS (");
	foreach(lc, options)
	{
		DefElem    *elem = (DefElem *) lfirst(lc);

		appendStringInfo(sql, "%s%s %s", foreach_current_index(lc) ? ", " : "",
						 quote_identifier(elem->defname),
						 quote_literal_cstr(defGetString(elem)));
	}
	appendStringInfoChar(sql, ')');
}

/* PostgreSQL adds the local schema */
static char *
create_statement(const TpmImportTable *table, const char *server)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE FOREIGN TABLE %s (", quote_identifier(table->name));
	foreach(lc, table->columns)
	{
		const TpmImportColumn *column = lfirst(lc);

		appendStringInfo(&sql, "%s\n  %s %s", foreach_current_index(lc) ? "," : "",
						 quote_identifier(column->name), column->type);
		append_options(&sql, column->options);
		if (column->collation)
			appendStringInfo(&sql, " COLLATE %s", column->collation);
		if (column->notnull)
			appendStringInfoString(&sql, " NOT NULL");
	}
	appendStringInfo(&sql, "\n) SERVER %s", quote_identifier(server));
	append_options(&sql, table->options);
	return sql.data;
}

static void
add_fetched_at(TpmImportTable *table)
{
	TpmImportColumn *column = palloc0(sizeof(TpmImportColumn));

	column->name = "fetched_at";
	column->type = "timestamptz";
	column->options = tpm_import_option(NIL, "fetched_at", "true");
	column->comment = "time at which the row was received";
	table->columns = lappend(table->columns, column);
}

/*
 * LIMIT TO and EXCEPT are applied here and not left to PostgreSQL, so that a
 * comment is kept only for a table that will be created.
 */
List *
tpm_import_foreign_schema(ImportForeignSchemaStmt *stmt, Oid serverOid)
{
	const ImportSource *source = find_source(stmt->remote_schema);
	TpmImportOptions options = read_options(stmt->options);
	ForeignServer *server = GetForeignServer(serverOid);
	List	   *statements = NIL;
	ListCell   *lc;

	tpm_comment_begin(stmt->local_schema);
	foreach(lc, source->tables(serverOid, &options))
	{
		TpmImportTable *table = lfirst(lc);

		if (!IsImportableForeignTable(table->name, stmt))
			continue;
		if (options.fetched_at)
			add_fetched_at(table);
		tpm_comment_add(table);
		statements = lappend(statements, create_statement(table, server->servername));
	}
	return statements;
}
