/*-------------------------------------------------------------------------
 *
 * option_validate.c
 *		The validator: what may be set, where, and by whom.
 *
 * Owns the errors about options.  What a good value is, is option_check.c's.
 *
 * Sees the resulting list of options, not the change (foreigncmds.c), so who
 * alters an object must be allowed to set all that it already has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/nearest.h"
#include "base/url.h"
#include "option/option_internal.h"

PG_FUNCTION_INFO_V1(tpm_fdw_validator);

typedef struct Context
{
	int			bit;
	Oid			catalog;
	const char *label;			/* in "goes into the ..." */
} Context;

static const Context contexts[] = {
	{TPM_ON_SERVER, ForeignServerRelationId, "server"},
	{TPM_ON_MAPPING, UserMappingRelationId, "user mapping"},
	{TPM_ON_TABLE, ForeignTableRelationId, "foreign table"},
	{TPM_ON_COLUMN, AttributeRelationId, "column"}
};

/* where the values of a check go; nobody reads them but the rules below */
typedef struct Scratch
{
	TpmOptions	opt;
	TpmTable	table;
	TpmColumn	column;
	TpmCredential cred;
} Scratch;

static int
context_of(Oid catalog)
{
	for (int i = 0; i < (int) lengthof(contexts); i++)
	{
		if (contexts[i].catalog == catalog)
			return contexts[i].bit;
	}
	return 0;
}

static const char *
elsewhere(const char *name)
{
	for (int i = 0; i < (int) lengthof(contexts); i++)
	{
		if (tpm_option_find(name, contexts[i].bit))
			return contexts[i].label;
	}
	return NULL;
}

static const char *
nearest_option(const char *name, int context)
{
	TpmNearest	nearest;
	const TpmOptionDef *def;

	tpm_nearest_begin(&nearest, name);
	for (int i = 0; (def = tpm_option_at(i)) != NULL; i++)
	{
		if (def->contexts & context)
			tpm_nearest_offer(&nearest, def->name);
	}
	return nearest.best;
}

static char *
options_of(int context)
{
	StringInfoData list;
	const TpmOptionDef *def;

	initStringInfo(&list);
	for (int i = 0; (def = tpm_option_at(i)) != NULL; i++)
	{
		if (def->contexts & context)
			appendStringInfo(&list, "%s%s", list.len ? ", " : "", def->name);
	}
	return list.data;
}

static void
unknown_option(const char *name, int context)
{
	const char *place = elsewhere(name);
	const char *nearest = nearest_option(name, context);

	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 place ? errhint("The option \"%s\" goes into the %s.", name, place) :
			 nearest ? errhint("Perhaps you meant the option \"%s\".", nearest) :
			 context ? errhint("Valid options in this context are: %s", options_of(context)) :
			 errhint("There are no valid options in this context.")));
}

static void *
target_of(Scratch *scratch, const TpmOptionDef *def)
{
	if (def->contexts & TPM_ON_SERVER)
		return &scratch->opt;
	if (def->contexts & TPM_ON_TABLE)
		return &scratch->table;
	if (def->contexts & TPM_ON_COLUMN)
		return &scratch->column;
	return &scratch->cred;
}

static void
check_may_set(const TpmOptionDef *def)
{
	if ((def->flags & TPM_OPT_FILE) && !superuser() &&
		!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", def->name),
				 errdetail("It makes the server read a file."),
				 errhint("Only superusers and members of pg_read_server_files may set it.")));
}

static void
check_option_list(List *options, int context, Scratch *scratch)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *elem = (DefElem *) lfirst(lc);
		const TpmOptionDef *def = tpm_option_find(elem->defname, context);

		if (def == NULL)
			unknown_option(elem->defname, context);
		tpm_option_store(def, defGetString(elem), target_of(scratch, def));
		check_may_set(def);
	}
}

static void
need_server_option(bool given, const char *name, const char *detail)
{
	if (!given)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("option \"%s\" is required", name),
				 errdetail("%s", detail)));
}

/* What a role that is no superuser may not make this server connect to */
static void
check_address(const char *option, const char *url, bool allow_http)
{
	if (url == NULL || superuser())
		return;
	if (tpm_url_is_loopback(url))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\" to a loopback address", option),
				 errhint("Only superusers may do so.")));
	if (!tpm_url_is_https(url) && !allow_http)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("option \"%s\" is not https", option),
				 errhint("Use an https URL, or let a superuser set \"allow_http\" to \"true\".")));
}

static void
check_token_url(const TpmOptions *opt)
{
	char	   *url;

	if (opt->token_url == NULL)
		return;
	url = tpm_url_resolve(psprintf("%s/", opt->base_url), opt->token_url);
	if (url == NULL)
		tpm_option_bad(tpm_option_find("token_url", TPM_ON_SERVER), opt->token_url,
					   "It is no URL, neither by itself nor relative to \"base_url\".");
	check_address("token_url", url, opt->allow_http);
}

static void
check_server(TpmOptions *opt)
{
	need_server_option(opt->base_url != NULL, "base_url",
					   "It is the URL that the paths of resources are appended to.");
	need_server_option(opt->token_url != NULL || opt->auth != TPM_AUTH_OAUTH2, "token_url",
					   "With \"auth\" \"oauth2\", which is the default, an access token is fetched there.");
	if (opt->allow_http && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"allow_http\""),
				 errhint("Only superusers may allow http.")));
	check_address("base_url", opt->base_url, opt->allow_http);
	check_token_url(opt);
	if (opt->proxy && tpm_url_is_loopback(opt->proxy))
		check_address("proxy", opt->proxy, true);
	if (opt->client_key && opt->client_cert == NULL)
		need_server_option(false, "client_cert", "\"client_key\" is of no use without it.");
	tpm_problem_check(tpm_options_finish(opt));
}

static void
check_mapping(const TpmCredential *cred)
{
	const char *first = cred->client_secret ? "client_secret" : "token";

	if ((cred->client_secret && cred->client_secret_file) || (cred->token && cred->token_file))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("options \"%s\" and \"%s_file\" exclude each other", first, first)));
}

/*
 * The list is checked as if it stood alone.  A table's update_check may lean
 * on its server's update_body, which is not known here: tpm_get_table() looks.
 */
Datum
tpm_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	int			context = context_of(PG_GETARG_OID(1));
	Scratch    *scratch = palloc0(sizeof(Scratch));

	/* only a server's rules look at values that were not given */
	if (context == TPM_ON_SERVER)
		tpm_option_presets(context, &scratch->opt);
	check_option_list(options, context, scratch);
	if (context == TPM_ON_SERVER)
		check_server(&scratch->opt);
	else if (context == TPM_ON_MAPPING)
		check_mapping(&scratch->cred);
	PG_RETURN_VOID();
}
