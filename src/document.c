/*-------------------------------------------------------------------------
 *
 * document.c
 *		A JSON:API document to rows, links and totals, in one pass.
 *
 * The only place that knows the shape of a document.  A scan compiles what it
 * wants to know into a tree of member names; PostgreSQL's JSON parser then
 * walks the body once, and this file walks the tree beside it.  A member that
 * is not in the tree is skipped with everything below it, unbuilt.
 *
 * The parser is told not to unescape: it would copy every string byte by byte,
 * of which most are never looked at.  Names and values are read where they
 * stand in the body, and only one that holds an escape is made into a copy.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "compat.h"
#include "convert.h"
#include "document.h"

/* deeper than any honest document; below it PostgreSQL's own stack check */
#define TPM_MAX_DEPTH 512

/* what a node means beside the columns that read it */
typedef enum NodeRole
{
	NODE_PLAIN,
	NODE_DATA,
	NODE_INCLUDED,
	NODE_NEXT,
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
	int			nchildren;
	struct DocNode **children;
	int			hint;			/* child after the one found last */
} DocNode;

struct TpmDecoder
{
	const TpmTable *table;
	TupleDesc	tupdesc;
	DocNode    *root;
	TpmConverter *converters;	/* [attnum - 1] */
	Bitmapset  *needed;
	List	   *fetched_at;		/* of int */
	List	   *placeholders;	/* of int */
	Datum	   *placeholder_values; /* [attnum - 1] */
	List	   *included;		/* of int */
	List	   *arrays;			/* of int: those that hold ids of a to-many
								 * relationship */
	List	   *custom;			/* of int */
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
	bool		in_resource;
	char	   *id;
	char	   *type;
	Datum	   *values;
	bool	   *nulls;
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

/* ----- compiling ----- */

static DocNode *
child_of(DocNode *parent, const char *name)
{
	DocNode    *node;

	for (int i = 0; i < parent->nchildren; i++)
		if (strcmp(parent->children[i]->name, name) == 0)
			return parent->children[i];
	node = palloc0(sizeof(DocNode));
	node->name = pstrdup(name);
	node->namelen = strlen(name);
	node->is_plain = (strpbrk(name, "\"\\") == NULL);
	if (parent->nchildren == 0)
		parent->children = palloc(sizeof(DocNode *));
	else
		parent->children = repalloc(parent->children, (parent->nchildren + 1) * sizeof(DocNode *));
	parent->children[parent->nchildren++] = node;
	return node;
}

static DocNode *
descend(DocNode *node, List *path)
{
	ListCell   *lc;

	foreach(lc, path)
		node = child_of(node, strVal(lfirst(lc)));
	return node;
}

static void
compile_relationship(DocNode *resource, const TpmColumn *column)
{
	DocNode    *member = child_of(child_of(resource, "relationships"), strVal(linitial(column->path)));
	DocNode    *data = child_of(member, "data");

	member->presence = lappend_int(member->presence, column->attnum);
	data->linkage = lappend_int(data->linkage, column->attnum);
	child_of(data, "id");
	child_of(data, "type");
}

static void
compile_custom(TpmDecoder *decoder, DocNode *resource)
{
	char	   *copy = pstrdup(decoder->table->opt.custom_fields_attribute);
	DocNode    *node = child_of(resource, "attributes");
	char	   *save;

	for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save))
		node = child_of(node, part);
	node->role = NODE_CUSTOM;
	child_of(node, "term")->role = NODE_CUSTOM_TERM;
	child_of(node, "value")->role = NODE_CUSTOM_VALUE;
}

static void
compile_column(TpmDecoder *decoder, DocNode *resource, const TpmColumn *column)
{
	DocNode    *node;

	switch (column->kind)
	{
		case TPM_COL_NONE:
			return;
		case TPM_COL_ID:
			node = child_of(resource, "id");
			node->columns = lappend_int(node->columns, column->attnum);
			break;
		case TPM_COL_ATTRIBUTE:
			node = descend(child_of(resource, "attributes"), column->path);
			node->columns = lappend_int(node->columns, column->attnum);
			break;
		case TPM_COL_POINTER:
			node = descend(resource, column->path);
			node->columns = lappend_int(node->columns, column->attnum);
			break;
		case TPM_COL_RELATIONSHIP:
			compile_relationship(resource, column);
			if (column->type == TEXTARRAYOID)
				decoder->arrays = lappend_int(decoder->arrays, column->attnum);
			break;
		case TPM_COL_INCLUDED:
			compile_relationship(resource, column);
			decoder->included = lappend_int(decoder->included, column->attnum);
			break;
		case TPM_COL_CUSTOM_FIELD:
			if (decoder->custom == NIL)
				compile_custom(decoder, resource);
			decoder->custom = lappend_int(decoder->custom, column->attnum);
			break;
		case TPM_COL_FETCHED_AT:
			decoder->fetched_at = lappend_int(decoder->fetched_at, column->attnum);
			break;
		case TPM_COL_PLACEHOLDER:
			decoder->placeholders = lappend_int(decoder->placeholders, column->attnum);
			break;
	}
	if (tpm_conversion_needs_settings(&decoder->converters[column->attnum - 1]))
		decoder->needs_settings = true;
}

