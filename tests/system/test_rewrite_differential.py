# SPDX-License-Identifier: BSD-3-Clause
"""Every field that an action can write, and every action that changes a packet, on every packet of
tests/unit/flow/packets.txt: what leaves Sluice equals what leaves Open vSwitch byte for byte, checksums included.
SLUICE_FULL=1 takes more values."""
import os
import random
import struct
import time

import pytest

import flowbits
from datapath_process import DatapathProcess, ether
from test_datapath_rules import DELETE, rule
from test_resolve_differential import ROOT, SBIN, Ovs

FULL = os.environ.get("SLUICE_FULL") == "1"
SEED = int(os.environ.get("SLUICE_SEED", "1"))
SENTINEL = ether(0x7777, 0x7777)


def packets():
    """Well-formed ones: Open vSwitch ends when it rewrites a header that is cut short."""
    out = {}
    with open(os.path.join(ROOT, "tests/unit/flow/packets.txt")) as f:
        for line in f:
            words = line.split()
            if words[:1] == ["empty"]:  # from here on they are damaged
                break
            if len(words) > 1 and not line.startswith("#") and len(words[1]) > 28:
                out[words[0]] = bytes.fromhex(words[1])
    return out


def open_vswitch_is_wrong(match, actions, name):
    """What was looked into and is left different. Open vSwitch clears the DEI bit of a tag it writes to, forgets the inner
    of two tags when a third is pushed, keeps an ARP operation of 0 and makes 65535 of 255, leaves IPv4 headers of protocol
    0 alone, adds an address's change to payload bytes of later fragments, leaves the checksum as it was behind a routing
    or atomic fragment header, and pops every label when the new type is no MPLS. A label in front of an LLC header means
    nothing in either form."""
    if name == "ipv4_proto0" or name == "vlan_dei_ipv4_udp" and "vlan" in actions:
        return True
    if name in ("qinq_ipv4_tcp", "vlan_vlan_ipv6", "vlan_three") and "push_vlan" in actions:
        return True
    if name.startswith("ipv4_frag_later") and ("_src" in actions or "_dst" in actions):
        return True
    if "->ipv6_src" in actions and name in ("ipv6_routing_udp", "ipv6_frag_atomic") or (
            "->ipv6_dst" in actions and name == "ipv6_frag_atomic"):
        return True
    if name == "snap_ipv4" and "push_mpls" in actions or name == "mpls_2" and "pop_mpls:0x0800" in actions:
        return True
    return "->arp_op" in actions and actions.split(":")[1].split("-")[0] in ("0", "255")


def mac(r):
    return "02:" + ":".join(f"{r.randrange(256):02x}" for _ in range(5))


def ip4(r):
    return f"10.{r.randrange(256)}.{r.randrange(256)}.{r.randrange(1, 255)}"


def ip6(r):
    return f"2001:db8:{r.randrange(65536):x}::{r.randrange(1, 65536):x}"


def number(bits):
    return lambda r: str(r.choice((0, 1, (1 << bits) - 1, r.randrange(1 << bits))))


# prerequisite: {field: value}
FIELDS = {
    "": dict(eth_src=mac, eth_dst=mac),
    "vlan_tci=0x1000/0x1000": dict(vlan_vid=number(12), vlan_pcp=number(3)),
    "mpls": dict(mpls_label=number(20), mpls_tc=number(3), mpls_ttl=lambda r: str(r.randrange(2, 256))),
    "mplsm": dict(mpls_label=number(20)),
    "ip": dict(ip_src=ip4, ip_dst=ip4, nw_ttl=number(8), ip_dscp=number(6), nw_ecn=number(2)),
    "ipv6": dict(ipv6_src=ip6, ipv6_dst=ip6, ipv6_label=number(20), nw_ttl=number(8), ip_dscp=number(6), nw_ecn=number(2)),
    "arp": dict(arp_op=number(8), arp_spa=ip4, arp_tpa=ip4, arp_sha=mac, arp_tha=mac),
    "tcp": dict(tcp_src=number(16), tcp_dst=number(16)),
    "tcp6": dict(tcp_src=number(16), tcp_dst=number(16)),
    "udp": dict(udp_src=number(16), udp_dst=number(16)),
    "udp6": dict(udp_src=number(16), udp_dst=number(16)),
    "sctp": dict(sctp_src=number(16), sctp_dst=number(16)),
    "sctp6": dict(sctp_src=number(16), sctp_dst=number(16)),
    "icmp": dict(icmp_type=number(8), icmp_code=number(8)),
    "icmp6": dict(icmpv6_type=lambda r: str(r.choice((1, 2, 3, 128, 129))), icmpv6_code=number(8)),
    "icmp6,icmp_type=135,icmp_code=0": dict(nd_target=ip6, nd_sll=mac),
    "icmp6,icmp_type=136,icmp_code=0": dict(nd_target=ip6, nd_tll=mac),
}

