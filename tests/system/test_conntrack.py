# SPDX-License-Identifier: BSD-3-Clause
"""ct() end to end: the same rules and frames through Sluice and through Open vSwitch's userspace
datapath on dummy ports. Every packet leaves by p3 with its ct_state (bits 0-7) and ct_mark (16-47)
written into its Ethernet source, so that bytes compare states, marks, translations and checksums.

Where the two are meant to differ: a full zone and an exhausted translation drop the packet here
(as the Linux kernel does) and pass it untracked there; nat without a range commits a connection
without a translation here (as the kernel does) and none there; and what DIFFERENCES says. Fragments are
in test_conntrack_fragments.py."""
import logging
import os
import socket
import struct
import subprocess
import time

import pytest

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.all import (ICMP, IP, SCTP, TCP, UDP, Ether, ICMPv6DestUnreach, ICMPv6EchoReply,  # noqa: E402
                       ICMPv6EchoRequest, ICMPv6ND_NS, IPv6, Raw, SCTPChunkAbort, SCTPChunkCookieAck,
                       SCTPChunkCookieEcho, SCTPChunkData, SCTPChunkInit, SCTPChunkInitAck,
                       SCTPChunkShutdown, SCTPChunkShutdownAck, SCTPChunkShutdownComplete)

import dpapi  # noqa: E402
from control_process import SLUICE, Switch  # noqa: E402
from datapath_process import wait_until  # noqa: E402
from test_resolve_differential import Ovs, SBIN  # noqa: E402

C, S, N = "10.0.0.1", "10.0.0.2", "10.0.0.99"  # client, server, translated
STAMP = "move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7]," \
        "move:NXM_NX_CT_MARK[]->NXM_OF_ETH_SRC[16..47]"


def rules(nat, zone=1):
    """Client on p1, server on p2, all that comes out on p3."""
    out = [f"table=1,priority=1,actions={STAMP},output:3"]
    for l3 in ("ip", "ipv6"):
        here = nat if nat in ("", ",nat") or (":" in nat.split("=")[1][:3]) == (l3 == "ipv6") else ""
        out += [f"table=0,priority=10,{l3},actions=ct(table=1,zone={zone},nat)",
                f"table=1,priority=10,{l3},ct_state=+new-inv,in_port=1,actions={STAMP},"
                f"ct(commit,zone={zone}{here},exec(load:0x2a->NXM_NX_CT_MARK[])),output:3"]
    return out


class Ours:
    """Sluice: rules through ovs-ofctl, then the frames through the datapath's own socket, for which
    sluiced must let go of the writer's lease. Dying is how it does that best."""

    def __init__(self):
        self.sw = Switch("--enable-dummy")
        self.sw.__enter__()
        self.sw.dummies("p1", "p2", "p3")
        for i in (1, 2, 3):
            self.sw.vsctl("set", "Interface", f"p{i}", f"ofport_request={i}")
        self.dp = None

    def load(self, flows):
        if self.dp:
            self.dp.close()
            self.dp = None
            self.sw.start_sluiced()
        self.sw.run("ovs-ofctl", "del-flows", "br0")
        for f in flows:
            self.sw.run("ovs-ofctl", "add-flow", "br0", f)
        self.sw.kill_sluiced()
        self.dp = dpapi.Datapath(os.path.join(self.sw.dir, "datapath.sock"), writer=True)
        self.dp.transaction([("ct_flush", {})])
        self.dp.frames_sent("p3")

    def send(self, port, frame):
        self.dp.call("dummy_receive", dict(port=f"p{port}", packet=frame))
        got = []

        def enough():
            # The host's end of br0 talks too.
            got.extend(f for f in self.dp.frames_sent("p3") if f[0] == 2)
            return got
        try:
            wait_until(enough, timeout=1)
        except AssertionError:
            return None
        return got[0]

    def close(self):
        if self.dp:
            self.dp.close()
            self.dp = None
            self.sw.start_sluiced()
        self.sw.__exit__(None)


class Theirs:
    def __init__(self, tmp):
        self.ovs = Ovs(tmp)
        self.pcap = os.path.join(str(tmp), "p3.pcap")
        args = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath-type=dummy",
                "fail-mode=secure"]
        for i in (1, 2, 3):
            args += ["--", "add-port", "br0", f"p{i}", "--", "set", "interface", f"p{i}",
                     "type=dummy", f"ofport_request={i}"]
        self.ovs.vsctl(*args, "--", "set", "interface", "p3", f"options:tx_pcap={self.pcap}")
        self.at = 24

    def load(self, flows):
        self.ovs.cmd(SBIN["ovs-ofctl"], "del-flows", "br0")
        for f in flows:
            self.ovs.cmd(SBIN["ovs-ofctl"], "add-flow", "br0", f)
        self.ovs.appctl("revalidator/purge")  # or its cache may answer with the rules before
        self.ovs.appctl("dpctl/flush-conntrack")

    def new(self):
        with open(self.pcap, "rb") as f:
            f.seek(self.at)
            data = f.read()
        if len(data) < 16:
            return None
        n = struct.unpack_from("<I", data, 8)[0]
        if len(data) < 16 + n:
            return None
        self.at += 16 + n
        return data[16:16 + n]

    def send(self, port, frame):
        # As long as the text allows it to be: what helpers insert needs room.
        self.ovs.appctl("netdev-dummy/receive", f"p{port}", frame.hex(" "))
        end = time.monotonic() + 1
        while time.monotonic() < end:
            got = self.new()
            if got:
                return got
            time.sleep(.002)
        return None

    def close(self):
        self.ovs.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    ours, theirs = Ours(), Theirs(tmp_path_factory.mktemp("ovs"))
    yield ours, theirs
    theirs.close()
    ours.close()


def frame(ip, to_server=True):
    a, b = ("02:00:00:00:00:01", "02:00:00:00:00:02")
    data = bytes(Ether(src=a if to_server else b, dst=b if to_server else a) / ip)
    return data + bytes(max(0, 60 - len(data)))


def tcp(flags, seq, ack, payload=b"", back=False, sport=1000, dport=80, window=8192, options=(),
        client=C, server=S):
    if back:
        return 2, frame(IP(src=server, dst=client) / TCP(
            sport=dport, dport=sport, flags=flags, seq=seq, ack=ack, window=window,
            options=list(options)) / Raw(payload), False)
    return 1, frame(IP(src=client, dst=server) / TCP(
        sport=sport, dport=dport, flags=flags, seq=seq, ack=ack, window=window,
        options=list(options)) / Raw(payload))


