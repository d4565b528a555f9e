/*-------------------------------------------------------------------------
 *
 * transport.c
 *		HTTP transfers by libcurl.
 *
 * Owns the backend's multi handle, its connections, the pool of easy handles, the
 * memory of an answer until its transfer ends, and the list of addresses that a
 * server of an unprivileged owner must not reach (who is unprivileged is
 * option.c's to say).  Knows nothing of tokens, budgets, retries or documents.
 * The only file that includes curl.h; the event loop is wait.c's.
 *
 * libcurl calls back into this file: no callback throws, palloc's or waits, and
 * what arrives is malloc's.  What a callback has to say is left in the transfer
 * and raised by the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "base/url.h"
#include "client/transport_internal.h"
#include "option/option.h"
#include "shared/shared.h"
#include "tpm_fdw.h"

/* more header bytes than any honest server sends */
#define TPM_MAX_HEADER_BYTES	(256 * 1024)

/* handles kept for later transfers; each keeps its TLS sessions */
#define TPM_IDLE_HANDLES		8

/* and how long what certificates to trust is not read again */
#define TPM_CERTIFICATES_KEPT_S	60L

/* connections kept open between statements */
#define TPM_IDLE_CONNECTIONS	8

/* ----- addresses ----- */

/* addresses that a server of an unprivileged owner must not reach */
static bool
address_is_private(const struct sockaddr *addr)
{
	if (addr->sa_family == AF_INET)
	{
		uint32		ip = ntohl(((const struct sockaddr_in *) addr)->sin_addr.s_addr);

		return (ip >> 24) == 127 || (ip >> 24) == 0 || (ip >> 16) == 0xA9FE || (ip >> 28) >= 0xE;
	}
	if (addr->sa_family == AF_INET6)
	{
		const struct in6_addr *ip = &((const struct sockaddr_in6 *) addr)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(ip))
		{
			struct sockaddr_in v4 = {.sin_family = AF_INET};

			memcpy(&v4.sin_addr, &ip->s6_addr[12], 4);
			return address_is_private((struct sockaddr *) &v4);
		}
		return IN6_IS_ADDR_LOOPBACK(ip) || IN6_IS_ADDR_UNSPECIFIED(ip) ||
			IN6_IS_ADDR_LINKLOCAL(ip) || IN6_IS_ADDR_MULTICAST(ip);
	}
	return true;
}

/* transport.c */
static bool
text_address_is_private(const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return address_is_private((struct sockaddr *) &v4);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		return address_is_private((struct sockaddr *) &v6);
	return true;
}

static void
address_text(const struct sockaddr *addr, char *text, size_t size)
{
	const void *ip = addr->sa_family == AF_INET
	? (const void *) &((const struct sockaddr_in *) addr)->sin_addr
	: (const void *) &((const struct sockaddr_in6 *) addr)->sin6_addr;

	if (inet_ntop(addr->sa_family, ip, text, size) == NULL)
		text[0] = '\0';
}

/* ----- headers of an answer ----- */

/* the value of a header line, malloc'd and trimmed, if it is the named one */
static bool
keep_header(const char *line, size_t len, const char *name, char **value)
{
	size_t		name_len = strlen(name);

	if (len <= name_len || line[name_len] != ':' || pg_strncasecmp(line, name, name_len) != 0)
		return false;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	free(*value);
	*value = strndup(line, len);
	return true;
}

/* several fields of one name are one list (RFC 9110, section 5.3) */
static void
append_field(char **list, char *one)
{
	size_t		before = *list ? strlen(*list) : 0;
	size_t		len = one ? strlen(one) : 0;
	char	   *both = before > 0 && len > 0 ? realloc(*list, before + len + 3) : NULL;

	if (both)
	{
		snprintf(both + before, len + 3, ", %s", one);
		*list = both;
		free(one);
	}
	else if (before == 0)
	{
		free(*list);
		*list = one;
	}
	else
		free(one);
}

/* transport.c */
static void
answer_forget_headers(TpmTransfer *pub)
{
	free(pub->content_type);
	free(pub->etag);
	free(pub->location);
	free(pub->retry_after);
	free(pub->date);
	free(pub->link);
	free(pub->content_range);
	free(pub->challenge);
	free(pub->request_id);
	pub->content_type = pub->etag = pub->location = pub->retry_after = pub->date = NULL;
	pub->link = pub->content_range = pub->challenge = pub->request_id = NULL;
}

