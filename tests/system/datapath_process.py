# SPDX-License-Identifier: BSD-3-Clause
"""Runs sluice-datapath for a test, in a run directory of its own."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

import dpapi

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
BINARY = os.path.join(BUILD, "bin", "sluice-datapath")


def wait_until(what, timeout=10, every=0.01):
    """The first true value of what(); fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not become true"
        time.sleep(every)


class DatapathProcess:
    """with DatapathProcess("--no-huge") as p: dp = p.connect(writer=True) …"""

    def __init__(self, *args, rundir=None, memory="64"):
        self.own_rundir = rundir is None
        self.rundir = rundir or tempfile.mkdtemp(prefix="sluice-test-")
        self.sock = os.path.join(self.rundir, "datapath.sock")
        self.args = [BINARY, "--rundir", self.rundir, "--memory", memory, *args]
        self.proc = None
        self.clients = []

    def start(self, timeout=20):
        self.log = open(os.path.join(self.rundir, "stderr"), "ab")
        self.proc = subprocess.Popen(self.args, stderr=self.log, stdout=self.log)
        end = time.monotonic() + timeout
        while True:
            assert self.proc.poll() is None, self.stderr()
            try:
                dpapi.Datapath(self.sock).close()
                return self
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < end, "not ready: " + self.stderr()
                time.sleep(0.01)

    def stderr(self):
        with open(os.path.join(self.rundir, "stderr"), errors="replace") as f:
            return f.read()

    def connect(self, **kwargs):
        self.clients.append(dpapi.Datapath(self.sock, **kwargs))
        return self.clients[-1]

    def kill(self):
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()

    def stop(self, expect=0):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        if self.proc and expect is not None:
            assert self.proc.returncode == expect, self.stderr()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *exc):
        for c in self.clients:
            c.close()
        try:
            self.stop(expect=0 if kind is None else None)
        finally:
            self.log.close()
            if self.own_rundir and kind is None:
                shutil.rmtree(self.rundir)


def ether(dst, src, payload=b"", ethertype=0x88b5, vlan=None):
    """A frame; addresses are small numbers."""
    tag = b"" if vlan is None else bytes.fromhex("8100") + vlan.to_bytes(2, "big")
    frame = (b"\x02" + dst.to_bytes(5, "big") + b"\x02" + src.to_bytes(5, "big") + tag
             + ethertype.to_bytes(2, "big") + payload)
    return frame + bytes(max(0, 60 - len(frame)))


def flood_bridge(dp, n=2, bridge="br0", **attrs):
    """An open bridge with dummy ports p1 … pn."""
    ops = [("bridge_set", dict(name=bridge, open=1))]
    ops += [("port_set", dict(name=f"p{i + 1}", type="dummy", bridge=bridge, **attrs))
            for i in range(n)]
    return dp.transaction(ops)


def frames(dp, port, n, timeout=5):
    """n frames that the dummy port has sent."""
    got = []

    def enough():
        got.extend(dp.frames_sent(port))
        return len(got) >= n

    wait_until(enough, timeout)
    return got
