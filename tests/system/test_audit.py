# SPDX-License-Identifier: BSD-3-Clause
"""The cache audit: bits flipped in cached entries on purpose are found, told and repaired; traffic
over changing rules raises nothing."""
import time

import pytest
from datapath_process import DatapathProcess, ether, frames, wait_until
from dpapi import ApiError, EVENTS
from flowbits import rule
from test_capture import send

PROGRAM, OUT_PORT, MASK, KEY = range(4)


@pytest.fixture
def dp(monkeypatch):
    monkeypatch.setenv("SLUICE_FAULTS", "1")
    with DatapathProcess("--no-huge") as p:
        c = p.connect(writer=True)
        c.transaction([("bridge_set", dict(name="br0", open=1))] + [
            ("port_set", dict(name=f"p{i}", type="dummy", bridge="br0", ofport=i))
            for i in (1, 2, 3)])
        c.transaction([rule("priority=1,in_port=1,dl_dst=02:00:00:00:00:02 actions=output:2")])
        c.process = p
        yield c


def counts(dp):
    a = dp.call("audit")
    return a["audit_checked"], a["audit_different"]


def test_default_is_on(dp):
    assert dp.call("audit")["audit_sample"] == 16384
    assert dp.call("audit", dict(audit_sample=5))["audit_sample"] == 5


@pytest.mark.parametrize("what, bit", [
    (PROGRAM, 0), (PROGRAM, 3), (PROGRAM, 10), (OUT_PORT, 0), (OUT_PORT, 7), (OUT_PORT, 10),
    (MASK, 8 * 8), (MASK, 8 * 13 + 3), (MASK, 8 * 40 + 1), (KEY, 8 * 8 + 1), (KEY, 8 * 13 + 7)])
def test_flipped_bits_are_found(dp, what, bit):
    f = ether(2, 1)
    dp.call("audit", dict(audit_sample=1))
    dp.call("subscribe", dict(event_mask=1 << EVENTS["audit"]))
    for _ in range(3):
        send(dp, "p1", f)
    frames(dp, "p2", 3)
    assert counts(dp)[1] == 0
    dp.call("audit", dict(fault=what << 16 | bit))
    end = time.monotonic() + 10
    while not dp.events and time.monotonic() < end:
        send(dp, "p1", f)
        time.sleep(0.01)
        counts(dp)  # reads events too
    e = dp.events.pop()
    assert e["event"] == EVENTS["audit"] and e["port"] == "p1"
    assert e["resolved_text"] and e["cached_text"]
    assert counts(dp)[1] == 1
    with open(dp.process.rundir + "/stderr") as log:
        assert "where the tables say" in log.read()
    # What follows is right again.
    time.sleep(0.05)
    dp.frames_sent("p2"), dp.frames_sent("p3")
    for _ in range(20):
        send(dp, "p1", f)
    frames(dp, "p2", 20)
    time.sleep(0.1)
    assert counts(dp)[1] == 1 and dp.frames_sent("p3") == []


def test_changing_rules_raise_nothing(dp):
    dp.call("audit", dict(audit_sample=1))
    for i in range(150):
        dp.transaction([rule(f"priority={2 + i % 7},in_port=1,dl_src=02:00:00:00:00:0{i % 9} "
                             f"actions=output:{2 + i % 2},normal")])
        for k in range(4):
            send(dp, "p1", ether(2 + k % 2, i % 9))
            send(dp, "p2", ether(1, 2 + k))
    wait_until(lambda: counts(dp)[0] > 100)
    time.sleep(0.1)
    assert counts(dp)[1] == 0


def test_faults_only_in_tests():
    with DatapathProcess("--no-huge") as p:
        with pytest.raises(ApiError, match="only where SLUICE_FAULTS"):
            p.connect(writer=True).call("audit", dict(fault=1))
