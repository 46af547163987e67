# SPDX-License-Identifier: BSD-3-Clause
"""Kernel devices as ports: a veth end (packet socket), a host port (tap), AF_XDP; needs root.

    namespace A [pth-a] ===veth=== [pth-v] port-host [pth-t] tap, moved into namespace B
"""
import os
import signal
import subprocess

import pytest

from porthost import PORT_HOST, Netns, PortHost, sh, tcp_transfer

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(not os.path.exists(PORT_HOST), reason="port-host is not built"),
]


@pytest.fixture
def ns():
    a, b = Netns("pth-a"), Netns("pth-b")
    sh("ip link del pth-v 2>/dev/null; true")
    sh("ip link add pth-v type veth peer name pth-a netns pth-a")
    a.sh("ip addr add 10.9.0.1/24 dev pth-a")
    a.sh("ip addr add fd09::1/64 dev pth-a nodad")
    a.sh("ip link set pth-a up")
    yield a, b
    a.close()
    b.close()
    sh("ip link del pth-v", check=False)
    sh("ip link del pth-t", check=False)


def into_b(b, dev="pth-t", mtu=1500):
    sh(f"ip link set {dev} netns pth-b")
    b.sh(f"ip addr add 10.9.0.2/24 dev {dev}")
    b.sh(f"ip addr add fd09::2/64 dev {dev} nodad")
    b.sh(f"ip link set {dev} up mtu {mtu}")


@pytest.mark.parametrize("args", [(), ("--sleep",)])
def test_veth_to_tap_in_a_namespace(ns, args):
    a, b = ns
    h = PortHost("pth-v,system", "pth-t,internal", args=args)
    into_b(b)
    a.sh("busybox ping -c 3 -i 0.2 -W 2 10.9.0.2")
    a.sh("busybox ping -6 -c 3 -i 0.2 -W 2 fd09::2")
    a.sh("busybox ping -c 3 -i 0.2 -s 1472 -W 2 10.9.0.2")
    rates = [tcp_transfer(b, a, "10.9.0.2", 20_000_000), tcp_transfer(a, b, "10.9.0.1", 20_000_000),
             tcp_transfer(b, a, "fd09::2", 10_000_000), tcp_transfer(a, b, "fd09::1", 10_000_000)]
    print("MB/s", [round(r) for r in rates])
    s = h.stats()["ports"]
    assert s["pth-v"]["drops"] == {} and s["pth-t"]["drops"] == {}, s
    # Segments travel whole: far fewer packets than 1,500 bytes each would make.
    assert s["pth-v"]["rx"] < 60_000_000 / 1500 / 3, s
    assert "name_there=pth-t" in s["pth-t"]["detail"]
    # The buffers that wait for the next read are in use; they come back.
    assert h.quit() == 0
    assert sh("ip link show pth-t 2>&1", check=False).find("does not exist") > 0


def test_segments_are_cut_for_a_port_without_offloads(ns):
    """veth -> net_tap-less path: a ring device that takes neither checksums nor segments."""
    a, b = ns
    sh("ip link del pth-w 2>/dev/null; true")
    sh("ip link add pth-w type veth peer name pth-b netns pth-b")
    b.sh("ip addr add 10.9.0.2/24 dev pth-b")
    b.sh("ip addr add fd09::2/64 dev pth-b nodad")
    b.sh("ip link set pth-b up")
    b.sh("ethtool -K pth-b tx off tso off gso off")
    sh("ip link set pth-w up")
    h = PortHost("pth-v,system", "pth-w,dpdk,dpdk-devargs=eth_af_packet0;iface=pth-w")
    a.sh("busybox ping -c 3 -i 0.2 -W 2 10.9.0.2")
    tcp_transfer(b, a, "10.9.0.2", 20_000_000)
    tcp_transfer(b, a, "fd09::2", 20_000_000)
    tcp_transfer(a, b, "10.9.0.1", 5_000_000)
    s = h.stats()["ports"]
    assert s["pth-v"]["created"] > 10_000, s
    assert s["pth-v"]["rx"] + s["pth-v"]["created"] == \
        s["pth-v"]["sent"] + sum(s["pth-w"]["drops"].values()) + sum(s["pth-v"]["drops"].values())
    # What B's kernel got is what was sent: no checksum errors there.
    err = b.sh("nstat -az TcpInCsumErrors Ip6InHdrErrors")
    assert all(line.split()[1] == "0" for line in err.splitlines() if line.startswith(("Tcp", "Ip6")))
    h.quit()
    sh("ip link del pth-w", check=False)


