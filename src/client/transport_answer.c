/*-------------------------------------------------------------------------
 *
 * transport_answer.c
 *		What arrives of an answer: its headers and its body.
 *
 * Owns the memory of an answer until its transfer ends.
 *
 * Called from inside libcurl, so all memory is malloc's, and nothing throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "client/transport_internal.h"

/* ----- headers ----- */

/* the value of a header line, malloc'd and trimmed, if it is the named one */
static bool
keep_header(const char *line, size_t len, const char *name, char **value)
{
	size_t		name_len = strlen(name);

	if (len <= name_len || line[name_len] != ':' || pg_strncasecmp(line, name, name_len) != 0)
		return false;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	free(*value);
	*value = strndup(line, len);
	return true;
}

void
tpm_answer_forget_headers(TpmTransfer *pub)
{
	free(pub->content_type);
	free(pub->etag);
	free(pub->location);
	free(pub->retry_after);
	free(pub->date);
	pub->content_type = pub->etag = pub->location = pub->retry_after = pub->date = NULL;
}

/*
 * Is this the status line of a version that is spoken here?  libcurl's
 * versions differ in what they make of another: an error, or a success of
 * HTTP/1.0.
 */
static bool
status_line_is_ours(const char *line, size_t len)
{
	static const char *const versions[] = {"HTTP/1.1 ", "HTTP/1.0 ", "HTTP/2 "};

	for (size_t i = 0; i < lengthof(versions); i++)
	{
		size_t		n = strlen(versions[i]);
		size_t		digits = 0;

		if (len < n || strncmp(line, versions[i], n) != 0)
			continue;
		while (n + digits < len && isdigit((unsigned char) line[n + digits]))
			digits++;
		return digits == 3;
	}
	return false;
}

/* false: the answer is not of HTTP as it is spoken here */
bool
tpm_answer_add_header(TpmTransfer *pub, const char *data, size_t len)
{
	if (len >= 5 && strncmp(data, "HTTP/", 5) == 0)
	{
		/* what came with a 1xx answer does not count */
		tpm_answer_forget_headers(pub);
		return status_line_is_ours(data, len);
	}
	if (!keep_header(data, len, "Content-Type", &pub->content_type) &&
		!keep_header(data, len, "ETag", &pub->etag) &&
		!keep_header(data, len, "Location", &pub->location) &&
		!keep_header(data, len, "Date", &pub->date))
		keep_header(data, len, "Retry-After", &pub->retry_after);
	return true;
}

/* ----- the body ----- */

/* false: no memory */
bool
tpm_answer_add_body(TpmTransfer *pub, size_t *space, const char *data, size_t len)
{
	size_t		need = pub->body_len + len + 1;

	if (need > *space)
	{
		size_t		want = Max(*space * 2, 65536);
		char	   *more;

		while (want < need)
			want *= 2;
		more = realloc(pub->body, want);
		if (more == NULL)
			return false;
		pub->body = more;
		*space = want;
	}
	memcpy(pub->body + pub->body_len, data, len);
	pub->body_len += len;
	pub->body[pub->body_len] = '\0';
	return true;
}
