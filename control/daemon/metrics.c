/* SPDX-License-Identifier: BSD-3-Clause */
/* HTTP by libevent. A scrape may outlive its client: then nobody is answered. */
#include "control/daemon/metrics.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/daemon/scrape.h"
#include "control/daemon/sluiced.h"
#include "control/state/knobs.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/client.h"

LOG_MODULE(metrics);

enum {
	REQUESTS_MAX = 16, /* under way; further ones are told to come again */
	HEADERS_MAX_BYTES = 8192,
	BODY_MAX_BYTES = 1024,
	TIMEOUT_S = 10,
};

struct metrics {
	struct sluiced *d;
	struct evhttp *http; /* NULL: closed */
	char *address;       /* that is open, or was tried; NULL: none */
	char *socket_path;   /* to be removed */
	char *error;
	struct list requests;
	unsigned n_requests;
	uint64_t answered;
};

struct request {
	struct list node;
	struct metrics *m;          /* NULL: the endpoint has gone */
	struct evhttp_request *req; /* NULL: the client has gone */
	bool openmetrics;
};

/* ---- answers ---- */

/* Prometheus prefers OpenMetrics and says so; browsers and curl get the older text. */
static bool wants_openmetrics(struct evhttp_request *req)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept");
	return accept && strstr(accept, "application/openmetrics-text");
}

static void send_text(struct evhttp_request *req, const struct str *text, const char *type)
{
	struct evbuffer *body = evbuffer_new();
	evbuffer_add(body, str_cstr(text), text->len);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", type);
	evhttp_send_reply(req, HTTP_OK, "OK", body);
	evbuffer_free(body);
}

static void client_gone(struct evhttp_connection *connection, void *aux)
{
	struct request *r = aux;
	r->req = NULL;
}

static void scraped(struct metric_set *set, void *aux)
{
	struct request *r = aux;
	struct str text = STR_INIT;
	if (r->m) {
		r->m->n_requests--;
		list_remove(&r->node);
	}
	if (r->req) {
		evhttp_connection_set_closecb(evhttp_request_get_connection(r->req), NULL, NULL);
		metric_set_add(set, METRIC_SCRAPES, (double)++r->m->answered, NULL);
		metric_set_write(set, r->openmetrics, &text);
		send_text(r->req, &text,
			  r->openmetrics
				  ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
				  : "text/plain; version=0.0.4; charset=utf-8");
		str_free(&text);
	}
	free(r);
}

static void get_metrics(struct evhttp_request *req, void *aux)
{
	struct metrics *m = aux;
	struct request *r;
	if (m->n_requests == REQUESTS_MAX) {
		evhttp_send_error(req, HTTP_SERVUNAVAIL, "too many requests at once");
		return;
	}
	r = xzalloc(sizeof *r);
	r->m = m;
	r->req = req;
	r->openmetrics = wants_openmetrics(req);
	m->n_requests++;
	list_push_back(&m->requests, &r->node);
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), client_gone, r);
	scrape_start(m->d, scraped, r);
}

static void get_index(struct evhttp_request *req, void *aux)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	struct str text = STR_INIT;
	if (path && path[0] && strcmp(path, "/")) {
		evhttp_send_error(req, HTTP_NOTFOUND, NULL);
		return;
	}
	str_puts(&text, "<html><title>Sluice</title><a href=\"/metrics\">metrics</a></html>\n");
	send_text(req, &text, "text/html");
	str_free(&text);
}

/* ---- the socket ---- */

static void fail(struct metrics *m, const char *why)
{
	free(m->error);
	m->error = xasprintf("metrics: %s: %s", m->address, why);
	log_warn("%s", m->error);
}

/* A file that is a socket nobody listens on is a predecessor's. */
static bool remove_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd;
	bool taken;
	if (lstat(sun->sun_path, &st))
		return true;
	if (!S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	taken = fd < 0 || !connect(fd, (const struct sockaddr *)sun, sizeof *sun);
	if (fd >= 0)
		close(fd);
	return !taken && !unlink(sun->sun_path);
}

