# SPDX-License-Identifier: BSD-3-Clause
"""Our OpenFlow switch (openflow-host, tables in memory) and Open vSwitch with dummy ports, side by side, for
tests that give both the same ovs-ofctl commands. Private run directories; nothing of the system is touched."""
import concurrent.futures
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import time

import pytest

BIN = pathlib.Path(os.environ.get("SLUICE_BUILD", pathlib.Path(__file__).parents[2] / "build")).absolute() / "bin"
VERSIONS = ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"]


def normalise(text):
    """Without what differs by nature: times, counters, transaction ids, paths."""
    for pattern, by in (
        (r"duration[=:][0-9.]+s", "duration=X"),
        (r"(idle|hard)_age=\d+, ?", ""),
        (r"xid=0x[0-9a-f]+", "xid=X"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z\|\d+\|", ""),
        (r"unix:\S+mgmt", "SOCKET"),
        (r"addr:\S+", "addr"),
        (r"dpid:\S+", "dpid"),
    ):
        text = re.sub(pattern, by, text)
    return text


def ofctl(socket, version, command, *args, options=(), stdin=None):
    cmd = ["timeout", "15", "ovs-ofctl", "--no-names", "-O", version, *options, command, f"unix:{socket}", *args]
    r = subprocess.run(cmd, capture_output=True, text=True, input=stdin)
    return r.returncode, normalise(r.stdout), normalise(r.stderr)


class Host:
    """openflow-host in a directory of its own."""

    def __init__(self, *controllers):
        self.dir = tempfile.TemporaryDirectory(prefix="openflow-")
        self.mgmt = f"{self.dir.name}/br0.mgmt"
        self.snoop = f"{self.dir.name}/br0.snoop"
        self.process = subprocess.Popen([BIN / "openflow-host", self.dir.name, *controllers],
                                        stdout=subprocess.PIPE, stderr=open(f"{self.dir.name}/log", "w"), text=True)
        assert self.process.stdout.readline() == "ready\n"

    def log(self):
        return open(f"{self.dir.name}/log").read()

    def stop(self):
        self.process.terminate()
        status = self.process.wait(10)
        log = self.log()
        self.dir.cleanup()
        assert status == 0, log


class Ovs:
    """ovs-vswitchd --enable-dummy with bridge br0 and ports p1, p2, p3."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="openflow-ovs-")
        d = self.dir.name
        self.mgmt = f"{d}/br0.mgmt"
        env = dict(os.environ, OVS_RUNDIR=d, OVS_LOGDIR=d, OVS_DBDIR=d)
        run = lambda *a: subprocess.run(a, env=env, check=True, capture_output=True, timeout=30)
        run("ovsdb-tool", "create", f"{d}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        self.processes = []
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env}
        self.processes.append(subprocess.Popen(
            ["ovsdb-server", f"{d}/conf.db", f"--remote=punix:{d}/db.sock", f"--unixctl={d}/db.ctl"], **quiet))
        self.wait_for(f"{d}/db.sock")
        vsctl = self.vsctl = lambda *a: run("ovs-vsctl", f"--db=unix:{d}/db.sock", *a)
        vsctl("--no-wait", "init")
        self.processes.append(subprocess.Popen(
            ["ovs-vswitchd", f"unix:{d}/db.sock", "--enable-dummy=override", "--disable-system",
             f"--unixctl={d}/vswitchd.ctl"], **quiet))
        vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure",
              "protocols=" + ",".join(VERSIONS))
        for i in (1, 2, 3):
            vsctl("add-port", "br0", f"p{i}", "--", "set", "interface", f"p{i}", "type=dummy", f"ofport_request={i}",
                  f"options:tx_pcap={d}/p{i}.pcap")
        self.wait_for(self.mgmt)
        self.seen = {}  # port: bytes of its file that have been looked at

    def appctl(self, *args):
        r = subprocess.run(["ovs-appctl", "-t", f"{self.dir.name}/vswitchd.ctl", *args], capture_output=True, text=True,
                           check=True, timeout=30)
        return r.stdout

    def frames(self):
        """What the ports have sent since the last call, as [(port, hex)]."""
        out = []
        for i in (1, 2, 3):
            with open(f"{self.dir.name}/p{i}.pcap", "rb") as f:
                f.seek(self.seen.setdefault(i, 24))  # behind the file's header
                data = f.read()
            while len(data) >= 16 and len(data) >= 16 + struct.unpack_from("<I", data, 8)[0]:
                n = 16 + struct.unpack_from("<I", data, 8)[0]
                out.append((i, data[16:n].hex()))
                data = data[n:]
                self.seen[i] += n
        return out

    @staticmethod
    def wait_for(path):
        for _ in range(200):
            if os.path.exists(path):
                return
            time.sleep(0.05)
        raise TimeoutError(path)

    def stop(self):
        for p in reversed(self.processes):
            p.terminate()
            p.wait(10)
        self.dir.cleanup()


class Sluice:
    """Both processes of ours, with the bridge and ports of Ovs; use as a context."""

    def __init__(self):
        from control_process import Switch
        self.switch = Switch("--enable-dummy=system")

    def __enter__(self):
        s = self.switch.__enter__()
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", "protocols=" + ",".join(VERSIONS)]
        for i in (1, 2, 3):
            words += ["--", "add-port", "br0", f"p{i}", "--", "set", "interface", f"p{i}", "type=dummy",
                      f"ofport_request={i}"]
        s.vsctl(*words)
        self.mgmt = f"{s.dir}/br0.mgmt"
        self.appctl = s.appctl
        self.client = s.datapath.connect()
        return self

    def frames(self):
        return [(i, f.hex()) for i in (1, 2, 3) for f in self.client.frames_sent(f"p{i}")]

    def __exit__(self, *exc):
        self.switch.__exit__(*exc)


_both = concurrent.futures.ThreadPoolExecutor(2)


def ofctl_both(pair, version, *command, **kw):
    """The same command to both switches at the same time: [ours, theirs]."""
    return list(_both.map(lambda s: ofctl(s.mgmt, version, *command, **kw), pair))


@pytest.fixture(scope="module")
def pair():
    """Both switches, for the tests that import this."""
    with Sluice() as ours:
        theirs = Ovs()
        yield ours, theirs
        theirs.stop()
