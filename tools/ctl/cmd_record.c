/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice record: what the switch is and all that comes in, kept in the datapath's memory and
 * written to a file. sluice replay: becomes sluice-datapath, whose code plays the file again. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/ctl/command.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/supervise.h"

enum { ROOM_DEFAULT_MB = 64, TRIES_MS = 5000, TRY_EVERY_MS = 10, WATCH_EVERY_MS = 100 };

struct answer {
	char state[16];
	uint64_t bytes, pkts, lost, evicted, hash;
};

static void take_answer(struct attrs a, void *aux)
{
	struct answer *to = aux;
	snprintf(to->state, sizeof to->state, "%s", attrs_str(a, ATTR_STATE, "none"));
	to->bytes = attrs_u64(a, ATTR_RECORDING_BYTES, 0);
	to->pkts = attrs_u64(a, ATTR_PKTS, 0);
	to->lost = attrs_u64(a, ATTR_LOST, 0);
	to->evicted = attrs_u64(a, ATTR_EVICTED, 0);
	to->hash = attrs_u64(a, ATTR_HASH, 0);
}

static int ask(struct api_client *client, uint64_t room, bool stop, struct answer *out,
	       struct err *e)
{
	struct msg m;
	msg_init(&m, API_RECORD, 0);
	if (room)
		msg_put_u64(&m, ATTR_RECORDING_BYTES, room);
	if (stop)
		msg_put_str(&m, ATTR_STATE, "stop");
	return api_call(client, &m, take_answer, out, e);
}

static void wait_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&ts, NULL);
}

/* A change that is under way must end first. */
static int start(struct api_client *client, uint64_t room, struct err *e)
{
	struct answer a;
	int rc;
	for (int ms = 0;; ms += TRY_EVERY_MS) {
		err_clear(e);
		rc = ask(client, room, false, &a, e);
		if (rc != -EAGAIN || ms >= TRIES_MS)
			return rc;
		wait_ms(TRY_EVERY_MS);
	}
}

/* ---- options ---- */

/* "64M": of the whole recording */
static int room_of(const struct command_call *c, uint64_t *room)
{
	static const char units[] = "kMG";
	const char *text = command_option(c, "ring");
	*room = (uint64_t)ROOM_DEFAULT_MB << 20;
	if (!text)
		return EXIT_OK;
	size_t n = strlen(text);
	const char *unit = n ? strchr(units, text[n - 1]) : NULL;
	char *digits = xstrndup(text, n - (unit != NULL));
	bool good = n && parse_u64(digits, 10, UINT32_MAX, room) && *room;
	free(digits);
	if (!good)
		return command_usage(c, "--ring %s: not a size such as 64M", text);
	for (const char *u = units; unit && u <= unit; u++)
		*room *= 1024;
	return EXIT_OK;
}

/* "30s", "5m", "2h"; a number alone is seconds. 0: until interrupted. */
static int time_of(const struct command_call *c, uint64_t *ms)
{
	const char *text = command_option(c, "for");
	*ms = 0;
	if (!text)
		return EXIT_OK;
	size_t n = strlen(text);
	char unit = n && strchr("smh", text[n - 1]) ? text[n - 1] : 0;
	char *digits = xstrndup(text, n - (unit != 0));
	bool good = parse_u64(digits, 10, 1000000, ms) && *ms;
	free(digits);
	if (!good)
		return command_usage(c, "--for %s: not a time such as 30s", text);
	*ms *= unit == 'h' ? 3600000 : unit == 'm' ? 60000 : 1000;
	return EXIT_OK;
}

/* ---- the file ---- */

struct file {
	const char *path;
	int fd;
	bool made; /* by this command: nothing is left behind when it fails */
	int rc;    /* of the first write that failed */
};

static int open_file(const struct command_call *c, struct file *f, bool *wanted)
{
	f->path = command_option(c, "w");
	*wanted = f->path;
	if (!f->path)
		return EXIT_OK;
	/* It has the secret of the hash tables: only its owner reads it. What is there stays until
	 * there is something to write. */
	f->fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	f->made = f->fd >= 0;
	if (f->fd < 0 && errno == EEXIST)
		f->fd = open(f->path, O_WRONLY | O_CLOEXEC);
	if (f->fd < 0)
		return command_usage(c, "%s: %s", f->path, strerror(errno));
	return EXIT_OK;
}

static void leave_nothing(const struct file *f)
{
	if (f->made)
		unlink(f->path);
}

static void put_piece(struct attrs a, void *aux)
{
	struct file *f = aux;
	size_t n;
	const char *p = attrs_bytes(a, ATTR_RECORDING, &n);
	while (p && n && !f->rc) {
		ssize_t done = write(f->fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			f->rc = -errno;
			break;
		}
		p += done;
		n -= (size_t)done;
	}
}

static int fetch(struct api_client *client, struct file *f, struct err *e)
{
	struct msg m;
	msg_init(&m, API_RECORD_READ, 0);
	if (fchmod(f->fd, 0600) || ftruncate(f->fd, 0)) /* a pipe has no length */
		f->rc = errno == EINVAL || errno == EPERM ? 0 : -errno;
	int rc = api_call(client, &m, put_piece, f, e);
	if (close(f->fd) && !f->rc)
		f->rc = -errno;
	if (!rc && f->rc)
		rc = err_set(e, -f->rc, "%s: %s", f->path, strerror(-f->rc));
	return rc;
}

