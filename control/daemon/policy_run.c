/* SPDX-License-Identifier: BSD-3-Clause */
/* See policy_run.h.
 *
 *	store changed → judge: compile → wanted → sync: send if the digest differs → settle:
 *	statuses, answers
 *
 * Invariants: `wanted.p` is NULL or readable; at most one POLICY_SET is on its way (`busy`);
 * `there` is what the datapath holds whenever known && !busy; nothing is sent while a policy that
 * was not confirmed in time waits to be taken back (`going_back`). */
#include "control/daemon/policy_run.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/audit.h"
#include "control/daemon/grants.h"
#include "control/daemon/policy_confirm.h"
#include "control/daemon/policy_version.h"
#include "control/daemon/sluiced.h"
#include "control/state/policy_store.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/server.h"
#include "ovsdb-lite/unixctl.h"

LOG_MODULE(policy);

enum {
	CONFIRM_SLACK_MS = 1000, /* the datapath goes back by itself and says so */
	RETRY_MS = 1000,
};

const char *const policy_doc_names[POLICY_DOCS] = {"policy", "grants"};

struct waiter {
	struct list link;
	struct policy_run *r;
	struct unixctl_call *call; /* NULL: the switch's own change */
	enum policy_doc doc;
	int64_t generation; /* 0: not written yet */
	char *action, *what, *done;
};

/* Compiled documents, and which they are. */
struct version {
	struct policy_version v;
	int64_t generation[POLICY_DOCS]; /* -1: there is none, or the one before stands in */
};

struct policy_run {
	struct sluiced *d;
	struct audit *audit;
	char *writer;        /* JSON text: the last client that wrote a document; NULL */
	struct event *timer; /* a grant ends, a confirmation is overdue */
	struct list waiters;

	bool judged;
	char *seen[POLICY_DOCS]; /* texts judged last */
	struct version wanted;
	struct policy_version tried;    /* what a command has checked: not read a second time */
	unsigned n_compiled;            /* how often a policy was read */
	int64_t settled[POLICY_DOCS];   /* generation with a verdict, or -1 */
	struct str reason[POLICY_DOCS]; /* of the verdict; "": in force */

	struct api_client *client;
	bool known; /* the datapath has said what it holds */
	bool has;   /* … and it is a policy */
	uint8_t there[POLICY_HASH_BYTES];
	bool busy;
	bool going_back; /* the database is being told what was not confirmed in time */
};

static void sync_datapath(struct policy_run *r);
static void check_waiters(struct policy_run *r);

/* ---- the documents ---- */

const char *policy_run_text(const struct policy_run *r, const char *name)
{
	struct policy_document doc;
	return r->d->policies && policy_store_find(r->d->policies, name, &doc) ? doc.text : "";
}

static const char *applied_text(const struct policy_run *r, const char *name)
{
	struct policy_document doc;
	return policy_store_find(r->d->policies, name, &doc) && doc.applied_text ? doc.applied_text
										 : "";
}

static int64_t generation_of(const struct policy_run *r, const char *name)
{
	struct policy_document doc;
	return policy_store_find(r->d->policies, name, &doc) ? doc.generation : -1;
}

bool policy_run_has(const struct policy_run *r, const char *name)
{
	struct policy_document doc;
	return policy_store_find(r->d->policies, name, &doc);
}

int policy_run_try(struct policy_run *r, const char *file, const char *main, const char *grants,
		   struct err *e)
{
	policy_version_free(&r->tried);
	r->n_compiled++;
	return policy_version_make(&r->tried, file, main, grants, e);
}

int policy_run_try_main(struct policy_run *r, const char *file, const char *main, char **note,
			struct err *e)
{
	const char *grants = policy_run_text(r, "grants"), *applied = applied_text(r, "grants");
	struct err why = {0}, own = {0};

