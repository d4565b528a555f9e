/*-------------------------------------------------------------------------
 *
 * openapi.c
 *		IMPORT FOREIGN SCHEMA openapi: an API's own description as tables.
 *
 * Owns how much one import may give, and the memory that each resource takes
 * while it is looked at: a document is written by others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "import/openapi/openapi_internal.h"

#define MAX_WARNINGS 50

/* each takes locks until the end of the transaction */
#define MAX_TABLES 1000

void
tpm_openapi_warning(TpmOpenapi *api, const char *message, const char *detail)
{
	if (++api->warnings > MAX_WARNINGS)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("%s", message),
			 errdetail("%s", detail)));
}

static void
end_warnings(const TpmOpenapi *api)
{
	if (api->warnings > MAX_WARNINGS)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("%d more warnings on document \"%s\" are not shown", api->warnings - MAX_WARNINGS, api->where)));
}

static void
check_version(TpmOpenapi *api)
{
	const char *swagger = tpm_node_scalar(tpm_node_member(api->root, "swagger"));
	const char *openapi = tpm_node_scalar(tpm_node_member(api->root, "openapi"));

	api->swagger = openapi == NULL && swagger != NULL;
	if ((openapi && openapi[0] == '3') || (api->swagger && swagger[0] == '2'))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("\"%s\" is no OpenAPI document that can be imported", api->where),
			 openapi || swagger
			 ? errdetail("It is of version %.20s.", openapi ? openapi : swagger)
			 : errdetail("It has neither a member \"openapi\" nor one \"swagger\"."),
			 errhint("OpenAPI 3.0 and 3.1 and Swagger 2.0 are understood, in JSON or YAML.")));
}

/* ----- copies, which outlive what they were made from ----- */

static const char *
copy_import_text(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

static List *
copy_options(const List *options)
{
	List	   *copy = NIL;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *elem = lfirst(lc);

		copy = tpm_import_option(copy, elem->defname, strVal(elem->arg));
	}
	return copy;
}

static TpmImportTable *
copy_table(const TpmImportTable *table)
{
	TpmImportTable *copy = palloc0(sizeof(TpmImportTable));
	ListCell   *lc;

	copy->name = copy_import_text(table->name);
	copy->comment = copy_import_text(table->comment);
	copy->options = copy_options(table->options);
	foreach(lc, table->columns)
	{
		const TpmImportColumn *from = lfirst(lc);
		TpmImportColumn *to = palloc0(sizeof(TpmImportColumn));

		to->name = copy_import_text(from->name);
		to->type = copy_import_text(from->type);
		to->collation = copy_import_text(from->collation);
		to->notnull = from->notnull;
		to->options = copy_options(from->options);
		to->comment = copy_import_text(from->comment);
		copy->columns = lappend(copy->columns, to);
	}
	return copy;
}

/* ----- tables ----- */

/* NULL, after a WARNING, if the resource cannot be one */
static TpmImportTable *
table_of(TpmOpenapi *api, const TpmResource *known, const TpmImportOptions *options)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw resource", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TpmImportTable *table;

	api->steps = 0;
	api->problem = NULL;
	table = tpm_openapi_table(api, known, options);
	if (table == NULL)
		tpm_openapi_warning(api, psprintf("skipping \"%s\"", tpm_name_shown(known->path)),
							psprintf("It cannot be a table: %s.", api->problem ? api->problem : "its placeholders have no names"));
	MemoryContextSwitchTo(old);
	if (table)
		table = copy_table(table);
	MemoryContextDelete(context);
	api->problem = NULL;
	return table;
}

List *
tpm_import_openapi(Oid serverid, const TpmImportOptions *options)
{
	TpmServer  *server = tpm_get_server(serverid);
	TpmOpenapi *api = palloc0(sizeof(TpmOpenapi));
	List	   *tables = NIL;
	ListCell   *lc;

	if (options->document == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("option \"document\" is required"),
				 errhint("It names the OpenAPI document: a URL on the origin of base_url, perhaps relative to it, or an absolute path of a file.")));
	api->where = options->document;
	api->options = options;
	api->root = tpm_openapi_load(server, options->document);
	check_version(api);
	foreach(lc, tpm_openapi_resources(api, server))
	{
		const TpmResource *known = lfirst(lc);
		TpmImportTable *table;

		CHECK_FOR_INTERRUPTS();
		if (known->name == NULL || !tpm_import_wants(options, known->name))
			continue;
		if (list_length(tables) == MAX_TABLES)
		{
			tpm_openapi_warning(api, psprintf("only the first %d tables are imported", MAX_TABLES),
								"LIMIT TO imports those that it names.");
			break;
		}
		table = table_of(api, known, options);
		if (table)
			tables = lappend(tables, table);
	}
	end_warnings(api);
	return tables;
}
