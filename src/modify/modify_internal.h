/*-------------------------------------------------------------------------
 *
 * modify_internal.h
 *		A result relation at run time, as the files of this room see it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_MODIFY_INTERNAL_H
#define TPM_MODIFY_INTERNAL_H

#include "base/idset.h"
#include "modify/modify.h"
#include "write/write.h"

typedef struct TpmModify
{
	TpmWriter  *writer;
	EState	   *estate;
	ResultRelInfo *rinfo;
	bool		do_nothing;		/* ON CONFLICT DO NOTHING */
	MemoryContext batch_context;	/* of the rows being written */
	int64		mark;			/* writes of the transaction before this
								 * statement */
	int64		rows;			/* rows looked at, to number them */
	bool		admitted;		/* an UPDATE whose number of rows was known */
	TpmIdSet   *updated;		/* ids that this statement has updated */

	AttrNumber	id_attno;		/* of an UPDATE: where the plan's row has the
								 * id */
	bool		captured;		/* a trigger of the parent wants all rows in a
								 * table, which foreign ones cannot be */
	bool		collects;		/* COPY before 16: rows are kept until they
								 * make a group */
	int			collected;
	int			nslots;			/* slots made */
	TupleTableSlot **slots;
} TpmModify;

/* ----- admit.c ----- */

/* does anybody look at the row that comes back? */
extern bool tpm_row_is_wanted(const ResultRelInfo *rinfo);

/*
 * Reads every open scan of the resource to its end: no list is changed while
 * it is paged.  Returns what tpm_scans_drain() does.
 */
extern int64 tpm_modify_drain(TpmModify *modify, Index feeding_rti);

/*
 * Before the first request of n more rows: the switches, open scans, the cap
 * and the budget.  each: requests that a row costs.  n_after: rows that are
 * known to follow, 0 if that is not known.
 */
extern void tpm_modify_admit(TpmModify *modify, int64 n, int64 n_after, int each);

/* a row to be written, numbered; it lives in the current memory context */
extern TpmWrite *tpm_modify_write(TpmModify *modify, TpmWriteMethod method, TupleTableSlot *slot,
								  char *id);

/* one that has ended: what it was answered is for the copies of its table, if it has any */
extern void tpm_modify_keep(const TpmWrite *write);

/* shows it instead of sending it */
extern void tpm_modify_show(const TpmWrite *write);

/* names the row in whatever is raised about it: an error context's callback */
extern void tpm_modify_add_context(void *arg);

/* ----- insert.c ----- */

/*
 * Creates n rows, several side by side.  inserted[i] is false for one that
 * exists already under ON CONFLICT DO NOTHING.
 */
extern void tpm_modify_insert(TpmModify *modify, TupleTableSlot **slots, int n, bool *inserted);

/* ----- update.c ----- */

/*
 * False: there was no row to update, or this statement has updated it before.
 * Runs in batch_context.
 */
extern bool tpm_modify_update(TpmModify *modify, TupleTableSlot *slot, TupleTableSlot *old_slot,
							  char *id);

/* ----- linkage_page.c ----- */

/*
 * Makes known what rows with values in these columns (attnums) need.  May send
 * one GET for a page of the list at path, once a session and table.
 */
extern void tpm_linkage_prepare(TpmSession *session, const char *path, Bitmapset *columns);

#endif							/* TPM_MODIFY_INTERNAL_H */
