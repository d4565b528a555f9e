/*-------------------------------------------------------------------------
 *
 * openapi_resource.c
 *		Operations put together to resources.
 *
 * A resource is a path that can be read, and the path below it that ends in
 * one more placeholder.  Owns where base_url is in the document, and what the
 * tables are called.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "import/openapi/openapi_internal.h"

/* segments of a path that a table's name may be made of */
#define MAX_NAME_PARTS 8

/* of a path */
#define MAX_PATH_BYTES 1000

/* ----- paths ----- */

static List *
segments_of(const char *path)
{
	List	   *segments = NIL;

	for (const char *at = path; *at;)
	{
		int			len = strcspn(at, "/");

		if (len > 1 && at[0] == ':')
			/* not OpenAPI's way, but many a document's */
			segments = lappend(segments, psprintf("{%s}", pnstrdup(at + 1, len - 1)));
		else if (len > 0)
			segments = lappend(segments, pnstrdup(at, len));
		at += len;
		at += *at == '/';
	}
	return segments;
}

static bool
is_placeholder(const char *segment)
{
	return strchr(segment, '{') != NULL;
}

/* the path of an absolute URL, or the text itself; always begins with "/" or is empty */
static const char *
path_of(const char *url)
{
	const char *scheme = strstr(url, "://");
	const char *path = scheme ? strchr(scheme + 3, '/') : url[0] == '/' ? url : NULL;

	return path ? path : "";
}

/*
 * What precedes every path, as the document says; *said: it says something.
 * Of several servers the first is as good as any, since base_url is ours.
 */
static const char *
document_base(const TpmOpenapi *api, bool *said)
{
	const TpmNode *servers = tpm_node_member(api->root, "servers");
	const char *base = api->swagger ? tpm_node_text(tpm_node_member(api->root, "basePath"))
	: tpm_node_count(servers) > 0 ? tpm_node_text(tpm_node_member(servers->items[0], "url")) : NULL;

	*said = base != NULL;
	return base ? path_of(base) : "";
}

/* How many segments of base are at the front of the path, if all are; else -1 */
static int
match_front(const List *base, const List *path, bool placeholders)
{
	ListCell   *lc;

	if (list_length(base) > list_length(path))
		return -1;
	foreach(lc, base)
	{
		const char *segment = list_nth(path, foreach_current_index(lc));

		if (strcmp(lfirst(lc), segment) != 0 && !(placeholders && is_placeholder(segment)))
			return -1;
	}
	return list_length(base);
}

static char *
join_segments(const List *segments, int from)
{
	StringInfoData path;

	initStringInfo(&path);
	for (int i = from; i < list_length(segments); i++)
		appendStringInfo(&path, "/%s", (char *) list_nth(segments, i));
	return path.data;
}

static bool
has_slash(const char *path)
{
	return path[0] != '\0' && path[strlen(path) - 1] == '/';
}

/*
 * The path below base_url, which may end above the document's paths, or within
 * them: https://api.example.com/v1/orgs/7 gives /orgs/{org_id}/cases its org.
 * NULL: it lies elsewhere.
 */
static char *
path_below(const TpmOpenapi *api, const TpmServer *server, const char *path)
{
	bool		said;
	const char *slash = has_slash(path) ? "/" : "";
	List	   *base = segments_of(path_of(server->opt.base_url));
	List	   *own = segments_of(document_base(api, &said));
	List	   *all = list_concat_copy(own, segments_of(path));
	int			front = match_front(base, all, said);

	if (front >= 0)
		return psprintf("%s%s", join_segments(all, front), slash);
	/* base_url leads somewhere that the document does not know: a gateway */
	if (api->anywhere || !said || match_front(own, base, false) < 0 || list_length(base) <= list_length(own))
		return psprintf("%s%s", join_segments(segments_of(path), 0), slash);
	return NULL;
}

/*
 * What the document says of its own place may be its author's: if nothing in
 * it lies below base_url, all of it does.
 */
