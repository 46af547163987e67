/* SPDX-License-Identifier: BSD-3-Clause */
/* The flow cache of one poll thread.
 *
 *	signature buckets    hash of the packet's relevant bits → megaflow, verified by masked
 *compare megaflow table       per ingress port at most 16 masks, each a probe of one shared hash
 *table
 *
 * A port's relevance is the union of its masks: bits outside it cannot change any verdict, so they
 *are neither hashed nor, when whole layers are outside, parsed. When a port has one mask the
 *relevant hash is the table's own hash and the signature level is skipped.
 *
 * Invariants: every mask has in_port and recirc_id exact; every live megaflow's key & ~mask == 0; a
 * port has n_masks <= MASKS_PER_PORT; a mask covers at least the bits that the decision read
 *(rounding to the lattice and joining masks only add bits).
 *
 * All functions: the owning poll thread, except where "main" is said. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/cache/megaflow.h"
#include "datapath/core/limits.h"
#include "datapath/flow/extract.h"

struct resolve_result;

enum cache_depth { DEPTH_L2, DEPTH_L4, DEPTH_FULL };

/* What of a packet a port's megaflows read. */
struct relevance {
	uint8_t line0[FLOW_LINE_BYTES];
	uint8_t line[FLOW_KEY_LINES][FLOW_LINE_BYTES]; /* [0] unused */
	uint16_t lines;
	uint8_t depth; /* enum cache_depth */
} SL_CACHE_ALIGNED;

struct mf_mask {
	uint8_t line0[FLOW_LINE_BYTES];
	uint8_t line[FLOW_KEY_LINES][FLOW_LINE_BYTES]; /* [0] unused */
	uint16_t lines;
	bool l2_only;     /* nothing beyond Ethernet and VLANs: the first 32 bytes */
	uint16_t bits;    /* population, for choosing the narrowest extension */
	uint32_t n_flows; /* megaflows under it */
	uint64_t hits;    /* probes that found something, this second */
} SL_CACHE_ALIGNED;

/* An ingress port as this thread's cache sees it. */
struct port_cache {
	struct relevance relevant;
	uint8_t mask0[MASKS_PER_PORT][FLOW_LINE_BYTES]; /* line 0 of each mask: what verify reads */
	struct mf_mask *mask[MASKS_PER_PORT];           /* NULL: free slot */
	uint8_t order[MASKS_PER_PORT];                  /* probe order, most hits first */
	uint8_t n_order;
	uint8_t n_masks;
	uint8_t join; /* slot of the mask that takes what no other can; MASKS_PER_PORT: none yet */
	uint32_t port_id;
	uint32_t n_flows;
	/* quota: new megaflows per second, as tokens */
	uint32_t install_tokens;
	uint64_t install_refill_ms;
	uint64_t installs_refused;
} SL_CACHE_ALIGNED;

/* One burst's working memory, one per thread. */
struct burst {
	uint16_t n;
	uint64_t bytes;         /* sum of pkt_len; 0: not known */
	uint8_t depth;          /* enum cache_depth the keys were extracted to */
	uint32_t probed;        /* bit per packet: not found by signature, its masks were probed */
	bool one_flow;          /* W: classify: all packets have the first one's mf or stale */
	bool measure;           /* classify notes when it had extracted and hashed all keys … */
	uint64_t extracted_tsc; /* … here; 0: it had nothing to extract for */
	struct rte_mbuf *pkt[BURST_MAX];
	struct megaflow *mf[BURST_MAX];     /* NULL: miss, or stale */
	struct megaflow *stale[BURST_MAX];  /* found but to be resolved again in place */
	uint64_t hash[BURST_MAX];           /* of the relevant bits */
	uint16_t lines[BURST_MAX];          /* filled lines of key */
	struct flow_offsets ofs[BURST_MAX]; /* valid when depth > DEPTH_L2 */
	uint8_t l2[BURST_MAX][32] __attribute__((aligned(32))); /* depth L2: first half of line 0 */
	struct flow_key key[BURST_MAX];
};

enum { CACHE_SIG_WAYS = 8 };
struct sig_bucket {
	uint16_t sig[CACHE_SIG_WAYS]; /* 0: empty */
	uint32_t idx[CACHE_SIG_WAYS];
	uint16_t used[CACHE_SIG_WAYS]; /* second chance */
} SL_CACHE_ALIGNED;
_Static_assert(sizeof(struct sig_bucket) == 64, "one line");

struct flow_cache {
	struct sig_bucket *sig;
	uint32_t sig_mask; /* buckets - 1 */
	uint32_t *head;    /* megaflow table: index of the first of a chain */
	uint32_t head_mask;
	struct megaflow *flow; /* arena; index 0 is never used */
	uint32_t flow_limit, flow_top, flow_free, n_flows, n_masks;
	uint32_t sweep_at, rank_at_ms;
	uint64_t key[4]; /* secret of the hash */
	unsigned thread_idx;
	struct port_cache *port[PORT_ID_MAX]; /* NULL until the port's first packet */
	struct mf_info *retired;              /* W: owner pushes, main takes all (atomic) */
	struct info_pool *infos;
	size_t prepared_bytes; /* of flow, pages in place  W: main */
	uint32_t freed;        /* slots freed since flow_cache_recycle(); not reused before */
	/* counters */
	uint64_t sig_hits, table_hits, misses, restamped, resolved_again, evicted;
	uint64_t sig_inserts;
};