	*note = NULL;
	if (!policy_run_try(r, file, main, grants, e))
		return 0;
	if (!*grants)
		return -e->code;
	if (policy_run_try(r, file, main, "", &own)) {
		*e = own; /* first things first */
		return -e->code;
	}
	if (strcmp(grants, applied) && !policy_run_try(r, file, main, applied, &why)) {
		*note = xasprintf("the document of grants in the database is rejected and has no "
				  "part in this; those in force stay: %s\n",
				  e->text);
		return 0;
	}
	why = *e;
	err_clear(e);
	return err_set(e, why.code,
		       "%s: the policy is good, but not with that grant: revoke it (sluice policy "
		       "revoke NAME) or keep what it names",
		       why.text);
}

/* What was tried a moment ago is taken over. */
static int compile(struct policy_run *r, const char *main, const char *grants,
		   struct policy_version *v, struct err *e)
{
	if (policy_version_is_of(&r->tried, main, grants)) {
		*v = r->tried;
		r->tried = (struct policy_version){0};
		return 0;
	}
	r->n_compiled++;
	return policy_version_make(v, "policy.yaml", main, grants, e);
}

static void set_verdict(struct policy_run *r, enum policy_doc doc, int64_t generation,
			const char *reason)
{
	if (generation < 0)
		return;
	r->settled[doc] = generation;
	str_clear(&r->reason[doc]);
	str_puts(&r->reason[doc], reason ? reason : "");
	policy_store_set_status(r->d->policies, policy_doc_names[doc], generation, reason);
}

/* What stands in for a rejected document is `applied`. */
static int make_version(struct policy_run *r, const bool applied[POLICY_DOCS], struct version *v,
			struct err *e)
{
	const char *text[POLICY_DOCS];
	for (int i = 0; i < POLICY_DOCS; i++) {
		text[i] = applied[i] ? applied_text(r, policy_doc_names[i])
				     : policy_run_text(r, policy_doc_names[i]);
		v->generation[i] = applied[i] ? -1 : generation_of(r, policy_doc_names[i]);
	}
	return compile(r, text[POLICY_DOC_MAIN], text[POLICY_DOC_GRANTS], &v->v, e);
}

/* Which of the documents is to blame: the one without which the others are good. */
static void judge(struct policy_run *r)
{
	static const bool tries[][POLICY_DOCS] = {
		{false, false}, {true, false}, {false, true}, {true, true}};
	struct err first = {0};
	struct version v;
	for (size_t i = 0; i < SL_ARRAY_SIZE(tries); i++) {
		struct err e = {0};
		int rc = make_version(r, tries[i], &v, i ? &e : &first);
		if (rc)
			continue;
		for (int doc = 0; doc < POLICY_DOCS; doc++)
			if (tries[i][doc]) {
				log_warn("%s is rejected: %s", policy_doc_names[doc], first.text);
				set_verdict(r, doc, generation_of(r, policy_doc_names[doc]),
					    first.text);
			}
		policy_version_free(&r->wanted.v);
		r->wanted = v;
		return;
	}
	log_err("no policy that was ever good can be read: %s", first.text);
	for (int doc = 0; doc < POLICY_DOCS; doc++)
		set_verdict(r, doc, generation_of(r, policy_doc_names[doc]), first.text);
}

/* ---- time ---- */

static void start_timer(struct policy_run *r)
{
	uint64_t now = clock_wall_ms(), at = policy_confirm_until(r), delay;
	struct timeval tv;
	if (at)
		at = r->going_back ? now + RETRY_MS : at + CONFIRM_SLACK_MS;
	if (r->wanted.v.p)
		VEC_FOR_EACH (g, &r->wanted.v.p->grants)
			if (!at || g->valid_until_ms < at)
				at = g->valid_until_ms;
	evtimer_del(r->timer);
	if (!at)
		return;
	delay = SL_MIN(at > now ? at - now : 0, (uint64_t)3600000) + 5;
	tv = (struct timeval){.tv_sec = (time_t)(delay / 1000),
			      .tv_usec = (suseconds_t)(delay % 1000 * 1000)};
	evtimer_add(r->timer, &tv);
}

