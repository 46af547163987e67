/* SPDX-License-Identifier: BSD-3-Clause */
/* One mutex around formatting's last step keeps lines whole; poll threads never come here. */
#include "datapath/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct log_module *modules; /* every LOG_MODULE(), in constructor order */
static uint32_t sequence;
static int file_fd = -1;
static char *file_path;
static bool to_stderr = true;

static const char *const level_names[LOG_N_LEVELS] = {"OFF", "EMER", "ERR", "WARN", "INFO", "DBG"};

const char *log_level_name(enum log_level level)
{
	return level < LOG_N_LEVELS ? level_names[level] : "?";
}

void log_module_register(struct log_module *m)
{
	m->next = modules;
	modules = m;
}

bool log_limit_pass(struct log_limit *l, uint32_t per_minute, uint32_t *suppressed)
{
	uint64_t now_ms = clock_mono_ms();
	bool pass;

	pthread_mutex_lock(&mutex);
	*suppressed = 0;
	if (!l->window_start_ms || now_ms - l->window_start_ms >= 60000) {
		l->window_start_ms = now_ms ? now_ms : 1;
		l->in_window = 0;
		*suppressed = l->suppressed;
		l->suppressed = 0;
	}
	pass = l->in_window < per_minute;
	if (pass)
		l->in_window++;
	else
		l->suppressed++;
	pthread_mutex_unlock(&mutex);
	return pass;
}

void log_line(const struct log_module *m, enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[2048];
	struct timespec ts;
	struct tm tm;
	va_list ap;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
	pthread_mutex_lock(&mutex);
	n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ|%05u|%s|%s|",
			      ts.tv_nsec / 1000000, ++sequence, m->name, log_level_name(level));
	va_start(ap, fmt);
	int k = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
	va_end(ap);
	if (k > 0)
		n = SL_MIN(n + (size_t)k, sizeof line - 2);
	for (size_t i = 0; i < n; i++) /* one event, one line, whatever a peer put into a name */
		if ((unsigned char)line[i] < 0x20)
			line[i] = ' ';
	line[n++] = '\n';
	if (to_stderr && level <= __atomic_load_n(&m->to_console, __ATOMIC_RELAXED) &&
	    write(STDERR_FILENO, line, n) < 0)
		to_stderr = errno == EAGAIN;
	if (file_fd >= 0 && level <= __atomic_load_n(&m->to_file, __ATOMIC_RELAXED) &&
	    write(file_fd, line, n) < 0) {
		/* A full disk must not stop the switch; the line is lost. */
	}
	pthread_mutex_unlock(&mutex);
	errno = saved_errno;
}

static int reopen_locked(void)
{
	int fd = open(file_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	if (file_fd >= 0)
		close(file_fd);
	file_fd = fd;
	return 0;
}

int log_set_file(const char *path)
{
	pthread_mutex_lock(&mutex);
	free(file_path);
	file_path = xstrdup(path);
	int rc = reopen_locked();
	pthread_mutex_unlock(&mutex);
	return rc;
}

int log_reopen(void)
{
	pthread_mutex_lock(&mutex);
	int rc = file_path ? reopen_locked() : 0;
	pthread_mutex_unlock(&mutex);
	return rc;
}

void log_close_file(void)
{
	pthread_mutex_lock(&mutex);
	if (file_fd >= 0)
		close(file_fd);
	file_fd = -1;
	pthread_mutex_unlock(&mutex);
}

void log_close_stderr(void)
{
	to_stderr = false;
}

static int level_from_name(const char *s)
{
	for (int i = 0; i < LOG_N_LEVELS; i++)
		if (!strcasecmp(s, level_names[i]))
			return i;
	return -1;
}

static bool module_exists(const char *name)
{
	for (struct log_module *m = modules; m; m = m->next)
		if (!strcasecmp(m->name, name))
			return true;
	return false;
}

static void set_module(struct log_module *m, const char *dest, uint8_t level)
{
	uint8_t console = dest && strcasecmp(dest, "console") ? m->to_console : level;
	uint8_t file = dest && strcasecmp(dest, "file") ? m->to_file : level;

	__atomic_store_n(&m->to_console, console, __ATOMIC_RELAXED);
	__atomic_store_n(&m->to_file, file, __ATOMIC_RELAXED);
	__atomic_store_n(&m->level, SL_MAX(console, file), __ATOMIC_RELAXED);
}

int log_set_levels(const char *spec, struct err *e)
{
	char *copy = xstrdup(spec && *spec ? spec : "dbg"), *save = NULL;
	const char *module = NULL, *dest = NULL;
	int level = -1, rc = 0;

	for (char *w = strtok_r(copy, " ,:", &save); w; w = strtok_r(NULL, " ,:", &save)) {
		int l = level_from_name(w);

		if (l >= 0)
			level = l;
		else if (!strcasecmp(w, "console") || !strcasecmp(w, "file") ||
			 !strcasecmp(w, "syslog"))
			dest = w;
		else if (!strcasecmp(w, "any"))
			continue;
		else if (module_exists(w))
			module = w;
		else {
			rc = err_set(e, EINVAL, "no destination, level, or module \"%s\"", w);
			goto out;
		}
	}
	if (level < 0)
		level = LOG_DBG;
	if (dest && !strcasecmp(dest, "syslog"))
		goto out;
	for (struct log_module *m = modules; m; m = m->next)
		if (!module || !strcasecmp(m->name, module))
			set_module(m, dest, (uint8_t)level);
out:
	free(copy);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct log_module *const *)a)->name,
		      (*(struct log_module *const *)b)->name);
}

void log_for_each_module(void (*fn)(const struct log_module *m, void *aux), void *aux)
{
	size_t n = 0;

	for (struct log_module *m = modules; m; m = m->next)
		n++;
	struct log_module **all = xcalloc(n, sizeof *all);
	n = 0;
	for (struct log_module *m = modules; m; m = m->next)
		all[n++] = m;
	qsort(all, n, sizeof *all, by_name);
	for (size_t i = 0; i < n; i++)
		if (!i || strcmp(all[i]->name, all[i - 1]->name))
			fn(all[i], aux);
	free(all);
}
