# SPDX-License-Identifier: BSD-3-Clause
"""Packets that rules, packet-outs and controllers send on their way, with dummy ports p1 … p3 on br0
as OpenFlow ports 1 … 3."""
import struct
import time

import pytest

import dpapi
from datapath_process import DatapathProcess, ether, frames, wait_until
from test_datapath_rules import DELETE, output, rule

CONTROLLER = 0xFFFFFFFD
IN_PORT = 0xFFFFFFF8
NORMAL = 0xFFFFFFFA


@pytest.fixture
def process():
    with DatapathProcess("--no-huge") as p:
        yield p


@pytest.fixture
def dp(process):
    dp = process.connect(writer=True)
    dp.transaction([("bridge_set", dict(name="br0", open=1, fail_secure=1))] +
                   [("port_set", dict(name=f"p{i}", type="dummy", bridge="br0", ofport=i))
                    for i in (1, 2, 3)])
    return dp


def controller(max_len=0xFFFF, pause=0, userdata=b""):
    n = 24 + len(userdata)
    return struct.pack("=HHIHHBBHII", 4, n, 0, max_len, 7, 1, pause, len(userdata), 0xFFFFFFFF, 0) \
        + userdata + bytes(-n % 8)


def receive(dp, port, frame):
    dp.call("dummy_receive", dict(port=port, packet=frame))


def test_rules_decide_and_count(dp):
    dp.transaction([rule(priority=1, actions=output(2))])
    for i in range(10):
        receive(dp, "p1", ether(5, 1, bytes([i])))
    assert len(frames(dp, "p2", 10)) == 10
    assert dp.frames_sent("p3") == []
    r, = dp.dump("rules", bridge="br0")
    assert r["packets"] == 10 and r["bytes"] == 600
    # After the reply no packet follows the old rule.
    for port in (3, 2) * 20:
        dp.transaction([rule(priority=1, actions=output(port))])
        receive(dp, "p1", ether(5, 1))
        assert len(frames(dp, f"p{port}", 1)) == 1
        assert dp.frames_sent(f"p{5 - port}") == []
    dp.transaction([rule(DELETE, table=255)])
    receive(dp, "p1", ether(5, 1))
    wait_until(lambda: any(d["reason"] == "table_miss" for d in dp.dump("drops")))


def test_packet_out(dp):
    frame = ether(5, 1, b"hello")
    dp.call("packet_out", dict(bridge="br0", in_port=CONTROLLER, actions=output(3), packet=frame))
    assert frames(dp, "p3", 1) == [frame]
    dp.call("packet_out", dict(bridge="br0", in_port=1, actions=output(IN_PORT), packet=frame))
    assert frames(dp, "p1", 1) == [frame]
    for bad in (dict(bridge="br9", packet=frame), dict(bridge="br0", packet=b"short"),
                dict(bridge="br0", packet=frame, actions=b"x" * 16),
                dict(bridge="br0", packet=frame, regs=b"x")):
        with pytest.raises(dpapi.ApiError):
            dp.call("packet_out", bad)


def test_packet_in_reaches_subscribers(process, dp):
    dp.transaction([rule(priority=1, cookie=0x77, actions=controller(20, userdata=b"abc"))])
    watcher = process.connect()
    watcher.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["packet_in"]))
    frame = ether(5, 1, b"hello")
    receive(dp, "p1", frame)
    e = watcher.wait_event("packet_in")
    assert e["bridge"] == "br0" and e["in_port"] == 1 and e["cookie"] == 0x77 and e["table"] == 0
    assert e["packet"] == frame and e["packet_len"] == 60 and e["controller_id"] == 7
    assert e["userdata"] == b"abc" and len(e["regs"]) == 11 * 64 and "event_seq" not in e
    # The poll thread counts after it has handed the packet up.
    wait_until(lambda: dp.dump("port_stats", port="p1")[0]["absorbed"] == 1)
    assert dp.dump("port_stats", port="p1")[0]["dropped"] == 0


