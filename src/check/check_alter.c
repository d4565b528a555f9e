/*-------------------------------------------------------------------------
 *
 * check_alter.c
 *		The statements that fit a foreign table to the API.
 *
 * Owns their spelling: ADD for an option that is not there, SET for one that
 * is, DROP only for what is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"

#include "check/check.h"

List *
tpm_alter_option(List *options, const char *name, const char *value)
{
	return lappend(options, makeDefElem(pstrdup(name),
										value ? (Node *) makeString(pstrdup(value)) : NULL, -1));
}

static bool
has_option(List *stored, const char *name)
{
	ListCell   *lc;

	foreach(lc, stored)
	{
		if (strcmp(((DefElem *) lfirst(lc))->defname, name) == 0)
			return true;
	}
	return false;
}

/* NULL if there is nothing to change */
static char *
changes(List *options, List *stored)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, options)
	{
		DefElem    *option = lfirst(lc);
		bool		there = has_option(stored, option->defname);

		if (option->arg == NULL && !there)
			continue;
		appendStringInfo(&sql, "%s%s %s", sql.len > 0 ? ", " : "",
						 option->arg == NULL ? "DROP" : there ? "SET" : "ADD",
						 quote_identifier(option->defname));
		if (option->arg)
			appendStringInfo(&sql, " %s", quote_literal_cstr(defGetString(option)));
	}
	return sql.len > 0 ? sql.data : NULL;
}

char *
tpm_alter_column(const TpmTable *table, const TpmColumn *column, List *options)
{
	char	   *what = changes(options, GetForeignColumnOptions(table->relid, column->attnum));

	return what ? psprintf("ALTER FOREIGN TABLE %s ALTER COLUMN %s OPTIONS (%s);", table->name,
						   quote_identifier(column->name), what) : NULL;
}

char *
tpm_alter_table(const TpmTable *table, List *options)
{
	char	   *what = changes(options, GetForeignTable(table->relid)->options);

	return what ? psprintf("ALTER FOREIGN TABLE %s OPTIONS (%s);", table->name, what) : NULL;
}
