# SPDX-License-Identifier: BSD-3-Clause
"""More than a hundred different ways to lose a packet: each must be counted under its reason at its
port, a capture of drops must name reason and rule, and where the tables decide, a trace of the same
packet must have said so before. Then the commands are asked: `sluice drops`, `sluice drops --last`
and `sluice why` of the lost packet name reason and rule. Each way has a bridge and three dummy ports of its own.

What cannot be brought about with dummy ports: the reasons of vhost, netdev and device ports
(tests/system/test_port_*.py, tests/unit/port), of memory that runs out, and of moments (port or
bridge gone, queues that are full): tests/unit/poll/drops_test.c."""
import json
import os
import re
import struct
import subprocess
import time

import pytest
from datapath_process import BUILD, DatapathProcess, wait_until
from dpapi import ApiError
from flowbits import actions, rule
from scapy.all import (ARP, Dot1Q, Ether, ICMP, ICMPv6EchoRequest, IP, IPv6, Raw, SCTP, TCP, UDP)
from test_capture import Capture
from test_capture_cli import pcap

SLUICE = os.path.join(BUILD, "bin", "sluice")
M1, M2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
PORT_DOWN, NO_RECV, NO_FLOOD, NO_FWD = 1, 4, 16, 32
ACCESS, NATIVE_TAGGED, NATIVE_UNTAGGED, TUNNEL = 1, 2, 3, 4

WAYS = []


class Way:
    """frame: bytes or a list sent one after the other, the last one is lost. rules: with '@' for the
    cookie that must be named. at: the port that counts it."""

    def __init__(self, name, reason, frame, rules=(), ports=None, bridge=None, ops=None, at="1",
                 traced=True, sent_by="1", count=1, packet_out=None, looks_like_it=True):
        self.name, self.reason, self.frame, self.rules = name, reason, frame, rules
        self.ports, self.bridge, self.ops = ports or {}, bridge or {}, ops
        self.at, self.traced, self.sent_by, self.count = at, traced, sent_by, count
        self.packet_out = packet_out  # actions
        self.looks_like_it = looks_like_it  # when it is dropped; else rules have made another packet of it
        WAYS.append(self)


def eth(payload=None, dst=M2, src=M1, vlan=None, pad=True, **kw):
    p = Ether(src=src, dst=dst, **kw)
    if vlan is not None:
        p = p / Dot1Q(vlan=vlan)
    b = bytes(p / (payload if payload is not None else Raw(bytes(46))))
    return b + bytes(max(0, 60 - len(b))) if pad else b


def ip(payload=None, **kw):
    return eth(IP(src="10.0.0.1", dst="10.0.0.2", **kw) / (payload or Raw(bytes(26))))


TCP80 = ip(TCP(sport=1000, dport=80, flags="S"))
UDP53 = ip(UDP(sport=1000, dport=53) / b"x")
PLAIN = eth(type=0x88b5)
V6 = eth(IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=1, dport=80))


