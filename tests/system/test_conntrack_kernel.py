# SPDX-License-Identifier: BSD-3-Clause
"""The connection tracker against Linux's own: the same packets through a namespace that forwards with
nf_conntrack and through Sluice, compared state by state and translation by translation. Where the two
differ, and why, is said in DIFFERENCES; a difference that is not there, or one that has gone, fails."""
import os
import socket
import subprocess
import time

import pytest
from scapy.all import IP, TCP, UDP, Ether

from test_conntrack import NATTED, SCENARIOS, C, Ours, S, describe, rules

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/sys/net/netfilter/nf_conntrack_max"),
                                reason="this kernel has no nf_conntrack")
STATES = {1: "inv", 2: "new", 3: "est", 4: "rel"}
RULES = "".join(
    f"ct state {name} ct direction {way} ip dscp set {code + extra} accept;"
    for way, extra in (("original", 0), ("reply", 8))
    for code, name in ((2, "new"), (3, "established"), (4, "related")))


def sh(command, **kwargs):
    r = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30, **kwargs)
    assert not r.returncode, f"{command}: {r.stderr}"
    return r.stdout


class Kernel:
    """Namespace ctk forwards between ctkc (client's side) and ctks (server's side); the other ends,
    ctkc0 and ctks0, are here."""

    def __init__(self):
        subprocess.run("ip netns del ctk", shell=True, capture_output=True)
        sh("ip netns add ctk")
        self.sockets, self.macs = {}, {}
        for port, name, addresses in ((1, "ctkc", (C,)), (2, "ctks", (S, "10.0.0.77", "10.9.9.9"))):
            sh(f"ip link add {name}0 type veth peer name {name} netns ctk && ip link set {name}0 up && "
               f"sysctl -qw net.ipv6.conf.{name}0.disable_ipv6=1 && ethtool -K {name}0 tx off rx off; "
               f"ip netns exec ctk ethtool -K {name} tx off rx off; ip -n ctk link set {name} up")
            self.macs[port] = sh(f"ip netns exec ctk cat /sys/class/net/{name}/address").strip()
            for a in addresses:
                sh(f"ip -n ctk route add {a}/32 dev {name} && "
                   f"ip -n ctk neigh add {a} lladdr 02:00:00:00:00:0{port} dev {name}")
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.bind((f"{name}0", 0))
            s.settimeout(.3)
            self.sockets[port] = s
        sh("ip netns exec ctk sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 "
           "net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.ctkc.rp_filter=0 "
           "net.ipv4.conf.ctks.rp_filter=0 net.ipv4.conf.all.accept_local=1 "
           "net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.ctkc.send_redirects=0 "
           "net.ipv4.conf.ctks.send_redirects=0")

    def load(self, nat):
        sh("ip netns exec ctk nft flush ruleset")
        kind = ""
        if nat.startswith(",nat(src="):
            kind = (f"chain n {{ type nat hook postrouting priority 100; oifname ctks "
                    f"meta l4proto {{tcp,udp,icmp,sctp}} snat to {nat[9:-1]}; }};\n")
        elif nat.startswith(",nat(dst="):
            kind = (f"chain n {{ type nat hook prerouting priority -100; iifname ctkc "
                    f"meta l4proto {{tcp,udp}} dnat to {nat[9:-1]}; }};\n")
        sh("ip netns exec ctk nft -f -", input=(
            f"table ip t {{ {kind} chain f {{ type filter hook forward priority 0; "
            f"ct state invalid ip dscp set 1 accept; {RULES} }};\n}}\n"))

    def flush(self):
        """A new namespace is the one sure way to forget every connection."""
        self.close()
        self.__init__()

    def send(self, port, frame):
        for s in self.sockets.values():
            s.setblocking(False)
            try:
                while s.recv(9000):
                    pass
            except BlockingIOError:
                pass
        data = bytearray(frame)
        data[0:6] = bytes.fromhex(self.macs[port].replace(":", ""))
        self.sockets[port].send(data)
        out = self.sockets[3 - port]
        end = time.monotonic() + .3
        while time.monotonic() < end:
            try:
                got = out.recv(9000)
            except BlockingIOError:
                time.sleep(.001)
                continue
            if got[12:14] == b"\x08\x00" and got[0:6] != data[0:6]:
                return got
        return None

    def close(self):
        for s in self.sockets.values():
            s.close()
        subprocess.run("ip netns del ctk; ip link del ctkc0; ip link del ctks0", shell=True,
                       capture_output=True)


@pytest.fixture(scope="module")
def switches():
    ours, kernel = Ours(), Kernel()
    yield ours, kernel
    kernel.close()
    ours.close()


def tuple_of(data):
    ip = Ether(data)[IP]
    ports = (ip[TCP].sport, ip[TCP].dport) if TCP in ip else (ip[UDP].sport, ip[UDP].dport) if UDP in ip else ()
    return (ip.src, ip.dst, *ports)


def kernel_says(data):
    if data is None:
        return "nothing"
    dscp = Ether(data)[IP].tos >> 2
    state = STATES.get(dscp & 7, "untracked")
    return f"{state}{' reply' if dscp & 8 else ''} {tuple_of(data)}"


def we_say(data):
    words = describe(data).split()[0].split("+")
    state = next((w for w in ("inv", "rel", "est", "new") if w in words), "untracked")
    return f"{state}{' reply' if 'rpl' in words and state != 'inv' else ''} {tuple_of(data)}"


# scenario → {packet number: why}. Both answers are right by their own model; ours is Open vSwitch's.
DIFFERENCES = {
    "reset": {6: "a SYN after a reset: a new connection at once; the kernel waits until it has timed out"},
    "late packets of both ends": {10: "likewise"},
    "sctp": {9: "an INIT after the shutdown: a new association, decided anew; to the kernel the old one's"},
    "sctp aborted": {6: "likewise after an abort"},
    "outside the window": {
        5: "a reset beyond the window is invalid; the kernel lets it through and keeps the connection",
        6: "likewise with an acknowledgement"},
    "window scaling": {4: "without a sent window of its own yet the opener's first offer counts unscaled"},
    "odd flags": {6: "a lone reset begins an entry that its answer may use; to the kernel it is invalid"},
    "simultaneous open": {1: "the second SYN is still +new; the kernel calls any answer established"},
    "errors": {4: "to an address without a route: the kernel forwards nothing"},
    "snat tcp": {5: "a packet without data is not held against the window"},
    "snat udp": {4: "from the server past the translation: a flow of its own, which keeps its port; the "
                    "kernel finds the tuple taken and moves the port"},
}
CASES = {name: ("", packets) for name, packets in SCENARIOS.items() if name != "ipv6"}
CASES.update({name: case for name, case in NATTED.items() if name in
              ("snat tcp", "snat udp", "snat echo", "dnat", "snat with one port", "snat reset",
               "snat errors both ways", "dnat errors both ways", "snat tcp errors", "snat sctp")})


@pytest.mark.parametrize("name", CASES)
def test_against_the_kernel(switches, name):
    ours, kernel = switches
    nat, packets = CASES[name]
    kernel.flush()
    kernel.load(nat)
    ours.load(rules(nat))
    differences = {}
    for i, (port, data) in enumerate(packets):
        a, b = we_say(ours.send(port, data)), kernel_says(kernel.send(port, data))
        if a != b:
            differences[i] = f"{Ether(data).summary()}: sluice {a}, kernel {b}"
    expected = DIFFERENCES.get(name, {})
    assert set(differences) == set(expected), "\n".join(f"{i} {t}" for i, t in differences.items())
