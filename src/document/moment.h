/*-------------------------------------------------------------------------
 *
 * moment.h
 *		Days and moments as texts, and the wall clock of the option timezone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_MOMENT_H
#define TPM_MOMENT_H

#include "datatype/timestamp.h"
#include "utils/date.h"

/* what a clock in the zone shows at a moment */
extern Timestamp tpm_wall_clock(TimestampTz moment, const char *timezone);

/* a moment at which it shows that, by PostgreSQL's own rule where there are two or none */
extern TimestampTz tpm_moment(Timestamp wall, const char *timezone);

/* the first, or with last the last, moment at which a clock can show that; none is outside */
extern TimestampTz tpm_edge_moment(Timestamp wall, const char *timezone, bool last);

/* do its clocks never change, so that a later moment always shows a later time? */
extern bool tpm_zone_is_fixed(const char *timezone);

/* YYYY-MM-DD; NULL outside the years 1 to 9999 */
extern char *tpm_date_text(DateADT date);

/* YYYY-MM-DDTHH:MM:SSZ, with a fraction where there is one; NULL as above */
extern char *tpm_moment_text(TimestampTz moment);

#endif							/* TPM_MOMENT_H */
