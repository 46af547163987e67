/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules, groups and meters from text: for the sluice command and for the rules a bridge starts
 * with. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/object_text.h"
#include "control/openflow/op.h"
#include "datapath/flow/flow_text.h"

/* ---- names ---- */

struct wanted_port {
	const char *name;
	uint32_t *ofport;
	bool found;
};

static void compare_name(const struct ofswitch_port *p, void *aux)
{
	struct wanted_port *w = aux;
	if (strcmp(p->name, w->name))
		return;
	*w->ofport = p->ofport;
	w->found = true;
}

static bool port_by_name(void *aux, const char *name, uint32_t *ofport)
{
	struct ofswitch *sw = aux;
	struct wanted_port w = {.name = name, .ofport = ofport};
	sw->ops.for_each_port(sw->ops_aux, compare_name, &w);
	return w.found;
}

struct command {
	const char *name;
	uint16_t number;
};
static const struct command flow_commands[] = {{"add", OFPFC_ADD},
					       {"modify", OFPFC_MODIFY},
					       {"modify_strict", OFPFC_MODIFY_STRICT},
					       {"delete", OFPFC_DELETE},
					       {"delete_strict", OFPFC_DELETE_STRICT}};
static const struct command group_commands[] = {{"add", OFPGC_ADD},
						{"modify", OFPGC_MODIFY},
						{"delete", OFPGC_DELETE},
						{"add_or_mod", OFPGC_ADD_OR_MOD},
						{"insert_bucket", OFPGC15_INSERT_BUCKET},
						{"remove_bucket", OFPGC15_REMOVE_BUCKET}};
static const struct command meter_commands[] = {
	{"add", OFPMC_ADD}, {"modify", OFPMC_MODIFY}, {"delete", OFPMC_DELETE}};
static const struct command tlv_commands[] = {{"add", NXTTMC_ADD}, {"clear", NXTTMC_CLEAR}};

/* ---- lines ---- */

struct change {
	struct ofswitch *sw;
	struct text_ports ports;
	struct msg *out;
};

static int refuse(enum ofp_err err, struct err *e)
{
	return err_set(e, EINVAL, "%s (OFP%s)", ofp_err_text(err), ofp_err_name(err));
}

static int change_flow(const struct change *c, uint16_t command, const char *spec, struct err *e)
{
	struct flow_text f;
	int rc = flow_text_parse(spec, &c->ports, &f, e);
	if (rc)
		return rc;
	bool changes = command < OFPFC_DELETE, selects = command != OFPFC_ADD;
	struct flow_mod fm = {
		.command = (uint8_t)command,
		.table = f.table,
		.priority = f.priority,
		.idle_timeout_s = f.idle_timeout_s,
		.hard_timeout_s = f.hard_timeout_s,
		.importance = f.importance,
		.cookie = f.cookie,
		.cookie_mask = f.cookie_mask,
		.new_cookie = f.cookie,
		.sets_cookie = command == OFPFC_ADD,
		.out_port = f.out_port,
		.out_group = f.out_group,
		.flags = f.flags,
		.match = f.match,
		.actions = f.actions,
	};
	if (selects && f.has_cookie && !f.cookie_mask)
		fm.cookie_mask = UINT64_MAX;
	enum ofp_err err = OFPERR_OK;
	if (changes && !f.has_actions)
		rc = err_set(e, EINVAL, "column 1: actions= is missing");
	else
		err = flow_mod_to_op(c->sw, &fm, OFP15, c->out);
	f.actions = fm.actions;
	flow_text_free(&f);
	return err ? refuse(err, e) : rc;
}

static int change_group(const struct change *c, uint16_t command, const char *spec, struct err *e)
{
	struct group_mod g;
	int rc = !*spec && command == OFPGC_DELETE ? group_text_parse("group_id=all", NULL, &g, e)
						   : group_text_parse(spec, &c->ports, &g, e);
	g.command = command;
	enum ofp_err err = rc ? OFPERR_OK : group_mod_check(&g);
	if (!rc && !err)
		group_mod_to_op(c->sw->bridge, &g, c->out);
	group_mod_free(&g);
	return err ? refuse(err, e) : rc;
}

