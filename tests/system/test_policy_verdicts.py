# SPDX-License-Identifier: BSD-3-Clause
"""What the edges of policed ports let through: rules, the host, answers, errors, fragments, floods."""
import time

import pytest
from scapy.all import ICMP, IP, UDP, Ether, ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest
from scapy.all import IPv6, Raw, fragment

import dpapi
from datapath_process import wait_until
from policylab import (ADMIN, BASELINE, DENY, EGRESS, INGRESS, PASS, TCP_ANY, Rules, endpoints,
                       icmp_type, lab, policy_op, service, tcp, udp)  # noqa: F401


def test_closed_without_a_policy(lab):
    """Guests and host do not talk; guests among each other and with the outside do."""
    assert lab.passes(1, 2, tcp(1, 80)) and lab.passes(2, 1, tcp(80, 1, "SA"))
    assert lab.passes(1, "up", udp(1, 53)) and lab.passes("up", 1, udp(53, 1))
    assert not lab.passes(1, "host", tcp(1, 22))
    assert not lab.passes("host", 1, tcp(1, 22))
    assert lab.passes("host", "up", tcp(1, 22)) and lab.passes("up", "host", tcp(22, 1, "SA"))
    assert lab.drops()["policy_host_deny"] == 2
    assert lab.hits()["default/host-deny"]["packets"] == 2


def test_isolation_and_allows(lab):
    r = Rules()
    r.add("web/ingress[0]", INGRESS, [1], r.peer_set(2), service(6, 80))
    r.add("web/ingress[1]", INGRESS, [1], r.peer_set(cidrs=["192.0.2.0/24", "!192.0.2.128/25"]),
          service(6, 8000, 8100))
    lab.set(policy_op(endpoints(lab, g1=dict(isolated=1)), r))
    for v6 in (False, True):
        assert lab.passes(2, 1, tcp(1000, 80), v6)
        assert lab.passes(1, 2, tcp(80, 1000, "SA"), v6), "the answer"
        assert not lab.passes(2, 1, tcp(1001, 81), v6)
        assert not lab.passes(3, 1, tcp(1000, 80), v6)
        assert not lab.passes(2, 1, udp(1000, 80), v6)
        assert lab.passes(1, 3, tcp(5000, 80), v6), "not isolated in this direction"
    assert lab.passes("up", 1, tcp(1, 8050))
    assert not lab.passes("up", 1, tcp(1, 8101))
    assert not lab.passes("up", 1, tcp(2, 8050), src="192.0.2.200")
    hits = lab.hits()
    assert hits["web/ingress[0]"]["conns"] == 2
    assert hits["web/ingress[0]"]["packets"] == 4
    assert hits["web/ingress[1]"]["packets"] == 1
    assert hits["default/isolated"]["packets"] == 8 and lab.drops()["policy_isolated"] == 8


def test_host_needs_an_allow_at_the_guest_only(lab):
    r = Rules()
    r.add("dns", EGRESS, [1], r.peer_set(host=True), service(17, 53))
    r.add("ssh", INGRESS, [2], r.peer_set(host=True), service(6, 22))
    # A CIDR that happens to contain the host does not open it; its full address does.
    r.add("world", EGRESS, [1], r.peer_set(cidrs=["0.0.0.0/0", "::/0"]))
    r.add("full", EGRESS, [3], r.peer_set(cidrs=["10.0.0.100/32"]), service(6, 443))
    lab.set(policy_op(endpoints(lab), r))
    assert lab.passes(1, "host", udp(5, 53)) and lab.passes("host", 1, udp(53, 5))
    assert not lab.passes(1, "host", udp(5, 54))
    assert not lab.passes(1, "host", tcp(5, 53))
    assert not lab.passes(2, "host", udp(5, 53))
    assert lab.passes("host", 2, tcp(9, 22)) and lab.passes(2, "host", tcp(22, 9, "SA"))
    assert not lab.passes("host", 1, tcp(9, 22))
    assert lab.passes(3, "host", tcp(7, 443))
    # An address of the host that nobody declared is the host's all the same.
    assert not lab.passes(1, "host", tcp(5, 80), dst="10.0.0.250")
    assert lab.passes(1, "host", udp(6, 53), dst="10.0.0.250")
    assert lab.passes("host", 1, udp(53, 6), src="10.0.0.250")


