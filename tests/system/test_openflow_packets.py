# SPDX-License-Identifier: BSD-3-Clause
"""Steps of a controller and packets, one after the other, on Sluice and on Open vSwitch: after each packet the same
frames have left by the same ports. What pipelines do in general is test_resolve_differential.py's; here are settings of
the switch and actions that it does not draw."""
import socket
import struct
import time

from control_process import Switch, wait_until
from openflow_pair import ofctl, ofctl_both, pair  # noqa: F401

ETHER = "5054000000075054000000050800"
IPV4 = "4500 0028 0001 {frag} 40 {proto} 0000 c0a80001 c0a80002".replace(" ", "")
TCP = "0008 0050 00000001 00000000 5002 2000 0000 0000".replace(" ", "")


def ipv4(frag=0, proto=6, payload=TCP):
    return ETHER + IPV4.format(frag=f"{frag:04x}", proto=f"{proto:02x}") + payload + "00" * 6


WHOLE, FIRST, LATER = ipv4(), ipv4(0x2000), ipv4(0x0001)


class Steps:
    def __init__(self, pair):
        self.pair = pair
        self.of("del-flows")
        self.of("del-groups", version="OpenFlow13")
        for s in pair:
            s.frames()

    def of(self, *command, version="OpenFlow13"):
        """An ovs-ofctl command to both: the same answer, which is returned."""
        ours, theirs = ofctl_both(self.pair, version, *command)
        assert (ours[0], sorted(ours[1].splitlines()), ours[2]) == (theirs[0], sorted(theirs[1].splitlines()), theirs[2]), command
        return ours[1]

    def rules(self, *rules):
        for r in rules:
            self.of("add-flow", r)

    def packet(self, port, frame):
        """[(port, frame)] that both send for it."""
        for s in self.pair:
            s.appctl("netdev-dummy/receive", f"p{port}", frame)
        theirs = self.settled(self.pair[1])
        ours = []
        end = time.monotonic() + 5
        while time.monotonic() < end and len(ours) < len(theirs):
            ours += self.pair[0].frames()
        ours += self.settled(self.pair[0])
        assert ours == theirs
        return ours

    @staticmethod
    def settled(switch):
        """Its frames, once no more come: a later packet of a rule of its own has passed."""
        time.sleep(0.02)
        return switch.frames()


def ports(frames):
    return [port for port, _ in frames]


def test_fragments_as_a_controller_wants_them(pair):  # noqa: F811
    s = Steps(pair)
    s.rules("priority=9,tcp,tcp_dst=80,actions=2", "priority=8,ip,ip_frag=yes,actions=3", "priority=1,actions=1")
    for mode, ways in (("normal", [[2], [3], [3]]), ("drop", [[2], [], []]), ("nx-match", [[2], [2], [3]]),
                       ("normal", [[2], [3], [3]])):
        s.of("set-frags", mode)
        assert f"frags={mode}" in s.of("get-frags") or mode in s.of("get-frags")
        for _ in range(2):  # a miss and a hit
            assert [ports(s.packet(2 if w == [1] else 1, f)) for w, f in zip(ways, (WHOLE, FIRST, LATER))] == ways
        s.of("add-flow", "priority=10,table=0,arp,actions=resubmit(,1)")


def test_fragment_handling_outlives_the_daemons():
    with Switch("--enable-dummy=system") as sw:
        sw.dummies("p1", "p2")
        sw.run("ovs-ofctl", "set-frags", "br0", "drop")
        mode = lambda: sw.run("ovs-ofctl", "get-frags", "br0").stdout.strip()

        def dropped():
            client = sw.datapath.connect()
            before = {d["reason"]: d["count"] for d in client.dump("drops") if d["port"] == "p1"}
            sw.appctl("netdev-dummy/receive", "p1", LATER)

            def is_there():
                now = {d["reason"]: d["count"] for d in client.dump("drops") if d["port"] == "p1"}
                return now.get("fragment_unwanted", 0) == before.get("fragment_unwanted", 0) + 1
            wait_until(is_there)

        assert mode() == "drop"
        dropped()
        sw.kill_sluiced()
        sw.start_sluiced()
        wait_until(lambda: mode() == "drop")
        dropped()
        sw.datapath.kill()
        sw.datapath.start()
        wait_until(lambda: sw.status()["datapath"] and sw.status()["ports"] == 3)
        dropped()
        assert mode() == "drop"


