# SPDX-License-Identifier: BSD-3-Clause
"""vhost-user ports: well-behaved guests (tests/system/vhostguest.py), hostile ones, and DPDK's
net_virtio_user in testpmd.

    guest 0 --socket-- [v0] port-host [v1] --socket-- guest 1
"""
import os
import random
import struct
import subprocess
import time

import pytest

from porthost import PORT_HOST, PortHost, sh
from vhostguest import (F_EVENT_IDX, F_INDIRECT, F_MQ, F_MRG, F_VERSION_1, GPA, INDIRECT, NEXT,
                        OFFLOADS, SEND_RARP, WRITE, Guest)

pytestmark = pytest.mark.skipif(not os.path.exists(PORT_HOST), reason="port-host is not built")
PLAIN = F_MRG | F_VERSION_1 | F_INDIRECT | F_MQ


def frame(n=60, tag=0):
    return bytes.fromhex("020000000002020000000001") + b"\x88\xb5" + struct.pack(
        "<I", tag) + bytes((i + tag) & 0xFF for i in range(n - 18))


class Pair:
    """port-host between two guests."""

    def __init__(self, tmp, kind="dpdkvhostuserclient", features=PLAIN | OFFLOADS, args=(),
                 option="", start=True, **kw):
        self.client = kind == "dpdkvhostuserclient"
        self.paths = [str(tmp / n) for n in ("v0", "v1")]
        os.environ["SLUICE_RUNDIR"] = str(tmp)
        self.g = []
        if self.client:
            self.g = [Guest(p) for p in self.paths]
        self.specs = [f"v{i},{kind}" + (f",vhost-server-path={p}" if self.client else "") + option
                      for i, p in enumerate(self.paths)]
        self.args = args
        self.h = PortHost(*self.specs, args=args)
        if not self.client:
            self.g = [Guest(p, server=False) for p in self.paths]
        if start:
            for g in self.g:
                g.accept()
                g.start(features, **kw)
            self.h.wait(lambda p: all(x["tx_state"] == "none" and x["n_rxq"] for x in p.values()))

    def drops(self, port="v0"):
        return self.h.port(port)["drops"]

    def close(self, in_use=0):
        for g in self.g:
            g.close()
        assert self.h.quit() == in_use


@pytest.fixture
def pair(tmp_path):
    made = []

    def make(**kw):
        made.append(Pair(tmp_path, **kw))
        return made[-1]

    yield make
    for p in made:
        if p.h.proc.poll() is None:
            p.h.kill()


@pytest.mark.parametrize("kind", ["dpdkvhostuserclient", "dpdkvhostuser"])
@pytest.mark.parametrize("features", [PLAIN | OFFLOADS, F_VERSION_1, F_MRG, 0,
                                      PLAIN | F_EVENT_IDX])
def test_frames_both_ways(pair, kind, features):
    p = pair(kind=kind, features=features)
    for i in range(600):  # twice round the rings
        n = random.choice((60, 61, 200, 1000, 1514))
        src, dst = p.g[i % 2], p.g[1 - i % 2]
        src.send(frame(n, i))
        hdr, got = dst.receive()
        assert got == frame(n, i)
        assert hdr[:10] == bytes(10) and hdr[10:12] in (b"", b"\1\0")
    s = p.h.stats()["ports"]
    assert s["v0"]["rx"] == s["v1"]["tx"] == 300 and s["v0"]["drops"] == {}
    assert f"mode={'client' if p.client else 'server'} status=connected" in s["v0"]["detail"]
    p.close()


@pytest.mark.parametrize("pieces", [1, 7, 12, 13, 100])
def test_chains_of_any_shape(pair, pieces):
    p = pair()
    p.g[0].send(frame(200, pieces), pieces=pieces)
    assert p.g[1].receive()[1] == frame(200, pieces)
    p.close()


def tcp4(payload, mss_flags=0x18):
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), 7, 0x4000, 64, 6, 0,
                     bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    s = sum(struct.unpack(">10H", ip))
    s = ~((s & 0xFFFF) + (s >> 16)) & 0xFFFF
    ip = ip[:10] + struct.pack(">H", s) + ip[12:]
    pseudo = sum(struct.unpack(">4H", ip[12:20])) + 6 + 20 + len(payload)
    while pseudo >> 16:
        pseudo = (pseudo & 0xFFFF) + (pseudo >> 16)
    tcp = struct.pack(">HHIIBBHHH", 1000, 80, 1, 1, 0x50, mss_flags, 1000, pseudo, 0)
    return bytes.fromhex("0200000000020200000000010800") + ip + tcp + payload


