/* SPDX-License-Identifier: BSD-3-Clause */
/* Random filters over random packets decide as libpcap's interpreter does: ours, and the masked
 * compares before it. And those do decide: packets of usual filters never get to the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pcap/pcap.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/observe/bpf_filter.h"

enum { PACKET_MAX = 160, ROUNDS = 1500, PACKETS = 120 };

static unsigned upto(unsigned n)
{
	return (unsigned)random() % n;
}

/* ---- random filters ---- */

static const char *const simple[] = {
	"tcp",
	"udp",
	"icmp",
	"arp",
	"ip",
	"ip6",
	"ip6 and tcp",
	"host 10.0.0.5",
	"src host 10.0.0.6",
	"dst net 10.0.0.0/30",
	"net 10.0.0.0/24",
	"ip6 host fd00::5",
	"port 80",
	"tcp port 80",
	"udp dst port 53",
	"src port 443",
	"portrange 80-90",
	"ether host 02:00:00:00:00:05",
	"ether multicast",
	"ether broadcast",
	"ether proto 0x88cc",
	"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
	"ip[2:2] > 60",
	"ip[8] = 64",
	"ip[6] & 0x20 != 0",
	"ip[0] & 0xf != 5",
	"tcp[12] >> 4 > 5",
	"ip6[6] = 17",
	"less 100",
	"greater 90",
	"ip broadcast",
	"ip proto 132",
	"ether[0] & 1 = 0",
	"ether[100] = 7",
	"len - ip[2:2] > 14",
	"1 = 2",
	"vlan 10",
};

static void put_expression(struct str *out, unsigned depth)
{
	if (!depth || !upto(4)) {
		str_printf(out, "%s%s", upto(5) ? "" : "not ", simple[upto(SL_ARRAY_SIZE(simple))]);
		return;
	}
	str_puts(out, upto(6) ? "(" : "not (");
	put_expression(out, depth - 1);
	str_puts(out, upto(2) ? ") and (" : ") or (");
	put_expression(out, depth - 1);
	str_puts(out, ")");
}

static struct bpf_filter *filter_of(const char *text, bool optimize, struct bpf_program *prog)
{
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 65535);
	struct bpf_filter *f = NULL;
	struct err e = {0};

	if (pcap_compile(dead, prog, text, optimize, PCAP_NETMASK_UNKNOWN)) {
		pcap_close(dead);
		return NULL;
	}
	pcap_close(dead);
	if (bpf_filter_create(prog->bf_insns, prog->bf_len * sizeof *prog->bf_insns, &f, &e))
		pcap_freecode(prog);
	return f;
}

/* ---- random packets, near to what the filters ask for ---- */

static uint16_t any_port(void)
{
	static const uint16_t ports[] = {80, 85, 443, 53, 1234};

	return ports[upto(SL_ARRAY_SIZE(ports))];
}

static uint8_t *put_ip(uint8_t *p, bool v6)
{
	static const uint8_t protocols[] = {6, 17, 6, 17, 1, 132, 44, 58};
	uint8_t proto = protocols[upto(SL_ARRAY_SIZE(protocols))];
	unsigned ihl = upto(4) ? 5 : upto(16);
	uint8_t *l4;

	if (v6) {
		p[0] = 0x60;
		p[1] = (uint8_t)(upto(3) ? 0 : 0x55);
		p[6] = proto;
		p[8] = p[24] = 0xfd;
		p[23] = (uint8_t)(4 + upto(3));
		p[39] = (uint8_t)(4 + upto(3));
		l4 = p + 40;
	} else {
		p[0] = (uint8_t)(0x40 | ihl);
		p[3] = (uint8_t)random();
		p[6] = (uint8_t)(upto(4) ? 0 : upto(2) ? 0x20 : 0x01);
		p[8] = (uint8_t)(upto(2) ? 64 : 63);
		p[9] = proto;
		p[12] = p[16] = 10;
		p[15] = (uint8_t)(4 + upto(3));
		p[19] = (uint8_t)(4 + upto(3));
		l4 = p + 4 * ihl;
	}
	uint16_t sport = any_port(), dport = any_port();
	l4[0] = (uint8_t)(sport >> 8);
	l4[1] = (uint8_t)sport;
	l4[2] = (uint8_t)(dport >> 8);
	l4[3] = (uint8_t)dport;
	l4[12] = (uint8_t)(upto(2) ? 0x50 : 0x80);
	l4[13] = (uint8_t)(upto(2) ? 0x10 : 0x02);
	return l4 + 20;
}

