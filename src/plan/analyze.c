/*-------------------------------------------------------------------------
 *
 * analyze.c
 *		ANALYZE: a sample of the first pages of a list.
 *
 * Owns which rows are taken as the sample.  What a page costs and holds is the
 * list's.
 *
 * At most analyze_pages requests; the number of all rows is the API's total
 * where it gives one, else what was read, or what is known of a list that goes
 * on behind it.  PostgreSQL wants to know how many pages there are before it
 * says how large the sample is, so the pages are read then, as the table's
 * owner, and wait in a file if need be.  From 19 on it takes sizes alone, too:
 * then the first page, with a total, is all that is asked for, unless columns
 * are named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_foreign_server.h"
#include "commands/vacuum.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sampling.h"
#include "utils/tuplestore.h"

#include "base/backend_list.h"
#include "client/client.h"
#include "compat.h"
#include "plan/plan.h"
#include "scan/list.h"
#include "scan/scan.h"

/* pages of a table that have been read for ANALYZE */
typedef struct SamplePages
{
	MemoryContext context;
	Oid			relid;
	TpmTable   *table;
	TpmSession *session;
	TpmList    *list;
	Tuplestorestate *rows;
	double		nrows;
	dlist_node	node;			/* among those whose sample is still to be
								 * taken */
} SamplePages;

static dlist_head sampled = DLIST_STATIC_INIT(sampled);

typedef struct Sample
{
	HeapTuple  *rows;
	int			wanted;
	int			taken;
	double		seen;
	double		to_skip;		/* rows until the next one is taken, <0
								 * unknown */
	ReservoirStateData reservoir;
} Sample;

/* Vitter's algorithm, as in analyze.c of PostgreSQL */
static void
offer_row(Sample *sample, TupleTableSlot *row)
{
	int			at;

	sample->seen++;
	if (sample->taken < sample->wanted)
	{
		sample->rows[sample->taken++] = ExecCopySlotHeapTuple(row);
		return;
	}
	if (sample->to_skip < 0)
		sample->to_skip = reservoir_get_next_S(&sample->reservoir, sample->seen - 1, sample->wanted);
	if (sample->to_skip-- > 0)
		return;
	at = (int) (sample->wanted * sampler_random_fract(&sample->reservoir.randstate));
	heap_freetuple(sample->rows[at]);
	sample->rows[at] = ExecCopySlotHeapTuple(row);
	sample->to_skip = -1;
}

static TpmList *
open_sample_list(const TpmTable *table, TpmSession *session, Relation rel)
{
	TpmRequest *request = palloc0(sizeof(TpmRequest));

	request->path = tpm_request_path(table, NULL, false);
	request->sort = tpm_remote_query_stable_sort(table);
	request->page_size = table->opt.page_size;
	return tpm_list_open(session, table, tpm_decoder_create(table, RelationGetDescr(rel), NULL),
						 request, false);
}

/* what is still to come is known from the first page on */
static void
show_progress(TpmSession *session, const TpmTable *table, const TpmList *list, double rows)
{
	TpmListCursor cursor;

	tpm_list_get_cursor(list, &cursor);
	if (cursor.total >= 0 && cursor.first_page_rows > 0)
		session->expected = Min(table->opt.analyze_pages,
								(cursor.total + cursor.first_page_rows - 1) / cursor.first_page_rows);
	tpm_session_show(session, (int64) rows);
}

/* ----- reading pages ----- */

static SamplePages *
begin_sample_pages(Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw sample", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SamplePages *pages = palloc0(sizeof(SamplePages));

	pages->context = context;
	pages->relid = RelationGetRelid(rel);
	pages->table = tpm_get_table(pages->relid);
	pages->session = tpm_session_create(pages->table->server, pages->table, GetUserId(),
										palloc0(sizeof(TpmStatement)));
	pages->list = open_sample_list(pages->table, pages->session, rel);
	pages->rows = tuplestore_begin_heap(false, false, work_mem);
	tpm_backend_list_add(&sampled, &pages->node, context);
	MemoryContextSwitchTo(old);
	return pages;
}

static void
read_sample_pages(SamplePages *pages, int most)
{
	TpmPage    *page;

	pages->session->progress = tpm_progress_start(pages->relid, "analyze");
	while (tpm_list_pages(pages->list) < most && (page = tpm_list_next(pages->list)) != NULL)
	{
		for (int i = 0; i < page->nrows; i++)
			tuplestore_puttuple(pages->rows, page->rows[i].tuple);
		pages->nrows += page->nrows;
		show_progress(pages->session, pages->table, pages->list, pages->nrows);
		tpm_analyze_delay_point();
	}
	tpm_progress_end(pages->session->progress);
	pages->session->progress = NULL;
}

/* of the whole table */
static double
rows_of_table(const SamplePages *pages)
{
	TpmListCursor cursor;
	TpmTableStats learnt;

	tpm_list_get_cursor(pages->list, &cursor);
	if (cursor.total < 0 && cursor.url != NULL &&
		tpm_table_stats_get(pages->relid, pages->table->options_hash, &learnt))
		return Max(pages->nrows, tpm_table_rows(&learnt));
	return Max(cursor.total, pages->nrows);
}

