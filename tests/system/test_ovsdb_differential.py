# SPDX-License-Identifier: BSD-3-Clause
"""Random transactions, valid and not, against ovsdb-server and ovsdb-lite side by side: the same
replies, the same monitor updates, the same contents at the end, and each reads the other's file.
SLUICE_FULL=1 runs many seeds; SLUICE_SEED=N one."""
import json
import os
import random
import re
import uuid

import pytest

from ovsdb_process import FULL, Connection, Server, create_db

SCHEMA = {
    "name": "Test", "version": "1.0.0", "tables": {
        "Root": {"isRoot": True, "columns": {
            "name": {"type": "string"},
            "n": {"type": "integer"},
            "small": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 10}}},
            "real": {"type": "real"},
            "flag": {"type": "boolean"},
            "id": {"type": "uuid"},
            "color": {"type": {"key": {"type": "string", "enum": ["set", ["red", "green"]]},
                               "min": 0, "max": 1}},
            "opt": {"type": {"key": "integer", "min": 0, "max": 1}},
            "ints": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
            "few": {"type": {"key": {"type": "integer", "minInteger": -3, "maxInteger": 3},
                             "min": 1, "max": 3}},
            "strings": {"type": {"key": {"type": "string", "maxLength": 5}, "min": 0,
                                 "max": "unlimited"}},
            "map": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            "imap": {"type": {"key": "integer", "value": "real", "min": 0, "max": 3}},
            "kids": {"type": {"key": {"type": "uuid", "refTable": "Kid"}, "min": 0,
                              "max": "unlimited"}},
            "kidmap": {"type": {"key": "string", "value": {"type": "uuid", "refTable": "Kid"},
                                "min": 0, "max": "unlimited"}},
            "friend": {"type": {"key": {"type": "uuid", "refTable": "Kid", "refType": "weak"},
                                "min": 0, "max": 1}},
            "friends": {"type": {"key": {"type": "uuid", "refTable": "Kid", "refType": "weak"},
                                 "min": 0, "max": "unlimited"}},
            "fixed": {"type": "integer", "mutable": False},
            "eph": {"type": {"key": "string", "min": 0, "max": 2}, "ephemeral": True}},
            "indexes": [["name"], ["n", "flag"]]},
        "Kid": {"columns": {
            "name": {"type": "string"},
            "n": {"type": "integer"},
            "next": {"type": {"key": {"type": "uuid", "refTable": "Kid"}, "min": 0, "max": 1}},
            "owner": {"type": {"key": {"type": "uuid", "refTable": "Root", "refType": "weak"},
                               "min": 0, "max": "unlimited"}},
            "pals": {"type": {"key": {"type": "uuid", "refTable": "Kid", "refType": "weak"},
                              "value": {"type": "uuid", "refTable": "Root", "refType": "weak"},
                              "min": 0, "max": "unlimited"}}},
            "indexes": [["name"]]},
        "Boss": {"isRoot": True, "maxRows": 3, "columns": {
            "kid": {"type": {"key": {"type": "uuid", "refTable": "Kid", "refType": "weak"},
                             "min": 1, "max": 2}},
            "text": {"type": {"key": {"type": "string", "minLength": 2}, "min": 0,
                              "max": "unlimited"}}}},
    }}

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


# Every uuid the generator made. Others are a server's own choice for a name whose insert was never
# executed, and are all alike.
ISSUED = {"00000000-0000-0000-0000-000000000000"}


