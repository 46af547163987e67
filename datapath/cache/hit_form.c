/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/cache/hit_form.h"

#include <string.h>

#include "datapath/flow/field.h"

/* MAC rewrite and TTL, then one output: held by the entry's own line. */
static bool fits_line(struct megaflow *mf, const struct program *p, const uint8_t *mask0)
{
	enum { MACS = offsetof(struct flow_key, eth_dst) };
	uint8_t flags = 0;

	for (uint32_t i = 0; i < p->n_words; i += 1u + p->word[i].op.n_words) {
		const struct prog_op *op = &p->word[i].op;
		const struct prog_set *set = (const struct prog_set *)&p->word[i + 1];

		if (op->code == OP_OUTPUT && i + 1u == p->n_words) {
			mf->out_port = op->b;
			mf->flags |= flags;
			return true;
		}
		if (op->code == OP_DEC_TTL && !(flags & MF_DEC_TTL)) {
			flags |= MF_DEC_TTL;
			continue;
		}
		if (op->code != OP_SET || set->anchor != HDR_ETH || set->ofs % 6 ||
		    (set->n_bytes != 6 && set->n_bytes != 12) || set->ofs + set->n_bytes > 12)
			return false;
		/* Bits that are not written are those that the mask knows to be right already. */
		for (unsigned b = 0; b < set->n_bytes; b++) {
			unsigned at = set->ofs + b;

			if ((set->mask[b] | mask0[MACS + at]) != 0xff)
				return false;
			mf->macs[at] = (uint8_t)((mf->key[MACS + at] & ~set->mask[b]) |
						 (set->value[b] & set->mask[b]));
		}
		flags |= set->n_bytes == 12 ? MF_SET_DST | MF_SET_SRC
			 : set->ofs         ? MF_SET_SRC
					    : MF_SET_DST;
	}
	return false;
}

void hit_form_choose(struct megaflow *mf, const struct mf_info *info, const uint8_t *mask0)
{
	const struct program *p = info->prog;

	mf->out_port = 0;
	memset(mf->macs, 0, sizeof mf->macs); /* of the slot's last user: the audit compares them */
	if (p->n_words && p->word[0].op.code == OP_CT) {
		mf->flags |= MF_CT;
		mf->ct_zone = ((const struct prog_ct *)&p->word[1])->zone;
		return;
	}
	if (fits_line(mf, p, mask0) || !info->flat)
		return;
	mf->out_port = p->word[p->n_words - 1].op.b;
	mf->flags |= MF_FLAT;
}

bool hit_form_is_right(const struct megaflow *mf, const uint8_t *mask0)
{
	enum { FORMS = MF_REWRITE | MF_FLAT };
	const struct mf_info *info = mf->info;
	struct megaflow fresh = {.flags = mf->flags & ~FORMS};
	struct flat_rewrite flat;
	uint32_t out_port;

	memcpy(fresh.key, mf->key, sizeof fresh.key);
	hit_form_choose(&fresh, info, mask0);
	if (fresh.out_port != mf->out_port)
		return false;
	if (!mf->out_port)
		return true;
	if ((fresh.flags & FORMS) != (mf->flags & FORMS))
		return false;
	if (mf->flags & MF_FLAT)
		return flat_rewrite_compile(&flat, info->prog->word, info->prog->n_words,
					    &out_port) &&
		       !memcmp(&flat, info->flat, flat_rewrite_bytes(&flat));
	/* Addresses that are not set are whatever an earlier entry left there. */
	return (!(mf->flags & MF_SET_DST) || !memcmp(fresh.macs, mf->macs, 6)) &&
	       (!(mf->flags & MF_SET_SRC) || !memcmp(fresh.macs + 6, mf->macs + 6, 6));
}
