/*-------------------------------------------------------------------------
 *
 * url_query.h
 *		The query of a URL as parameters, and the numbers that they hold.
 *
 * Every result is palloc'd in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_URL_QUERY_H
#define TPM_URL_QUERY_H

#include "nodes/pg_list.h"

/* one parameter of a query, decoded */
typedef struct TpmUrlPair
{
	char	   *name;
	char	   *value;
} TpmUrlPair;

/* of TpmUrlPair *, in their order */
extern List *tpm_url_query(const char *url);

/* NULL: none is called so */
extern TpmUrlPair *tpm_url_pair(List *pairs, const char *name);

/* the URL with this number for the value of the parameter; NULL: it has none that is called so */
extern char *tpm_url_with_number(const char *url, const char *name, int64 number);

/* the same address, however its query is encoded */
extern bool tpm_url_is_same(const char *a, const char *b);

/* a whole number that is not negative; -1 if the text is none */
extern int64 tpm_whole_number(const char *text);

/* the same in base64 */
extern int64 tpm_base64_number(const char *text);

#endif							/* TPM_URL_QUERY_H */