def test_a_paused_packet_goes_on(process, dp):
    dp.transaction([rule(priority=1, actions=controller(pause=1) + output(3))])
    watcher = process.connect()
    watcher.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["packet_in"]))
    frame = ether(5, 1, b"wait")
    receive(dp, "p1", frame)
    e = watcher.wait_event("packet_in")
    assert e["continuation"] and e["packet"] == frame
    time.sleep(0.05)
    assert dp.frames_sent("p3") == []
    dp.call("resume", dict(bridge="br0", continuation=e["continuation"], packet=e["packet"]))
    assert frames(dp, "p3", 1) == [frame]
    for bad in (e["continuation"][:-8], b"x" * len(e["continuation"]), b""):
        with pytest.raises(dpapi.ApiError):
            dp.call("resume", dict(bridge="br0", continuation=bad, packet=e["packet"]))


def test_nobody_wants_a_packet_in(dp):
    dp.transaction([rule(priority=1, actions=controller())])
    receive(dp, "p1", ether(5, 1))
    wait_until(lambda: "packet_ins_unwanted=1" in dp.call("status")["detail"])


def test_the_ledger_is_exact_at_rest(dp):
    dp.transaction([rule(priority=1, actions=output(2) + output(3) + output(77))])
    for i in range(100):
        receive(dp, "p1", ether(5, 1, bytes([i])))
    frames(dp, "p2", 100)
    frames(dp, "p3", 100)
    wait_until(lambda: dp.dump("port_stats", port="p1")[0]["rx_packets"] == 100)
    for s in dp.dump("port_stats"):
        rx_drops = sum(d["count"] for d in s.get("drop", []))
        assert s["rx_packets"] + s["created"] == s["sent"] + rx_drops + s["absorbed"] + s["held"], s


def test_trace_tells_what_would_happen(dp):
    dp.transaction([rule(priority=1, cookie=0xC0, actions=output(2)),
                    rule(table=1, priority=5, actions=output(3))])
    before = dp.dump("rules", bridge="br0")
    t = dp.call("trace", dict(bridge="br0", in_port=1, packet=ether(5, 1)))
    assert "priority 1, cookie 0xc0" in t["trace"] and "output to port p2" in t["trace"]
    assert t["trace"].rstrip().endswith("Datapath actions: " + t["program_text"])
    assert "reason" not in t
    dp.transaction([rule(DELETE, table=255)])
    t = dp.call("trace", dict(bridge="br0", in_port=1, packet=ether(5, 1)))
    assert t["reason"] == "table_miss" and "No match." in t["trace"] and t["program_text"] == "drop"
    dp.transaction([rule(priority=0, actions=output(NORMAL))])
    t = dp.call("trace", dict(bridge="br0", in_port=1, packet=ether(5, 1)))
    assert "would learn that 02:00:00:00:00:01 is on port p1" in t["trace"]
    assert "flooding" in t["trace"]
    assert dp.dump("macs") == [] and dp.dump("rules", bridge="br0")[0]["packets"] == 0
    assert before
    for bad in (dict(bridge="br9"), dict(bridge="br0", in_port=99, packet=ether(5, 1)),
                dict(bridge="br0", in_port=1, packet=b"x"), dict(bridge="br0", in_port=1, match=b"x")):
        with pytest.raises(dpapi.ApiError):
            dp.call("trace", bad)


def test_cache_counters_and_stage_cycles_tell_what_happened(dp, process):
    """Hits, hits by mask, misses; and the cycles of every stage that packets pass."""
    dp.transaction([rule(priority=1, actions=output(2))])
    n = 3000
    for i in range(n):
        receive(dp, "p1", ether(5, 1))
        if i % 500 == 499:
            frames(dp, "p2", 500)
    s, = (s for s in dp.dump("port_stats") if s["port"] == "p1")
    # Those that came in one burst with the first were found when their turn to be resolved came: neither.
    assert n - 40 <= s["cache_hits"] + s["misses"] <= n and s["misses"] < 50
    assert s["megaflow_hits"] == s["cache_hits"], "with one mask every hit is by mask"
    thread, = dp.dump("poll")
    stages = dict(zip(("rx", "extract", "cache", "resolve", "exec", "tx"), struct.unpack("<7Q", thread["stage_cycles"])))
    assert all(stages[x] for x in ("rx", "extract", "cache", "exec", "tx")), stages
