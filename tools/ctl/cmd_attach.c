/* SPDX-License-Identifier: BSD-3-Clause */
/* attach, detach: a veth pair with one end on a bridge and the other inside a network namespace,
 * named by `ip netns`, by a process id, or by a container's name. Kernel work goes through ip(8),
 * without a shell; every name is checked before. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/ctl/attach.h"
#include "tools/ctl/command.h"
#include "tools/ctl/handlers.h"

extern char **environ;

enum { WORDS_MAX = 24 };

/* Runs a program with the words up to NULL. Its standard output goes to *out (caller frees) when
 * `out` is not NULL, and what it complains about is nobody's concern then. Returns its exit status,
 * -1 when it could not run. */
static int run(const char *const *words, char **out)
{
	posix_spawn_file_actions_t actions;
	struct str text = STR_INIT;
	char buffer[512];
	int pipe_fd[2], status = -1, rc;
	ssize_t n;
	pid_t pid;
	if (pipe2(pipe_fd, O_CLOEXEC))
		return -1;
	posix_spawn_file_actions_init(&actions);
	if (out) {
		posix_spawn_file_actions_adddup2(&actions, pipe_fd[1], 1);
		posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	}
	rc = posix_spawnp(&pid, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fd[1]);
	while (!rc && out && (n = read(pipe_fd[0], buffer, sizeof buffer)) > 0 && text.len < 65536)
		str_put(&text, buffer, (size_t)n);
	close(pipe_fd[0]);
	if (!rc)
		waitpid(pid, &status, 0);
	if (out)
		*out = str_steal(&text);
	return !rc && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL}, NULL)

/* Inside the namespace `fd_path` ("/proc/7/ns/net"). */
#define RUN_INSIDE(path, ...) RUN("nsenter", path, __VA_ARGS__)

