/*-------------------------------------------------------------------------
 *
 * openapi_tree.h
 *		A JSON or YAML text as a tree, members in the order of the text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_OPENAPI_TREE_H
#define TPM_OPENAPI_TREE_H

#include "import/openapi/dict.h"

typedef enum TpmNodeKind
{
	TPM_NODE_NULL,
	TPM_NODE_BOOLEAN,
	TPM_NODE_NUMBER,
	TPM_NODE_TEXT,
	TPM_NODE_ARRAY,
	TPM_NODE_OBJECT
} TpmNodeKind;

/* Of a YAML text it may be a graph, and even have loops */
typedef struct TpmNode
{
	TpmNodeKind kind;
	const char *text;			/* of a number, text or boolean */
	int			count;			/* of an array */
	int			space;
	struct TpmNode **items;
	TpmDict    *members;		/* of an object */
} TpmNode;

/* being built; all zero but for "where" at the beginning */
typedef struct TpmTree
{
	const char *where;			/* the document's name, for messages */
	TpmNode    *root;
	int			nodes;
	int			depth;
	struct
	{
		TpmNode    *node;
		const char *name;		/* of the member whose value comes next */
	}		   *stack;
} TpmTree;

/* building: values go into the container that was opened last */
extern TpmNode *tpm_tree_value(TpmTree *tree, TpmNodeKind kind, const char *text);
extern TpmNode *tpm_tree_open(TpmTree *tree, TpmNodeKind kind);
extern void tpm_tree_close(TpmTree *tree);
extern void tpm_tree_add(TpmTree *tree, TpmNode *node);

extern void tpm_node_append(TpmNode *array, TpmNode *node);

/* one more of what is counted, so that no text makes more of itself than is allowed */
extern void tpm_tree_count(TpmTree *tree);

/*
 * Reads a text that is known to be valid UTF-8 (JSON: converted into the
 * database's encoding).  Raises HV00M if it is malformed, 54000 if it is too
 * deep or too large.
 */
extern TpmNode *tpm_tree_json(const char *where, char *text, size_t len);
extern TpmNode *tpm_tree_yaml(const char *where, const char *text, size_t len);

/* NULL if there is no such member, or the node is NULL or no object */
extern TpmNode *tpm_node_member(const TpmNode *node, const char *name);

/* its members, or an empty dictionary */
extern const TpmDict *tpm_node_members(const TpmNode *node);

/* NULL unless it is that kind of value */
extern const char *tpm_node_text(const TpmNode *node);
extern const char *tpm_node_scalar(const TpmNode *node);
extern bool tpm_node_is_true(const TpmNode *node);

/* how many items an array has; 0 for everything else */
extern int	tpm_node_count(const TpmNode *node);

#endif							/* TPM_OPENAPI_TREE_H */
