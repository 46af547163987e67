# SPDX-License-Identifier: BSD-3-Clause
"""Fragments through ct(): the same ones through Sluice and through Open vSwitch's userspace datapath on
dummy ports, compared byte by byte in the order in which they leave; ct_state and ct_mark are in the
Ethernet source as in test_conntrack.py. Where the two differ on purpose: a datagram that contradicts
itself or is not whole in time is dropped here under a reason (as the Linux kernel does) and passes
as invalid there."""
import os
import random
import time

import pytest
from scapy.all import (ICMP, IP, TCP, UDP, Ether, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6,
                       IPv6ExtHdrFragment, Raw, fragment, fragment6)

import dpapi  # noqa: F401
from datapath_process import wait_until
from test_conntrack import (N, STAMP, V6C, V6N, V6S, C, S, describe, frame, pair, rules,  # noqa: F401
                            texts, udp)

idents = iter(range(1000, 65000))


def pieces(packet, size=1400):
    """Frames of the fragments of an IP packet."""
    if packet.version == 4:
        packet.id = next(idents)
        return [frame(p) for p in fragment(packet, size)]
    at = packet.payload
    ident = next(idents)
    whole = IPv6(src=packet.src, dst=packet.dst) / IPv6ExtHdrFragment(id=ident) / at
    return [frame(p) for p in fragment6(whole, size)]


def data(n, seed=1):
    return random.Random(seed).randbytes(n)


def to_server(n=4000, sport=1000, l4=None, src=C, dst=S):
    return [(1, f) for f in pieces(IP(src=src, dst=dst) / (l4 or UDP(sport=sport, dport=53)) / data(n))]


def to_client(n=4000, sport=1000, dst=C, l4=None):
    return [(2, f) for f in pieces(IP(src=S, dst=dst) / (l4 or UDP(sport=53, dport=sport)) / data(n))]


def six(n=4000, back=False, l4=None, dst=V6C):
    a, b = (V6S, dst) if back else (V6C, V6S)
    l4 = l4 or UDP(sport=53 if back else 1000, dport=1000 if back else 53)
    return [(2 if back else 1, f) for f in pieces(IPv6(src=a, dst=b) / l4 / data(n))]


def take(sw):
    if hasattr(sw, "dp"):
        return [x for x in sw.dp.frames_sent("p3") if x[0] == 2]
    new = []
    while x := sw.new():
        new.append(x)
    return new


def all_of(sw, packets, patience=.1, expected=None):
    """What comes out, packet by packet of what goes in: a list of lists. Datagrams come out with their
    last fragment, in one piece. expected: how many frames each brings out, to wait for."""
    out = []
    for i, (port, f) in enumerate(packets):
        got = []
        if hasattr(sw, "dp"):
            sw.dp.call("dummy_receive", dict(port=f"p{port}", packet=f))
        else:
            sw.ovs.appctl("netdev-dummy/receive", f"p{port}", f.hex())
        end = time.monotonic() + (2 if expected and expected[i] else patience)
        while time.monotonic() < end:
            new = take(sw)
            got += new
            if len(got) >= expected[i] > 0 if expected else got and not new:
                break
            time.sleep(.01)
        out.append(got)
    return out


def compare(pair, packets, nat="", flows=None):  # noqa: F811
    ours, theirs = pair
    for sw in pair:
        sw.load(flows or rules(nat))
    b = all_of(theirs, packets)
    a = all_of(ours, packets, .05, [len(x) for x in b])
    for i, (x, y) in enumerate(zip(a, b)):
        assert x == y, "packet %d %s:\n  sluice: %s\n  ovs:    %s" % (
            i, Ether(packets[i][1]).summary(), [describe(f) for f in x], [describe(f) for f in y])
    assert any(a)
    return a


