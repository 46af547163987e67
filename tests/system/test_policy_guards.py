# SPDX-License-Identifier: BSD-3-Clause
"""What a guest cannot pretend, whatever rules a controller installs: each spoofed packet arrives nowhere and
is counted under its own reason. Limits of endpoints and rules."""
import struct
import time

import pytest
from scapy.all import ARP, BOOTP, DHCP, IP, TCP, UDP, Dot1Q, Ether, ICMPv6ND_NA, ICMPv6ND_NS
from scapy.all import ICMPv6ND_RA, ICMPv6ND_Redirect, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr
from scapy.all import LLC, SNAP, STP, Dot1AD, Dot3, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.all import IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw

import dpapi
import policylab
from datapath_process import wait_until
from policylab import (EGRESS, INGRESS, MAY_TAG, PROTECTED, Rules, endpoints, lab,  # noqa: F401
                       policy_op, service, tcp, udp)
from test_datapath_rules import output, rule
import flowbits

ALL = "ff:ff:ff:ff:ff:ff"
NORMAL, FLOOD, CONTROLLER, IN_PORT = 0xFFFFFFFA, 0xFFFFFFFB, 0xFFFFFFFD, 0xFFFFFFF8


def spoofs(lab):
    """(reason, frame) of packets that guest 1 must not send; guest 2 is the victim."""
    g1, g2 = lab.guests[1], lab.guests[2]
    eth = Ether(dst=g2.mac, src=g1.mac)
    all_nodes = Ether(dst="33:33:00:00:00:01", src=g1.mac)

    def nd(msg, src=None, eth=eth, dst=None):
        return eth / IPv6(src=src or g1.ip6, dst=dst or g2.ip6, hlim=255) / msg
    ra = ICMPv6ND_RA()
    advert = ICMPv6ND_NA(tgt=g2.ip6) / ICMPv6NDOptDstLLAddr(lladdr=g1.mac)
    dest, hop, route = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]), IPv6ExtHdrHopByHop(), IPv6ExtHdrRouting()
    long = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(250))])
    ip6 = eth / IPv6(src=g1.ip6, dst=g2.ip6, hlim=255)
    many = ip6.copy()
    for _ in range(9):
        many /= IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
    return [
        # neighbour discovery hidden behind extension headers (RFC 6980, 7113)
        ("policy_guard_nd", ip6 / hop / advert),
        ("policy_guard_nd", ip6 / route / advert),
        ("policy_guard_nd", ip6 / dest / ra),
        ("policy_guard_nd", ip6 / IPv6ExtHdrFragment(id=1) / ra),
        ("policy_guard_nd", ip6 / IPv6ExtHdrFragment(id=2, m=1) / ra),
        ("policy_guard_headers", many / ra),
        ("policy_guard_headers", ip6 / long / ra),
        ("policy_guard_headers", ip6 / IPv6ExtHdrFragment(id=3, m=1, nh=60) / Raw(b"\x3a\x05" + bytes(14))),
        ("policy_guard_fragment", ip6 / IPv6ExtHdrFragment(id=4, m=1, nh=60) / Raw(b"\x3a\x00" + bytes(6))),
        ("policy_guard_fragment", ip6 / IPv6ExtHdrFragment(id=4, offset=1, nh=60) / Raw(bytes(ra))),
        ("policy_guard_fragment", ip6 / IPv6ExtHdrFragment(id=5, m=1, nh=6) / Raw(bytes(8))),
        # tags: priority tag, double tag, provider tag; what is in them does not matter
        ("policy_guard_vlan", eth / Dot1Q(vlan=0) / IP(src=g1.ip, dst=g2.ip) / udp(1, 2)),
        ("policy_guard_vlan", eth / Dot1Q(vlan=7) / Dot1Q(vlan=8) / IP(src=g1.ip, dst=g2.ip) / udp(1, 2)),
        ("policy_guard_vlan", eth / Dot1AD(vlan=7) / Dot1Q(vlan=8) / IP(src=g1.ip, dst=g2.ip) / udp(1, 2)),
        ("policy_guard_vlan", Ether(dst=ALL, src=g1.mac) / Dot1Q(vlan=0) /
         ARP(op=2, hwsrc=g1.mac, psrc=g2.ip, pdst=g2.ip)),
        # other ways to say IP and ARP, and protocols of bridges
        ("policy_guard_ethertype", Dot3(dst=g2.mac, src=g1.mac) / LLC(dsap=0xaa, ssap=0xaa, ctrl=3) /
         SNAP(OUI=1, code=0x800) / IP(src=g1.ip, dst=g2.ip)),
        ("policy_guard_ethertype", Dot3(dst=g2.mac, src=g1.mac) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP()),
        ("policy_guard_ethertype", Ether(dst=g2.mac, src=g1.mac, type=0x0800) / Raw(bytes(IPv6(src=g1.ip6, dst=g2.ip6)))),
        ("policy_guard_ethertype", Ether(dst=ALL, src=g1.mac) / ARP(op=2, hwlen=8, hwsrc=g1.mac, psrc=g2.ip)),
        ("policy_guard_dhcp_server", eth / IP(src=g1.ip, dst="255.255.255.255") / UDP(sport=1067, dport=68) /
         BOOTP(op=2) / DHCP(options=[("message-type", "offer"), "end"])),
        ("policy_guard_dhcp_server", eth / IPv6(src=g1.ip6, dst=g2.ip6) / udp(1547, 546)),
        ("policy_guard_mac", Ether(dst=g2.mac, src="02:00:00:00:00:09") / IP(src=g1.ip, dst=g2.ip) / udp(1, 2)),
        ("policy_guard_mac", Ether(dst=g2.mac, src=g2.mac) / IP(src=g1.ip, dst=g2.ip) / udp(1, 2)),
        ("policy_guard_vlan", eth / Dot1Q(vlan=7) / IP(src=g1.ip, dst=g2.ip) / udp(1, 2)),
        ("policy_guard_vlan", eth / Dot1Q(vlan=0) / Dot1Q(vlan=7) / IP(src=g1.ip, dst=g2.ip) / udp(1, 2)),
        ("policy_guard_arp", Ether(dst=ALL, src=g1.mac) / ARP(op=2, hwsrc=g1.mac, psrc=g2.ip, pdst=g2.ip)),
        ("policy_guard_arp", Ether(dst=ALL, src=g1.mac) / ARP(op=1, hwsrc=g1.mac, psrc="10.0.0.254", pdst=g2.ip)),
        ("policy_guard_arp", Ether(dst=ALL, src=g1.mac) / ARP(op=2, hwsrc=g2.mac, psrc=g1.ip, pdst=g2.ip)),
        ("policy_guard_nd", nd(ICMPv6ND_NA(tgt=g2.ip6) / ICMPv6NDOptDstLLAddr(lladdr=g1.mac))),
        ("policy_guard_nd", nd(ICMPv6ND_NA(tgt=g1.ip6) / ICMPv6NDOptDstLLAddr(lladdr=g2.mac))),
        ("policy_guard_nd", nd(ICMPv6ND_NS(tgt=g2.ip6) / ICMPv6NDOptSrcLLAddr(lladdr=g2.mac))),
        ("policy_guard_nd", nd(ICMPv6ND_NS(tgt=g2.ip6) / ICMPv6NDOptSrcLLAddr(lladdr=g1.mac) /
                               ICMPv6NDOptSrcLLAddr(lladdr=g2.mac))),
        ("policy_guard_nd", nd(ICMPv6ND_NS(tgt=g2.ip6), src="fd00::77")),
        ("policy_guard_nd", nd(ICMPv6ND_NS(tgt=g2.ip6), src=g2.link_local)),
        ("policy_guard_nd", nd(IPv6ExtHdrDestOpt() / ICMPv6ND_NA(tgt=g1.ip6))),
        ("policy_guard_address", eth / IP(src=g2.ip, dst=g2.ip) / udp(1, 2)),
        ("policy_guard_address", eth / IP(src="0.0.0.0", dst=g2.ip) / udp(1, 2)),
        ("policy_guard_address", eth / IPv6(src="fd00::99", dst=g2.ip6) / udp(1, 2)),
        ("policy_guard_dhcp_server", eth / IP(src=g1.ip, dst=g2.ip) / UDP(sport=67, dport=68) / BOOTP(op=2) /
         DHCP(options=[("message-type", "offer"), "end"])),
        ("policy_guard_dhcp_server", eth / IPv6(src=g1.ip6, dst=g2.ip6) / udp(547, 546)),
        ("policy_guard_ra", nd(ICMPv6ND_RA(), src=g1.link_local, eth=all_nodes, dst="ff02::1")),
        ("policy_guard_ra", nd(ICMPv6ND_Redirect(tgt=g1.ip6, dst="2001:db8::1"), src=g1.link_local)),
        ("policy_guard_ethertype", Ether(dst=g2.mac, src=g1.mac, type=0x88B6) / Raw(bytes(46))),
        ("policy_guard_fragment", eth / IP(src=g1.ip, dst=g2.ip, flags="MF", proto=6) / Raw(bytes(8))),
        ("policy_guard_fragment", eth / IP(src=g1.ip, dst=g2.ip, frag=1, proto=6) / Raw(bytes(40))),
        ("policy_guard_fragment", eth / IP(src=g1.ip, dst=g2.ip, frag=100, proto=17, id=9) / Raw(bytes(40))),
    ]


