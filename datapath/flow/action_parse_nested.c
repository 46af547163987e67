/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsing of the actions that have a small language of their own inside their parentheses. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/flow/action_parse_priv.h"

enum { DEFAULT_PRIORITY = 0x8000, REASON_ACTION = 1, MAX_MEMBERS = 2048 };

static int unknown_key(struct parser *p, const char *action, const struct arg *a)
{
	return parse_fail(p, a->key, "%s: unknown key \"%s\"", action, a->key);
}

static int parse_u16(struct parser *p, const struct arg *a, uint16_t *out)
{
	uint64_t v;

	if (parse_number(p, a, UINT16_MAX, &v))
		return -EINVAL;
	*out = (uint16_t)v;
	return 0;
}

static int parse_u32(struct parser *p, const struct arg *a, uint32_t *out)
{
	uint64_t v;

	if (parse_number(p, a, UINT32_MAX, &v))
		return -EINVAL;
	*out = (uint32_t)v;
	return 0;
}

/* ---- controller ---- */

static int parse_userdata(struct parser *p, const struct arg *a, uint8_t *data, uint16_t *n,
			  size_t max)
{
	const char *s = a->text ? a->text : "";

	for (*n = 0; *s; s += 2) {
		if (*s == '.')
			s++;
		if (!isxdigit((unsigned char)s[0]) || !isxdigit((unsigned char)s[1]) || *n == max)
			return parse_fail(p, s, "controller: bad userdata");
		data[(*n)++] = (uint8_t)strtoul((char[]){s[0], s[1], '\0'}, NULL, 16);
	}
	return 0;
}

static int parse_controller_key(struct parser *p, const struct arg *k, struct action_controller *c,
				uint8_t *userdata, size_t max)
{
	uint16_t reason;

	if (!strcmp(k->key, "reason")) {
		if (!k->text || parse_name(p, k->text, action_controller_reasons, &reason))
			return parse_fail(p, k->key, "controller: bad reason");
		c->reason = (uint8_t)reason;
		return 0;
	}
	if (!strcmp(k->key, "max_len"))
		return parse_u16(p, k, &c->max_len);
	if (!strcmp(k->key, "id"))
		return parse_u16(p, k, &c->controller_id);
	if (!strcmp(k->key, "userdata"))
		return parse_userdata(p, k, userdata, &c->userdata_len, max);
	if (!strcmp(k->key, "meter_id"))
		return parse_u32(p, k, &c->meter_id);
	if (!strcmp(k->key, "pause")) {
		c->pause = 1;
		return 0;
	}
	return unknown_key(p, "controller", k);
}

int parse_controller(struct parser *p, struct arg *a)
{
	struct action_controller c = {
		.max_len = UINT16_MAX, .reason = REASON_ACTION, .meter_id = UINT32_MAX};
	uint8_t userdata[2048];
	struct action_controller *out;
	size_t start = p->b->len;
	struct arg k;
	char *pos = a->text;
	int rc;

	if (!a->parens) {
		if (a->text && parse_u16(p, a, &c.max_len))
			return -EINVAL;
		action_put_output(p->b, OFP_PORT_CONTROLLER, c.max_len);
		return 0;
	}
	while ((rc = arg_next(p, &pos, &k)) > 0)
		if (parse_controller_key(p, &k, &c, userdata, sizeof userdata))
			return -EINVAL;
	if (rc)
		return rc;
	if (c.reason == REASON_ACTION && !c.controller_id && !c.userdata_len && !c.pause &&
	    c.meter_id == UINT32_MAX) {
		action_put_output(p->b, OFP_PORT_CONTROLLER, c.max_len);
		return 0;
	}
	out = action_buf_put(p->b, ACTION_CONTROLLER, sizeof *out);
	c.a = out->a;
	*out = c;
	if (c.userdata_len)
		action_buf_grow_last(p->b, start, userdata, c.userdata_len);
	return 0;
}

/* ---- learn ---- */

static int put_spec(struct parser *p, size_t start, const struct learn_spec *s,
		    const uint8_t *value)
{
	static const uint8_t zeros[8];
	size_t n = s->src_is_value ? (s->n_bits + 7u) / 8u : 0;
	struct learn_spec head = *s;

	head.len = (uint32_t)(sizeof head + n);
	if (!action_buf_grow_last(p->b, start, &head, sizeof head) ||
	    (n && !action_buf_grow_last(p->b, start, value, n)) ||
	    !action_buf_grow_last(p->b, start, zeros, ACTION_PADDED(head.len) - head.len))
		return parse_fail(p, p->base, "learn: too long");
	return 0;
}

