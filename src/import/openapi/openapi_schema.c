/*-------------------------------------------------------------------------
 *
 * openapi_schema.c
 *		Schemas: references followed, parts laid together.
 *
 * Owns how far a document is followed: references stay inside it, and each
 * resource has a number of steps, so that loops and parts that multiply end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "miscadmin.h"

#include "import/openapi/openapi_internal.h"

/* a resource of the largest API known takes fewer than 1,000 */
#define MAX_STEPS 20000

/* all resources together */
#define MAX_ALL_STEPS 4000000

/* allOf in allOf; and references to references */
#define MAX_LEVELS 40

/* an enumeration of more values is no help to anybody */
#define MAX_WORDS 1000

/* ----- references ----- */

/* One step of a JSON Pointer in a URI fragment (RFC 6901, section 6) */
static char *
reference_token(const char *text, int len)
{
	char	   *token = palloc(len + 1);
	int			to = 0;

	for (int from = 0; from < len; from++)
	{
		char		c = text[from];

		if (c == '%' && len - from > 2 && isxdigit((unsigned char) text[from + 1]) &&
			isxdigit((unsigned char) text[from + 2]))
		{
			c = (char) strtol(pnstrdup(text + from + 1, 2), NULL, 16);
			from += 2;
		}
		else if (c == '~' && from + 1 < len && (text[from + 1] == '0' || text[from + 1] == '1'))
			c = text[++from] == '0' ? '~' : '/';
		token[to++] = c;
	}
	token[to] = '\0';
	return token;
}

static const TpmNode *
follow(const TpmOpenapi *api, const char *ref)
{
	const TpmNode *node = api->root;

	if (strcmp(ref, "#") == 0)
		return node;
	if (strncmp(ref, "#/", 2) != 0)
		return NULL;
	for (const char *at = ref + 2; node != NULL; at++)
	{
		int			len = strcspn(at, "/");
		char	   *token = reference_token(at, len);

		if (node->kind == TPM_NODE_ARRAY)
			node = strspn(token, "0123456789") == strlen(token) && strlen(token) > 0 &&
				strlen(token) < 9 && atoi(token) < node->count ? node->items[atoi(token)] : NULL;
		else
			node = tpm_node_member(node, token);
		at += len;
		if (*at == '\0')
			break;
	}
	return node;
}

static void
count_steps(TpmOpenapi *api, int n)
{
	CHECK_FOR_INTERRUPTS();
	api->all_steps += n;
	api->steps += n;
	if (api->all_steps > MAX_ALL_STEPS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("document \"%s\" refers to itself too often", api->where),
				 errdetail("More than %d schemas would have to be looked at.", MAX_ALL_STEPS)));
	if (api->steps >= MAX_STEPS && api->problem == NULL)
		api->problem = "its schemas refer to each other too often";
}

const TpmNode *
tpm_openapi_resolve(TpmOpenapi *api, const TpmNode *node)
{
	for (int i = 0; i < MAX_LEVELS && api->steps < MAX_STEPS; i++)
	{
		const char *ref = tpm_node_text(tpm_node_member(node, "$ref"));

		if (ref == NULL)
			return node;
		count_steps(api, 1);
		node = follow(api, ref);
		if (node == NULL)
		{
			api->problem = psprintf(ref[0] == '#' ? "the reference \"%.200s\" leads nowhere"
									: "the reference \"%.200s\" leaves the document", ref);
			return NULL;
		}
	}
	if (api->problem == NULL)
		api->problem = "its references go round in a circle";
	return NULL;
}

/* ----- shapes ----- */

static int
type_bit(const char *word)
{
	static const struct
	{
		const char *word;
		int			bit;
	}			types[] = {
		{"object", TPM_JSON_OBJECT}, {"array", TPM_JSON_ARRAY}, {"string", TPM_JSON_STRING},
		{"number", TPM_JSON_NUMBER}, {"integer", TPM_JSON_INTEGER}, {"boolean", TPM_JSON_BOOLEAN}
	};

	for (int i = 0; word && i < (int) lengthof(types); i++)
	{
		if (strcmp(types[i].word, word) == 0)
			return types[i].bit;
	}
	return 0;
}

