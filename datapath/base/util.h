/* SPDX-License-Identifier: BSD-3-Clause */
/* Small macros and checked scalar types that everything uses. No state, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Values in network byte order. The type is the reminder; convert with be16_to_cpu() etc. */
typedef uint16_t be16_t;
typedef uint32_t be32_t;
typedef uint64_t be64_t;

static inline uint16_t be16_to_cpu(be16_t v)
{
	return __builtin_bswap16(v);
}
static inline uint32_t be32_to_cpu(be32_t v)
{
	return __builtin_bswap32(v);
}
static inline uint64_t be64_to_cpu(be64_t v)
{
	return __builtin_bswap64(v);
}
static inline be16_t cpu_to_be16(uint16_t v)
{
	return __builtin_bswap16(v);
}
static inline be32_t cpu_to_be32(uint32_t v)
{
	return __builtin_bswap32(v);
}
static inline be64_t cpu_to_be64(uint64_t v)
{
	return __builtin_bswap64(v);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");

/* Unaligned access to packet and message bytes. */
static inline uint16_t load_be16(const void *p)
{
	be16_t v;
	__builtin_memcpy(&v, p, sizeof v);
	return be16_to_cpu(v);
}
static inline uint32_t load_be32(const void *p)
{
	be32_t v;
	__builtin_memcpy(&v, p, sizeof v);
	return be32_to_cpu(v);
}
static inline uint64_t load_be64(const void *p)
{
	be64_t v;
	__builtin_memcpy(&v, p, sizeof v);
	return be64_to_cpu(v);
}
static inline void store_be16(void *p, uint16_t v)
{
	be16_t b = cpu_to_be16(v);
	__builtin_memcpy(p, &b, sizeof b);
}
static inline void store_be32(void *p, uint32_t v)
{
	be32_t b = cpu_to_be32(v);
	__builtin_memcpy(p, &b, sizeof b);
}
static inline void store_be64(void *p, uint64_t v)
{
	be64_t b = cpu_to_be64(v);
	__builtin_memcpy(p, &b, sizeof b);
}

#define SL_ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define SL_DIV_ROUND_UP(a, b)              (((a) + (b)-1) / (b))
#define SL_ALIGN_UP(a, n)                  (((a) + (n)-1) / (n) * (n))
#define SL_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define SL_CACHE_LINE                      64
#define SL_CACHE_ALIGNED                   __attribute__((aligned(SL_CACHE_LINE)))
#define SL_LIKELY(x)                       __builtin_expect(!!(x), 1)
#define SL_UNLIKELY(x)                     __builtin_expect(!!(x), 0)
#define SL_PRINTF(fmt, args)               __attribute__((format(printf, fmt, args)))
#define SL_UNUSED                          __attribute__((unused))
#define SL_PACKED                          __attribute__((packed))

/* Each argument is evaluated once. The numbers keep nested uses apart. */
#define SL_CAT_(a, b) a##b
#define SL_CAT(a, b)  SL_CAT_(a, b)
#define SL_MIN(a, b)  SL_PICK_(<, a, b, SL_CAT(sl_a, __COUNTER__), SL_CAT(sl_b, __COUNTER__))
#define SL_MAX(a, b)  SL_PICK_(>, a, b, SL_CAT(sl_a, __COUNTER__), SL_CAT(sl_b, __COUNTER__))
#define SL_PICK_(op, a, b, va, vb)                                                                 \
	__extension__({                                                                            \
		const __auto_type va = (a);                                                        \
		const __auto_type vb = (b);                                                        \
		va op vb ? va : vb;                                                                \
	})

/* Memory that small control-plane code needs: these abort on exhaustion (with a log line), so
 * they are never called with a size that a peer chose and nobody bounded, nor by a poll thread. */
void *xmalloc(size_t size);
void *xzalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) SL_PRINTF(1, 2);
void *xmemdup(const void *p, size_t n);

/* Strict number parsing: the whole string, no sign or space; base 0 accepts 0x. false on anything
 * else or when the value exceeds `max`. */
bool parse_u64(const char *s, int base, uint64_t max, uint64_t *out);
