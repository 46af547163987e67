/* SPDX-License-Identifier: BSD-3-Clause */
/* Formats: prometheus.io/docs/instrumenting/exposition_formats; OpenMetrics 1.0 (the difference
 * here: a counter's family is named without _total, an info's without _info, and the text ends in #
 * EOF). */
#include "control/daemon/metric_text.h"

#include <stdarg.h>
#include <string.h>

enum kind { COUNTER, GAUGE, INFO };
static const struct family {
	enum kind kind;
	const char *name, *help;
} families[METRIC_N] = {
#define METRIC(id, kind, name, help) [METRIC_##id] = {kind, "sluice_" name, help},
#include "control/daemon/metrics.def"
#undef METRIC
};

static const char *suffix(enum kind k)
{
	switch (k) {
	case COUNTER:
		return "_total";
	case GAUGE:
		return "";
	case INFO:
		return "_info";
	}
	return "";
}

static const char *type(enum kind k, bool openmetrics)
{
	switch (k) {
	case COUNTER:
		return "counter";
	case GAUGE:
		return "gauge";
	case INFO:
		return openmetrics ? "info" : "gauge";
	}
	return "";
}

static void put_value(struct str *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			str_putc(out, '\\');
		if (*text == '\n')
			str_puts(out, "\\n");
		else
			str_putc(out, *text);
	}
}

void metric_set_add(struct metric_set *s, enum metric_id id, double value, ...)
{
	struct str *out = &s->samples[id];
	const char *name, *text, *sep = "{";
	va_list ap;
	str_printf(out, "%s%s", families[id].name, suffix(families[id].kind));
	va_start(ap, value);
	while ((name = va_arg(ap, const char *))) {
		text = va_arg(ap, const char *);
		str_printf(out, "%s%s=\"", sep, name);
		put_value(out, text);
		str_putc(out, '"');
		sep = ",";
	}
	va_end(ap);
	str_printf(out, "%s %.17g\n", sep[0] == ',' ? "}" : "", value);
}

void metric_set_write(const struct metric_set *s, bool openmetrics, struct str *out)
{
	for (int i = 0; i < METRIC_N; i++) {
		const struct family *f = &families[i];
		const char *end = openmetrics ? "" : suffix(f->kind);
		if (!s->samples[i].len)
			continue;
		str_printf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", f->name, end, f->help, f->name,
			   end, type(f->kind, openmetrics));
		str_put(out, s->samples[i].s, s->samples[i].len);
	}
	if (openmetrics)
		str_puts(out, "# EOF\n");
}

void metric_set_free(struct metric_set *s)
{
	for (int i = 0; i < METRIC_N; i++)
		str_free(&s->samples[i]);
}
