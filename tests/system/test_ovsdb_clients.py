# SPDX-License-Identifier: BSD-3-Clause
"""Debian's own clients against ovsdb-lite: ovs-vsctl, ovsdb-client, ovs-appctl, ovsdb-tool, the
Python IDL and ovsdbapp."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from datapath_process import wait_until
from ovsdb_process import OVSDB_LITE, OVS_SCHEMA, Connection, Server, create_db


@pytest.fixture
def server(tmp_path):
    create_db(str(tmp_path / "conf.db"))
    with Server(tmp_path, [tmp_path / "conf.db"],
                args=["--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
                      "--pidfile=" + str(tmp_path / "ovsdb-server.pid")]) as s:
        yield s


def run(*args, code=0, stdin=None):
    r = subprocess.run(args, capture_output=True, text=True, timeout=30, input=stdin)
    assert r.returncode == code, f"{args}: exit {r.returncode}\n{r.stdout}{r.stderr}"
    return r.stdout + (r.stderr if code else "")


def vsctl(server, *args, code=0):
    return run("ovs-vsctl", "--no-wait", "--timeout=10", "--db=" + server.remote, *args, code=code)


def client(server, *args, code=0, stdin=None):
    return run("ovsdb-client", "--timeout=10", *args, code=code, stdin=stdin)


def test_vsctl_bridges_and_ports(server):
    vsctl(server, "init")
    vsctl(server, "add-br", "br0")
    vsctl(server, "--may-exist", "add-br", "br0")
    vsctl(server, "add-port", "br0", "p1", "tag=5", "--", "set", "Interface", "p1",
          "type=internal", "external_ids:iface-id=abc")
    vsctl(server, "add-bond", "br0", "bond0", "e1", "e2", "bond_mode=balance-slb")
    assert vsctl(server, "list-ports", "br0").split() == ["bond0", "p1"]
    assert vsctl(server, "list-ifaces", "br0").split() == ["e1", "e2", "p1"]
    assert vsctl(server, "port-to-br", "p1").strip() == "br0"
    assert "type: internal" in vsctl(server, "show")
    assert vsctl(server, "get", "Port", "p1", "tag").strip() == "5"
    assert vsctl(server, "get", "Interface", "p1", "external_ids:iface-id").strip() == "abc"
    assert "br0" in vsctl(server, "add-br", "br0", code=1)
    vsctl(server, "--if-exists", "del-port", "nosuch")
    vsctl(server, "add-br", "br0-5", "br0", "7")  # a fake bridge
    assert vsctl(server, "br-to-vlan", "br0-5").strip() == "7"
    assert vsctl(server, "br-to-parent", "br0-5").strip() == "br0"
    vsctl(server, "del-br", "br0")
    # nothing refers to the rest any more
    assert vsctl(server, "list", "Port").strip() == ""
    assert vsctl(server, "list", "Interface").strip() == ""


def test_vsctl_database_commands(server):
    vsctl(server, "add-br", "br0", "--", "add-port", "br0", "p1", "--", "add-port", "br0", "p2")
    vsctl(server, "set", "Bridge", "br0", "other_config:a=b", "other_config:c=d",
          "protocols=OpenFlow10,OpenFlow13", "fail_mode=secure")
    assert vsctl(server, "get", "Bridge", "br0", "other_config").strip() == "{a=b, c=d}"
    vsctl(server, "add", "Port", "p1", "trunks", "1", "2", "3")
    vsctl(server, "remove", "Port", "p1", "trunks", "2")
    assert vsctl(server, "get", "Port", "p1", "trunks").strip() == "[1, 3]"
    vsctl(server, "clear", "Port", "p1", "trunks")
    assert vsctl(server, "get", "Port", "p1", "trunks").strip() == "[]"
    out = vsctl(server, "--format=json", "--columns=name", "find", "Interface", "name=p2")
    assert json.loads(out)["data"] == [["p2"]]
    vsctl(server, "--", "--id=@p", "get", "Port", "p1", "--", "--id=@m", "create", "Mirror",
          "name=m", "select_dst_port=@p", "--", "set", "Bridge", "br0", "mirrors=@m")
    assert vsctl(server, "get", "Mirror", "m", "select_dst_port") != "[]\n"
    vsctl(server, "del-port", "p1")  # the weak reference goes with it
    assert vsctl(server, "get", "Mirror", "m", "select_dst_port").strip() == "[]"
    vsctl(server, "--", "set", "port", "p2", "qos=@q", "--", "--id=@q", "create", "qos",
          "type=linux-htb", "queues:0=@q0", "--", "--id=@q0", "create", "queue",
          "other_config:max-rate=1000")
    assert vsctl(server, "--columns=type", "list", "qos").split() == ["type", ":", "linux-htb"]
    vsctl(server, "clear", "port", "p2", "qos", "--", "--all", "destroy", "qos", "--", "--all",
          "destroy", "queue")
    assert "valid range" in vsctl(server, "set", "Port", "p2", "tag=5000", code=1)
    vsctl(server, "emer-reset")
    vsctl(server, "set-controller", "br0", "tcp:127.0.0.1:6633")
    assert vsctl(server, "get-controller", "br0").strip() == "tcp:127.0.0.1:6633"


def test_vsctl_wait_until(server):
    vsctl(server, "add-br", "br0")
    waiter = subprocess.Popen(["ovs-vsctl", "--timeout=10", "--db=" + server.remote, "wait-until",
                               "Bridge", "br0", "external_ids:go=yes"])
    time.sleep(0.2)
    assert waiter.poll() is None
    vsctl(server, "set", "Bridge", "br0", "external_ids:go=yes")
    assert waiter.wait(5) == 0


def test_vsctl_waits_for_cur_cfg(server):
    vsctl(server, "init")
    done = subprocess.Popen(["ovs-vsctl", "--timeout=10", "--db=" + server.remote, "add-br", "b"])
    with_conn = Connection(server.sock)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        row = with_conn.transact("Open_vSwitch", {"op": "select", "table": "Open_vSwitch",
                                                  "where": [], "columns": ["next_cfg"]})
        if row[0]["rows"] and row[0]["rows"][0]["next_cfg"] > 0:
            break
        time.sleep(0.02)
    assert done.poll() is None
    with_conn.transact("Open_vSwitch",
                       {"op": "update", "table": "Open_vSwitch", "where": [],
                        "row": {"cur_cfg": row[0]["rows"][0]["next_cfg"]}})
    assert done.wait(5) == 0
    with_conn.close()


def test_ovsdb_client_queries(server):
    assert client(server, "list-dbs", server.remote).split() == ["Open_vSwitch", "_Server"]
    schema = json.loads(client(server, "get-schema", server.remote))
    with open(OVS_SCHEMA, encoding="utf-8") as f:
        assert schema["tables"].keys() == json.load(f)["tables"].keys()
    assert client(server, "get-schema-version", server.remote).strip() == schema["version"]
    assert "Bridge" in client(server, "list-tables", server.remote)
    assert "fail_mode" in client(server, "list-columns", server.remote, "Open_vSwitch", "Bridge")
    vsctl(server, "add-br", "br0")
    assert "br0" in client(server, "dump", server.remote, "Open_vSwitch", "Bridge", "name")
    out = client(server, "transact", server.remote, json.dumps(
        ["Open_vSwitch", {"op": "select", "table": "Bridge", "where": [], "columns": ["name"]}]))
    assert json.loads(out) == [{"rows": [{"name": "br0"}]}]
    client(server, "query", server.remote, json.dumps(
        ["Open_vSwitch", {"op": "delete", "table": "Open_vSwitch", "where": []}]))
    assert vsctl(server, "list-br").strip() == "br0"
    client(server, "wait", server.remote, "Open_vSwitch", "connected")
    assert client(server, "needs-conversion", server.remote, OVS_SCHEMA).strip() == "no"


@pytest.mark.parametrize("how", [["monitor"], ["monitor-cond", '[["name","!=","no"]]'],
                                 ["monitor-cond-since", "00000000-0000-0000-0000-000000000000",
                                  "[]"]])
def test_ovsdb_client_monitor(server, how):
    vsctl(server, "add-br", "br0")
    args = ["ovsdb-client", "--format=json", how[0], server.remote, "Open_vSwitch", *how[1:],
            "Bridge", "name,fail_mode"]
    p = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(p.stdout), daemon=True)
    reader.start()
    time.sleep(0.3)
    vsctl(server, "set", "Bridge", "br0", "fail_mode=secure")
    vsctl(server, "add-br", "br1")
    vsctl(server, "del-br", "br1")
    time.sleep(0.3)
    p.terminate()
    p.wait()
    reader.join(2)
    text = "".join(lines)
    for word in ("initial", "secure", "insert", "br1", "delete"):
        assert word in text, text


def test_ovsdb_client_backup_restore(server, tmp_path):
    vsctl(server, "add-br", "br0", "--", "add-port", "br0", "p1", "--", "set", "Interface", "p1",
          "type=internal")
    saved = tmp_path / "saved.db"
    saved.write_text(client(server, "backup", server.remote))
    vsctl(server, "del-br", "br0", "--", "add-br", "other")
    with open(saved, "rb") as f:
        subprocess.run(["ovsdb-client", "--timeout=10", "restore", server.remote], stdin=f,
                       check=True)
    assert vsctl(server, "list-br").split() == ["br0"]
    assert vsctl(server, "get", "Interface", "p1", "type").strip() == "internal"


def test_ovsdb_client_locks(server):
    a = subprocess.Popen(["ovsdb-client", "lock", server.remote, "l"], stdout=subprocess.PIPE,
                         text=True)
    assert a.stdout.readline().strip() == '{"locked":true}'
    b = subprocess.Popen(["ovsdb-client", "steal", server.remote, "l"], stdout=subprocess.PIPE,
                         text=True)
    time.sleep(0.3)
    a.terminate()
    b.terminate()
    assert "stolen" in a.communicate(timeout=5)[0]
    assert '{"locked":true}' in b.communicate(timeout=5)[0]


def test_convert(server, tmp_path):
    vsctl(server, "add-br", "br0")
    with open(OVS_SCHEMA, encoding="utf-8") as f:
        schema = json.load(f)
    schema["version"] = "9.0.0"
    del schema["tables"]["AutoAttach"]
    del schema["tables"]["Bridge"]["columns"]["auto_attach"]
    schema["tables"]["Bridge"]["columns"]["extra"] = {"type": "string"}
    new = tmp_path / "new.ovsschema"
    new.write_text(json.dumps(schema))
    aware, unaware = Connection(server.sock), Connection(server.sock)
    for c in (aware, unaware):
        if c is aware:
            assert c.call("set_db_change_aware", [True])["result"] == {}
        c.call("monitor", ["Open_vSwitch", "m", {"Bridge": {"columns": ["name"]}}])
    assert client(server, "needs-conversion", server.remote, str(new)).strip() == "yes"
    client(server, "convert", server.remote, str(new))
    assert client(server, "get-schema-version", server.remote).strip() == "9.0.0"
    assert vsctl(server, "list-br").split() == ["br0"]
    aware.call("echo", [])
    assert [n["method"] for n in aware.take_notifications()] == ["monitor_canceled"]
    with pytest.raises((EOFError, OSError)):
        unaware.call("echo", [])
        unaware.call("echo", [])
    assert run("ovsdb-tool", "db-version", server.dbs[0]).strip() == "9.0.0"


def test_appctl(server):
    assert server.appctl("version").startswith("ovsdb-lite")
    assert "ovsdb-server/compact" in server.appctl("list-commands")
    assert server.appctl("ovsdb-server/list-dbs").split() == ["Open_vSwitch", "_Server"]
    server.appctl("ovsdb-server/add-remote", "ptcp:0:127.0.0.1")
    assert "ptcp:0:127.0.0.1" in server.appctl("ovsdb-server/list-remotes")
    server.appctl("ovsdb-server/remove-remote", "ptcp:0:127.0.0.1")
    assert server.appctl("ovsdb-server/sync-status").strip() == "state: active"
    server.appctl("ovsdb-server/compact")
    server.appctl("vlog/set", "dbg")
    assert "DBG" in server.appctl("vlog/list")
    assert "rows:" in server.appctl("memory/show")
    assert "not a valid command" in server.appctl("nosuch", check=False).stderr
    assert server.appctl("exit", "x", "y", check=False).returncode == 2
    # by pid file, the way scripts do it: the lock's holder must be the pid inside
    env = dict(os.environ, OVS_RUNDIR=server.dir)
    with open(os.path.join(server.dir, "ovsdb-server.pid"), encoding="ascii") as f:
        assert int(f.read()) == server.process.pid
    os.symlink(server.ctl, os.path.join(server.dir, f"ovsdb-server.{server.process.pid}.ctl"))
    r = subprocess.run(["ovs-appctl", "-t", "ovsdb-server", "version"], env=env,
                       capture_output=True, text=True, timeout=10)
    assert r.returncode == 0, r.stderr
    server.appctl("exit")
    assert server.process.wait(5) == 0
    server.start()


def test_manager_remote_follows_the_database(server):
    vsctl(server, "set-manager", "ptcp:0:127.0.0.1")
    end = time.monotonic() + 5
    while time.monotonic() < end:
        status = vsctl(server, "--columns=status", "list", "Manager")
        port = re.search(r'bound_port="(\d+)"', status)
        if port:
            break
        time.sleep(0.05)
    remote = f"tcp:127.0.0.1:{port.group(1)}"
    assert "Open_vSwitch" in run("ovsdb-client", "--timeout=5", "list-dbs", remote)
    watcher = subprocess.Popen(["ovsdb-client", "monitor", remote, "Open_vSwitch", "Manager"],
                               stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    assert "is_connected: true" in vsctl(server, "show")
    vsctl(server, "del-manager")
    time.sleep(0.2)
    run("ovsdb-client", "--timeout=1", "list-dbs", remote, code=1)
    watcher.terminate()
    watcher.wait()


def test_python_idl(server):
    import ovs.db.idl
    import ovs.poller
    helper = ovs.db.idl.SchemaHelper(OVS_SCHEMA)
    helper.register_all()
    idl = ovs.db.idl.Idl(server.remote, helper)
    end = time.monotonic() + 10

    def step(until):
        while not until() and time.monotonic() < end:
            idl.run()
            p = ovs.poller.Poller()
            idl.wait(p)
            p.timer_wait(50)
            p.block()
        assert until()

    step(lambda: idl.change_seqno > 0)
    vsctl(server, "add-br", "br0")
    step(lambda: len(idl.tables["Bridge"].rows) == 1)
    bridge = next(iter(idl.tables["Bridge"].rows.values()))
    assert bridge.name == "br0" and bridge.ports[0].interfaces[0].type == "internal"
    txn = ovs.db.idl.Transaction(idl)
    bridge.setkey("external_ids", "who", "idl")
    bridge.fail_mode = "secure"
    queue = txn.insert(idl.tables["Queue"])
    queue.dscp = 5
    while True:
        status = txn.commit()
        if status != txn.INCOMPLETE:
            break
        idl.run()
    assert status == txn.SUCCESS, txn.get_error()
    step(lambda: bridge.external_ids.get("who") == "idl" and len(idl.tables["Queue"].rows) == 1)
    assert txn.get_insert_uuid(queue.uuid) in idl.tables["Queue"].rows
    vsctl(server, "del-br", "br0")
    step(lambda: not idl.tables["Bridge"].rows and not idl.tables["Interface"].rows)
    idl.close()


class FakeSwitch(threading.Thread):
    """Answers every new configuration, as the daemon behind the database does."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.connection = Connection(sock)
        self.stop = False

    def run(self):
        while not self.stop:
            row = self.connection.transact("Open_vSwitch", {
                "op": "select", "table": "Open_vSwitch", "where": [],
                "columns": ["next_cfg", "cur_cfg"]})[0]["rows"]
            if row and row[0]["next_cfg"] != row[0]["cur_cfg"]:
                self.connection.transact("Open_vSwitch", {
                    "op": "update", "table": "Open_vSwitch", "where": [],
                    "row": {"cur_cfg": row[0]["next_cfg"]}})
            time.sleep(0.02)