def check_spoofs(lab):
    before = lab.drops()
    wanted = {}
    for reason, frame in spoofs(lab):
        assert lab.drop_of("p1", frame) == reason, frame.summary()
        wanted[reason] = wanted.get(reason, 0) + 1
    after = lab.drops()
    assert {k: after[k] - before.get(k, 0) for k in wanted} == wanted
    hits = lab.hits()
    rules = {"ra": "router-advertisement"}
    for reason in wanted:
        short = reason.removeprefix("policy_guard_").replace("_", "-")
        assert hits["guard/" + rules.get(short, short)]["packets"] >= wanted[reason]


def test_no_spoofed_packet_arrives(lab):
    lab.set(policy_op(endpoints(lab)))
    check_spoofs(lab)
    # and what is honest does
    g1, g2 = lab.guests[1], lab.guests[2]
    honest = [
        Ether(dst=ALL, src=g1.mac) / ARP(op=1, hwsrc=g1.mac, psrc=g1.ip, pdst=g2.ip),
        Ether(dst=ALL, src=g1.mac) / ARP(op=1, hwsrc=g1.mac, psrc="0.0.0.0", pdst=g1.ip),
        Ether(dst=g2.mac, src=g1.mac) / IPv6(src=g1.link_local, dst=g2.ip6, hlim=255) /
        ICMPv6ND_NS(tgt=g2.ip6) / ICMPv6NDOptSrcLLAddr(lladdr=g1.mac),
        Ether(dst=g2.mac, src=g1.mac) / IPv6(src="::", dst="ff02::1:ff00:1", hlim=255) /
        ICMPv6ND_NS(tgt=g1.ip6),
        Ether(dst=g2.mac, src=g1.mac) / IPv6(src=g1.ip6, dst=g2.ip6, hlim=255) /
        ICMPv6ND_NA(tgt=g1.link_local) / ICMPv6NDOptDstLLAddr(lladdr=g1.mac),
    ]
    for frame in honest:
        assert "p2" in lab.send("p1", frame), frame.summary()


