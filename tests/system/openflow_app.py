# SPDX-License-Identifier: BSD-3-Clause
"""An os-ken application for test_openflow_controller.py: programs a switch that connects and prints what it
hears, one word and details a line. Run: openflow_app.py PORT."""
import sys

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, HANDSHAKE_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_v1_3

BOTH = [CONFIG_DISPATCHER, MAIN_DISPATCHER]


def say(*words):
    print(*words, flush=True)


class App(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_features(self, ev):
        dp = ev.msg.datapath
        p, o = dp.ofproto_parser, dp.ofproto
        say("features", hex(ev.msg.datapath_id))
        to_controller = p.OFPActionOutput(o.OFPP_CONTROLLER, o.OFPCML_NO_BUFFER)
        apply = lambda *actions: p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, list(actions))
        for message in (
                p.OFPFlowMod(datapath=dp, priority=0, match=p.OFPMatch(), instructions=[apply(to_controller)]),
                p.OFPGroupMod(dp, o.OFPGC_ADD, o.OFPGT_ALL, 7, [p.OFPBucket(actions=[p.OFPActionOutput(2)])]),
                p.OFPMeterMod(dp, o.OFPMC_ADD, o.OFPMF_KBPS, 1, [p.OFPMeterBandDrop(100, 10)]),
                p.OFPFlowMod(datapath=dp, priority=5,
                             match=p.OFPMatch(eth_type=0x800, ipv4_dst=("10.0.0.0", "255.0.0.0")),
                             instructions=[p.OFPInstructionMeter(1), apply(p.OFPActionGroup(7))]),
                p.OFPGroupMod(dp, o.OFPGC_ADD, o.OFPGT_ALL, 7, []),  # exists: an error
                p.OFPBarrierRequest(dp), p.OFPFlowStatsRequest(dp), p.OFPPortDescStatsRequest(dp, 0),
                p.OFPRoleRequest(dp, o.OFPCR_ROLE_MASTER, 1), p.OFPRoleRequest(dp, o.OFPCR_ROLE_MASTER, 0)):
            dp.send_msg(message)

    @set_ev_cls(ofp_event.EventOFPBarrierReply, BOTH)
    def on_barrier(self, ev):
        say("barrier")

    @set_ev_cls(ofp_event.EventOFPFlowStatsReply, BOTH)
    def on_stats(self, ev):
        for s in ev.msg.body:
            say("flow", s.priority, dict(s.match.items()), [i.type for i in s.instructions])

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet_in(self, ev):
        say("packet-in", ev.msg.match["in_port"], ev.msg.reason, len(ev.msg.data))

    @set_ev_cls(ofp_event.EventOFPErrorMsg, BOTH + [HANDSHAKE_DISPATCHER])
    def on_error(self, ev):
        say("error", ev.msg.type, ev.msg.code)

    @set_ev_cls(ofp_event.EventOFPRoleReply, BOTH)
    def on_role(self, ev):
        say("role", ev.msg.role)


if __name__ == "__main__":
    from os_ken.cmd.manager import main
    sys.argv = ["openflow_app", "--ofp-tcp-listen-port", sys.argv[1], __file__]
    main()
