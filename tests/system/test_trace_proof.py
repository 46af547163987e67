# SPDX-License-Identifier: BSD-3-Clause
"""Issue 6, proof 1: for generated configurations (VLANs, rules, network policy, connection tracking, translation) and
generated packets, what trace predicts is what happens to the packet when it is injected: the ports it leaves by and its
bytes' fields there, the drop reason, the rule of table or policy; and the live trace and the capture say the same. SLUICE_FULL=1: more than
1,000 packets; SLUICE_SEED changes them."""
import collections
import logging
import os
import random

import pytest

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.all import ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, Raw  # noqa: E402

from datapath_process import DatapathProcess  # noqa: E402
from flowbits import ask_text, rule  # noqa: E402
from policylab import (ALLOW, DENY, EGRESS, HOST, INGRESS, IS_HOST, PASS, Guest, Rules, policy_op,  # noqa: E402
                       prefixes, service)
from test_capture import Capture  # noqa: E402

FULL = os.environ.get("SLUICE_FULL") == "1"
SEED = int(os.environ.get("SLUICE_SEED", "1"))
CONFIGURATIONS, PACKETS = (70, 25) if FULL else (20, 20)
N_PORTS = 4
HOSTS = range(1, 5)
KINDS = ["policed_rules", "nat", "pipeline", "policed_nat", "vlans", "firewall", "policed_rules", "pipeline", "normal",
         "policed_rules"]
SEEN = collections.Counter()


def mac(n):
    return f"02:00:00:00:00:{n:02x}"


