/*-------------------------------------------------------------------------
 *
 * openapi_tree.c
 *		A JSON text as a tree, members in the order of the text.
 *
 * Owns how deep and how large a document may be.  jsonb would not do: it
 * sorts members, and their order is the order of columns.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "compat.h"
#include "import/openapi/openapi_tree.h"

/* descriptions of APIs stay below 60 levels */
#define MAX_DEPTH 500

/* some 100 bytes each; an API of 85,000 lines has 150,000 */
#define MAX_NODES 2000000

/* ----- building ----- */

void
tpm_tree_count(TpmTree *tree)
{
	if (++tree->nodes > MAX_NODES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("document \"%s\" is too large", tree->where),
				 errdetail("It holds more than %d values.", MAX_NODES)));
	if (tree->nodes % 1024 == 0)
		CHECK_FOR_INTERRUPTS();
}

static TpmNode *
make_tree_node(TpmTree *tree, TpmNodeKind kind, const char *text)
{
	TpmNode    *node = palloc0(sizeof(TpmNode));

	tpm_tree_count(tree);
	node->kind = kind;
	node->text = text;
	return node;
}

void
tpm_node_append(TpmNode *array, TpmNode *node)
{
	if (array->count == array->space)
	{
		array->space = Max(array->space * 2, 4);
		array->items = array->items
			? repalloc_huge(array->items, sizeof(TpmNode *) * array->space)
			: palloc(sizeof(TpmNode *) * array->space);
	}
	array->items[array->count++] = node;
}

void
tpm_tree_add(TpmTree *tree, TpmNode *node)
{
	TpmNode    *parent;

	if (tree->depth == 0)
	{
		tree->root = node;
		return;
	}
	parent = tree->stack[tree->depth - 1].node;
	if (parent->kind == TPM_NODE_OBJECT)
	{
		tpm_dict_put(parent->members, tree->stack[tree->depth - 1].name, node);
		return;
	}
	tpm_node_append(parent, node);
}

TpmNode *
tpm_tree_value(TpmTree *tree, TpmNodeKind kind, const char *text)
{
	TpmNode    *node = make_tree_node(tree, kind, text);

	tpm_tree_add(tree, node);
	return node;
}

TpmNode *
tpm_tree_open(TpmTree *tree, TpmNodeKind kind)
{
	TpmNode    *node = make_tree_node(tree, kind, NULL);

	if (tree->depth >= MAX_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("document \"%s\" nests too deeply", tree->where),
				 errdetail("It has more than %d levels.", MAX_DEPTH)));
	if (kind == TPM_NODE_OBJECT)
		node->members = palloc0(sizeof(TpmDict));
	tpm_tree_add(tree, node);
	if (tree->stack == NULL)
		tree->stack = palloc0(sizeof(*tree->stack) * MAX_DEPTH);
	tree->stack[tree->depth].node = node;
	tree->stack[tree->depth].name = NULL;
	tree->depth++;
	return node;
}

void
tpm_tree_close(TpmTree *tree)
{
	tree->depth--;
}

/* ----- JSON ----- */

typedef struct JsonText
{
	TpmTree		tree;
	JsonLexContext *lex;
} JsonText;

static TpmJsonResult
json_object_start(void *state)
{
	tpm_tree_open(&((JsonText *) state)->tree, TPM_NODE_OBJECT);
	TPM_JSON_OK;
}

static TpmJsonResult
json_array_start(void *state)
{
	tpm_tree_open(&((JsonText *) state)->tree, TPM_NODE_ARRAY);
	TPM_JSON_OK;
}

static TpmJsonResult
json_end(void *state)
{
	tpm_tree_close(&((JsonText *) state)->tree);
	TPM_JSON_OK;
}

static TpmJsonResult
json_member(void *state, char *name, bool isnull)
{
	TpmTree    *tree = &((JsonText *) state)->tree;

	tree->stack[tree->depth - 1].name = name;
	TPM_JSON_OK;
}

static TpmJsonResult
json_scalar(void *state, char *token, JsonTokenType type)
{
	TpmNodeKind kind = type == JSON_TOKEN_STRING ? TPM_NODE_TEXT
	: type == JSON_TOKEN_NUMBER ? TPM_NODE_NUMBER
	: type == JSON_TOKEN_NULL ? TPM_NODE_NULL : TPM_NODE_BOOLEAN;

	tpm_tree_value(&((JsonText *) state)->tree, kind, token);
	TPM_JSON_OK;
}

TpmNode *
tpm_tree_json(const char *where, char *text, size_t len)
{
	JsonText	json = {.tree.where = where,.lex = tpm_make_lexer(text, len, GetDatabaseEncoding(), true)};
	JsonSemAction actions = {
		.semstate = &json,
		.object_start = json_object_start,
		.object_end = json_end,
		.object_field_start = json_member,
		.array_start = json_array_start,
		.array_end = json_end,
		.scalar = json_scalar,
	};
	JsonParseErrorType result = pg_parse_json(json.lex, &actions);

	if (result != JSON_SUCCESS)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
				 errmsg("document \"%s\" is no valid JSON", where),
				 errdetail("Line %d: %s", json.lex->line_number, json_errdetail(result, json.lex))));
	return json.tree.root;
}

/* ----- reading ----- */

TpmNode *
tpm_node_member(const TpmNode *node, const char *name)
{
	if (node == NULL || node->kind != TPM_NODE_OBJECT)
		return NULL;
	return tpm_dict_get(node->members, name);
}

const TpmDict *
tpm_node_members(const TpmNode *node)
{
	static const TpmDict none = {0};

	return node != NULL && node->kind == TPM_NODE_OBJECT ? node->members : &none;
}

const char *
tpm_node_text(const TpmNode *node)
{
	return node != NULL && node->kind == TPM_NODE_TEXT ? node->text : NULL;
}

const char *
tpm_node_scalar(const TpmNode *node)
{
	return node != NULL && node->kind != TPM_NODE_ARRAY && node->kind != TPM_NODE_OBJECT &&
		node->kind != TPM_NODE_NULL ? node->text : NULL;
}

bool
tpm_node_is_true(const TpmNode *node)
{
	return node != NULL && node->kind == TPM_NODE_BOOLEAN && strcmp(node->text, "true") == 0;
}

int
tpm_node_count(const TpmNode *node)
{
	return node != NULL && node->kind == TPM_NODE_ARRAY ? node->count : 0;
}