static void note(struct policy_run *r, const char *who, const char *action, const char *what,
		 const char *result)
{
	struct err e = {0};
	struct audit_record record = {.action = action, .what = what, .result = result, .who = who};
	if (audit_write(r->audit, NULL, &record, &e))
		LOG_LIMIT(log_err, 6, "audit log: %s", e.text);
}

void policy_run_note(struct policy_run *r, const char *action, const char *what, const char *result)
{
	note(r, NULL, action, what, result);
}

/* A session has written, and waits for its answer: it can still be asked who it is. */
static void somebody_writes(const struct ovsdb_peer *by, void *aux)
{
	struct policy_run *r = aux;
	if (by->is_local && by->pid == getpid())
		return;
	free(r->writer);
	r->writer = by->is_local ? audit_who(by->pid, by->uid)
				 : xasprintf("{\"user\":\"?\",\"address\":\"%s\"}", by->address);
}

static void go_back(struct policy_run *r)
{
	r->going_back = true;
	policy_confirm_go_back(r);
	start_timer(r); /* tries again until the database has it */
}

static void end_grants(struct policy_run *r)
{
	struct grants_ended ended = {0};
	char *left = grants_without_ended(policy_run_text(r, "grants"), clock_wall_ms(), &ended);
	if (!left)
		return;
	VEC_FOR_EACH (name, &ended.names) {
		log_info("grant %s has ended", *name);
		policy_run_note(r, "grant-end", *name, "its time is over");
		free(*name);
	}
	vec_free(&ended.names);
	policy_run_write(r, &(struct policy_change){.doc = POLICY_DOC_GRANTS,
						    .text = left,
						    .action = "grant-end",
						    .what = "grants"});
	free(left);
}

static void timed(evutil_socket_t fd, short what, void *aux)
{
	struct policy_run *r = aux;
	uint64_t until = policy_confirm_until(r);
	if (until && until + (r->going_back ? 0 : CONFIRM_SLACK_MS) <= clock_wall_ms())
		go_back(r);
	end_grants(r);
	start_timer(r);
}

/* ---- the store ---- */

static bool same_as_seen(const struct policy_run *r)
{
	for (int i = 0; i < POLICY_DOCS; i++)
		if (!r->seen[i] || strcmp(r->seen[i], policy_run_text(r, policy_doc_names[i])) ||
		    r->settled[i] < generation_of(r, policy_doc_names[i]))
			return false;
	return true;
}

/* Somebody else's documents have names that nobody acts on: that is said. */
static void refuse_unknown(const struct policy_document *doc, void *aux)
{
	struct policy_run *r = aux;
	if (strcmp(doc->name, "policy") && strcmp(doc->name, "grants") &&
	    strcmp(doc->name, POLICY_DOC_PREVIOUS) && strcmp(doc->name, POLICY_DOC_CONFIRM) &&
	    !doc->status[0])
		policy_store_set_status(r->d->policies, doc->name, doc->generation,
					"only the documents \"policy\" and \"grants\" are used");
}

static bool is_ours(const struct policy_run *r, enum policy_doc doc, int64_t generation)
{
	LIST_FOR_EACH (w, struct waiter, link, &r->waiters)
		if (w->doc == doc && (!w->generation || w->generation == generation))
			return true;
	return false;
}

/* What was not asked for here came from a client of the database. */
static void note_strangers(struct policy_run *r)
{
	for (int i = 0; i < POLICY_DOCS; i++) {
		const char *text = policy_run_text(r, policy_doc_names[i]);
		if (!r->judged || is_ours(r, i, generation_of(r, policy_doc_names[i])) ||
		    (r->seen[i] && !strcmp(r->seen[i], text)))
			continue;
		note(r, r->writer, "database", policy_doc_names[i],
		     text[0] ? "written by a client of the database"
			     : "removed by a client of the database");
	}
}

