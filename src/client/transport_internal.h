/*-------------------------------------------------------------------------
 *
 * transport_internal.h
 *		What the files of the transport share; none of it libcurl's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_TRANSPORT_INTERNAL_H
#define TPM_TRANSPORT_INTERNAL_H

#include <sys/socket.h>

#include "storage/latch.h"

#include "client/transport.h"

/* transport.c */
extern void tpm_transport_init(void);
extern void tpm_transport_drive(const WaitEvent *event, int n);
extern bool tpm_transport_collect(void);
extern int64 tpm_transport_due(void);

/* transport_wait.c: what libcurl says of its sockets; false: no memory */
extern bool tpm_watch_socket(pgsocket fd, int events);
extern void tpm_forget_socket(pgsocket fd);

/* transport_answer.c */
extern bool tpm_answer_add_header(TpmTransfer *pub, const char *data, size_t len);
extern void tpm_answer_forget_headers(TpmTransfer *pub);
extern bool tpm_answer_add_body(TpmTransfer *pub, size_t *space, const char *data, size_t len);

/* transport_address.c */
extern bool tpm_address_is_private(const struct sockaddr *addr);
extern bool tpm_text_address_is_private(const char *text);
extern void tpm_address_text(const struct sockaddr *addr, char *text, size_t size);

#endif							/* TPM_TRANSPORT_INTERNAL_H */
