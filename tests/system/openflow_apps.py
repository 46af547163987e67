# SPDX-License-Identifier: BSD-3-Clause
"""os-ken applications for test_openflow_apps.py, as people write them: a learning switch; a router of several tables
with groups and a meter, which compares the switch's statistics with what it sent. They print what happens, one word
and details a line. Run: OPENFLOW_APP=NAME openflow_apps.py PORT."""
import os
import sys

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import ofproto_v1_3

BOTH = [CONFIG_DISPATCHER, MAIN_DISPATCHER]
A, B, GATEWAY = "50:54:00:00:00:0a", "50:54:00:00:00:0b", "50:54:00:00:00:01"


def say(*words):
    print(*words, flush=True)


class Base:
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def flow(self, dp, match, instructions, **kw):
        dp.send_msg(dp.ofproto_parser.OFPFlowMod(datapath=dp, match=match, instructions=instructions, **kw))

    def apply(self, dp, *actions):
        return dp.ofproto_parser.OFPInstructionActions(dp.ofproto.OFPIT_APPLY_ACTIONS, list(actions))

    @set_ev_cls(ofp_event.EventOFPErrorMsg, BOTH)
    def on_error(self, ev):
        say("error", ev.msg.type, ev.msg.code)


class LearningSwitch(Base, app_manager.OSKenApp):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.ports = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_features(self, ev):
        dp = ev.msg.datapath
        p, o = dp.ofproto_parser, dp.ofproto
        self.flow(dp, p.OFPMatch(), [self.apply(dp, p.OFPActionOutput(o.OFPP_CONTROLLER, o.OFPCML_NO_BUFFER))], priority=0)
        dp.send_msg(p.OFPBarrierRequest(dp))

    @set_ev_cls(ofp_event.EventOFPBarrierReply, BOTH)
    def on_barrier(self, ev):
        say("ready")

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet_in(self, ev):
        msg = ev.msg
        dp, in_port = msg.datapath, msg.match["in_port"]
        p, o = dp.ofproto_parser, dp.ofproto
        eth = packet.Packet(msg.data).get_protocol(ethernet.ethernet)
        say("packet-in", in_port, eth.src, eth.dst)
        self.ports[eth.src] = in_port
        out = self.ports.get(eth.dst, o.OFPP_FLOOD)
        actions = [p.OFPActionOutput(out)]
        if out != o.OFPP_FLOOD:
            self.flow(dp, p.OFPMatch(in_port=in_port, eth_dst=eth.dst), [self.apply(dp, *actions)], priority=1,
                      idle_timeout=60)
        dp.send_msg(p.OFPPacketOut(datapath=dp, buffer_id=o.OFP_NO_BUFFER, in_port=in_port, actions=actions, data=msg.data))


