# SPDX-License-Identifier: BSD-3-Clause
"""Capture and live trace through the api: what arrives, leaves and is dropped, with verdict, rule,
cache level; filters; bounds; refused input."""
import struct
import subprocess
import time

import pytest
from dpapi import ApiError
import flowbits
from datapath_process import DatapathProcess, ether, flood_bridge


@pytest.fixture
def dp():
    with DatapathProcess("--no-huge") as p:
        c = p.connect(writer=True)
        c.process = p
        flood_bridge(c, 3)
        yield c


def bpf(text):
    """A libpcap filter as the CLI compiles it."""
    out = subprocess.run(["tcpdump", "-y", "EN10MB", "-ddd", text], check=True, text=True,
                         capture_output=True).stdout.splitlines()
    return b"".join(struct.pack("=HBBI", *map(int, line.split())) for line in out[1:])


RET_ALL = struct.pack("=HBBI", 6, 0, 0, 65535)


class Capture:
    def __init__(self, dp, kind="capture", **attrs):
        self.dp = dp.process.connect()
        self.note = "captured" if kind == "capture" else "traced"
        self.id = self.dp.call(kind, attrs)["capture_id"]
        self.packets, self.finished, self.last = [], False, {}

    def read(self):
        body = self.dp.read_note(self.note)
        assert body["capture_id"] == self.id
        self.packets += body.get("object", [])
        self.last = body
        self.finished |= body.get("finished", False)

    def wait(self, n):
        while len(self.packets) < n:
            self.read()
        return self.packets

    def stop(self):
        self.dp.call("capture_stop", dict(capture_id=self.id))
        while not self.finished:
            self.read()
        return self.packets


def send(dp, port, frame):
    dp.call("dummy_receive", dict(port=port, packet=frame))


def settle():
    time.sleep(0.05)


def test_in_and_out(dp):
    c = Capture(dp, directions=3)
    f = ether(2, 1, b"hello")
    send(dp, "p1", f)
    got = c.wait(3)
    came = [p for p in got if p["packet_direction"] == 1]
    left = [p for p in got if p["packet_direction"] == 2]
    assert len(came) == 1 and len(left) == 2
    assert came[0]["port"] == "p1" and came[0]["packet"] == f
    assert came[0]["packet_verdict"] == "sent" and came[0]["level"] == "miss"
    assert {o["port"] for o in came[0]["output"]} == {"p2", "p3"}
    assert {p["port"] for p in left} == {"p2", "p3"}
    assert all(p["from_port"] == "p1" and p["packet_verdict"] == "sent" for p in left)
    assert abs(came[0]["time_ns"] / 1e9 - time.time()) < 5
    assert 0 < came[0]["residence_ns"] < 1e9
    send(dp, "p1", f)  # the address was learnt meanwhile: resolved again
    settle()
    send(dp, "p1", f)
    c.wait(9)
    assert [p for p in c.packets if p["packet_direction"] == 1][2]["level"] in ("fast", "mask")
    c.stop()
    assert c.last["lost"] == 0 and c.last["seen"] == 9


def test_ports_and_filter(dp):
    c = Capture(dp, directions=1, port="p2", filter=bpf("ether src 02:00:00:00:00:09"))
    send(dp, "p2", ether(2, 9))
    send(dp, "p2", ether(2, 8))
    send(dp, "p1", ether(2, 9))
    settle()
    got = c.stop()
    assert [(p["port"], p["packet"]) for p in got] == [("p2", ether(2, 9))]


def test_rule_and_drop_reason(dp):
    dp.transaction([("rule_mod", dict(bridge="br0", command=0, table=0, priority=7, cookie=0x77))])
    c = Capture(dp, directions=5)
    send(dp, "p1", ether(2, 1))
    got = c.wait(2)
    assert {p["packet_direction"] for p in got} == {1, 4}
    for p in got:
        assert (p["packet_verdict"], p["reason"]) == ("dropped", "no_actions")
        assert (p["bridge"], p["table"], p["cookie"]) == ("br0", 0, 0x77)
    c.stop()


def test_the_rule_of_what_leaves(dp):
    """Without watching what arrives: whole bursts that only leave by a port."""
    dp.transaction([flowbits.rule("priority=7,in_port=1,cookie=0x78 actions=output:2")])
    c = Capture(dp, directions=2, port="p2")
    send(dp, "p1", ether(2, 1))
    c.wait(1)  # or all may come in the burst of the first, before there is an entry
    for _ in range(19):
        send(dp, "p1", ether(2, 1))
    got = c.wait(20)
    c.stop()
    assert [(p["table"], p["cookie"], p["from_port"]) for p in got] == [(0, 0x78, "p1")] * 20
    assert got[-1]["level"] in ("fast", "mask")


