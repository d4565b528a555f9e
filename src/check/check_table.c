/*-------------------------------------------------------------------------
 *
 * check_table.c
 *		tpm_fdw_check of one foreign table: its path, type and total.
 *
 * Owns the first page without conditions, which most is learnt from, and the
 * count of requests.  Pages, members, filters and order are other files'.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/json.h"
#include "base/url_query.h"
#include "check/check.h"
#include "document/document.h"
#include "import/sample.h"

/* objects inside "meta" are looked into so deep */
#define META_DEPTH	3

/* ----- requests ----- */

int
tpm_check_cost(const TpmTable *table)
{
	if (!tpm_check_can_list(table))
		return 0;
	return Min(TPM_CHECK_REQUESTS,
			   1 + tpm_check_paging_cost(table) + (tpm_check_has_filter(table) ? 3 : 0) +
			   (tpm_check_has_sort(table) ? 2 : 0) + (tpm_check_has_fields(table) ? 1 : 0) +
			   (tpm_check_asks_for_keys(table) ? 1 : 0));
}

TpmRequest *
tpm_check_request(const TpmTableCheck *check)
{
	TpmRequest *request = palloc0(sizeof(TpmRequest));

	request->path = tpm_request_path(check->table, NULL, false);
	request->page_size = check->table->opt.page_size;
	return request;
}

TpmAnswer *
tpm_check_fetch_at(TpmTableCheck *check, const TpmTable *table, TpmRequest *request, const TpmPosition *position)
{
	TpmAnswer  *answer;

	if (check->left <= 0)
		return NULL;
	check->left--;
	answer = tpm_client_get(check->session, tpm_request_url(table, request, position),
							TPM_CALL_CHECK | TPM_CALL_ANY);
	tpm_check_note_keys(check, answer);
	return answer;
}

TpmAnswer *
tpm_check_fetch_one(TpmTableCheck *check, TpmRequest *request)
{
	TpmPosition start = {0};

	return tpm_check_fetch_at(check, check->table, request, &start);
}

TpmAnswer *
tpm_check_fetch(TpmTableCheck *check, TpmRequest *request)
{
	return check->naming == TPM_NAMING_BESIDE ? tpm_check_fetch_named(check, request)
		: tpm_check_fetch_one(check, request);
}

char *
tpm_check_refusal(const TpmAnswer *answer)
{
	char	   *words = tpm_answer_words(answer);

	return words ? psprintf("status %d: %s", answer->status, words) : psprintf("status %d", answer->status);
}

bool
tpm_check_is_refusal(const TpmAnswer *answer)
{
	return answer->status >= 400 && answer->status <= 499 && answer->status != 401 &&
		answer->status != 403 && answer->status != 408 && answer->status != 429;
}

TpmPage *
tpm_check_decode(TpmTableCheck *check, const TpmAnswer *answer, Bitmapset *columns)
{
	/* it reads in place */
	char	   *body = MemoryContextAllocHuge(CurrentMemoryContext, answer->len + 1);

	memcpy(body, answer->body, answer->len);
	body[answer->len] = '\0';
	return tpm_document_read(tpm_decoder_create(check->table, check->tupdesc, columns), body,
							 answer->len, answer->received, check->table->name);
}

/* ----- totals ----- */

/* what stands at a JSON Pointer, if it is a number, perhaps as a text (as document.c reads it); -1 */
static int64
number_at(Jsonb *document, const char *pointer)
{
	JsonbContainer *at = &document->root;
	JsonbValue	buffer;
	JsonbValue *value = NULL;
	ListCell   *lc;

	foreach(lc, tpm_pointer_path(pointer))
	{
		value = tpm_json_get(at, strVal(lfirst(lc)), &buffer);
		at = value && value->type == jbvBinary ? value->val.binary.data : NULL;
	}
	if (value && value->type == jbvString)
		return tpm_whole_number(pnstrdup(value->val.string.val, value->val.string.len));
	return value && value->type == jbvNumeric ? strtoll(tpm_json_text(value), NULL, 10) : -1;
}

int64
tpm_check_total(const TpmTableCheck *check, const TpmAnswer *answer)
{
	const char *pointer = check->total_pointer;
	Jsonb	   *document = pointer ? tpm_json_object(answer->body, answer->len) : NULL;

	return document ? number_at(document, pointer) : -1;
}

