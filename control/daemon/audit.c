/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/daemon/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/policy/policy.h"
#include "datapath/base/clock.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/unixctl.h"

struct audit {
	char *path;
	int fd;
};

int audit_open(struct audit **out, const char *dbdir, struct err *e)
{
	struct audit *a = xzalloc(sizeof *a);
	char last = '\n';
	off_t size;
	a->path = xasprintf("%s/audit.log", dbdir);
	a->fd = open(a->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	*out = a;
	if (a->fd < 0)
		return err_set(e, errno, "%s: %s", a->path, strerror(errno));
	/* What a crash has cut off stays a line of its own. */
	size = lseek(a->fd, 0, SEEK_END);
	if (size > 0 && pread(a->fd, &last, 1, size - 1) == 1 && last != '\n' &&
	    write(a->fd, "\n", 1) != 1)
		return err_set(e, errno, "%s: %s", a->path, strerror(errno));
	return 0;
}

void audit_close(struct audit *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	free(a->path);
	free(a);
}

static size_t read_proc(pid_t pid, const char *name, char *out, size_t size)
{
	char path[64];
	ssize_t n = -1;
	int fd;
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, out, size - 1);
		close(fd);
	}
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* sudo puts it into the environment of what it starts. */
static void put_sudo_user(json_t *who, pid_t pid)
{
	char environment[16384];
	size_t n = read_proc(pid, "environ", environment, sizeof environment);
	for (size_t i = 0; i < n; i += strlen(environment + i) + 1)
		if (!strncmp(environment + i, "SUDO_USER=", 10))
			json_object_set_new(who, "sudo_user", json_string(environment + i + 10));
}

/* The user who logged in, which su and sudo do not change. */
static void put_login(json_t *who, pid_t pid)
{
	char text[16];
	uint64_t uid;
	const struct passwd *pw;
	read_proc(pid, "loginuid", text, sizeof text);
	text[strcspn(text, "\n")] = '\0';
	if (!parse_u64(text, 10, UINT32_MAX - 1, &uid))
		return;
	pw = getpwuid((uid_t)uid);
	json_object_set_new(who, "login", pw ? json_string(pw->pw_name) : json_string(text));
}

static json_t *process(pid_t pid, uid_t uid)
{
	const struct passwd *pw = getpwuid(uid);
	json_t *who = json_object();
	char comm[32];
	json_object_set_new(who, "user", json_string(pw ? pw->pw_name : "?"));
	json_object_set_new(who, "uid", json_integer(uid));
	json_object_set_new(who, "pid", json_integer(pid));
	read_proc(pid, "comm", comm, sizeof comm);
	comm[strcspn(comm, "\n")] = '\0';
	json_object_set_new(who, "program", json_string(comm));
	put_sudo_user(who, pid);
	put_login(who, pid);
	return who;
}

char *audit_who(int pid, unsigned uid)
{
	json_t *who = process(pid, uid);
	char *text = json_dumps(who, JSON_COMPACT);
	json_decref(who);
	return text;
}

static json_t *who_asks(const struct unixctl_call *call, const struct audit_record *r)
{
	struct unixctl_peer peer;
	if (!call)
		return r->who ? json_loads(r->who, 0, NULL) : json_pack("{s:s}", "user", "sluiced");
	peer = unixctl_peer_of(call);
	return process(peer.pid, peer.uid);
}

static void set_text(json_t *o, const char *key, const char *text)
{
	if (text && text[0])
		json_object_set_new(o, key, json_string(text));
}

static int append(struct audit *a, const char *line, size_t len, struct err *e)
{
	ssize_t n = write(a->fd, line, len);
	if (n != (ssize_t)len)
		return err_set(e, n < 0 ? errno : ENOSPC, "%s: %s", a->path,
			       strerror(n < 0 ? errno : ENOSPC));
	if (fsync(a->fd))
		return err_set(e, errno, "%s: %s", a->path, strerror(errno));
	return 0;
}

int audit_write(struct audit *a, const struct unixctl_call *call, const struct audit_record *r,
		struct err *e)
{
	struct str time = STR_INIT;
	json_t *o = json_object();
	char *text, *line;
	int rc;
	policy_format_time(clock_wall_ms(), &time);
	set_text(o, "time", str_cstr(&time));
	set_text(o, "action", r->action);
	json_object_set_new(o, "who", who_asks(call, r));
	set_text(o, "what", r->what);
	set_text(o, "reason", r->reason);
	set_text(o, "result", r->result);
	set_text(o, "detail", r->detail);
	text = json_dumps(o, JSON_COMPACT);
	line = xasprintf("%s\n", text ? text : "{}");
	rc = append(a, line, strlen(line), e);
	free(text);
	free(line);
	str_free(&time);
	json_decref(o);
	return rc;
}
