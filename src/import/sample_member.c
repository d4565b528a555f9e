/*-------------------------------------------------------------------------
 *
 * sample_member.c
 *		The members that are on a page: their names, and what their values are.
 *
 * Owns the reading of members from a page; what type they become is type_inference.c's.
 *
 * jsonb forgets the order of members, which is what people expect columns to
 * have; so their names come from a pass over the text, their values from jsonb.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/json.h"
#include "compat.h"
#include "import/sample.h"
#include "import/type_inference.h"

/* of a page, which no honest one has more of: the rest proves nothing new */
#define MOST_RESOURCES 10000

/* ----- names of members, in the order of the document ----- */

/* data (1) > resource (2, or 3 in a list) > attributes > name */
typedef struct Naming
{
	TpmSample  *sample;
	MemoryContext context;
	TpmIdSet   *known;
	int			depth;			/* containers open */
	bool		in_data;
	bool		is_list;
	List	  **members;		/* of the part that is open, or NULL */
} Naming;

static int
resource_depth(const Naming *naming)
{
	return naming->is_list ? 3 : 2;
}

static TpmJsonResult
name_container(void *state)
{
	CHECK_FOR_INTERRUPTS();
	((Naming *) state)->depth++;
	TPM_JSON_OK;
}

static TpmJsonResult
name_array(void *state)
{
	Naming	   *naming = state;

	if (++naming->depth == 2 && naming->in_data)
		naming->is_list = true;
	TPM_JSON_OK;
}

static TpmJsonResult
name_end(void *state)
{
	((Naming *) state)->depth--;
	TPM_JSON_OK;
}

static void
add_member(Naming *naming, const char *name)
{
	bool		is_attribute = naming->members == &naming->sample->attributes;
	uint64		hash = hash_bytes_extended((const unsigned char *) name, strlen(name), is_attribute);
	MemoryContext old;
	TpmSampleMember *member;

	if (list_length(*naming->members) >= TPM_MAX_SAMPLED_MEMBERS || !tpm_idset_add(naming->known, hash))
		return;
	old = MemoryContextSwitchTo(naming->context);
	member = palloc0(sizeof(TpmSampleMember));
	member->name = pstrdup(name);
	*naming->members = lappend(*naming->members, member);
	MemoryContextSwitchTo(old);
}

static TpmJsonResult
name_field(void *state, char *name, bool isnull)
{
	Naming	   *naming = state;

	if (naming->depth == 1)
	{
		naming->in_data = strcmp(name, "data") == 0;
		naming->is_list = false;
	}
	else if (naming->in_data && naming->depth == resource_depth(naming))
		naming->members = strcmp(name, "attributes") == 0 ? &naming->sample->attributes
			: strcmp(name, "relationships") == 0 ? &naming->sample->relationships : NULL;
	else if (naming->in_data && naming->members && naming->depth == resource_depth(naming) + 1)
		add_member(naming, name);
	TPM_JSON_OK;
}

/* the text has been parsed before: it is sound */
void
tpm_sample_names(TpmSample *sample, TpmIdSet *known, MemoryContext context, const char *text)
{
	Naming		naming = {.sample = sample,.context = context,.known = known};
	JsonSemAction action = {
		.semstate = &naming,
		.object_start = name_container,
		.object_end = name_end,
		.array_start = name_array,
		.array_end = name_end,
		.object_field_start = name_field,
	};

	(void) pg_parse_json(tpm_make_lexer(text, strlen(text), GetDatabaseEncoding(), true), &action);
}

/* ----- values of members ----- */

TpmSampleMember *
tpm_sample_member(List *members, const char *name)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		TpmSampleMember *member = lfirst(lc);

		if (strcmp(member->name, name) == 0)
			return member;
	}
	return NULL;
}

static TpmSampleTerm *
find_sampled_term(TpmSampleMember *member, const char *term, MemoryContext context)
{
	ListCell   *lc;
	MemoryContext old;
	TpmSampleTerm *found;

	foreach(lc, member->terms)
	{
		found = lfirst(lc);
		if (strcmp(found->term, term) == 0)
			return found;
	}
	if (list_length(member->terms) >= TPM_MAX_SAMPLED_MEMBERS)
		return NULL;
	old = MemoryContextSwitchTo(context);
	found = palloc0(sizeof(TpmSampleTerm));
	found->term = pstrdup(term);
	member->terms = lappend(member->terms, found);
	MemoryContextSwitchTo(old);
	return found;
}

