/* SPDX-License-Identifier: BSD-3-Clause */
/* perf-packets: writes a packet set of the benchmarks to a capture file, for generators other than
 * net_bench and for looking at it with tshark. One thread. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/gen/packet_set.h"

static void usage(FILE *out)
{
	fprintf(out, "usage: perf-packets [options] SET FILE.pcap\n"
		     "  --flows N    packets in the set        --size N   bytes, without FCS\n"
		     "  --vlan N     802.1Q tag                --mark N   1-7, in the last bytes\n"
		     "  --macs N     source MAC addresses      --seed N   other flows\n"
		     "  --tcp --ipv6 --reverse\n"
		     "sets:\n");
	for (unsigned i = 0; i < PACKET_SET_N_KINDS; i++)
		fprintf(out, "  %-11s %s\n", packet_set_kind_name((enum packet_set_kind)i),
			packet_set_kind_doc((enum packet_set_kind)i));
}

static uint64_t number(const char *option, const char *text, uint64_t max)
{
	uint64_t v;
	if (!parse_u64(text, 0, max, &v)) {
		fprintf(stderr, "error: --%s: '%s' is not a number up to %llu\n", option, text,
			(unsigned long long)max);
		exit(2);
	}
	return v;
}

static struct packet_set_spec parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"flows", required_argument, NULL, 'f'},
		{"size", required_argument, NULL, 's'},
		{"vlan", required_argument, NULL, 'v'},
		{"mark", required_argument, NULL, 'm'},
		{"macs", required_argument, NULL, 'M'},
		{"seed", required_argument, NULL, 'S'},
		{"tcp", no_argument, NULL, 't'},
		{"ipv6", no_argument, NULL, '6'},
		{"reverse", no_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct packet_set_spec s = {0};
	int c;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'f')
			s.flows = (uint32_t)number("flows", optarg, PACKET_SET_MAX_FLOWS);
		else if (c == 's')
			s.size_bytes = (uint16_t)number("size", optarg, PACKET_SET_MAX_BYTES);
		else if (c == 'v')
			s.vlan = (uint16_t)number("vlan", optarg, 4094);
		else if (c == 'm')
			s.mark = (uint8_t)number("mark", optarg, PACKET_SET_MARKS - 1);
		else if (c == 'M')
			s.macs = (uint32_t)number("macs", optarg, PACKET_SET_MAX_FLOWS);
		else if (c == 'S')
			s.seed = (uint32_t)number("seed", optarg, UINT16_MAX);
		else if (c == 't')
			s.tcp = true;
		else if (c == '6')
			s.ipv6 = true;
		else if (c == 'r')
			s.reverse = true;
		else {
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	return s;
}

int main(int argc, char **argv)
{
	struct packet_set_spec spec = parse_options(argc, argv);
	if (argc - optind != 2) {
		usage(stderr);
		return 2;
	}
	struct err e = {0};
	struct packet_set set;
	if (packet_set_kind_from_name(argv[optind], &spec.kind)) {
		fprintf(stderr, "error: %s: no such set (see --help)\n", argv[optind]);
		return 2;
	}
	int ret = packet_set_build(&set, &spec, &e);
	if (ret == 0) {
		ret = packet_set_save(&set, argv[optind + 1], &e);
		packet_set_free(&set);
	}
	if (ret) {
		fprintf(stderr, "error: %s\n", e.text);
		return 1;
	}
	return 0;
}
