/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs port classes without a switch: opens ports given as NAME,TYPE[,key=value…], forwards between
 * the first and the second, the third and the fourth, and so on, with offload_fixup() in between as
 * the datapath's output does. For tests and measurements of datapath/port.
 *
 *	port-host [--eal "ARGS"] [--mbufs N] [--sleep | --spin] PORT…
 *	   keys: mtu, n_rxq, n_rxq_desc, mac; everything else is an option of the class
 * Standard input takes lines: stats | set NAME key=value… | close NAME | open PORT | hold | release
 *| quit. Each is answered by one line of JSON. hold: the poll thread takes all buffers there are.
*/
#include <errno.h>
#include <pthread.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_lcore.h>

#include "datapath/base/clock.h"
#include "datapath/core/counters.h"
#include "datapath/core/pool.h"
#include "datapath/core/rcu.h"
#include "datapath/core/thread.h"
#include "datapath/port/port.h"

enum { PORTS = 32, OPTIONS = 16, IDLE_BEFORE_SLEEP = 1000, MBUFS_MAX = 65536 };

struct slot {
	struct port *p; /* W: main (release)  R: poll thread */
	char spec[512];
	struct port_config c;
	struct port_option options[OPTIONS];
};

static struct slot slots[PORTS];
static unsigned n_slots;
static bool stop, may_sleep, spin;
static bool hold, held;                            /* W: main, poll thread  R: both, atomic */
static uint64_t loops, sleeps, woken, cycles_busy; /* W: poll thread; woken: by a port */
static uint64_t
	best_burst; /* TSC cycles of the fastest full burst: says something on a busy machine */

static int parse(struct slot *s, const char *text, struct err *e)
{
	char *save, *word;

	memset(s, 0, sizeof *s);
	snprintf(s->spec, sizeof s->spec, "%s", text);
	s->c.admin_up = true;
	s->c.n_txq = 2;
	s->c.options = s->options;
	word = strtok_r(s->spec, ",", &save);
	if (!word)
		return err_set(e, EINVAL, "no name");
	snprintf(s->c.name, sizeof s->c.name, "%s", word);
	s->c.type = strtok_r(NULL, ",", &save);
	if (!s->c.type)
		return err_set(e, EINVAL, "no type");
	while ((word = strtok_r(NULL, ",", &save))) {
		char *value = strchr(word, '=');

		if (!value || s->c.n_options == OPTIONS)
			return err_set(e, EINVAL, "%s: key=value expected", word);
		*value++ = '\0';
		if (!strcmp(word, "mtu"))
			s->c.mtu = (uint32_t)atoi(value);
		else if (!strcmp(word, "n_rxq"))
			s->c.n_rxq = (uint16_t)atoi(value);
		else if (!strcmp(word, "n_rxq_desc"))
			s->c.n_rxq_desc = (uint16_t)atoi(value);
		else if (!strcmp(word, "mac"))
			sscanf(value, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &s->c.mac[0], &s->c.mac[1],
			       &s->c.mac[2], &s->c.mac[3], &s->c.mac[4], &s->c.mac[5]);
		else
			s->options[s->c.n_options++] = (struct port_option){word, value};
	}
	/* devargs contain commas: written with ';' here */
	for (size_t i = 0; i < s->c.n_options; i++)
		for (char *k = (char *)s->options[i].value; *k; k++)
			if (*k == ';')
				*k = ',';
	return 0;
}

struct output {
	struct port *in, *out;
};

static void drop(void *aux, struct rte_mbuf *m, enum drop_reason why)
{
	struct output *o = aux;
	struct port_counters *c = counters_of(sl_thread_idx, o->out->id);

	counter_add(&c->drop[why], 1);
	rte_pktmbuf_free(m);
}

static void emit(void *aux, struct rte_mbuf **pkts, unsigned n)
{
	struct output *o = aux;
	struct port_counters *c = counters_of(sl_thread_idx, o->out->id);
	uint64_t bytes[BURST_MAX], sum = 0;

	for (unsigned i = 0; i < n; i++)
		bytes[i] = pkts[i]->pkt_len;
	uint16_t sent = o->out->class->tx_burst(o->out, 0, pkts, (uint16_t)n);
	for (unsigned i = 0; i < sent; i++)
		sum += bytes[i];
	counter_add(&c->tx_pkts, sent);
	counter_add(&c->tx_bytes, sum);
	counter_add(&counters_of(sl_thread_idx, o->in->id)->sent, sent);
	if (sent < n) {
		counter_add(&c->drop[DROP_TX_QUEUE_FULL], n - sent);
		rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	}
}

static void segmented(void *aux, const struct rte_mbuf *m, unsigned n)
{
	struct output *o = aux;

	counter_add(&counters_of(sl_thread_idx, o->in->id)->created, n - 1);
}

