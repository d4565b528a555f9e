/*-------------------------------------------------------------------------
 *
 * fuzz.c
 *		libFuzzer inside a backend: what the extension makes of hostile bytes.
 *
 * Built with the extension's own files into a module of a private cluster and
 * run by test/fuzz/run; no part of the product.  An input may be refused with
 * one of the SQLSTATEs that a user can be told; everything else, and every
 * broken promise of a header, ends the process and leaves the input behind.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/string.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "parser/parse_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/link_header.h"
#include "base/url.h"
#include "client/client.h"
#include "document/document.h"
#include "import/import.h"
#include "option/option.h"
#include "request/body.h"

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv,
								int (*callback) (const uint8_t *data, size_t size));

PG_FUNCTION_INFO_V1(tpm_fuzz);

typedef void (*Target) (char *text, size_t len);

static Target target;
static MemoryContext input_context;
static TpmTable *fuzzed;
static TpmDecoder *all_columns;
static TpmDecoder *few_columns;
static TupleDesc row_type;

/* the promise of a header is broken */
#define PROMISE(condition) \
	do { if (!(condition)) { fprintf(stderr, "promise broken, line %d: %s\n", __LINE__, #condition); abort(); } } while (0)

/* ----- documents ----- */

static void
check_text(Oid type, Datum value)
{
	if (type == TEXTOID)
		pg_verify_mbstr(PG_UTF8, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), false);
}

static void
check_rows(const TpmPage *page)
{
	Size		bytes = 0;
	Datum	   *values = palloc(row_type->natts * sizeof(Datum));
	bool	   *nulls = palloc(row_type->natts * sizeof(bool));

	for (int i = 0; i < page->nrows; i++)
	{
		heap_deform_tuple(page->rows[i].tuple, row_type, values, nulls);
		bytes += MAXALIGN(page->rows[i].tuple->t_len);
		for (int j = 0; j < row_type->natts; j++)
			if (!nulls[j])
				check_text(TupleDescAttr(row_type, j)->atttypid, values[j]);
	}
	PROMISE(bytes <= page->bytes || all_columns != few_columns);
	PROMISE(page->total >= -1);
	PROMISE(page->is_list || page->nrows <= 1);
	if (page->links.next)
		PROMISE(page->links.next[0] != '\0' && page->links.given && page->links.of_pages);
}

/* as many rows as PostgreSQL's own jsonb has resources */
static void
compare_with_jsonb(const TpmPage *page, const char *body)
{
	MemoryContext old = CurrentMemoryContext;
	volatile int n = -1;

	PG_TRY();
	{
		Jsonb	   *jb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(body)));
		JsonbValue	buffer;
		JsonbValue *data = getKeyJsonValueFromContainer(&jb->root, "data", 4, &buffer);

		PROMISE(data != NULL);
		if (data->type == jbvNull)
			n = 0;
		else
		{
			PROMISE(data->type == jbvBinary);
			n = JsonContainerIsArray(data->val.binary.data) ? (int) JsonContainerSize(data->val.binary.data) : 1;
		}
	}
	PG_CATCH();
	{
		/* a number that only jsonb has to hold */
		MemoryContextSwitchTo(old);
		FlushErrorState();
	}
	PG_END_TRY();
	PROMISE(n < 0 || n == page->nrows);
}

static void
document(char *text, size_t len)
{
	char		flags = len > 0 ? text[0] : 0;
	TpmDecoder *decoder = (flags & 1) ? few_columns : all_columns;
	TpmPage    *page;
	size_t		text_len;
	char	   *copy;

	if (len == 0)
		return;
	text++;
	len--;
	fuzzed->opt.invalid_characters = (flags & 2) ? TPM_INVALID_REPLACE : TPM_INVALID_ERROR;
	text_len = len;
	copy = tpm_text_of_body(memcpy(palloc(len + 1), text, len + 1), &text_len, fuzzed->opt.invalid_characters,
							 "GET /fuzz");
	PROMISE(strlen(copy) == text_len);
	page = tpm_document_read(decoder, text, len, 0, "GET /fuzz");
	check_rows(page);
	compare_with_jsonb(page, copy);
	if (flags & 4)
		(void) tpm_resource_read(text, len, "PUT /fuzz");
}

/* ----- links ----- */

/* "3", "0x7f.1" and "::0" are addresses to libcurl, which writes them out */
static bool
is_written_out(const char *host)
{
	return host[0] == '[' || strspn(host, "0123456789.") == strlen(host);
}

