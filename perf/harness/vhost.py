# SPDX-License-Identifier: BSD-3-Clause
"""Generator and sink of the two-core scenarios: testpmd on the main core, which plays the guests.
With one vhost-user port there is one guest, that only sends.

    net_bench0 --io--> virtio_user0 ==vhost-user== [switch] ==vhost-user== virtio_user1 --io--> net_bench1

With options["large"] frames are longer than a buffer, as a Linux guest has them: mergeable buffers
of a page, rings of 256, segmentation left to the host.

The switch is the client of both sockets. What such a run measures depends on how far apart the
hypervisor has put the two cores, which changes while one looks: perf-core-distance says.
"""
import os
import subprocess
import time

from . import measure, process, shm
from .process import Child, wait_for

NEAR_NS, FAR_NS = 120, 200  # round trip of a cache line: at most, at least


def distance(build, cores=("0", "1")):
    """Round trip of a cache line between two cores [ns]; None when it cannot be measured."""
    try:
        done = subprocess.run([os.path.join(build, "bin", "perf-core-distance"), *cores],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              timeout=10)
        return float(done.stdout.split()[0]) if done.returncode == 0 else None
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return None


def classify(before_ns, after_ns):
    """'near', 'far' or 'mixed' for a window between two looks."""
    if before_ns is None or after_ns is None:
        return "mixed"
    if max(before_ns, after_ns) <= NEAR_NS:
        return "near"
    if min(before_ns, after_ns) >= FAR_NS:
        return "far"
    return "mixed"


class Generator:
    QUEUES = "queue_size=1024,in_order=1,vectorized=1,mrg_rxbuf=0"
    ARGS = ["--total-num-mbufs=32768", "--txd=1024", "--rxd=1024"]
    LARGE_QUEUES = "queue_size=256,in_order=0,mrg_rxbuf=1"
    LARGE_ARGS = ["--total-num-mbufs=16384", "--txd=256", "--rxd=256", "--burst=4",
                  "--mbuf-size=4224", "--max-pkt-len=9600"]
    # Frames in several buffers; with TSO also TCP checksums and large frames, both ways.
    SEGMENTS = ["--rx-offloads=0x2000", "--tx-offloads=0x8000"]
    TSO = ["--rx-offloads=0x201c", "--tx-offloads=0x8028"]

    def __init__(self, settings, scenario, flows):
        self.settings = settings
        guests = [p for p in scenario.ports if p.type == "vhost"]
        self.args = [p.args.format(flows=flows) for p in guests]
        self.port_names = [p.name for p in guests]
        self.large = scenario.options.get("large", False)
        self.tso = scenario.options.get("tso", False)
        self.child = None
        self.names = []

    def start(self, switch):
        """Before the switch: probing a virtio-user port in server mode waits for its client."""
        s = self.settings
        core = s.main_core
        self.names = [f"{switch.tag}.gen{i}" for i in range(len(self.args))]
        self.prefix = switch.tag + "-gen"
        args = ["dpdk-testpmd", "--file-prefix", self.prefix, "--lcores",
                f"0@{core},1@{core}", "--main-lcore", "0", "--no-pci",
                "-d", "libsluice_bench.so", "-m", "256"]
        args += ["--single-file-segments"] if s.huge else ["--no-huge"]
        for i in range(len(self.args)):
            shm.remove(self.names[i])
            args += ["--vdev", f"net_bench{i},{self.args[i]},shm={self.names[i]}",
                     "--vdev", f"net_virtio_user{i},path={switch.socket(self.port_names[i])},"
                     "server=1,queues=1," + (self.LARGE_QUEUES if self.large else self.QUEUES)]
        # testpmd orders ports as probed: bench0, virtio0, bench1, virtio1
        args += ["--", "--forward-mode=io", "--nb-cores=1", "-i", "--auto-start"]
        if self.large:
            args += self.LARGE_ARGS + (self.TSO if self.tso else self.SEGMENTS)
        else:
            args += self.ARGS
        self.log = os.path.join(switch.run_dir, "generator.log")
        self.child = Child(args, self.log, env=s.env(), cores=core, stdin=True)

    def wait_connected(self):
        self.source = shm.Port(self.names[0], wait_s=20)
        self.sink = shm.Port(self.names[-1], wait_s=20)
        wait_for(lambda: self.sink.rx()["polls"] > 1000, 30, "generator: all ports connected",
                 self.child)

    def prime(self, scenario):
        self.sink.open_gate(limit=1)
        time.sleep(0.4)
        self.sink.close_gate()

    def window(self, switch, seconds):
        before = distance(self.settings.build, (self.settings.main_core, self.settings.cores))
        tids = switch.poll_threads(1)
        pid = switch.datapath_pid()
        t0, wait0 = time.monotonic_ns(), process.sched_times(pid, tids[0])[1]
        sent0, offered0 = self.sink.tx_marks(), self.source.rx()["pkts"]
        time.sleep(seconds)
        t1, wait1 = time.monotonic_ns(), process.sched_times(pid, tids[0])[1]
        sent1, offered1 = self.sink.tx_marks(), self.source.rx()["pkts"]
        after = distance(self.settings.build, (self.settings.main_core, self.settings.cores))
        wall = (t1 - t0) / 1e9
        return {"pps": (sent1[measure.VICTIM] - sent0[measure.VICTIM]) / wall,
                "offered_pps": (offered1 - offered0) / wall, "wall_s": wall,
                "lost_cpu": (wait1 - wait0) / 1e9 / wall, "distance": classify(before, after),
                "round_trip_ns": [before, after]}

    def stop(self):
        if self.child is None:
            return
        if self.child.alive():
            try:
                self.child.process.stdin.write(b"quit\n")
                self.child.process.stdin.flush()
                self.child.process.wait(5)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.child.stop()
        process.forget_dpdk(self.prefix)
        for name in self.names:
            shm.remove(name)
