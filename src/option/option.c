/*-------------------------------------------------------------------------
 *
 * option.c
 *		Servers and tables in parsed form.
 *
 * Owns the reading of stored options.  The validator saw every value when it
 * was set; what depends on who owns the server now, or on other objects, is
 * decided here, each time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_table.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/rel.h"

#include "base/url.h"
#include "compat.h"
#include "option/option_internal.h"

/* The length goes first, so that ("ab", "c") and ("a", "bc") differ */
uint64
tpm_hash_text(uint64 hash, const char *text)
{
	uint64		len = strlen(text);

	hash = hash_bytes_extended((const unsigned char *) &len, sizeof(len), hash);
	return hash_bytes_extended((const unsigned char *) text, len, hash);
}

uint64
tpm_hash_options(uint64 hash, List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *elem = (DefElem *) lfirst(lc);

		hash = tpm_hash_text(hash, elem->defname);
		hash = tpm_hash_text(hash, defGetString(elem));
	}
	return tpm_hash_text(hash, "");
}

/* Secrets in clear over a network are an accident unless somebody says so */
static TpmProblem *
check_encrypted(const TpmServer *server, const char *option, const char *url)
{
	if (url == NULL || tpm_url_is_https(url) || server->opt.allow_http ||
		(server->owner_is_superuser && tpm_url_is_loopback(url)))
		return NULL;
	return tpm_problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("option \"%s\" of server \"%s\" is not https", option, server->name),
					   "Only a server owned by a superuser may use http to a loopback address.",
					   "Use an https URL, or let a superuser set \"allow_http\" to \"true\".");
}

/* token_url as stored may be relative */
static TpmProblem *
resolve_token_url(TpmServer *server)
{
	TpmOptions *opt = &server->opt;

	if (opt->token_url == NULL)
		return NULL;
	opt->token_url = tpm_url_resolve(psprintf("%s/", opt->base_url), opt->token_url);
	if (opt->token_url != NULL)
		return NULL;
	return tpm_problem(ERRCODE_INVALID_PARAMETER_VALUE,
					   psprintf("option \"token_url\" of server \"%s\" is not valid", server->name), NULL, NULL);
}

TpmProblem *
tpm_read_server(Oid serverid, TpmServer **result)
{
	ForeignServer *stored = GetForeignServer(serverid);
	TpmServer  *server = palloc0(sizeof(TpmServer));
	TpmProblem *problem;

	*result = server;
	server->serverid = serverid;
	server->name = pstrdup(stored->servername);
	server->owner = stored->owner;
	server->owner_is_superuser = superuser_arg(stored->owner);
	server->owner_reads_files = server->owner_is_superuser ||
		has_privs_of_role(stored->owner, ROLE_PG_READ_SERVER_FILES);

	tpm_option_presets(TPM_ON_SERVER, &server->opt);
	problem = tpm_option_apply(stored->options, TPM_ON_SERVER, &server->opt, &server->opt);
	if (problem == NULL && server->opt.base_url == NULL)
		problem = tpm_problem(ERRCODE_FDW_OPTION_NAME_NOT_FOUND,
							  psprintf("server \"%s\" has no option \"base_url\"", server->name), NULL, NULL);
	if (problem == NULL)
		problem = resolve_token_url(server);
	if (problem == NULL)
		problem = tpm_options_finish(&server->opt);
	if (problem == NULL)
		problem = check_encrypted(server, "base_url", server->opt.base_url);
	if (problem == NULL)
		problem = check_encrypted(server, "token_url", server->opt.token_url);
	if (problem)
		return problem;

	server->origin = tpm_url_origin(server->opt.base_url);
	server->options_hash = tpm_hash_options(0, stored->options);
	return NULL;
}

TpmServer *
tpm_get_server(Oid serverid)
{
	TpmServer  *server;

	tpm_problem_check(tpm_read_server(serverid, &server));
	return server;
}

/* is it a server of this wrapper? */
static bool
is_our_server(Oid serverid)
{
	Oid			handler = GetForeignDataWrapper(GetForeignServer(serverid)->fdwid)->fdwhandler;
	char	   *handler_name = OidIsValid(handler) ? get_func_name(handler) : NULL;

	return handler_name != NULL && strcmp(handler_name, "tpm_fdw_handler") == 0;
}

bool
tpm_is_our_table(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(relid));
	bool		ours = HeapTupleIsValid(tuple) &&
	is_our_server(((Form_pg_foreign_table) GETSTRUCT(tuple))->ftserver);

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return ours;
}

