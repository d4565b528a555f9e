/*-------------------------------------------------------------------------
 *
 * document_internal.h
 *		A document being read, as the files of the reader see it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_DOCUMENT_INTERNAL_H
#define TPM_DOCUMENT_INTERNAL_H

#include "common/jsonapi.h"

#include "document/convert.h"
#include "document/document.h"

/* deeper than any honest document; below it PostgreSQL's own stack check */
#define TPM_MAX_DEPTH 512

/* what a node means beside the columns that read it */
typedef enum NodeRole
{
	NODE_PLAIN,
	NODE_DATA,
	NODE_INCLUDED,
	NODE_ERRORS,
	NODE_LINKS,
	NODE_NEXT,
	NODE_PREV,
	NODE_FIRST,
	NODE_LAST,
	NODE_ID,
	NODE_TYPE,
	NODE_CUSTOM,				/* array of {id, term, value[]} */
	NODE_CUSTOM_TERM,
	NODE_CUSTOM_VALUE
} NodeRole;

typedef struct DocNode
{
	char	   *name;
	int			namelen;
	bool		is_plain;		/* JSON can spell the name as it is */
	NodeRole	role;
	bool		is_total;
	List	   *columns;		/* of int: attnums that read this value */
	List	   *linkage;		/* of int: attnums that read ids found here */
	List	   *presence;		/* of int: attnums that exist if this member
								 * does */
	List	   *told;			/* of int: attnums whose linkage is known if
								 * this member is there */
	int			nchildren;
	struct DocNode **children;
	int			hint;			/* child after the one found last */
} DocNode;

struct TpmDecoder
{
	const TpmTable *table;
	TupleDesc	tupdesc;
	List	   *secrets;		/* of char * */
	DocNode    *root;
	TpmConverter *converters;	/* [attnum - 1] */
	Bitmapset  *needed;
	List	   *fetched_at;		/* of int */
	List	   *placeholders;	/* of int */
	List	   *fallbacks;		/* of int: in the path, and mapped to a member
								 * as well */
	Datum	   *placeholder_values; /* [attnum - 1] */
	bool	   *placeholder_given;	/* [attnum - 1] */
	uint64		members[TPM_SEEN_WORDS];	/* columns that are read from a
											 * member */
	uint64		linkages[TPM_SEEN_WORDS];	/* columns that rest on linkage */
	List	   *included;		/* of int */
	List	   *kept_types;		/* of char *: resources that a page keeps as
								 * they came */
	List	   *arrays;			/* of int: those that hold ids of a to-many
								 * relationship */
	List	   *custom;			/* of int */
	struct Computing *computing;	/* of generated columns; NULL: none */
	bool		needs_settings;
};

typedef struct Frame
{
	DocNode    *node;
	const char *start;			/* first byte of the container if a column
								 * reads it whole */
	bool		is_array;
} Frame;

typedef struct IncludedResource
{
	char	   *type;
	char	   *id;
	const char *json;
	int			len;
} IncludedResource;

/* a scalar, unescaped and zero-terminated until the next one is read */
typedef struct Token
{
	char	   *text;
	int			len;
	JsonTokenType type;
} Token;

/* the state of one pass */
typedef struct Reader
{
	TpmDecoder *decoder;
	JsonLexContext *lex;
	TpmPage    *page;
	const char *body;
	const char *where;
	TimestampTz received;
	MemoryContext scratch;
	MemoryContext escapes;		/* the string unescaped last */
	int			depth;			/* containers open */
	Frame		stack[TPM_MAX_DEPTH + 1];
	DocNode    *pending;		/* node of the member whose value comes next */
	char	   *value_start;	/* first byte of that value */
	bool		saw_data;
	const char *errors;			/* the value of that member, NULL without one */
	int			errors_len;
	List	   *secrets;		/* that its words must not repeat */
	bool		in_resource;
	char	   *id;
	char	   *type;
	Datum	   *values;
	bool	   *nulls;
	uint64		present[TPM_SEEN_WORDS];	/* members that this resource has */
	uint64		told[TPM_SEEN_WORDS];	/* linkage that it has */
	List	  **links;			/* [attnum - 1]: (id, type) of what is
								 * included */
	ArrayBuildState **arrays;	/* [attnum - 1]: ids of a to-many relationship */
	char	   *custom_term;
	const char *custom_value;
	int			custom_value_len;
	int			space;			/* rows allocated */
	List	   *included;		/* of IncludedResource * */
	char	   *included_id;
	char	   *included_type;
	const char *included_start;
	struct WaitingRow **waiting;	/* one for each row, if any is included */
} Reader;

/* what a row's included columns are looked up by after the last byte */
typedef struct WaitingRow
{
	char	  **linked_id;		/* per entry of decoder->included */
	char	  **linked_type;
} WaitingRow;

/* document.c */

/* HV00M: the answer is something else */
extern void tpm_not_a_document(Reader *reader, const char *detail);

/* document_row.c: members become values, resources become rows of the page */

/* a text that outlives the body; "" for none */
extern char *tpm_token_copy(const Token *token);

/* sets the bits of columns */
extern void tpm_mark_columns(uint64 *words, List *attnums);

/* a member's value: a token, or the text of an object or array */
extern void tpm_store_value(Reader *reader, int attnum, const Token *token, const char *json, int len);
extern void tpm_store_jsonb(Reader *reader, int attnum, JsonbValue *value);
extern void tpm_begin_resource(Reader *reader);
extern void tpm_end_resource(Reader *reader, MemoryContext page_context);

/* relationships and custom fields of the resource at hand */
extern void tpm_end_linkage(Reader *reader, DocNode *node, bool is_array);
extern void tpm_linkage_member(Reader *reader, DocNode *node, const char *name, const Token *token);
extern void tpm_end_custom_field(Reader *reader);

/* the row of the values at hand, with what is computed from them; for the page */
extern HeapTuple tpm_form_row(Reader *reader);

/* document_computed.c: generated columns; NULL if none is needed */
extern struct Computing *tpm_computing_create(const TpmTable *table, TupleDesc tupdesc, Bitmapset *needed);
extern void tpm_compute(struct Computing *computing, Datum *values, bool *nulls);

/* document_included.c: once all is read, what rows were to get from included resources */
extern void tpm_fill_waiting_rows(Reader *reader);

/* error_object.c: the value of "errors" in a success, in the encoding of the database */
extern void tpm_refuse_errors_of_text(const char *json, int len, const char *where);

#endif							/* TPM_DOCUMENT_INTERNAL_H */
