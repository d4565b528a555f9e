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
#include "utils/guc.h"

#include "base/nearest.h"
#include "import/import.h"

#define MAX_SAMPLE_PAGES 100

/*
 * PostgreSQL describes a table anew for each of its columns that has options,
 * and keeps every description until the statement ends: some 200 bytes for
 * each column in each of them.
 */
#define MAX_DESCRIBED 3000000

/* Where descriptions of tables come from: the remote schema's name */
typedef struct ImportSource
{
	const char *name;
	List	   *(*tables) (Oid serverid, const TpmImportOptions *options);
} ImportSource;

static const ImportSource sources[] = {
	{"tpm", tpm_import_catalogue},
	{"openapi", tpm_import_openapi},
	{"sample", tpm_import_sample}
};

/* which options go with which source; NULL: all of them */
typedef struct ImportOption
{
	const char *name;
	const char *source;
} ImportOption;

static const ImportOption known_options[] = {
	{"trust", "tpm"},
	{"trust", "openapi"},
	{"fetched_at", NULL},
	{"document", "openapi"},
	{"custom_fields", "tpm"},
	{"custom_fields", "sample"},
	{"resources", "sample"},
	{"sample_pages", "sample"}
};

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
			 errhint("The remote schema is \"tpm\", the catalogue of Third-Party Manager resources, \"openapi\", what an OpenAPI document describes, or \"sample\", what the API shows of the resources named.")));
	return NULL;				/* keep compiler quiet */
}

static bool
goes_with(const ImportOption *option, const char *source)
{
	return option->source == NULL || strcmp(option->source, source) == 0;
}

static void
check_option(const char *name, const char *source)
{
	TpmNearest	nearest;
	StringInfoData list;

	initStringInfo(&list);
	tpm_nearest_begin(&nearest, name);
	for (int i = 0; i < (int) lengthof(known_options); i++)
	{
		const ImportOption *option = &known_options[i];

		if (!goes_with(option, source))
			continue;
		if (strcmp(option->name, name) == 0)
			return;
		tpm_nearest_offer(&nearest, option->name);
		appendStringInfo(&list, "%s%s", list.len ? ", " : "", option->name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 nearest.best ? errhint("Perhaps you meant the option \"%s\".", nearest.best)
			 : errhint("Valid options for the remote schema \"%s\" are: %s", source, list.data)));
}

/* an option that has one word for a value */
static bool
is_word(DefElem *elem, const char *word)
{
	char	   *value = defGetString(elem);

	if (strcmp(value, word) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", elem->defname, value),
				 errdetail("The only valid value is \"%s\".", word)));
	return true;
}

static int
number_of_pages(DefElem *elem)
{
	int			pages;

	if (!parse_int(defGetString(elem), &pages, 0, NULL) || pages < 1 || pages > MAX_SAMPLE_PAGES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", elem->defname, defGetString(elem)),
				 errdetail("It must be a number from 1 to %d.", MAX_SAMPLE_PAGES)));
	return pages;
}

static TpmImportOptions
read_options(ImportForeignSchemaStmt *stmt)
{
	TpmImportOptions result = {.stmt = stmt,.sample_pages = 1};
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		DefElem    *elem = (DefElem *) lfirst(lc);

		check_option(elem->defname, stmt->remote_schema);
		if (strcmp(elem->defname, "trust") == 0)
			result.trust_exact = is_word(elem, "exact");
		else if (strcmp(elem->defname, "fetched_at") == 0)
			result.fetched_at = defGetBoolean(elem);
		else if (strcmp(elem->defname, "custom_fields") == 0)
			result.custom_columns = is_word(elem, "columns");
		else if (strcmp(elem->defname, "resources") == 0)
			result.resources = defGetString(elem);
		else if (strcmp(elem->defname, "document") == 0)
			result.document = defGetString(elem);
		else
			result.sample_pages = number_of_pages(elem);
	}
	return result;
}

bool
tpm_import_wants(const TpmImportOptions *options, const char *table)
{
	return IsImportableForeignTable(table, options->stmt);
}

/*
 * An attribute's parts are joined by slashes, so one with a slash in its name,
 * or none, is reached by a pointer.
 */
List *
tpm_import_attribute(const char *column, const char *member)
{
	StringInfoData pointer;

	if (strcmp(column, member) == 0 && strcmp(column, "id") != 0)
		return NIL;
	if (member[0] != '\0' && strchr(member, '/') == NULL)
		return tpm_import_option(NIL, "attribute", member);
	initStringInfo(&pointer);
	appendStringInfoString(&pointer, "/attributes/");
	for (; *member; member++)
	{
		if (*member == '~' || *member == '/')
			appendStringInfo(&pointer, "~%c", *member == '~' ? '0' : '1');
		else
			appendStringInfoChar(&pointer, *member);
	}
	return tpm_import_option(NIL, "pointer", pointer.data);
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
create_table_statement(const TpmImportTable *table, const char *server)
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
	TpmNames	names;
	ListCell   *lc;

	tpm_names_of_columns(&names, table->name);
	foreach(lc, table->columns)
		tpm_names_keep(&names, ((TpmImportColumn *) lfirst(lc))->name);
	/* the one column that a table always has room for */
	names.most = Max(names.most, list_length(table->columns) + 1);
	column->name = tpm_names_add(&names, "fetched_at");
	column->type = "timestamptz";
	column->options = tpm_import_option(NIL, "fetched_at", "true");
	column->comment = "time at which the row was received";
	table->columns = lappend(table->columns, column);
}

static int64
descriptions_of(const TpmImportTable *table)
{
	int64		n = 0;
	ListCell   *lc;

	foreach(lc, table->columns)
		n += ((TpmImportColumn *) lfirst(lc))->options != NIL;
	return n * list_length(table->columns);
}

/* false, with a WARNING: the tables before it are all that one statement can create */
static bool
has_room_for_descriptions(const TpmImportTable *table, int64 *described)
{
	int64		more = descriptions_of(table);

	if (*described > 0 && *described + more > MAX_DESCRIBED)
	{
		ereport(WARNING,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("table \"%s\" is not imported", table->name),
				 errdetail("The tables before it have as many columns with options as one import can create."),
				 errhint("Import it by another statement with LIMIT TO.")));
		return false;
	}
	*described += more;
	return true;
}

/*
 * LIMIT TO and EXCEPT are applied here and not left to PostgreSQL, so that a
 * comment is kept only for a table that will be created.
 */
List *
tpm_import_foreign_schema(ImportForeignSchemaStmt *stmt, Oid serverOid)
{
	const ImportSource *source = find_source(stmt->remote_schema);
	TpmImportOptions options = read_options(stmt);
	ForeignServer *server = GetForeignServer(serverOid);
	List	   *statements = NIL;
	int64		described = 0;
	ListCell   *lc;

	tpm_comment_begin(stmt->local_schema);
	foreach(lc, source->tables(serverOid, &options))
	{
		TpmImportTable *table = lfirst(lc);

		if (!tpm_import_wants(&options, table->name))
			continue;
		if (options.fetched_at)
			add_fetched_at(table);
		if (!has_room_for_descriptions(table, &described))
			continue;
		tpm_comment_add(table);
		statements = lappend(statements, create_table_statement(table, server->servername));
	}
	return statements;
}
