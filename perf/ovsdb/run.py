#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""ovsdb-lite beside ovsdb-server, in one run on one machine: transactions/s with 1 and 100 clients,
100 monitors over 10,000 rows, start with a file of 100,000 rows, memory.

    perf/ovsdb/run.py [--bindir build/bin] [--seconds 2] [--rounds 3] [--patience 60] [--json] [--doc FILE]

Rounds alternate between the two servers and the best of each counts: other load on the machine then
hurts both alike. CPU is user and system time of the server process per transaction, which other
load disturbs less than the rate.
"""
import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
from ovsdb_process import Server, create_db  # noqa: E402
from perf_process import Table, cpu_seconds  # noqa: E402


def write_rows(path, n):
    """Appends one record of n Queue rows, as a compacted file has."""
    create_db(path)
    # random uuids: ovsdb-server hashes by their first 32 bits
    r = random.Random(1)
    rows = {str(uuid.UUID(int=r.getrandbits(128), version=4)): {"dscp": i % 64, "external_ids": ["map", [
        ["name", f"queue{i}"], ["owner", "perf"], ["index", str(i)]]]} for i in range(n)}
    text = json.dumps({"Queue": rows, "_date": int(time.time() * 1000)}) + "\n"
    with open(path, "a", encoding="ascii") as f:
        f.write(f"OVSDB JSON {len(text)} {hashlib.sha1(text.encode()).hexdigest()}\n{text}")


def measure(program, args):
    out = {}
    load = os.path.join(args.bindir, "ovsdb-load")
    with tempfile.TemporaryDirectory() as d:
        db = os.path.join(d, "conf.db")

        def fresh(rows):
            if os.path.exists(db):
                os.unlink(db)
            if rows:
                write_rows(db, rows)
            else:
                create_db(db)

        for clients in (1, 100):
            fresh(0)
            with Server(d, [db], program) as s:
                before = cpu_seconds(s.process.pid)
                rate = float(subprocess.run([load, "txn", s.sock, str(clients), str(args.seconds)],
                                            capture_output=True, text=True, check=True).stdout)
                cpu = cpu_seconds(s.process.pid) - before
                out[f"transactions/s, {clients} clients"] = rate
                out[f"CPU us/transaction, {clients} clients"] = cpu / (rate * args.seconds) * 1e6
        fresh(10000)
        with Server(d, [db], program) as s:
            before = cpu_seconds(s.process.pid)
            try:
                initial, update = map(float, subprocess.run(
                    [load, "monitor", s.sock, "100", "50"], capture_output=True, text=True,
                    check=True, timeout=args.patience).stdout.split())
            except subprocess.TimeoutExpired:  # at least that long
                initial, update = args.patience, float("nan")
            out["100 monitors of 10k rows: initial, s"] = initial
            out["100 monitors: ms until all saw a transaction"] = update * 1e3
            out["100 monitors: CPU s in all"] = cpu_seconds(s.process.pid) - before
            out["100 monitors: memory, MB"] = s.rss_kb() / 1024
            if update != update:
                s.kill()
                s.start()
        fresh(100000)
        start = time.monotonic()
        with Server(d, [db], program) as s:
            out["start with 100k rows, s"] = time.monotonic() - start
            out["start with 100k rows: CPU s"] = cpu_seconds(s.process.pid)
            out["memory with 100k rows, MB"] = s.rss_kb() / 1024
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bindir", default=os.path.join(ROOT, "build", "bin"))
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--patience", type=float, default=60, help="seconds for the monitors")
    p.add_argument("--json", action="store_true")
    p.add_argument("--doc", help="file to write the table into, between its markers")
    args = p.parse_args()
    table = Table("ovsdb", "ovsdb-server", "ovsdb-lite")
    for _ in range(args.rounds):
        for i, program in enumerate(("ovsdb-server", os.path.join(args.bindir, "ovsdb-lite"))):
            table.add(i, measure(program, args))
    if args.json:
        print(json.dumps(dict(zip(table.names, table.best)), indent=1))
    else:
        table.show(args.doc)


if __name__ == "__main__":
    main()
