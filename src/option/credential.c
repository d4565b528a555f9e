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

static void
file_refused(const char *option, const char *path, const char *reason)
{
	bool		shown = (tpm_option_find(option, TPM_ON_MAPPING) == NULL);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 shown ? errmsg("cannot use the file \"%s\" of option \"%s\"", path, option)
			 : errmsg("cannot use the file of option \"%s\"", option),
			 errdetail("%s", reason)));
}

static void
check_file_owner(const TpmServer *server, const char *option)
{
	if (server->owner_reads_files)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("option \"%s\" of server \"%s\" names a file that may not be read", option, server->name),
			 errdetail("The owner of the server is neither a superuser nor a member of pg_read_server_files."),
			 errhint("Let a superuser own the server: ALTER SERVER %s OWNER TO ...", server->name)));
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

static int
open_credential_file(const char *option, const char *path, int64 max_size)
{
	int			fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | PG_BINARY);
	const char *problem;

	if (fd < 0)
	{
		int			reason = errno;

		if (reason == ELOOP)
			file_refused(option, path, "It is a symbolic link.");
		file_refused(option, path, psprintf("It cannot be opened: %s.", strerror(reason)));
	}
	problem = problem_of_file(option, fd, max_size);
	if (problem)
	{
		/* a page that is asked for ahead may fail and never be missed */
		CloseTransientFile(fd);
		file_refused(option, path, problem);
	}
	return fd;
}

void
tpm_check_file_option(const TpmServer *server, const char *option, const char *path)
{
	check_file_owner(server, option);
	CloseTransientFile(open_credential_file(option, path, MAX_FILE_SIZE));
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

static char *
read_secret_file(const TpmServer *server, const char *option, const char *path)
{
	char	   *content = palloc(MAX_SECRET_SIZE + 1);
	int			fd;
	int			len;

	check_file_owner(server, option);
	fd = open_credential_file(option, path, MAX_SECRET_SIZE);
	len = read_all(fd, content, MAX_SECRET_SIZE);
	CloseTransientFile(fd);
	while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r'))
		len--;
	if (len <= 0)
		file_refused(option, path, "It is empty, or cannot be read.");
	content[len] = '\0';
	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) content[i] < ' ' || content[i] == 0x7f)
			file_refused(option, path, "It holds more than one line, or control characters.");
	}
	return content;
}

char *
tpm_read_file(const char *option, const char *path, int64 max_size, size_t *len)
{
	struct stat st;
	char	   *content;
	int			fd;
	int			got;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to read the file of option \"%s\"", option),
				 errdetail("Only superusers and members of pg_read_server_files may read files of the server.")));
	fd = open_credential_file(option, path, max_size);
	if (fstat(fd, &st) != 0)
	{
		CloseTransientFile(fd);
		file_refused(option, path, "It cannot be read.");
	}
	content = palloc_extended(st.st_size + 1, MCXT_ALLOC_HUGE);
	got = read_all(fd, content, st.st_size);
	CloseTransientFile(fd);
	if (got < 0)
		file_refused(option, path, "It cannot be read.");
	content[got] = '\0';
	*len = got;
	return content;
}

char *
tpm_credential_secret(const TpmServer *server, const TpmCredential *cred)
{
	if (cred->client_secret_file)
		return read_secret_file(server, "client_secret_file", cred->client_secret_file);
	return pstrdup(cred->client_secret);
}

char *
tpm_credential_token(const TpmServer *server, const TpmCredential *cred)
{
	if (cred->token_file)
		return read_secret_file(server, "token_file", cred->token_file);
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
	tpm_option_apply(mapping->options, TPM_ON_MAPPING, cred, NULL);
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