/* ---- commands ---- */

static int print(const struct command_call *c, const struct answer *a)
{
	if (c->json) {
		printf("{\"state\":\"%s\",\"bytes\":%llu,\"packets\":%llu,\"lost\":%llu,"
		       "\"evicted\":%llu,\"hash\":\"%016llx\"}\n",
		       a->state, (unsigned long long)a->bytes, (unsigned long long)a->pkts,
		       (unsigned long long)a->lost, (unsigned long long)a->evicted,
		       (unsigned long long)a->hash);
		return EXIT_OK;
	}
	printf("%s", a->state);
	if (strcmp(a->state, "none"))
		printf(": %llu packets, %llu bytes, hash %016llx", (unsigned long long)a->pkts,
		       (unsigned long long)a->bytes, (unsigned long long)a->hash);
	if (a->evicted)
		printf("; %llu older packets made room", (unsigned long long)a->evicted);
	if (a->lost)
		printf("; %llu packets in between came too fast for its room and are not in it",
		       (unsigned long long)a->lost);
	putchar('\n');
	return EXIT_OK;
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

static int wait_for_end(struct api_client *client, uint64_t ms, struct err *e)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct answer a = {.state = "recording"};
	int rc = 0;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	for (uint64_t past = 0; !interrupted && !rc && !strcmp(a.state, "recording");
	     past += WATCH_EVERY_MS) {
		if (ms && past >= ms)
			break;
		wait_ms(ms ? (long)SL_MIN(ms - past, (uint64_t)WATCH_EVERY_MS) : WATCH_EVERY_MS);
		rc = ask(client, 0, false, &a, e); /* full: it has ended */
	}
	return rc || strcmp(a.state, "recording") ? rc : ask(client, 0, true, &a, e);
}

int cmd_record(struct command_call *c)
{
	struct api_client *client = NULL;
	struct answer a = {.state = "none"};
	struct file f = {.fd = -1};
	struct err e = {0};
	uint64_t room, ms;
	bool wanted = false;
	int rc = room_of(c, &room);
	if (!rc)
		rc = time_of(c, &ms);
	if (!rc && !command_option(c, "w"))
		rc = command_usage(c, "-w FILE is missing");
	if (!rc && !(client = command_datapath(c, false)))
		rc = EXIT_FAILED;
	if (!rc)
		rc = open_file(c, &f, &wanted);
	if (!rc && (start(client, room, &e) || wait_for_end(client, ms, &e) ||
		    ask(client, 0, false, &a, &e) || fetch(client, &f, &e))) {
		rc = command_fail_input(&e);
		leave_nothing(&f);
	}
	if (!rc)
		print(c, &a);
	api_close(client);
	return rc;
}

int cmd_record_start(struct command_call *c)
{
	struct api_client *client = NULL;
	struct err e = {0};
	uint64_t room;
	int rc = room_of(c, &room);
	if (!rc && !(client = command_datapath(c, false)))
		rc = EXIT_FAILED;
	if (!rc && start(client, room, &e))
		rc = command_fail_input(&e);
	api_close(client);
	return rc;
}

int cmd_record_stop(struct command_call *c)
{
	struct api_client *client = command_datapath(c, false);
	struct answer a = {.state = "none"};
	struct file f = {.fd = -1};
	struct err e = {0};
	bool wanted = false;
	int rc = client ? open_file(c, &f, &wanted) : EXIT_FAILED;
	if (!rc && ask(client, 0, false, &a, &e))
		rc = command_fail_input(&e);
	/* One that was stopped without a file can still be written. */
	bool live = !strcmp(a.state, "recording");
	if (!rc && ((live || !wanted) && ask(client, 0, true, &a, &e) && e.code != ENOENT))
		rc = command_fail_input(&e);
	if (!rc && e.code == ENOENT && !wanted)
		rc = command_fail_input(&e);
	err_clear(&e);
	if (!rc && wanted && fetch(client, &f, &e))
		rc = command_fail_input(&e);
	if (!rc)
		print(c, &a);
	else
		leave_nothing(&f);
	api_close(client);
	return rc;
}

int cmd_record_status(struct command_call *c)
{
	struct api_client *client = command_datapath(c, false);
	struct answer a = {.state = "none"};
	struct err e = {0};
	int rc = client ? EXIT_OK : EXIT_FAILED;
	if (!rc && ask(client, 0, false, &a, &e))
		rc = command_fail_err(&e);
	if (!rc)
		print(c, &a);
	api_close(client);
	return rc;
}

int cmd_replay(struct command_call *c)
{
	static const char *const options[][2] = {
		{"w", "--write"}, {"until", "--until"}, {"repeat", "--repeat"}};
	const char *args[16];
	unsigned n = 0;
	if (c->argc != 1)
		return command_usage(c, "one recording is wanted");
	char *program = program_beside("sluice-datapath");
	args[n++] = program;
	args[n++] = "--replay";
	args[n++] = c->argv[0];
	for (size_t i = 0; i < SL_ARRAY_SIZE(options); i++) {
		const char *value = command_option(c, options[i][0]);
		if (!value)
			continue;
		args[n++] = options[i][1];
		args[n++] = value;
	}
	if (c->json)
		args[n++] = "--json";
	args[n] = NULL;
	execv(program, (char **)args);
	int rc = command_fail("%s: %s", program, strerror(errno));
	free(program);
	return rc;
}
