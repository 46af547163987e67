# SPDX-License-Identifier: BSD-3-Clause
"""What ovs-appctl shows and does to the pipeline: traces, cached flows, dummy ports, virtual time."""
import json
import re

import pytest

from control_process import Failed, Switch, wait_until

A, B = "50:54:00:00:00:0a", "50:54:00:00:00:0b"
IP = f"in_port(1),eth(src={A},dst={B}),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0,ttl=64,frag=no)," \
     "tcp(src=1000,dst=80),tcp_flags(syn)"


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        s.dummies("p1", "p2")
        s.run("ovs-ofctl", "del-flows", "br0")
        s.run("ovs-ofctl", "add-flow", "br0", "table=0,priority=5,cookie=0x77,tcp,in_port=p1,actions=mod_vlan_vid:10,resubmit(,1)")
        s.run("ovs-ofctl", "add-flow", "br0", "table=1,priority=7,actions=dec_ttl,mod_dl_dst:02:00:00:00:00:09,output:p2")
        yield s


def receive(sw, port, *words):
    assert sw.appctl("netdev-dummy/receive", port, *words).strip() == ""


def test_cached_flows(sw):
    receive(sw, "p1", IP)
    receive(sw, "p1", IP.replace("10.0.0.1", "10.0.0.9"))
    ids = dict(re.findall(r"port (\d+): (\w+)", sw.appctl("dpctl/show")))
    ids = {v: k for k, v in ids.items()}
    wait_until(lambda: "packets:2" in sw.appctl("dpctl/dump-flows"))
    text = sw.appctl("dpctl/dump-flows")
    assert re.match(r"flow-dump from pmd on cpu core: \d+\n", text)
    line = text.splitlines()[1]
    assert line.startswith(f"recirc_id(0),in_port({ids['p1']}),"), line
    assert "eth_type(0x0800),ipv4(" in line and "proto=6" in line and "used:" in line
    assert f"eth(dst={B})" not in line  # nobody looked
    actions = line.split("actions:")[1]
    assert actions.endswith(f",{ids['p2']}") and "push_vlan(vid=10,pcp=0)" in actions
    assert "set(eth(dst=02:00:00:00:00:09))" in actions and "dec_ttl" in actions

    named = sw.appctl("dpif/dump-flows", "--names", "br0")
    assert named.startswith("recirc_id(0),in_port(p1)") and "flow-dump" not in named
    assert "in_port(p1)" in sw.appctl("dpctl/dump-flows", "-m", "netdev@ovs-netdev")
    assert sw.appctl("dpctl/dump-flows", "filter=udp") == ""
    assert "packets:2" in sw.appctl("dpctl/dump-flows", "filter=tcp")
    with pytest.raises(Failed):
        sw.appctl("dpctl/dump-flows", "filter=nonsense=1")
    with pytest.raises(Failed):
        sw.appctl("dpif/dump-flows", "br9")

    entries = sw.show("cache")
    assert len(entries) == 1 and entries[0]["packets"] == 2
    rules = entries[0]["rules"].split("; ")
    assert rules == ["table=0,priority=5,cookie=0x77,tcp,in_port=1", "table=1,priority=7"]
    # a changed rule is still the entry's rule
    sw.run("ovs-ofctl", "mod-flows", "br0", "table=1,actions=output:p2")
    receive(sw, "p1", IP)
    wait_until(lambda: [e["rules"] for e in sw.show("cache")] == ["; ".join(rules)])

    assert sw.appctl("revalidator/purge") == ""
    wait_until(lambda: sw.appctl("dpctl/dump-flows") == "" or all(e["packets"] == 0 for e in sw.show("cache")))
    assert sw.appctl("revalidator/wait") == ""
    assert sw.appctl("dpctl/dump-dps") == "netdev@ovs-netdev\n"


def test_trace(sw):
    text = sw.appctl("ofproto/trace", "br0", f"in_port=p1,tcp,dl_src={A},dl_dst={B},nw_ttl=64,tcp_dst=80")
    assert text.startswith("Flow: tcp,in_port=") and 'bridge("br0")' in text
    assert re.search(r"^ *0\. tcp,in_port=.*priority 5, cookie 0x77$", text, re.M)
    assert re.search(r"^ *1\. priority 7$", text, re.M)
    actions = text.splitlines()[-1]
    assert actions.startswith("Datapath actions: ") and "push_vlan(vid=10,pcp=0)" in actions

    port = re.search(r"port (\d+): p1", sw.appctl("dpctl/show")).group(1)
    key = IP.replace("in_port(1)", f"in_port({port})")
    for words in ([key], ["netdev@ovs-netdev", key], ["ovs-netdev", key, "--consistent"]):
        assert sw.appctl("ofproto/trace", *words).splitlines()[-1] == actions
    assert sw.appctl("ofproto/trace", "br0", "in_port=p1,tcp,nw_ttl=64", "-generate").splitlines()[-1] == actions
    drop = sw.appctl("ofproto/trace", "br0", "in_port=p2,udp")
    assert drop.splitlines()[-1] == "Datapath actions: drop"
    # as Open vSwitch puts it, for whoever looks for these lines
    assert re.search(r"\n\nFinal flow: unchanged\nMegaflow: .*\nDatapath actions: drop$", drop.rstrip())
    final = re.search(r"\n\nFinal flow: (.*)\nMegaflow: ", text).group(1)
    assert final.startswith("tcp,") and "dl_vlan=10" in final and "nw_ttl=63" in final and "nw_ttl=64" in text
    for words in (["br9", "tcp"], ["br0"], ["br0", "nonsense=1"], ["in_port(99)"], ["br0", "in_port=1", "zz"],
                  ["br0", "eth(src=1)"]):
        with pytest.raises(Failed):
            sw.appctl("ofproto/trace", *words)
    # nothing of this is a packet
    assert "n_packets=0" in sw.run("ovs-ofctl", "dump-flows", "br0", "table=1").stdout


