# SPDX-License-Identifier: BSD-3-Clause
"""Containers, the host and real guests on one bridge: who reaches whom, with what, and that no packet
goes missing without a name. The datapath alone, configured over its api."""
import itertools
import os
import random
import subprocess
import time

import pytest

import flowbits
import guest
from datapath_process import BUILD, DatapathProcess, ether, flood_bridge, frames, wait_until

FULL = os.environ.get("SLUICE_FULL") == "1"
PLUGIN = os.path.join(BUILD, "lib", "libsluice_bench.so")


def sh(command, check=True, timeout=60):
    r = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=timeout)
    assert not check or r.returncode == 0, f"{command}: {r.stdout}"
    return r.stdout


def ledger(dp):
    """Each port: received + handed to it + created = sent on + transmitted + dropped + absorbed + held;
    over all ports sent on = handed. Raises with the figures when a packet is missing."""
    stats = dp.dump("port_stats")
    for s in stats:
        got = s["rx_packets"] + s["handed"] + s["created"]
        gone = s["sent"] + s["tx_packets"] + s["dropped"] + s["absorbed"] + s["held"]
        assert got == gone, s
        assert s["dropped"] == sum(d["count"] for d in s.get("drop", [])), s
    assert sum(s["sent"] for s in stats) == sum(s["handed"] for s in stats), stats
    return {s["port"]: s for s in stats}


def balanced(dp, timeout=10):
    """The ledger, once nothing is under way any more."""
    end = time.monotonic() + timeout
    while True:
        try:
            stats = ledger(dp)
            if not any(s["held"] for s in stats.values()) or time.monotonic() > end:
                return stats
        except AssertionError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


