# SPDX-License-Identifier: BSD-3-Clause
"""Rules of every kind that Neutron's agent (OpenFlow 1.3, bundles of ONF extension 230) and ovn-controller (1.5) send:
taken in one bundle, they print back as from Open vSwitch, and diff-flows and replace-flows find nothing to do."""
import pytest

from openflow_pair import Ovs, Sluice, ofctl

# br-int, br-tun and the firewall of Neutron's agent
NEUTRON = """
cookie=0xf1e2d3c4,table=0,priority=10,icmp6,in_port=1,icmp_type=136,actions=resubmit(,24)
cookie=0xf1e2d3c4,table=0,priority=10,arp,in_port=1,actions=resubmit(,24)
cookie=0xf1e2d3c4,table=0,priority=9,in_port=1,actions=resubmit(,25)
cookie=0xf1e2d3c4,table=0,priority=3,in_port=2,vlan_tci=0x0000/0x1fff,actions=push_vlan:0x8100,set_field:4097->vlan_vid,NORMAL
cookie=0xf1e2d3c4,table=0,priority=3,in_port=2,dl_vlan=101,actions=set_field:4097->vlan_vid,goto_table:58
cookie=0xf1e2d3c4,table=0,priority=2,in_port=2,actions=drop
cookie=0xf1e2d3c4,table=0,priority=65535,dl_vlan=4095,actions=drop
cookie=0xf1e2d3c4,table=0,priority=0,actions=goto_table:58
cookie=0xf1e2d3c4,table=23,priority=0,actions=drop
cookie=0xf1e2d3c4,table=24,priority=2,arp,in_port=1,arp_spa=10.0.0.5,actions=resubmit(,25)
cookie=0xf1e2d3c4,table=24,priority=2,icmp6,in_port=1,icmp_type=136,nd_target=fe80::f816:3eff:fe00:1,actions=resubmit(,60)
cookie=0xf1e2d3c4,table=25,priority=2,in_port=1,dl_src=fa:16:3e:00:00:01,actions=resubmit(,60)
cookie=0xf1e2d3c4,table=60,priority=100,in_port=1,actions=load:0x1->NXM_NX_REG5[],load:0x1->NXM_NX_REG6[],resubmit(,71)
cookie=0xf1e2d3c4,table=60,priority=90,dl_vlan=1,dl_dst=fa:16:3e:00:00:01,actions=load:0x1->NXM_NX_REG5[],load:0x1->NXM_NX_REG6[],pop_vlan,resubmit(,81)
cookie=0xf1e2d3c4,table=71,priority=95,icmp6,reg5=0x1,in_port=1,icmp_type=130,actions=resubmit(,94)
cookie=0xf1e2d3c4,table=71,priority=95,udp,reg5=0x1,in_port=1,tp_src=68,tp_dst=67,actions=resubmit(,73)
cookie=0xf1e2d3c4,table=71,priority=70,udp,reg5=0x1,in_port=1,tp_src=67,tp_dst=68,actions=resubmit(,93)
cookie=0xf1e2d3c4,table=71,priority=65,ip,reg5=0x1,in_port=1,dl_src=fa:16:3e:00:00:01,nw_src=10.0.0.5,actions=ct(table=72,zone=NXM_NX_REG6[0..15])
cookie=0xf1e2d3c4,table=71,priority=10,reg5=0x1,in_port=1,ct_state=-trk,actions=resubmit(,93)
cookie=0xf1e2d3c4,table=72,priority=77,tcp,reg5=0x1,tp_dst=0x50/0xfff0,ct_state=+est-rel-rpl,actions=resubmit(,73)
cookie=0xf1e2d3c4,table=72,priority=70,ip,reg6=0x1,nw_src=10.0.0.0/24,ct_state=+est-rel-rpl,actions=conjunction(8,1/2)
cookie=0xf1e2d3c4,table=72,priority=73,ct_state=+est-rel-rpl,ip,reg5=0x1,conj_id=8,actions=load:0x8->NXM_NX_REG7[],resubmit(,73)
cookie=0xf1e2d3c4,table=72,priority=50,ct_state=+inv+trk,actions=resubmit(,93)
cookie=0xf1e2d3c4,table=72,priority=50,ct_mark=0x1,reg5=0x1,actions=resubmit(,93)
cookie=0xf1e2d3c4,table=72,priority=50,ct_state=+est-rel+rpl,ct_zone=1,ct_mark=0,reg5=0x1,actions=resubmit(,94)
cookie=0xf1e2d3c4,table=72,priority=40,ct_state=+est,ip,reg5=0x1,actions=ct(commit,zone=NXM_NX_REG6[0..15],exec(set_field:0x1->ct_mark))
cookie=0xf1e2d3c4,table=73,priority=100,reg6=0x1,dl_dst=fa:16:3e:00:00:02,actions=load:0x2->NXM_NX_REG5[],resubmit(,81)
cookie=0xf1e2d3c4,table=73,priority=90,ct_state=+new-est,ip,reg5=0x1,actions=ct(commit,zone=NXM_NX_REG6[0..15]),resubmit(,91)
cookie=0xf1e2d3c4,table=91,priority=1,actions=resubmit(,94)
cookie=0xf1e2d3c4,table=92,priority=0,actions=drop
cookie=0xf1e2d3c4,table=94,priority=12,reg6=0x1,dl_dst=fa:16:3e:00:00:05,actions=output:3
cookie=0xf1e2d3c4,table=94,priority=10,reg6=0x1,dl_src=fa:16:3e:00:00:01,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,actions=push_vlan:0x8100,move:NXM_NX_REG6[0..11]->NXM_OF_VLAN_TCI[0..11],output:2
cookie=0xf1e2d3c4,table=94,priority=1,actions=NORMAL
cookie=0x1,table=2,priority=0,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=resubmit(,22)
cookie=0x1,table=4,priority=1,tun_id=0x5,actions=push_vlan:0x8100,set_field:4097->vlan_vid,resubmit(,10)
cookie=0x1,table=10,priority=1,actions=learn(table=20,hard_timeout=300,priority=1,cookie=0x1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:OXM_OF_IN_PORT[]),output:1
cookie=0x1,table=20,priority=2,dl_vlan=1,dl_dst=fa:16:3e:00:00:09,actions=pop_vlan,set_field:0x5->tun_id,output:3
cookie=0x1,table=21,priority=1,arp,dl_vlan=1,arp_tpa=10.0.0.9,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:00:00:09->eth_src,load:0x2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],load:0xfa163e000009->NXM_NX_ARP_SHA[],load:0xa000009->NXM_OF_ARP_SPA[],IN_PORT
cookie=0x1,table=22,priority=1,dl_vlan=1,actions=pop_vlan,load:0x5->NXM_NX_TUN_ID[],output:3,output:2
cookie=0x1,table=77,priority=101,udp,in_port=1,tp_src=68,tp_dst=67,actions=CONTROLLER:65535
cookie=0x1,table=78,priority=1,in_port=1,actions=meter:1,goto_table:94
"""

