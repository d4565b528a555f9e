/*-------------------------------------------------------------------------
 *
 * include.c
 *		Resources that one list brings for scans by id of the same run.
 *
 * A join that reads cases, and by id the third party of each, needs no request
 * for these: a compound document (JSON:API 1.0, section 7.3) has them.  Owns
 * the wishes of scans by id, which list is asked for them, and what has come.
 * How the keys that did not come are asked for is keyed.c's.
 *
 * A scan by id leaves its wish when it is set up.  A scan that is about to send
 * finds those whose look-ahead node reads its keys from a relationship of this
 * scan, and asks for the resources as well.  They are kept as they came, for
 * the run alone, and read when their id is asked for: what nobody asks for
 * raises no error.  One that lacks a member which the scan reads is no answer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/url.h"
#include "compat.h"
#include "document/id_spelling.h"
#include "scan/key_window.h"
#include "scan/scan.h"
#include "shared/counters.h"

/* so many resources that lead to others, and none of these with them, tell that the API includes nothing */
#define TELLING_LINKS		20

/* bytes of a URL that the names of members of one type take; else all are asked for */
#define MOST_FIELDS_BYTES	1000

/* what has come with one page */
typedef struct OfferPage
{
	MemoryContext context;
	struct OfferPage *newer;
	List	   *ids;			/* of char * */
} OfferPage;

typedef struct Offer
{
	const char *id;
	uint32		hash;
	char		status;
	OfferPage  *page;			/* the last one that has brought it; in whose
								 * memory the rest is */
	TimestampTz received;
	TpmIncluded *resource;		/* NULL: it has been read */
	HeapTuple	row;			/* NULL: it lacks what the scan reads */
} Offer;

#define SH_PREFIX offer_table
#define SH_ELEMENT_TYPE Offer
#define SH_KEY_TYPE const char *
#define SH_KEY id
#define SH_HASH_KEY(tb, a) hash_bytes((const unsigned char *) (a), strlen(a))
#define SH_EQUAL(tb, a, b) (strcmp(a, b) == 0)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct TpmWish
{
	TpmScan    *scan;
	int			link;			/* see key_window.h */
	MemoryContext context;		/* of what has come; NULL: nothing has */
	offer_table_hash *offers;
	OfferPage  *oldest;
	OfferPage  *newest;
	OfferPage  *at_hand;		/* that has the row returned last */
	dlist_node	node;			/* among those of this backend */
};

/* what a scan asks for beside its own resources */
struct TpmIncludes
{
	List	   *wishes;			/* of TpmWish *; NIL: nothing */
	char	   *names;			/* of all relationships, as the request has
								 * them */
};

static dlist_head all_wishes = DLIST_STATIC_INIT(all_wishes);

/* ----- who may ask, and who may be answered ----- */

static bool
has_member_of_its_own(const TpmColumn *column)
{
	return tpm_column_has_member(column) || column->kind == TPM_COL_CUSTOM_FIELD;
}

/* does a resource tell the column's value, or that it does not, wherever it stands? */
static bool
is_of_resource(const TpmTable *table, const TpmColumn *column)
{
	if (has_member_of_its_own(column))
		return column->attnum < TPM_SEEN_WORDS * 64 && tpm_request_member(table, column) != NULL;
	return column->kind == TPM_COL_NONE || column->kind == TPM_COL_ID || column->kind == TPM_COL_FETCHED_AT;
}

/* are all resources of the type, and nothing else, the rows of the table? */
static bool
is_whole_type(const TpmTable *table)
{
	return table->resource[0] == '/' && strcmp(table->resource + 1, table->type) == 0 &&
		table->opt.query == NULL && table->required_filters == NIL && table->include == NULL &&
		!tpm_hidden_is_learnt(table);
}

bool
tpm_include_may_answer(const TpmTable *table, AttrNumber key, const OpExpr *clause, const List *columns)
{
	ListCell   *lc;

	/* one id is one text */
	if (key != table->id_attnum || tpm_id_has_spellings(table) || clause->opno != TextEqualOperator ||
		!OidIsValid(clause->inputcollid) || !get_collation_isdeterministic(clause->inputcollid))
		return false;
	foreach(lc, columns)
	{
		if (!is_of_resource(table, &table->columns[lfirst_int(lc) - 1]))
			return false;
	}
	/* one copy of the table is read for all keys */
	return table->opt.cache_scope != TPM_SCOPE_TABLE && is_whole_type(table);
}

