/*-------------------------------------------------------------------------
 *
 * convert.c
 *		JSON values to Datums of a column's type.
 *
 * Owns the direct conversions of the types of which an API is made, and the
 * settings under which all others are read: what a row holds never depends on
 * the DateStyle or TimeZone of the session that happened to fetch it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "document/convert.h"
#include "document/id_spelling.h"
#include "document/moment.h"

bool
tpm_type_is_direct(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case DATEOID:
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case UUIDOID:
		case TEXTARRAYOID:
		case JSONBOID:
		case JSONOID:
			return true;
		default:
			return false;
	}
}

static TpmConversion
conversion_of(Oid type)
{
	switch (type)
	{
		case TEXTOID:
			return TPM_CONV_TEXT;
		case BOOLOID:
			return TPM_CONV_BOOL;
		case INT2OID:
			return TPM_CONV_INT2;
		case INT4OID:
			return TPM_CONV_INT4;
		case INT8OID:
			return TPM_CONV_INT8;
		case FLOAT4OID:
			return TPM_CONV_FLOAT4;
		case FLOAT8OID:
			return TPM_CONV_FLOAT8;
		case NUMERICOID:
			return TPM_CONV_NUMERIC;
		case DATEOID:
			return TPM_CONV_DATE;
		case TIMESTAMPTZOID:
			return TPM_CONV_TIMESTAMPTZ;
		case UUIDOID:
			return TPM_CONV_UUID;
		case JSONBOID:
			return TPM_CONV_JSONB;
		case TEXTARRAYOID:
			return TPM_CONV_TEXT_ARRAY;
		default:
			return get_base_element_type(type) == TIMESTAMPOID || getBaseType(type) == TIMESTAMPOID
				? TPM_CONV_WALL_CLOCK : TPM_CONV_INPUT;
	}
}

void
tpm_converter_init(TpmConverter *converter, const TpmColumn *column)
{
	Oid			function;

	converter->column = column;
	converter->how = conversion_of(column->type);
	converter->is_array = OidIsValid(get_base_element_type(column->type));
	converter->notes_id = column->kind == TPM_COL_ID && tpm_id_has_spellings(column->table);
	getTypeInputInfo(column->type, &function, &converter->ioparam);
	fmgr_info(function, &converter->input);
}

bool
tpm_conversion_needs_settings(const TpmConverter *converter)
{
	return converter->how == TPM_CONV_DATE || converter->how == TPM_CONV_TIMESTAMPTZ ||
		converter->how == TPM_CONV_WALL_CLOCK || converter->how == TPM_CONV_INPUT;
}

int
tpm_settings_fix(const char *timezone)
{
	static const char *const fixed[][2] = {
		{"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"},
		{"extra_float_digits", "3"},
		{"search_path", "pg_catalog"},
	};
	int			nestlevel = NewGUCNestLevel();

	for (int i = 0; i < (int) lengthof(fixed); i++)
		(void) set_config_option(fixed[i][0], fixed[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("TimeZone", timezone, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	return nestlevel;
}

void
tpm_settings_restore(int nestlevel)
{
	AtEOXact_GUC(true, nestlevel);
}

/* exactly n digits as a number, or -1 */
static inline int
digits(const char *s, int n)
{
	int			value = 0;

	for (int i = 0; i < n; i++)
	{
		if (s[i] < '0' || s[i] > '9')
			return -1;
		value = value * 10 + (s[i] - '0');
	}
	return value;
}

/* YYYY-MM-DD at the start of s, as a Julian day; false if it is none */
static inline bool
read_date(const char *s, int *julian)
{
	int			y = digits(s, 4);
	int			m,
				d;

	if (y < 1 || s[4] != '-' || (m = digits(s + 5, 2)) < 1 || m > 12 || s[7] != '-' ||
		(d = digits(s + 8, 2)) < 1 || d > day_tab[isleap(y)][m - 1])
		return false;
	*julian = date2j(y, m, d);
	return true;
}

