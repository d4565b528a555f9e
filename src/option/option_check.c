/*-------------------------------------------------------------------------
 *
 * option_check.c
 *		What the value of a text option may look like.
 *
 * Owns what a good value is.  Where an option may stand is option_table.c's,
 * who may set it option_validate.c's.
 *
 * Each check answers NULL, or a sentence for the DETAIL.  The sentences never
 * repeat the value: it may be a secret.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "nodes/value.h"
#include "pgtime.h"

#include "base/url.h"
#include "option/option_internal.h"

/* headers that are this program's own business, whoever sets them */
static const char *const own_headers[] = {
	"authorization", "host", "content-length", "content-type", "content-encoding",
	"transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
	"accept", "accept-encoding", "http2-settings", "range", NULL
};

/* parts of names that look as if the value were a secret */
static const char *const secret_words[] = {"auth", "key", "token", "secret", "cookie", NULL};

const char *
tpm_check_url(const TpmOptionDef *def, const char *value)
{
	return tpm_url_problem(value);
}

/* An absolute URL, or one relative to a base that is not known here */
const char *
tpm_check_reference(const TpmOptionDef *def, const char *value)
{
	char	   *url = tpm_url_resolve("https://base.invalid/", value);

	if (url == NULL)
		return "It must be an http(s) URL, or relative to \"base_url\", without blanks, backslashes and control characters.";
	if (strchr(value, '#') != NULL)
		return "It holds a fragment.";
	return tpm_url_problem(url);
}

/* RFC 9110, 5.6.2 */
static bool
is_token(const char *text, int len)
{
	for (int i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (!(c < 128 && (isalnum(c) || strchr("!#$%&'*+-.^_`|~", c) != NULL)))
			return false;
	}
	return len > 0;
}

static char *
lower_copy(const char *text, int len)
{
	char	   *copy = pnstrdup(text, len);

	for (char *c = copy; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return copy;
}

static bool
is_own_header(const char *name)
{
	for (int i = 0; own_headers[i]; i++)
	{
		if (strcmp(name, own_headers[i]) == 0)
			return true;
	}
	return strncmp(name, "proxy-", 6) == 0;
}

static bool
looks_secret(const char *name)
{
	for (int i = 0; secret_words[i]; i++)
	{
		if (strstr(name, secret_words[i]) != NULL)
			return true;
	}
	return false;
}

static const char *
check_header_line(const TpmOptionDef *def, const char *line)
{
	const char *colon = strchr(line, ':');
	char	   *name;

	if (colon == NULL || !is_token(line, colon - line) || colon[1 + strspn(colon + 1, " ")] == '\0')
		return "Each line must be \"Name: value\".";
	name = lower_copy(line, colon - line);
	if (is_own_header(name))
		return "Authorization, Host, Accept, and headers of the connection, the framing and the content are set by tpm_fdw.";
	if ((def->contexts & TPM_ON_SERVER) && looks_secret(name))
		return "Headers whose name holds \"auth\", \"key\", \"token\", \"secret\" or \"cookie\" go into the user mapping, whose options are not readable by everybody.";
	return NULL;
}

const char *
tpm_check_headers(const TpmOptionDef *def, const char *value)
{
	ListCell   *lc;

	foreach(lc, tpm_split(value, '\n'))
	{
		char	   *line = strVal(lfirst(lc));
		const char *problem = line[0] ? check_header_line(def, line) : NULL;

		if (problem)
			return problem;
	}
	return NULL;
}

const char *
tpm_check_header_name(const TpmOptionDef *def, const char *value)
{
	int			len = strlen(value);

	if (len == 0)
		return NULL;
	if (!is_token(value, len))
		return "It must be the name of a header, or empty.";
	if (is_own_header(lower_copy(value, len)))
		return "This header is set by tpm_fdw.";
	return NULL;
}

const char *
tpm_check_media_type(const TpmOptionDef *def, const char *value)
{
	int			len = strcspn(value, "/");
	const char *subtype = value + len;

	if (*subtype == '\0' || !is_token(value, len) ||
		!is_token(subtype + 1, strcspn(subtype + 1, "; ")))
		return "It must be a media type, such as \"application/vnd.api+json\".";
	return NULL;
}

static bool
is_form_text(const char *text)
{
	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (c <= ' ' || c >= 127 || c == '#' || c == '\\')
			return false;
		if (c == '%' && !(isxdigit((unsigned char) text[1]) && isxdigit((unsigned char) text[2])))
			return false;
	}
	return true;
}

static bool
is_pair(const char *text)
{
	const char *equals = strchr(text, '=');

	return equals != NULL && equals != text;
}

/* a=b&c=d in plain text: percent-encoding is added when it is sent */
const char *
tpm_check_query(const TpmOptionDef *def, const char *value)
{
	ListCell   *lc;

	foreach(lc, tpm_split(value, '&'))
	{
		if (!is_pair(strVal(lfirst(lc))))
			return "It must be pairs \"name=value\" joined by \"&\".";
	}
	return NULL;
}

