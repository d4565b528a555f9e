/*-------------------------------------------------------------------------
 *
 * monitor.h
 *		What users see: EXPLAIN, the views, the journal.
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
