# SPDX-License-Identifier: BSD-3-Clause
"""Rules, groups, meters and tables of sluice-datapath through its api: what is set reads back, and a
transaction over them is whole or not at all."""
import struct
import time

import pytest

import dpapi
from datapath_process import DatapathProcess, wait_until

ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT, INSERT_BUCKET, REMOVE_BUCKET = range(7)
ANY = 0xFFFFFFFF


@pytest.fixture
def process():
    with DatapathProcess("--no-huge") as p:
        yield p


@pytest.fixture
def dp(process):
    dp = process.connect(writer=True)
    dp.transaction([("bridge_set", dict(name="br0", open=1))])
    return dp


def match_ip_dst(addr):
    """struct minimatch on line 0: eth_type 0x0800 and ip_dst (flow/key.h)."""
    value, mask = bytearray(64), bytearray(64)
    struct.pack_into(">H", value, 20, 0x0800)
    struct.pack_into(">H", mask, 20, 0xFFFF)
    struct.pack_into(">I", value, 36, addr)
    struct.pack_into(">I", mask, 36, 0xFFFFFFFF)
    return struct.pack("=HHI", 1, 1, 0) + bytes(56) + bytes(value) + bytes(mask)


def output(port):
    return struct.pack("=HHIIHH", 0, 16, 0, port, 0xFFFF, 0)


def rule(command=ADD, **attrs):
    attrs.setdefault("bridge", "br0")
    return ("rule_mod", dict(command=command, **attrs))


def refused(dp, ops):
    with pytest.raises(dpapi.ApiError) as e:
        dp.transaction(ops)
    return e.value


def test_output_is_encoded_as_the_datapath_wants_it(dp):
    dp.transaction([rule(actions=output(1))])
    assert refused(dp, [rule(actions=output(1)[:-8])]).op == 0
    assert refused(dp, [rule(match=b"x" * 40)]).op == 0


def test_rules_read_back(dp):
    dp.transaction([rule(table=3, priority=7, cookie=0xC0, match=match_ip_dst(1), blob=b"mine",
                         actions=output(2), idle_timeout=30, hard_timeout=60, rule_flags=1),
                    rule(priority=0, actions=output(0xFFFFFFFA))])
    rules = dp.dump("rules", bridge="br0")
    assert [(r["table"], r["priority"]) for r in rules] == [(0, 0), (3, 7)]
    r = rules[1]
    assert r["cookie"] == 0xC0 and r["match"] == match_ip_dst(1) and r["blob"] == b"mine"
    assert r["actions"] == output(2) and r["idle_timeout"] == 30 and r["hard_timeout"] == 60
    assert r["rule_flags"] == 1 and r["packets"] == 0 and r["duration_ms"] < 5000
    assert len(dp.dump("rules", bridge="br0", table=3)) == 1
    assert len(dp.dump("rules", bridge="br0", cookie=0xC0, cookie_mask=0xFF)) == 1
    assert len(dp.dump("rules", bridge="br0", out_port=2)) == 1
    assert dp.dump("rules", bridge="br0", match=match_ip_dst(2)) == []
    assert dp.call("rules_sum", dict(bridge="br0"))["count"] == 2
    with pytest.raises(dpapi.ApiError):
        dp.dump("rules", bridge="br9")


def test_modify_and_delete(dp):
    dp.transaction([rule(priority=i, cookie=i, match=match_ip_dst(i), actions=output(1))
                    for i in range(1, 6)])
    dp.transaction([rule(MODIFY_STRICT, priority=2, match=match_ip_dst(2), actions=output(9))])
    assert [r["priority"] for r in dp.dump("rules", bridge="br0", out_port=9)] == [2]
    assert dp.dump("rules", bridge="br0", out_port=9)[0]["cookie"] == 2
    dp.transaction([rule(DELETE, cookie=4, cookie_mask=0xFFFFFFFFFFFFFFFF, table=255)])
    assert sorted(r["cookie"] for r in dp.dump("rules", bridge="br0")) == [1, 2, 3, 5]
    dp.transaction([rule(DELETE_STRICT, priority=5, match=match_ip_dst(5))])
    dp.transaction([rule(DELETE, table=255)])
    assert dp.dump("rules", bridge="br0") == []


