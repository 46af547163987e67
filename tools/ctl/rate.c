/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/rate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int rate_options(const struct command_call *c, double default_s, uint64_t *interval_us,
		 uint64_t *times)
{
	const char *interval = command_option(c, "interval"), *count = command_option(c, "count");
	double s = default_s;
	char *end;
	if (interval) {
		s = strtod(interval, &end);
		if (end == interval || *end || !(s >= 0.01 && s <= 3600))
			return command_usage(c, "--interval %s: not 0.01 to 3600 seconds",
					     interval);
	}
	*interval_us = (uint64_t)(s * 1e6);
	if (count && !times)
		return command_usage(c, "--count does not go with a single look");
	if (count && (!parse_u64(count, 10, UINT32_MAX, times) || !*times))
		return command_usage(c, "--count %s: not a number above 0", count);
	return EXIT_OK;
}

const char *rate_text(double rate, char *buf, size_t n)
{
	static const char units[] = {' ', 'k', 'M', 'G', 'T'};
	size_t u = 0;
	while (rate >= 1000 && u + 1 < sizeof units) {
		rate /= 1000;
		u++;
	}
	if (!u)
		snprintf(buf, n, rate < 10 && rate > 0 ? "%.1f" : "%.0f", rate);
	else
		snprintf(buf, n, "%.*f%c", rate < 100 ? 1 : 0, rate, units[u]);
	return buf;
}

json_t *rate_json(double rate)
{
	return json_real(round(rate * 10) / 10);
}

void print_json(json_t *o, bool is_line)
{
	char *text = json_dumps(o, is_line ? JSON_COMPACT : JSON_INDENT(3));
	puts(text ? text : "{}");
	fflush(stdout);
	free(text);
	json_decref(o);
}
