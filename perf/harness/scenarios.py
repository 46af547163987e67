# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of perf/run: ports, rules and what is measured, the same for every switch.

One row of SCENARIOS is one line of the tables in docs/performance.md. Rules are ovs-ofctl's text
and port settings are ovs-vsctl's, because Open vSwitch and Sluice take both; a plain learning
bridge needs no rules.
"""
from dataclasses import dataclass, field

MAC_A = "02:00:00:00:0a:00"
MAC_B = "02:00:00:00:0b:00"
MAC_ROUTER = "02:00:00:00:ee:01"

K, M = 1000, 1000 * 1000


@dataclass
class Port:
    """One net_bench port: `args` are device arguments, {flows} is replaced. Or a vhost-user port,
    whose far end is the generator of vhost.py: `args` are the generator's then. Or the host's own
    interface ("internal"), with the generator's destination for address."""
    name: str
    args: str = ""
    type: str = "bench"
    queues: int = 1
    settings: tuple = ()  # ovs-vsctl column=value of the Port record, e.g. "tag=10"


@dataclass
class Scenario:
    name: str
    what: str
    flows: tuple = (1,)
    ports: tuple = ()
    rules: tuple = ()  # empty: a learning bridge
    kind: str = "throughput"  # a function of measure.py
    needs: frozenset = frozenset()  # beyond ports and a learning bridge: features of a switch
    warm_s: dict = field(default_factory=dict)  # switch name -> seconds, default 1
    limit: bool = True  # testpmd io is the upper limit of this one
    prime: bool = True  # one packet from p2 first, so that its address is learnt
    options: dict = field(default_factory=dict)  # for measure.py's function


def sink(name="p2", extra=""):
    """The far port: sends one packet when primed, counts what it is given."""
    return Port(name, "set=l2,reverse=1,flows=1,gate=0" + extra)


def pair(args, settings1=(), settings2=(), extra=""):
    return (Port("p1", "gate=0," + args + extra, settings=settings1),
            Port("p2", "set=l2,reverse=1,flows=1,gate=0" + extra, settings=settings2))


def both_ways(extra=""):
    return (Port("p1", "gate=0,set=l2,flows={flows}" + extra),
            Port("p2", "gate=0,set=l2,reverse=1,flows={flows}" + extra))


def pipe5_rules():
    """5 tables, 118 rules: port security, L2, ACL, 100 routes with TTL and MAC rewrite, output."""
    rules = [
        f"table=0,priority=100,in_port=1,dl_src={MAC_A},ip,nw_src=10.0.0.0/8,actions=goto_table:1",
        f"table=0,priority=100,in_port=1,dl_src={MAC_A},arp,arp_spa=10.0.0.0/8,"
        "actions=goto_table:1",
        "table=0,priority=100,in_port=2,ip,actions=goto_table:1",
        "table=0,priority=0,actions=drop",
        f"table=1,priority=100,dl_dst={MAC_ROUTER},actions=goto_table:2",
        "table=1,priority=90,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop",
        "table=1,priority=0,actions=NORMAL",
        "table=2,priority=100,tcp,tp_dst=23,actions=drop",
        "table=2,priority=100,tcp,tp_dst=445,actions=drop",
        "table=2,priority=100,udp,tp_dst=111,actions=drop",
        "table=2,priority=100,udp,tp_dst=161,actions=drop",
        "table=2,priority=90,ip,nw_src=10.250.0.0/16,actions=drop",
        "table=2,priority=90,ip,nw_dst=20.0.200.0/24,actions=drop",
        "table=2,priority=80,udp,nw_src=10.240.0.0/16,tp_dst=53,actions=drop",
        "table=2,priority=80,tcp,nw_src=10.240.0.0/16,tp_dst=53,actions=drop",
        "table=2,priority=0,actions=goto_table:3",
    ]
    for k in range(100):
        rules.append(f"table=3,priority=100,ip,nw_dst=20.0.{k}.0/24,actions=dec_ttl,"
                     f"set_field:{MAC_ROUTER}->eth_src,"
                     f"set_field:02:00:00:01:00:{k:02x}->eth_dst,"
                     "set_field:2->reg0,goto_table:4")
    rules += ["table=4,priority=100,reg0=2,actions=output:2", "table=4,priority=0,actions=drop"]
    assert len(rules) == 118
    return tuple(rules)


