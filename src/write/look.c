/*-------------------------------------------------------------------------
 *
 * look.c
 *		A write of which nobody knows whether it acted, looked for.
 *
 * Owns the requests that look, and what their answers show: for a POST a row
 * of the same natural key, and whose it is; for a change the resource by its
 * id, as it was sent, as it was before, or otherwise.  Reads past the cache.
 * When a look is due, and what follows, is write.c's and write_state.c's.
 *
 * A key can be asked for if at least one of its columns has a filter: a look
 * that reads a whole list is none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "document/id_spelling.h"
#include "document/inverse.h"
#include "document/moment.h"
#include "document/value.h"
#include "plan/shippable.h"
#include "request/request.h"
#include "write/write_internal.h"

/* keys that one look before the first sending asks for */
#define KEYS_A_LOOK		100

/* a look before the first sending says nothing of a later one */
#define ABSENCE_LASTS_US	INT64CONST(600000000)

/* the API's clock ticks in seconds, and its Date has been under way */
#define CLOCK_SLACK_US		INT64CONST(2000000)

/* ----- comparing ----- */

/* what is the resource's own: times of reading and other resources are not */
static bool
is_resource_member(const TpmColumn *column)
{
	const char *first;

	switch (column->kind)
	{
		case TPM_COL_ID:
		case TPM_COL_ATTRIBUTE:
		case TPM_COL_RELATIONSHIP:
		case TPM_COL_CUSTOM_FIELD:
			return true;
		case TPM_COL_POINTER:
			first = column->path == NIL ? "" : strVal(linitial(column->path));
			return strcmp(first, "attributes") == 0 || strcmp(first, "relationships") == 0;
		default:
			return false;
	}
}

/* the same value, however the API spells it: 40.0 is 40 */
static bool
is_same(const TpmWriter *writer, int i, Datum one, Datum other)
{
	Form_pg_attribute att = TupleDescAttr(writer->tupdesc, i);
	TypeCacheEntry *type;

	if (datum_image_eq(one, other, att->attbyval, att->attlen))
		return true;
	type = lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR_FINFO);
	if (!OidIsValid(type->eq_opr_finfo.fn_oid))
		return false;
	return DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, DEFAULT_COLLATION_OID, one, other));
}

static bool
column_is_same(const TpmWriter *writer, int i, HeapTuple tuple, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, i + 1, writer->tupdesc, &isnull);

	if (isnull || slot->tts_isnull[i])
		return isnull && slot->tts_isnull[i];
	return is_same(writer, i, value, slot->tts_values[i]);
}

List *
tpm_write_differences(const TpmWriter *writer, HeapTuple tuple, TupleTableSlot *slot, Bitmapset *among)
{
	List	   *names = NIL;

	slot_getallattrs(slot);
	for (int i = 0; i < writer->table->natts; i++)
	{
		const TpmColumn *column = &writer->table->columns[i];

		if (is_resource_member(column) && (among == NULL || bms_is_member(column->attnum, among)) &&
			!column_is_same(writer, i, tuple, slot))
			names = lappend(names, column->name);
	}
	return names;
}

/* ----- asking for a key ----- */

static bool
can_be_asked_for(const TpmTable *table, const TpmColumn *column)
{
	return column->kind != TPM_COL_NONE && column->natural_key && column->filter != NULL &&
		(column->filter_operators & TPM_FILTER_EQ) && !tpm_condition_is_range(table, column, TPM_COND_EQ);
}

/* its value as the API may spell it; NIL: it cannot be sent */
static List *
spellings_of(const TpmWrite *write, const TpmColumn *column)
{
	bool		none;
	List	   *values = tpm_condition_values(write->writer->table, column, TPM_COND_EQ,
											  write->slot->tts_values[column->attnum - 1], false,
											  column->type, &none);

	return values == NIL ? NIL : tpm_spellings(column, values);
}

static List *
key_terms(const TpmWrite *write)
{
	const TpmTable *table = write->writer->table;
	List	   *terms = NIL;

	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];
		List	   *spellings = can_be_asked_for(table, column) ? spellings_of(write, column) : NIL;
		TpmTerm    *term;

		if (spellings == NIL)
			continue;
		term = palloc0(sizeof(TpmTerm));
		term->parameter = tpm_request_filter_name(table, column);
		term->values = spellings;
		terms = lappend(terms, term);
	}
	return terms;
}

