/*-------------------------------------------------------------------------
 *
 * option.h
 *		Options of servers, user mappings, tables and columns in parsed form.
 *
 * Promises: every option in parsed form, palloc'd in the caller's memory
 * context and unchanged afterwards; nothing points into the system caches.
 * What depends on who owns the server now is decided at each look.
 * Never: repeats a value that may be a secret, opens a file that whoever
 * asks may not have read, or follows a link that stands for one.
 * Locks: AccessShareLock on a catalog, or on a foreign table while its columns
 * are read; given back at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_OPTION_H
#define TPM_OPTION_H

#include "access/tupdesc.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

#include "base/problem.h"
#include "base/text.h"

typedef enum TpmAuth
{
	TPM_AUTH_OAUTH2,
	TPM_AUTH_BEARER,
	TPM_AUTH_NONE
} TpmAuth;

typedef enum TpmTokenAuth
{
	TPM_TOKEN_AUTH_BASIC,
	TPM_TOKEN_AUTH_POST
} TpmTokenAuth;

typedef enum TpmPagination
{
	TPM_PAGE_LINKS,
	TPM_PAGE_NUMBER,
	TPM_PAGE_NUMBER_BASE64,
	TPM_PAGE_OFFSET
} TpmPagination;

typedef enum TpmSortKeys
{
	TPM_SORT_MANY,				/* sort=a,b */
	TPM_SORT_ONE				/* the first key only */
} TpmSortKeys;

typedef enum TpmListFormat
{
	TPM_LIST_COMMA,
	TPM_LIST_REPEAT
} TpmListFormat;

typedef enum TpmLinksOrigin
{
	TPM_LINKS_STRICT,
	TPM_LINKS_REBASE
} TpmLinksOrigin;

typedef enum TpmMissing
{
	TPM_MISSING_NULL,
	TPM_MISSING_WARN,
	TPM_MISSING_ERROR
} TpmMissing;

typedef enum TpmIpFamily
{
	TPM_IPV4,
	TPM_IPV6,
	TPM_IP_ANY
} TpmIpFamily;

typedef enum TpmUpdateMethod
{
	TPM_UPDATE_PUT,
	TPM_UPDATE_PATCH
} TpmUpdateMethod;

typedef enum TpmUpdateBody
{
	TPM_BODY_FULL,
	TPM_BODY_CHANGED
} TpmUpdateBody;

typedef enum TpmUpdateCheck
{
	TPM_CHECK_REREAD,
	TPM_CHECK_NONE
} TpmUpdateCheck;

typedef enum TpmCacheScope
{
	TPM_SCOPE_QUERY,
	TPM_SCOPE_TABLE
} TpmCacheScope;

/* bits of TpmTable.ops */
#define TPM_OP_READ		0x01
#define TPM_OP_CREATE	0x02
#define TPM_OP_UPDATE	0x04

/*
 * What stands in CREATE SERVER and, for the options marked "S" in the
 * reference, is overridden by CREATE FOREIGN TABLE: a table's copy is the
 * server's with the table's own values laid over it.  A text is NULL when
 * it has no value; times are milliseconds unless named otherwise.
 */
