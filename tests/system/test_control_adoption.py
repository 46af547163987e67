# SPDX-License-Identifier: BSD-3-Clause
"""Either process dies, is restarted, is late: the other one and the database bring all back."""
import os
import subprocess
import time

import pytest

from control_process import SLUICE, Switch, elapsed_ms, wait_until

ALL = {"br0", "p1", "p2"}


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        yield s


def version(sw):
    """Of the datapath's tables: it grows with every transaction."""
    with_client = sw.datapath.connect()
    return with_client.call("status")["version"]


def test_a_restarted_sluiced_writes_nothing(sw):
    sw.dummies("p1", "p2")
    sw.vsctl("set", "Port", "p1", "tag=10", "--", "set", "Port", "p2", "trunks=1,2", "--",
             "set", "Interface", "p1", "mtu_request=2000", "options:n_rxq=2", "--",
             "set", "Bridge", "br0", "other_config:mac-aging-time=60", "flood-vlans=5", "--",
             "set", "Open_vSwitch", ".", "other_config:pmd-sleep-max=100")
    sw.appctl("fdb/add", "br0", "p1", "10", "02:00:00:00:00:01")
    before, ports = version(sw), sw.ports()
    for _ in range(3):
        sw.kill_sluiced()
        sw.start_sluiced()
        wait_until(lambda: sw.status()["ports"] == 3)
        time.sleep(0.2)
        assert sw.status()["transactions"] == 0
    assert version(sw) == before
    assert sw.ports() == ports


def test_whoever_is_let_in_is_served(sw):
    """The control socket of a daemon that has just been started: no command finds it without its database."""
    sw.dummies("p1")
    for i in range(5):
        sw.kill_sluiced()
        sw.sluiced = subprocess.Popen(sw.args, stderr=sw.log, stdout=sw.log, env=sw.env)

        def first_answer():
            r = subprocess.run([SLUICE, "bridge", "add", f"new{i}"], env=sw.env, capture_output=True, text=True)
            return "sluiced.sock" not in r.stderr and r
        r = wait_until(first_answer, every=0)
        assert r.returncode == 0, r.stderr


def test_a_restarted_datapath_gets_everything_again(sw):
    sw.dummies("p1", "p2")
    sw.vsctl("set", "Port", "p1", "tag=10")
    for _ in range(3):
        ports = {n: (p["ofport"], p["vlan"], p["bridge"]) for n, p in sw.ports().items()}
        sw.datapath.kill()
        sw.datapath.start()
        ms = elapsed_ms(lambda: wait_until(lambda: sw.show("bridge") and
                                           sw.show("bridge")[0]["open"]))
        assert ms < 1000
        assert {n: (p["ofport"], p["vlan"], p["bridge"])
                for n, p in sw.ports().items()} == ports
    assert sw.status()["replays"] == 3


def test_a_short_absence_of_the_datapath_is_no_error(sw):
    sw.dummies("p1")
    sw.datapath.kill()
    add = subprocess.Popen(["ovs-vsctl", "--timeout=10", "add-port", "br0", "p2"], env=sw.env,
                           stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    sw.datapath.start()
    assert add.wait(timeout=10) == 0
    assert "rror" not in add.stderr.read()
    assert set(sw.ports()) == ALL


def test_nobody_waits_for_a_datapath_that_is_gone():
    with Switch("--enable-dummy=system", datapath=False) as sw:
        ms = elapsed_ms(lambda: sw.vsctl_all("add-br", "br0"))
        assert ms < 5000
        out = sw.vsctl_all("add-port", "br0", "p1")
        assert "sluice-datapath is not running" in out
        assert sw.get("Open_vSwitch", ".", "dpdk_initialized") == "false"
        sw.datapath.start()
        wait_until(lambda: set(sw.ports()) == {"br0", "p1"})
        wait_until(lambda: sw.get("Interface", "p1", "error") == "[]")
        assert sw.get("Interface", "p1", "ofport") == "1"


def test_changes_made_while_sluiced_was_dead_are_applied():
    """With a database server of its own, which goes on."""
    with Switch("--enable-dummy=system", datapath=True) as sw:
        sw.dummies("p1")
        sw.stop_sluiced()
        server = subprocess.Popen(
            ["ovsdb-server", f"--remote=punix:{sw.dir}/ext.sock", f"{sw.dir}/conf.db",
             f"--unixctl={sw.dir}/ext.ctl", "--no-chdir"], env=sw.env,
            stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: os.path.exists(f"{sw.dir}/ext.sock"))
            db = f"--db=unix:{sw.dir}/ext.sock"
            sw.args += [f"unix:{sw.dir}/ext.sock"]
            sw.run("ovs-vsctl", db, "--no-wait", "del-port", "p1", "--", "add-port", "br0", "p2",
                   "--", "set", "Interface", "p2", "type=dummy")
            sw.start_sluiced()
            wait_until(lambda: set(sw.ports()) == {"br0", "p2"})
            sw.run("ovs-vsctl", "--timeout=10", db, "add-port", "br0", "p3")
            assert set(sw.ports()) == {"br0", "p2", "p3"}
            sw.stop_sluiced()
        finally:
            server.terminate()
            server.wait()


def test_the_database_outlives_both(sw):
    sw.dummies("p1", "p2")
    sw.kill_sluiced()
    sw.datapath.kill()
    sw.start_sluiced(connected=False)
    sw.datapath.start()
    wait_until(lambda: set(sw.ports()) == ALL)
