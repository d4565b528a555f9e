/*-------------------------------------------------------------------------
 *
 * option_definition.h
 *		One option as data: where it may stand, its default, its check, its parsed form.
 *
 * What IMPORT asks, too: would this be a good value, and what does its word mean?
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_OPTION_DEFINITION_H
#define TPM_OPTION_DEFINITION_H

#include "option/option.h"

/* where an option may stand; bits of TpmOptionDef.contexts */
#define TPM_ON_SERVER	0x01
#define TPM_ON_TABLE	0x02
#define TPM_ON_COLUMN	0x04
#define TPM_ON_MAPPING	0x08

/* bits of TpmOptionDef.flags */
#define TPM_OPT_EMPTY	0x01	/* '' is a value of its own */
#define TPM_OPT_NONE	0x02	/* '' is no value */
#define TPM_OPT_LINES	0x04	/* may hold newlines */
#define TPM_OPT_FILE	0x08	/* names a file of the server */
#define TPM_OPT_SECRET	0x10	/* only the server may be able to read the
								 * file */
#define TPM_OPT_QUIET	0x20	/* a secret may have slipped in: not shown in
								 * errors */

/* a word and what it stands for; a list ends with a NULL word */
typedef struct TpmWord
{
	const char *word;
	int			value;
} TpmWord;

typedef struct TpmOptionDef TpmOptionDef;

/* NULL if the value is good, else a DETAIL that says what is valid */
typedef const char *(*TpmOptionCheck) (const TpmOptionDef *def, const char *value);

/* puts a value into its place in target, or throws */
typedef void (*TpmOptionParse) (const TpmOptionDef *def, const char *value, void *target);

/*
 * One option.  The target is a TpmOptions where a server may have the option,
 * else the TpmTable, TpmColumn or TpmCredential of its only context.
 */
struct TpmOptionDef
{
	const char *name;
	int			contexts;
	TpmOptionParse parse;
	size_t		offset;
	const char *preset;			/* default as text, or NULL */
	int			flags;
	TpmOptionCheck check;		/* of texts */
	const TpmWord *words;		/* of words and lists of words */
	int			min;			/* of numbers, in their unit */
	int			max;
	int			unit;			/* GUC_UNIT_*, or 0 */
};

#define TPM_FIELD(type, target, def) ((type *) ((char *) (target) + (def)->offset))

/* option_table.c */
extern const TpmOptionDef *tpm_option_find(const char *name, int context);
extern const TpmOptionDef *tpm_option_at(int i);
extern void tpm_option_store(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_option_presets(int context, void *target);

/* the next two: NULL, or why not */
extern TpmProblem *tpm_option_apply(List *options, int context, void *own, TpmOptions *shared);
extern TpmProblem *tpm_options_finish(TpmOptions *opt);

/* option_parse.c: of String, without blanks around; NIL: nothing in it */
extern List *tpm_split(const char *text, char separator);

#endif							/* TPM_OPTION_DEFINITION_H */
