/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/traceable.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PACKET_MIN = 14, PACKET_MAX = 65535 };

/* ---- names of ports ---- */

static void take_port(struct attrs a, void *aux)
{
	struct port_names *n = aux;
	const struct attr *st = attrs_find(a, ATTR_STATUS);
	uint64_t ofport = attrs_u64(a, ATTR_OFPORT, 0);
	if (st)
		ofport = attrs_u64(attr_nest(st), ATTR_OFPORT, ofport);
	vec_push(&n->ports,
		 (struct port_name){xstrdup(attrs_str(a, ATTR_NAME, "")),
				    xstrdup(attrs_str(a, ATTR_BRIDGE, "")), (uint32_t)ofport});
}

int port_names_read(struct api_client *client, struct port_names *n, struct err *e)
{
	struct msg m;
	msg_init(&m, API_PORTS, 0);
	return command_dump_on(client, &m, take_port, n, e);
}

void port_names_free(struct port_names *n)
{
	VEC_FOR_EACH (p, &n->ports) {
		free(p->name);
		free(p->bridge);
	}
	vec_free(&n->ports);
}

const struct port_name *port_names_find(const struct port_names *n, const char *name)
{
	VEC_FOR_EACH (p, &n->ports)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

static bool by_name(void *aux, const char *name, uint32_t *port)
{
	const struct port_names *n = aux;
	const struct port_name *p = port_names_find(n, name);
	if (!p || (n->bridge && strcmp(p->bridge, n->bridge)))
		return false;
	*port = p->ofport;
	return true;
}

static const char *name_of(void *aux, uint32_t port)
{
	const struct port_names *n = aux;
	VEC_FOR_EACH (p, &n->ports)
		if (p->ofport == port && (!n->bridge || !strcmp(p->bridge, n->bridge)))
			return p->name;
	return NULL;
}

struct text_ports port_names_text(struct port_names *n)
{
	return (struct text_ports){.by_name = by_name, .name_of = name_of, .aux = n};
}

/* ---- packets ---- */

bool traceable_looks_hex(const char *text)
{
	return strlen(text) >= 2 * PACKET_MIN &&
	       text[strspn(text, "0123456789abcdefABCDEF: \n")] == '\0';
}

static int digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

uint8_t *traceable_parse_hex(const char *text, size_t *len, struct err *e)
{
	uint8_t *out = xmalloc(strlen(text) / 2 + 1);
	size_t n = 0;
	int high = -1;
	for (const char *p = text; *p; p++) {
		if (*p == ' ' || *p == ':' || *p == '\n')
			continue;
		if (!isxdigit((unsigned char)*p)) {
			err_set(e, EINVAL, "packet: character %zu: '%c' is no hexadecimal digit",
				(size_t)(p - text) + 1, *p);
			break;
		}
		if (high >= 0)
			out[n++] = (uint8_t)(high << 4 | digit(*p));
		high = high >= 0 ? -1 : digit(*p);
	}
	if (!e->code && high >= 0)
		err_set(e, EINVAL, "packet: an odd number of hexadecimal digits");
	if (!e->code && (n < PACKET_MIN || n > PACKET_MAX))
		err_set(e, EINVAL, "packet: %zu bytes are no Ethernet frame", n);
	if (e->code) {
		free(out);
		return NULL;
	}
	*len = n;
	return out;
}

int traceable_parse_states(const char *text, uint8_t *out, struct err *e)
{
	static const char *const names[] = {"new", "est", "rel",  "rpl",
					    "inv", "trk", "snat", "dnat"};
	char *copy = xstrdup(text), *save = NULL;
	int rc = 0;
	*out = 0;
	for (char *w = strtok_r(copy, ",| +", &save); w && !rc; w = strtok_r(NULL, ",| +", &save)) {
		size_t i = 0;
		while (i < SL_ARRAY_SIZE(names) && strcmp(names[i], w))
			i++;
		if (i == SL_ARRAY_SIZE(names))
			rc = err_set(e, EINVAL,
				     "--ct-next %s: \"%s\" is none of new est rel rpl inv trk snat "
				     "dnat",
				     text, w);
		else
			*out |= (uint8_t)(1u << i);
	}
	free(copy);
	if (!rc && !*out)
		rc = err_set(e, EINVAL, "--ct-next: no state");
	return rc;
}

void traceable_put(const struct traceable *t, struct msg *m)
{
	struct minimatch *mm = minimatch_create(&t->described);
	msg_init(m, API_TRACE, 0);
	msg_put_str(m, ATTR_BRIDGE, t->bridge);
	msg_put_u32(m, ATTR_IN_PORT, t->in_port);
	msg_put_bytes(m, ATTR_MATCH, mm, minimatch_size(mm));
	if (t->packet)
		msg_put_bytes(m, ATTR_PACKET, t->packet, t->len);
	if (t->n_ct_next)
		msg_put_bytes(m, ATTR_CT_NEXT, t->ct_next, t->n_ct_next);
	free(mm);
}

void traceable_free(struct traceable *t)
{
	free(t->bridge);
	free(t->packet);
	*t = (struct traceable){0};
}