def bitmap(*vlans):
    b = bytearray(512)
    for v in vlans:
        b[v // 8] |= 1 << v % 8
    return bytes(b)


# ---- the port does not take it ----
Way("port down", "rx_port_down", PLAIN, ports={1: dict(port_flags=PORT_DOWN)})
Way("no-recv", "rx_port_down", PLAIN, ports={1: dict(port_flags=NO_RECV)})
Way("no bridge", "rx_no_bridge", PLAIN, ports={1: dict(bridge="")}, traced=False)
Way("bridge closed", "bridge_closed", PLAIN, bridge=dict(open=0))
for last in (0, 1, 2, 3, 0xe, 0xf):
    Way(f"reserved 01:80:c2:00:00:{last:02x}", "rx_reserved_mac",
        eth(dst=f"01:80:c2:00:00:{last:02x}"))
for mac in ("01:00:0c:cc:cc:cc", "01:00:0c:cc:cc:cd", "01:00:0c:cd:cd:cd", "00:e0:2b:00:00:00",
            "00:e0:2b:00:00:04", "00:e0:2b:00:00:06", "01:00:0c:00:00:00"):
    Way(f"reserved {mac}", "rx_reserved_mac", eth(dst=mac))

# ---- VLANs ----
Way("tag on access port", "vlan_tagged_on_access", eth(vlan=20),
    ports={1: dict(vlan_mode=ACCESS, tag=10)})
Way("own tag on access port", "vlan_tagged_on_access", eth(vlan=10),
    ports={1: dict(vlan_mode=ACCESS, tag=10)})
Way("trunk without the VLAN", "vlan_not_allowed", eth(vlan=20), ports={1: dict(trunks=bitmap(10))})
Way("trunk without VLAN 0", "vlan_not_allowed", PLAIN, ports={1: dict(trunks=bitmap(10))})
Way("native-tagged without the VLAN", "vlan_not_allowed", eth(vlan=20),
    ports={1: dict(vlan_mode=NATIVE_TAGGED, tag=10, trunks=bitmap(10, 30))})
Way("native-untagged without the VLAN", "vlan_not_allowed", eth(vlan=20),
    ports={1: dict(vlan_mode=NATIVE_UNTAGGED, tag=10, trunks=bitmap(10, 30))})
Way("tunnel without the customer VLAN", "vlan_not_allowed", eth(vlan=20),
    ports={1: dict(vlan_mode=TUNNEL, tag=10, cvlans=bitmap(30))})
Way("alone in its VLAN", "normal_no_port", PLAIN,
    ports={1: dict(vlan_mode=ACCESS, tag=10), 2: dict(vlan_mode=ACCESS, tag=20),
           3: dict(vlan_mode=ACCESS, tag=30)})
Way("broadcast alone in its VLAN", "normal_no_port", eth(dst="ff:ff:ff:ff:ff:ff"),
    ports={1: dict(vlan_mode=ACCESS, tag=10), 2: dict(trunks=bitmap(20)),
           3: dict(trunks=bitmap(30))})
Way("nobody to flood to", "normal_no_port", PLAIN,
    ports={2: dict(port_flags=NO_FLOOD), 3: dict(port_flags=NO_FLOOD)})
Way("flood among protected ports", "normal_no_port", PLAIN,
    ports={i: dict(protected=1) for i in (1, 2, 3)})

# ---- NORMAL ----
Way("destination behind the same port", "normal_same_port", PLAIN,
    ops=lambda b: [("mac_set", dict(bridge=b, vlan=0, mac=M2, port=f"{b}-1"))])
Way("destination learnt behind the same port", "normal_same_port",
    [eth(src=M2, dst="02:00:00:00:00:99"), PLAIN], traced=False)
Way("both ends protected", "normal_protected", PLAIN, ports={1: dict(protected=1),
                                                           2: dict(protected=1)},
    ops=lambda b: [("mac_set", dict(bridge=b, vlan=0, mac=M2, port=f"{b}-2"))])
Way("source pinned elsewhere", "mac_moved_static", PLAIN,
    ops=lambda b: [("mac_set", dict(bridge=b, vlan=0, mac=M1, port=f"{b}-3"))])
Way("NORMAL with an invented input", "normal_unknown_input", PLAIN,
    ["priority=5,cookie=@ actions=load:99->NXM_OF_IN_PORT[],normal"])
Way("output down (MAC table)", "output_port_down", PLAIN, ports={2: dict(port_flags=PORT_DOWN)},
    ops=lambda b: [("mac_set", dict(bridge=b, vlan=0, mac=M2, port=f"{b}-2"))])
Way("output no-forward (MAC table)", "output_port_down", PLAIN,
    ports={2: dict(port_flags=NO_FWD)},
    ops=lambda b: [("mac_set", dict(bridge=b, vlan=0, mac=M2, port=f"{b}-2"))])

# ---- rules that say so, by what they match ----
MATCHES = [
    ("any", "", PLAIN), ("in_port", "in_port=1", PLAIN), ("dl_src", f"dl_src={M1}", PLAIN),
    ("dl_dst", f"dl_dst={M2}", PLAIN), ("dl_dst masked", "dl_dst=02:00:00:00:00:00/ff:00:00:00:00:00",
                                        PLAIN),
    ("multicast", "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", eth(dst="01:00:5e:00:00:01")),
    ("dl_type", "dl_type=0x88b5", PLAIN), ("dl_vlan", "dl_vlan=20", eth(vlan=20)),
    ("no tag", "vlan_tci=0/0x1000", PLAIN), ("dl_vlan_pcp", "dl_vlan=20,dl_vlan_pcp=0", eth(vlan=20)),
    ("arp", "arp", eth(ARP(psrc="10.0.0.1", pdst="10.0.0.2"))),
    ("arp_spa", "arp,arp_spa=10.0.0.1", eth(ARP(psrc="10.0.0.1", pdst="10.0.0.2"))),
    ("arp_op", "arp,arp_op=1", eth(ARP(psrc="10.0.0.1", pdst="10.0.0.2"))),
    ("ip", "ip", TCP80), ("nw_src", "ip,nw_src=10.0.0.1", TCP80),
    ("nw_dst prefix", "ip,nw_dst=10.0.0.0/8", TCP80), ("nw_tos", "ip,nw_tos=0", TCP80),
    ("nw_ttl", "ip,nw_ttl=64", TCP80), ("nw_proto", "ip,nw_proto=6", TCP80),
    ("tcp", "tcp", TCP80), ("tcp_src", "tcp,tp_src=1000", TCP80), ("tcp_dst", "tcp,tp_dst=80", TCP80),
    ("tcp_dst masked", "tcp,tp_dst=0x50/0xfff0", TCP80), ("tcp_flags", "tcp,tcp_flags=+syn-ack", TCP80),
    ("udp", "udp,tp_dst=53", UDP53), ("icmp", "icmp,icmp_type=8", ip(ICMP())),
    ("sctp", "sctp,tp_dst=7", ip(SCTP(sport=1, dport=7))),
    ("fragment", "ip,ip_frag=any", ip(Raw(bytes(26)), flags="MF", proto=17)),
    ("later fragment", "ip,ip_frag=later", ip(Raw(bytes(26)), frag=10, proto=17)),
    ("ipv6", "ipv6", V6), ("ipv6_src", "ipv6,ipv6_src=fd00::1", V6),
    ("ipv6_dst prefix", "ipv6,ipv6_dst=fd00::/64", V6), ("tcp6", "tcp6,tp_dst=80", V6),
    ("icmp6", "icmp6,icmp_type=128",
     eth(IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest())),
    ("untracked", "ip,ct_state=-trk", TCP80),
]
for name, text, frame in MATCHES:
    Way(f"drop rule: {name}", "no_actions", frame,
        [f"priority=50,cookie=@,{text} actions=drop" if text
         else "priority=50,cookie=@ actions=drop"])

# ---- rules that lead nowhere ----
for name, acts in (("set_field only", f"mod_dl_src:{M2}"), ("load only", "load:1->NXM_NX_REG0[]"),
                   ("strip_vlan only", "strip_vlan"), ("push_vlan only", "push_vlan:0x8100"),
                   ("dec_ttl only", "dec_ttl"), ("note only", "note:01"),
                   ("clear_actions", "clear_actions"),
                   ("written set without output", "write_actions(set_field:5->reg0)"),
                   ("empty clone", "clone(load:1->NXM_NX_REG0[])"),
                   ("push and pop", "push:NXM_NX_REG0[],pop:NXM_NX_REG1[]")):
    Way(f"no output: {name}", "no_actions", TCP80, [f"priority=5,cookie=@ actions={acts}"])
Way("resubmit to a drop", "no_actions", TCP80,
    ["priority=5 actions=resubmit(,7)", "table=7,priority=5,cookie=@ actions=drop"])
Way("goto a drop", "no_actions", TCP80,
    ["priority=5 actions=goto_table:9", "table=9,priority=5,cookie=@ actions=drop"])
Way("drop after ct", "no_actions", TCP80,
    ["priority=5,ip,ct_state=-trk actions=ct(table=3)",
     "table=3,priority=5,cookie=@,ip actions=drop"])
Way("resubmit to nothing", "no_actions", TCP80, ["priority=5,cookie=@ actions=resubmit(,7)"])
Way("no rule", "table_miss", TCP80, ["priority=5,arp actions=normal"])
Way("no rule in the next table", "table_miss", TCP80, ["priority=5 actions=goto_table:4"])
Way("no rule, fail-secure", "table_miss", TCP80, bridge=dict(fail_secure=1))

# ---- outputs ----
Way("output to no port", "output_no_port", PLAIN, ["priority=5,cookie=@ actions=output:77"])
Way("output to a register's port", "output_no_port", PLAIN,
    ["priority=5,cookie=@ actions=load:78->NXM_NX_REG0[],output:NXM_NX_REG0[]"])
Way("written output to no port", "output_no_port", PLAIN,
    ["priority=5,cookie=@ actions=write_actions(output:79)"])
Way("output to the ingress port", "output_in_port", PLAIN, ["priority=5,cookie=@ actions=output:1"])
Way("register's output to the ingress port", "output_in_port", PLAIN,
    ["priority=5,cookie=@ actions=load:1->NXM_NX_REG0[],output:NXM_NX_REG0[]"])
Way("output port down", "output_port_down", PLAIN, ["priority=5,cookie=@ actions=output:2"],
    ports={2: dict(port_flags=PORT_DOWN)})
Way("output port no-forward", "output_port_down", PLAIN, ["priority=5,cookie=@ actions=output:2"],
    ports={2: dict(port_flags=NO_FWD)})
Way("longer than the output's MTU", "tx_mtu", eth(Raw(bytes(1000))),
    ["priority=5,cookie=@ actions=output:2"], ports={2: dict(mtu=600)}, at="2", traced=False)
Way("tagged and longer than the output's MTU", "tx_mtu", eth(Raw(bytes(1600)), vlan=5),
    ["priority=5,cookie=@ actions=output:2"], at="2", traced=False)
Way("flooded and longer than one MTU", "tx_mtu", eth(Raw(bytes(1000)), dst="ff:ff:ff:ff:ff:ff"),
    ports={3: dict(mtu=600)}, at="3", traced=False)
Way("no guest", "tx_no_guest", PLAIN, ["priority=5,cookie=@ actions=output:2"],
    ports={2: dict(type="dpdkvhostuserclient", option=[dict(key="vhost-server-path",
                                                           value="/nowhere/sock")])},
    at="2", traced=False)

# ---- loops and limits ----
Way("resubmit to itself", "recursion_limit", PLAIN, ["priority=5,cookie=@ actions=resubmit(,0)"])
Way("tables in a circle", "recursion_limit", PLAIN,
    ["priority=5 actions=resubmit(,1)", "table=1,priority=5 actions=resubmit(,0)"])
Way("a tree of resubmits", "resubmit_limit", PLAIN,
    [f"table={i},priority=5 actions=resubmit(,{i + 1}),resubmit(,{i + 1})" for i in range(14)])
Way("too many outputs", "output_limit", PLAIN,
    [f"table={i},priority=5 actions=resubmit(,{i + 1}),resubmit(,{i + 1})" for i in range(10)]
    + ["table=10,priority=5 actions=output:2,output:3,output:2"])
Way("too long a program", "program_too_long", TCP80,
    [f"table={i},priority=5 actions=resubmit(,{i + 1}),resubmit(,{i + 1})" for i in range(9)]
    + ["table=9,priority=5,ip actions=mod_nw_src:1.1.1.1,output:2,mod_nw_src:2.2.2.2,output:2"])
Way("stack overflows", "stack_limit", PLAIN,
    ["priority=5 actions=" + ",".join(["push:NXM_NX_XXREG0[]"] * 400)])
Way("ct in a circle", "recirc_limit", TCP80, ["priority=5,ip actions=ct(table=0)"], traced=False)
Way("too many tags", "vlan_stack", PLAIN,
    ["priority=5 actions=" + ",".join(["push_vlan:0x8100"] * 6) + ",output:2"])

# ---- groups and meters ----


def group(kind, *buckets):
    return lambda b: [("group_mod", dict(bridge=b, command=0, group_id=1, group_type=kind, bucket=[
        dict(bucket_id=i, actions=actions(a), **more) for i, (a, more) in enumerate(buckets)]))]


SELECT, FAILOVER = 1, 3
ALL_DOWN = {2: dict(port_flags=PORT_DOWN), 3: dict(port_flags=PORT_DOWN)}
Way("empty group", "no_actions", PLAIN, ["priority=5,cookie=@ actions=group:1"], ops=group(0))
Way("group that drops", "no_actions", PLAIN, ["priority=5,cookie=@ actions=group:1"],
    ops=group(0, ("drop", {})))
Way("empty select group", "group_no_bucket", PLAIN, ["priority=5,cookie=@ actions=group:1"],
    ops=group(SELECT))
Way("select group without weights", "group_no_bucket", PLAIN,
    ["priority=5,cookie=@ actions=group:1"], ops=group(SELECT, ("output:2", dict(weight=0))))
Way("failover without a live bucket", "group_no_bucket", PLAIN,
    ["priority=5,cookie=@ actions=group:1"], ports=ALL_DOWN,
    ops=group(FAILOVER, ("output:2", dict(watch_port=2)), ("output:3", dict(watch_port=3))))
Way("select without a live bucket", "group_no_bucket", PLAIN,
    ["priority=5,cookie=@ actions=group:1"], ports=ALL_DOWN,
    ops=group(SELECT, ("output:2", dict(watch_port=2, weight=1))))
Way("group into a closed port", "output_port_down", PLAIN, ["priority=5,cookie=@ actions=group:1"],
    ports=ALL_DOWN, ops=group(0, ("output:2", {})))


def meter(flags, rate, burst):
    return lambda b: [("meter_mod", dict(bridge=b, command=0, meter_id=1, meter_flags=flags,
                                         band=[dict(band_type=1, rate=rate, burst=burst)]))]


Way("over a meter in packets", "meter_exceeded", [PLAIN] * 30,
    ["priority=5,cookie=@ actions=meter:1,output:2"], ops=meter(2 | 4, 1, 1), traced=False,
    count=None)
Way("over a meter in bits", "meter_exceeded", [eth(Raw(bytes(1200)))] * 30,
    ["priority=5,cookie=@ actions=meter:1,output:2"], ops=meter(1 | 4, 1, 1), traced=False,
    count=None)

# ---- headers that are not there ----
Way("MPLS pushed too deep", "mpls_stack", TCP80,
    ["priority=5,ip actions=" + ",".join(["push_mpls:0x8847"] * 40) + ",output:2"], traced=False, looks_like_it=False)

CUT_LABEL = eth(Raw(b"\0\0\x01"), type=0x8847, pad=False)
CUT_ND = eth(IPv6(src="fe80::1", dst="fe80::2", nh=58) / Raw(bytes([135, 0, 0, 0, 0, 0, 0, 0])), pad=False)
Way("a label that is cut off is taken", "packet_short", CUT_LABEL,
    ["priority=5,cookie=@,mpls actions=pop_mpls:0x0800,output:2"], traced=False)
Way("a label that is cut off is changed", "packet_short", CUT_LABEL,
    ["priority=5,cookie=@,mpls actions=set_mpls_ttl:9,output:2"], traced=False)
Way("a neighbour that is cut off is changed", "packet_short", CUT_ND,
    ["priority=5,cookie=@,icmp6,icmp_type=135,icmp_code=0 actions=set_field:fe80::9->nd_target,output:2"],
    traced=False)
Way("the TTL ends and no controller is asked", "ttl_expired", ip(TCP(sport=1, dport=80), ttl=1),
    ["priority=5,cookie=@,ip actions=dec_ttl(),output:2"])

# ---- connections ----
Way("zone is full", "ct_zone_limit", [TCP80, ip(TCP(sport=1001, dport=80, flags="S"))],
    ["priority=5,cookie=@,ip actions=ct(commit,zone=901),output:2"],
    ops=lambda b: [("ct_set", dict(ct_zone=901, ct_limit=1))])
Way("no translation left", "ct_nat_exhausted", [TCP80, ip(TCP(sport=1001, dport=80, flags="S"))],
    ["priority=5,cookie=@,ip actions=ct(commit,zone=902,nat(src=192.0.2.1:5000)),output:2"])

Way("from a host to itself", "ct_tuple_taken",
    eth(IP(src="10.0.0.7", dst="10.0.0.7") / UDP(sport=700, dport=700) / Raw(bytes(20))),
    ["priority=5,cookie=@,ip actions=ct(commit,zone=903),output:2"], traced=False)

# ---- packet-outs ----
Way("packet-out to no port", "output_no_port", PLAIN, packet_out="output:55", traced=False)
Way("packet-out of nothing to do", "no_actions", PLAIN, packet_out="load:1->NXM_NX_REG0[]",
    traced=False)

# ---- too much at once ----
Way("too many suspended states", "frozen_quota",
    [eth(IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=i)) for i in range(1100)],
    ["priority=5,cookie=@,tcp,ct_state=-trk actions=move:NXM_OF_TCP_SRC[]->NXM_NX_REG0[0..15],"
     "ct(table=1)", "table=1,priority=5 actions=output:2"], traced=False, count=None)

