# SPDX-License-Identifier: BSD-3-Clause
"""VLAN modes with real traffic: containers whose kernels make the tags (VLAN sub-interfaces), and frames seen
bit by bit at each of them.

    a, a2   access 10          nt  native-tagged 10, trunks 10,20       t1, t2  dot1q-tunnel 100, cvlans 5
    b       access 20          nu  native-untagged 10, trunks 10,20     tr      trunk
    pa, pn  access 10 with priority-tags always, if-nonzero
"""
import concurrent.futures
import ctypes
import os
import socket
import struct
import subprocess
import time

import pytest

from control_process import Switch
from datapath_process import wait_until
from porthost import Netns, sh
import vlan_shim
from vlan_shim import PacketSocket

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

PORTS = {
    "a": "tag=10", "a2": "tag=10", "b": "tag=20",
    "nt": "vlan_mode=native-tagged tag=10 trunks=10,20",
    "nu": "vlan_mode=native-untagged tag=10 trunks=10,20",
    "t1": "vlan_mode=dot1q-tunnel tag=100 cvlans=5 other_config:qinq-ethtype=802.1ad",
    "t2": "vlan_mode=dot1q-tunnel tag=100 cvlans=5 other_config:qinq-ethtype=802.1ad",
    "tr": "", "pa": "tag=10 other_config:priority-tags=always",
    "pn": "tag=10 other_config:priority-tags=if-nonzero",
}
# (container, interface, network): the address is 10.88.<network>.<number of the container>
ADDRESSES = [("a", "eth0", 10), ("a2", "eth0", 10), ("b", "eth0", 20), ("nt", "eth0.10", 10), ("nt", "eth0.20", 20),
             ("nt", "eth0.30", 30), ("nu", "eth0", 10), ("nu", "eth0.20", 20), ("nu", "eth0.30", 30),
             ("t1", "eth0.5", 5), ("t1", "eth0.6", 6), ("t2", "eth0.5", 5), ("t2", "eth0.6", 6),
             ("tr", "eth0.10", 10), ("tr", "eth0.20", 20), ("tr", "eth0.30", 30), ("tr", "eth0.100.5", 5),
             ("pa", "eth0", 10), ("pn", "eth0", 10)]
ALLOWED = {5, 10, 20}  # 30 is in nobody's trunks but tr's, 6 in no tunnel
NUMBER = {name: i + 1 for i, name in enumerate(PORTS)}
MARK = 0x88b5


class Station(PacketSocket):
    """A raw socket in a container."""

    def __init__(self, ns):
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as own, open(f"/run/netns/{ns}") as there:
            assert libc.setns(there.fileno(), 0) == 0
            try:
                super().__init__()
            finally:
                assert libc.setns(own.fileno(), 0) == 0

    def frames(self):
        """Layer-2 headers after the addresses of the test frames that have come: [(tpid, tci), …] each."""
        out = []
        self.s.settimeout(0)
        while True:
            try:
                data = self.receive()
            except BlockingIOError:
                return out
            tags, at = [], 12
            while data and (kind := struct.unpack_from("!H", data, at)[0]) in (0x8100, 0x88a8):
                tags.append((kind, struct.unpack_from("!H", data, at + 2)[0]))
                at += 4
            if data and kind == MARK:
                out.append(tags)

    def send(self, source, *tags):
        head = b"\xff" * 6 + bytes([2, 0, 0, 0, 0x88, source])
        head += b"".join(struct.pack("!HH", *t) for t in tags)
        self.s.send(head + struct.pack("!H", MARK) + bytes(60))


def vlan_devices(ns, names):
    """Sub-interfaces such as eth0.10 and eth0.100.5 (the outer one 802.1ad). The process to end, or None."""
    if not names:
        return None
    if sh("ip link add link lo name vmtest type vlan id 1; ip link del vmtest 2>&1", check=False) == "":
        for dev in names:
            parent, vid = dev.rsplit(".", 1)
            if "." in parent:
                ns.sh(f"ip link add link eth0 name {parent} type vlan proto 802.1ad id {parent.rsplit('.', 1)[1]}")
                ns.sh(f"ip link set {parent} up")
            ns.sh(f"ip link add link {parent} name {dev} type vlan id {vid}")
        return None
    words = []
    for dev in names:
        _, *vids = dev.split(".")
        kinds = ["8100"] if len(vids) == 1 else ["88a8", "8100"]
        words.append(f"{dev}=" + ",".join(f"{k}:{v}" for k, v in zip(kinds, vids)))
    shim = ns.popen(["/usr/bin/python3", vlan_shim.__file__, *words], stdout=subprocess.PIPE, text=True)
    assert shim.stdout.readline() == "ready\n"
    return shim


