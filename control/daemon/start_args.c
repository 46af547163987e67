/* SPDX-License-Identifier: BSD-3-Clause */
/* other_config:dpdk-* → arguments of sluice-datapath. */
#include "control/daemon/start_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/daemon/sluiced.h"
#include "control/state/knobs.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/client.h"

LOG_MODULE(start_args);

static const char *value(const struct ovsdb_row *root, enum knob_id id)
{
	struct str why = STR_INIT;
	const char *v = ovsdb_row_map(root, "other_config", knobs[id].key, NULL);
	bool good = v && v[0] && knob_check(&knobs[id], v, &why);
	str_free(&why);
	return good && !strchr(v, '\n') ? v : NULL;
}

/* "1024,512" → 1536 */
static uint64_t sum_megabytes(const char *list)
{
	uint64_t sum = 0;
	for (const char *p = list; *p;) {
		char *end;
		unsigned long v = strtoul(p, &end, 10);
		if (end == p || v > 1 << 20)
			return 0;
		sum += v;
		p = *end == ',' ? end + 1 : end;
		if (*end && *end != ',')
			return 0;
	}
	return sum;
}

static void make(const struct ovsdb_row *root, struct str *out)
{
	const char *mem = value(root, KNOB_DPDK_SOCKET_MEM),
		   *alloc = value(root, KNOB_DPDK_ALLOC_MEM);
	const char *mask = value(root, KNOB_DPDK_LCORE_MASK), *extra = value(root, KNOB_DPDK_EXTRA);
	const char *dir = value(root, KNOB_DPDK_HUGEPAGE_DIR);
	uint64_t mb = mem     ? sum_megabytes(mem)
		      : alloc ? (uint64_t)knob_int(KNOB_DPDK_ALLOC_MEM, alloc)
			      : 0;
	uint16_t cores[64];
	if (mb)
		str_printf(out, "--memory\n%llu\n", (unsigned long long)mb);
	if (mask && knob_parse_mask(mask, cores, SL_ARRAY_SIZE(cores)) > 0)
		str_printf(out, "--main-core\n%u\n", cores[0]);
	if (extra || dir)
		str_printf(out, "--eal\n%s%s%s%s\n", dir ? "--huge-dir=" : "", dir ? dir : "",
			   dir && extra ? " " : "", extra ? extra : "");
}

static bool same(const char *path, const struct str *text)
{
	char buffer[4096];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(buffer, 1, sizeof buffer, f) : 0;
	if (f)
		fclose(f);
	return n == text->len && (!n || !memcmp(buffer, text->s, n));
}

static int replace(const char *path, const struct str *text)
{
	char *temporary = xasprintf("%s.new", path);
	FILE *f = fopen(temporary, "we");
	int rc = f ? 0 : -errno;
	if (f && (fwrite(str_cstr(text), 1, text->len, f) != text->len || fflush(f)))
		rc = -EIO;
	if (f && fclose(f))
		rc = -EIO;
	if (!rc && rename(temporary, path))
		rc = -errno;
	if (rc)
		unlink(temporary);
	free(temporary);
	return rc;
}

void start_args_write(struct sluiced *d)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(d->db, "Open_vSwitch");
	char *path = xasprintf("%s/datapath.args", d->options->dbdir);
	struct str text = STR_INIT;
	int rc;
	if (root)
		make(root, &text);
	if (root && !same(path, &text)) {
		rc = replace(path, &text);
		if (rc)
			log_err("%s: %s", path, strerror(-rc));
		else
			log_info("settings for the datapath's next start were written to %s", path);
	}
	str_free(&text);
	free(path);
}

bool start_args_are_newer(const struct sluiced *d)
{
	char *path = xasprintf("%s/datapath.args", d->options->dbdir);
	struct stat st;
	uint64_t changed_ms = 0;
	if (!stat(path, &st))
		changed_ms =
			(uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
	free(path);
	return engine_client(d->engine) && changed_ms > engine_info(d->engine)->started_ms;
}
