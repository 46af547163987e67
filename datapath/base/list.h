/* SPDX-License-Identifier: BSD-3-Clause */
/* Intrusive doubly linked list. Not synchronised: one thread, or the owner's lock. */
#pragma once
#include "datapath/base/util.h"

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}
static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_insert_before(struct list *at, struct list *n)
{
	n->prev = at->prev;
	n->next = at;
	at->prev->next = n;
	at->prev = n;
}
static inline void list_push_back(struct list *l, struct list *n)
{
	list_insert_before(l, n);
}
static inline void list_push_front(struct list *l, struct list *n)
{
	list_insert_before(l->next, n);
}
/* Leaves n pointing at itself, so removing twice is harmless. */
static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}
static inline struct list *list_pop_front(struct list *l)
{
	struct list *n = l->next;
	list_remove(n);
	return n;
}
static inline size_t list_size(const struct list *l)
{
	size_t n = 0;
	for (const struct list *i = l->next; i != l; i = i->next)
		n++;
	return n;
}

/* Not called LIST_ENTRY: sys/queue.h, which DPDK includes, has that. */
#define LIST_ITEM(ptr, type, member) SL_CONTAINER_OF(ptr, type, member)
#ifndef LIST_ENTRY /* the former name, for code without DPDK */
#define LIST_ENTRY LIST_ITEM
#endif
/* The current element may be removed only with the _SAFE form. */
#define LIST_FOR_EACH(it, type, member, head)                                                      \
	for (type *it = LIST_ITEM((head)->next, type, member); &it->member != (head);             \
	     it = LIST_ITEM(it->member.next, type, member))
#define LIST_FOR_EACH_SAFE(it, type, member, head)                                                 \
	for (type *it = LIST_ITEM((head)->next, type, member),                                    \
		  *it##_next = LIST_ITEM(it->member.next, type, member);                          \
	     &it->member != (head);                                                                \
	     it = it##_next, it##_next = LIST_ITEM(it->member.next, type, member))
