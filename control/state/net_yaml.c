/* SPDX-License-Identifier: BSD-3-Clause */
/* Text → struct net, with every check that needs no database. libyaml builds the tree; values are
 * kept in a canonical text form so that comparing with the database is comparing strings. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "control/policy/yaml_depth.h"
#include "control/state/net.h"
#include "control/state/port_type.h"
#include "datapath/base/str.h"

enum { DEPTH_MAX = 16, NODES_MAX = 1 << 20 };

int net_err(const struct net *n, struct net_where where, struct err *e, int code, const char *fmt,
	    ...)
{
	char text[ERR_TEXT_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n->file && n->file[0])
		return err_set(e, code, "%s:%u:%u: %s", n->file, where.line, where.column, text);
	return err_set(e, code, "%s", text);
}

/* ---- the tree ---- */

struct source {
	struct net *net;
	yaml_document_t doc;
	struct err *e;
	bool whole;
	yaml_node_t *profiles; /* mapping or NULL */
};

static struct net_where where_of(const yaml_node_t *n)
{
	return (struct net_where){(unsigned)n->start_mark.line + 1,
				  (unsigned)n->start_mark.column + 1};
}

#define FAIL(s, node, ...) net_err((s)->net, where_of(node), (s)->e, EINVAL, __VA_ARGS__)

static yaml_node_t *node(struct source *s, int id)
{
	return yaml_document_get_node(&s->doc, id);
}

/* NULL when the node is no scalar. */
static const char *scalar(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

/* Null ("key:" without value, ~) counts as an empty mapping or list. */
static bool is_null(const yaml_node_t *n)
{
	const char *v = scalar(n);
	return v && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!v[0] || !strcmp(v, "~") || !strcmp(v, "null"));
}

typedef int (*pair_fn)(struct source *s, yaml_node_t *key, yaml_node_t *value, void *aux);

/* Calls fn for each pair; refuses keys that are no text or come twice. */
static int for_each_pair(struct source *s, yaml_node_t *map, const char *what, pair_fn fn,
			 void *aux)
{
	int rc = 0;
	if (is_null(map))
		return 0;
	if (map->type != YAML_MAPPING_NODE)
		return FAIL(s, map, "%s: a mapping (key: value) is wanted here", what);
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     p < map->data.mapping.pairs.top && !rc; p++) {
		yaml_node_t *key = node(s, p->key);
		const char *name = scalar(key);
		if (!name || !name[0])
			return FAIL(s, key, "%s: a key must be a word", what);
		for (yaml_node_pair_t *q = map->data.mapping.pairs.start; q < p; q++)
			if (!strcmp(scalar(node(s, q->key)), name))
				return FAIL(s, key, "%s: \"%s\" is there twice (line %zu)", what,
					    name, node(s, q->key)->start_mark.line + 1);
		rc = fn(s, key, node(s, p->value), aux);
	}
	return rc;
}

/* ---- values ---- */

/* A scalar, or a list of scalars joined by `sep`. NULL: it is neither. Caller frees. */
static char *joined(struct source *s, yaml_node_t *n, char sep)
{
	struct str out = STR_INIT;
	if (n->type == YAML_SCALAR_NODE)
		return xstrdup(scalar(n));
	if (n->type != YAML_SEQUENCE_NODE)
		return NULL;
	for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top;
	     i++) {
		const char *v = scalar(node(s, *i));
		if (!v) {
			str_free(&out);
			return NULL;
		}
		if (out.len)
			str_putc(&out, sep);
		str_puts(&out, v);
	}
	return str_steal(&out);
}

/* ---- objects ---- */

struct filling {
	struct net_object *o;
	enum net_scope scope;
	char what[128];            /* "port p1" */
	const struct net_key *map; /* while inside a MAP */
	int depth;
	struct net_bridge *bridge; /* scope BRIDGE: where `ports` go */
};

static int add_pair(struct source *s, yaml_node_t *key, yaml_node_t *value, void *aux);

const struct net_setting *net_setting_find(const struct net_object *o, const char *key,
					   const char *sub)
{
	VEC_FOR_EACH (it, &o->settings)
		if (!strcmp(it->key->name, key) && !strcmp(it->sub ? it->sub : "", sub ? sub : ""))
			return it;
	return NULL;
}

