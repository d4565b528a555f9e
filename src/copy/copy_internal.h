/*-------------------------------------------------------------------------
 *
 * copy_internal.h
 *		The state of a copy, and what the files of this room ask each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_COPY_INTERNAL_H
#define TPM_COPY_INTERNAL_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/lock.h"
#include "utils/rel.h"

#include "copy/copy.h"
#include "option/option.h"
#include "shared/counters.h"

#define TPM_COPY_GUARD_NAME "tpm_fdw_copy_guard"

/* every order that ids may be in: nothing was seen yet that breaks one */
#define TPM_ORDERS_ANY 0x03

/* kinds in tpm_fdw_copy_ids */
#define TPM_ID_UNLISTED 'u'
#define TPM_ID_LISTED 's'		/* in the sweep under way */
#define TPM_ID_CANDIDATE 'c'

/* what stands for NULL in a moment of the state */
#define TPM_NEVER DT_NOBEGIN

/* what is under way, and is gone on with by the next run; as text in the state */
#define TPM_RUN_NONE "idle"
#define TPM_RUN_NEW "new"		/* nothing was asked for yet */
#define TPM_RUN_FILLING "filling"
#define TPM_RUN_INCREMENTAL "incremental"
#define TPM_RUN_RECONCILE "reconcile"
#define TPM_RUN_SWEEP "sweep"

/*
 * One row of tpm_fdw_copy_state, in the memory context of whoever asked for it.  Options are
 * written by tpm_fdw_alter_copy() alone, the rest by runs; each reads the row again under its
 * lock before (tpm_copy_lock).  A member is one line here, one in copy_state.c and one in the
 * SQL script.
 */
typedef struct TpmCopy
{
	/* what it was found as; not saved */
	Oid			relid;			/* InvalidOid: the table is gone */
	bool		guarded;		/* its guard works; else it is never written */
	Oid			sourceid;		/* InvalidOid: there is no such foreign table */

	/* who it is */
	char	   *guard;			/* the argument of its trigger: its key */
	char	   *name;			/* schema.table, quoted where needed */
	char	   *source;
	Oid			relid_hint;
	Oid			sourceid_hint;
	char	   *home;			/* the database that both are of */

	/* options */
	char	   *cursor_column;	/* NULL: none, it is read whole */
	Interval   *lookback;
	Interval   *every;
	bool		every_given;
	Interval   *reconcile;		/* NULL: as often as pays */
	Interval   *sweep;
	char	   *deletions;		/* remove, mark, keep */
	char	   *unlisted_option;	/* keep, remove */
	bool		paused;

	/* the run under way */
	char	   *phase;			/* TPM_RUN_... */
	int64		position;		/* rows, or pages, that it has read */
	char	   *link;			/* of its next page, where links lead on */
	char	   *last_id;		/* of its last page */
	TimestampTz run_started;
	TimestampTz run_date;		/* Date of its first answer */
	int			page_size;		/* asked for; 0: as the option says */
	int64		run_total;		/* that the page before had; -1: none */
	bool		run_total_fell;
	int64		pages_done;
	int64		pages_expected; /* -1: not known */

	/* what is known to hold */
	TimestampTz filled;			/* when it was first whole */
	TimestampTz watermark;
	TimestampTz greatest;		/* G: greatest cursor seen ... */
	TimestampTz greatest_seen;	/* ... when first, on our clock ... */
	TimestampTz greatest_date;	/* ... and at which Date of the API */
	TimestampTz verified_until;
	TimestampTz last_success;
	int			id_orders;		/* that every page so far has kept, as bits */
	char	   *page_link;		/* of a page of the list in the order of ids */
	int			page_rows;		/* of a full page, as seen; 0: not known */
	char	   *members;		/* columns whose member every row so far had */
	int			unchanged_runs; /* in a row */

	/* what is due */
	TimestampTz next_run;
	TimestampTz next_reconcile;
	TimestampTz next_sweep;
	bool		sweep_planned;

	/* what went wrong last */
	char	   *problem;		/* NULL: nothing */
	char	   *problem_code;	/* its SQLSTATE */

	/* counts */
	int64		rows;			/* not marked ones */
	int64		unlisted;		/* rows kept that the list does not have */
	bool		ever_unlisted;	/* any row, ever */
	int64		requests;
	int64		requests_last_run;
	int64		inserted;
	int64		updated;
	int64		deleted;
} TpmCopy;

/* ----- copy_state.c: within a transaction, an active snapshot, and no lock but those of catalogs ----- */