def opened(client_back=C, **kw):
    return [tcp("S", 100, 0, **kw), tcp("SA", 500, 101, back=True, client=client_back, **kw),
            tcp("A", 101, 501, **kw)]


def udp(back=False, client=C, sport=1000, dport=53, payload=b"x" * 20, server=S):
    if back:
        return 2, frame(IP(src=server, dst=client) / UDP(sport=dport, dport=sport) / payload, False)
    return 1, frame(IP(src=client, dst=server) / UDP(sport=sport, dport=dport) / payload)


def bad_checksum(port, data):
    at = 14 + 20 + (16 if data[23] == 6 else 6)
    return port, data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:]


def error(inner, source="10.9.9.9", to=None, kind=3, code=1, port=2):
    """An ICMP error about an inner frame, back to its sender."""
    packet = inner[1][14:]
    return port, frame(IP(src=source, dst=to or IP(packet).src) / ICMP(type=kind, code=code)
                       / Raw(packet[:28]), False)


def sctp(chunk, back=False, tag=0, client=C, server=S, sport=1000, dport=36412):
    if back:
        return 2, frame(IP(src=server, dst=client) / SCTP(sport=dport, dport=sport, tag=tag) / chunk, False)
    return 1, frame(IP(src=client, dst=server) / SCTP(sport=sport, dport=dport, tag=tag) / chunk)


def association(client_back=C):
    back = dict(back=True, client=client_back)
    return [sctp(SCTPChunkInit(init_tag=7)), sctp(SCTPChunkInitAck(init_tag=9), tag=7, **back),
            sctp(SCTPChunkCookieEcho(cookie=b"1234"), tag=9), sctp(SCTPChunkCookieAck(), tag=7, **back),
            sctp(SCTPChunkData(data=b"data"), tag=9), sctp(SCTPChunkData(data=b"more"), tag=7, **back)]


