# SPDX-License-Identifier: BSD-3-Clause
"""Every micro benchmark runs, and prints what the frame promises. No figure is judged here."""
import glob
import json
import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
PROGRAMS = sorted(glob.glob(os.path.join(BUILD, "bin/micro/*_bench")))


def run(program, *args):
    return subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=120)


def test_there_is_one_program_per_source():
    sources = {os.path.basename(p)[:-2]
               for p in glob.glob(os.path.join(ROOT, "perf/micro/*_bench.c"))}
    assert sources == {os.path.basename(p) for p in PROGRAMS}


@pytest.mark.parametrize("program", PROGRAMS, ids=os.path.basename)
def test_it_runs_and_reports(program):
    done = run(program, "--quick", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results
    for r in results:
        assert r["ns"] > 0 and r["reps"] == 1 and r["name"] and r["module"]


def test_filters_and_bad_options():
    program = os.path.join(BUILD, "bin/micro/hash_bench")
    done = run(program, "--quick", "--json", "--filter", "hash_u64")
    assert [r["name"] for r in json.loads(done.stdout)] == ["hash_u64"]
    assert run(program, "--quick", "--filter", "no such thing").returncode == 1
    assert run(program, "--colour").returncode == 2


def test_distance_between_cores_is_a_plausible_time():
    program = os.path.join(BUILD, "bin/perf-core-distance")
    if os.cpu_count() < 2:
        pytest.skip("needs two cores")
    done = run(program, "0", "1")
    assert done.returncode == 0, done.stderr
    assert 5 < float(done.stdout.split()[0]) < 100_000
    assert run(program, "0", "0").returncode == 2
    assert run(program, "0").returncode == 2