static unsigned move(struct port *in, struct port *out, uint16_t q)
{
	struct rte_mbuf *pkts[BURST_MAX];
	struct output o = {in, out};
	const struct offload_sink sink = {emit, drop, segmented, &o};
	uint16_t n = in->class->rx_burst(in, q, pkts, BURST_MAX);
	struct port_counters *c = counters_of(sl_thread_idx, in->id);
	uint64_t bytes;

	if (!n)
		return 0;
	bool work = offload_burst_needs_work(pkts, n, out ? out->max_frame_bytes : 0, &bytes);
	counter_add(&c->rx_pkts, n);
	counter_add(&c->rx_bytes, bytes);
	if (!out || out->tx_state != DROP_NONE) {
		counter_add(&c->drop[out ? out->tx_state : DROP_NO_ACTIONS], n);
		rte_pktmbuf_free_bulk(pkts, n);
	} else if (work) {
		offload_fixup(pkts, n, out->tx_offloads, out->max_frame_bytes, &sink);
	} else {
		emit(&o, pkts, n);
	}
	return n;
}

/* Takes all buffers that are free, and gives them back when it is enough. */
static void hold_buffers(void)
{
	static struct rte_mbuf *kept[MBUFS_MAX];
	static unsigned n;
	bool want = __atomic_load_n(&hold, __ATOMIC_ACQUIRE);

	while (want && n < MBUFS_MAX && (kept[n] = rte_pktmbuf_alloc(pool_get(0))))
		n++;
	while (!want && n)
		rte_pktmbuf_free(kept[--n]);
	__atomic_store_n(&held, want, __ATOMIC_RELEASE);
}

static void go_to_sleep(int ep)
{
	bool armed = true;
	struct epoll_event evs[8];

	for (unsigned i = 0; i < n_slots; i++) {
		struct port *p = __atomic_load_n(&slots[i].p, __ATOMIC_ACQUIRE);

		for (uint16_t q = 0; p && q < p->n_rxq; q++) {
			int fd = p->class->rx_fd(p, q);
			struct epoll_event ev = {.events = EPOLLIN};

			if (fd >= 0)
				epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev); /* EEXIST: fine */
			armed &= p->class->rx_arm(p, q);
		}
	}
	if (armed) {
		sleeps++;
		rcu_thread_offline(sl_thread_idx);
		woken += epoll_wait(ep, evs, 8, 20) > 0;
		rcu_thread_online(sl_thread_idx);
	}
	for (unsigned i = 0; i < n_slots; i++) {
		struct port *p = __atomic_load_n(&slots[i].p, __ATOMIC_ACQUIRE);

		for (uint16_t q = 0; p && q < p->n_rxq; q++)
			p->class->rx_disarm(p, q);
	}
}

static void *poll_loop(void *arg)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	unsigned idle = 0;

	sl_thread_idx = 0;
	rte_thread_register();
	rcu_thread_online(0);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		unsigned n = 0;

		for (unsigned i = 0; i < n_slots; i++) {
			struct port *p = __atomic_load_n(&slots[i].p, __ATOMIC_ACQUIRE);
			struct port *to = __atomic_load_n(&slots[i ^ 1].p, __ATOMIC_ACQUIRE);
			uint64_t start = rte_rdtsc();
			unsigned k = 0;

			if (!p || p->class->no_queues)
				continue;
			for (uint16_t q = 0; q < __atomic_load_n(&p->n_rxq, __ATOMIC_ACQUIRE); q++)
				k += move(p, to, q);
			if (k && to && to->class->tx_flush)
				to->class->tx_flush(to, 0);
			uint64_t cycles = rte_rdtsc() - start;
			if (k)
				cycles_busy += cycles;
			if (k == BURST_MAX && (!best_burst || cycles < best_burst))
				best_burst = cycles;
			n += k;
		}
		loops++;
		if (__atomic_load_n(&hold, __ATOMIC_ACQUIRE) || held)
			hold_buffers();
		idle = n ? 0 : idle + 1;
		rcu_quiescent(0);
		if (may_sleep && idle > IDLE_BEFORE_SLEEP) {
			go_to_sleep(ep);
			idle = 0;
		} else if (!n && !may_sleep && !spin) {
			usleep(20); /* the machine is shared */
		}
	}
	rcu_thread_offline(0);
	rte_thread_unregister();
	return NULL;
}

static void print_stats(void)
{
	unsigned in_use, total;

	pool_usage(&in_use, &total);
	printf("{\"mbufs_in_use\": %u, \"loops\": %lu, \"sleeps\": %lu, \"woken\": %lu, "
	       "\"cycles\": %lu, "
	       "\"best_burst_cycles\": %lu, \"ports\": {",
	       in_use, loops, sleeps, woken, cycles_busy, best_burst);
	for (unsigned i = 0, first = 1; i < n_slots; i++) {
		struct port *p = slots[i].p;
		struct port_counters c;

		if (!p)
			continue;
		p->class->refresh(p);
		counters_sum(p->id, &c);
		printf("%s\"%s\": {\"n_rxq\": %u, \"link\": %u, \"mtu\": %u, \"offloads\": %u, "
		       "\"tx_state\": \"%s\", \"rx\": %lu, \"rx_bytes\": %lu, \"tx\": %lu, "
		       "\"tx_bytes\": %lu, \"created\": %lu, \"sent\": %lu, \"rx_missed\": %lu, "
		       "\"tx_errors\": %lu, \"detail\": \"%s\", \"drops\": {",
		       first ? "" : ", ", p->name, p->n_rxq, p->link, p->status.mtu, p->tx_offloads,
		       drop_infos[p->tx_state].name, c.rx_pkts, c.rx_bytes, c.tx_pkts, c.tx_bytes,
		       c.created, c.sent, p->status.rx_missed, p->status.tx_errors,
		       p->status.detail);
		first = 0;
		for (unsigned d = 0, any = 0; d < DROP_N; d++)
			if (c.drop[d])
				printf("%s\"%s\": %lu", any++ ? ", " : "", drop_infos[d].name,
				       c.drop[d]);
		printf("}}");
	}
	printf("}}\n");
}

