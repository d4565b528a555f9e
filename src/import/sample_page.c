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

#include "base/json.h"
#include "base/url.h"
#include "base/url_query.h"
#include "import/sample.h"

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

void
tpm_sample_links(Jsonb *document, const TpmAnswer *answer, TpmListFacts *facts)
{
	JsonbValue	buffer;
	JsonbValue *links = tpm_json_get(&document->root, "links", &buffer);
	JsonbContainer *object = links && links->type == jbvBinary && JsonContainerIsObject(links->val.binary.data)
	? links->val.binary.data : NULL;
	static const char *const names[] = {"next", "prev", "first", "last"};

	facts->links.given = object != NULL;
	for (int i = 0; object && i < (int) lengthof(names); i++)
		facts->links.of_pages |= tpm_json_get(object, names[i], &buffer) != NULL;
	facts->links.next = link_of(document, "next");
	facts->links.prev = link_of(document, "prev");
	facts->links.first = link_of(document, "first");
	facts->next_offset = -1;
	tpm_list_hear(facts, answer);
}

/*
 * The one parameter that the link moves; NULL if there are several, since
 * then nobody knows what the page after next would need.  *size is the one
 * that tells how long pages are: rather one of the API's than what was asked
 * for and comes back as it went.
 */
static TpmUrlPair *
position_of(List *next, List *request, TpmUrlPair **size)
{
	TpmUrlPair *position = NULL;
	bool		echoed = true;
	ListCell   *lc;

	*size = NULL;
	foreach(lc, request)
	{
		TpmUrlPair *asked = lfirst(lc);

		if (!names_size(asked->name) && tpm_url_pair(next, asked->name) == NULL)
			return NULL;
	}
	foreach(lc, next)
	{
		TpmUrlPair *pair = lfirst(lc);
		TpmUrlPair *asked = tpm_url_pair(request, pair->name);
		bool		same = asked != NULL && strcmp(asked->value, pair->value) == 0;

		if (names_size(pair->name) && tpm_whole_number(pair->value) > 0 &&
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

/* which page this number is if it is the second; *from_zero: the first one is 0 */
static int
style_of(const TpmUrlPair *position, int received, bool *from_zero)
{
	int64		number = tpm_whole_number(position->value);

	/* a list of two rows a page: the second page, or the rows from 2 on? */
	if (number > 0 && number == received && (number > 2 || names_offset(position->name)))
		return TPM_PAGE_OFFSET;
	if (names_offset(position->name))
		number = -1;

	/*
	 * one row a page: the second page of those from 0 on, or the rows from 1
	 * on?
	 */
	if (number == 1 && received == 1)
		return TPM_PAGE_LINKS;
	*from_zero = number == 1 || tpm_base64_number(position->value) == 1;
	if (number == 1 || number == 2)
		return TPM_PAGE_NUMBER;
	if (*from_zero || tpm_base64_number(position->value) == 2)
		return TPM_PAGE_NUMBER_BASE64;
	return TPM_PAGE_LINKS;
}

static void
find_style(const TpmSampler *sampler, const char *url, const char *next, int received,
		   TpmSamplePaging *paging)
{
	char	   *resolved = tpm_url_resolve(url, next);
	TpmUrlPair *position;
	TpmUrlPair *size;

	paging->style = TPM_PAGE_LINKS;
	if (resolved == NULL)
		return;
	position = position_of(tpm_url_query(resolved), tpm_url_query(url), &size);
	if (size && tpm_whole_number(size->value) < sampler->page_size)
		paging->page_size = (int) tpm_whole_number(size->value);
	/* where the API has another name for it, that one alone is known to work */
	if (size)
		paging->size_parameter = size->name;
	else if (sampler->asks_size)
		paging->size_parameter = sampler->server->opt.page_size_parameter;
	if (position == NULL || paging->size_parameter == NULL || received == 0)
		return;
	paging->style = style_of(position, received, &paging->from_zero);
	if (paging->style != TPM_PAGE_LINKS)
		paging->position_parameter = position->name;
}

/* rows up to the end of the last page, where links.last can be understood; else -1 */
static int64
rows_to_last(Jsonb *document, const char *url, int received, const TpmSamplePaging *paging)
{
	char	   *last = link_of(document, "last");
	char	   *resolved = last ? tpm_url_resolve(url, last) : NULL;
	TpmUrlPair *position = resolved && paging->position_parameter
	? tpm_url_pair(tpm_url_query(resolved), paging->position_parameter) : NULL;
	int64		number;

	if (position == NULL)
		return -1;
	number = paging->style == TPM_PAGE_NUMBER_BASE64 ? tpm_base64_number(position->value)
		: tpm_whole_number(position->value);
	if (number <= 0 || number > PG_INT32_MAX)
		return -1;
	return paging->style == TPM_PAGE_OFFSET ? number + received : (number + paging->from_zero) * received;
}

void
tpm_sample_paging(const TpmSampler *sampler, Jsonb *document, const char *url, const TpmListFacts *facts,
				  TpmSamplePaging *paging)
{
	const char *next = facts->links.next;
	int64		most = -1;

	if (next)
	{
		find_style(sampler, url, next, facts->received, paging);
		most = rows_to_last(document, url, facts->received, paging);
	}
	/* asked with a number, the second page is the one after that */
	if (tpm_list_first_page(facts->opt, &facts->links, url) == 0)
		paging->from_zero = true;
	paging->received = facts->received;
	paging->untold = tpm_list_end(facts) == TPM_LIST_ENDS_UNTOLD;
	paging->total_pointer = tpm_sample_total(document, facts, most, &paging->beyond);
	if (next == NULL && facts->opt->pagination == TPM_PAGE_LINKS && facts->total > facts->received)
		paging->beyond = facts->total;
}
