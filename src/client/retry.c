/*-------------------------------------------------------------------------
 *
 * retry.c
 *		The one retry policy's arithmetic: how long, and for how long.
 *
 * Owns the pauses and the time that all tries may take together.
 *
 * Whether a request may be tried again at all is decided in client.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "common/pg_prng.h"

#include "utils/datetime.h"

#include "client/retry.h"
#include "shared/shared.h"

#define FIRST_PAUSE_US		INT64CONST(200000)
#define LONGEST_PAUSE_US	INT64CONST(30000000)
#define LONGEST_RETRY_AFTER_S	3600

/* "Sun, 06 Nov 1994 08:49:37 GMT", the one date form that is still sent */
bool
tpm_read_http_date(const char *value, pg_time_t *when)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char		month[4];
	int			d,
				y,
				h,
				m,
				s;
	const char *found;
	const char *comma = strchr(value, ',');
	int			julian;

	if (comma == NULL ||
		sscanf(comma + 1, " %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT", &d, month, &y, &h, &m, &s) != 6)
		return false;
	found = strstr(months, month);
	if (found == NULL || strlen(month) != 3 || (found - months) % 3 != 0 || y < 1970)
		return false;
	julian = date2j(y, (int) (found - months) / 3 + 1, d);
	*when = (pg_time_t) (julian - UNIX_EPOCH_JDATE) * SECS_PER_DAY + h * 3600 + m * 60 + s;
	return true;
}

int64
tpm_retry_after_seconds(const char *value, pg_time_t now)
{
	pg_time_t	when;
	size_t		digits;

	if (tpm_read_http_date(value, &when))
		return Max(0, Min(when - now, LONGEST_RETRY_AFTER_S));
	/* RFC 9110, section 10.2.3: digits only, however many */
	digits = strspn(value, "0123456789");
	if (digits == 0 || value[digits + strspn(value + digits, " \t")] != '\0')
		return -1;
	return (int64) Min(strtod(value, NULL), LONGEST_RETRY_AFTER_S);
}

int64
tpm_retry_pause(int attempt, const char *retry_after)
{
	int64		asked = retry_after ? tpm_retry_after_seconds(retry_after, (pg_time_t) time(NULL)) : -1;
	double		pause;

	/* a second more than asked: the server's clock ticks in whole seconds */
	if (asked > 0)
		return (asked + 1) * INT64CONST(1000000);
	pause = Min((double) FIRST_PAUSE_US * (1 << Min(attempt - 1, 16)), (double) LONGEST_PAUSE_US);
	return (int64) (pause * (0.5 + pg_prng_double(&pg_global_prng_state) / 2));
}

bool
tpm_retry_fits(int64 began_us, int64 pause_us, const TpmOptions *opt)
{
	return tpm_monotonic_us() - began_us + pause_us < (int64) opt->request_timeout * 2000;
}