static struct subfield whole(const struct field_info *f)
{
	return (struct subfield){.field = (uint16_t)f->id, .n_bits = f->n_bits};
}

/* "FIELD=value" or "FIELD=OTHER[bits]"; both sides of full width. */
static int learn_match_field(struct parser *p, size_t start, const struct field_info *f,
			     const char *text)
{
	struct learn_spec s = {.dst_type = LEARN_DST_MATCH, .dst = whole(f), .n_bits = f->n_bits};
	size_t n = (f->n_bits + 7u) / 8u;
	union field_value v, mask;
	uint32_t port;

	if (f->format == FMT_OF_PORT && text_port_parse(p->ports, text, &port)) {
		s.src_is_value = 1;
		if (f->n_bytes == 2)
			store_be16(v.b, (uint16_t)port);
		else
			store_be32(v.b, port);
		return put_spec(p, start, &s, v.b);
	}
	if (f->format != FMT_OF_PORT && !field_parse_value(f, text, &v, &mask, NULL)) {
		s.src_is_value = 1;
		return put_spec(p, start, &s, v.b + f->n_bytes - n);
	}
	if (parse_subfield(p, text, &s.src))
		return -EINVAL;
	if (s.src.n_bits != s.n_bits)
		return parse_fail(p, text, "learn: %u bits for %u", s.src.n_bits, s.n_bits);
	return put_spec(p, start, &s, NULL);
}

/* A constant of n_bits bits into value; false when it is none or too wide. */
static bool constant(const char *text, unsigned n_bits, uint8_t *value)
{
	size_t n = (n_bits + 7u) / 8u;

	return bits_parse(text, value, n) && (n_bits % 8 == 0 || !(value[0] >> n_bits % 8));
}

/* "FIELD[bits]", "FIELD[bits]=OTHER[bits]", "FIELD[bits]=value" */
static int learn_match_bits(struct parser *p, size_t start, const struct arg *a)
{
	struct learn_spec s = {.dst_type = LEARN_DST_MATCH};
	uint8_t value[FIELD_MAX_BYTES];

	if (parse_subfield(p, a->key, &s.dst))
		return -EINVAL;
	s.n_bits = s.dst.n_bits;
	s.src = s.dst;
	if (a->text && isdigit((unsigned char)*a->text)) {
		if (!constant(a->text, s.n_bits, value))
			return parse_fail(p, a->text, "learn: \"%s\" has more than %u bits",
					  a->text, s.n_bits);
		s.src_is_value = 1;
		s.src = (struct subfield){0};
		return put_spec(p, start, &s, value);
	}
	if (a->text && parse_subfield(p, a->text, &s.src))
		return -EINVAL;
	if (s.src.n_bits != s.n_bits)
		return parse_fail(p, a->text, "learn: %u bits for %u", s.src.n_bits, s.n_bits);
	return put_spec(p, start, &s, NULL);
}

static int learn_load(struct parser *p, size_t start, const struct arg *a)
{
	struct learn_spec s = {.dst_type = LEARN_DST_LOAD};
	uint8_t value[FIELD_MAX_BYTES];
	char *arrow = a->text ? strstr(a->text, "->") : NULL;

	if (!arrow)
		return parse_fail(p, a->key, "learn: load is written SOURCE->FIELD[BITS]");
	*arrow = '\0';
	if (parse_subfield(p, arrow + 2, &s.dst))
		return -EINVAL;
	if (!fields[s.dst.field].writable)
		return parse_fail(p, arrow + 2, "%s: is read-only", fields[s.dst.field].name);
	s.n_bits = s.dst.n_bits;
	if (isdigit((unsigned char)*a->text)) {
		if (!constant(a->text, s.n_bits, value))
			return parse_fail(p, a->text, "learn: \"%s\" has more than %u bits",
					  a->text, s.n_bits);
		s.src_is_value = 1;
		return put_spec(p, start, &s, value);
	}
	if (parse_subfield(p, a->text, &s.src))
		return -EINVAL;
	if (s.src.n_bits != s.n_bits)
		return parse_fail(p, a->text, "learn: %u bits for %u", s.src.n_bits, s.n_bits);
	return put_spec(p, start, &s, NULL);
}

