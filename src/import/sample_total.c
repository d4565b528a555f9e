/*-------------------------------------------------------------------------
 *
 * sample_total.c
 *		Where in a list's answer the number of all rows stands.
 *
 * Owns the judgement of numbers; nothing is asked for.
 *
 * Counts are answered from a total, so a number is one only if its name says
 * so and it agrees with the rows and links beside it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/json.h"
#include "base/url_query.h"
#include "import/sample.h"

/* the rank of names that mean nothing else */
#define SURE	3

/* totals stand in meta, or in an object in an object of it */
#define LEVELS 3

typedef struct TotalSearch
{
	const TpmListFacts *facts;
	int64		received;
	bool		has_next;
	bool		counted;		/* pages need no links */
	int64		beyond;			/* a total of more rows than can be got at */
	int64		most;			/* rows that there can be; -1 not known */
	char	   *found;
	int			rank;			/* of what was found */
} TotalSearch;

/* letters and digits in lower case: "record-count" and "recordCount" are one name */
static char *
plain_name(const char *name)
{
	char	   *result = palloc(strlen(name) + 1);
	char	   *to = result;

	for (; *name; name++)
	{
		if (isalnum((unsigned char) *name))
			*to++ = pg_ascii_tolower((unsigned char) *name);
	}
	*to = '\0';
	return result;
}

/* how surely the name means "rows in all"; 0: it does not */
static int
rank_of(const char *name, const char *path, const TotalSearch *search)
{
	static const char *const total[] = {
		"totalcount", "totalrecords", "totalresults", "totalitems", "totalelements", "totalresources",
		"totalrows", "totalentries", "totalobjects", "totalhits", "totalmatches", NULL
	};
	static const char *const count[] = {
		"count", "recordcount", "recordscount", "resourcecount", "resourcescount", "itemcount",
		"itemscount", "resultcount", "resultscount", "rowcount", "elementcount", "objectcount", NULL
	};
	char	   *plain = plain_name(name);

	if (tpm_is_one_of(plain, total))
		return SURE;
	/* "page": {"total": 7} may be the number of pages */
	if (strcmp(plain, "total") == 0)
		return !search->has_next || search->most >= 0 || strstr(plain_name(path), "page") == NULL ? 2 : 0;
	/* a mere count may be that of the page */
	return tpm_is_one_of(plain, count) && search->has_next ? 1 : 0;
}

static bool
agrees(const TotalSearch *search, int64 number)
{
	TpmListFacts facts = *search->facts;

	facts.total = number;
	if (tpm_list_total(&facts) < 0)
		return false;
	if (!search->has_next)
		return number == search->received || (search->counted && number > search->received);
	return number > search->received && (search->most < 0 ||
										 (number <= search->most && number > search->most - search->received));
}

static void
consider(TotalSearch *search, const char *path, const char *name, Numeric value)
{
	int64		number = tpm_whole_number(DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value))));
	int			rank = rank_of(name, path, search);

	if (rank == SURE && !search->has_next && !search->counted && number > search->received)
		search->beyond = number;
	if (rank <= search->rank || number < 0 || !agrees(search, number))
		return;
	search->rank = rank;
	search->found = psprintf("%s/%s", path, tpm_json_pointer_token(name));
}

/* no option can hold a control character */
static bool
is_plain(const char *name)
{
	for (; *name; name++)
	{
		if ((unsigned char) *name < ' ' || *name == 0x7f)
			return false;
	}
	return true;
}

static void
search_total(TotalSearch *search, const char *path, JsonbContainer *object, int levels)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	v;
	JsonbIteratorToken token;
	const char *name = "";

	if (!JsonContainerIsObject(object))
		return;
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		if (token != WJB_VALUE || !is_plain(name) || strlen(name) > NAMEDATALEN)
			continue;
		if (v.type == jbvNumeric)
			consider(search, path, name, v.val.numeric);
		else if (v.type == jbvBinary && levels > 1)
			search_total(search, psprintf("%s/%s", path, tpm_json_pointer_token(name)), v.val.binary.data, levels - 1);
	}
}

char *
tpm_sample_total(Jsonb *document, const TpmListFacts *facts, int64 most, int64 *beyond)
{
	TotalSearch search = {
		.facts = facts,
		.received = facts->received,
		.has_next = facts->links.next != NULL,
		.counted = facts->opt->pagination != TPM_PAGE_LINKS,
		.most = most,
	};
	JsonbValue	buffer;
	JsonbValue *meta = tpm_json_get(&document->root, "meta", &buffer);

	if (meta && meta->type == jbvBinary)
		search_total(&search, "/meta", meta->val.binary.data, LEVELS);
	*beyond = search.beyond;
	return search.found;
}