def test_order_of_tiers(lab):
    r = Rules()
    any_ = r.peer_set(any_=True)
    r.add("admin/late", INGRESS, [1], any_, tier=ADMIN, priority=20, verdict=DENY)
    r.add("admin/early", INGRESS, [1], any_, service(6, 80), tier=ADMIN, priority=10)
    r.add("admin/pass", INGRESS, [1], any_, service(6, 81, 89), tier=ADMIN, priority=15,
          verdict=PASS)
    r.add("allow", INGRESS, [1], any_, service(6, 81))
    r.add("base", INGRESS, [1], any_, service(6, 82), tier=BASELINE, verdict=DENY)
    lab.set(policy_op(endpoints(lab), r))
    assert lab.passes(2, 1, tcp(1, 80))
    assert lab.passes(2, 1, tcp(1, 81))
    assert not lab.passes(2, 1, tcp(1, 82))
    assert lab.passes(2, 1, tcp(1, 83))
    assert not lab.passes(2, 1, tcp(1, 90))
    hits = lab.hits()
    assert [hits[n]["conns"] for n in ("admin/early", "allow", "base", "admin/late")] == [1] * 4
    assert lab.drops()["policy_denied"] == 2


def test_a_policy_that_selects_the_host(lab):
    r = Rules()
    r.add("guests", EGRESS, [1, 2], r.peer_set(host=True), TCP_ANY)
    r.add("host/ingress", INGRESS, [1000], r.peer_set(1), service(6, 22))
    op = policy_op(endpoints(lab), r)
    op[1]["policy_endpoint"][-1]["isolated"] = 1
    lab.set(op)
    assert lab.passes(1, "host", tcp(1, 22))
    assert not lab.passes(1, "host", tcp(1, 23)), "the host's own rules"
    assert not lab.passes(2, "host", tcp(1, 22))
    assert lab.passes("host", "up", tcp(1, 22)), "not isolated in this direction"


def test_icmp(lab):
    r = Rules()
    r.add("ping", INGRESS, [1], r.peer_set(2), icmp_type(8) + icmp_type(128, 58))
    r.add("web", INGRESS, [1], r.peer_set(2), service(17, 80))
    lab.set(policy_op(endpoints(lab, g1=dict(isolated=1)), r))
    assert lab.passes(2, 1, ICMP(type=8, id=7)) and lab.passes(1, 2, ICMP(type=0, id=7))
    assert not lab.passes(2, 1, ICMP(type=13))
    assert lab.passes(2, 1, ICMPv6EchoRequest(id=7), True)
    assert lab.passes(1, 2, ICMPv6EchoReply(id=7), True)
    # An error belongs to the connection that it speaks of, and to no other.
    g1, g2 = lab.guests[1], lab.guests[2]
    assert lab.passes(2, 1, udp(9, 80))
    inner = IP(src=g2.ip, dst=g1.ip) / UDP(sport=9, dport=80)
    assert lab.passes(1, 2, ICMP(type=3, code=3) / inner)
    assert lab.passes("up", 2, ICMP(type=3, code=3) / inner)
    other = IP(src=g2.ip, dst=g1.ip) / UDP(sport=10, dport=80)
    assert not lab.passes(1, 2, ICMP(type=3, code=3) / other)
    assert lab.passes(2, 1, udp(9, 80), True)
    inner6 = IPv6(src=g2.ip6, dst=g1.ip6) / UDP(sport=9, dport=80)
    assert lab.passes(1, 2, ICMPv6DestUnreach(code=4) / inner6, True)


