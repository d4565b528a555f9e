/*-------------------------------------------------------------------------
 *
 * openapi_table.c
 *		A resource of an OpenAPI document as a table to import.
 *
 * Owns which documents are JSON:API's, and what "trust" means here: without
 * it only what costs nothing when the document is wrong is written; with it,
 * what it promises is believed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "import/openapi/openapi_internal.h"

/* a list without filters and times, and with at most so many columns, is a lookup */
#define MAX_LOOKUP_COLUMNS 12

/* ----- the shapes of a resource ----- */

/* What "data" is in an answer or a body; NULL if that is no JSON:API document */
static TpmShape *
resource_shape(TpmOpenapi *api, const TpmNode *schema, bool *is_list)
{
	TpmShape   *document = schema ? tpm_openapi_shape(api, schema) : NULL;
	TpmShape   *data = document ? tpm_openapi_property(api, document, "data") : NULL;

	*is_list = data && (data->types & TPM_JSON_ARRAY);
	if (*is_list)
		data = data->items ? tpm_openapi_shape(api, data->items) : NULL;
	if (data == NULL || (!tpm_dict_get(&data->properties, "attributes") &&
						 !tpm_dict_get(&data->properties, "relationships") &&
						 !(tpm_dict_get(&data->properties, "id") && tpm_dict_get(&data->properties, "type"))))
		return NULL;
	return data;
}

static void
add_answer(TpmDraft *draft, const TpmNode *operation)
{
	bool		is_list;
	TpmShape   *shape = operation
	? resource_shape(draft->api, tpm_openapi_answer_schema(draft->api, operation), &is_list)
	: NULL;

	if (shape)
		draft->resources = lappend(draft->resources, shape);
}

/* Does this operation write such a resource?  Not said is yes. */
static bool
add_body(TpmDraft *draft, const TpmNode *operation)
{
	const TpmNode *schema;
	bool		is_list;
	TpmShape   *shape;

	if (operation == NULL)
		return false;
	schema = tpm_openapi_body_schema(draft->api, operation);
	shape = schema ? resource_shape(draft->api, schema, &is_list) : NULL;
	if (shape && !is_list)
		draft->bodies = lappend(draft->bodies, shape);
	return schema == NULL ? tpm_node_member(operation, "requestBody") != NULL : shape && !is_list;
}

static void
read_description(TpmDraft *draft, const TpmNode *schema)
{
	static const char *const totals[] = {"total_count", "totalCount", "total", "count", "total_records",
	"totalRecords", "total_items", "totalItems", "record_count"};
	TpmOpenapi *api = draft->api;
	TpmShape   *document = tpm_openapi_shape(api, schema);
	TpmShape   *links = tpm_openapi_property(api, document, "links");
	TpmShape   *meta = tpm_openapi_property(api, document, "meta");

	draft->has_links = links && (links->properties.count == 0 ||
								 tpm_dict_get(&links->properties, "next") != NULL);
	for (int i = 0; meta && draft->total_pointer == NULL && i < (int) lengthof(totals); i++)
	{
		if (tpm_dict_get(&meta->properties, totals[i]))
			draft->total_pointer = psprintf("/meta/%s", totals[i]);
	}
}

/* False, with the problem, if it is no list of resources */
static bool
read_answers(TpmDraft *draft)
{
	TpmOpenapi *api = draft->api;
	const TpmResource *known = draft->known;
	const TpmNode *schema = tpm_openapi_answer_schema(api, known->list);
	bool		is_list = true;
	TpmShape   *listed = schema ? resource_shape(api, schema, &is_list) : NULL;

	if (schema && !is_list && listed)
		api->problem = "it answers one resource, not a list";
	else if (schema && listed == NULL && api->problem == NULL)
		api->problem = "its answer is no JSON:API list of resources";
	if (schema && (listed == NULL || !is_list))
		return false;
	if (listed)
	{
		draft->resources = list_make1(listed);
		read_description(draft, schema);
	}
	add_answer(draft, known->one);
	add_answer(draft, known->create);
	add_answer(draft, known->put);
	add_answer(draft, known->patch);
	if (draft->resources == NIL)
		api->problem = "nothing says what its answer looks like";
	return draft->resources != NIL;
}

const char *
tpm_openapi_list_problem(TpmOpenapi *api, const TpmResource *known)
{
	TpmDraft	draft = {.api = api,.known = known};

	return read_answers(&draft) ? NULL : api->problem;
}

/* ----- options of the table ----- */

static void
add_table_option(TpmImportTable *table, const char *name, const char *value)
{
	if (value)
		table->options = tpm_import_option(table->options, name, value);
}

static const char *
ops_of(bool create, bool update)
{
	return create && update ? NULL : create ? "read,create" : update ? "read,update" : "read";
}

/* What has no filter and no time in it is small and seldom changes */
static bool
is_lookup(const TpmDraft *draft)
{
	ListCell   *lc;

	if (draft->has_filters || draft->known->placeholders > 0 ||
		list_length(draft->columns) > MAX_LOOKUP_COLUMNS)
		return false;
	foreach(lc, draft->columns)
	{
		const char *type = ((TpmDraftColumn *) lfirst(lc))->column->type;

		if (strcmp(type, "timestamptz") == 0 || strcmp(type, "date") == 0)
			return false;
	}
	return true;
}

static char *
join_with_commas(const List *names)
{
	StringInfoData out;
	ListCell   *lc;

	if (names == NIL)
		return NULL;
	initStringInfo(&out);
	foreach(lc, names)
		appendStringInfo(&out, "%s%s", foreach_current_index(lc) ? "," : "", (char *) lfirst(lc));
	return out.data;
}

