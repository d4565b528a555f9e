/*-------------------------------------------------------------------------
 *
 * outcome.c
 *		What the user is told of a write that ended otherwise than done.
 *
 * Owns the words: each end of write_state.h that is an error, with the API's
 * own words, what else was sent, and what to do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "write/write_internal.h"

char *
tpm_quoted_names(List *names)
{
	StringInfoData all;
	ListCell   *lc;

	initStringInfo(&all);
	foreach(lc, names)
		appendStringInfo(&all, "%s\"%s\"", all.len ? ", " : "", (char *) lfirst(lc));
	return all.data;
}

void
tpm_raise_no_path(const TpmTable *table, char **values, const char *id)
{
	for (int i = 0; i < table->natts; i++)
		if (table->columns[i].placeholder && values[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
					 errmsg("a row of foreign table %s needs a value for column \"%s\"", table->name,
							table->columns[i].name),
					 errdetail("The API's address of it is \"%s\".", table->resource)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a row of foreign table %s has no address", table->name),
			 errdetail("%s cannot be part of a path.", id ? psprintf("The id \"%s\"", id) : "A value")));
}

static char *
with_beside(const char *words, const char *beside)
{
	if (beside == NULL)
		return words ? pstrdup(words) : NULL;
	return words ? psprintf("%s\nSent before or beside it: %s.", words, beside)
		: psprintf("Sent before or beside it: %s.", beside);
}

/* ----- it exists ----- */

/* of a row that was found; a table need not have a column for it */
static const char *
with_id(const TpmWrite *write)
{
	return write->found_id ? psprintf(" with id \"%s\"", write->found_id) : "";
}

static char *
words_of_what_exists(const TpmWrite *write)
{
	if (write->is_rival)
		return psprintf("This transaction created it before, with id \"%s\".", write->found_id);
	if (write->history.is_doubted)
		return psprintf("It is there%s, created before this row was sent.", with_id(write));
	if (write->departure->times == 0)
		return psprintf("It is there%s; nothing was sent.", with_id(write));
	return write->answer ? tpm_answer_words(write->answer) : NULL;
}

static void
raise_exists(const TpmWrite *write, const char *beside)
{
	char	   *words = with_beside(words_of_what_exists(write), beside);

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("%s was refused: the API has the row already", write->name),
			 words ? errdetail("%s", words) : 0,
			 write->is_found ? errhint("INSERT ... ON CONFLICT DO NOTHING leaves out rows that exist.")
			 : errhint("The API says so; a column with the options natural_key and filter lets INSERT ... ON CONFLICT DO NOTHING see it and leave the row out.")));
}

/* ----- it is unknown ----- */

static char *
words_of_what_is_known(const TpmWrite *write)
{
	const char *row = write->id ? write->shown : write->key ? write->key
	: pnstrdup(write->body, pg_mbcliplen(write->body, strlen(write->body), 1000));
	const char *problem = write->problem ? write->problem : "no answer";
	StringInfoData words;

	initStringInfo(&words);
	appendStringInfo(&words, "No answer came that tells it (%s), and the API may have acted. Row: %s.", problem, row);
	if (write->failure)
		appendStringInfo(&words, "\nIt could not be sent again: %s.", write->failure->message);
	else if (write->answer && !write->answer->doubtful && write->answer->status > 299 &&
			 write->history.sendings > 1)
		appendStringInfo(&words, "\nWhat was sent again was answered with status %d, which says nothing of the first.",
						 write->answer->status);
	if (write->differing != NIL && write->is_found)
		appendStringInfo(&words, "\nA row with its key is there%s; other than sent: %s.", with_id(write),
						 tpm_quoted_names(write->differing));
	else if (write->differing != NIL)
		appendStringInfo(&words, "\nRead back, it is neither as sent nor as before: %s.",
						 tpm_quoted_names(write->differing));
	return words.data;
}

/* what was sent beside it, this one among them, is in the abort's WARNING */
static void
raise_unknown(const TpmWrite *write)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("the outcome of %s is unknown", write->name),
			 errdetail("%s", words_of_what_is_known(write)),
			 write->history.has_key || write->id
			 ? errhint("Look at the API whether it is there before sending it again.")
			 : errhint("Look at the API whether it is there before sending it again. A column with the options natural_key and filter lets this be found out by itself.")));
}

/* ----- it was changed by somebody else ----- */

/*
 * Whoever repeats transactions that fail with 40001 must not repeat a POST,
 * so it is that only if the transaction has sent nothing.
 */
void
tpm_write_raise_changed(const TpmWrite *write, List *names)
{
	char	   *changed = names ? psprintf("Changed: %s.", tpm_quoted_names(names))
	: pstrdup("It is not the one that was read, or another session is changing it.");

	if (!tpm_transaction_has_written())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("%s was changed by somebody else in the meantime", write->shown),
				 errdetail("%s", changed),
				 errhint("Nothing was written; the transaction can be repeated.")));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
			 errmsg("%s was changed by somebody else in the meantime", write->shown),
			 errdetail("%s\nThis transaction has sent before: %s.", changed, tpm_sent_list(0)),
			 errhint("Repeating the transaction would write these again.")));
}

/* an error that was met before anything was sent, with what was sent beside it */
static void
raise_failure(const TpmWrite *write, const char *beside)
{
	TpmProblem	problem = *write->failure;

	problem.detail = with_beside(problem.detail, beside);
	tpm_problem_raise(&problem);
}

void
tpm_write_raise(const TpmWrite *write, const char *beside)
{
	switch (write->end)
	{
		case TPM_STEP_EXISTS:
			raise_exists(write, beside);
			break;
		case TPM_STEP_CHANGED:
			tpm_write_raise_changed(write, NIL);
			break;
		case TPM_STEP_UNKNOWN:
			raise_unknown(write);
			break;
		case TPM_STEP_REFUSED:
			if (write->failure)
				raise_failure(write, beside);
			tpm_raise_refused(write->writer->session, write->name, write->answer, beside);
			break;
		default:
			break;
	}
	elog(ERROR, "write ended as %d", (int) write->end);
}
