#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes packets.txt for extract_test.c, and with --corpus DIR each packet as a file for the fuzzer.

One line per packet: name, bytes in hexadecimal, then field=value pairs of everything in its flow
key that is not zero. The values of whole packets are read back from scapy's own dissection of the
bytes; those of broken ones are stated by hand. Run again after a change and commit the result.
"""
import argparse
import os
import struct
import sys

from scapy.all import (ARP, Dot1AD, Dot1Q, Dot3, Ether, ICMP, ICMPv6DestUnreach, ICMPv6EchoRequest,
                       ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr,
                       ICMPv6NDOptMTU, IP, IPOption_NOP, IPv6, IPv6ExtHdrDestOpt,
                       IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, LLC, Raw, SCTP,
                       SNAP, TCP, UDP, GRE, bind_bottom_up)
from scapy.contrib.igmp import IGMP
from scapy.contrib.mpls import MPLS
from scapy.layers.ipsec import AH

bind_bottom_up(Ether, MPLS, type=0x8848)
bind_bottom_up(Ether, ARP, type=0x8035)

E = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")
V4 = IP(src="10.1.2.3", dst="192.168.77.99", ttl=61, tos=0xb9)
V6 = IPv6(src="2001:db8::1", dst="2001:db8:ffff::2", hlim=9, tc=0x2e, fl=0xabcde)
T = TCP(sport=43210, dport=443, flags="SA", reserved=1)
U = UDP(sport=5353, dport=53)
DATA = Raw(b"0123456789abcdef")


def mac(text):
    return text.lower()


def see_l4(p, out):
    """TCP, UDP, SCTP, ICMP, IGMP as scapy dissects them."""
    if p.haslayer(TCP):
        t = p[TCP]
        out["tp_src"], out["tp_dst"] = t.sport, t.dport
        flags = int(t.flags) | (int(t.reserved) << 9)
        out["tcp_flags"] = "0x%x" % flags
    elif p.haslayer(UDP):
        out["udp_src"], out["udp_dst"] = p[UDP].sport, p[UDP].dport
    elif p.haslayer(SCTP):
        out["sctp_src"], out["sctp_dst"] = p[SCTP].sport, p[SCTP].dport
    elif p.haslayer(ICMP):
        out["icmp_type"], out["icmp_code"] = p[ICMP].type, p[ICMP].code
    elif p.haslayer(IGMP):
        out["icmp_type"] = p[IGMP].type
        out["icmp_code"] = p[IGMP].mrcode


def see_icmp6(p, out):
    for layer in (ICMPv6ND_NS, ICMPv6ND_NA, ICMPv6EchoRequest, ICMPv6DestUnreach):
        if p.haslayer(layer):
            i = p[layer]
            out["icmpv6_type"], out["icmpv6_code"] = i.type, i.code
    if not (p.haslayer(ICMPv6ND_NS) or p.haslayer(ICMPv6ND_NA)):
        return
    i = p[ICMPv6ND_NS] if p.haslayer(ICMPv6ND_NS) else p[ICMPv6ND_NA]
    out["nd_target"] = i.tgt
    if p.haslayer(ICMPv6ND_NA):
        out["nd_reserved"] = (i.R << 31) | (i.S << 30) | (i.O << 29) | i.res
    layer = i.payload
    while layer:
        if type(layer) is ICMPv6NDOptSrcLLAddr:  # the other one is derived from it
            out["nd_sll"] = mac(layer.lladdr)
            out.setdefault("nd_options_type", 1)
        if type(layer) is ICMPv6NDOptDstLLAddr:
            out["nd_tll"] = mac(layer.lladdr)
            out.setdefault("nd_options_type", 2)
        layer = layer.payload


def see_ipv4(p, out):
    i = p[IP]
    out.update(ip_src=i.src, ip_dst=i.dst, tos=i.tos, nw_ttl=i.ttl, ip_proto=i.proto)
    if i.frag:
        out["ip_frag"] = 3
    elif "MF" in str(i.flags):
        out["ip_frag"] = 1
    if not i.frag:
        see_l4(p, out)


def see_ipv6(p, out):
    i = p[IPv6]
    out.update(ipv6_src=i.src, ipv6_dst=i.dst, tos=i.tc, nw_ttl=i.hlim, ipv6_label="0x%x" % i.fl)
    nh, layer, later = i.nh, i.payload, False
    while isinstance(layer, (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting,
                             IPv6ExtHdrFragment, AH)):
        if isinstance(layer, IPv6ExtHdrFragment):
            if layer.offset:
                out["ip_frag"], later = 3, True
                nh = 44
                break
            if layer.m:
                out["ip_frag"] = 1
        nh, layer = layer.nh, layer.payload
    out["ip_proto"] = nh
    if not later:
        see_l4(p, out)
        see_icmp6(p, out)


def see(data):
    """The flow key that scapy's dissection of the bytes amounts to."""
    p = Ether(data)
    out = {"eth_dst": mac(p.dst), "eth_src": mac(p.src)}
    layer, n = p, 0
    kind = p.type if isinstance(p, Ether) else None
    tags = []
    while layer:
        if isinstance(layer, (Dot1Q, Dot1AD)) and n < 2:
            tags.append((kind, (layer.prio << 13) | 0x1000 | layer.vlan))
            kind = layer.type
            n += 1
        if isinstance(layer, SNAP) and layer.OUI == 0:
            kind = layer.code
        layer = layer.payload
    for k, (tpid, tci) in enumerate(tags):
        out["vlan%d_tpid" % k], out["vlan%d_tci" % k] = "0x%x" % tpid, "0x%x" % tci
    if kind is None or kind < 0x600:
        kind = 0x5ff
    out["eth_type"] = "0x%x" % kind
    if kind == 0x800 and p.haslayer(IP):
        see_ipv4(p, out)
    elif kind == 0x86dd and p.haslayer(IPv6):
        see_ipv6(p, out)
    elif kind in (0x806, 0x8035) and p.haslayer(ARP):
        a = p[ARP]
        out.update(arp_op=a.op, arp_spa=a.psrc, arp_tpa=a.pdst, arp_sha=mac(a.hwsrc),
                   arp_tha=mac(a.hwdst))
    elif kind in (0x8847, 0x8848):
        layer, k = p[MPLS], 0
        while isinstance(layer, MPLS) and k < 3:
            out["mpls_lse%d" % k] = "0x%08x" % ((layer.label << 12) | (layer.cos << 9) |
                                               (layer.s << 8) | layer.ttl)
            k += 1
            layer = layer.payload
        out["mpls_depth"] = k
    return out


