/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/vhost_dev.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_log.h>
#include <rte_vhost.h>

#include "datapath/base/clock.h"
#include "datapath/base/list.h"
#include "datapath/base/log.h"
#include "datapath/port/sigbus.h"

LOG_MODULE(vhost);

enum { RETRY_FAST_MS = 10, RETRY_SLOW_MS = 100, FAST_FOR_MS = 1000 };

/* The vhost-user requests that move, remap or stop rings (vhost-user protocol, "Front-end message
 * types"). */
enum request {
	SET_FEATURES = 2,
	RESET_OWNER = 4,
	SET_MEM_TABLE = 5,
	SET_LOG_BASE = 6,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SEND_RARP = 19,
};
struct message { /* as on the wire */
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		uint32_t index;
		uint8_t mac[6];
	} payload;
} SL_PACKED;

/* vid → device. W: callbacks and the connecting thread  R: callbacks */
static struct vhost_dev *by_vid[RTE_MAX_VHOST_DEVICE];

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t list_changed = PTHREAD_COND_INITIALIZER;
static struct list devices = {&devices, &devices};
static bool connector_runs;

static struct vhost_dev *dev_of(int vid)
{
	if (vid < 0 || vid >= RTE_MAX_VHOST_DEVICE)
		return NULL;
	return __atomic_load_n(&by_vid[vid], __ATOMIC_ACQUIRE);
}

/* ---- rings ---- */

static bool aligned(const void *p, uintptr_t n)
{
	return !((uintptr_t)p % n);
}

static bool fill_ring(struct vhost_dev *d, struct vhost_ring *r, uint16_t index)
{
	struct rte_vhost_vring v;
	uint16_t avail, used;

	if (rte_vhost_get_vhost_vring(d->vid, index, &v) ||
	    rte_vhost_get_vring_base(d->vid, index, &avail, &used))
		return false;
	if (!v.desc || !v.avail || !v.used || !v.size || v.size > RING_SIZE_MAX ||
	    (v.size & (v.size - 1)) || !aligned(v.desc, 16) || !aligned(v.avail, 2) ||
	    !aligned(v.used, 4))
		return false;
	memset(r, 0, sizeof *r);
	r->desc = v.desc;
	r->avail = v.avail;
	r->used = v.used;
	r->mem = &d->mem;
	r->size = v.size;
	r->last_avail = avail;
	r->last_used = used;
	r->callfd = v.callfd;
	r->vid = d->vid;
	r->index = index;
	r->event_idx = d->features & 1ull << VIRTIO_RING_F_EVENT_IDX;
	r->mergeable = d->features & 1ull << VIRTIO_NET_F_MRG_RXBUF;
	r->guest_csum = d->features & 1ull << VIRTIO_NET_F_GUEST_CSUM;
	r->log = RTE_VHOST_NEED_LOG(d->features);
	r->hdr_bytes = d->features & (1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_F_VERSION_1)
			       ? 12
			       : 10;
	if (v.callfd >= 0) /* a full pipe in its place would block a poll thread */
		fcntl(v.callfd, F_SETFL, fcntl(v.callfd, F_GETFL) | O_NONBLOCK);
	return true;
}

static void watch_kick(struct vhost_queue *q, int fd)
{
	/* Edge triggered: an event a kick, and nothing to read from a descriptor that the guest's
	 * side may have made block. */
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};

	if (q->kickfd >= 0)
		epoll_ctl(q->epfd, EPOLL_CTL_DEL, q->kickfd, NULL);
	q->kickfd = fd;
	if (fd >= 0 && epoll_ctl(q->epfd, EPOLL_CTL_ADD, fd, &ev))
		q->kickfd = -1;
}

static void attach(struct vhost_dev *d, uint16_t index)
{
	struct vhost_queue *q = &d->q[index];
	struct rte_vhost_vring v;

	if (q->ready || !d->running || !q->enabled)
		return;
	if (q->epfd < 0)
		q->epfd = epoll_create1(EPOLL_CLOEXEC);
	rte_spinlock_lock(&q->lock);
	if (d->packed || fill_ring(d, &q->ring, index)) {
		if ((index & 1) && !rte_vhost_get_vhost_vring(d->vid, index, &v))
			watch_kick(q, v.kickfd);
		if (!d->packed)
			vhost_ring_disarm(&q->ring);
		__atomic_store_n(&q->ready, true, __ATOMIC_RELEASE);
	}
	rte_spinlock_unlock(&q->lock);
}

