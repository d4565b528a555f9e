/*-------------------------------------------------------------------------
 *
 * openapi_column.c
 *		Members and placeholders of a resource as columns.
 *
 * Owns which columns a draft has and what they are called; their types are
 * openapi_type.c's, their filters openapi_filter.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "import/openapi/openapi_internal.h"

/* of a member's name: pg_attribute has no room for long options */
#define MAX_MEMBER_BYTES 400

/* ----- columns ----- */

/* NULL, after a WARNING, if there is no name for it */
static TpmDraftColumn *
add_draft_column(TpmDraft *draft, const char *wish, const char *type, const TpmShape *shape)
{
	TpmDraftColumn *column;
	const char *name = tpm_names_add(&draft->names, wish);

	if (name == NULL)
		return NULL;
	column = palloc0(sizeof(TpmDraftColumn));
	column->column = palloc0(sizeof(TpmImportColumn));
	column->column->name = name;
	column->column->type = type;
	column->shape = shape;
	if (shape)
	{
		column->column->comment = tpm_openapi_comment(shape->description, shape->words);
		if (shape->deprecated)
			column->column->comment = column->column->comment
				? psprintf("deprecated; %s", column->column->comment) : "deprecated";
		column->read_only = shape->read_only;
		column->unique = shape->unique;
	}
	draft->columns = lappend(draft->columns, column);
	return column;
}

/* said once, though a list, a resource and what a POST answers all may have it */
static void
leave_out(TpmDraft *draft, const char *member, const char *why)
{
	if (tpm_dict_get(&draft->left_out, member))
		return;
	tpm_dict_put(&draft->left_out, member, draft);
	tpm_openapi_warning(draft->api, psprintf("skipping a member of table \"%s\": \"%s\"", draft->known->name,
											 tpm_name_shown(member)), why);
}

/* only of attributes an empty name can be said, by a pointer */
static bool
is_fit(TpmDraft *draft, const char *member, bool may_be_empty)
{
	if (strlen(member) <= MAX_MEMBER_BYTES && tpm_name_is_storable(member) &&
		(may_be_empty || member[0] != '\0'))
		return !draft->names.full;
	leave_out(draft, member, "Its name is empty or too long, or holds a control character.");
	return false;
}

static void
add_attribute(TpmDraft *draft, const char *name, const TpmNode *schema, bool required)
{
	TpmShape   *shape = tpm_openapi_shape(draft->api, schema);
	TpmDraftColumn *column = tpm_dict_get(&draft->attributes, name);

	if (column)
	{
		column->always &= !shape->nullable;
		return;
	}
	if (shape->write_only)
	{
		leave_out(draft, name, "It can be written, but never read.");
		return;
	}
	if (!is_fit(draft, name, true))
		return;
	column = add_draft_column(draft, name, tpm_openapi_type(draft->api, shape), shape);
	if (column == NULL)
		return;
	column->is_attribute = true;
	column->member = name;
	column->always = required && !shape->nullable;
	tpm_dict_put(&draft->attributes, name, column);
}

/* What is read by a pointer is never written */
static void
add_pointer(TpmDraft *draft, const char *name, const char *type, const TpmShape *shape, const char *pointer)
{
	TpmDraftColumn *column = add_draft_column(draft, name, type, shape);

	if (column == NULL)
		return;
	column->column->options = tpm_import_option(NIL, "pointer", pointer);
	column->read_only = true;
}

/* Where the linkage may be of several types, which one it is matters */
static void
add_linkage_type(TpmDraft *draft, const char *name, const TpmShape *linkage)
{
	TpmShape   *type = tpm_openapi_property(draft->api, linkage, "type");

	if (type && list_length(type->words) > 1 && strpbrk(name, "/~") == NULL)
		add_pointer(draft, psprintf("%s_type", name), "text", type, psprintf("/relationships/%s/data/type", name));
}

static void
add_relationship(TpmDraft *draft, const char *name, const TpmNode *schema)
{
	TpmShape   *shape = tpm_openapi_shape(draft->api, schema);
	TpmShape   *linkage = tpm_openapi_property(draft->api, shape, "data");
	bool		many = linkage && (linkage->types & TPM_JSON_ARRAY);
	TpmDraftColumn *column;

	if (tpm_dict_get(&draft->relationships, name) || shape->write_only || !is_fit(draft, name, false))
		return;
	column = add_draft_column(draft, many ? name : psprintf("%s_id", name), many ? "text[]" : "text", shape);
	if (column == NULL)
		return;
	column->is_relationship = true;
	column->member = name;
	column->read_only |= linkage && linkage->read_only;
	if (column->column->comment == NULL && linkage)
		column->column->comment = tpm_openapi_comment(linkage->description, NIL);
	tpm_dict_put(&draft->relationships, name, column);
	if (linkage && !many)
		add_linkage_type(draft, name, linkage);
}