static uint16_t make_packet(uint8_t *data)
{
	static const uint16_t types[] = {0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd,
					 0x0806, 0x88cc, 0x8035, 0x05dc};
	uint16_t type = types[upto(SL_ARRAY_SIZE(types))];
	uint8_t *p = data + 12;

	for (unsigned i = 0; i < PACKET_MAX; i++)
		data[i] = (uint8_t)(upto(3) ? 0 : random());
	memset(data, 0, 12);
	data[0] = (uint8_t)(upto(4) ? 2 : 0xff);
	data[6] = 2;
	data[5] = (uint8_t)(4 + upto(3));
	data[11] = (uint8_t)(4 + upto(3));
	for (unsigned tags = upto(4) ? 0 : 1 + upto(2); tags; tags--, p += 4) {
		p[0] = 0x81;
		p[1] = 0;
		p[2] = 0;
		p[3] = (uint8_t)(upto(2) ? 10 : random());
	}
	p[0] = (uint8_t)(type >> 8);
	p[1] = (uint8_t)type;
	p += 2;
	if (type == 0x0800 || type == 0x86dd)
		p = put_ip(p, type == 0x86dd);
	else
		p += 46;
	switch (upto(4)) {
	case 0:
		return (uint16_t)upto(PACKET_MAX);
	case 1:
		return (uint16_t)SL_MIN(p - data, PACKET_MAX);
	}
	return PACKET_MAX;
}

static struct rte_mbuf buffer(uint8_t *data, uint16_t n)
{
	struct rte_mbuf m;

	memset(&m, 0, sizeof m);
	m.buf_addr = data;
	m.data_len = n;
	m.pkt_len = n;
	m.nb_segs = 1;
	return m;
}

/* ---- tests ---- */

static void decides_as_libpcap_does(void **state)
{
	unsigned ran = 0, decided = 0, kept = 0;

	srandom(11);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct bpf_program prog;
		struct str text = STR_INIT;

		put_expression(&text, 3);
		struct bpf_filter *f = filter_of(str_cstr(&text), upto(4) != 0, &prog);
		if (!f) { /* not all combinations make sense */
			str_free(&text);
			continue;
		}
		ran++;
		for (unsigned i = 0; i < PACKETS; i++) {
			uint8_t data[PACKET_MAX], *exact;
			uint16_t n = make_packet(data), cut = n && !upto(4) ? (uint16_t)upto(n) : n;

			/* On the heap, as long as it is: the sanitizers watch. */
			exact = malloc(n ? n : 1);
			memcpy(exact, data, n);
			struct rte_mbuf m = buffer(exact, n), rest = buffer(exact, n);
			bool want = bpf_filter(prog.bf_insns, exact, n, n) != 0;
			if (cut < n) {
				uint8_t *first = malloc(cut ? cut : 1);

				memcpy(first, exact, cut);
				m = buffer(first, cut);
				m.pkt_len = n;
				m.nb_segs = 2;
				m.next = &rest;
				rest.buf_addr = exact + cut;
				rest.data_len = (uint16_t)(n - cut);
			}
			struct rte_mbuf *burst[] = {&m};

			if (bpf_filter_matches(f, &m) != want || bpf_filter_run(f, &m) != want ||
			    bpf_filter_burst(f, burst, 1) != want)
				fail_msg("%s: packet of %u bytes (%u in the first buffer): not %d",
					 str_cstr(&text), n, cut, want);
			decided += bpf_quick(&f->quick, &m) != QUICK_ASK;
			kept += want;
			if (cut < n)
				free(m.buf_addr);
			free(exact);
		}
		bpf_filter_destroy(f);
		pcap_freecode(&prog);
		str_free(&text);
	}
	assert_true(ran > ROUNDS / 2);
	assert_true(kept > ran * PACKETS / 20 && decided > ran * PACKETS / 4);
}

static void bursts_are_decided_packet_by_packet(void **state)
{
	static uint8_t data[BPF_FILTER_BURST_MAX][PACKET_MAX];
	struct rte_mbuf m[BPF_FILTER_BURST_MAX], *burst[BPF_FILTER_BURST_MAX];
	unsigned kept = 0;

	srandom(13);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned n = upto(3) ? 1 + upto(BPF_FILTER_BURST_MAX) : BPF_FILTER_BURST_MAX;
		const char *text = simple[upto(SL_ARRAY_SIZE(simple))];
		struct bpf_program prog;
		struct bpf_filter *f = filter_of(text, true, &prog);

		if (!f) /* `ip broadcast` wants a netmask */
			continue;
		for (unsigned i = 0; i < n; i++) {
			m[i] = buffer(data[i], make_packet(data[i]));
			burst[i] = &m[i];
		}
		uint64_t got = bpf_filter_burst(f, burst, n);
		for (unsigned i = 0; i < n; i++) {
			if ((got >> i & 1) != bpf_filter_run(f, &m[i]))
				fail_msg("%s: packet %u of %u: %u", text, i, n,
					 (unsigned)(got >> i & 1));
			kept += got >> i & 1;
		}
		assert_true(n == 64 || !(got >> n));
		bpf_filter_destroy(f);
		pcap_freecode(&prog);
	}
	assert_true(kept > ROUNDS);
}

