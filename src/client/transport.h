/*-------------------------------------------------------------------------
 *
 * transport.h
 *		HTTP transfers, and the one function in which this backend waits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_TRANSPORT_H
#define TPM_TRANSPORT_H

#include "nodes/pg_list.h"

typedef enum TpmWaitReason
{
	TPM_WAIT_ANSWER,
	TPM_WAIT_BUDGET,
	TPM_WAIT_TOKEN,
	TPM_WAIT_RETRY,
	TPM_WAIT_PAGE,
	TPM_WAIT_SETTLE				/* for a write that may still arrive */
} TpmWaitReason;

/*
 * Called when a connection is ready and the bytes are about to leave, from
 * inside libcurl: must neither throw nor wait.  False: nothing is sent.
 */
typedef bool (*TpmDeparting) (void *arg);

typedef struct TpmHttpSpec
{
	const char *method;
	const char *url;
	const char *origin;			/* the URL's origin must be this one */
	List	   *headers;		/* of char *, "Name: value" */
	const char *body;			/* NULL: none */
	size_t		body_len;
	int			connect_timeout;	/* ms */
	int			request_timeout;	/* ms */
	int64		max_body;		/* bytes, after decompression */
	int			ip_family;		/* TpmIpFamily */
	const char *proxy;
	const char *ca_file;
	const char *client_cert;
	const char *client_key;
	bool		private_ok;		/* may reach loopback and link-local addresses */
	const char *request_id_header;	/* whose value in the answer is kept;
									 * NULL, "": none's */
	bool		alone;			/* on a new connection that serves nobody else */
	bool		examined;		/* on a new one, to a name looked up anew; the
								 * certificate is told of */
	TpmDeparting departing;		/* or NULL */
	void	   *departing_arg;
} TpmHttpSpec;

typedef enum TpmOutcome
{
	TPM_OUTCOME_ANSWERED,		/* status, headers and the whole body are
								 * there */
	TPM_OUTCOME_NOT_SENT,		/* failed before a byte of the request left */
	TPM_OUTCOME_NO_SLOT,		/* departing() said no; nothing left */
	TPM_OUTCOME_CONNECTION_DIED,	/* a reused connection closed before the
									 * first byte of an answer: the server may
									 * have acted */
	TPM_OUTCOME_LOST,			/* sent, and no whole answer came */
	TPM_OUTCOME_TOO_LARGE,		/* body or headers over the limit */
	TPM_OUTCOME_NO_MEMORY,		/* the answer, or the request, had no room */
	TPM_OUTCOME_FORBIDDEN		/* address or origin that may not be reached;
								 * nothing left */
} TpmOutcome;

typedef struct TpmTransfer
{
	bool		done;
	TpmOutcome	outcome;
	int			status;			/* HTTP status, 0 if none came */
	char	   *body;			/* zero-terminated; ends with the transfer */
	size_t		body_len;
	char	   *content_type;
	char	   *etag;
	char	   *location;
	char	   *retry_after;
	char	   *date;
	char	   *link;			/* all fields of the name, with commas between */
	char	   *content_range;
	char	   *challenge;		/* WWW-Authenticate; of several, the one about
								 * a scope */
	char	   *request_id;		/* as it came back */
	char		address[64];	/* the last one that a new connection was
								 * opened to, "" if none was */
	char		cert_expires[64];	/* of the peer, examined ones only */
	bool		timed_out;
	bool		tls_failure;
	bool		no_host;		/* the name did not resolve */
	int			sendings;		/* times the request left */
	int64		bytes_in;
	int64		bytes_out;
	int64		started_us;		/* monotonic */
	int64		ended_us;
	char		error[256];		/* libcurl's words; no secrets in them */
} TpmTransfer;

/*
 * Starts a transfer; the work is done in tpm_wait().  The spec and what it
 * points to must live as long as the transfer.  The transfer lives in the
 * current memory context, whose reset ends it: that frees the body and gives
 * the connection back, or closes it if not done.
 */
extern TpmTransfer *tpm_transfer_start(const TpmHttpSpec *spec);

/*
 * Drives this backend's transfers and returns when one of them is done, the
 * latch is set, or until_us (monotonic; PG_INT64_MAX: no time) has come.
 * Handles interrupts.  Whoever waits for anything loops around this.
 */
extern void tpm_wait(TpmWaitReason reason, int64 until_us);

#endif							/* TPM_TRANSPORT_H */