V6C, V6S, V6N = "f0::1", "f0::2", "f0::99"
WS = [("WScale", 7)]
SCENARIOS = {
    "open, talk, close": opened() + [
        tcp("PA", 101, 501, b"hello"), tcp("A", 501, 106, back=True),
        tcp("PA", 501, 106, b"world" * 10, back=True), tcp("A", 106, 551),
        tcp("FA", 106, 551), tcp("A", 551, 107, back=True), tcp("FA", 551, 107, back=True),
        tcp("A", 107, 552), tcp("A", 107, 552), tcp("S", 70000, 0),
        tcp("SA", 800, 70001, back=True)],
    "retransmits": [tcp("S", 100, 0), tcp("S", 100, 0), tcp("SA", 500, 101, back=True),
                    tcp("SA", 500, 101, back=True), tcp("A", 101, 501), tcp("PA", 101, 501, b"x"),
                    tcp("PA", 101, 501, b"x")],
    "reset": opened() + [tcp("R", 101, 0), tcp("PA", 101, 501, b"x"), tcp("A", 501, 102, back=True),
                         tcp("S", 5000, 0)],
    "refused": [tcp("S", 100, 0), tcp("RA", 0, 101, back=True), tcp("S", 200, 0)],
    "outside the window": opened() + [
        tcp("A", 101 + 500000, 501, b"x"), tcp("A", 101, 501 + 500000, b"x"),
        tcp("R", 101 + 9999, 0), tcp("RA", 102, 501), tcp("A", 50, 501, b"old"),
        tcp("A", 101 + 8000, 501, b"ahead"), tcp("A", 101, 501, b"x" * 1400)],
    "window scaling": [
        tcp("S", 100, 0, options=WS), tcp("SA", 500, 101, back=True, options=WS),
        tcp("A", 101, 501, window=500), tcp("A", 501 + 40000, 101, b"x", back=True),
        tcp("A", 501 + 70000, 101, b"x", back=True), tcp("A", 501 + 900000, 101, b"x", back=True)],
    "one end scales": [
        tcp("S", 100, 0, options=WS), tcp("SA", 500, 101, back=True), tcp("A", 101, 501),
        tcp("A", 501 + 20000, 101, b"x", back=True), tcp("A", 501 + 90000, 101, b"x", back=True)],
    "odd flags": [tcp("SF", 1, 0), tcp("SR", 1, 0), tcp("", 1, 0), tcp("F", 1, 0), tcp("FPU", 1, 0),
                  tcp("SA", 1, 1), tcp("R", 1, 0), tcp("S", 100, 0), tcp("SF", 100, 0),
                  tcp("", 101, 0)],
    "picked up": [tcp("A", 1000, 5000, b"x" * 100), tcp("A", 5000, 1100, b"y" * 900, back=True),
                  tcp("A", 1100, 5900), tcp("PA", 1100, 5900, b"z")],
    "simultaneous open": [tcp("S", 100, 0), tcp("S", 900, 0, back=True), tcp("SA", 100, 901),
                          tcp("SA", 900, 101, back=True), tcp("A", 101, 901)],
    "half closed": opened() + [tcp("FA", 101, 501), tcp("A", 501, 102, back=True),
                               tcp("PA", 501, 102, b"more" * 100, back=True), tcp("A", 102, 901),
                               tcp("FA", 901, 102, back=True), tcp("A", 102, 902)],
    "checksums": [bad_checksum(*tcp("S", 100, 0)), tcp("S", 100, 0),
                  bad_checksum(*udp()), udp()],
    "udp": [udp(), udp(), udp(), udp(back=True), udp(back=True), udp()],
    "udp answered at once": [udp(), udp(back=True), udp(), udp(back=True)],
    "echo": [(1, frame(IP(src=C, dst=S) / ICMP(id=7, seq=1) / b"abc")),
             (1, frame(IP(src=C, dst=S) / ICMP(id=7, seq=2) / b"abc")),
             (2, frame(IP(src=S, dst=C) / ICMP(type=0, id=7, seq=1) / b"abc", False)),
             (1, frame(IP(src=C, dst=S) / ICMP(id=7, seq=3) / b"abc")),
             (2, frame(IP(src=S, dst=C) / ICMP(type=0, id=8, seq=1) / b"abc", False)),
             (1, frame(IP(src=C, dst=S) / ICMP(type=13, id=7, seq=1) / bytes(12)))],
    "errors": [udp(), error(udp()), error(udp(), kind=11, code=0), error(udp(sport=999)),
               error(udp(), to="10.0.0.7"), udp(back=True), error(udp(), source=S, code=3),
               error(udp(back=True), port=1)] + opened() + [error(tcp("A", 101, 501))],
    "sctp": association() + [
        sctp(SCTPChunkShutdown(), tag=9), sctp(SCTPChunkShutdownAck(), back=True, tag=7),
        sctp(SCTPChunkShutdownComplete(), tag=9), sctp(SCTPChunkInit(init_tag=70))],
    "sctp aborted": association()[:4] + [
        sctp(SCTPChunkAbort(), back=True, tag=7), sctp(SCTPChunkData(data=b"x"), tag=9),
        sctp(SCTPChunkInit(init_tag=70))],
    "sctp from the middle": [sctp(SCTPChunkAbort(), tag=9), sctp(SCTPChunkShutdownComplete(), tag=9)],
    "late packets of both ends": opened() + [
        tcp("PA", 101, 501, b"one"), tcp("A", 501, 104, back=True), tcp("PA", 101, 501, b"one"),
        tcp("PA", 501, 104, b"two", back=True), tcp("PA", 501, 104, b"two", back=True),
        tcp("RA", 504, 104, back=True), tcp("PA", 104, 504, b"late"), tcp("S", 9000, 0)],
    "other protocols": [(1, frame(IP(src=C, dst=S, proto=47) / Raw(bytes(20)))),
                        (1, frame(IP(src=C, dst=S, proto=47) / Raw(bytes(20)))),
                        (2, frame(IP(src=S, dst=C, proto=47) / Raw(bytes(20)), False))],
    "ipv6": [(1, frame(IPv6(src=V6C, dst=V6S) / UDP(sport=1, dport=2) / b"abc")),
             (1, frame(IPv6(src=V6C, dst=V6S) / TCP(sport=1, dport=2, flags="S", seq=5))),
             (2, frame(IPv6(src=V6S, dst=V6C) / TCP(sport=2, dport=1, flags="SA", seq=9, ack=6),
                       False)),
             (1, frame(IPv6(src=V6C, dst=V6S) / ICMPv6EchoRequest(id=3))),
             (2, frame(IPv6(src=V6S, dst=V6C) / ICMPv6EchoReply(id=3), False)),
             (1, frame(IPv6(src=V6C, dst=V6S) / ICMPv6ND_NS(tgt=V6S))),
             (2, frame(IPv6(src="f0::9", dst=V6C) / ICMPv6DestUnreach() / Raw(
                 bytes(IPv6(src=V6C, dst=V6S) / UDP(sport=1, dport=2) / b"abc")), False))],
}
SNAT, DNAT = f",nat(src={N})", ",nat(dst=10.0.0.77:8080)"
NATTED = {
    "snat tcp": (SNAT, opened(client_back=N) + [
        tcp("PA", 101, 501, b"hello"), tcp("A", 501, 106, back=True, client=N),
        tcp("A", 101 + 500000, 501), tcp("FA", 106, 501)]),
    "snat udp": (SNAT, [udp(), udp(back=True, client=N), udp(),
                        error((1, frame(IP(src=N, dst=S) / UDP(sport=1000, dport=53) / (b"x" * 20)))),
                        udp(back=True)]),
    "snat echo": (SNAT, [(1, frame(IP(src=C, dst=S) / ICMP(id=7) / b"abc")),
                         (2, frame(IP(src=S, dst=N) / ICMP(type=0, id=7) / b"abc", False)),
                         (1, frame(IP(src=C, dst=S) / ICMP(id=7) / b"abc"))]),
    "snat sctp": (SNAT, association(client_back=N) + [sctp(SCTPChunkAbort(), tag=9)]),
    "snat reset": (SNAT, opened(client_back=N) + [
        tcp("R", 501, 0, back=True, client=N), tcp("PA", 101, 501, b"x")]),
    # The client's side complains of what came back to it, a router behind the server of what went out.
    "snat errors both ways": (SNAT, [
        udp(), udp(back=True, client=N), error(udp(back=True), port=1, source=C, to=S, code=3),
        error((1, frame(IP(src=N, dst=S) / UDP(sport=1000, dport=53) / (b"x" * 20))), to=N, kind=11, code=0)]),
    "dnat errors both ways": (DNAT, [
        udp(dport=80), udp(back=True, server="10.0.0.77", dport=8080, client=C),
        error((1, frame(IP(src=C, dst="10.0.0.77") / UDP(sport=1000, dport=8080) / (b"x" * 20))), to=C, code=3,
              source="10.0.0.77"),
        error((2, frame(IP(src=S, dst=C) / UDP(sport=80, dport=1000) / (b"x" * 20))), port=1, source=C, to=S,
              code=3)]),
    "snat tcp errors": (SNAT, opened(client_back=N) + [
        error((1, frame(IP(src=N, dst=S) / TCP(sport=1000, dport=80, flags="A", seq=101, ack=501))), to=N,
              kind=3, code=4)]),
    "dnat": (DNAT, [udp(dport=80), udp(back=True, server="10.0.0.77", dport=8080), udp(dport=80)]),
    "snat of all zeros": (",nat(src=0.0.0.0)", [udp(), udp(back=True), udp()]),
    "snat with one port": (f",nat(src={N}:5000-5000)",
                           [udp(), udp(back=True, client=N, sport=5000), udp()]),
    "nat66": (f",nat(src={V6N})", [
        (1, frame(IPv6(src=V6C, dst=V6S) / UDP(sport=1, dport=2) / b"abc")),
        (2, frame(IPv6(src=V6S, dst=V6N) / UDP(sport=2, dport=1) / b"abc", False)),
        (1, frame(IPv6(src=V6C, dst=V6S) / UDP(sport=1, dport=2) / b"abc")),
        (2, frame(IPv6(src="f0::9", dst=V6N) / ICMPv6DestUnreach() / Raw(
            bytes(IPv6(src=V6N, dst=V6S) / UDP(sport=1, dport=2) / b"abc")), False))]),
    "hairpin": (",nat(dst=10.0.0.1:1000)", [udp(dport=80)]),
}


def describe(data):
    if data is None:
        return "nothing"
    state = data[11]
    names = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"]
    ether = Ether(data)
    return "%s mark=%d %s" % ("+".join(n for i, n in enumerate(names) if state >> i & 1),
                              int.from_bytes(data[6:10], "big"), ether.summary())


# scenario → {packet number: why}. Open vSwitch's userspace tracker has no states for SCTP.
DIFFERENCES = {
    "sctp": {9: "an INIT after the shutdown begins an association, which the rules decide about anew"},
    "sctp aborted": {6: "likewise after an abort"},
    "sctp from the middle": {0: "what ends an association begins none", 1: "likewise"},
}


