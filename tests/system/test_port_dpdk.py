# SPDX-License-Identifier: BSD-3-Clause
"""DPDK devices as ports: hot-plugged at run time, by name, with jumbo frames, removed again."""
import os
import struct
import subprocess

import pytest

from porthost import PORT_HOST, PortHost

pytestmark = pytest.mark.skipif(not os.path.exists(PORT_HOST), reason="port-host is not built")


def pcap(path, frames):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for x in frames:
            f.write(struct.pack("<IIII", 0, 0, len(x), len(x)) + x)


def read_pcap(path):
    data = open(path, "rb").read()[24:]
    out = []
    while data:
        n = struct.unpack_from("<I", data, 8)[0]
        out.append(data[16:16 + n])
        data = data[16 + n:]
    return out


def frames(n, size):
    return [bytes.fromhex("02000000000202000000000188b5") + bytes([i]) * (size - 14)
            for i in range(n)]


@pytest.mark.parametrize("size,mtu", [(60, 1500), (1514, 1500), (9014, 9000)])
def test_pcap_to_pcap(tmp_path, size, mtu):
    sent = frames(20, size)
    pcap(tmp_path / "in", sent)
    h = PortHost(f"a,dpdk,mtu={mtu},dpdk-devargs=net_pcap0;rx_pcap={tmp_path}/in;tx_pcap={tmp_path}/x",
                 f"b,dpdk,mtu={mtu},dpdk-devargs=net_pcap1;tx_pcap={tmp_path}/out")
    s = h.wait(lambda s: s["a"]["rx"] == 20 and s["b"]["tx"] == 20)
    assert s["b"]["tx"] == 20 and s["a"]["link"] == 1
    assert "driver_name=net_pcap" in s["a"]["detail"]
    assert h.quit() == 0
    assert read_pcap(tmp_path / "out") == sent


def test_too_long_frames_are_dropped_with_their_reason(tmp_path):
    pcap(tmp_path / "in", frames(3, 1514) + frames(2, 3000))
    h = PortHost(f"a,dpdk,mtu=9000,dpdk-devargs=net_pcap0;rx_pcap={tmp_path}/in",
                 "b,dpdk,dpdk-devargs=net_null1;no-rx=1")
    s = h.wait(lambda s: s["a"]["rx"] == 5 and s["b"]["tx"] == 3)
    assert s["b"]["drops"] == {"tx_mtu": 2}
    h.quit()


def test_hot_plug_and_removal_many_times():
    h = PortHost("a,dpdk,dpdk-devargs=net_null0", "b,dpdk,dpdk-devargs=net_null1;no-rx=1")
    h.wait(lambda s: s["b"]["tx"] > 0)  # the poll thread has opened what it needs
    fds = len(os.listdir(f"/proc/{h.proc.pid}/fd"))
    for i in range(50):
        before = h.port("a")["rx"]
        assert h.ask(f"open c,dpdk,n_rxq={i % 3 + 1},dpdk-devargs=net_null{2 + i}") == {}
        assert h.port("c")["n_rxq"] == i % 3 + 1
        assert h.ask("close c") == {}
        h.wait(lambda s: s["a"]["rx"] > before)
    assert len(os.listdir(f"/proc/{h.proc.pid}/fd")) == fds
    s = h.stats()["ports"]
    assert abs(s["a"]["rx"] - s["b"]["tx"]) < 64
    h.quit()


def test_a_device_belongs_to_one_port():
    h = PortHost("a,dpdk,dpdk-devargs=net_null0")
    assert "another port's" in h.ask("open b,dpdk,dpdk-devargs=net_null0")["error"]
    assert "no such device" in h.ask(
        "open b,dpdk,dpdk-devargs=class=eth;mac=02:00:00:00:00:09")["error"]
    assert h.ask("set a,dpdk,mtu=1400,dpdk-devargs=net_null0")["ret"] in (0, -95)
    h.quit()


def test_unknown_devices_are_refused_and_nothing_is_left():
    for spec, text in (("net_nothing0", "cannot be probed"), ("0000:99:00.0", "cannot be probed"),
                       ("net_pcap0;rx_pcap=/nonexistent", "cannot be probed")):
        r = subprocess.run([PORT_HOST, f"a,dpdk,dpdk-devargs={spec}"], capture_output=True,
                           text=True, timeout=20)
        assert r.returncode == 1 and text in r.stdout, r.stdout
