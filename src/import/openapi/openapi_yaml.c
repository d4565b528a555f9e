/*-------------------------------------------------------------------------
 *
 * openapi_yaml.c
 *		A YAML text as the same tree as JSON makes.
 *
 * Owns how YAML becomes a tree, and the limits of its size and depth; the tree
 * is openapi_tree.c's.
 *
 * libyaml gives events; scalars are read by the core schema of YAML 1.2,
 * which is JSON's.  An alias is a second way to the same node, never a copy,
 * so that a few bytes cannot become gigabytes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <yaml.h>

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "base/text.h"
#include "import/openapi/openapi_tree.h"

#define MERGE_KEY "<<"

typedef struct YamlText
{
	TpmTree		tree;
	yaml_parser_t parser;
	const char *text;
	yaml_event_t event;			/* the one that is being read */
	TpmDict		anchors;
	bool		ended;
} YamlText;

static void
yaml_wrong(YamlText *yaml, const char *what, yaml_mark_t mark)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("document \"%s\" is no valid YAML", yaml->tree.where),
			 errdetail("Line %d: %s.", (int) mark.line + 1, what)));
}

/* In the database's encoding; C texts hold no NUL */
static char *
yaml_text(YamlText *yaml, const yaml_event_t *event)
{
	const char *value = (const char *) event->data.scalar.value;
	int			len = event->data.scalar.length;
	char	   *converted;

	if (memchr(value, '\0', len) != NULL)
		yaml_wrong(yaml, "a text holds the character NUL", event->start_mark);
	converted = pg_any_to_server(value, len, PG_UTF8);
	return converted == value ? pnstrdup(value, len) : converted;
}

/* Section 10.3.2 of YAML 1.2.2 */
static void
plain_value(YamlText *yaml, char *text, TpmNode **node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};

	if (tpm_is_one_of(text, nulls))
		*node = tpm_tree_value(&yaml->tree, TPM_NODE_NULL, NULL);
	else if (tpm_is_one_of(text, trues))
		*node = tpm_tree_value(&yaml->tree, TPM_NODE_BOOLEAN, "true");
	else if (tpm_is_one_of(text, falses))
		*node = tpm_tree_value(&yaml->tree, TPM_NODE_BOOLEAN, "false");
	else
		*node = tpm_tree_value(&yaml->tree, IsValidJsonNumber(text, strlen(text)) ?
							   TPM_NODE_NUMBER : TPM_NODE_TEXT, text);
}

/* Does a member's name come next? */
static bool
wants_name(const TpmTree *tree)
{
	return tree->depth > 0 && tree->stack[tree->depth - 1].node->kind == TPM_NODE_OBJECT &&
		tree->stack[tree->depth - 1].name == NULL;
}

/* A value has been read, so a name comes next */
static void
value_read(TpmTree *tree)
{
	if (tree->depth > 0)
		tree->stack[tree->depth - 1].name = NULL;
}

static void
merge_from(TpmTree *tree, TpmDict *into, const TpmNode *from)
{
	const TpmDict *members = tpm_node_members(from);

	for (int i = 0; i < members->count; i++)
	{
		tpm_tree_count(tree);
		if (tpm_dict_get(into, members->names[i]) == NULL)
			tpm_dict_put(into, members->names[i], members->values[i]);
	}
}

/* yaml.org/type/merge.html: what an object says itself comes first */
static void
merge(TpmTree *tree, TpmNode *object)
{
	TpmNode    *from = tpm_node_member(object, MERGE_KEY);
	TpmDict    *own = object->members;

	if (from == NULL)
		return;
	/* without the key itself, which is no member */
	object->members = palloc0(sizeof(TpmDict));
	for (int i = 0; i < own->count; i++)
	{
		if (strcmp(own->names[i], MERGE_KEY) != 0)
			tpm_dict_put(object->members, own->names[i], own->values[i]);
	}
	merge_from(tree, object->members, from);
	for (int i = 0; i < tpm_node_count(from); i++)
		merge_from(tree, object->members, from->items[i]);
}

static void
remember(YamlText *yaml, const yaml_char_t *anchor, TpmNode *node)
{
	if (anchor)
		tpm_dict_put(&yaml->anchors, pstrdup((const char *) anchor), node);
}

