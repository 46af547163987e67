# SPDX-License-Identifier: BSD-3-Clause
"""TRACE of a described packet, to its end: steps, parts, and why a field is in the mask; and that
nothing changes. Live traces tell the same steps."""
import pytest
from datapath_process import DatapathProcess, ether, frames
from flowbits import actions, match, rule
from scapy.all import Ether, IP, TCP, UDP, Raw
from test_capture import Capture, send

TRK, NEW, EST, RPL, INV = 0x20, 1, 2, 8, 0x10


@pytest.fixture
def dp():
    with DatapathProcess("--no-huge") as p:
        c = p.connect(writer=True)
        c.process = p
        c.transaction([("bridge_set", dict(name="br0", open=1))] + [
            ("port_set", dict(name=f"p{i}", type="dummy", bridge="br0", ofport=i))
            for i in range(1, 5)])
        yield c


def kinds(answer):
    return [s["step_kind"] for s in answer["step"]]


def number(dp, name):
    return int(name[1:])


def trace(dp, port="p1", **attrs):
    return dp.call("trace", dict(bridge="br0", in_port=number(dp, port), **attrs))


def tcp(src="10.0.0.1", dst="10.0.0.2", sport=1000, dport=80, flags="S"):
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
                 / IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags))


def why(part, t):
    """field: what read it first"""
    return {w["field"]: t["step"][w["step_index"]] for w in part["mask_why"]}


def test_normal(dp):
    t = trace(dp, packet=ether(2, 1))
    assert kinds(t) == ["bridge", "learn", "mac", "output", "output", "output"]
    assert [s["port"] for s in t["step"] if s["step_kind"] == "output"] == ["p2", "p3", "p4"]
    assert dp.dump("macs") == []  # nothing was learnt
    part, = t["part"]
    assert part["program_text"] == t["program_text"]
    assert {"eth_src", "eth_dst"} <= set(why(part, t))


def test_tables_and_who_read_what(dp):
    p2 = number(dp, "p2")
    dp.transaction([
        rule("table=0,priority=9,cookie=0x11,tcp,tp_dst=80 actions=resubmit(,3)"),
        rule("table=0,priority=1 actions=drop"),
        rule(f"table=3,priority=7,cookie=0x22,ip,nw_dst=10.0.0.0/24 actions=set_field:5->reg0,"
             f"output:{p2}")])
    t = trace(dp, packet=tcp())
    tables = [s for s in t["step"] if s["step_kind"] == "table"]
    assert [(s["table"], s["priority"], s["cookie"]) for s in tables] == [(0, 9, 0x11), (3, 7, 0x22)]
    assert "tp_dst=80" in tables[0]["match_text"]
    assert [s["action_text"] for s in t["step"] if s["step_kind"] == "action"] == [
        "resubmit(,3)", "set_field:0x5->reg0", "output:p2"]
    read = why(t["part"][0], t)
    assert read["tcp_dst"]["table"] == 0 and read["nw_proto"]["table"] == 0
    assert read["ip_dst"]["table"] == 3
    assert "reason" not in t
    t = trace(dp, packet=ether(2, 1))
    assert (t["reason"], t["part"][0]["reason"]) == ("no_actions", "no_actions")
    assert kinds(t)[-1] == "table" or "drop" in kinds(t)


def test_no_match_says_why(dp):
    dp.transaction([rule("priority=9,arp actions=normal")])
    t = trace(dp, packet=tcp())
    assert t["reason"] == "table_miss"
    assert "priority" not in [s for s in t["step"] if s["step_kind"] == "table"][0]


def ct_rules(dp):
    p2 = number(dp, "p2")
    dp.transaction([
        rule("table=0,priority=9,ip,ct_state=-trk actions=ct(table=1,zone=7)"),
        rule("table=1,priority=9,cookie=1,ip,ct_state=+trk+new actions=ct(commit,zone=7),"
             f"output:{p2}"),
        rule(f"table=1,priority=9,cookie=2,ip,ct_state=+trk+est actions=output:{p2}"),
        rule("table=1,priority=8,cookie=3,ip,ct_state=+trk+inv actions=drop")])


