# SPDX-License-Identifier: BSD-3-Clause
"""sluice-datapath through its api, with dummy ports:

    dummy p1 ─┐
    dummy p2 ─┤ br0
    …         ┘
"""
import os
import random
import socket
import struct
import subprocess
import time

import pytest

import dpapi
from datapath_process import BINARY, DatapathProcess, ether, flood_bridge, frames, wait_until


@pytest.fixture
def process():
    with DatapathProcess("--no-huge") as p:
        yield p


@pytest.fixture
def dp(process):
    return process.connect(writer=True)


def names(dp, kind="ports"):
    return sorted(o["name"] for o in dp.dump(kind))


def refused(dp, ops):
    with pytest.raises(dpapi.ApiError) as e:
        dp.transaction(ops)
    return e.value


# ---- forwarding ----

def test_a_frame_crosses_the_bridge(dp):
    flood_bridge(dp, 3)
    frame = ether(2, 1)
    dp.call("dummy_receive", dict(port="p1", packet=frame))
    assert frames(dp, "p2", 1) == [frame]
    assert frames(dp, "p3", 1) == [frame]
    wait_until(lambda: dp.dump("macs"))
    dp.call("dummy_receive", dict(port="p2", packet=ether(1, 2)))
    assert frames(dp, "p1", 1) == [ether(1, 2)]
    time.sleep(0.05)
    assert dp.frames_sent("p3") == []
    macs = {m["mac"]: m["port"] for m in dp.dump("macs")}
    assert macs == {"02:00:00:00:00:01": "p1", "02:00:00:00:00:02": "p2"}


def test_a_closed_bridge_forwards_nothing_and_says_why(dp):
    flood_bridge(dp)
    dp.transaction([("bridge_set", dict(name="br0", open=0))])
    dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
    wait_until(lambda: any(d["reason"] == "bridge_closed" for d in dp.dump("drops")))
    assert dp.frames_sent("p2") == []
    dp.transaction([("bridge_set", dict(name="br0", open=1))])
    dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
    frames(dp, "p2", 1)


def test_vlans(dp):
    """p1 access 10, p2 access 10, p3 access 20, p4 trunk"""
    flood_bridge(dp, 4)
    dp.transaction([("port_set", dict(name=n, vlan_mode=1, tag=t))
                    for n, t in (("p1", 10), ("p2", 10), ("p3", 20))])
    dp.call("dummy_receive", dict(port="p1", packet=ether(9, 1, b"x")))
    assert frames(dp, "p2", 1) == [ether(9, 1, b"x")]
    tagged = frames(dp, "p4", 1)
    assert tagged[0][12:16] == bytes.fromhex("8100000a")
    assert dp.frames_sent("p3") == []


# ---- transactions ----

def test_all_or_nothing(dp):
    flood_bridge(dp)
    before = [dp.dump(k) for k in ("bridges", "ports")]
    version = dp.call("status")["version"]
    cases = [
        ([("port_set", dict(name="new", type="dummy", bridge="br0")),
          ("port_set", dict(name="bad", type="no-such-type"))], 1, "no-such-type"),
        ([("port_set", dict(name="new", type="dummy", bridge="br0")),
          ("port_set", dict(name="x", type="dummy", bridge="nowhere"))], 1, "nowhere"),
        ([("bridge_set", dict(name="br1")), ("port_del", dict(name="gone"))], 1, "gone"),
        ([("port_del", dict(name="p1")), ("bridge_del", dict(name="br9"))], 1, "br9"),
        ([("bridge_del", dict(name="br0")), ("port_set", dict(name="p1", create=True))], 1, "p1"),
        ([("port_set", dict(name="p1", mtu=9000)),
          ("port_set", dict(name="eth", type="system", bridge="br0"))], 1, "eth"),
        ([("port_set", dict(name="p1", tag=4096, vlan_mode=1))], 0, "tag"),
        ([("port_set", dict(name="a b", type="dummy"))], 0, "a b"),
        ([("port_set", dict(name="new", type="dummy", bridge="br0", ofport=1))], 0, "new"),
        ([("mac_set", dict(bridge="br0", mac="02:00:00:00:00:01", port="p9", vlan=0))], 0, "p9"),
        ([("bridge_set", dict(name="br0", existing=True)),
          ("bridge_set", dict(name="brx", existing=True))], 1, "brx"),
        ([("poll_set", dict(cores=struct.pack("=H", 999)))], 0, "999"),
        ([("port_set", dict(name="p1", priority=3))], 0, "priority"),
    ]
    for ops, op, text in cases:
        e = refused(dp, ops)
        assert e.op == op and text in str(e), (ops, str(e), e.op)
        assert [dp.dump(k) for k in ("bridges", "ports")] == before, ops
    assert dp.call("status")["version"] <= version + len(cases)
    dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
    frames(dp, "p2", 1)