class Configuration:
    """Ports with VLANs and rules; every rule has a cookie of its own."""

    def __init__(self, rng, number):
        self.rng, self.cookie = rng, 0
        self.kind = KINDS[number % len(KINDS)]
        self.policy = None
        self.ports = [dict() for _ in range(N_PORTS)]
        if self.kind in ("vlans", "pipeline"):
            for p in self.ports:
                p.update(rng.choice([{}, dict(vlan_mode=1, tag=10), dict(vlan_mode=1, tag=20),
                                     dict(trunks=self.bitmap(10)), dict(vlan_mode=3, tag=10)]))
        self.rules = getattr(self, self.kind)()

    @staticmethod
    def bitmap(*vlans):
        bits = bytearray(512)
        for v in vlans:
            bits[v // 8] |= 1 << v % 8
        return bytes(bits)

    def add(self, text):
        self.cookie += 1
        return f"cookie={self.cookie},{text}"

    def normal(self):
        return []

    def vlans(self):
        rules = [self.add("table=0,priority=0 actions=normal")]
        for i in range(self.rng.randrange(4)):
            rules.append(self.add(f"table=0,priority={10 + i},{self.match()} actions=drop"))
        return rules

    def match(self):
        return self.rng.choice(["ip", "arp", "udp", "tcp", "icmp", "tcp,tp_dst=80", "ip,nw_dst=10.0.0.2",
                                "ip,nw_src=10.0.0.0/30", "in_port=1", "dl_vlan=10", f"dl_dst={mac(3)}",
                                "ip,nw_tos=32", "udp,tp_src=53"])

    def actions(self, table, match):
        rng, out = self.rng, []
        for _ in range(rng.randrange(1, 4)):
            choice = rng.randrange(9)
            if choice < 3:
                out.append(f"output:{rng.randrange(1, N_PORTS + 2)}")
            elif choice == 3 and table < 3:
                out.append(f"resubmit(,{rng.randrange(table + 1, 4)})")
            elif choice == 4:
                out.append(f"mod_dl_dst:{mac(rng.choice(HOSTS))}")
            elif choice == 5 and match.split(",")[0] in ("ip", "tcp", "udp", "icmp"):
                out.append(rng.choice(["mod_nw_dst:10.0.0.3", "mod_nw_tos:32", "dec_ttl"]))
            elif choice == 6:
                out.append("push_vlan:0x8100,set_field:4116->vlan_vid" if rng.random() < .5 else "strip_vlan")
            elif choice == 7:
                out.append("normal")
            else:
                out.append(f"load:{rng.randrange(4)}->NXM_NX_REG0[]")
        return ",".join(out)

    def pipeline(self):
        rules = []
        for i, priority in enumerate(self.rng.sample(range(1, 200), 14)):
            table = self.rng.choice([0, 0, 1, 2, 3])
            match = self.match() if self.rng.random() < .8 else self.rng.choice(["reg0=1", "reg0=2"])
            rules.append(self.add(f"table={table},priority={priority},{match} "
                                  f"actions={self.actions(table, match) if self.rng.random() < .85 else 'drop'}"))
        if self.rng.random() < .6:
            rules.append(self.add("table=0,priority=0 actions=normal"))
        return rules

    def firewall(self, nat="", back=""):
        zone = self.rng.randrange(1, 5)
        out = "output:2" if nat else "normal"
        rules = [self.add("table=0,priority=20,arp actions=normal"),
                 self.add(f"table=0,priority=10,ip actions=ct(table=1,zone={zone}{back})"),
                 self.add("table=1,priority=30,ct_state=+trk+inv actions=drop"),
                 self.add(f"table=1,priority=20,ct_state=+trk+est,ip actions={'output:1' if nat else 'normal'}"),
                 self.add(f"table=1,priority=10,ct_state=+trk+new,in_port=1,tcp "
                          f"actions=ct(commit,zone={zone}{nat}),{out}"),
                 self.add(f"table=1,priority=11,ct_state=+trk+new,in_port=1,udp,tp_dst=53 "
                          f"actions=ct(commit,zone={zone}{nat}),{out}")]
        if nat:
            rules.append(self.add("table=1,priority=25,ct_state=+trk+est-rpl,ip actions=output:2"))
        return rules

    def nat(self):
        return self.firewall(self.rng.choice([",nat(src=10.9.9.1)", ",nat(src=10.9.9.1-10.9.9.3:2000-2010)"]), ",nat")

    def policed(self):
        """Ports 1 to 3 are guests with addresses of their own, 4 is the host's."""
        rng, r = self.rng, Rules()
        endpoints = [Guest(i).endpoint(name=f"g{i}", isolated=rng.choice([0, 0, 0, 1, 2, 3]), network_id=1,
                                       endpoint_flags=rng.choice([0, 3])) for i in (1, 2, 3)]
        endpoints.append(dict(id=1000, name="host", endpoint_flags=IS_HOST, prefixes=prefixes("10.0.0.4")))
        services = [b"", service(6, 80), service(6, 22), service(17, 53), service(6, 80) + service(17, 0, 65535),
                    service(1, 0, 65535)]
        for i in range(rng.randrange(2, 9)):
            kind = rng.randrange(4)
            peers = r.peer_set(*rng.sample([1, 2, 3], rng.randrange(1, 3))) if kind < 2 else \
                r.peer_set(cidrs=["10.0.0.0/24"]) if kind == 2 else r.peer_set(host=True)
            tier = rng.choice([0, 1, 1, 1, 2])
            r.add(f"rule-{i}", rng.choice([INGRESS, EGRESS]), rng.sample([1, 2, 3], rng.randrange(1, 4)), peers,
                  rng.choice(services), tier=tier, verdict=rng.choice([ALLOW, DENY, PASS]) if tier == 0 else
                  ALLOW if tier == 1 else rng.choice([ALLOW, DENY]))
        self.policy = policy_op(endpoints, r, host=False)
        self.ports[3]["role"] = HOST

    def policed_rules(self):
        self.policed()
        return self.rng.choice([self.normal, self.normal, self.vlans])()

    def policed_nat(self):
        self.policed()
        return self.firewall(",nat(src=10.9.9.1-10.9.9.3)", ",nat")

    def transaction(self):
        ops = [("bridge_set", dict(name="br0", open=1, policed=1 if self.policy else 0))]
        ops += [("port_set", dict(p, name=f"p{i + 1}", type="dummy", bridge="br0", ofport=i + 1))
                for i, p in enumerate(self.ports)]
        if self.policy:
            ops.append(self.policy)
        return ops + [rule(r) for r in self.rules]


class Traffic:
    """Packets between few hosts; some answer what was sent before, and tracked answers come by another port."""

    def __init__(self, rng, config):
        self.rng, self.sent, self.policed = rng, [], config.policy is not None
        self.nat = "nat" in config.kind

    def next(self):
        rng = self.rng
        if self.sent and rng.random() < .35:
            port, frame = rng.choice(self.sent)
            if rng.random() < .4:
                return port, frame
            return self.answer(port, frame)
        port, src, dst = rng.randrange(1, N_PORTS + 1), rng.choice(HOSTS), rng.choice(HOSTS)
        if rng.random() < .4:
            port = 1
        if self.policed and rng.random() < .9:  # by whom the address belongs to
            src = port
        if dst == src:  # a commit of such a packet is refused: its answer would be itself. A trace commits nothing
            dst = src % 4 + 1
        head = Ether(src=mac(src), dst=mac(dst) if rng.random() < .8 else "ff:ff:ff:ff:ff:ff")
        if rng.random() < .25:
            head = head / Dot1Q(vlan=rng.choice([10, 20, 30]), prio=rng.choice([0, 3]))
        ip = IP(src=f"10.0.0.{src}", dst=f"10.0.0.{dst}", ttl=rng.choice([64, 64, 1]), tos=rng.choice([0, 32]))
        body = rng.choice([
            lambda: ARP(psrc=f"10.0.0.{src}", pdst=f"10.0.0.{dst}", hwsrc=mac(src)),
            lambda: ip / TCP(sport=1000 + src, dport=rng.choice([80, 22]), flags=rng.choice(["S", "S", "A"]), seq=1),
            lambda: ip / UDP(sport=rng.choice([53, 5000]), dport=rng.choice([53, 9])) / Raw(b"x" * 20),
            lambda: ip / ICMP(id=5, seq=1)])()
        frame = bytes(head / body)
        frame += bytes(max(0, 60 - len(frame)))
        return port, frame

    def answer(self, port, frame):
        """The other end's packet, by the other port: as what came out, or with source and destination exchanged."""
        to = int(Ether(frame).dst[-2:], 16)
        port = to if self.policed and not self.nat and to in HOSTS else 2
        e = Ether(frame)
        e.src, e.dst = e.dst, e.src
        if e.src.startswith("ff"):
            e.src = mac(4)
        if IP in e:
            e[IP].src, e[IP].dst = e[IP].dst, e[IP].src
            del e[IP].chksum
            for layer in (TCP, UDP):
                if layer in e:
                    e[layer].sport, e[layer].dport = e[layer].dport, e[layer].sport
                    del e[layer].chksum
            if TCP in e:
                e[TCP].flags, e[TCP].ack, e[TCP].seq = "SA", 2, 1
        return port, bytes(e)


def prediction(dp, port, frame):
    t = dp.call("trace", dict(bridge="br0", in_port=port, packet=frame))
    steps = t.get("step", [])
    outputs = [s for s in steps if s["step_kind"] == "output"]
    drops = [s["reason"] for s in steps if s["step_kind"] == "drop"]
    tables = [s for s in steps if s["step_kind"] == "table"]
    reasons = [p["reason"] for p in t.get("part", []) if "reason" in p]
    absorbed = any(s["step_kind"] == "controller" for s in steps)
    denied = [p["denied_by"] for p in t.get("part", []) + steps if "denied_by" in p]
    verdicts = [(s["port"], s["direction"], s["name"], s.get("reason")) for s in steps if s["step_kind"] == "policy"]
    return dict(denied=denied, verdicts=sorted(verdicts), ports=sorted(s["port"] for s in outputs), flows=sorted(
        (s["port"], s["flow_text"]) for s in outputs if "flow_text" in s), steps=steps,
        reason=(reasons or drops or [None])[0] if not outputs and not absorbed else None,
        tables=tables,
        cookies={s.get("cookie", 0) for s in tables}, text=t["trace"])


def judge(config, port, frame, want, got, record, live):
    """What does not agree; empty when everything does."""
    wrong = []
    ports = sorted(p for p, frames in got.items() for _ in frames)
    captured = sorted(o["port"] for o in record.get("output", []) if "reason" not in o)
    seen = sorted(s["port"] for s in live["step"] if s["step_kind"] == "output" and "since_ns" in s)
    if want["ports"] != ports:
        wrong.append(f"left by {ports}, trace said {want['ports']}")
    if captured != ports:
        wrong.append(f"left by {ports}, the capture said {captured}")
    if seen != ports:
        wrong.append(f"left by {ports}, the live trace said {seen}")
    reason = record.get("reason")
    if not ports and reason != want["reason"]:
        wrong.append(f"dropped for {reason}, trace said {want['reason']}")
    if not ports and live.get("reason") != reason:
        wrong.append(f"dropped for {reason}, the live trace said {live.get('reason')}")
    if not ports and want["tables"] and "cookie" in record and "cookie" in want["tables"][-1]:
        last = want["tables"][-1]
        if (record["table"], record["cookie"]) != (last["table"], last["cookie"]):
            wrong.append(f"by the rule {record['table']}/{record['cookie']}, trace said {last}")
    elif "cookie" in record and want["tables"] and record["cookie"] not in want["cookies"]:
        wrong.append(f"by the rule {record['cookie']}, trace said {want['cookies']}")
    if not ports and record.get("denied_by") != (want["denied"] or [None])[0]:
        wrong.append(f"refused by {record.get('denied_by')}, trace said {want['denied']}")
    verdicts = sorted((s["port"], s["direction"], s["name"], s.get("reason")) for s in live["step"]
                      if s["step_kind"] == "policy")
    if verdicts != want["verdicts"]:
        wrong.append(f"the policy said {verdicts}, trace said {want['verdicts']}")
    flows = sorted((p, ask_text("packet", f.hex())) for p, frames in got.items() for f in frames)
    third_tag = any("dl_type=0x8100" in f for _, f in flows)  # behind which the parser does not see
    if flows != want["flows"] and not third_tag:
        wrong.append(f"left as {flows}, trace said {want['flows']}")
    return wrong


def note(config, frame, want, got):
    """What the packets of all configurations have been through."""
    SEEN[config.kind] += 1
    for _, direction, name, reason in want["verdicts"]:
        SEEN[f"{'from' if direction else 'to'} guest, {'refused' if reason else 'passed'}"] += 1
        SEEN["by a rule of the policy"] += name.startswith("rule-")
    for s in want["steps"]:
        if s["step_kind"] == "policy":
            SEEN[s["detail"]] += 1
    addresses = {(Ether(f)[IP].src, Ether(f)[IP].dst) for out in got.values() for f in out if IP in Ether(f)}
    SEEN["translated"] += IP in Ether(frame) and any("10.9.9." in a for pair in addresses for a in pair)
    SEEN["sent"] += bool(want["ports"])
    SEEN["dropped"] += bool(want["reason"])


class Bench:
    """A datapath with one configuration, a capture of everything and a live trace."""

    def __init__(self, config):
        self.process = DatapathProcess("--no-huge")
        self.process.start()
        self.dp = self.process.connect(writer=True)
        self.dp.process = self.process
        self.dp.transaction(config.transaction())
        self.capture = Capture(self.dp, directions=5)  # arriving and dropped
        self.live = Capture(self.dp, "trace_live", limit=1 << 20)

    def run(self, port, frame):
        """Frames by port, what the capture said, what the live trace said."""
        self.capture.packets.clear()
        self.live.packets.clear()
        self.dp.call("dummy_receive", dict(port=f"p{port}", packet=frame))
        while not [p for p in self.capture.packets if p["packet_direction"] == 1]:
            self.capture.read()
        self.live.wait(1)
        got = {f"p{i}": self.dp.frames_sent(f"p{i}") for i in range(1, N_PORTS + 1)}
        record = [p for p in self.capture.packets if p["packet_direction"] == 1][0]
        return got, record, self.live.packets[0]

    def close(self):
        self.process.__exit__(None)


@pytest.mark.parametrize("number", range(CONFIGURATIONS))
def test_trace_is_what_happens(number):
    rng = random.Random(SEED * 7919 + number)
    config = Configuration(rng, number)
    traffic, bench = Traffic(rng, config), Bench(config)
    try:
        for i in range(PACKETS):
            port, frame = traffic.next()
            want = prediction(bench.dp, port, frame)
            got, record, live = bench.run(port, frame)
            traffic.sent.append((port, frame))
            for name, frames in got.items():  # what comes out of p2 is answered as it is
                traffic.sent += [(int(name[1:]), f) for f in frames[:1]]
            wrong = judge(config, port, frame, want, got, record, live)
            note(config, frame, want, got)
            if wrong:
                pytest.fail("\n".join([f"seed {SEED} configuration {number} ({config.kind}) packet {i} on p{port}: "
                                       f"{Ether(frame).summary()}", *wrong, "trace:", want["text"], "rules:",
                                       *config.rules, f"ports: {config.ports}", f"live: {live}"]), pytrace=False)
    finally:
        bench.close()


def test_enough_was_seen():
    """Not only easy packets; the kinds of configuration are drawn."""
    if sum(SEEN[k] for k in ("sent", "dropped")) < CONFIGURATIONS * PACKETS // 2:
        return  # only some of the configurations were run
    least = CONFIGURATIONS * PACKETS // 100
    wanted = ["sent", "dropped", "by a rule of the policy", "from guest, refused", "from guest, passed",
              "to guest, refused", "to guest, passed", "begins a connection", "of a connection", "translated"]
    assert {w: SEEN[w] for w in wanted if SEEN[w] < least} == {}, SEEN
