/*-------------------------------------------------------------------------
 *
 * import_catalogue.c
 *		The catalogue as tables to import.
 *
 * Owns what "trust" means: without it only what costs nothing when a name is
 * wrong is written; with it, promises that answers are built on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "import/catalogue.h"
#include "import/import.h"

/* What the API sorts as PostgreSQL does: no text, whose order is a matter of taste */
static bool
is_sortable(const char *type)
{
	static const char *const types[] = {"integer", "bigint", "numeric", "date", "timestamptz"};

	for (int i = 0; i < (int) lengthof(types); i++)
	{
		if (strcmp(types[i], type) == 0)
			return true;
	}
	return false;
}

static List *
filter_options(const TpmCatalogueColumn *known)
{
	List	   *options = NIL;

	if (known->flags & TPM_CAT_FILTER)
		options = tpm_import_option(options, "filter", known->relationship ?
									psprintf("%s.id", known->relationship) : known->name);
	if (known->filter_values)
		options = tpm_import_option(options, "filter_values", known->filter_values);
	if (known->flags & TPM_CAT_DATE_RANGE)
	{
		options = tpm_import_option(options, "filter_ge", "filter[date][start]");
		options = tpm_import_option(options, "filter_le", "filter[date][end]");
	}
	return options;
}

static void
trust_column(TpmImportColumn *column, const TpmCatalogueColumn *known)
{
	if (known->flags & TPM_CAT_EXACT)
		column->options = tpm_import_option(column->options, "filter_match", "exact");
	if (!is_sortable(known->type))
		return;
	column->options = tpm_import_option(column->options, "sortable", "true");
	column->notnull = (known->flags & TPM_CAT_NOT_NULL) != 0;
	if (!column->notnull)
		column->options = tpm_import_option(column->options, "sort_nulls", "last");
}

static TpmImportColumn *
import_column(const TpmCatalogueColumn *known, bool creatable, bool trust)
{
	TpmImportColumn *column = palloc0(sizeof(TpmImportColumn));

	column->name = known->name;
	column->type = known->type;
	column->comment = known->comment;
	if (known->relationship)
		column->options = tpm_import_option(NIL, "relationship", known->relationship);
	column->options = list_concat(column->options, filter_options(known));
	if (trust)
		trust_column(column, known);
	if (known->flags & TPM_CAT_NATURAL_KEY)
		column->options = tpm_import_option(column->options, "natural_key", "true");
	if (known->flags & TPM_CAT_READ_ONLY)
		column->options = tpm_import_option(column->options, "read_only", "true");
	/* it is evidence after a POST in doubt */
	if (creatable && (known->flags & TPM_CAT_CREATED))
		column->options = tpm_import_option(column->options, "created_at", "true");
	return column;
}

/* Sorted byte by byte at the API, so it must be so here */
static TpmImportColumn *
import_id_column(bool filter, bool trust)
{
	TpmImportColumn *column = palloc0(sizeof(TpmImportColumn));

	column->name = "id";
	column->type = "text";
	column->notnull = true;
	column->comment = "identifier of the resource";
	if (filter)
		column->options = tpm_import_option(NIL, "filter", "id");
	if (trust)
	{
		column->collation = "\"C\"";
		if (filter)
			column->options = tpm_import_option(column->options, "filter_match", "exact");
		column->options = tpm_import_option(column->options, "sortable", "true");
	}
	return column;
}

static TpmImportTable *
import_catalogue_table(const TpmCatalogueTable *known, bool trust)
{
	TpmImportTable *table = palloc0(sizeof(TpmImportTable));
	bool		creatable = known->ops == NULL || strstr(known->ops, "create") != NULL;

	table->name = known->name;
	table->comment = known->comment;
	if (known->ops)
		table->options = tpm_import_option(NIL, "ops", known->ops);
	if (known->lookup)
	{
		table->options = tpm_import_option(table->options, "cache_scope", "table");
		table->options = tpm_import_option(table->options, "cache_ttl", "1h");
	}
	if (trust)
		table->options = tpm_import_option(table->options, "total_pointer", "/meta/total_count");

	table->columns = list_make1(import_id_column(known->id_filter, trust));
	for (const TpmCatalogueColumn *column = known->columns; column->name; column++)
		table->columns = lappend(table->columns, import_column(column, creatable, trust));
	return table;
}

List *
tpm_import_catalogue(Oid serverid, const TpmImportOptions *options)
{
	List	   *tables = NIL;

	for (const TpmCatalogueTable *known = tpm_catalogue; known->name; known++)
		tables = lappend(tables, import_catalogue_table(known, options->trust_exact));
	if (options->custom_columns)
		tpm_import_catalogue_custom(serverid, tables, options);
	return tables;
}