static bool
list_is_readable(const TpmTable *table)
{
	return (table->ops & TPM_OP_READ) != 0 && table->required_filters == NIL;
}

bool
tpm_write_has_key(const TpmWrite *write)
{
	const TpmTable *table = write->writer->table;

	if (!list_is_readable(table))
		return false;
	if (write->has_client_id)
		return tpm_request_id_path(write->list_path, tpm_write_given_id(write), false) != NULL;
	return write->key != NULL && key_terms(write) != NIL;
}

static char *
url_of_terms(const TpmWrite *write, List *terms)
{
	TpmTable	whole = *write->writer->table;
	TpmPosition start = {0};
	TpmRequest	request = {
		.path = write->list_path,
		.shown_path = write->list_path,
		.terms = terms,
		.page_size = whole.opt.page_size,
	};

	/*
	 * a row that is not among those that the table shows is there all the
	 * same
	 */
	whole.opt.query = tpm_write_query(write->writer->table);
	return tpm_request_url(&whole, &request, &start);
}

char *
tpm_look_url(TpmWrite *write)
{
	if (write->history.method != TPM_METHOD_POST || write->has_client_id)
		return tpm_write_url_by_id(write);
	return url_of_terms(write, key_terms(write));
}

static bool
tuple_has_key(const TpmWrite *write, HeapTuple tuple)
{
	const TpmWriter *writer = write->writer;

	for (int i = 0; i < writer->table->natts; i++)
	{
		const TpmColumn *column = &writer->table->columns[i];
		bool		isnull;
		Datum		value;

		if (column->kind == TPM_COL_NONE || !column->natural_key)
			continue;
		value = heap_getattr(tuple, column->attnum, writer->tupdesc, &isnull);
		if (isnull || strcmp(tpm_value_text(column, value),
							 tpm_value_text(column, write->slot->tts_values[i])) != 0)
			return false;
	}
	return true;
}

/* which row of the page it is; -1: none */
static int
row_of_key(const TpmWrite *write, const TpmPage *page)
{
	for (int i = 0; i < page->nrows; i++)
		if (tuple_has_key(write, page->rows[i].tuple))
			return i;
	return -1;
}

/* ----- whose row is it? ----- */

/* the first moment after the one that the column shows; false: it shows none */
static bool
moment_after(const TpmWrite *write, HeapTuple tuple, TimestampTz *moment)
{
	const TpmTable *table = write->writer->table;
	AttrNumber	attnum = table->created_at_attnum;
	bool		isnull = true;
	Datum		value = attnum == 0 ? 0 : heap_getattr(tuple, attnum, write->writer->tupdesc, &isnull);

	if (isnull)
		return false;
	switch (table->columns[attnum - 1].type)
	{
		case TIMESTAMPTZOID:
			*moment = DatumGetTimestampTz(value);
			return !TIMESTAMP_NOT_FINITE(*moment);
		case TIMESTAMPOID:
			*moment = DatumGetTimestamp(value);
			if (TIMESTAMP_NOT_FINITE(*moment))
				return false;
			*moment = tpm_edge_moment(*moment, table->opt.timezone, true);
			return true;
		case DATEOID:
			if (DATE_NOT_FINITE(DatumGetDateADT(value)))
				return false;
			*moment = tpm_edge_moment((Timestamp) (DatumGetDateADT(value) + 1) * USECS_PER_DAY,
									  table->opt.timezone, true);
			return true;
		default:
			return false;
	}
}

/* what time it was at the API when it was sent first; false: nobody knows */
static bool
time_of_first_sending(const TpmWrite *write, TimestampTz *moment)
{
	const TpmApiClock *clock = write->clock.at_us != 0 ? &write->clock : &write->writer->session->clock;

	if (clock->at_us == 0 || write->departure->first_us == 0)
		return false;
	*moment = clock->date + (write->departure->first_us - clock->at_us);
	return true;
}