def compare(pair, nat, packets, flows=None, differences=()):
    ours, theirs = pair
    for sw in pair:
        sw.load(flows or rules(nat))
    for i, (port, data) in enumerate(packets):
        a, b = ours.send(port, data), theirs.send(port, data)
        if i in differences:
            assert a and b and a != b, f"packet {i}: no difference any more"
            continue
        assert a == b, "packet %d %s:\n  sluice: %s\n  ovs:    %s\n%s\n%s" % (
            i, Ether(data).summary(), describe(a), describe(b), a and a.hex(), b and b.hex())
        assert a is not None


@pytest.mark.parametrize("name", SCENARIOS)
def test_states(pair, name):
    compare(pair, "", SCENARIOS[name], differences=DIFFERENCES.get(name, ()))


@pytest.mark.parametrize("name", NATTED)
def test_translations(pair, name):
    compare(pair, *NATTED[name])


def ftp(line, back=False, seq=101, ack=501, client=C, server=S):
    line = line.encode() + b"\r\n"
    seq, ack = (ack, seq) if back else (seq, ack)
    return tcp("PA", seq, ack, line, back=back, dport=21, client=client, server=server)


FTP = opened(dport=21)
ANNOUNCED = {
    "active": ("ftp", FTP + [
        ftp("PORT 10,0,0,1,8,0"), tcp("S", 1, 0, back=True, sport=2048, dport=20),
        tcp("SA", 7, 2, sport=2048, dport=20), tcp("A", 2, 8, back=True, sport=2048, dport=20),
        tcp("PA", 2, 8, b"data", back=True, sport=2048, dport=20)]),
    "active, somebody else's port": ("ftp", FTP + [
        ftp("PORT 10,0,0,1,8,0"), tcp("S", 1, 0, back=True, sport=2049, dport=20)]),
    "passive": ("ftp", FTP + [
        ftp("227 Entering Passive Mode (10,0,0,2,195,80)", back=True),
        tcp("S", 1, 0, sport=4000, dport=50000), tcp("SA", 7, 2, back=True, sport=4000, dport=50000),
        tcp("A", 2, 8, sport=4000, dport=50000)]),
    "extended passive": ("ftp", FTP + [
        ftp("229 Entering Extended Passive Mode (|||50001|)", back=True),
        tcp("S", 1, 0, sport=4000, dport=50001),
        tcp("SA", 7, 2, back=True, sport=4000, dport=50001)]),
    "extended active": ("ftp", FTP + [
        ftp("EPRT |1|10.0.0.1|2050|"), tcp("S", 1, 0, back=True, sport=2050, dport=20),
        tcp("SA", 7, 2, sport=2050, dport=20)]),
    "tftp": ("tftp", [
        udp(dport=69, payload=b"\0\1file\0octet\0"),
        udp(back=True, dport=3333, payload=b"\0\3\0\1data"),
        udp(dport=3333, payload=b"\0\4\0\1")]),
    "nobody announced anything": ("ftp", FTP + [
        ftp("NOOP"), tcp("S", 1, 0, back=True, sport=2048, dport=20)]),
}


@pytest.mark.parametrize("name", ANNOUNCED)
def test_announced_connections(pair, name):
    alg, packets = ANNOUNCED[name]
    proto = "udp" if alg == "tftp" else "tcp"
    flows = [
        "table=0,ip,actions=ct(table=1,zone=1)",
        f"table=1,priority=10,{proto},ct_state=+new-rel-inv,actions={STAMP},"
        f"ct(commit,zone=1,alg={alg},exec(load:0x2a->NXM_NX_CT_MARK[])),output:3",
        f"table=1,priority=10,ip,ct_state=+new+rel,actions={STAMP},ct(commit,zone=1),output:3",
        f"table=1,priority=1,actions={STAMP},output:3"]
    if not name.startswith("extended"):
        compare(pair, "", packets, flows)
        return
    # Open vSwitch understands these over IPv6 only; RFC 2428 has them for both.
    pair[0].load(flows)
    got = [describe(pair[0].send(*p)) for p in packets]
    assert [("rel" in g.split()[0]) for g in got] == [False] * 4 + [True] * (len(got) - 4), got


def frame6(back, src, dst, flags, seq, ack, payload=b"", sport=1000, dport=21):
    """Of the client, or (back) of the server, whose ports are given the client's way round."""
    ports = (dport, sport) if back else (sport, dport)
    return 2 if back else 1, frame(IPv6(src=src, dst=dst) / TCP(
        sport=ports[0], dport=ports[1], flags=flags, seq=seq, ack=ack) / Raw(payload), not back)


VIP = "10.0.0.77"
LINE, LINE6 = len("PORT 10,0,0,1,8,0\r\n"), len("EPRT |2|f0::1|2048|\r\n")
FTP_SNAT = opened(client_back=N, dport=21)
FTP_DNAT = [tcp("S", 100, 0, dport=21, server=S), tcp("SA", 500, 101, back=True, dport=21, server=VIP),
            tcp("A", 101, 501, dport=21, server=S)]
PASSIVE = len("227 Entering Passive Mode (10,0,0,77,195,80)\r\n")
# Control connections whose payload is translated; behind the announcement its length has changed.
ANNOUNCED_NAT = {
    "active": (f"nat(src={N})", FTP_SNAT + [
        ftp("PORT 10,0,0,1,8,0"),
        ftp("200 ok", back=True, seq=101 + LINE + 1, client=N),
        ftp("RETR x", seq=101 + LINE, ack=501 + 8),
        tcp("S", 1, 0, back=True, sport=2048, dport=20, client=N),
        tcp("SA", 7, 2, sport=2048, dport=20),
        tcp("A", 2, 8, back=True, sport=2048, dport=20, client=N),
        tcp("PA", 2, 8, b"data", back=True, sport=2048, dport=20, client=N),
        ftp("150 here", back=True, seq=101 + LINE + 1 + 8, ack=501 + 8, client=N),
        ftp("PORT 10,0,0,1,8,1", seq=101 + LINE + 8, ack=501 + 18),
        ftp("200 ok", back=True, seq=101 + 2 * LINE + 8 + 2, ack=501 + 18, client=N),
        tcp("S", 1, 0, back=True, sport=2049, dport=20, client=N),
        tcp("SA", 7, 2, sport=2049, dport=20)]),
    "passive behind a translated source": (f"nat(src={N})", FTP_SNAT + [
        ftp("227 Entering Passive Mode (10,0,0,2,195,80)", back=True, client=N),
        tcp("S", 1, 0, sport=4000, dport=50000),
        tcp("SA", 7, 2, back=True, sport=4000, dport=50000, client=N),
        tcp("A", 2, 8, sport=4000, dport=50000)]),
    "extended, IPv6": (f"nat(src={V6N})", [
        frame6(False, V6C, V6S, "S", 100, 0), frame6(True, V6S, V6N, "SA", 500, 101),
        frame6(False, V6C, V6S, "A", 101, 501),
        frame6(False, V6C, V6S, "PA", 101, 501, b"EPRT |2|f0::1|2048|\r\n"),
        frame6(True, V6S, V6N, "PA", 501, 101 + LINE6 + 1, b"200 ok\r\n"),
        frame6(False, V6C, V6S, "PA", 101 + LINE6, 509, b"RETR x\r\n"),
        frame6(True, V6S, V6N, "S", 1, 0, sport=2048, dport=20),
        frame6(False, V6C, V6S, "SA", 7, 2, sport=2048, dport=20)]),
    "extended passive, IPv6": (f"nat(src={V6N})", [
        frame6(False, V6C, V6S, "S", 100, 0), frame6(True, V6S, V6N, "SA", 500, 101),
        frame6(False, V6C, V6S, "A", 101, 501),
        frame6(True, V6S, V6N, "PA", 501, 101, b"229 Entering Extended Passive Mode (|||50001|)\r\n"),
        frame6(False, V6C, V6S, "S", 1, 0, sport=4000, dport=50001),
        frame6(True, V6S, V6N, "SA", 7, 2, sport=4000, dport=50001)]),
}


