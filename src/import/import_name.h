/*-------------------------------------------------------------------------
 *
 * import_name.h
 *		Names of tables and columns, made from what an API calls them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_IMPORT_NAME_H
#define TPM_IMPORT_NAME_H

#include "utils/hsearch.h"

/* the names given out in one scope: the tables of an import, the columns of a table */
typedef struct TpmNames
{
	const char *kind;			/* "table" or "column" */
	const char *table;			/* of columns: their table's name */
	int			most;			/* names that the scope has room for */
	bool		full;			/* there was no room for one: said once */
	int			warnings;
	HTAB	   *taken;
} TpmNames;

/* in the current memory context */
extern void tpm_names_of_tables(TpmNames *names);
extern void tpm_names_of_columns(TpmNames *names, const char *table);

/*
 * A name that SQL can write and nothing else in the scope has: lower case,
 * separators as underscores, at most 63 bytes.  Where more than that had to be
 * changed, or where queries must quote the name, a WARNING says so.  NULL, with
 * a WARNING: what it stands for cannot be imported.
 */
extern char *tpm_names_add(TpmNames *names, const char *given);

/* a name of which it is known that it is good */
extern void tpm_names_keep(TpmNames *names, const char *name);

/* can a name of the API be the value of an option? */
extern bool tpm_name_is_storable(const char *given);

/* text for people, cut where it gets long */
extern char *tpm_name_shown(const char *given);

#endif							/* TPM_IMPORT_NAME_H */
