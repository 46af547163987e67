# SPDX-License-Identifier: BSD-3-Clause
"""Debian's ovs-ofctl cannot tell our OpenFlow switch from Open vSwitch: the same commands, in every version,
give the same output and the same errors."""
import pathlib

import pytest

from openflow_pair import VERSIONS, Host, Ovs, ofctl
from openflow_pair import ofctl_both as both

FLOWS = [l for l in (pathlib.Path(__file__).parent / "openflow_flows.txt").read_text().splitlines()
         if l and not l.startswith("#")]

# 1.1 cannot say most of the flows, and ovs-ofctl then refuses the file
NOT_11 = [v for v in VERSIONS if v != "OpenFlow11"]


@pytest.fixture(scope="module")
def pair():
    host, ovs = Host(), Ovs()
    yield host, ovs
    ovs.stop()
    host.stop()


def same(pair, version, *command, **kw):
    ours, theirs = both(pair, version, *command, **kw)
    if command[0].startswith("dump-flows"):
        ours, theirs = lines(ours), lines(theirs)
    assert ours == theirs, f"{version}: {' '.join(command)}"
    return ours


def lines(result):
    """Rows in any order: tables and groups are kept in hash maps on both sides."""
    return result[0], sorted(result[1].splitlines()), result[2]


@pytest.mark.parametrize("version", VERSIONS)
def test_flows_print_back(pair, version):
    """Every match and action: accepted or refused alike, and shown alike, in the version that wrote it and,
    for what 1.0 wrote, in 1.5 too."""
    different = []
    for flow in FLOWS:
        if version == "OpenFlow11" and "vlan_tci=0," in flow:
            continue  # 1.1 has two ways to say "no tag", which print differently
        both(pair, "OpenFlow13", "del-flows")
        steps = [("add-flow", flow)]
        shown = [version] + (["OpenFlow15"] if version == "OpenFlow10" else [])
        for args in steps:
            ours, theirs = both(pair, version, *args)
            if ours != theirs:
                different.append((flow, ours, theirs))
        for v in shown:
            ours, theirs = map(lines, both(pair, v, "dump-flows"))
            if ours != theirs:
                different.append((flow, ours, theirs))
    assert not different, "\n".join(f"{f}\n  ours {a}\n  ovs  {b}" for f, a, b in different)


@pytest.mark.parametrize("version", NOT_11)
def test_selection_and_modification(pair, version):
    same(pair, "OpenFlow13", "del-flows")
    for args in (
        ("add-flow", "table=5,priority=5,tcp,tp_dst=80,cookie=0x5,actions=2"),
        ("add-flow", "table=5,priority=6,tcp,tp_dst=80,cookie=0x15,actions=3"),
        ("dump-flows", "cookie=0x15/-1"),
        ("dump-flows", "out_port=3"),
        ("dump-flows", "udp"),
        ("dump-aggregate", "table=5"),
        ("mod-flows", "table=5,tcp,cookie=0x5/-1,actions=1"),
        ("dump-flows", "table=5,cookie=0x5/-1"),
        ("mod-flows", "table=9,tcp,tp_dst=9,actions=1"),
        ("dump-flows", "table=9"),
        ("del-flows", "cookie=0x15/-1"),
        ("dump-flows", "table=5"),
        ("del-flows", "table=9"),
        ("add-flow", "check_overlap,priority=1,actions=1"),
        ("add-flow", "check_overlap,priority=1,in_port=1,actions=1"),
    ):
        same(pair, version, *args)
    same(pair, version, "mod-flows", "table=5,priority=5,tcp,tp_dst=80,actions=LOCAL", options=["--strict"])
    same(pair, version, "del-flows", "table=5,priority=7,tcp,tp_dst=80", options=["--strict"])
    same(pair, version, "dump-flows", "table=5")


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"])
def test_bundles(pair, version, tmp_path):
    same(pair, version, "del-flows")
    f = tmp_path / "flows"
    f.write_text("add table=8,priority=1,actions=1\nadd table=8,priority=2,actions=2\ndelete table=7\n")
    if version == "OpenFlow10":
        version = "OpenFlow14"
    same(pair, version, "add-flows", str(f), options=["--bundle"])
    same(pair, version, "dump-flows")
    # all or nothing
    f.write_text("table=8,priority=9,actions=1\ntable=8,check_overlap,priority=1,in_port=1,actions=3\n")
    ours, theirs = both(pair, version, "add-flows", str(f), options=["--bundle"])
    assert ours[0] == theirs[0] == 1
    assert "OVERLAP" in ours[2] and "OVERLAP" in theirs[2]
    same(pair, version, "dump-flows")


