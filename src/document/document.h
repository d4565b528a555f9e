/*-------------------------------------------------------------------------
 *
 * document.h
 *		JSON:API documents as rows, links, totals and errors.
 *
 * Promises: a body becomes rows, links, totals or error objects in one pass,
 * and a value is read the same under every DateStyle and TimeZone; what does
 * not fit raises an error that names resource, column and value.
 * Never: sends or asks for anything, builds what no column needs, or fills a
 * column with what was asked for in place of what was answered.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_DOCUMENT_H
#define TPM_DOCUMENT_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "nodes/bitmapset.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/page.h"
#include "base/text.h"
#include "option/option.h"

/* compiled once a scan: which member leads to which column */
typedef struct TpmDecoder TpmDecoder;

/* of a resource object; 0 if it has no id */
extern uint64 tpm_id_hash(const char *type, const char *id);

/*
 * needed: attnums to decode (all others read NULL); NULL means every column.
 * The decoder lives in the current memory context and points into table and
 * tupdesc.
 */
extern TpmDecoder *tpm_decoder_create(const TpmTable *table, TupleDesc tupdesc, Bitmapset *needed);

/*
 * A column named in the path: what this request's path holds for it.  It is
 * the column's value where it is read from nothing else, or where a resource
 * is silent about it.
 */
extern void tpm_decoder_set_placeholder(TpmDecoder *decoder, AttrNumber attnum, Datum value, bool isnull);

/*
 * Resources of these types (of char *) are left in each page as they came,
 * whether it includes them or is made of them.
 */
extern void tpm_decoder_keep_included(TpmDecoder *decoder, List *types);

/* what no message about the next document may repeat, of char *; of that one only */
extern void tpm_decoder_set_secrets(TpmDecoder *decoder, List *secrets);

/*
 * Reads a document of resources (JSON:API 1.0, section 7) in one pass.  The
 * page and its rows are allocated in the current memory context.  body must
 * be zero-terminated at body[len].
 *
 * Raises HV00M if this is no JSON:API document or one that holds errors, and the type's own SQLSTATE,
 * with resource, column and value in the CONTEXT, if a value does not fit.
 */
extern TpmPage *tpm_document_read(TpmDecoder *decoder, char *body, size_t len,
								  TimestampTz received, const char *where);

/* the same of a resource that another decoder has kept */
extern TpmPage *tpm_document_read_included(TpmDecoder *decoder, const TpmIncluded *included,
										   TimestampTz received, const char *where);

/* one error object (JSON:API 1.0, section 9.2); members are NULL if absent */
typedef struct TpmApiError
{
	char	   *status;
	char	   *code;
	char	   *title;
	char	   *detail;
	char	   *pointer;
	char	   *parameter;
} TpmApiError;

/* the error objects of an answer; NIL if it holds none.  Does not throw. */
extern List *tpm_document_errors(const char *body, size_t len);

/*
 * HV00M, in the API's own words, if a document that came as a success holds
 * errors: data beside them may be a part of what was asked for.
 * tpm_document_read() does this by itself.
 */
extern void tpm_document_refuse_errors(Jsonb *document, const char *where);

/* an HTML page or a stack trace helps nobody beyond this */
#define TPM_MAX_WORDS 400

/* cuts words of the API, in place, to what a message has room for; NULL is NULL */
extern char *tpm_clip_words(char *words);

/* title and detail of an error object, or what else it says; of several, joined, or NULL */
extern char *tpm_error_words(const TpmApiError *error);
extern char *tpm_errors_words(List *errors);

#endif							/* TPM_DOCUMENT_H */
