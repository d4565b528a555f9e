/*-------------------------------------------------------------------------
 *
 * url.c
 *		URLs: references and origins.
 *
 * Owns the one opinion of what a URL's parts are.  What libcurl makes of a
 * string is never asked: both sides must see the same host, so everything
 * that two parsers could read differently (backslashes, blanks, user info,
 * control characters) is refused here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sys/socket.h>

#include "lib/stringinfo.h"

#include "base/url.h"

/* A piece of a string; text is NULL where the component is absent */
typedef struct UrlPart
{
	const char *text;
	int			len;
} UrlPart;

typedef struct UrlParts
{
	UrlPart		scheme;
	UrlPart		authority;
	UrlPart		path;			/* always there, perhaps empty */
	UrlPart		query;
	UrlPart		fragment;
} UrlParts;

/* What the authority of an http URL consists of */
typedef struct UrlHost
{
	UrlPart		host;			/* without the brackets of an IPv6 literal */
	bool		ipv6;
	int			port;
} UrlHost;

static UrlPart
part_until(const char **pos, const char *stop)
{
	UrlPart		part;

	part.text = *pos;
	part.len = strcspn(*pos, stop);
	*pos += part.len;
	return part;
}

static int
scheme_length(const char *url)
{
	int			len = 0;

	if (!isalpha((unsigned char) url[0]))
		return 0;
	while (isalnum((unsigned char) url[len]) || (url[len] != '\0' && strchr("+-.", url[len])))
		len++;
	return url[len] == ':' ? len : 0;
}

/* RFC 3986, appendix B */
static UrlParts
url_split(const char *url)
{
	UrlParts	parts;
	int			len = scheme_length(url);

	memset(&parts, 0, sizeof(parts));
	if (len > 0)
	{
		parts.scheme.text = url;
		parts.scheme.len = len;
		url += len + 1;
	}
	if (url[0] == '/' && url[1] == '/')
	{
		url += 2;
		parts.authority = part_until(&url, "/?#");
	}
	parts.path = part_until(&url, "?#");
	if (*url == '?')
	{
		url++;
		parts.query = part_until(&url, "#");
	}
	if (*url == '#')
	{
		url++;
		parts.fragment = part_until(&url, "");
	}
	return parts;
}

static bool
part_is(UrlPart part, const char *word)
{
	return part.text != NULL && part.len == (int) strlen(word) &&
		pg_strncasecmp(part.text, word, part.len) == 0;
}

static bool
is_http_scheme(UrlPart scheme)
{
	return part_is(scheme, "http") || part_is(scheme, "https");
}

static bool
has_forbidden_character(const char *text)
{
	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (c <= ' ' || c == 0x7f || c == '\\')
			return true;
	}
	return false;
}

static bool
parse_port(const char *text, int len, int *port)
{
	int			value = 0;

	if (len > 5)
		return false;
	for (int i = 0; i < len; i++)
	{
		if (!isdigit((unsigned char) text[i]))
			return false;
		value = value * 10 + (text[i] - '0');
	}
	if (len > 0)
		*port = value;
	return *port > 0 && *port <= 65535;
}

static bool
is_ipv6_literal(UrlPart host)
{
	struct in6_addr addr;

	return inet_pton(AF_INET6, pnstrdup(host.text, host.len), &addr) == 1;
}

static bool
is_host_name(UrlPart host)
{
	for (int i = 0; i < host.len; i++)
	{
		unsigned char c = (unsigned char) host.text[i];

		if (!isalnum(c) && strchr("-._~", c) == NULL)
			return false;
	}
	return host.len > 0;
}

