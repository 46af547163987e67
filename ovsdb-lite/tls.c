/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datapath/base/str.h"

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
	else if (!*ca_cert || SSL_CTX_load_verify_locations(ctx, ca_cert, NULL) != 1)
		rc = *ca_cert ? fail(e, "CA certificate", ca_cert)
			      : err_set(e, EINVAL, "ssl: a CA certificate is needed");
	if (rc) {
		SSL_CTX_free(ctx);
		free(key);
		return rc;
	}
	SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(ca_cert));
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