Oid
tpm_usable_server(const char *name)
{
	Oid			serverid = get_foreign_server_oid(name, false);

	if (!tpm_has_server_usage(serverid, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, name);
	if (!is_our_server(serverid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a server of tpm_fdw", name)));
	return serverid;
}

/* The last segment without a placeholder, or NULL */
static char *
type_of_resource(const char *resource)
{
	char	   *type = NULL;
	ListCell   *lc;

	foreach(lc, tpm_split(resource, '/'))
	{
		char	   *segment = strVal(lfirst(lc));

		if (segment[0] != '\0' && strchr(segment, '{') == NULL)
			type = segment;
	}
	return type;
}

static TpmProblem *
set_resource(TpmTable *table, const char *relname)
{
	if (table->resource == NULL)
	{
		const TpmOptionDef *def = tpm_option_find("resource", TPM_ON_TABLE);

		tpm_option_store(def, psprintf("/%s", relname), table);
	}
	if (table->type == NULL)
		table->type = type_of_resource(table->resource);
	if (table->type != NULL)
		return NULL;
	return tpm_problem(ERRCODE_FDW_OPTION_NAME_NOT_FOUND,
					   psprintf("foreign table \"%s\" needs the option \"type\"", table->name),
					   psprintf("Its resource \"%s\" has no segment to take it from.", table->resource), NULL);
}

/*
 * Where base_url ends and the resource begins is a matter of taste, and so are
 * the names of placeholders.
 */
static uint64
address_of(const TpmTable *table)
{
	const char *host = strstr(table->opt.base_url, "://") + 3;
	const char *path = strchr(host, '/');
	StringInfoData address;
	bool		in_name = false;

	initStringInfo(&address);
	appendStringInfo(&address, "%s%s", table->server->origin, path ? path : "");
	for (const char *c = table->resource; *c; c++)
	{
		if (*c == '}')
			in_name = false;
		if (!in_name)
			appendStringInfoChar(&address, *c);
		if (*c == '{')
			in_name = true;
	}
	return hash_bytes_extended((const unsigned char *) address.data, address.len, 0);
}

static TpmProblem *
check_required_filters(const TpmTable *table)
{
	ListCell   *lc;

	foreach(lc, table->required_filters)
	{
		const char *name = strVal(lfirst(lc));
		bool		found = false;

		for (int i = 0; i < table->natts && !found; i++)
			found = table->columns[i].kind != TPM_COL_NONE &&
				strcmp(table->columns[i].name, name) == 0;
		if (!found)
			return tpm_problem(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND,
							   psprintf("option \"required_filters\" of foreign table \"%s\" names no column: \"%s\"",
										table->name, name), NULL, NULL);
	}
	return NULL;
}

static TupleDesc
read_relation(TpmTable *table, char **relname)
{
	Relation	rel = table_open(table->relid, AccessShareLock);
	TupleDesc	tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(rel));

	*relname = pstrdup(RelationGetRelationName(rel));
	table->name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), *relname);
	table->owner = rel->rd_rel->relowner;
	table_close(rel, AccessShareLock);
	return tupdesc;
}

TpmProblem *
tpm_read_table(Oid relid, TpmTable **result)
{
	ForeignTable *stored = GetForeignTable(relid);
	TpmTable   *table = palloc0(sizeof(TpmTable));
	TpmServer  *server;
	TpmProblem *problem;
	char	   *relname;
	TupleDesc	tupdesc;

	*result = table;
	table->relid = relid;
	tupdesc = read_relation(table, &relname);
	problem = tpm_read_server(stored->serverid, &server);
	if (problem)
		return problem;
	table->server = server;
	table->opt = server->opt;

	tpm_option_presets(TPM_ON_TABLE, table);
	problem = tpm_option_apply(stored->options, TPM_ON_TABLE, table, &table->opt);
	if (problem == NULL)
		problem = tpm_options_finish(&table->opt);
	if (problem == NULL)
		problem = set_resource(table, relname);
	if (problem)
		return problem;
	table->address = address_of(table);

	table->options_hash = tpm_hash_options(server->options_hash, stored->options);
	table->options_hash = tpm_hash_text(table->options_hash, relname);
	problem = tpm_read_columns(table, tupdesc);
	return problem ? problem : check_required_filters(table);
}

TpmTable *
tpm_get_table(Oid relid)
{
	TpmTable   *table;

	tpm_problem_check(tpm_read_table(relid, &table));
	return table;
}

typedef struct NamedTable
{
	Oid			relid;
	char	   *name;
} NamedTable;

static int
compare_table_names(const ListCell *a, const ListCell *b)
{
	return strcmp(((NamedTable *) lfirst(a))->name, ((NamedTable *) lfirst(b))->name);
}

List *
tpm_tables_of_schema(Oid schema)
{
	Relation	catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	List	   *tables = NIL;
	List	   *relids = NIL;
	HeapTuple	tuple;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_table form = (Form_pg_foreign_table) GETSTRUCT(tuple);
		char	   *name = get_rel_namespace(form->ftrelid) == schema ? get_rel_name(form->ftrelid) : NULL;

		if (name && is_our_server(form->ftserver))
		{
			NamedTable *table = palloc(sizeof(NamedTable));

			table->relid = form->ftrelid;
			table->name = name;
			tables = lappend(tables, table);
		}
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	list_sort(tables, compare_table_names);
	foreach(lc, tables)
		relids = lappend_oid(relids, ((NamedTable *) lfirst(lc))->relid);
	return relids;
}

Oid
tpm_server_table(Oid serverid, const char *name)
{
	Relation	catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	Oid			found = InvalidOid;
	HeapTuple	tuple;

	while (!OidIsValid(found) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_table form = (Form_pg_foreign_table) GETSTRUCT(tuple);
		char	   *relname = form->ftserver == serverid ? get_rel_name(form->ftrelid) : NULL;

		if (relname != NULL && strcmp(relname, name) == 0)
			found = form->ftrelid;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}