static void
add_id(TpmDraft *draft, const TpmShape *resource)
{
	TpmShape   *shape = tpm_openapi_property(draft->api, resource, "id");
	TpmDraftColumn *column = add_draft_column(draft, "id", "text", shape);

	column->is_id = true;
	column->column->notnull = true;
	if (column->column->comment == NULL)
		column->column->comment = "identifier of the resource";
	/* those are said of members; an id is never among them */
	column->read_only = column->unique = false;
}

/* Members beside "attributes": JSON:API knows none, but an API may */
static void
add_others(TpmDraft *draft, const TpmShape *resource)
{
	static const char *const known[] = {"id", "lid", "type", "attributes", "relationships", "links", "meta"};

	for (int i = 0; i < resource->properties.count; i++)
	{
		const char *name = resource->properties.names[i];
		bool		usual = strpbrk(name, "/~") != NULL;
		TpmShape   *shape;

		for (int j = 0; j < (int) lengthof(known); j++)
			usual |= strcmp(name, known[j]) == 0;
		if (usual || !is_fit(draft, name, false))
			continue;
		shape = tpm_openapi_property(draft->api, resource, name);
		if (!shape->write_only)
			add_pointer(draft, name, tpm_openapi_type(draft->api, shape), shape, psprintf("/%s", name));
	}
}

/* Attributes of which the document gives no names can still be read as a whole */
static void
add_open_attributes(TpmDraft *draft)
{
	TpmShape   *attributes = tpm_openapi_property(draft->api, linitial(draft->resources), "attributes");

	if (attributes && draft->attributes.count == 0 && attributes->properties.count == 0)
		add_pointer(draft, "attributes", "jsonb", attributes, "/attributes");
}

/* Of all the shapes that answers give the resource, the list's comes first */
void
tpm_openapi_add_columns(TpmDraft *draft)
{
	ListCell   *lc;

	add_id(draft, linitial(draft->resources));
	foreach(lc, draft->resources)
	{
		TpmShape   *attributes = tpm_openapi_property(draft->api, lfirst(lc), "attributes");

		for (int i = 0; attributes && i < attributes->properties.count; i++)
			add_attribute(draft, attributes->properties.names[i], attributes->properties.values[i],
						  tpm_dict_get(&attributes->required, attributes->properties.names[i]) != NULL);
	}
	add_open_attributes(draft);
	add_others(draft, linitial(draft->resources));
	foreach(lc, draft->resources)
	{
		TpmShape   *relationships = tpm_openapi_property(draft->api, lfirst(lc), "relationships");

		for (int i = 0; relationships && i < relationships->properties.count; i++)
			add_relationship(draft, relationships->properties.names[i], relationships->properties.values[i]);
	}
}

/* ----- what may be written ----- */

static bool
is_in_bodies(const TpmDraft *draft, const List *parts, const TpmDraftColumn *column)
{
	ListCell   *lc;

	foreach(lc, parts)
	{
		const TpmShape *members = lfirst(lc);

		/* a body that says nothing of its attributes takes any */
		if (members == NULL ? !column->is_relationship
			: members->properties.count == 0 || tpm_dict_get(&members->properties, column->member) != NULL)
			return true;
	}
	return draft->bodies == NIL;
}

void
tpm_openapi_mark_read_only(TpmDraft *draft)
{
	List	   *attributes = NIL;
	List	   *relationships = NIL;
	ListCell   *lc;

	foreach(lc, draft->bodies)
	{
		attributes = lappend(attributes, tpm_openapi_property(draft->api, lfirst(lc), "attributes"));
		relationships = lappend(relationships, tpm_openapi_property(draft->api, lfirst(lc), "relationships"));
	}
	foreach(lc, draft->columns)
	{
		TpmDraftColumn *column = lfirst(lc);

		if (column->member &&
			!is_in_bodies(draft, column->is_relationship ? relationships : attributes, column))
			column->read_only = true;
	}
}

/* ----- placeholders ----- */

/* The one of "third_parties" is a "third_party" */
static char *
singular(const char *word)
{
	int			len = strlen(word);

	if (len > 3 && strcmp(word + len - 3, "ies") == 0)
		return psprintf("%.*sy", len - 3, word);
	if (len > 1 && word[len - 1] == 's')
		return pnstrdup(word, len - 1);
	return pstrdup(word);
}

/* "id" is the resource's own; of the path before it, the last segment says whose this one is */
static char *
placeholder_wish(const char *name, const char *before)
{
	int			len = strlen(before);
	int			begin;

	if (strcmp(name, "id") != 0)
		return pstrdup(name);
	while (len > 0 && before[len - 1] == '/')
		len--;
	for (begin = len; begin > 0 && before[begin - 1] != '/' && before[begin - 1] != '}'; begin--)
		;
	return begin == len ? pstrdup("parent_id") : psprintf("%s_id", singular(pnstrdup(before + begin, len - begin)));
}