static void
add_type(TpmShape *shape, const char *word)
{
	shape->types |= type_bit(word);
	if (word && strcmp(word, "null") == 0)
		shape->nullable = true;
}

static void
read_types(TpmShape *shape, const TpmNode *schema)
{
	const TpmNode *type = tpm_node_member(schema, "type");

	add_type(shape, tpm_node_text(type));
	for (int i = 0; i < tpm_node_count(type); i++)
		add_type(shape, tpm_node_text(type->items[i]));
	if (tpm_node_is_true(tpm_node_member(schema, "nullable")) ||
		tpm_node_is_true(tpm_node_member(schema, "x-nullable")))
		shape->nullable = true;
	if (shape->types == 0 && tpm_node_member(schema, "properties"))
		shape->types = TPM_JSON_OBJECT;
	if (shape->types == 0 && tpm_node_member(schema, "items"))
		shape->types = TPM_JSON_ARRAY;
}

static void
add_word(TpmShape *shape, const TpmNode *value, const char *title)
{
	if (value->kind == TPM_NODE_NULL)
		shape->nullable = true;
	else if (tpm_node_scalar(value))
	{
		shape->words = lappend(shape->words, unconstify(char *, value->text));
		shape->titles = lappend(shape->titles, unconstify(char *, title));
	}
}

static int
type_of_word(const TpmNode *value)
{
	switch (value->kind)
	{
		case TPM_NODE_TEXT:
			return TPM_JSON_STRING;
		case TPM_NODE_BOOLEAN:
			return TPM_JSON_BOOLEAN;
		case TPM_NODE_NUMBER:
			return strpbrk(value->text, ".eE") ? TPM_JSON_NUMBER : TPM_JSON_INTEGER;
		default:
			return 0;
	}
}

static void
read_words(TpmShape *shape, const TpmNode *schema)
{
	const TpmNode *all = tpm_node_member(schema, "enum");
	const TpmNode *only = tpm_node_member(schema, "const");
	int			types = only ? type_of_word(only) : 0;

	for (int i = 0; i < tpm_node_count(all); i++)
	{
		types |= type_of_word(all->items[i]);
		add_word(shape, all->items[i], NULL);
		if (list_length(shape->words) > MAX_WORDS)
		{
			shape->words = shape->titles = NIL;
			break;
		}
	}
	if (only)
		add_word(shape, only, tpm_node_text(tpm_node_member(schema, "title")));
	if (shape->types == 0)
		shape->types = types;
}

static void
read_texts(TpmShape *shape, const TpmNode *schema)
{
	shape->format = tpm_node_text(tpm_node_member(schema, "format"));
	shape->description = tpm_node_text(tpm_node_member(schema, "description"));
	if (shape->description == NULL)
		shape->description = tpm_node_text(tpm_node_member(schema, "title"));
	shape->minimum = tpm_node_scalar(tpm_node_member(schema, "minimum"));
	shape->maximum = tpm_node_scalar(tpm_node_member(schema, "maximum"));
	shape->preset = tpm_node_scalar(tpm_node_member(schema, "default"));
	shape->read_only = tpm_node_is_true(tpm_node_member(schema, "readOnly"));
	shape->write_only = tpm_node_is_true(tpm_node_member(schema, "writeOnly"));
	shape->unique = tpm_node_is_true(tpm_node_member(schema, "x-unique"));
	shape->deprecated = tpm_node_is_true(tpm_node_member(schema, "deprecated"));
	shape->items = tpm_node_member(schema, "items");
}

/*
 * What stands beside a reference: a rule since 3.1, and what authors mean
 * before it
 */
