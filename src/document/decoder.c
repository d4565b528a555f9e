/*-------------------------------------------------------------------------
 *
 * decoder.c
 *		Which member of a resource leads to which column.
 *
 * Owns the tree of members that is compiled once a scan from the columns'
 * options.  It is walked by document.c.
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
#include "document/convert.h"
#include "document/document_internal.h"

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
	data->told = lappend_int(data->told, column->attnum);
	child_of(data, "id");
	child_of(data, "type");
}

/* one that leads into the linkage of a relationship knows as much as it does */
static void
compile_pointer(DocNode *resource, const TpmColumn *column)
{
	DocNode    *node = descend(resource, column->path);
	DocNode    *member;

	node->columns = lappend_int(node->columns, column->attnum);
	if (!tpm_column_in_linkage(column))
		return;
	member = child_of(child_of(resource, "relationships"), strVal(lsecond(column->path)));
	member->presence = lappend_int(member->presence, column->attnum);
	member = child_of(member, "data");
	member->told = lappend_int(member->told, column->attnum);
}

static DocNode *
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
	return node;
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
			compile_pointer(resource, column);
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
			node = compile_custom(decoder, resource);
			node->presence = lappend_int(node->presence, column->attnum);
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

/* whether a resource has them is noted of each, see document_row.c */
static void
note_columns(TpmDecoder *decoder, const TpmColumn *column)
{
	List	   *attnum = list_make1_int(column->attnum);

	if (tpm_column_has_member(column))
		tpm_mark_columns(decoder->members, attnum);
	if (column->kind == TPM_COL_RELATIONSHIP || column->kind == TPM_COL_INCLUDED ||
		tpm_column_in_linkage(column))
		tpm_mark_columns(decoder->linkages, attnum);
	if (column->placeholder && column->kind != TPM_COL_PLACEHOLDER)
		decoder->fallbacks = lappend_int(decoder->fallbacks, column->attnum);
}

/* a link is a string or an object that has one (JSON:API 1.0, section 5.7) */
static void
compile_link(DocNode *links, const char *name, NodeRole role)
{
	child_of(links, name)->role = role;
	child_of(child_of(links, name), "href")->role = role;
}

static void
compile_included(DocNode *root)
{
	DocNode    *included = child_of(root, "included");

	included->role = NODE_INCLUDED;
	child_of(included, "id");
	child_of(included, "type");
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
	needed = tpm_columns_with_sources(table, needed);
	decoder->needed = needed;
	decoder->computing = tpm_computing_create(table, tupdesc, needed);
	decoder->converters = palloc0(sizeof(TpmConverter) * table->natts);
	decoder->placeholder_values = palloc0(sizeof(Datum) * table->natts);
	decoder->placeholder_given = palloc0(sizeof(bool) * table->natts);
	child_of(root, "errors")->role = NODE_ERRORS;
	data->role = NODE_DATA;
	child_of(data, "id")->role = NODE_ID;
	child_of(data, "type")->role = NODE_TYPE;
	links->role = NODE_LINKS;
	compile_link(links, "next", NODE_NEXT);
	compile_link(links, "prev", NODE_PREV);
	compile_link(links, "first", NODE_FIRST);
	compile_link(links, "last", NODE_LAST);
	if (table->opt.total_pointer)
		descend(root, tpm_pointer_path(table->opt.total_pointer))->is_total = true;

	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (column->kind == TPM_COL_NONE || (needed && !bms_is_member(column->attnum, needed)))
			continue;
		tpm_converter_init(&decoder->converters[i], column);
		compile_column(decoder, data, column);
		note_columns(decoder, column);
	}
	if (decoder->included != NIL)
		compile_included(root);
	return decoder;
}

void
tpm_decoder_set_placeholder(TpmDecoder *decoder, AttrNumber attnum, Datum value, bool isnull)
{
	decoder->placeholder_values[attnum - 1] = value;
	decoder->placeholder_given[attnum - 1] = !isnull;
}

void
tpm_decoder_keep_included(TpmDecoder *decoder, List *types)
{
	decoder->kept_types = types;
	compile_included(decoder->root);
}

void
tpm_decoder_set_secrets(TpmDecoder *decoder, List *secrets)
{
	decoder->secrets = secrets;
}
