/*-------------------------------------------------------------------------
 *
 * error_object.c
 *		Error objects (JSON:API 1.0, section 9.2), and what they say.
 *
 * Owns how they are read and how much of their words goes into a message.
 * Which SQLSTATE an answer without success has is client/errors.c's; a success
 * that holds errors is none, and is refused here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/json.h"
#include "document/document.h"
#include "document/document_internal.h"

/* all the errors of an answer together */
#define TPM_MAX_ALL_WORDS 8000

/* ----- reading ----- */

static TpmApiError *
read_error(JsonbContainer *object)
{
	TpmApiError *error = palloc0(sizeof(TpmApiError));
	JsonbValue	buffer;
	JsonbValue *source = getKeyJsonValueFromContainer(object, "source", 6, &buffer);

	error->status = tpm_json_member_text(object, "status");
	error->code = tpm_json_member_text(object, "code");
	error->title = tpm_json_member_text(object, "title");
	error->detail = tpm_json_member_text(object, "detail");
	if (source && source->type == jbvBinary && JsonContainerIsObject(source->val.binary.data))
	{
		error->pointer = tpm_json_member_text(source->val.binary.data, "pointer");
		error->parameter = tpm_json_member_text(source->val.binary.data, "parameter");
	}
	return error;
}

/* the objects of an array; some write a single one without its array */
static List *
read_errors(JsonbContainer *errors)
{
	List	   *result = NIL;

	if (JsonContainerIsObject(errors) && JsonContainerSize(errors) > 0)
		return list_make1(read_error(errors));
	for (uint32 i = 0; JsonContainerIsArray(errors) && i < JsonContainerSize(errors); i++)
	{
		JsonbValue *error = getIthJsonbValueFromContainer(errors, i);

		if (error->type == jbvBinary && JsonContainerIsObject(error->val.binary.data))
			result = lappend(result, read_error(error->val.binary.data));
	}
	return result;
}

List *
tpm_document_errors(const char *body, size_t len)
{
	Jsonb	   *document = tpm_json_object(body, len);
	JsonbContainer *errors = document ? tpm_json_container(&document->root, "errors") : NULL;

	return errors ? read_errors(errors) : NIL;
}

/* ----- words ----- */

char *
tpm_clip_words(char *words)
{
	int			len = words ? (int) strlen(words) : 0;

	if (len > TPM_MAX_WORDS)
		strlcpy(words + pg_mbcliplen(words, len, TPM_MAX_WORDS - 3), "...", 4);
	return words;
}

static void
append_words(StringInfo all, const char *words)
{
	if (words == NULL || words[0] == '\0' || all->len > TPM_MAX_ALL_WORDS)
		return;
	if (all->len > 0)
		appendStringInfoString(all, "; ");
	appendStringInfoString(all, words);
}

char *
tpm_error_words(const TpmApiError *error)
{
	StringInfoData all;

	initStringInfo(&all);
	tpm_clip_words(error->title);
	tpm_clip_words(error->detail);
	append_words(&all, error->title);
	if (error->detail && (error->title == NULL || strcmp(error->detail, error->title) != 0))
	{
		if (all.len > 0)
			appendStringInfoString(&all, ": ");
		appendStringInfoString(&all, error->detail);
	}
	if (error->pointer)
		appendStringInfo(&all, " (%s)", tpm_clip_words(error->pointer));
	else if (error->parameter)
		appendStringInfo(&all, " (parameter %s)", tpm_clip_words(error->parameter));
	if (all.len == 0 && error->code)
		appendStringInfoString(&all, tpm_clip_words(error->code));
	return all.data;
}

char *
tpm_errors_words(List *errors)
{
	StringInfoData all;
	ListCell   *lc;

	initStringInfo(&all);
	foreach(lc, errors)
		append_words(&all, tpm_error_words(lfirst(lc)));
	return all.len > 0 ? all.data : NULL;
}

/* ----- errors in a success ----- */

/* some say by an empty value that there are none */
static bool
is_no_error(const JsonbValue *errors)
{
	switch (errors->type)
	{
		case jbvNull:
			return true;
		case jbvBool:
			return !errors->val.boolean;
		case jbvString:
			return errors->val.string.len == 0;
		case jbvBinary:
			return JsonContainerSize(errors->val.binary.data) == 0;
		default:
			return false;
	}
}

static void
refuse_errors(JsonbValue *errors, const char *where)
{
	char	   *words = NULL;

	if (is_no_error(errors))
		return;
	if (errors->type == jbvBinary)
		words = tpm_errors_words(read_errors(errors->val.binary.data));
	else if (errors->type == jbvString)
		words = tpm_clip_words(pnstrdup(errors->val.string.val, errors->val.string.len));
	/* what is no error object is shown as it stands */
	if (words == NULL)
		words = tpm_clip_words(JsonbToCString(NULL, &JsonbValueToJsonb(errors)->root, 0));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("the answer to %s has a status of success and holds errors", where),
			 errdetail("%s", words)));
}

void
tpm_refuse_errors_of_text(const char *json, int len, const char *where)
{
	char	   *text = pnstrdup(json, len);
	Jsonb	   *errors = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	JsonbValue	value;

	if (!JB_ROOT_IS_SCALAR(errors))
	{
		value.type = jbvBinary;
		value.val.binary.data = &errors->root;
		value.val.binary.len = VARSIZE(errors) - VARHDRSZ;
	}
	else if (!JsonbExtractScalar(&errors->root, &value))
		return;
	refuse_errors(&value, where);
}

void
tpm_document_refuse_errors(Jsonb *document, const char *where)
{
	JsonbValue	buffer;
	JsonbValue *errors = getKeyJsonValueFromContainer(&document->root, "errors", 6, &buffer);

	if (errors)
		refuse_errors(errors, where);
}
