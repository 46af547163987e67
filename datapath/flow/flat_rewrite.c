/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/flow/flat_rewrite.h"

#include <string.h>

#include "datapath/flow/field.h"

enum {
	MACS = 12,
	TAG = 4,
	L3_WORDS = 10,
};

struct words { /* of one header: what each becomes */
	uint32_t value[L3_WORDS], mask[L3_WORDS];
};

struct compiling {
	struct flat_rewrite *f;
	struct words l2, l3, l4; /* l2: word i is tag i of the frame as it leaves */
	unsigned pops;
	bool tag_set, ttl_set;
};

static bool put(struct words *to, unsigned n_words, unsigned ofs, const struct prog_set *set)
{
	uint8_t value[L3_WORDS * 4] = {0}, mask[L3_WORDS * 4] = {0};
	uint32_t any = 0;

	if (set->n_bytes > sizeof set->value || ofs + set->n_bytes > n_words * 4)
		return false;
	memcpy(value + ofs, set->value, set->n_bytes);
	memcpy(mask + ofs, set->mask, set->n_bytes);
	for (unsigned i = 0; i < n_words; i++) {
		uint32_t v, m;

		memcpy(&v, value + i * 4, 4);
		memcpy(&m, mask + i * 4, 4);
		to->value[i] = (to->value[i] & ~m) | (v & m);
		to->mask[i] |= m;
		any |= m;
	}
	return any; /* what changes nothing may still need its header to be there */
}

static bool set_macs(struct flat_rewrite *f, const struct prog_set *set)
{
	uint8_t value[MACS], mask[MACS];

	if (set->ofs + set->n_bytes > MACS || set->csum != CSUM_NONE)
		return false;
	memcpy(value, &f->mac_value, 8);
	memcpy(value + 8, &f->mac_value2, 4);
	memcpy(mask, &f->mac_mask, 8);
	memcpy(mask + 8, &f->mac_mask2, 4);
	for (unsigned i = 0; i < set->n_bytes; i++) {
		uint8_t *v = &value[set->ofs + i];

		*v = (uint8_t)((*v & ~set->mask[i]) | (set->value[i] & set->mask[i]));
		mask[set->ofs + i] |= set->mask[i];
	}
	memcpy(&f->mac_value, value, 8);
	memcpy(&f->mac_value2, value + 8, 4);
	memcpy(&f->mac_mask, mask, 8);
	memcpy(&f->mac_mask2, mask + 8, 4);
	f->front = true;
	return true;
}

static bool set_tag(struct compiling *c, unsigned i, const struct prog_set *set)
{
	c->tag_set = true;
	return set->csum == CSUM_NONE && set->ofs + set->n_bytes <= 2 &&
	       put(&c->l2, FLAT_TAGS_MAX, i * TAG + 2 + set->ofs, set);
}

static bool is_ip(struct flat_rewrite *f, enum flat_ip which)
{
	if (f->ip != which && f->ip > FLAT_ANY_IP && which != FLAT_ANY_IP)
		return false;
	if (which > f->ip)
		f->ip = (uint8_t)which;
	return true;
}

/* Only the places that resolve writes (resolve/commit.c): their words decide what is summed. */
static bool set_l3(struct compiling *c, const struct prog_set *set)
{
	unsigned end = set->ofs + set->n_bytes;
	bool v6 = false;

	switch ((enum field_csum)set->csum) {
	case CSUM_IP:
		if (set->n_bytes != 1 || (set->ofs != 1 && set->ofs != 8))
			return false;
		c->ttl_set |= set->ofs == 8;
		break;
	case CSUM_PSEUDO:
		if (set->ofs < 12 || end > 20)
			return false;
		break;
	case CSUM_NONE:
		if (!(set->ofs == 7 && set->n_bytes == 1) && !(set->ofs == 0 && end == 4))
			return false;
		c->ttl_set |= set->ofs == 7;
		v6 = true;
		break;
	case CSUM_PSEUDO6:
		if (set->ofs < 8)
			return false;
		v6 = true;
		break;
	case CSUM_L4:
	case CSUM_SCTP:
		return false;
	}
	return is_ip(c->f, v6 ? FLAT_IPV6 : FLAT_IPV4) && put(&c->l3, v6 ? 10 : 5, set->ofs, set);
}

static bool set_l4(struct compiling *c, const struct prog_set *set)
{
	return set->csum == CSUM_L4 && is_ip(c->f, FLAT_ANY_IP) && put(&c->l4, 1, set->ofs, set);
}