static struct evconnlistener *listen_on(struct metrics *m, const struct sockaddr *sa, int len)
{
	struct evconnlistener *l =
		evconnlistener_new_bind(m->d->base, NULL, NULL,
					LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
						(sa->sa_family == AF_UNIX ? 0 : LEV_OPT_REUSEABLE),
					-1, sa, len);
	if (!l)
		fail(m, strerror(errno));
	return l;
}

static struct evconnlistener *open_unix(struct metrics *m, const char *file)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char *path =
		file[0] == '/' ? xstrdup(file) : xasprintf("%s/%s", m->d->options->rundir, file);
	struct evconnlistener *l = NULL;
	if (!file[0] || strlen(path) >= sizeof sun.sun_path) {
		fail(m, "the path is empty or too long");
	} else {
		memcpy(sun.sun_path, path, strlen(path));
		if (remove_stale(&sun))
			l = listen_on(m, (struct sockaddr *)&sun, sizeof sun);
		else
			fail(m, "the file is there and in use");
	}
	if (l)
		m->socket_path = path;
	else
		free(path);
	return l;
}

static struct evconnlistener *open_ip(struct metrics *m)
{
	struct sockaddr_storage ss;
	int len = sizeof ss;
	if (!strrchr(m->address, ':') ||
	    evutil_parse_sockaddr_port(m->address, (struct sockaddr *)&ss, &len) ||
	    !((struct sockaddr_in *)&ss)->sin_port) { /* IPv6 has its port at the same place */
		fail(m, "neither unix:FILE nor IP:PORT");
		return NULL;
	}
	return listen_on(m, (struct sockaddr *)&ss, len);
}

static void open_endpoint(struct metrics *m)
{
	struct evconnlistener *l =
		strncmp(m->address, "unix:", 5) ? open_ip(m) : open_unix(m, m->address + 5);
	if (!l)
		return;
	m->http = evhttp_new(m->d->base);
	evhttp_bind_listener(m->http, l); /* owns it */
	evhttp_set_allowed_methods(m->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(m->http, HEADERS_MAX_BYTES);
	evhttp_set_max_body_size(m->http, BODY_MAX_BYTES);
	evhttp_set_timeout(m->http, TIMEOUT_S);
	evhttp_set_cb(m->http, "/metrics", get_metrics, m);
	evhttp_set_gencb(m->http, get_index, m);
	log_info("metrics: %s", m->address);
}

static void close_endpoint(struct metrics *m)
{
	LIST_FOR_EACH_SAFE (r, struct request, node, &m->requests) {
		list_remove(&r->node);
		r->m = NULL;
	}
	m->n_requests = 0;
	if (m->http)
		evhttp_free(m->http); /* calls client_gone() */
	m->http = NULL;
	if (m->socket_path)
		unlink(m->socket_path);
	free(m->socket_path);
	free(m->address);
	free(m->error);
	m->socket_path = m->address = m->error = NULL;
}

/* ---- life ---- */

struct metrics *metrics_create(struct sluiced *d)
{
	struct metrics *m = xzalloc(sizeof *m);
	m->d = d;
	list_init(&m->requests);
	metrics_update(m);
	return m;
}

void metrics_destroy(struct metrics *m)
{
	if (!m)
		return;
	close_endpoint(m);
	free(m);
}

void metrics_update(struct metrics *m)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(m->d->db, "Open_vSwitch");
	const char *wanted = m->d->options->metrics;
	if (!wanted && root)
		wanted = ovsdb_row_map(root, "other_config", knobs[KNOB_SLUICE_METRICS].key, NULL);
	if (wanted && !wanted[0])
		wanted = NULL;
	/* An address that could not be opened is tried again at each change. */
	if (wanted ? m->http && !strcmp(wanted, m->address) : !m->address)
		return;
	close_endpoint(m);
	if (!wanted)
		return;
	m->address = xstrdup(wanted);
	open_endpoint(m);
}

const char *metrics_error(const struct metrics *m)
{
	return m ? m->error : NULL;
}
