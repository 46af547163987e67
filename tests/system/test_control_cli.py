# SPDX-License-Identifier: BSD-3-Clause
"""The sluice command itself: help, completion, up and down, containers."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time

import pytest

from control_process import SLUICE, Failed, Switch, elapsed_ms, wait_until


def run(*argv, **kwargs):
    return subprocess.run([SLUICE, *argv], capture_output=True, text=True, timeout=60, **kwargs)


def commands():
    table = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "ctl", "commands.def")
    with open(table) as f:
        return re.findall(r'^COMMAND\(\w+, "(\w+)", "(\w*)"', f.read(), re.M)


def test_every_command_is_in_help_completion_and_man():
    everything, man, completion = run("--help"), run("man"), run("completion")
    for r in everything, man, completion:
        assert r.returncode == 0 and r.stderr == ""
    for noun, verb in commands():
        assert re.search(rf"^  {noun} {verb}", everything.stdout, re.M)
        assert f".B sluice {noun}{' ' + verb if verb else ''}" in man.stdout
        assert f"'{noun}{' ' + verb if verb else ''}'*" in completion.stdout
        of_noun = run(noun, "--help")
        assert of_noun.returncode == 0 and run("help", noun).stdout == of_noun.stdout


def test_completion_is_bash():
    script = run("completion").stdout + """