def test_fragments(lab):
    r = Rules()
    r.add("web", INGRESS, [1], r.peer_set(2), service(17, 80))
    lab.set(policy_op(endpoints(lab, g1=dict(isolated=1)), r))
    g1, g2 = lab.guests[1], lab.guests[2]

    def parts(dport, ident):
        whole = IP(src=g2.ip, dst=g1.ip, id=ident) / UDP(sport=1, dport=dport) / Raw(bytes(3000))
        return [bytes(Ether(dst=g1.mac, src=g2.mac) / f) for f in fragment(whole, 1400)]
    assert [set(lab.send("p2", f)) for f in parts(80, 1)] == [{"p1"}] * 3
    first, *rest = parts(81, 2)
    assert lab.drop_of("p2", first) == "policy_isolated"
    # Alone they say nothing about ports.
    assert [lab.drop_of("p2", f) for f in rest] == ["policy_guard_fragment"] * 2
    # Without a first one, and one that would overwrite the ports.
    assert lab.drop_of("p2", parts(80, 3)[1]) == "policy_guard_fragment"
    tiny = Ether(dst=g1.mac, src=g2.mac) / IP(src=g2.ip, dst=g1.ip, proto=6, frag=1) / Raw(bytes(40))
    assert lab.drop_of("p2", tiny) == "policy_guard_fragment"


def test_a_flood_takes_a_verdict_per_copy(lab):
    r = Rules()
    r.add("one", INGRESS, [2], r.peer_set(1), service(17, 5353))
    lab.set(policy_op(endpoints(lab, g2=dict(isolated=1), g3=dict(isolated=1)), r))
    g1 = lab.guests[1]
    frame = bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src=g1.mac) /
                  IP(src=g1.ip, dst="10.0.0.255") / udp(1, 5353))
    before = lab.drops()
    assert set(lab.send("p1", frame)) == {"p2", "up"}
    after = lab.drops()
    assert after["policy_isolated"] - before.get("policy_isolated", 0) == 1, "g3"
    assert after["policy_host_deny"] - before.get("policy_host_deny", 0) == 1


def test_ethernet_types(lab):
    net = [dict(id=1, name="lan", network_flags=0, ethertypes=b"\xb5\x88")]
    lab.set(policy_op(endpoints(lab), networks=net))
    g1, g2 = lab.guests[1], lab.guests[2]
    assert set(lab.send("p1", Ether(dst=g2.mac, src=g1.mac, type=0x88B5) / Raw(bytes(46)))) == {"p2"}
    assert lab.drop_of("p1", Ether(dst=g2.mac, src=g1.mac, type=0x88B6) / Raw(bytes(46))) == \
        "policy_guard_ethertype"


def test_a_change_cuts_established_connections(lab):
    def policy(allowed, **more):
        r = Rules()
        if allowed:
            r.add("web", INGRESS, [1], r.peer_set(2), service(6, 80))
        return policy_op(endpoints(lab, g1=dict(isolated=1)), r, **more)
    lab.set(policy(True))
    assert lab.passes(2, 1, tcp(1, 80, seq=1)) and lab.passes(1, 2, tcp(80, 1, "SA", seq=9, ack=2))
    assert lab.passes(2, 1, tcp(1, 80, "A", seq=2, ack=10))
    lab.set(policy(False, keep_established=1))
    assert lab.passes(2, 1, tcp(1, 80, "A", seq=2, ack=10)), "it may finish"
    assert not lab.passes(2, 1, tcp(2, 80))
    lab.set(policy(True))
    assert lab.passes(2, 1, tcp(1, 80, "A", seq=2, ack=10))
    lab.set(policy(False))
    assert not lab.passes(2, 1, tcp(1, 80, "A", seq=2, ack=10))
    # Silent ones are cut too.
    lab.set(policy(True))
    assert lab.passes(2, 1, tcp(3, 80))
    state = {e["name"]: e for e in lab.dp.dump("policy") if "name" in e}
    assert state["g1"]["conns"] >= 1
    lab.set(policy(False))
    wait_until(lambda: {e.get("name"): e for e in lab.dp.dump("policy")}["g1"]["conns"] == 0)


