/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of ssl: remotes. Event-loop thread. */
#pragma once
#include <openssl/types.h>

#include "datapath/base/err.h"

/* Paths of PEM files; "" = not given. */
struct tls_config {
	char *private_key, *certificate, *ca_cert; /* as given: a path, or "db:DB,TABLE,COLUMN" */
	const char *protocols; /* "TLSv1.2,TLSv1.3", borrowed; NULL: 1.2 and later */
	const char *ciphers;   /* as OpenSSL writes them, borrowed; NULL: its own choice */
	/* A CA certificate that is not there is taken from the first peer's chain and written to
	 * its file; that connection ends, the next is checked by it. */
	bool bootstrap;
	char *loaded; /* the files the context was made from, and their times */
	SSL_CTX *ctx;
};

void tls_config_free(struct tls_config *c);
/* Makes the context from these files unless they are the ones in use, unchanged. */
int tls_config_load(struct tls_config *c, const char *private_key, const char *certificate,
		    const char *ca_cert, struct err *e);
/* Are `protocols` and `ciphers` what OpenSSL knows? */
int tls_config_check(const struct tls_config *c, struct err *e);
/* A new TLS state for a connection; NULL without a context. */
SSL *tls_session(struct tls_config *c, bool is_server);
