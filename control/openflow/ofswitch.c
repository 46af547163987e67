/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch itself: creation, sockets, configuration, status. */
#include "control/openflow/ofswitch.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/openflow/op.h"
#include "control/openflow/ofswitch_priv.h"
#include "datapath/base/log.h"

LOG_MODULE(openflow);

static void accept_as(struct ofswitch *sw, evutil_socket_t fd, enum ofconn_kind kind)
{
	struct bufferevent *bev = bufferevent_socket_new(
		sw->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (bev)
		ofconn_create(sw, bev, kind, NULL, "unix");
	else
		evutil_closesocket(fd);
}

static void on_mgmt(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
		    void *aux)
{
	(void)l, (void)sa, (void)len;
	accept_as(aux, fd, OFCONN_SERVICE);
}

static void on_snoop(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
		     void *aux)
{
	(void)l, (void)sa, (void)len;
	accept_as(aux, fd, OFCONN_SNOOP);
}

static char *socket_path(const struct ofswitch *sw, const char *suffix)
{
	return xasprintf("%s/%s.%s", sw->rundir, sw->bridge, suffix);
}

static int listen_unix(struct ofswitch *sw, const char *suffix, evconnlistener_cb on_accept,
		       struct evconnlistener **out, struct err *e)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char *path = socket_path(sw, suffix);
	int rc = 0;
	if (strlen(path) >= sizeof un.sun_path) {
		rc = err_set(e, ENAMETOOLONG, "bridge %s: socket path %s is too long", sw->bridge,
			     path);
	} else {
		memcpy(un.sun_path, path, strlen(path) + 1);
		unlink(path);
		mode_t old = umask(0177); /* the event loop is the only thread that creates files */
		*out = evconnlistener_new_bind(sw->base, on_accept, sw,
					       LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 64,
					       (struct sockaddr *)&un, sizeof un);
		int code = errno;
		umask(old);
		if (!*out)
			rc = err_set(e, code, "bridge %s: cannot listen at %s: %s", sw->bridge,
				     path, strerror(code));
	}
	free(path);
	return rc;
}

int ofswitch_create(struct ofswitch **out, struct event_base *base, struct api_client *client,
		    const char *bridge, const char *rundir, const struct ofswitch_ops *ops,
		    void *ops_aux, struct err *e)
{
	struct ofswitch *sw = xzalloc(sizeof *sw);
	sw->base = base;
	sw->bridge = xstrdup(bridge);
	sw->rundir = xstrdup(rundir);
	sw->dp_desc = xstrdup(bridge);
	sw->serial_desc = xstrdup("None");
	sw->ops = *ops;
	sw->ops_aux = ops_aux;
	list_init(&sw->conns);
	list_init(&sw->requests);
	sw->shadow = shadow_create();
	fail_open_start(sw);
	misses_start(sw);
	int rc = listen_unix(sw, "mgmt", on_mgmt, &sw->mgmt, e);
	if (!rc)
		rc = listen_unix(sw, "snoop", on_snoop, &sw->snoop, e);
	if (rc) {
		ofswitch_destroy(sw);
		return rc;
	}
	if (client)
		ofswitch_set_client(sw, client);
	*out = sw;
	return 0;
}

static void close_listener(struct ofswitch *sw, struct evconnlistener *l, const char *suffix)
{
	if (!l)
		return;
	char *path = socket_path(sw, suffix);
	evconnlistener_free(l);
	unlink(path);
	free(path);
}

void ofswitch_destroy(struct ofswitch *sw)
{
	if (!sw)
		return;
	VEC_FOR_EACH (r, &sw->remotes)
		remote_destroy(*r);
	vec_free(&sw->remotes);
	LIST_FOR_EACH_SAFE (c, struct ofconn, node, &sw->conns)
		ofconn_destroy(c);
	ofrequest_forget_switch(sw);
	close_listener(sw, sw->mgmt, "mgmt");
	close_listener(sw, sw->snoop, "snoop");
	table_states_destroy(sw->tables);
	shadow_destroy(sw->shadow);
	fail_open_stop(sw);
	misses_stop(sw);
	if (sw->reload)
		event_free(sw->reload);
	if (sw->refresh)
		event_free(sw->refresh);
	if (sw->ask)
		event_free(sw->ask);
	SSL_CTX_free(sw->tls);
	vec_free(&sw->tlv);
	free(sw->tls_key);
	free(sw->tls_cert);
	free(sw->tls_ca);
	free(sw->bridge);
	free(sw->rundir);
	free(sw->dp_desc);
	free(sw->serial_desc);
	free(sw);
}

