# SPDX-License-Identifier: BSD-3-Clause
"""perf/run as a user calls it, shortest possible: each switch that is here forwards, gives a figure,
and leaves no process, no counter file and no directory behind. No figure is judged."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
sys.path.insert(0, os.path.join(ROOT, "perf"))

from harness import switches  # noqa: E402

pytestmark = [
    pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "lib/libsluice_bench.so")),
                       reason="libsluice_bench.so is not built (no DPDK driver headers)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

RULES = ["pipe5:1k", "exact:100", "tse:100"]


@pytest.fixture
def tmp_path():
    """Short: the path of a Unix socket has at most 107 bytes, and pytest's own are long."""
    with tempfile.TemporaryDirectory(prefix="slp-", dir="/tmp") as path:
        yield pathlib.Path(path)


def perf_run(tmp_path, switch, *what):
    missing = switches.make([switch], switches.Settings(BUILD, str(tmp_path)))[0].missing()
    if missing:
        pytest.skip(missing)
    results = tmp_path / "results.json"
    process = subprocess.Popen(
        ["/usr/bin/python3", os.path.join(ROOT, "perf/run"), *what, "--switches", switch,
         "--rounds", "1", "--windows", "1", "--window", "0.4", "--longest-warm", "0.5",
         "--memory", "256", "--no-huge", "--build", BUILD, "--json", str(results)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=dict(os.environ, TMPDIR=str(tmp_path)))
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, out + errors
    for where in ("/dev/shm", "/var/run/dpdk"):
        left = [f for f in os.listdir(where) if f.startswith(f"sluice-perf-{process.pid}-")]
        assert not left, (where, left)
    assert not [d for d in os.listdir(tmp_path) if d.startswith("sluice-perf-")]
    marker = f"sluice-perf-{process.pid}-"
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and marker in cmdline(pid)]
    return json.loads(results.read_text())["records"]


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as f:
            return f.read()
    except OSError:
        return ""


@pytest.mark.parametrize("switch", ["testpmd", "ovs", "sluice", "datapath"])
def test_a_learning_bridge_is_measured(tmp_path, switch):
    record, = perf_run(tmp_path, switch, "l2:1k")
    assert record["value"] > 0.01 and record["cycles"] > 0
    assert record["unit"] == "Mpps"


@pytest.mark.parametrize("switch", ["ovs", "sluice"])
def test_rules_and_attacks_are_measured(tmp_path, switch):
    records = perf_run(tmp_path, switch, *RULES)
    assert [r["scenario"] for r in records] == ["pipe5", "exact", "tse"]
    assert all(r["value"] > 0 for r in records)
    assert records[2]["unit"] == "ratio" and len(records[2]["series"]) >= 2


@pytest.mark.parametrize("switch", ["testpmd", "ovs", "sluice"])
def test_start_and_outage_are_measured(tmp_path, switch):
    records = perf_run(tmp_path, switch, "startup", "outage")
    assert [r["scenario"] for r in records] == ["startup", "outage"]
    assert all(10 < r["value"] < 60_000 for r in records)


def test_a_switch_that_dies_is_a_failure_not_a_figure(tmp_path):
    """A testpmd that is killed while it is being measured."""
    from harness import measure, process, scenarios

    class Mortal(switches.Testpmd):
        def megaflows(self):
            self.children[0].process.kill()
            self.children[0].process.wait()

    made = Mortal(switches.Settings(BUILD, str(tmp_path), memory_mb=256, huge=False))
    scenario = scenarios.BY_NAME["l2"]
    with pytest.raises(process.Failed, match="dpdk-testpmd ended with -9"):
        measure.run(made, scenario, 1, measure.Options(0.1, 1, 0.1))
