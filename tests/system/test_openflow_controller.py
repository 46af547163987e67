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


class Peer:
    """A controller on a Unix socket, of the version that it is given."""

    def __init__(self, path, version=6):
        self.version, self.s = version, socket.socket(socket.AF_UNIX)
        self.s.settimeout(10)
        self.s.connect(str(path))
        self.send(0, b"", 1)
        assert receive(self.s)[1] == 0

    def send(self, kind, body, xid=7):
        self.s.sendall(struct.pack(">BBHI", self.version, kind, 8 + len(body), xid) + body)

    def ask(self, kind, body, xid=7):
        """Sends it and a barrier; all that came until the barrier's answer: [(type, whole message)]."""
        self.send(kind, body, xid)
        return self.sync()

    def sync(self):
        self.send(20, b"", 0xBA)
        out = []
        while True:
            m = receive(self.s)
            if m[1] == 21:
                return out
            out.append((m[1], m))

    def role(self, role, generation, short_id=0):
        replies = self.ask(24, struct.pack(">IH2xQ", role, short_id, generation))
        assert [k for k, _ in replies] == [25], replies
        return struct.unpack(">IH2xQ", replies[0][1][8:])

    def want(self, **masks):
        """Asynchronous configuration: property number → reasons."""
        kinds = {"role_slave": 6, "forward_slave": 10, "forward": 11, "status_slave": 14, "status": 15}
        body = b"".join(struct.pack(">HHI", kinds[k], 8, v) for k, v in masks.items())
        assert self.ask(28, body) == []


@pytest.fixture
def three(tmp_path):
    """Two controllers of 1.5 at one target, one of 1.4 at another."""
    h = Host(f"punix:{tmp_path}/a", f"punix:{tmp_path}/b")
    yield h, Peer(f"{tmp_path}/a"), Peer(f"{tmp_path}/a"), Peer(f"{tmp_path}/b", version=5)
    h.stop()


def test_a_master_hears_that_it_is_no_more(three):
    host, one, two, old = three
    assert one.role(2, 5) == (2, 0, 5) and one.sync() == []
    assert two.role(2, 6) == (2, 0, 6)
    (kind, m), = one.sync()
    assert kind == 30 and struct.unpack(">IB3xQ", m[8:]) == (3, 0, 6)  # slave now, because another is the master
    assert one.role(0, 0)[0] == 3 and old.sync() == []
    # who does not want to know is not told; a stale generation changes nothing
    two.want(role_slave=0)
    assert one.role(2, 7)[0] == 2 and two.sync() == [] and two.role(0, 0)[0] == 3
    assert [k for k, _ in two.ask(24, struct.pack(">I4xQ", 2, 3))] == [1] and one.sync() == []


def test_group_and_meter_mods_are_forwarded(three):
    host, one, two, old = three
    meter = struct.pack(">HHIHHII4x", 0, 1, 9, 1, 16, 100, 0)
    group = struct.pack(">HBxIH2xI", 0, 0, 8, 0, 0xFFFFFFFF)
    assert one.ask(29, meter) == [] and two.sync() == []  # nobody has asked for it
    two.want(forward=3)
    old.want(forward=2)
    assert one.ask(15, group, 0x15) == []
    (kind, m), = two.sync()
    assert kind == 32 and m[8:] == struct.pack(">BBHI", 6, 15, 8 + len(group), 0x15) + group
    assert old.sync() == []  # it wants meters only
    assert [k for k, _ in one.ask(15, group)] == [1] and two.sync() == []  # refused: nothing has happened
    assert one.ask(29, struct.pack(">HH", 2, 1) + meter[4:8], 0x29) == []
    for peer in (two, old):
        (kind, m), = peer.sync()
        assert kind == 32 and m[8:12] == struct.pack(">BBH", peer.version, 29, 16) and m[12:16] == bytes([0, 0, 0, 0x29])
    assert one.sync() == []  # not what it did itself


