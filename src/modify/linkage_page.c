/*-------------------------------------------------------------------------
 *
 * linkage_page.c
 *		A page of the list that is read for what it teaches about linkage.
 *
 * Owns when such a page is asked for: before the first write of a session that
 * needs a type or an id nothing has shown yet (request/linkage.c), once a list.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/json.h"
#include "base/text.h"
#include "client/client.h"
#include "modify/modify_internal.h"
#include "request/linkage.h"
#include "request/request.h"

/* rows of the page that is asked for to learn from */
#define TPM_LEARN_ROWS	20

static void
learn_from_page(const TpmTable *table, const TpmAnswer *answer)
{
	Jsonb	   *document = tpm_json_object(answer->body, answer->len);
	JsonbContainer *data = document ? tpm_json_container(&document->root, "data") : NULL;

	if (data == NULL || !JsonContainerIsArray(data))
		return;
	for (uint32 i = 0; i < JsonContainerSize(data); i++)
	{
		JsonbValue *resource = getIthJsonbValueFromContainer(data, i);

		if (resource->type == jbvBinary && JsonContainerIsObject(resource->val.binary.data))
			tpm_linkage_learn(table, resource->val.binary.data);
	}
}

static void
ask_for_page(TpmSession *session, const char *path)
{
	TpmRequest	request = {.path = pstrdup(path),.shown_path = pstrdup(path)};
	TpmPosition start = {0};
	TpmAnswer  *answer;

	if (session->table->required_filters != NIL || !(session->table->ops & TPM_OP_READ))
		return;
	request.page_size = Min(TPM_LEARN_ROWS, session->table->opt.page_size);
	answer = tpm_client_get(session, tpm_request_url(session->table, &request, &start),
							TPM_CALL_PART | TPM_CALL_ANY);
	if (answer->status >= 200 && answer->status <= 299)
		learn_from_page(session->table, answer);
}

void
tpm_linkage_prepare(TpmSession *session, const char *path, Bitmapset *columns)
{
	if (!tpm_linkage_is_known(session->table, columns) &&
		tpm_linkage_mark_asked(session->table, path))
		ask_for_page(session, path);
}