def test_large_segments_pass_whole_and_are_cut_where_they_must(pair):
    payload = random.randbytes(60000)
    p = pair()
    gso = dict(flags=1, gso_type=1, hdr_len=54, gso_size=1448, csum_start=34, csum_offset=16)
    p.g[0].send(tcp4(payload), header=p.g[0].header(**gso), pieces=4000)
    hdr, got = p.g[1].receive()
    assert got == tcp4(payload)
    assert struct.unpack("<BBHHHH", hdr[:10]) == (1, 1, 54, 1448, 34, 16)
    # Guest 1 comes back without offloads: the same packet arrives as 42 complete ones.
    p.g[1].hang_up()
    p.g[1].accept()
    p.g[1].start(PLAIN)
    p.h.wait(lambda s: s["v1"]["tx_state"] == "none" and s["v1"]["offloads"] == 0)
    p.g[0].send(tcp4(payload), header=p.g[0].header(**gso), pieces=4000)
    out = b""
    while len(out) < len(payload):
        hdr, got = p.g[1].receive()
        assert hdr[:10] == bytes(10)
        assert len(got) <= 54 + 1448
        out += got[54:]
    assert out == payload
    assert p.h.port("v0")["created"] == 41
    p.close()


def test_queues_come_and_go_at_run_time(pair):
    p = pair(pairs=4)
    assert p.h.port("v0")["n_rxq"] == 4
    for q in range(4):
        p.g[0].send(frame(100, q), pair=q)
    assert sorted(p.g[1].receive()[1][14] for _ in range(4)) == [0, 1, 2, 3]
    for i in range(2, 8):
        p.g[0].enable(i, False)
    p.h.wait(lambda s: s["v0"]["n_rxq"] == 1)
    p.g[0].send(frame(100, 9))
    assert p.g[1].receive()[1] == frame(100, 9)
    p.g[0].enable(5)
    p.h.wait(lambda s: s["v0"]["n_rxq"] == 3)
    p.g[0].send(frame(100, 5), pair=2)
    assert p.g[1].receive()[1] == frame(100, 5)
    # Nobody to receive: the drop says so.
    for i in range(0, 8, 2):
        p.g[1].enable(i, False)
    p.h.wait(lambda s: s["v1"]["tx_state"] == "tx_queue_disabled")
    p.g[0].send(frame(100, 5))
    p.h.wait(lambda s: s["v0"]["drops"].get("tx_queue_disabled") == 1)
    p.close()


def test_stopping_a_ring_returns_its_place_and_it_goes_on_from_there(pair):
    p = pair()
    for i in range(10):
        p.g[0].send(frame(100, i))
        assert p.g[1].receive()
    assert p.g[0].stop_ring(1) == 10
    assert p.g[0].stop_ring(0) == 0
    p.h.wait(lambda s: s["v0"]["tx_state"] == "tx_no_guest")
    for r in p.g[0].rings:
        base = r.avail_idx
        r.avail_idx = 10 if r.index == 1 else 0
        p.g[0].start_ring(r)
        r.avail_idx = base
        p.g[0].enable(r.index)
    p.h.wait(lambda s: s["v0"]["tx_state"] == "none")
    p.g[0].send(frame(100, 77))
    assert p.g[1].receive()[1] == frame(100, 77)
    p.close()


def test_a_sleeping_switch_is_woken(pair):
    for features in (PLAIN, PLAIN | F_EVENT_IDX):
        p = pair(args=("--sleep",), features=features)
        time.sleep(0.3)
        before = p.h.stats()["woken"]
        for i in range(20):
            time.sleep(0.03)
            p.g[0].send(frame(100, i))
            assert p.g[1].receive()[1] == frame(100, i)
        # By the kick and not by the timer, but for packets that came when it was awake.
        assert p.h.stats()["woken"] - before >= 10
        p.close()


