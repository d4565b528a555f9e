/*-------------------------------------------------------------------------
 *
 * text.h
 *		Bodies as text of the database's encoding, and small JSON answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_TEXT_H
#define TPM_TEXT_H

#include "utils/jsonb.h"

typedef enum TpmInvalidCharacters
{
	TPM_INVALID_ERROR,
	TPM_INVALID_REPLACE
} TpmInvalidCharacters;

/*
 * The body as text of the database's encoding, checked; may be body itself.
 * What PostgreSQL's text cannot hold is an error or is replaced, as
 * invalid_characters (TpmInvalidCharacters) says.
 */
extern char *tpm_text_of_body(char *body, size_t *len, int invalid_characters, const char *where);

/*
 * Any JSON as it is; body must be zero-terminated.  Raises HV00M if it is
 * none, and what tpm_text_of_body() does.
 */
extern Jsonb *tpm_json_of_body(char *body, size_t len, int invalid_characters, const char *where);

/*
 * Valid UTF-8 in the database's encoding, with '?' for what that has not; may
 * be the text itself.  Does not throw.
 */
extern char *tpm_text_to_server(char *text, size_t *len);

/* could this text have been read from another one, of which something was replaced? */
extern bool tpm_text_may_be_another(const char *text, int invalid_characters);

/* does it hold an escape that is no character of PostgreSQL's text, in any string? */
extern bool tpm_text_has_invalid_escape(const char *body, size_t len);

/*
 * Well-formed JSON, valid in the encoding, that jsonb can hold: what jsonb_in()
 * refuses with a data exception is not.  Does not throw.
 */
extern bool tpm_json_fits_jsonb(const char *text, size_t len, int encoding);

/* a small JSON object as jsonb, NULL if the text is no JSON object */
extern Jsonb *tpm_json_object(const char *body, size_t len);

/* does an object have this member, whatever its value is? */
extern bool tpm_json_has(Jsonb *object, const char *name);

/* a member of an object as text (strings, numbers, booleans), else NULL */
extern char *tpm_json_member(Jsonb *object, const char *name);

/* the same of an object inside */
extern char *tpm_json_member_text(JsonbContainer *container, const char *name);

/* is the word in the list, which ends with NULL? */
static inline bool
tpm_is_one_of(const char *word, const char *const *words)
{
	for (; *words; words++)
	{
		if (strcmp(word, *words) == 0)
			return true;
	}
	return false;
}

#endif							/* TPM_TEXT_H */
