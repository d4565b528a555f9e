/*-------------------------------------------------------------------------
 *
 * url_encode.c
 *		Percent-encoding.
 *
 * Owns which characters stay as they are in which part of a URL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "base/url.h"

const char *
tpm_url_utf8(const char *text)
{
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return text;
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

static bool
is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '-' || c == '.' || c == '_' || c == '~';
}

static char *
encode(const char *text, bool space_is_plus)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (is_unreserved(c))
			appendStringInfoChar(&buf, c);
		else if (c == ' ' && space_is_plus)
			appendStringInfoChar(&buf, '+');
		else
			appendStringInfo(&buf, "%%%02X", c);
	}
	return buf.data;
}

char *
tpm_url_encode_segment(const char *text)
{
	return encode(tpm_url_utf8(text), false);
}

char *
tpm_url_encode_query(const char *text)
{
	return encode(tpm_url_utf8(text), false);
}

/* application/x-www-form-urlencoded, as RFC 6749 appendix B wants it */
char *
tpm_url_encode_form(const char *text)
{
	return encode(text, true);
}

char *
tpm_url_of_link(const char *link)
{
	char	   *utf8 = (char *) pg_server_to_any(link, strlen(link), PG_UTF8);
	StringInfoData buf;

	initStringInfo(&buf);
	for (; *utf8; utf8++)
	{
		unsigned char c = (unsigned char) *utf8;

		if (c == ' ' || c > '~' || strchr("\"<>^`{|}", c) != NULL)
			appendStringInfo(&buf, "%%%02X", c);
		else
			appendStringInfoChar(&buf, c);
	}
	return buf.data;
}

/*
 * Everything that no URL holds as it is becomes percent-encoded; what is
 * encoded already, and what separates parts, stays.
 */
char *
tpm_url_quote(const char *text)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (is_unreserved(c) || strchr("!$&'()*+,;=:@/?", c) != NULL ||
			(c == '%' && isxdigit((unsigned char) text[1]) && isxdigit((unsigned char) text[2])))
			appendStringInfoChar(&buf, c);
		else
			appendStringInfo(&buf, "%%%02X", c);
	}
	return buf.data;
}