typedef struct TpmOptions
{
	/* the API */
	char	   *base_url;		/* without a trailing slash */
	int			auth;			/* TpmAuth */
	char	   *token_url;		/* absolute, resolved against base_url */
	int			token_auth;		/* TpmTokenAuth */
	char	   *scope;
	char	   *audience;
	char	   *token_parameters;	/* form-encoded pairs: a=b&c=d */
	char	   *media_type;
	char	   *headers;		/* "Name: value" lines */
	char	   *query;			/* a=b&c=d, added to every read */
	char	   *timezone;
	int			invalid_characters; /* TpmInvalidCharacters */
	int			missing_attribute;	/* TpmMissing */

	/* paging and filters */
	int			page_size;
	int			pagination;		/* TpmPagination */
	int			first_page;		/* its number: 0 or 1 */
	char	   *page_parameters;	/* as given, or NULL; see the two below */
	char	   *page_size_parameter;
	char	   *page_number_parameter;
	int			sort_keys;		/* TpmSortKeys */
	char	   *sort_parameter;
	char	   *fields_format;	/* may hold one %s; "": none are asked for */
	char	   *include_parameter;
	char	   *filter_format;	/* holds one %s */
	int			list_format;	/* TpmListFormat */
	int			links_origin;	/* TpmLinksOrigin */
	char	   *total_pointer;	/* RFC 6901, or NULL */
	int			fetch_concurrency;
	int			analyze_pages;
	char	   *custom_fields_attribute;

	/* budget; 0 is no limit */
	int			rate_limit_per_second;
	int			rate_limit_per_minute;
	int			rate_limit_per_hour;
	char	   *rate_limit_group;

	/* cache */
	int			cache_ttl;		/* seconds, 0 off, or TPM_TTL_AUTO */
	int			cache_scope;	/* TpmCacheScope */

	/* transport */
	int			connect_timeout;
	int			request_timeout;
	int			max_retries;
	int64		max_response_size;	/* bytes */
	int			ip_family;		/* TpmIpFamily */
	char	   *proxy;
	char	   *ca_file;
	char	   *client_cert;
	char	   *client_key;
	bool		allow_http;

	/* writes */
	bool		updatable;
	int			update_method;	/* TpmUpdateMethod */
	int			update_body;	/* TpmUpdateBody */
	int			update_check;	/* TpmUpdateCheck */
	char	   *request_id_header;	/* "" is none */
	char	   *conflict_codes; /* as given: 409,422:taken */
	List	   *unacted_statuses;	/* of int: answers to a write that prove
									 * that the API has not acted */
} TpmOptions;

typedef struct TpmServer
{
	Oid			serverid;
	char	   *name;
	Oid			owner;
	bool		owner_is_superuser;
	bool		owner_reads_files;	/* superuser or pg_read_server_files, now */
	TpmOptions	opt;
	char	   *origin;			/* scheme://host:port of base_url, lower case,
								 * port always given */
	uint64		options_hash;	/* over all options as stored */
} TpmServer;

/*
 * What a role sends.  Secrets: never into an error, a log line or a view.
 * A secret given as a file is read by tpm_credential_secret() only when a
 * token is asked for.
 */
typedef struct TpmCredential
{
	Oid			userid;			/* the plan's checkAsUser, or the current user */
	Oid			umid;			/* pg_user_mapping, or InvalidOid (auth none) */
	char	   *client_id;
	char	   *client_secret;
	char	   *client_secret_file;
	char	   *token;
	char	   *token_file;
	char	   *headers;		/* secret header lines, or NULL */
} TpmCredential;

typedef enum TpmColumnKind
{
	TPM_COL_NONE,				/* a dropped column, or a generated one that
								 * no member is named for: computed here */
	TPM_COL_ID,
	TPM_COL_ATTRIBUTE,
	TPM_COL_RELATIONSHIP,
	TPM_COL_INCLUDED,
	TPM_COL_POINTER,
	TPM_COL_CUSTOM_FIELD,
	TPM_COL_FETCHED_AT,
	TPM_COL_PLACEHOLDER			/* named in resource and not mapped to a
								 * member: reads what the path was asked with */
} TpmColumnKind;

/* bits of TpmColumn.filter_operators */
#define TPM_FILTER_EQ	0x01
#define TPM_FILTER_IN	0x02
#define TPM_FILTER_LT	0x04
#define TPM_FILTER_LE	0x08
#define TPM_FILTER_GT	0x10
#define TPM_FILTER_GE	0x20
#define TPM_FILTER_LIKE	0x40
#define TPM_FILTER_NULL	0x80

typedef enum TpmSortNulls
{
	TPM_NULLS_UNKNOWN,
	TPM_NULLS_FIRST,
	TPM_NULLS_LAST,
	TPM_NULLS_ALWAYS_FIRST,
	TPM_NULLS_ALWAYS_LAST
} TpmSortNulls;

typedef struct TpmFilterValue
{
	char	   *sql;			/* the column's value as text */
	char	   *api;			/* what the API wants to read */
} TpmFilterValue;

