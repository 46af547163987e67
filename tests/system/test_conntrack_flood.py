# SPDX-License-Identifier: BSD-3-Clause
"""Floods of new connections and of fragments from one port at full speed, while others have connections
and open new ones: established ones lose nothing, new ones succeed, memory is bounded.

    flood (net_bench, as fast as it is polled) ──┐
    old, back (1,000 connections, both ways)   ──┼── ct(commit) by zone ── sinks
    fresh (10,000 new connections a second)    ──┘
The same on a policed bridge without any ct(): there the edges of the ports track.
SLUICE_FULL=1: half a minute of each flood and the default maximum."""
import itertools
import os
import random
import struct
import time

import pytest

import flowbits
from datapath_process import BUILD, DatapathProcess, wait_until

FULL = os.environ.get("SLUICE_FULL") == "1"
PLUGIN = os.environ.get("SLUICE_BENCH_PLUGIN", os.path.join(BUILD, "lib", "libsluice_bench.so"))
SECONDS, CT_MAX, FRESH = (30, 3000000, 10000) if FULL else (3, 100000, 10000)
OLD = 1000
GUEST = 0  # enum port_role
HALF_OPEN = "ct_" "half_open"  # the attribute, not the drop reason of that name
pytestmark = [pytest.mark.skipif(not os.path.exists(PLUGIN), reason="libsluice_bench.so is not built"),
              pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
_runs = itertools.count()
_devices = itertools.count()


def port(dp, name, ofport, args=""):
    tag = f"ctf{os.getpid()}n{next(_runs)}"
    dp.transaction([("port_set", dict(name=name, type="dpdk", bridge="br0", ofport=ofport, role=GUEST, option=[
        dict(key="dpdk-devargs", value=f"net_bench{next(_devices)},shm={tag},queues=1{args}")]))])


def stats(dp, name):
    return next(s for s in dp.dump("port_stats") if s["port"] == name)


def info(dp):
    return next(o for o in dp.dump("ct_info") if "ct_max" in o)


def ways(zone, out):
    return [flowbits.rule(f"priority=9,in_port={zone},udp actions=ct(table=1,zone={zone})"),
            flowbits.rule(f"table=1,priority=9,ct_zone={zone},udp,ct_state=+new-inv "
                          f"actions=ct(commit,zone={zone}),output:{out}"),
            flowbits.rule(f"table=1,priority=9,ct_zone={zone},udp,ct_state=+est-inv actions=output:{out}")]


def checksum(data):
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def syns(path, n=50000):
    """A capture of SYNs from random addresses and ports, whose checksums are right."""
    rng = random.Random(3)
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for _ in range(n):
            ends = struct.pack("!II", 0x0a000000 | rng.getrandbits(24), 0x0b000001)
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + ends
            ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
            tcp = struct.pack("!HHIIBBHHH", rng.getrandbits(16) | 1, 80, rng.getrandbits(32), 0, 0x50, 2, 8192, 0, 0)
            tcp = tcp[:16] + struct.pack("!H", checksum(ends + struct.pack("!HH", 6, 20) + tcp)) + tcp[18:]
            data = bytes.fromhex("020000000002020000000001 0800") + ip + tcp + bytes(6)
            f.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
    return f"pcap={path}"


OPENFLOW = ways(4, 11) + [
    # The old connections: one zone, both directions.
    flowbits.rule("priority=9,in_port=2,udp actions=ct(table=1,zone=2)"),
    flowbits.rule("priority=9,in_port=3,udp actions=ct(table=1,zone=2)"),
    flowbits.rule("table=1,priority=9,ct_zone=2,in_port=2,udp,ct_state=+new-inv actions=ct(commit,zone=2),output:10"),
    flowbits.rule("table=1,priority=9,ct_zone=2,udp,ct_state=+est-inv actions=output:10"),
    flowbits.rule("priority=8,in_port=1,ip actions=ct(table=1,zone=1)"),
    flowbits.rule("table=1,priority=8,ct_zone=1,ip,ct_state=+new-inv actions=ct(commit,zone=1),output:10"),
    flowbits.rule("table=1,priority=7,ct_zone=1 actions=output:10")]
PLAIN = [flowbits.rule(f"priority=9,in_port={a} actions=output:{b}") for a, b in ((1, 10), (2, 3), (3, 2), (4, 11))]


@pytest.mark.parametrize("kind,policed", [("tuples", False), ("fragments", False), ("syns", False), ("tuples", True),
                                          ("syns", True)])
def test_floods_push_out_their_own(kind, policed, tmp_path):
    flood = {"tuples": lambda: "set=l2,roll=1,flows=100000,macs=1", "fragments": lambda: "set=frag,flows=65536",
             "syns": lambda: syns(tmp_path / "syns.pcap")}[kind]()
    with DatapathProcess("--eal", f"-d {os.path.abspath(PLUGIN)}", memory="192") as process:
        dp = process.connect(writer=True)
        dp.transaction([("bridge_set", dict(name="br0", open=1, fail_secure=1, policed=int(policed))),
                        ("ct_set", dict(ct_max=CT_MAX))])
        port(dp, "sink", 10)
        port(dp, "sink2", 11)
        dp.transaction(PLAIN if policed else OPENFLOW)
        port(dp, "old", 2, f",set=l2,flows={OLD},rate=5000")
        wait_until(lambda: stats(dp, "old")["rx_packets"] > 3 * OLD, 20)
        port(dp, "back", 3, f",set=l2,flows={OLD},rate=5000,reverse=1")
        wait_until(lambda: stats(dp, "back")["rx_packets"] > 3 * OLD, 20)
        assert policed or len(dp.dump("conns", ct_zone=2)) == OLD
        assert info(dp)["ct_count"] == OLD * (1 + policed) and info(dp)[HALF_OPEN] == 0
        quiet = [stats(dp, p)["dropped"] for p in ("old", "back")]

        port(dp, "flood", 1, "," + flood)
        wait_until(lambda: stats(dp, "flood")["rx_packets"] > 10000, 20)
        n = SECONDS * FRESH
        port(dp, "fresh", 4, f",set=l2,roll=1,flows=100000,seed=7,rate={FRESH},limit={n}")
        began = time.monotonic()
        wait_until(lambda: stats(dp, "fresh")["rx_packets"] >= n, SECONDS * 6 + 20)
        took = time.monotonic() - began
        time.sleep(.2)

        s, i = stats(dp, "fresh"), info(dp)
        arrived = stats(dp, "sink2")["tx_packets"]
        speed = stats(dp, "flood")["rx_packets"] / (time.monotonic() - began)
        after = [stats(dp, p)["dropped"] for p in ("old", "back")]
        print(f"{kind}{' policed' if policed else ''}: {speed / 1e6:.2f} Mpps of flood; of {n} new ones in {took:.1f} s {arrived} arrived; "
              f"{i['ct_count']} connections, {i[HALF_OPEN]} half open, {i['memory_bytes'] >> 20} MB; "
              f"{i['detail']}; fragments held {i['fragment_held']}")
        assert after == quiet, "established connections lost packets"
        assert policed or len(dp.dump("conns", ct_zone=2)) == OLD, "an established connection was pushed out"
        assert arrived >= .99 * n, s
        assert i["ct_count"] <= CT_MAX and i[HALF_OPEN] <= CT_MAX // 4
        # However fast the flood is and however late any thread: what is gone and waits is bounded for each port, and
        # threads have few in hand (ct_limits.c). 256 bytes each, and buckets that may have doubled just now.
        exist = CT_MAX // 4 + 2 * OLD + 2 * max(CT_MAX // 16, 4096) + 65 * 3 * 32
        assert i["memory_bytes"] <= exist * 400 + (1 << 20)
        assert i["fragment_held"] <= i["fragment_max"] // 2 + 64
