/* SPDX-License-Identifier: BSD-3-Clause */
/* Log lines `time|seq|module|LEVEL|text`, as operators of this field expect them. WARN and above
 * mean real trouble. Any thread but poll threads, which count or post events instead.
 *
 *	LOG_MODULE(vhost);
 *	log_warn("port %s: guest memory shrank: quarantined", name);
 *	LOG_LIMIT(log_warn, 5, "…");   at most 5 a minute, then says how many it kept back
 */
#pragma once
#include "datapath/base/util.h"

enum log_level { LOG_OFF, LOG_EMER, LOG_ERR, LOG_WARN, LOG_INFO, LOG_DBG, LOG_N_LEVELS };

struct log_module {
	const char *name;
	/* enum log_level, each; W:main R:any (relaxed) */
	uint8_t level;      /* the higher of the next two; lines above it are not formatted */
	uint8_t to_console; /* lines up to this level go to stderr */
	uint8_t to_file;
	struct log_module *next;
};

struct log_limit {
	uint64_t window_start_ms;
	uint32_t in_window;
	uint32_t suppressed;
};

void log_module_register(struct log_module *m);

/* Defines the file's module; once per .c file. Several files may share a module name. */
#define LOG_MODULE(ident)                                                                          \
	static struct log_module log_this_module = {                                               \
		.name = #ident, .level = LOG_INFO, .to_console = LOG_INFO, .to_file = LOG_INFO};   \
	__attribute__((constructor)) static void log_register_this_module(void)                    \
	{                                                                                          \
		log_module_register(&log_this_module);                                             \
	}                                                                                          \
	struct log_module

#define log_at(lvl, ...)                                                                           \
	do {                                                                                       \
		if (__atomic_load_n(&log_this_module.level, __ATOMIC_RELAXED) >= (lvl))            \
			log_line(&log_this_module, (lvl), __VA_ARGS__);                            \
	} while (0)
#define log_emer(...) log_at(LOG_EMER, __VA_ARGS__)
#define log_err(...)  log_at(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_dbg(...)  log_at(LOG_DBG, __VA_ARGS__)

/* Anything that traffic or a peer can trigger: at most `per_minute` lines. */
#define LOG_LIMIT(fn, per_minute, ...)                                                             \
	do {                                                                                       \
		static struct log_limit log_limit_here;                                            \
		uint32_t kept_back;                                                                \
		if (log_limit_pass(&log_limit_here, (per_minute), &kept_back)) {                   \
			if (kept_back)                                                             \
				fn("(%u similar lines were suppressed)", kept_back);               \
			fn(__VA_ARGS__);                                                           \
		}                                                                                  \
	} while (0)

void log_line(const struct log_module *m, enum log_level level, const char *fmt, ...)
	SL_PRINTF(3, 4);
bool log_limit_pass(struct log_limit *l, uint32_t per_minute, uint32_t *suppressed);

/* Lines go to stderr until a file is set; the file is reopened by log_reopen() (rotation). -errno.
 */
int log_set_file(const char *path);
int log_reopen(void);
/* Stops writing to the file until log_reopen(). */
void log_close_file(void);
/* Stops writing to stderr (after --detach). */
void log_close_stderr(void);

/* `spec` is what -v takes: "dbg", "vhost:dbg", "ANY:file:info", "file:off", empty = "dbg". The
 * destination word (console, syslog, file, ANY) is understood; syslog is ignored with success.
 * 0, or -EINVAL with err set. */
struct err;
int log_set_levels(const char *spec, struct err *e);
const char *log_level_name(enum log_level level); /* "WARN" */
/* Calls fn once per module name, sorted. */
void log_for_each_module(void (*fn)(const struct log_module *m, void *aux), void *aux);