/* RFC 6901, section 4: ~1 is a slash, ~0 a tilde */
static char *
unescape_pointer(const char *token)
{
	char	   *result = palloc(strlen(token) + 1);
	char	   *to = result;

	for (; *token; token++)
	{
		if (token[0] == '~' && (token[1] == '0' || token[1] == '1'))
			*to++ = *++token == '0' ? '~' : '/';
		else
			*to++ = *token;
	}
	*to = '\0';
	return result;
}

static DocNode *
descend_pointer(DocNode *node, const char *pointer)
{
	char	   *copy = pstrdup(pointer + 1);

	for (char *part = copy; part;)
	{
		char	   *slash = strchr(part, '/');

		if (slash)
			*slash = '\0';
		node = child_of(node, unescape_pointer(part));
		part = slash ? slash + 1 : NULL;
	}
	return node;
}

TpmDecoder *
tpm_decoder_create(const TpmTable *table, TupleDesc tupdesc, Bitmapset *needed)
{
	TpmDecoder *decoder = palloc0(sizeof(TpmDecoder));
	DocNode    *root = palloc0(sizeof(DocNode));
	DocNode    *data = child_of(root, "data");
	DocNode    *links = child_of(root, "links");

	decoder->table = table;
	decoder->tupdesc = tupdesc;
	decoder->root = root;
	decoder->needed = needed;
	decoder->converters = palloc0(sizeof(TpmConverter) * table->natts);
	decoder->placeholder_values = palloc0(sizeof(Datum) * table->natts);
	data->role = NODE_DATA;
	child_of(data, "id")->role = NODE_ID;
	child_of(data, "type")->role = NODE_TYPE;
	child_of(links, "next")->role = NODE_NEXT;
	child_of(child_of(links, "next"), "href")->role = NODE_NEXT;
	child_of(links, "last")->role = NODE_LAST;
	child_of(child_of(links, "last"), "href")->role = NODE_LAST;
	if (table->opt.total_pointer)
		descend_pointer(root, table->opt.total_pointer)->is_total = true;

	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (column->kind == TPM_COL_NONE || (needed && !bms_is_member(column->attnum, needed)))
			continue;
		tpm_converter_init(&decoder->converters[i], column);
		compile_column(decoder, data, column);
	}
	if (decoder->included != NIL)
	{
		DocNode    *included = child_of(root, "included");

		included->role = NODE_INCLUDED;
		child_of(included, "id");
		child_of(included, "type");
	}
	return decoder;
}

void
tpm_decoder_set_placeholder(TpmDecoder *decoder, AttrNumber attnum, Datum value)
{
	decoder->placeholder_values[attnum - 1] = value;
}

/* ----- one pass ----- */

static void
not_a_document(Reader *reader, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("the answer to %s is not a JSON:API document", reader->where),
			 errdetail("%s", detail)));
}

/*
 * What the parser would have made of a string, which begins with its quote.
 * It lasts until the next one: escapes may be all that a document holds.
 */
static char *
unescape(Reader *reader, const char *string, int len)
{
	JsonLexContext *lex;
	JsonParseErrorType error;
	MemoryContext old;

	MemoryContextReset(reader->escapes);
	old = MemoryContextSwitchTo(reader->escapes);
	lex = tpm_make_lexer(string, len, GetDatabaseEncoding(), true);
	error = json_lex(lex);
	MemoryContextSwitchTo(old);
	if (error != JSON_SUCCESS)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the answer to %s is not a JSON:API document", reader->where),
				 errdetail_internal("%s", json_errdetail(error, lex))));
	return lex->strval->data;
}

/*
 * Is this the member's name, whose closing quote is at end?  A quote inside a
 * string follows a backslash, the one that opens it never does.
 */
static inline bool
is_name(const Reader *reader, const DocNode *node, const char *end)
{
	const char *start = end - node->namelen;

	return node->is_plain && start - reader->body >= 2 && start[-1] == '"' && start[-2] != '\\' &&
		memcmp(start, node->name, node->namelen) == 0;
}