# ---- patches ----
Way("patch without a peer", "patch_no_peer", PLAIN, ["priority=5,cookie=@ actions=output:2"],
    ports={2: dict(type="patch", option=[dict(key="peer", value="nobody")])})


@pytest.fixture(scope="module")
def dp():
    with DatapathProcess("--no-huge") as p:
        c = p.connect(writer=True)
        c.process = p
        yield c


def drops(dp, bridge):
    """{(port number, reason): count}"""
    got = {}
    for o in dp.dump("port_stats"):
        name = o.get("port") or o.get("name")
        if name.startswith(bridge + "-"):
            for d in o.get("drop", []):
                if d["count"]:
                    got[name[len(bridge) + 1:], d["reason"]] = d["count"]
    return got


def build(dp, way, bridge, cookie):
    ops = [("bridge_set", dict(dict(name=bridge, open=1), **way.bridge))]
    for i in (1, 2, 3):
        ops.append(("port_set", dict(dict(name=f"{bridge}-{i}", type="dummy", bridge=bridge,
                                          ofport=i), **way.ports.get(i, {}))))
    dp.transaction(ops)
    if way.ops:
        dp.transaction(way.ops(bridge))
    if way.rules:
        dp.transaction([rule(r.replace("@", hex(cookie)), bridge) for r in way.rules])


