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

/* wait.c: what libcurl says of its sockets; false: no memory */
extern bool tpm_watch_socket(pgsocket fd, int events);
extern void tpm_forget_socket(pgsocket fd);

#endif							/* TPM_TRANSPORT_INTERNAL_H */
