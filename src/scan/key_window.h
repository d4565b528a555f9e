/*-------------------------------------------------------------------------
 *
 * key_window.h
 *		The keys that a look-ahead node sees coming, for the scans below it.
 *
 * A scan by key finds the window of its plan's link at its first row, never
 * earlier: subplans are initialised before the plan above them.  A window is
 * only a hint: without one, or with one that shows too little, a scan asks for
 * its own key alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_KEY_WINDOW_H
#define TPM_KEY_WINDOW_H

#include "nodes/execnodes.h"

#include "base/backend_list.h"

/*
 * Which scans a window is for: of a join a number of the session, at least 1,
 * which stands in the plans of both; of a subquery the parameter through which
 * it gets the key.  0: no window.
 */
#define TPM_LINK_OF_PARAM(paramid)	(-1 - (paramid))

typedef struct TpmKeyWindow
{
	EState	   *estate;
	int			link;
	Oid			type;			/* of the keys */
	Index		source;			/* range table entry and column that they are
								 * read from; 0: from none as it is */
	AttrNumber	source_column;
	int			n;
	int			next;			/* those from here on are of rows that are
								 * still to come, in their order */
	Datum	   *keys;
	bool	   *nulls;
	dlist_node	node;			/* among those of this backend */
} TpmKeyWindow;

/* lives, like the window, as long as the executor run does */
extern void tpm_key_window_register(TpmKeyWindow *window);

/* NULL: none has been registered in this executor run */
extern TpmKeyWindow *tpm_key_window_find(EState *estate, int link);

#endif							/* TPM_KEY_WINDOW_H */