@pytest.mark.parametrize("number, way", list(enumerate(WAYS)),
                         ids=[re.sub(r"\W+", "-", w.name) for w in WAYS])
def test_way(dp, tmp_path, number, way):
    bridge, cookie = f"w{number}", 0x1000 + number
    build(dp, way, bridge, cookie)
    try:
        lose(dp, way, bridge, cookie)
        ask_the_commands(dp, tmp_path, way, bridge, cookie)
    finally:
        dp.transaction([("port_del", dict(name=f"{bridge}-{i}")) for i in (1, 2, 3)]
                       + [("bridge_del", dict(name=bridge))])


def receive(dp, port, frame):
    try:
        dp.call("dummy_receive", dict(port=port, packet=frame))
    except ApiError:  # the dummy has 1,024 that wait: the switch has its share
        time.sleep(0.01)


def lose(dp, way, bridge, cookie):
    all_frames = way.frame if isinstance(way.frame, list) else [way.frame]
    names_rule = any("@" in r for r in way.rules)

    def trace():
        t = dp.call("trace", dict(bridge=bridge, in_port=1, packet=all_frames[-1]))
        assert t["part"][-1].get("reason") == way.reason, t["trace"]
        if names_rule:
            assert t["part"][-1]["cookie"] == cookie

    if way.traced and len(all_frames) == 1:
        trace()
    c = Capture(dp, directions=4, port=f"{bridge}-{way.at}")
    for f in all_frames:
        if way.packet_out:
            dp.call("packet_out", dict(bridge=bridge, in_port=1, packet=f,
                                       actions=actions(way.packet_out)))
        else:
            receive(dp, f"{bridge}-{way.sent_by}", f)
        if 1 < len(all_frames) < 50:
            time.sleep(0.01)
    wait_until(lambda: (way.at, way.reason) in drops(dp, bridge), timeout=20)
    got = drops(dp, bridge)
    assert set(got) == {(way.at, way.reason)}
    if way.count:
        assert got[way.at, way.reason] == way.count
    lost = c.stop()[-1]
    if way.traced and len(all_frames) > 1:  # the others have led to it
        trace()
    assert (lost["packet_verdict"], lost["reason"]) == ("dropped", way.reason)
    if names_rule:
        assert (lost["bridge"], lost["cookie"]) == (bridge, cookie)