static void
read_beside(TpmShape *shape, const TpmNode *reference)
{
	TpmShape	beside = {0};

	read_texts(&beside, reference);
	if (beside.description)
		shape->description = beside.description;
	shape->read_only |= beside.read_only;
	shape->write_only |= beside.write_only;
	shape->unique |= beside.unique;
	shape->deprecated |= beside.deprecated;
	shape->nullable |= tpm_node_is_true(tpm_node_member(reference, "nullable"));
}

static void
read_properties(TpmOpenapi *api, TpmShape *shape, const TpmNode *schema)
{
	const TpmDict *properties = tpm_node_members(tpm_node_member(schema, "properties"));
	const TpmNode *required = tpm_node_member(schema, "required");

	count_steps(api, (properties->count + tpm_node_count(required)) / 4);
	for (int i = 0; i < properties->count; i++)
		tpm_dict_put(&shape->properties, properties->names[i], properties->values[i]);
	for (int i = 0; i < tpm_node_count(required); i++)
	{
		if (tpm_node_text(required->items[i]))
			tpm_dict_put(&shape->required, required->items[i]->text, required->items[i]);
	}
}

static void
take_properties(TpmOpenapi *api, TpmShape *shape, const TpmShape *part, bool certain)
{
	count_steps(api, part->properties.count / 4);
	for (int i = 0; i < part->properties.count; i++)
	{
		/* what was said first is nearer to the resource */
		if (tpm_dict_get(&shape->properties, part->properties.names[i]) == NULL)
			tpm_dict_put(&shape->properties, part->properties.names[i], part->properties.values[i]);
	}
	for (int i = 0; certain && i < part->required.count; i++)
		tpm_dict_put(&shape->required, part->required.names[i], part->required.values[i]);
}

static void
take_part(TpmShape *shape, const TpmShape *part)
{
	shape->nullable |= part->nullable;
	shape->read_only |= part->read_only;
	shape->write_only |= part->write_only;
	shape->unique |= part->unique;
	shape->deprecated |= part->deprecated;
	if (shape->description == NULL)
		shape->description = part->description;
	if (shape->items == NULL)
		shape->items = part->items;
	if (shape->minimum == NULL)
		shape->minimum = part->minimum;
	if (shape->maximum == NULL)
		shape->maximum = part->maximum;
	if (shape->preset == NULL)
		shape->preset = part->preset;
}

static TpmShape *shape_at(TpmOpenapi *api, const TpmNode *schema, int level);

/* allOf: every part holds */
static void
lay_together(TpmOpenapi *api, TpmShape *shape, const TpmNode *parts, int level)
{
	for (int i = 0; i < tpm_node_count(parts); i++)
	{
		TpmShape   *part = shape_at(api, parts->items[i], level + 1);

		if (shape->types == 0)
			shape->types = part->types;
		if (shape->format == NULL)
			shape->format = part->format;
		if (shape->words == NIL)
		{
			shape->words = part->words;
			shape->titles = part->titles;
		}
		take_part(shape, part);
		take_properties(api, shape, part, true);
	}
}

static bool
is_null_only(const TpmShape *shape)
{
	return shape->types == 0 && shape->nullable && shape->words == NIL;
}

/* what forms send for an empty field: the value of a date or a number all the same */
static bool
is_blank_only(const TpmShape *part)
{
	return list_length(part->words) == 1 && ((char *) linitial(part->words))[0] == '\0';
}

/* what several parts allow is one value */
static void
take_words(TpmDict *words, const TpmShape *part)
{
	for (int i = 0; words->count <= MAX_WORDS && i < list_length(part->words); i++)
		tpm_dict_put(words, list_nth(part->words, i), list_nth(part->titles, i));
}

static TpmNode *
make_schema_node(TpmNodeKind kind)
{
	TpmNode    *node = palloc0(sizeof(TpmNode));

	node->kind = kind;
	if (kind == TPM_NODE_OBJECT)
		node->members = palloc0(sizeof(TpmDict));
	return node;
}

