/*-------------------------------------------------------------------------
 *
 * option_internal.h
 *		What the files that read options share; nobody else includes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_OPTION_INTERNAL_H
#define TPM_OPTION_INTERNAL_H

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
extern void tpm_option_apply(List *options, int context, void *own, TpmOptions *shared);
extern void tpm_options_finish(TpmOptions *opt);

/* option_parse.c */
extern void tpm_option_bad(const TpmOptionDef *def, const char *value, const char *detail);
extern void tpm_parse_text(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_url(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_names(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_boolean(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_number(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_kilobytes(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_word(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_word_flag(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_words(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_filter_values(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_attribute(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_relationship(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_included(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_pointer(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_custom_field(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_fetched_at(const TpmOptionDef *def, const char *value, void *target);
extern List *tpm_split(const char *text, char separator);

/* option_check.c */
extern const char *tpm_check_url(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_reference(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_headers(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_header_name(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_media_type(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_query(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_form(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_resource(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_format(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_fields_format(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_pointer(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_two_names(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_conflict_codes(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_timezone(const TpmOptionDef *def, const char *value);
extern const char *tpm_check_path(const TpmOptionDef *def, const char *value);

/* option.c */
extern uint64 tpm_hash_text(uint64 hash, const char *text);
extern uint64 tpm_hash_options(uint64 hash, List *options);

/* option_column.c */
extern void tpm_read_columns(TpmTable *table, TupleDesc tupdesc);

#endif							/* TPM_OPTION_INTERNAL_H */
