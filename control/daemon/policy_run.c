/* SPDX-License-Identifier: BSD-3-Clause */
/* See policy_run.h.
 *
 *	store changed → judge: read and compile → wanted → sync: send if the digest differs →
 *settle: statuses, answers
 *
 * Invariants: `wanted` is NULL or readable; at most one POLICY_SET is on its way (`busy`); `there`
 * is what the datapath holds whenever known && !busy. */
#include "control/daemon/policy_run.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/audit.h"
#include "control/daemon/grants.h"
#include "control/daemon/sluiced.h"
#include "control/policy/policy.h"
#include "control/state/policy_store.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/unixctl.h"

LOG_MODULE(policy);

enum { CONFIRM_SLACK_MS = 1000 };

const char *const policy_doc_names[POLICY_DOCS] = {"policy", "grants"};

struct waiter {
	struct list link;
	struct policy_run *r;
	struct unixctl_call *call; /* NULL: the switch's own change */
	enum policy_doc doc;
	int64_t generation; /* 0: not written yet */
	char *action, *what, *done;
};

/* Documents that belong together. */
struct version {
	struct policy *p;
	struct str document; /* both texts, as the datapath keeps them */
	uint8_t hash[POLICY_HASH_BYTES];
	int64_t generation[POLICY_DOCS]; /* -1: there is none, or the one before stands in */
};

struct policy_run {
	struct sluiced *d;
	struct audit *audit;
	struct event *timer; /* a grant ends, a confirmation is overdue */
	struct list waiters;

	bool judged;
	char *seen[POLICY_DOCS]; /* texts judged last */
	struct version wanted;
	int64_t settled[POLICY_DOCS];   /* generation with a verdict, or -1 */
	struct str reason[POLICY_DOCS]; /* of the verdict; "": in force */