def test_an_error_that_is_cut_short(dp, tmp_path):
    """A router quotes no more than the IP header of a translated GRE packet: what is to be translated is not there."""
    dp.transaction([("bridge_set", dict(name="e", open=1))] +
                   [("port_set", dict(name=f"e-{i}", type="dummy", bridge="e", ofport=i)) for i in (1, 2)])
    dp.transaction([rule(r, "e") for r in (
        "priority=5,cookie=0x91,in_port=1,ip actions=ct(commit,zone=904,nat(src=192.0.2.9)),output:2",
        "priority=5,cookie=0x92,in_port=2,ip actions=ct(zone=904,nat,table=1)", "table=1,priority=1 actions=output:1")])
    try:
        receive(dp, "e-1", eth(IP(src="10.0.0.1", dst="10.0.0.2", proto=47) / Raw(bytes(30))))
        sent = []
        wait_until(lambda: sent.extend(dp.frames_sent("e-2")) or sent)
        quoted = bytes(sent[0])[14:34]
        assert IP(quoted).src == "192.0.2.9"
        frame = eth(IP(src="10.0.0.254", dst="192.0.2.9") / ICMP(type=3, code=1) / Raw(quoted), src=M2, dst=M1)
        receive(dp, "e-2", frame)
        wait_until(lambda: ("2", "ct_rewrite") in drops(dp, "e"), timeout=20)
        why = json.loads(sluice(dp, "why", pcap(tmp_path / "lost.pcap", frame), "--port", "e-2", "--json"))
        assert (why["from"], why["reason"], why["was"]["cookie"]) == ("memory", "ct_rewrite", 0x92), why
        assert drops(dp, "e") == {("2", "ct_rewrite"): 1}
    finally:
        dp.transaction([("port_del", dict(name=f"e-{i}")) for i in (1, 2)] + [("bridge_del", dict(name="e"))])


