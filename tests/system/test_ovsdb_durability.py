# SPDX-License-Identifier: BSD-3-Clause
"""What was acknowledged as durable survives: kill -9 under load, a full disk, a torn tail, damage in
the middle, compaction; and ovsdb-tool understands the file, both ways."""
import json
import os
import random
import shutil
import subprocess
import threading
import time

import pytest

from ovsdb_process import FULL, OVSDB_LITE, Connection, Server, create_db


def queue(n, size=10):
    return {"op": "insert", "table": "Queue", "row": {"external_ids": ["map", [
        ["n", str(n)], ["pad", "x" * size]]]}}


def numbers(server):
    c = Connection(server.sock)
    rows = c.transact("Open_vSwitch", {"op": "select", "table": "Queue", "where": [],
                                       "columns": ["_uuid", "external_ids"]})[0]["rows"]
    c.close()
    return sorted(int(dict(r["external_ids"][1])["n"]) for r in rows)


class Writer(threading.Thread):
    """Pairs of rows, each pair one durable transaction; several in flight."""

    def __init__(self, server, first):
        super().__init__(daemon=True)
        self.server, self.n = server, first
        self.acknowledged = []

    def run(self):
        try:
            c = Connection(self.server.sock, timeout=5)
            flight = []
            while True:
                while len(flight) < 4:
                    flight.append((self.n, c.request("transact", [
                        "Open_vSwitch", queue(2 * self.n), queue(2 * self.n + 1, 3000),
                        {"op": "commit", "durable": True}])))
                    self.n += 1
                n, ident = flight.pop(0)
                if not any("error" in r for r in c.reply(ident)["result"]):
                    self.acknowledged.append(n)
        except (OSError, EOFError, json.JSONDecodeError):
            pass


