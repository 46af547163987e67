/* SPDX-License-Identifier: BSD-3-Clause */
/* Actions and instructions as rules, groups and packet-outs carry them: one encoding that the
 * OpenFlow codec produces from every wire version and from text, that api messages transport, that
 * tables store and that resolve executes. It keeps what the sender wrote (load and set_field stay
 * apart), so that a rule prints back the same.
 *
 * A list is a sequence of structs, each starting with struct action and padded to 8 bytes;
 * nested lists (clone, write_actions, ct) are the tail of their struct. Host byte order unless the
 * type says be. OpenFlow port numbers are 32-bit (OFPP_* of OpenFlow 1.1+).
 * Lists from outside the process go through action_list_check() before anything else reads them.
 * No state; any thread. Semantics: OpenFlow 1.5.1 §5.8, 7.2.6, and ovs-actions(7). */
#pragma once
#include "datapath/flow/field.h"

/* Reserved OpenFlow ports (1.5.1 §7.2.1.1). */
enum {
	OFP_PORT_MAX = 0xffffff00u,
	OFP_PORT_UNSET = 0xfffffff7u,
	OFP_PORT_IN_PORT = 0xfffffff8u,
	OFP_PORT_TABLE = 0xfffffff9u,
	OFP_PORT_NORMAL = 0xfffffffau,
	OFP_PORT_FLOOD = 0xfffffffbu,
	OFP_PORT_ALL = 0xfffffffcu,
	OFP_PORT_CONTROLLER = 0xfffffffdu,
	OFP_PORT_LOCAL = 0xfffffffeu,
	OFP_PORT_ANY = 0xffffffffu, /* also "none" */
};

enum action_type {
#define ACTION(id, ...) ACTION_##id,
#include "datapath/flow/actions.def"
#undef ACTION
	ACTION_N
};

/* Flags of a row in actions.def. */
enum {
	ACT_INSTRUCTION = 1u << 0, /* OpenFlow instruction: top level of a rule only */
	ACT_IN_SET = 1u << 1,      /* allowed in an action set (write_actions, group buckets) */
	ACT_IN_CT = 1u << 2,       /* allowed nested in ct() */
	ACT_NESTS = 1u << 3,       /* tail is an action list */
	ACT_TERMINAL = 1u << 4,    /* nothing after it in the same list is executed */
};

struct action {
	uint16_t type; /* enum action_type */
	uint16_t len;  /* bytes of the whole struct with tail, before padding to 8 */
	uint32_t pad;
};

#define ACTION_PADDED(len) SL_ALIGN_UP((size_t)(len), 8)

struct action_output {
	struct action a;
	uint32_t port;
	uint16_t max_len; /* bytes to a controller */
	uint16_t pad;
};
struct action_output_reg {
	struct action a;
	struct subfield src;
	uint16_t max_len;
	uint16_t pad[3];
};
struct action_output_trunc {
	struct action a;
	uint32_t port;
	uint32_t max_len;
};
struct action_group {
	struct action a;
	uint32_t group_id;
	uint32_t pad;
};
/* Beside OpenFlow's reasons of a packet-in: no rule matched, and none asked for it. Controllers of
 * OpenFlow 1.0 to 1.2 get that as "no match" (1.0 §5.4.1), later ones not at all. */
enum { OFPR_IMPLICIT_MISS = 31 };
/* … and the table-miss rule's: "no match" from 1.3 on, which know such rules, else "action". */
enum { OFPR_EXPLICIT_MISS = 30 };

struct action_controller {
	struct action a;
	uint16_t max_len, controller_id;
	uint8_t reason; /* OFPR_* */
	uint8_t pause;
	uint16_t userdata_len;
	uint32_t meter_id; /* 0xffffffff: none */
	uint32_t pad;
	uint8_t userdata[];
};
struct action_enqueue {
	struct action a;
	uint32_t port, queue;
};
struct action_queue { /* set_queue */
	struct action a;
	uint32_t queue, pad;
};
/* set_field, load (NXAST_REG_LOAD) and write_metadata: n bytes of value, then n bytes of mask; n =
 * fields[field].n_bytes. A whole-field write has an all-ones mask over the field's bits. */
