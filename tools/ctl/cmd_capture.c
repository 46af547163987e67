/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice capture: packets of any port type, with what became of each: as lines, or as pcapng. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl/bpf.h"
#include "tools/ctl/command.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/live.h"
#include "tools/ctl/packet_text.h"
#include "tools/ctl/pcapng.h"

enum { IN = 1, OUT = 2, DROPS = 4, SNAPLEN_MAX = 65535 };

struct capture {
	const struct command_call *c;
	struct pcapng_options o;
	struct pcapng *file; /* NULL: lines */
	struct str text;
	uint64_t n;
};

/* ---- options ---- */

/* "10", "10k", "10M", "1G" */
static bool parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "kMG";
	size_t n = strlen(text);
	const char *unit = n ? strchr(units, text[n - 1]) : NULL;
	char *digits = xstrndup(text, n - (unit != NULL));
	bool good = n && parse_u64(digits, 10, UINT32_MAX, out) && *out;
	free(digits);
	for (const char *u = units; good && unit && u <= unit; u++)
		*out *= 1024;
	return good;
}

static int number(const struct command_call *c, const char *option, uint64_t max, uint64_t *out)
{
	const char *text = command_option(c, option);
	if (text && (!parse_u64(text, 10, max, out) || !*out))
		return command_usage(c, "--%s %s: not a number from 1 to %llu", option, text,
				     (unsigned long long)max);
	return EXIT_OK;
}

static int file_options(const struct command_call *c, struct pcapng_options *o)
{
	const char *size = command_option(c, "rotate-size");
	uint64_t seconds = 0, files = 0;
	int rc;
	o->path = command_option(c, "w");
	if (size && !parse_size(size, &o->rotate_bytes))
		return command_usage(c, "--rotate-size %s: not a size such as 10M", size);
	if ((rc = number(c, "rotate-time", 31536000, &seconds)) ||
	    (rc = number(c, "files", 100000, &files)))
		return rc;
	o->rotate_ms = seconds * 1000;
	o->files = (unsigned)files;
	if ((!o->path || !strcmp(o->path, "-")) && (size || seconds || files))
		return command_usage(c, "--rotate-size, --rotate-time and --files need -w FILE");
	if (files && !size && !seconds)
		return command_usage(c, "--files needs --rotate-size or --rotate-time");
	return EXIT_OK;
}

static uint8_t directions(const struct command_call *c)
{
	uint8_t d = (uint8_t)((command_option(c, "in") ? IN : 0) |
			      (command_option(c, "out") ? OUT : 0) |
			      (command_option(c, "drops") ? DROPS : 0));
	return d ? d : IN | OUT;
}

/* -p may be given several times, and a list. */
static void put_ports(const struct command_call *c, struct msg *m)
{
	for (size_t i = 0; i < c->n_given; i++) {
		char *copy, *save = NULL;
		if (strcmp(c->given[i].name, "p"))
			continue;
		copy = xstrdup(c->given[i].value);
		for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save))
			msg_put_str(m, ATTR_PORT, p);
		free(copy);
	}
}

/* ---- packets ---- */

static void print_line(struct capture *cap, struct attrs o, const void *data, uint32_t len,
		       uint32_t wire_len)
{
	static const char *const arrows[] = {"?", ">", "<", "?", "x"};
	uint64_t d = attrs_u64(o, ATTR_PACKET_DIRECTION, 0);
	struct str *s = &cap->text;
	str_clear(s);
	packet_time(attrs_u64(o, ATTR_TIME_NS, 0), s);
	str_printf(s, " %s %s ", d < SL_ARRAY_SIZE(arrows) ? arrows[d] : "?",
		   attrs_str(o, ATTR_PORT, ""));
	packet_text(data, len, wire_len, s);
	str_puts(s, " | ");
	packet_fate(o, s);
	puts(str_cstr(s));
}

static void print_object(struct capture *cap, struct attrs o)
{
	str_clear(&cap->text);
	attrs_format_json(o, &cap->text);
	puts(str_cstr(&cap->text));
}

