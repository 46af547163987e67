# SPDX-License-Identifier: BSD-3-Clause
"""sluice flow, group, meter, table: the syntax of ovs-ofctl, errors that point at the place, files, and rules that
come back when both daemons have died."""
import os
import subprocess

import pytest

from control_process import SLUICE, Failed, Switch, wait_until


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        s.dummies("p1", "p2")
        s.vsctl("set", "bridge", "br0", "fail_mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow15")
        s.sluice("flow", "del", "br0")
        yield s


def flows(sw, *args):
    return [l.strip() for l in sw.sluice("flow", "dump", "br0", "--no-stats", *args).splitlines()]


def ofctl(sw, *args):
    return sw.run("ovs-ofctl", "--no-names", "-O", "OpenFlow15", *args).stdout


def refused(sw, *argv, text=None):
    with pytest.raises(Failed) as e:
        sw.sluice(*argv, text=text)
    return e.value.err


def test_flows(sw):
    sw.sluice("flow", "add", "br0", "priority=5,tcp,in_port=p1,nw_src=10.0.0.0/8,actions=set_field:7->reg0,p2")
    sw.sluice("flow", "add", "br0", "-", text="# two\ntable=1,cookie=5,udp,actions=drop\n\nadd table=1,icmp,actions=NORMAL # why\n")
    assert len(flows(sw)) == 3
    assert flows(sw, "tcp") == ["cookie=0x0, table=0, priority=5,tcp,in_port=1,nw_src=10.0.0.0/8 actions=set_field:0x7->reg0,output:2"]
    assert "in_port=p1" in flows(sw, "--names", "tcp")[0] and "output:p2" in flows(sw, "--names", "tcp")[0]
    assert len(flows(sw, "table=1")) == 2 and len(flows(sw, "cookie=5/-1")) == 1
    assert len(ofctl(sw, "dump-flows", "br0").splitlines()) == 4
    listed = sw.show("flow", "dump", "br0")
    assert {f["match"] for f in listed} == {"tcp,in_port=1,nw_src=10.0.0.0/8", "udp", "icmp"}
    assert [f["cookie"] for f in listed if f["match"] == "udp"] == ["0x5"]

    sw.sluice("flow", "mod", "br0", "table=1,actions=output:1")
    assert all(l.endswith("actions=output:1") for l in flows(sw, "table=1"))
    assert "cookie=0x5" in " ".join(flows(sw, "table=1"))  # a change keeps cookies
    sw.sluice("flow", "del", "br0", "--strict", "table=1")
    assert len(flows(sw)) == 3
    sw.sluice("flow", "del", "br0", "table=1,udp")
    assert len(flows(sw)) == 2
    sw.sluice("flow", "del", "br0")
    assert flows(sw) == []


def test_errors_point(sw):
    err = refused(sw, "flow", "add", "br0", "tcp,nw_src=10.0.0.300,actions=drop")
    first, line, mark = err.splitlines()[:3]
    assert first.startswith("error: column ") and line == "  tcp,nw_src=10.0.0.300,actions=drop"
    assert mark.index("^") == int(first.split()[2].rstrip(":")) + 1
    err = refused(sw, "flow", "add", "br0", "-", text="udp,actions=drop\ntcp,actions=outptu:1\n")
    assert err.startswith("error: line 2: column 13") and err.splitlines()[2].index("^") == 14
    assert flows(sw) == []  # none of them
    assert "actions" in refused(sw, "flow", "add", "br0", "tcp")
    assert "no such" in refused(sw, "group", "add", "br0", "group_id=1,type=all,bucket=watch_port:p9,actions=drop")
    assert "BAD_OUT_GROUP" in refused(sw, "flow", "add", "br0", "actions=group:9")
    assert "line 2" in refused(sw, "flow", "add", "br0", "-", text="udp,actions=drop\ntcp,actions=group:9\n")
    assert "bridge br9: not found" in refused(sw, "flow", "add", "br9", "actions=drop")
    assert "br9" in refused(sw, "flow", "dump", "br9")
    assert "column" in refused(sw, "flow", "dump", "br0", "nonsense=1")
    assert refused(sw, "meter", "add", "br0", "meter=1,kbps,bands=type=drop,rate=x").startswith("error: column 35")
    refused(sw, "flow", "nothing", "br0")


GROUPS = [  # a group may name one that comes later
    "group_id=1,type=all,bucket=bucket_id:0,actions=group:3,bucket=bucket_id:1,actions=set_field:0x1->reg0,output:2",
    "group_id=2,type=select,selection_method=hash,fields(ip_src,tcp_dst=255),bucket=bucket_id:7,weight:5,actions=output:1",
    "group_id=3,type=fast_failover,bucket=bucket_id:0,watch_port:1,actions=output:1",
    "group_id=4,type=indirect,bucket=bucket_id:0,actions=resubmit(,1)",
]
METERS = ["meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=100",
          "meter=2,pktps,bands=type=dscp_remark,rate=5,prec_level=1"]


