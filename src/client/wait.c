/*-------------------------------------------------------------------------
 *
 * wait.c
 *		The one function in which this backend waits for the API, a slot or a page.
 *
 * Owns the sockets that transfers wait for, as libcurl names them, and the
 * set of events made from them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "client/transport_internal.h"
#include "compat.h"
#include "shared/shared.h"

typedef struct TpmSocket
{
	pgsocket	fd;
	int			events;			/* WL_SOCKET_* */
} TpmSocket;

static TpmSocket *sockets = NULL;
static int	n_sockets = 0;
static int	max_sockets = 0;
static bool sockets_changed = true;
static WaitEventSet *wait_set = NULL;

/* ----- sockets; from inside libcurl ----- */

static TpmSocket *
find_socket(pgsocket fd)
{
	for (int i = 0; i < n_sockets; i++)
		if (sockets[i].fd == fd)
			return &sockets[i];
	return NULL;
}

void
tpm_forget_socket(pgsocket fd)
{
	TpmSocket  *known = find_socket(fd);

	sockets_changed = true;
	if (known)
		*known = sockets[--n_sockets];
}

bool
tpm_watch_socket(pgsocket fd, int events)
{
	TpmSocket  *known = find_socket(fd);

	sockets_changed = true;
	if (known == NULL)
	{
		if (n_sockets == max_sockets)
		{
			int			want = max_sockets ? max_sockets * 2 : 16;
			TpmSocket  *more = realloc(sockets, want * sizeof(TpmSocket));

			if (more == NULL)
				return false;
			sockets = more;
			max_sockets = want;
		}
		known = &sockets[n_sockets++];
		known->fd = fd;
	}
	known->events = events;
	return true;
}

/* ----- waiting ----- */

static void
rebuild_wait_set(void)
{
	WaitEventSet *set;

	if (!sockets_changed && wait_set)
		return;
	if (wait_set)
	{
		set = wait_set;
		wait_set = NULL;
		FreeWaitEventSet(set);
	}
	wait_set = tpm_create_wait_event_set(n_sockets + 2);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < n_sockets; i++)
		if (sockets[i].events != 0)
			AddWaitEventToSet(wait_set, sockets[i].events, sockets[i].fd, NULL, NULL);
	sockets_changed = false;
}

static uint32
transfer_wait_event(TpmWaitReason reason)
{
	static const char *const names[] = {
		[TPM_WAIT_ANSWER] = "TpmAnswer",
		[TPM_WAIT_BUDGET] = "TpmBudget",
		[TPM_WAIT_TOKEN] = "TpmToken",
		[TPM_WAIT_RETRY] = "TpmRetry",
		[TPM_WAIT_PAGE] = "TpmPage",
		[TPM_WAIT_SETTLE] = "TpmSettle",
	};
	static uint32 events[lengthof(names)];

	return tpm_wait_event(names[reason], &events[reason]);
}

static long
timeout_ms(int64 until_us)
{
	int64		left;

	until_us = Min(until_us, tpm_transport_due());
	if (until_us == PG_INT64_MAX)
		return -1;
	left = until_us - tpm_monotonic_us();
	if (left <= 0)
		return 0;
	return (long) Min((left + 999) / 1000, INT_MAX);
}

void
tpm_wait(TpmWaitReason reason, int64 until_us)
{
	WaitEvent	event[16];
	int			n;

	CHECK_FOR_INTERRUPTS();
	tpm_transport_init();
	for (;;)
	{
		tpm_transport_drive(NULL, 0);
		if (tpm_transport_collect())
			return;
		rebuild_wait_set();
		n = WaitEventSetWait(wait_set, timeout_ms(until_us), event, lengthof(event),
							 transfer_wait_event(reason));
		for (int i = 0; i < n; i++)
		{
			if (event[i].events & WL_LATCH_SET)
			{
				ResetLatch(MyLatch);
				CHECK_FOR_INTERRUPTS();
				tpm_transport_drive(event, n);
				tpm_transport_collect();
				return;
			}
		}
		tpm_transport_drive(event, n);
		if (tpm_transport_collect() || until_us <= tpm_monotonic_us())
			return;
	}
}
