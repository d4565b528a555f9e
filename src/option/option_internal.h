/*-------------------------------------------------------------------------
 *
 * option_internal.h
 *		What the files that read options share; nobody else includes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_OPTION_INTERNAL_H
#define TPM_OPTION_INTERNAL_H

#include "option/option_definition.h"

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
extern void tpm_parse_statuses(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_filter_values(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_attribute(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_relationship(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_included(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_pointer(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_custom_field(const TpmOptionDef *def, const char *value, void *target);
extern void tpm_parse_fetched_at(const TpmOptionDef *def, const char *value, void *target);

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
extern TpmProblem *tpm_read_columns(TpmTable *table, TupleDesc tupdesc);

#endif							/* TPM_OPTION_INTERNAL_H */
