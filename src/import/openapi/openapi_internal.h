/*-------------------------------------------------------------------------
 *
 * openapi_internal.h
 *		What the files that read OpenAPI documents share; nobody else
 *		includes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_OPENAPI_INTERNAL_H
#define TPM_OPENAPI_INTERNAL_H

#include "nodes/pg_list.h"

#include "import/import.h"
#include "import/openapi/openapi_tree.h"
#include "option/option.h"

typedef struct TpmOpenapi
{
	const TpmNode *root;
	const char *where;			/* its name, for messages */
	const TpmImportOptions *options;
	bool		swagger;		/* version 2 */
	bool		anywhere;		/* none of its paths lies below base_url */
	int			warnings;
	int			steps;			/* schemas looked at, for this resource */
	int64		all_steps;
	const char *problem;		/* why a part could not be understood, or NULL */
} TpmOpenapi;

/* ----- openapi.c ----- */

/* the first ones are given, the others counted: a document may be wrong in a million places */
extern void tpm_openapi_warning(TpmOpenapi *api, const char *message, const char *detail);

/* ----- openapi_schema.c: schemas, with references followed and parts laid together ----- */

/* bits of TpmShape.types */
#define TPM_JSON_OBJECT		0x01
#define TPM_JSON_ARRAY		0x02
#define TPM_JSON_STRING		0x04
#define TPM_JSON_NUMBER		0x08
#define TPM_JSON_INTEGER	0x10
#define TPM_JSON_BOOLEAN	0x20

typedef struct TpmShape
{
	int			types;			/* 0: anything */
	const char *format;			/* NULL: none, or several */
	bool		nullable;
	bool		read_only;
	bool		write_only;
	bool		unique;			/* x-unique */
	bool		deprecated;
	const char *description;	/* or NULL */
	const char *minimum;		/* or NULL */
	const char *maximum;		/* or NULL */
	const char *preset;			/* of "default", or NULL */
	const TpmNode *items;		/* of an array, or NULL */
	List	   *words;			/* of char *: the only values there are, NIL:
								 * any */
	List	   *titles;			/* of char * or NULL, one for each of words */
	TpmDict		properties;		/* to TpmNode *, of an object */
	TpmDict		required;		/* names that are always there */
} TpmShape;

/* the node that a reference leads to; NULL if there is none */
extern const TpmNode *tpm_openapi_resolve(TpmOpenapi *api, const TpmNode *node);

/* never NULL; what cannot be followed leaves a shape of anything, and api->problem */
extern TpmShape *tpm_openapi_shape(TpmOpenapi *api, const TpmNode *schema);

/* its property's shape, or NULL */
extern TpmShape *tpm_openapi_property(TpmOpenapi *api, const TpmShape *shape, const char *name);

/* ----- openapi_type.c ----- */

/* the column type for its values, as SQL */
extern const char *tpm_openapi_type(TpmOpenapi *api, const TpmShape *shape);

/* the schema of a parameter, a body or an answer */
extern const TpmNode *tpm_openapi_parameter_schema(const TpmNode *parameter);
extern const TpmNode *tpm_openapi_body_schema(TpmOpenapi *api, const TpmNode *operation);
extern const TpmNode *tpm_openapi_answer_schema(TpmOpenapi *api, const TpmNode *operation);

/* one line of at most some hundred bytes, or NULL */
extern char *tpm_openapi_comment(const char *description, const List *words);

/* ----- openapi_resource.c: operations put together to resources ----- */

typedef struct TpmResource
{
	const char *path;			/* as the document has it */
	const char *resource;		/* below base_url, placeholders as there */
	const TpmNode *list;		/* operations, or NULL; resolved */
	const TpmNode *create;
	const TpmNode *one;
	const TpmNode *put;
	const TpmNode *patch;
	const TpmNode *list_item;	/* path items */
	const TpmNode *one_item;
	int			placeholders;	/* in resource */
	char	   *name;			/* of the table */
} TpmResource;

/* all lists of the document, as TpmResource *, named */
extern List *tpm_openapi_resources(TpmOpenapi *api, const TpmServer *server);

/* the last fixed segment of its path, from which the table's options have their defaults */
extern char *tpm_openapi_last_segment(const TpmResource *known);

/* the parameters of an operation, those of its path among them; of TpmNode *, resolved */
extern List *tpm_openapi_parameters(TpmOpenapi *api, const TpmNode *path_item, const TpmNode *operation);