def test_jumbo_and_mtu_changes_live(ns):
    a, b = ns
    sh("ip link set pth-v mtu 9000")
    a.sh("ip link set pth-a mtu 9000")
    h = PortHost("pth-v,system,mtu=9000", "pth-t,internal,mtu=9000")
    into_b(b, mtu=9000)
    a.sh("busybox ping -c 3 -i 0.2 -s 8972 -W 2 10.9.0.2")
    tcp_transfer(b, a, "10.9.0.2", 50_000_000)
    assert h.ask("set pth-v,system,mtu=1500") == {"ret": 0, "error": ""}
    assert h.port("pth-v")["mtu"] == 1500
    b.sh("busybox ping -c 1 -s 3000 -W 1 10.9.0.1", check=False)
    assert h.port("pth-v")["drops"].get("tx_mtu", 0) >= 1
    h.quit()


SEND_TAGGED = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0))
eth = bytes.fromhex("ffffffffffff020000000001")
for tags in ("81006007", "88a8a064" "8100000a"):
    s.send(eth + bytes.fromhex(tags) + bytes.fromhex("88b5") + bytes(60))
"""


@pytest.mark.parametrize("back", [False, True])
def test_vlan_tags_stay_in_the_frame(ns, back):
    """The kernel takes the outer tag out of what a packet socket reads; it must be back."""
    a, b = ns
    h = PortHost("pth-v,system", "pth-t,internal")
    into_b(b)
    src, src_dev, dst, dst_dev = (b, "pth-t", a, "pth-a") if back else (a, "pth-a", b, "pth-t")
    dump = dst.popen(["tcpdump", "-l", "-n", "-e", "-c", "2", "-i", dst_dev, "ether src",
                      "02:00:00:00:00:01"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                     text=True)
    assert "listening" in "".join(dump.stderr.readline() for _ in range(2))
    src.sh(f"python3 -c '{SEND_TAGGED.replace(chr(39), chr(34))}' {src_dev}")
    out, _ = dump.communicate(timeout=10)
    one, two = [line for line in out.splitlines() if "802.1Q" in line]
    assert "802.1Q (0x8100), length 78: vlan 7, p 3" in one, out
    assert "802.1Q-QinQ (0x88a8), length 82: vlan 100, p 5" in two, out
    assert "vlan 10, p 0" in two and "0x88b5" in two, out
    h.quit()


def test_the_host_does_not_answer_on_a_port(ns):
    """A packet for the host's own address, sent to the veth's MAC, must not reach the host."""
    a, b = ns
    sh("ip addr add 10.99.99.99/32 dev lo")
    try:
        h = PortHost("pth-v,system", "pth-t,internal")
        into_b(b)
        mac = sh("cat /sys/class/net/pth-v/address").strip()
        a.sh("ip route add 10.99.99.99/32 dev pth-a")
        a.sh("busybox ping -c 1 -W 1 10.99.99.99", check=False)
        assert "lladdr" not in a.sh("ip neigh show 10.99.99.99")
        a.sh(f"ip neigh replace 10.99.99.99 lladdr {mac} dev pth-a")
        out = a.sh("busybox ping -c 2 -W 1 10.99.99.99", check=False)
        assert " 0 packets received" in out, out
        assert "host_stack=cut-off" in h.port("pth-v")["detail"]
        assert "bpf" in sh("tc filter show dev pth-v ingress")
        h.quit()
        assert "ingress" not in sh("tc qdisc show dev pth-v")
    finally:
        sh("ip addr del 10.99.99.99/32 dev lo")


def test_a_tap_survives_kill_and_keeps_its_addresses(ns):
    a, b = ns
    h = PortHost("pth-v,system", "pth-t,internal")
    sh("ip addr add 10.9.0.2/24 dev pth-t; ip link set pth-t up")
    a.sh("busybox ping -c 1 -W 2 10.9.0.2")
    h.kill()
    assert "10.9.0.2" in sh("ip addr show pth-t")
    h = PortHost("pth-v,system", "pth-t,internal")
    a.sh("busybox ping -c 1 -W 2 10.9.0.2")
    assert h.quit() == 0
    assert "does not exist" in sh("ip link show pth-t 2>&1", check=False)


SEND_SOME = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0))
for i in range(30):
    s.send(bytes.fromhex("ffffffffffff02000000000188b5") + bytes(1400))
"""


