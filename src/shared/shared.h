/*-------------------------------------------------------------------------
 *
 * shared.h
 *		The segment in shared memory and its locks.
 *
 * Lowest layer: nothing here waits, talks to the network or reads a catalog.
 *
 * Promises: the cluster's state in one segment, made when the server starts
 * and of fixed size: it never grows, and what finds no room is given up or not
 * kept.  What cannot do without it says so by tpm_shared_require().
 * Never: sends anything, sleeps, reads a catalog, or calls fsync while a lock
 * is held.
 * Locks: one LWLock for each part (budget, tokens, cache, requests, progress,
 * table statistics, write claims), given back within the call, never two of
 * them at a time; each file says at its top what its lock guards.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_SHARED_H
#define TPM_SHARED_H

#include "storage/lwlock.h"

typedef enum TpmEnabled
{
	TPM_ENABLED_OFF,
	TPM_ENABLED_READ,
	TPM_ENABLED_ON
} TpmEnabled;

/* a setting; its meaning and range are in tpm_fdw.c */
extern int	tpm_enabled;		/* TpmEnabled; tpm_enabled_now() is what
								 * counts */

/*
 * One module's part of the segment.  size and the tranche's name are asked for
 * when PostgreSQL sizes shared memory; init is called once at start (found is
 * false) and makes the part usable.  tranche is for LWLockInitialize() of
 * locks inside the part.  A new module is one line in tpm_fdw.c.
 */
typedef struct TpmSharedArea
{
	const char *tranche;
	Size		(*size) (void);
	void		(*init) (void *area, int tranche, bool found);
} TpmSharedArea;

/* called by _PG_init with every part, then NULL, only under process_shared_preload_libraries_in_progress */
extern void tpm_shared_install_hooks(const TpmSharedArea *const *all);

/*
 * Raises 55000 with the line to add to postgresql.conf when the library was
 * not preloaded.  To be called before anything below is used.
 */
extern void tpm_shared_require(void);

/* true when shared state exists; never throws */
extern bool tpm_shared_available(void);

/* tpm_fdw.enabled (TpmEnabled) as it is now, also within a statement */
extern int	tpm_enabled_now(void);
extern void tpm_shared_set_enabled(int enabled);

/* a 64-bit hash keyed with a random key made at postmaster start: secrets
 * never stand in shared memory in a form that can be guessed offline */
extern uint64 tpm_keyed_hash(const void *data, size_t len);

/* microseconds on CLOCK_MONOTONIC, the clock of every limit and wait */
extern int64 tpm_monotonic_us(void);

#endif							/* TPM_SHARED_H */