bool
tpm_include_may_ask(const TpmTable *table, AttrNumber attnum, const TpmTable *wanted)
{
	const TpmOptions *opt = &table->opt;
	const TpmColumn *column = attnum > 0 ? &table->columns[attnum - 1] : NULL;
	TpmTableStats learnt;

	if (column == NULL || column->kind != TPM_COL_RELATIONSHIP ||
		(column->type != TEXTOID && column->type != VARCHAROID) ||
		strpbrk(strVal(linitial(column->path)), ",.") != NULL ||
		table->server->serverid != wanted->server->serverid)
		return false;
	/* members of one type can be named apart from those of another */
	if (opt->fields_format[0] && strstr(opt->fields_format, "%s") == NULL)
		return false;
	if (opt->query && strstr(opt->query, opt->include_parameter))
		return false;
	return !tpm_table_stats_get(table->relid, table->options_hash, &learnt) ||
		!tpm_column_bit(learnt.refused_columns, attnum);
}

/* ----- wishes ----- */

void
tpm_include_wish(TpmScan *scan)
{
	ForeignScan *plan = (ForeignScan *) scan->node->ss.ps.plan;
	MemoryContext context = scan->node->ss.ps.state->es_query_cxt;
	const List *key = list_nth(plan->fdw_private, TPM_PRIV_KEY);
	TpmWish    *wish;

	/* what a statement reads and writes is asked for when its turn comes */
	if (key == NIL || (scan->flags & TPM_PLAN_NO_CACHE) ||
		!tpm_include_may_answer(scan->table, scan->conditions[linitial_int(key)].attnum,
								castNode(OpExpr, list_nth(tpm_plan_quals(plan), lsecond_int(key))),
								scan->columns))
		return;
	wish = MemoryContextAllocZero(context, sizeof(TpmWish));
	wish->scan = scan;
	wish->link = intVal(list_nth(plan->fdw_private, TPM_PRIV_LINK));
	scan->wish = wish;
	tpm_backend_list_add(&all_wishes, &wish->node, context);
}

/* the column of this scan that the wish reads its keys from, 0 if there is none or it cannot be fulfilled */
static AttrNumber
column_of_wish(const TpmScan *scan, const TpmWish *wish)
{
	EState	   *estate = scan->node->ss.ps.state;
	TpmKeyWindow *window;

	if (wish->scan->node->ss.ps.state != estate || wish->scan == scan || wish->scan->userid != scan->userid)
		return 0;
	window = tpm_key_window_find(estate, wish->link);
	if (window == NULL || window->source == 0 ||
		window->source != ((Scan *) scan->node->ss.ps.plan)->scanrelid ||
		!tpm_include_may_ask(scan->table, window->source_column, wish->scan->table))
		return 0;
	return window->source_column;
}

static struct TpmIncludes *
find_wishes(const TpmScan *scan)
{
	struct TpmIncludes *includes = palloc0(sizeof(struct TpmIncludes));
	const TpmTable *table = scan->table;
	dlist_iter	iter;

	dlist_foreach(iter, &all_wishes)
	{
		TpmWish    *wish = dlist_container(TpmWish, node, iter.cur);
		AttrNumber	attnum = column_of_wish(scan, wish);

		if (attnum == 0)
			continue;
		if (includes->wishes == NIL)
			includes->names = table->include ? pstrdup(table->include) : "";
		includes->wishes = lappend(includes->wishes, wish);
		includes->names = tpm_request_join(includes->names, strVal(linitial(table->columns[attnum - 1].path)));
	}
	return includes;
}

char *
tpm_include_names(const TpmScan *scan)
{
	return (scan->includes ? scan->includes : find_wishes(scan))->names;
}

/* ----- the request ----- */

static void
prepare(TpmScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->node->ss.ps.state->es_query_cxt);
	List	   *types = NIL;
	ListCell   *lc;

	scan->includes = find_wishes(scan);
	foreach(lc, scan->includes->wishes)
		types = lappend(types, ((TpmWish *) lfirst(lc))->scan->table->type);
	if (types != NIL)
		tpm_decoder_keep_included(scan->decoder, types);
	MemoryContextSwitchTo(old);
}

