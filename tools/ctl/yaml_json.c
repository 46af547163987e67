/* SPDX-License-Identifier: BSD-3-Clause */
/* See yaml_json.h. The text comes from sluiced, so its depth is that of a net.yaml. */
#include <stdint.h>
#include <string.h>
#include <yaml.h>

#include "datapath/base/util.h"
#include "tools/ctl/yaml_json.h"

enum { DEPTH_MAX = 16 };

static json_t *scalar(const yaml_node_t *node)
{
	const char *s = (const char *)node->data.scalar.value;
	uint64_t number;
	if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return json_string(s);
	if (!strcmp(s, "true") || !strcmp(s, "false"))
		return json_boolean(s[0] == 't');
	return parse_u64(s, 10, INT64_MAX, &number) ? json_integer((json_int_t)number)
						    : json_string(s);
}

static json_t *convert(yaml_document_t *doc, int index, int depth)
{
	yaml_node_t *node = yaml_document_get_node(doc, index);
	json_t *out;
	if (!node || depth > DEPTH_MAX)
		return NULL;
	if (node->type == YAML_SCALAR_NODE)
		return scalar(node);
	if (node->type == YAML_SEQUENCE_NODE) {
		out = json_array();
		for (yaml_node_item_t *i = node->data.sequence.items.start;
		     i < node->data.sequence.items.top; i++)
			json_array_append_new(out, convert(doc, *i, depth + 1));
		return out;
	}
	out = json_object();
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
	     p++) {
		const yaml_node_t *key = yaml_document_get_node(doc, p->key);
		if (key && key->type == YAML_SCALAR_NODE)
			json_object_set_new(out, (const char *)key->data.scalar.value,
					    convert(doc, p->value, depth + 1));
	}
	return out;
}

json_t *yaml_json(const char *text)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	json_t *out = NULL;
	if (!yaml_parser_initialize(&parser))
		return NULL;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
	if (yaml_parser_load(&parser, &doc)) {
		out = convert(&doc, 1, 0);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	return out;
}
