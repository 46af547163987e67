# SPDX-License-Identifier: BSD-3-Clause
"""The testpmd scenarios of perf/pktgen against running switches, over vhost-user.

    testpmd txonly / flowgen --S0--> switch --S1--> testpmd rxonly

The switch is Sluice, and testpmd's own vhost ports, so that a failure says whose it is.
"""
import json
import os
import subprocess
import sys
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
sys.path.insert(0, os.path.join(ROOT, "perf"))

from harness import scenarios, switches  # noqa: E402

pytestmark = [
    pytest.mark.skipif(not os.path.exists("/usr/bin/dpdk-testpmd"),
                       reason="dpdk-testpmd is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="testpmd needs root"),
]

BRIDGE = scenarios.Scenario("vhost", "two vhost-user ports", ports=(
    scenarios.Port("v1", type="vhost"), scenarios.Port("v2", type="vhost")))


@pytest.fixture(params=["testpmd", "sluice"])
def switch(request):
    # Short: the path of a Unix socket has at most 107 bytes, and pytest's own are long.
    with tempfile.TemporaryDirectory(prefix="slp-", dir="/tmp") as work:
        settings = switches.Settings(BUILD, work, memory_mb=256, huge=False)
        made = switches.make([request.param], settings)[0]
        why = made.missing()
        if why:
            pytest.skip(why)
        yield made
        made.stop()


@pytest.mark.parametrize("mode", [["txonly"], ["txonly", "--multi-flow"],
                                  ["flowgen", "--flows", "500"]], ids=" ".join)
def test_packets_go_from_guest_to_guest(switch, mode):
    generator = []

    def start_generator(s):
        generator.append(subprocess.Popen(
            ["/usr/bin/python3", os.path.join(ROOT, "perf/pktgen/testpmd"), *mode,
             s.socket("v1"), s.socket("v2"), "--seconds", "1", "--no-huge", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    try:
        switch.start(BRIDGE, 1, before=start_generator)
        out, errors = generator[0].communicate(timeout=60)
        assert generator[0].returncode == 0, errors
    finally:
        for process in generator:
            process.kill()
            process.wait()
    result = json.loads(out)
    # How many is not judged: sender, receiver and switch share two cores with whatever else runs.
    assert 0 < result["received"] <= result["sent"], result


@pytest.mark.parametrize("script", ["vhost.sh", "nic.sh"])
def test_pktgen_commands_are_as_documented(script, tmp_path):
    """With a stand-in for pktgen that prints its arguments: ports on lcores, and the Lua file."""
    fake = tmp_path / "pktgen"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    done = subprocess.run(
        [os.path.join(ROOT, "perf/pktgen", script), "A", "B", "flows.lua"],
        env=dict(os.environ, PKTGEN=str(fake), PKTGEN_HOME=str(tmp_path)), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    line = done.stdout.strip()
    assert line.endswith("perf/pktgen/flows.lua") and " -- -P -T -m " in line
    if script == "vhost.sh":
        assert "net_virtio_user0,path=A,server=1" in line
        assert "net_virtio_user1,path=B,server=1" in line and "-m 1.[0-1]" in line
    else:
        assert "-a A -a B" in line and "-m 2.0,3.1" in line