class Lab:
    """Containers c1, c2 (VLAN 10) and c3 (VLAN 20), host port, guests vm1 (VLAN 10) and vm2 (VLAN 20), all in
    10.77.0.0/24 and fd77::/64."""
    HOSTS = {"c1": (10, 1), "c2": (10, 2), "c3": (20, 3), "host": (10, 100), "vm1": (10, 11), "vm2": (20, 12)}

    def __init__(self, process, mtu=1500, vm_offload=True, vms=True):
        self.dp = process.connect(writer=True)
        self.run = process.rundir
        self.guests = {}
        tag = f"s{os.getpid() % 10000}"
        self.ns = {n: f"{tag}{n}" for n in ("c1", "c2", "c3")}
        self.host_if = f"{tag}h"
        try:
            self.build(mtu, vm_offload, vms)
        except BaseException:
            self.close()
            raise

    def build(self, mtu, vm_offload, vms):
        ops = [("bridge_set", dict(name="br0", open=1))]
        for name, (vlan, n) in self.HOSTS.items():
            attrs = dict(name=name, bridge="br0", ofport=n, vlan_mode=1, tag=vlan, mtu=mtu)
            if name in self.ns:
                ns = self.ns[name]
                sh(f"ip netns add {ns} && ip link add {ns} type veth peer name eth0 netns {ns} && "
                   f"ip link set {ns} mtu {mtu} up && ip -n {ns} link set eth0 mtu {mtu} up && ip -n {ns} link set lo up && "
                   f"ip -n {ns} addr add 10.77.0.{n}/24 dev eth0 && ip -n {ns} addr add fd77::{n}/64 dev eth0 nodad")
                ops.append(("port_set", dict(attrs, name=ns, type="system")))
            elif name == "host":
                ops.append(("port_set", dict(attrs, name=self.host_if, type="internal")))
            elif vms:
                ops.append(("port_set", dict(attrs, type="dpdkvhostuserclient", option=[
                    dict(key="vhost-server-path", value=f"{self.run}/{name}.sock")])))
        self.dp.transaction(ops)
        sh(f"ip addr add 10.77.0.100/24 dev {self.host_if} && ip addr add fd77::100/64 dev {self.host_if} nodad && "
           f"ip link set {self.host_if} up")
        if not vms:
            return
        boot = guest.image(extra_files="/usr/bin/iperf3")
        for name in ("vm1", "vm2"):
            n = self.HOSTS[name][1]
            self.guests[name] = guest.Guest(
                [guest.vhost_user(f"{self.run}/{name}.sock", f"02:77:00:00:00:{n:02x}", csum_tso=vm_offload,
                                  mtu=mtu if mtu != 1500 else None)],
                append=f"guest.addr=10.77.0.{n}/24", kernel_and_initramfs=boot, name=name)
        for name, g in self.guests.items():
            g.wait_ready()
            g.run(f"ip link set eth0 mtu {mtu}; ip -6 addr add fd77::{self.HOSTS[name][1]}/64 dev eth0")

    def on(self, name, command, check=True, timeout=60):
        if name in self.guests:
            return self.guests[name].run(command, check=check, timeout=timeout)
        prefix = f"ip netns exec {self.ns[name]} " if name in self.ns else ""
        return sh(f"{prefix}sh -c '{command}'", check=check, timeout=timeout)

    def address(self, name, v6=False):
        return f"fd77::{self.HOSTS[name][1]}" if v6 else f"10.77.0.{self.HOSTS[name][1]}"

    def reaches(self, a, b, size=56, v6=False):
        flags = "-6" if v6 else ""
        for _ in range(4):
            out = self.on(a, f"ping {flags} -c 1 -W 2 -s {size} {self.address(b, v6)}", check=False)
            if "1 received" in out or "1 packets received" in out:
                return True
        return False

    def answers(self, a, others):
        """How many of the others answer a, all asked at once, in both address families."""
        pings = [f"ping {'-6' if v6 else ''} -c 1 -W 2 {self.address(b, v6)} &" for b in others for v6 in (False, True)]
        out = self.on(a, " ".join(pings) + " wait", check=False)
        assert out.count("1 packets transmitted") == len(pings), out
        return out.count("1 received") + out.count("1 packets received")

    def tcp(self, server, client, seconds=1):
        """Mbit/s from client to server."""
        address = f"10.77.0.{self.HOSTS[server][1]}"
        if server in self.guests:
            self.on(server, "(/usr/bin/iperf3 -s -1 >/dev/null 2>&1 &)")
        else:
            prefix = f"ip netns exec {self.ns[server]} " if server in self.ns else ""
            daemon = subprocess.Popen(f"{prefix}iperf3 -s -1", shell=True, stdout=subprocess.DEVNULL)
        for _ in range(40):  # the server may take its time: guests are emulated
            time.sleep(0.2)
            out = self.on(client, f"/usr/bin/iperf3 -c {address} -t {seconds} -f m --connect-timeout 5000",
                          check=False, timeout=60)
            if "receiver" in out:
                break
        if server not in self.guests:
            daemon.wait(timeout=20)
        lines = [line for line in out.split("\n") if "receiver" in line]
        assert lines, out
        return float(lines[0].split("Mbits/sec")[0].split()[-1])

    def close(self):
        for g in self.guests.values():
            g.kill()
        for ns in self.ns.values():
            sh(f"ip netns del {ns}; ip link del {ns}", check=False)


@pytest.fixture
def lab():
    labs = []

    def make(process, **kwargs):
        labs.append(Lab(process, **kwargs))
        return labs[-1]

    yield make
    for one in labs:
        one.close()


def test_matrix_of_containers_host_and_guests(lab):
    """VLAN 10 and 20 apart, everything within them reachable, both address families; TCP both ways."""
    with DatapathProcess(memory="128") as process:
        net = lab(process)
        wrong = []
        for a, b in itertools.permutations(Lab.HOSTS, 2):
            if Lab.HOSTS[a][0] == Lab.HOSTS[b][0]:
                wrong += [(a, b, "IPv6" if v6 else "IPv4", "must") for v6 in (False, True) if not net.reaches(a, b, v6=v6)]
        for a, (vlan, _) in Lab.HOSTS.items():
            n = net.answers(a, [b for b in Lab.HOSTS if Lab.HOSTS[b][0] != vlan])
            wrong += [(a, f"{n} of another VLAN", "must not")] if n else []
        assert not wrong
        for server, client in (("c1", "c2"), ("c1", "host"), ("host", "c1"), ("vm1", "c1"), ("c1", "vm1"),
                               ("vm1", "host"), ("host", "vm1")):
            assert net.tcp(server, client) > 2, (server, client)
        balanced(net.dp)