CASES = {
    "udp": ("", to_server() + to_client() + to_server() + [udp()]),
    "the last one first": ("", to_server()[::-1] + to_client()[::-1]),
    "shuffled": ("", random.Random(4).sample(to_server(9000), 7) + to_client(9000)[::-1]),
    "two datagrams at once": ("", [x for two in zip(to_server(), to_server(sport=1001)) for x in two]),
    "thirty": ("", to_server(40000)),
    "tcp": ("", [(1, frame(IP(src=C, dst=S) / TCP(sport=9, dport=80, flags="S", seq=100))),
                 (2, frame(IP(src=S, dst=C) / TCP(sport=80, dport=9, flags="SA", seq=7, ack=101), False))]
            + to_server(3000, l4=TCP(sport=9, dport=80, flags="PA", seq=101, ack=8))
            + to_client(3000, l4=TCP(sport=80, dport=9, flags="A", seq=8, ack=3101))),
    "echo": ("", to_server(4000, l4=ICMP(id=5)) + to_client(4000, l4=ICMP(type=0, id=5))),
    "a reply that nobody asked for": ("", to_client(4000, l4=ICMP(type=0, id=6))),
    "another protocol": ("", [(1, f) for f in pieces(IP(src=C, dst=S, proto=47) / Raw(data(4000)))]),
    "ipv6": ("", six() + six(back=True) + six()[::-1]),
    "ipv6 echo": ("", six(l4=ICMPv6EchoRequest(id=4)) + six(back=True, l4=ICMPv6EchoReply(id=4))),
    "too small": ("", [(1, f) for f in pieces(IP(src=C, dst=S) / UDP(sport=5, dport=6) / data(900), 400)[:1]]),
    "translated": (f",nat(src={N})", to_server() + to_client(dst=N) + to_server() + [udp()]),
    "translated, reversed": (f",nat(src={N})", to_server()[::-1] + to_client(dst=N)[::-1]),
    "translated port": (f",nat(src={N}:5000-5000)", to_server() + to_client(sport=5000, dst=N)),
    "translated tcp": (f",nat(src={N})", [
        (1, frame(IP(src=C, dst=S) / TCP(sport=9, dport=80, flags="S", seq=100)))]
        + to_server(3000, l4=TCP(sport=9, dport=80, flags="PA", seq=101, ack=8))),
    "nat66": (f",nat(src={V6N})", six() + six(back=True, dst=V6N)),
}


@pytest.mark.parametrize("name", CASES)
def test_as_open_vswitch(pair, name):  # noqa: F811
    nat, packets = CASES[name]
    got = compare(pair, packets, nat)
    if name == "udp":
        states = [describe(f).split()[0] for some in got for f in some]
        assert states == ["new+trk"] * 3 + ["est+rpl+trk"] * 3 + ["est+trk"] * 4, states
        assert [len(x) for x in got] == [0, 0, 3] * 3 + [1]


def test_as_large_as_can_be(pair):  # noqa: F811
    """Open vSwitch gives only the 32 of a batch their state."""
    ours, _ = pair
    ours.load(rules(f",nat(src={N})"))
    packets = to_server(65507)[::-1]
    got = [f for some in all_of(ours, packets, .02) for f in some]
    assert len(got) == len(packets) and {describe(f).split()[0] for f in got} == {"new+trk"}
    parts = b"".join(bytes(Ether(f)[IP].payload) for f in got)
    assert parts[8:] == data(65507)


def drops(sw):
    return {d["reason"]: d["count"] for d in sw.dp.dump("drops") if d["port"] in ("p1", "p2")}


def fragments(sw):
    return next(o for o in sw.dp.dump("ct_info") if "fragment_max" in o)


def new_drops(sw, packets):
    """What of these comes out, and the reasons under which the rest was dropped."""
    before = drops(sw)
    got = [f for some in all_of(sw, packets, .05) for f in some]
    time.sleep(.1)
    return got, {k: n - before.get(k, 0) for k, n in drops(sw).items() if n > before.get(k, 0)}


def ledger(sw):
    for s in sw.dp.dump("port_stats"):
        rx = sum(d["count"] for d in s.get("drop", []))
        assert s["rx_packets"] + s["created"] == s["sent"] + rx + s["absorbed"] + s["held"], s