OVSDBAPP = """
import sys
from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.schema.open_vswitch import impl_idl
idl = connection.OvsdbIdl.from_server(sys.argv[1], "Open_vSwitch")
conn = connection.Connection(idl=idl, timeout=20)
api = impl_idl.OvsdbIdl(conn)
with api.transaction(check_error=True) as txn:
    txn.add(api.db_create("Queue", dscp=7))
    txn.add(api.db_set("Open_vSwitch", ".", ("external_ids", {"system-id": "me"})))
assert api.db_find("Queue", ("dscp", "=", 7)).execute(check_error=True)
print(api.db_get("Open_vSwitch", ".", "external_ids").execute(check_error=True)["system-id"])
conn.stop()
"""


def test_ovsdbapp(server):
    """In an interpreter of its own, as Neutron's agents have it: not beside whatever other tests have imported."""
    vsctl(server, "init")
    switch = FakeSwitch(server.sock)
    switch.start()
    r = subprocess.run([sys.executable, "-W", "ignore", "-c", OVSDBAPP, server.remote], capture_output=True, text=True,
                       timeout=60)
    switch.stop = True
    switch.join(5)
    assert r.returncode == 0 and r.stdout.strip() == "me", r.stderr + open(server.log).read()


def test_tls(tmp_path):
    pki = tmp_path / "pki"
    pki.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=t", "-keyout", str(pki / "key.pem"), "-out",
                    str(pki / "cert.pem")], check=True, capture_output=True)
    create_db(str(tmp_path / "conf.db"))
    key, cert = str(pki / "key.pem"), str(pki / "cert.pem")
    with Server(tmp_path, [tmp_path / "conf.db"],
                args=["--private-key=" + key, "--certificate=" + cert, "--ca-cert=" + cert,
                      "--remote=pssl:16640:127.0.0.1"]) as s:
        vsctl(s, "add-br", "br0")
        tls = ["--private-key=" + key, "--certificate=" + cert, "--ca-cert=" + cert]
        out = run("ovsdb-client", "--timeout=10", *tls, "dump", "ssl:127.0.0.1:16640",
                  "Open_vSwitch", "Bridge", "name")
        assert "br0" in out


