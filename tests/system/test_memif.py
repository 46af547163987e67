# SPDX-License-Identifier: BSD-3-Clause
"""Two switches joined by shared memory (net_memif): frames both ways, and either end killed and started again. A
client comes back by itself; when it was the server that died, the client's port has to be made again, because the
driver connects once."""
import contextlib
import time

import pytest

from dpapi import ApiError
from datapath_process import DatapathProcess, ether, frames, wait_until


class End:
    def __init__(self, role, sock, *args, n_rxq=1):
        self.process = DatapathProcess(*args)
        self.role, self.sock, self.n_rxq = role, sock, n_rxq

    def start(self):
        self.process.start()
        self.dp = self.process.connect(writer=True)
        option = dict(key="dpdk-devargs", value=f"net_memif0,role={self.role},socket={self.sock},id=0")
        self.port = ("port_set", dict(name="m", type="dpdk", bridge="br0", n_rxq=self.n_rxq, option=[option]))
        self.dp.transaction([("bridge_set", dict(name="br0", open=1)),
                             ("port_set", dict(name="p1", type="dummy", bridge="br0")), self.port])

    def make_again(self):
        self.dp.transaction([("port_del", dict(name="m"))])
        self.dp.transaction([self.port])

    def link(self):
        return next(p["status"]["link_up"] for p in self.dp.dump("ports") if p["name"] == "m")

    def reaches(self, other):
        self.send(1, 1)
        time.sleep(0.1)
        return len(other.dp.frames_sent("p1"))

    def send(self, src, n):
        for i in range(n):
            self.dp.call("dummy_receive", dict(port="p1", packet=ether(0xff, src, i.to_bytes(2, "big"))))


@pytest.mark.parametrize("args,n_rxq", [(("--no-huge",), 1), ((), 1), (("--no-huge",), 2)], ids=["no-huge", "huge", "two-queues"])
def test_two_switches_and_the_death_of_either(tmp_path, args, n_rxq):
    ends = [End(role, tmp_path / "memif.sock", *args, n_rxq=n_rxq) for role in ("server", "client")]
    try:
        for e in ends:
            e.start()
        for killed in (None, 1, 0):
            if killed is not None:
                ends[killed].process.kill()
                ends[killed].start()
                if killed == 0:
                    ends[1].make_again()
            wait_until(lambda: all(e.link() for e in ends), 15)
            for a, b in (ends, ends[::-1]):
                wait_until(lambda: a.reaches(b), 5)  # a link change is seen within a second
                a.send(1 + ends.index(a), 200)
                got = frames(b.dp, "p1", 200)
                assert [f[14:16] for f in got] == [i.to_bytes(2, "big") for i in range(200)]
    finally:
        with contextlib.ExitStack() as stack:  # the second is stopped whatever the first has to say
            for e in reversed(ends):
                stack.callback(lambda e=e: e.process.__exit__(None if e.process.proc.poll() is None else AssertionError))


def test_a_server_that_is_taken_away_comes_back_only_as_it_was(tmp_path):
    with contextlib.ExitStack() as stack:
        ends = [End(role, tmp_path / "memif.sock", "--no-huge") for role in ("server", "client")]
        for e in ends:
            e.start()
            stack.callback(e.process.__exit__, None)
        for _ in range(3):
            wait_until(lambda: all(e.link() for e in ends), 15)
            wait_until(lambda: ends[0].reaches(ends[1]), 5)
            ends[0].make_again()
            ends[1].make_again()
        ends[0].dp.transaction([("port_del", dict(name="m"))])
        other = dict(ends[0].port[1], option=[dict(key="dpdk-devargs", value=f"net_memif0,role=server,socket={tmp_path}/o,id=0")])
        with pytest.raises(ApiError, match="another device name"):
            ends[0].dp.transaction([("port_set", other)])
        ends[0].dp.transaction([ends[0].port])
