/*-------------------------------------------------------------------------
 *
 * check_member.h
 *		The members that the resources of a page have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CHECK_MEMBER_H
#define TPM_CHECK_MEMBER_H

#include "check/check.h"

/* different values of a member that are kept */
#define TPM_MOST_VALUES		12

/* what the values of a member are; bits */
#define TPM_IS_STRING		0x01
#define TPM_IS_INTEGER		0x02
#define TPM_IS_NUMBER		0x04
#define TPM_IS_BOOLEAN		0x08
#define TPM_IS_CONTAINER	0x10
#define TPM_IS_TIME			0x20	/* a string that is a date-time */
#define TPM_IS_DATE			0x40	/* or a date */
#define TPM_IS_MANY			0x80	/* a to-many relationship */

typedef struct TpmApiMember
{
	char	   *name;
	bool		relationship;
	int			kinds;
	bool		linkage;		/* a relationship with "data" */
	bool		mapped;
	int			nvalues;		/* distinct short strings, TPM_MOST_VALUES +
								 * 1: too many */
	char	   *values[TPM_MOST_VALUES];
	int			counts[TPM_MOST_VALUES];
} TpmApiMember;

/* attributes and relationships of all resources; of TpmApiMember * */
extern List *tpm_members_of_page(const TpmTableCheck *check);

/* NULL: none is called so */
extern TpmApiMember *tpm_member_find(List *members, const char *name, int len, bool relationship);

#endif							/* TPM_CHECK_MEMBER_H */