def whole():
    """Packets that are what they say."""
    yield "ipv4_tcp", E / V4 / T / DATA
    yield "ipv4_tcp_options", E / V4 / TCP(sport=1, dport=2, options=[("MSS", 1460), ("NOP", None)])
    yield "ipv4_udp", E / V4 / U / DATA
    yield "ipv4_udp_short", E / V4 / U
    yield "ipv4_sctp", E / V4 / SCTP(sport=7, dport=9) / DATA
    yield "ipv4_icmp", E / V4 / ICMP(type=8, code=0, id=7, seq=1) / DATA
    yield "ipv4_icmp_unreachable", E / V4 / ICMP(type=3, code=4) / DATA
    yield "ipv4_igmp", E / IP(src="10.1.2.3", dst="224.1.2.3", ttl=1) / IGMP(type=0x16, gaddr="224.1.2.3")
    yield "ipv4_gre", E / V4 / GRE() / DATA
    yield "ipv4_proto0", E / IP(src="1.1.1.1", dst="2.2.2.2", proto=0) / DATA
    yield "ipv4_ip_options", E / IP(src="10.1.2.3", dst="10.9.9.9", options=[IPOption_NOP()] * 8) / T
    yield "ipv4_options_udp", E / IP(src="10.1.2.3", dst="10.9.9.9", options=[IPOption_NOP()] * 40) / U
    yield "ipv4_frag_first", E / IP(src="10.1.2.3", dst="10.9.9.9", flags="MF") / U / DATA
    yield "ipv4_frag_later", E / IP(src="10.1.2.3", dst="10.9.9.9", frag=100, proto=17) / DATA
    yield "ipv4_frag_later_more", E / IP(src="1.2.3.4", dst="4.3.2.1", flags="MF", frag=1, proto=6) / DATA
    yield "ipv4_df", E / IP(src="10.1.2.3", dst="10.9.9.9", flags="DF") / T
    yield "ipv4_ttl_1", E / IP(src="10.1.2.3", dst="10.9.9.9", ttl=1) / U
    yield "ipv4_ttl_15", E / IP(src="10.1.2.3", dst="10.9.9.9", ttl=15) / U
    yield "ipv4_ttl_0", E / IP(src="10.1.2.3", dst="10.9.9.9", ttl=0) / U
    yield "vlan_ipv4_tcp", E / Dot1Q(vlan=10, prio=5) / V4 / T / DATA
    yield "vlan_dei_ipv4_udp", E / Dot1Q(vlan=4095, id=1) / V4 / U / DATA
    yield "vlan_0_ipv4_udp", E / Dot1Q(vlan=0, prio=3) / V4 / U
    yield "vlan_arp", E / Dot1Q(vlan=7) / ARP(op=2, psrc="1.2.3.4", pdst="4.3.2.1")
    yield "qinq_ipv4_tcp", E / Dot1AD(vlan=100, prio=1) / Dot1Q(vlan=20) / V4 / T
    yield "vlan_vlan_ipv6", E / Dot1Q(vlan=100) / Dot1Q(vlan=20, prio=7) / V6 / U
    yield "vlan_three", E / Dot1AD(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / V4 / U
    yield "ad_ipv4", E / Dot1AD(vlan=100) / V4 / U
    yield "arp_request", E / ARP(op=1, hwsrc="02:00:00:00:00:02", psrc="10.0.0.1", pdst="10.0.0.2")
    yield "arp_reply", E / ARP(op=2, hwsrc="02:aa:bb:cc:dd:ee", psrc="10.0.0.1",
                               hwdst="02:00:00:00:00:07", pdst="10.0.0.2")
    yield "rarp", Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:02", type=0x8035) / ARP(op=3)
    yield "ipv6_tcp", E / V6 / T / DATA
    yield "ipv6_udp", E / V6 / U / DATA
    yield "ipv6_sctp", E / V6 / SCTP(sport=1000, dport=2000)
    yield "ipv6_echo", E / V6 / ICMPv6EchoRequest(id=5, seq=6)
    yield "ipv6_unreachable", E / V6 / ICMPv6DestUnreach(code=3) / DATA
    yield "ipv6_no_next", E / IPv6(src="fe80::1", dst="fe80::2", nh=59)
    yield "ipv6_hopbyhop_udp", E / V6 / IPv6ExtHdrHopByHop() / U / DATA
    yield "ipv6_destopt_tcp", E / V6 / IPv6ExtHdrDestOpt() / T
    yield "ipv6_routing_udp", E / V6 / IPv6ExtHdrRouting(addresses=["2001:db8::9"]) / U
    yield "ipv6_chain_tcp", (E / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() /
                             IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt() / T)
    yield "ipv6_frag_first", E / V6 / IPv6ExtHdrFragment(m=1, offset=0, id=77) / U / DATA
    yield "ipv6_frag_later", E / V6 / IPv6ExtHdrFragment(m=0, offset=185, id=77, nh=17) / DATA
    yield "ipv6_frag_atomic", E / V6 / IPv6ExtHdrFragment(m=0, offset=0, id=77) / U / DATA
    yield "ns", E / V6 / ICMPv6ND_NS(tgt="fe80::5") / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:11")
    yield "ns_bare", E / V6 / ICMPv6ND_NS(tgt="fe80::5")
    yield "na", (E / V6 / ICMPv6ND_NA(tgt="fe80::6", R=1, S=1, O=0) /
                 ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:12"))
    yield "na_both", (E / V6 / ICMPv6ND_NA(tgt="fe80::6", O=1) /
                      ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:12") /
                      ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:13"))
    yield "ns_mtu_sll", (E / V6 / ICMPv6ND_NS(tgt="fe80::5") / ICMPv6NDOptMTU() /
                         ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:11"))
    yield "mpls_1", Ether(dst=E.dst, src=E.src, type=0x8847) / MPLS(label=100, cos=3, s=1, ttl=64) / V4 / U
    yield "mpls_2", (Ether(dst=E.dst, src=E.src, type=0x8847) / MPLS(label=0xfffff, s=0, ttl=255) /
                     MPLS(label=200, s=1, ttl=2) / V4 / U)
    yield "mpls_4", (Ether(dst=E.dst, src=E.src, type=0x8848) / MPLS(label=1, s=0) / MPLS(label=2, s=0) /
                     MPLS(label=3, s=0) / MPLS(label=4, s=1) / V4 / U)
    yield "vlan_mpls", (E / Dot1Q(vlan=9, type=0x8847) / MPLS(label=33, s=1, ttl=1) / V6)
    yield "llc", Dot3(dst=E.dst, src=E.src) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / DATA
    yield "snap_ipv4", Dot3(dst=E.dst, src=E.src) / LLC(dsap=0xaa, ssap=0xaa, ctrl=3) / SNAP(OUI=0, code=0x800) / V4 / U
    yield "snap_other", Dot3(dst=E.dst, src=E.src) / LLC(dsap=0xaa, ssap=0xaa, ctrl=3) / SNAP(OUI=0xc, code=0x2000) / DATA
    yield "unknown_type", Ether(dst=E.dst, src=E.src, type=0x88b5) / DATA
    yield "padded_udp", E / V4 / U / Raw(b"")


def ether_only(kind, **more):
    out = {"eth_dst": E.dst, "eth_src": E.src, "eth_type": "0x%x" % kind}
    out.update(more)
    return out


def l3_only(**more):
    out = ether_only(0x800, ip_src="10.1.2.3", ip_dst="192.168.77.99", tos=0xb9, nw_ttl=61)
    out.update(more)
    return out


def v6_only(**more):
    return ether_only(0x86dd, ipv6_src="2001:db8::1", ipv6_dst="2001:db8:ffff::2", **more)


def broken():
    """Packets that contradict themselves, and what is left of them."""
    tcp, udp = bytes(E / V4 / T / DATA), bytes(E / V4 / U / DATA)
    six = bytes(E / V6 / U / DATA)
    yield "empty", b"", {}
    yield "runt", tcp[:13], {}
    yield "header_only", tcp[:14], ether_only(0x800)
    yield "ipv4_cut_in_header", tcp[:14 + 19], ether_only(0x800)
    yield "ipv4_longer_than_packet", tcp[:-1], ether_only(0x800)
    yield "ipv4_ihl_4", tcp[:14] + b"\x44" + tcp[15:], ether_only(0x800)
    yield "ipv4_total_below_header", tcp[:16] + b"\x00\x13" + tcp[18:], ether_only(0x800)
    cut = bytes(E / IP(src="10.1.2.3", dst="192.168.77.99", ttl=61, tos=0xb9, proto=6) / Raw(b"x" * 19))
    yield "tcp_cut", cut, l3_only(ip_proto=6)
    yield "tcp_offset_4", tcp[:46] + b"\x40" + tcp[47:], l3_only(ip_proto=6)
    yield "tcp_offset_15", tcp[:46] + b"\xf0" + tcp[47:], l3_only(ip_proto=6)
    six_tcp = bytes(E / V6 / T / DATA)
    yield "tcp6_offset_15", six_tcp[:66] + b"\xf0" + six_tcp[67:], v6_only(
        tos=0x2e, nw_ttl=9, ipv6_label="0xabcde", ip_proto=6)
    cut = bytes(E / IP(src="10.1.2.3", dst="192.168.77.99", ttl=61, tos=0xb9, proto=17) / Raw(b"x" * 7))
    yield "udp_cut", cut, l3_only(ip_proto=17)
    yield "udp_cut_padded", cut + b"\0" * 40, l3_only(ip_proto=17)
    cut = bytes(E / IP(src="10.1.2.3", dst="192.168.77.99", ttl=61, tos=0xb9, proto=1) / Raw(b"x" * 7))
    yield "icmp_cut", cut, l3_only(ip_proto=1)
    yield "ipv6_cut", six[:14 + 39], ether_only(0x86dd)
    yield "ipv6_longer_than_packet", six[:-1], ether_only(0x86dd)
    yield "ipv6_jumbogram", six[:18] + b"\0\0" + six[20:], v6_only(tos=0x2e, nw_ttl=9, ipv6_label="0xabcde", ip_proto=17)
    ext = bytes(E / V6 / IPv6ExtHdrDestOpt() / U)
    yield "ipv6_ext_too_long", ext[:55] + b"\x20" + ext[56:], v6_only()
    # Not broken, but scapy does not tell where the authentication header ends.
    ah = bytes(E / V6 / AH(spi=1, seq=2, icv=b"x" * 12, nh=17, payloadlen=4) / U)
    yield "ipv6_ah_udp", ah, v6_only(tos=0x2e, nw_ttl=9, ipv6_label="0xabcde", ip_proto=17,
                                     udp_src=5353, udp_dst=53)
    many = E / V6
    for _ in range(9):
        many = many / IPv6ExtHdrDestOpt()
    yield "ipv6_nine_ext", bytes(many / U), v6_only()
    ns = bytes(E / V6 / ICMPv6ND_NS(tgt="fe80::5") / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:11") /
               ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:12"))
    nd = dict(tos=0x2e, nw_ttl=9, ipv6_label="0xabcde", ip_proto=58, icmpv6_type=135)
    yield "ns_sll_twice", ns, v6_only(nd_options_type=1, **nd)
    one = bytes(E / V6 / ICMPv6ND_NS(tgt="fe80::5") / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:11"))
    zero_len = one[:-7] + b"\0" + one[-6:]
    yield "ns_option_length_0", zero_len, v6_only(nd_target="fe80::5", **nd)
    long_len = one[:-7] + b"\x02" + one[-6:]
    yield "ns_option_too_long", long_len, v6_only(nd_target="fe80::5", **nd)
    code = one[:14 + 40 + 1] + b"\x01" + one[14 + 40 + 2:]
    yield "ns_code_1", code, v6_only(icmpv6_code=1, **nd)
    no_target = bytes(E / V6)[:-0 or None] + one[54:62]
    no_target = no_target[:18] + struct.pack("!HB", 8, 58) + no_target[21:]
    yield "ns_without_target", no_target, v6_only(**nd)
    arp = bytes(E / ARP(op=1, psrc="10.0.0.1", pdst="10.0.0.2"))
    yield "arp_cut", arp[:14 + 27], ether_only(0x806)
    yield "arp_other_hardware", arp[:15] + b"\x06" + arp[16:], ether_only(0x806)
    yield "arp_op_300", arp[:20] + b"\x01\x2c" + arp[22:], ether_only(
        0x806, arp_spa="10.0.0.1", arp_tpa="10.0.0.2", arp_sha=mac(ARP(arp[14:]).hwsrc))
    yield "vlan_cut", tcp[:12] + b"\x81\x00\x00", ether_only(0x8100)
    yield "mpls_cut", tcp[:12] + b"\x88\x47\x00\x01", ether_only(0x8847)
    yield "snap_cut", tcp[:12] + b"\x00\x10\xaa\xaa\x03\x00\x00", ether_only(0x5ff)


def clean(fields):
    """Without what is zero anyway."""
    def is_zero(v):
        return str(v) in ("0", "0x0", "0.0.0.0", "::", "00:00:00:00:00:00")
    fields = dict(fields)
    tos = fields.pop("tos", 0)
    fields.update(ip_dscp=tos >> 2, nw_ecn=tos & 3)
    return {k: v for k, v in fields.items() if not is_zero(v)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", help="directory to write each packet to")
    args = parser.parse_args()
    rows = [(n, bytes(p), see(bytes(p))) for n, p in whole()] + list(broken())
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "packets.txt")
    with open(path, "w", encoding="ascii") as out:
        for name, data, fields in rows:
            pairs = " ".join("%s=%s" % kv for kv in sorted(clean(fields).items()))
            out.write(("%s %s %s" % (name, data.hex() or "-", pairs)).rstrip() + "\n")
    for name, data, _ in rows if args.corpus else []:
        with open(os.path.join(args.corpus, name), "wb") as out:
            out.write(data)
    print("%d packets" % len(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
