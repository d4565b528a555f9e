/*-------------------------------------------------------------------------
 *
 * check_members.c
 *		tpm_fdw_check of one foreign table: its columns against the members
 *		that resources really have.
 *
 * Sends nothing: all is read from the first page.  A column whose member is
 * on no resource is given the name of a member that no column is mapped to:
 * the nearest, or the only one that is left and fits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "check.h"
#include "nearest.h"
#include "value.h"

/* more names than this are not looked at: no API has them, a hostile one might */
#define MOST_MEMBERS	400

/* values of a column that are worth a row */
#define MOST_VALUES		12
#define LONGEST_VALUE	40

/* fewer resources than this may happen to lack a member (as in scan_check.c) */
#define TELLING_ROWS	20

/* what the values of a member are; bits */
#define IS_STRING		0x01
#define IS_INTEGER		0x02
#define IS_NUMBER		0x04
#define IS_BOOLEAN		0x08
#define IS_CONTAINER	0x10
#define IS_TIME			0x20	/* a string that is a date-time */
#define IS_DATE			0x40	/* or a date */
#define IS_MANY			0x80	/* a to-many relationship */

typedef struct Member
{
	char	   *name;
	bool		relationship;
	int			kinds;
	bool		linkage;		/* a relationship with "data" */
	bool		mapped;
	int			nvalues;		/* distinct short strings, MOST_VALUES + 1:
								 * too many */
	char	   *values[MOST_VALUES];
	int			counts[MOST_VALUES];
} Member;

/* ----- collecting ----- */

static Member *
find_member(List *members, const char *name, int len, bool relationship)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		Member	   *member = lfirst(lc);

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
		return IS_STRING;
	if (len == 10)
		return IS_DATE;
	return len >= 19 && s[10] == 'T' && is_digits(s + 11, 2) && s[13] == ':' ? IS_TIME : IS_STRING;
}

static void
count_value(Member *member, const char *s, int len)
{
	if (member->nvalues > MOST_VALUES)
		return;
	if (len > LONGEST_VALUE)
	{
		member->nvalues = MOST_VALUES + 1;
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
	if (member->nvalues < MOST_VALUES)
	{
		member->values[member->nvalues] = pnstrdup(s, len);
		member->counts[member->nvalues] = 1;
	}
	member->nvalues++;
}

static void
note_attribute(Member *member, const JsonbValue *value)
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
			member->kinds |= strchr(tpm_json_text(value), '.') ? IS_NUMBER : IS_INTEGER;
			break;
		case jbvBool:
			member->kinds |= IS_BOOLEAN;
			break;
		case jbvBinary:
			member->kinds |= IS_CONTAINER;
			break;
		default:
			break;
	}
}

static void
note_relationship(Member *member, const JsonbValue *value)
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
		member->kinds |= IS_MANY;
}

