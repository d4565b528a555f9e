/*-------------------------------------------------------------------------
 *
 * request.h
 *		A read as data, and how it is spelled in a URL.
 *
 * Promises: the one spelling of a request: path, filters, order, members and
 * page in the URL, columns of a row in the body; equal conditions are equal
 * texts, so that the cache can go by them.
 * Never: sends anything, or decides what is asked for and whether a row is
 * sent.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_REQUEST_H
#define TPM_REQUEST_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "base/page.h"
#include "option/option.h"

/* one parameter that selects rows */
typedef struct TpmTerm
{
	char	   *parameter;		/* its whole name: filter[status] */
	List	   *values;			/* of char *, never NIL */
	AttrNumber	attnum;			/* of the column that they are values of, 0:
								 * they are bounds, or nobody asks */
} TpmTerm;

/* the members to give of resources of a type */
typedef struct TpmFields
{
	const char *type;
	char	   *members;		/* value of the fields parameter */
} TpmFields;

/* one list, or one resource by id */
typedef struct TpmRequest
{
	char	   *path;			/* percent-encoded, relative to base_url */
	char	   *shown_path;		/* the same for people */
	bool		by_id;
	List	   *terms;			/* of TpmTerm * */
	char	   *sort;			/* value of the sort parameter, or NULL */
	char	   *key_sort;		/* the same, where its rows are of several
								 * keys and wanted key by key, or NULL */
	char	   *fields;			/* value of the fields parameter, or NULL */
	char	   *include;		/* value of the include parameter, where it is
								 * more than the table's own, or NULL */
	List	   *fields_of_included; /* of TpmFields * */
	int			page_size;		/* asked for; 0 by id */
	bool		may_tie;		/* rows may be equal in its order */
	const char *bounds;			/* which list it is, where it is left at
								 * bounds in its order; NULL: it is not */
	bool		total_in_doubt; /* its total is the one without filters, too */
} TpmRequest;

/*
 * The path of the table's resource.  values[attnum - 1] is the text for each
 * column that a {placeholder} names.  NULL when a value cannot be one segment
 * of a path (empty, "." or ".."): then no resource can have it.  With shown,
 * nothing is encoded.
 */
extern char *tpm_request_path(const TpmTable *table, char **values, bool shown);

/* do conditions give parts of the path? */
extern bool tpm_request_path_has_columns(const TpmTable *table);

/* is one resource asked for by a path of its own, rather than by a filter of the list? */
extern bool tpm_request_has_id_path(const TpmTable *table);

/* the path of one resource of the list at path; NULL as above */
extern char *tpm_request_id_path(const char *path, const char *id, bool shown);

/* parameter name of a column's plain filter */
extern char *tpm_request_filter_name(const TpmTable *table, const TpmColumn *column);

/*
 * The option query may hold the parameter of a filter: then the table is what
 * its list of values gives, and a filter for some of these values is sent in
 * its place.  False: one of the values is not in that list, so the filter
 * must not be sent.
 */
extern bool tpm_request_query_allows(const TpmTable *table, const char *parameter, List *values);

/* absolute URL of the page at the position; all of it percent-encoded */
extern char *tpm_request_url(const TpmTable *table, const TpmRequest *request,
							 const TpmPosition *position);

/*
 * The conditions as one text, the same for the same rows: path, filters and
 * the table's own parameters, without order, page or members.
 */
extern char *tpm_request_conditions(const TpmTable *table, const TpmRequest *request);

/* "/third_parties?filter[status]=Active&sort=-updated_at", for people */
extern char *tpm_request_show(const TpmTable *table, const TpmRequest *request);

/* bytes of the URL that values take, as a list of one parameter */
extern size_t tpm_request_list_length(const List *values);

/* and what values of an IN list may take together */
#define TPM_MAX_LIST_BYTES	4000

/* and all filters of a URL; many servers take 8,000 bytes in all */
#define TPM_MAX_FILTER_BYTES	6000

/* the name under which the API sorts by a column */
extern char *tpm_request_sort_name(const TpmColumn *column);

/* the member to ask for in a sparse fieldset, NULL where it is none or all */
extern char *tpm_request_member(const TpmTable *table, const TpmColumn *column);

/* two values of the fields or the include parameter as one, each name once */
extern char *tpm_request_join(const char *names, const char *more);

/*
 * The members that a query of these columns reads (IntList of attnums), as the
 * value of the fields parameter; NULL where only all of them will do.
 */
extern char *tpm_request_fields(const TpmTable *table, List *columns);

#endif							/* TPM_REQUEST_H */
