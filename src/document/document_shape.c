/*-------------------------------------------------------------------------
 *
 * document_shape.c
 *		What a body is at first sight, told without an error.
 *
 * Owns the judgement whether something is a document of resources at all, and
 * of how many.  document.c reads rows and raises what is wrong with them; here
 * nothing is raised, whatever was sent, so that what follows from an answer can
 * be decided before anybody looks at its values.
 *
 * PostgreSQL's JSON parser walks the body and is told not to unescape, since
 * that may throw.  It recurses: how deep a body is nested is counted before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "base/text.h"
#include "compat.h"
#include "document/document_internal.h"
#include "document/document_shape.h"

typedef enum Part
{
	PART_OTHER,
	PART_DATA,
	PART_ERRORS,
	PART_META,
	PART_TYPE,
	PART_ID
} Part;

/* a value as it stands in the body */
typedef struct Piece
{
	const char *start;			/* NULL: there is none */
	const char *end;
	JsonTokenType kind;
} Piece;

typedef struct Walk
{
	TpmShape   *shape;
	JsonLexContext *lex;
	int			depth;			/* containers open */
	Part		part;			/* top-level member at hand */
	int			resource_depth; /* containers open inside of a resource of
								 * data, 0 outside */
	Part		pending;		/* member of it whose value comes next */
	const char *value_start;	/* of that value */
	bool		is_strange;		/* data that is no data */
	Piece		type;			/* of the resource at hand */
	Piece		id;
} Walk;

/* ----- the parser's callbacks ----- */

static void
meet_data(Walk *walk)
{
	walk->is_strange |= walk->shape->has_data;
	walk->shape->has_data = true;
}

static void
meet_resource(Walk *walk)
{
	walk->shape->nresources++;
	walk->resource_depth = walk->depth + 1;
	walk->type.start = walk->id.start = NULL;
}

/* something stands in "errors" */
static void
meet_error(Walk *walk)
{
	if (walk->part == PART_ERRORS && walk->depth >= 2)
		walk->shape->has_errors = true;
}

static TpmJsonResult
shape_object_start(void *state)
{
	Walk	   *walk = state;

	CHECK_FOR_INTERRUPTS();
	meet_error(walk);
	if (walk->depth == 0)
		walk->shape->is_object = true;
	else if (walk->depth == 1 && walk->part == PART_DATA)
	{
		meet_data(walk);
		meet_resource(walk);
	}
	else if (walk->depth == 2 && walk->part == PART_DATA && walk->resource_depth == 0)
		meet_resource(walk);
	walk->pending = PART_OTHER;
	walk->depth++;
	TPM_JSON_OK;
}

static TpmJsonResult
shape_object_end(void *state)
{
	Walk	   *walk = state;

	if (walk->depth == walk->resource_depth)
		walk->resource_depth = 0;
	walk->depth--;
	TPM_JSON_OK;
}

static TpmJsonResult
shape_array_start(void *state)
{
	Walk	   *walk = state;

	CHECK_FOR_INTERRUPTS();
	meet_error(walk);
	if (walk->depth == 1 && walk->part == PART_DATA)
	{
		meet_data(walk);
		walk->shape->is_list = true;
	}
	else if (walk->depth == 2 && walk->part == PART_DATA && walk->resource_depth == 0)
		walk->is_strange = true;
	walk->pending = PART_OTHER;
	walk->depth++;
	TPM_JSON_OK;
}

static TpmJsonResult
shape_array_end(void *state)
{
	Walk	   *walk = state;

	walk->depth--;
	TPM_JSON_OK;
}

static Part
part_of_name(const char *quoted, const char *end, bool in_resource)
{
	if (in_resource)
		return tpm_json_spells(quoted, end - quoted, "type") ? PART_TYPE
			: tpm_json_spells(quoted, end - quoted, "id") ? PART_ID : PART_OTHER;
	return tpm_json_spells(quoted, end - quoted, "data") ? PART_DATA
		: tpm_json_spells(quoted, end - quoted, "errors") ? PART_ERRORS
		: tpm_json_spells(quoted, end - quoted, "meta") ? PART_META : PART_OTHER;
}