def test_configuration_reads_back_as_it_was_set(dp):
    trunks = bytes(512 - 1) + b"\x01"
    dp.transaction([
        ("bridge_set", dict(name="br0", datapath_id=7, mac_ageing_s=20, open=1, vlan_limit=2)),
        ("port_set", dict(name="p1", type="dummy", bridge="br0", ofport=17, mtu=2000,
                          trunks=trunks))])
    bridge, = dp.dump("bridges")
    assert {k: bridge[k] for k in bridge if k != "status"} == dict(
        name="br0", datapath_id=7, mac_ageing_s=20, open=1, vlan_limit=2)
    port, = dp.dump("ports")
    status = port.pop("status")
    assert port == dict(name="p1", port_id=port["port_id"], type="dummy", bridge="br0", ofport=17,
                        mtu=2000, trunks=trunks)
    assert status["mtu"] == 2000 and status["ofport"] == 17 and status["link_up"] == 1
    # An absent attribute stays, an empty bitmap is taken back, BRIDGE "" takes the port off.
    dp.transaction([("port_set", dict(name="p1", trunks=b"", bridge=""))])
    port, = dp.dump("ports")
    assert "trunks" not in port and port["mtu"] == 2000 and "ofport" not in port["status"]


def test_a_port_may_be_replaced_in_one_transaction(dp):
    flood_bridge(dp)
    dp.transaction([("port_del", dict(name="p1")),
                    ("port_set", dict(name="p1", type="dummy", bridge="br0", create=True))])
    assert names(dp) == ["p1", "p2"]
    dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
    frames(dp, "p2", 1)


def test_a_reopened_port_forwards_again(dp):
    flood_bridge(dp)
    for n in (2, 1, 4):
        dp.transaction([("port_set", dict(name="p1", n_rxq=n))])
        dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
        frames(dp, "p2", 1)
    # A refused change of the same kind brings the old device back.
    refused(dp, [("port_set", dict(name="p1", n_rxq=8)), ("port_set", dict(name="x", type="system"))])
    dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
    frames(dp, "p2", 1)


def test_deleting_a_bridge_leaves_its_ports(dp):
    flood_bridge(dp)
    dp.transaction([("bridge_del", dict(name="br0"))])
    assert names(dp, "bridges") == []
    assert names(dp) == ["p1", "p2"]
    dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
    wait_until(lambda: any(d["reason"] == "rx_no_bridge" for d in dp.dump("drops")))
    dp.transaction([("bridge_set", dict(name="br1", open=1))] +
                   [("port_set", dict(name=n, bridge="br1")) for n in ("p1", "p2")])
    dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
    frames(dp, "p2", 1)


def test_static_macs(dp):
    flood_bridge(dp, 3)
    mac = dict(bridge="br0", vlan=0, mac="02:00:00:00:00:07", port="p3")
    dp.transaction([("mac_set", mac)])
    dp.call("dummy_receive", dict(port="p1", packet=ether(7, 1)))
    frames(dp, "p3", 1)
    assert dp.frames_sent("p2") == []
    dp.transaction([("mac_del", dict(bridge="br0"))])
    assert [m["static"] for m in dp.dump("macs", bridge="br0")] == [1]
    dp.transaction([("mac_del", dict(bridge="br0", static=1))])
    assert dp.dump("macs") == []