static DocNode *
find_escaped_child(Reader *reader, DocNode *node, const char *end)
{
	const char *start = end - 1;
	char	   *name;

	while (*start != '"' || start[-1] == '\\')
		start--;
	if (memchr(start, '\\', end - start) == NULL)
		return NULL;
	name = unescape(reader, start, end + 1 - start);
	for (int i = 0; i < node->nchildren; i++)
		if (strcmp(node->children[i]->name, name) == 0)
			return node->children[i];
	return NULL;
}

/* the member whose colon has just been read */
static DocNode *
find_child(Reader *reader, DocNode *node)
{
	const char *end = reader->lex->prev_token_terminator - 2;

	while (*end != '"')
		end--;
	/* members come in the same order in every resource of a page */
	for (int i = 0, at = node->hint; i < node->nchildren; i++, at++)
	{
		if (at >= node->nchildren)
			at = 0;
		if (is_name(reader, node->children[at], end))
		{
			node->hint = at + 1;
			return node->children[at];
		}
	}
	return find_escaped_child(reader, node, end);
}

static void
mark_seen(Reader *reader, List *attnums)
{
	ListCell   *lc;

	foreach(lc, attnums)
	{
		MemoryContext old;

		if (bms_is_member(lfirst_int(lc), reader->page->seen))
			continue;
		old = MemoryContextSwitchTo(reader->page->context);
		reader->page->seen = bms_add_member(reader->page->seen, lfirst_int(lc));
		MemoryContextSwitchTo(old);
	}
}

typedef struct ValueContext
{
	Reader	   *reader;
	const TpmColumn *column;
	const char *value;
	int			len;
} ValueContext;

static void
value_error(void *arg)
{
	ValueContext *at = arg;

	errcontext("value \"%.*s\" of column \"%s\" of resource \"%s\" in %s",
			   pg_mbcliplen(at->value, at->len, 60), at->value, at->column->name,
			   at->reader->id ? at->reader->id : "?", at->reader->where);
}

static char *
copy_of(const Token *token)
{
	char	   *copy = palloc(token->len + 1);

	memcpy(copy, token->text, token->len + 1);
	return copy;
}

static void
store_value(Reader *reader, int attnum, const Token *token, const char *json, int len)
{
	TpmConverter *converter = &reader->decoder->converters[attnum - 1];
	Datum	   *value = &reader->values[attnum - 1];
	ValueContext at = {reader, converter->column, token ? token->text : json, token ? token->len : len};
	ErrorContextCallback context = {error_context_stack, value_error, &at};
	bool		present;

	error_context_stack = &context;
	present = token ? tpm_convert_scalar(converter, token->text, token->len, token->type, value)
		: tpm_convert_container(converter, json, len, value);
	reader->nulls[attnum - 1] = !present;
	error_context_stack = context.previous;
}

static void
store_jsonb(Reader *reader, int attnum, JsonbValue *value)
{
	Token		token;

	switch (value->type)
	{
		case jbvString:
			token.text = pnstrdup(value->val.string.val, value->val.string.len);
			token.type = JSON_TOKEN_STRING;
			break;
		case jbvNumeric:
			token.text = DatumGetCString(DirectFunctionCall1(numeric_out,
															 NumericGetDatum(value->val.numeric)));
			token.type = JSON_TOKEN_NUMBER;
			break;
		case jbvBool:
			token.text = pstrdup(value->val.boolean ? "true" : "false");
			token.type = value->val.boolean ? JSON_TOKEN_TRUE : JSON_TOKEN_FALSE;
			break;
		default:
			return;
	}
	token.len = strlen(token.text);
	store_value(reader, attnum, &token, NULL, 0);
}

static void
begin_resource(Reader *reader)
{
	int			natts = reader->decoder->tupdesc->natts;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(reader->scratch);
	MemoryContextSwitchTo(reader->scratch);
	reader->in_resource = true;
	reader->id = reader->type = NULL;
	reader->values = palloc0(natts * sizeof(Datum));
	reader->nulls = palloc(natts * sizeof(bool));
	memset(reader->nulls, true, natts * sizeof(bool));
	if (reader->decoder->included != NIL)
		reader->links = palloc0(natts * sizeof(List *));
	if (reader->decoder->arrays != NIL)
		reader->arrays = palloc0(natts * sizeof(ArrayBuildState *));
}

