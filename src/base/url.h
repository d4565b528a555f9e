/*-------------------------------------------------------------------------
 *
 * url.h
 *		URLs: references, origins, percent-encoding.
 *
 * Every result is palloc'd in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_URL_H
#define TPM_URL_H

/*
 * The reference against the base (RFC 3986, 5.2), without its fragment; NULL
 * if the result is no http(s) URL or the reference holds what no URL may.
 */
extern char *tpm_url_resolve(const char *base, const char *ref);

/* scheme://host:port in lower case, or "" if that is no plain http(s) URL */
extern char *tpm_url_origin(const char *url);

/* NULL if the URL is fit for an option, else what is wrong with it */
extern const char *tpm_url_problem(const char *url);

extern bool tpm_url_is_loopback(const char *url);
extern bool tpm_url_is_https(const char *url);

/* "." and "..", also where their dots are percent-encoded */
extern bool tpm_url_is_dot_segment(const char *text, int len);

/* NULL if the path, perhaps with a query, is fit to be appended to a base, else what is wrong with it */
extern const char *tpm_url_path_problem(const char *path);

/* a link as an API writes it, with blanks and letters that no URL holds (RFC 3987, 3.1) percent-encoded */
extern char *tpm_url_of_link(const char *link);

/* a path and query as a person writes them, with what no URL holds percent-encoded */
extern char *tpm_url_quote(const char *text);

/* text of the database as UTF-8, which URLs are made of; without an encoding it is taken for that */
extern const char *tpm_url_utf8(const char *text);

extern char *tpm_url_encode_segment(const char *text);
extern char *tpm_url_encode_query(const char *text);

/* of text that is UTF-8 already */
extern char *tpm_url_encode_form(const char *text);

#endif							/* TPM_URL_H */
