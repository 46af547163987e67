# SPDX-License-Identifier: BSD-3-Clause
"""sluice capture, trace and why as people use them: files that Wireshark's tools read without a warning, lines,
rotation, and one error for bad input."""
import glob
import json
import os
import re
import signal
import subprocess
import time

import pytest

import policylab
from control_process import SLUICE
from datapath_process import DatapathProcess, ether, flood_bridge, frames, wait_until
from test_datapath_rules import match_ip_dst, output


def run(process, *argv, code=0, **kwargs):
    r = subprocess.run([SLUICE, "--rundir", process.rundir, *argv], capture_output=True, text=True, timeout=60,
                       **kwargs)
    assert r.returncode == code, r
    return r


def udp(dst=1, src=2, ip_dst="0a000001", payload=b"hello", vlan=None):
    n = 8 + len(payload)
    ip = bytes.fromhex(f"4500{20 + n:04x}000000004011") + b"\0\0" + bytes.fromhex("0a000009" + ip_dst)
    total = sum(int.from_bytes(ip[i:i + 2], "big") for i in range(0, 20, 2))
    total = (total & 0xffff) + (total >> 16)
    ip = ip[:10] + (0xffff - total).to_bytes(2, "big") + ip[12:]
    return ether(dst, src, ip + bytes.fromhex(f"04d2162e{n:04x}0000") + payload, 0x0800, vlan)


@pytest.fixture
def dp():
    with DatapathProcess("--no-huge") as p:
        c = p.connect(writer=True)
        c.process = p
        flood_bridge(c, 3)
        yield c


def send(dp, port, frame, n=1):
    for _ in range(n):
        dp.call("dummy_receive", dict(port=port, packet=frame))


def normal_rule(dp):
    dp.transaction([("rule_mod", dict(command=0, bridge="br0", priority=0, cookie=0x77, actions=output(0xFFFFFFFA)))])


def drop_rule(dp):
    """NORMAL, but what goes to 10.0.0.1 is dropped by a rule with a cookie."""
    normal_rule(dp)
    dp.transaction([("rule_mod", dict(command=0, bridge="br0", table=0, priority=7, cookie=0xbeef,
                                      match=match_ip_dst(0x0a000001)))])


class Capture:
    """A sluice capture in the background that has begun."""

    def __init__(self, dp, *argv, **kwargs):
        self.dp = dp
        self.p = subprocess.Popen([SLUICE, "--rundir", dp.process.rundir, "capture", *argv], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, **kwargs)
        time.sleep(.3)
        assert self.p.poll() is None, self.p.communicate()

    def stop(self):
        time.sleep(.3)
        self.p.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self):
        out, err = self.p.communicate(timeout=20)
        assert self.p.returncode == 0, err
        return out.decode(), err.decode()


def tshark(path, *fields):
    r = subprocess.run(["tshark", "-r", path, "-T", "fields", "-E", "separator=;"] +
                       [w for f in fields for w in ("-e", f)], capture_output=True, text=True, timeout=60)
    noise = [x for x in r.stderr.splitlines() if x and "Running as user" not in x]
    assert r.returncode == 0 and not noise, r.stderr
    return [line.split(";", len(fields) - 1) for line in r.stdout.splitlines()]


# ---- capture ----

def test_a_file_with_names_directions_times_and_comments(dp, tmp_path):
    path = str(tmp_path / "a.pcapng")
    normal_rule(dp)
    cap = Capture(dp, "-w", path)
    began = time.time()
    send(dp, "p1", udp(), 3)
    frames(dp, "p2", 3)
    out, err = cap.stop()
    assert "9 packets captured, 9 matched, 0 lost" in err and out == ""  # 3 in, 3 out of each of two ports
    rows = tshark(path, "frame.interface_name", "frame.packet_flags_direction", "frame.time_epoch", "ip.dst",
                  "frame.comment")
    ways = [(r[0], r[1][-1]) for r in rows]
    assert sorted(ways) == sorted([("p1", "1")] * 3 + [("p2", "2")] * 3 + [("p3", "2")] * 3)
    for name, _, at, dst, comment in rows:
        assert abs(float(at) - began) < 5 and len(at.split(".")[1]) == 9 and dst == "10.0.0.1"
        assert "br0 table 0 cookie 0x77" in comment and "cache " in comment and re.search(r"[\d.]+ [num]s", comment)
        assert re.match("sent to p[23], p[23];" if name == "p1" else "sent", comment)
    info = subprocess.run(["capinfos", path], capture_output=True, text=True)
    assert info.returncode == 0 and "nanoseconds" in info.stdout and info.stderr == ""
    assert re.search(r"Number of packets *[:=] *9\b", info.stdout) and "Interface #2" in info.stdout
    cut = str(tmp_path / "cut.pcapng")
    assert subprocess.run(["editcap", path, cut, "1"], capture_output=True).returncode == 0
    assert len(tshark(cut, "frame.number")) == 8