def test_no_buffer_is_free(ns):
    """Every buffer is taken: what arrives is counted as lost for it, and nothing is wrong when they are back."""
    a, b = ns
    h = PortHost("pth-v,system", "pth-t,internal", args=("--mbufs", "2048"))
    into_b(b)
    for src, port, dev, dst in ((a, "pth-v", "pth-a", "10.9.0.2"), (b, "pth-t", "pth-t", "10.9.0.1")):
        src.sh(f"busybox ping -c 1 -W 5 {dst}")
        h.ask("hold")
        src.sh(f"python3 -c '{SEND_SOME.replace(chr(39), chr(34))}' {dev}")
        # A tap has buffers ready for what it reads first.
        s = h.wait(lambda p: p[port]["drops"].get("rx_no_mbuf", 0) >= 10)[port]
        assert set(s["drops"]) == {"rx_no_mbuf"}, s
        h.ask("release")
        src.sh(f"busybox ping -c 1 -W 5 {dst}")
    assert h.quit() == 0


SEND_LONG = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("pth-a", 0))
for i in range(800):
    s.send(bytes.fromhex("ffffffffffff02000000000188b5") + bytes(60000))
"""


def test_long_frames_for_which_the_socket_has_no_room(ns):
    """Frames longer than a slot wait in the socket: while nobody polls, it gets full before the ring does."""
    a, _ = ns
    sh("ip link set pth-v mtu 65000")
    a.sh("ip link set pth-a mtu 65000")
    h = PortHost("pth-v,system,mtu=65000")
    h.proc.send_signal(signal.SIGSTOP)
    try:
        a.sh(f"python3 -c '{SEND_LONG.replace(chr(39), chr(34))}'")
    finally:
        h.proc.send_signal(signal.SIGCONT)
    s = h.wait(lambda p: p["pth-v"]["rx"] >= 800)["pth-v"]
    assert 0 < s["drops"]["rx_socket_full"] < 800 and "rx_no_mbuf" not in s["drops"], s
    assert h.quit() == 0


def test_a_removed_interface_is_noticed_and_refused(ns):
    h = PortHost("pth-v,system", "pth-t,internal")
    sh("ip link del pth-v")
    s = h.wait(lambda p: p["pth-v"]["link"] == 0)
    assert "removed" in s["pth-v"]["detail"]
    assert "no such network interface" in h.ask("open pth-no,system")["error"]
    assert h.ask("set pth-v,system,mtu=1400")["ret"] < 0
    h.quit()


def test_many_queues(ns):
    a, b = ns
    h = PortHost("pth-v,system,n_rxq=3", "pth-t,internal,n_rxq=2")
    into_b(b)
    a.sh("busybox ping -c 3 -i 0.2 -W 2 10.9.0.2")
    tcp_transfer(b, a, "10.9.0.2", 20_000_000)
    tcp_transfer(a, b, "10.9.0.1", 20_000_000)
    assert h.quit() == 0


def test_af_xdp_on_a_veth(ns):
    a, b = ns
    a.sh("ethtool -K pth-a tx off")
    h = PortHost("pth-v,afxdp", "pth-t,internal", args=("--mbufs", "32768"))
    into_b(b)
    a.sh("busybox ping -c 3 -i 0.2 -W 2 10.9.0.2")
    tcp_transfer(a, b, "10.9.0.1", 5_000_000)
    tcp_transfer(b, a, "10.9.0.2", 5_000_000)
    h.quit()


def test_bad_configurations_get_one_clear_error():
    def error(spec):
        r = subprocess.run([PORT_HOST, spec], capture_output=True, text=True, timeout=20)
        assert r.returncode == 1
        return r.stdout

    assert "type nonsense: unknown" in error("p1,nonsense")
    assert "options:dpdk-devargs: missing" in error("p1,dpdk")
    assert "cannot be probed" in error("p1,dpdk,dpdk-devargs=net_nothing0")
    assert "options:peer: missing" in error("p1,patch")
    assert "mtu_request 66000" in error("p1,internal,mtu=66000")
    assert "15 characters" in error("abcdefghijklmnopq,internal")
    assert "xdp-mode: odd" in error("p1,afxdp,xdp-mode=odd")
