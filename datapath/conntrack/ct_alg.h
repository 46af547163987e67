/* SPDX-License-Identifier: BSD-3-Clause */
/* Helpers for protocols that announce further connections inside their own: FTP (RFC 959, RFC
 * 2428) and TFTP (RFC 1350). Of a translated connection, an address or port that FTP announces is
 * replaced by the one that it is reached by; sequence numbers follow (ct_shift.h). At most the
 * first line of a packet is read or changed, and only a line that is whole. Poll threads. */
#pragma once
#include "datapath/conntrack/conn.h"
#include "datapath/conntrack/ct_nat.h"
#include "datapath/conntrack/ct_packet.h"

/* As ct(alg=…) names them, by their well-known port. */
enum ct_alg { CT_ALG_NONE = 0, CT_ALG_FTP = 21, CT_ALG_TFTP = 69 };

struct ct_alg_ask {
	const uint8_t *data; /* the contiguous first len bytes of the packet */
	uint32_t len, now_ms;
	bool nat, may_edit; /* as in struct conntrack_request */
};
/* A packet of direction `dir` of a connection that has a helper. What it announces is expected
 * from now on (ct_expect.h); rw->edit: how to say it. False: said once more, it would have to be
 * said at another length; the packet must not pass. */
bool ct_alg_packet(struct ct_conn *c, const struct ct_packet *p, unsigned dir,
		   const struct ct_alg_ask *ask, struct ct_rewrite *rw);

/* What a line of an FTP control connection announces. */
struct ct_alg_ftp {
	uint8_t family;   /* of addr; 0: no address, the speaker's own is meant */
	uint8_t addr[16]; /* IPv4: the first 4 bytes */
	uint16_t port;
	bool whole;     /* the line's end is there */
	char between;   /* of address and port, and with ',' also inside them; 0: a port alone */
	uint16_t at, n; /* where address and port are said */
};
/* `reply`: the server speaks (227, 229), else the client (PORT, EPRT). False: nothing. */
bool ct_alg_ftp_parse(const char *text, uint32_t len, bool reply, struct ct_alg_ftp *out);