def test_no_rule_of_a_controller_opens_what_policy_closes(lab):
    """Proof 2: with "forward everything" the verdicts are the same."""
    r = Rules()
    r.add("web", INGRESS, [2], r.peer_set(1), service(6, 80))
    lab.set(policy_op(endpoints(lab, g2=dict(isolated=1)), r))
    cases = [(1, 2, tcp(1, 80), True), (1, 2, tcp(1, 81), False), (3, 2, tcp(1, 80), False),
             (1, "host", tcp(1, 22), False), ("host", 1, tcp(1, 22), False),
             ("up", 2, tcp(1, 80), False), (2, 3, tcp(7, 9), True)]

    def verdicts():
        return [lab.who(b)[0] in lab.send(lab.who(a)[0], lab.frame(a, b, l4))
                for a, b, l4, _ in cases]
    wanted = [c[3] for c in cases]
    assert verdicts() == wanted
    bucket = [dict(weight=0, watch_port=0xFFFFFFFF, actions=output(p)) for p in (1, 2, 3, 100, 200)]
    lab.set(("group_mod", dict(bridge="br0", command=0, group_type=0, group_id=1, bucket=bucket)))
    everywhere = "output:1,output:2,output:3,output:100,output:200"
    for rules in (["actions=flood"], ["actions=normal"], [f"actions={everywhere}"], ["actions=group:1"],
                  ["actions=clone(output:2),clone(output:100),normal"],
                  [f"actions=resubmit(,1),{everywhere}", "table=1 actions=normal"],
                  ["ip actions=ct(commit,zone=5,table=1)", "ipv6 actions=ct(commit,zone=5,table=1)", "actions=flood",
                   f"table=1 actions={everywhere}"],
                  ["ip actions=ct(zone=6,nat,table=1)", "actions=flood",
                   f"table=1,ip actions=ct(commit,zone=6,nat),{everywhere}", "table=1,priority=1 actions=flood"],
                  ["ip actions=ct_clear,normal", "actions=normal"]):
        lab.set(("rule_mod", dict(bridge="br0", command=3)))
        lab.set(*[flowbits.rule(r if r.startswith(("actions", "table")) else f"priority={i + 40000},{r}")
                  for i, r in enumerate(rules)])
        assert verdicts() == wanted, rules
        check_spoofs(lab)
    # Rules that write addresses make nobody somebody else.
    for field in (f"mod_nw_src:{lab.guests[1].ip}", f"mod_nw_src:{policylab.HOST_IP}", "mod_nw_src:192.0.2.7"):
        lab.set(("rule_mod", dict(bridge="br0", command=3)))
        lab.set(flowbits.rule(f"ip actions={field},output:2"))
        before = lab.hits()["default/isolated"]["packets"]
        assert not lab.send("p3", lab.frame(3, 2, tcp(5, 80))), field
        assert lab.hits()["default/isolated"]["packets"] == before + 1
    lab.set(("rule_mod", dict(bridge="br0", command=3)))
    lab.set(flowbits.rule(f"ip,nw_src={lab.guests[3].ip} actions=ct(commit,zone=7,nat(src={lab.guests[1].ip})),output:2"))
    assert not lab.send("p3", lab.frame(3, 2, tcp(6, 80)))
    # A packet-out is no way round either.
    for in_port in (1, CONTROLLER):
        lab.drain()
        before = lab.hits()["default/isolated"]["packets"]
        lab.dp.call("packet_out", dict(bridge="br0", in_port=in_port, actions=output(2),
                                       packet=lab.frame(1, 2, tcp(9, 99))))
        wait_until(lambda: lab.hits()["default/isolated"]["packets"] == before + 1)
        lab.dp.call("packet_out", dict(bridge="br0", in_port=in_port, actions=output(2),
                                       packet=lab.frame(1, 2, tcp(9 + in_port % 7, 80))))
        wait_until(lambda: lab.dp.frames_sent("p2"))


