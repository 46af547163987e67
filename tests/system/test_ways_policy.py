# SPDX-License-Identifier: BSD-3-Clause
"""Ways to lose a packet to the network policy and to full connection tables: `sluice drops` counts it under the
reason, and `sluice why` of the same packet names reason and rule."""
import json
import os
import re
import subprocess

import pytest
from scapy.all import ARP, Dot1Q, Ether, ICMPv6ND_RA, IP, IPv6, Raw, UDP
from datapath_process import DatapathProcess, wait_until
from flowbits import rule
from policylab import (DENY, EGRESS, INGRESS, Lab, Rules, endpoints, policy_op, service, tcp, udp)
from test_capture_cli import pcap

BUILD = os.environ.get("SLUICE_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
SLUICE = os.path.join(BUILD, "bin", "sluice")
BROADCAST = "ff:ff:ff:ff:ff:ff"


@pytest.fixture
def lab():
    with DatapathProcess("--no-huge") as p:
        lab = Lab(p.connect(writer=True))
        lab.process = p
        yield lab


def sluice(lab, *argv):
    r = subprocess.run([SLUICE, "--rundir", lab.process.rundir, *argv], capture_output=True, text=True, timeout=30)
    assert r.returncode == 0, r
    return r.stdout


def lost(lab, tmp_path, port, frames, reason, by=None):
    """The last of the frames, or of a flood one before it, is lost at the port for the reason, and the commands say so."""
    for f in frames:
        lab.receive(port, f)
    lab.settle()
    rows = json.loads(sluice(lab, "drops", "--json", "--interval", "0.01"))
    rows = rows["drops"] if isinstance(rows, dict) else rows
    assert (port, reason) in {(r.get("port"), r.get("reason")) for r in rows}, rows
    path = pcap(tmp_path / "lost.pcap", *map(bytes, frames))
    answers = [json.loads(x) for x in sluice(lab, "why", path, "--port", port, "--json").splitlines()]
    why = ([a for a in answers if a["from"] == "memory" and a["reason"] == reason] or answers)[0]
    assert (why["from"], why.get("reason"), why.get("denied_by")) == ("memory", reason, by), why
    assert (why["was"]["port"], why["was"]["match"]) == (port, "same")
    text = sluice(lab, "why", str(tmp_path / "lost.pcap"), "--port", port)
    assert re.search(rf"dropped at \S+ on {port}: {reason}: ", text), text
    assert "were dropped for this so far" in text, text
    last = sluice(lab, "drops", "--last", "--port", port, "--reason", reason).splitlines()[-1]
    assert f" x {port} " in last and f"dropped: {reason} (" in last
    if by:
        assert f'by the policy\'s "{by}"' in text and f") by {by}" in last


def ethernet(lab, a, dst, payload, src=None):
    return bytes(Ether(src=src or lab.who(a)[1], dst=dst) / payload)


RULES = {
    "policy_denied to": (lambda r: r.add("no-telnet", INGRESS, [1], r.peer_set(2), service(6, 23), tier=0,
                                         verdict=DENY), 2, 1, tcp(1000, 23), "policy_denied", "no-telnet"),
    "policy_denied from": (lambda r: r.add("no-mail", EGRESS, [2], r.peer_set(1), service(6, 25), tier=0,
                                           verdict=DENY), 2, 1, tcp(1000, 25), "policy_denied", "no-mail"),
    "policy_host_deny": (lambda r: None, 1, "host", tcp(1000, 22), "policy_host_deny", "default/host-deny"),
    "policy_invalid": (lambda r: None, 1, 2, tcp(80, 1000, "SA"), "policy_invalid", "default/invalid"),
}


@pytest.mark.parametrize("name", RULES)
def test_rules(lab, tmp_path, name):
    add, a, b, l4, reason, by = RULES[name]
    r = Rules()
    add(r)
    lab.set(policy_op(endpoints(lab), r))
    lost(lab, tmp_path, lab.who(a)[0], [lab.frame(a, b, l4)], reason, by)


def test_isolated(lab, tmp_path):
    lab.set(policy_op(endpoints(lab, g1=dict(isolated=1)), Rules()))
    lost(lab, tmp_path, "p2", [lab.frame(2, 1, tcp(1, 80))], "policy_isolated", "default/isolated")


IP_OF_1 = IP(src="10.0.0.1", dst="10.0.0.2")
GUARDS = {
    "policy_guard_mac": (lambda g: ethernet(g, 1, g.who(2)[1], IP_OF_1 / UDP(), src="02:00:00:00:99:99"), "guard/mac"),
    "policy_guard_vlan": (lambda g: ethernet(g, 1, g.who(2)[1], Dot1Q(vlan=5) / IP_OF_1 / UDP()), "guard/vlan"),
    "policy_guard_arp": (lambda g: ethernet(g, 1, BROADCAST, ARP(op=2, hwsrc=g.who(1)[1], psrc="10.0.0.3",
                                                                 pdst="10.0.0.2")), "guard/arp"),
    "policy_guard_address": (lambda g: ethernet(g, 1, g.who(2)[1], IP(src="10.0.0.77", dst="10.0.0.2") / UDP()),
                             "guard/address"),
    "policy_guard_dhcp_server": (lambda g: ethernet(g, 1, g.who(2)[1], IP_OF_1 / UDP(sport=67, dport=68)
                                                    / Raw(bytes(240))), "guard/dhcp-server"),
    "policy_guard_ra": (lambda g: ethernet(g, 1, "33:33:00:00:00:01", IPv6(src=g.guests[1].link_local, dst="ff02::1",
                                                                           hlim=255) / ICMPv6ND_RA()),
                        "guard/router-advertisement"),
    "policy_guard_ethertype": (lambda g: bytes(Ether(src=g.who(1)[1], dst=g.who(2)[1], type=0x88b5) / Raw(bytes(46))),
                               "guard/ethertype"),
}


@pytest.mark.parametrize("reason", GUARDS)
def test_guards(lab, tmp_path, reason):
    make, by = GUARDS[reason]
    lab.set(policy_op(endpoints(lab), Rules()))
    lost(lab, tmp_path, "p1", [make(lab)], reason, by)


LIMITS = {
    "policy_limit_out": (dict(limit_out_pps=1), lambda g, i: g.frame(1, 2, udp(1, 53)), 30, "limit/out"),
    "policy_limit_broadcast": (dict(limit_broadcast_pps=1), lambda g, i: ethernet(
        g, 1, BROADCAST, ARP(hwsrc=g.who(1)[1], psrc="10.0.0.1", pdst="10.0.0.2")), 30, "limit/broadcast"),
    "policy_limit_multicast": (dict(limit_multicast_pps=1), lambda g, i: ethernet(
        g, 1, "01:00:5e:00:00:05", IP(src="10.0.0.1", dst="224.0.0.5") / UDP()), 30, "limit/multicast"),
    "policy_limit_conns": (dict(limit_conns=2), lambda g, i: g.frame(1, 2, udp(1000 + i, 53)), 5, "limit/conns"),
    "policy_limit_conns_per_s": (dict(limit_conns_per_s=1), lambda g, i: g.frame(1, 2, udp(1000 + i, 53)), 30,
                                 "limit/conns-per-s"),
}


@pytest.mark.parametrize("reason", LIMITS)
def test_limits(lab, tmp_path, reason):
    limit, make, n, by = LIMITS[reason]
    lab.set(policy_op(endpoints(lab, g1=limit), Rules()))
    lost(lab, tmp_path, "p1", [make(lab, i) for i in range(n)], reason, by)


def test_limit_of_a_rule(lab, tmp_path):
    r = Rules()
    r.add("few", INGRESS, [2], r.peer_set(1), service(17, 53), limit_conns=2)
    lab.set(policy_op(endpoints(lab, g2=dict(isolated=1)), r))
    lost(lab, tmp_path, "p1", [lab.frame(1, 2, udp(1000 + i, 53)) for i in range(5)], "policy_limit_rule",
         "limit/rule")


# ---- connection tables ----

def answered(p, src, dst, sport):
    """A connection from port number src to dst that has been answered."""
    there = dict(src=f"10.0.0.{src}", dst=f"10.0.0.{dst}")
    frame = Ether(src=f"02:00:00:00:00:{src:02x}", dst=f"02:00:00:00:00:{dst:02x}") / IP(**there)
    back = Ether(src=frame.dst, dst=frame.src) / IP(src=there["dst"], dst=there["src"])
    for port, f in ((src, frame / UDP(sport=sport, dport=53) / b"q"), (dst, back / UDP(sport=53, dport=sport) / b"a")):
        receive(p, f"p{port}", f)


def receive(p, port, frame):
    """Returns when the packet has been dealt with."""
    def of_port():
        return next(s for s in p.dump("port_stats") if s["port"] == port)

    def is_over():
        s = of_port()
        gone = sum(s.get(k, 0) for k in ("sent", "tx_packets", "dropped", "absorbed"))
        return s["rx_packets"] == before + 1 and s["rx_packets"] + s.get("handed", 0) + s.get("created", 0) == gone
    before = of_port()["rx_packets"]
    p.call("dummy_receive", dict(port=port, packet=bytes(frame)))
    wait_until(is_over)


@pytest.mark.parametrize("reason, begun, last", [
    ("ct_port_quota", [(1, 2, 1000), (1, 2, 1001), (1, 2, 1002)], 1),
    ("ct_full", [(1, 2, 1000), (1, 2, 1001), (2, 1, 1002), (2, 1, 1003)], 3)])
def test_full_tables(tmp_path, reason, begun, last):
    with DatapathProcess("--no-huge") as process:
        p = process.connect(writer=True)
        p.transaction([("bridge_set", dict(name="br0", open=1))] + [
            ("port_set", dict(name=f"p{i}", type="dummy", bridge="br0", ofport=i)) for i in (1, 2, 3)])
        p.transaction([("ct_set", dict(ct_max=4)), rule("priority=5,ip actions=ct(commit,zone=9),normal")])
        for src, dst, sport in begun:
            answered(p, src, dst, sport)
        assert len(p.dump("conns")) == len(begun)
        frame = Ether(src=f"02:00:00:00:00:{last:02x}", dst="02:00:00:00:00:02") / IP(
            src=f"10.0.0.{last}", dst="10.0.0.2") / UDP(sport=2000, dport=53) / b"q"
        t = p.call("trace", dict(bridge="br0", in_port=last, packet=bytes(frame)))
        assert t["part"][-1]["reason"] == reason, t["trace"]
        receive(p, f"p{last}", frame)
        p.process = process
        rows = json.loads(sluice(p, "drops", "--json", "--interval", "0.01"))["drops"]
        assert {(d["port"], d["reason"]) for d in rows} == {(f"p{last}", reason)}
        why = json.loads(sluice(p, "why", pcap(tmp_path / "lost.pcap", bytes(frame)), "--json"))
        assert (why["from"], why["reason"], why["was"]["port"]) == ("memory", reason, f"p{last}"), why
