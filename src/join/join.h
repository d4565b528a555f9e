/*-------------------------------------------------------------------------
 *
 * join.h
 *		Looking ahead: what a join or a subquery will ask a scan by key for.
 *
 * Promises: a look-ahead node passes the rows below it on, unchanged and in
 * order; all that it adds is a window of the keys to come (scan/key_window.h),
 * which is a hint and changes no answer.
 * Never: evaluates ahead what may raise an error or have an effect, reads
 * further ahead than one page has keys, or joins: join types, conditions and
 * subqueries stay PostgreSQL's.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_JOIN_H
#define TPM_JOIN_H

/* a setting; its meaning is in tpm_fdw.c */
extern bool tpm_enable_lookahead;

/* join_path.c */
extern void tpm_join_install_hooks(void);

#endif							/* TPM_JOIN_H */
