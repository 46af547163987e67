# SPDX-License-Identifier: BSD-3-Clause
"""Packets of established connections, whose look-ups before and after ct() are made in one: where
they come out, what is counted, and that changes of rules, connections, marks and labels reach the
next packet. Frames are sent in bursts, so that most of them find the way of those before."""
import logging

import pytest

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.all import IP, TCP, UDP, Ether  # noqa: E402

from datapath_process import DatapathProcess, wait_until  # noqa: E402
from flowbits import rule  # noqa: E402
from test_capture import Capture  # noqa: E402

C, S = "10.0.0.1", "10.0.0.2"
DELETE = 3
ASK = "table=0,priority=10,ip actions=ct(table=1,zone=5)"
OPEN = "table=1,priority=1,ct_state=+new+trk,ip actions=ct(commit,zone=5),output:3"
FORTH = "table=1,priority=10,ct_state=+est+trk-rpl,ip actions=output:2"
BACK = "table=1,priority=10,ct_state=+est+trk+rpl,ip actions=output:1"
ODD = "table=1,priority=20,ct_state=+inv+trk,ip actions=output:4"


@pytest.fixture
def dp():
    with DatapathProcess("--no-huge") as p:
        dp = p.connect(writer=True)
        dp.process = p
        dp.transaction([("bridge_set", dict(name="br0", open=1))] +
                       [("port_set", dict(name=f"p{i}", type="dummy", bridge="br0", ofport=i))
                        for i in (1, 2, 3, 4, 5)])
        yield dp


def load(dp, *rules):
    dp.transaction([("rule_mod", dict(bridge="br0", command=DELETE, table=255))] +
                   [rule(r) for r in rules])


def frame(l4, back=False):
    ip = IP(src=S, dst=C) if back else IP(src=C, dst=S)
    return bytes(Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / ip / l4)


def udp(sport=1000, back=False, payload=b"x" * 20):
    return frame(UDP(sport=53, dport=sport) / payload if back
                 else UDP(sport=sport, dport=53) / payload, back)


def tcp(flags, seq, ack, back=False, payload=b""):
    ports = dict(sport=80, dport=1000) if back else dict(sport=1000, dport=80)
    return frame(TCP(flags=flags, seq=seq, ack=ack, window=8192, **ports) / payload, back)


def send(dp, port, *frames):
    for f in frames:
        dp.call("dummy_receive", dict(port=f"p{port}", packet=f))


def sent(dp, n, port):
    """What p<port> has sent: n frames and no other port any."""
    got = []

    def enough():
        got.extend(dp.frames_sent(f"p{port}"))
        return len(got) >= n
    wait_until(enough, timeout=5)
    assert len(got) == n
    assert not any(dp.frames_sent(f"p{i}") for i in range(1, 6) if i != port)
    return got


def established(dp, sport=1000):
    send(dp, 1, udp(sport))
    sent(dp, 1, 3)
    for _ in range(2):  # the first finds the way after ct(), the next ones go it
        send(dp, 2, udp(sport, back=True))
        sent(dp, 1, 1)
        send(dp, 1, udp(sport))
        sent(dp, 1, 2)


def packets(dp, text):
    want = rule(text)[1]
    return [r["packets"] for r in dp.dump("rules", bridge="br0", table=want["table"])
            if r["priority"] == want["priority"] and r["actions"] == want["actions"]][0]


def test_order_and_counts(dp):
    load(dp, ASK, OPEN, FORTH, BACK, ODD)
    established(dp)
    frames = [udp(payload=b"%04d" % i * 5) for i in range(200)]
    send(dp, 1, *frames)
    assert sent(dp, 200, 2) == frames
    send(dp, 2, *[udp(back=True)] * 100)
    sent(dp, 100, 1)
    wait_until(lambda: packets(dp, FORTH) == 202 and packets(dp, BACK) == 102)
    assert packets(dp, OPEN) == 1 and packets(dp, ASK) == 305


def test_new_connections_among_established_ones(dp):
    load(dp, ASK, OPEN, FORTH, BACK, ODD)
    established(dp)
    for i in range(20):
        send(dp, 1, *[udp()] * 3, udp(2000 + i), *[udp()] * 3)
    assert len(wait_all(dp, 2, 120)) == 120
    assert len(wait_all(dp, 3, 20)) == 20


def wait_all(dp, port, n):
    got = []

    def enough():
        got.extend(dp.frames_sent(f"p{port}"))
        return len(got) >= n
    wait_until(enough, timeout=5)
    return got


def test_rules_and_connections_that_change(dp):
    load(dp, ASK, OPEN, FORTH, BACK, ODD)
    established(dp)
    dp.transaction([rule("table=1,priority=30,ct_state=+est+trk-rpl,ip actions=output:5")])
    send(dp, 1, *[udp()] * 10)
    sent(dp, 10, 5)
    load(dp, ASK, OPEN, FORTH, BACK, ODD)
    send(dp, 1, *[udp()] * 10)
    sent(dp, 10, 2)
    dp.transaction([("ct_flush", {})])
    send(dp, 1, udp())
    sent(dp, 1, 3)