def test_drops_with_reason_and_rule(dp, tmp_path):
    path = str(tmp_path / "d.pcapng")
    drop_rule(dp)
    cap = Capture(dp, "-p", "p1", "--drops", "-w", path, "--count", "2")
    send(dp, "p1", udp(ip_dst="0a000002"))
    send(dp, "p1", udp(), 2)
    cap.wait()
    rows = tshark(path, "frame.interface_name", "frame.comment")
    assert len(rows) == 2
    for name, comment in rows:
        assert name == "p1" and comment.startswith("dropped: no_actions (the matching rule has no output)")
        assert "br0 table 0 cookie 0xbeef" in comment


def test_a_packet_that_the_policy_refused_names_the_rule():
    with DatapathProcess("--no-huge") as p:
        dp = p.connect(writer=True)
        dp.process = p
        lab = policylab.Lab(dp)
        cap = Capture(dp, "--drops", "--count", "1")
        assert not lab.passes(1, "host", policylab.tcp(1, 22))
        out, _ = cap.wait()
        assert re.search(r"dropped: policy_host_deny \(.*\) by default/host-deny", out), out


def test_filter_port_direction_count_and_lines(dp):
    cap = Capture(dp, "-p", "p1,p2", "--in", "--filter", "udp and dst host 10.0.0.1", "--count", "2")
    send(dp, "p1", udp(ip_dst="0a000007"))
    send(dp, "p3", udp())
    send(dp, "p1", udp(vlan=None), 2)
    out, _ = cap.wait()
    lines = out.splitlines()
    assert len(lines) == 2 and all(
        re.search(r"> p1 10.0.0.9:1234 > 10.0.0.1:5678 udp, 60 bytes \| sent to p[23], p[23]; ", x) for x in lines), out
    cap = Capture(dp, "--json", "--count", "1", "-p", "p1", "--in")
    send(dp, "p1", udp())
    o = json.loads(cap.wait()[0])
    assert o["port"] == "p1" and o["packet_verdict"] == "sent" and bytes.fromhex(o["packet"]) == udp()


def test_standard_output_to_a_reader_that_goes(dp):
    cap = subprocess.Popen(f"{SLUICE} --rundir {dp.process.rundir} capture -w - | tshark -r - -c 3 -T fields "
                           "-e frame.interface_name -l", shell=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True)
    time.sleep(1.5)
    for _ in range(20):
        if cap.poll() is not None:
            break
        send(dp, "p1", udp())
        time.sleep(.2)
    assert len(cap.communicate(timeout=10)[0].split()) == 3
    assert cap.returncode == 0


def test_rotation_by_size_and_time_keeps_the_newest(dp, tmp_path):
    path = str(tmp_path / "r.pcapng")
    cap = Capture(dp, "-w", path, "--rotate-size", "1k", "--files", "3", "-p", "p1", "--in")
    for _ in range(30):
        send(dp, "p1", udp())
        time.sleep(.005)
    cap.stop()
    names = sorted(glob.glob(str(tmp_path / "r-*.pcapng")))
    assert len(names) == 3 and names[-1] > str(tmp_path / "r-00004.pcapng"), names
    for n in names:
        assert tshark(n, "frame.interface_name") and os.path.getsize(n) < 2048
    cap = Capture(dp, "-w", str(tmp_path / "t.pcapng"), "--rotate-time", "1", "-p", "p1", "--in")
    for _ in range(8):
        send(dp, "p1", udp())
        time.sleep(.2)
    cap.stop()
    assert 2 <= len(glob.glob(str(tmp_path / "t-*.pcapng"))) <= 3


