/*-------------------------------------------------------------------------
 *
 * base.h
 *		What knows nothing of this product.
 *
 * Promises: functions of their arguments alone: URLs, percent-encoding, text
 * of the database's encoding, JSON members, sets of ids, the nearest name,
 * failures as values.
 * Results are palloc'd in the current memory context.
 * Never: knows a server, an option or a resource, sends or waits for
 * anything, or reads a catalog or shared memory.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_BASE_H
#define TPM_BASE_H

#endif							/* TPM_BASE_H */
