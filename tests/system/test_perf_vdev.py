# SPDX-License-Identifier: BSD-3-Clause
"""The net_bench device in testpmd io: what it generates, what it counts, what it refuses.

    net_bench0 (generator) --> testpmd io --> net_bench1 (sink), one poll core
"""
import os
import re
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
sys.path.insert(0, os.path.join(ROOT, "perf"))

from harness import process, shm  # noqa: E402

PLUGIN = os.path.join(BUILD, "lib", "libsluice_bench.so")

pytestmark = [
    pytest.mark.skipif(not os.path.exists(PLUGIN),
                       reason="libsluice_bench.so is not built (no DPDK driver headers)"),
    pytest.mark.skipif(not os.path.exists("/usr/bin/dpdk-testpmd"),
                       reason="dpdk-testpmd is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="testpmd needs root"),
]


class Testpmd:
    __test__ = False
    """testpmd io between two net_bench ports; the gate is closed until open()."""

    def __init__(self, source, sink="", queues=1, extra=()):
        tag = f"sluice-test-{os.getpid()}-{time.monotonic_ns()}"
        self.tag = tag
        self.names = (f"{tag}-0", f"{tag}-1")
        self.process = subprocess.Popen(
            ["/usr/bin/dpdk-testpmd", "--file-prefix", tag, "-l", "0,1", "--main-lcore", "0",
             "--no-huge", "-m", "256", "--no-pci", "-d", "libsluice_bench.so",
             "--vdev", f"net_bench0,gate=0,shm={self.names[0]},{source}",
             "--vdev", f"net_bench1,gate=0,shm={self.names[1]}{sink}",
             "--", "--forward-mode=io", "--nb-cores=1", "--total-num-mbufs=8192",
             f"--rxq={queues}", f"--txq={queues}", "-i", "--auto-start", *extra],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(PLUGIN)))
        self.output = ""

    def __enter__(self):
        try:
            self.source = shm.Port(self.names[0], wait_s=15)
            self.sink = shm.Port(self.names[1], wait_s=15)
            # A few polls are testpmd flushing the queues; many mean that forwarding has begun.
            end = time.monotonic() + 15
            while self.source.rx()["polls"] < 1000:
                assert self.process.poll() is None, self.stop()
                assert time.monotonic() < end, "testpmd does not poll"
                time.sleep(0.01)
        except BaseException:
            print(self.stop())
            raise
        return self

    def stop(self):
        if self.process.poll() is None:
            try:
                self.output, _ = self.process.communicate("quit\n", timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.output, _ = self.process.communicate()
        else:
            self.output += self.process.communicate()[0] or ""
        return self.output

    def __exit__(self, *exc):
        self.stop()
        for name in self.names:
            shm.remove(name)
        process.forget_dpdk(self.tag)

    def run(self, limit, timeout_s=10):
        """Lets `limit` packets per queue through and waits until none is on the way."""
        expected = self.source.rx()["pkts"] + limit * self.source.rx_queues
        self.source.open_gate(limit=limit)
        end = time.monotonic() + timeout_s
        while self.sink.tx()["pkts"] < expected and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.05)


def test_sent_is_received_exactly():
    with Testpmd("set=l2,flows=1000", ",verify=1") as t:
        for n in (1, 31, 32, 33, 1_000_000):
            before_rx, before_tx = t.source.rx()["pkts"], t.sink.tx()["pkts"]
            t.run(n)
            assert t.source.rx()["pkts"] - before_rx == n
            assert t.sink.tx()["pkts"] - before_tx == n
        total = t.sink.tx()["pkts"]
        assert t.sink.tx()["bytes"] == 64 * total
        assert t.sink.tx_marks() == [0, total, 0, 0, 0, 0, 0, 0]
        assert t.source.rx()["no_mbuf_pkts"] == 0
        output = t.stop()
    assert re.search(rf"TX-packets: {total}\b", output), output


def test_one_second_at_full_speed():
    with Testpmd("set=l2,flows=100000") as t:
        t.source.open_gate(limit=0)
        time.sleep(1)
        t.source.close_gate()
        time.sleep(0.05)
        sent, received = t.source.rx(), t.sink.tx()
        assert sent["pkts"] == received["pkts"] > 100_000
        assert sent["bytes"] == received["bytes"]


def test_attack_share_is_exact_and_told_apart():
    with Testpmd("set=tse-victim,flows=1000,attack_set=tse,attack_every=1000") as t:
        t.run(1_000_000)
        assert t.source.rx()["attack_pkts"] == 1000
        assert t.sink.tx_marks()[:3] == [0, 999_000, 1000]


def test_stamps_numbers_and_latency():
    with Testpmd("set=l2,flows=1000,stamp=1", ",verify=1") as t:
        t.run(100_000)
        tx = t.sink.tx()
        assert tx["stamped_pkts"] == 100_000
        assert (tx["missing_pkts"], tx["late_pkts"]) == (0, 0)
        latency = t.sink.latency()
        assert sum(latency) == 100_000
        assert shm.percentile_cycles(latency, 0.5) < t.sink.tsc_hz / 1000


