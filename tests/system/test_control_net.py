# SPDX-License-Identifier: BSD-3-Clause
"""net.yaml and the sluice command's changes."""
import json

import pytest

from control_process import SLUICE, Failed, Switch

NET = """
profiles:
  guest: {tag: 10, mtu: 1600}
bridges:
  br0:
    mac-ageing: 60
    ports:
      vm1: {profile: guest, type: dummy}
      vm2: {profile: guest, type: dummy, tag: 20, static-macs: [20/02:00:00:00:00:05]}
      up0: {type: dummy, trunks: [10, 20-22], role: uplink}
"""


@pytest.fixture(scope="module")
def process():
    with Switch("--enable-dummy=override") as s:
        yield s


@pytest.fixture
def sw(process):
    process.sluice("apply", "--prune", process.write("empty.yaml", "bridges: {}\n"))
    assert process.ports() == {}
    return process


def apply(sw, text, *options):
    return sw.sluice("apply", *options, sw.write("net.yaml", text))


def refused(sw, *argv):
    with pytest.raises(Failed) as e:
        sw.sluice(*argv)
    assert e.value.code == 1
    assert e.value.err.startswith("error: ")
    return e.value.err[len("error: "):].strip()


def test_apply(sw):
    out = apply(sw, NET)
    assert "+ port vm1 on br0 tag=10 mtu=1600 type=dummy\n" in out
    ports = sw.ports()
    assert {n: p["vlan"] for n, p in ports.items()} == {
        "br0": "trunk", "vm1": "10", "vm2": "20", "up0": "trunk 10,20-22"}
    assert ports["vm1"]["mtu"] == 1600
    assert sw.show("bridge")[0]["mac_ageing_s"] == 60
    assert [(m["mac"], m["vlan"], m["static"]) for m in sw.show("mac")] == [
        ("02:00:00:00:00:05", 20, True)]
    assert sw.vsctl("get", "Port", "vm1", "tag") == "10"


def test_applying_twice_changes_nothing(sw):
    apply(sw, NET)
    before = sw.status()["transactions"]
    assert apply(sw, NET) == ""
    assert sw.status()["transactions"] == before


def test_a_dry_run_shows_and_changes_nothing(sw):
    apply(sw, NET)
    out = apply(sw, NET.replace("tag: 20", "tag: 30").replace("mac-ageing: 60", "mac-ageing: 61"),
                "--dry-run")
    assert out.splitlines() == ["~ bridge br0: mac-ageing: 60 -> 61", "~ port vm2: tag: 20 -> 30"]
    assert sw.ports()["vm2"]["vlan"] == "20"


def test_what_the_file_no_longer_has_goes(sw):
    apply(sw, NET)
    out = apply(sw, "bridges:\n  br0:\n    ports:\n      vm1: {type: dummy}\n")
    assert "- port vm2 on br0" in out and "~ port vm1: tag: 10 -> (none)" in out
    assert {n: p["vlan"] for n, p in sw.ports().items()} == {"br0": "trunk", "vm1": "trunk"}
    apply(sw, "bridges: {}\n")
    assert sw.ports() == {}


def test_export_is_a_round_trip(sw):
    apply(sw, NET)
    sw.vsctl("set", "Bridge", "br0", "fail_mode=secure", "--", "set", "Interface", "vm1",
             "options:odd=a:b", 'external_ids:iface-id="x y"')
    text = sw.sluice("export")
    assert apply(sw, text, "--dry-run") == ""
    said = json.loads(sw.sluice("export", "--json"))["bridges"]["br0"]
    assert said["mac-ageing"] == 60 and said["ports"]["up0"]["trunks"] == [10, "20-22"]
    before = sw.ports()
    apply(sw, "bridges: {}\n")
    apply(sw, text)
    assert {n: (p["vlan"], p["mtu"]) for n, p in sw.ports().items()} == {
        n: (p["vlan"], p["mtu"]) for n, p in before.items()}
    assert sw.sluice("export") == text