def test_trace_of_a_packet_out(sw):
    out = lambda *w: sw.appctl("ofproto/trace-packet-out", *w)
    last = lambda *w: out(*w).splitlines()[-1].removeprefix("Datapath actions: ")
    ids = {v: k for k, v in re.findall(r"port (\d+): (\w+)", sw.appctl("dpctl/show"))}
    sw.run("ovs-ofctl", "add-flow", "br0", "table=3,reg0=7,actions=output:p1")
    # the actions instead of the tables; the port they name is the one that is looked up with
    assert last("br0", "in_port=p1,tcp", "output:p2") == ids["p2"]
    text = out("br0", "in_port=controller,tcp,nw_ttl=9", "resubmit(p1,0)")
    assert re.search(r"^ *resubmit\(p1,0\)\n *0\. tcp,in_port=p1, priority 5, cookie 0x77$", text, re.M)
    assert re.search(r"dec_ttl,.*," + ids["p2"] + "$", text)
    # registers of the flow, of the packet, and what only a packet has
    assert last("br0", "in_port=p2,udp,reg0=7", "resubmit(,3)") == ids["p1"]
    frame = f"{B}{A}".replace(":", "") + "08004500001c00000000401166cf0a0000010a0000020005000600080000"
    assert last("br0", "in_port=p2", frame, "load:7->NXM_NX_REG0[],resubmit(,3)") == ids["p1"]
    assert last("br0", "in_port=p2", "drop") == "drop"
    assert last(IP.replace("in_port(1)", f"in_port({ids['p1']})"), "output:p2") == ids["p2"]
    assert last("br0", "tcp", "in_port") == "drop"  # it came by none
    assert last("br0", "in_port=p2,arp", "dec_ttl,output:p1") == ids["p1"]
    for words in (["--consistent", "br0", "in_port=p2,arp", "dec_ttl"], ["br0", "tcp", "nonsense"], ["br9", "tcp", "p1"],
                  ["br0", "tcp"], ["br0", "in_port=99", "output:p1"], ["br0", "tcp", "goto_table:1"], ["br0", "tcp", "group:5"],
                  ["br0", "in_port=p1", frame, "output:p2", "more"]):
        with pytest.raises(Failed):
            out(*words)
    # an ordinary packet starts with the registers that it is said to have, too
    sw.run("ovs-ofctl", "add-flow", "br0", "priority=9,reg0=7,actions=in_port")
    assert sw.appctl("ofproto/trace", "br0", "in_port=p2,udp,reg0=7").splitlines()[-1] == "Datapath actions: " + ids["p2"]
    assert "n_packets=0" in sw.run("ovs-ofctl", "dump-flows", "br0", "table=1").stdout


def test_dummy_frames(sw):
    frame = "02000000000902000000000108060001080006040001" + "00" * 20
    receive(sw, "p1", frame)
    receive(sw, "p1", f"in_port=1,icmp,dl_src={A},nw_src=10.0.0.1", "--len", "200")
    wait_until(lambda: sw.show("port", "stats", "p1")[0]["rx_packets"] == 2)
    assert sw.show("port", "stats", "p1")[0]["rx_bytes"] == 42 + 200
    for words in (["p9", frame], ["p1", "xyz"], ["p1", "in_port(1),eth(src=zz)"], ["p1", frame, "--len", "99999"]):
        with pytest.raises(Failed):
            sw.appctl("netdev-dummy/receive", *words)


def test_virtual_time(sw):
    sw.run("ovs-ofctl", "add-flow", "br0", "priority=9,hard_timeout=300,udp,actions=drop")
    sw.appctl("time/stop")
    sw.appctl("time/warp", "200000")
    assert "udp" in sw.appctl("bridge/dump-flows", "br0")
    assert sw.appctl("time/warp", "200000").strip() == "warped"
    wait_until(lambda: "udp" not in sw.appctl("bridge/dump-flows", "br0"))
    receive(sw, "p1", IP)
    wait_until(lambda: "packets:1" in sw.appctl("dpctl/dump-flows"))
    for words in (["0"], ["x"], []):
        with pytest.raises(Failed):
            sw.appctl("time/warp", *words)


def test_without_dummies_none_of_it():
    with Switch(datapath=False) as s:
        assert "netdev-dummy/receive" not in s.appctl("list-commands")
        with pytest.raises(Failed):
            s.appctl("time/stop")
        with pytest.raises(Failed):  # no datapath: an error, not silence
            s.appctl("dpctl/dump-flows")
        assert json.loads(s.rpc("sluiced/status"))["datapath"] is False