# Tables of ovn-controller, in OpenFlow 1.5's words
OVN = """
cookie=0x1,table=0,priority=100,in_port=1,actions=set_field:0x2->reg13,set_field:0x1->reg11,set_field:0x3->reg12,set_field:0x4->metadata,set_field:0x5->reg14,resubmit(,8)
cookie=0x1,table=0,priority=150,in_port=2,vlan_tci=0x0000/0x1000,actions=set_field:0x4->metadata,set_field:0x6->reg14,resubmit(,8)
cookie=0x1,table=0,priority=150,in_port=2,dl_vlan=7,actions=pop_vlan,set_field:0x4->metadata,set_field:0x6->reg14,resubmit(,8)
table=0,priority=100,in_port=3,actions=move:NXM_NX_TUN_ID[0..23]->OXM_OF_METADATA[0..23],move:NXM_NX_TUN_METADATA0[16..30]->NXM_NX_REG14[0..14],move:NXM_NX_TUN_METADATA0[0..15]->NXM_NX_REG15[0..15],resubmit(,38)
table=8,priority=100,metadata=0x4,vlan_tci=0x1000/0x1000,actions=drop
table=8,priority=100,metadata=0x4,dl_src=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop
table=8,priority=50,metadata=0x4,actions=set_field:0/0x1000->reg10,resubmit(,73),move:NXM_NX_REG10[12]->NXM_NX_XXREG0[111],resubmit(,9)
table=10,priority=120,icmp6,metadata=0x4,icmp_type=135,icmp_code=0,nd_target=fd00::1,nw_ttl=255,actions=set_field:0x1->xreg4,resubmit(,11)
table=12,priority=100,ip,reg0=0x1/0x1,metadata=0x4,actions=ct(table=13,zone=NXM_NX_REG13[0..15])
table=14,priority=65535,ct_state=+inv+trk,ip,metadata=0x4,actions=drop
table=14,priority=65532,ct_state=-new+est-rel+rpl-inv+trk,ct_mark=0/0x1,metadata=0x4,actions=set_field:0/0x10000000000000000000000000000->xxreg0,resubmit(,15)
table=14,priority=2002,tcp,reg14=0x5,metadata=0x4,tp_dst=0x400/0xfc00,tcp_flags=+syn-ack,actions=conjunction(2,1/3)
table=14,priority=2002,ip,metadata=0x4,nw_src=10.0.0.0/24,actions=conjunction(2,2/3),conjunction(3,1/2)
table=14,priority=2002,conj_id=2,ip,metadata=0x4,actions=set_field:0x2000000000000000000000000/0x2000000000000000000000000->xxreg0,resubmit(,15)
table=16,priority=120,ct_state=+new+trk,tcp,reg0=0/0x40,metadata=0x4,nw_dst=10.0.0.100,tp_dst=80,actions=group:1
table=17,priority=110,ip,ct_state=+new+trk,metadata=0x4,actions=ct(commit,table=18,zone=NXM_NX_REG13[0..15],nat(dst=10.0.0.5:80),exec(set_field:0x2/0x2->ct_mark))
table=17,priority=100,ip,reg0=0x2/0x2,metadata=0x4,actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0/0x1->ct_mark,move:NXM_NX_XXREG0[0..31]->NXM_NX_CT_LABEL[96..127])),resubmit(,18)
table=19,priority=50,arp,metadata=0x4,arp_tpa=10.0.0.5,arp_op=1,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:50:54:00:00:00:01->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:50:54:00:00:00:01->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:10.0.0.5->arp_spa,move:NXM_NX_REG14[]->NXM_NX_REG15[],set_field:0x1/0x1->reg10,resubmit(,37)
table=19,priority=50,icmp6,metadata=0x4,icmp_type=135,icmp_code=0,nw_ttl=255,nd_target=fd00::5,actions=controller(userdata=00.00.00.0c.00.00.00.00.00.19.00.10.80.00.08.06)
table=20,priority=100,udp,reg14=0x5,metadata=0x4,tp_src=68,tp_dst=67,actions=controller(userdata=00.00.00.02.00.00.00.00.00.01.de.10.00.00.00.63,pause),resubmit(,21)
table=21,priority=90,ip,metadata=0x4,actions=controller(userdata=00.00.00.07.00.00.00.00,meter_id=1),resubmit(,22)
table=22,priority=1,ip,metadata=0x4,nw_ttl=1,ip_frag=no,actions=dec_ttl(),resubmit(,23)
table=23,priority=49,ip,metadata=0x3,nw_dst=10.0.1.0/24,actions=dec_ttl(),move:NXM_OF_IP_DST[]->NXM_NX_XXREG0[96..127],set_field:0xa000101->xxreg0,set_field:0:0:0:0:0:0->eth_dst,set_field:0x1/0x1->reg10,resubmit(,24)
table=24,priority=100,ip,reg0=0xa000105,metadata=0x3,actions=push:NXM_NX_REG0[],push:NXM_NX_XXREG0[96..127],pop:NXM_NX_REG0[],set_field:00:00:00:00:00:00->eth_dst,resubmit(,66),pop:NXM_NX_REG0[],resubmit(,25)
table=25,priority=50,ip,metadata=0x3,actions=check_pkt_larger(1514)->NXM_NX_REG9[1],resubmit(,26)
table=26,priority=100,ip,metadata=0x3,nw_dst=10.0.1.9,actions=ct_clear,ct(commit,table=27,zone=NXM_NX_REG12[0..15],nat(src=172.16.0.1))
table=27,priority=100,ip,metadata=0x3,actions=ct(table=28,zone=NXM_NX_REG11[0..15],nat)
table=28,priority=100,ip,metadata=0x3,actions=clone(ct_clear,move:NXM_NX_REG15[]->NXM_NX_REG14[],set_field:0->reg15,set_field:0->reg0,set_field:0->xxreg1,set_field:0x9/0xffff->reg10,resubmit(,8))
table=29,priority=1,ip,metadata=0x3,actions=meter:1,set_queue:3,resubmit(,30)
table=31,priority=1,tcp,metadata=0x3,actions=learn(table=69,delete_learned,idle_timeout=60,hard_timeout=30,cookie=0x77,OXM_OF_METADATA[],eth_type=0x800,NXM_OF_IP_SRC[],ip_dst=10.0.0.5,nw_proto=6,NXM_OF_TCP_SRC[]=NXM_OF_TCP_DST[],load:0x1->NXM_NX_REG10[7])
table=32,priority=100,reg15=0x1,metadata=0x4,actions=move:NXM_NX_REG14[0..14]->NXM_NX_TUN_METADATA0[16..30],move:NXM_NX_REG15[0..15]->NXM_NX_TUN_METADATA0[0..15],set_field:0x4->tun_id,output:3
table=37,priority=150,reg10=0x2/0x2,actions=resubmit(,38)
table=39,priority=100,reg10=0/0x1,reg14=0x5,reg15=0x5,metadata=0x4,actions=drop
table=64,priority=100,reg10=0x1/0x1,reg15=0x5,metadata=0x4,actions=push:NXM_OF_IN_PORT[],set_field:ANY->in_port,resubmit(,65),pop:NXM_OF_IN_PORT[]
table=65,priority=100,reg15=0x5,metadata=0x4,actions=output:1
table=65,priority=100,reg15=0x7,metadata=0x4,actions=push_vlan:0x8100,set_field:4103->vlan_vid,output:2,pop_vlan
table=66,priority=100,ip,reg0=0xa000105,reg15=0x2,metadata=0x3,actions=set_field:50:54:00:00:00:09->eth_dst,set_field:0x40/0x40->reg10
table=67,priority=100,arp,reg0=0xa000105,reg14=0x2,metadata=0x3,dl_src=50:54:00:00:00:09,actions=set_field:0x40/0x40->reg10
table=70,priority=100,tcp,reg1=0xa000064,reg2=0x50/0xffff,metadata=0x4,actions=ct(commit,zone=NXM_NX_REG12[0..15],nat(src=10.0.0.100))
table=73,priority=95,arp,reg14=0x5,metadata=0x4,dl_src=50:54:00:00:00:05,arp_sha=50:54:00:00:00:05,arp_spa=10.0.0.5,actions=set_field:0/0x1000->reg10
table=74,priority=90,icmp6,reg14=0x5,metadata=0x4,nw_ttl=255,icmp_type=136,icmp_code=0,nd_target=fe80::5,nd_tll=50:54:00:00:00:05,actions=set_field:0/0x1000->reg10
table=75,priority=85,ip,reg15=0x5,metadata=0x4,nw_dst=224.0.0.0/4,actions=set_field:0/0x1000->reg10
table=76,priority=100,ipv6,metadata=0x3,ipv6_dst=fd00::/64,ipv6_label=0x12345,ip_dscp=10,actions=bundle(eth_src,0,active_backup,ofport,members:3)
table=79,priority=1,pkt_mark=0x5,ip,nw_ecn=2,sctp,tp_dst=0x10/0xfff0,actions=set_field:0x1->pkt_mark
"""