/* the state table, and that of ids; InvalidOid: the extension is not in this database */
extern Oid	tpm_copy_state_relid(void);
extern Oid	tpm_copy_ids_relid(void);

/* the copy that this relation is; NULL: it is none */
extern TpmCopy *tpm_copy_find(Oid relid);

/* the one of this key; NULL: there is none */
extern TpmCopy *tpm_copy_find_key(const char *guard);

/* all of them, TpmCopy *; those without a table (relid invalid) as well */
extern List *tpm_copy_list(void);

/*
 * Waits for the lock on the copy's row, which is held until the transaction ends, and reads it
 * again; NULL: gone meanwhile.  Only what was locked may be saved.  No network after it.  A state
 * that was restored from a dump without its rows begins anew here.
 */
extern TpmCopy *tpm_copy_lock(const char *guard);

/* writes every member, name and OIDs as they are now; visible to the next command */
extern void tpm_copy_save(TpmCopy *copy);

/* a new one, with its key and nothing else; inserted by the second */
extern TpmCopy *tpm_copy_make(void);
extern void tpm_copy_insert(TpmCopy *copy);
extern void tpm_copy_remove(const char *guard);

/* forgets what was read, but for what was unlisted: the next run fills it, rows that are there are compared */
extern void tpm_copy_begin_anew(TpmCopy *copy);

/* removes the state of each copy whose table is gone */
extern void tpm_copy_forget_gone(void);

/* those of a foreign table; NIL as well where the extension's tables are not there */
extern List *tpm_copies_of(Oid sourceid);

/* the name of the trigger that is a relation's guard, NULL: it has none */
extern char *tpm_copy_guard_name(Oid relid);

/* not counting those that are marked as deleted */
extern int64 tpm_copy_count_rows(Oid relid);

/* microseconds; PG_INT64_MAX: never */
extern int64 tpm_interval_us(const Interval *interval);

/* between runs of one copy, and whoever changes what they are of: of the session, or of a transaction */
extern void tpm_copy_lock_tag(LOCKTAG *tag, Oid relid);

/* ----- copy_target.c: with SPI, as the current user ----- */

extern void tpm_copy_statement(const char *sql);

/* schema.table, quoted where needed */
extern char *tpm_copy_relation_name(Oid relid);

/* what keeps a foreign table from being copied; NULL: nothing */
extern TpmProblem *tpm_copy_source_problem(const TpmTable *table);

/* what keeps a table from being the copy of a foreign one; NULL: nothing */
extern TpmProblem *tpm_copy_target_problem(Relation target, const TpmTable *table);

/* InvalidOid: it is gone */
extern Oid	tpm_copy_owner(Oid relid);

/* a type with its collation: as a statement has it, or as people read it */
extern char *tpm_copy_column_type(Form_pg_attribute att, bool qualified);

/* what keeps a column from being a cursor; NULL: nothing */
extern const char *tpm_copy_why_no_cursor(const TpmTable *table, const char *name);

/* with the key, and without the copy's own columns and guard */
extern Oid	tpm_copy_create_table(const TpmTable *table, const char *schema, const char *name);
extern void tpm_copy_add_own_columns(Oid relid, const char *deletions);

/* in place of the one it has */
extern void tpm_copy_set_guard(Oid relid, const char *guard);
extern void tpm_copy_drop_guard(Oid relid);

/* ----- copy_drift.c: in a step of a run, as the owner ----- */

/*
 * At a run's beginning: adds columns that are new in the source, with a sweep planned, unless the
 * table is in use; raises what keeps the copy from being written.
 */
extern void tpm_copy_follow_source(TpmCopy *copy, const TpmTable *table);

/* before a page of the list is written: raises if a member is gone that every row so far had */
extern void tpm_copy_check_members(TpmCopy *copy, const TpmTable *table, const TpmPageMembers *members,
								   int nrows);

/* ----- copy_price.c ----- */

/* pages that a foreign table has, as far as anybody knows; -1: not known */
extern double tpm_copy_pages_known(const TpmTable *table);

/* requests an hour that copies may send for it; 0: as many as they like */
extern double tpm_copy_requests_an_hour(const TpmTable *table);

/* how often so many pages may be read again: as every allows and 5 % of the hour pays, in microseconds */
extern int64 tpm_copy_pays_us(const TpmCopy *copy, const TpmTable *table, int64 pages);

/* ----- copy_guard.c ----- */

/* between the two this backend may write to the relation; an abort ends it as well */
extern void tpm_copy_guard_open(Oid relid);
extern void tpm_copy_guard_close(void);

#endif							/* TPM_COPY_INTERNAL_H */
