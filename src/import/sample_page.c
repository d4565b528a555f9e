/*-------------------------------------------------------------------------
 *
 * sample_page.c
 *		How a resource is paged, seen on one page.
 *
 * Owns what counts as proof.  Computed pages are what answers are built on, so
 * nothing is concluded from a name alone: the next link must differ from the
 * request in the page's position only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"

#include "base/json.h"
#include "base/url.h"
#include "import/sample.h"

/* one parameter of a query, decoded */
typedef struct Pair
{
	char	   *name;
	char	   *value;
} Pair;

/* ----- URLs ----- */

static int
hex_value(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* %XX and "+" of a query */
static char *
decoded(const char *text, size_t len)
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

/* of Pair * */
static List *
query_of(const char *url)
{
	const char *at = strchr(url, '?');
	List	   *pairs = NIL;

	while (at != NULL && at[1] != '\0')
	{
		const char *begin = at + 1;
		size_t		len = strcspn(begin, "&");
		size_t		name_len = strcspn(begin, "=&");
		Pair	   *pair = palloc(sizeof(Pair));

		pair->name = decoded(begin, name_len);
		pair->value = name_len < len ? decoded(begin + name_len + 1, len - name_len - 1) : pstrdup("");
		if (len > 0)
			pairs = lappend(pairs, pair);
		at = begin[len] == '&' ? begin + len : NULL;
	}
	return pairs;
}

static Pair *
find_pair(List *pairs, const char *name)
{
	ListCell   *lc;

	foreach(lc, pairs)
	{
		if (strcmp(((Pair *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	}
	return NULL;
}

int64
tpm_sample_number(const char *text)
{
	size_t		len = strlen(text);

	return len > 0 && len < 18 && strspn(text, "0123456789") == len ? strtoi64(text, NULL, 10) : -1;
}

static int64
base64_number(const char *text)
{
	int			len = strlen(text);
	char		buffer[32];
	int			n = len > 0 && len <= 24 ? pg_b64_decode(text, len, (void *) buffer, sizeof(buffer) - 1) : -1;

	if (n <= 0)
		return -1;
	buffer[n] = '\0';
	return tpm_sample_number(buffer);
}

/* ----- names ----- */

static bool
has_word(const char *name, const char *const *words)
{
	char	   *lower = pstrdup(name);

	for (char *c = lower; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	for (; *words; words++)
	{
		if (strstr(lower, *words))
			return true;
	}
	return false;
}

static bool
names_size(const char *name)
{
	static const char *const words[] = {"size", "limit", "per", "count", NULL};

	return has_word(name, words);
}

static bool
names_offset(const char *name)
{
	static const char *const words[] = {"offset", "skip", "start", "from", NULL};

	return has_word(name, words);
}

/* ----- links ----- */

/* a link may be an object with "href" */
static char *
link_of(Jsonb *document, const char *name)
{
	JsonbValue	buffer,
				link_buffer,
				href_buffer;
	JsonbValue *links = tpm_json_get(&document->root, "links", &buffer);
	JsonbValue *link = links && links->type == jbvBinary
	? tpm_json_get(links->val.binary.data, name, &link_buffer) : NULL;

	if (link && link->type == jbvBinary)
		link = tpm_json_get(link->val.binary.data, "href", &href_buffer);
	if (link == NULL || link->type != jbvString || link->val.string.len == 0)
		return NULL;
	return pnstrdup(link->val.string.val, link->val.string.len);
}

char *
tpm_sample_next(Jsonb *document)
{
	return link_of(document, "next");
}

/*
 * The one parameter that the link moves; NULL if there are several, since
 * then nobody knows what the page after next would need.  *size is the one
 * that tells how long pages are: rather one of the API's than what was asked
 * for and comes back as it went.
 */
static Pair *
position_of(List *next, List *request, Pair **size)
{
	Pair	   *position = NULL;
	bool		echoed = true;
	ListCell   *lc;

	*size = NULL;
	foreach(lc, request)
	{
		Pair	   *asked = lfirst(lc);

		if (!names_size(asked->name) && find_pair(next, asked->name) == NULL)
			return NULL;
	}
	foreach(lc, next)
	{
		Pair	   *pair = lfirst(lc);
		Pair	   *asked = find_pair(request, pair->name);
		bool		same = asked != NULL && strcmp(asked->value, pair->value) == 0;

		if (names_size(pair->name) && tpm_sample_number(pair->value) > 0 &&
			(*size == NULL || (echoed && !same)))
		{
			*size = pair;
			echoed = same;
		}
		else if (!same)
		{
			if (position)
				return NULL;
			position = pair;
		}
	}
	return position;
}

static int
style_of(const Pair *position, int received)
{
	int64		number = tpm_sample_number(position->value);

	/* a list of two rows a page: the second page, or the rows from 2 on? */
	if (number > 0 && number == received && (number != 2 || names_offset(position->name)))
		return TPM_PAGE_OFFSET;
	if (number == 2 && !names_offset(position->name))
		return TPM_PAGE_NUMBER;
	if (base64_number(position->value) == 2)
		return TPM_PAGE_NUMBER_BASE64;
	return TPM_PAGE_LINKS;
}

static void
find_style(const TpmSampler *sampler, const char *url, const char *next, int received,
		   TpmSamplePaging *paging)
{
	char	   *resolved = tpm_url_resolve(url, next);
	Pair	   *position;
	Pair	   *size;

	paging->style = TPM_PAGE_LINKS;
	if (resolved == NULL)
		return;
	position = position_of(query_of(resolved), query_of(url), &size);
	if (size && tpm_sample_number(size->value) < sampler->page_size)
		paging->page_size = (int) tpm_sample_number(size->value);
	/* where the API has another name for it, that one alone is known to work */
	if (size)
		paging->size_parameter = size->name;
	else if (sampler->asks_size)
		paging->size_parameter = sampler->server->opt.page_size_parameter;
	if (position == NULL || paging->size_parameter == NULL || received == 0)
		return;
	paging->style = style_of(position, received);
	if (paging->style != TPM_PAGE_LINKS)
		paging->position_parameter = position->name;
}

/* rows up to the end of the last page, where links.last can be understood; else -1 */
static int64
rows_to_last(Jsonb *document, const char *url, int received, const TpmSamplePaging *paging)
{
	char	   *last = link_of(document, "last");
	char	   *resolved = last ? tpm_url_resolve(url, last) : NULL;
	Pair	   *position = resolved && paging->position_parameter
	? find_pair(query_of(resolved), paging->position_parameter) : NULL;
	int64		number;

	if (position == NULL)
		return -1;
	number = paging->style == TPM_PAGE_NUMBER_BASE64 ? base64_number(position->value)
		: tpm_sample_number(position->value);
	if (number <= 0 || number > PG_INT32_MAX)
		return -1;
	return paging->style == TPM_PAGE_OFFSET ? number + received : number * received;
}

void
tpm_sample_paging(const TpmSampler *sampler, Jsonb *document, const char *url, int received,
				  TpmSamplePaging *paging)
{
	char	   *next = tpm_sample_next(document);
	int64		most = -1;

	if (next)
	{
		find_style(sampler, url, next, received, paging);
		most = rows_to_last(document, url, received, paging);
	}
	paging->received = received;
	paging->total_pointer = tpm_sample_total(document, received, next != NULL,
											 sampler->server->opt.pagination != TPM_PAGE_LINKS, most,
											 &paging->beyond);
}