static List *
collect(List *members, JsonbContainer *resource, const char *part, bool relationship)
{
	JsonbValue	buffer;
	JsonbValue *object = tpm_json_get(resource, part, &buffer);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	Member	   *member = NULL;

	if (object == NULL || object->type != jbvBinary || !JsonContainerIsObject(object->val.binary.data))
		return members;
	it = JsonbIteratorInit(object->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			member = find_member(members, v.val.string.val, v.val.string.len, relationship);
			if (member == NULL && list_length(members) < MOST_MEMBERS)
			{
				member = palloc0(sizeof(Member));
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

static List *
members_of_page(const TpmTableCheck *check)
{
	List	   *members = NIL;
	ListCell   *lc;

	foreach(lc, check->resources)
	{
		CHECK_FOR_INTERRUPTS();
		members = collect(members, lfirst(lc), "attributes", false);
		members = collect(members, lfirst(lc), "relationships", true);
	}
	return members;
}

/* ----- columns ----- */

/* the member of attributes or relationships that the column is read from */
static const char *
member_of(const TpmTable *table, const TpmColumn *column, bool *relationship)
{
	*relationship = column->kind == TPM_COL_RELATIONSHIP || column->kind == TPM_COL_INCLUDED ||
		(column->kind == TPM_COL_POINTER && list_length(column->path) > 1 &&
		 strcmp(strVal(linitial(column->path)), "relationships") == 0);
	return tpm_request_member(table, column);
}

/* /attributes as a whole: everything is mapped by it */
static bool
maps_all(const TpmColumn *column)
{
	return column->kind == TPM_COL_POINTER && list_length(column->path) == 1 &&
		strcmp(strVal(linitial(column->path)), "attributes") == 0;
}

static bool
fits(const Member *member, const TpmColumn *column)
{
	Oid			type = getBaseType(column->type);
	int			kinds = member->kinds;

	if (member->relationship)
		return OidIsValid(get_element_type(type)) == ((kinds & IS_MANY) != 0);
	switch (type)
	{
		case BOOLOID:
			return (kinds & ~IS_BOOLEAN) == 0;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return (kinds & ~IS_INTEGER) == 0;
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			return (kinds & ~(IS_INTEGER | IS_NUMBER)) == 0;
		case DATEOID:
			return (kinds & ~IS_DATE) == 0;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return (kinds & ~(IS_TIME | IS_DATE)) == 0;
		case JSONBOID:
		case JSONOID:
			return true;
		default:
			return (kinds & IS_CONTAINER) == (OidIsValid(get_element_type(type)) ? kinds & IS_CONTAINER : 0);
	}
}

static Member *
nearest_member(List *members, const char *name, const TpmColumn *column, bool relationship)
{
	TpmNearest	nearest;
	ListCell   *lc;

	tpm_nearest_begin(&nearest, name);
	foreach(lc, members)
	{
		Member	   *member = lfirst(lc);

		if (!member->mapped && member->relationship == relationship && fits(member, column))
			tpm_nearest_offer(&nearest, member->name);
	}
	return nearest.best ? find_member(members, nearest.best, strlen(nearest.best), relationship) : NULL;
}

/* the one member without a column, if there is but one and its values fit */
static Member *
only_member(List *members, const TpmColumn *column, bool relationship)
{
	Member	   *only = NULL;
	ListCell   *lc;

	foreach(lc, members)
	{
		Member	   *member = lfirst(lc);

		if (member->mapped || member->relationship != relationship)
			continue;
		if (only)
			return NULL;
		only = member;
	}
	return only && fits(only, column) ? only : NULL;
}

/* the statement that reads the column from another member, NULL if none can say so */
static char *
remap(const TpmTable *table, const TpmColumn *column, const Member *to)
{
	const char *option = column->kind == TPM_COL_RELATIONSHIP ? "relationship"
	: column->kind == TPM_COL_ATTRIBUTE && list_length(column->path) == 1 &&
	strchr(to->name, '/') == NULL ? "attribute" : NULL;

	return option ? tpm_alter_column(table, column, tpm_alter_option(NIL, option, to->name)) : NULL;
}

static void
report_missing(TpmTableCheck *check, const TpmColumn *column, const char *name, List *members,
			   List *missing, bool relationship)
{
	int			rows = list_length(check->resources);
	Member	   *to = nearest_member(members, name, column, relationship);
	char	   *statement = NULL;

	if (to == NULL && list_length(missing) == 1)
		to = only_member(members, column, relationship);
	if (to)
		statement = remap(check->table, column, to);
	if (statement)
		to->mapped = true;
	tpm_report(check->report, psprintf("column %s", column->name),
			   rows >= TELLING_ROWS || statement ? TPM_STEP_FAILED : TPM_STEP_NOT_TRIED,
			   psprintf("%s \"%s\" is on none of %d resources",
						relationship ? "relationship" : "attribute", name, rows),
			   statement ? statement : rows >= TELLING_ROWS
			   ? psprintf("If the API has it under no other name: ALTER FOREIGN TABLE %s DROP COLUMN %s;",
						  check->table->name, quote_identifier(column->name))
			   : NULL);
}

/* marks what is mapped; the columns whose member is on no resource */
static List *
missing_columns(const TpmTableCheck *check, List *members)
{
	List	   *missing = NIL;

	for (int i = 0; i < check->table->natts; i++)
	{
		const TpmColumn *column = &check->table->columns[i];
		bool		relationship;
		const char *name = member_of(check->table, column, &relationship);
		Member	   *member = name ? find_member(members, name, strlen(name), relationship) : NULL;

		if (member)
			member->mapped = true;
		else if (name && column->kind != TPM_COL_NONE)
			missing = lappend_int(missing, i);
	}
	return missing;
}

static bool
is_mapped_as_a_whole(const TpmTable *table)
{
	for (int i = 0; i < table->natts; i++)
	{
		if (maps_all(&table->columns[i]))
			return true;
	}
	return false;
}

/* ----- what has no column ----- */

static const char *
type_for(const Member *member)
{
	if (member->relationship)
		return member->kinds & IS_MANY ? "text[]" : "text";
	switch (member->kinds)
	{
		case IS_BOOLEAN:
			return "boolean";
		case IS_INTEGER:
			return "bigint";
		case IS_NUMBER:
		case IS_NUMBER | IS_INTEGER:
			return "numeric";
		case IS_DATE:
			return "date";
		case IS_TIME:
			return "timestamptz";
		default:
			return member->kinds & IS_CONTAINER ? "jsonb" : "text";
	}
}

/* of at most 63 bytes, and not taken */
static char *
free_name(const TpmTable *table, const char *wanted)
{
	char	   *name = pnstrdup(wanted, pg_mbcliplen(wanted, strlen(wanted), NAMEDATALEN - 5));

	for (int n = 2;; n++)
	{
		bool		taken = false;

		for (int i = 0; i < table->natts && !taken; i++)
			taken = table->columns[i].name && strcmp(table->columns[i].name, name) == 0;
		if (!taken)
			return name;
		name = psprintf("%.*s_%d", pg_mbcliplen(wanted, strlen(wanted), NAMEDATALEN - 5), wanted, n);
	}
}

static char *
escaped(const char *name)
{
	StringInfoData pointer;

	initStringInfo(&pointer);
	for (; *name; name++)
	{
		if (*name == '~' || *name == '/')
			appendStringInfo(&pointer, "~%c", *name == '~' ? '0' : '1');
		else
			appendStringInfoChar(&pointer, *name);
	}
	return pointer.data;
}

static char *
new_column(const TpmTable *table, const Member *member)
{
	const char *type = type_for(member);
	char	   *wanted = member->relationship && (member->kinds & IS_MANY) == 0
	? psprintf("%s_id", member->name) : pstrdup(member->name);
	char	   *name = free_name(table, wanted);
	char	   *options = "";

	if (member->relationship)
		options = psprintf(" OPTIONS (relationship %s)", quote_literal_cstr(member->name));
	else if (strchr(member->name, '/') || member->name[0] == '\0')
		options = psprintf(" OPTIONS (pointer %s)",
						   quote_literal_cstr(psprintf("/attributes/%s", escaped(member->name))));
	else if (strcmp(name, member->name) != 0 || strcmp(name, "id") == 0)
		options = psprintf(" OPTIONS (attribute %s)", quote_literal_cstr(member->name));
	return psprintf("ALTER FOREIGN TABLE %s ADD COLUMN %s %s%s;", table->name, quote_identifier(name),
					type, options);
}

static void
report_unmapped(TpmTableCheck *check, List *members)
{
	bool		attributes = !is_mapped_as_a_whole(check->table);
	ListCell   *lc;

	foreach(lc, members)
	{
		Member	   *member = lfirst(lc);

		if (member->mapped || (!member->relationship && !attributes))
			continue;
		tpm_report(check->report, psprintf("not mapped %s", member->name), TPM_STEP_NOT_TRIED,
				   psprintf("no column reads the %s \"%s\"",
							member->relationship ? "relationship" : "attribute", member->name),
				   new_column(check->table, member));
	}
}

/* ----- what columns hold ----- */

static void
report_linkage(TpmTableCheck *check, const TpmColumn *column, const Member *member)
{
	if (column->kind != TPM_COL_RELATIONSHIP || member->linkage)
		return;
	tpm_report(check->report, psprintf("column %s", column->name), TPM_STEP_FAILED,
			   psprintf("relationship \"%s\" comes without linkage (\"data\"): the column is always NULL",
						member->name),
			   "Some APIs give linkage for relationships that are named in the option include of the table.");
}

static void
report_values(TpmTableCheck *check, const TpmColumn *column, const Member *member)
{
	StringInfoData text;
	int			all = 0;

	if (column->kind != TPM_COL_ATTRIBUTE || list_length(column->path) != 1 ||
		member->kinds != IS_STRING || member->nvalues > MOST_VALUES)
		return;
	initStringInfo(&text);
	for (int i = 0; i < member->nvalues; i++)
	{
		all += member->counts[i];
		appendStringInfo(&text, "%s%s (%d)", i > 0 ? ", " : "", member->values[i], member->counts[i]);
	}
	/* values that do not come again are no vocabulary */
	if (all < 2 * member->nvalues)
		return;
	tpm_report(check->report, psprintf("values %s", column->name), TPM_STEP_OK, text.data, NULL);
}

static void
report_columns(TpmTableCheck *check, List *members)
{
	for (int i = 0; i < check->table->natts; i++)
	{
		const TpmColumn *column = &check->table->columns[i];
		bool		relationship;
		const char *name = member_of(check->table, column, &relationship);
		Member	   *member = name ? find_member(members, name, strlen(name), relationship) : NULL;

		if (member == NULL)
			continue;
		report_linkage(check, column, member);
		report_values(check, column, member);
	}
}

void
tpm_check_members(TpmTableCheck *check)
{
	List	   *members = members_of_page(check);
	List	   *missing = missing_columns(check, members);
	ListCell   *lc;

	if (check->resources == NIL)
	{
		tpm_report(check->report, "columns", TPM_STEP_NOT_TRIED, "not tried: the list is empty", NULL);
		return;
	}
	foreach(lc, missing)
	{
		const TpmColumn *column = &check->table->columns[lfirst_int(lc)];
		bool		relationship;
		const char *name = member_of(check->table, column, &relationship);

		report_missing(check, column, name, members, missing, relationship);
	}
	if (missing == NIL)
		tpm_report(check->report, "columns", TPM_STEP_OK,
				   psprintf("every mapped member is on one of %d resources", list_length(check->resources)),
				   NULL);
	report_unmapped(check, members);
	report_columns(check, members);
}
