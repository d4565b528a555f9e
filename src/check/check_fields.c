/*-------------------------------------------------------------------------
 *
 * check_fields.c
 *		tpm_fdw_check of one foreign table: are members known by their names
 *		where a list asks for some of them only?
 *
 * Owns how that is found out: by a request that is sent anyhow, if every
 * resource of the first page has all members, so that one that is not given
 * when it is named tells; else, where a request is left, by the first page
 * once more.  What is found is learnt, so that no scan has to find out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "check/check.h"
#include "shared/counters.h"

typedef struct Named
{
	TpmTableCheck *check;
	const TpmAnswer *answer;
	TpmPage    *page;
} Named;

/* columns whose member was on the first page */
static List *
columns_to_name(const TpmTableCheck *check)
{
	List	   *columns = NIL;

	for (int i = 0; i < check->table->natts; i++)
	{
		const TpmColumn *column = &check->table->columns[i];

		if (column->kind != TPM_COL_NONE && tpm_request_member(check->table, column) &&
			tpm_column_bit(check->page->members.seen, column->attnum))
			columns = lappend_int(columns, column->attnum);
	}
	return columns;
}

static void
read_named_members(void *arg)
{
	Named	   *named = arg;

	named->page = tpm_check_decode(named->check, named->answer, NULL);
}

/* the members that are not there when they are named; learns of each */
static char *
unknown_names(const TpmTableCheck *check, const TpmPage *page, List *columns)
{
	uint64		named[TPM_SEEN_WORDS] = {0};
	uint64		unnamed[TPM_SEEN_WORDS] = {0};
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, columns)
	{
		int			attnum = lfirst_int(lc);
		bool		seen = tpm_column_bit(page->members.seen, attnum);
		uint64	   *words = seen ? named : unnamed;

		words[attnum / 64] |= UINT64CONST(1) << (attnum % 64);
		if (!seen)
			appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "",
							 tpm_request_member(check->table, &check->table->columns[attnum - 1]));
	}
	tpm_table_stats_fields(check->table->relid, check->table->options_hash, named, unnamed);
	return names.data;
}

static char *
statement_against(const TpmTableCheck *check)
{
	return tpm_alter_table(check->table, tpm_alter_option(NIL, "fields_format", ""));
}

/* the answer to a request that named members; false: it must be sent again without */
static bool
judge(TpmTableCheck *check, const TpmAnswer *answer, List *columns)
{
	Named		named = {.check = check,.answer = answer};
	char	   *names;
	ErrorData  *error;

	if (answer->status < 200 || answer->status > 299 ||
		!tpm_attempt(read_named_members, &named, &error))
		return false;
	if (named.page->nrows == 0)
		return true;
	check->naming = TPM_NAMING_TRIED;
	names = unknown_names(check, named.page, columns);
	if (names[0] == '\0')
		tpm_report(check->report, "fields", TPM_STEP_OK, "members are known by their names", NULL);
	else
		tpm_report(check->report, "fields", TPM_STEP_FAILED,
				   psprintf("not given when named: %s", names), statement_against(check));
	return names[0] == '\0';
}

bool
tpm_check_has_fields(const TpmTable *table)
{
	return table->opt.fields_format[0] != '\0';
}

/* is what is missing in an answer missing because it was named? */
static bool
all_is_everywhere(const TpmTableCheck *check, List *columns)
{
	ListCell   *lc;

	foreach(lc, columns)
	{
		if (!tpm_column_has_member(&check->table->columns[lfirst_int(lc) - 1]) ||
			tpm_column_bit(check->page->members.lacked, lfirst_int(lc)))
			return false;
	}
	return true;
}

void
tpm_check_begin_naming(TpmTableCheck *check)
{
	List	   *columns = columns_to_name(check);

	check->naming = TPM_NAMING_TRIED;
	if (!tpm_check_has_fields(check->table) || columns == NIL)
		return;
	check->naming = all_is_everywhere(check, columns) && tpm_request_fields(check->table, columns)
		? TPM_NAMING_BESIDE : TPM_NAMING_ALONE;
}

static void
report_refusal(TpmTableCheck *check, const TpmAnswer *answer)
{
	check->naming = TPM_NAMING_TRIED;
	tpm_report(check->report, "fields", TPM_STEP_FAILED,
			   psprintf("naming members: %s", tpm_check_refusal(answer)), statement_against(check));
}

TpmAnswer *
tpm_check_fetch_named(TpmTableCheck *check, TpmRequest *request)
{
	List	   *columns = columns_to_name(check);
	TpmAnswer  *answer;
	TpmAnswer  *without;

	request->fields = tpm_request_fields(check->table, columns);
	answer = tpm_check_fetch_one(check, request);
	request->fields = NULL;
	if (answer == NULL || judge(check, answer, columns))
		return answer;
	/* whatever it was: not to be taken for an answer to the rest of it */
	without = tpm_check_fetch_one(check, request);
	if (check->naming == TPM_NAMING_BESIDE)
	{
		check->naming = TPM_NAMING_ALONE;
		if (tpm_check_is_refusal(answer) && without && without->status >= 200 && without->status <= 299)
			report_refusal(check, answer);
	}
	return without;
}

void
tpm_check_fields(TpmTableCheck *check)
{
	List	   *columns = columns_to_name(check);
	TpmRequest *request = tpm_check_request(check);
	TpmAnswer  *answer;

	if (check->naming == TPM_NAMING_TRIED)
		return;
	request->fields = tpm_request_fields(check->table, columns);
	if (request->fields == NULL)
		tpm_report(check->report, "fields", TPM_STEP_NOT_TRIED, "not tried: too many members for one address", NULL);
	else if ((answer = tpm_check_fetch_one(check, request)) == NULL)
		tpm_report(check->report, "fields", TPM_STEP_NOT_TRIED,
				   "not tried: no request is left for it; a scan finds out by itself", NULL);
	else if (!judge(check, answer, columns) && tpm_check_is_refusal(answer))
		report_refusal(check, answer);
}