def test_denied_packets_reach_no_controller(lab):
    r = Rules()
    r.add("out", EGRESS, [1], r.peer_set(2), service(6, 80))
    lab.set(policy_op(endpoints(lab, g1=dict(isolated=2)), r))
    to_controller = struct.pack("=HHIHHBBHII", 4, 24, 0, 0xFFFF, 7, 1, 0, 0, 0xFFFFFFFF, 0)
    lab.set(rule(priority=1, actions=to_controller))
    lab.dp.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["packet_in"]))
    assert not lab.passes(1, 2, tcp(1, 81))
    for _, frame in spoofs(lab)[:5]:
        assert not lab.send("p1", frame)
    lab.receive("p1", lab.frame(1, 2, tcp(2, 80)))
    e = lab.dp.wait_event("packet_in")
    frame = e.get("packet") or e["frame"][0]["packet"]
    assert TCP(bytes(frame)[34:]).dport == 80, "the first that came is the permitted one"


def test_spoofed_addresses_are_not_learnt(lab):
    lab.set(policy_op(endpoints(lab)), ("mac_del", dict(bridge="br0", static=1)))
    g1, g2 = lab.guests[1], lab.guests[2]
    lab.send("p1", Ether(dst=g2.mac, src="02:00:00:00:00:55") / IP(src=g1.ip, dst=g2.ip) / udp(1, 2))
    lab.send("p1", lab.frame(1, 2, udp(1, 2)))
    wait_until(lambda: lab.dp.dump("macs"))
    assert [m["mac"] for m in lab.dp.dump("macs")] == [g1.mac]


