/*-------------------------------------------------------------------------
 *
 * body.c
 *		Rows as bodies of POST, PUT and PATCH.
 *
 * Owns which member a column is written to, what an update echoes, and how
 * linkage and custom fields are spelled.  Does not decide whether a row is
 * sent, and sends nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/json.h"
#include "document/document.h"
#include "request/body_internal.h"
#include "request/linkage.h"

/* a body that is being put together */
typedef struct Body
{
	const TpmTable *table;
	List	   *attributes;		/* of TpmMember * */
	List	   *relationships;
	JsonbContainer *linked;		/* relationships as they are; NULL: not known */
} Body;

/* ----- resources as read ----- */

static JsonbContainer *
object_member(JsonbContainer *object, const char *name)
{
	JsonbContainer *member = tpm_json_container(object, name);

	return member && JsonContainerIsObject(member) ? member : NULL;
}

TpmResource *
tpm_resource_read(char *body, size_t len, const char *where)
{
	/* nothing is replaced: what is echoed must be what was read */
	char	   *json = tpm_text_of_body(body, &len, TPM_INVALID_ERROR, where);
	Jsonb	   *document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
	JsonbContainer *data = object_member(&document->root, "data");
	TpmResource *resource;
	JsonbValue	buffer;
	JsonbValue *id;

	if (data == NULL)
		return NULL;
	resource = palloc0(sizeof(TpmResource));
	resource->object = data;
	id = tpm_json_get(data, "id", &buffer);
	if (id && id->type == jbvString)
		resource->id = pnstrdup(id->val.string.val, id->val.string.len);
	else if (id && id->type == jbvNumeric)
		resource->id = tpm_json_text(id);
	return resource;
}

/* ----- members ----- */

/* the type that a column of the row gives for the relationship */
static char *
type_in_row(const TpmTable *table, TupleTableSlot *slot, const char *relationship)
{
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (points_to_type(column) && strcmp(path_at(column, 1), relationship) == 0 &&
			!slot->tts_isnull[i])
			return tpm_value_text(column, slot->tts_values[i]);
	}
	return NULL;
}

/* the type of an id that is linked already: a relationship may have several */
static char *
type_if_linked(const Body *body, const char *relationship, const char *id)
{
	JsonbContainer *object = body->linked ? object_member(body->linked, relationship) : NULL;
	JsonbValue	buffer;
	JsonbValue *data = tpm_json_get(object, "data", &buffer);
	JsonbContainer *at = data && data->type == jbvBinary ? data->val.binary.data : NULL;

	if (at == NULL)
		return NULL;
	for (uint32 i = 0; i < (JsonContainerIsArray(at) ? JsonContainerSize(at) : 1); i++)
	{
		JsonbValue *one = JsonContainerIsArray(at) ? getIthJsonbValueFromContainer(at, i) : data;
		JsonbContainer *identifier = one->type == jbvBinary ? one->val.binary.data : NULL;
		JsonbValue	id_buffer,
					type_buffer;
		JsonbValue *its_id = tpm_json_get(identifier, "id", &id_buffer);
		JsonbValue *type = tpm_json_get(identifier, "type", &type_buffer);

		if (its_id && its_id->type == jbvString && type && type->type == jbvString &&
			its_id->val.string.len == (int) strlen(id) &&
			memcmp(its_id->val.string.val, id, its_id->val.string.len) == 0)
			return pnstrdup(type->val.string.val, type->val.string.len);
	}
	return NULL;
}

static void
add_identifier(StringInfo out, const char *type, const char *id)
{
	appendStringInfo(out, "{\"type\":%s,\"id\":%s}", tpm_json_string(type), tpm_json_string(id));
}

static char *
type_of_link(const Body *body, char *given, const char *relationship, const char *id)
{
	char	   *type = given ? given : type_if_linked(body, relationship, id);

	return type ? type : tpm_linkage_type(body->table, relationship);
}

/* the linkage of a relationship as the column has it */
static void
set_relationship(Body *body, TupleTableSlot *slot, const TpmColumn *column)
{
	const char *name = path_at(column, 0);
	int			i = column->attnum - 1;
	bool		many = OidIsValid(get_element_type(getBaseType(column->type)));
	char	   *type = type_in_row(body->table, slot, name);
	List	   *ids = slot->tts_isnull[i] ? NIL : tpm_value_texts(column, slot->tts_values[i]);
	StringInfoData json;
	ListCell   *lc;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"data\":%s", many ? "[" : "");
	foreach(lc, ids)
	{
		if (foreach_current_index(lc) > 0)
			appendStringInfoChar(&json, ',');
		add_identifier(&json, type_of_link(body, type, name, lfirst(lc)), lfirst(lc));
	}
	if (!many && ids == NIL)
		appendStringInfoString(&json, "null");
	appendStringInfoString(&json, many ? "]}" : "}");
	body->relationships = tpm_members_set(body->relationships, list_make1(makeString(pstrdup(name))),
										  0, json.data);
}

