# SPDX-License-Identifier: BSD-3-Clause
"""A whole switch for a test: sluice-datapath and sluiced in a run directory of their own, and the
commands that people use."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from datapath_process import BUILD, DatapathProcess, wait_until

SLUICE = os.path.join(BUILD, "bin", "sluice")
SLUICED = os.path.join(BUILD, "bin", "sluiced")


class Failed(Exception):
    """A command's exit status was not 0."""

    def __init__(self, result):
        super().__init__(f"{result.args}: {result.returncode}: {result.stdout}{result.stderr}")
        self.code, self.out, self.err = result.returncode, result.stdout, result.stderr


class Switch:
    """with Switch() as sw: sw.vsctl("add-br", "br0") …"""

    def __init__(self, *sluiced_args, datapath=True):
        self.dir = tempfile.mkdtemp(prefix="sluice-test-")
        self.env = dict(os.environ, SLUICE_RUNDIR=self.dir, SLUICE_DBDIR=self.dir,
                        OVS_RUNDIR=self.dir)
        self.args = [SLUICED, "--rundir", self.dir, "--dbdir", self.dir, *sluiced_args]
        self.with_datapath = datapath
        self.datapath = DatapathProcess("--no-huge", rundir=self.dir)
        self.sluiced = None
        self.log = open(os.path.join(self.dir, "sluiced.log"), "ab")

    def __enter__(self):
        if self.with_datapath:
            self.datapath.start()
        self.start_sluiced()
        return self

    def __exit__(self, kind, *exc):
        try:
            self.stop_sluiced(expect=0 if kind is None else None)
        finally:
            self.log.close()
            if self.datapath.proc:
                self.datapath.__exit__(kind, *exc)
            if kind is None:
                shutil.rmtree(self.dir, ignore_errors=True)

    # ---- sluiced ----

    def start_sluiced(self, connected=None):
        self.sluiced = subprocess.Popen(self.args, stderr=self.log, stdout=self.log, env=self.env)
        wait_until(lambda: self.sluiced.poll() is not None or self.answers())
        assert self.sluiced.poll() is None, self.sluiced_log()
        if connected if connected is not None else self.with_datapath:
            wait_until(lambda: self.status()["datapath"])

    def answers(self):
        try:
            return self.rpc("version")
        except Failed:
            return None

    def kill_sluiced(self):
        self.sluiced.send_signal(signal.SIGKILL)
        self.sluiced.wait()

    def stop_sluiced(self, expect=0):
        if self.sluiced and self.sluiced.poll() is None:
            self.sluiced.send_signal(signal.SIGTERM)
            self.sluiced.wait(timeout=20)
            if expect is not None:
                assert self.sluiced.returncode == expect, self.sluiced_log()

    def sluiced_log(self):
        with open(os.path.join(self.dir, "sluiced.log"), errors="replace") as f:
            return f.read()

    # ---- commands ----

    def run(self, *argv, check=True, timeout=30, text=None):
        r = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=timeout,
                           input=text)
        if check and r.returncode:
            raise Failed(r)
        return r

    def vsctl(self, *argv, **kwargs):
        return self.run("ovs-vsctl", "--timeout=10", *argv, **kwargs).stdout.strip()

    def vsctl_all(self, *argv):
        """Output and errors: ovs-vsctl 3.1 exits with 0 when a port has an error."""
        r = self.run("ovs-vsctl", "--timeout=10", *argv)
        return r.stdout + r.stderr

    def get(self, table, row, column):
        return self.vsctl("get", table, row, column)

    def appctl(self, *argv, **kwargs):
        return self.run("ovs-appctl", *argv, **kwargs).stdout

    def rpc(self, method, *params):
        ctl = os.path.join(self.dir, "sluiced.sock")
        return self.run("ovs-appctl", "-t", ctl, method, *params).stdout

    def status(self):
        return json.loads(self.rpc("sluiced/status"))

    def sluice(self, *argv, **kwargs):
        return self.run(SLUICE, *argv, **kwargs).stdout

    def show(self, *argv):
        """A read as JSON: the list in it."""
        return next(iter(json.loads(self.sluice(*argv, "--json")).values()))

    def ports(self):
        return {p["name"]: p for p in self.show("port")}

    def dummies(self, *names, bridge="br0"):
        """A bridge with dummy ports, in one transaction."""
        words = ["--may-exist", "add-br", bridge]
        for n in names:
            words += ["--", "add-port", bridge, n, "--", "set", "Interface", n, "type=dummy"]
        self.vsctl(*words)

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", errors="surrogateescape") as f:
            f.write(text)
        return path


def elapsed_ms(function):
    start = time.monotonic()
    function()
    return (time.monotonic() - start) * 1000