@pytest.mark.parametrize("version", NOT_11)
def test_replace_and_diff(pair, version, tmp_path):
    f = tmp_path / "flows"
    f.write_text("".join(l + "\n" for l in FLOWS if "ct(" in l or "learn" in l or "note" in l)
                 .replace("actions=ct", "priority=1,actions=ct"))
    host = pair[0]
    assert ofctl(host.mgmt, version, "replace-flows", str(f))[0] == 0
    assert ofctl(host.mgmt, version, "diff-flows", str(f)) == (0, "", "")


GROUPS = [
    ("add-group", "group_id=1,type=select,bucket=weight:10,output:1,bucket=weight:20,output:2"),
    ("add-group", "group_id=1,type=all,bucket=output:1"),
    ("add-group", "group_id=2,type=ff,bucket=watch_port:1,output:1,bucket=watch_port:2,output:2"),
    ("add-group", "group_id=3,type=all,bucket=output:1,bucket=mod_dl_src:00:11:22:33:44:55,output:2"),
    ("add-group", "group_id=4,type=indirect,bucket=output:1"),
    ("add-group", "group_id=5,type=indirect,bucket=output:1,bucket=output:2"),
    ("add-group", "group_id=7,type=select,selection_method=hash,fields(ip_dst=255.255.255.0,nw_proto),bucket=output:1"),
    ("add-group", "group_id=8,type=select,selection_method=dp_hash,selection_method_param=5,bucket=bucket_id:7,output:1"),
    ("mod-group", "group_id=3,type=all,bucket=output:3"),
    ("mod-group", "group_id=99,type=all,bucket=output:3"),
    ("insert-buckets", "group_id=1,command_bucket_id=first,bucket=bucket_id:9,weight:1,output:3"),
    ("remove-buckets", "group_id=1,command_bucket_id=0"),
    ("remove-buckets", "group_id=1,command_bucket_id=77"),
]


@pytest.mark.parametrize("version", VERSIONS)
def test_groups(pair, version):
    same(pair, version, "del-groups")
    for args in GROUPS:
        same(pair, version, *args)
    for command in ("dump-groups", "dump-group-stats"):
        ours, theirs = both(pair, version, command)
        assert lines(ours) == lines(theirs)
    if version != "OpenFlow11":
        same(pair, version, "dump-group-features")
    same(pair, version, "del-groups")


@pytest.mark.parametrize("version", ["OpenFlow13", "OpenFlow14", "OpenFlow15"])
def test_meters(pair, version):
    same(pair, version, "del-meters")
    for args in (
        ("add-meter", "meter=1,kbps,burst,stats,band=type=drop,rate=100,burst_size=200"),
        ("add-meter", "meter=1,kbps,band=type=drop,rate=1"),
        ("add-meter", "meter=3,kbps,band=type=drop,rate=0"),
        ("mod-meter", "meter=1,kbps,band=type=drop,rate=300"),
        ("mod-meter", "meter=9,kbps,band=type=drop,rate=300"),
        ("dump-meters",),
        ("dump-meter", "9"),
        ("del-meters",),
        ("dump-meters",),
    ):
        same(pair, version, *args)


@pytest.mark.parametrize("version", VERSIONS)
def test_switch_and_ports(pair, version):
    same(pair, "OpenFlow13", "del-flows")
    for args in (("dump-tables",), ("dump-ports", "77"), ("queue-get-config", "1"), ("queue-stats", "9"),
                 ("mod-port", "1", "no-packet-in"), ("mod-port", "1", "packet-in"), ("mod-port", "99", "down"),
                 ("get-frags",), ("dump-tlv-map",),
                 ("packet-out", "in_port=65529,packet=0000000000000000000000000800,actions=2")):
        if version in ("OpenFlow11", "OpenFlow12") and args[0] == "dump-tables":
            continue  # these list what each table could do, bit by bit
        same(pair, version, *args)
    show = ofctl(pair[0].mgmt, version, "show")[1]
    for port in ("1(p1)", "2(p2)", "3(p3)", "LOCAL(br0)"):
        assert port in show


def test_tunnel_options(pair):
    for args in (
        ("del-tlv-map",),
        ("add-tlv-map", "{class=0x102,type=0x80,len=4}->tun_metadata0"),
        ("dump-tlv-map",),
        ("add-tlv-map", "{class=0x102,type=0x81,len=4}->tun_metadata0"),
        ("add-tlv-map", "{class=0x102,type=0x80,len=4}->tun_metadata1"),
        ("del-flows",),
        ("add-flow", "tun_metadata0=0x5/0xff,actions=set_field:0x7->tun_metadata0"),
        ("dump-flows",),
        ("del-flows",),
        ("del-tlv-map",),
        ("add-flow", "tun_metadata0=0x5,actions=1"),
    ):
        same(pair, "OpenFlow15", *args)