/* a custom field's value is an array of texts, whatever the column holds */
static char *
custom_value(TupleTableSlot *slot, const TpmColumn *column)
{
	int			i = column->attnum - 1;
	StringInfoData json;
	ListCell   *lc;

	if (slot->tts_isnull[i])
		return "[]";
	if (getBaseType(column->type) == JSONBOID && JB_ROOT_IS_ARRAY(DatumGetJsonbP(slot->tts_values[i])))
		return tpm_value_json(column, slot->tts_values[i]);
	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	foreach(lc, tpm_value_texts(column, slot->tts_values[i]))
		appendStringInfo(&json, "%s%s", foreach_current_index(lc) > 0 ? "," : "",
						 tpm_json_string(lfirst(lc)));
	appendStringInfoChar(&json, ']');
	return json.data;
}

static bool
has_term(List *entry, const char *term)
{
	TpmMember  *member = tpm_members_find(entry, "term");

	return member && member->json && strcmp(member->json, tpm_json_string(term)) == 0;
}

static List *
new_entry(const TpmTable *table, const char *term)
{
	char	   *id = tpm_custom_field_id(table, term);
	List	   *entry = NIL;

	if (id)
		entry = tpm_members_set(entry, list_make1(makeString("id")), 0, tpm_json_string(id));
	return tpm_members_set(entry, list_make1(makeString("term")), 0, tpm_json_string(term));
}

static void
add_entry(StringInfo array, List *entry)
{
	if (array->len > 1)
		appendStringInfoChar(array, ',');
	tpm_members_write(array, entry);
}

/* the array of custom fields with one entry's value replaced, or added */
static char *
set_custom_entry(const TpmTable *table, const char *array_json, const char *term, char *value)
{
	StringInfoData array;
	bool		found = false;

	initStringInfo(&array);
	appendStringInfoChar(&array, '[');
	if (array_json && array_json[0] == '[')
	{
		Jsonb	   *old = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(array_json)));

		for (uint32 i = 0; i < JB_ROOT_COUNT(old); i++)
		{
			JsonbValue *element = getIthJsonbValueFromContainer(&old->root, i);
			List	   *entry;

			if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
				continue;
			entry = tpm_members_of(element->val.binary.data);
			if (has_term(entry, term))
			{
				found = true;
				entry = tpm_members_set(entry, list_make1(makeString("value")), 0, value);
			}
			add_entry(&array, entry);
		}
	}
	if (!found)
		add_entry(&array, tpm_members_set(new_entry(table, term), list_make1(makeString("value")), 0, value));
	appendStringInfoChar(&array, ']');
	return array.data;
}

static List *
custom_fields_path(const TpmTable *table)
{
	char	   *copy = pstrdup(table->opt.custom_fields_attribute);
	List	   *path = NIL;
	char	   *save;

	for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save))
		path = lappend(path, makeString(part));
	return path;
}

static void
set_custom_field(Body *body, TupleTableSlot *slot, const TpmColumn *column)
{
	List	   *path = custom_fields_path(body->table);
	char	   *old = tpm_members_get(body->attributes, path, 0);

	body->attributes = tpm_members_set(body->attributes, path, 0,
									   set_custom_entry(body->table, old, path_at(column, 0),
														custom_value(slot, column)));
}

/* the relationship whose id column goes with a column for the type */
static void
set_relationship_of_type(Body *body, TupleTableSlot *slot, const TpmColumn *type)
{
	for (int i = 0; i < body->table->natts; i++)
	{
		const TpmColumn *column = &body->table->columns[i];

		if (column->kind == TPM_COL_RELATIONSHIP &&
			strcmp(path_at(column, 0), path_at(type, 1)) == 0)
			set_relationship(body, slot, column);
	}
}

