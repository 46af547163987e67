# SPDX-License-Identifier: BSD-3-Clause
"""Flow monitors in their three forms: Debian's ovs-ofctl monitor sees the same changes from Sluice (both processes)
as from Open vSwitch, those of its own connection included, which are abbreviated when it did not ask for them."""
import os
import re
import struct
import subprocess
import tempfile
import time

import pytest

from openflow_pair import normalise, ofctl, pair  # noqa: F401

CHANGES = [
    ("add-flow", "table=1,priority=3,cookie=0x5,tcp,actions=2"),
    ("add-flow", "table=1,priority=3,cookie=0x6,tcp,actions=3"),  # replaces: told as added
    ("mod-flows", "table=1,tcp,actions=1"),
    ("mod-flows", "udp,actions=drop"),
    ("del-flows", "tcp"),
    ("add-flow", "idle_timeout=5,actions=resubmit(,1)"),
    ("del-flows",),
]


def flow_mod(version, command, priority, port):
    """Bytes of a flow mod, for ovs-ofctl's ofctl/send."""
    if version == 1:
        body = struct.pack("!I36xQHHHHIHH", 0x3820FF, 0x77, command, 0, 0, priority, 0xFFFFFFFF, 0xFFFF, 0)
        body += struct.pack("!HHHH", 0, 8, port, 0) if command < 3 else b""
    else:
        body = struct.pack("!QQBBHHHIIIHH", 0x77, 0, 0, command, 0, 0, priority, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
        body += struct.pack("!HH4x", 1, 4)
        body += struct.pack("!HH4xHHIH6x", 4, 24, 0, 16, port, 0) if command < 3 else b""
    return struct.pack("!BBHI", version, 14, 8 + len(body), 0x1000 + command) + body


class Monitor:
    def __init__(self, mgmt, version, *args):
        self.dir = tempfile.TemporaryDirectory(prefix="monitor-")
        self.ctl = f"{self.dir.name}/ctl"
        self.out = open(f"{self.dir.name}/out", "w+")
        self.process = subprocess.Popen(
            ["ovs-ofctl", "-O", version, "--no-names", "monitor", f"unix:{mgmt}", *args, f"--unixctl={self.ctl}"],
            stdout=self.out, stderr=subprocess.STDOUT)
        for _ in range(200):
            if os.path.exists(self.ctl):
                break
            time.sleep(0.02)
        self.barrier()

    def command(self, *words):
        subprocess.run(["ovs-appctl", "-t", self.ctl, *words], check=True, capture_output=True, timeout=10)

    def barrier(self):
        self.command("ofctl/barrier")

    def send(self, data):
        self.command("ofctl/send", data.hex())

    def text(self):
        self.out.seek(0)
        return self.out.read()

    def end(self):
        self.process.kill()
        self.process.wait()
        text = self.text()
        self.out.close()
        self.dir.cleanup()
        return text


def events(text):
    """Only the updates: how many of them share a message is the switch's business, as is the order of rules that
    one command deletes."""
    out, deleted = [], []
    for line in [x for x in normalise(text).splitlines() if "event=" in x] + [""]:
        if "event=DELETED" in line:
            deleted.append(line)
            continue
        out += sorted(deleted) + [re.sub(r"xid=\S+", "xid", line)]
        deleted = []
    out.pop()
    return out


def wait_for(monitor, n, seconds=5):
    end = time.monotonic() + seconds
    while monitor.text().count("event=") < n and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)  # and what must not come


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"])
@pytest.mark.parametrize("watch", ["", "!own", "!initial,!add", "table=1,out_port=2", "!actions,!delete", "tcp"])
def test_updates(pair, version, watch):
    seen = []
    for s in reversed(pair):  # Open vSwitch tells before it answers a barrier, so its count is whole
        ofctl(s.mgmt, "OpenFlow13", "del-flows")
        ofctl(s.mgmt, "OpenFlow13", "add-flow", "table=7,actions=1")
        m = Monitor(s.mgmt, version, "65534", f"watch:{watch}")
        for change in CHANGES:
            assert ofctl(s.mgmt, version, *change)[0] == 0
            m.barrier()
        number = int(version[-1]) + 1
        for command, port in ((0, 2), (0, 3), (1, 1), (3, 0)):
            m.send(flow_mod(number, command, 9, port))
            m.barrier()
        wait_for(m, len(seen[0]) if seen else 0)
        seen.append(events(m.end()))
    assert seen[0] == seen[1]
    if watch == "!own":
        assert [e.split()[0] for e in seen[0]][-4:] == ["event=ABBREV"] * 4
    elif not watch:
        assert not any("ABBREV" in e for e in seen[0])


def test_one_abbreviation_for_a_message_of_many_changes(pair):
    seen = []
    for s in reversed(pair):  # Open vSwitch tells before it answers a barrier, so its count is whole
        ofctl(s.mgmt, "OpenFlow13", "del-flows")
        m = Monitor(s.mgmt, "OpenFlow14", "65534", "watch:!own")
        for i in range(20):
            ofctl(s.mgmt, "OpenFlow13", "add-flow", f"priority={i},actions=1")
        m.send(flow_mod(5, 3, 0, 0))
        m.barrier()
        wait_for(m, 21)
        seen.append(events(m.end()))
    assert seen[0] == seen[1]
    assert sum("ABBREV" in e for e in seen[0]) == 1 and len(seen[0]) == 21