def sluice(dp, *argv):
    r = subprocess.run([SLUICE, "--rundir", dp.process.rundir, *argv], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r
    return r.stdout


def ask_the_commands(dp, tmp_path, way, bridge, cookie):
    port, came = f"{bridge}-{way.at}", f"{bridge}-{way.sent_by}"
    frames = way.frame if isinstance(way.frame, list) else [way.frame]
    got = json.loads(sluice(dp, "drops", "--json", "--interval", "0.01"))
    rows = [(d["port"], d["reason"]) for d in got["drops"] if d["port"].startswith(bridge + "-")]
    assert rows == [(port, way.reason)]
    if any("@" in r and r.endswith("actions=drop") for r in way.rules):  # the rules that drop, by name
        assert [(r["bridge"], r["cookie"]) for r in got["rules"]] == [(bridge, hex(cookie))]

    last = sluice(dp, "drops", "--last", "--count", "1", "--port", port, "--reason", way.reason)
    assert re.fullmatch(rf"\d\d:\d\d:\d\d\.\d{{9}} x {port} .* \| dropped: {way.reason} \(.*\n", last), last
    if not way.looks_like_it:
        assert "  none of the packets dropped so far looks like it" in sluice(
            dp, "why", pcap(tmp_path / "lost.pcap", frames[-1]), "--port", came)
        return

    # The lost one is the last; of many at once not each is remembered.
    path = pcap(tmp_path / "lost.pcap", *(frames[-1:] if way.count else frames[-100:]))
    answers = [json.loads(x) for x in sluice(dp, "why", path, "--port", came, "--json").splitlines()]
    known = [a for a in answers if a["from"] == "memory"]
    assert known, answers
    why = known[-1]
    assert (why["reason"], why["was"]["port"], why["was"]["from_port"], why["was"]["match"]) == (
        way.reason, port, came, "same"), why
    assert why["remedy"] and abs(why["was"]["time_ns"] / 1e9 - time.time()) < 60
    text = sluice(dp, "why", path, "--port", came)
    assert re.search(rf"  dropped at \d\d:\d\d:\d\d\.\d{{6}} on {port}(, having come by {came})?: {way.reason}: ", text)
    assert "  what to do: " in text
    if any("@" in r for r in way.rules) and not way.reason.startswith("tx_"):
        assert (why["was"]["bridge"], why["was"]["cookie"]) == (bridge, cookie), why
        assert f"by the rule of {bridge} table " in text and f"cookie {cookie:#x}" in text and f"cookie {cookie:#x}" in last


def test_nobody_can_make_room():
    """Too many connections wait for an answer, and the port that had the most has none any more."""
    with DatapathProcess("--no-huge") as p:
        dp = p.connect(writer=True)
        dp.transaction(
            [("bridge_set", dict(name="h", open=1)), ("ct_set", dict(ct_max=40))] +
            [("port_set", dict(name=f"h-{i}", type="dummy", bridge="h", ofport=i)) for i in (1, 2, 3)])
        dp.transaction([rule("priority=5,cookie=0x77,ip actions=ct(commit,zone=1)", "h")])

        def udp(i, back=False):
            a, b = (("10.0.0.2", "10.0.0.1") if back else ("10.0.0.1", "10.0.0.2"))
            ports = (53, 1000 + i) if back else (1000 + i, 53)
            return eth(IP(src=a, dst=b) / UDP(sport=ports[0], dport=ports[1]) / Raw(bytes(20)))

        def info():
            return dp.dump("ct_info")[0]

        for i in range(4):  # the most, until they are answered
            dp.call("dummy_receive", dict(port="h-1", packet=udp(i)))
        wait_until(lambda: info()["ct_half_open"] == 4)
        for i in range(4, 8):
            dp.call("dummy_receive", dict(port="h-2", packet=udp(i)))
        wait_until(lambda: info()["ct_half_open"] == 8)
        for i in range(4):
            dp.call("dummy_receive", dict(port="h-3", packet=udp(i, back=True)))
        wait_until(lambda: info()["ct_half_open"] == 4)
        dp.transaction([("ct_set", dict(ct_max=16))])
        dp.call("dummy_receive", dict(port="h-3", packet=udp(9)))
        wait_until(lambda: ("3", "ct_half_open") in drops(dp, "h"))
        assert drops(dp, "h")["3", "ct_half_open"] == 1


def test_there_are_enough():
    assert len(WAYS) >= 100
    assert len({w.name for w in WAYS}) == len(WAYS)