struct action_set_field {
	struct action a;
	uint16_t field; /* enum field_id */
	uint16_t n_bytes;
	uint16_t ofs, n_bits; /* load: the sub-field as written; set_field: 0, 0 */
	uint8_t data[];
};
struct action_move {
	struct action a;
	struct subfield src, dst;
};
struct action_stack {
	struct action a;
	struct subfield sf;
};
struct action_ttl { /* set_nw_ttl in 1.1+ (set_ttl), set_mpls_ttl */
	struct action a;
	uint8_t ttl;
	uint8_t pad[7];
};
struct action_dec_ttl {
	struct action a;
	uint16_t n_ids; /* 0 with explicit_ids: nobody is told */
	uint16_t explicit_ids;
	uint32_t pad;
	uint16_t ids[];
};
struct action_push {
	struct action a;
	be16_t ethertype;
	uint16_t pad[3];
};
/* OpenFlow 1.0 set_vlan_vid/pcp, which add a tag when there is none (push_if_missing). */
struct action_vlan {
	struct action a;
	uint16_t value;
	uint8_t push_if_missing;
	uint8_t pad[5];
};
struct action_set_addr { /* mod_nw_src/dst, mod_nw_tos, mod_nw_ecn, mod_tp_src/dst, mod_dl_*: 1.0
			    forms of set_field that print as mod_*; field names which */
	struct action a;
	uint16_t field;
	uint16_t n_bytes;
	uint32_t pad;
	uint8_t value[16];
};
struct action_resubmit {
	struct action a;
	uint32_t in_port; /* OFP_PORT_IN_PORT: keep */
	uint8_t table;    /* 255: the current one */
	uint8_t with_ct;  /* resubmit(port,table,ct): swap in the original tuple */
	uint8_t nxt_form; /* 1: written as NXAST_RESUBMIT (no table) */
	uint8_t pad;
};
struct action_conjunction {
	struct action a;
	uint32_t id;
	uint8_t clause, n_clauses; /* clause counts from 0 */
	uint16_t pad;
};
struct action_note {
	struct action a;
	uint32_t n_bytes, pad;
	uint8_t data[];
};
struct action_nested { /* clone, write_actions, apply_actions inside groups */
	struct action a;
	/* actions */
	uint8_t list[];
};
struct action_multipath {
	struct action a;
	struct subfield dst;
	uint16_t fields, basis, algorithm, max_link;
	uint32_t arg, pad;
};
struct action_bundle {
	struct action a;
	uint16_t fields, basis, algorithm, n_ports;
	struct subfield dst; /* n_bits 0: output instead of load */
	uint32_t ports[];
};
struct action_fin_timeout {
	struct action a;
	uint16_t idle_s, hard_s;
	uint32_t pad;
};
struct action_check_pkt_larger {
	struct action a;
	uint16_t pkt_len, pad[3];
	struct subfield dst;
};
struct action_sample {
	struct action a;
	uint16_t probability;
	uint8_t direction; /* 0 default, 1 ingress, 2 egress */
	uint8_t form;      /* NXAST_SAMPLE, 2, 3 */
	uint32_t collector_set, obs_domain, obs_point, sampling_port, pad;
};
struct action_ct {
	struct action a;
	uint8_t commit, force;
	uint8_t recirc_table; /* 255: none */
	uint8_t has_zone_src;
	uint16_t alg; /* 0, 21 (FTP), 69 (TFTP) */
	uint16_t zone;
	struct subfield zone_src;
	/* nested: nat, set_field/load/move to ct_mark and ct_label */
	uint8_t list[];
};
enum { NAT_SRC = 1, NAT_DST = 2, NAT_PERSISTENT = 4, NAT_HASH = 8, NAT_RANDOM = 16 };
struct action_nat {
	struct action a;
	uint16_t flags; /* NAT_*; neither SRC nor DST: nat() of existing connections only */
	uint8_t family; /* 0 none, 4, 6 */
	uint8_t pad;
	uint16_t port_min, port_max;        /* 0: none */
	uint8_t addr_min[16], addr_max[16]; /* IPv4 in the first 4 bytes; all 0: none */
};
struct action_meter {
	struct action a;
	uint32_t meter_id;
	uint32_t as_instruction; /* 1: OpenFlow 1.3/1.4 instruction */
};
struct action_goto {
	struct action a;
	uint8_t table;
	uint8_t pad[7];
};
struct action_delete_field {
	struct action a;
	uint16_t field;
	uint16_t pad[3];
};
/* learn: the template of a rule. Specs follow, each struct learn_spec padded to 8 with its tail. */
enum { LEARN_SEND_FLOW_REM = 1, LEARN_DELETE_LEARNED = 2, LEARN_WRITE_RESULT = 4 };
enum learn_dst { LEARN_DST_MATCH, LEARN_DST_LOAD, LEARN_DST_OUTPUT };
struct learn_spec {
	uint8_t src_is_value; /* tail holds the value, big-endian, (n_bits + 7) / 8 bytes, padded */
	uint8_t dst_type;     /* enum learn_dst */
	uint16_t n_bits;
	uint32_t len; /* with tail */
	struct subfield src, dst;
	uint8_t value[];
};
struct action_learn {
	struct action a;
	uint16_t idle_timeout_s, hard_timeout_s, priority;
	uint8_t table;
	uint8_t flags; /* LEARN_* */
	be64_t cookie;
	uint16_t fin_idle_s, fin_hard_s;
	uint32_t limit;             /* 0: none */
	struct subfield result_dst; /* n_bits 0: none */
	uint8_t specs[];
};