@pytest.mark.parametrize("argv, where", [
    (["capture", "--filter", "udp and and"], '--filter "udp and and": '),
    (["capture", "-p", "nothing"], "port nothing: not found"),
    (["capture", "-w", "/no/such/dir/x"], "/no/such/dir/x: No such file or directory"),
    (["capture", "--rotate-size", "10M"], "-w FILE"), (["capture", "--count", "x"], "--count x"),
    (["capture", "-w", "/tmp/x", "--rotate-size", "10Q"], "--rotate-size 10Q"),
    (["capture", "--snaplen", "0"], "--snaplen 0"),
    (["trace", "br0"], "which packet"), (["trace", "br9", "in_port=1"], "bridge br9: not found"),
    (["trace", "br0", "in_port=p1,tcp,bogus=1"], "bogus"), (["trace", "br0", "in_port=nope"], "nope"),
    (["trace", "br0", "tcp"], "in_port=PORT"), (["trace", "br0", "in_port=77"], "77"),
    (["trace", "br0", "in_port=p1", "0x12"], "character 2"), (["trace", "br0", "in_port=p1", "1234"], "2 bytes"),
    (["trace", "br0", "in_port=p1", "123"], "odd number"), (["trace", "br0", "in_port=p1", "--ct-next", "old"], "old"),
    (["trace", "br0", "--port", "p1", "--pcap", "/no/such"], "/no/such"), (["trace", "--live", "br0"], "--live"),
    (["trace", "--live", "--filter", "hst 1"], "--filter"), (["trace", "--live", "--port", "zz"], "port zz"),
    (["why", "/no/such"], "/no/such"), (["why", "/etc/passwd"], "/etc/passwd"),
])
def test_bad_input_is_one_error_that_says_where(dp, argv, where):
    r = run(dp.process, *argv, code=2)
    assert r.stderr.startswith("error: ") and where in r.stderr and r.stdout == "", r
    assert len(r.stderr.splitlines()) == 1 or "\nusage: " in r.stderr


# ---- trace ----

def pcap(path, *packets, sent=1000):
    import struct
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for i, p in enumerate(packets):
            f.write(struct.pack("<IIII", int(sent) + i, 0, len(p), len(p)) + p)
    return str(path)


def telnet_is_denied():
    r = policylab.Rules()
    r.add("no-telnet", policylab.INGRESS, [1], r.peer_set(2), policylab.service(6, 23), tier=0, verdict=policylab.DENY)
    return r


def test_trace_and_why_name_the_rule_of_the_policy(tmp_path):
    with DatapathProcess("--no-huge") as p:
        lab = policylab.Lab(p.connect(writer=True))
        lab.set(policylab.policy_op(policylab.endpoints(lab), telnet_is_denied()))
        before = lab.dp.dump("policy_hits")
        macs = f"dl_src={lab.who(2)[1]},dl_dst={lab.who(1)[1]}"
        fields = f"tcp,{macs},nw_src=10.0.0.2,nw_dst=10.0.0.1,tp_src=1000,tcp_flags=syn,tp_dst="
        frame = lab.frame(2, 1, policylab.tcp(1000, 23))
        for packet in (fields + "23", frame.hex()):
            o = json.loads(run(p, "trace", "br0", "--port", "p2", packet, "--json").stdout)
            assert (o["dropped"], o["reason"], o["denied_by"], o["outputs"]) == (
                True, "policy_denied", "no-telnet", []), o
        text = run(p, "trace", "br0", "--port", "p2", frame.hex()).stdout
        assert 'policy, from p2: passes by "default/allow" (begins a connection)' in text
        assert 'policy, to p1: refused by "no-telnet" (begins a connection)' in text
        assert 'Result: dropped: policy_denied' in text and """by the policy's "no-telnet\"""" in text
        o = json.loads(run(p, "trace", "br0", "--port", "p2", fields + "80", "--json").stdout)
        assert o["outputs"] == ["p1"] and "reason" not in o
        text = run(p, "why", pcap(tmp_path / "p.pcap", frame), "--port", "p2").stdout
        assert """by the policy's "no-telnet\"""" in text
        # A guest that answers what nobody asked; asking has changed nothing.
        answer = lab.frame(1, 2, policylab.tcp(80, 1000, "SA"))
        text = run(p, "trace", "br0", "--port", "p1", answer.hex()).stdout
        assert 'policy, from p1: refused by "default/invalid"' in text
        assert lab.dp.dump("policy_hits") == before and lab.dp.dump("macs") and not lab.dp.dump("conns")
        assert lab.passes(2, 1, policylab.tcp(1000, 80))
        text = run(p, "trace", "br0", "--port", "p1", answer.hex()).stdout
        assert 'policy, from p1: passes by "default/allow" (of a connection)' in text
        assert 'policy, to p2: passes by "default/allow" (of a connection)' in text


def test_live_trace_and_capture_name_the_rule_of_the_policy():
    with DatapathProcess("--no-huge") as p:
        lab = policylab.Lab(p.connect(writer=True))
        lab.set(policylab.policy_op(policylab.endpoints(lab), telnet_is_denied()))
        live = subprocess.Popen([SLUICE, "--rundir", p.rundir, "trace", "--live", "--count", "1"],
                                stdout=subprocess.PIPE, text=True)
        caught = subprocess.Popen([SLUICE, "--rundir", p.rundir, "capture", "--in", "--count", "1"],
                                  stdout=subprocess.PIPE, text=True)
        time.sleep(.3)
        assert not lab.passes(2, 1, policylab.tcp(1000, 23))
        text = live.communicate(timeout=20)[0]
        assert 'policy, from p2: passes by "default/allow" (begins a connection)' in text, text
        assert 'policy, to p1: refused by "no-telnet" (begins a connection)' in text, text
        assert "no-telnet" in caught.communicate(timeout=20)[0]


