/*-------------------------------------------------------------------------
 *
 * document_shape.h
 *		What a body is at first sight, told without an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_DOCUMENT_SHAPE_H
#define TPM_DOCUMENT_SHAPE_H

typedef struct TpmShape
{
	bool		is_json;		/* one whole value, not nested too deeply */
	bool		is_object;
	bool		is_document;	/* an object whose "data", once, is null, a
								 * resource object or a list of those */
	bool		is_text;		/* all of it can be in text of the database:
								 * else tpm_document_read() may refuse it */
	bool		has_data;		/* whatever it is */
	bool		has_meta;
	bool		has_errors;		/* that say something: neither null, false nor
								 * empty */
	bool		is_list;		/* "data" is one */
	int64		nresources;		/* in "data" */
	char	   *type;			/* of the only one; NULL: it has none, or one */
	char	   *id;				/* that the database cannot hold */
} TpmShape;

/*
 * For those to whom an answer that cannot be read is an answer, too.  Reads
 * once and changes nothing; texts are in the current memory context.  Throws
 * nothing but "out of memory" and interrupts.
 */
extern void tpm_document_shape(const char *body, size_t len, TpmShape *shape);

#endif							/* TPM_DOCUMENT_SHAPE_H */