@pytest.fixture(scope="module")
def lab():
    tag = f"vm{os.getpid() % 10000}"
    spaces, shims = {n: Netns(f"{tag}{n}") for n in PORTS}, []
    try:
        with Switch() as sw:
            sw.vsctl("add-br", f"{tag}br", "--", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2")
            for name, settings in PORTS.items():
                ns = spaces[name]
                sh(f"ip link add {tag}{name} type veth peer name eth0 netns {ns.name}")
                ns.sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1")
                ns.sh("ip link set eth0 up")
                shims.append(vlan_devices(ns, [dev for n, dev, _ in ADDRESSES if n == name and "." in dev]))
                for _, dev, net in (x for x in ADDRESSES if x[0] == name):
                    ns.sh(f"ip link set {dev} up")
                    ns.sh(f"ip addr add 10.88.{net}.{NUMBER[name]}/24 dev {dev}")
                words = ["--", "set", "Port", f"{tag}{name}", *settings.split()] if settings else []
                sw.vsctl("add-port", f"{tag}br", f"{tag}{name}", *words)
            yield sw, spaces, tag
    finally:
        for shim in shims:
            if shim:
                shim.kill()
                shim.wait()
        for ns in spaces.values():
            ns.close()


def test_containers_reach_each_other_exactly_within_their_vlans(lab):
    _, spaces, _ = lab

    def reaches(src, dst, net, tries):
        return any("1 packets received" in spaces[src].sh(f"busybox ping -c 1 -W 1 10.88.{net}.{NUMBER[dst]}", check=False)
                   for _ in range(tries))

    def check(pair):
        (src, dev, net), dst = pair
        if reaches(src, dst, net, 5 if net in ALLOWED else 1) != (net in ALLOWED):
            return f"{src} {dev} -> {dst}: {'no answer' if net in ALLOWED else 'answers'}"

    pairs = [(a, b[0]) for a in ADDRESSES for b in ADDRESSES if a[2] == b[2] and a[0] != b[0]]
    with concurrent.futures.ThreadPoolExecutor(8) as some:
        wrong = [x for x in some.map(check, pairs) if x]
    assert not wrong, wrong


V10, V20, S100, C5 = (0x8100, 10), (0x8100, 20), (0x88a8, 100), (0x8100, 5)
PCP5 = 5 << 13
SEEN = [  # sender, tags as sent, what each container must see; those not named: nothing
    ("a", (), dict(a2=[], nt=[V10], nu=[], tr=[V10], pa=[(0x8100, 0)], pn=[])),
    ("b", (), dict(nt=[V20], nu=[V20], tr=[V20])),
    ("nt", (), dict(a=[], a2=[], nu=[], tr=[V10], pa=[(0x8100, 0)], pn=[])),
    ("nt", (V10,), dict(a=[], a2=[], nu=[], tr=[V10], pa=[(0x8100, 0)], pn=[])),
    ("nu", (), dict(a=[], a2=[], nt=[V10], tr=[V10], pa=[(0x8100, 0)], pn=[])),
    ("nu", (V20,), dict(b=[], nt=[V20], tr=[V20])),
    ("nu", ((0x8100, 30),), dict()),
    ("a", (V10,), dict()),  # an access port takes no tags
    ("t1", (C5,), dict(t2=[C5], tr=[S100, C5])),
    ("t1", ((0x8100, 6),), dict()),
    ("tr", (S100, C5), dict(t1=[C5], t2=[C5])),
    # Priority tags carry a priority and no VLAN.
    ("a", ((0x8100, PCP5),), dict(a2=[], nt=[(0x8100, PCP5 | 10)], nu=[], tr=[(0x8100, PCP5 | 10)],
                                  pa=[(0x8100, PCP5)], pn=[(0x8100, PCP5)])),
]


def dropped(sw):
    return sum(d["count"] for d in sw.show("drops") if d["reason"] in ("vlan_not_allowed", "vlan_tagged_on_access"))


@pytest.fixture(scope="module")
def stations(lab):
    made = {n: Station(ns.name) for n, ns in lab[1].items()}
    yield made
    for s in made.values():
        s.s.close()


@pytest.mark.parametrize("sender,tags,expected", SEEN, ids=[f"{s}-{'.'.join(hex(x[1]) for x in t)}" for s, t, _ in SEEN])
def test_tags_as_they_arrive(lab, stations, sender, tags, expected):
    sw, _, _ = lab
    got = {n: s.frames() and [] for n, s in stations.items() if n != sender}
    before = dropped(sw)

    def collect():
        for n, frames in got.items():
            frames += stations[n].frames()
        return all(got[n] for n in expected)

    stations[sender].send(NUMBER[sender], *tags)
    wait_until(lambda: collect() and (expected or dropped(sw) > before))
    time.sleep(0.1)  # and what must not come
    collect()
    assert got == {n: ([expected[n]] if n in expected else []) for n in got}, got