static int learn_output(struct parser *p, size_t start, const struct arg *a)
{
	struct learn_spec s = {.dst_type = LEARN_DST_OUTPUT};

	if (!a->text)
		return parse_fail(p, a->key, "learn: output needs a field");
	if (parse_subfield(p, a->text, &s.src))
		return -EINVAL;
	s.n_bits = s.src.n_bits;
	return put_spec(p, start, &s, NULL);
}

/* Keys that are not specifications. 1: not such a key. */
static int learn_key(struct parser *p, const struct arg *k, struct action_learn *l)
{
	uint64_t v;

	if (!strcmp(k->key, "table")) {
		if (parse_number(p, k, 254, &v))
			return -EINVAL;
		l->table = (uint8_t)v;
		return 0;
	}
	if (!strcmp(k->key, "idle_timeout"))
		return parse_u16(p, k, &l->idle_timeout_s);
	if (!strcmp(k->key, "hard_timeout"))
		return parse_u16(p, k, &l->hard_timeout_s);
	if (!strcmp(k->key, "fin_idle_timeout"))
		return parse_u16(p, k, &l->fin_idle_s);
	if (!strcmp(k->key, "fin_hard_timeout"))
		return parse_u16(p, k, &l->fin_hard_s);
	if (!strcmp(k->key, "priority"))
		return parse_u16(p, k, &l->priority);
	if (!strcmp(k->key, "limit"))
		return parse_u32(p, k, &l->limit);
	if (!strcmp(k->key, "cookie")) {
		if (parse_number(p, k, UINT64_MAX, &v))
			return -EINVAL;
		l->cookie = cpu_to_be64(v);
		return 0;
	}
	if (!strcmp(k->key, "send_flow_rem")) {
		l->flags |= LEARN_SEND_FLOW_REM;
		return 0;
	}
	if (!strcmp(k->key, "delete_learned")) {
		l->flags |= LEARN_DELETE_LEARNED;
		return 0;
	}
	if (!strcmp(k->key, "result_dst")) {
		if (!k->text || parse_subfield(p, k->text, &l->result_dst))
			return parse_fail(p, k->key, "learn: result_dst needs a bit of a field");
		if (l->result_dst.n_bits != 1)
			return parse_fail(p, k->text, "learn: result_dst needs one bit");
		l->flags |= LEARN_WRITE_RESULT;
		return 0;
	}
	return 1;
}

static int learn_spec(struct parser *p, size_t start, const struct arg *k)
{
	const struct field_info *f = field_by_name(k->key, strlen(k->key));

	if (!strcmp(k->key, "load"))
		return learn_load(p, start, k);
	if (!strcmp(k->key, "output"))
		return learn_output(p, start, k);
	if (f && k->text)
		return learn_match_field(p, start, f, k->text);
	return learn_match_bits(p, start, k);
}

int parse_learn(struct parser *p, struct arg *a)
{
	size_t start = p->b->len;
	struct action_learn *l = action_buf_put(p->b, ACTION_LEARN, sizeof *l);
	char *pos = a->text ? a->text : a->key + strlen(a->key);
	struct arg k;
	int rc;

	l->table = 1;
	l->priority = DEFAULT_PRIORITY;
	while ((rc = arg_next(p, &pos, &k)) > 0) {
		rc = learn_key(p, &k, (void *)(p->b->data + start));
		if (rc == 1)
			rc = learn_spec(p, start, &k);
		if (rc)
			return rc;
	}
	return rc;
}

/* ---- ct and nat ---- */