@pytest.mark.parametrize("text, error", [
    ("bridges:\n  br0:\n    ports:\n      p1: {tga: 1}\n",
     "net.yaml:4:12: port p1: unknown key \"tga\""),
    ("bridges:\n  br0:\n    ports:\n      p1: {type: patch, peer: nowhere}\n",
     "net.yaml:4:31: port p1: its peer nowhere is nowhere"),
    ("bridges:\n  br0:\n  br0:\n", "net.yaml:3:3: bridges: \"br0\" is there twice (line 2)"),
])
def test_a_mistake_changes_nothing(sw, text, error):
    apply(sw, NET)
    before = sw.ports()
    assert refused(sw, "apply", sw.write("net.yaml", text)).endswith(error)
    assert sw.ports() == before


def test_a_missing_device_is_a_mistake():
    with Switch() as sw:
        text = "bridges:\n  br0:\n    ports:\n      control-no1: {}\n"
        assert "port control-no1: there is no network device of this name" in refused(
            sw, "apply", sw.write("net.yaml", text))
        assert sw.ports() == {}
        assert "there is no network device" in refused(sw, "apply", "--dry-run",
                                                       sw.dir + "/net.yaml")


def test_a_file_owns_what_it_made(sw):
    sw.dummies("theirs")
    apply(sw, "bridges:\n  br1:\n    ports:\n      mine: {type: dummy}\n")
    assert set(sw.ports()) == {"br0", "br1", "mine", "theirs"}
    # It may put ports on another's bridge, but not change what is there.
    apply(sw, "bridges:\n  br0:\n    ports:\n      mine: {type: dummy}\n")
    assert set(sw.ports()) == {"br0", "mine", "theirs"}
    text = "bridges:\n  br0:\n    ports:\n      theirs: {type: dummy, tag: 5}\n"
    assert ("port theirs: it belongs to another tool such as ovs-vsctl and differs "
            "(tag: (none) -> 5); --prune takes it over") in refused(
                sw, "apply", sw.write("net.yaml", text))
    out = apply(sw, text, "--prune")
    assert "~ port theirs: tag: (none) -> 5" in out and "- port mine on br0" in out
    assert sw.ports()["theirs"]["vlan"] == "5"


def test_a_port_moves_between_bridges(sw):
    apply(sw, "bridges: {br0: {ports: {p1: {type: dummy}}}, br1: {}}\n")
    assert "~ port p1: bridge br0 -> br1" in apply(
        sw, "bridges: {br0: {}, br1: {ports: {p1: {type: dummy}}}}\n")
    assert sw.ports()["p1"]["bridge"] == "br1"


# ---- single changes ----

def test_bridge_and_port_commands(sw):
    sw.sluice("bridge", "add", "br0", "mac-ageing=99")
    sw.sluice("port", "add", "p1", "br0", "type=dummy", "tag=10")
    assert sw.ports()["p1"]["vlan"] == "10"
    assert sw.show("bridge")[0]["mac_ageing_s"] == 99
    sw.sluice("port", "set", "p1", "tag=", "trunks=1-3", "options.x=1")
    assert sw.ports()["p1"]["vlan"] == "trunk 1-3"
    sw.sluice("bridge", "set", "br0", "mac-ageing=", "fail-mode=secure")
    assert sw.show("bridge")[0]["mac_ageing_s"] == 300
    sw.sluice("mac", "add", "p1", "5", "02:00:00:00:00:07")
    assert [m["mac"] for m in sw.show("mac")] == ["02:00:00:00:00:07"]
    sw.sluice("mac", "flush")
    sw.sluice("port", "del", "p1")
    sw.sluice("bridge", "del", "br0")
    assert sw.ports() == {}


def test_a_patch_pair_by_two_commands(sw):
    sw.sluice("bridge", "add", "br0")
    sw.sluice("bridge", "add", "br1")
    sw.sluice("port", "add", "pa", "br0", "type=patch", "peer=pb")
    sw.sluice("port", "add", "pb", "br1", "type=patch", "peer=pa")
    assert {n: p["bridge"] for n, p in sw.ports().items() if p["type"] == "patch"} == {
        "pa": "br0", "pb": "br1"}


