/*-------------------------------------------------------------------------
 *
 * import_sample.c
 *		Tables to import, from what real pages of their resources show.
 *
 * Owns what is written down of what was seen: only options that differ from
 * the server's, and nothing that one page cannot prove.  No column is NOT
 * NULL, and none has a filter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/string.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "import/import.h"
#include "import/sample.h"
#include "import/type_inference.h"
#include "option/option_definition.h"

/* of relationships that are not told, in a message */
#define MOST_NAMES_SAID	10

/* a resource to look at, and the table that it becomes */
typedef struct Wanted
{
	char	   *resource;
	char	   *table;
	TpmSample  *sample;
} Wanted;

/* ----- which resources ----- */

static char *
trimmed_resource(const char *text)
{
	size_t		len;

	text += strspn(text, " \t\n");

	len = strlen(text);
	while (len > 0 && strchr(" \t\n", text[len - 1]) != NULL)
		len--;
	return pnstrdup(text, len);
}

/* its last segment, which a slash may follow */
static char *
type_of_path(const char *resource)
{
	List	   *segments = tpm_split(resource, '/');
	char	   *last = strVal(llast(segments));

	return last[0] == '\0' ? strVal(list_nth(segments, list_length(segments) - 2)) : last;
}

/* a path with a placeholder cannot be read as it is */
static bool
is_readable(const char *resource)
{
	if (strchr(resource, '{') == NULL)
		return true;
	ereport(WARNING,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("resource \"%s\" is skipped: its path needs a value", resource),
			 errhint("Name a path that can be read as it is, such as \"/third_parties/7/notes\".")));
	return false;
}

static List *
wanted_resources(const TpmImportOptions *options)
{
	const TpmOptionDef *def = tpm_option_find("resource", TPM_ON_TABLE);
	List	   *result = NIL;
	TpmNames	names;
	ListCell   *lc;

	if (options->resources == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("option \"resources\" is required"),
				 errdetail("It names the paths to look at."),
				 errhint("For example: OPTIONS (resources '/third_parties,/cases').")));
	tpm_names_of_tables(&names);
	foreach(lc, tpm_split(options->resources, ','))
	{
		Wanted	   *wanted = palloc0(sizeof(Wanted));
		TpmTable	scratch;

		wanted->resource = trimmed_resource(strVal(lfirst(lc)));
		/* checked as the option of the table will be, before anything is sent */
		tpm_option_store(def, wanted->resource, &scratch);
		if (!is_readable(wanted->resource))
			continue;
		wanted->table = tpm_names_add(&names, type_of_path(wanted->resource));
		if (wanted->table && tpm_import_wants(options, wanted->table))
			result = lappend(result, wanted);
	}
	return result;
}

/* ----- columns ----- */

static TpmImportColumn *
add_sampled_column(TpmImportTable *table, char *name, const char *type, List *options)
{
	TpmImportColumn *column = palloc0(sizeof(TpmImportColumn));

	column->name = name;
	column->type = type;
	column->options = options;
	table->columns = lappend(table->columns, column);
	return column;
}

static void
add_attributes(TpmImportTable *table, TpmNames *names, const TpmSample *sample)
{
	ListCell   *lc;

	foreach(lc, sample->attributes)
	{
		const TpmSampleMember *member = lfirst(lc);
		char	   *name = tpm_names_add(names, member->name);

		if (name)
			add_sampled_column(table, name, tpm_infer_type(member->seen),
							   tpm_import_attribute(name, member->name));
	}
}

/* ids of several types: one is only half of what the column is linked to */
static void
add_type_column(TpmImportTable *table, TpmNames *names, const TpmSampleMember *member)
{
	char	   *name;
	char	   *pointer;

	if (member->many || list_length(member->types) < 2 || strpbrk(member->name, "/~") != NULL)
		return;
	name = tpm_names_add(names, psprintf("%s_type", member->name));
	pointer = psprintf("/relationships/%s/data/type", member->name);
	if (name)
		add_sampled_column(table, name, "text", tpm_import_option(NIL, "pointer", pointer));
}

static void
add_relationships(TpmImportTable *table, TpmNames *names, const TpmSample *sample)
{
	ListCell   *lc;

	foreach(lc, sample->relationships)
	{
		const TpmSampleMember *member = lfirst(lc);
		char	   *name = member->name[0] == '\0' ? NULL :
		tpm_names_add(names, member->many ? member->name : psprintf("%s_id", member->name));

		if (name == NULL)
			continue;
		add_sampled_column(table, name, member->many ? "text[]" : "text",
						   tpm_import_option(NIL, "relationship", member->name));
		add_type_column(table, names, member);
	}
}