def announced_nat_rules(nat):
    l3, alg = ("ipv6", "tcp6") if ":" in nat[:11] else ("ip", "tcp")
    return [f"table=0,{l3},actions=ct(table=1,zone=1,nat)",
            f"table=1,priority=10,{alg},ct_state=+new-rel-inv,actions={STAMP},"
            f"ct(commit,zone=1,alg=ftp,{nat}),output:3",
            f"table=1,priority=10,{l3},ct_state=+new+rel,actions={STAMP},ct(commit,zone=1,nat),output:3",
            f"table=1,priority=1,actions={STAMP},output:3"]


@pytest.mark.parametrize("name", ANNOUNCED_NAT)
def test_announced_connections_translated(pair, name):
    nat, packets = ANNOUNCED_NAT[name]
    compare(pair, "", packets, announced_nat_rules(nat))


def sums_ok(data):
    """Lengths and checksums as scapy makes them."""
    again = IP(data[14:])
    assert again.len == len(data[14:].rstrip(b"\0")) or len(data) <= 60
    want = again.copy()
    del want.chksum, want[TCP].chksum, want.len
    return bytes(want) == bytes(again)


def sent(ours, packet):
    data = ours.send(*packet)
    assert data and sums_ok(data), describe(data)
    return IP(data[14:])


def test_control_connection_numbers(pair):
    """What Open vSwitch leaves alone: lines said once more, selective acknowledgments, a server behind a
    translation, two clients that announce one port."""
    ours, _ = pair
    ours.load(announced_nat_rules(f"nat(src={N})"))
    for p in FTP_SNAT:
        assert ours.send(*p)
    for _ in range(2):  # said once more: the same again
        t = sent(ours, ftp("PORT 10,0,0,1,8,0"))
        assert (t[Raw].load, t[TCP].seq) == (b"PORT 10,0,0,99,8,0\r\n", 101)
    t = sent(ours, ftp("NOOP", seq=101 + LINE))
    assert t[TCP].seq == 101 + LINE + 1
    assert sent(ours, ftp("PORT 10,0,0,1,8,0"))[TCP].seq == 101
    t = sent(ours, tcp("A", 501, 101, back=True, dport=21, client=N, options=[
        ("NOP", None), ("NOP", None), ("SAck", (101 + LINE + 1, 101 + LINE + 7))]))
    assert t[TCP].ack == 101 and dict(t[TCP].options)["SAck"] == (101 + LINE, 101 + LINE + 6)
    # Only part of a line: it stays as it is.
    t = sent(ours, tcp("PA", 101 + LINE + 6, 501, b"PORT 10,0,0,1,8,", dport=21))
    assert t[Raw].load == b"PORT 10,0,0,1,8," and t[TCP].seq == 101 + LINE + 7
    # Another client behind the same address announces the same port.
    other = "10.0.0.3"
    for p in (tcp("S", 100, 0, dport=21, client=other, sport=1001),
              tcp("SA", 500, 101, back=True, dport=21, client=N, sport=1001),
              tcp("A", 101, 501, dport=21, client=other, sport=1001)):
        assert ours.send(*p)
    t = sent(ours, tcp("PA", 101, 501, b"PORT 10,0,0,3,8,0\r\n", dport=21, client=other, sport=1001))
    assert t[Raw].load == b"PORT 10,0,0,99,8,1\r\n"
    for port, (addr, at) in {2048: (C, 2048), 2049: (other, 2048)}.items():
        ours.send(*tcp("S", 1, 0, back=True, sport=port, dport=20, client=N))
        t = sent(ours, tcp("A", 2, 8, back=True, sport=port, dport=20, client=N))
        assert (t.dst, t[TCP].dport) == (addr, at)


def test_a_server_behind_a_translation(pair):
    ours, _ = pair
    ours.load(announced_nat_rules(f"nat(dst={VIP})"))
    for p in FTP_DNAT:
        assert ours.send(*p)
    t = sent(ours, ftp("227 Entering Passive Mode (10,0,0,77,195,80)", back=True, server=VIP))
    assert t.src == S and t[Raw].load == b"227 Entering Passive Mode (10,0,0,2,195,80)\r\n"
    t = sent(ours, tcp("A", 101, 501 + PASSIVE - 1, dport=21))
    assert t.dst == VIP and t[TCP].ack == 501 + PASSIVE
    t = sent(ours, tcp("PA", 501 + PASSIVE, 101, b"226 done\r\n", back=True, dport=21, server=VIP))
    assert t[TCP].seq == 501 + PASSIVE - 1
    assert "rel" in describe(ours.send(*tcp("S", 1, 0, sport=4000, dport=50000)))
    t = sent(ours, tcp("SA", 7, 2, back=True, sport=4000, dport=50000, server=VIP))
    assert t.src == S
    assert sent(ours, tcp("A", 2, 8, sport=4000, dport=50000)).dst == VIP


def texts(pair, *command):
    """What ovs-appctl prints, sorted by line."""
    ours, theirs = pair
    error, b = theirs.ovs.ask(*command)
    r = ours.sw.run("ovs-appctl", *command, check=False)
    return sorted((r.stdout or r.stderr).splitlines()), sorted((b or error or "").splitlines())


