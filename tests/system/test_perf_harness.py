# SPDX-License-Identifier: BSD-3-Clause
"""perf/run and perf/plot without a switch: selection, statistics, tables, drawings, and that the
Python side of the shared counters agrees with the C header."""
import json
import os
import re
import runpy
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "perf"))

from harness import plot, report, scenarios, shm, stats, switches  # noqa: E402


# ---- scenarios --------------------------------------------------------------------------------

def test_counts_are_read_and_written():
    for text, n in (("1", 1), ("10k", 10_000), ("1M", 1_000_000), ("1500", 1500)):
        assert scenarios.parse_count(text) == n
        assert scenarios.format_count(n) == text


def test_selection_by_scenario_flows_and_group():
    assert [(s.name, f) for s, f in scenarios.select(["l2:1k,1M"])] == [("l2", 1000),
                                                                      ("l2", 1_000_000)]
    both = scenarios.select(["speed", "l2"])
    assert len(both) == len(set((s.name, f) for s, f in both))
    assert ("pipe5", 1_000_000) in [(s.name, f) for s, f in both]


@pytest.mark.parametrize("word,reason", [("l3", "no such scenario"), ("l2:many", "flows are")])
def test_selection_names_the_word_at_fault(word, reason):
    with pytest.raises(ValueError, match=reason):
        scenarios.select([word])


def test_names_are_unique_and_groups_complete():
    names = [s.name for s in scenarios.SCENARIOS]
    assert len(names) == len(set(names))
    for members in scenarios.GROUPS.values():
        assert set(members) <= set(names)


def test_ports_of_scenarios_take_only_known_arguments():
    with open(os.path.join(ROOT, "perf/vdev/bench_args.def")) as f:
        known = set(re.findall(r'ARG\("(\w+)"', f.read()))
    with open(os.path.join(ROOT, "perf/gen/packet_sets.def")) as f:
        sets = set(re.findall(r'PACKET_SET\(\w+, "([\w-]+)"', f.read()))
    for s in scenarios.SCENARIOS:
        for port in s.ports:
            for pair in filter(None, port.args.format(flows=1).split(",")):
                key, _, value = pair.partition("=")
                assert key in known, (s.name, pair)
                if key.endswith("set"):
                    assert value in sets, (s.name, pair)


def test_pipe5_is_five_tables_of_118_rules():
    rules = scenarios.pipe5_rules()
    assert len(rules) == 118
    assert {r.split(",")[0] for r in rules} == {f"table={i}" for i in range(5)}


@pytest.mark.parametrize("scenario", [s for s in scenarios.SCENARIOS if s.rules],
                         ids=lambda s: s.name)
def test_rules_are_what_ovs_ofctl_reads(scenario, tmp_path):
    path = tmp_path / "rules"
    path.write_text("\n".join(scenario.rules) + "\n")
    done = subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "parse-flows", str(path)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


# ---- statistics -------------------------------------------------------------------------------

def test_median_spread_and_pairs():
    assert stats.median([3, 1, 2]) == 2
    assert stats.median([4, 1, 2, 3]) == 2.5
    assert stats.median([]) is None
    assert stats.spread([1, 2, 3]) == 1.0
    assert stats.spread([1]) is None
    assert stats.paired_ratios({0: 10, 1: 30, 2: 5}, {0: 5, 1: 10}) == [2, 3]


def test_numbers_are_printed_to_their_significance():
    assert [stats.significant(v) for v in (None, 0, 123.4, 14.66, 0.494, 0.000621)] == [
        "-", "0", "123", "14.7", "0.49", "0.00062"]