@pytest.mark.parametrize("offload", [True, False], ids=["tso", "no-tso"])
def test_guests_to_each_other_with_and_without_offload(lab, offload):
    with DatapathProcess(memory="128") as process:
        net = lab(process, vm_offload=offload)
        net.dp.transaction([("port_set", dict(name="vm2", tag=10))])
        Lab.HOSTS["vm2"] = (10, 12)
        try:
            assert net.reaches("vm1", "vm2") and net.reaches("vm2", "vm1")
            assert net.tcp("vm2", "vm1") > 2
            assert net.tcp("vm1", "vm2") > 2
            assert net.tcp("c1", "vm2") > 2
            assert net.tcp("vm2", "c2") > 2
        finally:
            Lab.HOSTS["vm2"] = (20, 12)


def test_jumbo_frames(lab):
    """MTU 9000 end to end, by ping without fragmentation and by TCP."""
    with DatapathProcess(memory="128") as process:
        net = lab(process, mtu=9000)
        for a, b in (("c1", "c2"), ("c1", "vm1"), ("vm1", "host"), ("host", "c2")):
            assert net.reaches(a, b, size=8900), (a, b)
        assert net.tcp("c2", "c1") > 2
        assert net.tcp("vm1", "c1") > 2
        # Smaller on one port, live: what does not fit is dropped there by name, the rest passes.
        net.dp.transaction([("port_set", dict(name=net.host_if, mtu=1500))])
        assert net.reaches("c1", "host", size=1400)
        net.on("c1", "ip link set eth0 mtu 9000; ping -M do -c 2 -i 0.2 -W 1 -s 8900 10.77.0.100", check=False)
        drops = {d["reason"]: d["count"] for s in net.dp.dump("port_stats") if s["port"] == net.host_if
                 for d in s.get("drop", [])}
        assert drops.get("tx_mtu", 0) >= 1, drops


def guest_resources(process, dp):
    fds = len(os.listdir(f"/proc/{process.proc.pid}/fd"))
    status = open(f"/proc/{process.proc.pid}/status").read()
    rss_kb = int(status.split("VmRSS:")[1].split()[0])
    maps = open(f"/proc/{process.proc.pid}/maps").read().count("\n")
    huge_kb = int(status.split("HugetlbPages:")[1].split()[0])
    return dict(fds=fds, rss_kb=rss_kb, maps=maps, huge_kb=huge_kb)


def test_guest_restarts_leak_nothing():
    """Figures before and after; the first restart may settle caches. 50 times in the long version."""
    rounds = 50 if FULL else 3
    with DatapathProcess(memory="128") as process:
        dp = process.connect(writer=True)
        path = f"{process.rundir}/vm.sock"
        dp.transaction([("bridge_set", dict(name="br0", open=1)),
                        ("port_set", dict(name="p1", type="dummy", bridge="br0", ofport=1)),
                        ("port_set", dict(name="vm", type="dpdkvhostuserclient", bridge="br0", ofport=2, option=[
                            dict(key="vhost-server-path", value=path)]))])
        before = None
        for n in range(rounds + 1):
            with guest.Guest([guest.vhost_user(path, "02:77:00:00:00:99")], append="guest.addr=10.77.0.9/24") as g:
                g.wait_ready()
                got = len(dp.frames_sent("p1"))
                g.run("ping -c 1 -W 1 10.77.0.250", check=False)
                wait_until(lambda: len(dp.frames_sent("p1")) > 0 or got > 0)
            wait_until(lambda: not next(p for p in dp.dump("ports") if p["name"] == "vm")["status"]["link_up"])
            now = guest_resources(process, dp)
            print(n, now)
            if n == 0:
                before = now
        # A connection attempt to the absent guest may be under way just now.
        wait_until(lambda: guest_resources(process, dp)["fds"] <= before["fds"], 10)
        assert now["maps"] <= before["maps"] + 4, (before, now)
        assert now["huge_kb"] == before["huge_kb"], (before, now)
        assert now["rss_kb"] <= before["rss_kb"] + 4096, (before, now)


