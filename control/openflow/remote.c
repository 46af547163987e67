/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller target: connects with back-off, or listens, for as long as it is configured.
 *
 * Active targets go BACKOFF → CONNECTING → ACTIVE (versions agreed) → BACKOFF …; the wait doubles
 * from 1 s to max_backoff while connections fail or do not last. Passive ones have any number of
 * connections. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/openflow/ofswitch_priv.h"
#include "control/openflow/remote.h"
#include "control/openflow/spec.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"

LOG_MODULE(openflow);

enum {
	PROBE_MS_DEFAULT = 5000,
	BACKOFF_MS_DEFAULT = 8000,
	BACKOFF_MS_FIRST = 1000,
	CONNECT_MS_MIN = 1000,
	PORT_DEFAULT = 6653
};

enum state { STATE_VOID, STATE_BACKOFF, STATE_CONNECTING, STATE_ACTIVE };
static const char *const state_names[] = {"VOID", "BACKOFF", "CONNECTING", "ACTIVE"};

struct remote {
	struct ofswitch *sw;
	char *target;
	struct ofswitch_controller_config config; /* target borrowed from above */
	struct target_address address;
	enum state state;
	struct ofconn *conn; /* active: the connection; passive: the newest */
	struct bufferevent *connecting;
	struct evconnlistener *listener;
	struct event *timer;
	int backoff_ms;
	uint64_t connected_ms, disconnected_ms; /* 0: never */
	bool was_connected;
	char last_error[128];
};

static void tell(struct remote *r)
{
	if (r->sw->ops.status_changed)
		r->sw->ops.status_changed(r->sw->ops_aux);
}

static void set_state(struct remote *r, enum state s)
{
	if (r->state != s) {
		r->state = s;
		tell(r);
	}
}

static void arm(struct remote *r, int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	event_add(r->timer, &tv);
}

static void back_off(struct remote *r)
{
	set_state(r, STATE_BACKOFF);
	arm(r, r->backoff_ms);
	r->backoff_ms = SL_MIN(SL_MAX(r->backoff_ms * 2, BACKOFF_MS_FIRST),
			       SL_MAX(r->config.max_backoff_ms, BACKOFF_MS_FIRST));
}

static void drop_attempt(struct remote *r, const char *why)
{
	if (r->connecting)
		bufferevent_free(r->connecting);
	r->connecting = NULL;
	snprintf(r->last_error, sizeof r->last_error, "%s", why);
	LOG_LIMIT(log_info, 20, "%s<->%s: connection attempt failed (%s)", r->sw->bridge, r->target,
		  why);
	back_off(r);
}

static struct ofconn *adopt(struct remote *r, struct bufferevent *bev, const char *peer)
{
	enum ofconn_kind kind = r->config.primary ? OFCONN_CONTROLLER : OFCONN_SERVICE;
	struct ofconn *c = ofconn_create(r->sw, bev, kind, r, peer);
	c->packet_in_rate = r->config.packet_in_rate_limit;
	c->packet_in_burst = r->config.packet_in_burst_limit;
	r->conn = c;
	return c;
}

static void on_attempt(struct bufferevent *bev, short what, void *aux)
{
	struct remote *r = aux;
	if (what & BEV_EVENT_CONNECTED) {
		r->connecting = NULL;
		event_del(r->timer);
		adopt(r, bev, r->target);
		return;
	}
	const char *why = evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR());
	unsigned long tls = bufferevent_get_openssl_error(bev);
	drop_attempt(r, tls                    ? ERR_reason_error_string(tls)
			: what & BEV_EVENT_EOF ? "closed by peer"
					       : why);
}

static struct bufferevent *new_stream(struct remote *r, evutil_socket_t fd, bool accepting)
{
	const int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
	if (!r->address.tls)
		return bufferevent_socket_new(r->sw->base, fd, options);
	if (!r->sw->tls)
		return NULL;
	return bufferevent_openssl_socket_new(
		r->sw->base, fd, SSL_new(r->sw->tls),
		accepting ? BUFFEREVENT_SSL_ACCEPTING : BUFFEREVENT_SSL_CONNECTING, options);
}

static void attempt(struct remote *r)
{
	set_state(r, STATE_CONNECTING);
	r->connecting = new_stream(r, -1, false);
	if (!r->connecting) {
		drop_attempt(r, "no TLS keys are configured");
		return;
	}
	bufferevent_setcb(r->connecting, NULL, NULL, on_attempt, r);
	arm(r, SL_MAX(r->backoff_ms, CONNECT_MS_MIN));
	struct bufferevent *bev = r->connecting;
	if (bufferevent_socket_connect(bev, (struct sockaddr *)&r->address.sa,
				       (int)r->address.len) < 0 &&
	    r->connecting == bev && r->state == STATE_CONNECTING)
		drop_attempt(r, strerror(errno));
}

static void on_timer(evutil_socket_t fd, short what, void *aux)
{
	struct remote *r = aux;
	(void)fd;
	(void)what;
	if (r->state == STATE_CONNECTING)
		drop_attempt(r, "connection timed out");
	else if (r->state == STATE_BACKOFF)
		attempt(r);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
		      void *aux)
{
	struct remote *r = aux;
	char peer[128] = "unix", ip[INET6_ADDRSTRLEN] = "";
	(void)l;
	(void)len;
	if (sa->sa_family == AF_INET) {
		inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)sa)->sin_addr, ip, sizeof ip);
		snprintf(peer, sizeof peer, "tcp:%s:%u", ip,
			 be16_to_cpu(((struct sockaddr_in *)(void *)sa)->sin_port));
	} else if (sa->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)sa)->sin6_addr, ip, sizeof ip);
		snprintf(peer, sizeof peer, "tcp:[%s]:%u", ip,
			 be16_to_cpu(((struct sockaddr_in6 *)(void *)sa)->sin6_port));
	}
	struct bufferevent *bev = new_stream(r, fd, true);
	if (!bev) {
		evutil_closesocket(fd);
		return;
	}
	adopt(r, bev, peer);
}

