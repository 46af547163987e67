# SPDX-License-Identifier: BSD-3-Clause
"""Every command of commands.def with arguments, files and outputs that cannot be: one error, status 2 (of commands that
configure or show configuration, when the name or file is wrong: 1), nothing changed, no crash, no endless wait; and the
daemons live on."""
import os
import re
import struct
import subprocess

import pytest

from control_process import SLUICE, Switch
from datapath_process import ROOT

NOWHERE = "/nonexistent/file"
ENDLESS = "/dev/zero"


def commands():
    """[words, arguments, [(option, has an argument)]] by row of the table"""
    rows = []
    with open(os.path.join(ROOT, "tools/ctl/commands.def")) as f:
        for line in f:
            if m := re.match(r'COMMAND\(\w+, "(\w+)", "(\w*)", "([^"]*)"', line):
                rows.append(([w for w in m.group(1, 2) if w], m[3].split(), []))
            elif m := re.match(r'OPTION\("([\w-]+)", "([^"]*)"', line):
                rows[-1][2].append((("--" if len(m[1]) > 1 else "-") + m[1], bool(m[2])))
    return rows


@pytest.fixture(scope="module")
def sw():
    with Switch("--enable-dummy") as switch:
        switch.dummies("p1", "p2")
        yield switch


def sluice(sw, *argv, **kwargs):
    return subprocess.run([SLUICE, *argv], env=sw.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=20, **dict(dict(stdout=subprocess.PIPE), **kwargs))


def refused(sw, *argv, codes=(2,), **kwargs):
    r = sluice(sw, *argv, **kwargs)
    lines = [x for x in r.stderr.splitlines() if x.startswith("error: ")]
    assert r.returncode in codes and len(lines) == 1 and len(lines[0]) > len("error: ") + 3, r
    return lines[0]


def state(sw):
    return [sluice(sw, *words).stdout for words in (
        ["export"], ["flow", "dump", "br0", "--no-stats"], ["policy", "show", "--json"], ["log", "show", "--json"])]


def test_arguments(sw):
    before, n = state(sw), 0
    for words, args, options in commands():
        required = [a for a in args if not a.startswith("[")]
        if required:
            refused(sw, *words)
        if not any("..." in a for a in args):
            refused(sw, *words, *["x"] * (len(args) + 1))
        refused(sw, *words, "--nonsense")
        for option, has_value in options[:1]:
            refused(sw, *words, *([option] if has_value else [option + "=x"]))
        n += 1
    refused(sw, "nonsense")
    refused(sw, "port", "nonsense", "x", "y")
    assert n > 70 and state(sw) == before


@pytest.mark.parametrize("words", [["drops"], ["drops", "--last"], ["trace", "br0", "in_port=p1"], ["capture", "-p"],
                                   ["trace", "--live", "--port"], ["port", "show"], ["cache", "show", "--port"]])
def test_names_that_nobody_has(sw, words):
    if words == ["drops", "--last"]:
        words = words + ["--port"]
    if words[0] == "trace" and "--live" not in words:
        assert "nowhere" in refused(sw, "trace", "nowhere", "in_port=1") and refused(sw, *words[:2], "in_port=nobody")
        return
    for name in ("nobody", "%s%n", "x" * 3000):
        assert name[:50] in refused(sw, *words, name, codes=(1,) if "show" in words else (2,))


def test_filters(sw):
    for text in ("host", "tcp port x", "((", "ip and", "vlan 99999", "ether[99999999999]"):
        assert "--filter" in refused(sw, "capture", "--filter", text)
        assert "--filter" in refused(sw, "trace", "--live", "--filter", text)


def written(path, data):
    path.write_bytes(data)
    return str(path)


