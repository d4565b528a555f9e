/*-------------------------------------------------------------------------
 *
 * check_paging.c
 *		tpm_fdw_check of one foreign table: how its list is cut into pages.
 *
 * Owns the requests that find out what the first page does not tell: whether
 * it is the first (pages may be counted from 0), and whether others can be
 * asked for by a number or an offset.  What a page says of the end of its list
 * is client/list_end.c's to judge.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"

#include "base/idset.h"
#include "base/json.h"
#include "check/check.h"
#include "import/sample.h"
#include "option/option_definition.h"

/* ----- what the first page tells ----- */

void
tpm_check_read_paging(TpmTableCheck *check, const TpmAnswer *answer)
{
	const TpmOptions *opt = &check->table->opt;
	TpmListFacts *facts = &check->facts;
	TpmListEnd	end;

	facts->opt = opt;
	facts->asked = opt->page_size;
	facts->received = facts->first_page_rows = list_length(check->resources);
	facts->rows = facts->received;
	facts->page = 1;
	facts->total = -1;
	tpm_sample_links(check->document, answer, facts);
	end = tpm_list_end(facts);

	/*
	 * a short page without a word of others is one that a scan asks after;
	 * here it is all that is known
	 */
	check->more = end == TPM_LIST_FOLLOWS_LINK || facts->links.next != NULL ||
		(end == TPM_LIST_GOES_ON && facts->received >= facts->asked);
	check->all = end == TPM_LIST_ENDS && (facts->links.given || facts->links.of_pages || facts->total >= 0);
}

bool
tpm_check_total_agrees(const TpmTableCheck *check, int64 total)
{
	TpmListFacts facts = check->facts;

	facts.total = total;
	if (tpm_list_total(&facts) < 0)
		return false;
	return total > facts.received ? !check->all : total == facts.received && !check->more;
}

/* ----- its size ----- */

void
tpm_check_page_size(TpmTableCheck *check)
{
	int			asked = check->table->opt.page_size;
	int			given = check->facts.received;

	if (!check->table->opt.page_size_parameter[0])
		tpm_report(check->report, "page size", TPM_STEP_OK, psprintf("%d; no size is asked for", given), NULL);
	else if (given > asked)
		tpm_report(check->report, "page size", TPM_STEP_FAILED,
				   psprintf("asked for %d, given %d", asked, given),
				   psprintf("The parameter that option page_parameters names (%s) may not be the API's.",
							check->table->opt.page_size_parameter));
	else if (check->more && given < asked && given > 0)
		tpm_report(check->report, "page size", TPM_STEP_FAILED,
				   psprintf("asked for %d, given %d: the largest page", asked, given),
				   tpm_alter_table(check->table, tpm_alter_option(NIL, "page_size", psprintf("%d", given))));
	else if (!check->more && (check->all || check->total == given))
		tpm_report(check->report, "page size", TPM_STEP_OK,
				   psprintf("%d rows are all there are; asked for %d", given, asked), NULL);
	else if (given == asked)
		tpm_report(check->report, "page size", TPM_STEP_OK, psprintf("%d, as asked for", given), NULL);
	else
		tpm_report(check->report, "page size", TPM_STEP_OK,
				   psprintf("%d rows, fewer than the %d asked for; nothing is said of other pages", given, asked), NULL);
}

/* ----- other pages ----- */

/* what another page brings beside the first one */
typedef enum Brings
{
	BRINGS_NOTHING,				/* refused, empty, no list, or not tried */
	BRINGS_SAME,
	BRINGS_SOME,				/* others beside those of the first one */
	BRINGS_OTHERS
} Brings;

static uint64
hash_of(JsonbContainer *resource)
{
	char	   *id = tpm_json_member_text(resource, "id");

	return id ? tpm_id_hash("", id) : 0;
}

static TpmIdSet *
ids_of_first_page(const TpmTableCheck *check)
{
	TpmIdSet   *ids = tpm_idset_create(128);
	ListCell   *lc;

	foreach(lc, check->resources)
		tpm_idset_add(ids, hash_of(lfirst(lc)));
	return ids;
}

static Brings
ask_page(TpmTableCheck *check, const TpmTable *table, const TpmPosition *position)
{
	TpmAnswer  *answer = tpm_check_fetch_at(check, table, tpm_check_request(check), position);
	Jsonb	   *document = answer && answer->status >= 200 && answer->status <= 299
	? tpm_json_object(answer->body, answer->len) : NULL;
	JsonbValue	buffer;
	JsonbValue *data = document ? getKeyJsonValueFromContainer(&document->root, "data", 4, &buffer) : NULL;
	TpmIdSet   *known = ids_of_first_page(check);
	int			same = 0;
	int			others = 0;

	if (data == NULL || data->type != jbvBinary || !JsonContainerIsArray(data->val.binary.data))
		return BRINGS_NOTHING;
	for (uint32 i = 0; i < JsonContainerSize(data->val.binary.data); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(data->val.binary.data, i);

		if (item->type != jbvBinary || !JsonContainerIsObject(item->val.binary.data))
			continue;
		if (tpm_idset_has(known, hash_of(item->val.binary.data)))
			same++;
		else
			others++;
	}
	if (others > 0)
		return same > 0 ? BRINGS_SOME : BRINGS_OTHERS;
	return same > 0 ? BRINGS_SAME : BRINGS_NOTHING;
}

static bool
counts_pages(const TpmOptions *opt)
{
	return opt->pagination == TPM_PAGE_NUMBER || opt->pagination == TPM_PAGE_NUMBER_BASE64;
}