def test_latency_classes_invert_the_header():
    def klass(cycles):  # bench_latency_class() of bench_shm.h
        if cycles < 16:
            return cycles
        e = cycles.bit_length() - 1
        return min((e - 3) * 16 + (cycles >> (e - 4) & 15), shm.LATENCY_CLASSES - 1)
    for cycles in [*range(100), 255, 256, 1000, 2600, 10**6, 2**40 + 12345]:
        assert shm.latency_class_cycles(klass(cycles)) == pytest.approx(cycles, rel=0.04, abs=1)
    counts = [0] * shm.LATENCY_CLASSES
    counts[klass(100)], counts[klass(1000)] = 99, 1
    assert shm.percentile_cycles(counts, 0.5) == pytest.approx(100, rel=0.04)
    assert shm.percentile_cycles(counts, 0.999) == pytest.approx(1000, rel=0.04)
    assert shm.percentile_cycles([0] * 4, 0.5) is None


# ---- the shared file --------------------------------------------------------------------------

PROBE = r"""
#include <stdio.h>
#include "perf/vdev/bench_shm.h"
#define AT(f) printf(#f " %zu\n", offsetof(struct bench_shm, f))
#define RX(f) printf("rx." #f " %zu\n", offsetof(struct bench_rx_counters, f))
#define TX(f) printf("tx." #f " %zu\n", offsetof(struct bench_tx_counters, f))
int main(void)
{
	AT(pid); AT(starts); AT(tsc_hz); AT(rx_queues); AT(opened_tsc); AT(control); AT(rx); AT(tx);
	AT(control.attack_every); AT(control.rate_pps); AT(control.limit_pkts); AT(control.sink_pps);
	printf("size %zu\nmagic %llu\n", sizeof(struct bench_shm), (unsigned long long)BENCH_SHM_MAGIC);
%s	TX(mark_pkts); TX(latency);
	return 0;
}
"""


