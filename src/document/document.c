/*-------------------------------------------------------------------------
 *
 * document.c
 *		A JSON:API document to rows, links and totals, in one pass.
 *
 * Owns the walk through a document.  What becomes of its values is
 * document_row.c's and document_included.c's.
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

#include "base/redact.h"
#include "compat.h"
#include "document/convert.h"
#include "document/document_internal.h"

/* ----- one pass ----- */

void
tpm_not_a_document(Reader *reader, const char *detail)
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

/* ----- the parser's callbacks ----- */

static void
push(Reader *reader, bool is_array)
{
	Frame	   *top = reader->depth > 0 ? &reader->stack[reader->depth - 1] : NULL;
	Frame	   *frame;

	CHECK_FOR_INTERRUPTS();
	if (reader->depth >= TPM_MAX_DEPTH)
		tpm_not_a_document(reader, "It is nested too deeply.");
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
		(frame->node->columns != NIL || frame->node->role == NODE_CUSTOM_VALUE ||
		 frame->node->role == NODE_ERRORS))
		frame->start = reader->lex->token_start;
}

/* the answer to which rows there are must be one */
static void
begin_data(Reader *reader)
{
	if (reader->saw_data)
		tpm_not_a_document(reader, "It has two members \"data\".");
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
		frame->start = reader->lex->token_start;
		tpm_begin_resource(reader);
	}
	else if (is_included_frame(reader, frame))
	{
		CHECK_FOR_INTERRUPTS();
		reader->included_start = reader->lex->token_start;
		reader->included_id = reader->included_type = NULL;
	}
	else if (frame->node && frame->node->role == NODE_LINKS)
	{
		if (reader->depth > 2)
			tpm_not_a_document(reader, "\"links\" is no object.");
		reader->page->links.given = true;
	}
	else if (frame->node && frame->node->role == NODE_NEXT)
		reader->page->links.next = "";	/* until its "href" comes */
	else if (frame->node && frame->node->role == NODE_CUSTOM && reader->in_resource)
		reader->custom_term = NULL, reader->custom_value = NULL;
	TPM_JSON_OK;
}

/* the top-level member that has just been read; looked at when all has been */
static void
keep_errors(Reader *reader, const char *start)
{
	reader->errors = start;
	reader->errors_len = reader->lex->prev_token_terminator - start;
}

static void
end_container(Reader *reader, Frame *frame)
{
	DocNode    *node = frame->node;
	ListCell   *lc;

	if (node && node->role == NODE_ERRORS && frame->start)
		keep_errors(reader, frame->start);
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
			tpm_store_value(reader, lfirst_int(lc), NULL, frame->start, len);
	}
	if (node->linkage != NIL)
		tpm_end_linkage(reader, node, frame->is_array);
}

static bool
is_kept(const Reader *reader, const char *type)
{
	ListCell   *lc;

	foreach(lc, reader->decoder->kept_types)
	{
		if (strcmp(lfirst(lc), type) == 0)
			return true;
	}
	return false;
}

/* as a document of its own, in the memory of the page */
static void
keep_document(Reader *reader, const char *id, const char *type, const char *start)
{
	MemoryContext old = MemoryContextSwitchTo(reader->page->context);
	TpmIncluded *included = palloc(sizeof(TpmIncluded));

	included->id = pstrdup(id);
	included->type = pstrdup(type);
	included->document = psprintf("{\"data\":%.*s}", (int) (reader->lex->prev_token_terminator - start), start);
	reader->page->included = lappend(reader->page->included, included);
	MemoryContextSwitchTo(old);
}

/* one that linkage may lead to: included, or among the data, where no document repeats it */
static void
keep_resource(Reader *reader, const char *id, const char *type, const char *start)
{
	IncludedResource *resource;

	if (id == NULL || type == NULL)
		return;
	if (is_kept(reader, type))
		keep_document(reader, id, type, start);
	if (reader->decoder->included == NIL)
		return;
	resource = palloc(sizeof(IncludedResource));
	resource->id = pstrdup(id);
	resource->type = pstrdup(type);
	resource->json = start;
	resource->len = reader->lex->prev_token_terminator - start;
	reader->included = lappend(reader->included, resource);
}

