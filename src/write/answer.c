/*-------------------------------------------------------------------------
 *
 * answer.c
 *		What the API answers to a write, and the resource as it is then.
 *
 * Owns the way from an answer, or from a GET by id, to the row that the
 * executor is given back, and what shape of answer it is.  What follows from
 * the shape is write_state.c's.
 *
 * What the network sends must not throw while other writes are under way: a
 * document is read in a subtransaction, whose error is kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "document/id_spelling.h"
#include "document/value.h"
#include "request/linkage.h"
#include "request/request.h"
#include "shared/counters.h"
#include "write/write_internal.h"

/* ----- answers ----- */

/* the last segment of an address, decoded; a slash at the end begins none */
static char *
id_of_location(const char *location)
{
	char	   *copy = pstrdup(location);
	char	   *id;
	char	   *to;

	copy[strcspn(copy, "?#")] = '\0';
	if (copy[0] != '\0' && copy[strlen(copy) - 1] == '/')
		copy[strlen(copy) - 1] = '\0';
	id = strrchr(copy, '/');
	if (id == NULL || id[1] == '\0')
		return NULL;
	id = to = id + 1;
	for (const char *from = id; *from; from++)
	{
		char		byte;

		if (from[0] == '%' && isxdigit((unsigned char) from[1]) && isxdigit((unsigned char) from[2]) &&
			hex_decode(from + 1, 2, &byte) == 1 && byte != '\0')
		{
			*to++ = byte;
			from += 2;
		}
		else
			*to++ = *from;
	}
	*to = '\0';
	return pg_verify_mbstr(PG_UTF8, id, strlen(id), true) ? pg_any_to_server(id, strlen(id), PG_UTF8) : NULL;
}

/* ----- one resource ----- */

/* columns that only the path holds */
static void
set_write_placeholders(TpmWrite *write)
{
	const TpmWriter *writer = write->writer;

	for (int i = 0; i < writer->table->natts; i++)
	{
		const TpmColumn *column = &writer->table->columns[i];
		Datum		value = write->slot->tts_values[i];
		bool		isnull = write->slot->tts_isnull[i];

		if (!column->placeholder)
			continue;
		tpm_decoder_set_placeholder(writer->all, column->attnum, value, isnull);
		tpm_decoder_set_placeholder(writer->brief, column->attnum, value, isnull);
	}
}

typedef struct Reading
{
	TpmDecoder *decoder;
	const TpmAnswer *answer;
	const char *name;
	TpmPage    *page;
} Reading;

static void
read_document(void *arg)
{
	Reading    *reading = arg;
	const TpmAnswer *answer = reading->answer;

	reading->page = tpm_document_read(reading->decoder, answer->body, answer->len, answer->received,
									  reading->name);
}

/* NULL with *error: what was raised, unless it ends the statement */
static TpmPage *
try_to_read(TpmDecoder *decoder, const TpmAnswer *answer, const char *name, ErrorData **error)
{
	Reading		reading = {decoder, answer, name, NULL};

	return tpm_attempt(read_document, &reading, error) ? reading.page : NULL;
}

/* errors that say that it is no document of this table, not that a value does not fit */
static bool
is_no_document(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_FDW_UNABLE_TO_CREATE_REPLY ||
		error->sqlerrcode == ERRCODE_CHARACTER_NOT_IN_REPERTOIRE ||
		error->sqlerrcode == ERRCODE_UNTRANSLATABLE_CHARACTER;
}

TpmPage *
tpm_write_decode(TpmWrite *write, TpmDecoder *decoder, const TpmAnswer *answer, const char *name,
				 const char **problem, ErrorData **misfit)
{
	ErrorData  *error = NULL;
	TpmPage    *page;

	*problem = NULL;
	*misfit = NULL;
	set_write_placeholders(write);
	page = try_to_read(decoder, answer, name, &error);
	if (error && is_no_document(error))
		*problem = error->message;
	else if (error)
		*misfit = error;
	else if (page->is_list || page->nrows != 1)
		*problem = psprintf("the answer to %s holds %s", name,
							page->is_list ? "a list" : "no resource");
	return *problem || *misfit ? NULL : page;
}

TpmPage *
tpm_write_decode_list(TpmWrite *write, const TpmAnswer *answer, const char *name, const char **problem)
{
	ErrorData  *error = NULL;
	TpmPage    *page;

	set_write_placeholders(write);
	page = try_to_read(write->writer->all, answer, name, &error);
	*problem = error ? error->message
		: page->is_list ? NULL : psprintf("the answer to %s holds no list", name);
	return *problem ? NULL : page;
}

