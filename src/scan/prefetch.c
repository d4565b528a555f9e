/*-------------------------------------------------------------------------
 *
 * prefetch.c
 *		Pages that are requested before their turn: of a list, or the first ones
 *		of several.
 *
 * Owns these calls.  They go on whenever this backend waits for anything.  A page's problem is told when its turn comes,
 * since the statement may never get there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "scan/prefetch.h"

typedef struct AheadCall
{
	MemoryContext context;
	char	   *url;
	TpmCall    *call;
	bool		done;
} AheadCall;

struct TpmPrefetch
{
	TpmSession *session;
	MemoryContext context;
	List	   *calls;			/* of AheadCall *, in the order of their pages */
	AheadCall  *taken;			/* its answer is in use */
};

TpmPrefetch *
tpm_prefetch_create(TpmSession *session)
{
	TpmPrefetch *ahead = palloc0(sizeof(TpmPrefetch));

	ahead->session = session;
	ahead->context = CurrentMemoryContext;
	return ahead;
}

int
tpm_prefetch_count(const TpmPrefetch *ahead)
{
	return list_length(ahead->calls);
}

/* true once it is done; *wake_us is when to come back otherwise */
static bool
advance(AheadCall *one, int64 *wake_us)
{
	int64		wake = PG_INT64_MAX;

	if (!one->done)
	{
		one->done = tpm_call_try(one->call, &wake);
		*wake_us = Min(*wake_us, wake);
	}
	return one->done;
}

void
tpm_prefetch_start(TpmPrefetch *ahead, const char *url, int flags)
{
	MemoryContext context = AllocSetContextCreate(ahead->context, "tpm_fdw page ahead",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AheadCall  *one = palloc0(sizeof(AheadCall));
	int64		wake_us = PG_INT64_MAX;

	one->context = context;
	one->url = pstrdup(url);
	one->call = tpm_call_start(ahead->session, "GET", one->url, NULL, NIL, flags);
	MemoryContextSwitchTo(ahead->context);
	ahead->calls = lappend(ahead->calls, one);
	MemoryContextSwitchTo(old);
	advance(one, &wake_us);
}

static void
forget_taken(TpmPrefetch *ahead)
{
	if (ahead->taken)
		MemoryContextDelete(ahead->taken->context);
	ahead->taken = NULL;
}

void
tpm_prefetch_drop(TpmPrefetch *ahead)
{
	ListCell   *lc;

	foreach(lc, ahead->calls)
		MemoryContextDelete(((AheadCall *) lfirst(lc))->context);
	list_free(ahead->calls);
	ahead->calls = NIL;
	forget_taken(ahead);
}

/* all go on; true once this one is done */
static bool
is_done(TpmPrefetch *ahead, const AheadCall *one, int64 *wake_us)
{
	ListCell   *lc;

	*wake_us = PG_INT64_MAX;
	foreach(lc, ahead->calls)
		(void) advance(lfirst(lc), wake_us);
	return one->done;
}

static TpmAnswer *
wait_for_one(TpmPrefetch *ahead, AheadCall *one, const TpmProblem **problem)
{
	int64		wake_us;

	while (!is_done(ahead, one, &wake_us))
		tpm_calls_pause(ahead->session, tpm_call_waiting_for(one->call), wake_us);
	*problem = tpm_call_problem(one->call);
	return *problem ? NULL : tpm_call_answer(one->call);
}

/* what is taken is there until the next one is */
static void
take_from_line(TpmPrefetch *ahead, AheadCall *one)
{
	ahead->calls = list_delete_ptr(ahead->calls, one);
	ahead->taken = one;
}

TpmAnswer *
tpm_prefetch_look(TpmPrefetch *ahead, const char *url, const TpmProblem **problem)
{
	*problem = NULL;
	forget_taken(ahead);
	if (ahead->calls == NIL || strcmp(((AheadCall *) linitial(ahead->calls))->url, url) != 0)
	{
		tpm_prefetch_drop(ahead);
		return NULL;
	}
	return wait_for_one(ahead, linitial(ahead->calls), problem);
}

static AheadCall *
find_call(const TpmPrefetch *ahead, const char *url)
{
	ListCell   *lc;

	foreach(lc, ahead->calls)
		if (strcmp(((AheadCall *) lfirst(lc))->url, url) == 0)
		return lfirst(lc);
	return NULL;
}

TpmAnswer *
tpm_prefetch_take_any(TpmPrefetch *ahead, const char *url, const TpmProblem **problem)
{
	AheadCall  *one = find_call(ahead, url);
	TpmAnswer  *answer;

	*problem = NULL;
	if (one == NULL)
		return NULL;
	forget_taken(ahead);
	answer = wait_for_one(ahead, one, problem);
	take_from_line(ahead, one);
	return answer;
}

void
tpm_prefetch_forget(TpmPrefetch *ahead, const char *url)
{
	AheadCall  *one = find_call(ahead, url);

	if (one == NULL)
		return;
	ahead->calls = list_delete_ptr(ahead->calls, one);
	MemoryContextDelete(one->context);
}

TpmAnswer *
tpm_prefetch_take(TpmPrefetch *ahead, const char *url, const TpmProblem **problem)
{
	TpmAnswer  *answer = tpm_prefetch_look(ahead, url, problem);

	if (ahead->calls == NIL)
		return NULL;
	take_from_line(ahead, linitial(ahead->calls));
	return answer;
}