/* a day says only that it was before, never that it was not */
static void
compare_times(const TpmWrite *write, HeapTuple tuple, TpmFoundFacts *facts)
{
	AttrNumber	attnum = write->writer->table->created_at_attnum;
	TimestampTz created;
	TimestampTz sent;

	if (!moment_after(write, tuple, &created) || !time_of_first_sending(write, &sent))
		return;
	facts->is_earlier = created < sent - CLOCK_SLACK_US;
	facts->has_time = facts->is_earlier || write->writer->table->columns[attnum - 1].type != DATEOID;
}

static bool
was_absent(const TpmWrite *write)
{
	return write->was_looked_for && write->departure->first_us - write->looked_at_us <= ABSENCE_LASTS_US;
}

/* the columns that were sent and that the page tells: of others nothing is known */
static Bitmapset *
columns_to_compare(const TpmWrite *write, const TpmPage *page)
{
	Bitmapset  *columns = bms_make_singleton(0);
	int			attnum = -1;

	while ((attnum = bms_next_member(write->columns, attnum)) >= 0)
		if (tpm_write_is_told(page, attnum))
			columns = bms_add_member(columns, attnum);
	return columns;
}

static TpmLookResult
judge_found(TpmWrite *write, const TpmPage *page, HeapTuple tuple)
{
	TpmFoundFacts facts = {0};
	TpmFoundVerdict verdict;
	char	   *id = tpm_write_id_of(write->writer, tuple);

	write->is_found = true;
	write->found_id = id;
	write->differing = tpm_write_differences(write->writer, tuple, write->slot, columns_to_compare(write, page));
	facts.is_equal = write->differing == NIL;
	facts.was_absent = was_absent(write);
	compare_times(write, tuple, &facts);

	/*
	 * another row of the transaction made it: the API refuses this one,
	 * should it ever arrive
	 */
	write->is_rival = id && tpm_sent_created_by_another(write->sent, id);
	if (write->is_rival)
		facts.has_time = facts.is_earlier = true;
	verdict = tpm_write_judge_found(&facts);
	if (!(write->history.is_conflict && !write->history.is_doubted))
		write->evidence = verdict.evidence;
	if (verdict.look == TPM_LOOK_OURS && !(write->history.is_conflict && !write->history.is_doubted))
	{
		write->tuple = heap_copytuple(tuple);
		write->id = id;
	}
	return verdict.look;
}

/* ----- reading what a look brought ----- */

static TpmLookResult
look_failed(TpmWrite *write, const char *why)
{
	write->problem = psprintf("%s; looking for it: %s", write->problem ? write->problem : "a conflict", why);
	return TPM_LOOK_FAILED;
}

/* a page of the list; NULL: *why says what it is instead */
static TpmPage *
read_list(TpmWrite *write, const TpmAnswer *answer, const char **why)
{
	char	   *name = tpm_call_name("GET", psprintf("%s%s", write->writer->table->opt.base_url, write->list_path));

	*why = NULL;
	if (answer->status < 200 || answer->status > 299)
		*why = psprintf("status %d", answer->status);
	return *why ? NULL : tpm_write_decode_list(write, answer, name, why);
}

/* a list may lag behind what this transaction has made itself */
static TpmLookResult
look_in_transaction(TpmWrite *write)
{
	const char *id = tpm_sent_id_of_same_key(write->sent);

	if (id == NULL)
		return TPM_LOOK_NOTHING;
	write->is_found = write->is_rival = true;
	write->found_id = pstrdup(id);
	write->evidence = TPM_EVIDENCE_CREATED_BEFORE;
	return TPM_LOOK_BEFORE;
}

static TpmLookResult
look_in_list(TpmWrite *write, const TpmAnswer *answer)
{
	const char *why;
	TpmPage    *page = read_list(write, answer, &why);
	int			found;

	if (page == NULL)
		return look_failed(write, why);
	found = row_of_key(write, page);
	if (found >= 0)
		return judge_found(write, page, page->rows[found].tuple);
	if (page->links.next || page->nrows >= write->writer->table->opt.page_size)
		return look_failed(write, "its key is not told apart by a page of the list");
	return look_in_transaction(write);
}

