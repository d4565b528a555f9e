/*-------------------------------------------------------------------------
 *
 * type_inference.h
 *		PostgreSQL types for JSON values that were seen.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_TYPE_INFERENCE_H
#define TPM_TYPE_INFERENCE_H

#include "utils/jsonb.h"

/* bits: what the values of one member have been; none of them for null */
#define TPM_SEEN_BLANK		0x0001	/* "", which many APIs send for null */
#define TPM_SEEN_TEXT		0x0002
#define TPM_SEEN_DATE		0x0004
#define TPM_SEEN_TIME		0x0008	/* date and time of day, ISO 8601 */
#define TPM_SEEN_UUID		0x0010
#define TPM_SEEN_INTEGER	0x0020	/* fits bigint */
#define TPM_SEEN_NUMBER		0x0040
#define TPM_SEEN_BOOLEAN	0x0080
#define TPM_SEEN_TEXTS		0x0100	/* an array of strings */
#define TPM_SEEN_NOTHING	0x0200	/* an empty array */
#define TPM_SEEN_FIELDS		0x0400	/* an array of {id, term, value[]} */
#define TPM_SEEN_JSON		0x0800	/* any other object or array */

extern int	tpm_infer_look(const JsonbValue *value);

/* the type, as SQL, that holds them all; text when in doubt */
extern const char *tpm_infer_type(int seen);

/* term and value of an element of a custom-field array; false if it is none */
extern bool tpm_infer_custom_field(const JsonbValue *element, char **term, JsonbContainer **value);

#endif							/* TPM_TYPE_INFERENCE_H */
