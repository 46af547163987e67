# SPDX-License-Identifier: BSD-3-Clause
"""The network policy as sluiced keeps it: commands, the Sluice database, adoption and replay, confirmation,
grants, the audit log. Verdicts on packets are in test_policy_matrix.py."""
import json
import os
import random
import re
import socket
import subprocess
import tempfile
import time

import pytest

from control_process import SLUICE, Failed, Switch, wait_until

POLICY = """
networks: {blue: {cidrs: [10.0.0.0/24]}}
host: {addresses: [10.0.0.1], services: {proxy: {ports: [tcp/3128]}}}
endpoints:
  web1: {network: blue, addresses: [10.0.0.11]}
  db1: {network: blue, addresses: [10.0.0.12]}
policies:
  db:
    endpoints: db1
    ingress:
      - {from: [web1], ports: [tcp/5432]}
"""


def verdict(sw, source, to, *service):
    out = sw.sluice("policy", "check", "--from", source, "--to", to, *service, "--json")
    return json.loads(out)["check"]["verdict"]


def status(sw):
    return json.loads(sw.rpc("policy/status"))


def audit(sw):
    with open(os.path.join(sw.dir, "audit.log")) as f:
        return [json.loads(line) for line in f]


def apply(sw, text, *more):
    return sw.sluice("policy", "apply", sw.write("policy.yaml", text), *more)


def writes(sw):
    """Policies that went to the datapath since sluiced was started first."""
    return sw.sluiced_log().count("go to the datapath")


def transact(sw, *operations):
    out = sw.run("ovsdb-client", "transact", f"unix:{sw.dir}/db.sock",
                 json.dumps(["Sluice", *operations])).stdout
    assert '"error"' not in out, out


def test_apply_show_check_and_adoption():
    with Switch() as sw:
        assert sw.show("policy", "grants") == []
        apply(sw, POLICY, "--reason", "first policy")
        assert {e["endpoint"] for e in sw.show("policy")} == {"web1", "db1", "host"}
        assert {e["isolated"] for e in sw.show("policy") if e["endpoint"] == "db1"} == {"ingress"}
        assert [r["rule"] for r in sw.show("policy", "show", "db1")] == ["db/ingress[0]"]
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "allow"
        assert verdict(sw, "web1", "db1", "--tcp", "22") == "deny"
        asked, done = audit(sw)
        assert asked["reason"] == "first policy" and done["detail"].startswith("sha256:")
        assert "db/ingress[0]" in {h["rule"] for h in sw.show("policy", "hits")}
        assert sw.sluice("policy", "show", "--document").strip() == POLICY.strip()
        assert writes(sw) == 1
        # A restarted sluiced finds what it wants: nothing is sent.
        sw.kill_sluiced()
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "allow"  # asked of the datapath
        sw.start_sluiced()
        wait_until(lambda: status(sw)["in_force"])
        assert writes(sw) == 1 and sw.status()["transactions"] == 0
        # A restarted datapath gets everything again.
        sw.datapath.kill()
        sw.datapath.start()
        wait_until(lambda: writes(sw) == 2 and status(sw)["in_force"])
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "allow"


@pytest.mark.parametrize("bad, reason", [
    (POLICY.replace("from: [web1]", "from: [web9]"),
     'policy.yaml:11: endpoint "web9" is not defined (did you mean "web1"?)'),
    (POLICY.replace("10.0.0.12", "10.0.0.11"),
     'endpoint "db1": address 10.0.0.11 belongs to "web1" (line 5) already'),
    (POLICY + "groups: {a: b, b: a}\n", 'group "a" contains itself'),
    (POLICY.replace("tcp/5432", "tcp/99999"), "tcp/99999 is impossible"),
    (POLICY + "#" * (10 << 20), "10.0 MB: a policy has at most 4 MB"),
    (POLICY + "# caf\udce9\n", "policy.yaml:12: not UTF-8"),
], ids=["unknown endpoint", "overlapping identity", "cyclic groups", "impossible port", "10 MB", "not UTF-8"])
def test_bad_input_changes_nothing(bad, reason):
    with Switch() as sw:
        apply(sw, POLICY)
        def everything():
            return ({k: v for k, v in status(sw).items() if k != "compiled"},
                    sw.sluice("policy", "show", "--document"), len(audit(sw)))
        before = everything()
        with pytest.raises(Failed) as e:
            apply(sw, bad)
        assert e.value.code == 1 and len(e.value.err.splitlines()) == 1
        assert reason in e.value.err and "policy.yaml:" in e.value.err
        assert before == everything()


