/*-------------------------------------------------------------------------
 *
 * sample.c
 *		Real pages of a resource.
 *
 * Owns the requests of an import by sample, and which of their failures are
 * about one resource and not about the API as a whole.  Names, types and
 * tables are the importer's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/idset.h"
#include "document/document.h"
#include "import/sample.h"
#include "request/request.h"
#include "scan/list.h"

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
read_sampled_document(TpmSampler *sampler, TpmAnswer *answer, const char *url, TpmSample *sample,
					  TpmIdSet *known, MemoryContext context)
{
	char	   *name = tpm_call_name("GET", url);
	int			invalid = sampler->server->opt.invalid_characters;
	size_t		len = answer->len;
	char	   *text;
	Jsonb	   *document;

	if (!is_success(answer))
		tpm_raise_status(sampler->session, name, answer);
	text = tpm_text_of_body(answer->body, &len, invalid, name);
	document = tpm_json_of_body(answer->body, answer->len, invalid, name);
	if (!JB_ROOT_IS_OBJECT(document))
		tpm_sample_refuse(name, "It is no JSON object.");
	tpm_document_refuse_errors(document, name);
	tpm_sample_names(sample, known, context, text);
	return document;
}

/* a resource whose pages are read */
typedef struct Sampling
{
	TpmSampler *sampler;
	const char *resource;
	TpmSample  *sample;
	MemoryContext context;		/* of what is kept */
} Sampling;

static void
read_pages(void *arg)
{
	Sampling   *sampling = arg;
	TpmSampler *sampler = sampling->sampler;
	const char *resource = sampling->resource;
	TpmSample  *sample = sampling->sample;
	MemoryContext context = sampling->context;
	TpmIdSet   *known = tpm_idset_create(64);
	char	   *url;
	TpmAnswer  *answer = get_first(sampler, resource, &url);

	for (int page = 1;; page++)
	{
		Jsonb	   *document = read_sampled_document(sampler, answer, url, sample, known, context);
		int			received = tpm_sample_data(sample, document, context, tpm_call_name("GET", url));
		TpmListFacts facts = {
			.opt = &sampler->server->opt,
			.asked = sampler->page_size,
			.received = received,
			.first_page_rows = received,
			.page = page,
			.rows = received,
			.total = -1,
		};
		const char *problem;

		tpm_sample_links(document, answer, &facts);
		if (page == 1)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			if (sampler->page_size < sampler->server->opt.page_size)
				sample->paging.page_size = sampler->page_size;
			tpm_sample_paging(sampler, document, url, &facts, &sample->paging);
			MemoryContextSwitchTo(old);
		}
		if (page == sampler->pages || facts.links.next == NULL)
			return;
		url = tpm_link_resolve(sampler->server, sampler->server->opt.links_origin, url, facts.links.next, &problem);
		if (url == NULL)
			return;
		answer = tpm_client_get(sampler->session, url, TPM_CALL_ANY);
	}
}

/* is it this resource that is at fault, and not the way to the API? */
static bool
is_error_of_resource(const TpmSampler *sampler, const ErrorData *error)
{
	int			code = error->sqlerrcode;

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

/* whatever is wrong with one resource, the others are imported */
TpmSample *
tpm_sample_take(TpmSampler *sampler, const char *resource)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext pages = AllocSetContextCreate(context, "tpm_fdw sample", ALLOCSET_DEFAULT_SIZES);
	TpmSample  *sample = palloc0(sizeof(TpmSample));
	Sampling	sampling = {sampler, resource, sample, context};
	ErrorData  *error;
	bool		taken;

	sample->paging.style = -1;
	sampler->page_size = sampler->server->opt.page_size;
	MemoryContextSwitchTo(pages);
	taken = tpm_attempt(read_pages, &sampling, &error);
	if (!taken && !is_error_of_resource(sampler, error))
		ReThrowError(error);
	if (!taken)
		warn_skipped(resource, error);
	MemoryContextSwitchTo(context);
	MemoryContextDelete(pages);
	if (!taken)
		return NULL;
	sampler->answered = true;
	if (sample->paging.style >= 0)
		sampler->paging = &sample->paging;
	return sample;
}