/*
 * Is this the status line of a version that is spoken here?  libcurl's
 * versions differ in what they make of another: an error, or a success of
 * HTTP/1.0.
 */
static bool
status_line_is_ours(const char *line, size_t len)
{
	static const char *const versions[] = {"HTTP/1.1 ", "HTTP/1.0 ", "HTTP/2 "};

	for (size_t i = 0; i < lengthof(versions); i++)
	{
		size_t		n = strlen(versions[i]);
		size_t		digits = 0;

		if (len < n || strncmp(line, versions[i], n) != 0)
			continue;
		while (n + digits < len && isdigit((unsigned char) line[n + digits]))
			digits++;
		return digits == 3;
	}
	return false;
}

/* false: the answer is not of HTTP as it is spoken here */
static bool
answer_add_header(TpmTransfer *pub, const char *data, size_t len)
{
	char	   *link = NULL;

	if (len >= 5 && strncmp(data, "HTTP/", 5) == 0)
	{
		/* what came with a 1xx answer does not count */
		answer_forget_headers(pub);
		return status_line_is_ours(data, len);
	}
	if (!keep_header(data, len, "Content-Type", &pub->content_type) &&
		!keep_header(data, len, "ETag", &pub->etag) &&
		!keep_header(data, len, "Location", &pub->location) &&
		!keep_header(data, len, "Date", &pub->date) &&
		!keep_header(data, len, "Content-Range", &pub->content_range) &&
		!keep_header(data, len, "Retry-After", &pub->retry_after))
	{
		if (keep_header(data, len, "Link", &link))
			append_field(&pub->link, link);
		else if (pub->challenge == NULL || strstr(pub->challenge, "insufficient_scope") == NULL)
			keep_header(data, len, "WWW-Authenticate", &pub->challenge);
	}
	return true;
}

/* ----- its body ----- */

/* false: no memory */
static bool
answer_add_body(TpmTransfer *pub, size_t *space, const char *data, size_t len)
{
	size_t		need = pub->body_len + len + 1;

	if (need > *space)
	{
		size_t		want = Max(*space * 2, 65536);
		char	   *more;

		while (want < need)
			want *= 2;
		more = realloc(pub->body, want);
		if (more == NULL)
			return false;
		pub->body = more;
		*space = want;
	}
	memcpy(pub->body + pub->body_len, data, len);
	pub->body_len += len;
	pub->body[pub->body_len] = '\0';
	return true;
}

/* ----- transfers ----- */

/* the part of a transfer that libcurl's callbacks work on */
typedef struct TpmRunning
{
	TpmTransfer pub;			/* what the caller sees; first */
	const TpmHttpSpec *spec;
	CURL	   *easy;
	struct curl_slist *headers;
	MemoryContextCallback callback;
	size_t		body_space;
	size_t		header_bytes;
	size_t		body_sent;
	bool		too_large;
	bool		no_slot;
	bool		repeated;
	bool		forbidden;
	bool		no_http;
	bool		no_memory;
	char		curl_error[CURL_ERROR_SIZE];
} TpmRunning;

static CURLM *multi = NULL;
static CURLSH *tls_sessions = NULL;
static CURL *idle[TPM_IDLE_HANDLES];
static int	n_idle = 0;
static int64 curl_timer = PG_INT64_MAX; /* when libcurl wants to be called */

/*
 * libcurl may start a resolver thread in any of its calls.  A signal handled
 * by that thread would set a latch and run PostgreSQL's handlers in the wrong
 * thread, so the thread must inherit a mask with everything blocked.
 */
static sigset_t saved_mask;

static void
enter_curl(void)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved_mask);
}

static void
leave_curl(void)
{
	pthread_sigmask(SIG_SETMASK, &saved_mask, NULL);
}

/* ----- callbacks of the multi handle ----- */

