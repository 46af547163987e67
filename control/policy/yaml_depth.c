/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/policy/yaml_depth.h"

#include <yaml.h>

/* +1: something begins inside, -1: it ends. */
static int step_of(yaml_token_type_t type)
{
	if (type == YAML_FLOW_SEQUENCE_START_TOKEN || type == YAML_FLOW_MAPPING_START_TOKEN ||
	    type == YAML_BLOCK_SEQUENCE_START_TOKEN || type == YAML_BLOCK_MAPPING_START_TOKEN)
		return 1;
	return type == YAML_FLOW_SEQUENCE_END_TOKEN || type == YAML_FLOW_MAPPING_END_TOKEN ||
			       type == YAML_BLOCK_END_TOKEN
		       ? -1
		       : 0;
}

bool yaml_nests_too_deep(const char *text, size_t len, unsigned *line)
{
	yaml_parser_t parser;
	yaml_token_t token;
	bool more = true;
	int depth = 0;

	if (!yaml_parser_initialize(&parser))
		return false;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (more && depth <= YAML_DEPTH_MAX && yaml_parser_scan(&parser, &token)) {
		depth += step_of(token.type);
		*line = (unsigned)token.start_mark.line + 1;
		more = token.type != YAML_STREAM_END_TOKEN && token.type != YAML_NO_TOKEN;
		yaml_token_delete(&token);
	}
	yaml_parser_delete(&parser);
	return depth > YAML_DEPTH_MAX;
}