static void replace(char **s, const char *with)
{
	char *copy = with ? xstrdup(with) : NULL;
	free(*s);
	*s = copy;
}

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static int configure_tls(struct ofswitch *sw, const struct ofswitch_tls *t, struct err *e)
{
	if (same(sw->tls_key, t->private_key) && same(sw->tls_cert, t->certificate) &&
	    same(sw->tls_ca, t->ca_cert))
		return 0;
	SSL_CTX_free(sw->tls);
	sw->tls = NULL;
	replace(&sw->tls_key, t->private_key);
	replace(&sw->tls_cert, t->certificate);
	replace(&sw->tls_ca, t->ca_cert);
	if (!t->private_key || !t->certificate)
		return 0;
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	if (!ctx)
		return err_set(e, ENOMEM, "bridge %s: TLS: no context", sw->bridge);
	if (SSL_CTX_use_PrivateKey_file(ctx, t->private_key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_certificate_chain_file(ctx, t->certificate) != 1 ||
	    (t->ca_cert && SSL_CTX_load_verify_locations(ctx, t->ca_cert, NULL) != 1)) {
		SSL_CTX_free(ctx);
		return err_set(e, EINVAL,
			       "bridge %s: TLS: key %s, certificate %s or CA %s cannot be used",
			       sw->bridge, t->private_key, t->certificate,
			       t->ca_cert ? t->ca_cert : "none");
	}
	if (t->ca_cert)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	sw->tls = ctx;
	return 0;
}

/* Keeps the remotes that stay, in the new order. */
static int configure_remotes(struct ofswitch *sw, const struct ofswitch_config *config,
			     struct err *e)
{
	VEC(struct remote *) old = {sw->remotes.at, sw->remotes.len, sw->remotes.cap};
	int rc = 0;
	sw->remotes.at = NULL;
	sw->remotes.len = sw->remotes.cap = 0;
	for (size_t i = 0; i < config->n_controllers; i++) {
		struct remote *r = NULL;
		VEC_FOR_EACH (o, &old)
			if (*o && !r && remote_is(*o, &config->controllers[i])) {
				r = *o;
				*o = NULL;
				remote_configure(r, &config->controllers[i]);
			}
		/* a bad target is reported and keeps its place in the order */
		if (!r && remote_create(sw, &config->controllers[i], &r, e))
			rc = -EINVAL;
		vec_push(&sw->remotes, r);
	}
	VEC_FOR_EACH (o, &old) {
		if (*o)
			controller_status_tell(sw, *o, NULL, false, OFPCSR_CONTROLLER_REMOVED);
		remote_destroy(*o);
	}
	vec_free(&old);
	return rc;
}

int ofswitch_configure(struct ofswitch *sw, const struct ofswitch_config *config, struct err *e)
{
	bool new_id = sw->datapath_id && sw->datapath_id != config->datapath_id;
	bool new_versions = sw->versions != config->versions;
	sw->datapath_id = config->datapath_id;
	sw->fail_mode = config->fail_mode;
	sw->versions = config->versions;
	replace(&sw->dp_desc, config->dp_desc ? config->dp_desc : sw->bridge);
	replace(&sw->serial_desc, config->serial_desc ? config->serial_desc : "None");
	table_states_configure(sw, config->tables, config->n_tables);
	int rc = configure_tls(sw, &config->tls, e);
	int rc2 = configure_remotes(sw, config, rc ? NULL : e);
	/* controllers know the switch by its id and version: let them start over */
	if (new_id || new_versions)
		ofswitch_reconnect(sw);
	return rc ? rc : rc2;
}

/* The same datapath as before: what changed meanwhile is read anew. Another one, that has nothing:
 * the shadow is what will be replayed to it. */
void ofswitch_set_client(struct ofswitch *sw, struct api_client *client)
{
	sw->client = client;
	sw->misses_told = false;
	if (!client)
		return;
	misses_run(sw);
	uint64_t boot_id = api_boot_id(client);
	bool other = sw->boot_id && sw->boot_id != boot_id;
	sw->boot_id = boot_id;
	if (other) {
		shadow_forget_versions(sw->shadow);
		sw->replaying = true;
		return;
	}
	shadow_load(sw);
}

void ofswitch_made(struct ofswitch *sw)
{
	bool replayed = sw->replaying;
	sw->replaying = false;
	if (replayed && sw->client && shadow_has_pending(sw->shadow))
		shadow_load(sw); /* what came of it */
}

void ofswitch_reconnect(struct ofswitch *sw)
{
	VEC_FOR_EACH (r, &sw->remotes)
		if (*r)
			remote_reconnect(*r);
}

bool ofswitch_controller_status(const struct ofswitch *sw, size_t i, struct ofswitch_status *out)
{
	if (i >= sw->remotes.len)
		return false;
	if (sw->remotes.at[i])
		remote_status(sw->remotes.at[i], out);
	else
		*out = (struct ofswitch_status){.target = "",
						.role = "other",
						.state = "VOID",
						.last_error = "invalid target",
						.sec_since_connect = -1,
						.sec_since_disconnect = -1};
	return true;
}

bool ofswitch_has_controller_connected(const struct ofswitch *sw)
{
	struct ofswitch_status s;
	for (size_t i = 0; ofswitch_controller_status(sw, i, &s); i++)
		if (s.is_connected)
			return true;
	return false;
}

const char *ofswitch_bridge(const struct ofswitch *sw)
{
	return sw->bridge;
}

size_t ofswitch_replay(struct ofswitch *sw, struct msg *transaction)
{
	size_t n = 0;
	if (sw->frag_mode != OFPC_FRAG_NORMAL && ++n)
		frag_mode_put(sw, transaction);
	if (sw->tlv.len && ++n) /* rules may name the fields */
		tlv_map_put(sw, transaction);
	return n + table_states_replay(sw, transaction) +
	       shadow_replay(sw->shadow, sw->bridge, transaction);
}

/* ---- the rule of a bridge nobody programs ---- */

struct default_rule {
	struct ofrequest r;
	void (*done)(const struct err *error, void *aux);
	void *aux;
};

static void on_default_rule(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	struct default_rule *d = SL_CONTAINER_OF(r, struct default_rule, r);
	(void)a;
	if (!more && d->done)
		d->done(err, d->aux);
}

void ofswitch_add_default_rules(struct ofswitch *sw,
				void (*done)(const struct err *error, void *aux), void *aux)
{
	if (sw->fail_mode == OFSWITCH_FAIL_SECURE || sw->remotes.len) {
		if (done)
			done(NULL, aux);
		return;
	}
	struct default_rule *d = xzalloc(sizeof *d);
	struct action_buf actions = {0};
	struct match any;
	struct msg m;
	d->r.on_reply = on_default_rule;
	d->done = done;
	d->aux = aux;
	match_init(&any);
	action_put_output(&actions, OFP_PORT_NORMAL, 0);
	msg_init(&m, API_TRANSACTION, 0);
	size_t at = msg_op_begin(&m, API_OP_RULE_MOD);
	msg_put_str(&m, ATTR_BRIDGE, sw->bridge);
	msg_put_u8(&m, ATTR_COMMAND, API_MOD_ADD);
	msg_put_u8(&m, ATTR_TABLE, 0);
	msg_put_u16(&m, ATTR_PRIORITY, 0);
	api_put_match(&m, ATTR_MATCH, &any);
	msg_put_bytes(&m, ATTR_ACTIONS, actions.data, actions.len);
	msg_nest_end(&m, at);
	action_buf_free(&actions);
	if (!ofrequest_send(&d->r, sw, NULL, NULL, &m, false) && done) {
		struct err gone = {0};
		err_set(&gone, ENOTCONN, "bridge %s: no datapath", sw->bridge);
		done(&gone, aux);
	}
}
