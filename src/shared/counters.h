/*-------------------------------------------------------------------------
 *
 * counters.h
 *		What the views show: the latest requests, statements at work, totals.
 *
 * Shared memory only, short critical sections, nothing waits.  All functions
 * do nothing when shared state does not exist.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_COUNTERS_H
#define TPM_COUNTERS_H

#include "access/attnum.h"
#include "datatype/timestamp.h"

#include "base/page.h"
#include "shared/shared.h"

/* a setting; its meaning and range are in tpm_fdw.c */
extern int	tpm_request_log_size;

extern const TpmSharedArea tpm_requests_area;
extern const TpmSharedArea tpm_progress_area;
extern const TpmSharedArea tpm_table_stats_area;

/* one request that was sent (or refused before), for tpm_fdw_requests and tpm_fdw_stats */
typedef struct TpmRequestRecord
{
	TimestampTz at;
	Oid			roleid;			/* GetUserId() */
	Oid			credential_role;	/* role whose mapping was used */
	Oid			serverid;
	Oid			relid;			/* InvalidOid: none */
	const char *method;
	const char *path;			/* path and query, percent-encoded, no secrets */
	int			status;			/* 0: no answer */
	const char *error;			/* NULL: none */
	double		ms;
	double		waited_ms;		/* for budget and token */
	int64		bytes_in;
	int64		bytes_out;
	int			attempt;		/* from 1 */
	bool		is_retry;
} TpmRequestRecord;

extern void tpm_count_request(const TpmRequestRecord *record);
extern void tpm_count_rows(Oid serverid, Oid roleid, int64 rows, int64 cache_hits);

/* one row of tpm_fdw_requests; texts are cut to what fits, "" is none */
typedef struct TpmRequestRow
{
	TimestampTz at;
	int			pid;
	Oid			roleid;
	Oid			dbid;
	Oid			serverid;
	Oid			relid;
	int			status;
	int			attempt;
	double		ms;
	double		waited_ms;
	int64		bytes_in;
	int64		bytes_out;
	char		application_name[NAMEDATALEN];
	char		method[8];
	char		path[512];
	char		error[256];
} TpmRequestRow;

/* one row of tpm_fdw_stats; dbid and roleid 0: what found no entry of its own */
typedef struct TpmStatRow
{
	Oid			dbid;
	Oid			serverid;
	Oid			roleid;
	char		method[8];
	int64		requests;
	int64		cache_hits;
	int64		rows;
	int64		bytes_in;
	int64		retries;
	int64		status_429;
	int64		errors;
	double		ms;
	double		waited_ms;
	TimestampTz since;
} TpmStatRow;

/* palloc'd copies; they raise 55000 without shared state */
extern int	tpm_requests_rows(TpmRequestRow **rows);
extern int	tpm_stat_rows(TpmStatRow **rows);

/* begins the totals anew; the log stays */
extern void tpm_stat_reset(void);

/*
 * A statement at work, for tpm_fdw_progress.  It lives in the current memory
 * context, whose reset ends it if nobody else does first.
 */
typedef struct TpmProgress TpmProgress;

/* NULL when no slot is free; every function takes NULL */
extern TpmProgress *tpm_progress_start(Oid relid, const char *operation);
extern void tpm_progress_update(TpmProgress *progress, int64 requests_done,
								int64 requests_expected, int64 rows_done,
								TimestampTz expected_end);

/* waiting_for: a string constant such as "budget", "answer", NULL for none */
extern void tpm_progress_waiting(TpmProgress *progress, const char *waiting_for);
extern void tpm_progress_end(TpmProgress *progress);

/* one row of tpm_fdw_progress */
typedef struct TpmProgressRow
{
	int			pid;
	Oid			roleid;
	Oid			dbid;
	Oid			relid;
	char		operation[16];
	char		waiting_for[16];
	int64		requests_done;
	int64		requests_expected;	/* 0: not known */
	int64		rows_done;
	TimestampTz started;
	TimestampTz expected_end;	/* 0: not known */
} TpmProgressRow;

extern int	tpm_progress_rows(TpmProgressRow **rows);

/* requests of this backend to this server's group within the hour are in budget.h */

/*
 * What was learnt about a table and outlives session and server.  Keyed by
 * database and relation, dropped when options_hash differs.  Columns are bits,
 * by attnum; a column beyond them is one of which nothing is learnt.
 */
#define TPM_SUSPECTS 8
#define TPM_FILTERS 8
#define TPM_LONG_LISTS 8

/* what filters on one column have left, in sum: "= value" is one value, IN so many */
typedef struct TpmFilterStats
{
	int			attnum;			/* 0: none */
	float		values;
	float		rows;
} TpmFilterStats;