/* the members that all wishes for the type read; NULL: all that there are */
static char *
members_for(List *wishes, const char *type)
{
	char	   *members = "";
	ListCell   *lc;

	foreach(lc, wishes)
	{
		const TpmScan *scan = ((TpmWish *) lfirst(lc))->scan;
		char	   *fields;

		if (strcmp(scan->table->type, type) != 0)
			continue;
		fields = tpm_scan_may_name(scan) ? tpm_request_fields(scan->table, scan->columns) : NULL;
		if (fields == NULL)
			return NULL;
		members = tpm_request_join(members, fields);
	}
	return strlen(tpm_url_encode_query(members)) <= MOST_FIELDS_BYTES ? members : NULL;
}

static bool
names_type(const TpmRequest *request, const char *type)
{
	ListCell   *lc;

	foreach(lc, request->fields_of_included)
	{
		if (strcmp(((TpmFields *) lfirst(lc))->type, type) == 0)
			return true;
	}
	return false;
}

void
tpm_include_spell(TpmScan *scan, TpmRequest *request)
{
	ListCell   *lc;

	if (scan->includes == NULL)
		prepare(scan);
	request->include = scan->includes->names;
	request->fields_of_included = NIL;
	foreach(lc, scan->includes->wishes)
	{
		const char *type = ((TpmWish *) lfirst(lc))->scan->table->type;
		char	   *members = members_for(scan->includes->wishes, type);
		TpmFields  *of;

		if (strcmp(type, scan->table->type) == 0)
		{
			if (request->fields)
				request->fields = members ? tpm_request_join(request->fields, members) : NULL;
			continue;
		}
		/* columns of this table may read other members of what it includes */
		if (members == NULL || scan->table->include || !scan->table->opt.fields_format[0] ||
			names_type(request, type))
			continue;
		of = palloc(sizeof(TpmFields));
		of->type = type;
		of->members = members;
		request->fields_of_included = lappend(request->fields_of_included, of);
	}
}

void
tpm_include_drop(TpmRequest *request)
{
	request->include = NULL;
	request->fields_of_included = NIL;
}

static void
mark_column(uint64 *columns, AttrNumber attnum)
{
	if (attnum < TPM_SEEN_WORDS * 64)
		columns[attnum / 64] |= UINT64CONST(1) << (attnum % 64);
}

void
tpm_include_refused(TpmScan *scan)
{
	uint64		columns[TPM_SEEN_WORDS] = {0};
	ListCell   *lc;

	foreach(lc, scan->includes->wishes)
		mark_column(columns, column_of_wish(scan, lfirst(lc)));
	tpm_table_stats_refused(scan->table->relid, scan->table->options_hash, columns);
	scan->includes->wishes = NIL;
	scan->includes->names = NULL;
}

/* ----- what has come ----- */

static void
forget_page(TpmWish *wish, OfferPage *page)
{
	ListCell   *lc;

	foreach(lc, page->ids)
	{
		Offer	   *offer = offer_table_lookup(wish->offers, lfirst(lc));

		if (offer && offer->page == page)
			offer_table_delete_item(wish->offers, offer);
	}
	MemoryContextDelete(page->context);
}

/* what came first is forgotten, but for the page at hand and the last one */
static void
make_room_for_offers(TpmWish *wish)
{
	Size		limit = get_hash_memory_limit();
	OfferPage **at = &wish->oldest;

	while (*at != wish->newest && MemoryContextMemAllocated(wish->context, true) > limit)
	{
		OfferPage  *page = *at;

		if (page == wish->at_hand)
		{
			at = &page->newer;
			continue;
		}
		*at = page->newer;
		forget_page(wish, page);
	}
}

/* in the memory of the page; what was known of the resource stays, for one statement shows it as it was */
static void
keep_offer(TpmWish *wish, OfferPage *page, const TpmIncluded *resource, TimestampTz received)
{
	char	   *id = pstrdup(resource->id);
	bool		found;
	Offer	   *offer = offer_table_insert(wish->offers, id, &found);
	TpmIncluded *kept;

	if (found && offer->page == page)
		return;
	if (!found)
		offer->received = received;
	else if (offer->resource)
		resource = offer->resource;
	offer->row = found && offer->row ? heap_copytuple(offer->row) : NULL;
	if (!found || offer->resource)
	{
		kept = palloc(sizeof(TpmIncluded));
		kept->id = id;
		kept->type = wish->scan->table->type;
		kept->document = pstrdup(resource->document);
		offer->resource = kept;
	}
	offer->id = id;
	offer->page = page;
	page->ids = lappend(page->ids, id);
}