CONVERSATIONS = {  # (there, back) of a connection that 2 opens to 1, under a rule for this service
    "tcp": (service(6, 80), False, [(2, 1, tcp(1, 80, seq=1)), (1, 2, tcp(80, 1, "SA", seq=9, ack=2)),
                                    (2, 1, tcp(1, 80, "A", seq=2, ack=10))], tcp(1, 80, "A", seq=2, ack=10),
            tcp(80, 1, "A", seq=10, ack=2)),
    "udp": (service(17, 80), False, [(2, 1, udp(1, 80)), (1, 2, udp(80, 1))], udp(1, 80), udp(80, 1)),
    "udp6": (service(17, 80), True, [(2, 1, udp(1, 80)), (1, 2, udp(80, 1))], udp(1, 80), udp(80, 1)),
    "icmp": (icmp_type(8), False, [(2, 1, ICMP(type=8, id=7)), (1, 2, ICMP(type=0, id=7))], ICMP(type=8, id=7),
             ICMP(type=0, id=7)),
    "icmp6": (icmp_type(128, 58), True, [(2, 1, ICMPv6EchoRequest(id=7)), (1, 2, ICMPv6EchoReply(id=7))],
              ICMPv6EchoRequest(id=7), ICMPv6EchoReply(id=7)),
}


@pytest.mark.parametrize("end", ["policy", "time", "time, others may finish", "revoked"])
@pytest.mark.parametrize("what", CONVERSATIONS)
def test_what_is_forbidden_is_cut_in_both_directions(lab, what, end):
    """Neither end is heard any more, whichever speaks first, and nobody answers for the dead connection."""
    services, v6, conversation, there, back = CONVERSATIONS[what]
    def policy(digest, *rules, **more):
        r = Rules()
        for name, extra in rules:
            r.add(name, INGRESS, [1], r.peer_set(2), services, **extra)
        return policy_op(endpoints(lab, g1=dict(isolated=3), g2=dict(isolated=1)), r, digest=digest, **more)
    rule = ("grant/x", {})
    lab.dp.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["policy"]))
    lab.set(policy(1, rule, keep_established=int("finish" in end)))
    for first in ((1, 2, back), (2, 1, there)):
        if first[0] == 2:
            if "time" in end:
                break
            lab.set(policy(3, rule))
        for a, b, packet in conversation:
            assert lab.passes(a, b, packet, v6)
        assert lab.passes(1, 2, back, v6) and lab.passes(2, 1, there, v6), "established"
        if "time" in end:
            until = ("grant/x", dict(valid_until_ms=int(time.time() * 1000) + 200))
            lab.set(policy(2, until, keep_established=int("finish" in end)))
            lab.dp.wait_event("policy", lambda e: e["state"] == "expired")
        elif end == "policy":
            lab.set(policy(2))
        else:
            lab.set(policy(2, ("other", dict(priority=1, tier=ADMIN, verdict=DENY))))
        assert not lab.passes(*first, v6)
        assert not lab.passes(2, 1, there, v6) and not lab.passes(1, 2, back, v6)
        wait_until(lambda: {e.get("name"): e for e in lab.dp.dump("policy")}["g1"]["conns"] == 0)


def test_what_can_begin_no_connection(lab):
    lab.set(policy_op(endpoints(lab)))
    g1, g2 = lab.guests[1], lab.guests[2]
    error = ICMP(type=3, code=3) / IP(src=g2.ip, dst=g1.ip) / UDP(sport=10, dport=80)
    for l4 in (ICMP(type=0, id=9), tcp(1, 80, "SF"), error):
        assert lab.drop_of("p1", lab.frame(1, 2, l4)) == "policy_invalid", l4.summary()
    assert lab.drop_of("p1", lab.frame(1, 2, ICMPv6EchoReply(id=9), True)) == "policy_invalid"
    assert lab.hits()["default/invalid"]["packets"] == 4


def test_a_rule_ends_on_time(lab):
    now = int(time.time() * 1000)
    r = Rules()
    r.add("grant/fix", INGRESS, [1], r.peer_set(2), service(17, 22), valid_until_ms=now + 1500)
    r.add("grant/later", INGRESS, [1], r.peer_set(2), service(17, 23), valid_from_ms=now + 1500)
    lab.dp.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["policy"]))
    lab.set(policy_op(endpoints(lab, g1=dict(isolated=1)), r))
    assert lab.passes(2, 1, udp(1, 22)) and lab.passes(2, 1, udp(1, 22))
    assert not lab.passes(2, 1, udp(1, 23))
    e = lab.dp.wait_event("policy", lambda e: e["state"] == "expired")
    assert e["name"] == "grant/fix" and 1500 <= int(time.time() * 1000) - now < 2500
    assert not lab.passes(2, 1, udp(1, 22)), "also what was established"
    assert lab.passes(2, 1, udp(1, 23))


