/*-------------------------------------------------------------------------
 *
 * write_state.c
 *		Did the API act?  What an answer to a write says, and what follows.
 *
 * Owns the table of events and their classes, the steps that follow from them,
 * and the verdict on a row that is found.  Everything in here is a pure
 * function: what it decides is done by write.c.
 *
 * Two rules stand behind the table.  A write is sent again only after N (it
 * surely did not act) or when looks have shown that it did not.  And doubt
 * sticks: after one D, what refuses a later sending says nothing about the
 * first, so only an A or a look ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "write/write_state.h"

/* looks in vain after which a sending is held not to have acted */
#define LOOKS_BEFORE_AGAIN		2

/* for a row that a conflict says is there, though lists do not show it yet */
#define LOOKS_AFTER_CONFLICT	3

/* ----- what an answer says ----- */

#define POST	TPM_METHOD_POST
#define CHANGES (TPM_METHOD_PUT | TPM_METHOD_PATCH)
#define ANY		(POST | CHANGES)

/* what a rule asks of the answer, beyond its status */
#define IF_CONFLICT		0x0001
#define IF_UNACTED		0x0002
#define IF_RESOURCE		0x0004
#define IF_META			0x0008
#define IF_EMPTY		0x0010
#define IF_LOCATION		0x0020
#define IF_CLIENT_ID	0x0040
#define IF_CONDITIONAL	0x0080
#define IF_REPEATED		0x0100

typedef struct Rule
{
	int			row;
	TpmWriteEvent event;
	int			methods;
	const char *statuses;		/* with blanks between, x is any digit; NULL:
								 * not answered, or whatever the status */
	int			conditions;		/* IF_*, all of them */
	TpmWriteClass class;
} Rule;

/* the first that fits counts */
static const Rule rules[] = {
	{1, TPM_EVENT_NOT_ADMITTED, ANY, NULL, 0, TPM_CLASS_NOT_ACTED},
	{2, TPM_EVENT_NOT_JOURNALLED, ANY, NULL, 0, TPM_CLASS_NOT_ACTED},
	{3, TPM_EVENT_NOT_CONNECTED, ANY, NULL, 0, TPM_CLASS_NOT_ACTED},
	{4, TPM_EVENT_CANCELLED_BEFORE, ANY, NULL, 0, TPM_CLASS_NOT_ACTED},
	{5, TPM_EVENT_LOST, ANY, NULL, 0, TPM_CLASS_DOUBT},
	{6, TPM_EVENT_REPEATED, ANY, NULL, 0, TPM_CLASS_DOUBT},
	{10, TPM_EVENT_UNREADABLE, ANY, NULL, 0, TPM_CLASS_DOUBT},
	{11, TPM_EVENT_CANCELLED, ANY, NULL, 0, TPM_CLASS_DOUBT},
	{39, TPM_EVENT_CRASHED_BEFORE, ANY, NULL, 0, TPM_CLASS_NOT_ACTED},
	{39, TPM_EVENT_CRASHED, ANY, NULL, 0, TPM_CLASS_DOUBT},
	{40, TPM_EVENT_RESTORED, ANY, NULL, 0, TPM_CLASS_NOT_ACTED},

	/* what the options say goes before what statuses usually mean */
	{26, TPM_EVENT_ANSWERED, POST, NULL, IF_CONFLICT, TPM_CLASS_REFUSED},
	{26, TPM_EVENT_ANSWERED, POST, "409", 0, TPM_CLASS_REFUSED},
	{32, TPM_EVENT_ANSWERED, ANY, NULL, IF_UNACTED, TPM_CLASS_NOT_ACTED},
	{32, TPM_EVENT_ANSWERED, ANY, "429", 0, TPM_CLASS_NOT_ACTED},

	{9, TPM_EVENT_ANSWERED, ANY, "1xx", 0, TPM_CLASS_DOUBT},

	{12, TPM_EVENT_ANSWERED, POST, "200 201", IF_RESOURCE, TPM_CLASS_ACTED},
	{13, TPM_EVENT_ANSWERED, POST, "201", IF_EMPTY | IF_LOCATION, TPM_CLASS_ACTED},
	{13, TPM_EVENT_ANSWERED, POST, "204", IF_CLIENT_ID, TPM_CLASS_ACTED},
	{14, TPM_EVENT_ANSWERED, ANY, "202", 0, TPM_CLASS_ACTED},
	{15, TPM_EVENT_ANSWERED, POST, "2xx", 0, TPM_CLASS_DOUBT},
	{16, TPM_EVENT_ANSWERED, CHANGES, "200", IF_RESOURCE, TPM_CLASS_ACTED},
	{16, TPM_EVENT_ANSWERED, CHANGES, "200", IF_META, TPM_CLASS_ACTED},
	{16, TPM_EVENT_ANSWERED, CHANGES, "204", 0, TPM_CLASS_ACTED},
	{17, TPM_EVENT_ANSWERED, CHANGES, "2xx", 0, TPM_CLASS_DOUBT},

	{18, TPM_EVENT_ANSWERED, ANY, "301 307 308", 0, TPM_CLASS_REFUSED},
	{19, TPM_EVENT_ANSWERED, ANY, "3xx", 0, TPM_CLASS_DOUBT},

	{20, TPM_EVENT_ANSWERED, ANY, "400 402 405 406 411 414 415 417 422 423 424 426 428 431 451 501 505", 0,
	TPM_CLASS_REFUSED},
	{21, TPM_EVENT_ANSWERED, ANY, "401", IF_REPEATED, TPM_CLASS_REFUSED},
	{21, TPM_EVENT_ANSWERED, ANY, "401", 0, TPM_CLASS_NOT_ACTED},
	{22, TPM_EVENT_ANSWERED, POST, "404", 0, TPM_CLASS_REFUSED},
	{22, TPM_EVENT_ANSWERED, ANY, "403 511", 0, TPM_CLASS_REFUSED},
	{23, TPM_EVENT_ANSWERED, CHANGES, "404 410", 0, TPM_CLASS_REFUSED},
	{24, TPM_EVENT_ANSWERED, ANY, "413", 0, TPM_CLASS_REFUSED},
	{25, TPM_EVENT_ANSWERED, ANY, "408", 0, TPM_CLASS_DOUBT},
	{28, TPM_EVENT_ANSWERED, CHANGES, "409", 0, TPM_CLASS_REFUSED},
	{29, TPM_EVENT_ANSWERED, ANY, "412", IF_CONDITIONAL, TPM_CLASS_REFUSED},
	{30, TPM_EVENT_ANSWERED, ANY, "421", IF_REPEATED, TPM_CLASS_REFUSED},
	{30, TPM_EVENT_ANSWERED, ANY, "421", 0, TPM_CLASS_NOT_ACTED},
	{31, TPM_EVENT_ANSWERED, ANY, "425", IF_REPEATED, TPM_CLASS_REFUSED},
	{31, TPM_EVENT_ANSWERED, ANY, "425", 0, TPM_CLASS_NOT_ACTED},
	{33, TPM_EVENT_ANSWERED, ANY, "5xx", 0, TPM_CLASS_DOUBT},
};

