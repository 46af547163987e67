# SPDX-License-Identifier: BSD-3-Clause
"""Idle and hard timeouts of many rules hold within a second, also when all of them end at once: 10,000 rules here,
a million with SLUICE_FULL=1."""
import os
import re
import time

import pytest

from control_process import Switch, wait_until

N = 1000000 if os.environ.get("SLUICE_FULL") else 10000
SECONDS = 12 if N > 10000 else 4
A, B = "50:54:00:00:00:0a", "50:54:00:00:00:0b"


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        s.dummies("p1", "p2")
        s.vsctl("set", "bridge", "br0", "fail_mode=secure", "protocols=OpenFlow10,OpenFlow14")
        s.run("ovs-ofctl", "del-flows", "br0")
        yield s


def rules(sw, table):
    out = sw.run("ovs-ofctl", "dump-aggregate", "br0", f"table={table}", timeout=60).stdout
    return int(re.search(r"flow_count=(\d+)", out).group(1))


def load(sw, table, what):
    """One bundle, so that all of them begin at once; when that was, within the time between the two."""
    path = sw.write("flows", "".join(
        f"table={table},priority=5,{what},tcp,nw_dst=10.{i >> 16}.{i >> 8 & 255}.{i & 255},tp_dst={i % 60000},actions=drop\n"
        for i in range(N)))
    before = time.monotonic()
    sw.run("ovs-ofctl", "-O", "OpenFlow14", "--bundle", "add-flows", "br0", path, timeout=300)
    return before, time.monotonic()


@pytest.mark.parametrize("kind", ["hard_timeout", "idle_timeout"])
def test_all_at_once(sw, kind):
    begun = time.monotonic()
    before, after = load(sw, 1, f"{kind}={SECONDS}")
    # the rules count from the commit, which is somewhere in between: watch for the first that goes
    if time.monotonic() < before + SECONDS - 0.5 and N <= 10000:
        assert rules(sw, 1) == N
    wait_until(lambda: rules(sw, 1) < N, after - begun + SECONDS + 2)
    first = time.monotonic()
    wait_until(lambda: rules(sw, 1) == 0, 30)
    last = time.monotonic()
    assert last <= after + SECONDS + 1.5, f"late by {last - after - SECONDS:.1f} s"
    assert first >= before + SECONDS - 0.1, "too early"
    print(f"{N} rules ended within {last - first:.2f} s")


def test_what_is_used_stays_among_many(sw):
    load(sw, 1, "idle_timeout=600")
    sw.run("ovs-ofctl", "add-flow", "br0", "table=0,priority=9,idle_timeout=2,udp,actions=drop")
    sw.run("ovs-ofctl", "add-flow", "br0", "table=0,priority=8,idle_timeout=2,icmp,actions=drop")
    key = f"in_port(1),eth(src={A},dst={B}),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,ttl=64,frag=no)," \
          "udp(src=5,dst=6)"
    start = time.monotonic()
    gone = None
    while time.monotonic() < start + 6:
        sw.appctl("netdev-dummy/receive", "p1", key)
        left = rules(sw, 0)
        assert left >= 1, "the rule that is used has gone"
        if left == 1 and not gone:
            gone = time.monotonic() - start
        time.sleep(0.3)
    assert gone and 1.9 <= gone <= 3.5, gone
    start = time.monotonic()
    wait_until(lambda: rules(sw, 0) == 0, 5)
    assert time.monotonic() - start <= 3.2