/* The type that the resource says it has, if that is not what its path says */
static const char *
type_option(const TpmDraft *draft)
{
	TpmShape   *type = tpm_openapi_property(draft->api, linitial(draft->resources), "type");
	const char *name = type == NULL ? NULL
	: list_length(type->words) == 1 ? linitial(type->words) : type->preset;

	if (name == NULL || name[0] == '\0' || !tpm_name_is_storable(name) ||
		strcmp(name, tpm_openapi_last_segment(draft->known)) == 0)
		return NULL;
	return name;
}

/* Rows of other types than the table's are errors, so it has one or it is none */
static bool
has_one_type(const TpmDraft *draft)
{
	TpmShape   *type = tpm_openapi_property(draft->api, linitial(draft->resources), "type");

	if (type == NULL || list_length(type->words) < 2 || type->preset ||
		tpm_openapi_holds_word(type->words, tpm_openapi_last_segment(draft->known)))
		return true;
	draft->api->problem = psprintf("its resources are of several types, such as \"%s\" and \"%s\"",
								   tpm_name_shown(linitial(type->words)), tpm_name_shown(lsecond(type->words)));
	return false;
}

/*
 * The API's own links to the next page are always right, so pages are computed
 * only where it has none.
 */
static void
add_page_options(const TpmDraft *draft, TpmImportTable *table)
{
	const char *style = draft->has_links ? NULL : draft->pagination;
	bool		offset = style && strcmp(style, "offset") == 0;
	const char *usual_size = offset ? "page[limit]" : "page[size]";
	const char *usual_page = offset ? "page[offset]" : "page[number]";

	/* where pages can be chosen but not their size, a strict API refuses one */
	const char *size = draft->page_size_parameter ? draft->page_size_parameter
	: draft->page_parameter ? "" : usual_size;
	const char *page = draft->page_parameter ? draft->page_parameter : usual_page;

	if (draft->page_size > 0 && draft->page_size != 100)
		add_table_option(table, "page_size", psprintf("%d", draft->page_size));
	add_table_option(table, "pagination", style);
	if (style && !offset && draft->from_zero)
		add_table_option(table, "first_page", "0");
	if ((strcmp(size, usual_size) != 0 || strcmp(page, usual_page) != 0) && strcmp(size, page) != 0 &&
		strchr(size, ',') == NULL && strchr(page, ',') == NULL)
		add_table_option(table, "page_parameters", psprintf("%s,%s", size, page));
}

static bool
has_bare_filter(const TpmDraft *draft)
{
	return draft->has_filters && !draft->brackets;
}

static void
add_options(const TpmDraft *draft, TpmImportTable *table, bool create, bool update)
{
	if (strcmp(draft->resource, psprintf("/%s", table->name)) != 0)
		add_table_option(table, "resource", draft->resource);
	add_table_option(table, "type", type_option(draft));
	add_table_option(table, "required_filters", join_with_commas(draft->required));
	add_table_option(table, "ops", ops_of(create, update));
	add_table_option(table, "query", draft->query);
	add_page_options(draft, table);
	if (draft->has_parameters && !draft->has_fields)
		add_table_option(table, "fields_format", "");
	add_table_option(table, "filter_format", has_bare_filter(draft) ? "%s"
					 : draft->operator ? psprintf("filter[%%s][%s]", draft->operator) : NULL);
	add_table_option(table, "list_format", draft->repeat ? "repeat" : NULL);
	if (!create && !update && is_lookup(draft))
	{
		add_table_option(table, "cache_scope", "table");
		add_table_option(table, "cache_ttl", "1h");
	}
	add_table_option(table, "total_pointer", draft->options->trust_exact ? draft->total_pointer : NULL);
	if (update && draft->known->put == NULL)
		add_table_option(table, "update_method", "PATCH");
}

static char *
comment_of(const TpmDraft *draft)
{
	const char *text = ((TpmShape *) linitial(draft->resources))->description;

	if (text == NULL)
		text = tpm_node_text(tpm_node_member(draft->known->list, "summary"));
	if (text == NULL)
		text = tpm_node_text(tpm_node_member(draft->known->list, "description"));
	return tpm_openapi_comment(text, NIL);
}

TpmImportTable *
tpm_openapi_table(TpmOpenapi *api, const TpmResource *known, const TpmImportOptions *options)
{
	TpmDraft   *draft = palloc0(sizeof(TpmDraft));
	TpmImportTable *table = palloc0(sizeof(TpmImportTable));
	bool		create;
	bool		update;
	ListCell   *lc;

	draft->api = api;
	draft->known = known;
	draft->options = options;
	tpm_names_of_columns(&draft->names, known->name);
	if (!read_answers(draft) || !has_one_type(draft))
		return NULL;
	create = add_body(draft, known->create);
	update = add_body(draft, known->put ? known->put : known->patch);
	tpm_openapi_add_columns(draft);
	draft->resource = tpm_openapi_add_placeholders(draft);
	tpm_openapi_read_parameters(draft);
	tpm_openapi_mark_read_only(draft);
	if (draft->resource == NULL || api->problem)
		return NULL;

	table->name = known->name;
	table->comment = comment_of(draft);
	foreach(lc, draft->columns)
	{
		tpm_openapi_finish_column(lfirst(lc), create, options->trust_exact);
		table->columns = lappend(table->columns, ((TpmDraftColumn *) lfirst(lc))->column);
	}
	add_options(draft, table, create, update);
	return table;
}
