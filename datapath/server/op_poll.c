/* SPDX-License-Identifier: BSD-3-Clause */
/* POLL_SET, and the operations without objects: GENERATION_SET, CACHE_FLUSH. */
#include <errno.h>

#include "datapath/base/log.h"
#include "datapath/poll/poll.h"
#include "datapath/server/op.h"

LOG_MODULE(server);

enum { SLEEP_MAX_US_LIMIT = 100000 };
static const uint16_t poll_attrs[] = {ATTR_CORES, ATTR_SLEEP_MAX_US, 0};

int op_stage_POLL_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	size_t len;
	const uint16_t *cores = attrs_bytes(op->a, ATTR_CORES, &len);
	int rc = op_check_attrs(op, poll_attrs, e);

	if (!rc)
		rc = op_check_range(op, ATTR_SLEEP_MAX_US, 0, SLEEP_MAX_US_LIMIT, e);
	if (rc || !cores)
		return rc;
	if (!len || len % sizeof *cores || len / sizeof *cores > POLL_THREADS_MAX)
		return err_set(e, EINVAL, "poll: cores: give 1 to %d of them", POLL_THREADS_MAX);
	for (size_t i = 0; i < len / sizeof *cores; i++)
		for (size_t j = 0; j < i; j++)
			if (cores[i] == cores[j])
				return err_set(e, EINVAL, "poll: cores: %u is given twice",
					       cores[i]);
	fx->config_changed = true;
	return 0;
}

int op_apply_POLL_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	return 0; /* op_apply_poll() did it */
}

int op_apply_poll(const struct op *op, struct op_effects *fx, struct err *e)
{
	size_t len;
	const uint16_t *cores = attrs_bytes(op->a, ATTR_CORES, &len);
	uint64_t sleep_us;

	if (op->type != API_OP_POLL_SET)
		return 0;

	if (attrs_get_u64(op->a, ATTR_SLEEP_MAX_US, &sleep_us)) {
		if (!fx->sleep_changed)
			fx->old_sleep_max_us = poll_sleep_max_us();
		fx->sleep_changed = true;
		poll_set_sleep_max_us((uint32_t)sleep_us);
	}
	if (!cores)
		return 0;
	if (!fx->cores_changed)
		fx->n_old_cores = poll_cores(fx->old_cores, POLL_THREADS_MAX);
	fx->cores_changed = true;
	return poll_set_cores(cores, (unsigned)(len / sizeof *cores), e);
}

void op_undo_poll(struct op_effects *fx)
{
	struct err e = {0};

	if (fx->sleep_changed)
		poll_set_sleep_max_us(fx->old_sleep_max_us);
	if (fx->cores_changed && poll_set_cores(fx->old_cores, fx->n_old_cores, &e))
		log_err("poll threads: back to the former cores: %s", e.text);
}

int op_stage_GENERATION_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	if (!attrs_get_u64(op->a, ATTR_GENERATION, &fx->generation))
		return err_set(e, EINVAL, "generation_set: generation is missing");
	fx->has_generation = fx->config_changed = true;
	return 0;
}

int op_apply_GENERATION_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	return 0;
}

int op_stage_CACHE_FLUSH(struct op *op, struct op_effects *fx, struct err *e)
{
	fx->flush_cache = true;
	return 0;
}

int op_apply_CACHE_FLUSH(struct op *op, struct op_effects *fx, struct err *e)
{
	return 0;
}
