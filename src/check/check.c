/*-------------------------------------------------------------------------
 *
 * check.c
 *		tpm_fdw_check: the functions, their rows, and steps that may fail.
 *
 * Owns who may call them: USAGE on the server, with the caller's own user
 * mapping.  A step that fails is a row, so each runs in a subtransaction.
 * Requests are those of a check: they may use the last of the hour.  Holds no
 * lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_foreign_table.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "check/check.h"
#include "compat.h"
#include "shared/shared.h"

PG_FUNCTION_INFO_V1(tpm_fdw_check_server);
PG_FUNCTION_INFO_V1(tpm_fdw_check_schema);

/* ----- rows ----- */

void
tpm_report(TpmReport *report, const char *step, TpmStep ok, const char *detail, const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false, ok == TPM_STEP_NOT_TRIED, detail == NULL, hint == NULL};
	char	   *name = report->prefix ? psprintf("%s: %s", report->prefix, step) : pstrdup(step);

	values[0] = CStringGetTextDatum(name);
	values[1] = BoolGetDatum(ok == TPM_STEP_OK);
	values[2] = detail ? CStringGetTextDatum(detail) : (Datum) 0;
	values[3] = hint ? CStringGetTextDatum(hint) : (Datum) 0;
	tuplestore_putvalues(report->result->setResult, report->result->setDesc, values, nulls);
}

void
tpm_report_error(TpmReport *report, const char *step, const ErrorData *error, const char *hint)
{
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfoString(&detail, error->message);
	if (error->detail)
		appendStringInfo(&detail, ": %s", error->detail);
	if (error->context && strstr(error->context, "column"))
		appendStringInfo(&detail, " (%s)", error->context);
	tpm_report(report, step, TPM_STEP_FAILED, detail.data, error->hint ? error->hint : hint);
}

/* ----- tables ----- */

static int
compare_names(const ListCell *a, const ListCell *b)
{
	char	   *one = get_rel_name(lfirst_oid(a));
	char	   *other = get_rel_name(lfirst_oid(b));

	/* somebody may have dropped it since it was found */
	return strcmp(one ? one : "", other ? other : "");
}

List *
tpm_check_tables(Oid serverid, Oid namespace)
{
	Relation	catalog = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	List	   *tables = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_table form = (Form_pg_foreign_table) GETSTRUCT(tuple);

		if (form->ftserver == serverid && get_rel_name(form->ftrelid) != NULL &&
			(!OidIsValid(namespace) || get_rel_namespace(form->ftrelid) == namespace))
			tables = lappend_oid(tables, form->ftrelid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	list_sort(tables, compare_names);
	return tables;
}

bool
tpm_check_can_list(const TpmTable *table)
{
	return (table->ops & TPM_OP_READ) && !tpm_request_path_has_columns(table) &&
		table->required_filters == NIL;
}

/* ----- a schema ----- */

typedef struct SchemaTable
{
	TpmReport  *report;
	Oid			relid;
	TpmTable   *table;
} SchemaTable;

static void
read_table(void *arg)
{
	SchemaTable *item = arg;

	item->table = tpm_get_table(item->relid);
}

static void
check_table(void *arg)
{
	SchemaTable *item = arg;
	Relation	rel = relation_open(item->relid, AccessShareLock);
	TpmTableCheck check = {
		.report = item->report,
		.table = item->table,
		.tupdesc = CreateTupleDescCopy(RelationGetDescr(rel)),
		.left = TPM_CHECK_REQUESTS,
	};

	/* no waiting for the next minute */
	if (item->table->endpoint_per_minute > 0)
		check.left = Min(check.left, item->table->endpoint_per_minute);

	relation_close(rel, AccessShareLock);
	check.session = tpm_session_create(item->table->server, item->table, GetUserId(), NULL);
	check.session->progress = tpm_progress_start(item->relid, "check");
	tpm_check_table(&check);
}

/* a reason for which the tables that follow cannot be tried either */
static bool
ends_all(const TpmTable *table, const ErrorData *error)
{
	bool		own_limit = table->endpoint_per_second || table->endpoint_per_minute ||
	table->endpoint_per_hour;

	return (error->sqlerrcode == ERRCODE_CONFIGURATION_LIMIT_EXCEEDED && !own_limit) ||
		error->sqlerrcode == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION ||
		error->sqlerrcode == ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION ||
		error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
}

static void
announce(const TpmServer *server, const char *schema, List *tables)
{
	int			least = 0;
	int			most = 0;
	ListCell   *lc;

	foreach(lc, tables)
	{
		SchemaTable *item = lfirst(lc);

		if (item->table == NULL || !tpm_check_can_list(item->table))
			continue;
		least++;
		most += tpm_check_cost(item->table);
	}
	ereport(NOTICE,
			(errmsg("checking %d foreign tables of schema \"%s\" with %d to %d requests",
					list_length(tables), schema, least, most),
			 errdetail("Server \"%s\" allows %d requests an hour.", server->name,
					   server->opt.rate_limit_per_hour)));
}

static List *
read_tables(TpmReport *report, const TpmServer *server, Oid namespace)
{
	List	   *items = NIL;
	ListCell   *lc;

	foreach(lc, tpm_check_tables(server->serverid, namespace))
	{
		SchemaTable *item = palloc0(sizeof(SchemaTable));
		ErrorData  *error;

		item->report = report;
		item->relid = lfirst_oid(lc);
		report->prefix = get_rel_name(item->relid);
		if (!tpm_attempt(read_table, item, &error))
		{
			item->table = NULL;
			tpm_report_error(report, "options", error, NULL);
		}
		items = lappend(items, item);
	}
	return items;
}

static void
check_schema(TpmReport *report, const TpmServer *server, const char *schema)
{
	List	   *items = read_tables(report, server, LookupExplicitNamespace(schema, false));
	const char *stopped = NULL;
	ListCell   *lc;

	if (items == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("schema \"%s\" has no foreign table of server \"%s\"", schema, server->name),
				 errhint("IMPORT FOREIGN SCHEMA makes them.")));
	announce(server, schema, items);
	foreach(lc, items)
	{
		SchemaTable *item = lfirst(lc);
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw table",
													  ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(context);
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		report->prefix = get_rel_name(item->relid);
		if (item->table && stopped)
			tpm_report(report, "path", TPM_STEP_NOT_TRIED, psprintf("not tried: %s", stopped), NULL);
		else if (item->table && !tpm_attempt(check_table, item, &error))
		{
			tpm_report_error(report, "path", error, NULL);
			if (ends_all(item->table, error))
				stopped = MemoryContextStrdup(old, error->message);
		}
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
	}
}

/* ----- the functions ----- */

static TpmReport
begin(FunctionCallInfo fcinfo)
{
	TpmReport	report = {0};

	tpm_shared_require();
	InitMaterializedSRF(fcinfo, 0);
	report.result = (ReturnSetInfo *) fcinfo->resultinfo;
	return report;
}

Datum
tpm_fdw_check_server(PG_FUNCTION_ARGS)
{
	const char *server = NameStr(*PG_GETARG_NAME(0));
	TpmReport	report;

	tpm_usable_server(server);
	report = begin(fcinfo);
	tpm_check_server(&report, server);
	return (Datum) 0;
}

Datum
tpm_fdw_check_schema(PG_FUNCTION_ARGS)
{
	Oid			serverid = tpm_usable_server(NameStr(*PG_GETARG_NAME(0)));
	TpmReport	report = begin(fcinfo);

	check_schema(&report, tpm_get_server(serverid), NameStr(*PG_GETARG_NAME(1)));
	return (Datum) 0;
}