def v4(ident, begin, payload, more, sport=1000):
    head = bytes(UDP(sport=sport, dport=53, len=8 + 4000, chksum=0)) if not begin else b""
    return 1, frame(IP(src=C, dst=S, id=ident, proto=17, frag=begin // 8, flags="MF" if more else 0)
                    / Raw(head + payload[:len(payload) - len(head)]))


def test_tricks_with_overlaps(pair):  # noqa: F811
    ours, _ = pair
    ours.load(rules(""))
    block = data(1400)
    # The second overwrites the end of the first: both go, and nothing of the datagram comes out.
    got, why = new_drops(ours, [v4(1, 0, block, True), v4(1, 1392, block, True)])
    assert (got, why) == ([], {"ct_fragment_overlap": 2})
    # A second end.
    got, why = new_drops(ours, [v4(2, 2800, block, False), v4(2, 4200, block, False)])
    assert (got, why) == ([], {"ct_fragment_overlap": 2})
    # Something behind the end.
    got, why = new_drops(ours, [v4(3, 2800, block, False), v4(3, 5600, block, True)])
    assert (got, why) == ([], {"ct_fragment_overlap": 2})
    # A copy is harmless, and only the copy goes.
    packets = to_server()
    got, why = new_drops(ours, packets[:2] + packets[1:])
    assert (len(got), why) == (3, {"ct_fragment_overlap": 1})
    # RFC 1858: a header in pieces is too small, to the rules it is invalid.
    tiny = [(1, frame(IP(src=C, dst=S, id=9, proto=6, flags="MF") / Raw(bytes(TCP(sport=1, dport=2))[:8]))),
            (1, frame(IP(src=C, dst=S, id=9, proto=6, frag=1) / Raw(bytes(TCP(sport=1, dport=2))[8:])))]
    got, why = new_drops(ours, tiny[:1])
    assert [describe(f).split()[0] for f in got] == ["inv+trk"] and not why
    # More than 65,535 bytes together.
    got, why = new_drops(ours, [v4(10, 65528, block, False)])
    assert [describe(f).split()[0] for f in got] == ["inv+trk"] and not why
    ledger(ours)


def test_a_flood_of_fragments_pushes_out_its_own(pair):  # noqa: F811
    ours, _ = pair
    ours.load(rules(""))
    ours.dp.transaction([("ct_set", dict(fragment_max=100))])
    try:
        innocent = to_client()
        assert all_of(ours, innocent[:2], .02) == [[], []]
        before = drops(ours)
        for i in range(300):
            ours.dp.call("dummy_receive", dict(port="p1", packet=v4(i, 0, data(1400), True)[1]))
        wait_until(lambda: drops(ours).get("ct_fragment_quota", 0) - before.get("ct_fragment_quota", 0) == 250)
        assert fragments(ours)["fragment_held"] <= 52 + 50
        ledger(ours)
        got = all_of(ours, innocent[2:], .2)[-1]
        assert len(got) == 3, "the other port's datagram did not survive"
    finally:
        ours.dp.transaction([("ct_set", dict(fragment_max=1000))])


def test_what_never_becomes_whole_goes(pair):  # noqa: F811
    ours, _ = pair
    ours.load(rules(""))
    ours.dp.call("clock", dict(warp_ms=16000))  # what earlier tests have left goes
    wait_until(lambda: fragments(ours)["fragment_held"] == 0)
    before = drops(ours).get("ct_fragment_timeout", 0)
    assert all_of(ours, to_server()[:2], .02) == [[], []]
    assert fragments(ours)["fragment_held"] == 2
    ours.dp.call("clock", dict(warp_ms=8000))  # the rest of the 15 s is this machine's to be slow
    time.sleep(.1)
    ledger(ours)
    assert fragments(ours)["fragment_held"] == 2
    ours.dp.call("clock", dict(warp_ms=8000))
    wait_until(lambda: fragments(ours)["fragment_held"] == 0)
    assert drops(ours)["ct_fragment_timeout"] - before == 2
    ledger(ours)


def test_commands(pair):  # noqa: F811
    ours, theirs = pair
    for sw in pair:
        sw.load(rules(""))  # without connections
    if ours.dp:
        ours.dp.close()
        ours.dp = None
        ours.sw.start_sluiced()

    def settings(lines):
        return [x for x in lines if "frags" not in x and "num frag:" not in x or "max num" in x]
    for command in ("ipf-get-status", "ipf-set-enabled v5", "ipf-set-disabled v6", "ipf-set-min-frag v4 100",
                    "ipf-set-min-frag v4 1000", "ipf-set-min-frag v4 x", "ipf-set-min-frag v9 500",
                    "ipf-set-min-frag v6 400", "ipf-set-max-nfrags 500", "ipf-set-max-nfrags 5001",
                    "ipf-set-max-nfrags x", "ipf-get-status", "ipf-get-status foo", "ipf-set-enabled v6",
                    "ipf-set-disabled v4", "ipf-get-status", "ipf-set-enabled v4",
                    "ipf-set-max-nfrags 1000", "ipf-set-min-frag v4 1200", "ipf-set-min-frag v6 1280",
                    "ipf-get-status", "ct-bkts", "ct-bkts gt=3"):
        words = command.split()
        a, b = texts(pair, "dpctl/" + words[0], *words[1:])
        a = [x for x in a if not x.startswith("ovs-appctl:")]  # the client's own words
        assert settings(a) == settings(b), command


def test_counters_and_lists(pair):  # noqa: F811
    ours, theirs = pair
    numbers = {}
    for sw in pair:
        sw.load(rules(""))

    def read(sw):
        if sw is theirs:
            return theirs.ovs.appctl("dpctl/ipf-get-status", "-m").splitlines()
        return ours.sw.run("ovs-appctl", "dpctl/ipf-get-status", "-m").stdout.splitlines()
    packets = (to_server() + six() + pieces_of("10.0.0.7", 77)[:1] + pieces_of("10.0.0.8", 78)[2:]
               + CASES["too small"][1])
    for sw in (theirs, ours):
        def values():
            return {x.rsplit(":", 1)[0].strip(): int(x.rsplit(":", 1)[1]) for x in read(sw) if "frags " in x}
        if sw is ours:
            ours.dp.close()
            ours.dp = None
            ours.sw.start_sluiced()
        before = values()
        if sw is ours:
            ours.sw.kill_sluiced()
            ours.dp = dpapi.Datapath(os.path.join(ours.sw.dir, "datapath.sock"), writer=True)
        all_of(sw, packets, .1)
        if sw is ours:
            ours.dp.close()
            ours.dp = None
            ours.sw.start_sluiced()
        numbers[sw] = ({k: n - before[k] for k, n in values().items()
                        if k.split(" ", 2)[2] not in ("expired", "purged", "size")},
                       sorted(x for x in read(sw) if x.startswith("(") and "10.0.0.7," in x or "10.0.0.8," in x))
    assert numbers[ours] == numbers[theirs]
    assert len(numbers[ours][1]) == 2


def pieces_of(src, ident):
    p = IP(src=src, dst=S, id=ident) / UDP(sport=4, dport=5) / data(4000)
    return [(1, frame(x)) for x in fragment(p, 1400)]


def test_switched_off(pair):  # noqa: F811
    ours, theirs = pair
    for sw in pair:
        sw.load(rules(""))
    ours.dp.transaction([("ct_set", dict(fragment_family=dict(ip_version=4, fragment_enabled=0)))])
    theirs.ovs.appctl("dpctl/ipf-set-disabled", "v4")
    try:
        packets = to_server(sport=77)
        a, b = all_of(ours, packets, .1), all_of(theirs, packets, .1)
        assert [[describe(f).split()[0] for f in x] for x in a] == [["inv+trk"]] * 3
        assert a == b
    finally:
        ours.dp.transaction([("ct_set", dict(fragment_family=dict(ip_version=4, fragment_enabled=1)))])
        theirs.ovs.appctl("dpctl/ipf-set-enabled", "v4")


def test_a_translation_is_the_same_in_the_middle_of_a_program(pair):  # noqa: F811
    """ct() without a table: what follows it in the same rule is done to each fragment."""
    flows = [f"table=0,ip,in_port=1,actions=ct(commit,zone=3,nat(src={N})),{STAMP},output:3"]
    compare(pair, to_server(sport=88) + to_server(sport=88)[::-1], flows=flows)
