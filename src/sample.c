/*-------------------------------------------------------------------------
 *
 * sample.c
 *		Real pages of a resource, and the members that are on them.
 *
 * Owns the requests of an import by sample, and which of their failures are
 * about one resource and not about the API as a whole.  Names, types and
 * tables are the importer's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "document.h"
#include "guess.h"
#include "idset.h"
#include "list.h"
#include "request.h"
#include "sample.h"
#include "value.h"

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
static void
name_members(TpmSample *sample, TpmIdSet *known, MemoryContext context, const char *text)
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

	(void) pg_parse_json(tpm_make_lexer(text, strlen(text), GetDatabaseEncoding()), &action);
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
find_term(TpmSampleMember *member, const char *term, MemoryContext context)
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

		if (!tpm_guess_custom_field(getIthJsonbValueFromContainer(array, i), &name, &value))
			continue;
		term = find_term(member, name, context);
		if (term == NULL)
			continue;
		term->many = term->many || JsonContainerSize(value) > 1;
		for (uint32 j = 0; j < JsonContainerSize(value); j++)
			term->seen |= tpm_guess_look(getIthJsonbValueFromContainer(value, j));
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
		int			seen = value ? tpm_guess_look(value) : 0;

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

	if (type == NULL || type->type != jbvString)
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

		if (data && data->type == jbvBinary)
			look_at_linkage(member, data->val.binary.data, context);
	}
}

static JsonbContainer *
part_of(JsonbContainer *object, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value = tpm_json_get(object, name, &buffer);

	return value && value->type == jbvBinary ? value->val.binary.data : NULL;
}

static void
look_at_resource(TpmSample *sample, JsonbContainer *resource, MemoryContext context)
{
	JsonbValue	buffer;
	JsonbValue *type = tpm_json_get(resource, "type", &buffer);

	CHECK_FOR_INTERRUPTS();
	sample->rows++;
	if (sample->type == NULL && type && type->type == jbvString)
		sample->type = MemoryContextStrdup(context, pnstrdup(type->val.string.val, type->val.string.len));
	look_at_attributes(sample, part_of(resource, "attributes"), context);
	look_at_relationships(sample, part_of(resource, "relationships"), context);
}

static void
not_a_document(const char *name, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_REPLY),
			 errmsg("the answer to %s is not a JSON:API document", name),
			 errdetail("%s", detail)));
}

/* returns how many resources there are */
static int
look_at_data(TpmSample *sample, Jsonb *document, MemoryContext context, const char *name)
{
	JsonbContainer *data = part_of(&document->root, "data");
	int			n;

	if (data == NULL)
		not_a_document(name, "It has no top-level member \"data\" with resources.");
	if (!JsonContainerIsArray(data))
	{
		look_at_resource(sample, data, context);
		return 1;
	}
	n = JsonContainerSize(data);
	for (int i = 0; i < n; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(data, i);

		if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
			not_a_document(name, "\"data\" holds something that is no resource object.");
		look_at_resource(sample, element->val.binary.data, context);
	}
	return n;
}

/* ----- requests ----- */

TpmSampler *
tpm_sampler_create(const TpmServer *server, int n, int pages)
{
	TpmSampler *sampler = palloc0(sizeof(TpmSampler));

	sampler->server = server;
	sampler->session = tpm_session_create(server, NULL, GetUserId(), NULL);
	sampler->pages = pages;
	sampler->page_size = server->opt.page_size;
	sampler->asks_size = true;
	ereport(NOTICE,
			(errmsg_plural("the import sends %d request to server \"%s\"",
						   "the import sends %d requests to server \"%s\"", n * pages, n * pages, server->name),
			 errdetail("Resources: %d, pages of each: at most %d; one more where the API wants pages of another size or name.",
					   n, pages)));
	tpm_client_admit(sampler->session, (int64) n * pages);
	return sampler;
}

static char *
first_url(const TpmSampler *sampler, const char *resource)
{
	TpmTable	table = {.opt = sampler->server->opt,.resource = unconstify(char *, resource)};
	TpmRequest	request = {.path = tpm_request_path(&table, NULL, false),.page_size = sampler->page_size,
	.by_id = !sampler->asks_size};
	TpmPosition start = {0};

	return tpm_request_url(&table, &request, &start);
}

static bool
is_success(const TpmAnswer *answer)
{
	return answer->status >= 200 && answer->status <= 299;
}

