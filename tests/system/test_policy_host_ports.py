# SPDX-License-Identifier: BSD-3-Clause
"""Several host ports on one bridge are one host: what leaves by one may be answered by another. And what a host,
or a guest, routes passes its edge twice: in by one connection, out by another."""
import pytest
from scapy.all import ICMP, IP, Ether, fragment

from policylab import (EGRESS, HOST, HOST_IP, HOST_MAC, HOST_ROUTES, INGRESS, Rules, endpoints, lab, policy_op,  # noqa: F401
                       prefixes, service, tcp, udp)

MAC = {"host": HOST_MAC, "host2": "02:00:00:00:00:65"}


@pytest.fixture
def hosts(lab):  # noqa: F811
    """With a second host port, and a host port on another bridge."""
    lab.dp.transaction(
        [("port_set", dict(name="host2", type="dummy", bridge="br0", ofport=101, role=HOST)),
         ("mac_set", dict(bridge="br0", vlan=0, mac=MAC["host2"], port="host2")),
         ("bridge_set", dict(name="br1", open=1, policed=1)),
         ("port_set", dict(name="q1", type="dummy", bridge="br1", ofport=1)),
         ("port_set", dict(name="elsewhere", type="dummy", bridge="br1", ofport=2, role=HOST)),
         ("mac_set", dict(bridge="br1", vlan=0, mac=HOST_MAC, port="elsewhere"))])
    lab.ports += ["host2", "q1", "elsewhere"]
    return lab


def go(lab, a, b, l4, src=None, dst=None):  # noqa: F811
    """Does it arrive? a and b are guests' numbers or host ports; whose addresses it has may be said."""
    def end(x):
        return (x, MAC[x], HOST_IP) if x in MAC else lab.who(x)[:3]
    (port, smac, sip), (to, dmac, dip) = end(a), end(b)
    out = lab.send(port, bytes(Ether(dst=dmac, src=smac) / IP(src=src or sip, dst=dst or dip) / l4))
    assert set(out) <= {to}, out
    return bool(out)


def rules():
    r = Rules()
    r.add("ssh", INGRESS, [1], r.peer_set(host=True), service(6, 22))
    r.add("dns", EGRESS, [1], r.peer_set(host=True), service(17, 53))
    r.add("ping", INGRESS, [1], r.peer_set(host=True), service(1, 8 << 8))
    return r


def conns(lab, port):  # noqa: F811
    return lab.dp.dump("conns", port=port)


def test_an_answer_at_the_other_host_port(hosts):
    lab = hosts  # noqa: F811
    lab.set(policy_op(endpoints(lab), rules()))
    # The host opens by one port, the guest answers to the other, and from then on either will do.
    assert go(lab, "host", 1, tcp(9, 22)) and go(lab, 1, "host2", tcp(22, 9, "SA"))
    for there, back in (("host", "host2"), ("host2", "host"), ("host2", "host2")):
        assert go(lab, there, 1, tcp(9, 22, "A")) and go(lab, 1, back, tcp(22, 9, "A"))
    # The guest opens to one port, the other answers.
    assert go(lab, 1, "host", udp(5, 53)) and go(lab, "host2", 1, udp(53, 5))
    assert go(lab, 1, "host2", udp(5, 53)) and go(lab, "host", 1, udp(53, 5))
    # Errors about it, and fragments of it.
    quoted = IP(src=HOST_IP, dst=lab.guests[1].ip) / tcp(9, 22)
    assert go(lab, 1, "host2", ICMP(type=3, code=3) / quoted)
    for f in fragment(IP(src=lab.guests[1].ip, dst=HOST_IP) / udp(5, 53, b"x" * 40), fragsize=32):
        assert lab.send("p1", bytes(Ether(dst=MAC["host2"], src=lab.guests[1].mac) / f)).keys() == {"host2"}
    # Nothing else is open for it.
    assert not go(lab, 1, "host2", tcp(22, 9, "SA"), dst="10.0.0.99")
    assert not go(lab, 1, "host2", tcp(22, 10, "SA")) and not go(lab, 1, "host2", tcp(9, 22))
    assert not go(lab, 2, "host2", tcp(22, 9, "SA"))
    assert {c["name"] for c in conns(lab, "host")} == {"ssh", "dns"}
    key = lambda c: str({k: v for k, v in c.items() if k != "ct_timeout_s"})  # noqa: E731
    assert sorted(map(key, conns(lab, "host"))) == sorted(map(key, conns(lab, "host2")))
    assert {c["name"] for c in conns(lab, "p1")} == {"ssh", "dns"} and not conns(lab, "p2")
    assert not conns(lab, "elsewhere"), "another bridge is another edge"


