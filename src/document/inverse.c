/*-------------------------------------------------------------------------
 *
 * inverse.c
 *		Which texts of the API read as a given value: the inverse of convert.c.
 *
 * Owns the table of types: what is lost when a text of the API becomes a value
 * of a column, and so what must be asked for to be given all of them.  What
 * this file does not name is compared here only.
 *
 * The API may hold more than it prints, and a column less than that: fractions
 * of a second beyond the sixth digit, or beyond what the column's precision
 * keeps; the time of a day; the zone of a wall clock; blanks beyond the length
 * of a varchar(n); what PostgreSQL's text cannot hold.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "document/inverse.h"
#include "document/moment.h"

typedef struct TypeInverse
{
	Oid			type;
	TpmEquality equality;
	bool		has_bounds;
} TypeInverse;

static const TypeInverse inverses[] = {
	{TEXTOID, TPM_EQUAL_TEXT, false},
	{VARCHAROID, TPM_EQUAL_TEXT, false},
	/* in JSON these are no texts, and the API compares them as what they are */
	{BOOLOID, TPM_EQUAL_TEXT, false},
	{INT2OID, TPM_EQUAL_TEXT, true},
	{INT4OID, TPM_EQUAL_TEXT, true},
	{INT8OID, TPM_EQUAL_TEXT, true},
	{UUIDOID, TPM_EQUAL_CASE, false},
	{DATEOID, TPM_EQUAL_RANGE, true},
	{TIMESTAMPOID, TPM_EQUAL_RANGE, true},
	{TIMESTAMPTZOID, TPM_EQUAL_RANGE, true},
};

static const TypeInverse *
inverse_of(Oid type)
{
	for (int i = 0; i < (int) lengthof(inverses); i++)
		if (inverses[i].type == type)
			return &inverses[i];
	return NULL;
}

TpmEquality
tpm_equality_of(Oid type)
{
	const TypeInverse *inverse = inverse_of(type);

	return inverse ? inverse->equality : TPM_EQUAL_NEVER;
}

bool
tpm_type_has_bounds(Oid type)
{
	const TypeInverse *inverse = inverse_of(type);

	return inverse && inverse->has_bounds;
}

bool
tpm_is_time_type(Oid type)
{
	return tpm_equality_of(type) == TPM_EQUAL_RANGE;
}

/* ----- equality ----- */

/* an object or array in a column of text reads as the text it stands in the answer with */
static bool
looks_like_container(const TpmColumn *column, const char *text)
{
	return column->kind != TPM_COL_ID && column->kind != TPM_COL_RELATIONSHIP &&
		(text[0] == '{' || text[0] == '[');
}

/* varchar(n) cuts blanks off what is longer, in silence */
static bool
may_be_cut(const TpmColumn *column, const char *text)
{
	return column->type == VARCHAROID && column->typmod >= VARHDRSZ && column->kind != TPM_COL_ID &&
		pg_mbstrlen(text) == column->typmod - VARHDRSZ;
}

bool
tpm_text_is_sure(const TpmColumn *column, const char *text)
{
	if (column->type != TEXTOID && column->type != VARCHAROID)
		return true;
	return !looks_like_container(column, text) && !may_be_cut(column, text) &&
		!tpm_text_may_be_another(text, column->table->opt.invalid_characters);
}

List *
tpm_spellings(const TpmColumn *column, List *texts)
{
	List	   *spellings = NIL;
	ListCell   *lc;

	/* ids are looked for in the list if the API does not find them */
	if (tpm_equality_of(column->type) != TPM_EQUAL_CASE || column->kind == TPM_COL_ID ||
		column->filter_exact || column->filter_values != NIL)
		return texts;
	foreach(lc, texts)
	{
		char	   *text = lfirst(lc);
		char	   *capitals = pstrdup(text);

		spellings = lappend(spellings, text);
		for (char *s = capitals; *s; s++)
			*s = pg_ascii_toupper((unsigned char) *s);
		if (strcmp(text, capitals) != 0)
			spellings = lappend(spellings, capitals);
	}
	return spellings;
}

/* ----- bounds ----- */

/* the value as one of the column's type, by the rule of SQL's comparison: the session's zone counts */
static Datum
in_type_of_column(const TpmColumn *column, Datum value, Oid type)
{
	if (type == column->type)
		return value;
	if (column->type == TIMESTAMPOID)
		return DirectFunctionCall1(date_timestamp, value);
	return DirectFunctionCall1(type == DATEOID ? date_timestamptz : timestamp_timestamptz, value);
}

/*
 * A text reads as the date that it begins with, whatever its zone; and where a
 * day ends the API may read a day as the midnight that it begins with.
 */
static char *
date_bound(DateADT date, bool upper)
{
	return tpm_date_text(upper ? date + 2 : date - 1);
}

/*
 * Few APIs print more than seconds, but they compare what they hold; and what
 * is longer than the column's precision was rounded.  One second covers both,
 * and that the text be without a fraction.
 */
static char *
moment_bound(TimestampTz moment, bool upper)
{
	int64		rest = moment % USECS_PER_SEC;

	if (rest < 0)
		rest += USECS_PER_SEC;
	moment -= rest;
	if (!upper)
		return tpm_moment_text(moment - USECS_PER_SEC);
	return tpm_moment_text(moment + (rest > 0 ? 2 : 1) * USECS_PER_SEC);
}

char *
tpm_bound_text(const TpmColumn *column, Datum value, Oid type, bool upper)
{
	/* beyond the years that have a text, another type may have no value */
	if ((type == DATEOID ? tpm_date_text(DatumGetDateADT(value))
		 : tpm_moment_text(DatumGetTimestamp(value))) == NULL)
		return NULL;
	value = in_type_of_column(column, value, type);
	switch (column->type)
	{
		case DATEOID:
			return date_bound(DatumGetDateADT(value), upper);
		case TIMESTAMPOID:
			return moment_bound(tpm_edge_moment(DatumGetTimestamp(value), column->table->opt.timezone,
												upper), upper);
		default:
			return moment_bound(DatumGetTimestampTz(value), upper);
	}
}
