/*-------------------------------------------------------------------------
 *
 * write_state.h
 *		Did the API act?  What an answer to a write says, and what follows.
 *
 * Pure functions over a table: no memory, no network, no clock.  The numbers
 * are those of docs/write-outcomes.md.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_WRITE_STATE_H
#define TPM_WRITE_STATE_H

typedef enum TpmWriteMethod
{
	TPM_METHOD_POST = 1,
	TPM_METHOD_PUT = 2,
	TPM_METHOD_PATCH = 4
} TpmWriteMethod;

typedef enum TpmWriteClass
{
	TPM_CLASS_NOT_ACTED,		/* N: sending it again is safe */
	TPM_CLASS_REFUSED,			/* R: certain */
	TPM_CLASS_ACTED,			/* A: certain */
	TPM_CLASS_DOUBT				/* D */
} TpmWriteClass;

/* what came of a sending */
typedef enum TpmWriteEvent
{
	TPM_EVENT_ANSWERED,			/* its status says more */
	TPM_EVENT_NOT_ADMITTED,		/* budget, max_wait, enabled, no token */
	TPM_EVENT_NOT_JOURNALLED,
	TPM_EVENT_NOT_CONNECTED,	/* name, route, TLS, a proxy's CONNECT */
	TPM_EVENT_CANCELLED_BEFORE, /* before its bytes left */
	TPM_EVENT_LOST,				/* they left, and no whole answer came */
	TPM_EVENT_REPEATED,			/* libcurl would have sent it twice */
	TPM_EVENT_UNREADABLE,		/* too large, no memory, no HTTP */
	TPM_EVENT_CANCELLED,		/* in flight, or in a pause after a doubt */
	TPM_EVENT_CRASHED_BEFORE,	/* the journal has no intent */
	TPM_EVENT_CRASHED,			/* it has an intent, and no outcome */
	TPM_EVENT_RESTORED			/* the data directory is a copy */
} TpmWriteEvent;

/* what the document of a success is */
typedef enum TpmAnswerShape
{
	TPM_SHAPE_OTHER,			/* a list, none or several resources, another
								 * type, id or key, errors, no document */
	TPM_SHAPE_EMPTY,			/* no body */
	TPM_SHAPE_META,				/* meta, and neither data nor errors */
	TPM_SHAPE_RESOURCE			/* exactly the resource that was written */
} TpmAnswerShape;

/* a sending and what was answered */
typedef struct TpmWriteFacts
{
	TpmWriteEvent event;
	TpmWriteMethod method;
	int			status;			/* ANSWERED: of HTTP */
	TpmAnswerShape shape;		/* of a success */
	bool		has_location;	/* the answer names the new resource */
	bool		has_client_id;	/* what was sent has an id of its own */
	bool		is_conditional; /* it was sent with If-Match */
	bool		is_conflict;	/* the option conflict_codes has it */
	bool		is_unacted;		/* the option unacted_statuses has it */
	bool		was_repeated;	/* this status has been answered before, or a
								 * token cannot be renewed */
} TpmWriteFacts;

/* what the table says of it */
typedef struct TpmWriteVerdict
{
	int			row;
	TpmWriteClass class;
} TpmWriteVerdict;

/* of any facts there is a verdict; what no row names is a doubt */
extern TpmWriteVerdict tpm_write_classify(const TpmWriteFacts *facts);

/* ----- what follows ----- */

typedef enum TpmWriteStep
{
	TPM_STEP_AGAIN,				/* send it, with the same request id */
	TPM_STEP_LOOK,				/* find out, as soon as the API may be asked */
	TPM_STEP_LOOK_LATER,		/* the same, when the time for a late sending
								 * is over */
	TPM_STEP_DONE,				/* sent */
	TPM_STEP_EXISTS,			/* refused: the row was there before */
	TPM_STEP_GONE,				/* refused: there is no such row to update */
	TPM_STEP_CHANGED,			/* refused: changed by somebody else */
	TPM_STEP_REFUSED,
	TPM_STEP_UNKNOWN
} TpmWriteStep;

/* what is known of a write before what happened last */
typedef struct TpmWriteHistory
{
	TpmWriteMethod method;
	bool		has_key;		/* of a POST: it can be looked for */
	bool		is_doubted;		/* a sending may have acted: sticks */
	bool		is_conflict;	/* the last answer said that it exists */
	int			sendings;
	int			most_sendings;
	int			looks;			/* in vain, since the last sending */
} TpmWriteHistory;

/* what a look, or a read by id, has shown */
typedef enum TpmLookResult
{
	TPM_LOOK_OURS,				/* what was sent is there */
	TPM_LOOK_BEFORE,			/* a row is there that was before the sending */
	TPM_LOOK_OTHER,				/* what is there may be anybody's */
	TPM_LOOK_NOTHING,			/* no such row; of an UPDATE: as it was before */
	TPM_LOOK_GONE,				/* of an UPDATE: no such row any more */
	TPM_LOOK_FAILED
} TpmLookResult;

extern TpmWriteStep tpm_write_next(const TpmWriteHistory *history, TpmWriteVerdict verdict);
extern TpmWriteStep tpm_write_next_look(const TpmWriteHistory *history, TpmLookResult look);

/* ----- whose row is it? ----- */

/* how an outcome is known: the journal's column evidence */
typedef enum TpmWriteEvidence
{
	TPM_EVIDENCE_NONE,
	TPM_EVIDENCE_ANSWER,
	TPM_EVIDENCE_ACCEPTED,
	TPM_EVIDENCE_CREATED_AFTER,
	TPM_EVIDENCE_ABSENT_BEFORE,
	TPM_EVIDENCE_EQUAL_VALUES,
	TPM_EVIDENCE_CREATED_BEFORE,
	TPM_EVIDENCE_OTHER_VALUES,
	TPM_EVIDENCE_CONFLICT,
	TPM_EVIDENCE_READ_BACK,
	TPM_EVIDENCE_NOT_SENT
} TpmWriteEvidence;

/* its words in the journal; NULL of none */
extern const char *tpm_evidence_text(TpmWriteEvidence evidence);

/* a row that a look has found for the key of a POST in doubt */
typedef struct TpmFoundFacts
{
	bool		was_absent;		/* a look before the first sending found none */
	bool		is_equal;		/* all values that were sent */
	bool		has_time;		/* the API says when it was created, and what
								 * time it was at the sending */
	bool		is_earlier;		/* created before the sending */
} TpmFoundFacts;

typedef struct TpmFoundVerdict
{
	TpmLookResult look;
	TpmWriteEvidence evidence;
} TpmFoundVerdict;

extern TpmFoundVerdict tpm_write_judge_found(const TpmFoundFacts *facts);

#endif							/* TPM_WRITE_STATE_H */
