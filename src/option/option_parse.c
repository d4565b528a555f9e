/*-------------------------------------------------------------------------
 *
 * option_parse.c
 *		From the text of an option to the field that holds it.
 *
 * Owns the kinds of values.  The validator and the readers of stored options
 * come through here alike, so what was accepted can be read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "option/option_internal.h"

/* A user mapping's values are secrets and never shown */
void
tpm_option_bad(const TpmOptionDef *def, const char *value, const char *detail)
{
	bool		secret = (def->contexts & TPM_ON_MAPPING) || (def->flags & TPM_OPT_QUIET);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 secret ? errmsg("invalid value for option \"%s\"", def->name)
			 : errmsg("invalid value for option \"%s\": \"%s\"", def->name, value),
			 errdetail("%s", detail)));
}

List *
tpm_split(const char *text, char separator)
{
	List	   *parts = NIL;
	const char *end;

	while ((end = strchr(text, separator)) != NULL)
	{
		parts = lappend(parts, makeString(pnstrdup(text, end - text)));
		text = end + 1;
	}
	return lappend(parts, makeString(pstrdup(text)));
}

static char *
trimmed_option(const char *text)
{
	int			len;

	while (*text == ' ')
		text++;

	len = strlen(text);
	while (len > 0 && text[len - 1] == ' ')
		len--;
	return pnstrdup(text, len);
}

void
tpm_parse_text(const TpmOptionDef *def, const char *value, void *target)
{
	const char *problem = def->check ? def->check(def, value) : NULL;

	if (value[0] == '\0' && (def->flags & TPM_OPT_NONE))
	{
		*TPM_FIELD(char *, target, def) = NULL;
		return;
	}
	if (value[0] == '\0' && !(def->flags & TPM_OPT_EMPTY))
		problem = "It must not be empty.";
	if (problem)
		tpm_option_bad(def, value, problem);
	*TPM_FIELD(char *, target, def) = pstrdup(value);
}

/* A URL that paths are appended to */
void
tpm_parse_url(const TpmOptionDef *def, const char *value, void *target)
{
	char	   *url;
	int			len;

	tpm_parse_text(def, value, target);
	url = *TPM_FIELD(char *, target, def);
	for (len = strlen(url); len > 0 && url[len - 1] == '/'; len--)
		url[len - 1] = '\0';
}

void
tpm_parse_names(const TpmOptionDef *def, const char *value, void *target)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, value[0] ? tpm_split(value, ',') : NIL)
	{
		char	   *name = trimmed_option(strVal(lfirst(lc)));

		if (name[0] == '\0')
			tpm_option_bad(def, value, "It must be a list of names separated by commas.");
		names = lappend(names, makeString(name));
	}
	*TPM_FIELD(List *, target, def) = names;
}

static bool
boolean_of(const TpmOptionDef *def, const char *value)
{
	bool		result = false;

	if (!parse_bool(value, &result))
		tpm_option_bad(def, value, "It must be a Boolean: on, off, true, false, yes, no, 1 or 0.");
	return result;
}

void
tpm_parse_boolean(const TpmOptionDef *def, const char *value, void *target)
{
	*TPM_FIELD(bool, target, def) = boolean_of(def, value);
}

static const char *
range_of(const TpmOptionDef *def)
{
	const char *unit = def->unit == GUC_UNIT_MS ? " ms" :
	def->unit == GUC_UNIT_S ? " s" :
	def->unit == GUC_UNIT_KB ? " kB" : "";
	const char *words = def->words ? psprintf("\"%s\", or ", def->words[0].word) : "";

	if (def->unit)
		return psprintf("It must be %sfrom %d%s to %d%s; a number may carry a unit, as in \"%s\".",
						words, def->min, unit, def->max, unit,
						def->unit == GUC_UNIT_KB ? "64MB" : "10s");
	return psprintf("It must be %sa number from %d to %d.", words, def->min, def->max);
}

static int
number_of(const TpmOptionDef *def, const char *value)
{
	int			result = 0;

	for (const TpmWord *word = def->words; word && word->word; word++)
	{
		if (pg_strcasecmp(word->word, value) == 0)
			return word->value;
	}
	if (!parse_int(value, &result, def->unit, NULL) || result < def->min || result > def->max)
		tpm_option_bad(def, value, range_of(def));
	return result;
}

void
tpm_parse_number(const TpmOptionDef *def, const char *value, void *target)
{
	*TPM_FIELD(int, target, def) = number_of(def, value);
}

void
tpm_parse_kilobytes(const TpmOptionDef *def, const char *value, void *target)
{
	*TPM_FIELD(int64, target, def) = (int64) number_of(def, value) * 1024;
}

static int
word_value(const TpmOptionDef *def, const char *value, const char *word)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const TpmWord *w = def->words; w->word; w++)
	{
		if (pg_strcasecmp(w->word, word) == 0)
			return w->value;
		appendStringInfo(&list, "%s\"%s\"", list.len ? ", " : "", w->word);
	}
	tpm_option_bad(def, value, psprintf("Valid values are: %s.", list.data));
	return 0;					/* not reached */
}

void
tpm_parse_word(const TpmOptionDef *def, const char *value, void *target)
{
	*TPM_FIELD(int, target, def) = word_value(def, value, value);
}

void
tpm_parse_word_flag(const TpmOptionDef *def, const char *value, void *target)
{
	*TPM_FIELD(bool, target, def) = (word_value(def, value, value) != 0);
}

/* A list of words, as a sum of their bits */
void
tpm_parse_words(const TpmOptionDef *def, const char *value, void *target)
{
	int			bits = 0;
	ListCell   *lc;

	foreach(lc, tpm_split(value, ','))
		bits |= word_value(def, value, trimmed_option(strVal(lfirst(lc))));
	*TPM_FIELD(int, target, def) = bits;
}

