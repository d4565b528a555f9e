/*-------------------------------------------------------------------------
 *
 * copy_apply.c
 *		Rows of the foreign table into its copy, and rows out of it.
 *
 * Owns the statements that write copies, and which of two rows stays.  Runs and
 * own writes come here; who asks is the copy's owner already.
 *
 * A row stays if its answer's request left later than that of the other one;
 * _changed_at says when that was.  What a cursor says decides nothing.  A moment
 * in the future of our clock was none: such a row is written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "copy/copy_run_internal.h"

struct TpmCopyTarget
{
	TupleDesc	tupdesc;		/* of the copy, as the statements were made
								 * for */
	Oid			row_type;
	AttrNumber *from;			/* column of the foreign table for each of the
								 * copy's, 0: none */
	AttrNumber	id;				/* of the copy */
	AttrNumber	changed_at;
	AttrNumber	deleted_at;		/* 0: none */
	char	   *relation;		/* its name, quoted */
	FmgrInfo	compare_ids;
	Oid			id_collation;
	SPIPlanPtr	upsert;
	SPIPlanPtr	revived;
	SPIPlanPtr	delete;
	bool		marks;			/* in place of deleting */
	MemoryContextCallback callback;
};

/* ----- statements ----- */

static void
free_plans(void *arg)
{
	TpmCopyTarget *target = arg;
	SPIPlanPtr	plans[] = {target->upsert, target->revived, target->delete};

	for (int i = 0; i < (int) lengthof(plans); i++)
	{
		if (plans[i])
			SPI_freeplan(plans[i]);
	}
}

/* its plan holds for all rows: the array that it is given is one value */
static SPIPlanPtr
prepare_statement(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "a statement of a local copy could not be prepared: %s", sql);
	return plan;
}

static bool
is_written(const TpmCopyTarget *target, int i)
{
	return target->from[i] > 0 || i + 1 == target->changed_at || i + 1 == target->deleted_at;
}

/* when it was asked for is no difference */
static bool
is_compared(const TpmCopyRun *run, const TpmCopyTarget *target, int i)
{
	AttrNumber	from = target->from[i];

	return i + 1 == target->deleted_at ||
		(from > 0 && run->table->columns[from - 1].kind != TPM_COL_FETCHED_AT);
}

static void
add_name(StringInfo list, const char *before, const TpmCopyTarget *target, int i)
{
	appendStringInfo(list, "%s%s%s", list->len > 0 ? ", " : "", before,
					 quote_identifier(NameStr(TupleDescAttr(target->tupdesc, i)->attname)));
}

#define CAME_LATER(moment) \
	"(t." TPM_COPY_CHANGED_AT " > " moment " AND t." TPM_COPY_CHANGED_AT " <= pg_catalog.clock_timestamp())"

static char *
upsert_statement(const TpmCopyRun *run, const TpmCopyTarget *target)
{
	StringInfoData names,
				given,
				set,
				here,
				there;

	initStringInfo(&names);
	initStringInfo(&given);
	initStringInfo(&set);
	initStringInfo(&here);
	initStringInfo(&there);
	for (int i = 0; i < target->tupdesc->natts; i++)
	{
		const char *name = quote_identifier(NameStr(TupleDescAttr(target->tupdesc, i)->attname));

		if (!is_written(target, i))
			continue;
		add_name(&names, "", target, i);
		add_name(&given, "r.", target, i);
		if (i + 1 != target->id)
			appendStringInfo(&set, "%s%s = EXCLUDED.%s", set.len > 0 ? ", " : "", name, name);
		if (is_compared(run, target, i))
		{
			add_name(&here, "t.", target, i);
			add_name(&there, "EXCLUDED.", target, i);
		}
	}
	return psprintf("INSERT INTO %s AS t (%s) SELECT %s FROM pg_catalog.unnest($1::%s[]) AS r "
					"ON CONFLICT (%s) DO UPDATE SET %s WHERE ROW(%s)::record OPERATOR(pg_catalog.*<>) ROW(%s)::record "
					"AND " CAME_LATER("EXCLUDED." TPM_COPY_CHANGED_AT) " IS NOT TRUE RETURNING (t.xmax = 0)",
					target->relation, names.data, given.data, target->relation,
					quote_identifier(NameStr(TupleDescAttr(target->tupdesc, target->id - 1)->attname)),
					set.data, here.data, there.data);
}