/* Z, or an offset such as +02:00 or -0530, in seconds east of Greenwich */
static inline bool
read_zone(const char *s, int *offset)
{
	int			h,
				m;

	if ((s[0] == 'Z' || s[0] == 'z') && s[1] == '\0')
	{
		*offset = 0;
		return true;
	}
	if (s[0] != '+' && s[0] != '-')
		return false;
	if ((h = digits(s + 1, 2)) < 0 || h > 14)
		return false;
	m = s[3] == ':' ? digits(s + 4, 2) : digits(s + 3, 2);
	if (m < 0 || m > 59 || s[s[3] == ':' ? 6 : 5] != '\0')
		return false;
	*offset = (h * 3600 + m * 60) * (s[0] == '-' ? -1 : 1);
	return true;
}

/* ISO 8601 with a zone, as every API writes it; anything else is not ours */
static bool
read_timestamptz(const char *s, TimestampTz *result)
{
	int			julian,
				h,
				mi,
				sec,
				offset;
	int64		usec = 0;

	if (!read_date(s, &julian) || (s[10] != 'T' && s[10] != ' ') ||
		(h = digits(s + 11, 2)) < 0 || h > 23 || s[13] != ':' ||
		(mi = digits(s + 14, 2)) < 0 || mi > 59 || s[16] != ':' ||
		(sec = digits(s + 17, 2)) < 0 || sec > 59)
		return false;
	s += 19;
	if (*s == '.')
	{
		const char *point = s;
		int			scale = 100000;

		for (s++; *s >= '0' && *s <= '9'; s++)
		{
			usec += (*s - '0') * scale;
			scale /= 10;
		}
		/* more digits than we hold are rounded, as the input function does */
		if (s - point > 7)
			usec = rint(strtod(point, NULL) * USECS_PER_SEC);
	}
	if (!read_zone(s, &offset))
		return false;
	*result = (int64) (julian - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY +
		(int64) (h * 3600 + mi * 60 + sec - offset) * USECS_PER_SEC + usec;
	return true;
}

/*
 * A text with a zone tells a moment, of which a column without one holds what
 * the clocks of the option timezone show; without, it tells just that.
 */
static char *
wall_clock_text(const TpmColumn *column, char *token)
{
	TimestampTz moment;
	Datum		wall;

	if (!read_timestamptz(token, &moment))
	{
		wall = DirectFunctionCall3(timestamp_in, CStringGetDatum(token), ObjectIdGetDatum(InvalidOid),
								   Int32GetDatum(-1));
		moment = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(token),
														 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		/* the zone that is fixed now is the one of texts without */
		if (moment == DatumGetTimestampTz(DirectFunctionCall1(timestamp_timestamptz, wall)))
			return token;
	}
	wall = TimestampGetDatum(tpm_wall_clock(moment, column->table->opt.timezone));
	return DatumGetCString(DirectFunctionCall1(timestamp_out, wall));
}

static bool
plain_integer(const char *s, int64 *value)
{
	bool		negative = (*s == '-');
	int64		v = 0;
	int			n = 0;

	for (s += negative; *s >= '0' && *s <= '9' && n < 18; s++, n++)
		v = v * 10 + (*s - '0');
	if (n == 0 || *s != '\0')
		return false;
	*value = negative ? -v : v;
	return true;
}

/* a decimal such as -71.50 as digits and how many of them are a fraction */
static bool
plain_decimal(const char *s, int64 *value, int *scale)
{
	bool		negative = (*s == '-');
	int64		v = 0;
	int			n = 0;
	const char *point = NULL;

	for (s += negative; n < 16; s++)
	{
		if (*s >= '0' && *s <= '9')
			v = v * 10 + (*s - '0'), n++;
		else if (*s == '.' && point == NULL && n > 0)
			point = s;
		else
			break;
	}
	if (n == 0 || *s != '\0' || s[-1] == '.')
		return false;
	*value = negative ? -v : v;
	*scale = point ? (int) (s - point - 1) : 0;
	return true;
}

static Datum
input(TpmConverter *converter, char *token)
{
	return InputFunctionCall(&converter->input, token, converter->ioparam, converter->column->typmod);
}

/* the elements of a text[] as PostgreSQL's spelling of an array of the column's type */
static char *
array_text(TpmConverter *converter, Datum array)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			first = 1;

	if (converter->how == TPM_CONV_WALL_CLOCK)
	{
		deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
		for (int i = 0; i < n; i++)
			if (!nulls[i])
				elements[i] = CStringGetTextDatum(wall_clock_text(converter->column,
																  TextDatumGetCString(elements[i])));
		array = PointerGetDatum(construct_md_array(elements, nulls, 1, &n, &first, TEXTOID, -1,
												   false, TYPALIGN_INT));
	}
	return OidOutputFunctionCall(F_ARRAY_OUT, array);
}