def test_trace_of_real_packets(dp):
    p = subprocess.Popen([SLUICE, "--rundir", dp.process.rundir, "trace", "--live", "--filter", "host 10.0.0.1",
                          "--count", "2"], stdout=subprocess.PIPE, text=True)
    time.sleep(.3)
    send(dp, "p1", udp(ip_dst="0a000002"))
    send(dp, "p1", udp(), 2)
    out = p.communicate(timeout=20)[0]
    assert p.returncode == 0 and out.count("p1: 10.0.0.9:1234 > 10.0.0.1:5678 udp") == 2, out
    assert "received on p1" in out and "cache: " in out and "out of p2" in out and " us " in out
    assert len(re.findall("Result: sent to p[23], p[23]", out)) == 2


# ---- why ----

def test_a_cut_file_is_refused_after_what_is_whole(dp, tmp_path):
    path = pcap(tmp_path / "c.pcap", udp(), udp())
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) - 5)
    r = run(dp.process, "why", path, "--port", "p1", code=2)
    assert "after packet 1" in r.stderr and "packet 1:" in r.stdout
def test_trace_of_fields_bytes_and_files(dp, tmp_path):
    text = run(dp.process, "trace", "br0", "in_port=p1,udp,nw_dst=10.0.0.1").stdout
    assert "is not known: flooded" in text and "Result: sent to p2, sent to p3" in text and "Megaflow:" in text
    for argv in (["in_port=p1", udp().hex()], ["--port", "p1", udp().hex()],
                 ["--port", "p1", "--pcap", pcap(tmp_path / "x.pcap", udp())]):
        o = json.loads(run(dp.process, "trace", "br0", *argv, "--json").stdout)
        assert o["outputs"] == ["p2", "p3"] and o["dropped"] is False, o
    drop_rule(dp)
    text = run(dp.process, "trace", "br0", "in_port=p1,udp,nw_dst=10.0.0.1").stdout
    assert "table 0: priority 7, ip,nw_dst=10.0.0.1, cookie 0xbeef" in text
    assert "Result: dropped: no_actions" in text and "what to do: look at the rule" in text
    o = json.loads(run(dp.process, "trace", "br0", "in_port=1,udp,nw_dst=10.0.0.1", "--json").stdout)
    assert o["dropped"] and o["reason"] == "no_actions" and o["remedy"] and o["outputs"] == []
    lines = run(dp.process, "trace", "br0", "--port", "p1", "--pcap", pcap(tmp_path / "y.pcap", udp(), udp(
        ip_dst="0a000002")), "--json").stdout.splitlines()
    assert [(o["packet"], o["dropped"]) for o in map(json.loads, lines)] == [(1, True), (2, False)]


def test_why_says_what_became_of_each_packet(dp, tmp_path):
    drop_rule(dp)
    send(dp, "p1", udp(src=5, ip_dst="0a000002"))
    frames(dp, "p2", 1)
    wait_until(lambda: dp.dump("macs"))
    send(dp, "p1", udp(src=5), 4)
    wait_until(lambda: dp.dump("drops"))
    path = pcap(tmp_path / "lost.pcap", udp(src=5), udp(src=5, ip_dst="0a000002"), udp(src=77))
    text = run(dp.process, "why", path).stdout
    one, two, three = re.split(r"(?m)^(?=packet \d)", text)[1:]
    then, now = one.split("  now, from p1 on br0: ")
    assert re.search(r"  dropped at [\d:.]{15} on p1: no_actions: .*, by the rule of br0 table 0, cookie 0xbeef\n", then)
    assert "  what to do: look at the rule" in then and "days earlier: clocks differ" in then
    assert now.startswith("dropped: no_actions") and "cookie 0xbeef" in now and "what to do: " in now
    assert "4 packets of p1 were dropped for this so far" in now
    assert "none of the packets dropped so far looks like it" in two
    assert "  with the rules of now, from p1 on br0: sent to p2, sent to p3" in two
    assert "no port is known" in three and "3 packets: 1 were dropped, 0 more would be dropped now" in three
    answers = [json.loads(x) for x in run(dp.process, "why", path, "--json").stdout.splitlines()]
    assert answers[0]["from"] == "memory" and answers[0]["reason"] == "no_actions" and answers[0]["drops"] == [
        {"port": "p1", "reason": "no_actions", "count": 4}]
    assert answers[0]["was"]["cookie"] == 0xbeef and answers[0]["was"]["match"] == "same"
    assert answers[0]["now"]["reason"] == "no_actions"
    assert answers[1]["from"] == "now" and answers[1]["outputs"] == ["p2", "p3"] and answers[2]["port"] is None
    o = json.loads(run(dp.process, "why", pcap(tmp_path / "z.pcap", udp(src=77)), "--port", "p2", "--json").stdout)
    assert o["port"] == "p2" and o["reason"] == "no_actions" and o["from"] == "now"