def test_a_bundle_is_whole_or_nothing(dp):
    dp.transaction([rule(priority=1, actions=output(1))])
    e = refused(dp, [rule(DELETE, table=255)] +
                [rule(priority=i, match=match_ip_dst(i), actions=output(1)) for i in range(2, 50)] +
                [("group_mod", dict(bridge="br0", command=MODIFY, group_id=7, group_type=0))])
    assert e.op == 49 and e.attrs["error_ofp"] == (6 << 16 | 8)  # unknown group
    assert [r["priority"] for r in dp.dump("rules", bridge="br0")] == [1]


def test_overlap_is_an_openflow_error(dp):
    dp.transaction([rule(priority=5, match=match_ip_dst(1), actions=output(1))])
    e = refused(dp, [rule(priority=5, rule_flags=2, actions=output(1))])
    assert e.attrs["error_ofp"] == (5 << 16 | 3)


def test_a_long_dump_survives_changes(dp):
    n = 20000
    dp.transaction([rule(priority=10, cookie=i, match=match_ip_dst(i), actions=output(1), blob=bytes(64))
                    for i in range(n)])
    replies = dp.replies("rules", dict(bridge="br0"))
    seen = [o["cookie"] for o in next(replies)["object"]]
    for reply in replies:
        seen += [o["cookie"] for o in reply.get("object", [])]
    assert seen == list(range(n))
    # Half of them go while another dump is on its way: what stayed is there once.
    dp.seq += 1
    dp.send_raw(dpapi.encode_message("rules", dict(bridge="br0"), dp.seq))
    first = dp.read_message()[3]
    assert first["more"]
    seen = [o["cookie"] for o in first["object"]]
    while first.get("more"):
        first = dp.read_message()[3]
        seen += [o["cookie"] for o in first.get("object", [])]
    assert len(seen) == len(set(seen)) == n
    dp.transaction([("bridge_del", dict(name="br0"))])
    with pytest.raises(dpapi.ApiError):
        dp.dump("rules", bridge="br0")


def test_timeouts_hold_and_are_told(process, dp):
    watcher = process.connect()
    watcher.call("subscribe", dict(event_mask=1 << dpapi.EVENTS["rule_removed"] |
                                   1 << dpapi.EVENTS["rule_added"]))
    dp.transaction([rule(priority=1, hard_timeout=1, cookie=5, actions=output(1))])
    added = watcher.wait_event("rule_added")
    assert added["bridge"] == "br0" and added["rule"][0]["cookie"] == 5 and added["state"] == "added"
    start = time.monotonic()
    removed = watcher.wait_event("rule_removed")
    assert 0.5 < time.monotonic() - start < 2.5
    assert removed["removed_reason"] == 1 and removed["rule"][0]["cookie"] == 5
    assert dp.dump("rules", bridge="br0") == []


def test_groups(dp):
    bucket = [dict(bucket_id=1, weight=3, actions=output(1)), dict(bucket_id=2, weight=1, actions=output(2))]
    dp.transaction([("group_mod", dict(bridge="br0", command=ADD, group_id=5, group_type=1,
                                       selection_method="dp_hash", bucket=bucket, blob=b"g"))])
    g, = dp.dump("groups", bridge="br0")
    assert (g["group_id"], g["group_type"], g["selection_method"], g["blob"]) == (5, 1, "dp_hash", b"g")
    assert [(b["bucket_id"], b["weight"], b["actions"]) for b in g["bucket"]] == [
        (1, 3, output(1)), (2, 1, output(2))]
    e = refused(dp, [("group_mod", dict(bridge="br0", command=ADD, group_id=5, group_type=1))])
    assert e.attrs["error_ofp"] == 6 << 16
    assert dp.dump("groups", bridge="br0", group_id=6) == []
    assert len(dp.dump("groups", bridge="br0", group_id=5)) == 1
    dp.transaction([("group_mod", dict(bridge="br0", command=DELETE, group_id=0xFFFFFFFC))])
    assert dp.dump("groups", bridge="br0") == []