/* a member that counts resources, by its name */
static bool
sounds_like_total(const char *name)
{
	char	   *lower = pstrdup(name);

	for (char *c = lower; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	if (strstr(lower, "page") != NULL || strstr(lower, "per") != NULL)
		return false;
	return strstr(lower, "total") != NULL || strstr(lower, "count") != NULL ||
		strstr(lower, "records") != NULL;
}

/* a total that agrees with the first page; *value is what it says */
static char *
find_total(const TpmTableCheck *check, JsonbContainer *object, const char *where, int depth,
		   int64 *value)
{
	List	   *members = tpm_members_of(object);
	ListCell   *lc;

	foreach(lc, members)
	{
		TpmMember  *member = lfirst(lc);
		char	   *pointer = psprintf("%s/%s", where, member->name);
		JsonbValue	buffer;
		JsonbValue *found = getKeyJsonValueFromContainer(object, member->name, strlen(member->name),
														 &buffer);

		if (strpbrk(member->name, "/~") != NULL || found == NULL)
			continue;
		if (found->type == jbvNumeric && sounds_like_total(member->name))
		{
			*value = strtoll(tpm_json_text(found), NULL, 10);
			if (tpm_check_total_agrees(check, *value))
				return pointer;
		}
		else if (found->type == jbvBinary && JsonContainerIsObject(found->val.binary.data) && depth > 1)
		{
			pointer = find_total(check, found->val.binary.data, pointer, depth - 1, value);
			if (pointer)
				return pointer;
		}
	}
	return NULL;
}

static char *
pointer_to_total(const TpmTableCheck *check, int64 *value)
{
	JsonbValue	buffer;
	JsonbValue *meta = getKeyJsonValueFromContainer(&check->document->root, "meta", 4, &buffer);

	if (meta == NULL || meta->type != jbvBinary || !JsonContainerIsObject(meta->val.binary.data))
		return NULL;
	return find_total(check, meta->val.binary.data, "/meta", META_DEPTH, value);
}

static void
check_total(TpmTableCheck *check)
{
	const char *set = check->table->opt.total_pointer;
	int64		value = set ? number_at(check->document, set) : -1;
	int64		other;
	char	   *found;

	check->total = -1;
	if (set && tpm_check_total_agrees(check, value))
	{
		check->total_pointer = pstrdup(set);
		check->total = value;
		tpm_report(check->report, "total", TPM_STEP_OK, psprintf(INT64_FORMAT " at %s", value, set), NULL);
		return;
	}
	found = pointer_to_total(check, &other);
	if (found)
	{
		check->total_pointer = found;
		check->total = other;
		tpm_report(check->report, "total", set ? TPM_STEP_FAILED : TPM_STEP_OK,
				   set ? psprintf("there is none at %s, but " INT64_FORMAT " at %s", set, other, found)
				   : psprintf(INT64_FORMAT " at %s, which no option names", other, found),
				   tpm_alter_table(check->table, tpm_alter_option(NIL, "total_pointer", found)));
	}
	else if (value > list_length(check->resources))
	{
		/* what tells that rows are missing is not to be blamed for it */
		check->total = value;
		tpm_report(check->report, "total", TPM_STEP_FAILED,
				   psprintf(INT64_FORMAT " at %s, but nothing leads to more than the %d rows received", value, set,
							list_length(check->resources)), NULL);
	}
	else if (value >= 0 && value == list_length(check->resources))
		tpm_report(check->report, "total", TPM_STEP_FAILED,
				   psprintf(INT64_FORMAT " at %s may be the number of rows of the page", value, set),
				   "A total of all rows does not change with page_size; where this one does, it is none.");
	else if (set)
		tpm_report(check->report, "total", TPM_STEP_FAILED, psprintf("there is none at %s", set),
				   tpm_alter_table(check->table, tpm_alter_option(NIL, "total_pointer", "")));
	else
		tpm_report(check->report, "total", TPM_STEP_OK, "the list has none", NULL);
}

/* ----- the first page ----- */

static void
raise_status(const TpmTableCheck *check, const TpmAnswer *answer)
{
	const char *name = psprintf("GET %s", check->table->resource);

	if (answer->status == 413)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
				 errmsg("%s was answered with status 413", name),
				 errdetail("A page of %d is too large.", check->table->opt.page_size),
				 errhint("%s", tpm_alter_table(check->table,
											   tpm_alter_option(NIL, "page_size",
																psprintf("%d", Max(1, check->table->opt.page_size / 2)))))));
	tpm_raise_status(check->session, name, answer);
}