ACTIONS = [
    ("", "push_vlan:0x8100"), ("", "push_vlan:0x88a8,set_field:4105->vlan_vid"), ("", "pop_vlan"),
    ("vlan_tci=0x1000/0x1000", "pop_vlan"), ("vlan_tci=0x1000/0x1000", "pop_vlan,pop_vlan"),
    ("vlan_tci=0x1000/0x1000", "push_vlan:0x88a8,set_field:5000->vlan_vid,set_field:3->vlan_pcp"),
    ("", "mod_vlan_vid:7"), ("", "mod_vlan_pcp:5"), ("ip", "dec_ttl"), ("ipv6", "dec_ttl"), ("mpls", "dec_mpls_ttl"),
    ("ip", "mod_nw_tos:96"), ("ip", "mod_nw_src:1.2.3.4,mod_nw_dst:4.3.2.1,dec_ttl,mod_dl_src:02:00:00:00:00:77"),
    ("tcp", "mod_nw_src:1.2.3.4,mod_tp_src:1,mod_tp_dst:65535"), ("udp", "mod_nw_dst:255.255.255.255,mod_tp_dst:9"),
    ("ip", "push_mpls:0x8847,set_field:77->mpls_label,set_field:5->mpls_tc"), ("ipv6", "push_mpls:0x8848"),
    ("mpls", "pop_mpls:0x0800"), ("mpls", "push_mpls:0x8847"), ("arp", "move:arp_sha[]->arp_tha[],move:arp_spa[]->arp_tpa[]"),
    ("ip", "move:ip_src[]->ip_dst[]"), ("ip", "move:ip_src[0..7]->ip_dst[8..15]"), ("tcp", "move:tcp_src[]->tcp_dst[]"),
    ("ipv6", "move:ipv6_src[0..63]->ipv6_dst[64..127],set_field:::1/::ffff->ipv6_src"),
    ("", "move:eth_src[]->eth_dst[],load:0x5->eth_src[0..3]"),
    ("ip", "set_field:0.0.0.255/0.0.255.255->ip_src"), ("tcp", "set_field:0x50/0xff->tcp_dst"),
    ("icmp6,icmp_type=135,icmp_code=0", "set_field:136->icmpv6_type,move:nd_target[]->ipv6_src[],move:eth_src[]->eth_dst[]"),
    # an ARP responder and an ND responder as OVN has them
    ("arp", "move:eth_src[]->eth_dst[],set_field:02:00:00:00:00:99->eth_src,load:2->arp_op[],move:arp_sha[]->arp_tha[],"
            "set_field:02:00:00:00:00:99->arp_sha,move:arp_tpa[]->arp_spa[],set_field:10.1.1.1->arp_tpa"),
    ("ip", "push_vlan:0x8100,set_field:4196->vlan_vid,dec_ttl,set_field:9.9.9.9->ip_dst"),
]


def cases(r):
    for match, fields in FIELDS.items():
        for field, value in fields.items():
            for _ in range(12 if FULL else 2):
                v = value(r)
                if field == "vlan_vid":
                    v = str(int(v) | 0x1000)
                yield "mpls" if match == "mplsm" else match, f"set_field:{v}->{field}"
    yield from ACTIONS


