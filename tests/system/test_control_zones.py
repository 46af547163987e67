# SPDX-License-Identifier: BSD-3-Clause
"""Conntrack zones and their timeouts, from ovs-vsctl's zone commands to the connection."""
import logging
import re
import struct

import pytest

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.all import IP, UDP, Ether  # noqa: E402

from control_process import Switch, wait_until  # noqa: E402


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        s.dummies("p1", "p2")
        s.vsctl("--", "--id=@d", "create", "Datapath", "datapath_version=0", "--", "set",
                "Open_vSwitch", ".", "datapaths:netdev=@d")
        yield s


def timeouts(sw):
    """zone → seconds, as the datapath has them."""
    with sw.datapath.connect() as dp:
        zones = dp.dump("ct_info")
    return {z["ct_zone"]: [ms // 1000 for ms in struct.unpack(f"{len(z['ct_timeouts']) // 4}I", z["ct_timeouts"])]
            for z in zones if "ct_timeouts" in z and "ct_zone" in z}


def expiry(sw, zone, sport):
    """A connection begins in the zone: in how many seconds does it end?"""
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") /
                  IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=sport, dport=53) / b"x").hex()
    sw.run("ovs-ofctl", "packet-out", "br0",
           f"in_port=p1,packet={frame},actions=ct(commit,zone={zone})")

    def line():
        return [x for x in sw.appctl("dpctl/dump-conntrack", "-s", f"zone={zone}").splitlines()
                if f"sport={sport}" in x]
    wait_until(line)
    return int(re.search(r"timeout=(\d+)", line()[0]).group(1))


def test_zone_timeouts(sw):
    assert timeouts(sw) == {}
    sw.vsctl("add-zone-tp", "netdev", "zone=5", "udp_first=3000", "tcp_established=77")
    sw.vsctl("add-zone-tp", "netdev", "zone=6", "icmp_reply=9")
    assert "Zone:5" in sw.vsctl("list-zone-tp", "netdev")
    five = timeouts(sw)[5]
    assert (five[2], five[6]) == (77, 3000)
    assert timeouts(sw)[6][10] == 9
    assert 2900 < expiry(sw, 5, 1111) <= 3000
    assert expiry(sw, 7, 1111) <= 60

    # what is there already is not written again
    before = sw.status()["transactions"]
    sw.kill_sluiced()
    sw.start_sluiced()
    wait_until(lambda: sw.status()["ports"] == 3)
    assert sw.status()["transactions"] == 0 < before

    # a datapath that has lost everything gets them again
    sw.datapath.kill()
    sw.datapath.start()
    wait_until(lambda: sorted(timeouts(sw)) == [5, 6])

    sw.vsctl("del-zone-tp", "netdev", "zone=5")
    assert sorted(timeouts(sw)) == [6]
    assert expiry(sw, 5, 2222) <= 60
    sw.vsctl("clear", "Open_vSwitch", ".", "datapaths")
    assert timeouts(sw) == {}


def test_a_state_that_the_tracker_does_not_have_is_reported(sw):
    sw.vsctl("add-zone-tp", "netdev", "zone=5", "tcp_unack=10", "udp_first=11")
    assert timeouts(sw)[5][6] == 11
    note, = [n for n in sw.status()["notes"] if n["table"] == "CT_Timeout_Policy"]
    assert (note["name"], note["key"], note["kind"]) == ("zone 5", "tcp_unack", "inert")


def test_capabilities_are_written(sw):
    assert 'ct_timeout="true"' in sw.vsctl("list", "Datapath")
    assert "max_vlan_headers" in sw.vsctl("get", "Datapath", sw.vsctl(
        "--bare", "--columns=_uuid", "list", "Datapath"), "capabilities")