int
tpm_check_paging_cost(const TpmTable *table)
{
	return table->opt.pagination == TPM_PAGE_LINKS ? 3 : counts_pages(&table->opt) ? 1 : 0;
}

/* the number of the first page, as far as it can be found out */
static int
find_first_page(TpmTableCheck *check)
{
	const TpmOptions *opt = &check->table->opt;
	TpmPosition start = {0};
	int64		told = tpm_list_first_page(opt, &check->facts.links, tpm_request_url(check->table, tpm_check_request(check), &start));
	TpmPosition other = {.page = opt->first_page == 1 ? -1 : 1};
	Brings		brings;

	if (told == 0 || told == 1)
		return (int) told;
	/* the whole list begins with its first page */
	if (check->facts.received > 0 && check->total == check->facts.received)
		return opt->first_page;
	brings = ask_page(check, check->table, &other);
	if (opt->first_page == 1)
		return brings == BRINGS_OTHERS ? 0 : 1;

	/*
	 * where the first one is 1, some take 0 for it, and others have nothing
	 * there
	 */
	return brings == BRINGS_SAME || (brings == BRINGS_OTHERS && check->facts.received == 0) ? 1 : 0;
}

/* more was announced than what the API says, or shows, to be all */
static bool
lacks_announced(const TpmTableCheck *check)
{
	TpmListFacts facts = check->facts;

	facts.total = check->total;
	return check->total > facts.received && tpm_list_end(&facts) == TPM_LIST_ENDS;
}

static void
report_lack(TpmTableCheck *check)
{
	tpm_report(check->report, "paging", TPM_STEP_FAILED,
			   psprintf("%d of " INT64_FORMAT " rows, and no page after them", check->facts.received, check->total),
			   "The option page_parameters names the parameters of the page's size and its number or offset.");
}

static void
check_first_page(TpmTableCheck *check)
{
	int			first = find_first_page(check);

	if (first != check->table->opt.first_page)
		tpm_report(check->report, "paging", TPM_STEP_FAILED,
				   psprintf("the API counts pages from %d, not from %d", first, check->table->opt.first_page),
				   tpm_alter_table(check->table, tpm_alter_option(NIL, "first_page", psprintf("%d", first))));
	else if (lacks_announced(check))
		report_lack(check);
	else if (check->facts.received > 0)
		tpm_report(check->report, "paging", TPM_STEP_OK, psprintf("pages are counted from %d", first), NULL);
	else
		tpm_report(check->report, "paging", TPM_STEP_OK,
				   psprintf("no page has a row, neither %d nor %d", first, 1 - first), NULL);
}

/* the table as if its pages were asked for like that */
static TpmTable
paged_like(const TpmTable *table, TpmPagination pagination)
{
	TpmTable	copy = *table;

	copy.opt.pagination = pagination;
	copy.opt.first_page = 1;
	tpm_problem_check(tpm_options_finish(&copy.opt));
	return copy;
}

/* options by which a page comes that the first one does not lead to; NIL: none does */
static List *
find_pagination(TpmTableCheck *check)
{
	TpmTable	numbered = paged_like(check->table, TPM_PAGE_NUMBER);
	TpmTable	counted = paged_like(check->table, TPM_PAGE_OFFSET);
	TpmPosition first = {0};
	TpmPosition second = {.page = 1,.offset = check->facts.received};
	Brings		called_1;
	List	   *options;

	if (ask_page(check, &numbered, &second) == BRINGS_OTHERS)
	{
		called_1 = ask_page(check, &numbered, &first);
		/* from the second row on, not a page on */
		if (called_1 == BRINGS_SOME)
			return tpm_alter_option(NIL, "pagination", "offset");
		options = tpm_alter_option(NIL, "pagination", "number");
		return called_1 == BRINGS_OTHERS ? tpm_alter_option(options, "first_page", "0") : options;
	}
	if (ask_page(check, &counted, &second) == BRINGS_OTHERS)
		return tpm_alter_option(NIL, "pagination", "offset");
	return NIL;
}

/* neither links lead on nor does anything say that there is nothing more, or more was announced */
static void
check_unlinked(TpmTableCheck *check)
{
	int			rows = check->facts.received;
	char	   *what = check->total > rows ? psprintf("%d of " INT64_FORMAT " rows, and no link to the next page", rows, check->total)
	: psprintf("%d rows, and neither a link nor a total says whether there are more", rows);
	List	   *options = rows > 0 ? find_pagination(check) : NIL;

	if (options != NIL)
		tpm_report(check->report, "paging", TPM_STEP_FAILED,
				   psprintf("%s, but a page that is asked for by its %s brings others", what,
							strcmp(defGetString(linitial(options)), "number") == 0 ? "number" : "offset"),
				   tpm_alter_table(check->table, options));
	else
		tpm_report(check->report, "paging", TPM_STEP_FAILED,
				   psprintf("%s; asked for by a number or an offset, no other page comes", what),
				   "The option pagination says how pages are counted: number, number_base64 or offset; page_parameters names the parameters. If the API gives all rows at once, set page_size to more than there are.");
}

void
tpm_check_paging(TpmTableCheck *check)
{
	if (counts_pages(&check->table->opt))
		check_first_page(check);
	else if (check->table->opt.pagination == TPM_PAGE_LINKS &&
			 (tpm_list_end(&check->facts) == TPM_LIST_ENDS_UNTOLD || lacks_announced(check)))
		check_unlinked(check);
	else if (lacks_announced(check))
		report_lack(check);
}