/* A property that several parts have is one of what they say it is */
static void
take_alternatives(TpmOpenapi *api, TpmShape *shape, const TpmShape *part, TpmDict *alternatives)
{
	count_steps(api, part->properties.count / 4);
	for (int i = 0; i < part->properties.count; i++)
	{
		const char *name = part->properties.names[i];
		TpmNode    *parts = tpm_dict_get(alternatives, name);
		TpmNode    *schema = part->properties.values[i];

		if (parts == NULL)
		{
			TpmNode    *either = make_schema_node(TPM_NODE_OBJECT);

			/* what was said first is nearer to the resource */
			if (tpm_dict_get(&shape->properties, name))
				continue;
			parts = make_schema_node(TPM_NODE_ARRAY);
			tpm_dict_put(either->members, "anyOf", parts);
			tpm_dict_put(alternatives, name, parts);
			tpm_dict_put(&shape->properties, name, either);
		}
		if (parts->count == 0 || parts->items[parts->count - 1] != schema)
			tpm_node_append(parts, schema);
	}
}

/*
 * oneOf, anyOf: one of the parts holds, so that only what all of them say can
 * be relied on.  A part of unknown type makes the whole unknown.
 */
static void
lay_side_by_side(TpmOpenapi *api, TpmShape *shape, const TpmNode *parts, int level)
{
	int			types = 0;
	bool		known = tpm_node_count(parts) > 0;
	bool		closed = known && shape->words == NIL;
	bool		first = true;
	const char *format = NULL;
	TpmDict		words = {0};
	TpmDict		alternatives = {0};

	for (int i = 0; i < tpm_node_count(parts); i++)
	{
		TpmShape   *part = shape_at(api, parts->items[i], level + 1);

		take_part(shape, part);
		if (is_null_only(part))
			continue;
		take_words(&words, part);
		if (is_blank_only(part))
			continue;
		known &= part->types != 0;
		types |= part->types;
		closed &= part->words != NIL;
		closed &= words.count <= MAX_WORDS;
		if (first)
			format = part->format;
		else if (format && (part->format == NULL || strcmp(format, part->format) != 0))
			format = NULL;
		first = false;
		if (tpm_node_count(parts) == 1)
			take_properties(api, shape, part, true);
		else
			take_alternatives(api, shape, part, &alternatives);
	}
	closed &= !first;
	if (known && shape->types == 0)
		shape->types = types;
	for (int i = 0; closed && i < words.count; i++)
	{
		shape->words = lappend(shape->words, unconstify(char *, words.names[i]));
		shape->titles = lappend(shape->titles, words.values[i]);
	}
	if (shape->format == NULL)
		shape->format = format;
}

static TpmShape *
shape_at(TpmOpenapi *api, const TpmNode *schema, int level)
{
	TpmShape   *shape = palloc0(sizeof(TpmShape));
	const TpmNode *nearer = schema;

	if (level > MAX_LEVELS || api->steps >= MAX_STEPS)
	{
		if (api->problem == NULL)
			api->problem = "its schemas nest too deeply";
		return shape;
	}
	count_steps(api, 1);
	schema = tpm_openapi_resolve(api, schema);
	if (schema == NULL || schema->kind != TPM_NODE_OBJECT)
		return shape;
	read_types(shape, schema);
	read_texts(shape, schema);
	read_words(shape, schema);
	read_properties(api, shape, schema);
	lay_together(api, shape, tpm_node_member(schema, "allOf"), level);
	lay_side_by_side(api, shape, tpm_node_member(schema, "oneOf"), level);
	lay_side_by_side(api, shape, tpm_node_member(schema, "anyOf"), level);
	if (nearer != schema)
		read_beside(shape, nearer);
	return shape;
}

TpmShape *
tpm_openapi_shape(TpmOpenapi *api, const TpmNode *schema)
{
	return shape_at(api, schema, 0);
}

TpmShape *
tpm_openapi_property(TpmOpenapi *api, const TpmShape *shape, const char *name)
{
	const TpmNode *schema = tpm_dict_get(&shape->properties, name);

	return schema ? tpm_openapi_shape(api, schema) : NULL;
}
