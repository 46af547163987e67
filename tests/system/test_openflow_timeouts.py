# SPDX-License-Identifier: BSD-3-Clause
"""Idle and hard timeouts of many rules hold within a second, also when all of them end at once: 10,000 rules here,
a million with SLUICE_FULL=1."""
import os
import re
import time

import pytest

from control_process import Switch, wait_until
from openflow_client import BUNDLE, COMMIT, OPEN, Controller, bundle_control, flow_mod, in_bundle

N = 1000000 if os.environ.get("SLUICE_FULL") else 10000
SECONDS = 20 if N > 10000 else 4
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


def load(sw, table, **timeouts):
    """One bundle, so that all of them begin at once: some time between the two moments that are returned."""
    c = Controller(f"{sw.dir}/br0.mgmt")
    data = b"".join(in_bundle(1, flow_mod(table, i, **timeouts)) for i in range(N))
    c.send(bundle_control(1, OPEN) + data)
    before = time.monotonic()
    c.send(bundle_control(1, COMMIT))
    c.until(BUNDLE)
    c.until(BUNDLE)
    c.close()
    return before, time.monotonic()


@pytest.mark.parametrize("kind", ["hard_s", "idle_s"])
def test_all_at_once(sw, kind):
    sw.appctl("time/stop")
    load(sw, 1, **{kind: SECONDS})
    sw.appctl("time/warp", str(SECONDS * 1000 - 200))
    time.sleep(0.3)
    assert rules(sw, 1) == N
    sw.appctl("time/warp", "1300")
    wait_until(lambda: rules(sw, 1) == 0, 20 + SECONDS, every=0.1)


def test_what_is_used_stays_among_many(sw):
    load(sw, 1, idle_s=600)
    sw.appctl("time/stop")
    sw.run("ovs-ofctl", "add-flow", "br0", "table=0,priority=9,idle_timeout=2,udp,actions=drop")
    sw.run("ovs-ofctl", "add-flow", "br0", "table=0,priority=8,idle_timeout=2,icmp,actions=drop")
    key = f"in_port(1),eth(src={A},dst={B}),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,ttl=64,frag=no)," \
          "udp(src=5,dst=6)"
    for ms in range(0, 6000, 300):
        sw.appctl("netdev-dummy/receive", "p1", key)
        wait_until(lambda: sw.show("port", "stats", "p1")[0]["rx_packets"] == ms // 300 + 1)
        left = rules(sw, 0)
        assert left >= 1, "the rule that is used has gone"
        assert left == 2 or ms > 1800
        sw.appctl("time/warp", "300")
    wait_until(lambda: rules(sw, 0) == 1)
    assert rules(sw, 1) == N
    sw.appctl("time/warp", "3300")
    wait_until(lambda: rules(sw, 0) == 0)