def test_a_rule_that_ends_cuts_what_may_finish(lab):
    """Established connections may finish, but a rule's time is part of it: from its end no packet of a connection that
    it let through passes, whenever the sweep comes by, and although the policy loses the rule at once."""
    many, n_set = 1500, iter(range(1, 9))

    def put(**fix):
        r = Rules()
        if fix.get("there", True):
            r.add("grant/fix", INGRESS, [1], r.peer_set(2), service(17, 1, 60000),
                  **{k: v for k, v in fix.items() if k != "there"})
        r.add("always", INGRESS, [1], r.peer_set(2), service(17, 7))
        lab.set(policy_op(endpoints(lab, g1=dict(isolated=1)), r, digest=next(n_set), keep_established=1))
    put()
    for i in range(many):
        lab.receive("p2", lab.frame(2, 1, udp(1, 1000 + i)))
    lab.receive("p2", lab.frame(2, 1, udp(1, 7)))
    lab.settle()
    lab.dp.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["policy"]))
    put(valid_until_ms=int(time.time() * 1000) + 500)
    lab.dp.wait_event("policy", lambda e: e["state"] == "expired")
    put(there=False)
    for port in (1000, 1000 + many // 2, 999 + many):
        assert not lab.passes(2, 1, udp(1, port)), port
    assert lab.passes(2, 1, udp(1, 7)), "another rule allows it"
    # The sender's own edge allowed it by no rule, and keeps its half.
    wait_until(lambda: next(o for o in lab.dp.dump("ct_info") if "ct_max" in o)["ct_count"] < many + 100, 20)
    put()  # the rule again: as any other
    assert lab.passes(2, 1, udp(1, 1000)) and lab.passes(2, 1, udp(1, 1000))


def test_confirm_or_back(lab):
    def policy(digest, **more):
        return policy_op(endpoints(lab, g1=dict(isolated=digest - 1)), digest=digest, **more)
    lab.set(policy(1))
    lab.dp.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["policy"]))
    lab.dp.call("clock", dict(stop=True))
    lab.set(policy(2, confirm_ms=300))
    assert not lab.passes(2, 1, udp(1, 22))
    with pytest.raises(dpapi.ApiError):
        lab.set(("policy_confirm", dict(policy_hash=bytes([1]) * 32)))
    lab.dp.call("clock", dict(warp_ms=290))
    assert lab.dp.dump("policy")[0]["confirm_ms"] == 10
    lab.dp.call("clock", dict(warp_ms=20))
    lab.dp.wait_event("policy", lambda e: e["state"] == "rolled_back")
    assert lab.passes(2, 1, udp(1, 22))
    assert lab.dp.dump("policy")[0]["policy_hash"] == bytes([1]) * 32
    lab.set(policy(2, confirm_ms=300))
    lab.set(("policy_confirm", dict(policy_hash=bytes([2]) * 32)))
    lab.dp.call("clock", dict(warp_ms=500))
    time.sleep(0.05)
    assert not lab.passes(2, 1, udp(1, 22))
    assert "confirm_ms" not in lab.dp.dump("policy")[0]


def test_logged_rules(lab):
    r = Rules()
    r.add("watched", INGRESS, [1], r.peer_set(2), service(17, 22), policy_log=1)
    lab.set(policy_op(endpoints(lab, g1=dict(isolated=1)), r))
    lab.dp.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["policy_log"]))
    lab.passes(2, 1, udp(77, 22))
    lab.passes(2, 1, udp(77, 22))
    e = lab.dp.wait_event("policy_log")
    assert (e["name"], e["verdict"], e["port"], e["peer_name"]) == ("watched", 0, "p1", "g2")
    assert e["ct_orig"]["ct_sport"] == 77 and e["ct_proto"] == 17
    lab.passes(2, 1, udp(78, 22))
    assert lab.dp.wait_event("policy_log")["ct_orig"]["ct_sport"] == 78, "one per connection"