static void changed(void *aux)
{
	struct policy_run *r = aux;
	bool first = !r->judged;
	policy_store_each(r->d->policies, refuse_unknown, r);
	if (!first && same_as_seen(r)) {
		start_timer(r);
		return;
	}
	note_strangers(r);
	r->going_back &= policy_confirm_until(r) != 0;
	for (int i = 0; i < POLICY_DOCS; i++) {
		const char *text = policy_run_text(r, policy_doc_names[i]);
		if (!r->seen[i] || strcmp(r->seen[i], text))
			r->settled[i] = -1; /* others may not raise the generation */
		free(r->seen[i]);
		r->seen[i] = xstrdup(text);
	}
	judge(r);
	r->judged = true;
	sync_datapath(r);
	check_waiters(r);
	start_timer(r);
	if (first)
		reconcile_soon(r->d);
}

/* ---- the datapath ---- */

static bool wants_nothing(const struct policy_run *r)
{
	return !r->wanted.v.p || (!r->wanted.v.document.len && !r->has);
}

static void settle(struct policy_run *r, const int64_t generation[POLICY_DOCS], const char *reason)
{
	for (int i = 0; i < POLICY_DOCS; i++)
		if (r->settled[i] < generation[i])
			set_verdict(r, i, generation[i], reason);
	check_waiters(r);
}

struct sending {
	struct policy_run *r;
	uint8_t hash[POLICY_HASH_BYTES];
	int64_t generation[POLICY_DOCS];
};

static void refused(struct policy_run *r, const struct sending *s, const char *why)
{
	static const bool applied[POLICY_DOCS] = {true, true};
	struct version v;
	struct err e = {0};
	log_err("the datapath refuses the policy: %s", why);
	settle(r, s->generation, why);
	/* An empty datapath gets the last good one. */
	if (!make_version(r, applied, &v, &e) && memcmp(v.v.hash, s->hash, sizeof v.v.hash)) {
		policy_version_free(&r->wanted.v);
		r->wanted = v;
		sync_datapath(r);
	} else {
		policy_version_free(&v.v);
	}
}

static void sent(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct sending *s = aux;
	struct policy_run *r = s->r;
	if (more)
		return;
	if (error && error->code == ECONNRESET) {
		free(s);
		return;
	}
	r->busy = false;
	if (error) {
		refused(r, s, error->text);
	} else {
		memcpy(r->there, s->hash, sizeof r->there);
		r->has = true;
		settle(r, s->generation, NULL);
		sync_datapath(r);
	}
	free(s);
}

static void send_policy(struct policy_run *r)
{
	const struct policy_version *v = &r->wanted.v;
	struct sending *s = xzalloc(sizeof *s);
	uint64_t until = policy_confirm_until(r), now = clock_wall_ms();
	struct msg m;
	s->r = r;
	memcpy(s->hash, v->hash, sizeof s->hash);
	memcpy(s->generation, r->wanted.generation, sizeof s->generation);
	msg_init(&m, API_TRANSACTION, 0);
	policy_encode(v->p, str_cstr(&v->document), v->document.len,
		      until ? SL_MAX(until, now + 1) - now : 0, &m);
	r->busy = true;
	log_info("policy: %zu endpoints and %zu rules go to the datapath", v->p->endpoints.len,
		 v->p->rules.len);
	api_send(r->client, &m, sent, s);
}

static void sync_datapath(struct policy_run *r)
{
	if (!r->client || !r->known || r->busy || !r->judged || r->going_back)
		return;
	if (wants_nothing(r) || (r->has && !memcmp(r->there, r->wanted.v.hash, sizeof r->there)))
		settle(r, r->wanted.generation, NULL);
	else if (policy_confirm_is_overdue(r)) /* sluiced was away when its time was over */
		go_back(r);
	else
		send_policy(r);
}

