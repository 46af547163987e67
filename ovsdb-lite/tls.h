/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of ssl: remotes. Event-loop thread. */
#pragma once
#include <openssl/types.h>

#include "datapath/base/err.h"

/* Paths of PEM files; "" = not given. */
struct tls_config {
	char *private_key, *certificate, *ca_cert; /* as given: a path, or "db:DB,TABLE,COLUMN" */
	char *loaded; /* the files the context was made from, and their times */
	SSL_CTX *ctx;
};

void tls_config_free(struct tls_config *c);
/* Makes the context from these files unless they are the ones in use, unchanged. */
int tls_config_load(struct tls_config *c, const char *private_key, const char *certificate,
		    const char *ca_cert, struct err *e);
/* A new TLS state for a connection; NULL without a context. */
SSL *tls_session(struct tls_config *c, bool is_server);