static void
set_member(Body *body, TupleTableSlot *slot, const TpmColumn *column)
{
	switch (column->kind)
	{
		case TPM_COL_ATTRIBUTE:
			body->attributes = tpm_members_set(body->attributes, column->path, 0,
											   column_json(slot, column));
			break;
		case TPM_COL_POINTER:
			if (points_to_attribute(column))
				body->attributes = tpm_members_set(body->attributes, column->path, 1,
												   column_json(slot, column));
			else
				set_relationship_of_type(body, slot, column);
			break;
		case TPM_COL_RELATIONSHIP:
			set_relationship(body, slot, column);
			break;
		case TPM_COL_CUSTOM_FIELD:
			set_custom_field(body, slot, column);
			break;
		default:
			break;
	}
}

/* custom fields go into an array that another column may give as a whole */
static void
set_members(Body *body, TupleTableSlot *slot, Bitmapset *columns)
{
	for (int round = 0; round < 2; round++)
	{
		int			attnum = -1;

		while ((attnum = bms_next_member(columns, attnum)) >= 0)
		{
			const TpmColumn *column = &body->table->columns[attnum - 1];

			if ((column->kind == TPM_COL_CUSTOM_FIELD) == (round == 1))
				set_member(body, slot, column);
		}
	}
}

/* ----- bodies ----- */

static char *
write_body(Body *body, const char *id)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "{\"data\":{\"type\":%s", tpm_json_string(body->table->type));
	if (id)
		appendStringInfo(&out, ",\"id\":%s", tpm_json_string(id));
	appendStringInfoString(&out, ",\"attributes\":");
	tpm_members_write(&out, body->attributes);
	if (body->relationships != NIL)
	{
		appendStringInfoString(&out, ",\"relationships\":");
		tpm_members_write(&out, body->relationships);
	}
	appendStringInfoString(&out, "}}");
	return out.data;
}

char *
tpm_body_insert(const TpmTable *table, TupleTableSlot *slot, Bitmapset *columns)
{
	Body		body = {.table = table};
	char	   *id = NULL;

	slot_getallattrs(slot);
	if (table->id_attnum != 0 && bms_is_member(table->id_attnum, columns))
		id = tpm_value_text(&table->columns[table->id_attnum - 1],
							slot->tts_values[table->id_attnum - 1]);
	set_members(&body, slot, columns);
	return write_body(&body, id);
}

/* what the API made itself is not sent back */
static void
leave_out_read_only(Body *body)
{
	const TpmTable *table = body->table;
	ListCell   *lc;

	foreach(lc, table->read_only_members)
	{
		List	   *name = list_make1(lfirst(lc));

		body->attributes = tpm_members_remove(body->attributes, name, 0);
		body->relationships = tpm_members_remove(body->relationships, name, 0);
	}
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (!column->read_only)
			continue;
		if (column->kind == TPM_COL_ATTRIBUTE)
			body->attributes = tpm_members_remove(body->attributes, column->path, 0);
		else if (points_to_attribute(column))
			body->attributes = tpm_members_remove(body->attributes, column->path, 1);
		else if (column->kind == TPM_COL_RELATIONSHIP)
			body->relationships = tpm_members_remove(body->relationships, column->path, 0);
	}
}

/* linkage only: links and meta of a relationship are the server's */
static List *
linkage_of(JsonbContainer *relationships)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, tpm_members_of(relationships))
	{
		TpmMember  *member = lfirst(lc);
		JsonbContainer *object = object_member(relationships, member->name);
		JsonbValue	buffer;
		JsonbValue *data = tpm_json_get(object, "data", &buffer);

		if (data == NULL)
			continue;
		member->json = psprintf("{\"data\":%s}", tpm_json_text(data));
		result = lappend(result, member);
	}
	return result;
}

char *
tpm_body_update(const TpmTable *table, TupleTableSlot *slot, Bitmapset *changed, const char *id,
				const TpmResource *base, bool full)
{
	Body		body = {.table = table};
	Body		sent = {.table = table};
	JsonbContainer *attributes = base ? object_member(base->object, "attributes") : NULL;
	JsonbContainer *relationships = base ? object_member(base->object, "relationships") : NULL;
	ListCell   *lc;

	slot_getallattrs(slot);
	if (attributes)
		body.attributes = tpm_members_of(attributes);
	if (relationships)
		body.relationships = linkage_of(relationships);
	body.linked = sent.linked = relationships;
	if (full)
		leave_out_read_only(&body);
	set_members(&body, slot, changed);
	if (full)
		return write_body(&body, id);

	/* of the whole, the members that hold what was set */
	set_members(&sent, slot, changed);
	foreach(lc, sent.attributes)
	{
		TpmMember  *member = lfirst(lc);

		*member = *tpm_members_find(body.attributes, member->name);
	}
	return write_body(&sent, id);
}