static void got_policy(struct attrs a, bool more, const struct err *error, void *aux)
{
	static const uint8_t none[POLICY_HASH_BYTES];
	struct policy_run *r = aux;
	const struct attr *object = error ? NULL : attrs_find(a, ATTR_OBJECT);
	const uint8_t *hash = NULL;
	size_t len = 0;
	if (error && error->code == ECONNRESET)
		return;
	if (error)
		log_warn("the datapath does not say which policy it has: %s", error->text);
	if (object && !r->known)
		hash = attrs_bytes(attr_nest(object), ATTR_POLICY_HASH, &len);
	if (hash && len == sizeof none && memcmp(hash, none, sizeof none)) {
		r->has = true;
		memcpy(r->there, hash, sizeof none);
	}
	r->known |= object != NULL;
	if (more)
		return;
	r->known = true;
	sync_datapath(r);
	reconcile_soon(r->d);
}

void policy_run_client(struct policy_run *r, struct api_client *client)
{
	struct msg m;
	r->client = client;
	r->known = r->has = r->busy = false;
	if (!client)
		return;
	msg_init(&m, API_POLICY, 0);
	api_send(client, &m, got_policy, r);
}

bool policy_run_is_ready(const struct policy_run *r)
{
	return r->judged && (!r->client || (r->known && !r->going_back));
}

uint64_t policy_run_events(void)
{
	return UINT64_C(1) << API_EVENT_POLICY;
}

void policy_run_event(struct policy_run *r, struct attrs event)
{
	const char *state = attrs_str(event, ATTR_STATE, "");
	if (attrs_u64(event, ATTR_EVENT, API_EVENT_N) != API_EVENT_POLICY ||
	    strcmp(state, "rolled_back"))
		return;
	if (policy_confirm_until(r))
		go_back(r);
	if (r->client && !r->busy) /* what it has now it must say itself */
		policy_run_client(r, r->client);
}

/* ---- who waits ---- */

/* Which policy it was: the digest that the datapath knows it by. */
static void put_hex(struct str *out, const uint8_t *bytes, size_t n)
{
	str_puts(out, "sha256:");
	for (size_t i = 0; i < n; i++)
		str_printf(out, "%02x", bytes[i]);
}

static void answer(struct waiter *w, const char *reason, const char *text)
{
	struct audit_record record = {.action = w->action, .what = w->what};
	char *result = reason ? xasprintf("rejected: %s", reason) : xstrdup("in force");
	struct str hash = STR_INIT;
	struct err e = {0};
	record.result = result;
	if (!reason && w->r->wanted.v.p) {
		put_hex(&hash, w->r->wanted.v.hash, sizeof w->r->wanted.v.hash);
		record.detail = str_cstr(&hash);
	}
	if (w->call && audit_write(w->r->audit, w->call, &record, &e))
		log_err("audit log: %s", e.text);
	if (w->call && reason)
		unixctl_error(w->call, reason);
	else if (w->call)
		unixctl_reply(w->call, text);
	list_remove(&w->link);
	str_free(&hash);
	free(result);
	free(w->action);
	free(w->what);
	free(w->done);
	free(w);
}

static void check_waiters(struct policy_run *r)
{
	LIST_FOR_EACH_SAFE (w, struct waiter, link, &r->waiters)
		if (w->generation && r->settled[w->doc] >= w->generation)
			answer(w, r->reason[w->doc].len ? str_cstr(&r->reason[w->doc]) : NULL,
			       w->done);
}

static void written(int64_t generation, const char *error, void *aux)
{
	struct waiter *w = aux;
	struct policy_run *r = w->r;
	if (error) {
		answer(w, error, NULL);
		return;
	}
	w->generation = generation;
	if (!generation) /* removed: there is nothing that gets a verdict */
		answer(w, NULL, w->done);
	else if (!r->client)
		answer(w, NULL, "written; the datapath is away and gets it when it is back\n");
	else
		check_waiters(r);
}