def test_programs_write_through_ovsdb():
    with Switch() as sw:
        transact(sw, {"op": "insert", "table": "Policy",
                      "row": {"name": "policy", "document": POLICY}})
        wait_until(lambda: status(sw)["in_force"] and status(sw)["endpoints"] == 3)
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "allow"
        where = [["name", "==", "policy"]]
        transact(sw, {"op": "update", "table": "Policy", "where": where,
                      "row": {"document": POLICY.replace("from: [web1]", "from: [web9]")}})
        wait_until(lambda: status(sw)["policy"]["status"].startswith("rejected: policy.yaml:11: "))
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "allow"  # the last good one
        assert any(n["table"] == "Policy" and "web9" in n["text"] for n in sw.status()["notes"])
        assert "web9" in sw.sluice("status")
        # … which is also what a restarted datapath gets.
        sw.datapath.kill()
        sw.datapath.start()
        wait_until(lambda: status(sw)["in_force"])
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "allow"
        transact(sw, {"op": "update", "table": "Policy", "where": where,
                      "row": {"document": POLICY.replace("5432", "5433")}})
        wait_until(lambda: status(sw)["policy"]["status"] == "applied")
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "deny"
        transact(sw, {"op": "insert", "table": "Policy", "row": {"name": "x", "document": "y"}})
        rows = lambda: sw.run("ovsdb-client", "dump", f"unix:{sw.dir}/db.sock", "Sluice",
                              "Policy", "status").stdout
        wait_until(lambda: 'only the documents' in rows())
        strangers = [a for a in audit(sw) if a["action"] == "database"]
        assert [a["what"] for a in strangers] == ["policy"] * 3
        for a in strangers:
            assert a["who"]["program"] == "ovsdb-client" and a["who"]["uid"] == os.getuid() and a["who"]["pid"] > 0
        assert len({a["who"]["pid"] for a in strangers}) == 3
        # By the network the address is known, and no more than that.
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        sw.vsctl("set-manager", f"ptcp:{port}:127.0.0.1")
        operations = ["Sluice", {"op": "update", "table": "Policy", "where": where, "row": {"document": POLICY}}]
        sw.run("ovsdb-client", "transact", f"tcp:127.0.0.1:{port}", json.dumps(operations))
        wait_until(lambda: audit(sw)[-1]["who"].get("address", "").startswith("127.0.0.1:"))


def test_metrics_of_rules():
    """Packets, bytes and connections under each name; a policy of thousands of rules has a bounded number of labels."""
    with Switch() as sw:
        apply(sw, POLICY)
        sw.vsctl("set", "Open_vSwitch", ".", "other_config:sluice-metrics=unix:" + sw.dir + "/metrics.sock")

        def scrape():
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(os.path.join(sw.dir, "metrics.sock"))
                s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                return b"".join(iter(lambda: s.recv(65536), b"")).decode()
        wait_until(lambda: os.path.exists(os.path.join(sw.dir, "metrics.sock")))
        text = scrape()
        for kind in ("packets", "bytes", "connections"):
            for rule, what in (("db/ingress[0]", "allow"), ("default/host-deny", "deny"), ("guard/headers", "deny")):
                assert f'sluice_policy_rule_{kind}_total{{rule="{rule}",verdict="{what}"}} 0' in text
        many = "".join(f"      - {{from: [web1], ports: [tcp/{p}]}}\n" for p in range(6000, 8500))
        apply(sw, POLICY + many)
        names = set(re.findall(r'sluice_policy_rule_bytes_total{rule="([^"]*)"', scrape()))
        assert 2000 <= len(names) <= 2001 and {"more", "default/isolated", "limit/rule"} <= names


