/*-------------------------------------------------------------------------
 *
 * body.h
 *		Rows as bodies of POST, PUT and PATCH (JSON:API 1.0, section 9).
 *
 * Every result is palloc'd in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_BODY_H
#define TPM_BODY_H

#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "utils/jsonb.h"

#include "option/option.h"

/* one resource as an answer shows it: what a full body is built from */
typedef struct TpmResource
{
	char	   *id;				/* NULL if it has none */
	JsonbContainer *object;		/* the resource object */
} TpmResource;

/*
 * The resource of a document that tpm_document_read() has found good; NULL if
 * its data is no single resource.  where names the request in an error.
 */
extern TpmResource *tpm_resource_read(char *body, size_t len, const char *where);

/* why no value can be sent for the column, NULL if one can */
extern const char *tpm_body_refuses(const TpmColumn *column, bool update);

/*
 * The columns that an INSERT sends: named in the statement, or not NULL.
 * Raises an error for a value in a column that cannot have one.
 */
extern Bitmapset *tpm_body_inserted(const TpmTable *table, TupleTableSlot *slot, Bitmapset *named);

/* the columns in which the rows differ; the same error as above */
extern Bitmapset *tpm_body_changed(const TpmTable *table, TupleTableSlot *old_slot,
								   TupleTableSlot *slot);

/* does a body that says only what was set need the resource as it is? */
extern bool tpm_body_needs_base(const TpmTable *table, Bitmapset *changed);

/* the bodies, in the database's encoding */
extern char *tpm_body_insert(const TpmTable *table, TupleTableSlot *slot, Bitmapset *columns);
extern char *tpm_body_update(const TpmTable *table, TupleTableSlot *slot, Bitmapset *changed,
							 const char *id, const TpmResource *base, bool full);

/* the texts that fill the placeholders of the path; [attnum - 1] */
extern char **tpm_body_placeholders(const TpmTable *table, TupleTableSlot *slot);

/* "internal_id = V-17" for messages, NULL if the table or the row has no natural key */
extern char *tpm_body_natural_key(const TpmTable *table, TupleTableSlot *slot);

/* the columns as an object of their names, for the journal */
extern char *tpm_body_values(const TpmTable *table, TupleTableSlot *slot, Bitmapset *columns);

/*
 * The column that a source.pointer of an error object leads to, or NULL.
 * *member is the name of the member it names, or NULL.
 */
extern const TpmColumn *tpm_body_column_at(const TpmTable *table, const char *pointer, char **member);

#endif							/* TPM_BODY_H */
