/*-------------------------------------------------------------------------
 *
 * list_end.c
 *		Where a list ends, as a judgement of what is known after a page, and
 *		where a link to the next one leads.
 *
 * Owns the only opinion of it: scans, copies, imports and the check ask here.
 * Nothing is sent; what a page cannot tell is asked by asking for the next one,
 * or told by whoever reads.
 *
 * In this order: a link to a next page is the proof that there is more, in
 * every mode, however short the page is (an API may cut pages first and filter
 * then).  An API that has spoken of pages and names no next one has said that
 * this is the last.  A total counts.  A page as long as asked for is no end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/link_header.h"
#include "base/url.h"
#include "base/url_query.h"
#include "client/list_end.h"

/* ----- what header fields say ----- */

/* "items 0-24/319"; ranges of bytes are not of resources */
static int64
total_of_range(const char *range)
{
	const char *slash = strrchr(range, '/');

	return slash && pg_strncasecmp(range, "bytes", 5) != 0 ? tpm_whole_number(slash + 1) : -1;
}

void
tpm_list_hear(TpmListFacts *facts, const TpmAnswer *answer)
{
	facts->partial = answer->status == 206;
	if (answer->link && facts->links.next == NULL)
		tpm_link_header_read(answer->link, &facts->links);
	if (answer->content_range && facts->total < 0)
		facts->total = total_of_range(answer->content_range);
}

/* ----- links ----- */

/* path and query of a link, on our own origin */
static char *
rebase(const char *origin, const char *url)
{
	const char *path = strstr(url, "://");

	path = path ? strchr(path + 3, '/') : NULL;
	return psprintf("%s%s", origin, path ? path : "/");
}

char *
tpm_link_resolve(const TpmServer *server, int links_origin, const char *current, const char *next,
				 const char **problem)
{
	char	   *url = tpm_url_resolve(current, tpm_url_of_link(next));

	if (url == NULL)
	{
		*problem = "It is no http or https address.";
		return NULL;
	}
	if (strcmp(tpm_url_origin(url), server->origin) == 0)
		return url;
	if (links_origin == TPM_LINKS_REBASE)
		return rebase(server->origin, url);
	*problem = psprintf("It leads to %s, and the token goes to %s only.", tpm_url_origin(url),
						server->origin);
	return NULL;
}

/* ----- positions ----- */

int64
tpm_list_position(const TpmOptions *opt, const char *url)
{
	TpmUrlPair *pair = tpm_url_pair(tpm_url_query(url), opt->page_number_parameter);

	if (pair == NULL || opt->pagination == TPM_PAGE_LINKS)
		return -1;
	return opt->pagination == TPM_PAGE_NUMBER_BASE64 ? tpm_base64_number(pair->value)
		: tpm_whole_number(pair->value);
}

int64
tpm_list_first_page(const TpmOptions *opt, const TpmPageLinks *links, const char *url)
{
	/* without a first one, one before the page that was taken for it */
	const char *link = links->first ? links->first : links->prev;
	char	   *resolved = link ? tpm_url_resolve(url, tpm_url_of_link(link)) : NULL;

	if (resolved == NULL || (opt->pagination != TPM_PAGE_NUMBER && opt->pagination != TPM_PAGE_NUMBER_BASE64))
		return -1;
	return tpm_list_position(opt, resolved);
}

void
tpm_list_check_first_page(const TpmTable *table, const TpmListFacts *facts, const char *url)
{
	int64		first = facts->page == 1 ? tpm_list_first_page(facts->opt, &facts->links, url) : -1;

	if ((first != 0 && first != 1) || first == facts->opt->first_page)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("foreign table %s: the API counts pages from " INT64_FORMAT ", not from %d",
					table->name, first, facts->opt->first_page),
			 errdetail("Links of its first answer say so."),
			 errhint("Set the option first_page of the foreign table to \"" INT64_FORMAT "\".", first)));
}

/* ----- the judgement ----- */

/* as long as pages can be, as far as it is known */
static bool
is_full(const TpmListFacts *facts)
{
	return facts->received > 0 &&
		(facts->received >= facts->asked || (facts->page > 1 && facts->received >= facts->first_page_rows));
}

/* the API has spoken of pages, and names no next one */
static bool
is_told_end(const TpmListFacts *facts)
{
	return facts->links.next == NULL &&
		(facts->links.of_pages || facts->linked ||
		 (facts->links.given && facts->opt->pagination == TPM_PAGE_LINKS));
}

int64
tpm_list_total(const TpmListFacts *facts)
{
	/*
	 * what is less than there are is no number of all rows (a number of pages
	 * is not); nor is the length of one page among several, nor that of a
	 * full page, where nothing else says that it is the only one
	 */
	if (facts->total < facts->rows ||
		(facts->total == facts->received &&
		 (facts->page > 1 || (facts->links.next != NULL && !facts->may_loop) || (is_full(facts) && !is_told_end(facts)))))
		return -1;
	return facts->total;
}

static TpmListEnd
end_with_link(const TpmListFacts *facts)
{
	int64		total = tpm_list_total(facts);

	if (facts->received == 0 && total > 0 && facts->rows >= total)
		return TPM_LIST_ENDS;
	switch (facts->opt->pagination)
	{
		case TPM_PAGE_NUMBER:
		case TPM_PAGE_NUMBER_BASE64:
			return TPM_LIST_GOES_ON;
		case TPM_PAGE_OFFSET:
			/* where a page that is not full ends, only the API knows */
			return !facts->by_link && (facts->received >= facts->asked || facts->next_offset > facts->offset)
				? TPM_LIST_GOES_ON : TPM_LIST_FOLLOWS_LINK;
		default:
			return TPM_LIST_FOLLOWS_LINK;
	}
}

int64
tpm_list_step(const TpmListFacts *facts)
{
	return facts->received < facts->asked && facts->next_offset > facts->offset
		? facts->next_offset - facts->offset : facts->received;
}

TpmListEnd
tpm_list_end(const TpmListFacts *facts)
{
	int64		total = tpm_list_total(facts);

	if (facts->links.next != NULL)
		return end_with_link(facts);
	if (is_told_end(facts))
		return TPM_LIST_ENDS;
	if (facts->opt->pagination == TPM_PAGE_LINKS)
		return total < 0 && (is_full(facts) || facts->partial) ? TPM_LIST_ENDS_UNTOLD : TPM_LIST_ENDS;
	if (facts->received == 0)
		return TPM_LIST_ENDS;
	if (total >= 0)
		return facts->rows < total ? TPM_LIST_GOES_ON : TPM_LIST_ENDS;
	/* an API may give less than it is asked for, but then on every page */
	return facts->page == 1 || facts->received >= facts->first_page_rows ? TPM_LIST_GOES_ON : TPM_LIST_ENDS;
}
