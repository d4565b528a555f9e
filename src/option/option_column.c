/*-------------------------------------------------------------------------
 *
 * option_column.c
 *		Columns of a foreign table in parsed form.
 *
 * Owns the defaults of the mapping: which column is the id, which ones fill
 * the path, and that all others are attributes of their own name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "nodes/value.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "option/option_internal.h"

static TpmColumn *
mapped_column_named(TpmTable *table, const char *name)
{
	for (int i = 0; i < table->natts; i++)
	{
		if (table->columns[i].kind != TPM_COL_NONE && strcmp(table->columns[i].name, name) == 0)
			return &table->columns[i];
	}
	return NULL;
}

static void
set_default_source(TpmColumn *column)
{
	if (strcmp(column->name, "id") == 0)
		column->kind = TPM_COL_ID;
	/* computed here, and the API knows nothing of it unless a member is named */
	else if (column->generated != '\0')
		column->kind = TPM_COL_NONE;
	else
	{
		column->kind = TPM_COL_ATTRIBUTE;
		column->path = list_make1(makeString(column->name));
	}
}

static uint64
hash_column(uint64 hash, Form_pg_attribute attr, const TpmColumn *column, List *options)
{
	int64		facts[] = {attr->atttypid, attr->atttypmod, attr->attcollation,
	attr->attnotnull, attr->attgenerated, attr->attisdropped};

	hash = hash_bytes_extended((const unsigned char *) facts, sizeof(facts), hash);
	if (attr->attisdropped)
		return hash;
	return tpm_hash_options(tpm_hash_text(hash, column->name), options);
}

static TpmProblem *
read_column(TpmTable *table, Form_pg_attribute attr)
{
	TpmProblem *problem = NULL;
	TpmColumn  *column = &table->columns[attr->attnum - 1];
	List	   *options = NIL;

	column->table = table;
	column->attnum = attr->attnum;
	column->kind = TPM_COL_NONE;
	if (!attr->attisdropped)
	{
		column->name = pstrdup(NameStr(attr->attname));
		column->type = attr->atttypid;
		column->typmod = attr->atttypmod;
		column->collation = attr->attcollation;
		column->notnull = attr->attnotnull;
		column->generated = attr->attgenerated;

		options = GetForeignColumnOptions(table->relid, attr->attnum);
		tpm_option_presets(TPM_ON_COLUMN, column);
		problem = tpm_option_apply(options, TPM_ON_COLUMN, column, NULL);
		if (!column->explicit_mapping)
			set_default_source(column);
	}
	table->options_hash = hash_column(table->options_hash, attr, column, options);
	return problem;
}

/*
 * PostgreSQL computes stored columns when it writes a row; one of ours is
 * written elsewhere, so it is computed when the row is read.  (Virtual ones
 * are replaced by their expressions while a query is planned.)
 */
static void
read_generation(TpmTable *table, TpmColumn *column, const char *stored)
{
	Expr	   *expression = stringToNode(stored);
	Bitmapset  *vars = NULL;
	int			bit = -1;

	table->options_hash = tpm_hash_text(table->options_hash, stored);
	if (column->kind != TPM_COL_NONE || column->generated != ATTRIBUTE_GENERATED_STORED)
		return;
	column->computed = expression;
	/* no API can sort by what it does not know */
	column->sortable = false;
	pull_varattnos((Node *) expression, 1, &vars);
	while ((bit = bms_next_member(vars, bit)) >= 0)
	{
		int			attnum = bit + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0)
			column->computed_from = bms_add_member(column->computed_from, attnum);
	}
}

static void
read_generations(TpmTable *table, const TupleConstr *constraints)
{
	for (int i = 0; constraints && i < constraints->num_defval; i++)
	{
		TpmColumn  *column = &table->columns[constraints->defval[i].adnum - 1];

		if (column->generated != '\0')
			read_generation(table, column, constraints->defval[i].adbin);
	}
}

