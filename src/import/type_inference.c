/*-------------------------------------------------------------------------
 *
 * type_inference.c
 *		PostgreSQL types for JSON values that were seen.
 *
 * Owns what a string must look like to be a date, a time or a uuid.  A type
 * that is too narrow makes later rows unreadable, one that is too wide only
 * needs a cast: so everything is text or jsonb unless all values agree.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/json.h"
#include "import/type_inference.h"

/* ----- strings ----- */

/* '9' stands for a digit, 'x' for a lower-case hexadecimal one, all else for itself */
static bool
text_fits(const char *text, const char *pattern)
{
	for (; *pattern; pattern++, text++)
	{
		bool		digit = *text >= '0' && *text <= '9';

		if (*pattern == '9' ? !digit
			: *pattern == 'x' ? !digit && !(*text >= 'a' && *text <= 'f')
			: *text != *pattern)
			return false;
	}
	return true;
}

static bool
begins_with_date(const char *text)
{
	int			year,
				month,
				day;

	if (!text_fits(text, "9999-99-99") || sscanf(text, "%4d-%2d-%2d", &year, &month, &day) != 3)
		return false;
	return year > 0 && month >= 1 && month <= 12 && day >= 1 &&
		day <= day_tab[isleap(year) ? 1 : 0][month - 1];
}

/* "", "Z", "+01", "+01:00", "+0100" */
static bool
is_zone(const char *text)
{
	size_t		len = strlen(text);

	if (len == 0 || strcmp(text, "Z") == 0)
		return true;
	if (text[0] != '+' && text[0] != '-')
		return false;
	return (len == 3 && text_fits(text + 1, "99")) || (len == 5 && text_fits(text + 1, "9999")) ||
		(len == 6 && text_fits(text + 1, "99:99"));
}

static bool
is_time_of_day(const char *text)
{
	int			hour,
				minute;

	if (!text_fits(text, "99:99") || sscanf(text, "%2d:%2d", &hour, &minute) != 2 || hour > 23 || minute > 59)
		return false;
	text += 5;
	if (text_fits(text, ":99"))
	{
		if (atoi(text + 1) > 59)
			return false;
		text += 3;
		if (text[0] == '.' && text[1] >= '0' && text[1] <= '9')
			text += 1 + strspn(text + 1, "0123456789");
	}
	return is_zone(text);
}

static int
look_at_text(const char *text)
{
	if (text[0] == '\0')
		return TPM_SEEN_BLANK;
	if (begins_with_date(text))
	{
		if (text[10] == '\0')
			return TPM_SEEN_DATE;
		if ((text[10] == 'T' || text[10] == ' ') && is_time_of_day(text + 11))
			return TPM_SEEN_TIME;
	}
	if (strlen(text) == 36 && text_fits(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
		return TPM_SEEN_UUID;
	return TPM_SEEN_TEXT;
}

/* ----- numbers ----- */

static int
look_at_number(Numeric number)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	size_t		digits = strspn(text[0] == '-' ? text + 1 : text, "0123456789");

	/* of 19 digits not all fit */
	if (text[text[0] == '-' ? digits + 1 : digits] == '\0' && digits <= 18)
		return TPM_SEEN_INTEGER;
	return TPM_SEEN_NUMBER;
}

/* ----- containers ----- */

bool
tpm_infer_custom_field(const JsonbValue *element, char **term, JsonbContainer **value)
{
	JsonbValue	term_buffer,
				value_buffer;
	JsonbValue *its_term,
			   *its_value;

	if (element->type != jbvBinary)
		return false;
	its_term = tpm_json_get(element->val.binary.data, "term", &term_buffer);
	its_value = tpm_json_get(element->val.binary.data, "value", &value_buffer);
	if (its_term == NULL || its_term->type != jbvString || its_value == NULL ||
		its_value->type != jbvBinary || !JsonContainerIsArray(its_value->val.binary.data))
		return false;
	*term = pnstrdup(its_term->val.string.val, its_term->val.string.len);
	*value = its_value->val.binary.data;
	return true;
}

static int
look_at_array(JsonbContainer *array)
{
	uint32		n = JsonContainerSize(array);
	uint32		texts = 0;
	uint32		fields = 0;

	for (uint32 i = 0; i < n; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);
		char	   *term;
		JsonbContainer *value;

		texts += element->type == jbvString ? 1 : 0;
		fields += tpm_infer_custom_field(element, &term, &value) ? 1 : 0;
	}
	if (n == 0)
		return TPM_SEEN_NOTHING;
	return texts == n ? TPM_SEEN_TEXTS : fields == n ? TPM_SEEN_FIELDS : TPM_SEEN_JSON;
}

/* ----- all of them ----- */

int
tpm_infer_look(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return look_at_text(pnstrdup(value->val.string.val, value->val.string.len));
		case jbvNumeric:
			return look_at_number(value->val.numeric);
		case jbvBool:
			return TPM_SEEN_BOOLEAN;
		case jbvBinary:
			return JsonContainerIsArray(value->val.binary.data) ? look_at_array(value->val.binary.data)
				: TPM_SEEN_JSON;
		default:
			return 0;
	}
}

#define SEEN_CONTAINERS	(TPM_SEEN_TEXTS | TPM_SEEN_NOTHING | TPM_SEEN_FIELDS | TPM_SEEN_JSON)

const char *
tpm_infer_type(int seen)
{
	/* a blank is NULL to a scalar type, and one more value to a container */
	switch (seen & SEEN_CONTAINERS ? seen : seen & ~TPM_SEEN_BLANK)
	{
		case TPM_SEEN_DATE:
			return "date";
		case TPM_SEEN_TIME:
			return "timestamptz";
		case TPM_SEEN_UUID:
			return "uuid";
		case TPM_SEEN_INTEGER:
			return "bigint";
		case TPM_SEEN_NUMBER:
		case TPM_SEEN_NUMBER | TPM_SEEN_INTEGER:
			return "numeric";
		case TPM_SEEN_BOOLEAN:
			return "boolean";
		case TPM_SEEN_TEXTS:
		case TPM_SEEN_TEXTS | TPM_SEEN_NOTHING:
			return "text[]";
		default:
			break;
	}
	return (seen & SEEN_CONTAINERS) ? "jsonb" : "text";
}