static void
look_at_fields(TpmSampleMember *member, JsonbContainer *array, MemoryContext context)
{
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		char	   *name;
		JsonbContainer *value;
		TpmSampleTerm *term;

		if (!tpm_infer_custom_field(getIthJsonbValueFromContainer(array, i), &name, &value))
			continue;
		term = find_sampled_term(member, name, context);
		if (term == NULL)
			continue;
		term->many = term->many || JsonContainerSize(value) > 1;
		for (uint32 j = 0; j < JsonContainerSize(value); j++)
			term->seen |= tpm_infer_look(getIthJsonbValueFromContainer(value, j));
	}
}

static void
look_at_attributes(TpmSample *sample, JsonbContainer *attributes, MemoryContext context)
{
	ListCell   *lc;

	foreach(lc, sample->attributes)
	{
		TpmSampleMember *member = lfirst(lc);
		JsonbValue	buffer;
		JsonbValue *value = tpm_json_get(attributes, member->name, &buffer);
		int			seen = value ? tpm_infer_look(value) : 0;

		member->seen |= seen;
		if (seen & TPM_SEEN_FIELDS)
			look_at_fields(member, value->val.binary.data, context);
	}
}

static void
look_at_identifier(TpmSampleMember *member, JsonbContainer *identifier, MemoryContext context)
{
	JsonbValue	buffer;
	JsonbValue *type = tpm_json_get(identifier, "type", &buffer);
	MemoryContext old;
	ListCell   *lc;

	/* more than one is all there is to know */
	if (type == NULL || type->type != jbvString || list_length(member->types) > 1)
		return;
	foreach(lc, member->types)
	{
		if (strlen(lfirst(lc)) == (size_t) type->val.string.len &&
			memcmp(lfirst(lc), type->val.string.val, type->val.string.len) == 0)
			return;
	}
	old = MemoryContextSwitchTo(context);
	member->types = lappend(member->types, pnstrdup(type->val.string.val, type->val.string.len));
	MemoryContextSwitchTo(old);
}

static void
look_at_linkage(TpmSampleMember *member, JsonbContainer *linkage, MemoryContext context)
{
	if (!JsonContainerIsArray(linkage))
	{
		look_at_identifier(member, linkage, context);
		return;
	}
	member->many = true;
	for (uint32 i = 0; i < JsonContainerSize(linkage); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(linkage, i);

		if (element->type == jbvBinary)
			look_at_identifier(member, element->val.binary.data, context);
	}
}

static void
look_at_relationships(TpmSample *sample, JsonbContainer *relationships, MemoryContext context)
{
	ListCell   *lc;

	foreach(lc, sample->relationships)
	{
		TpmSampleMember *member = lfirst(lc);
		JsonbValue	buffer,
					data_buffer;
		JsonbValue *value = tpm_json_get(relationships, member->name, &buffer);
		JsonbValue *data = value && value->type == jbvBinary
		? tpm_json_get(value->val.binary.data, "data", &data_buffer) : NULL;

		member->told = member->told || data != NULL;
		if (data && data->type == jbvBinary)
			look_at_linkage(member, data->val.binary.data, context);
	}
}

static void
look_at_type(TpmSample *sample, JsonbContainer *resource, MemoryContext context)
{
	JsonbValue	buffer;
	JsonbValue *type = tpm_json_get(resource, "type", &buffer);
	char	   *text;

	if (type == NULL || type->type != jbvString || sample->other_type)
		return;
	text = pnstrdup(type->val.string.val, type->val.string.len);
	if (sample->type == NULL)
		sample->type = MemoryContextStrdup(context, text);
	else if (strcmp(sample->type, text) != 0)
		sample->other_type = MemoryContextStrdup(context, text);
	pfree(text);
}

static void
look_at_resource(TpmSample *sample, JsonbContainer *resource, MemoryContext context)
{
	CHECK_FOR_INTERRUPTS();
	sample->rows++;
	look_at_type(sample, resource, context);
	look_at_attributes(sample, tpm_json_container(resource, "attributes"), context);
	look_at_relationships(sample, tpm_json_container(resource, "relationships"), context);
}

void
tpm_sample_refuse(const char *name, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("the answer to %s is not a JSON:API document", name),
			 errdetail("%s", detail)));
}

int
tpm_sample_data(TpmSample *sample, Jsonb *document, MemoryContext context, const char *name)
{
	JsonbContainer *data = tpm_json_container(&document->root, "data");
	int			n;

	if (data == NULL)
		tpm_sample_refuse(name, "It has no top-level member \"data\" with resources.");
	if (!JsonContainerIsArray(data))
	{
		look_at_resource(sample, data, context);
		return 1;
	}
	n = JsonContainerSize(data);
	for (int i = 0; i < Min(n, MOST_RESOURCES); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(data, i);

		if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
			tpm_sample_refuse(name, "\"data\" holds something that is no resource object.");
		look_at_resource(sample, element->val.binary.data, context);
	}
	return n;
}