static void
read_checked_document(TpmTableCheck *check, const TpmAnswer *answer)
{
	JsonbValue	buffer;
	JsonbValue *data;

	check->document = tpm_json_object(answer->body, answer->len);
	if (check->document)
		tpm_document_refuse_errors(check->document, psprintf("GET %s", check->table->resource));
	data = check->document
		? getKeyJsonValueFromContainer(&check->document->root, "data", 4, &buffer) : NULL;
	if (data == NULL || data->type != jbvBinary || !JsonContainerIsArray(data->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the answer to GET %s is not a list of JSON:API resources", check->table->resource),
				 errhint("Check the options base_url and resource.")));
	for (uint32 i = 0; i < JsonContainerSize(data->val.binary.data); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(data->val.binary.data, i);

		if (item->type == jbvBinary && JsonContainerIsObject(item->val.binary.data))
			check->resources = lappend(check->resources, item->val.binary.data);
	}
	tpm_check_read_paging(check, answer);
}

static void
check_resource_type(TpmTableCheck *check)
{
	JsonbValue	buffer;
	JsonbValue *type = check->resources == NIL ? NULL
	: tpm_json_get(linitial(check->resources), "type", &buffer);
	char	   *text;

	if (type == NULL || type->type != jbvString)
		return;
	text = pnstrdup(type->val.string.val, type->val.string.len);
	if (strcmp(text, check->table->type) == 0)
		return;
	tpm_report(check->report, "type", TPM_STEP_FAILED,
			   psprintf("resources are of type \"%s\", not \"%s\"", text, check->table->type),
			   tpm_alter_table(check->table, tpm_alter_option(NIL, "type", text)));
	/* the rest can be looked at all the same */
	check->table->type = text;
}

typedef struct Decoding
{
	TpmTableCheck *check;
	const TpmAnswer *answer;
} Decoding;

static void
decode_all(void *arg)
{
	Decoding   *decoding = arg;

	decoding->check->page = tpm_check_decode(decoding->check, decoding->answer, NULL);
}

/* every value must fit its column */
static void
check_types(TpmTableCheck *check, const TpmAnswer *answer)
{
	Decoding	decoding = {check, answer};
	ErrorData  *error;

	if (tpm_attempt(decode_all, &decoding, &error))
		return;
	check->page = NULL;
	/* its own hint is about the value, as if somebody had typed it */
	error->hint = NULL;
	tpm_report_error(check->report, "values", error,
					 "Give the column a type that its values fit, such as text.");
}

void
tpm_check_table(TpmTableCheck *check)
{
	TpmAnswer  *answer;

	check->context = CurrentMemoryContext;
	if (!tpm_check_can_list(check->table))
	{
		tpm_report(check->report, "path", TPM_STEP_NOT_TRIED, (check->table->ops & TPM_OP_READ)
				   ? "not tried: it needs values for its path or its required filters"
				   : "not tried: the option ops offers no reading", NULL);
		return;
	}
	answer = tpm_check_fetch(check, tpm_check_request(check));
	if (answer->status < 200 || answer->status > 299)
		raise_status(check, answer);
	read_checked_document(check, answer);
	tpm_report(check->report, "path", TPM_STEP_OK,
			   psprintf("GET %s: %d rows%s", check->table->resource, list_length(check->resources),
						check->more ? " and more" : ""), NULL);
	check_resource_type(check);
	check_total(check);
	tpm_check_page_size(check);
	tpm_check_paging(check);
	check_types(check, answer);
	tpm_check_members(check);
	if (check->page == NULL || check->page->nrows == 0)
		return;
	tpm_check_begin_naming(check);
	tpm_check_hidden(check);
	tpm_check_filters(check);
	tpm_check_sort(check);
	tpm_check_hidden_rest(check);
	tpm_check_fields(check);
	tpm_check_natural_key(check);
}