OPTIONS = "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=8}->tun_metadata1," \
          "{class=0xffff,type=2,len=124}->tun_metadata2,{class=0xfffe,type=3,len=12}->tun_metadata5"


def test_long_tunnel_options(pair):  # noqa: F811
    """Set, matched under masks, moved, pushed and loaded in parts: options of more than 4 bytes."""
    s = Steps(pair)
    s.of("add-tlv-map", OPTIONS)
    s.rules("in_port=1,actions=set_field:0x1234567890ab->tun_metadata1,set_field:0x9->tun_metadata0,resubmit(,1)",
            "table=1,tun_metadata1=0x1234567890ab,tun_metadata0=9,actions=set_field:0xdeadbeef0000000000000001->tun_metadata5,resubmit(,2)",
            "table=2,tun_metadata5=0xdeadbeef0000000000000001,actions=move:NXM_NX_TUN_METADATA1[0..31]->NXM_NX_REG0[],output:2,resubmit(,3)",
            "table=3,reg0=0x567890ab,actions=load:0x77->NXM_NX_TUN_METADATA2[100..110],push:NXM_NX_TUN_METADATA2[90..110],"
            "pop:NXM_NX_REG1[0..20],resubmit(,4)",
            "table=4,reg1=0x1dc00,tun_metadata2=0x770000000000000000000000000/0xff0000000000000000000000000,actions=output:3",
            "table=4,priority=9,tun_metadata2=0x780000000000000000000000000/0xff0000000000000000000000000,actions=output:1")
    s.of("add-flow", "tun_metadata9=1,actions=1")  # not mapped
    s.of("dump-flows", "table=4")
    for _ in range(2):
        assert ports(s.packet(1, WHOLE)) == [2, 3]
    s.of("del-flows")
    s.of("del-tlv-map", version="OpenFlow10")


def test_places_of_options_survive():
    """Where an option lies in the key depends on what was mapped before; a restarted daemon agrees with the datapath."""
    with Switch("--enable-dummy=system") as sw:
        sw.dummies("p1", "p2")
        run = lambda *a: sw.run("ovs-ofctl", *a).stdout
        run("add-tlv-map", "br0", "{class=1,type=1,len=8}->tun_metadata1,{class=1,type=2,len=8}->tun_metadata2")
        run("del-tlv-map", "br0", "{class=1,type=1,len=8}->tun_metadata1")
        run("del-flows", "br0")
        run("add-flow", "br0", "in_port=p1,actions=set_field:0x1122334455667788->tun_metadata2,resubmit(,1)")
        run("add-flow", "br0", "table=1,tun_metadata2=0x1122334455667788,actions=p2")
        flows = lambda: sorted(sw.sluice("flow", "dump", "br0", "--no-stats").splitlines())
        sent = lambda: sw.show("port", "stats", "p2")[0]["tx_packets"]
        before = flows()
        assert any("tun_metadata2=0x1122334455667788" in f for f in before)
        for restart in (sw.kill_sluiced, sw.datapath.kill):
            restart()
            sw.start_sluiced() if restart == sw.kill_sluiced else sw.datapath.start()

            def is_back():
                try:
                    return sw.status()["ports"] == 3 and flows() == before
                except Exception:  # the one or the other is not there yet
                    return False
            wait_until(is_back, 20)
            assert "tun_metadata2=0x1122334455667788" in run("dump-flows", "br0")
            n = sent()
            sw.appctl("netdev-dummy/receive", "p1", WHOLE)
            wait_until(lambda: sent() == n + 1)
            # a field whose default place was free before and is free again
            run("add-tlv-map", "br0", "{class=1,type=1,len=8}->tun_metadata1")
            run("del-tlv-map", "br0", "{class=1,type=1,len=8}->tun_metadata1")