def test_groups_and_meters(sw):
    sw.sluice("group", "add", "br0", "-", text="\n".join(GROUPS))
    for m in METERS:
        sw.sluice("meter", "add", "br0", m)
    dump = lambda what: [l.strip() for l in sw.sluice(what, "dump", "br0", "--no-stats").splitlines()]
    assert dump("group") == GROUPS
    assert dump("meter") == METERS
    out = ofctl(sw, "dump-groups", "br0")
    assert "selection_method=hash,fields(ip_src,tcp_dst=255)" in out or "selection_method=hash" in out
    assert "ref_count=0" in sw.sluice("group", "dump", "br0")
    assert [g["id"] for g in sw.show("group", "dump", "br0")] == [1, 2, 3, 4]
    sw.sluice("group", "mod", "br0", "group_id=1,type=all")
    assert dump("group")[0] == "group_id=1,type=all"
    sw.sluice("group", "del", "br0", "group_id=1")
    assert len(dump("group")) == 3
    sw.sluice("group", "del", "br0")
    sw.sluice("meter", "mod", "br0", "meter=1,kbps,bands=type=drop,rate=7")
    assert "rate=7" in dump("meter")[0]
    sw.sluice("meter", "del", "br0", "meter=2")
    sw.sluice("meter", "del", "br0")
    assert dump("group") == [] and dump("meter") == []
    sw.sluice("flow", "add", "br0", "table=3,actions=drop")
    assert [t["table"] for t in sw.show("table", "show", "br0") if t["rules"]] == [3]
    assert len(sw.show("table", "show", "br0", "--all")) >= 254


def test_diff_and_replace(sw):
    sw.sluice("flow", "add", "br0", "-", text="priority=1,tcp,actions=1\npriority=2,udp,actions=2\npriority=3,icmp,actions=drop\n")
    want = sw.write("want", "priority=1,tcp,actions=output:1\npriority=2,udp,actions=p1\ntable=7,actions=drop\n")
    r = sw.run(SLUICE, "flow", "diff", "br0", want, check=False)
    assert r.returncode == 1
    assert sorted(l[0] for l in r.stdout.splitlines()) == ["+", "+", "-", "-"] and "tcp" not in r.stdout
    sw.sluice("flow", "replace", "br0", want)
    assert sw.sluice("flow", "diff", "br0", want) == ""
    assert sorted(f["match"] or "" for f in sw.show("flow", "dump", "br0")) == ["", "tcp", "udp"]
    bad = sw.write("bad", "tcp,actions=drop\nudp,nw_dst=1,actions=drop\n")
    assert "line 2" in refused(sw, "flow", "replace", "br0", bad)
    assert len(flows(sw)) == 3


def fill(sw):
    for m in METERS:
        sw.sluice("meter", "add", "br0", m)
    sw.sluice("group", "add", "br0", "-", text="\n".join(GROUPS))
    sw.sluice("flow", "add", "br0", "-", text="priority=5,tcp,actions=meter:1,group:2\n"
              "table=1,cookie=0x9,idle_timeout=500,send_flow_rem,udp,actions=learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),p2\n"
              "priority=7,conj_id=4,ip,actions=ct(commit,zone=5,exec(set_field:0x1->ct_mark),nat(src=10.0.0.1-10.0.0.9)),p1\n")
    return sorted(flows(sw)), sw.sluice("group", "dump", "br0", "--no-stats"), sw.sluice("meter", "dump", "br0", "--no-stats")


def state(sw):
    return sorted(flows(sw)), sw.sluice("group", "dump", "br0", "--no-stats"), sw.sluice("meter", "dump", "br0", "--no-stats")


def test_save_and_restore(sw):
    before = fill(sw)
    path = os.path.join(sw.dir, "saved")
    sw.sluice("flow", "save", "br0", path)
    assert sw.sluice("flow", "save", "br0", "-") == open(path).read()
    sw.sluice("flow", "add", "br0", "priority=99,actions=drop")
    sw.sluice("group", "del", "br0")
    sw.sluice("flow", "restore", "br0", path)
    assert state(sw) == before
    assert "saved" in refused(sw, "flow", "restore", "br0")


def die_together(sw):
    sw.kill_sluiced()
    sw.datapath.kill()
    sw.datapath.start()
    sw.start_sluiced()
    wait_until(lambda: sw.status()["ports"] == 3)


def test_both_die_at_once(sw):
    before = fill(sw)
    sw.sluice("flow", "save", "br0")
    die_together(sw)
    wait_until(lambda: state(sw) == before)
    sw.sluice("flow", "save", "br0", "--forget")
    die_together(sw)
    assert state(sw) == ([], "", "")


def test_flow_restore_wait(sw):
    before = fill(sw)
    sw.sluice("flow", "save", "br0")
    sw.vsctl("set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true")
    assert sw.show("bridge")[0]["open"]  # what forwards goes on
    die_together(sw)
    wait_until(lambda: state(sw) == before)
    assert not sw.show("bridge")[0]["open"]
    ofctl(sw, "add-flow", "br0", "priority=77,actions=drop")  # as ovs-save's scripts do
    sw.vsctl("remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait")
    wait_until(lambda: sw.show("bridge")[0]["open"])
    assert len(flows(sw)) == len(before[0]) + 1
    sw.vsctl("set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true")
    assert sw.show("bridge")[0]["open"]


def test_completion_knows_fields(sw):
    script = sw.sluice("completion")
    r = subprocess.run(["bash", "-c", script + '\nCOMP_WORDS=(sluice flow add br0 tcp,nw_s); COMP_CWORD=4; _sluice; '
                        'echo "${COMPREPLY[@]}"'], capture_output=True, text=True)
    assert r.stdout.split() == ["tcp,nw_src"], r


def test_doctor_names_what_is_not_executed(sw):
    sw.sluice("flow", "add", "br0", "-", text="udp,actions=clone(set_queue:3,p1)\ntcp,actions=sample(probability=1,collector_set_id=1),p1\n")
    out = sw.run(SLUICE, "doctor", check=False).stdout
    assert "actions set_queue are not executed" in out and "actions sample are not executed" in out
    assert "copy_ttl" not in out