/* A later value (the port's own) replaces an earlier one (its profile's). Takes the value. */
static void set(struct net_object *o, const struct net_key *k, const char *sub, char *value,
		struct net_where where)
{
	struct net_setting *old =
		(struct net_setting *)(uintptr_t)net_setting_find(o, k->name, sub);
	struct net_setting new = {k, sub ? xstrdup(sub) : NULL, value, where};
	if (!old) {
		vec_push(&o->settings, new);
		return;
	}
	free(old->sub);
	free(old->value);
	*old = new;
}

static int add_map_entry(struct source *s, yaml_node_t *key, yaml_node_t *value, void *aux)
{
	struct filling *f = aux;
	const char *v = scalar(value), *name = scalar(key);
	if (is_null(value)) {
		set(f->o, f->map, name, NULL, where_of(key));
		return 0;
	}
	if (!v)
		return FAIL(s, value, "%s: %s: %s: a single value is wanted here", f->what,
			    f->map->name, name);
	for (size_t i = 0; i < net_n_keys; i++)
		if (net_keys[i].scope == f->scope && !strcmp(net_keys[i].column, f->map->column) &&
		    !strcmp(net_keys[i].table, f->map->table) && !strcmp(net_keys[i].map_key, name))
			return FAIL(s, key, "%s: %s: %s: say \"%s\" instead", f->what, f->map->name,
				    name, net_keys[i].name);
	set(f->o, f->map, name, xstrdup(v), where_of(key));
	return 0;
}

static int add_setting(struct source *s, const struct net_key *k, yaml_node_t *value,
		       struct filling *f)
{
	struct str why = STR_INIT;
	char *text, *good;
	int rc = 0;
	if (k->kind == NET_MAP) {
		f->map = k;
		return for_each_pair(s, value, k->name, add_map_entry, f);
	}
	if (is_null(value)) {
		set(f->o, k, NULL, NULL, where_of(value));
		return 0;
	}
	text = joined(s, value, k->kind == NET_VLANS || k->kind == NET_CORES ? ',' : ' ');
	if (!text || (value->type == YAML_SEQUENCE_NODE && k->kind != NET_VLANS &&
		      k->kind != NET_CORES && k->kind != NET_WORDS && k->kind != NET_TARGETS)) {
		free(text);
		return FAIL(s, value, "%s: %s: a single value is wanted here", f->what, k->name);
	}
	good = net_canonical(k, text, &why);
	if (good)
		set(f->o, k, NULL, good, where_of(value));
	else
		rc = FAIL(s, value, "%s: %s: %s", f->what, k->name, str_cstr(&why));
	free(text);
	str_free(&why);
	return rc;
}

static int fill(struct source *s, yaml_node_t *value, struct filling *f);

static int use_profile(struct source *s, yaml_node_t *value, struct filling *f)
{
	const char *name = scalar(value);
	if (!name)
		return FAIL(s, value, "%s: profile: a name is wanted here", f->what);
	if (s->profiles && s->profiles->type == YAML_MAPPING_NODE)
		for (yaml_node_pair_t *p = s->profiles->data.mapping.pairs.start;
		     p < s->profiles->data.mapping.pairs.top; p++)
			if (scalar(node(s, p->key)) && !strcmp(scalar(node(s, p->key)), name)) {
				int rc;
				if (++f->depth > DEPTH_MAX)
					return FAIL(s, value, "%s: profile %s uses itself", f->what,
						    name);
				rc = fill(s, node(s, p->value), f);
				f->depth--;
				return rc;
			}
	return FAIL(s, value, "%s: profile %s is not defined", f->what, name);
}

static int add_port(struct source *s, yaml_node_t *key, yaml_node_t *value, void *aux);

static int add_pair(struct source *s, yaml_node_t *key, yaml_node_t *value, void *aux)
{
	struct filling *f = aux;
	const char *name = scalar(key);
	const struct net_key *k = net_key_find(f->scope, name);
	if (k)
		return add_setting(s, k, value, f);
	if (f->scope == NET_PORT && !strcmp(name, "profile"))
		return 0; /* used before the port's own keys */
	if (f->scope == NET_BRIDGE && !strcmp(name, "ports"))
		return for_each_pair(s, value, "ports", add_port, f->bridge);
	return FAIL(s, key, "%s: unknown key \"%s\"", f->what, name);
}

