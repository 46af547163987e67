# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's drivers are loaded when a port wants one: not all 96 at every start (docs/decisions/start.md)."""
import re

import pytest

import dpapi
from datapath_process import DatapathProcess


def loaded(process):
    """Drivers of network devices in the process's memory."""
    with open(f"/proc/{process.proc.pid}/maps") as f:
        return set(re.findall(r"librte_(net_\w+)\.so", f.read()))


def add(dp, name, devargs):
    dp.transaction([("port_set", dict(name=name, type="dpdk", bridge="br0", option=[
        dict(key="dpdk-devargs", value=devargs)]))])


def test_a_driver_comes_with_the_first_port_that_wants_it():
    with DatapathProcess() as process:
        dp = process.connect(writer=True)
        dp.transaction([("bridge_set", dict(name="br0", open=1))])
        assert loaded(process) == set()
        add(dp, "p1", "net_null0")
        assert loaded(process) == {"net_null"}
        add(dp, "p2", "net_null_of_mine,size=128")  # the name goes on behind the driver's
        assert loaded(process) == {"net_null"}
        # by an alias that no file is called like: one of all
        add(dp, "p3", "eth_ring0")
        assert {"net_ring", "net_tap", "net_null"} < loaded(process)
        assert {p["name"] for p in dp.dump("ports")} == {"p1", "p2", "p3"}


def test_what_no_driver_has_is_refused_once_all_are_there():
    with DatapathProcess() as process:
        dp = process.connect(writer=True)
        dp.transaction([("bridge_set", dict(name="br0", open=1))])
        with pytest.raises(dpapi.ApiError, match="net_nobodys0: cannot be probed"):
            add(dp, "p1", "net_nobodys0")
        with pytest.raises(dpapi.ApiError, match="0000:00:1f.7: cannot be probed"):
            add(dp, "p1", "0000:00:1f.7")
        add(dp, "p1", "net_null0")


def test_drivers_that_eal_is_told_to_use_are_there_at_once():
    with DatapathProcess("--eal", "--vdev net_null7") as process:
        assert "net_null" in loaded(process)
        dp = process.connect(writer=True)
        dp.transaction([("bridge_set", dict(name="br0", open=1))])
        add(dp, "p1", "net_null7")
