/* SPDX-License-Identifier: BSD-3-Clause */
/* A vhost-user port's device: rte_vhost's control plane (socket, negotiation, memory tables) with
 * our own split rings on top; rings in packed layout use rte_vhost's data path. For
 * port_vhost.c only.
 *
 * Threads: open and close on the device thread. Callbacks run on rte_vhost's one event thread (and,
 * within register and unregister, on the connecting thread); they change what poll threads see only
 * under a queue's lock, so a poll thread is never inside a ring whose memory goes. The connecting
 * thread "vhost-connect" serves all client ports: it tries every 10 ms for a second, then every
 * 100 ms, which rte_vhost's own reconnection does once a second. */
#pragma once
#include <pthread.h>

#include <rte_spinlock.h>

#include "datapath/base/list.h"

#include "datapath/port/port_priv.h"
#include "datapath/port/vhost_ring.h"

enum { VRINGS_MAX = 2 * QUEUES_MAX };

struct vhost_queue {
	rte_spinlock_t lock; /* taken for a burst, and to change what follows */
	bool enabled;        /* by the guest  W: callbacks */
	bool ready;          /* the ring may be used  W: callbacks, under lock  R: poll threads */
	struct vhost_ring ring;
	int kickfd; /* borrowed from rte_vhost; inside epfd while ready */
	int epfd;   /* what rx_fd returns: stays while kick descriptors change */
} SL_CACHE_ALIGNED;

struct vhost_dev {
	struct port *port;
	char path[108];
	bool client, packed;
	uint64_t disabled_features;

	/* W: callbacks, under `state`  R: poll threads */
	int vid; /* -1: nobody connected */
	bool running, faulted, quarantined;
	uint16_t n_tx;              /* entries of tx_map */
	uint8_t tx_map[QUEUES_MAX]; /* queue pairs that the guest receives on */
	uint64_t features;
	struct guest_mem mem;
	int guard[GUEST_REGIONS_MAX];
	uint32_t n_guards;
	uint8_t rarp_mac[6];
	bool rarp_pending; /* W: callbacks (set), poll thread of queue 0 (clear) */

	uint64_t tx_refused, breaks; /* atomic counters */
	uint32_t connects;

	/* Connecting thread, open, close: under `control`. */
	pthread_mutex_t control, state;
	bool registered, lost, closing;
	bool busy; /* the connecting thread is at it; under its list lock */
	uint64_t retry_at_ms, since_ms;
	struct list node;

	struct vhost_queue q[VRINGS_MAX];
};

int vhost_dev_open(struct vhost_dev *d, struct err *e);
void vhost_dev_close(struct vhost_dev *d);
/* Device thread: after a fault or a broken ring was noticed on the way. */
void vhost_dev_check(struct vhost_dev *d);

/* Ring numbers: a guest receives on even ones and sends on odd ones. */
static inline struct vhost_queue *vhost_rx_queue(struct vhost_dev *d, uint16_t pair)
{
	return &d->q[2 * pair + 1];
}
static inline struct vhost_queue *vhost_tx_queue(struct vhost_dev *d, uint16_t pair)
{
	return &d->q[2 * pair];
}