static yaml_node_t *lookup(struct source *s, yaml_node_t *map, const char *name)
{
	if (map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++)
		if (scalar(node(s, p->key)) && !strcmp(scalar(node(s, p->key)), name))
			return node(s, p->value);
	return NULL;
}

static int fill(struct source *s, yaml_node_t *value, struct filling *f)
{
	yaml_node_t *profile = f->scope == NET_PORT ? lookup(s, value, "profile") : NULL;
	int rc = profile ? use_profile(s, profile, f) : 0;
	return rc ? rc : for_each_pair(s, value, f->what, add_pair, f);
}

static int check_name(struct source *s, yaml_node_t *key, const char *what)
{
	const char *name = scalar(key);
	size_t n = strlen(name);
	if (n > 63)
		return FAIL(s, key, "%s \"%s\": a name has at most 63 bytes", what, name);
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] == '/' || name[i] == 127)
			return FAIL(s, key, "%s \"%s\": a name has no blanks or slashes", what,
				    name);
	return 0;
}

static const char *value_of(const struct net_object *o, const char *key)
{
	const struct net_setting *v = net_setting_find(o, key, NULL);
	return v ? v->value : NULL;
}

static int check_vlans(struct source *s, yaml_node_t *key, const struct net_object *o)
{
	const char *mode = value_of(o, "vlan-mode"), *tag = value_of(o, "tag");
	const char *trunks = value_of(o, "trunks"), *name = o->name;
	if (!mode)
		mode = tag ? "access" : "trunk";
	if (!strcmp(mode, "access") && trunks)
		return FAIL(s, key,
			    "port %s: an access port (tag %s) has no trunks; "
			    "native-untagged is the mode that has both",
			    name, tag ? tag : "missing");
	if (strcmp(mode, "trunk") && !tag)
		return FAIL(s, key, "port %s: vlan-mode %s needs a tag", name, mode);
	if (!strcmp(mode, "trunk") && tag)
		return FAIL(s, key,
			    "port %s: a trunk has no tag; native-tagged or native-untagged do",
			    name);
	if (value_of(o, "cvlans") && strcmp(mode, "dot1q-tunnel"))
		return FAIL(s, key, "port %s: cvlans belong to vlan-mode dot1q-tunnel", name);
	return 0;
}

static int check_port(struct source *s, yaml_node_t *key, const struct net_object *o)
{
	static const struct {
		const char *type, *needs;
	} needs[] = {{"patch", "peer"}, {"dpdk", "devargs"}, {"dpdkvhostuserclient", "path"}};
	const char *type = value_of(o, "type");
	if (type && port_type_role(type) < 0)
		return FAIL(s, key, "port %s: type %s is not supported", o->name, type);
	for (size_t i = 0; i < SL_ARRAY_SIZE(needs); i++)
		if (type && !strcmp(type, needs[i].type) && !value_of(o, needs[i].needs))
			return FAIL(s, key, "port %s: type %s needs \"%s\"", o->name, type,
				    needs[i].needs);
	return check_vlans(s, key, o);
}

static struct net_object *port_named(struct net *n, const char *name)
{
	VEC_FOR_EACH (b, &n->bridges)
		VEC_FOR_EACH (p, &b->ports)
			if (!strcmp(p->name, name))
				return p;
	return NULL;
}

static int add_port(struct source *s, yaml_node_t *key, yaml_node_t *value, void *aux)
{
	struct net_bridge *b = aux;
	struct net_object o = {.name = xstrdup(scalar(key)), .where = where_of(key)};
	const struct net_object *twin = port_named(s->net, o.name);
	struct filling f = {.scope = NET_PORT};
	int rc = check_name(s, key, "port");
	vec_push(&b->ports, o);
	if (rc)
		return rc;
	if (twin)
		return FAIL(s, key, "port %s: it is also on line %u", scalar(key),
			    twin->where.line);
	f.o = &vec_last(&b->ports);
	snprintf(f.what, sizeof f.what, "port %s", f.o->name);
	rc = fill(s, value, &f);
	return rc || !s->whole ? rc : check_port(s, key, f.o);
}