def test_a_guest_without_endpoint_cannot_pose_as_one(lab):
    lab.set(policy_op(endpoints(lab)[1:]))
    g1, g2 = lab.guests[1], lab.guests[2]
    eth = Ether(dst=lab.guests[3].mac, src=g1.mac)
    assert lab.passes(1, 3, udp(1, 2))
    for reason, frame in [
            ("policy_guard_mac", Ether(dst=eth.dst, src=g2.mac) / IP(src=g1.ip, dst="10.0.0.3") / udp(1, 2)),
            ("policy_guard_address", eth / IP(src=g2.ip, dst="10.0.0.3") / udp(1, 2)),
            ("policy_guard_address", eth / IP(src=policylab.HOST_IP, dst="10.0.0.3") / udp(1, 2)),
            ("policy_guard_arp", Ether(dst=ALL, src=g1.mac) / ARP(op=2, hwsrc=g1.mac, psrc=g2.ip))]:
        assert lab.drop_of("p1", frame) == reason


def test_flags_and_network_grants(lab):
    net = [dict(id=1, name="lan", network_flags=policylab.DHCP)]
    lab.set(policy_op(endpoints(lab, g1=dict(endpoint_flags=3 | MAY_TAG | PROTECTED, isolated=3),
                                g2=dict(endpoint_flags=3 | PROTECTED),
                                g3=dict(endpoint_flags=3 | 4 | 8)), networks=net))
    g1, g3 = lab.guests[1], lab.guests[3]
    assert lab.drop_of("p2", lab.frame(2, 1, udp(1, 2))) == "policy_guard_protected"
    tagged = Ether(dst=g3.mac, src=g1.mac) / Dot1Q(vlan=5) / IP(src=g1.ip, dst=g3.ip) / udp(1, 2)
    assert lab.drop_of("p1", tagged) == "policy_isolated", "the tag was not what was wrong"
    discover = Ether(dst=ALL, src=g1.mac) / IP(src="0.0.0.0", dst="255.255.255.255") / \
        UDP(sport=68, dport=67) / BOOTP(op=1)
    assert {"p3", "host", "up"} <= set(lab.send("p1", discover))
    offer = Ether(dst=g1.mac, src=g3.mac) / IP(src=g3.ip, dst=g1.ip) / UDP(sport=67, dport=68) / BOOTP(op=2)
    assert set(lab.send("p3", offer)) == {"p1"}
    offer = Ether(dst=g1.mac, src=policylab.HOST_MAC) / IP(src=policylab.HOST_IP, dst=g1.ip) / \
        UDP(sport=67, dport=68) / BOOTP(op=2)
    assert set(lab.send("host", offer)) == {"p1"}
    # Router advertisements are for networks with SLAAC only.
    advert = Ether(dst=g1.mac, src=g3.mac) / IPv6(src=g3.link_local, dst=g1.ip6, hlim=255) / ICMPv6ND_RA()
    assert lab.drop_of("p3", advert) == "policy_guard_ra"
    net[0]["network_flags"] = policylab.SLAAC
    lab.set(policy_op(endpoints(lab, g3=dict(endpoint_flags=3 | 8)), networks=net, digest=2))
    assert set(lab.send("p3", advert)) == {"p1"}


# ---- limits ----
def burst(lab, port, frames):
    for f in frames:
        lab.receive(port, f)
    lab.settle()


