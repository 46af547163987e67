/* SPDX-License-Identifier: BSD-3-Clause */
/* A port: something packets come from and go to. Each type is one file, port_<type>.c, which fills
 * a struct port_class and has its row in port_classes.def.
 *
 * Threads: open, close, set and stats run on the device thread (they may block); rx_burst,
 * tx_burst, and the sleep calls run on poll threads; the rest of the datapath sees a port only
 * between a successful open and close, and close runs only after no poll thread can hold the port
 * any more.
 *
 * Offloads inside the switch (offload/offload.h): an mbuf's TX flags say what the packet still
 * needs (L4 checksum with the pseudo-header sum already in place, TCP segmentation with
 * l2/l3/l4_len and tso_segsz). A port's rx_burst sets them from the sender's virtio or vnet header,
 * after validating it with our own parser; tx_burst gets only what the port's `tx_offloads` allow,
 * software does the rest before. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/base/err.h"
#include "datapath/core/drop.h"
#include "datapath/core/limits.h"
#include "datapath/offload/offload.h"

struct port;

enum port_option_kind { OPT_STRING, OPT_INT, OPT_BOOL, OPT_PATH };
struct port_option_info {
	const char *name; /* as in the Interface table's options column */
	enum port_option_kind kind;
	int64_t min, max, def;
	bool live; /* changing it does not reopen the port */
	const char *doc;
};

struct port_config { /* main → device thread; owned by the caller, copied by open */
	char name[PORT_NAME_BYTES];
	const char *type;
	uint32_t mtu;   /* IP MTU; 0: the class's default (1500, or the device's) */
	uint16_t n_rxq; /* wanted; 0: default. vhost: the guest decides */
	uint16_t n_txq; /* poll threads + 1: each has its own, else the port says shared_txq */
	uint16_t n_rxq_desc, n_txq_desc;
	uint8_t mac[6]; /* all 0: the port's choice */
	bool admin_up;
	size_t n_options;
	const struct port_option {
		const char *key, *value;
	} * options;
};

enum port_link { PORT_LINK_DOWN, PORT_LINK_UP };

enum port_wake {                   /* what is known of rx_fd's descriptor */
		 PORT_WAKE_SURE,   /* our own, or none: readable when packets come, and only then */
		 PORT_WAKE_DRIVER, /* a DPDK driver's: given up when it wakes again and again for
				      nothing */
		 PORT_WAKE_INTERRUPT, /* a device's: slept on only once it has brought packets */
};

struct port_class {
	const char *type;
	const struct port_option_info *options; /* ends with name NULL */
	bool no_queues;                         /* patch: nothing to poll or send to */

	/* Any thread, may be NULL: what the option table cannot say (required options, names). */
	int (*check)(const struct port_config *c, struct err *e);
	/* Device thread. 0 or -errno with err set ("port p1: options:dpdk-devargs: …"). */
	int (*open)(struct port *p, const struct port_config *c, struct err *e);
	void (*close)(struct port *p);
	/* Applies what can change live (mtu, admin state, options with `live`). -EOPNOTSUPP: needs
	 * close + open. */
	int (*set)(struct port *p, const struct port_config *c, struct err *e);
	/* Fills link state, speed, MAC, ifindex, device error counters into p->status. */
	void (*refresh)(struct port *p);

	/* Poll thread. rx: 0..n packets, owned by the caller, who counts them (rx_pkts, rx_bytes);
	 * packets dropped on the way are counted by the class in counters_of(thread, p->id):
	 * rx_pkts, rx_bytes and the reason. tx: returns how many were taken; those belong to the
	 * device (what it then fails to send is in status.tx_errors, as with a NIC), the rest still
	 * to the caller. */
	uint16_t (*rx_burst)(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n);
	uint16_t (*tx_burst)(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n);
	/* Poll thread, may be NULL: end of a loop iteration in which tx_burst ran (kick
	 * coalescing). */
	void (*tx_flush)(struct port *p, uint16_t q);

	/* Sleeping. rx_fd: descriptor that becomes readable when packets arrive, or -1 (then the
	 * thread wakes by timer). It stays the same for the life of the port (vhost: an epoll
	 * instance behind which the guest's kick descriptors come and go), so it is added to the
	 * thread's epoll set once per placement, level triggered, and removed before port_close().
	 * arm: asks for a wake-up, false when packets are already there. disarm after; it also
	 * clears the descriptor's readiness where that is not what rx_burst does.
	 * poll_on_event: rx_burst is a system call; call it only when the fd said so (tap). */
	int (*rx_fd)(struct port *p, uint16_t q);
	bool (*rx_arm)(struct port *p, uint16_t q);
	void (*rx_disarm)(struct port *p, uint16_t q);
};

