/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/trace_json.h"

#include <string.h>

#include "datapath/api/drop_text.h"
#include "datapath/base/str.h"
#include "tools/ctl/trace_text.h"

json_t *trace_json(struct attrs a)
{
	const char *reason = trace_text_drop(a);
	json_t *o, *outputs = json_array();
	struct str s = STR_INIT;
	attrs_format_json(a, &s);
	o = json_loads(str_cstr(&s), 0, NULL);
	str_free(&s);
	if (!o)
		o = json_object();
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_STEP &&
		    !strcmp(attrs_str(attr_nest(it), ATTR_STEP_KIND, ""), "output"))
			json_array_append_new(outputs,
					      json_string(attrs_str(attr_nest(it), ATTR_PORT, "")));
	json_object_set_new(o, "outputs", outputs);
	json_object_set_new(o, "dropped", json_boolean(reason != NULL));
	if (reason) {
		const struct drop_text *why = drop_text_find(reason);
		json_object_set_new(o, "reason", json_string(reason));
		json_object_set_new(o, "help", json_string(why->help));
		json_object_set_new(o, "remedy", json_string(why->remedy));
		if (trace_text_denied_by(a))
			json_object_set_new(o, "denied_by", json_string(trace_text_denied_by(a)));
	}
	return o;
}
