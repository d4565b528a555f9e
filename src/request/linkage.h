/*-------------------------------------------------------------------------
 *
 * linkage.h
 *		What answers have taught about linkage: types, and ids of custom fields.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_LINKAGE_H
#define TPM_LINKAGE_H

#include "utils/jsonb.h"

#include "option/option.h"

/* remembers, for this session, what a resource object shows */
extern void tpm_linkage_learn(const TpmTable *table, JsonbContainer *resource);

/*
 * The type that the resources of a relationship have.  Sends nothing: what
 * has not been learnt is guessed from the relationship's name.
 */
extern char *tpm_linkage_type(const TpmTable *table, const char *relationship);

/* the id that entries of a custom field have, NULL if none was seen */
extern char *tpm_custom_field_id(const TpmTable *table, const char *term);

/*
 * Is known what rows with values in these columns (attnums) need?  A table of
 * the same server may tell it.
 */
extern bool tpm_linkage_is_known(const TpmTable *table, Bitmapset *columns);

/* a page of the list at path is about to be asked for; false: it has been, in this session */
extern bool tpm_linkage_mark_asked(const TpmTable *table, const char *path);

#endif							/* TPM_LINKAGE_H */
