/*-------------------------------------------------------------------------
 *
 * check.h
 *		tpm_fdw_check: what its steps share.
 *
 * Promises: each step is a row that says what was tried, what came of it and,
 * where it is known, the statement that mends it; a step that fails is a row,
 * too, since each runs in a subtransaction.  Needs USAGE on the server.
 * Never: changes an option, a table or a resource of the API (it sends reads
 * only), believes a cached answer, or uses another's user mapping.
 * Locks: AccessShareLock on a catalog, or on one table at a time while it is
 * read; no lock of shared memory is held from one step to the next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CHECK_H
#define TPM_CHECK_H

#include "funcapi.h"

#include "client/client.h"
#include "client/list_end.h"
#include "document/document.h"
#include "request/request.h"

/* ----- check.c ----- */

/* where rows go; prefix is NULL or the table that is being checked */
typedef struct TpmReport
{
	ReturnSetInfo *result;
	const char *prefix;
} TpmReport;

typedef enum TpmStep
{
	TPM_STEP_FAILED,
	TPM_STEP_OK,
	TPM_STEP_NOT_TRIED
} TpmStep;

/* detail and hint may be NULL */
extern void tpm_report(TpmReport *report, const char *step, TpmStep ok, const char *detail,
					   const char *hint);

/* a failed step, in the error's words; its hint if that has none */
extern void tpm_report_error(TpmReport *report, const char *step, const ErrorData *error,
							 const char *hint);

/* the server's foreign tables in a schema (InvalidOid: in all), by name */
extern List *tpm_check_tables(Oid serverid, Oid namespace);

/* a list that needs no value for a path or a required filter */
extern bool tpm_check_can_list(const TpmTable *table);

/* ----- check_server.c ----- */

extern void tpm_check_server(TpmReport *report, const char *server);

/* ----- check_table.c ----- */

/* the most requests that one table costs */
#define TPM_CHECK_REQUESTS	4

/* how it is found out whether members may be named, see check_fields.c */
typedef enum TpmNaming
{
	TPM_NAMING_TRIED,			/* it is known, or nothing is to be named */
	TPM_NAMING_BESIDE,			/* by a request that is sent anyhow */
	TPM_NAMING_ALONE			/* by one of its own */
} TpmNaming;

/* one table that is being checked */
typedef struct TpmTableCheck
{
	TpmReport  *report;
	TpmTable   *table;
	TupleDesc	tupdesc;
	TpmSession *session;
	int			left;			/* requests that may still be sent */

	/* the first page without conditions */
	Jsonb	   *document;
	List	   *resources;		/* of JsonbContainer * */
	TpmListFacts facts;			/* what it tells of others */
	bool		more;			/* there is a next page */
	bool		all;			/* there is none */
	int64		total;			/* -1: none */
	char	   *total_pointer;	/* where it stands, NULL */
	TpmPage    *page;			/* NULL: its values fit no column */
	const TpmColumn *shown_column;	/* a filter that is obeyed ... */
	List	   *shown_values;	/* ... and all its values on the page, NIL:
								 * none */
	bool		hidden_told;	/* whether the list hides rows has been said */
	bool		long_list_told; /* whether a long list of values loses rows
								 * has been said */
	bool		total_told;		/* whether totals count what matches has been
								 * said */
	TpmNaming	naming;
	List	   *keys;			/* natural keys of all pages, of SeenKey * */
	MemoryContext context;		/* they live in */
} TpmTableCheck;

/* the most requests that the table can cost */
extern int	tpm_check_cost(const TpmTable *table);
extern void tpm_check_table(TpmTableCheck *check);

/* one page; NULL if none is left.  Any status is an answer. */
extern TpmAnswer *tpm_check_fetch(TpmTableCheck *check, TpmRequest *request);

/* the same of another page, as the table would ask for it if it were this one */
extern TpmAnswer *tpm_check_fetch_at(TpmTableCheck *check, const TpmTable *table, TpmRequest *request,
									 const TpmPosition *position);
extern TpmAnswer *tpm_check_fetch_one(TpmTableCheck *check, TpmRequest *request);
extern TpmRequest *tpm_check_request(const TpmTableCheck *check);

/* the answer's rows with these columns decoded; the errors of tpm_document_read() */
extern TpmPage *tpm_check_decode(TpmTableCheck *check, const TpmAnswer *answer, Bitmapset *columns);

/* the total of a list document, -1: none */
extern int64 tpm_check_total(const TpmTableCheck *check, const TpmAnswer *answer);

/* "status 400: unknown filter" */
extern char *tpm_check_refusal(const TpmAnswer *answer);

/* is the answer about what was asked for, and not about who asked or when? */
extern bool tpm_check_is_refusal(const TpmAnswer *answer);

/* ----- the parts of a table, each in a file of its name ----- */

/* what the first page tells of others; sets facts, more and all */
extern void tpm_check_read_paging(TpmTableCheck *check, const TpmAnswer *answer);

/* is this number of all rows possible beside the first page? */
extern bool tpm_check_total_agrees(const TpmTableCheck *check, int64 total);

/* reports the page size and, once the total is known, where other pages are */
extern void tpm_check_page_size(TpmTableCheck *check);
extern void tpm_check_paging(TpmTableCheck *check);
extern void tpm_check_members(TpmTableCheck *check);
extern void tpm_check_filters(TpmTableCheck *check);
extern void tpm_check_hidden(TpmTableCheck *check);

/*
 * The filter of the column is obeyed, so it may show what a complete list
 * hides: a term for another request, NULL if there is none; what came of it;
 * and the last word, with a request of its own if one is left.
 */
extern void tpm_check_hidden_filter(TpmTableCheck *check, const TpmColumn *column);
extern TpmTerm *tpm_check_hidden_term(const TpmTableCheck *check);
extern void tpm_check_hidden_compare(TpmTableCheck *check, const TpmPage *page);
extern void tpm_check_hidden_rest(TpmTableCheck *check);
extern void tpm_check_sort(TpmTableCheck *check);
extern void tpm_check_fields(TpmTableCheck *check);

/*
 * The natural keys of a page, whatever it was asked for; and what all pages
 * say of the promise that none comes twice, with a request if one is left.
 */
extern void tpm_check_note_keys(TpmTableCheck *check, const TpmAnswer *answer);
extern void tpm_check_natural_key(TpmTableCheck *check);

/* once the first page is known, and what any request after it is sent by */
extern void tpm_check_begin_naming(TpmTableCheck *check);
extern TpmAnswer *tpm_check_fetch_named(TpmTableCheck *check, TpmRequest *request);

/* what each could cost */
extern int	tpm_check_paging_cost(const TpmTable *table);
extern bool tpm_check_has_filter(const TpmTable *table);
extern bool tpm_check_has_sort(const TpmTable *table);
extern bool tpm_check_has_fields(const TpmTable *table);
extern bool tpm_check_asks_for_keys(const TpmTable *table);

/* the text that a column's value is sent with, NULL: none */
extern char *tpm_check_spell(const TpmTableCheck *check, const TpmColumn *column, HeapTuple row);

/* ----- check_alter.c: statements that mend ----- */

/* options to change, of DefElem * with String values; NULL: to be dropped */
extern List *tpm_alter_option(List *options, const char *name, const char *value);
extern char *tpm_alter_column(const TpmTable *table, const TpmColumn *column, List *options);
extern char *tpm_alter_table(const TpmTable *table, List *options);

#endif							/* TPM_CHECK_H */
