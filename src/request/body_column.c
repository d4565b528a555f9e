/*-------------------------------------------------------------------------
 *
 * body_column.c
 *		Which columns of a row are sent, and what tells rows apart.
 *
 * Owns the rules for a column's part in a write: what it may be set to, when
 * it is left out, what of it goes into the path, and which column an error
 * object means.  Bodies are body.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "nodes/value.h"
#include "utils/datum.h"

#include "base/json.h"
#include "request/body_internal.h"

/* ----- what is sent ----- */

/* /attributes/list/0: what is set there would take the place of the whole array */
static bool
points_into_array(const TpmColumn *column)
{
	for (int i = 2; i < list_length(column->path); i++)
		if (strspn(path_at(column, i), "0123456789") == strlen(path_at(column, i)))
			return true;
	return false;
}

const char *
tpm_body_refuses(const TpmColumn *column, bool update)
{
	if (update && column->kind == TPM_COL_ID)
		return "It is the id of the resource.";
	if (update && column->placeholder)
		return "It is part of the resource's address.";
	if (column->read_only)
		return "Its option \"read_only\" is true.";
	switch (column->kind)
	{
		case TPM_COL_INCLUDED:
			return "It is read from another resource.";
		case TPM_COL_FETCHED_AT:
			return "It is the time at which the row was read.";
		case TPM_COL_POINTER:
			if (points_into_array(column))
				return "It is read by a pointer into an array.";
			if (points_to_attribute(column) || points_to_type(column))
				return NULL;
			return "It is read by a pointer that leads to no attribute.";
		default:
			return NULL;
	}
}

/* computed here, and stored there only under a name that was given for it */
static bool
is_never_sent(const TpmColumn *column)
{
	return column->kind == TPM_COL_NONE || (column->generated != '\0' && !column->explicit_mapping);
}

static void
raise_refused(const TpmTable *table, const TpmColumn *column, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 errmsg("column \"%s\" of foreign table %s cannot be set", column->name, table->name),
			 errdetail("%s", why)));
}

Bitmapset *
tpm_body_inserted(const TpmTable *table, TupleTableSlot *slot, Bitmapset *named)
{
	Bitmapset  *columns = NULL;

	slot_getallattrs(slot);
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];
		bool		isnull = slot->tts_isnull[i];
		const char *why;

		if (is_never_sent(column))
			continue;
		why = tpm_body_refuses(column, false);
		if (why && isnull)
			continue;
		if (why)
			raise_refused(table, column, why);
		if (isnull && (column->kind == TPM_COL_ID || column->kind == TPM_COL_PLACEHOLDER))
			continue;
		if (!isnull || bms_is_member(column->attnum - FirstLowInvalidHeapAttributeNumber, named))
			columns = bms_add_member(columns, column->attnum);
	}
	return columns;
}

static bool
same_json_value(TupleTableSlot *one, TupleTableSlot *other, int i)
{
	Form_pg_attribute att = TupleDescAttr(one->tts_tupleDescriptor, i);

	if (one->tts_isnull[i] || other->tts_isnull[i])
		return one->tts_isnull[i] && other->tts_isnull[i];
	return datum_image_eq(one->tts_values[i], other->tts_values[i], att->attbyval, att->attlen);
}

Bitmapset *
tpm_body_changed(const TpmTable *table, TupleTableSlot *old_slot, TupleTableSlot *slot)
{
	Bitmapset  *changed = NULL;

	slot_getallattrs(old_slot);
	slot_getallattrs(slot);
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];
		const char *why;

		if (is_never_sent(column) || same_json_value(old_slot, slot, i))
			continue;
		/* a trigger may set what no statement can */
		why = tpm_body_refuses(column, true);
		if (why)
			raise_refused(table, column, why);
		changed = bms_add_member(changed, column->attnum);
	}
	return changed;
}