def test_monitor_cond_since_sends_only_what_was_missed(server):
    zero = "00000000-0000-0000-0000-000000000000"
    spec = {"Queue": [{"columns": ["dscp"], "where": [["dscp", "<", 10]]}]}
    c = Connection(server.sock)
    c.transact("Open_vSwitch", *({"op": "insert", "table": "Queue", "row": {"dscp": i}}
                                 for i in (1, 2, 3, 20)))
    found, last, rows = c.call("monitor_cond_since", ["Open_vSwitch", 1, spec, zero])["result"]
    assert not found and len(rows["Queue"]) == 3
    again = Connection(server.sock)
    assert again.call("monitor_cond_since", ["Open_vSwitch", 1, spec, last])["result"] == \
        [True, last, {}]
    again.close()
    # missed: one changed twice, one leaves the condition, one enters, one goes, one comes and goes
    def update(dscp, to):
        return {"op": "update", "table": "Queue", "where": [["dscp", "==", dscp]],
                "row": {"dscp": to}}
    for op in (update(1, 5), update(5, 6), update(2, 30), update(20, 7),
               {"op": "delete", "table": "Queue", "where": [["dscp", "==", 3]]},
               {"op": "insert", "table": "Queue", "row": {"dscp": 9}},
               {"op": "delete", "table": "Queue", "where": [["dscp", "==", 9]]}):
        c.transact("Open_vSwitch", op)
    ids = [n["params"][1] for n in c.take_notifications()]
    again = Connection(server.sock)
    found, now, rows = again.call("monitor_cond_since", ["Open_vSwitch", 1, spec, last])["result"]
    assert found and now != last and now == ids[-1]
    assert sorted(json.dumps(v) for v in rows["Queue"].values()) == [
        '{"delete": null}', '{"delete": null}', '{"insert": {"dscp": 7}}',
        '{"modify": {"dscp": 6}}']
    again.close()
    c.close()


