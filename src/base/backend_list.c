/*-------------------------------------------------------------------------
 *
 * backend_list.c
 *		What is at work in this backend, each as long as its memory lives.
 *
 * Owns the end of an entry.  The lists are those of whoever makes them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/backend_list.h"

static void
take_out(void *node)
{
	dlist_delete(node);
}

void
tpm_backend_list_add(dlist_head *list, dlist_node *node, MemoryContext context)
{
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));

	callback->func = take_out;
	callback->arg = node;
	MemoryContextRegisterResetCallback(context, callback);
	dlist_push_head(list, node);
}