static void
finish_arrays(Reader *reader)
{
	ListCell   *lc;

	foreach(lc, reader->decoder->arrays)
	{
		int			i = lfirst_int(lc) - 1;

		if (reader->arrays[i])
		{
			reader->values[i] = makeArrayResult(reader->arrays[i], reader->scratch);
			reader->nulls[i] = false;
		}
	}
}

static void
fill_fixed_columns(Reader *reader)
{
	TpmDecoder *decoder = reader->decoder;
	ListCell   *lc;

	foreach(lc, decoder->fetched_at)
	{
		reader->values[lfirst_int(lc) - 1] = TimestampTzGetDatum(reader->received);
		reader->nulls[lfirst_int(lc) - 1] = false;
	}
	foreach(lc, decoder->placeholders)
	{
		reader->values[lfirst_int(lc) - 1] = decoder->placeholder_values[lfirst_int(lc) - 1];
		reader->nulls[lfirst_int(lc) - 1] = (reader->values[lfirst_int(lc) - 1] == (Datum) 0);
	}
}

static uint64
hash_of_id(const char *type, const char *id)
{
	uint64		hash;

	if (id == NULL)
		return 0;
	hash = hash_bytes_extended((const unsigned char *) id, strlen(id), 0);
	if (type)
		hash = hash_bytes_extended((const unsigned char *) type, strlen(type), hash);
	return hash ? hash : 1;
}

/* a foreign row has no transaction: its system columns read as nothing */
static HeapTuple
form_row(TupleDesc tupdesc, Datum *values, bool *nulls)
{
	HeapTuple	tuple = heap_form_tuple(tupdesc, values, nulls);

	HeapTupleHeaderSetXmax(tuple->t_data, InvalidTransactionId);
	HeapTupleHeaderSetXmin(tuple->t_data, InvalidTransactionId);
	HeapTupleHeaderSetCmin(tuple->t_data, InvalidTransactionId);
	return tuple;
}

static void
add_row(Reader *reader, HeapTuple tuple, uint64 idhash)
{
	TpmPage    *page = reader->page;

	if (page->nrows == reader->space)
	{
		reader->space *= 2;
		page->rows = repalloc_huge(page->rows, reader->space * sizeof(TpmRow));
		if (reader->waiting)
			reader->waiting = repalloc_huge(reader->waiting, reader->space * sizeof(WaitingRow *));
	}
	page->rows[page->nrows].tuple = tuple;
	page->rows[page->nrows++].idhash = idhash;
	page->bytes += MAXALIGN(tuple->t_len);
}

static void
keep_waiting_row(Reader *reader, MemoryContext page_context)
{
	MemoryContext old = MemoryContextSwitchTo(page_context);
	int			nincluded = list_length(reader->decoder->included);
	WaitingRow *row = palloc0(sizeof(WaitingRow));
	HeapTuple	tuple = form_row(reader->decoder->tupdesc, reader->values, reader->nulls);
	int			n = 0;
	ListCell   *lc;

	/* the values live in scratch memory: keep them as a tuple until then */
	add_row(reader, tuple, hash_of_id(reader->type, reader->id));
	row->linked_id = palloc0(2 * nincluded * sizeof(char *));
	row->linked_type = row->linked_id + nincluded;
	foreach(lc, reader->decoder->included)
	{
		List	   *link = reader->links[lfirst_int(lc) - 1];

		if (link != NIL)
		{
			row->linked_id[n] = pstrdup(linitial(link));
			if (list_length(link) > 1)
				row->linked_type[n] = pstrdup(lsecond(link));
		}
		n++;
	}
	reader->waiting[reader->page->nrows - 1] = row;
	MemoryContextSwitchTo(old);
}

/* what is of another type has members of other meanings */
static void
check_type(Reader *reader)
{
	const TpmTable *table = reader->decoder->table;

	if (reader->type == NULL || strcmp(reader->type, table->type) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("the answer to %s holds a resource of type \"%s\"", reader->where, reader->type),
			 errdetail("The type of foreign table %s is \"%s\".", table->name, table->type),
			 errhint("Correct the option type, or resource, of the foreign table.")));
}

static void
end_resource(Reader *reader, MemoryContext page_context)
{
	reader->in_resource = false;
	if (reader->type == NULL && reader->id == NULL)
		not_a_document(reader, "A resource object has neither \"type\" nor \"id\".");
	check_type(reader);
	fill_fixed_columns(reader);
	finish_arrays(reader);
	if (reader->decoder->included != NIL)
		keep_waiting_row(reader, page_context);
	else
	{
		HeapTuple	tuple;

		MemoryContextSwitchTo(page_context);
		tuple = form_row(reader->decoder->tupdesc, reader->values, reader->nulls);
		add_row(reader, tuple, hash_of_id(reader->type, reader->id));
	}
	MemoryContextSwitchTo(page_context);
}

