# SPDX-License-Identifier: BSD-3-Clause
"""Network policy for tests of the datapath: compiled policies written by hand for POLICY_SET, guests on
dummy ports, and packets that say where they arrived."""
import ipaddress
import logging
import struct

import pytest

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.all import IP, TCP, UDP, Ether, IPv6, Raw  # noqa: E402

from datapath_process import DatapathProcess, wait_until  # noqa: E402

INGRESS, EGRESS = 0, 1
ADMIN, ALLOWS, BASELINE = 0, 1, 2
ALLOW, DENY, PASS = 0, 1, 2
CHECK = 3            # endpoint flags: MACs and addresses
MAY_SERVE_DHCP, MAY_ADVERTISE = 4, 8
PROTECTED, MAY_TAG, IS_HOST = 16, 32, 64
PEER_HOST, PEER_ANY = 1, 2
DHCP, DHCPV6, SLAAC, HOST_ROUTES = 1, 2, 4, 8
GUEST, HOST, UPLINK = 0, 1, 2
HOST_MAC = "02:00:00:00:00:64"
HOST_IP, HOST_IP6 = "10.0.0.100", "fd00::64"
OUTSIDE_MAC = "02:00:00:00:00:c8"


def prefix(text, exception=False):
    net = ipaddress.ip_network(text, strict=False)
    return struct.pack("BBBB16s", net.version, net.prefixlen, exception, 0,
                       net.network_address.packed)


def prefixes(*texts):
    return b"".join(prefix(t.lstrip("!"), t.startswith("!")) for t in texts)


def ids(*numbers):
    return struct.pack(f"={len(numbers)}I", *sorted(numbers))


def service(proto, first=0, last=None):
    return struct.pack("=BBHH", proto, 0, first, first if last is None else last)


def icmp_type(n, proto=1):
    return service(proto, n << 8, n << 8 | 255)


TCP_ANY, UDP_ANY = service(6, 0, 65535), service(17, 0, 65535)


class Guest:
    """Guest i is endpoint i on port p<i> with 10.0.0.<i> and fd00::<i>."""

    def __init__(self, i):
        self.id, self.port, self.name = i, f"p{i}", f"g{i}"
        self.mac = f"02:00:00:00:00:{i:02x}"
        self.ip, self.ip6 = f"10.0.0.{i}", f"fd00::{i:x}"
        self.link_local = f"fe80::ff:fe00:{i:x}"

    def endpoint(self, **more):
        attrs = dict(id=self.id, name=self.name, port=self.port, network_id=1,
                     macs=bytes.fromhex(self.mac.replace(":", "")),
                     prefixes=prefixes(self.ip, self.ip6), endpoint_flags=CHECK, isolated=0)
        attrs.update(more)
        return attrs


class Rules:
    """Collects peers and rules of one policy."""

    def __init__(self):
        self.peers, self.rules = [], []

    def peer_set(self, *endpoint_ids, cidrs=(), host=False, any_=False):
        n = len(self.peers) + 1
        self.peers.append(dict(id=n, endpoint_ids=ids(*endpoint_ids), prefixes=prefixes(*cidrs),
                               peer_flags=(PEER_HOST if host else 0) | (PEER_ANY if any_ else 0)))
        return n

    def add(self, name, direction, endpoints, peers=None, services=b"", tier=ALLOWS, verdict=ALLOW,
            **more):
        self.rules.append(dict(id=len(self.rules) + 1, name=name, direction=direction, tier=tier,
                               verdict=verdict, endpoint_ids=ids(*endpoints), peers_id=peers,
                               services=services, **more))


def policy_op(endpoints, rules=None, networks=None, host=True, digest=1, **more):
    endpoints = list(endpoints)
    if host:
        endpoints.append(dict(id=1000, name="host", endpoint_flags=IS_HOST,
                              prefixes=prefixes(HOST_IP, HOST_IP6)))
    attrs = dict(policy_hash=bytes([digest]) * 32, policy_document=b"text",
                 policy_network=networks or [dict(id=1, name="lan", network_flags=0)],
                 policy_endpoint=endpoints, policy_peers=rules.peers if rules else [],
                 policy_rule=rules.rules if rules else [], **more)
    return ("policy_set", {k: v for k, v in attrs.items() if v or not isinstance(v, list)})


