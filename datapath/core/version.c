/* SPDX-License-Identifier: BSD-3-Clause */
/* The log is a ring. The writer fills a slot and then advances `head`; a reader walks back from
 * head and afterwards checks that none of the slots it read has been reused. Matches in overwritten
 * slots are freed after a grace period. */
#include "datapath/core/version.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_pause.h>

#include "datapath/base/hash.h"
#include "datapath/core/rcu.h"

uint64_t version_now_shared = 1;

struct log_entry { /* W: commit  R: poll threads (see file head) */
	uint64_t version, dep;
	const struct minimatch *match;
	uint8_t kind;
};
static struct log_entry entries[VERSION_LOG];
static uint64_t head; /* entries ever written */

struct thread_line { /* version of the burst in progress; 0: none. W: the thread  R: version_wait */
	uint64_t running;
} SL_CACHE_ALIGNED;
static struct thread_line threads[POLL_THREADS_MAX];

static pthread_mutex_t commit_lock = PTHREAD_MUTEX_INITIALIZER;

uint64_t version_dep(enum change_kind kind, uint32_t bridge_id, uint64_t b)
{
	uint64_t h = hash_u64(b ^ hash_u64(((uint64_t)kind << 32) | bridge_id));

	return 1ull << (h >> 58);
}

void version_lock(void)
{
	pthread_mutex_lock(&commit_lock);
}

bool version_trylock(void)
{
	return !pthread_mutex_trylock(&commit_lock);
}

void version_unlock(void)
{
	pthread_mutex_unlock(&commit_lock);
}

static void append(uint64_t version, enum change_kind kind, uint64_t dep, struct minimatch *match)
{
	struct log_entry *e = &entries[head % VERSION_LOG];

	rcu_free_later((void *)e->match);
	__atomic_store_n(&e->match, match, __ATOMIC_RELAXED);
	__atomic_store_n(&e->dep, dep, __ATOMIC_RELAXED);
	__atomic_store_n(&e->kind, (uint8_t)kind, __ATOMIC_RELAXED);
	__atomic_store_n(&e->version, version, __ATOMIC_RELAXED);
	__atomic_store_n(&head, head + 1, __ATOMIC_RELEASE);
}

uint64_t version_commit(const struct change *changes, size_t n)
{
	uint64_t v = version_now_shared + 1;

	if (n > VERSION_LOG / 4) {
		/* A bundle this large would push everything else out of the log: one entry with the
		 * union of what it touches. */
		uint64_t dep = 0;

		for (size_t i = 0; i < n; i++) {
			dep |= changes[i].kind == CHANGE_ALL ? ~0ull : changes[i].dep;
			rcu_free_later(changes[i].match);
		}
		append(v, CHANGE_TABLE, dep, NULL);
	} else {
		for (size_t i = 0; i < n; i++)
			append(v, changes[i].kind,
			       changes[i].kind == CHANGE_ALL ? ~0ull : changes[i].dep,
			       changes[i].match);
	}
	/* Full barrier: version_wait() must not read a thread's line before v is visible. */
	__atomic_store_n(&version_now_shared, v, __ATOMIC_SEQ_CST);
	return v;
}

void version_wait(uint64_t v)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++) {
		unsigned spins = 0;

		for (;;) {
			uint64_t r = __atomic_load_n(&threads[i].running, __ATOMIC_ACQUIRE);

			if (!r || r >= v)
				break;
			/* A burst takes microseconds; on a machine with fewer cores than threads
			 * the poll thread may not even be running. */
			if (++spins < 1000)
				rte_pause();
			else
				sched_yield();
		}
	}
}

uint64_t version_burst_begin(unsigned t)
{
	uint64_t *running = &threads[t].running;
	bool was_idle = !*running;
	uint64_t v = version_now();

	__atomic_store_n(running, v, __ATOMIC_RELEASE);
	/* From busy to busy the old line already held the writer up. From idle the store must be
	 * seen before the version is read for good. */
	while (was_idle) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		uint64_t again = version_now();
		if (again == v)
			break;
		v = again;
		__atomic_store_n(running, v, __ATOMIC_RELEASE);
	}
	return v;
}

void version_idle(unsigned t)
{
	__atomic_store_n(&threads[t].running, 0, __ATOMIC_RELEASE);
}

/* Is there a packet that follows the entry and, at the rule's table, matches the rule? Bits that
 * the path wrote, and registers, are unknown there and exclude nothing. */
static bool may_overlap(const struct version_subject *s, const struct minimatch *mm)
{
	unsigned at = 0;

	for (unsigned line = 0; line < FLOW_LINES; line++) {
		if (!(mm->lines & (1u << line)))
			continue;
		unsigned i = at++;
		if (line >= FLOW_KEY_LINES || !(s->lines & (1u << line)))
			continue;
		const uint64_t *value = (const uint64_t *)mm->data[i];
		const uint64_t *mask = (const uint64_t *)mm->data[mm->n_lines + i];
		size_t o = line * FLOW_LINE_BYTES;
		const uint64_t *key = (const uint64_t *)((const uint8_t *)s->key + o);
		const uint64_t *known = (const uint64_t *)((const uint8_t *)s->mask + o);
		const uint64_t *written =
			s->written ? (const uint64_t *)((const uint8_t *)s->written + o) : NULL;

		for (unsigned w = 0; w < FLOW_LINE_BYTES / 8; w++) {
			uint64_t both = mask[w] & known[w] & (written ? ~written[w] : ~0ull);

			if ((value[w] ^ key[w]) & both)
				return false;
		}
	}
	return true;
}

bool version_affects(const struct version_subject *s, uint64_t since, uint64_t now)
{
	uint64_t h = __atomic_load_n(&head, __ATOMIC_ACQUIRE), i = h;
	bool affects = false;

	while (!affects && i > 0) {
		if (h - i >= VERSION_LOG)
			return true; /* the log does not reach back far enough */
		const struct log_entry *e = &entries[--i % VERSION_LOG];
		uint64_t version = __atomic_load_n(&e->version, __ATOMIC_RELAXED);

		if (version <= since) {
			i++;
			break;
		}
		if (version > now || !(__atomic_load_n(&e->dep, __ATOMIC_RELAXED) & s->deps))
			continue;
		const struct minimatch *mm = __atomic_load_n(&e->match, __ATOMIC_ACQUIRE);
		affects = !mm || may_overlap(s, mm);
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return affects || __atomic_load_n(&head, __ATOMIC_RELAXED) - i > VERSION_LOG;
}
