# SPDX-License-Identifier: BSD-3-Clause
"""A real guest (QEMU, Debian's kernel and its own virtio-net driver) on a vhost-user port; needs
root for the namespace on the other side.

    guest 10.8.0.1 --vhost-user-- [v0] port-host [pgt-t] tap in namespace pgt-b, 10.8.0.2
"""
import hashlib
import os
import shutil
import subprocess

import pytest

from guest import Guest, vhost_user
from porthost import PORT_HOST, Netns, PortHost, sh

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(not os.path.exists(PORT_HOST), reason="port-host is not built"),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="QEMU is not installed"),
]

MIB = 1 << 20
SERVE = """
import socket, sys, hashlib
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("10.8.0.2", 5001)); s.listen(); print("up", flush=True)
for _ in range(2):
    c, _a = s.accept(); mode = c.recv(1); n = 0; h = hashlib.md5()
    if mode == b"r":
        while (b := c.recv(1 << 20)): n += len(b); h.update(b)
        c.close(); print(n, h.hexdigest(), flush=True)
    else:
        b = bytes(range(256)) * 4096
        for _i in range(int(sys.argv[1])): c.sendall(b)
        c.close()
"""


def transfer(guest, b, mib):
    """mib MiB each way between guest and namespace; both ends' checksums agree."""
    srv = b.popen(["python3", "-c", SERVE, str(mib)], stdout=subprocess.PIPE, text=True)
    try:
        assert srv.stdout.readline() == "up\n"
        guest.run(f"(printf r; dd if=/dev/zero bs=1M count={mib} 2>/dev/null) | nc 10.8.0.2 5001",
                  timeout=40)
        n, digest = srv.stdout.readline().split()
        assert int(n) == mib * MIB and digest == hashlib.md5(bytes(mib * MIB)).hexdigest()
        got = guest.run("(printf s; sleep 1) | nc 10.8.0.2 5001 | md5sum", timeout=40)
        assert hashlib.md5(bytes(range(256)) * 4096 * mib).hexdigest() in got, got
    finally:
        srv.kill()
        srv.wait()


@pytest.mark.parametrize("csum_tso,packed,mtu,args", [
    (True, False, 1500, ()), (False, False, 1500, ("--sleep",)), (True, True, 1500, ()),
    (True, False, 9000, ("--sleep",))])
def test_a_guest_talks_tcp(tmp_path, csum_tso, packed, mtu, args):
    b = Netns("pgt-b")
    sock = str(tmp_path / "v0")
    h = PortHost(f"v0,dpdkvhostuserclient,mtu={mtu},vhost-server-path={sock}"
                 + (",vhost-packed=true" if packed else ""), f"pgt-t,internal,mtu={mtu}", args=args)
    try:
        sh("ip link set pgt-t netns pgt-b")
        b.sh("ip addr add 10.8.0.2/24 dev pgt-t")
        b.sh(f"ip link set pgt-t up mtu {mtu}")
        nic = vhost_user(sock, "52:54:00:00:00:01", packed=packed, csum_tso=csum_tso,
                         mtu=mtu if mtu != 1500 else None)
        with Guest([nic]) as g:
            g.wait_ready()
            g.run(f"ip link set eth0 up mtu {mtu}; ip addr add 10.8.0.1/24 dev eth0")
            assert g.ping("10.8.0.2") == 3
            assert "3 packets received" in g.run(f"ping -c 3 -i 0.3 -s {mtu - 28} 10.8.0.2")
            transfer(g, b, 4)
            s = h.stats()["ports"]
            assert s["v0"]["n_rxq"] == 1 and s["v0"]["tx_state"] == "none", s
            assert s["v0"]["drops"].keys() <= {"tx_queue_full"}, s
            # The namespace looked for IPv6 neighbours before the guest was there.
            assert s["pgt-t"]["drops"].keys() <= {"tx_queue_full", "tx_no_guest",
                                                  "tx_queue_disabled"}, s
            # Large segments reach a guest whole if it can take them, else they are cut.
            assert (s["pgt-t"]["created"] == 0) == csum_tso, s
            # The switch dies and comes back under the running guest.
            h.kill()
            h = PortHost(f"v0,dpdkvhostuserclient,mtu={mtu},vhost-server-path={sock}"
                         + (",vhost-packed=true" if packed else ""), f"pgt-t2,internal,mtu={mtu}",
                         args=args)
            if not packed:  # QEMU 7.2 cannot restore packed rings
                sh("ip link set pgt-t2 netns pgt-b")
                b.sh("ip link del pgt-t")
                b.sh("ip addr add 10.8.0.2/24 dev pgt-t2")
                b.sh(f"ip link set pgt-t2 up mtu {mtu}")
                assert g.ping("10.8.0.2", count=5) >= 4
                transfer(g, b, 2)
    finally:
        h.kill()
        b.close()
        sh("ip link del pgt-t 2>/dev/null; ip link del pgt-t2 2>/dev/null", check=False)