static BlockNumber
pages_of_table(const SamplePages *pages)
{
	TpmListCursor cursor;
	double		a_page;

	tpm_list_get_cursor(pages->list, &cursor);
	if (cursor.url == NULL)
		return Max(1, tpm_list_pages(pages->list));
	a_page = Max(1, cursor.first_page_rows);
	return (BlockNumber) Min(ceil(rows_of_table(pages) / a_page), MaxBlockNumber);
}

static SamplePages *
find_sample_pages(Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &sampled)
	{
		SamplePages *pages = dlist_container(SamplePages, node, iter.cur);

		if (pages->relid == relid)
			return pages;
	}
	return NULL;
}

static void
end_sample_pages(SamplePages *pages)
{
	tuplestore_end(pages->rows);
	tpm_list_close(pages->list);
	MemoryContextDelete(pages->context);
}

/* ----- PostgreSQL's callbacks ----- */

static int
acquire_sample(Relation rel, int elevel, HeapTuple *rows, int wanted, double *totalrows,
			   double *totaldeadrows)
{
	SamplePages *pages = find_sample_pages(RelationGetRelid(rel));
	Sample		sample = {.rows = rows,.wanted = wanted,.to_skip = -1};
	TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);

	reservoir_init_selection_state(&sample.reservoir, wanted);
	while (tuplestore_gettupleslot(pages->rows, true, false, row))
		offer_row(&sample, row);
	ExecDropSingleTupleTableSlot(row);
	*totalrows = rows_of_table(pages);
	*totaldeadrows = 0;
	ereport(elevel,
			(errmsg("\"%s\": %d requests, %.0f rows received, %d rows in sample, %.0f estimated total rows",
					RelationGetRelationName(rel), tpm_list_pages(pages->list), sample.seen, sample.taken,
					*totalrows)));
	end_sample_pages(pages);
	return sample.taken;
}

/* can it be read without a condition? */
static bool
needs_no_condition(const TpmTable *table)
{
	return !tpm_request_path_has_columns(table) && table->required_filters == NIL;
}

/* what the table's owner may run: before 19 and for a table alone PostgreSQL has not switched to him yet */
static void
read_pages_as_owner(Relation rel, SamplePages *pages, int most, BlockNumber *npages)
{
	Oid			userid;
	int			context;
	int			nestlevel = NewGUCNestLevel();

	GetUserIdAndSecContext(&userid, &context);
	if (!InSecurityRestrictedOperation())
		SetUserIdAndSecContext(rel->rd_rel->relowner, context | SECURITY_RESTRICTED_OPERATION);
	tpm_restrict_search_path();
	if (pages == NULL)
		pages = begin_sample_pages(rel);
	read_sample_pages(pages, most);
	*npages = pages_of_table(pages);
	AtEOXact_GUC(false, nestlevel);
	SetUserIdAndSecContext(userid, context);
}

static bool
analyze_table(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *totalpages)
{
	TpmTable   *table = tpm_get_table(RelationGetRelid(rel));

	if (table->opt.analyze_pages == 0 || !(table->ops & TPM_OP_READ))
		return false;
	if (!needs_no_condition(table))
	{
		ereport(WARNING,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("skipping \"%s\": it cannot be read without a value for a column in its path or required_filters",
						RelationGetRelationName(rel))));
		return false;
	}
	*func = acquire_sample;
	read_pages_as_owner(rel, find_sample_pages(RelationGetRelid(rel)), table->opt.analyze_pages, totalpages);
	return true;
}

/* the size of a table whose total the first page tells; false: it is to be sampled, and that page is a part of it */
static bool
import_statistics(Relation rel, List *va_cols, int elevel)
{
	TpmTable   *table = tpm_get_table(RelationGetRelid(rel));
	SamplePages *pages;
	TpmListCursor cursor;
	BlockNumber npages;

	if (va_cols != NIL || table->opt.analyze_pages == 0 || !(table->ops & TPM_OP_READ) || !needs_no_condition(table))
		return false;
	read_pages_as_owner(rel, NULL, 1, &npages);
	pages = find_sample_pages(RelationGetRelid(rel));
	tpm_list_get_cursor(pages->list, &cursor);
	if (cursor.total < 0 || !tpm_import_relation_size(rel, npages, rows_of_table(pages)))
		return false;
	ereport(elevel,
			(errmsg("\"%s\": %d requests, %.0f estimated total rows", RelationGetRelationName(rel),
					tpm_list_pages(pages->list), rows_of_table(pages))));
	end_sample_pages(pages);
	return true;
}

void
tpm_plan_set_analyze(FdwRoutine *routine)
{
	routine->AnalyzeForeignTable = analyze_table;
	tpm_set_import_statistics(routine, import_statistics);
}