def test_meters(dp):
    dp.transaction([("meter_mod", dict(bridge="br0", command=ADD, meter_id=3, meter_flags=1 | 4,
                                       band=[dict(band_type=1, rate=1000, burst=50)], blob=b"m"))])
    m, = dp.dump("meters", bridge="br0")
    assert m["meter_id"] == 3 and m["meter_flags"] == 5 and m["blob"] == b"m"
    assert [(b["band_type"], b["rate"], b["burst"]) for b in m["band"]] == [(1, 1000, 50)]
    e = refused(dp, [("meter_mod", dict(bridge="br0", command=MODIFY, meter_id=4, meter_flags=1))])
    assert e.attrs["error_ofp"] >> 16 == 12
    dp.transaction([("meter_mod", dict(bridge="br0", command=DELETE, meter_id=3))])
    assert dp.dump("meters", bridge="br0") == []


def test_tables(dp):
    dp.transaction([("table_set", dict(bridge="br0", table=4, name="acl", max_entries=1, table_miss=1))])
    t = dp.dump("tables", bridge="br0", table=4)[0]
    assert t["name"] == "acl" and t["max_entries"] == 1 and t["table_miss"] == 1
    dp.transaction([rule(table=4, priority=1, actions=output(1))])
    e = refused(dp, [rule(table=4, priority=2, actions=output(1))])
    assert e.attrs["error_ofp"] == (5 << 16 | 1)
    tables = dp.dump("tables", bridge="br0")
    assert len(tables) == 254 and tables[4]["active_count"] == 1 and tables[0]["active_count"] == 0


def test_100000_rules_in_one_transaction_in_parts(dp):
    n, part = 100000, 10000
    dp.seq += 1
    for at in range(0, n, part):
        body = b"".join(dpapi.encode_op(*rule(priority=1, match=match_ip_dst(i), actions=output(1)))
                        for i in range(at, at + part))
        if at + part < n:
            body += dpapi.encode_attr("more", True)
        dp.send_raw(dpapi.encode_message("transaction", body, dp.seq))
    assert dp.read_message()[1] == dpapi.REPLY
    assert dp.call("rules_sum", dict(bridge="br0"))["count"] == n
    assert len(dp.dump("rules", bridge="br0", match=match_ip_dst(n // 2))) == 1


def test_tlv_map(dp):
    def tlv_map(*entries):
        return b"".join(struct.pack("=HBBH", *e) for e in entries)

    one = tlv_map((0x102, 1, 8, 0), (0x102, 2, 4, 5))
    dp.transaction([("tlv_map_set", dict(bridge="br0", tlv_map=one))])
    assert dp.dump("bridges")[0]["tlv_map"] == one
    # Another bridge cannot have the same field with another length; nothing changes.
    refused(dp, [("bridge_set", dict(name="br1")),
                 ("tlv_map_set", dict(bridge="br1", tlv_map=tlv_map((0x103, 1, 12, 0))))])
    assert len(dp.dump("bridges")) == 1
    for bad in (b"x", tlv_map((1, 1, 4, 64)), tlv_map((1, 1, 4, 0), (1, 2, 4, 0)), tlv_map((1, 1, 3, 1))):
        refused(dp, [("tlv_map_set", dict(bridge="br0", tlv_map=bad))])
    # The bridge's end gives the room back, and so does an aborted transaction.
    refused(dp, [("tlv_map_set", dict(bridge="br0", tlv_map=tlv_map((1, 1, 16, 9)))), rule(bridge="br9")])
    dp.transaction([("bridge_del", dict(name="br0"))])
    dp.transaction([("bridge_set", dict(name="br1")),
                    ("tlv_map_set", dict(bridge="br1", tlv_map=tlv_map((0x103, 1, 12, 0), (1, 1, 8, 9))))])