/* ----- openapi_table.c: a resource as a table ----- */

/* a column under construction */
typedef struct TpmDraftColumn
{
	TpmImportColumn *column;
	const char *member;			/* its attribute or relationship, or NULL */
	const TpmShape *shape;		/* or NULL */
	bool		is_id;
	bool		is_relationship;
	bool		is_attribute;
	bool		always;			/* never NULL, the document says */
	bool		read_only;
	bool		unique;

	/* openapi_filter.c fills these */
	const char *filter;
	const char *filter_operators;
	const char *filter_values;
	const char *bounds[4];		/* filter_ge, filter_gt, filter_le, filter_lt */
	bool		exact;
	bool		sortable;
} TpmDraftColumn;

typedef struct TpmDraft
{
	TpmOpenapi *api;
	const TpmResource *known;
	const TpmImportOptions *options;
	List	   *columns;		/* of TpmDraftColumn * */
	const char *resource;		/* with the columns' names in its braces */
	const char *type;
	bool		has_links;		/* the answer has links to the next page */
	const char *total_pointer;	/* or NULL */
	TpmNames	names;
	TpmDict		attributes;		/* to TpmDraftColumn * */
	TpmDict		relationships;
	TpmDict		left_out;		/* members that are no columns, and are told */
	List	   *resources;		/* of TpmShape *: the resource as each answer
								 * shows it */
	List	   *bodies;			/* of TpmShape *: as each request wants it */

	/* openapi_filter.c fills these */
	bool		has_filters;
	bool		has_parameters; /* any of the query string */
	bool		has_fields;		/* sparse fieldsets among them */
	char	   *query;			/* what every read must carry, or NULL */
	const char *operator;		/* of filter[member][eq], or NULL */
	bool		plain;			/* there are filters without one */
	bool		repeat;			/* filters of several values have keys with [] */
	bool		brackets;		/* filters are named filter[member], else like
								 * their members */
	List	   *required;		/* of char *: columns without which it cannot
								 * be read */
	const char *page_size_parameter;
	const char *page_parameter;
	const char *pagination;		/* or NULL */
	bool		from_zero;		/* pages are counted from 0 */
	int			page_size;		/* 0: not said */
} TpmDraft;

/* why the answer of its list cannot be a table; NULL: it can */
extern const char *tpm_openapi_list_problem(TpmOpenapi *api, const TpmResource *known);

/* NULL, with api->problem, if the resource cannot be a table */
extern TpmImportTable *tpm_openapi_table(TpmOpenapi *api, const TpmResource *known,
										 const TpmImportOptions *options);

/* ----- openapi_column.c: members and placeholders as columns ----- */

extern void tpm_openapi_add_columns(TpmDraft *draft);

/* what neither POST nor PUT takes is marked */
extern void tpm_openapi_mark_read_only(TpmDraft *draft);

/* the path with the names of columns in its braces */
extern const char *tpm_openapi_add_placeholders(TpmDraft *draft);

/* the options, when everything is known */
extern void tpm_openapi_finish_column(TpmDraftColumn *column, bool create, bool trust);

/* ----- openapi_parameter.c: what the parameters of a list are good for ----- */

/* one parameter of the query string, or one member of one that is an object */
typedef struct TpmParameter
{
	const char *name;			/* as it goes into the URL */
	const char *description;
	const TpmNode *node;
	TpmShape   *shape;
	TpmShape   *values;			/* its items' shape if it is an array, else
								 * its own */
	bool		is_list;		/* takes several values, in a comma list */
	bool		required;
} TpmParameter;

extern void tpm_openapi_read_parameters(TpmDraft *draft);

/* ----- openapi_filter.c: filters ----- */

/* of a parameter that is named filter[...]; false: nothing came of it */
extern bool tpm_openapi_read_filter(TpmDraft *draft, const TpmParameter *parameter);

/* of one that is named like a member */
extern bool tpm_openapi_read_bare_filter(TpmDraft *draft, const TpmParameter *parameter);

/* can ranges of its values be asked for? */
extern bool tpm_openapi_has_range(const TpmDraftColumn *column);

extern bool tpm_openapi_holds_word(const List *words, const char *word);
extern bool tpm_openapi_has_control(const char *text);

/* ----- openapi_load.c: the document itself ----- */

extern const TpmNode *tpm_openapi_load(const TpmServer *server, const char *document);

#endif							/* TPM_OPENAPI_INTERNAL_H */
