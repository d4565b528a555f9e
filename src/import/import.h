/*-------------------------------------------------------------------------
 *
 * import.h
 *		IMPORT FOREIGN SCHEMA: from a description of tables to statements.
 *
 * Promises: statements that create what the source describes, under names that
 * SQL can write and with options that the validator takes; what was renamed or
 * left out is told in a WARNING.
 * Never: concludes from one page what it cannot prove (no filter and no NOT
 * NULL comes of a sample), or writes to the API.
 * Locks: AccessShareLock on a catalog, or on the table that a view is made
 * for, given back at once; none in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_IMPORT_H
#define TPM_IMPORT_H

#include "nodes/parsenodes.h"

#include "import/import_name.h"

/* What a source says of a table; options are DefElems with String values */
typedef struct TpmImportColumn
{
	const char *name;
	const char *type;			/* as SQL */
	const char *collation;		/* as SQL, or NULL */
	bool		notnull;
	List	   *options;
	const char *comment;		/* or NULL */
} TpmImportColumn;

typedef struct TpmImportTable
{
	const char *name;
	List	   *columns;		/* of TpmImportColumn * */
	List	   *options;
	const char *comment;		/* or NULL */
} TpmImportTable;

typedef struct TpmImportOptions
{
	ImportForeignSchemaStmt *stmt;
	bool		trust_exact;
	bool		fetched_at;
	bool		custom_columns; /* a column for each custom field */
	const char *resources;		/* to look at, or NULL */
	int			sample_pages;
	const char *document;		/* URL or file, or NULL */
} TpmImportOptions;

/* import.c */
extern List *tpm_import_foreign_schema(ImportForeignSchemaStmt *stmt, Oid serverOid);
extern List *tpm_import_option(List *options, const char *name, const char *value);

/* is the table asked for by LIMIT TO, or not left out by EXCEPT? */
extern bool tpm_import_wants(const TpmImportOptions *options, const char *table);

/* import_sample.c: List of TpmImportTable * */
extern List *tpm_import_sample(Oid serverid, const TpmImportOptions *options);

/* openapi.c: List of TpmImportTable * */
extern List *tpm_import_openapi(Oid serverid, const TpmImportOptions *options);

/*
 * The option that leads to a member of attributes; NIL if the column's name
 * says it all.
 */
extern List *tpm_import_attribute(const char *column, const char *member);

/* import_custom.c: columns for the custom fields that pages of the catalogue's tables show */
extern void tpm_import_catalogue_custom(Oid serverid, List *tables, const TpmImportOptions *options);

/* columns for the terms (TpmSampleTerm) of an attribute, added to the table */
extern void tpm_import_custom(TpmImportTable *table, TpmNames *names, const List *terms);

/* import_catalogue.c: List of TpmImportTable * */
extern List *tpm_import_catalogue(Oid serverid, const TpmImportOptions *options);

/* comment.c: COMMENT ON the tables that the running statement will create */
extern void tpm_comment_begin(const char *schema);
extern void tpm_comment_add(const TpmImportTable *table);

#endif							/* TPM_IMPORT_H */
