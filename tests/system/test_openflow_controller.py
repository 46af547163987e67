# SPDX-License-Identifier: BSD-3-Clause
"""Controllers: an os-ken application programs the switch over TCP; ovs-ofctl monitor hears packet-ins, flow
updates, flow removed and port status; snoop sees the controller's messages; roles keep slaves out."""
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time

import pytest

from openflow_pair import Host, ofctl

APP = pathlib.Path(__file__).parent / "openflow_app.py"


def wait_until(condition, what, seconds=15):
    for _ in range(seconds * 20):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_os_ken_application():
    port = free_port()
    with tempfile.NamedTemporaryFile("r") as log:
        app = subprocess.Popen(["/usr/bin/python3", APP, str(port)], stdout=open(log.name, "w"),
                               stderr=subprocess.STDOUT)
        host = Host(f"tcp:127.0.0.1:{port}")
        said = lambda: open(log.name).read()
        try:
            wait_until(lambda: "error 11 0" in said(), "answers to all requests")
            os.kill(host.process.pid, signal.SIGUSR1)
            wait_until(lambda: "packet-in" in said(), "the packet-in")
        finally:
            app.kill()
            app.wait()
            text = said()
            host.stop()
    assert "features 0x20000000009" in text
    assert "error 6 0" in text, "the second add of group 7 must fail"
    assert text.index("error 6 0") < text.index("barrier") < text.index("flow 0")
    assert "flow 5 {'eth_type': 2048, 'ipv4_dst': ('10.0.0.0', '255.0.0.0')} [6, 4]" in text
    assert re.search(r"^role 2$", text, re.M)
    assert "packet-in 1 1 64" in text


@pytest.fixture
def host():
    h = Host()
    yield h
    h.stop()


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"])
def test_monitor(host, version):
    with tempfile.NamedTemporaryFile("r") as out:
        ofctl(host.mgmt, version, "add-flow", "table=4,priority=9,actions=3")
        monitor = subprocess.Popen(["ovs-ofctl", "-O", version, "--no-names", "monitor", f"unix:{host.mgmt}", "65534",
                                    "watch:"], stdout=open(out.name, "w"), stderr=subprocess.STDOUT,
                                   env=dict(os.environ, OVS_RUNDIR=host.dir.name))
        said = lambda: open(out.name).read()
        try:
            wait_until(lambda: "table=4" in said(), "what is there at the start")
            ofctl(host.mgmt, version, "add-flow", "priority=7,in_port=1,send_flow_rem,actions=CONTROLLER:65535")
            os.kill(host.process.pid, signal.SIGUSR1)
            ofctl(host.mgmt, version, "mod-flows", "in_port=1,actions=2")
            ofctl(host.mgmt, version, "mod-port", "1", "no-packet-in")
            ofctl(host.mgmt, version, "del-flows", "in_port=1")
            for what in ("event=ADDED table=0", "NXT_PACKET_IN2", "reg3=0x33", "event=MODIFIED", "PORT_STATUS",
                         "event=DELETED", "FLOW_REMOVED"):
                wait_until(lambda: what in said(), f"{what} in {version}")
        finally:
            monitor.kill()
            monitor.wait()


def receive(s):
    head = s.recv(8, socket.MSG_WAITALL)
    return head + s.recv(struct.unpack(">H", head[2:4])[0] - 8, socket.MSG_WAITALL)


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(path)
    s.send(struct.pack(">BBHI", 4, 0, 8, 1))
    assert receive(s)[1] == 0
    return s


def test_slaves_may_not_write(host):
    slave, other = connect(host.mgmt), connect(host.mgmt)
    slave.send(struct.pack(">BBHIIIQ", 4, 24, 24, 2, 3, 0, 5))
    assert receive(slave)[1] == 25
    flow_mod = struct.pack(">BBHIQQBBHHHIIIHHHHI", 4, 14, 56, 3, 0, 0, 0, 0, 0, 0, 1, 0xFFFFFFFF, 0xFFFFFFFF,
                           0xFFFFFFFF, 0, 0, 1, 4, 0)
    barrier = struct.pack(">BBHI", 4, 20, 8, 4)
    slave.send(flow_mod + barrier)
    error = receive(slave)
    assert error[1] == 1 and error[8:12] == struct.pack(">HH", 1, 10)
    assert receive(slave)[1] == 21
    other.send(flow_mod + barrier)
    assert receive(other)[1] == 21
    assert "priority=1" in ofctl(host.mgmt, "OpenFlow13", "dump-flows")[1]
    # an old generation is refused
    other.send(struct.pack(">BBHIIIQ", 4, 24, 24, 5, 2, 0, 4))
    assert receive(other)[8:12] == struct.pack(">HH", 11, 0)


def test_no_version_in_common(host):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(host.mgmt)
    s.send(struct.pack(">BBHIHHI", 9, 0, 16, 1, 1, 8, 1 << 9))
    assert receive(s)[1] == 0
    error = receive(s)
    assert error[1] == 1 and error[8:12] == b"\0\0\0\0"
    assert s.recv(1) == b""


def test_a_broken_length_closes_that_connection_only(host):
    bad, good = connect(host.mgmt), connect(host.mgmt)
    bad.send(struct.pack(">BBHI", 4, 2, 3, 1))
    assert bad.recv(1) == b""
    good.send(struct.pack(">BBHI", 4, 2, 8, 1))
    assert receive(good)[1] == 3