def test_several_queues_share_the_flows():
    with Testpmd("set=l2,flows=1000,rss=1", queues=4) as t:
        assert t.source.rx_queues == 4
        t.run(10_000)
        assert [t.source.rx(q)["pkts"] for q in range(5)] == [10_000] * 4 + [0]
        assert t.sink.tx()["pkts"] == 40_000


def test_rate_is_kept():
    with Testpmd("set=l2,rate=100000") as t:
        t.source.open_gate(limit=0)
        time.sleep(1.0)
        t.source.close_gate()
        time.sleep(0.05)
        rx = t.source.rx()
        seconds = (rx["last_tsc"] - rx["first_tsc"]) / t.source.tsc_hz
        due = rx["pkts"] + rx["missed_pkts"]
        assert due == pytest.approx(100_000 * seconds, rel=0.01)
        assert t.sink.tx()["pkts"] == rx["pkts"]


def test_a_sink_that_takes_less_says_what_it_refused():
    with Testpmd("set=l2", ",sink_rate=10000") as t:
        t.source.open_gate(limit=20_000)
        time.sleep(0.5)
        sent, tx = t.source.rx()["pkts"], t.sink.tx()
        assert sent == 20_000
        assert tx["pkts"] + tx["refused_pkts"] == 20_000
        assert tx["refused_pkts"] > 10_000


@pytest.mark.parametrize("packets,size", [("set=l2", 9000), ("set=l2,tcp=1,mss=8948", 65226)])
def test_long_packets_come_in_chains(packets, size):
    with Testpmd(f"{packets},size={size},flows=16",
                 extra=("--max-pkt-len=9600", "--tx-offloads=0x8000", "--mbuf-size=2176")) as t:
        t.run(1000)
        assert t.sink.tx()["pkts"] == 1000
        assert t.sink.tx()["bytes"] == 1000 * size
        assert t.sink.tx_marks()[1] == 1000


def test_counters_go_on_over_a_kill():
    with Testpmd("set=l2") as t:
        t.run(1000)
        t.process.kill()
        t.process.wait()
        assert shm.Port(t.names[1]).tx()["pkts"] == 1000


def open_files_and_memory(pid):
    with open(f"/proc/{pid}/status") as f:
        rss = next(int(l.split()[1]) for l in f if l.startswith("VmRSS:"))
    return len(os.listdir(f"/proc/{pid}/fd")), rss


def test_a_port_comes_and_goes_without_leaving_anything():
    def files():
        return {f for f in os.listdir("/dev/shm") if f.startswith("sluice-bench.")}

    with Testpmd("set=l2") as t:
        before = files()

        def come_and_go(n):
            for _ in range(n):
                t.process.stdin.write("port attach net_bench7,set=l2,flows=10000\n"
                                      "port start 2\nport stop 2\nport detach 2\n")
            # The commands are done when the device of the last one has made its file.
            fence = f"{t.names[0]}-{n}"
            t.process.stdin.write(f"port attach net_bench8,shm={fence}\nport detach 2\n")
            t.process.stdin.flush()
            shm.Port(fence, wait_s=30).close()
            time.sleep(0.5)
            shm.remove(fence)

        t.process.stdin.write("stop\n")
        come_and_go(5)
        first = open_files_and_memory(t.process.pid)
        come_and_go(20)
        second = open_files_and_memory(t.process.pid)
        assert files() == before
        assert second[0] == first[0]
        assert second[1] - first[1] < 2000, (first, second)
        output = t.stop()
    assert output.count("Port 2 is attached. Now total ports is 3") == 27, output


@pytest.mark.parametrize("args,reason", [
    ("set=nonsense", "set=nonsense: no such set"),
    ("colour=red", "colour: unknown argument"),
    ("set=l2,size=20", "size: 20: l2 needs at least 46"),
    ("set=l2,flows=99999999999", "flows=99999999999: not a number up to"),
    ("set=l2,mss=1448", "mss: needs TCP over IPv4 of one layout"),
    ("mss=1448", "mss: needs one source"),
    ("set=l2,tcp=1,roll=1", "roll: needs UDP over IPv4 without checksums"),
    ("pcap=/nonexistent/file", "/nonexistent/file"),
    ("set=l2,shm=../../etc/passwd", "shm=../../etc/passwd"),
    ("attack_set=tse", "attack_set: needs set= or pcap="),
])
def test_bad_arguments_get_one_clear_error(args, reason):
    done = subprocess.run(
        ["/usr/bin/dpdk-testpmd", "--file-prefix", f"sluice-test-{os.getpid()}-bad", "-l", "0",
         "--no-huge", "-m", "64", "--no-pci", "-d", "libsluice_bench.so",
         "--vdev", f"net_bench0,{args}", "--", "--total-num-mbufs=2048"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=30, env=dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(PLUGIN)))
    process.forget_dpdk(f"sluice-test-{os.getpid()}-bad")
    lines = [l for l in done.stdout.splitlines() if l.startswith("net_bench: ")]
    assert done.returncode != 0
    assert len(lines) == 1 and reason in lines[0], done.stdout
