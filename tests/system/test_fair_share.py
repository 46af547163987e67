# SPDX-License-Identifier: BSD-3-Clause
"""Poll time is shared by cycles: beside a port whose every packet is a miss, one with cheap packets
keeps half of the thread or somewhat more (a miss is charged for what it does to the caches, too), or as much as its weight
says, as `sluice poll show` tells it."""
import os
import sys
import time

import pytest

import dpapi
import flowbits
from datapath_process import BUILD, DatapathProcess, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "perf"))
from harness import shm  # noqa: E402

PLUGIN = os.path.join(BUILD, "lib", "libsluice_bench.so")
pytestmark = pytest.mark.skipif(not os.path.exists(PLUGIN), reason="net_bench was not built")


def cycles(dp):
    """Of each port's queue so far."""
    return {q["port"]: q["packets"] * q.get("cycles_per_packet", 0) for t in dp.dump("poll") for q in t["rxq"]}


def stats(dp, port):
    return next(s for s in dp.dump("port_stats") if s["port"] == port)


def share_of_victim(dp, total):
    """Of the next `total` cycles that the two took."""
    before, began = cycles(dp), time.monotonic()
    wait_until(lambda: sum(cycles(dp).values()) - sum(before.values()) > total, 90)
    after = cycles(dp)
    took = {p: after[p] - before[p] for p in before}
    share = took["in"] / (took["in"] + took["flood"])
    print(f"{share:.2f} of the cycles in {time.monotonic() - began:.1f} s")
    return share


def test_a_flood_of_misses_takes_half_of_the_time():
    tag = f"fs{os.getpid() % 10000}"
    devices = {"in": "net_bench0,set=l2,flows=100", "out": "net_bench1", "flood": "net_bench2,set=macflood,gate=0"}
    with DatapathProcess("--eal", f"-d {os.path.abspath(PLUGIN)}", memory="128") as process:
        dp = process.connect(writer=True)
        dp.transaction([("bridge_set", dict(name="br0", open=1, fail_secure=1))] + [
            ("port_set", dict(name=name, type="dpdk", bridge="br0", ofport=n + 1, option=[
                dict(key="dpdk-devargs", value=f"{args},shm={tag}{n}")])) for n, (name, args) in enumerate(devices.items())])
        dp.transaction([flowbits.rule(r) for r in ("priority=1,in_port=1 actions=output:2",
                                                   "priority=1,in_port=3 actions=NORMAL")])
        wait_until(lambda: stats(dp, "in")["tx_packets"] == 0 and stats(dp, "out")["tx_packets"] > 100000, 30)
        flood = shm.Port(f"{tag}2")
        flood.open_gate(limit=0)
        wait_until(lambda: stats(dp, "flood")["misses"] > 20000, 60)
        dropped = stats(dp, "in")["dropped"]
        share = share_of_victim(dp, 4e9)
        seen = stats(dp, "flood")
        print(f"flood: {seen['misses']} misses, {seen['miss_queued']} waited, {seen['over_quota']} over the quota")
        assert 0.5 < share < 0.68
        # three times the weight, three times the time; live, and told again by a dump
        dp.transaction([("port_set", dict(name="in", poll_weight=30))])
        assert 0.7 < share_of_victim(dp, 2e9) < 0.92
        assert next(p for p in dp.dump("ports") if p["name"] == "in")["poll_weight"] == 30
        with pytest.raises(dpapi.ApiError):
            dp.transaction([("port_set", dict(name="in", poll_weight=0))])
        flood.close_gate()
        assert stats(dp, "in")["dropped"] == dropped