COMP_WORDS=(sluice port s); COMP_CWORD=2; _sluice; echo "${COMPREPLY[*]}"
COMP_WORDS=(sluice apply --d); COMP_CWORD=2; _sluice; echo "${COMPREPLY[*]}"
"""
    r = subprocess.run(["bash"], input=script, capture_output=True, text=True)
    assert r.stdout.splitlines() == ["show stats set", "--dry-run"], r.stderr


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["port", "add"], ["port", "del", "a", "b"],
                                  ["port", "show", "--colour"], ["apply"], ["mac", "nonsense", "x"]])
def test_wrong_usage_is_2(argv):
    r = run("--rundir", "/nonexistent", *argv)
    assert r.returncode == 2, r


def test_without_daemons_it_says_what_to_do():
    for argv in (["port"], ["export"], ["status"]):
        r = run("--rundir", "/nonexistent", *argv)
        assert r.returncode == 1
        assert "not running" in r.stderr + r.stdout or "down" in r.stdout


def test_reads_work_while_sluiced_is_dead():
    with Switch("--enable-dummy=system") as sw:
        sw.dummies("p1")
        sw.kill_sluiced()
        for noun in ("port", "bridge", "mac", "poll", "drops"):
            sw.show(noun)
        sw.show("port", "stats")
        with pytest.raises(Failed) as e:
            sw.sluice("port", "del", "p1")
        assert "sluiced is not running" in e.value.err
        assert sw.run(SLUICE, "status", check=False).returncode == 1


def test_events_and_logs():
    with Switch("--enable-dummy=system") as sw:
        watch = subprocess.Popen([SLUICE, "events", "--follow", "--json", "--count", "1"], env=sw.env,
                                 stdout=subprocess.PIPE, text=True)
        wait_until(lambda: sw.show("poll"))
        for i in range(20):
            sw.dummies(f"p{i}")
            if watch.poll() is not None:
                break
        assert json.loads(watch.stdout.readline())["event"] is not None
        watch.wait(timeout=5)
        sw.sluice("log", "level", "engine:dbg", "--sluiced")
        levels = {(m["daemon"], m["module"]): m["level"] for m in sw.show("log")}
        assert levels["sluiced", "engine"].upper() == "DBG"
        assert levels["datapath", "engine"] if ("datapath", "engine") in levels else True
        assert any(d == "datapath" for d, _ in levels)


# ---- up and down ----

@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="sluice-test-") as d:
        env = dict(os.environ, SLUICE_RUNDIR=d, SLUICE_DBDIR=d, OVS_RUNDIR=d)
        yield d, env
        run("down", env=env)


def pids(env):
    rows = json.loads(run("status", "--json", env=env).stdout)["status"]
    return {r["what"]: int(re.search(r"pid (\d+)", r["detail"])[1]) for r in rows
            if r["state"] == "running" and r["what"] in ("datapath", "sluiced", "supervisor")}


def up(env):
    r = run("up", "--no-huge", "--enable-dummy", "system", env=env)
    assert r.returncode == 0, r
    return r.stdout


def test_up_restarts_what_dies_and_down_leaves_nothing(place):
    directory, env = place
    assert "without hugepages" in up(env)
    assert "already up" in up(env)
    first = pids(env)
    assert set(first) == {"supervisor", "datapath", "sluiced"}
    subprocess.run(["ovs-vsctl", "--timeout=10", "add-br", "br0"], env=env, check=True)
    for what in ("sluiced", "datapath"):
        os.kill(first[what], signal.SIGKILL)
        wait_until(lambda: pids(env).get(what, first[what]) != first[what])
    wait_until(lambda: [b["name"] for b in json.loads(
        run("bridge", "--json", env=env).stdout or '{"bridges": []}')["bridges"]] == ["br0"])
    os.makedirs(os.path.join(directory, "down.d"))
    hook = os.path.join(directory, "down.d", "hook")
    with open(hook, "w") as f:
        f.write(f"#!/bin/sh\ntouch {directory}/hook-ran\n")
    os.chmod(hook, 0o755)
    assert run("down", env=env).returncode == 0
    assert os.path.exists(os.path.join(directory, "hook-ran"))
    left = {f for f in os.listdir(directory) if f.endswith((".sock", ".pid", ".ctl"))}
    assert left == set()
    assert run("down", env=env).stdout == "not up\n"


def test_attach_and_detach(place):
    """two namespaces on VLAN 10, one on VLAN 20"""
    _, env = place
    spaces = {"control-a": ("10", "10.88.0.1"), "control-b": ("10", "10.88.0.2"),
              "control-c": ("20", "10.88.0.3")}
    up(env)

    def sluice(*argv):
        r = run(*argv, env=env)
        assert r.returncode == 0, r
        return r.stdout

    def ping(space, address):
        return subprocess.run(["ip", "netns", "exec", space, "ping", "-c", "1", "-W", "1", address],
                              capture_output=True).returncode == 0

    run("down", env=env)
    assert run("up", "--no-huge", env=env).returncode == 0
    try:
        sluice("bridge", "add", "control-br")
        for name, (tag, address) in spaces.items():
            subprocess.run(["ip", "netns", "add", name], check=True)
            sluice("attach", "control-br", name, "--tag", tag, "--ip", address + "/24", "--mtu",
                   "1400")
        assert "attached already" in sluice("attach", "control-br", "control-a", "--tag", "10")
        wait_until(lambda: ping("control-a", "10.88.0.2"))
        assert not ping("control-a", "10.88.0.3")
        sluice("bridge", "add", "control-br2")
        r = run("attach", "control-br2", "control-a", env=env)
        assert r.returncode == 1 and "attached to bridge control-br" in r.stderr
        sluice("port", "add", "control-h0", "control-br", "type=internal")
        assert run("detach", "control-h0", env=env).returncode == 1
        assert "control-h0" in run("port", env=env).stdout
        sluice("detach", "control-b")
        assert not ping("control-a", "10.88.0.2")
        r = run("attach", "control-br", "control-nowhere", env=env)
        assert r.returncode == 1 and "no network namespace" in r.stderr
        assert run("down", env=env).returncode == 0
        links = subprocess.run(["ip", "link"], capture_output=True, text=True).stdout
        assert "control-" not in links
    finally:
        for name in spaces:
            subprocess.run(["ip", "netns", "del", name], check=False)


def test_what_is_made_from_tables_is_current():
    top = os.path.join(os.path.dirname(__file__), "..", "..")
    r = subprocess.run([os.path.join(top, "tools", "dev", "make-docs"), "--check",
                        os.path.dirname(os.path.dirname(SLUICE))], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr


def test_a_dead_daemon_is_started_again_within_50_ms(place):
    _, env = place
    up(env)
    supervisor = pids(env)["supervisor"]

    def children():
        with open(f"/proc/{supervisor}/task/{supervisor}/children") as f:
            return set(map(int, f.read().split()))

    def restart(pid):
        before = children()
        os.kill(pid, signal.SIGKILL)
        return elapsed_ms(lambda: wait_until(lambda: children() - before, every=0.001))

    times = []
    for _ in range(3):
        wait_until(lambda: "sluiced" in pids(env))
        times.append(restart(pids(env)["sluiced"]))
        time.sleep(1.1)  # not a crash loop
    times.append(restart(pids(env)["datapath"]))
    assert sorted(times)[1] < 50, times  # the machine may be busy


def test_settings_of_the_next_start_are_taken_at_the_next_start(place):
    directory, env = place
    up(env)
    subprocess.run(["ovs-vsctl", "--timeout=10", "set", "Open_vSwitch", ".",
                    "other_config:dpdk-socket-mem=96"], env=env, check=True)
    first = pids(env)["datapath"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pids(env).get("datapath", first) != first)
    with open(f"/proc/{pids(env)['datapath']}/cmdline") as f:
        words = f.read().split("\0")
    assert words[words.index("--memory") + 1] == "96"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs network devices")
def test_port_show_says_what_failed_and_devices_come_back():
    """A port without device, a patch port without peer, and a device that disappears and returns."""
    tag = f"cl{os.getpid() % 10000}"

    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    ip("link", "add", f"{tag}a", "type", "veth", "peer", "name", f"{tag}b")
    try:
        with Switch() as sw:
            sw.vsctl("add-br", f"{tag}br", "--", "add-br", f"{tag}b2")
            for name, options in ((f"{tag}a", ()), (f"{tag}no", ()), (f"{tag}p", ("type=patch", f"options:peer={tag}q"))):
                words = ("--", "set", "Interface", name, *options) if options else ()
                sw.vsctl("add-port", f"{tag}br", name, *words, check=False)
            assert sw.ports()[f"{tag}a"]["state"] == "open"
            missing = sw.ports()[f"{tag}no"]
            assert missing["state"] == "failed" and missing["bridge"] == f"{tag}br"
            assert missing["detail"] == f"port {tag}no: no such network interface"
            assert "no such network interface" in sw.sluice("port", "show", f"{tag}no")
            assert not any(p["name"] == f"{tag}no" for p in sw.show("port", "--bridge", f"{tag}b2"))
            patch = sw.ports()[f"{tag}p"]
            assert patch["state"] == "error" and f"{tag}q: there is no such patch port" in patch["detail"]
            assert "there is no such patch port" in sw.get("Interface", f"{tag}p", "error")
            sw.vsctl("add-port", f"{tag}br", f"{tag}q", "--", "set", "Interface", f"{tag}q", "type=patch",
                     f"options:peer={tag}p")
            wait_until(lambda: sw.get("Interface", f"{tag}p", "error") == "[]")
            assert sw.ports()[f"{tag}p"]["state"] == "open"

            def state():
                return sw.ports().get(f"{tag}a", {}).get("state")  # between two attempts it is nowhere

            for _ in range(2):
                ip("link", "del", f"{tag}b")
                wait_until(lambda: state() == "failed")
                ip("link", "add", f"{tag}a", "type", "veth", "peer", "name", f"{tag}b")
                wait_until(lambda: state() == "open")
    finally:
        subprocess.run(["ip", "link", "del", f"{tag}b"], capture_output=True)