void policy_run_write(struct policy_run *r, const struct policy_change *c)
{
	struct policy_write w[3] = {{policy_doc_names[c->doc], c->text}};
	char *until =
		c->confirm_ms
			? xasprintf("%llu", (unsigned long long)(clock_wall_ms() + c->confirm_ms))
			: NULL;
	struct waiter *waiter = xzalloc(sizeof *waiter);
	size_t n = 1;
	waiter->r = r;
	waiter->doc = c->doc;
	waiter->call = c->call;
	waiter->action = xstrdup(c->action);
	waiter->what = xstrdup(c->what);
	waiter->done = xstrdup(c->done ? c->done : "");
	list_push_back(&r->waiters, &waiter->link);
	if (c->doc == POLICY_DOC_MAIN) {
		w[n++] = (struct policy_write){POLICY_DOC_PREVIOUS, c->previous};
		w[n++] = (struct policy_write){POLICY_DOC_CONFIRM, until};
	}
	policy_store_write(r->d->policies, w, n, written, waiter);
	free(until);
}

void policy_run_confirmed(struct policy_run *r)
{
	struct policy_write none = {POLICY_DOC_CONFIRM, NULL};
	policy_store_write(r->d->policies, &none, 1, NULL, NULL);
}

bool policy_run_send(struct policy_run *r, struct msg *m,
		     void (*done)(struct attrs a, bool more, const struct err *error, void *aux),
		     void *aux)
{
	if (r->client)
		api_send(r->client, m, done, aux);
	else
		msg_free(m);
	return r->client;
}

const uint8_t *policy_run_hash(const struct policy_run *r)
{
	return r->there;
}

struct audit *policy_run_audit(struct policy_run *r)
{
	return r->audit;
}

/* ---- status ---- */

char *policy_run_status(const struct policy_run *r)
{
	const struct policy *p = r->wanted.v.p;
	uint64_t until = policy_confirm_until(r), now = clock_wall_ms();
	struct policy_document doc;
	json_t *o = json_pack("{s:b, s:b, s:i, s:i, s:I, s:i}", "judged", r->judged, "in_force",
			      r->known && !r->busy && !wants_nothing(r) &&
				      !memcmp(r->there, r->wanted.v.hash, sizeof r->there),
			      "endpoints", p ? (int)p->endpoints.len : 0, "rules",
			      p ? (int)p->rules.len : 0, "confirm_ms",
			      (json_int_t)(until > now ? until - now : 0), "compiled",
			      (int)r->n_compiled);
	char *text;
	for (int i = 0; i < POLICY_DOCS; i++)
		if (policy_store_find(r->d->policies, policy_doc_names[i], &doc))
			json_object_set_new(o, policy_doc_names[i],
					    json_pack("{s:I, s:s}", "generation",
						      (json_int_t)doc.generation, "status",
						      doc.status));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text ? text : xstrdup("{}");
}

/* ---- life ---- */

struct policy_run *policy_run_create(struct sluiced *d)
{
	struct policy_run *r = xzalloc(sizeof *r);
	r->d = d;
	for (int i = 0; i < POLICY_DOCS; i++)
		r->settled[i] = -1;
	list_init(&r->waiters);
	r->timer = evtimer_new(d->base, timed, r);
	return r;
}

int policy_run_start(struct policy_run *r, struct err *e)
{
	int rc = audit_open(&r->audit, r->d->options->dbdir, e);
	if (rc)
		return rc;
	policy_store_listen(r->d->policies, changed, r);
	ovsdb_server_watch(r->d->server, "Sluice", "Policy", somebody_writes, r);
	return 0;
}

void policy_run_destroy(struct policy_run *r)
{
	if (!r)
		return;
	if (r->d->policies)
		policy_store_listen(r->d->policies, NULL, NULL);
	if (r->d->server)
		ovsdb_server_watch(r->d->server, NULL, NULL, NULL, NULL);
	LIST_FOR_EACH_SAFE (w, struct waiter, link, &r->waiters)
		answer(w, "sluiced is stopping", NULL);
	event_free(r->timer);
	policy_version_free(&r->wanted.v);
	policy_version_free(&r->tried);
	for (int i = 0; i < POLICY_DOCS; i++) {
		free(r->seen[i]);
		str_free(&r->reason[i]);
	}
	audit_close(r->audit);
	free(r->writer);
	free(r);
}
