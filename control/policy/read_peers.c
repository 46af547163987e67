/* SPDX-License-Identifier: BSD-3-Clause */
/* The `from` and `to` of rules: endpoints by name, group or label, the host and its services,
 * prefixes. What is said becomes one set of peers; services of the host that bring their own ports
 * become pieces, which are further rules of the same name. Pure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy_priv.h"
#include "control/policy/reader.h"

struct fill {
	struct reader *r;
	enum policy_direction dir;
	endpoint_set set;
	struct peers_read *out;
	struct peers_pieces *pieces;
	VEC(size_t) blocks; /* where the prefixes of each peer begin in out->peers */
};

/* The prefixes of another peer follow. */
static void begin_block(struct fill *f)
{
	vec_push(&f->blocks, f->out->peers.prefixes.len);
}

/* ---- prefixes ---- */

struct prefix_fill {
	struct reader *r;
	const char *what;
	bool strict, except;
	struct policy_prefixes *out;
};

static int add_prefix(struct source *s, struct node item, void *aux)
{
	struct prefix_fill *f = aux;
	const char *word = node_text(item), *why = "an address is wanted here";
	struct policy_prefix p;
	if (word)
		why = policy_parse_prefix(word, f->strict, &p);
	if (why)
		return source_fail(s, item, "%s: %s: %s", f->what, word ? word : "this", why);
	p.except = f->except;
	vec_push(&f->out->list, p);
	return reader_spend(f->r, item, sizeof p);
}

int reader_prefixes(struct reader *r, struct node list, const char *what, bool strict,
		    struct policy_prefixes *out)
{
	return node_each_item(&r->s, list, add_prefix,
			      &(struct prefix_fill){r, what, strict, false, out});
}

static int ip_block_key(struct source *s, const char *key, struct node at, struct node value,
			void *aux)
{
	struct prefix_fill f = *(struct prefix_fill *)aux;
	f.except = !strcmp(key, "except");
	f.what = key;
	if (!f.except && strcmp(key, "cidr"))
		return source_fail(s, at, "ipBlock: unknown key \"%s\": cidr and except are known",
				   key);
	return node_each_item(s, value, add_prefix, &f);
}

/* What is taken out must be inside. */
static int check_excepts(struct reader *r, struct node n, const struct policy_prefixes *list,
			 size_t from)
{
	for (size_t i = from; i < list->list.len; i++) {
		const struct policy_prefix *x = &list->list.at[i];
		bool inside = !x->except;
		for (size_t j = from; j < list->list.len && !inside; j++) {
			const struct policy_prefix *c = &list->list.at[j];
			inside = !c->except && c->len <= x->len &&
				 policy_prefix_covers(c, x->family, x->addr);
		}
		if (!inside)
			return source_fail(&r->s, n, "ipBlock: an except is not inside its cidr");
	}
	return reader_work(r, n, (list->list.len - from) * (list->list.len - from));
}

int reader_ip_block(struct reader *r, struct node n, struct policy_prefixes *out)
{
	size_t from = out->list.len;
	struct prefix_fill f = {r, "ipBlock", true, false, out};
	int rc = node_each_pair(&r->s, n, "ipBlock", ip_block_key, &f);
	if (!rc && !node_get(n, "cidr").n)
		rc = source_fail(&r->s, n, "ipBlock: cidr is needed");
	return rc ? rc : check_excepts(r, n, out, from);
}

/* ---- the host ---- */

void reader_service_peers(struct reader *r, int service, struct policy_peers *out)
{
	const struct policy_host_service *v = &r->p->services.at[service];
	vec_append(&out->prefixes, v->prefixes.at, v->prefixes.len);
	if (!v->prefixes.len)
		out->flags |= POLICY_PEER_HOST;
}

static int add_service(struct fill *f, const char *name, struct node at)
{
	struct policy *p = f->r->p;
	int i = policy_find_service(p, name);
	struct near m = {.word = name};
	char hint[160];
	if (i < 0) {
		VEC_FOR_EACH (v, &p->services)
			near_consider(&m, v->name);
		return source_fail(&f->r->s, at, "service \"%s\" of the host is not defined%s",
				   name, near_hint(&m, hint, sizeof hint));
	}
	/* Its ports are those one connects to: in `from` only its addresses count. */
	if (f->dir == POLICY_EGRESS && p->services.at[i].services.len)
		vec_push(&f->pieces->at, (struct peers_piece){i});
	else {
		begin_block(f);
		reader_service_peers(f->r, i, &f->out->peers);
	}
	return 0;
}

static int add_host_item(struct source *s, struct node item, void *aux)
{
	struct fill *f = aux;
	const char *word = node_text(item);
	if (!word)
		return source_fail(s, item, "host: true or a service's name is wanted here");
	if (strcmp(word, "true"))
		return add_service(f, word, item);
	f->out->peers.flags |= POLICY_PEER_HOST;
	return 0;
}

/* ---- peers ---- */