static bool
status_is_among(const char *statuses, int status)
{
	char		digits[3] = {'0' + status / 100 % 10, '0' + status / 10 % 10, '0' + status % 10};

	for (const char *one = statuses;; one += 4)
	{
		bool		fits = true;

		for (int i = 0; i < 3; i++)
			fits = fits && (one[i] == 'x' || one[i] == digits[i]);
		if (fits || one[3] == '\0')
			return fits;
	}
}

static int
conditions_met(const TpmWriteFacts *facts)
{
	return (facts->is_conflict ? IF_CONFLICT : 0) | (facts->is_unacted ? IF_UNACTED : 0) |
		(facts->shape == TPM_SHAPE_RESOURCE ? IF_RESOURCE : 0) |
		(facts->shape == TPM_SHAPE_META ? IF_META : 0) | (facts->shape == TPM_SHAPE_EMPTY ? IF_EMPTY : 0) |
		(facts->has_location ? IF_LOCATION : 0) | (facts->has_client_id ? IF_CLIENT_ID : 0) |
		(facts->is_conditional ? IF_CONDITIONAL : 0) | (facts->was_repeated ? IF_REPEATED : 0);
}

TpmWriteVerdict
tpm_write_classify(const TpmWriteFacts *facts)
{
	TpmWriteVerdict verdict = {10, TPM_CLASS_DOUBT};
	int			met = conditions_met(facts);

	for (size_t i = 0; i < lengthof(rules); i++)
	{
		const Rule *rule = &rules[i];

		if (rule->event == facts->event && (rule->methods & facts->method) != 0 &&
			(rule->conditions & ~met) == 0 &&
			(rule->statuses == NULL || status_is_among(rule->statuses, facts->status)))
		{
			verdict.row = rule->row;
			verdict.class = rule->class;
			break;
		}
	}
	return verdict;
}

/* ----- what follows ----- */

/* what cannot be sent again, or not any more */
static TpmWriteStep
give_up_sending(const TpmWriteHistory *history)
{
	return history->is_doubted ? TPM_STEP_UNKNOWN : TPM_STEP_REFUSED;
}

static TpmWriteStep
after_refusal(const TpmWriteHistory *history, int row)
{
	switch (row)
	{
		case 26:
			/* without a key the API's word is all that there is */
			if (!history->has_key)
				return history->is_doubted ? TPM_STEP_UNKNOWN : TPM_STEP_EXISTS;
			return TPM_STEP_LOOK;
		case 23:
			return history->is_doubted ? TPM_STEP_UNKNOWN : TPM_STEP_GONE;
		case 28:
			return history->is_doubted ? TPM_STEP_LOOK : TPM_STEP_REFUSED;
		case 29:
			return history->is_doubted ? TPM_STEP_LOOK : TPM_STEP_CHANGED;
		default:
			return give_up_sending(history);
	}
}