static bool
is_named_pair(const char *const *names, int n, const char *pair)
{
	int			len = strcspn(pair, "=");

	for (int i = 0; i < n; i++)
	{
		if ((int) strlen(names[i]) == len && pg_strncasecmp(pair, names[i], len) == 0)
			return true;
	}
	return false;
}

/* a=b&c=d as it goes onto the wire, with a token request that has these parameters already */
const char *
tpm_check_form(const TpmOptionDef *def, const char *value)
{
	static const char *const own[] = {"grant_type", "client_id", "scope"};
	static const char *const secret[] = {"client_secret", "client_assertion", "assertion", "password", "refresh_token"};
	ListCell   *lc;

	foreach(lc, tpm_split(value, '&'))
	{
		char	   *pair = strVal(lfirst(lc));

		if (!is_pair(pair) || !is_form_text(pair))
			return "It must be pairs \"name=value\" joined by \"&\", with blanks and special characters as %XX.";
		if (is_named_pair(own, lengthof(own), pair))
			return "grant_type and client_id are set by tpm_fdw, scope by the option of that name.";
		if (is_named_pair(secret, lengthof(secret), pair))
			return "Secrets go into the user mapping, whose options are not readable by everybody.";
	}
	return NULL;
}

static bool
is_template_segment(const char *text, int len)
{
	bool		inside = false;

	for (int i = 0; i < len; i++)
	{
		if (text[i] == '{' ? inside : (text[i] == '}' && (!inside || text[i - 1] == '{')))
			return false;
		if (text[i] == '{' || text[i] == '}')
			inside = (text[i] == '{');
		else if (!inside && (strchr("?#\\", text[i]) || (unsigned char) text[i] <= ' '))
			return false;
	}
	return !inside && len > 0;
}

/*
 * The path is appended to base_url, so it must not be able to reach another
 * host or another part of this one.
 */
const char *
tpm_check_resource(const TpmOptionDef *def, const char *value)
{
	if (value[0] != '/' || value[1] == '/' || value[1] == '\0')
		return "It must begin with exactly one \"/\", and name something below it.";
	while (*value)
	{
		int			len = strcspn(++value, "/");

		/* some APIs know their paths by a slash at the end */
		if (*value == '\0')
			break;
		if (tpm_url_is_dot_segment(value, len))
			return "It must not hold the segments \".\" and \"..\".";
		if (!is_template_segment(value, len))
			return "Its segments must not be empty, nor hold blanks, \"?\", \"#\" or \"\\\"; braces enclose the name of a column, as in \"/third_parties/{third_party_id}/notes\".";
		value += len;
	}
	return NULL;
}

const char *
tpm_check_format(const TpmOptionDef *def, const char *value)
{
	const char *percent = strchr(value, '%');

	if (percent == NULL || percent[1] != 's' || strchr(percent + 1, '%') != NULL)
		return "It must hold exactly one \"%s\", and no other \"%\".";
	return NULL;
}

/* an API may know one name for all types, or no sparse fieldsets at all */
const char *
tpm_check_fields_format(const TpmOptionDef *def, const char *value)
{
	return strchr(value, '%') == NULL ? NULL : tpm_check_format(def, value);
}

/* RFC 6901 */
const char *
tpm_check_pointer(const TpmOptionDef *def, const char *value)
{
	if (value[0] != '\0' && value[0] != '/')
		return "It must be a JSON Pointer, such as \"/meta/total_count\".";
	for (const char *s = strchr(value, '~'); s; s = strchr(s + 1, '~'))
	{
		if (s[1] != '0' && s[1] != '1')
			return "In a JSON Pointer \"~\" is written as \"~0\", and \"/\" within a name as \"~1\".";
	}
	return NULL;
}

const char *
tpm_check_two_names(const TpmOptionDef *def, const char *value)
{
	List	   *names = tpm_split(value, ',');

	if (list_length(names) != 2 || strVal(lsecond(names))[0] == '\0' ||
		strcmp(strVal(linitial(names)), strVal(lsecond(names))) == 0)
		return "It must be two different names separated by a comma: of the page's size (none where the API takes no size), and of its number or offset.";
	return NULL;
}

const char *
tpm_check_conflict_codes(const TpmOptionDef *def, const char *value)
{
	ListCell   *lc;

	foreach(lc, tpm_split(value, ','))
	{
		char	   *text = strVal(lfirst(lc));

		if (strspn(text, "0123456789") != 3 || text[0] != '4' ||
			(text[3] != '\0' && (text[3] != ':' || text[4] == '\0')))
			return "It must be a list of statuses from 400 to 499, each perhaps with a code, as in \"409,422:taken\".";
	}
	return NULL;
}

const char *
tpm_check_timezone(const TpmOptionDef *def, const char *value)
{
	pg_tz	   *zone = pg_tzset(value);

	if (zone == NULL || !pg_tz_acceptable(zone))
		return "It must be a time zone that PostgreSQL knows; see the view \"pg_timezone_names\".";
	return NULL;
}

const char *
tpm_check_path(const TpmOptionDef *def, const char *value)
{
	return is_absolute_path(value) ? NULL : "It must be an absolute path.";
}
