# SPDX-License-Identifier: BSD-3-Clause
"""The systemd units: what they say is valid, restarts within 50 ms, and their commands do become the daemons."""
import configparser
import glob
import os
import shutil
import subprocess
import tempfile

import pytest

from control_process import SLUICE, wait_until
from datapath_process import ROOT

UNITS = sorted(glob.glob(os.path.join(ROOT, "tools", "systemd", "*.service")))


def unit(path):
    c = configparser.ConfigParser(strict=False)
    c.optionxform = str
    c.read(path)
    return c


@pytest.mark.parametrize("path", UNITS, ids=os.path.basename)
def test_units_are_valid_and_restart_quickly(path):
    service = unit(path)["Service"]
    assert service["Restart"] == "always" and service["RestartSec"].endswith("ms")
    assert int(service["RestartSec"][:-2]) < 50
    assert unit(path)["Unit"]["StartLimitIntervalSec"] == "0"
    if shutil.which("systemd-analyze"):
        r = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)
        wrong = [x for x in r.stderr.splitlines() if "is not executable" not in x and os.path.basename(path) in x]
        assert not wrong, r.stderr


def test_their_commands_become_the_daemons():
    directory = tempfile.mkdtemp(prefix="sluice-test-")
    env = dict(os.environ, SLUICE_RUNDIR=directory, SLUICE_DBDIR=directory)
    running = {}

    def start(path):
        words = unit(path)["Service"]["ExecStart"].split()
        assert words[0] == "/usr/bin/sluice"
        with open(f"{directory}/log", "a") as log:
            return subprocess.Popen([SLUICE, *words[1:], "--no-huge"], env=env, stdout=log, stderr=log)

    def sluice(*argv):
        return subprocess.run([SLUICE, *argv], env=env, capture_output=True, text=True, timeout=30)

    try:
        assert len(UNITS) == 2
        for path in reversed(UNITS):  # either order
            running[path] = start(path)

        def added():  # the first attempt may find the datapath away; the bridge is then made all the same
            r = sluice("bridge", "add", "sdbr")
            return r.returncode == 0 or "exists already" in r.stderr

        def forwards():
            return "sdbr" in sluice("port", "show").stdout

        wait_until(added, 60, 0.1)
        wait_until(forwards, 60, 0.1)
        names = {os.readlink(f"/proc/{p.pid}/exe").rsplit("/", 1)[1] for p in running.values()}
        assert names == {"sluice-datapath", "sluiced"}, "the unit's process is the daemon itself"
        for path in UNITS:
            running[path].kill()
            running[path].wait()
            running[path] = start(path)
            wait_until(forwards, 60, 0.1)
        assert sluice("up", "--exec", "nonsense").returncode == 2
        # sluiced, which was restarted last, may be on its way to its socket.
        wait_until(lambda: sluice("bridge", "del", "sdbr").returncode == 0 or not forwards(), 60, 0.1)
        assert not forwards()
    finally:
        for p in running.values():
            p.terminate()
        for p in running.values():
            assert p.wait(20) == 0
    shutil.rmtree(directory)
