/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/recorded_port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/observe/record.h"

/* ---- live ---- */

static void put(struct recording *r, const struct port *p, const struct port_status *status)
{
	recording_put(r, p->n_rxq);
	recording_put(r, p->n_txq);
	recording_put(r, p->shared_txq);
	recording_put(r, p->tx_state);
	recording_put(r, p->link);
	recording_put(r, p->max_frame_bytes);
	recording_put(r, p->tx_offloads);
	recording_put_bytes(r, status, sizeof *status);
}

void recorded_port_put(struct recording *r, const struct port *p)
{
	if (p)
		put(r, p, &p->status);
}

void recorded_port_moved(const struct port *p, const struct port_status *now)
{
	struct recording *r = record_begin(REC_OPENED);

	if (!r)
		return;
	recording_put(r, p->id);
	recording_put(r, 0);
	recording_put_bytes(r, NULL, 0);
	put(r, p, now);
	record_end();
}

/* ---- replay ---- */

struct fact {
	int error;
	char text[ERR_TEXT_BYTES];
	bool has_port;
	uint16_t n_rxq, n_txq;
	bool shared_txq;
	uint8_t tx_state, link;
	uint32_t max_frame_bytes, tx_offloads;
	struct port_status status;
};
static struct fact *facts[PORT_ID_MAX];

static void read_port(struct fact *f, struct rec_in *in)
{
	const uint8_t *status;
	size_t n;

	f->has_port = true;
	f->n_rxq = (uint16_t)SL_MIN(rec_in_u64(in), (uint64_t)QUEUES_MAX);
	f->n_txq = (uint16_t)rec_in_u64(in);
	f->shared_txq = rec_in_u64(in);
	f->tx_state = (uint8_t)SL_MIN(rec_in_u64(in), (uint64_t)DROP_N - 1);
	f->link = (uint8_t)rec_in_u64(in);
	f->max_frame_bytes = (uint32_t)rec_in_u64(in);
	f->tx_offloads = (uint32_t)rec_in_u64(in);
	status = rec_in_bytes(in, &n);
	if (in->bad || n != sizeof f->status || !f->n_txq)
		in->bad = true;
	else
		memcpy(&f->status, status, n);
	f->status.detail[sizeof f->status.detail - 1] = '\0';
}

bool recorded_port_expect(uint32_t id, struct rec_in *in)
{
	struct fact *f = xzalloc(sizeof *f);

	f->error = (int)rec_in_u64(in);
	rec_in_str(in, f->text, sizeof f->text);
	if (!in->bad && in->p < in->end)
		read_port(f, in);
	if (in->bad || !id || id >= PORT_ID_MAX || (!f->error && !f->has_port)) {
		free(f);
		return false;
	}
	free(facts[id]);
	facts[id] = f;
	return true;
}

void recorded_port_forget(void)
{
	for (uint32_t id = 0; id < PORT_ID_MAX; id++) {
		free(facts[id]);
		facts[id] = NULL;
	}
}

bool recorded_port_state(struct rec_in *in)
{
	uint64_t id = rec_in_u64(in), state = rec_in_u64(in);
	uint32_t longest = (uint32_t)rec_in_u64(in), offloads = (uint32_t)rec_in_u64(in);
	struct port *p = id < PORT_ID_MAX ? port_by_id((uint32_t)id) : NULL;

	if (in->bad || state >= DROP_N)
		return false;
	if (p) {
		p->tx_state = (uint8_t)state;
		p->max_frame_bytes = longest;
		p->tx_offloads = offloads;
	}
	return true;
}

static int become(struct port *p, struct err *e)
{
	const struct fact *f = facts[p->id];

	if (!f)
		return err_set(e, ENODEV, "port %s: the recording does not say how it opened",
			       p->name);
	if (f->error == EOPNOTSUPP)
		return -EOPNOTSUPP;
	if (f->error)
		return err_set(e, f->error, "%s", f->text);
	p->n_rxq = f->n_rxq;
	p->n_txq = f->n_txq;
	p->shared_txq = f->shared_txq;
	p->tx_state = f->tx_state;
	p->link = f->link;
	p->max_frame_bytes = f->max_frame_bytes;
	p->tx_offloads = f->tx_offloads;
	p->status = f->status;
	return 0;
}

static int open_recorded(struct port *p, const struct port_config *c, struct err *e)
{
	return become(p, e);
}

static int set(struct port *p, const struct port_config *c, struct err *e)
{
	return become(p, e);
}

static void refresh(struct port *p)
{
	struct err e = {0};

	if (facts[p->id])
		become(p, &e);
}

static void close_recorded(struct port *p)
{
}

static uint16_t rx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	return 0;
}

static uint16_t tx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	unsigned taken = record_sending(n);

	rte_pktmbuf_free_bulk(pkts, taken);
	return (uint16_t)taken;
}

static int rx_fd(struct port *p, uint16_t q)
{
	return -1;
}

static bool rx_arm(struct port *p, uint16_t q)
{
	return true;
}

static void rx_disarm(struct port *p, uint16_t q)
{
}

const struct port_class port_class_recorded = {
	.type = "recorded",
	.open = open_recorded,
	.close = close_recorded,
	.set = set,
	.refresh = refresh,
	.rx_burst = rx_burst,
	.tx_burst = tx_burst,
	.rx_fd = rx_fd,
	.rx_arm = rx_arm,
	.rx_disarm = rx_disarm,
};