static int take(struct attrs o, void *aux, struct err *e)
{
	struct capture *cap = aux;
	size_t len = 0;
	const void *data = attrs_bytes(o, ATTR_PACKET, &len);
	uint32_t wire_len = (uint32_t)attrs_u64(o, ATTR_PACKET_LEN, len);
	uint64_t direction = attrs_u64(o, ATTR_PACKET_DIRECTION, 0);
	const char *port = attrs_str(o, ATTR_PORT, "");
	cap->n++;
	if (!cap->file) {
		if (cap->c->json)
			print_object(cap, o);
		else
			print_line(cap, o, data, (uint32_t)len, wire_len);
		return 0;
	}
	str_clear(&cap->text);
	packet_fate(o, &cap->text);
	if (direction == DROPS) /* a packet that was to leave the port, or had come by it */
		direction = strcmp(attrs_str(o, ATTR_FROM_PORT, port), port) ? OUT : IN;
	return pcapng_write(cap->file,
			    &(struct pcapng_packet){.port = port,
						    .time_ns = attrs_u64(o, ATTR_TIME_NS, 0),
						    .data = data,
						    .len = (uint32_t)len,
						    .wire_len = SL_MAX(wire_len, (uint32_t)len),
						    .direction = (unsigned)direction,
						    .comment = str_cstr(&cap->text)},
			    e);
}

static int batch(void *aux, struct err *e)
{
	struct capture *cap = aux;
	if (cap->file)
		return pcapng_flush(cap->file, e);
	return fflush(stdout) ? err_set(e, errno, "standard output: %s", strerror(errno)) : 0;
}

static int request(const struct command_call *c, struct msg *m, uint32_t snaplen)
{
	uint64_t count = 0, sample = 0;
	struct err e = {0};
	int rc;
	msg_init(m, API_CAPTURE, 0);
	if ((rc = number(c, "count", UINT32_MAX, &count)) ||
	    (rc = number(c, "sample", UINT32_MAX, &sample)))
		return rc;
	if (bpf_put_filter(m, command_option(c, "filter"), &e))
		return command_fail_input(&e);
	put_ports(c, m);
	msg_put_u8(m, ATTR_DIRECTIONS, directions(c));
	msg_put_u32(m, ATTR_SNAPLEN, snaplen);
	if (count)
		msg_put_u32(m, ATTR_LIMIT, (uint32_t)count);
	if (sample)
		msg_put_u32(m, ATTR_SAMPLE, (uint32_t)sample);
	return EXIT_OK;
}

/* The file is made when everything else is known to be good. */
static int started(void *aux, struct err *e)
{
	struct capture *cap = aux;
	return cap->o.path ? pcapng_open(&cap->o, &cap->file, e) : 0;
}

static int run(struct capture *cap, struct api_client *client, struct msg *m)
{
	struct live l = {.started = started, .packet = take, .batch = batch, .aux = cap};
	struct err e = {0};
	int rc = live_run(client, m, &l, &e);
	if (cap->file) {
		int closed = pcapng_close(cap->file, l.lost, &e);
		rc = rc ? rc : closed;
	}
	if (rc == -EPIPE) /* wireshark or head has seen enough */
		return EXIT_OK;
	if (rc)
		return command_fail_input(&e);
	if (cap->file || l.lost)
		fprintf(stderr, "%llu packets captured, %llu matched, %llu lost\n",
			(unsigned long long)cap->n, (unsigned long long)l.seen,
			(unsigned long long)l.lost);
	return EXIT_OK;
}

int cmd_capture(struct command_call *c)
{
	struct capture cap = {.c = c};
	struct api_client *client = NULL;
	uint64_t snaplen = SNAPLEN_MAX;
	struct msg m = {0};
	int rc = file_options(c, &cap.o);
	if (!rc)
		rc = number(c, "snaplen", SNAPLEN_MAX, &snaplen);
	cap.o.snaplen = (uint32_t)snaplen;
	if (!rc && cap.o.path && !strcmp(cap.o.path, "-") && isatty(STDOUT_FILENO))
		rc = command_usage(c, "-w -: standard output is a terminal");
	if (!rc)
		rc = request(c, &m, cap.o.snaplen);
	if (!rc && !(client = command_datapath(c, false)))
		rc = EXIT_FAILED;
	if (!rc)
		rc = run(&cap, client, &m);
	msg_free(&m);
	api_close(client);
	str_free(&cap.text);
	return rc;
}