static int change_meter(const struct change *c, uint16_t command, const char *spec, struct err *e)
{
	struct meter_mod m;
	int rc = meter_text_parse(!*spec && command == OFPMC_DELETE ? "meter=all" : spec, &m, e);
	m.command = command;
	enum ofp_err err = rc ? OFPERR_OK : meter_mod_check(&m);
	if (!rc && !err)
		meter_mod_to_op(c->sw->bridge, &m, c->out);
	return err ? refuse(err, e) : rc;
}

/* The map of tunnel options, as add-tlv-map of ovs-ofctl takes its entries. It holds from here on:
 * the lines behind may name the fields. */
static int change_tlv(const struct change *c, uint16_t command, const char *spec, struct err *e)
{
	unsigned class, type, length, index;
	struct tlv_map t = {0};
	int end = 0;
	if (command == NXTTMC_ADD) {
		if (sscanf(spec, " {class=%i,type=%i,len=%i}->tun_metadata%u %n", (int *)&class,
			   (int *)&type, (int *)&length, &index, &end) != 4 ||
		    spec[end] || class > UINT16_MAX || type > UINT8_MAX || length > UINT8_MAX ||
		    index > UINT16_MAX)
			return err_set(e, EINVAL,
				       "column 1: expected {class=C,type=T,len=L}->tun_metadataN");
		t = (struct tlv_map){(uint16_t) class, (uint8_t)type, (uint8_t)length,
				     (uint16_t)index};
	}
	enum ofp_err err = tlv_map_change(c->sw, command, &t);
	if (!err)
		tlv_map_put(c->sw, c->out);
	return err ? refuse(err, e) : 0;
}

static const struct {
	const char *name;
	const struct command *commands;
	size_t n_commands;
	int (*change)(const struct change *c, uint16_t command, const char *spec, struct err *e);
} kinds[] = {
	{"flow", flow_commands, SL_ARRAY_SIZE(flow_commands), change_flow},
	{"group", group_commands, SL_ARRAY_SIZE(group_commands), change_group},
	{"meter", meter_commands, SL_ARRAY_SIZE(meter_commands), change_meter},
	{"tlv", tlv_commands, SL_ARRAY_SIZE(tlv_commands), change_tlv},
};

/* Blanks out a word at *s and goes behind it; columns stay as they are in the line. */
static bool take_word(char **s, const char *word)
{
	size_t n = strlen(word);
	char *at = *s + strspn(*s, " \t");
	if (strncmp(at, word, n) || !(at[n] == '\0' || strchr(" \t", at[n])))
		return false;
	memset(at, ' ', n);
	*s = at + n;
	return true;
}

static bool is_blank(const char *s)
{
	return !s[strspn(s, " \t\r,")];
}

static int put_line(const struct change *c, char *line, const char *command, struct err *e)
{
	char *at = line;
	size_t kind = 0;
	const struct command *chosen = NULL;
	for (size_t i = 0; i < SL_ARRAY_SIZE(kinds); i++)
		if (take_word(&at, kinds[i].name)) {
			kind = i;
			break;
		}
	for (size_t i = 0; i < kinds[kind].n_commands && !chosen; i++)
		if (take_word(&at, kinds[kind].commands[i].name))
			chosen = &kinds[kind].commands[i];
	for (size_t i = 0; i < kinds[kind].n_commands && !chosen; i++)
		if (!strcmp(command, kinds[kind].commands[i].name))
			chosen = &kinds[kind].commands[i];
	if (!chosen)
		return err_set(e, EINVAL, "%s is nothing that a %s can be told", command,
			       kinds[kind].name);
	return kinds[kind].change(c, chosen->number, is_blank(at) ? "" : line, e);
}

struct line_numbers {
	VEC(unsigned) of_op; /* operation to line */
	bool several;        /* worth telling */
};

/* What makes room for a saved state. */
static int put_clearing(const struct change *c, struct line_numbers *lines, struct err *e)
{
	int rc = change_flow(c, OFPFC_DELETE, "", e);
	if (!rc)
		rc = change_group(c, OFPGC_DELETE, "", e);
	if (!rc)
		rc = change_meter(c, OFPMC_DELETE, "", e);
	for (int i = 0; i < 3; i++)
		vec_push(&lines->of_op, 0);
	return rc;
}