def test_an_apply_reads_once_and_writes_once():
    """What belongs together is one transaction of the database, and nobody compiles a policy twice."""
    with Switch() as sw:
        apply(sw, POLICY)
        before = status(sw)
        apply(sw, POLICY.replace("5432", "5433"), "--confirm", "60s")
        assert status(sw)["compiled"] == before["compiled"] + 1
        rows = sw.run("ovsdb-client", "--format=csv", "dump", f"unix:{sw.dir}/db.sock", "Sluice",
                      "Policy", "name", "generation").stdout
        generations = dict(re.findall(r"(?m)^([a-z]+),(\d+)$", rows) or
                           [(b, a) for a, b in re.findall(r"(?m)^(\d+),([a-z]+)$", rows)])
        assert set(generations) == {"policy", "previous", "confirm"}, rows
        assert len(set(generations.values())) == 1, rows
        sw.sluice("policy", "confirm")
        sw.sluice("policy", "rollback", "--reason", "x")
        assert status(sw)["compiled"] == before["compiled"] + 2


def test_whatever_a_program_writes_gets_a_verdict():
    """The fuzzer's corpus and damaged documents, written as "policy" and as "grants": each is applied, or rejected with
    one line; what was good stays in force meanwhile, and sluiced lives."""
    rng = random.Random(int(os.environ.get("SLUICE_SEED", "5")))
    corpus = os.path.join(os.path.dirname(__file__), "..", "fuzz", "corpus", "policy_yaml")
    texts = [open(os.path.join(corpus, n), "rb").read() for n in sorted(os.listdir(corpus))]
    texts += [POLICY.encode(), b'{"grants": {"g": {"from": "host", "to": "web1", "validUntil": 7}}}', b'{"grants": [1]}',
              b'{"grants": {"g": {"from": ["host"], "to": {}, "ports": 1, "validUntil": "2099-01-01T00:00:00Z"}}}']
    with Switch() as sw:
        apply(sw, POLICY)
        for i in range(120 if os.environ.get("SLUICE_FULL") == "1" else 30):
            text = bytearray(rng.choice(texts))
            for _ in range(rng.randint(0, 4) if text else 0):
                at = rng.randrange(len(text))
                text[at:at + rng.randint(0, 3)] = bytes(rng.choice(b"{}[]:,-&*!'\"\n 09az#|>%@") for _ in range(rng.randint(0, 2)))
                text = text or bytearray(b"x")
            name = rng.choice(["policy", "grants"])
            row = {"document": text.decode("utf-8", "ignore").replace("\0", "")}
            where = [["name", "==", name]]
            transact(sw, {"op": "delete", "table": "Policy", "where": [["name", "==", "grants"]]},
                     {"op": "insert", "table": "Policy", "row": {"name": "grants", "document": "{}"}})
            transact(sw, {"op": "update", "table": "Policy", "where": where, "row": row})
            verdict_of = lambda: status(sw)[name]["status"]
            wait_until(lambda: verdict_of() == "applied" or verdict_of().startswith("rejected: "))
            assert "\n" not in verdict_of(), verdict_of()
            if verdict_of() != "applied" and name == "policy":
                assert sw.sluice("policy", "show", "--document")
        transact(sw, {"op": "delete", "table": "Policy", "where": [["name", "==", "grants"]]})
        apply(sw, POLICY)
        wait_until(lambda: status(sw)["in_force"])
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "allow"