static void
read_scalar(YamlText *yaml, const yaml_event_t *event)
{
	TpmTree    *tree = &yaml->tree;
	char	   *text = yaml_text(yaml, event);
	TpmNode    *node;

	if (wants_name(tree))
	{
		tree->stack[tree->depth - 1].name = text;
		return;
	}
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && event->data.scalar.plain_implicit)
		plain_value(yaml, text, &node);
	else
		node = tpm_tree_value(tree, TPM_NODE_TEXT, text);
	remember(yaml, event->data.scalar.anchor, node);
	value_read(tree);
}

static void
read_alias(YamlText *yaml, const yaml_event_t *event)
{
	TpmNode    *node = tpm_dict_get(&yaml->anchors, (const char *) event->data.alias.anchor);

	if (node == NULL)
		yaml_wrong(yaml, "an alias names no anchor", event->start_mark);
	if (wants_name(&yaml->tree))
	{
		if (tpm_node_scalar(node) == NULL)
			yaml_wrong(yaml, "the name of a member is no text", event->start_mark);
		yaml->tree.stack[yaml->tree.depth - 1].name = node->text;
		return;
	}
	tpm_tree_count(&yaml->tree);
	tpm_tree_add(&yaml->tree, node);
	value_read(&yaml->tree);
}

static void
read_start(YamlText *yaml, const yaml_event_t *event, TpmNodeKind kind, const yaml_char_t *anchor)
{
	if (wants_name(&yaml->tree))
		yaml_wrong(yaml, "the name of a member is no text", event->start_mark);
	remember(yaml, anchor, tpm_tree_open(&yaml->tree, kind));
}

static void
read_end(YamlText *yaml)
{
	TpmTree    *tree = &yaml->tree;
	TpmNode    *node = tree->stack[tree->depth - 1].node;

	if (node->kind == TPM_NODE_OBJECT)
		merge(tree, node);
	tpm_tree_close(tree);
	value_read(tree);
}

static void
read_event(YamlText *yaml, const yaml_event_t *event)
{
	switch (event->type)
	{
		case YAML_SCALAR_EVENT:
			read_scalar(yaml, event);
			break;
		case YAML_ALIAS_EVENT:
			read_alias(yaml, event);
			break;
		case YAML_MAPPING_START_EVENT:
			read_start(yaml, event, TPM_NODE_OBJECT, event->data.mapping_start.anchor);
			break;
		case YAML_SEQUENCE_START_EVENT:
			read_start(yaml, event, TPM_NODE_ARRAY, event->data.sequence_start.anchor);
			break;
		case YAML_MAPPING_END_EVENT:
		case YAML_SEQUENCE_END_EVENT:
			read_end(yaml);
			break;
		case YAML_DOCUMENT_END_EVENT:
		case YAML_STREAM_END_EVENT:
			/* a stream may hold several documents; the first is the one */
			yaml->ended = true;
			break;
		default:
			break;
	}
}

/* bytes that are no text are found before there are lines */
static yaml_mark_t
place_of_problem(const YamlText *yaml)
{
	yaml_mark_t mark = yaml->parser.problem_mark;

	if (yaml->parser.error == YAML_READER_ERROR)
	{
		mark.line = 0;
		for (size_t i = 0; i < yaml->parser.problem_offset; i++)
			mark.line += yaml->text[i] == '\n';
	}
	return mark;
}

static void
read_events(YamlText *yaml)
{
	while (!yaml->ended)
	{
		CHECK_FOR_INTERRUPTS();
		if (!yaml_parser_parse(&yaml->parser, &yaml->event))
			yaml_wrong(yaml, yaml->parser.problem ? yaml->parser.problem : "out of memory",
					   place_of_problem(yaml));
		read_event(yaml, &yaml->event);
		yaml_event_delete(&yaml->event);
	}
}

TpmNode *
tpm_tree_yaml(const char *where, const char *text, size_t len)
{
	YamlText   *yaml = palloc0(sizeof(YamlText));

	yaml->tree.where = where;
	yaml->text = text;
	if (!yaml_parser_initialize(&yaml->parser))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	PG_TRY();
	{
		yaml_parser_set_encoding(&yaml->parser, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(&yaml->parser, (const unsigned char *) text, len);
		read_events(yaml);
	}
	PG_FINALLY();
	{
		yaml_event_delete(&yaml->event);
		yaml_parser_delete(&yaml->parser);
	}
	PG_END_TRY();
	return yaml->tree.root;
}
