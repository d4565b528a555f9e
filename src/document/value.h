/*-------------------------------------------------------------------------
 *
 * value.h
 *		Datums of a column as the API's text and as JSON: the way back of convert.h.
 *
 * Every result is palloc'd in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_VALUE_H
#define TPM_VALUE_H

#include "nodes/pg_list.h"

#include "option/option.h"

/*
 * The column's value as JSON text, the same whatever the session's settings
 * are.  Raises 22023 for what JSON cannot say (NaN, infinite dates).
 */
extern char *tpm_value_json(const TpmColumn *column, Datum value);

/* the value as plain text: an id, a segment of a path, for messages */
extern char *tpm_value_text(const TpmColumn *column, Datum value);

/*
 * A value of type date, timestamp or timestamptz as the API spells it, NULL if
 * it cannot; of timestamp the moment at which clocks in the option timezone
 * show it.
 */
extern char *tpm_time_text(const TpmColumn *column, Oid type, Datum value);

/* ids of a relationship or values of a custom field: of char *, NULLs left out */
extern List *tpm_value_texts(const TpmColumn *column, Datum value);

#endif							/* TPM_VALUE_H */
