/*-------------------------------------------------------------------------
 *
 * text.c
 *		Bodies as text of the database's encoding, and small JSON answers.
 *
 * Owns what happens to characters that PostgreSQL's text cannot hold, and the
 * reading of documents that are not rows: errors and token answers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/text.h"
#include "compat.h"

/* an error body is read for its words; more than this is not words */
#define TPM_MAX_ERROR_BODY	(256 * 1024)

/* what jsonb is asked to read is no deeper, and has no longer numbers */
#define TPM_MOST_NESTED		512
#define TPM_MOST_DIGITS		8000

/* U+FFFD REPLACEMENT CHARACTER, which not every encoding has */
#define REPLACEMENT_UTF8	"\xEF\xBF\xBD"

/* \uXXXX at s: its value, or -1 */
static int
escaped_unit(const char *s, const char *end)
{
	int			value = 0;

	if (end - s < 6 || s[0] != '\\' || s[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		char		c = s[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + (c - 'A' + 10);
		else
			return -1;
	}
	return value;
}

/*
 * An escaped character: as it is written, but in a database that may not have
 * it as itself, so that its conversion shows that.
 */
static void
copy_character(StringInfo out, const char *s, int len)
{
	unsigned char utf8[5] = {0};
	pg_wchar	character = len == 12
	? surrogate_pair_to_codepoint(escaped_unit(s, s + 6), escaped_unit(s + 6, s + 12))
	: len == 6 ? (pg_wchar) escaped_unit(s, s + 6) : 0;

	if (character < 0x80 || GetDatabaseEncoding() == PG_UTF8)
		appendBinaryStringInfo(out, s, len);
	else
		appendStringInfoString(out, (char *) unicode_to_utf8(character, utf8));
}

/*
 * The length of the escape sequence at s.  A NUL or half a surrogate pair is
 * what PostgreSQL's JSON lexer refuses.
 */
static int
escape_length(const char *s, const char *end, bool *invalid)
{
	int			unit = escaped_unit(s, end);
	int			low;

	*invalid = false;
	if (unit < 0)
		/* what follows may be a character to replace */
		return end - s > 1 && s[1] >= ' ' && s[1] <= '~' ? 2 : 1;
	if (unit >= 0xD800 && unit <= 0xDBFF)
	{
		low = escaped_unit(s + 6, end);
		if (low >= 0xDC00 && low <= 0xDFFF)
			return 12;
	}
	*invalid = unit == 0 || (unit >= 0xD800 && unit <= 0xDFFF);
	return 6;
}

bool
tpm_text_has_invalid_escape(const char *body, size_t len)
{
	const char *end = body + len;
	bool		invalid = false;

	for (const char *s = body; !invalid && (s = memchr(s, '\\', end - s)) != NULL;)
		s += escape_length(s, end, &invalid);
	return invalid;
}

static const char *
copy_escape(StringInfo out, const char *s, const char *end)
{
	bool		invalid;
	int			n = escape_length(s, end, &invalid);

	if (invalid)
		appendStringInfoString(out, REPLACEMENT_UTF8);
	else
		copy_character(out, s, n);
	return s + n;
}

static char *
replace_invalid(char *body, size_t *len)
{
	const char *s = body;
	const char *end = body + *len;
	StringInfoData out;

	initStringInfo(&out);
	enlargeStringInfo(&out, *len);
	while (s < end)
	{
		int			n;

		if (*s == '\\')
		{
			s = copy_escape(&out, s, end);
			continue;
		}
		n = pg_utf_mblen((const unsigned char *) s);
		if (*s == '\0' || n > end - s || !pg_utf8_islegal((const unsigned char *) s, n))
		{
			appendStringInfoString(&out, REPLACEMENT_UTF8);
			s++;
			continue;
		}
		appendBinaryStringInfo(&out, s, n);
		s += n;
	}
	*len = out.len;
	return out.data;
}

/* JSON is UTF-8 (RFC 8259, section 8.1), whatever the database is */
static bool
is_other_encoding(void)
{
	return GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII;
}

char *
tpm_text_to_server(char *text, size_t *len)
{
	unsigned char dest[4096 * MAX_CONVERSION_GROWTH];
	StringInfoData out;
	size_t		at = 0;
	Oid			proc;

	if (!is_other_encoding())
		return text;
	proc = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	initStringInfo(&out);
	while (at < *len)
	{
		unsigned char *src = (unsigned char *) text + at;
		int			chunk = (int) Min(*len - at, 4096);
		int			done = pg_do_encoding_conversion_buf(proc, PG_UTF8, GetDatabaseEncoding(), src,
														 chunk, dest, sizeof(dest), true);

		appendStringInfoString(&out, (char *) dest);
		at += done;

		/*
		 * what is left of the chunk is a character cut in two, or one that is
		 * not there
		 */
		if (done < chunk && (at + 4 > *len || chunk - done >= pg_utf_mblen(src + done)))
		{
			appendStringInfoChar(&out, '?');
			at += Min((size_t) pg_utf_mblen(src + done), *len - at);
		}
	}
	*len = out.len;
	return out.data;
}

bool
tpm_text_may_be_another(const char *text, int invalid_characters)
{
	if (!is_other_encoding())
		return invalid_characters == TPM_INVALID_REPLACE && strstr(text, REPLACEMENT_UTF8) != NULL;
	return invalid_characters == TPM_INVALID_REPLACE && strchr(text, '?') != NULL;
}

/* a reader may ignore a byte order mark (RFC 8259, section 8.1), and some writers set one */
static char *
skip_byte_order_mark(char *text, size_t *len)
{
	if (*len < 3 || memcmp(text, "\xEF\xBB\xBF", 3) != 0)
		return text;
	*len -= 3;
	return text + 3;
}

char *
tpm_text_of_body(char *body, size_t *len, int invalid_characters, const char *where)
{
	char	   *converted;
	int			good;

	body = skip_byte_order_mark(body, len);
	if (invalid_characters == TPM_INVALID_REPLACE)
		body = replace_invalid(body, len);
	else
	{
		good = pg_encoding_verifymbstr(PG_UTF8, body, *len);
		if ((size_t) good != *len)
			ereport(ERROR,
					(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
					 errmsg("the answer to %s is not valid UTF-8", where),
					 errdetail("The first invalid byte is number %d.", good + 1),
					 errhint("Set the option invalid_characters to \"replace\" to read it all the same.")));
	}

	if (!is_other_encoding())
		return body;
	if (invalid_characters == TPM_INVALID_REPLACE)
		return tpm_text_to_server(body, len);
	converted = pg_any_to_server(body, *len, PG_UTF8);
	if (converted != body)
		*len = strlen(converted);
	return converted;
}

/* a character as JSON spells it in n bytes, in UTF-8; returns its length */
static int
unescape_character(const char *s, int n, unsigned char *utf8)
{
	static const char spelt[] = "bfnrt";
	static const char meant[] = "\b\f\n\r\t";

	if (n >= 6)
	{
		unicode_to_utf8(n == 12 ? surrogate_pair_to_codepoint(escaped_unit(s, s + 6), escaped_unit(s + 6, s + 12))
						: (pg_wchar) escaped_unit(s, s + 6), utf8);
		return pg_utf_mblen(utf8);
	}
	utf8[0] = s[n - 1];
	if (n == 2 && strchr(spelt, s[1]))
		utf8[0] = meant[strchr(spelt, s[1]) - spelt];
	return 1;
}

/* valid UTF-8 in the database's encoding, NULL if that lacks a character of it */
static char *
text_in_server(char *text, int len)
{
	Oid			proc;
	char	   *converted;
	int			size = len * MAX_CONVERSION_GROWTH + 1;

	if (!is_other_encoding())
		return text;
	proc = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	if (!OidIsValid(proc))
		return NULL;
	converted = palloc(size);
	if (pg_do_encoding_conversion_buf(proc, PG_UTF8, GetDatabaseEncoding(), (unsigned char *) text, len,
									  (unsigned char *) converted, size, true) != len)
		return NULL;
	return converted;
}

Jsonb *
tpm_json_of_body(char *body, size_t len, int invalid_characters, const char *where)
{
	char	   *text = tpm_text_of_body(body, &len, invalid_characters, where);
	JsonLexContext *lex = tpm_make_lexer(text, len, GetDatabaseEncoding(), true);
	JsonParseErrorType error = pg_parse_json(lex, &nullSemAction);

	if (error != JSON_SUCCESS)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the answer to %s is not JSON", where),
				 errdetail_internal("%s", json_errdetail(error, lex))));
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/* are more than most objects and arrays open at once?  Tells of what is no JSON, too. */
static bool
is_deeper_json(const char *text, size_t len, int most)
{
	bool		in_string = false;
	int			depth = 0;

	for (size_t i = 0; i < len; i++)
	{
		switch (text[i])
		{
			case '"':
				in_string = !in_string;
				break;
			case '\\':
				i += in_string;
				break;
			case '{':
			case '[':
				if (!in_string && ++depth > most)
					return true;
				break;
			case '}':
			case ']':
				depth -= !in_string;
				break;
			default:
				break;
		}
	}
	return false;
}

/*
 * numeric holds 131,072 digits before the point and 16,383 behind it; a number
 * that somebody looks at has fewer
 */
static TpmJsonResult
note_large_number(void *state, char *token, JsonTokenType type)
{
	if (type == JSON_TOKEN_NUMBER)
	{
		const char *exponent = strpbrk(token, "eE");

		if (strlen(token) > TPM_MOST_DIGITS ||
			(exponent && fabs(strtod(exponent + 1, NULL)) > TPM_MOST_DIGITS))
			*(bool *) state = true;
	}
	if (token)
		pfree(token);
	TPM_JSON_OK;
}

/* can the database's encoding spell every character that an escape means? */
static bool
escapes_fit(const char *text, size_t len, int encoding)
{
	const char *end = text + len;
	bool		invalid = false;

	for (const char *s = text; (s = memchr(s, '\\', end - s)) != NULL;)
	{
		unsigned char utf8[5] = {0};
		int			n = escape_length(s, end, &invalid);

		if (invalid)
			return false;
		if (n >= 6 && encoding != PG_UTF8 && unescape_character(s, n, utf8) > 1 &&
			(encoding == PG_SQL_ASCII || text_in_server((char *) utf8, strlen((char *) utf8)) == NULL))
			return false;
		s += n;
	}
	return true;
}

/* the parser does not unescape: not every version can without an error */
bool
tpm_json_fits_jsonb(const char *text, size_t len, int encoding)
{
	bool		has_large_number = false;
	JsonSemAction action = {.semstate = &has_large_number,.scalar = note_large_number};

	if (len == 0 || len > INT_MAX || is_deeper_json(text, len, TPM_MOST_NESTED) ||
		!escapes_fit(text, len, encoding))
		return false;
	return pg_parse_json(tpm_make_lexer(text, (int) len, encoding, false), &action) == JSON_SUCCESS &&
		!has_large_number;
}

Jsonb *
tpm_json_object(const char *body, size_t len)
{
	size_t		size = len;
	char	   *text;
	Jsonb	   *jb;

	if (body == NULL)
		return NULL;
	text = skip_byte_order_mark(unconstify(char *, body), &size);
	if (size > TPM_MAX_ERROR_BODY || (size_t) pg_encoding_verifymbstr(PG_UTF8, text, size) != size ||
		!tpm_json_fits_jsonb(text, size, PG_UTF8))
		return NULL;
	text = replace_invalid(text, &size);
	text = tpm_text_to_server(text, &size);

	jb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	return JB_ROOT_IS_OBJECT(jb) ? jb : NULL;
}

static char *
value_text(JsonbValue *value)
{
	if (value == NULL)
		return NULL;
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

bool
tpm_json_has(Jsonb *object, const char *name)
{
	JsonbValue	buffer;

	return getKeyJsonValueFromContainer(&object->root, name, strlen(name), &buffer) != NULL;
}

char *
tpm_json_member_text(JsonbContainer *container, const char *name)
{
	JsonbValue	buffer;

	return value_text(getKeyJsonValueFromContainer(container, name, strlen(name), &buffer));
}

char *
tpm_json_member(Jsonb *object, const char *name)
{
	return tpm_json_member_text(&object->root, name);
}