class Generator:
    """Operations over a small world of names, so that things collide and refer to each other."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.known = {"Root": [], "Kid": [], "Boss": []}
        self.symbols = []
        self.current = None  # uuid-name of the row being written

    def uuid(self):
        u = str(uuid.UUID(int=self.r.getrandbits(128), version=4))
        ISSUED.add(u)
        return u

    def ref(self, table):
        r = self.r
        if self.symbols and r.random() < 0.5:
            # A row of one table that names itself as a row of another: ovsdb-server takes it for
            # a reference to itself and stores it; ovsdb-lite refuses, as for any dangling one.
            of, name = r.choice(self.symbols)
            if name != self.current or of == table:
                return ["named-uuid", name]
        if self.known[table] and r.random() < 0.95:
            return ["uuid", r.choice(self.known[table][-30:])]
        if r.random() < 0.3:
            return ["named-uuid", "ghost"]
        return ["uuid", self.uuid()]

    def atom(self, base):
        r = self.r
        if r.random() < 0.01:
            return r.choice([1.5, "x", True, None, ["uuid", "z"], {}, ["set", []]])
        kind = base if isinstance(base, str) else base["type"]
        if not isinstance(base, str) and "refTable" in base:
            return self.ref(base["refTable"])
        if kind == "integer":
            return r.choice([0, 1, 2, 3, 5, -1, 10, r.randrange(-3, 12), 2**40])
        if kind == "real":
            return r.choice([0, 0.5, -2.25, 1e3, 4])
        if kind == "boolean":
            return r.random() < 0.5
        if kind == "string":
            if not isinstance(base, str) and "enum" in base:
                return r.choice(["red", "green", "green", "red", "blue"])
            return r.choice(["", "a", "b", "cc", "dd", "long text", "é", 'q"\\', "eeeee"])
        return ["uuid", self.uuid()]

    def value(self, t):
        r = self.r
        if isinstance(t, str):
            return self.atom(t)
        top = t.get("max", 1)
        top = 6 if top == "unlimited" else top
        n = r.randrange(0, top + 1) if r.random() < 0.97 else top + 1
        if "value" in t:
            return ["map", [[self.atom(t["key"]), self.atom(t["value"])] for _ in range(n)]]
        if n == 1 and r.random() < 0.7:
            return self.atom(t["key"])
        atoms = [self.atom(t["key"]) for _ in range(n)]
        if r.random() < 0.85:  # mostly without duplicates
            atoms = list({json.dumps(a): a for a in atoms}.values())
        return ["set", atoms]

    def columns(self, table):
        return SCHEMA["tables"][table]["columns"]

    def row(self, table, k):
        r, cols = self.r, self.columns(table)
        names = r.sample(sorted(cols), min(k, len(cols)))
        row = {}
        for name in names:
            if name == "fixed" and r.random() < 0.8:
                continue
            t = cols[name]["type"]
            row[name] = self.value(t)
        if r.random() < 0.01:
            row["nosuch"] = 1
        return row

    def where(self, table):
        r, cols = self.r, self.columns(table)
        x = r.random()
        if x < 0.45 and self.known[table]:
            return [["_uuid", "==", ["uuid", r.choice(self.known[table][-40:])]]]
        if x < 0.55:
            return []
        out = []
        for _ in range(r.choice([1, 1, 1, 2])):
            name = r.choice(sorted(cols))
            fn = r.choice(["==", "!=", "includes", "excludes", "<", "<=", ">", ">=", "=~"]
                          if r.random() < 0.2 else ["==", "==", "!=", "includes", "excludes"])
            if r.random() < 0.15:
                name, fn = r.choice(["n", "small", "opt", "real"]), r.choice(["<", "<=", ">", ">="])
                if name not in cols:
                    name = "n" if "n" in cols else "text"
            out.append([name, fn, self.value(cols[name]["type"])])
        if r.random() < 0.02:
            out.append(r.choice([True, False, 5, ["n", "=="], ["nosuch", "==", 1]]))
        return out

    def mutations(self, table):
        r, cols = self.r, self.columns(table)
        out = []
        for _ in range(r.choice([1, 1, 2])):
            name = r.choice(sorted(cols))
            t = cols[name]["type"]
            if r.random() < 0.5 and table != "Boss":
                name = r.choice(["n", "small", "opt", "ints", "real", "few"]
                                if table == "Root" else ["n"])
                fn = r.choice(["+=", "-=", "*=", "/=", "%="])
                # ovsdb-server 3.1 dies of SIGFPE when -1 is multiplied or INT64_MIN divided by it,
                # and sees an overflow in 1 * 2**62: products only where nothing is negative.
                if fn == "*=" and name not in ("small", "real"):
                    fn = "+="
                out.append([name, fn, r.choice([0, 1, 2, 4, 0.5] if fn == "*=" or name == "real"
                                               else [0, 1, 2, 3, 2**62, 0.5])])
                continue
            v = self.value(t)
            if isinstance(v, list) and v and v[0] == "map" and r.random() < 0.5:
                v = ["set", [p[0] for p in v[1]]]
            out.append([name, r.choice(["insert", "delete", "insert", "delete", "frob"]
                                       if r.random() < 0.05 else ["insert", "delete"]), v])
        return out

    def op(self):
        r = self.r
        table = r.choice(["Root", "Root", "Root", "Kid", "Kid", "Kid", "Boss"])
        kind = r.choices(["insert", "update", "mutate", "delete", "select", "wait", "comment",
                          "abort", "assert", "commit", "bad"],
                         [30, 20, 20, 6, 10, 6, 3, 0.7, 0.7, 1, 2])[0]
        if kind == "insert":
            op = {"op": "insert", "table": table, "row": self.row(table, r.choice([1, 2, 4, 8]))}
            if table == "Boss" and r.random() < 0.8:
                op["row"]["kid"] = self.ref("Kid")
            if table == "Root":
                op["row"].setdefault("name", "root%d" % r.randrange(60))
                op["row"].setdefault("n", r.randrange(1000))
                op["row"].setdefault("few", r.randrange(3))
            if table == "Kid":
                op["row"].setdefault("name", "kid%d" % r.randrange(60))
            if r.random() < 0.7:
                op["uuid"] = self.uuid() if r.random() < 0.97 or not self.known[table] else \
                    r.choice(self.known[table])
                self.known[table].append(op["uuid"])
            if r.random() < 0.7:
                op["uuid-name"] = r.choice("abcdefg")
            return op
        if kind == "update":
            return {"op": "update", "table": table, "where": self.where(table),
                    "row": self.row(table, r.choice([1, 1, 2, 3]))}
        if kind == "mutate":
            return {"op": "mutate", "table": table, "where": self.where(table),
                    "mutations": self.mutations(table)}
        if kind == "delete":
            return {"op": "delete", "table": table, "where": self.where(table)}
        if kind == "select":
            op = {"op": "select", "table": table, "where": self.where(table)}
            if r.random() < 0.6:
                op["columns"] = r.sample(sorted(self.columns(table)) + ["_uuid"], 2)
            return op
        if kind == "wait":
            cols = r.sample(sorted(self.columns(table)), 1)
            return {"op": "wait", "timeout": 0, "table": table, "where": self.where(table),
                    "columns": cols, "until": r.choice(["==", "!="]),
                    "rows": [{cols[0]: self.value(self.columns(table)[cols[0]]["type"])}
                             for _ in range(r.choice([0, 1, 1, 2]))]}
        if kind == "comment":
            return {"op": "comment", "comment": "text"}
        if kind == "abort":
            return {"op": "abort"}
        if kind == "assert":
            return {"op": "assert", "lock": "l"}
        if kind == "commit":
            return {"op": "commit", "durable": r.random() < 0.3}
        return r.choice([{"op": "frob"}, 5, {"op": "insert"}, {"op": "select", "table": "Nosuch",
                                                                  "where": []},
                         {"op": "delete", "table": "Root", "where": [], "extra": 1},
                         {"op": "update", "table": "Root", "where": [["n", "=="]], "row": {}}])

    def transaction(self):
        self.symbols = []
        ops = []
        n = self.r.choice([1, 1, 2, 3, 5, 8])
        # names that inserts of this transaction will have, so that references can come first
        plan = [self.op() for _ in range(n)]
        self.symbols = [(o["table"], o["uuid-name"]) for o in plan
                        if isinstance(o, dict) and "uuid-name" in o]
        for o in plan:
            if isinstance(o, dict) and o.get("op") == "insert" and self.r.random() < 0.6 \
                    and "row" in o:
                self.current = o.get("uuid-name")
                extra = self.row(o["table"], 3)
                self.current = None
                o["row"].update({k: v for k, v in extra.items() if k not in o["row"]})
            ops.append(o)
            if isinstance(o, dict) and o.get("op") == "insert" and o.get("table") == "Kid" \
                    and "uuid-name" in o and self.r.random() < 0.8 and self.known["Root"]:
                # give the newcomer somebody to belong to
                ops.append({"op": "mutate", "table": "Root", "where":
                            [["_uuid", "==", ["uuid", self.r.choice(self.known["Root"][-5:])]]],
                            "mutations": [["kids", "insert",
                                           ["set", [["named-uuid", o["uuid-name"]]]]]]})
        return ops


class Side:
    """One server with its own uuids for rows it named itself."""

    def __init__(self, server):
        self.server = server
        self.connection = Connection(server.sock)
        self.to_common = {}
        self.to_own = {}

    def own(self, obj):
        return json.loads(UUID.sub(lambda m: self.to_own.get(m.group(0), m.group(0)),
                                   json.dumps(obj)))

    def common(self, text):
        def name(m):
            u = self.to_common.get(m.group(0), m.group(0))
            return u if u in ISSUED else "unknown"
        return UUID.sub(name, text)

    def learn(self, own, common):
        self.to_common[own] = common
        self.to_own[common] = own


def canonical(v):
    """Sets and maps without their order; reals and integers alike; versions left out."""
    if isinstance(v, dict):
        return {k: canonical(x) for k, x in v.items() if k not in ("_version",)}
    if isinstance(v, list):
        if len(v) == 2 and v[0] in ("set", "map") and isinstance(v[1], list):
            return [v[0], sorted((canonical(x) for x in v[1]), key=json.dumps)]
        return [canonical(x) for x in v]
    if isinstance(v, float) and v == int(v):
        return int(v)
    return v


# Found while a <row> is read, column by column in an order that RFC 7047 leaves open: with two bad
# columns either may be the one reported.
READING = {"syntax error", "constraint violation", "unknown column", "ovsdb error"}
# Likewise the rows of a "mutate": with two mutations that can fail, the one reported is that of the
# row that comes first.
MUTATING = {"constraint violation", "domain error", "range error"}


def reply_of(side, msg, ops=()):
    """What must be equal: results op by op; errors by their term; rows without order."""
    result = msg["result"]
    out = []
    for i, r in enumerate(json.loads(side.common(json.dumps(result)))):
        r = canonical(r)
        if r and "error" in r:
            op = ops[i] if i < len(ops) and isinstance(ops[i], dict) else {}
            many = len(op.get("row", {})) > 1 and r["error"] in READING
            which = len(op.get("mutations", [])) > 1 and r["error"] in MUTATING
            out.append(("error", "reading" if many else "mutating" if which else r["error"]))
        elif r and "rows" in r:
            out.append(("rows", sorted(json.dumps(x, sort_keys=True) for x in r["rows"])))
        else:
            out.append(r)
    return out


def without_noise(updates):
    """ovsdb-server also reports rows of which no monitored column changed, but one that only a
    condition looks at, or whose request excludes modifications: an update that says nothing."""
    out = {}
    for table, rows in updates.items():
        rows = {k: v for k, v in rows.items()
                if v.get("modify") != {} and not (v.get("old") == {} and "new" in v)}
        if rows:
            out[table] = rows
    return out


def updates_of(side):
    out = []
    for n in side.connection.take_notifications():
        params = n["params"]
        if n["method"] == "update3":
            params = [params[0], params[2]]
        params = [params[0], without_noise(params[1])]
        if not params[1]:
            continue
        text = side.common(json.dumps(canonical(params), sort_keys=True))
        out.append((n["method"], json.dumps(canonical(json.loads(text)), sort_keys=True)))
    # transactions are one update each, monitors in any order
    return sorted(out)


def contents(side):
    ops = [{"op": "select", "table": t, "where": [],
            "columns": ["_uuid"] + sorted(SCHEMA["tables"][t]["columns"])}
           for t in sorted(SCHEMA["tables"])]
    msg = side.connection.call("transact", ["Test", *ops])
    return reply_of(side, msg)


def persistent(tables):
    out = []
    for _, rows in tables:
        rows = [json.loads(row) for row in rows]
        out.append(sorted(json.dumps({k: v for k, v in row.items() if k != "eph"}, sort_keys=True)
                          for row in rows))
    return out


def monitors(side, seed):
    r = random.Random(seed)
    c = side.connection
    assert c.call("monitor", ["Test", "v1", {
        "Root": [{"columns": ["name", "n", "map", "kids", "friends"]},
                 {"columns": ["ints", "eph"], "select": {"modify": False}}],
        "Kid": {"columns": ["name", "next", "pals"]},
        "Boss": {"columns": ["kid"], "select": {"insert": False}}}])["error"] is None
    assert c.call("monitor_cond", ["Test", "v2", {
        "Root": [{"columns": ["name", "n", "ints", "few", "map", "imap", "opt", "kidmap",
                              "friends", "eph"],
                  "where": [["n", "<", 500], ["flag", "==", True]]}],
        "Kid": [{"columns": ["n", "pals", "owner"]}]}])["error"] is None
    assert c.call("monitor_cond_since", ["Test", "v3", {
        "Root": [{"columns": ["color", "strings", "real"],
                  "where": [["ints", "includes", r.randrange(4)]]},
                 {"columns": ["map"], "select": {"modify": False, "initial": False}}],
        "Boss": [{"columns": []}]}, "00000000-0000-0000-0000-000000000000"])["error"] is None


def run(tmp_path, seed, count):
    schema = tmp_path / "test.ovsschema"
    schema.write_text(json.dumps(SCHEMA))
    dirs = [tmp_path / "judge", tmp_path / "lite"]
    for d in dirs:
        d.mkdir()
        create_db(str(d / "t.db"), str(schema))
    gen = Generator(seed)
    committed = 0
    details = 0
    with Server(dirs[0], [dirs[0] / "t.db"], "ovsdb-server") as judge, \
            Server(dirs[1], [dirs[1] / "t.db"]) as lite:
        sides = [Side(judge), Side(lite)]
        for s in sides:
            monitors(s, seed)
        for i in range(count):
            ops = gen.transaction()
            msgs = []
            ids = [s.connection.request("transact", ["Test", *s.own(ops)]) for s in sides]
            for s, ident in zip(sides, ids):
                msgs.append(s.connection.reply(ident))
            pairs = list(zip(msgs[0]["result"], msgs[1]["result"]))
            for op, (a, b) in zip(ops, pairs):
                if a and b and "uuid" in a and "uuid" in b and a["uuid"][1] != b["uuid"][1]:
                    name = gen.uuid()
                    sides[0].learn(a["uuid"][1], name)
                    sides[1].learn(b["uuid"][1], name)
                    gen.known[op["table"]].append(name)
            replies = [reply_of(s, m, ops) for s, m in zip(sides, msgs)]
            where = f"seed {seed} transaction {i}: {json.dumps(ops)}\n" \
                    f"judge: {msgs[0]['result']}\nlite:  {msgs[1]['result']}"
            assert replies[0] == replies[1], where
            for a, b in pairs:
                if a and "error" in a:
                    ta = UUID.sub("U", sides[0].common(a.get("details", "")))
                    tb = UUID.sub("U", sides[1].common(b.get("details", "")))
                    details += ta != tb
                    if ta != tb and "SLUICE_SEED" in os.environ:
                        print(f"judge: {ta}\nlite:  {tb}")
            committed += not any(r and "error" in r for r in msgs[0]["result"])
            updates = [updates_of(s) for s in sides]
            assert updates[0] == updates[1], where + "\n" + "\n".join(map(str, updates))
            if i % 50 == 49:
                change = {"Root": [{"where": [["n", "<", gen.r.randrange(1000)]]}],
                          "Kid": [{"where": [["n", ">", gen.r.randrange(-3, 4)],
                                             ["owner", "==", ["set", []]]]}]}
                for s in sides:
                    assert s.connection.call("monitor_cond_change",
                                             ["v2", "v2", change])["error"] is None
                updates = [updates_of(s) for s in sides]
                assert updates[0] == updates[1], f"seed {seed} condition change after {i}\n" + \
                    "\n".join(map(str, updates))
                if len(gen.known["Root"]) > 60:  # keep the world small
                    for s in sides:
                        s.connection.transact("Test", {"op": "delete", "table": "Boss", "where": []},
                                              {"op": "delete", "table": "Root", "where":
                                               [["n", ">", 50]]})
                        s.connection.take_notifications()
                    gen.known["Root"] = gen.known["Root"][-40:]
                    gen.known["Kid"] = gen.known["Kid"][-60:]
        final = [contents(s) for s in sides]
        assert final[0] == final[1], f"seed {seed}: contents differ"
        for s in sides:
            s.connection.close()
    # Each opens the other's file: what was written is what was meant.
    with Server(dirs[0], [dirs[1] / "t.db"], "ovsdb-server") as judge, \
            Server(dirs[1], [dirs[0] / "t.db"]) as lite:
        for s, names in ((Side(judge), sides[1]), (Side(lite), sides[0])):
            s.to_common = names.to_common
            assert persistent(contents(s)) == persistent(final[0]), f"seed {seed}: {s.server.program}"
    assert committed > count // 10, f"only {committed} of {count} transactions were valid"
    return committed, details


SEEDS = [int(os.environ["SLUICE_SEED"])] if "SLUICE_SEED" in os.environ else \
    list(range(1, 41 if FULL else 4))


@pytest.mark.parametrize("seed", SEEDS)
def test_same_as_ovsdb_server(tmp_path, seed):
    committed, details = run(tmp_path, seed, 2000 if FULL else 1000)
    print(f"seed {seed}: {committed} committed, {details} errors worded differently")