char *
tpm_write_id_of(const TpmWriter *writer, HeapTuple tuple)
{
	const TpmTable *table = writer->table;
	bool		isnull;
	Datum		value;
	char	   *id;

	if (table->id_attnum == 0)
		return NULL;
	value = heap_getattr(tuple, table->id_attnum, writer->tupdesc, &isnull);
	if (isnull)
		return NULL;
	id = tpm_id_text(table, value);
	return id[0] == '\0' ? NULL : id;
}

/* ----- the answer to a write ----- */

char *
tpm_write_given_id(const TpmWrite *write)
{
	const TpmTable *table = write->writer->table;
	bool		isnull = true;
	Datum		value = 0;

	if (table->id_attnum > 0)
		value = slot_getattr(write->slot, table->id_attnum, &isnull);
	return isnull ? NULL : tpm_id_text(table, value);
}

/* members that the answer tells: of others nothing is known */
bool
tpm_write_is_told(const TpmPage *page, AttrNumber attnum)
{
	return tpm_column_bit(page->members.seen, attnum) && !tpm_column_bit(page->members.unknown, attnum);
}

/* columns of which the answer has the member, and no value: linkage without data, what is not included */
static List *
columns_untold(const TpmWriter *writer, const TpmPage *page)
{
	List	   *names = NIL;

	for (int i = 0; i < writer->table->natts; i++)
		if (tpm_column_bit(page->members.unknown, writer->table->columns[i].attnum) &&
			(writer->wanted == NULL || bms_is_member(writer->table->columns[i].attnum, writer->wanted)))
			names = lappend(names, writer->table->columns[i].name);
	return names;
}

/* as a page of the list would */
static bool
tells_all(const TpmWriter *writer, const TpmPage *page)
{
	for (int i = 0; i < writer->table->natts; i++)
	{
		const TpmColumn *column = &writer->table->columns[i];

		if (column->kind == TPM_COL_INCLUDED || tpm_column_bit(page->members.lacked, column->attnum) ||
			tpm_column_bit(page->members.unknown, column->attnum))
			return false;
	}
	return true;
}

static Bitmapset *
columns_told(const TpmWrite *write, const TpmPage *page, bool of_key)
{
	const TpmTable *table = write->writer->table;
	Bitmapset  *columns = NULL;

	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (tpm_write_is_told(page, column->attnum) &&
			(of_key ? column->natural_key : bms_is_member(column->attnum, write->columns)))
			columns = bms_add_member(columns, column->attnum);
	}
	return columns;
}

/* is it the resource that was written, by its id or what of its key is told? */
static bool
is_resource_written(const TpmWrite *write, const TpmPage *page, const char *id)
{
	Bitmapset  *key;

	if (write->id && (id == NULL || strcmp(id, write->id) != 0))
		return false;
	if (write->history.method != TPM_METHOD_POST)
		return true;
	if (id == NULL && write->writer->table->id_attnum != 0)
		return false;
	if (write->key == NULL)
		return true;
	key = columns_told(write, page, true);
	return key == NULL ||
		tpm_write_differences(write->writer, page->rows[0].tuple, write->slot, key) == NIL;
}

/* a changed value that is not the one that was sent is the API's right, and no secret */
static void
warn_of_other_values(const TpmWrite *write, const TpmPage *page)
{
	Bitmapset  *told = columns_told(write, page, false);
	List	   *names = told == NULL ? NIL
	: tpm_write_differences(write->writer, page->rows[0].tuple, write->slot, told);

	if (names != NIL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the API has made other values of those that %s sent", write->name),
				 errdetail("Columns: %s.", tpm_quoted_names(names))));
}

/*
 * "Only top-level meta data" answers a change that went as it was asked for
 * (JSON:API 1.0, 9.2.2).  A resource that was created would be in its answer.
 */
static bool
is_meta_only(const TpmAnswer *answer)
{
	Jsonb	   *document = tpm_json_object(answer->body, answer->len);

	return document != NULL && tpm_json_has(document, "meta") && !tpm_json_has(document, "data") &&
		!tpm_json_has(document, "errors");
}