def test_hostile_clients_are_dropped_and_others_notice_nothing(server):
    good = Connection(server.sock)
    for junk in (b"hello", b"]", b"{" * 2000, b'{"id":1,"method":"echo","params":' + b"[" * 1500,
                 b'{"id":1,"method":5,"params":[]}', b'{"a":}', b"[]", b'{"id":1}',
                 b'{"id":1,"method":"echo","params":{}}'):
        bad = Connection(server.sock, timeout=5)
        bad.socket.sendall(junk)
        with pytest.raises((EOFError, OSError)):
            while True:
                bad.receive()
        bad.close()
        assert good.call("echo", [junk.decode()])["result"] == [junk.decode()]
    deaf = Connection(server.sock, timeout=5)
    deaf.call("monitor", ["Open_vSwitch", 1, {"Queue": {"columns": ["external_ids"]}}])
    for i in range(80):  # 80 MB of updates that nobody reads
        good.transact("Open_vSwitch", {"op": "insert", "table": "Queue", "row":
                                       {"external_ids": ["map", [[str(i), "x" * (1 << 20)]]]}},
                      {"op": "delete", "table": "Queue", "where": []})
        good.transact("Open_vSwitch", {"op": "insert", "table": "Queue", "row":
                                       {"external_ids": ["map", [[str(i), "x" * (1 << 20)]]]}})
    time.sleep(0.2)
    assert "sessions:1\n" in server.appctl("memory/show")
    assert "too slowly" in open(server.log).read()
    assert good.call("echo", [1])["result"] == [1]
    deaf.close()
    good.close()


