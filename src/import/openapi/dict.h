/*-------------------------------------------------------------------------
 *
 * dict.h
 *		Texts to pointers, in the order in which they came.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_DICT_H
#define TPM_DICT_H

/* All zero is an empty one; names[i] belongs to values[i] */
typedef struct TpmDict
{
	int			count;
	int			space;
	const char **names;
	void	  **values;
	int			nslots;			/* 0: too small to need them */
	int		   *slots;			/* place + 1, 0 if free */
} TpmDict;

/* NULL if there is none */
extern void *tpm_dict_get(const TpmDict *dict, const char *name);

/*
 * A name that is there already keeps its place and gets the new value.  The
 * name is not copied; what the dictionary needs itself is allocated in the
 * current memory context.
 */
extern void tpm_dict_put(TpmDict *dict, const char *name, void *value);

#endif							/* TPM_DICT_H */