class Router(Base, app_manager.OSKenApp):
    """Table 0: is it for us; 1: access list and meter; 2: routes, by groups."""

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_features(self, ev):
        dp = ev.msg.datapath
        p, o = dp.ofproto_parser, dp.ofproto
        goto = p.OFPInstructionGotoTable
        hop = lambda port: [p.OFPActionDecNwTtl(), p.OFPActionSetField(eth_src=GATEWAY), p.OFPActionSetField(eth_dst=B),
                            p.OFPActionOutput(port)]
        bucket = lambda port, weight=0, watch=o.OFPP_ANY: p.OFPBucket(weight=weight, watch_port=watch,
                                                                       watch_group=o.OFPG_ANY, actions=hop(port))
        for number, kind, buckets in ((1, o.OFPGT_INDIRECT, [bucket(2)]),
                                      (2, o.OFPGT_SELECT, [bucket(2, 50), bucket(3, 50)]),
                                      (3, o.OFPGT_FF, [bucket(3, 0, 3), bucket(2, 0, 2)]),
                                      (4, o.OFPGT_ALL, [bucket(2), bucket(3)])):
            dp.send_msg(p.OFPGroupMod(dp, o.OFPGC_ADD, kind, number, buckets))
        dp.send_msg(p.OFPMeterMod(dp, o.OFPMC_ADD, o.OFPMF_PKTPS | o.OFPMF_STATS, 1, [p.OFPMeterBandDrop(3, 1)]))
        ip = dict(eth_type=0x800)
        self.sent = [
            dict(table_id=0, priority=9, match=p.OFPMatch(eth_dst=GATEWAY, **ip), instructions=[goto(1)]),
            dict(table_id=0, priority=1, match=p.OFPMatch(), instructions=[]),
            dict(table_id=1, priority=9, match=p.OFPMatch(ip_proto=17, udp_dst=7, **ip), instructions=[]),
            dict(table_id=1, priority=8, match=p.OFPMatch(ip_proto=17, udp_dst=9, **ip),
                 instructions=[p.OFPInstructionMeter(1), goto(2)]),
            dict(table_id=1, priority=0, match=p.OFPMatch(),
                 instructions=[p.OFPInstructionWriteMetadata(5, 0xff), goto(2)])]
        for number in (1, 2, 3, 4):
            self.sent.append(dict(table_id=2, priority=16, match=p.OFPMatch(
                ipv4_dst=(f"10.0.{number}.0", "255.255.255.0"), **ip), instructions=[
                    self.apply(dp, p.OFPActionGroup(number))]))
        self.sent.append(dict(table_id=2, priority=24, match=p.OFPMatch(ipv4_dst="10.0.9.9", metadata=(5, 0xff), **ip),
                              instructions=[p.OFPInstructionActions(o.OFPIT_WRITE_ACTIONS, hop(3))]))
        self.flow(dp, p.OFPMatch(), [], command=o.OFPFC_DELETE, table_id=o.OFPTT_ALL, out_port=o.OFPP_ANY,
                  out_group=o.OFPG_ANY)
        for f in self.sent:
            self.flow(dp, **f)
        for request in (p.OFPBarrierRequest(dp), p.OFPFlowStatsRequest(dp)):
            dp.send_msg(request)

    @set_ev_cls(ofp_event.EventOFPFlowStatsReply, BOTH)
    def on_flows(self, ev):
        text = lambda t, p, m, i: (t, p, str(sorted(m.items())), str([x.to_jsondict() for x in i]))
        there = sorted(text(s.table_id, s.priority, s.match, s.instructions) for s in ev.msg.body)
        sent = sorted(text(f["table_id"], f["priority"], f["match"], f["instructions"]) for f in self.sent)
        say("same" if there == sent else f"different {[x for x in there if x not in sent]} {[x for x in sent if x not in there]}")
        say("ready")

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet_in(self, ev):
        """The test sends one when it wants to know what was counted."""
        dp = ev.msg.datapath
        p, o = dp.ofproto_parser, dp.ofproto
        dp.send_msg(p.OFPGroupStatsRequest(dp, 0, o.OFPG_ALL))
        dp.send_msg(p.OFPMeterStatsRequest(dp, 0, o.OFPM_ALL))

    @set_ev_cls(ofp_event.EventOFPGroupStatsReply, MAIN_DISPATCHER)
    def on_groups(self, ev):
        for g in sorted(ev.msg.body, key=lambda g: g.group_id):
            say("group", g.group_id, g.packet_count, [b.packet_count for b in g.bucket_stats])

    @set_ev_cls(ofp_event.EventOFPMeterStatsReply, MAIN_DISPATCHER)
    def on_meters(self, ev):
        for m in ev.msg.body:
            say("meter", m.meter_id, m.packet_in_count, m.band_stats[0].packet_band_count)


# The manager imports this file again and runs every application in it: only the wanted one may be there.
for other in {"LearningSwitch", "Router"} - {os.environ["OPENFLOW_APP"]}:
    del globals()[other]

if __name__ == "__main__":
    from os_ken.cmd.manager import main
    sys.argv = ["openflow_apps", "--ofp-tcp-listen-port", sys.argv[1], __file__]
    main()
