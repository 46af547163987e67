# SPDX-License-Identifier: BSD-3-Clause
"""What a controller meets less often: multipart requests in parts, the short flow statistics of 1.5, options mapped
before a restart, fail-open, last packets of a removed rule, packet-outs that come round."""
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

from control_process import Failed, Switch, wait_until

A, B = "50:54:00:00:00:0a", "50:54:00:00:00:0b"
KEY = f"in_port(1),eth(src={A},dst={B}),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,ttl=64,frag=no),udp(src=5,dst=6)"


@pytest.fixture
def sw():
    with Switch("--enable-dummy=system") as s:
        s.dummies("p1", "p2")
        s.vsctl("set", "bridge", "br0", "protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15")
        s.sluice("flow", "del", "br0")
        yield s


class Peer:
    """A controller's end of <bridge>.mgmt."""

    def __init__(self, sw, version=6):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(5)
        self.s.connect(f"{sw.dir}/br0.mgmt")
        self.version = version
        self.send(0, b"", 1)
        assert self.take()[0] == 0

    def send(self, kind, body, xid):
        self.s.sendall(struct.pack("!BBHI", self.version, kind, 8 + len(body), xid) + body)

    def exactly(self, n):
        out = b""
        while len(out) < n:
            out += self.s.recv(n - len(out))
        return out

    def take(self):
        version, kind, length, xid = struct.unpack("!BBHI", self.exactly(8))
        return kind, xid, self.exactly(length - 8)

    def multipart(self, kind, body, xid, more=0):
        self.send(18, struct.pack("!HH4x", kind, more) + body, xid)


ANY = struct.pack("!B3xII4xQQHH4x", 0xFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 1, 4)


