/*-------------------------------------------------------------------------
 *
 * linkage.c
 *		What answers have taught about linkage: types, and ids of custom fields.
 *
 * A resource identifier has a type (JSON:API 1.0, section 5.2.4), and the
 * table's options name only the relationship.  Owns where the type comes
 * from: what any resource read in this session has shown; a table of the same
 * server named as the relationship's plural; and at last the plural itself.
 * Sends nothing: a page of the list is asked for by modify/linkage_page.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/value.h"
#include "utils/memutils.h"

#include "base/json.h"
#include "document/document.h"
#include "request/linkage.h"
#include "request/request.h"

typedef struct Learnt
{
	Oid			relid;
	uint64		options_hash;
	char		kind;			/* r: relationship, c: custom field, p: a page
								 * was asked for */
	char	   *name;
	char	   *value;
	struct Learnt *next;
} Learnt;

static Learnt *known = NULL;

static Learnt *
find_learnt(const TpmTable *table, char kind, const char *name)
{
	for (Learnt *one = known; one; one = one->next)
		if (one->relid == table->relid && one->options_hash == table->options_hash &&
			one->kind == kind && strcmp(one->name, name) == 0)
			return one;
	return NULL;
}

static void
learn(const TpmTable *table, char kind, const char *name, const char *value)
{
	Learnt	   *one = find_learnt(table, kind, name);
	MemoryContext old;

	if (one && strcmp(one->value, value) == 0)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (one == NULL)
	{
		one = palloc0(sizeof(Learnt));
		one->relid = table->relid;
		one->options_hash = table->options_hash;
		one->kind = kind;
		one->name = pstrdup(name);
		one->next = known;
		known = one;
	}
	else
		pfree(one->value);
	one->value = pstrdup(value);
	MemoryContextSwitchTo(old);
}

/* a text member of an object, else NULL */
static char *
text_member(JsonbContainer *object, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value = tpm_json_get(object, name, &buffer);

	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static void
learn_relationship(const TpmTable *table, const char *name, JsonbContainer *relationship)
{
	JsonbContainer *data = tpm_json_container(relationship, "data");
	char	   *type;

	if (data && JsonContainerIsArray(data))
	{
		JsonbValue *first = getIthJsonbValueFromContainer(data, 0);

		data = first && first->type == jbvBinary ? first->val.binary.data : NULL;
	}
	type = text_member(data, "type");
	if (type)
		learn(table, 'r', name, type);
}

/* what no column names is of no use later, and may be any number */
static bool
is_mapped(const TpmTable *table, const char *term)
{
	for (int i = 0; i < table->natts; i++)
		if (table->columns[i].kind == TPM_COL_CUSTOM_FIELD &&
			strcmp(strVal(linitial(table->columns[i].path)), term) == 0)
			return true;
	return false;
}

static void
learn_custom_fields(const TpmTable *table, JsonbContainer *resource)
{
	char	   *copy = pstrdup(table->opt.custom_fields_attribute);
	JsonbContainer *at = tpm_json_container(resource, "attributes");
	char	   *save;

	for (char *part = strtok_r(copy, "/", &save); part && at; part = strtok_r(NULL, "/", &save))
		at = tpm_json_container(at, part);
	if (at == NULL || !JsonContainerIsArray(at))
		return;
	for (uint32 i = 0; i < JsonContainerSize(at); i++)
	{
		JsonbValue *entry = getIthJsonbValueFromContainer(at, i);
		JsonbContainer *object = entry->type == jbvBinary ? entry->val.binary.data : NULL;
		char	   *term = text_member(object, "term");
		char	   *id = text_member(object, "id");

		if (term && id && is_mapped(table, term))
			learn(table, 'c', term, id);
	}
}

void
tpm_linkage_learn(const TpmTable *table, JsonbContainer *resource)
{
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];
		const char *name;

		if (column->kind != TPM_COL_RELATIONSHIP)
			continue;
		name = strVal(linitial(column->path));
		learn_relationship(table, name,
						   tpm_json_container(tpm_json_container(resource, "relationships"), name));
	}
	learn_custom_fields(table, resource);
}

/* as the names of resources are made: category, categories; case, cases */
static char *
plural_of(const char *name)
{
	size_t		len = strlen(name);
	char		last = len > 0 ? name[len - 1] : '\0';
	char		before = len > 1 ? name[len - 2] : '\0';

	if (last == 'y' && strchr("aeiou", before) == NULL)
		return psprintf("%.*sies", (int) len - 1, name);
	if (last == 's' || last == 'x' || last == 'z' || (last == 'h' && (before == 'c' || before == 's')))
		return psprintf("%ses", name);
	return psprintf("%ss", name);
}

char *
tpm_linkage_type(const TpmTable *table, const char *relationship)
{
	Learnt	   *learnt = find_learnt(table, 'r', relationship);

	return learnt ? pstrdup(learnt->value) : plural_of(relationship);
}

char *
tpm_custom_field_id(const TpmTable *table, const char *term)
{
	Learnt	   *learnt = find_learnt(table, 'c', term);

	return learnt ? pstrdup(learnt->value) : NULL;
}

/* ----- what is not known yet ----- */

/* to-many relationships are named by their plural already */
static bool
learn_from_table(const TpmTable *table, const char *relationship)
{
	Oid			relid = tpm_server_table(table->server->serverid, plural_of(relationship));

	if (!OidIsValid(relid))
		relid = tpm_server_table(table->server->serverid, relationship);
	if (!OidIsValid(relid))
		return false;
	learn(table, 'r', relationship, tpm_get_table(relid)->type);
	return true;
}

static bool
linkage_is_known(const TpmTable *table, const TpmColumn *column)
{
	const char *name;

	if (column->kind != TPM_COL_RELATIONSHIP && column->kind != TPM_COL_CUSTOM_FIELD)
		return true;
	name = strVal(linitial(column->path));
	if (column->kind == TPM_COL_CUSTOM_FIELD)
		return find_learnt(table, 'c', name) != NULL;
	return find_learnt(table, 'r', name) != NULL || learn_from_table(table, name);
}


bool
tpm_linkage_is_known(const TpmTable *table, Bitmapset *columns)
{
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
		if (!linkage_is_known(table, &table->columns[attnum - 1]))
			return false;
	return true;
}

bool
tpm_linkage_mark_asked(const TpmTable *table, const char *path)
{
	if (find_learnt(table, 'p', path) != NULL)
		return false;
	learn(table, 'p', path, "");
	return true;
}