/* libcurl sees the same scheme, host and port as we do */
static void
compare_with_libcurl(const char *url)
{
	CURLU	   *parsed = curl_url();
	char	   *scheme = NULL,
			   *host = NULL,
			   *port = NULL;
	char	   *origin;

	if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK)
	{
		PROMISE(curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK);
		PROMISE(curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK);
		PROMISE(curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
		origin = psprintf("%s://%s:%s", scheme, host, port);
		if (pg_strcasecmp(origin, tpm_url_origin(url)) != 0)
			fprintf(stderr, "libcurl: %s, we: %s\n", origin, tpm_url_origin(url));
		PROMISE(pg_strcasecmp(origin, tpm_url_origin(url)) == 0 || is_written_out(host));
		curl_free(scheme);
		curl_free(host);
		curl_free(port);
	}
	curl_url_cleanup(parsed);
}

/* the input is a reference, or a base and a reference with a line end between */
static void
link_resolution(char *text, size_t len)
{
	const char *base = "https://api.example.com:8443/v1/things?page=1";
	char	   *reference = strchr(text, '\n');
	char	   *url;

	if (reference)
	{
		*reference++ = '\0';
		base = text;
	}
	else
		reference = text;
	url = tpm_url_resolve(base, reference);
	if (url == NULL)
		return;
	PROMISE(tpm_url_origin(url)[0] != '\0');
	PROMISE(strpbrk(url, " \t\r\n\\#") == NULL);
	PROMISE(strncmp(url, "http", 4) == 0);
	compare_with_libcurl(url);
	(void) tpm_url_problem(url);
	(void) tpm_url_is_loopback(url);
	(void) tpm_call_name("GET", url);
}

/* the input is a value of the header field Link */
static void
link_header(char *text, size_t len)
{
	TpmPageLinks links = {0};
	char	   *found[3];

	tpm_link_header_read(text, &links);
	found[0] = links.next;
	found[1] = links.prev;
	found[2] = links.first;
	for (int i = 0; i < 3; i++)
	{
		if (found[i] == NULL)
			continue;
		PROMISE(links.of_pages && found[i][0] != '\0' && pg_is_ascii(found[i]) && strchr(found[i], '>') == NULL);
		(void) tpm_url_resolve("https://api.example.com/v1/things?page=1", tpm_url_of_link(found[i]));
	}
}

/* ----- tokens and errors ----- */

/* neither throws, whatever comes */
static void
token_answer(char *text, size_t len)
{
	int			lifetime;
	char	   *error;
	char	   *token;
	int			status = len > 0 ? 100 + (unsigned char) text[0] * 2 : 200;
	TpmAnswer	answer = {.status = status,.body = text,.len = len};

	token = tpm_oauth_answer(status, text, len, &lifetime, &error);
	PROMISE((token == NULL) == (error != NULL));
	PROMISE(lifetime >= -1 && lifetime <= 365 * 86400);
	if (token)
	{
		PROMISE(status >= 200 && status <= 299);
		PROMISE(strlen(token) > 0 && strlen(token) <= TPM_TOKEN_MAX);
		for (char *s = token; *s; s++)
			PROMISE(*s > ' ' && *s <= '~');
	}
	if (error)
	{
		PROMISE(strlen(error) < 2000);
		pg_verify_mbstr(PG_UTF8, error, strlen(error), false);
	}
	(void) tpm_document_errors(text, len);
	error = tpm_answer_words(&answer);
	if (error)
	{
		PROMISE(strlen(error) < 20000);
		pg_verify_mbstr(PG_UTF8, error, strlen(error), false);
	}
	(void) tpm_answer_is_conflict(&answer, "409,422:taken");
}

/* ----- pauses ----- */

static void
retry_after(char *text, size_t len)
{
	int64		seconds = tpm_retry_after_seconds(text, 1700000000);
	int64		pause = tpm_retry_pause(1, text);

	PROMISE(seconds >= -1 && seconds <= 3600);
	PROMISE(pause >= 0 && pause <= INT64CONST(3601) * 1000000);
}

/* ----- OpenAPI documents ----- */

static Oid	serverid;
static char *scratch_file;

static void
write_scratch(const char *text, size_t len)
{
	FILE	   *file = fopen(scratch_file, "w");

	PROMISE(file && fwrite(text, 1, len, file) == len && fclose(file) == 0);
}

static void
check_options(List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *elem = lfirst_node(DefElem, lc);

		PROMISE(elem->defname[0] != '\0');
		pg_verify_mbstr(PG_UTF8, strVal(elem->arg), strlen(strVal(elem->arg)), false);
	}
}

static void
check_name(const char *name)
{
	PROMISE(name[0] != '\0' && strlen(name) < NAMEDATALEN);
	pg_verify_mbstr(PG_UTF8, name, strlen(name), false);
}

