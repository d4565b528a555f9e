/*-------------------------------------------------------------------------
 *
 * retry.h
 *		How long to wait before a request is tried again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_RETRY_H
#define TPM_RETRY_H

#include "pgtime.h"

#include "client/client.h"

/*
 * Microseconds to wait before try number attempt + 1: what Retry-After says
 * (RFC 9110, section 10.2.3: seconds or a date; never more than an hour), else
 * exponential with jitter.
 */
extern int64 tpm_retry_pause(int attempt, const char *retry_after);

/* seconds that a Retry-After asks for, from 0 to an hour; -1 if it is neither form */
extern int64 tpm_retry_after_seconds(const char *value, pg_time_t now);

/* a date as HTTP spells it (RFC 9110, section 5.6.7); false if it is none */
extern bool tpm_read_http_date(const char *value, pg_time_t *when);

/* false if another pause would make all the tries together take too long */
extern bool tpm_retry_fits(int64 began_us, int64 pause_us, const TpmOptions *opt);

#endif							/* TPM_RETRY_H */