static int
socket_changed(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
	int			events = 0;

	if (what == CURL_POLL_REMOVE)
	{
		tpm_forget_socket(fd);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= WL_SOCKET_READABLE;
	if (what & CURL_POLL_OUT)
		events |= WL_SOCKET_WRITEABLE;
	return tpm_watch_socket(fd, events) ? 0 : -1;
}

static int
timer_changed(CURLM *m, long timeout_ms, void *userp)
{
	curl_timer = timeout_ms < 0 ? PG_INT64_MAX : tpm_monotonic_us() + timeout_ms * INT64CONST(1000);
	return 0;
}

/* ----- callbacks of a transfer ----- */

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	TpmRunning *run = arg;
	curl_socket_t fd;

	address_text(&address->addr, run->pub.address, sizeof(run->pub.address));
	if (!run->spec->private_ok && address_is_private(&address->addr))
	{
		run->forbidden = true;
		return CURL_SOCKET_BAD;
	}
	if (!AcquireExternalFD())
		return CURL_SOCKET_BAD;
	fd = socket(address->family, address->socktype, address->protocol);
	if (fd == CURL_SOCKET_BAD)
		ReleaseExternalFD();
	return fd;
}

static int
close_socket(void *arg, curl_socket_t fd)
{
	ReleaseExternalFD();
	return close(fd);
}

/*
 * The connection is ready and the request is about to leave.  libcurl comes
 * here a second time when it repeats a request by itself, because a reused
 * connection was closed before the first byte of an answer: the server may
 * have acted, and the repeat would take no slot, so it is refused.
 */
static int
about_to_send(void *arg, char *primary_ip, char *local_ip, int primary_port, int local_port)
{
	TpmRunning *run = arg;

	if (run->pub.sendings > 0)
	{
		run->repeated = true;
		return CURL_PREREQFUNC_ABORT;
	}
	/* a pooled connection may have been opened for a more trusted server */
	if (!run->spec->private_ok && text_address_is_private(primary_ip))
	{
		run->forbidden = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (run->spec->departing && !run->spec->departing(run->spec->departing_arg))
	{
		run->no_slot = true;
		return CURL_PREREQFUNC_ABORT;
	}
	run->pub.sendings++;
	return CURL_PREREQFUNC_OK;
}

static size_t
receive_body(char *data, size_t size, size_t n, void *arg)
{
	TpmRunning *run = arg;
	size_t		len = size * n;

	if (run->pub.body_len + len > (size_t) run->spec->max_body)
		run->too_large = true;
	else if (!answer_add_body(&run->pub, &run->body_space, data, len))
		run->no_memory = true;
	return run->too_large || run->no_memory ? 0 : len;
}

static size_t
receive_header(char *data, size_t size, size_t n, void *arg)
{
	TpmRunning *run = arg;
	size_t		len = size * n;

	run->header_bytes += len;
	run->too_large = run->header_bytes > TPM_MAX_HEADER_BYTES;
	run->no_http = !answer_add_header(&run->pub, data, len);
	if (run->spec->request_id_header && run->spec->request_id_header[0])
		keep_header(data, len, run->spec->request_id_header, &run->pub.request_id);
	return run->too_large || run->no_http ? 0 : len;
}

static size_t
send_body(char *buffer, size_t size, size_t n, void *arg)
{
	TpmRunning *run = arg;
	size_t		len = Min(size * n, run->spec->body_len - run->body_sent);

	memcpy(buffer, run->spec->body + run->body_sent, len);
	run->body_sent += len;
	return len;
}

/* ----- starting and ending ----- */

void
tpm_transport_init(void)
{
	if (multi)
		return;

	/*
	 * there is no event loop without a postmaster, and libcurl's state
	 * survives no fork of it
	 */
	if (!IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("tpm_fdw sends no requests in single-user mode")));

	/* OpenSSL would write session keys to a file named by the environment */
	unsetenv("SSLKEYLOGFILE");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (tls_sessions = curl_share_init()) == NULL ||
		(multi = curl_multi_init()) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not initialize libcurl")));
	curl_share_setopt(tls_sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_changed);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_changed);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) TPM_IDLE_CONNECTIONS);
}

static void
release(TpmRunning *run)
{
	if (run->easy)
	{
		enter_curl();
		curl_multi_remove_handle(multi, run->easy);

		/*
		 * from 8.7 on a handle may remember, reset or not, that it was to
		 * send again
		 */
		if (n_idle < TPM_IDLE_HANDLES && run->pub.done && run->pub.error[0] == '\0')
		{
			curl_easy_reset(run->easy);
			idle[n_idle++] = run->easy;
		}
		else
			curl_easy_cleanup(run->easy);
		leave_curl();
		run->easy = NULL;
	}
	curl_slist_free_all(run->headers);
	run->headers = NULL;
	free(run->pub.body);
	run->pub.body = NULL;
	answer_forget_headers(&run->pub);
}

