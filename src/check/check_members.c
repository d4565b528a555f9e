/*-------------------------------------------------------------------------
 *
 * check_members.c
 *		tpm_fdw_check of one foreign table: its columns against the members
 *		that resources really have.
 *
 * Owns the judgement of columns; the members are collected in check_collect.c.
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
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/json.h"
#include "base/nearest.h"
#include "check/check_member.h"
#include "shared/counters.h"

/* fewer resources than this may happen to lack a member (as in scan_check.c) */
#define TELLING_ROWS	20

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
member_fits(const TpmApiMember *member, const TpmColumn *column)
{
	Oid			type = getBaseType(column->type);
	int			kinds = member->kinds;

	if (member->relationship)
		return OidIsValid(get_element_type(type)) == ((kinds & TPM_IS_MANY) != 0);
	switch (type)
	{
		case BOOLOID:
			return (kinds & ~TPM_IS_BOOLEAN) == 0;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return (kinds & ~TPM_IS_INTEGER) == 0;
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			return (kinds & ~(TPM_IS_INTEGER | TPM_IS_NUMBER)) == 0;
		case DATEOID:
			return (kinds & ~TPM_IS_DATE) == 0;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return (kinds & ~(TPM_IS_TIME | TPM_IS_DATE)) == 0;
		case JSONBOID:
		case JSONOID:
			return true;
		default:
			return (kinds & TPM_IS_CONTAINER) == (OidIsValid(get_element_type(type)) ? kinds & TPM_IS_CONTAINER : 0);
	}
}

static TpmApiMember *
nearest_member(List *members, const char *name, const TpmColumn *column, bool relationship)
{
	TpmNearest	nearest;
	ListCell   *lc;

	tpm_nearest_begin(&nearest, name);
	foreach(lc, members)
	{
		TpmApiMember *member = lfirst(lc);

		if (!member->mapped && member->relationship == relationship && member_fits(member, column))
			tpm_nearest_offer(&nearest, member->name);
	}
	return nearest.best ? tpm_member_find(members, nearest.best, strlen(nearest.best), relationship) : NULL;
}

/* the one member without a column, if there is but one and its values fit */
static TpmApiMember *
only_member(List *members, const TpmColumn *column, bool relationship)
{
	TpmApiMember *only = NULL;
	ListCell   *lc;

	foreach(lc, members)
	{
		TpmApiMember *member = lfirst(lc);

		if (member->mapped || member->relationship != relationship)
			continue;
		if (only)
			return NULL;
		only = member;
	}
	return only && member_fits(only, column) ? only : NULL;
}

/* the statement that reads the column from another member, NULL if none can say so */
static char *
remap(const TpmTable *table, const TpmColumn *column, const TpmApiMember *to)
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
	TpmApiMember *to = nearest_member(members, name, column, relationship);
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
		TpmApiMember *member = name ? tpm_member_find(members, name, strlen(name), relationship) : NULL;

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
type_for(const TpmApiMember *member)
{
	if (member->relationship)
		return member->kinds & TPM_IS_MANY ? "text[]" : "text";
	switch (member->kinds)
	{
		case TPM_IS_BOOLEAN:
			return "boolean";
		case TPM_IS_INTEGER:
			return "bigint";
		case TPM_IS_NUMBER:
		case TPM_IS_NUMBER | TPM_IS_INTEGER:
			return "numeric";
		case TPM_IS_DATE:
			return "date";
		case TPM_IS_TIME:
			return "timestamptz";
		default:
			return member->kinds & TPM_IS_CONTAINER ? "jsonb" : "text";
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
new_column(const TpmTable *table, const TpmApiMember *member)
{
	const char *type = type_for(member);
	char	   *wanted = member->relationship && (member->kinds & TPM_IS_MANY) == 0
	? psprintf("%s_id", member->name) : pstrdup(member->name);
	char	   *name = free_name(table, wanted);
	char	   *options = "";

	if (member->relationship)
		options = psprintf(" OPTIONS (relationship %s)", quote_literal_cstr(member->name));
	else if (strchr(member->name, '/') || member->name[0] == '\0')
		options = psprintf(" OPTIONS (pointer %s)",
						   quote_literal_cstr(psprintf("/attributes/%s", tpm_json_pointer_token(member->name))));
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
		TpmApiMember *member = lfirst(lc);

		if (member->mapped || (!member->relationship && !attributes))
			continue;
		tpm_report(check->report, psprintf("not mapped %s", member->name), TPM_STEP_NOT_TRIED,
				   psprintf("no column reads the %s \"%s\"",
							member->relationship ? "relationship" : "attribute", member->name),
				   new_column(check->table, member));
	}
}

/* ----- what columns hold ----- */

static bool
is_asked_to_include(const TpmTable *table, const char *name)
{
	size_t		len = strlen(name);

	for (const char *at = table->include; at && *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
		if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0' || at[len] == '.'))
			return true;
	return false;
}

static const char *
hint_of_linkage(const TpmTable *table, const TpmColumn *column, const char *name)
{
	if (is_asked_to_include(table, name))
		return "The option include of the table names it already. What the API does not tell is an error where a condition needs it; missing_attribute 'null' reads it as NULL.";
	if (column->kind == TPM_COL_INCLUDED)
		return tpm_alter_table(table, tpm_alter_option(NIL, "include", table->include
													   ? psprintf("%s,%s", table->include, name) : name));
	return "Some APIs give linkage for relationships that are named in the option include of the table.";
}

/* values that no answer tells, which must not be taken for NULL */
static void
report_linkage(TpmTableCheck *check, const TpmColumn *column, const TpmApiMember *member)
{
	const char *what;

	if (!member->relationship ||
		!(check->page ? tpm_column_bit(check->page->members.unknown, column->attnum) : !member->linkage))
		return;
	if (!member->linkage)
		what = "comes without linkage (\"data\"): what it leads to is not known";
	else if (column->kind == TPM_COL_INCLUDED)
		what = "leads to resources that are not included, or has no linkage (\"data\"), on some resources";
	else
		what = "comes without linkage (\"data\") on some resources: what it leads to there is not known";
	tpm_report(check->report, psprintf("column %s", column->name), TPM_STEP_FAILED,
			   psprintf("relationship \"%s\" %s", member->name, what),
			   hint_of_linkage(check->table, column, member->name));
}

static void
report_values(TpmTableCheck *check, const TpmColumn *column, const TpmApiMember *member)
{
	StringInfoData text;
	int			all = 0;

	if (column->kind != TPM_COL_ATTRIBUTE || list_length(column->path) != 1 ||
		member->kinds != TPM_IS_STRING || member->nvalues > TPM_MOST_VALUES)
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
		TpmApiMember *member = name ? tpm_member_find(members, name, strlen(name), relationship) : NULL;

		if (member == NULL)
			continue;
		report_linkage(check, column, member);
		report_values(check, column, member);
	}
}

void
tpm_check_members(TpmTableCheck *check)
{
	List	   *members = tpm_members_of_page(check);
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