def test_options_mean_what_they_say(tmp_path, monkeypatch):
    """-v by destination, a log file from where one stands, and a clear end when something is wrong."""
    monkeypatch.chdir(tmp_path)
    path = create_db(str(tmp_path / "conf.db"))
    with Server(tmp_path, [path], args=["-vfile:dbg", "-vconsole:err", "--log-file=here.log"]) as s:
        levels = {line.split()[0]: line.split()[1:] for line in s.appctl("vlog/list").splitlines()}
        assert levels["ovsdb_log"] == ["ERR", "OFF", "DBG"], levels
        s.appctl("vlog/set", "ovsdb_log:file:warn")
        assert re.search(r"ovsdb_log +ERR +OFF +WARN", s.appctl("vlog/list"))
        r = s.appctl("ovsdb-server/add-remote", "db:nodb,a,b", check=False)
        assert r.returncode == 2 and "no database named nodb" in r.stderr, r
    assert not open(s.log).read()
    assert "started" in open("here.log").read()
    for arg, text in (("--remote=db:x", "invalid syntax"),
                      ("--remote=db:nodb,x,y", "no database named nodb"),
                      ("--remote=db:Open_vSwitch,x,y", "no table named x"),
                      ("--remote=db:Open_vSwitch,Bridge,y", 'table "Bridge" has no column "y"'),
                      ("--log-file=/none/x", "No such file or directory"),
                      ("--remote=pssl:0:127.0.0.1", "certificate /none: ")):
        r = subprocess.run([OVSDB_LITE, "--unixctl=" + str(tmp_path / "c"), "-p/none", "-c/none", "-C/none",
                            arg, path], capture_output=True, text=True, timeout=10)
        assert r.returncode == 1 and text in r.stderr, (arg, r)
        assert r.stderr.count("\n") == 1, r.stderr