static const struct policy_cidr *find_cidr(const struct policy *p, const char *name)
{
	VEC_FOR_EACH (c, &p->cidrs)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static void put_prefixes(struct fill *f, const struct policy_prefix *list, size_t n)
{
	vec_append(&f->out->peers.prefixes, list, n);
}

/* Is all of x among these? */
static bool holds(const struct policy_prefix *list, size_t n, const struct policy_prefix *x)
{
	bool in = false;
	for (size_t i = 0; i < n; i++)
		if (list[i].len <= x->len && policy_prefix_covers(&list[i], x->family, x->addr)) {
			if (list[i].except)
				return false;
			in = true;
		}
	return in;
}

static size_t block_end(const struct fill *f, size_t b)
{
	return b + 1 < f->blocks.len ? f->blocks.at[b + 1] : f->out->peers.prefixes.len;
}

/* Peers add up: what one takes out of itself, another may bring. In the one list that they become
 * the longest prefix decides, so that an exception must go which another peer holds whole; what it
 * holds in part is longer than the exception, or an exception of its own. */
static int unite(struct fill *f, struct node at)
{
	struct policy_peers *p = &f->out->peers;
	size_t n = 0, all = p->prefixes.len, block = 0, work = 0;
	bool *drop;
	int rc;
	for (size_t b = 0; b < f->blocks.len; b++) {
		size_t from = f->blocks.at[b], to = block_end(f, b), excepts = 0;
		for (size_t i = from; i < to; i++)
			excepts += p->prefixes.at[i].except;
		work += excepts * (all - (to - from));
	}
	if (!work)
		return 0;
	rc = reader_work(f->r, at, work);
	if (rc)
		return rc;
	drop = xcalloc(all, sizeof *drop);
	for (size_t i = 0; i < all; i++) {
		while (block + 1 < f->blocks.len && f->blocks.at[block + 1] <= i)
			block++;
		for (size_t b = 0; b < f->blocks.len && p->prefixes.at[i].except; b++) {
			size_t from = f->blocks.at[b];
			drop[i] |= b != block && holds(p->prefixes.at + from,
						       block_end(f, b) - from, &p->prefixes.at[i]);
		}
	}
	for (size_t i = 0; i < all; i++)
		if (!drop[i])
			p->prefixes.at[n++] = p->prefixes.at[i];
	p->prefixes.len = n;
	free(drop);
	return 0;
}

/* Every address but those that are known: of endpoints, and the host's. */
static void add_outside(struct fill *f)
{
	static const struct policy_prefix everything[] = {{.family = 4}, {.family = 6}};
	begin_block(f);
	put_prefixes(f, everything, 2);
	VEC_FOR_EACH (ep, &f->r->p->endpoints)
		VEC_FOR_EACH (a, &ep->prefixes) {
			struct policy_prefix x = *a;
			x.except = 1;
			put_prefixes(f, &x, 1);
		}
}

static int add_network_word(struct fill *f, const char *name, struct node at)
{
	const struct policy *p = f->r->p;
	for (size_t n = 0; n < p->networks.len; n++)
		if (!strcmp(p->networks.at[n].name, name)) {
			for (size_t i = 0; i < p->endpoints.len; i++)
				f->set[i] |= p->endpoints.at[i].network == (int)n;
			return 0;
		}
	return source_fail(&f->r->s, at, "network \"%s\" is not defined", name);
}

static int add_word(struct fill *f, const char *word, struct node at)
{
	const struct policy_cidr *c;
	struct policy_prefix prefix;
	int rc;
	if (!strcmp(word, "host")) {
		f->out->peers.flags |= POLICY_PEER_HOST;
		return 0;
	}
	if (!strcmp(word, "anybody")) {
		f->out->peers.flags |= POLICY_PEER_NOT_HOST;
		return 0;
	}
	if (!strcmp(word, "outside")) {
		add_outside(f);
		return 0;
	}
	if (!strncmp(word, "host:", 5))
		return add_service(f, word + 5, at);
	if (!strncmp(word, "network:", 8))
		return add_network_word(f, word + 8, at);
	rc = reader_select_word(f->r, word, at, f->set);
	if (rc)
		return rc < 0 ? rc : 0;
	c = find_cidr(f->r->p, word);
	if (c) {
		begin_block(f);
		put_prefixes(f, c->prefixes.at, c->prefixes.len);
		return reader_spend(f->r, at, c->prefixes.len * sizeof *c->prefixes.at);
	}
	if (strpbrk(word, ":/.") && strspn(word, "0123456789abcdefABCDEF:./") == strlen(word)) {
		const char *why = policy_parse_prefix(word, true, &prefix);
		if (why)
			return source_fail(&f->r->s, at, "%s: %s", word, why);
		begin_block(f);
		put_prefixes(f, &prefix, 1);
		return reader_spend(f->r, at, sizeof prefix);
	}
	return reader_unknown(f->r, "endpoint", word, at);
}

static int add_word_item(struct source *s, struct node item, void *aux)
{
	const char *word = node_text(item);
	return word ? add_word(aux, word, item)
		    : source_fail(s, item,
				  "the name of an endpoint, a group, a cidr is wanted here");
}

static int add_ip_block(struct fill *f, struct node value)
{
	struct policy_prefixes list = {0};
	int rc = reader_ip_block(f->r, value, &list);
	begin_block(f);
	put_prefixes(f, list.list.at, list.list.len);
	vec_free(&list.list);
	return rc;
}

/* {ipBlock: …}, {host: …}, {endpoints: …}, {cidrs: …}, or a selector's own keys. */
static int add_map(struct fill *f, struct node item)
{
	static const char *const single[] = {"ipBlock", "host", "endpoints", "cidrs"};
	for (size_t i = 0; i < SL_ARRAY_SIZE(single); i++) {
		struct node value = node_get(item, single[i]);
		if (!value.n)
			continue;
		if (item.n->data.mapping.pairs.top - item.n->data.mapping.pairs.start != 1)
			return source_fail(&f->r->s, item,
					   "%s stands alone: other peers are further items of the "
					   "list",
					   single[i]);
		if (i == 0)
			return add_ip_block(f, value);
		if (i == 1)
			return node_each_item(&f->r->s, value, add_host_item, f);
		if (i == 2)
			return reader_select(f->r, value, f->set);
		return node_each_item(&f->r->s, value, add_word_item, f);
	}
	return reader_select(f->r, item, f->set);
}

static int add_peer(struct source *s, struct node item, void *aux)
{
	struct fill *f = aux;
	if (node_is_map(item))
		return add_map(f, item);
	if (node_is_list(item))
		return source_fail(s, item, "a peer is wanted here, not a list");
	return add_word_item(s, item, f);
}

int reader_peers(struct reader *r, struct node n, enum policy_direction dir, struct peers_read *out,
		 struct peers_pieces *pieces)
{
	struct fill f = {
		.r = r, .dir = dir, .set = reader_set_create(r), .out = out, .pieces = pieces};
	int rc;
	out->anybody =
		node_is_null(n) ||
		(node_is_list(n) && n.n->data.sequence.items.top == n.n->data.sequence.items.start);
	rc = node_each_item(&r->s, n, add_peer, &f);
	rc = rc ? rc : unite(&f, n);
	vec_free(&f.blocks);
	for (size_t i = 0; i < r->p->endpoints.len; i++)
		if (f.set[i] && r->p->endpoints.at[i].flags & POLICY_IS_HOST)
			out->peers.flags |= POLICY_PEER_HOST;
		else if (f.set[i])
			vec_push(&out->peers.endpoints, (uint32_t)i);
	free(f.set);
	return rc ? rc : reader_spend(r, n, out->peers.endpoints.len * 4);
}

/* ---- one list of different sets ---- */

static int compare_prefixes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct policy_prefix));
}

