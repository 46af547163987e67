# SPDX-License-Identifier: BSD-3-Clause
"""The switch driven by Open vSwitch's own clients, as people and libvirt drive it."""
import os
import re
import statistics
import subprocess
import time

import pytest

import dpapi
from control_process import Failed, Switch, elapsed_ms, wait_until


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        yield s


def test_bridges_and_ports_come_and_go(sw):
    sw.vsctl("add-br", "br0")
    sw.dummies("p1", "p2")
    assert sw.vsctl("list-ports", "br0").split() == ["p1", "p2"]
    assert set(sw.ports()) == {"br0", "p1", "p2"}
    assert sw.get("Interface", "br0", "ofport") == "65534"
    assert [sw.get("Interface", p, "ofport") for p in ("p1", "p2")] == ["1", "2"]
    sw.vsctl("del-port", "p1")
    assert set(sw.ports()) == {"br0", "p2"}
    sw.vsctl("del-br", "br0")
    assert sw.ports() == {} and sw.show("bridge") == []


def test_add_port_returns_within_50_ms(sw):
    sw.vsctl("add-br", "br0")
    times = [elapsed_ms(lambda i=i: sw.vsctl("add-port", "br0", f"p{i}")) for i in range(11)]
    assert statistics.median(times) < 50, times


def test_a_port_among_a_thousand_costs_what_it_changes(sw):
    """Processor time, which other load disturbs least: 20 ms where this was written; a search
    through all ports for each of them cost 200."""
    for i in range(0, 1000, 100):
        sw.dummies(*[f"d{k}" for k in range(i, i + 100)])
    time.sleep(0.5)
    before = cpu_ms(sw.sluiced.pid)
    for i in range(10):
        sw.vsctl("add-port", "br0", f"x{i}", "--", "set", "Interface", f"x{i}", "type=dummy")
    assert (cpu_ms(sw.sluiced.pid) - before) / 10 < 80


