/*-------------------------------------------------------------------------
 *
 * url_query.c
 *		The query of a URL as parameters, and the numbers that they hold.
 *
 * Owns how a query is read; how it is spelled is url_encode.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"

#include "lib/stringinfo.h"

#include "base/url_query.h"

static int
hex_value(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* %XX and "+" of a query */
static char *
decoded_part(const char *text, size_t len)
{
	char	   *result = palloc(len + 1);
	char	   *to = result;

	for (const char *end = text + len; text < end; text++)
	{
		if (*text == '%' && end - text > 2 && isxdigit((unsigned char) text[1]) &&
			isxdigit((unsigned char) text[2]))
		{
			*to++ = (char) (hex_value(text[1]) * 16 + hex_value(text[2]));
			text += 2;
		}
		else
			*to++ = *text == '+' ? ' ' : *text;
	}
	*to = '\0';
	return result;
}

List *
tpm_url_query(const char *url)
{
	const char *at = strchr(url, '?');
	List	   *pairs = NIL;

	while (at != NULL && at[1] != '\0')
	{
		const char *begin = at + 1;
		size_t		len = strcspn(begin, "&");
		size_t		name_len = strcspn(begin, "=&");
		TpmUrlPair *pair = palloc(sizeof(TpmUrlPair));

		pair->name = decoded_part(begin, name_len);
		pair->value = name_len < len ? decoded_part(begin + name_len + 1, len - name_len - 1) : pstrdup("");
		if (len > 0)
			pairs = lappend(pairs, pair);
		at = begin[len] == '&' ? begin + len : NULL;
	}
	return pairs;
}

char *
tpm_url_with_number(const char *url, const char *name, int64 number)
{
	StringInfoData result;
	const char *at = strchr(url, '?');
	bool		found = false;

	initStringInfo(&result);
	appendBinaryStringInfo(&result, url, at ? (int) (at - url) : (int) strlen(url));
	while (at != NULL && *at != '\0')
	{
		const char *begin = at + 1;
		size_t		len = strcspn(begin, "&");
		size_t		name_len = strcspn(begin, "=&");
		bool		is_it = strcmp(decoded_part(begin, name_len), name) == 0;

		appendBinaryStringInfo(&result, at, 1 + (is_it ? name_len : len));
		if (is_it)
			appendStringInfo(&result, "=" INT64_FORMAT, number);
		found |= is_it;
		at = begin + len;
	}
	return found ? result.data : NULL;
}

TpmUrlPair *
tpm_url_pair(List *pairs, const char *name)
{
	ListCell   *lc;

	foreach(lc, pairs)
	{
		if (strcmp(((TpmUrlPair *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	}
	return NULL;
}

bool
tpm_url_is_same(const char *a, const char *b)
{
	size_t		len = strcspn(a, "?");
	List	   *pairs = tpm_url_query(a);
	List	   *others = tpm_url_query(b);
	ListCell   *lc;

	if (len != strcspn(b, "?") || strncmp(a, b, len) != 0 || list_length(pairs) != list_length(others))
		return false;
	foreach(lc, pairs)
	{
		const TpmUrlPair *pair = lfirst(lc);
		const TpmUrlPair *other = list_nth(others, foreach_current_index(lc));

		if (strcmp(pair->name, other->name) != 0 || strcmp(pair->value, other->value) != 0)
			return false;
	}
	return true;
}

int64
tpm_whole_number(const char *text)
{
	size_t		len = strlen(text);

	return len > 0 && len < 18 && strspn(text, "0123456789") == len ? strtoi64(text, NULL, 10) : -1;
}

int64
tpm_base64_number(const char *text)
{
	int			len = strlen(text);
	char		buffer[32];
	int			n = len > 0 && len <= 24 ? pg_b64_decode(text, len, (void *) buffer, sizeof(buffer) - 1) : -1;

	if (n <= 0)
		return -1;
	buffer[n] = '\0';
	return tpm_whole_number(buffer);
}