def test_group_mods_are_forwarded_in_the_words_of_the_listener(three):
    host, one, two, old = three
    old.want(forward=1)
    two.want(forward=1)
    output = struct.pack(">HHIH6x", 0, 16, 3, 0)

    def bucket14(weight, actions=output):
        return struct.pack(">HHII4x", 16 + len(actions), weight, 0xFFFFFFFF, 0xFFFFFFFF) + actions

    def bucket15(number, weight, actions=output):
        return struct.pack(">HHI", 16 + len(actions), len(actions), number) + actions + \
            struct.pack(">HHH2x", 0, 8, weight)

    def forwarded(peer, xid, body):
        (kind, m), = peer.sync()
        assert kind == 32 and m[8:].hex() == (struct.pack(">BBHI", peer.version, 15, 8 + len(body), xid) + body).hex()

    buckets14, buckets15 = bucket14(5) + bucket14(7), bucket15(0, 5) + bucket15(1, 7)
    select14 = struct.pack(">HBxI", 0, 1, 8) + buckets14
    select15 = struct.pack(">HBxIH2xI", 0, 1, 8, len(buckets15), 0xFFFFFFFF) + buckets15
    assert old.ask(15, select14, 0x15) == []
    forwarded(two, 0x15, select15)
    assert one.ask(15, struct.pack(">HBxIH2xI", 2, 0, 8, 0, 0xFFFFFFFF), 0x16) == []
    forwarded(old, 0x16, struct.pack(">HBxI", 2, 0, 8))
    forwarded(two, 0x16, struct.pack(">HBxIH2xI", 2, 0, 8, 0, 0xFFFFFFFF))
    assert one.ask(15, select15, 0x17) == []
    forwarded(old, 0x17, select14)
    forwarded(two, 0x17, select15)
    inserted = bucket15(9, 1)
    insert = struct.pack(">HBxIH2xI", 3, 1, 8, len(inserted), 0xFFFFFFFE) + inserted
    assert one.ask(15, insert, 0x18) == []
    forwarded(two, 0x18, insert)
    assert old.sync() == []  # 1.4 cannot say that


def status(entry):
    length, short_id, role, reason, down = struct.unpack(">HHIBB6x", entry[:16])
    kind, n = struct.unpack(">HH", entry[16:20])
    assert kind == 0 and length % 8 == 0
    return length, (short_id, role, reason, down, entry[20:16 + n].decode())


def test_controllers_know_of_each_other(three):
    host, one, two, old = three

    def known(peer):
        (kind, m), = peer.ask(18, struct.pack(">HH4x", 18, 0))
        assert kind == 19 and m[8:10] == struct.pack(">H", 18)
        out, at = [], 16
        while at < len(m):
            length, entry = status(m[at:])
            out.append(entry)
            at += length
        return out

    def told(peer):
        messages = peer.sync()
        assert all(k == 35 for k, _ in messages)
        return [status(m[8:])[1][:4] for _, m in messages]

    assert [e[:4] for e in known(one)] == [(0xFFFF, 1, 0, 0)] * 3
    assert one.role(2, 5, short_id=7) == (2, 7, 5)
    tool = Peer(host.mgmt)
    assert sorted(e[:4] for e in known(tool)) == [(7, 2, 0, 0), (0xFFFF, 1, 0, 0), (0xFFFF, 1, 0, 0)]
    assert [k for k, _ in old.ask(18, struct.pack(">HH4x", 18, 0))] == [1]  # 1.4 does not know of this
    two.want(status=0x7e)
    assert one.role(1, 0, short_id=7) and told(two) == [(7, 1, 2, 0)] and told(one) == []
    assert one.role(1, 0, short_id=8) and told(two) == [(8, 1, 5, 0)]
    two.want(status=2)
    assert one.role(2, 6, short_id=9) and told(two) == []  # only channels
    one.s.close()
    wait_until(lambda: len(known(tool)) == 2, "the connection's end")
    assert told(two) == [(9, 2, 1, 1)]
    old.s.close()
    wait_until(lambda: [e[3] for e in known(tool)] == [0, 1], "a target without connection")
    assert told(two) == [(0xFFFF, 1, 1, 1)]