@pytest.mark.parametrize("state, cookie, reason", [
    (TRK | NEW, 1, None), (TRK | EST, 2, None), (TRK | EST | RPL, 2, None),
    (TRK | INV, 3, "no_actions")])
def test_assumed_connection_states(dp, state, cookie, reason):
    ct_rules(dp)
    t = trace(dp, packet=tcp(), ct_next=bytes([state]))
    assert len(t["part"]) == 2
    resumed, = [s for s in t["step"] if s["step_kind"] == "resume"]
    assert resumed["ct_state"] == state and resumed["assumed"]
    assert [s["cookie"] for s in t["step"] if s["step_kind"] == "table"] == [0, cookie]
    assert t["part"][1].get("reason") == reason
    assert t["part"][1]["ct_state"] == state
    assert dp.dump("conns") == []


def test_states_are_looked_up(dp):
    ct_rules(dp)
    t = trace(dp, packet=tcp())
    assert [s["ct_state"] for s in t["step"] if s["step_kind"] == "resume"] == [TRK | NEW]
    send(dp, "p1", tcp())
    frames(dp, "p2", 1)
    dp.transaction([rule("table=0,priority=10,in_port=%d,ip,ct_state=-trk actions=ct(table=1,zone=7)"
                         % number(dp, "p2"))])
    back = tcp("10.0.0.2", "10.0.0.1", 80, 1000, "SA")
    t = trace(dp, "p2", packet=back)
    assert [s["ct_state"] for s in t["step"] if s["step_kind"] == "resume"] == [TRK | EST | RPL]
    assert "(use --ct-next to customize)" in t["trace"]


def test_select_group_shows_the_bucket_that_packets_get(dp):
    p2, p3, p4 = (number(dp, f"p{i}") for i in (2, 3, 4))
    dp.transaction([
        ("group_mod", dict(bridge="br0", command=0, group_id=1, group_type=1, bucket=[
            dict(bucket_id=i, weight=1, actions=actions(f"output:{p}"))
            for i, p in enumerate((p2, p3, p4))])),
        rule("priority=9,ip actions=group:1")])
    for sport in range(2000, 2012):
        f = tcp(sport=sport)
        t = trace(dp, packet=f)
        chosen = [s["bucket_id"] for s in t["step"] if s["step_kind"] == "group" and s["chosen"]]
        out, = [s["port"] for s in t["step"] if s["step_kind"] == "output"]
        assert len(chosen) == 1
        send(dp, "p1", f)
        frames(dp, out, 1)


def test_fields_instead_of_bytes(dp):
    dp.transaction([rule("priority=9,tcp,tp_dst=443 actions=drop")])
    t = trace(dp, match=match("tcp,nw_dst=10.0.0.1,tp_dst=443"))
    assert t["reason"] == "no_actions"


def test_live_trace_tells_the_tables(dp):
    ct_rules(dp)
    c = Capture(dp, "trace_live", port="p1", limit=1)
    send(dp, "p1", tcp())
    while not c.finished:
        c.read()
    p, = c.packets
    tables = [(s["table"], s["cookie"]) for s in p["step"] if s["step_kind"] == "table"]
    assert tables == [(0, 0), (1, 1)]
    assert [s["port"] for s in p["step"] if s["step_kind"] == "output" and "since_ns" in s] == ["p2"]
    assert [s["level"] for s in p["step"] if s["step_kind"] == "cache"] == ["miss", "miss"]
    assert p["packet_verdict"] == "sent" and (p["table"], p["cookie"]) == (1, 1)
    states = [s["ct_state"] for s in p["step"] if s["step_kind"] == "ct" and "ct_state" in s]
    assert states[0] == TRK | NEW