Bitmapset *
tpm_columns_with_sources(const TpmTable *table, Bitmapset *columns)
{
	Bitmapset  *result = bms_copy(columns);
	int			attnum = 0;

	while ((attnum = bms_next_member(columns, attnum)) > 0)
		result = bms_add_members(result, table->columns[attnum - 1].computed_from);
	return result;
}

/* What the path names is given by a condition, and cannot come from a member unless one is named */
static TpmProblem *
mark_placeholder(TpmTable *table, const char *name)
{
	TpmColumn  *column = mapped_column_named(table, name);

	if (column == NULL)
		return tpm_problem(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND,
						   psprintf("resource \"%s\" of foreign table \"%s\" names no column: \"{%s}\"",
									table->resource, table->name, name),
						   NULL, psprintf("Add a column \"%s\" to the table.", name));
	column->placeholder = true;
	if (!column->explicit_mapping && column->kind == TPM_COL_ATTRIBUTE)
	{
		column->kind = TPM_COL_PLACEHOLDER;
		column->path = NIL;
	}
	return NULL;
}

static TpmProblem *
mark_placeholders(TpmTable *table)
{
	TpmProblem *problem = NULL;
	const char *open = table->resource;

	while (problem == NULL && (open = strchr(open, '{')) != NULL)
	{
		const char *close = strchr(open, '}');

		problem = mark_placeholder(table, pnstrdup(open + 1, close - open - 1));
		open = close;
	}
	return problem;
}

/* a resource's age is judged by it: only what is a time of its own can tell one */
static TpmProblem *
find_time_of_creation(TpmTable *table)
{
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];
		Oid			type;

		if (!column->created_at)
			continue;
		if (!tpm_column_has_member(column) && column->kind != TPM_COL_CUSTOM_FIELD)
			return tpm_problem(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE,
							   psprintf("option \"created_at\" of column \"%s\" of foreign table \"%s\" needs a member of the resource",
										column->name, table->name),
							   "The column is filled from elsewhere, which tells nothing of the resource's age.", NULL);
		type = getBaseType(column->type);
		if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID)
			return tpm_problem(ERRCODE_FDW_INVALID_DATA_TYPE,
							   psprintf("option \"created_at\" of column \"%s\" of foreign table \"%s\" needs a type of times",
										column->name, table->name),
							   psprintf("Its type is %s.", format_type_be(column->type)),
							   "Use timestamp with time zone, timestamp or date.");
		if (table->created_at_attnum == 0)
			table->created_at_attnum = column->attnum;
	}
	return NULL;
}

bool
tpm_column_has_member(const TpmColumn *column)
{
	return column->kind == TPM_COL_ATTRIBUTE || column->kind == TPM_COL_RELATIONSHIP ||
		column->kind == TPM_COL_POINTER;
}

bool
tpm_column_in_linkage(const TpmColumn *column)
{
	return column->kind == TPM_COL_POINTER && list_length(column->path) > 2 &&
		strcmp(strVal(linitial(column->path)), "relationships") == 0 &&
		strcmp(strVal(lthird(column->path)), "data") == 0;
}

TpmProblem *
tpm_read_columns(TpmTable *table, TupleDesc tupdesc)
{
	TpmProblem *problem = NULL;

	table->natts = tupdesc->natts;
	table->columns = palloc0(sizeof(TpmColumn) * Max(tupdesc->natts, 1));
	for (int i = 0; problem == NULL && i < tupdesc->natts; i++)
		problem = read_column(table, TupleDescAttr(tupdesc, i));
	if (problem)
		return problem;
	read_generations(table, tupdesc->constr);
	problem = mark_placeholders(table);
	if (problem == NULL)
		problem = find_time_of_creation(table);

	for (int i = 0; i < table->natts && table->id_attnum == 0; i++)
	{
		if (table->columns[i].kind == TPM_COL_ID)
			table->id_attnum = table->columns[i].attnum;
	}
	return problem;
}
