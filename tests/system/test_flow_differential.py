# SPDX-License-Identifier: BSD-3-Clause
"""The flow library against Open vSwitch's own: the packets of tests/unit/flow/packets.txt and
damaged copies of them through `ovs-ofctl parse-pcap`, random matches through `ovs-ofctl
parse-flows`. SLUICE_FULL=1 takes many more."""
import os
import random
import re
import struct
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
HOST = os.path.join(BUILD, "bin/flow-host")
FULL = os.environ.get("SLUICE_FULL") == "1"
SEED = int(os.environ.get("SLUICE_SEED", "1"))


def ours(lines):
    done = subprocess.run([HOST], input="".join(l + "\n" for l in lines), capture_output=True,
                          text=True, timeout=300, check=True)
    out = done.stdout.splitlines()
    assert len(out) == len(lines)
    return out


def packets(count):
    """Those of the unit test, then `count` damaged ones; Open vSwitch wants whole Ethernet headers."""
    with open(os.path.join(ROOT, "tests/unit/flow/packets.txt"), encoding="ascii") as f:
        rows = [line.split()[:2] for line in f]
    # More extension headers than we look at: the one difference that is meant.
    good = [(n, bytes.fromhex(h)) for n, h in rows if h != "-" and n != "ipv6_nine_ext"]
    rng, out = random.Random(SEED), list(good)
    for i in range(count):
        name, data = rng.choice(good)
        data = bytearray(data)
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            data[rng.randrange(len(data))] = rng.choice(
                [0, 255, rng.randrange(256), rng.choice(data)])
        if rng.random() < .2:
            data = data[:rng.randrange(len(data) + 1)]
        if rng.random() < .2:
            data += bytes(rng.randrange(1, 50))
        out.append(("%s~%d" % (name, i), bytes(data)))
    return [(n, d) for n, d in out if len(d) >= 14]


# What one side prints and the other has no field for, or hides.
NOT_COMPARED = {"in_port", "nd_options_type", "nd_reserved", "mpls_lse1", "mpls_lse2"}
ZERO = {"0", "0x0", "0x0000", "0x00000", "0.0.0.0", "::", "00:00:00:00:00:00", "no", "ANY", None}


def fields(text):
    """A printed flow as a dictionary without zeros, VLAN tags as one number."""
    f = {}
    for item in text.strip().split(","):
        key, _, value = item.partition("=")
        f[key] = value or True
    vid, pcp = f.pop("dl_vlan", None), f.pop("dl_vlan_pcp", None)
    if vid is not None or pcp is not None:
        f["vlan_tci"] = "0x%04x" % (0x1000 | int(vid or 0) | int(pcp or 0) << 13)
    f = {k: v for k, v in f.items() if v not in ZERO and k not in NOT_COMPARED and
         not re.match(r"(dl_vlan|dl_vlan_pcp|vlan_tci)1$", k)}
    # Type and code of ICMP's cousins have no field; the other one's option neither.
    if f.get("nw_proto") in ("1", "2", "58"):
        f.pop("tp_src", None)
        f.pop("tp_dst", None)
    if f.get("icmp_type") == "136":
        f.pop("nd_sll", None)
    elif f.get("icmp_type") == "135":
        f.pop("nd_tll", None)
    return f


