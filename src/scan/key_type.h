/*-------------------------------------------------------------------------
 *
 * key_type.h
 *		How keys are hashed and compared: as the plan's clause does it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_KEY_TYPE_H
#define TPM_KEY_TYPE_H

#include "scan/scan.h"

typedef struct TpmKeyType
{
	Oid			type;
	Oid			array_type;		/* InvalidOid: there are no lists of keys */
	int16		len;
	bool		byval;
	char		align;
	Oid			collation;
	AttrNumber	attnum;			/* the column that is compared with a key */
	bool		column_is_left;
	FmgrInfo	hash_key;
	FmgrInfo	hash_key_extended;	/* fn_oid InvalidOid: the type has none */
	FmgrInfo	hash_column;
	FmgrInfo	keys_equal;
	FmgrInfo	clause;
	FmgrInfo	compare;		/* the clause's two sides, as the API sorts */
	FmgrInfo	compare_columns;
	FmgrInfo	compare_keys;
	Oid			sort_collation;
} TpmKeyType;

/*
 * Of the plan's clause and the condition that was read from it; in the current
 * memory context.  False: its keys cannot be told apart by a hash.
 */
extern bool tpm_key_type_describe(TpmKeyType *type, const TpmPlanCondition *condition, const OpExpr *clause);

extern uint32 tpm_key_hash(TpmKeyType *type, Datum key);
extern uint32 tpm_key_column_hash(TpmKeyType *type, Datum value);

/* one that is likely to be another for each key */
extern uint64 tpm_key_wide_hash(TpmKeyType *type, Datum key);

extern bool tpm_keys_are_equal(TpmKeyType *type, Datum key, Datum other);
extern bool tpm_key_is_of_column(TpmKeyType *type, Datum key, Datum value);

/* of a column that the API sorts by: <0, 0, >0 as a value of it stands to a key, or to another value */
extern void tpm_key_type_describe_order(TpmKeyType *type, const TpmColumn *column, const OpExpr *clause);
extern int	tpm_key_column_compare(TpmKeyType *type, Datum value, Datum key);
extern int	tpm_keys_compare(TpmKeyType *type, Datum key, Datum other);
extern int	tpm_key_column_compare_values(TpmKeyType *type, Datum value, Datum other);

#endif							/* TPM_KEY_TYPE_H */
