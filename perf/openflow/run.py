#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Rules of Sluice beside those of Open vSwitch, in one run on one machine: added one by one, pipelined and in a
bundle, dumped, memory per rule; and what a cache miss costs (perf/run's miss scenarios).

    perf/openflow/run.py [--rules 1000000] [--rounds 2] [--no-miss] [--json] [--doc docs/performance.md]

Rounds alternate between the two switches and the best of each counts: other load on the machine then hurts both
alike. CPU is user and system time of all processes of the switch per rule. The client is ours (tests/system/openflow_client.py)
except where ovs-ofctl is named; what it sends is made before the clock starts.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "system"), os.path.join(ROOT, "perf", "ovsdb")]
from openflow_client import Controller, bundle_control, flow_mod, in_bundle, BUNDLE, COMMIT, OPEN  # noqa: E402
from openflow_pair import Ovs, Sluice, ofctl  # noqa: E402
from perf_process import Table, cpu_seconds  # noqa: E402

SINGLY, PIPELINED = 3000, 100000
MISSES = ["miss1", "miss5", "miss20", "miss100k"]


def pids(switch):
    if isinstance(switch, Sluice):
        return [switch.switch.datapath.proc.pid, switch.switch.sluiced.pid]
    return [p.pid for p in switch.processes]


def resident_bytes(switch):
    total = 0
    for pid in pids(switch):
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            total += sum(int(line.split()[1]) << 10 for line in f
                         if line.startswith(("Pss:", "Private_Hugetlb:", "Shared_Hugetlb:")))
    return total


class Meter:
    """with Meter(switch) as m: ...; m.seconds, m.cpu"""

    def __init__(self, switch):
        self.switch = switch

    def cpu_now(self):
        return sum(map(cpu_seconds, pids(self.switch)))

    def __enter__(self):
        self.cpu, self.seconds = self.cpu_now(), time.monotonic()
        return self

    def __exit__(self, *exc):
        self.seconds = time.monotonic() - self.seconds
        self.cpu = self.cpu_now() - self.cpu


def settle(switch):
    """Until what a million removed rules leave behind is done with: both switches free them later."""
    for _ in range(60):
        with Meter(switch) as m:
            time.sleep(0.5)
        if m.cpu < 0.05:
            return


def add_singly(switch, c, out):
    rules = [flow_mod(1, i) for i in range(SINGLY)]
    with Meter(switch) as m:
        for r in rules:
            c.send(r)
            c.barrier()
    out["rules/s, a barrier after each"] = SINGLY / m.seconds
    out["CPU us per rule, a barrier after each"] = m.cpu / SINGLY * 1e6


def add_by_client(switch, out):
    with tempfile.NamedTemporaryFile("w", suffix=".flows") as f:
        f.writelines(f"table=2,tcp,nw_dst=10.0.{i >> 8}.{i & 255},tp_dst={i},actions=1\n" for i in range(SINGLY))
        f.flush()
        with Meter(switch) as m:
            code, _, err = ofctl(switch.mgmt, "OpenFlow14", "add-flows", f.name)
        if code:
            raise ValueError(err)
    out["rules/s, ovs-ofctl add-flows"] = SINGLY / m.seconds


def add_pipelined(switch, c, out):
    data = b"".join(flow_mod(3, i) for i in range(PIPELINED))
    with Meter(switch) as m:
        c.send(data)
        c.barrier()
    out["rules/s, pipelined, one barrier"] = PIPELINED / m.seconds
    out["CPU us per rule, pipelined"] = m.cpu / PIPELINED * 1e6


def add_bundle(switch, c, n, out):
    data = b"".join(in_bundle(1, flow_mod(4, i)) for i in range(n))
    before = resident_bytes(switch)
    with Meter(switch) as m:
        c.send(bundle_control(1, OPEN) + data)
        c.send(bundle_control(1, COMMIT))
        c.until(BUNDLE)  # opened
        c.until(BUNDLE)  # committed
    name = f"bundle of {n:,} rules"
    out[f"rules/s, {name}"] = n / m.seconds
    out[f"CPU us per rule, {name}"] = m.cpu / n * 1e6
    time.sleep(2)  # what is kept for a moment only
    out[f"memory per rule, {n:,} rules, bytes"] = (resident_bytes(switch) - before) / n


def dump(switch, c, n, out):
    with Meter(switch) as m:
        got = c.dump(4)
    if got != n:
        raise ValueError(f"{got} of {n} rules in the dump")
    out[f"dump of {n:,} rules, s"] = m.seconds
    out[f"dump of {n:,} rules, CPU s"] = m.cpu


def measure(switch, rules):
    out = {}
    ofctl(switch.mgmt, "OpenFlow14", "del-flows")
    c = Controller(switch.mgmt)
    add_bundle(switch, c, rules, out)  # first: memory is only known of what nobody has used before
    dump(switch, c, rules, out)
    ofctl(switch.mgmt, "OpenFlow14", "del-flows")
    settle(switch)
    add_singly(switch, c, out)
    add_by_client(switch, out)
    add_pipelined(switch, c, out)
    c.close()
    return out


def misses(args):
    command = [os.path.join(ROOT, "perf", "run"), *MISSES, "--switches", "sluice,ovs", "--rounds", str(args.rounds),
               "--memory", "256", "--longest-warm", "2"]
    if args.doc:
        command += ["--doc", args.doc, "--section", "openflow-miss", "--title", "A cache miss"]
    subprocess.run(command, check=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rules", type=int, default=1000000, help="of the bundle and the dump")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--no-miss", action="store_true", help="only rules; without root and perf/run")
    p.add_argument("--json", action="store_true")
    p.add_argument("--doc", help="file to write the tables into, between their markers")
    args = p.parse_args()
    table = Table("openflow", "ovs", "sluice")
    for _ in range(args.rounds):
        theirs = Ovs()
        try:
            table.add(0, measure(theirs, args.rules))
        finally:
            theirs.stop()
        with Sluice() as ours:
            table.add(1, measure(ours, args.rules))
    if args.json:
        print(json.dumps(dict(zip(table.names, table.best)), indent=1))
    else:
        table.show(args.doc)
    if not args.no_miss:
        misses(args)


if __name__ == "__main__":
    main()
