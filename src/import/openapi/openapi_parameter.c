/*-------------------------------------------------------------------------
 *
 * openapi_parameter.c
 *		What the parameters of a list are good for: filters, orders, pages.
 *
 * Owns the reading of parameters.  What a filter becomes on a column is
 * openapi_filter.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/url_query.h"
#include "import/openapi/openapi_internal.h"

/* of a parameter's name: pg_attribute has no room for long options */
#define MAX_NAME_BYTES 400

/* filter[created_at][start] has two */
#define MAX_LEVELS 2

/* larger pages than this are no gain */
#define MAX_PAGE_SIZE 1000

/* ----- orders ----- */

static bool
has_order(const TpmDraftColumn *column)
{
	/* the order of texts is a matter of taste */
	return column->is_id || (!column->is_relationship && tpm_openapi_has_range(column));
}

/* Both directions must be named, where any is */
static void
read_sort(TpmDraft *draft, const TpmParameter *parameter)
{
	const List *words = parameter->values->words;
	ListCell   *lc;

	if (words == NIL && !draft->options->trust_exact)
		return;
	foreach(lc, draft->columns)
	{
		TpmDraftColumn *column = lfirst(lc);
		const char *name = column->is_id ? "id" : column->member;

		if (name == NULL || !has_order(column) || (column->is_id && !draft->options->trust_exact))
			continue;
		column->sortable = words == NIL ||
			(tpm_openapi_holds_word(words, name) && tpm_openapi_holds_word(words, psprintf("-%s", name)));
	}
}

/* ----- pages ----- */

static bool
is_named(const char *name, const char *const *names)
{
	for (; *names; names++)
	{
		if (strcmp(name, *names) == 0)
			return true;
	}
	return false;
}

/* perPage, users_per_page, PageSize and their like */
static bool
is_page_size(const char *name)
{
	static const char *const sizes[] = {"page[size]", "page[limit]", "page[per_page]", "limit", NULL};
	static const char *const ends[] = {"perpage", "per_page", "pagesize", "page_size"};
	int			len = strlen(name);

	for (int i = 0; i < (int) lengthof(ends); i++)
	{
		int			end = strlen(ends[i]);

		if (len >= end && pg_strcasecmp(name + len - end, ends[i]) == 0)
			return true;
	}
	return is_named(name, sizes);
}

/* The largest that may be asked for */
static double
largest_size(const TpmParameter *parameter)
{
	double		largest = parameter->shape->maximum ? atof(parameter->shape->maximum) : 0;
	ListCell   *lc;

	foreach(lc, parameter->values->words)
		largest = Max(largest, atof(lfirst(lc)));
	return largest;
}

/* The first page's number is what is taken without one, or else the least there is */
static bool
begins_with_zero(const TpmParameter *parameter)
{
	const char *preset = parameter->shape->preset;

	if (preset)
		return tpm_whole_number(preset) == 0 || tpm_base64_number(preset) == 0;
	return parameter->shape->minimum && strspn(parameter->shape->minimum, "0.") == strlen(parameter->shape->minimum);
}

static bool
read_page(TpmDraft *draft, const TpmParameter *parameter)
{
	static const char *const numbers[] = {"page[number]", "page[page]", "page", "page_number", "pageNumber", NULL};
	static const char *const offsets[] = {"page[offset]", "offset", "skip", NULL};

	if (is_page_size(parameter->name))
	{
		draft->page_size_parameter = parameter->name;
		if (parameter->shape->maximum || parameter->values->words != NIL)
			draft->page_size = Max(Min(largest_size(parameter), MAX_PAGE_SIZE), 1);
		return true;
	}
	if (is_named(parameter->name, offsets))
		draft->pagination = "offset";
	else if (is_named(parameter->name, numbers))
	{
		draft->pagination = parameter->shape->types != TPM_JSON_STRING ? "number"
			: parameter->shape->format && strcmp(parameter->shape->format, "byte") == 0 ? "number_base64" : NULL;
		draft->from_zero = begins_with_zero(parameter);
	}
	else
		return strncmp(parameter->name, "page[", 5) == 0;
	draft->page_parameter = parameter->name;
	return true;
}

/* ----- parameters ----- */

/* False: nothing came of it */
static bool
use_parameter(TpmDraft *draft, const TpmParameter *parameter)
{
	if (strlen(parameter->name) > MAX_NAME_BYTES || tpm_openapi_has_control(parameter->name) ||
		strchr(parameter->name, '%'))
		return false;
	if (strncmp(parameter->name, "filter[", 7) == 0)
		return tpm_openapi_read_filter(draft, parameter);
	if (strcmp(parameter->name, "sort") == 0)
	{
		read_sort(draft, parameter);
		return true;
	}
	return read_page(draft, parameter) ||
		(!draft->brackets && tpm_openapi_read_bare_filter(draft, parameter));
}