# Every field of the 5-tuple goes into a register, so nothing of it may be wildcarded.
EXACT_RULES = (
    "table=0,priority=100,in_port=1,udp,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],"
    "move:NXM_OF_IP_DST[]->NXM_NX_REG1[],move:NXM_OF_UDP_SRC[]->NXM_NX_REG2[0..15],"
    "move:NXM_OF_UDP_DST[]->NXM_NX_REG2[16..31],output:2",
    "table=0,priority=0,actions=drop",
)

def miss_rules(tables=1, filler=0):
    """Every 5-tuple its own cache entry, at the end of `tables` tables; each has an ACL line of two masks that does not
    match. `filler` more rules stand in the last table."""
    rules = [EXACT_RULES[0].replace("output:2", "goto_table:1" if tables > 1 else "output:2"), EXACT_RULES[1]]
    last = tables - 1
    if filler and not last:
        last = 1
        rules[0] = rules[0].replace("output:2", "goto_table:1")
    for t in range(1, last + 1):
        to = f"goto_table:{t + 1}" if t < last else "output:2"
        rules += [f"table={t},priority=200,tcp,tp_dst={t},actions=drop",
                  f"table={t},priority=150,ip,nw_src=192.168.{t}.0/24,actions=drop",
                  f"table={t},priority=100,actions={to}"]
    rules += [f"table={last},priority=120,udp,nw_dst=172.{16 + (i >> 16)}.{i >> 8 & 255}.{i & 255},tp_dst={i % 60000},"
              "actions=drop" for i in range(filler)]
    return tuple(rules)


TSE_RULES = (
    "priority=100,ip,nw_src=10.0.0.10,actions=output:2",
    "priority=90,tcp,tp_src=12345,actions=output:2",
    "priority=80,tcp,tp_dst=80,actions=output:2",
    "priority=0,actions=drop",
)

REWRITE_RULES = (
    f"priority=100,in_port=1,udp,actions=dec_ttl,set_field:{MAC_ROUTER}->eth_src,"
    "set_field:02:00:00:01:00:01->eth_dst,set_field:192.0.2.1->ip_src,"
    "set_field:4096->udp_src,output:2",
)

CT_RULES = (
    "table=0,priority=100,ip,ct_state=-trk,actions=ct(table=1)",
    "table=0,priority=0,actions=drop",
    "table=1,priority=100,in_port=1,ip,ct_state=+trk+new,actions=ct(commit),output:2",
    "table=1,priority=90,in_port=1,ip,ct_state=+trk+est,actions=output:2",
    "table=1,priority=90,in_port=2,ip,ct_state=+trk+est,actions=output:1",
    "table=1,priority=0,actions=drop",
)

# The victim's connections are established; the attacker's commit as fast as they come.
CT_TENANTS = (
    "table=0,priority=100,ip,ct_state=-trk,actions=ct(table=1)",
    "table=0,priority=0,actions=drop",
    "table=1,priority=100,ip,ct_state=+trk+new,actions=ct(commit),output:2",
    "table=1,priority=90,ip,ct_state=+trk+est,actions=output:2",
    "table=1,priority=0,actions=drop",
)

OPENFLOW = frozenset({"openflow"})
CONNTRACK = frozenset({"openflow", "conntrack"})
POLICY = frozenset({"policy"})


def attack_from(port_args, what_port="p3"):
    return Port(what_port, "gate=0,mark=2," + port_args)