static int open_slot(unsigned i, const char *text)
{
	struct err e = {0};
	struct port *p = NULL;
	int ret = parse(&slots[i], text, &e);

	if (!ret)
		ret = counters_port_create(i + 1);
	if (!ret)
		ret = port_open(i + 1, &slots[i].c, &p, &e);
	if (ret) {
		printf("{\"error\": \"%s\"}\n", e.text);
		return ret;
	}
	__atomic_store_n(&slots[i].p, p, __ATOMIC_RELEASE);
	n_slots = SL_MAX(n_slots, i + 1);
	return 0;
}

static void close_slot(unsigned i)
{
	struct port *p = slots[i].p;

	__atomic_store_n(&slots[i].p, NULL, __ATOMIC_RELEASE);
	rcu_synchronize();
	port_close(p);
	counters_port_destroy(i + 1);
}

static int slot_of(const char *name)
{
	for (unsigned i = 0; i < n_slots; i++)
		if (slots[i].p && !strcmp(slots[i].p->name, name))
			return (int)i;
	return -1;
}

static bool command(char *line)
{
	char *save, *word = strtok_r(line, " \n", &save), *arg = strtok_r(NULL, " \n", &save);
	int i;

	if (!word || !strcmp(word, "quit"))
		return false;
	if (!strcmp(word, "stats")) {
		print_stats();
	} else if (!strcmp(word, "close") && arg && (i = slot_of(arg)) >= 0) {
		close_slot((unsigned)i);
		printf("{}\n");
	} else if (!strcmp(word, "open") && arg) {
		for (i = 0; slots[i].p; i++)
			;
		if (!open_slot((unsigned)i, arg))
			printf("{}\n");
	} else if (!strcmp(word, "hold") || !strcmp(word, "release")) {
		__atomic_store_n(&hold, word[0] == 'h', __ATOMIC_RELEASE);
		while (__atomic_load_n(&held, __ATOMIC_ACQUIRE) != (word[0] == 'h'))
			usleep(100);
		printf("{}\n");
	} else if (!strcmp(word, "set") && arg) { /* the whole port description again */
		struct slot s;
		struct err e = {0};

		parse(&s, arg, &e);
		i = slot_of(s.c.name);
		int ret = i < 0 ? -ENODEV : port_set(slots[i].p, &s.c, &e);
		printf("{\"ret\": %d, \"error\": \"%s\"}\n", ret, e.text);
	} else {
		printf("{\"error\": \"what?\"}\n");
	}
	fflush(stdout);
	return true;
}

static int start_eal(const char *args)
{
	static char text[1024];
	char *argv[64] = {"port-host", "-l", "0", "--log-level=4"}, *save;
	int argc = 4;

	snprintf(text, sizeof text, "%s", args);
	for (char *w = strtok_r(text, " ", &save); w && argc < 63; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	return rte_eal_init(argc, argv);
}

int main(int argc, char **argv)
{
	const char *eal = "--no-huge -m 256 --no-pci --no-shconf --no-telemetry";
	unsigned mbufs = 16384, n = 0;
	struct err e = {0};
	pthread_t thread;
	char line[1024];
	int i = 1;

	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--eal") && i + 1 < argc)
			eal = argv[++i];
		else if (!strcmp(argv[i], "--mbufs") && i + 1 < argc)
			mbufs = (unsigned)atoi(argv[++i]);
		else if (!strcmp(argv[i], "--sleep"))
			may_sleep = true;
		else if (!strcmp(argv[i], "--spin"))
			spin = true;
	}
	if (start_eal(eal) < 0 || pool_init(mbufs, &e)) {
		fprintf(stderr, "port-host: EAL: %s\n", e.text);
		return 2;
	}
	port_rundir = getenv("SLUICE_RUNDIR");
	rcu_init();
	if (counters_thread_create(0) || counters_thread_create(THREAD_MAIN))
		return 2;
	for (; i < argc && n < PORTS; i++)
		if (open_slot(n++, argv[i]))
			return 1;
	if (pthread_create(&thread, NULL, poll_loop, NULL))
		return 2;
	printf("{\"ready\": true}\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) && command(line))
		;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	for (unsigned k = 0; k < n_slots; k++)
		if (slots[k].p)
			close_slot(k);
	unsigned in_use, total;
	pool_usage(&in_use, &total);
	printf("{\"mbufs_in_use\": %u}\n", in_use);
	fflush(stdout);
	rte_eal_cleanup();
	return 0;
}