/* JSON knows no integers: 40.0 and 4e1 are the number 40 */
static Datum
input_integer(TpmConverter *converter, char *token)
{
	Datum		number,
				whole;

	if (strpbrk(token, ".eE") == NULL)
		return input(converter, token);
	number = DirectFunctionCall3(numeric_in, CStringGetDatum(token), ObjectIdGetDatum(InvalidOid),
								 Int32GetDatum(-1));
	whole = DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number, whole)))
		return input(converter, token);
	return input(converter, DatumGetCString(DirectFunctionCall1(numeric_out, whole)));
}

static Datum
scalar_to_jsonb(char *token, JsonTokenType type)
{
	JsonbValue	v;

	memset(&v, 0, sizeof(v));
	switch (type)
	{
		case JSON_TOKEN_STRING:
			v.type = jbvString;
			v.val.string.val = token;
			v.val.string.len = strlen(token);
			break;
		case JSON_TOKEN_NUMBER:
			return DirectFunctionCall1(jsonb_in, CStringGetDatum(token));
		default:
			v.type = jbvBool;
			v.val.boolean = (type == JSON_TOKEN_TRUE);
			break;
	}
	return JsonbPGetDatum(JsonbValueToJsonb(&v));
}

static Datum
one_element_array(char *token)
{
	Datum		element = PointerGetDatum(cstring_to_text(token));

	return PointerGetDatum(construct_array(&element, 1, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
numeric_datum(TpmConverter *converter, char *token)
{
	int64		v;
	int			scale;

	if (converter->column->typmod >= 0 || !plain_decimal(token, &v, &scale))
		return input(converter, token);
	return NumericGetDatum(int64_div_fast_to_numeric(v, scale));
}

static Datum
integer_datum(TpmConverter *converter, char *token)
{
	int64		v;

	if (!plain_integer(token, &v))
		return input_integer(converter, token);
	switch (converter->how)
	{
		case TPM_CONV_INT2:
			return v == (int16) v ? Int16GetDatum((int16) v) : input(converter, token);
		case TPM_CONV_INT4:
			return v == (int32) v ? Int32GetDatum((int32) v) : input(converter, token);
		default:
			return Int64GetDatum(v);
	}
}

static bool
convert_scalar(TpmConverter *converter, char *token, int len, JsonTokenType type, Datum *value)
{
	const TpmColumn *column = converter->column;
	int			julian;
	TimestampTz stamp;

	if (type == JSON_TOKEN_NULL)
		return false;

	/* the API's way to say "blank", where an empty text is no value */
	if (token[0] == '\0' && type == JSON_TOKEN_STRING && converter->how != TPM_CONV_TEXT &&
		converter->how != TPM_CONV_JSONB && converter->how != TPM_CONV_TEXT_ARRAY &&
		column->type != VARCHAROID && column->type != BPCHAROID && column->type != NAMEOID &&
		column->type != JSONOID)
		return false;

	switch (converter->how)
	{
		case TPM_CONV_TEXT:
			*value = PointerGetDatum(cstring_to_text_with_len(token, len));
			return true;
		case TPM_CONV_BOOL:
			if (type == JSON_TOKEN_TRUE || type == JSON_TOKEN_FALSE)
				*value = BoolGetDatum(type == JSON_TOKEN_TRUE);
			else
				*value = input(converter, token);
			return true;
		case TPM_CONV_INT2:
		case TPM_CONV_INT4:
		case TPM_CONV_INT8:
			*value = integer_datum(converter, token);
			return true;
		case TPM_CONV_NUMERIC:
			*value = numeric_datum(converter, token);
			return true;
		case TPM_CONV_DATE:
			if (read_date(token, &julian) && token[10] == '\0')
				*value = DateADTGetDatum(julian - POSTGRES_EPOCH_JDATE);
			else
				*value = input(converter, token);
			return true;
		case TPM_CONV_TIMESTAMPTZ:
			if (column->typmod < 0 && read_timestamptz(token, &stamp))
				*value = TimestampTzGetDatum(stamp);
			else
				*value = input(converter, token);
			return true;
		case TPM_CONV_JSONB:
			*value = scalar_to_jsonb(token, type);
			return true;
		case TPM_CONV_TEXT_ARRAY:
			*value = one_element_array(token);
			return true;
		case TPM_CONV_WALL_CLOCK:
		case TPM_CONV_INPUT:
			if (converter->how == TPM_CONV_WALL_CLOCK && !converter->is_array)
				token = wall_clock_text(column, token);
			if (column->type == JSONOID && type == JSON_TOKEN_STRING)
			{
				StringInfoData quoted;

				initStringInfo(&quoted);
				escape_json(&quoted, token);
				token = quoted.data;
			}

			/*
			 * PostgreSQL's own spelling of an array is one; all else is its
			 * only element
			 */
			if (converter->is_array && token[0] != '{')
				token = array_text(converter, one_element_array(token));
			*value = input(converter, token);
			return true;
		default:
			*value = input(converter, token);
			return true;
	}
}

bool
tpm_convert_scalar(TpmConverter *converter, char *token, int len, JsonTokenType type, Datum *value)
{
	if (!convert_scalar(converter, token, len, type, value))
		return false;
	if (converter->notes_id)
		tpm_id_note(converter->column, token, *value);
	return true;
}

Datum
tpm_convert_text(const TpmColumn *column, char *text)
{
	int			nestlevel = tpm_settings_fix(column->table->opt.timezone);
	TpmConverter converter;
	Datum		value;

	tpm_converter_init(&converter, column);
	if (converter.how == TPM_CONV_WALL_CLOCK && !converter.is_array)
		text = wall_clock_text(column, text);
	value = input(&converter, text);
	tpm_settings_restore(nestlevel);
	return value;
}

/* an array of scalars as text[]; nested values as their JSON text */
static Datum
json_to_text_array(Datum json)
{
	Jsonb	   *jb = DatumGetJsonbP(json);
	JsonbIterator *it = JsonbIteratorInit(&jb->root);
	JsonbValue	v;
	JsonbIteratorToken r;
	ArrayBuildState *state = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	if (!JB_ROOT_IS_ARRAY(jb))
		return one_element_array(JsonbToCString(NULL, &jb->root, VARSIZE(jb)));
	while ((r = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *text = NULL;

		if (r != WJB_ELEM)
			continue;
		switch (v.type)
		{
			case jbvNull:
				break;
			case jbvString:
				text = pnstrdup(v.val.string.val, v.val.string.len);

				break;
			case jbvNumeric:
				text = DatumGetCString(DirectFunctionCall1(numeric_out,
														   NumericGetDatum(v.val.numeric)));

				break;
			case jbvBool:
				text = pstrdup(v.val.boolean ? "true" : "false");

				break;
			default:
				text = JsonbToCString(NULL, v.val.binary.data, v.val.binary.len);

				break;
		}
		state = accumArrayResult(state, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL,
								 TEXTOID, CurrentMemoryContext);
	}
	return makeArrayResult(state, CurrentMemoryContext);
}

bool
tpm_convert_container(TpmConverter *converter, const char *json, int len, Datum *value)
{
	char	   *text = pnstrdup(json, len);

	switch (converter->how)
	{
		case TPM_CONV_JSONB:
			*value = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
			break;
		case TPM_CONV_TEXT_ARRAY:
			*value = json_to_text_array(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
			break;
		case TPM_CONV_TEXT:
			*value = PointerGetDatum(cstring_to_text_with_len(json, len));
			break;
		default:
			/* a JSON array is one of the column's, in PostgreSQL's spelling */
			if (converter->is_array && json[0] == '[')
			{
				Datum		array = json_to_text_array(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));

				text = array_text(converter, array);
			}
			*value = input(converter, text);
			break;
	}
	return true;
}