typedef struct TpmColumn
{
	const struct TpmTable *table;	/* whose column it is */
	AttrNumber	attnum;
	char	   *name;
	Oid			type;
	int32		typmod;
	Oid			collation;
	bool		notnull;
	char		generated;		/* as pg_attribute.attgenerated */
	Expr	   *computed;		/* what a stored one is computed by, where no
								 * member is named for it, else NULL */
	Bitmapset  *computed_from;	/* attnums of columns in it */
	TpmColumnKind kind;
	bool		placeholder;	/* named in resource, whatever its kind */
	bool		explicit_mapping;	/* attribute, relationship, ... was given */

	/*
	 * Names that lead to the value: the attribute's parts, the relationship's
	 * name, (relationship, attribute parts...) for included, the unescaped
	 * tokens of a pointer, the term of a custom field.  List of String nodes.
	 */
	List	   *path;

	char	   *filter;			/* name inside filter_format, or NULL */
	int			filter_operators;
	char	   *filter_ge;		/* full parameter names, or NULL */
	char	   *filter_gt;
	char	   *filter_le;
	char	   *filter_lt;
	char	   *filter_like;
	List	   *filter_values;	/* of TpmFilterValue *, NIL if any value */
	bool		filter_exact;
	bool		sortable;
	int			sort_nulls;		/* TpmSortNulls */
	bool		natural_key;
	bool		read_only;
	bool		created_at;		/* the API's time of creation */
} TpmColumn;

typedef struct TpmTable
{
	Oid			relid;
	char	   *name;			/* schema.table, quoted where needed */
	Oid			owner;
	TpmServer  *server;
	TpmOptions	opt;			/* the server's with the table's laid over */

	char	   *resource;		/* begins with "/", may hold {column} */
	uint64		address;		/* of where it leads: the same for all tables
								 * over one resource, of whatever server */
	char	   *type;
	char	   *include;		/* as given, or NULL */
	List	   *required_filters;	/* of String: column names */
	int			endpoint_per_second;	/* the table's own limits, 0 none */
	int			endpoint_per_minute;
	int			endpoint_per_hour;
	List	   *read_only_members;	/* of String */
	int			ops;
	bool		looks_before_insert;	/* a single INSERT looks for its
										 * natural key first */

	int			natts;
	TpmColumn  *columns;		/* natts of them; [attnum - 1] */
	AttrNumber	id_attnum;		/* 0 if there is none */
	AttrNumber	created_at_attnum;	/* the first column with created_at, 0:
									 * none */
	uint64		options_hash;	/* over all options of table, columns, server
								 * and over the row type */
} TpmTable;

/* option_column.c: the columns, and those that computed ones among them are computed from */
extern Bitmapset *tpm_columns_with_sources(const TpmTable *table, Bitmapset *columns);

/* option_column.c: is the column read from a member of its own, whose absence tells something? */
extern bool tpm_column_has_member(const TpmColumn *column);

/* a pointer into the linkage of a relationship */
extern bool tpm_column_in_linkage(const TpmColumn *column);

/* option_table.c: NULL if the value is good for a foreign table's option of texts, else what is wrong with it */
extern const char *tpm_option_problem(const char *name, const char *value);

/* option_parse.c: the steps of a JSON Pointer that has been checked, of String */
extern List *tpm_pointer_path(const char *pointer);

/* option.c */
extern TpmServer *tpm_get_server(Oid serverid);

/* raises unless the current user has USAGE on it, and it is a server of this wrapper */
extern Oid	tpm_usable_server(const char *name);


/* a foreign table of such a server? */
extern bool tpm_is_our_table(Oid relid);

/* those of a schema, by name; others may drop them meanwhile */
extern List *tpm_tables_of_schema(Oid schema);
extern TpmTable *tpm_get_table(Oid relid);

/* the same; not NULL: what keeps its options from fitting together */
extern TpmProblem *tpm_read_server(Oid serverid, TpmServer **result);
extern TpmProblem *tpm_read_table(Oid relid, TpmTable **result);

/* a foreign table of this name and server in any schema, InvalidOid if there is none */
extern Oid	tpm_server_table(Oid serverid, const char *name);
extern TpmCredential *tpm_get_credential(const TpmServer *server, Oid userid);

/* read where a file holds them; NULL: it may not be used, and *problem says why */
extern char *tpm_credential_secret(const TpmServer *server, const TpmCredential *cred, TpmProblem **problem);
extern char *tpm_credential_token(const TpmServer *server, const TpmCredential *cred, TpmProblem **problem);

/* NULL: the file that this option names may be used */
extern TpmProblem *tpm_check_file_option(const TpmServer *server, const char *option, const char *path);

/*
 * A file's content, zero-terminated, for a role that may read files of the
 * server; option is its name for messages.
 */
extern char *tpm_read_file(const char *option, const char *path, int64 max_size, size_t *len);

#endif							/* TPM_OPTION_H */
