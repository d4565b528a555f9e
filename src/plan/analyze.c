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
 * on behind it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_foreign_server.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sampling.h"

#include "client/client.h"
#include "compat.h"
#include "plan/plan.h"
#include "scan/list.h"
#include "scan/scan.h"

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
offer_row(Sample *sample, HeapTuple row)
{
	int			at;

	sample->seen++;
	if (sample->taken < sample->wanted)
	{
		sample->rows[sample->taken++] = heap_copytuple(row);
		return;
	}
	if (sample->to_skip < 0)
		sample->to_skip = reservoir_get_next_S(&sample->reservoir, sample->seen - 1, sample->wanted);
	if (sample->to_skip-- > 0)
		return;
	at = (int) (sample->wanted * sampler_random_fract(&sample->reservoir.randstate));
	heap_freetuple(sample->rows[at]);
	sample->rows[at] = heap_copytuple(row);
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

static int
acquire_sample(Relation rel, int elevel, HeapTuple *rows, int wanted, double *totalrows,
			   double *totaldeadrows)
{
	TpmTable   *table = tpm_get_table(RelationGetRelid(rel));

	/* the owner's credential: ANALYZE runs as the table's owner */
	TpmSession *session = tpm_session_create(table->server, table, GetUserId(),
											 palloc0(sizeof(TpmStatement)));
	TpmList    *list = open_sample_list(table, session, rel);
	Sample		sample = {.rows = rows,.wanted = wanted,.to_skip = -1};
	TpmListCursor cursor;
	TpmTableStats learnt;
	TpmPage    *page = NULL;

	session->progress = tpm_progress_start(table->relid, "analyze");
	reservoir_init_selection_state(&sample.reservoir, wanted);
	while (tpm_list_pages(list) < table->opt.analyze_pages && (page = tpm_list_next(list)) != NULL)
	{
		for (int i = 0; i < page->nrows; i++)
			offer_row(&sample, page->rows[i].tuple);
		show_progress(session, table, list, sample.seen);
		tpm_analyze_delay_point();
	}
	tpm_progress_end(session->progress);
	tpm_list_get_cursor(list, &cursor);
	*totalrows = Max(cursor.total, sample.seen);
	if (cursor.total < 0 && cursor.url != NULL &&
		tpm_table_stats_get(table->relid, table->options_hash, &learnt))
		*totalrows = Max(sample.seen, tpm_table_rows(&learnt));
	*totaldeadrows = 0;
	ereport(elevel,
			(errmsg("\"%s\": %d requests, %.0f rows received, %d rows in sample, %.0f estimated total rows",
					RelationGetRelationName(rel), tpm_list_pages(list), sample.seen, sample.taken,
					*totalrows)));
	return sample.taken;
}

bool
tpm_analyze_table(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *totalpages)
{
	TpmTable   *table = tpm_get_table(RelationGetRelid(rel));

	if (table->opt.analyze_pages == 0 || !(table->ops & TPM_OP_READ))
		return false;
	if (tpm_request_path_has_columns(table) || table->required_filters != NIL)
	{
		ereport(WARNING,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("skipping \"%s\": it cannot be read without a value for a column in its path or required_filters",
						RelationGetRelationName(rel))));
		return false;
	}
	*func = acquire_sample;
	*totalpages = table->opt.analyze_pages;
	return true;
}
