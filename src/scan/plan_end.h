/*-------------------------------------------------------------------------
 *
 * plan_end.h
 *		Whether a plan reads a node of its own to its end, and how often.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_PLAN_END_H
#define TPM_PLAN_END_H

#include "nodes/execnodes.h"
#include "nodes/plannodes.h"

/*
 * Once this node of the statement's plan has given a row, is it asked for all
 * of them, each time that it is begun?  To be asked at the node's first row:
 * how many rows whoever runs the statement wants is not known before.
 */
extern bool tpm_plan_is_read_to_end(EState *estate, const Plan *node);

/* the same, and it is begun: no condition switches it off, and it does not wait for a row that asks for it */
extern bool tpm_plan_will_read_to_end(EState *estate, const Plan *node);

/* how often a node is begun with other values, as the planner expects */
typedef struct TpmPlanRuns
{
	double		loops;			/* one after the other */
	double		keys;			/* within each, values that a look-ahead node
								 * shows together */
} TpmPlanRuns;

extern void tpm_plan_runs(EState *estate, const Plan *node, TpmPlanRuns *runs);

#endif							/* TPM_PLAN_END_H */