/* Programs that no compiler makes. */
static void random_programs(void **state)
{
	static const uint16_t codes[] = {32, 40, 48, 64, 72, 80, 177, 0,  1,   128, 129,
					 84, 84, 84, 4,  96, 97, 2,   3,  100, 7,   135,
					 5,  21, 21, 21, 37, 53, 69,  69, 29,  6,   22};
	unsigned ran = 0, decided = 0;

	srandom(12);
	for (unsigned round = 0; round < 20000; round++) {
		struct bpf_insn_wire p[14];
		size_t n = 2 + (size_t)upto(SL_ARRAY_SIZE(p) - 1);
		uint8_t data[PACKET_MAX];
		struct bpf_filter *f;
		struct err e = {0};

		for (size_t i = 0; i < n; i++)
			p[i] = (struct bpf_insn_wire){
				.code = codes[upto(SL_ARRAY_SIZE(codes))],
				.jt = (uint8_t)upto(3),
				.jf = (uint8_t)upto(3),
				.k = upto(3) ? upto(60) : (uint32_t)random(),
			};
		bool loads_mem = false; /* libpcap's is not cleared */
		for (size_t i = 0; i < n; i++)
			loads_mem |= p[i].code == 96 || p[i].code == 97;
		p[n - 1] = (struct bpf_insn_wire){6, 0, 0, 1};
		p[n - 2] = (struct bpf_insn_wire){6, 0, 0, 0};
		if (bpf_filter_create(p, n * sizeof *p, &f, &e))
			continue;
		ran++;
		for (unsigned i = 0; i < 20; i++) {
			struct rte_mbuf m = buffer(data, make_packet(data));

			bool want = loads_mem ? bpf_filter_run(f, &m)
					      : bpf_filter((const struct bpf_insn *)(const void *)p,
							   data, m.pkt_len, m.pkt_len) != 0;

			decided += bpf_quick(&f->quick, &m) != QUICK_ASK;
			assert_int_equal(bpf_filter_matches(f, &m), want);
			assert_int_equal(bpf_filter_run(f, &m), want);
		}
		bpf_filter_destroy(f);
	}
	assert_true(ran > 100 && decided > 100);
}

/* TCP over IPv4, 10.0.0.1:1000 to 10.0.0.2:1001 */
static struct rte_mbuf tcp_packet(uint8_t data[60])
{
	static const uint8_t bytes[60] = {
		[0] = 2,     [6] = 2,  [12] = 8,    [14] = 0x45, [23] = 6,
		[26] = 10,   [29] = 1, [30] = 10,   [33] = 2,    [34] = 3,
		[35] = 0xe8, [36] = 3, [37] = 0xe9, [46] = 0x50, [47] = 0x10,
	};

	memcpy(data, bytes, sizeof bytes);
	return buffer(data, sizeof bytes);
}

/* What people ask for does not reach the program when a packet differs in what counts. */
static void usual_filters_need_no_program(void **state)
{
	static const char *const filters[] = {
		"host 192.0.2.77",
		"host 192.0.2.77 and tcp",
		"tcp port 8080",
		"port 8080",
		"udp port 8080",
		"host 192.0.2.77 and tcp port 22",
		"src 192.0.2.77 and dst 192.0.2.78",
		"net 192.0.2.0/24 and icmp",
		"arp",
		"ip6 host fd00::77",
		"ether host 02:00:00:00:00:77",
		"vlan 77 and host 192.0.2.77",
		"host 192.0.2.77 and (port 1 or port 2 or port 3 or port 4 or port 5)",
		"tcp[tcpflags] & tcp-syn != 0 and port 8080",
		"not (tcp or udp)",
		"ip proto 89",
	};
	uint8_t data[60];
	struct rte_mbuf m = tcp_packet(data);

	for (size_t i = 0; i < SL_ARRAY_SIZE(filters); i++) {
		struct bpf_program prog;
		struct bpf_filter *f = filter_of(filters[i], true, &prog);

		assert_non_null(f);
		if (bpf_quick(&f->quick, &m) != QUICK_DROP)
			fail_msg("%s: a packet that has nothing of it gets to the program",
				 filters[i]);
		bpf_filter_destroy(f);
		pcap_freecode(&prog);
	}
}

/* Nor do packets that they keep. */
static void usual_filters_keep_quickly(void **state)
{
	static const char *const filters[] = {
		"tcp",
		"ip",
		"host 10.0.0.1",
		"tcp port 1000",
		"src 10.0.0.1 and dst port 1001",
		"ether src 02:00:00:00:00:00",
		"not udp",
	};
	uint8_t data[60];
	struct rte_mbuf m = tcp_packet(data);

	for (size_t i = 0; i < SL_ARRAY_SIZE(filters); i++) {
		struct bpf_program prog;
		struct bpf_filter *f = filter_of(filters[i], true, &prog);

		assert_non_null(f);
		if (bpf_quick(&f->quick, &m) != QUICK_KEEP)
			fail_msg("%s: a packet that it asks for gets to the program", filters[i]);
		bpf_filter_destroy(f);
		pcap_freecode(&prog);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides_as_libpcap_does),
		cmocka_unit_test(bursts_are_decided_packet_by_packet),
		cmocka_unit_test(random_programs),
		cmocka_unit_test(usual_filters_need_no_program),
		cmocka_unit_test(usual_filters_keep_quickly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
