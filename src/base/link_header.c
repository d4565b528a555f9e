/*-------------------------------------------------------------------------
 *
 * link_header.c
 *		The header field Link (RFC 8288): which pages there are beside one.
 *
 * Owns the grammar of the field.  What it cannot read it passes over, up to
 * the next comma.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "base/link_header.h"

#define BLANKS	" \t"

typedef struct LinkValue
{
	char	   *target;
	char	   *rel;			/* NULL: none */
	bool		anchored;		/* it is a link of something else */
} LinkValue;

/* a token or a quoted string; *s is left behind it */
static char *
parameter_value(const char **s)
{
	StringInfoData text;

	initStringInfo(&text);
	if (**s != '"')
	{
		size_t		len = strcspn(*s, ";," BLANKS);

		appendBinaryStringInfo(&text, *s, len);
		*s += len;
		return text.data;
	}
	for ((*s)++; **s != '\0' && **s != '"'; (*s)++)
	{
		if (**s == '\\' && (*s)[1] != '\0')
			(*s)++;
		appendStringInfoChar(&text, **s);
	}
	if (**s == '"')
		(*s)++;
	return text.data;
}

/* what stands between < and >, with bytes that no URI holds percent-encoded */
static char *
link_target(const char *text, const char *end)
{
	StringInfoData target;

	initStringInfo(&target);
	for (; text < end; text++)
	{
		if ((unsigned char) *text < 0x80)
			appendStringInfoChar(&target, *text);
		else
			appendStringInfo(&target, "%%%02X", (unsigned char) *text);
	}
	return target.data;
}

/* *s stands on the "<" of a link-value and is left behind its parameters; false: it has no end */
static bool
read_link_value(const char **s, LinkValue *link)
{
	const char *end = strchr(*s, '>');

	if (end == NULL)
		return false;
	link->target = link_target(*s + 1, end);
	link->rel = NULL;
	link->anchored = false;
	*s = end + 1 + strspn(end + 1, BLANKS);
	while (**s == ';')
	{
		const char *name = *s + 1 + strspn(*s + 1, BLANKS);
		size_t		len = strcspn(name, "=;," BLANKS);
		char	   *value = NULL;

		*s = name + len + strspn(name + len, BLANKS);
		if (**s == '=')
		{
			*s += 1 + strspn(*s + 1, BLANKS);
			value = parameter_value(s);
			*s += strspn(*s, BLANKS);
		}
		/* the first one counts (section 3.3) */
		if (len == 3 && pg_strncasecmp(name, "rel", 3) == 0 && link->rel == NULL)
			link->rel = value;
		else if (len == 6 && pg_strncasecmp(name, "anchor", 6) == 0)
			link->anchored = true;
	}
	return true;
}

static void
keep_first(char **place, char *target)
{
	if (*place == NULL)
		*place = target;
}

static void
keep_link(TpmPageLinks *links, const LinkValue *link)
{
	char	   *copy = pstrdup(link->rel);
	char	   *save;

	if (link->target[0] == '\0')
		return;
	for (char *word = strtok_r(copy, BLANKS, &save); word; word = strtok_r(NULL, BLANKS, &save))
	{
		if (pg_strcasecmp(word, "next") == 0)
			keep_first(&links->next, link->target);
		else if (pg_strcasecmp(word, "prev") == 0 || pg_strcasecmp(word, "previous") == 0)
			keep_first(&links->prev, link->target);
		else if (pg_strcasecmp(word, "first") == 0)
			keep_first(&links->first, link->target);
		else if (pg_strcasecmp(word, "last") != 0)
			continue;
		links->of_pages = true;
	}
}

void
tpm_link_header_read(const char *value, TpmPageLinks *links)
{
	const char *s = value;

	for (;;)
	{
		LinkValue	link = {0};

		s += strspn(s, "," BLANKS);
		if (*s == '\0' || (*s == '<' && !read_link_value(&s, &link)))
			return;
		if (link.rel && !link.anchored)
			keep_link(links, &link);
		s += strcspn(s, ",");
	}
}
