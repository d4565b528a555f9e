/*-------------------------------------------------------------------------
 *
 * page.h
 *		A page of rows, and a place in a list, as data.
 *
 * What those who read lists and those who keep them speak of: no functions
 * belong to it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_PAGE_H
#define TPM_PAGE_H

#include "access/htup.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* columns as bits, by attnum: the first 255 of a table */
#define TPM_SEEN_WORDS	4

/* of the columns that were read from a page, as bits */
typedef struct TpmPageMembers
{
	uint64		seen[TPM_SEEN_WORDS];	/* some resource had the member */
	uint64		lacked[TPM_SEEN_WORDS]; /* some resource had it not */
	uint64		unknown[TPM_SEEN_WORDS];	/* of some resource the answer
											 * does not tell the value:
											 * linkage without data, or to a
											 * resource that is not included */
} TpmPageMembers;

typedef struct TpmRow
{
	HeapTuple	tuple;
	uint64		idhash;			/* tpm_id_hash() */
} TpmRow;

/* a resource that came with a page, as a document of its own */
typedef struct TpmIncluded
{
	char	   *type;
	char	   *id;
	char	   *document;		/* in the encoding of the database */
} TpmIncluded;

/* what a page says of those around it; texts are URI references as given, or NULL */
typedef struct TpmPageLinks
{
	bool		given;			/* there is an object "links" */
	bool		of_pages;		/* with first, last, prev or next, perhaps
								 * null; or a Link header has one */
	char	   *next;
	char	   *prev;
	char	   *first;
} TpmPageLinks;

/*
 * One document.  Lives in the memory context it was read in, with everything
 * it points to.
 */
typedef struct TpmPage
{
	MemoryContext context;
	bool		is_list;		/* "data" was an array */
	int			nrows;
	TpmRow	   *rows;
	TpmPageLinks links;
	int64		total;			/* -1: none */
	TpmPageMembers members;
	List	   *included;		/* of TpmIncluded *: those that were to be
								 * kept */
	TimestampTz received;
	Size		bytes;			/* of all tuples, for accounting */
} TpmPage;

/* where in a list the next page begins */
typedef struct TpmPosition
{
	int			page;			/* pages received */
	int64		rows;			/* resources received, duplicates too */
	int64		offset;			/* in the API's list, which may leave out rows
								 * of a page after it has cut it */
} TpmPosition;

/* why a list that has been read may lack rows */
typedef enum TpmListDoubt
{
	TPM_DOUBT_NONE,
	TPM_DOUBT_SHORT,			/* more were announced: its only answer leads
								 * to no others */
	TPM_DOUBT_MOVED,			/* or two readings did not bring them */
	TPM_DOUBT_UNTOLD,			/* nothing says whether there is another page */
	TPM_DOUBT_EMPTY				/* empty pages that lead on and on */
} TpmListDoubt;

/* where a list goes on; plain data, so that another backend can take it up */
typedef struct TpmListCursor
{
	char	   *url;			/* of the next page; NULL: the list is
								 * complete, or not begun if position.page is
								 * 0 */
	TpmPosition position;
	TpmPosition last;			/* where the page received last begins */
	int			first_page_rows;
	int			page_size;
	int64		total;			/* -1: none told */
	int64		distinct;		/* resources received */
	bool		linked;			/* a page has named a next one */
	bool		by_link;		/* and the next one cannot be computed */
	bool		again;
	bool		restarted;
	bool		continued;		/* what a statement has left is gone on with */
	TpmListDoubt doubt;			/* of a complete one */
} TpmListCursor;

#endif							/* TPM_PAGE_H */