int flow_cache_create(unsigned thread_idx, uint32_t flow_limit, struct flow_cache **out);
void flow_cache_destroy(struct flow_cache *c); /* main, after the thread has ended */
struct port_cache *
flow_cache_port(struct flow_cache *c,
		uint32_t port_id); /* created on first use; NULL without memory */
void flow_cache_port_forget(struct flow_cache *c, uint32_t port_id);

/* Extracts and looks up b->pkt[0..n). in_port and recirc_id 0 for all. Sets mf, or stale, or
 * neither. Chosen at start for the CPU: scalar reference, SSE4.2, AVX2, AVX-512. */
typedef void (*flow_cache_classify_fn)(struct flow_cache *c, struct port_cache *pc, struct burst *b,
				       uint32_t version, uint32_t now_ms);
extern flow_cache_classify_fn flow_cache_classify;
/* The same for keys that are there already, with any recirc_id: all lines of b->key[0..n) that the
 * port's relevance names are filled. */
extern flow_cache_classify_fn flow_cache_classify_keys;
/* The same for one key that is fully extracted (recirculation, packets that waited). */
struct megaflow *flow_cache_find(struct flow_cache *c, struct port_cache *pc,
				 const struct flow_key *key, uint16_t lines, uint32_t version,
				 uint32_t now_ms, struct megaflow **stale);
const char *flow_cache_isa(void);
void flow_cache_select_isa(const char *name); /* NULL: best; for tests also by SLUICE_SIMD */

/* Makes an entry of what resolve found for `key`, or renews `stale`. NULL when over quota or
 * without memory: the packet is forwarded all the same, uncached. */
struct megaflow *flow_cache_install(struct flow_cache *c, struct port_cache *pc,
				    const struct flow_key *key, uint16_t lines,
				    const struct resolve_result *r, struct megaflow *stale,
				    uint32_t version, uint32_t now_ms);
/* Counts one packet that was resolved but not cached. */
void flow_cache_credit_once(struct flow_cache *c, const struct resolve_result *r, uint32_t bytes,
			    uint32_t now_ms);
/* Between bursts: slots freed in the last one may be used again. */
void flow_cache_recycle(struct flow_cache *c);
/* Once a millisecond: expiry, a few slots a time; mask ranking once a second. */
void flow_cache_sweep(struct flow_cache *c, uint32_t now_ms);
void flow_cache_flush(struct flow_cache *c);

/* As a new one with this secret, but that nothing which was counted is lost. While the thread is at
 * rest; then by any thread. */
void flow_cache_restart(struct flow_cache *c, const uint64_t key[4], uint32_t now_ms);

/* main: credits everything counted so far. */
void flow_cache_collect(struct flow_cache *c, uint64_t now_ms);
/* main, every few milliseconds: credits and frees what the thread has retired, and puts memory in
 * place for what it will install next. */
void flow_cache_drain(struct flow_cache *c, uint64_t now_ms);
void flow_cache_prepare(struct flow_cache *c);
/* main: copies; racing entries are left out. */
struct minimatch;
void flow_cache_dump(struct flow_cache *c,
		     void (*fn)(const struct megaflow *mf, const struct minimatch *match,
				const struct program *prog, void *aux),
		     void *aux);
/* Audit: do the entry's parts agree with each other (key, masks, program and its short form)? */
bool flow_cache_entry_is_whole(const struct flow_cache *c, const struct megaflow *mf);
/* Has the entry's mask all bits that this resolution, at `version`, of one of its packets read? */
bool flow_cache_mask_covers(const struct flow_cache *c, const struct megaflow *mf,
			    const struct resolve_result *r, uint32_t version);
/* An entry that may be damaged: a look at every chain, some milliseconds. */
void flow_cache_remove_suspect(struct flow_cache *c, struct megaflow *mf);
/* Every invariant; aborts on violation. For tests. */

/* ---- parts of the lookup that are not hot enough to be built per instruction set ---- */

static inline uint16_t sig_of(uint64_t hash)
{
	uint16_t s = (uint16_t)(hash >> 48);

	return s ? s : 1;
}
/* Extraction of packet i into b->key[i], lines, ofs. Unfilled lines are zeroed, except those beyond
 * line 0 at less than full depth. */
void flow_cache_extract(struct burst *b, unsigned i, uint32_t in_port, enum extract_depth depth);
/* Line 0, first half, of a frame with tags or LLC. */
void flow_extract_l2_tagged(const uint8_t *data, uint32_t len, uint32_t in_port, uint8_t *out);
/* Lines beyond the first. */
bool megaflow_ext_matches(const struct megaflow *mf, const struct flow_key *key);
bool megaflow_matches(const struct megaflow *mf, const struct mf_mask *m,
		      const struct flow_key *key, uint16_t lines);
/* The stamp is old: may it be renewed? Cheap when nothing relevant has changed. */
bool flow_cache_is_fresh(struct flow_cache *c, struct megaflow *mf, uint32_t version,
			 uint32_t now_ms);
/* Puts (hash, index) into the signature buckets. */
void flow_cache_remember(struct flow_cache *c, uint64_t hash, uint32_t idx);
void flow_cache_check_invariants(const struct flow_cache *c);
