/* SPDX-License-Identifier: BSD-3-Clause */
/* The YAML trees of a policy while it is read: nodes with their file and line, mappings and lists
 * walked under a budget (aliases make small files large), errors that say where. Pure. */
#pragma once
#include <yaml.h>

#include "control/policy/policy.h"

struct source_doc {
	const char *file;
	yaml_document_t tree;
};

struct source {
	VEC(struct source_doc *) docs;
	struct err *e;
	size_t visited; /* nodes; bounded by SOURCE_VISITS_MAX */
};
enum { SOURCE_VISITS_MAX = 1 << 21 };

/* A node; by value. */
struct node {
	const struct source_doc *doc; /* NULL: there is none */
	yaml_node_t *n;
};

/* 0 or -errno. */
int source_load(struct source *s, const struct policy_text *texts, size_t n, struct err *e);
void source_free(struct source *s);
struct node source_root(const struct source *s, size_t doc); /* n NULL: an empty document */

/* Sets the error "FILE:LINE: text"; returns -EINVAL. */
int source_fail(const struct source *s, struct node at, const char *fmt, ...) SL_PRINTF(3, 4);
unsigned node_line(struct node n);

bool node_is_map(struct node n);
bool node_is_list(struct node n);
/* "key:" without a value, ~, null. */
bool node_is_null(struct node n);
const char *node_text(struct node n); /* NULL: not a scalar */
/* The value of a key of a mapping; n NULL when there is none. */
struct node node_get(struct node map, const char *key);

/* fn for each pair; a null node is an empty mapping. Keys are text and come once. `what` names the
 * mapping in errors. */
typedef int (*node_pair_fn)(struct source *s, const char *key, struct node key_node,
			    struct node value, void *aux);
int node_each_pair(struct source *s, struct node map, const char *what, node_pair_fn fn, void *aux);
/* fn for each item of a list; a null node is an empty list, a single value a list of one. */
typedef int (*node_item_fn)(struct source *s, struct node item, void *aux);
int node_each_item(struct source *s, struct node list, node_item_fn fn, void *aux);

/* true, false; also yes, no, on, off. -EINVAL with an error otherwise. */
int node_bool(struct source *s, struct node n, const char *what, bool *out);

/* The word of the list that `word` was probably meant to be; NULL: none is near. */
struct near {
	const char *word, *best;
	size_t distance;
};
void near_consider(struct near *m, const char *candidate);
/* ` (did you mean "web1"?)` or "". The text is kept in `m_text`. */
const char *near_hint(const struct near *m, char *text, size_t size);
