/* SPDX-License-Identifier: BSD-3-Clause */
/* All connections by tuple: 256 shards, each a hash table that grows bucket by bucket (linear
 * hashing, so that no packet waits for a rehash) and has its own lock.
 *
 * A bucket is one cache line of seven node addresses with 23 bits of their hashes: who looks for
 * what is not there reads that line and no node, and both directions of a connection that is not
 * translated are in the same one.
 *
 * Look-ups are lock-free on poll threads between two quiescent reports, and on the main thread.
 * Inserting and removing take the locks of the one or two shards concerned, lower number first. No
 * other lock but that of the memory is taken inside. */
#pragma once
#include "datapath/conntrack/conn.h"

enum { CONN_SHARDS = 256 };

/* NULL: none. May return one that has expired. */
struct conn_node *conn_table_find(const struct ct_tuple *t);
struct conn_node *conn_table_find_hashed(const struct ct_tuple *t, uint64_t hash);
/* As conn_table_find_hashed(), and, when it returns NULL, whether it may be said later without
 * another look that neither t nor its reverse is there: as long as no node was linked in the
 * shard. */
struct conn_absence {
	uint32_t links;
	bool known;
};
struct conn_node *conn_table_look(const struct ct_tuple *t, uint64_t hash, struct conn_absence *a);
bool conn_table_is_absent(uint64_t hash, const struct conn_absence *a);
/* In two steps of a burst, each after the memory of the one before has come: the bucket, the node
 * that it probably is. */
void conn_table_prefetch(uint64_t hash);
void conn_table_prefetch_node(uint64_t hash);

/* Makes a connection with these tuples out of *init (all but nodes, lock and links are taken from
 * it). hash: of the original tuple. 0; -EEXIST: the original tuple is taken; -EADDRINUSE: the reply
 * tuple is; -ENOMEM. */
int conn_table_insert(const struct ct_tuple *orig, uint64_t hash, const struct ct_tuple *reply,
		      const struct ct_conn *init, struct ct_conn **out);
/* The same for the reply tuple that is the reverse of orig. absence: what conn_table_look() said of
 * orig, believed as long as it holds; NULL: nothing. */
int conn_table_insert_plain(const struct ct_tuple *orig, uint64_t hash,
			    const struct conn_absence *absence, const struct ct_conn *init,
			    struct ct_conn **out);
/* Unlinks; false: somebody else was faster. The memory is reused when no poll thread
 * and no round of the main thread can hold it any more. */
bool conn_table_remove(struct ct_conn *c);
/* Brings near what removing c will touch: first its nodes, and, when they have come, the bucket. */
void conn_table_prefetch_remove(const struct ct_conn *c);
void conn_table_prefetch_remove_bucket(const struct ct_conn *c);
uint64_t conn_table_bytes(void); /* memory of connections and buckets */

/* Main thread. Where a walk over all connections stands; zero begins. What comes or goes meanwhile
 * may or may not be met. */
struct conn_cursor {
	uint32_t chunk, pad;
};
/* Up to CONN_CHUNK live connections of the next chunk; false: at the end. */
enum { CONN_CHUNK = 32 };
bool conn_table_next(struct conn_cursor *at, struct ct_conn *out[CONN_CHUNK], unsigned *n);
/* main, every few milliseconds: memory for the connections to come. */
void conn_table_prepare(void);

/* For tests: buckets, counts and live bits agree. No writer may run. */
bool conn_table_check_invariants(void);