def test_packet_ins_are_whole_and_say_why(pair, tmp_path):  # noqa: F811
    """Nobody keeps packets, so max_len and miss_send_len shorten none; reasons in the words of each version."""
    s = Steps(pair)
    s.of("add-group", "group_id=5,type=all,bucket=controller")
    s.rules("cookie=0x11,in_port=1,actions=write_actions(controller(max_len=20)),goto_table:1", "cookie=0x22,table=1,actions=write_metadata:5",
            "cookie=0x33,in_port=2,actions=goto_table:2", "cookie=0x44,table=2,actions=group:5",
            "cookie=0x55,priority=0,actions=controller:10")

    def told(switch, version):
        out = []
        peer = Peer(switch.mgmt, version)
        for p in (1, 2, 3):
            switch.appctl("netdev-dummy/receive", f"p{p}", WHOLE)
            out.append(peer.packet_in())
        peer.s.close()
        return out

    for version, reasons in ((1, [1, 1, 1]), (4, [1, 1, 0]), (5, [3, 4, 0])):
        ours, theirs = [told(x, version) for x in pair]
        assert ours == theirs
        assert [reason for reason, _ in ours] == reasons and all(data.hex() == WHOLE for _, data in ours)


class Peer:
    """A controller's end of <bridge>.mgmt that asks for packets of at most 20 bytes."""

    def __init__(self, path, version):
        self.version = version
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(10)
        self.s.connect(path)
        self.s.sendall(struct.pack("!BBHIHHI", version, 0, 16, 1, 1, 8, 1 << version) +
                       struct.pack("!BBHIHH", version, 9, 12, 2, 0, 20) + struct.pack("!BBHI", version, 2, 8, 3))
        while self.take()[0] != 3:
            pass

    def take(self):
        data = b""
        while len(data) < 8 or len(data) < struct.unpack_from("!H", data, 2)[0]:
            data += self.s.recv((struct.unpack_from("!H", data, 2)[0] if len(data) >= 8 else 8) - len(data))
        return data[1], data[8:]

    def packet_in(self):
        """(reason, packet) of the next one."""
        while True:
            kind, body = self.take()
            if kind == 10 and self.version == 1:
                return body[8], body[10:]
            if kind == 10:
                match = (struct.unpack_from("!H", body, 18)[0] + 7) // 8 * 8
                return body[6], body[16 + match + 2:]


def test_ports_that_go_down(pair):  # noqa: F811
    """netdev-dummy/set-admin-state: seen in the descriptions of ports and by fast failover."""
    s = Steps(pair)
    s.of("add-group", "group_id=7,type=ff,bucket=watch_port:2,output:2,bucket=watch_port:3,output:3")
    s.of("add-group", "group_id=8,type=all,bucket=watch_port:2,output:2")  # nothing to watch for
    s.rules("in_port=1,actions=group:7")
    s.of("dump-groups")
    for down, way in (([], [2]), ([2], [3]), ([2, 3], [])):
        for p in (2, 3):
            for switch in pair:
                assert switch.appctl("netdev-dummy/set-admin-state", f"p{p}", "down" if p in down else "up").strip() == "OK"
        wait_until(lambda: all(ofctl(x.mgmt, "OpenFlow13", "dump-ports-desc")[1].count("PORT_DOWN") == len(down) for x in pair))
        s.of("dump-ports-desc", "2")
        assert ports(s.packet(1, WHOLE)) == way
    for switch in pair:
        switch.appctl("netdev-dummy/set-admin-state", "up")
    wait_until(lambda: all("PORT_DOWN" not in ofctl(x.mgmt, "OpenFlow13", "dump-ports-desc")[1] for x in pair))


def test_odd_actions(pair):  # noqa: F811
    s = Steps(pair)
    for rule in ("in_port=1,actions=enqueue(2,0),enqueue:3:7", "in_port=2,actions=enqueue:99:1", "in_port=2,actions=enqueue:flood:1",
                 "in_port=2,actions=enqueue:in_port:1,set_queue:5,3,pop_queue,1", "in_port=3,actions=sample(probability=5,collector_set_id=1),1",
                 "in_port=3,actions=multipath(symmetric_l3,50,hrw,10,5,NXM_NX_REG0[0..3]),2",
                 "in_port=3,actions=bundle(symmetric_l3,50,hrw,ofport,members:1,2)"):
        s.of("add-flow", rule, version="OpenFlow10")
    s.of("dump-flows")
    assert ports(s.packet(1, WHOLE)) == [2, 3]
    assert ports(s.packet(2, WHOLE)) == [1, 2, 3]
    for switch in pair:  # a trace of a packet that came by no port
        assert switch.appctl("ofproto/trace", "br0", "ip,nw_dst=1.2.3.4").splitlines()[-1] == "Datapath actions: drop"