static TpmJsonResult
object_end(void *state)
{
	Reader	   *reader = state;
	Frame	   *frame = &reader->stack[reader->depth - 1];

	if (is_resource_frame(reader, frame))
	{
		tpm_end_resource(reader, reader->page->context);
		keep_resource(reader, reader->id, reader->type, frame->start);
	}
	else if (is_included_frame(reader, frame))
		keep_resource(reader, reader->included_id, reader->included_type, reader->included_start);
	else
	{
		if (frame->node && frame->node->role == NODE_CUSTOM && reader->in_resource)
			tpm_end_custom_field(reader);
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
		tpm_not_a_document(reader, "\"data\" holds something that is no resource object.");
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
		reader->value_start = (char *) reader->lex->token_start;
		if (node)
		{
			if (node->columns != NIL)
				tpm_mark_columns(reader->present, node->columns);
			if (node->presence != NIL)
				tpm_mark_columns(reader->present, node->presence);
			if (node->told != NIL)
				tpm_mark_columns(reader->told, node->told);
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
		reader->id = tpm_token_copy(token);
	else if (node->role == NODE_TYPE && token->type == JSON_TOKEN_STRING)
		reader->type = tpm_token_copy(token);
	else if (node->role == NODE_CUSTOM_TERM && token->type == JSON_TOKEN_STRING)
		reader->custom_term = tpm_token_copy(token);
	/* a relationship that is null as a whole leads nowhere */
	if (node->presence != NIL && token->type == JSON_TOKEN_NULL)
		tpm_mark_columns(reader->told, node->presence);
	foreach(lc, node->columns)
		tpm_store_value(reader, lfirst_int(lc), token, NULL, 0);
}

/* a link that is not understood must not look like the end of a list */
static void
strange_next(Reader *reader)
{
	tpm_not_a_document(reader, "\"links.next\" is neither a string, nor an object with a string \"href\", nor null.");
}

static void
link_scalar(Reader *reader, DocNode *node, const Token *token)
{
	TpmPageLinks *links = &reader->page->links;
	char	   *text = token->type == JSON_TOKEN_STRING && token->len > 0 ? tpm_token_copy(token) : NULL;

	links->of_pages = true;
	if (node->role == NODE_NEXT)
	{
		if (token->type == JSON_TOKEN_NUMBER || token->type == JSON_TOKEN_TRUE)
			strange_next(reader);
		links->next = text;
	}
	else if (node->role == NODE_PREV)
		links->prev = text;
	else if (node->role == NODE_FIRST)
		links->first = text;
}

static void
document_scalar(Reader *reader, DocNode *node, const Token *token)
{
	MemoryContext old = MemoryContextSwitchTo(reader->page->context);

	if (node->role >= NODE_NEXT && node->role <= NODE_LAST)
		link_scalar(reader, node, token);
	else if (node->role == NODE_DATA && token->type == JSON_TOKEN_NULL && reader->depth == 1)
		begin_data(reader);
	else if (node->role == NODE_ERRORS && reader->depth == 1)
		keep_errors(reader, reader->value_start);
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
		tpm_linkage_member(reader, frame->node, node->name, token);
	if (reader->in_resource)
		resource_scalar(reader, node, token);
	else if (frame->node->role == NODE_INCLUDED && reader->depth == 3)
	{
		if (strcmp(node->name, "id") == 0)
			reader->included_id = tpm_token_copy(token);
		else if (strcmp(node->name, "type") == 0)
			reader->included_type = tpm_token_copy(token);
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
		tpm_not_a_document(reader, "It is a bare JSON value.");
	frame = &reader->stack[reader->depth - 1];
	node = reader->pending;
	reader->pending = NULL;
	if (frame->is_array)
	{
		if (frame->node && frame->node->role == NODE_DATA && reader->depth == 2)
			tpm_not_a_document(reader, "\"data\" holds something that is no resource object.");
		if (frame->node && frame->node->role == NODE_NEXT)
			strange_next(reader);
	}
	else if (node)
	{
		char	   *end = (char *) reader->lex->prev_token_terminator;
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
parse_document(Reader *reader)
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
	if (reader->page->links.next && reader->page->links.next[0] == '\0')
		strange_next(reader);
	if (reader->errors)
		tpm_redact((char *) reader->errors, reader->errors_len, reader->secrets);
	if (reader->errors)
		tpm_refuse_errors_of_text(reader->errors, reader->errors_len, reader->where);
	if (!reader->saw_data)
		tpm_not_a_document(reader, "It has no top-level member \"data\".");
}

/* is_text: body is in the encoding of the database already */
static TpmPage *
read_answer_document(TpmDecoder *decoder, char *body, size_t len, bool is_text, TimestampTz received,
					 const char *where)
{
	Reader	   *reader = palloc0(sizeof(Reader));
	int			nestlevel = 0;

	reader->decoder = decoder;
	reader->where = where;
	reader->received = received;
	/* they end with the answer: the next document may be another call's */
	reader->secrets = decoder->secrets;
	decoder->secrets = NIL;
	reader->page = new_page(reader);
	reader->page->received = received;
	reader->scratch = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw row", ALLOCSET_DEFAULT_SIZES);
	reader->escapes = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw escape", ALLOCSET_SMALL_SIZES);
	if (!is_text)
		body = tpm_text_of_body(body, &len, decoder->table->opt.invalid_characters, where);
	reader->body = body;
	/* told to unescape, the parser refuses what no text can hold, read or not */
	reader->lex = tpm_make_lexer(body, len, GetDatabaseEncoding(),
								 tpm_text_has_invalid_escape(body, len));

	if (decoder->needs_settings)
		nestlevel = tpm_settings_fix(decoder->table->opt.timezone);
	parse_document(reader);
	MemoryContextSwitchTo(reader->page->context);
	if (reader->waiting)
		tpm_fill_waiting_rows(reader);
	if (decoder->needs_settings)
		tpm_settings_restore(nestlevel);
	MemoryContextDelete(reader->scratch);
	MemoryContextDelete(reader->escapes);
	return reader->page;
}

TpmPage *
tpm_document_read(TpmDecoder *decoder, char *body, size_t len, TimestampTz received,
				  const char *where)
{
	return read_answer_document(decoder, body, len, false, received, where);
}

TpmPage *
tpm_document_read_included(TpmDecoder *decoder, const TpmIncluded *included, TimestampTz received,
						   const char *where)
{
	return read_answer_document(decoder, included->document, strlen(included->document), true, received, where);
}