def test_packets_become_the_same_flow(tmp_path):
    rows = packets(200_000 if FULL else 10_000)
    pcap = tmp_path / "packets.pcap"
    with open(pcap, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for _, data in rows:
            f.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
    done = subprocess.run(["ovs-ofctl", "parse-pcap", pcap], capture_output=True, text=True,
                          timeout=300, check=True)
    theirs = [line for line in done.stdout.splitlines() if line.strip()]
    assert len(theirs) == len(rows)
    different = []
    mine = ours(["packet " + data.hex() for _, data in rows])
    for (name, data), a, b in zip(rows, theirs, mine):
        if fields(a) != fields(b):
            different.append("%s %s\n  %s\n  %s" % (name, data.hex(), a, b))
    assert not different, "%d differ:\n%s" % (len(different), "\n".join(different[:5]))


def number(rng, bits):
    return rng.choice([0, 1, (1 << bits) - 1, rng.getrandbits(bits)])


def integer(bits, masked):
    def make(rng):
        v = number(rng, bits)
        if not masked or rng.random() < .5:
            return hex(v) if bits > 64 or rng.random() < .5 else str(v)
        mask = number(rng, bits) or 1
        return "0x%x/0x%x" % (v & mask, mask)
    return make


def mac(rng):
    def one():
        return ":".join("%02x" % rng.randrange(256) for _ in range(6))
    return one() + ("/" + one() if rng.random() < .3 else "")


def ip4(rng):
    addr = ".".join(str(rng.randrange(256)) for _ in range(4))
    return addr + rng.choice(["", "/%d" % rng.randint(1, 32), "/255.0.255.0"])


def ip6(rng):
    groups = [rng.choice(["0", "%x" % rng.getrandbits(16)]) for _ in range(8)]
    return ":".join(groups) + rng.choice(["", "/%d" % rng.randint(1, 128)])


def flags(*names):
    def make(rng):
        some = [n for n in names if rng.random() < .4] or [names[0]]
        return "".join(rng.choice("+-") + n for n in some)
    return make


ANYWHERE = {
    "reg0": integer(32, True), "reg15": integer(32, True), "xreg1": integer(64, True),
    "xxreg2": integer(128, True), "metadata": integer(64, True), "tun_id": integer(64, True),
    "tun_src": ip4, "tun_dst": ip4, "tun_ipv6_dst": ip6, "tun_gbp_id": integer(16, True),
    "tun_gbp_flags": integer(8, False), "tun_metadata0": integer(32, True),
    "in_port": lambda rng: str(rng.randint(1, 65000)), "pkt_mark": integer(32, True),
    "dp_hash": integer(32, True), "conj_id": integer(32, False), "ct_zone": integer(16, False),
    "ct_mark": integer(32, True), "ct_label": integer(128, True),
    "ct_state": flags("trk", "new", "est", "rel", "rpl", "inv", "snat", "dnat"),
    "dl_src": mac, "dl_dst": mac, "dl_vlan": integer(12, False),
    "dl_vlan_pcp": integer(3, False), "vlan_tci": lambda rng: rng.choice(
        ["0x0000", "0x1000/0x1000", "0x1fff/0x1fff", "0x%04x/0x1fff" % (0x1000 | number(rng, 12))]),
}
IPV4 = {"nw_src": ip4, "nw_dst": ip4}
IPV6 = {"ipv6_src": ip6, "ipv6_dst": ip6, "ipv6_label": integer(20, True)}
IP = {"nw_ttl": integer(8, False), "nw_ecn": integer(2, False), "ip_dscp": integer(6, False),
      "nw_frag": lambda rng: rng.choice(["no", "yes", "first", "later", "not_later"])}
PORTS = {"tp_src": integer(16, True), "tp_dst": integer(16, True)}
TCP = {"tcp_flags": flags("fin", "syn", "rst", "ack", "ns")}
PROTOCOLS = {
    "": {}, "ip": {**IPV4, **IP}, "ipv6": {**IPV6, **IP}, "tcp": {**IPV4, **IP, **PORTS, **TCP},
    "tcp6": {**IPV6, **IP, **PORTS, **TCP}, "udp": {**IPV4, **IP, **PORTS},
    "sctp6": {**IPV6, **IP, **PORTS},
    "icmp": {**IPV4, "icmp_type": integer(8, False), "icmp_code": integer(8, False)},
    "arp": {"arp_spa": ip4, "arp_tpa": ip4, "arp_sha": mac, "arp_tha": mac,
            "arp_op": integer(8, False)},
    "icmp6,icmp_type=135,icmp_code=0": {**IPV6, "nd_target": ip6, "nd_sll": mac},
    "icmp6,icmp_type=136,icmp_code=0": {**IPV6, "nd_target": ip6, "nd_tll": mac},
    "mpls": {"mpls_label": integer(20, False), "mpls_tc": integer(3, False),
             "mpls_bos": integer(1, False), "mpls_ttl": integer(8, False)},
    "dl_type=0x1234": {},
}
# Rows of the field table that lie over each other: one of them per match.
OVERLAP = [{"xreg1", "xxreg0"}, {"dl_vlan", "dl_vlan_pcp", "vlan_tci"}, {"tun_src", "tun_ipv6_dst"},
           {"tun_dst", "tun_ipv6_dst"}]


def random_match(rng):
    proto = rng.choice(list(PROTOCOLS))
    makers = {**ANYWHERE, **PROTOCOLS[proto]}
    names = rng.sample(sorted(makers), rng.randint(0, 6))
    for group in OVERLAP:
        for extra in [n for n in names if n in group][1:]:
            names.remove(extra)
    if "nw_frag" in names and set(names) & {"tp_src", "tp_dst", "tcp_flags"}:
        names.remove("nw_frag")  # a later fragment has no ports; Open vSwitch sends them all the same
    return ",".join(([proto] if proto else []) + ["%s=%s" % (n, makers[n](rng)) for n in names])


def test_matches_print_the_same(tmp_path):
    rng = random.Random(SEED)
    matches = [random_match(rng) for _ in range(30_000 if FULL else 3_000)]
    path = tmp_path / "flows.txt"
    path.write_text("".join("%s%sactions=drop\n" % (m, "," if m else "") for m in matches))
    done = subprocess.run(["ovs-ofctl", "-F", "NXM", "parse-flows", path],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    theirs = [m.group(1).strip() for m in
              re.finditer(r"ADD (.*?) ?actions=drop", done.stdout)]
    assert len(theirs) == len(matches), done.stderr[:500]
    different = [(m, a, b) for m, a, b in zip(matches, theirs, ours(["match " + m for m in matches]))
                 if a != b]
    assert not different, "%d differ, such as\n%s" % (
        len(different), "\n".join("%s\n  %s\n  %s" % d for d in different[:5]))
