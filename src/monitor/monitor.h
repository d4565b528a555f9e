/*-------------------------------------------------------------------------
 *
 * monitor.h
 *		What users see: EXPLAIN, the views, the journal.
 *
 * Promises: what users see of shared state, plans and the journal is made of
 * copies that the rooms below give out, of one moment each; rows of other
 * roles are for pg_read_all_stats.
 * Never: sends a request or waits for one, evaluates a value of a plan, or
 * shows a secret.
 * Locks: none of its own; a copy is made under the lock of the part that it is
 * taken from, and the journal's files are read without one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_MONITOR_H
#define TPM_MONITOR_H

#include "commands/explain.h"
#include "nodes/execnodes.h"

#include "compat.h"

/* explain.c */
extern void tpm_explain_scan(ForeignScanState *node, ExplainState *es);

#endif							/* TPM_MONITOR_H */