static int add_bridge(struct source *s, yaml_node_t *key, yaml_node_t *value, void *aux)
{
	struct net_bridge b = {.o = {.name = xstrdup(scalar(key)), .where = where_of(key)}};
	struct filling f = {.scope = NET_BRIDGE};
	int rc = check_name(s, key, "bridge");
	vec_push(&s->net->bridges, b);
	f.bridge = &vec_last(&s->net->bridges);
	f.o = &f.bridge->o;
	snprintf(f.what, sizeof f.what, "bridge %s", f.o->name);
	return rc ? rc : fill(s, value, &f);
}

static int check_profile(struct source *s, yaml_node_t *key, yaml_node_t *value, void *aux)
{
	struct net_object o = {0};
	struct filling f = {.scope = NET_PORT, .o = &o};
	int rc;
	snprintf(f.what, sizeof f.what, "profile %s", scalar(key));
	rc = fill(s, value, &f);
	VEC_FOR_EACH (it, &o.settings) {
		free(it->sub);
		free(it->value);
	}
	vec_free(&o.settings);
	return rc;
}

static int add_section(struct source *s, yaml_node_t *key, yaml_node_t *value, void *aux)
{
	const char *name = scalar(key);
	if (!strcmp(name, "profiles"))
		return for_each_pair(s, value, "profiles", check_profile, NULL);
	if (!strcmp(name, "bridges"))
		return for_each_pair(s, value, "bridges", add_bridge, NULL);
	if (!strcmp(name, "poll")) {
		struct filling f = {.scope = NET_POLL, .o = &s->net->poll, .what = "poll"};
		s->net->has_poll = true;
		return fill(s, value, &f);
	}
	return FAIL(s, key, "unknown key \"%s\": poll, profiles and bridges are known", name);
}

static int read_tree(struct source *s)
{
	yaml_node_t *root = yaml_document_get_root_node(&s->doc);
	if (!root)
		return 0;
	if (s->doc.nodes.top - s->doc.nodes.start > NODES_MAX)
		return FAIL(s, root, "the file has too many parts");
	s->profiles = lookup(s, root, "profiles");
	return for_each_pair(s, root, "file", add_section, NULL);
}

int net_parse(struct net *out, const char *file, const char *text, size_t len, bool whole,
	      struct err *e)
{
	struct source s = {.net = out, .e = e, .whole = whole};
	struct net_where deep = {0, 1};
	yaml_parser_t parser;
	int rc;

	out->file = xstrdup(file);
	if (len > NET_TEXT_MAX)
		return err_set(e, EFBIG, "%s: more than %d MiB", file, NET_TEXT_MAX >> 20);
	if (yaml_nests_too_deep(text, len, &deep.line))
		return net_err(out, deep, e, EFBIG,
			       "more than %d lists and mappings inside each other", YAML_DEPTH_MAX);
	if (!yaml_parser_initialize(&parser))
		return err_set(e, ENOMEM, "%s: out of memory", file);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (yaml_parser_load(&parser, &s.doc)) {
		rc = read_tree(&s);
		yaml_document_delete(&s.doc);
	} else {
		struct net_where at = {(unsigned)parser.problem_mark.line + 1,
				       (unsigned)parser.problem_mark.column + 1};
		rc = net_err(out, at, e, EINVAL, "%s",
			     parser.problem ? parser.problem : "not YAML");
	}
	yaml_parser_delete(&parser);
	return rc;
}

static void free_object(struct net_object *o)
{
	VEC_FOR_EACH (it, &o->settings) {
		free(it->sub);
		free(it->value);
	}
	vec_free(&o->settings);
	free(o->name);
}

void net_free(struct net *n)
{
	VEC_FOR_EACH (b, &n->bridges) {
		VEC_FOR_EACH (p, &b->ports)
			free_object(p);
		vec_free(&b->ports);
		free_object(&b->o);
	}
	vec_free(&n->bridges);
	VEC_FOR_EACH (o, &n->owners) {
		free(o->name);
		free(o->owner);
	}
	vec_free(&n->owners);
	free_object(&n->poll);
	free(n->file);
	memset(n, 0, sizeof *n);
}