/* the one resource that was asked for by its id; NULL: *why says what came instead */
static TpmPage *
read_by_id(TpmWrite *write, const TpmAnswer *answer, const char **why)
{
	const char *asked = tpm_write_id(write);
	const char *id;
	ErrorData  *misfit;
	TpmPage    *page;

	*why = NULL;
	if (answer->status < 200 || answer->status > 299)
		*why = psprintf("status %d", answer->status);
	page = *why ? NULL : tpm_write_decode(write, write->writer->all, answer,
										  tpm_write_name_by_id(write), why, &misfit);
	if (page == NULL)
	{
		*why = *why ? *why : misfit->message;
		return NULL;
	}
	id = tpm_write_id_of(write->writer, page->rows[0].tuple);
	if (id && strcmp(id, asked) == 0)
		return page;
	*why = "the answer holds another resource";
	return NULL;
}

/* a POST with an id of its own */
static TpmLookResult
look_at_new(TpmWrite *write, const TpmAnswer *answer)
{
	const char *why;
	TpmPage    *page;

	if (answer->status == 404 || answer->status == 410)
		return TPM_LOOK_NOTHING;
	page = read_by_id(write, answer, &why);
	if (page == NULL)
		return look_failed(write, why);
	return judge_found(write, page, page->rows[0].tuple);
}

/* what the statement saw, as far as it is to be checked */
static Bitmapset *
columns_checked(const TpmWrite *write)
{
	return write->writer->table->opt.update_check == TPM_CHECK_NONE ? write->columns : NULL;
}

static TpmLookResult
look_at_changed(TpmWrite *write, const TpmAnswer *answer)
{
	const TpmWriter *writer = write->writer;
	const char *why;
	TpmPage    *page;
	HeapTuple	tuple;

	if (answer->status == 404 || answer->status == 410)
		return TPM_LOOK_GONE;
	page = read_by_id(write, answer, &why);
	if (page == NULL)
		return look_failed(write, why);
	tuple = page->rows[0].tuple;
	if (tpm_write_differences(writer, tuple, write->slot, write->columns) == NIL)
	{
		write->tuple = tuple;
		write->evidence = TPM_EVIDENCE_READ_BACK;
		return TPM_LOOK_OURS;
	}
	write->differing = tpm_write_differences(writer, tuple, write->old_slot, columns_checked(write));
	if (write->differing != NIL)
	{
		write->evidence = TPM_EVIDENCE_OTHER_VALUES;
		return TPM_LOOK_OTHER;
	}
	tpm_write_take_base(write, tuple, answer);
	return TPM_LOOK_NOTHING;
}

TpmLookResult
tpm_look_read(TpmWrite *write, const TpmAnswer *answer)
{
	if (write->history.method != TPM_METHOD_POST)
		return look_at_changed(write, answer);
	return write->has_client_id ? look_at_new(write, answer) : look_in_list(write, answer);
}

/* ----- before the first sending ----- */

/* the one column whose filter takes a list of keys; NULL: there is none */
static const TpmColumn *
column_of_list(const TpmTable *table)
{
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (can_be_asked_for(table, column) && (column->filter_operators & TPM_FILTER_IN))
			return column;
	}
	return NULL;
}

/* for how many of the writes one look can ask; their keys, as one term */
static int
term_of_keys(TpmWrite **writes, int n, const TpmColumn *column, TpmTerm *term)
{
	int			most = Max(1, Min(KEYS_A_LOOK, writes[0]->writer->table->opt.page_size));
	size_t		bytes = 0;
	int			taken = 0;

	term->parameter = tpm_request_filter_name(writes[0]->writer->table, column);
	term->values = NIL;
	for (; taken < n && list_length(term->values) < most; taken++)
	{
		bool		is_in_list = strcmp(writes[taken]->list_path, writes[0]->list_path) == 0;
		List	   *spellings;

		/*
		 * where the table's owner wants each looked for, that of another list
		 * begins the next look
		 */
		if (!is_in_list && writes[0]->writer->table->looks_before_insert)
			break;
		if (writes[taken]->key == NULL || !is_in_list)
			continue;
		spellings = spellings_of(writes[taken], column);
		bytes += tpm_request_list_length(spellings);
		if (bytes > TPM_MAX_LIST_BYTES && taken > 0)
			break;
		term->values = list_concat(term->values, spellings);
	}
	return taken;
}