static void
find_resource_place(TpmOpenapi *api, const TpmServer *server, const TpmDict *paths)
{
	for (int i = 0; i < paths->count; i++)
	{
		if (path_below(api, server, paths->names[i]) != NULL)
			return;
	}
	if (paths->count == 0)
		return;
	api->anywhere = true;
	tpm_openapi_warning(api, psprintf("no path of document \"%s\" lies below base_url, \"%s\"", api->where,
									  server->opt.base_url),
						"They are taken to be relative to it.");
}

/* The last n fixed segments of the path, or all: third_parties_notes */
static char *
name_of(const TpmResource *known, int n)
{
	List	   *segments = segments_of(known->resource);
	char	   *name = NULL;

	for (int i = list_length(segments) - 1; i >= 0 && n > 0; i--)
	{
		char	   *segment = list_nth(segments, i);

		if (is_placeholder(segment))
			continue;
		name = name ? psprintf("%s_%s", segment, name) : segment;
		n--;
	}
	return name ? name : pstrdup("unnamed");
}

/* ----- operations ----- */

static const TpmNode *
operation(const TpmNode *path_item, const char *method)
{
	const TpmNode *found = tpm_node_member(path_item, method);

	return found != NULL && found->kind == TPM_NODE_OBJECT ? found : NULL;
}

static bool
writes(const TpmNode *path_item)
{
	return operation(path_item, "post") || operation(path_item, "put") || operation(path_item, "patch");
}

/* An operation's parameter takes the place of its path's of the same name and kind */
static void
add_parameters(TpmOpenapi *api, TpmDict *into, const TpmNode *parameters)
{
	for (int i = 0; i < tpm_node_count(parameters); i++)
	{
		const TpmNode *parameter = tpm_openapi_resolve(api, parameters->items[i]);
		const char *name = tpm_node_text(tpm_node_member(parameter, "name"));
		const char *in = tpm_node_text(tpm_node_member(parameter, "in"));

		if (name && in)
			tpm_dict_put(into, psprintf("%s %s", in, name), unconstify(TpmNode *, parameter));
	}
}

List *
tpm_openapi_parameters(TpmOpenapi *api, const TpmNode *path_item, const TpmNode *operation)
{
	TpmDict		found = {0};
	List	   *parameters = NIL;

	add_parameters(api, &found, tpm_node_member(path_item, "parameters"));
	add_parameters(api, &found, tpm_node_member(operation, "parameters"));
	for (int i = 0; i < found.count; i++)
		parameters = lappend(parameters, found.values[i]);
	return parameters;
}

/* ----- resources ----- */

/* What nobody has asked for needs no WARNING */
static void
skip(TpmOpenapi *api, const char *path, const char *why)
{
	TpmResource unknown = {.resource = path};

	if (tpm_import_wants(api->options, name_of(&unknown, 1)))
		tpm_openapi_warning(api, psprintf("skipping \"%s\"", tpm_name_shown(path)), why);
}

static int
count_placeholders(const char *path)
{
	int			count = 0;

	for (const char *c = path; *c; c++)
		count += *c == '{';
	return count;
}

static TpmResource *
begin_resource(TpmOpenapi *api, const TpmServer *server, const char *path, const TpmNode *item)
{
	TpmResource *known = palloc0(sizeof(TpmResource));
	const char *problem;

	known->path = path;
	known->resource = path_below(api, server, path);
	if (known->resource == NULL)
	{
		skip(api, path, psprintf("It does not lie below base_url, \"%s\".", server->opt.base_url));
		return NULL;
	}
	problem = strlen(path) > MAX_PATH_BYTES ? "Its path is too long."
		: tpm_option_problem("resource", known->resource);
	if (problem)
	{
		skip(api, path, problem);
		return NULL;
	}
	known->list = operation(item, "get");
	known->create = operation(item, "post");
	known->list_item = item;
	known->placeholders = count_placeholders(known->resource);
	return known;
}

/* A path that ends in a placeholder is one of those that the path above it lists */
static bool
ends_in_placeholder(const char *path)
{
	const char *last = strrchr(path, '/');

	return last && last[1] == '{' && path[strlen(path) - 1] == '}';
}

