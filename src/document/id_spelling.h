/*-------------------------------------------------------------------------
 *
 * id_spelling.h
 *		Ids that the API spells in another way than PostgreSQL does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_ID_SPELLING_H
#define TPM_ID_SPELLING_H

#include "option/option.h"

/* could another text read as the same id?  Then what is not found under one may be there all the same */
extern bool tpm_id_has_spellings(const TpmTable *table);

/* the API has spelled an id of the table so */
extern void tpm_id_note(const TpmColumn *column, const char *spelling, Datum id);

/* how the API has spelled the id of this text in this session, else the text itself */
extern const char *tpm_id_spelling(const TpmTable *table, const char *text);

/*
 * The text under which a row that was read in this transaction is changed.
 * Raises an error if it is not known.
 */
extern char *tpm_id_text(const TpmTable *table, Datum id);

#endif							/* TPM_ID_SPELLING_H */