def test_snaplen_sample_limit(dp):
    c = Capture(dp, directions=1, snaplen=20, sample=2, limit=3)
    for _ in range(10):
        send(dp, "p1", ether(2, 1, bytes(100)))
    while not c.finished:
        c.read()
    assert len(c.packets) == 3
    assert all(len(p["packet"]) == 20 and p["packet_len"] == 114 for p in c.packets)


def test_ends_with_the_connection(dp):
    c = Capture(dp, directions=3)
    c.dp.close()
    settle()
    many = [Capture(dp) for _ in range(8)]
    with pytest.raises(ApiError, match="8 run already"):
        Capture(dp)
    for m in many:
        m.stop()
    Capture(dp).stop()


@pytest.mark.parametrize("program, error", [
    (b"\0" * 7, "no whole"),
    (struct.pack("=HBBI", 0x15, 5, 0, 0), "instruction 0"),         # jump beyond the end
    (struct.pack("=HBBI", 0x28, 0, 0, 12), "instruction 0"),        # no return
    (struct.pack("=HBBI", 0x34, 0, 0, 0) + RET_ALL, "instruction 0"),   # division by zero
    (struct.pack("=HBBI", 0x60, 0, 0, 16) + RET_ALL, "instruction 0"),  # beyond the memory
    (struct.pack("=HBBI", 0x20, 0, 0, 0xfffff000) + RET_ALL, "instruction 0"),  # Linux extension
    (struct.pack("=HBBI", 0xffff, 0, 0, 0) + RET_ALL, "instruction 0"),
    (RET_ALL * 5000, "instructions"),
], ids=["cut", "jump", "no_return", "division", "memory", "extension", "code", "length"])
def test_bad_filters(dp, program, error):
    with pytest.raises(ApiError, match=error):
        Capture(dp, filter=program)


def test_bad_requests(dp):
    with pytest.raises(ApiError, match="p9: not found"):
        Capture(dp, port="p9")
    with pytest.raises(ApiError, match="directions"):
        Capture(dp, directions=8)
    with pytest.raises(ApiError, match="not one of"):
        dp.call("capture_stop", dict(capture_id=77))


def test_live_trace(dp):
    c = Capture(dp, "trace_live", port="p1", limit=1)
    send(dp, "p2", ether(1, 2))
    send(dp, "p1", ether(2, 1))
    while not c.finished:
        c.read()
    p, = c.packets
    kinds = [s["step_kind"] for s in p["step"]]
    assert kinds[0] == "rx" and "cache" in kinds and "run" in kinds and "output" in kinds
    assert p["packet_verdict"] == "sent"


@pytest.mark.parametrize("in_port", (1, 0xfffffffd))
def test_live_trace_of_a_packet_out(dp, in_port):
    """It runs the actions that came with it: no table, and no port that it came in by, is asked."""
    c = Capture(dp, "trace_live", limit=1)
    dp.call("packet_out", dict(bridge="br0", in_port=in_port, packet=ether(2, 1),
                               actions=flowbits.actions("output:2")))
    while not c.finished:
        c.read()
    p, = c.packets
    assert p["packet_verdict"] == "sent"
    assert [s["step_kind"] for s in p["step"]] == ["rx", "note", "run", "output"], p
    assert "packet-out" in p["step"][1]["detail"]


def test_the_policy_rule_that_refused():
    from policylab import DENY, INGRESS, Lab, Rules, policy_op, service, tcp
    with DatapathProcess("--no-huge") as p:
        lab = Lab(p.connect(writer=True))
        lab.dp.process = p
        r = Rules()
        r.add("no-telnet", INGRESS, [1], r.peer_set(2), service(6, 23), tier=0, verdict=DENY)
        lab.set(policy_op([g.endpoint() for g in lab.guests.values()], r))
        c = Capture(lab.dp, directions=5)
        assert not lab.passes(2, 1, tcp(1000, 23))
        assert not lab.passes(1, "host", tcp(1, 22))
        got = c.stop()
        refused = [(g["packet_direction"], g["reason"], g["denied_by"]) for g in got
                   if g["packet_verdict"] == "dropped"]
        assert refused == [(1, "policy_denied", "no-telnet"), (4, "policy_denied", "no-telnet"),
                           (1, "policy_host_deny", "default/host-deny"),
                           (4, "policy_host_deny", "default/host-deny")]
