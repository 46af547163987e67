# SPDX-License-Identifier: BSD-3-Clause
"""A rate of the policy is bandwidth that TCP can use: what is over it waits its turn, and only what
cannot wait is dropped. Two containers on a policed bridge, one TCP connection."""
import subprocess
import time

import pytest
from control_process import Switch

SEND = """
import socket, sys, time
s = socket.create_connection(("10.9.0.2", 8000)); end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end: s.send(bytes(65536))
"""
RECEIVE = """
import socket, time
s = socket.create_server(("0.0.0.0", 8000)); print("ready", flush=True)
c, _ = s.accept(); n = 0; since = time.monotonic()
while d := c.recv(1 << 20): n += len(d)
print(n, time.monotonic() - since, flush=True)
"""
POLICY = """
networks: {n: {cidrs: [10.9.0.0/24]}}
endpoints:
  a: {port: rt1, network: n, macs: ["02:00:00:00:09:01"], addresses: [10.9.0.1], limits: {rateOut: %s}}
  b: {port: rt2, network: n, macs: ["02:00:00:00:09:02"], addresses: [10.9.0.2]}
"""


def sh(command, check=True):
    r = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30)
    assert not check or not r.returncode, f"{command}: {r.stdout}{r.stderr}"


@pytest.fixture(scope="module")
def switch():
    names = ("rt1", "rt2")
    for n in names:
        sh(f"ip netns del {n}; ip link del {n}", check=False)
    for i, n in enumerate(names, 1):
        sh(f"ip netns add {n} && ip link add {n} type veth peer name eth0 netns {n} && "
           f"ip link set {n} up && ip -n {n} link set lo up && "
           f"ip -n {n} addr add 10.9.0.{i}/24 dev eth0 && "
           f"ip -n {n} link set eth0 address 02:00:00:00:09:0{i} && ip -n {n} link set eth0 up")
    with Switch() as sw:
        sw.sluice("bridge", "add", "br0")
        for n in names:
            sw.sluice("port", "add", n, "br0")
        yield sw
    for n in names:
        sh(f"ip netns del {n}; ip link del {n}", check=False)


@pytest.mark.parametrize("rate,mbit", [("100mbit", 100), ("300mbit", 300), ("20gbit", 200)])
def test_tcp_gets_its_rate_and_no_more(switch, rate, mbit):
    """Of the policy, or, when that is higher, of the interface."""
    seconds = 3
    switch.sluice("policy", "apply", switch.write("rate.yaml", POLICY % rate))
    if rate == "20gbit":
        switch.vsctl("set", "Interface", "rt1", "ingress_policing_rate=200000")
    time.sleep(.3)  # ports learn their rate every 100 ms
    run = ["ip", "netns", "exec"]
    for _ in range(3):  # a machine that does other things may not reach the rate at once
        with subprocess.Popen([*run, "rt2", "/usr/bin/python3", "-c", RECEIVE], text=True,
                              stdout=subprocess.PIPE) as r:
            assert r.stdout.readline() == "ready\n"
            sh(" ".join(run) + f" rt1 /usr/bin/python3 -c '{SEND}' {seconds}")
            n, took = r.stdout.readline().split()
            r.kill()
        got = int(n) * 8 / float(took) / 1e6
        print(f"{rate}: {got:.0f} Mbit/s")
        # Headers are not counted here; the bucket of 100 ms comes on top once.
        assert got <= 1.12 * mbit, got
        if got >= .8 * mbit:
            return
    assert got >= .5 * mbit, got
