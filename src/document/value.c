/*-------------------------------------------------------------------------
 *
 * value.c
 *		Datums of a column as the API's text and as JSON.
 *
 * Owns how a value of a column's type is spelled in a body.  What is read by
 * convert.c and written here is the same value again.  Knows nothing of
 * resources.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/json.h"
#include "compat.h"
#include "document/convert.h"
#include "document/moment.h"
#include "document/value.h"

/* ----- values ----- */

pg_noreturn static void not_in_json(const TpmColumn *column, const char *text);

static void
not_in_json(const TpmColumn *column, const char *text)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("value \"%s\" of column \"%s\" cannot be sent", text, column->name),
			 errdetail("JSON has no word for it.")));
}

/* the type's own text, under fixed settings */
static char *
output(Oid type, Datum value)
{
	int			nestlevel = tpm_settings_fix("UTC");
	Oid			function;
	bool		is_varlena;
	char	   *text;

	getTypeOutputInfo(type, &function, &is_varlena);
	text = OidOutputFunctionCall(function, value);
	tpm_settings_restore(nestlevel);
	return text;
}

/* numbers as PostgreSQL writes them are JSON's, but for what is no number */
static char *
number(const TpmColumn *column, Oid type, Datum value)
{
	char	   *text = output(type, value);
	const char *first = text[0] == '-' ? text + 1 : text;

	if (*first < '0' || *first > '9')
		not_in_json(column, text);
	return text;
}

char *
tpm_time_text(const TpmColumn *column, Oid type, Datum value)
{
	switch (type)
	{
		case DATEOID:
			return tpm_date_text(DatumGetDateADT(value));
		case TIMESTAMPOID:
			return tpm_moment_text(tpm_moment(DatumGetTimestamp(value), column->table->opt.timezone));
		default:
			return tpm_moment_text(DatumGetTimestampTz(value));
	}
}

/* trailing blanks of char(n) are padding, not value */
static char *
padded_text(Datum value)
{
	char	   *result = TextDatumGetCString(value);
	size_t		len = strlen(result);

	while (len > 0 && result[len - 1] == ' ')
		result[--len] = '\0';
	return result;
}

char *
tpm_value_text(const TpmColumn *column, Datum value)
{
	Oid			type = getBaseType(column->type);
	char	   *spelled;

	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
			return TextDatumGetCString(value);
		case BPCHAROID:
			return padded_text(value);
		case BOOLOID:
			return pstrdup(DatumGetBool(value) ? "true" : "false");
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			spelled = tpm_time_text(column, type, value);
			if (spelled == NULL)
				not_in_json(column, output(type, value));
			return spelled;
		default:
			return output(type, value);
	}
}

/* an array of times without a zone, as one of the moments at which clocks show them */
static Datum
array_of_moments(const TpmColumn *column, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, TIMESTAMPOID, sizeof(Timestamp), true, TYPALIGN_DOUBLE, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			elements[i] = TimestampTzGetDatum(tpm_moment(DatumGetTimestamp(elements[i]),
														 column->table->opt.timezone));
	return PointerGetDatum(construct_md_array(elements, nulls, ARR_NDIM(array), ARR_DIMS(array),
											  ARR_LBOUND(array), TIMESTAMPTZOID, sizeof(TimestampTz),
											  true, TYPALIGN_DOUBLE));
}

static char *
array_json(const TpmColumn *column, Oid element, Datum value)
{
	int			nestlevel = tpm_settings_fix("UTC");
	char	   *json;

	if (getBaseType(element) == TIMESTAMPOID)
		value = array_of_moments(column, value);
	json = TextDatumGetCString(DirectFunctionCall1(array_to_json, value));
	tpm_settings_restore(nestlevel);
	return json;
}

char *
tpm_value_json(const TpmColumn *column, Datum value)
{
	Oid			type = getBaseType(column->type);

	switch (type)
	{
		case BOOLOID:
			return tpm_value_text(column, value);
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return number(column, type, value);
		case JSONOID:
		case JSONBOID:
			return output(type, value);
		default:
			if (OidIsValid(get_element_type(type)))
				return array_json(column, get_element_type(type), value);
			return tpm_json_string(tpm_value_text(column, value));
	}
}

List *
tpm_value_texts(const TpmColumn *column, Datum value)
{
	Oid			type = getBaseType(column->type);
	Oid			element = get_element_type(type);
	TpmColumn	one = *column;
	List	   *texts = NIL;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (!OidIsValid(element))
		return list_make1(tpm_value_text(column, value));
	get_typlenbyvalalign(element, &typlen, &typbyval, &typalign);
	deconstruct_array(DatumGetArrayTypeP(value), element, typlen, typbyval, typalign, &elements,
					  &nulls, &n);
	one.type = element;
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			texts = lappend(texts, tpm_value_text(&one, elements[i]));
	return texts;
}