/* the row as it has become: a value that no column can hold is raised when all writes are seen to their end */
static void
read_row(TpmWrite *write, const TpmAnswer *answer)
{
	const char *problem;
	TpmPage    *page = tpm_write_decode(write, write->writer->all, answer, write->name, &problem, &write->misfit);

	if (page == NULL)
		return;
	if (write->history.method != TPM_METHOD_POST)
		warn_of_other_values(write, page);
	if (write->writer->wants_row || write->writer->keeps_row)
	{
		write->tuple = page->rows[0].tuple;
		write->untold = columns_untold(write->writer, page);
		write->is_whole = tells_all(write->writer, page);
	}
}

/* is it the resource that was written?  By its identity alone, so that no other value stands in the way */
static TpmAnswerShape
read_resource(TpmWrite *write, const TpmAnswer *answer)
{
	TpmWriter  *writer = write->writer;
	ErrorData  *misfit;
	TpmPage    *page = tpm_write_decode(write, writer->brief, answer, write->name, &write->problem, &misfit);
	char	   *id;

	if (misfit)
		write->problem = misfit->message;
	if (page == NULL)
		return TPM_SHAPE_OTHER;
	id = tpm_write_id_of(writer, page->rows[0].tuple);
	if (!is_resource_written(write, page, id))
		return TPM_SHAPE_OTHER;
	if (writer->wants_row || writer->keeps_row || write->history.method != TPM_METHOD_POST)
		read_row(write, answer);
	write->id = write->id ? write->id : id;
	return TPM_SHAPE_RESOURCE;
}

/*
 * What is done later has no id yet.  The one that is told may be a job's, so
 * it counts for nothing but to look at what it leads to.
 */
static void
read_promise(TpmWrite *write, const TpmAnswer *answer)
{
	char	   *known = write->id;

	if (answer->len > 0)
		(void) read_resource(write, answer);
	else if (answer->location)
		write->id = id_of_location(answer->location);
	write->promised_id = write->id;
	write->id = known;
	write->tuple = NULL;
	write->is_whole = false;
	write->misfit = NULL;
}

TpmAnswerShape
tpm_write_read_answer(TpmWrite *write, const TpmAnswer *answer)
{
	if (write->id == NULL)
		write->id = tpm_write_given_id(write);
	if (answer->status == 202)
	{
		read_promise(write, answer);
		return TPM_SHAPE_OTHER;
	}
	if (answer->len > 0)
		return is_meta_only(answer) ? TPM_SHAPE_META : read_resource(write, answer);
	if (write->id == NULL && answer->status == 201 && answer->location)
		write->id = id_of_location(answer->location);
	return TPM_SHAPE_EMPTY;
}

/* ----- the resource by its id ----- */

char *
tpm_write_query(const TpmTable *table)
{
	StringInfoData kept;
	char	   *copy = table->opt.query ? pstrdup(table->opt.query) : NULL;
	char	   *save;

	if (copy == NULL)
		return NULL;
	initStringInfo(&kept);
	for (char *pair = strtok_r(copy, "&", &save); pair; pair = strtok_r(NULL, "&", &save))
	{
		if (strncmp(pair, "filter", 6) == 0 || strncmp(pair, "page", 4) == 0 ||
			strncmp(pair, "sort", 4) == 0)
			continue;
		appendStringInfo(&kept, "%s%s", kept.len > 0 ? "&" : "", pair);
	}
	return kept.len > 0 ? kept.data : NULL;
}

static char *
url_by_id(const TpmTable *table, TpmRequest *request)
{
	TpmTable	single = *table;
	TpmPosition start = {0};

	single.opt.query = tpm_write_query(table);
	return tpm_request_url(&single, request, &start);
}

const char *
tpm_write_id(const TpmWrite *write)
{
	return write->id ? write->id : tpm_write_given_id(write);
}

char *
tpm_write_url_by_id(const TpmWrite *write)
{
	const TpmTable *table = write->writer->table;
	TpmRequest	request = {.by_id = true};
	const char *id = tpm_write_id(write);

	request.path = tpm_request_id_path(write->list_path, id, false);
	if (request.path == NULL)
		tpm_raise_no_path(table, tpm_body_placeholders(table, write->slot), id);
	request.shown_path = request.path;
	return url_by_id(table, &request);
}

char *
tpm_write_name_by_id(const TpmWrite *write)
{
	return tpm_call_name("GET", psprintf("%s%s", write->writer->table->opt.base_url,
										 tpm_request_id_path(write->list_path, tpm_write_id(write), false)));
}