def test_kill_at_random_moments(tmp_path):
    create_db(str(tmp_path / "conf.db"))
    rounds = 200 if FULL else 20
    r = random.Random(5)
    acknowledged, base = set(), 0
    server = Server(tmp_path, [tmp_path / "conf.db"])
    for i in range(rounds):
        writers = [Writer(server, base), Writer(server, base + 100000)]
        base += 200000
        for w in writers:
            w.start()
        time.sleep(r.random() * 0.15)
        if r.random() < 0.2:  # in the middle of a compaction, too
            subprocess.Popen(["ovs-appctl", "-t", server.ctl, "ovsdb-server/compact"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait()
        server.kill()
        for w in writers:
            w.join(10)
            acknowledged.update(w.acknowledged)
        server.start()
        present = numbers(server)
        pairs = {n // 2 for n in present}
        assert len(present) == 2 * len(pairs), f"round {i}: half a transaction is there"
        missing = acknowledged - pairs
        assert not missing, f"round {i}: acknowledged and lost: {sorted(missing)[:10]}"
        if len(present) > 4000:
            c = Connection(server.sock)
            c.transact("Open_vSwitch", {"op": "delete", "table": "Queue", "where": []},
                       {"op": "commit", "durable": True})
            c.close()
            acknowledged = set()
    assert base
    server.stop()


@pytest.fixture
def small_disk(tmp_path):
    d = tmp_path / "disk"
    d.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(d)],
                      check=False).returncode:
        pytest.fail("needs root to mount a small file system")
    yield d
    subprocess.run(["umount", "-l", str(d)], check=True)


def test_disk_full(tmp_path, small_disk):
    create_db(str(small_disk / "conf.db"))
    with Server(tmp_path, [small_disk / "conf.db"]) as s:
        c = Connection(s.sock)
        good = []
        error = None
        for n in range(200):
            result = c.transact("Open_vSwitch", queue(n, 20000), {"op": "commit", "durable": True})
            if len(result) > 2 and "error" in result[2]:
                error = result[2]
                break
            good.append(n)
        assert error and error["error"] == "I/O error", error
        assert numbers(s) == good  # the failed one left no trace in memory either
        assert c.call("echo", [])["result"] == []
        # The file is good as it is, and reading still works.
        copy = tmp_path / "copy.db"
        shutil.copy(small_disk / "conf.db", copy)
        out = subprocess.run(["ovsdb-tool", "show-log", str(copy)], capture_output=True, text=True,
                             check=True)
        assert f"record {len(good)}:" in out.stdout and "error" not in out.stderr.lower()
        # Compaction cannot finish either; nothing is lost.
        s.appctl("ovsdb-server/compact", check=False)
        assert numbers(s) == good
        assert not os.path.exists(small_disk / "conf.db.tmp")
        # Room again: it goes on.
        subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
        assert "error" not in str(c.transact("Open_vSwitch", queue(1000),
                                             {"op": "commit", "durable": True}))
        c.close()
    with Server(tmp_path, [small_disk / "conf.db"]) as s:
        assert numbers(s) == good + [1000]


def fill(path, n):
    with Server(os.path.dirname(path), [path]) as s:
        c = Connection(s.sock)
        for i in range(n):
            c.transact("Open_vSwitch", queue(i))
        c.close()


def test_torn_tail_is_cut_off(tmp_path):
    path = str(tmp_path / "conf.db")
    create_db(path)
    fill(path, 20)
    whole = open(path, "rb").read()
    last = whole.rindex(b"OVSDB JSON")
    for cut in (last + 3, last + 30, last + 70, len(whole) - 1):
        with open(path, "wb") as f:
            f.write(whole[:cut])
        with Server(tmp_path, [path]) as s:
            assert numbers(s) == list(range(19))
            assert "cut off" in open(s.log).read()
            c = Connection(s.sock)
            c.transact("Open_vSwitch", queue(99), {"op": "commit", "durable": True})
            c.close()
        with Server(tmp_path, [path]) as s:
            assert numbers(s) == [*range(19), 99]
        os.truncate(path, 0)
    with open(path, "wb") as f:  # zeros, as a file system may leave behind
        f.write(whole + b"\0" * 500)
    with Server(tmp_path, [path]) as s:
        assert numbers(s) == list(range(20))


def test_damage_elsewhere_refuses_to_start(tmp_path):
    path = str(tmp_path / "conf.db")
    create_db(path)
    fill(path, 20)
    whole = bytearray(open(path, "rb").read())
    middle = whole.index(b'"n","10"')
    whole[middle + 5] = ord("9")
    with open(path, "wb") as f:
        f.write(whole)
    r = subprocess.run([OVSDB_LITE, "--remote=punix:" + str(tmp_path / "s"),
                        "--unixctl=" + str(tmp_path / "c"), path], capture_output=True, text=True,
                       timeout=10)
    assert r.returncode == 1
    assert "offset" in r.stderr and "damaged" in r.stderr, r.stderr
    assert open(path, "rb").read() == bytes(whole)  # untouched
    for text in ("", "hello\n", "OVSDB JSON 5 0000\n{}\n"):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        r = subprocess.run([OVSDB_LITE, "--unixctl=" + str(tmp_path / "c"), path],
                           capture_output=True, text=True, timeout=10)
        assert r.returncode == 1 and r.stderr


def test_one_process_at_a_time(tmp_path):
    path = str(tmp_path / "conf.db")
    create_db(path)
    with Server(tmp_path, [path]):
        for program in (OVSDB_LITE, "ovsdb-server"):
            r = subprocess.run([program, "--unixctl=" + str(tmp_path / "c2"), path],
                               capture_output=True, text=True, timeout=10)
            assert r.returncode == 1 and "lock" in r.stderr, r.stderr


def test_ovsdb_tool_both_ways(tmp_path):
    path = str(tmp_path / "conf.db")
    create_db(path)
    fill(path, 30)
    out = subprocess.run(["ovsdb-tool", "show-log", "-mm", path], capture_output=True, text=True,
                         check=True).stdout
    assert "record 30:" in out and "insert" in out
    assert subprocess.run(["ovsdb-tool", "db-version", path], capture_output=True, text=True,
                          check=True).stdout.strip() == "8.3.1"
    assert subprocess.run(["ovsdb-tool", "query", path, json.dumps(
        ["Open_vSwitch", {"op": "select", "table": "Queue", "where": [], "columns": ["_uuid"]}])],
        capture_output=True, text=True, check=True).stdout.count("uuid") >= 30
    subprocess.run(["ovsdb-tool", "compact", path], check=True)
    with Server(tmp_path, [path]) as s:
        assert numbers(s) == list(range(30))
    subprocess.run(["ovsdb-tool", "transact", path, json.dumps(["Open_vSwitch", queue(30)])],
                   check=True, capture_output=True)
    with Server(tmp_path, [path]) as s:
        assert numbers(s) == list(range(31))
        size = os.path.getsize(path)
        s.appctl("ovsdb-server/compact")
        assert os.path.getsize(path) < size + 1000
        assert numbers(s) == list(range(31))
    with Server(tmp_path, [path], "ovsdb-server") as s:
        assert numbers(s) == list(range(31))


def test_compaction_by_itself(tmp_path):
    path = str(tmp_path / "conf.db")
    create_db(path)
    with Server(tmp_path, [path]) as s:
        c = Connection(s.sock)
        worst = 0
        for i in range(400):
            start = time.monotonic()
            c.transact("Open_vSwitch", queue(0, 100000),
                       {"op": "delete", "table": "Queue", "where": []}, queue(i, 100000))
            worst = max(worst, time.monotonic() - start)
        time.sleep(0.3)
        assert os.path.getsize(path) < 30 << 20, "40 MB were written and nothing was compacted"
        assert worst < 1, f"a transaction waited {worst:.2f} s"
        assert numbers(s) == [399]
        c.close()
    with Server(tmp_path, [path]) as s:
        assert numbers(s) == [399]
