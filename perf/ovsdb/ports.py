#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""How long `ovs-vsctl add-port` takes beside many ports, and what it costs: Sluice and Open vSwitch
in one run, rounds alternating, the ports dummies in both.

    perf/ovsdb/ports.py [--build build] [--ports 10,1000] [--adds 20] [--rounds 2] [--doc FILE]

`CPU` is user and system time, per port added, of the processes that serve it: sluiced and
sluice-datapath; ovs-vswitchd and ovsdb-server. The time to return contains ovs-vsctl itself.
"""
import argparse
import os
import statistics
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
sys.path.insert(0, os.path.join(ROOT, "perf", "ovsdb"))


class Sluice:
    name = "Sluice"

    def __init__(self):
        from control_process import Switch
        self.sw = Switch("--enable-dummy=system")
        self.sw.__enter__()
        self.vsctl = self.sw.vsctl
        self.pids = [self.sw.sluiced.pid, self.sw.datapath.proc.pid]

    def close(self):
        self.sw.__exit__(None)


class OpenVSwitch:
    name = "Open vSwitch"

    def __init__(self):
        from test_resolve_differential import Ovs
        self.dir = tempfile.TemporaryDirectory()
        self.ovs = Ovs(self.dir.name)
        self.vsctl = self.ovs.vsctl
        self.pids = [p.pid for p in self.ovs.procs]

    def close(self):
        self.ovs.close()
        self.dir.cleanup()


def add(switch, names):
    words = []
    for n in names:
        words += ["--", "add-port", "br0", n, "--", "set", "Interface", n, "type=dummy"]
    switch.vsctl(*words[1:])


def measure(kind, ports, adds):
    from perf_process import cpu_seconds
    switch = kind()
    try:
        switch.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy")
        for i in range(0, ports, 50):
            add(switch, [f"d{k}" for k in range(i, min(ports, i + 50))])
        before, times = sum(map(cpu_seconds, switch.pids)), []
        for i in range(adds):
            start = time.monotonic()
            add(switch, [f"x{i}"])
            times.append((time.monotonic() - start) * 1000)
        return {f"add-port beside {ports}: median, ms": statistics.median(times),
                f"add-port beside {ports}: slowest, ms": max(times),
                f"add-port beside {ports}: CPU, ms":
                    (sum(map(cpu_seconds, switch.pids)) - before) * 1000 / adds}
    finally:
        switch.close()


def main():
    from perf_process import Table
    p = argparse.ArgumentParser()
    p.add_argument("--build", default=os.path.join(ROOT, "build"))
    p.add_argument("--ports", default="10,1000")
    p.add_argument("--adds", type=int, default=20)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--doc", help="file to write the table into, between its markers")
    args = p.parse_args()
    os.environ["SLUICE_BUILD"] = args.build
    table = Table("ovsdb-ports", OpenVSwitch.name, Sluice.name)
    for _ in range(args.rounds):
        for n in map(int, args.ports.split(",")):
            for i, kind in enumerate((OpenVSwitch, Sluice)):
                table.add(i, measure(kind, n, args.adds))
    table.show(args.doc)


if __name__ == "__main__":
    main()
