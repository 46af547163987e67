# SPDX-License-Identifier: BSD-3-Clause
"""OpenFlow with the whole switch: rules reach the datapath, survive the death of either process, and a bridge
that nobody programs has its NORMAL rule."""
import os
import subprocess

import pytest

from control_process import Switch, wait_until

FLOW = "priority=5,tcp,in_port=1,actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),output:2"


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        s.dummies("p1", "p2")
        s.vsctl("set", "bridge", "br0", "protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15")
        yield s


def ofctl(sw, *args):
    r = subprocess.run(["timeout", "10", "ovs-ofctl", "--no-names", *args], env=dict(os.environ, OVS_RUNDIR=sw.dir),
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return r.stdout


def flows(sw):
    return ofctl(sw, "--no-stats", "dump-flows", "br0")


def test_an_unprogrammed_bridge_switches(sw):
    wait_until(lambda: "actions=NORMAL" in flows(sw))
    assert "br0" in sw.appctl("ofproto/list")
    assert "priority=0,actions=NORMAL" in sw.appctl("bridge/dump-flows", "br0")


def test_rules_and_groups_survive(sw):
    ofctl(sw, "-O", "OpenFlow13", "add-group", "br0", "group_id=1,type=all,bucket=output:1")
    ofctl(sw, "add-flow", "br0", FLOW)
    ofctl(sw, "add-flow", "br0", "priority=6,udp,actions=group:1")
    # groups are read back a moment after they changed
    wait_until(lambda: "group:1" in sw.appctl("bridge/dump-flows", "br0"))
    subprocess.run(["sleep", "0.5"], check=True)
    before, groups = flows(sw), ofctl(sw, "-O", "OpenFlow13", "dump-groups", "br0")
    assert "learn(" in before and "group_id=1" in groups

    sw.kill_sluiced()
    sw.start_sluiced()
    wait_until(lambda: sw.status()["ports"] == 3)
    subprocess.run(["sleep", "0.5"], check=True)  # adoption reads the datapath's tables
    wait_until(lambda: sorted(flows(sw).splitlines()) == sorted(before.splitlines()))

    sw.datapath.kill()
    sw.datapath.start()
    wait_until(lambda: sw.status()["datapath"])  # until then requests are refused
    wait_until(lambda: sorted(flows(sw).splitlines()) == sorted(before.splitlines()))
    assert ofctl(sw, "-O", "OpenFlow13", "dump-groups", "br0").splitlines()[1:] == groups.splitlines()[1:]