/* A required parameter that has but one value, or a usual one, is always sent with that */
static bool
add_query(TpmDraft *draft, const TpmParameter *parameter)
{
	const char *value = parameter->values->preset ? parameter->values->preset
	: list_length(parameter->values->words) == 1 ? linitial(parameter->values->words) : NULL;
	char	   *pair;

	if (value == NULL || value[0] == '\0' || strchr(value, '&') || strpbrk(parameter->name, "&="))
		return false;
	pair = psprintf("%s=%s", parameter->name, value);
	pair = draft->query ? psprintf("%s&%s", draft->query, pair) : pair;
	if (strlen(pair) > MAX_NAME_BYTES || tpm_option_problem("query", pair) != NULL)
		return false;
	draft->query = pair;
	return true;
}

static bool
says_comma_list(const char *description)
{
	static const char *const phrases[] = {"comma-separated", "comma separated", "separated by comma",
	"comma-delimited", "comma delimited"};
	char	   *lower = pstrdup(description);

	for (char *c = lower; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	for (int i = 0; i < (int) lengthof(phrases); i++)
	{
		if (strstr(lower, phrases[i]) != NULL)
			return true;
	}
	return false;
}

/* Is an array written as a,b and not as a parameter that is repeated? */
static bool
takes_list(const TpmDraft *draft, const TpmParameter *parameter)
{
	const char *style = tpm_node_text(tpm_node_member(parameter->node, "style"));
	const char *format = tpm_node_text(tpm_node_member(parameter->node, "collectionFormat"));
	const TpmNode *explode = tpm_node_member(parameter->node, "explode");

	if (!(parameter->shape->types & TPM_JSON_ARRAY))
		return parameter->description && says_comma_list(parameter->description);
	if (draft->api->swagger)
		return format == NULL || strcmp(format, "csv") == 0;
	return (style == NULL || strcmp(style, "form") == 0) && explode != NULL && !tpm_node_is_true(explode);
}

static void
read_parameter(TpmDraft *draft, const TpmNode *node, const char *name, const TpmNode *schema,
			   bool required, int level)
{
	TpmParameter parameter = {.name = name,.node = node,.required = required};
	TpmShape   *shape = tpm_openapi_shape(draft->api, schema);

	parameter.shape = shape;
	parameter.values = (shape->types & TPM_JSON_ARRAY) && shape->items
		? tpm_openapi_shape(draft->api, shape->items) : shape;
	parameter.description = tpm_node_text(tpm_node_member(node, "description"));
	if (parameter.description == NULL)
		parameter.description = shape->description;
	/* an object is spelt as one parameter for each of its members: deepObject */
	if (shape->properties.count > 0)
	{
		if (level == MAX_LEVELS)
			return;
		for (int i = 0; i < shape->properties.count; i++)
		{
			const char *member = shape->properties.names[i];

			read_parameter(draft, NULL, psprintf("%s[%s]", name, member), shape->properties.values[i],
						   tpm_dict_get(&shape->required, member) != NULL && required, level + 1);
		}
		return;
	}
	parameter.is_list = takes_list(draft, &parameter);
	draft->has_fields |= strncmp(name, "fields", 6) == 0;
	if (use_parameter(draft, &parameter) || !required)
		return;
	if (!add_query(draft, &parameter))
		tpm_openapi_warning(draft->api, psprintf("table \"%s\" cannot be read without the parameter \"%s\"",
												 draft->known->name, tpm_name_shown(name)),
							"Add it to the table's option \"query\".");
}

static void
read_header(TpmDraft *draft, const char *name)
{
	/* what is said of these does not count (OpenAPI 3.1, 4.8.12.1) */
	if (pg_strcasecmp(name, "Accept") == 0 || pg_strcasecmp(name, "Content-Type") == 0 ||
		pg_strcasecmp(name, "Authorization") == 0)
		return;
	tpm_openapi_warning(draft->api, psprintf("table \"%s\" cannot be read without the header \"%s\"",
											 draft->known->name, tpm_name_shown(name)),
						"Add it to the option \"headers\" of the server or the user mapping.");
}

void
tpm_openapi_read_parameters(TpmDraft *draft)
{
	List	   *parameters = tpm_openapi_parameters(draft->api, draft->known->list_item, draft->known->list);
	ListCell   *lc;

	foreach(lc, parameters)
	{
		const char *name = tpm_node_text(tpm_node_member(lfirst(lc), "name"));

		draft->brackets |= strncmp(name, "filter", 6) == 0;
		draft->plain |= strncmp(name, "filter[", 7) == 0 && strchr(name, '[') == strrchr(name, '[');
	}
	foreach(lc, parameters)
	{
		const TpmNode *node = lfirst(lc);
		const char *in = tpm_node_text(tpm_node_member(node, "in"));
		const char *name = tpm_node_text(tpm_node_member(node, "name"));
		bool		required = tpm_node_is_true(tpm_node_member(node, "required"));

		if (strcmp(in, "header") == 0 && required)
			read_header(draft, name);
		if (strcmp(in, "query") != 0)
			continue;
		draft->has_parameters = true;
		read_parameter(draft, node, name, tpm_openapi_parameter_schema(node), required, 0);
	}
	draft->has_filters |= draft->brackets;
}