def test_host_ports_come_and_go(hosts):
    lab = hosts  # noqa: F811
    lab.set(policy_op(endpoints(lab), rules()))
    assert go(lab, "host", 1, tcp(9, 22)) and go(lab, 1, "host", tcp(22, 9, "SA"))
    # One goes: the host is still there.
    lab.set(("port_del", dict(name="host")))
    lab.ports.remove("host")
    assert go(lab, "host2", 1, tcp(9, 22, "A")) and go(lab, 1, "host2", tcp(22, 9, "A"))
    # A host port that is a guest's now has no part in it.
    lab.set(("port_set", dict(name="host2", role=0)))
    assert not conns(lab, "host2")
    # With the last one the host's connections are nobody's, also for who comes next.
    lab.set(("port_set", dict(name="host2", role=HOST)))
    assert not go(lab, 1, "host2", tcp(22, 9, "A")) and not conns(lab, "host2")
    assert go(lab, "host2", 1, tcp(9, 22)) and go(lab, 1, "host2", tcp(22, 9, "SA"))
    # What the policy forbids is cut at all of them.
    lab.set(policy_op(endpoints(lab), digest=2))
    assert not go(lab, "host2", 1, tcp(9, 22, "A")) and not go(lab, 1, "host2", tcp(22, 9, "A"))


@pytest.mark.parametrize("out", ["host", "host2"])
def test_a_host_that_routes(hosts, out):
    """Each packet enters the host's edge and leaves by it, by whichever port: both ways pass, and answers to both."""
    lab = hosts  # noqa: F811
    a, b = lab.guests[1], lab.guests[2]
    networks = [dict(id=1, name="a", network_flags=HOST_ROUTES), dict(id=2, name="b", network_flags=HOST_ROUTES)]
    g2 = dict(network_id=2, isolated=1)
    r = Rules()
    r.add("web", INGRESS, [2], r.peer_set(1), service(6, 80))
    lab.set(policy_op(endpoints(lab, g2=g2), r, networks=networks))
    for sport in (1000, 1001):
        there, back = dict(src=a.ip, dst=b.ip), dict(src=b.ip, dst=a.ip)
        assert go(lab, 1, "host", tcp(sport, 80), **there) and go(lab, out, 2, tcp(sport, 80), **there)
        assert go(lab, 2, out, tcp(80, sport, "SA"), **back) and go(lab, "host", 1, tcp(80, sport, "SA"), **back)
        for _ in range(3):
            assert go(lab, 1, "host", tcp(sport, 80, "A"), **there) and go(lab, out, 2, tcp(sport, 80, "A"), **there)
            assert go(lab, 2, out, tcp(80, sport, "A"), **back) and go(lab, "host", 1, tcp(80, sport, "A"), **back)
    # What B does not let in ends at its own edge; what began at neither end is nobody's answer.
    assert go(lab, 1, "host", tcp(1, 81), **there) and not go(lab, out, 2, tcp(1, 81), **there)
    assert not go(lab, 2, out, tcp(80, 5, "SA"), **back)
    assert len(conns(lab, "host")) == 6  # four routed halves, and both of what ended behind them


def test_a_guest_that_routes_by_one_port(hosts):
    """A router in a guest sends out by the port that it got it from."""
    lab = hosts  # noqa: F811
    a, b = lab.guests[1], lab.guests[2]
    lab.set(policy_op(endpoints(lab, g3=dict(endpoint_flags=1, prefixes=prefixes(lab.guests[3].ip), isolated=1),
                                g2=dict(isolated=1)), routed()))
    there, back = dict(src=a.ip, dst=b.ip), dict(src=b.ip, dst=a.ip)
    assert go(lab, 1, 3, udp(1, 80), **there) and go(lab, 3, 2, udp(1, 80), **there)
    assert go(lab, 2, 3, udp(80, 1), **back) and go(lab, 3, 1, udp(80, 1), **back)
    assert go(lab, 1, 3, udp(1, 80), **there) and go(lab, 3, 2, udp(1, 80), **there)
    assert not go(lab, 1, 3, udp(1, 81), **there), "its own rules still hold"
    assert len(conns(lab, "p3")) == 2


def routed():
    r = Rules()
    r.add("in", INGRESS, [3, 2], r.peer_set(1), service(17, 80))
    r.add("out", EGRESS, [3], r.peer_set(2), service(17, 80))
    return r


def test_host_ports_talk_to_each_other(hosts):
    lab = hosts  # noqa: F811
    there, back = dict(src=HOST_IP, dst="10.0.0.101"), dict(src="10.0.0.101", dst=HOST_IP)
    lab.set(policy_op(endpoints(lab)))
    for flags in (("S", "SA"), ("A", "A"), ("A", "A")):
        assert go(lab, "host", "host2", tcp(7, 80, flags[0]), **there)
        assert go(lab, "host2", "host", tcp(80, 7, flags[1]), **back)
    assert not go(lab, "host2", "host", tcp(80, 8, "SA"), **back)
