# SPDX-License-Identifier: BSD-3-Clause
"""The metrics endpoint of sluiced: what it says, to whom, and that the real Prometheus of Debian scrapes it.
Prometheus runs on loopback with a configuration of its own."""
import http.client
import json
import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import pytest

import dpapi
from control_process import Switch
from datapath_process import ether, wait_until

PROMETHEUS, PROMTOOL = "/usr/bin/prometheus", "/usr/bin/promtool"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("sluice")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def get(address, path="/metrics", method="GET", **headers):
    """(status, body, content type)"""
    c = UnixConnection(address) if address.startswith("/") else http.client.HTTPConnection(address, timeout=10)
    c.request(method, path, headers=headers)
    r = c.getresponse()
    body = r.read().decode()
    c.close()
    return r.status, body, r.getheader("Content-Type")


def samples(text):
    out = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in out, f"twice: {name}"
            out[name] = float(value)
    return out


def on(sw, address="unix:metrics.sock"):
    sw.vsctl("set", "Open_vSwitch", ".", f'other_config:sluice-metrics="{address}"')
    where = os.path.join(sw.dir, "metrics.sock") if address.startswith("unix:") else address

    def answers():
        try:
            return get(where)[0] == 200
        except OSError:
            return False
    wait_until(answers)
    return where


@pytest.fixture(scope="module")
def switch():
    with Switch("--enable-dummy=system") as sw:
        sw.dummies("p1", "p2")
        sw.vsctl("set-controller", "br0", "tcp:127.0.0.1:1")
        yield sw


def test_it_is_off_until_asked_for(switch):
    assert not os.path.exists(os.path.join(switch.dir, "metrics.sock"))
    where = on(switch)
    assert os.stat(where).st_mode & 0o777 in (0o600, 0o700)
    switch.vsctl("remove", "Open_vSwitch", ".", "other_config", "sluice-metrics")
    wait_until(lambda: not os.path.exists(where))


def test_what_it_says(switch):
    where = on(switch)
    status, text, kind = get(where)
    assert kind.startswith("text/plain; version=0.0.4")
    got = samples(text)
    assert got["sluice_datapath_up"] == 1 and got["sluice_ovsdb_connected"] == 1
    assert got['sluice_port_up{port="p1",bridge="br0"}'] == 1
    assert got['sluice_openflow_controller_connected{bridge="br0",target="tcp:127.0.0.1:1"}'] == 0
    assert got["sluice_bridges"] == 1 and got["sluice_ports"] == 3 and got["sluice_ovsdb_sessions"] >= 1
    assert got["sluice_conntrack_max_connections"] > 0 and got["sluice_datapath_buffers"] > 0
    assert any(n.startswith("sluice_poll_cycles_total{") and 'stage="resolve"' in n for n in got)
    for word in ("sluice_openflow_rules", "sluice_cache_misses_total", "sluice_poll_busy_ratio"):
        assert any(n.startswith(word + "{") for n in got), word
    families = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert len(families) == len(set(families)) and families == re.findall(r"^# HELP (\S+) .", text, re.M)