SCENARIOS = [
    Scenario("l2", "learning bridge", (1, K, 10 * K, 100 * K, M),
             pair("set=l2,flows={flows}")),
    Scenario("l2rss", "learning bridge, the port offers a hash", (K, 100 * K),
             pair("set=l2,flows={flows}", extra=",rss=1")),
    Scenario("l2macs", "learning bridge, 10 source addresses", (M,),
             pair("set=l2,macs=10,flows={flows}")),
    Scenario("l2vlan", "learning bridge, access port to trunk: a tag is pushed", (K,),
             (Port("p1", "gate=0,set=l2,flows={flows}", settings=("tag=10",)),
              Port("p2", "gate=0,set=l2,reverse=1,vlan=10,size=68,flows=1",
                   settings=("trunks=10,20", "vlan_mode=trunk")))),
    Scenario("pipe5", "5 tables, 118 rules", (K, 10 * K, 100 * K, M),
             pair("set=pipe5,flows={flows}"), pipe5_rules(), needs=OPENFLOW),
    Scenario("exact", "nothing can be wildcarded (5-tuple used)", (K, 10 * K, 100 * K, M),
             pair("set=l2,flows={flows}"), EXACT_RULES, needs=OPENFLOW,
             warm_s={("ovs", 10 * K): 4, ("ovs", 100 * K): 75, ("ovs", M): 75,
                     ("sluice", M): 4}),
    Scenario("vlan-push", "push a VLAN tag", (K,), pair("set=l2,flows={flows}"),
             ("priority=100,in_port=1,actions=push_vlan:0x8100,set_field:4106->vlan_vid,output:2",),
             needs=OPENFLOW),
    Scenario("vlan-pop", "pop a VLAN tag", (K,), pair("set=l2,vlan=10,size=68,flows={flows}"),
             ("priority=100,in_port=1,dl_vlan=10,actions=pop_vlan,output:2",), needs=OPENFLOW),
    Scenario("rewrite", "MAC, TTL and NAT rewrite", (K,), pair("set=l2,flows={flows}"),
             REWRITE_RULES, needs=OPENFLOW),
    Scenario("ct-udp", "conntrack established, UDP, both directions", (1, 10 * K, M),
             (Port("p1", "gate=0,set=l2,flows={flows}"),
              Port("p2", "gate=0,set=l2,reverse=1,flows={flows}")),
             CT_RULES, needs=CONNTRACK, prime=False, options={"both": True},
             warm_s={("ovs", M): 12, ("sluice", M): 12}),
    Scenario("ct-tcp", "conntrack established, TCP, both directions", (10 * K,),
             (Port("p1", "gate=0,set=l2,tcp=1,flows={flows}"),
              Port("p2", "gate=0,set=l2,tcp=1,reverse=1,flows={flows}")),
             CT_RULES, needs=CONNTRACK, prime=False, options={"both": True}),
    Scenario("policy-off", "learning bridge, both directions: what policy is compared with",
             (1, K, 10 * K), both_ways(), prime=False, options={"both": True}),
    Scenario("policy", "network policy of one rule at both ports, established UDP, both directions",
             (1, K, 10 * K), both_ways(), needs=POLICY, prime=False, limit=False,
             options={"both": True, "policy_rules": 1}),
    Scenario("policy-1k", "the same with 1,000 rules", (1, K, 10 * K), both_ways(), needs=POLICY,
             prime=False, limit=False, options={"both": True, "policy_rules": 1000}),
    Scenario("policy-tcp", "the same, TCP", (K, 10 * K), both_ways(",tcp=1"), needs=POLICY,
             prime=False, limit=False, options={"both": True, "policy_rules": 1}),
    Scenario("setup", "new flows per second, each a miss with its own cache entry", (1,),
             pair("set=l2,roll=1"), EXACT_RULES, kind="setup", needs=OPENFLOW, limit=False),
    Scenario("miss1", "every packet a miss, 1 table", (1,),
             pair("set=l2,roll=1"), miss_rules(1), kind="setup", needs=OPENFLOW, limit=False),
    Scenario("miss5", "every packet a miss, 5 tables", (1,),
             pair("set=l2,roll=1"), miss_rules(5), kind="setup", needs=OPENFLOW, limit=False),
    Scenario("miss20", "every packet a miss, 20 tables", (1,),
             pair("set=l2,roll=1"), miss_rules(20), kind="setup", needs=OPENFLOW, limit=False),
    Scenario("miss100k", "every packet a miss, 2 tables, 100,000 rules in the second", (1,),
             pair("set=l2,roll=1"), miss_rules(1, 100 * K), kind="setup", needs=OPENFLOW,
             limit=False),
    Scenario("ct-setup", "new connections per second", (1,),
             pair("set=l2,roll=1"), CT_RULES, kind="setup", needs=CONNTRACK, limit=False),
    Scenario("newflows", "100 established flows, 1 packet in 1,000 opens a flow", (100,),
             pair("set=l2,flows={flows},attack_set=l2,attack_roll=1"), EXACT_RULES, kind="attack",
             needs=OPENFLOW, limit=False, options={"every": 1000, "attack_warm_s": 1}),
    Scenario("tse", "tuple-space explosion on the victim's port, 1 packet in 1,000", (K,),
             pair("set=tse-victim,flows={flows},attack_set=tse"), TSE_RULES, kind="attack",
             needs=OPENFLOW, limit=False, options={"every": 1000, "attack_warm_s": 12}),
    Scenario("tse-10k", "the same, 1 packet in 10,000", (K,),
             pair("set=tse-victim,flows={flows},attack_set=tse"), TSE_RULES, kind="attack",
             needs=OPENFLOW, limit=False, options={"every": 10000, "attack_warm_s": 12}),
    Scenario("tse-port", "the same from another port, 1,000 packets/s", (K,),
             pair("set=tse-victim,flows={flows}") + (attack_from("set=tse"),), TSE_RULES,
             kind="attack", needs=OPENFLOW, limit=False,
             options={"rate": 1000, "attack_warm_s": 12}),
    Scenario("tse-port-line", "the same from another port at line rate", (K,),
             pair("set=tse-victim,flows={flows}") + (attack_from("set=tse"),), TSE_RULES,
             kind="attack", needs=OPENFLOW, limit=False, options={"attack_warm_s": 12}),
    Scenario("flood-flows", "all-new 5-tuples at line rate from another port", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=l2,roll=1,seed=7"),),
             (EXACT_RULES[0], EXACT_RULES[0].replace("in_port=1", "in_port=3"), EXACT_RULES[1]),
             kind="attack", needs=OPENFLOW, limit=False, options={"attack_warm_s": 3}),
    Scenario("flood-macs", "MAC flood from another port, 1 M addresses/s", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=macflood"),), kind="attack",
             limit=False, options={"rate": M, "attack_warm_s": 3}),
    Scenario("flood-arp", "ARP storm from another port at line rate", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=arp"),), kind="attack",
             limit=False, options={"attack_warm_s": 3}),
    Scenario("flood-nd", "neighbour solicitation storm from another port at line rate", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=nd"),), kind="attack",
             limit=False, options={"attack_warm_s": 3}),
    Scenario("flood-frags", "fragments from another port at line rate", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=frag"),), kind="attack",
             limit=False, options={"attack_warm_s": 3}),
    Scenario("flood-packetin", "packet-ins from another port at line rate, a controller reads them",
             (K,), pair("set=l2,flows={flows}") + (attack_from("set=l2,flows=1000,seed=7"),),
             ("priority=100,in_port=1,actions=NORMAL", "priority=100,in_port=2,actions=NORMAL",
              "priority=100,in_port=3,actions=CONTROLLER:128", "priority=0,actions=drop"),
             kind="attack", needs=OPENFLOW, limit=False,
             options={"attack_warm_s": 3, "monitor": True}),
    # Not in the list: what else a tenant can send.
    Scenario("odd-vlans", "broadcasts in all VLANs from ever new senders on a trunk", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=vlanstorm"),), kind="attack",
             limit=False, options={"attack_warm_s": 3}),
    Scenario("odd-ext6", "IPv6 with eight extension headers, every packet another source", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=ext6"),),
             (EXACT_RULES[0],
              "table=0,priority=100,in_port=3,ipv6,actions=move:NXM_NX_IPV6_SRC[]->NXM_NX_XXREG0[],"
              "output:2", EXACT_RULES[1]),
             kind="attack", needs=OPENFLOW, limit=False, options={"attack_warm_s": 3}),
    Scenario("odd-tables", "every packet a miss through 20 tables", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=l2,roll=1,seed=7"),),
             (EXACT_RULES[0],
              EXACT_RULES[0].replace("in_port=1", "in_port=3").replace("output:2", "goto_table:1"),
              *miss_rules(20)[1:]),
             kind="attack", needs=OPENFLOW, limit=False, options={"attack_warm_s": 3}),
    Scenario("odd-resubmits", "every packet a miss through 20 tables that look three times each", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=l2,roll=1,seed=7"),),
             (EXACT_RULES[0],
              EXACT_RULES[0].replace("in_port=1", "in_port=3").replace("output:2", "resubmit(,1)"),
              *(f"table={t},priority=1,actions=resubmit(,100),resubmit(,101),"
                + (f"resubmit(,{t + 1})" if t < 20 else "output:2") for t in range(1, 21)),
              "table=100,priority=9,tcp,actions=drop", "table=101,priority=9,tcp,actions=drop",
              EXACT_RULES[1]),
             kind="attack", needs=OPENFLOW, limit=False, options={"attack_warm_s": 3}),
    Scenario("odd-packetin", "every packet a packet-in behind 20 tables, a controller reads them", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=l2,roll=1,seed=7"),),
             (EXACT_RULES[0],
              EXACT_RULES[0].replace("in_port=1", "in_port=3").replace("output:2", "goto_table:1"),
              *(r.replace("output:2", "CONTROLLER:128") for r in miss_rules(20)[1:])),
             kind="attack", needs=OPENFLOW, limit=False,
             options={"attack_warm_s": 3, "monitor": True}),
    Scenario("odd-two", "tuple-space explosion from two other ports at line rate: a third is fair",
             (K,), pair("set=tse-victim,flows={flows}") +
             (attack_from("set=tse"), attack_from("set=tse,seed=9", "p4")), TSE_RULES,
             kind="attack", needs=OPENFLOW, limit=False, options={"attack_warm_s": 12}),
    Scenario("odd-jumbo", "frames of 9,014 bytes from another port at line rate", (K,),
             pair("set=l2,flows={flows}") +
             (attack_from("set=l2,flows=1000,size=9014,seed=7"),), kind="attack",
             limit=False, options={"attack_warm_s": 3, "mtu": 9000}),
    Scenario("odd-frags", "8-byte fragments that are never whole, in the victim's conntrack zone", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=tinyfrag"),), CT_TENANTS,
             kind="attack", needs=CONNTRACK, prime=False, limit=False,
             options={"attack_warm_s": 3}),
    Scenario("odd-ct", "a new connection with every packet, in the victim's conntrack zone", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=l2,roll=1,seed=7"),), CT_TENANTS,
             kind="attack", needs=CONNTRACK, prime=False, limit=False,
             options={"attack_warm_s": 3}),
    Scenario("odd-syn", "SYNs of ever new connections between policed ports", (K,),
             pair("set=l2,flows={flows}") + (attack_from("set=syn"),), kind="attack",
             needs=POLICY, limit=False, options={"attack_warm_s": 3, "policy_rules": 1}),
    Scenario("churn", "10,000 rule changes per second that match nothing", (K,),
             pair("set=pipe5,flows={flows}"), pipe5_rules(), kind="attack", needs=OPENFLOW,
             limit=False, options={"attack_warm_s": 3, "churn": 10000}),
    Scenario("latency", "added latency at half load", (K,),
             (Port("p1", "gate=0,set=l2,flows={flows},stamp=1"),
              sink(extra=",verify=1")), kind="latency"),
    Scenario("startup", "launch to first packet", (1,),
             (Port("p1", "set=l2"), Port("p2", "set=l2,reverse=1,rate=1000,mark=3")),
             kind="startup", prime=False),
    Scenario("outage", "outage after kill -9 of the datapath, restarted at once", (1,),
             (Port("p1", "set=l2"), Port("p2", "set=l2,reverse=1,rate=1000,mark=3")),
             kind="outage", prime=False),
    Scenario("outage-control", "outage after kill -9 of the control daemon", (1,),
             (Port("p1", "set=l2"), Port("p2", "set=l2,reverse=1,rate=1000,mark=3")),
             kind="outage", prime=False, limit=False, options={"control": True}),
    Scenario("memory", "memory with 2 ports", (1,), pair("set=l2"), kind="memory"),
    Scenario("memory16", "memory with 16 ports", (1,),
             pair("set=l2") + tuple(Port(f"p{i}", "gate=0") for i in range(3, 17)),
             kind="memory", limit=False),
    Scenario("idle-ports", "500 idle vhost-user ports beside one busy port", (K,),
             pair("set=l2,flows={flows}"), kind="idle", limit=False, options={"idle_ports": 500}),
    Scenario("vh-l2", "vhost-user to vhost-user, learning bridge, generator on the other core", (K,),
             (Port("v1", "gate=0,set=l2,flows={flows}", type="vhost"),
              Port("v2", "gate=0,set=l2,reverse=1,flows=1", type="vhost")), kind="vhost"),
    Scenario("vh-pipe5", "the same, 5 tables, 118 rules", (K,),
             (Port("v1", "gate=0,set=pipe5,flows={flows}", type="vhost"),
              Port("v2", "gate=0,set=l2,reverse=1,flows=1", type="vhost")), pipe5_rules(),
             kind="vhost", needs=OPENFLOW, limit=False),
    Scenario("vh-jumbo", "vhost-user to vhost-user, 9,014-byte frames, MTU 9000", (16,),
             (Port("v1", "gate=0,set=l2,tcp=1,size=9014,flows={flows}", type="vhost"),
              Port("v2", "gate=0,set=l2,reverse=1,flows=1", type="vhost")), kind="vhost-bytes",
             limit=False, options={"large": True, "frame_bytes": 9014, "mtu": 9000}),
    Scenario("vh-tso", "vhost-user to vhost-user, TCP frames of 64 KiB left unsegmented", (16,),
             (Port("v1", "gate=0,set=l2,tcp=1,size=65226,mss=8948,csum=1,flows={flows}", type="vhost"),
              Port("v2", "gate=0,set=l2,tcp=1,size=1500,mss=8948,csum=1,reverse=1,flows=1",
                   type="vhost")), kind="vhost-bytes", limit=False,
             options={"large": True, "frame_bytes": 65226, "mtu": 9000, "tso": True}),
    Scenario("vh-latency", "vhost-user to vhost-user at half load", (K,),
             (Port("v1", "gate=0,set=l2,flows={flows},stamp=1", type="vhost"),
              Port("v2", "gate=0,set=l2,reverse=1,flows=1,verify=1", type="vhost")),
             kind="vhost-latency"),
    Scenario("vh-host", "vhost-user to the host's own interface, 64 bytes", (K,),
             (Port("v1", "gate=0,set=l2,flows={flows}", type="vhost"), Port("h1", type="internal")),
             kind="vhost-host", limit=False),
    Scenario("vh-host-tso", "the same, TCP frames of 64 KiB left unsegmented", (16,),
             (Port("v1", "gate=0,set=l2,tcp=1,size=65226,mss=8948,csum=1,flows={flows}", type="vhost"),
              Port("h1", type="internal")), kind="vhost-host-bytes", limit=False,
             options={"large": True, "mtu": 9000, "tso": True}),
    Scenario("two-cores", "learning bridge, two rx queues, two poll cores", (100 * K,),
             (Port("p1", "gate=0,set=l2,flows={flows},rss=1", queues=2), sink(extra=",rss=1")),
             options={"cores": "0,1"}),
]

