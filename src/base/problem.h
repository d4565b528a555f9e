/*-------------------------------------------------------------------------
 *
 * problem.h
 *		A failure as a value: what an error would say, before anybody raises it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_PROBLEM_H
#define TPM_PROBLEM_H

#include "compat.h"

/*
 * What is bound to happen (an answer that is an error, a budget that is used
 * up) is left as a value where somebody may have to go on all the same: an
 * error that is caught and thrown away may leave locks and half a state
 * behind.  Texts are in the database's encoding, as errmsg() and the like take
 * them.
 */
typedef struct TpmProblem
{
	int			sqlerrcode;
	const char *message;
	const char *detail;			/* NULL: none */
	const char *hint;			/* NULL: none */
	const char *file;			/* where it was met, as an error would say */
	int			line;
	const char *function;
} TpmProblem;

/* in the current memory context, the texts not copied */
#define tpm_problem(sqlerrcode, message, detail, hint) \
	tpm_problem_at(sqlerrcode, message, detail, hint, __FILE__, __LINE__, __func__)
extern TpmProblem *tpm_problem_at(int sqlerrcode, const char *message, const char *detail,
								  const char *hint, const char *file, int line, const char *function);

/* the same with its texts in the current memory context; NULL is NULL */
extern TpmProblem *tpm_problem_copy(const TpmProblem *problem);

/* the SQLSTATE of a failed system call, as errcode_for_file_access() has it */
extern int	tpm_problem_of_errno(int error);

/* as an error of just these fields */
pg_noreturn extern void tpm_problem_raise(const TpmProblem *problem);

/* the same, if there is one */
extern void tpm_problem_check(const TpmProblem *problem);

/*
 * Does something that may raise any error, in a subtransaction: what it leaves
 * behind is undone.  False: *error, in the current memory context, says why.
 * What it allocates without another context lives in a child of the current
 * one, and is gone after an error.  An interrupt is raised again.  Not while
 * PostgreSQL runs in parallel, where no subtransaction may begin.
 */
typedef void (*TpmWork) (void *arg);
extern bool tpm_attempt(TpmWork work, void *arg, ErrorData **error);

#endif							/* TPM_PROBLEM_H */