def test_confirm_and_rollback():
    other = POLICY.replace("5432", "5433")
    with Switch() as sw:
        apply(sw, POLICY)
        out = apply(sw, other, "--confirm", "1s")
        assert "unless confirmed" in out
        assert verdict(sw, "web1", "db1", "--tcp", "5433") == "allow"
        with pytest.raises(Failed):  # one at a time
            apply(sw, POLICY)
        wait_until(lambda: verdict(sw, "web1", "db1", "--tcp", "5432") == "allow")
        wait_until(lambda: status(sw)["in_force"])
        assert sw.sluice("policy", "show", "--document").strip() == POLICY.strip()
        apply(sw, other, "--confirm", "60s")
        assert 50000 < status(sw)["confirm_ms"] <= 60000
        sw.sluice("policy", "confirm")
        assert status(sw)["confirm_ms"] == 0
        with pytest.raises(Failed):
            sw.sluice("policy", "confirm")
        sw.sluice("policy", "rollback", "--reason", "second thoughts")
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "allow"


def test_confirmation_outlives_sluiced():
    """The datapath goes back by itself; sluiced finds out when it is there again."""
    with Switch() as sw:
        apply(sw, POLICY)
        apply(sw, POLICY.replace("5432", "5433"), "--confirm", "2s")
        sw.kill_sluiced()
        wait_until(lambda: verdict(sw, "web1", "db1", "--tcp", "5432") == "allow")
        before = writes(sw)
        sw.start_sluiced()
        wait_until(lambda: sw.rpc("policy/status") and status(sw)["confirm_ms"] == 0
                   and status(sw)["in_force"])
        time.sleep(1.2)
        assert status(sw)["in_force"]
        assert writes(sw) == before, "what was not confirmed is not sent again, not even for a moment"
        assert sw.sluice("policy", "show", "--document").strip() == POLICY.strip()


def test_grants():
    with Switch() as sw:
        apply(sw, POLICY)
        grant = ["policy", "grant", "--from", "host:proxy", "--to", "web1", "--tcp", "443"]
        name = sw.sluice(*grant, "--for", "1h", "--reason", "security updates").strip()
        short = sw.sluice(*grant, "--for", "2s", "--reason", "x", "--name", "short").strip()
        assert (name, short) == ("grant1", "short")
        assert verdict(sw, "host", "web1", "--tcp", "443") == "allow"
        sw.kill_sluiced()
        sw.start_sluiced()  # grants survive
        listed = {g["name"]: g for g in sw.show("policy", "grants")}
        assert set(listed) == {"grant1", "short"}
        assert listed["grant1"]["reason"] == "security updates"
        assert 3500 < listed["grant1"]["left_s"] <= 3600
        wait_until(lambda: {g["name"] for g in sw.show("policy", "grants")} == {"grant1"})
        wait_until(lambda: any(a["action"] == "grant-end" and a["what"] == "short"
                               for a in audit(sw)))
        sw.sluice("policy", "revoke", "grant1", "--reason", "done early")
        assert verdict(sw, "host", "web1", "--tcp", "443") == "deny"
        for words in ([*grant, "--for", "1h"], [*grant, "--reason", "x"],
                      ["policy", "grant", "--to", "web1", "--for", "1h", "--reason", "x"]):
            with pytest.raises(Failed) as e:
                sw.sluice(*words)
            assert e.value.code == 2
        for words in (["policy", "revoke", "grant1"],
                      ["policy", "grant", "--from", "web7", "--to", "web1", "--tcp", "1", "--for",
                       "1h", "--reason", "x"]):
            with pytest.raises(Failed) as e:
                sw.sluice(*words)
            assert e.value.code == 1


def test_a_policy_that_a_grant_does_not_fit_is_refused():
    with Switch() as sw:
        apply(sw, POLICY)
        sw.sluice("policy", "grant", "--from", "host:proxy", "--to", "web1", "--tcp", "443",
                  "--for", "1h", "--reason", "x")
        with pytest.raises(Failed) as e:
            apply(sw, POLICY.replace("proxy:", "cache:"))
        assert 'grants:' in e.value.err and '"proxy"' in e.value.err
        assert "(grant grant1)" in e.value.err and "sluice policy revoke" in e.value.err
        assert len(e.value.err.strip().splitlines()) == 1
        with pytest.raises(Failed) as e:  # what is wrong with the policy itself comes first
            apply(sw, POLICY.replace("proxy:", "cache:").replace("from: [web1]", "from: [web9]"))
        assert "web9" in e.value.err and "revoke" not in e.value.err
        sw.sluice("policy", "revoke", "grant1")
        apply(sw, POLICY.replace("proxy:", "cache:"))