/* the ids of a relationship's linkage have all been read */
static void
end_linkage(Reader *reader, DocNode *node, bool is_array)
{
	ListCell   *lc;

	foreach(lc, node->linkage)
	{
		int			attnum = lfirst_int(lc);
		const TpmColumn *column = &reader->decoder->table->columns[attnum - 1];

		if (column->kind == TPM_COL_RELATIONSHIP && column->type == TEXTARRAYOID && is_array &&
			reader->nulls[attnum - 1])
		{
			reader->values[attnum - 1] = PointerGetDatum(construct_empty_array(TEXTOID));
			reader->nulls[attnum - 1] = false;
		}
	}
}

/* "id" or "type" inside the linkage that node describes */
static void
linkage_member(Reader *reader, DocNode *node, const char *name, const Token *token)
{
	ListCell   *lc;

	foreach(lc, node->linkage)
	{
		int			attnum = lfirst_int(lc);
		const TpmColumn *column = &reader->decoder->table->columns[attnum - 1];

		if (column->kind == TPM_COL_INCLUDED)
		{
			List	  **link = &reader->links[attnum - 1];

			/* (id, type), in this order; only the first of a to-many counts */
			if (list_length(*link) < 2)
				*link = name[0] == 'i' ? lcons(copy_of(token), *link) : lappend(*link, copy_of(token));
		}
		else if (name[0] != 'i')
			continue;
		else if (column->type == TEXTARRAYOID)
			reader->arrays[attnum - 1] =
				accumArrayResult(reader->arrays[attnum - 1],
								 PointerGetDatum(cstring_to_text_with_len(token->text, token->len)),
								 false, TEXTOID, reader->scratch);
		else if (reader->nulls[attnum - 1])
			store_value(reader, attnum, token, NULL, 0);
	}
}

static void
end_custom_field(Reader *reader)
{
	ListCell   *lc;

	if (reader->custom_term == NULL || reader->custom_value == NULL)
		return;
	foreach(lc, reader->decoder->custom)
	{
		const TpmColumn *column = &reader->decoder->table->columns[lfirst_int(lc) - 1];
		Jsonb	   *jb;
		JsonbValue *first;
		char	   *text;

		if (strcmp(strVal(linitial(column->path)), reader->custom_term) != 0)
			continue;
		mark_seen(reader, list_make1_int(column->attnum));
		if (column->type == TEXTARRAYOID || column->type == JSONBOID)
		{
			store_value(reader, column->attnum, NULL, reader->custom_value, reader->custom_value_len);
			continue;
		}
		text = pnstrdup(reader->custom_value, reader->custom_value_len);

		jb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
		first = JB_ROOT_IS_ARRAY(jb) ? getIthJsonbValueFromContainer(&jb->root, 0) : NULL;
		if (first == NULL || first->type == jbvNull)
			continue;
		store_jsonb(reader, column->attnum, first);
	}
}

/* ----- the parser's callbacks ----- */

static void
push(Reader *reader, bool is_array)
{
	Frame	   *top = reader->depth > 0 ? &reader->stack[reader->depth - 1] : NULL;
	Frame	   *frame;

	CHECK_FOR_INTERRUPTS();
	if (reader->depth >= TPM_MAX_DEPTH)
		not_a_document(reader, "It is nested too deeply.");
	frame = &reader->stack[reader->depth++];
	frame->is_array = is_array;
	frame->start = NULL;
	if (top == NULL)
		frame->node = is_array ? NULL : reader->decoder->root;
	else if (top->is_array)
		frame->node = top->node;	/* an element is read as its array is */
	else
		frame->node = reader->pending;
	reader->pending = NULL;
	if (frame->node && !(top && top->is_array) &&
		(frame->node->columns != NIL || frame->node->role == NODE_CUSTOM_VALUE))
		frame->start = reader->lex->token_start;
}

/* the answer to which rows there are must be one */
static void
begin_data(Reader *reader)
{
	if (reader->saw_data)
		not_a_document(reader, "It has two members \"data\".");
	reader->saw_data = true;
}

static bool
is_resource_frame(Reader *reader, Frame *frame)
{
	return frame->node && frame->node->role == NODE_DATA && !frame->is_array &&
		(reader->depth == 2 || (reader->depth == 3 && reader->stack[1].is_array));
}

static bool
is_included_frame(Reader *reader, Frame *frame)
{
	return frame->node && frame->node->role == NODE_INCLUDED && !frame->is_array &&
		reader->depth == 3;
}

