/*-------------------------------------------------------------------------
 *
 * sample.h
 *		What real pages of a resource show of its members and its paging.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_SAMPLE_H
#define TPM_SAMPLE_H

#include "utils/jsonb.h"

#include "base/idset.h"
#include "client/client.h"
#include "client/list_end.h"

/* more members than this no table has columns for */
#define TPM_MAX_SAMPLED_MEMBERS 2000

/* an entry of a custom-field array */
typedef struct TpmSampleTerm
{
	char	   *term;
	int			seen;			/* TPM_SEEN_* of the elements of its values */
	bool		many;			/* one value had several */
} TpmSampleTerm;

/* a member of attributes or relationships, in the order of the documents */
typedef struct TpmSampleMember
{
	char	   *name;
	int			seen;			/* TPM_SEEN_*, of an attribute */
	List	   *terms;			/* of TpmSampleTerm *, of an attribute that is
								 * a custom-field array */
	bool		told;			/* of a relationship: some resource had
								 * linkage, perhaps null */
	bool		many;			/* of a relationship: linkage was an array */
	List	   *types;			/* of char *: what it was linked to */
} TpmSampleMember;

typedef struct TpmSamplePaging
{
	int			style;			/* TpmPagination; -1: no link told */
	char	   *size_parameter; /* or NULL */
	char	   *position_parameter; /* or NULL */
	int			page_size;		/* that the API gives; 0: as asked for */
	char	   *total_pointer;	/* or NULL */
	int			received;		/* rows of the first page */
	int64		beyond;			/* rows in all, if it has no way to the
								 * others; else 0 */
	bool		untold;			/* nothing says whether it is all */
	bool		from_zero;		/* pages are counted from 0 */
} TpmSamplePaging;

typedef struct TpmSample
{
	char	   *type;			/* NULL: no resource was seen */
	char	   *other_type;		/* NULL: all are of that one */
	int64		rows;
	List	   *attributes;		/* of TpmSampleMember * */
	List	   *relationships;
	TpmSamplePaging paging;
} TpmSample;

typedef struct TpmSampler
{
	const TpmServer *server;
	TpmSession *session;
	int			pages;			/* to look at, of each resource */
	int			page_size;		/* to ask for */
	bool		asks_size;		/* until the API refuses the parameter */
	bool		answered;		/* some resource could be read */
	TpmSamplePaging *paging;	/* the latest that was found, or NULL */
} TpmSampler;

/* tells what n resources will cost and refuses what the budget does not allow; sends nothing */
extern TpmSampler *tpm_sampler_create(const TpmServer *server, int n, int pages);

/* NULL, with a WARNING that says why: the resource cannot be read */
extern TpmSample *tpm_sample_take(TpmSampler *sampler, const char *resource);

/* ----- sample_member.c; what it adds to the sample lives in context ----- */

extern TpmSampleMember *tpm_sample_member(List *members, const char *name);

/* names in the order of the text, which is sound JSON; known holds those of earlier pages */
extern void tpm_sample_names(TpmSample *sample, TpmIdSet *known, MemoryContext context,
							 const char *text);

/* the values; returns how many resources there are.  name is the request's, for errors. */
extern int	tpm_sample_data(TpmSample *sample, Jsonb *document, MemoryContext context,
							const char *name);

extern void tpm_sample_refuse(const char *name, const char *detail);

/* ----- sample_page.c ----- */

/* what a document and its header fields say of other pages, as tpm_document_read() would have it */
extern void tpm_sample_links(Jsonb *document, const TpmAnswer *answer, TpmListFacts *facts);

/* what the first page's links and meta tell; url is what it was asked with */
extern void tpm_sample_paging(const TpmSampler *sampler, Jsonb *document, const char *url,
							  const TpmListFacts *facts, TpmSamplePaging *paging);

/* ----- sample_total.c ----- */

/*
 * A pointer to the total, NULL if none is certain.  most: rows that there can
 * be, -1 not known.
 */
extern char *tpm_sample_total(Jsonb *document, const TpmListFacts *facts, int64 most, int64 *beyond);

#endif							/* TPM_SAMPLE_H */