def test_views(pair):
    ours, theirs = pair
    packets = opened() + [udp(), udp(back=True)] + SCENARIOS["echo"][:1] + SCENARIOS["ipv6"][:1] + \
        [udp(dport=69, payload=b"\0\1file\0octet\0"), tcp("S", 1, 0, dport=21)]
    helped = [f"table=1,priority=20,{l3},ct_state=+new-inv,in_port=1,{port},actions={STAMP},"
              f"ct(commit,zone=1,alg={alg}),output:3" for l3, port, alg in
              (("tcp", "tp_dst=21", "ftp"), ("udp", "tp_dst=69", "tftp"))]
    for sw in pair:
        sw.load(rules("") + helped)
    for p in packets:
        assert ours.send(*p) == theirs.send(*p)
    ours.dp.close()
    ours.dp = None
    ours.sw.start_sluiced()  # which finds the connections where they were
    for command in (
            ["dpctl/dump-conntrack"], ["dpctl/dump-conntrack", "-m"],
            ["dpctl/dump-conntrack", "zone=1"], ["dpctl/dump-conntrack", "zone=2"],
            ["dpctl/ct-stats-show"], ["dpctl/ct-get-nconns"], ["dpctl/ct-get-maxconns"],
            ["dpctl/ct-get-tcp-seq-chk"], ["dpctl/ct-get-limits"],
            ["dpctl/ct-set-limits", "default=10", "zone=5,limit=3"], ["dpctl/ct-get-limits"],
            ["dpctl/ct-del-limits", "zone=5"], ["dpctl/ct-get-limits"],
            ["dpctl/flush-conntrack", "zone=1", "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,"
             "ct_nw_proto=17,ct_tp_src=1000,ct_tp_dst=53"],
            ["dpctl/dump-conntrack"], ["dpctl/ct-set-maxconns", "1000"],
            ["dpctl/ct-get-maxconns"], ["dpctl/ct-set-maxconns", "3000000"],
            ["dpctl/flush-conntrack"], ["dpctl/ct-get-nconns"]):
        a, b = texts(pair, *command)
        assert a == b, command
        if command == ["dpctl/ct-get-maxconns"]:
            conns = ours.sw.show("ct", "show")
            stats = ours.sw.show("ct", "stats")
    assert {c["proto"] for c in conns} == {"tcp", "icmp", "udp"}
    assert next(s for s in stats if s["zone"] == "all")["connections"] == 5
    ours.sw.sluice("ct", "limit", "default=4294967295")
    ours.sw.sluice("ct", "flush", "zone=1")
    # What is wrong is said in the command's own words, and before anything is changed.
    for bad, says in ((["ct", "show", "x"], "port x: not found"), (["ct", "show", "65536"], "a zone is"),
                       (["ct", "limit", "zone=5"], "zone=5: a limit is"), (["ct", "limit", "max=x"], "max=x: a limit is"),
                       (["ct", "limit", "max=77", "zone=65536,limit=1"], "zone=65536,limit=1: a limit is"),
                       (["ct", "flush", "zone=1", "a=b"], "a=b: not known"), (["ct", "flush", "zone=x"], "zone=x: a zone is"),
                       (["ct", "flush", "ct_nw_src=1"], "ct_nw_src=1: it takes an IPv4 address"),
                       (["ct", "flush", "mark=x"], "mark=x: a mark is"), (["ct", "flush", "label=/"], "label=/: a label is"),
                       (["ct", "flush", *["ct_nw_proto=6"] * 3], "two tuples at most")):
        r = ours.sw.run(SLUICE, *bad, check=False)
        assert r.returncode == 1 and r.stderr.startswith("error: ") and says in r.stderr, r.stderr
        assert "vswitchd" not in r.stderr
    assert texts(pair, "dpctl/ct-get-maxconns") == (["3000000"], ["3000000"])
    theirs.ovs.appctl("dpctl/ct-set-limits", "default=0")


def test_connections_survive_a_restart_of_sluiced(pair):
    ours, _ = pair
    ours.load(rules(SNAT))
    for p in opened(client_back=N) + [udp(), udp(back=True, client=N)]:
        assert ours.send(*p)

    def conns():
        return sorted(str({k: v for k, v in c.items() if k != "ct_timeout_s"}) for c in ours.dp.dump("conns"))
    before = conns()
    assert len(before) == 2
    for _ in range(2):
        ours.dp.close()
        ours.sw.start_sluiced()
        ours.sw.kill_sluiced()
        ours.dp = dpapi.Datapath(os.path.join(ours.sw.dir, "datapath.sock"), writer=True)
        assert conns() == before
    got = describe(ours.send(*tcp("PA", 101, 501, b"still here")))
    assert got.startswith("est+trk+snat mark=42 ") and N in got, got
    assert describe(ours.send(*tcp("A", 501, 111, back=True, client=N))).startswith("est+rpl+trk+dnat mark=42")


def test_flush_by_mark(pair):
    ours, _ = pair
    ours.load(rules(""))  # which mark with 0x2a
    ours.send(*udp())
    ours.dp.close()
    ours.dp = None
    ours.sw.start_sluiced()
    for other in ("mark=1", "mark=0x1/0x1", "zone=2 mark=42", "mark=42 ct_nw_proto=6,ct_nw_src=10.0.0.1"):
        ours.sw.sluice("ct", "flush", *other.split())
        assert len(ours.sw.show("ct", "show")) == 1, other
    sluice = os.path.join(os.path.dirname(__import__("control_process").SLUICE), "sluice")
    for bad in ("mark=x", "mark=1/", "mark=/1", "mark=4294967296", "mark=" + "1" * 50):
        assert ours.sw.run(sluice, "ct", "flush", bad, check=False).returncode == 1, bad
    ours.sw.sluice("ct", "flush", "mark=0x2/0x3", "zone=1")
    assert not ours.sw.show("ct", "show")


def test_openflow_flush(pair):
    ours, _ = pair
    ours.load(rules(""))
    ours.send(*udp())
    assert len(ours.dp.dump("conns")) == 1 and not ours.dp.dump("conns", ct_zone=2)
    ours.dp.close()
    ours.dp = None
    ours.sw.start_sluiced()
    ours.sw.run("ovs-ofctl", "ct-flush-zone", "br0", "2", check=False)
    assert len(ours.sw.show("ct", "show")) == 1
    ours.sw.run("ovs-ofctl", "ct-flush-zone", "br0", "1", check=False)
    wait_until(lambda: not ours.sw.show("ct", "show"))