static TpmResource *
resource_above(const TpmDict *resources, const char *path)
{
	const char *last = strrchr(path, '/');

	return tpm_dict_get(resources, pnstrdup(path, last - path));
}

static void
add_one(TpmOpenapi *api, const TpmDict *resources, const char *path, const TpmNode *item)
{
	TpmResource *known = resource_above(resources, path);

	if (known == NULL)
	{
		if (operation(item, "get") || writes(item))
			skip(api, path, "It answers one resource, and there is no list of them.");
		return;
	}
	if (known->one_item)
		return;
	known->one_item = item;
	known->one = operation(item, "get");
	known->put = operation(item, "put");
	known->patch = operation(item, "patch");
}

static TpmDict *
find_resources(TpmOpenapi *api, const TpmServer *server)
{
	const TpmDict *paths = tpm_node_members(tpm_node_member(api->root, "paths"));
	TpmDict    *resources = palloc0(sizeof(TpmDict));

	find_resource_place(api, server, paths);
	for (int i = 0; i < paths->count; i++)
	{
		const TpmNode *item = tpm_openapi_resolve(api, paths->values[i]);
		char	   *path = join_segments(segments_of(paths->names[i]), 0);
		TpmResource *known;

		api->steps = 0;
		if (ends_in_placeholder(path) || tpm_dict_get(resources, path))
			continue;
		if (operation(item, "get") == NULL)
		{
			if (writes(item))
				skip(api, path, "It has no operation that reads.");
			continue;
		}
		known = begin_resource(api, server, paths->names[i], item);
		if (known)
			tpm_dict_put(resources, path, known);
	}
	for (int i = 0; i < paths->count; i++)
	{
		char	   *path = join_segments(segments_of(paths->names[i]), 0);

		api->steps = 0;
		if (ends_in_placeholder(path))
			add_one(api, resources, path, tpm_openapi_resolve(api, paths->values[i]));
	}
	api->problem = NULL;
	return resources;
}

/* ----- names ----- */

char *
tpm_openapi_last_segment(const TpmResource *known)
{
	return name_of(known, 1);
}

static int
by_placeholders(const ListCell *a, const ListCell *b)
{
	return ((TpmResource *) lfirst(a))->placeholders - ((TpmResource *) lfirst(b))->placeholders;
}

/*
 * Of the paths that end alike, that with the fewest placeholders has the short
 * name; the others are called by more of their path.
 */
static void
give_names(List *resources)
{
	TpmNames	names;
	TpmDict		used = {0};
	ListCell   *lc;

	tpm_names_of_tables(&names);
	list_sort(resources, by_placeholders);
	foreach(lc, resources)
	{
		TpmResource *known = lfirst(lc);
		char	   *wish = name_of(known, 1);

		for (int n = 2; n <= MAX_NAME_PARTS && tpm_dict_get(&used, wish) != NULL; n++)
		{
			char	   *longer = name_of(known, n);

			if (strcmp(longer, wish) == 0)
				break;
			wish = longer;
		}
		tpm_dict_put(&used, wish, known);
		known->name = tpm_names_add(&names, wish);
	}
}

/* Whether its answer can be a table, said in memory that is given back */
static bool
resource_is_usable(TpmOpenapi *api, const TpmResource *known)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tpm_fdw resource", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	const char *problem;

	api->steps = 0;
	api->problem = NULL;
	problem = tpm_openapi_list_problem(api, known);
	if (problem)
		skip(api, known->path, psprintf("It cannot be a table: %s.", problem));
	api->problem = NULL;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return problem == NULL;
}

List *
tpm_openapi_resources(TpmOpenapi *api, const TpmServer *server)
{
	TpmDict    *found = find_resources(api, server);
	List	   *resources = NIL;

	for (int i = 0; i < found->count; i++)
	{
		if (resource_is_usable(api, found->values[i]))
			resources = lappend(resources, found->values[i]);
	}
	if (resources == NIL && api->warnings == 0)
		tpm_openapi_warning(api, psprintf("document \"%s\" describes no list of resources", api->where),
							"Nothing is imported.");
	give_names(resources);
	return resources;
}