static SPIPlanPtr
upsert_plan(const TpmCopyRun *run, TpmCopyTarget *target)
{
	Oid			types[] = {get_array_type(target->row_type)};

	if (target->upsert == NULL)
		target->upsert = prepare_statement(upsert_statement(run, target), 1, types);
	return target->upsert;
}

/* how many of the rows are marked, and will be no more */
static SPIPlanPtr
revived_plan(TpmCopyTarget *target)
{
	Oid			types[] = {get_array_type(target->row_type)};
	const char *id = quote_identifier(NameStr(TupleDescAttr(target->tupdesc, target->id - 1)->attname));

	if (target->revived == NULL)
		target->revived = prepare_statement(psprintf("SELECT pg_catalog.count(*) FROM pg_catalog.unnest($1::%s[]) AS r JOIN %s AS t ON t.%s = r.%s "
													 "WHERE t." TPM_COPY_DELETED_AT " IS NOT NULL AND " CAME_LATER("r." TPM_COPY_CHANGED_AT) " IS NOT TRUE",
													 target->relation, target->relation, id, id), 1, types);
	return target->revived;
}

static SPIPlanPtr
delete_plan(TpmCopyTarget *target, bool marks)
{
	Oid			types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
	Form_pg_attribute id = TupleDescAttr(target->tupdesc, target->id - 1);
	char	   *gone;

	if (target->delete && target->marks == marks)
		return target->delete;
	gone = psprintf("t.%s = ANY ($1::%s[]) AND " CAME_LATER("$2") " IS NOT TRUE",
					quote_identifier(NameStr(id->attname)), format_type_be_qualified(getBaseType(id->atttypid)));
	if (marks)
		gone = psprintf("UPDATE %s AS t SET " TPM_COPY_DELETED_AT " = $2, " TPM_COPY_CHANGED_AT " = $2 WHERE %s AND t."
						TPM_COPY_DELETED_AT " IS NULL", target->relation, gone);
	else
		gone = psprintf("DELETE FROM %s AS t WHERE %s", target->relation, gone);
	if (target->delete)
		SPI_freeplan(target->delete);
	target->delete = prepare_statement(gone, 2, types);
	target->marks = marks;
	return target->delete;
}

/* ----- what a table is written with ----- */

/* which column of the foreign table it is; 0: none */
static AttrNumber
column_of_source(const TpmCopyRun *run, Form_pg_attribute att)
{
	for (int i = 0; i < run->tupdesc->natts; i++)
	{
		Form_pg_attribute source = TupleDescAttr(run->tupdesc, i);

		if (source->attisdropped || strcmp(NameStr(source->attname), NameStr(att->attname)) != 0)
			continue;
		if (source->atttypid != att->atttypid)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of local copy %s is of another type than in its foreign table",
							NameStr(att->attname), run->name),
					 errdetail("It is %s here, and %s there.", format_type_be(att->atttypid),
							   format_type_be(source->atttypid)),
					 errhint("ALTER TABLE %s ALTER COLUMN %s TYPE %s", run->name,
							 quote_identifier(NameStr(att->attname)),
							 format_type_with_typemod(source->atttypid, source->atttypmod))));
		return source->attnum;
	}
	return 0;
}

static void
map_columns(const TpmCopyRun *run, TpmCopyTarget *target)
{
	target->from = palloc0(sizeof(AttrNumber) * target->tupdesc->natts);
	for (int i = 0; i < target->tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(target->tupdesc, i);

		if (att->attisdropped || att->attgenerated)
			continue;
		if (strcmp(NameStr(att->attname), TPM_COPY_CHANGED_AT) == 0)
			target->changed_at = att->attnum;
		else if (strcmp(NameStr(att->attname), TPM_COPY_DELETED_AT) == 0)
			target->deleted_at = att->attnum;
		else
			target->from[i] = column_of_source(run, att);
		if (target->from[i] > 0 && target->from[i] == run->table->id_attnum)
			target->id = att->attnum;
	}
	if (target->id == 0 || target->changed_at == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("local copy %s has no column \"%s\" any more", run->name,
						target->id == 0 ? "id" : TPM_COPY_CHANGED_AT),
				 errhint("SELECT tpm_fdw_drop_copy(...) and make another one.")));
}