static void
release_transfer_callback(void *arg)
{
	release(arg);
}

static void
set_headers(TpmRunning *run)
{
	ListCell   *lc;

	foreach(lc, run->spec->headers)
	{
		struct curl_slist *more = curl_slist_append(run->headers, lfirst(lc));

		if (more == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		run->headers = more;
	}
	curl_easy_setopt(run->easy, CURLOPT_HTTPHEADER, run->headers);
}

static void
set_security(TpmRunning *run)
{
	CURL	   *easy = run->easy;
	const TpmHttpSpec *spec = run->spec;

	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, spec->proxy ? spec->proxy : "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	if (spec->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, spec->ca_file);

	/*
	 * To read a distribution's certificates takes longer than all the rest of
	 * a new connection.  libcurl keeps them for the next one if they come
	 * from one file alone; the directory has the same.
	 */
	if (spec->ca_file || curl_version_info(CURLVERSION_NOW)->cainfo)
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, TPM_CERTIFICATES_KEPT_S);
	if (spec->client_cert)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, spec->client_cert);
	if (spec->client_key)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, spec->client_key);
}

static void
set_method(TpmRunning *run)
{
	CURL	   *easy = run->easy;
	const TpmHttpSpec *spec = run->spec;

	if (spec->body == NULL)
	{
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
		curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) spec->max_body);
		return;
	}

	/* a read function without a seek function: libcurl cannot rewind the body */
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) spec->body_len);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, send_body);
	curl_easy_setopt(easy, CURLOPT_READDATA, run);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, spec->method);
}

static void
set_options(TpmRunning *run)
{
	CURL	   *easy = run->easy;
	const TpmHttpSpec *spec = run->spec;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, run);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, run->curl_error);
	curl_easy_setopt(easy, CURLOPT_URL, spec->url);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) spec->connect_timeout);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) spec->request_timeout);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	/* some services refuse requests without; option headers overrides it */
	curl_easy_setopt(easy, CURLOPT_USERAGENT, TPM_NAME "/" TPM_VERSION);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 131072L);

	/*
	 * requests that start together share a connection if it turns out to be
	 * HTTP/2
	 */
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	/* and where it does not, only the first has a whole handshake */
	curl_easy_setopt(easy, CURLOPT_SHARE, tls_sessions);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, run);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, about_to_send);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, run);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, run);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, receive_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, run);
	if (spec->ip_family != TPM_IP_ANY)
		curl_easy_setopt(easy, CURLOPT_IPRESOLVE,
						 (long) (spec->ip_family == TPM_IPV4 ? CURL_IPRESOLVE_V4 : CURL_IPRESOLVE_V6));

	/*
	 * The other end may close a kept connection just when a request leaves on
	 * it, or end it by a GOAWAY that does not say for sure what was acted on.
	 * One that is new ends neither way, and the TLS session is resumed.  Kept
	 * afterwards, it would push those of reads out of the pool.
	 */
	if (spec->alone)
	{
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
		curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	}
	if (spec->examined)
	{
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
		curl_easy_setopt(easy, CURLOPT_CERTINFO, 1L);
	}
	set_security(run);
	set_method(run);
	set_headers(run);
}

TpmTransfer *
tpm_transfer_start(const TpmHttpSpec *spec)
{
	TpmRunning *run = palloc0(sizeof(TpmRunning));

	tpm_transport_init();
	run->spec = spec;
	run->callback.func = release_transfer_callback;
	run->callback.arg = run;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &run->callback);

	run->pub.started_us = tpm_monotonic_us();
	if (spec->origin == NULL || strcmp(tpm_url_origin(spec->url), spec->origin) != 0)
	{
		run->pub.done = true;
		run->pub.outcome = TPM_OUTCOME_FORBIDDEN;
		strlcpy(run->pub.error, "the URL has another origin", sizeof(run->pub.error));
		return &run->pub;
	}

	run->easy = n_idle > 0 ? idle[--n_idle] : curl_easy_init();
	if (run->easy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	set_options(run);
	enter_curl();
	curl_multi_add_handle(multi, run->easy);
	leave_curl();
	return &run->pub;
}