static const TpmNode *
path_parameter(const TpmDraft *draft, const char *name)
{
	ListCell   *lc;

	foreach(lc, tpm_openapi_parameters(draft->api, draft->known->list_item, draft->known->list))
	{
		if (strcmp(tpm_node_text(tpm_node_member(lfirst(lc), "in")), "path") == 0 &&
			strcmp(tpm_node_text(tpm_node_member(lfirst(lc), "name")), name) == 0)
			return lfirst(lc);
	}
	return NULL;
}

/* "owner", where the name is "owner_id", "owner-id" or "ownerId" of a to-one relationship */
static bool
is_id_of(const TpmDraftColumn *column, const char *name)
{
	int			len = strlen(column->member);
	const char *end = name + len;

	return column->is_relationship && strcmp(column->column->type, "text") == 0 &&
		strncmp(column->member, name, len) == 0 &&
		(strcmp(end, "_id") == 0 || strcmp(end, "-id") == 0 || strcmp(end, "Id") == 0);
}

static TpmDraftColumn *
draft_column_named(const TpmDraft *draft, const char *name)
{
	ListCell   *lc;

	foreach(lc, draft->columns)
	{
		TpmDraftColumn *column = lfirst(lc);

		if (!column->is_id &&
			(strcmp(column->column->name, name) == 0 ||
			 (column->member && (strcmp(column->member, name) == 0 || is_id_of(column, name)))))
			return column;
	}
	return NULL;
}

/* A member of the same name is what the path is asked with, as is a relationship's id */
static const char *
column_of_placeholder(TpmDraft *draft, const char *name, const char *wish)
{
	const TpmNode *parameter = path_parameter(draft, name);
	TpmShape   *shape = NULL;
	const char *description = tpm_node_text(tpm_node_member(parameter, "description"));
	TpmDraftColumn *column = draft_column_named(draft, wish);

	if (column)
		return column->column->name;
	if (parameter)
		shape = tpm_openapi_shape(draft->api, tpm_openapi_parameter_schema(parameter));
	column = add_draft_column(draft, wish, shape && shape->types == TPM_JSON_INTEGER ? "bigint" : "text", shape);
	if (column == NULL)
		return NULL;
	column->read_only = column->unique = false;
	if (description && shape)
		column->column->comment = tpm_openapi_comment(description, shape->words);
	return column->column->name;
}

const char *
tpm_openapi_add_placeholders(TpmDraft *draft)
{
	StringInfoData path;
	const char *at = draft->known->resource;

	initStringInfo(&path);
	for (const char *open = strchr(at, '{'); open; open = strchr(at, '{'))
	{
		const char *close = strchr(open, '}');
		char	   *name = pnstrdup(open + 1, close - open - 1);
		const char *column;

		appendBinaryStringInfo(&path, at, open - at);
		column = column_of_placeholder(draft, name, placeholder_wish(name, path.data));
		if (column == NULL)
			return NULL;
		appendStringInfo(&path, "{%s}", column);
		at = close + 1;
	}
	appendStringInfoString(&path, at);
	return path.data;
}

/* ----- options, in the order of the reference ----- */

static void
add_column_option(List **options, const char *name, const char *value)
{
	if (value)
		*options = tpm_import_option(*options, name, value);
}

static void
map_column(TpmDraftColumn *column)
{
	List	  **options = &column->column->options;

	if (column->is_relationship)
		add_column_option(options, "relationship", column->member);
	else if (column->is_attribute)
	{
		*options = tpm_import_attribute(column->column->name, column->member);
		/* a pointer, which is only read */
		if (column->member[0] == '\0' || strchr(column->member, '/') != NULL)
			column->read_only = true;
	}
}

/* a moment that only the API sets, by this name, is when it created the resource */
static bool
is_time_of_creation(const TpmDraftColumn *column)
{
	return column->is_attribute && column->read_only && column->member &&
		strcmp(column->member, "created_at") == 0 && strcmp(column->column->type, "timestamptz") == 0;
}

void
tpm_openapi_finish_column(TpmDraftColumn *column, bool create, bool trust)
{
	static const char *const bounds[] = {"filter_ge", "filter_gt", "filter_le", "filter_lt"};
	List	  **options = &column->column->options;

	map_column(column);
	add_column_option(options, "filter", column->filter);
	add_column_option(options, "filter_operators", column->filter_operators);
	add_column_option(options, "filter_values", column->filter_values);
	for (int i = 0; i < (int) lengthof(bounds); i++)
		add_column_option(options, bounds[i], column->bounds[i]);
	add_column_option(options, "filter_match", trust && column->filter && column->exact ? "exact" : NULL);
	add_column_option(options, "sortable", column->sortable ? "true" : NULL);
	add_column_option(options, "natural_key", column->unique && !column->read_only ? "true" : NULL);
	add_column_option(options, "read_only", column->read_only ? "true" : NULL);
	add_column_option(options, "created_at", create && is_time_of_creation(column) ? "true" : NULL);
	column->column->notnull |= trust && column->always;
	/* sorted byte by byte at the API, so it must be so here */
	if (column->is_id && column->sortable)
		column->column->collation = "\"C\"";
}