/* "a", "a-b", "[a]:p", "a-b:p-q" … */
static int parse_nat_range(struct parser *p, char *text, struct action_nat *n)
{
	char *addr = text, *ports = NULL, *dash, *colon;
	uint64_t lo, hi;
	bool v6;

	if (*text == '[') {
		char *close = strchr(text, ']');

		if (!close)
			return parse_fail(p, text, "nat: '[' without ']'");
		*close = '\0';
		addr = text + 1;
		ports = close[1] == ':' ? close + 2 : NULL;
		v6 = true;
	} else {
		colon = strchr(text, ':');
		v6 = colon && strchr(colon + 1, ':');
		if (colon && !v6) {
			*colon = '\0';
			ports = colon + 1;
		}
	}
	if (*addr) {
		n->family = v6 ? 6 : 4;
		dash = strchr(addr, '-');
		if (dash)
			*dash++ = '\0';
		if (inet_pton(v6 ? AF_INET6 : AF_INET, addr, n->addr_min) != 1 ||
		    (dash && inet_pton(v6 ? AF_INET6 : AF_INET, dash, n->addr_max) != 1))
			return parse_fail(p, text, "nat: bad address");
		if (dash && memcmp(n->addr_min, n->addr_max, 16) > 0)
			return parse_fail(p, text, "nat: address range is empty");
		if (!dash)
			memcpy(n->addr_max, n->addr_min, 16);
	}
	if (!ports)
		return 0;
	dash = strchr(ports, '-');
	if (dash)
		*dash++ = '\0';
	if (!parse_u64(ports, 10, UINT16_MAX, &lo) ||
	    !parse_u64(dash ? dash : ports, 10, UINT16_MAX, &hi) || hi < lo || !lo)
		return parse_fail(p, ports, "nat: bad port range");
	n->port_min = (uint16_t)lo;
	n->port_max = (uint16_t)hi;
	return 0;
}

static int nat_key(struct parser *p, const struct arg *k, struct action_nat *n)
{
	bool src = !strcmp(k->key, "src");

	if (src || !strcmp(k->key, "dst")) {
		n->flags |= src ? NAT_SRC : NAT_DST;
		return k->text ? parse_nat_range(p, k->text, n) : 0;
	}
	if (!strcmp(k->key, "persistent"))
		n->flags |= NAT_PERSISTENT;
	else if (!strcmp(k->key, "hash"))
		n->flags |= NAT_HASH;
	else if (!strcmp(k->key, "random"))
		n->flags |= NAT_RANDOM;
	else
		return unknown_key(p, "nat", k);
	return 0;
}

int parse_nat(struct parser *p, struct arg *a)
{
	struct action_nat *n = action_buf_put(p->b, ACTION_NAT, sizeof *n);
	char *pos = a->text;
	struct arg k;
	int rc = 0;

	while (pos && (rc = arg_next(p, &pos, &k)) > 0)
		if (nat_key(p, &k, n))
			return -EINVAL;
	if (rc)
		return rc;
	if ((n->flags & NAT_SRC) && (n->flags & NAT_DST))
		return parse_fail(p, a->key, "nat: either src or dst");
	if (n->flags && !(n->flags & (NAT_SRC | NAT_DST)))
		return parse_fail(p, a->key, "nat: options need src or dst");
	if ((n->flags & NAT_HASH) && (n->flags & NAT_RANDOM))
		return parse_fail(p, a->key, "nat: either hash or random");
	return 0;
}

static int ct_zone(struct parser *p, const struct arg *k, struct action_ct *c)
{
	if (!k->text)
		return parse_fail(p, k->key, "ct: zone needs a number or a field");
	if (isdigit((unsigned char)*k->text))
		return parse_u16(p, k, &c->zone);
	if (parse_subfield(p, k->text, &c->zone_src))
		return -EINVAL;
	if (c->zone_src.n_bits != 16)
		return parse_fail(p, k->text, "ct: zone needs 16 bits");
	c->has_zone_src = 1;
	return 0;
}

static int ct_alg(struct parser *p, const struct arg *k, struct action_ct *c)
{
	if (k->text && !strcmp(k->text, "ftp"))
		c->alg = 21;
	else if (k->text && !strcmp(k->text, "tftp"))
		c->alg = 69;
	else
		return parse_fail(p, k->key, "ct: alg is ftp or tftp");
	return 0;
}

/* Keys that are not lists; 1 for those that are. */
static int ct_key(struct parser *p, const struct arg *k, struct action_ct *c)
{
	uint64_t table;

	if (!strcmp(k->key, "commit")) {
		c->commit = 1;
	} else if (!strcmp(k->key, "force")) {
		c->force = 1;
	} else if (!strcmp(k->key, "table")) {
		if (parse_number(p, k, 254, &table))
			return -EINVAL;
		c->recirc_table = (uint8_t)table;
	} else if (!strcmp(k->key, "zone")) {
		return ct_zone(p, k, c);
	} else if (!strcmp(k->key, "alg")) {
		return ct_alg(p, k, c);
	} else if (!strcmp(k->key, "nat") || !strcmp(k->key, "exec")) {
		return 1;
	} else {
		return unknown_key(p, "ct", k);
	}
	return 0;
}