def test_why_remembers_what_the_rules_of_now_would_not_do(dp, tmp_path):
    """The rule that dropped is gone, one that drops is new; times decide between equal packets."""
    lost, sent, lost_again = udp(payload=b"first one"), udp(payload=b"second one"), udp(payload=b"third one")
    drop_rule(dp)
    before = time.time()
    send(dp, "p1", lost)
    send(dp, "p1", lost_again)
    wait_until(lambda: dp.dump("drops") and dp.dump("drops")[0]["count"] == 2)
    dp.transaction([("rule_mod", dict(command=3, bridge="br0"))])  # delete all
    normal_rule(dp)
    send(dp, "p1", sent)
    frames(dp, "p2", 1)
    path = pcap(tmp_path / "all.pcap", lost, sent, lost, sent=before)
    one, two, three = [json.loads(x) for x in run(dp.process, "why", path, "--port", "p1", "--json").stdout.splitlines()]
    assert (one["from"], one["reason"], one["was"]["cookie"], one["was"]["bridge"]) == (
        "memory", "no_actions", 0xbeef, "br0") and one["now"]["outputs"] == ["p2", "p3"]
    assert abs(one["was"]["later_s"]) < 60 and before - 1 < one["was"]["time_ns"] / 1e9 < time.time() + 1
    assert two["from"] == "now" and two["outputs"] == ["p2", "p3"]
    assert three["from"] == "now"  # it was dropped once
    text = run(dp.process, "why", path, "--port", "p1").stdout
    assert "  now, from p1 on br0: sent to p2, sent to p3\n" in text and "clocks differ" not in text
    # The port goes, and so does its number's name; what it lost is still told under its name of then.
    dp.transaction([("port_del", dict(name="p1"))])
    wait_until(lambda: "p1" not in [p["name"] for p in dp.dump("ports")])
    dp.transaction([("port_set", dict(name="other", type="dummy", bridge="br0"))])
    text = run(dp.process, "why", path).stdout
    assert "on p1: no_actions" in text and "no port is known" in text
    lines = run(dp.process, "drops", "--last", "--port", "p1").stdout.splitlines()
    assert len(lines) == 2 and "second" not in lines[0] and all("br0 table 0 cookie 0xbeef" in x for x in lines)


def test_the_last_drops(dp):
    drop_rule(dp)
    assert run(dp.process, "drops", "--last").stdout == "no dropped packet is remembered\n"
    for i in range(30):
        send(dp, "p1", udp(payload=b"%d" % i))
    wait_until(lambda: dp.dump("drops") and dp.dump("drops")[0]["count"] == 30)
    assert len(run(dp.process, "drops", "--last").stdout.splitlines()) in range(16, 21)  # 16 a millisecond
    lines = run(dp.process, "drops", "--last", "--count", "5", "--port", "p1", "--reason", "no_actions").stdout.splitlines()
    assert len(lines) == 5 and sorted(lines) == lines
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{9} x p1 10.0.0.9:1234 > 10.0.0.1:5678 udp, 60 bytes \| dropped: no_actions "
                        r"\(.*\); br0 table 0 cookie 0xbeef", lines[-1]), lines[-1]
    o = json.loads(run(dp.process, "drops", "--last", "--json").stdout)["dropped"][-1]
    assert (o["port"], o["reason"], o["cookie"], o["bridge"]) == ("p1", "no_actions", 0xbeef, "br0") and o["remedy"]
    assert run(dp.process, "drops", "--last", "--port", "p2").stdout == "no dropped packet is remembered\n"
    for argv, text in ((["--port", "nobody"], "port nobody: not found"), (["--reason", "x"], "reason x: there is none"),
                       (["--count", "0"], "--count 0: not a number")):
        assert text in run(dp.process, "drops", "--last", *argv, code=2).stderr
    assert "--reason needs --last" in run(dp.process, "drops", "--reason", "no_actions", code=2).stderr