static bool good_name(const char *name)
{
	size_t n = strlen(name);
	if (!n || n >= IFNAMSIZ || name[0] == '-' || name[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("_.-:", name[i]))
			return false;
	return true;
}

static char *container_namespace(const char *tool, const char *name)
{
	const char *const words[] = {tool, "inspect", "-f", "{{.State.Pid}}", name, NULL};
	char *out = NULL, *path = NULL;
	uint64_t pid;
	if (!run(words, &out)) {
		out[strcspn(out, "\n")] = '\0';
		if (parse_u64(out, 10, INT32_MAX, &pid) && pid)
			path = xasprintf("/proc/%llu/ns/net", (unsigned long long)pid);
	}
	free(out);
	return path;
}

static bool installed(const char *tool)
{
	static const char *const dirs[] = {"/usr/bin", "/bin", "/usr/local/bin"};
	for (size_t i = 0; i < SL_ARRAY_SIZE(dirs); i++) {
		char *path = xasprintf("%s/%s", dirs[i], tool);
		bool there = !access(path, X_OK);
		free(path);
		if (there)
			return true;
	}
	return false;
}

/* The namespace's file; NULL: there is none of that name. Caller frees. */
static char *find_namespace(const char *name)
{
	static const char *const tools[] = {"podman", "docker"};
	char *path;
	uint64_t pid;
	if (strchr(name, '/') || name[0] == '-' || !name[0])
		return NULL;
	path = xasprintf("/run/netns/%s", name);
	if (!access(path, F_OK))
		return path;
	free(path);
	if (parse_u64(name, 10, INT32_MAX, &pid)) {
		path = xasprintf("/proc/%s/ns/net", name);
		if (!access(path, F_OK))
			return path;
		free(path);
	}
	for (size_t i = 0; i < SL_ARRAY_SIZE(tools); i++) {
		path = installed(tools[i]) ? container_namespace(tools[i], name) : NULL;
		if (path)
			return path;
	}
	return NULL;
}

struct attachment {
	struct command_call *c;
	const char *bridge, *inside, *mac, *mtu, *gateway;
	char port[IFNAMSIZ], temporary[IFNAMSIZ];
	char *ns; /* "--net=/run/netns/x" */
};

static int configure_inside(const struct attachment *a)
{
	const char *ip = command_option(a->c, "ip");
	char *copy = xstrdup(ip ? ip : ""), *save = NULL;
	int rc = EXIT_OK;
	if (RUN_INSIDE(a->ns, "ip", "link", "set", "dev", a->temporary, "name", a->inside))
		rc = command_fail("interface %s: it cannot be named so inside", a->inside);
	if (!rc && a->mac &&
	    RUN_INSIDE(a->ns, "ip", "link", "set", "dev", a->inside, "address", a->mac))
		rc = command_fail("interface %s: hardware address %s was refused", a->inside,
				  a->mac);
	if (!rc && a->mtu &&
	    RUN_INSIDE(a->ns, "ip", "link", "set", "dev", a->inside, "mtu", a->mtu))
		rc = command_fail("interface %s: MTU %s was refused", a->inside, a->mtu);
	if (!rc && (RUN_INSIDE(a->ns, "ip", "link", "set", "dev", "lo", "up") ||
		    RUN_INSIDE(a->ns, "ip", "link", "set", "dev", a->inside, "up")))
		rc = command_fail("interface %s: it cannot be brought up", a->inside);
	for (char *w = strtok_r(copy, ",", &save); w && !rc; w = strtok_r(NULL, ",", &save))
		if (RUN_INSIDE(a->ns, "ip", "addr", "add", w, "dev", a->inside))
			rc = command_fail("interface %s: address %s was refused", a->inside, w);
	if (!rc && a->gateway &&
	    RUN_INSIDE(a->ns, "ip", "route", "replace", "default", "via", a->gateway, "dev",
		       a->inside))
		rc = command_fail("interface %s: gateway %s was refused", a->inside, a->gateway);
	free(copy);
	return rc;
}

static int make_pair(const struct attachment *a)
{
	if (RUN("ip", "link", "add", a->port, "type", "veth", "peer", "name", a->temporary))
		return command_fail("port %s: the veth pair could not be made", a->port);
	if ((a->mtu && RUN("ip", "link", "set", "dev", a->port, "mtu", a->mtu)) ||
	    RUN("ip", "link", "set", "dev", a->port, "up"))
		return command_fail("port %s: it cannot be brought up", a->port);
	if (RUN("ip", "link", "set", "dev", a->temporary, "netns", a->ns + strlen("--net=")))
		return command_fail("port %s: its other end cannot be moved inside", a->port);
	return configure_inside(a);
}

static int put_on_bridge(const struct attachment *a)
{
	const char *tag = command_option(a->c, "tag");
	char *tag_word = tag ? xasprintf("tag=%s", tag) : NULL;
	char *mtu_word = a->mtu ? xasprintf("mtu=%s", a->mtu) : NULL;
	char *ns_word = xasprintf("external-ids.sluice-attached=%s", a->c->argv[1]);
	char *as_word = xasprintf("external-ids.sluice-attached-as=%s", a->inside);
	char *words[6] = {(char *)(uintptr_t)a->port, (char *)(uintptr_t)a->bridge, ns_word,
			  as_word};
	struct command_call add = *a->c;
	int rc;
	add.argv = words;
	add.argc = 4;
	if (tag_word)
		words[add.argc++] = tag_word;
	if (mtu_word)
		words[add.argc++] = mtu_word;
	rc = cmd_port_add(&add);
	free(ns_word);
	free(as_word);
	free(tag_word);
	free(mtu_word);
	return rc;
}

/* A port name from the namespace's, short enough for the kernel and not in use. */
static void name_port(struct attachment *a, const char *ns)
{
	const char *given = command_option(a->c, "port");
	snprintf(a->temporary, sizeof a->temporary, "slt%u", (unsigned)getpid() % 1000000);
	if (given) {
		snprintf(a->port, sizeof a->port, "%s", given);
		return;
	}
	snprintf(a->port, sizeof a->port, "%.10s", ns);
	for (unsigned i = 1; if_nametoindex(a->port) && i < 1000; i++)
		snprintf(a->port, sizeof a->port, "%.10s-%u", ns, i);
}

/* ---- what is attached ---- */

struct record {
	char port[64], ns[64], inside[64];
};

/* Calls fn for each attachment that sluiced knows. */
static int for_each_record(const struct command_call *c,
			   void (*fn)(const struct record *r, void *aux), void *aux)
{
	char *text = NULL, *save = NULL;
	int rc = command_sluiced(c, "net/attached", NULL, 0, &text);
	struct record r;
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%63s %63s %63s", r.port, r.ns, r.inside) == 3)
			fn(&r, aux);
	free(text);
	return rc;
}

struct search {
	const char *ns, *inside;
	const char *port; /* looked for instead, when not NULL */
	struct record found;
};

static void match(const struct record *r, void *aux)
{
	struct search *s = aux;
	if (s->port ? !strcmp(r->port, s->port)
		    : !strcmp(r->ns, s->ns) && !strcmp(r->inside, s->inside))
		s->found = *r;
}

static int remove_port(const struct command_call *c, const char *port)
{
	struct command_call del = *c;
	char *words[1] = {(char *)(uintptr_t)port};
	del.argv = words;
	del.argc = 1;
	return cmd_port_del(&del);
}

static void remove_record(const struct record *r, void *aux)
{
	if (!remove_port(aux, r->port) && if_nametoindex(r->port))
		RUN("ip", "link", "del", "dev", r->port);
}

int attach_remove_all(struct command_call *c)
{
	return for_each_record(c, remove_record, c);
}

static int attached_already(const struct command_call *c, const struct record *r)
{
	const char *port = r->port;
	char *bridge = NULL;
	int rc = command_sluiced(c, "net/port-to-bridge", &port, 1, &bridge);
	if (!rc && strcmp(bridge, c->argv[0]))
		rc = command_fail("%s inside %s is attached to bridge %s: sluice detach %s first",
				  r->inside, r->ns, bridge, port);
	if (!rc)
		printf("%s inside %s is attached already: %s\n", r->inside, r->ns, port);
	free(bridge);
	return rc;
}

int cmd_attach(struct command_call *c)
{
	struct attachment a = {.c = c,
			       .bridge = c->argv[0],
			       .inside = command_option(c, "name"),
			       .mac = command_option(c, "mac"),
			       .mtu = command_option(c, "mtu"),
			       .gateway = command_option(c, "gateway")};
	const char *given = command_option(c, "port");
	struct search there = {.ns = c->argv[1]};
	char *path;
	int rc;
	if (!a.inside)
		a.inside = "eth0";
	if (!good_name(a.inside) || (given && !good_name(given)))
		return command_usage(c,
				     "an interface name has 1 to 15 letters, digits, _ . - or :");
	path = find_namespace(c->argv[1]);
	if (!path)
		return command_fail("%s: no network namespace, process or container of this name",
				    c->argv[1]);
	there.inside = a.inside;
	if (for_each_record(c, match, &there)) {
		free(path);
		return EXIT_FAILED;
	}
	if (there.found.port[0] && if_nametoindex(there.found.port)) {
		free(path);
		return attached_already(c, &there.found);
	}
	/* Its namespace has gone and taken the pair along. */
	if (there.found.port[0])
		remove_port(c, there.found.port);
	name_port(&a, c->argv[1]);
	if (!good_name(a.port) || if_nametoindex(a.port)) {
		free(path);
		return command_fail("port %s: the host has an interface of this name already",
				    a.port);
	}
	a.ns = xasprintf("--net=%s", path);
	rc = make_pair(&a);
	if (!rc)
		rc = put_on_bridge(&a);
	if (rc && if_nametoindex(a.port))
		RUN("ip", "link", "del", "dev", a.port);
	if (!rc)
		printf("%s on %s, %s inside %s\n", a.port, a.bridge, a.inside, c->argv[1]);
	free(a.ns);
	free(path);
	return rc;
}

int cmd_detach(struct command_call *c)
{
	const char *port = c->argv[0];
	struct search there = {.port = port};
	int rc;
	if (!good_name(port))
		return command_usage(c, "%s: not an interface name", port);
	if (for_each_record(c, match, &there))
		return EXIT_FAILED;
	if (!there.found.port[0])
		return command_fail("port %s: not found among those of sluice attach", port);
	rc = cmd_port_del(c);
	if (!rc && if_nametoindex(port) && RUN("ip", "link", "del", "dev", port))
		return command_fail("port %s: the veth pair could not be removed", port);
	return rc;
}