def test_200_ports_come_and_go_while_others_forward(dp):
    flood_bridge(dp)
    sent = 0
    for i in range(200):
        name = f"x{i}"
        dp.transaction([("port_set", dict(name=name, type="dummy", bridge="br0"))])
        dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1, i.to_bytes(2, "big"))))
        sent += 1
        dp.transaction([("port_del", dict(name=name))])
    got = frames(dp, "p2", sent)
    assert len(got) == sent
    stats, = dp.dump("port_stats", port="p1")
    assert stats["rx_packets"] == sent and stats["dropped"] == 0
    assert names(dp) == ["p1", "p2"]


def test_poll_threads_change_while_running(dp):
    flood_bridge(dp)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        cores = cores * 2
    for want in (cores[:1], cores[1:2], cores[:2] if cores[0] != cores[1] else cores[:1]):
        dp.transaction([("poll_set", dict(cores=struct.pack(f"={len(want)}H", *want)))])
        assert sorted(t["core"] for t in dp.dump("poll")) == sorted(want)
        dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
        frames(dp, "p2", 1)
    # A transaction that fails later leaves them as they were.
    refused(dp, [("poll_set", dict(cores=struct.pack("=H", cores[0]), sleep_max_us=77)),
                 ("mac_set", dict(bridge="br0", vlan=0, mac="01:00:00:00:00:01", port="p1"))])
    assert dp.call("status")["sleep_max_us"] != 77
    assert sorted(t["core"] for t in dp.dump("poll")) == sorted(want)


def test_a_transaction_in_parts(dp):
    dp.seq += 1
    parts = [dpapi.encode_op("bridge_set", dict(name="br0", open=1))]
    parts += [dpapi.encode_op("port_set", dict(name=f"p{i}", type="dummy", bridge="br0"))
              for i in range(50)]
    for p in parts[:-1]:
        dp.send_raw(dpapi.encode_message("transaction", p + dpapi.encode_attr("more", True), dp.seq))
    dp.send_raw(dpapi.encode_message("transaction", parts[-1], dp.seq))
    kind, flags, seq, body = dp.read_message()
    assert flags == dpapi.REPLY and seq == dp.seq and body["version"]
    assert len(dp.dump("ports")) == 50


def test_generation_and_identity(process, dp):
    dp.transaction([("generation_set", dict(generation=42))])
    status = process.connect().call("status")
    assert status["generation"] == 42
    assert status["boot_id"] == dp.hello["boot_id"]
    assert status["pid"] == process.proc.pid


# ---- connections ----

def test_one_writer(process, dp):
    other = process.connect(writer=True)
    assert dp.writer and not other.writer
    with pytest.raises(dpapi.ApiError) as e:
        flood_bridge(other)
    assert "lease" in str(e.value)
    assert other.dump("ports") == []
    dp.close()
    third = process.connect(writer=True)  # the lease ends with its connection
    assert third.writer
    flood_bridge(third)


def test_a_dead_writer_does_not_block_the_next(process):
    """The successor's hello may be read before the predecessor's end of file."""
    for _ in range(50):
        a = process.connect(writer=True)
        assert a.writer
        a.close()


def test_requests_before_hello_are_refused(process):
    c = process.connect(hello=False)
    with pytest.raises(dpapi.ApiError):
        c.call("status")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        c.call("status")


def test_many_requests_at_once_are_answered_in_order(dp):
    flood_bridge(dp)
    kinds = [random.choice(["status", "ports", "macs", "bridges"]) for _ in range(500)]
    data = b""
    for i, k in enumerate(kinds):
        data += dpapi.encode_message(k, b"", 1000 + i)
    dp.send_raw(data)
    for i, k in enumerate(kinds):
        while True:
            kind, flags, seq, body = dp.read_message()
            assert kind == dpapi.MESSAGES[k] and seq == 1000 + i and flags == dpapi.REPLY
            if not body.get("more"):
                break


