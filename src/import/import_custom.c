/*-------------------------------------------------------------------------
 *
 * import_custom.c
 *		A column for each custom field that was seen.
 *
 * Owns the columns that are made of custom fields, and the request that shows
 * which there are.
 *
 * The array of all custom fields keeps its own column: what no page showed is
 * still reached through it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "import/import.h"
#include "import/sample.h"
#include "import/type_inference.h"
#include "option/option.h"

void
tpm_import_custom(TpmImportTable *table, TpmNames *names, const List *terms)
{
	ListCell   *lc;

	foreach(lc, terms)
	{
		const TpmSampleTerm *term = lfirst(lc);
		TpmImportColumn *column;

		/* a term without a word is nobody's */
		char	   *name = term->term[0] == '\0' ? NULL : tpm_names_add(names, term->term);

		if (name == NULL)
			continue;
		column = palloc0(sizeof(TpmImportColumn));
		column->name = name;
		column->type = term->many ? "text[]" : tpm_infer_type(term->seen);
		column->options = tpm_import_option(NIL, "custom_field", term->term);
		column->comment = "custom field";
		table->columns = lappend(table->columns, column);
	}
}

static bool
has_custom_fields(const TpmImportTable *table, const char *attribute)
{
	ListCell   *lc;

	foreach(lc, table->columns)
	{
		if (strcmp(((TpmImportColumn *) lfirst(lc))->name, attribute) == 0)
			return true;
	}
	return false;
}

static void
add_custom_columns(TpmImportTable *table, TpmSampler *sampler)
{
	const char *attribute = sampler->server->opt.custom_fields_attribute;
	TpmSample  *sample = tpm_sample_take(sampler, psprintf("/%s", table->name));
	TpmSampleMember *member = sample ? tpm_sample_member(sample->attributes, attribute) : NULL;
	TpmNames	names;
	ListCell   *lc;

	if (member == NULL)
		return;
	tpm_names_of_columns(&names, table->name);
	foreach(lc, table->columns)
		tpm_names_keep(&names, ((TpmImportColumn *) lfirst(lc))->name);
	tpm_import_custom(table, &names, member->terms);
}

void
tpm_import_catalogue_custom(Oid serverid, List *tables, const TpmImportOptions *options)
{
	TpmServer  *server = tpm_get_server(serverid);
	List	   *with_fields = NIL;
	TpmSampler *sampler;
	ListCell   *lc;

	foreach(lc, tables)
	{
		TpmImportTable *table = lfirst(lc);

		if (tpm_import_wants(options, table->name) && has_custom_fields(table, "custom_fields"))
			with_fields = lappend(with_fields, table);
	}
	if (with_fields == NIL)
		return;
	sampler = tpm_sampler_create(server, list_length(with_fields), 1);
	foreach(lc, with_fields)
		add_custom_columns(lfirst(lc), sampler);
}
