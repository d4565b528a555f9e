/*-------------------------------------------------------------------------
 *
 * credential.c
 *		User mappings, and the files that options name.
 *
 * Owns the rule of files: whoever owns the server decides where a file's
 * content is sent, so it is the server's owner who must be allowed to read
 * files of the server, at the moment of use.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_authid.h"
#include "catalog/pg_user_mapping.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "option/option_internal.h"

#define MAX_SECRET_SIZE	(64 * 1024)

/* a bundle of certificates is larger than a secret */
#define MAX_FILE_SIZE	(4 * 1024 * 1024)

static TpmProblem *
file_refused(const char *option, const char *path, const char *reason)
{
	bool		shown = (tpm_option_find(option, TPM_ON_MAPPING) == NULL);

	return tpm_problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
					   shown ? psprintf("cannot use the file \"%s\" of option \"%s\"", path, option)
					   : psprintf("cannot use the file of option \"%s\"", option),
					   reason, NULL);
}

/* NULL: its files may be read */
static TpmProblem *
check_file_owner(const TpmServer *server, const char *option)
{
	if (server->owner_reads_files)
		return NULL;
	return tpm_problem(ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("option \"%s\" of server \"%s\" names a file that may not be read", option, server->name),
					   "The owner of the server is neither a superuser nor a member of pg_read_server_files.",
					   psprintf("Let a superuser own the server: ALTER SERVER %s OWNER TO ...", server->name));
}

static bool
is_secret_file(const char *option)
{
	const TpmOptionDef *def = tpm_option_find(option, TPM_ON_MAPPING);

	if (def == NULL)
		def = tpm_option_find(option, TPM_ON_SERVER);
	return def != NULL && (def->flags & TPM_OPT_SECRET);
}

/* A FIFO would block for ever, and a link could lead anywhere */
static const char *
problem_of_file(const char *option, int fd, int64 max_size)
{
	struct stat st;
	bool		secret = is_secret_file(option);

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return "It is not a regular file.";
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return "It must belong to the operating system user that runs PostgreSQL, or to root.";
	if (secret && (st.st_mode & (S_IRWXG | S_IRWXO)))
		return "Group or others have access to it; it should have the mode 0600.";
	if (st.st_size > (secret ? MAX_SECRET_SIZE : max_size))
		return "It is too large.";
	return NULL;
}

/* -1: *problem says why */
static int
open_credential_file(const char *option, const char *path, int64 max_size, TpmProblem **problem)
{
	int			fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | PG_BINARY);
	const char *reason;

	if (fd < 0)
	{
		int			error = errno;

		*problem = file_refused(option, path, error == ELOOP ? "It is a symbolic link."
								: psprintf("It cannot be opened: %s.", strerror(error)));
		return -1;
	}
	reason = problem_of_file(option, fd, max_size);
	if (reason == NULL)
		return fd;
	CloseTransientFile(fd);
	*problem = file_refused(option, path, reason);
	return -1;
}

TpmProblem *
tpm_check_file_option(const TpmServer *server, const char *option, const char *path)
{
	TpmProblem *problem = check_file_owner(server, option);
	int			fd = problem ? -1 : open_credential_file(option, path, MAX_FILE_SIZE, &problem);

	if (fd >= 0)
		CloseTransientFile(fd);
	return problem;
}

static int
read_all(int fd, char *buffer, int size)
{
	int			total = 0;
	ssize_t		n;

	while (total < size && (n = read(fd, buffer + total, size - total)) != 0)
	{
		if (n > 0)
			total += n;
		else if (errno != EINTR)
			return -1;
	}
	return total;
}

/* NULL: *problem says why */
static char *
read_secret_file(const TpmServer *server, const char *option, const char *path, TpmProblem **problem)
{
	char	   *content;
	int			fd;
	int			len;

	*problem = check_file_owner(server, option);
	if (*problem)
		return NULL;
	fd = open_credential_file(option, path, MAX_SECRET_SIZE, problem);
	if (fd < 0)
		return NULL;
	content = palloc(MAX_SECRET_SIZE + 1);
	len = read_all(fd, content, MAX_SECRET_SIZE);
	CloseTransientFile(fd);
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		len--;
	if (len <= 0)
		*problem = file_refused(option, path, "It is empty, or cannot be read.");
	for (int i = 0; i < len && *problem == NULL; i++)
	{
		if ((unsigned char) content[i] < ' ' || content[i] == 0x7f)
			*problem = file_refused(option, path, "It holds more than one line, or control characters.");
	}
	content[Max(len, 0)] = '\0';
	return *problem ? NULL : content;
}

char *
tpm_read_file(const char *option, const char *path, int64 max_size, size_t *len)
{
	TpmProblem *problem = NULL;
	struct stat st;
	char	   *content;
	int			fd;
	int			got;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to read the file of option \"%s\"", option),
				 errdetail("Only superusers and members of pg_read_server_files may read files of the server.")));
	fd = open_credential_file(option, path, max_size, &problem);
	tpm_problem_check(problem);
	if (fstat(fd, &st) != 0)
		tpm_problem_raise(file_refused(option, path, "It cannot be read."));
	content = palloc_extended(st.st_size + 1, MCXT_ALLOC_HUGE);
	got = read_all(fd, content, st.st_size);
	CloseTransientFile(fd);
	if (got < 0)
		tpm_problem_raise(file_refused(option, path, "It cannot be read."));
	content[got] = '\0';
	*len = got;
	return content;
}

char *
tpm_credential_secret(const TpmServer *server, const TpmCredential *cred, TpmProblem **problem)
{
	if (cred->client_secret_file)
		return read_secret_file(server, "client_secret_file", cred->client_secret_file, problem);
	return pstrdup(cred->client_secret);
}

char *
tpm_credential_token(const TpmServer *server, const TpmCredential *cred, TpmProblem **problem)
{
	if (cred->token_file)
		return read_secret_file(server, "token_file", cred->token_file, problem);
	return pstrdup(cred->token);
}

static void
need_option(const TpmServer *server, const TpmCredential *cred, bool given, const char *options)
{
	if (given)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
			 errmsg("user mapping of \"%s\" for server \"%s\" lacks %s",
					GetUserNameFromId(cred->userid, false), server->name, options),
			 errhint("Set it with ALTER USER MAPPING ... OPTIONS (ADD ...).")));
}

/* What GetUserMapping would find, without its error */
static bool
has_mapping(Oid userid, Oid serverid)
{
	return SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
								 ObjectIdGetDatum(serverid)) ||
		SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
							  ObjectIdGetDatum(serverid));
}

TpmCredential *
tpm_get_credential(const TpmServer *server, Oid userid)
{
	TpmCredential *cred = palloc0(sizeof(TpmCredential));
	UserMapping *mapping;

	cred->userid = userid;
	if (server->opt.auth == TPM_AUTH_NONE && !has_mapping(userid, server->serverid))
		return cred;

	mapping = GetUserMapping(userid, server->serverid);
	cred->umid = mapping->umid;
	tpm_problem_check(tpm_option_apply(mapping->options, TPM_ON_MAPPING, cred, NULL));
	if (server->opt.auth == TPM_AUTH_OAUTH2)
	{
		need_option(server, cred, cred->client_id != NULL, "\"client_id\"");
		need_option(server, cred, cred->client_secret || cred->client_secret_file,
					"\"client_secret\" or \"client_secret_file\"");
	}
	else if (server->opt.auth == TPM_AUTH_BEARER)
		need_option(server, cred, cred->token || cred->token_file, "\"token\" or \"token_file\"");
	return cred;
}
