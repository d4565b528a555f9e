/*-------------------------------------------------------------------------
 *
 * backend_list.h
 *		What is at work in this backend, each as long as its memory lives.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_BACKEND_LIST_H
#define TPM_BACKEND_LIST_H

#include "lib/ilist.h"

/* puts the node in front; it is taken out when the context, in which it lives, is reset */
extern void tpm_backend_list_add(dlist_head *list, dlist_node *node, MemoryContext context);

#endif							/* TPM_BACKEND_LIST_H */