static void normalise(struct policy_peers *p)
{
	size_t n = 0;
	if (p->prefixes.len)
		qsort(p->prefixes.at, p->prefixes.len, sizeof *p->prefixes.at, compare_prefixes);
	for (size_t i = 0; i < p->prefixes.len; i++)
		if (!i ||
		    memcmp(&p->prefixes.at[i], &p->prefixes.at[n - 1], sizeof *p->prefixes.at))
			p->prefixes.at[n++] = p->prefixes.at[i];
	p->prefixes.len = n;
}

static bool equal(const struct policy_peers *a, const struct policy_peers *b)
{
	return a->flags == b->flags && a->prefixes.len == b->prefixes.len &&
	       a->endpoints.len == b->endpoints.len &&
	       !(a->prefixes.len && memcmp(a->prefixes.at, b->prefixes.at,
					   a->prefixes.len * sizeof *a->prefixes.at)) &&
	       !(a->endpoints.len && memcmp(a->endpoints.at, b->endpoints.at,
					    a->endpoints.len * sizeof *a->endpoints.at));
}

static uint32_t hash_of(const struct policy_peers *p)
{
	uint32_t h = p->flags + 17;
	for (size_t i = 0; i < p->prefixes.len * sizeof *p->prefixes.at; i++)
		h = h * 31 + ((const uint8_t *)p->prefixes.at)[i];
	VEC_FOR_EACH (e, &p->endpoints)
		h = h * 31 + *e;
	return h;
}

int reader_add_peers(struct reader *r, struct policy_peers *peers)
{
	uint32_t h;
	normalise(peers);
	h = hash_of(peers);
	for (size_t i = 0; i < r->p->peers.len; i++)
		if (r->p->peers.at[i].id == h && equal(&r->p->peers.at[i], peers)) {
			policy_peers_free(peers);
			return (int)i;
		}
	peers->id = h; /* until policy_assign_ids() */
	vec_push(&r->p->peers, *peers);
	memset(peers, 0, sizeof *peers);
	return (int)r->p->peers.len - 1;
}
