/*-------------------------------------------------------------------------
 *
 * shape.c
 *		What looks at JSON without an error, as functions of SQL, for test_shape.py.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/text.h"
#include "document/document_shape.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(shape);
PG_FUNCTION_INFO_V1(fits_jsonb);
PG_FUNCTION_INFO_V1(json_object_of);

Datum
shape(PG_FUNCTION_ARGS)
{
	bytea	   *body = PG_GETARG_BYTEA_PP(0);
	TpmShape	found;
	char	   *text;

	tpm_document_shape(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), &found);
	text = psprintf("%s%s%s%s%s%s%s%s" INT64_FORMAT " %s %s",
					found.is_json ? "json " : "", found.is_object ? "object " : "",
					found.is_document ? "document " : "", found.is_text ? "" : "no-text ",
					found.has_data ? "data " : "", found.has_meta ? "meta " : "",
					found.has_errors ? "errors " : "", found.is_list ? "list " : "", found.nresources,
					found.type ? found.type : "-", found.id ? found.id : "-");
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* of text in the database's encoding */
Datum
fits_jsonb(PG_FUNCTION_ARGS)
{
	bytea	   *text = PG_GETARG_BYTEA_PP(0);

	PG_RETURN_BOOL(tpm_json_fits_jsonb(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text), GetDatabaseEncoding()));
}

/* of UTF-8 */
Datum
json_object_of(PG_FUNCTION_ARGS)
{
	bytea	   *text = PG_GETARG_BYTEA_PP(0);
	Jsonb	   *object = tpm_json_object(text_to_cstring((struct varlena *) text), VARSIZE_ANY_EXHDR(text));

	if (object == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(object);
}
