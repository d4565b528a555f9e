/*-------------------------------------------------------------------------
 *
 * stat.c
 *		What users see of shared state: the functions behind the views, resets.
 *
 * Owns who may see which row.  Totals of a server are for everybody with USAGE
 * on it; rows of other roles are for pg_read_all_stats.  Names are looked up
 * when a view is read, so what has been dropped has none, and what is in
 * another database has its OID for a name.  Takes no lock: what it shows are
 * copies that the modules give out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "shared/budget/budget.h"
#include "shared/cache/cache.h"
#include "shared/counters.h"
#include "shared/rent.h"
#include "shared/shared.h"
#include "shared/token/token.h"

PG_FUNCTION_INFO_V1(tpm_fdw_rate_limits);
PG_FUNCTION_INFO_V1(tpm_fdw_tokens);
PG_FUNCTION_INFO_V1(tpm_fdw_cache);
PG_FUNCTION_INFO_V1(tpm_fdw_requests);
PG_FUNCTION_INFO_V1(tpm_fdw_progress);
PG_FUNCTION_INFO_V1(tpm_fdw_stats);
PG_FUNCTION_INFO_V1(tpm_fdw_reset_cache);
PG_FUNCTION_INFO_V1(tpm_fdw_reset_tokens);
PG_FUNCTION_INFO_V1(tpm_fdw_reset_rate_limits);
PG_FUNCTION_INFO_V1(tpm_fdw_reset_stats);

/* ----- a row in the making ----- */

#define TPM_MOST_COLUMNS 16

typedef struct ViewRow
{
	int			n;
	Datum		values[TPM_MOST_COLUMNS];
	bool		nulls[TPM_MOST_COLUMNS];
} ViewRow;

static void
add_view_value(ViewRow *row, Datum value, bool isnull)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = isnull;
}

