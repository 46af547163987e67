# SPDX-License-Identifier: BSD-3-Clause
"""sluiced is killed under a stream in which new MAC addresses keep arriving: nothing is lost.

    netns control-s ── veth ── br0 ── veth ── netns control-r
"""
import ctypes
import os
import random
import socket
import subprocess
import threading
import time

import pytest

from control_process import Switch, wait_until
from datapath_process import ether

KILLS = 20 if os.environ.get("SLUICE_FULL") else 5
PPS = 1000  # far below what the ports take


class Space:
    """A raw socket inside a network namespace."""

    def __init__(self, name):
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)

    def open(self):
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        inside = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        libc = ctypes.CDLL(None)
        assert libc.setns(inside, 0) == 0
        try:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
            self.sock.bind(("eth0", 0x88B5))
        finally:
            assert libc.setns(own, 0) == 0
            os.close(own)
            os.close(inside)

    def delete(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False)


@pytest.fixture
def spaces():
    made = [Space("control-s"), Space("control-r")]
    yield made
    for s in made:
        s.delete()


def stream(sock, stop, sent):
    """Numbered frames; every 50th comes from an address that was never seen."""
    n, start = 0, time.monotonic()
    while not stop.is_set():
        source = 1 if n % 50 else 1000 + n
        sock.send(ether(2, source, n.to_bytes(4, "big")))
        n += 1
        sent[0] = n
        pause = start + n / PPS - time.monotonic()
        if pause > 0:
            time.sleep(pause)


def received(sock):
    numbers = []
    sock.settimeout(0.5)
    try:
        while True:
            numbers.append(int.from_bytes(sock.recv(2048)[14:18], "big"))
    except TimeoutError:
        return numbers


def test_killing_sluiced_loses_no_packet(spaces):
    rng = random.Random(1)
    with Switch() as sw:
        sw.sluice("bridge", "add", "br-control", "policy=false")  # frames of any type
        for s in spaces:
            sw.sluice("attach", "br-control", s.name)
            s.open()
        try:
            # Packets of the attaching itself are over.
            spaces[1].sock.send(ether(1, 2))
            wait_until(lambda: any(m["mac"] == "02:00:00:00:00:02" for m in sw.show("mac")))
            received(spaces[1].sock)
            stop, sent = threading.Event(), [0]
            sender = threading.Thread(target=stream, args=(spaces[0].sock, stop, sent))
            sender.start()
            for _ in range(KILLS):
                time.sleep(rng.uniform(0.05, 0.3))
                sw.kill_sluiced()
                time.sleep(rng.uniform(0.05, 0.2))
                sw.start_sluiced()
                assert sw.status()["transactions"] == 0
            stop.set()
            sender.join()
            numbers = received(spaces[1].sock)
            assert len(numbers) == sent[0], (len(numbers), sent[0], sw.show("drops"))
            assert sorted(numbers) == list(range(sent[0]))
            learnt = {m["mac"] for m in sw.show("mac")}
            last = (sent[0] - 1) // 50 * 50
            assert "02:" + (1000 + last).to_bytes(5, "big").hex(":") in learnt
        finally:
            for s in spaces:
                sw.sluice("detach", s.name)