def cpu_ms(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def test_a_device_that_is_not_there_says_so_and_stops_no_other():
    with Switch("--enable-dummy") as sw:
        sw.dummies("p1")
        out = sw.vsctl_all("add-port", "br0", "control-no0", "--", "add-port", "br0", "p2", "--",
                           "set", "Interface", "p2", "type=dummy")
        assert "port control-no0: no such network interface" in out
        assert "no such network interface" in sw.vsctl("show")
        assert sw.get("Interface", "control-no0", "ofport") == "-1"
        assert sw.get("Interface", "p2", "ofport") == "3"
        assert {n for n, p in sw.ports().items() if p["state"] == "open"} == {"br0", "p1", "p2"}
        assert sw.ports()["control-no0"]["state"] == "failed"
        # The device appears: the next attempt finds it.
        subprocess.run(["ip", "link", "add", "control-no0", "type", "veth", "peer",
                        "name", "control-no0p"], check=True)
        try:
            wait_until(lambda: sw.get("Interface", "control-no0", "error") == "[]", timeout=10)
            assert sw.get("Interface", "control-no0", "ofport") == "2"
        finally:
            subprocess.run(["ip", "link", "del", "control-no0"], check=True)


def test_dummies_need_the_option():
    with Switch() as sw:
        sw.vsctl("add-br", "br0", "--", "add-port", "br0", "p1", "--",
                 "set", "Interface", "p1", "type=dummy")
        assert "--enable-dummy" in sw.vsctl("get", "Interface", "p1", "error")
        assert "dummy" not in sw.vsctl("get", "Open_vSwitch", ".", "iface_types")


def test_a_device_goes_and_comes_back():
    def pair(*what):
        subprocess.run(["ip", "link", *what, "control-v0",
                        *(["type", "veth", "peer", "name", "control-v1"] if what[0] == "add"
                          else [])], check=True)

    with Switch() as sw:
        pair("add")
        sw.vsctl("add-br", "br-control", "--", "add-port", "br-control", "control-v0")
        number = sw.get("Interface", "control-v0", "ofport")
        pair("del")
        wait_until(lambda: "no such network interface" in sw.get("Interface", "control-v0",
                                                                 "error"))
        assert sw.ports()["control-v0"]["state"] == "failed"
        time.sleep(2)  # the back-off has grown; the kernel's news cut it short
        pair("add")
        ms = elapsed_ms(lambda: wait_until(lambda: "control-v0" in sw.ports()))
        assert ms < 500
        wait_until(lambda: sw.get("Interface", "control-v0", "error") == "[]")
        assert sw.get("Interface", "control-v0", "ofport") == number
        pair("del")


def test_unsupported_types_and_bonds_are_refused_with_a_reason(sw):
    sw.vsctl("add-br", "br0")
    assert "type vxlan is not supported" in sw.vsctl_all(
        "add-port", "br0", "vx", "--", "set", "Interface", "vx", "type=vxlan",
        "options:remote_ip=1.2.3.4")
    assert "bonds are not supported yet" in sw.vsctl_all("add-bond", "br0", "bond0", "b1", "b2")
    assert "vxlan" not in sw.get("Open_vSwitch", ".", "iface_types")


def test_ofport_requests_are_honoured_and_numbers_stay(sw):
    sw.dummies("p1", "p2")
    sw.vsctl("add-port", "br0", "p9", "--", "set", "Interface", "p9", "ofport_request=9")
    assert sw.get("Interface", "p9", "ofport") == "9"
    sw.vsctl("set", "Interface", "p1", "ofport_request=20")
    assert sw.get("Interface", "p1", "ofport") == "20"
    sw.vsctl("add-port", "br0", "p3")
    assert sw.get("Interface", "p3", "ofport") == "1"
    before = {p: sw.get("Interface", p, "ofport") for p in ("p1", "p2", "p3", "p9")}
    sw.datapath.kill()
    sw.datapath.start()
    wait_until(lambda: len(sw.ports()) == 5)
    assert {n: str(p["ofport"]) for n, p in sw.ports().items() if n != "br0"} == before


def test_columns_are_filled(sw):
    assert re.fullmatch(r'"8\.\d+\.\d+"', sw.get("Open_vSwitch", ".", "db_version"))
    sw.dummies("p1")
    assert sw.get("Open_vSwitch", ".", "ovs_version") != "[]"
    assert sw.get("Open_vSwitch", ".", "dpdk_initialized") == "true"
    assert "DPDK" in sw.get("Open_vSwitch", ".", "dpdk_version")
    assert "dpdkvhostuserclient" in sw.get("Open_vSwitch", ".", "iface_types")
    assert "netdev" in sw.get("Open_vSwitch", ".", "datapath_types")
    assert sw.get("Open_vSwitch", ".", "system_type") not in ("[]", '""')
    assert sw.get("Interface", "p1", "mtu") == "1500"
    assert sw.get("Interface", "p1", "link_state") == "up"
    assert sw.get("Interface", "p1", "admin_state") == "up"
    assert len(sw.get("Interface", "p1", "mac_in_use")) == 19
    assert (sw.get("Open_vSwitch", ".", "cur_cfg") == sw.get("Open_vSwitch", ".", "next_cfg"))


def test_statistics_are_written_periodically(sw):
    sw.dummies("p1")
    sw.vsctl("set", "Open_vSwitch", ".", "other_config:stats-update-interval=100")
    wait_until(lambda: sw.get("Interface", "p1", "statistics") != "{}")
    out = sw.vsctl("--if-exists", "--format=list", "--data=json", "--no-headings",
                   "--columns=statistics", "list", "Interface", "p1")
    for key in ("rx", "tx"):
        for what in ("bytes", "packets", "errors", "dropped"):
            assert f'"{key}_{what}"' in out


def test_the_datapath_id_is_stable(sw):
    sw.vsctl("add-br", "br0")
    first = sw.get("Bridge", "br0", "datapath_id")
    sw.vsctl("add-port", "br0", "p1")
    sw.kill_sluiced()
    sw.start_sluiced()
    wait_until(lambda: sw.get("Bridge", "br0", "datapath_id") == first)
    sw.vsctl("set", "Bridge", "br0", "other_config:hwaddr=02:00:00:00:00:99")
    assert sw.get("Bridge", "br0", "datapath_id") == '"0000020000000099"'
    sw.vsctl("set", "Bridge", "br0", "other_config:datapath-id=00000000000000aa")
    assert sw.get("Bridge", "br0", "datapath_id") == '"00000000000000aa"'


def test_vlans_and_mtu(sw):
    sw.dummies("p1", "p2", "p3")
    sw.vsctl("set", "Port", "p1", "tag=10", "--", "set", "Port", "p2", "trunks=1,5,6", "--",
             "set", "Port", "p3", "vlan_mode=native-untagged", "tag=7", "trunks=7,8")
    sw.vsctl("set", "Interface", "p1", "mtu_request=9000")
    ports = sw.ports()
    assert [ports[p]["vlan"] for p in ("p1", "p2", "p3")] == [
        "10", "trunk 1,5-6", "native-untagged 7 trunk 7-8"]
    assert ports["p1"]["mtu"] == 9000
    sw.vsctl("clear", "Port", "p1", "tag")
    assert sw.ports()["p1"]["vlan"] == "trunk"
    sw.vsctl("set", "Port", "p1", "tag=4095")  # Neutron's dead VLAN
    assert sw.ports()["p1"]["vlan"] == "4095"
    assert sw.get("Interface", "p1", "error") == "[]"


def test_other_config(sw):
    sw.vsctl("add-br", "br0")
    sw.vsctl("set", "Bridge", "br0", "other_config:mac-aging-time=60",
             "other_config:mac-table-size=100", "fail_mode=secure")
    b = sw.show("bridge")[0]
    assert (b["mac_ageing_s"], b["mac_table_size"], b["fail_mode"]) == (60, 100, "secure")
    sw.vsctl("set", "Open_vSwitch", ".", "other_config:no-such-key=1",
             "other_config:emc-insert-inv-prob=5", "other_config:pmd-sleep-max=x")
    notes = [n["text"] for n in sw.status()["notes"]]
    assert "other_config:no-such-key: unknown key, without effect" in notes
    assert any("emc-insert-inv-prob: without effect" in n for n in notes)
    assert any("pmd-sleep-max" in n and "not a number" in n for n in notes)


def test_vlan_limit(sw):
    """With one tag visible, what is behind a second one is not looked at."""
    sw.dummies("p1", "p2", "p3")
    sw.vsctl("set", "bridge", "br0", "fail_mode=secure")
    sw.run("ovs-ofctl", "add-flow", "br0", "cookie=1,priority=10,ip,in_port=p1,actions=p2")
    sw.run("ovs-ofctl", "add-flow", "br0", "cookie=2,priority=1,in_port=p1,actions=p3")
    tagged = "0200000000010200000000028100000581000006" "0800" "4500001c00000000401100000a0000010a000002" "0001000200080000"

    def matched():
        out = sw.run("ovs-ofctl", "dump-flows", "br0").stdout
        return [int(re.search(f"cookie={c}.*n_packets=(\\d+)", out).group(1)) for c in ("0x1", "0x2")]

    def one_more(counts):
        sw.appctl("netdev-dummy/receive", "p1", tagged)
        wait_until(lambda: sum(matched()) == sum(counts))
        assert matched() == counts

    one_more([1, 0])
    sw.vsctl("set", "Open_vSwitch", ".", "other_config:vlan-limit=1")
    one_more([1, 1])
    sw.vsctl("set", "Open_vSwitch", ".", "other_config:vlan-limit=0")
    one_more([2, 1])


def test_columns_that_are_not_acted_on_are_reported(sw):
    sw.dummies("p1")
    sw.vsctl("set", "Interface", "p1", "cfm_mpid=1", "--",
             "set", "Bridge", "br0", "stp_enable=true")
    assert "not supported yet" in sw.get("Interface", "p1", "status")
    assert "STP is not supported yet" in sw.get("Bridge", "br0", "status")


def test_rates_of_an_interface(sw):
    """Bits and packets, each with what may come at once as time at the rate."""
    sw.dummies("p1")

    def told(*columns):
        sw.vsctl("set", "Interface", "p1", *columns)
        dp = dpapi.Datapath(os.path.join(sw.dir, "datapath.sock"))
        p = next(p for p in dp.dump("ports") if p["name"] == "p1")
        dp.close()
        return p.get("limit_out_kbps", 0), p.get("limit_out_pps", 0), p.get("limit_burst_ms", 0)
    assert told("ingress_policing_kpkts_rate=5", "ingress_policing_kpkts_burst=1") == (0, 5000, 200)
    assert told("ingress_policing_kpkts_burst=0") == (0, 5000, 3200)
    assert told("ingress_policing_rate=80000") == (80000, 5000, 100)
    assert "kpkts_burst" not in sw.get("Interface", "p1", "status")
    told("ingress_policing_kpkts_burst=7")
    assert "the time of its burst holds for packets too" in sw.get("Interface", "p1", "status")
    assert told("ingress_policing_kpkts_rate=0", "ingress_policing_rate=0") == (0, 0, 0)


def test_what_the_datapath_refuses_stops_nothing_else(sw):
    sw.vsctl("set", "Open_vSwitch", ".", "other_config:pmd-cpu-mask=0x8000000000000", "--",
             "add-br", "a bridge with blanks", "--", "add-br", "br0")
    sw.dummies("p1")
    assert {"br0", "p1"} <= set(sw.ports())
    notes = {(n["table"], n["name"]): n["text"] for n in sw.status()["notes"]}
    assert "no blanks" in notes["datapath", "a bridge with blanks"]
    assert "core" in notes["datapath", ""]
    assert "no blanks" in sw.get("Bridge", "a bridge with blanks", "status")
    sw.vsctl("del-br", "a bridge with blanks", "--", "remove", "Open_vSwitch", ".",
             "other_config", "pmd-cpu-mask")
    wait_until(lambda: sw.status()["notes"] == [])


def test_settings_of_the_next_start_are_written(sw):
    sw.vsctl("set", "Open_vSwitch", ".", "other_config:dpdk-socket-mem=128,64",
             "other_config:dpdk-lcore-mask=0x2", "other_config:dpdk-extra=-d x.so")
    with open(sw.dir + "/datapath.args") as f:
        assert f.read() == "--memory\n192\n--main-core\n1\n--eal\n-d x.so\n"
    assert any("restart needed" in n["text"] for n in sw.status()["notes"])
    sw.datapath.kill()
    sw.datapath.start()
    wait_until(lambda: not any("restart needed" in n["text"] for n in sw.status()["notes"]))


def test_patch_ports(sw):
    sw.vsctl("add-br", "br0", "--", "add-br", "br1")
    sw.vsctl("add-port", "br0", "to1", "--", "set", "Interface", "to1", "type=patch",
             "options:peer=to0", "--", "add-port", "br1", "to0", "--", "set", "Interface", "to0",
             "type=patch", "options:peer=to1")
    assert sw.get("Interface", "to0", "ofport") == "1"
    assert sw.ports()["to1"]["type"] == "patch"


def test_libvirt_plugs_and_unplugs(sw):
    sw.vsctl("add-br", "br0")
    sw.vsctl("--timeout=5", "--", "--may-exist", "add-port", "br0", "vnet0", "tag=10",
             "--", "set", "Interface", "vnet0", 'external-ids:attached-mac="52:54:00:00:00:01"',
             "--", "set", "Interface", "vnet0", 'external-ids:iface-id="a-b"',
             "--", "set", "Interface", "vnet0", "external-ids:iface-status=active")
    assert sw.ports()["vnet0"]["vlan"] == "10"
    assert sw.vsctl("iface-to-br", "vnet0") == "br0"
    assert sw.vsctl("--if-exists", "get", "Interface", "vnet0", "external_ids:PortData") == ""
    sw.vsctl("--", "--if-exists", "del-port", "vnet0")
    sw.vsctl("--", "--if-exists", "del-port", "vnet0")
    assert "vnet0" not in sw.ports()


# ---- ovs-appctl ----

def test_appctl(sw):
    sw.dummies("p1")
    assert sw.appctl("version").splitlines()[0] == "ovs-vswitchd (Open vSwitch) 3.1.0"
    assert sw.appctl("-t", "ovsdb-server", "version").startswith("ovsdb-server (Open vSwitch)")
    assert "fdb/show" in sw.appctl("list-commands")
    assert "p1 1/" in sw.appctl("dpif/show")
    assert "core_id" in sw.appctl("dpif-netdev/pmd-rxq-show")
    assert re.fullmatch(r"bridges:\d+ ports:\d+", sw.appctl("memory/show").strip())
    stats = sw.appctl("dpif-netdev/pmd-stats-show")
    assert re.fullmatch(r"pmd thread numa_id 0 core_id \d+:\n  packets received: \d+\n  packet recirculations: \d+\n"
                        r"(  .+\n)+  avg. packets per output batch: 0.00\n  idle cycles: \d+ \(\d+.\d\d%\)\n"
                        r"  processing cycles: \d+ \(\d+.\d\d%\)\n(  avg .+\n){0,2}", stats), stats
    core = re.search(r"core_id (\d+)", stats).group(1)
    assert "smc hits" in sw.appctl("dpif-netdev/pmd-stats-show", "-pmd", core, "netdev@ovs-netdev")
    assert sw.appctl("dpif-netdev/pmd-stats-show", "-pmd", "999") == ""
    assert "Rx packets:" in sw.appctl("dpif-netdev/pmd-perf-show", "-nh")
    with pytest.raises(Failed):
        sw.appctl("dpif-netdev/pmd-stats-show", "-pmd", "x")
    assert "engine" in sw.appctl("vlog/list")
    sw.appctl("vlog/set", "engine:dbg")


def test_fdb(sw):
    sw.dummies("p1")
    head = " port  VLAN  MAC                Age\n"
    assert sw.appctl("fdb/show", "br0") == head
    sw.appctl("fdb/add", "br0", "p1", "10", "02:00:00:00:00:01")
    assert sw.appctl("fdb/show", "br0") == head + "    1    10  02:00:00:00:00:01  static\n"
    assert "  Current static MAC entries in the table : 1\n" in sw.appctl("fdb/stats-show", "br0")
    assert sw.appctl("fdb/flush", "br0") == "table successfully flushed\n"
    # A static entry is configuration: it outlives flush and both daemons.
    sw.kill_sluiced()
    sw.datapath.kill()
    sw.datapath.start()
    sw.start_sluiced()
    wait_until(lambda: "static" in sw.appctl("fdb/show", "br0", check=False))
    sw.appctl("fdb/del", "br0", "10", "02:00:00:00:00:01")
    wait_until(lambda: sw.appctl("fdb/show", "br0") == head)
    with pytest.raises(Failed) as e:
        sw.appctl("fdb/show", "nope")
    assert "no such bridge" in e.value.err


def test_exit_cleanup_empties_the_datapath(sw):
    sw.dummies("p1")
    sw.appctl("exit", "--cleanup")
    sw.sluiced.wait(timeout=10)
    assert sw.ports() == {}


def test_exit_leaves_the_datapath_alone(sw):
    sw.dummies("p1")
    sw.appctl("exit")
    sw.sluiced.wait(timeout=10)
    assert set(sw.ports()) == {"br0", "p1"}


def test_the_sluice_database_is_beside_open_vswitch(sw):
    assert sw.run("ovsdb-client", "list-dbs").stdout.split() == ["Open_vSwitch", "Sluice", "_Server"]
    insert = ('["Sluice",{"op":"insert","table":"Policy","row":{"name":"default",'
              '"document":"rules: []","generation":1}}]')
    sw.run("ovsdb-client", "transact", insert)
    sw.stop_sluiced()
    sw.start_sluiced()
    rows = sw.run("ovsdb-client", "dump", "Sluice", "Policy", "name", "document").stdout
    assert "default" in rows and "rules: []" in rows
    assert os.path.exists(os.path.join(sw.dir, "sluice.db"))