static void
add_text(ViewRow *row, const char *value)
{
	add_view_value(row, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

/* "" is NULL */
static void
add_text_of_words(ViewRow *row, const char *value)
{
	add_text(row, value[0] != '\0' ? value : NULL);
}

/* words of another database may be in its encoding, which is not known */
static void
add_foreign_words(ViewRow *row, Oid dbid, const char *value)
{
	char	   *copy = pstrdup(value);

	if (dbid != MyDatabaseId && !pg_verifymbstr(copy, strlen(copy), true))
	{
		for (char *c = copy; *c; c++)
		{
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
		}
	}
	add_text_of_words(row, copy);
}

static void
add_object_name(ViewRow *row, const char *value)
{
	NameData   *name = palloc0(sizeof(NameData));

	if (value)
		namestrcpy(name, value);
	add_view_value(row, NameGetDatum(name), value == NULL);
}

static void
add_int(ViewRow *row, int value)
{
	add_view_value(row, Int32GetDatum(value), false);
}

static void
add_bigint(ViewRow *row, int64 value)
{
	add_view_value(row, Int64GetDatum(value), false);
}

static void
add_float(ViewRow *row, double value)
{
	add_view_value(row, Float8GetDatum(value), false);
}

/* 0 is NULL */
static void
add_time(ViewRow *row, TimestampTz value)
{
	add_view_value(row, TimestampTzGetDatum(value), value == 0);
}

/*
 * An OID means something in its own database only, and may be another thing's
 * in this one: servers and relations of other databases are NULL.
 */
static void
add_server(ViewRow *row, Oid dbid, Oid serverid)
{
	char	   *name = NULL;

	if (dbid == MyDatabaseId)
	{
		ForeignServer *server = GetForeignServerExtended(serverid, FSV_MISSING_OK);

		name = server ? server->servername : NULL;
	}
	add_object_name(row, name);
}

static void
add_role(ViewRow *row, Oid roleid)
{
	add_object_name(row, OidIsValid(roleid) ? GetUserNameFromId(roleid, true) : NULL);
}

static void
add_database(ViewRow *row, Oid dbid)
{
	add_object_name(row, get_database_name(dbid));
}

static void
add_relation(ViewRow *row, Oid dbid, Oid relid)
{
	char	   *name = NULL;

	if (dbid == MyDatabaseId)
	{
		name = get_rel_name(relid);
		if (name)
			name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
	}
	add_text(row, name);
}

static ReturnSetInfo *
begin_view(FunctionCallInfo fcinfo)
{
	tpm_shared_require();
	InitMaterializedSRF(fcinfo, 0);
	return (ReturnSetInfo *) fcinfo->resultinfo;
}

static void
put_row(ReturnSetInfo *result, ViewRow *row)
{
	CHECK_FOR_INTERRUPTS();
	tuplestore_putvalues(result->setResult, result->setDesc, row->values, row->nulls);
}

/* ----- rights ----- */

static bool
may_see_role(Oid roleid)
{
	return roleid == GetUserId() || has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

/* of a server that has been dropped nobody has USAGE any more, and asking is an error */
static bool
may_see_totals(Oid serverid)
{
	if (GetForeignServerExtended(serverid, FSV_MISSING_OK) == NULL)
		return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	return tpm_has_server_usage(serverid, GetUserId());
}

/* ----- views ----- */

/* 0 is none, which is NULL; less is a limit that nothing is left of */
static void
add_limit_value(ViewRow *row, int limit)
{
	add_view_value(row, Int32GetDatum(Max(limit, 0)), limit == 0);
}

Datum
tpm_fdw_rate_limits(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_view(fcinfo);
	TpmBudgetRow *rows;
	int			n = tpm_budget_rows(&rows);
	TimestampTz now = GetCurrentTimestamp();
	int64		now_us = tpm_monotonic_us();

	for (int i = 0; i < n; i++)
	{
		const TpmBudgetState *state = &rows[i].state;
		ViewRow		row = {0};

		if (!may_see_totals(rows[i].serverid))
			continue;
		add_server(&row, MyDatabaseId, rows[i].serverid);
		add_text(&row, rows[i].scope);
		add_limit_value(&row, state->limit_second);
		add_limit_value(&row, state->limit_hour);
		add_int(&row, state->used_second);
		add_int(&row, state->used_hour);
		add_int(&row, state->waiting);
		add_time(&row, state->next_slot);
		add_time(&row, state->paused_until_us > now_us ? now + (state->paused_until_us - now_us) : 0);
		add_time(&row, state->last_429);
		put_row(result, &row);
	}
	return (Datum) 0;
}

Datum
tpm_fdw_tokens(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_view(fcinfo);
	TpmTokenRow *rows;
	int			n = tpm_token_rows(&rows);

	for (int i = 0; i < n; i++)
	{
		ViewRow		row = {0};

		if (!may_see_role(rows[i].userid))
			continue;
		add_server(&row, MyDatabaseId, rows[i].serverid);
		add_role(&row, rows[i].userid);
		add_text_of_words(&row, rows[i].client_id);
		add_time(&row, rows[i].obtained);
		add_time(&row, rows[i].expires);
		add_bigint(&row, rows[i].refreshes);
		add_text_of_words(&row, rows[i].last_error);
		put_row(result, &row);
	}
	return (Datum) 0;
}

/* what has been spent on parts of a list stands in rows of its own: there need not be any list */
static void
put_rents(ReturnSetInfo *result)
{
	TpmRentRow *rents;
	int			n = tpm_rent_rows(&rents);

	for (int i = 0; i < n; i++)
	{
		const TpmRentKey *key = &rents[i].key;
		ViewRow		row = {0};

		if (!may_see_role(key->userid))
			continue;
		add_server(&row, rents[i].dbid, key->serverid);
		add_database(&row, rents[i].dbid);
		add_relation(&row, rents[i].dbid, key->relid);
		add_text(&row, NULL);
		add_view_value(&row, BoolGetDatum(false), false);
		add_bigint(&row, 0);
		add_bigint(&row, 0);
		add_int(&row, 0);
		add_time(&row, 0);
		add_time(&row, 0);
		add_bigint(&row, 0);
		add_bigint(&row, rents[i].spent);
		put_row(result, &row);
	}
}

Datum
tpm_fdw_cache(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_view(fcinfo);
	ListCell   *lc;

	foreach(lc, tpm_cache_list())
	{
		const TpmCacheInfo *info = lfirst(lc);
		ViewRow		row = {0};

		if (!may_see_role(info->userid))
			continue;
		add_server(&row, info->dbid, info->serverid);
		add_database(&row, info->dbid);
		add_relation(&row, info->dbid, info->relid);
		add_text(&row, info->conditions);
		add_view_value(&row, BoolGetDatum(info->complete), false);
		add_bigint(&row, info->rows);
		add_bigint(&row, info->bytes);
		add_int(&row, info->requests);
		add_time(&row, info->fetched);
		add_time(&row, info->expires);
		add_bigint(&row, info->hits);
		add_view_value(&row, (Datum) 0, true);
		put_row(result, &row);
	}
	put_rents(result);
	return (Datum) 0;
}

Datum
tpm_fdw_requests(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_view(fcinfo);
	TpmRequestRow *rows;
	int			n = tpm_requests_rows(&rows);

	for (int i = 0; i < n; i++)
	{
		const TpmRequestRow *r = &rows[i];
		ViewRow		row = {0};

		if (!may_see_role(r->roleid))
			continue;
		add_time(&row, r->at);
		add_int(&row, r->pid);
		add_role(&row, r->roleid);
		add_text(&row, r->application_name);
		add_server(&row, r->dbid, r->serverid);
		add_database(&row, r->dbid);
		add_relation(&row, r->dbid, r->relid);
		add_text(&row, r->method);
		add_text(&row, r->path);
		add_view_value(&row, Int32GetDatum(r->status), r->status == 0);
		add_foreign_words(&row, r->dbid, r->error);
		add_float(&row, r->ms);
		add_float(&row, r->waited_ms);
		add_bigint(&row, r->bytes_in);
		add_bigint(&row, r->bytes_out);
		add_int(&row, r->attempt);
		put_row(result, &row);
	}
	return (Datum) 0;
}

Datum
tpm_fdw_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_view(fcinfo);
	TpmProgressRow *rows;
	int			n = tpm_progress_rows(&rows);

	for (int i = 0; i < n; i++)
	{
		const TpmProgressRow *p = &rows[i];
		ViewRow		row = {0};

		if (!may_see_role(p->roleid))
			continue;
		add_int(&row, p->pid);
		add_role(&row, p->roleid);
		add_database(&row, p->dbid);
		add_relation(&row, p->dbid, p->relid);
		add_text(&row, p->operation);
		add_bigint(&row, p->requests_done);
		add_view_value(&row, Int64GetDatum(p->requests_expected), p->requests_expected == 0);
		add_bigint(&row, p->rows_done);
		add_time(&row, p->started);
		add_time(&row, p->expected_end);
		add_text_of_words(&row, p->waiting_for);
		put_row(result, &row);
	}
	return (Datum) 0;
}

Datum
tpm_fdw_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_view(fcinfo);
	TpmStatRow *rows;
	int			n = tpm_stat_rows(&rows);

	for (int i = 0; i < n; i++)
	{
		const TpmStatRow *s = &rows[i];
		ViewRow		row = {0};

		if (!may_see_role(s->roleid) || (OidIsValid(s->dbid) && s->dbid != MyDatabaseId))
			continue;
		add_server(&row, s->dbid, s->serverid);
		add_role(&row, s->roleid);
		add_text_of_words(&row, s->method);
		add_bigint(&row, s->requests);
		add_bigint(&row, s->cache_hits);
		add_bigint(&row, s->rows);
		add_bigint(&row, s->bytes_in);
		add_bigint(&row, s->retries);
		add_bigint(&row, s->status_429);
		add_bigint(&row, s->errors);
		add_float(&row, s->ms);
		add_float(&row, s->waited_ms);
		add_time(&row, s->since);
		put_row(result, &row);
	}
	return (Datum) 0;
}

/* ----- resets ----- */

/* the server named, InvalidOid for all */
static Oid
server_argument(FunctionCallInfo fcinfo)
{
	tpm_shared_require();
	if (PG_ARGISNULL(0))
		return InvalidOid;
	return GetForeignServerByName(NameStr(*PG_GETARG_NAME(0)), false)->serverid;
}

Datum
tpm_fdw_reset_cache(PG_FUNCTION_ARGS)
{
	Oid			serverid = server_argument(fcinfo);

	tpm_cache_reset(serverid);
	tpm_rent_reset(serverid);
	PG_RETURN_VOID();
}

Datum
tpm_fdw_reset_tokens(PG_FUNCTION_ARGS)
{
	tpm_token_reset(server_argument(fcinfo));
	PG_RETURN_VOID();
}

Datum
tpm_fdw_reset_rate_limits(PG_FUNCTION_ARGS)
{
	tpm_budget_reset(server_argument(fcinfo));
	PG_RETURN_VOID();
}

Datum
tpm_fdw_reset_stats(PG_FUNCTION_ARGS)
{
	tpm_stat_reset();
	PG_RETURN_VOID();
}