def test_openflow_flush_selects(pair):
    """NXT_CT_FLUSH removes what all of its conditions name, and nothing else."""
    ours, _ = pair
    ours.load([f.replace("exec(load:0x2a->NXM_NX_CT_MARK[])",
                         "exec(load:0x2a->NXM_NX_CT_MARK[],load:0x7->NXM_NX_CT_LABEL[0..63])") for f in rules("")])
    for p in [udp()] + SCENARIOS["echo"][:1] + SCENARIOS["ipv6"][:1]:
        ours.send(*p)
    ours.dp.close()
    ours.dp = None
    ours.sw.start_sluiced()

    def left():
        return sorted(c["proto"] + str(":" in c["orig"].split(">")[0].rsplit(":", 1)[0]) for c in ours.sw.show("ct", "show"))
    before = left()
    assert len(before) == 3, before

    def prop(kind, body):
        data = struct.pack("!HH", kind, 4 + len(body)) + body
        return data + bytes(-len(data) % 8)

    def flush(body, proto=0):
        """What the switch answers to the message and a barrier behind it."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(os.path.join(ours.sw.dir, "br0.mgmt"))
        data = struct.pack("!II", 0x2320, 32) + bytes([proto]) + bytes(7) + body
        s.sendall(struct.pack("!BBHI", 4, 0, 8, 1) + struct.pack("!BBHI", 4, 4, 8 + len(data), 2) + data +
                  struct.pack("!BBHI", 4, 20, 8, 3))
        got = b""
        while True:
            got += s.recv(4096)
            at, answers = 0, []
            while len(got) - at >= 8 and len(got) - at >= struct.unpack_from("!H", got, at + 2)[0]:
                n = struct.unpack_from("!H", got, at + 2)[0]
                answers.append((got[at + 1], got[at + 8:at + 12]))
                at += n
            if answers and answers[-1][0] == 21:
                s.close()
                return [struct.unpack("!HH", a[1]) for a in answers if a[0] == 1]

    def ipv4(a):
        return bytes(10) + b"\xff\xff" + socket.inet_aton(a)

    def nest(*props):
        return bytes(4) + b"".join(props)
    # Conditions that nothing fulfils.
    for body, proto in ((prop(3, struct.pack("!I", 1)), 0), (prop(2, b"\0\2"), 0), (b"", 132),
                        (prop(5, bytes(15) + b"\1"), 0), (prop(0, nest(prop(0, ipv4("10.0.0.9")))), 0),
                        (prop(1, nest(prop(0, ipv4("10.0.0.1")))), 0),
                        (prop(0, nest(prop(0, ipv4("10.0.0.1")), prop(2, b"\0\1"))), 17),
                        (prop(0, nest(prop(0, ipv4("10.0.0.1")), prop(5, b"\x09"))), 1)):
        assert flush(body, proto) == [], body
        assert left() == before, body
    # Those that are not understood: 14, 0 … 4 of OpenFlow 1.4 and later as 1.3 has them.
    for body in (prop(9, bytes(4)), prop(2, b"\1"), prop(0, nest(prop(9, bytes(4)))), prop(0, b""),
                 prop(0, nest(prop(0, b"\1"))), prop(5, bytes(8)), b"\0\2\0\x40\0\1\0\0",
                 prop(2, b"\0\1") * 2, prop(0, nest(prop(0, ipv4("10.0.0.1")), prop(1, bytes(15) + b"\1")))):
        assert flush(body), body
        assert left() == before, body
    for body, proto, n in ((prop(0, nest(prop(0, ipv4("10.0.0.1")), prop(3, b"\0\x35"))), 17, 2),
                           (prop(2, b"\0\1") + prop(0, nest(prop(5, b"\x08"), prop(4, b"\0\7"))), 1, 1),
                           (prop(3, struct.pack("!I", 0x2)) + prop(4, struct.pack("!I", 0x3)) +
                            prop(5, bytes(15) + b"\3") + prop(6, bytes(15) + b"\3"), 0, 0)):
        assert flush(body, proto) == []
        assert len(left()) == n, (body, left())
    # The command of Open vSwitch, and the words of ours.
    ours.load(rules(""))
    for p in [udp()] + SCENARIOS["echo"][:1]:
        ours.send(*p)
    ours.dp.close()
    ours.dp = None
    ours.sw.start_sluiced()
    ours.sw.run("ovs-ofctl", "ct-flush", "br0", "zone=1", "ct_nw_src=10.0.0.1,ct_nw_proto=17")
    assert [c["proto"] for c in ours.sw.show("ct", "show")] == ["icmp"]


def test_flush_by_label(pair):
    ours, _ = pair
    ours.load([f.replace("load:0x2a->NXM_NX_CT_MARK[]", "load:0x8001->NXM_NX_CT_LABEL[64..127]") for f in rules("")])
    ours.send(*udp())
    ours.dp.close()
    ours.dp = None
    ours.sw.start_sluiced()
    assert ours.sw.show("ct", "show")[0]["label"] == "0x00000000000080010000000000000000"
    sluice = os.path.join(os.path.dirname(__import__("control_process").SLUICE), "sluice")
    for other in ("label=1", "label=0x80010000000000000001", "label=0x10000000000000000/0x30000000000000000 zone=2"):
        ours.sw.sluice("ct", "flush", *other.split())
        assert len(ours.sw.show("ct", "show")) == 1, other
    for bad in ("label=x", "label=", "label=1/", "label=0x1" + "0" * 32):
        assert ours.sw.run(sluice, "ct", "flush", bad, check=False).returncode == 1, bad
    ours.sw.sluice("ct", "flush", "label=0x10000000000000000/0x30000000000000000")
    assert not ours.sw.show("ct", "show")


def sh(command, check=True):
    r = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30)
    assert not check or not r.returncode, f"{command}: {r.stdout}{r.stderr}"
    return r


@pytest.fixture
def namespaces():
    """ctn1 (10.9.0.1) and ctn2 (10.9.0.2), whose outer ends are interfaces of their names."""
    names = ("ctn1", "ctn2")
    for n in names:
        sh(f"ip netns del {n}; ip link del {n}", check=False)
    for i, n in enumerate(names, 1):
        sh(f"ip netns add {n} && ip link add {n} type veth peer name eth0 netns {n} && "
           f"ip link set {n} up && ip -n {n} link set lo up && "
           f"ip -n {n} addr add 10.9.0.{i}/24 dev eth0 && ip -n {n} link set eth0 up")
    yield names
    for n in names:
        sh(f"ip netns del {n}; ip link del {n}", check=False)


TRANSFER = """
import socket, threading, sys
if sys.argv[1] == "serve":
    s = socket.create_server(("0.0.0.0", 8000)); print("ready", flush=True)
    c, peer = s.accept()
    n = 0
    while d := c.recv(65536): n += len(d)
    c.sendall(b"%d %s" % (n, peer[0].encode())); c.close()