def test_reconnects_fast_and_leaks_nothing(pair):
    p = pair()
    fds = len(os.listdir(f"/proc/{p.h.proc.pid}/fd"))
    worst = 0
    for _ in range(50):
        p.g[0].hang_up()
        t = time.monotonic()
        p.g[0].accept()
        worst = max(worst, time.monotonic() - t)
        p.g[0].start(PLAIN)
        p.h.wait(lambda s: s["v0"]["tx_state"] == "none" and s["v0"]["n_rxq"])
        p.g[0].send(frame())
        assert p.g[1].receive()
    print(f"slowest reconnection {worst * 1000:.0f} ms")
    assert worst < 0.15
    assert len(os.listdir(f"/proc/{p.h.proc.pid}/fd")) == fds
    p.close()


def test_a_killed_switch_comes_back_to_its_guests(pair):
    p = pair()
    for _ in range(3):
        p.h.kill()
        for g in p.g:
            g.hang_up()
        p.h = PortHost(*p.specs)
        for g in p.g:
            g.accept(1)
            g.start(PLAIN)
        p.h.wait(lambda s: all(x["tx_state"] == "none" for x in s.values()), 1)
        p.g[0].send(frame())
        assert p.g[1].receive()
    p.close()


def test_rarp_after_migration(pair):
    p = pair()
    p.g[0].message(SEND_RARP, bytes.fromhex("02aabbccddee0000"))
    hdr, got = p.g[1].receive()
    assert got[:14] == bytes.fromhex("ffffffffffff02aabbccddee8035") and len(got) == 60
    p.close()


def test_two_ports_cannot_share_a_socket(pair):
    p = pair(start=False)
    answer = p.h.ask(f"open v9,dpdkvhostuserclient,vhost-server-path={p.paths[0]}")
    assert "another port's" in answer["error"]
    assert "vhost-server-path: missing" in p.h.ask("open v9,dpdkvhostuserclient")["error"]
    assert "not an absolute path" in p.h.ask(
        "open v9,dpdkvhostuserclient,vhost-server-path=x")["error"]
    p.close()


def test_closing_a_port_with_its_guest_connected(pair):
    p = pair()
    for _ in range(5):
        assert p.h.ask("close v0") == {}
        p.g[0].hang_up()
        assert p.h.ask(f"open {p.specs[0]}") == {}
        p.g[0].accept(1)
        p.g[0].start(PLAIN)
        p.h.wait(lambda s: s["v0"]["tx_state"] == "none")
        p.g[0].send(frame())
        assert p.g[1].receive()
    p.close()


# ---- hostile guests ----

def works(p, a=1, b=0):
    """Guest 1 can still send; whatever guest 0 did, the switch lives."""
    before = p.h.port("v1")["rx"]
    p.g[1].send(frame())
    assert p.h.port("v1")["rx"] == before + 1


def recover(p):
    """The same guest, started anew, is served again."""
    p.g[0].hang_up()
    p.g[0].accept()
    p.g[0].start(PLAIN | OFFLOADS)
    p.h.wait(lambda s: s["v0"]["tx_state"] == "none" and s["v0"]["n_rxq"] == 1)
    p.g[0].send(frame(80, 3))
    p.g[1].receive()


def bad_chain(p, *descs, head=0):
    r = p.g[0].rings[1]
    for i, d in enumerate(descs):
        r.set_desc(i, *d)
    before = r.used_now()
    r.make_available(head)
    p.g[0].wait(lambda: r.used_now() != before)


END = GPA + (16 << 20)
BAD_CHAINS = {
    "loop": [(GPA + 0x8000, 16, NEXT, 1), (GPA + 0x8000, 16, NEXT, 0)],
    "self": [(GPA + 0x8000, 1, NEXT, 0)],
    "outside": [(END, 100, 0, 0)],
    "over the end": [(END - 10, 100, 0, 0)],
    "address wraps": [(2**64 - 8, 100, 0, 0)],
    "zero address": [(0, 100, 0, 0)],
    "writable": [(GPA + 0x8000, 100, WRITE, 0)],
    "next out of range": [(GPA + 0x8000, 100, NEXT, 0xFFFF)],
    "empty": [(GPA + 0x8000, 0, 0, 0)],
    "header cut": [(GPA + 0x8000, 11, 0, 0)],
    "too long": [(GPA, 16 << 20, 0, 0)],
    "4 GiB": [(GPA, 0xFFFFFFFF, 0, 0)],
    "indirect outside": [(END, 64, INDIRECT, 0)],
    "indirect odd": [(GPA + 0x8000, 17, INDIRECT, 0)],
    "indirect empty": [(GPA + 0x8000, 0, INDIRECT, 0)],
    "indirect huge": [(GPA, 16 << 20, INDIRECT, 0)],
    "indirect chained": [(GPA + 0x8000, 32, INDIRECT | NEXT, 1)],
}