/* Without commit a connection gets no translation but the one that it has. */
static bool asks_for_too_much(const struct action_ct *c)
{
	size_t len;
	const uint8_t *list = action_nested(&c->a, &len);

	if (c->commit)
		return false;
	ACTION_FOR_EACH(a, list, len)
	{
		if (!(action_infos[a->type].flags & ACT_IN_CT))
			return false; /* it may never stand there: that has an error of its own */
		if (a->type != ACTION_NAT || ((const struct action_nat *)(const void *)a)->flags)
			return true;
	}
	return false;
}

int parse_ct(struct parser *p, struct arg *a)
{
	size_t start = action_buf_open(p->b, ACTION_CT, sizeof(struct action_ct));
	struct action_ct *c = (void *)(p->b->data + start);
	char *pos = a->text;
	struct arg k;
	int rc = 0;

	if (a->text && !a->parens)
		return parse_fail(p, a->text, "ct: arguments go in parentheses");
	c->recirc_table = 255;
	while (pos && (rc = arg_next(p, &pos, &k)) > 0) {
		rc = ct_key(p, &k, (void *)(p->b->data + start));
		if (rc == 1)
			rc = !strcmp(k.key, "nat") ? parse_nat(p, &k)
			     : k.text              ? parse_actions(p, k.text)
						   : unknown_key(p, "ct", &k);
		if (rc)
			return rc;
	}
	if (rc)
		return rc;
	c = (void *)(p->b->data + start);
	if (c->force && !c->commit)
		return parse_fail(p, a->key, "ct: force needs commit");
	if (!action_buf_close(p->b, start))
		return parse_fail(p, a->key, "ct: too long");
	c = (void *)(p->b->data + start);
	return asks_for_too_much(c) ? parse_fail(p, a->key, "ct: only a plain nat without commit")
				    : 0;
}

/* ---- multipath, bundle ---- */

static int parse_basis(struct parser *p, char *text, uint16_t *basis)
{
	struct arg a = {.key = text, .text = text};

	return parse_u16(p, &a, basis);
}

int parse_multipath(struct parser *p, struct arg *a)
{
	struct action_multipath *m;
	struct action_multipath v = {0};
	char *w[6];
	uint64_t links, arg;

	if (!a->text || split_words(a->text, w, 6) != 6)
		return parse_fail(p, a->key,
				  "multipath: needs fields, basis, algorithm, links, arg, field");
	if (parse_name(p, w[0], action_hash_fields, &v.fields) || parse_basis(p, w[1], &v.basis) ||
	    parse_name(p, w[2], action_multipath_algs, &v.algorithm) ||
	    parse_subfield(p, w[5], &v.dst))
		return -EINVAL;
	if (!parse_u64(w[3], 0, 65536, &links) || !links)
		return parse_fail(p, w[3], "multipath: links are 1 to 65536");
	if (!parse_u64(w[4], 0, UINT32_MAX, &arg))
		return parse_fail(p, w[4], "multipath: bad argument");
	if (v.dst.n_bits < 16 && links > 1u << v.dst.n_bits)
		return parse_fail(p, w[5], "multipath: %u bits are not enough", v.dst.n_bits);
	m = action_buf_put(p->b, ACTION_MULTIPATH, sizeof *m);
	v.a = m->a;
	v.max_link = (uint16_t)(links - 1);
	v.arg = (uint32_t)arg;
	*m = v;
	return 0;
}

/* "members:1,2,3" to the end of the text. */
static int bundle_members(struct parser *p, size_t start, char *text)
{
	char *colon = strchr(text, ':');
	struct action_bundle *b;
	char *word = text, *next;

	if (!colon || (strncmp(text, "members", 7) && strncmp(text, "slaves", 6)))
		return parse_fail(p, text, "bundle: members:PORT,… is missing");
	for (word = colon + 1; *(word += strspn(word, " ,")); word = next) {
		size_t len = strcspn(word, ", ");
		uint32_t port;

		next = word[len] ? word + len + 1 : word + len;
		word[len] = '\0';
		if (parse_port(p, word, &port))
			return -EINVAL;
		b = action_buf_grow_last(p->b, start, &port, sizeof port);
		if (!b || ++b->n_ports > MAX_MEMBERS)
			return parse_fail(p, word, "bundle: more than %d members", MAX_MEMBERS);
	}
	return 0;
}