/* Host and port of an authority; false if it is not exactly host[:port] */
static bool
parse_authority(UrlPart authority, int default_port, UrlHost *result)
{
	const char *text = authority.text;
	const char *end = text + authority.len;
	const char *colon;

	result->port = default_port;
	result->ipv6 = (authority.len > 0 && text[0] == '[');
	if (result->ipv6)
	{
		const char *close = memchr(text, ']', authority.len);

		if (close == NULL)
			return false;
		result->host.text = text + 1;
		result->host.len = close - text - 1;

		colon = close + 1;
		if (!is_ipv6_literal(result->host))
			return false;
	}
	else
	{
		colon = memchr(text, ':', authority.len);
		if (colon == NULL)
			colon = end;
		result->host.text = text;
		result->host.len = colon - text;

		if (!is_host_name(result->host))
			return false;
	}
	if (colon == end)
		return true;
	return *colon == ':' && parse_port(colon + 1, end - colon - 1, &result->port);
}

/* Splits an absolute http(s) URL; false if it is none */
static bool
url_parse(const char *url, UrlParts *parts, UrlHost *host)
{
	if (url == NULL || has_forbidden_character(url))
		return false;
	*parts = url_split(url);
	if (!is_http_scheme(parts->scheme) || parts->authority.text == NULL)
		return false;
	return parse_authority(parts->authority, part_is(parts->scheme, "https") ? 443 : 80, host);
}

static void
append_part(StringInfo buf, UrlPart part)
{
	appendBinaryStringInfo(buf, part.text, part.len);
}

static void
append_lower(StringInfo buf, UrlPart part)
{
	for (int i = 0; i < part.len; i++)
		appendStringInfoChar(buf, pg_ascii_tolower((unsigned char) part.text[i]));
}

char *
tpm_url_origin(const char *url)
{
	UrlParts	parts;
	UrlHost		host;
	StringInfoData buf;

	initStringInfo(&buf);
	if (!url_parse(url, &parts, &host))
		return buf.data;
	append_lower(&buf, parts.scheme);
	appendStringInfoString(&buf, host.ipv6 ? "://[" : "://");
	append_lower(&buf, host.host);
	appendStringInfo(&buf, host.ipv6 ? "]:%d" : ":%d", host.port);
	return buf.data;
}

/* RFC 3986, 5.2.4, with the segments walked instead of two buffers */
static char *
remove_dot_segments(const char *path)
{
	StringInfoData out;

	initStringInfo(&out);
	while (*path)
	{
		int			len = strcspn(path + 1, "/") + 1;	/* "/" and a segment */
		bool		last = (path[len] == '\0');

		if (len == 2 && path[1] == '.')
		{
			if (last)
				appendStringInfoChar(&out, '/');
		}
		else if (len == 3 && path[1] == '.' && path[2] == '.')
		{
			while (out.len > 0 && out.data[--out.len] != '/')
				;
			out.data[out.len] = '\0';
			if (last)
				appendStringInfoChar(&out, '/');
		}
		else
			appendBinaryStringInfo(&out, path, len);
		path += len;
	}
	return out.data;
}

/* RFC 3986, 5.2.3: the base's path up to its last slash, then the reference */
static char *
merge_paths(UrlPart base, UrlPart ref)
{
	int			keep = base.len;
	StringInfoData buf;

	while (keep > 0 && base.text[keep - 1] != '/')
		keep--;
	initStringInfo(&buf);
	if (keep == 0)
		appendStringInfoChar(&buf, '/');
	appendBinaryStringInfo(&buf, base.text, keep);
	append_part(&buf, ref);
	return buf.data;
}

/* The path of the result; *query becomes the base's where the reference has none */
static char *
resolve_path(const UrlParts *base, const UrlParts *ref, UrlPart *query)
{
	*query = ref->query;
	if (ref->authority.text == NULL && ref->path.len == 0)
	{
		if (ref->query.text == NULL)
			*query = base->query;
		return pnstrdup(base->path.text, base->path.len);
	}
	if (ref->path.len == 0)
		return pstrdup("");
	if (ref->authority.text != NULL || ref->path.text[0] == '/')
		return remove_dot_segments(pnstrdup(ref->path.text, ref->path.len));
	return remove_dot_segments(merge_paths(base->path, ref->path));
}