@pytest.mark.parametrize("name", BAD_CHAINS)
def test_a_malformed_chain_is_dropped_and_counted(pair, name):
    p = pair()
    bad_chain(p, *BAD_CHAINS[name])
    assert p.drops() == {"rx_vhost_bad_chain": 1}
    p.g[0].rings[1].take_used()
    p.g[0].send(frame(100, 1))  # the ring itself is fine
    assert p.g[1].receive()[1] == frame(100, 1)
    works(p)
    p.close()


def test_nested_indirect_tables(pair):
    p = pair()
    g = p.g[0]
    table = 0x700000
    struct.pack_into("<QIHH", g.mem, table, GPA + table, 16, INDIRECT, 0)
    bad_chain(p, (GPA + table, 16, INDIRECT, 0))
    assert p.drops() == {"rx_vhost_bad_chain": 1}
    for i in range(4):  # and a good one
        struct.pack_into("<QIHH", g.mem, table + 16 * i, GPA + table + 4096 + 28 * i, 28,
                         NEXT if i < 3 else 0, i + 1)
    data = g.header() + frame(100, 5)
    g.mem[table + 4096:table + 4096 + len(data)] = data
    bad_chain(p, (GPA + table, 64, INDIRECT, 0))
    assert p.g[1].receive()[1] == frame(100, 5)
    p.close()


def test_runts_and_lying_headers(pair):
    p = pair()
    g = p.g[0]
    g.send(b"x" * 5)
    assert p.drops() == {"rx_truncated": 1}
    lies = [dict(flags=1, csum_start=0xFFFF), dict(flags=1, csum_start=20, csum_offset=0xFFFF),
            dict(flags=1, gso_type=1, gso_size=0, csum_start=34, csum_offset=16),
            dict(flags=1, gso_type=1, gso_size=1, csum_start=34, csum_offset=16),
            dict(flags=1, gso_type=4, gso_size=1000, csum_start=34, csum_offset=16),
            dict(flags=1, gso_type=3, gso_size=1000, csum_start=34, csum_offset=6),
            dict(gso_type=0x55, gso_size=1000)]
    for lie in lies:
        g.send(tcp4(bytes(3000)), header=g.header(**lie))
    assert p.drops() == {"rx_truncated": 1, "rx_vhost_bad_offload": len(lies)}
    works(p)
    p.close()


@pytest.mark.parametrize("what", ["index jumps", "head out of range", "rx index jumps",
                                  "rx buffer outside", "rx buffer readable", "rx loop"])
def test_a_broken_ring_quarantines_the_port(pair, what):
    p = pair()
    tx, rx = p.g[0].rings[1], p.g[0].rings[0]
    if what == "index jumps":
        struct.pack_into("<H", p.g[0].mem, tx.avail + 2, 5000)
    elif what == "head out of range":
        struct.pack_into("<H", p.g[0].mem, tx.avail + 4, 0xFFFF)
        struct.pack_into("<H", p.g[0].mem, tx.avail + 2, 1)
    elif what == "rx index jumps":
        struct.pack_into("<H", p.g[0].mem, rx.avail + 2, 5000)
    elif what == "rx buffer outside":
        for i in range(rx.size):
            rx.set_desc(i, END + 4096, 2048, WRITE)
    elif what == "rx buffer readable":
        for i in range(rx.size):
            rx.set_desc(i, GPA + 0x8000, 2048, 0)
    elif what == "rx loop":
        for i in range(rx.size):
            rx.set_desc(i, GPA + 0x8000, 1, NEXT | WRITE, i)
    if what.startswith("rx"):
        p.g[1].send(frame())
    s = p.h.wait(lambda s: s["v0"]["tx_state"] == "tx_quarantined" and s["v0"]["link"] == 0)
    assert "quarantined=true" in s["v0"]["detail"]
    works(p)
    p.h.wait(lambda s: s["v1"]["drops"].get("tx_quarantined", 0) > 0)
    recover(p)
    p.close()


