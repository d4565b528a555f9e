/*-------------------------------------------------------------------------
 *
 * json.h
 *		JSON objects that are looked into, taken apart and put together.
 *
 * Every result is palloc'd in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_JSON_H
#define TPM_JSON_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* text as a JSON string */
extern char *tpm_json_string(const char *text);

/* the text of any JSON value */
extern char *tpm_json_text(const JsonbValue *value);

/* a member of an object, NULL if there is none; kept in *buffer */
extern JsonbValue *tpm_json_get(JsonbContainer *object, const char *name, JsonbValue *buffer);

/* the same, if it is an object or an array, else NULL */
extern JsonbContainer *tpm_json_container(JsonbContainer *object, const char *name);

/* a name as a token of a JSON pointer (RFC 6901, section 3) */
extern char *tpm_json_pointer_token(const char *name);

/* a member of an object that is being put together */
typedef struct TpmMember
{
	char	   *name;
	bool		is_object;
	char	   *json;			/* unless is_object */
	List	   *members;		/* of TpmMember *, if is_object */
} TpmMember;

extern List *tpm_members_of(JsonbContainer *object);
extern TpmMember *tpm_members_find(List *members, const char *name);

/* path: of String, from the at-th on */
extern List *tpm_members_remove(List *members, List *path, int at);

/* objects on the way are made */
extern List *tpm_members_set(List *members, List *path, int at, char *json);

/* what stands at the path, NULL if nothing does */
extern char *tpm_members_get(List *members, List *path, int at);
extern void tpm_members_write(StringInfo out, List *members);

#endif							/* TPM_JSON_H */