/* ----- custom fields ----- */

/* the attribute that the option names, or else the first that looks like one */
static const TpmSampleMember *
custom_attribute(const TpmSample *sample, const char *usual)
{
	TpmSampleMember *named = tpm_sample_member(sample->attributes, usual);
	ListCell   *lc;

	if (named && named->terms != NIL)
		return named;
	foreach(lc, sample->attributes)
	{
		const TpmSampleMember *member = lfirst(lc);

		if (member->terms != NIL && member->name[0] != '\0' && strchr(member->name, '/') == NULL &&
			tpm_name_is_storable(member->name))
			return member;
	}
	return NULL;
}

static void
add_custom_fields(TpmImportTable *table, TpmNames *names, const TpmSample *sample,
				  const TpmOptions *opt)
{
	const TpmSampleMember *member = custom_attribute(sample, opt->custom_fields_attribute);

	if (member == NULL)
		return;
	if (strcmp(member->name, opt->custom_fields_attribute) != 0)
		table->options = tpm_import_option(table->options, "custom_fields_attribute", member->name);
	tpm_import_custom(table, names, member->terms);
}

/* ----- options of the table ----- */

static const char *
style_name(int style)
{
	const TpmWord *words = tpm_option_find("pagination", TPM_ON_TABLE)->words;

	for (; words->word; words++)
	{
		if (words->value == style)
			return words->word;
	}
	return NULL;
}

/* as tpm_options_finish() would have them, without the option */
static char *
usual_parameters(const TpmOptions *opt, int style)
{
	TpmOptions	copy = *opt;

	copy.pagination = style;
	tpm_problem_check(tpm_options_finish(&copy));
	return psprintf("%s,%s", copy.page_size_parameter, copy.page_number_parameter);
}

/* the two names as an option holds them, NULL if none can: a comma separates them */
static char *
parameter_names(const TpmSamplePaging *paging, const TpmOptions *opt)
{
	const char *position = paging->position_parameter ? paging->position_parameter
	: opt->page_number_parameter;
	const char *size = paging->size_parameter ? paging->size_parameter : "";
	char	   *names = psprintf("%s,%s", size, position);

	/* what was decoded from a URL need not be text */
	if (!tpm_name_is_storable(names) || !pg_is_ascii(names) || strchr(strchr(names, ',') + 1, ',') != NULL ||
		strcmp(size, position) == 0)
		return NULL;
	return names;
}

/* asks_size: the API has not refused the parameter that is said to be of the size */
static void
add_paging(TpmImportTable *table, const TpmSamplePaging *paging, bool asks_size, const TpmOptions *opt)
{
	int			style = paging->position_parameter ? paging->style : opt->pagination;
	char	   *names = paging->size_parameter || !asks_size ? parameter_names(paging, opt) : NULL;

	if (paging->page_size > 0 && paging->page_size != opt->page_size)
		table->options = tpm_import_option(table->options, "page_size",
										   psprintf("%d", paging->page_size));
	if (paging->from_zero && opt->first_page != 0 && (style == TPM_PAGE_NUMBER || style == TPM_PAGE_NUMBER_BASE64))
		table->options = tpm_import_option(table->options, "first_page", "0");
	if (names == NULL)
		return;
	if (style != opt->pagination)
		table->options = tpm_import_option(table->options, "pagination", style_name(style));
	if (strcmp(names, usual_parameters(opt, style)) != 0)
		table->options = tpm_import_option(table->options, "page_parameters", names);
}

static void
add_table_options(TpmImportTable *table, const Wanted *wanted, const TpmSampler *sampler)
{
	const TpmSample *sample = wanted->sample;
	const TpmOptions *opt = &sampler->server->opt;
	const TpmSamplePaging *paging = &sample->paging;

	if (strcmp(wanted->resource + 1, wanted->table) != 0)
		table->options = tpm_import_option(table->options, "resource", wanted->resource);
	if (sample->type && tpm_name_is_storable(sample->type) && strcmp(sample->type, type_of_path(wanted->resource)) != 0)
		table->options = tpm_import_option(table->options, "type", sample->type);

	/*
	 * a list of one page tells nothing, but where the usual names are refused
	 * another's may
	 */
	if (paging->style < 0 && !sampler->asks_size && sampler->paging)
		paging = sampler->paging;
	add_paging(table, paging, sampler->asks_size, opt);
	if (sample->paging.total_pointer &&
		(opt->total_pointer == NULL || strcmp(opt->total_pointer, sample->paging.total_pointer) != 0))
		table->options = tpm_import_option(table->options, "total_pointer", sample->paging.total_pointer);
}

