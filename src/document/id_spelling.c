/*-------------------------------------------------------------------------
 *
 * id_spelling.c
 *		Ids that the API spells in another way than PostgreSQL does.
 *
 * Owns what this backend has seen of them: a uuid in capitals, 0012 in a
 * column of integers.  The value of such a column does not tell under which
 * text its resource is found.  Only what differs is remembered, and of that no
 * more than fits; what a transaction has read and cannot be remembered is an
 * error where it is needed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/text.h"
#include "document/id_spelling.h"
#include "document/inverse.h"
#include "document/value.h"

/* about ten megabytes, if there ever are so many */
#define TPM_MAX_SPELLINGS	65536

/* no id of another type than text is longer, but for numbers nobody uses */
#define TPM_MAX_ID_TEXT		60

typedef struct SpellingKey
{
	Oid			relid;
	char		text[TPM_MAX_ID_TEXT];	/* filled up with zeros */
} SpellingKey;

typedef struct Spelling
{
	SpellingKey key;
	char	   *spelling;
} Spelling;

static MemoryContext spelling_context = NULL;
static HTAB *spellings = NULL;	/* NULL: none */
static TimestampTz forgot_in = 0;	/* start of the transaction in which some
									 * were dropped */

static void
drop_spellings(void)
{
	spellings = NULL;
	MemoryContextReset(spelling_context);
	forgot_in = GetCurrentTransactionStartTimestamp();
}

static void
create_spellings(void)
{
	HASHCTL		ctl = {.keysize = sizeof(SpellingKey),.entrysize = sizeof(Spelling)};

	if (spelling_context == NULL)
		spelling_context = AllocSetContextCreate(TopMemoryContext, "tpm_fdw ids", ALLOCSET_SMALL_SIZES);
	ctl.hcxt = spelling_context;
	spellings = hash_create("tpm_fdw ids", 128, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static bool
make_key(SpellingKey *key, Oid relid, const char *text)
{
	memset(key, 0, sizeof(*key));
	key->relid = relid;
	strlcpy(key->text, text, sizeof(key->text));
	return strlen(text) < sizeof(key->text);
}

bool
tpm_id_has_spellings(const TpmTable *table)
{
	const TpmColumn *id = table->id_attnum ? &table->columns[table->id_attnum - 1] : NULL;

	return id && id->type != TEXTOID && id->type != VARCHAROID;
}

/* what integers and uuids mostly look like, which need not be written to be compared */
static bool
is_own_text(Oid type, const char *s)
{
	size_t		len;

	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			len = strspn(s, "0123456789");
			return s[len] == '\0' && (s[0] != '0' || len == 1);
		case UUIDOID:
			return strlen(s) == 36 && strspn(s, "0123456789abcdef-") == 36 && s[8] == '-' &&
				s[13] == '-' && s[18] == '-' && s[23] == '-';
		default:
			return false;
	}
}

static void
remember_spelling(const TpmColumn *column, const char *text, const char *spelling)
{
	SpellingKey key;
	Spelling   *entry;
	bool		found;

	if (!make_key(&key, column->table->relid, text))
	{
		forgot_in = GetCurrentTransactionStartTimestamp();
		return;
	}
	if (spellings && hash_get_num_entries(spellings) >= TPM_MAX_SPELLINGS)
		drop_spellings();
	if (spellings == NULL)
		create_spellings();
	entry = hash_search(spellings, &key, HASH_ENTER, &found);
	if (!found)
		entry->spelling = NULL;
	if (entry->spelling && strcmp(entry->spelling, spelling) == 0)
		return;
	if (entry->spelling)
		pfree(entry->spelling);
	entry->spelling = NULL;		/* in case there is no memory */
	entry->spelling = MemoryContextStrdup(spelling_context, spelling);
}

void
tpm_id_note(const TpmColumn *column, const char *spelling, Datum id)
{
	SpellingKey key;
	char	   *text;

	if (spellings == NULL && is_own_text(column->type, spelling))
		return;
	/* what has no text under which it could be asked for */
	if (tpm_is_time_type(column->type) && tpm_time_text(column, column->type, id) == NULL)
		return;
	text = tpm_value_text(column, id);
	if (strcmp(text, spelling) != 0)
		remember_spelling(column, text, spelling);
	else if (spellings && make_key(&key, column->table->relid, text))
		(void) hash_search(spellings, &key, HASH_REMOVE, NULL);
	pfree(text);
}

const char *
tpm_id_spelling(const TpmTable *table, const char *text)
{
	SpellingKey key;
	Spelling   *entry;

	if (spellings == NULL || !make_key(&key, table->relid, text))
		return text;
	entry = hash_search(spellings, &key, HASH_FIND, NULL);
	return entry && entry->spelling ? entry->spelling : text;
}

char *
tpm_id_text(const TpmTable *table, Datum id)
{
	const TpmColumn *column = &table->columns[table->id_attnum - 1];
	char	   *text = tpm_value_text(column, id);
	const char *spelling;

	if (!tpm_id_has_spellings(table))
	{
		if (tpm_text_may_be_another(text, table->opt.invalid_characters))
			ereport(ERROR,
					(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
					 errmsg("the resource with id \"%s\" of foreign table %s cannot be addressed", text, table->name),
					 errdetail("A character of its id may have been replaced when it was read.")));
		return text;
	}
	spelling = tpm_id_spelling(table, text);
	if (spelling == text && forgot_in == GetCurrentTransactionStartTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("it is not known how the API spells id \"%s\" of foreign table %s", text, table->name),
				 errdetail("The transaction has read more than %d ids that are not spelled as PostgreSQL does.",
						   TPM_MAX_SPELLINGS),
				 errhint("Make column \"%s\" of type text, or read less in one transaction.", column->name)));
	return pstrdup(spelling);
}
