# SPDX-License-Identifier: BSD-3-Clause
"""Settings of tables: limits and names from Flow_Table rows, eviction by importance, vacancy events, and that all of
it outlives the datapath. Beside Open vSwitch where it has the same."""
import struct
import time

from control_process import wait_until
from openflow_pair import Sluice, normalise, ofctl, pair  # noqa: F401
from test_openflow_monitor import Monitor

O14 = "OpenFlow14"
# SET_ASYNC: table status for vacancy going down (3) and up (4), to slaves (8) and others (9)
SET_ASYNC = struct.pack("!BBHI HHI HHI", 5, 28, 24, 7, 8, 8, 0x18, 9, 8, 0x18)


def vsctl(switch, *words):
    if isinstance(switch, Sluice):
        return switch.switch.vsctl(*words)
    return switch.vsctl(*words)


def limit(switch, table, *columns):
    vsctl(switch, "--", "--id=@t", "create", "Flow_Table", *columns, "--", "set", "bridge", "br0",
          f"flow_tables:{table}=@t")


def full(switch, table, flow):
    """True when the table takes no more."""
    code, _, err = ofctl(switch.mgmt, O14, "add-flow", f"table={table},{flow}")
    assert code == 0 or "TABLE_FULL" in err, err
    return code != 0


def test_a_full_table_refuses_or_evicts(pair):
    for s in pair:
        limit(s, 3, "flow_limit=3", "name=acl")
        wait_until(lambda: "acl" in ofctl(s.mgmt, O14, "dump-table-features")[1])
        for i in (5, 1, 9):
            assert not full(s, 3, f"priority={i},importance={i},hard_timeout={60 - i},actions=1")
        assert full(s, 3, "priority=2,importance=2,actions=1")
        ofctl(s.mgmt, O14, "mod-table", "3", "evict")
        assert not full(s, 3, "priority=2,importance=2,idle_timeout=60,actions=1")
        left = ofctl(s.mgmt, O14, "dump-flows", "table=3")[1]
        assert "importance=1," not in left and "importance=2," in left and "importance=9," in left
        ofctl(s.mgmt, O14, "mod-table", "3", "noevict")
        assert full(s, 3, "priority=3,importance=3,actions=1")
        vsctl(s, "set", "Flow_Table", "acl", "overflow_policy=evict")
        wait_until(lambda: not full(s, 3, "priority=3,importance=3,actions=1"))
        vsctl(s, "clear", "bridge", "br0", "flow_tables")
        wait_until(lambda: not full(s, 3, "priority=7,actions=1") and not full(s, 3, "priority=8,actions=1"))
        ofctl(s.mgmt, O14, "del-flows")


def test_vacancy_events(pair):
    told = []
    for s in pair:
        limit(s, 4, "flow_limit=10", "name=small")
        wait_until(lambda: "small" in ofctl(s.mgmt, O14, "dump-table-features")[1])
        m = Monitor(s.mgmt, O14, "65534")
        m.send(SET_ASYNC)
        m.barrier()
        assert ofctl(s.mgmt, O14, "mod-table", "4", "vacancy:20,80")[0] == 0
        for i in list(range(10)) + [0]:
            ofctl(s.mgmt, O14, "add-flow", f"table=4,priority={i},actions=1")
        ofctl(s.mgmt, O14, "del-flows", "table=4")
        for i in range(9):
            ofctl(s.mgmt, O14, "add-flow", f"table=4,priority={i},actions=1")
        ofctl(s.mgmt, O14, "mod-table", "4", "novacancy")
        ofctl(s.mgmt, O14, "del-flows", "table=4")
        time.sleep(0.3)
        lines = [x for x in normalise(m.end()).splitlines() if "TABLE_STATUS" in x or "vacancy_" in x]
        lines = [x.split("vacancy=1")[0].split("vacancy=9")[0] for x in lines]  # told at once, or after all of a command
        told.append(lines)
        vsctl(s, "clear", "bridge", "br0", "flow_tables")
    assert told[0] == told[1]
    assert sum("OFPT_TABLE_STATUS" in x for x in told[0]) == 3 and any("VACANCY_DOWN" in x for x in told[0]), told[0]


def test_settings_outlive_either_process(pair):
    sw = pair[0].switch
    limit(pair[0], 5, "flow_limit=2", "name=kept")
    wait_until(lambda: "kept" in ofctl(pair[0].mgmt, O14, "dump-table-features")[1])
    ofctl(pair[0].mgmt, O14, "mod-table", "6", "vacancy:10,90")
    ofctl(pair[0].mgmt, O14, "add-flow", "table=5,priority=1,actions=1")
    before = ofctl(pair[0].mgmt, O14, "dump-table-desc")
    sw.kill_sluiced()
    sw.start_sluiced()
    wait_until(lambda: sw.status()["ports"] == 4)
    assert ofctl(pair[0].mgmt, O14, "dump-table-desc") == before
    assert sw.status()["transactions"] == 0
    time.sleep(0.5)  # what is there is read for the replay
    sw.datapath.kill()
    sw.datapath.start()
    wait_until(lambda: "table=5" in ofctl(pair[0].mgmt, O14, "dump-flows")[1])
    assert ofctl(pair[0].mgmt, O14, "dump-table-desc") == before
    assert not full(pair[0], 5, "priority=2,actions=1") and full(pair[0], 5, "priority=3,actions=1")
