/* SPDX-License-Identifier: BSD-3-Clause */
/* No two endpoints are the same: ports, MACs and addresses of a network are sorted, so that what
 * overlaps is side by side. Pure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/reader.h"
#include "datapath/base/str.h"

struct identity {
	int network;
	uint8_t family; /* 1: port, 2: MAC, 4 and 6: address */
	uint8_t len;
	uint8_t bytes[16];
	const char *port;
	const struct policy_endpoint *ep;
};

static int compare(const void *a, const void *b)
{
	const struct identity *x = a, *y = b;
	int c = x->family - y->family;
	if (!c && x->family == 1)
		c = strcmp(x->port, y->port);
	if (!c)
		c = x->network - y->network;
	if (!c)
		c = memcmp(x->bytes, y->bytes, sizeof x->bytes);
	if (!c)
		c = x->len - y->len;
	if (!c)
		c = (x->ep->line > y->ep->line) - (x->ep->line < y->ep->line);
	return c;
}

static void describe(const struct identity *i, struct str *out)
{
	struct policy_prefix p = {.family = i->family, .len = i->len};
	if (i->family == 1) {
		str_printf(out, "port %s", i->port);
	} else if (i->family == 2) {
		str_printf(out, "MAC %02x:%02x:%02x:%02x:%02x:%02x", i->bytes[0], i->bytes[1],
			   i->bytes[2], i->bytes[3], i->bytes[4], i->bytes[5]);
	} else {
		memcpy(p.addr, i->bytes, sizeof p.addr);
		str_puts(out, "address ");
		policy_format_prefix(&p, out);
	}
}

static bool same(const struct identity *a, const struct identity *b)
{
	struct policy_prefix p = {.family = a->family, .len = a->len};
	if (a->family != b->family)
		return false;
	if (a->family == 1)
		return !strcmp(a->port, b->port);
	if (a->network != b->network)
		return false;
	if (a->family == 2)
		return !memcmp(a->bytes, b->bytes, 6);
	memcpy(p.addr, a->bytes, sizeof p.addr);
	return policy_prefix_covers(&p, b->family, b->bytes);
}

static int fail_at(struct reader *r, unsigned line, const char *file, const char *text)
{
	return err_set(r->s.e, EINVAL, "%s:%u: %s", file, line, text);
}

/* Endpoints come from one document in practice; its name is good enough for all. */
static const char *file_of(const struct reader *r)
{
	return r->s.docs.len ? r->s.docs.at[0]->file : "policy";
}

static int refuse(struct reader *r, const struct identity *a, const struct identity *b)
{
	const struct policy_endpoint *first = a->ep, *second = b->ep;
	struct str text = STR_INIT;
	int rc;
	if (first->line > second->line) {
		first = b->ep;
		second = a->ep;
	}
	str_printf(&text, "endpoint \"%s\": ", second->name);
	if (first != second && !strcmp(first->name, second->name)) {
		str_printf(&text, "is there twice (line %u)", first->line);
		rc = fail_at(r, second->line, file_of(r), str_cstr(&text));
		str_free(&text);
		return rc;
	}
	describe(b, &text);
	if (first == second)
		str_puts(&text, " is there twice");
	else
		str_printf(&text, " belongs to \"%s\" (line %u) already", first->name, first->line);
	rc = fail_at(r, second->line, file_of(r), str_cstr(&text));
	str_free(&text);
	return rc;
}

/* The host's addresses and the network's prefixes. */
static int check_address(struct reader *r, const struct policy_endpoint *ep,
			 const struct policy_prefix *a)
{
	const struct policy *p = r->p;
	const struct policy_network *n = ep->network >= 0 ? &p->networks.at[ep->network] : NULL;
	struct str text = STR_INIT;
	int rc = 0;
	str_printf(&text, "endpoint \"%s\": address ", ep->name);
	policy_format_prefix(a, &text);
	VEC_FOR_EACH (h, &p->host)
		if (!rc && policy_prefix_covers(a, h->family, h->addr)) {
			str_puts(&text, " is the host's");
			rc = fail_at(r, ep->line, file_of(r), str_cstr(&text));
		}
	if (!rc && n && n->prefixes.len &&
	    !policy_prefixes_match(n->prefixes.at, n->prefixes.len, a->family, a->addr)) {
		str_printf(&text, " is not in network %s (", n->name);
		for (size_t i = 0; i < n->prefixes.len; i++) {
			str_puts(&text, i ? ", " : "");
			policy_format_prefix(&n->prefixes.at[i], &text);
		}
		str_putc(&text, ')');
		rc = fail_at(r, ep->line, file_of(r), str_cstr(&text));
	}
	str_free(&text);
	return rc;
}

int reader_check_identity(struct reader *r)
{
	VEC(struct identity) all = {0};
	int rc = 0;
	VEC_FOR_EACH (ep, &r->p->endpoints) {
		vec_push(&all, (struct identity){.family = 1, .port = ep->port, .ep = ep});
		VEC_FOR_EACH (m, &ep->macs) {
			struct identity i = {.network = ep->network, .family = 2, .ep = ep};
			memcpy(i.bytes, m->byte, 6);
			vec_push(&all, i);
		}
		VEC_FOR_EACH (a, &ep->prefixes) {
			struct identity i = {.network = ep->network,
					     .family = a->family,
					     .len = a->len,
					     .ep = ep};
			memcpy(i.bytes, a->addr, sizeof i.bytes);
			vec_push(&all, i);
			rc = rc ? rc : check_address(r, ep, a);
		}
	}
	if (all.len)
		qsort(all.at, all.len, sizeof *all.at, compare);
	/* A prefix sorts before all that it covers, so what overlaps anything overlaps the last
	 * one that was no part of another. */
	for (size_t i = 1; i < all.len && !rc; i++)
		if (same(&all.at[i - 1], &all.at[i]))
			rc = refuse(r, &all.at[i - 1], &all.at[i]);
	vec_free(&all);
	return rc;
}