class Lab:
    """br0, policed, with guests p1 …, the host's port `host` and an uplink `up`."""

    def __init__(self, dp, n=3):
        self.dp = dp
        self.guests = {i: Guest(i) for i in range(1, n + 1)}
        dp.transaction(
            [("bridge_set", dict(name="br0", open=1, policed=1))] +
            [("port_set", dict(name=g.port, type="dummy", bridge="br0", ofport=i))
             for i, g in self.guests.items()] +
            [("port_set", dict(name="host", type="dummy", bridge="br0", ofport=100, role=HOST)),
             ("port_set", dict(name="up", type="dummy", bridge="br0", ofport=200, role=UPLINK))])
        self.ports = [g.port for g in self.guests.values()] + ["host", "up"]
        # Static addresses: nothing is flooded for want of knowledge.
        macs = [(g.mac, g.port) for g in self.guests.values()]
        dp.transaction([("mac_set", dict(bridge="br0", vlan=0, mac=m, port=p))
                        for m, p in macs + [(HOST_MAC, "host"), (OUTSIDE_MAC, "up")]])
        self.serial = 0
        self.received = {}

    def set(self, op, *more):
        self.dp.transaction([op, *more])

    def who(self, name):
        """(port, MAC, IPv4, IPv6) of a guest's number, "host" or an outside address."""
        if name == "host":
            return "host", HOST_MAC, HOST_IP, HOST_IP6
        if name == "up":
            return "up", OUTSIDE_MAC, "192.0.2.1", "2001:db8::1"
        g = self.guests[name]
        return g.port, g.mac, g.ip, g.ip6

    def frame(self, a, b, l4, v6=False, **ip):
        (_, smac, s4, s6), (_, dmac, d4, d6) = self.who(a), self.who(b)
        l3 = IPv6(src=s6, dst=d6) if v6 else IP(src=s4, dst=d4)
        for k, v in ip.items():
            setattr(l3, k, v)
        self.serial += 1
        return bytes(Ether(dst=dmac, src=smac) / l3 / l4)

    def receive(self, port, frame):
        self.received[port] = self.received.get(port, 0) + 1
        self.dp.call("dummy_receive", dict(port=port, packet=bytes(frame)))

    def at_rest(self):
        """Everything received before has been dealt with: counted as sent, dropped, absorbed."""
        for s in self.dp.dump("port_stats"):
            if s["rx_packets"] != self.received.get(s["port"], 0):
                return False
            have = s.get("rx_packets", 0) + s.get("handed", 0) + s.get("created", 0)
            gone = sum(s.get(k, 0) for k in ("sent", "tx_packets", "dropped", "absorbed"))
            if have != gone or s.get("held"):
                return False
        return True

    def settle(self):
        wait_until(self.at_rest, timeout=5, every=0.003)

    def drain(self):
        for p in self.ports:
            self.dp.frames_sent(p)

    def send(self, port, frame):
        """{port: [frames]} that came out."""
        self.drain()
        self.receive(port, frame)
        self.settle()
        out = {p: self.dp.frames_sent(p) for p in self.ports}
        return {p: f for p, f in out.items() if f}

    def passes(self, a, b, l4, v6=False, **ip):
        """Does a packet from a arrive at b?"""
        out = self.send(self.who(a)[0], self.frame(a, b, l4, v6, **ip))
        assert set(out) <= {self.who(b)[0]}, out
        return bool(out)

    def drops(self):
        """Packets dropped by reason, all ports."""
        total = {}
        for d in self.dp.dump("drops"):
            total[d["reason"]] = total.get(d["reason"], 0) + d["count"]
        return total

    def hits(self):
        return {h["name"]: h for h in self.dp.dump("policy_hits")}

    def drop_of(self, port, frame, times=1):
        """The one reason for which the frame was dropped, having arrived nowhere."""
        before = self.drops()
        out = self.send(port, frame)
        assert not out, out
        after = self.drops()
        grown = {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}
        assert sum(grown.values()) == times, grown
        return "+".join(grown)


def tcp(sport, dport, flags="S", **more):
    return TCP(sport=sport, dport=dport, flags=flags, **more)


def udp(sport, dport, data=b"x"):
    return UDP(sport=sport, dport=dport) / Raw(data)


@pytest.fixture
def lab():
    """For the files that import it: guests, the host and an uplink on one policed bridge."""
    with DatapathProcess("--no-huge") as p:
        yield Lab(p.connect(writer=True))


def endpoints(lab, **more):
    return [g.endpoint(**more.get(g.name, {})) for g in lab.guests.values()]
