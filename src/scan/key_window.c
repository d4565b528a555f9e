/*-------------------------------------------------------------------------
 *
 * key_window.c
 *		Which look-ahead nodes are at work in this backend.
 *
 * Owns the list of windows, by executor run and link.  What fills them is
 * join/lookahead.c's, what reads them keyed.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "scan/key_window.h"

static TpmKeyWindow *windows;

static void
forget_window(void *arg)
{
	for (TpmKeyWindow **at = &windows; *at; at = &(*at)->next_window)
	{
		if (*at == arg)
		{
			*at = (*at)->next_window;
			return;
		}
	}
}

void
tpm_key_window_register(TpmKeyWindow *window)
{
	MemoryContextCallback *callback = MemoryContextAlloc(window->estate->es_query_cxt, sizeof(*callback));

	callback->func = forget_window;
	callback->arg = window;
	MemoryContextRegisterResetCallback(window->estate->es_query_cxt, callback);
	window->next_window = windows;
	windows = window;
}

TpmKeyWindow *
tpm_key_window_find(EState *estate, int link)
{
	for (TpmKeyWindow *window = windows; window; window = window->next_window)
		if (window->estate == estate && window->link == link)
			return window;
	return NULL;
}
