/* SPDX-License-Identifier: BSD-3-Clause */
/* A log file. Bytes as they are; then, since a random checksum never fits, each line again as the
 * contents of a record with the right one, behind a schema. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "datapath/base/log.h"
#include "ovsdb-lite/builtin_schema.h"
#include "ovsdb-lite/storage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_and_close(const char *path)
{
	struct ovsdb_storage *s;
	struct ovsdb_db *db;
	struct err e = {0};

	if (ovsdb_storage_open(&s, &db, path, &e) == 0) {
		ovsdb_storage_close(s);
		ovsdb_db_destroy(db);
	}
}

static void put_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd >= 0 && write(fd, data, size) == (ssize_t)size)
		close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static struct str schema;
	struct err e = {0};
	struct ovsdb_log *log;

	if (!*path) {
		log_set_levels("off", NULL);
		snprintf(path, sizeof path, "/dev/shm/ovsdb_log_fuzz.%d", (int)getpid());
		ovsdb_builtin_schema_put_json(&schema, "Open_vSwitch");
	}
	put_file(path, data, size);
	open_and_close(path);
	if (ovsdb_log_open(&log, path, OVSDB_LOG_TEMPORARY, &e) == 0) {
		const char *p = (const char *)data, *end = p + size;

		ovsdb_log_append(log, schema.s, schema.len, &e);
		while (p < end) {
			const char *nl = memchr(p, '\n', (size_t)(end - p));
			size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);

			if (n)
				ovsdb_log_append(log, p, n, &e);
			p += n + 1;
		}
		ovsdb_log_close(log);
		open_and_close(path);
	}
	unlink(path);
	return 0;
}
