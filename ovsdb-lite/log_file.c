/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "datapath/base/log.h"

LOG_MODULE(ovsdb_log);

enum { SHA1_BYTES = 20, SHA1_HEX = 40, HEADER_MAX = 128 };
enum { RESERVE_BYTES = 256 << 10, KEEP_BELOW = 64 << 10 };
static const char magic[] = "OVSDB JSON ";

struct ovsdb_log {
	char *path;
	int fd, lock_fd;
	off_t size;          /* end of the last good record: where the next one goes */
	struct str pending;  /* its last bytes, not written yet: [size - pending.len, size) */
	off_t reserved;      /* file system blocks up to here are ours; >= size if pending */
	bool cannot_reserve; /* not this file system */
	const char *map;     /* while reading */
	size_t map_len, pos; /* pos: next record to read */
	size_t n_records;
	bool broken; /* a failed append could not be undone */
};

/* --- checksums -------------------------------------------------------------------------------- */

static void sha1(const char *a, size_t na, const char *b, size_t nb, char hex[SHA1_HEX + 1])
{
	static EVP_MD *md; /* fetched once: the look-up costs more than hashing a record */
	static EVP_MD_CTX *ctx;
	unsigned char digest[EVP_MAX_MD_SIZE];
	static const char digits[] = "0123456789abcdef";

	if (!md) {
		md = EVP_MD_fetch(NULL, "SHA1", NULL);
		ctx = EVP_MD_CTX_new();
	}
	EVP_DigestInit_ex2(ctx, md, NULL);
	EVP_DigestUpdate(ctx, a, na);
	EVP_DigestUpdate(ctx, b, nb);
	EVP_DigestFinal_ex(ctx, digest, NULL);
	for (int i = 0; i < SHA1_BYTES; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[SHA1_HEX] = '\0';
}

/* --- opening ---------------------------------------------------------------------------------- */

static int take_lock(struct ovsdb_log *log, struct err *e)
{
	const char *slash = strrchr(log->path, '/');
	int dir_len = slash ? (int)(slash - log->path) + 1 : 0;
	char *name = xasprintf("%.*s.%s.~lock~", dir_len, log->path, log->path + dir_len);
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int rc = 0;

	log->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (log->lock_fd < 0)
		rc = err_set(e, errno, "%s: open failed: %s", name, strerror(errno));
	else if (fcntl(log->lock_fd, F_SETLK, &fl) < 0)
		rc = err_set(e, EAGAIN, "%s: failed to lock: another process uses this database",
			     name);
	free(name);
	return rc;
}

static int map_file(struct ovsdb_log *log, struct err *e)
{
	struct stat st;

	if (fstat(log->fd, &st) < 0)
		return err_set(e, errno, "%s: %s", log->path, strerror(errno));
	log->map_len = (size_t)st.st_size;
	if (!log->map_len)
		return err_set(e, EINVAL, "%s: file is empty", log->path);
	void *p = mmap(NULL, log->map_len, PROT_READ, MAP_PRIVATE, log->fd, 0);
	if (p == MAP_FAILED)
		return err_set(e, errno, "%s: mmap: %s", log->path, strerror(errno));
	madvise(p, log->map_len, MADV_SEQUENTIAL);
	log->map = p;
	return 0;
}

int ovsdb_log_open(struct ovsdb_log **out, const char *path, enum ovsdb_log_mode mode,
		   struct err *e)
{
	static const int flags[] = {
		[OVSDB_LOG_READ_WRITE] = O_RDWR,
		[OVSDB_LOG_CREATE] = O_RDWR | O_CREAT | O_EXCL,
		[OVSDB_LOG_TEMPORARY] = O_RDWR | O_CREAT | O_TRUNC,
	};
	struct ovsdb_log *log = xzalloc(sizeof *log);
	char *real = mode == OVSDB_LOG_READ_WRITE ? realpath(path, NULL) : NULL;
	int rc = 0;

	log->path = xstrdup(real ? real : path);
	free(real);
	log->fd = log->lock_fd = -1;
	if (mode != OVSDB_LOG_TEMPORARY && access(log->path, F_OK) == 0)
		rc = take_lock(log, e);
	if (!rc) {
		log->fd = open(log->path, flags[mode] | O_CLOEXEC, 0640);
		if (log->fd < 0)
			rc = err_set(e, errno, "%s: open failed (%s)", log->path, strerror(errno));
	}
	if (!rc && mode == OVSDB_LOG_CREATE && log->lock_fd < 0)
		rc = take_lock(log, e);
	if (!rc && mode == OVSDB_LOG_READ_WRITE)
		rc = map_file(log, e);
	if (rc)
		ovsdb_log_close(log);
	else
		*out = log;
	return rc;
}

void ovsdb_log_end_reading(struct ovsdb_log *log)
{
	if (log->map)
		munmap((void *)log->map, log->map_len);
	log->map = NULL;
}

void ovsdb_log_close(struct ovsdb_log *log)
{
	if (!log)
		return;
	ovsdb_log_end_reading(log);
	if (log->fd >= 0) {
		ovsdb_log_flush(log);
		/* gives back what was reserved beyond the end */
		if (log->reserved > log->size && ftruncate(log->fd, log->size) < 0)
			log_warn("%s: truncate: %s", log->path, strerror(errno));
		close(log->fd);
	}
	str_free(&log->pending);
	if (log->lock_fd >= 0)
		close(log->lock_fd);
	free(log->path);
	free(log);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct record {
	const char *text;
	size_t len; /* newline included */
	size_t end; /* offset of the next record */
};

/* A whole record with the right checksum at `pos`? */
static bool parse_record(const struct ovsdb_log *log, size_t pos, struct record *r)
{
	const char *p = log->map + pos, *end = log->map + log->map_len;
	char hex[SHA1_HEX + 1];
	size_t len = 0;

	if ((size_t)(end - p) < sizeof magic - 1 || memcmp(p, magic, sizeof magic - 1))
		return false;
	p += sizeof magic - 1;
	const char *digits = p;
	while (p < end && *p >= '0' && *p <= '9' && p - digits < 15)
		len = len * 10 + (size_t)(*p++ - '0');
	if (p == digits || (size_t)(end - p) < 1 + SHA1_HEX + 1 || *p++ != ' ')
		return false;
	const char *given = p;
	p += SHA1_HEX;
	if (*p++ != '\n' || (size_t)(end - p) < len || !len)
		return false;
	sha1(p, len, NULL, 0, hex);
	if (memcmp(hex, given, SHA1_HEX))
		return false;
	*r = (struct record){p, len, (size_t)(p + len - log->map)};
	return true;
}

/* What a crash leaves of an append: a record that stops short, or blocks that were never written
 * and read as zeros. Anything else at the end of the file is damage to what was once whole. */
static bool is_torn(const struct ovsdb_log *log, size_t pos)
{
	const char *p = log->map + pos, *end = log->map + log->map_len;
	size_t n = (size_t)(end - p), len = 0;

	if (memchr(p, '\0', n))
		return true;
	if (memcmp(p, magic, SL_MIN(n, sizeof magic - 1)))
		return false;
	p += SL_MIN(n, sizeof magic - 1);
	while (p < end && *p >= '0' && *p <= '9' && len < SIZE_MAX / 16)
		len = len * 10 + (size_t)(*p++ - '0');
	if (p < end && *p != ' ')
		return false;
	return (size_t)(end - p) < 1 + SHA1_HEX + 1 + len;
}

/* Is there a good record anywhere behind `pos`? Then what is at `pos` is no torn tail. */
static bool good_record_after(const struct ovsdb_log *log, size_t pos)
{
	const char *p = log->map + pos + 1, *end = log->map + log->map_len;
	struct record r;

	while (p < end && (p = memmem(p, (size_t)(end - p), magic, sizeof magic - 1)) != NULL) {
		if (parse_record(log, (size_t)(p - log->map), &r))
			return true;
		p++;
	}
	return false;
}

int ovsdb_log_read(struct ovsdb_log *log, const char **text, size_t *len, struct err *e)
{
	struct record r;

	if (!log->map || log->pos >= log->map_len)
		return 0;
	if (parse_record(log, log->pos, &r)) {
		*text = r.text;
		*len = r.len;
		log->pos = r.end;
		log->size = (off_t)r.end;
		log->n_records++;
		return 1;
	}
	if (!log->n_records &&
	    (log->map_len < sizeof magic - 1 || memcmp(log->map, magic, sizeof magic - 1)))
		return err_set(e, EINVAL, "not a database file");
	if (!log->n_records)
		return err_set(e, EINVAL, "record 1 at offset 0, the schema, is damaged");
	if (good_record_after(log, log->pos))
		return err_set(e, EINVAL,
			       "record %zu at offset %zu is damaged and good records follow it; "
			       "refusing to lose them",
			       log->n_records + 1, log->pos);
	if (!is_torn(log, log->pos))
		return err_set(
			e, EINVAL,
			"record %zu at offset %zu, the last one, is damaged; \"truncate -s %zu\" "
			"would give it up",
			log->n_records + 1, log->pos, log->pos);
	log_warn("%s: last record is incomplete: %zu bytes at offset %zu are cut off", log->path,
		 log->map_len - log->pos, log->pos);
	if (ftruncate(log->fd, log->size) < 0)
		return err_set(e, errno, "cutting off an incomplete record: %s", strerror(errno));
	log->pos = log->map_len;
	return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int write_all(int fd, struct iovec *iov, int n, off_t at)
{
	while (n) {
		ssize_t k = pwritev(fd, iov, n, at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		at += k;
		while (n && (size_t)k >= iov->iov_len) {
			k -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n) {
			iov->iov_base = (char *)iov->iov_base + k;
			iov->iov_len -= (size_t)k;
		}
	}
	return 0;
}

/* Is there space for n more bytes that nobody can take away? */
static bool reserve(struct ovsdb_log *log, size_t n)
{
	off_t end = log->size + (off_t)n;

	if (end <= log->reserved)
		return true;
	if (log->cannot_reserve)
		return false;
	if (fallocate(log->fd, FALLOC_FL_KEEP_SIZE, log->size, (off_t)n + RESERVE_BYTES) < 0) {
		log->cannot_reserve = errno == EOPNOTSUPP || errno == ENOSYS;
		return false;
	}
	log->reserved = end + RESERVE_BYTES;
	return true;
}

int ovsdb_log_flush(struct ovsdb_log *log)
{
	struct iovec iov = {log->pending.s, log->pending.len};
	off_t at = log->size - (off_t)log->pending.len;

	if (log->broken)
		return -EIO;
	if (!log->pending.len)
		return 0;
	int rc = write_all(log->fd, &iov, 1, at);
	if (rc) {
		log->broken = true;
		log_err("%s: write failed: %s: transactions are refused from now on", log->path,
			strerror(-rc));
	}
	str_clear(&log->pending);
	return rc;
}

static int write_now(struct ovsdb_log *log, struct iovec iov[3], size_t n, struct err *e)
{
	int rc = ovsdb_log_flush(log);

	if (!rc)
		rc = write_all(log->fd, iov, 3, log->size);
	if (rc) {
		if (ftruncate(log->fd, log->size) < 0)
			log->broken = true;
		log->reserved = 0;
		return err_set(e, -rc, "%s: write failed: %s", log->path, strerror(-rc));
	}
	log->size += (off_t)n;
	return 0;
}

/* "OVSDB JSON <bytes> <hash>\n"; by hand, for snprintf took a tenth of a transaction. */
static size_t put_header(char header[HEADER_MAX], size_t len, const char hex[SHA1_HEX + 1])
{
	char digits[24], *d = digits + sizeof digits, *p = header;

	do {
		*--d = (char)('0' + len % 10);
		len /= 10;
	} while (len);
	p = mempcpy(p, magic, sizeof magic - 1);
	p = mempcpy(p, d, (size_t)(digits + sizeof digits - d));
	*p++ = ' ';
	p = mempcpy(p, hex, SHA1_HEX);
	*p++ = '\n';
	return (size_t)(p - header);
}

int ovsdb_log_append(struct ovsdb_log *log, const char *text, size_t len, struct err *e)
{
	char header[HEADER_MAX], hex[SHA1_HEX + 1];

	if (log->broken)
		return err_set(e, EIO, "%s: file could not be repaired after a failed write",
			       log->path);
	sha1(text, len, "\n", 1, hex);
	size_t n = put_header(header, len + 1, hex);
	size_t total = n + len + 1;
	if (total > KEEP_BELOW || log->pending.len > KEEP_BELOW || !reserve(log, total)) {
		struct iovec iov[3] = {
			{header, n},
			{(void *)text, len},
			{(char[]){'\n'}, 1},
		};

		return write_now(log, iov, total, e);
	}
	str_put(&log->pending, header, n);
	str_put(&log->pending, text, len);
	str_putc(&log->pending, '\n');
	log->size += (off_t)total;
	return 0;
}

int ovsdb_log_sync(struct ovsdb_log *log)
{
	int rc = ovsdb_log_flush(log);

	return rc ? rc : fdatasync(log->fd) < 0 ? -errno : 0;
}

int ovsdb_log_fd(const struct ovsdb_log *log)
{
	return log->fd;
}

off_t ovsdb_log_size(const struct ovsdb_log *log)
{
	return log->size;
}

void ovsdb_log_set_size(struct ovsdb_log *log, off_t size)
{
	log->size = size;
}

const char *ovsdb_log_path(const struct ovsdb_log *log)
{
	return log->path;
}

int ovsdb_log_copy_tail(struct ovsdb_log *log, off_t from, struct ovsdb_log *to, struct err *e)
{
	char buf[65536];

	if (ovsdb_log_flush(log) < 0 || ovsdb_log_flush(to) < 0)
		return err_set(e, EIO, "%s: write failed", log->path);
	to->reserved = 0;
	while (from < log->size) {
		size_t want = SL_MIN(sizeof buf, (size_t)(log->size - from));
		ssize_t n = pread(log->fd, buf, want, from);

		if (n <= 0)
			return err_set(e, n ? errno : EIO, "%s: read failed", log->path);
		struct iovec iov = {buf, (size_t)n};
		int rc = write_all(to->fd, &iov, 1, to->size);
		if (rc)
			return err_set(e, -rc, "%s: write failed: %s", to->path, strerror(-rc));
		to->size += n;
		from += n;
	}
	return 0;
}

static void sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		if (fsync(fd) < 0)
			log_warn("%s: fsync: %s", dir, strerror(errno));
		close(fd);
	}
	free(dir);
}

int ovsdb_log_replace(struct ovsdb_log *log, struct ovsdb_log *snapshot, struct err *e)
{
	ovsdb_log_flush(log); /* the old file may have been linked elsewhere */
	if (ovsdb_log_flush(snapshot) < 0 || fsync(snapshot->fd) < 0 ||
	    rename(snapshot->path, log->path) < 0) {
		int rc = err_set(e, errno, "%s: replacing the file failed: %s", log->path,
				 strerror(errno));
		unlink(snapshot->path);
		ovsdb_log_close(snapshot);
		return rc;
	}
	sync_directory(log->path);
	ovsdb_log_end_reading(log);
	close(log->fd);
	log->fd = snapshot->fd;
	log->size = snapshot->size;
	log->reserved = snapshot->reserved;
	log->broken = false;
	snapshot->fd = -1;
	ovsdb_log_close(snapshot);
	return 0;
}
