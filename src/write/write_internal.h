/*-------------------------------------------------------------------------
 *
 * write_internal.h
 *		What the files of the write room share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_WRITE_INTERNAL_H
#define TPM_WRITE_INTERNAL_H

#include "write/write.h"

/* ----- answer.c ----- */

/*
 * The one resource of an answer; NULL: it holds none, or more, or is no
 * document of this table, and *problem says why, or it holds a value that a
 * column refuses, and *misfit is that error.  Nothing is thrown but an
 * interrupt.
 */
extern TpmPage *tpm_write_decode(TpmWrite *write, TpmDecoder *decoder, const TpmAnswer *answer,
								 const char *name, const char **problem, ErrorData **misfit);

/* the same for a page of the list; NULL: *problem says why */
extern TpmPage *tpm_write_decode_list(TpmWrite *write, const TpmAnswer *answer, const char *name,
									  const char **problem);

/* what the answer to a write is; sets its tuple and id */
extern TpmAnswerShape tpm_write_read_answer(TpmWrite *write, const TpmAnswer *answer);

/* does some resource of the page tell the column's value? */
extern bool tpm_write_is_told(const TpmPage *page, AttrNumber attnum);

/* the text of the id in a row of the table, NULL: none */
extern char *tpm_write_id_of(const TpmWriter *writer, HeapTuple tuple);

/* the id that the client gave, which an answer without a body leaves as it is; NULL: none */
extern char *tpm_write_given_id(const TpmWrite *write);

/*
 * The option query without what selects from a list: it has no place where one
 * resource is asked for, and hides rows where one of a key is looked for.
 */
extern char *tpm_write_query(const TpmTable *table);

/* its id, which of a POST that nobody has answered is the one given; NULL: none is known */
extern const char *tpm_write_id(const TpmWrite *write);

/* the GET of the resource by that id, and its name in messages */
extern char *tpm_write_url_by_id(const TpmWrite *write);
extern char *tpm_write_name_by_id(const TpmWrite *write);

/* before, base and etag are those of this answer */
extern void tpm_write_take_base(TpmWrite *write, HeapTuple tuple, const TpmAnswer *answer);

/* ----- look.c ----- */

/* its own key can be asked for: what is in doubt can be looked for */
extern bool tpm_write_has_key(const TpmWrite *write);

/* the URL that shows whether the write has acted */
extern char *tpm_look_url(TpmWrite *write);

/* what the answer shows; evidence, found_id, differing and problem are set */
extern TpmLookResult tpm_look_read(TpmWrite *write, const TpmAnswer *answer);

/* ----- outcome.c ----- */

/* "one", "other" */
extern char *tpm_quoted_names(List *names);

#endif							/* TPM_WRITE_INTERNAL_H */