	struct api_client *client;
	bool known; /* the datapath has said what it holds */
	bool has;   /* … and it is a policy */
	uint8_t there[POLICY_HASH_BYTES];
	bool busy;
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

static int read_both(struct policy **p, const char *file, const char *main, const char *grants,
		     struct err *e)
{
	struct policy_text texts[] = {{file, main, strlen(main)},
				      {"grants", grants, strlen(grants)}};
	return policy_read(p, texts, SL_ARRAY_SIZE(texts), clock_wall_ms(), e);
}

int policy_run_try(const char *file, const char *main, const char *grants, struct err *e)
{
	struct policy *p;
	int rc = read_both(&p, file, main, grants, e);
	policy_free(p);
	return rc;
}

static void free_version(struct version *v)
{
	policy_free(v->p);
	str_free(&v->document);
	memset(v, 0, sizeof *v);
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

/* Makes *v of two texts; what stands in for a rejected document is `applied`. */
static int make_version(struct policy_run *r, const bool applied[POLICY_DOCS], struct version *v,
			struct err *e)
{
	const char *text[POLICY_DOCS];
	int rc;
	memset(v, 0, sizeof *v);
	for (int i = 0; i < POLICY_DOCS; i++) {
		text[i] = applied[i] ? applied_text(r, policy_doc_names[i])
				     : policy_run_text(r, policy_doc_names[i]);
		v->generation[i] = applied[i] ? -1 : generation_of(r, policy_doc_names[i]);
	}
	rc = read_both(&v->p, "policy.yaml", text[0], text[1], e);
	if (rc)
		return rc;
	str_puts(&v->document, text[0]);
	if (text[1][0])
		str_printf(&v->document, "%s---\n%s",
			   text[0][0] && text[0][strlen(text[0]) - 1] != '\n' ? "\n" : "", text[1]);
	policy_digest(v->p, str_cstr(&v->document), v->document.len, v->hash);
	return 0;
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
		free_version(&r->wanted);
		r->wanted = v;
		return;
	}
	log_err("no policy that was ever good can be read: %s", first.text);
	for (int doc = 0; doc < POLICY_DOCS; doc++)
		set_verdict(r, doc, generation_of(r, policy_doc_names[doc]), first.text);
}

/* ---- time ---- */

static uint64_t confirm_until(const struct policy_run *r)
{
	uint64_t ms;
	return parse_u64(policy_run_text(r, "confirm"), 10, UINT64_MAX, &ms) ? ms : 0;
}

static void start_timer(struct policy_run *r)
{
	uint64_t now = clock_wall_ms(), at = confirm_until(r), delay;
	struct timeval tv;
	if (at)
		at += CONFIRM_SLACK_MS; /* the datapath goes back by itself and says so */
	if (r->wanted.p)
		VEC_FOR_EACH (g, &r->wanted.p->grants)
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

static void audit_own(struct policy_run *r, const char *action, const char *what,
		      const char *result)
{
	struct err e = {0};
	struct audit_record record = {.action = action, .what = what, .result = result};
	if (audit_write(r->audit, NULL, &record, &e))
		LOG_LIMIT(log_err, 6, "audit log: %s", e.text);
}

static void go_back(struct policy_run *r)
{
	const char *previous = policy_run_previous(r);
	policy_run_forget_confirm(r);
	if (!previous)
		return;
	log_warn("the policy was not confirmed in time: back to the one before");
	audit_own(r, "rollback", "policy", "not confirmed in time");
	policy_run_write(r, POLICY_DOC_MAIN, previous, NULL, "rollback", "policy", "");
}

static void end_grants(struct policy_run *r)
{
	struct grants_ended ended = {0};
	char *left = grants_without_ended(policy_run_text(r, "grants"), clock_wall_ms(), &ended);
	if (!left)
		return;
	VEC_FOR_EACH (name, &ended.names) {
		log_info("grant %s has ended", *name);
		audit_own(r, "grant-end", *name, "its time is over");
		free(*name);
	}
	vec_free(&ended.names);
	policy_run_write(r, POLICY_DOC_GRANTS, left, NULL, "grant-end", "grants", "");
	free(left);
}

static void timed(evutil_socket_t fd, short what, void *aux)
{
	struct policy_run *r = aux;
	uint64_t until = confirm_until(r);
	if (until && until + CONFIRM_SLACK_MS <= clock_wall_ms())
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
	    strcmp(doc->name, "previous") && strcmp(doc->name, "confirm") && !doc->status[0])
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
		audit_own(r, "database", policy_doc_names[i],
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
	return !r->wanted.p || (!r->wanted.document.len && !r->has);
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
	if (!make_version(r, applied, &v, &e) && memcmp(v.hash, s->hash, sizeof v.hash)) {
		free_version(&r->wanted);
		r->wanted = v;
		sync_datapath(r);
	} else {
		free_version(&v);
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
	struct sending *s = xzalloc(sizeof *s);
	uint64_t until = confirm_until(r), now = clock_wall_ms();
	struct msg m;
	s->r = r;
	memcpy(s->hash, r->wanted.hash, sizeof s->hash);
	memcpy(s->generation, r->wanted.generation, sizeof s->generation);
	msg_init(&m, API_TRANSACTION, 0);
	policy_encode(r->wanted.p, str_cstr(&r->wanted.document), r->wanted.document.len,
		      until > now ? until - now : 0, &m);
	r->busy = true;
	log_info("policy: %zu endpoints and %zu rules go to the datapath",
		 r->wanted.p->endpoints.len, r->wanted.p->rules.len);
	api_send(r->client, &m, sent, s);
}

static void sync_datapath(struct policy_run *r)
{
	if (!r->client || !r->known || r->busy || !r->judged)
		return;
	if (wants_nothing(r) || (r->has && !memcmp(r->there, r->wanted.hash, sizeof r->there)))
		settle(r, r->wanted.generation, NULL);
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
	return r->judged && (!r->client || r->known);
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
	if (confirm_until(r))
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
	if (!reason && w->r->wanted.p) {
		put_hex(&hash, w->r->wanted.hash, sizeof w->r->wanted.hash);
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

void policy_run_write(struct policy_run *r, enum policy_doc doc, const char *text,
		      struct unixctl_call *call, const char *action, const char *what,
		      const char *done)
{
	struct waiter *w = xzalloc(sizeof *w);
	w->r = r;
	w->doc = doc;
	w->call = call;
	w->action = xstrdup(action);
	w->what = xstrdup(what);
	w->done = xstrdup(done);
	list_push_back(&r->waiters, &w->link);
	if (text)
		policy_store_write(r->d->policies, policy_doc_names[doc], text, written, w);
	else
		policy_store_remove(r->d->policies, policy_doc_names[doc], written, w);
}

struct audit *policy_run_audit(struct policy_run *r)
{
	return r->audit;
}

/* ---- confirmation ---- */

void policy_run_await_confirm(struct policy_run *r, const char *previous, uint64_t confirm_ms)
{
	char *until = xasprintf("%llu", (unsigned long long)(clock_wall_ms() + confirm_ms));
	policy_store_write(r->d->policies, "previous", previous, NULL, NULL);
	if (confirm_ms)
		policy_store_write(r->d->policies, "confirm", until, NULL, NULL);
	else
		policy_run_forget_confirm(r);
	free(until);
}

const char *policy_run_previous(const struct policy_run *r)
{
	struct policy_document doc;
	return policy_store_find(r->d->policies, "previous", &doc) ? doc.text : NULL;
}

void policy_run_forget_confirm(struct policy_run *r)
{
	policy_store_remove(r->d->policies, "confirm", NULL, NULL);
}

struct confirming {
	struct policy_run *r;
	struct unixctl_call *call;
};

static void confirmed(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct confirming *c = aux;
	struct audit_record record = {.action = "confirm", .what = "policy", .result = "in force"};
	struct err e = {0};
	if (more)
		return;
	if (error) {
		unixctl_error(c->call, error->text);
	} else {
		policy_run_forget_confirm(c->r);
		if (audit_write(c->r->audit, c->call, &record, &e))
			log_err("audit log: %s", e.text);
		unixctl_reply(c->call, "confirmed: the policy stays\n");
	}
	free(c);
}

bool policy_run_awaits_confirm(const struct policy_run *r)
{
	return confirm_until(r);
}

bool policy_run_confirm(struct policy_run *r, struct unixctl_call *call)
{
	struct confirming *c;
	struct msg m;
	size_t at;
	if (!confirm_until(r))
		return false;
	if (!r->client) {
		unixctl_error(call, "the datapath is away: it cannot be confirmed now");
		return true;
	}
	c = xzalloc(sizeof *c);
	c->r = r;
	c->call = call;
	msg_init(&m, API_TRANSACTION, 0);
	at = msg_op_begin(&m, API_OP_POLICY_CONFIRM);
	msg_put_bytes(&m, ATTR_POLICY_HASH, r->there, sizeof r->there);
	msg_nest_end(&m, at);
	api_send(r->client, &m, confirmed, c);
	return true;
}

/* ---- status ---- */

char *policy_run_status(const struct policy_run *r)
{
	uint64_t until = confirm_until(r), now = clock_wall_ms();
	struct policy_document doc;
	json_t *o = json_pack("{s:b, s:b, s:i, s:i, s:I}", "judged", r->judged, "in_force",
			      r->known && !r->busy && !wants_nothing(r) &&
				      !memcmp(r->there, r->wanted.hash, sizeof r->there),
			      "endpoints", r->wanted.p ? (int)r->wanted.p->endpoints.len : 0,
			      "rules", r->wanted.p ? (int)r->wanted.p->rules.len : 0, "confirm_ms",
			      (json_int_t)(until > now ? until - now : 0));
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
	return 0;
}

void policy_run_destroy(struct policy_run *r)
{
	if (!r)
		return;
	if (r->d->policies)
		policy_store_listen(r->d->policies, NULL, NULL);
	LIST_FOR_EACH_SAFE (w, struct waiter, link, &r->waiters)
		answer(w, "sluiced is stopping", NULL);
	event_free(r->timer);
	free_version(&r->wanted);
	for (int i = 0; i < POLICY_DOCS; i++) {
		free(r->seen[i]);
		str_free(&r->reason[i]);
	}
	audit_close(r->audit);
	free(r);
}