def test_openmetrics_when_the_client_asks(switch):
    where = on(switch)
    status, text, kind = get(where, Accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n") and "# TYPE sluice_port_received_packets counter" in text
    assert "# TYPE sluice_build info" in text


def test_promtool_has_no_complaint(switch):
    text = get(on(switch))[1]
    r = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and not r.stdout + r.stderr, r.stdout + r.stderr


def test_label_values_are_escaped(switch):
    name = 'o"d\\d'
    switch.vsctl("add-port", "br0", "odd", "--", "set-controller", "br0", "tcp:127.0.0.1:1")
    switch.run("ovs-vsctl", "--timeout=10", "set-controller", "br0", f"unix:/nowhere/{name}")
    where = on(switch)
    wait_until(lambda: 'target="unix:/nowhere/o\\"d\\\\d"' in get(where)[1])
    r = subprocess.run([PROMTOOL, "check", "metrics"], input=get(where)[1], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    switch.vsctl("del-port", "odd", "--", "set-controller", "br0", "tcp:127.0.0.1:1")


def test_bad_requests_are_refused_and_change_nothing(switch):
    where = on(switch)
    assert get(where, "/nothing")[0] == 404
    assert get(where, "/")[0] == 200
    assert get(where, method="POST")[0] in (405, 501)
    assert get(where, method="HEAD")[0] == 200
    for junk in (b"\0\1\2\r\n\r\n", b"GET /metrics HTTP/1.1\r\n" + b"A: " + b"x" * 100000 + b"\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(where)
            try:
                s.sendall(junk)
                s.recv(100)
            except OSError:
                pass
    for _ in range(50):  # clients that go before the answer
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(where)
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: get(where)[0] == 200)  # 503 while those are under way
    assert switch.sluiced.poll() is None


def test_an_address_that_cannot_be_opened_is_reported(switch):
    for bad in ("nonsense", "127.0.0.1", "192.0.2.1:80", "unix:/no/such/place/x", "unix:"):
        switch.vsctl("set", "Open_vSwitch", ".", f'other_config:sluice-metrics="{bad}"')
        wait_until(lambda: any(bad in n["text"] and n["text"].startswith("metrics:") for n in switch.status()["notes"]))
    rows = switch.show("status")
    assert "metrics" in rows[0]["detail"] and "sluice-metrics" in rows[0]["remedy"]
    on(switch)
    assert not [n for n in switch.status()["notes"] if n["text"].startswith("metrics:")]


def test_without_the_datapath_it_says_so():
    with Switch("--enable-dummy=system", "--metrics=unix:m.sock", datapath=False) as sw:
        where = os.path.join(sw.dir, "m.sock")
        wait_until(lambda: os.path.exists(where))
        got = samples(get(where)[1])
        assert got["sluice_datapath_up"] == 0 and "sluice_datapath_buffers" not in got


@pytest.fixture
def prometheus(tmp_path):
    """start(target) → base URL of a private Prometheus that scrapes it every 200 ms."""
    procs = []

    def start(target):
        config = tmp_path / "prometheus.yml"
        config.write_text("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                          f"scrape_configs: [{{job_name: sluice, static_configs: [{{targets: ['{target}']}}]}}]\n")
        port = free_port()
        log = open(tmp_path / "log", "wb")
        procs.append(subprocess.Popen(
            [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], stdout=log, stderr=log, cwd=tmp_path))
        return f"http://127.0.0.1:{port}"

    yield start
    for p in procs:
        p.terminate()
        p.wait(timeout=20)


def ask(base, query):
    url = f"{base}/api/v1/query?" + urllib.parse.urlencode(dict(query=query))
    try:
        with urllib.request.urlopen(url, timeout=10) as r:
            return json.load(r)["data"]["result"]
    except OSError:
        return None


def test_prometheus_scrapes_it(switch, prometheus):
    address = f"127.0.0.1:{free_port()}"
    on(switch, address)
    base = prometheus(address)
    up = wait_until(lambda: ask(base, "up"), timeout=60)
    wait_until(lambda: ask(base, "up")[0]["value"][1] == "1", timeout=20)
    assert wait_until(lambda: ask(base, "sluice_datapath_up"))[0]["value"][1] == "1"
    # Packets that arrive show up, under the right labels. They are sent while sluiced is away.
    switch.kill_sluiced()
    wait_until(lambda: ask(base, "up")[0]["value"][1] == "0", timeout=20)
    with dpapi.Datapath(os.path.join(switch.dir, "datapath.sock"), writer=True) as dp:
        for _ in range(7):
            dp.call("dummy_receive", dict(port="p1", packet=ether(1, 2)))
    switch.start_sluiced()
    want = 'sluice_port_received_packets_total{port="p1"}'
    wait_until(lambda: (ask(base, want) or [{"value": [0, ""]}])[0]["value"][1] == "7", timeout=20)
    meta = json.load(urllib.request.urlopen(f"{base}/api/v1/metadata", timeout=10))["data"]
    assert meta["sluice_port_received_packets"][0]["type"] == "counter"
    assert all(m[0]["help"] for n, m in meta.items() if n.startswith("sluice_"))