_runs = itertools.count()


def bench_ports(dp, flows, extra="", set_="l2"):
    tag = f"f{os.getpid()}n{next(_runs)}"  # a file in /dev/shm of its own
    dp.transaction([
        ("bridge_set", dict(name="br0", open=1)),
        ("port_set", dict(name="in", type="dpdk", bridge="br0", ofport=1, option=[
            dict(key="dpdk-devargs", value=f"net_bench0,set={set_},flows={flows},shm={tag}a{extra}")])),
        ("port_set", dict(name="out", type="dpdk", bridge="br0", ofport=2, option=[
            dict(key="dpdk-devargs", value=f"net_bench1,shm={tag}b")]))])


def test_a_million_flows_need_few_megaflows():
    """A learning bridge reads addresses and VLANs only: 1M 5-tuples over 10 MACs, at most 200 entries."""
    with DatapathProcess("--eal", f"-d {os.path.abspath(PLUGIN)}", memory="128") as process:
        dp = process.connect(writer=True)
        bench_ports(dp, 1000000, ",macs=10")
        wait_until(lambda: next(s for s in dp.dump("port_stats") if s["port"] == "in")["rx_packets"] > 3000000, 60)
        megaflows = len(dp.dump("megaflows"))
        print("megaflows", megaflows)
        assert 10 <= megaflows <= 200


def random_rules(n):
    """Rules over ever different bits, so that a cache of free masks would need hundreds."""
    rng, out = random.Random(4), []
    for i in range(n):
        m = {}
        if rng.random() < .6:
            m["nw_src"] = f"10.{rng.randrange(2)}.{rng.randrange(256)}.0/{rng.randrange(9, 29)}"
        if rng.random() < .6:
            m["nw_dst"] = f"20.0.{rng.randrange(256)}.0/{rng.randrange(17, 30)}"
        if rng.random() < .5:
            m["tp_dst"] = rng.randrange(1024, 65000)
        if rng.random() < .4 or not m:
            m["tp_src"] = rng.randrange(1024, 65000)
        fields = ",".join(f"{k}={v}" for k, v in m.items())
        out.append(f"priority={100 + i % 50},udp,{fields} actions=output:2")
    return out + ["priority=1 actions=output:2"]


def test_a_port_with_all_its_masks_still_hits():
    """800 random rules and 100,000 flows: at most 16 masks, and at least 95 % of the packets find their entry."""
    with DatapathProcess("--eal", f"-d {os.path.abspath(PLUGIN)}", memory="128") as process:
        dp = process.connect(writer=True)
        dp.transaction([("bridge_set", dict(name="br0", open=1, fail_secure=1))])
        dp.transaction([flowbits.rule(r) for r in random_rules(800)])
        bench_ports(dp, 100000)

        def now():
            s = next(s for s in dp.dump("port_stats") if s["port"] == "in")
            return s["rx_packets"], s["misses"], s["dropped"]

        wait_until(lambda: now()[0] > 1000000, 60)
        before = now()
        wait_until(lambda: now()[0] > before[0] + 3000000, 60)
        after = now()
        hits = 1 - (after[1] - before[1]) / (after[0] - before[0])

        def masks_now():  # a poll thread publishes the figure when it sweeps, once a second
            return sum(t["masks"] for t in dp.dump("poll"))

        wait_until(masks_now, 5)
        masks = masks_now()
        print(f"{hits:.2%} hits, {masks} masks, {after[2]} dropped")
        assert hits >= .95
        assert 2 < masks <= 16
        assert after[2] - before[2] <= (after[0] - before[0]) * .05