else:
    s = socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=8)
    s.sendall(bytes(3000000)); s.shutdown(socket.SHUT_WR)
    print(s.recv(100).decode())
"""


def transfer(client, server, address, port):
    """What the server says: bytes that came, and from whom; None: no connection."""
    run = ["ip", "netns", "exec"]
    with subprocess.Popen([*run, server, "/usr/bin/python3", "-c", TRANSFER, "serve"],
                          stdout=subprocess.PIPE, text=True) as s:
        assert s.stdout.readline() == "ready\n"
        r = subprocess.run([*run, client, "/usr/bin/python3", "-c", TRANSFER, "connect", address,
                            str(port)], capture_output=True, text=True, timeout=30)
        s.kill()
    return r.stdout.strip() or None


def test_a_firewall_between_containers(namespaces):
    with Switch() as sw:
        sw.vsctl("add-br", "br0", "--", "add-port", "br0", "ctn1", "--", "set", "Interface",
                 "ctn1", "ofport_request=1", "--", "add-port", "br0", "ctn2", "--", "set",
                 "Interface", "ctn2", "ofport_request=2")
        common = ["table=0,priority=1,arp,actions=NORMAL",
                  "table=0,priority=1,ip,actions=ct(table=1,zone=9,nat)",
                  "table=1,priority=5,ip,ct_state=+est-inv,actions=NORMAL",
                  "table=1,priority=5,ip,ct_state=+rel-inv,actions=NORMAL"]

        def load(new):
            sw.run("ovs-ofctl", "del-flows", "br0")
            for f in common + [new]:
                sw.run("ovs-ofctl", "add-flow", "br0", f)
            sw.appctl("dpctl/flush-conntrack", "zone=9")

        load("table=1,priority=4,in_port=1,ip,ct_state=+new,actions=ct(commit,zone=9),NORMAL")
        assert transfer("ctn1", "ctn2", "10.9.0.2", 8000) == "3000000 10.9.0.1"
        assert sum("tcp" in line for line in sw.appctl("dpctl/dump-conntrack").splitlines()) == 1
        assert transfer("ctn2", "ctn1", "10.9.0.1", 8000) is None
        # Translated: the server sees another address, which its neighbour table sends to ctn1.
        mac = sh("ip netns exec ctn1 cat /sys/class/net/eth0/address").stdout.strip()
        sh(f"ip -n ctn2 neigh replace 10.9.0.77 lladdr {mac} dev eth0")
        load("table=1,priority=4,in_port=1,ip,ct_state=+new,"
             "actions=ct(commit,zone=9,nat(src=10.9.0.77:4000-4999)),NORMAL")
        assert transfer("ctn1", "ctn2", "10.9.0.2", 8000) == "3000000 10.9.0.77"
        line, = [x for x in sw.appctl("dpctl/dump-conntrack").splitlines() if "tcp" in x]
        assert ",reply=(src=10.9.0.2,dst=10.9.0.77,sport=8000,dport=4" in line, line


FTP_TRANSFER = """
import ftplib, socket, sys
if sys.argv[1] == "serve":
    s = socket.create_server(("0.0.0.0", 21)); print("ready", flush=True)
    c, peer = s.accept()
    lines = c.makefile("rw", newline="\\r\\n")
    def say(text): lines.write(text + "\\n"); lines.flush()
    say("220 ready")
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "PORT":
            v = rest.split(",")
            to = ".".join(v[:4]), int(v[4]) * 256 + int(v[5])
            say("200 " + to[0])
        elif word == "PASV":
            passive = socket.create_server((c.getsockname()[0], 0))
            a, p = passive.getsockname()
            to = None
            say("227 passive (%s,%d,%d)" % (a.replace(".", ","), p >> 8, p & 255))
        elif word == "RETR":
            d = socket.create_connection(to, timeout=5) if to else passive.accept()[0]
            say("150 " + d.getpeername()[0])
            d.sendall(rest.encode() * 50000); d.close()
            say("226 done")
        elif word == "QUIT":
            say("221 bye")
            break
        else:
            say("230 yes" if word == "USER" else "200 yes")
else:
    f = ftplib.FTP(); f.connect(sys.argv[2], 21, timeout=8); f.login()
    for i in range(6):
        f.set_pasv(i & 1)
        got = bytearray()
        f.retrbinary("RETR file%d" % i, got.extend)
        assert got == b"file%d" % i * 50000, len(got)
    f.quit(); print("all there")
"""


def test_ftp_between_containers(namespaces):
    """ftplib, active and passive by turns, behind an address that is longer than its own."""
    n = "10.9.0.177"
    with Switch() as sw:
        sw.vsctl("add-br", "br0", "--", "add-port", "br0", "ctn1", "--", "set", "Interface",
                 "ctn1", "ofport_request=1", "--", "add-port", "br0", "ctn2", "--", "set",
                 "Interface", "ctn2", "ofport_request=2")
        mac = sh("ip netns exec ctn1 cat /sys/class/net/eth0/address").stdout.strip()
        sh(f"ip -n ctn2 neigh replace {n} lladdr {mac} dev eth0")
        for f in ("table=0,priority=1,arp,actions=NORMAL",
                  "table=0,priority=1,ip,actions=ct(table=1,zone=9,nat)",
                  "table=1,priority=5,ip,ct_state=+est-inv,actions=NORMAL",
                  "table=1,priority=5,ip,ct_state=+new+rel-inv,actions=ct(commit,zone=9,nat),NORMAL",
                  "table=1,priority=4,in_port=1,tcp,tp_dst=21,ct_state=+new-rel,"
                  f"actions=ct(commit,zone=9,alg=ftp,nat(src={n})),NORMAL"):
            sw.run("ovs-ofctl", "add-flow", "br0", f)
        run = ["ip", "netns", "exec"]
        with subprocess.Popen([*run, "ctn2", "/usr/bin/python3", "-c", FTP_TRANSFER, "serve"],
                              stdout=subprocess.PIPE, text=True) as s:
            assert s.stdout.readline() == "ready\n"
            r = subprocess.run([*run, "ctn1", "/usr/bin/python3", "-c", FTP_TRANSFER, "get", "10.9.0.2"],
                               capture_output=True, text=True, timeout=60)
            s.kill()
        assert r.stdout == "all there\n", r.stderr