/* No poll thread is in the ring when this returns. Packed rings are guarded by rte_vhost's own
 * locks, which its thread may hold here while a poll thread with our lock waits for them: only
 * `wait` (destroy_device, where it holds none) waits for that. */
static void detach(struct vhost_dev *d, uint16_t index, bool wait)
{
	struct vhost_queue *q = &d->q[index];

	if (!q->ready)
		return;
	__atomic_store_n(&q->ready, false, __ATOMIC_RELEASE);
	if (d->packed && !wait)
		return;
	rte_spinlock_lock(&q->lock);
	if (!d->packed)
		rte_vhost_set_vring_base(d->vid, index, q->ring.last_avail, q->ring.last_used);
	watch_kick(q, -1);
	rte_spinlock_unlock(&q->lock);
}

/* ---- what poll threads and the server see ---- */

static uint32_t tx_offloads_of(uint64_t features)
{
	const uint64_t tso = 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6;
	uint32_t o = 0;

	if (features & 1ull << VIRTIO_NET_F_GUEST_CSUM) {
		o = OFFLOAD_TX_TCP_CKSUM | OFFLOAD_TX_UDP_CKSUM;
		if ((features & tso) == tso)
			o |= OFFLOAD_TX_TSO;
	}
	return o;
}

static void publish(struct vhost_dev *d)
{
	struct port *p = d->port;
	uint16_t n_rx = 0, n_tx = 0;
	uint8_t state = DROP_NONE;

	for (uint16_t pair = 0; pair < QUEUES_MAX && d->running; pair++) {
		if (vhost_rx_queue(d, pair)->enabled)
			n_rx = pair + 1;
		if (vhost_tx_queue(d, pair)->enabled)
			__atomic_store_n(&d->tx_map[n_tx++], (uint8_t)pair, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&d->n_tx, n_tx, __ATOMIC_RELEASE);
	if (!d->running)
		state = DROP_TX_NO_GUEST;
	else if (d->quarantined)
		state = DROP_TX_QUARANTINED;
	else if (!n_tx)
		state = DROP_TX_QUEUE_DISABLED;
	__atomic_store_n(&p->tx_state, state, __ATOMIC_RELEASE);
	__atomic_store_n(&p->tx_offloads, tx_offloads_of(d->features), __ATOMIC_RELEASE);
	if (n_rx != p->n_rxq) {
		__atomic_store_n(&p->n_rxq, n_rx, __ATOMIC_RELEASE);
		__atomic_add_fetch(&p->rxq_epoch, 1, __ATOMIC_RELEASE);
		port_event_post(p, PORT_EVENT_QUEUES);
	}
	port_set_link(p, d->running && !d->quarantined);
	port_event_post(p, PORT_EVENT_STATUS);
}

static void sync_all(struct vhost_dev *d)
{
	if (d->quarantined)
		return;
	for (uint16_t i = 0; i < VRINGS_MAX; i++)
		attach(d, i);
}

static void quarantine(struct vhost_dev *d, const char *why)
{
	if (d->quarantined)
		return;
	d->quarantined = true;
	for (uint16_t i = 0; i < VRINGS_MAX; i++)
		detach(d, i, false);
	__atomic_add_fetch(&d->breaks, 1, __ATOMIC_RELAXED);
	LOG_LIMIT(log_warn, 20, "port %s: quarantined: %s", d->port->name, why);
	publish(d);
}

void vhost_dev_check(struct vhost_dev *d)
{
	pthread_mutex_lock(&d->state);
	if (__atomic_load_n(&d->faulted, __ATOMIC_ACQUIRE))
		quarantine(d, "the guest took memory away that it had given");
	for (uint16_t i = 0; i < VRINGS_MAX; i++)
		if (d->q[i].ready && __atomic_load_n(&d->q[i].ring.broken, __ATOMIC_RELAXED))
			quarantine(d, "the guest broke its rings");
	pthread_mutex_unlock(&d->state);
}

/* ---- guest memory ---- */

static void drop_memory(struct vhost_dev *d)
{
	for (uint32_t i = 0; i < d->n_guards; i++)
		sigbus_guard_remove(d->guard[i]);
	d->n_guards = 0;
	d->mem.n = 0;
}

/* All rings are detached. */
static void take_memory(struct vhost_dev *d)
{
	struct rte_vhost_memory *m = NULL;

	drop_memory(d);
	d->faulted = false;
	if (rte_vhost_get_mem_table(d->vid, &m) || !m)
		return;
	for (uint32_t i = 0; i < m->nregions && d->mem.n < GUEST_REGIONS_MAX; i++) {
		const struct rte_vhost_mem_region *r = &m->regions[i];

		d->mem.r[d->mem.n++] = (struct guest_region){
			r->guest_phys_addr, r->size, (uint8_t *)(uintptr_t)r->host_user_addr};
		d->guard[d->n_guards++] = sigbus_guard_add(r->mmap_addr, r->mmap_size, &d->faulted);
	}
	free(m);
}

/* ---- callbacks ---- */

/* The ring a request is about, or -1 for all, -2 for none. */
static int ring_of(const struct message *m)
{
	switch (m->request) {
	case SET_FEATURES:
	case RESET_OWNER:
	case SET_MEM_TABLE:
	case SET_LOG_BASE:
		return -1;
	case SET_VRING_NUM:
	case SET_VRING_ADDR:
	case SET_VRING_BASE:
	case GET_VRING_BASE:
		return m->payload.index < VRINGS_MAX ? (int)m->payload.index : -2;
	case SET_VRING_KICK:
	case SET_VRING_CALL:
		return (m->payload.u64 & 0xff) < VRINGS_MAX ? (int)(m->payload.u64 & 0xff) : -2;
	default:
		return -2;
	}
}

static enum rte_vhost_msg_result before_message(int vid, void *msg)
{
	struct vhost_dev *d = dev_of(vid);
	const struct message *m = msg;
	int ring = ring_of(m);

	if (!d || ring == -2)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	pthread_mutex_lock(&d->state);
	if (ring >= 0)
		detach(d, (uint16_t)ring, false);
	for (uint16_t i = 0; ring < 0 && i < VRINGS_MAX; i++)
		detach(d, i, false);
	if (m->request == SET_MEM_TABLE)
		drop_memory(d);
	pthread_mutex_unlock(&d->state);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static enum rte_vhost_msg_result after_message(int vid, void *msg)
{
	struct vhost_dev *d = dev_of(vid);
	const struct message *m = msg;

	if (!d)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	pthread_mutex_lock(&d->state);
	if (m->request == SET_MEM_TABLE)
		take_memory(d);
	if (m->request == SEND_RARP && !d->packed) {
		memcpy(d->rarp_mac, m->payload.mac, 6);
		__atomic_store_n(&d->rarp_pending, true, __ATOMIC_RELEASE);
	}
	if (m->request == SET_FEATURES && d->running) {
		rte_vhost_get_negotiated_features(vid, &d->features);
		publish(d);
	}
	sync_all(d);
	pthread_mutex_unlock(&d->state);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops extern_ops = {
	.pre_msg_handle = before_message,
	.post_msg_handle = after_message,
};

static int on_new_connection(int vid)
{
	char path[sizeof((struct vhost_dev *)0)->path];
	struct vhost_dev *d = NULL;

	if (rte_vhost_get_ifname(vid, path, sizeof path))
		return -1;
	pthread_mutex_lock(&list_lock);
	LIST_FOR_EACH (it, struct vhost_dev, node, &devices)
		if (!strcmp(it->path, path))
			d = it;
	pthread_mutex_unlock(&list_lock);
	/* One guest a socket. */
	if (!d || d->closing || __atomic_load_n(&d->vid, __ATOMIC_ACQUIRE) >= 0)
		return -1;
	if (rte_vhost_extern_callback_register(vid, &extern_ops, NULL))
		return -1;
	pthread_mutex_lock(&d->state);
	d->vid = vid;
	d->connects++;
	d->quarantined = d->faulted = false;
	d->rarp_pending = false;
	for (uint16_t i = 0; i < VRINGS_MAX; i++)
		d->q[i].enabled = false;
	pthread_mutex_unlock(&d->state);
	__atomic_store_n(&by_vid[vid], d, __ATOMIC_RELEASE);
	log_info("port %s: connected: %s", d->port->name, d->path);
	return 0;
}

static int on_new_device(int vid)
{
	struct vhost_dev *d = dev_of(vid);

	if (!d)
		return -1;
	pthread_mutex_lock(&d->state);
	rte_vhost_get_negotiated_features(vid, &d->features);
	d->packed = d->features & 1ull << VIRTIO_F_RING_PACKED;
	if (!d->mem.n)
		take_memory(d);
	d->running = true;
	d->quarantined = d->faulted; /* a driver that starts anew gets a new chance */
	int numa = rte_vhost_get_numa_node(vid);
	if (numa >= 0)
		__atomic_store_n(&d->port->numa_node, numa, __ATOMIC_RELAXED);
	sync_all(d);
	publish(d);
	pthread_mutex_unlock(&d->state);
	log_info("port %s: guest is up: features 0x%llx, %s rings", d->port->name,
		 (unsigned long long)d->features, d->packed ? "packed" : "split");
	return 0;
}

static void stop(struct vhost_dev *d)
{
	pthread_mutex_lock(&d->state);
	if (d->running) {
		for (uint16_t i = 0; i < VRINGS_MAX; i++)
			detach(d, i, true);
		d->running = false;
		publish(d);
		log_info("port %s: guest is down", d->port->name);
	}
	pthread_mutex_unlock(&d->state);
}

static void on_destroy_device(int vid)
{
	struct vhost_dev *d = dev_of(vid);

	if (d)
		stop(d);
}

static int on_vring_state(int vid, uint16_t index, int enable)
{
	struct vhost_dev *d = dev_of(vid);

	if (!d)
		return 0;
	if (index >= VRINGS_MAX) {
		LOG_LIMIT(log_warn, 5, "port %s: the guest has more than %d queue pairs",
			  d->port->name, QUEUES_MAX);
		return 0;
	}
	pthread_mutex_lock(&d->state);
	d->q[index].enabled = enable;
	if (!enable)
		detach(d, index, false);
	else if (!d->quarantined)
		attach(d, index);
	if (d->running)
		publish(d);
	pthread_mutex_unlock(&d->state);
	return 0;
}

/* The connection is over: forget the vid before rte_vhost gives it to another. */
static void forget(struct vhost_dev *d)
{
	int vid = d->vid;

	stop(d);
	pthread_mutex_lock(&d->state);
	drop_memory(d);
	d->features = 0;
	__atomic_store_n(&d->vid, -1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&d->state);
	if (vid >= 0)
		__atomic_store_n(&by_vid[vid], NULL, __ATOMIC_RELEASE);
}

static void on_destroy_connection(int vid)
{
	struct vhost_dev *d = dev_of(vid);

	if (!d)
		return;
	log_info("port %s: disconnected", d->port->name);
	forget(d);
	port_event_post(d->port, PORT_EVENT_STATUS);
	if (!d->client)
		return;
	pthread_mutex_lock(&list_lock);
	d->lost = true;
	pthread_cond_signal(&list_changed);
	pthread_mutex_unlock(&list_lock);
}

static const struct rte_vhost_device_ops ops = {
	.new_device = on_new_device,
	.destroy_device = on_destroy_device,
	.vring_state_changed = on_vring_state,
	.new_connection = on_new_connection,
	.destroy_connection = on_destroy_connection,
};

/* ---- connecting ---- */

static bool is_socket(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISSOCK(st.st_mode);
}

/* Under control. 0: registered, and for a client connected. */
static int register_dev(struct vhost_dev *d)
{
	uint64_t flags = RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS, protocol = 0;

	if (d->client)
		flags |= RTE_VHOST_USER_CLIENT | RTE_VHOST_USER_NO_RECONNECT;
	if (rte_vhost_driver_register(d->path, flags))
		return -EEXIST;
	/* No in-flight log (we complete in order), no IOMMU, no back-end requests. */
	rte_vhost_driver_get_protocol_features(d->path, &protocol);
	protocol &= 1ull << VHOST_USER_PROTOCOL_F_MQ | 1ull << VHOST_USER_PROTOCOL_F_LOG_SHMFD |
		    1ull << VHOST_USER_PROTOCOL_F_RARP | 1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK |
		    1ull << VHOST_USER_PROTOCOL_F_NET_MTU | 1ull << VHOST_USER_PROTOCOL_F_STATUS;
	if (rte_vhost_driver_disable_features(d->path, d->disabled_features) ||
	    rte_vhost_driver_set_protocol_features(d->path, protocol) ||
	    rte_vhost_driver_callback_register(d->path, &ops) || rte_vhost_driver_start(d->path)) {
		rte_vhost_driver_unregister(d->path);
		return -ECONNREFUSED;
	}
	d->registered = true;
	return 0;
}

static void unregister_dev(struct vhost_dev *d)
{
	if (!d->registered)
		return;
	rte_vhost_driver_unregister(d->path);
	d->registered = false;
	forget(d); /* a connection cut by unregistering has no destroy_connection */
}

/* One look at a client port; returns in how many ms to look again. */
static uint64_t look_after(struct vhost_dev *d, uint64_t now)
{
	uint64_t wait = RETRY_SLOW_MS;

	pthread_mutex_lock(&d->control);
	if (__atomic_exchange_n(&d->lost, false, __ATOMIC_ACQ_REL)) {
		unregister_dev(d);
		d->since_ms = now;
	}
	if (!d->registered && !d->closing) {
		if (!is_socket(d->path) || register_dev(d))
			wait = now - d->since_ms < FAST_FOR_MS ? RETRY_FAST_MS : RETRY_SLOW_MS;
	} else {
		wait = UINT64_MAX; /* until it is lost */
	}
	pthread_mutex_unlock(&d->control);
	return wait;
}

static struct vhost_dev *next_due(uint64_t now, uint64_t *wait_ms)
{
	*wait_ms = 10000;
	LIST_FOR_EACH (d, struct vhost_dev, node, &devices) {
		if (!d->client)
			continue;
		if (d->lost || d->retry_at_ms <= now)
			return d;
		*wait_ms = SL_MIN(*wait_ms, d->retry_at_ms - now);
	}
	return NULL;
}

static void *connect_loop(void *arg)
{
	pthread_setname_np(pthread_self(), "vhost-connect");
	pthread_mutex_lock(&list_lock);
	for (;;) {
		uint64_t now = clock_mono_ms(), wait;
		struct vhost_dev *d = next_due(now, &wait);

		if (!d) {
			struct timespec until;

			clock_gettime(CLOCK_MONOTONIC, &until);
			uint64_t ns = (uint64_t)until.tv_nsec + wait * 1000000;
			until.tv_sec += (time_t)(ns / 1000000000);
			until.tv_nsec = (long)(ns % 1000000000);
			pthread_cond_timedwait(&list_changed, &list_lock, &until);
			continue;
		}
		/* close() takes the device off the list and then waits for `busy`. */
		d->retry_at_ms = UINT64_MAX;
		d->busy = true;
		pthread_mutex_unlock(&list_lock);
		wait = look_after(d, now);
		pthread_mutex_lock(&list_lock);
		d->busy = false;
		d->retry_at_ms = wait == UINT64_MAX ? UINT64_MAX : now + wait;
		pthread_cond_broadcast(&list_changed);
	}
	return NULL;
}

static int start_connector(void)
{
	pthread_condattr_t attr;
	pthread_t t;

	if (connector_runs)
		return 0;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&list_changed, &attr);
	/* Its lines come for every attempt; ours say what changed. */
	rte_log_set_level_pattern("lib.vhost.config", RTE_LOG_CRIT);
	int ret = -pthread_create(&t, NULL, connect_loop, NULL);
	if (!ret) {
		pthread_detach(t);
		connector_runs = true;
	}
	return ret;
}

int vhost_dev_open(struct vhost_dev *d, struct err *e)
{
	int ret = start_connector();

	if (ret)
		return err_set(e, -ret, "port %s: vhost-connect: %s", d->port->name,
			       strerror(-ret));
	d->vid = -1;
	pthread_mutex_init(&d->control, NULL);
	pthread_mutex_init(&d->state, NULL);
	for (uint16_t i = 0; i < VRINGS_MAX; i++) {
		rte_spinlock_init(&d->q[i].lock);
		d->q[i].kickfd = d->q[i].epfd = -1;
	}
	d->since_ms = clock_mono_ms();
	d->port->tx_state = DROP_TX_NO_GUEST;
	pthread_mutex_lock(&list_lock);
	LIST_FOR_EACH (it, struct vhost_dev, node, &devices)
		if (!strcmp(it->path, d->path))
			ret = -EEXIST;
	if (!ret) {
		list_push_back(&devices, &d->node);
		pthread_cond_broadcast(&list_changed);
	}
	pthread_mutex_unlock(&list_lock);
	if (ret)
		return err_set(e, -ret, "port %s: socket %s is another port's", d->port->name,
			       d->path);
	if (d->client)
		return 0;
	if (is_socket(d->path))
		unlink(d->path); /* left by a process that was killed */
	ret = register_dev(d);
	if (ret) {
		vhost_dev_close(d);
		return err_set(e, -ret, "port %s: socket %s: cannot listen", d->port->name,
			       d->path);
	}
	return 0;
}

void vhost_dev_close(struct vhost_dev *d)
{
	pthread_mutex_lock(&list_lock);
	d->closing = true;
	while (d->busy)
		pthread_cond_wait(&list_changed, &list_lock);
	list_remove(&d->node);
	pthread_mutex_unlock(&list_lock);
	pthread_mutex_lock(&d->control);
	unregister_dev(d);
	pthread_mutex_unlock(&d->control);
	for (uint16_t i = 0; i < VRINGS_MAX; i++)
		if (d->q[i].epfd >= 0)
			close(d->q[i].epfd);
	pthread_mutex_destroy(&d->control);
	pthread_mutex_destroy(&d->state);
}
