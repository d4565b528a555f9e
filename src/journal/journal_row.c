/*-------------------------------------------------------------------------
 *
 * journal_row.c
 *		A row of the view tpm_fdw_writes, from the records of one write.
 *
 * Owns what is shown of a write: old and new are for the role that wrote, the
 * table's owner and superusers.  The journal is the cluster's, so texts may
 * come in another database's encoding.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/string.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "journal/journal_internal.h"

#define WRITES_COLUMNS 21

/* a row in the making */
typedef struct WritesRow
{
	int			n;
	Datum		values[WRITES_COLUMNS];
	bool		nulls[WRITES_COLUMNS];
} WritesRow;

/* ----- rights ----- */

static bool
owns_relation(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		owns;

	if (!HeapTupleIsValid(tuple))
		return false;
	owns = has_privs_of_role(GetUserId(), ((Form_pg_class) GETSTRUCT(tuple))->relowner);
	ReleaseSysCache(tuple);
	return owns;
}

/* an OID means something in its own database only */
static bool
may_see_values(const TpmJournalHead *intent)
{
	return intent->roleid == GetUserId() || superuser() ||
		(intent->dbid == MyDatabaseId && owns_relation(intent->relid));
}

/* ----- texts of another database ----- */

/* NULL: it cannot be */
static char *
convert_text(const char *text, int len, int encoding)
{
	Oid			proc = FindDefaultConversionProc(encoding, GetDatabaseEncoding());
	char	   *converted;
	int			size;

	if (!OidIsValid(proc) || len >= (int) (MaxAllocSize / MAX_CONVERSION_GROWTH))
		return NULL;
	size = len * MAX_CONVERSION_GROWTH + 1;
	converted = palloc(size);
	if (pg_do_encoding_conversion_buf(proc, encoding, GetDatabaseEncoding(),
									  (unsigned char *) unconstify(char *, text), len,
									  (unsigned char *) converted, size, true) != len)
		return NULL;
	return converted;
}

/* what has no place in this database's encoding becomes question marks */
static const char *
readable(const char *text, int encoding)
{
	int			len = strlen(text);
	char	   *copy;

	if (encoding == GetDatabaseEncoding() || GetDatabaseEncoding() == PG_SQL_ASCII ||
		pg_is_ascii(text))
		return text;
	if (encoding != PG_SQL_ASCII)
		copy = convert_text(text, len, encoding);
	else if (pg_encoding_verifymbstr(GetDatabaseEncoding(), text, len) == len)
		return text;
	else
		copy = NULL;
	if (copy == NULL)
	{
		copy = pstrdup(text);
		for (char *c = copy; *c; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	}
	return copy;
}

/* ----- columns ----- */

static void
add(WritesRow *row, Datum value, bool isnull)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = isnull;
}

/* 0 is NULL */
static void
add_bigint(WritesRow *row, int64 value)
{
	add(row, Int64GetDatum(value), value == 0);
}

static void
add_text(WritesRow *row, const TpmJournalEntry *entry, TpmJournalText which)
{
	const char *text = entry->texts[which];

	if (text)
		add(row, CStringGetTextDatum(readable(text, entry->head.encoding)), false);
	else
		add(row, (Datum) 0, true);
}

/* by a type's input function, which takes whatever was written here */
static void
add_typed(WritesRow *row, const TpmJournalEntry *entry, TpmJournalText which, PGFunction input)
{
	const char *text = entry->texts[which];

	if (text)
		add(row, DirectFunctionCall1(input, CStringGetDatum(readable(text, entry->head.encoding))),
			false);
	else
		add(row, (Datum) 0, true);
}

static void
add_columns(WritesRow *row, const TpmJournalEntry *entry)
{
	int			n = entry->head.ncolumns;
	Datum	   *names = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		names[i] = CStringGetTextDatum(readable(entry->columns[i], entry->head.encoding));
	add(row, PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT)), false);
}

static Datum
text_as_jsonb(const char *text)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	return JsonbPGetDatum(JsonbValueToJsonb(&value));
}

/*
 * What an API says may be JSON and yet no jsonb (\u0000); one such value must
 * not hide all others.  Only the parser runs here, which holds nothing.
 */
static Datum
read_jsonb(const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Datum value = (Datum) 0;

	PG_TRY();
	{
		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	}
	PG_CATCH();
	{
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		value = text_as_jsonb(text);
	}
	PG_END_TRY();
	return value;
}

static void
add_jsonb(WritesRow *row, const TpmJournalEntry *entry, TpmJournalText which, bool visible)
{
	const char *text = entry->texts[which];

	if (text && visible)
		add(row, read_jsonb(readable(text, entry->head.encoding)), false);
	else
		add(row, (Datum) 0, true);
}

/* ----- the row ----- */

static void
fill_row(WritesRow *row, const TpmJournalEntry *intent, const TpmJournalEntry *outcome,
		 const char *become)
{
	bool		values = may_see_values(&intent->head);
	const TpmJournalEntry *id = outcome->texts[TPM_JOURNAL_ID] ? outcome : intent;
	const TpmJournalEntry *new = outcome->texts[TPM_JOURNAL_NEW] ? outcome : intent;

	add_bigint(row, intent->head.number);
	add(row, TimestampTzGetDatum(intent->head.at), false);
	add(row, TimestampTzGetDatum(outcome->head.at), outcome->head.kind == 0);
	add_typed(row, intent, TPM_JOURNAL_SERVER, namein);
	add_text(row, intent, TPM_JOURNAL_RELATION);
	add_text(row, intent, TPM_JOURNAL_METHOD);
	add_text(row, intent, TPM_JOURNAL_PATH_TEXT);
	add_text(row, id, TPM_JOURNAL_ID);
	add_columns(row, intent);
	add_jsonb(row, intent, TPM_JOURNAL_OLD, values);
	add_jsonb(row, new, TPM_JOURNAL_NEW, values);
	add(row, Int32GetDatum(outcome->head.status), outcome->head.status == 0);
	add(row, CStringGetTextDatum(become), false);
	add_text(row, intent, TPM_JOURNAL_REQUEST_ID);
	add_typed(row, intent, TPM_JOURNAL_ROLE, namein);
	add_typed(row, intent, TPM_JOURNAL_SESSION_ROLE, namein);
	add_text(row, intent, TPM_JOURNAL_APPLICATION_NAME);
	add_typed(row, intent, TPM_JOURNAL_CLIENT_ADDR, inet_in);
	add_typed(row, intent, TPM_JOURNAL_DATABASE, namein);
	add_bigint(row, intent->head.transaction_id);
	add_bigint(row, intent->head.query_id);
}

void
tpm_journal_put_row(ReturnSetInfo *result, const TpmJournalEntry *intent,
					const TpmJournalEntry *outcome, const char *become)
{
	WritesRow	row = {0};

	fill_row(&row, intent, outcome, become);
	Assert(row.n == WRITES_COLUMNS);
	tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
}