static TpmOutcome
judge_transfer(TpmRunning *run, CURLcode code)
{
	if (run->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return TPM_OUTCOME_TOO_LARGE;
	if (run->no_memory)
		return TPM_OUTCOME_NO_MEMORY;
	if (run->no_slot)
		return TPM_OUTCOME_NO_SLOT;
	if (run->repeated || (code == CURLE_SEND_FAIL_REWIND && run->pub.sendings > 0))
		return TPM_OUTCOME_CONNECTION_DIED;
	if (run->forbidden && run->pub.sendings == 0)
		return TPM_OUTCOME_FORBIDDEN;
	if (code == CURLE_OK)
		return TPM_OUTCOME_ANSWERED;
	return run->pub.sendings == 0 ? TPM_OUTCOME_NOT_SENT : TPM_OUTCOME_LOST;
}

static void
note_certificate(TpmRunning *run)
{
	static const char name[] = "Expire date:";
	struct curl_certinfo *certs = NULL;

	if (!run->spec->examined ||
		curl_easy_getinfo(run->easy, CURLINFO_CERTINFO, &certs) != CURLE_OK || certs == NULL ||
		certs->num_of_certs < 1)
		return;
	for (struct curl_slist *line = certs->certinfo[0]; line; line = line->next)
	{
		if (strncmp(line->data, name, sizeof(name) - 1) == 0)
			strlcpy(run->pub.cert_expires, line->data + sizeof(name) - 1,
					sizeof(run->pub.cert_expires));
	}
}

/* words of libcurl may repeat what a peer said, a certificate's name for one, in any encoding */
static void
keep_error(TpmTransfer *pub, const char *words)
{
	strlcpy(pub->error, words, sizeof(pub->error));
	for (char *c = pub->error; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static void
finish_transfer(TpmRunning *run, CURLcode code)
{
	TpmTransfer *pub = &run->pub;
	long		status = 0;
	long		request_size = 0;
	curl_off_t	in = 0;

	curl_easy_getinfo(run->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(run->easy, CURLINFO_SIZE_DOWNLOAD_T, &in);
	curl_easy_getinfo(run->easy, CURLINFO_REQUEST_SIZE, &request_size);
	pub->status = (int) status;
	pub->bytes_in = in + run->header_bytes;
	pub->bytes_out = request_size + run->body_sent;
	pub->ended_us = tpm_monotonic_us();
	pub->outcome = judge_transfer(run, code);
	note_certificate(run);
	pub->timed_out = (code == CURLE_OPERATION_TIMEDOUT);
	pub->no_host = (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY);
	pub->tls_failure = (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
						code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE ||
						code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR);
	if (run->no_http)
		keep_error(pub, "the answer begins like none of HTTP/1.0, 1.1 or 2");
	else if (pub->outcome == TPM_OUTCOME_NO_MEMORY)
		keep_error(pub, "out of memory");
	else if (pub->outcome == TPM_OUTCOME_CONNECTION_DIED)
		keep_error(pub, "the connection was closed before an answer came");
	else if (code != CURLE_OK)
		keep_error(pub, run->curl_error[0] ? run->curl_error : curl_easy_strerror(code));
	pub->done = true;
}

/* ----- what the event loop calls ----- */

/* true if a transfer ended */
bool
tpm_transport_collect(void)
{
	CURLMsg    *msg;
	int			left;
	bool		any = false;

	while ((msg = curl_multi_info_read(multi, &left)) != NULL)
	{
		TpmRunning *run;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **) &run);
		finish_transfer(run, msg->data.result);
		any = true;
	}
	return any;
}

void
tpm_transport_drive(const WaitEvent *event, int n)
{
	int			running;

	enter_curl();
	for (int i = 0; i < n; i++)
	{
		int			what = 0;

		if (event[i].events & WL_SOCKET_READABLE)
			what |= CURL_CSELECT_IN;
		if (event[i].events & WL_SOCKET_WRITEABLE)
			what |= CURL_CSELECT_OUT;
		if (what)
			curl_multi_socket_action(multi, event[i].fd, what, &running);
	}
	if (curl_timer <= tpm_monotonic_us())
	{
		curl_timer = PG_INT64_MAX;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	leave_curl();
}

int64
tpm_transport_due(void)
{
	return curl_timer;
}
