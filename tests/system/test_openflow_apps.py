# SPDX-License-Identifier: BSD-3-Clause
"""Applications of os-ken over TCP on both processes, with packets: a learning switch that works by packet-ins and
packet-outs; a router of three tables with groups of every type and a meter."""
import os
import pathlib
import re
import subprocess

import pytest

from control_process import Switch, wait_until
from test_openflow_controller import free_port

APPS = pathlib.Path(__file__).parent / "openflow_apps.py"
A, B, GATEWAY = "50:54:00:00:00:0a", "50:54:00:00:00:0b", "50:54:00:00:00:01"


class App:
    def __init__(self, sw, name):
        self.sw, self.port = sw, free_port()
        self.path = sw.write("app.log", "")
        self.process = subprocess.Popen(["/usr/bin/python3", APPS, str(self.port)], stdout=open(self.path, "w"),
                                        stderr=subprocess.STDOUT, env=dict(os.environ, OPENFLOW_APP=name))
        sw.vsctl("set-controller", "br0", f"tcp:127.0.0.1:{self.port}", "--", "set", "bridge", "br0", "fail_mode=secure",
                 "--", "set", "controller", "br0", "max_backoff=1000")
        wait_until(lambda: "ready" in self.said(), 20)

    def said(self, word=""):
        with open(self.path) as f:
            return [line for line in f.read().splitlines() if line.startswith(word)] if word else f.read()

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        s.dummies("p1", "p2", "p3")
        s.vsctl("set", "bridge", "br0", "protocols=OpenFlow13")
        yield s


def send(sw, port, src, dst, nw_dst="10.0.0.2", tp_dst=6, tp_src=5):
    sw.appctl("netdev-dummy/receive", port, f"in_port(1),eth(src={src},dst={dst}),eth_type(0x0800),"
              f"ipv4(src=10.0.0.1,dst={nw_dst},proto=17,ttl=64,frag=no),udp(src={tp_src},dst={tp_dst})")


def sent(sw):
    return {p["port"]: p["tx_packets"] for p in sw.show("port", "stats") if p["port"] in ("p1", "p2", "p3")}


def test_learning_switch(sw):
    app = App(sw, "LearningSwitch")
    try:
        base = sent(sw)
        gone = lambda **kw: all(sent(sw)[p] - base[p] == kw.get(p, 0) for p in base)
        send(sw, "p1", A, B)  # unknown: everywhere else
        wait_until(lambda: gone(p2=1, p3=1))
        send(sw, "p2", B, A)  # known: there only
        wait_until(lambda: gone(p1=1, p2=1, p3=1))
        send(sw, "p1", A, B)
        wait_until(lambda: gone(p1=1, p2=2, p3=1))
        wait_until(lambda: len(sw.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br0").stdout.splitlines()) == 4)
        heard = len(app.said("packet-in"))
        for _ in range(5):  # by rules from now on
            send(sw, "p1", A, B)
            send(sw, "p2", B, A)
        wait_until(lambda: gone(p1=6, p2=7, p3=1))
        assert len(app.said("packet-in")) == heard == 3
        assert app.said("error") == []
    finally:
        app.end()


def test_router_with_groups_and_a_meter(sw):
    app = App(sw, "Router")
    try:
        assert app.said("same") == ["same"], app.said("different")
        base = sent(sw)
        gone = lambda: {p: sent(sw)[p] - base[p] for p in base}
        send(sw, "p1", A, B, "10.0.1.1")  # not for the router
        send(sw, "p1", A, GATEWAY, "10.0.1.1", tp_dst=7)  # refused by the list
        for _ in range(3):
            send(sw, "p1", A, GATEWAY, "10.0.1.1")
        wait_until(lambda: gone() == {"p1": 0, "p2": 3, "p3": 0})
        send(sw, "p1", A, GATEWAY, "10.0.3.1")  # fast failover: the first that lives
        send(sw, "p1", A, GATEWAY, "10.0.9.9")  # action set
        wait_until(lambda: gone() == {"p1": 0, "p2": 3, "p3": 2})
        send(sw, "p1", A, GATEWAY, "10.0.4.1")  # all
        wait_until(lambda: gone() == {"p1": 0, "p2": 4, "p3": 3})
        for i in range(32):  # select: both are used
            send(sw, "p1", A, GATEWAY, "10.0.2.1", tp_src=1000 + i)
        wait_until(lambda: sum(gone().values()) == 39)
        now = gone()
        assert now["p2"] > 4 and now["p3"] > 3
        for _ in range(10):  # metered: 3 packets/s
            send(sw, "p1", A, GATEWAY, "10.0.1.1", tp_dst=9)
        frame = "50540000000150540000000a0800" + "4500001c00000000401100000a0000010a000101" + "0005000600080000"
        sw.run("ovs-ofctl", "-O", "OpenFlow13", "packet-out", "br0", f"in_port=1,packet={frame},actions=controller")
        wait_until(lambda: app.said("meter") and len(app.said("group")) == 4)
        groups = {int(g.split()[1]): (int(g.split()[2]), eval(re.search(r"\[.*\]", g).group())) for g in app.said("group")}
        metered = int(app.said("meter")[0].split()[2]), int(app.said("meter")[0].split()[3])
        assert metered[0] == 10 and 1 <= metered[1] < 10
        assert groups[1][0] == 13  # counted as with Open vSwitch: also what the meter in front of it dropped
        assert groups[2][0] == 32 and sum(groups[2][1]) == 32 and 0 not in groups[2][1]
        assert groups[3] == (1, [1, 0]) and groups[4] == (1, [1, 1])
        sw.vsctl("del-port", "p3")  # its bucket dies: the other one takes over
        base = {p: n for p, n in sent(sw).items() if p != "p3"}
        send(sw, "p1", A, GATEWAY, "10.0.3.1")
        wait_until(lambda: sent(sw)["p2"] - base["p2"] == 1)
        assert app.said("error") == []
    finally:
        app.end()