/* The text behind n words; NULL when there are fewer. */
static char *skip_words(char *text, unsigned n)
{
	for (; n && text; n--) {
		text = strchr(text, ',');
		if (text)
			text++;
	}
	return text ? text + strspn(text, " ") : NULL;
}

static int parse_bundle_form(struct parser *p, struct arg *a, bool load)
{
	size_t start = p->b->len;
	struct action_bundle *b = action_buf_put(p->b, ACTION_BUNDLE, sizeof *b);
	char *members = a->text ? skip_words(a->text, load ? 5 : 4) : NULL, *w[5];

	if (!members)
		return parse_fail(p, a->key,
				  "%s: needs fields, basis, algorithm, ofport%s, members", a->key,
				  load ? ", field" : "");
	members[-1] = '\0';
	if (split_words(a->text, w, 5) < (load ? 5u : 4u))
		return parse_fail(p, a->key, "%s: an argument is missing", a->key);
	if (parse_name(p, w[0], action_hash_fields, &b->fields) ||
	    parse_basis(p, w[1], &b->basis) ||
	    parse_name(p, w[2], action_bundle_algs, &b->algorithm) ||
	    (load && parse_subfield(p, w[4], &b->dst)))
		return -EINVAL;
	if (strcasecmp(w[3], "ofport"))
		return parse_fail(p, w[3], "%s: members are of type ofport", a->key);
	return bundle_members(p, start, members);
}

int parse_bundle(struct parser *p, struct arg *a)
{
	return parse_bundle_form(p, a, false);
}

int parse_bundle_load(struct parser *p, struct arg *a)
{
	return parse_bundle_form(p, a, true);
}

/* ---- sample, fin_timeout ---- */

static int sample_key(struct parser *p, const struct arg *k, struct action_sample *s)
{
	if (!strcmp(k->key, "probability"))
		return parse_u16(p, k, &s->probability);
	if (!strcmp(k->key, "collector_set_id"))
		return parse_u32(p, k, &s->collector_set);
	if (!strcmp(k->key, "obs_domain_id"))
		return parse_u32(p, k, &s->obs_domain);
	if (!strcmp(k->key, "obs_point_id"))
		return parse_u32(p, k, &s->obs_point);
	if (!strcmp(k->key, "sampling_port"))
		return k->text ? parse_port(p, k->text, &s->sampling_port)
			       : unknown_key(p, "sample", k);
	if (!strcmp(k->key, "ingress"))
		s->direction = 1;
	else if (!strcmp(k->key, "egress"))
		s->direction = 2;
	else
		return unknown_key(p, "sample", k);
	return 0;
}

int parse_sample(struct parser *p, struct arg *a)
{
	struct action_sample *s = action_buf_put(p->b, ACTION_SAMPLE, sizeof *s);
	char *pos = a->text ? a->text : a->key + strlen(a->key);
	struct arg k;
	int rc;

	s->sampling_port = OFP_PORT_ANY;
	while ((rc = arg_next(p, &pos, &k)) > 0)
		if (sample_key(p, &k, s))
			return -EINVAL;
	if (!rc && !s->probability)
		return parse_fail(p, a->key, "sample: probability is 1 to 65535");
	s->form = s->direction ? 3 : s->sampling_port != OFP_PORT_ANY ? 2 : 1;
	return rc;
}

int parse_fin_timeout(struct parser *p, struct arg *a)
{
	struct action_fin_timeout *f = action_buf_put(p->b, ACTION_FIN_TIMEOUT, sizeof *f);
	char *pos = a->text ? a->text : a->key + strlen(a->key);
	struct arg k;
	int rc;

	while ((rc = arg_next(p, &pos, &k)) > 0) {
		rc = !strcmp(k.key, "idle_timeout")   ? parse_u16(p, &k, &f->idle_s)
		     : !strcmp(k.key, "hard_timeout") ? parse_u16(p, &k, &f->hard_s)
						      : unknown_key(p, "fin_timeout", &k);
		if (rc)
			return rc;
	}
	return rc;
}
