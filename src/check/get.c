/*-------------------------------------------------------------------------
 *
 * get.c
 *		tpm_fdw_get(): one raw GET as jsonb.
 *
 * Owns what its path may look like on the way into a URL.  Token, budget,
 * retries and errors are the client's; the answer is neither cached nor
 * looked at beyond being JSON.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/text.h"
#include "base/url.h"
#include "client/client.h"

PG_FUNCTION_INFO_V1(tpm_fdw_get);

/* the calls of one query count together, as the pages of one scan do */
static TpmStatement *
statement_of_query(FmgrInfo *flinfo)
{
	if (flinfo->fn_extra == NULL)
		flinfo->fn_extra = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(TpmStatement));
	return flinfo->fn_extra;
}

/* absolute, and certainly on the server's origin */
static char *
get_url(const TpmServer *server, char *path)
{
	const char *problem = tpm_url_path_problem(path);
	char	   *utf8 = (char *) pg_server_to_any(path, strlen(path), PG_UTF8);
	char	   *url = psprintf("%s%s", server->opt.base_url, tpm_url_quote(utf8));

	if (problem == NULL && strcmp(tpm_url_origin(url), server->origin) != 0)
		problem = "It leads to another host.";
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid path: \"%s\"", path),
				 errdetail("%s", problem),
				 errhint("The path is appended to base_url, as in \"/third_parties?page[size]=1\".")));
	return url;
}

Datum
tpm_fdw_get(PG_FUNCTION_ARGS)
{
	TpmServer  *server = tpm_get_server(tpm_usable_server(NameStr(*PG_GETARG_NAME(0))));
	char	   *url = get_url(server, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	char	   *name = tpm_call_name("GET", url);
	TpmSession *session = tpm_session_create(server, NULL, GetUserId(),
											 statement_of_query(fcinfo->flinfo));
	TpmAnswer  *answer = tpm_client_get(session, url, TPM_CALL_READ);

	if (answer->status < 200 || answer->status > 299)
		tpm_raise_status(session, name, answer);
	if (answer->len == 0)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(tpm_json_of_body(answer->body, answer->len, server->opt.invalid_characters,
									   name));
}