struct port_status { /* W: device thread under the port's status lock  R: main */
	enum port_link link;
	bool admin_up;
	uint8_t mac[6];
	uint32_t mtu;
	uint64_t link_speed_bps;
	uint32_t link_resets;
	int32_t ifindex;
	bool full_duplex;
	uint64_t rx_errors, tx_errors, rx_missed; /* device counters outside our own */
	char detail[256]; /* "key=value" pairs separated by spaces, for the status column */
};

struct port {
	/* Set before publication, then constant. */
	const struct port_class *class;
	uint32_t id;
	int numa_node;
	uint16_t n_txq;
	bool shared_txq; /* fewer tx queues than threads: q = thread % n_txq, class locks */
	bool poll_on_event;
	enum port_wake rx_wake;
	char name[PORT_NAME_BYTES];
	void *priv; /* the class's state */

	/* W: device thread or the class's callbacks (release)  R: poll threads (acquire/relaxed) */
	uint16_t n_rxq SL_CACHE_ALIGNED; /* may change while running (vhost); queues at or above it
					    return 0 packets */
	uint8_t tx_state; /* DROP_NONE, or the enum drop_reason for all packets sent to it now */
	uint8_t link;     /* enum port_link */
	uint32_t max_frame_bytes; /* L2 bytes without tags and FCS: mtu + 14; up to two tags are
				     allowed on top */
	uint32_t tx_offloads;     /* enum offload_tx: what tx_burst takes as it is */
	/* rx_burst threw packets away since the poll side last looked: an empty burst that cost
	 * time. W, R: poll threads (relaxed) */
	bool rx_discarded;
	uint32_t rxq_epoch; /* bumped when n_rxq changes: the poll side re-reads its placement */

	struct port_status status;
};

/* The ports that poll threads may use, by number. W: main (release), through poll_port_add/remove
 * R: any (acquire), under RCU. */
extern struct port *port_array[PORT_ID_MAX];
static inline struct port *port_by_id(uint32_t id)
{
	return id < PORT_ID_MAX ? __atomic_load_n(&port_array[id], __ATOMIC_ACQUIRE) : NULL;
}

/* Lifecycle, device thread. port_open validates type and options against the tables. */
int port_open(uint32_t id, const struct port_config *c, struct port **out, struct err *e);
int port_set(struct port *p, const struct port_config *c, struct err *e);
void port_close(struct port *p);
/* Any thread: the class of a type name, NULL when unknown ("" and "system" are kernel netdevs). */
const struct port_class *port_class_find(const char *type);
/* Not NULL: the class of all types that have queues. Only for replay, set before any port opens. */
extern const struct port_class *port_class_for_all;
/* Checks type and options only. Any thread. */
int port_config_check(const struct port_config *c, struct err *e);

/* Options of a configuration, as text; NULL, or the default of the class's table, when absent. They
 * have passed port_config_check(). */
const char *port_option(const struct port_config *c, const char *key);
int64_t port_option_int(const struct port_class *class, const struct port_config *c,
			const char *key);
bool port_option_bool(const struct port_class *class, const struct port_config *c, const char *key);

/* Type "dummy": frames in and out by hand; any thread but a poll thread.
 * receive: 0, -ENODEV when p is no dummy, -ENOBUFS without buffers or when 1,024 frames wait.
 * take: the oldest frame sent to the port, copied into buf; its length (the rest is cut), 0 when
 * there is none. The last 1,024 are kept. */
int dummy_port_receive(struct port *p, const void *frame, uint32_t len);
uint32_t dummy_port_take(struct port *p, void *buf, uint32_t size);

/* Where dpdkvhostuser ports make their sockets. The server sets it before ports open; NULL:
 * /run/sluice. */
extern const char *port_rundir;

/* Asynchronous news from a class (vhost connect, queue enable, link): called on any non-poll
 * thread; the server installs the sink before ports open. */
enum port_event { PORT_EVENT_LINK, PORT_EVENT_QUEUES, PORT_EVENT_STATUS, PORT_EVENT_REMOVED };
extern void (*port_event_sink)(struct port *p, enum port_event ev);
void port_event_post(struct port *p, enum port_event ev); /* classes: to the sink, if any */
