/*-------------------------------------------------------------------------
 *
 * copy.h
 *		Local copies: ordinary tables that are kept equal to foreign ones.
 *
 * Promises: every row in a copy was given by the API; state and rows change in
 * one transaction, so a run that fails, is killed or loses its server is gone on
 * with where it was.  No row is deleted unless the API said that it is gone.
 * Never: writes to a relation that has no guard, or as anybody but its owner;
 * sends a request, waits or ends a transaction while it is that owner; plans or
 * runs a scan.
 * Locks: LOCKTAG_OBJECT (state table, copy) in the session, over a run; the
 * copy's row of the state table and RowExclusiveLock on the copy, within a
 * page's transaction; none of those two over the network or a wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_COPY_H
#define TPM_COPY_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#include "option/option.h"

/* columns that a copy has besides those of its foreign table */
#define TPM_COPY_CHANGED_AT "_changed_at"
#define TPM_COPY_DELETED_AT "_deleted_at"

/* settings; their meaning and range are in tpm_fdw.c */
extern double tpm_copy_leave_free;	/* 0..1 */
extern double tpm_copy_deletion_limit;	/* 0..1 */

/* ----- copy_own.c ----- */

/* the copies of a foreign table that may be written to: their OIDs, in order */
extern List *tpm_copy_relids(Oid sourceid);

/*
 * What the API answered to a write of a table that has copies: it goes into
 * them when this transaction commits.  left: when the request did, on our
 * clock.  tuple NULL: the answer did not tell all of the row, so that the next
 * run has to find it.
 */
extern void tpm_copy_own_row(const TpmTable *table, TupleDesc tupdesc, HeapTuple tuple, TimestampTz left);

#endif							/* TPM_COPY_H */
