/*-------------------------------------------------------------------------
 *
 * json.c
 *		JSON objects that are looked into, taken apart and put together.
 *
 * Owns members of objects: as jsonb has them, and as they are put together for a
 * body.  Knows nothing of resources.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "base/json.h"

/* ----- JSON ----- */

char *
tpm_json_string(const char *text)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	escape_json(&quoted, text);
	return quoted.data;
}

char *
tpm_json_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return pstrdup("null");
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvString:
			return tpm_json_string(pnstrdup(value->val.string.val, value->val.string.len));
		default:
			Assert(value->type == jbvBinary);
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
	}
}

JsonbValue *
tpm_json_get(JsonbContainer *object, const char *name, JsonbValue *buffer)
{
	if (object == NULL || !JsonContainerIsObject(object))
		return NULL;
	return getKeyJsonValueFromContainer(object, name, strlen(name), buffer);
}

JsonbContainer *
tpm_json_container(JsonbContainer *object, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value = tpm_json_get(object, name, &buffer);

	return value && value->type == jbvBinary ? value->val.binary.data : NULL;
}

/* ----- objects ----- */

List *
tpm_members_of(JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	v;
	JsonbIteratorToken token;
	List	   *members = NIL;
	TpmMember  *member = NULL;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			member = palloc0(sizeof(TpmMember));
			member->name = pnstrdup(v.val.string.val, v.val.string.len);
			members = lappend(members, member);
		}
		else if (token == WJB_VALUE)
			member->json = tpm_json_text(&v);
	}
	return members;
}

TpmMember *
tpm_members_find(List *members, const char *name)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		TpmMember  *member = lfirst(lc);

		if (strcmp(member->name, name) == 0)
			return member;
	}
	return NULL;
}

static bool
may_be_opened(const TpmMember *member)
{
	return member->is_object || (member->json != NULL && member->json[0] == '{');
}

/* what is no object becomes an empty one: something below it is set */
static void
open_object(TpmMember *member)
{
	Jsonb	   *object;

	if (member->is_object)
		return;
	member->is_object = true;
	if (member->json == NULL || member->json[0] != '{')
		return;
	object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(member->json)));
	member->members = tpm_members_of(&object->root);
}

List *
tpm_members_set(List *members, List *path, int at, char *json)
{
	const char *name = strVal(list_nth(path, at));
	TpmMember  *member = tpm_members_find(members, name);

	if (member == NULL)
	{
		member = palloc0(sizeof(TpmMember));
		member->name = pstrdup(name);
		members = lappend(members, member);
	}
	if (at == list_length(path) - 1)
	{
		member->is_object = false;
		member->json = json;
	}
	else
	{
		open_object(member);
		member->members = tpm_members_set(member->members, path, at + 1, json);
	}
	return members;
}

List *
tpm_members_remove(List *members, List *path, int at)
{
	TpmMember  *member = tpm_members_find(members, strVal(list_nth(path, at)));

	if (member == NULL)
		return members;
	if (at == list_length(path) - 1)
		return list_delete_ptr(members, member);
	if (may_be_opened(member))
	{
		open_object(member);
		member->members = tpm_members_remove(member->members, path, at + 1);
	}
	return members;
}

static char *
member_json(TpmMember *member)
{
	StringInfoData text;

	if (!member->is_object)
		return member->json;
	initStringInfo(&text);
	tpm_members_write(&text, member->members);
	return text.data;
}

char *
tpm_members_get(List *members, List *path, int at)
{
	TpmMember  *member = tpm_members_find(members, strVal(list_nth(path, at)));

	if (member == NULL)
		return NULL;
	if (at == list_length(path) - 1)
		return member_json(member);
	if (!may_be_opened(member))
		return NULL;
	open_object(member);
	return tpm_members_get(member->members, path, at + 1);
}

void
tpm_members_write(StringInfo out, List *members)
{
	ListCell   *lc;

	appendStringInfoChar(out, '{');
	foreach(lc, members)
	{
		TpmMember  *member = lfirst(lc);

		if (foreach_current_index(lc) > 0)
			appendStringInfoChar(out, ',');
		escape_json(out, member->name);
		appendStringInfoChar(out, ':');
		appendStringInfoString(out, member_json(member));
	}
	appendStringInfoChar(out, '}');
}

/* ----- pointers ----- */

char *
tpm_json_pointer_token(const char *name)
{
	char	   *result = palloc(strlen(name) * 2 + 1);
	char	   *to = result;

	for (; *name; name++)
	{
		if (*name == '~' || *name == '/')
		{
			*to++ = '~';
			*to++ = *name == '~' ? '0' : '1';
		}
		else
			*to++ = *name;
	}
	*to = '\0';
	return result;
}
