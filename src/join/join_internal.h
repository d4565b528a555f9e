/*-------------------------------------------------------------------------
 *
 * join_internal.h
 *		What the files of join/ tell each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_JOIN_INTERNAL_H
#define TPM_JOIN_INTERNAL_H

#include "compat.h"
#include "join/join.h"
#include "plan/plan.h"

/* may rows be read before they are needed, and perhaps without need? */
typedef enum TpmSafety
{
	TPM_SAFE,					/* nobody would notice */
	TPM_SAFE_TO_THE_END,		/* where all of them are read: one of them may
								 * raise an error */
	TPM_UNSAFE					/* something has effects */
} TpmSafety;

/* a scan by key, and where its keys come from */
typedef struct TpmLookahead
{
	const Path *path;			/* of a join: its path, in that of the inner
								 * side */
	const RelOptInfo *rel;		/* NULL: it is in a subquery */
	const TpmTable *table;
	TpmKey		key;
	bool		takes_lists;	/* several keys are one request */
	Node	   *source;			/* what of an outer row the key is made of */
	int			link;			/* see scan/key_window.h */
	TpmSafety	safety;			/* of reading the outer rows ahead */
	double		rows_per_key;
	double		saved;			/* requests in the price of a subquery */
	double		requests;		/* for all keys of the outer rows */
	Cost		each;			/* what the rows of a key cost beside them */
} TpmLookahead;

/* lookahead.c */

extern void tpm_lookahead_register(void);

/* a node over the path of outer rows, of which no more than bound are wanted (0: all), still without a key */
extern CustomPath *tpm_lookahead_path(PlannerInfo *root, Path *outer, int bound);

/* is the path such a node's? */
extern bool tpm_is_lookahead_path(const Path *path);

/*
 * The node shows this key as well: requests and each are set, and the requests
 * are in the cost of the node.  False: the rows do not hold the key.
 */
extern bool tpm_lookahead_add_key(PlannerInfo *root, CustomPath *path, TpmLookahead *ahead);

/* join_path.c */

/* what is known of a relation, if it is a foreign table of ours; else NULL */
extern TpmRelation *tpm_relation_of_ours(const RelOptInfo *rel);

/* subquery_path.c */

/* has this relation, a subquery, a scan by a key that is one of an outer row? */
extern bool tpm_looks_ahead_for_subquery(const RelOptInfo *rel, TpmLookahead *ahead);
extern void tpm_subquery_install_hook(void);

/* safety.c */

/* of rows of these relations; exprs: what is computed of them */
extern TpmSafety tpm_safety_of_reading_ahead(PlannerInfo *root, Relids relids, const List *exprs);

#endif							/* TPM_JOIN_INTERNAL_H */