def test_files(sw, tmp_path):
    before = state(sw)
    for words in (["apply"], ["flow", "replace", "br0"], ["flow", "diff", "br0"], ["flow", "restore", "br0"],
                  ["policy", "apply"], ["policy", "diff"], ["policy", "test"], ["why"], ["replay"],
                  ["trace", "br0", "--port", "p1", "--pcap"]):
        configures = words[0] in ("policy", "apply")
        for path in (NOWHERE, ENDLESS, str(tmp_path), written(tmp_path / "zeros", bytes(5000)),
                     written(tmp_path / "nested", b"[" * 100000)):
            refused(sw, *words, path, codes=(1,) if configures else (1, 2) if path.endswith("nested") else (2,))
    for words in (["capture", "-w"], ["record", "--for", "1s", "-w"]):
        for path in (NOWHERE, str(tmp_path), "/bin/true/x"):
            assert path in refused(sw, *words, path)
    assert state(sw) == before and not sw.datapath.proc.poll() and not sw.sluiced.poll()


FRAME = bytes.fromhex("020000000002020000000001" "88b5") + bytes(46)


def captures():
    """name, bytes, is it good"""
    def record(order, included, original, data):
        return struct.pack(order + "IIII", 1000, 5, included, original) + data

    def header(order="<", magic=0xa1b2c3d4, snap=65535, link=1, major=2):
        return struct.pack(order + "IHHiIII", magic, major, 4, 0, 0, snap, link)
    whole = record("<", 60, 60, FRAME)
    for order in "<>":
        for magic in (0xa1b2c3d4, 0xa1b23c4d):
            h, one = header(order, magic), record(order, 60, 60, FRAME)
            yield f"{order}{magic:x}", h + one, True
            for cut in (1, 23, 30, 99):
                yield f"{order}{magic:x} cut {cut}", (h + one)[:cut], False
    yield "no bytes", b"", False
    yield "snaplen 0", header(snap=0) + whole, True
    yield "huge packet", header(snap=0x7fffffff) + record("<", 0x40000000, 0x40000000, FRAME), False
    yield "empty packet", header() + record("<", 0, 0, b""), False
    yield "13 bytes", header() + record("<", 13, 13, FRAME[:13]), False
    yield "version", header(major=9) + whole, False
    for link in (0, 101, 113, 127, 999):
        yield f"link type {link}", header(link=link) + whole, False
    shb = struct.pack("<IIIHHqI", 0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0, -1, 28)
    idb = struct.pack("<IIHHII", 1, 20, 1, 0, 65535, 20)
    epb = struct.pack("<IIIIIII", 6, 92, 0, 0, 1000, 60, 60) + FRAME + struct.pack("<I", 92)
    yield "pcapng", shb + idb + epb, True
    yield "pcapng without an interface", shb + epb, False
    yield "pcapng cut", (shb + idb + epb)[:100], False
    yield "pcapng block too long", shb + idb + struct.pack("<II", 6, 0xfffffff0) + epb[8:], False


def test_capture_files(sw, tmp_path):
    for name, data, good in captures():
        path = written(tmp_path / "p", data)
        if good:
            assert sluice(sw, "why", path).returncode == 0, name
        else:
            refused(sw, "why", path)


def test_outputs_that_take_nothing(sw):
    for words in (["status"], ["export"], ["drops", "--all"], ["flow", "dump", "br0"], ["port", "show", "--json"],
                  ["events"], ["completion"], ["man"], ["drops", "--watch", "--interval", "0.01"]):
        with open("/dev/full", "w") as f:
            assert "standard output" in refused(sw, *words, stdout=f)
        read, write = os.pipe()
        os.close(read)
        r = sluice(sw, *words, stdout=write)  # as when head has seen enough
        os.close(write)
        assert r.returncode in (0, -13) and not r.stderr, r


def test_daemons_that_are_not_there(sw, tmp_path):
    for words, args, _ in commands():
        if words[0] in ("up", "down", "attach", "detach", "completion", "man", "doctor", "replay", "status"):
            continue
        if words in (["record"], ["policy", "grant"], ["policy", "audit"]) or "FILE" in args:
            continue
        if words == ["policy", "check"]:
            args = ["--from", "host", "--to", "outside"]
        r = sluice(sw, "--rundir", str(tmp_path), "--dbdir", str(tmp_path), *words, *["x" for a in args if a.isupper()],
                   *[a for a in args if a.startswith("--") or a.islower()])
        assert r.returncode in (1, 2) and r.stderr.count("error: ") == 1, r
