/* SPDX-License-Identifier: BSD-3-Clause */
/* See source.h. The depth of nesting is bounded here, and the number of anchors because each is
 * compared with all before it. */
#include "control/policy/source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/policy/yaml_depth.h"

enum { ANCHORS_MAX = 10000, DOCS_MAX = 64, WORD_MAX = 128 };

unsigned node_line(struct node n)
{
	return n.n ? (unsigned)n.n->start_mark.line + 1 : 1;
}

int source_fail(const struct source *s, struct node at, const char *fmt, ...)
{
	char text[ERR_TEXT_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* What is quoted from the file may hold anything; an error is one line. */
	for (char *c = text; *c; c++)
		*c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
	return err_set(s->e, EINVAL, "%s:%u: %s", at.doc ? at.doc->file : "policy", node_line(at),
		       text);
}

static int load_docs(struct source *s, const struct policy_text *t, yaml_parser_t *parser)
{
	for (;;) {
		struct source_doc *d = xzalloc(sizeof *d);
		d->file = t->name;
		if (!yaml_parser_load(parser, &d->tree)) {
			free(d);
			return err_set(s->e, EINVAL, "%s:%zu: %s", t->name,
				       parser->problem_mark.line + 1,
				       parser->problem ? parser->problem : "not YAML");
		}
		if (!yaml_document_get_root_node(&d->tree)) {
			yaml_document_delete(&d->tree);
			free(d);
			return 0;
		}
		vec_push(&s->docs, d);
		if (s->docs.len > DOCS_MAX)
			return err_set(s->e, EFBIG, "%s:%zu: more than %d documents", t->name,
				       parser->mark.line + 1, DOCS_MAX);
	}
}

static int load_text(struct source *s, const struct policy_text *t)
{
	yaml_parser_t parser;
	size_t anchors = 0;
	unsigned line = 0;
	int rc;
	if (t->len > POLICY_TEXT_MAX)
		return err_set(s->e, EFBIG, "%s:1: %.1f MB: a policy has at most %d MB", t->name,
			       (double)t->len / (1 << 20), POLICY_TEXT_MAX >> 20);
	if (memchr(t->text, 0, t->len))
		return err_set(s->e, EINVAL, "%s:1: there is a zero byte in it", t->name);
	for (size_t i = 0; i < t->len; i++)
		anchors += t->text[i] == '&';
	if (anchors > ANCHORS_MAX)
		return err_set(s->e, EFBIG, "%s:1: more than %d anchors (&)", t->name, ANCHORS_MAX);
	if (yaml_nests_too_deep(t->text, t->len, &line))
		return err_set(s->e, EFBIG,
			       "%s:%u: more than %d lists and mappings inside each other", t->name,
			       line, YAML_DEPTH_MAX);
	if (!yaml_parser_initialize(&parser))
		return err_set(s->e, ENOMEM, "%s: out of memory", t->name);
	yaml_parser_set_input_string(&parser, (const unsigned char *)t->text, t->len);
	rc = load_docs(s, t, &parser);
	yaml_parser_delete(&parser);
	return rc;
}

int source_load(struct source *s, const struct policy_text *texts, size_t n, struct err *e)
{
	int rc = 0;
	s->e = e;
	for (size_t i = 0; i < n && !rc; i++)
		rc = load_text(s, &texts[i]);
	return rc;
}

void source_free(struct source *s)
{
	VEC_FOR_EACH (d, &s->docs) {
		yaml_document_delete(&(*d)->tree);
		free(*d);
	}
	vec_free(&s->docs);
}

struct node source_root(const struct source *s, size_t doc)
{
	struct source_doc *d = s->docs.at[doc];
	return (struct node){d, yaml_document_get_root_node(&d->tree)};
}

static struct node at(const struct source_doc *d, int id)
{
	/* The tree is not changed; libyaml's reader just lacks the const. */
	return (struct node){d, yaml_document_get_node((yaml_document_t *)(uintptr_t)&d->tree, id)};
}

bool node_is_map(struct node n)
{
	return n.n && n.n->type == YAML_MAPPING_NODE;
}

bool node_is_list(struct node n)
{
	return n.n && n.n->type == YAML_SEQUENCE_NODE;
}

const char *node_text(struct node n)
{
	return n.n && n.n->type == YAML_SCALAR_NODE ? (const char *)n.n->data.scalar.value : NULL;
}

bool node_is_null(struct node n)
{
	const char *v = node_text(n);
	return !n.n || (v && n.n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
			(!v[0] || !strcmp(v, "~") || !strcmp(v, "null")));
}

struct node node_get(struct node map, const char *key)
{
	if (node_is_map(map))
		for (yaml_node_pair_t *p = map.n->data.mapping.pairs.start;
		     p < map.n->data.mapping.pairs.top; p++) {
			const char *name = node_text(at(map.doc, p->key));
			if (name && !strcmp(name, key))
				return at(map.doc, p->value);
		}
	return (struct node){0};
}

static int spend(struct source *s, struct node n)
{
	if (++s->visited > SOURCE_VISITS_MAX)
		return source_fail(s, n, "the file has too many parts");
	return 0;
}

struct seen {
	const char *name;
	struct node node;
};

static int by_name(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	int c = strcmp(x->name, y->name);
	return c ? c
		 : (node_line(x->node) > node_line(y->node)) -
			       (node_line(x->node) < node_line(y->node));
}

/* Keys that are no text, or that come twice. */
static int check_keys(struct source *s, struct node map, const char *what)
{
	VEC(struct seen) keys = {0};
	int rc = 0;
	for (yaml_node_pair_t *p = map.n->data.mapping.pairs.start;
	     p < map.n->data.mapping.pairs.top && !rc; p++) {
		struct node key = at(map.doc, p->key);
		const char *name = node_text(key);
		rc = spend(s, key);
		if (!rc && (!name || !name[0]))
			rc = source_fail(s, key, "%s: a key must be a word", what);
		vec_push(&keys, (struct seen){name, key});
	}
	if (!rc && keys.len)
		qsort(keys.at, keys.len, sizeof *keys.at, by_name);
	for (size_t i = 1; i < keys.len && !rc; i++)
		if (!strcmp(keys.at[i - 1].name, keys.at[i].name))
			rc = source_fail(s, keys.at[i].node, "%s: \"%s\" is there twice (line %u)",
					 what, keys.at[i].name, node_line(keys.at[i - 1].node));
	vec_free(&keys);
	return rc;
}

int node_each_pair(struct source *s, struct node map, const char *what, node_pair_fn fn, void *aux)
{
	int rc;
	if (node_is_null(map))
		return 0;
	if (!node_is_map(map))
		return source_fail(s, map, "%s: a mapping (key: value) is wanted here", what);
	rc = check_keys(s, map, what);
	for (yaml_node_pair_t *p = map.n->data.mapping.pairs.start;
	     p < map.n->data.mapping.pairs.top && !rc; p++) {
		struct node key = at(map.doc, p->key);
		rc = fn(s, node_text(key), key, at(map.doc, p->value), aux);
	}
	return rc;
}

int node_each_item(struct source *s, struct node list, node_item_fn fn, void *aux)
{
	int rc = 0;
	if (node_is_null(list))
		return 0;
	if (!node_is_list(list))
		return fn(s, list, aux);
	for (yaml_node_item_t *i = list.n->data.sequence.items.start;
	     i < list.n->data.sequence.items.top && !rc; i++) {
		struct node item = at(list.doc, *i);
		rc = spend(s, item);
		rc = rc ? rc : fn(s, item, aux);
	}
	return rc;
}

int node_bool(struct source *s, struct node n, const char *what, bool *out)
{
	static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no",
									       "off"};
	const char *v = node_text(n);
	for (size_t i = 0; v && i < SL_ARRAY_SIZE(yes); i++)
		if (!strcasecmp(v, yes[i]) || !strcasecmp(v, no[i])) {
			*out = !strcasecmp(v, yes[i]);
			return 0;
		}
	return source_fail(s, n, "%s: true or false is wanted here", what);
}

/* ---- what was probably meant ---- */

/* Levenshtein's distance; words longer than WORD_MAX are far from everything. */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[WORD_MAX + 1];
	if (la > WORD_MAX || lb > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t up = row[j];
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			row[j] = SL_MIN(SL_MIN(row[j - 1], up) + 1, change);
			diagonal = up;
		}
	}
	return row[lb];
}

void near_consider(struct near *m, const char *candidate)
{
	size_t d = distance(m->word, candidate);
	if (d <= 1 + strlen(m->word) / 3 && (!m->best || d < m->distance)) {
		m->best = candidate;
		m->distance = d;
	}
}

const char *near_hint(const struct near *m, char *text, size_t size)
{
	text[0] = '\0';
	if (m->best)
		snprintf(text, size, " (did you mean \"%s\"?)", m->best);
	return text;
}
