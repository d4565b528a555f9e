/*-------------------------------------------------------------------------
 *
 * prefetch.h
 *		Pages of a list that are requested before their turn.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_PREFETCH_H
#define TPM_PREFETCH_H

#include "client/client.h"

typedef struct TpmPrefetch TpmPrefetch;

/* lives, with all its calls, in the current memory context */
extern TpmPrefetch *tpm_prefetch_create(TpmSession *session);

/* requests that are under way or done and not taken */
extern int	tpm_prefetch_count(const TpmPrefetch *ahead);

/* begins a GET behind those that are there, with the flags of a call; does not wait */
extern void tpm_prefetch_start(TpmPrefetch *ahead, const char *url, int flags);

/*
 * The answer to the first of them, which is waited for; NULL if the first is
 * of another URL, or there is none: then all are forgotten.  NULL with
 * *problem: that request has no answer; those of later ones are told when their
 * turn comes.  Both are valid until the next call.
 */
extern TpmAnswer *tpm_prefetch_take(TpmPrefetch *ahead, const char *url, const TpmProblem **problem);

/* the same, and its turn is yet to come */
extern TpmAnswer *tpm_prefetch_look(TpmPrefetch *ahead, const char *url, const TpmProblem **problem);

/* forgets all; what is under way is cut off */
extern void tpm_prefetch_drop(TpmPrefetch *ahead);

/*
 * The same of calls that have nothing to do with each other: that for the URL,
 * whichever it is, and the others go on.
 */
extern TpmAnswer *tpm_prefetch_take_any(TpmPrefetch *ahead, const char *url, const TpmProblem **problem);

/* one that nobody will take is cut off */
extern void tpm_prefetch_forget(TpmPrefetch *ahead, const char *url);

#endif							/* TPM_PREFETCH_H */