/* false: there is nothing for the wish */
static bool
offer_page(TpmWish *wish, const TpmPage *received)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext context;
	OfferPage  *page;
	ListCell   *lc;

	if (wish->context == NULL)
	{
		wish->context = AllocSetContextCreate(wish->scan->node->ss.ps.state->es_query_cxt, "tpm_fdw included",
											  ALLOCSET_DEFAULT_SIZES);
		wish->offers = offer_table_create(wish->context, 256, NULL);
	}
	context = AllocSetContextCreate(wish->context, "tpm_fdw page of included", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(context);
	page = palloc0(sizeof(OfferPage));
	page->context = context;
	foreach(lc, received->included)
	{
		TpmIncluded *resource = lfirst(lc);

		if (strcmp(resource->type, wish->scan->table->type) == 0)
			keep_offer(wish, page, resource, received->received);
	}
	if (wish->newest)
		wish->newest->newer = page;
	else
		wish->oldest = page;
	wish->newest = page;
	make_room_for_offers(wish);
	MemoryContextSwitchTo(old);
	return page->ids != NIL;
}

/* the API passes over what it cannot include, though it should refuse it */
static void
learn_nothing_comes(const TpmScan *scan, const TpmPage *page, AttrNumber attnum)
{
	uint64		columns[TPM_SEEN_WORDS] = {0};
	int			nlinks = 0;

	for (int i = 0; i < page->nrows; i++)
		nlinks += !heap_attisnull(page->rows[i].tuple, attnum, scan->tupdesc);
	if (nlinks < TELLING_LINKS)
		return;
	mark_column(columns, attnum);
	tpm_table_stats_refused(scan->table->relid, scan->table->options_hash, columns);
}

void
tpm_include_offer(TpmScan *scan, const TpmPage *page, bool asked)
{
	ListCell   *lc;

	foreach(lc, scan->includes->wishes)
	{
		TpmWish    *wish = lfirst(lc);
		AttrNumber	attnum = column_of_wish(scan, wish);

		if (!offer_page(wish, page) && asked && attnum != 0)
			learn_nothing_comes(scan, page, attnum);
	}
}

/* has the resource all that the scan reads? */
static bool
is_complete(const TpmScan *scan, const TpmPageMembers *members)
{
	ListCell   *lc;

	foreach(lc, scan->columns)
	{
		const TpmColumn *column = &scan->table->columns[lfirst_int(lc) - 1];

		if (has_member_of_its_own(column) &&
			(!tpm_column_bit(members->seen, column->attnum) || tpm_column_bit(members->unknown, column->attnum)))
			return false;
	}
	return true;
}

static void
read_offer(const TpmScan *scan, Offer *offer)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw included resource",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	TpmPage    *page = tpm_document_read_included(scan->decoder, offer->resource, offer->received,
												  psprintf("%s, included by another list", scan->table->name));

	if (page->nrows == 1 && is_complete(scan, &page->members))
	{
		MemoryContextSwitchTo(offer->page->context);
		offer->row = heap_copytuple(page->rows[0].tuple);
	}
	offer->resource = NULL;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

static Offer *
find_offer(const TpmWish *wish, Datum id)
{
	Offer	   *offer;
	char	   *spelled;

	if (wish == NULL || wish->context == NULL)
		return NULL;
	spelled = TextDatumGetCString(id);
	offer = offer_table_lookup(wish->offers, spelled);
	pfree(spelled);
	return offer;
}

bool
tpm_include_has(const TpmScan *scan, Datum id)
{
	const Offer *offer = find_offer(scan->wish, id);

	return offer && (offer->resource || offer->row);
}

HeapTuple
tpm_include_find(TpmScan *scan, Datum id)
{
	TpmWish    *wish = scan->wish;
	Offer	   *offer = find_offer(wish, id);

	if (offer == NULL)
		return NULL;
	if (offer->resource)
		read_offer(scan, offer);
	wish->at_hand = offer->page;
	return offer->row;
}