static void
check_columns(const TpmImportTable *table)
{
	ListCell   *lc,
			   *lc2;

	foreach(lc, table->columns)
	{
		const TpmImportColumn *column = lfirst(lc);
		Oid			type;
		int32		typmod;

		check_name(column->name);
		parseTypeString(column->type, &type, &typmod, false);
		if (column->comment)
			pg_verify_mbstr(PG_UTF8, column->comment, strlen(column->comment), false);
		check_options(column->options);
		for_each_cell(lc2, table->columns, lnext(table->columns, lc))
			PROMISE(strcmp(column->name, ((TpmImportColumn *) lfirst(lc2))->name) != 0);
	}
}

/* tables whose names, types and options can stand in a statement */
static void
openapi(char *text, size_t len)
{
	ImportForeignSchemaStmt *stmt = makeNode(ImportForeignSchemaStmt);
	TpmImportOptions options = {.stmt = stmt,.document = scratch_file};
	List	   *tables;
	ListCell   *lc;

	stmt->list_type = FDW_IMPORT_SCHEMA_ALL;
	write_scratch(text, len);
	tables = tpm_import_openapi(serverid, &options);
	foreach(lc, tables)
	{
		const TpmImportTable *table = lfirst(lc);

		check_name(table->name);
		check_options(table->options);
		check_columns(table);
	}
}

/* ----- the driver ----- */

static const struct
{
	const char *name;
	Target		function;
	bool		may_refuse;
}			targets[] = {
	{"document", document, true},
	{"link", link_resolution, false},
	{"header", link_header, false},
	{"token", token_answer, false},
	{"retry", retry_after, false},
	{"openapi", openapi, true},
};

static bool may_refuse;

/* what a user can be told about an answer */
static bool
is_clear(const ErrorData *error)
{
	int			class = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return error->sqlerrcode == ERRCODE_FDW_UNABLE_TO_CREATE_REPLY || class == ERRCODE_DATA_EXCEPTION ||
		error->sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX || class == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

static int
one_input(const uint8_t *data, size_t size)
{
	MemoryContext old = MemoryContextSwitchTo(input_context);
	int			nestlevel = NewGUCNestLevel();

	/* malloc'd, so that AddressSanitizer sees its end */
	char	   *volatile text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	PG_TRY();
	{
		target(text, size);
		AtEOXact_GUC(true, nestlevel);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(input_context);
		error = CopyErrorData();
		FlushErrorState();
		AtEOXact_GUC(false, nestlevel);
		if (!may_refuse || !is_clear(error))
		{
			fprintf(stderr, "%s: %s\n", unpack_sql_state(error->sqlerrcode), error->message);
			abort();
		}
		pg_verify_mbstr(PG_UTF8, error->message, strlen(error->message), false);
		if (error->context)
			pg_verify_mbstr(PG_UTF8, error->context, strlen(error->context), false);
	}
	PG_END_TRY();
	free(text);
	MemoryContextSwitchTo(old);
	MemoryContextReset(input_context);
	return 0;
}

static void
prepare(Oid relid)
{
	Relation	relation = table_open(relid, AccessShareLock);

	row_type = CreateTupleDescCopyConstr(RelationGetDescr(relation));
	table_close(relation, NoLock);
	fuzzed = tpm_get_table(relid);
	serverid = fuzzed->server->serverid;
	scratch_file = psprintf("/dev/shm/tpm_fdw-fuzz.%d", (int) getpid());
	all_columns = tpm_decoder_create(fuzzed, row_type, NULL);
	few_columns = tpm_decoder_create(fuzzed, row_type, bms_make_singleton(1));
	input_context = AllocSetContextCreate(CurrentMemoryContext, "input", ALLOCSET_DEFAULT_SIZES);
}

/* tpm_fuzz(target, relation, arguments of libFuzzer): does not return */
Datum
tpm_fuzz(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum	   *arguments;
	int			n;
	char	  **argv;

	prepare(PG_GETARG_OID(1));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT, &arguments, NULL, &n);
	argv = palloc0((n + 2) * sizeof(char *));
	argv[0] = name;
	for (int i = 0; i < n; i++)
		argv[i + 1] = TextDatumGetCString(arguments[i]);
	n++;
	for (int i = 0; i < (int) lengthof(targets); i++)
	{
		if (strcmp(targets[i].name, name) != 0)
			continue;
		target = targets[i].function;
		may_refuse = targets[i].may_refuse;
		LLVMFuzzerRunDriver(&n, &argv, one_input);
	}
	elog(ERROR, "there is no target \"%s\"", name);
	PG_RETURN_VOID();
}
