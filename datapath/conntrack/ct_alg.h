/* SPDX-License-Identifier: BSD-3-Clause */
/* Helpers for protocols that announce further connections inside their own: FTP (RFC 959, RFC
 * 2428) and TFTP (RFC 1350). They read; nothing in a packet is changed. Poll threads. */
#pragma once
#include "datapath/conntrack/conn.h"
#include "datapath/conntrack/ct_packet.h"

/* As ct(alg=…) names them, by their well-known port. */
enum ct_alg { CT_ALG_NONE = 0, CT_ALG_FTP = 21, CT_ALG_TFTP = 69 };

/* A packet of direction `dir` of a connection that has a helper. What it announces is expected
 * from now on (ct_expect.h). data: the contiguous first len bytes of the packet. */
void ct_alg_packet(const struct ct_conn *c, const struct ct_packet *p, unsigned dir,
		   const uint8_t *data, uint32_t len, uint32_t now_ms);

/* What a line of an FTP control connection announces. */
struct ct_alg_ftp {
	uint8_t family;   /* of addr; 0: no address, the speaker's own is meant */
	uint8_t addr[16]; /* IPv4: the first 4 bytes */
	uint16_t port;
};
/* `reply`: the server speaks (227, 229), else the client (PORT, EPRT). False: nothing. */
bool ct_alg_ftp_parse(const char *text, uint32_t len, bool reply, struct ct_alg_ftp *out);