static TpmImportTable *
import_sampled_table(const Wanted *wanted, const TpmSampler *sampler, const TpmImportOptions *options)
{
	TpmImportTable *table = palloc0(sizeof(TpmImportTable));
	TpmNames	names;

	table->name = wanted->table;
	tpm_names_of_columns(&names, table->name);
	tpm_names_keep(&names, "id");
	add_sampled_column(table, "id", "text", NIL);
	add_attributes(table, &names, wanted->sample);
	add_relationships(table, &names, wanted->sample);
	add_table_options(table, wanted, sampler);
	if (options->custom_columns)
		add_custom_fields(table, &names, wanted->sample, &sampler->server->opt);
	return table;
}

/* rows of other types than the table's are errors */
static void
warn_of_types(const Wanted *wanted)
{
	ereport(WARNING,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("resource \"%s\" is skipped: its resources are of several types", wanted->resource),
			 errdetail("Types: \"%s\", \"%s\".", tpm_name_shown(wanted->sample->type),
					   tpm_name_shown(wanted->sample->other_type))));
}

/* a list that says how much there is must say how to get it, or somebody else must */
static void
warn_of_pages(const Wanted *wanted)
{
	const TpmSamplePaging *paging = &wanted->sample->paging;

	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("resource \"%s\" gives %d of " INT64_FORMAT " rows, and no link to the next page",
					wanted->resource, paging->received, paging->beyond),
			 errhint("Set the option pagination of foreign table \"%s\" to \"number\" or \"offset\", and page_parameters to the names of the API's parameters.",
					 wanted->table)));
}

/* a page as long as asked for, and no word of pages */
static void
warn_untold(const Wanted *wanted)
{
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("resource \"%s\" may have more than the %d rows received: nothing says whether there is another page",
					wanted->resource, wanted->sample->paging.received),
			 errhint("tpm_fdw_check finds out whether foreign table \"%s\" needs the option pagination; if the API gives all rows at once, set page_size to more than there are.",
					 wanted->table)));
}

/* relationships with links only: their columns would not say what they do not know */
static void
warn_of_linkage(const Wanted *wanted)
{
	StringInfoData names;
	int			n = 0;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, wanted->sample->relationships)
	{
		const TpmSampleMember *member = lfirst(lc);

		if (member->told)
			continue;
		if (++n > MOST_NAMES_SAID)
		{
			appendStringInfoString(&names, " ...");
			break;
		}
		appendStringInfo(&names, "%s\"%s\"", names.len ? ", " : "", tpm_name_shown(member->name));
	}
	if (names.len > 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("resource \"%s\" does not tell what its relationships lead to: %s", wanted->resource, names.data),
				 errdetail("None of " INT64_FORMAT " resources has \"data\" in them.", wanted->sample->rows),
				 errhint("If the API can include them, name them in the option include of foreign table \"%s\"; otherwise drop their columns.",
						 wanted->table)));
}

/* pages without conditions and orders show nothing of what these do */
static void
say_what_is_not_told(void)
{
	ereport(NOTICE,
			(errmsg("a sample does not tell everything"),
			 errdetail("It does not show whether lists leave out resources, whether orders and totals can be relied on, and whether the API knows all names that it is asked for."),
			 errhint("tpm_fdw_check() with the server and the schema finds that out, with one to four requests a table.")));
}

List *
tpm_import_sample(Oid serverid, const TpmImportOptions *options)
{
	List	   *all = wanted_resources(options);
	List	   *tables = NIL;
	TpmSampler *sampler;
	ListCell   *lc;

	if (all == NIL)
		return NIL;
	sampler = tpm_sampler_create(tpm_get_server(serverid), list_length(all), options->sample_pages);
	foreach(lc, all)
	{
		Wanted	   *wanted = lfirst(lc);

		wanted->sample = tpm_sample_take(sampler, wanted->resource);
	}
	foreach(lc, all)
	{
		Wanted	   *wanted = lfirst(lc);

		if (wanted->sample == NULL)
			continue;
		if (wanted->sample->other_type)
		{
			warn_of_types(wanted);
			continue;
		}
		if (wanted->sample->type == NULL)
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("resource \"%s\" is imported without members", wanted->resource),
					 errdetail("It has no rows to see them on.")));
		if (wanted->sample->paging.beyond > 0)
			warn_of_pages(wanted);
		else if (wanted->sample->paging.untold)
			warn_untold(wanted);
		warn_of_linkage(wanted);
		tables = lappend(tables, import_sampled_table(wanted, sampler, options));
	}
	if (tables != NIL)
		say_what_is_not_told();
	return tables;
}
