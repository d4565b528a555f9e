/*-------------------------------------------------------------------------
 *
 * openapi_load.c
 *		The text of an OpenAPI document: from a file or from the API.
 *
 * Owns where a document may come from.  Whoever has USAGE on a server may
 * name one, so a URL must be on the server's own origin (the token goes
 * nowhere else, and nobody reaches hosts that the server cannot), and a file
 * takes the right to read files of the server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "base/text.h"
#include "base/url.h"
#include "client/client.h"
#include "import/openapi/openapi_internal.h"

#define FILE_SCHEME "file://"

static bool
may_read_files(void)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES);
}

/*
 * "/openapi.json" may be a file or a path of the API.  Only who may read files
 * gets to know which files there are.
 */
static const char *
file_of(const char *document)
{
	struct stat st;

	if (strncmp(document, FILE_SCHEME "/", strlen(FILE_SCHEME "/")) == 0)
		return document + strlen(FILE_SCHEME);
	if (document[0] == '/' && document[1] != '/' && may_read_files() && lstat(document, &st) == 0)
		return document;
	return NULL;
}

/* Absolute, on our origin */
static char *
document_url(const TpmServer *server, const char *document)
{
	char	   *url = tpm_url_resolve(psprintf("%s/", server->opt.base_url), document);

	if (url == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"document\": \"%s\"", document),
				 errdetail("It is neither a URL nor the absolute path of a file that may be read.")));
	if (strcmp(tpm_url_origin(url), server->origin) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("document \"%s\" is on another origin than server \"%s\"", document, server->name),
				 errdetail("The server's origin is %s.", server->origin),
				 errhint("Save it as a file that PostgreSQL can read, and name the file.")));
	return url;
}

static void
raise_not_found(const TpmServer *server, const char *document, const char *url)
{
	bool		perhaps_file = document[0] == '/';

	ereport(ERROR,
			(errcode(perhaps_file && !may_read_files() ? ERRCODE_INSUFFICIENT_PRIVILEGE : ERRCODE_FDW_TABLE_NOT_FOUND),
			 errmsg("document \"%s\" was not found", document),
			 errdetail("There is nothing at %s.", url),
			 perhaps_file && !may_read_files()
			 ? errhint("If it is a file: only superusers and members of pg_read_server_files may read files of the server.")
			 : errhint("A URL may be relative to base_url, \"%s\"; a file is named by its absolute path.",
					   server->opt.base_url)));
}

static char *
read_url(const TpmServer *server, const char *document, const char *url, size_t *len)
{
	TpmSession *session = tpm_session_create(server, NULL, GetUserId(), NULL);
	List	   *headers = list_make1("Accept: application/json, application/yaml;q=0.9, */*;q=0.5");
	TpmCall    *call = tpm_call_start(session, "GET", url, NULL, headers, TPM_CALL_READ);
	TpmAnswer  *answer;

	tpm_call_wait(call);
	answer = tpm_call_answer(call);
	if (answer->status == 404)
		raise_not_found(server, document, url);
	if (answer->status / 100 != 2)
		tpm_raise_status(session, tpm_call_name("GET", url), answer);
	*len = answer->len;
	return answer->body;
}

/* JSON begins with a brace; YAML that does so is too rare to look for */
static bool
is_json(const char *text)
{
	if (strncmp(text, "\xEF\xBB\xBF", 3) == 0)
		text += 3;
	return text[strspn(text, " \t\r\n")] == '{';
}

static const TpmNode *
parse_description(const TpmServer *server, const char *document, char *text, size_t len)
{
	if (strncmp(text, "\xEF\xBB\xBF", 3) == 0)
	{
		text += 3;
		len -= 3;
	}
	if (is_json(text))
	{
		text = tpm_text_of_body(text, &len, server->opt.invalid_characters, document);
		return tpm_tree_json(document, text, len);
	}
	return tpm_tree_yaml(document, text, len);
}

const TpmNode *
tpm_openapi_load(const TpmServer *server, const char *document)
{
	const char *file = file_of(document);
	size_t		len;
	char	   *text;

	if (file)
		text = tpm_read_file("document", file, server->opt.max_response_size, &len);
	else
		text = read_url(server, document, document_url(server, document), &len);
	return parse_description(server, document, text, len);
}
