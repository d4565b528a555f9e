/*-------------------------------------------------------------------------
 *
 * tpm_fdw.h
 *		The settings: plain variables that every layer may read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_FDW_H
#define TPM_FDW_H

/* prefix of every DEBUG line and of the reserved settings */
#define TPM_NAME "tpm_fdw"
/* as in tpm_fdw.control */
#define TPM_VERSION "1.0"

typedef enum TpmEnabled
{
	TPM_ENABLED_OFF,
	TPM_ENABLED_READ,
	TPM_ENABLED_ON
} TpmEnabled;

/* settings; see tpm_fdw.c for their meaning and range */
extern int	tpm_cache_size_kb;
extern int	tpm_max_budgets;
extern int	tpm_max_tokens;
extern int	tpm_request_log_size;
extern int	tpm_enabled;		/* TpmEnabled; tpm_enabled_now() is what
								 * counts */
extern double tpm_rate_limit_share; /* 0..1 */
extern int	tpm_cache_ttl;		/* seconds; -1 follows the option */
extern int	tpm_cache_stale;	/* seconds */
extern int	tpm_max_wait;		/* ms; -1 no limit */
extern int	tpm_max_requests;
extern double tpm_leave_free;	/* 0..1 */
extern int	tpm_small_statement;	/* requests */
extern int	tpm_max_writes;
extern bool tpm_dry_run;
extern int	tpm_journal_keep;	/* seconds */
extern bool tpm_journal_values;
extern bool tpm_log_requests;
extern int	tpm_hour;			/* seconds; the limiter's hour */

#endif							/* TPM_FDW_H */