/* how many pages a list had that tells no total, or at the least, if it was left */
typedef struct TpmLongList
{
	uint64		conditions;		/* hash; 0: none */
	int64		pages;
	TimestampTz at;
} TpmLongList;

typedef struct TpmTableStats
{
	int64		total;			/* of a complete list, -1 unknown */
	TimestampTz total_at;
	Oid			total_by;		/* user mapping it was told to */
	int			a_page;			/* rows that come on a page of page_size, 0
								 * unknown; all there are, if that is less */
	int64		at_least;		/* rows of a list that was left, is still
								 * being read, or is a part of the whole one,
								 * if there are more than total */

	/*
	 * Members: one that was seen and never lacked is on every resource, one
	 * of which both is true on some, one that was never seen perhaps nowhere.
	 */
	uint64		seen_columns[TPM_SEEN_WORDS];	/* some resource had it */
	uint64		lacked_columns[TPM_SEEN_WORDS]; /* some resource had it not */

	/* sparse fieldsets: what the API calls the member there */
	uint64		named_columns[TPM_SEEN_WORDS];	/* its name was understood */
	uint64		unnamed_columns[TPM_SEEN_WORDS];	/* it was not, or nothing
													 * shows that it was */

	/* relationships that the API was asked to include, and did not know */
	uint64		refused_columns[TPM_SEEN_WORDS];

	uint64		lying_columns[TPM_SEEN_WORDS];	/* filter demoted to recheck */
	int64		slowest_us;		/* slowest answer seen from this table */
	bool		hides;			/* its list does not show every resource */
	bool		total_ignores_filter;
	bool		total_obeys_filter; /* neither: it is not known */
	uint64		suspects[TPM_SUSPECTS]; /* tpm_id_hash() of resources that a
										 * list lacked; 0: none */
	TpmFilterStats filters[TPM_FILTERS];
	TpmLongList long_lists[TPM_LONG_LISTS];
} TpmTableStats;

extern bool tpm_table_stats_get(Oid relid, uint64 options_hash, TpmTableStats *learnt);

/* umid: user mapping it was told to; a_page 0: nothing is told of it */
extern void tpm_table_stats_total(Oid relid, uint64 options_hash, Oid umid, int64 total, int a_page);

/* a list without conditions has at least so many rows; how many, nobody knows yet */
extern void tpm_table_stats_at_least(Oid relid, uint64 options_hash, int64 rows, int a_page);

/* rows on a page of the table, where so many are asked for: an API may give less, or more */
extern int	tpm_table_stats_page(const TpmTableStats *learnt, int asked);

/* a list that tells no total has so many pages, or more, if it has not ended */
extern void tpm_table_stats_long_list(Oid relid, uint64 options_hash, uint64 conditions, int64 pages, bool ended);

/* how many it had, not long ago; -1: not known */
extern int64 tpm_table_stats_pages_of_list(const TpmTableStats *learnt, uint64 conditions);

/* the size of a table counts as known for so long */
#define TPM_SIZE_IS_KNOWN_MS	(24 * 3600 * 1000)

/* a filter for so many values of the column alone has left so many rows; 0 values: more rows of those told last */
extern void tpm_table_stats_filter(Oid relid, uint64 options_hash, AttrNumber attnum, int values, int64 rows);

/* the column's, NULL: nothing is known */
extern const TpmFilterStats *tpm_table_stats_of_filter(const TpmTableStats *learnt, AttrNumber attnum);

/* of one page: columns whose member some resource had, and whose member some had not */
extern void tpm_table_stats_members(Oid relid, uint64 options_hash, const uint64 *seen, const uint64 *lacked);
extern void tpm_table_stats_fields(Oid relid, uint64 options_hash, const uint64 *named, const uint64 *unnamed);
extern void tpm_table_stats_refused(Oid relid, uint64 options_hash, const uint64 *refused);
extern void tpm_table_stats_lying(Oid relid, uint64 options_hash, AttrNumber attnum);
extern void tpm_table_stats_slowest(Oid relid, uint64 options_hash, int64 us);

/* a resource that a complete list without conditions lacks, by its tpm_id_hash() */
extern void tpm_table_stats_suspect(Oid relid, uint64 options_hash, uint64 idhash);
extern void tpm_table_stats_clear_suspect(Oid relid, uint64 options_hash, uint64 idhash);
extern void tpm_table_stats_hides(Oid relid, uint64 options_hash);

/* is the total of an answer to a filter that of the rows which match? */
extern void tpm_table_stats_filtered_total(Oid relid, uint64 options_hash, bool obeys);

/* is a column among such bits? */
static inline bool
tpm_column_bit(const uint64 *words, int attnum)
{
	return attnum > 0 && attnum < TPM_SEEN_WORDS * 64 &&
		(words[attnum / 64] & (UINT64CONST(1) << (attnum % 64))) != 0;
}

#endif							/* TPM_COUNTERS_H */