static TpmJsonResult
object_start(void *state)
{
	Reader	   *reader = state;
	Frame	   *frame;

	push(reader, false);
	frame = &reader->stack[reader->depth - 1];
	if (is_resource_frame(reader, frame))
	{
		if (reader->depth == 2)
			begin_data(reader);
		begin_resource(reader);
	}
	else if (is_included_frame(reader, frame))
	{
		CHECK_FOR_INTERRUPTS();
		reader->included_start = reader->lex->token_start;
		reader->included_id = reader->included_type = NULL;
	}
	else if (frame->node && frame->node->role == NODE_CUSTOM && reader->in_resource)
		reader->custom_term = NULL, reader->custom_value = NULL;
	TPM_JSON_OK;
}

static void
end_container(Reader *reader, Frame *frame)
{
	DocNode    *node = frame->node;
	ListCell   *lc;

	if (node == NULL || !reader->in_resource)
		return;
	if (frame->start)
	{
		int			len = reader->lex->prev_token_terminator - frame->start;

		if (node->role == NODE_CUSTOM_VALUE)
		{
			reader->custom_value = frame->start;
			reader->custom_value_len = len;
		}
		foreach(lc, node->columns)
			store_value(reader, lfirst_int(lc), NULL, frame->start, len);
	}
	if (node->linkage != NIL)
		end_linkage(reader, node, frame->is_array);
}

static void
keep_included(Reader *reader)
{
	IncludedResource *resource;

	if (reader->included_id == NULL || reader->included_type == NULL)
		return;
	resource = palloc(sizeof(IncludedResource));
	resource->id = reader->included_id;
	resource->type = reader->included_type;
	resource->json = reader->included_start;
	resource->len = reader->lex->prev_token_terminator - reader->included_start;
	reader->included = lappend(reader->included, resource);
}

static TpmJsonResult
object_end(void *state)
{
	Reader	   *reader = state;
	Frame	   *frame = &reader->stack[reader->depth - 1];

	if (is_resource_frame(reader, frame))
		end_resource(reader, reader->page->context);
	else if (is_included_frame(reader, frame))
		keep_included(reader);
	else
	{
		if (frame->node && frame->node->role == NODE_CUSTOM && reader->in_resource)
			end_custom_field(reader);
		end_container(reader, frame);
	}
	reader->depth--;
	TPM_JSON_OK;
}

static TpmJsonResult
array_start(void *state)
{
	Reader	   *reader = state;
	Frame	   *frame;

	push(reader, true);
	frame = &reader->stack[reader->depth - 1];
	if (frame->node && frame->node->role == NODE_DATA && reader->depth == 2)
	{
		begin_data(reader);
		reader->page->is_list = true;
	}
	else if (frame->node && frame->node->role == NODE_DATA && reader->depth == 3)
		not_a_document(reader, "\"data\" holds something that is no resource object.");
	TPM_JSON_OK;
}

static TpmJsonResult
array_end(void *state)
{
	Reader	   *reader = state;

	end_container(reader, &reader->stack[reader->depth - 1]);
	reader->depth--;
	TPM_JSON_OK;
}

static TpmJsonResult
field_start(void *state, char *name, bool isnull)
{
	Reader	   *reader = state;
	Frame	   *frame = &reader->stack[reader->depth - 1];

	reader->pending = NULL;
	if (frame->node)
	{
		DocNode    *node;

		node = find_child(reader, frame->node);
		reader->pending = node;
		reader->value_start = reader->lex->token_start;
		if (node)
		{
			if (node->columns != NIL)
				mark_seen(reader, node->columns);
			if (node->presence != NIL)
				mark_seen(reader, node->presence);
		}
	}

	/*
	 * A document of tiny members must not fill the memory with names, of
	 * which the parser makes copies only where it unescapes.
	 */
	if (name)
		pfree(name);
	TPM_JSON_OK;
}

static void
resource_scalar(Reader *reader, DocNode *node, const Token *token)
{
	ListCell   *lc;

	if (node->role == NODE_ID && token->type != JSON_TOKEN_NULL)
		reader->id = copy_of(token);
	else if (node->role == NODE_TYPE && token->type == JSON_TOKEN_STRING)
		reader->type = copy_of(token);
	else if (node->role == NODE_CUSTOM_TERM && token->type == JSON_TOKEN_STRING)
		reader->custom_term = copy_of(token);
	foreach(lc, node->columns)
		store_value(reader, lfirst_int(lc), token, NULL, 0);
}

