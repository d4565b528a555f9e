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

static dlist_head windows = DLIST_STATIC_INIT(windows);

void
tpm_key_window_register(TpmKeyWindow *window)
{
	tpm_backend_list_add(&windows, &window->node, window->estate->es_query_cxt);
}

TpmKeyWindow *
tpm_key_window_find(EState *estate, int link)
{
	dlist_iter	iter;

	dlist_foreach(iter, &windows)
	{
		TpmKeyWindow *window = dlist_container(TpmKeyWindow, node, iter.cur);

		if (window->estate == estate && window->link == link)
			return window;
	}
	return NULL;
}