def test_bad_policies_are_refused_whole(lab):
    r = Rules()
    r.add("x", INGRESS, [1], r.peer_set(2))
    lab.set(policy_op(endpoints(lab), r, digest=7))

    def bad(change):
        x = Rules()
        x.add("x", INGRESS, [1], x.peer_set(2))
        op = policy_op(endpoints(lab), x, digest=8)
        change(op[1])
        with pytest.raises(dpapi.ApiError) as e:
            lab.set(op)
        return str(e.value)
    assert "endpoint 77" in bad(lambda a: a["policy_peers"][0].update(endpoint_ids=b"\x4d\0\0\0"))
    assert "peers 9" in bad(lambda a: a["policy_rule"][0].update(peers_id=9))
    assert "network 5" in bad(lambda a: a["policy_endpoint"][0].update(network_id=5))
    assert "both on port" in bad(lambda a: a["policy_endpoint"][0].update(port="p2"))
    assert "twice" in bad(lambda a: a["policy_endpoint"][0].update(id=2))
    assert "ports 9 to 8" in bad(lambda a: a["policy_rule"][0].update(services=service(6, 9, 8)))
    assert "only allows" in bad(lambda a: a["policy_rule"][0].update(verdict=1))
    assert "malformed" in bad(lambda a: a["policy_endpoint"][0].update(prefixes=b"\x05" * 20))
    assert "whole number" in bad(lambda a: a["policy_endpoint"][0].update(macs=b"12345"))
    assert "32" in bad(lambda a: a.update(policy_hash=b"x"))
    assert lab.dp.dump("policy")[0]["policy_hash"] == bytes([7]) * 32


def test_ports_come_and_go(lab):
    lab.set(policy_op(endpoints(lab, g1=dict(isolated=1))))
    assert not lab.passes(2, 1, udp(1, 22))
    lab.set(policy_op(endpoints(lab), digest=2))
    assert lab.passes(2, 1, udp(1, 22))
    lab.set(("port_del", dict(name="p1")))
    lab.ports.remove("p1")
    assert {e["name"]: e["state"] for e in lab.dp.dump("policy") if "name" in e}["g1"] == "absent"
    lab.set(("port_set", dict(name="p1", type="dummy", bridge="br0", ofport=1)))
    lab.set(("mac_set", dict(bridge="br0", vlan=0, mac=lab.guests[1].mac, port="p1")))
    lab.ports.append("p1")
    assert lab.passes(2, 1, udp(1, 22))
    lab.set(policy_op(endpoints(lab, g1=dict(isolated=1)), digest=3))
    assert not lab.passes(2, 1, udp(1, 22))
    # Policing is a property of the bridge, role one of the port; caches follow.
    lab.set(("bridge_set", dict(name="br0", policed=0)))
    assert lab.passes(2, 1, udp(1, 22)) and lab.passes(2, "host", udp(1, 22))
    lab.set(("bridge_set", dict(name="br0", policed=1)))
    assert not lab.passes(2, "host", udp(1, 22)) and not lab.passes(2, 1, udp(1, 22))
    lab.set(("port_set", dict(name="host", role=2)))
    assert lab.passes(2, "host", udp(1, 22), dst="10.0.0.77"), "just another outside"


def test_a_policy_may_span_messages(lab):
    r = Rules()
    r.add("web", INGRESS, [1], r.peer_set(2), service(17, 80))
    _, whole = policy_op(endpoints(lab, g1=dict(isolated=1)), r)
    first = {k: v for k, v in whole.items() if k != "policy_rule"}
    dp = lab.dp
    dp.send_raw(dpapi.encode_message(
        "transaction", dpapi.encode_op("policy_set", first) + dpapi.encode_attr("more", True),
        dp.seq + 1))
    dp.call("transaction", dpapi.encode_op("policy_set", {"policy_rule": whole["policy_rule"]}))
    assert lab.passes(2, 1, udp(1, 80)) and not lab.passes(2, 1, udp(1, 81))