static void
document_scalar(Reader *reader, DocNode *node, const Token *token)
{
	MemoryContext old = MemoryContextSwitchTo(reader->page->context);

	if (node->role == NODE_NEXT)
	{
		reader->page->next_known = true;
		reader->page->next = token->type == JSON_TOKEN_STRING && token->len > 0 ? copy_of(token) : NULL;
	}
	else if (node->role == NODE_LAST && token->type == JSON_TOKEN_STRING && token->len > 0)
		reader->page->last = copy_of(token);
	else if (node->role == NODE_DATA && token->type == JSON_TOKEN_NULL && reader->depth == 1)
		begin_data(reader);
	if (node->is_total && (token->type == JSON_TOKEN_NUMBER || token->type == JSON_TOKEN_STRING))
	{
		char	   *end;
		long long	total;

		errno = 0;
		total = strtoll(token->text, &end, 10);
		if (errno == 0 && end != token->text && *end == '\0' && total >= 0 && total < PG_INT64_MAX / 2)
			reader->page->total = total;
	}
	MemoryContextSwitchTo(old);
}

static void
member_scalar(Reader *reader, Frame *frame, DocNode *node, const Token *token)
{
	if (frame->node->linkage != NIL && reader->in_resource && token->type != JSON_TOKEN_NULL)
		linkage_member(reader, frame->node, node->name, token);
	if (reader->in_resource)
		resource_scalar(reader, node, token);
	else if (frame->node->role == NODE_INCLUDED && reader->depth == 3)
	{
		if (strcmp(node->name, "id") == 0)
			reader->included_id = copy_of(token);
		else if (strcmp(node->name, "type") == 0)
			reader->included_type = copy_of(token);
	}
	else
		document_scalar(reader, node, token);
}

static TpmJsonResult
scalar(void *state, char *text, JsonTokenType type)
{
	Reader	   *reader = state;
	Frame	   *frame;
	DocNode    *node;

	CHECK_FOR_INTERRUPTS();
	if (reader->depth == 0)
		not_a_document(reader, "It is a bare JSON value.");
	frame = &reader->stack[reader->depth - 1];
	node = reader->pending;
	reader->pending = NULL;
	if (frame->is_array)
	{
		if (frame->node && frame->node->role == NODE_DATA && reader->depth == 2)
			not_a_document(reader, "\"data\" holds something that is no resource object.");
	}
	else if (node)
	{
		char	   *end = reader->lex->prev_token_terminator;
		char	   *start = reader->value_start;
		Token		token = {start, end - start, type};

		if (type == JSON_TOKEN_STRING && memchr(start, '\\', end - start) != NULL)
		{
			token.text = unescape(reader, start, end - start);
			token.len = strlen(token.text);
			member_scalar(reader, frame, node, &token);
		}
		else
		{
			char		after;

			if (type == JSON_TOKEN_STRING)
				token.text = start + 1, token.len -= 2;
			/* what follows has been read already, and is put back */
			after = token.text[token.len];
			token.text[token.len] = '\0';
			member_scalar(reader, frame, node, &token);
			token.text[token.len] = after;
		}
	}
	/* numbers and literals come as copies, of which a document may be full */
	if (text)
		pfree(text);
	TPM_JSON_OK;
}

/* ----- compound documents ----- */

/* by id, by type, and as they came */
static int
compare_included(const ListCell *a, const ListCell *b)
{
	const IncludedResource *x = lfirst(a);
	const IncludedResource *y = lfirst(b);
	int			order = strcmp(x->id, y->id);

	if (order == 0)
		order = strcmp(x->type, y->type);
	if (order == 0)
		order = x->json < y->json ? -1 : 1;
	return order;
}