def test_a_long_dump_waits_for_its_reader(process, dp):
    """4,000 static MACs; the reader takes its time, others are served meanwhile."""
    flood_bridge(dp)
    dp.transaction([("mac_set", dict(bridge="br0", vlan=0, port="p1",
                                     mac=b"\x02\0\0\0" + i.to_bytes(2, "big")))
                    for i in range(4000)])
    slow = process.connect()
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.send_raw(dpapi.encode_message("macs", b"", 5) * 20)
    start = time.monotonic()
    for _ in range(20):
        dp.call("status")
    assert time.monotonic() - start < 2
    total = done = 0
    while done < 20:
        kind, flags, seq, body = slow.read_message()
        assert flags == dpapi.REPLY and seq == 5
        total += len(body.get("object", []))
        done += not body.get("more")
    assert total == 20 * 4000


def test_events(process, dp):
    watcher = process.connect()
    mask = (1 << dpapi.EVENTS["port"]) | (1 << dpapi.EVENTS["mac"])
    first = watcher.call("subscribe", dict(event_mask=mask))["event_seq"]
    flood_bridge(dp)
    e = watcher.wait_event("port")
    assert e["port"] == "p1" and e["state"] == "added" and e["event_seq"] >= first
    dp.call("dummy_receive", dict(port="p1", packet=ether(2, 1)))
    e = watcher.wait_event("mac")
    assert (e["mac"], e["port"], e["state"]) == ("02:00:00:00:00:01", "p1", "learnt")
    dp.transaction([("port_del", dict(name="p2"))])
    assert watcher.wait_event("port", lambda e: e["state"] == "removed")["port"] == "p2"
    # Another one reads the same from the beginning.
    late = process.connect()
    assert late.call("subscribe", dict(event_mask=mask, event_seq=first))["event_seq"] == first
    assert late.wait_event("port")["port"] == "p1"


def test_a_watcher_that_does_not_read_learns_what_it_missed(process, dp):
    flood_bridge(dp)
    watcher = process.connect()
    watcher.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    watcher.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["config"]))
    n = 0
    gens = [("generation_set", dict(generation=7))]
    while n < 70000:  # more than the ring and the socket hold
        seqs = []
        data = b""
        for _ in range(1000):
            dp.seq += 1
            data += dpapi.encode_message("transaction", dpapi.encode_op(*gens[0]), dp.seq)
        dp.send_raw(data)
        for _ in range(1000):
            assert dp.read_message()[1] == dpapi.REPLY
        n += 1000
    got = lost = 0
    while got + lost < n:
        _, _, _, e = watcher.read_message()
        if e["event"] == dpapi.EVENTS["lost"]:
            lost += e["count"]
        else:
            got += 1
    assert lost > 0 and got > 0 and got + lost == n


def test_garbage_does_not_crash_it(process, dp):
    flood_bridge(dp)
    rnd = random.Random(7)
    good = [dpapi.encode_message("transaction", dpapi.encode_op(
                "port_set", dict(name="p1", type="dummy", bridge="br0", mtu=1600, trunks=bytes(512)))),
            dpapi.encode_message("ports", dict(bridge="br0", port="p1")),
            dpapi.encode_message("hello", dict(api_version=1, program="x", writer=True)),
            dpapi.encode_message("packet_out", dict(bridge="br0", packet=ether(2, 1), actions=bytes(24))),
            dpapi.encode_message("subscribe", dict(event_mask=255, event_seq=1))]
    dp.close()
    for i in range(400):
        c = process.connect(writer=True)
        try:
            for _ in range(5):
                m = bytearray(rnd.choice(good))
                for _ in range(rnd.randrange(4)):
                    at = rnd.randrange(0 if rnd.random() < 0.1 else dpapi.HEADER.size, len(m))
                    m[at] = rnd.choice([0, 255, m[at] ^ (1 << rnd.randrange(8)), rnd.randrange(256)])
                if rnd.random() < 0.05:
                    m = m[:rnd.randrange(len(m))]
                c.send_raw(bytes(m))
        except (BrokenPipeError, ConnectionResetError):
            pass
        c.close()
    assert process.proc.poll() is None
    again = process.connect(writer=True)
    assert again.call("status")["pid"] == process.proc.pid
    assert "WARN" not in [line.split("|")[3] for line in process.stderr().splitlines()
                          if line.count("|") >= 4 and "a message of" not in line]


