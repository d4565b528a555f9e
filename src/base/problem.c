/*-------------------------------------------------------------------------
 *
 * problem.c
 *		A failure as a value: what an error would say, before anybody raises it.
 *
 * Owns how such a value becomes an error, and the one way in which an error is
 * survived: in a subtransaction.  Knows nothing of what failed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/problem.h"

/* ----- problems ----- */

TpmProblem *
tpm_problem_at(int sqlerrcode, const char *message, const char *detail, const char *hint,
			   const char *file, int line, const char *function)
{
	TpmProblem *problem = palloc(sizeof(TpmProblem));

	problem->sqlerrcode = sqlerrcode;
	problem->message = message;
	problem->detail = detail;
	problem->hint = hint;
	problem->file = file;
	problem->line = line;
	problem->function = function;
	return problem;
}

TpmProblem *
tpm_problem_copy(const TpmProblem *problem)
{
	TpmProblem *copy;

	if (problem == NULL)
		return NULL;
	copy = palloc(sizeof(TpmProblem));
	*copy = *problem;
	copy->message = pstrdup(problem->message);
	copy->detail = problem->detail ? pstrdup(problem->detail) : NULL;
	copy->hint = problem->hint ? pstrdup(problem->hint) : NULL;
	return copy;
}

int
tpm_problem_of_errno(int error)
{
	switch (error)
	{
		case EPERM:
		case EACCES:
		case EROFS:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case ENOENT:
			return ERRCODE_UNDEFINED_FILE;
		case EEXIST:
			return ERRCODE_DUPLICATE_FILE;
		case ENOTDIR:
		case EISDIR:
		case ENOTEMPTY:
			return ERRCODE_WRONG_OBJECT_TYPE;
		case ENOSPC:
		case EDQUOT:
			return ERRCODE_DISK_FULL;
		case ENOMEM:
			return ERRCODE_OUT_OF_MEMORY;
		case ENFILE:
		case EMFILE:
			return ERRCODE_INSUFFICIENT_RESOURCES;
		case EIO:
			return ERRCODE_IO_ERROR;
		default:
			return ERRCODE_INTERNAL_ERROR;
	}
}

void
tpm_problem_raise(const TpmProblem *problem)
{
	/* ereport(), but for the place that is named */
	errstart(ERROR, TEXTDOMAIN);
	errcode(problem->sqlerrcode);
	errmsg_internal("%s", problem->message);
	if (problem->detail)
		errdetail_internal("%s", problem->detail);
	if (problem->hint)
		errhint("%s", problem->hint);
	errfinish(problem->file, problem->line, problem->function);
	pg_unreachable();
}

void
tpm_problem_check(const TpmProblem *problem)
{
	if (problem)
		tpm_problem_raise(problem);
}

/* ----- errors that are survived ----- */

/*
 * One that ends the statement now, whatever else is under way: a cancel, a
 * shutdown.  They come from PostgreSQL's own loop; the same code raised
 * elsewhere, by a trigger or by another server, is an error like others.
 */
static bool
is_interrupt(const ErrorData *error)
{
	if (error->elevel > ERROR)
		return true;
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION &&
		error->filename && strcmp(error->filename, "postgres.c") == 0;
}

bool
tpm_attempt(TpmWork work, void *arg, ErrorData **error)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext context = AllocSetContextCreate(old, "tpm_fdw attempt", ALLOCSET_DEFAULT_SIZES);

	*error = NULL;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		/* a transfer in it ends with it */
		MemoryContextDelete(context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	if (*error && is_interrupt(*error))
		ReThrowError(*error);
	return *error == NULL;
}