/* A list of HTTP statuses of refusals and failures */
void
tpm_parse_statuses(const TpmOptionDef *def, const char *value, void *target)
{
	List	   *statuses = NIL;
	ListCell   *lc;

	foreach(lc, tpm_split(value, ','))
	{
		char	   *text = trimmed_option(strVal(lfirst(lc)));

		if (strlen(text) != 3 || strspn(text, "0123456789") != 3 || (text[0] != '4' && text[0] != '5'))
			tpm_option_bad(def, value, "It must be a list of statuses from 400 to 599, as in \"429,503\".");
		statuses = list_append_unique_int(statuses, atoi(text));
	}
	*TPM_FIELD(List *, target, def) = statuses;
}

/* Reads up to an unquoted stop character; *s is left on it */
static char *
quoted_part(const char **s, const char *stop)
{
	StringInfoData part;

	initStringInfo(&part);
	while (**s && strchr(stop, **s) == NULL)
	{
		if (**s == '\\' && (*s)[1] != '\0')
			(*s)++;
		appendStringInfoChar(&part, *(*s)++);
	}
	return part.data;
}

/* the API's rows of the second meaning would never arrive */
static bool
has_pair(List *pairs, const char *sql)
{
	ListCell   *lc;

	foreach(lc, pairs)
	{
		if (strcmp(((TpmFilterValue *) lfirst(lc))->sql, sql) == 0)
			return true;
	}
	return false;
}

void
tpm_parse_filter_values(const TpmOptionDef *def, const char *value, void *target)
{
	List	   *pairs = NIL;
	const char *s = value;

	for (;;)
	{
		TpmFilterValue *pair = palloc(sizeof(TpmFilterValue));

		pair->sql = quoted_part(&s, ",=");
		if (*s++ != '=')
			break;
		pair->api = quoted_part(&s, ",=");
		if (*s == '=' || pair->api[0] == '\0')
			break;
		if (has_pair(pairs, pair->sql))
			tpm_option_bad(def, value, "No SQL value may be given twice.");
		pairs = lappend(pairs, pair);
		if (*s++ == '\0')
		{
			*TPM_FIELD(List *, target, def) = pairs;
			return;
		}
	}
	tpm_option_bad(def, value, "It must be pairs \"SQL value=API value\" separated by commas; a backslash quotes \",\", \"=\" and \"\\\".");
}

/* Where the value of a column comes from: only one such option may be given */
static void
set_source(const TpmOptionDef *def, TpmColumn *column, TpmColumnKind kind, List *path)
{
	if (column->explicit_mapping)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" conflicts with another option of the column", def->name),
				 errdetail("Only one of \"attribute\", \"relationship\", \"included\", \"pointer\", \"custom_field\" and \"fetched_at\" can say where a value comes from.")));
	column->explicit_mapping = true;
	column->kind = kind;
	column->path = path;
}

static List *
slash_path(const TpmOptionDef *def, const char *value, int least)
{
	List	   *path = tpm_split(value, '/');
	ListCell   *lc;
	bool		good = (list_length(path) >= least);

	foreach(lc, path)
		good = good && strVal(lfirst(lc))[0] != '\0';
	if (!good)
		tpm_option_bad(def, value, least > 1 ?
					   "It must be \"relationship/attribute\"." :
					   "It must be the name of a member, or several joined by \"/\".");
	return path;
}

void
tpm_parse_attribute(const TpmOptionDef *def, const char *value, void *target)
{
	set_source(def, target, TPM_COL_ATTRIBUTE, slash_path(def, value, 1));
}

void
tpm_parse_included(const TpmOptionDef *def, const char *value, void *target)
{
	set_source(def, target, TPM_COL_INCLUDED, slash_path(def, value, 2));
}

static List *
one_name(const TpmOptionDef *def, const char *value)
{
	if (value[0] == '\0')
		tpm_option_bad(def, value, "It must not be empty.");
	return list_make1(makeString(pstrdup(value)));
}

void
tpm_parse_relationship(const TpmOptionDef *def, const char *value, void *target)
{
	set_source(def, target, TPM_COL_RELATIONSHIP, one_name(def, value));
}

void
tpm_parse_custom_field(const TpmOptionDef *def, const char *value, void *target)
{
	set_source(def, target, TPM_COL_CUSTOM_FIELD, one_name(def, value));
}

static char *
option_pointer_token(const char *text)
{
	StringInfoData token;

	initStringInfo(&token);
	for (; *text; text++)
	{
		if (*text == '~')
			appendStringInfoChar(&token, *++text == '0' ? '~' : '/');
		else
			appendStringInfoChar(&token, *text);
	}
	return token.data;
}

List *
tpm_pointer_path(const char *pointer)
{
	List	   *path = NIL;
	ListCell   *lc;

	foreach(lc, pointer[0] ? tpm_split(pointer + 1, '/') : NIL)
		path = lappend(path, makeString(option_pointer_token(strVal(lfirst(lc)))));
	return path;
}

void
tpm_parse_pointer(const TpmOptionDef *def, const char *value, void *target)
{
	const char *problem = tpm_check_pointer(def, value);

	if (problem)
		tpm_option_bad(def, value, problem);
	set_source(def, target, TPM_COL_POINTER, tpm_pointer_path(value));
}

void
tpm_parse_fetched_at(const TpmOptionDef *def, const char *value, void *target)
{
	if (boolean_of(def, value))
		set_source(def, target, TPM_COL_FETCHED_AT, NIL);
}
