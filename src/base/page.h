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
	bool		next_known;		/* links.next was there, perhaps null */
	char	   *next;			/* links.next as given, NULL if none or null */
	char	   *last;			/* links.last as given, NULL */
	int64		total;			/* -1: none */
	TpmPageMembers members;
	Size		bytes;			/* of all tuples, for accounting */
} TpmPage;

/* where in a list the next page begins */
typedef struct TpmPosition
{
	int			page;			/* pages received */
	int64		rows;			/* resources received, duplicates too */
} TpmPosition;

/* where a list goes on; plain data, so that another backend can take it up */
typedef struct TpmListCursor
{
	char	   *url;			/* of the next page; NULL: the list is
								 * complete, or not begun if position.page is
								 * 0 */
	TpmPosition position;
	int			first_page_rows;
	int			page_size;
	int64		total;			/* -1: none told */
	bool		again;
	bool		restarted;
} TpmListCursor;

#endif							/* TPM_PAGE_H */