static int listen_at(struct remote *r, struct err *e)
{
	if (r->address.sa.ss_family == AF_UNIX)
		unlink(((struct sockaddr_un *)(void *)&r->address.sa)->sun_path);
	r->listener = evconnlistener_new_bind(
		r->sw->base, on_accept, r,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 16,
		(struct sockaddr *)&r->address.sa, (int)r->address.len);
	if (!r->listener)
		return err_set(e, errno, "controller %s: cannot listen: %s", r->target,
			       strerror(errno));
	return 0;
}

int remote_create(struct ofswitch *sw, const struct ofswitch_controller_config *config,
		  struct remote **out, struct err *e)
{
	struct remote *r = xzalloc(sizeof *r);
	r->sw = sw;
	r->target = xstrdup(config->target);
	r->timer = event_new(sw->base, -1, 0, on_timer, r);
	remote_configure(r, config);
	int rc = target_parse(config->target, PORT_DEFAULT, &r->address, e);
	if (!rc && r->address.passive)
		rc = listen_at(r, e);
	if (rc) {
		remote_destroy(r);
		return rc;
	}
	controller_status_tell(sw, r, NULL, false, OFPCSR_CONTROLLER_ADDED);
	if (!r->address.passive)
		attempt(r);
	*out = r;
	return 0;
}

static void close_conns(struct remote *r)
{
	LIST_FOR_EACH_SAFE (c, struct ofconn, node, &r->sw->conns)
		if (c->remote == r)
			ofconn_destroy(c);
	r->conn = NULL;
}

void remote_destroy(struct remote *r)
{
	if (!r)
		return;
	close_conns(r);
	if (r->connecting)
		bufferevent_free(r->connecting);
	if (r->listener)
		evconnlistener_free(r->listener);
	event_free(r->timer);
	free(r->target);
	free(r);
}

bool remote_is(const struct remote *r, const struct ofswitch_controller_config *config)
{
	return !strcmp(r->target, config->target) && r->config.primary == config->primary;
}

void remote_configure(struct remote *r, const struct ofswitch_controller_config *config)
{
	r->config = *config;
	r->config.target = r->target;
	if (config->inactivity_probe_ms < 0)
		r->config.inactivity_probe_ms = PROBE_MS_DEFAULT;
	if (config->max_backoff_ms < 0)
		r->config.max_backoff_ms = BACKOFF_MS_DEFAULT;
	LIST_FOR_EACH (c, struct ofconn, node, &r->sw->conns)
		if (c->remote == r) {
			c->packet_in_rate = config->packet_in_rate_limit;
			c->packet_in_burst = config->packet_in_burst_limit;
		}
}

const struct ofswitch_controller_config *remote_config(const struct remote *r)
{
	return &r->config;
}

void remote_reconnect(struct remote *r)
{
	controller_status_tell(r->sw, r, NULL, false, OFPCSR_CHANNEL_STATUS);
	close_conns(r);
	if (r->address.passive)
		return;
	if (r->connecting)
		bufferevent_free(r->connecting);
	r->connecting = NULL;
	r->backoff_ms = 0;
	back_off(r);
}

void remote_on_connected(struct remote *r)
{
	r->connected_ms = clock_mono_ms();
	r->was_connected = true;
	r->last_error[0] = '\0';
	log_info("%s<->%s: connected", r->sw->bridge, r->target);
	set_state(r, STATE_ACTIVE);
	tell(r);
	controller_status_tell(r->sw, r, r->conn, true, OFPCSR_CHANNEL_STATUS);
	fail_open_run(r->sw);
}

void remote_on_closed(struct remote *r, struct ofconn *c, const char *why)
{
	uint64_t now = clock_mono_ms();
	if (r->conn == c)
		r->conn = NULL;
	log_info("%s<->%s: %s", r->sw->bridge, c->peer, why);
	if (c->version)
		controller_status_tell(r->sw, r, c, false, OFPCSR_CHANNEL_STATUS);
	if (r->address.passive)
		return;
	snprintf(r->last_error, sizeof r->last_error, "%s", why);
	r->disconnected_ms = now;
	/* a connection that lasted starts over */
	if (c->version && now - r->connected_ms > (uint64_t)r->config.max_backoff_ms)
		r->backoff_ms = 0;
	back_off(r);
}

void remote_status(const struct remote *r, struct ofswitch_status *out)
{
	static const char *const roles[] = {"other", "other", "master", "slave"};
	uint64_t now = clock_mono_ms();
	*out = (struct ofswitch_status){.target = r->target,
					.role = "",
					.state = state_names[r->state],
					.last_error = r->last_error,
					.sec_since_connect = -1,
					.sec_since_disconnect = -1};
	out->is_connected = r->conn && r->conn->version;
	if (r->address.passive) {
		out->state = "";
		return;
	}
	out->role = r->conn ? roles[r->conn->role & 3] : "other";
	if (r->connected_ms)
		out->sec_since_connect = (int)((now - r->connected_ms) / 1000);
	if (r->disconnected_ms)
		out->sec_since_disconnect = (int)((now - r->disconnected_ms) / 1000);
}