/* the first page; *url is what it was asked with in the end */
static TpmAnswer *
get_first(TpmSampler *sampler, const char *resource, char **url)
{
	TpmAnswer  *answer;

	*url = first_url(sampler, resource);
	answer = tpm_client_get(sampler->session, *url, TPM_CALL_ANY);
	while (answer->status == 413 && sampler->page_size > 1)
	{
		sampler->page_size /= 2;
		*url = first_url(sampler, resource);
		answer = tpm_client_get(sampler->session, *url, TPM_CALL_ANY);
	}
	if ((answer->status == 400 || answer->status == 422) && sampler->asks_size)
	{
		/* perhaps pages go by other names here: links.next will tell */
		TpmAnswer  *plain;

		sampler->asks_size = false;
		*url = first_url(sampler, resource);
		plain = tpm_client_get(sampler->session, *url, TPM_CALL_ANY);
		if (is_success(plain))
			return plain;
		sampler->asks_size = true;
	}
	return answer;
}

static Jsonb *
read_document(TpmSampler *sampler, TpmAnswer *answer, const char *url, TpmSample *sample,
			  TpmIdSet *known, MemoryContext context)
{
	char	   *name = tpm_call_name("GET", url);
	int			invalid = sampler->server->opt.invalid_characters;
	size_t		len = answer->len;
	char	   *text;
	Jsonb	   *document;

	if (!is_success(answer))
		tpm_raise_status(sampler->session, name, answer);
	text = tpm_document_text(answer->body, &len, invalid, name);
	document = tpm_document_json(answer->body, answer->len, invalid, name);
	if (!JB_ROOT_IS_OBJECT(document))
		not_a_document(name, "It is no JSON object.");
	name_members(sample, known, context, text);
	return document;
}

static void
read_pages(TpmSampler *sampler, const char *resource, TpmSample *sample, MemoryContext context)
{
	TpmIdSet   *known = tpm_idset_create(64);
	char	   *url;
	TpmAnswer  *answer = get_first(sampler, resource, &url);

	for (int page = 1;; page++)
	{
		Jsonb	   *document = read_document(sampler, answer, url, sample, known, context);
		int			received = look_at_data(sample, document, context, tpm_call_name("GET", url));
		char	   *next = tpm_sample_next(document);
		const char *problem;

		if (page == 1)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			if (sampler->page_size < sampler->server->opt.page_size)
				sample->paging.page_size = sampler->page_size;
			tpm_sample_paging(sampler, document, url, received, &sample->paging);
			MemoryContextSwitchTo(old);
		}
		if (page == sampler->pages || next == NULL)
			return;
		url = tpm_link_resolve(sampler->server, sampler->server->opt.links_origin, url, next, &problem);
		if (url == NULL)
			return;
		answer = tpm_client_get(sampler->session, url, TPM_CALL_ANY);
	}
}

/* is it this resource that is at fault, and not the way to the API? */
static bool
is_of_resource(const TpmSampler *sampler, const ErrorData *error)
{
	int			code = error->sqlerrcode;

	if (tpm_error_is_interrupt(error))
		return false;
	if (code == ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION ||
		code == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION)
		return sampler->answered;
	return code == ERRCODE_FDW_UNABLE_TO_CREATE_REPLY || code == ERRCODE_FDW_TABLE_NOT_FOUND ||
		code == ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION || code == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		ERRCODE_TO_CATEGORY(code) == ERRCODE_DATA_EXCEPTION ||
		ERRCODE_TO_CATEGORY(code) == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

static void
warn_skipped(const char *resource, const ErrorData *error)
{
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("resource \"%s\" is skipped: %s", resource, error->message),
			 error->detail ? errdetail("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0));
}

TpmSample *
tpm_sample_take(TpmSampler *sampler, const char *resource)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext pages = AllocSetContextCreate(context, "tpm_fdw sample", ALLOCSET_DEFAULT_SIZES);
	TpmSample  *sample = palloc0(sizeof(TpmSample));
	volatile bool skipped = false;

	sample->paging.style = -1;
	sampler->page_size = sampler->server->opt.page_size;
	MemoryContextSwitchTo(pages);
	PG_TRY();
	{
		read_pages(sampler, resource, sample, context);
		sampler->answered = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_of_resource(sampler, error))
			PG_RE_THROW();
		FlushErrorState();
		warn_skipped(resource, error);
		skipped = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	MemoryContextDelete(pages);
	if (skipped)
		return NULL;
	if (sample->paging.style >= 0)
		sampler->paging = &sample->paging;
	return sample;
}
