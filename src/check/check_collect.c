/*-------------------------------------------------------------------------
 *
 * check_collect.c
 *		The members that the resources of a page have, and what they hold.
 *
 * Owns what is remembered of a page's members.  What is wrong with them is said
 * in check_members.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/json.h"
#include "check/check_member.h"

/* more names than this are not looked at: no API has them, a hostile one might */
#define MOST_MEMBERS	400

/* a longer text is no word of a vocabulary */
#define LONGEST_VALUE	40

TpmApiMember *
tpm_member_find(List *members, const char *name, int len, bool relationship)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		TpmApiMember *member = lfirst(lc);

		if (member->relationship == relationship && strncmp(member->name, name, len) == 0 &&
			member->name[len] == '\0')
			return member;
	}
	return NULL;
}

static bool
is_digits(const char *s, int n)
{
	for (int i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return true;
}

static int
kinds_of_string(const char *s, int len)
{
	if (len < 10 || !is_digits(s, 4) || s[4] != '-' || !is_digits(s + 5, 2) || s[7] != '-' ||
		!is_digits(s + 8, 2))
		return TPM_IS_STRING;
	if (len == 10)
		return TPM_IS_DATE;
	return len >= 19 && s[10] == 'T' && is_digits(s + 11, 2) && s[13] == ':' ? TPM_IS_TIME : TPM_IS_STRING;
}

static void
count_value(TpmApiMember *member, const char *s, int len)
{
	if (member->nvalues > TPM_MOST_VALUES)
		return;
	if (len > LONGEST_VALUE)
	{
		member->nvalues = TPM_MOST_VALUES + 1;
		return;
	}
	for (int i = 0; i < member->nvalues; i++)
	{
		if (strncmp(member->values[i], s, len) == 0 && member->values[i][len] == '\0')
		{
			member->counts[i]++;
			return;
		}
	}
	if (member->nvalues < TPM_MOST_VALUES)
	{
		member->values[member->nvalues] = pnstrdup(s, len);
		member->counts[member->nvalues] = 1;
	}
	member->nvalues++;
}

static void
note_attribute(TpmApiMember *member, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			/* "" is blank, of whatever type */
			if (value->val.string.len == 0)
				break;
			member->kinds |= kinds_of_string(value->val.string.val, value->val.string.len);
			count_value(member, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			member->kinds |= strchr(tpm_json_text(value), '.') ? TPM_IS_NUMBER : TPM_IS_INTEGER;
			break;
		case jbvBool:
			member->kinds |= TPM_IS_BOOLEAN;
			break;
		case jbvBinary:
			member->kinds |= TPM_IS_CONTAINER;
			break;
		default:
			break;
	}
}

static void
note_relationship(TpmApiMember *member, const JsonbValue *value)
{
	JsonbValue	buffer;
	JsonbValue *data;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return;
	data = getKeyJsonValueFromContainer(value->val.binary.data, "data", 4, &buffer);
	if (data == NULL)
		return;
	member->linkage = true;
	if (data->type == jbvBinary && JsonContainerIsArray(data->val.binary.data))
		member->kinds |= TPM_IS_MANY;
}

static List *
collect_member_uses(List *members, JsonbContainer *resource, const char *part, bool relationship)
{
	JsonbValue	buffer;
	JsonbValue *object = tpm_json_get(resource, part, &buffer);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	TpmApiMember *member = NULL;

	if (object == NULL || object->type != jbvBinary || !JsonContainerIsObject(object->val.binary.data))
		return members;
	it = JsonbIteratorInit(object->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			member = tpm_member_find(members, v.val.string.val, v.val.string.len, relationship);
			if (member == NULL && list_length(members) < MOST_MEMBERS)
			{
				member = palloc0(sizeof(TpmApiMember));
				member->name = pnstrdup(v.val.string.val, v.val.string.len);
				member->relationship = relationship;
				members = lappend(members, member);
			}
		}
		else if (token == WJB_VALUE && member)
		{
			if (relationship)
				note_relationship(member, &v);
			else
				note_attribute(member, &v);
		}
	}
	return members;
}

List *
tpm_members_of_page(const TpmTableCheck *check)
{
	List	   *members = NIL;
	ListCell   *lc;

	foreach(lc, check->resources)
	{
		CHECK_FOR_INTERRUPTS();
		members = collect_member_uses(members, lfirst(lc), "attributes", false);
		members = collect_member_uses(members, lfirst(lc), "relationships", true);
	}
	return members;
}