def test_a_bad_document_of_grants_does_not_stop_apply():
    """Somebody wrote nonsense as "grants": those in force stay, apply and rollback go on and say so."""
    with Switch() as sw:
        apply(sw, POLICY)
        sw.sluice("policy", "grant", "--from", "host:proxy", "--to", "web1", "--tcp", "443", "--for", "1h",
                  "--reason", "x")
        transact(sw, {"op": "update", "table": "Policy", "where": [["name", "==", "grants"]],
                      "row": {"document": '{"grants": {"g": {"from": "host"}}}'}})
        wait_until(lambda: status(sw)["grants"]["status"].startswith("rejected: "))
        said = apply(sw, POLICY.replace("5432", "5433"))
        assert "grants" in said and "is rejected" in said and "grant g: " in said
        wait_until(lambda: status(sw)["in_force"])
        assert verdict(sw, "web1", "db1", "--tcp", "5433") == "allow"
        assert verdict(sw, "host", "web1", "--tcp", "443") == "allow", "the grant in force stays"
        with pytest.raises(Failed) as e:
            apply(sw, POLICY.replace("from: [web1]", "from: [web9]"))
        assert "web9" in e.value.err
        assert "is rejected" in sw.sluice("policy", "rollback")
        assert verdict(sw, "web1", "db1", "--tcp", "5432") == "allow"


def test_check_says_what_it_asks_about():
    with Switch() as sw:
        apply(sw, POLICY)
        text = sw.sluice("policy", "check", "--from", "web1", "--to", "db1")
        assert "icmp/8" in text and "no service was named" in text
        assert sw.show("policy", "check", "--from", "web1", "--to", "db1")["service_assumed"] is True
        for service in (["--tcp", "5432"], ["--ping"]):
            assert "no service" not in sw.sluice("policy", "check", "--from", "web1", "--to", "db1", *service)
            assert sw.show("policy", "check", "--from", "web1", "--to", "db1", *service)["service_assumed"] is False


def test_audit_log_survives_kill():
    """Every change that was answered is in the log, whole, whatever happens to sluiced."""
    with Switch() as sw:
        apply(sw, POLICY, "--reason", "first")
        for i in range(5):
            sw.sluice("policy", "grant", "--from", "host", "--to", "web1", "--tcp", str(1000 + i),
                      "--for", "1h", "--reason", f"round {i}", "--name", f"g{i}")
            sw.kill_sluiced()
            if i == 2:  # what a power failure may leave behind
                with open(os.path.join(sw.dir, "audit.log"), "a") as f:
                    f.write('{"time":"20')
                torn = True
            sw.start_sluiced()
        lines = open(os.path.join(sw.dir, "audit.log")).read().splitlines()
        records = [json.loads(line) for line in lines if not line.endswith('"20')]
        assert torn and len(lines) == len(records) + 1
        asked = [r for r in records if r["action"] == "grant" and r["result"] == "requested"]
        assert [(r["what"], r["reason"]) for r in asked] == [(f"g{i}", f"round {i}")
                                                             for i in range(5)]
        assert asked[0]["who"]["uid"] == os.getuid() and asked[0]["who"]["pid"] > 0
        assert asked[0]["who"]["program"] == "sluice"
        assert os.stat(os.path.join(sw.dir, "audit.log")).st_mode & 0o077 == 0
        assert len(sw.show("policy", "audit")) == len(records)


def test_sudo_user_is_named():
    with Switch() as sw:
        sw.env["SUDO_USER"] = "alice"
        apply(sw, POLICY)
        assert audit(sw)[0]["who"]["sudo_user"] == "alice"


