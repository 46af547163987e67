/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve-host: tables and resolve on a pipe, for test_resolve_differential.py. A line in, a line
 * out: "bridge PORTS [PORT:TAG…]" starts anew, with access ports where tags are given; "flow TEXT";
 * "group ID TYPE BUCKET|BUCKET…" (0 all, 2 indirect); "packet PORT HEX" answers
 * "port flow;port flow…" sorted, or "vlan_stack"; "extract HEX" the flow of those bytes. */
#include "datapath/base/str.h"
#include "datapath/flow/extract.h"
#include "datapath/resolve/frozen.h"
#include "tests/unit/resolve/rules.h"

enum { LINE_BYTES = 1 << 17, RECIRC_ROUNDS = 8 };

static struct resolver *resolver;
static struct resolve_result result;
static struct bridge *bridge;

static void parse_hex(const char *hex, struct flow_key *k)
{
	static uint8_t data[LINE_BYTES / 2];
	struct flow_offsets ofs;
	uint32_t n = 0;

	for (; hex[0] && hex[1] && hex[0] != '\n'; hex += 2)
		data[n++] = (uint8_t)strtoul((char[]){hex[0], hex[1], '\0'}, NULL, 16);
	memset(k, 0, sizeof *k);
	flow_extract(data, n, n, k, &ofs);
}

static void format_key(const struct flow_key *k, struct str *out)
{
	struct flow f;

	memset(&f, 0, sizeof f);
	f.key = *k;
	f.key.in_port = 0;
	f.key.recirc_id = 0;
	flow_format(&f, NULL, out);
}

static void start_bridge(char *args)
{
	char *save = NULL, *word = strtok_r(args, " \n", &save);
	uint32_t n = (uint32_t)atoi(word), tags[64] = {0};

	bridge_destroy_all();
	for (unsigned i = 0; i < 3; i++)
		tables_run(test_now_ms);
	bridge = make_bridge("br0");
	while ((word = strtok_r(NULL, " \n", &save)))
		tags[atoi(word) % 64] = (uint32_t)atoi(strchr(word, ':') + 1);
	for (uint32_t i = 1; i <= n; i++) {
		if (tags[i % 64])
			add_access(bridge, i, (uint16_t)tags[i % 64]);
		else
			add_plain(bridge, i);
	}
	add_flow(bridge, "table=253,priority=0,actions=drop"); /* not an untouched bridge */
	add_flow(bridge, "table=0,priority=0,actions=drop");
}

static void put_group(char *args)
{
	const char *bucket[16];
	char *save = NULL;
	uint32_t id = (uint32_t)atoi(strtok_r(args, " ", &save));
	int type = atoi(strtok_r(NULL, " ", &save));
	unsigned n = 0;

	for (char *b; n < 16 && (b = strtok_r(NULL, "|\n", &save));)
		bucket[n++] = b;
	add_group(bridge, id, (enum group_type)type, n, bucket, NULL);
}

/* Outputs of one packet, with those of its rounds through frozen contexts. */
static void collect(const struct flow_key *k, struct run *all, unsigned rounds)
{
	static struct run runs[RECIRC_ROUNDS + 1];
	struct run *run = &runs[rounds];

	resolve_key(resolver, k, true, &result);
	if (result.drop != DROP_NONE)
		return;
	run_program(run, &result.prog, k);
	for (unsigned i = 0; i < run->n; i++) {
		struct flow_key again = run->out[i].key;

		if (run->out[i].port < 0x10000) {
			record(all, run->out[i].port, &run->out[i].key);
		} else if (run->out[i].port >= 0x20000 && rounds) {
			again.recirc_id = run->out[i].port - 0x20000;
			collect(&again, all, rounds - 1);
		}
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void send_packet(char *args)
{
	static struct run all;
	static char *lines[RUN_OUTPUTS_MAX];
	struct flow_key k;
	char *hex;
	uint32_t port = (uint32_t)strtoul(args, &hex, 10);

	parse_hex(hex + 1, &k);
	k.in_port = port;
	all.n = 0;
	collect(&k, &all, RECIRC_ROUNDS);
	tables_run(test_now_ms);
	if (result.drop == DROP_VLAN_STACK) {
		printf("vlan_stack\n");
		return;
	}
	for (unsigned i = 0; i < all.n; i++) {
		struct str s = STR_INIT;

		str_printf(&s, "%u ", all.out[i].port);
		format_key(&all.out[i].key, &s);
		lines[i] = str_steal(&s);
	}
	qsort(lines, all.n, sizeof lines[0], by_text);
	for (unsigned i = 0; i < all.n; i++) {
		printf("%s%s", i ? ";" : "", lines[i]);
		free(lines[i]);
	}
	printf("\n");
}

int main(void)
{
	static char line[LINE_BYTES];

	resolver = resolver_create(0);
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "bridge ", 7)) {
			start_bridge(line + 7);
			printf("ok\n");
		} else if (!strncmp(line, "flow ", 5)) {
			printf("%s\n",
			       try_flow(bridge, FLOW_MOD_ADD, line + 5, NULL) ? "refused" : "ok");
		} else if (!strncmp(line, "group ", 6)) {
			put_group(line + 6);
			printf("ok\n");
		} else if (!strncmp(line, "packet ", 7)) {
			send_packet(line + 7);
		} else if (!strncmp(line, "extract ", 8)) {
			struct str s = STR_INIT;
			struct flow_key k;

			parse_hex(line + 8, &k);
			format_key(&k, &s);
			printf("%s\n", str_cstr(&s));
			str_free(&s);
		}
		fflush(stdout);
	}
	return 0;
}