BY_NAME = {s.name: s for s in SCENARIOS}

# What `perf/run` measures without a list: the tables of the README and of docs/performance.md.
GROUPS = {
    "quick": ["l2"],
    "speed": ["l2", "pipe5", "exact", "vlan-push", "vlan-pop", "rewrite"],
    "conntrack": ["ct-udp", "ct-tcp", "ct-setup"],
    "policies": ["policy-off", "policy", "policy-1k", "policy-tcp"],
    "attacks": ["newflows", "tse", "tse-10k", "tse-port", "tse-port-line", "flood-flows",
                "flood-macs", "flood-arp", "flood-nd", "flood-frags", "flood-packetin", "churn"],
    "odd": ["odd-vlans", "odd-ext6", "odd-tables", "odd-resubmits", "odd-packetin", "odd-two",
            "odd-jumbo", "odd-frags", "odd-ct", "odd-syn"],
    "misses": ["miss1", "miss5", "miss20", "miss100k"],
    "life": ["startup", "outage", "outage-control", "memory", "memory16", "latency",
             "idle-ports"],
    "guests": ["vh-l2", "vh-pipe5", "vh-jumbo", "vh-tso", "vh-latency",
               "vh-host", "vh-host-tso"],
    "all": [s.name for s in SCENARIOS],
}


def parse_count(text):
    """'1', '10k', '1M' -> int"""
    text = text.strip()
    factor = {"k": K, "K": K, "m": M, "M": M}.get(text[-1:], 1)
    return int(text[:-1] if factor > 1 else text) * factor


def format_count(n):
    if n and n % M == 0:
        return f"{n // M}M"
    if n and n % K == 0:
        return f"{n // K}k"
    return str(n)


def select(words):
    """'l2:1k,1M pipe5 speed' -> [(Scenario, flows), …]; ValueError names the word at fault."""
    chosen = []
    for word in words:
        name, _, counts = word.partition(":")
        if name in BY_NAME:
            names = [name]
        elif name in GROUPS:
            names = GROUPS[name]
        else:
            raise ValueError(f"{name}: no such scenario or group")
        for n in names:
            scenario = BY_NAME[n]
            try:
                flows = [parse_count(c) for c in counts.split(",")] if counts else scenario.flows
            except ValueError:
                raise ValueError(f"{word}: flows are numbers such as 1, 10k, 1M") from None
            for f in flows:
                if (scenario, f) not in chosen:
                    chosen.append((scenario, f))
    return chosen
