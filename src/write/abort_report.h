/*-------------------------------------------------------------------------
 *
 * abort_report.h
 *		What a transaction has sent, for when it is rolled back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_ABORT_REPORT_H
#define TPM_ABORT_REPORT_H

#include "client/client.h"

/* a write of the current transaction; lives until it ends */
typedef struct TpmSent TpmSent;

/*
 * A write that will leave.  From then on, which its departure says, it is
 * doubtful until one of the next functions says more.  what is the address of
 * the list for people; id may be NULL if it is not known yet, and key is what
 * tells the row apart until then: a natural key, a body.
 */
extern TpmSent *tpm_sent_begin(uint64 resource, const char *method, const char *what,
							   const char *id, const char *key);

/* for the client to write down when its bytes leave; as long as the transaction */
extern TpmDeparture *tpm_sent_departure(TpmSent *sent);

/*
 * One that is left while it is under way may arrive within settle_us of its
 * sending and erase what others have changed: the hash of its address, 0: it
 * erases nothing.
 */
extern void tpm_sent_may_erase(TpmSent *sent, uint64 address, int64 settle_us);

/* its number in the journal, which is told if nobody else comes to do so */
extern void tpm_sent_journal(TpmSent *sent, uint64 number);

/* no answer has come: doubtful, whatever becomes of later sendings */
extern void tpm_sent_doubted(TpmSent *sent);

/* it was written, as the resource of this id (NULL: not known) */
extern void tpm_sent_written(TpmSent *sent, const char *id);

/* it was not: the API refused it, or it never left */
extern void tpm_sent_refused(TpmSent *sent);

/* is the resource of this id known to be what another POST of the transaction made? */
extern bool tpm_sent_created_by_another(const TpmSent *sent, const char *id);

/* the id of what another POST of the transaction made of the same key, NULL: none did */
extern const char *tpm_sent_id_of_same_key(const TpmSent *sent);

/* has this transaction written anything, or perhaps? */
extern bool tpm_transaction_has_written(void);

/* how many writes the transaction has sent so far: a mark for the next function */
extern int64 tpm_sent_mark(void);

/* the writes that were sent since the mark, for a message; NULL if none were */
extern char *tpm_sent_list(int64 mark);

#endif							/* TPM_ABORT_REPORT_H */