@pytest.mark.parametrize("when", ["sending", "receiving"])
def test_a_guest_that_truncates_its_memory(pair, when):
    p = pair()
    os.ftruncate(p.g[0].fd, 0)
    if when == "receiving":
        p.g[1].send(frame())
    p.h.wait(lambda s: s["v0"]["tx_state"] == "tx_quarantined")
    works(p)
    p.g[0].hang_up()
    os.close(p.g[0].fd)
    p.g[0].mem = None
    g = p.g[0] = Guest.__new__(Guest)
    new = Guest(p.paths[0])
    p.g[0] = new
    del g
    new.accept()
    new.start(PLAIN)
    p.h.wait(lambda s: s["v0"]["tx_state"] == "none")
    new.send(frame(80, 3))
    p.g[1].receive()
    p.close()


def test_garbage_messages_and_closing_at_any_time(pair):
    p = pair()
    rng = random.Random(7)
    for i in range(60):
        p.g[0].hang_up()
        p.g[0].accept()
        try:
            if i % 3:
                p.g[0].start(PLAIN)
            for _ in range(rng.randrange(6)):
                request = rng.randrange(45)
                p.g[0].message(request, rng.randbytes(rng.choice((0, 8, 12, 40, 200))),
                               fds=[p.g[0].fd] if rng.random() < 0.3 else ())
        except OSError:
            pass
        if i % 10 == 0:
            works(p)
    works(p)
    recover(p)
    p.close()


def test_random_rings_do_no_harm(pair):
    """All of guest 0's ring memory scribbled over while both sides run."""
    p = pair()
    rng = random.Random(11)
    for _ in range(40):
        g = p.g[0]
        for r in g.rings:
            for _ in range(200):
                i = rng.randrange(r.size)
                r.set_desc(i, GPA + rng.choice((0x8000, 0x9001, 0xFFFFFF, 0x1000000, rng.getrandbits(40))),
                           rng.choice((0, 1, 12, 60, 2000, 70000, 0xFFFFFFFF)),
                           rng.choice((0, 1, 2, 3, 4, 6, 0xFFFF)), rng.randrange(2 * r.size))
            r.make_available(*(rng.randrange(r.size) for _ in range(rng.randrange(32))))
        p.g[1].send(frame(rng.choice((60, 1514))))
        if p.h.port("v0")["tx_state"] != "none":
            recover(p)
            while p.g[1].receive(seconds=0.01):
                pass
    works(p)
    p.close()


# ---- DPDK's own driver ----

@pytest.mark.skipif(os.geteuid() != 0, reason="testpmd needs root for hugepages")
@pytest.mark.parametrize("packed", [0, 1])
def test_testpmd_loops_packets_through(tmp_path, packed):
    """32 packets a port go round and round through testpmd and port-host: none is lost."""
    a, b = tmp_path / "a", tmp_path / "b"
    vdevs = [f"--vdev=net_virtio_user{i},path={s},server=1,queues=2,packed_vq={packed}"
             for i, s in enumerate((a, b))]
    log = open(tmp_path / "testpmd.log", "w+")
    pmd = subprocess.Popen(["dpdk-testpmd", "--lcores", "0@1,1@1", "--in-memory",
                            "--single-file-segments", "-m", "128", "--no-pci", *vdevs, "--",
                            "--nb-cores=1", "--total-num-mbufs=8192", "-a", "--tx-first", "--rxq=2",
                            "--txq=2", "--no-lsc-interrupt", "--forward-mode=io",
                            "--stats-period", "1"], stdout=log, stderr=log)
    try:
        option = ",vhost-packed=true" if packed else ""
        h = PortHost(*(f"v{i},dpdkvhostuserclient,vhost-server-path={s}{option}"
                       for i, s in enumerate((a, b))))
        s = h.wait(lambda s: all(p["n_rxq"] == 2 and p["rx"] > 20000 for p in s.values()), 20)
        assert f"features=0x{'5' if packed else '1'}" in s["v0"]["detail"]
        s = h.stats()["ports"]
        assert s["v0"]["drops"] == {} and s["v1"]["drops"] == {}
        pmd.terminate()
        pmd.wait(15)
        h.wait(lambda s: s["v0"]["tx_state"] == "tx_no_guest")
        assert h.quit() == 0
        log.seek(0)
        text = log.read()
        assert "RX-dropped: 0" in text
    finally:
        if pmd.poll() is None:
            pmd.kill()
            pmd.wait()
