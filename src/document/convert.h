/*-------------------------------------------------------------------------
 *
 * convert.h
 *		JSON values as Datums of a column's type, and back as text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CONVERT_H
#define TPM_CONVERT_H

#include "common/jsonapi.h"
#include "fmgr.h"

#include "option/option.h"

typedef enum TpmConversion
{
	TPM_CONV_TEXT,
	TPM_CONV_BOOL,
	TPM_CONV_INT2,
	TPM_CONV_INT4,
	TPM_CONV_INT8,
	TPM_CONV_FLOAT4,
	TPM_CONV_FLOAT8,
	TPM_CONV_NUMERIC,
	TPM_CONV_DATE,
	TPM_CONV_TIMESTAMPTZ,
	TPM_CONV_WALL_CLOCK,		/* timestamp, a domain over it, an array of it */
	TPM_CONV_UUID,
	TPM_CONV_JSONB,
	TPM_CONV_TEXT_ARRAY,
	TPM_CONV_INPUT				/* any other type: its input function */
} TpmConversion;

typedef struct TpmConverter
{
	const TpmColumn *column;
	TpmConversion how;
	bool		is_array;		/* of any type, perhaps by a domain */
	bool		notes_id;		/* it is an id whose spelling counts */
	Oid			ioparam;
	FmgrInfo	input;
} TpmConverter;

extern void tpm_converter_init(TpmConverter *converter, const TpmColumn *column);

/* the type is read the same whatever the session's settings are, and holds
 * no OID of this database: rows with only such columns may be cached */
extern bool tpm_type_is_direct(Oid type);

/* true if tpm_convert_*() must run between tpm_settings_fix() and _restore() */
extern bool tpm_conversion_needs_settings(const TpmConverter *converter);
extern int	tpm_settings_fix(const char *timezone);
extern void tpm_settings_restore(int nestlevel);

/*
 * token is the unescaped value of a scalar, zero-terminated at token[len].
 * False: SQL NULL.
 */
extern bool tpm_convert_scalar(TpmConverter *converter, char *token, int len, JsonTokenType type,
							   Datum *value);

/* a text of the API that stands in no document: a part of a path */
extern Datum tpm_convert_text(const TpmColumn *column, char *text);

/* an object or array, as the text it stands in the document with */
extern bool tpm_convert_container(TpmConverter *converter, const char *json, int len, Datum *value);

#endif							/* TPM_CONVERT_H */