@pytest.mark.parametrize("limit, reason, make", [
    (dict(limit_out_pps=10), "policy_limit_out", lambda lab: lab.frame(1, 2, udp(1, 2))),
    (dict(limit_out_kbps=800), "policy_limit_out", lambda lab: lab.frame(1, 2, udp(1, 2, bytes(1400)))),
    (dict(limit_broadcast_pps=10), "policy_limit_broadcast",
     lambda lab: bytes(Ether(dst=ALL, src=lab.guests[1].mac) /
                       ARP(hwsrc=lab.guests[1].mac, psrc=lab.guests[1].ip, pdst="10.0.0.9"))),
    (dict(limit_multicast_pps=10), "policy_limit_multicast",
     lambda lab: bytes(Ether(dst="01:00:5e:00:00:05", src=lab.guests[1].mac) /
                       IP(src=lab.guests[1].ip, dst="224.0.0.5") / udp(1, 2))),
    (dict(limit_unknown_pps=10), "policy_limit_unknown",
     lambda lab: bytes(Ether(dst="02:00:00:00:00:77", src=lab.guests[1].mac) /
                       IP(src=lab.guests[1].ip, dst="10.0.0.77") / udp(1, 2))),
])
def test_rates_of_an_endpoint(lab, limit, reason, make):
    """(What is too much in bits waits first, 256 KiB of it; the rest is dropped.)"""
    n = 300 if "limit_out_kbps" in limit else 100
    lab.set(policy_op(endpoints(lab, g1=dict(limit_burst_ms=100, **limit))))
    lab.dp.call("clock", dict(stop=True))
    for _ in range(n):
        lab.receive("p1", make(lab))
    wait_until(lambda: lab.drops().get(reason, 0) >= 20)

    def all_gone():
        lab.dp.call("clock", dict(warp_ms=1000))  # what waits is given its time
        return lab.at_rest()
    wait_until(all_gone)
    dropped = lab.drops()[reason]
    assert 20 <= dropped <= n - 1, lab.drops()
    assert len(lab.dp.frames_sent("p2")) == n - dropped or "unknown" in reason


def test_rates_to_an_endpoint_and_of_a_rule(lab):
    r = Rules()
    r.add("slow", INGRESS, [2], r.peer_set(1), service(17, 53), limit_out_pps=10,
          limit_burst_ms=100)
    lab.set(policy_op(endpoints(lab, g2=dict(isolated=1), g3=dict(limit_in_pps=10)), r))
    burst(lab, "p1", [lab.frame(1, 2, udp(1, 53))] * 60)
    assert lab.drops()["policy_limit_rule"] >= 40
    burst(lab, "p1", [lab.frame(1, 3, udp(1, 53))] * 60)
    assert lab.drops()["policy_limit_in"] >= 40


def test_connections_of_an_endpoint_and_of_a_rule(lab):
    r = Rules()
    r.add("few", INGRESS, [2], r.peer_set(1), service(17, 53), limit_conns=5)
    r.add("slowly", INGRESS, [2], r.peer_set(1), service(17, 54), limit_conns_per_s=10)
    lab.set(policy_op(endpoints(lab, g2=dict(isolated=1), g3=dict(limit_conns=8)), r))
    for i in range(20):
        lab.receive("p1", lab.frame(1, 2, udp(1000 + i, 53)))
    lab.settle()
    assert len(lab.dp.frames_sent("p2")) == 5 and lab.drops()["policy_limit_rule"] == 15
    assert all(lab.passes(1, 2, udp(1000 + i, 53)) for i in range(5)), "those that are there go on"
    lab.receive("p3", lab.frame(3, 1, udp(1, 1)))
    for i in range(20):
        lab.receive("p1", lab.frame(1, 3, udp(2000 + i, 53)))
    lab.settle()
    assert len(lab.dp.frames_sent("p3")) == 7 and lab.drops()["policy_limit_conns"] == 13
    for i in range(30):
        lab.receive("p1", lab.frame(1, 2, udp(3000 + i, 54)))
    lab.settle()
    assert 1 <= len(lab.dp.frames_sent("p2")) <= 5
    # A change of the policy that forbids them makes room.
    lab.set(policy_op(endpoints(lab, g2=dict(isolated=1)), digest=2))
    wait_until(lambda: {e.get("name"): e for e in lab.dp.dump("policy")}["g2"]["conns"] == 0)
    lab.set(policy_op(endpoints(lab, g2=dict(isolated=1)), r, digest=3))
    assert lab.passes(1, 2, udp(4000, 53))