/*
 * A reference with a scheme of its own is absolute, "http:path" without an
 * authority included (5.2.2, strict); the check of the result refuses that.
 */
char *
tpm_url_resolve(const char *base_url, const char *reference)
{
	UrlParts	base;
	UrlParts	ref;
	UrlHost		host;
	UrlPart		query;
	char	   *path;
	StringInfoData buf;

	if (!url_parse(base_url, &base, &host) || has_forbidden_character(reference))
		return NULL;
	ref = url_split(reference);
	if (ref.scheme.text != NULL && (!is_http_scheme(ref.scheme) || ref.authority.text == NULL))
		return NULL;
	path = resolve_path(&base, &ref, &query);

	initStringInfo(&buf);
	append_lower(&buf, ref.scheme.text ? ref.scheme : base.scheme);
	appendStringInfoString(&buf, "://");
	append_part(&buf, ref.authority.text ? ref.authority : base.authority);
	appendStringInfoString(&buf, path);
	if (query.text != NULL)
	{
		appendStringInfoChar(&buf, '?');
		append_part(&buf, query);
	}
	return url_parse(buf.data, &base, &host) ? buf.data : NULL;
}

const char *
tpm_url_problem(const char *url)
{
	UrlParts	parts;
	UrlHost		host;

	if (has_forbidden_character(url))
		return "It holds a blank, a backslash or a control character.";
	parts = url_split(url);
	if (!is_http_scheme(parts.scheme) || parts.authority.text == NULL)
		return "It does not begin with \"https://\" or \"http://\".";
	if (memchr(parts.authority.text, '@', parts.authority.len) != NULL)
		return "It holds a user name or a password.";
	if (parts.query.text != NULL)
		return "It holds a query.";
	if (parts.fragment.text != NULL)
		return "It holds a fragment.";
	if (!url_parse(url, &parts, &host))
		return "Its host or its port is not valid.";
	return NULL;
}

bool
tpm_url_is_https(const char *url)
{
	UrlParts	parts;
	UrlHost		host;

	return url_parse(url, &parts, &host) && part_is(parts.scheme, "https");
}

bool
tpm_url_is_loopback(const char *url)
{
	UrlParts	parts;
	UrlHost		host;
	char	   *name;
	struct in_addr v4;
	struct in6_addr v6;

	if (!url_parse(url, &parts, &host))
		return false;
	if (part_is(host.host, "localhost"))
		return true;
	name = pnstrdup(host.host.text, host.host.len);
	if (host.ipv6)
		return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
	return inet_pton(AF_INET, name, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

bool
tpm_url_is_dot_segment(const char *text, int len)
{
	int			dots = 0;

	for (int i = 0; i < len; dots++)
	{
		if (text[i] == '.')
			i++;
		else if (len - i >= 3 && pg_strncasecmp(text + i, "%2e", 3) == 0)
			i += 3;
		else
			return false;
	}
	return dots == 1 || dots == 2;
}

/*
 * A path that is appended to a base must not reach another host or another
 * part of this one, whoever parses it: "//" begins a network-path reference,
 * dot segments climb, and "\" is "/" to some.
 */
const char *
tpm_url_path_problem(const char *path)
{
	const char *end = path + strcspn(path, "?");

	for (const char *c = path; *c; c++)
	{
		if (*c == '\\' || *c == '#' || (unsigned char) *c < ' ' || *c == 0x7f)
			return "It holds \"\\\", \"#\" or a control character.";
	}
	if (path[0] != '/' || path[1] == '/')
		return "It does not begin with exactly one \"/\".";
	while (path < end)
	{
		int			len = strcspn(++path, "/?");

		if (tpm_url_is_dot_segment(path, len))
			return "It holds a segment \".\" or \"..\".";
		path += len;
		if (len == 0 && path < end)
			return "It holds \"//\".";
	}
	return NULL;
}
