/*-------------------------------------------------------------------------
 *
 * inverse.h
 *		Which texts of the API read as a given value: the inverse of convert.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_INVERSE_H
#define TPM_INVERSE_H

#include "nodes/pg_list.h"

#include "option/option.h"

/* what can be sent so that the API finds every text that reads as a value */
typedef enum TpmEquality
{
	TPM_EQUAL_NEVER,			/* too many texts read as one value */
	TPM_EQUAL_TEXT,				/* its own text, if tpm_text_is_sure() */
	TPM_EQUAL_CASE,				/* its text in small and in capital letters */
	TPM_EQUAL_RANGE				/* all between two bounds */
} TpmEquality;

extern TpmEquality tpm_equality_of(Oid type);

/* can a comparison by <, <=, > or >= be sent? */
extern bool tpm_type_has_bounds(Oid type);

/* date, timestamp with or without time zone */
extern bool tpm_is_time_type(Oid type);

/* is this text the only one that reads as it? */
extern bool tpm_text_is_sure(const TpmColumn *column, const char *text);

/* the spellings of values whose own texts these are */
extern List *tpm_spellings(const TpmColumn *column, List *texts);

/*
 * A bound below or above which no text is that reads as the value, or as one
 * beyond it.  The value is of a type of times, not of a finer one than the
 * column's.  NULL if there is no such bound.
 */
extern char *tpm_bound_text(const TpmColumn *column, Datum value, Oid type, bool upper);

#endif							/* TPM_INVERSE_H */