static TpmJsonResult
shape_field_start(void *state, char *name, bool isnull)
{
	Walk	   *walk = state;
	bool		in_resource = walk->depth > 1 && walk->depth == walk->resource_depth;

	meet_error(walk);
	if (walk->depth == 1 || in_resource)
	{
		/* the colon has just been read */
		const char *end = walk->lex->prev_token_terminator - 2;
		const char *start;
		Part		part;

		while (*end != '"')
			end--;

		/*
		 * a quote inside the name follows a backslash, the one that opens it
		 * never does
		 */
		for (start = end - 1; *start != '"' || start[-1] == '\\'; start--)
			;
		part = part_of_name(start, end + 1, in_resource);
		if (in_resource)
			walk->pending = part;
		else
			walk->part = part;
		walk->shape->has_meta |= part == PART_META;
		walk->value_start = walk->lex->token_start;
	}
	/* one that is not unescaped is not given */
	if (name)
		pfree(name);
	TPM_JSON_OK;
}

static void
scalar_at_top(Walk *walk, JsonTokenType kind)
{
	if (walk->part == PART_DATA)
	{
		meet_data(walk);
		walk->is_strange |= kind != JSON_TOKEN_NULL;
	}
	else if (walk->part == PART_ERRORS && kind != JSON_TOKEN_NULL && kind != JSON_TOKEN_FALSE &&
			 (kind != JSON_TOKEN_STRING || walk->lex->prev_token_terminator - walk->value_start > 2))
		walk->shape->has_errors = true;
}

static TpmJsonResult
shape_scalar(void *state, char *text, JsonTokenType kind)
{
	Walk	   *walk = state;
	Piece		piece = {walk->value_start, walk->lex->prev_token_terminator, kind};

	meet_error(walk);
	if (walk->depth == 1)
		scalar_at_top(walk, kind);
	else if (walk->depth == 2 && walk->part == PART_DATA && walk->resource_depth == 0)
		walk->is_strange = true;
	else if (walk->depth == walk->resource_depth && walk->pending == PART_TYPE)
		walk->type = piece;
	else if (walk->depth == walk->resource_depth && walk->pending == PART_ID)
		walk->id = piece;
	walk->pending = PART_OTHER;
	/* numbers and literals come as copies, of which a document may be full */
	if (text)
		pfree(text);
	TPM_JSON_OK;
}

/* ----- entry ----- */

/* NULL: there is none, or one that the database cannot hold */
static char *
text_of_piece(const Piece *piece)
{
	if (piece->start == NULL || piece->kind == JSON_TOKEN_NULL)
		return NULL;
	if (piece->kind != JSON_TOKEN_STRING)
		return pnstrdup(piece->start, piece->end - piece->start);
	return tpm_json_string_text(piece->start, piece->end - piece->start);
}

void
tpm_document_shape(const char *body, size_t len, TpmShape *shape)
{
	Walk		walk = {.shape = shape};
	JsonSemAction action = {
		.semstate = &walk,
		.object_start = shape_object_start,
		.object_end = shape_object_end,
		.array_start = shape_array_start,
		.array_end = shape_array_end,
		.object_field_start = shape_field_start,
		.scalar = shape_scalar,
	};
	TpmShape	none = {0};
	const char *text;

	*shape = none;
	text = tpm_json_walkable(body, &len, &shape->is_text);
	if (text == NULL || tpm_json_is_deeper(text, len, TPM_MAX_DEPTH))
		return;
	walk.lex = tpm_make_lexer(text, (int) len, PG_UTF8, false);
	if (pg_parse_json(walk.lex, &action) != JSON_SUCCESS)
	{
		none.is_text = shape->is_text;
		*shape = none;
		return;
	}
	shape->is_json = true;
	shape->is_document = shape->is_object && shape->has_data && !walk.is_strange;
	if (!shape->is_document || shape->nresources != 1)
		return;
	if (walk.type.kind == JSON_TOKEN_STRING)
		shape->type = text_of_piece(&walk.type);
	shape->id = text_of_piece(&walk.id);
}