def test_commands_refuse(sw):
    sw.sluice("bridge", "add", "br0")
    assert refused(sw, "bridge", "add", "br0") == "bridge br0: exists already"
    assert refused(sw, "bridge", "del", "br9") == "bridge br9: not found"
    assert refused(sw, "bridge", "set", "br9", "mac-ageing=9") == "bridge br9: not found"
    assert refused(sw, "port", "add", "p1", "br9") == "bridge br9: not found"
    assert refused(sw, "port", "del", "p9") == "port p9: not found"
    assert refused(sw, "port", "set", "p9", "tag=1") == "port p9: not found"
    assert refused(sw, "port", "show", "p9") == "port p9: not found"
    assert "it is the bridge's own" in refused(sw, "port", "del", "br0")
    assert refused(sw, "port", "add", "p1", "br0", "tag=x") == (
        'port p1: tag: "x" is not a number from 0 to 4095')
    assert refused(sw, "port", "add", "p1", "br0", "colour=red") == (
        'port p1: unknown key "colour"')
    sw.sluice("port", "add", "p1", "br0", "type=dummy")
    assert refused(sw, "port", "add", "p1", "br0") == "port p1: exists already"


def test_a_device_error_is_the_command_s():
    with Switch() as sw:
        sw.sluice("bridge", "add", "br0")
        err = refused(sw, "port", "add", "d0", "br0", "type=dpdk", "devargs=0000:ff:1f.0")
        assert err.startswith("port d0: ")
        assert sw.vsctl("list-ports", "br0") == ""
        assert "no core 900" in refused(sw, "poll", "set", "cores=900")


def test_what_the_datapath_refuses_is_taken_back_as_a_whole():
    """the error names the line; everything is as before, objects of others and owners too"""
    good = ("profiles:\n  p: {type: internal, tag: 10}\nbridges:\n  control-t0:\n    mac-ageing: 60\n"
            "    ports:\n      control-t1: {profile: p, mtu: 1400, external-ids: {a: b}}\n"
            "      control-t2: {profile: p}\n")
    bad = (good.replace("60", "61").replace("mtu: 1400", "mtu: 1300")
           .replace("control-t2: {profile: p}", "control-t3: {profile: p}")
           + "      control-d0: {type: dpdk, devargs: net_nosuch}\n"
           "  control-t4: {}\n")
    with Switch() as sw:
        sw.vsctl("add-br", "control-o0", "--", "set", "Bridge", "control-o0", "external_ids:k=v")
        apply(sw, good)
        before, export = sw.ports(), sw.sluice("export")
        owners = sw.vsctl("--columns=name,external_ids", "list", "Port")
        err = refused(sw, "apply", sw.write("net.yaml", bad))
        assert "net.yaml:9:7: port control-d0: " in err
        assert sw.sluice("export") == export
        after = sw.ports()
        assert {n: (p["vlan"], p["mtu"], p["bridge"]) for n, p in after.items()} == {
            n: (p["vlan"], p["mtu"], p["bridge"]) for n, p in before.items()}
        assert sorted(sw.vsctl("--columns=name,external_ids", "list", "Port").split("\n\n")) == sorted(
            owners.split("\n\n"))
        assert apply(sw, good) == ""


def test_poll_set(sw):
    cores = [t["core"] for t in sw.show("poll")]
    sw.sluice("poll", "set", "sleep-max-us=200", f"cores={cores[0]}")
    assert sw.vsctl("get", "Open_vSwitch", ".", "other_config:pmd-sleep-max") == '"200"'
    assert [t["core"] for t in sw.show("poll")] == cores[:1]
    assert refused(sw, "poll", "set", "cores=x").startswith('poll: cores: "x" is not a list')
    sw.sluice("poll", "set", "sleep-max-us=", "cores=")


@pytest.mark.parametrize("path,text,error", [
    ("/", None, "Is a directory"), ("x.yaml", b"", "empty"), ("x.yaml", b" \n\n", "empty"),
    ("x.yaml", b"bridges: {}\n\0", "not a text file"), ("x.yaml", b"bridges: {}\n# caf\xe9\n", "x.yaml:2: not UTF-8"),
    ("/none/x.yaml", None, "No such file")])
def test_a_file_that_says_nothing_removes_nothing(sw, path, text, error):
    mine = sw.write("x.yaml", "bridges:\n  empty0:\n    ports: {}\n")
    apply_file = lambda p: sw.run(SLUICE, "apply", p, check=False)
    assert apply_file(mine).returncode == 0
    if text is not None:
        with open(mine, "wb") as f:
            f.write(text)
        path = mine
    r = apply_file(path)
    assert r.returncode == 1 and error in r.stderr and r.stderr.count("\n") == 1, r
    assert "empty0" in sw.vsctl("list-br")
    sw.sluice("bridge", "del", "empty0")
