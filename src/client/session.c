/*-------------------------------------------------------------------------
 *
 * session.c
 *		Statements, and a scan's or a modification's dealings with the API.
 *
 * Owns what a statement has sent so far, and the names under which a session
 * draws on budget and token.  Holds no lock and sends nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/idset.h"
#include "client/client_internal.h"

static dlist_head statements = DLIST_STATIC_INIT(statements);

/* changes of any server that this backend has heard of */
static uint64 server_version = 0;

TpmStatement *
tpm_statement_of(EState *estate)
{
	TpmStatement *statement;
	dlist_iter	iter;

	dlist_foreach(iter, &statements)
	{
		statement = dlist_container(TpmStatement, node, iter.cur);
		if (statement->estate == estate)
			return statement;
	}
	statement = MemoryContextAllocZero(estate->es_query_cxt, sizeof(TpmStatement));
	statement->estate = estate;
	tpm_backend_list_add(&statements, &statement->node, estate->es_query_cxt);
	return statement;
}

void
tpm_statement_creates(TpmStatement *statement, uint64 address, uint64 id)
{
	MemoryContext old = MemoryContextSwitchTo(statement->estate->es_query_cxt);

	if (statement->created == NULL)
		statement->created = tpm_idset_create(64);
	tpm_idset_add(statement->created, hash_combine64(address, id));
	MemoryContextSwitchTo(old);
}

bool
tpm_statement_has_created(const TpmStatement *statement, uint64 address, uint64 id)
{
	return statement->created && tpm_idset_has(statement->created, hash_combine64(address, id));
}

static void
server_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	server_version++;
}

/*
 * A statement may wait or read for long, so ALTER SERVER reaches its limits
 * without its end.
 */
bool
tpm_session_refresh_limits(TpmSession *session, TpmProblem **problem)
{
	TpmServer  *server;

	AcceptInvalidationMessages();
	if (session->budget_version == server_version)
		return false;
	*problem = tpm_read_server(session->server->serverid, &server);
	if (*problem)
		return false;
	session->budget_version = server_version;
	session->budget.limits.per_second = server->opt.rate_limit_per_second;
	session->budget.limits.per_minute = server->opt.rate_limit_per_minute;
	session->budget.limits.per_hour = server->opt.rate_limit_per_hour;
	return true;
}

/* names the budget; nothing in it is derived from a secret that could be guessed */
static void
name_budget(TpmSession *session)
{
	const TpmServer *server = session->server;
	TpmBudgetKey *key = &session->budget;

	key->serverid = server->serverid;
	key->limits.per_second = server->opt.rate_limit_per_second;
	key->limits.per_minute = server->opt.rate_limit_per_minute;
	key->limits.per_hour = server->opt.rate_limit_per_hour;
	key->scope = "credential";
	if (server->opt.rate_limit_group)
	{
		key->scope = "group";
		key->group = server->opt.rate_limit_group;
	}
	else if (server->opt.auth == TPM_AUTH_OAUTH2)
		key->group = psprintf("%s %s", server->origin, session->credential->client_id);
	else if (server->opt.auth == TPM_AUTH_BEARER)
		key->group = psprintf("%s token " UINT64_FORMAT, server->origin, session->token.hash);
	else
		key->group = psprintf("%s server %u/%u", server->origin, MyDatabaseId, server->serverid);
	if (session->table &&
		(session->table->endpoint_per_second || session->table->endpoint_per_minute ||
		 session->table->endpoint_per_hour))
	{
		key->endpoint = session->table->resource;
		key->endpoint_limits.per_second = session->table->endpoint_per_second;
		key->endpoint_limits.per_minute = session->table->endpoint_per_minute;
		key->endpoint_limits.per_hour = session->table->endpoint_per_hour;
	}
}

static void
name_token(TpmSession *session)
{
	const TpmServer *server = session->server;
	const TpmCredential *credential = session->credential;
	const char *parts[] = {
		server->opt.base_url, server->opt.token_url, credential->client_id,
		credential->client_secret, credential->client_secret_file, credential->token,
		credential->token_file, credential->headers, server->opt.scope, server->opt.audience,
		server->opt.token_parameters
	};
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		/* lengths in front: no two lists of parts read the same */
		appendStringInfo(&all, "%d:", parts[i] ? (int) strlen(parts[i]) : -1);
		appendStringInfoString(&all, parts[i] ? parts[i] : "");
	}
	session->token.hash = tpm_keyed_hash(all.data, all.len);
	explicit_bzero(all.data, all.len);
	session->token.serverid = server->serverid;
	session->token.userid = credential->userid;
	strlcpy(session->token.client_id, credential->client_id ? credential->client_id : "",
			sizeof(session->token.client_id));
}

TpmSession *
tpm_session_create(const TpmServer *server, const TpmTable *table, Oid userid,
				   TpmStatement *statement)
{
	static bool callback_registered = false;
	TpmSession *session = palloc0(sizeof(TpmSession));

	tpm_shared_require();
	if (!callback_registered)
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_changed, (Datum) 0);
	callback_registered = true;
	session->budget_version = server_version;
	session->server = server;
	session->table = table;
	session->opt = table ? &table->opt : &server->opt;
	session->credential = tpm_get_credential(server, userid);
	session->statement = statement ? statement : palloc0(sizeof(TpmStatement));
	name_token(session);
	name_budget(session);
	return session;
}