def test_expectations_and_diff():
    with Switch() as sw:
        apply(sw, POLICY)
        good = sw.write("good.yaml", "- {from: web1, to: db1, ports: tcp/5432, expect: allow}\n"
                        "- {from: host, to: web1, ports: ping, expect: deny, rule: default/host-deny}\n")
        bad = sw.write("bad.yaml", "- {from: web1, to: db1, ports: tcp/22, expect: allow}\n")
        assert {t["result"] for t in sw.show("policy", "test", good)} == {"ok"}
        r = sw.run(SLUICE, "policy", "test", bad, check=False)
        assert r.returncode == 1 and "MISMATCH" in r.stdout
        new = sw.write("new.yaml", POLICY.replace("5432", "5433"))
        changes = {(d["change"], d["service"]) for d in sw.show("policy", "diff", new)}
        assert changes == {("+ allow", "tcp/5433"), ("- deny", "tcp/5432")}
        assert "+ allow web1 -> db1 tcp/5433" in sw.sluice("policy", "apply", new, "--dry-run")
        assert verdict(sw, "web1", "db1", "--tcp", "5433") == "deny"
        cells = {(c["from"], c["to"]): c["allowed"] for c in sw.show("policy", "matrix")}
        assert cells["web1", "db1"] == "tcp/5432" and cells["host", "web1"] == "-"
        svg = sw.sluice("policy", "matrix", "--svg")
        assert svg.startswith("<svg") and "web1 → db1: tcp/5432" in svg


def test_examples_of_the_guide():
    """What docs/policy.md shows is a policy, and its expectations hold."""
    top = os.path.join(os.path.dirname(__file__), "..", "..")
    with open(os.path.join(top, "docs", "policy.md")) as f:
        blocks = re.findall(r"```yaml\n(.*?)```", f.read(), re.S)
    names, isolate, work, services, ssh, admin, expected = blocks
    head = names.split("endpoints:")[0]
    net = head.split("host:")[0]
    with tempfile.TemporaryDirectory() as folder:
        def sluice(text, *words):
            path = os.path.join(folder, "policy.yaml")
            with open(path, "w") as f:
                f.write(text)
            r = subprocess.run([SLUICE, "policy", *words, "--file", path], capture_output=True, text=True)
            assert r.returncode == 0, r.stdout + r.stderr
            return r.stdout

        matrix = lambda text: {(c["from"], c["to"]): c["allowed"]
                               for c in json.loads(sluice(text, "matrix", "--json"))["matrix"]}
        assert matrix(names)["web1", "db1"] == "all" and matrix(names)["web1", "host"] == "-"
        assert set(matrix(names + isolate).values()) == {"-", "all"}  # host and outside are no guests
        assert matrix(names + isolate)["web1", "db1"] == "-"
        assert matrix(head + work)["web1", "db1"] == "tcp/5432"
        expectations = os.path.join(folder, "expected.yaml")
        with open(expectations, "w") as f:
            f.write(expected)
        sluice(head + work, "test", expectations)
        full = matrix("---\n".join([net + work, services, "policies:\n" + ssh, admin]))
        assert full["web1", "host"] == "tcp/53 udp/53" and full["host", "db1"] == "tcp/22"
        assert full["web1", "host:metadata"] == "tcp/80"


def test_a_prefix_that_is_the_host_is_the_host():
    """A name for the host's address opens nothing in the matrix either."""
    with Switch() as sw:
        apply(sw, POLICY + "cidrs: {me: 10.0.0.1/32, other: 192.0.2.0/24}\n")
        cells = {(c["from"], c["to"]): c["allowed"] for c in sw.show("policy", "matrix")}
        assert cells["web1", "me"] == cells["web1", "host"] == "-" and cells["web1", "other"] == "all"
        assert verdict(sw, "web1", "me", "--tcp", "22") == "deny"


def test_the_policy_of_the_quickstart_is_good():
    top = os.path.join(os.path.dirname(__file__), "..", "..")
    r = subprocess.run([SLUICE, "policy", "matrix", "--file", os.path.join(top, "tools", "quickstart-policy.yaml")],
                       capture_output=True, text=True)
    assert r.returncode == 0 and "tcp/5432" in r.stdout, r