static TpmCopyTarget *
make_target(TpmCopyRun *run, Relation rel)
{
	TpmCopyTarget *target = palloc0(sizeof(TpmCopyTarget));
	Form_pg_attribute id;
	TypeCacheEntry *type;

	target->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	target->row_type = rel->rd_rel->reltype;
	target->relation = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												  RelationGetRelationName(rel));
	map_columns(run, target);
	id = TupleDescAttr(target->tupdesc, target->id - 1);
	type = lookup_type_cache(id->atttypid, TYPECACHE_CMP_PROC);
	fmgr_info_cxt(type->cmp_proc, &target->compare_ids, CurrentMemoryContext);
	target->id_collation = id->attcollation;
	target->callback.func = free_plans;
	target->callback.arg = target;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &target->callback);
	return target;
}

/* anew where the table is no longer as it was */
static TpmCopyTarget *
target_of_run(TpmCopyRun *run)
{
	Relation	rel = table_open(run->relid, RowExclusiveLock);
	TpmCopyTarget *target = run->target;
	char	   *relation = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
													  RelationGetRelationName(rel));

	if (target == NULL || !equalTupleDescs(target->tupdesc, RelationGetDescr(rel)) ||
		strcmp(target->relation, relation) != 0)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);

		run->target = target = make_target(run, rel);
		MemoryContextSwitchTo(old);
	}
	table_close(rel, NoLock);
	return target;
}

/* ----- rows ----- */

typedef struct RowToApply
{
	HeapTuple	tuple;
	TimestampTz left;
	Datum		id;
} RowToApply;

static int
compare_rows(const void *a, const void *b, void *arg)
{
	TpmCopyTarget *target = arg;
	const RowToApply *x = a;
	const RowToApply *y = b;
	int			order = DatumGetInt32(FunctionCall2Coll(&target->compare_ids, target->id_collation, x->id, y->id));

	return order != 0 ? order : (x->left > y->left) - (x->left < y->left);
}

/* in the order of ids, so that nobody waits in a circle; of several with one id the last */
static int
sort_rows(const TpmCopyRun *run, TpmCopyTarget *target, RowToApply *rows, int n)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		rows[i].id = heap_getattr(rows[i].tuple, run->table->id_attnum, run->tupdesc, &isnull);
		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
					 errmsg("foreign table %s: a resource has no id", run->table->name)));
	}
	qsort_arg(rows, n, sizeof(RowToApply), compare_rows, target);
	for (int i = 0; i < n; i++)
	{
		if (i + 1 < n && DatumGetInt32(FunctionCall2Coll(&target->compare_ids, target->id_collation,
														 rows[i].id, rows[i + 1].id)) == 0)
			continue;
		rows[kept++] = rows[i];
	}
	return kept;
}

/* the row as one of the copy */
static Datum
row_of_copy(const TpmCopyRun *run, const TpmCopyTarget *target, const RowToApply *row,
			Datum *given, bool *given_null, Datum *values, bool *nulls)
{
	heap_deform_tuple(row->tuple, run->tupdesc, given, given_null);
	for (int i = 0; i < target->tupdesc->natts; i++)
	{
		AttrNumber	from = target->from[i];

		nulls[i] = from == 0 || given_null[from - 1];
		if (!nulls[i])
			values[i] = given[from - 1];
	}
	values[target->changed_at - 1] = TimestampTzGetDatum(row->left);
	nulls[target->changed_at - 1] = false;
	return heap_copy_tuple_as_datum(heap_form_tuple(target->tupdesc, values, nulls), target->tupdesc);
}