bool
tpm_body_needs_base(const TpmTable *table, Bitmapset *changed)
{
	int			attnum = -1;

	while ((attnum = bms_next_member(changed, attnum)) >= 0)
	{
		const TpmColumn *column = &table->columns[attnum - 1];

		/* what is set is part of a member that is sent as a whole */
		if (column->kind == TPM_COL_CUSTOM_FIELD ||
			(column->kind == TPM_COL_ATTRIBUTE && list_length(column->path) > 1) ||
			(column->kind == TPM_COL_POINTER && list_length(column->path) > 2))
			return true;
	}
	return false;
}

/* ----- paths and messages ----- */

char	  **
tpm_body_placeholders(const TpmTable *table, TupleTableSlot *slot)
{
	char	  **texts = palloc0(sizeof(char *) * Max(table->natts, 1));

	slot_getallattrs(slot);
	for (int i = 0; i < table->natts; i++)
		if (table->columns[i].placeholder && !slot->tts_isnull[i])
			texts[i] = tpm_value_text(&table->columns[i], slot->tts_values[i]);
	return texts;
}

char *
tpm_body_natural_key(const TpmTable *table, TupleTableSlot *slot)
{
	StringInfoData key;

	slot_getallattrs(slot);
	initStringInfo(&key);
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (column->kind == TPM_COL_NONE || !column->natural_key)
			continue;
		if (slot->tts_isnull[i])
			return NULL;
		appendStringInfo(&key, "%s%s = %s", key.len ? ", " : "", column->name,
						 tpm_value_text(column, slot->tts_values[i]));
	}
	return key.len > 0 ? key.data : NULL;
}

char *
tpm_body_values(const TpmTable *table, TupleTableSlot *slot, Bitmapset *columns)
{
	StringInfoData json;
	int			attnum = -1;

	slot_getallattrs(slot);
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		const TpmColumn *column = &table->columns[attnum - 1];

		appendStringInfo(&json, "%s%s:%s", json.len > 1 ? "," : "", tpm_json_string(column->name),
						 column_json(slot, column));
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

static bool
is_at(const TpmColumn *column, const char *part, const char *name)
{
	if (strcmp(part, "relationships") == 0)
		return column->kind == TPM_COL_RELATIONSHIP && strcmp(path_at(column, 0), name) == 0;
	if (strcmp(part, "attributes") != 0)
		return false;
	return (column->kind == TPM_COL_ATTRIBUTE && strcmp(path_at(column, 0), name) == 0) ||
		(points_to_attribute(column) && strcmp(path_at(column, 1), name) == 0);
}

/* the columns whose values stand in the array of custom fields; *only: the one, if there is one only */
static int
custom_columns(const TpmTable *table, const TpmColumn **only)
{
	int			n = 0;

	for (int i = 0; i < table->natts; i++)
	{
		if (table->columns[i].kind != TPM_COL_CUSTOM_FIELD)
			continue;
		*only = &table->columns[i];
		n++;
	}
	return n;
}

static bool
is_custom_array(const TpmTable *table, const char *part, const char *name)
{
	return strcmp(part, "attributes") == 0 && strcmp(table->opt.custom_fields_attribute, name) == 0;
}

const TpmColumn *
tpm_body_column_at(const TpmTable *table, const char *pointer, char **member)
{
	const TpmColumn *custom = NULL;
	int			n;

	char	   *copy = pstrdup(pointer ? pointer : "");
	char	   *save;
	char	   *data = strtok_r(copy, "/", &save);
	char	   *part = strtok_r(NULL, "/", &save);
	char	   *name = strtok_r(NULL, "/", &save);

	*member = NULL;
	if (data == NULL || strcmp(data, "data") != 0 || part == NULL)
		return NULL;
	if (name == NULL)
	{
		if (strcmp(part, "id") == 0 && table->id_attnum != 0)
			return &table->columns[table->id_attnum - 1];
		return NULL;
	}
	*member = name;
	for (int i = 0; i < table->natts; i++)
		if (table->columns[i].kind != TPM_COL_NONE && is_at(&table->columns[i], part, name))
			return &table->columns[i];
	n = is_custom_array(table, part, name) ? custom_columns(table, &custom) : 0;
	/* several columns hold it: the API's words must do */
	if (n > 0)
		*member = NULL;
	return n == 1 ? custom : NULL;
}
