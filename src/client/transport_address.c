/*-------------------------------------------------------------------------
 *
 * transport_address.c
 *		Which addresses a server of an unprivileged owner may reach.
 *
 * Owns the list of such addresses.  Who is unprivileged is option.c's to say.
 *
 * Called from inside libcurl: nothing here throws, allocates or waits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "client/transport_internal.h"

/* addresses that a server of an unprivileged owner must not reach */
bool
tpm_address_is_private(const struct sockaddr *addr)
{
	if (addr->sa_family == AF_INET)
	{
		uint32		ip = ntohl(((const struct sockaddr_in *) addr)->sin_addr.s_addr);

		return (ip >> 24) == 127 || (ip >> 24) == 0 || (ip >> 16) == 0xA9FE || (ip >> 28) >= 0xE;
	}
	if (addr->sa_family == AF_INET6)
	{
		const struct in6_addr *ip = &((const struct sockaddr_in6 *) addr)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(ip))
		{
			struct sockaddr_in v4 = {.sin_family = AF_INET};

			memcpy(&v4.sin_addr, &ip->s6_addr[12], 4);
			return tpm_address_is_private((struct sockaddr *) &v4);
		}
		return IN6_IS_ADDR_LOOPBACK(ip) || IN6_IS_ADDR_UNSPECIFIED(ip) ||
			IN6_IS_ADDR_LINKLOCAL(ip) || IN6_IS_ADDR_MULTICAST(ip);
	}
	return true;
}

bool
tpm_text_address_is_private(const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return tpm_address_is_private((struct sockaddr *) &v4);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		return tpm_address_is_private((struct sockaddr *) &v6);
	return true;
}

void
tpm_address_text(const struct sockaddr *addr, char *text, size_t size)
{
	const void *ip = addr->sa_family == AF_INET
	? (const void *) &((const struct sockaddr_in *) addr)->sin_addr
	: (const void *) &((const struct sockaddr_in6 *) addr)->sin6_addr;

	if (inet_ntop(addr->sa_family, ip, text, size) == NULL)
		text[0] = '\0';
}
