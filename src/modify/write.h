/*-------------------------------------------------------------------------
 *
 * write.h
 *		Writes with certainty: each is sent once, or its outcome is found out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_WRITE_H
#define TPM_WRITE_H

#include "nodes/execnodes.h"

#include "base/idset.h"
#include "client/client.h"
#include "compat.h"
#include "document/document.h"
#include "modify/abort_report.h"
#include "option/option.h"
#include "request/body.h"

/* one statement's writes to one table */
typedef struct TpmWriter
{
	TpmTable   *table;
	TpmSession *session;
	EState	   *estate;
	ResultRelInfo *rinfo;
	TupleDesc	tupdesc;
	uint64		resource;		/* for the cache */
	TpmDecoder *all;			/* decodes every column */
	TpmDecoder *brief;			/* the id only */
	bool		wants_row;		/* somebody looks at what the API answers */
	bool		do_nothing;		/* ON CONFLICT DO NOTHING */
	MemoryContext context;		/* lives as long as the statement */
	MemoryContext batch_context;	/* of the rows being written */
	int64		mark;			/* writes of the transaction before this
								 * statement */
	int64		rows;			/* rows looked at, to number them */
	int64		slowest_us;		/* of the session, as other sessions know it */
	bool		admitted;		/* an UPDATE whose number of rows was known */
	TpmIdSet   *updated;		/* ids that this statement has updated */
} TpmWriter;

/* one row on its way */
typedef struct TpmWrite
{
	TpmWriter  *writer;
	MemoryContext context;
	TupleTableSlot *slot;
	int64		row;			/* its number in the statement, from 1 */
	const char *method;
	char	   *list_path;		/* encoded, relative to base_url */
	char	   *shown_list;		/* the same for people */
	char	   *shown;			/* its own path, for people */
	char	   *url;
	char	   *body;
	char	   *id;				/* NULL: not known yet */
	char	   *key;			/* natural key for messages, NULL: none */
	char	   *request_id;
	Bitmapset  *columns;		/* that are set */
	HeapTuple	tuple;			/* what the API answers, NULL: nothing yet */
	TupleTableSlot *old_slot;	/* of an UPDATE */

	TpmSent    *sent;
	TpmCall    *call;
	char	   *name;			/* "POST /v1/third_parties" */
	int			sendings;		/* calls begun */
	uint64		journal;		/* its number there; 0: it has not left */
	int			status;			/* of the last answer, 0 none */
} TpmWrite;

/* how it ended */
typedef enum TpmWriteEnd
{
	TPM_WRITE_DONE,
	TPM_WRITE_REFUSED,			/* the API did not act, and says so */
	TPM_WRITE_UNKNOWN
} TpmWriteEnd;

/* ----- writer.c ----- */

/* does anybody look at the row that comes back? */
extern bool tpm_row_is_wanted(const ResultRelInfo *rinfo);

/* sends nothing */
extern TpmWriter *tpm_writer_create(EState *estate, ResultRelInfo *rinfo, Oid userid);

/*
 * Reads every open scan of the resource to its end: no list is changed while
 * it is paged.  Returns what tpm_scans_drain() does.
 */
extern int64 tpm_writer_drain(TpmWriter *writer, Index feeding_rti);

/*
 * Before the first request of n more rows: the switches, open scans, the cap
 * and the budget.  each: requests that a row costs.  n_after: rows that are
 * known to follow, 0 if that is not known.
 */
extern void tpm_writer_admit(TpmWriter *writer, int64 n, int64 n_after, int each);

/* a row to be written with this method; its path is built from the slot */
extern TpmWrite *tpm_write_create(TpmWriter *writer, const char *method, TupleTableSlot *slot,
								  char *id);

/* columns that only the path holds: to be called before an answer is decoded */
extern void tpm_write_set_placeholders(TpmWrite *write);

/* begins a call for it; what it has become is told by tpm_write_settle() */
extern void tpm_write_send(TpmWrite *write, const char *etag);
extern void tpm_write_settle(TpmWrite *write, TpmWriteEnd end);

/* no answer came: unknown, until tpm_write_settle() knows more */
extern void tpm_write_doubt(TpmWrite *write);

/* shows it instead of sending it */
extern void tpm_write_show(TpmWrite *write);

/* the row cannot be addressed; values as tpm_body_placeholders() gives them */
pg_noreturn extern void tpm_raise_no_path(const TpmWriter *writer, char **values, const char *id);

/* "row 3 (internal_id = V-3)" */
extern char *tpm_write_row_name(const TpmWrite *write);

/* other writes of the statement, for a message; NULL if there were none */
extern char *tpm_writer_beside(const TpmWriter *writer);

pg_noreturn extern void tpm_raise_unknown(const TpmWrite *write, const char *problem);

/* ----- answer.c ----- */

/* reads the answer to a write; false: it is no answer of this API */
extern bool tpm_write_read_answer(TpmWrite *write, TpmAnswer *answer);

/* the resource by its id; NULL: 404.  *answer holds body and ETag. */
extern HeapTuple tpm_write_fetch(TpmWrite *write, TpmAnswer **answer);

/* puts what the API answered into the slot; fetches it if there was no body */
extern void tpm_write_return(TpmWrite *write);

/* ----- lookup.c ----- */

typedef enum TpmLookup
{
	TPM_LOOKUP_FOUND,			/* tuple and id of the write are set */
	TPM_LOOKUP_NOTHING,
	TPM_LOOKUP_FAILED			/* *problem says why */
} TpmLookup;

/* looks for the row by its natural key in the API, past the cache */
extern TpmLookup tpm_write_lookup(TpmWrite *write, char **problem);

/* ----- insert.c ----- */

/*
 * Creates n rows, several side by side.  inserted[i] is false for one that
 * exists already under ON CONFLICT DO NOTHING.
 */
extern void tpm_writer_insert(TpmWriter *writer, TupleTableSlot **slots, int n, bool *inserted);

/* ----- update.c ----- */

/*
 * False: there was no row to update, or this statement has updated it before.
 * Runs in batch_context.
 */
extern bool tpm_writer_update(TpmWriter *writer, TupleTableSlot *slot, TupleTableSlot *old_slot,
							  char *id);

/*
 * linkage_page.c: makes known what rows with values in these columns (attnums)
 * need.  May send one GET for a page of the list at path, once a session and
 * table.
 */
extern void tpm_linkage_prepare(TpmSession *session, const char *path, Bitmapset *columns);

#endif							/* TPM_WRITE_H */
