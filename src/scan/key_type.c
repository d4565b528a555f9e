/*-------------------------------------------------------------------------
 *
 * key_type.c
 *		How keys are hashed and compared: as the plan's clause does it.
 *
 * Owns the functions of the clause's operator family, for keys and for values
 * of the column, which may be of another type.  What is kept by them is
 * keyed.c's and key_index.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "scan/key_type.h"

/* of two types in one family, the operator that compares two keys */
bool
tpm_key_type_describe(TpmKeyType *type, const TpmPlanCondition *condition, const OpExpr *clause)
{
	TypeCacheEntry *entry;
	RegProcedure hash_left,
				hash_right;

	type->type = exprType((Node *) condition->expr);
	type->array_type = get_array_type(type->type);
	type->attnum = condition->attnum;
	type->column_is_left = contain_var_clause(linitial(clause->args));
	type->collation = clause->inputcollid;
	entry = lookup_type_cache(type->type, TYPECACHE_EQ_OPR_FINFO | TYPECACHE_HASH_OPFAMILY |
							  TYPECACHE_HASH_EXTENDED_PROC);
	if (!OidIsValid(entry->eq_opr) || !OidIsValid(entry->hash_opf) ||
		!op_in_opfamily(clause->opno, entry->hash_opf) ||
		!get_op_hash_functions(clause->opno, &hash_left, &hash_right))
		return false;
	get_typlenbyvalalign(type->type, &type->len, &type->byval, &type->align);
	fmgr_info(type->column_is_left ? hash_right : hash_left, &type->hash_key);
	fmgr_info(type->column_is_left ? hash_left : hash_right, &type->hash_column);
	if (OidIsValid(entry->hash_extended_proc))
		fmgr_info(entry->hash_extended_proc, &type->hash_key_extended);
	fmgr_info_copy(&type->keys_equal, &entry->eq_opr_finfo, CurrentMemoryContext);
	fmgr_info(get_opcode(clause->opno), &type->clause);
	return true;
}

uint32
tpm_key_hash(TpmKeyType *type, Datum key)
{
	return DatumGetUInt32(FunctionCall1Coll(&type->hash_key, type->collation, key));
}

uint32
tpm_key_column_hash(TpmKeyType *type, Datum value)
{
	return DatumGetUInt32(FunctionCall1Coll(&type->hash_column, type->collation, value));
}

uint64
tpm_key_wide_hash(TpmKeyType *type, Datum key)
{
	if (!OidIsValid(type->hash_key_extended.fn_oid))
		return (uint64) tpm_key_hash(type, key) << 32;
	return DatumGetUInt64(FunctionCall2Coll(&type->hash_key_extended, type->collation, key, Int64GetDatum(0)));
}

bool
tpm_keys_are_equal(TpmKeyType *type, Datum key, Datum other)
{
	return DatumGetBool(FunctionCall2Coll(&type->keys_equal, type->collation, key, other));
}

bool
tpm_key_is_of_column(TpmKeyType *type, Datum key, Datum value)
{
	return DatumGetBool(type->column_is_left
						? FunctionCall2Coll(&type->clause, type->collation, value, key)
						: FunctionCall2Coll(&type->clause, type->collation, key, value));
}

/* texts are sorted by their bytes, which is no other equality */
void
tpm_key_type_describe_order(TpmKeyType *type, const TpmColumn *column, const OpExpr *clause)
{
	Oid			family = lookup_type_cache(column->type == VARCHAROID ? TEXTOID : column->type,
										   TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	int			strategy;
	Oid			left,
				right,
				own,
				other;

	get_op_opfamily_properties(clause->opno, family, false, &strategy, &left, &right);
	own = type->column_is_left ? left : right;
	other = type->column_is_left ? right : left;
	fmgr_info(get_opfamily_proc(family, left, right, BTORDER_PROC), &type->compare);
	fmgr_info(get_opfamily_proc(family, own, own, BTORDER_PROC), &type->compare_columns);
	fmgr_info(get_opfamily_proc(family, other, other, BTORDER_PROC), &type->compare_keys);
	type->sort_collation = OidIsValid(column->collation) ? C_COLLATION_OID : InvalidOid;
}

int
tpm_key_column_compare(TpmKeyType *type, Datum value, Datum key)
{
	int			compared = DatumGetInt32(FunctionCall2Coll(&type->compare, type->sort_collation,
														   type->column_is_left ? value : key,
														   type->column_is_left ? key : value));

	return type->column_is_left ? compared : -compared;
}

int
tpm_key_column_compare_values(TpmKeyType *type, Datum value, Datum other)
{
	return DatumGetInt32(FunctionCall2Coll(&type->compare_columns, type->sort_collation, value, other));
}

int
tpm_keys_compare(TpmKeyType *type, Datum key, Datum other)
{
	return DatumGetInt32(FunctionCall2Coll(&type->compare_keys, type->sort_collation, key, other));
}