/* in the sorted list; any type will do if none is given */
static IncludedResource *
find_included(Reader *reader, const char *type, const char *id)
{
	int			from = 0;
	int			to = list_length(reader->included);
	IncludedResource *found;

	while (from < to)
	{
		int			middle = from + (to - from) / 2;
		IncludedResource *resource = list_nth(reader->included, middle);
		int			order = strcmp(resource->id, id);

		if (order == 0 && type)
			order = strcmp(resource->type, type);
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	if (from == list_length(reader->included))
		return NULL;
	found = list_nth(reader->included, from);
	return strcmp(found->id, id) == 0 && (type == NULL || strcmp(found->type, type) == 0) ? found : NULL;
}

static void
fill_from_included(Reader *reader, const TpmColumn *column, IncludedResource *resource)
{
	char	   *text = pnstrdup(resource->json, resource->len);
	Jsonb	   *jb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	JsonbContainer *at = &jb->root;
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(at, "attributes", 10, &buffer);
	ListCell   *lc;
	StringInfoData json;

	for_each_from(lc, column->path, 1)
	{
		char	   *name = strVal(lfirst(lc));

		if (value == NULL || value->type != jbvBinary)
			return;
		at = value->val.binary.data;
		value = getKeyJsonValueFromContainer(at, name, strlen(name), &buffer);
	}
	if (value == NULL || value->type == jbvNull)
		return;
	mark_seen(reader, list_make1_int(column->attnum));
	if (value->type != jbvBinary)
		store_jsonb(reader, column->attnum, value);
	else
	{
		initStringInfo(&json);
		JsonbToCString(&json, value->val.binary.data, value->val.binary.len);
		store_value(reader, column->attnum, NULL, json.data, json.len);
	}
}

static void
fill_waiting_rows(Reader *reader)
{
	TpmDecoder *decoder = reader->decoder;
	int			natts = decoder->tupdesc->natts;
	ListCell   *lc;

	list_sort(reader->included, compare_included);
	for (int row = 0; row < reader->page->nrows; row++)
	{
		WaitingRow *waiting = reader->waiting[row];
		TpmRow	   *slot = &reader->page->rows[row];
		HeapTuple	filled;
		int			n = 0;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(reader->scratch);
		MemoryContextSwitchTo(reader->scratch);
		reader->values = palloc(natts * sizeof(Datum));
		reader->nulls = palloc(natts * sizeof(bool));
		heap_deform_tuple(slot->tuple, decoder->tupdesc, reader->values, reader->nulls);
		foreach(lc, decoder->included)
		{
			const TpmColumn *column = &decoder->table->columns[lfirst_int(lc) - 1];
			IncludedResource *resource = NULL;

			if (waiting->linked_id[n])
				resource = find_included(reader, waiting->linked_type[n], waiting->linked_id[n]);
			if (resource)
				fill_from_included(reader, column, resource);
			n++;
		}
		MemoryContextSwitchTo(reader->page->context);
		filled = form_row(decoder->tupdesc, reader->values, reader->nulls);
		heap_freetuple(slot->tuple);
		slot->tuple = filled;
	}
}

/* ----- entry ----- */

static TpmPage *
new_page(Reader *reader)
{
	TpmPage    *page = palloc0(sizeof(TpmPage));

	page->total = -1;
	page->context = CurrentMemoryContext;
	reader->space = 128;
	page->rows = palloc(reader->space * sizeof(TpmRow));
	if (reader->decoder->included != NIL)
		reader->waiting = palloc(reader->space * sizeof(WaitingRow *));
	return page;
}

static void
parse(Reader *reader)
{
	JsonSemAction action = {
		.semstate = reader,
		.object_start = object_start,
		.object_end = object_end,
		.array_start = array_start,
		.array_end = array_end,
		.object_field_start = field_start,
		.scalar = scalar,
	};
	JsonParseErrorType error = pg_parse_json(reader->lex, &action);

	if (error != JSON_SUCCESS)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("the answer to %s is not a JSON:API document", reader->where),
				 errdetail_internal("%s", json_errdetail(error, reader->lex))));
	if (!reader->saw_data)
		not_a_document(reader, "It has no top-level member \"data\".");
}

TpmPage *
tpm_document_read(TpmDecoder *decoder, char *body, size_t len, TimestampTz received,
				  const char *where)
{
	Reader	   *reader = palloc0(sizeof(Reader));
	int			nestlevel = 0;

	reader->decoder = decoder;
	reader->where = where;
	reader->received = received;
	reader->page = new_page(reader);
	reader->scratch = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw row", ALLOCSET_DEFAULT_SIZES);
	reader->escapes = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw escape", ALLOCSET_SMALL_SIZES);
	body = tpm_document_text(body, &len, decoder->table->opt.invalid_characters, where);
	reader->body = body;
	/* told to unescape, the parser refuses what no text can hold, read or not */
	reader->lex = tpm_make_lexer(body, len, GetDatabaseEncoding(),
								 tpm_document_has_invalid_escape(body, len));

	if (decoder->needs_settings)
		nestlevel = tpm_settings_fix(decoder->table->opt.timezone);
	parse(reader);
	MemoryContextSwitchTo(reader->page->context);
	if (reader->waiting)
		fill_waiting_rows(reader);
	if (decoder->needs_settings)
		tpm_settings_restore(nestlevel);
	MemoryContextDelete(reader->scratch);
	MemoryContextDelete(reader->escapes);
	return reader->page;
}