TpmWriteStep
tpm_write_next(const TpmWriteHistory *history, TpmWriteVerdict verdict)
{
	switch (verdict.class)
	{
		case TPM_CLASS_NOT_ACTED:
			/* rows 1, 2, 4 and 40 are not for the program to try again */
			if (verdict.row == 1 || verdict.row == 2 || verdict.row == 4 || verdict.row == 40)
				return give_up_sending(history);
			return history->sendings < history->most_sendings ? TPM_STEP_AGAIN : give_up_sending(history);
		case TPM_CLASS_ACTED:
			return TPM_STEP_DONE;
		case TPM_CLASS_REFUSED:
			return after_refusal(history, verdict.row);
		case TPM_CLASS_DOUBT:
			/* who cancels does not wait for a look */
			if (verdict.row == 11)
				return TPM_STEP_UNKNOWN;
			break;
	}
	return history->method == TPM_METHOD_POST && !history->has_key ? TPM_STEP_UNKNOWN : TPM_STEP_LOOK;
}

static TpmWriteStep
after_nothing(const TpmWriteHistory *history)
{
	/* including this one */
	int			looks = history->looks + 1;

	if (history->is_conflict && history->method == TPM_METHOD_POST)
	{
		/* 26: what refused it was no other row; 27: it would refuse it again */
		if (!history->is_doubted)
			return TPM_STEP_REFUSED;
		return looks < LOOKS_AFTER_CONFLICT ? TPM_STEP_LOOK_LATER : TPM_STEP_UNKNOWN;
	}
	if (looks < LOOKS_BEFORE_AGAIN)
		return TPM_STEP_LOOK_LATER;
	return history->sendings < history->most_sendings ? TPM_STEP_AGAIN : TPM_STEP_UNKNOWN;
}

TpmWriteStep
tpm_write_next_look(const TpmWriteHistory *history, TpmLookResult look)
{
	/* 26: whoever's row it is, it is there */
	if (history->is_conflict && history->method == TPM_METHOD_POST && !history->is_doubted)
		return look == TPM_LOOK_NOTHING || look == TPM_LOOK_FAILED ? TPM_STEP_REFUSED : TPM_STEP_EXISTS;
	switch (look)
	{
		case TPM_LOOK_OURS:
			return TPM_STEP_DONE;
		case TPM_LOOK_BEFORE:
			return TPM_STEP_EXISTS;
		case TPM_LOOK_NOTHING:
			return after_nothing(history);
		case TPM_LOOK_OTHER:
		case TPM_LOOK_GONE:
		case TPM_LOOK_FAILED:
			break;
	}
	return TPM_STEP_UNKNOWN;
}

/* ----- whose row is it? ----- */

const char *
tpm_evidence_text(TpmWriteEvidence evidence)
{
	static const char *const texts[] = {
		[TPM_EVIDENCE_NONE] = NULL,
		[TPM_EVIDENCE_ANSWER] = "answer",
		[TPM_EVIDENCE_ACCEPTED] = "accepted",
		[TPM_EVIDENCE_CREATED_AFTER] = "found: created after sending",
		[TPM_EVIDENCE_ABSENT_BEFORE] = "found: absent before",
		[TPM_EVIDENCE_EQUAL_VALUES] = "found: equal values",
		[TPM_EVIDENCE_CREATED_BEFORE] = "found: created before sending",
		[TPM_EVIDENCE_OTHER_VALUES] = "found: other values",
		[TPM_EVIDENCE_CONFLICT] = "conflict",
		[TPM_EVIDENCE_READ_BACK] = "read back",
		[TPM_EVIDENCE_NOT_SENT] = "not sent",
	};

	return texts[evidence];
}

TpmFoundVerdict
tpm_write_judge_found(const TpmFoundFacts *facts)
{
	TpmFoundVerdict verdict = {TPM_LOOK_OURS, TPM_EVIDENCE_EQUAL_VALUES};

	if (facts->has_time && facts->is_earlier)
	{
		verdict.look = TPM_LOOK_BEFORE;
		verdict.evidence = TPM_EVIDENCE_CREATED_BEFORE;
	}
	else if (!facts->is_equal)
	{
		verdict.look = TPM_LOOK_OTHER;
		verdict.evidence = TPM_EVIDENCE_OTHER_VALUES;
	}
	else if (facts->was_absent)
		verdict.evidence = TPM_EVIDENCE_ABSENT_BEFORE;
	else if (facts->has_time)
		verdict.evidence = TPM_EVIDENCE_CREATED_AFTER;
	return verdict;
}
