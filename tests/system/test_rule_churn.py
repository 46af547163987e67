# SPDX-License-Identifier: BSD-3-Clause
"""10,000 rule changes a second under traffic: after each barrier nothing follows the old rule, nothing is lost, and
counters add up to what came. SLUICE_FULL=1: longer, and forwarding keeps 80 % of its speed."""
import os
import re
import statistics
import struct
import sys
import time

import pytest

from control_process import Switch
from datapath_process import BUILD, DatapathProcess, wait_until
from openflow_client import FLOW_MOD, Controller, flow_mod, message

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "perf"))
from harness import shm  # noqa: E402

PLUGIN = os.environ.get("SLUICE_BENCH_PLUGIN", os.path.join(BUILD, "lib", "libsluice_bench.so"))
pytestmark = pytest.mark.skipif(not os.path.exists(PLUGIN), reason="net_bench was not built")
FULL = os.environ.get("SLUICE_FULL") == "1"
BATCH, BATCHES_A_SECOND = 500, 20
COMMAND_AT = 8 + 17
DELETE_STRICT = 4


def way_to(port):
    """Modifies the one rule that packets follow: priority=10,in_port=1,actions=output:PORT."""
    body = struct.pack("!QQBBHHHIIIHH", 0, 0, 0, 2, 0, 0, 10, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
    return message(FLOW_MOD, body + struct.pack("!HHII4x", 1, 12, 0x80000004, 1) + struct.pack("!HH4xHHIH6x", 4, 24, 0, 16, port, 0))


def changes(n):
    """n rules that match nothing, above that one, come, and go."""
    adds = [flow_mod(0, i) for i in range(n)]
    return b"".join(adds) + b"".join(m[:COMMAND_AT] + bytes([DELETE_STRICT]) + m[COMMAND_AT + 1:] for m in adds)


@pytest.fixture
def lab():
    tag = f"rc{os.getpid() % 10000}"
    s = Switch()
    s.datapath = DatapathProcess("--eal", f"-d {os.path.abspath(PLUGIN)}", rundir=s.dir, memory="128")
    with s:
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", "protocols=OpenFlow10,OpenFlow14"]
        for i, devargs in enumerate(("set=l2,flows=1000,gate=0", "", ""), 1):
            words += ["--", "add-port", "br0", f"n{i}", "--", "set", "interface", f"n{i}", "type=dpdk", f"ofport_request={i}",
                      f"options:dpdk-devargs=net_bench{i},{devargs + ',' if devargs else ''}shm={tag}{i}"]
        s.vsctl(*words)
        s.run("ovs-ofctl", "add-flow", "br0", "priority=10,in_port=1,actions=output:2")
        ports = [shm.Port(f"{tag}{i}", wait_s=10) for i in (1, 2, 3)]
        yield s, ports
    for p in ports:
        os.unlink(p.path)


def sent(port):
    return port.tx()["pkts"]


class Churn:
    """Changes at the rate that is asked for, each batch with its barrier, behind which the way is another."""

    def __init__(self, sw, ports):
        self.c, self.ports, self.load = Controller(f"{sw.dir}/br0.mgmt"), ports, changes(BATCH // 2)
        self.way, self.old, self.n = 2, None, 0
        # One rule of their kind is always there: how deep packets are read does not change.
        self.c.send(flow_mod(0, BATCH))
        self.c.barrier()

    def one(self):
        self.check()
        self.old, self.way = self.way, 5 - self.way
        self.c.send(self.load + way_to(self.way))
        self.c.barrier()
        self.before = sent(self.ports[self.old - 1])
        self.n += BATCH + 1

    def check(self):
        """Since the barrier nothing has left by the old way."""
        if self.old:
            assert sent(self.ports[self.old - 1]) == self.before, f"after {self.n} changes"

    def run(self, seconds):
        began, done = time.monotonic(), 0
        while done < seconds * BATCHES_A_SECOND:
            self.one()
            done += 1
            wait = began + done / BATCHES_A_SECOND - time.monotonic()
            if wait > 0:
                time.sleep(wait)
        return time.monotonic() - began


def test_churn_under_traffic(lab):
    sw, ports = lab
    churn = Churn(sw, ports)
    ports[0].open_gate(limit=0)
    wait_until(lambda: sent(ports[1]) > 10000, 30)
    began = time.monotonic()
    share = kept(Pace(sw, ports), churn, *((10, 1) if FULL else (3, 0.3)))
    churn.check()
    print(f"{churn.n} changes in {time.monotonic() - began:.2f} s, half of it without; forwarding kept {share:.2f} of its speed")
    # three short samples beside whatever else runs: neighbours on the same core alone make 0.6 to 1.6 of it
    assert share >= (0.8 if FULL else 0.25)
    ports[0].close_gate()
    came = settled(sw)
    left = [sent(p) for p in ports[1:]]
    assert min(left) > 0 and sum(left) == came, (left, came)
    stats = [s for s in sw.show("port", "stats") if s["port"] != "br0"]  # what the host itself says there
    assert all(not s["dropped"] for s in stats), stats
    rule = sw.run("ovs-ofctl", "dump-flows", "br0").stdout
    assert sorted(re.findall(r"n_packets=(\d+)", rule)) == ["0", str(came)], rule


def settled(sw):
    """Packets received, when no more come."""
    seen = []

    def still():
        seen.append(next(s["rx_packets"] for s in sw.show("port", "stats") if s["port"] == "n1"))
        return len(seen) > 2 and seen[-1] == seen[-3]
    wait_until(still, 10, every=0.05)
    return seen[-1]


class Pace:
    """Packets per second of CPU time of the poll threads: what others do on the machine's cores is not in it."""

    def __init__(self, sw, ports):
        tasks = f"/proc/{sw.datapath.proc.pid}/task"
        self.threads = [f"{tasks}/{t}" for t in os.listdir(tasks) if open(f"{tasks}/{t}/comm").read().startswith("poll-")]
        self.ports = ports

    def now(self):
        return sum(map(sent, self.ports[1:])), sum(int(open(f"{t}/schedstat").read().split()[0]) for t in self.threads)

    def during(self, act):
        before = self.now()
        act()
        wait_until(lambda: self.now()[1] > before[1] + 10e6, 20)  # they did run
        packets, ns = (b - a for a, b in zip(before, self.now()))
        return packets / ns * 1e9


def kept(pace, churn, rounds, seconds):
    """Ratio of the medians of times with and without changes, in turn."""
    with_, without = [], []
    for _ in range(rounds):
        without.append(pace.during(lambda: time.sleep(seconds)))
        with_.append(pace.during(lambda: churn.run(seconds)))
    print("packets per CPU second without", [f"{r:.0f}" for r in without], "with", [f"{r:.0f}" for r in with_])
    return statistics.median(with_) / statistics.median(without)