static Datum
array_of_rows(const TpmCopyRun *run, const TpmCopyTarget *target, const RowToApply *rows, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * n);
	Datum	   *given = palloc(sizeof(Datum) * run->tupdesc->natts);
	bool	   *given_null = palloc(sizeof(bool) * run->tupdesc->natts);
	Datum	   *values = palloc0(sizeof(Datum) * target->tupdesc->natts);
	bool	   *nulls = palloc(sizeof(bool) * target->tupdesc->natts);

	for (int i = 0; i < n; i++)
		elements[i] = row_of_copy(run, target, &rows[i], given, given_null, values, nulls);
	return PointerGetDatum(construct_array(elements, n, target->row_type, -1, false, TYPALIGN_DOUBLE));
}

/* a statement of ours, in SPI; how many rows it wrote or gave */
static uint64
run_statement(SPIPlanPtr plan, Datum *values, int expected)
{
	int			result = SPI_execute_plan(plan, values, NULL, false, 0);

	if (result != expected)
		elog(ERROR, "a statement of a local copy has ended with %s", SPI_result_code_string(result));
	return SPI_processed;
}

static int64
count_of_statement(SPIPlanPtr plan, Datum *values)
{
	bool		isnull;

	(void) run_statement(plan, values, SPI_OK_SELECT);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static void
write_rows(TpmCopyRun *run, TpmCopyTarget *target, Datum rows, TpmCopyCounts *counts)
{
	int64		revived;
	uint64		written;
	bool		isnull;

	SPI_connect();
	revived = target->deleted_at > 0 ? count_of_statement(revived_plan(target), &rows) : 0;
	written = run_statement(upsert_plan(run, target), &rows, SPI_OK_INSERT_RETURNING);
	for (uint64 i = 0; i < written; i++)
	{
		if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)))
			counts->inserted++;
		else
			counts->updated++;
	}
	SPI_finish();
	run->copy->rows += revived;
}

void
tpm_copy_apply(TpmCopyRun *run, const HeapTuple *rows, const TimestampTz *left, int n, TpmCopyCounts *counts)
{
	TpmCopyTarget *target = target_of_run(run);
	RowToApply *sorted = palloc(sizeof(RowToApply) * Max(n, 1));

	memset(counts, 0, sizeof(*counts));
	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		sorted[i].tuple = rows[i];
		sorted[i].left = left[i];
	}
	n = sort_rows(run, target, sorted, n);
	write_rows(run, target, array_of_rows(run, target, sorted, n), counts);
	run->copy->rows += counts->inserted;
	run->copy->inserted += counts->inserted;
	run->copy->updated += counts->updated;
}

void
tpm_copy_apply_page(TpmCopyRun *run, const TpmCopyPage *page, TpmCopyCounts *counts)
{
	HeapTuple  *rows = palloc(sizeof(HeapTuple) * Max(page->n, 1));
	TimestampTz *left = palloc(sizeof(TimestampTz) * Max(page->n, 1));

	tpm_copy_check_members(run->copy, run->table, &page->rows->members, page->n);
	for (int i = 0; i < page->n; i++)
	{
		rows[i] = page->rows->rows[i].tuple;
		left[i] = page->left;
	}
	tpm_copy_apply(run, rows, left, page->n, counts);
}

/* ----- rows that are gone ----- */

int64
tpm_copy_delete(TpmCopyRun *run, char **ids, int n, TimestampTz left)
{
	TpmCopyTarget *target = target_of_run(run);
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));
	Datum		values[2];
	bool		marks = strcmp(run->copy->deletions, "mark") == 0;
	uint64		gone;

	if (n == 0 || strcmp(run->copy->deletions, "keep") == 0)
		return 0;
	for (int i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum(ids[i]);
	values[0] = PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[1] = TimestampTzGetDatum(left);
	SPI_connect();
	gone = run_statement(delete_plan(target, marks), values, marks ? SPI_OK_UPDATE : SPI_OK_DELETE);
	SPI_finish();
	run->copy->rows -= gone;
	run->copy->deleted += gone;
	return gone;
}