/* what one answer says of many writes; a page that is not the last says nothing of what it lacks */
static void
note_what_was_there(TpmWrite **writes, int n, const TpmColumn *column, const TpmPage *page)
{
	const TpmWriter *writer = writes[0]->writer;
	bool		is_all = page->links.next == NULL && page->nrows < writer->table->opt.page_size;

	for (int i = 0; i < n; i++)
	{
		TpmWrite   *write = writes[i];
		int			found;

		if (write->key == NULL || strcmp(write->list_path, writes[0]->list_path) != 0 ||
			(column && spellings_of(write, column) == NIL))
			continue;
		found = row_of_key(write, page);
		if (found >= 0)
			tpm_write_exists(write, tpm_write_id_of(writer, page->rows[found].tuple));
		write->was_looked_for = found < 0 && is_all;
		write->looked_at_us = tpm_monotonic_us();
	}
}

static int
rows_without_key(TpmWrite **writes, int n)
{
	int			i = 0;

	while (i < n && writes[i]->key == NULL)
		i++;
	return i;
}

/* what the first of the writes, and how many, are asked for by; NIL: by nothing */
static List *
terms_before(TpmWrite **writes, int n, TpmLookBefore *look)
{
	const TpmTable *table = writes[0]->writer->table;
	TpmTerm    *term;

	look->n = n;
	if (!list_is_readable(table))
		return NIL;
	/* those without a key cannot be asked for; those after them can */
	if (writes[0]->key == NULL)
	{
		look->n = rows_without_key(writes, n);
		return NIL;
	}
	look->column = n > 1 ? column_of_list(table) : NULL;
	if (look->column == NULL)
	{
		/* one by one only if the table's owner wants it */
		look->n = table->looks_before_insert ? 1 : n;
		return n == 1 || table->looks_before_insert ? key_terms(writes[0]) : NIL;
	}
	term = palloc0(sizeof(TpmTerm));
	look->n = term_of_keys(writes, n, look->column, term);
	return term->values == NIL ? NIL : list_make1(term);
}

TpmLookBefore *
tpm_look_before(TpmWrite **writes, int n)
{
	TpmLookBefore *look = palloc0(sizeof(TpmLookBefore));
	List	   *terms = terms_before(writes, n, look);

	look->writes = writes;
	if (terms != NIL)
		look->call = tpm_call_start(writes[0]->writer->session, "GET", url_of_terms(writes[0], terms), NULL, NIL,
									TPM_CALL_PART | TPM_CALL_ANY);
	return look;
}

/*
 * Why a look that the table's owner asks for failed; a row is not sent without
 * one.  Any other that fails tells nothing, and the rows are as good without.
 */
static const TpmProblem *
problem_of_look(const TpmLookBefore *look, const char *why)
{
	const TpmWrite *write = look->writes[0];
	const TpmTable *table = write->writer->table;
	const TpmAnswer *answer;

	if (tpm_call_problem(look->call))
		return tpm_problem_copy(tpm_call_problem(look->call));
	answer = tpm_call_answer(look->call);
	if (answer->status < 200 || answer->status > 299)
		return tpm_problem_of_status(write->writer->session,
									 tpm_call_name("GET", psprintf("%s%s", table->opt.base_url, write->list_path)),
									 answer);
	return tpm_problem(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
					   psprintf("the look for rows of foreign table %s that are there already failed", table->name),
					   pstrdup(why), NULL);
}

bool
tpm_look_before_step(TpmLookBefore *look, int64 *wake_us)
{
	int64		wake = PG_INT64_MAX;
	const char *why = NULL;
	TpmPage    *page = NULL;

	if (look->call == NULL)
		return true;
	if (!tpm_call_try(look->call, &wake))
	{
		*wake_us = Min(*wake_us, wake);
		return false;
	}
	if (tpm_call_problem(look->call) == NULL)
		page = read_list(look->writes[0], tpm_call_answer(look->call), &why);
	if (page)
		note_what_was_there(look->writes, look->n, look->column, page);
	else if (look->writes[0]->writer->table->looks_before_insert)
		look->problem = problem_of_look(look, why);
	tpm_call_end(look->call);
	return true;
}
