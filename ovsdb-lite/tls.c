/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "datapath/base/util.h"

LOG_MODULE(ovsdb_tls);

void tls_config_free(struct tls_config *c)
{
	SSL_CTX_free(c->ctx);
	free(c->private_key);
	free(c->certificate);
	free(c->ca_cert);
	free(c->loaded);
	*c = (struct tls_config){0};
}

static int fail(struct err *e, const char *what, const char *path)
{
	char text[256];

	ERR_error_string_n(ERR_get_error(), text, sizeof text);
	return err_set(e, EINVAL, "%s %s: %s", what, path, text);
}

/* What the context is made from: a renewed certificate is another one. */
static char *fingerprint(const char *const paths[3])
{
	struct str s = STR_INIT;

	for (int i = 0; i < 3; i++) {
		struct stat st = {0};

		if (stat(paths[i], &st) < 0)
			st.st_ino = 0;
		str_printf(&s, "%s\n%llu %lld %lld.%09ld\n", paths[i],
			   (unsigned long long)st.st_ino, (long long)st.st_size,
			   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	}
	return str_steal(&s);
}

/* "TLSv1.2,TLSv1.3": from the lowest that is named to the highest. */
static int set_protocols(SSL_CTX *ctx, const char *list, struct err *e)
{
	static const struct {
		const char *name;
		int version;
	} known[] = {{"TLSv1", TLS1_VERSION},
		     {"TLSv1.1", TLS1_1_VERSION},
		     {"TLSv1.2", TLS1_2_VERSION},
		     {"TLSv1.3", TLS1_3_VERSION}};
	int low = TLS1_3_VERSION, high = 0;

	for (const char *p = list + strspn(list, ", \t"); *p; p += strspn(p, ", \t")) {
		size_t n = strcspn(p, ", \t"), i = 0;

		while (i < SL_ARRAY_SIZE(known) &&
		       (strlen(known[i].name) != n || strncasecmp(known[i].name, p, n) != 0))
			i++;
		if (i == SL_ARRAY_SIZE(known))
			return err_set(e, EINVAL, "%.*s: not a TLS protocol", (int)n, p);
		low = SL_MIN(low, known[i].version);
		high = SL_MAX(high, known[i].version);
		p += n;
	}
	if (!high)
		return err_set(e, EINVAL, "no TLS protocol is named");
	SSL_CTX_set_min_proto_version(ctx, low);
	SSL_CTX_set_max_proto_version(ctx, high);
	return 0;
}

static int restrict_context(const struct tls_config *c, SSL_CTX *ctx, struct err *e)
{
	if (c->ciphers && SSL_CTX_set_cipher_list(ctx, c->ciphers) != 1)
		return fail(e, "ciphers", c->ciphers);
	return c->protocols ? set_protocols(ctx, c->protocols, e) : 0;
}

int tls_config_check(const struct tls_config *c, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	int rc = restrict_context(c, ctx, e);

	SSL_CTX_free(ctx);
	return rc;
}

static void free_awaited(void *parent, void *path, CRYPTO_EX_DATA *data, int index, long argl,
			 void *argp)
{
	free(path);
}

/* Where a context keeps the path of the CA certificate that it waits for: sessions outlive the
 * configuration. */
static int awaited_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_awaited);
	return index;
}

/* A peer's chain when there is no CA certificate yet: its last certificate becomes that. The
 * handshake fails in every case. */
static int take_ca_certificate(X509_STORE_CTX *chain, void *aux)
{
	const char *path = SSL_CTX_get_ex_data(aux, awaited_index());
	STACK_OF(X509) *certs = X509_STORE_CTX_get0_untrusted(chain);
	int n = certs ? sk_X509_num(certs) : 0;
	X509 *last = n > 0 ? sk_X509_value(certs, n - 1) : X509_STORE_CTX_get0_cert(chain);
	FILE *file = NULL;
	int fd;

	X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
	if (!last || X509_check_issued(last, last) != X509_V_OK) {
		LOG_LIMIT(log_err, 6, "%s: a peer's chain does not end in a CA certificate", path);
		return 0;
	}
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
	if (fd >= 0)
		file = fdopen(fd, "w");
	if (!file || PEM_write_X509(file, last) != 1 || fflush(file))
		LOG_LIMIT(log_err, 6, "%s: cannot be written: %s", path, strerror(errno));
	else
		log_info("%s: taken from the first peer's certificates", path);
	if (file)
		fclose(file);
	else if (fd >= 0)
		close(fd);
	return 0;
}

static int load_ca(struct tls_config *c, SSL_CTX *ctx, const char *path, struct err *e)
{
	if (!*path)
		return err_set(e, EINVAL, "ssl: a CA certificate is needed");
	if (c->bootstrap && access(path, F_OK) < 0 && errno == ENOENT) {
		SSL_CTX_set_ex_data(ctx, awaited_index(), xstrdup(path));
		SSL_CTX_set_cert_verify_callback(ctx, take_ca_certificate, ctx);
		return 0;
	}
	if (SSL_CTX_load_verify_locations(ctx, path, NULL) != 1)
		return fail(e, "CA certificate", path);
	SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(path));
	return 0;
}

int tls_config_load(struct tls_config *c, const char *private_key, const char *certificate,
		    const char *ca_cert, struct err *e)
{
	char *key = fingerprint((const char *const[]){private_key, certificate, ca_cert});
	SSL_CTX *ctx;
	int rc = 0;

	if (c->ctx && c->loaded && !strcmp(key, c->loaded)) {
		free(key);
		return 0;
	}
	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_method());
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (!*private_key || !*certificate)
		rc = err_set(e, EINVAL, "ssl: a private key and a certificate are needed");
	else if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
		rc = fail(e, "certificate", certificate);
	else if (SSL_CTX_use_PrivateKey_file(ctx, private_key, SSL_FILETYPE_PEM) != 1)
		rc = fail(e, "private key", private_key);
	else
		rc = restrict_context(c, ctx, e);
	if (!rc)
		rc = load_ca(c, ctx, ca_cert, e);
	if (rc) {
		SSL_CTX_free(ctx);
		free(key);
		return rc;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_free(c->ctx);
	free(c->loaded);
	c->ctx = ctx;
	c->loaded = key;
	return 0;
}

SSL *tls_session(struct tls_config *c, bool is_server)
{
	SSL *ssl = c->ctx ? SSL_new(c->ctx) : NULL;

	if (ssl && is_server)
		SSL_set_accept_state(ssl);
	else if (ssl)
		SSL_set_connect_state(ssl);
	return ssl;
}