static int put_lines(struct ofswitch *sw, const char *text, const char *command, struct msg *out,
		     struct line_numbers *lines, struct err *e)
{
	const struct change c = {
		.sw = sw, .ports = {.by_name = port_by_name, .aux = sw}, .out = out};
	unsigned number = 0;
	if (!strcmp(command, "restore")) {
		int rc = put_clearing(&c, lines, e);
		if (rc)
			return rc;
		command = "add";
	}
	lines->several = strchr(text, '\n') && !is_blank(strchr(text, '\n') + 1);
	for (const char *next; *text || !number; text = next) {
		size_t n = strcspn(text, "\n");
		next = text[n] ? text + n + 1 : text + n;
		number++;
		char *line = xstrndup(text, n);
		char *comment = line[strspn(line, " \t")] == '#' ? line : strstr(line, " #");
		if (comment)
			*comment = '\0';
		int rc = is_blank(line) && lines->several ? 0 : put_line(&c, line, command, e);
		if (!is_blank(line) || !lines->several)
			vec_push(&lines->of_op, number);
		free(line);
		if (rc && lines->several)
			err_prefix(e, "line %u", number);
		if (rc)
			return rc;
	}
	return 0;
}

/* All or nothing, the map of tunnel options included. */
static int put_text(struct ofswitch *sw, const char *text, const char *command, struct msg *out,
		    struct line_numbers *lines, struct err *e)
{
	size_t n = sw->tlv.len;
	struct tlv_map *before = n ? xmemdup(sw->tlv.at, n * sizeof *before) : NULL;
	uint8_t places[TUN_OPT_FIELDS];
	tlv_map_places(sw, places);
	int rc = put_lines(sw, text, command, out, lines, e);
	if (rc && (n != sw->tlv.len || (n && memcmp(before, sw->tlv.at, n * sizeof *before))))
		tlv_map_restore(sw, before, places, n);
	free(before);
	return rc;
}

int ofswitch_put_text(struct ofswitch *sw, const char *text, const char *command,
		      struct msg *transaction, struct err *e)
{
	struct line_numbers lines = {.several = false};
	int rc = put_text(sw, text, command, transaction, &lines, e);
	vec_free(&lines.of_op);
	return rc;
}

/* ---- sending ---- */

struct text_request {
	struct ofrequest r;
	struct line_numbers lines;
	struct msg sent; /* a copy, until it is answered */
	void (*done)(const struct err *error, void *aux);
	void *aux;
};

static void on_reply(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	struct text_request *t = SL_CONTAINER_OF(r, struct text_request, r);
	uint64_t op = attrs_u64(a, ATTR_ERROR_OP, UINT64_MAX);
	struct err e = {0};
	if (more)
		return;
	shadow_refresh_soon(r->sw);
	if (!err)
		shadow_answered(r->sw,
				(struct attrs){t->sent.data + sizeof(struct msg_header),
					       t->sent.len - sizeof(struct msg_header)},
				a);
	if (err)
		bridge_state_load(r->sw); /* lines may have changed it */
	if (err) {
		e = *err;
		if (attrs_has(a, ATTR_ERROR_OFP)) {
			enum ofp_err known = ofrequest_error(a, err);
			err_clear(&e);
			err_set(&e, err->code, "%s (OFP%s)", err->text, ofp_err_name(known));
		}
		if (t->lines.several && op < t->lines.of_op.len)
			err_prefix(&e, "line %u", t->lines.of_op.at[op]);
	}
	t->done(err ? &e : NULL, t->aux);
}

static void release(struct ofrequest *r)
{
	struct text_request *t = SL_CONTAINER_OF(r, struct text_request, r);
	vec_free(&t->lines.of_op);
	msg_free(&t->sent);
}

void ofswitch_apply_text(struct ofswitch *sw, const char *text, const char *command,
			 void (*done)(const struct err *error, void *aux), void *aux)
{
	struct text_request *t = xzalloc(sizeof *t);
	struct err e = {0};
	struct msg m;
	t->r.on_reply = on_reply;
	t->r.release = release;
	t->done = done;
	t->aux = aux;
	msg_init(&m, API_TRANSACTION, 0);
	if (put_text(sw, text, command, &m, &t->lines, &e)) {
		msg_free(&m);
		release(&t->r);
		free(t);
		done(&e, aux);
		return;
	}
	t->sent.data = xmemdup(m.data, m.len);
	t->sent.len = t->sent.cap = m.len;
	if (!ofrequest_send(&t->r, sw, NULL, NULL, &m, false)) {
		err_set(&e, ENOTCONN, "bridge %s: no datapath", sw->bridge);
		done(&e, aux);
	}
}