static bool set_bytes(struct compiling *c, const struct prog_set *set)
{
	switch ((enum field_anchor)set->anchor) {
	case HDR_ETH:
		return set_macs(c->f, set);
	case HDR_VLAN:
		return set_tag(c, 0, set);
	case HDR_VLAN2:
		return set_tag(c, 1, set);
	case HDR_L3:
		return set_l3(c, set);
	case HDR_L4:
		return set_l4(c, set);
	case HDR_NONE:
	case HDR_MPLS:
	case HDR_ARP:
	case HDR_ND:
	case HDR_ND_SLL:
	case HDR_ND_TLL:
		break;
	}
	return false;
}

/* Tags are taken away, then put on, then written: what resolve makes of any list of actions. */
static bool push(struct compiling *c, uint16_t tpid, uint16_t tci)
{
	struct flat_rewrite *f = c->f;

	if (c->tag_set || f->n_tags == FLAT_TAGS_MAX)
		return false;
	tci &= (uint16_t)~cpu_to_be16(VLAN_CFI); /* presence is not on the wire */
	f->tag[1] = f->tag[0];
	memcpy(&f->tag[0], &tpid, 2);
	memcpy((uint8_t *)&f->tag[0] + 2, &tci, 2);
	f->n_tags++;
	f->front = true;
	return true;
}

static bool pop(struct compiling *c)
{
	if (c->tag_set || c->f->n_tags || c->pops == FLAT_TAGS_MAX)
		return false;
	c->pops++;
	c->f->front = true;
	return true;
}

static bool dec_ttl(struct compiling *c)
{
	if (c->ttl_set || c->f->ttl_decs == UINT8_MAX)
		return false;
	c->f->ttl_decs++;
	return is_ip(c->f, FLAT_ANY_IP);
}

static unsigned put_patches(struct flat_patch *p, const struct words *w, unsigned n, unsigned base)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		if (w->mask[i])
			p[k++] = (struct flat_patch){.value = w->value[i],
						     .mask = w->mask[i],
						     .ofs = (uint16_t)(base + i * 4)};
	return k;
}

static void finish(struct compiling *c)
{
	struct flat_rewrite *f = c->f;
	struct flat_patch *p = f->patch;
	int need = MACS + 2 + TAG * (int)c->pops;

	f->shift = (int8_t)(TAG * ((int)f->n_tags - (int)c->pops));
	f->n_l2 = (uint8_t)put_patches(p, &c->l2, FLAT_TAGS_MAX, MACS);
	for (unsigned i = 0; i < f->n_l2; i++)
		need = SL_MAX(need, p[i].ofs + TAG - f->shift);
	f->need_bytes = (uint16_t)need;
	p += f->n_l2;
	f->n_l3 = (uint8_t)put_patches(p, &c->l3, L3_WORDS, 0);
	for (unsigned i = 0; i < f->n_l3; i++) {
		if (f->ip == FLAT_IPV4)
			p[i].sums = p[i].ofs >= 12 ? FLAT_SUM_IP | FLAT_SUM_PSEUDO : FLAT_SUM_IP;
		else
			p[i].sums = p[i].ofs >= 8 ? FLAT_SUM_PSEUDO : 0;
	}
	f->n_l4 = (uint8_t)put_patches(p + f->n_l3, &c->l4, 1, 0);
}

bool flat_rewrite_compile(struct flat_rewrite *f, const union prog_word *w, uint32_t n_words,
			  uint32_t *out_port)
{
	struct compiling c = {.f = f};

	memset(f, 0, sizeof *f);
	for (uint32_t i = 0; i < n_words; i += 1u + w[i].op.n_words) {
		const struct prog_op *op = &w[i].op;
		bool ok = false;

		if (op->code == OP_OUTPUT) {
			*out_port = op->b;
			finish(&c);
			return i + 1u == n_words;
		}
		if (op->code == OP_SET)
			ok = set_bytes(&c, (const struct prog_set *)&w[i + 1]);
		else if (op->code == OP_PUSH_VLAN)
			ok = push(&c, op->a, (uint16_t)op->b);
		else if (op->code == OP_POP_VLAN)
			ok = pop(&c);
		else if (op->code == OP_DEC_TTL)
			ok = dec_ttl(&c);
		if (!ok)
			return false;
	}
	return false;
}