def test_ports_come_and_go_during_a_stream_and_no_packet_is_lost():
    """Ports of three kinds are added and removed, 200 times in the long version, while two others forward a stream at
    a rate that leaves the poll thread idle most of the time: sent = received exactly."""
    rounds, rate = (200 if FULL else 40), 50000
    tag = f"pg{os.getpid() % 10000}"
    with DatapathProcess("--eal", f"-d {os.path.abspath(PLUGIN)}", memory="128") as process:
        dp = process.connect(writer=True)
        limit = rate * (20 if FULL else 4)
        bench_ports(dp, 100, f",macs=10,rate={rate},limit={limit}")

        def stat(port):
            return next(s for s in dp.dump("port_stats") if s["port"] == port)

        wait_until(lambda: stat("in")["rx_packets"] > rate // 10)
        early = stat("in")["dropped"]  # the source talks before its port is on the bridge
        kinds = [("dummy", []),  # none that says something by itself
                 ("dpdkvhostuserclient", [dict(key="vhost-server-path", value=f"{process.rundir}/x.sock")]),
                 ("dpdk", [dict(key="dpdk-devargs", value="net_null7,no-rx=1")])]
        during = 0
        for i in range(rounds):
            kind, option = kinds[i % len(kinds)]
            attrs = dict(name=f"{tag}x", type=kind, bridge="br0", **(dict(option=option) if option else {}))
            dp.transaction([("port_set", attrs)])
            dp.transaction([("port_del", dict(name=f"{tag}x"))])
            during += stat("in")["rx_packets"] < limit
        # The generator counts as missed what it would have made while this machine gave the thread no time.
        print(f"{during} of {rounds} additions and removals during the stream; late: {stat('in')['rx_missed']}")
        wait_until(lambda: stat("in")["rx_packets"] == limit, 60)
        time.sleep(0.2)
        for name in ("in", "out"):
            s = stat(name)
            assert s["dropped"] == (early if name == "in" else 0), s
            assert not (s["rx_errors"] or s["tx_errors"]), s
        assert stat("out")["tx_packets"] == limit - early
        assert during >= min(rounds, 10)


def test_every_packet_is_accounted_for_under_load():
    """The ledger, exact at rest after full speed with floods and an output that is away half of the time."""
    with DatapathProcess("--eal", f"-d {os.path.abspath(PLUGIN)}", memory="128") as process:
        dp = process.connect(writer=True)
        bench_ports(dp, 1000, ",macs=50,limit=2000000")
        dp.transaction([("port_set", dict(name="d1", type="dummy", bridge="br0", ofport=3)),
                        ("port_set", dict(name="g1", type="dpdkvhostuserclient", bridge="br0", ofport=4, option=[
                            dict(key="vhost-server-path", value=f"{process.rundir}/none.sock")]))])
        for n in range(10):
            dp.transaction([("port_set", dict(name="d2", type="dummy", bridge="br0", ofport=5))])
            dp.frames_sent("d1")
            time.sleep(0.1)
            dp.transaction([("mac_del", dict(bridge="br0")), ("port_del", dict(name="d2"))])
        wait_until(lambda: next(s for s in dp.dump("port_stats") if s["port"] == "in")["rx_packets"] == 2000000, 30)
        time.sleep(0.2)
        stats = dp.dump("port_stats")
        known = {s["port"] for s in stats}
        assert {"in", "out", "d1", "g1"} <= known
        for s in stats:
            got = s["rx_packets"] + s["handed"] + s["created"]
            gone = s["sent"] + s["tx_packets"] + s["dropped"] + s["absorbed"] + s["held"]
            assert got == gone, s
        by = {s["port"]: s for s in stats}
        assert by["in"]["rx_packets"] == 2000000
        assert by["in"]["created"] > 1000
        reasons = {d["reason"]: d["count"] for d in by["g1"].get("drop", [])}
        assert reasons.get("tx_no_guest", 0) > 1000, reasons