CASES = {"neutron": ("OpenFlow13", NEUTRON), "ovn": ("OpenFlow15", OVN)}


@pytest.fixture(scope="module")
def pair():
    with Sluice() as ours:
        theirs = Ovs()
        for s in (ours, theirs):
            ofctl(s.mgmt, "OpenFlow15", "add-tlv-map", "{class=0x102,type=0x80,len=4}->tun_metadata0")
            ofctl(s.mgmt, "OpenFlow15", "add-meter", "meter=1,pktps,band=type=drop,rate=10")
            ofctl(s.mgmt, "OpenFlow15", "add-group",
                  "group_id=1,type=select,selection_method=dp_hash,bucket=bucket_id:0,weight:100,"
                  "actions=ct(nat(dst=10.0.0.5:80),commit,table=18,zone=NXM_NX_REG13[0..15],exec(set_field:2/2->ct_mark))")
        yield ours, theirs
        theirs.stop()


def dumped(switch, version):
    code, out, err = ofctl(switch.mgmt, version, "dump-flows", options=["--no-stats"])
    assert code == 0, err
    return sorted(out.splitlines())


@pytest.mark.parametrize("case", CASES)
def test_accepted_and_printed_back(pair, case, tmp_path):
    version, text = CASES[case]
    path = tmp_path / "flows"
    path.write_text(text)
    n = len(text.strip().splitlines())
    for s in pair:
        ofctl(s.mgmt, version, "del-flows")
        assert ofctl(s.mgmt, version, "add-flows", str(path), options=["--bundle"]) == (0, "", "")
    assert dumped(pair[0], version) == dumped(pair[1], version)
    assert len(dumped(pair[0], version)) >= n
    groups = [ofctl(s.mgmt, version, "dump-groups") for s in pair]
    assert groups[0] == groups[1]
    assert ofctl(pair[0].mgmt, version, "diff-flows", str(path)) == (0, "", "")
    before = dumped(pair[0], version)
    assert ofctl(pair[0].mgmt, version, "replace-flows", str(path)) == (0, "", "")
    assert dumped(pair[0], version) == before