def test_new_connections_a_second(lab):
    """With a burst, in either direction, and established ones go on."""
    lab.set(policy_op(endpoints(lab, g1=dict(limit_conns_per_s=10, limit_burst_ms=500))))
    for i in range(40):
        lab.receive("p1", lab.frame(1, 2, udp(1000 + i, 53)))
        lab.receive("p3", lab.frame(3, 1, udp(1000 + i, 53)))
    lab.settle()
    passed = len(lab.dp.frames_sent("p2")) + len(lab.dp.frames_sent("p1"))
    assert 5 <= passed <= 40 and lab.drops()["policy_limit_conns_per_s"] == 80 - passed
    assert lab.hits()["limit/conns-per-s"]["packets"] == 80 - passed
    assert lab.passes(1, 2, udp(1000, 53)), "the first is there, and goes on"


def test_packets_of_a_port_wait_for_their_rate(lab):
    """ingress_policing_kpkts_rate: a burst passes, then as many as the rate says; a few wait, the rest is dropped."""
    lab.set(policy_op(endpoints(lab)))
    lab.dp.transaction([("port_set", dict(name="p1", existing=1, limit_out_pps=20, limit_burst_ms=500))])
    lab.dp.call("clock", dict(stop=True))
    for _ in range(200):
        lab.receive("p1", lab.frame(1, 2, udp(1, 2, bytes(100))))
    passed = []
    wait_until(lambda: passed.extend(lab.dp.frames_sent("p2")) or
               (len(passed) >= 9 and lab.drops().get("policy_limit_out", 0) >= 125))
    assert len(passed) <= 11, len(passed)
    assert lab.drops()["policy_limit_out"] + len(passed) <= 200 - 50, "some wait"
    before, passed = len(passed), []
    lab.dp.call("clock", dict(warp_ms=1000))
    wait_until(lambda: passed.extend(lab.dp.frames_sent("p2")) or len(passed) >= 9)
    assert len(passed) <= 12, "what was not used is lost beyond a burst"


@pytest.mark.parametrize("limit, port, size, rate", [
    (dict(limit_out_pps=20), "p1", 100, 20), (dict(limit_out_kbps=2000), "p1", 958, 250),
    (dict(limit_in_pps=20), "p2", 100, 20), (dict(limit_in_kbps=2000), "p2", 958, 250)])
def test_the_burst_of_a_rate(lab, limit, port, size, rate):
    """Half a second of the rate passes at once, in bits as in packets, out as in; the rest as the rate says. (A
    segment of 64 KB passes however small burst and rate are.)"""
    guest = {"p1": "g1", "p2": "g2"}[port]
    lab.set(policy_op(endpoints(lab, **{guest: dict(limit_burst_ms=500, **limit)})))
    lab.dp.call("clock", dict(stop=True))
    for _ in range(rate + 20):
        lab.receive("p1", lab.frame(1, 2, udp(1, 2, bytes(size))))
    passed = []

    def all_seen():
        passed.extend(lab.dp.frames_sent("p2"))
        waiting = "limit_out_kbps" in limit  # a queue before the port, whose depth is 15/16 of the burst
        return len(passed) >= rate / 2 * (15 / 16 if waiting else 1) - 2 and (waiting or lab.at_rest())
    wait_until(all_seen)
    time.sleep(0.05)
    all_seen()
    assert len(passed) <= rate / 2 + 2
    lab.dp.call("clock", dict(warp_ms=200))
    for _ in range(0 if "limit_out_kbps" in limit else rate):
        lab.receive("p1", lab.frame(1, 2, udp(1, 2, bytes(size))))
    before, passed = len(passed), []
    wait_until(lambda: passed.extend(lab.dp.frames_sent("p2")) or len(passed) >= rate / 5 - 2)
    time.sleep(0.05)
    passed.extend(lab.dp.frames_sent("p2"))
    assert len(passed) <= rate / 5 + 2, (before, len(passed))


def test_addresses_learnt_at_a_port(lab):
    lab.set(policy_op(endpoints(lab, g1=dict(limit_macs=3, endpoint_flags=0, macs=b""))),
            ("mac_del", dict(bridge="br0", static=1)))
    for i in range(10):
        lab.send("p1", Ether(dst=lab.guests[2].mac, src=f"02:00:00:00:01:{i:02x}") /
                 IP(src=lab.guests[1].ip, dst=lab.guests[2].ip) / udp(1, 2))
    wait_until(lambda: len(lab.dp.dump("macs")) >= 3)
    assert len([m for m in lab.dp.dump("macs") if m["port"] == "p1"]) == 3
