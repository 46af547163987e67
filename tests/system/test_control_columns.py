# SPDX-License-Identifier: BSD-3-Clause
"""Nothing is inert in silence: every column of the Open_vSwitch schema is acted on, written by the
daemon, reported when it is set, or without effect by design; a new column fails here."""
import json
import os
import re

from control_process import Switch

ACTED, WRITTEN, REPORTED, DESIGN = "acted on", "written", "reported", "by design"

DUTIES = {
    "Open_vSwitch": {
        ACTED: "bridges datapaths manager_options next_cfg other_config ssl",
        WRITTEN: "cur_cfg datapath_types dpdk_initialized dpdk_version iface_types ovs_version "
                 "system_type system_version",
        # set by scripts for people; statistics of the host are nobody's business here
        DESIGN: "db_version external_ids statistics"},
    "Bridge": {
        # flow_tables leads to what is reported
        ACTED: "controller datapath_type fail_mode flood_vlans flow_tables name other_config ports protocols "
               "external_ids",
        WRITTEN: "datapath_id datapath_version status",
        REPORTED: "auto_attach ipfix mcast_snooping_enable mirrors netflow "
                  "rstp_enable sflow stp_enable",
        DESIGN: "rstp_status"},
    "Port": {
        ACTED: "cvlans interfaces name other_config protected tag trunks vlan_mode external_ids",
        WRITTEN: "status",
        REPORTED: "lacp qos",
        # of bonds, which are refused as a whole; fake_bridge is ovs-vsctl's own mark
        DESIGN: "bond_active_slave bond_downdelay bond_fake_iface bond_mode bond_updelay "
                "fake_bridge mac rstp_statistics rstp_status statistics"},
    "Interface": {
        ACTED: "ingress_policing_burst ingress_policing_rate ingress_policing_kpkts_rate "
               "ingress_policing_kpkts_burst mac mtu_request name ofport_request options other_config type external_ids",
        WRITTEN: "admin_state duplex error ifindex link_resets link_speed link_state mac_in_use "
                 "mtu ofport statistics status",
        REPORTED: "bfd cfm_mpid lldp",
        # nothing without the columns above
        DESIGN: "bfd_status cfm_fault cfm_fault_status cfm_flap_count cfm_health "
                "cfm_remote_mpids cfm_remote_opstate "
                "lacp_current"},
    "Controller": {
        ACTED: "controller_burst_limit controller_rate_limit enable_async_messages "
               "inactivity_probe max_backoff target type",
        WRITTEN: "is_connected role status",
        # control is never in-band
        DESIGN: "connection_mode controller_queue_size external_ids local_gateway local_ip "
                "local_netmask other_config"},
    "Manager": {
        ACTED: "target inactivity_probe max_backoff",
        WRITTEN: "is_connected status",
        # other_config has no key that is known, so each is reported
        DESIGN: "connection_mode external_ids other_config"},
    "SSL": {
        ACTED: "ca_cert certificate private_key",
        REPORTED: "bootstrap_ca_cert",
        DESIGN: "external_ids"},
    "Datapath": {
        ACTED: "ct_zones",
        WRITTEN: "capabilities",
        DESIGN: "datapath_version external_ids"},
    "CT_Zone": {
        ACTED: "timeout_policy",
        DESIGN: "external_ids"},
    "CT_Timeout_Policy": {
        ACTED: "timeouts",  # states that the tracker does not have are reported
        DESIGN: "external_ids"},
    "Flow_Table": {
        ACTED: "name flow_limit overflow_policy",
        REPORTED: "groups",
        # every address and port is looked up by prefix, so there is nothing to choose
        DESIGN: "prefixes external_ids"},
}
# Rows that only a reported column refers to.
THROUGH = {"AutoAttach": "auto_attach", "Flow_Sample_Collector_Set": "ipfix", "IPFIX": "ipfix", "Mirror": "mirrors",
           "NetFlow": "netflow", "QoS": "qos", "Queue": "qos", "sFlow": "sflow"}


def reported():
    path = os.path.join(os.path.dirname(__file__), "..", "..", "control", "state",
                        "inert_columns.def")
    with open(path) as f:
        rows = re.findall(r'^INERT\((\w+), "(\w+)"', f.read(), re.M)
    return {t: {c for u, c in rows if u == t} for t, _ in rows}


def test_every_column_has_its_duty():
    with Switch("--enable-dummy=system") as sw:
        schema = json.loads(sw.run("ovsdb-client", "get-schema", f"unix:{sw.dir}/db.sock",
                                   "Open_vSwitch").stdout)
    assert set(schema["tables"]) == set(DUTIES) | set(THROUGH)
    for table, duties in DUTIES.items():
        listed = [c for columns in duties.values() for c in columns.split()]
        assert len(listed) == len(set(listed)), table
        assert set(listed) == set(schema["tables"][table]["columns"]), table
        assert set(duties.get(REPORTED, "").split()) == reported().get(table, set()), table
    everywhere = {c for d in DUTIES.values() for c in d.get(REPORTED, "").split()}
    assert set(THROUGH.values()) <= everywhere


def test_what_is_reported_is_seen():
    with Switch("--enable-dummy=system") as sw:
        sw.dummies("p1")
        sw.vsctl("--", "--id=@m", "create", "Mirror", "name=m", "--", "set", "Bridge", "br0",
                 "mirrors=@m")
        sw.vsctl("--", "--id=@q", "create", "QoS", "type=linux-htb", "--", "set", "Port", "p1",
                 "qos=@q")
        sw.vsctl("--", "--id=@t", "create", "Flow_Table", 'groups="NXM_OF_IN_PORT[]"', "--", "set", "Bridge",
                 "br0", "flow_tables:3=@t")
        sw.vsctl("set-ssl", "/nokey", "/nocert", "/noca")
        sw.vsctl("set", "SSL", ".", "bootstrap_ca_cert=true")
        sw.vsctl("set-manager", "ptcp:0:127.0.0.1")
        manager = sw.vsctl("--bare", "--columns=_uuid", "list", "Manager")
        sw.vsctl("set", "Manager", manager, "other_config:dscp=3")
        texts = [n["text"] for n in sw.status()["notes"]]
        for column in ("mirrors", "qos", "groups", "bootstrap_ca_cert"):
            assert any(t.startswith(column + ": ") for t in texts), texts
        unknown = [n for n in sw.status()["notes"] if n.get("kind") == "unknown_key"]
        assert [(n["table"], n["name"], n["column"], n["key"]) for n in unknown] == \
            [("Manager", "ptcp:0:127.0.0.1", "other_config", "dscp")]
        assert "mirrors are not supported" in sw.get("Bridge", "br0", "status")
        assert "shaping is not supported" in sw.get("Port", "p1", "status")