struct action_info {
	enum action_type type;
	const char *name;  /* text name; rows may share one */
	uint16_t min_len;  /* sizeof its struct */
	uint16_t flags;    /* ACT_* */
	uint8_t set_order; /* execution order in an action set; 0: not allowed */
	const char *doc;
};
extern const struct action_info action_infos[ACTION_N];

/* A list in memory: `len` is a multiple of 8. */
struct action_list {
	const uint8_t *data;
	size_t len;
};

#define ACTION_FOR_EACH(it, list, list_len)                                                        \
	for (const struct action *it = (const struct action *)(const void *)(list);                \
	     (uintptr_t)it - (uintptr_t)(list) < (list_len); /* an empty list may be NULL */       \
	     it = (const struct action *)(const void *)((const uint8_t *)it +                      \
							ACTION_PADDED(it->len)))

/* Bytes of the nested list of an action with ACT_NESTS; NULL and 0 for others. */
const uint8_t *action_nested(const struct action *a, size_t *len);

/* Structure only (lengths, types, nesting depth <= 16, sub-fields, counts): after true, walking the
 * list is safe. Meaning (prerequisites, tables, groups that exist) is the codec's and tables' job.
 */
int action_list_check(const void *data, size_t len, struct err *e);

/* Building. Memory grows by realloc; pointers are valid until the next call. Actions longer than
 * ACTION_MAX_LEN cannot be: the calls that may run into that say so. */
enum { ACTION_MAX_LEN = 65528, ACTION_MAX_DEPTH = 16 };
struct action_buf {
	uint8_t *data;
	size_t len, cap;
};
/* Appends one action, zeroed but for its header. struct_size may include a tail. */
void *action_buf_put(struct action_buf *b, enum action_type type, size_t struct_size);
/* Appends n bytes to the last action, which began at `start`, and fixes its len; returns the
 * action, or NULL (nothing changed) when it would become too long. */
void *action_buf_grow_last(struct action_buf *b, size_t start, const void *tail, size_t n);
/* A nesting action: what is put until close becomes its list. open returns `start`; close returns
 * false when the whole is too long (the buffer is then of no use). */
size_t action_buf_open(struct action_buf *b, enum action_type type, size_t struct_size);
bool action_buf_close(struct action_buf *b, size_t start);
void action_buf_free(struct action_buf *b);
/* The common single ones. */
void action_put_output(struct action_buf *b, uint32_t port, uint16_t max_len);
/* set_field or write_metadata; mask NULL: the whole field. */
void action_put_set_field(struct action_buf *b, enum action_type type, const struct field_info *f,
			  const union field_value *value, const union field_value *mask);
/* load: the low sf->n_bits bits of value. */
void action_put_load(struct action_buf *b, const struct subfield *sf, uint64_t value);