def test_short_flow_statistics(sw):
    sw.sluice("flow", "add", "br0", "table=3,priority=9,cookie=5,udp,actions=p2")
    p = Peer(sw)
    p.multipart(17, ANY, 7)
    kind, xid, body = p.take()
    assert (kind, xid) == (19, 7) and struct.unpack("!HH", body[:4]) == (17, 0)
    length, table, reason, priority = struct.unpack("!H2xBBH", body[8:16])
    assert (length, table, reason, priority) == (len(body) - 8, 3, 0, 9)
    match_len = struct.unpack("!H", body[18:20])[0]
    stats = body[16 + (match_len + 7) // 8 * 8:]
    assert struct.unpack("!H", stats[2:4])[0] <= len(stats)


def test_requests_in_parts(sw):
    p = Peer(sw, version=4)
    p.multipart(1, ANY[:16], 5, more=1)
    p.send(2, b"in between", 6)  # an echo is no part
    assert p.take() == (3, 6, b"in between")
    p.multipart(1, ANY[16:], 5)
    kind, xid, body = p.take()
    assert (kind, xid) == (19, 5) and body[:4] == struct.pack("!HH", 1, 0)
    for _ in range(17):
        p.multipart(12, bytes(65000), 9, more=1)
    assert p.take()[2][:4] == struct.pack("!HH", 1, 13)  # OFPBRC_MULTIPART_BUFFER_OVERFLOW
    p.multipart(1, ANY, 11)
    while p.take()[1] != 11:
        pass


def test_option_map_survives(sw):
    run = lambda *a: sw.run("ovs-ofctl", *a).stdout
    run("add-tlv-map", "br0", "{class=0x102,type=0x80,len=4}->tun_metadata0,{class=0x102,type=0x81,len=16}->tun_metadata5")
    run("add-flow", "br0", "tun_metadata0=0x1234,actions=set_field:0x77->tun_metadata5,output:1")
    before = run("dump-tlv-map", "br0").split("\n", 1)[1], sw.sluice("flow", "dump", "br0", "--no-stats")
    assert "tun_metadata5" in before[0] and "tun_metadata0=0x1234" in before[1]

    def state():
        try:
            return run("dump-tlv-map", "br0").split("\n", 1)[1], sw.sluice("flow", "dump", "br0", "--no-stats")
        except Failed:  # the one or the other is not there yet
            return None

    sw.kill_sluiced()
    sw.start_sluiced()
    wait_until(lambda: sw.status()["ports"] == 3)
    wait_until(lambda: state() == before)
    assert "tun_metadata0=0x1234" in run("dump-flows", "br0")
    sw.datapath.kill()
    sw.datapath.start()
    wait_until(lambda: sw.status()["ports"] == 3)
    wait_until(lambda: state() == before)


def test_changes_that_were_too_many_to_be_told(sw):
    """sluiced sleeps through the end of 90,000 rules, more than the datapath keeps events of. What it gives back to a
    datapath that starts anew has none of them."""
    rules = "".join(f"table=1,tcp,nw_dst=10.{i >> 16}.{i >> 8 & 255}.{i & 255},actions=output:1\n" for i in range(90000))
    sw.run("ovs-ofctl", "add-flow", "br0", "table=2,actions=output:2")
    sw.run("ovs-ofctl", "-O", "OpenFlow14", "--bundle", "add-flows", "br0", "-", text=rules, timeout=120)
    watcher = sw.datapath.connect()
    left = lambda: watcher.call("rules_sum", dict(bridge="br0"))["count"]
    peer = Peer(sw, version=4)
    time.sleep(2)  # what was added has been told
    match = bytes.fromhex("0001000400000000")
    # by cookie: what empties a whole table needs no telling
    peer.send(14, struct.pack("!QQBBHHHIIIHH", 0, 1, 1, 3, 0, 0, 0, 0xffffffff, 0xffffffff, 0xffffffff, 0, 0) + match, 7)
    while left() > 1:
        pass
    sw.sluiced.send_signal(signal.SIGSTOP)
    time.sleep(4)
    sw.sluiced.send_signal(signal.SIGCONT)
    wait_until(lambda: "reading the tables again" in sw.sluiced_log(), 20)
    time.sleep(3)  # the rest has been told, too
    watcher.close()
    sw.datapath.kill()
    sw.datapath.start()
    wait_until(lambda: sw.status()["ports"] == 3)
    back = []

    def rules_back():
        back[:] = [line for line in sw.run("ovs-ofctl", "dump-flows", "br0", check=False).stdout.splitlines() if "actions" in line]
        return back
    wait_until(rules_back, 20)
    assert len(back) == 1 and "table=2" in back[0], back[:3]


def test_fail_open(sw):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    sw.vsctl("set", "bridge", "br0", "fail_mode=standalone", "--", "set-controller", "br0", f"tcp:127.0.0.1:{port}",
             "--", "set", "controller", "br0", "inactivity_probe=1000", "max_backoff=1000", "connection_mode=out-of-band")
    conn, _ = listener.accept()
    conn.sendall(struct.pack("!BBHI", 1, 0, 8, 1))
    hidden = lambda: "priority=61680" in sw.appctl("bridge/dump-flows", "br0")
    wait_until(lambda: sw.get("controller", "br0", "is_connected") == "true")
    time.sleep(1.5)
    assert not hidden()
    conn.close()
    listener.close()
    start = time.monotonic()
    wait_until(hidden, 8)
    assert time.monotonic() - start > 2
    assert sw.sluice("flow", "dump", "br0") == ""  # nobody's rule
    sw.run("ovs-ofctl", "del-flows", "br0")
    assert hidden()
    sw.kill_sluiced()
    sw.start_sluiced()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    assert hidden()
    conn, _ = listener.accept()
    conn.sendall(struct.pack("!BBHI", 1, 0, 8, 1))
    wait_until(lambda: not hidden())
    # a secure bridge stays as it is
    sw.vsctl("set", "bridge", "br0", "fail_mode=secure")
    conn.close()
    listener.close()
    time.sleep(4.5)
    assert not hidden()


def test_last_packets_of_a_removed_rule(sw):
    monitor = subprocess.Popen(["ovs-ofctl", "-O", "OpenFlow13", "monitor", f"unix:{sw.dir}/br0.mgmt", "65534"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=sw.env)
    try:
        for n in (1, 7, 20):
            sw.sluice("flow", "add", "br0", "send_flow_rem,udp,actions=drop")
            for _ in range(n):
                sw.appctl("netdev-dummy/receive", "p1", KEY)
            wait_until(lambda: sum(e["packets"] for e in sw.show("cache")) >= 0)
            sent = sw.show("port", "stats", "p1")[0]
            wait_until(lambda: sw.show("port", "stats", "p1")[0]["rx_packets"] >= sent["rx_packets"])
            time.sleep(0.05)
            sw.sluice("flow", "del", "br0", "udp")
            for line in monitor.stdout:
                if "pkts" in line or "n_packets" in line:
                    break
            assert re.search(rf"pkts{n}\b", line), line
    finally:
        monitor.kill()
        monitor.wait()


def test_packet_outs_come_round(sw):
    sw.sluice("flow", "add", "br0", "-", text="table=1,ct_state=+trk,udp,actions=p2\ntable=0,udp,actions=ct(table=1)\n")
    frame = "50540000000b50540000000a0800" + "4500001c00000000401166cf0a0000010a000002" + "0005000600080000"
    for in_port in ("controller", "none", "p1"):
        for actions in ("ct(commit,table=1)", "resubmit(,0)"):
            before = sw.show("port", "stats", "p2")[0]["tx_packets"]
            sw.run("ovs-ofctl", "packet-out", "br0", f"in_port={in_port},packet={frame},actions={actions}")
            wait_until(lambda: sw.show("port", "stats", "p2")[0]["tx_packets"] == before + 1)


def test_a_slow_reader_of_flow_updates(sw):
    """It is told PAUSED, later what it missed, RESUMED; what it then believes is what is there."""
    p = Peer(sw, version=5)
    p.s.settimeout(8)
    p.multipart(16, struct.pack("!IIIHBBHH4x", 1, 0xFFFFFFFF, 0xFFFFFFFF, 2 | 4 | 8 | 16, 0xFF, 0, 1, 4), 3)
    assert p.take()[:2] == (19, 3)
    n = 40000
    lines = lambda out, which: "".join(f"priority={i % 7 + 1},tcp,nw_dst=10.0.{i >> 8}.{i & 255},tp_dst={i >> 4},actions={out}\n" for i in which)
    sw.sluice("flow", "add", "br0", "-", text=lines("output:1", range(n)))
    sw.sluice("flow", "add", "br0", "-", text=lines("output:2", range(0, n, 3)))
    sw.sluice("flow", "del", "br0", "tcp,nw_dst=10.0.7.0/24")
    believed, seen, resumed = {}, [], 0
    end = time.monotonic() + 60
    p.send(20, b"", 99)  # a barrier: answered behind all that was told by then
    while time.monotonic() < end and not (resumed and seen.count(5) == seen.count(6) and len(believed) == n - 256):
        try:
            kind, xid, body = p.take()
        except TimeoutError:
            raise AssertionError(f"nothing more comes: {seen}, {len(believed)} rules") from None
        if kind != 19:
            continue
        at = 8
        while at < len(body):
            length, event = struct.unpack("!HH", body[at:at + 4])
            if event in (5, 6):
                seen.append(event)
                resumed += event == 6
            else:
                match_len = (struct.unpack("!H", body[at + 26:at + 28])[0] + 7) // 8 * 8
                key = body[at + 4:at + 5] + body[at + 10:at + 12] + body[at + 24:at + 24 + match_len]
                if event == 2:
                    believed.pop(key, None)
                else:
                    believed[key] = body[at + 24 + match_len:at + length]
            at += length
    assert seen[0] == 5 and seen.count(5) == seen.count(6) and seen[-1] == 6, seen
    assert len(believed) == n - 256 and len(flows(sw)) == n - 256
    ports = [struct.unpack("!I", v[12:16])[0] for v in believed.values()]
    wanted = sum(1 for i in range(0, n, 3) if i >> 8 != 7)
    assert ports.count(2) == wanted


def flows(sw):
    return sw.sluice("flow", "dump", "br0", "--no-stats").splitlines()


def test_saved_rules_keep_the_map_of_options(sw):
    sw.run("ovs-ofctl", "add-tlv-map", "br0", "{class=0x102,type=0x80,len=4}->tun_metadata3,{class=0x102,type=0x81,len=4}->tun_metadata0")
    sw.sluice("flow", "add", "br0", "tun_metadata3=0x11223344/0xffffff00,actions=set_field:0x7->tun_metadata0,p2")
    before = flows(sw)
    path = f"{sw.dir}/saved"
    sw.sluice("flow", "save", "br0", path)
    text = open(path).read()
    assert "tlv clear\ntlv add {class=0x102,type=0x80,len=4}->tun_metadata3\n" in text
    sw.run("ovs-ofctl", "del-flows", "br0")
    sw.run("ovs-ofctl", "del-tlv-map", "br0")
    assert "tun_metadata" not in sw.run("ovs-ofctl", "dump-tlv-map", "br0").stdout
    sw.sluice("flow", "restore", "br0", path)
    assert flows(sw) == before and "0x11223300/0xffffff00" in before[0]
    listed = sw.run("ovs-ofctl", "dump-tlv-map", "br0").stdout
    assert "tun_metadata3" in listed and "tun_metadata0" in listed
    # a line that is wrong leaves the map as it was
    with open(path, "w") as f:
        f.write(text.replace("len=4", "len=8") + "flow add nonsense=1,actions=drop\n")
    with pytest.raises(Exception):
        sw.sluice("flow", "restore", "br0", path)
    assert sw.run("ovs-ofctl", "dump-tlv-map", "br0").stdout == listed and flows(sw) == before


def test_options_in_cached_flows(sw):
    """A rule that looks at an option un-wildcards it, and the cached flow shows which."""
    sw.run("ovs-ofctl", "add-tlv-map", "br0", "{class=0x102,type=0x80,len=4}->tun_metadata0")
    sw.sluice("flow", "add", "br0", "-", text="priority=9,tun_metadata0=0x5,actions=drop\npriority=1,udp,actions=p2\n")
    sw.appctl("netdev-dummy/receive", "p1", KEY)
    wait_until(lambda: "packets:1" in sw.appctl("dpctl/dump-flows"))
    assert re.search(r"tunnel\([^)]*geneve\(tun_metadata0=0x0+\)", sw.appctl("dpctl/dump-flows")), sw.appctl("dpctl/dump-flows")