class Pcap:
    """What a dummy port of Open vSwitch has sent since last asked."""

    def __init__(self, path):
        self.path, self.at = path, 24

    def read(self):
        with open(self.path, "rb") as f:
            f.seek(self.at)
            data = f.read()
        out = []
        while len(data) >= 16:
            n = struct.unpack("=I", data[8:12])[0]
            if len(data) < 16 + n:
                break
            out.append(data[16:16 + n])
            data, self.at = data[16 + n:], self.at + 16 + n
        return out


def until_sentinel(read):
    """All frames before the one that says there are no more."""
    got, end = [], time.monotonic() + 20
    while time.monotonic() < end:
        got += read()
        if SENTINEL in got:
            assert got[-1] == SENTINEL
            return got[:-1]
        time.sleep(.001)
    raise AssertionError(f"the last packet did not arrive; {len(got)} did")


@pytest.mark.skipif(not all(SBIN.values()), reason="Open vSwitch is not installed")
def test_every_rewrite_equals_open_vswitch(tmp_path):
    sw = Ovs(tmp_path)
    differ, compared = [], 0
    try:
        args = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath-type=dummy", "fail-mode=secure",
                "--", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2"]
        for i in (1, 2):
            args += ["--", "add-port", "br0", f"p{i}", "--", "set", "interface", f"p{i}", "type=dummy",
                     f"ofport_request={i}", f"options:tx_pcap={tmp_path}/p{i}.pcap"]
        sw.vsctl(*args, "--", "set", "bridge", "br0", "protocols=OpenFlow10,OpenFlow13,OpenFlow15")
        pcap = Pcap(f"{tmp_path}/p2.pcap")
        with DatapathProcess("--no-huge") as process:
            dp = process.connect(writer=True)
            dp.transaction([("bridge_set", dict(name="br0", open=1, fail_secure=1))] +
                           [("port_set", dict(name=f"p{i}", type="dummy", bridge="br0", ofport=i)) for i in (1, 2)])

            def run(match, actions, frames):
                last = "priority=65535,dl_dst=02:00:00:00:77:77 actions=output:2"
                flow = f"priority=5,in_port=1{',' * bool(match)}{match} actions={actions}{',' * bool(actions)}output:2"
                # What 1.0 does to any packet, later versions push a tag for.
                for version in ("OpenFlow10",) if not match and "_vlan" in actions and "push" not in actions else ("OpenFlow15", "OpenFlow10"):
                    try:
                        sw.cmd(SBIN["ovs-ofctl"], "-O", version, "replace-flows", "br0", "-", input=f"{last}\n{flow}\n")
                        break
                    except AssertionError:
                        if version == "OpenFlow10":
                            raise
                sw.appctl("revalidator/purge")  # or its cache may answer with the rules before
                dp.transaction([rule(DELETE, table=255), flowbits.rule(last), flowbits.rule(flow)])
                for f in (*frames, SENTINEL):
                    sw.appctl("netdev-dummy/receive", "p1", f.hex())
                    dp.call("dummy_receive", dict(port="p1", packet=f))
                return until_sentinel(pcap.read), until_sentinel(lambda: dp.frames_sent("p2"))

            every, matching = packets(), {}
            for match, actions in cases(random.Random(SEED)):
                if match not in matching:
                    passed = set(run(match, "", every.values())[0])
                    matching[match] = {name: f for name, f in every.items() if f in passed}
                theirs, ours = run(match, actions, matching[match].values())
                compared += len(theirs)
                if theirs == ours:
                    continue
                for name, frame in matching[match].items():
                    a, b = run(match, actions, [frame])
                    if a != b and not open_vswitch_is_wrong(match, actions, name):
                        differ.append(f"{match} {actions} on {name} {frame.hex()}:\n  ovs    {[x.hex() for x in a]}\n"
                                      f"  sluice {[x.hex() for x in b]}")
    finally:
        sw.close()
    print(f"{compared} packets compared, {len(differ)} differ")
    assert not differ, "\n".join(differ[:40])
    assert compared > 1500