# ---- the process ----

def test_two_on_one_run_directory(process):
    second = subprocess.run([BINARY, "--rundir", process.rundir, "--no-huge"],
                            capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert f"process {process.proc.pid} runs already" in second.stderr
    assert process.connect().call("status")["pid"] == process.proc.pid


def test_several_side_by_side(process):
    with DatapathProcess("--no-huge") as other:
        assert other.connect().call("status")["boot_id"] != process.connect().call("status")["boot_id"]


@pytest.mark.parametrize("huge", [True, False])
def test_kill_9_leaves_nothing_behind(huge, tmp_path):
    def free():
        with open("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") as f:
            return int(f.read())

    before = free()
    if huge and before < 64:
        pytest.skip("fewer than 64 hugepages are free")
    p = DatapathProcess(*([] if huge else ["--no-huge"]), rundir=str(tmp_path))
    boots = set()
    for _ in range(3):
        start = time.monotonic()
        p.start()
        assert time.monotonic() - start < 5
        dp = p.connect(writer=True)
        assert dp.call("status")["hugepages"] == huge
        boots.add(dp.hello["boot_id"])
        flood_bridge(dp)
        p.kill()
    assert len(boots) == 3
    left = {f for f in os.listdir(tmp_path)} - {"datapath.sock", "sluice-datapath.pid", "stderr", "dpdk"}
    assert not left
    with DatapathProcess("--no-huge", rundir=str(tmp_path)) as q:
        assert q.connect().dump("ports") == []
    assert set(os.listdir(tmp_path)) <= {"stderr"}


def test_detach_returns_when_it_is_ready(tmp_path):
    pidfile, log = tmp_path / "my.pid", tmp_path / "my.log"
    subprocess.run([BINARY, "--rundir", tmp_path, "--no-huge", "--detach", f"--pidfile={pidfile}",
                    f"--log-file={log}"], check=True, timeout=20, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    dp = dpapi.Datapath(str(tmp_path / "datapath.sock"), writer=True)
    assert int(pidfile.read_text()) == dp.call("status")["pid"]
    assert "ready on" in log.read_text()
    dp.call("exit")
    wait_until(lambda: not pidfile.exists())


@pytest.mark.parametrize("args,text", [
    (["--no-such-option"], "not an option"),
    (["--cores", "x"], "cores"),
    (["--cores", "1,1"], "twice"),
    (["--memory", "1"], "--memory"),
    (["extra"], "no arguments"),
    (["-vnonsense"], "nonsense"),
    (["--main-core", "1000"], "--main-core"),
])
def test_bad_command_lines(args, text, tmp_path):
    r = subprocess.run([BINARY, "--rundir", tmp_path, "--no-huge", *args], capture_output=True,
                       text=True, timeout=20)
    assert r.returncode == 2 and text in r.stderr and r.stderr.count("sluice-datapath:") == 1


def test_log_levels(dp):
    modules = {m["name"]: m["level"] for m in dp.dump("log", level="api:dbg")}
    assert modules["api"] == "DBG" and modules["server"] == "INFO"
    with pytest.raises(dpapi.ApiError):
        dp.call("log", dict(level="nonsense:dbg"))