def test_tcp_follows_states_and_windows(dp):
    load(dp, ASK, OPEN, FORTH, BACK, ODD)
    send(dp, 1, tcp("S", 100, 0))
    sent(dp, 1, 3)
    send(dp, 2, tcp("SA", 500, 101, back=True))
    sent(dp, 1, 1)
    data = [tcp("A", 101, 501)] + [tcp("PA", 101 + 100 * i, 501, payload=b"d" * 100)
                                   for i in range(50)]
    for f in data:
        send(dp, 1, f)
    assert sent(dp, 51, 2) == data
    end = 101 + 100 * 50
    send(dp, 2, *[tcp("A", 501, end, back=True)] * 10)
    sent(dp, 10, 1)
    send(dp, 1, tcp("A", end + 1000000, 501, payload=b"x"))  # far beyond the window
    sent(dp, 1, 4)
    send(dp, 1, tcp("A", end, 501, payload=b"y" * 10))
    sent(dp, 1, 2)
    send(dp, 2, tcp("R", 501, 0, back=True))
    sent(dp, 1, 1)
    send(dp, 1, tcp("S", 9000, 0))  # another connection in the place of the one that was reset
    sent(dp, 1, 3)


@pytest.mark.parametrize("line", ("mark", "label", "original"))
def test_what_the_connection_carries(dp, line):
    """Rules that read the mark, the label or the original tuple tell two connections apart."""
    match = {"mark": "ct_mark=7", "label": "ct_label=7",
             "original": "ct_nw_src=10.0.0.1,ct_tp_src=1000,ct_nw_proto=17"}[line]
    exec_ = "set_field:7->ct_label" if line == "label" else "set_field:7->ct_mark"
    special = f"table=1,priority=30,ct_state=+est+trk,ip,{match} actions=output:5"
    load(dp, ASK, FORTH, BACK, special,
         f"table=1,priority=5,ct_state=+new+trk,udp,tp_src=1000 "
         f"actions=ct(commit,zone=5,exec({exec_})),output:3",
         OPEN)
    for sport in (1000, 1001):
        send(dp, 1, udp(sport))
        sent(dp, 1, 3)
        for _ in range(3):
            send(dp, 2, udp(sport, back=True))
            sent(dp, 1, 5 if sport == 1000 else 1)
    send(dp, 1, *[udp(1000 + i % 2) for i in range(40)])
    wait_until(lambda: packets(dp, special) == 23)
    assert len(wait_all(dp, 5, 20)) == 20 and len(wait_all(dp, 2, 20)) == 20


def test_what_is_new_carries_nothing(dp):
    """No bit of the label of a connection seen just before."""
    ones = "0x" + "f" * 32
    special = "table=1,priority=30,ct_state=+new+trk,ip,ct_label=0 actions=ct(commit,zone=5),output:5"
    load(dp, ASK, FORTH, BACK, special, OPEN,
         "table=1,priority=40,ct_state=+new+trk,udp,tp_src=1000 "
         f"actions=ct(commit,zone=5,exec(set_field:{ones}->ct_label)),output:3")
    for i in range(10):
        send(dp, 1, udp(), udp(2000 + i), udp(3000 + i))
    assert len(wait_all(dp, 3, 10)) == 10 and len(wait_all(dp, 5, 20)) == 20
    wait_until(lambda: packets(dp, special) == 20)
    assert packets(dp, OPEN) == 0


def test_answers_of_the_same_burst(dp):
    """Who opens, opens again and is answered in one burst is told apart, and all keep their order."""
    load(dp, ASK, OPEN, FORTH, BACK, ODD)
    established(dp)
    for i in range(10):
        burst = [udp(2000 + i, payload=b"%02d" % k) for k in range(8)]
        send(dp, 1, *burst)
        assert wait_all(dp, 3, 8) == burst
        send(dp, 2, *[udp(2000 + i, back=True)] * 3)
        sent(dp, 3, 1)
        send(dp, 1, udp(2000 + i), udp(4000 + i), udp(2000 + i))
        assert wait_all(dp, 2, 2) == [udp(2000 + i)] * 2 and wait_all(dp, 3, 1) == [udp(4000 + i)]
    wait_until(lambda: packets(dp, OPEN) == 91)


def test_watched_where_it_leaves(dp):
    """Whoever captures what leaves by a port, and not what arrives, sees the rule behind ct()."""
    load(dp, ASK, OPEN, FORTH.replace("priority=10", "priority=10,cookie=0x77"), BACK)
    established(dp)
    c = Capture(dp, port="p2", directions=2)
    for _ in range(3):
        send(dp, 1, *[udp() for _ in range(20)])
        sent(dp, 20, 2)
    got = c.stop()
    assert len(got) == 60
    assert {(p["table"], p["cookie"], p["packet_verdict"]) for p in got} == {(1, 0x77, "sent")}, got[0]
    assert all(p["residence_ns"] for p in got)


def test_a_drop_behind_ct_names_the_rule_that_dropped(dp):
    """Also when the second look-up's answer is known from a packet before."""
    load(dp, "table=0,cookie=0x11,priority=10,tcp actions=ct(table=1,zone=5)",
         "table=1,cookie=0x22,priority=10,ct_state=+new+trk,tcp actions=drop")
    for n in range(1, 4):
        send(dp, 1, frame(TCP(flags="S", seq=1, sport=1000 + n, dport=80, window=8192)))
        wait_until(lambda: len(dp.dump("dropped")) >= n, timeout=5)
    assert [d.get("cookie") for d in dp.dump("dropped")] == [0x22] * 3