def test_a_command_of_its_own(tmp_path):
    """--run: the server lives as long as a command, and ends as it does."""
    path = create_db(str(tmp_path / "conf.db"))
    base = [OVSDB_LITE, f"--remote=punix:{tmp_path}/s", f"--unixctl={tmp_path}/c", path]
    r = subprocess.run([*base, f"--run=ovsdb-client list-dbs unix:{tmp_path}/s; exit 7"], capture_output=True,
                       text=True, timeout=20)
    assert (r.returncode, r.stdout) == (7, "Open_vSwitch\n_Server\n"), r
    assert subprocess.run([*base, "--run=kill -9 $$"], capture_output=True, timeout=20).returncode == 1
    for option in ("--sync-from=tcp:127.0.0.1:6640", "--active", "--record", "--replay=/x"):
        r = subprocess.run([*base, option], capture_output=True, text=True, timeout=20)
        assert r.returncode == 1 and r.stderr.count("\n") == 1 and option.split("=")[0] in r.stderr, r


@pytest.mark.skipif(os.geteuid() != 0, reason="--user needs root")
def test_a_watched_server_of_another_user(tmp_path):
    """--monitor --user --detach as ovs-ctl starts it: a crash is repaired, a clean end is one."""
    directory = tempfile.mkdtemp(prefix="ovsdb-user-")  # pytest's own are root's alone
    path = create_db(f"{directory}/conf.db")
    for x in (directory, *(f"{directory}/{name}" for name in os.listdir(directory))):
        shutil.chown(x, "nobody", "nogroup")
    pidfile = f"{directory}/pid"
    command = [OVSDB_LITE, f"--remote=punix:{directory}/s", f"--unixctl={directory}/c", f"--pidfile={pidfile}",
               f"--log-file={directory}/log", "--monitor", "--detach", "--no-chdir", "--user=nobody:nogroup", path]
    r = subprocess.run([*command[:-1], "/nonexistent"], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "/nonexistent" in r.stderr, r
    assert subprocess.run([*command[:-2], "--user=nosuch", path], capture_output=True, timeout=20).returncode == 1
    assert subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=20).returncode == 0

    def pid():
        with contextlib.suppress(OSError, ValueError), open(pidfile) as f:
            return int(f.read())

    def parent(p):
        with open(f"/proc/{p}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])

    first = pid()
    watcher = parent(first)
    try:
        assert os.stat(f"/proc/{first}").st_uid == os.stat(f"{directory}/s").st_uid != 0
        os.kill(first, signal.SIGSEGV)
        wait_until(lambda: pid() not in (None, first))
        wait_until(lambda: subprocess.run(["ovs-vsctl", "--no-wait", f"--db=unix:{directory}/s", "--timeout=5",
                                           "add-br", "b"], capture_output=True).returncode == 0)
        assert parent(pid()) == watcher
    finally:
        os.kill(pid(), signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{watcher}"))
    assert not os.path.exists(pidfile)
    shutil.rmtree(directory)


def test_a_ca_certificate_is_taken_from_the_first_peer(tmp_path):
    key, cert, ca = (str(tmp_path / x) for x in ("key.pem", "cert.pem", "ca.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=t",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    path = create_db(str(tmp_path / "conf.db"))
    tls = ["--private-key=" + key, "--certificate=" + cert, "--ca-cert=" + cert]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    args = [*tls[:2], "--bootstrap-ca-cert=" + ca, f"--remote=pssl:{port}:127.0.0.1"]
    with Server(tmp_path, [path], args=[*args, "--ssl-protocols=TLSv1.2"]) as s:
        ask = ["ovsdb-client", "--timeout=5", *tls, "list-dbs", f"ssl:127.0.0.1:{port}"]
        assert subprocess.run(ask, capture_output=True, timeout=20).returncode != 0  # this one brings it
        assert open(ca).read().strip() == open(cert).read().strip()
        assert run(*ask) == "Open_vSwitch\n_Server\n"
        assert "TLSv1.2" in subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-brief", "-cert", cert,
                                            "-key", key], input="", capture_output=True, text=True, timeout=20).stderr
    for option in ("--ssl-protocols=SSLv9", "--ssl-protocols=", "--ssl-ciphers=nonsense"):
        r = subprocess.run([OVSDB_LITE, f"--unixctl={tmp_path}/c2", option, path], capture_output=True, text=True, timeout=20)
        assert r.returncode == 1 and r.stderr.count("\n") == 1, r


def test_renewed_certificates_are_taken(tmp_path):
    """Connections made after the files were replaced see the new ones, as with ovsdb-server."""
    def certificate(name):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=" + name, "-keyout", f"{tmp_path}/{name}.key", "-out", f"{tmp_path}/{name}.crt"],
                       check=True, capture_output=True)
        for end in ("key", "crt"):
            os.replace(shutil.copy(tmp_path / f"{name}.{end}", tmp_path / "new"), tmp_path / f"server.{end}")

    def names(ca):
        r = subprocess.run(["ovsdb-client", "-p", f"{tmp_path}/one.key", "-c", f"{tmp_path}/one.crt", "-C",
                            f"{tmp_path}/{ca}.crt", "--timeout=5", "list-dbs", f"ssl:127.0.0.1:{port}"],
                           capture_output=True, text=True, timeout=10)
        return r.stdout.split()

    certificate("one")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = create_db(str(tmp_path / "conf.db"))
    with Server(tmp_path, [path], args=["-p", f"{tmp_path}/server.key", "-c", f"{tmp_path}/server.crt", "-C",
                                        f"{tmp_path}/one.crt", f"--remote=pssl:{port}:127.0.0.1"]):
        assert names("one") == ["Open_vSwitch", "_Server"]
        certificate("two")
        assert names("two") == ["Open_vSwitch", "_Server"]
        assert names("one") == []
