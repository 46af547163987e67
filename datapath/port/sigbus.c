/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

enum { SLOTS = 8192 }; /* 1,024 guests of 8 regions */

/* Read by the handler in any thread at any time: `start` is published last and withdrawn first. */
static struct guard {
	uintptr_t start; /* 0: free  W: add, remove (release)  R: handler (acquire) */
	size_t bytes;
	bool *faulted;
} guards[SLOTS];
static int n_used; /* slots ever used; grows only */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	int n = __atomic_load_n(&n_used, __ATOMIC_ACQUIRE), saved = errno;

	for (int i = 0; i < n; i++) {
		struct guard *g = &guards[i];
		uintptr_t start = __atomic_load_n(&g->start, __ATOMIC_ACQUIRE);

		if (!start || at < start || at >= start + g->bytes)
			continue;
		if (mmap((void *)start, g->bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			 0) == MAP_FAILED)
			break;
		__atomic_store_n(g->faulted, true, __ATOMIC_RELEASE);
		errno = saved;
		return;
	}
	sigaction(SIGBUS, &before, NULL); /* the instruction faults again, without us */
}

int sigbus_guard_add(void *start, size_t bytes, bool *faulted)
{
	static bool installed;
	int slot = 0;

	pthread_mutex_lock(&mutex);
	if (!installed) {
		struct sigaction sa = {.sa_sigaction = on_sigbus,
				       .sa_flags = SA_SIGINFO | SA_NODEFER};

		sigaction(SIGBUS, &sa, &before);
		installed = true;
	}
	while (slot < SLOTS && guards[slot].start)
		slot++;
	if (slot < SLOTS) {
		guards[slot].bytes = bytes;
		guards[slot].faulted = faulted;
		__atomic_store_n(&guards[slot].start, (uintptr_t)start, __ATOMIC_RELEASE);
		if (slot >= n_used)
			__atomic_store_n(&n_used, slot + 1, __ATOMIC_RELEASE);
	} else {
		slot = -ENOSPC;
	}
	pthread_mutex_unlock(&mutex);
	return slot;
}

void sigbus_guard_remove(int slot)
{
	if (slot < 0)
		return;
	pthread_mutex_lock(&mutex);
	__atomic_store_n(&guards[slot].start, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&mutex);
}