void
tpm_write_take_base(TpmWrite *write, HeapTuple tuple, const TpmAnswer *answer)
{
	write->before = tuple;

	/*
	 * a weak tag never matches (RFC 9110, section 13.1.1), so it protects
	 * nothing
	 */
	write->etag = answer->etag && strncmp(answer->etag, "W/", 2) != 0 ? pstrdup(answer->etag) : NULL;
	write->base = tpm_resource_read(answer->body, answer->len, write->name);
	if (write->base)
		tpm_linkage_learn(write->writer->table, write->base->object);
}

/* NULL: there is none; untold: names of columns whose value the answer does not tell */
static HeapTuple
fetch_resource(TpmWrite *write, TpmAnswer **answer, List **untold)
{
	TpmWriter  *writer = write->writer;
	char	   *name = tpm_write_name_by_id(write);
	TpmPage    *page;

	*answer = tpm_client_get(writer->session, tpm_write_url_by_id(write), TPM_CALL_PART);
	if ((*answer)->status == 404)
		return NULL;
	if ((*answer)->status > 299)
		tpm_raise_status(writer->session, name, *answer);
	set_write_placeholders(write);
	page = tpm_document_read(writer->all, (*answer)->body, (*answer)->len, (*answer)->received, name);
	if (page->nrows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the answer to %s holds %d resources instead of one", name, page->nrows)));
	*untold = columns_untold(writer, page);
	return page->rows[0].tuple;
}

bool
tpm_write_read_base(TpmWrite *write)
{
	MemoryContext old = MemoryContextSwitchTo(write->context);
	TpmAnswer  *answer;
	List	   *untold;
	HeapTuple	tuple = fetch_resource(write, &answer, &untold);

	if (tuple)
		tpm_write_take_base(write, tuple, answer);
	MemoryContextSwitchTo(old);
	return tuple != NULL;
}

/* ----- what the executor is given back ----- */

/* columns that come from other resources are in no answer to a write */
static bool
needs_included(const TpmWrite *write)
{
	const TpmWriter *writer = write->writer;

	if (write->untold != NIL && writer->table->include)
		return true;
	for (int i = 0; i < writer->table->natts; i++)
		if (writer->table->columns[i].kind == TPM_COL_INCLUDED)
			return true;
	return false;
}

static bool
is_as_sent(const TpmWrite *write, HeapTuple tuple)
{
	return tpm_write_differences(write->writer, tuple, write->slot,
								 bms_add_members(bms_make_singleton(0), write->columns)) == NIL;
}

void
tpm_write_return(TpmWrite *write)
{
	TpmWriter  *writer = write->writer;
	MemoryContext old;

	if (write->misfit && writer->wants_row)
		ReThrowError(write->misfit);
	if (write->evidence == TPM_EVIDENCE_ACCEPTED)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("%s was accepted, and is done later", write->name)));
	if (!writer->wants_row)
		return;
	if (write->id == NULL)
		write->id = write->promised_id;
	old = MemoryContextSwitchTo(write->context);
	if ((write->tuple == NULL || needs_included(write)) && write->id != NULL)
	{
		TpmAnswer  *answer;
		List	   *untold;
		HeapTuple	fetched = fetch_resource(write, &answer, &untold);

		if (fetched && (write->evidence != TPM_EVIDENCE_ACCEPTED || is_as_sent(write, fetched)))
		{
			write->tuple = fetched;
			write->untold = untold;
		}
	}
	MemoryContextSwitchTo(old);
	if (write->tuple == NULL)
	{
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("what %s has become cannot be read", write->name),
				 errdetail("The row is shown as it was sent.")));
		return;
	}

	/*
	 * it is written all the same, so this is no error, as it would be of a
	 * read
	 */
	if (write->untold != NIL && writer->table->opt.missing_attribute != TPM_MISSING_NULL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the API does not tell the value of %s of what %s has become", tpm_quoted_names(write->untold),
						write->name),
				 errhint("Name the relationship in the option include of the table, if the API can include it.")));
	/* the slot frees it, later than this row's memory goes */
	old = MemoryContextSwitchTo(write->slot->tts_mcxt);
	ExecForceStoreHeapTuple(heap_copytuple(write->tuple), write->slot, true);
	MemoryContextSwitchTo(old);
}
