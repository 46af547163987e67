# SPDX-License-Identifier: BSD-3-Clause
"""What the sluice command shows of a running switch: drops, events, status, doctor, top; and that it
refuses bad input with one line that says where."""
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import threading
import time

import pytest

import dpapi
import policylab
from control_process import SLUICE, Switch
from datapath_process import DatapathProcess, ether, flood_bridge, frames, wait_until
from test_datapath_rules import match_ip_dst


def sluice(process, *argv, check=True):
    env = dict(os.environ, SLUICE_RUNDIR=process.rundir, SLUICE_DBDIR=process.rundir)
    r = subprocess.run([SLUICE, *argv], capture_output=True, text=True, env=env, timeout=60)
    assert not check or r.returncode == 0, r
    return r


def reads(process, *argv):
    return json.loads(sluice(process, *argv, "--json").stdout)


@pytest.fixture
def process():
    with DatapathProcess("--no-huge") as p:
        yield p


class Sender:
    """Frames into dummy ports, at a steady pace, while a command looks."""

    def __init__(self, dp, *what):
        self.dp, self.what, self.stop = dp, what, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            for port, frame, n in self.what:
                for _ in range(n):
                    try:
                        self.dp.call("dummy_receive", dict(port=port, packet=frame))
                    except dpapi.ApiError:  # as many wait as may
                        time.sleep(.02)
            time.sleep(.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        self.thread.join()


# ---- drops ----

def test_drops_puts_first_what_happens_now(process):
    dp = process.connect(writer=True)
    flood_bridge(dp, 3)
    dp.transaction([("port_set", dict(name="p1", port_flags=0)),
                    ("port_set", dict(name="p3", port_flags=4))])  # no_recv
    for n in range(0, 2000, 100):  # much, but in the past
        for _ in range(100):
            dp.call("dummy_receive", dict(port="p3", packet=ether(1, 2)))
        wait_until(lambda: dp.dump("drops", port="p3") and dp.dump("drops", port="p3")[0]["count"] == n + 100)
    dp.call("dummy_receive", dict(port="p1", packet=ether(1, 9)))
    same = ether(9, 1)  # 9 is learnt on p1: both ends on one port
    with Sender(dp, ("p1", same, 1)):
        drops = reads(process, "drops", "--interval", "0.3")["drops"]
    assert [(d["port"], d["reason"]) for d in drops][:2] == [("p1", "normal_same_port"), ("p3", "rx_port_down")]
    first, second = drops[:2]
    assert first["rate"] > 10 and second["rate"] == 0 and second["count"] == 2000
    assert "behind the port" in first["help"] and second["remedy"] and second["family"] == "rx"
    assert reads(process, "drops", "--port", "p3", "--interval", "0.01")["drops"][0]["count"] == 2000
    text = sluice(process, "drops", "p3", "--interval", "0.01").stdout
    assert "rx_port_down" in text and second["remedy"] in text and "p1" not in text
    watched = sluice(process, "drops", "--watch", "--count", "2", "--interval", "0.05", "--json").stdout
    assert len([json.loads(line) for line in watched.splitlines()]) == 2


def test_drops_name_the_openflow_rule(process):
    dp = process.connect(writer=True)
    flood_bridge(dp, 2)
    dp.transaction([("rule_mod", dict(command=0, bridge="br0", table=0, priority=7, cookie=0xbeef,
                                      match=match_ip_dst(0x0a000001)))])
    frame = ether(1, 2, bytes.fromhex("4500001c000000004011000001010101" "0a000001" "0001000200080000"), 0x0800)
    for _ in range(3):
        dp.call("dummy_receive", dict(port="p1", packet=frame))
    wait_until(lambda: reads(process, "drops", "--interval", "0.01")["drops"])
    found = wait_until(lambda: reads(process, "drops", "--interval", "0.01")["rules"])
    assert [(r["table"], r["priority"], r["cookie"], r["count"]) for r in found] == [(0, 7, "0xbeef", 3)]
    assert found[0]["match"] == "ip,nw_dst=10.0.0.1"
    assert "0xbeef" in sluice(process, "drops", "--interval", "0.01").stdout


def test_drops_name_the_rule_of_the_policy(process):
    lab = policylab.Lab(process.connect(writer=True))
    for _ in range(2):
        assert not lab.passes(1, "host", policylab.tcp(1, 22))
    shown = reads(process, "drops", "--interval", "0.01")
    assert [(p["rule"], p["count"]) for p in shown["policy"]] == [("default/host-deny", 2)]
    assert [(d["reason"], d["family"]) for d in shown["drops"]] == [("policy_host_deny", "policy")]
    assert "default/host-deny" in sluice(process, "drops", "--interval", "0.01").stdout


def test_every_reason_has_help_and_remedy(process):
    reasons = reads(process, "drops", "--all")["reasons"]
    assert len(reasons) > 50
    for r in reasons:
        assert r["help"] and r["remedy"] and r["family"] in ("rx", "switch", "policy", "tx"), r
        assert r["reason"] not in ("other", "error", "unknown"), r


# ---- events ----

def test_events_are_lines_with_names_and_times(process):
    dp = process.connect(writer=True)
    assert sluice(process, "events").stdout == ""
    flood_bridge(dp, 2)
    dp.call("dummy_receive", dict(port="p1", packet=ether(1, 2)))
    frames(dp, "p2", 1)
    wait_until(lambda: any(e["event"] == "mac" for e in map(
        json.loads, sluice(process, "events", "--json").stdout.splitlines())))
    lines = [json.loads(line) for line in sluice(process, "events", "--json").stdout.splitlines()]
    assert [e["event"] for e in lines[:2]] == ["port", "port"] and lines[0]["port"] == "p1"
    assert all(e["time"].startswith("20") and e["time"].endswith("Z") for e in lines)
    text = sluice(process, "events").stdout.splitlines()
    assert len(text) == len(lines) and "port=p1" in text[0]
    follow = subprocess.Popen([SLUICE, "--rundir", process.rundir, "events", "--follow", "--json",
                               "--count", str(len(lines) + 1)], stdout=subprocess.PIPE, text=True)
    time.sleep(.2)
    assert follow.poll() is None
    dp.transaction([("rule_mod", dict(command=0, bridge="br0", priority=3, cookie=5))])
    out = follow.communicate(timeout=10)[0].splitlines()
    new = json.loads(out[-1])
    assert len(out) == len(lines) + 1 and new["event"] in ("rule_added", "config")
    if new["event"] == "rule_added":
        assert new["rule"] == "cookie=0x5, table=0, priority=3 actions=drop"


# ---- status and doctor ----

def test_status_says_what_is_wrong_first():
    with Switch("--enable-dummy=system") as sw:
        sw.dummies("p1")
        sw.vsctl("set", "bridge", "br0", "other_config:no-such-key=1")
        wait_until(lambda: sw.status()["notes"])
        rows = sw.show("status")
        assert rows[0]["what"] == "Bridge br0" and rows[0]["state"] == "warning"
        assert "no-such-key" in rows[0]["detail"]
        assert rows[0]["remedy"] == "ovs-vsctl remove Bridge br0 other_config no-such-key"
        sw.vsctl(*rows[0]["remedy"].split()[1:])
        wait_until(lambda: not sw.status()["notes"])
        assert not [r for r in sw.show("status") if r["state"] in ("warning", "error")
                    and not r["what"].startswith("core ")]  # other programs of the machine may be on it
        sw.kill_sluiced()
        r = sw.run(SLUICE, "status", "--json", check=False)
        first = json.loads(r.stdout)["status"][0]
        assert r.returncode == 1 and (first["what"], first["state"]) == ("sluiced", "down")


def host(tmp_path, **files):
    """A host's /proc and /sys as doctor sees it; None: the file is not there."""
    root = tmp_path / "host"
    base = {"proc/meminfo": "HugePages_Total: 512\nHugePages_Free: 512\nHugepagesize: 2048 kB\n",
            "proc/cpuinfo": "flags : fpu sse4_2 avx2 constant_tsc nonstop_tsc\n",
            "sys/devices/system/cpu/isolated": "0-63\n", "dev/net/tun": ""}
    base.update(files)
    for path, text in base.items():
        if text is None:
            continue
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return str(root)


def findings(process, root):
    r = sluice(process, "doctor", "--root", root, "--interval", "0.05", "--json", check=False)
    return {f["check"] + ":" + f["object"]: f for f in json.loads(r.stdout)["findings"]}, r.returncode


HOSTS = {
    "no hugepages": ({"proc/meminfo": "HugePages_Total: 0\nHugepagesize: 2048 kB\n"}, "hugepages:", "nr_hugepages"),
    "pages unused": ({}, "hugepages:", "sluice down; sluice up"),
    "old cpu": ({"proc/cpuinfo": "flags : fpu constant_tsc\n"}, "cpu:", "CPU"),
    "governor": ({"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n"}, "cpu:", "cpupower"),
    "balancing": ({"proc/sys/kernel/numa_balancing": "1\n"}, "cpu:", "sysctl -w kernel.numa_balancing=0"),
    "not isolated": ({"sys/devices/system/cpu/isolated": "\n"}, "isolation:", "isolcpus="),
    "guest on our core": ({"proc/4711/comm": "qemu-system-x86\n",
                           "proc/4711/status": "Name:\tqemu\nCpus_allowed_list:\t0-63\n"},
                          "isolation:guest process 4711 (qemu-system-x86)", "taskset -apc"),
    "no tun": ({"dev/net/tun": None}, "devices:", "modprobe tun"),
}


@pytest.mark.parametrize("name", HOSTS)
def test_doctor_finds_what_is_wrong_with_the_host(process, tmp_path, name):
    files, key, remedy = HOSTS[name]
    found, code = findings(process, host(tmp_path, **files))
    assert remedy in found[key]["remedy"] and found[key]["text"]
    assert code == 1  # sluiced does not run
    assert found["daemons:sluiced"]["severity"] == "error"


def test_doctor_finds_limits_and_versions(process, tmp_path):
    pid = process.proc.pid
    found, _ = findings(process, host(tmp_path, **{
        f"proc/{pid}/limits": "Max open files            1024                 4096                 files\n"}))
    assert "LimitNOFILE" in found["limits:sluice-datapath"]["remedy"]


def test_doctor_finds_what_is_wrong_now(process, tmp_path):
    dp = process.connect(writer=True)
    flood_bridge(dp, 3)
    dp.transaction([("bridge_set", dict(name="br1", open=0)),
                    ("port_set", dict(name="p2", mtu=9000)), ("port_set", dict(name="p3", port_flags=4))])
    with Sender(dp, ("p3", ether(1, 2), 2)):
        time.sleep(.05)
        found, code = findings(process, host(tmp_path))
    assert found["bridges:br1"]["severity"] == "error" and code == 1
    assert found["mtu:p2"]["remedy"] == "sluice port set p2 mtu=1500"
    assert "rx_port_down" in found["drops:p3"]["text"]
    text = sluice(process, "doctor", "--root", host(tmp_path), "--interval", "0.05", check=False).stdout
    assert text.startswith("error") and "→ sluice port set p2 mtu=1500" in text


def test_doctor_names_addresses_that_move(process, tmp_path):
    dp = process.connect(writer=True)
    flood_bridge(dp, 3)

    def arrives_by(port):
        dp.call("dummy_receive", dict(port=port, packet=ether(1, 7)))
        wait_until(lambda: [m for m in dp.dump("macs") if m["mac"] == "02:00:00:00:00:07" and m["port"] == port])

    def moves():
        return [f for key, f in findings(process, host(tmp_path))[0].items() if key.startswith("moves")]
    arrives_by("p1")
    arrives_by("p2")
    assert not moves()  # a guest that has migrated
    for _ in range(3):
        arrives_by("p1")
        arrives_by("p2")
    found, = wait_until(moves)
    assert found["object"] == "br0" and "between p1 and p2" in found["text"] and "ether src" in found["remedy"]


def test_status_names_a_controller_that_is_away():
    with Switch("--enable-dummy") as sw:
        sw.dummies("p1")
        sw.vsctl("set-controller", "br0", "tcp:127.0.0.1:1", "--", "set-fail-mode", "br0", "secure")
        row = wait_until(lambda: [r for r in sw.show("status") if "tcp:127.0.0.1:1" in (r["detail"] or "")])[0]
        assert row["state"] == "error" and "fail-mode secure" in row["detail"] and "set-controller br0" in row["remedy"]
        sw.vsctl("set", "Interface", "p1", "type=dpdk", "options:dpdk-devargs=0000:99:00.0", check=False)
        row = wait_until(lambda: [r for r in sw.show("status") if r["what"] == "Interface p1"])[0]
        assert "options:dpdk-devargs=" in row["remedy"] and "del-port p1" in row["remedy"]


def test_status_says_that_the_database_cannot_be_written(tmp_path):
    mount = tmp_path / "db"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(mount)], check=True)
    try:
        (mount / "file").write_bytes(bytes(64 << 10))
        env = dict(os.environ, SLUICE_RUNDIR=str(tmp_path), SLUICE_DBDIR=str(mount))
        r = subprocess.run([SLUICE, "status", "--json"], capture_output=True, env=env)
        row = [r for r in json.loads(r.stdout)["status"] if r["what"] == str(mount)][0]
        assert row["state"] == "error" and "changes are refused" in row["detail"] and "make room" in row["remedy"]
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        r = subprocess.run([SLUICE, "status", "--json"], capture_output=True, env=env)
        row = [r for r in json.loads(r.stdout)["status"] if r["what"] == str(mount)][0]
        assert "without writes" in row["detail"] and "remount,rw" in row["remedy"]
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def on_terminal(columns, argv, env):
    """What a command prints on a terminal so wide."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(argv, stdout=its, env=env) as p:
        os.close(its)
        got = b""
        try:
            while data := os.read(ours, 65536):
                got += data
        except OSError:  # EIO: all is read
            pass
        p.wait(timeout=60)
    os.close(ours)
    return got.decode().replace("\r\n", "\n")


def test_sentences_are_broken_on_a_narrow_terminal_only(tmp_path):
    env = dict(os.environ, SLUICE_RUNDIR=str(tmp_path))
    narrow = on_terminal(100, [SLUICE, "drops", "--all"], env)
    wide = subprocess.run([SLUICE, "drops", "--all"], env=env, capture_output=True, text=True).stdout
    assert max(map(len, narrow.splitlines())) <= 100 < max(map(len, wide.splitlines()))
    assert len(wide.splitlines()) < len(narrow.splitlines())
    assert sorted(narrow.split()) == sorted(wide.split())  # not a word is lost


def test_doctor_lists_its_checks_and_finds_a_dead_datapath(tmp_path):
    env = dict(os.environ, SLUICE_RUNDIR=str(tmp_path))
    checks = json.loads(subprocess.run([SLUICE, "doctor", "--list", "--json"], capture_output=True, env=env).stdout)
    assert {"hugepages", "isolation", "drops", "mtu"} <= {c["check"] for c in checks["checks"]}
    r = subprocess.run([SLUICE, "doctor", "--json"], capture_output=True, env=env)
    assert r.returncode == 1
    assert [f["object"] for f in json.loads(r.stdout)["findings"]][:2] == ["datapath", "sluiced"]


# ---- top ----

def test_top_shows_threads_ports_and_flows(process):
    dp = process.connect(writer=True)
    flood_bridge(dp, 2)
    with Sender(dp, ("p1", ether(1, 2), 5)):
        wait_until(lambda: process.connect().dump("megaflows"), every=.2)
        shown = reads(process, "top", "--once", "--interval", "0.5")
        text = sluice(process, "top", "--once", "--interval", "0.5").stdout
        lines = sluice(process, "top", "--count", "3", "--interval", "0.1", "--json").stdout.splitlines()
    p1 = [p for p in shown["ports"] if p["port"] == "p1"][0]
    assert p1["rx_pps"] > 20 and p1["rx_bps"] > 20 * 60 * 8 and p1["hit_percent"] > 50 and p1["link"]
    assert [p for p in shown["ports"] if p["port"] == "p2"][0]["tx_pps"] > 20
    thread = shown["threads"][0]
    assert thread["packets_per_second"] > 20 and thread["cycles_per_packet"] > 0
    assert set(thread["stages"]) == {"rx", "extract", "cache", "resolve", "exec", "tx"}
    assert abs(sum(thread["stages"].values()) - thread["cycles_per_packet"]) < 1 + thread["cycles_per_packet"] / 100
    assert {q["port"] for q in thread["queues"]} == {"p1", "p2"}
    assert shown["flows"][0]["port"] == "p1" and shown["flows"][0]["pps"] > 20
    assert len([json.loads(line) for line in lines]) == 3
    assert "\033" not in text and "CYC/PKT" in text and "p1" in text and "█" in text


# ---- bad input ----

@pytest.mark.parametrize("argv, where", [
    (["drops", "--interval", "x"], "--interval x"), (["drops", "--count", "2"], "--count"),
    (["drops", "--watch", "--count", "0"], "--count 0"), (["events", "--count", "-1"], "--count -1"),
    (["doctor", "--interval", "0"], "--interval 0"), (["top", "--once", "--count", "2"], "--count"), (["drops", "--interval"], "--interval"),
    (["drops", "-x"], "-x"),
])
def test_wrong_usage_names_the_word(argv, where):
    r = subprocess.run([SLUICE, "--rundir", "/nonexistent", *argv], capture_output=True, text=True)
    assert r.returncode == 2 and where in r.stderr and r.stderr.startswith("error: "), r


def test_an_unknown_port_is_one_error(process):
    r = sluice(process, "drops", "nothing", check=False)
    assert r.returncode == 2 and r.stderr == "error: port nothing: not found\n"
