/*-------------------------------------------------------------------------
 *
 * import_name.c
 *		Names of tables and columns, made from what an API calls them.
 *
 * Owns what becomes of names that SQL cannot write, or that would be there
 * twice: an import never fails because of one, and never hides that it has
 * changed one.  What a column stands for is told by its options, so those are
 * checked here too: a name that no option can hold is left out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/heap.h"
#include "common/keywords.h"
#include "mb/pg_wchar.h"

#include "import/import_name.h"

/* pg_attribute has no TOAST table: its options must fit into a page with the rest */
#define MAX_GIVEN_BYTES		1000

/* fetched_at and what a user may want to add still find room */
#define MAX_COLUMNS			(MaxHeapAttributeNumber - 100)
#define MAX_TABLES			100000

/* of one table, or of the tables' own */
#define MAX_WARNINGS		50

/* of a name, for people */
#define MAX_SHOWN_BYTES		100

typedef struct TakenName
{
	char		name[NAMEDATALEN];	/* the key */
	int			next;			/* number to try for the next of that name */
} TakenName;

static void
names_begin(TpmNames *names, const char *kind, const char *table, int most)
{
	HASHCTL		control;

	memset(&control, 0, sizeof(control));
	control.keysize = NAMEDATALEN;
	control.entrysize = sizeof(TakenName);
	control.hcxt = CurrentMemoryContext;
	names->kind = kind;
	names->table = table;
	names->most = most;
	names->full = false;
	names->warnings = 0;
	names->taken = hash_create("tpm_fdw names", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

void
tpm_names_of_tables(TpmNames *names)
{
	names_begin(names, "table", NULL, MAX_TABLES);
}

void
tpm_names_of_columns(TpmNames *names, const char *table)
{
	names_begin(names, "column", table, MAX_COLUMNS);
}

char *
tpm_name_shown(const char *given)
{
	int			len = strlen(given);

	if (len <= MAX_SHOWN_BYTES)
		return pstrdup(given);
	return psprintf("%.*s...", pg_mbcliplen(given, len, MAX_SHOWN_BYTES), given);
}

static void
warn(TpmNames *names, int code, const char *what, const char *why)
{
	if (++names->warnings > MAX_WARNINGS + 1)
		return;
	if (names->warnings > MAX_WARNINGS)
	{
		what = psprintf("more names of %ss are changed or left out than are told", names->kind);
		why = psprintf("The first %d are.", MAX_WARNINGS);
	}
	ereport(WARNING,
			(errcode(code),
			 names->table ? errmsg("table \"%s\": %s", names->table, what) : errmsg("%s", what),
			 errdetail("%s", why)));
}

/* what no option's value may be */
static const char *
problem_of(const char *given)
{
	if (strlen(given) > MAX_GIVEN_BYTES)
		return psprintf("The name has more than %d bytes.", MAX_GIVEN_BYTES);
	for (const char *c = given; *c; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			return "The name holds a control character.";
	}
	return NULL;
}

bool
tpm_name_is_storable(const char *given)
{
	return problem_of(given) == NULL;
}

static bool
is_name_character(unsigned char c)
{
	return IS_HIGHBIT_SET(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* as SQL folds names, with what usually separates words as an underscore */
static char *
fold(const char *given, bool *strange)
{
	char	   *name = pstrdup(given);

	*strange = false;
	for (char *c = name; *c; c++)
	{
		*c = pg_ascii_tolower((unsigned char) *c);
		if (is_name_character(*c))
			continue;
		if (strchr("-. /:", *c) == NULL)
			*strange = true;
		*c = '_';
	}
	return name;
}

/* true if it was too long */
static bool
clip(char *name, int most)
{
	int			len = strlen(name);

	if (len <= most)
		return false;
	name[pg_mbcliplen(name, len, most)] = '\0';
	return true;
}

static bool
name_is_taken(TpmNames *names, const char *name)
{
	/* ctid, xmin and their like cannot be columns */
	if (names->table && SystemAttributeByName(name) != NULL)
		return true;
	return hash_search(names->taken, name, HASH_FIND, NULL) != NULL;
}

static TakenName *
take(TpmNames *names, const char *name)
{
	bool		found;
	TakenName  *entry = hash_search(names->taken, name, HASH_ENTER, &found);

	if (!found)
		entry->next = 2;
	return entry;
}

void
tpm_names_keep(TpmNames *names, const char *name)
{
	(void) take(names, name);
}

/* name_2, name_3, ... */
static char *
make_unique(TpmNames *names, const char *name)
{
	TakenName  *entry = take(names, name);
	char	   *result;

	do
	{
		char	   *suffix = psprintf("_%d", entry->next++);
		char	   *stem = pstrdup(name);

		clip(stem, NAMEDATALEN - 1 - (int) strlen(suffix));
		result = psprintf("%s%s", stem, suffix);
	} while (name_is_taken(names, result));
	return result;
}

/* would a query that does not quote it mean something else? */
static bool
needs_quotes(const char *name)
{
	int			keyword = ScanKeywordLookup(name, &ScanKeywords);

	if (name[0] >= '0' && name[0] <= '9')
		return true;
	return keyword >= 0 && (ScanKeywordCategories[keyword] == RESERVED_KEYWORD ||
							ScanKeywordCategories[keyword] == TYPE_FUNC_NAME_KEYWORD);
}

static bool
has_room_for_name(TpmNames *names)
{
	if (hash_get_num_entries(names->taken) < names->most)
		return true;
	if (!names->full)
		warn(names, ERRCODE_TOO_MANY_COLUMNS, psprintf("there are more %ss than can be imported", names->kind),
			 psprintf("The first %d are.", names->most));
	names->full = true;
	return false;
}

char *
tpm_names_add(TpmNames *names, const char *given)
{
	const char *problem = problem_of(given);
	const char *why = NULL;
	bool		strange;
	char	   *name;

	if (problem)
	{
		warn(names, ERRCODE_INVALID_NAME, psprintf("%s \"%s\" is left out", names->kind, tpm_name_shown(given)),
			 problem);
		return NULL;
	}
	if (!has_room_for_name(names))
		return NULL;
	name = fold(given, &strange);
	if (strange)
		why = "Letters, digits and underscores make names that need no quotes.";
	if (name[0] == '\0')
	{
		name = pstrdup(names->kind);
		why = "It has no name.";
	}
	if (clip(name, NAMEDATALEN - 1))
		why = psprintf("Names have at most %d bytes.", NAMEDATALEN - 1);
	if (name_is_taken(names, name))
	{
		name = make_unique(names, name);
		why = "The name is taken.";
	}
	take(names, name);
	if (why)
		warn(names, ERRCODE_WARNING, psprintf("%s \"%s\" is imported as \"%s\"", names->kind,
											  tpm_name_shown(given), name), why);
	else if (needs_quotes(name))
		warn(names, ERRCODE_WARNING, psprintf("%s \"%s\" must be quoted in queries", names->kind, name),
			 "The name is a reserved word or begins with a digit.");
	return name;
}