def test_layout_is_the_headers(tmp_path):
    fields = "".join(f"\tRX({f});\n" for f in shm.RX_FIELDS)
    fields += "".join(f"\tTX({f});\n" for f in shm.TX_FIELDS)
    source = tmp_path / "probe.c"
    source.write_text(PROBE.replace("%s", fields, 1))
    binary = tmp_path / "probe"
    subprocess.run(["cc", "-I", ROOT, "-o", str(binary), str(source)], check=True)
    at = dict(line.split() for line in subprocess.run(
        [str(binary)], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines())
    at = {k: int(v) for k, v in at.items()}
    assert (at["size"], at["magic"]) == (shm.FILE_BYTES, shm.MAGIC)
    assert (at["pid"], at["starts"], at["tsc_hz"], at["rx_queues"], at["opened_tsc"]) == (
        16, 24, 32, 40, 48)
    assert (at["control"], at["rx"], at["tx"]) == (shm.CONTROL_AT, shm.RX_AT, shm.TX_AT)
    assert [at["control." + f] - shm.CONTROL_AT
            for f in ("attack_every", "rate_pps", "limit_pkts", "sink_pps")] == [4, 8, 16, 24]
    assert [at["rx." + f] for f in shm.RX_FIELDS] == [8 * i for i in range(len(shm.RX_FIELDS))]
    assert [at["tx." + f] for f in shm.TX_FIELDS] == [8 * i for i in range(len(shm.TX_FIELDS))]
    assert (at["tx.mark_pkts"], at["tx.latency"]) == (128, shm.LATENCY_AT)


def test_a_port_that_is_not_there_or_not_ready(tmp_path):
    with pytest.raises(shm.NotReady):
        shm.Port("sluice-test-no-such-port")
    name = f"sluice-test-{os.getpid()}-head"
    path = os.path.join("/dev/shm", name)
    try:
        with open(path, "wb") as f:
            f.truncate(shm.FILE_BYTES)
        with pytest.raises(shm.NotReady):
            shm.Port(name)
        with open(path, "r+b") as f:
            f.write(struct.pack("<QI", shm.MAGIC, 999))
        with pytest.raises(RuntimeError, match="999"):
            shm.Port(name)
    finally:
        shm.remove(name)


# ---- tables and drawings ------------------------------------------------------------------------

def record(scenario, flows, switch, n, value, **more):
    return dict({"scenario": scenario, "flows": flows, "switch": switch, "round": n,
                 "value": value, "unit": "Mpps", "cycles": 2600 / value, "lost_cpu": 0.0,
                 "megaflows": 2}, **more)


@pytest.fixture
def run():
    records = []
    for n in range(3):
        for flows in (1, 1000):
            records.append(record("l2", flows, "ovs", n, 10 + n))
            records.append(record("l2", flows, "sluice", n, 2 * (10 + n)))
            records.append(record("l2", flows, "testpmd", n, 100, megaflows=None))
    records.append(record("tse", 1000, "ovs", 0, 0.04, alone_pps=12e6, under_attack_pps=480e3,
                          series=[[0, 12e6], [1, 1e6], [2, 480e3]]))
    records.append({"scenario": "pipe5", "flows": 1000, "switch": "sluice", "round": 0,
                    "failed": "no openflow"})
    return {"command": "perf/run l2", "date": "2030-01-01T00:00", "tsc_ghz": 2.6,
            "versions": {"ovs": "3.1.0"}, "records": records,
            "machine": {"cores": 2, "cpu": "test", "virtual": True, "simd": ["avx2"],
                        "kernel": "6", "hugepages": "0", "load": 0.1}}


def test_table_says_medians_spreads_and_paired_ratios(run):
    header, lines = report.rows(run["records"])
    assert header == ["scenario", "flows", "unit", "ovs", "sluice", "testpmd", "sluice ÷ ovs",
                      "megaflows"]
    assert lines[0][:3] == ["l2", "1", "Mpps"]
    assert lines[0][3] == "11.0 (236), 18%, n=3"
    assert lines[0][6] == "2.00 [2.00–2.00]"
    assert lines[2][0] == "tse" and lines[2][3].startswith("0.04 (12.0 → 0.48 Mpps)")
    assert "pipe5:1k sluice: no openflow" in report.text(run)


def test_document_sections_are_replaced_not_repeated(run, tmp_path):
    path = tmp_path / "performance.md"
    path.write_text("# Performance\n\nHand-written.\n")
    for title in ("One", "Two"):
        report.update_document(path, "speed", report.markdown(run, title))
    report.update_document(path, "other", "x\n")
    text = path.read_text()
    assert text.startswith("# Performance\n\nHand-written.\n")
    assert text.count("<!-- perf:speed begin -->") == 1
    assert "### Two" in text and "### One" not in text and "<!-- perf:other end -->" in text


def test_plots_are_well_formed_and_show_every_switch(run):
    for drawing in (plot.speed(run, "l2"), plot.attack(run, "tse")):
        tree = ElementTree.fromstring(drawing)
        assert tree.tag.endswith("svg")
        words = " ".join(t.text or "" for t in tree.iter() if t.tag.endswith("text"))
        assert "ovs" in words
    assert "sluice" in plot.speed(run, "l2")
    with pytest.raises(ValueError, match="pipe5"):
        plot.speed(run, "pipe5")


def test_show_prints_the_table_of_a_file(run, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run))
    done = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "perf/run"), "--show", str(path)],
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert "11.0 (236), 18%, n=3" in done.stdout


def test_the_command_shown_has_no_paths_of_results():
    program = runpy.run_path(os.path.join(ROOT, "perf/run"))
    assert program["command_line"](["l2", "--json", "/tmp/x", "--rounds", "3", "--doc=/tmp/y"]
                                   ) == "perf/run l2 --rounds 3"


@pytest.mark.parametrize("args,reason", [
    (["nonsense"], "nonsense: no such scenario"),
    (["--switches", "vpp", "l2"], "vpp: no such switch"),
    (["--ovs", "native", "l2"], "native: expected NAME=/path"),
])
def test_bad_command_lines_get_one_clear_error(args, reason):
    done = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "perf/run"), *args],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 2
    assert reason in done.stdout and "Traceback" not in done.stdout


def test_numbers_are_found_in_nested_json():
    assert switches.sum_key({"threads": [{"megaflows": 2}, {"megaflows": 3, "x": {}}]},
                            "megaflows") == 5
    assert switches.sum_key({"a": [1]}, "megaflows") is None
