/*-------------------------------------------------------------------------
 *
 * body_internal.h
 *		Where a column's value stands, as body.c and body_column.c see it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_BODY_INTERNAL_H
#define TPM_BODY_INTERNAL_H

#include "document/value.h"
#include "request/body.h"

/* the n-th name that leads to the column's value, "" if there are fewer */
static inline const char *
path_at(const TpmColumn *column, int n)
{
	return n < list_length(column->path) ? strVal(list_nth(column->path, n)) : "";
}

/* a pointer into the attributes is an attribute with any name */
static inline bool
points_to_attribute(const TpmColumn *column)
{
	return column->kind == TPM_COL_POINTER && list_length(column->path) >= 2 &&
		strcmp(path_at(column, 0), "attributes") == 0;
}

/* /relationships/x/data/type says of what type the id in another column is */
static inline bool
points_to_type(const TpmColumn *column)
{
	return column->kind == TPM_COL_POINTER && list_length(column->path) == 4 &&
		strcmp(path_at(column, 0), "relationships") == 0 &&
		strcmp(path_at(column, 2), "data") == 0 && strcmp(path_at(column, 3), "type") == 0;
}

/* the column's value in the row as JSON */
static inline char *
column_json(TupleTableSlot *slot, const TpmColumn *column)
{
	int			i = column->attnum - 1;

	return slot->tts_isnull[i] ? "null" : tpm_value_json(column, slot->tts_values[i]);
}

#endif							/* TPM_BODY_INTERNAL_H */
