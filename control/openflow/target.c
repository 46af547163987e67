/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsing of controller targets. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "control/openflow/remote.h"
#include "datapath/base/err.h"

static int bad(const char *target, const char *what, struct err *e)
{
	return err_set(e, EINVAL, "controller %s: %s", target, what);
}

static bool set_ip(struct target_address *out, const char *ip, uint16_t port)
{
	struct sockaddr_in *in4 = (void *)&out->sa;
	struct sockaddr_in6 *in6 = (void *)&out->sa;
	memset(&out->sa, 0, sizeof out->sa);
	if (inet_pton(AF_INET, ip, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = cpu_to_be16(port);
		out->len = sizeof *in4;
		return true;
	}
	if (inet_pton(AF_INET6, ip, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = cpu_to_be16(port);
		out->len = sizeof *in6;
		return true;
	}
	return false;
}

/* Splits "a:b" where either may be an IPv6 address in brackets; changes s. */
static void split(char *s, char **a, char **b)
{
	char *colon;
	*a = s;
	if (*s == '[') {
		*a = s + 1;
		char *close = strchr(s, ']');
		colon = close ? close + 1 : s + strlen(s);
		if (close)
			*close = '\0';
		*b = *colon == ':' ? colon + 1 : NULL;
		return;
	}
	colon = strchr(s, ':');
	*b = colon ? colon + 1 : NULL;
	if (colon)
		*colon = '\0';
}

static int parse_inet(const char *target, const char *args, uint16_t default_port,
		      struct target_address *out, struct err *e)
{
	char *copy = xstrdup(args), *first, *second;
	uint64_t port = default_port;
	split(copy, &first, &second);
	const char *ip = out->passive ? second : first, *port_text = out->passive ? first : second;
	char *ip_copy = xstrdup(ip && *ip ? ip : out->passive ? "0.0.0.0" : "");
	if (*ip_copy == '[' && ip_copy[strlen(ip_copy) - 1] == ']') {
		memmove(ip_copy, ip_copy + 1, strlen(ip_copy));
		ip_copy[strlen(ip_copy) - 1] = '\0';
	}
	int rc = 0;
	if (port_text && *port_text && !parse_u64(port_text, 10, UINT16_MAX, &port))
		rc = bad(target, "not a port number", e);
	else if (!set_ip(out, ip_copy, (uint16_t)port))
		rc = bad(target, "not a numeric address", e);
	free(ip_copy);
	free(copy);
	return rc;
}

static int parse_unix(const char *target, const char *path, struct target_address *out,
		      struct err *e)
{
	struct sockaddr_un *un = (void *)&out->sa;
	if (!*path || strlen(path) >= sizeof un->sun_path)
		return bad(target, "path is empty or too long", e);
	memset(&out->sa, 0, sizeof out->sa);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	out->len = sizeof *un;
	return 0;
}

int target_parse(const char *target, uint16_t default_port, struct target_address *out,
		 struct err *e)
{
	static const struct {
		const char *method;
		bool passive, tls, is_unix;
	} methods[] = {{"tcp:", false, false, false}, {"ssl:", false, true, false},
		       {"unix:", false, false, true}, {"ptcp:", true, false, false},
		       {"pssl:", true, true, false},  {"punix:", true, false, true}};
	for (size_t i = 0; i < SL_ARRAY_SIZE(methods); i++) {
		size_t n = strlen(methods[i].method);
		if (strncmp(target, methods[i].method, n))
			continue;
		*out = (struct target_address){.passive = methods[i].passive,
					       .tls = methods[i].tls};
		return methods[i].is_unix ? parse_unix(target, target + n, out, e)
					  : parse_inet(target, target + n, default_port, out, e);
	}
	return bad(target, "unknown connection method", e);
}