@pytest.mark.parametrize("case", CASES)
def test_saved_text_is_the_same_rules(pair, case, tmp_path):
    """parse∘format: what our own text says of them makes the same rules again."""
    version, text = CASES[case]
    sw = pair[0].switch
    path = tmp_path / "flows"
    path.write_text(text)
    ofctl(pair[0].mgmt, version, "del-flows")
    assert ofctl(pair[0].mgmt, version, "add-flows", str(path), options=["--bundle"])[0] == 0
    before = dumped(pair[0], version)
    saved = tmp_path / "saved"
    sw.sluice("flow", "save", "br0", str(saved))
    ofctl(pair[0].mgmt, version, "del-flows")
    sw.sluice("flow", "restore", "br0", str(saved))
    assert dumped(pair[0], version) == before


def test_deletion_by_cookie_mask(pair):
    """How Neutron's agent removes what an earlier run left behind."""
    for s in pair:
        ofctl(s.mgmt, "OpenFlow13", "del-flows")
        for i, cookie in enumerate(("0xf1e2d3c4", "0xa1", "0xa2")):
            ofctl(s.mgmt, "OpenFlow13", "add-flow", f"cookie={cookie},table=23,priority={i},actions=drop")
        ofctl(s.mgmt, "OpenFlow13", "del-flows", "cookie=0xf1e2d3c4/-1")
        ofctl(s.mgmt, "OpenFlow13", "del-flows", "table=23,cookie=0xa0/0xfffffffffffffffe")
    assert dumped(pair[0], "OpenFlow13") == dumped(pair[1], "OpenFlow13")
