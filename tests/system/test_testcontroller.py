# SPDX-License-Identifier: BSD-3-Clause
"""Open vSwitch's own little controller, in each of its modes and OpenFlow versions, switches for two containers on a bridge
that stays closed without it. It installs no table-miss rule: in OpenFlow 1.0 what no rule matches comes by itself."""
import os
import shutil
import subprocess

import pytest

from control_process import Switch
from datapath_process import wait_until

CONTROLLER = shutil.which("ovs-testcontroller", path="/usr/sbin:/usr/bin:/sbin:/bin")
TAG = f"tc{os.getpid() % 100000}"


@pytest.fixture(scope="module")
def sw():
    with Switch() as switch:
        switch.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "fail-mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow15")
        try:
            for n in (1, 2):
                switch.vsctl("add-port", "br0", f"{TAG}{n}", "--", "set", "Interface", f"{TAG}{n}", "type=internal")
                subprocess.run(f"ip netns add {TAG}{n} && ip link set {TAG}{n} netns {TAG}{n} && "
                               f"ip -n {TAG}{n} addr add 10.55.0.{n}/24 dev {TAG}{n} && ip -n {TAG}{n} link set {TAG}{n} up",
                               shell=True, check=True)
            yield switch
        finally:
            for n in (1, 2):
                subprocess.run(["ip", "netns", "del", f"{TAG}{n}"])


def pings(count, wait=2):
    subprocess.run(["ip", "-n", f"{TAG}1", "neigh", "flush", "all"])
    r = subprocess.run(["ip", "netns", "exec", f"{TAG}1", "ping", "-q", "-c", str(count), "-i", "0.2", "-W", str(wait), "10.55.0.2"],
                       capture_output=True, text=True)
    return f" {count} received" in r.stdout


@pytest.mark.skipif(not CONTROLLER, reason="openvswitch-testcontroller is not installed")
@pytest.mark.parametrize("version, mode", [(v, m) for v in ("OpenFlow10", "OpenFlow13", "OpenFlow15")
                                           for m in ((), ("--hub",), ("--noflow",), ("--normal",), ("--wildcards",))
                                           if v == "OpenFlow10" or not m],
                         ids=lambda x: x if isinstance(x, str) else "".join(x)[2:] or "learn")
def test_it_switches(sw, version, mode):
    sw.run("ovs-ofctl", "-O", version, "del-flows", "br0")
    assert not pings(1, 0.5), "closed without a controller"
    sock = f"{sw.dir}/controller.sock"
    controller = subprocess.Popen([CONTROLLER, f"punix:{sock}", "-O", version, f"--unixctl={sw.dir}/tc.ctl", "-vconsole:off", *mode],
                                  env=sw.env, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(sock))
        sw.vsctl("set-controller", "br0", f"unix:{sock}", "--", "set", "controller", "br0", "max-backoff=1000")
        wait_until(lambda: sw.vsctl("get", "controller", "br0", "is_connected") == "true", 10)
        assert pings(3)
        rules = sw.run("ovs-ofctl", "-O", version, "dump-flows", "br0").stdout
        learned = [r for r in rules.splitlines() if "priority=0" not in r and "actions=" in r]
        assert bool(learned) == (mode != ("--noflow",)), rules
    finally:
        sw.vsctl("del-controller", "br0")
        controller.terminate()
        controller.wait(10)
        if os.path.exists(sock):
            os.unlink(sock)
